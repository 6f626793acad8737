/* What there is for blocked images over the team; the loops are in
 * loops_blocked.inc. */
#include <string.h>

#include "rekindle/kernel_blocked.h"
#include "loops.h"

#define PIECE ((size_t)16384)           /* numbers, of the larger image */

/* Blocks of all samples, `each` of them a piece; in and out are the numbers of
 * each in x (and dx) and in y. */
struct blocks {
	size_t n, each, in, out;
	const struct kernel_window *v;
	bool adaptive, add;
	const float *x, *s, *dy;
	float *y, *dx;
	int32_t *at;
	const int32_t *from;
	size_t plane, lanes, c;
	int64_t h, w, stride, shift, blocks;
};

typedef void block_fn(const struct blocks *p, size_t i);

static void
run(struct blocks *p, int64_t n, int64_t in, int64_t out, kernel_piece_fn *fn)
{
	p->n = (size_t)n;
	p->in = (size_t)in * KERNEL_BLOCK;
	p->out = (size_t)out * KERNEL_BLOCK;
	p->each = RK_MAX(PIECE / RK_MAX(p->in, p->out), 1u);
	kernel_for((p->n + p->each - 1) / p->each, fn, p);
}

static void
run_window(struct blocks *p, int64_t B, kernel_piece_fn *fn)
{
	const struct kernel_window *v = p->v;

	run(p, B * kernel_blocks(v->c), v->h * v->w, v->oh * v->ow, fn);
}

static void
each(const struct blocks *p, size_t piece, block_fn *fn)
{
	const size_t end = RK_MIN((piece + 1) * p->each, p->n);

	for (size_t i = piece * p->each; i < end; i++)
		fn(p, i);
}

static float *
cleared_dx(const struct blocks *p, size_t i)
{
	float *dx = p->dx + i * p->in;

	if (!p->add)
		memset(dx, 0, p->in * sizeof(*dx));
	return dx;
}

/* --- windows -------------------------------------------------------------- */

static void
max_block(const struct blocks *p, size_t i)
{
	kernel_loops()->blocked_max(p->v, p->x + i * p->in, p->y + i * p->out,
	    p->at + i * p->out);
}

static void
max_piece(void *ctx, size_t i)
{
	each(ctx, i, max_block);
}

void
kernel_blocked_max(const struct kernel_window *v, int64_t B, const float *x,
    float *y, int32_t *at)
{
	struct blocks p = { .v = v, .x = x, .y = y, .at = at };
	run_window(&p, B, max_piece);
}

static void
max_back_block(const struct blocks *p, size_t i)
{
	kernel_loops()->blocked_max_back(p->v, p->dy + i * p->out,
	    p->from + i * p->out, p->add, p->dx + i * p->in);
}

static void
max_back_piece(void *ctx, size_t i)
{
	each(ctx, i, max_back_block);
}

void
kernel_blocked_max_back(const struct kernel_window *v, int64_t B,
    const float *dy, const int32_t *at, bool add, float *dx)
{
	struct blocks p = { .v = v, .dy = dy, .from = at, .add = add,
		.dx = dx };
	run_window(&p, B, max_back_piece);
}

static void
mean_block(const struct blocks *p, size_t i)
{
	kernel_loops()->blocked_mean(p->v, p->adaptive, p->x + i * p->in,
	    p->y + i * p->out);
}

static void
mean_piece(void *ctx, size_t i)
{
	each(ctx, i, mean_block);
}

void
kernel_blocked_mean(const struct kernel_window *v, bool adaptive, int64_t B,
    const float *x, float *y)
{
	struct blocks p = { .v = v, .adaptive = adaptive, .x = x, .y = y };
	run_window(&p, B, mean_piece);
}

static void
mean_back_block(const struct blocks *p, size_t i)
{
	kernel_loops()->blocked_mean_back(p->v, p->adaptive,
	    p->dy + i * p->out, cleared_dx(p, i));
}

static void
mean_back_piece(void *ctx, size_t i)
{
	each(ctx, i, mean_back_block);
}

void
kernel_blocked_mean_back(const struct kernel_window *v, bool adaptive,
    int64_t B, const float *dy, bool add, float *dx)
{
	struct blocks p = { .v = v, .adaptive = adaptive, .dy = dy, .add = add,
		.dx = dx };
	run_window(&p, B, mean_back_piece);
}

/* --- one number a channel ------------------------------------------------- */

static void
gate_block(const struct blocks *p, size_t i)
{
	kernel_loops()->blocked_gate(p->x + i * p->in, p->s +
	    i * KERNEL_BLOCK, p->add, p->y + i * p->in, p->plane);
}

