/* The average of a model: parameters, then buffers, in one array. */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define EMA_TAG 0x656d6120u

struct optim_ema {
	unsigned tag;
	struct spec_ema spec;
	int64_t nparams, nbuffers;
	float *v;
};

/* One pass over the model's two arrays and the average. */
struct pass {
	float *v, *model;
	int64_t n;
	float keep, take;               /* step */
	float *shadow;                  /* step; may be NULL */
};

static size_t
bytes_of(const struct optim_ema *e)
{
	return (size_t)(e->nparams + e->nbuffers) * sizeof(float);
}

enum rk_err
optim_ema_new(struct optim_ema **ep, const struct spec_ema *s,
    int64_t nparams, int64_t nbuffers)
{
	struct optim_ema *e = xcalloc(1, sizeof(*e));

	*e = (struct optim_ema){ .tag = EMA_TAG, .spec = *s,
	    .nparams = nparams, .nbuffers = nbuffers };
	e->v = kernel_alloc(bytes_of(e));
	if (e->v == NULL) {
		optim_ema_free(e);
		return RK_ENOMEM;
	}
	*ep = e;
	return RK_OK;
}

void
optim_ema_free(struct optim_ema *e)
{
	if (e == NULL)
		return;
	must_be(e, EMA_TAG);
	if (e->v != NULL)
		kernel_free(e->v, bytes_of(e));
	e->tag = 0;
	free(e);
}

float *
optim_ema_params(struct optim_ema *e)
{
	return e->v;
}

float *
optim_ema_buffers(struct optim_ema *e)
{
	return e->v + e->nparams;
}

static size_t
at_of(const struct pass *p, size_t i, size_t *n)
{
	const size_t at = i * (size_t)PIECE;

	*n = (size_t)RK_MIN(PIECE, p->n - (int64_t)at);
	return at;
}

static void
step_piece(void *ctx, size_t i)
{
	const struct pass *p = ctx;
	size_t n, at = at_of(p, i, &n);

	kernel_average(p->v + at, p->model + at, n, p->keep, p->take);
	if (p->shadow != NULL)
		memcpy(p->shadow + at, p->v + at, n * sizeof(float));
}

static void
swap_piece(void *ctx, size_t i)
{
	const struct pass *p = ctx;
	size_t n, at = at_of(p, i, &n);

	kernel_swap(p->v + at, p->model + at, n);
}

/* fn over the parameters, then over the buffers. */
static void
over_both(struct optim_ema *e, const float *params, const float *buffers,
    struct pass p, kernel_piece_fn *fn)
{
	const float *model[2] = { params, buffers };
	const int64_t n[2] = { e->nparams, e->nbuffers };

	must_be(e, EMA_TAG);
	p.v = e->v;
	for (int k = 0; k < 2; k++) {
		p.model = (float *)(uintptr_t)model[k];
		p.n = n[k];
		kernel_for((size_t)((p.n + PIECE - 1) / PIECE), fn, &p);
		p.v += p.n;
		if (p.shadow != NULL)
			p.shadow += p.n;
	}
}

void
optim_ema_begin(struct optim_ema *e, const float *params, const float *buffers)
{
	must_be(e, EMA_TAG);
	memcpy(e->v, params, (size_t)e->nparams * sizeof(float));
	if (e->nbuffers > 0)
		memcpy(e->v + e->nparams, buffers,
		    (size_t)e->nbuffers * sizeof(float));
}

void
optim_ema_step(struct optim_ema *e, const float *params, const float *buffers,
    int64_t step, float *shadow)
{
	const double before = (double)(step - 1);
	double d = e->spec.decay;

	must(step >= 1);
	if (e->spec.warmup)
		d = RK_MIN(d, (1 + before) / (10 + before));

	const struct pass p = { .keep = (float)d, .take = (float)(1 - d),
		.shadow = shadow };
	over_both(e, params, buffers, p, step_piece);
}

void
optim_ema_swap(struct optim_ema *e, float *params, float *buffers)
{
	over_both(e, params, buffers, (struct pass){0}, swap_piece);
}
