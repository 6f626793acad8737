/* Blocks that several families of architectures are made of: see builder.h. */
#include <stdarg.h>
#include <stdlib.h>

#include "builder.h"

enum { TORCH, PADDLE };                 /* convention, as ops.def has it */

int
nn_b_batch_norm(struct nn_builder *b, int x, bool paddle, const char *fmt, ...)
{
	NN_B_NAME(name, fmt);
	const int i = nn_b_op(b, batch_norm, x, "%s", name);
	struct spec_op_batch_norm *n = &nn_b_at(b, i)->u.batch_norm;

	n->convention = paddle ? PADDLE : TORCH;
	n->momentum = paddle ? 0.9 : 0.1;
	free(name);
	return i;
}

int
nn_b_unit(struct nn_builder *b, int x, const struct nn_b_style *style,
    const struct nn_b_unit *unit, const char *fmt, ...)
{
	NN_B_NAME(name, fmt);

	x = nn_b_conv(b, x, unit->out, unit->kernel, unit->stride,
	    (unit->kernel - 1) / 2, "%s%s", name, style->conv);
	if (unit->groups > 0)
		nn_b_at(b, x)->u.conv2d.groups = unit->groups;
	x = nn_b_batch_norm(b, x, style->paddle, "%s%s", name, style->norm);
	struct spec_op_batch_norm *n = &nn_b_at(b, x)->u.batch_norm;
	if (style->eps > 0)
		n->eps = style->eps;
	if (style->momentum > 0)
		n->momentum = style->momentum;
	if (unit->act != SPEC_OP_identity)
		x = nn_b_layer(b, unit->act, 1, &x, "%s%s", name, style->act);
	free(name);
	return x;
}

static int
conv_1x1(struct nn_builder *b, int x, int64_t out, const char *name,
    const char *part)
{
	x = nn_b_conv(b, x, out, 1, 1, 0, "%s%s", name, part);
	nn_b_at(b, x)->u.conv2d.bias = true;
	return x;
}

int
nn_b_gated(struct nn_builder *b, int x, const struct nn_b_gate *gate,
    const char *fmt, ...)
{
	NN_B_NAME(name, fmt);
	int y = nn_b_op(b, global_avg_pool2d, x, "%s.avgpool", name);

	y = conv_1x1(b, y, gate->squeezed, name, gate->first);
	y = nn_b_op(b, relu, y, "%s.relu", name);
	y = conv_1x1(b, y, gate->channels, name, gate->second);
	y = nn_b_op(b, hard_sigmoid, y, "%s.gate", name);
	nn_b_at(b, y)->u.hard_sigmoid.slope = gate->slope;
	y = nn_b_layer(b, SPEC_OP_multiply, 2, (const int[]){ x, y },
	    "%s.multiply", name);
	free(name);
	return y;
}

int64_t
nn_b_by_eight(double v)
{
	const int64_t near = RK_MAX(8, (int64_t)(v + 4) / 8 * 8);

	return (double)near < 0.9 * v ? near + 8 : near;
}
