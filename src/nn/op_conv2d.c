/*
 * y[B,M,oh,ow] = x[B,C,h,w] * w[M,C/groups,kh,kw] + b[M], then relu if one was
 * folded in; oh = floor((h + 2 padding - dilation (kh - 1) - 1) / stride) + 1,
 * and ow likewise; channels of group i of y see those of group i of x
 *
 *   dy  = dy [y > 0]                         (with relu, in place)
 *   dw += x * dy,  db[M] += sum of dy[.,M,.,.],  dx += dy * w, turned round
 */
#include "ops.h"

enum { WEIGHT, BIAS };

static enum rk_err
check_channels(struct nn_graph *g, struct nn_node *nd, struct rk_why *why)
{
	const struct spec_op_conv2d *c = &nd->u->conv2d;
	const int64_t C = nn_x(g, nd, 0)->d[0], M = c->out, G = c->groups;
	char out[RK_HUMAN], most[RK_HUMAN];

	if (M < 1 || M > SPEC_MAX_WIDTH)
		return rk_refuse_at(why, nd->path, "%s has %s channels, want 1 "
		    "to %s", nd->name, rk_group_digits(out, M),
		    rk_group_digits(most, SPEC_MAX_WIDTH));
	if (G < 1 || C % G != 0 || M % G != 0)
		return rk_refuse_at(why, nd->path, "%s has %lld groups, which "
		    "do not divide its %lld channel%s in and %lld out",
		    nd->name, (long long)G, (long long)C, rk_s(C),
		    (long long)M);
	return RK_OK;
}

static enum rk_err
add_params(struct nn_graph *g, struct nn_node *nd, struct rk_why *why)
{
	const struct spec_op_conv2d *c = &nd->u->conv2d;
	const struct kernel_window *v = &nd->win;
	const int64_t area = v->k[0] * v->k[1], in = v->c / c->groups * area;
	const int64_t fan_out = c->out / c->groups * area;

	enum rk_err rc = nn_add_param(g, nd, &(struct nn_param_want){
	    .what = "weight", .ndim = 4, .d = { c->out, v->c / c->groups,
	    v->k[0], v->k[1] }, .fill = NN_FILL_WEIGHT, .fan_in = in,
	    .fan_out = fan_out }, why);
	if (rc == RK_OK && c->bias)
		rc = nn_add_param(g, nd, &(struct nn_param_want){
		    .what = "bias", .ndim = 1, .d = { c->out },
		    .fill = NN_FILL_BIAS, .fan_in = in }, why);
	return rc;
}

static enum rk_err
shape(struct nn_graph *g, struct nn_node *nd, struct rk_why *why)
{
	const struct spec_op_conv2d *c = &nd->u->conv2d;
	const struct nn_window w = { c->kernel, c->stride, c->padding,
		c->dilation, false };

	enum rk_err rc = nn_window_shape(g, nd, &w, why);
	if (rc == RK_OK)
		rc = check_channels(g, nd, why);
	if (rc != RK_OK)
		return rc;
	nd->win.groups = c->groups;
	const struct kernel_window *v = &nd->win;
	const double fan_in = (double)(v->c / c->groups) *
	    (double)(v->k[0] * v->k[1]);
	rc = add_params(g, nd, why);
	if (rc == RK_OK)
		rc = nn_set_shape(g, nd, 3, (int64_t[]){ c->out, v->oh,
		    v->ow }, why);
	if (rc != RK_OK)
		return rc;
	/* Each thread unrolls at least one row of the output. */
	if (fan_in * (double)v->ow > 0x1p32)
		return rk_refuse_at(why, nd->path, "%s unrolls %.0f values for "
		    "a row of its output, at most %.0f", nd->name,
		    fan_in * (double)v->ow, 0x1p32);
	nd->madds = fan_in * (double)c->out * (double)(v->oh * v->ow);
	return RK_OK;
}

struct kernel_conv_plan *
nn_conv_plan(const struct nn_graph *g, const struct nn_node *nd,
    enum kernel_layout x, enum kernel_layout y)
{
	return kernel_conv_plan(&(struct kernel_conv_want){ .v = nd->win,
	    .M = nd->u->conv2d.out, .B = g->micro, .x = x, .y = y,
	    .fast = g->fast });
}

/* Layouts of x and y are each its own. */
static bool
may_block(const struct nn_graph *g, const struct nn_node *nd)
{
	(void)g;
	(void)nd;
	return true;
}

static void
settle(struct nn_graph *g, struct nn_node *nd)
{
	nd->conv = nn_conv_plan(g, nd, nn_x(g, nd, 0)->layout,
	    nn_y(g, nd)->layout);
	nd->scratch = kernel_conv_plan_scratch(nd->conv);
}

static void
forward(const struct nn_instr *i, const struct nn_now *now)
{
	const struct nn_node *nd = i->nd;

	kernel_conv_run(nd->conv, now->s.rows, i->x[0], nn_w(i, WEIGHT),
	    nd->u->conv2d.bias ? nn_w(i, BIAS) : NULL, nd->fused, i->y,
	    i->scratch);
}

static void
backward(const struct nn_instr *i, const struct nn_now *now)
{
	const struct nn_node *nd = i->nd;
	const int64_t B = now->s.rows;
	bool add;

	if (nd->fused)
		kernel_act_back(KERNEL_RELU, i->y, i->dy, false, i->dy,
		    nn_yn(i, now));
	float *dw = nn_dw(i, now, WEIGHT, &add);
	if (dw != NULL)
		kernel_conv_run_weight(nd->conv, B, i->x[0], i->dy, add, dw,
		    i->scratch);
	float *db = nd->u->conv2d.bias ? nn_dw(i, now, BIAS, &add) : NULL;
	if (db != NULL)
		kernel_conv_run_bias(nd->conv, B, i->dy, add, db);
	if (i->dx[0] != NULL)
		kernel_conv_run_data(nd->conv, B, nn_w(i, WEIGHT), i->dy,
		    i->add[0], i->dx[0], i->scratch);
}

static const char *
way(const struct nn_instr *i, bool dx)
{
	return kernel_conv_words[kernel_conv_plan_way(i->nd->conv, !i->back ?
	    KERNEL_CONV_FORWARD : dx ? KERNEL_CONV_DATA :
	    KERNEL_CONV_WEIGHT)];
}

const struct nn_op nn_op_conv2d = {
	.shape = shape, .forward = forward, .backward = backward,
	.may_block = may_block, .mixes_layouts = true, .settle = settle,
	.way = way,
	.takes_relu = true, .keeps_x = 1,
};
