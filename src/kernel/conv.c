/*
 * Convolution by im2col and the matrix product.  For each group of c channels
 * in and M out, with K = c*kh*kw, and P the positions of some rows of the
 * output:
 *
 *	col[K,P]    the input under the window at each position
 *	y[M,P]    = w[M,K]   col[K,P]
 *	dw[M,K]  += dy[M,P]  col[K,P]^T
 *	dcol[K,P] = w[M,K]^T dy[M,P],  dx += its entries where they came from
 *
 * P is chosen by shape so that col stays in the second-level cache.  A window
 * of one pixel needs no col: the input is it.  What has one channel in each
 * group is not computed here but in depthwise.c.
 */
#include <string.h>

#include "rekindle/kernel.h"
#include "depthwise.h"
#include "loops.h"
#include "window.h"

#define COL_FLOATS  ((int64_t)65536)    /* 256 KiB, half an L2 */
#define MAX_PARTS   16                  /* of samples, in the weights' sum */
#define MIN_PARTS   4
#define MAX_PARTIAL ((int64_t)1 << 22)  /* floats of partial weight gradients */

struct conv {
	const struct kernel_window *v;
	int64_t M, B;
	int64_t groups, gc, gM, K;      /* channels of a group, in and out */
	int64_t rows, chunks;           /* output rows a chunk */
	bool direct;                    /* the input is col */
	const float *x, *w, *b, *dy;
	float *y, *dx, *dw;
	bool relu, add;
	float *col;                     /* one a thread */
	int64_t col_size;
	int64_t parts;
	float *partial;                 /* [parts, M, K] */
};

static void
plan(struct conv *c, const struct kernel_window *v, int64_t M, int64_t B,
    float *scratch)
{
	*c = (struct conv){ .v = v, .M = M, .B = B };
	c->groups = window_groups(v);
	c->gc = v->c / c->groups;
	c->gM = M / c->groups;
	c->K = c->gc * v->k[0] * v->k[1];
	c->rows = RK_MAX(COL_FLOATS / (c->K * v->ow), 1);
	c->rows = RK_MIN(c->rows, v->oh);
	c->chunks = (v->oh + c->rows - 1) / c->rows;
	c->direct = v->k[0] == 1 && v->k[1] == 1 && v->stride[0] == 1 &&
	    v->stride[1] == 1 && v->pad[0] == 0 && v->pad[1] == 0;
	c->col_size = c->direct ? 0 : (c->K * c->rows * v->ow + 15) / 16 * 16;
	c->parts = RK_MIN(B, MAX_PARTS);
	while (c->parts > MIN_PARTS && c->parts * M * c->K > MAX_PARTIAL)
		c->parts /= 2;
	c->col = scratch;
	if (scratch != NULL)
		c->partial = scratch + c->col_size * kernel_threads();
}

size_t
kernel_conv_scratch(const struct kernel_window *v, int64_t M, int64_t B)
{
	struct conv c;

	if (window_is_depthwise(v))
		return 0;
	plan(&c, v, M, B, NULL);
	/* A smaller batch may have as many parts as a larger one. */
	int64_t most = RK_MIN(B, MAX_PARTS);
	most = RK_MAX(RK_MIN(most, MAX_PARTIAL / (M * c.K)),
	    RK_MIN(B, MIN_PARTS));
	most = RK_MAX(most, c.parts);
	return (size_t)(c.col_size * kernel_threads() + most * M * c.K);
}

/* Rows are short, often ten values or so: a call for each would take longer
 * than the row itself. */
static inline void
copy_row(float *to, const float *from, int64_t n)
{
	int64_t i = 0;

	for (; i + 4 <= n; i += 4)
		memcpy(to + i, from + i, 4 * sizeof(*to));
	for (; i < n; i++)
		to[i] = from[i];
}

static inline void
add_row(float *restrict to, const float *restrict from, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		to[i] += from[i];
}

/* Rows r0 to r1 of the output, from gc channels; col's rows are np long. */
static void
im2col(const struct kernel_window *v, int64_t gc, const float *x, int64_t r0,
    int64_t r1, float *col)
{
	const int64_t dil = window_dilation(v, 0);

	for (int64_t ch = 0; ch < gc; ch++)
	for (int64_t i = 0; i < v->k[0]; i++)
	for (int64_t j = 0; j < v->k[1]; j++) {
		int64_t from, to, first;
		const int64_t off = i * dil - v->pad[0];
		window_span(v, j, &from, &to, &first);
		for (int64_t oy = r0; oy < r1; oy++, col += v->ow) {
			int64_t iy = oy * v->stride[0] + off;
			if (iy < 0 || iy >= v->h || from == to) {
				memset(col, 0, (size_t)v->ow * sizeof(*col));
				continue;
			}
			const float *in = x + (ch * v->h + iy) * v->w + first;
			for (int64_t o = 0; o < from; o++)
				col[o] = 0;
			if (v->stride[1] == 1)
				copy_row(col + from, in, to - from);
			else
				for (int64_t o = from; o < to; o++)
					col[o] = in[(o - from) * v->stride[1]];
			for (int64_t o = to; o < v->ow; o++)
				col[o] = 0;
		}
	}
}

