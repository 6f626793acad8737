/*
 * The path out.
 *
 *	SAVING    sup_drain() and ship_drain() side by side: a checkpoint goes
 *	          up as soon as its trainer has committed it
 *	FLUSHING  what came of it into the events, then records and events into
 *	          the bucket
 *	LEFT      the cloud is told, and the caller; after a notice that was
 *	          withdrawn or survived: back to NOT, and jobs go on
 *
 * The deadline only comes nearer.  When there is something to ship, trainers
 * get half of the time: one that does not yield by then is killed, and the rest
 * belongs to its last good checkpoint.
 */
#include <stdlib.h>
#include <string.h>

#include "clouds.h"

#define FLUSH_MS 500            /* kept back for the last words */
#define ACK_MS   1000           /* the cloud has so long to hear of it */

static void saved(struct preempt *p);

/* --- and back ------------------------------------------------------------ */

static void
set_text(char **to, const char *text)
{
	free(*to);
	*to = text != NULL ? xstrdup(text) : NULL;
}

/* The notices are over.  What is under way comes to its end first; who was told
 * to leave by a person, a signal or another owner does not come back. */
static void
come_back(struct preempt *p)
{
	char *text;

	if (p->back == NULL || p->stays || p->stage != LEAVE_LEFT ||
	    !p->sup_done || (p->mirror != NULL && mirror_state(p->mirror) ==
	    MIRROR_LOST))
		return;
	text = xasprintf("%s; jobs go on", p->back);
	log_info("preempt: %s", text);
	sup_event(p->sup, "", "notice", text, NULL);
	free(text);
	loop_timer_off(p->limit);
	p->stage = LEAVE_NOT;
	p->back = NULL;
	p->sup_done = p->ship_done = p->flushed = false;
	set_text(&p->reason, NULL);
	set_text(&p->text, NULL);
	if (p->ship != NULL)
		ship_undrain(p->ship);
	sup_undrain(p->sup);
}

void
leave_back(struct preempt *p, const char *why)
{
	if (p->stage == LEAVE_NOT)
		return;
	p->back = why;
	if (p->stays)
		log_info("preempt: %s; but it was not only that (%s)", why,
		    p->reason);
	come_back(p);
}

/* --- there ---------------------------------------------------------------- */

/* Nothing would be lost if the machine went now.  Without buckets, what is on
 * its disk is all there is to have. */
static bool
all_up(const struct preempt *p)
{
	return p->sup_done && p->flushed && (p->ship == NULL ||
	    ship_all_up(p->ship));
}

/* The cloud first, as far as there is something to say, then the caller. */
static void
tell(struct preempt *p)
{
	if (p->back == NULL && all_up(p) && watch_acknowledge(p))
		loop_timer_at(p->limit, mono_ms() + ACK_MS);
	else
		leave_tell(p);
}

static void
finish(struct preempt *p)
{
	int running = 0;
	int64_t queued, threads;
	uint64_t memory;

	if (p->stage == LEAVE_LEFT)
		return;
	p->stage = LEAVE_LEFT;
	loop_timer_off(p->limit);
	sup_stats(p->sup, &running, &queued, &threads, &memory);
	log_info("preempt: done after %.3g s (%s), %d trainer%s still there",
	    (double)(mono_ms() - p->began_ms) / 1000, p->reason, running,
	    rk_s(running));
	p->code = running > 0 ? 1 : 0;
	tell(p);
	come_back(p);
}

void
leave_tell(struct preempt *p)
{
	loop_timer_off(p->limit);
	if (p->end && !p->told) {
		p->told = true;
		p->left(p->ctx, p->code);
	}
}

static void
on_flushed(void *ctx, bool all)
{
	struct preempt *p = ctx;

	must_be(p, PREEMPT_TAG);
	if (!all)
		log_warn("preempt: not every record reached the bucket in "
		    "time");
	p->flushed = all;
	finish(p);
}

static void
on_limit(void *ctx)
{
	struct preempt *p = ctx;

	must_be(p, PREEMPT_TAG);
	if (p->stage == LEAVE_SAVING)
		saved(p);
	else if (p->stage == LEAVE_LEFT)
		tell(p);
	else
		finish(p);
}

/* What has come of it, in one sentence, for events and for the bucket. */
static char *
outcome(const struct preempt *p)
{
	struct ship_stats s = { 0 };

	if (p->ship == NULL)
		return xasprintf("left: %s", p->text);
	ship_stats(p->ship, &s);
	return xasprintf("left after %.3g s: %s; %lld checkpoint%s pushed "
	    "since the start, %lld left behind",
	    (double)(mono_ms() - p->began_ms) / 1000, p->text,
	    (long long)s.pushed, s.pushed == 1 ? " was" : "s were",
	    (long long)(s.queued + s.uploading));
}

