/*
 * wino - Winograd's convolution F(4x4,3x3) for blocked images: 3x3 windows,
 * stride 1, in 36 products instead of 144 for each 4x4 outputs.
 *
 * Lavin and Gray, arXiv 1509.09308.  The output is cut into tiles of 4x4; d is
 * the 6x6 of the input that a tile sees, outside the image 0, g a window.
 *
 *	y  = At [sum over c of (G g Gt) . (Bt d B)] A
 *	dx   the same of dy, with windows turned round and c and M exchanged
 *	dg = Gt [sum over tiles of (Bt d B) . (A dy At)] G
 *
 * ("." element by element).  The sums are matrix products, one for each of the
 * 36 elements, which are called frequencies here.  The points are 0, 1, -1, 2,
 * -2, so errors are some ten times those of the sum itself.
 *
 * Bits depend on the shape alone: an element of a product is summed in order,
 * in steps of WINO_K channels, or of a number of tiles for dg, whatever is
 * computed beside it.  So y and dx of a sample do not depend on the batch.
 * AVX-512 gives the bits of AVX2.
 */
#ifndef KERNEL_WINO_H
#define KERNEL_WINO_H

#include "rekindle/kernel_conv.h"

/* This shape may go this way on this CPU: both layouts blocked, `fast`, window
 * and stride as above, padding 0 to 2, no groups, no dilation. */
bool wino_can(const struct kernel_conv_want *want);

/* By how much the shape's work is less than that of a direct convolution: up to
 * 4, and where it is more, less than 1. */
double wino_saves(const struct kernel_conv_want *want);

/* Floats of scratch, which need not be set. */
size_t wino_scratch(const struct kernel_conv_want *want,
    enum kernel_conv_pass pass);

/* As kernel_conv_run() and its kin; B up to want->B. */
void wino_forward(const struct kernel_conv_want *want, int64_t B,
    const float *x, const float *w, const float *b, bool relu, float *y,
    float *scratch);
void wino_data(const struct kernel_conv_want *want, int64_t B, const float *w,
    const float *dy, bool add, float *dx, float *scratch);
void wino_weight(const struct kernel_conv_want *want, int64_t B,
    const float *x, const float *dy, bool add, float *dw, float *scratch);

/* The part of wino_scratch() that is in wino_weight.c. */
size_t wino_weight_scratch(const struct kernel_conv_want *want);

/* Floats that the transforms of all windows may take, 64 MiB of them; where
 * they would take more, some outputs are computed after the other.  A variable
 * for the tests alone. */
extern int64_t wino_most;

/* --- transforms, for AVX2 and FMA: one thread, no checks -------------------
 *
 * wino_tiles.c, wino_windows.c */

#define WINO_FREQS 36
#define WINO_K     128

/*
 * 36 matrices.  Element (r, c) of number f is
 *	at[f * freq + c / width * panel + r * width + c % width]
 * so rows lie in panels of `width` columns.  far: more than fits the
 * second-level cache, so who writes a row asks for the memory of the next.
 */
struct wino_matrices {
	float *at;
	int64_t freq, panel, width;
	bool far;
};

/* `floats` and a little more: an odd number of cache lines, so that the places
 * that a transform writes in turn do not fall into one set of a cache. */
static inline int64_t
wino_apart(int64_t floats)
{
	return ((floats + 15) / 16 | 1) * 16;
}

/* How many of `columns` outputs of c channels are computed at a time. */
static inline int64_t
wino_group(int64_t c, int64_t columns)
{
	const int64_t most = wino_most / (WINO_FREQS * c) / 16 * 16;

	return RK_MIN(RK_MAX(most, 16), columns);
}

/* An image, and its tiles [B, th, tw]: the first begins `up` rows above and
 * `left` columns before it. */
struct wino_grid {
	int64_t c, h, w;
	int64_t up, left;
	int64_t th, tw;
};

/* Row r of to, one column a channel, is tile t0 + r of n: Bt d B of all blocks,
 * A dy At of blocks c0 to c1. */
void wino_from_image(const struct wino_grid *g, const float *x, int64_t t0,
    int64_t n, const struct wino_matrices *to);
void wino_from_slopes(const struct wino_grid *g, const float *dy, int64_t t0,
    int64_t n, int64_t c0, int64_t c1, const struct wino_matrices *to);

/* Blocks c0 to c1 of the image from columns 0 to (c1 - c0) * KERNEL_BLOCK:
 * y (+)= relu(At m A + b); b may be NULL. */
struct wino_end {
	const float *b;
	bool relu, add;
};
void wino_to_image(const struct wino_grid *g, const struct wino_matrices *m,
    int64_t t0, int64_t n, int64_t c0, int64_t c1, const struct wino_end *e,
    float *y);

/* Windows, one for each k and n: w[k * ks + n * ns + tap], turned round or not.
 * Row k - k0 and column n - n0, up to the next 16, 0 behind `outputs`, are
 * G g Gt. */
struct wino_windows {
	int64_t ks, ns, outputs;
	bool turned;
};
void wino_from_windows(const struct wino_windows *s, const float *w,
    int64_t k0, int64_t k1, int64_t n0, int64_t n1,
    const struct wino_matrices *to);
/* w (+)= Gt u G, of the rows and columns likewise. */
void wino_to_windows(const struct wino_windows *s,
    const struct wino_matrices *u, int64_t k0, int64_t k1, int64_t n0,
    int64_t n1, bool add, float *w);

#endif
