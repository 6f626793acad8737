/* What a trainer says, into rows, events and numbers. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl.h"

#define EVENTS_MAX   200        /* of the trainer's own, an attempt */
#define MESSAGE_MAX  8192

static void
set(json_t *o, const char *key, json_t *v)
{
	must(v != NULL && json_object_set_new(o, key, v) == 0);
}

static void
set_copy(json_t *o, const char *key, const json_t *v)
{
	if (v != NULL)
		set(o, key, json_deep_copy(v));
}

/* What a stranger said, fit for a row: one line, no longer than it should
 * be. */
static char *
clean(const char *text)
{
	if (text == NULL)
		text = "";
	return rk_text_clean(xstrndup(text, rk_text_fit(text, MESSAGE_MAX)));
}

/* The job's row with the run's progress in it. */
static enum rk_err
fresh_row(struct run *run, struct job_row *r)
{
	enum rk_err rc = store_job_get(run->s->store, run->id, r);

	if (rc != RK_OK) {
		log_error("job=%s cannot read its row: %s", run->id,
		    rk_strerror(rc));
		return rc;
	}
	free(r->progress);
	r->progress = rkj_text(run->progress);
	known_to_row(run, r);
	return RK_OK;
}

/* --- hello ---------------------------------------------------------------- */

/* NULL when it goes on from the newest that the job has had. */
static char *
lost_sentence(const struct run *run)
{
	char digits[RK_HUMAN];

	if (run->known.lost == 0)
		return NULL;
	return xasprintf("%s step%s lost: %s was the newest, and is gone",
	    rk_group_digits(digits, run->known.lost),
	    run->known.lost == 1 ? " is" : "s are", run->known.was);
}

static void
tell_lost(struct run *run, const char *sentence)
{
	json_t *data = json_pack("{s:I, s:s, s:s, s:I}", "lost_steps",
	    (json_int_t)run->known.lost, "newest", run->known.was, "from",
	    run->at.from, "attempt", (json_int_t)run->at.n);

	run->s->totals.lost_steps += run->known.lost;
	log_warn("job=%s %s", run->id, sentence);
	sup_event(run->s, run->id, "steps_lost", sentence, data);
	json_decref(data);
}

/*
 * A job that does not say how much memory it takes is counted with what its
 * trainer says from hello on, also when it waits again.  Never with more than
 * the daemon has to give: such a job runs, by itself.
 */
static void
count_memory(struct run *run, struct job_row *r)
{
	if (run->says_memory == 0 || run->memory_said)
		return;
	r->memory = run->memory = RK_MIN(run->says_memory, run->s->c.memory);
	sched_kick(run->s);             /* there may be room now */
}

/*
 * STARTING to RUNNING, with what was said of the attempt's start.  The pending
 * resume_from is used up: from here on a crash goes on from the latest.
 */
void
talk_save_hello(struct run *run)
{
	struct job_row r;
	char place[PLACE];

	if (!run->hello || run->hello_saved || fresh_row(run, &r) != RK_OK)
		return;
	set_str(&r.resume_from, "latest");
	if (r.started_ms == 0)
		r.started_ms = run->at.hello_ms;
	r.lost_steps += run->known.lost;
	count_memory(run, &r);
	char *lost = lost_sentence(run);
	run_place(run, run->at.start_step, place);
	char *message = run->at.from[0] != '\0' ?
	    xasprintf("attempt %lld goes on from %s at %s%s%s",
	    (long long)run->at.n, run->at.from, place,
	    lost != NULL ? "; " : "", lost != NULL ? lost : "") :
	    run->at.start_step > 0 ?
	    xasprintf("attempt %lld goes on at %s", (long long)run->at.n,
	    place) :
	    xasprintf("attempt %lld runs from the start",
	    (long long)run->at.n);
	struct cause c = { "hello", "", message, NULL, NULL, NULL };
	run->hello_saved = sup_move(run->s, &r, JOB_RUNNING, &run->at, &c) ==
	    RK_OK;
	if (run->hello_saved && lost != NULL)
		tell_lost(run, lost);
	free(lost);
	free(message);
	store_job_fini(&r);
}

