/*
 * kernel_blocked - what there is beside convolutions for blocked images, whose
 * layout is that of kernel_conv.h.  What works on each number by itself takes a
 * blocked image as an array; batch norm has a flag for it (kernel.h).
 *
 * A piece of work is some places of one block of one sample, or more of these
 * where they are small.  Lanes behind the last channel come out as 0 where they
 * went in so.
 */
#ifndef REKINDLE_KERNEL_BLOCKED_H
#define REKINDLE_KERNEL_BLOCKED_H

#include "rekindle/kernel_conv.h"

/*
 * As kernel_max_pool() and its like, for blocked x, y, dy and dx; at[] is
 * blocked as y is, and has the place in the plane.  A mean is taken over the
 * window of kernel_avg_pool(), or with `adaptive` over that of
 * kernel_adaptive_avg_pool().
 */
void kernel_blocked_max(const struct kernel_window *v, int64_t B,
    const float *x, float *y, int32_t *at);
void kernel_blocked_max_back(const struct kernel_window *v, int64_t B,
    const float *dy, const int32_t *at, bool add, float *dx);
void kernel_blocked_mean(const struct kernel_window *v, bool adaptive,
    int64_t B, const float *x, float *y);
void kernel_blocked_mean_back(const struct kernel_window *v, bool adaptive,
    int64_t B, const float *dy, bool add, float *dx);

/* y[b,c,.] (+)= x[b,c,.] s[b,c] for images of `plane` places and s of one. */
void kernel_blocked_gate(int64_t B, int64_t c, int64_t plane, const float *x,
    const float *s, bool add, float *y);
/* s[b,c] (+)= sum over the places of x[b,c,.] y[b,c,.] */
void kernel_blocked_dots(int64_t B, int64_t c, int64_t plane, const float *x,
    const float *y, bool add, float *s);

/* As kernel_shortcut_a(); (out - c) / 2 is a multiple of KERNEL_BLOCK. */
void kernel_blocked_shortcut(int64_t B, int64_t c, int64_t h, int64_t w,
    int64_t out, int64_t stride, const float *x, float *y);
void kernel_blocked_shortcut_back(int64_t B, int64_t c, int64_t h, int64_t w,
    int64_t out, int64_t stride, const float *dy, bool add, float *dx);

#endif
