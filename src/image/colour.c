/* Colours of pixels; image.h has the equations. */
#include <math.h>
#include <string.h>

#include "impl.h"

static uint8_t
cut(float v)
{
	return (uint8_t)(v <= 0 ? 0 : v >= 255 ? 255 : v);
}

/* Each byte by a table: base + f (x - base). */
static void
stretch(struct image_room *r, struct image *im, int base, float f)
{
	const size_t n = image_bytes(im->w, im->h, im->channels);
	uint8_t table[256];

	for (int v = 0; v < 256; v++)
		table[v] = cut((float)base + f * (float)(v - base));
	room_own(r, im);
	for (size_t i = 0; i < n; i++)
		im->pixels[i] = table[im->pixels[i]];
}

void
image_brightness(struct image_room *r, struct image *im, float f)
{
	stretch(r, im, 0, f);
}

void
image_contrast(struct image_room *r, struct image *im, float f)
{
	const size_t n = image_bytes(im->w, im->h, 1);
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += im->channels == 3 ? grey_of(im->pixels + 3 * i) :
		    im->pixels[i];
	stretch(r, im, (int)((double)sum / (double)n + 0.5), f);
}

void
image_saturation(struct image_room *r, struct image *im, float f)
{
	const size_t n = image_bytes(im->w, im->h, 1);

	if (im->channels == 1)
		return;
	room_own(r, im);
	for (size_t i = 0; i < n; i++) {
		uint8_t *p = im->pixels + 3 * i;
		const int g = (int)grey_of(p);
		for (int k = 0; k < 3; k++)
			p[k] = cut((float)g + f * (float)(p[k] - g));
	}
}

/* --- hue ------------------------------------------------------------------ */

struct hsv {
	uint8_t h, s, v;
};

static struct hsv
to_hsv(const uint8_t *p)
{
	const int r = p[0], g = p[1], b = p[2];
	const int most = RK_MAX(RK_MAX(r, g), b);
	const int least = RK_MIN(RK_MIN(r, g), b);
	struct hsv out = { .v = (uint8_t)most };

	if (most == least)
		return out;
	const float range = (float)(most - least);
	const float rc = (float)(most - r) / range;
	const float gc = (float)(most - g) / range;
	const float bc = (float)(most - b) / range;
	/* In sixths of the circle, red at 0; rounded to a float where PIL
	 * is. */
	const float sixths = (float)(r == most ? (double)bc - (double)gc :
	    g == most ? 2.0 + (double)rc - (double)bc :
	    4.0 + (double)gc - (double)rc);
	const float turns = (float)fmod((double)sixths / 6.0 + 1.0, 1.0);
	out.h = (uint8_t)((double)turns * 255.0);
	out.s = (uint8_t)((double)(range / (float)most) * 255.0);
	return out;
}

static uint8_t
round_byte(double v)
{
	return (uint8_t)(v + 0.5);
}

static void
from_hsv(struct hsv c, uint8_t *p)
{
	const double s = (double)(float)(c.s / 255.0);
	const float place = (float)(c.h * 6.0 / 255.0);
	const int sixth = (int)place;
	const double f = (double)(place - (float)sixth);
	const uint8_t v = c.v;
	const uint8_t low = round_byte(v * (1 - s));
	const uint8_t down = round_byte(v * (1 - s * f));
	const uint8_t up = round_byte(v * (1 - s * (1 - f)));
	const uint8_t of[6][3] = {
		{ v, up, low }, { down, v, low }, { low, v, up },
		{ low, down, v }, { up, low, v }, { v, low, down },
	};

	memcpy(p, of[sixth % 6], 3);
}

void
image_hue(struct image_room *r, struct image *im, float turns)
{
	const size_t n = image_bytes(im->w, im->h, 1);
	const uint8_t by = (uint8_t)(int)(turns * 255.0f);

	if (im->channels == 1 || by == 0)
		return;
	room_own(r, im);
	for (size_t i = 0; i < n; i++) {
		uint8_t *p = im->pixels + 3 * i;
		struct hsv c = to_hsv(p);
		c.h = (uint8_t)(c.h + by);
		from_hsv(c, p);
	}
}

/* --- numbers -------------------------------------------------------------- */

void
image_floats(const struct image *im, const float *scale, const float *shift,
    int64_t n, float *y)
{
	const size_t each = (size_t)im->channels;
	const size_t count = image_bytes(im->w, im->h, 1);

	must(n == 1 || n == (int64_t)each);
	for (size_t c = 0; c < each; c++) {
		const float a = scale[n == 1 ? 0 : c];
		const float b = shift[n == 1 ? 0 : c];
		const uint8_t *p = im->pixels + c;
		float *to = y + c * count;
		for (size_t i = 0; i < count; i++)
			to[i] = (float)p[i * each] * a + b;
	}
}