/* What the data are, in sentences. */
static void
set_data(json_t *p, const json_t *said)
{
	static const char *const sides[] = { "train", "validation" };
	json_t *v = json_object();

	for (size_t i = 0; i < RK_ARRAY_LEN(sides); i++) {
		const char *s = json_string_value(json_object_get(said,
		    sides[i]));
		if (s == NULL)
			continue;
		char *text = clean(s);
		set(v, sides[i], json_string(text));
		free(text);
	}
	if (json_object_size(v) > 0)
		set(p, "data", v);
	else
		json_decref(v);
}

/* What schedule_look() gives, and nothing else that somebody may have put into
 * it. */
static void
set_schedule(json_t *p, const json_t *said)
{
	static const char *const texts[] = { "type", "by" };
	static const char *const numbers[] = { "learning_rate", "from",
		"steps", "since" };
	json_t *v = json_object();

	for (size_t i = 0; i < RK_ARRAY_LEN(texts); i++) {
		const char *s = json_string_value(json_object_get(said,
		    texts[i]));
		if (s != NULL && rk_name_ok(s))
			set(v, texts[i], json_string(s));
	}
	for (size_t i = 0; i < RK_ARRAY_LEN(numbers); i++) {
		const json_t *n = json_object_get(said, numbers[i]);
		if (json_is_number(n))
			set_copy(v, numbers[i], n);
	}
	const size_t all = RK_ARRAY_LEN(texts) + RK_ARRAY_LEN(numbers);
	const bool good = json_object_size(v) == all;
	const json_t *scale = json_object_get(said, "scale");
	if (json_is_number(scale))      /* of some schedules */
		set_copy(v, "scale", scale);
	if (good)
		set(p, "schedule", v);
	else
		json_decref(v);
}

/* Why not, where a trainer says that its run is not exact, from a stranger's
 * object; NULL when that makes no sense. */
static json_t *
why_inexact(const json_t *said)
{
	const char *reason = json_string_value(json_object_get(said,
	    "reason"));
	const json_t *attempt = json_object_get(said, "attempt");
	const json_t *step = json_object_get(said, "step");

	if (reason == NULL || !rk_name_ok(reason) ||
	    !json_is_integer(attempt) || !json_is_integer(step))
		return NULL;
	char *message = clean(json_string_value(json_object_get(said,
	    "message")));
	json_t *v = json_pack("{s:s, s:I, s:I, s:s}", "reason", reason,
	    "attempt", json_integer_value(attempt),
	    "step", json_integer_value(step), "message", message);
	free(message);
	return v;
}

/* exact: true, false, or null for not known. */
static void
note_exactness(json_t *progress, const struct wire_msg *m)
{
	json_t *why = m->inexact != NULL ? why_inexact(m->inexact) : NULL;
	const char *reason = json_string_value(json_object_get(why, "reason"));

	const char *mode = json_string_value(json_object_get(m->arithmetic,
	    "mode"));

	json_object_del(progress, "inexact");
	/* A person's own trainer may say what it likes. */
	if (mode != NULL && (strcmp(mode, "exact") == 0 ||
	    strcmp(mode, "fast") == 0))
		set(progress, "arithmetic", json_string(mode));
	if (m->inexact == NULL)
		set(progress, "exact", json_true());
	else if (why == NULL || strcmp(reason, "arithmetic_unknown") == 0)
		set(progress, "exact", json_null());
	else
		set(progress, "exact", json_false());
	if (why != NULL)
		set(progress, "inexact", why);
}

