/*
 * pplcnet_x0_5, pplcnet_x1_0: Cui et al. 2021 (arXiv 2109.15099), PP-LCNet: a
 * convolution of each channel by itself and one of 1x1, without shortcuts;
 * gates in the last two.  Names, batch norm and dropout are PaddleClas'.
 */
#include "builder.h"

enum { UPSCALE, DOWNSCALE };            /* scaling of dropout, ops.def */

static const struct lc_block {
	int group, kernel;
	int64_t out;
	int stride;
	bool gate;
} blocks[] = {
	{ 2, 3, 32, 1, false },
	{ 3, 3, 64, 2, false }, { 3, 3, 64, 1, false },
	{ 4, 3, 128, 2, false }, { 4, 3, 128, 1, false },
	{ 5, 3, 256, 2, false }, { 5, 5, 256, 1, false },
	{ 5, 5, 256, 1, false }, { 5, 5, 256, 1, false },
	{ 5, 5, 256, 1, false }, { 5, 5, 256, 1, false },
	{ 6, 5, 512, 2, true }, { 6, 5, 512, 1, true },
};

static const struct nn_b_style style = { ".conv", ".bn", ".act", true, 0, 0 };

static int
block(struct nn_builder *b, int x, int64_t in, int64_t out,
    const struct lc_block *k, const char *name)
{
	const struct nn_b_gate gate = { in, in / 4, 1.0 / 6.0, ".conv1",
		".conv2" };

	x = nn_b_unit(b, x, &style, &(struct nn_b_unit){ in, in, k->kernel,
	    k->stride, SPEC_OP_hard_swish }, "%sdw_conv", name);
	if (k->gate)
		x = nn_b_gated(b, x, &gate, "%sse", name);
	return nn_b_unit(b, x, &style, &(struct nn_b_unit){ out, 0, 1, 1,
	    SPEC_OP_hard_swish }, "%spw_conv", name);
}

void
nn_arch_pplcnet(struct nn_builder *b, const struct spec_model *m)
{
	const struct spec_arch_pplcnet *a = &m->u.pplcnet;
	const double scale = m->arch == SPEC_ARCH_pplcnet_x0_5 ? 0.5 : 1;
	int64_t in = nn_b_by_eight(16 * scale), out;
	char name[48];
	int number = 0;

	int x = nn_b_unit(b, B_INPUT, &style, &(struct nn_b_unit){ in, 0, 3, 2,
	    SPEC_OP_hard_swish }, "conv1");
	for (size_t i = 0; i < RK_ARRAY_LEN(blocks); i++, in = out) {
		number = i > 0 && blocks[i].group == blocks[i - 1].group ?
		    number + 1 : 0;
		snprintf(name, sizeof(name), "blocks%d.%d.", blocks[i].group,
		    number);
		out = nn_b_by_eight((double)blocks[i].out * scale);
		x = block(b, x, in, out, &blocks[i], name);
	}
	x = nn_b_op(b, global_avg_pool2d, x, "avg_pool");
	x = nn_b_conv(b, x, 1280, 1, 1, 0, "last_conv");
	x = nn_b_op(b, hard_swish, x, "act");
	if (a->dropout > 0) {
		x = nn_b_dropout(b, x, a->dropout, "dropout");
		nn_b_at(b, x)->u.dropout.scaling = DOWNSCALE;
	}
	x = nn_b_op(b, flatten, x, "flatten");
	(void)nn_b_linear(b, x, a->classes, "fc");
}
