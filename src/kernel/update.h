/*
 * update - what the tests of update.c see besides kernel.h: the same step with
 * the plain loops or with the fast ones.  fast only if fast_cpu().
 */
#ifndef KERNEL_UPDATE_H
#define KERNEL_UPDATE_H

#include "rekindle/kernel.h"

void kernel_update_as(bool fast, const struct kernel_update *u, size_t n,
    float *p, const float *g, float *const *slot, float *const *shadow);
void kernel_lamb_as(bool fast, const struct kernel_update *u, size_t n,
    const float *p, const float *g, float *m, float *v, double sums[2]);

#endif
