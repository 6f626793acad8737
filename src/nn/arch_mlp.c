/* mlp: flatten, then fc1, activation, fc2, activation, ..., fcN. */
#include "builder.h"

void
nn_arch_mlp(struct nn_builder *b, const struct spec_model *m)
{
	static const enum spec_op acts[] = {
		SPEC_OP_relu, SPEC_OP_gelu, SPEC_OP_sigmoid, SPEC_OP_tanh
	};
	const struct spec_arch_mlp *a = &m->u.mlp;
	int x = nn_b_op(b, flatten, B_INPUT, "flatten");

	for (int i = 1; i < a->sizes.n; i++) {
		x = nn_b_linear(b, x, a->sizes.v[i], "fc%d", i);
		if (i < a->sizes.n - 1)
			x = nn_b_layer(b, acts[a->activation], 1, &x, "%s%d",
			    spec_op_words[acts[a->activation]], i);
	}
}
