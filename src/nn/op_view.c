/*
 * flatten, reshape, identity: y has the values of x in the same order, and lies
 * where x does if it may
 *
 *   dx += dy
 */
#include <string.h>

#include "ops.h"

static enum rk_err
flatten_shape(struct nn_graph *g, struct nn_node *nd, struct rk_why *why)
{
	const struct nn_value x = *nn_x(g, nd, 0);
	const int64_t start = nd->u->flatten.start;
	int64_t d[SPEC_MAX_DIMS], rest = 1;

	if (start >= x.ndim)
		return rk_refuse_at(why, nd->path, "%s flattens from dimension "
		    "%lld on, but its input has %d (counted from 0)",
		    nd->name, (long long)start, x.ndim);
	for (int i = 0; i < x.ndim; i++) {
		if (i < start)
			d[i] = x.d[i];
		else
			rest *= x.d[i];
	}
	d[start] = rest;
	return nn_set_shape(g, nd, (int)start + 1, d, why);
}

static enum rk_err
reshape_shape(struct nn_graph *g, struct nn_node *nd, struct rk_why *why)
{
	const struct nn_value x = *nn_x(g, nd, 0);
	const int n = nd->u->reshape.shape.n;
	char from[NN_SHAPE], to[NN_SHAPE];
	int64_t d[SPEC_MAX_DIMS], all = 1;
	int open = -1;

	for (int i = 0; i < n; i++) {
		d[i] = nd->u->reshape.shape.v[i];
		if (d[i] == 0 || (d[i] == -1 && open >= 0))
			return rk_refuse_at(why, nd->path, "%s's shape has %s",
			    nd->name, d[i] == 0 ? "a 0" : "more than one -1");
		if (d[i] == -1)
			open = i;
		else if (d[i] > x.count / all)
			all = x.count + 1;
		else
			all *= d[i];
	}
	if (open >= 0)
		d[open] = all <= x.count && x.count % all == 0 ?
		    x.count / all : -1;
	if (open >= 0 ? d[open] > 0 : all == x.count)
		return nn_set_shape(g, nd, n, d, why);
	return rk_refuse_at(why, nd->path, "%s makes %s of %s, which has %lld "
	    "value%s", nd->name, nn_shape_text(to, sizeof(to), n,
	    nd->u->reshape.shape.v), nn_shape_text(from, sizeof(from), x.ndim,
	    x.d), (long long)x.count, rk_s(x.count));
}

static void
forward(const struct nn_instr *i, const struct nn_now *now)
{
	if (i->y != i->x[0])
		memcpy(i->y, i->x[0], nn_yn(i, now) * sizeof(*i->y));
}

static void
backward(const struct nn_instr *i, const struct nn_now *now)
{
	float *dx = i->dx[0];

	if (dx != NULL && (dx != i->dy || i->add[0]))
		kernel_act_back(KERNEL_NO_ACT, NULL, i->dy, i->add[0], dx,
		    nn_yn(i, now));
}

#define VIEW(NAME, SHAPE, ...)                                            \
	const struct nn_op nn_op_##NAME = {                               \
		.shape = SHAPE, .forward = forward, .backward = backward, \
		.is_view = true, __VA_ARGS__                              \
	}
VIEW(flatten, flatten_shape);
VIEW(reshape, reshape_shape);
VIEW(identity, nn_same_shape, .may_block = nn_one_shape);
