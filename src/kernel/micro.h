/*
 * micro - the packed micro-kernel: the innermost loop of products of our own.
 *
 * One thread, one piece, no checks.  An element of C is one sum over k in
 * order, from 0, by fused multiply-adds where the CPU has them; with `add` that
 * sum is then added to what C holds.  So its bits depend on K and on the
 * arithmetic, not on which rows or columns were computed together, and those of
 * AVX2 and of AVX-512 are the same.
 *
 * Operands:
 *
 *	A  [m,K]    MICRO_ROWS    A[i * lda + k]
 *	            MICRO_COLUMNS A[k * lda + i], the transpose of an array
 *	            MICRO_PACKED  strips of MICRO_M rows, [ceil(m / 6)][K][6],
 *	                          a strip `lda` floats after the one before;
 *	                          what lies behind the last row is not read
 *	B  [K,n]    panels of MICRO_N columns, [ceil(n / 16)][K][16], a panel
 *	            `ldb` floats after the one before, 64-byte aligned is best;
 *	            or with rows `step` floats apart and not 16: an array as it
 *	            lies has ldb 16, and its row length for step.  All 16
 *	            columns are read, those behind n for nothing
 *	C  [m,n]    rows of ldc floats; nothing behind column n is written
 *
 * Each panel of B meets all rows of A before the next one: K * 64 bytes should
 * fit the first-level cache (K up to some 400), A the second.
 */
#ifndef KERNEL_MICRO_H
#define KERNEL_MICRO_H

#include "rekindle/kernel.h"

#define MICRO_M 6
#define MICRO_N 16

enum micro_a { MICRO_ROWS, MICRO_COLUMNS, MICRO_PACKED };

struct micro {
	int64_t m, n, K;
	enum micro_a kind;
	const float *A;
	int64_t lda;
	const float *B;
	int64_t ldb, step;              /* step 0: MICRO_N */
	bool add;
	float *C;
	int64_t ldc;
};

typedef void micro_fn(const struct micro *p);

/* The one for this CPU: AVX-512, AVX2 with FMA, or any.  REKINDLE_SIMD may ask
 * for less, "plain" or "avx2". */
micro_fn *kernel_micro(void);
extern micro_fn kernel_micro_plain, kernel_micro_avx2, kernel_micro_avx512;

/* "avx512", "avx2", "plain" */
const char *kernel_micro_word(void);

/* Panels of B[K,n] from its rows (or, with `t`, from those of its transpose),
 * columns behind n as 0; strips of A[m,K] likewise.  panels: K * 16 floats for
 * each 16 columns begun; strips: K * 6 for each 6 rows. */
void kernel_micro_panels(bool t, int64_t K, int64_t n, const float *B,
    int64_t ldb, float *panels);
void kernel_micro_strips(bool t, int64_t m, int64_t K, const float *A,
    int64_t lda, float *strips);

#endif
