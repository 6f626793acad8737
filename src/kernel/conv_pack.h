/*
 * conv_pack - weights of direct convolutions, and their gradients, between
 * where they lie, [M, c, taps], and what the loops take, where the lines of one
 * are the columns of the other.  For CPUs that have such loops.
 *
 * A panel has a row for each channel c at each place t of the window,
 *
 *	row (c / block * taps + t) * block + c % block
 *
 * that is [blocks, taps, block], of `width` floats each.
 */
#ifndef KERNEL_CONV_PACK_H
#define KERNEL_CONV_PACK_H

#include "conv_phases.h"

struct conv_rows {
	int64_t channels, taps, block;
	int64_t width;                  /* a multiple of 8 */
};

/* Column l of the panel = line l of w, [channels, taps], `apart` floats behind
 * the one before.  Columns behind the last line, up to the next 8, become 0;
 * what is behind these, and rows of no channel, stay as they are. */
void kernel_conv_pack_lines(const struct conv_rows *r, int64_t lines,
    const float *w, int64_t apart, float *panel);

/* And back: line l (+)= column l. */
void kernel_conv_unpack_lines(const struct conv_rows *r, int64_t lines,
    const float *panel, bool add, float *w, int64_t apart);

/* Row t of the panel, which begins t * step floats behind the first, = place
 * taps[t].i of `n` windows that lie side by side in w, of `all` places each.
 * What is behind column n stays. */
void kernel_conv_pack_windows(const struct conv_tap *taps, int64_t ntaps,
    int64_t all, int64_t n, const float *w, int64_t step, float *panel);

#endif