static void
on_hello(struct run *run, const struct wire_msg *m)
{
	json_t *p = run->progress;

	if (run->hello) {
		run_condemn(run, "crashed", "what the trainer said is not the "
		    "protocol: a second hello");
		return;
	}
	run->hello = true;
	run->at.hello_ms = now_ms();
	run->at.pid = run->pid;
	if (m->refused) {
		/* Of what the job was and wants nothing has changed. */
		run->refused = run->hello_saved = true;
		run_send(run, WIRE_HELLO, json_pack("{s:i}", "version",
		    WIRE_VERSION));
		return;
	}
	if (m->from[0] == '\0' && !run->known.anew) {
		run->hello_saved = true;
		run_lose(run, "its trainer began anew without being asked to, "
		    "and was ended");
		run_kill(run);
		return;
	}
	known_begins(run, m->from, m->step);
	set_str(&run->at.from, m->from);
	run->at.branch = m->branch;
	run->at.start_step = run->at.end_step = run->step = m->step;
	run->steps_total = m->steps_total;
	run->says_memory = (uint64_t)m->memory;
	if (m->from[0] == '\0')
		json_object_clear(p);
	set(p, "step", json_integer(m->step));
	set(p, "epoch", json_integer(m->epoch));
	set(p, "steps_total", json_integer(m->steps_total));
	set(p, "epochs_total", json_integer(m->epochs_total));
	set(p, "parameters", json_integer(m->parameters));
	json_object_del(p, "phase");
	json_object_del(p, "phases");
	if (m->phases > 0) {
		set(p, "phase", json_integer(m->phase));
		set(p, "phases", json_integer(m->phases));
	}
	json_object_del(p, EARLY_STOPPED);
	set_data(p, m->data);
	json_object_del(p, "broken");
	knowledge_begins(p, m->step);
	set_schedule(p, m->schedule);
	if (m->arithmetic != NULL)
		note_exactness(p, m);
	if (m->from != NULL && m->from[0] != '\0') {
		set(p, "checkpoint", json_string(m->from));
		set(p, "checkpoint_step", json_integer(m->step));
	}
	run_send(run, WIRE_HELLO, json_pack("{s:i}", "version", WIRE_VERSION));
	asked_before_hello(run);
	talk_save_hello(run);
	sup_tell(run->s, run->id, 'p');
	run_clock(run);
}

/* --- on the way ----------------------------------------------------------- */

static void
on_progress(struct run *run, const struct wire_msg *m)
{
	json_t *p = run->progress;

	run->step = run->at.end_step = m->step;
	set(p, "step", json_integer(m->step));
	set(p, "epoch", json_integer(m->epoch));
	if (m->has_loss)
		set(p, "loss", json_real(m->loss));
	if (m->has_accuracy)
		set(p, "accuracy", json_real(m->accuracy));
	if (m->phase > 0)
		set(p, "phase", json_integer(m->phase));
	set(p, "learning_rate", json_real(m->learning_rate));
	set(p, "samples_per_second", json_real(m->samples_per_second));
	set(p, "eta_seconds", json_real(m->eta_seconds));
	set(p, "stall_ratio", json_real(m->stall_ratio));
	if (m->has_data_wait)
		set(p, "data_wait_ratio", json_real(m->data_wait_ratio));
	if (m->broken > 0)
		set(p, "broken", json_integer(m->broken));
	if (m->schedule != NULL)
		set_schedule(p, m->schedule);
	sup_tell(run->s, run->id, 'p');
}

static char *
checkpoint_sentence(const struct run *run, const struct wire_msg *m)
{
	char step[RK_HUMAN], bytes[RK_HUMAN];
	bool named = m->name != NULL && m->name[0] != '\0';
	const struct sup_named *was = named ? asked_was(run, m->name) : NULL;
	char *moved = was != NULL ? sup_named_moved(was, m->name,
	    m->checkpoint) : NULL;

	char *text = xasprintf("saved %s%s%s: step %s, %s%s%s", m->checkpoint,
	    named ? " as " : "", named ? m->name : "",
	    rk_group_digits(step, m->step),
	    rk_human_bytes(bytes, (uint64_t)m->bytes),
	    moved != NULL ? "; " : "", moved != NULL ? moved : "");
	free(moved);
	return text;
}

/* Is it there?  Or one that is newer: retention may be quicker than we. */
static bool
is_saved(struct run *run, const struct wire_msg *m)
{
	char *path = xasprintf("%s/checkpoints", sup_job_dir(run->s, run->id));
	struct ckpt_info i = { 0 };
	struct ckpt *c = NULL;
	bool ok = false;

	/* ckpt_open() would make the folder. */
	if (access(path, F_OK) == 0 && ckpt_open(&c, path, false) == RK_OK)
		ok = ckpt_read(c, m->checkpoint, &i) == RK_OK &&
		    i.step == m->step;
	ckpt_info_fini(&i);
	ckpt_close(&c);
	free(path);
	i = (struct ckpt_info){ 0 };
	if (!ok && own_latest(run->s, run->id, &i) == RK_OK)
		ok = i.step > m->step;
	ckpt_info_fini(&i);
	return ok;
}

