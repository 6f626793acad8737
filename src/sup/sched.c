/*
 * Queue to slots.
 *
 * The machine has so many threads and so much memory; a job runs when what it
 * asks for is free.  The order is strict: by priority, then by age.  A job that
 * does not fit now holds back all behind it, so that a large one is not starved
 * by a stream of small ones; the price is that some threads may be idle while
 * it waits.  Passed over are only jobs that could not run if there were room:
 * those in their back-off, those whose bytes are on their way or not allowed,
 * those whose old process is still there, and those that ask for more than the
 * machine has.
 *
 * When the first that does not fit has a higher priority than some that run,
 * and would fit without them, the fewest and lowest of those are asked to save
 * and leave; they are queued again, at their old place.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define PICKS_MAX 64
#define AHEAD_MAX 64            /* jobs that fetch at a time, in queue order */

struct pick {
	char id[RK_ID];
	int64_t priority, threads;
	uint64_t memory;
};

struct room {
	int64_t threads;
	uint64_t memory;
};

struct look {
	struct sup *s;
	struct room free;
	struct pick v[PICKS_MAX];
	int n;
	int ahead;                      /* passed over, because they fetch */
	bool blocked;                   /* head did not fit */
	struct pick head;
	struct pick too_large;          /* to be told so; id "" if none */
	int64_t wake_ms;                /* wall: the next back-off ends; 0 */
};

bool
job_fits_machine(const struct sup *s, int64_t threads, uint64_t memory)
{
	return threads <= s->c.threads && memory <= s->c.memory;
}

void
sched_kick(struct sup *s)
{
	if (!s->draining)
		loop_timer_at(s->sched_timer, RK_MAX(mono_ms(),
		    s->sched_hold_ms));
}

static void
take(struct room *room, int64_t threads, uint64_t memory)
{
	room->threads -= threads;
	room->memory -= RK_MIN(memory, room->memory);
}

static bool
fits(const struct room *room, int64_t threads, uint64_t memory)
{
	return threads <= room->threads && memory <= room->memory;
}

static struct room
room_now(const struct sup *s)
{
	struct room room = { s->c.threads, s->c.memory };

	for (const struct run *r = s->runs; r != NULL; r = r->next)
		take(&room, r->threads, r->memory);
	for (const struct orphan *o = s->orphans; o != NULL; o = o->next)
		take(&room, o->threads, o->memory);
	return room;
}

static void
to_pick(const struct sup *s, struct pick *p, const struct job_row *r)
{
	memcpy(p->id, r->id, sizeof(p->id));
	p->priority = r->priority;
	p->threads = sup_threads(s, r);
	p->memory = sup_memory(s, r);
}

/* One of the queue, in its order; false: nobody behind it may start. */
static bool
consider(void *ctx, const struct job_row *r)
{
	struct look *k = ctx;
	const int64_t threads = sup_threads(k->s, r);
	const uint64_t memory = sup_memory(k->s, r);
	int64_t wait = r->not_before_ms - now_ms();

	/* One that waits longer than any back-off is, waits for a clock that
	 * was set back. */
	if (wait > 0 && wait <= k->s->c.retry_max_ms) {
		if (k->wake_ms == 0 || r->not_before_ms < k->wake_ms)
			k->wake_ms = r->not_before_ms;
		return true;
	}
	if (orphan_has(k->s, r->id))
		return true;
	if (!job_fits_machine(k->s, threads, memory)) {
		if (strcmp(r->reason, "too_large") != 0 &&
		    k->too_large.id[0] == '\0')
			to_pick(k->s, &k->too_large, r);
		return true;
	}
	if (supply_denied(k->s, r->id))
		return true;
	if (supply_waits(k->s, r->id))
		return ++k->ahead < AHEAD_MAX;
	if (!fits(&k->free, threads, memory)) {
		k->blocked = true;
		to_pick(k->s, &k->head, r);
		return false;
	}
	to_pick(k->s, &k->v[k->n++], r);
	take(&k->free, threads, memory);
	return k->n < PICKS_MAX;
}

/* --- making room ---------------------------------------------------------- */

static bool
goes(const struct run *r)
{
	return r->leave != LEAVE_NO || r->exited || r->killed || r->done ||
	    r->failed;
}

/* Lowest priority first; of equals the one that has run for the shortest. */
static int
by_rank(const void *a, const void *b)
{
	const struct run *x = *(struct run *const *)a;
	const struct run *y = *(struct run *const *)b;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	return x->begun_ms > y->begun_ms ? -1 : x->begun_ms < y->begun_ms;
}

static void
give(struct room *room, const struct run *r)
{
	room->threads += r->threads;
	room->memory += r->memory;
}

/*
 * Who must go for `head`: v[0..n) by rank.  From the lowest up until it fits;
 * then those that turn out not to be needed are let off, the highest first.
 * The count, moved to the front of v; 0: it would not fit anyway.
 */
static int
choose(struct run **v, int n, struct room room, const struct pick *head)
{
	int k = 0, kept = 0;

	while (k < n && !fits(&room, head->threads, head->memory))
		give(&room, v[k++]);
	if (!fits(&room, head->threads, head->memory))
		return 0;
	for (int i = k - 1; i >= 0; i--) {
		struct room without = room;
		take(&without, v[i]->threads, v[i]->memory);
		if (fits(&without, head->threads, head->memory)) {
			room = without;
			v[i] = NULL;
		}
	}
	for (int i = 0; i < k; i++) {
		if (v[i] != NULL)
			v[kept++] = v[i];
	}
	return kept;
}

