/*
 * IDX (http://yann.lecun.com/exdb/mnist/):
 *
 *	0 0 TYPE NDIM, NDIM sizes of 4 bytes, the elements; all big-endian
 *	TYPE 08 u8, 09 i8, 0B i16, 0C i32, 0D f32, 0E f64
 *
 * One dimension: labels.  More: samples, of bytes as they are, of the other
 * types as floats.  Nothing is allocated on the header's word alone: what it
 * says must be possible for a file of that size.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "held.h"
#include "rekindle/format.h"

enum { IDX_U8 = 0x08, IDX_I8, IDX_I16 = 0x0b, IDX_I32, IDX_F32, IDX_F64 };

#define CHUNK ((size_t)32 << 10)        /* bytes converted at a time */

struct idx {
	struct format_source *in;
	int type, ndim;
	size_t size;                    /* of an element */
	uint64_t dim[DATA_MAX_DIMS];
	uint64_t elements;
	char text[64];                  /* "60000 x 28 x 28" */
};

static uint32_t
be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	    (uint32_t)p[2] << 8 | p[3];
}

static size_t
size_of(int type)
{
	switch (type) {
	case IDX_U8:
	case IDX_I8:
		return 1;
	case IDX_I16:
		return 2;
	case IDX_I32:
	case IDX_F32:
		return 4;
	case IDX_F64:
		return 8;
	default:
		return 0;
	}
}

static enum rk_err
read_header_bytes(struct idx *x, uint8_t *p, size_t n, struct rk_why *why)
{
	size_t got;
	enum rk_err rc = format_source_read(x->in, p, n, &got, why);

	if (rc == RK_OK && got < n)
		return rk_refuse(why, "%s: ends inside its IDX header",
		    x->in->what);
	return rc;
}

static enum rk_err
read_magic(struct idx *x, struct rk_why *why)
{
	const char *what = x->in->what;
	uint8_t p[4];
	enum rk_err rc = read_header_bytes(x, p, sizeof(p), why);

	if (rc != RK_OK)
		return rc;
	if (p[0] != 0 || p[1] != 0)
		return rk_refuse(why, "%s: is no IDX file: begins with %02x "
		    "%02x %02x %02x, want 00 00 TYPE DIMENSIONS", what, p[0],
		    p[1], p[2], p[3]);
	x->type = p[2];
	x->size = size_of(x->type);
	x->ndim = p[3];
	if (x->size == 0)
		return rk_refuse(why, "%s: has elements of type %02x, want 08, "
		    "09, 0b, 0c, 0d or 0e", what, p[2]);
	if (x->ndim < 1 || x->ndim > DATA_MAX_DIMS)
		return rk_refuse(why, "%s: has %d dimensions, want 1 to %d",
		    what, x->ndim, DATA_MAX_DIMS);
	return RK_OK;
}

static enum rk_err
read_dims(struct idx *x, struct rk_why *why)
{
	const char *what = x->in->what;
	uint8_t p[4 * DATA_MAX_DIMS];
	bool fits = true;
	size_t all = 1;
	enum rk_err rc = read_header_bytes(x, p, 4 * (size_t)x->ndim, why);

	if (rc != RK_OK)
		return rc;
	for (int i = 0; i < x->ndim; i++) {
		size_t at = strlen(x->text);

		x->dim[i] = be32(p + 4 * i);
		snprintf(x->text + at, sizeof(x->text) - at, "%s%llu",
		    i > 0 ? " x " : "", (unsigned long long)x->dim[i]);
		fits = fits && rk_mul(all, (size_t)x->dim[i], &all);
	}
	x->elements = all;
	if (x->dim[0] == 0)
		return rk_refuse(why, "%s: has no samples", what);
	if (x->dim[0] > (uint64_t)DATA_MAX_SAMPLES)
		return rk_refuse(why, "%s: has %llu samples, at most %lld can "
		    "be", what, (unsigned long long)x->dim[0],
		    (long long)DATA_MAX_SAMPLES);
	if (!fits || x->elements > DATA_MAX_BYTES / x->size)
		return rk_refuse(why, "%s: its header says %s elements, which "
		    "is over the limit of 64 GiB", what, x->text);
	if (x->elements == 0)
		return rk_refuse(why, "%s: its header says %s elements, and "
		    "that is none", what, x->text);
	return RK_OK;
}

/* Can a file of this size hold what its header says? */
static enum rk_err
check_size(const struct idx *x, struct rk_why *why)
{
	const uint64_t header = 4 + 4 * (uint64_t)x->ndim;
	const uint64_t want = header + x->elements * x->size;

	if (format_source_most(x->in) >= want)
		return RK_OK;
	return rk_refuse(why, "%s: its header says %s elements of %zu byte%s, "
	    "%llu bytes in all, but the file has %llu%s", x->in->what, x->text,
	    x->size, rk_s((int64_t)x->size), (unsigned long long)want,
	    (unsigned long long)x->in->size,
	    x->in->packed ? " and cannot unpack to that" : "");
}

