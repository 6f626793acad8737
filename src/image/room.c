/* The memory of a room. */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define ROOM_TAG 0x726f6f6du

struct image_room *
image_room_new(void)
{
	struct image_room *r = xcalloc(1, sizeof(*r));

	r->tag = ROOM_TAG;
	return r;
}

void
image_room_free(struct image_room *r)
{
	if (r == NULL)
		return;
	must_be(r, ROOM_TAG);
	free(r->picture[0].p);
	free(r->picture[1].p);
	free(r->rows.p);
	free(r->weights.p);
	jpeg_room_free(r->jpeg);
	r->tag = 0;
	free(r);
}

size_t
image_room_bytes(const struct image_room *r)
{
	return r->picture[0].cap + r->picture[1].cap + r->rows.cap +
	    r->weights.cap;
}

uint8_t *
room_get(struct room_block *b, size_t n)
{
	if (n > b->cap) {
		free(b->p);
		b->p = xmalloc(n);
		b->cap = n;
	}
	return b->p;
}

size_t
image_bytes(int64_t w, int64_t h, int channels)
{
	size_t n;

	must(w > 0 && h > 0 && (channels == 1 || channels == 3));
	must(rk_mul((size_t)w, (size_t)h, &n) &&
	    rk_mul(n, (size_t)channels, &n));
	return n;
}

static bool
is_in(const struct room_block *b, const uint8_t *p)
{
	return b->p != NULL && b->p == p;
}

uint8_t *
room_beside(struct image_room *r, const struct image *im, int64_t w,
    int64_t h, int channels)
{
	const bool first = is_in(&r->picture[0], im->pixels);

	return room_get(&r->picture[first ? 1 : 0],
	    image_bytes(w, h, channels));
}

void
room_own(struct image_room *r, struct image *im)
{
	const size_t n = image_bytes(im->w, im->h, im->channels);

	if (is_in(&r->picture[0], im->pixels) ||
	    is_in(&r->picture[1], im->pixels))
		return;
	uint8_t *p = room_get(&r->picture[0], n);
	memcpy(p, im->pixels, n);
	im->pixels = p;
}

/* --- pictures of the caller's --------------------------------------------- */

struct image
image_of(const uint8_t *pixels, int64_t w, int64_t h, int channels)
{
	must(image_bytes(w, h, channels) > 0);
	return (struct image){ .w = w, .h = h, .channels = channels,
		.pixels = (uint8_t *)(uintptr_t)pixels };
}

void
image_of_planes(struct image_room *r, const uint8_t *planes, int64_t w,
    int64_t h, int channels, struct image *out)
{
	const size_t n = image_bytes(w, h, 1);

	*out = image_of(planes, w, h, channels);
	if (channels == 1)
		return;
	uint8_t *p = room_get(&r->picture[0], 3 * n);
	for (size_t i = 0; i < n; i++) {
		p[3 * i] = planes[i];
		p[3 * i + 1] = planes[n + i];
		p[3 * i + 2] = planes[2 * n + i];
	}
	out->pixels = p;
}
