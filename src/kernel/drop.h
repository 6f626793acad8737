/*
 * drop - dropout's factors, which attention draws for itself.
 */
#ifndef KERNEL_DROP_H
#define KERNEL_DROP_H

#include "rekindle/kernel.h"

/* m[i] of kernel_drop() for elements first to first + n - 1 of a call. */
void kernel_drop_factors(const struct kernel_drop *d, uint64_t first, size_t n,
    float *m);

#endif
