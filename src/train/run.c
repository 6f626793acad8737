/* One attempt at one job, from its lock to its last word. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rekindle/cgroup.h"
#include "distill.h"
#include "draw.h"
#include "convert.h"
#include "early.h"
#include "export.h"
#include "feature_cache.h"
#include "feed.h"
#include "knowledge.h"
#include "phases.h"
#include "profile.h"
#include "row_names.h"
#include "seen.h"
#include "start.h"
#include "summary.h"
#include "use.h"
#include "writer.h"

#define LOCK_FILE     "lock"
#define LOCK_WAIT_MS  30000     /* for a predecessor that is on its way out */
#define LOCK_LOOK_MS  20
#define SPACE_SLACK   (64u << 10)       /* checkpoint.json and folders */

/* --- how it ends badly ---------------------------------------------------- */

/* The first reason stays. */
static void
fail_with(struct run *r, struct failure f, const char *fmt, va_list ap)
{
	struct strbuf b = {0};

	sb_vaddf(&b, fmt, ap);
	if (r->fail.reason != NULL) {
		sb_fini(&b);
		json_decref(f.details);
		return;
	}
	f.message = rk_text_clean(sb_detach(&b));
	r->fail = f;
}

bool
run_fail(struct run *r, const char *reason, bool permanent, const char *fmt,
    ...)
{
	va_list ap;

	va_start(ap, fmt);
	fail_with(r, (struct failure){ .reason = reason,
	    .permanent = permanent }, fmt, ap);
	va_end(ap);
	return false;
}

bool
run_fail_waits(struct run *r, const char *reason, json_t *details,
    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fail_with(r, (struct failure){ .reason = reason, .waits = true,
	    .details = details }, fmt, ap);
	va_end(ap);
	return false;
}

bool
run_fail_rc(struct run *r, enum rk_err rc, const char *doing)
{
	const char *reason = rc == RK_ENOSPC ? "disk_full" :
	    rc == RK_EROFS ? "read_only" : rc == RK_ENOMEM ? "no_memory" : "io";

	return run_fail(r, reason, false, "%s: %s", doing, rk_strerror(rc));
}

/* --- the run directory ---------------------------------------------------- */

/* Held as long as the process lives: the next attempt begins when this one is
 * gone, whoever started it. */
