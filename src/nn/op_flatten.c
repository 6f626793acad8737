/*
 * y[B,N] = x[B,...]: the same values, in the same place
 *
 *   dx += dy
 */
#include "ops.h"

static enum rk_err
shape(struct nn *n, struct nn_node *nd, struct rk_why *why)
{
	const int64_t count = nn_x(n, nd)->count;

	return nn_set_shape(n, nd, 1, &count, why);
}

static void
forward(struct nn *n, struct nn_node *nd)
{
	must(nn_x(n, nd)->p == nn_y(n, nd)->p);
}

static void
backward(struct nn *n, struct nn_node *nd)
{
	const struct nn_value *y = nn_y(n, nd);
	bool add;
	float *dx = nn_dx(n, nd, &add);

	/* In one place, unless x has another reader too. */
	if (dx != NULL && dx != y->g)
		kernel_act_back(KERNEL_NO_ACT, NULL, y->g, add, dx,
		    (size_t)(n->rows * y->count));
}

const struct nn_op nn_op_flatten = {
	.name = "flatten", .shape = shape, .forward = forward,
	.backward = backward, .is_view = true,
};
