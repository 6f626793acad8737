/*
 * What a character is, and what becomes of it without accents and capitals.
 */
#include <string.h>

#include "impl.h"

/* Rows are sorted by `first`, and stretches do not overlap. */
struct uc_range {
	uint32_t first, last;
	enum uc_class is;
};
/* Of every `step`th from first to last: c + by. */
struct uc_shift {
	uint32_t first, last, step;
	int32_t by;
};
struct uc_pair {
	uint32_t from, to;
};
/* More than one, or none: `to` has zeros behind. */
struct uc_many {
	uint32_t from, to[UC_MOST];
};
#include "unicode_tables.inc"

/* A Hangul syllable is two or three letters by arithmetic (Unicode 3.12). */
#define HANGUL      0xac00u
#define HANGUL_END  0xd7a3u
#define HANGUL_L    0x1100u
#define HANGUL_V    0x1161u
#define HANGUL_T    0x11a7u
#define HANGUL_NV   21u
#define HANGUL_NT   28u

/* Row number of the last whose first member is at most c, or n. */
static size_t
row_of(const void *rows, size_t n, size_t size, uint32_t c)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		const size_t mid = (lo + hi) / 2;
		uint32_t first;
		memcpy(&first, (const char *)rows + mid * size, sizeof(first));
		if (first <= c)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo > 0 ? lo - 1 : n;
}
#define ROW_OF(t, c) row_of(t, RK_ARRAY_LEN(t), sizeof((t)[0]), c)

static enum uc_class
ascii_class(uint32_t c)
{
	if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
		return UC_SPACE;
	if (c < ' ' || c == 0x7f)
		return UC_DROP;
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	    (c >= 'A' && c <= 'Z') ? UC_WORD : UC_PUNCT;
}

enum uc_class
uc_class(uint32_t c)
{
	if (c < 0x80)
		return ascii_class(c);
	if (c >= 0x4e00 && c <= 0x9fff)
		return UC_HAN;
	const size_t i = ROW_OF(uc_classes, c);
	return i < RK_ARRAY_LEN(uc_classes) && c <= uc_classes[i].last ?
	    uc_classes[i].is : UC_WORD;
}

static int
strip_hangul(uint32_t c, uint32_t out[UC_MOST])
{
	const uint32_t i = c - HANGUL, t = i % HANGUL_NT;

	out[0] = HANGUL_L + i / (HANGUL_NV * HANGUL_NT);
	out[1] = HANGUL_V + i / HANGUL_NT % HANGUL_NV;
	out[2] = HANGUL_T + t;
	return t > 0 ? 3 : 2;
}

int
uc_strip(uint32_t c, uint32_t out[UC_MOST])
{
	size_t i;
	int n = 0;

	out[0] = c;
	if (c < 0xc0 || (c >= 0x4e00 && c <= 0x9fff))
		return 1;
	if (c >= HANGUL && c <= HANGUL_END)
		return strip_hangul(c, out);
	i = ROW_OF(uc_strips, c);
	if (i < RK_ARRAY_LEN(uc_strips) && uc_strips[i].from == c) {
		out[0] = uc_strips[i].to;
		return 1;
	}
	i = ROW_OF(uc_strips_many, c);
	if (i < RK_ARRAY_LEN(uc_strips_many) && uc_strips_many[i].from == c) {
		while (n < UC_MOST && uc_strips_many[i].to[n] != 0) {
			out[n] = uc_strips_many[i].to[n];
			n++;
		}
		return n;
	}
	return uc_class(c) == UC_MARK ? 0 : 1;
}

int
uc_lower(uint32_t c, uint32_t out[UC_MOST])
{
	out[0] = c;
	if (c < 0x80) {
		out[0] = c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
		return 1;
	}
	if (c == 0x130) {               /* the only one of two characters */
		out[0] = 'i';
		out[1] = 0x307;
		return 2;
	}
	const size_t i = ROW_OF(uc_lowers, c);
	if (i < RK_ARRAY_LEN(uc_lowers) && c <= uc_lowers[i].last &&
	    (c - uc_lowers[i].first) % uc_lowers[i].step == 0)
		out[0] = (uint32_t)((int32_t)c + uc_lowers[i].by);
	return 1;
}

uint32_t
uc_read(const char *text, size_t *len)
{
	const unsigned char *s = (const unsigned char *)text;

	if (s[0] < 0x80) {
		*len = 1;
		return s[0];
	}
	if (s[0] < 0xe0) {
		*len = 2;
		return (s[0] & 0x1fu) << 6 | (s[1] & 0x3fu);
	}
	if (s[0] < 0xf0) {
		*len = 3;
		return (s[0] & 0xfu) << 12 | (s[1] & 0x3fu) << 6 |
		    (s[2] & 0x3fu);
	}
	*len = 4;
	return (s[0] & 7u) << 18 | (s[1] & 0x3fu) << 12 |
	    (s[2] & 0x3fu) << 6 | (s[3] & 0x3fu);
}

size_t
uc_write(uint32_t c, char out[4])
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}
