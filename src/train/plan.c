/* The plan of a warm start between a network and a file: see plan.h. */
#include <stdlib.h>
#include <string.h>

#include "plan.h"
#include "row_names.h"

/* --- lists ---------------------------------------------------------------- */

enum warm_kind
plan_kind(const struct nn_tensor *t)
{
	switch (t->op) {
	case SPEC_OP_linear:
		return t->ndim == 2 ? WARM_LINEAR : WARM_OTHER;
	case SPEC_OP_conv2d:
		return t->ndim == 4 ? WARM_CONV : WARM_OTHER;
	case SPEC_OP_embedding:
		return WARM_TABLE;
	case SPEC_OP_batch_norm:
		return t->is_buffer ? WARM_RUNNING : WARM_NORM;
	case SPEC_OP_layer_norm:
		return WARM_NORM;
	default:
		return WARM_OTHER;
	}
}

struct warm_tensor *
plan_list(const struct nn *n, size_t *count)
{
	struct warm_tensor *v = xcalloc(nn_ntensors(n) + 1, sizeof(*v));

	*count = nn_ntensors(n);
	for (size_t i = 0; i < *count; i++) {
		const struct nn_tensor *t = nn_tensor_at(n, i);
		struct warm_tensor *w = &v[i];
		const char *dot = strrchr(t->name, '.');
		*w = (struct warm_tensor){ .name = t->name, .dtype = DT_F32,
			.ndim = t->ndim, .kind = plan_kind(t),
			.buffer = t->is_buffer,
			/* Names follow the convention: see ops.def. */
			.biased = t->is_buffer && dot != NULL &&
			    dot[1] == '_',
			.rows = row_names_of(n, t),
			.same_as = -1 };
		memcpy(w->d, t->d, (size_t)t->ndim * sizeof(t->d[0]));
	}
	return v;
}

/* All of the model, and nothing else of the file. */
static void
only_whole(struct spec_warm *w)
{
	static const struct spec_policies of[SPEC_FAULTS] = {
		[SPEC_MISSING] = { .said = true, .is = SPEC_POLICY_ERROR },
		[SPEC_UNEXPECTED] = { .said = true, .is = SPEC_POLICY_SKIP },
		[SPEC_MISMATCH] = { .said = true, .is = SPEC_POLICY_ERROR },
	};

	memcpy(w->of, of, sizeof(w->of));
	w->minimum_said = true;
	w->minimum = 0;
	w->nproducer = 0;
	w->ngrow = 0;
}

const struct warm_row *
plan_head(const struct plan *p, const struct nn *n)
{
	int len;
	const char *head = row_names_head(n, &len);

	for (size_t i = 0; i < p->is->nmodel; i++)
		if (nn_tensor_at(n, i)->name == head)
			return &p->is->v[i];
	return NULL;
}

enum rk_err
plan_new(struct plan **pp, const struct nn *n, struct warm_file *file,
    const struct plan_how *how, struct rk_why *why)
{
	struct plan *p = xcalloc(1, sizeof(*p));

	p->model = plan_list(n, &p->want.nmodel);
	p->want.model = p->model;
	p->of = file;
	p->want.file = file->v;
	p->want.nfile = file->n;
	p->want.framework = file->framework;
	p->want.writer = file->writer;
	p->spec = how->model->warm;
	p->want.strict = how->whole || how->model->strict;
	if (how->whole) {
		memset(p->spec.of, 0, sizeof(p->spec.of));
		p->spec.minimum_said = false;
		p->spec.nproducer = 0;
		p->spec.ngrow = 0;
	}
	if (how->ancestor)
		only_whole(&p->spec);
	if (how->classes != NULL)
		p->want.classes = *how->classes;
	if (how->told != NULL)
		p->want.told = *how->told;
	if (how->tokens != NULL)
		p->want.tokens = *how->tokens;
	p->want.spec = &p->spec;
	enum rk_err rc = warm_plan_new(&p->is, &p->want, why);
	if (p->is == NULL) {
		plan_free(p);
		p = NULL;
	}
	*pp = p;
	return rc;
}

void
plan_free(struct plan *p)
{
	if (p == NULL)
		return;
	warm_plan_free(p->is);
	free(p->model);
	free(p);
}

/* --- numbers -------------------------------------------------------------- */

/* dst[m][n] = src[n][m], a block at a time that fits in the nearest cache. */
#define BLOCK 32
void
plan_turn(float *dst, const float *src, int64_t m, int64_t n)
{
	for (int64_t i = 0; i < m; i += BLOCK)
		for (int64_t j = 0; j < n; j += BLOCK)
			for (int64_t a = i; a < RK_MIN(i + BLOCK, m); a++)
				for (int64_t b = j; b < RK_MIN(j + BLOCK, n);
				    b++)
					dst[a * n + b] = src[b * m + a];
}

/* The first places of each dimension that both have; the strides of src are
 * `step`. */
