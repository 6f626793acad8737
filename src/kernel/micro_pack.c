/*
 * Packing of operands for the micro-kernel: strips of A, panels of B.
 *
 * A strip holds `w` lines side by side, w being MICRO_M or MICRO_N:
 * strips[s][k][i] = line s * w + i at k.  Either a line lies in a row of the
 * array (across: blocks of 8 x 8 are transposed in registers where the CPU has
 * AVX2), or the elements k of all lines do (along: short copies, 16 rows at a
 * time, so that few pages are in use).  What comes next is asked for early: the
 * rows are too short for a CPU to see where they lead.
 */
#include <string.h>

#include "micro.h"
#include "twice.h"

/* i < n lines from k on, one by one; the others up to w are 0. */
static void
some(int64_t w, int64_t n, int64_t k, int64_t K, const float *X, int64_t ldx,
    float *strip)
{
	for (; k < K; k++) {
		for (int64_t i = 0; i < n; i++)
			strip[k * w + i] = X[i * ldx + k];
		for (int64_t i = n; i < w; i++)
			strip[k * w + i] = 0;
	}
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define HELP FAST static inline __attribute__((always_inline))

HELP void
transpose8(__m256 r[8])
{
	__m256 a[8], b[8];

	for (int i = 0; i < 8; i += 2) {
		a[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
		a[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
	}
	for (int i = 0; i < 8; i += 4)
		for (int h = 0; h < 2; h++) {
			b[i + 2 * h] = _mm256_shuffle_ps(a[i + h],
			    a[i + h + 2], 0x44);
			b[i + 2 * h + 1] = _mm256_shuffle_ps(a[i + h],
			    a[i + h + 2], 0xee);
		}
	for (int i = 0; i < 4; i++) {
		r[i] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
		r[i + 4] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
	}
}

/* 8 columns of up to 8 lines, at k; 0 for the lines that are not there. */
HELP void
block8(int64_t n, const float *X, int64_t ldx, __m256 r[8])
{
	for (int i = 0; i < 8; i++)
		r[i] = i < n ? _mm256_loadu_ps(X + i * ldx) :
		    _mm256_setzero_ps();
	transpose8(r);
}

FAST static void
across_panel(int64_t n, int64_t K, const float *X, int64_t ldx, float *panel)
{
	int64_t k = 0;

	for (; k + 8 <= K; k += 8)
		for (int64_t h = 0; h < MICRO_N; h += 8) {
			__m256 r[8];
			block8(RK_MIN(n - h, 8), X + h * ldx + k, ldx, r);
			for (int j = 0; j < 8; j++)
				_mm256_storeu_ps(panel + (k + j) * MICRO_N + h,
				    r[j]);
		}
	some(MICRO_N, n, k, K, X, ldx, panel);
}

FAST static void
across_strip(int64_t n, int64_t K, const float *X, int64_t ldx, float *strip)
{
	int64_t k = 0;

	for (; k + 8 <= K; k += 8) {
		__m256 r[8];
		for (int i = 0; i < MICRO_M; i++)
			__builtin_prefetch(X + (MICRO_M + i) * ldx + k);
		block8(n, X + k, ldx, r);
		for (int j = 0; j < 8; j++) {
			float *to = strip + (k + j) * MICRO_M;
			_mm_storeu_ps(to, _mm256_castps256_ps128(r[j]));
			_mm_storel_pi((__m64 *)(void *)(to + 4),
			    _mm256_extractf128_ps(r[j], 1));
		}
	}
	some(MICRO_M, n, k, K, X, ldx, strip);
}
#else
#define across_panel(n, K, X, ldx, p) some(MICRO_N, n, 0, K, X, ldx, p)
#define across_strip(n, K, X, ldx, p) some(MICRO_M, n, 0, K, X, ldx, p)
#endif

static void
across(const int64_t w, int64_t lines, int64_t K, const float *X, int64_t ldx,
    float *strips)
{
	const bool fast = fast_cpu();

	for (int64_t r = 0; r < lines; r += w, strips += w * K, X += w * ldx) {
		const int64_t n = RK_MIN(w, lines - r);
		if (!fast)
			some(w, n, 0, K, X, ldx, strips);
		else if (w == MICRO_N)
			across_panel(n, K, X, ldx, strips);
		else
			across_strip(n, K, X, ldx, strips);
	}
}

static inline __attribute__((always_inline)) void
along(const int64_t w, int64_t lines, int64_t K, const float *X, int64_t ldx,
    float *strips)
{
	enum { ROWS = 16 };

	for (int64_t k0 = 0; k0 < K; k0 += ROWS)
	for (int64_t r = 0; r < lines; r += w) {
		const int64_t n = RK_MIN(w, lines - r);
		const int64_t k1 = RK_MIN(K, k0 + ROWS);
		float *to = strips + r * K + k0 * w;
		for (int64_t k = k0; k < k1; k++, to += w) {
			const float *x = X + k * ldx + r;
			__builtin_prefetch(x + ROWS * ldx);
			if (n == w) {
				memcpy(to, x, (size_t)w * sizeof(*x));
				continue;
			}
			for (int64_t i = 0; i < w; i++)
				to[i] = i < n ? x[i] : 0;
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
