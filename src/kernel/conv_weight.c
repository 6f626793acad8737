/*
 * Weight gradients of a blocked convolution:
 *
 *	dw[m,c,i,j] += sum over samples b and places p of the output of
 *	               dy[b,m,p] x[b,c,p under (i,j)]
 *
 * A tile is some blocks of m times some channels of x at one place of the
 * window, in registers, while the places of a chunk go by: dy is read as it
 * lies, a vector a block, and x a number at a time.  A chunk is some rows of a
 * sample, or several samples where these are small; where its rows reach into
 * the padding, or x is plain, they are copied with the padding around them.
 *
 * A piece is a slab of m times a slab of c, over a part of the samples.  Sums
 * are taken over a chunk, then over chunks, then over parts: in an order that
 * the shape decides.  Parts are for shapes that have too few slabs; they cost a
 * copy of dw each.
 *
 * Packed, dw is [M/8, taps, c, 8] for each group and block of c (of a plain x:
 * all of it), 8 for KERNEL_BLOCK.
 */
#include <stdlib.h>
#include <string.h>

#include "conv_loops.h"
#include "conv_pack.h"
#include "loops.h"
#include "window.h"

#define L        ((int64_t)KERNEL_BLOCK)
#define CHUNK    256            /* places, more or less */
#define SLAB_M   16             /* blocks of a slab; windows of one: twice */
#define SLAB_C   8
#define PIECES   16
#define MAX_PARTS 16
#define PART_FLOATS  ((int64_t)1 << 21)

struct weight {
	struct kernel_window v;
	int64_t M, B, groups;
	enum kernel_layout lx;
	int64_t wide;                   /* channels of a block of x */
	int64_t cblocks, mblocks;       /* of a group */
	int64_t taps;
	bool copy;
	int64_t rows, samples;          /* of a chunk; samples > 1: all rows */
	int64_t in_rows, in_w;          /* of a copy */
	int64_t x_block, x_row, x_col;  /* strides in what a tile reads */
	int64_t x_sample;
	struct conv_place *places;
	int64_t mslab, cslab, mslabs, cslabs, parts;
	int64_t dw_floats;              /* of one packed dw */
	int64_t copy_floats;
	int threads;
	const struct conv_loops *loops;
};

struct weight_run {
	const struct weight *p;
	const struct conv_call *c;
	int64_t parts;
	float *copies, *packed;
};

/* --- making --------------------------------------------------------------- */

/* Rows and samples of a chunk, and its places. */
static void
chunks(struct weight *p)
{
	const struct kernel_window *v = &p->v;
	const int64_t dil = window_dilation(v, 0);

	p->rows = RK_MIN(RK_MAX(CHUNK / v->ow, 1), v->oh);
	p->samples = p->rows < v->oh ? 1 :
	    RK_MIN(RK_MAX(CHUNK / (v->oh * v->ow), 1), p->B);
	p->copy = p->lx == KERNEL_PLAIN || v->pad[0] > 0 || v->pad[1] > 0;
	p->in_rows = (p->rows - 1) * v->stride[0] + (v->k[0] - 1) * dil + 1;
	p->in_w = p->copy ? v->w + 2 * v->pad[1] : v->w;
	p->x_col = p->wide;
	p->x_row = p->in_w * p->wide;
	p->x_block = p->copy ? p->samples * p->in_rows * p->x_row :
	    v->h * v->w * L;
	p->x_sample = p->copy ? p->in_rows * p->x_row :
	    p->groups * p->cblocks * p->x_block;
	p->copy_floats = p->copy ? p->cslab * p->x_block : 0;
	p->places = xcalloc((size_t)(p->samples * p->rows * v->ow),
	    sizeof(*p->places));
	struct conv_place *at = p->places;
	for (int64_t b = 0; b < p->samples; b++)
	for (int64_t r = 0; r < p->rows; r++)
	for (int64_t o = 0; o < v->ow; o++)
		*at++ = (struct conv_place){ (int32_t)(b * p->x_sample +
		    r * v->stride[0] * p->x_row + o * v->stride[1] * p->x_col),
		    (int32_t)(b * p->groups * p->mblocks * v->oh * v->ow * L +
		    (r * v->ow + o) * L) };
}

