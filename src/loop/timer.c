/* Timers: a binary heap, the next one on top. */
#include <stdlib.h>

#include "impl.h"

static bool
before(const struct loop_timer *a, const struct loop_timer *b)
{
	return a->at_ms != b->at_ms ? a->at_ms < b->at_ms :
	    a->order < b->order;
}

static void
put_at(struct loop *l, struct loop_timer *t, size_t place)
{
	l->heap[place] = t;
	t->place = place;
}

/* Move t from `place`, which is free, to where it belongs. */
static void
settle(struct loop *l, struct loop_timer *t, size_t place)
{
	while (place > 1 && before(t, l->heap[place / 2])) {
		put_at(l, l->heap[place / 2], place);
		place /= 2;
	}
	for (;;) {
		size_t child = 2 * place;
		if (child > l->set)
			break;
		if (child < l->set &&
		    before(l->heap[child + 1], l->heap[child]))
			child++;
		if (!before(l->heap[child], t))
			break;
		put_at(l, l->heap[child], place);
		place = child;
	}
	put_at(l, t, place);
}

struct loop_timer *
loop_timer_add(struct loop *l, loop_timer_fn *fn, void *ctx)
{
	must_be(l, LOOP_TAG);
	must(fn != NULL);
	struct loop_timer *t = xcalloc(1, sizeof(*t));
	*t = (struct loop_timer){ .tag = LOOP_TIMER_TAG, .l = l, .fn = fn,
	    .ctx = ctx };
	LIST_PUT(&l->timers, t);
	return t;
}

void
loop_timer_off(struct loop_timer *t)
{
	must_be(t, LOOP_TIMER_TAG);
	struct loop *l = t->l;
	size_t place = t->place;

	if (place == 0)
		return;
	l->nseen -= t->seen;
	t->seen = false;
	struct loop_timer *last = l->heap[l->set--];
	t->place = 0;
	if (last != t)
		settle(l, last, place);
}

void
loop_timer_at(struct loop_timer *t, int64_t at_ms)
{
	must_be(t, LOOP_TIMER_TAG);
	struct loop *l = t->l;

	loop_timer_off(t);
	if (l->set + 1 >= l->room) {
		l->room = RK_MAX(16, 2 * l->room);
		l->heap = xrealloc(l->heap, l->room * sizeof(*l->heap));
	}
	/* Not before now, so that one that sets itself into the past comes
	 * behind those that are due already. */
	t->at_ms = RK_MAX(at_ms, l->now);
	t->order = l->order++;
	settle(l, t, ++l->set);
}

void
loop_timer_del(struct loop_timer **tp)
{
	struct loop_timer *t = *tp;

	if (t == NULL)
		return;
	loop_timer_off(t);
	LIST_TAKE(t);
	t->tag = 0;
	free(t);
	*tp = NULL;
}

int64_t
timers_wait(const struct loop *l)
{
	if (l->set == 0)
		return -1;
	return RK_MAX(l->heap[1]->at_ms - mono_ms(), 0);
}

/* One on the clock without gaps is due; is it still, and was all read that was
 * said before? */
static bool
waits_on(struct loop_timer *t)
{
	int64_t now = loop_seen_ms(t->l);

	if (t->seen_ms <= now && t->l->unread == 0)
		return false;
	loop_timer_seen(t, t->seen_ms);
	return true;
}

void
timers_run(struct loop *l)
{
	/* What a callback sets is for the next round, even when it is due. */
	uint64_t end = l->order;

	l->now = mono_ms();
	while (l->set > 0 && !l->stopping) {
		struct loop_timer *t = l->heap[1];
		if (t->at_ms > l->now || t->order >= end)
			break;
		if (t->seen && waits_on(t))
			continue;
		loop_timer_off(t);
		t->fn(t->ctx);          /* t may be gone after this */
	}
}

void
timers_fini(struct loop *l)
{
	while (l->timers != NULL) {
		struct loop_timer *t = l->timers;
		loop_timer_del(&t);
	}
	free(l->heap);
	l->heap = NULL;
}
