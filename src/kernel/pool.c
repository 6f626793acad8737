/*
 * Pooling, a plane at a time.  A piece is a block of planes.
 */
#include <string.h>

#include "rekindle/kernel.h"
#include "loops.h"
#include "plain.h"

struct pool {
	const struct kernel_window *v;
	size_t planes, block;
	size_t in, out;                 /* sizes of planes */
	const float *x, *dy;
	float *y, *dx;
	int32_t *at;
	const int32_t *from;
	bool adaptive, add;
};

typedef void plane_fn(const struct pool *p, size_t plane);

static void
run_planes(struct pool *p, size_t planes, size_t in, size_t out,
    kernel_piece_fn *fn)
{
	p->planes = planes;
	p->in = in;
	p->out = out;
	p->block = RK_MAX(16384 / in, 1u);
	kernel_for((p->planes + p->block - 1) / p->block, fn, p);
}

static void
run(struct pool *p, int64_t B, kernel_piece_fn *fn)
{
	const struct kernel_window *v = p->v;

	run_planes(p, (size_t)(B * v->c), (size_t)(v->h * v->w),
	    (size_t)(v->oh * v->ow), fn);
}

static void
planes(const struct pool *p, size_t piece, plane_fn *fn)
{
	const size_t end = RK_MIN((piece + 1) * p->block, p->planes);

	for (size_t i = piece * p->block; i < end; i++)
		fn(p, i);
}

int64_t
kernel_window_places(int64_t size, int64_t k, int64_t stride, int64_t pad,
    int64_t dilation, bool ceil)
{
	const int64_t span = dilation * (k - 1) + 1;
	const int64_t room = size + 2 * pad - span;

	if (room < 0)
		return 0;
	int64_t places = (room + (ceil ? stride - 1 : 0)) / stride + 1;
	if (ceil && (places - 1) * stride >= size + pad)
		places--;
	return places;
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
	const float *x = p->x + plane * p->in;
	float *restrict y = p->y + plane * p->out;
	int32_t *restrict at = p->at + plane * p->out;
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
	    v->stride[1] == 2 && v->pad[0] == 0 && v->pad[1] == 0 &&
	    2 * v->oh <= v->h && 2 * v->ow <= v->w;
}

static void
max_plane(const struct pool *p, size_t plane)
{
	kernel_plain_max_pool(p->v, p->x + plane * p->in, p->y + plane * p->out,
	    p->at + plane * p->out);
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
	if (!p->add)
		memset(p->dx + plane * p->in, 0, p->in * sizeof(float));
}

static void
max_back_plane(const struct pool *p, size_t plane)
{
	clear_plane(p, plane);
	kernel_plain_max_pool_back(p->out, p->dy + plane * p->out,
	    p->from + plane * p->out, p->dx + plane * p->in);
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

/* --- means ---------------------------------------------------------------- */

static void
avg_plane(const struct pool *p, size_t plane)
{
	kernel_plain_avg_pool(p->v, p->adaptive, p->x + plane * p->in,
	    p->y + plane * p->out);
}

static void
avg_piece(void *ctx, size_t i)
{
	planes(ctx, i, avg_plane);
}

static void
avg_back_plane(const struct pool *p, size_t plane)
{
	clear_plane(p, plane);
	kernel_plain_avg_pool_back(p->v, p->adaptive, p->dy + plane * p->out,
	    p->dx + plane * p->in);
}

static void
avg_back_piece(void *ctx, size_t i)
{
	planes(ctx, i, avg_back_plane);
}

void
kernel_avg_pool(const struct kernel_window *v, int64_t B, const float *x,
    float *y)
{
	struct pool p = { .v = v, .x = x, .y = y };
	run(&p, B, avg_piece);
}

void
kernel_avg_pool_back(const struct kernel_window *v, int64_t B,
    const float *dy, bool add, float *dx)
{
	struct pool p = { .v = v, .dy = dy, .dx = dx, .add = add };
	run(&p, B, avg_back_piece);
}

void
kernel_adaptive_avg_pool(const struct kernel_window *v, int64_t B,
    const float *x, float *y)
{
	struct pool p = { .v = v, .adaptive = true, .x = x, .y = y };
	run(&p, B, avg_piece);
}

void
kernel_adaptive_avg_pool_back(const struct kernel_window *v, int64_t B,
    const float *dy, bool add, float *dx)
{
	struct pool p = { .v = v, .adaptive = true, .dy = dy, .dx = dx,
		.add = add };
	run(&p, B, avg_back_piece);
}

/* --- whole planes --------------------------------------------------------- */

static void
mean_plane(const struct pool *p, size_t plane)
{
	double sum = kernel_loops()->sum(p->x + plane * p->in, p->in);

	p->y[plane] = (float)(sum / (double)p->in);
}

static void
mean_piece(void *ctx, size_t i)
{
	planes(ctx, i, mean_plane);
}

void
kernel_global_avg_pool(size_t n_planes, size_t n, const float *x, float *y)
{
	struct pool p = { .x = x, .y = y };
	run_planes(&p, n_planes, n, 1, mean_piece);
}

static void
mean_back_plane(const struct pool *p, size_t plane)
{
	const float d = p->dy[plane] / (float)p->in;
	float *dx = p->dx + plane * p->in;

	if (p->add)
		for (size_t i = 0; i < p->in; i++)
			dx[i] += d;
	else
		for (size_t i = 0; i < p->in; i++)
			dx[i] = d;
}

static void
mean_back_piece(void *ctx, size_t i)
{
	planes(ctx, i, mean_back_plane);
}

void
kernel_global_avg_pool_back(size_t n_planes, size_t n, const float *dy,
    bool add, float *dx)
{
	struct pool p = { .dy = dy, .add = add, .dx = dx };
	run_planes(&p, n_planes, n, 1, mean_back_piece);
}

static void
top_plane(const struct pool *p, size_t plane)
{
	const float *x = p->x + plane * p->in;
	int32_t at = 0;

	for (int32_t i = 1; i < (int32_t)p->in; i++)
		at = larger(x, at, i);
	p->y[plane] = x[at];
	p->at[plane] = at;
}

static void
top_piece(void *ctx, size_t i)
{
	planes(ctx, i, top_plane);
}

void
kernel_global_max_pool(size_t n_planes, size_t n, const float *x, float *y,
    int32_t *at)
{
	struct pool p = { .x = x, .y = y, .at = at };
	must(n <= INT32_MAX);
	run_planes(&p, n_planes, n, 1, top_piece);
}

void
kernel_global_max_pool_back(size_t n_planes, size_t n, const float *dy,
    const int32_t *at, bool add, float *dx)
{
	struct pool p = { .dy = dy, .from = at, .add = add, .dx = dx };
	run_planes(&p, n_planes, n, 1, max_back_piece);
}
