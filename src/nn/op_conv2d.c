/*
 * y[B,M,oh,ow] = x[B,C,h,w] * w[M,C,kh,kw] + b[M], then relu if one was folded
 * in; oh = floor((h + 2 padding - kh) / stride) + 1, and ow likewise
 *
 *   dy  = dy [y > 0]                         (with relu, in place)
 *   dw += x * dy,  db[M] += sum of dy[.,M,.,.],  dx += dy * w, turned round
 */
#include <math.h>

#include "ops.h"

static enum rk_err
shape(struct nn *n, struct nn_node *nd, struct rk_why *why)
{
	const int64_t M = nd->l.out;
	char out[RK_HUMAN], most[RK_HUMAN];

	enum rk_err rc = nn_window_shape(n, nd, why);
	if (rc != RK_OK)
		return rc;
	if (M < 1 || M > SPEC_MAX_WIDTH)
		return rk_refuse_at(why, nd->path, "%s has %s channels, want 1 "
		    "to %s", nd->name, rk_group_digits(out, M),
		    rk_group_digits(most, SPEC_MAX_WIDTH));
	const struct kernel_window *v = &nd->win;
	const int64_t w[4] = { M, v->c, v->k[0], v->k[1] };
	const double fan_in = (double)v->c * (double)(v->k[0] * v->k[1]);
	rc = nn_add_param(n, nd, "weight", false, 4, w, 1 / sqrt(fan_in), 0,
	    why);
	if (rc == RK_OK && nd->l.bias)
		rc = nn_add_param(n, nd, "bias", false, 1, &M,
		    1 / sqrt(fan_in), 0, why);
	if (rc == RK_OK)
		rc = nn_set_shape(n, nd, 3, (int64_t[]){ M, v->oh, v->ow },
		    why);
	if (rc != RK_OK)
		return rc;
	/* Each thread unrolls at least one row of the output. */
	if (fan_in * (double)v->ow > 0x1p32)
		return rk_refuse_at(why, nd->path, "%s unrolls %.0f values for "
		    "a row of its output, at most %.0f", nd->name,
		    fan_in * (double)v->ow, 0x1p32);
	nd->scratch = kernel_conv_scratch(v, M, n->batch);
	return RK_OK;
}

static void
forward(struct nn *n, struct nn_node *nd)
{
	const struct nn_value *x = nn_x(n, nd), *y = nn_y(n, nd);

	kernel_conv(&nd->win, nd->l.out, n->rows, x->p, nn_w(n, nd, 0),
	    nd->l.bias ? nn_w(n, nd, 1) : NULL, nd->fused, y->p, n->scratch);
}

static void
backward(struct nn *n, struct nn_node *nd)
{
	const struct nn_value *x = nn_x(n, nd), *y = nn_y(n, nd);
	const int64_t B = n->rows, M = nd->l.out;
	bool add;

	if (nd->fused)
		kernel_act_back(KERNEL_RELU, y->p, y->g, false, y->g,
		    (size_t)(B * y->count));
	float *dw = nn_dw(n, nd, 0, &add);
	kernel_conv_back_weight(&nd->win, M, B, x->p, y->g, add, dw,
	    n->scratch);
	if (nd->l.bias) {
		float *db = nn_dw(n, nd, 1, &add);
		kernel_conv_back_bias(&nd->win, M, B, y->g, add, db);
	}
	float *dx = nn_dx(n, nd, &add);
	if (dx != NULL)
		kernel_conv_back_data(&nd->win, M, B, nn_w(n, nd, 0), y->g,
		    add, dx, n->scratch);
}

const struct nn_op nn_op_conv2d = {
	.name = "conv2d", .shape = shape, .forward = forward,
	.backward = backward, .takes_relu = true, .keeps_x = true,
};
