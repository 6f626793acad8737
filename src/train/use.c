/* A job that uses a model, from its lock to its last word: see use.h. */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "judging.h"
#include "start.h"
#include "summary.h"
#include "use.h"

#define POLL_MS 3
#define KEEP_MS "REKINDLE_TRAIN_KEEP_MS"        /* tests': between two states */

/* --- the state ------------------------------------------------------------ */

/* A digest of what of the job decides the lines, but for what is held against
 * the state by itself: the model's bytes and those of the data. */
static void
job_digest(const struct spec *s, char hex[RK_SHA256_HEX])
{
	static const char *const kept[] = { "kind", "model", "training",
		"data", "report" };
	json_t *whole = spec_json(s), *o = json_object();

	for (size_t i = 0; i < RK_ARRAY_LEN(kept); i++) {
		json_t *v = json_object_get(whole, kept[i]);
		if (v != NULL)
			js_put(o, kept[i], json_incref(v));
	}
	json_object_del(json_object_get(o, "model"), "checkpoint");
	json_object_del(json_object_get(o, "training"), "exact");
	json_t *data = json_object_get(o, "data");
	static const char *const others[] = { "train", "validation", "inputs",
		"threads", "broken" };
	for (size_t i = 0; i < RK_ARRAY_LEN(others); i++)
		json_object_del(data, others[i]);
	char *text = rkj_text(o);
	rk_sha256_of(text, strlen(text), hex);
	free(text);
	json_decref(o);
	json_decref(whole);
}

static json_t *
state_json(struct use *u)
{
	const struct run *r = u->r;
	char job[RK_SHA256_HEX];

	job_digest(r->spec, job);
	json_t *o = json_pack("{s:s, s:s, s:s, s:o, s:s, s:I, s:I, s:O*, s:o}",
	    "kind", spec_job_words[r->spec->kind], "job", job, "model",
	    u->p.model.sha256, "arithmetic", exact_arithmetic(r), "program",
	    r->program, "done", (json_int_t)u->done, "total",
	    (json_int_t)u->total, "at", u->at, "counts", use_counts_json(u));
	must(o != NULL);
	return o;
}

/* All lines so far, where there is a place to go on from; at the end without
 * one, too. */
static bool
commit(struct use *u, bool last)
{
	if (u->r->spec->kind == SPEC_JOB_EVALUATE)
		use_evaluate_keep(u);
	u->commit_ms = mono_ms();
	if (u->rc == RK_OK && (u->at != NULL || last)) {
		json_t *o = state_json(u);
		u->rc = results_commit(&u->out, o);
		json_decref(o);
	}
	return u->rc == RK_OK || run_fail_rc(u->r, u->rc, "cannot keep the "
	    "predictions");
}

void
use_line(struct use *u, const json_t *line)
{
	char *text = rkj_text(line);

	if (u->rc == RK_OK)
		u->rc = results_add(&u->out, text);
	free(text);
	u->done++;
}

bool
use_between(struct use *u)
{
	use_tick(u);
	if (u->rc != RK_OK || mono_ms() - u->commit_ms >= u->keep_ms)
		if (!commit(u, false))
			return false;
	return !u->r->ask.leave;
}

/* --- going on ------------------------------------------------------------- */

bool
use_changed(struct use *u, const char *fmt, ...)
{
	struct strbuf b = {0};
	struct run *r = u->r;
	va_list ap;

	va_start(ap, fmt);
	sb_vaddf(&b, fmt, ap);
	va_end(ap);
	if (r->o->accept_data)
		report_event(&r->rep, "data_changed", "%s, which was accepted",
		    sb_str(&b));
	else
		run_fail_waits(r, "data_changed", NULL, "the data has changed "
		    "since %lld lines were written: %s%s", (long long)u->done,
		    sb_str(&b), r->rep.wire != NULL ? "" : "; --accept data "
		    "goes on with what there is now, --from none begins "
		    "anew");
	sb_fini(&b);
	return r->o->accept_data;
}

static const char *
text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

