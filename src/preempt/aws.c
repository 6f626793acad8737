/*
 * AWS EC2: spot interruptions, rebalance recommendations, scheduled events, the
 * end of an Auto Scaling group's instance.  IMDSv2; a service that gives no
 * token is asked without.  A scheduled event stays `active` for a while after
 * the reboot that it announced, and a recommendation outlives a stop and a
 * start: what lies before our beginning, or was said before the boot, is over.
 *
 * Amazon EC2 User Guide, "Spot Instance interruption notices", "EC2 instance
 * rebalance recommendations", "Scheduled events"; Auto Scaling User Guide,
 * "Retrieve the target lifecycle state".
 */
#include <string.h>

#include "rekindle/json.h"

#include "clouds.h"

enum { ACTION, REBALANCE, SCHEDULED, LIFECYCLE };

#define EVENTS_MAX 64

static json_t *
tree_of(const char *body, size_t len)
{
	json_t *v = NULL;

	return rkj_parse_json(body, len, &v, NULL) == RK_OK ? v : NULL;
}

static const char *
text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

/* {"action": "terminate", "time": "2017-09-18T08:22:00Z"} */
static void
read_action(const json_t *v, const struct sight *s, struct notice *n)
{
	const char *action = text_of(v, "action"), *time = text_of(v, "time");
	char who[96];
	int64_t when = 0;

	if (strcmp(action, "stop") != 0 && strcmp(action, "terminate") != 0 &&
	    strcmp(action, "hibernate") != 0)
		return;
	(void)when_parse(time, strlen(time), 0, &when);
	/* Hibernation has begun when it is announced. */
	if (strcmp(action, "hibernate") == 0 && when == 0)
		when = s->now_ms;
	snprintf(who, sizeof(who), "AWS takes this spot instance back (%s)",
	    action);
	when_notice(n, who, when, s);
}

/* [{"NotBefore": "21 Jan 2019 09:00:43 GMT", "Code": "system-reboot",
 *   "State": "active", "EventId": ...}] */
static void
read_scheduled(const json_t *list, const struct sight *s, struct notice *n)
{
	const json_t *e;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) > EVENTS_MAX)
		return;
	json_array_foreach(list, i, e) {
		const char *before = text_of(e, "NotBefore");
		char dated[80], who[128];
		int64_t when;
		if (strcmp(text_of(e, "State"), "active") != 0)
			continue;
		/* RFC 1123 but for the day of the week. */
		snprintf(dated, sizeof(dated), "Mon, %s", before);
		if (!when_parse(before, strlen(before), 0, &when) &&
		    !when_parse(dated, strlen(dated), 0, &when))
			continue;
		snprintf(who, sizeof(who), "AWS has scheduled %.40s for this "
		    "instance", text_of(e, "Code"));
		struct notice one = { 0 };
		when_notice(&one, who, when, s);
		if (one.kind == NOTICE_LEAVE && when > s->now_ms + SOON_MS)
			one.kind = NOTICE_EARLY;
		snprintf(one.id, sizeof(one.id), "%.100s",
		    text_of(e, "EventId"));
		rk_text_clean(one.text);
		rk_text_clean(one.id);
		if (one.kind > n->kind || (one.kind == n->kind &&
		    one.when_ms < n->when_ms))
			*n = one;
	}
}

/* {"noticeTime": "2020-10-27T08:22:00Z"} */
static void
read_rebalance(const json_t *v, const struct sight *s, struct notice *n)
{
	const char *time = text_of(v, "noticeTime");
	int64_t said = 0;

	if (time[0] == '\0')
		return;
	if (when_parse(time, strlen(time), 0, &said) && said < s->boot_ms)
		return;
	n->kind = NOTICE_EARLY;
	snprintf(n->text, sizeof(n->text), "AWS recommends to leave this spot "
	    "instance: it may be taken back");
	snprintf(n->id, sizeof(n->id), "%.100s", time);
	rk_text_clean(n->id);
}

static void
read_lifecycle(const char *body, size_t len, struct notice *n)
{
	if (len < 10 || memcmp(body, "Terminated", 10) != 0)
		return;
	n->kind = NOTICE_LEAVE;
	snprintf(n->text, sizeof(n->text), "AWS Auto Scaling terminates this "
	    "instance");
}

static bool
read_aws(int i, int status, const char *body, size_t len, struct sight *s,
    struct notice *n)
{
	json_t *v = NULL;

	if (status != 200)
		return status == 404;
	if (i == LIFECYCLE) {
		read_lifecycle(body, len, n);
		return true;
	}
	v = tree_of(body, len);
	if (i == ACTION)
		read_action(v, s, n);
	else if (i == SCHEDULED)
		read_scheduled(v, s, n);
	else
		read_rebalance(v, s, n);
	json_decref(v);
	return v != NULL;
}

const struct cloud cloud_aws = {
	.base = "http://169.254.169.254",
	.token_path = "/latest/api/token",
	.token_ttl = "X-aws-ec2-metadata-token-ttl-seconds: 3600",
	.token_header = "X-aws-ec2-metadata-token: ",
	.token_ms = 3600 * 1000,
	.q = {
		{ "/latest/meta-data/spot/instance-action", 2000, 0, false },
		{ "/latest/meta-data/events/recommendations/rebalance", 5000,
		    0, false },
		{ "/latest/meta-data/events/maintenance/scheduled", 60000, 0,
		    false },
		{ "/latest/meta-data/autoscaling/target-lifecycle-state", 5000,
		    0, false },
	},
	.read = read_aws,
};
