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
 * Many cores.  Three things do not divide: what the owner does between two jobs
 * (0.9 ms of a step of 800 ms of ResNet-50, 0.7 of 670 of a BERT of six
 * layers), waiting and waking (make bench-team), and the end of a job, when
 * there are fewer pieces than threads.  How many pieces a job has at most or
 * about:
 *
 *	products        64, more from 6.4 GFLOP on; 6 MFLOP each, or K in parts
 *	attention       a head of a sample each
 *	convolutions    32, their weight gradients 16; Winograd's at least 12
 *	                tiles each, or 36 frequencies, or slabs of outputs
 *	batch norm      a block of channels each; below 8 blocks 16 in the
 *	                second pass, whose sums are those of the whole batch
 *	the others      some 16,000 numbers each
 *
 * Taken by the times of all pieces on one core, handed out in order, 3 us a job
 * for waking, a step of these on 8, 16 and 32 cores is 7.4, 12.4 and 15.6 times
 * as fast as on one (ResNet-50, batch 8, 224 x 224: 520 jobs, 27,000 pieces)
 * and 7.6, 14.5 and 25.8 times (BERT, 6 x 384, batch 16: 397 jobs); memory
 * counts for nothing in that.  Of 26 ms that ResNet-50 loses of 51 on 32 cores,
 * 9 are in jobs of 8 to 15 pieces (batch norms of 64 channels, weight
 * gradients), 13 in those of 16 to 63.  A larger batch has more pieces in all
 * but the gradients.
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
 *  - Faults (SIGSEGV and its like) cannot be blocked.  A crash handler has to
 *  be
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

/* The calling thread, which is none of the team, treats denormals as these do
 * from here on: what it computes has the same bits. */
void kernel_like_team(void);

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
/* What that takes when all of it is used: pages are whole. */
size_t kernel_alloc_bytes(size_t n);

/*
 * C[M,N] = op(A) op(B) + beta C, beta 0 or 1.  op(A) is [M,K]: A itself with
 * row length lda, or its transpose when ta (A is then [K,M]).  kernel_mm() in
 * short.
 */
void kernel_sgemm(bool ta, bool tb, int64_t M, int64_t N, int64_t K,
    const float *A, int64_t lda, const float *B, int64_t ldb, float beta,
    float *C, int64_t ldc);

/* NULL, or what is wrong with the environment, in a sentence.  Of the words
 * that it has for this module (below): one that is none of those wanted would
 * be another arithmetic than was meant.  kernel_refusal(): also why a product
 * would end this process, because a library was made to take the kernels of
 * another CPU.  Before there are data to lose; it may fork. */
const char *kernel_word_refusal(void);
const char *kernel_refusal(void);

/* "own kernels (avx2)" or "OpenBLAS 0.3.21 (Haswell)", for logs and
 * checkpoint.json.  The environment may choose: REKINDLE_GEMM=own, openblas or
 * onednn, and REKINDLE_SIMD=plain for the loops for any CPU (avx2: nothing that
 * needs AVX-512; avx512: what the CPU has).  All change the last bits of
 * results; avx2 only those of networks with convolutions, which oneDNN then
 * computes. */
const char *kernel_backend(void);

/*
 * What decides the last bits of a step beside the job and its data: a run that
 * goes on where one of these is another computes other bytes.
 *
 *	gemm      who computes matrix products: "own 1", a number that goes up
 *	          when their bits change, or a library: "OpenBLAS 0.3.21"
 *	gemm_isa  of our own "fma" or "plain"; for OpenBLAS its core,
 *	          "SkylakeX"; for oneDNN what it compiles for, "avx512_core"
 *	          (DNNL_MAX_CPU_ISA may ask for less)
 *	conv      the library of direct convolutions and what it compiles for,
 *	          "oneDNN 2.6.3 avx2"; "own" with REKINDLE_GEMM=openblas, and
 *	          where our own have wider vectors than its code
 *	loops     "avx2 fma" or "plain" (REKINDLE_SIMD)
 *	updates   the same of the optimiser's updates, by the CPU alone
 *	libm      "glibc 2.36 fma": exp, log, pow and cos in their variant for
 *	          this CPU
 *	compiler  of the loops: "gcc 12"
 *
 * All KERNEL_FACTS are set; that many is returned.  They are of the process;
 * `of` says which networks they count for.
 */
