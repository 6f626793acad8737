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

static void
forget_waiters(struct sup *s)
{
	struct waiter *w;

	while ((w = s->waiters) != NULL) {
		s->waiters = w->next;
		free(w);
	}
}

void
drain_fini(struct sup *s)
{
	forget_waiters(s);
	free(s->drain_reason);
	s->drain_reason = NULL;
}

/* What has happened, and where jobs go on. */
static const struct {
	const char *reason, *what, *where;
} words[] = {
	{ "shutdown", "the daemon ends", "with the next one" },
	{ "drain", "the daemon is drained", "when it takes work again" },
	{ "preempted", "the machine is taken away", "on the next one" },
	{ "taken_over", "another daemon has taken the jobs over", "there" },
};

/* A trainer that did not leave has lost what came after its last checkpoint. */
static char *
goes_on_from(const struct run *run)
{
	const json_t *dir = json_object_get(run->progress, "checkpoint");
	char place[PLACE];

	if (run->done || !run->trains)
		return xstrdup(run_place(run, run->at.end_step, place));
	return xstrdup(json_is_string(dir) ? json_string_value(dir) :
	    "the start");
}

char *
drain_sentence(const struct run *run)
{
	const char *reason = run->s->drain_reason;
	const char *late = run->done || !run->hello ? "" :
	    "; its trainer had not saved in time";
	char *from = goes_on_from(run), *text = NULL;

	for (size_t i = 0; i < RK_ARRAY_LEN(words) && text == NULL; i++) {
		if (strcmp(words[i].reason, reason) == 0)
			text = xasprintf("%s; the job goes on from %s %s%s",
			    words[i].what, from, words[i].where, late);
	}
	if (text == NULL)
		text = xasprintf("the daemon ends (%s); the job goes on from "
		    "%s with the next one%s", reason, from, late);
	free(from);
	return text;
}

/* Once for each reason, and whenever there is less time than was said. */
static void
tell(struct sup *s, int64_t deadline_ms, const char *reason)
{
	char *text = xasprintf("drains (%s): every trainer saves and leaves "
	    "within %.3g s", reason,
	    (double)RK_MAX(deadline_ms - mono_ms(), 0) / 1000);

	log_info("sup: %s", text);
	sup_event(s, "", "drain", text, NULL);
	free(text);
}

void
sup_drain(struct sup *s, int64_t deadline_ms, const char *reason,
    sup_drained_fn *fn, void *ctx)
{
	struct waiter *w = xcalloc(1, sizeof(*w));

	must_be(s, SUP_TAG);
	*w = (struct waiter){ s->waiters, fn, ctx };
	s->waiters = w;
	bool first = !s->draining;
	if (first || strcmp(reason, "taken_over") == 0)
		set_str(&s->drain_reason, reason);
	if (first) {
		s->draining = true;
		s->drain_by_ms = deadline_ms;
		loop_timer_off(s->sched_timer);
	}
	if (first || deadline_ms < s->drain_by_ms)
		tell(s, deadline_ms, reason);
	/* Asked again, the nearer deadline counts. */
	s->drain_by_ms = RK_MIN(s->drain_by_ms, deadline_ms);
	for (struct run *r = s->runs; r != NULL; r = r->next)
		run_leave(r, LEAVE_DRAIN, true, s->drain_by_ms);
	drain_look(s);
}

/* What draining has held up; what a job says of it goes when the job does. */
void
sup_undrain(struct sup *s)
{
	must_be(s, SUP_TAG);
	forget_waiters(s);
	if (!s->draining)
		return;
	s->draining = false;
	sup_event(s, "", "drain", "takes work again", NULL);
	if (!s->held && !s->recovered)
		loop_timer_at(s->recover_timer, mono_ms());
	disk_wait(s);
	known_timer_set(s);
	sched_kick(s);
}

/* --- what a drain would have to do ---------------------------------------- */

static json_t *
rehearsed(struct sup *s, const struct run *run)
{
	struct ckpt_info last = { 0 };
	json_t *bytes = json_null(), *seconds = json_null();
	struct job_row r;

	if (store_job_get(s->store, run->id, &r) != RK_OK)
		return NULL;
	if (run->commit_s >= 0) {
		seconds = json_real(run->commit_s);
		bytes = json_integer(run->commit_bytes);
	} else if (own_latest(s, run->id, &last) == RK_OK) {
		bytes = json_integer((json_int_t)last.bytes);
		ckpt_info_fini(&last);
	}
	json_t *o = json_pack("{s:s, s:s, s:I, s:I, s:o, s:o}", "id", run->id,
	    "name", r.name, "step", (json_int_t)run->step, "priority",
	    (json_int_t)run->priority, "commit_seconds", seconds, "bytes",
	    bytes);
	store_job_fini(&r);
	return o;
}

/* As the queue has them: by priority, then by age. */
static int
by_turn(const void *a, const void *b)
{
	const struct run *x = *(const struct run *const *)a;
	const struct run *y = *(const struct run *const *)b;

	if (x->priority != y->priority)
		return x->priority > y->priority ? -1 : 1;
	return strcmp(x->id, y->id);
}

json_t *
sup_drain_rehearse(struct sup *s)
{
	json_t *jobs = json_array(), *o;
	const struct run **v;
	size_t n = 0;

	must_be(s, SUP_TAG);
	for (const struct run *r = s->runs; r != NULL; r = r->next)
		n++;
	v = xcalloc(n + 1, sizeof(*v));
	n = 0;
	for (const struct run *r = s->runs; r != NULL; r = r->next) {
		if (!r->exited)
			v[n++] = r;
	}
	qsort(v, n, sizeof(*v), by_turn);
	for (size_t i = 0; i < n; i++) {
		if ((o = rehearsed(s, v[i])) != NULL)
			json_array_append_new(jobs, o);
	}
	free(v);
	return json_pack("{s:o}", "jobs", jobs);
}

bool
sup_draining(const struct sup *s)
{
	return s->draining;
}

const char *
sup_drain_reason(const struct sup *s)
{
	return s->draining ? s->drain_reason : "";
}
