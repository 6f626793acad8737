/*
 * When to look (look.c), as long as the jobs are ours: now and then, and at
 * once when this process was frozen.  And the guard that ship asks before it
 * deletes: PROTOCOL, "Deletions".
 */
#include <stdlib.h>
#include <time.h>

#include "impl.h"

#define TICK_MS   500
#define FROZEN_MS 1500          /* a tick that is so late was no busy machine */

/* --- now and then --------------------------------------------------------- */

static void
nobody(void *ctx, enum look found)
{
	(void)ctx;
	(void)found;
}

/* CLOCK_BOOTTIME goes on while the machine sleeps. */
int64_t
watch_clock(void)
{
	struct timespec ts;

	must(clock_gettime(CLOCK_BOOTTIME, &ts) == 0);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void
tick_fn(void *ctx)
{
	struct mirror *m = ctx;
	int64_t now = mono_ms(), boot = watch_clock();
	bool frozen = m->boot_ms != 0 && boot - m->boot_ms > TICK_MS +
	    FROZEN_MS;

	must_be(m, MIRROR_TAG);
	m->boot_ms = boot;
	if (m->state != MIRROR_OWNER)
		return;
	if (frozen || now - m->checked_ms >= m->c.check_ms) {
		if (m->waiting == NULL && (frozen || m->look_op == NULL))
			watch_look(m, nobody, NULL);
	}
	loop_timer_at(m->tick, now + RK_MIN(TICK_MS, m->c.check_ms));
}

/* --- the guard ------------------------------------------------------------ */

static void
answer(struct question *q, bool yes)
{
	struct question **p = &q->m->questions;

	while (*p != q)
		p = &(*p)->next;
	*p = q->next;
	q->answer(q->actx, yes);
	free(q);
}

static void
question_looked(void *ctx, enum look found)
{
	answer(ctx, found == LOOK_FINE);
}

/* Those whose records are there are looked for; those that nobody may answer
 * any more get a no. */
static void
ask_timer_fn(void *ctx)
{
	struct mirror *m = ctx;
	struct question *q, *next;
	int64_t oldest;

	must_be(m, MIRROR_TAG);
	oldest = records_oldest(m);
	for (q = m->questions; q != NULL; q = next) {
		next = q->next;
		if (q->mark < 0)        /* what was told with it has its mark */
			q->mark = m->marks;
		if (q->looking)
			continue;
		if (m->apart || m->state != MIRROR_OWNER) {
			/* What ship_apart() deletes is nobody else's. */
			answer(q, m->apart && m->state == MIRROR_ALONE);
			next = m->questions;    /* anything may have changed */
		} else if (oldest > q->mark) {
			q->looking = true;
			watch_look(m, question_looked, q);
		}
	}
}

void
watch_ask(struct mirror *m)
{
	if (m->questions != NULL)
		loop_timer_at(m->ask_timer, mono_ms());
}

/* From the next round on: sup tells ship and us of a deletion in one round. */
void
watch_guard(void *ctx, ship_answer_fn *fn, void *actx)
{
	struct mirror *m = ctx;
	struct question *q = xcalloc(1, sizeof(*q));

	must_be(m, MIRROR_TAG);
	*q = (struct question){ m->questions, m, fn, actx, -1, false };
	m->questions = q;
	watch_ask(m);
}

void
watch_begin(struct mirror *m)
{
	m->tick = loop_timer_add(m->loop, tick_fn, m);
	m->ask_timer = loop_timer_add(m->loop, ask_timer_fn, m);
}

void
watch_fini(struct mirror *m)
{
	struct question *q;

	look_fini(m);
	while ((q = m->questions) != NULL) {
		m->questions = q->next;
		free(q);
	}
	loop_timer_del(&m->tick);
	loop_timer_del(&m->ask_timer);
}
