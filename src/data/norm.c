/*
 * Normalisation as one scale and one shift: x * scale + shift.
 *
 *	none      1, 0
 *	scale     (x / 255 - mean) / std of bytes, (x - mean) / std of floats
 *	standard  (x - mean) / std with what the training samples have: over all
 *	          (idx, synthetic), per channel (cifar, images of npy) or per
 *	          feature (csv, npy of one dimension);
 *	          one that never changes is only shifted.  std is the
 *	          population's.
 *
 * Sums are taken in double, in the order of the samples.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "held.h"
#include "lazy.h"

static enum rk_err
norm_alloc(struct held *h, int64_t parts, struct rk_why *why)
{
	struct data_set *d = &h->pub;
	enum rk_err rc = held_alloc(&d->scale, (uint64_t)parts,
	    sizeof(*d->scale), h->what, why);

	if (rc == RK_OK)
		rc = held_alloc(&d->shift, (uint64_t)parts, sizeof(*d->shift),
		    h->what, why);
	d->nnorm = parts;
	return rc;
}

/* (x * unit - mean) / std */
static void
norm_set(struct held *h, int64_t i, double unit, double mean, double std)
{
	/* Zero, and what would leave the range of float. */
	if (!isnormal((float)(unit / std)) || !isfinite((float)(mean / std)))
		std = 1;
	h->pub.scale[i] = (float)(unit / std);
	h->pub.shift[i] = (float)((0 - mean) / std);
}

static enum rk_err
norm_scale(struct held *h, const struct spec_normalize *s, struct rk_why *why)
{
	const struct data_set *d = &h->pub;
	const bool csv = h->ncolumns > 0;
	const int64_t parts = csv ? d->width : d->ndim == 3 ? d->d[0] : 1;
	const double unit = d->bytes != NULL || (d->lazy != NULL &&
	    d->lazy->pixels) ? 1.0 / 255 : 1;

	if (s->n > 1 && s->n != parts)
		return rk_refuse_at(why, "data.normalize", "has %d means, but "
		    "the samples have %lld %s%s", s->n, (long long)parts,
		    csv ? "feature" : "channel", rk_s(parts));
	enum rk_err rc = norm_alloc(h, RK_MAX(s->n, 1), why);
	if (rc != RK_OK)
		return rc;
	for (int i = 0; i < RK_MAX(s->n, 1); i++)
		norm_set(h, i, unit, s->n > 0 ? s->mean[i] : 0,
		    s->n > 0 ? s->std[i] : 1);
	return RK_OK;
}

/* Bytes are counted first, so the sums are of 256 terms.  Of each sample the
 * numbers from..from+width-1. */
static void
measure_bytes(const struct held *h, size_t from, size_t width, double *mean,
    double *var)
{
	const size_t rows = (size_t)h->pub.n, all = rows * width;
	uint64_t count[4][256] = { 0 };

	for (size_t r = 0; r < rows; r++) {
		const uint8_t *p = h->bytes + r * (size_t)h->pub.width + from;
		for (size_t i = 0; i < width; i++)
			count[i % 4][p[i]]++;
	}
	*mean = *var = 0;
	for (int v = 0; v < 256; v++) {
		for (int k = 1; k < 4; k++)
			count[0][v] += count[k][v];
		*mean += v * (double)count[0][v];
	}
	*mean /= (double)all;
	for (int v = 0; v < 256; v++)
		*var += (v - *mean) * (v - *mean) * (double)count[0][v];
	*var /= (double)all;
}

/* Mean and variance of each of `parts` interleaved series. */
static void
measure_floats(const struct held *h, size_t parts, double *mean, double *var)
{
	const size_t rows = (size_t)h->pub.n * (size_t)h->pub.width / parts;

	memset(mean, 0, parts * sizeof(*mean));
	memset(var, 0, parts * sizeof(*var));
	for (size_t r = 0; r < rows; r++)
		for (size_t i = 0; i < parts; i++)
			mean[i] += (double)h->floats[r * parts + i];
	for (size_t i = 0; i < parts; i++)
		mean[i] /= (double)rows;
	for (size_t r = 0; r < rows; r++)
		for (size_t i = 0; i < parts; i++) {
			double x = (double)h->floats[r * parts + i] - mean[i];
			var[i] += x * x;
		}
	for (size_t i = 0; i < parts; i++)
		var[i] /= (double)rows;
}

static enum rk_err
norm_standard(struct held *h, struct rk_why *why)
{
	const int64_t parts = h->ncolumns > 0 || h->by_feature ? h->pub.width :
	    h->by_channel ? h->pub.d[0] : 1;
	const size_t width = (size_t)(h->pub.width / parts);
	double *mean = NULL, *var = NULL;
	enum rk_err rc = norm_alloc(h, parts, why);

	if (rc == RK_OK)
		rc = held_alloc(&mean, (uint64_t)parts, sizeof(*mean), h->what,
		    why);
	if (rc == RK_OK)
		rc = held_alloc(&var, (uint64_t)parts, sizeof(*var), h->what,
		    why);
	if (rc == RK_OK) {
		for (size_t i = 0; h->bytes != NULL && i < (size_t)parts; i++)
			measure_bytes(h, i * width, width, &mean[i], &var[i]);
		if (h->bytes == NULL)
			measure_floats(h, (size_t)parts, mean, var);
		for (int64_t i = 0; i < parts; i++)
			norm_set(h, i, 1, mean[i], sqrt(var[i]));
	}
	free(mean);
	free(var);
	return rc;
}

enum rk_err
norm_find(struct held *h, const struct spec_normalize *s, struct rk_why *why)
{
	enum rk_err rc;

	must(!data_is_tokens(&h->pub) || s->type == SPEC_NORM_NONE);
	if (h->lazy != NULL && s->type == SPEC_NORM_STANDARD)
		return rk_refuse_at(why, "data.normalize", "is standard, for "
		    "which all of %s would be read before the first step: "
		    "give scale with mean and std", h->what);
	switch (s->type) {
	case SPEC_NORM_SCALE:
		return norm_scale(h, s, why);
	case SPEC_NORM_STANDARD:
		return norm_standard(h, why);
	case SPEC_NORM_NONE:
		break;
	}
	rc = norm_alloc(h, 1, why);
	if (rc == RK_OK)
		norm_set(h, 0, 1, 0, 1);
	return rc;
}

enum rk_err
norm_copy(struct held *to, const struct held *from, struct rk_why *why)
{
	const struct data_set *d = &from->pub;
	const size_t n = (size_t)d->nnorm * sizeof(*d->scale);
	enum rk_err rc = norm_alloc(to, d->nnorm, why);

	if (rc == RK_OK) {
		memcpy(to->pub.scale, d->scale, n);
		memcpy(to->pub.shift, d->shift, n);
	}
	return rc;
}
