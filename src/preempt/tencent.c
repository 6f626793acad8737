/*
 * Tencent Cloud CVM: "2018-08-18 12:05:33", in UTC+8 and without saying so; 404
 * when there is none.
 *
 * CVM documentation, "Querying the reclaiming status of spot instances".
 */
#include "clouds.h"

#define UTC_PLUS_8 (8 * 60)

static bool
read_tencent(int i, int status, const char *body, size_t len,
    struct sight *s, struct notice *n)
{
	int64_t when;

	(void)i;
	if (status == 404 || (status == 200 && when_blank(body, len)))
		return true;
	if (status != 200 || !when_parse(body, len, UTC_PLUS_8, &when))
		return false;
	when_notice(n, "Tencent Cloud reclaims this spot instance", when, s);
	return true;
}

const struct cloud cloud_tencent = {
	.base = "http://metadata.tencentyun.com",
	.q = {
		{ "/latest/meta-data/spot/termination-time", 5000, 0, false },
	},
	.read = read_tencent,
};