static void
gate_piece(void *ctx, size_t i)
{
	each(ctx, i, gate_block);
}

void
kernel_blocked_gate(int64_t B, int64_t c, int64_t plane, const float *x,
    const float *s, bool add, float *y)
{
	struct blocks p = { .x = x, .s = s, .add = add, .y = y,
		.plane = (size_t)plane };
	run(&p, B * kernel_blocks(c), plane, plane, gate_piece);
}

static void
dots_block(const struct blocks *p, size_t i)
{
	kernel_loops()->blocked_dots(p->x + i * p->in, p->dy + i * p->in,
	    p->add, p->y + i * KERNEL_BLOCK, p->plane);
}

static void
dots_piece(void *ctx, size_t i)
{
	each(ctx, i, dots_block);
}

void
kernel_blocked_dots(int64_t B, int64_t c, int64_t plane, const float *x,
    const float *y, bool add, float *s)
{
	struct blocks p = { .x = x, .dy = y, .add = add, .y = s,
		.plane = (size_t)plane };
	run(&p, B * kernel_blocks(c), plane, 1, dots_piece);
}

/* --- option A's shortcut -------------------------------------------------- */

/* Block i of x, of which every stride-th place goes to or comes from y, or
 * NULL: y's block i has channels that x has not. */
static size_t
shortcut_block(const struct blocks *p, size_t i, bool *is)
{
	const int64_t b = (int64_t)i / p->blocks;
	const int64_t k = (int64_t)i % p->blocks - p->shift;
	const int64_t in = kernel_blocks((int64_t)p->c);

	*is = k >= 0 && k < in;
	return (size_t)(b * in + k);
}

static void
shortcut_piece(void *ctx, size_t piece)
{
	const struct blocks *p = ctx;
	const size_t row = KERNEL_BLOCK * sizeof(float);
	const size_t end = RK_MIN((piece + 1) * p->each, p->n);

	for (size_t i = piece * p->each; i < end; i++) {
		float *y = p->y + i * p->out;
		bool is;
		const size_t from = shortcut_block(p, i, &is);
		if (!is) {
			memset(y, 0, p->out * sizeof(*y));
			continue;
		}
		const float *x = p->x + from * p->in;
		for (int64_t r = 0; r < p->h; r += p->stride)
			for (int64_t c = 0; c < p->w; c += p->stride) {
				memcpy(y, x + (r * p->w + c) * KERNEL_BLOCK,
				    row);
				y += KERNEL_BLOCK;
			}
	}
}

static void
shortcut_back_piece(void *ctx, size_t piece)
{
	const struct blocks *p = ctx;
	const size_t end = RK_MIN((piece + 1) * p->each, p->n);

	for (size_t i = piece * p->each; i < end; i++) {
		const float *dy = p->dy + i * p->out;
		bool is;
		const size_t to = shortcut_block(p, i, &is);
		if (!is)
			continue;
		float *dx = cleared_dx(p, to);
		for (int64_t r = 0; r < p->h; r += p->stride)
			for (int64_t c = 0; c < p->w; c += p->stride) {
				float *d = dx + (r * p->w + c) * KERNEL_BLOCK;
				for (size_t l = 0; l < KERNEL_BLOCK; l++)
					d[l] += dy[l];
				dy += KERNEL_BLOCK;
			}
	}
}

static void
run_shortcut(struct blocks *p, int64_t B, int64_t c, int64_t out,
    kernel_piece_fn *fn)
{
	const int64_t oh = (p->h + p->stride - 1) / p->stride;
	const int64_t ow = (p->w + p->stride - 1) / p->stride;

	must((out - c) / 2 % KERNEL_BLOCK == 0);
	p->c = (size_t)c;
	p->shift = (out - c) / 2 / KERNEL_BLOCK;
	p->blocks = kernel_blocks(out);
	run(p, B * p->blocks, p->h * p->w, oh * ow, fn);
}

void
kernel_blocked_shortcut(int64_t B, int64_t c, int64_t h, int64_t w,
    int64_t out, int64_t stride, const float *x, float *y)
{
	struct blocks p = { .h = h, .w = w, .stride = stride, .x = x, .y = y };
	run_shortcut(&p, B, c, out, shortcut_piece);
}

void
kernel_blocked_shortcut_back(int64_t B, int64_t c, int64_t h, int64_t w,
    int64_t out, int64_t stride, const float *dy, bool add, float *dx)
{
	struct blocks p = { .h = h, .w = w, .stride = stride, .dy = dy,
		.add = add, .dx = dx };
	run_shortcut(&p, B, c, out, shortcut_back_piece);
}
