/*
 * What a file is, by its first bytes, and how it is turned, by its Exif.
 *
 * Exif (JEITA CP-3451) is a TIFF file inside: a byte order, 42, the place of
 * the first directory; there a count and entries of 12 bytes: tag, type, count,
 * value.  All that is read of it is one number, so whatever is wrong with it is
 * no reason to refuse a picture.
 */
#include <string.h>

#include "impl.h"

#define TAG_ORIENTATION 0x0112
#define TYPE_SHORT      3
#define TYPE_LONG       4

const char *const image_kind_words[] = {
	"unknown", "JPEG", "PNG", "GIF", "BMP", "WebP", "TIFF", "HEIF", NULL
};

const struct image_limits image_limits_default = {
	.side = 65500, .pixels = (int64_t)1 << 26, .memory = (uint64_t)512 << 20,
	.scans = 100,
};

static bool
begins(const uint8_t *p, size_t n, size_t at, const char *with, size_t len)
{
	return n >= at + len && memcmp(p + at, with, len) == 0;
}

enum image_kind
image_kind_of(const uint8_t *p, size_t n)
{
	static const struct {
		enum image_kind kind;
		size_t at;
		const char *with;
		size_t len;
	} marks[] = {
		{ IMAGE_JPEG, 0, "\xff\xd8\xff", 3 },
		{ IMAGE_PNG, 0, "\x89PNG\r\n\x1a\n", 8 },
		{ IMAGE_GIF, 0, "GIF8", 4 },
		{ IMAGE_BMP, 0, "BM", 2 },
		{ IMAGE_WEBP, 8, "WEBP", 4 },
		{ IMAGE_TIFF, 0, "II*\0", 4 },
		{ IMAGE_TIFF, 0, "MM\0*", 4 },
		{ IMAGE_HEIF, 4, "ftyp", 4 },
	};

	for (size_t i = 0; i < RK_ARRAY_LEN(marks); i++)
		if (begins(p, n, marks[i].at, marks[i].with, marks[i].len))
			return marks[i].kind;
	return IMAGE_UNKNOWN;
}

bool
image_kind_is_read(enum image_kind k)
{
	return k == IMAGE_JPEG || k == IMAGE_PNG;
}

/* --- TIFF ----------------------------------------------------------------- */

struct tiff {
	const uint8_t *p;
	size_t n;
	bool big;                       /* the high byte comes first */
};

static uint32_t
tiff_u16(const struct tiff *t, size_t at)
{
	const uint8_t *p = t->p + at;

	return t->big ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];
}

static uint32_t
tiff_u32(const struct tiff *t, size_t at)
{
	const uint32_t a = tiff_u16(t, at), b = tiff_u16(t, at + 2);

	return t->big ? a << 16 | b : b << 16 | a;
}

static int
tiff_orientation(const uint8_t *p, size_t n)
{
	struct tiff t = { .p = p, .n = n };

	if (n < 14 || (memcmp(p, "II", 2) != 0 && memcmp(p, "MM", 2) != 0))
		return 1;
	t.big = p[0] == 'M';
	const size_t dir = tiff_u32(&t, 4);
	if (tiff_u16(&t, 2) != 42 || dir > n - 2)
		return 1;
	const size_t count = tiff_u16(&t, dir);
	for (size_t i = 0; i < count; i++) {
		const size_t at = dir + 2 + 12 * i;
		if (at + 12 > n)
			return 1;
		if (tiff_u16(&t, at) != TAG_ORIENTATION)
			continue;
		const uint32_t type = tiff_u16(&t, at + 2);
		const uint32_t v = type == TYPE_SHORT ? tiff_u16(&t, at + 8) :
		    type == TYPE_LONG ? tiff_u32(&t, at + 8) : 0;
		return v >= 1 && v <= 8 ? (int)v : 1;
	}
	return 1;
}

/* --- where it is in a file ------------------------------------------------ */

/* Segments up to the first scan: a marker, two bytes of length with
 * themselves. */
static int
jpeg_orientation(const uint8_t *p, size_t n)
{
	static const char exif[] = "Exif\0";    /* and the NUL of C */
	size_t at = 2;

	while (at + 4 <= n && p[at] == 0xff) {
		const uint8_t marker = p[at + 1];
		const size_t len = (size_t)p[at + 2] << 8 | p[at + 3];

		if (marker == 0xff) {           /* a byte of filling */
			at++;
			continue;
		}
		if (marker == 0xda || marker == 0xd9 || len < 2 ||
		    len > n - at - 2)
			return 1;
		if (marker == 0xe1 && begins(p + at + 4, len - 2, 0, exif,
		    sizeof(exif)))
			return tiff_orientation(p + at + 4 + sizeof(exif),
			    len - 2 - sizeof(exif));
		at += 2 + len;
	}
	return 1;
}

/* Chunks: four bytes of length, four of type, the data, four of checksum. */
static int
png_orientation(const uint8_t *p, size_t n)
{
	size_t at = 8;

	while (n - at >= 12) {
		const size_t len = (size_t)p[at] << 24 |
		    (size_t)p[at + 1] << 16 | (size_t)p[at + 2] << 8 |
		    p[at + 3];

		if (len > n - at - 12)
			return 1;
		if (memcmp(p + at + 4, "eXIf", 4) == 0)
			return tiff_orientation(p + at + 8, len);
		at += 12 + len;
	}
	return 1;
}

int
look_orientation(enum image_kind k, const uint8_t *p, size_t n)
{
	return k == IMAGE_JPEG ? jpeg_orientation(p, n) :
	    k == IMAGE_PNG && n >= 8 ? png_orientation(p, n) : 1;
}
