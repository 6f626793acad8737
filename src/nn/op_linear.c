/*
 * y[B,M] = x[B,N] · w[M,N]ᵀ + b[M], then relu if one was folded in
 *
 *   dy       = dy [y > 0]                    (with relu, in place)
 *   dx[B,N] += dy[B,M]  · w[M,N]
 *   dw[M,N] += dy[B,M]ᵀ · x[B,N]
 *   db[M]   += sum over B of dy[B,M]
 *
 * x of any shape is taken as N values a sample.
 */
#include <math.h>

#include "ops.h"

static enum rk_err
shape(struct nn *n, struct nn_node *nd, struct rk_why *why)
{
	char out[RK_HUMAN], most[RK_HUMAN];
	const int64_t N = nn_x(n, nd)->count, M = nd->l.out;
	const double bound = 1 / sqrt((double)N);

	if (M < 1 || M > SPEC_MAX_WIDTH)
		return rk_refuse_at(why, nd->path, "%s has %s outputs, want 1 "
		    "to %s", nd->name, rk_group_digits(out, M),
		    rk_group_digits(most, SPEC_MAX_WIDTH));
	enum rk_err rc = nn_add_param(n, nd, "weight", false, 2,
	    (int64_t[]){ M, N }, bound, 0, why);
	if (rc == RK_OK && nd->l.bias)
		rc = nn_add_param(n, nd, "bias", false, 1, &M, bound, 0, why);
	if (rc != RK_OK)
		return rc;
	return nn_set_shape(n, nd, 1, &M, why);
}

static void
forward(struct nn *n, struct nn_node *nd)
{
	const struct nn_value *x = nn_x(n, nd), *y = nn_y(n, nd);

	kernel_linear(n->rows, y->count, x->count, x->p, nn_w(n, nd, 0),
	    nd->l.bias ? nn_w(n, nd, 1) : NULL, nd->fused, y->p);
}

static void
backward(struct nn *n, struct nn_node *nd)
{
	const struct nn_value *x = nn_x(n, nd), *y = nn_y(n, nd);
	const int64_t B = n->rows, N = x->count, M = y->count;
	bool add;

	if (nd->l.bias) {
		float *db = nn_dw(n, nd, 1, &add);
		kernel_col_sums((size_t)B, (size_t)M, y->g,
		    nd->fused ? y->p : NULL, add, db);
	} else if (nd->fused) {
		kernel_act_back(KERNEL_RELU, y->p, y->g, false, y->g,
		    (size_t)(B * M));
	}
	float *dw = nn_dw(n, nd, 0, &add);
	kernel_sgemm(true, false, M, N, B, y->g, M, x->p, N, add ? 1 : 0, dw,
	    N);
	float *dx = nn_dx(n, nd, &add);
	if (dx != NULL)
		kernel_sgemm(false, false, B, N, M, y->g, M, nn_w(n, nd, 0), N,
		    add ? 1 : 0, dx, N);
}

const struct nn_op nn_op_linear = {
	.name = "linear", .shape = shape, .forward = forward,
	.backward = backward, .takes_relu = true, .keeps_x = true,
};
