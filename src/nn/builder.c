/* Adding layers to an architecture: see builder.h. */
#include <stdarg.h>
#include <stdlib.h>

#include "builder.h"

struct spec_layer *
nn_b_at(struct nn_builder *b, int i)
{
	must(i >= 0 && i < b->n);
	return &b->v[i];
}

void
nn_b_blame(struct nn_builder *b, int i, const char *fmt, ...)
{
	NN_B_NAME(path, fmt);
	free(nn_b_at(b, i)->path);
	nn_b_at(b, i)->path = path;
}

static int
add(struct nn_builder *b, enum spec_op op, int nin, const int *in, char *name)
{
	/* Twice as many at each power of two. */
	if ((b->n & (b->n - 1)) == 0)
		b->v = xrealloc(b->v, (size_t)RK_MAX(2 * b->n, 1) *
		    sizeof(*b->v));
	const bool chained = nin == 1 && in[0] == b->n - 1;
	struct spec_layer *l = &b->v[b->n];

	*l = (struct spec_layer){ .type = op, .name = name };
	spec_op_defaults(op, &l->u);
	if (chained)
		return b->n++;
	l->inputs = xcalloc((size_t)nin, sizeof(*l->inputs));
	l->ninputs = nin;
	for (int k = 0; k < nin; k++) {
		must(in[k] >= B_INPUT && in[k] < b->n);
		l->inputs[k] = xstrdup(in[k] == B_INPUT ? SPEC_INPUT :
		    b->v[in[k]].name);
	}
	return b->n++;
}

int
nn_b_layer(struct nn_builder *b, enum spec_op op, int nin, const int *in,
    const char *fmt, ...)
{
	NN_B_NAME(name, fmt);
	return add(b, op, nin, in, name);
}

int
nn_b_conv(struct nn_builder *b, int x, int64_t out, int k, int s, int p,
    const char *fmt, ...)
{
	NN_B_NAME(name, fmt);
	const int i = add(b, SPEC_OP_conv2d, 1, &x, name);
	struct spec_op_conv2d *c = &b->v[i].u.conv2d;

	c->out = out;
	c->kernel[0] = c->kernel[1] = k;
	c->stride[0] = c->stride[1] = s;
	c->padding[0] = c->padding[1] = p;
	c->bias = false;
	return i;
}

int
nn_b_linear(struct nn_builder *b, int x, int64_t out, const char *fmt, ...)
{
	NN_B_NAME(name, fmt);
	const int i = add(b, SPEC_OP_linear, 1, &x, name);

	b->v[i].u.linear.out = out;
	return i;
}

int
nn_b_pool(struct nn_builder *b, enum spec_op op, int x, int k, int s, int p,
    const char *fmt, ...)
{
	NN_B_NAME(name, fmt);
	const int i = add(b, op, 1, &x, name);
	const bool max = op == SPEC_OP_max_pool2d;
	int *kernel = max ? b->v[i].u.max_pool2d.kernel :
	    b->v[i].u.avg_pool2d.kernel;
	int *stride = max ? b->v[i].u.max_pool2d.stride :
	    b->v[i].u.avg_pool2d.stride;
	int *padding = max ? b->v[i].u.max_pool2d.padding :
	    b->v[i].u.avg_pool2d.padding;

	must(max || op == SPEC_OP_avg_pool2d);
	kernel[0] = kernel[1] = k;
	stride[0] = stride[1] = s;
	padding[0] = padding[1] = p;
	return i;
}

int
nn_b_add(struct nn_builder *b, int x, int y, const char *fmt, ...)
{
	NN_B_NAME(name, fmt);
	return add(b, SPEC_OP_add, 2, (const int[]){ x, y }, name);
}

int
nn_b_dropout(struct nn_builder *b, int x, double p, const char *fmt, ...)
{
	NN_B_NAME(name, fmt);
	const int i = add(b, SPEC_OP_dropout, 1, &x, name);

	b->v[i].u.dropout.p = p;
	return i;
}