/* Is it computed as the lines so far were? */
static bool
same_arithmetic(struct use *u, const json_t *was)
{
	json_t *is = exact_arithmetic(u->r);
	struct run *r = u->r;
	const bool same = json_equal(json_object_get(was, "arithmetic"), is) &&
	    strcmp(text_of(was, "program"), r->program) == 0;

	json_decref(is);
	if (same)
		return true;
	if (r->spec->training.exact == SPEC_EXACT_REQUIRE)
		return run_fail_waits(r, "arithmetic_changed", NULL, "the "
		    "lines so far were computed with other arithmetic, and "
		    "training.exact is require%s", r->rep.wire != NULL ? "" :
		    ": go on where it is the same, or with --set "
		    "training.exact=prefer");
	report_event(&r->rep, "arithmetic_changed", "the %lld lines so far "
	    "were computed with other arithmetic: those that follow are not "
	    "bit for bit what it would have computed", (long long)u->done);
	return true;
}

static bool
may_go_on(struct use *u, const json_t *was)
{
	char job[RK_SHA256_HEX];

	job_digest(u->r->spec, job);
	if (strcmp(text_of(was, "job"), job) != 0)
		return run_fail(u->r, "bad_spec", true, "%s has the "
		    "predictions of another job (kind, network, batch, "
		    "transforms or names are others): --from none begins anew",
		    u->r->dir);
	if (strcmp(text_of(was, "model"), u->p.model.sha256) != 0 &&
	    !use_changed(u, "model.checkpoint is another model (its SHA-256 is "
	    "%.12s, was %.12s)", u->p.model.sha256, text_of(was, "model")))
		return false;
	return same_arithmetic(u, was);
}

static bool
open_kind(struct use *u, const json_t *at)
{
	return u->r->spec->kind == SPEC_JOB_PREDICT ?
	    use_predict_open(u, at) : use_evaluate_open(u, at);
}

static bool
go_on(struct use *u, const json_t *was)
{
	u->done = u->out.lines;
	u->total = json_integer_value(json_object_get(was, "total"));
	if (!may_go_on(u, was))
		return false;
	if (!use_counts_read(u, json_object_get(was, "counts")))
		return run_fail(u->r, "io", false, RESULTS_STATE " is "
		    "damaged: --from none begins anew");
	if (!open_kind(u, json_object_get(was, "at")))
		return false;
	u->at = json_incref(json_object_get(was, "at"));
	report_event(&u->r->rep, "goes_on", "goes on behind the first %lld of "
	    "%lld samples", (long long)u->done, (long long)u->total);
	return true;
}

static bool
open_results(struct use *u)
{
	bool anew = strcmp(start_selector(u->r), "none") == 0;
	json_t *was = NULL;
	char *lost = NULL;

	enum rk_err rc = results_open(&u->out, u->r->dir_fd, anew, &was,
	    &lost);
	if (rc != RK_OK)
		return run_fail_rc(u->r, rc, "cannot open " RESULTS_FILE);
	if (lost != NULL)
		report_warning(&u->r->rep, "begins_anew", "%s, and so it "
		    "begins anew", lost);
	free(lost);
	/* One that has ended with a sum that is no number: see remember(). */
	if (was != NULL && json_object_get(was, "at") == NULL)
		anew = true;
	if (was != NULL && anew) {
		results_close(&u->out);
		json_decref(was);
		rc = results_open(&u->out, u->r->dir_fd, true, &was, &lost);
	}
	if (rc != RK_OK)
		return run_fail_rc(u->r, rc, "cannot open " RESULTS_FILE);
	const bool ok = was != NULL ? go_on(u, was) : open_kind(u, NULL);
	json_decref(was);
	return ok;
}

/* --- saying so ------------------------------------------------------------ */

static void
say_progress(struct use *u)
{
	struct run *r = u->r;
	const int64_t ms = mono_ms() - u->begun_ms;
	const double speed = u->done > u->begun ?
	    loop_speed(u->done - u->begun, ms) : 0;

	report_progress(&r->rep, &(struct progress){
	    .step = u->done, .steps_total = u->total, .loss = NAN,
	    .samples_per_second = speed, .data_wait_ratio = -1,
	    .broken = u->p.failed, .samples = true, .eta_s = speed > 0 ?
	    (double)RK_MAX(u->total - u->done, 0) / speed : 0 });
}

