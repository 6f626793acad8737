/*
 * JSON text by hand.  A page of fifty jobs is served thousands of times a
 * second; trees are for what is served seldom.
 */
#include "impl.h"

#include <string.h>

/* Bytes that stand for themselves: all of ASCII but controls, quote and
 * backslash. */
static bool
plain(unsigned char c)
{
	return c >= 0x20 && c != '"' && c != '\\' && c < 0x80;
}

static void
put_special(struct strbuf *b, unsigned char c)
{
	switch (c) {
	case '"':  sb_adds(b, "\\\""); break;
	case '\\': sb_adds(b, "\\\\"); break;
	case '\n': sb_adds(b, "\\n"); break;
	case '\t': sb_adds(b, "\\t"); break;
	case '\r': sb_adds(b, "\\r"); break;
	default:   sb_addf(b, "\\u%04x", c); break;
	}
}

void
put_strn(struct strbuf *b, const char *str, size_t n)
{
	const unsigned char *s = (const unsigned char *)str;

	sb_addc(b, '"');
	for (size_t i = 0; i < n;) {
		size_t from = i, len;
		while (i < n && plain(s[i]))
			i++;
		sb_add(b, str + from, i - from);
		if (i == n)
			break;
		if (s[i] < 0x80) {
			put_special(b, s[i++]);
		} else if ((len = rk_utf8_len(s + i, n - i)) > 0) {
			sb_add(b, str + i, len);
			i += len;
		} else {
			sb_adds(b, "\xef\xbf\xbd");     /* U+FFFD */
			i++;
		}
	}
	sb_addc(b, '"');
}

void
put_str(struct strbuf *b, const char *s)
{
	put_strn(b, s, strlen(s));
}

void
put_key(struct strbuf *b, const char *key)
{
	sb_adds(b, ",\"");
	sb_adds(b, key);
	sb_adds(b, "\":");
}

void
put_time(struct strbuf *b, int64_t ms)
{
	char t[RK_TIME];

	if (ms == 0) {
		sb_adds(b, "null");
		return;
	}
	sb_addc(b, '"');
	sb_adds(b, rk_time_text(t, ms));
	sb_addc(b, '"');
}

void
put_or_null(struct strbuf *b, const char *s)
{
	if (s == NULL || *s == '\0')
		sb_adds(b, "null");
	else
		put_str(b, s);
}

void
put_raw(struct strbuf *b, const char *json, const char *empty)
{
	sb_adds(b, json == NULL || *json == '\0' ? empty : json);
}

void
put_next(struct strbuf *b, int64_t after, bool more)
{
	sb_addf(b, "],\"after\":%lld,\"next\":", (long long)after);
	if (more)
		sb_addf(b, "\"%lld\"}\n", (long long)after);
	else
		sb_adds(b, "null}\n");
}
