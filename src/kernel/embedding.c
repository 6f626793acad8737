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
