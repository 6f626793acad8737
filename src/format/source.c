/*
 * Bytes out of a file, a part of one, or memory: plain, gzip (RFC 1952; several
 * members in a row are one stream) or, of a member of a zip, bare deflate (RFC
 * 1951) with the checksum and the length that the archive has for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "impl.h"

#define CHUNK     ((size_t)256 << 10)
#define ASK_MOST  ((size_t)1 << 30)     /* of zlib and pread(2) at a time */

/* Deflate makes at most 1032 bytes of one (zlib's "maximum compression
 * factor"). */
#define DEFLATE_MOST 1032

/* How bytes are packed, and what came out of them so far. */
struct format_inflate {
	z_stream z;
	bool open;                      /* z wants inflateEnd() */
	bool done;                      /* a stream's end was seen */
	bool gzip;                      /* else a zip's member: */
	bool deflated;                  /* not stored */
	uint32_t crc, crc_want;
	uint64_t made, made_want;
};

static enum rk_err
no_memory(const struct format_source *s, struct rk_why *why)
{
	rk_refuse(why, "%s: there is no memory to read it", s->what);
	return RK_ENOMEM;
}

static enum rk_err
read_failed(const struct format_source *s, struct rk_why *why)
{
	int e = errno;

	rk_refuse(why, "%s: %s", s->what, strerror(e));
	return rk_from_errno(e);
}

/* pread(2) up to n bytes; 0 at the end. */
static enum rk_err
raw_read(struct format_source *s, void *dst, size_t n, size_t *got,
    struct rk_why *why)
{
	const size_t ask = RK_MIN(RK_MIN(n, ASK_MOST), s->left);
	ssize_t k = 0;

	if (ask > 0) {
		do
			k = pread(s->fd, dst, ask, (off_t)s->at);
		while (k < 0 && errno == EINTR);
	}
	if (k < 0)
		return read_failed(s, why);
	s->at += (uint64_t)k;
	s->left -= (uint64_t)k;
	*got = (size_t)k;
	return RK_OK;
}

/* Have bytes at s->next; none afterwards means that the end is there. */
static enum rk_err
raw_fill(struct format_source *s, struct rk_why *why)
{
	if (s->have > 0 || s->fd < 0)
		return RK_OK;
	if (s->chunk == NULL)
		s->chunk = malloc(CHUNK);
	if (s->chunk == NULL)
		return no_memory(s, why);
	s->next = s->chunk;
	return raw_read(s, s->chunk, CHUNK, &s->have, why);
}

/* window: as of inflateInit2(). */
static enum rk_err
unpack_begin(struct format_source *s, int window, struct rk_why *why)
{
	s->z = calloc(1, sizeof(*s->z));
	if (s->z == NULL || inflateInit2(&s->z->z, window) != Z_OK)
		return no_memory(s, why);
	s->z->open = true;
	s->packed = true;
	return RK_OK;
}

