/*
 * Azure Scheduled Events.  The list is of all machines of a set: only events
 * that name ours count.  The first request switches the service on and may take
 * two minutes; who does not ask for a day has it switched off.
 *
 * When all is saved and in its bucket the event is acknowledged (watch.c), and
 * Azure need not wait: one that ends the machine, unless the configuration says
 * otherwise; a reboot may yet be put off.  Not one that names others, too, for
 * Azure would go on with them as well.
 *
 * An event is `Started` from its time on, and is listed as such for a while
 * after the reboot that it announced, without a time.  So what has started
 * before our first answer is over.
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

static const struct {
	const char *word;
	enum notice_kind kind;
	bool ends;              /* the machine does not come back from it */
} types[] = {
	{ "Preempt", NOTICE_LEAVE, true },
	{ "Terminate", NOTICE_LEAVE, true },
	{ "Reboot", NOTICE_LEAVE, false },
	{ "Redeploy", NOTICE_LEAVE, false },
	{ "Freeze", NOTICE_EARLY, false },
};

/* Is this event over?  One that is at the first answer stays so. */
static bool
is_over(const json_t *e, int64_t when, const char *id, struct sight *s)
{
	bool started = strcasecmp(text_of(e, "EventStatus"), "Started") == 0;

	for (int i = 0; i < s->overs; i++) {
		if (strcmp(s->over[i], id) == 0)
			return true;
	}
	if (!s->first || !(started || (when != 0 && when <= s->begun_ms)))
		return false;
	if (s->overs < OVER_MAX && id[0] != '\0')
		snprintf(s->over[s->overs++], EVENT_ID, "%s", id);
	return true;
}

static void
read_event(const json_t *e, struct sight *s, struct notice *n)
{
	const char *type = text_of(e, "EventType");
	const char *before = text_of(e, "NotBefore");
	int64_t when = 0;
	size_t t = 0;
	char who[96];

	while (t < RK_ARRAY_LEN(types) && strcasecmp(types[t].word, type) !=
	    0)
		t++;
	snprintf(n->id, sizeof(n->id), "%.100s", text_of(e, "EventId"));
	rk_text_clean(n->id);
	/* Empty once it has started. */
	(void)when_parse(before, strlen(before), 0, &when);
	if (t == RK_ARRAY_LEN(types) || is_over(e, when, n->id, s))
		return;
	if (types[t].kind == NOTICE_EARLY) {
		n->kind = NOTICE_EARLY;
		snprintf(n->text, sizeof(n->text), "Azure will freeze this "
		    "machine for some seconds");
	} else {
		snprintf(who, sizeof(who), "Azure takes this machine (%s)",
		    type);
		when_notice(n, who, when, s);
		n->lead_ms = SHORTEST_MS;
	}
	n->ends = types[t].ends;
	n->alone = s->me[0] != '\0' &&
	    json_array_size(json_object_get(e, "Resources")) == 1;
}

/* One without a time is under way. */
static bool
counts_before(const struct notice *a, const struct notice *b)
{
	return a->kind > b->kind || (a->kind == b->kind &&
	    a->when_ms < b->when_ms);
}

static bool
read_azure(int i, int status, const char *body, size_t len, struct sight *s,
    struct notice *n)
{
	json_t *v = NULL;
	const json_t *e, *list;
	size_t k;

	(void)i;
	if (status != 200 || rkj_parse_json(body, len, &v, NULL) != RK_OK)
		return false;
	list = json_object_get(v, "Events");
	json_array_foreach(list, k, e) {
		struct notice one = { 0 };
		if (k >= EVENTS_MAX)
			break;
		if (names_me(e, s->me))
			read_event(e, s, &one);
		if (counts_before(&one, n))
			*n = one;
	}
	bool said = json_is_array(list);
	json_decref(v);
	return said;
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
