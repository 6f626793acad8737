/*
 * loops - the inner loops of kernel: one thread, one piece, no checks.
 *
 * Written once, in loops.inc and what it includes, with the compiler's vector
 * types, and compiled twice: for any CPU with four lanes, for AVX2 and FMA with
 * eight.  Which table is used is decided by the CPU alone (REKINDLE_SIMD=plain
 * asks for the first), so machines of one class get the same bits.  Where there
 * is AVX-512, some are taken from a third table, with sixteen lanes and the
 * bits of the second (REKINDLE_SIMD=avx2: they are not).
 */
#ifndef KERNEL_LOOPS_H
#define KERNEL_LOOPS_H

#include "rekindle/kernel_conv.h"

struct kernel_ce {              /* one row of softmax and cross entropy */
	int64_t classes;
	double smoothing;
	float scale;            /* of the gradient: 1 / rows */
};

struct kernel_lanes {           /* of each lane of a place */
	float mean[KERNEL_BLOCK], a[KERNEL_BLOCK], b[KERNEL_BLOCK];
};

/* The gradient dy of y, and the activation between, one of kernel_in_lanes().
 * A relu's is masked by y; y NULL: that of each by what it can make again,
 * where there was no r.  dr (may be NULL) is (+)= the gradient behind it. */
struct kernel_lane_back {
	const float *x, *y, *dy;
	enum kernel_act act;
	bool add_dr, add_dx;
	float *dr, *dx;
};

/* Those of most networks of images. */
static inline bool
kernel_in_lanes(enum kernel_act f)
{
	return f == KERNEL_NO_ACT || f == KERNEL_RELU || f == KERNEL_RELU6 ||
	    f == KERNEL_HARD_SWISH;
}

struct kernel_lnorm_row {       /* backward of one row of layer norm */
	float mean, inv;
	const float *weight;            /* or NULL */
	float *dw, *db;                 /* added to; or NULL */
};

struct kernel_loops {
	/* y += b, or relu of that; b NULL counts as 0.  bias1: b is a number */
	void (*bias)(float *y, size_t n, const float *b, bool relu);
	void (*bias1)(float *y, size_t n, float b, bool relu);
	void (*add)(float *y, const float *x, size_t n);
	void (*mul)(float *y, const float *x, const float *by, bool add,
	    size_t n);

	void (*scaled)(float *y, const float *x, float by, bool add, size_t n);

	/* y = f(x); y may be x.  See kernel_activate(). */
	void (*act)(const struct kernel_activation *f, const float *x,
	    float *y, size_t n);
	void (*act_back)(const struct kernel_activation *f, const float *ref,
	    const float *dy, bool add, float *dx, size_t n);

	/* s[j] (+)= sum over rows of a[.][j].  With y: the rows of a are
	 * masked by y > 0 first, and stored. */
	void (*col_sums)(float *a, size_t lda, size_t rows, size_t n,
	    const float *y, bool add, float *s);

	/* Sum of x, of x*y, of (x - mean)^2 in a fixed order. */
	double (*sum)(const float *x, size_t n);
	double (*dot)(const float *x, const float *y, size_t n);
	double (*spread)(const float *x, size_t n, float mean);

	/* y = (x - mean) * a + b, by columns. */
	void (*norm_each)(const float *x, float *y, size_t n,
	    const float *mean, const float *a, const float *b);
	/* dx (+)= a*dy + b*(x - mean) + c */
	void (*norm_back_each)(const float *x, const float *dy, bool add,
	    float *dx, size_t n, const float *mean, const float *a,
	    const float *b, const float *c);

	/*
	 * Runs of n numbers, the lane of each being its place modulo
	 * KERNEL_BLOCK: sums of each lane, y = (x - mean) a + b, then + r where
	 * that is not NULL, then an activation, one of kernel_in_lanes(); and
	 * backward, d being dy behind that, the sums of d and of d (x - mean),
	 * and dx (+)= a d + c1 (x - mean) + c0.
	 */
	void (*lane_sums)(const float *x, size_t n, double *sum,
	    double *squares);
	void (*lane_norm)(const struct kernel_lanes *p, const float *x,
	    const float *r, enum kernel_act act, float *y, size_t n);
	void (*lane_back_sums)(const struct kernel_lanes *p,
	    const struct kernel_lane_back *b, size_t n, double *sum,
	    double *sumx);
	void (*lane_back)(const struct kernel_lanes *p,
	    const struct kernel_lane_back *b, const float *c1, const float *c0,
	    size_t n);
	/* Of statistics that are constants; dx may be NULL. */
	void (*lane_back_scaled)(const struct kernel_lanes *p,
	    const struct kernel_lane_back *b, size_t n);

	/* A block of one sample: kernel_blocked.h.  The gradients of means are
	 * added. */
	void (*blocked_max)(const struct kernel_window *v, const float *x,
	    float *y, int32_t *at);
	void (*blocked_max_back)(const struct kernel_window *v,
	    const float *dy, const int32_t *at, bool add, float *dx);
	void (*blocked_mean)(const struct kernel_window *v, bool adaptive,
	    const float *x, float *y);
	void (*blocked_mean_back)(const struct kernel_window *v, bool adaptive,
	    const float *dy, float *dx);
	void (*blocked_gate)(const float *x, const float *s, bool add,
	    float *y, size_t plane);
	void (*blocked_dots)(const float *x, const float *y, bool add,
	    float *s, size_t plane);
	/* `lanes` planes to a block, whose other lanes are 0; and back. */
	void (*to_block)(const float *x, size_t lanes, bool add, float *y,
	    size_t plane);
	void (*from_block)(const float *x, size_t lanes, bool add, float *y,
	    size_t plane);

	/* One row of kernel_softmax() of scale * x, 0 where mask (may be NULL)
	 * is, and of kernel_lnorm(); weight and bias may be NULL. */
	void (*softmax)(const float *x, float scale, const float *mask,
	    float *y, size_t n);
	void (*softmax_back)(const float *y, const float *dy, float scale,
	    bool add, float *dx, size_t n);
	void (*lnorm)(const float *x, float *y, size_t n, float mean,
	    float inv, const float *weight, const float *bias);
	void (*lnorm_back)(const struct kernel_lnorm_row *r, const float *x,
	    const float *dy, bool add, float *dx, size_t n);

	/* The loss of one row of logits for class y; its gradient to d unless
	 * that is NULL; *right: y has the (first) largest logit. */
	double (*cross_entropy)(const float *z, const struct kernel_ce *ce,
	    int32_t y, float *d, bool *right);
};

extern const struct kernel_loops kernel_loops_plain, kernel_loops_fast;
extern const struct kernel_loops kernel_loops_widest;   /* some only */
const struct kernel_loops *kernel_loops(void);

#endif
