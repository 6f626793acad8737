/*
 * transpose   y[.., at order] = x: dimension i of y is order[i] of x
 * slice       y = x[start:end] of dimension dim;  dx[start:end] += dy
 * pad         y = x with `value` before and after; dx += the middle of dy
 * concat      y = the inputs one behind the other; dx[k] += its part of dy
 * shortcut_a  every stride-th row and column, zero channels around
 */
#include <string.h>

#include "ops.h"
#include "rekindle/kernel_blocked.h"

static int64_t
product(const int64_t *d, int from, int to)
{
	int64_t n = 1;

	for (int i = from; i < to; i++)
		n *= d[i];
	return n;
}

static enum rk_err
check_dim(const struct nn_node *nd, const struct nn_value *x, int64_t dim,
    struct rk_why *why)
{
	if (dim < x->ndim)
		return RK_OK;
	return rk_refuse_at(why, nd->path, "%s works on dimension %lld, but "
	    "its input has %d (counted from 0)", nd->name, (long long)dim,
	    x->ndim);
}

/* An array as [outer, d, inner] around a dimension; `unit` of this are one of
 * d: a blocked image is cut between blocks alone. */
struct around {
	size_t outer, d, inner, unit;
};

static struct around
around(const struct nn_value *v, int64_t dim, int64_t rows)
{
	if (v->layout == KERNEL_BLOCKED)
		return (struct around){ .outer = (size_t)rows,
			.d = (size_t)kernel_blocks(v->d[0]),
			.inner = (size_t)(v->d[1] * v->d[2] * KERNEL_BLOCK),
			.unit = KERNEL_BLOCK };
	return (struct around){ .unit = 1,
		.outer = (size_t)(rows * product(v->d, 0, (int)dim)),
		.d = (size_t)v->d[dim],
		.inner = (size_t)product(v->d, (int)dim + 1, v->ndim),
	};
}

/* So many of a dimension are so many of d. */
static size_t
units(const struct around *a, int64_t n)
{
	return ((size_t)n + a->unit - 1) / a->unit;
}

/* --- transpose ------------------------------------------------------------ */

static enum rk_err
transpose_shape(struct nn_graph *g, struct nn_node *nd, struct rk_why *why)
{
	const struct nn_value *x = nn_x(g, nd, 0);
	const int64_t *order = nd->u->transpose.order.v;
	const int n = nd->u->transpose.order.n;
	int64_t d[SPEC_MAX_DIMS];
	unsigned seen = 0;

	if (n != x->ndim)
		return rk_refuse_at(why, nd->path, "%s orders %d dimension%s, "
		    "but its input has %d", nd->name, n, rk_s(n), x->ndim);
	for (int i = 0; i < n; i++) {
		if (order[i] >= n || (seen >> order[i] & 1))
			return rk_refuse_at(why, nd->path, "%s's order has "
			    "%lld %s, want each of 0 to %d once", nd->name,
			    (long long)order[i], order[i] >= n ? "in it" :
			    "twice", n - 1);
		seen |= 1u << order[i];
		d[i] = x->d[order[i]];
	}
	return nn_set_shape(g, nd, n, d, why);
}

static void
transpose_forward(const struct nn_instr *i, const struct nn_now *now)
{
	const struct nn_value *x = nn_x(i->g, i->nd, 0);
	int64_t d[KERNEL_DIMS] = { now->s.rows };
	int order[KERNEL_DIMS] = { 0 };

	for (int k = 0; k < x->ndim; k++) {
		d[k + 1] = x->d[k];
		order[k + 1] = (int)i->nd->u->transpose.order.v[k] + 1;
	}
	kernel_transpose(x->ndim + 1, d, order, i->x[0], false, i->y);
}

static void
transpose_backward(const struct nn_instr *i, const struct nn_now *now)
{
	const struct nn_value *y = nn_y(i->g, i->nd);
	int64_t d[KERNEL_DIMS] = { now->s.rows };
	int inverse[KERNEL_DIMS] = { 0 };

	if (i->dx[0] == NULL)
		return;
	for (int k = 0; k < y->ndim; k++) {
		d[k + 1] = y->d[k];
		inverse[i->nd->u->transpose.order.v[k] + 1] = k + 1;
	}
	kernel_transpose(y->ndim + 1, d, inverse, i->dy, i->add[0], i->dx[0]);
}

const struct nn_op nn_op_transpose = {
	.shape = transpose_shape, .forward = transpose_forward,
	.backward = transpose_backward,
};

/* --- slice ---------------------------------------------------------------- */

static int64_t
slice_start(const struct nn_node *nd, const struct nn_value *x)
{
	const struct spec_op_slice *s = &nd->u->slice;

	return s->start < 0 ? s->start + x->d[s->dim] : s->start;
}

