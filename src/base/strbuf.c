/* A growing string, and numbers as people write them. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "rekindle/base.h"

void
sb_init(struct strbuf *b)
{
	*b = (struct strbuf){0};
}

void
sb_fini(struct strbuf *b)
{
	free(b->s);
	*b = (struct strbuf){0};
}

void
sb_reset(struct strbuf *b)
{
	b->len = 0;
	if (b->s != NULL)
		b->s[0] = '\0';
}

/* Room for n more bytes and the NUL. */
static void
make_room(struct strbuf *b, size_t n)
{
	size_t want;

	must(rk_add(b->len, n, &want) && rk_add(want, 1, &want));
	if (b->s != NULL && want <= b->cap)
		return;
	size_t cap = RK_MAX(b->cap, 32);
	while (cap < want)
		cap = cap > SIZE_MAX / 2 ? want : cap * 2;
	b->s = xrealloc(b->s, cap);
	b->cap = cap;
}

void
sb_add(struct strbuf *b, const void *p, size_t n)
{
	make_room(b, n);
	if (n > 0)
		memcpy(b->s + b->len, p, n);
	b->len += n;
	b->s[b->len] = '\0';
}

void
sb_adds(struct strbuf *b, const char *s)
{
	sb_add(b, s, strlen(s));
}

void
sb_addc(struct strbuf *b, char c)
{
	sb_add(b, &c, 1);
}

void
sb_vaddf(struct strbuf *b, const char *fmt, va_list ap)
{
	va_list again;

	va_copy(again, ap);
	make_room(b, 0);
	int n = vsnprintf(b->s + b->len, b->cap - b->len, fmt, ap);
	must(n >= 0);
	if ((size_t)n >= b->cap - b->len) {
		make_room(b, (size_t)n);
		int m = vsnprintf(b->s + b->len, b->cap - b->len, fmt, again);
		must(m == n);
	}
	va_end(again);
	b->len += (size_t)n;
}

void
sb_addf(struct strbuf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	sb_vaddf(b, fmt, ap);
	va_end(ap);
}

void
sb_cut(struct strbuf *b, size_t n)
{
	must(n <= b->len);
	if (b->s == NULL)
		return;
	b->len -= n;
	memmove(b->s, b->s + n, b->len + 1);
}

const char *
sb_str(const struct strbuf *b)
{
	return b->s != NULL ? b->s : "";
}

char *
sb_detach(struct strbuf *b)
{
	make_room(b, 0);
	b->s[b->len] = '\0';
	char *s = b->s;
	*b = (struct strbuf){0};
	return s;
}

const char *
rk_s(int64_t n)
{
	return n == 1 ? "" : "s";
}

char *
rk_group_digits(char *out, int64_t n)
{
	char digits[RK_HUMAN];
	uint64_t u = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
	int len = snprintf(digits, sizeof(digits), "%" PRIu64, u);
	char *o = out;

	if (n < 0)
		*o++ = '-';
	for (int i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			*o++ = ',';
		*o++ = digits[i];
	}
	*o = '\0';
	return out;
}

char *
rk_human_rate(char *out, double rate)
{
	if (!(rate < 10))
		return rk_group_digits(out, (int64_t)RK_MIN(rate, 1e15));
	snprintf(out, RK_HUMAN, "%.2g", rate);
	return out;
}

char *
rk_human_bytes(char *out, uint64_t n)
{
	static const char *const units[] = {
		"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"
	};
	double x = (double)n;
	size_t u = 0;

	/* 1023.95 would be printed as 1024.0 */
	while (x >= 1023.95 && u + 1 < RK_ARRAY_LEN(units)) {
		x /= 1024;
		u++;
	}
	snprintf(out, RK_HUMAN, "%.1f", x);
	char *dot = strstr(out, ".0");
	if (dot != NULL)
		*dot = '\0';
	size_t len = strlen(out);
	snprintf(out + len, RK_HUMAN - len, " %s", units[u]);
	return out;
}

char *
rk_too_long(const char *what, uint64_t max)
{
	char human[RK_HUMAN], digits[RK_HUMAN];

	return xasprintf("%s is longer than %s (%s bytes), the most that is "
	    "taken", what, rk_human_bytes(human, max),
	    rk_group_digits(digits, (int64_t)max));
}
