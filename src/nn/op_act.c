/*
 * y = f(x) for each value; kernel.h has the formulas
 *
 *   dx += dy f'(x), from y where that is enough, else from x
 */
#include "ops.h"

static struct kernel_activation
function(const struct nn_node *nd)
{
	static const struct {
		const struct nn_op *op;
		enum kernel_act act;
	} acts[] = {
		{ &nn_op_relu, KERNEL_RELU },
		{ &nn_op_sigmoid, KERNEL_SIGMOID },
		{ &nn_op_tanh, KERNEL_TANH },
		{ &nn_op_relu6, KERNEL_RELU6 },
		{ &nn_op_silu, KERNEL_SILU },
		{ &nn_op_hard_swish, KERNEL_HARD_SWISH },
	};

	if (nd->op == &nn_op_gelu)
		return (struct kernel_activation){ .act =
		    nd->u->gelu.approximate != 0 ? KERNEL_GELU_TANH :
		    KERNEL_GELU };
	if (nd->op == &nn_op_leaky_relu)
		return (struct kernel_activation){ .act = KERNEL_LEAKY_RELU,
			.slope = (float)nd->u->leaky_relu.slope };
	if (nd->op == &nn_op_elu)
		return (struct kernel_activation){ .act = KERNEL_ELU,
			.slope = (float)nd->u->elu.alpha };
	if (nd->op == &nn_op_hard_sigmoid)
		return (struct kernel_activation){
			.act = KERNEL_HARD_SIGMOID,
			.slope = (float)nd->u->hard_sigmoid.slope,
			.offset = (float)nd->u->hard_sigmoid.offset };
	for (size_t i = 0; i < RK_ARRAY_LEN(acts); i++)
		if (acts[i].op == nd->op)
			return (struct kernel_activation){ .act =
			    acts[i].act };
	must(false);
	return (struct kernel_activation){ 0 };
}

static void
forward(const struct nn_instr *i, const struct nn_now *now)
{
	struct kernel_activation f = function(i->nd);

	kernel_activate(&f, i->x[0], i->y, nn_yn(i, now));
}

static void
backward(const struct nn_instr *i, const struct nn_now *now)
{
	struct kernel_activation f = function(i->nd);

	if (i->dx[0] != NULL)
		kernel_activate_back(&f, kernel_act_reads_x(f.act) ? i->x[0] :
		    i->y, i->dy, i->add[0], i->dx[0], nn_yn(i, now));
}

#define ACT(NAME, ...)                                                    \
	const struct nn_op nn_op_##NAME = {                               \
		.shape = nn_same_shape, .forward = forward,               \
		.backward = backward, .in_place = true,                   \
		.back_in_place = true, __VA_ARGS__                        \
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
