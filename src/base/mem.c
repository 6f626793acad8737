/* Memory for small things: there is some, or we stop. */
#include <stdlib.h>
#include <string.h>

#include "rekindle/base.h"

static void *
got(void *p, size_t n)
{
	if (p == NULL && n > 0) {
		log_error("out of memory: %zu bytes asked for", n);
		abort();
	}
	return p;
}

void *
xmalloc(size_t n)
{
	n = n > 0 ? n : 1;
	return got(malloc(n), n);
}

void *
xcalloc(size_t n, size_t size)
{
	size_t all;

	must(rk_mul(n, size, &all));
	all = all > 0 ? all : 1;
	return got(calloc(1, all), all);
}

void *
xrealloc(void *p, size_t n)
{
	n = n > 0 ? n : 1;
	return got(realloc(p, n), n);
}

char *
xstrdup(const char *s)
{
	size_t n = strlen(s) + 1;

	return memcpy(xmalloc(n), s, n);
}

char *
xstrndup(const char *s, size_t n)
{
	size_t len = strnlen(s, n);
	char *p = xmalloc(len + 1);

	memcpy(p, s, len);
	p[len] = '\0';
	return p;
}

char *
xasprintf(const char *fmt, ...)
{
	struct strbuf b = {0};
	va_list ap;

	va_start(ap, fmt);
	sb_vaddf(&b, fmt, ap);
	va_end(ap);
	return sb_detach(&b);
}

bool
rk_mul(size_t a, size_t b, size_t *out)
{
	return !__builtin_mul_overflow(a, b, out);
}

bool
rk_add(size_t a, size_t b, size_t *out)
{
	return !__builtin_add_overflow(a, b, out);
}
