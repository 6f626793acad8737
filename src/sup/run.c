/* The life of a trainer's process: its line, its clock, being asked to go. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "impl.h"

static void on_clock(void *ctx);

struct run *
run_new(struct sup *s, const struct job_row *r)
{
	struct run *run = xcalloc(1, sizeof(*run));

	run->tag = RUN_TAG;
	run->s = s;
	memcpy(run->id, r->id, sizeof(run->id));
	run->trains = sup_trains(r);
	run->priority = r->priority;
	run->threads = sup_threads(s, r);
	run->memory = sup_memory(s, r);
	run->memory_said = job_says_memory(r);
	run->at = (struct attempt_row){ .n = r->attempt,
		.started_ms = now_ms(), .from = xstrdup(""),
		.outcome = xstrdup(""), .message = xstrdup(""),
		.instance = xstrdup(s->c.instance), .epoch = s->epoch };
	run->commit_s = -1;
	run->log_fd = -1;
	run->begun_ms = mono_ms();
	oom_begin(run);
	run->heard_ms = loop_seen_ms(s->loop);
	run->timer = loop_timer_add(s->loop, on_clock, run);
	if (rkj_parse_json(r->progress, strlen(r->progress), &run->progress,
	    NULL) != RK_OK || !json_is_object(run->progress)) {
		json_decref(run->progress);
		run->progress = json_object();
	}
	known_of_row(run, r);
	run->step = json_integer_value(json_object_get(run->progress, "step"));
	run->at.start_step = run->at.end_step = run->step;
	run->next = s->runs;
	s->runs = run;
	return run;
}

void
run_free(struct run *run)
{
	must_be(run, RUN_TAG);
	for (struct run **p = &run->s->runs; *p != NULL; p = &(*p)->next) {
		if (*p == run) {
			*p = run->next;
			break;
		}
	}
	rk_close(&run->log_fd);
	loop_timer_del(&run->timer);
	loop_fd_del(&run->watch);
	wire_free(&run->wire);
	store_attempt_fini(&run->at);
	json_decref(run->progress);
	free(run->fail_reason);
	free(run->fail_message);
	json_decref(run->fail_details);
	free(run->sentence);
	run->tag = 0;
	free(run);
}

struct run *
run_find(const struct sup *s, const char *id)
{
	struct run *run = s->runs;

	while (run != NULL && strcmp(run->id, id) != 0)
		run = run->next;
	return run;
}

/* --- the line ------------------------------------------------------------- */

static void
want(struct run *run)
{
	if (run->watch != NULL)
		loop_fd_want(run->watch, wire_pending(run->wire) ?
		    LOOP_IN | LOOP_OUT : LOOP_IN);
}

void
run_send(struct run *run, enum wire_type type, json_t *tree)
{
	if (run->wire == NULL || run->watch == NULL) {
		json_decref(tree);
		return;
	}
	/* One that does not read is found by its clock, one that has gone by
	 * its end. */
	(void)!wire_send(run->wire, type, tree);
	want(run);
}

/* All that it has said so far.  Nothing more is heard from one that spoke
 * nonsense. */
static void
listen_all(struct run *run, bool last)
{
	struct rk_why why = { 0 };
	struct wire_msg m;
	enum rk_err rc, filled;

	do {
		filled = wire_fill(run->wire);
		while (run->condemned == NULL &&
		    wire_next(run->wire, &m, &rc, &why)) {
			run->heard_ms = loop_seen_ms(run->s->loop);
			if (rc != RK_OK) {
				run_condemn(run, "crashed", "what the trainer "
				    "said is not the protocol: %s",
				    rk_why_first(&why));
				break;
			}
			talk(run, &m);
			wire_msg_fini(&m);
		}
		/* wire_fill() stops at its limit; at the end there is no next
		 * round to go on in. */
	} while (last && filled == RK_OK && run->condemned == NULL &&
	    wire_wait(run->wire, 0));
	rk_why_fini(&why);
	if (filled != RK_OK || run->condemned != NULL) {
		/* Gone: it will end.  One that only closed its line may stay
		 * as long as one that was told to leave. */
		loop_fd_del(&run->watch);
		if (run->leave_by_ms == 0)
			run->leave_by_ms = loop_seen_ms(run->s->loop) +
			    run->s->c.stop_timeout_ms;
		run_clock(run);
	}
}

static void
on_line(void *ctx, unsigned events)
{
	struct run *run = ctx;

	must_be(run, RUN_TAG);
	if (events & LOOP_OUT)
		(void)!wire_flush(run->wire);
	if (events & (LOOP_IN | LOOP_HUP))
		listen_all(run, false);
	want(run);
}

static void
on_exit_of(void *ctx, pid_t pid, int status)
{
	struct run *run = ctx;

	must_be(run, RUN_TAG);
	run->exited = true;
	run->status = status;
	oom_end(run);
	if (run->watch != NULL)
		listen_all(run, true);
	loop_fd_del(&run->watch);
	/* What it may have left behind in its process group. */
	kill(-pid, SIGKILL);
	run_settle(run);
}

