/*
 * The clock without gaps.
 *
 * Each look at it compares the time that has passed with the time that was to
 * be slept; what is far more is a gap, in which nobody was listened to.
 */
#include "impl.h"

#define GAP_MS  500             /* less is the usual life of a busy machine */
#define TICK_MS 500

bool
seen_look(struct loop *l, int64_t ms)
{
	int64_t now = mono_ms(), late = now - l->looked_ms - ms;
	bool gap = l->looked_ms != 0 && late >= GAP_MS;

	if (gap) {
		l->unseen_ms += late;
		/* All that came meanwhile is still to be delivered. */
		l->unread = SIZE_MAX;
		if (l->nseen > 0)
			log_info("loop: nothing was seen for %lld ms; that "
			    "time counts for nobody", (long long)late);
	}
	l->looked_ms = now;
	return gap;
}

int64_t
seen_wait(const struct loop *l)
{
	return l->nseen > 0 ? TICK_MS : -1;
}

/* The kernel hands out what is ready in turn, so that as many events as there
 * are watches are one of each. */
void
seen_delivered(struct loop *l, size_t n, size_t most)
{
	size_t watches = 0;

	if (n < most) {
		l->unread = 0;
		return;
	}
	if (l->unread == 0 || l->unread == SIZE_MAX) {
		for (const struct loop_fd *w = l->fds; w != NULL; w = w->next)
			watches++;
		l->unread = watches;
	}
	l->unread -= RK_MIN(n, l->unread);
}

int64_t
loop_seen_ms(struct loop *l)
{
	must_be(l, LOOP_TAG);
	(void)seen_look(l, 0);
	return l->looked_ms - l->unseen_ms;
}

void
loop_timer_seen(struct loop_timer *t, int64_t at_seen_ms)
{
	struct loop *l;

	must_be(t, LOOP_TIMER_TAG);
	l = t->l;
	(void)seen_look(l, 0);
	loop_timer_at(t, at_seen_ms + l->unseen_ms);
	t->seen = true;
	t->seen_ms = at_seen_ms;
	l->nseen++;
}