/* There is nothing to be committed by a name. */
static void
answer_asked(struct run *r)
{
	for (int i = 0; i < r->ask.n; i++)
		report_event(&r->rep, "no_checkpoint", "a job of kind %s has "
		    "no checkpoints: its lines are kept as they come",
		    spec_job_words[r->spec->kind]);
	r->ask.n = 0;
}

void
use_tick(struct use *u)
{
	struct run *r = u->r;
	const int64_t now = mono_ms();

	if (now - r->poll_ms >= POLL_MS) {
		r->poll_ms = now;
		ask_poll(r);
		answer_asked(r);
	}
	if (now - r->progress_ms >= report_progress_ms(&r->rep)) {
		r->progress_ms = now;
		say_progress(u);
	}
}

static json_t *
data_words(const struct run *r)
{
	json_t *o = json_object();

	if (r->valid == NULL)
		return o;
	char *text = classes_sentence(r->valid);
	js_put(o, "validation", js_text(text));
	free(text);
	return o;
}

/* False: the daemon is not there to be worked for. */
static bool
greet(struct use *u, const struct run_memory *m)
{
	struct rk_why why = {0};
	struct run *r = u->r;

	json_t *hello = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, "
	    "s:o, s:o}", "producer", "rekindle-train " REKINDLE_VERSION,
	    "from", "", "step", (json_int_t)u->done, "epoch", (json_int_t)0,
	    "steps_total", (json_int_t)u->total, "epochs_total",
	    (json_int_t)0, "parameters", (json_int_t)m->parameters, "branch",
	    (json_int_t)0, "data", data_words(r), "arithmetic",
	    exact_arithmetic(r));
	must(hello != NULL);
	if (m->said == 0)
		js_put(hello, "memory", json_integer((json_int_t)RK_MIN(
		    m->wanted, (uint64_t)INT64_MAX)));
	const bool ok = report_hello(&r->rep, hello, &why);
	if (!ok && !r->rep.gone)
		run_fail(r, "internal", false, "%s", rk_why_first(&why));
	rk_why_fini(&why);
	return ok;
}

/* --- the end -------------------------------------------------------------- */

/* A line of metrics, and what is kept of evaluations. */
static void
say_evaluation(struct use *u)
{
	const int64_t ms = mono_ms() - u->begun_ms;
	struct run *r = u->r;

	r->at.valid = run_score(r, &u->tally);
	judging_take(r, &r->at.figures);
	json_t *m = json_pack("{s:s, s:s, s:I, s:I, s:f, s:o}", "split",
	    "validation", "over", "evaluation", "step", (json_int_t)u->done,
	    "epoch", (json_int_t)0, "samples_per_second",
	    loop_speed(u->done - u->begun, ms), "loss",
	    js_number(r->at.valid.loss));
	must(m != NULL);
	if (r->at.valid.has_accuracy)
		js_put(m, "accuracy", js_number(r->at.valid.accuracy));
	figures_put(m, &r->at.figures, false);
	metrics_add(&r->rep, m);
	r->at.step = u->done;
	evaluations_add(r);
}

static bool
write_report(struct use *u)
{
	json_t *o = use_report(u);
	char *text = rkj_pretty(o);

	json_decref(o);
	enum rk_err rc = rk_replace_file(u->r->dir_fd, USE_REPORT_FILE, text,
	    strlen(text));
	free(text);
	return rc == RK_OK || run_fail_rc(u->r, rc, "cannot write "
	    USE_REPORT_FILE);
}

/* The first reason of those that there are. */
static bool
refuse_all(struct use *u)
{
	const json_t *first = json_array_get(u->counts.failed, 0);

	return run_fail(u->r, "bad_data", true, "none of the %lld inputs could "
	    "be read; the first: %s", (long long)u->p.failed,
	    text_of(first, "error"));
}

