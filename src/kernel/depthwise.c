/*
 * Depthwise convolution, a plane of the output at a time: channel m of the
 * output sees channel m / (M / C) of the input alone, so there is no product of
 * matrices to be had.
 *
 *	y[b,m]  = b[m] + x[b,c] * w[m]
 *	dx[b,c] += dy[b,m] * w[m], turned round, for each m of channel c
 *	dw[m]   += x[b,c] * dy[b,m], sample by sample, in double
 */
#include <string.h>

#include "depthwise.h"
#include "loops.h"
#include "plain.h"

#define PIECE 65536                     /* products */
#define TAPS  ((int64_t)128)            /* of a window, at a time */

struct depthwise {
	const struct kernel_window *v;
	int64_t M, B, each;             /* outputs of a channel */
	int64_t taps, in, out;          /* sizes of a window and of planes */
	int64_t planes, block;
	const float *x, *w, *b, *dy;
	float *y, *dx, *dw;
	bool relu, add;
};

/* fn for blocks of `planes` planes, of `work` products each. */
static void
run(struct depthwise *d, const struct kernel_window *v, int64_t M, int64_t B,
    int64_t planes, int64_t work, kernel_piece_fn *fn)
{
	d->v = v;
	d->M = M;
	d->B = B;
	d->each = M / v->c;
	d->taps = v->k[0] * v->k[1];
	d->in = v->h * v->w;
	d->out = v->oh * v->ow;
	d->planes = planes;
	d->block = RK_MAX(PIECE / RK_MAX(work * d->taps, 1), 1);
	must(M % v->c == 0);
	kernel_for((size_t)((planes + d->block - 1) / d->block), fn, d);
}

static void
forward_piece(void *ctx, size_t i)
{
	const struct depthwise *d = ctx;
	const int64_t from = (int64_t)i * d->block;
	const int64_t to = RK_MIN(from + d->block, d->planes);

	for (int64_t p = from; p < to; p++) {
		const int64_t m = p % d->M;
		const int64_t plane = p / d->M * d->v->c + m / d->each;
		float *y = d->y + p * d->out;
		for (int64_t o = 0; o < d->out; o++)
			y[o] = d->b != NULL ? d->b[m] : 0;
		kernel_plain_plane_conv(d->v, d->x + plane * d->in,
		    d->w + m * d->taps, y);
		if (d->relu)
			kernel_loops()->bias1(y, (size_t)d->out, 0, true);
	}
}

void
kernel_depthwise(const struct kernel_window *v, int64_t M, int64_t B,
    const float *x, const float *w, const float *b, bool relu, float *y)
{
	struct depthwise d = { .x = x, .w = w, .b = b, .relu = relu, .y = y };
	run(&d, v, M, B, B * M, v->oh * v->ow, forward_piece);
}

static void
back_data_piece(void *ctx, size_t i)
{
	const struct depthwise *d = ctx;
	const int64_t from = (int64_t)i * d->block;
	const int64_t to = RK_MIN(from + d->block, d->planes);

	for (int64_t p = from; p < to; p++) {
		const int64_t c = p % d->v->c;
		float *dx = d->dx + p * d->in;
		if (!d->add)
			memset(dx, 0, (size_t)d->in * sizeof(*dx));
		for (int64_t e = 0; e < d->each; e++)
			kernel_plain_plane_conv_back(d->v,
			    d->w + (c * d->each + e) * d->taps,
			    d->dy + (p * d->each + e) * d->out, dx);
	}
}

void
kernel_depthwise_back_data(const struct kernel_window *v, int64_t M, int64_t B,
    const float *w, const float *dy, bool add, float *dx)
{
	struct depthwise d = { .w = w, .dy = dy, .add = add, .dx = dx };
	run(&d, v, M, B, B * v->c, v->oh * v->ow * M / v->c, back_data_piece);
}

/* Some taps of the weights of output channel m. */
static void
back_taps(const struct depthwise *d, int64_t m, int64_t t0, int64_t t1)
{
	double sum[TAPS] = { 0 };
	float *dw = d->dw + m * d->taps;

	for (int64_t b = 0; b < d->B; b++) {
		const int64_t plane = b * d->v->c + m / d->each;
		kernel_plain_plane_conv_weight(d->v, d->x + plane * d->in,
		    d->dy + (b * d->M + m) * d->out, t0, t1, sum);
	}
	for (int64_t t = t0; t < t1; t++)
		dw[t] = (float)((d->add ? dw[t] : 0) + sum[t - t0]);
}

static void
back_weight_piece(void *ctx, size_t i)
{
	const struct depthwise *d = ctx;
	const int64_t from = (int64_t)i * d->block;
	const int64_t to = RK_MIN(from + d->block, d->planes);

	for (int64_t m = from; m < to; m++)
		for (int64_t t = 0; t < d->taps; t += TAPS)
			back_taps(d, m, t, RK_MIN(t + TAPS, d->taps));
}

void
kernel_depthwise_back_weight(const struct kernel_window *v, int64_t M,
    int64_t B, const float *x, const float *dy, bool add, float *dw)
{
	struct depthwise d = { .x = x, .dy = dy, .add = add, .dw = dw };
	run(&d, v, M, B, M, B * v->oh * v->ow, back_weight_piece);
}
