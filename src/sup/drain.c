/* The daemon's own end: no new work, everything saved, all trainers gone. */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

static bool
all_gone(const struct sup *s)
{
	/* One whose end cannot be written holds nobody up: the next daemon
	 * finds its job interrupted. */
	for (const struct run *r = s->runs; r != NULL; r = r->next) {
		if (!r->settling)
			return false;
	}
	return true;
}

void
drain_look(struct sup *s)
{
	if (s->draining && s->waiters != NULL && all_gone(s))
		loop_timer_at(s->drain_timer, mono_ms());
}

/* From the loop and not from within a call, so that a waiter may do
 * anything. */
void
drain_timer_fn(void *ctx)
{
	struct sup *s = ctx;
	struct waiter *w, *all = s->waiters;

	must_be(s, SUP_TAG);
	if (!all_gone(s))
		return;
	s->waiters = NULL;
	while ((w = all) != NULL) {
		all = w->next;
		if (w->fn != NULL)
			w->fn(w->ctx);
		free(w);
	}
}

void
drain_fini(struct sup *s)
{
	struct waiter *w;

	while ((w = s->waiters) != NULL) {
		s->waiters = w->next;
		free(w);
	}
	free(s->drain_reason);
	s->drain_reason = NULL;
}

void
sup_drain(struct sup *s, int64_t deadline_ms, const char *reason,
    sup_drained_fn *fn, void *ctx)
{
	struct waiter *w = xcalloc(1, sizeof(*w));

	must_be(s, SUP_TAG);
	*w = (struct waiter){ s->waiters, fn, ctx };
	s->waiters = w;
	if (!s->draining) {
		s->draining = true;
		s->drain_by_ms = deadline_ms;
		s->drain_reason = xstrdup(reason);
		loop_timer_off(s->sched_timer);
		char *text = xasprintf("drains (%s): every trainer saves and "
		    "leaves within %.3g s", reason,
		    (double)RK_MAX(deadline_ms - mono_ms(), 0) / 1000);
		log_info("sup: %s", text);
		sup_event(s, "", "drain", text, NULL);
		free(text);
	}
	/* Asked again, the nearer deadline counts. */
	s->drain_by_ms = RK_MIN(s->drain_by_ms, deadline_ms);
	for (struct run *r = s->runs; r != NULL; r = r->next)
		run_leave(r, LEAVE_DRAIN, true, s->drain_by_ms);
	drain_look(s);
}

bool
sup_draining(const struct sup *s)
{
	return s->draining;
}
