/* Text from outside, made fit for a log line, a table or a JSON string. */
#include <stdio.h>
#include <string.h>

#include "rekindle/base.h"

size_t
rk_utf8_len(const void *p, size_t n)
{
	const unsigned char *s = p;
	const size_t len = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 :
	    s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;

	if (len == 0 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong forms, surrogates, past U+10FFFF. */
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return len;
}

size_t
rk_utf8_good(const void *p, size_t n)
{
	const unsigned char *s = p;
	uint64_t eight;
	size_t i = 0;

	while (i < n) {
		while (n - i >= sizeof(eight)) {
			memcpy(&eight, s + i, sizeof(eight));
			if ((eight & 0x8080808080808080u) != 0)
				break;
			i += sizeof(eight);
		}
		if (i == n)
			break;
		const size_t len = rk_utf8_len(s + i, n - i);
		if (len == 0)
			return i;
		i += len;
	}
	return n;
}

/* U+061C, U+200E, U+200F, U+202A to U+202E, U+2066 to U+2069. */
size_t
rk_mark_len(const void *p, size_t n)
{
	const unsigned char *s = p;

	if (n >= 2 && s[0] == 0xd8)
		return s[1] == 0x9c ? 2 : 0;
	if (n < 3 || s[0] != 0xe2)
		return 0;
	if (s[1] == 0x80)
		return s[2] == 0x8e || s[2] == 0x8f ||
		    (s[2] >= 0xaa && s[2] <= 0xae) ? 3 : 0;
	return s[1] == 0x81 && s[2] >= 0xa6 && s[2] <= 0xa9 ? 3 : 0;
}

const char *
rk_mark_json(char out[8], const void *mark)
{
	const unsigned char *s = mark;

	snprintf(out, 8, "\\u%04x", s[0] == 0xd8 ?
	    (s[0] & 0x1fu) << 6 | (s[1] & 0x3fu) :
	    (s[0] & 0xfu) << 12 | (s[1] & 0x3fu) << 6 | (s[2] & 0x3fu));
	return out;
}

char *
rk_marks_clean(char *s)
{
	const char *const end = s + strlen(s);

	for (char *p = s; p < end; p++) {
		const size_t n = rk_mark_len(p, (size_t)(end - p));
		memset(p, '?', n);
	}
	return s;
}

char *
rk_text_clean(char *s)
{
	unsigned char *p = (unsigned char *)s, *const end = p + strlen(s);

	while (p < end) {
		size_t n = rk_utf8_len(p, (size_t)(end - p));
		/* U+0080 to U+009F are control characters too. */
		bool c1 = n == 2 && p[0] == 0xc2 && p[1] < 0xa0;
		if (n == 0 || *p < 0x20 || *p == 0x7f || c1) {
			*p = *p == '\n' || *p == '\t' ? ' ' : '?';
			p++;
			if (c1)
				*p++ = '?';
			continue;
		}
		if (rk_mark_len(p, n) == n)
			memset(p, '?', n);
		p += n;
	}
	return s;
}

size_t
rk_text_fit(const char *s, size_t max)
{
	size_t n = strnlen(s, max + 1);

	if (n <= max)
		return n;
	n = max;
	/* Back to where a character begins. */
	while (n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80)
		n--;
	return n;
}
