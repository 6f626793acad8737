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
 *
 * Signals.  The code that oneDNN compiles for a matrix product takes the stack
 * pointer for a register of its own while it runs: what the kernel of the
 * system puts on the "stack" of a thread that it interrupts there lands in the
 * heap.  So the rule for every thread that may come into this module: no signal
 * handler, whoever installed it, runs on the thread's own stack.
 *  - kernel_init() blocks all signals that can be blocked in the calling
 *    thread, for good; the team's threads, and any that a library starts from
 *    them, begin so (rk_signals_block).  A program waits for its signals in a
 *    thread that stays out of this module.  Blocking is preferred to
 *    sigaltstack(2), which each thread needs for itself, also those that
 *    libraries start, and which a handler that was installed by others without
 *    SA_ONSTACK does not use.
 *  - What a library does by signals in this process follows from that.  A
 *    profiler that samples by SIGPROF (gprof, gperftools) sees the waiting
 *    thread alone; perf(1), which needs no signals, sees all.  A debugger stops
 *    threads by ptrace(2), which needs none of the stack (calling a function
 *    from the debugger does); to interrupt from gdb send SIGSTOP, for SIGINT
 *    goes to the waiting thread.
 *  - Faults (SIGSEGV and its like) cannot be blocked.  A crash handler has to be
 *    installed with SA_ONSTACK and needs an alternate stack in each thread, as
 *    the sanitizers do it; we install none.
 */
#ifndef REKINDLE_KERNEL_H
#define REKINDLE_KERNEL_H

#include "rekindle/base.h"

/*
 * Start the process's team: the calling thread and threads-1 more, denormals
 * flushed to zero and signals blocked on each.  Once a process; kernel_fini()
 * joins them.  Idle threads spin briefly, then sleep.
 */
enum rk_err kernel_init(int threads) RK_MUSTCHECK;
void kernel_fini(void);
int kernel_threads(void);

/* fn(ctx, i) for i in 0..n-1, each once, on any thread, in any order; returns
 * when all are done.  Only from the thread that called kernel_init(); a call
 * from inside fn runs its pieces there and then. */
typedef void kernel_piece_fn(void *ctx, size_t i);
void kernel_for(size_t n, kernel_piece_fn *fn, void *ctx);

/* Inside fn: this thread's number, 0 to kernel_threads()-1, for scratch memory
 * that is overwritten before it is read. */
int kernel_self(void);

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

/* "oneDNN 2.6.3" or the like, for logs and checkpoint.json.  The environment
 * may choose: REKINDLE_GEMM=openblas, and REKINDLE_SIMD=plain for the loops for
 * any CPU.  Either changes the last bits of results. */
const char *kernel_backend(void);

/*
 * What decides the last bits of a step beside the job and its data: a run that
 * goes on where one of these is another computes other bytes.
 *
 *	gemm      the library of the matrix product: "oneDNN 2.6.3"
 *	gemm_isa  what that compiles for, "avx512_core" (DNNL_MAX_CPU_ISA may
 *	          ask for less); for OpenBLAS its core, "SkylakeX"
 *	loops     "avx2 fma" or "plain" (REKINDLE_SIMD)
 *	updates   the same of the optimiser's updates, by the CPU alone
 *	libm      "glibc 2.36 fma": exp, log, pow and cos in their variant for
 *	          this CPU
 *	compiler  of the loops: "gcc 12"
 *
 * All KERNEL_FACTS are set; that many is returned.
 */
#define KERNEL_FACTS    6
#define KERNEL_FACT_MAX 64
struct kernel_fact {
	const char *key;                        /* static */
	char value[KERNEL_FACT_MAX];
};
size_t kernel_arithmetic(struct kernel_fact v[KERNEL_FACTS]);

/* y[M,N] = act(x[M,K] w[N,K]^T + b[N]), act relu or none; b NULL: 0.  Bias and
 * activation are applied to each tile while it is in the cache. */
void kernel_linear(int64_t M, int64_t N, int64_t K, const float *x,
    const float *w, const float *b, bool relu, float *y);

/* Elementwise, reductions, activations, optimiser updates: added below by the
 * modules that need them, each with its formula. */

/* --- elementwise, sums, losses (maps.c, loss.c) --------------------------- */

/*
 *	RELU     y = max(x, 0)          dx = dy [y > 0]
 *	GELU     y = x F(x)             dx = dy (F(x) + x F'(x)), F the normal
 *	                                distribution (erf, not the tanh formula)
 *	SIGMOID  y = 1 / (1 + e^-x)     dx = dy y (1 - y)
 *	TANH     y = tanh x             dx = dy (1 - y^2)
 *
 * y may be x.  Backward reads `ref`: x for GELU, y for the others; dx may be
 * dy.  Here and below `add` says whether the result is added to what is there
 * or replaces it.  NaN stays NaN.
 */
