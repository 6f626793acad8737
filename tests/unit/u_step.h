/*
 * u_step - one step of a network on tensors that are given: what train_drive
 * writes to a file for make check-numerics, and what train_golden compares with
 * the numbers of PyTorch that lie in tests/unit/golden.
 *
 * Tensors come by name out of a set: `input` [rows, ...] (whole numbers: I32),
 * `target` (classes: I32; else floats), and the network's own, each behind a
 * prefix.  Whatever is wrong ends the process, with a line to stderr.
 */
#ifndef U_STEP_H
#define U_STEP_H

#include <stdarg.h>

#include "rekindle/format.h"
#include "rekindle/kernel.h"
#include "rekindle/nn.h"
#include "t.h"

#define U_STEP_MEMORY ((uint64_t)20 << 30)

__attribute__((format(printf, 1, 2), noreturn)) static void
u_die(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	fflush(NULL);
	_exit(1);
}

static inline struct tensor_set *
u_tensors(const char *path)
{
	struct tensor_set *s = NULL;
	struct rk_why why = {0};

	if (format_load(path, &s, &why) != RK_OK)
		u_die("%s: %s", path, rk_why_first(&why));
	return s;
}

/* The tensor `prefix``name`. */
static inline const struct tensor *
u_find(const struct tensor_set *s, const char *prefix, const char *name)
{
	char *full = xasprintf("%s%s", prefix, name);
	const struct tensor *t = tensor_find(s, full);

	if (t == NULL)
		u_die("there is no tensor %s", full);
	free(full);
	return t;
}

static inline void
u_floats(const struct tensor *t, float *to, int64_t count)
{
	if ((int64_t)tensor_count(t) != count)
		u_die("%s has %zu values, want %lld", t->name, tensor_count(t),
		    (long long)count);
	if (tensor_to_f32(t, to) != RK_OK)
		u_die("%s is not of numbers", t->name);
}

/* The network of a job for such samples, or without memory for values only its
 * outline. */
static inline struct nn *
u_network(const struct spec *s, bool outline, enum nn_dtype dtype, int ndim,
    const int64_t *d, int64_t batch)
{
	struct nn *n = NULL;
	struct rk_why why = {0};
	struct nn_want w = { .model = &s->model, .loss = &s->training.loss,
		.dtype = dtype, .ndim = ndim, .batch = batch,
		.memory_limit = U_STEP_MEMORY,
		.fast = s->training.arithmetic == SPEC_ARITHMETIC_FAST };

	memcpy(w.d, d, (size_t)ndim * sizeof(*d));
	if ((outline ? nn_outline(&n, &w, &why) : nn_build(&n, &w, &why)) !=
	    RK_OK)
		u_die("%s", rk_why_text(&why));
	return n;
}

/* Takes a result: `infer`, `logits`, `loss`, `grad.NAME`, `buffer.NAME`. */
typedef void u_take(void *ctx, const char *name, int ndim, const int64_t *d,
    const float *v);

struct u_step {
	struct nn *n;
	int64_t rows;
	u_take *take;
	void *ctx;
};

static inline void
u_take_logits(struct u_step *s, const char *name)
{
	const int64_t d[] = { s->rows, nn_outputs(s->n) };

	s->take(s->ctx, name, 2, d, nn_output(s->n));
}

/* Targets are classes, one a row, or as many floats as there are logits. */
static inline void
u_loss(struct u_step *s, const int32_t *y, const float *t)
{
	struct nn_result r;

	nn_loss(s->n, y, t, &r);
	const float mean = (float)(r.loss_sum / r.weight);
	s->take(s->ctx, "loss", 0, NULL, &mean);
}

static inline void
u_take_tensors(struct u_step *s)
{
	for (size_t i = 0; i < nn_ntensors(s->n); i++) {
		const struct nn_tensor *t = nn_tensor_at(s->n, i);
		char *name = xasprintf("%s.%s", t->is_buffer ? "buffer" :
		    "grad", t->name);
		s->take(s->ctx, name, t->ndim, t->d, t->is_buffer ? t->value :
		    t->grad);
		free(name);
	}
}

static inline void
u_fill(struct nn *n, const struct tensor *x)
{
	if (x->dtype == DT_I32)
		memcpy(nn_input_ids(n), x->data, x->nbytes);
	else
		u_floats(x, nn_input(n), (int64_t)tensor_count(x));
}

static inline void
u_run(struct u_step *s, const struct tensor *target)
{
	const int64_t count = (int64_t)tensor_count(target);
	const bool classes = target->dtype == DT_I32;
	struct nn_step all = { .rows = s->rows, .all = s->rows, .seed = 1,
		.step = 1 };
	int32_t *y = xcalloc((size_t)count, sizeof(*y));
	float *t = xcalloc((size_t)count, sizeof(*t));

	u_floats(target, t, count);
	if (classes) {
		memcpy(y, target->data, target->nbytes);
		all.norm = nn_loss_weight(s->n, y, s->rows);
	}
	nn_forward(s->n, &all, false);
	u_take_logits(s, "infer");
	nn_zero_grads(s->n);
	nn_forward(s->n, &all, true);
	u_loss(s, classes ? y : NULL, classes ? NULL : t);
	u_take_logits(s, "logits");
	nn_backward(s->n);
	u_take_tensors(s);
	free(y);
	free(t);
}

/* Inference, then a training step from the same weights. */
static inline void
u_step(const struct spec *job, const struct tensor_set *weights,
    const char *wprefix, const struct tensor_set *batch, const char *bprefix,
    u_take *take, void *ctx)
{
	const struct tensor *x = u_find(batch, bprefix, "input");
	struct u_step s = { .rows = x->d[0], .take = take, .ctx = ctx };

	s.n = u_network(job, false, x->dtype == DT_I32 ? NN_I32 : NN_F32,
	    x->ndim - 1, x->d + 1, s.rows);
	for (size_t i = 0; i < nn_ntensors(s.n); i++) {
		const struct nn_tensor *t = nn_tensor_at(s.n, i);
		u_floats(u_find(weights, wprefix, t->name), t->value, t->count);
	}
	u_fill(s.n, x);
	u_run(&s, u_find(batch, bprefix, "target"));
	nn_free(s.n);
}

#endif