static enum rk_err
slice_shape(struct nn_graph *g, struct nn_node *nd, struct rk_why *why)
{
	const struct spec_op_slice *s = &nd->u->slice;
	const struct nn_value x = *nn_x(g, nd, 0);
	enum rk_err rc = check_dim(nd, &x, s->dim, why);
	int64_t d[SPEC_MAX_DIMS];

	if (rc != RK_OK)
		return rc;
	const int64_t size = x.d[s->dim], from = slice_start(nd, &x);
	const int64_t to = s->end <= 0 ? s->end + size : s->end;
	if (from < 0 || to > size || from >= to)
		return rk_refuse_at(why, nd->path, "%s takes %lld to %lld of "
		    "dimension %lld, which has %lld", nd->name,
		    (long long)s->start, (long long)s->end, (long long)s->dim,
		    (long long)size);
	memcpy(d, x.d, sizeof(d));
	d[s->dim] = to - from;
	return nn_set_shape(g, nd, x.ndim, d, why);
}

static void
slice_forward(const struct nn_instr *i, const struct nn_now *now)
{
	const struct nn_value *x = nn_x(i->g, i->nd, 0);
	const int64_t dim = i->nd->u->slice.dim;
	const struct around a = around(x, dim, now->s.rows);

	kernel_slice(a.outer, a.d, a.inner, units(&a, slice_start(i->nd, x)),
	    units(&a, nn_y(i->g, i->nd)->d[dim]), i->x[0], false, i->y);
}

static void
slice_backward(const struct nn_instr *i, const struct nn_now *now)
{
	const struct nn_value *x = nn_x(i->g, i->nd, 0);
	const int64_t dim = i->nd->u->slice.dim;
	const struct around a = around(x, dim, now->s.rows);

	if (i->dx[0] == NULL)
		return;
	if (!i->add[0])
		kernel_fill(i->dx[0], 0, nn_xn(i, now, 0));
	kernel_place(a.outer, a.d, a.inner, units(&a, slice_start(i->nd, x)),
	    units(&a, nn_y(i->g, i->nd)->d[dim]), i->dy, i->add[0], i->dx[0]);
}

/* Other dimensions are seldom cut. */
static bool
slice_may_block(const struct nn_graph *g, const struct nn_node *nd)
{
	const struct nn_value *x = nn_x(g, nd, 0), *y = nn_y(g, nd);
	const int64_t from = slice_start(nd, x);

	return nd->u->slice.dim == 0 && from % KERNEL_BLOCK == 0 &&
	    (y->d[0] % KERNEL_BLOCK == 0 || from + y->d[0] == x->d[0]);
}

const struct nn_op nn_op_slice = {
	.shape = slice_shape, .forward = slice_forward,
	.backward = slice_backward, .may_block = slice_may_block,
};

/* --- pad ------------------------------------------------------------------ */

static enum rk_err
pad_shape(struct nn_graph *g, struct nn_node *nd, struct rk_why *why)
{
	const struct spec_op_pad *p = &nd->u->pad;
	const struct nn_value x = *nn_x(g, nd, 0);
	enum rk_err rc = check_dim(nd, &x, p->dim, why);
	int64_t d[SPEC_MAX_DIMS];

	if (rc != RK_OK)
		return rc;
	memcpy(d, x.d, sizeof(d));
	d[p->dim] += p->before + p->after;
	return nn_set_shape(g, nd, x.ndim, d, why);
}

static void
pad_forward(const struct nn_instr *i, const struct nn_now *now)
{
	const struct spec_op_pad *p = &i->nd->u->pad;
	const struct around a = around(nn_y(i->g, i->nd), p->dim, now->s.rows);

	kernel_fill(i->y, (float)p->value, nn_yn(i, now));
	kernel_place(a.outer, a.d, a.inner, (size_t)p->before,
	    (size_t)nn_x(i->g, i->nd, 0)->d[p->dim], i->x[0], false, i->y);
}

static void
pad_backward(const struct nn_instr *i, const struct nn_now *now)
{
	const struct spec_op_pad *p = &i->nd->u->pad;
	const struct around a = around(nn_y(i->g, i->nd), p->dim, now->s.rows);

	if (i->dx[0] != NULL)
		kernel_slice(a.outer, a.d, a.inner, (size_t)p->before,
		    (size_t)nn_x(i->g, i->nd, 0)->d[p->dim], i->dy,
		    i->add[0], i->dx[0]);
}

const struct nn_op nn_op_pad = {
	.shape = pad_shape, .forward = pad_forward, .backward = pad_backward,
};

/* --- concat --------------------------------------------------------------- */

