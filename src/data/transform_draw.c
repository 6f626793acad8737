/*
 * What transforms draw.
 *
 * Sums, products, quotients and square roots of doubles are the same on all
 * machines; e^x and log x are made of these here.
 */
#include <math.h>

#include "transform_draw.h"

/* --- numbers -------------------------------------------------------------- */

/* 2^k e^r, r within half of log 2: its series to below 2^-60. */
double
transform_exp(double x)
{
	if (x > 700)
		x = 700;
	if (x < -700)
		return 0;
	const double k = nearbyint(x / M_LN2), r = x - k * M_LN2;
	double term = 1, sum = 1;

	for (int i = 1; i <= 18; i++) {
		term *= r / i;
		sum += term;
	}
	return ldexp(sum, (int)k);
}

/* x = m 2^k, m from 1/2: log m = 2 artanh z, z = (m - 1) / (m + 1) of at most
 * a third. */
double
transform_log(double x)
{
	int k;
	const double m = frexp(x, &k), z = (m - 1) / (m + 1);
	double power = z, sum = z;

	for (int i = 3; i <= 41; i += 2) {
		power *= z * z;
		sum += power / i;
	}
	return 2 * sum + k * M_LN2;
}

/* --- draws ---------------------------------------------------------------- */

#define SAMPLE_BITS 24
#define BATCH       ((uint64_t)1 << 62)

struct draws
draws_of(const struct transform_key *k, int transform)
{
	return (struct draws){ .seed = k->seed ^ TRANSFORM_SALT,
		.epoch = (uint32_t)k->epoch, .transform = (uint32_t)transform,
		.first = (uint64_t)k->sample << SAMPLE_BITS };
}

struct draws
draws_of_batch(const struct transform_key *k, int transform)
{
	struct draws d = draws_of(k, transform);

	d.first += BATCH;
	return d;
}

double
draw_unit(const struct draws *d, uint64_t k)
{
	return rk_draw_u32(d->seed, d->epoch, d->transform, d->first + k) *
	    0x1p-32;
}

double
draw_between(const struct draws *d, uint64_t k, double a, double b)
{
	return a + (b - a) * draw_unit(d, k);
}

int64_t
draw_below(const struct draws *d, uint64_t k, int64_t n)
{
	return (int64_t)((uint64_t)rk_draw_u32(d->seed, d->epoch,
	    d->transform, d->first + k) * (uint64_t)n >> 32);
}

/* --- parts of pictures ---------------------------------------------------- */

#define TRIES 10

struct areas
areas_of(const double scale[2], const double ratio[2])
{
	return (struct areas){ .scale = { scale[0], scale[1] },
		.ratio = { ratio[0], ratio[1] },
		.log_ratio = { transform_log(ratio[0]),
		transform_log(ratio[1]) } };
}

/* sqrt(area * aspect) and sqrt(area / aspect), rounded to even. */
static void
draw_sides(const struct draws *d, const struct areas *a, uint64_t k,
    double all, double *along, double *across)
{
	const double area = all * draw_between(d, k, a->scale[0], a->scale[1]);
	const double aspect = transform_exp(draw_between(d, k + 1,
	    a->log_ratio[0], a->log_ratio[1]));

	*along = nearbyint(sqrt(area * aspect));
	*across = nearbyint(sqrt(area / aspect));
}

/* The whole, or its middle where its aspect is none that is asked for. */
static struct image_part
middle(const struct areas *a, int64_t h, int64_t w)
{
	const double aspect = (double)w / (double)h;
	struct image_part p = { .w = w, .h = h };

	if (aspect < a->ratio[0])
		p.h = RK_MIN(RK_MAX((int64_t)nearbyint((double)w /
		    a->ratio[0]), 1), h);
	else if (aspect > a->ratio[1])
		p.w = RK_MIN(RK_MAX((int64_t)nearbyint((double)h *
		    a->ratio[1]), 1), w);
	p.x = (w - p.w) / 2;
	p.y = (h - p.h) / 2;
	return p;
}

struct image_part
draw_crop(const struct draws *d, const struct areas *a, int64_t h, int64_t w)
{
	for (uint64_t k = 0; k < 4 * TRIES; k += 4) {
		double pw, ph;

		draw_sides(d, a, k, (double)h * (double)w, &pw, &ph);
		if (!(pw > 0 && pw <= (double)w && ph > 0 && ph <= (double)h))
			continue;
		struct image_part p = { .w = (int64_t)pw, .h = (int64_t)ph };
		p.y = draw_below(d, k + 2, h - p.h + 1);
		p.x = draw_below(d, k + 3, w - p.w + 1);
		return p;
	}
	return middle(a, h, w);
}

bool
draw_erased(const struct draws *d, const struct areas *a, int64_t h,
    int64_t w, struct image_part *out)
{
	for (uint64_t k = 1; k < 1 + 4 * TRIES; k += 4) {
		double pw, ph;

		draw_sides(d, a, k, (double)h * (double)w, &ph, &pw);
		if (!(pw > 0 && pw < (double)w && ph > 0 && ph < (double)h))
			continue;
		*out = (struct image_part){ .w = (int64_t)pw,
			.h = (int64_t)ph };
		out->y = draw_below(d, k + 2, h - out->h + 1);
		out->x = draw_below(d, k + 3, w - out->w + 1);
		return true;
	}
	return false;
}

/* --- shares --------------------------------------------------------------- */

/*
 * Johnk's method (1964): u^(1/a) / (u^(1/a) + v^(1/a)) of such u and v whose
 * powers add up to at most 1.  In logarithms, because the powers of a small a
 * leave the range of a double.
 */
double
draw_beta(const struct draws *d, uint64_t k, double alpha)
{
	if (alpha >= 1)
		return draw_unit(d, k);
	for (int i = 0; i < 32; i++, k += 2) {
		const double a = transform_log(draw_unit(d, k) + 0x1p-33) /
		    alpha;
		const double b = transform_log(draw_unit(d, k + 1) + 0x1p-33) /
		    alpha;
		if (transform_exp(a) + transform_exp(b) <= 1)
			return 1 / (1 + transform_exp(b - a));
	}
	return 0.5;
}
