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

/* --- optimiser updates and conversions (update.c, convert.c) ------------- */

/*
 * One optimiser step over n elements, in place.  The numbers are the same for
 * all elements and are worked out by the caller, once a step, in double.  With
 * g' = g + decay * p, the slots being those of optim.h in their order:
 *
 *	SGD       p -= lr * g'
 *	MOMENTUM  b = mu * b + take * g',  p -= lr * b
 *	NESTEROV  b = mu * b + take * g',  p -= lr * (g' + mu * b)
 *	ADAM      p *= shrink, m = mu * m + take * g'
 *	          v = alpha * v + alpha1 * g'^2
 *	          p -= lr * m / (sqrt(v) * root + eps)
 *	RMSPROP   v = alpha * v + alpha1 * g'^2
 *	          c = alpha * c + alpha1 * g'             when centered
 *	          a = sqrt(v - c^2) + eps                 c is 0 when not
 *	          b = mu * b + g' / a,  p -= lr * b       with momentum
 *	          p -= lr * g' / a                        without
 *
 * shadow, when not NULL, gets copies of the results: shadow[0] of p, the rest
 * of the slots; `stream` writes them past the caches, for arrays that are
 * larger than these.  What comes out depends on the machine's kind (with FMA or
 * without), but not on where an element lies.
 */
enum kernel_rule {
	KERNEL_SGD, KERNEL_MOMENTUM, KERNEL_NESTEROV, KERNEL_ADAM,
	KERNEL_RMSPROP
};
struct kernel_update {
	enum kernel_rule rule;
	bool centered, with_momentum;           /* rmsprop */
	bool stream;
	float lr, decay, shrink, mu, take, alpha, alpha1, root, eps;
};
void kernel_update(const struct kernel_update *u, size_t n, float *p,
    const float *g, float *const *slot, float *const *shadow);

/* The sum of x^2 in double, in an order that depends on n alone: the same bits
 * on every machine. */
double kernel_sum_squares(const float *x, size_t n);
void kernel_scale(float *x, size_t n, float by);

/* y = x * scale + shift for bytes and for floats; scale and shift are one
 * number, or with _each as many as n. */
void kernel_bytes_affine(float *y, const uint8_t *x, size_t n, float scale,
    float shift);
void kernel_floats_affine(float *y, const float *x, size_t n, float scale,
    float shift);
void kernel_bytes_affine_each(float *y, const uint8_t *x, size_t n,
    const float *scale, const float *shift);
void kernel_floats_affine_each(float *y, const float *x, size_t n,
    const float *scale, const float *shift);

#endif
