/*
 * Losses, a row at a time.  What each row gives is stored, and the rows are
 * added up in their order, in double.
 *
 * Cross entropy of plain classes and squares have vector loops (or nearly so);
 * the rest is in plain_rows.inc.
 */
#include <math.h>
#include <string.h>

#include "rekindle/kernel.h"
#include "loops.h"
#include "plain.h"

struct losses {
	const struct kernel_loss *l;
	size_t rows, block;
	const float *z, *t;
	const int32_t *y;
	double norm;
	bool add;
	float *d;
	double *loss, *right;           /* [rows] each */
};

/* Nothing is lost by a row whose class is ignored, or that is left out. */
static bool
ignored(const struct losses *s, size_t r)
{
	if (s->l->left_out != NULL && s->l->left_out[r])
		return true;
	return s->l->ignoring && s->l->kind == KERNEL_CROSS_ENTROPY &&
	    s->t == NULL && s->y[r] == s->l->ignore;
}

static void
ignore_row(const struct losses *s, size_t r)
{
	const size_t n = (size_t)s->l->n;

	if (s->d != NULL && !s->add)
		memset(s->d + r * n, 0, n * sizeof(*s->d));
	s->loss[r] = s->right[r] = 0;
}

/* Class weights scale a row, unless smoothing spreads it over classes. */
static bool
is_simple(const struct losses *s)
{
	return s->l->kind == KERNEL_CROSS_ENTROPY && s->t == NULL && !s->add &&
	    (s->l->weight == NULL || s->l->smoothing == 0);
}

static void
simple_row(const struct losses *s, size_t r)
{
	const struct kernel_loss *l = s->l;
	const size_t n = (size_t)l->n;
	const float w = l->weight != NULL ? l->weight[s->y[r]] : 1;
	struct kernel_ce ce = { l->n, l->smoothing,
		w * (1.0f / (float)s->norm) };
	bool right;

	s->loss[r] = (double)w * kernel_loops()->cross_entropy(s->z + r * n,
	    &ce, s->y[r], s->d ? s->d + r * n : NULL, &right);
	s->right[r] = right;
}

static void
squares_row(const struct losses *s, size_t r)
{
	const size_t n = (size_t)s->l->n;
	const float two = 2 * (1.0f / (float)s->norm) / (float)n;
	const float *z = s->z + r * n, *t = s->t + r * n;
	float *d = s->d != NULL ? s->d + r * n : NULL;
	double sum = 0;
	size_t at = 0;

	for (size_t j = 0; j < n; j++) {
		float e = z[j] - t[j];
		sum += (double)e * e;
		if (z[j] > z[at])
			at = j;
	}
	if (d != NULL && s->add)
		for (size_t j = 0; j < n; j++)
			d[j] += two * (z[j] - t[j]);
	else if (d != NULL)
		for (size_t j = 0; j < n; j++)
			d[j] = two * (z[j] - t[j]);
	s->loss[r] = sum / (double)n;
	s->right[r] = s->y != NULL && (size_t)s->y[r] == at;
}

static void
plain_row(const struct losses *s, size_t r)
{
	const size_t n = (size_t)s->l->n;
	bool right;

	s->loss[r] = kernel_plain_loss(s->l, s->z + r * n,
	    s->t ? s->t + r * n : NULL, s->y ? s->y[r] : -1, 1 / s->norm,
	    s->add, s->d ? s->d + r * n : NULL, &right);
	s->right[r] = right;
}

/* Of a row whose largest logit is infinite, or that has a NaN, nothing is
 * predicted; each label of BINARY is for itself, and may be infinite. */
static bool
says_nothing(const struct losses *s, size_t r)
{
	const float *z = s->z + r * (size_t)s->l->n;
	float top = z[0];

	for (int64_t j = 0; j < s->l->n; j++) {
		if (isnan(z[j]))
			return true;
		top = RK_MAX(top, z[j]);
	}
	return s->l->kind != KERNEL_BINARY && isinf(top);
}

static void
rows_piece(void *ctx, size_t i)
{
	const struct losses *s = ctx;
	const size_t end = RK_MIN((i + 1) * s->block, s->rows);

	for (size_t r = i * s->block; r < end; r++) {
		if (ignored(s, r)) {
			ignore_row(s, r);
			continue;
		}
		if (s->l->kind == KERNEL_CROSS_ENTROPY && s->t == NULL)
			must(s->y[r] >= 0 && s->y[r] < s->l->n);
		if (is_simple(s))
			simple_row(s, r);
		else if (s->l->kind == KERNEL_SQUARES)
			squares_row(s, r);
		else
			plain_row(s, r);
		if (!isfinite(s->loss[r]) && says_nothing(s, r))
			s->right[r] = 0;
	}
}

double
kernel_loss(const struct kernel_loss *l, size_t rows, const float *z,
    const float *t, const int32_t *y, bool add, float *dz, double *scratch,
    int64_t *right)
{
	struct losses s = { .l = l, .rows = rows, .z = z, .t = t, .y = y,
		.norm = l->norm > 0 ? l->norm : (double)rows, .add = add,
		.d = dz, .loss = scratch, .right = scratch + rows };
	double sum = 0, hits = 0;

	must(t != NULL || (l->kind == KERNEL_CROSS_ENTROPY && y != NULL));
	/* Some thousands of logits a piece. */
	s.block = (size_t)RK_MAX(4096 / l->n, 1);
	kernel_for((rows + s.block - 1) / s.block, rows_piece, &s);
	for (size_t r = 0; r < rows; r++) {
		sum += s.loss[r];
		hits += s.right[r];
	}
	if (right != NULL)
		*right = (int64_t)hits;
	return sum;
}

double
kernel_loss_weight(const struct kernel_loss *l, size_t rows, const int32_t *y,
    int64_t *counted)
{
	double sum = 0;
	int64_t n = 0;

	for (size_t r = 0; r < rows; r++) {
		if ((l->ignoring && y[r] == l->ignore) ||
		    (l->left_out != NULL && l->left_out[r]))
			continue;
		must(y[r] >= 0 && y[r] < l->n);
		sum += l->weight != NULL ? (double)l->weight[y[r]] : 1;
		n++;
	}
	if (counted != NULL)
		*counted = n;
	return sum;
}

double
kernel_cross_entropy(size_t rows, int64_t n, const float *z, const int32_t *y,
    double smoothing, float *d, double *scratch, int64_t *right)
{
	struct kernel_loss l = { .kind = KERNEL_CROSS_ENTROPY, .n = n,
		.smoothing = smoothing };
	return kernel_loss(&l, rows, z, NULL, y, false, d, scratch, right);
}

double
kernel_squares(size_t rows, int64_t n, const float *z, const float *t,
    const int32_t *y, float *d, double *scratch, int64_t *right)
{
	struct kernel_loss l = { .kind = KERNEL_SQUARES, .n = n };
	return kernel_loss(&l, rows, z, t, y, false, d, scratch, right);
}
