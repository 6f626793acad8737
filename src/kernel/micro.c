/* Which micro-kernel this CPU runs, and the packing of its operands. */
#include <stdlib.h>
#include <string.h>

#include "micro.h"
#include "twice.h"

static const struct choice {
	const char *word;
	micro_fn *fn;
} choices[] = {
	{ "plain", kernel_micro_plain },
	{ "avx2", kernel_micro_avx2 },
	{ "avx512", kernel_micro_avx512 },
};

/* Of the CPU, and of what REKINDLE_SIMD leaves of that. */
static const struct choice *
chosen(void)
{
	const char *want = getenv("REKINDLE_SIMD");
	size_t best = !fast_cpu() ? 0 : !widest_cpu() ? 1 : 2;

	for (size_t i = 0; i < best && want != NULL; i++)
		if (strcmp(want, choices[i].word) == 0)
			best = i;
	return &choices[best];
}

static const struct choice *
choice(void)
{
	static const struct choice *_Atomic c;

	if (c == NULL)
		c = chosen();
	return c;
}

micro_fn *
kernel_micro(void)
{
	return choice()->fn;
}

const char *
kernel_micro_word(void)
{
	return choice()->word;
}

/*
 * strips[s][k][w] = X[s * w + i][k]: rows of X side by side.  The rows of a
 * strip are read in turn, a few cache lines of each at a time, so that what is
 * written stays in the cache.
 */
static void
across(int64_t w, int64_t rows, int64_t K, const float *X, int64_t ldx,
    float *strips)
{
	enum { STEP = 32 };

	for (int64_t r = 0; r < rows; r += w, strips += w * K) {
		const int64_t n = RK_MIN(w, rows - r);
		if (n < w)
			memset(strips, 0, (size_t)(w * K) * sizeof(*strips));
		for (int64_t k0 = 0; k0 < K; k0 += STEP) {
			const int64_t k1 = RK_MIN(K, k0 + STEP);
			for (int64_t i = 0; i < n; i++) {
				const float *x = X + (r + i) * ldx;
				for (int64_t k = k0; k < k1; k++)
					strips[k * w + i] = x[k];
			}
		}
	}
}

/* The same where X[k] holds the elements k of all rows. */
static void
along(int64_t w, int64_t rows, int64_t K, const float *X, int64_t ldx,
    float *strips)
{
	for (int64_t r = 0; r < rows; r += w) {
		const int64_t n = RK_MIN(w, rows - r);
		for (int64_t k = 0; k < K; k++, strips += w) {
			const float *x = X + k * ldx + r;
			for (int64_t i = 0; i < n; i++)
				strips[i] = x[i];
			for (int64_t i = n; i < w; i++)
				strips[i] = 0;
		}
	}
}

void
kernel_micro_panels(bool t, int64_t K, int64_t n, const float *B, int64_t ldb,
    float *panels)
{
	if (t)
		across(MICRO_N, n, K, B, ldb, panels);
	else
		along(MICRO_N, n, K, B, ldb, panels);
}

void
kernel_micro_strips(bool t, int64_t m, int64_t K, const float *A, int64_t lda,
    float *strips)
{
	if (t)
		along(MICRO_M, m, K, A, lda, strips);
	else
		across(MICRO_M, m, K, A, lda, strips);
}
