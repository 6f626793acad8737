/*
 * y = f(x) for each value; kernel.h has the formulas
 *
 *   dx += dy f'(x), from y where that is enough, else from x
 */
#include "ops.h"

static const struct {
	const struct nn_op *op;
	enum kernel_act act;
} acts[] = {
	{ &nn_op_relu, KERNEL_RELU },
	{ &nn_op_gelu, KERNEL_GELU },
	{ &nn_op_sigmoid, KERNEL_SIGMOID },
	{ &nn_op_tanh, KERNEL_TANH },
	{ &nn_op_relu6, KERNEL_RELU6 },
	{ &nn_op_leaky_relu, KERNEL_LEAKY_RELU },
	{ &nn_op_silu, KERNEL_SILU },
	{ &nn_op_hard_sigmoid, KERNEL_HARD_SIGMOID },
	{ &nn_op_hard_swish, KERNEL_HARD_SWISH },
	{ &nn_op_elu, KERNEL_ELU },
};

bool
nn_is_act(const struct nn_op *op)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(acts); i++)
		if (acts[i].op == op)
			return true;
	return false;
}

struct kernel_activation
nn_act(const struct nn_node *nd)
{
	struct kernel_activation f = { 0 };
	size_t i = 0;

	while (acts[i].op != nd->op)
		must(++i < RK_ARRAY_LEN(acts));
	f.act = acts[i].act;
	if (nd->op == &nn_op_gelu && nd->u->gelu.approximate != 0)
		f.act = KERNEL_GELU_TANH;
	if (nd->op == &nn_op_leaky_relu)
		f.slope = (float)nd->u->leaky_relu.slope;
	if (nd->op == &nn_op_elu)
		f.slope = (float)nd->u->elu.alpha;
	if (nd->op == &nn_op_hard_sigmoid) {
		f.slope = (float)nd->u->hard_sigmoid.slope;
		f.offset = (float)nd->u->hard_sigmoid.offset;
	}
	return f;
}

bool
nn_has_act(const struct nn_node *nd)
{
	return nd->op->takes_act && nd->act.act != KERNEL_NO_ACT;
}

bool
nn_saves_before(const struct nn_node *nd)
{
	return nn_has_act(nd) && kernel_act_reads_x(nd->act.act);
}

bool
nn_act_may_block(enum kernel_act f, const struct nn_value *v)
{
	return v->d[0] % KERNEL_BLOCK == 0 || (f != KERNEL_SIGMOID &&
	    f != KERNEL_HARD_SIGMOID);
}

static bool
may_block(const struct nn_graph *g, const struct nn_node *nd)
{
	return nn_act_may_block(nn_act(nd).act, nn_y(g, nd));
}

static void
forward(const struct nn_instr *i, const struct nn_now *now)
{
	struct kernel_activation f = nn_act(i->nd);

	kernel_activate(&f, i->x[0], i->y, nn_yn(i, now));
}

static void
backward(const struct nn_instr *i, const struct nn_now *now)
{
	struct kernel_activation f = nn_act(i->nd);

	if (i->dx[0] != NULL)
		kernel_activate_back(&f, kernel_act_reads_x(f.act) ? i->x[0] :
		    i->y, i->dy, i->add[0], i->dx[0], nn_yn(i, now));
}

#define ACT(NAME, ...)                                                    \
	const struct nn_op nn_op_##NAME = {                               \
		.shape = nn_same_shape, .forward = forward,               \
		.backward = backward, .in_place = true,                   \
		.back_in_place = true, .may_block = may_block,            \
		__VA_ARGS__                                               \
	}
ACT(relu, .keeps_y = true);
ACT(sigmoid, .keeps_y = true);
ACT(tanh, .keeps_y = true);
ACT(relu6, .keeps_y = true);
ACT(leaky_relu, .keeps_y = true);
ACT(elu, .keeps_y = true);
ACT(hard_sigmoid, .keeps_y = true);
ACT(gelu, .keeps_x = 1);
ACT(silu, .keeps_x = 1);
ACT(hard_swish, .keeps_x = 1);
