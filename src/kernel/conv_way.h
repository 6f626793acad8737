/*
 * conv_way - a way of computing one pass of a convolution; conv_plan.c chooses
 * among them.
 */
#ifndef KERNEL_CONV_WAY_H
#define KERNEL_CONV_WAY_H

#include "rekindle/kernel_conv.h"

/* One execution; `out` is y, dx or dw, and what a pass does not use is NULL. */
struct conv_call {
	int64_t B;
	const float *x, *w, *b, *dy;
	bool relu, add;
	float *out, *scratch;
};

struct conv_way {
	/* NULL: this way does not take the shape, or not on this CPU. */
	void *(*make)(const struct kernel_conv_want *w,
	    enum kernel_conv_pass pass);
	void (*free)(void *);
	size_t (*scratch)(const void *);        /* floats */
	void (*run)(const void *, const struct conv_call *c);
};

extern const struct conv_way kernel_conv_plain;         /* conv_plain.c */
extern const struct conv_way kernel_conv_winograd;      /* wino.c */
extern const struct conv_way kernel_conv_prim;          /* prim.c */
extern const struct conv_way kernel_conv_first;         /* conv_direct.c */
extern const struct conv_way kernel_conv_direct;
extern const struct conv_way kernel_conv_narrow;        /* conv_narrow.c */
extern const struct conv_way kernel_conv_depthwise;     /* conv_depthwise.c */
extern const struct conv_way kernel_conv_weight;        /* conv_weight.c */

/*
 * The ways, the best first: a pass goes the first one that takes its shape.
 * A way takes what it is made for and, of that, what it does best; the last
 * takes all.  `rate` is its pace on a common machine, in multiplications a
 * nanosecond, and goes into kernel_conv_plan_cost() alone.
 */
struct conv_choice {
	enum kernel_conv_way word;
	const char *name;                       /* for people who measure */
	const struct conv_way *way;             /* NULL: the end */
	double rate;
};
extern const struct conv_choice kernel_conv_choices[];

/* Floats, up to a multiple of a cache line. */
static inline size_t
conv_aligned(int64_t floats)
{
	return ((size_t)floats + 15) / 16 * 16;
}

/* db[c] (+)= the sums of blocked dy[B,c,plane]. */
void kernel_conv_bias_sums(int64_t B, int64_t c, int64_t plane,
    const float *dy, bool add, float *db);

struct conv_image {
	enum kernel_layout layout;
	int64_t c, h, w;
	const float *data;
};

/* Places are counted in 32 bits, from the beginnings of chunks of `chunk`
 * places or a row: whether that is enough for the shape. */
bool kernel_conv_fits(const struct kernel_conv_want *w, int64_t chunk);

/* Places x to x + n - 1 of row y of a block of sample b, [n, KERNEL_BLOCK], or
 * of a plain image [n, c]; zeros where these are outside the image. */
void kernel_conv_row(const struct conv_image *im, int64_t b, int64_t block,
    int64_t y, int64_t x, int64_t n, float *to);

#endif
