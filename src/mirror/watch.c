/*
 * Looking for a higher epoch, as long as the jobs are ours: now and then, when
 * somebody asks, and at once when this process was frozen.  And the guard that
 * ship asks before it deletes: PROTOCOL, "Deletions".
 */
#include <stdlib.h>
#include <time.h>

#include "impl.h"

#define TICK_MS   500
#define FROZEN_MS 1500          /* a tick that is so late was no busy machine */
#define LOOK_MS   20000

static void start_look(struct mirror *m);

/* --- looks ---------------------------------------------------------------- */

static void
tell(struct waiter *all, enum look found)
{
	struct waiter *w, *next;

	for (w = all; w != NULL; w = next) {
		next = w->next;
		w->fn(w->ctx, found);
		free(w);
	}
}

static void
look_end(struct mirror *m, bool known, int64_t top)
{
	struct waiter *all = m->looking;

	m->looking = NULL;
	if (known && top > m->epoch)
		mirror_lose(m, top);
	else if (known)
		m->checked_ms = mono_ms();
	tell(all, m->state == MIRROR_LOST ? LOOK_HIGHER : known ? LOOK_FINE :
	    LOOK_UNKNOWN);
	if (m->waiting != NULL && m->look_op == NULL)
		start_look(m);
}

static void
next_asked(void *ctx, const struct remote_result *r)
{
	struct mirror *m = ctx;

	must_be(m, MIRROR_TAG);
	m->look_op = NULL;
	look_end(m, r->end == REMOTE_OK || r->end == REMOTE_MISSING,
	    r->end == REMOTE_OK ? m->epoch + 1 : 0);
}

/* Who came behind us made the next number: also where lists are late. */
static void
look_listed(void *ctx, const struct remote_result *r)
{
	struct mirror *m = ctx;
	struct remote_patience pt = patience(LOOK_MS);
	int64_t top;

	must_be(m, MIRROR_TAG);
	m->look_op = NULL;
	top = numbers_top(&m->look_list);
	numbers_fini(&m->look_list);
	if (r->end != REMOTE_OK || top > m->epoch) {
		look_end(m, r->end == REMOTE_OK, top);
		return;
	}
	char *key = key_of(m, "epochs/", m->epoch + 1, ".json");
	m->look_op = remote_head(m->remote, key, &pt, next_asked, m);
	free(key);
}

static bool
see_numbers(void *ctx, const struct remote_entry *v, size_t n)
{
	struct mirror *m = ctx;

	must_be(m, MIRROR_TAG);
	return numbers_see(&m->look_list, v, n);
}

static void
start_look(struct mirror *m)
{
	struct remote_patience pt = patience(LOOK_MS);
	char *dir = dir_of(m, "epochs/");

	m->looking = m->waiting;
	m->waiting = NULL;
	m->look_list.suffix = ".json";
	m->look_op = remote_list(m->remote, dir, false, see_numbers, &pt,
	    look_listed, m);
	free(dir);
}

/* A look that began before the question is no answer to it. */
void
watch_look(struct mirror *m, look_fn *fn, void *ctx)
{
	struct waiter *w = xcalloc(1, sizeof(*w));

	*w = (struct waiter){ m->waiting, fn, ctx };
	m->waiting = w;
	if (m->look_op == NULL)
		start_look(m);
}

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
		if (m->state != MIRROR_OWNER) {
			answer(q, false);
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

static void
drop(struct waiter *w)
{
	struct waiter *next;

	for (; w != NULL; w = next) {
		next = w->next;
		free(w);
	}
}

void
watch_fini(struct mirror *m)
{
	struct question *q;

	remote_cancel(&m->look_op);
	numbers_fini(&m->look_list);
	drop(m->waiting);
	drop(m->looking);
	m->waiting = m->looking = NULL;
	while ((q = m->questions) != NULL) {
		m->questions = q->next;
		free(q);
	}
	loop_timer_del(&m->tick);
	loop_timer_del(&m->ask_timer);
}
