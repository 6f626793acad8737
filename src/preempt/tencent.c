/*
 * Tencent Cloud CVM: "2018-08-18 12:05:33", in UTC+8 and without saying so; 404
 * when there is none.
 *
 * CVM documentation, "Querying the reclaiming status of spot instances".
 */
#include "clouds.h"

#define UTC_PLUS_8 (8 * 60)

static void
read_tencent(int i, int status, const char *body, size_t len, const char *me,
    int64_t now, struct notice *n)
{
	int64_t when;

	(void)i;
	(void)me;
	if (status == 200 && when_parse(body, len, UTC_PLUS_8, &when))
		when_notice(n, "Tencent Cloud reclaims this spot instance",
		    when, now);
}

const struct cloud cloud_tencent = {
	.base = "http://metadata.tencentyun.com",
	.q = {
		{ "/latest/meta-data/spot/termination-time", 5000, 0, false },
	},
	.read = read_tencent,
};
