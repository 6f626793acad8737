/*
 * y = f(x), f relu, gelu, sigmoid or tanh; kernel.h has the formulas
 *
 *   dx += dy f'(x), from y for all but gelu
 */
#include "ops.h"

static enum rk_err
shape(struct nn *n, struct nn_node *nd, struct rk_why *why)
{
	const struct nn_value *x = nn_x(n, nd);
	int64_t d[4];

	for (int i = 0; i < x->ndim; i++)
		d[i] = x->d[i];
	nd->act = nd->op == &nn_op_relu ? KERNEL_RELU
	    : nd->op == &nn_op_gelu ? KERNEL_GELU
	    : nd->op == &nn_op_sigmoid ? KERNEL_SIGMOID : KERNEL_TANH;
	return nn_set_shape(n, nd, x->ndim, d, why);
}

static void
forward(struct nn *n, struct nn_node *nd)
{
	const struct nn_value *x = nn_x(n, nd);

	kernel_act(nd->act, x->p, nn_y(n, nd)->p, (size_t)(n->rows * x->count));
}

static void
backward(struct nn *n, struct nn_node *nd)
{
	const struct nn_value *x = nn_x(n, nd), *y = nn_y(n, nd);
	bool add;
	float *dx = nn_dx(n, nd, &add);

	if (dx != NULL)
		kernel_act_back(nd->act, nd->op->keeps_x ? x->p : y->p, y->g,
		    add, dx, (size_t)(n->rows * x->count));
}

#define ACT(NAME, ...)                                                    \
	const struct nn_op nn_op_##NAME = {                               \
		.name = #NAME, .shape = shape, .forward = forward,        \
		.backward = backward, .in_place = true, __VA_ARGS__       \
	}
ACT(relu, .keeps_y = true);
ACT(sigmoid, .keeps_y = true);
ACT(tanh, .keeps_y = true);
ACT(gelu, .keeps_x = true);
