/*
 * builder - how an architecture is written: calls that add a layer and give
 * back its number, by which later calls name their inputs.
 *
 *	int x = nn_b_conv(b, B_INPUT, 64, 7, 2, 3, "conv1");
 *	x = nn_b_op(b, batch_norm, x, "bn1");
 *	x = nn_b_op(b, relu, x, "relu");
 *	int y = nn_b_add(b, x, shortcut, "layer1.%d.add", i);
 *
 * To add an architecture: its row in archs.def, with the fields that a job may
 * give, and nn_arch_FAMILY() in arch_FAMILY.c.  Its tensors are called after
 * its layers, so these have the names that the weights have elsewhere.
 *
 * Names are printf formats.  nn_b_layer() adds any op at its defaults, whose
 * settings the caller then fills: it is what the others are made of.
 */
#ifndef NN_BUILDER_H
#define NN_BUILDER_H

#include "graph.h"

/* In a call: its name, a new string, from the format that it ends in. */
#define NN_B_NAME(name, fmt)                                              \
	char *name;                                                       \
	va_list ap;                                                       \
	va_start(ap, fmt);                                                \
	must(vasprintf(&name, fmt, ap) >= 0);                             \
	va_end(ap)

#define B_INPUT (-1)                    /* what the data give */

struct nn_builder {
	struct spec_layer *v;
	int n;
};

/* With nin inputs in[]; the layer that it became is nn_b_at(b, number). */
int nn_b_layer(struct nn_builder *b, enum spec_op op, int nin, const int *in,
    const char *fmt, ...) RK_PRINTF(5, 6);
struct spec_layer *nn_b_at(struct nn_builder *b, int i);
/* A layer's faults are those of this field of the architecture:
 * "model.heads". */
void nn_b_blame(struct nn_builder *b, int i, const char *fmt, ...)
    RK_PRINTF(3, 4);

/* An op with one input, at its defaults. */
#define nn_b_op(b, op, x, ...)                                            \
	nn_b_layer(b, SPEC_OP_##op, 1, (const int[]){ x }, __VA_ARGS__)

/* conv2d without bias: out channels, kernel k, stride s, padding p. */
int nn_b_conv(struct nn_builder *b, int x, int64_t out, int k, int s, int p,
    const char *fmt, ...) RK_PRINTF(7, 8);
int nn_b_linear(struct nn_builder *b, int x, int64_t out, const char *fmt,
    ...) RK_PRINTF(4, 5);
int nn_b_pool(struct nn_builder *b, enum spec_op op, int x, int k, int s,
    int p, const char *fmt, ...) RK_PRINTF(7, 8);
int nn_b_add(struct nn_builder *b, int x, int y, const char *fmt, ...)
    RK_PRINTF(4, 5);
int nn_b_dropout(struct nn_builder *b, int x, double p, const char *fmt, ...)
    RK_PRINTF(4, 5);

/* --- blocks that several families are made of: blocks.c ------------------- */

/* A batch norm in the convention of PyTorch or Paddle, with its momentum. */
int nn_b_batch_norm(struct nn_builder *b, int x, bool paddle, const char *fmt,
    ...) RK_PRINTF(4, 5);

/*
 * A convolution without bias, its batch norm and an activation.  The style says
 * what is put behind the unit's name for each of the three; the padding keeps
 * the size where the stride is 1.
 */
struct nn_b_style {
	const char *conv, *norm, *act;
	bool paddle;                    /* convention of the batch norm */
	double eps, momentum;           /* 0: the convention's own */
};
struct nn_b_unit {
	int64_t out, groups;            /* groups 0: 1 */
	int kernel, stride;
	enum spec_op act;               /* SPEC_OP_identity: none */
};
int nn_b_unit(struct nn_builder *b, int x, const struct nn_b_style *style,
    const struct nn_b_unit *unit, const char *fmt, ...) RK_PRINTF(5, 6);

/* Hu et al. 2017 (arXiv 1709.01507): x of `channels` times a gate for each,
 * made of their means by two 1x1 convolutions, whose names end in first and
 * second, and a hard sigmoid. */
struct nn_b_gate {
	int64_t channels, squeezed;
	double slope;
	const char *first, *second;
};
int nn_b_gated(struct nn_builder *b, int x, const struct nn_b_gate *gate,
    const char *fmt, ...) RK_PRINTF(4, 5);

/* The multiple of 8 that is nearest to v, not below 0.9 v: how the MobileNets
 * round channels. */
int64_t nn_b_by_eight(double v);

/* arch_FAMILY.c: all layers of a model of that family. */
typedef void nn_arch(struct nn_builder *b, const struct spec_model *m);
#define FAMILY(family) nn_arch nn_arch_##family;
#include "rekindle/archs.def"

#endif
