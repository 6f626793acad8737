/*
 * What the end of an attempt means for the job.
 *
 * First what the trainer finished, then what a person wants, then what we had
 * asked it for; only what is left is a failure.  So a pause, a preemption or
 * the daemon's end is never counted against a job, whatever the trainer died
 * of.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "impl.h"

#define TAIL_BYTES 4096
#define LINE_CUT  300

struct verdict {
	enum job_state to;
	const char *outcome;            /* the attempt's */
	const char *word;               /* the log's */
	char *reason, *message;         /* the row's */
	json_t *data;                   /* for the event, or NULL */
	bool crash;                     /* counts as a failure */
	const char *what;               /* a crash: "crashed", as people say */
	bool again;                     /* without a fault: but not at once */
	bool uploading;                 /* trained, not verified in the
					   bucket */
	bool later;                     /* not to be looked at again at once */
};

#define LATER_MS 60000

/*
 * What a trainer found that is no fault of the job and no crash: the job is
 * PAUSED with that reason, and nothing is counted against it.  A person decides
 * (with: the option of a resume), or what is missing may come back.
 */
static const struct pausing {
	const char *reason, *with;      /* with: NULL, none helps */
	enum known known;
} pausings[] = {
	{ "data_changed", "--accept data", KNOWN_THERE },
	{ "arithmetic_changed", "--set training.exact=prefer", KNOWN_THERE },
	{ "ancestor_missing", "--set training.distill=null", KNOWN_THERE },
	{ "checkpoints_missing", NULL, KNOWN_MISSING },
	{ "checkpoints_unreadable", NULL, KNOWN_UNREADABLE },
};

/* The last line of this attempt in its log, or NULL. */
static char *
last_line(const struct run *run)
{
	char buf[TAIL_BYTES], *line = NULL;
	int64_t first, end;

	if (!sup_log_extent(run->s, run->id, &first, &end) ||
	    end <= run->log_from)
		return NULL;
	int64_t from = RK_MAX(end - TAIL_BYTES, run->log_from);
	ssize_t n = sup_log_read(run->s, run->id, &from, buf, sizeof(buf));
	while (n > 0 && (buf[n - 1] == '\n' || buf[n - 1] == ' '))
		n--;
	ssize_t at = n;
	while (at > 0 && buf[at - 1] != '\n')
		at--;
	if (n > at)
		line = rk_text_clean(xstrndup(buf + at,
		    (size_t)RK_MIN(n - at, LINE_CUT)));
	return line;
}

/* "signal 9 after step 1,200", "exit code 1 after step 0: no such device" */
static char *
how_it_died(const struct run *run)
{
	char place[PLACE], *text, *line;

	run_place(run, run->at.end_step, place);
	if (run->pid == 0)
		return xstrdup(run->sentence != NULL ? run->sentence :
		    "the trainer could not be started");
	if (run->sentence != NULL)
		return xasprintf("%s, after %s", run->sentence, place);
	if (run->failed)
		return xstrdup(run->fail_message[0] != '\0' ?
		    run->fail_message : run->fail_reason);
	if (WIFSIGNALED(run->status))
		return xasprintf("signal %d after %s",
		    WTERMSIG(run->status), place);
	line = last_line(run);
	if (WEXITSTATUS(run->status) == 0)
		text = xasprintf("the trainer left without a word after %s%s%s",
		    place, line ? ": " : "", line ? line : "");
	else
		text = xasprintf("exit code %d after %s%s%s",
		    WEXITSTATUS(run->status), place, line ? ": " : "",
		    line ? line : "");
	free(line);
	return text;
}

static bool
exit_is_permanent(const struct run *run)
{
	return run->pid > 0 && !run->done && !run->killed &&
	    run->condemned == NULL && WIFEXITED(run->status) &&
	    WEXITSTATUS(run->status) == 3;
}

/* What a run that was asked to leave, or that did, says it did. */
static const char *
left_as(const struct run *run)
{
	if (run->done)
		return run->outcome == WIRE_PAUSED ? "paused" : "stopped";
	if (run->condemned != NULL)
		return run->condemned;
	return run->killed ? "killed" : run->out_of_memory ? OUT_OF_MEMORY :
	    "crashed";
}