static int64_t
parts_of(const struct weight *p, int64_t B)
{
	int64_t parts = 1;
	const int64_t slabs = p->groups * p->mslabs * p->cslabs;

	while (slabs * parts < PIECES && parts < MAX_PARTS &&
	    parts * 2 * p->samples <= B &&
	    (parts * 2 * p->dw_floats <= PART_FLOATS || slabs * parts < 4))
		parts *= 2;
	return parts;
}

static bool
takes(const struct kernel_conv_want *w, enum kernel_conv_pass pass)
{
	const struct kernel_window *v = &w->v;
	const int64_t groups = window_groups(v);

	if (pass != KERNEL_CONV_WEIGHT || w->y != KERNEL_BLOCKED ||
	    kernel_conv_loops() == NULL)
		return false;
	if (w->x == KERNEL_PLAIN && (groups > 1 || v->c > L))
		return false;
	if (groups > 1 && (v->c / groups % L != 0 || w->M / groups % L != 0))
		return false;
	return kernel_conv_fits(w, CHUNK);
}

static void *
weight_make(const struct kernel_conv_want *w, enum kernel_conv_pass pass)
{
	if (!takes(w, pass))
		return NULL;
	struct weight *p = xcalloc(1, sizeof(*p));
	const struct kernel_window *v = &w->v;
	p->v = *v;
	p->M = w->M;
	p->B = w->B;
	p->lx = w->x;
	p->groups = window_groups(v);
	p->taps = v->k[0] * v->k[1];
	p->wide = w->x == KERNEL_PLAIN ? v->c : L;
	p->cblocks = w->x == KERNEL_PLAIN ? 1 :
	    kernel_blocks(v->c / p->groups);
	p->mblocks = kernel_blocks(w->M / p->groups);
	const int64_t twice = p->taps == 1 ? 2 : 1;
	p->mslabs = (p->mblocks + SLAB_M * twice - 1) / (SLAB_M * twice);
	p->mslab = (p->mblocks + p->mslabs - 1) / p->mslabs;
	p->cslabs = (p->cblocks + SLAB_C * twice - 1) / (SLAB_C * twice);
	p->cslab = (p->cblocks + p->cslabs - 1) / p->cslabs;
	p->dw_floats = p->groups * p->mblocks * p->cblocks * p->taps *
	    p->wide * L;
	p->threads = kernel_threads();
	p->loops = kernel_conv_loops();
	chunks(p);
	p->parts = 1;
	for (int64_t B = 1; B <= p->B; B++)
		p->parts = RK_MAX(p->parts, parts_of(p, B));
	return p;
}

static void
weight_free(void *vp)
{
	struct weight *p = vp;

	free(p->places);
	free(p);
}

static size_t
weight_scratch(const void *vp)
{
	const struct weight *p = vp;

	return conv_aligned(p->copy_floats) * (size_t)p->threads +
	    conv_aligned(p->dw_floats) * (size_t)p->parts;
}

/* --- running -------------------------------------------------------------- */

/* How many blocks of m a tile takes of those left: the most that go with the
 * numbers of a run of x, but not so many that one is left. */
static int64_t
take_blocks(const struct weight *p, int64_t left, int64_t run)
{
	const int *most = p->loops->most;
	int64_t n = RK_MIN(left, CONV_BLOCKS);

	while (most[n - 1] == 0 || (most[n - 1] < run && most[n - 1] < 4 &&
	    n > 1) || (left - n == 1 && n > 2))
		n--;
	return n;
}

/* How many numbers of a run a tile takes, evenly. */
static int64_t
take_numbers(const struct weight *p, int64_t left, int64_t blocks)
{
	const int64_t most = p->loops->most[blocks - 1];
	const int64_t tiles = (left + most - 1) / most;

	return (left + tiles - 1) / tiles;
}