static enum rk_err
read_elements(struct idx *x, void *dst, uint64_t from, uint64_t n,
    struct rk_why *why)
{
	size_t got, want = (size_t)n * x->size;
	enum rk_err rc = format_source_read(x->in, dst, want, &got, why);

	if (rc == RK_OK && got < want)
		return rk_refuse(why, "%s: ends after %llu of %llu bytes of "
		    "elements", x->in->what,
		    (unsigned long long)(from * x->size + got),
		    (unsigned long long)(x->elements * x->size));
	return rc;
}

static float
element(int type, const uint8_t *p)
{
	uint32_t u;
	uint64_t w;
	float f;
	double d;

	switch (type) {
	case IDX_U8:
		return p[0];
	case IDX_I8:
		return (int8_t)p[0];
	case IDX_I16:
		return (int16_t)(p[0] << 8 | p[1]);
	case IDX_I32:
		return (float)(int32_t)be32(p);
	case IDX_F32:
		u = be32(p);
		memcpy(&f, &u, sizeof(f));
		return f;
	default:
		w = (uint64_t)be32(p) << 32 | be32(p + 4);
		memcpy(&d, &w, sizeof(d));
		return (float)d;
	}
}

/* All elements as floats; each must be finite. */
static enum rk_err
read_floats(struct idx *x, float *out, struct rk_why *why)
{
	const uint64_t step = CHUNK / x->size;
	const uint64_t width = x->elements / x->dim[0];
	uint8_t buf[CHUNK];

	for (uint64_t at = 0; at < x->elements; at += step) {
		uint64_t n = RK_MIN(step, x->elements - at);
		enum rk_err rc = read_elements(x, buf, at, n, why);

		if (rc != RK_OK)
			return rc;
		for (uint64_t i = 0; i < n; i++) {
			out[at + i] = element(x->type, buf + i * x->size);
			if (isfinite(out[at + i]))
				continue;
			return rk_refuse(why, "%s: element %llu of sample %llu "
			    "(both from 0) is no finite 32-bit number",
			    x->in->what,
			    (unsigned long long)((at + i) % width),
			    (unsigned long long)((at + i) / width));
		}
	}
	return RK_OK;
}

static enum rk_err
read_labels(struct idx *x, struct held *h, struct rk_why *why)
{
	enum rk_err rc = held_alloc(&h->targets, x->elements,
	    sizeof(*h->targets), x->in->what, why);

	if (rc == RK_OK)
		rc = read_floats(x, h->targets, why);
	if (rc == RK_OK)
		rc = held_find_classes(h, why);
	return rc;
}

static enum rk_err
read_samples(struct idx *x, struct held *h, struct rk_why *why)
{
	struct data_set *d = &h->pub;
	enum rk_err rc;

	/* A grey image is one channel. */
	if (x->ndim == 3)
		d->d[d->ndim++] = 1;
	for (int i = 1; i < x->ndim; i++)
		d->d[d->ndim++] = (int64_t)x->dim[i];
	d->width = (int64_t)(x->elements / x->dim[0]);

	if (x->type == IDX_U8) {
		rc = held_alloc(&h->bytes, x->elements, 1, x->in->what, why);
		if (rc == RK_OK)
			rc = read_elements(x, h->bytes, 0, x->elements, why);
	} else {
		rc = held_alloc(&h->floats, x->elements, sizeof(*h->floats),
		    x->in->what, why);
		if (rc == RK_OK)
			rc = read_floats(x, h->floats, why);
	}
	d->bytes = h->bytes;
	d->floats = h->floats;
	return rc;
}

enum rk_err
idx_read(struct format_source *in, struct held **out, struct rk_why *why)
{
	struct idx x = { .in = in };
	enum rk_err rc = read_magic(&x, why);

	if (rc == RK_OK)
		rc = read_dims(&x, why);
	if (rc == RK_OK)
		rc = check_size(&x, why);
	if (rc != RK_OK)
		return rc;

	struct held *h = held_new(in->what);
	h->pub.n = (int64_t)x.dim[0];
	rc = x.ndim == 1 ? read_labels(&x, h, why) : read_samples(&x, h, why);
	return held_end(h, in, rc, out, why);
}

enum rk_err
data_parse_idx(const uint8_t *p, size_t n, const char *what,
    struct data_set **out, struct rk_why *why)
{
	struct format_source in;
	struct held *h;
	enum rk_err rc = format_source_open_mem(&in, p, n, what, why);

	if (rc == RK_OK)
		rc = idx_read(&in, &h, why);
	format_source_close(&in);
	if (rc == RK_OK)
		*out = &h->pub;
	return rc;
}