/* The other way: dx += what col holds for each pixel. */
static void
col2im(const struct kernel_window *v, int64_t gc, const float *col, int64_t r0,
    int64_t r1, float *dx)
{
	const int64_t dil = window_dilation(v, 0), ow = v->ow, h = v->h;
	const int64_t sy = v->stride[0], sx = v->stride[1];

	for (int64_t ch = 0; ch < gc; ch++)
	for (int64_t i = 0; i < v->k[0]; i++)
	for (int64_t j = 0; j < v->k[1]; j++) {
		int64_t from, to, first;
		const int64_t off = i * dil - v->pad[0];
		window_span(v, j, &from, &to, &first);
		for (int64_t oy = r0; oy < r1; oy++, col += ow) {
			const int64_t iy = oy * sy + off;
			if (iy < 0 || iy >= h || from == to)
				continue;
			float *out = dx + (ch * h + iy) * v->w + first;
			if (sx == 1)
				add_row(out, col + from, to - from);
			else
				for (int64_t o = from; o < to; o++)
					out[(o - from) * sx] += col[o];
		}
	}
}

/* col for output rows r0 to r1 of group g of sample b, and its row length. */
static const float *
column(const struct conv *c, int64_t b, int64_t g, int64_t r0, int64_t r1,
    int64_t *ld)
{
	const float *x = c->x + (b * c->v->c + g * c->gc) * c->v->h * c->v->w;

	if (c->direct) {
		*ld = c->v->h * c->v->w;
		return x + r0 * c->v->ow;
	}
	float *col = c->col + c->col_size * kernel_self();
	im2col(c->v, c->gc, x, r0, r1, col);
	*ld = (r1 - r0) * c->v->ow;
	return col;
}

static int64_t
last_row(const struct conv *c, int64_t r0)
{
	return RK_MIN(r0 + c->rows, c->v->oh);
}

/* A piece is a chunk of a group of a sample. */
static void
forward_piece(void *ctx, size_t piece)
{
	const struct conv *c = ctx;
	const struct kernel_window *v = c->v;
	const int64_t all = v->oh * v->ow, bg = (int64_t)piece / c->chunks;
	const int64_t b = bg / c->groups, m0 = bg % c->groups * c->gM;
	const int64_t r0 = (int64_t)piece % c->chunks * c->rows;
	const int64_t r1 = last_row(c, r0), np = (r1 - r0) * v->ow;
	int64_t ld;
	const float *col = column(c, b, bg % c->groups, r0, r1, &ld);
	float *y = c->y + (b * c->M + m0) * all + r0 * v->ow;

	kernel_sgemm(false, false, c->gM, np, c->K, c->w + m0 * c->K, c->K,
	    col, ld, 0, y, all);
	if (c->b != NULL || c->relu)
		for (int64_t m = 0; m < c->gM; m++)
			kernel_loops()->bias1(y + m * all, (size_t)np,
			    c->b != NULL ? c->b[m0 + m] : 0, c->relu);
}

void
kernel_conv(const struct kernel_window *v, int64_t M, int64_t B,
    const float *x, const float *w, const float *b, bool relu, float *y,
    float *scratch)
{
	struct conv c;

	if (window_is_depthwise(v)) {
		kernel_depthwise(v, M, B, x, w, b, relu, y);
		return;
	}
	plan(&c, v, M, B, scratch);
	c.x = x;
	c.w = w;
	c.b = b;
	c.relu = relu;
	c.y = y;
	kernel_for((size_t)(B * c.groups * c.chunks), forward_piece, &c);
}

