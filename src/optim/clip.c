/* Clipping of gradients, over the pieces of the spans that are trained. */
#include <math.h>

#include "impl.h"

struct pass {
	struct optim *o;
	float *grads;
	float by;
};

static bool
trains(const struct pass *p, size_t i)
{
	return p->o->span[p->o->piece[i].span].trains;
}

static void
square_piece(void *ctx, size_t i)
{
	const struct pass *p = ctx;
	const struct piece *c = &p->o->piece[i];

	p->o->sum[i] = trains(p, i) ?
	    kernel_sum_squares(p->grads + c->at, c->n) : 0;
}

static void
scale_piece(void *ctx, size_t i)
{
	const struct pass *p = ctx;
	const struct piece *c = &p->o->piece[i];

	if (trains(p, i))
		kernel_scale(p->grads + c->at, c->n, p->by);
}

static void
clamp_piece(void *ctx, size_t i)
{
	const struct pass *p = ctx;
	const struct piece *c = &p->o->piece[i];

	if (trains(p, i))
		kernel_clamp(p->grads + c->at, c->n, p->by);
}

double
optim_clip(struct optim *o, float *grads, double max)
{
	struct pass p = { .o = o, .grads = grads };
	double total = 0;

	must_be(o, OPTIM_TAG);
	kernel_for(o->npieces, square_piece, &p);
	for (size_t i = 0; i < o->npieces; i++)
		total += o->sum[i];

	double norm = sqrt(total), by = max / (norm + 1e-6);
	/* A norm that is no number must not pass for a small one: the
	 * gradients become NaN, and the loss shows it. */
	if (!(by >= 1)) {
		p.by = (float)by;
		kernel_for(o->npieces, scale_piece, &p);
	}
	return norm;
}

void
optim_clip_value(struct optim *o, float *grads, double max)
{
	struct pass p = { o, grads, (float)max };

	must_be(o, OPTIM_TAG);
	kernel_for(o->npieces, clamp_piece, &p);
}
