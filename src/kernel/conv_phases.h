/*
 * conv_phases - where a direct convolution reads and writes, forward or towards
 * the data: worked out once, for a shape.
 *
 * Both are the same work.  Forward, a place q of y is a sum over the taps of
 * the window of x at q * stride + i * dilation - pad.  Towards the data, the
 * places of dx that have the same remainder by the stride, a phase, are a sum
 * over the taps that meet dy there: at q + (remainder + pad - i * dilation) /
 * stride, for the i for which that is whole.  So there are phases (forward:
 * one), each with places, a step between them, in and out, and taps with an
 * offset each.
 *
 * A chunk is some rows of a sample, or several samples where these are small.
 * Where it reads over the edges, or the image is plain, its part of the image
 * is copied with zeros around it.
 */
#ifndef KERNEL_CONV_PHASES_H
#define KERNEL_CONV_PHASES_H

#include "conv_way.h"

struct conv_tap {
	int64_t y, x, i;        /* offsets; the place in the window */
};

struct conv_phase {
	int64_t y0, x0;         /* the first place that comes out */
	int64_t h, w;           /* places */
	int64_t ntaps;
	struct conv_tap *taps;
	int64_t y_min, y_max, x_min, x_max;     /* of the taps */
	bool copy;
	int64_t rows, samples;  /* of a chunk; samples > 1: all rows */
	int64_t in_rows, in_w;  /* of a copy */
	int64_t in_block, in_row, in_sample;
	int32_t *in, *at;       /* places of a chunk, from its beginnings */
	int32_t *runs;          /* of numbers that are read side by side */
	int64_t nruns, len;
};

/* What comes in and goes out, in groups of some blocks each. */
struct conv_geometry {
	bool data;
	struct kernel_window v;
	int64_t B, chunk;               /* samples; places of a chunk, or so */
	struct conv_image in, out;      /* without data */
	int64_t groups, in_blocks, out_blocks;
	int64_t wide;                   /* channels of a block that goes in */
	int64_t step[2], out_step[2];
	int64_t nphases;
	struct conv_phase *phases;
	int64_t copy_floats;            /* the most of a chunk */
};

/* A chunk of a phase for a group. */
struct conv_part {
	const struct conv_phase *f;
	int64_t g;
	int64_t b, nb, q, nq;           /* samples and rows */
};

/* groups: of that many blocks in and out in all, as many in each. */
void kernel_conv_geometry(struct conv_geometry *p,
    const struct kernel_conv_want *w, bool data, int64_t groups,
    int64_t chunk);
void kernel_conv_geometry_free(struct conv_geometry *p);

/* Chunks of B samples, of all phases; number i of them. */
int64_t kernel_conv_parts(const struct conv_geometry *p, int64_t B);
void kernel_conv_part(const struct conv_geometry *p, int64_t B, int64_t i,
    struct conv_part *s);

/* Where the chunk's reading begins: in the image, or in `copy`, to which its
 * part of the image is copied.  And where its writing begins. */
const float *kernel_conv_source(const struct conv_geometry *p,
    const struct conv_part *s, const float *data, float *copy);
float *kernel_conv_target(const struct conv_geometry *p,
    const struct conv_part *s, float *out);

/* Zeros in all blocks of the group, for places that no tap reaches. */
void kernel_conv_zeros(const struct conv_geometry *p,
    const struct conv_part *s, float *out);

#endif