/* Runs of numbers that lie side by side: of a plain x all columns of a row of
 * the window. */
static bool
joined(const struct weight *p)
{
	return p->lx == KERNEL_PLAIN && window_dilation(&p->v, 1) == 1;
}

/* Where run t begins. */
static int64_t
run_at(const struct weight *p, int64_t t)
{
	const int64_t k = joined(p) ? 1 : p->v.k[1];

	return t / k * window_dilation(&p->v, 0) * p->x_row +
	    t % k * window_dilation(&p->v, 1) * p->x_col;
}

/* Whole groups of runs, of `n` numbers each; how many runs that were. */
static int64_t
run_tiles(const struct weight *p, int64_t runs, int64_t n, int64_t blocks,
    struct conv_sums *s)
{
	const struct conv_loops *loops = p->loops;
	float *sum = s->sum;
	int64_t t = 0;

	if (blocks > 2 || n > 8 || loops->run_sums[blocks - 1][n - 1] == NULL)
		return 0;
	for (; t + CONV_RUNS(n) <= runs; t += CONV_RUNS(n)) {
		for (int64_t r = 0; r < CONV_RUNS(n); r++)
			s->runs[r] = run_at(p, t + r);
		s->sum = sum + t * s->run;
		loops->run_sums[blocks - 1][n - 1](s);
	}
	return t;
}

/* The tiles of some blocks of m with block c of x, of which lanes of no channel
 * are left out. */
static void
block_tiles(const struct weight *p, int64_t places, int64_t c, int64_t blocks,
    const float *x, const float *dy, float *sum, int64_t sum_block)
{
	const struct kernel_window *v = &p->v;
	const int64_t run = joined(p) ? v->k[1] * p->wide : p->wide;
	const int64_t runs = p->taps * p->wide / run;
	const int64_t n = joined(p) ? run :
	    RK_MIN(v->c / p->groups - c * p->wide, p->wide);
	struct conv_sums s = { .places = places, .at = p->places, .x = x,
		.dy = dy, .dy_block = v->oh * v->ow * L, .sum = sum,
		.sum_block = sum_block, .run = run * L };

	for (int64_t t = run_tiles(p, runs, n, blocks, &s); t < runs; t++)
		for (int64_t l = 0, k; l < n; l += k) {
			k = take_numbers(p, n - l, blocks);
			s.x = x + run_at(p, t) + l;
			s.sum = sum + (t * run + l) * L;
			p->loops->sums[blocks - 1][k - 1](&s);
		}
}

struct slab {
	int64_t g, m0, m1, c0, c1;      /* blocks, of the group */
};

static void
chunk(const struct weight_run *r, const struct slab *s, int64_t b, int64_t nb,
    int64_t r0, int64_t nr, float *packed)
{
	const struct weight *p = r->p;
	const struct kernel_window *v = &p->v;
	const int64_t first = s->g * p->cblocks, top = r0 * v->stride[0] -
	    v->pad[0];
	const struct conv_image im = { p->lx, v->c, v->h, v->w, r->c->x };
	float *copy = r->copies + conv_aligned(p->copy_floats) *
	    (size_t)kernel_self();
	const float *x = copy;
	const int64_t tile_floats = p->taps * p->wide * L;

	if (!p->copy)
		x = r->c->x + b * p->x_sample + (first + s->c0) * p->x_block +
		    top * p->x_row;
	else
		for (int64_t c = s->c0; c < s->c1; c++)
		for (int64_t k = 0; k < nb; k++)
		for (int64_t i = 0; i < p->in_rows; i++)
			kernel_conv_row(&im, b + k, first + c, top + i,
			    -v->pad[1], p->in_w, copy + (c - s->c0) *
			    p->x_block + k * p->x_sample + i * p->x_row);
	for (int64_t m = s->m0, k; m < s->m1; m += k) {
		k = take_blocks(p, s->m1 - m, p->wide);
		const float *dy = r->c->dy + (((b * p->groups + s->g) *
		    p->mblocks + m) * v->oh + r0) * v->ow * L;
		float *sum = packed + ((s->g * p->mblocks + m) * p->cblocks +
		    s->c0) * tile_floats;
		for (int64_t c = s->c0; c < s->c1; c++)
			block_tiles(p, nb * nr * v->ow, c, k, x + (c - s->c0) *
			    p->x_block, dy, sum + (c - s->c0) * tile_floats,
			    p->cblocks * tile_floats);
	}
}

