/*
 * Alibaba Cloud ECS: the time a preemptible instance is released, about five
 * minutes ahead; 404 or an empty body when none is set.
 *
 * ECS documentation, "Query the interruption of preemptible instances",
 * "Instance metadata, security-hardened mode".
 */
#include "clouds.h"

static bool
read_alibaba(int i, int status, const char *body, size_t len,
    struct sight *s, struct notice *n)
{
	int64_t when;

	(void)i;
	if (status == 404 || (status == 200 && when_blank(body, len)))
		return true;
	if (status != 200 || !when_parse(body, len, 0, &when))
		return false;
	when_notice(n, "Alibaba Cloud releases this preemptible instance",
	    when, s);
	return true;
}

const struct cloud cloud_alibaba = {
	.base = "http://100.100.100.200",
	.token_path = "/latest/api/token",
	.token_ttl = "X-aliyun-ecs-metadata-token-ttl-seconds: 3600",
	.token_header = "X-aliyun-ecs-metadata-token: ",
	.token_ms = 3600 * 1000,
	.q = {
		{ "/latest/meta-data/instance/spot/termination-time", 5000, 0,
		    false },
	},
	.read = read_alibaba,
};