static void
say(struct verdict *v, enum job_state to, const char *outcome, const char *word,
    const char *reason, char *message)
{
	v->to = to;
	v->outcome = outcome;
	v->word = word;
	v->reason = xstrdup(reason);
	v->message = message;
}

/* The wish of a person, or ours; false if there was none.  A run that saves to
 * where nobody sees it has none of ours. */
static bool
judge_asked(const struct run *run, const struct job_row *r, struct verdict *v)
{
	char place[PLACE];
	const char *outcome = left_as(run);
	const char *kept = run->done || !run->hello ? "" : run->trains ?
	    "; the trainer did not save, its last checkpoint counts" :
	    "; the trainer did not leave by itself, what is in its file counts";

	run_place(run, run->at.end_step, place);
	if (r->desired == JOB_CANCEL) {
		say(v, JOB_CANCELLED, outcome, "cancel", "user",
		    xasprintf("cancelled by a person at %s", place));
	} else if (r->desired == JOB_PAUSE) {
		say(v, JOB_PAUSED, outcome, "pause", "user",
		    xasprintf("paused by a person at %s%s", place, kept));
	} else if (run->leave == LEAVE_DRAIN) {
		say(v, JOB_QUEUED, outcome, "drain", run->s->drain_reason,
		    drain_sentence(run));
	} else if (run->leave == LEAVE_PRIORITY && run->condemned == NULL &&
	    (run->done || run->killed)) {
		say(v, JOB_QUEUED, outcome, "priority", "priority",
		    xasprintf("paused at %s for a job of higher priority; "
		    "goes on by itself", place));
	} else if (run->leave == LEAVE_WISH &&
	    (run->done || run->killed)) {
		say(v, JOB_QUEUED, outcome, "resume", "user",
		    xstrdup("was being paused, and is to run again"));
	} else {
		return false;
	}
	return true;
}

static const struct pausing *
pausing_of(const struct run *run)
{
	for (size_t i = 0; run->failed && i < RK_ARRAY_LEN(pausings); i++) {
		if (strcmp(run->fail_reason, pausings[i].reason) == 0)
			return &pausings[i];
	}
	return NULL;
}

static void
say_known(struct verdict *v, const struct job_row *r, enum known k,
    const char *outcome, const char *detail)
{
	say(v, JOB_PAUSED, outcome, known_word(k), known_word(k),
	    known_sentence(r, k, detail));
	v->data = known_json(r);
}

/* As things are it cannot go on: the trainer says so, or it is seen. */
static bool
judge_waits(const struct run *run, const struct job_row *r, struct verdict *v)
{
	const struct pausing *p = pausing_of(run);
	struct rk_why why = { 0 };
	enum known k = KNOWN_THERE;

	if (run->leave == LEAVE_KNOWN) {
		say_known(v, r, KNOWN_MISSING, left_as(run), run->sentence);
		return true;
	}
	if (p != NULL && p->known != KNOWN_THERE) {
		say_known(v, r, p->known, "failed", run->fail_message);
		v->later = true;
	} else if (p != NULL) {
		say(v, JOB_PAUSED, "failed", p->reason, p->reason,
		    p->with == NULL ? xstrdup(run->fail_message) :
		    xasprintf("%s; to go on all the same: rekindle resume %s "
		    "%s", run->fail_message, r->id, p->with));
		v->data = json_incref(run->fail_details);
	} else if (!run->done && !run->no_means &&
	    !(run->failed && disk_reason(run->fail_reason)) &&
	    !(run->failed && run->permanent) && !exit_is_permanent(run) &&
	    (k = known_before_start(run->s, r, false, &why)) != KNOWN_THERE) {
		char *how = how_it_died(run), *text;
		text = xasprintf("%s%s%s", how, why.n > 0 ? "; " : "",
		    why.n > 0 ? rk_why_first(&why) : "");
		say_known(v, r, k, left_as(run), text);
		free(text);
		free(how);
	}
	rk_why_fini(&why);
	return v->reason != NULL;
}

/* Training is done; is the job? */
static void
judge_finished(const struct run *run, const struct job_row *r,
    struct verdict *v)
{
	const char *dir = json_string_value(json_object_get(run->progress,
	    "checkpoint"));
	const char *early = json_string_value(json_object_get(run->progress,
	    EARLY_STOPPED));
	char step[RK_HUMAN], *waits = NULL;

