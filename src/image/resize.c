/*
 * Bilinear and antialiased resizing, in whole numbers: image.h has the
 * equation.
 *
 * First each row becomes shorter, then the rows become fewer, with a byte
 * between.  Sums are of whole numbers and stay below 2^31 (255 * 2^22, and the
 * weights of a pixel add up to 2^22 within one each), so that the order of
 * terms and the instructions do not matter: the inner loops are compiled twice,
 * and the CPU chooses.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define BITS 22
#define HALF (1 << (BITS - 1))

/* Where the pixels of one direction come from: of `from` pixels what begins at
 * `first` and is `length` long. */
struct span {
	int64_t from;
	double first, length;
	int64_t to;                     /* pixels that are made */
};

struct axis {
	int64_t to;                     /* pixels that are made */
	int64_t taps;                   /* weights that each has room for */
	int32_t *first, *count;         /* of the pixels that each is made of */
	int32_t *weight;                /* [to][taps] */
};

static int64_t
taps_of(const struct span *s)
{
	return 2 * (int64_t)ceil(fmax(s->length / (double)s->to, 1)) + 1;
}

static double
triangle(double x)
{
	x = fabs(x);
	return x < 1 ? 1 - x : 0;
}

static void
weigh(const struct axis *a, int64_t i, const struct span *s)
{
	const double scale = s->length / (double)a->to;
	const double support = fmax(scale, 1), each = 1 / support;
	const double centre = s->first + ((double)i + 0.5) * scale;
	const int64_t first = RK_MAX((int64_t)(centre - support + 0.5), 0);
	const int64_t end = RK_MIN((int64_t)(centre + support + 0.5), s->from);
	int32_t *w = a->weight + i * a->taps;
	double sum = 0;

	must(end > first && end - first <= a->taps);
	a->first[i] = (int32_t)first;
	a->count[i] = (int32_t)(end - first);
	for (int64_t k = first; k < end; k++)
		sum += triangle(((double)k - centre + 0.5) * each);
	for (int64_t k = first; k < end; k++) {
		const double part = triangle(((double)k - centre + 0.5) *
		    each) / sum;
		w[k - first] = (int32_t)(0.5 + part * (1 << BITS));
	}
}

static size_t
axis_words(const struct span *s)
{
	return (size_t)s->to * (size_t)(2 + taps_of(s));
}

/* In memory of axis_words(); which it is, is said by where it ends. */
static int32_t *
axis_make(struct axis *a, const struct span *s, int32_t *memory)
{
	*a = (struct axis){ .to = s->to, .taps = taps_of(s),
		.first = memory, .count = memory + s->to,
		.weight = memory + 2 * s->to };
	for (int64_t i = 0; i < s->to; i++)
		weigh(a, i, s);
	return memory + axis_words(s);
}

/* All the pixels as they are. */
static bool
stays(const struct span *s)
{
	return s->from == s->to && !(s->first > 0) &&
	    !(s->length < (double)s->from);
}

