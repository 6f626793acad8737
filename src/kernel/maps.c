/*
 * Elementwise maps and column sums over the team, in pieces of PIECE elements:
 * 64 KiB an array, several microseconds of work.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "rekindle/kernel.h"
#include "drop.h"
#include "loops.h"
#include "parts.h"
#include "twice.h"

#define PIECE ((size_t)16384)

static struct kernel_loops mixed;
static pthread_once_t mixed_once = PTHREAD_ONCE_INIT;

static void
mix(void)
{
	const struct kernel_loops *w = &kernel_loops_widest;

	mixed = kernel_loops_fast;
	mixed.act = w->act;
	mixed.act_back = w->act_back;
	mixed.softmax = w->softmax;
	mixed.softmax_back = w->softmax_back;
	mixed.lnorm = w->lnorm;
	mixed.lnorm_back = w->lnorm_back;
}

/* Of the CPU, and of what REKINDLE_SIMD leaves of that. */
static const struct kernel_loops *
choose_loops(void)
{
	const char *want = getenv("REKINDLE_SIMD");

	if (!fast_cpu() || (want != NULL && strcmp(want, "plain") == 0))
		return &kernel_loops_plain;
	if (!widest_cpu() || (want != NULL && strcmp(want, "avx2") == 0))
		return &kernel_loops_fast;
	pthread_once(&mixed_once, mix);
	return &mixed;
}

const struct kernel_loops *
kernel_loops(void)
{
	static const struct kernel_loops *_Atomic chosen;
	const struct kernel_loops *l = atomic_load_explicit(&chosen,
	    memory_order_relaxed);

	if (l == NULL) {
		l = choose_loops();
		atomic_store_explicit(&chosen, l, memory_order_relaxed);
	}
	return l;
}

struct map {
	const struct kernel_activation *f;
	const float *x, *by;
	float *y;
	bool add;
	size_t n;
	float scale;
	const struct kernel_drop *drop;
};

static void
each(kernel_piece_fn *fn, struct map *m)
{
	kernel_for((m->n + PIECE - 1) / PIECE, fn, m);
}

static size_t
len(const struct map *m, size_t i)
{
	return RK_MIN(PIECE, m->n - i * PIECE);
}

static void
act_piece(void *ctx, size_t i)
{
	const struct map *m = ctx;
	const size_t at = i * PIECE;

	kernel_loops()->act(m->f, m->x + at, m->y + at, len(m, i));
}

void
kernel_activate(const struct kernel_activation *f, const float *x, float *y,
    size_t n)
{
	struct map m = { .f = f, .x = x, .y = y, .n = n };
	each(act_piece, &m);
}

void
kernel_act(enum kernel_act f, const float *x, float *y, size_t n)
{
	kernel_activate(&(struct kernel_activation){ .act = f }, x, y, n);
}

bool
kernel_act_reads_x(enum kernel_act f)
{
	return f == KERNEL_GELU || f == KERNEL_GELU_TANH || f == KERNEL_SILU ||
	    f == KERNEL_HARD_SWISH;
}

static void
act_back_piece(void *ctx, size_t i)
{
	const struct map *m = ctx;
	const size_t at = i * PIECE;

	kernel_loops()->act_back(m->f, m->by + at, m->x + at, m->add,
	    m->y + at, len(m, i));
}

void
kernel_activate_back(const struct kernel_activation *f, const float *ref,
    const float *dy, bool add, float *dx, size_t n)
{
	/* Without an activation nothing is read of ref. */
	struct map m = { .f = f, .x = dy, .by = ref != NULL ? ref : dy,
		.y = dx, .add = add, .n = n };
	each(act_back_piece, &m);
}

void
kernel_act_back(enum kernel_act f, const float *ref, const float *dy, bool add,
    float *dx, size_t n)
{
	kernel_activate_back(&(struct kernel_activation){ .act = f }, ref, dy,
	    add, dx, n);
}

static void
add_piece(void *ctx, size_t i)
{
	const struct map *m = ctx;
	const size_t at = i * PIECE;

	kernel_loops()->add(m->y + at, m->x + at, len(m, i));
}

void
kernel_add(float *dst, const float *src, size_t n)
{
	struct map m = { .x = src, .y = dst, .n = n };
	each(add_piece, &m);
}

static void
fill_piece(void *ctx, size_t i)
{
	const struct map *m = ctx;
	float *y = m->y + i * PIECE;

	for (size_t j = 0; j < len(m, i); j++)
		y[j] = m->scale;
}

void
kernel_fill(float *y, float v, size_t n)
{
	struct map m = { .y = y, .n = n, .scale = v };
	each(fill_piece, &m);
}

static void
scaled_piece(void *ctx, size_t i)
{
	const struct map *m = ctx;
	const size_t at = i * PIECE;

	kernel_loops()->scaled(m->y + at, m->x + at, m->scale, m->add,
	    len(m, i));
}