static bool
take_lock(struct run *r)
{
	const int64_t end_ms = mono_ms() + LOCK_WAIT_MS;
	bool told = false;

	r->lock_fd = openat(r->dir_fd, LOCK_FILE,
	    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (r->lock_fd < 0)
		return run_fail_rc(r, rk_from_errno(errno),
		    "cannot open the run's lock");
	while (flock(r->lock_fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return run_fail_rc(r, rk_from_errno(errno),
			    "cannot lock the run");
		if (!told)
			log_info("train: another trainer has %s: waits up to "
			    "%d s for it to end", r->dir, LOCK_WAIT_MS / 1000);
		told = true;
		if (mono_ms() >= end_ms || signals_came())
			return run_fail(r, "io", false, "another trainer has "
			    "this run: %s", r->dir);
		usleep(LOCK_LOOK_MS * 1000);
	}
	return true;
}

bool
run_enter(struct run *r)
{
	r->dir = r->o->run_dir != NULL ? xstrdup(r->o->run_dir) :
	    xasprintf("%s.run", r->spec->name);
	enum rk_err rc = rk_mkdirs(r->dir, 0750);
	if (rc != RK_OK)
		return run_fail_rc(r, rc, r->dir);
	r->dir_fd = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->dir_fd < 0)
		return run_fail_rc(r, rk_from_errno(errno), r->dir);
	if (!take_lock(r))
		return false;
	rc = metrics_open(&r->rep, r->dir_fd);
	if (rc != RK_OK)
		return run_fail_rc(r, rc, "cannot open metrics.jsonl");
	r->rep.attempt = r->o->attempt > 0 ? r->o->attempt :
	    r->rep.last_attempt + 1;
	return true;
}

static bool
open_dir(struct run *r)
{
	enum rk_err rc;

	if (!run_enter(r))
		return false;
	alone_known_read(r);
	char *path = xasprintf("%s/checkpoints", r->dir);
	bool ok = alone_may_open(r, path);
	if (ok && (rc = ckpt_open(&r->ckpt, path, true)) != RK_OK)
		ok = run_fail_rc(r, rc, "cannot open the checkpoints");
	free(path);
	return ok;
}

void
run_newest(struct run *r, const struct ckpt_info *i)
{
	const uint64_t frozen = ckpt_info_frozen(i);

	r->newest_bytes = frozen > 0 ? i->bytes - frozen : 0;
}

uint64_t
run_needs(const struct run *r)
{
	return r->newest_bytes > 0 ? RK_MIN(r->newest_bytes,
	    r->checkpoint_bytes) : r->checkpoint_bytes;
}

/* A run that cannot keep its first checkpoint should not begin. */
static bool
check_space(struct run *r)
{
	char need[RK_HUMAN], have[RK_HUMAN];
	uint64_t bytes;

	if (rk_disk_free(r->dir_fd, &bytes) != RK_OK ||
	    bytes >= run_needs(r) + SPACE_SLACK)
		return true;
	return run_fail(r, "disk_full", false, "no room for a checkpoint in "
	    "%s: it needs %s, %s is free", r->dir,
	    rk_human_bytes(need, run_needs(r)),
	    rk_human_bytes(have, bytes));
}

/* --- the run -------------------------------------------------------------- */

static int
thread_count(const struct run *r)
{
	const int64_t n = r->o->threads >= 0 ? r->o->threads :
	    r->spec->threads;
	int64_t cores = 1;
	cpu_set_t set;

	if (n > 0)
		return (int)n;
	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		cores = RK_MAX(CPU_COUNT(&set), 1);
	/* A quota that is used up stops all threads at once. */
	struct cgroup *g = cgroup_open("");
	const int64_t most = cgroup_threads(g, cores);
	cgroup_close(&g);
	return (int)most;
}

bool
run_start_team(struct run *r)
{
	const char *refusal = kernel_refusal();

	if (refusal != NULL)
		return run_fail(r, "internal", true, "%s", refusal);
	enum rk_err rc = kernel_init(thread_count(r));
	r->process_bytes = memory_of_process();
	return rc == RK_OK || run_fail_rc(r, rc, "cannot start the threads");
}

/* Files of a permutation stay as they were before there was a record. */
static bool
start_writer(struct run *r)
{
	const enum data_split_rule rule = r->held.how.rule;
	json_t *record = held_out_json(&r->held);
	char *text = rkj_text(record);
	json_t *classes = input_classes(r);
	char *names = classes != NULL ? rkj_text(classes) : NULL;
	char *tokens = row_names_vocabulary(r);

	json_decref(record);
	json_decref(classes);
	enum rk_err rc = writer_new(&r->writer, r->ckpt, r->nn, r->optim,
	    r->ema, &r->spec->checkpoint, r->rep.metrics_fd,
	    rule == DATA_SPLIT_CONTENT || rule == DATA_SPLIT_STRATIFIED ?
	    text : NULL, names, tokens != NULL && strlen(tokens) <=
	    VOCABULARY_MOST ? tokens : NULL);
	free(text);
	free(names);
	free(tokens);
	return rc == RK_OK || run_fail(r, "no_memory", false, "the system has "
	    "no memory for the copy that checkpoints are written from");
}

static bool
settle(const struct start *s, struct run *r)
{
	exact_settle(r, s->rc == RK_OK ? &s->info : NULL);
	return true;
}

static bool
set_up(struct run *r)
{
	struct start s;
	struct run_memory m;

	if (!open_dir(r) || !run_start_team(r))
		return false;
	start_begin(&s, r);
	/* Before the network, which other data may not fit. */
	bool ok = same_before(r) && run_open_data(r, &s) && same_begin(r) &&
	    start_judge_data(&s, r) && settle(&s, r) && run_measure(r, &m) &&
	    phases_settle(r, s.rc == RK_OK ? &s.info : NULL) &&
	    run_build(r, &m) && start_decide(&s, r) && distill_begin(r);
	run_newest(r, &s.info);
	start_end(&s);
	if (!ok)
		return false;
	r->checkpoint_bytes = m.checkpoint;
	r->memory_wanted = m.said ? 0 : m.wanted;
	if (!at_limit(r) && !check_space(r))
		return false;
	if (!at_limit(r)) {
		phases_tell(r, r->at.step == 0);
		remarks_tell(r);
		features_open(r);
	}
	return start_writer(r);
}

/* What the data are, for people. */
static json_t *
data_words(const struct run *r)
{
	const struct {
		const char *key;
		const struct data_set *d;
	} sides[] = { { "train", r->train }, { "validation", r->valid } };
	json_t *o = json_object();

	for (size_t i = 0; i < RK_ARRAY_LEN(sides); i++) {
		if (sides[i].d == NULL)
			continue;
		char *text = classes_sentence(sides[i].d);
		js_put(o, sides[i].key, js_text(text));
		free(text);
	}
	return o;
}

/* False: the daemon is not there to be worked for. */
static bool
greet(struct run *r)
{
	struct rk_why why = {0};
	int64_t params;

	nn_params(r->nn, &params);
	json_t *hello = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I}",
	    "producer", "rekindle-train " REKINDLE_VERSION, "from", r->parent,
	    "step", (json_int_t)r->at.step, "epoch", (json_int_t)r->at.epoch,
	    "steps_total", (json_int_t)r->steps_total,
	    "epochs_total", (json_int_t)(r->epochs_limit < INT64_MAX ?
	    r->epochs_limit : 0),
	    "parameters", (json_int_t)params, "branch", (json_int_t)r->branch);
	must(hello != NULL);
	js_put(hello, "schedule", schedule_look(&r->schedule,
	    r->at.rate_scale));
	js_put(hello, "data", data_words(r));
	if (r->memory_wanted > 0)
		js_put(hello, "memory", json_integer(
		    (json_int_t)r->memory_wanted));
	if (r->spec->training.nphases > 0) {
		phases_put(r, hello);
		js_put(hello, "phases", json_integer(
		    r->spec->training.nphases));
	}
	exact_put(r, hello);
	bool ok = report_hello(&r->rep, hello, &why);
	if (!ok && !r->rep.gone)
		run_fail(r, "internal", false, "%s", rk_why_first(&why));
	rk_why_fini(&why);
	return ok;
}