enum kernel_act {
	KERNEL_NO_ACT, KERNEL_RELU, KERNEL_GELU, KERNEL_SIGMOID, KERNEL_TANH
};
void kernel_act(enum kernel_act f, const float *x, float *y, size_t n);
void kernel_act_back(enum kernel_act f, const float *ref, const float *dy,
    bool add, float *dx, size_t n);

/* dst += src */
void kernel_add(float *dst, const float *src, size_t n);

/* s[j] (+)= sum over the rows of a[rows,n].  With y, a is first masked where
 * y <= 0, in place: a relu's backward and its bias gradient in one pass. */
void kernel_col_sums(size_t rows, size_t n, float *a, const float *y, bool add,
    float *s);

/*
 * Dropout: y[i] (+)= x[i] * m[i], m[i] = [u >= p] / (1 - p), u the uniform
 * number i of stream (seed, a, b).  Backward is the same call with dy for x.
 * y may be x.
 */
void kernel_dropout(const float *x, float *y, bool add, size_t n, float p,
    uint64_t seed, uint32_t a, uint32_t b);

/*
 * Losses over rows of z[rows,n].  Returned is the sum over the rows; *right
 * (may be NULL) counts rows whose largest logit is at y.  d, when not NULL,
 * gets the gradient of the mean over the rows.  scratch: 2*rows numbers.
 *	cross entropy   -sum_j q[j] log softmax(z)[j],
 *	                q = (1 - smoothing) onehot(y) + smoothing / n
 *	squares         mean_j (z[j] - t[j])^2
 */
double kernel_cross_entropy(size_t rows, int64_t n, const float *z,
    const int32_t *y, double smoothing, float *d, double *scratch,
    int64_t *right);
double kernel_squares(size_t rows, int64_t n, const float *z, const float *t,
    const int32_t *y, float *d, double *scratch, int64_t *right);

/* --- images (conv.c, pool.c), batch norm (bnorm.c) ----------------------- */

/* A window that moves over planes [c, h, w] and gives [.., oh, ow]. */
struct kernel_window {
	int64_t c, h, w, oh, ow;
	int64_t k[2], stride[2], pad[2];        /* height, width */
};

/*
 * y[B,M,oh,ow] = act(x[B,c,h,w] * w[M,c,kh,kw] + b[M])    (cross-correlation)
 *
 * by im2col, some rows of the output at a time, and the matrix product.  The
 * weight gradient is summed over groups of samples, then over the groups.
 * scratch: kernel_conv_scratch() floats.
 */
size_t kernel_conv_scratch(const struct kernel_window *v, int64_t M,
    int64_t B);
void kernel_conv(const struct kernel_window *v, int64_t M, int64_t B,
    const float *x, const float *w, const float *b, bool relu, float *y,
    float *scratch);
void kernel_conv_back_data(const struct kernel_window *v, int64_t M, int64_t B,
    const float *w, const float *dy, bool add, float *dx, float *scratch);
void kernel_conv_back_weight(const struct kernel_window *v, int64_t M,
    int64_t B, const float *x, const float *dy, bool add, float *dw,
    float *scratch);
void kernel_conv_back_bias(const struct kernel_window *v, int64_t M, int64_t B,
    const float *dy, bool add, float *db);

/* Planes are B*c.  The largest of the window (padding is left out; at[] is its
 * place in the plane), or its mean (padding counts as zeros). */
void kernel_max_pool(const struct kernel_window *v, int64_t B, const float *x,
    float *y, int32_t *at);
void kernel_max_pool_back(const struct kernel_window *v, int64_t B,
    const float *dy, const int32_t *at, bool add, float *dx);
void kernel_avg_pool(const struct kernel_window *v, int64_t B, const float *x,
    float *y);
void kernel_avg_pool_back(const struct kernel_window *v, int64_t B,
    const float *dy, bool add, float *dx);

/*
 * Batch norm of x[B,c,n] (n = 1 for vectors): over B and n for each channel.
 *	y = (x - mean) * inv * weight + bias,  inv = 1 / sqrt(var + eps)
 * with the batch's mean and (biased) variance in train, which are kept in
 * `mean` and `inv` for backward, and from which
 *	run_mean += momentum * (mean - run_mean)
 *	run_var  += momentum * (var * N/(N-1) - run_var),   N = B*n
 * (left alone when N is 1, where a variance has no meaning).  In eval with the
 * running ones.
 */
struct kernel_bnorm {
	int64_t c, n;
	float eps, momentum;
	const float *weight, *bias;
	float *run_mean, *run_var;
	float *mean, *inv;                      /* [c], of the last forward */
};
void kernel_bnorm(const struct kernel_bnorm *b, int64_t B, bool train,
    const float *x, float *y);
/* dx NULL: not wanted. */
void kernel_bnorm_back(const struct kernel_bnorm *b, int64_t B, const float *x,
    const float *dy, bool add_dx, float *dx, bool add_dw, float *dweight,
    bool add_db, float *dbias);

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
