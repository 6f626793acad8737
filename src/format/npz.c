/*
 * A member of a zip archive, found by its name: APPNOTE.TXT 6.3.
 *
 *	local header 50 4b 03 04, name, extra, the member's bytes
 *	...
 *	central directory: an entry 50 4b 01 02 for each member
 *	[zip64 end 50 4b 06 06, its locator 50 4b 06 07]
 *	end 50 4b 05 06, comment
 *
 * What counts is the central directory; the local header must have the same name,
 * and says where the bytes begin.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl.h"

#define END_BYTES     22
#define END64_BYTES   56
#define LOCATOR_BYTES 20
#define ENTRY_BYTES   46
#define LOCAL_BYTES   30
#define COMMENT_MAX   65535
#define DIRECTORY_MAX ((uint64_t)16 << 20)
#define NAME_SHOWN    60
#define LISTED        8         /* names that a refusal lists */

#define FLAG_ENCRYPTED  0x0001u
#define METHOD_STORED   0
#define METHOD_DEFLATED 8

struct zip {
	struct format_source *s;
	const unsigned char *mem;       /* or NULL: s->fd */
	uint64_t size;                  /* of the archive */
	uint64_t at, bytes, members;    /* of the central directory */
	unsigned char *dir;             /* its bytes */
	struct rk_why *why;
};

struct entry {
	const unsigned char *p;         /* its header */
	const char *name;
	size_t name_len;
	unsigned flags, method;
	uint32_t crc;
	uint64_t packed, size, offset;
};

/* Exactly n bytes at a place; the archive is at least that long. */
static enum rk_err
bytes_at(struct zip *z, uint64_t at, void *dst, size_t n)
{
	unsigned char *p = dst;

	must(n <= z->size && at <= z->size - n);
	if (z->mem != NULL) {
		memcpy(dst, z->mem + at, n);
		return RK_OK;
	}
	while (n > 0) {
		ssize_t k = pread(z->s->fd, p, n, (off_t)at);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0) {
			int e = k < 0 ? errno : EIO;
			rk_refuse(z->why, "%s: %s", z->s->what, k == 0 ?
			    "was cut off while it was read" : strerror(e));
			return rk_from_errno(e);
		}
		p += k;
		at += (uint64_t)k;
		n -= (size_t)k;
	}
	return RK_OK;
}

static enum rk_err
no_zip(struct zip *z, const char *what)
{
	return rk_refuse(z->why, "%s: is no whole npz: %s", z->s->what, what);
}

/* --- the end -------------------------------------------------------------- */

/* The end record of 64 bits, where the one of 32 points to one. */
static enum rk_err
read_end64(struct zip *z, uint64_t end)
{
	unsigned char l[LOCATOR_BYTES] = { 0 }, e[END64_BYTES] = { 0 };

	if (end < LOCATOR_BYTES)
		return no_zip(z, "its end says zip64, and there is no room");
	enum rk_err rc = bytes_at(z, end - LOCATOR_BYTES, l, sizeof(l));
	if (rc != RK_OK)
		return rc;
	const uint64_t at = format_le64(l + 8);
	if (format_le32(l) != 0x07064b50u || z->size < END64_BYTES ||
	    at > z->size - END64_BYTES)
		return no_zip(z, "its end says zip64, and no locator is there");
	rc = bytes_at(z, at, e, sizeof(e));
	if (rc != RK_OK)
		return rc;
	if (format_le32(e) != 0x06064b50u || format_le32(e + 16) != 0 ||
	    format_le32(e + 20) != 0)
		return no_zip(z, "its zip64 end is no good");
	z->members = format_le64(e + 32);
	z->bytes = format_le64(e + 40);
	z->at = format_le64(e + 48);
	return RK_OK;
}

/* The last end record whose comment reaches just to the end of the file. */
static enum rk_err
find_end(struct zip *z, unsigned char e[END_BYTES], uint64_t *end)
{
	const uint64_t span = RK_MIN(z->size, COMMENT_MAX + END_BYTES);
	enum rk_err rc;

	if (span < END_BYTES)
		return no_zip(z, "it is too short");
	unsigned char *tail = xmalloc(span);
	rc = bytes_at(z, z->size - span, tail, span);
	*end = UINT64_MAX;
	for (uint64_t i = span - END_BYTES + 1; rc == RK_OK && i-- > 0;) {
		if (format_le32(tail + i) != 0x06054b50u ||
		    i + END_BYTES + format_le16(tail + i + 20) != span)
			continue;
		memcpy(e, tail + i, END_BYTES);
		*end = z->size - span + i;
		break;
	}
	free(tail);
	if (rc == RK_OK && *end == UINT64_MAX)
		return no_zip(z, "the end of a zip archive is not there, so it "
		    "is cut off, or another kind of file");
	return rc;
}

