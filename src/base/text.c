/* Text from outside, made fit for a log line, a table or a JSON string. */
#include <string.h>

#include "rekindle/base.h"

/* Length of the UTF-8 sequence at s, or 0 if it is not one (RFC 3629: no
 * overlong forms, no surrogates, nothing above U+10FFFF). */
static size_t
utf8_length(const unsigned char *s)
{
	unsigned char lo = 0x80, hi = 0xbf;
	size_t n;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		n = 2;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		n = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (s[0] == 0xe0)
		lo = 0xa0;
	else if (s[0] == 0xed)
		hi = 0x9f;
	else if (s[0] == 0xf0)
		lo = 0x90;
	else if (s[0] == 0xf4)
		hi = 0x8f;
	if (s[1] < lo || s[1] > hi)
		return 0;
	for (size_t i = 2; i < n; i++) {
		if (s[i] < 0x80 || s[i] > 0xbf)
			return 0;
	}
	return n;
}

char *
rk_text_clean(char *s)
{
	for (unsigned char *p = (unsigned char *)s; *p != '\0';) {
		size_t n = utf8_length(p);
		/* U+0080 to U+009F are control characters too. */
		bool c1 = n == 2 && p[0] == 0xc2 && p[1] < 0xa0;
		if (n == 0 || *p < 0x20 || *p == 0x7f || c1) {
			*p = *p == '\n' || *p == '\t' ? ' ' : '?';
			p++;
			if (c1)
				*p++ = '?';
			continue;
		}
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
