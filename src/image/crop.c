/* Parts of pictures, and pictures turned by quarters. */
#include <string.h>

#include "impl.h"

/* --- parts ---------------------------------------------------------------- */

void
image_crop(struct image_room *r, struct image *im,
    const struct image_part *part, uint8_t fill)
{
	const size_t each = (size_t)im->channels;
	const int64_t left = RK_MAX(part->x, 0), top = RK_MAX(part->y, 0);
	const int64_t right = RK_MIN(part->x + part->w, im->w);
	const int64_t bottom = RK_MIN(part->y + part->h, im->h);
	const bool inside = right - left == part->w &&
	    bottom - top == part->h;

	if (inside && part->w == im->w && part->h == im->h)
		return;
	uint8_t *to = room_beside(r, im, part->w, part->h, im->channels);
	if (!inside)
		memset(to, fill, image_bytes(part->w, part->h, im->channels));
	for (int64_t y = top; right > left && y < bottom; y++)
		memcpy(to + (size_t)((y - part->y) * part->w + left - part->x) *
		    each, im->pixels + (size_t)(y * im->w + left) * each,
		    (size_t)(right - left) * each);
	im->w = part->w;
	im->h = part->h;
	im->pixels = to;
}

/* --- turned --------------------------------------------------------------- */

/*
 * Where the pixel at x, y of the turned picture comes from: at `first` + x * dx
 * + y * dy, in pixels of the picture as it is stored.
 */
struct walk {
	int64_t first, dx, dy;
};

struct image_turn
image_turn_of(int orientation)
{
	return (struct image_turn){
		.turned = orientation >= 5,
		.from_right = orientation == 2 || orientation == 3 ||
		    orientation == 7 || orientation == 8,
		.from_below = orientation == 3 || orientation == 4 ||
		    orientation == 6 || orientation == 7 };
}

static struct walk
walk_of(const struct image *im, int orientation)
{
	const struct image_turn t = image_turn_of(orientation);
	const int64_t along = t.from_right ? -1 : 1;
	const int64_t down = t.from_below ? -im->w : im->w;

	return (struct walk){
		.first = (t.from_right ? im->w - 1 : 0) +
		    (t.from_below ? (im->h - 1) * im->w : 0),
		.dx = t.turned ? down : along, .dy = t.turned ? along : down };
}

static void
copy_colours(uint8_t *to, const uint8_t *from, int64_t n, int64_t step)
{
	for (int64_t i = 0; i < n; i++, to += 3, from += 3 * step) {
		to[0] = from[0];
		to[1] = from[1];
		to[2] = from[2];
	}
}

static void
copy_greys(uint8_t *to, const uint8_t *from, int64_t n, int64_t step)
{
	for (int64_t i = 0; i < n; i++, from += step)
		to[i] = *from;
}

void
image_orient(struct image_room *r, struct image *im, int orientation)
{
	must(orientation >= 1 && orientation <= 8);
	if (orientation == 1)
		return;
	const struct walk k = walk_of(im, orientation);
	const bool turned = image_turn_of(orientation).turned;
	const int64_t w = turned ? im->h : im->w;
	const int64_t h = turned ? im->w : im->h;
	uint8_t *to = room_beside(r, im, w, h, im->channels);

	for (int64_t y = 0; y < h; y++) {
		const uint8_t *from = im->pixels +
		    (k.first + y * k.dy) * im->channels;
		if (im->channels == 3)
			copy_colours(to + 3 * y * w, from, w, k.dx);
		else
			copy_greys(to + y * w, from, w, k.dx);
	}
	im->w = w;
	im->h = h;
	im->pixels = to;
}
