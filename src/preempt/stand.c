/*
 * What stands of the answers.
 *
 *	 said ──▶ stands ──┬─▶ withdrawn: WITHOUT answers in a row lack it
 *	   ▲               └─▶ survived: its time is past by `survived_seconds`,
 *	   │                   and here we are
 *	   └── said again after it was withdrawn; with a nearer time, or, when
 *	       it was survived, with another
 *
 * While one stands that says leave, the daemon stays saved; when none does any
 * more, its jobs go on.  Questions are answered over and over: only what is new
 * is passed on.  An early notice with a name is not new because it was gone for
 * a while; one that is put off, or says "now" each time, tells nothing new.
 */
#include <string.h>

#include "clouds.h"

#define WITHOUT 3               /* one may be a slip of the service */

/* Clouds that do not say when: from the first word of it on. */
static void
give_time(const struct preempt *p, const struct stand *s, struct notice *n,
    int64_t now)
{
	int64_t lead = n->lead_ms == LEAD_CONFIGURED ?
	    (int64_t)(p->c.gcp_notice_seconds * 1000) : n->lead_ms;

	if (n->when_ms != 0 || lead == 0)
		return;
	n->when_ms = now + lead;
	if (s->last.kind != NOTICE_NONE && strcmp(s->last.id, n->id) == 0 &&
	    s->last.when_ms != 0)
		n->when_ms = RK_MIN(n->when_ms, s->last.when_ms);
	/* There is time to train on. */
	if (n->lead_ms > SOON_MS && n->when_ms > now + SOON_MS)
		n->kind = NOTICE_EARLY;
}

static bool
is_news(const struct stand *s, const struct notice *n)
{
	const struct notice *old = &s->last;

	return n->kind != old->kind || strcmp(n->id, old->id) != 0 ||
	    (n->when_ms != old->when_ms && (old->when_ms == 0 ||
	    n->when_ms < old->when_ms || !s->stands));
}

static void
hear_nothing(struct stand *s)
{
	if (s->last.kind == NOTICE_NONE || ++s->without < WITHOUT)
		return;
	s->stands = false;
	if (s->last.kind == NOTICE_LEAVE || s->last.id[0] == '\0')
		s->last = (struct notice){ 0 };
}

/* True: it is new. */
static bool
hear(struct stand *s, const struct notice *n)
{
	s->without = 0;
	if (is_news(s, n)) {
		s->last = *n;
		s->stands = true;
		return true;
	}
	/* One that is put off stands longer. */
	s->last.when_ms = n->when_ms;
	s->stands = s->stands || n->kind == NOTICE_EARLY;
	return false;
}

/* When this one will have been survived, wall clock; 0: it does not say. */
static int64_t
survived_ms(const struct preempt *p, const struct stand *s)
{
	return !s->stands || s->last.when_ms == 0 ? 0 : s->last.when_ms +
	    (int64_t)(p->c.survived_seconds * 1000);
}

static bool
nearer(const struct preempt *p, const struct notice *a, const struct notice *b)
{
	return a->kind > b->kind || (a->kind == b->kind &&
	    leave_deadline(p, a) < leave_deadline(p, b));
}

/* Which notice counts now. */
static void
review(struct preempt *p)
{
	bool leaving = p->notice.kind == NOTICE_LEAVE, survived = false;
	int64_t now = now_ms(), next = INT64_MAX;

	p->notice = (struct notice){ 0 };
	for (int i = 0; i < QUESTIONS_MAX; i++) {
		struct stand *s = &p->stand[i];
		int64_t at = survived_ms(p, s);
		if (at != 0 && now >= at) {
			s->stands = false;
			survived = survived || s->last.kind == NOTICE_LEAVE;
		} else if (at != 0) {
			next = RK_MIN(next, at);
		}
		if (s->stands && nearer(p, &s->last, &p->notice))
			p->notice = s->last;
	}
	if (next != INT64_MAX)
		loop_timer_at(p->over, mono_ms() + next - now);
	if (leaving && p->notice.kind != NOTICE_LEAVE)
		leave_back(p, survived ? "the time that was announced is past, "
		    "and this machine is still here" :
		    "the notice was withdrawn");
}

static void
over_timer_fn(void *ctx)
{
	struct preempt *p = ctx;

	must_be(p, PREEMPT_TAG);
	review(p);
}

void
stand_answer(struct preempt *p, int i, struct notice *n)
{
	struct stand *s = &p->stand[i];
	bool news = false;

	if (n->kind == NOTICE_NONE) {
		hear_nothing(s);
	} else {
		give_time(p, s, n, now_ms());
		news = hear(s, n);
	}
	review(p);
	if (news)
		leave_notice(p, n);
}

void
stand_init(struct preempt *p)
{
	p->over = loop_timer_add(p->loop, over_timer_fn, p);
}

void
stand_fini(struct preempt *p)
{
	loop_timer_del(&p->over);
}