static inline uint8_t
to_byte(int32_t sum)
{
	const int32_t v = sum >> BITS;

	return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* --- rows ----------------------------------------------------------------- */

static void
row_of_colours(const struct axis *a, const uint8_t *x, uint8_t *y)
{
	for (int64_t i = 0; i < a->to; i++, y += 3) {
		const int32_t *w = a->weight + i * a->taps;
		const uint8_t *p = x + 3 * (size_t)a->first[i];
		int32_t r = HALF, g = HALF, b = HALF;

		for (int32_t k = 0; k < a->count[i]; k++, p += 3) {
			r += w[k] * p[0];
			g += w[k] * p[1];
			b += w[k] * p[2];
		}
		y[0] = to_byte(r);
		y[1] = to_byte(g);
		y[2] = to_byte(b);
	}
}

static void
row_of_greys(const struct axis *a, const uint8_t *x, uint8_t *y)
{
	for (int64_t i = 0; i < a->to; i++) {
		const int32_t *w = a->weight + i * a->taps;
		const uint8_t *p = x + a->first[i];
		int32_t v = HALF;

		for (int32_t k = 0; k < a->count[i]; k++)
			v += w[k] * p[k];
		y[i] = to_byte(v);
	}
}

/* --- columns -------------------------------------------------------------- */

#define BLOCK 32

/* y = sum_k w[k] x[k], of n rows that lie `width` apart. */
static inline __attribute__((always_inline)) void
add_rows(const int32_t *w, int32_t n, const uint8_t *x, size_t width,
    uint8_t *y)
{
	size_t at = 0;

	for (; at + BLOCK <= width; at += BLOCK) {
		int32_t sum[BLOCK];
		for (int i = 0; i < BLOCK; i++)
			sum[i] = HALF;
		for (int32_t k = 0; k < n; k++) {
			const uint8_t *p = x + (size_t)k * width + at;
			for (int i = 0; i < BLOCK; i++)
				sum[i] += w[k] * p[i];
		}
		for (int i = 0; i < BLOCK; i++)
			y[at + (size_t)i] = to_byte(sum[i]);
	}
	for (; at < width; at++) {
		int32_t sum = HALF;
		for (int32_t k = 0; k < n; k++)
			sum += w[k] * x[(size_t)k * width + at];
		y[at] = to_byte(sum);
	}
}

static void
add_rows_plain(const int32_t *w, int32_t n, const uint8_t *x, size_t width,
    uint8_t *y)
{
	add_rows(w, n, x, width, y);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void
add_rows_avx2(const int32_t *w, int32_t n, const uint8_t *x, size_t width,
    uint8_t *y)
{
	add_rows(w, n, x, width, y);
}
#endif

static void
columns(const struct axis *a, const uint8_t *x, size_t width, uint8_t *y)
{
	void (*add)(const int32_t *, int32_t, const uint8_t *, size_t,
	    uint8_t *) = add_rows_plain;

#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx2"))
		add = add_rows_avx2;
#endif
	for (int64_t i = 0; i < a->to; i++)
		add(a->weight + i * a->taps, a->count[i],
		    x + (size_t)a->first[i] * width, width,
		    y + (size_t)i * width);
}

/* --- both ----------------------------------------------------------------- */

static void
rows(const struct axis *a, const struct image *im, uint8_t *y)
{
	const size_t from = (size_t)(im->w * im->channels);
	const size_t to = (size_t)(a->to * im->channels);

	for (size_t i = 0; i < (size_t)im->h; i++) {
		if (im->channels == 3)
			row_of_colours(a, im->pixels + i * from, y + i * to);
		else
			row_of_greys(a, im->pixels + i * from, y + i * to);
	}
}

void
image_resize_box(struct image_room *r, struct image *im,
    const struct image_box *box, int64_t w, int64_t h)
{
	const struct span along = { im->w, box->x, box->w, w };
	const struct span down = { im->h, box->y, box->h, h };
	const size_t middle = image_bytes(w, im->h, im->channels);
	const size_t words = axis_words(&along) + axis_words(&down);
	struct axis x_axis, y_axis;

	must(box->x >= 0 && box->w > 0 && box->x + box->w <= (double)im->w &&
	    box->y >= 0 && box->h > 0 && box->y + box->h <= (double)im->h);
	if (stays(&along) && stays(&down))
		return;
	int32_t *memory = (int32_t *)(void *)room_get(&r->weights,
	    words * sizeof(*memory));
	axis_make(&y_axis, &down, axis_make(&x_axis, &along, memory));
	uint8_t *to = room_beside(r, im, w, h, im->channels);
	const uint8_t *x = im->pixels;
	if (!stays(&along)) {
		uint8_t *y = stays(&down) ? to : room_get(&r->rows, middle);
		rows(&x_axis, im, y);
		x = y;
	}
	if (!stays(&down))
		columns(&y_axis, x, (size_t)(w * im->channels), to);
	im->w = w;
	im->h = h;
	im->pixels = to;
}

void
image_resize(struct image_room *r, struct image *im, int64_t w, int64_t h)
{
	const struct image_box all = { .w = (double)im->w,
		.h = (double)im->h };

	image_resize_box(r, im, &all, w, h);
}
