/*
 * Rows of a table by number, and what follows from numbers.
 *
 * Backward, a piece is a block of columns, in which it goes through all rows of
 * dy in their order: whatever the ids are, the sums have one order.
 */
#include <stdatomic.h>
#include <string.h>

#include "rekindle/kernel.h"
#include "plain.h"

#define PIECE ((size_t)16384)           /* numbers */
#define COLS  ((size_t)64)

struct table {
	size_t width, n, block;
	const int32_t *ids;
	int64_t limit;                  /* or the padding */
	const float *from;
	float *to;
	_Atomic size_t outside;
};

static void
run(struct table *t, kernel_piece_fn *fn)
{
	t->block = RK_MAX(PIECE / t->width, 1u);
	kernel_for((t->n + t->block - 1) / t->block, fn, t);
}

static size_t
end_of(const struct table *t, size_t piece)
{
	return RK_MIN((piece + 1) * t->block, t->n);
}

static void
check_piece(void *ctx, size_t i)
{
	struct table *t = ctx;

	for (size_t r = i * t->block; r < end_of(t, i); r++) {
		if (t->ids[r] >= 0 && t->ids[r] < t->limit)
			continue;
		size_t was = atomic_load(&t->outside);
		while (r < was && !atomic_compare_exchange_weak(&t->outside,
		    &was, r))
			;
		break;
	}
}

size_t
kernel_first_outside(const int32_t *ids, size_t n, int64_t rows)
{
	struct table t = { .width = 1, .n = n, .ids = ids, .limit = rows };

	atomic_store(&t.outside, n);
	run(&t, check_piece);
	return atomic_load(&t.outside);
}

static void
gather_piece(void *ctx, size_t i)
{
	const struct table *t = ctx;

	for (size_t r = i * t->block; r < end_of(t, i); r++)
		memcpy(t->to + r * t->width,
		    t->from + (size_t)t->ids[r] * t->width,
		    t->width * sizeof(*t->to));
}

void
kernel_gather(int64_t width, size_t n, const int32_t *ids, const float *table,
    float *y)
{
	struct table t = { .width = (size_t)width, .n = n, .ids = ids,
		.from = table, .to = y };
	run(&t, gather_piece);
}

static void
scatter_piece(void *ctx, size_t i)
{
	const struct table *t = ctx;
	const size_t at = i * COLS;

	kernel_plain_scatter(t->width, RK_MIN(COLS, t->width - at), t->n,
	    t->ids, t->limit, t->from + at, t->to + at);
}

void
kernel_gather_back(int64_t rows, int64_t width, size_t n, const int32_t *ids,
    int64_t padding, const float *dy, bool add, float *dtable)
{
	struct table t = { .width = (size_t)width, .n = n, .ids = ids,
		.limit = padding, .from = dy, .to = dtable };

	if (!add)
		kernel_fill(dtable, 0, (size_t)(rows * width));
	kernel_for((t.width + COLS - 1) / COLS, scatter_piece, &t);
}

static void
mask_piece(void *ctx, size_t i)
{
	const struct table *t = ctx;

	for (size_t r = i * t->block; r < end_of(t, i); r++)
		t->to[r] = t->ids[r] == t->limit ? 0 : 1;
}

void
kernel_token_mask(size_t n, const int32_t *ids, int32_t padding, float *y)
{
	struct table t = { .width = 1, .n = n, .ids = ids, .limit = padding,
		.to = y };
	run(&t, mask_piece);
}

/* --- segments ------------------------------------------------------------- */

#define SEGMENT ((size_t)256)           /* places at a time */

struct segments {
	const struct kernel_segments *s;
	const float *from;
	float *to;
};

/* Numbers of the rows of places from..to of a sequence; *count: of separators
 * before, and then behind. */
static void
number(const struct kernel_segments *s, const int32_t *ids, size_t n,
    int64_t *count, int32_t *row)
{
	for (size_t i = 0; i < n; i++) {
		row[i] = (int32_t)*count;
		if (ids[i] == s->separator && *count + 1 < s->rows)
			(*count)++;
	}
}

/* One sequence. */
static void
segments_piece(void *ctx, size_t i)
{
	const struct segments *g = ctx;
	const struct kernel_segments *s = g->s;
	const size_t width = (size_t)s->width;
	const int32_t *ids = s->ids + i * s->length;
	float *y = g->to + i * s->length * width;
	int32_t row[SEGMENT];
	int64_t count = 0;

	for (size_t at = 0; at < s->length; at += SEGMENT) {
		const size_t some = RK_MIN(SEGMENT, s->length - at);
		number(s, ids + at, some, &count, row);
		for (size_t t = 0; t < some; t++)
			memcpy(y + (at + t) * width, g->from +
			    (size_t)row[t] * width, width * sizeof(*y));
	}
}

void
kernel_segments(const struct kernel_segments *s, const float *table, float *y)
{
	struct segments g = { s, table, y };

	kernel_for(s->n, segments_piece, &g);
}

/* A block of columns, through all sequences. */
static void
segments_back_piece(void *ctx, size_t piece)
{
	const struct segments *g = ctx;
	const struct kernel_segments *s = g->s;
	const size_t width = (size_t)s->width, first = piece * COLS;
	int32_t row[SEGMENT];

	for (size_t i = 0; i < s->n; i++) {
		const size_t begin = i * s->length;
		int64_t count = 0;
		for (size_t at = 0; at < s->length; at += SEGMENT) {
			const size_t some = RK_MIN(SEGMENT, s->length - at);
			number(s, s->ids + begin + at, some, &count, row);
			kernel_plain_scatter(width, RK_MIN(COLS, width - first),
			    some, row, s->padding,
			    g->from + (begin + at) * width + first,
			    g->to + first);
		}
	}
}

void
kernel_segments_back(const struct kernel_segments *s, const float *dy, bool add,
    float *dtable)
{
	struct segments g = { s, dy, dtable };

	if (!add)
		kernel_fill(dtable, 0, (size_t)(s->rows * s->width));
	kernel_for(((size_t)s->width + COLS - 1) / COLS, segments_back_piece,
	    &g);
}
