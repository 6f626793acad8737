/*
 * Arrays of NumPy, alone (npy) or two of an archive (npz): features and labels.
 *
 *	features  [n, ...], a sample with 1 to 4 dimensions; [n] is one number a
 *	          sample.  uint8 stays bytes (pixels); all else becomes floats,
 *	          which must be finite, truth 0 and 1; with a vocabulary whole
 *	          numbers become tokens
 *	labels    [n] or [n, 1], of any of these types
 *
 * Elements in Fortran's order are put into C's.  A job's `shape` may name
 * another shape of as many numbers for a sample.  Large arrays stay in their
 * files: array_rows.c.
 */
#include <stdlib.h>
#include <string.h>

#include "held.h"
#include "rekindle/format.h"

#define CHUNK ((size_t)64 << 10)        /* bytes turned at a time */
/* Features that would take so much memory are read when a batch needs them,
 * where their bytes lie in the file in the order of the samples.  A pure
 * function of the array, since the digest of such data is another. */
#define ROWS_FROM ((uint64_t)256 << 20)
#define ROWS_ENV  "REKINDLE_TRAIN_ROWS_FROM"

struct array {
	struct format_source *in;
	const struct spec_source *s;
	struct format_npy a;
	uint64_t n, width;              /* samples, and numbers of each */
	struct rk_why *why;
};

/* --- the shape ------------------------------------------------------------ */

static enum rk_err
check_count(const struct array *r, const char *of)
{
	char text[FORMAT_NPY_TEXT];

	if (r->a.ndim == 0)
		return rk_refuse(r->why, "%s: is one number, want an array of "
		    "%s", r->in->what, of);
	if (r->a.elements == 0)
		return rk_refuse(r->why, "%s: is %s, and that is none",
		    r->in->what, format_npy_text(text, &r->a));
	if (r->n > (uint64_t)DATA_MAX_SAMPLES)
		return rk_refuse(r->why, "%s: has %llu samples, at most %lld "
		    "can be", r->in->what, (unsigned long long)r->n,
		    (long long)DATA_MAX_SAMPLES);
	if (r->a.elements > DATA_MAX_BYTES / sizeof(float))
		return rk_refuse(r->why, "%s: is %s, which is over the limit "
		    "of 64 GiB", r->in->what, format_npy_text(text, &r->a));
	return RK_OK;
}

static enum rk_err
read_head(struct array *r, const char *of)
{
	enum rk_err rc = format_npy_head(r->in, &r->a, r->why);

	if (rc != RK_OK)
		return rc;
	r->n = r->a.ndim > 0 ? r->a.d[0] : 0;
	r->width = r->n > 0 ? r->a.elements / r->n : 0;
	return check_count(r, of);
}

/* The shape of a sample: the array's behind its first dimension, or the
 * job's. */
static enum rk_err
find_shape(const struct array *r, struct data_set *d)
{
	const struct spec_source *s = r->s;
	char text[FORMAT_NPY_TEXT];
	uint64_t all = 1;

	if (r->width > SPEC_MAX_WIDTH)
		return rk_refuse(r->why, "%s: is %s, so a sample has %llu "
		    "numbers, want at most %d", r->in->what,
		    format_npy_text(text, &r->a),
		    (unsigned long long)r->width, SPEC_MAX_WIDTH);
	d->width = (int64_t)r->width;
	for (int i = 0; i < s->ndim; i++) {
		all *= (uint64_t)s->shape[i];
		d->d[d->ndim++] = s->shape[i];
	}
	if (s->ndim > 0 && all != r->width)
		return rk_refuse(r->why, "%s: is %s, so a sample has %llu "
		    "numbers, and the job's shape has %llu", r->in->what,
		    format_npy_text(text, &r->a),
		    (unsigned long long)r->width, (unsigned long long)all);
	if (s->ndim > 0)
		return RK_OK;
	if (r->a.ndim > DATA_MAX_DIMS + 1)
		return rk_refuse(r->why, "%s: is %s, so a sample has %d "
		    "dimensions, want 1 to %d", r->in->what,
		    format_npy_text(text, &r->a), r->a.ndim - 1,
		    DATA_MAX_DIMS);
	for (int i = 1; i < r->a.ndim; i++)
		d->d[d->ndim++] = (int64_t)r->a.d[i];
	if (d->ndim == 0)
		d->d[d->ndim++] = 1;
	return RK_OK;
}

/* --- elements ------------------------------------------------------------- */

