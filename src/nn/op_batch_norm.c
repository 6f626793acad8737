/*
 * y = (x - mean) / sqrt(var + eps) * weight + bias, for each channel of
 * x[B,C,h,w], or each column of x[B,C]; kernel.h has the whole formula
 *
 *   dweight, dbias, dx: src/kernel/bnorm.c
 *
 * PyTorch's conventions: the running variance is the unbiased one, the batch is
 * normalised with the biased one, and momentum is the weight of the new.
 */
#include "ops.h"

enum { WEIGHT, BIAS };
enum { RUNNING_MEAN, RUNNING_VAR };

static enum rk_err
shape(struct nn *n, struct nn_node *nd, struct rk_why *why)
{
	const struct nn_value *x = nn_x(n, nd);
	const int64_t C = x->d[0];
	static const struct {
		const char *name;
		bool buffer;
		double fill;
	} parts[] = {
		{ "weight", false, 1 }, { "bias", false, 0 },
		{ "running_mean", true, 0 }, { "running_var", true, 1 },
	};

	if (x->ndim != 1 && x->ndim != 3)
		return rk_refuse_at(why, nd->path, "%s (batch_norm) wants 1 or "
		    "3 dimensions, but gets %d", nd->name, x->ndim);
	for (size_t i = 0; i < RK_ARRAY_LEN(parts); i++) {
		enum rk_err rc = nn_add_param(n, nd, parts[i].name,
		    parts[i].buffer, 1, &C, 0, parts[i].fill, why);
		if (rc != RK_OK)
			return rc;
	}
	/* Mean and 1/sqrt(var) of a batch: saved is in floats a sample, so
	 * this is a little more than needed. */
	nd->saved = 2 * C;
	return nn_set_shape(n, nd, x->ndim, (int64_t[]){ x->d[0], x->d[1],
	    x->d[2] }, why);
}

static struct kernel_bnorm
settings(const struct nn *n, const struct nn_node *nd)
{
	const struct nn_value *x = nn_x(n, nd);

	return (struct kernel_bnorm){
		.c = x->d[0], .n = x->count / x->d[0],
		.eps = (float)nd->l.eps, .momentum = (float)nd->l.momentum,
		.weight = nn_w(n, nd, WEIGHT), .bias = nn_w(n, nd, BIAS),
		.run_mean = nn_buffer(n, nd, RUNNING_MEAN),
		.run_var = nn_buffer(n, nd, RUNNING_VAR),
		.mean = nd->saved_p, .inv = nd->saved_p + x->d[0],
	};
}

static void
forward(struct nn *n, struct nn_node *nd)
{
	struct kernel_bnorm b = settings(n, nd);

	kernel_bnorm(&b, n->rows, n->train, nn_x(n, nd)->p, nn_y(n, nd)->p);
}

static void
backward(struct nn *n, struct nn_node *nd)
{
	struct kernel_bnorm b = settings(n, nd);
	bool add_dx = false, add_dw, add_db;
	float *dx = nn_dx(n, nd, &add_dx);
	float *dw = nn_dw(n, nd, WEIGHT, &add_dw);
	float *db = nn_dw(n, nd, BIAS, &add_db);

	kernel_bnorm_back(&b, n->rows, nn_x(n, nd)->p, nn_y(n, nd)->g, add_dx,
	    dx, add_dw, dw, add_db, db);
}

const struct nn_op nn_op_batch_norm = {
	.name = "batch_norm", .shape = shape, .forward = forward,
	.backward = backward, .keeps_x = true,
};
