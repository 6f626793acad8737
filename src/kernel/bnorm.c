/*
 * Batch norm, with what comes right behind it.  A piece is a channel, or a
 * block of them, and sees the whole batch, sample by sample, so a channel's
 * sums have one order.  Sums are in double: a channel may have millions of
 * values, and in double the variance can be had from the sum of squares, in one
 * pass.  Where such pieces are few, those of the second pass are some samples
 * of a block.
 *
 * Images are read a run at a time: a channel's plane, or that of a block, where
 * lane l of each place is channel l of it.  Vectors [B,c] are read a row of the
 * piece's columns at a time.
 *
 * With g = weight * inv, N values a channel and d = dy where the activation
 * lets it through,
 *	dbias   += sum d
 *	dweight += inv sum d (x - mean)
 *	dx      += g (d - sum d / N - (x - mean) inv^2 sum d (x - mean) / N)
 * and of running statistics, which are constants,
 *	dx      += g d
 */
#include <math.h>
#include <string.h>

#include "loops.h"

#define COLS  64                /* channels a piece, for vectors */
#define CHUNK 512               /* numbers of a run, for an activation */
/* Blocks, below which the batch is cut.  Of more of them, the second pass finds
 * less of the first in the caches and takes a fifth longer on few threads. */
#define FEW   8
#define PIECES 16               /* ... into about so many pieces */
#define LARGE ((size_t)1 << 16) /* numbers of a block, from which on it is */

struct bnorm {
	const struct kernel_bnorm *b;
	size_t B, c, n;
	size_t block;                   /* channels a piece */
	size_t pieces, run;             /* runs of a sample; their numbers */
	size_t parts;                   /* of the batch, in the second pass */
	bool vectors, train;
	const float *x, *dy;
	float *y, *dx, *dweight, *dbias;
	bool add_dx, add_dw, add_db;
	struct back *kept;              /* [pieces], where there are parts */
};

/* --- statistics ----------------------------------------------------------- */

/* By lanes to by channels: a plane's lanes are one. */
static void
fold_lanes(const struct bnorm *p, double *lane)
{
	if (p->b->blocked)
		return;
	for (size_t l = 1; l < KERNEL_BLOCK; l++)
		lane[0] += lane[l];
}

