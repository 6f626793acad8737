/*
 * window - one output row of a moving window: which part of an input row it
 * reads, for one place (i, j) inside the window.
 */
#ifndef KERNEL_WINDOW_H
#define KERNEL_WINDOW_H

#include "rekindle/kernel.h"

static inline int64_t
window_dilation(const struct kernel_window *v, int side)
{
	return RK_MAX(v->dilation[side], 1);
}

static inline int64_t
window_groups(const struct kernel_window *v)
{
	return RK_MAX(v->groups, 1);
}

/* Several groups, each of one channel of the input. */
static inline bool
window_is_depthwise(const struct kernel_window *v)
{
	return v->groups > 1 && v->groups == v->c;
}

/* Outputs [*from, *to) read inside the image at column j of the window; the
 * first of them reads column *first of the image. */
static inline void
window_span(const struct kernel_window *v, int64_t j, int64_t *from,
    int64_t *to, int64_t *first)
{
	const int64_t s = v->stride[1];
	const int64_t off = j * window_dilation(v, 1) - v->pad[1];
	int64_t lo = off < 0 ? (-off + s - 1) / s : 0;
	int64_t hi = off < v->w ? (v->w - off + s - 1) / s : 0;

	hi = RK_MIN(hi, v->ow);
	lo = RK_MIN(lo, hi);
	*from = lo;
	*to = hi;
	*first = lo * s + off;
}

/*
 * Window o of a pool along one side: pixels from to to-1, and by how many its
 * mean is divided there.  Those beyond the padding behind the image are none.
 */
static inline void
window_side(const struct kernel_window *v, int s, int64_t o, bool adaptive,
    int64_t *from, int64_t *to, int64_t *count)
{
	const int64_t size = s == 0 ? v->h : v->w;
	const int64_t out = s == 0 ? v->oh : v->ow;
	const int64_t at = o * v->stride[s] - v->pad[s];

	if (adaptive) {
		*from = o * size / out;
		*to = ((o + 1) * size + out - 1) / out;
	} else {
		*from = RK_MAX(at, 0);
		*to = RK_MIN(at + v->k[s], size);
	}
	*count = adaptive || v->exclude_pad ? *to - *from :
	    RK_MIN(at + v->k[s], size + v->pad[s]) - at;
}

#endif