/* Not even the folder is there that it was begun in. */
static bool
has_moved(struct run *run)
{
	return access(sup_job_dir(run->s, run->id), F_OK) != 0 ||
	    (run->known.dir[0] != '\0' && known_look(run->s, run->id, 0,
	    NULL) != KNOWN_THERE);
}

static void
on_checkpoint(struct run *run, const struct wire_msg *m)
{
	struct sup *s = run->s;
	json_t *p = run->progress;
	struct job_row r;

	if (m->checkpoint == NULL || m->checkpoint[0] == '\0')
		return;
	if (run->leave == LEAVE_KNOWN)
		return;                 /* it goes to where nobody sees it */
	if (!is_saved(run, m) && has_moved(run)) {
		known_saved(run, m->checkpoint, m->step);
		run_lose(run, "its folder went away while it ran");
		return;
	}
	if (!is_saved(run, m)) {
		run_condemn(run, "crashed", "the trainer said that it has "
		    "saved %s, which is not there", m->checkpoint);
		return;
	}
	/* One of where it began has not brought the job further. */
	const bool further = m->step > run->at.start_step;
	run->checkpoints += further;
	s->totals.checkpoints++;
	s->totals.checkpoint_bytes += m->bytes;
	s->totals.stall_seconds += m->stall_seconds;
	s->totals.write_seconds += m->write_seconds;
	run->commit_s = m->write_seconds;
	run->commit_bytes = m->bytes;
	run->at.end_step = RK_MAX(run->at.end_step, m->step);
	known_saved(run, m->checkpoint, m->step);
	if (m->arithmetic != NULL)
		note_exactness(p, m);
	set(p, "checkpoint", json_string(m->checkpoint));
	set(p, "checkpoint_step", json_integer(m->step));
	if (m->step >= run->step) {
		run->step = m->step;
		set(p, "step", json_integer(m->step));
		set(p, "epoch", json_integer(m->epoch));
	}
	set_copy(p, "metrics", m->metrics);
	json_t *data = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:f, s:f}",
	    "checkpoint", m->checkpoint, "name", m->name ? m->name : "",
	    "step", (json_int_t)m->step, "epoch", (json_int_t)m->epoch,
	    "bytes", (json_int_t)m->bytes, "attempt", (json_int_t)run->at.n,
	    "stall_seconds", m->stall_seconds,
	    "write_seconds", m->write_seconds);
	set_copy(data, "metrics", m->metrics);
	char *message = checkpoint_sentence(run, m);
	struct store_note note = { .kind = "checkpoint", .message = message,
		.data = data };
	if (run->hello_saved && fresh_row(run, &r) == RK_OK) {
		pin_wait(s, &r);        /* it goes on from its own now */
		if (further) {
			r.failures = 0;
			set_str(&r.accept, "");
		}
		if (sup_put(s, &r, NULL, &note) != RK_OK)
			log_warn("job=%s %s, which its row does not say yet",
			    run->id, message);
		store_job_fini(&r);
	}
	free(message);
	json_decref(data);
	sup_tell(s, run->id, 'c');
	asked_by_checkpoint(run, m->checkpoint, m->name);
}

static void
on_plan(struct run *run, const struct wire_msg *m)
{
	struct job_row r;
	char *summary = clean(m->summary);
	struct store_note note = { .kind = "warm_start", .message = summary };

	if (fresh_row(run, &r) == RK_OK) {
		set_str(&r.plan_summary, summary);
		if (m->plan != NULL) {
			free(r.plan);
			r.plan = rkj_text(m->plan);
		}
		if (sup_put(run->s, &r, NULL, &note) != RK_OK)
			log_warn("job=%s the plan of its warm start was not "
			    "kept: %s", run->id, summary);
		store_job_fini(&r);
	}
	free(summary);
}