/* Mean and sum of squared distances from it, of the channels of piece i. */
static void
run_stats(const struct bnorm *p, size_t i, size_t k, float *mean,
    double *spread)
{
	double sum[KERNEL_BLOCK] = { 0 }, squares[KERNEL_BLOCK] = { 0 };
	const double N = (double)(p->B * p->n);

	for (size_t s = 0; s < p->B; s++)
		kernel_loops()->lane_sums(p->x + (s * p->pieces + i) * p->run,
		    p->run, sum, squares);
	fold_lanes(p, sum);
	fold_lanes(p, squares);
	for (size_t j = 0; j < k; j++) {
		const double m = sum[j] / N;
		mean[j] = (float)m;
		spread[j] = squares[j] - m * sum[j];
		if (spread[j] < 0)
			spread[j] = 0;
	}
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

/* Statistics of the channels of piece i, from ch to ch+k-1, for this batch and
 * for the ones to come. */
static void
batch_stats(const struct bnorm *p, size_t i, size_t ch, size_t k)
{
	const struct kernel_bnorm *b = p->b;
	const double N = (double)(p->B * p->n);
	double spread[COLS];

	if (p->vectors)
		col_stats(p, ch, k, b->mean + ch, spread);
	else
		run_stats(p, i, k, b->mean + ch, spread);
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

/* --- forward -------------------------------------------------------------- */

/* What x is multiplied by; lanes of no channel give 0. */
static void
set_lanes(const struct bnorm *p, size_t ch, size_t k, bool train,
    struct kernel_lanes *l)
{
	const struct kernel_bnorm *b = p->b;

	for (size_t j = 0; j < KERNEL_BLOCK; j++) {
		const size_t at = ch + (b->blocked ? j : 0);
		if (b->blocked && j >= k) {
			l->mean[j] = l->a[j] = l->b[j] = 0;
			continue;
		}
		float inv = train ? b->inv[at] :
		    1 / sqrtf(b->run_var[at] + b->eps);
		l->mean[j] = train ? b->mean[at] : b->run_mean[at];
		l->a[j] = inv * b->weight[at];
		l->b[j] = b->bias[at];
	}
}

static void
forward_run(const struct bnorm *p, const struct kernel_lanes *l, size_t at)
{
	const struct kernel_loops *f = kernel_loops();
	const struct kernel_bnorm *b = p->b;
	const float *r = b->r != NULL ? b->r + at : NULL;

	if (kernel_in_lanes(b->act.act)) {
		f->lane_norm(l, p->x + at, r, b->act.act, p->y + at, p->run);
		return;
	}
	for (size_t i = 0; i < p->run; i += CHUNK) {
		const size_t n = RK_MIN(p->run - i, CHUNK);
		float *y = p->y + at + i;
		f->lane_norm(l, p->x + at + i, r != NULL ? r + i : NULL,
		    KERNEL_NO_ACT, y, n);
		f->act(&b->act, y, y, n);
	}
}

/* Block i of samples from to to-1: backwards, as what was read last is still in
 * the cache. */
static void
forward_runs(const struct bnorm *p, size_t i, size_t from, size_t to)
{
	const size_t ch = i * p->block, k = RK_MIN(p->block, p->c - ch);
	struct kernel_lanes l;

	set_lanes(p, ch, k, p->train, &l);
	for (size_t s = to; s-- > from;)
		forward_run(p, &l, (s * p->pieces + i) * p->run);
}

static void
stats_piece(void *ctx, size_t i)
{
	const struct bnorm *p = ctx;
	const size_t ch = i * p->block;

	batch_stats(p, i, ch, RK_MIN(p->block, p->c - ch));
}

static void
forward_piece(void *ctx, size_t i)
{
	const struct bnorm *p = ctx;

	if (p->train)
		stats_piece(ctx, i);
	forward_runs(p, i, 0, p->B);
}

/* Piece k of the second pass: the samples `from` to `to` of block *i, the last
 * of the batch first. */
static void
part_of(const struct bnorm *p, size_t k, size_t *i, size_t *from, size_t *to)
{
	const size_t part = p->parts - 1 - k / p->pieces;

	*i = k % p->pieces;
	*from = part * p->B / p->parts;
	*to = (part + 1) * p->B / p->parts;
}

static void
forward_part(void *ctx, size_t k)
{
	size_t i, from, to;

	part_of(ctx, k, &i, &from, &to);
	forward_runs(ctx, i, from, to);
}

static void
forward_cols(void *ctx, size_t i)
{
	const struct bnorm *p = ctx;
	const struct kernel_bnorm *b = p->b;
	const size_t ch = i * p->block, k = RK_MIN(p->block, p->c - ch);
	float mean[COLS], a[COLS];

	if (p->train)
		batch_stats(p, i, ch, k);
	for (size_t j = 0; j < k; j++) {
		float inv = p->train ? b->inv[ch + j] :
		    1 / sqrtf(b->run_var[ch + j] + b->eps);
		mean[j] = p->train ? b->mean[ch + j] : b->run_mean[ch + j];
		a[j] = inv * b->weight[ch + j];
	}
	for (size_t s = 0; s < p->B; s++) {
		const size_t at = s * p->c + ch;
		kernel_loops()->norm_each(p->x + at, p->y + at, k, mean, a,
		    b->bias + ch);
	}
}

/* How it is cut: by the shape alone. */
static void
cut(struct bnorm *p, const struct kernel_bnorm *b, int64_t B)
{
	p->b = b;
	p->B = (size_t)B;
	p->c = (size_t)b->c;
	p->n = (size_t)b->n;
	p->vectors = !b->blocked && b->n == 1;
	must(!p->vectors || (b->act.act == KERNEL_NO_ACT && b->r == NULL));
	must(b->r == NULL || b->act.act == KERNEL_NO_ACT ||
	    b->act.act == KERNEL_RELU);
	p->block = p->vectors ? COLS : b->blocked ? KERNEL_BLOCK : 1;
	p->pieces = (p->c + p->block - 1) / p->block;
	p->run = p->n * p->block;
	p->parts = p->vectors || p->pieces >= FEW || p->B * p->run < LARGE ? 1 :
	    RK_MIN(p->B, PIECES / p->pieces);
}

void
kernel_bnorm(const struct kernel_bnorm *b, int64_t B, bool train,
    const float *x, float *y)
{
	struct bnorm p = { .train = train, .x = x, .y = y };

	cut(&p, b, B);
	if (p.parts == 1) {
		kernel_for(p.pieces, p.vectors ? forward_cols : forward_piece,
		    &p);
		return;
	}
	if (train)
		kernel_for(p.pieces, stats_piece, &p);
	kernel_for(p.pieces * p.parts, forward_part, &p);
}

/* --- backward ------------------------------------------------------------- */

static void
put(float *to, bool add, double v)
{
	*to = (add ? *to : 0) + (float)v;
}

/* Of channel ch, from sum d and sum d (x - mean): its gradients, and dx = a d +
 * c1 (x - mean) + c0. */
static void
back_numbers(const struct bnorm *p, size_t ch, double s, double sx, float *a,
    float *c1, float *c0)
{
	const struct kernel_bnorm *b = p->b;
	const double N = (double)(p->B * p->n), inv = b->inv[ch];
	const double g = b->weight[ch] * inv;

	if (p->dbias != NULL)
		put(p->dbias + ch, p->add_db, s);
	if (p->dweight != NULL)
		put(p->dweight + ch, p->add_dw, inv * sx);
	*a = (float)g;
	*c1 = (float)(-g * inv * inv * sx / N);
	*c0 = (float)(-g * s / N);
}

/* The gradient behind the activation, of a chunk. */
static const float *
behind_act(const struct bnorm *p, const struct kernel_lanes *l, size_t at,
    size_t n, float d[CHUNK])
{
	const struct kernel_loops *f = kernel_loops();
	const struct kernel_activation *act = &p->b->act;
	float z[CHUNK];

	f->lane_norm(l, p->x + at, NULL, KERNEL_NO_ACT, z, n);
	if (!kernel_act_reads_x(act->act))
		f->act(act, z, z, n);
	f->act_back(act, z, p->dy + at, false, d, n);
	return d;
}

struct back {
	struct kernel_lanes l;
	double s[KERNEL_BLOCK], sx[KERNEL_BLOCK];
	float c1[KERNEL_BLOCK], c0[KERNEL_BLOCK];
};

/* The sums of one run, or with them its dx: from dr, where the sums left dy as
 * it counts. */
static void
back_run(const struct bnorm *p, struct back *k, size_t at, bool sums)
{
	const struct kernel_loops *f = kernel_loops();
	const struct kernel_bnorm *b = p->b;
	const bool whole = kernel_in_lanes(b->act.act);
	const bool masked = !sums && b->dr != NULL && !b->add_dr;
	const float *dy = masked ? b->dr : p->dy;
	const size_t step = whole ? p->run : CHUNK;
	float d[CHUNK];

	for (size_t i = at; i < at + p->run; i += step) {
		const size_t n = RK_MIN(at + p->run - i, step);
		const struct kernel_lane_back r = {
			.x = p->x + i, .dy = whole ? dy + i :
			behind_act(p, &k->l, i, n, d),
			.act = whole && !masked ? b->act.act : KERNEL_NO_ACT,
			.y = b->r != NULL ? b->y + i : NULL,
			.dr = sums && b->dr != NULL ? b->dr + i : NULL,
			.dx = sums ? NULL : p->dx + i,
			.add_dr = b->add_dr, .add_dx = p->add_dx,
		};
		if (sums)
			f->lane_back_sums(&k->l, &r, n, k->s, k->sx);
		else
			f->lane_back(&k->l, &r, k->c1, k->c0, n);
	}
}

/* All sums of block i, and what they come to. */
static void
back_sums(const struct bnorm *p, size_t i, struct back *k)
{
	const size_t ch = i * p->block, c = RK_MIN(p->block, p->c - ch);
	float a;

	*k = (struct back){ .s = { 0 } };
	set_lanes(p, ch, c, true, &k->l);
	for (size_t s = 0; s < p->B; s++)
		back_run(p, k, (s * p->pieces + i) * p->run, true);
	fold_lanes(p, k->s);
	fold_lanes(p, k->sx);
	for (size_t j = 0; j < c; j++)
		back_numbers(p, ch + j, k->s[j], k->sx[j], &a, &k->c1[j],
		    &k->c0[j]);
	for (size_t j = 1; j < KERNEL_BLOCK && !p->b->blocked; j++) {
		k->c1[j] = k->c1[0];
		k->c0[j] = k->c0[0];
	}
}

static void
back_runs(const struct bnorm *p, size_t i, struct back *k, size_t from,
    size_t to)
{
	for (size_t s = to; s-- > from;)
		back_run(p, k, (s * p->pieces + i) * p->run, false);
}

static void
back_piece(void *ctx, size_t i)
{
	const struct bnorm *p = ctx;
	struct back k;

	back_sums(p, i, &k);
	if (p->dx != NULL)
		back_runs(p, i, &k, 0, p->B);
}

static void
sums_piece(void *ctx, size_t i)
{
	const struct bnorm *p = ctx;

	back_sums(p, i, &p->kept[i]);
}

static void
back_part(void *ctx, size_t k)
{
	const struct bnorm *p = ctx;
	size_t i, from, to;

	part_of(p, k, &i, &from, &to);
	back_runs(p, i, &p->kept[i], from, to);
}

static void
back_cols(void *ctx, size_t i)
{
	const struct bnorm *p = ctx;
	const size_t ch = i * p->block, k = RK_MIN(p->block, p->c - ch);
	const float *mean = p->b->mean + ch;
	double s[COLS] = { 0 }, sx[COLS] = { 0 };
	float a[COLS], bx[COLS], c[COLS];

	for (size_t b = 0; b < p->B; b++) {
		const size_t at = b * p->c + ch;
		for (size_t j = 0; j < k; j++) {
			double dy = p->dy[at + j];
			s[j] += dy;
			sx[j] += dy * (p->x[at + j] - mean[j]);
		}
	}
	for (size_t j = 0; j < k; j++)
		back_numbers(p, ch + j, s[j], sx[j], &a[j], &bx[j], &c[j]);
	for (size_t r = 0; r < p->B && p->dx != NULL; r++) {
		const size_t at = r * p->c + ch;
		kernel_loops()->norm_back_each(p->x + at, p->dy + at,
		    p->add_dx, p->dx + at, k, mean, a, bx, c);
	}
}

/* --- backward of constants ------------------------------------------------ */

static void
constant_run(const struct bnorm *p, const struct kernel_lanes *l, size_t at)
{
	const struct kernel_bnorm *b = p->b;
	const bool whole = kernel_in_lanes(b->act.act);
	const size_t step = whole ? p->run : CHUNK;
	float d[CHUNK];

	for (size_t i = at; i < at + p->run; i += step) {
		const size_t n = RK_MIN(at + p->run - i, step);
		kernel_loops()->lane_back_scaled(l, &(struct kernel_lane_back){
		    .x = p->x + i, .dy = whole ? p->dy + i :
		    behind_act(p, l, i, n, d),
		    .act = whole ? b->act.act : KERNEL_NO_ACT,
		    .y = b->act.act == KERNEL_RELU ? b->y + i : NULL,
		    .dr = b->dr != NULL ? b->dr + i : NULL,
		    .dx = p->dx != NULL ? p->dx + i : NULL,
		    .add_dr = b->add_dr, .add_dx = p->add_dx }, n);
	}
}

static void
constant_runs(const struct bnorm *p, size_t i, size_t from, size_t to)
{
	const size_t ch = i * p->block;
	struct kernel_lanes l;

	set_lanes(p, ch, RK_MIN(p->block, p->c - ch), false, &l);
	for (size_t s = to; s-- > from;)
		constant_run(p, &l, (s * p->pieces + i) * p->run);
}

static void
constant_part(void *ctx, size_t k)
{
	size_t i, from, to;

	part_of(ctx, k, &i, &from, &to);
	constant_runs(ctx, i, from, to);
}

static void
constant_cols(void *ctx, size_t i)
{
	const struct bnorm *p = ctx;
	const struct kernel_bnorm *b = p->b;
	const size_t ch = i * p->block, k = RK_MIN(p->block, p->c - ch);
	float a[COLS];

	for (size_t j = 0; j < k; j++)
		a[j] = 1 / sqrtf(b->run_var[ch + j] + b->eps) *
		    b->weight[ch + j];
	for (size_t s = 0; s < p->B && p->dx != NULL; s++) {
		const size_t at = s * p->c + ch;
		kernel_loops()->mul(p->dx + at, p->dy + at, a, p->add_dx, k);
	}
}

void
kernel_bnorm_back(const struct kernel_bnorm *b, int64_t B, const float *x,
    const float *dy, bool add_dx, float *dx, bool add_dw, float *dweight,
    bool add_db, float *dbias)
{
	struct back kept[FEW];
	struct bnorm p = { .x = x, .dy = dy, .dx = dx, .dweight = dweight,
		.dbias = dbias, .add_dx = add_dx, .add_dw = add_dw,
		.add_db = add_db, .kept = kept };

	cut(&p, b, B);
	if (b->eval) {
		must(dweight == NULL && dbias == NULL);
		kernel_for(p.pieces * p.parts, p.vectors ? constant_cols :
		    constant_part, &p);
		return;
	}
	if (p.parts == 1 || dx == NULL) {
		kernel_for(p.pieces, p.vectors ? back_cols : back_piece, &p);
		return;
	}
	kernel_for(p.pieces, sums_piece, &p);
	kernel_for(p.pieces * p.parts, back_part, &p);
}
