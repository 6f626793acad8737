/*
 * Azure Scheduled Events.  The list is of all machines of a set: only events
 * that name ours count.  The first request switches the service on and may take
 * two minutes; who does not ask for a day has it switched off.  When all is
 * saved the event is acknowledged (watch.c), and Azure need not wait; but not
 * one that names others, too, for Azure would go on with them as well.
 *
 * Azure documentation, "Azure Metadata Service: Scheduled Events for Linux
 * VMs", api-version 2020-07-01.
 */
#include <string.h>

#include "rekindle/json.h"

#include "clouds.h"

#define EVENTS_MAX 256

static const char *
text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

static bool
names_me(const json_t *e, const char *me)
{
	const json_t *r;
	size_t i;

	if (me[0] == '\0')
		return true;    /* not known: better one too many */
	json_array_foreach(json_object_get(e, "Resources"), i, r) {
		const char *s = json_string_value(r);
		if (s != NULL && strcasecmp(s, me) == 0)
			return true;
	}
	return false;
}

static void
read_event(const json_t *e, const char *me, int64_t now, struct notice *n)
{
	const char *type = text_of(e, "EventType");
	const char *before = text_of(e, "NotBefore");
	int64_t when = 0;
	char who[96];

	/* Empty once it has started. */
	(void)when_parse(before, strlen(before), 0, &when);
	if (strcmp(type, "Freeze") == 0) {
		n->kind = NOTICE_EARLY;
		snprintf(n->text, sizeof(n->text), "Azure will freeze this "
		    "machine for some seconds");
	} else if (strcmp(type, "Preempt") == 0 ||
	    strcmp(type, "Terminate") == 0 || strcmp(type, "Reboot") == 0 ||
	    strcmp(type, "Redeploy") == 0) {
		snprintf(who, sizeof(who), "Azure takes this machine (%s)",
		    type);
		when_notice(n, who, when, now);
	}
	n->alone = me[0] != '\0' &&
	    json_array_size(json_object_get(e, "Resources")) == 1;
	snprintf(n->id, sizeof(n->id), "%.100s", text_of(e, "EventId"));
	rk_text_clean(n->id);
}

static void
read_azure(int i, int status, const char *body, size_t len, const char *me,
    int64_t now, struct notice *n)
{
	json_t *v = NULL;
	const json_t *e, *list;
	size_t k;

	(void)i;
	if (status != 200 || rkj_parse_json(body, len, &v, NULL) != RK_OK)
		return;
	list = json_object_get(v, "Events");
	json_array_foreach(list, k, e) {
		struct notice one = { 0 };
		if (k >= EVENTS_MAX)
			break;
		if (names_me(e, me))
			read_event(e, me, now, &one);
		if (one.kind > n->kind || (one.kind == n->kind &&
		    one.when_ms != 0 && one.when_ms < n->when_ms))
			*n = one;
	}
	json_decref(v);
}

const struct cloud cloud_azure = {
	.base = "http://169.254.169.254",
	.header = "Metadata: true",
	.q = {
		{ "/metadata/scheduledevents?api-version=2020-07-01", 1000,
		    125 * 1000, false },
	},
	.read = read_azure,
	.name_path = "/metadata/instance/compute/name?api-version=2021-02-01"
	    "&format=text",
};
