/*
 * parts - sums over rows that pieces of a job make for themselves, so many rows
 * each, and that are then added in the order of the pieces.
 */
#ifndef KERNEL_PARTS_H
#define KERNEL_PARTS_H

#include "rekindle/kernel.h"

/* Parts at most, for jobs of any length: memory for them is known by the
 * width. */
#define PARTS_MOST ((size_t)64)

/* Rows of n numbers in a piece of some `numbers`. */
static inline size_t
parts_rows(size_t rows, size_t n, size_t numbers)
{
	return RK_MAX(RK_MAX(numbers / n, 1u),
	    (rows + PARTS_MOST - 1) / PARTS_MOST);
}

/* y[j] (+)= the sum of p[i * stride + j] over i < parts, in double; j < n */
void kernel_sum_parts(const float *p, size_t parts, size_t stride, size_t n,
    bool add, float *y);

#endif
