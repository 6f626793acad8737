/* Times as clouds write them. */
#include <ctype.h>
#include <string.h>
#include <time.h>

#include "clouds.h"

#define TEXT_MAX 64

/* "2018-08-18 12:05:33": local time without a zone. */
static bool
parse_local(const char *s, int zone_minutes, int64_t *ms)
{
	struct tm tm = { 0 };
	int end = 0;

	if (sscanf(s, "%4d-%2d-%2d %2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon,
	    &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &end) != 6 ||
	    s[end] != '\0')
		return false;
	if (tm.tm_year < 1970 || tm.tm_mon < 1 || tm.tm_mon > 12 ||
	    tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour < 0 ||
	    tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59 ||
	    tm.tm_sec < 0 || tm.tm_sec > 60)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	*ms = ((int64_t)timegm(&tm) - (int64_t)zone_minutes * 60) * 1000;
	return true;
}

bool
when_blank(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!isspace((unsigned char)s[i]))
			return false;
	}
	return true;
}

bool
when_parse(const char *s, size_t len, int zone_minutes, int64_t *ms)
{
	char text[TEXT_MAX];

	while (len > 0 && isspace((unsigned char)*s)) {
		s++;
		len--;
	}
	while (len > 0 && isspace((unsigned char)s[len - 1]))
		len--;
	if (len == 0 || len >= sizeof(text) || memchr(s, '\0', len) != NULL)
		return false;
	memcpy(text, s, len);
	text[len] = '\0';
	return rk_time_parse(text, ms) || parse_local(text, zone_minutes, ms);
}

void
when_notice(struct notice *n, const char *who, int64_t when_ms,
    const struct sight *s)
{
	char t[RK_TIME];

	if (when_ms != 0 && (when_ms <= s->begun_ms ||
	    when_ms < s->now_ms - STALE_MS))
		return;
	n->kind = NOTICE_LEAVE;
	n->when_ms = when_ms;
	snprintf(n->text, sizeof(n->text), "%s%s%s", who, when_ms != 0 ?
	    " at " : "", when_ms != 0 ? rk_time_text(t, when_ms) : "");
}
