/*
 * depthwise - convolution where each group is one channel of the input; conv.c
 * calls it.  M is a multiple of the channels, w is [M, 1, kh, kw].
 */
#ifndef KERNEL_DEPTHWISE_H
#define KERNEL_DEPTHWISE_H

#include "rekindle/kernel.h"

void kernel_depthwise(const struct kernel_window *v, int64_t M, int64_t B,
    const float *x, const float *w, const float *b, bool relu, float *y);
void kernel_depthwise_back_data(const struct kernel_window *v, int64_t M,
    int64_t B, const float *w, const float *dy, bool add, float *dx);
void kernel_depthwise_back_weight(const struct kernel_window *v, int64_t M,
    int64_t B, const float *x, const float *dy, bool add, float *dw);

#endif
