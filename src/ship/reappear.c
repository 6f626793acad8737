/*
 * What was passed over because it was missing in the bucket, and may be there
 * again: a bucket that is a folder was not mounted, or somebody moved what is
 * in it.
 *
 * The row stays, RS_DROPPED, and remote_ms says that it was there once; of one
 * whose bytes are wrong it is 0 (row_damaged()).  Whoever asks in vain for a
 * checkpoint of a job that has such rows has the bucket listed once more, at
 * most every few seconds and then less often; what is whole counts again.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define WAIT_MS     4000        /* between two listings, doubled each time */
#define WAIT_MAX_MS 60000

struct reappear {
	struct reappear *next;
	struct ship *h;
	char job[RK_ID];
	bool under_way;
	int64_t at_ms, wait_ms;         /* not before, mono; the wait then */
};

static void
drop(struct ship *h, struct reappear *a)
{
	struct reappear **p = &h->reappears;

	while (*p != a)
		p = &(*p)->next;
	*p = a->next;
	free(a);
}

static struct reappear *
find(struct ship *h, const char *job)
{
	struct reappear *a = h->reappears;

	while (a != NULL && strcmp(a->job, job) != 0)
		a = a->next;
	return a;
}

void
reappear_gone(struct ship *h, const char *job)
{
	struct reappear *a = find(h, job);

	if (a == NULL)
		return;
	ship_find_forget(h, a);
	drop(h, a);
}

void
reappear_fini(struct ship *h)
{
	while (h->reappears != NULL)
		drop(h, h->reappears);
}

/* --- one job -------------------------------------------------------------- */

static bool
was_there(const struct remote_row *r)
{
	return r->state == RS_DROPPED && r->remote_ms > 0;
}

struct sought {
	const char *uri;                /* NULL: any */
	bool found;
};

static bool
see_row(void *ctx, const struct remote_row *r)
{
	struct sought *s = ctx;

	s->found = was_there(r) && (s->uri == NULL ||
	    strcmp(s->uri, r->uri) == 0);
	return !s->found;
}

static bool
any(struct ship *h, const char *job, const char *uri)
{
	struct sought s = { uri, false };

	return store_remotes(h->store, job, RS_BIT(RS_DROPPED), see_row,
	    &s) == RK_OK && s.found;
}

/* Only what this daemon knows: what counts of a bucket is no matter of its
 * listing. */
static bool
accept(void *ctx, const char *folder, int64_t epoch)
{
	const struct reappear *a = ctx;

	(void)epoch;
	return any(a->h, a->job, folder);
}

static void
found(void *ctx, int n, const char *why)
{
	struct reappear *a = ctx;
	struct ship *h = a->h;

	a->under_way = false;
	a->at_ms = mono_ms() + a->wait_ms;
	a->wait_ms = RK_MIN(2 * a->wait_ms, WAIT_MAX_MS);
	if (n < 0)
		log_info("job=%s ship: cannot look again for its checkpoints: "
		    "%s", a->job, why);
	if (n <= 0)
		return;
	ship_event(h, a->job, "remote_again", NULL, "%d checkpoint%s that %s "
	    "missing in the bucket %s there again", n, rk_s(n),
	    n == 1 ? "was" : "were", n == 1 ? "is" : "are");
	drop(h, a);
	queue_kick(h);                  /* to be verified */
	sup_supplied(h->sup);
}

void
reappear_look(struct ship *h, const char *job, const char *prefix)
{
	struct reappear *a = find(h, job);

	if (!h->going || h->stopped || prefix[0] == '\0')
		return;
	if (a == NULL) {
		if (!any(h, job, NULL))
			return;
		a = xcalloc(1, sizeof(*a));
		a->h = h;
		a->wait_ms = WAIT_MS;
		snprintf(a->job, sizeof(a->job), "%s", job);
		a->next = h->reappears;
		h->reappears = a;
	}
	if (a->under_way || mono_ms() < a->at_ms)
		return;
	a->under_way = true;
	find_dropped(h, job, prefix, accept, found, a);
}