static void
on_event(struct run *run, const struct wire_msg *m)
{
	if (++run->events > EVENTS_MAX + 1)
		return;
	if (run->events == EVENTS_MAX + 1) {
		sup_event(run->s, run->id, "event", "the trainer has more to "
		    "say than is kept here; see the log", NULL);
		return;
	}
	char *message = clean(m->message);
	json_t *data = json_pack("{s:I}", "attempt", (json_int_t)run->at.n);
	if (!knowledge_was_said(run->s, run->id, m->kind, message)) {
		run->s->totals.forgotten += strcmp(m->kind, FORGOTTEN) == 0;
		sup_event(run->s, run->id, m->kind, message, data);
	}
	json_decref(data);
	free(message);
}

/* Our trainer writes its log to stderr; another's words go to the same file. */
static void
on_log(struct run *run, const struct wire_msg *m)
{
	static const char *const levels[] = {
		"debug", "info", "warn", "error"
	};
	char *text = clean(m->message), when[RK_TIME];

	if (run->log_fd >= 0) {
		char *line = xasprintf("%s %s %s\n",
		    rk_time_text(when, now_ms()), levels[m->level], text);
		(void)!rk_write_all(run->log_fd, line, strlen(line));
		free(line);
		sup_tell(run->s, run->id, 'l');
	}
	free(text);
}

/* --- the end -------------------------------------------------------------- */

static void
on_done(struct run *run, const struct wire_msg *m)
{
	run->done = true;
	run->outcome = m->outcome;
	if (m->outcome == WIRE_SUCCEEDED &&
	    strcmp(m->reason, EARLY_STOPPED) == 0) {
		char *why = clean(m->message);
		set(run->progress, EARLY_STOPPED, json_string(why));
		free(why);
	}
	run->step = run->at.end_step = RK_MAX(run->at.end_step, m->step);
	set(run->progress, "step", json_integer(run->step));
	set_copy(run->progress, "metrics", m->metrics);
	if (m->checkpoint != NULL && m->checkpoint[0] != '\0') {
		set(run->progress, "checkpoint", json_string(m->checkpoint));
		set(run->progress, "checkpoint_step", json_integer(run->step));
	}
}

static void
on_failed(struct run *run, const struct wire_msg *m)
{
	if (run->failed)
		return;
	run->failed = true;
	run->permanent = m->permanent;
	run->fail_reason = xstrdup(m->reason);
	run->fail_message = clean(m->message);
	run->fail_details = m->details != NULL ? json_deep_copy(m->details) :
	    NULL;
}

/* Said good-bye: it has as long as one that was told to leave. */
static void
expect_exit(struct run *run)
{
	if (run->leave_by_ms == 0)
		run->leave_by_ms = loop_seen_ms(run->s->loop) +
		    run->s->c.stop_timeout_ms;
	run_clock(run);
}

void
talk(struct run *run, const struct wire_msg *m)
{
	switch (m->type) {
	case WIRE_HELLO:
		on_hello(run, m);
		return;
	case WIRE_PROGRESS:
	case WIRE_METRIC:
	case WIRE_CHECKPOINT:
	case WIRE_DONE:
		if (!run->hello) {
			run_condemn(run, "crashed", "what the trainer said is "
			    "not the protocol: \"%s\" before hello",
			    wire_words[m->type]);
			return;
		}
		break;
	default:
		break;
	}
	if (!run->hello_saved)
		talk_save_hello(run);
	switch (m->type) {
	case WIRE_PROGRESS:
		on_progress(run, m);
		break;
	case WIRE_METRIC:
		knowledge_note(run->progress, m->metric);
		sup_tell(run->s, run->id, 'm');
		break;
	case WIRE_CHECKPOINT:
		on_checkpoint(run, m);
		break;
	case WIRE_PLAN:
		on_plan(run, m);
		break;
	case WIRE_EVENT:
		on_event(run, m);
		break;
	case WIRE_LOG:
		on_log(run, m);
		break;
	case WIRE_DONE:
		on_done(run, m);
		expect_exit(run);
		break;
	case WIRE_FAILED:
		on_failed(run, m);
		expect_exit(run);
		break;
	default:                /* of a newer trainer; or ours to say */
		break;
	}
}
