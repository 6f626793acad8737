/*
 * lenet5: conv1 6@5x5 (padding 2), relu, pool 2, conv2 16@5x5, relu, pool 2,
 * fc1 120, relu, fc2 84, relu, fc3 classes (LeCun et al., "Gradient-based
 * learning applied to document recognition", 1998, with today's relu and max
 * pooling).
 */
#include "builder.h"

static int
conv_relu_pool(struct nn_builder *b, int x, int number, int64_t out, int pad)
{
	x = nn_b_conv(b, x, out, 5, 1, pad, "conv%d", number);
	nn_b_at(b, x)->u.conv2d.bias = true;
	x = nn_b_op(b, relu, x, "relu%d", number);
	return nn_b_pool(b, SPEC_OP_max_pool2d, x, 2, 2, 0, "pool%d", number);
}

void
nn_arch_lenet5(struct nn_builder *b, const struct spec_model *m)
{
	int x = conv_relu_pool(b, B_INPUT, 1, 6, 2);

	x = conv_relu_pool(b, x, 2, 16, 0);
	x = nn_b_op(b, flatten, x, "flatten");
	x = nn_b_linear(b, x, 120, "fc1");
	x = nn_b_op(b, relu, x, "relu3");
	x = nn_b_linear(b, x, 84, "fc2");
	x = nn_b_op(b, relu, x, "relu4");
	(void)nn_b_linear(b, x, m->u.lenet5.classes, "fc3");
}