static enum rk_err
refuse_element(const struct array *r, uint64_t at, const char *number,
    const char *what)
{
	if (r->a.fortran)
		return rk_refuse(r->why, "%s: a number of sample %llu (from "
		    "0) is %s%s", r->in->what,
		    (unsigned long long)(at % r->n), number, what);
	if (r->width == 1)
		return rk_refuse(r->why, "%s: number %llu (from 0) is %s%s",
		    r->in->what, (unsigned long long)at, number, what);
	return rk_refuse(r->why, "%s: element %llu of sample %llu (both from "
	    "0) is %s%s", r->in->what, (unsigned long long)(at % r->width),
	    (unsigned long long)(at / r->width), number, what);
}

/* Elements `at` on of the file, which may lie in Fortran's order. */
static enum rk_err
turn(const struct array *r, const uint8_t *raw, uint64_t at, size_t n,
    void *out)
{
	char text[FORMAT_NPY_NUMBER], limit[64];
	size_t good;

	if (r->s->vocabulary > 0)
		good = format_npy_ids(&r->a, raw, n, r->s->vocabulary, out);
	else
		good = format_npy_floats(&r->a, raw, n, out);
	if (good == n)
		return RK_OK;
	snprintf(limit, sizeof(limit), ", want 0 to %lld, for the vocabulary "
	    "is %lld", (long long)r->s->vocabulary - 1,
	    (long long)r->s->vocabulary);
	return refuse_element(r, at + good, format_npy_number(text, &r->a, raw,
	    good), r->s->vocabulary > 0 ? limit :
	    ", no finite 32-bit number");
}

static enum rk_err
read_some(const struct array *r, void *dst, uint64_t at, size_t n)
{
	const size_t want = n * r->a.size;
	size_t got;
	enum rk_err rc = format_source_read(r->in, dst, want, &got, r->why);

	if (rc == RK_OK && got < want)
		return rk_refuse(r->why, "%s: ends after %llu of %llu numbers",
		    r->in->what, (unsigned long long)(at + got / r->a.size),
		    (unsigned long long)r->a.elements);
	return rc;
}

/* All of them into 32 bits each: floats, or tokens. */
static enum rk_err
read_turned(const struct array *r, uint32_t *out)
{
	uint8_t buf[CHUNK];
	const uint64_t step = sizeof(buf) / r->a.size;

	for (uint64_t at = 0; at < r->a.elements; at += step) {
		const size_t n = (size_t)RK_MIN(step, r->a.elements - at);
		enum rk_err rc = read_some(r, buf, at, n);
		if (rc == RK_OK)
			rc = turn(r, buf, at, n, out + at);
		if (rc != RK_OK)
			return rc;
	}
	return RK_OK;
}

/* Elements of `size` bytes from Fortran's order, in which the first index runs
 * fastest, to C's: the counter goes through the places of C's order. */
static void
reorder(const struct format_npy *a, size_t size, const void *source,
    void *target)
{
	const uint8_t *from = source;
	uint8_t *to = target;
	uint64_t stride[FORMAT_NPY_DIMS], i[FORMAT_NPY_DIMS] = { 0 };
	uint64_t at = 0, all = 1;

	for (int k = 0; k < a->ndim; k++) {
		stride[k] = all;
		all *= a->d[k];
	}
	for (uint64_t n = 0; n < a->elements; n++) {
		memcpy(to + n * size, from + at * size, size);
		for (int k = a->ndim - 1; k >= 0; k--) {
			at += stride[k];
			if (++i[k] < a->d[k])
				break;
			at -= stride[k] * a->d[k];
			i[k] = 0;
		}
	}
}

/* In the order of C, in a block of *pp. */
static enum rk_err
put_in_order(const struct array *r, void *pp, size_t size)
{
	void *from = *(void **)pp, *to = NULL;

	if (!r->a.fortran)
		return RK_OK;
	enum rk_err rc = held_alloc(&to, r->a.elements, size, r->in->what,
	    r->why);
	if (rc != RK_OK)
		return rc;
	reorder(&r->a, size, from, to);
	free(from);
	*(void **)pp = to;
	return RK_OK;
}

/* --- features ------------------------------------------------------------- */

static enum rk_err
read_pixels(const struct array *r, struct held *h)
{
	enum rk_err rc = held_alloc(&h->bytes, r->a.elements, 1, r->in->what,
	    r->why);

	if (rc == RK_OK)
		rc = read_some(r, h->bytes, 0, (size_t)r->a.elements);
	return rc == RK_OK ? put_in_order(r, &h->bytes, 1) : rc;
}

