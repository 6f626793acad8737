/*
 * A number of at most 19 digits with a small exponent is exact in two steps: an
 * integer below 2^53 and a power of ten up to 10^22 are both doubles, so one
 * multiplication or division rounds once (Clinger, "How to read floating point
 * numbers accurately", PLDI 1990).  All others go to strtod.
 */
#include <locale.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "number.h"
#include "rekindle/base.h"

#define EXACT_POWER 22
#define EXACT_INT   ((uint64_t)1 << 53)
#define MAX_EXP     100000              /* past any double, far from overflow */
#define MAX_TEXT    1024                /* longer ones are no numbers to us */

static const double powers[EXACT_POWER + 1] = {
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12,
	1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
};

static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;

static void
make_c_locale(void)
{
	c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	must(c_locale != (locale_t)0);
}

static double
slow(const char *p, size_t n)
{
	char text[MAX_TEXT + 1];

	memcpy(text, p, n);
	text[n] = '\0';
	pthread_once(&c_locale_once, make_c_locale);
	return strtod_l(text, NULL, c_locale);
}

/* Digits at p, appended to *all; past 19 of them it wraps, and nobody looks. */
static inline const char *
take_digits(const char *p, const char *end, uint64_t *all)
{
	uint64_t n = *all;

	for (; p < end; p++) {
		unsigned digit = (unsigned)*p - '0';
		if (digit > 9)
			break;
		n = n * 10 + digit;
	}
	*all = n;
	return p;
}

/* An exponent at p, which is at the e; p itself when it is none. */
static const char *
take_exponent(const char *p, const char *end, int *out)
{
	const char *q = p + 1;
	bool minus = q < end && *q == '-';
	int e = 0;

	if (q < end && (*q == '-' || *q == '+'))
		q++;
	if (q == end || *q < '0' || *q > '9')
		return p;
	for (; q < end && *q >= '0' && *q <= '9'; q++)
		e = RK_MIN(e * 10 + (*q - '0'), MAX_EXP);
	*out = minus ? -e : e;
	return q;
}

const char *
number_parse(const char *p, const char *end, double *v)
{
	const char *begin = p, *first;
	uint64_t all = 0;
	bool minus = p < end && *p == '-';
	int e = 0;

	if (p < end && (*p == '-' || *p == '+'))
		p++;
	first = p;
	p = take_digits(p, end, &all);
	ptrdiff_t seen = p - first, fraction = 0;
	if (p < end && *p == '.') {
		first = p + 1;
		p = take_digits(first, end, &all);
		fraction = p - first;
	}
	if (seen + fraction == 0)
		return NULL;
	if (p < end && (*p == 'e' || *p == 'E'))
		p = take_exponent(p, end, &e);
	if (p - begin > MAX_TEXT)
		return NULL;

	e -= (int)fraction;
	if (seen + fraction <= 19 && all <= EXACT_INT && e >= -EXACT_POWER &&
	    e <= EXACT_POWER) {
		double x = (double)all;
		x = e < 0 ? x / powers[-e] : x * powers[e];
		*v = minus ? -x : x;
	} else {
		*v = slow(begin, (size_t)(p - begin));
	}
	return p;
}

bool
number_is_nonfinite(const char *s, size_t n)
{
	static const char *const words[] = { "nan", "inf", "infinity" };

	if (n > 0 && (*s == '-' || *s == '+')) {
		s++;
		n--;
	}
	for (size_t i = 0; i < RK_ARRAY_LEN(words); i++)
		if (n == strlen(words[i]) && strncasecmp(s, words[i], n) == 0)
			return true;
	return false;
}