/* The last words: who finds them on another machine has no events. */
static void
flush(struct preempt *p, const char *text)
{
	const char *story = p->ship != NULL ? ship_drain_story(p->ship) : "";
	char *all = xasprintf("%s%s%s", text, story[0] != '\0' ? "; " : "",
	    story);

	mirror_flush(p->mirror, all, RK_MAX(p->by_ms, mono_ms() + FLUSH_MS),
	    on_flushed, p);
	free(all);
}

static void
saved(struct preempt *p)
{
	char *text;

	if (p->stage != LEAVE_SAVING)
		return;
	p->stage = LEAVE_FLUSHING;
	text = outcome(p);
	log_info("preempt: %s", text);
	loop_timer_at(p->limit, RK_MAX(p->by_ms, mono_ms() + FLUSH_MS));
	if (p->mirror != NULL && strcmp(p->reason, "taken_over") != 0)
		flush(p, text);
	else {
		p->flushed = true;
		loop_timer_at(p->limit, mono_ms());
	}
	free(text);
}

static void
look(struct preempt *p)
{
	if (p->sup_done && p->ship_done)
		saved(p);
}

static void
on_sup(void *ctx)
{
	struct preempt *p = ctx;

	must_be(p, PREEMPT_TAG);
	p->sup_done = true;
	look(p);
	come_back(p);
}

static void
on_ship(void *ctx)
{
	struct preempt *p = ctx;

	must_be(p, PREEMPT_TAG);
	p->ship_done = true;
	look(p);
}

/* Does some job have a place to go to? */
static bool
ships(struct preempt *p)
{
	json_t *v, *jobs;
	bool any;

	if (p->ship == NULL || strcmp(p->reason, "taken_over") == 0)
		return false;
	v = ship_rehearse(p->ship, 1);
	jobs = json_object_get(v, "jobs");
	any = json_array_size(jobs) > 0;
	json_decref(v);
	return any;
}

/* By when trainers must be gone, so that what they saved can still go up. */
static int64_t
trainers_by(struct preempt *p)
{
	int64_t now = mono_ms(), left = RK_MAX(p->by_ms - now, 0);

	return ships(p) ? now + left / 2 : now + left;
}

static void
drive(struct preempt *p, bool first)
{
	int64_t last = p->by_ms - (p->mirror != NULL ? FLUSH_MS : 0);

	sup_drain(p->sup, trainers_by(p), p->reason, first ? on_sup : NULL, p);
	if (p->ship != NULL && strcmp(p->reason, "taken_over") != 0)
		ship_drain(p->ship, RK_MAX(last, mono_ms()),
		    first ? on_ship : NULL, p);
	else
		p->ship_done = true;
	loop_timer_at(p->limit, p->by_ms);
}

static void
leave(struct preempt *p, int64_t deadline_ms, const char *reason,
    const char *text)
{
	bool first = p->stage == LEAVE_NOT;

	if (p->stage == LEAVE_LEFT) {
		/* Drained before; now the process may go, too. */
		loop_timer_at(p->limit, mono_ms());
		return;
	}
	if (!first && deadline_ms >= p->by_ms)
		return;
	if (first) {
		p->began_ms = mono_ms();
		set_text(&p->reason, reason);
		set_text(&p->text, text);
		p->stage = LEAVE_SAVING;
	}
	p->by_ms = deadline_ms;
	log_info("preempt: everything is to be saved within %.3g s (%s: %s)",
	    (double)RK_MAX(deadline_ms - mono_ms(), 0) / 1000, reason, text);
	if (p->stage == LEAVE_SAVING)
		drive(p, first);
	else
		loop_timer_at(p->limit, p->by_ms);
}

void
preempt_leave(struct preempt *p, int64_t deadline_ms, const char *reason,
    const char *text, bool end)
{
	must_be(p, PREEMPT_TAG);
	p->end = p->end || end;
	p->stays = true;
	leave(p, deadline_ms, reason, text);
}

/* --- notices ------------------------------------------------------------- */

/* The cloud's time on our clock of deadlines, less the margin.  A time that is
 * not said, or lies in the past, is the shortest notice that clouds promise. */
int64_t
leave_deadline(const struct preempt *p, const struct notice *n)
{
	int64_t left = n->when_ms - now_ms();
	int64_t margin = (int64_t)(p->c.margin_seconds * 1000);

	if (n->when_ms == 0 || left <= 0)
		left = SHORTEST_MS;
	return mono_ms() + RK_MAX(left - margin, 1000);
}

void
leave_notice(struct preempt *p, const struct notice *n)
{
	if (n->kind < p->notice.kind)
		return;
	log_warn("preempt: %s", n->text);
	sup_event(p->sup, "", "notice", n->text, NULL);
	if (n->kind == NOTICE_EARLY) {
		if (p->ship != NULL)
			ship_hurry(p->ship, n->text);
		return;
	}
	p->back = NULL;
	leave(p, leave_deadline(p, n), "preempted", n->text);
}

void
leave_fini(struct preempt *p)
{
	loop_timer_del(&p->limit);
	free(p->reason);
	free(p->text);
}

void
leave_init(struct preempt *p)
{
	p->limit = loop_timer_add(p->loop, on_limit, p);
}