static bool
finish(struct use *u)
{
	struct run *r = u->r;

	if (!commit(u, !r->ask.leave) || (!r->ask.leave && !write_report(u)))
		return false;
	if (r->ask.leave) {
		report_done(&r->rep, &(struct report_end){
		    .outcome = r->ask.outcome, .step = u->done, .dir = "",
		    .samples = true, .metrics = json_object() });
		return true;
	}
	if (u->p.lines.said == 0 && u->p.failed > 0)
		return refuse_all(u);
	model_file_warn(&u->p.model, u->p.lines.nothing, u->p.lines.said);
	if (u->p.failed > 0)
		report_warning(&r->rep, "not_read", "%lld of %lld could not be "
		    "read: " USE_REPORT_FILE " names them",
		    (long long)u->p.failed, (long long)u->done);
	if (r->spec->kind == SPEC_JOB_EVALUATE)
		say_evaluation(u);
	report_done(&r->rep, &(struct report_end){ .outcome = WIRE_SUCCEEDED,
	    .step = u->done, .dir = "", .samples = true,
	    .metrics = use_metrics(u) });
	return true;
}

static struct use *
begin(struct run *r)
{
	struct use *u = xcalloc(1, sizeof(*u));

	const char *keep = getenv(KEEP_MS);

	u->r = r;
	u->keep_ms = keep != NULL ? strtol(keep, NULL, 10) : USE_COMMIT_MS;
	u->out.fd = -1;
	r->use = u;
	r->same.final = true;   /* what data there are is asked here */
	return u;
}

static void
end(struct use *u)
{
	results_close(&u->out);
	batches_fini(&u->p);
	json_decref(u->p.lines.names);
	recipe_fini(&u->p.recipe);
	model_file_fini(&u->p.model);
	use_counts_fini(u);
	walk_close(&u->walk);
	json_decref(u->at);
	json_decref(u->pixels);
	u->r->use = NULL;
	free(u->path);
	free(u);
}

static bool
work(struct use *u)
{
	struct run *r = u->r;
	struct run_memory m;

	if (!run_enter(r) || !run_start_team(r) || !use_open(u, &m) ||
	    !open_results(u))
		return false;
	if (!greet(u, &m))
		return r->rep.gone;
	u->begun_ms = u->commit_ms = mono_ms();
	u->begun = u->done;
	const bool ok = r->spec->kind == SPEC_JOB_PREDICT ?
	    use_predict_all(u) : use_evaluate_all(u);
	say_progress(u);
	return ok && finish(u);
}

bool
use_run(struct run *r)
{
	struct use *u = begin(r);
	const bool ok = work(u);

	end(u);
	return ok;
}

/* --- questions ------------------------------------------------------------ */

bool
use_summary(struct run *r)
{
	struct use *u = begin(r);
	struct run_memory m;

	if (r->o->plan)
		run_fail(r, "bad_spec", true, "kind: is %s, which has no plan "
		    "of a warm start: all tensors must be there",
		    spec_job_words[r->spec->kind]);
	exact_settle(r, NULL);
	const bool ok = r->fail.reason == NULL && use_measure(u, &m) &&
	    summary_say(r, &m);
	end(u);
	return ok;
}

bool
use_check(struct run *r, json_t *out)
{
	struct use *u = begin(r);
	struct run_memory m;
	bool ok = use_open(u, &m);

	if (ok && r->spec->kind == SPEC_JOB_PREDICT)
		ok = use_predict_open(u, NULL);
	if (ok) {
		js_put(out, "remarks", json_array());
		js_put(out, "memory", json_integer((json_int_t)RK_MIN(m.wanted,
		    (uint64_t)INT64_MAX)));
		js_put(out, "steps_total", json_integer(r->valid != NULL ?
		    r->valid->n : u->total));
		js_put(out, "data", json_pack("{s:n, s:o}", "train",
		    "validation", r->valid != NULL ? classes_json(r->valid) :
		    json_null()));
	}
	end(u);
	return ok;
}
