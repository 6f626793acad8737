/*
 * softmax     y = e^x / sum of e^x over the last dimension
 *             dx += y (dy - sum dy y)
 * layer_norm  y = (x - mean) / sqrt(var + eps) * weight + bias over the last
 *             `dims` dimensions; kernel.h has dx, dweight and dbias
 */
#include <string.h>

#include "ops.h"

enum { WEIGHT, BIAS };

/* --- softmax -------------------------------------------------------------- */

static void
softmax_forward(const struct nn_instr *i, const struct nn_now *now)
{
	const struct nn_value *x = nn_x(i->g, i->nd, 0);
	const int64_t n = x->d[x->ndim - 1];

	kernel_softmax(nn_yn(i, now) / (size_t)n, n, i->x[0], i->y);
}

static void
softmax_backward(const struct nn_instr *i, const struct nn_now *now)
{
	const struct nn_value *x = nn_x(i->g, i->nd, 0);
	const int64_t n = x->d[x->ndim - 1];

	if (i->dx[0] != NULL)
		kernel_softmax_back(nn_yn(i, now) / (size_t)n, n, i->y, i->dy,
		    i->add[0], i->dx[0]);
}

const struct nn_op nn_op_softmax = {
	.shape = nn_same_shape, .forward = softmax_forward,
	.backward = softmax_backward, .in_place = true,
	.back_in_place = true, .keeps_y = true,
};

/* --- layer norm ----------------------------------------------------------- */

static int64_t
width(const struct nn_value *x, int64_t dims)
{
	int64_t n = 1;

	for (int64_t i = x->ndim - dims; i < x->ndim; i++)
		n *= x->d[i];
	return n;
}

static enum rk_err
shape(struct nn_graph *g, struct nn_node *nd, struct rk_why *why)
{
	static const char *const names[] = { "weight", "bias" };
	const struct nn_value *x = nn_x(g, nd, 0);
	const int64_t dims = nd->u->layer_norm.dims;

	if (dims > x->ndim)
		return rk_refuse_at(why, nd->path, "%s normalises over %lld "
		    "dimension%s, but its input has %d", nd->name,
		    (long long)dims, rk_s(dims), x->ndim);
	for (int i = 0; i < 2; i++) {
		struct nn_param_want w = { .what = names[i],
			.ndim = (int)dims, .fill = NN_FILL_VALUE,
			.value = i == WEIGHT ? 1 : 0 };
		memcpy(w.d, x->d + x->ndim - dims, (size_t)dims *
		    sizeof(*w.d));
		enum rk_err rc = nn_add_param(g, nd, &w, why);
		if (rc != RK_OK)
			return rc;
	}
	nd->saved = 2 * (x->count / width(x, dims));
	nd->scratch = kernel_lnorm_scratch(width(x, dims));
	return nn_same_shape(g, nd, why);
}

static struct kernel_lnorm
settings(const struct nn_instr *i, size_t rows)
{
	const struct nn_value *x = nn_x(i->g, i->nd, 0);
	const struct spec_op_layer_norm *l = &i->nd->u->layer_norm;

	return (struct kernel_lnorm){
		.n = width(x, l->dims), .eps = (float)l->eps,
		.weight = nn_w(i, WEIGHT), .bias = nn_w(i, BIAS),
		.mean = i->saved,
		.inv = i->saved != NULL ? i->saved + rows : NULL,
	};
}

static size_t
rows_of(const struct nn_instr *i, const struct nn_now *now)
{
	const struct nn_value *x = nn_x(i->g, i->nd, 0);

	return nn_yn(i, now) / (size_t)width(x, i->nd->u->layer_norm.dims);
}

static void
forward(const struct nn_instr *i, const struct nn_now *now)
{
	const size_t rows = rows_of(i, now);
	struct kernel_lnorm l = settings(i, rows);

	kernel_lnorm(&l, rows, i->x[0], i->y);
}

static void
backward(const struct nn_instr *i, const struct nn_now *now)
{
	const size_t rows = rows_of(i, now);
	struct kernel_lnorm l = settings(i, rows);
	bool add_dw, add_db;
	float *dw = nn_dw(i, now, WEIGHT, &add_dw);
	float *db = nn_dw(i, now, BIAS, &add_db);

	kernel_lnorm_back(&l, rows, i->x[0], i->dy, i->add[0], i->dx[0],
	    add_dw, dw, add_db, db, i->scratch);
}

const struct nn_op nn_op_layer_norm = {
	.shape = shape, .forward = forward, .backward = backward,
	.in_place = true, .keeps_x = 1, .saves_for_back = true,
};
