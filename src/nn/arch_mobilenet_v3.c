/*
 * mobilenet_v3_small, mobilenet_v3_large: Howard et al. 2019 (arXiv
 * 1905.02244), tables 1 and 2: the blocks of version 2, with gates (squeeze and
 * excitation) in some and hard swish in the later ones.
 *
 *	             torchvision            paddleclas
 *	names        torchvision's          PaddleClas'
 *	batch norm   torch, eps 0.001,      paddle, eps 1e-5
 *	             momentum 0.01
 *	widening     not where it would     in every block
 *	             keep the width
 *	gate         slope 1/6, a multiple  slope 0.2, a quarter
 *	             of 8 near a quarter
 *	head         linear, small 1024     1x1 convolution without bias, 1280
 *	dropout      scaled in training     scaled afterwards
 */
#include "builder.h"

enum { TORCHVISION, PADDLECLAS };       /* variant, as archs.def has it */
enum { UPSCALE, DOWNSCALE };            /* scaling of dropout, ops.def */

#define RE SPEC_OP_relu
#define HS SPEC_OP_hard_swish

static const struct v3_block {
	int kernel;
	int64_t wide, out;
	bool gate;
	enum spec_op act;
	int stride;
} small[] = {
	{ 3, 16, 16, true, RE, 2 }, { 3, 72, 24, false, RE, 2 },
	{ 3, 88, 24, false, RE, 1 }, { 5, 96, 40, true, HS, 2 },
	{ 5, 240, 40, true, HS, 1 }, { 5, 240, 40, true, HS, 1 },
	{ 5, 120, 48, true, HS, 1 }, { 5, 144, 48, true, HS, 1 },
	{ 5, 288, 96, true, HS, 2 }, { 5, 576, 96, true, HS, 1 },
	{ 5, 576, 96, true, HS, 1 },
}, large[] = {
	{ 3, 16, 16, false, RE, 1 }, { 3, 64, 24, false, RE, 2 },
	{ 3, 72, 24, false, RE, 1 }, { 5, 72, 40, true, RE, 2 },
	{ 5, 120, 40, true, RE, 1 }, { 5, 120, 40, true, RE, 1 },
	{ 3, 240, 80, false, HS, 2 }, { 3, 200, 80, false, HS, 1 },
	{ 3, 184, 80, false, HS, 1 }, { 3, 184, 80, false, HS, 1 },
	{ 3, 480, 112, true, HS, 1 }, { 3, 672, 112, true, HS, 1 },
	{ 5, 672, 160, true, HS, 2 }, { 5, 960, 160, true, HS, 1 },
	{ 5, 960, 160, true, HS, 1 },
};

static const struct nn_b_style torch = { ".0", ".1", ".2", false, 1e-3, 0.01 };
static const struct nn_b_style paddle = { ".conv", ".bn", ".act", true, 0, 0 };

static int
torch_block(struct nn_builder *b, int x, int64_t in, const struct v3_block *k,
    int number)
{
	const struct nn_b_gate gate = { k->wide,
		nn_b_by_eight((double)k->wide / 4), 1.0 / 6.0, ".fc1",
		".fc2" };
	char name[48];
	int n = 0;

	snprintf(name, sizeof(name), "features.%d.block.", number);
	if (k->wide != in)
		x = nn_b_unit(b, x, &torch, &(struct nn_b_unit){ k->wide, 0, 1,
		    1, k->act }, "%s%d", name, n++);
	x = nn_b_unit(b, x, &torch, &(struct nn_b_unit){ k->wide, k->wide,
	    k->kernel, k->stride, k->act }, "%s%d", name, n++);
	if (k->gate)
		x = nn_b_gated(b, x, &gate, "%s%d", name, n++);
	return nn_b_unit(b, x, &torch, &(struct nn_b_unit){ k->out, 0, 1, 1,
	    SPEC_OP_identity }, "%s%d", name, n);
}

static int
paddle_block(struct nn_builder *b, int x, const struct v3_block *k, int number)
{
	const struct nn_b_gate gate = { k->wide, k->wide / 4, 0.2, ".conv1",
		".conv2" };
	char name[48];

	snprintf(name, sizeof(name), "blocks.%d.", number);
	x = nn_b_unit(b, x, &paddle, &(struct nn_b_unit){ k->wide, 0, 1, 1,
	    k->act }, "%sexpand_conv", name);
	x = nn_b_unit(b, x, &paddle, &(struct nn_b_unit){ k->wide, k->wide,
	    k->kernel, k->stride, k->act }, "%sbottleneck_conv", name);
	if (k->gate)
		x = nn_b_gated(b, x, &gate, "%smid_se", name);
	return nn_b_unit(b, x, &paddle, &(struct nn_b_unit){ k->out, 0, 1, 1,
	    SPEC_OP_identity }, "%slinear_conv", name);
}

static void
torch_head(struct nn_builder *b, int x, const struct spec_arch_mobilenet_v3 *a,
    bool is_small)
{
	x = nn_b_op(b, global_avg_pool2d, x, "avgpool");
	x = nn_b_op(b, flatten, x, "flatten");
	x = nn_b_linear(b, x, is_small ? 1024 : 1280, "classifier.0");
	x = nn_b_op(b, hard_swish, x, "classifier.1");
	if (a->dropout > 0)
		x = nn_b_dropout(b, x, a->dropout, "classifier.2");
	(void)nn_b_linear(b, x, a->classes, "classifier.3");
}

static void
paddle_head(struct nn_builder *b, int x, const struct spec_arch_mobilenet_v3 *a)
{
	x = nn_b_op(b, global_avg_pool2d, x, "avg_pool");
	x = nn_b_conv(b, x, 1280, 1, 1, 0, "last_conv");
	x = nn_b_op(b, hard_swish, x, "hardswish");
	if (a->dropout > 0) {
		x = nn_b_dropout(b, x, a->dropout, "dropout");
		nn_b_at(b, x)->u.dropout.scaling = DOWNSCALE;
	}
	x = nn_b_op(b, flatten, x, "flatten");
	(void)nn_b_linear(b, x, a->classes, "fc");
}

void
nn_arch_mobilenet_v3(struct nn_builder *b, const struct spec_model *m)
{
	const struct spec_arch_mobilenet_v3 *a = &m->u.mobilenet_v3;
	const bool is_small = m->arch == SPEC_ARCH_mobilenet_v3_small;
	const bool pd = a->variant == PADDLECLAS;
	const struct nn_b_style *style = pd ? &paddle : &torch;
	const struct v3_block *k = is_small ? small : large;
	const int n = (int)(is_small ? RK_ARRAY_LEN(small) :
	    RK_ARRAY_LEN(large));
	int64_t in = 16;

	int x = nn_b_unit(b, B_INPUT, style, &(struct nn_b_unit){ in, 0, 3, 2,
	    HS }, "%s", pd ? "conv" : "features.0");
	for (int i = 0; i < n; i++) {
		int y = pd ? paddle_block(b, x, &k[i], i) :
		    torch_block(b, x, in, &k[i], i + 1);
		x = k[i].stride == 1 && in == k[i].out ? nn_b_add(b, x, y,
		    pd ? "blocks.%d.add" : "features.%d.add", pd ? i : i + 1) :
		    y;
		in = k[i].out;
	}
	const struct nn_b_unit last = { 6 * in, 0, 1, 1, HS };
	if (pd) {
		x = nn_b_unit(b, x, style, &last, "last_second_conv");
		paddle_head(b, x, a);
	} else {
		x = nn_b_unit(b, x, style, &last, "features.%d", n + 1);
		torch_head(b, x, a, is_small);
	}
}
