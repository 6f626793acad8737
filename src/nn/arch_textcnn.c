/*
 * textcnn: Kim 2014 (arXiv 1408.5882).  Vectors of T words, convolutions over
 * windows of some words, of each filter the largest over the sentence, dropout
 * and a linear layer.
 */
#include "builder.h"

static int
windows(struct nn_builder *b, int x, const struct spec_arch_textcnn *a, int i)
{
	x = nn_b_conv(b, x, a->filters, 1, 1, 0, "convs.%d", i);
	struct spec_op_conv2d *c = &nn_b_at(b, x)->u.conv2d;

	c->kernel[0] = (int)a->kernels.v[i];
	c->kernel[1] = (int)a->width;
	c->bias = true;
	nn_b_blame(b, x, "model.kernels[%d]", i);
	x = nn_b_op(b, relu, x, "relus.%d", i);
	return nn_b_op(b, global_max_pool2d, x, "pools.%d", i);
}

void
nn_arch_textcnn(struct nn_builder *b, const struct spec_model *m)
{
	const struct spec_arch_textcnn *a = &m->u.textcnn;
	const int n = a->kernels.n;
	int all[16];
	int x = nn_b_op(b, embedding, B_INPUT, "embedding");
	struct spec_op_embedding *e = &nn_b_at(b, x)->u.embedding;

	must(n >= 1 && n <= (int)RK_ARRAY_LEN(all));
	nn_b_blame(b, x, "model.vocabulary");
	e->rows = a->vocabulary;
	e->width = a->width;
	e->padding_index = a->padding_index;
	x = nn_b_op(b, reshape, x, "image");
	struct spec_op_reshape *r = &nn_b_at(b, x)->u.reshape;
	r->shape.n = 3;
	r->shape.v[0] = 1;
	r->shape.v[1] = -1;
	r->shape.v[2] = a->width;
	for (int i = 0; i < n; i++)
		all[i] = windows(b, x, a, i);
	x = n > 1 ? nn_b_layer(b, SPEC_OP_concat, n, all, "concat") : all[0];
	x = nn_b_op(b, flatten, x, "flatten");
	if (a->dropout > 0)
		x = nn_b_dropout(b, x, a->dropout, "dropout");
	(void)nn_b_linear(b, x, a->classes, "fc");
}
