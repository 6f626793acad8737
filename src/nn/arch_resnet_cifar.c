/*
 * resnet20, 32, 44, 56: He et al. 2015 (arXiv 1512.03385), section 4.2.  A 3x3
 * convolution of 16 channels, three stages of n blocks of two 3x3 convolutions
 * with 16, 32 and 64 channels (6n + 2 layers), the mean of each channel and a
 * linear layer.  Where a stage begins with stride 2 its shortcut is option A.
 * Names are those of akamaster's pytorch_resnet_cifar10.
 */
#include "builder.h"

static int
conv_bn(struct nn_builder *b, int x, int64_t out, int stride,
    const char *block, int number)
{
	x = nn_b_conv(b, x, out, 3, stride, 1, "%sconv%d", block, number);
	return nn_b_op(b, batch_norm, x, "%sbn%d", block, number);
}

static int
block(struct nn_builder *b, int x, int64_t out, int stride, const char *name)
{
	int shortcut = x;

	x = conv_bn(b, x, out, stride, name, 1);
	x = nn_b_op(b, relu, x, "%srelu1", name);
	x = conv_bn(b, x, out, 1, name, 2);
	if (stride > 1) {
		shortcut = nn_b_op(b, shortcut_a, shortcut, "%sshortcut",
		    name);
		nn_b_at(b, shortcut)->u.shortcut_a.out = out;
		nn_b_at(b, shortcut)->u.shortcut_a.stride = stride;
	}
	x = nn_b_add(b, x, shortcut, "%sadd", name);
	return nn_b_op(b, relu, x, "%srelu2", name);
}

void
nn_arch_resnet_cifar(struct nn_builder *b, const struct spec_model *m)
{
	static const struct {
		enum spec_arch arch;
		int blocks;
	} depths[] = {
		{ SPEC_ARCH_resnet20, 3 }, { SPEC_ARCH_resnet32, 5 },
		{ SPEC_ARCH_resnet44, 7 }, { SPEC_ARCH_resnet56, 9 },
	};
	int blocks = 0, x = conv_bn(b, B_INPUT, 16, 1, "", 1);
	char name[32];

	for (size_t i = 0; i < RK_ARRAY_LEN(depths); i++)
		if (depths[i].arch == m->arch)
			blocks = depths[i].blocks;
	x = nn_b_op(b, relu, x, "relu1");
	for (int stage = 1; stage <= 3; stage++) {
		for (int i = 0; i < blocks; i++) {
			snprintf(name, sizeof(name), "layer%d.%d.", stage, i);
			x = block(b, x, 8 << stage, stage > 1 && i == 0 ?
			    2 : 1, name);
		}
	}
	x = nn_b_op(b, global_avg_pool2d, x, "avgpool");
	x = nn_b_op(b, flatten, x, "flatten");
	(void)nn_b_linear(b, x, m->u.resnet_cifar.classes, "linear");
}
