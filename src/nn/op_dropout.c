/*
 * train: y = x m,  m = 0 with probability p, else 1 / (1 - p);  eval: y = x
 *
 *   dx += dy m
 *
 * m is drawn anew in backward, at the same (seed, step, layer, element).
 */
#include <string.h>

#include "ops.h"

static enum rk_err
shape(struct nn *n, struct nn_node *nd, struct rk_why *why)
{
	const struct nn_value *x = nn_x(n, nd);
	int64_t d[4];

	for (int i = 0; i < x->ndim; i++)
		d[i] = x->d[i];
	return nn_set_shape(n, nd, x->ndim, d, why);
}

/* The step is cut to 32 bits: masks repeat after four billion steps. */
static void
mask(const struct nn *n, const struct nn_node *nd, const float *from, float *to,
    bool add)
{
	kernel_dropout(from, to, add, (size_t)(n->rows * nn_x(n, nd)->count),
	    (float)nd->l.p, n->seed, (uint32_t)n->step, nd->stream);
}

static void
forward(struct nn *n, struct nn_node *nd)
{
	const struct nn_value *x = nn_x(n, nd), *y = nn_y(n, nd);

	if (n->train && nd->l.p > 0)
		mask(n, nd, x->p, y->p, false);
	else
		kernel_act(KERNEL_NO_ACT, x->p, y->p,
		    (size_t)(n->rows * x->count));
}

static void
backward(struct nn *n, struct nn_node *nd)
{
	const struct nn_value *y = nn_y(n, nd);
	bool add;
	float *dx = nn_dx(n, nd, &add);

	if (dx == NULL)
		return;
	if (nd->l.p > 0)
		mask(n, nd, y->g, dx, add);
	else if (add || dx != y->g)
		kernel_act_back(KERNEL_NO_ACT, NULL, y->g, add, dx,
		    (size_t)(n->rows * y->count));
}

const struct nn_op nn_op_dropout = {
	.name = "dropout", .shape = shape, .forward = forward,
	.backward = backward, .in_place = true,
};