/* A piece is a group of a sample: its chunks overlap in dx. */
static void
back_data_piece(void *ctx, size_t bg)
{
	const struct conv *c = ctx;
	const struct kernel_window *v = c->v;
	const int64_t all = v->oh * v->ow, in = c->gc * v->h * v->w;
	const float *dy = c->dy + (int64_t)bg * c->gM * all;
	const float *w = c->w + (int64_t)bg % c->groups * c->gM * c->K;
	float *dx = c->dx + (int64_t)bg * in;

	if (c->direct) {
		kernel_sgemm(true, false, c->K, all, c->gM, w, c->K, dy, all,
		    c->add ? 1 : 0, dx, all);
		return;
	}
	if (!c->add)
		memset(dx, 0, (size_t)in * sizeof(*dx));
	float *col = c->col + c->col_size * kernel_self();
	for (int64_t r0 = 0; r0 < v->oh; r0 += c->rows) {
		const int64_t r1 = last_row(c, r0), np = (r1 - r0) * v->ow;
		kernel_sgemm(true, false, c->K, np, c->gM, w, c->K,
		    dy + r0 * v->ow, all, 0, col, np);
		col2im(v, c->gc, col, r0, r1, dx);
	}
}

void
kernel_conv_back_data(const struct kernel_window *v, int64_t M, int64_t B,
    const float *w, const float *dy, bool add, float *dx, float *scratch)
{
	struct conv c;

	if (window_is_depthwise(v)) {
		kernel_depthwise_back_data(v, M, B, w, dy, add, dx);
		return;
	}
	plan(&c, v, M, B, scratch);
	c.w = w;
	c.dy = dy;
	c.dx = dx;
	c.add = add;
	kernel_for((size_t)(B * c.groups), back_data_piece, &c);
}

/* Group g of sample b: dw (+)= dy col^T. */
static void
add_sample(const struct conv *c, int64_t b, int64_t g, bool add, float *dw)
{
	const struct kernel_window *v = c->v;
	const int64_t all = v->oh * v->ow, m0 = g * c->gM;

	for (int64_t r0 = 0; r0 < v->oh; r0 += c->rows) {
		const int64_t r1 = last_row(c, r0), np = (r1 - r0) * v->ow;
		int64_t ld;
		const float *col = column(c, b, g, r0, r1, &ld);
		kernel_sgemm(false, true, c->gM, c->K, np,
		    c->dy + (b * c->M + m0) * all + r0 * v->ow, all, col, ld,
		    !add && r0 == 0 ? 0 : 1, dw + m0 * c->K, c->K);
	}
}

/* A piece is a part of the samples, added up in their order. */
static void
back_weight_piece(void *ctx, size_t part)
{
	const struct conv *c = ctx;
	const int64_t from = (int64_t)part * c->B / c->parts;
	const int64_t to = ((int64_t)part + 1) * c->B / c->parts;
	float *dw = c->partial + (int64_t)part * c->M * c->K;

	for (int64_t b = from; b < to; b++)
		for (int64_t g = 0; g < c->groups; g++)
			add_sample(c, b, g, b > from, dw);
}

#define SUM_PIECE ((size_t)4096)

static void
add_parts_piece(void *ctx, size_t piece)
{
	const struct conv *c = ctx;
	const size_t all = (size_t)(c->M * c->K), at = piece * SUM_PIECE;
	const size_t n = RK_MIN(SUM_PIECE, all - at);
	float *dw = c->dw + at;
	const float *part = c->partial + at;

	if (c->add)
		kernel_loops()->add(dw, part, n);
	else
		memcpy(dw, part, n * sizeof(*dw));
	for (int64_t i = 1; i < c->parts; i++)
		kernel_loops()->add(dw, part + (size_t)i * all, n);
}

void
kernel_conv_back_weight(const struct kernel_window *v, int64_t M, int64_t B,
    const float *x, const float *dy, bool add, float *dw, float *scratch)
{
	struct conv c;

	if (window_is_depthwise(v)) {
		kernel_depthwise_back_weight(v, M, B, x, dy, add, dw);
		return;
	}
	plan(&c, v, M, B, scratch);
	c.x = x;
	c.dy = dy;
	c.dw = dw;
	c.add = add;
	kernel_for((size_t)c.parts, back_weight_piece, &c);
	kernel_for(((size_t)(M * c.K) + SUM_PIECE - 1) / SUM_PIECE,
	    add_parts_piece, &c);
}

static void
back_bias_piece(void *ctx, size_t m)
{
	const struct conv *c = ctx;
	const int64_t all = c->v->oh * c->v->ow;
	double sum = c->add ? c->dw[m] : 0;

	for (int64_t b = 0; b < c->B; b++)
		sum += kernel_loops()->sum(c->dy + (b * c->M + (int64_t)m) *
		    all, (size_t)all);
	c->dw[m] = (float)sum;
}

void
kernel_conv_back_bias(const struct kernel_window *v, int64_t M, int64_t B,
    const float *dy, bool add, float *db)
{
	struct conv c = { .v = v, .M = M, .B = B, .dy = dy, .dw = db,
		.add = add };
	kernel_for((size_t)M, back_bias_piece, &c);
}
