/*
 * Step 0: does the store put an object only if it is not there, when asked to?
 *
 * All of PROTOCOL rests on that.  There are stores that take the condition,
 * ignore it and say 200 (OSS in a bucket with versioning; S3 stores that do not
 * know If-None-Match), so a key of the probe's own is put twice.  Good is one
 * that says no to the second and still has the first; one that says yes, no
 * matter which of the two it has then, would make two owners of one epoch.
 * Asked once a start: what is found holds for the run.
 *
 * A store that knows that it cannot (501) is asked with HEAD first; there claims
 * leave gaps, which PROTOCOL has the reason for.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define PROBE_MS   30000
#define PROBE_MAX  4096

static const char first[] = "first\n", second[] = "second\n";

const char *const mirror_absent_words[] = {
	"unknown", "works", "by_head", "ignored", NULL
};

static void
forget_key(struct mirror *m)
{
	free(m->probe);
	m->probe = NULL;
}

static void
dropped(void *ctx, const struct remote_result *r)
{
	struct mirror *m = ctx;

	must_be(m, MIRROR_TAG);
	m->op = NULL;
	if (r->end != REMOTE_OK)
		log_info("mirror: %s stays: %s", m->probe, r->error);
	forget_key(m);
	if (m->absent == MIRROR_ABSENT_UNKNOWN)
		go_to(m, step_probe);
	else if (m->absent != MIRROR_ABSENT_IGNORED)
		go_to(m, step_claim);
	else if (m->alone || has_jobs(m))
		go_to(m, step_apart);
	else
		apart_stop(m);
}

static void
step_drop(struct mirror *m)
{
	struct remote_patience pt = patience(PROBE_MS);

	m->op = remote_delete(m->remote, m->probe, &pt, dropped, m);
}

static void
decide(struct mirror *m, enum mirror_absent found)
{
	m->absent = found;
	log_debug("mirror: put-if-absent: %s", mirror_absent_words[found]);
	go_to(m, step_drop);
}

static void
got(void *ctx, const struct remote_result *r)
{
	struct mirror *m = ctx;

	must_be(m, MIRROR_TAG);
	if (!step_good(m, r, "read the probe of the bucket"))
		return;
	if (r->len != strlen(first) || memcmp(r->body, first, r->len) != 0)
		decide(m, MIRROR_ABSENT_IGNORED);
	else
		decide(m, m->by_head ? MIRROR_ABSENT_BY_HEAD :
		    MIRROR_ABSENT_WORKS);
}

static void
put_second(void *ctx, const struct remote_result *r)
{
	struct remote_patience pt = patience(PROBE_MS);
	struct mirror *m = ctx;

	must_be(m, MIRROR_TAG);
	m->by_head = r->by_head;
	if (r->end == REMOTE_EXISTS)
		m->op = remote_get(m->remote, m->probe, PROBE_MAX, &pt, got,
		    m);
	else if (step_good(m, r, "probe the bucket a second time"))
		decide(m, MIRROR_ABSENT_IGNORED);
}

static void
put_first(void *ctx, const struct remote_result *r)
{
	struct remote_patience pt = patience(PROBE_MS);
	struct mirror *m = ctx;

	must_be(m, MIRROR_TAG);
	if (step_good(m, r, "write to the bucket"))
		m->op = remote_put(m->remote, m->probe, second,
		    strlen(second), true, &pt, put_second, m);
}

void
step_probe(struct mirror *m)
{
	struct remote_patience pt = patience(PROBE_MS);
	char id[RK_ID];

	if (m->probe != NULL) {         /* of a try that came to nothing */
		step_drop(m);
		return;
	}
	rk_id_new(id);
	m->probe = xasprintf("%sprobe/%s", m->dir, id);
	m->op = remote_put(m->remote, m->probe, first, strlen(first), true,
	    &pt, put_first, m);
}
