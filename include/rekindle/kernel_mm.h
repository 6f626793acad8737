/*
 * kernel_mm - matrix products, with what is done to a result while it is near.
 *
 * C = act(scale * op(A) op(B) + bias + row_bias) + residual, or C += op(A)
 * op(B).  op(A) is [M,K]: A itself with rows of lda floats, or the transpose of
 * an A[K,M] when ta; the same for op(B) [K,N].  M, N and K may be 0; without a
 * K the sum is 0.
 *
 * The work is cut by shape alone.  What computes a tile is a property of the
 * process:
 *
 *	OWN       packed micro-kernels of our own (AVX2 or AVX-512, the same
 *	          bits; on any CPU with REKINDLE_GEMM=own).  An element is one
 *	          sum over k in order, by blocks of up to 384, so its bits
 *	          depend on K alone, or on M, N and K where K is cut
 *	OPENBLAS  what CPUs without FMA use; all products with
 *	          REKINDLE_GEMM=openblas
 *	ONEDNN    only with REKINDLE_GEMM=onednn: it takes memory in each call
 *
 * K is cut into parts, which are summed in their order, only where M and N are
 * so small that there would be no work for a team.
 *
 * Nothing is allocated: operands are packed into memory of the process and of
 * its threads that kernel_init() makes, 8 MiB and 0.4 MiB a thread, used as far
 * as products are large.
 */
#ifndef REKINDLE_KERNEL_MM_H
#define REKINDLE_KERNEL_MM_H

#include "rekindle/kernel.h"

struct kernel_mm {
	bool ta, tb;
	int64_t M, N, K;
	const float *A, *B;
	float *C;
	int64_t lda, ldb, ldc;
	bool add;               /* then scale to residual are not there */

	/* So many products (0: one), each so many floats behind the last; a
	 * step of 0 of A or B is for an operand that all share. */
	int64_t batch, stepA, stepB, stepC;

	float scale;                    /* 0: 1 */
	const float *bias;              /* [N], one for each column of C */
	const float *row_bias;          /* [M], one for each row */
	struct kernel_activation act;
	float *before;                  /* what act() is taken of, like C */
	const float *residual;          /* like C; may be C */
};
void kernel_mm(const struct kernel_mm *p);
/* Has a row of C the same bits wherever it is among M rows, and whatever these
 * are?  So it is with OWN. */
bool kernel_mm_rows_alike(void);

enum kernel_mm_way { KERNEL_MM_OWN, KERNEL_MM_OPENBLAS, KERNEL_MM_ONEDNN };
#define KERNEL_MM_WAYS (KERNEL_MM_ONEDNN + 1)
extern const char *const kernel_mm_words[KERNEL_MM_WAYS];

#endif