static enum rk_err
read_numbers(const struct array *r, void *pp)
{
	enum rk_err rc = held_alloc(pp, r->a.elements, sizeof(uint32_t),
	    r->in->what, r->why);

	if (rc == RK_OK)
		rc = read_turned(r, *(void **)pp);
	return rc == RK_OK ? put_in_order(r, pp, sizeof(uint32_t)) : rc;
}

static uint64_t
rows_from(void)
{
	const char *s = getenv(ROWS_ENV);
	char *end;

	if (s == NULL || s[0] < '0' || s[0] > '9')
		return ROWS_FROM;
	const uint64_t n = strtoull(s, &end, 10);
	return *end == '\0' ? n : ROWS_FROM;
}

/* True: they are not held.  What is behind them is still to be looked at. */
static bool
leave_in_file(const struct array *r, struct held *h, enum rk_err *rc)
{
	const size_t each = r->a.dtype == DT_U8 && r->s->vocabulary == 0 ? 1 :
	    sizeof(float);
	uint64_t at, passed;
	int fd;

	if (r->a.elements * each < rows_from() || r->a.fortran ||
	    !format_source_place(r->in, &fd, &at))
		return false;
	*rc = array_rows(r->in->what, fd, at, &r->a, r->s->vocabulary, h,
	    r->why);
	if (*rc == RK_OK)
		*rc = format_source_pass(r->in, r->a.elements * r->a.size,
		    &passed, r->why);
	return true;
}

static enum rk_err
read_features(struct array *r, struct held *h)
{
	struct data_set *d = &h->pub;
	char text[FORMAT_NPY_TEXT];
	enum rk_err rc = find_shape(r, d);

	if (rc != RK_OK)
		return rc;
	d->n = (int64_t)r->n;
	h->by_channel = d->ndim == 3;
	h->by_feature = d->ndim == 1;
	if (r->s->vocabulary > 0 && !format_npy_is_whole(&r->a))
		return rk_refuse(r->why, "%s: is %s, and tokens are whole "
		    "numbers", r->in->what, format_npy_text(text, &r->a));
	d->vocabulary = r->s->vocabulary;
	if (leave_in_file(r, h, &rc))
		return rc;
	if (r->s->vocabulary > 0) {
		rc = read_numbers(r, &h->tokens);
	} else {
		rc = r->a.dtype == DT_U8 ? read_pixels(r, h) :
		    read_numbers(r, &h->floats);
	}
	d->bytes = h->bytes;
	d->floats = h->floats;
	d->tokens = h->tokens;
	return rc;
}

/* --- labels --------------------------------------------------------------- */

/* Labels are no tokens, whatever the features are. */
static enum rk_err
read_labels(struct array *r, struct held *h)
{
	static const struct spec_source plain;
	char text[FORMAT_NPY_TEXT];

	r->s = &plain;
	if (r->width != 1)
		return rk_refuse(r->why, "%s: is %s, want a label a sample: "
		    "one dimension, or a second one of 1", r->in->what,
		    format_npy_text(text, &r->a));
	h->pub.n = (int64_t)r->n;
	enum rk_err rc = held_alloc(&h->targets, r->n, sizeof(*h->targets),
	    r->in->what, r->why);
	if (rc == RK_OK)
		rc = read_turned(r, (void *)h->targets);
	return rc == RK_OK ? held_find_classes(h, r->why) : rc;
}

/* --- the face ------------------------------------------------------------- */

enum rk_err
array_read(struct format_source *in, const struct spec_source *s, bool labels,
    struct held **out, struct rk_why *why)
{
	struct array r = { .in = in, .s = s, .why = why };
	enum rk_err rc = read_head(&r, labels ? "labels" : "samples");

	if (rc != RK_OK)
		return rc;
	struct held *h = held_new(in->what);
	rc = labels ? read_labels(&r, h) : read_features(&r, h);
	return held_end(h, in, rc, out, why);
}

enum rk_err
data_parse_npy(const uint8_t *p, size_t n, const char *what,
    const struct spec_source *src, bool labels, struct data_set **out,
    struct rk_why *why)
{
	struct format_source in;
	struct held *h;
	enum rk_err rc = format_source_open_mem(&in, p, n, what, why);

	if (rc == RK_OK)
		rc = array_read(&in, src, labels, &h, why);
	format_source_close(&in);
	if (rc == RK_OK)
		*out = &h->pub;
	return rc;
}
