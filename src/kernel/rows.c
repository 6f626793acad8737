/*
 * Softmax and layer norm.  A piece is a block of rows, or of columns where layer
 * norm's weights get their gradients, which are sums over all rows.
 */
#include <math.h>

#include "rekindle/kernel.h"
#include "loops.h"
#include "plain.h"

#define PIECE ((size_t)16384)           /* numbers */

struct rows {
	size_t rows, n, block;
	const struct kernel_lnorm *l;
	const float *x, *dy;
	float *y, *dx, *dweight, *dbias;
	bool add, add_dw, add_db;
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

static void
lnorm_back_piece(void *ctx, size_t i)
{
	const struct rows *s = ctx;
	const struct kernel_lnorm *l = s->l;

	for (size_t r = i * s->block; r < end_of(s, i); r++)
		kernel_loops()->lnorm_back(s->x + r * s->n, s->dy + r * s->n,
		    s->add, s->dx + r * s->n, s->n, l->mean[r], l->inv[r],
		    l->weight);
}

static void
lnorm_sums_piece(void *ctx, size_t i)
{
	const struct rows *s = ctx;
	const size_t at = i * KERNEL_REDUCE;

	kernel_plain_lnorm_sums(s->n, RK_MIN(KERNEL_REDUCE, s->n - at),
	    s->rows, s->l->mean, s->l->inv, s->x + at, s->dy + at, s->add_dw,
	    s->dweight ? s->dweight + at : NULL, s->add_db,
	    s->dbias ? s->dbias + at : NULL);
}

void
kernel_lnorm_back(const struct kernel_lnorm *l, size_t rows, const float *x,
    const float *dy, bool add_dx, float *dx, bool add_dw, float *dweight,
    bool add_db, float *dbias)
{
	struct rows s = { .l = l, .rows = rows, .n = (size_t)l->n, .x = x,
		.dy = dy, .add = add_dx, .dx = dx, .add_dw = add_dw,
		.dweight = dweight, .add_db = add_db, .dbias = dbias };

	/* First, for dx may be dy. */
	if (dweight != NULL || dbias != NULL)
		kernel_for((s.n + KERNEL_REDUCE - 1) / KERNEL_REDUCE,
		    lnorm_sums_piece, &s);
	if (dx != NULL)
		run(&s, rows, l->n, lnorm_back_piece);
}