static void
copy_shared(float *dst, const float *src, const struct nn_tensor *to,
    const int64_t *have, const int64_t *step)
{
	int64_t at[SPEC_MAX_DIMS] = { 0 };
	const int last = to->ndim - 1;

	for (;;) {
		int64_t d = 0, s = 0;
		for (int i = 0; i <= last; i++) {
			d = d * to->d[i] + at[i];
			s += at[i] * step[i];
		}
		for (int64_t k = 0; k < have[last]; k++)
			dst[d + k] = src[s + k * step[last]];
		int i = last - 1;
		while (i >= 0 && ++at[i] == have[i])
			at[i--] = 0;
		if (i < 0)
			return;
	}
}

static void
slice(float *dst, const float *src, const struct nn_tensor *to,
    const struct warm_tensor *from, bool turned)
{
	int64_t have[SPEC_MAX_DIMS], step[SPEC_MAX_DIMS], stride = 1;

	for (int i = to->ndim - 1; i >= 0; i--) {
		const int j = turned ? 1 - i : i;
		have[i] = RK_MIN(to->d[i], from->d[j]);
		if (have[i] == 0)
			return;
	}
	for (int i = from->ndim - 1; i >= 0; i--) {
		step[turned ? 1 - i : i] = stride;
		stride *= from->d[i];
	}
	copy_shared(dst, src, to, have, step);
}

/* All numbers of a tensor of the file, the caller's. */
static enum rk_err
read_copy(const struct plan *p, int64_t file, float **out, struct rk_why *why)
{
	*out = malloc(((size_t)warm_count(&p->of->v[file]) + 1) * sizeof(**out));
	if (*out == NULL) {
		rk_refuse(why, "there is no memory for %s",
		    p->of->v[file].name);
		return RK_ENOMEM;
	}
	enum rk_err rc = warm_file_read(p->of, (size_t)file, *out, why);
	if (rc != RK_OK) {
		free(*out);
		*out = NULL;
	}
	return rc;
}

/* A copy of a linear weight of Paddle's, turned to ours; freed where that
 * fails. */
static enum rk_err
turn_copy(const struct plan *p, int64_t file, float **x, struct rk_why *why)
{
	const struct warm_tensor *f = &p->of->v[file];
	float *y = malloc(((size_t)warm_count(f) + 1) * sizeof(*y));

	if (y != NULL)
		plan_turn(y, *x, f->d[1], f->d[0]);
	else
		rk_refuse(why, "there is no memory for %s", f->name);
	free(*x);
	*x = y;
	return y != NULL ? RK_OK : RK_ENOMEM;
}

/* Row 0 of ERNIE's table of tasks, to each position. */
static enum rk_err
add_row(const struct plan *p, int64_t tasks, const struct nn_tensor *to,
    struct rk_why *why)
{
	const int64_t width = to->d[to->ndim - 1];
	float *row;
	enum rk_err rc = read_copy(p, tasks, &row, why);

	for (int64_t i = 0; rc == RK_OK && i < to->count; i++)
		to->value[i] += row[i % width];
	free(row);
	return rc;
}

static enum rk_err
apply_row(const struct plan *p, const struct warm_row *r, struct nn *n,
    uint64_t seed, struct rk_why *why)
{
	const struct nn_tensor *to = nn_tensor_at(n, (size_t)r->model);
	const bool turned = (r->steps & 1u << WARM_TRANSPOSE) != 0;
	const bool sliced = (r->steps & 1u << WARM_SLICE) != 0;
	const bool grown = r->action == WARM_GROW;
	enum rk_err rc;
	float *x;

	if (r->action == WARM_INIT || sliced || grown)
		nn_init_one(n, seed, to);
	if (r->action == WARM_INIT)
		return RK_OK;
	if (!turned && !sliced && !grown) {
		rc = warm_file_read(p->of, (size_t)r->file, to->value, why);
	} else {
		rc = read_copy(p, r->file, &x, why);
		if (rc == RK_OK && grown && turned)
			rc = turn_copy(p, r->file, &x, why);
		if (rc == RK_OK && grown)
			plan_grow(to->value, x, to, &r->grown, false);
		else if (rc == RK_OK && sliced)
			slice(to->value, x, to, &p->of->v[r->file], turned);
		else if (rc == RK_OK)
			plan_turn(to->value, x, to->d[0], to->d[1]);
		free(x);
	}
	if (rc == RK_OK && r->added >= 0)
		rc = add_row(p, r->added, to, why);
	return rc;
}

enum rk_err
plan_apply(const struct plan *p, struct nn *n, uint64_t seed,
    struct rk_why *why)
{
	enum rk_err rc = RK_OK;

	for (size_t i = 0; rc == RK_OK && i < p->is->nmodel; i++)
		rc = apply_row(p, &p->is->v[i], n, seed, why);
	return rc;
}
