/* Times that others write, read. */
#include "rekindle/base.h"
#include "t.h"

static int64_t
ms_of(const char *s)
{
	int64_t ms = -1;
	if (!rk_time_parse(s, &ms))
		t_fail("refused: \"%s\"", s);
	return ms;
}

/* 1479249799: `date -u -d 2016-11-15T22:43:19Z +%s`, and so on. */
T_CASE(the_form_of_rfc_3339_is_read)
{
	t_eq_int(ms_of("1970-01-01T00:00:00Z"), 0);
	t_eq_int(ms_of("2016-11-15T22:43:19Z"), 1479249799000);
	t_eq_int(ms_of("2016-11-15T22:43:19.5Z"), 1479249799500);
	t_eq_int(ms_of("2016-11-15T22:43:19.787014140Z"), 1479249799787);
	t_eq_int(ms_of("2016-11-15t22:43:19z"), 1479249799000);
	t_eq_int(ms_of("2016-11-16T06:43:19+08:00"), 1479249799000);
	t_eq_int(ms_of("2016-11-15T19:13:19-03:30"), 1479249799000);
	t_eq_int(ms_of("2024-02-29T12:00:00Z"), 1709208000000);
	t_eq_int(ms_of("1969-12-31T23:59:59.250Z"), -750);
	t_eq_int(ms_of("2016-12-31T23:59:60Z"), 1483228800000);
}

T_CASE(the_date_header_is_read)
{
	t_eq_int(ms_of("Mon, 19 Sep 2016 18:29:47 GMT"), 1474309787000);
	t_eq_int(ms_of("Thu, 01 Jan 1970 00:00:00 GMT"), 0);
}

T_CASE(our_own_times_come_back)
{
	char text[RK_TIME];
	int64_t now = now_ms();
	for (int64_t ms = now; ms < now + 4000; ms += 7)
		t_eq_int(ms_of(rk_time_text(text, ms)), ms);
}

T_CASE(what_is_no_time_is_refused)
{
	static const char *const bad[] = { "", "2016", "2016-11-15",
	    "2016-11-15T22:43Z", "2016-11-15T22:43:19", "2016-13-15T22:43:19Z",
	    "2016-11-31T22:43:19Z", "2015-02-29T22:43:19Z",
	    "1900-02-29T22:43:19Z", "2016-11-15T24:43:19Z",
	    "2016-11-15T22:60:19Z", "2016-11-15T22:43:61Z",
	    "2016-11-15T22:43:19.Z", "2016-11-15T22:43:19Zx",
	    "2016-11-15T22:43:19+0800", "2016-11-15T22:43:19+24:00",
	    "0000-01-01T00:00:00Z", "-016-11-15T22:43:19Z",
	    "Mon, 19 Sep 2016 18:29:47", "Mon, 19 Sep 2016 18:29:47 CET",
	    "Mon, 9 Sep 2016 18:29:47 GMT", "Mon, 19 Xxx 2016 18:29:47 GMT",
	    "Mon, ", "Mon", "1479249799" };
	for (size_t i = 0; i < RK_ARRAY_LEN(bad); i++) {
		int64_t ms = 42;
		if (rk_time_parse(bad[i], &ms))
			t_fail("taken: \"%s\" as %lld", bad[i], (long long)ms);
	}
}

T_MAIN
