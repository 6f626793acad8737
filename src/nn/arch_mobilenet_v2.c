/*
 * mobilenet_v2: Sandler et al. 2018 (arXiv 1801.04381), table 2.  A block
 * widens its input t times, convolves each channel by itself and narrows it
 * again; its input is added where it has the same shape.
 *
 *	torchvision  no widening where t is 1; dropout
 *	paddleclas   PaddleClas' names and batch norm; every block widens
 */
#include "builder.h"

enum { TORCHVISION, PADDLECLAS };       /* variant, as archs.def has it */

struct v2_block {
	int64_t in, out;
	int times, stride;
	const char *name;               /* what its parts begin with */
};

static int
torch_block(struct nn_builder *b, int x, const struct v2_block *k)
{
	static const struct nn_b_style style = { ".0", ".1", ".2", false, 0,
		0 };
	static const struct nn_b_style last[] = {
		{ "1", "2", "", false, 0, 0 }, { "2", "3", "", false, 0, 0 }
	};
	const int64_t wide = k->in * k->times;
	int n = 0;

	if (k->times > 1)
		x = nn_b_unit(b, x, &style, &(struct nn_b_unit){ wide, 0, 1, 1,
		    SPEC_OP_relu6 }, "%s%d", k->name, n++);
	x = nn_b_unit(b, x, &style, &(struct nn_b_unit){ wide, wide, 3,
	    k->stride, SPEC_OP_relu6 }, "%s%d", k->name, n);
	return nn_b_unit(b, x, &last[n], &(struct nn_b_unit){ k->out, 0, 1, 1,
	    SPEC_OP_identity }, "%s", k->name);
}

static const struct nn_b_style paddle = { "._conv", "._batch_norm", ".relu6",
	true, 0, 0 };

static int
paddle_block(struct nn_builder *b, int x, const struct v2_block *k)
{
	const int64_t wide = k->in * k->times;

	x = nn_b_unit(b, x, &paddle, &(struct nn_b_unit){ wide, 0, 1, 1,
	    SPEC_OP_relu6 }, "%s_expand_conv", k->name);
	x = nn_b_unit(b, x, &paddle, &(struct nn_b_unit){ wide, wide, 3,
	    k->stride, SPEC_OP_relu6 }, "%s_bottleneck_conv", k->name);
	return nn_b_unit(b, x, &paddle, &(struct nn_b_unit){ k->out, 0, 1, 1,
	    SPEC_OP_identity }, "%s_linear_conv", k->name);
}

static int
blocks(struct nn_builder *b, int x, bool pd)
{
	static const struct {
		int times;
		int64_t out;
		int n, stride;
	} stages[] = {
		{ 1, 16, 1, 1 }, { 6, 24, 2, 2 }, { 6, 32, 3, 2 },
		{ 6, 64, 4, 2 }, { 6, 96, 3, 1 }, { 6, 160, 3, 2 },
		{ 6, 320, 1, 1 },
	};
	struct v2_block k = { .in = 32 };
	char name[64];
	int all = 1;

	k.name = name;
	for (int s = 0; s < (int)RK_ARRAY_LEN(stages); s++) {
		for (int i = 0; i < stages[s].n; i++, all++) {
			k.out = stages[s].out;
			k.times = stages[s].times;
			k.stride = i == 0 ? stages[s].stride : 1;
			if (!pd)
				snprintf(name, sizeof(name),
				    "features.%d.conv.", all);
			else if (i == 0)
				snprintf(name, sizeof(name),
				    "conv%d._first_block.", s + 2);
			else
				snprintf(name, sizeof(name),
				    "conv%d.conv%d_%d.", s + 2, s + 2, i + 1);
			int y = pd ? paddle_block(b, x, &k) :
			    torch_block(b, x, &k);
			x = k.stride == 1 && k.in == k.out ? nn_b_add(b, x, y,
			    "%sadd", name) : y;
			k.in = k.out;
		}
	}
	return x;
}

void
nn_arch_mobilenet_v2(struct nn_builder *b, const struct spec_model *m)
{
	static const struct nn_b_style torch = { ".0", ".1", ".2", false, 0,
		0 };
	static const struct nn_b_unit first = { 32, 0, 3, 2, SPEC_OP_relu6 };
	static const struct nn_b_unit last = { 1280, 0, 1, 1, SPEC_OP_relu6 };
	const struct spec_arch_mobilenet_v2 *a = &m->u.mobilenet_v2;
	const bool pd = a->variant == PADDLECLAS;
	const struct nn_b_style *style = pd ? &paddle : &torch;

	int x = nn_b_unit(b, B_INPUT, style, &first, "%s", pd ? "conv1" :
	    "features.0");
	x = blocks(b, x, pd);
	x = nn_b_unit(b, x, style, &last, "%s", pd ? "conv9" : "features.18");
	x = nn_b_op(b, global_avg_pool2d, x, "avgpool");
	x = nn_b_op(b, flatten, x, "flatten");
	if (a->dropout > 0)
		x = nn_b_dropout(b, x, a->dropout, "dropout");
	(void)nn_b_linear(b, x, a->classes, "%s", pd ? "out" : "classifier.1");
}
