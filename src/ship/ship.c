/* Opening, going, stopping, and what sup tells. */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define UPLOADS      2
#define CACHE_LIMIT  (20ull << 30)
#define STALE_MS     (24 * 3600 * 1000LL)
#define RETRY_MS     5000
#define RETRY_MAX_MS (5 * 60 * 1000)

/* --- what sup tells ------------------------------------------------------ */

static bool
concerns(const struct ship *h, const char *job)
{
	for (const struct cuse *u = h->uses; u != NULL; u = u->next) {
		if (strcmp(u->job, job) == 0)
			return true;
	}
	return h->fetches != NULL || h->pulls != NULL || h->mends != NULL;
}

/* A job that neither runs nor waits to needs nothing of ours any more. */
static void
look_state(struct ship *h, const char *job)
{
	struct job_row r;

	if (!concerns(h, job) || store_job_get(h->store, job, &r) != RK_OK)
		return;
	bool waits = r.state == JOB_QUEUED ||
	    (r.state == JOB_PAUSED && r.desired == JOB_RUN);
	if (!waits) {
		pull_gone(h, job);
		mend_gone(h, job);
		fetch_unwait(h, job);
		if (r.state != JOB_STARTING && r.state != JOB_RUNNING)
			cache_unuse(h, job);
	}
	store_job_fini(&r);
}

static void
hear(void *ctx, const char *job, char what)
{
	struct ship *h = ctx;

	must_be(h, SHIP_TAG);
	if (job[0] == '\0')
		return;
	if (what == 'c' || (what == 's' && ship_drain_on(h)))
		scan_later(h, job);
	if (what == 's') {
		look_state(h, job);
		results_look(h, job);
	}
}

/* --- open and close ------------------------------------------------------ */

static void
take_config(struct ship *h, const struct ship_config *c)
{
	h->c = *c;
	h->c.state_dir = xstrdup(c->state_dir);
	h->c.prefix = xstrdup(c->prefix != NULL ? c->prefix : "");
	h->c.instance = xstrdup(c->instance != NULL ? c->instance : "");
	h->c.config_file = xstrdup(c->config_file != NULL ? c->config_file :
	    "the configuration");
	if (h->c.uploads < 1)
		h->c.uploads = UPLOADS;
	if (h->c.cache_limit == 0)
		h->c.cache_limit = CACHE_LIMIT;
	if (h->c.stale_upload_ms <= 0)
		h->c.stale_upload_ms = STALE_MS;
	if (h->c.retry_ms <= 0)
		h->c.retry_ms = RETRY_MS;
	if (h->c.retry_max_ms <= 0)
		h->c.retry_max_ms = RETRY_MAX_MS;
}

enum rk_err
ship_open(struct ship **hp, struct loop *l, struct remote *r, struct store *st,
    struct sup *su, const struct ship_config *c, struct rk_why *why)
{
	struct ship *h = xcalloc(1, sizeof(*h));

	*hp = NULL;
	h->tag = SHIP_TAG;
	h->loop = l;
	h->remote = r;
	h->store = st;
	h->sup = su;
	h->cache_fd = h->part_fd = -1;
	take_config(h, c);
	allow_open(h, c);
	h->queue_timer = loop_timer_add(l, queue_timer_fn, h);
	h->scan_timer = loop_timer_add(l, scan_timer_fn, h);
	h->sweep_timer = loop_timer_add(l, sweep_timer_fn, h);
	h->fetch_timer = loop_timer_add(l, fetch_timer_fn, h);
	h->drain_timer = loop_timer_add(l, ship_drain_timer_fn, h);
	h->recheck_timer = loop_timer_add(l, recheck_timer_fn, h);
	h->results_timer = loop_timer_add(l, results_timer_fn, h);
	enum rk_err rc = RK_OK;
	if (h->c.prefix[0] != '\0')
		rc = remote_check(r, h->c.prefix, why);
	if (rc == RK_OK)
		rc = cache_open(h, why);
	sup_listen(su, hear, h);
	if (rc != RK_OK) {
		ship_close(&h);
		return rc;
	}
	supply_set(h);
	*hp = h;
	return RK_OK;
}

/* Everything that writes to a bucket, cut off. */
static void
cut(struct ship *h)
{
	while (h->pushes != NULL)
		push_free(h->pushes);
	naming_fini(h);
	results_fini(h);
	delete_stop(h);
	sweep_stop(h);
	recheck_fini(h);
}

