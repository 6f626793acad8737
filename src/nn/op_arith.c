/*
 * add       y = x0 + x1 + ..., left to right;  dx[k] += dy, summed over what
 *           it was repeated for
 * multiply  y = x0 x1;  dx0 += dy x1,  dx1 += dy x0, summed likewise
 *
 * A later input has as many dimensions as the first, each as long or 1: then it
 * counts for all of that dimension.
 */
#include <string.h>

#include "ops.h"
#include "rekindle/kernel_blocked.h"

static enum rk_err
shape(struct nn_graph *g, struct nn_node *nd, struct rk_why *why)
{
	const struct nn_value *x = nn_x(g, nd, 0);
	char a[NN_SHAPE], b[NN_SHAPE];

	for (int k = 1; k < nd->nin; k++) {
		const struct nn_value *v = nn_x(g, nd, k);
		bool meets = v->ndim == x->ndim;
		for (int i = 0; meets && i < x->ndim; i++)
			meets = v->d[i] == x->d[i] || v->d[i] == 1;
		if (!meets)
			return rk_refuse_at(why, nd->path, "%s meets %s (%s) "
			    "with %s (%s): want the same dimensions, or 1 in "
			    "the later", nd->name, nn_shape_text(a, sizeof(a),
			    x->ndim, x->d), nn_maker(g, x),
			    nn_shape_text(b, sizeof(b), v->ndim, v->d),
			    nn_maker(g, v));
	}
	return nn_same_shape(g, nd, why);
}

/* With the batch as first dimension; how many these are.  A blocked image,
 * whose like the other is, is so many numbers. */
static int
dims(const struct nn_value *v, int64_t rows, int64_t d[KERNEL_DIMS])
{
	d[0] = rows;
	d[1] = nn_floats(v);
	if (v->layout == KERNEL_BLOCKED)
		return 2;
	memcpy(d + 1, v->d, (size_t)v->ndim * sizeof(*d));
	return v->ndim + 1;
}

/* --- add ------------------------------------------------------------------ */

static void
add_to(const struct nn_instr *i, const struct nn_now *now, const float *a,
    int k)
{
	const struct nn_value *x = nn_x(i->g, i->nd, 0);
	int64_t d[KERNEL_DIMS], db[KERNEL_DIMS];

	const int n = dims(x, now->s.rows, d);
	dims(nn_x(i->g, i->nd, k), now->s.rows, db);
	/* y may lie on the second of two, which is then of the same shape. */
	if (i->y == i->x[k] && a != i->x[k])
		kernel_broadcast_add(n, d, d, i->x[k], a, i->y);
	else
		kernel_broadcast_add(n, d, db, a, i->x[k], i->y);
}

static void
add_forward(const struct nn_instr *i, const struct nn_now *now)
{
	add_to(i, now, i->x[0], 1);
	for (int k = 2; k < i->nin; k++)
		add_to(i, now, i->y, k);
}

static void
add_backward(const struct nn_instr *i, const struct nn_now *now)
{
	const struct nn_value *y = nn_y(i->g, i->nd);
	int64_t d[KERNEL_DIMS], db[KERNEL_DIMS];

	const int n = dims(y, now->s.rows, d);
	for (int k = 0; k < i->nin; k++) {
		const struct nn_value *x = nn_x(i->g, i->nd, k);
		float *dx = i->dx[k];
		if (dx == NULL || (dx == i->dy && !i->add[k]))
			continue;
		dims(x, now->s.rows, db);
		if (x->count == y->count)
			kernel_act_back(KERNEL_NO_ACT, NULL, i->dy, i->add[k],
			    dx, nn_yn(i, now));
		else
			kernel_reduce(n, d, db, i->dy, NULL,
			    i->add[k], dx);
	}
}

const struct nn_op nn_op_add = {
	.shape = shape, .forward = add_forward, .backward = add_backward,
	.may_block = nn_one_shape,
	.in_place = true, .passes_dy = true,
};

/* --- multiply ------------------------------------------------------------- */

/* The second may be of one place: a number for each channel. */
static bool
is_gate(const struct nn_graph *g, const struct nn_node *nd)
{
	const struct nn_value *x = nn_x(g, nd, 0), *s = nn_x(g, nd, 1);

	return x->ndim == 3 && s->d[0] == x->d[0] && s->d[1] == 1 &&
	    s->d[2] == 1;
}

static bool
may_block(const struct nn_graph *g, const struct nn_node *nd)
{
	return nn_one_shape(g, nd) || is_gate(g, nd);
}

static bool
blocked_gate(const struct nn_instr *i)
{
	return nn_is_blocked(i->g, i->nd) && is_gate(i->g, i->nd);
}

static void
multiply_forward(const struct nn_instr *i, const struct nn_now *now)
{
	const struct nn_value *x = nn_x(i->g, i->nd, 0);
	int64_t d[KERNEL_DIMS], db[KERNEL_DIMS];

	if (blocked_gate(i)) {
		kernel_blocked_gate(now->s.rows, x->d[0], x->d[1] * x->d[2],
		    i->x[0], i->x[1], false, i->y);
		return;
	}
	const int n = dims(x, now->s.rows, d);
	dims(nn_x(i->g, i->nd, 1), now->s.rows, db);
	kernel_broadcast_multiply(n, d, db, i->x[0], i->x[1], false, i->y);
}

static void
gate_backward(const struct nn_instr *i, const struct nn_now *now)
{
	const struct nn_value *x = nn_x(i->g, i->nd, 0);
	const int64_t plane = x->d[1] * x->d[2];

	if (i->dx[0] != NULL)
		kernel_blocked_gate(now->s.rows, x->d[0], plane, i->dy,
		    i->x[1], i->add[0], i->dx[0]);
	if (i->dx[1] != NULL)
		kernel_blocked_dots(now->s.rows, x->d[0], plane, i->dy,
		    i->x[0], i->add[1], i->dx[1]);
}

static void
multiply_backward(const struct nn_instr *i, const struct nn_now *now)
{
	const struct nn_value *x = nn_x(i->g, i->nd, 0);
	int64_t d[KERNEL_DIMS], db[KERNEL_DIMS];

	if (blocked_gate(i)) {
		gate_backward(i, now);
		return;
	}
	const int n = dims(x, now->s.rows, d);
	dims(nn_x(i->g, i->nd, 1), now->s.rows, db);
	if (i->dx[0] != NULL)
		kernel_broadcast_multiply(n, d, db, i->dy, i->x[1],
		    i->add[0], i->dx[0]);
	if (i->dx[1] != NULL)
		kernel_reduce(n, d, db, i->dy, i->x[0], i->add[1],
		    i->dx[1]);
}

const struct nn_op nn_op_multiply = {
	.shape = shape, .forward = multiply_forward,
	.backward = multiply_backward, .may_block = may_block, .keeps_x = 3,
	.in_place = true,
};
