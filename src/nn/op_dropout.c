/*
 * upscale_in_train    train: y = x m,  m = 0 with probability p, else 1/(1-p)
 *                     infer: y = x
 * downscale_in_infer  train: y = x m,  m = 0 with probability p, else 1
 *                     infer: y = x (1 - p)
 *
 *   dx += dy m
 *
 * m is drawn anew in backward, at the same (seed, step, layer, element of the
 * whole batch).
 */
#include "ops.h"

enum { UPSCALE, DOWNSCALE };            /* scaling, as ops.def has it */

/* The step is cut to 32 bits: masks repeat after four billion steps. */
static void
mask(const struct nn_instr *i, const struct nn_now *now, const float *from,
    float *to, bool add)
{
	const struct nn_node *nd = i->nd;
	const struct kernel_drop d = {
		.p = (float)nd->u->dropout.p,
		.downscale_in_infer = nd->u->dropout.scaling == DOWNSCALE,
		.seed = now->s.seed, .a = (uint32_t)now->s.step,
		.b = nd->stream,
		.from = (uint64_t)(now->s.first * nn_x(i->g, nd, 0)->count),
	};

	kernel_drop(&d, from, add, to, nn_yn(i, now));
}

static void
forward(const struct nn_instr *i, const struct nn_now *now)
{
	const double p = i->nd->u->dropout.p;

	if (now->train && p > 0)
		mask(i, now, i->x[0], i->y, false);
	else if (i->nd->u->dropout.scaling == DOWNSCALE && !now->train)
		kernel_scaled(i->x[0], (float)(1 - p), false, i->y,
		    nn_yn(i, now));
	else
		kernel_act(KERNEL_NO_ACT, i->x[0], i->y, nn_yn(i, now));
}

static void
backward(const struct nn_instr *i, const struct nn_now *now)
{
	float *dx = i->dx[0];

	if (dx == NULL)
		return;
	if (i->nd->u->dropout.p > 0)
		mask(i, now, i->dy, dx, i->add[0]);
	else if (i->add[0] || dx != i->dy)
		kernel_act_back(KERNEL_NO_ACT, NULL, i->dy, i->add[0], dx,
		    nn_yn(i, now));
}

static bool
infer_is_view(const struct nn_node *nd)
{
	return nd->u->dropout.scaling == UPSCALE;
}

static bool
draws(const struct nn_node *nd)
{
	return nd->u->dropout.p > 0;
}

const struct nn_op nn_op_dropout = {
	.shape = nn_same_shape, .forward = forward, .backward = backward,
	.in_place = true, .back_in_place = true,
	.infer_is_view = infer_is_view, .draws = draws,
};
