/*
 * resnet18, 34, 50, 101: He et al. 2015 (arXiv 1512.03385), the stride of a
 * bottleneck in its 3x3 convolution; and the -vd form, He et al. 2018 (arXiv
 * 1812.01187): three 3x3 convolutions as the stem, and shortcuts that average
 * 2x2 places before a 1x1 convolution of stride 1.
 *
 *	torchvision  torchvision's names (of -vd: those of timm's resnet50d)
 *	paddleclas   PaddleClas' names and batch norm; the first block, too, has
 *	             a convolution in its shortcut where it needs none
 */
#include "builder.h"

enum { IMAGENET, CIFAR };               /* stem, as archs.def has it */
enum { TORCHVISION, PADDLECLAS };       /* variant */

struct resnet {
	struct nn_builder *b;
	const struct net *net;
	bool paddle;
};

static const struct net {
	enum spec_arch arch;
	int depth[4];
	bool bottleneck, vd;
} nets[] = {
	{ SPEC_ARCH_resnet18, { 2, 2, 2, 2 }, false, false },
	{ SPEC_ARCH_resnet34, { 3, 4, 6, 3 }, false, false },
	{ SPEC_ARCH_resnet50, { 3, 4, 6, 3 }, true, false },
	{ SPEC_ARCH_resnet101, { 3, 4, 23, 3 }, true, false },
	{ SPEC_ARCH_resnet18_vd, { 2, 2, 2, 2 }, false, true },
	{ SPEC_ARCH_resnet34_vd, { 3, 4, 6, 3 }, false, true },
	{ SPEC_ARCH_resnet50_vd, { 3, 4, 6, 3 }, true, true },
};

static const struct nn_b_style paddle = { ".conv", ".bn", ".relu", true, 0, 0 };

/* Convolution `number` (from 0) of what is called `in`. */
static int
unit(const struct resnet *r, int x, const struct nn_b_unit *u, const char *in,
    int number)
{
	static const struct nn_b_style torch[] = {
		{ "conv1", "bn1", "relu1", false, 0, 0 },
		{ "conv2", "bn2", "relu2", false, 0, 0 },
		{ "conv3", "bn3", "relu3", false, 0, 0 },
	};

	if (r->paddle)
		return nn_b_unit(r->b, x, &paddle, u, "%sconv%d", in, number);
	return nn_b_unit(r->b, x, &torch[number], u, "%s", in);
}

static int
stem(const struct resnet *r, bool cifar)
{
	static const struct nn_b_style timm[] = {
		{ "conv1.0", "conv1.1", "conv1.2", false, 0, 0 },
		{ "conv1.3", "conv1.4", "conv1.5", false, 0, 0 },
		{ "conv1.6", "bn1", "relu1", false, 0, 0 },
	};
	static const struct nn_b_style torch = { "conv1", "bn1", "relu1",
		false, 0, 0 };
	const bool deep = r->net->vd && !cifar;
	const int n = deep ? 3 : 1;
	int x = B_INPUT;

	for (int i = 0; i < n; i++) {
		const struct nn_b_unit u = {
			.out = i + 1 < n ? 32 : 64, .kernel = cifar || deep ?
			3 : 7, .stride = i == 0 && !cifar ? 2 : 1,
			.act = SPEC_OP_relu };
		if (r->paddle)
			x = nn_b_unit(r->b, x, &paddle, &u, "stem.%d", i);
		else
			x = nn_b_unit(r->b, x, deep ? &timm[i] : &torch, &u,
			    "%s", "");
	}
	return cifar ? x : nn_b_pool(r->b, SPEC_OP_max_pool2d, x, 3, 2, 1,
	    "maxpool");
}

static int
shortcut(const struct resnet *r, int x, int64_t out, int stride,
    const char *name)
{
	static const struct nn_b_style torch = { ".0", ".1", "", false, 0, 0 };
	static const struct nn_b_style timm = { ".1", ".2", "", false, 0, 0 };
	const char *in = r->paddle ? "short" : "downsample";
	const bool vd = r->net->vd;
	struct nn_b_unit u = { .out = out, .kernel = 1, .stride = stride,
		.act = SPEC_OP_identity };

	if (vd && stride > 1) {
		x = nn_b_pool(r->b, SPEC_OP_avg_pool2d, x, 2, 2, 0,
		    "%s%s.pool", name, in);
		nn_b_at(r->b, x)->u.avg_pool2d.ceil_mode = true;
		nn_b_at(r->b, x)->u.avg_pool2d.count_include_pad = false;
		u.stride = 1;
	}
	return nn_b_unit(r->b, x, r->paddle ? &paddle : vd ? &timm : &torch,
	    &u, "%s%s", name, in);
}

/* `wide` channels come in; is it the first of its stage? */
static int
block(const struct resnet *r, int x, int64_t wide, int64_t c, int stride,
    bool first, const char *name)
{
	const int64_t out = r->net->bottleneck ? 4 * c : c;
	const bool changes = stride > 1 || wide != out;
	int y = x;

	if (r->net->bottleneck) {
		y = unit(r, y, &(struct nn_b_unit){ c, 0, 1, 1, SPEC_OP_relu },
		    name, 0);
		y = unit(r, y, &(struct nn_b_unit){ c, 0, 3, stride,
		    SPEC_OP_relu }, name, 1);
		y = unit(r, y, &(struct nn_b_unit){ out, 0, 1, 1,
		    SPEC_OP_identity }, name, 2);
	} else {
		y = unit(r, y, &(struct nn_b_unit){ c, 0, 3, stride,
		    SPEC_OP_relu }, name, 0);
		y = unit(r, y, &(struct nn_b_unit){ c, 0, 3, 1,
		    SPEC_OP_identity }, name, 1);
	}
	if (changes || (first && r->paddle))
		x = shortcut(r, x, out, stride, name);
	y = nn_b_add(r->b, y, x, "%sadd", name);
	return nn_b_op(r->b, relu, y, "%srelu", name);
}

void
nn_arch_resnet(struct nn_builder *b, const struct spec_model *m)
{
	const struct spec_arch_resnet *a = &m->u.resnet;
	struct resnet r = { .b = b, .paddle = a->variant == PADDLECLAS };
	int64_t wide = 64;
	char name[48];

	for (size_t i = 0; i < RK_ARRAY_LEN(nets); i++)
		if (nets[i].arch == m->arch)
			r.net = &nets[i];
	must(r.net != NULL);
	int x = stem(&r, a->stem == CIFAR);
	for (int s = 0, all = 0; s < 4; s++) {
		const int64_t c = (int64_t)64 << s;
		for (int i = 0; i < r.net->depth[s]; i++, all++) {
			if (r.paddle)
				snprintf(name, sizeof(name), "blocks.%d.",
				    all);
			else
				snprintf(name, sizeof(name), "layer%d.%d.",
				    s + 1, i);
			x = block(&r, x, wide, c, s > 0 && i == 0 ? 2 : 1,
			    i == 0, name);
			wide = r.net->bottleneck ? 4 * c : c;
		}
	}
	x = nn_b_op(b, global_avg_pool2d, x, "avgpool");
	x = nn_b_op(b, flatten, x, "flatten");
	(void)nn_b_linear(b, x, a->classes, "fc");
}
