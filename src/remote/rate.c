/*
 * What the line gives: bytes a second over the last half minute in which
 * something moved.
 *
 * Time counts only while a body is on the wire, and a silence of more than
 * SILENCE_MS is a store that does not answer, not a slow line; it counts as
 * that much.  Slots of half a second make up the half minute, each direction
 * for itself.  While something is on the wire a timer looks at it, so that a
 * part that takes a minute is seen before it ends.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define SLOTS      60
#define SLOT_MS    500
#define SILENCE_MS 2000

struct way {
	struct {
		uint64_t bytes;
		int64_t ms;
	} slot[SLOTS];
	int at;
	int64_t since;          /* when bytes were last seen, or could first
	                           move; 0: nothing is on the wire */
};

struct remote_rate {
	struct loop_timer *timer;
	struct rate_watch *watches;
	struct way way[2];      /* down, up */
};

void
rate_idle(struct remote_rate *r, bool up, int64_t at_ms)
{
	r->way[up].since = at_ms;
}

static void
note(struct remote_rate *r, bool up, uint64_t n, int64_t at_ms)
{
	struct way *w = &r->way[up];
	int64_t ms;

	ms = w->since == 0 ? 0 : RK_MAX(at_ms - w->since, 0);
	ms = RK_MIN(ms, SILENCE_MS);
	if (w->slot[w->at].ms >= SLOT_MS) {
		w->at = (w->at + 1) % SLOTS;
		w->slot[w->at].bytes = 0;
		w->slot[w->at].ms = 0;
	}
	w->slot[w->at].bytes += n;
	w->slot[w->at].ms += ms;
	w->since = at_ms;
}

void
rate_note(struct remote_rate *r, bool up, uint64_t n, int64_t at_ms)
{
	if (n > 0)
		note(r, up, n, at_ms);
}

static double
per_second(const struct way *w)
{
	uint64_t bytes = 0;
	int64_t ms = 0;

	for (int i = 0; i < SLOTS; i++) {
		bytes += w->slot[i].bytes;
		ms += w->slot[i].ms;
	}
	return ms < 20 ? 0 : 1000.0 * (double)bytes / (double)ms;
}

void
rate_get(const struct remote_rate *r, double *up, double *down)
{
	*down = per_second(&r->way[false]);
	*up = per_second(&r->way[true]);
}

/* A try that begins anew counts from zero: what it sends again moves, too. */
static uint64_t
more(struct rate_watch *w, uint64_t bytes)
{
	uint64_t n = bytes >= w->seen ? bytes - w->seen : bytes;

	w->seen = bytes;
	return n;
}

static void
look(struct remote_rate *r)
{
	uint64_t n[2] = { 0, 0 }, sent, sunk;
	int64_t now = mono_ms();

	for (struct rate_watch *w = r->watches; w != NULL; w = w->next) {
		http_moved(w->call, &sent, &sunk);
		n[w->up] += more(w, w->up ? sent : sunk);
	}
	rate_note(r, false, n[false], now);
	rate_note(r, true, n[true], now);
}

static void
on_timer(void *ctx)
{
	struct remote_rate *r = ctx;

	look(r);
	if (r->watches != NULL)
		loop_timer_at(r->timer, mono_ms() + SLOT_MS);
}

struct remote_rate *
rate_new(struct loop *l)
{
	struct remote_rate *r = xcalloc(1, sizeof(*r));

	r->timer = loop_timer_add(l, on_timer, r);
	return r;
}

void
rate_free(struct remote_rate **rp)
{
	if (*rp == NULL)
		return;
	loop_timer_del(&(*rp)->timer);
	for (struct rate_watch *w = (*rp)->watches; w != NULL; w = w->next)
		w->rate = NULL;
	free(*rp);
	*rp = NULL;
}

static bool
any(const struct remote_rate *r, bool up)
{
	for (const struct rate_watch *w = r->watches; w != NULL; w = w->next)
		if (w->up == up)
			return true;
	return false;
}

void
rate_begin(struct remote_rate *r, struct rate_watch *w,
    const struct http_call *c, bool up)
{
	if (!any(r, up))
		rate_idle(r, up, mono_ms());
	if (r->watches == NULL)
		loop_timer_at(r->timer, mono_ms() + SLOT_MS);
	*w = (struct rate_watch){ .rate = r, .call = c, .up = up };
	w->next = r->watches;
	w->prev = &r->watches;
	if (w->next != NULL)
		w->next->prev = &w->next;
	r->watches = w;
}

void
rate_end(struct rate_watch *w, uint64_t bytes)
{
	struct remote_rate *r = w->rate;

	if (r == NULL)
		return;
	/* The last bytes moved into buffers of the kernel: until the answer
	 * they were on the line, and that is time, too. */
	if (bytes > 0)
		note(r, w->up, more(w, bytes), mono_ms());
	*w->prev = w->next;
	if (w->next != NULL)
		w->next->prev = w->prev;
	w->rate = NULL;
	if (!any(r, w->up))
		rate_idle(r, w->up, 0);
}