	rk_group_digits(step, run->at.end_step);
	if (!run->trains) {
		say(v, JOB_SUCCEEDED, "succeeded", "done", "", xasprintf("%s "
		    "sample%s done", step, run->at.end_step == 1 ? " is" :
		    "s are"));
	} else if (shipped_yet(run->s, r, dir != NULL ? dir : "", &waits)) {
		say(v, JOB_SUCCEEDED, "succeeded", "done",
		    early != NULL ? EARLY_STOPPED : "", early != NULL ?
		    xasprintf("stopped early at step %s: %s", step, early) :
		    xasprintf("finished at step %s", step));
	} else if (r->desired == JOB_CANCEL) {
		say(v, JOB_CANCELLED, "succeeded", "cancel", "user",
		    xasprintf("cancelled by a person, finished at step %s but "
		    "not verified in the bucket", step));
		free(waits);
	} else {
		say(v, JOB_PAUSED, "succeeded", "uploading", "uploading",
		    waits);
		v->uploading = true;
	}
}

/* Nobody asked for it. */
static void
judge_died(const struct run *run, struct verdict *v)
{
	v->crash = true;
	v->what = run->out_of_memory ? "out of memory" :
	    run->condemned != NULL ? run->condemned : "crashed";
	if (run->out_of_memory)
		say(v, JOB_QUEUED, OUT_OF_MEMORY, v->what, OUT_OF_MEMORY,
		    NULL);
	else
		say(v, JOB_QUEUED, run->failed ? "failed" : v->what, "crash",
		    run->failed && run->condemned == NULL ? run->fail_reason :
		    v->what, how_it_died(run));
}

static void
judge(const struct run *run, const struct job_row *r, struct verdict *v)
{
	bool finished = run->done && run->outcome == WIRE_SUCCEEDED;
	char place[PLACE];

	run_place(run, run->at.end_step, place);
	if (finished && run->leave != LEAVE_KNOWN) {
		judge_finished(run, r, v);
	} else if (r->desired != JOB_CANCEL && !run->done &&
	    ((run->failed && run->permanent) || exit_is_permanent(run))) {
		char *how = run->failed ? how_it_died(run) : last_line(run);
		say(v, JOB_FAILED, "failed", "permanent",
		    run->failed ? run->fail_reason : "bad_spec",
		    how != NULL ? how : xstrdup("the trainer refused the job"));
	} else if (judge_asked(run, r, v) || judge_waits(run, r, v)) {
		return;
	} else if (run->failed && disk_reason(run->fail_reason)) {
		say(v, JOB_PAUSED, "failed", run->fail_reason,
		    run->fail_reason, xasprintf("%s; goes on by itself when "
		    "%s", run->fail_message,
		    strcmp(run->fail_reason, "disk_full") == 0 ?
		    "there is room" : "it can be written"));
	} else if (run->no_means) {
		say(v, JOB_QUEUED, "not_started", "no means", "no_means",
		    xasprintf("%s; will try again", run->sentence));
		v->again = true;
	} else if (run->done) {
		say(v, JOB_QUEUED, left_as(run), "left", "interrupted",
		    xasprintf("the trainer was asked to leave, not by us, at "
		    "%s; goes on by itself", place));
		v->again = true;
	} else {
		judge_died(run, v);
	}
}

/* What it did is kept: a checkpoint, or samples in its file. */
static bool
got_further(const struct run *run)
{
	return run->trains ? run->checkpoints > 0 : run->at.end_step >
	    run->at.start_step;
}

/*
 * Try again?  At once after the first crash since a checkpoint was made, then
 * after base, 2*base, 4*base, ...; more than `retries` in a row without a new
 * checkpoint and the job has failed.
 */
