/*
 * The bias gradient of a blocked convolution: sums over samples and places, a
 * run of places in float, runs and samples in double.  A piece is a block, or a
 * part of its samples where there are few blocks.
 */
#include "conv_way.h"
#include "loops.h"
#include "twice.h"

#define L      ((int64_t)KERNEL_BLOCK)
#define RUN    ((int64_t)64)
#define PARTS  16
#define BLOCKS 16               /* from which on a block is not cut */

struct bias_sums {
	int64_t B, c, plane, parts;
	const float *dy;
	bool add;
	float *db;
	double part[PARTS * BLOCKS][KERNEL_BLOCK];
};

/* Four runs at a time: one would wait for each of its additions. */
LOOP
sums_body(const float *dy, int64_t n, double *sum)
{
	int64_t from = 0;

	for (; from + 4 * RUN <= n; from += 4 * RUN) {
		const float *d = dy + from * L;
		float s[4][KERNEL_BLOCK] = { { 0 } };
		for (int64_t i = 0; i < RUN; i++)
			for (int64_t k = 0; k < 4; k++)
				for (int64_t l = 0; l < L; l++)
					s[k][l] += d[(k * RUN + i) * L + l];
		for (int64_t k = 0; k < 4; k++)
			for (int64_t l = 0; l < L; l++)
				sum[l] += s[k][l];
	}
	for (; from < n; from += RUN) {
		const float *d = dy + from * L;
		const int64_t run = RK_MIN(RUN, n - from);
		float s[KERNEL_BLOCK] = { 0 };
		for (int64_t i = 0; i < run; i++)
			for (int64_t l = 0; l < L; l++)
				s[l] += d[i * L + l];
		for (int64_t l = 0; l < L; l++)
			sum[l] += s[l];
	}
}

static void
sums_plain(const float *dy, int64_t n, double *sum)
{
	sums_body(dy, n, sum);
}

FAST static void
sums_fast(const float *dy, int64_t n, double *sum)
{
	sums_body(dy, n, sum);
}

static void
put(const struct bias_sums *s, int64_t block, const double *sum)
{
	for (int64_t i = 0; i < L && block * L + i < s->c; i++) {
		float *db = s->db + block * L + i;
		*db = (s->add ? *db : 0) + (float)sum[i];
	}
}

static void
piece(void *ctx, size_t k)
{
	struct bias_sums *s = ctx;
	const int64_t blocks = kernel_blocks(s->c);
	const int64_t block = (int64_t)k / s->parts;
	const int64_t part = (int64_t)k % s->parts;
	const int64_t end = (part + 1) * s->B / s->parts;
	double sum[KERNEL_BLOCK] = { 0 };

	for (int64_t b = part * s->B / s->parts; b < end; b++)
		(fast_cpu() ? sums_fast : sums_plain)(s->dy + (b * blocks +
		    block) * s->plane * L, s->plane, sum);
	if (s->parts == 1)
		put(s, block, sum);
	else
		for (int64_t l = 0; l < L; l++)
			s->part[k][l] = sum[l];
}

void
kernel_conv_bias_sums(int64_t B, int64_t c, int64_t plane, const float *dy,
    bool add, float *db)
{
	const int64_t blocks = kernel_blocks(c);
	struct bias_sums s = { .B = B, .c = c, .plane = plane, .dy = dy,
		.add = add, .db = db };

	s.parts = blocks >= BLOCKS ? 1 : RK_MIN(B, PARTS);
	kernel_for((size_t)(blocks * s.parts), piece, &s);
	for (int64_t k = 0; k < blocks && s.parts > 1; k++) {
		double *sum = s.part[k * s.parts];
		for (int64_t i = 1; i < s.parts; i++)
			for (int64_t l = 0; l < L; l++)
				sum[l] += s.part[k * s.parts + i][l];
		put(&s, k, sum);
	}
}
