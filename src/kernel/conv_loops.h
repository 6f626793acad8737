/*
 * conv_loops - the inner loops of direct convolutions of our own: one thread, a
 * part of a piece, no checks.  Written once, in conv_loops.inc, compiled for
 * AVX2 and for AVX-512; CPUs that have neither go the plain way.
 *
 * An element that comes out is one sum in the order of k, or with `split` two
 * of them, by fused multiply-adds, so its bits are the same for both.
 */
#ifndef KERNEL_CONV_LOOPS_H
#define KERNEL_CONV_LOOPS_H

#include "rekindle/kernel_conv.h"

/*
 * out[p, m] (+)= sum over k of x[in[p] + k] w[k, m], for `places` places p and
 * a panel of `vecs` vectors of m.  k goes through `nruns` runs of x, each of
 * `len` numbers that lie side by side from runs[r] on; w is [k, vecs, lanes].
 * Block i of the panel is at out[at[p] + i * out_block]; the blocks from number
 * `blocks` on are not there.
 *
 * The sum begins with what is there (load), with `bias` [vecs * lanes], or with
 * 0 where that is NULL.
 */
struct conv_panel {
	int64_t places, nruns, len;
	const float *x, *w, *bias;
	const int32_t *in, *at, *runs;
	float *out;
	int64_t out_block, blocks;
	bool load, relu;
	bool split;             /* see CONV_SPLIT */
};
/* Channels up to which a panel has two sums for each, of every other number of
 * a run: one would have to wait for itself. */
#define CONV_SPLIT 16

/*
 * sum[i, l, .] += sum over places p of dy[dy_at[p] + i * dy_block, .]
 * x[x_at[p] + l], for a number of blocks i and of numbers l that the loops
 * have; a sum of its own, which is then added to what is there.
 */
struct conv_place {
	int32_t x, dy;
};
struct conv_sums {
	int64_t places;
	const struct conv_place *at;
	const float *x, *dy;
	int64_t dy_block;
	float *sum;
	int64_t sum_block;
	/* Of several runs of numbers l: run r begins at x + runs[r], and its
	 * sums `run` floats behind those of the one before. */
	int64_t runs[5];
	int64_t run;
};
#define CONV_RUNS(numbers) ((numbers) <= 5 ? 5 : (numbers) == 6 ? 4 : 3)

/*
 * sum[t, .] += sum over places p of x[in[p] + runs[t], .] dy[at[p], .], blocks,
 * for a number of t that the loops have; a sum of its own, likewise.
 */
struct conv_each_sums {
	int64_t places;
	const int32_t *in, *at, *runs;
	const float *x, *dy;
	float *sum;
};

/*
 * Few channels out, with places in the lanes: sums[i, v, .] = bias[i] + the sum
 * over k of x[at[v] + k, .] w[k, i], a channel i by itself, for as many v of
 * `lanes` places that lie side by side as the loop takes (line_vecs).  k goes
 * through `blocks` blocks; of each through the runs from number `from` to
 * to - 1 of its `nruns`, each with `len` numbers, `last` in the last block:
 * number l of a run is at runs[..] + numbers[l].  w is [blocks, nruns, len, 8].
 * Two sums for each element, as with CONV_SPLIT.
 */
struct conv_lines {
	const float *x, *w, *bias;
	const int32_t *runs, *numbers;
	int64_t blocks, nruns, from, to, len, last;
	int64_t at[2];
	float *sums;            /* [CONV_LINES][2 * lanes] */
};
#define CONV_LINES  8           /* channels, at most */

#define CONV_TAPS   9
#define CONV_VECS   4           /* of a panel, at most */
#define CONV_BLOCKS 6           /* of a tile of sums */

struct conv_loops {
	int lanes, vecs;
	int64_t k;              /* rows of a panel that a cache holds */
	void (*panel[CONV_VECS])(const struct conv_panel *p);
	/* By blocks - 1 and numbers - 1; most[blocks - 1] numbers, 0: none. */
	int most[CONV_BLOCKS];
	void (*sums[CONV_BLOCKS][8])(const struct conv_sums *s);
	/* CONV_RUNS(numbers) runs at once, by blocks - 1 and numbers - 1; NULL:
	 * a run by itself has as many sums as there are registers. */
	void (*run_sums[2][8])(const struct conv_sums *s);
	/* Of a block by itself, channel by channel: out[p] (+)= sum over r of
	 * x[in[p] + runs[r]] w[r]; `len` and the blocks do not count. */
	void (*each)(const struct conv_panel *p);
	void (*each_sums[CONV_TAPS])(const struct conv_each_sums *s);
	/* By channels - 1; line_vecs 0: none. */
	int line_vecs[CONV_LINES];
	void (*lines[CONV_LINES])(const struct conv_lines *p);
};
extern const struct conv_loops kernel_conv_loops_avx2, kernel_conv_loops_avx512;

/* Those for this CPU, or NULL. */
const struct conv_loops *kernel_conv_loops(void);

#endif