void
kernel_scaled(const float *x, float by, bool add, float *y, size_t n)
{
	struct map m = { .x = x, .y = y, .add = add, .n = n, .scale = by };
	each(scaled_piece, &m);
}

/* --- dropout -------------------------------------------------------------- */

void
kernel_drop_factors(const struct kernel_drop *d, uint64_t first, size_t n,
    float *m)
{
	const float keep = d->downscale_in_infer ? 1 :
	    d->p < 1 ? 1 / (1 - d->p) : 0;

	rk_fill_unit(m, n, d->seed, d->a, d->b, d->from + first);
	for (size_t j = 0; j < n; j++)
		m[j] = m[j] >= d->p ? keep : 0;
}

static void
drop_piece(void *ctx, size_t i)
{
	const struct map *m = ctx;
	float mask[512];

	for (size_t at = i * PIECE, end = at + len(m, i); at < end;) {
		size_t k = RK_MIN(end - at, RK_ARRAY_LEN(mask));
		kernel_drop_factors(m->drop, at, k, mask);
		kernel_loops()->mul(m->y + at, m->x + at, mask, m->add, k);
		at += k;
	}
}

void
kernel_drop(const struct kernel_drop *d, const float *x, bool add, float *y,
    size_t n)
{
	struct map m = { .x = x, .y = y, .add = add, .n = n, .drop = d };
	each(drop_piece, &m);
}

void
kernel_dropout(const float *x, float *y, bool add, size_t n, float p,
    uint64_t seed, uint32_t a, uint32_t b)
{
	struct kernel_drop d = { .p = p, .seed = seed, .a = a, .b = b };
	kernel_drop(&d, x, add, y, n);
}

/* --- column sums ---------------------------------------------------------- */

struct cols {
	const struct kernel_activation *f;
	size_t rows, n, width;          /* of a piece: columns, or rows */
	float *a;
	const float *y;
	bool add;
	float *s;
};

static void
cols_piece(void *ctx, size_t i)
{
	const struct cols *c = ctx;
	const size_t at = i * c->width;

	kernel_loops()->col_sums(c->a + at, c->n, c->rows,
	    RK_MIN(c->width, c->n - at), c->y != NULL ? c->y + at : NULL,
	    c->add, c->s + at);
}

void
kernel_col_sums(size_t rows, size_t n, float *a, const float *y, bool add,
    float *s)
{
	/* A piece is a block of columns, whole cache lines wide. */
	size_t width = RK_MAX(PIECE / 2 / RK_MAX(rows, 1u) / 32 * 32, 32u);
	struct cols c = { NULL, rows, n, width, a, y, add, s };
	kernel_for((n + width - 1) / width, cols_piece, &c);
}

/* A piece is a block of rows, whose sums are made while each is in the
 * cache. */
static void
act_rows_piece(void *ctx, size_t i)
{
	const struct cols *c = ctx;
	const struct kernel_loops *l = kernel_loops();
	const size_t n = c->n, end = RK_MIN((i + 1) * c->width, c->rows);
	float *sums = c->s + i * n;

	memset(sums, 0, n * sizeof(*sums));
	for (size_t r = i * c->width; r < end; r++) {
		l->act_back(c->f, c->y + r * n, c->a + r * n, false,
		    c->a + r * n, n);
		l->add(sums, c->a + r * n, n);
	}
}

size_t
kernel_act_col_sums_scratch(int64_t n)
{
	return PARTS_MOST * (size_t)n;
}

void
kernel_act_col_sums(const struct kernel_activation *f, const float *ref,
    size_t rows, size_t n, float *a, bool add, float *s, float *scratch)
{
	const size_t block = parts_rows(rows, n, PIECE);
	const size_t parts = (rows + block - 1) / block;
	struct cols c = { f, rows, n, block, a, ref, false, scratch };

	kernel_for(parts, act_rows_piece, &c);
	kernel_sum_parts(scratch, parts, n, n, add, s);
}

/* --- parts.h -------------------------------------------------------------- */

struct parts {
	const float *p;
	size_t parts, stride, n;
	bool add;
	float *y;
};
#define COLS ((size_t)64)

static void
parts_piece(void *ctx, size_t i)
{
	const struct parts *c = ctx;
	const size_t at = i * COLS, n = RK_MIN(COLS, c->n - at);
	double sum[COLS] = { 0 };

	for (size_t k = 0; k < c->parts; k++) {
		const float *p = c->p + k * c->stride + at;
		for (size_t j = 0; j < n; j++)
			sum[j] += (double)p[j];
	}
	for (size_t j = 0; j < n; j++)
		c->y[at + j] = (float)((c->add ? (double)c->y[at + j] : 0) +
		    sum[j]);
}

void
kernel_sum_parts(const float *p, size_t parts, size_t stride, size_t n,
    bool add, float *y)
{
	struct parts c = { p, parts, stride, n, add, y };

	kernel_for((n + COLS - 1) / COLS, parts_piece, &c);
}
