/*
 * Pooling, a plane at a time.  A piece is a block of planes.
 */
#include <string.h>

#include "rekindle/kernel.h"

struct pool {
	const struct kernel_window *v;
	size_t planes, block;
	const float *x, *dy;
	float *y, *dx;
	int32_t *at;
	const int32_t *from;
	bool add;
};

typedef void plane_fn(const struct pool *p, size_t plane);

static void
run(struct pool *p, int64_t B, kernel_piece_fn *fn)
{
	const struct kernel_window *v = p->v;

	p->planes = (size_t)(B * v->c);
	p->block = (size_t)RK_MAX(16384 / (v->h * v->w), 1);
	kernel_for((p->planes + p->block - 1) / p->block, fn, p);
}

static void
planes(const struct pool *p, size_t piece, plane_fn *fn)
{
	const size_t end = RK_MIN((piece + 1) * p->block, p->planes);

	for (size_t i = piece * p->block; i < end; i++)
		fn(p, i);
}

/* The part of the window at output o that lies inside the image. */
static void
inside(int64_t o, int64_t k, int64_t stride, int64_t pad, int64_t size,
    int64_t *from, int64_t *to)
{
	int64_t at = o * stride - pad;

	*from = RK_MAX(at, 0);
	*to = RK_MIN(at + k, size);
}

/* i, or j when x[j] is larger or NaN; without a branch, which on the values of
 * an image could not be foreseen. */
static inline int32_t
larger(const float *x, int32_t i, int32_t j)
{
	int32_t take = -(int32_t)((x[j] > x[i]) | (x[j] != x[j]));

	return i ^ ((i ^ j) & take);
}

/* The usual window, 2 by 2 with stride 2 and no padding. */
static void
max_plane_2x2(const struct pool *p, size_t plane)
{
	const struct kernel_window *v = p->v;
	const float *x = p->x + plane * (size_t)(v->h * v->w);
	float *restrict y = p->y + plane * (size_t)(v->oh * v->ow);
	int32_t *restrict at = p->at + plane * (size_t)(v->oh * v->ow);
	const int32_t w = (int32_t)v->w;

	for (int64_t oy = 0; oy < v->oh; oy++)
		for (int64_t ox = 0; ox < v->ow; ox++) {
			const int32_t i = (int32_t)(2 * oy * w + 2 * ox);
			int32_t best = larger(x, i, i + 1);
			best = larger(x, best, i + w);
			best = larger(x, best, i + w + 1);
			*y++ = x[best];
			*at++ = best;
		}
}

static bool
is_2x2(const struct kernel_window *v)
{
	return v->k[0] == 2 && v->k[1] == 2 && v->stride[0] == 2 &&
	    v->stride[1] == 2 && v->pad[0] == 0 && v->pad[1] == 0;
}

static void
max_plane(const struct pool *p, size_t plane)
{
	const struct kernel_window *v = p->v;
	const float *x = p->x + plane * (size_t)(v->h * v->w);
	float *y = p->y + plane * (size_t)(v->oh * v->ow);
	int32_t *at = p->at + plane * (size_t)(v->oh * v->ow);
	int64_t y0, y1, x0, x1;

	for (int64_t oy = 0; oy < v->oh; oy++) {
		inside(oy, v->k[0], v->stride[0], v->pad[0], v->h, &y0, &y1);
		for (int64_t ox = 0; ox < v->ow; ox++) {
			inside(ox, v->k[1], v->stride[1], v->pad[1], v->w,
			    &x0, &x1);
			int64_t best = y0 * v->w + x0;
			for (int64_t i = y0; i < y1; i++)
				for (int64_t j = i * v->w + x0;
				    j < i * v->w + x1; j++)
					if (x[j] > x[best] || x[j] != x[j])
						best = j;
			*y++ = x[best];
			*at++ = (int32_t)best;
		}
	}
}

static void
max_piece(void *ctx, size_t i)
{
	const struct pool *p = ctx;

	planes(p, i, is_2x2(p->v) ? max_plane_2x2 : max_plane);
}

void
kernel_max_pool(const struct kernel_window *v, int64_t B, const float *x,
    float *y, int32_t *at)
{
	struct pool p = { .v = v, .x = x, .y = y, .at = at };
	run(&p, B, max_piece);
}

static void
clear_plane(const struct pool *p, size_t plane)
{
	size_t n = (size_t)(p->v->h * p->v->w);

	if (!p->add)
		memset(p->dx + plane * n, 0, n * sizeof(float));
}

static void
max_back_plane(const struct pool *p, size_t plane)
{
	const struct kernel_window *v = p->v;
	const size_t n = (size_t)(v->oh * v->ow);
	const float *dy = p->dy + plane * n;
	const int32_t *from = p->from + plane * n;
	float *dx = p->dx + plane * (size_t)(v->h * v->w);

	clear_plane(p, plane);
	for (size_t i = 0; i < n; i++)
		dx[from[i]] += dy[i];
}

static void
max_back_piece(void *ctx, size_t i)
{
	planes(ctx, i, max_back_plane);
}

void
kernel_max_pool_back(const struct kernel_window *v, int64_t B,
    const float *dy, const int32_t *at, bool add, float *dx)
{
	struct pool p = { .v = v, .dy = dy, .from = at, .dx = dx, .add = add };
	run(&p, B, max_back_piece);
}

/* Mean forward, and back: each pixel of a window gets its share of dy. */
static void
avg_plane(const struct pool *p, size_t plane)
{
	const struct kernel_window *v = p->v;
	const bool back = p->dx != NULL;
	const size_t in = plane * (size_t)(v->h * v->w);
	const size_t out = plane * (size_t)(v->oh * v->ow);
	const float share = 1 / (float)(v->k[0] * v->k[1]);
	int64_t y0, y1, x0, x1;

	for (int64_t o = 0; o < v->oh * v->ow; o++) {
		inside(o / v->ow, v->k[0], v->stride[0], v->pad[0], v->h, &y0,
		    &y1);
		inside(o % v->ow, v->k[1], v->stride[1], v->pad[1], v->w, &x0,
		    &x1);
		float sum = 0, dy = back ? p->dy[out + (size_t)o] * share : 0;
		for (int64_t i = y0; i < y1; i++)
			for (int64_t j = i * v->w + x0; j < i * v->w + x1; j++)
				if (back)
					p->dx[in + (size_t)j] += dy;
				else
					sum += p->x[in + (size_t)j];
		if (!back)
			p->y[out + (size_t)o] = sum * share;
	}
}

static void
avg_piece(void *ctx, size_t i)
{
	planes(ctx, i, avg_plane);
}

void
kernel_avg_pool(const struct kernel_window *v, int64_t B, const float *x,
    float *y)
{
	struct pool p = { .v = v, .x = x, .y = y };
	run(&p, B, avg_piece);
}

static void
avg_back_piece(void *ctx, size_t i)
{
	planes(ctx, i, clear_plane);
	planes(ctx, i, avg_plane);
}

void
kernel_avg_pool_back(const struct kernel_window *v, int64_t B,
    const float *dy, bool add, float *dx)
{
	struct pool p = { .v = v, .dy = dy, .dx = dx, .add = add };
	run(&p, B, avg_back_piece);
}
