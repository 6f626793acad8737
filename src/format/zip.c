/* The members of a zip archive, see zip.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "zip.h"

#define END_BYTES     22
#define END64_BYTES   56
#define LOCATOR_BYTES 20
#define ENTRY_BYTES   46
#define LOCAL_BYTES   30
#define COMMENT_MAX   65535
#define DIRECTORY_MAX ((uint64_t)16 << 20)
#define NAME_SHOWN    60

#define FLAG_ENCRYPTED  0x0001u
#define METHOD_STORED   0
#define METHOD_DEFLATED 8

/* What a refusal begins with. */
static const char *
lead(const struct zip *z)
{
	return z->what != NULL ? z->what : "";
}

static const char *
colon(const struct zip *z)
{
	return z->what != NULL ? ": " : "";
}

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
		ssize_t k = pread(z->fd, p, n, (off_t)at);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0) {
			int e = k < 0 ? errno : EIO;
			rk_refuse(z->why, "%s%s%s", lead(z), colon(z), k == 0 ?
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
	return rk_refuse(z->why, "%s%sis no whole %s: %s; fetch or save it "
	    "again", lead(z), colon(z), z->kind, what);
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
	if (z->members > z->most || z->bytes > DIRECTORY_MAX)
		return rk_refuse(z->why, "%s%shas %llu members in a directory "
		    "of %llu bytes, at most %llu and %llu are taken", lead(z),
		    colon(z), (unsigned long long)z->members,
		    (unsigned long long)z->bytes, (unsigned long long)z->most,
		    (unsigned long long)DIRECTORY_MAX);
	return RK_OK;
}

enum rk_err
zip_open(struct zip *z)
{
	enum rk_err rc = read_end(z);

	if (rc != RK_OK)
		return rc;
	if (z->mem != NULL) {
		z->dir = z->mem + z->at;
		return RK_OK;
	}
	z->own_dir = xmalloc(z->bytes + 1);
	z->dir = z->own_dir;
	return bytes_at(z, z->at, z->own_dir, z->bytes);
}

void
zip_close(struct zip *z)
{
	free(z->own_dir);
	z->own_dir = NULL;
}

/* --- the directory -------------------------------------------------------- */

/* Sizes and the place that do not fit in 32 bits are in the extra field 1, in
 * this order, those that do not fit alone. */
static bool
read_extra(struct zip_member *m, const unsigned char *p, size_t n)
{
	uint64_t *const wide[] = { &m->size, &m->packed, &m->offset };

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

static bool
read_entry(const struct zip *z, uint64_t *at, struct zip_member *m)
{
	const unsigned char *p = z->dir + *at;
	const uint64_t left = z->bytes - *at;

	if (left < ENTRY_BYTES || format_le32(p) != 0x02014b50u)
		return false;
	const size_t name = format_le16(p + 28), extra = format_le16(p + 30);
	const size_t all = ENTRY_BYTES + name + extra + format_le16(p + 32);
	if (all > left || format_le16(p + 34) != 0)
		return false;
	*m = (struct zip_member){ .name = (const char *)p + ENTRY_BYTES,
		.name_len = name, .flags = format_le16(p + 8),
		.method = format_le16(p + 10), .crc = format_le32(p + 16),
		.packed = format_le32(p + 20), .size = format_le32(p + 24),
		.offset = format_le32(p + 42) };
	*at += all;
	return read_extra(m, p + ENTRY_BYTES + name, extra);
}

enum rk_err
zip_next(struct zip *z, uint64_t *at, struct zip_member *m)
{
	return read_entry(z, at, m) ? RK_OK : no_zip(z, "its directory is no "
	    "good");
}

/* --- a member ------------------------------------------------------------- */

struct shown {
	const char *name;
	int n;
};

static enum rk_err
bad_member(struct zip *z, struct shown s, const char *what)
{
	return rk_refuse(z->why, "%s%sits %s \"%.*s\" %s", lead(z), colon(z),
	    z->member, s.n, s.name, what);
}

#define DAMAGED ": the archive is damaged, fetch or save it again"

/* What the directory alone says of it. */
static enum rk_err
check_entry(struct zip *z, const struct zip_member *m, struct shown s)
{
	if (m->flags & FLAG_ENCRYPTED)
		return bad_member(z, s, "is encrypted: unpack it with its "
		    "password, and save it again without");
	if (m->method != METHOD_STORED && m->method != METHOD_DEFLATED)
		return bad_member(z, s, "is packed by another method than "
		    "deflate: save it again, or pack it anew without "
		    "compression (zip -0)");
	if (m->method == METHOD_STORED && m->packed != m->size)
		return bad_member(z, s, "is stored, and has two sizes" DAMAGED);
	if (z->at < LOCAL_BYTES || m->offset > z->at - LOCAL_BYTES)
		return bad_member(z, s, "lies outside the file" DAMAGED);
	return RK_OK;
}

static enum rk_err
same_name(struct zip *z, const struct zip_member *m, uint64_t at, bool *same)
{
	char *own = xmalloc(m->name_len + 1);
	enum rk_err rc = bytes_at(z, at, own, m->name_len);

	*same = rc == RK_OK && memcmp(own, m->name, m->name_len) == 0;
	free(own);
	return rc;
}

enum rk_err
zip_place(struct zip *z, const struct zip_member *m, const char *shown,
    size_t n, struct source_part *part)
{
	const struct shown s = { shown, (int)RK_MIN(n, (size_t)NAME_SHOWN) };
	unsigned char h[LOCAL_BYTES] = { 0 };
	uint64_t at = m->offset + LOCAL_BYTES;
	bool same = false;
	enum rk_err rc = check_entry(z, m, s);

	if (rc == RK_OK)
		rc = bytes_at(z, m->offset, h, sizeof(h));
	if (rc != RK_OK)
		return rc;
	const size_t len = format_le16(h + 26), extra = format_le16(h + 28);
	if (format_le32(h) != 0x04034b50u || len != m->name_len ||
	    format_le16(h + 8) != m->method || len + extra > z->at - at)
		return bad_member(z, s, "has two headers that differ" DAMAGED);
	rc = same_name(z, m, at, &same);
	if (rc != RK_OK)
		return rc;
	if (!same)
		return bad_member(z, s, "has two headers that differ" DAMAGED);
	at += len + extra;
	if (m->packed > z->at - at)
		return bad_member(z, s, "lies outside the file" DAMAGED);
	*part = (struct source_part){ .offset = at, .packed = m->packed,
		.size = m->size, .crc = m->crc,
		.deflated = m->method == METHOD_DEFLATED };
	return RK_OK;
}