enum rk_err
run_watch(struct run *run)
{
	run->watch = loop_fd_add(run->s->loop, wire_fd(run->wire), LOOP_IN,
	    on_line, run);
	if (run->watch == NULL)
		return RK_EIO;
	run_clock(run);
	return loop_child(run->s->loop, run->pid, on_exit_of, run);
}

/* --- the clock ------------------------------------------------------------ */

/* When it has been silent for too long. */
static int64_t
silent_at(const struct run *run)
{
	const struct sup_config *c = &run->s->c;

	return run->heard_ms + (run->hello ? c->stall_timeout_ms :
	    c->start_timeout_ms);
}

void
run_clock(struct run *run)
{
	if (run->exited || run->killed) {
		loop_timer_off(run->timer);
		return;
	}
	int64_t at = silent_at(run);
	if (run->leave_by_ms != 0)
		at = RK_MIN(at, run->leave_by_ms);
	loop_timer_seen(run->timer, at);
}

/* A stopped trainer is not a hung one: whoever stopped it may let it go on,
 * hours later.  It is told of once, and looked at again and again. */
static bool
is_stopped(struct run *run)
{
	if (!proc_stopped(run->pid)) {
		run->stopped_told = false;
		return false;
	}
	if (!run->stopped_told) {
		char *text = xasprintf("the trainer (pid %ld) is stopped, as by "
		    "SIGSTOP, a debugger or a frozen control group; the job "
		    "waits until it is let go on", (long)run->pid);
		log_warn("job=%s %s", run->id, text);
		sup_event(run->s, run->id, "stopped", text, NULL);
		free(text);
		run->stopped_told = true;
	}
	return true;
}

/* Silent for too long. */
static void
judge_silence(struct run *run, int64_t now)
{
	const struct sup_config *c = &run->s->c;
	double s = (double)(run->hello ? c->stall_timeout_ms :
	    c->start_timeout_ms) / 1000;

	if (is_stopped(run)) {
		run->heard_ms = now;    /* all its time, once it goes on */
		return;
	}
	run->s->totals.stalls++;
	if (run->hello)
		run_condemn(run, "stalled", "the trainer was silent "
		    "for %.3g s and was killed", s);
	else
		run_condemn(run, "stalled", "the trainer said no word "
		    "for %.3g s before hello and was killed", s);
}

static void
on_clock(void *ctx)
{
	struct run *run = ctx;
	int64_t now = loop_seen_ms(run->s->loop);

	must_be(run, RUN_TAG);
	if (run->settling) {
		run_settle(run);
		return;
	}
	if (run->leave_by_ms != 0 && now >= run->leave_by_ms) {
		if (run->leave == LEAVE_NO && !run->done && !run->failed)
			run_condemn(run, "crashed", "the trainer closed its "
			    "line and did not leave; it was killed");
		log_warn("job=%s the trainer did not leave in time; killed",
		    run->id);
		run_kill(run);
	} else if (now >= silent_at(run)) {
		judge_silence(run, now);
	}
	run_clock(run);
}

/* --- going ---------------------------------------------------------------- */

void
run_kill(struct run *run)
{
	if (run->pid <= 0 || run->exited || run->killed)
		return;
	run->killed = true;
	/* Its group, and itself should it have left that. */
	kill(-run->pid, SIGKILL);
	kill(run->pid, SIGKILL);
	run_clock(run);
}

void
run_condemn(struct run *run, const char *outcome, const char *fmt, ...)
{
	struct strbuf b = { 0 };
	va_list ap;

	if (run->condemned == NULL) {
		va_start(ap, fmt);
		sb_vaddf(&b, fmt, ap);
		va_end(ap);
		run->condemned = outcome;
		run->sentence = rk_text_clean(sb_detach(&b));
		log_warn("job=%s %s", run->id, run->sentence);
	}
	run_kill(run);
}

/* Where it saves nobody can see: it is asked to go, and its job waits. */
void
run_lose(struct run *run, const char *sentence)
{
	free(run->sentence);
	run->sentence = xstrdup(sentence);
	log_warn("job=%s %s", run->id, sentence);
	run_leave(run, LEAVE_KNOWN, false, 0);
}

void
run_leave(struct run *run, enum leave why, bool stop, int64_t by_ms)
{
	int64_t now = loop_seen_ms(run->s->loop);

	by_ms = by_ms == 0 ? now + run->s->c.stop_timeout_ms :
	    now + (by_ms - mono_ms());
	bool again = run->leave != LEAVE_NO;
	if (run->leave != LEAVE_KNOWN && (run->leave == LEAVE_NO ||
	    why == LEAVE_DRAIN || why == LEAVE_KNOWN))
		run->leave = why;
	if (run->exited || run->killed)
		return;
	if (!run->hello) {
		run_kill(run);          /* it has done nothing yet */
		return;
	}
	if (again && run->leave_by_ms <= by_ms && !stop)
		return;
	if (run->leave_by_ms == 0 || by_ms < run->leave_by_ms)
		run->leave_by_ms = by_ms;
	/* A tenth of the time is for the way out, after the commit. */
	double left = (double)RK_MAX(run->leave_by_ms - now, 0) * 0.9 / 1000;
	run_send(run, stop ? WIRE_STOP : WIRE_PAUSE,
	    json_pack("{s:f}", "deadline_seconds", left));
	run_clock(run);
}
