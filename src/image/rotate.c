/*
 * Pictures turned by any angle.
 *
 * The place x, y (middles of pixels are at halves) of what is made comes from
 *
 *	u = cos (x - w/2) - sin (y - h/2) + w/2
 *	v = sin (x - w/2) + cos (y - h/2) + h/2
 *
 * which turns counter-clockwise, rows counting downwards.  Sine and cosine are
 * worked out here, because those of a C library may differ in the last bit
 * between CPUs.
 */
#include <math.h>
#include <string.h>

#include "impl.h"

/* --- sine and cosine ------------------------------------------------------ */

/* Of |x| <= pi/4, by their series: the last terms are below 2^-60. */
static double
sine(double x)
{
	double term = x, sum = x;

	for (int k = 1; k <= 10; k++) {
		term *= -x * x / ((2 * k) * (2 * k + 1));
		sum += term;
	}
	return sum;
}

static double
cosine(double x)
{
	double term = 1, sum = 1;

	for (int k = 1; k <= 10; k++) {
		term *= -x * x / ((2 * k - 1) * (2 * k));
		sum += term;
	}
	return sum;
}

static void
turn_of(double degrees, double *s, double *c)
{
	const double quarters = nearbyint(degrees / 90);
	const double rest = (degrees - 90 * quarters) * (M_PI / 180);
	const double sr = sine(rest), cr = cosine(rest);

	switch (((int)fmod(quarters, 4) + 4) % 4) {
	case 0:
		*s = sr;
		*c = cr;
		break;
	case 1:
		*s = cr;
		*c = -sr;
		break;
	case 2:
		*s = -sr;
		*c = -cr;
		break;
	default:
		*s = -cr;
		*c = sr;
		break;
	}
}

/* --- pixels --------------------------------------------------------------- */

static void
put_nearest(const struct image *im, double u, double v, uint8_t *to)
{
	const int64_t x = (int64_t)u, y = (int64_t)v;

	memcpy(to, im->pixels + (size_t)(y * im->w + x) * (size_t)im->channels,
	    (size_t)im->channels);
}

/* Between four pixels; beyond the outermost middles the edge goes on. */
static void
put_bilinear(const struct image *im, double u, double v, uint8_t *to)
{
	const double fx = floor(u - 0.5), fy = floor(v - 0.5);
	const double dx = u - 0.5 - fx, dy = v - 0.5 - fy;
	const int64_t x0 = RK_MAX((int64_t)fx, 0), y0 = RK_MAX((int64_t)fy, 0);
	const int64_t x1 = RK_MIN((int64_t)fx + 1, im->w - 1);
	const int64_t y1 = RK_MIN((int64_t)fy + 1, im->h - 1);
	const int n = im->channels;
	const uint8_t *a = im->pixels + (size_t)(y0 * im->w) * (size_t)n;
	const uint8_t *b = im->pixels + (size_t)(y1 * im->w) * (size_t)n;

	for (int k = 0; k < n; k++) {
		const double p = a[x0 * n + k], q = a[x1 * n + k];
		const double r = b[x0 * n + k], s = b[x1 * n + k];
		const double up = p + (q - p) * dx, low = r + (s - r) * dx;
		to[k] = (uint8_t)(up + (low - up) * dy + 0.5);
	}
}

void
image_rotate(struct image_room *r, struct image *im, double degrees,
    bool bilinear, uint8_t fill)
{
	const double w = (double)im->w, h = (double)im->h;
	uint8_t *to = room_beside(r, im, im->w, im->h, im->channels), *at = to;
	double s, c;

	turn_of(degrees, &s, &c);
	for (int64_t y = 0; y < im->h; y++) {
		const double dy = (double)y + 0.5 - h / 2;
		for (int64_t x = 0; x < im->w; x++, at += im->channels) {
			const double dx = (double)x + 0.5 - w / 2;
			const double u = c * dx - s * dy + w / 2;
			const double v = s * dx + c * dy + h / 2;
			if (!(u >= 0 && u < w && v >= 0 && v < h))
				memset(at, fill, (size_t)im->channels);
			else if (bilinear)
				put_bilinear(im, u, v, at);
			else
				put_nearest(im, u, v, at);
		}
	}
	im->pixels = to;
}
