/*
 * y = (x - mean) / sqrt(var + eps) * weight + bias, for each channel of
 * x[B,C,...], with the batch's statistics in training and the running ones
 * elsewhere, or in both where it evaluates (nn_want); kernel.h has the whole
 * formula, in both conventions.  Where that was folded in, y = act(this + the
 * second input)
 *
 *   dweight, dbias, dx: src/kernel/bnorm.c
 */
#include "ops.h"

enum { WEIGHT, BIAS };
enum { RUNNING_MEAN, RUNNING_VAR };
enum { TORCH, PADDLE };                 /* convention, as ops.def has it */

static enum rk_err
shape(struct nn_graph *g, struct nn_node *nd, struct rk_why *why)
{
	const bool paddle = nd->u->batch_norm.convention == PADDLE;
	const int64_t C = nn_x(g, nd, 0)->d[0];
	const struct {
		const char *name;
		bool buffer;
		double fill;
	} parts[] = {
		{ "weight", false, 1 }, { "bias", false, 0 },
		{ paddle ? "_mean" : "running_mean", true, 0 },
		{ paddle ? "_variance" : "running_var", true, 1 },
	};

	for (size_t i = 0; i < RK_ARRAY_LEN(parts); i++) {
		enum rk_err rc = nn_add_param(g, nd, &(struct nn_param_want){
		    .what = parts[i].name, .buffer = parts[i].buffer,
		    .ndim = 1, .d = { C }, .fill = NN_FILL_VALUE,
		    .value = parts[i].fill }, why);
		if (rc != RK_OK)
			return rc;
	}
	nd->saved_once = 2 * C;         /* mean and 1/sqrt(var) of a batch */
	return nn_same_shape(g, nd, why);
}

static struct kernel_bnorm
settings(const struct nn_instr *i)
{
	const struct nn_value *x = nn_x(i->g, i->nd, 0);
	const struct spec_op_batch_norm *b = &i->nd->u->batch_norm;
	const bool own = b->convention == PADDLE;
	const bool paddle = i->g->running == NN_RUNNING_OWN ? own :
	    i->g->running == NN_RUNNING_BIASED;

	return (struct kernel_bnorm){
		.c = x->d[0], .n = x->count / x->d[0],
		.eps = (float)b->eps, .momentum = (float)(paddle == own ? b->momentum : 1 - b->momentum),
		.weight = nn_w(i, WEIGHT), .bias = nn_w(i, BIAS),
		.run_mean = nn_buffer(i, RUNNING_MEAN),
		.run_var = nn_buffer(i, RUNNING_VAR),
		.mean = i->saved,
		.inv = i->saved != NULL ? i->saved + x->d[0] : NULL,
		.paddle = paddle,
		.blocked = nn_is_blocked(i->g, i->nd),
		.act = i->nd->act, .r = i->nd->residual ? i->x[1] : NULL,
		.y = i->y, .eval = i->nd->evaluates,
	};
}

static bool
may_block(const struct nn_graph *g, const struct nn_node *nd)
{
	return nn_act_may_block(nd->act.act, nn_y(g, nd));
}

static void
forward(const struct nn_instr *i, const struct nn_now *now)
{
	struct kernel_bnorm b = settings(i);

	kernel_bnorm(&b, now->s.rows, now->train && !b.eval, i->x[0], i->y);
}

static void
backward(const struct nn_instr *i, const struct nn_now *now)
{
	struct kernel_bnorm b = settings(i);
	bool add_dw, add_db;
	float *dw = nn_dw(i, now, WEIGHT, &add_dw);
	float *db = nn_dw(i, now, BIAS, &add_db);

	/* Where it is dy itself, only a mask is left to do. */
	if (i->nd->residual && (i->dx[1] != i->dy ||
	    b.act.act != KERNEL_NO_ACT)) {
		b.dr = i->dx[1];
		b.add_dr = i->add[1];
	}
	kernel_bnorm_back(&b, now->s.rows, i->x[0], i->dy, i->add[0],
	    i->dx[0], add_dw, dw, add_db, db);
}

/* In place where backward does not read x: in INFER, and mostly where it
 * evaluates: see nn_keeps_x(). */
const struct nn_op nn_op_batch_norm = {
	.shape = shape, .forward = forward, .backward = backward,
	.may_block = may_block, .takes_rest = true, .keeps_x = 1,
	.in_place = true, .back_in_place = true,
};