static bool
train(struct run *r)
{
	if (r->spec->kind != SPEC_JOB_TRAIN)
		return use_run(r);
	if (!set_up(r))
		return false;
	if (!greet(r))
		return r->rep.gone;
	if (!run_loop(r))
		return false;
	features_close(r, r->ask.outcome == WIRE_SUCCEEDED);
	char *early = r->ask.outcome == WIRE_SUCCEEDED && early_stopped(r) ?
	    early_sentence(r) : NULL;
	/* One that had to leave before its data were checked has saved none. */
	report_done(&r->rep, &(struct report_end){
	    .outcome = r->ask.outcome, .step = r->same.final ? r->at.step :
	    RK_MAX(r->due.taken, 0), .dir = r->due.dir,
	    .metrics = run_metrics(r, false), .early = early });
	free(early);
	return true;
}

static void
close_run(struct run *r)
{
	features_close(r, r->fail.reason != NULL &&
	    strcmp(r->fail.reason, "disk_full") == 0);
	feed_close(r);
	writer_stop(&r->writer);
	same_end(r);
	seen_close(r);
	report_close(&r->rep);
	ckpt_close(&r->ckpt);
	spans_free(r);
	nn_free(r->nn);
	judge_free(r->judge);
	knowledge_free(r->knowledge);
	distill_free(r->distill);
	optim_free(r->optim);
	optim_ema_free(r->ema);
	data_close(r->train);
	data_close(r->valid);
	held_out_model_fini(&r->warm_model);
	warm_file_free(r->warm);
	free(r->warm_path);
	free(r->unpacked[0]);
	free(r->unpacked[1]);
	free(r->which);
	free(r->classes);
	free(r->targets);
	json_decref(r->spec_record);
	json_decref(r->exact.why_not);
	spec_free(r->spec);
	free(r->dir);
	free(r->fail.message);
	json_decref(r->fail.details);
	rk_close(&r->lock_fd);
	rk_close(&r->dir_fd);
	kernel_fini();
}