static void
judge_crash(const struct run *run, struct job_row *r, struct verdict *v)
{
	const struct sup_config *c = &run->s->c;
	struct spec *spec = NULL;
	int64_t retries = 3, delay = 0;
	char *how = v->message;

	if (row_spec(r, NULL, &spec, NULL) == RK_OK)
		retries = spec->retries;
	spec_free(spec);
	r->failures = got_further(run) ? 1 : r->failures + 1;
	if (run->out_of_memory)
		how = oom_sentence(run, r->failures > retries ||
		    !oom_again(run));
	if (r->failures > retries) {
		v->to = JOB_FAILED;
		v->message = retries == 0 ?
		    xasprintf("%s; retries is 0", how) :
		    xasprintf("%s; that was crash %lld in a row without a new "
		    "%s, and retries is %lld", how, (long long)r->failures,
		    run->trains ? "checkpoint" : "sample",
		    (long long)retries);
		free(how);
		return;
	}
	if (r->failures > 1) {
		delay = c->retry_base_ms;
		for (int64_t i = 2; i < r->failures && delay < c->retry_max_ms;
		    i++)
			delay *= 2;
		delay = RK_MIN(delay, c->retry_max_ms);
	}
	r->not_before_ms = delay > 0 ? now_ms() + delay : 0;
	char *when = delay > 0 ? xasprintf("in %.3g s", (double)delay / 1000) :
	    xstrdup("at once");
	v->message = xasprintf("%s: %s; will try again %s (%lld of %lld)",
	    v->what, how, when, (long long)r->failures, (long long)retries);
	free(when);
	free(how);
}

static void
fill_row(struct run *run, struct job_row *r, struct verdict *v)
{
	int64_t now = now_ms();

	const json_t *saved = json_object_get(run->progress,
	    "checkpoint_step");

	/* What came after its checkpoint does not count. */
	if (pausing_of(run) != NULL && json_is_integer(saved))
		json_object_set_new(run->progress, "step",
		    json_integer(json_integer_value(saved)));
	json_object_del(run->progress, "samples_per_second");
	json_object_del(run->progress, "eta_seconds");
	free(r->progress);
	r->progress = rkj_text(run->progress);
	r->not_before_ms = v->again ? now + run->s->c.retry_base_ms :
	    v->later ? now + RK_MIN(run->s->c.retry_max_ms, LATER_MS) : 0;
	if (v->crash)
		judge_crash(run, r, v);
	else if (got_further(run) || v->to == JOB_SUCCEEDED || v->uploading)
		r->failures = 0;
	/* The wish is met, or has lost its object. */
	if ((v->to != JOB_PAUSED && v->to != JOB_CANCELLED) || v->uploading)
		r->desired = JOB_RUN;
	if (job_ended(v->to))
		r->ended_ms = now;
	run->at.ended_ms = now;
	set_str(&run->at.outcome, v->outcome);
	set_str(&run->at.message, v->message);
}

/* The transaction of the end; RK_OK when it is on disk. */
static enum rk_err
record(struct run *run)
{
	struct sup *s = run->s;
	struct verdict v = { 0 };
	struct job_row r;

	if (run->hello && !run->hello_saved) {
		talk_save_hello(run);
		if (!run->hello_saved)
			return RK_EIO;
	}
	enum rk_err rc = store_job_get(s->store, run->id, &r);
	if (rc != RK_OK)
		return rc;
	known_to_row(run, &r);
	judge(run, &r, &v);
	fill_row(run, &r, &v);
	struct cause c = { v.word, v.reason, v.message, NULL, v.data, NULL };
	rc = sup_move(s, &r, v.to, &run->at, &c);
	if (rc == RK_OK && v.crash)
		s->totals.crashes++;
	if (rc == RK_OK && v.to == JOB_PAUSED && disk_reason(v.reason))
		disk_wait(s);
	if (rc == RK_OK && v.to == JOB_PAUSED && known_reason(v.reason))
		known_timer_set(s);
	if (rc == RK_OK && v.uploading)
		shipped_wait(s, run->id);
	json_decref(v.data);
	free(v.reason);
	free(v.message);
	store_job_fini(&r);
	return rc;
}

void
run_settle(struct run *run)
{
	struct sup *s = run->s;

	asked_by_end(run);
	log_end(run);
	if (record(run) != RK_OK) {
		/* The disk, most likely.  Nothing is lost: should we end before
		 * it is written, the next daemon finds the job interrupted. */
		run->settling = true;
		loop_timer_at(run->timer, mono_ms() + SETTLE_AGAIN_MS);
		drain_look(s);
		return;
	}
	sup_tell(s, run->id, 'l');
	run_free(run);
	sched_kick(s);
	drain_look(s);
}