static void
make_room(struct sup *s, struct room room, const struct pick *head)
{
	struct run **v;
	int n = 0, all = 0;

	for (struct run *r = s->runs; r != NULL; r = r->next)
		all++;
	v = xcalloc((size_t)all + 1, sizeof(*v));
	for (struct run *r = s->runs; r != NULL; r = r->next) {
		if (goes(r))
			give(&room, r);         /* will be free soon */
		else if (r->priority < head->priority)
			v[n++] = r;
	}
	if (!fits(&room, head->threads, head->memory)) {
		qsort(v, (size_t)n, sizeof(*v), by_rank);
		n = choose(v, n, room, head);
		for (int i = 0; i < n; i++) {
			char *text = xasprintf("asked to save and make room "
			    "for job %s of higher priority (%lld over %lld)",
			    head->id, (long long)head->priority,
			    (long long)v[i]->priority);
			sup_event(s, v[i]->id, "priority", text, NULL);
			free(text);
			run_leave(v[i], LEAVE_PRIORITY, false, 0);
		}
	}
	free(v);
}

/* --- the pass ------------------------------------------------------------- */

/* The machine has become smaller than a job that was taken. */
static void
tell_too_large(struct sup *s, const struct pick *p)
{
	char need[RK_HUMAN], have[RK_HUMAN];
	struct job_row r;

	if (store_job_get(s->store, p->id, &r) != RK_OK)
		return;
	char *text = xasprintf("waits: it asks for %lld thread%s and %s, and "
	    "this daemon has %lld and %s to give", (long long)p->threads,
	    rk_s(p->threads), rk_human_bytes(need, p->memory), (long long)s->c.threads,
	    rk_human_bytes(have, s->c.memory));
	struct store_note note = { .kind = "too_large", .message = text };
	set_str(&r.reason, "too_large");
	set_str(&r.message, text);
	if (sup_put(s, &r, NULL, &note) != RK_OK)
		s->sched_hold_ms = mono_ms() + SETTLE_AGAIN_MS;
	free(text);
	store_job_fini(&r);
}

/* Nobody makes room for one that could not use it yet.  False: it waits, or has
 * ended; look again. */
static bool
head_is_supplied(struct sup *s, const struct pick *head)
{
	struct rk_why why = { 0 };
	struct spec *spec = NULL;
	const char *reason = NULL;
	struct job_row r;
	bool yes = true;

	if (s->up.supply == NULL || store_job_get(s->store, head->id, &r) !=
	    RK_OK)
		return true;
	json_t *files = json_object();
	if (row_spec(&r, NULL, &spec, &why) == RK_OK) {
		enum rk_err rc = supply_ask(s, &r, spec, files, &reason,
		    &why);
		yes = rc == RK_OK;
		if (rc == RK_EBUSY)
			rc = supply_wait(s, &r, reason, &why);
		else if (rc != RK_OK)
			rc = not_startable(s, &r, rc, &why, "fetch");
		if (rc != RK_OK)        /* not written: not at once again */
			s->sched_hold_ms = mono_ms() + SETTLE_AGAIN_MS;
	}
	json_decref(files);
	spec_free(spec);
	rk_why_fini(&why);
	store_job_fini(&r);
	return yes;
}

/* When nothing else does, the end of a back-off or of a wait for bytes wakes
 * us. */
static void
wake_later(struct sup *s, const struct look *k)
{
	int64_t at = supply_next(s), now = mono_ms();

	if (k->wake_ms != 0) {
		int64_t wake = now + RK_MAX(k->wake_ms - now_ms(), 0);
		at = at == 0 ? wake : RK_MIN(at, wake);
	}
	if (at != 0 && !s->draining)
		loop_timer_at(s->sched_timer, RK_MAX(at, s->sched_hold_ms));
}

void
sched_timer_fn(void *ctx)
{
	struct sup *s = ctx;
	struct look k = { .s = s };
	bool again = false;

	must_be(s, SUP_TAG);
	if (s->draining || !s->recovered)
		return;
	supply_look(s);
	k.free = room_now(s);
	enum rk_err rc = store_queue(s->store, INT32_MAX, consider, &k);
	if (rc != RK_OK) {
		log_error("sup: cannot read the queue: %s", rk_strerror(rc));
		s->sched_hold_ms = mono_ms() + SETTLE_AGAIN_MS;
		sched_kick(s);
		return;
	}
	if (k.too_large.id[0] != '\0') {
		tell_too_large(s, &k.too_large);
		again = true;
	}
	for (int i = 0; i < k.n; i++) {
		rc = start_job(s, k.v[i].id);
		if (rc == RK_OK)
			continue;
		again = true;
		if (rc == RK_EBUSY)     /* its place is another's */
			continue;
		log_error("job=%s cannot be started: %s", k.v[i].id,
		    rk_strerror(rc));
		s->sched_hold_ms = mono_ms() + SETTLE_AGAIN_MS;
	}
	if (k.blocked && head_is_supplied(s, &k.head))
		make_room(s, room_now(s), &k.head);
	else if (k.blocked)
		again = true;
	supply_sweep(s);
	if (again || k.n == PICKS_MAX)
		sched_kick(s);
	else
		wake_later(s, &k);
}