static void
weight_piece(void *ctx, size_t k)
{
	const struct weight_run *r = ctx;
	const struct weight *p = r->p;
	const int64_t part = (int64_t)k % r->parts, B = r->c->B;
	int64_t i = (int64_t)k / r->parts;
	struct slab s;

	s.c0 = i % p->cslabs * p->cslab;
	s.c1 = RK_MIN(s.c0 + p->cslab, p->cblocks);
	i /= p->cslabs;
	s.m0 = i % p->mslabs * p->mslab;
	s.m1 = RK_MIN(s.m0 + p->mslab, p->mblocks);
	s.g = i / p->mslabs;
	float *packed = r->packed + conv_aligned(p->dw_floats) * (size_t)part;
	const int64_t tile_floats = p->taps * p->wide * L;
	for (int64_t m = s.m0; m < s.m1 && s.c0 < s.c1; m++)
		memset(packed + ((s.g * p->mblocks + m) * p->cblocks + s.c0) *
		    tile_floats, 0, (size_t)((s.c1 - s.c0) * tile_floats) *
		    sizeof(float));
	const int64_t to = B * (part + 1) / r->parts;
	for (int64_t b = B * part / r->parts; b < to; b += p->samples)
		for (int64_t r0 = 0; r0 < p->v.oh; r0 += p->rows)
			chunk(r, &s, b, RK_MIN(p->samples, to - b), r0,
			    RK_MIN(p->rows, p->v.oh - r0), packed);
}

/* The parts' sums, which lie `part` apart: put over those of the first. */
static void
add_parts(float *sum, int64_t n, int64_t parts, size_t part)
{
	for (int64_t i = 1; i < parts; i++)
		kernel_loops()->add(sum, sum + (size_t)i * part, (size_t)n);
}

/* A piece is a block of m of a group: the sums, into plain dw. */
static void
unpack_piece(void *ctx, size_t k)
{
	const struct weight_run *r = ctx;
	const struct weight *p = r->p;
	const int64_t g = (int64_t)k / p->mblocks, mb = (int64_t)k %
	    p->mblocks, xc = p->v.c / p->groups, yc = p->M / p->groups;
	const int64_t n = p->cblocks * p->taps * p->wide * L;
	const struct conv_rows rows = { xc, p->taps, p->wide, L };
	float *sum = r->packed + (int64_t)k * n;

	add_parts(sum, n, r->parts, conv_aligned(p->dw_floats));
	kernel_conv_unpack_lines(&rows, RK_MIN(yc - mb * L, L), sum, r->c->add,
	    r->c->out + (g * yc + mb * L) * xc * p->taps, xc * p->taps);
}

static void
weight_run(const void *vp, const struct conv_call *c)
{
	const struct weight *p = vp;
	struct weight_run r = { .p = p, .c = c, .copies = c->scratch };

	r.parts = parts_of(p, c->B);
	r.packed = c->scratch + conv_aligned(p->copy_floats) *
	    (size_t)p->threads;
	kernel_for((size_t)(p->groups * p->mslabs * p->cslabs * r.parts),
	    weight_piece, &r);
	kernel_for((size_t)(p->groups * p->mblocks), unpack_piece, &r);
}

const struct conv_way kernel_conv_weight = { weight_make, weight_free,
	weight_scratch, weight_run };
