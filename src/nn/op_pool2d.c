/*
 * y[b,c,i,j] = the largest of x[b,c,window(i,j)], or their mean
 *
 *   max: dx[b,c,where it was] += dy[b,c,i,j]
 *   avg: dx[b,c,window(i,j)]  += dy[b,c,i,j] / (kh kw)
 *
 * The places of the largest are saved; padding is never the largest, and counts
 * as zeros in the mean.
 */
#include "ops.h"

static enum rk_err
shape(struct nn *n, struct nn_node *nd, struct rk_why *why)
{
	enum rk_err rc = nn_window_shape(n, nd, why);

	if (rc != RK_OK)
		return rc;
	const struct kernel_window *v = &nd->win;
	for (int i = 0; i < 2; i++)
		/* Else a window could lie in the padding alone. */
		if (v->pad[i] > v->k[i] / 2)
			return rk_refuse_at(why, nd->path, "%s's padding is "
			    "%lld, at most half its kernel of %lld", nd->name,
			    (long long)v->pad[i], (long long)v->k[i]);
	rc = nn_set_shape(n, nd, 3, (int64_t[]){ v->c, v->oh, v->ow }, why);
	if (rc == RK_OK && nd->op == &nn_op_max_pool2d)
		nd->saved = nn_y(n, nd)->count;
	return rc;
}

/* int32_t and float are of one size, so places fit where floats would. */
static int32_t *
places(const struct nn_node *nd)
{
	return (int32_t *)(void *)nd->saved_p;
}

static void
max_forward(struct nn *n, struct nn_node *nd)
{
	kernel_max_pool(&nd->win, n->rows, nn_x(n, nd)->p, nn_y(n, nd)->p,
	    places(nd));
}

static void
max_backward(struct nn *n, struct nn_node *nd)
{
	bool add;
	float *dx = nn_dx(n, nd, &add);

	if (dx != NULL)
		kernel_max_pool_back(&nd->win, n->rows, nn_y(n, nd)->g,
		    places(nd), add, dx);
}

static void
avg_forward(struct nn *n, struct nn_node *nd)
{
	kernel_avg_pool(&nd->win, n->rows, nn_x(n, nd)->p, nn_y(n, nd)->p);
}

static void
avg_backward(struct nn *n, struct nn_node *nd)
{
	bool add;
	float *dx = nn_dx(n, nd, &add);

	if (dx != NULL)
		kernel_avg_pool_back(&nd->win, n->rows, nn_y(n, nd)->g, add,
		    dx);
}

const struct nn_op nn_op_max_pool2d = {
	.name = "max_pool2d", .shape = shape, .forward = max_forward,
	.backward = max_backward,
};
const struct nn_op nn_op_avg_pool2d = {
	.name = "avg_pool2d", .shape = shape, .forward = avg_forward,
	.backward = avg_backward,
};
