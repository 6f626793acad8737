/*
 * Multipart uploads that nobody goes on with.
 *
 * Parts are not seen and are paid for until the upload is completed or aborted.
 * At the start and daily: those that our own table knows but no row needs, and
 * those that the store lists below our prefixes, begun longer ago than
 * stale_upload_ms, whose ids are not in our table.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define DAY_MS (24 * 3600 * 1000)
#define SWEEP_MAX 1000          /* aborted a time */

struct sweep {
	struct ship *h;
	bool asking, stopped;
	char **prefixes;                /* .../jobs/ */
	size_t nprefixes, at;
	struct uploads known, stale;
	const char *below;
	struct remote_op *op;
};

static void next_abort(struct sweep *s);
static void next_prefix(struct sweep *s);

static void
free_sweep(struct sweep *s)
{
	s->h->sweep = NULL;
	remote_cancel(&s->op);
	for (size_t i = 0; i < s->nprefixes; i++)
		free(s->prefixes[i]);
	free(s->prefixes);
	uploads_fini(&s->known);
	uploads_fini(&s->stale);
	free(s);
}

void
sweep_stop(struct ship *h)
{
	if (h->sweep == NULL)
		return;
	h->sweep->stopped = true;
	if (!h->sweep->asking)
		free_sweep(h->sweep);
}

void
sweep_fini(struct ship *h)
{
	if (h->sweep != NULL)
		free_sweep(h->sweep);
}

/* --- what is stale ------------------------------------------------------- */

static void
add(struct uploads *u, const char *uri, const char *upload_id)
{
	u->v = xrealloc(u->v, (u->n + 1) * sizeof(*u->v));
	u->v[u->n++] = (struct upload_row){ .uri = xstrdup(uri),
		.upload_id = xstrdup(upload_id), .dir = xstrdup(""),
		.file = xstrdup("") };
}

/* Ours, and of no row that is on its way or on its way out, nor of results. */
static void
find_orphans(struct sweep *s)
{
	struct rows rows;

	rows_load(s->h, NULL, RS_TO_DO | RS_BIT(RS_DELETING), &rows);
	for (size_t i = 0; i < s->known.n; i++) {
		const struct upload_row *u = &s->known.v[i];
		bool needed = results_need(s->h, u);
		for (size_t k = 0; k < rows.n && !needed; k++)
			needed = starts_with(u->uri, rows.v[k].uri);
		if (!needed)
			add(&s->stale, u->uri, u->upload_id);
	}
	rows_fini(&rows);
}

static bool
is_known(const struct sweep *s, const char *upload_id)
{
	for (size_t i = 0; i < s->known.n; i++) {
		if (strcmp(s->known.v[i].upload_id, upload_id) == 0)
			return true;
	}
	return false;
}

static bool
see_pending(void *ctx, const char *key, const char *upload_id,
    int64_t initiated_ms)
{
	struct sweep *s = ctx;

	if (initiated_ms > 0 && !is_known(s, upload_id) && initiated_ms <
	    now_ms() - s->h->c.stale_upload_ms) {
		char *uri = remote_join(s->below, key);
		add(&s->stale, uri, upload_id);
		free(uri);
	}
	return s->stale.n < SWEEP_MAX;
}

static void
listed(void *ctx, const struct remote_result *r)
{
	struct sweep *s = ctx;

	s->op = NULL;
	if (r->end != REMOTE_OK && r->end != REMOTE_CANCELLED)
		log_info("ship: cannot list the uploads below %s: %s",
		    s->below, r->error);
	s->at++;
	next_prefix(s);
}

/* --- abort them ---------------------------------------------------------- */

static void
answer(void *ctx, bool yes)
{
	struct sweep *s = ctx;

	s->asking = false;
	if (!yes || s->stopped || s->h->stopped)
		free_sweep(s);
	else
		next_abort(s);
}

static void
aborted(void *ctx, const struct remote_result *r)
{
	struct sweep *s = ctx;
	struct upload_row *u = &s->stale.v[s->stale.n - 1];

	s->op = NULL;
	if (r->end == REMOTE_OK || r->end == REMOTE_MISSING) {
		log_info("ship: the stale upload of %s is aborted", u->uri);
		(void)!store_upload_drop(s->h->store, u->uri);
	} else {
		log_info("ship: cannot abort the stale upload of %s: %s",
		    u->uri, r->error);
	}
	store_upload_fini(u);
	s->stale.n--;
	next_abort(s);
}

static void
next_abort(struct sweep *s)
{
	struct remote_patience pt = push_patience();

	if (s->stale.n == 0) {
		free_sweep(s);
		return;
	}
	const struct upload_row *u = &s->stale.v[s->stale.n - 1];
	s->op = remote_abort(s->h->remote, u->uri, u->upload_id, &pt, aborted,
	    s);
}

static void
next_prefix(struct sweep *s)
{
	struct remote_patience pt = push_patience();

	if (s->at < s->nprefixes) {
		s->below = s->prefixes[s->at];
		s->op = remote_pending(s->h->remote, s->below, see_pending,
		    &pt, listed, s);
		return;
	}
	if (s->stale.n == 0) {
		free_sweep(s);
		return;
	}
	s->asking = s->h->guard != NULL;
	if (s->asking)
		s->h->guard(s->h->guard_ctx, answer, s);
	else
		next_abort(s);
}

/* --- where to look ------------------------------------------------------- */

static void
add_prefix(struct sweep *s, char *prefix)
{
	for (size_t i = 0; i < s->nprefixes; i++) {
		if (strcmp(s->prefixes[i], prefix) == 0) {
			free(prefix);
			return;
		}
	}
	s->prefixes = xrealloc(s->prefixes, (s->nprefixes + 1) *
	    sizeof(*s->prefixes));
	s->prefixes[s->nprefixes++] = prefix;
}

static bool
see_row(void *ctx, const struct remote_row *r)
{
	struct sweep *s = ctx;
	char *p = prefix_of_uri(r->uri);

	if (job_may_write(s->h, r->uri))
		add_prefix(s, remote_join(p, "jobs/"));
	free(p);
	return true;
}

void
sweep_timer_fn(void *ctx)
{
	struct ship *h = ctx;
	struct sweep *s;

	must_be(h, SHIP_TAG);
	if (!h->going || h->stopped)
		return;
	loop_timer_at(h->sweep_timer, mono_ms() + DAY_MS);
	if (h->sweep != NULL)
		return;
	s = h->sweep = xcalloc(1, sizeof(*s));
	s->h = h;
	/* What ship_apart() sends has prefixes that the rows know. */
	if (h->part == NULL && h->c.prefix != NULL && h->c.prefix[0] != '\0')
		add_prefix(s, remote_join(h->c.prefix, "jobs/"));
	(void)!store_remotes(h->store, NULL, 0, see_row, s);
	uploads_load(h, &s->known);
	find_orphans(s);
	next_prefix(s);
}
