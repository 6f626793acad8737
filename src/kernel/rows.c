/*
 * Softmax and layer norm.  A piece is a block of rows.  The gradients of layer
 * norm's weights are sums over all rows: a piece has its own, which are added
 * up in the order of the pieces.
 */
#include <math.h>
#include <string.h>

#include "rekindle/kernel.h"
#include "loops.h"
#include "parts.h"

#define PIECE ((size_t)16384)           /* numbers */

struct rows {
	size_t rows, n, block;
	const struct kernel_lnorm *l;
	const float *x, *dy;
	float *y, *dx, *dweight, *dbias, *parts;
	bool add;
};

static void
run(struct rows *s, size_t rows, int64_t n, kernel_piece_fn *fn)
{
	s->rows = rows;
	s->n = (size_t)n;
	s->block = RK_MAX(PIECE / s->n, 1u);
	kernel_for((rows + s->block - 1) / s->block, fn, s);
}

static size_t
end_of(const struct rows *s, size_t piece)
{
	return RK_MIN((piece + 1) * s->block, s->rows);
}

static void
softmax_piece(void *ctx, size_t i)
{
	const struct rows *s = ctx;

	for (size_t r = i * s->block; r < end_of(s, i); r++)
		kernel_loops()->softmax(s->x + r * s->n, 1, NULL,
		    s->y + r * s->n, s->n);
}

void
kernel_softmax(size_t rows, int64_t n, const float *x, float *y)
{
	struct rows s = { .x = x, .y = y };
	run(&s, rows, n, softmax_piece);
}

static void
softmax_back_piece(void *ctx, size_t i)
{
	const struct rows *s = ctx;

	for (size_t r = i * s->block; r < end_of(s, i); r++)
		kernel_loops()->softmax_back(s->x + r * s->n, s->dy + r * s->n,
		    1, s->add, s->dx + r * s->n, s->n);
}

void
kernel_softmax_back(size_t rows, int64_t n, const float *y, const float *dy,
    bool add, float *dx)
{
	struct rows s = { .x = y, .dy = dy, .add = add, .dx = dx };
	run(&s, rows, n, softmax_back_piece);
}

static void
lnorm_piece(void *ctx, size_t i)
{
	const struct rows *s = ctx;
	const struct kernel_lnorm *l = s->l;
	const struct kernel_loops *f = kernel_loops();

	for (size_t r = i * s->block; r < end_of(s, i); r++) {
		const float *x = s->x + r * s->n;
		const float mean = (float)(f->sum(x, s->n) / (double)s->n);
		const double var = f->spread(x, s->n, mean) / (double)s->n;
		const float inv = (float)(1 / sqrt(var + l->eps));
		f->lnorm(x, s->y + r * s->n, s->n, mean, inv, l->weight,
		    l->bias);
		if (l->mean != NULL) {
			l->mean[r] = mean;
			l->inv[r] = inv;
		}
	}
}

void
kernel_lnorm(const struct kernel_lnorm *l, size_t rows, const float *x,
    float *y)
{
	struct rows s = { .l = l, .x = x, .y = y };
	run(&s, rows, l->n, lnorm_piece);
}

/* A piece's own sums for the weight and, n further on, for the bias. */
static float *
part(const struct rows *s, size_t piece)
{
	return s->parts + 2 * s->n * piece;
}

static void
lnorm_back_piece(void *ctx, size_t i)
{
	const struct rows *s = ctx;
	const struct kernel_lnorm *l = s->l;
	const bool sums = s->dweight != NULL || s->dbias != NULL;
	struct kernel_lnorm_row row = { .weight = l->weight };

	if (sums) {
		memset(part(s, i), 0, 2 * s->n * sizeof(*s->parts));
		row.dw = s->dweight != NULL ? part(s, i) : NULL;
		row.db = s->dbias != NULL ? part(s, i) + s->n : NULL;
	}
	for (size_t r = i * s->block; r < end_of(s, i); r++) {
		row.mean = l->mean[r];
		row.inv = l->inv[r];
		kernel_loops()->lnorm_back(&row, s->x + r * s->n,
		    s->dy + r * s->n, s->add,
		    s->dx != NULL ? s->dx + r * s->n : NULL, s->n);
	}
}

size_t
kernel_lnorm_scratch(int64_t n)
{
	return 2 * PARTS_MOST * (size_t)n;
}

void
kernel_lnorm_back(const struct kernel_lnorm *l, size_t rows, const float *x,
    const float *dy, bool add_dx, float *dx, bool add_dw, float *dweight,
    bool add_db, float *dbias, float *scratch)
{
	struct rows s = { .l = l, .rows = rows, .n = (size_t)l->n, .x = x,
		.dy = dy, .add = add_dx, .dx = dx,
		.dweight = dweight, .dbias = dbias, .parts = scratch };

	s.block = parts_rows(rows, s.n, PIECE);
	const size_t parts = (rows + s.block - 1) / s.block;
	kernel_for(parts, lnorm_back_piece, &s);
	if (dweight != NULL)
		kernel_sum_parts(scratch, parts, 2 * s.n, s.n, add_dw,
		    dweight);
	if (dbias != NULL)
		kernel_sum_parts(scratch + s.n, parts, 2 * s.n, s.n, add_db,
		    dbias);
}
