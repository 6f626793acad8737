/* How an object is cut into parts, and what stores say of parts and objects. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "large.h"

#define MIB (1ull << 20)

/* Stores take 10,000 parts; 9,000 leave room for a file that was said to be a
 * little smaller. */
uint64_t
plan_part_size(uint64_t wanted, uint64_t size)
{
	uint64_t least = size / 9000 + (size % 9000 != 0);

	if (least <= wanted)
		return wanted;
	return (least + MIB - 1) / MIB * MIB;
}

size_t
plan_parts(uint64_t size, uint64_t part_size)
{
	uint64_t n;

	if (part_size == 0)
		return 0;
	n = size / part_size + (size % part_size != 0);
	n = RK_MAX(n, 1);
	return n > PARTS_MAX ? 0 : (size_t)n;
}

/* --- numbers and digests as text ---------------------------------------- */

static bool
number(const char *s, uint64_t *out)
{
	char *end;

	if (s == NULL || !isdigit((unsigned char)s[0]))
		return false;
	errno = 0;
	*out = strtoull(s, &end, 10);
	while (*end == ' ')
		end++;
	return *end == '\0' && errno == 0;
}

bool
etag_read(char out[ETAG_MAX], const char *s)
{
	size_t n;

	out[0] = '\0';
	if (s == NULL)
		return false;
	if (strncmp(s, "W/", 2) == 0)
		s += 2;
	s += strspn(s, "\" ");
	n = strcspn(s, "\"");
	while (n > 0 && s[n - 1] == ' ')
		n--;
	if (n == 0 || n >= ETAG_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] <= ' ' || (unsigned char)s[i] > '~')
			return false;
	memcpy(out, s, n);
	out[n] = '\0';
	return true;
}

static int
digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
unhex(const char *s, unsigned char *out, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int hi = digit(s[2 * i]);
		int lo = hi < 0 ? -1 : digit(s[2 * i + 1]);

		if (lo < 0)
			return false;
		out[i] = (unsigned char)(hi << 4 | lo);
	}
	return s[2 * n] == '\0';
}

bool
etag_md5(const char *etag, unsigned char md5[16])
{
	return unhex(etag, md5, 16);
}

void
etag_of_parts(char out[ETAG_MAX], const unsigned char (*md5)[16], size_t n)
{
	struct rk_md5 *d = rk_md5_new();
	unsigned char md[16];

	for (size_t i = 0; i < n; i++)
		rk_md5_add(d, md5[i], 16);
	rk_md5_end(d, md);
	rk_hex(out, md, sizeof(md));
	snprintf(out + 32, ETAG_MAX - 32, "-%zu", n);
}

char *
base64_of_hex(const char *hex)
{
	unsigned char raw[32];

	must(unhex(hex, raw, sizeof(raw)));
	return rk_base64(raw, sizeof(raw));
}

/* --- an answer's headers ------------------------------------------------ */

/* Metadata has another prefix at each kind of store. */
static const char *
meta(const struct http_answer *a, const char *s3, const char *oss)
{
	const char *v = http_header(a, s3);

	return v != NULL ? v : http_header(a, oss);
}

static void
read_meta(struct object *o, const struct http_answer *a)
{
	const char *v = meta(a, "x-amz-meta-sha256", "x-oss-meta-sha256");
	unsigned char raw[32];

	if (v != NULL && unhex(v, raw, sizeof(raw)))
		rk_hex(o->sha256, raw, sizeof(raw));
	v = meta(a, "x-amz-meta-upload-id", "x-oss-meta-upload-id");
	if (v != NULL)
		snprintf(o->upload_id, sizeof(o->upload_id), "%s", v);
}

void
object_read(struct object *o, const struct http_answer *a)
{
	const char *v;

	*o = (struct object){ 0 };
	o->has_size = number(http_header(a, "Content-Length"), &o->size);
	o->has_crc64 = number(http_header(a, "x-oss-hash-crc64ecma"),
	    &o->crc64);
	v = http_header(a, "ETag");
	(void)etag_read(o->etag, v);
	o->weak_etag = v != NULL && strncmp(v, "W/", 2) == 0;
	v = http_header(a, "Last-Modified");
	if (v == NULL || !rk_time_parse(v, &o->modified_ms))
		o->modified_ms = 0;
	v = http_header(a, "x-amz-server-side-encryption");
	o->opaque_etag = (v != NULL && strncasecmp(v, "aws:", 4) == 0) ||
	    http_header(a, "x-amz-server-side-encryption-customer-algorithm")
	    != NULL;
	read_meta(o, a);
}

bool
content_range_read(const char *s, uint64_t *first, uint64_t *last,
    uint64_t *total)
{
	char *end;

	if (s == NULL || strncasecmp(s, "bytes ", 6) != 0)
		return false;
	s += 6;
	if (!isdigit((unsigned char)*s))
		return false;
	errno = 0;
	*first = strtoull(s, &end, 10);
	if (*end != '-' || !isdigit((unsigned char)end[1]))
		return false;
	*last = strtoull(end + 1, &end, 10);
	if (*end != '/' || errno != 0 || *last < *first || *last > INT64_MAX)
		return false;
	*total = UINT64_MAX;
	if (strcmp(end + 1, "*") == 0)
		return true;
	return number(end + 1, total) && *total > *last;
}

/* --- ListParts ---------------------------------------------------------- */

static void
part_field(struct listed *p, const struct xml *x)
{
	const char *s = sb_str(&x->text);
	uint64_t v;

	if (strcmp(x->name, "PartNumber") == 0 && number(s, &v))
		p->number = v <= PARTS_MAX ? (unsigned)v : 0;
	else if (strcmp(x->name, "Size") == 0 && number(s, &v))
		p->size = v;
	else if (strcmp(x->name, "HashCrc64ecma") == 0 && number(s, &v)) {
		p->crc64 = v;
		p->has_crc64 = true;
	} else if (strcmp(x->name, "ETag") == 0)
		(void)etag_read(p->etag, s);
}

bool
parts_read(const char *p, size_t n, listed_fn *fn, void *ctx, unsigned *next)
{
	struct xml x;
	enum xml_event e;
	struct listed part = { 0 };
	bool in_part = false, is_list = false, more = false;
	uint64_t v = 0, marker = 0;

	xml_open(&x, p, n);
	while ((e = xml_next(&x)) == XML_OPEN || e == XML_CLOSE) {
		if (e == XML_OPEN && strcmp(x.name, "ListPartsResult") == 0)
			is_list = true;
		else if (e == XML_OPEN && strcmp(x.name, "Part") == 0) {
			part = (struct listed){ 0 };
			in_part = true;
		} else if (e == XML_CLOSE && strcmp(x.name, "Part") == 0) {
			if (in_part && part.number > 0)
				fn(ctx, &part);
			in_part = false;
		} else if (e == XML_CLOSE && in_part)
			part_field(&part, &x);
		else if (e == XML_CLOSE && strcmp(x.name, "IsTruncated") == 0)
			more = strcmp(sb_str(&x.text), "true") == 0;
		else if (e == XML_CLOSE && number(sb_str(&x.text), &v) &&
		    strcmp(x.name, "NextPartNumberMarker") == 0)
			marker = v;
	}
	xml_fini(&x);
	*next = more && marker > 0 && marker <= PARTS_MAX ? (unsigned)marker
	    : 0;
	return is_list && e == XML_END;
}
