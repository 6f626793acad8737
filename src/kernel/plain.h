/*
 * plain - the loops of kernel as their formulas say them, for one piece of work
 * and one thread, without vector types.  They are what the product uses where
 * nothing faster is there, and, compiled for double by the tests, the oracle of
 * all the rest: gradients are compared with differences there.
 *
 * Written once: whoever includes plain_decl.inc and the other .inc files says
 * what REAL is and what, by P(name), the functions are called: float here.
 */
#ifndef KERNEL_PLAIN_H
#define KERNEL_PLAIN_H

#include "rekindle/kernel.h"

/*
 * Dimensions of a, joined where they can be, and the stride of b in each: 0
 * where b's one element counts for all.  That of the last dimension is 0 or 1.
 */
struct kernel_cast {
	int ndim;
	size_t d[KERNEL_DIMS], s[KERNEL_DIMS];
};

/* Columns or elements that are summed side by side, in double. */
#define KERNEL_REDUCE ((size_t)64)

#define REAL    float
#define P(name) kernel_plain_##name
#include "plain_decl.inc"

#endif