/* Is it gzip?  Of a plain file the bytes that tell are read anew. */
static enum rk_err
look(struct format_source *s, struct rk_why *why)
{
	uint8_t magic[2] = { 0 };
	size_t got = RK_MIN(s->have, sizeof(magic));
	enum rk_err rc = RK_OK;

	if (s->fd >= 0)
		rc = raw_read(s, magic, sizeof(magic), &got, why);
	else if (got > 0)
		memcpy(magic, s->next, got);
	if (rc != RK_OK)
		return rc;
	if (s->fd >= 0) {
		s->at -= got;
		s->left += got;
	}
	if (got < 2 || magic[0] != 0x1f || magic[1] != 0x8b)
		return RK_OK;
	/* 15 + 16: the largest window, gzip's header and trailer. */
	rc = unpack_begin(s, 15 + 16, why);
	if (rc == RK_OK)
		s->z->gzip = true;
	return rc;
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
source_open_file(struct format_source *s, const char *path,
    struct rk_why *why)
{
	struct stat st;

	*s = (struct format_source){ .what = path };
	/* NONBLOCK, so that a fifo does not hold us up before we refuse it. */
	s->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (s->fd < 0)
		return open_failed(path, why);
	if (fstat(s->fd, &st) != 0)
		return read_failed(s, why);
	if (!S_ISREG(st.st_mode))
		return rk_refuse(why, "%s: is no regular file", path);
	s->size = s->left = (uint64_t)st.st_size;
	return RK_OK;
}

void
source_open_bytes(struct format_source *s, const void *p, size_t n,
    const char *what)
{
	*s = (struct format_source){
		.what = what, .fd = -1, .next = p, .have = n, .size = n,
	};
}

enum rk_err
format_source_open(struct format_source *s, const char *path,
    struct rk_why *why)
{
	enum rk_err rc = source_open_file(s, path, why);

	return rc == RK_OK ? look(s, why) : rc;
}

enum rk_err
format_source_open_mem(struct format_source *s, const void *p, size_t n,
    const char *what, struct rk_why *why)
{
	source_open_bytes(s, p, n, what);
	return look(s, why);
}

enum rk_err
source_narrow(struct format_source *s, const struct source_part *part,
    struct rk_why *why)
{
	must(part->packed <= s->size && part->offset <= s->size - part->packed);
	if (s->fd >= 0) {
		s->at = part->offset;
		s->left = part->packed;
	} else {
		s->next += part->offset;
		s->have = (size_t)part->packed;
	}
	s->size = part->packed;
	enum rk_err rc = part->deflated ? unpack_begin(s, -15, why) : RK_OK;
	if (rc == RK_OK && s->z == NULL)
		s->z = calloc(1, sizeof(*s->z));
	if (s->z == NULL)
		return no_memory(s, why);
	if (rc != RK_OK)
		return rc;
	s->z->deflated = part->deflated;
	s->z->crc = (uint32_t)crc32(0, NULL, 0);
	s->z->crc_want = part->crc;
	s->z->made_want = part->size;
	return RK_OK;
}

void
format_source_close(struct format_source *s)
{
	if (s->z != NULL && s->z->open)
		inflateEnd(&s->z->z);
	free(s->z);
	free(s->chunk);
	free(s->own_what);
	if (s->fd >= 0)
		close(s->fd);
	*s = (struct format_source){ .fd = -1 };
}

/* Of a zip's member, and not of gzip. */
static bool
is_member(const struct format_source *s)
{
	return s->z != NULL && !s->z->gzip;
}

uint64_t
format_source_most(const struct format_source *s)
{
	uint64_t most = s->size;

	if (s->packed)
		most = s->size > UINT64_MAX / DEFLATE_MOST ? UINT64_MAX :
		    s->size * DEFLATE_MOST;
	return is_member(s) ? RK_MIN(most, s->z->made_want) : most;
}

bool
format_source_place(const struct format_source *s, int *fd, uint64_t *offset)
{
	if (s->fd < 0 || s->packed)
		return false;
	*fd = s->fd;
	*offset = s->at - s->have;
	return true;
}

static enum rk_err
plain_read(struct format_source *s, uint8_t *dst, size_t want, size_t *got,
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

/* After a stream's end: another member of gzip begins, or there must be
 * nothing. */
static enum rk_err
next_stream(struct format_source *s, bool *end, struct rk_why *why)
{
	enum rk_err rc = raw_fill(s, why);

	if (rc != RK_OK)
		return rc;
	*end = s->have == 0;
	if (*end)
		return RK_OK;
	if (!s->z->gzip)
		return rk_refuse(why, "%s: has bytes after the end of its "
		    "deflate stream", s->what);
	if (s->next[0] != 0x1f)
		return rk_refuse(why, "%s: has bytes after the end of its gzip "
		    "stream", s->what);
	inflateReset(&s->z->z);
	s->z->done = false;
	return RK_OK;
}

static const char *
stream_word(const struct format_source *s)
{
	return s->z->gzip ? "gzip" : "deflate";
}

/* One call of inflate() on what is at hand; *made is how much came out. */
static enum rk_err
unpack_some(struct format_source *s, uint8_t *dst, size_t want, size_t *made,
    struct rk_why *why)
{
	const size_t room = RK_MIN(want, ASK_MOST);
	const size_t in = RK_MIN(s->have, ASK_MOST);
	z_stream *z = &s->z->z;

	z->next_in = (z_const Bytef *)(uintptr_t)s->next;
	z->avail_in = (uInt)in;
	z->next_out = dst;
	z->avail_out = (uInt)room;
	int zr = inflate(z, Z_NO_FLUSH);

	s->next += in - z->avail_in;
	s->have -= in - z->avail_in;
	*made = room - z->avail_out;
	s->z->done = zr == Z_STREAM_END;
	if (zr == Z_MEM_ERROR)
		return no_memory(s, why);
	if (zr != Z_OK && zr != Z_STREAM_END && zr != Z_BUF_ERROR)
		return rk_refuse(why, "%s: its %s stream is corrupt (%s)",
		    s->what, stream_word(s), z->msg != NULL ? z->msg :
		    zError(zr));
	return RK_OK;
}

static enum rk_err
packed_read(struct format_source *s, uint8_t *dst, size_t want, size_t *got,
    struct rk_why *why)
{
	*got = 0;
	while (*got < want) {
		enum rk_err rc = raw_fill(s, why);
		size_t made;
		bool end = false;

		if (rc == RK_OK && s->z->done)
			rc = next_stream(s, &end, why);
		if (rc != RK_OK || end)
			return rc;
		if (s->have == 0)
			return rk_refuse(why, "%s: its %s stream ends early: "
			    "the file is cut off", s->what, stream_word(s));
		rc = unpack_some(s, dst + *got, want - *got, &made, why);
		if (rc != RK_OK)
			return rc;
		*got += made;
	}
	return RK_OK;
}

/* A member's checksum goes on; one that is longer than the archive says is
 * refused as soon as that is seen. */
static enum rk_err
member_count(struct format_source *s, const void *p, size_t n,
    struct rk_why *why)
{
	struct format_inflate *z = s->z;

	for (size_t at = 0; at < n; at += ASK_MOST)
		z->crc = (uint32_t)crc32(z->crc, (const Bytef *)p + at,
		    (uInt)RK_MIN(ASK_MOST, n - at));
	z->made += n;
	if (z->made <= z->made_want)
		return RK_OK;
	return rk_refuse(why, "%s: unpacks to more than the %llu bytes that "
	    "the archive says", s->what, (unsigned long long)z->made_want);
}

enum rk_err
format_source_read(struct format_source *s, void *dst, size_t want,
    size_t *got, struct rk_why *why)
{
	enum rk_err rc = s->packed ? packed_read(s, dst, want, got, why) :
	    plain_read(s, dst, want, got, why);

	return rc == RK_OK && is_member(s) ? member_count(s, dst, *got, why) :
	    rc;
}

enum rk_err
format_source_pass(struct format_source *s, uint64_t want, uint64_t *passed,
    struct rk_why *why)
{
	uint8_t away[4096];

	*passed = 0;
	if (!s->packed && !is_member(s)) {
		const size_t held = (size_t)RK_MIN(want, s->have);
		const uint64_t rest = RK_MIN(want - held, s->left);
		s->next += held;
		s->have -= held;
		s->at += rest;
		s->left -= rest;
		*passed = held + rest;
		return RK_OK;
	}
	while (*passed < want) {
		size_t got;
		enum rk_err rc = format_source_read(s, away, (size_t)RK_MIN(
		    want - *passed, sizeof(away)), &got, why);
		if (rc != RK_OK || got == 0)
			return rc;
		*passed += got;
	}
	return RK_OK;
}

enum rk_err
format_source_end(struct format_source *s, struct rk_why *why)
{
	uint8_t more;
	size_t got;
	enum rk_err rc = format_source_read(s, &more, 1, &got, why);

	if (rc == RK_OK && got > 0)
		return rk_refuse(why, "%s: has more bytes than its header says",
		    s->what);
	if (rc != RK_OK || !is_member(s))
		return rc;
	if (s->z->made != s->z->made_want)
		return rk_refuse(why, "%s: unpacks to %llu bytes, the archive "
		    "says %llu", s->what, (unsigned long long)s->z->made,
		    (unsigned long long)s->z->made_want);
	if (s->z->crc != s->z->crc_want)
		return rk_refuse(why, "%s: is damaged: its CRC-32 is %08x, the "
		    "archive says %08x", s->what, s->z->crc, s->z->crc_want);
	return RK_OK;
}

static enum rk_err
copy_chunks(struct format_source *s, int fd, uint64_t most, void *buf,
    uint64_t *size, struct rk_why *why)
{
	char text[RK_HUMAN];

	for (;;) {
		size_t got;
		enum rk_err rc = format_source_read(s, buf, CHUNK, &got, why);
		if (rc != RK_OK || got == 0)
			return rc;
		if (got > most - *size) {
			rk_refuse(why, "%s: unpacks to more than %s, the most "
			    "that is taken: unpack it first", s->what, rk_human_bytes(text,
			    most));
			return RK_ELIMIT;
		}
		if (rk_write_all(fd, buf, got) != 0) {
			int e = errno;
			rk_refuse(why, "%s: cannot be unpacked: %s", s->what,
			    strerror(e));
			return rk_from_errno(e);
		}
		*size += got;
	}
}

enum rk_err
source_copy(struct format_source *s, int fd, uint64_t most, uint64_t *size,
    struct rk_why *why)
{
	void *buf = malloc(CHUNK);

	*size = 0;
	enum rk_err rc = buf != NULL ? copy_chunks(s, fd, most, buf, size,
	    why) : no_memory(s, why);
	free(buf);
	return rc;
}

enum rk_err
format_gunzip(const char *path, int fd, uint64_t most, uint64_t *size,
    struct rk_why *why)
{
	struct format_source s;
	enum rk_err rc = format_source_open(&s, path, why);

	*size = 0;
	if (rc == RK_OK)
		rc = source_copy(&s, fd, most, size, why);
	format_source_close(&s);
	return rc;
}
