/* JSON read piece by piece, see scan.h. */
#include <string.h>

#include "scan.h"

bool
scan_fail(struct scan *s, const char *want)
{
	if (!s->failed)
		rk_refuse(s->why, "the header is no good at byte %zu: want %s",
		    s->at, want);
	s->failed = true;
	return false;
}

int
scan_peek(struct scan *s)
{
	while (s->at < s->n && (s->p[s->at] == ' ' || s->p[s->at] == '\n' ||
	    s->p[s->at] == '\r' || s->p[s->at] == '\t'))
		s->at++;
	return s->at < s->n ? s->p[s->at] : -1;
}

bool
scan_try(struct scan *s, char c)
{
	if (s->failed || scan_peek(s) != (unsigned char)c)
		return false;
	s->at++;
	return true;
}

bool
scan_take(struct scan *s, char c)
{
	char want[] = { '"', c, '"', '\0' };

	return scan_try(s, c) || scan_fail(s, want);
}

bool
scan_end(struct scan *s)
{
	return !s->failed &&
	    (scan_peek(s) == -1 || scan_fail(s, "nothing more"));
}

static int
hex_digit(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four hex digits at p[0..3], or -1. */
static int
hex4(const unsigned char *p, size_t n)
{
	int v = 0;

	if (n < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int d = hex_digit(p[i]);
		if (d < 0)
			return -1;
		v = v << 4 | d;
	}
	return v;
}

/* Bytes of the escape whose backslash is at p; 0 if it is none. */
static size_t
escape_len(const unsigned char *p, size_t n)
{
	int hi, lo;

	if (n < 2)
		return 0;
	if (p[1] != 'u')
		return memchr("\"\\/bfnrt", p[1], 8) != NULL ? 2 : 0;
	hi = hex4(p + 2, n - 2);
	if (hi < 0 || (hi >= 0xdc00 && hi <= 0xdfff))
		return 0;
	if (hi < 0xd800 || hi > 0xdbff)
		return 6;
	/* The first half of a pair: the other must follow. */
	if (n < 12 || p[6] != '\\' || p[7] != 'u')
		return 0;
	lo = hex4(p + 8, n - 8);
	return lo >= 0xdc00 && lo <= 0xdfff ? 12 : 0;
}

bool
scan_string(struct scan *s, struct scan_text *out)
{
	if (s->failed || !scan_take(s, '"'))
		return false;
	size_t start = s->at;
	while (s->at < s->n) {
		unsigned char c = s->p[s->at];
		if (c == '"') {
			*out = (struct scan_text){ s->p + start,
			    s->at - start };
			s->at++;
			return true;
		}
		if (c < 0x20)
			return scan_fail(s, "no control character in a string");
		size_t k = 1;
		if (c == '\\')
			k = escape_len(s->p + s->at, s->n - s->at);
		if (k == 0)
			return scan_fail(s, "an escape that JSON knows");
		s->at += k;
	}
	return scan_fail(s, "the end of a string");
}

static size_t
digits(struct scan *s)
{
	size_t n = 0;

	while (s->at < s->n && s->p[s->at] >= '0' && s->p[s->at] <= '9') {
		s->at++;
		n++;
	}
	return n;
}

static bool
at_one_of(const struct scan *s, const char *set)
{
	return s->at < s->n && s->p[s->at] != '\0' &&
	    strchr(set, s->p[s->at]) != NULL;
}

bool
scan_u64(struct scan *s, uint64_t *out)
{
	uint64_t v = 0;

	if (s->failed)
		return false;
	scan_peek(s);
	size_t start = s->at, n = digits(s);
	if (n == 0 || (n > 1 && s->p[start] == '0') || at_one_of(s, ".eE")) {
		s->at = start;
		return scan_fail(s, "a whole number that is not negative");
	}
	for (size_t i = start; i < s->at; i++) {
		unsigned d = s->p[i] - '0';
		if (v > (UINT64_MAX - d) / 10) {
			s->at = start;
			return scan_fail(s, "a number below 2^64");
		}
		v = v * 10 + d;
	}
	*out = v;
	return true;
}

static bool
skip_number(struct scan *s)
{
	size_t start;

	if (at_one_of(s, "-"))
		s->at++;
	start = s->at;
	size_t n = digits(s);
	if (n == 0 || (n > 1 && s->p[start] == '0'))
		return scan_fail(s, "a value");
	if (at_one_of(s, ".")) {
		s->at++;
		if (digits(s) == 0)
			return scan_fail(s, "a digit");
	}
	if (at_one_of(s, "eE")) {
		s->at++;
		if (at_one_of(s, "+-"))
			s->at++;
		if (digits(s) == 0)
			return scan_fail(s, "a digit");
	}
	return true;
}

static bool
skip_scalar(struct scan *s)
{
	static const char *const words[] = { "true", "false", "null" };
	struct scan_text t;

	if (scan_peek(s) == '"')
		return scan_string(s, &t);
	for (size_t i = 0; i < RK_ARRAY_LEN(words); i++) {
		size_t n = strlen(words[i]);
		if (s->n - s->at >= n &&
		    memcmp(s->p + s->at, words[i], n) == 0) {
			s->at += n;
			return true;
		}
	}
	return skip_number(s);
}

static bool
skip_key(struct scan *s)
{
	struct scan_text t;

	return scan_string(s, &t) && scan_take(s, ':');
}

bool
scan_skip(struct scan *s)
{
	uint64_t objects = 0;   /* a bit a level: is it an object */
	unsigned depth = 0;

	for (;;) {
		bool object = scan_try(s, '{');
		if (object || scan_try(s, '[')) {
			if (depth++ == SCAN_MAX_DEPTH)
				return scan_fail(s, "at most 64 levels");
			objects = objects << 1 | object;
			if (!scan_try(s, object ? '}' : ']')) {
				if (object && !skip_key(s))
					return false;
				continue;
			}
			depth--;
			objects >>= 1;
		} else if (!skip_scalar(s)) {
			return false;
		}
		/* A value has ended: close what ends with it. */
		while (depth > 0 && scan_try(s, objects & 1 ? '}' : ']')) {
			depth--;
			objects >>= 1;
		}
		if (depth == 0)
			return true;
		if (!scan_take(s, ',') || ((objects & 1) && !skip_key(s)))
			return false;
	}
}

static size_t
utf8_put(char out[4], unsigned c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	for (size_t i = n - 1; i > 0; i--) {
		out[i] = (char)(0x80 | (c & 0x3f));
		c >>= 6;
	}
	out[0] = (char)((0xf00 >> n & 0xff) | c);
	return n;
}

/* What the escape of k bytes at p stands for. */
static size_t
unescape_one(const unsigned char *p, size_t k, char out[4])
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";

	if (k == 2) {
		const char *f = strchr(from, p[1]);
		out[0] = f != NULL ? to[f - from] : (char)p[1];
		return 1;
	}
	unsigned c = (unsigned)hex4(p + 2, 4);
	if (k == 12)
		c = 0x10000 + ((c - 0xd800) << 10) +
		    ((unsigned)hex4(p + 8, 4) - 0xdc00);
	return utf8_put(out, c);
}

size_t
scan_unescape(const struct scan_text *t, char *out, size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n;) {
		char c[4] = { (char)t->p[i] };
		size_t in = 1, k = 1;
		if (t->p[i] == '\\') {
			in = escape_len(t->p + i, t->n - i);
			must(in > 0);
			k = unescape_one(t->p + i, in, c);
		}
		if (n + k <= cap)
			memcpy(out + n, c, k);
		n += k;
		i += in;
	}
	return n;
}

bool
scan_text_is(const struct scan_text *t, const char *word)
{
	char buf[64];
	size_t n = strlen(word);

	must(n <= sizeof(buf));
	return scan_unescape(t, buf, sizeof(buf)) == n &&
	    memcmp(buf, word, n) == 0;
}
