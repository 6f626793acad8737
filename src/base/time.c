/* Two clocks: the wall's, for people, and the machine's, for deadlines; and the
 * wall's time as text. */
#include <string.h>
#include <time.h>

#include "rekindle/base.h"

static int64_t
clock_ns(clockid_t id)
{
	struct timespec ts;

	must(clock_gettime(id, &ts) == 0);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t
now_ms(void)
{
	return clock_ns(CLOCK_REALTIME) / 1000000;
}

int64_t
mono_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

int64_t
mono_ms(void)
{
	return mono_ns() / 1000000;
}

/* Years 1 to 9999, which is what RFC 3339 can write; others are clamped. */
#define FIRST_MS (-62135596800000)
#define LAST_MS  253402300799999

char *
rk_time_text(char *out, int64_t ms)
{
	struct tm tm;

	ms = RK_MIN(RK_MAX(ms, FIRST_MS), LAST_MS);
	int64_t milli = ms % 1000;
	if (milli < 0)
		milli += 1000;
	time_t sec = (time_t)((ms - milli) / 1000);
	must(gmtime_r(&sec, &tm) != NULL);
	size_t n = strftime(out, RK_TIME, "%FT%T", &tm);
	snprintf(out + n, RK_TIME - n, ".%03dZ", (int)milli);
	return out;
}

/* Exactly n digits at *p, which moves on; -1 if they are not there. */
static int
digits(const char **p, int n)
{
	int v = 0;

	for (int i = 0; i < n; i++, (*p)++) {
		if (**p < '0' || **p > '9')
			return -1;
		v = v * 10 + (**p - '0');
	}
	return v;
}

static bool
skip(const char **p, const char *word)
{
	size_t n = strlen(word);

	if (strncmp(*p, word, n) != 0)
		return false;
	*p += n;
	return true;
}

/* What stands in a date; month and day from 1. */
struct date {
	int year, month, day, hour, minute, second;
};

static bool
to_ms(const struct date *d, int64_t *ms)
{
	static const int days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30,
	    31 };
	bool leap = (d->year % 4 == 0 && d->year % 100 != 0) ||
	    d->year % 400 == 0;

	if (d->year < 1 || d->month < 1 || d->month > 12 || d->day < 1 ||
	    d->day > days[d->month - 1] ||
	    (d->month == 2 && d->day == 29 && !leap) || d->hour < 0 ||
	    d->hour > 23 || d->minute < 0 || d->minute > 59 ||
	    d->second < 0 || d->second > 60)
		return false;
	struct tm tm = { .tm_year = d->year - 1900, .tm_mon = d->month - 1,
	    .tm_mday = d->day, .tm_hour = d->hour, .tm_min = d->minute,
	    .tm_sec = d->second };
	*ms = (int64_t)timegm(&tm) * 1000;
	return true;
}

/* "18:29:47" */
static bool
clock_time(const char **p, struct date *d)
{
	d->hour = digits(p, 2);
	if (!skip(p, ":"))
		return false;
	d->minute = digits(p, 2);
	if (!skip(p, ":"))
		return false;
	d->second = digits(p, 2);
	return d->second >= 0;
}

/* "Z", "+08:00": minutes east of Greenwich. */
static bool
zone(const char **p, int *minutes)
{
	bool east = **p == '+';

	*minutes = 0;
	if (skip(p, "Z") || skip(p, "z"))
		return true;
	if (!east && **p != '-')
		return false;
	(*p)++;
	int hour = digits(p, 2);
	if (hour < 0 || hour > 23 || !skip(p, ":"))
		return false;
	int minute = digits(p, 2);
	if (minute < 0 || minute > 59)
		return false;
	*minutes = (hour * 60 + minute) * (east ? 1 : -1);
	return true;
}

/* RFC 3339: 2026-11-23T11:56:22.787014140Z */
static bool
parse_3339(const char *p, int64_t *ms)
{
	struct date d = { .year = digits(&p, 4) };
	int64_t milli = 0;
	int minutes;

	if (!skip(&p, "-"))
		return false;
	d.month = digits(&p, 2);
	if (!skip(&p, "-"))
		return false;
	d.day = digits(&p, 2);
	if (!skip(&p, "T") && !skip(&p, "t") && !skip(&p, " "))
		return false;
	if (!clock_time(&p, &d))
		return false;
	if (skip(&p, ".")) {
		if (*p < '0' || *p > '9')
			return false;
		for (int64_t unit = 100; *p >= '0' && *p <= '9'; unit /= 10)
			milli += (*p++ - '0') * unit;
	}
	if (!zone(&p, &minutes) || *p != '\0' || !to_ms(&d, ms))
		return false;
	*ms += milli - (int64_t)minutes * 60000;
	return true;
}

/* RFC 1123: Mon, 19 Sep 2016 18:29:47 GMT.  The weekday says nothing new. */
static bool
parse_1123(const char *p, int64_t *ms)
{
	static const char *const months[] = { "Jan", "Feb", "Mar", "Apr",
	    "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	struct date d = {0};

	if (strnlen(p, 5) < 5 || p[3] != ',' || p[4] != ' ')
		return false;
	p += 5;
	d.day = digits(&p, 2);
	if (!skip(&p, " "))
		return false;
	for (int i = 0; i < 12 && d.month == 0; i++) {
		if (skip(&p, months[i]))
			d.month = i + 1;
	}
	if (!skip(&p, " "))
		return false;
	d.year = digits(&p, 4);
	return skip(&p, " ") && clock_time(&p, &d) && skip(&p, " GMT") &&
	    *p == '\0' && to_ms(&d, ms);
}

bool
rk_time_parse(const char *s, int64_t *ms)
{
	return parse_3339(s, ms) || parse_1123(s, ms);
}
