/*
 * How many columns a terminal has, and how many a text takes.
 *
 * Text is UTF-8, whatever the locale says; what is not, or cannot be printed,
 * counts as one column a byte.
 */
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "cli.h"

#define COLUMNS_USUAL 80
#define COLUMNS_MAX   10000

size_t
cli_columns(int fd)
{
	const char *text = getenv("COLUMNS");
	struct winsize w;
	char *end;

	if (ioctl(fd, TIOCGWINSZ, &w) == 0 && w.ws_col > 0)
		return w.ws_col;
	if (text == NULL || *text < '0' || *text > '9')
		return COLUMNS_USUAL;
	errno = 0;
	unsigned long n = strtoul(text, &end, 10);
	return errno == 0 && *end == '\0' && n > 0 && n <= COLUMNS_MAX ? n :
	    COLUMNS_USUAL;
}

/* The columns of the character at s, and its bytes. */
static size_t
one(const char *s, size_t left, size_t *bytes)
{
	mbstate_t st = {0};
	wchar_t c;
	size_t n = mbrtowc(&c, s, left, &st);

	*bytes = n >= 1 && n <= left ? n : 1;
	int w = n >= 1 && n <= left ? wcwidth(c) : 1;
	return w < 0 ? 1 : (size_t)w;
}

/* How many bytes of s take `columns` at most; *used: the columns that they
 * take. */
static size_t
fit(const char *s, size_t columns, size_t *used)
{
	locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	locale_t old = utf8 != (locale_t)0 ? uselocale(utf8) : (locale_t)0;
	size_t at = 0, len = strlen(s), n, w;

	*used = 0;
	while (at < len) {
		w = one(s + at, len - at, &n);
		if (w > columns - *used)
			break;
		*used += w;
		at += n;
	}
	if (utf8 != (locale_t)0) {
		uselocale(old);
		freelocale(utf8);
	}
	return at;
}

size_t
cli_width(const char *s)
{
	size_t used;

	(void)fit(s, SIZE_MAX, &used);
	return used;
}

void
cli_cut(char *s, size_t columns)
{
	size_t used;

	s[fit(s, columns, &used)] = '\0';
}
