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

/* With the batch as first dimension. */
static void
dims(const struct nn_value *v, int64_t rows, int64_t d[KERNEL_DIMS])
{
	d[0] = rows;
	memcpy(d + 1, v->d, (size_t)v->ndim * sizeof(*d));
}

/* --- add ------------------------------------------------------------------ */

static void
add_to(const struct nn_instr *i, const struct nn_now *now, const float *a,
    int k)
{
	const struct nn_value *x = nn_x(i->g, i->nd, 0);
	int64_t d[KERNEL_DIMS], db[KERNEL_DIMS];

	dims(x, now->s.rows, d);
	dims(nn_x(i->g, i->nd, k), now->s.rows, db);
	/* y may lie on the second of two, which is then of the same shape. */
	if (i->y == i->x[k] && a != i->x[k])
		kernel_broadcast_add(x->ndim + 1, d, d, i->x[k], a, i->y);
	else
		kernel_broadcast_add(x->ndim + 1, d, db, a, i->x[k], i->y);
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

	dims(y, now->s.rows, d);
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
			kernel_reduce(y->ndim + 1, d, db, i->dy, NULL,
			    i->add[k], dx);
	}
}

const struct nn_op nn_op_add = {
	.shape = shape, .forward = add_forward, .backward = add_backward,
	.in_place = true, .passes_dy = true,
};

/* --- multiply ------------------------------------------------------------- */

static void
multiply_forward(const struct nn_instr *i, const struct nn_now *now)
{
	const struct nn_value *x = nn_x(i->g, i->nd, 0);
	int64_t d[KERNEL_DIMS], db[KERNEL_DIMS];

	dims(x, now->s.rows, d);
	dims(nn_x(i->g, i->nd, 1), now->s.rows, db);
	kernel_broadcast_multiply(x->ndim + 1, d, db, i->x[0], i->x[1], false,
	    i->y);
}

static void
multiply_backward(const struct nn_instr *i, const struct nn_now *now)
{
	const struct nn_value *x = nn_x(i->g, i->nd, 0);
	int64_t d[KERNEL_DIMS], db[KERNEL_DIMS];

	dims(x, now->s.rows, d);
	dims(nn_x(i->g, i->nd, 1), now->s.rows, db);
	if (i->dx[0] != NULL)
		kernel_broadcast_multiply(x->ndim + 1, d, db, i->dy, i->x[1],
		    i->add[0], i->dx[0]);
	if (i->dx[1] != NULL)
		kernel_reduce(x->ndim + 1, d, db, i->dy, i->x[0], i->add[1],
		    i->dx[1]);
}

const struct nn_op nn_op_multiply = {
	.shape = shape, .forward = multiply_forward,
	.backward = multiply_backward, .keeps_x = 3, .in_place = true,
};
