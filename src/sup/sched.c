/*
 * Queue to slots.
 *
 * The machine has so many threads and so much memory; a job runs when what it
 * asks for is free.  The order is strict: by priority, then by age.  A job that
 * does not fit now holds back all behind it, so that a large one is not starved
 * by a stream of small ones; the price is that some threads may be idle while
 * it waits.  Passed over are only jobs that could not run however long one
 * waited: those in their back-off, those whose old process is still there, and
 * those that ask for more than the machine has.
 *
 * When the first that does not fit has a higher priority than some that run,
 * and would fit without them, the fewest and lowest of those are asked to save
 * and leave; they are queued again, at their old place.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define PICKS_MAX 64

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
to_pick(struct pick *p, const struct job_row *r)
{
	memcpy(p->id, r->id, sizeof(p->id));
	p->priority = r->priority;
	p->threads = r->threads;
	p->memory = r->memory;
}

/* One of the queue, in its order; false: nobody behind it may start. */
static bool
consider(void *ctx, const struct job_row *r)
{
	struct look *k = ctx;
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
	if (!job_fits_machine(k->s, r->threads, r->memory)) {
		if (strcmp(r->reason, "too_large") != 0 &&
		    k->too_large.id[0] == '\0')
			to_pick(&k->too_large, r);
		return true;
	}
	if (!fits(&k->free, r->threads, r->memory)) {
		k->blocked = true;
		to_pick(&k->head, r);
		return false;
	}
	to_pick(&k->v[k->n++], r);
	take(&k->free, r->threads, r->memory);
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
	char *text = xasprintf("waits: it asks for %lld threads and %s, and "
	    "this daemon has %lld and %s to give", (long long)p->threads,
	    rk_human_bytes(need, p->memory), (long long)s->c.threads,
	    rk_human_bytes(have, s->c.memory));
	struct store_note note = { .kind = "too_large", .message = text };
	set_str(&r.reason, "too_large");
	set_str(&r.message, text);
	if (sup_put(s, &r, NULL, &note) != RK_OK)
		s->sched_hold_ms = mono_ms() + SETTLE_AGAIN_MS;
	free(text);
	store_job_fini(&r);
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
		log_error("job=%s cannot be started: %s", k.v[i].id,
		    rk_strerror(rc));
		s->sched_hold_ms = mono_ms() + SETTLE_AGAIN_MS;
		again = true;
	}
	if (k.blocked)
		make_room(s, room_now(s), &k.head);
	if (again || k.n == PICKS_MAX)
		sched_kick(s);
	else if (k.wake_ms != 0 && !s->draining)
		loop_timer_at(s->sched_timer, mono_ms() +
		    RK_MAX(k.wake_ms - now_ms(), 0));
}
