/*
 * kernel - maths on raw float32 arrays, and the team of threads that does it.
 *
 * Determinism is a property of this module.  Work is cut into pieces whose
 * number and bounds depend on the shapes alone, never on the number of
 * threads; a piece is computed by one thread, sequentially; sums over pieces
 * are added in piece order.  So the bits do not depend on how many threads
 * there are nor on which of them was fast.  OpenBLAS and oneDNN are called for
 * one piece at a time, always single-threaded: our team is the only one.
 * Pieces are handed out dynamically, so a thread that lost its core for a
 * while (to the checkpoint writer, to a neighbour) holds nobody up for long.
 *
 * Matrices are row-major; [M,N] has M rows.  Buffers are 64-byte aligned when
 * they come from kernel_alloc().
 */
#ifndef REKINDLE_KERNEL_H
#define REKINDLE_KERNEL_H

#include "rekindle/base.h"

/*
 * Start the process's team: the calling thread and threads-1 more, denormals
 * flushed to zero on each.  Once a process; kernel_fini() joins them.  Idle
 * threads spin briefly, then sleep.
 */
enum rk_err kernel_init(int threads) RK_MUSTCHECK;
void kernel_fini(void);
int kernel_threads(void);

/* fn(ctx, i) for i in 0..n-1, each once, on any thread, in any order; returns
 * when all are done.  Only from the thread that called kernel_init(); a call
 * from inside fn runs its pieces there and then. */
typedef void kernel_piece_fn(void *ctx, size_t i);
void kernel_for(size_t n, kernel_piece_fn *fn, void *ctx);

/* Zeroed, 64-byte aligned, huge pages asked for when large; NULL if there is
 * no memory.  n is in bytes. */
void *kernel_alloc(size_t n);
void kernel_free(void *p, size_t n);

/*
 * C[M,N] = op(A) op(B) + beta C, beta 0 or 1.  op(A) is [M,K]: A itself with
 * row length lda, or its transpose when ta (A is then [K,M]).  Cut into tiles
 * of C; K is never split.
 */
void kernel_sgemm(bool ta, bool tb, int64_t M, int64_t N, int64_t K,
    const float *A, int64_t lda, const float *B, int64_t ldb, float beta,
    float *C, int64_t ldc);

/* "oneDNN 2.6.3" or the like, for logs and checkpoint.json. */
const char *kernel_backend(void);

/* Elementwise, reductions, activations, optimiser updates: added below by the
 * modules that need them, each with its formula. */

#endif
