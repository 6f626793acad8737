/*
 * Bytes out of a file or memory, plain or gzip (RFC 1952, told by its first two
 * bytes; several members in a row are one stream).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "source.h"

#define CHUNK     ((size_t)256 << 10)
#define ASK_MOST  ((size_t)1 << 30)     /* of zlib and read(2) at a time */

/* Deflate makes at most 1032 bytes of one (zlib's "maximum compression
 * factor"). */
#define DEFLATE_MOST 1032

static enum rk_err
no_memory(const struct source *s, struct rk_why *why)
{
	rk_refuse(why, "%s: there is no memory to read it", s->what);
	return RK_ENOMEM;
}

static enum rk_err
read_failed(const struct source *s, struct rk_why *why)
{
	int e = errno;

	rk_refuse(why, "%s: %s", s->what, strerror(e));
	return rk_from_errno(e);
}

/* read(2) up to n bytes; 0 at the end. */
static enum rk_err
raw_read(struct source *s, void *dst, size_t n, size_t *got,
    struct rk_why *why)
{
	ssize_t k;

	do
		k = read(s->fd, dst, RK_MIN(n, ASK_MOST));
	while (k < 0 && errno == EINTR);
	if (k < 0)
		return read_failed(s, why);
	*got = (size_t)k;
	return RK_OK;
}

/* Have bytes at s->next; none afterwards means that the end is there. */
static enum rk_err
raw_fill(struct source *s, struct rk_why *why)
{
	if (s->have > 0 || s->fd < 0)
		return RK_OK;
	s->next = s->chunk;
	return raw_read(s, s->chunk, CHUNK, &s->have, why);
}

static enum rk_err
look(struct source *s, struct rk_why *why)
{
	enum rk_err rc = raw_fill(s, why);

	if (rc != RK_OK)
		return rc;
	s->gz = s->have >= 2 && s->next[0] == 0x1f && s->next[1] == 0x8b;
	if (!s->gz)
		return RK_OK;
	/* 15 + 16: the largest window, gzip's header and trailer. */
	if (inflateInit2(&s->z, 15 + 16) != Z_OK)
		return no_memory(s, why);
	s->z_open = true;
	return RK_OK;
}

static enum rk_err
open_failed(const char *path, struct rk_why *why)
{
	int e = errno;
	char *reason = rk_why_unreadable(path, e);

	rk_refuse(why, "%s: %s", path, reason);
	free(reason);
	return rk_from_errno(e);
}

enum rk_err
source_open(struct source *s, const char *path, struct rk_why *why)
{
	struct stat st;

	*s = (struct source){ .what = path };
	/* NONBLOCK, so that a fifo does not hold us up before we refuse it. */
	s->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (s->fd < 0)
		return open_failed(path, why);
	if (fstat(s->fd, &st) != 0)
		return read_failed(s, why);
	if (!S_ISREG(st.st_mode))
		return rk_refuse(why, "%s: is no regular file", path);
	s->size = (uint64_t)st.st_size;
	s->chunk = malloc(CHUNK);
	if (s->chunk == NULL)
		return no_memory(s, why);
	return look(s, why);
}

enum rk_err
source_open_mem(struct source *s, const void *p, size_t n, const char *what,
    struct rk_why *why)
{
	*s = (struct source){
		.what = what, .fd = -1, .next = p, .have = n, .size = n,
	};
	return look(s, why);
}

void
source_close(struct source *s)
{
	if (s->z_open)
		inflateEnd(&s->z);
	free(s->chunk);
	if (s->fd >= 0)
		close(s->fd);
	*s = (struct source){ .fd = -1 };
}

uint64_t
source_most(const struct source *s)
{
	if (!s->gz)
		return s->size;
	return s->size > UINT64_MAX / DEFLATE_MOST ? UINT64_MAX :
	    s->size * DEFLATE_MOST;
}

static enum rk_err
plain_read(struct source *s, uint8_t *dst, size_t want, size_t *got,
    struct rk_why *why)
{
	*got = RK_MIN(want, s->have);
	if (*got > 0)
		memcpy(dst, s->next, *got);
	s->next += *got;
	s->have -= *got;

	/* The rest straight into its place. */
	while (*got < want && s->fd >= 0) {
		size_t k = 0;
		enum rk_err rc = raw_read(s, dst + *got, want - *got, &k, why);
		if (rc != RK_OK)
			return rc;
		if (k == 0)
			break;
		*got += k;
	}
	return RK_OK;
}

/* After a member's end: another one begins, or there must be nothing. */
static enum rk_err
gz_next_member(struct source *s, bool *end, struct rk_why *why)
{
	enum rk_err rc = raw_fill(s, why);

	if (rc != RK_OK)
		return rc;
	*end = s->have == 0;
	if (*end)
		return RK_OK;
	if (s->next[0] != 0x1f)
		return rk_refuse(why, "%s: has bytes after the end of its gzip "
		    "stream", s->what);
	inflateReset(&s->z);
	s->z_done = false;
	return RK_OK;
}

/* One call of inflate() on what is at hand; *made is how much came out. */
static enum rk_err
gz_some(struct source *s, uint8_t *dst, size_t want, size_t *made,
    struct rk_why *why)
{
	const size_t room = RK_MIN(want, ASK_MOST);
	const size_t in = RK_MIN(s->have, ASK_MOST);

	s->z.next_in = (z_const Bytef *)(uintptr_t)s->next;
	s->z.avail_in = (uInt)in;
	s->z.next_out = dst;
	s->z.avail_out = (uInt)room;
	int zr = inflate(&s->z, Z_NO_FLUSH);

	s->next += in - s->z.avail_in;
	s->have -= in - s->z.avail_in;
	*made = room - s->z.avail_out;
	s->z_done = zr == Z_STREAM_END;
	if (zr == Z_MEM_ERROR)
		return no_memory(s, why);
	if (zr != Z_OK && zr != Z_STREAM_END && zr != Z_BUF_ERROR)
		return rk_refuse(why, "%s: its gzip stream is corrupt (%s)",
		    s->what, s->z.msg != NULL ? s->z.msg : zError(zr));
	return RK_OK;
}

static enum rk_err
gz_read(struct source *s, uint8_t *dst, size_t want, size_t *got,
    struct rk_why *why)
{
	*got = 0;
	while (*got < want) {
		enum rk_err rc = raw_fill(s, why);
		size_t made;
		bool end = false;

		if (rc == RK_OK && s->z_done)
			rc = gz_next_member(s, &end, why);
		if (rc != RK_OK || end)
			return rc;
		if (s->have == 0)
			return rk_refuse(why, "%s: its gzip stream ends early: "
			    "the file is cut off", s->what);
		rc = gz_some(s, dst + *got, want - *got, &made, why);
		if (rc != RK_OK)
			return rc;
		*got += made;
	}
	return RK_OK;
}

enum rk_err
source_read(struct source *s, void *dst, size_t want, size_t *got,
    struct rk_why *why)
{
	return s->gz ? gz_read(s, dst, want, got, why) :
	    plain_read(s, dst, want, got, why);
}

enum rk_err
source_end(struct source *s, struct rk_why *why)
{
	uint8_t more;
	size_t got;
	enum rk_err rc = source_read(s, &more, 1, &got, why);

	if (rc == RK_OK && got > 0)
		return rk_refuse(why, "%s: has more bytes than its header says",
		    s->what);
	return rc;
}
