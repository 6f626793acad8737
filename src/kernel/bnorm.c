/*
 * Batch norm.  A piece is a block of channels and sees the whole batch, sample
 * by sample, so a channel's sums have one order.  Sums are in double: a channel
 * may have millions of values.
 *
 * Images [B,c,n] are read a plane at a time; vectors [B,c] a row of the block's
 * columns at a time.
 *
 * With g = weight * inv and N values a channel,
 *	dbias   += sum dy
 *	dweight += inv sum dy (x - mean)
 *	dx      += g (dy - sum dy / N - (x - mean) inv^2 sum dy (x - mean) / N)
 */
#include <math.h>

#include "rekindle/kernel.h"
#include "loops.h"

#define COLS 64                 /* channels a piece, for vectors */

struct bnorm {
	const struct kernel_bnorm *b;
	size_t B, c, n, block;
	bool train;
	const float *x, *dy;
	float *y, *dx, *dweight, *dbias;
	bool add_dx, add_dw, add_db;
};

/* Mean and sum of squared distances from it, of one channel of images. */
static void
plane_stats(const struct bnorm *p, size_t ch, float *mean, double *spread)
{
	const struct kernel_loops *l = kernel_loops();
	double sum = 0;

	for (size_t b = 0; b < p->B; b++)
		sum += l->sum(p->x + (b * p->c + ch) * p->n, p->n);
	*mean = (float)(sum / (double)(p->B * p->n));
	*spread = 0;
	for (size_t b = 0; b < p->B; b++)
		*spread += l->spread(p->x + (b * p->c + ch) * p->n, p->n,
		    *mean);
}

/* The same for k columns from column ch on. */
static void
col_stats(const struct bnorm *p, size_t ch, size_t k, float *mean,
    double *spread)
{
	double sum[COLS] = { 0 };

	for (size_t b = 0; b < p->B; b++)
		for (size_t j = 0; j < k; j++)
			sum[j] += p->x[b * p->c + ch + j];
	for (size_t j = 0; j < k; j++) {
		mean[j] = (float)(sum[j] / (double)p->B);
		spread[j] = 0;
	}
	for (size_t b = 0; b < p->B; b++)
		for (size_t j = 0; j < k; j++) {
			double d = p->x[b * p->c + ch + j] - mean[j];
			spread[j] += d * d;
		}
}

/* momentum is the weight of the new, the variance is the unbiased one. */
static void
run_torch(const struct kernel_bnorm *b, size_t ch, double var)
{
	float *rm = b->run_mean + ch, *rv = b->run_var + ch;

	*rm += b->momentum * (b->mean[ch] - *rm);
	*rv += b->momentum * ((float)var - *rv);
}

/* momentum is the weight of the old, the variance is the biased one. */
static void
run_paddle(const struct kernel_bnorm *b, size_t ch, double var)
{
	float *rm = b->run_mean + ch, *rv = b->run_var + ch;
	const float m = b->momentum;

	*rm = m * *rm + (1 - m) * b->mean[ch];
	*rv = m * *rv + (1 - m) * (float)var;
}

/* Statistics of channels ch to ch+k-1, for this batch and for the ones to
 * come. */
static void
batch_stats(const struct bnorm *p, size_t ch, size_t k)
{
	const struct kernel_bnorm *b = p->b;
	const double N = (double)(p->B * p->n);
	double spread[COLS];

	if (p->n > 1)
		plane_stats(p, ch, b->mean + ch, spread);
	else
		col_stats(p, ch, k, b->mean + ch, spread);
	for (size_t j = 0; j < k; j++) {
		b->inv[ch + j] = (float)(1 / sqrt(spread[j] / N + b->eps));
		if (N < 2)
			continue;
		if (b->paddle)
			run_paddle(b, ch + j, spread[j] / N);
		else
			run_torch(b, ch + j, spread[j] / (N - 1));
	}
}

