/* Two clocks: the wall's, for people, and the machine's, for deadlines. */
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
