/*
 * What goes up next, and what to do about trouble.
 *
 * Of each job one checkpoint at a time, so that a file that two of them share
 * is sent once: the newest that is not there.  Among jobs those whose newest
 * one is missing come first, by priority, then by how long it has been waiting.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define TRY_DRAINING_MS 1000    /* there is no later */

/* --- trouble ------------------------------------------------------------- */

struct trouble *
trouble_of(struct ship *h, const char *key, bool make)
{
	struct trouble *t = h->troubles;

	while (t != NULL && strcmp(t->key, key) != 0)
		t = t->next;
	if (t == NULL && make) {
		t = xcalloc(1, sizeof(*t));
		t->key = xstrdup(key);
		t->next = h->troubles;
		h->troubles = t;
	}
	return t;
}

void
trouble_over(struct ship *h, const char *key)
{
	for (struct trouble **p = &h->troubles; *p != NULL; p = &(*p)->next) {
		struct trouble *t = *p;
		if (strcmp(t->key, key) != 0)
			continue;
		*p = t->next;
		free(t->key);
		free(t);
		return;
	}
}

/* Twice as long each time, up to a limit, and not all at one moment. */
void
trouble_add(struct ship *h, const char *key)
{
	struct trouble *t = trouble_of(h, key, true);
	int64_t wait = h->c.retry_ms;
	uint32_t r;

	for (int i = 0; i < t->n && wait < h->c.retry_max_ms; i++)
		wait *= 2;
	wait = RK_MIN(wait, ship_drain_on(h) ? TRY_DRAINING_MS :
	    h->c.retry_max_ms);
	rk_random_bytes(&r, sizeof(r));
	wait -= (int64_t)((double)wait / 4 * ((double)r / UINT32_MAX));
	t->n++;
	t->at_ms = mono_ms() + wait;
	queue_kick(h);
}

bool
trouble_waits(struct ship *h, const char *key)
{
	const struct trouble *t = trouble_of(h, key, false);

	return t != NULL && t->at_ms > mono_ms();
}

void
troubles_fini(struct ship *h)
{
	while (h->troubles != NULL)
		trouble_over(h, h->troubles->key);
}

static char *
story_key(const char *prefix, const char *job)
{
	return xasprintf("%s\n%s", prefix, job);
}

void
store_fails(struct ship *h, const char *prefix, const char *job,
    enum remote_end end, const char *sentence)
{
	char *key = story_key(prefix, job);
	struct trouble *t = trouble_of(h, key, true);

	trouble_add(h, prefix);
	trouble_of(h, prefix, true)->denied = end == REMOTE_DENIED;
	h->failures++;
	if (!t->told) {
		t->told = true;
		log_warn("job=%s ship: cannot send to %s: %s", job, prefix,
		    sentence);
		ship_event(h, job, "push_failing", NULL, "its checkpoints stay "
		    "here for now, %s cannot be written: %s; tried again until "
		    "it works", prefix, sentence);
	}
	free(key);
}

void
store_works(struct ship *h, const char *prefix, const char *job)
{
	char *key = story_key(prefix, job);
	const struct trouble *t = trouble_of(h, key, false);

	trouble_over(h, prefix);
	if (t != NULL && t->told) {
		log_info("job=%s ship: %s works again", job, prefix);
		ship_event(h, job, "push_works", NULL, "%s can be written "
		    "again", prefix);
	}
	trouble_over(h, key);
	free(key);
}

/* --- the next ------------------------------------------------------------ */

struct candidate {
	const struct remote_row *row;
	bool newest, check_only;
	int64_t priority;
};

static bool
job_is_busy(const struct ship *h, const char *job)
{
	for (const struct push *p = h->pushes; p != NULL; p = p->next) {
		if (strcmp(p->row.job, job) == 0)
			return true;
	}
	return false;
}

/* What only needs to be asked for is soon done. */
static bool
better(const struct candidate *a, const struct candidate *b)
{
	if (a->check_only != b->check_only)
		return a->check_only;
	if (a->newest != b->newest)
		return a->newest;
	if (a->priority != b->priority)
		return a->priority > b->priority;
	return a->row->created_ms < b->row->created_ms;
}

/* The newest of the job that is to be sent, and is not waiting: rows are sorted
 * newest first. */
static bool
first_of(const struct rows *rows, size_t i)
{
	for (size_t k = 0; k < i; k++) {
		if (strcmp(rows->v[k].job, rows->v[i].job) == 0)
			return false;
	}
	return true;
}

static bool
pick(struct ship *h, const struct rows *rows, size_t *at)
{
	struct candidate best = {0}, c;
	bool found = false;

	for (size_t i = 0; i < rows->n; i++) {
		const struct remote_row *r = &rows->v[i];
		struct jobinfo j;
		if (job_is_busy(h, r->job) || trouble_waits(h, r->uri) ||
		    !job_may_write(h, r->uri) || !job_look(h, r->job, &j))
			continue;
		char *prefix = prefix_of_uri(r->uri);
		bool waits = trouble_waits(h, prefix);
		free(prefix);
		c = (struct candidate){ r, first_of(rows, i),
		    r->state == RS_REMOTE, j.priority };
		jobinfo_fini(&j);
		if (waits || (found && !better(&c, &best)))
			continue;
		found = true;
		best = c;
		*at = i;
	}
	return found;
}

static void
start_some(struct ship *h)
{
	struct rows rows;
	size_t at;

	while (h->npushes < h->c.uploads) {
		int before = h->npushes;
		rows_load(h, NULL, RS_TO_DO | RS_BIT(RS_REMOTE), &rows);
		bool found = pick(h, &rows, &at);
		if (found)
			push_start(h, &rows.v[at]);
		rows_fini(&rows);
		/* One that could not begin has changed its row. */
		if (!found || h->npushes == before)
			break;
	}
}

/* When the next trouble may be over, of those that were not at `since`: one
 * that ended while we looked may have been passed over. */
static void
set_clock(struct ship *h, int64_t since)
{
	int64_t at = INT64_MAX;

	for (const struct trouble *t = h->troubles; t != NULL; t = t->next) {
		if (t->at_ms > since)
			at = RK_MIN(at, t->at_ms);
	}
	if (at != INT64_MAX)
		loop_timer_at(h->queue_timer, at);
}

void
queue_timer_fn(void *ctx)
{
	struct ship *h = ctx;
	int64_t since = mono_ms();

	must_be(h, SHIP_TAG);
	if (!h->going || h->stopped)
		return;
	h->kicked = false;
	delete_look(h);
	if (ship_drain_on(h))
		ship_drain_look(h);
	else
		start_some(h);
	if (!h->kicked)
		set_clock(h, since);
}

void
queue_kick(struct ship *h)
{
	if (!h->going || h->stopped)
		return;
	h->kicked = true;
	loop_timer_at(h->queue_timer, mono_ms());
}