#define KERNEL_FACTS    7
#define KERNEL_FACT_MAX 64
enum kernel_fact_of { KERNEL_OF_ALL, KERNEL_OF_CONVOLUTIONS };
struct kernel_fact {
	const char *key;                        /* static */
	enum kernel_fact_of of;
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
 *	RELU         y = max(x, 0)        dx = dy [y > 0]
 *	GELU         y = x F(x)           dx = dy (F(x) + x F'(x)), F the normal
 *	                                  distribution (erf; Hendrycks and
 *	                                  Gimpel, arXiv 1606.08415)
 *	SIGMOID      y = 1 / (1 + e^-x)   dx = dy y (1 - y)
 *	TANH         y = tanh x           dx = dy (1 - y^2)
 *	RELU6        y = min(max(x, 0), 6)     dx = dy [0 < y < 6]
 *	LEAKY_RELU   y = x [x > 0] + slope x [x <= 0]
 *	                                  dx = dy (y > 0 ? 1 : slope); slope >=
 *					  0
 *	GELU_TANH    y = x (1 + t) / 2,   t = tanh(k (x + 0.044715 x^3)),
 *	                                  k = sqrt(2 / pi) (the same paper)
 *	    dx = dy ((1 + t) / 2 + x (1 - t^2) k (1 + 3 * 0.044715 x^2) / 2)
 *	SILU         y = x s, s = 1 / (1 + e^-x)     dx = dy s (1 + x (1 - s))
 *	HARD_SIGMOID y = min(max(slope x + offset, 0), 1)
 *	                                  dx = dy slope [0 < y < 1]
 *	HARD_SWISH   y = x min(max(x + 3, 0), 6) / 6 (arXiv 1905.02244)
 *	    dx = 0 up to x = -3, dy (2 x + 3) / 6 from there, dy from x = 3 on
 *
 *	ELU          y = x [x > 0] + slope (e^x - 1) [x <= 0] (arXiv 1511.07289)
 *	                                  dx = dy (y > 0 ? 1 : y + slope); slope
 *					  >= 0
 *
 * y may be x.  Backward reads `ref`: y, or x where kernel_act_reads_x(); dx may
 * be dy.  Here and below `add` says whether the result is added to what is
 * there or replaces it.  NaN stays NaN.  kernel_act() is for the functions that
 * have no numbers of their own.
 */
#define KERNEL_ACT_TABLE(X)                                               \
	X(NO_ACT) X(RELU) X(GELU) X(SIGMOID) X(TANH) X(RELU6) X(LEAKY_RELU) \
	X(GELU_TANH) X(SILU) X(HARD_SIGMOID) X(HARD_SWISH) X(ELU)
#define KERNEL_ACT_WORD(NAME) KERNEL_##NAME,
enum kernel_act { KERNEL_ACT_TABLE(KERNEL_ACT_WORD) };
#define KERNEL_ACT_ONE(NAME) + 1
#define KERNEL_ACTS (0 KERNEL_ACT_TABLE(KERNEL_ACT_ONE))        /* how many */
struct kernel_activation {
	enum kernel_act act;
	float slope, offset;            /* of LEAKY_RELU, HARD_SIGMOID, ELU */
};
bool kernel_act_reads_x(enum kernel_act f);
void kernel_activate(const struct kernel_activation *f, const float *x,
    float *y, size_t n);
void kernel_activate_back(const struct kernel_activation *f, const float *ref,
    const float *dy, bool add, float *dx, size_t n);
void kernel_act(enum kernel_act f, const float *x, float *y, size_t n);
void kernel_act_back(enum kernel_act f, const float *ref, const float *dy,
    bool add, float *dx, size_t n);

/* dst += src;  y = v;  y (+)= x * by, where y may be x */
void kernel_add(float *dst, const float *src, size_t n);
void kernel_fill(float *y, float v, size_t n);
void kernel_scaled(const float *x, float by, bool add, float *y, size_t n);

/* s[j] (+)= sum over the rows of a[rows,n].  With y, a is first masked where
 * y <= 0, in place: a relu's backward and its bias gradient in one pass. */
void kernel_col_sums(size_t rows, size_t n, float *a, const float *y, bool add,
    float *s);

/* a = a f'(ref), a[rows,n], in place, and the column sums of that: backward of
 * an activation (ref as kernel_activate_back() has it) and its bias gradient.
 * scratch: kernel_act_col_sums_scratch() floats. */
size_t kernel_act_col_sums_scratch(int64_t n);
void kernel_act_col_sums(const struct kernel_activation *f, const float *ref,
    size_t rows, size_t n, float *a, bool add, float *s, float *scratch);

/*
 * Dropout: y[i] (+)= x[i] * m[i], m[i] = [u >= p] / (1 - p), u the uniform
 * number i of stream (seed, a, b).  Backward is the same call with dy for x.
 * y may be x.
 */
void kernel_dropout(const float *x, float *y, bool add, size_t n, float p,
    uint64_t seed, uint32_t a, uint32_t b);

/*
 * The same for some of a batch's samples, and in both conventions (Srivastava
 * et al. 2014 scale in inference; today's default scales in training).  Element
 * i of the call has the uniform number from + i, so with `from` the elements
 * before these in the whole batch, pieces of a batch draw as the whole does.
 *	upscale_in_train     m[i] = [u >= p] / (1 - p); inference: y = x
 *	downscale_in_infer   m[i] = [u >= p];           inference: y = (1 - p)
 *	                     x, which is kernel_scaled()
 */
struct kernel_drop {
	float p;
	bool downscale_in_infer;
	uint64_t seed;
	uint32_t a, b;
	uint64_t from;
};
void kernel_drop(const struct kernel_drop *d, const float *x, bool add,
    float *y, size_t n);

/*
 * Losses over rows of z[rows,n].  Returned is the sum over the rows, before any
 * division; *right (may be NULL) counts the rows that are right.  dz, when not
 * NULL, gets (add: and has added) the gradient of that sum / norm; norm 0 means
 * rows.  A step in several parts gives the rows of all of them (or their
 * kernel_loss_weight()) for norm.  scratch: 2*rows numbers.  y are the classes
 * of the rows, t[rows,n] their targets; n is z's width.
 *
 *	CROSS_ENTROPY   loss = -sum_j a[j] log softmax(z)[j]
 *	                dz   = softmax(z) sum_j a[j] - a
 *	    a[j] = weight[j] ((1 - smoothing) q[j] + smoothing / n), q =
 *	    onehot(y) or t where that is not NULL (soft labels); weight NULL: 1.
 *	    A row of class `ignore` (with `ignoring`) gives nothing, soft labels
 *	    know no such row; other classes must be 0 to n-1.  PyTorch's
 *	    weighted mean (CrossEntropyLoss) is the sum / kernel_loss_weight();
 *	    of soft labels it is the sum / rows.
 *	    Right: the (first) largest logit is at y, or where t is largest.
 *	BINARY          mean_j max(z, 0) - z t + log(1 + e^-|z|)
 *	                dz = (sigmoid(z) - t) / n   (BCEWithLogitsLoss)
 *	    Right: each logit of the row is on its side, z > 0 where t > 1/2.
 *	SQUARES         mean_j (z[j] - t[j])^2,     dz = 2 (z - t) / n
 *	L1              mean_j |z[j] - t[j]|,       dz = sign(z - t) / n
 *	SMOOTH_L1       mean_j of e^2 / (2 beta) where |e| < beta, else
 *	                |e| - beta / 2, e = z - t (SmoothL1Loss); beta 0 is L1
 *	    Right in the last three: y is not NULL, and the largest z is at y.
 *	Never right: a row with a NaN in z or, but for BINARY, an infinite
 *	largest z.
 * left_out [rows] (NULL: none is): rows that give nothing by any of these,
 * whatever their class or target; norm 0 counts them all the same.
 */
enum kernel_loss_kind {
	KERNEL_CROSS_ENTROPY, KERNEL_BINARY, KERNEL_SQUARES, KERNEL_L1,
	KERNEL_SMOOTH_L1
};
struct kernel_loss {
	enum kernel_loss_kind kind;
	int64_t n;
	double norm;
	double smoothing;               /* cross entropy: this and below */
	const float *weight;            /* [n] */
	bool ignoring;
	int32_t ignore;
	double beta;                    /* smooth L1 */
	const uint8_t *left_out;
};
double kernel_loss(const struct kernel_loss *l, size_t rows, const float *z,
    const float *t, const int32_t *y, bool add, float *dz, double *scratch,
    int64_t *right);

/*
 * Distillation: rows of logits z[rows,n] against those of an ancestor,
 * a[rows,m], over the classes that both have: ours[k] of z is theirs[k] of a,
 * for `pairs` of them, each once.  Returned is the sum over the rows of
 *
 *	classes  T^2 KL(p || q) = T^2 sum_k p[k] (log p[k] - log q[k]), p and
 *	         q being softmax(a / T) and softmax(z / T) over the pairs
 *	             dz = T (q - p)
 *	binary   the mean over k of T^2 KL of sigmoid(a / T) || sigmoid(z / T)
 *	             dz = T (q - p) / pairs
 *
 * As Hinton, Vinyals and Dean (arXiv:1503.02531) have it; the sum / rows is
 * T^2 kl_div(log_softmax(z / T), softmax(a / T), reduction="batchmean") of
 * PyTorch.  dz, when not NULL, has added weight / norm times the gradient of
 * that sum; norm 0 means rows.  Rows that are left out give nothing.  scratch:
 * rows numbers.
 */
struct kernel_distill {
	bool binary;
	int64_t n, m;
	const int32_t *ours, *theirs;   /* [pairs] */
	size_t pairs;                   /* 1 at least */
	double temperature, weight, norm;
	const uint8_t *left_out;        /* [rows], or NULL */
};
double kernel_distill(const struct kernel_distill *l, size_t rows,
    const float *z, const float *a, float *dz, double *scratch);

/* The sum of weight[y] over rows that are not ignored, nor left out; *counted
 * (may be NULL) is how many these are. */
double kernel_loss_weight(const struct kernel_loss *l, size_t rows,
    const int32_t *y, int64_t *counted);

/* Cross entropy of classes, and squares, with the mean over these rows. */
double kernel_cross_entropy(size_t rows, int64_t n, const float *z,
    const int32_t *y, double smoothing, float *d, double *scratch,
    int64_t *right);
double kernel_squares(size_t rows, int64_t n, const float *z, const float *t,
    const int32_t *y, float *d, double *scratch, int64_t *right);

/* --- images (conv.c, pool.c), batch norm (bnorm.c) ----------------------- */

/*
 * A window that moves over planes [c, h, w] and gives [.., oh, ow].  Where
 * dilation, groups or exclude_pad are 0, they count as 1, 1 and false.
 */
struct kernel_window {
	int64_t c, h, w, oh, ow;
	int64_t k[2], stride[2], pad[2];        /* height, width */
	int64_t dilation[2];                    /* of convolutions */
	int64_t groups;                         /* of convolutions */
	bool exclude_pad;                       /* of average pools */
};

/*
 * Places of a window along one side, at most 0 where it does not fit:
 * floor((size + 2 pad - dilation (k - 1) - 1) / stride) + 1.  With `ceil` (of
 * pools) it is rounded up, but the last window must begin inside the image or
 * the padding before it (PyTorch's rule).
 */
int64_t kernel_window_places(int64_t size, int64_t k, int64_t stride,
    int64_t pad, int64_t dilation, bool ceil);

/*
 * y[B,M,oh,ow] = act(x[B,c,h,w] * w[M,c/groups,kh,kw] + b[M])
 *
 * (cross-correlation): output channels come in `groups` groups, as do those of
 * the input, and group i of the output sees group i of the input.  By im2col,
 * some rows of the output of a group at a time, and the matrix product; where
 * each group is one channel of the input (depthwise), directly.  The weight
 * gradient is summed over parts of the samples, then over the parts.
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

/*
 * Planes are B*c.  The largest of the window (padding is left out; at[] is its
 * place in the plane), or the mean.  A mean counts padding as zeros and divides
 * by the window's size inside the padded image, so that what ceil mode adds
 * beyond it does not count (PyTorch); with exclude_pad it divides by the size
 * inside the image (PyTorch's count_include_pad false, Paddle's exclusive).
 */
void kernel_max_pool(const struct kernel_window *v, int64_t B, const float *x,
    float *y, int32_t *at);
void kernel_max_pool_back(const struct kernel_window *v, int64_t B,
    const float *dy, const int32_t *at, bool add, float *dx);
void kernel_avg_pool(const struct kernel_window *v, int64_t B, const float *x,
    float *y);
void kernel_avg_pool_back(const struct kernel_window *v, int64_t B,
    const float *dy, bool add, float *dx);

/* Output i is the mean of floor(i h / oh) to ceil((i + 1) h / oh) - 1, the same
 * for the width; v's c, h, w, oh and ow count. */
void kernel_adaptive_avg_pool(const struct kernel_window *v, int64_t B,
    const float *x, float *y);
void kernel_adaptive_avg_pool_back(const struct kernel_window *v, int64_t B,
    const float *dy, bool add, float *dx);

/* The mean, or the first largest, of each of `planes` planes of n values. */
void kernel_global_avg_pool(size_t planes, size_t n, const float *x, float *y);
void kernel_global_avg_pool_back(size_t planes, size_t n, const float *dy,
    bool add, float *dx);
void kernel_global_max_pool(size_t planes, size_t n, const float *x, float *y,
    int32_t *at);
void kernel_global_max_pool_back(size_t planes, size_t n, const float *dy,
    const int32_t *at, bool add, float *dx);

/*
 * Batch norm of x[B,c,n] (n = 1 for vectors): over B and n for each channel.
 *	y = (x - mean) * inv * weight + bias,  inv = 1 / sqrt(var + eps)
 * with the batch's mean and (biased) variance in train, which are kept in
 * `mean` and `inv` for backward, and from which
 *	run_mean += momentum * (mean - run_mean)
 *	run_var  += momentum * (var * N/(N-1) - run_var),   N = B*n
 * (left alone when N is 1, where a variance has no meaning).  In eval with the
 * running ones.  That is PyTorch's convention; with `paddle`
 *	run_mean = momentum * run_mean + (1 - momentum) * mean
 *	run_var  = momentum * run_var  + (1 - momentum) * var
 *
 * Images, plain or blocked (kernel_conv.h; channels that are there pad a block
 * with zeros), may have an activation and a sum done with it,
 *	y = act((x - mean) * inv * weight + bias + r)
 * r NULL: 0; act is relu or none where there is an r.  y may be x or r.  With
 *	d = dy act'
 * backward is that of d, and dr (+)= d, which may be dy where act is relu or
 * none; NULL: not wanted.  dx may be dy where dr is not.
 */
struct kernel_bnorm {
	int64_t c, n;
	float eps, momentum;
	const float *weight, *bias;
	float *run_mean, *run_var;
	float *mean, *inv;                      /* [c], of the last forward */
	bool paddle;
	bool blocked;                   /* x and y, and their gradients */
	struct kernel_activation act;
	const float *r, *y;             /* y: of the last forward, for
					   backward */
	float *dr;
	bool add_dr;
	/* The last forward was one of eval: dx (+)= d weight inv of the running
	 * variance, dweight and dbias are NULL, `mean` and `inv` may be; and x
	 * is not read where act is none or a relu, which y masks. */
	bool eval;
};
void kernel_bnorm(const struct kernel_bnorm *b, int64_t B, bool train,
    const float *x, float *y);
/* dx, dweight or dbias NULL: not wanted.  The batch's statistics are those of
 * the last forward. */
void kernel_bnorm_back(const struct kernel_bnorm *b, int64_t B, const float *x,
    const float *dy, bool add_dx, float *dx, bool add_dw, float *dweight,
    bool add_db, float *dbias);

/* --- rows (rows.c), attention (attention.c) ------------------------------ */

/*
 * Over rows of n:  y = e^(x - max x) / sum of that, y may be x
 *	dx = y (dy - sum dy y), dx may be dy
 */
void kernel_softmax(size_t rows, int64_t n, const float *x, float *y);
void kernel_softmax_back(size_t rows, int64_t n, const float *y,
    const float *dy, bool add, float *dx);

/*
 * Layer norm (Ba et al., arXiv 1607.06450) over rows of n:
 *	y  = z * weight + bias,  z = (x - mean) * inv,
 *	inv = 1 / sqrt(var + eps), the variance biased
 *	dx = inv (g - sum(g) / n - z sum(g z) / n),  g = dy * weight
 *	dweight = sum over the rows of dy z,  dbias = of dy
 * mean and inv are kept for backward; both NULL: they are not.  weight and bias
 * may be NULL for 1 and 0, dx, dweight and dbias where they are not wanted.  y
 * may be x where no backward follows; dx may be dy.  scratch:
 * kernel_lnorm_scratch() floats.
 */
struct kernel_lnorm {
	int64_t n;
	float eps;
	const float *weight, *bias;             /* [n] */
	float *mean, *inv;                      /* [rows] */
};
void kernel_lnorm(const struct kernel_lnorm *l, size_t rows, const float *x,
    float *y);
size_t kernel_lnorm_scratch(int64_t n);
void kernel_lnorm_back(const struct kernel_lnorm *l, size_t rows,
    const float *x, const float *dy, bool add_dx, float *dx, bool add_dw,
    float *dweight, bool add_db, float *dbias, float *scratch);

/*
 * Attention (Vaswani et al., arXiv 1706.03762) of q, k, v [B,T,D] in heads of
 * W = D / heads columns, for each sample and head:
 *	P = softmax(q k^T / sqrt(W)) [T,T],  y = (P * m) v
 *	dv = (P * m)^T dy,  g = (dy v^T) * m,  s = P * (g - rowsum(P * g))
 *	dq = s k / sqrt(W),  dk = s^T q / sqrt(W)
 * mask [B,T] (or NULL): keys that are 0 there are left out; where all are, the
 * rows of P are 0.  m is dropout with probability p, scaled by 1 / (1 - p), and
 * `drop` NULL or its p 0: none; its `from` counts elements of P, so samples
 * before these times heads * T * T.  P [B,heads,T,T] is kept for backward; NULL
 * in inference: it is not.
 *
 * dq, dk and dv are written in this order and may be one array, as q, k and v
 * may: then add is true from the second on.  NULL: not wanted.
 * scratch: kernel_attention_scratch() floats.
 */
struct kernel_attention {
	int64_t T, D, heads;
	const struct kernel_drop *drop;
};
size_t kernel_attention_scratch(const struct kernel_attention *s);
void kernel_attention(const struct kernel_attention *s, int64_t B,
    const float *q, const float *k, const float *v, const float *mask,
    float *P, float *y, float *scratch);
void kernel_attention_back(const struct kernel_attention *s, int64_t B,
    const float *q, const float *k, const float *v, const float *P,
    const float *dy, bool add_dq, float *dq, bool add_dk, float *dk,
    bool add_dv, float *dv, float *scratch);

/* --- places (copies.c, broadcast.c, embedding.c) -------------------------- */

/*
 * y[o,i,.] (+)= x[o,from+i,.] for i < len, x being [outer,d,inner], and the
 * other way round: y[o,from+i,.] (+)= x[o,i,.], y being [outer,d,inner], of
 * which the rest is left as it is.  So
 *	slice    y = slice(x);   dx = 0 unless add, then dx (+)= place(dy)
 *	concat   y = place(x) for each input;  dx (+)= slice(dy)
 *	pad      y = value, y = place(x);      dx (+)= slice(dy)
 */
void kernel_slice(size_t outer, size_t d, size_t inner, size_t from, size_t len,
    const float *x, bool add, float *y);
void kernel_place(size_t outer, size_t d, size_t inner, size_t from, size_t len,
    const float *x, bool add, float *y);

/* Dimensions of an array here, that of the batch counted. */
#define KERNEL_DIMS 5

/* Dimension i of y is dimension order[i] of x[d]; y is not x.  Backward is the
 * same with the shape of dy and the inverse of the order. */
void kernel_transpose(int ndim, const int64_t *d, const int *order,
    const float *x, bool add, float *y);

/*
 * He et al. 2015 (arXiv 1512.03385), option A:  y[b, (out - c) / 2 + i, r, s] =
 * x[b, i, r stride, s stride], all else 0; y is [B, out, ceil(h / stride),
 * ceil(w / stride)], out >= c.
 */
void kernel_shortcut_a(int64_t B, int64_t c, int64_t h, int64_t w, int64_t out,
    int64_t stride, const float *x, float *y);
void kernel_shortcut_a_back(int64_t B, int64_t c, int64_t h, int64_t w,
    int64_t out, int64_t stride, const float *dy, bool add, float *dx);

/*
 * b[db] has as many dimensions as a[d], each as long as a's or 1, and counts
 * there for all:
 *	add:       y = a + b                  y may be a
 *	multiply:  y (+)= a * b               backward: da (+)= dy * b by the
 *	                                      same call
 *	reduce:    g[db] (+)= sum of dy, or with a of dy * a
 */
void kernel_broadcast_add(int ndim, const int64_t *d, const int64_t *db,
    const float *a, const float *b, float *y);
void kernel_broadcast_multiply(int ndim, const int64_t *d, const int64_t *db,
    const float *a, const float *b, bool add, float *y);
void kernel_reduce(int ndim, const int64_t *d, const int64_t *db,
    const float *dy, const float *a, bool add, float *g);

/*
 * y[i] = table[ids[i]], rows of `width` numbers; backward adds the rows of dy
 * up in their order, whatever the team.  The row `padding` (-1: none) gets no
 * gradient.  ids must be 0 to rows-1: kernel_first_outside() gives the place of
 * the first that is not, or n.
 */
size_t kernel_first_outside(const int32_t *ids, size_t n, int64_t rows);
void kernel_gather(int64_t width, size_t n, const int32_t *ids,
    const float *table, float *y);
void kernel_gather_back(int64_t rows, int64_t width, size_t n,
    const int32_t *ids, int64_t padding, const float *dy, bool add,
    float *dtable);

/*
 * Rows of a table by segment: ids[n][length], and y[i][t] is the row whose
 * number is how many of ids[i][0..t-1] are `separator`, at most rows - 1.
 * Backward each number of the table is a sum in the order of i and t; row
 * `padding` gets nothing (-1: none).
 */
struct kernel_segments {
	size_t n, length;
	int64_t rows, width;
	const int32_t *ids;
	int32_t separator;
	int64_t padding;
};
void kernel_segments(const struct kernel_segments *s, const float *table,
    float *y);
void kernel_segments_back(const struct kernel_segments *s, const float *dy,
    bool add, float *dtable);

/* x[n] `times` over; backward is kernel_col_sums(). */
void kernel_repeat(size_t times, size_t n, const float *x, float *y);

/* y[i] = 0 where ids[i] is padding, else 1. */
void kernel_token_mask(size_t n, const int32_t *ids, int32_t padding, float *y);

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
 *	LAMB      p -= lr * r, r = m * unbias / (sqrt(v) * root + eps) + decay *
 *	          p where kernel_lamb() has made m and v those of this step
 *
 * shadow, when not NULL, gets copies of the results: shadow[0] of p, the rest
 * of the slots; `stream` writes them past the caches, for arrays that are
 * larger than these.  What comes out depends on the machine's kind (with FMA or
 * without), but not on where an element lies.
 */
enum kernel_rule {
	KERNEL_SGD, KERNEL_MOMENTUM, KERNEL_NESTEROV, KERNEL_ADAM,
	KERNEL_RMSPROP, KERNEL_LAMB
};
struct kernel_update {
	enum kernel_rule rule;
	bool centered, with_momentum;           /* rmsprop */
	bool stream;
	float lr, decay, shrink, mu, take, alpha, alpha1, root, eps, unbias;
};
void kernel_update(const struct kernel_update *u, size_t n, float *p,
    const float *g, float *const *slot, float *const *shadow);

/* Lamb's moments, m = mu * m + take * g and v = alpha * v + alpha1 * g^2, and
 * the sums of p^2 and of r^2 (as above) in double, in an order that depends on
 * n alone. */
void kernel_lamb(const struct kernel_update *u, size_t n, const float *p,
    const float *g, float *m, float *v, double sums[2]);

/* The sum of x^2 in double, in an order that depends on n alone: the same bits
 * on every machine. */
double kernel_sum_squares(const float *x, size_t n);
void kernel_scale(float *x, size_t n, float by);
/* To -max..max; NaN stays NaN. */
void kernel_clamp(float *x, size_t n, float max);
/* a = keep * a + take * x; exchange a and b.  The two do not overlap. */
void kernel_average(float *a, const float *x, size_t n, float keep,
    float take);
void kernel_swap(float *a, float *b, size_t n);

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