static enum rk_err
read_end(struct zip *z)
{
	unsigned char e[END_BYTES] = { 0 };
	uint64_t end = 0;
	enum rk_err rc = find_end(z, e, &end);

	if (rc != RK_OK)
		return rc;
	if (format_le16(e + 4) != 0 || format_le16(e + 6) != 0)
		return no_zip(z, "it is of several disks");
	z->members = format_le16(e + 10);
	z->bytes = format_le32(e + 12);
	z->at = format_le32(e + 16);
	if (z->members == 0xffffu || z->bytes == 0xffffffffu ||
	    z->at == 0xffffffffu)
		rc = read_end64(z, end);
	if (rc != RK_OK)
		return rc;
	if (z->bytes > end || z->at > end - z->bytes)
		return no_zip(z, "its directory lies outside the file");
	if (z->members > FORMAT_NPZ_MEMBERS || z->bytes > DIRECTORY_MAX)
		return rk_refuse(z->why, "%s: has %llu members in a directory "
		    "of %llu bytes, at most %u and %llu are taken", z->s->what,
		    (unsigned long long)z->members,
		    (unsigned long long)z->bytes, FORMAT_NPZ_MEMBERS,
		    (unsigned long long)DIRECTORY_MAX);
	return RK_OK;
}

/* --- the directory -------------------------------------------------------- */

/* Sizes and the place that do not fit in 32 bits are in the extra field 1, in
 * this order, those that do not fit alone. */
static bool
read_extra(struct entry *e, const unsigned char *p, size_t n)
{
	uint64_t *const wide[] = { &e->size, &e->packed, &e->offset };

	while (n >= 4) {
		const unsigned id = format_le16(p);
		size_t len = format_le16(p + 2);
		if (len > n - 4)
			return false;
		const unsigned char *v = p + 4;
		p += 4 + len;
		n -= 4 + len;
		if (id != 1)
			continue;
		for (size_t i = 0; i < RK_ARRAY_LEN(wide); i++) {
			if (*wide[i] != 0xffffffffu)
				continue;
			if (len < 8)
				return false;
			*wide[i] = format_le64(v);
			v += 8;
			len -= 8;
		}
		return true;
	}
	return true;
}

/* The entry at *at of the directory, and over it. */
static bool
next_entry(const struct zip *z, uint64_t *at, struct entry *e)
{
	const unsigned char *p = z->dir + *at;
	const uint64_t left = z->bytes - *at;

	if (left < ENTRY_BYTES || format_le32(p) != 0x02014b50u)
		return false;
	const size_t name = format_le16(p + 28), extra = format_le16(p + 30);
	const size_t all = ENTRY_BYTES + name + extra + format_le16(p + 32);
	if (all > left || format_le16(p + 34) != 0)
		return false;
	*e = (struct entry){ .p = p, .name = (const char *)p + ENTRY_BYTES,
		.name_len = name, .flags = format_le16(p + 8),
		.method = format_le16(p + 10), .crc = format_le32(p + 16),
		.packed = format_le32(p + 20), .size = format_le32(p + 24),
		.offset = format_le32(p + 42) };
	*at += all;
	return read_extra(e, p + ENTRY_BYTES + name, extra);
}

static bool
is_named(const struct entry *e, const char *name)
{
	const size_t n = strlen(name);

	return e->name_len == n + 4 && memcmp(e->name, name, n) == 0 &&
	    memcmp(e->name + n, ".npy", 4) == 0;
}

/* " "x", "y"": what there is, for who asked for something else. */
static void
list_names(const struct zip *z, struct strbuf *b)
{
	struct entry e;
	uint64_t at = 0;
	int listed = 0;

	for (uint64_t i = 0; i < z->members && next_entry(z, &at, &e); i++) {
		size_t n = e.name_len;
		if (n < 4 || memcmp(e.name + n - 4, ".npy", 4) != 0)
			continue;
		if (listed++ == LISTED) {
			sb_adds(b, ", ...");
			return;
		}
		sb_adds(b, listed > 1 ? ", \"" : "\"");
		sb_add(b, e.name, RK_MIN(n - 4, (size_t)NAME_SHOWN));
		sb_addc(b, '"');
	}
	if (listed == 0)
		sb_adds(b, "none");
}