static enum rk_err
concat_shape(struct nn_graph *g, struct nn_node *nd, struct rk_why *why)
{
	const int64_t dim = nd->u->concat.dim;
	const struct nn_value x = *nn_x(g, nd, 0);
	enum rk_err rc = check_dim(nd, &x, dim, why);
	char a[NN_SHAPE], b[NN_SHAPE];
	int64_t d[SPEC_MAX_DIMS];

	if (rc != RK_OK)
		return rc;
	memcpy(d, x.d, sizeof(d));
	for (int k = 1; k < nd->nin; k++) {
		const struct nn_value *v = nn_x(g, nd, k);
		bool meets = v->ndim == x.ndim;
		for (int i = 0; meets && i < x.ndim; i++)
			meets = i == dim || v->d[i] == x.d[i];
		if (!meets)
			return rk_refuse_at(why, nd->path, "%s puts %s (%s) "
			    "behind %s (%s) in dimension %lld: all others must "
			    "be the same", nd->name, nn_shape_text(a,
			    sizeof(a), v->ndim, v->d), nn_maker(g, v),
			    nn_shape_text(b, sizeof(b), x.ndim, x.d),
			    nn_maker(g, &x), (long long)dim);
		d[dim] += v->d[dim];
	}
	return nn_set_shape(g, nd, x.ndim, d, why);
}

static void
concat_forward(const struct nn_instr *i, const struct nn_now *now)
{
	const int64_t dim = i->nd->u->concat.dim;
	const struct around a = around(nn_y(i->g, i->nd), dim, now->s.rows);
	size_t at = 0;

	for (int k = 0; k < i->nin; k++) {
		const size_t len = units(&a, nn_x(i->g, i->nd, k)->d[dim]);
		kernel_place(a.outer, a.d, a.inner, at, len, i->x[k], false,
		    i->y);
		at += len;
	}
}

static void
concat_backward(const struct nn_instr *i, const struct nn_now *now)
{
	const int64_t dim = i->nd->u->concat.dim;
	const struct around a = around(nn_y(i->g, i->nd), dim, now->s.rows);
	size_t at = 0;

	for (int k = 0; k < i->nin; k++) {
		const size_t len = units(&a, nn_x(i->g, i->nd, k)->d[dim]);
		if (i->dx[k] != NULL)
			kernel_slice(a.outer, a.d, a.inner, at, len, i->dy,
			    i->add[k], i->dx[k]);
		at += len;
	}
}

/* Each but the last must fill its blocks. */
static bool
concat_may_block(const struct nn_graph *g, const struct nn_node *nd)
{
	for (int k = 0; k + 1 < nd->nin; k++)
		if (nn_x(g, nd, k)->d[0] % KERNEL_BLOCK != 0)
			return false;
	return nd->u->concat.dim == 0;
}

const struct nn_op nn_op_concat = {
	.shape = concat_shape, .forward = concat_forward,
	.backward = concat_backward, .may_block = concat_may_block,
};

/* --- shortcut_a ----------------------------------------------------------- */

static enum rk_err
shortcut_shape(struct nn_graph *g, struct nn_node *nd, struct rk_why *why)
{
	const struct spec_op_shortcut_a *s = &nd->u->shortcut_a;
	enum rk_err rc = nn_want_image(g, nd, why);

	if (rc != RK_OK)
		return rc;
	const struct nn_value *x = nn_x(g, nd, 0);
	if (s->out < x->d[0])
		return rk_refuse_at(why, nd->path, "%s makes %lld channel%s of "
		    "%lld: it can only add some", nd->name, (long long)s->out,
		    rk_s(s->out), (long long)x->d[0]);
	return nn_set_shape(g, nd, 3, (int64_t[]){ s->out,
	    (x->d[1] + s->stride - 1) / s->stride,
	    (x->d[2] + s->stride - 1) / s->stride }, why);
}

static void
shortcut_forward(const struct nn_instr *i, const struct nn_now *now)
{
	const struct nn_value *x = nn_x(i->g, i->nd, 0);
	const struct spec_op_shortcut_a *s = &i->nd->u->shortcut_a;

	(nn_is_blocked(i->g, i->nd) ? kernel_blocked_shortcut :
	    kernel_shortcut_a)(now->s.rows, x->d[0], x->d[1], x->d[2], s->out,
	    s->stride, i->x[0], i->y);
}

static void
shortcut_backward(const struct nn_instr *i, const struct nn_now *now)
{
	const struct nn_value *x = nn_x(i->g, i->nd, 0);
	const struct spec_op_shortcut_a *s = &i->nd->u->shortcut_a;

	if (i->dx[0] != NULL)
		(nn_is_blocked(i->g, i->nd) ? kernel_blocked_shortcut_back :
		    kernel_shortcut_a_back)(now->s.rows, x->d[0], x->d[1],
		    x->d[2], s->out, s->stride, i->dy, i->add[0], i->dx[0]);
}

/* Blocks of x become blocks of y. */
static bool
shortcut_may_block(const struct nn_graph *g, const struct nn_node *nd)
{
	const int64_t c = nn_x(g, nd, 0)->d[0];

	return c % KERNEL_BLOCK == 0 &&
	    (nd->u->shortcut_a.out - c) / 2 % KERNEL_BLOCK == 0;
}

const struct nn_op nn_op_shortcut_a = {
	.shape = shortcut_shape, .forward = shortcut_forward,
	.backward = shortcut_backward, .may_block = shortcut_may_block,
};
