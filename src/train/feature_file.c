/* Features of samples on disk: see feature_file.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "feature_file.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
    "headers and records are little-endian");

/* A call reads and writes no more. */
#define MOST ((size_t)1 << 30)

struct header {
	char magic[32];
	uint64_t samples, floats;
	char key[64];
	uint64_t check;
};

struct head {
	uint64_t check, content;        /* of a record */
};

struct feature_file {
	int fd;
	int64_t samples, floats;
	uint64_t key, record;
};

uint64_t
feature_record_bytes(int64_t floats)
{
	size_t n;

	if (floats < 1 || !rk_mul((size_t)floats, sizeof(float), &n) ||
	    !rk_add(n, sizeof(struct head), &n) || n > MOST)
		return 0;
	return n;
}

/* Where record i is; the file is no longer than an off_t can say. */
static off_t
place(const struct feature_file *f, int64_t i)
{
	return (off_t)(FEATURE_HEADER + (uint64_t)i * f->record);
}

static bool
can_be_counted(const struct feature_key *k, uint64_t record)
{
	size_t n;

	return k->samples >= 1 && record > 0 && rk_mul((size_t)k->samples,
	    record, &n) && n < (size_t)INT64_MAX - FEATURE_HEADER;
}

/* --- the file ------------------------------------------------------------- */

static void
make_header(const struct feature_key *k, struct header *h)
{
	*h = (struct header){ .magic = FEATURE_MAGIC,
		.samples = (uint64_t)k->samples,
		.floats = (uint64_t)k->floats };
	memcpy(h->key, k->hex, sizeof(h->key));
	h->check = rk_hash64(0, h, offsetof(struct header, check));
}

static bool
has_header(int fd, const struct header *want)
{
	struct header is;

	return pread(fd, &is, sizeof(is), 0) == (ssize_t)sizeof(is) &&
	    memcmp(&is, want, sizeof(is)) == 0;
}

/* What was in it is no use to anybody. */
static bool
begin(int fd, const struct header *h)
{
	return ftruncate(fd, 0) == 0 && ftruncate(fd, (off_t)FEATURE_HEADER) ==
	    0 && pwrite(fd, h, sizeof(*h), 0) == (ssize_t)sizeof(*h);
}

static bool
is_file(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

enum rk_err
feature_file_open(struct feature_file **fp, int dir_fd, const char *name,
    const struct feature_key *k, struct rk_why *why)
{
	const uint64_t record = feature_record_bytes(k->floats);
	struct header h;

	*fp = NULL;
	if (!can_be_counted(k, record))
		return rk_refuse(why, "%s would be larger than a file can be",
		    name);
	make_header(k, &h);
	/* What is no file is not waited for. */
	int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC |
	    O_NOFOLLOW | O_NONBLOCK, 0640);
	if (fd >= 0 && !is_file(fd)) {
		rk_close(&fd);
		return rk_refuse(why, "%s is no regular file", name);
	}
	if (fd < 0 || (!has_header(fd, &h) && !begin(fd, &h))) {
		const enum rk_err rc = rk_from_errno(errno);
		rk_refuse(why, "%s: %s", name, strerror(errno));
		rk_close(&fd);
		return rc;
	}
	struct feature_file *f = xcalloc(1, sizeof(*f));
	*f = (struct feature_file){ .fd = fd, .samples = k->samples,
		.floats = k->floats, .record = record,
		.key = rk_hash64(1, k->hex, sizeof(k->hex)) };
	*fp = f;
	return RK_OK;
}

void
feature_file_close(struct feature_file *f)
{
	if (f == NULL)
		return;
	rk_close(&f->fd);
	free(f);
}

/* --- records -------------------------------------------------------------- */

/* Never 0, which is what holes are full of. */
static uint64_t
check_of(const struct feature_file *f, int64_t i, uint64_t content,
    const float *v)
{
	const uint64_t from[3] = { f->key, (uint64_t)i, content };
	const uint64_t seed = rk_hash64(2, from, sizeof(from));
	const uint64_t h = rk_hash64(seed, v, (size_t)f->floats * sizeof(*v));

	return h != 0 ? h : 1;
}

bool
feature_file_get(const struct feature_file *f, int64_t i, uint64_t content,
    float *to)
{
	struct head head;
	struct iovec v[2] = { { &head, sizeof(head) },
		{ to, (size_t)f->floats * sizeof(*to) } };

	must(i >= 0 && i < f->samples);
	return preadv(f->fd, v, 2, place(f, i)) == (ssize_t)f->record &&
	    head.content == content &&
	    head.check == check_of(f, i, content, to);
}

enum rk_err
feature_file_put(struct feature_file *f, int64_t i, uint64_t content,
    const float *from)
{
	struct head head = { check_of(f, i, content, from), content };
	struct iovec v[2] = { { &head, sizeof(head) },
		{ (float *)(uintptr_t)from, (size_t)f->floats *
		sizeof(*from) } };

	must(i >= 0 && i < f->samples);
	errno = ENOSPC;                 /* of a write that is too short */
	return pwritev(f->fd, v, 2, place(f, i)) == (ssize_t)f->record ?
	    RK_OK : rk_from_errno(errno);
}