static enum rk_err
find_entry(struct zip *z, const char *name, struct entry *out)
{
	struct strbuf names = {0};
	struct entry e;
	uint64_t at = 0;
	int found = 0;

	for (uint64_t i = 0; i < z->members; i++) {
		if (!next_entry(z, &at, &e))
			return no_zip(z, "its directory is no good");
		if (is_named(&e, name)) {
			*out = e;
			found++;
		}
	}
	if (found == 1)
		return RK_OK;
	if (found > 1)
		return rk_refuse(z->why, "%s: has two arrays \"%s\"",
		    z->s->what, name);
	list_names(z, &names);
	enum rk_err rc = rk_refuse(z->why, "%s: has no array \"%s\"; there is "
	    "%s", z->s->what, name, sb_str(&names));
	sb_fini(&names);
	return rc;
}

/* --- the member ----------------------------------------------------------- */

static enum rk_err
bad_member(struct zip *z, const char *name, const char *what)
{
	return rk_refuse(z->why, "%s: its array \"%s\" %s", z->s->what, name,
	    what);
}

/* Its bytes, behind the local header; all lies before the directory. */
static enum rk_err
place_entry(struct zip *z, const char *name, const struct entry *e,
    struct source_part *part)
{
	unsigned char h[LOCAL_BYTES] = { 0 };
	char *own;

	if (e->flags & FLAG_ENCRYPTED)
		return bad_member(z, name, "is encrypted");
	if (e->method != METHOD_STORED && e->method != METHOD_DEFLATED)
		return bad_member(z, name, "is packed by another method than "
		    "deflate");
	if (z->at < LOCAL_BYTES || e->offset > z->at - LOCAL_BYTES)
		return bad_member(z, name, "lies outside the file");
	enum rk_err rc = bytes_at(z, e->offset, h, sizeof(h));
	if (rc != RK_OK)
		return rc;
	const size_t len = format_le16(h + 26), extra = format_le16(h + 28);
	uint64_t at = e->offset + LOCAL_BYTES;
	if (format_le32(h) != 0x04034b50u || len != e->name_len ||
	    format_le16(h + 8) != e->method || len + extra > z->at - at)
		return bad_member(z, name, "has two headers that differ");
	own = xmalloc(len + 1);
	rc = bytes_at(z, at, own, len);
	const bool same = rc == RK_OK && memcmp(own, e->name, len) == 0;
	free(own);
	if (rc != RK_OK)
		return rc;
	if (!same)
		return bad_member(z, name, "has two headers that differ");
	at += len + extra;
	if (e->packed > z->at - at)
		return bad_member(z, name, "lies outside the file");
	if (e->method == METHOD_STORED && e->packed != e->size)
		return bad_member(z, name, "is stored, and has two sizes");
	*part = (struct source_part){ .offset = at, .packed = e->packed,
		.size = e->size, .crc = e->crc,
		.deflated = e->method == METHOD_DEFLATED };
	return RK_OK;
}

static enum rk_err
open_member(struct zip *z, const char *name)
{
	struct source_part part;
	struct entry e = { 0 };
	enum rk_err rc = read_end(z);

	if (rc != RK_OK)
		return rc;
	z->dir = xmalloc(z->bytes + 1);
	rc = bytes_at(z, z->at, z->dir, z->bytes);
	if (rc == RK_OK)
		rc = find_entry(z, name, &e);
	if (rc == RK_OK)
		rc = place_entry(z, name, &e, &part);
	free(z->dir);
	if (rc != RK_OK)
		return rc;
	z->s->own_what = xasprintf("%s: %s", z->s->what, name);
	z->s->what = z->s->own_what;
	return source_narrow(z->s, &part, z->why);
}

enum rk_err
format_npz_open(struct format_source *s, const char *path, const char *name,
    struct rk_why *why)
{
	struct zip z = { .s = s, .why = why };
	enum rk_err rc = source_open_file(s, path, why);

	z.size = s->size;
	return rc == RK_OK ? open_member(&z, name) : rc;
}

enum rk_err
format_npz_open_mem(struct format_source *s, const void *p, size_t n,
    const char *what, const char *name, struct rk_why *why)
{
	struct zip z = { .s = s, .mem = p, .size = n, .why = why };

	source_open_bytes(s, p, n, what);
	return open_member(&z, name);
}
