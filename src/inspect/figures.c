/*
 * What the elements of a tensor are, in one pass over them.
 *
 * Mean and squares by pieces, put together by
 *
 *	d     = mean_b - mean_a
 *	mean  = mean_a + d n_b / (n_a + n_b)
 *	M2    = M2_a + M2_b + d² n_a n_b / (n_a + n_b)
 *
 * (Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for
 * computing sample variances", 1979), so that a mean far from zero takes
 * nothing from the deviation.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define PIECE ((size_t)8 << 10)         /* elements */

bool
inspect_doubles(enum dtype dtype, const void *p, size_t n, double *out)
{
	float some[256];

	switch (dtype) {
	case DT_C64: case DT_C128:
		return false;
	case DT_F64:
		memcpy(out, p, n * sizeof(*out));
		return true;
#define WHOLE(name, type)                                                 \
	case name:                                                        \
		for (size_t i = 0; i < n; i++) {                          \
			type x;                                           \
			memcpy(&x, (const char *)p + i * sizeof(x),       \
			    sizeof(x));                                   \
			out[i] = (double)x;                               \
		}                                                         \
		return true
	WHOLE(DT_I64, int64_t);
	WHOLE(DT_U64, uint64_t);
	WHOLE(DT_I32, int32_t);
	WHOLE(DT_U32, uint32_t);
#undef WHOLE
	case DT_BOOL:
		for (size_t i = 0; i < n; i++)
			out[i] = ((const unsigned char *)p)[i] != 0;
		return true;
	default:
		break;
	}
	/* All values of the others are floats. */
	const size_t size = dtype_bits(dtype) / 8;
	for (size_t at = 0; at < n; at += RK_ARRAY_LEN(some)) {
		const size_t m = RK_MIN(n - at, RK_ARRAY_LEN(some));
		const struct tensor t = { .dtype = dtype, .ndim = 1,
			.d = { (int64_t)m }, .nbytes = m * size,
			.data = (const char *)p + at * size };
		if (tensor_to_f32(&t, some) != RK_OK)
			return false;
		for (size_t i = 0; i < m; i++)
			out[at + i] = (double)some[i];
	}
	return true;
}

struct sums {
	struct inspect_figures *f;
	double mean, squares;           /* of the finite ones so far */
};

static void
join(struct sums *s, uint64_t n, double mean, double squares)
{
	const double a = (double)s->f->finite, b = (double)n;
	const double d = mean - s->mean;

	s->mean += d * (b / (a + b));
	s->squares += squares + d * d * (a * b / (a + b));
	s->f->finite += n;
}

static void
add_piece(struct sums *s, const double *x, size_t n)
{
	struct inspect_figures *f = s->f;
	double sum = 0, squares = 0;
	uint64_t k = 0;

	for (size_t i = 0; i < n; i++) {
		if (isnan(x[i])) {
			f->nans++;
		} else if (isinf(x[i])) {
			f->infinities++;
		} else {
			if (f->finite + k == 0)
				f->min = f->max = x[i];
			f->min = x[i] < f->min ? x[i] : f->min;
			f->max = x[i] > f->max ? x[i] : f->max;
			sum += x[i];
			k++;
		}
	}
	const double mean = sum / (double)(k > 0 ? k : 1);
	for (size_t i = 0; i < n; i++)
		if (isfinite(x[i]))
			squares += (x[i] - mean) * (x[i] - mean);
	if (k > 0)
		join(s, k, mean, squares);
}

enum rk_err
inspect_count(const struct weights_tensor *t, struct inspect_figures *out,
    struct rk_why *why)
{
	const size_t size = dtype_bits(t->dtype) / 8;
	unsigned char *bytes = xmalloc(PIECE * size);
	double *x = xmalloc(PIECE * sizeof(*x));
	struct rk_sha256 *sha = rk_sha256_new();
	struct sums s = { .f = out };
	char hex[RK_SHA256_HEX];
	enum rk_err rc = RK_OK;

	*out = (struct inspect_figures){ .numbers = t->dtype != DT_C64 &&
	    t->dtype != DT_C128 };
	for (uint64_t at = 0; rc == RK_OK && at < t->count; at += PIECE) {
		const size_t n = (size_t)RK_MIN(PIECE, t->count - at);
		rc = weights_read(t, at, n, bytes, why);
		if (rc != RK_OK)
			break;
		rk_sha256_add(sha, bytes, n * size);
		if (inspect_doubles(t->dtype, bytes, n, x))
			add_piece(&s, x, n);
	}
	out->mean = s.mean;
	out->std = out->finite > 0 ? sqrt(s.squares / (double)out->finite) : 0;
	rk_sha256_end(sha, hex);
	for (size_t i = 0; i < sizeof(out->sha256); i++) {
		unsigned v = 0;
		(void)sscanf(hex + 2 * i, "%2x", &v);
		out->sha256[i] = (unsigned char)v;
	}
	free(bytes);
	free(x);
	return rc;
}
