/*
 * Volcengine ECS: the time of a spot instance's end, five minutes ahead.  Its
 * form is not documented: RFC 3339 is read as it is, a time without a zone as
 * UTC+8, seconds since the epoch as such.
 */
#include <stdlib.h>

#include "clouds.h"

#define UTC_PLUS_8 (8 * 60)

static bool
epoch_seconds(const char *s, size_t len, int64_t *ms)
{
	char text[16], *end;

	if (len < 10 || len >= sizeof(text))
		return false;
	for (size_t i = 0; i < len; i++)
		text[i] = s[i];
	text[len] = '\0';
	long long v = strtoll(text, &end, 10);
	while (*end == '\n' || *end == ' ')
		end++;
	if (*end != '\0' || v < 1000000000 || v > 9999999999)
		return false;
	*ms = v * 1000;
	return true;
}

static bool
read_volcengine(int i, int status, const char *body, size_t len,
    struct sight *s, struct notice *n)
{
	int64_t when;

	(void)i;
	if (status == 404 || (status == 200 && when_blank(body, len)))
		return true;
	if (status != 200 || (!when_parse(body, len, UTC_PLUS_8, &when) &&
	    !epoch_seconds(body, len, &when)))
		return false;
	when_notice(n, "Volcengine takes this spot instance back", when, s);
	return true;
}

const struct cloud cloud_volcengine = {
	.base = "http://100.96.0.96",
	.q = {
		{ "/latest/spot_instance_termination_time", 5000, 0, false },
	},
	.read = read_volcengine,
};