static bool
is_socket(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* Of what is about a training a job that has none says nothing. */
static bool
may_answer(struct run *r)
{
	return r->spec == NULL || r->spec->kind == SPEC_JOB_TRAIN ||
	    r->o->summary || r->o->plan || r->o->check || run_fail(r,
	    "bad_spec", true, "kind: is %s, want a job that trains",
	    spec_job_words[r->spec->kind]);
}

static bool
answer(struct run *r)
{
	if (!may_answer(r))
		return false;
	if (r->o->vocabulary)
		return vocabulary_make(r);
	if (r->o->predict != NULL)
		return predict_print(r);
	if (r->o->samples > 0)
		return samples_print(r);
	if (r->o->evaluate != NULL)
		return evaluate_print(r);
	if (r->o->export != NULL)
		return export_print(r);
	if (r->o->convert != NULL)
		return convert_print(r);
	if (r->o->plot != NULL)
		return draw_print(r);
	if (r->o->check)
		return check_print(r);
	if (r->o->suggest != NULL)
		return suggest_print(r);
	if (r->o->profile != 0)
		return profile_print(r);
	return r->spec->kind != SPEC_JOB_TRAIN ? use_summary(r) :
	    summary_print(r);
}

int
train_main(const struct train_options *o)
{
	struct run r = {
		.o = o, .dir_fd = -1, .lock_fd = -1,
		.at = { .rate_scale = 1, .scored = -1 },
		.due = { .taken = -1, .captured = -1 },
	};
	const bool asks = o->vocabulary || o->summary || o->plan || o->check ||
	    o->evaluate != NULL || o->profile != 0 || o->plot != NULL ||
	    o->samples > 0 || o->export != NULL || o->convert != NULL ||
	    o->suggest != NULL;

	if (o->wire && !is_socket(WIRE_FD)) {
		fprintf(stderr, "rekindle-train: --wire, but file descriptor "
		    "%d is no socket\n", WIRE_FD);
		return TRAIN_USAGE;
	}
	report_open(&r.rep, o->wire && !asks ? WIRE_FD : -1);
	r.rep.quiet = asks;
	bool ok = signals_start(&r) && (o->convert != NULL ?
	    convert_load_spec(&r) : run_load_spec(&r));
	if (ok)
		ok = !asks ? train(&r) : (r.spec == NULL || run_start_team(&r)) &&
		    answer(&r);
	int code = TRAIN_FINISHED;
	if (!ok) {
		/* There is no job that could be wrong. */
		code = r.fail.waits ? TRAIN_WAITS : r.fail.permanent &&
		    o->convert == NULL ? TRAIN_REFUSED : TRAIN_FAILED;
		report_failed(&r.rep, r.fail.reason, r.fail.message,
		    r.fail.permanent, r.fail.details);
		r.fail.details = NULL;
		fprintf(stderr, "rekindle-train: %s\n", r.fail.message);
	}
	close_run(&r);
	return code;
}
