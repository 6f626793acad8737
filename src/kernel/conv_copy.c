/* What loops that read over the edges of an image need: a row of it with zeros
 * around it, and places that fit their type. */
#include <string.h>

#include "conv_way.h"
#include "window.h"

static void
plain_row(const struct conv_image *im, int64_t b, int64_t y, int64_t from,
    int64_t n, float *to)
{
	const float *x = im->data + (b * im->c * im->h + y) * im->w + from;

	for (int64_t c = 0; c < im->c; c++, x += im->h * im->w)
		for (int64_t i = 0; i < n; i++)
			to[i * im->c + c] = x[i];
}

void
kernel_conv_row(const struct conv_image *im, int64_t b, int64_t block,
    int64_t y, int64_t x, int64_t n, float *to)
{
	const int64_t wide = im->layout == KERNEL_PLAIN ? im->c : KERNEL_BLOCK;
	const int64_t from = RK_MIN(RK_MAX(x, 0), im->w);
	const int64_t end = RK_MAX(RK_MIN(x + n, im->w), from);

	if (y < 0 || y >= im->h || from == end) {
		memset(to, 0, (size_t)(n * wide) * sizeof(*to));
		return;
	}
	memset(to, 0, (size_t)((from - x) * wide) * sizeof(*to));
	float *at = to + (from - x) * wide;
	if (im->layout == KERNEL_PLAIN)
		plain_row(im, b, y, from, end - from, at);
	else
		memcpy(at, im->data + (((b * kernel_blocks(im->c) + block) *
		    im->h + y) * im->w + from) * wide,
		    (size_t)((end - from) * wide) * sizeof(*to));
	memset(to + (end - x) * wide, 0, (size_t)((x + n - end) * wide) *
	    sizeof(*to));
}

bool
kernel_conv_fits(const struct kernel_conv_want *w, int64_t chunk)
{
	const struct kernel_window *v = &w->v;
	const int64_t least = RK_MIN(v->oh * v->ow, v->h * v->w /
	    (v->stride[0] * v->stride[1]));
	const int64_t samples = RK_MIN(w->B, chunk / RK_MAX(least, 1)) + 1;
	const int64_t down = v->k[0] * window_dilation(v, 0);
	const int64_t across = v->k[1] * window_dilation(v, 1);
	const double x = (double)kernel_blocks(v->c) * (double)(v->h +
	    2 * v->pad[0] + down) * (double)(v->w + 2 * v->pad[1] + across);
	const double y = (double)kernel_blocks(w->M) * (double)(v->oh +
	    v->h + 2 * down) * (double)(v->ow + v->w + 2 * across);

	return RK_MAX(x, y) * KERNEL_BLOCK * (double)samples < 0x1p31;
}
