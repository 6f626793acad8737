/* Convolutions prepared for a shape: which way each pass goes. */
#include <stdlib.h>
#include <string.h>

#include "rekindle/kernel_conv.h"
#include "window.h"

const char *const kernel_conv_words[] = {
	"plain", "direct", "winograd", "product", "depthwise"
};

struct kernel_conv_plan {
	struct kernel_conv_want want;
	enum kernel_conv_way way[KERNEL_CONV_PASSES];
	size_t plain_floats;            /* kernel_conv()'s own scratch */
	size_t x_floats, y_floats;      /* a plain copy of a blocked operand */
};

static int64_t
plane_in(const struct kernel_conv_plan *p)
{
	return p->want.v.h * p->want.v.w;
}

static int64_t
plane_out(const struct kernel_conv_plan *p)
{
	return p->want.v.oh * p->want.v.ow;
}

static size_t
aligned(int64_t floats)
{
	return ((size_t)floats + 15) / 16 * 16;
}

struct kernel_conv_plan *
kernel_conv_plan(const struct kernel_conv_want *w)
{
	struct kernel_conv_plan *p = xcalloc(1, sizeof(*p));

	p->want = *w;
	p->plain_floats = aligned((int64_t)kernel_conv_scratch(&w->v, w->M,
	    w->B));
	if (w->x == KERNEL_BLOCKED)
		p->x_floats = aligned(w->B * w->v.c * plane_in(p));
	if (w->y == KERNEL_BLOCKED)
		p->y_floats = aligned(w->B * w->M * plane_out(p));
	return p;
}

void
kernel_conv_plan_free(struct kernel_conv_plan *p)
{
	free(p);
}

size_t
kernel_conv_plan_scratch(const struct kernel_conv_plan *p)
{
	return p->plain_floats + p->x_floats + p->y_floats;
}

enum kernel_conv_way
kernel_conv_plan_way(const struct kernel_conv_plan *p,
    enum kernel_conv_pass pass)
{
	return p->way[pass];
}

/* An FMA of eight lanes each half nanosecond at some three quarters, and what
 * is brought from one layout to the other at 8 bytes a nanosecond. */
double
kernel_conv_plan_cost(const struct kernel_conv_plan *p, bool data)
{
	const struct kernel_window *v = &p->want.v;
	const double madds = (double)(v->c / window_groups(v)) *
	    (double)(v->k[0] * v->k[1]) * (double)p->want.M *
	    (double)plane_out(p);
	const double moved = (double)(p->x_floats + p->y_floats) /
	    (double)p->want.B * 4;

	return (data ? 3 : 2) * (madds / 25e3 + moved / 8e3);
}

/* --- plain ---------------------------------------------------------------- */

static const float *
plain_x(const struct kernel_conv_plan *p, int64_t B, const float *x,
    float *scratch)
{
	if (p->want.x == KERNEL_PLAIN)
		return x;
	kernel_to_plain(B, p->want.v.c, plane_in(p), x, false, scratch +
	    p->plain_floats);
	return scratch + p->plain_floats;
}

static const float *
plain_dy(const struct kernel_conv_plan *p, int64_t B, const float *dy,
    float *scratch)
{
	float *to = scratch + p->plain_floats + p->x_floats;

	if (p->want.y == KERNEL_PLAIN)
		return dy;
	kernel_to_plain(B, p->want.M, plane_out(p), dy, false, to);
	return to;
}

void
kernel_conv_run(const struct kernel_conv_plan *p, int64_t B, const float *x,
    const float *w, const float *b, bool relu, float *y, float *scratch)
{
	float *to = p->want.y == KERNEL_PLAIN ? y : scratch + p->plain_floats +
	    p->x_floats;

	x = plain_x(p, B, x, scratch);
	kernel_conv(&p->want.v, p->want.M, B, x, w, b, relu, to, scratch);
	if (to != y)
		kernel_to_blocked(B, p->want.M, plane_out(p), to, false, y);
}

void
kernel_conv_run_data(const struct kernel_conv_plan *p, int64_t B,
    const float *w, const float *dy, bool add, float *dx, float *scratch)
{
	float *to = p->want.x == KERNEL_PLAIN ? dx : scratch + p->plain_floats;

	dy = plain_dy(p, B, dy, scratch);
	kernel_conv_back_data(&p->want.v, p->want.M, B, w, dy, add && to == dx,
	    to, scratch);
	if (to != dx)
		kernel_to_blocked(B, p->want.v.c, plane_in(p), to, add, dx);
}

void
kernel_conv_run_weight(const struct kernel_conv_plan *p, int64_t B,
    const float *x, const float *dy, bool add, float *dw, float *scratch)
{
	x = plain_x(p, B, x, scratch);
	dy = plain_dy(p, B, dy, scratch);
	kernel_conv_back_weight(&p->want.v, p->want.M, B, x, dy, add, dw,
	    scratch);
}

/* --- bias ----------------------------------------------------------------- */

struct blocked_sum {
	int64_t B, M, plane;
	const float *dy;
	bool add;
	float *db;
};

static void
blocked_bias_piece(void *ctx, size_t k)
{
	const struct blocked_sum *s = ctx;
	const int64_t blocks = kernel_blocks(s->M);
	double sum[KERNEL_BLOCK] = { 0 };

	for (int64_t b = 0; b < s->B; b++) {
		const float *dy = s->dy + (b * blocks + (int64_t)k) * s->plane *
		    KERNEL_BLOCK;
		for (int64_t p = 0; p < s->plane; p++)
			for (int64_t l = 0; l < KERNEL_BLOCK; l++)
				sum[l] += dy[p * KERNEL_BLOCK + l];
	}
	float *db = s->db + k * KERNEL_BLOCK;
	for (int64_t l = 0; l < s->M - (int64_t)k * KERNEL_BLOCK &&
	    l < KERNEL_BLOCK; l++)
		db[l] = (s->add ? db[l] : 0) + (float)sum[l];
}

void
kernel_conv_run_bias(const struct kernel_conv_plan *p, int64_t B,
    const float *dy, bool add, float *db)
{
	struct blocked_sum s = { B, p->want.M, plane_out(p), dy, add, db };

	if (p->want.y == KERNEL_PLAIN)
		kernel_conv_back_bias(&p->want.v, p->want.M, B, dy, add, db);
	else
		kernel_for((size_t)kernel_blocks(s.M), blocked_bias_piece, &s);
}