void
ship_close(struct ship **hp)
{
	struct sup_supplier none = {0};
	struct ship *h = *hp;

	*hp = NULL;
	if (h == NULL)
		return;
	must_be(h, SHIP_TAG);
	sup_unlisten(h->sup, hear, h);
	sup_supplier_set(h->sup, &none);
	cut(h);
	delete_fini(h);
	sweep_fini(h);
	find_fini(h);
	reappear_fini(h);
	results_here_fini(h);
	pull_fini(h);
	mend_fini(h);
	fetch_fini(h);
	ship_drain_fini(h);
	scan_fini(h);
	troubles_fini(h);
	cache_fini(h);
	for (size_t i = 0; i < h->nheirs; i++)
		free(h->heirs[i].uri);
	free(h->heirs);
	loop_timer_del(&h->queue_timer);
	loop_timer_del(&h->scan_timer);
	loop_timer_del(&h->sweep_timer);
	loop_timer_del(&h->fetch_timer);
	loop_timer_del(&h->drain_timer);
	loop_timer_del(&h->recheck_timer);
	loop_timer_del(&h->results_timer);
	free((void *)(uintptr_t)h->c.state_dir);
	free((void *)(uintptr_t)h->c.prefix);
	free((void *)(uintptr_t)h->c.instance);
	free(h->part);
	free((void *)(uintptr_t)h->c.config_file);
	allow_fini(h);
	h->tag = 0;
	free(h);
}

/* --- going --------------------------------------------------------------- */

static int
by_job(const void *a, const void *b)
{
	const struct heir *x = a, *y = b;
	int c = strcmp(x->job, y->job);

	if (c != 0)
		return c;
	return x->rank < y->rank ? -1 : x->rank > y->rank;
}

static bool
take_heir(void *ctx, const struct remote_row *r)
{
	struct ship *h = ctx;
	size_t n = h->nheirs;

	/* Room doubles: 1, 2, 4, ... */
	if ((n & (n - 1)) == 0)
		h->heirs = xrealloc(h->heirs, (n > 0 ? 2 * n : 1) *
		    sizeof(*h->heirs));
	memcpy(h->heirs[n].job, r->job, RK_ID);
	h->heirs[n].uri = xstrdup(r->uri);
	h->heirs[n].rank = n;
	h->nheirs++;
	return true;
}

/* Rows come newest first, so the first of a job is the one. */
static void
keep_heirs(struct ship *h)
{
	size_t kept = 0;

	if (h->nheirs > 0)
		qsort(h->heirs, h->nheirs, sizeof(*h->heirs), by_job);
	for (size_t i = 0; i < h->nheirs; i++) {
		if (kept > 0 && strcmp(h->heirs[kept - 1].job,
		    h->heirs[i].job) == 0)
			free(h->heirs[i].uri);
		else
			h->heirs[kept++] = h->heirs[i];
	}
	h->nheirs = kept;
}

void
ship_apart(struct ship *h, const char *part)
{
	must_be(h, SHIP_TAG);
	must(!h->going && h->part == NULL);
	h->part = xstrdup(part);
}

void
ship_go(struct ship *h, int64_t epoch)
{
	must_be(h, SHIP_TAG);
	if (h->going || h->stopped)
		return;
	h->going = true;
	h->epoch = epoch;
	if (store_remotes(h->store, NULL, RS_THERE, take_heir, h) != RK_OK)
		log_error("ship: cannot read what is remote");
	keep_heirs(h);
	scan_all(h);
	queue_kick(h);
	loop_timer_at(h->sweep_timer, mono_ms());
	recheck_begin(h);
}

void
ship_stop(struct ship *h)
{
	must_be(h, SHIP_TAG);
	if (h->stopped)
		return;
	h->stopped = true;
	log_info("ship: nothing is sent any more");
	cut(h);
	loop_timer_off(h->queue_timer);
	loop_timer_off(h->scan_timer);
	loop_timer_off(h->sweep_timer);
	loop_timer_off(h->recheck_timer);
	loop_timer_off(h->results_timer);
}

void
ship_guard_set(struct ship *h, ship_guard_fn *guard, void *ctx)
{
	must_be(h, SHIP_TAG);
	h->guard = guard;
	h->guard_ctx = ctx;
}

void
ship_there_set(struct ship *h, ship_there_fn *fn, void *ctx)
{
	must_be(h, SHIP_TAG);
	h->there = fn;
	h->there_ctx = ctx;
}

void
ship_look(struct ship *h, const char *job)
{
	must_be(h, SHIP_TAG);
	scan_later(h, job);
}

void
ship_hurry(struct ship *h, const char *why)
{
	must_be(h, SHIP_TAG);
	if (!h->going || h->stopped)
		return;
	log_info("ship: sends now what is not there yet: %s", why);
	for (struct trouble *t = h->troubles; t != NULL; t = t->next)
		t->at_ms = 0;
	scan_all(h);
	queue_kick(h);
}
