/*
 * builder - how an architecture is written: calls that add a layer and give
 * back its number, by which later calls name their inputs.
 *
 *	int x = nn_b_conv(b, B_INPUT, 64, 7, 2, 3, "conv1");
 *	x = nn_b_batch_norm(b, x, "bn1");
 *	x = nn_b_relu(b, x, "relu");
 *	int y = nn_b_add(b, x, shortcut, "layer1.%d.add", i);
 *
 * Names are printf formats.  nn_b_layer() adds any op at its defaults, whose
 * settings the caller then fills: it is what the others are made of.
 */
#ifndef NN_BUILDER_H
#define NN_BUILDER_H

#include "graph.h"

#define B_INPUT (-1)                    /* what the data give */

struct nn_builder {
	struct spec_layer *v;
	int n;
};

/* With nin inputs in[]; the layer that it became is nn_b_at(b, number). */
int nn_b_layer(struct nn_builder *b, enum spec_op op, int nin, const int *in,
    const char *fmt, ...) RK_PRINTF(5, 6);
struct spec_layer *nn_b_at(struct nn_builder *b, int i);

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

/* arch_FAMILY.c: all layers of a model of that family. */
typedef void nn_arch(struct nn_builder *b, const struct spec_model *m);
#define FAMILY(family) nn_arch nn_arch_##family;
#include "rekindle/archs.def"

#endif
