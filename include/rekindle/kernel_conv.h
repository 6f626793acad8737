/*
 * kernel_conv - layouts of images, and convolutions that are prepared for a
 * shape.
 *
 * Layouts.  An image of c channels and h x w places is, for each sample,
 *
 *	plain      [c, h, w]
 *	blocked    [ceil(c / KERNEL_BLOCK), h, w, KERNEL_BLOCK]: the channels of
 *	           a block lie side by side, so that a vector holds one place of
 *	           all of them
 *
 * Lanes behind the last channel are zero, in values and in gradients: who
 * writes a blocked image writes zeros there, who reads one may add them up.
 * Where KERNEL_BLOCK divides c and an image has one place, both are the same
 * bytes.
 */
#ifndef REKINDLE_KERNEL_CONV_H
#define REKINDLE_KERNEL_CONV_H

#include "rekindle/kernel.h"

#ifndef KERNEL_BLOCK
#define KERNEL_BLOCK 8                  /* 16 is compiled by the tests */
#endif

enum kernel_layout { KERNEL_PLAIN, KERNEL_BLOCKED };

static inline int64_t
kernel_blocks(int64_t c)
{
	return (c + KERNEL_BLOCK - 1) / KERNEL_BLOCK;
}

/* Floats of a sample's image of `plane` places. */
static inline int64_t
kernel_image_floats(enum kernel_layout l, int64_t c, int64_t plane)
{
	return l == KERNEL_PLAIN ? c * plane :
	    kernel_blocks(c) * KERNEL_BLOCK * plane;
}

/* y (+)= x in the other layout; B samples, y is not x. */
void kernel_to_blocked(int64_t B, int64_t c, int64_t plane, const float *x,
    bool add, float *y);
void kernel_to_plain(int64_t B, int64_t c, int64_t plane, const float *x,
    bool add, float *y);

/*
 * A convolution with everything about it that depends on its shape worked out:
 * how it is computed, in what pieces, with what scratch.  The maths is that of
 * kernel_conv(); weights and their gradients are plain, [M,c/groups,kh,kw],
 * and are packed anew in each call.
 *
 * Ways, by shape alone (and by the CPU and the libraries, which
 * kernel_arithmetic() names):
 *
 *	PLAIN       kernel_conv(): im2col and the product.  A blocked operand is
 *	            brought over and back: right for every shape, fast for none
 *	DIRECT      as the formula says, by blocks: by oneDNN, a piece on one
 *	            thread, or by loops of our own
 *	WINOGRAD    F(4x4,3x3), only where `fast` allows it: other last bits,
 *	            and errors some ten times larger
 *	PRODUCT     1x1 as a matrix product
 *	DEPTHWISE   one channel a group
 */
enum kernel_conv_way {
	KERNEL_CONV_PLAIN, KERNEL_CONV_DIRECT, KERNEL_CONV_WINOGRAD,
	KERNEL_CONV_PRODUCT, KERNEL_CONV_DEPTHWISE
};
enum kernel_conv_pass {
	KERNEL_CONV_FORWARD, KERNEL_CONV_DATA, KERNEL_CONV_WEIGHT,
	KERNEL_CONV_PASSES
};
extern const char *const kernel_conv_words[];   /* of the ways: "winograd" */

struct kernel_conv_want {
	struct kernel_window v;
	int64_t M, B;                   /* channels out; samples, at most */
	enum kernel_layout x, y;        /* of x and dx, of y and dy */
	bool fast;
};

/* The caller's; never NULL.  It holds no memory that a step writes: a plan may
 * serve several networks, one after another.  It is for the team that is there
 * when it is made: kernel_init() comes first. */
struct kernel_conv_plan;
struct kernel_conv_plan *kernel_conv_plan(const struct kernel_conv_want *w);
void kernel_conv_plan_free(struct kernel_conv_plan *p);
size_t kernel_conv_plan_scratch(const struct kernel_conv_plan *p); /* floats */
enum kernel_conv_way kernel_conv_plan_way(const struct kernel_conv_plan *p,
    enum kernel_conv_pass pass);
/* What a sample's three passes (data only with `data`) take, in microseconds of
 * one core of a common machine: for choosing between layouts, so it is counted
 * from the shape and never timed. */
double kernel_conv_plan_cost(const struct kernel_conv_plan *p, bool data);

/* B may be any number up to the plan's. */
void kernel_conv_run(const struct kernel_conv_plan *p, int64_t B,
    const float *x, const float *w, const float *b, bool relu, float *y,
    float *scratch);
void kernel_conv_run_data(const struct kernel_conv_plan *p, int64_t B,
    const float *w, const float *dy, bool add, float *dx, float *scratch);
void kernel_conv_run_weight(const struct kernel_conv_plan *p, int64_t B,
    const float *x, const float *dy, bool add, float *dw, float *scratch);
void kernel_conv_run_bias(const struct kernel_conv_plan *p, int64_t B,
    const float *dy, bool add, float *db);

#endif
