/*
 * Losses, a row at a time.  What each row gives is stored, and the rows are
 * added up in their order, in double.
 */
#include "rekindle/kernel.h"
#include "loops.h"

struct losses {
	size_t rows, block;
	const float *z, *t;
	const int32_t *y;
	struct kernel_ce ce;
	float *d;
	double *loss, *right;           /* [rows] each */
};

/* Some thousands of logits a piece. */
static double
run(struct losses *l, kernel_piece_fn *fn, int64_t *right)
{
	double sum = 0, hits = 0;

	l->block = (size_t)RK_MAX(4096 / l->ce.classes, 1);
	kernel_for((l->rows + l->block - 1) / l->block, fn, l);
	for (size_t r = 0; r < l->rows; r++) {
		sum += l->loss[r];
		hits += l->right[r];
	}
	if (right != NULL)
		*right = (int64_t)hits;
	return sum;
}

static void
cross_entropy_piece(void *ctx, size_t i)
{
	const struct losses *l = ctx;
	const size_t n = (size_t)l->ce.classes;
	const size_t end = RK_MIN((i + 1) * l->block, l->rows);

	for (size_t r = i * l->block; r < end; r++) {
		bool right;
		must(l->y[r] >= 0 && (size_t)l->y[r] < n);
		l->loss[r] = kernel_loops()->cross_entropy(l->z + r * n,
		    &l->ce, l->y[r], l->d ? l->d + r * n : NULL, &right);
		l->right[r] = right;
	}
}

double
kernel_cross_entropy(size_t rows, int64_t n, const float *z, const int32_t *y,
    double smoothing, float *d, double *scratch, int64_t *right)
{
	struct losses l = { .rows = rows, .z = z, .y = y, .d = d,
		.ce = { n, smoothing, 1.0f / (float)rows },
		.loss = scratch, .right = scratch + rows };
	return run(&l, cross_entropy_piece, right);
}

static void
squares_piece(void *ctx, size_t i)
{
	const struct losses *l = ctx;
	const size_t n = (size_t)l->ce.classes;
	const size_t end = RK_MIN((i + 1) * l->block, l->rows);
	const float two = 2 * l->ce.scale / (float)n;

	for (size_t r = i * l->block; r < end; r++) {
		const float *z = l->z + r * n, *t = l->t + r * n;
		double sum = 0;
		size_t at = 0;
		for (size_t j = 0; j < n; j++) {
			float e = z[j] - t[j];
			sum += (double)e * e;
			if (l->d != NULL)
				l->d[r * n + j] = two * e;
			if (z[j] > z[at])
				at = j;
		}
		l->loss[r] = sum / (double)n;
		l->right[r] = l->y != NULL && (size_t)l->y[r] == at;
	}
}

double
kernel_squares(size_t rows, int64_t n, const float *z, const float *t,
    const int32_t *y, float *d, double *scratch, int64_t *right)
{
	struct losses l = { .rows = rows, .z = z, .t = t, .y = y, .d = d,
		.ce = { n, 0, 1.0f / (float)rows },
		.loss = scratch, .right = scratch + rows };
	return run(&l, squares_piece, right);
}
