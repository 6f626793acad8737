/*
 * vgg11, vgg16: Simonyan and Zisserman 2014 (arXiv 1409.1556), configurations A
 * and D; 3x3 convolutions, relu, and after each of five groups a pool.
 *
 *	torchvision  torchvision's names; convolutions with bias; means of 7x7
 *	             windows before the head, whatever the image's size
 *	paddleclas   PaddleClas' names; convolutions without bias; dropout
 *	             scales afterwards.  PaddleClas has none with batch norm:
 *	             its names are then convN_bn
 */
#include "builder.h"

enum { TORCHVISION, PADDLECLAS };       /* variant, as archs.def has it */
enum { UPSCALE, DOWNSCALE };            /* scaling of dropout, ops.def */

struct vgg {
	struct nn_builder *b;
	const struct spec_arch_vgg *a;
	bool paddle;
	int at;                         /* torchvision's number of a layer */
};

static int
conv(struct vgg *v, int x, int64_t out, int group, int number)
{
	const bool norm = v->a->batch_norm;

	if (v->paddle) {
		x = nn_b_conv(v->b, x, out, 3, 1, 1, "conv_block_%d.conv%d",
		    group, number);
		if (norm)
			x = nn_b_batch_norm(v->b, x, true,
			    "conv_block_%d.conv%d_bn", group, number);
		return nn_b_op(v->b, relu, x, "conv_block_%d.relu%d", group,
		    number);
	}
	x = nn_b_conv(v->b, x, out, 3, 1, 1, "features.%d", v->at++);
	nn_b_at(v->b, x)->u.conv2d.bias = true;
	if (norm)
		x = nn_b_batch_norm(v->b, x, false, "features.%d", v->at++);
	return nn_b_op(v->b, relu, x, "features.%d", v->at++);
}

/* A hidden layer of the head. */
static int
hidden(struct vgg *v, int x, int number)
{
	x = nn_b_linear(v->b, x, 4096, v->paddle ? "fc%d" : "classifier.%d",
	    v->paddle ? number + 1 : 3 * number);
	x = nn_b_op(v->b, relu, x, v->paddle ? "relu%d" : "classifier.%d",
	    3 * number + 1);
	if (v->a->dropout > 0) {
		x = nn_b_dropout(v->b, x, v->a->dropout, v->paddle ?
		    "drop%d" : "classifier.%d", 3 * number + 2);
		nn_b_at(v->b, x)->u.dropout.scaling = v->paddle ? DOWNSCALE :
		    UPSCALE;
	}
	return x;
}

void
nn_arch_vgg(struct nn_builder *b, const struct spec_model *m)
{
	static const int a11[] = { 1, 1, 2, 2, 2 }, d16[] = { 2, 2, 3, 3, 3 };
	static const int64_t channels[] = { 64, 128, 256, 512, 512 };
	struct vgg v = { .b = b, .a = &m->u.vgg,
		.paddle = m->u.vgg.variant == PADDLECLAS };
	const int *depth = m->arch == SPEC_ARCH_vgg11 ? a11 : d16;
	int x = B_INPUT;

	for (int g = 0; g < 5; g++) {
		for (int i = 0; i < depth[g]; i++)
			x = conv(&v, x, channels[g], g + 1, i + 1);
		x = nn_b_pool(b, SPEC_OP_max_pool2d, x, 2, 2, 0, v.paddle ?
		    "conv_block_%d.max_pool" : "features.%d", v.paddle ?
		    g + 1 : v.at++);
	}
	if (!v.paddle) {
		x = nn_b_op(b, adaptive_avg_pool2d, x, "avgpool");
		struct spec_op_adaptive_avg_pool2d *p =
		    &nn_b_at(b, x)->u.adaptive_avg_pool2d;
		p->size[0] = p->size[1] = 7;
	}
	x = nn_b_op(b, flatten, x, "flatten");
	x = hidden(&v, x, 0);
	x = hidden(&v, x, 1);
	(void)nn_b_linear(b, x, m->u.vgg.classes, v.paddle ? "fc3" :
	    "classifier.6");
}