static void
forward_piece(void *ctx, size_t i)
{
	const struct bnorm *p = ctx;
	const struct kernel_bnorm *b = p->b;
	const size_t ch = i * p->block, k = RK_MIN(p->block, p->c - ch);
	float mean[COLS], a[COLS];

	if (p->train)
		batch_stats(p, ch, k);
	for (size_t j = 0; j < k; j++) {
		float inv = p->train ? b->inv[ch + j] :
		    1 / sqrtf(b->run_var[ch + j] + b->eps);
		mean[j] = p->train ? b->mean[ch + j] : b->run_mean[ch + j];
		a[j] = inv * b->weight[ch + j];
	}
	for (size_t s = 0; s < p->B; s++) {
		const size_t at = (s * p->c + ch) * p->n;
		if (p->n > 1)
			kernel_loops()->norm(p->x + at, p->y + at, p->n,
			    mean[0], a[0], b->bias[ch]);
		else
			kernel_loops()->norm_each(p->x + at, p->y + at, k,
			    mean, a, b->bias + ch);
	}
}

static void
run(struct bnorm *p, const struct kernel_bnorm *b, int64_t B,
    kernel_piece_fn *fn)
{
	p->b = b;
	p->B = (size_t)B;
	p->c = (size_t)b->c;
	p->n = (size_t)b->n;
	p->block = p->n > 1 ? 1 : COLS;
	kernel_for((p->c + p->block - 1) / p->block, fn, p);
}

void
kernel_bnorm(const struct kernel_bnorm *b, int64_t B, bool train,
    const float *x, float *y)
{
	struct bnorm p = { .train = train, .x = x, .y = y };
	run(&p, b, B, forward_piece);
}

/* sum dy and sum dy (x - mean) of k channels */
static void
back_sums(const struct bnorm *p, size_t ch, size_t k, double *s, double *sx)
{
	const float *mean = p->b->mean + ch;

	for (size_t j = 0; j < k; j++)
		s[j] = sx[j] = 0;
	for (size_t b = 0; b < p->B; b++) {
		const size_t at = (b * p->c + ch) * p->n;
		if (p->n > 1) {
			double sum = kernel_loops()->sum(p->dy + at, p->n);
			s[0] += sum;
			/* In double, so nothing cancels that matters. */
			sx[0] += kernel_loops()->dot(p->dy + at, p->x + at,
			    p->n) - sum * mean[0];
			continue;
		}
		for (size_t j = 0; j < k; j++) {
			double dy = p->dy[at + j];
			s[j] += dy;
			sx[j] += dy * (p->x[at + j] - mean[j]);
		}
	}
}

static void
put(float *to, bool add, double v)
{
	*to = (add ? *to : 0) + (float)v;
}

static void
back_piece(void *ctx, size_t i)
{
	const struct bnorm *p = ctx;
	const struct kernel_bnorm *b = p->b;
	const size_t ch = i * p->block, k = RK_MIN(p->block, p->c - ch);
	const double N = (double)(p->B * p->n);
	double s[COLS], sx[COLS];
	float a[COLS], bx[COLS], c[COLS];

	back_sums(p, ch, k, s, sx);
	for (size_t j = 0; j < k; j++) {
		double inv = b->inv[ch + j], g = b->weight[ch + j] * inv;
		if (p->dbias != NULL)
			put(p->dbias + ch + j, p->add_db, s[j]);
		if (p->dweight != NULL)
			put(p->dweight + ch + j, p->add_dw, inv * sx[j]);
		a[j] = (float)g;
		bx[j] = (float)(-g * inv * inv * sx[j] / N);
		c[j] = (float)(-g * s[j] / N);
	}
	for (size_t r = 0; r < p->B && p->dx != NULL; r++) {
		const size_t at = (r * p->c + ch) * p->n;
		if (p->n > 1)
			kernel_loops()->norm_back(p->x + at, p->dy + at,
			    p->add_dx, p->dx + at, p->n, b->mean[ch], a[0],
			    bx[0], c[0]);
		else
			kernel_loops()->norm_back_each(p->x + at, p->dy + at,
			    p->add_dx, p->dx + at, k, b->mean + ch, a, bx, c);
	}
}

void
kernel_bnorm_back(const struct kernel_bnorm *b, int64_t B, const float *x,
    const float *dy, bool add_dx, float *dx, bool add_dw, float *dweight,
    bool add_db, float *dbias)
{
	struct bnorm p = { .x = x, .dy = dy, .dx = dx, .dweight = dweight,
		.dbias = dbias, .add_dx = add_dx, .add_dw = add_dw,
		.add_db = add_db };
	run(&p, b, B, back_piece);
}
