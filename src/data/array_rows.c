/*
 * The features of an array that is not held in memory: a sample is a stretch of
 * its file, read when a batch needs it.
 *
 * The numbers are those that array.c would hold, to the bit, and so is the hash
 * by which a sample is parted; an array that grows past the size from which it
 * is read like this keeps its validation samples.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "held.h"
#include "lazy.h"
#include "rekindle/format.h"

struct rows {
	struct data_lazy lazy;          /* first: a data_lazy * is a rows * */
	char *what;                     /* the file's name */
	int fd;
	uint64_t offset;                /* of the first element */
	struct format_npy a;
	size_t width;                   /* numbers of a sample */
	int64_t vocabulary;             /* 0: no tokens */
};

/* A sample on its way: as it lies in the file, and as numbers. */
struct row {
	uint8_t *raw;
	float *floats;
};

static const struct rows *
rows_of(const struct data_lazy *z)
{
	return (const struct rows *)z;
}

static size_t
row_bytes(const struct rows *s)
{
	return s->width * s->a.size;
}

static bool
is_pixels(const struct rows *s)
{
	return s->a.dtype == DT_U8 && s->vocabulary == 0;
}

static void *
scratch_new(const struct data_lazy *z)
{
	const struct rows *s = rows_of(z);
	struct row *b = xcalloc(1, sizeof(*b));

	b->raw = xmalloc(row_bytes(s));
	if (!is_pixels(s))
		b->floats = xcalloc(s->width, sizeof(*b->floats));
	return b;
}

static void
scratch_free(void *scratch)
{
	struct row *b = scratch;

	if (b == NULL)
		return;
	free(b->raw);
	free(b->floats);
	free(b);
}

/* The bytes of sample `at`. */
static enum rk_err
read_row(const struct rows *s, int64_t at, uint8_t *raw, struct rk_why *why)
{
	const size_t n = row_bytes(s);
	uint64_t from = s->offset + (uint64_t)at * n;

	for (size_t got = 0; got < n;) {
		const ssize_t k = pread(s->fd, raw + got, n - got,
		    (off_t)(from + got));
		if (k < 0 && errno == EINTR)
			continue;
		if (k == 0)
			return rk_refuse(why, "%s: sample %lld (from 0): the "
			    "file was cut off since it was opened", s->what,
			    (long long)at);
		if (k < 0) {
			int e = errno;
			rk_refuse(why, "%s: sample %lld (from 0) cannot be "
			    "read: %s", s->what, (long long)at, strerror(e));
			return rk_from_errno(e);
		}
		got += (size_t)k;
	}
	return RK_OK;
}

static enum rk_err
refuse_number(const struct rows *s, int64_t at, const uint8_t *raw, size_t k,
    struct rk_why *why)
{
	char text[FORMAT_NPY_NUMBER], want[64] = "no finite 32-bit number";

	if (s->vocabulary > 0)
		snprintf(want, sizeof(want), "want 0 to %lld",
		    (long long)s->vocabulary - 1);
	return rk_refuse(why, "%s: element %zu of sample %lld (both from 0) is "
	    "%s, %s", s->what, k, (long long)at, format_npy_number(text, &s->a,
	    raw, k), want);
}

static enum rk_err
get(const struct data_lazy *z, const struct data_set *d, void *scratch,
    int64_t at, const struct data_key *k, void *x, struct lazy_got *got,
    struct rk_why *why)
{
	const struct rows *s = rows_of(z);
	struct row *b = scratch;
	size_t good = s->width;
	enum rk_err rc = read_row(s, at, b->raw, why);

	(void)k;
	if (rc != RK_OK)
		return rc;
	got->content = rk_hash64(0, b->raw, row_bytes(s));
	if (s->vocabulary > 0)
		good = format_npy_ids(&s->a, b->raw, s->width, s->vocabulary,
		    x);
	else if (!is_pixels(s))
		good = format_npy_floats(&s->a, b->raw, s->width, b->floats);
	if (good < s->width)
		return refuse_number(s, at, b->raw, good, why);
	if (s->vocabulary == 0)
		held_normalize(d, is_pixels(s) ? b->raw : NULL, b->floats, x);
	return RK_OK;
}

/* Of the numbers as they would be held.  What cannot be read is another sample
 * than any. */
static void
identify(const struct data_lazy *z, int64_t at, bool size, struct lazy_id *id)
{
	const struct rows *s = rows_of(z);
	struct row *b = scratch_new(z);

	(void)size;
	if (read_row(s, at, b->raw, NULL) != RK_OK) {
		id->hash = UINT64_MAX - (uint64_t)at;
	} else if (is_pixels(s)) {
		id->hash = rk_hash64(0, b->raw, row_bytes(s));
	} else {
		if (s->vocabulary > 0)
			(void)format_npy_ids(&s->a, b->raw, s->width,
			    s->vocabulary, (int32_t *)(void *)b->floats);
		else
			(void)format_npy_floats(&s->a, b->raw, s->width,
			    b->floats);
		id->hash = rk_hash64(0, b->floats, s->width *
		    sizeof(*b->floats));
	}
	scratch_free(b);
}

static void
rows_free(struct data_lazy *z)
{
	struct rows *s = (struct rows *)z;

	rk_close(&s->fd);
	free(s->what);
	free(s);
}

enum rk_err
array_rows(const char *what, int fd, uint64_t offset,
    const struct format_npy *a, int64_t vocabulary, struct held *h,
    struct rk_why *why)
{
	static const struct lazy_ops ops = {
		.scratch_new = scratch_new, .scratch_free = scratch_free,
		.get = get, .identify = identify, .free = rows_free,
	};
	struct rows *s = xcalloc(1, sizeof(*s));

	*s = (struct rows){ .lazy = { .ops = &ops }, .what = xstrdup(what),
		.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0), .offset = offset, .a = *a,
		.width = (size_t)h->pub.width, .vocabulary = vocabulary };
	s->lazy.index_bytes = sizeof(*s);
	s->lazy.scratch_bytes = row_bytes(s) + s->width * sizeof(float);
	s->lazy.pixels = is_pixels(s);
	if (s->fd < 0) {
		int e = errno;
		rk_refuse(why, "%s: %s", what, strerror(e));
		rows_free(&s->lazy);
		return rk_from_errno(e);
	}
	lazy_hold(h, &s->lazy);
	return RK_OK;
}
