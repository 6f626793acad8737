/*
 * A small world for the supervisor's tests: loop, store and supervisor in the
 * current directory, and a trainer that does as the job's metadata.script says.
 *
 * The trainer is the test program itself: started with --wire it never reaches
 * main().  The script has a word an attempt, the last one for all that follow:
 *
 *	ok        hello, a checkpoint at step 100, done
 *	run       hello, a step each 5 ms, until told to leave; keeps the rules
 *	late      as run, but is just through when it is told to leave
 *	save      as run, and dies by SIGKILL after the first checkpoint
 *	crash     hello, then SIGKILL
 *	die       exit 1 after a sentence on stderr
 *	exit3     exit 3 after a sentence on stderr
 *	bad       failed, permanent: bad_data
 *	soft      failed, not permanent: io
 *	full      failed: disk_full
 *	mute      no hello
 *	stall     hello, then silence
 *	deaf      as run, but does not hear what it is told
 *	stubborn  as deaf, and does not see that its daemon has gone
 *	garbage   hello, then a line that is no message
 *	flood     hello, then a line without an end
 *	early     progress before hello
 *	close     hello, then closes its line and stays
 *	mum       hello, then exit 0 without a word
 *	chatty    hello, 500 events, a log line, done
 */
#ifndef SUP_FAKE_H
#define SUP_FAKE_H

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "t.h"

#include "impl.h"

/* --- the trainer ---------------------------------------------------------- */

struct fake {
	struct wire *w;
	struct ckpt *ckpt;
	const char *from, *dir, *job;
	const char *file[8];            /* ADDRESS=PATH */
	int nfile;
	int64_t attempt, step;
	char parent[CKPT_DIR_MAX];
	bool leave, late;
	const char *outcome;
};

static void
fake_die(const char *what)
{
	fprintf(stderr, "fake trainer: %s\n", what);
	_exit(1);
}

static void
fake_say(struct fake *f, enum wire_type t, json_t *m)
{
	enum rk_err rc = wire_send(f->w, t, m);

	while (rc == RK_OK && wire_pending(f->w)) {
		usleep(1000);
		rc = wire_flush(f->w);
	}
	if (rc != RK_OK && rc != RK_ENOENT)
		fake_die("cannot speak");
}

static void
fake_progress(struct fake *f)
{
	fake_say(f, WIRE_PROGRESS, json_pack("{s:I, s:i, s:f, s:f, s:f}",
	    "step", (json_int_t)f->step, "epoch", 1, "loss", 0.5,
	    "samples_per_second", 1e5, "eta_seconds", 3.0));
}

static void
fake_save(struct fake *f, const char *name)
{
	static const float data[2] = { 1, 2 };
	const int64_t two = 2;
	struct tensor_set *set = tensor_set_new();
	struct ckpt_info i = { .step = f->step, .attempt = f->attempt };

	if (tensor_set_add(set, "w", DT_F32, 1, &two, data, NULL) != RK_OK ||
	    tensor_set_seal(set, NULL) != RK_OK)
		fake_die("no tensors");
	snprintf(i.parent, sizeof(i.parent), "%s", f->parent);
	i.metrics = json_pack("{s:f}", "loss", 0.5);
	i.state = json_object();
	if (ckpt_save(f->ckpt, &i, set, NULL, name[0] ? name : NULL) != RK_OK)
		fake_die("cannot save");
	fake_say(f, WIRE_CHECKPOINT, json_pack("{s:s, s:s, s:I, s:I, s:f}",
	    "checkpoint", i.dir, "name", name, "step", (json_int_t)f->step,
	    "bytes", (json_int_t)i.bytes, "write_seconds", 0.01));
	snprintf(f->parent, sizeof(f->parent), "%s", i.dir);
	ckpt_info_fini(&i);
	tensor_set_free(set);
}

static void
fake_done(struct fake *f, const char *outcome)
{
	fake_say(f, WIRE_DONE, json_pack("{s:s, s:I, s:s}", "outcome", outcome,
	    "step", (json_int_t)f->step, "checkpoint", f->parent));
	_exit(0);
}

static void
fake_hello(struct fake *f)
{
	struct ckpt_info i = { 0 };
	int branch = 1;
	char *path = xasprintf("%s/checkpoints", f->dir);

	if (ckpt_open(&f->ckpt, path, true) != RK_OK)
		fake_die("no checkpoints folder");
	if (strcmp(f->from, "none") != 0 && ckpt_select(f->ckpt, f->from,
	    "loss", false, &i, NULL) == RK_OK) {
		f->step = i.step;
		snprintf(f->parent, sizeof(f->parent), "%s", i.dir);
	}
	if (f->parent[0] != '\0' &&
	    ckpt_branch_from(f->ckpt, f->parent, &branch) != RK_OK)
		fake_die("no branch");
	fake_say(f, WIRE_HELLO, json_pack("{s:i, s:i, s:s, s:I, s:i, s:i, s:i}",
	    "version", WIRE_VERSION, "pid", (int)getpid(), "from", f->parent,
	    "step", (json_int_t)f->step, "steps_total", 1000, "parameters", 2,
	    "branch", branch));
	free(path);
	/* What comes before the daemon's hello is not heard. */
	for (bool greeted = false; !greeted;) {
		struct wire_msg m;
		enum rk_err rc;
		if (!wire_wait(f->w, -1) || wire_fill(f->w) != RK_OK)
			_exit(0);
		while (!greeted && wire_next(f->w, &m, &rc, NULL)) {
			greeted = rc == RK_OK && m.type == WIRE_HELLO;
			wire_msg_fini(&m);
		}
	}
}

static void
fake_hear(struct fake *f)
{
	enum rk_err filled = wire_fill(f->w), rc;
	struct wire_msg m;

	while (wire_next(f->w, &m, &rc, NULL)) {
		if (rc != RK_OK)
			fake_die("the daemon speaks nonsense");
		if (m.type == WIRE_PAUSE || m.type == WIRE_STOP) {
			f->leave = true;
			f->outcome = m.type == WIRE_PAUSE ? "paused" :
			    "stopped";
		} else if (m.type == WIRE_CHECKPOINT) {
			fake_save(f, m.name);
		}
		wire_msg_fini(&m);
	}
	if (filled != RK_OK) {          /* the daemon has gone */
		fake_save(f, "");
		_exit(0);
	}
}

/* deaf: 1 hears nothing, 2 nor that the daemon has gone. */
static void
fake_run(struct fake *f, int deaf, bool die_after_save)
{
	for (;;) {
		f->step++;
		fake_progress(f);
		usleep(5000);
		if (deaf == 0)
			fake_hear(f);
		if (die_after_save && f->step % 10 == 0) {
			fake_save(f, "");
			raise(SIGKILL);
		}
		if (f->leave) {
			fake_save(f, "");
			fake_done(f, f->late ? "succeeded" : f->outcome);
		}
	}
}

static void
fake_chat(struct fake *f)
{
	for (int i = 0; i < 500; i++)
		fake_say(f, WIRE_EVENT, json_pack("{s:s, s:s}", "kind", "note",
		    "message", "bla"));
	fake_say(f, WIRE_LOG, json_pack("{s:s, s:s}", "level", "warn",
	    "message", "a line\nof the log"));
	fake_say(f, WIRE_PLAN, json_pack("{s:s, s:{s:i}}", "summary",
	    "loaded 2 of 4 tensors", "plan", "x", 1));
	f->step = 7;
	fake_done(f, "succeeded");
}

static void
fake_act(struct fake *f, const char *word)
{
	struct stat st;

	if (strcmp(word, "mute") == 0)
		for (;;)
			pause();
	if (strcmp(word, "die") == 0) {
		fputs("all is lost\n", stderr);
		_exit(1);
	}
	if (strcmp(word, "exit3") == 0) {
		fputs("the job makes no sense\n", stderr);
		_exit(3);
	}
	if (strcmp(word, "early") == 0) {
		fake_progress(f);
		pause();
	}
	for (int i = 0; i < f->nfile; i++) {
		/* No path of these tests has '=' in it. */
		if (stat(strrchr(f->file[i], '=') + 1, &st) != 0)
			fake_die("a file is not there");
		fprintf(stderr, "--file %s\n", f->file[i]);
	}
	fake_hello(f);
	if (strcmp(word, "crash") == 0)
		raise(SIGKILL);
	if (strcmp(word, "mum") == 0)
		_exit(0);
	if (strcmp(word, "close") == 0) {
		wire_free(&f->w);
		pause();
	}
	if (strcmp(word, "stall") == 0)
		for (;;)
			pause();
	if (strcmp(word, "garbage") == 0) {
		(void)!write(WIRE_FD, "{\"type\": 7}\n", 12);
		pause();
	}
	if (strcmp(word, "flood") == 0) {
		char junk[4096];
		memset(junk, 'x', sizeof(junk));
		rk_set_nonblock(WIRE_FD, false);
		for (;;)
			(void)!write(WIRE_FD, junk, sizeof(junk));
	}
	if (strcmp(word, "chatty") == 0)
		fake_chat(f);
	bool bad = strcmp(word, "bad") == 0, full = strcmp(word, "full") == 0;
	if (bad || full || strcmp(word, "soft") == 0) {
		fake_say(f, WIRE_FAILED, json_pack("{s:s, s:s, s:b}", "reason",
		    bad ? "bad_data" : full ? "disk_full" : "io", "message",
		    bad ? "label 12 is out of range" : "cannot write",
		    "permanent", bad));
		_exit(1);
	}
	if (strcmp(word, "ok") == 0) {
		f->step = 100;
		fake_progress(f);
		fake_say(f, WIRE_METRIC, json_pack("{s:{s:i}}", "metric",
		    "step", 100));
		fake_save(f, "");
		fake_done(f, "succeeded");
	}
	f->late = strcmp(word, "late") == 0;
	fake_run(f, strcmp(word, "deaf") == 0 ? 1 :
	    strcmp(word, "stubborn") == 0 ? 2 : 0, strcmp(word, "save") == 0);
}

__attribute__((constructor)) static void
fake_main(int argc, char **argv)
{
	struct fake f = { .from = "latest" };
	char *text, *word, *end;
	size_t len;
	json_t *job;

	if (argc < 2 || strcmp(argv[1], "--wire") != 0)
		return;
	alarm(60);              /* whatever a test does, none stays behind */
	signal(SIGPIPE, SIG_IGN);
	for (int i = 2; i + 1 < argc; i += 2) {
		const char *v = argv[i + 1];
		if (strcmp(argv[i], "--attempt") == 0)
			f.attempt = atoll(v);
		else if (strcmp(argv[i], "--run-dir") == 0)
			f.dir = v;
		else if (strcmp(argv[i], "--from") == 0)
			f.from = v;
		else if (strcmp(argv[i], "--file") == 0)
			f.file[f.nfile++] = v;
		else if (strcmp(argv[i], "--job") == 0)
			f.job = v;
	}
	char *lock = xasprintf("%s/lock", f.dir);
	int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || flock(fd, LOCK_EX) != 0)
		fake_die("no lock");
	if (rk_read_file(AT_FDCWD, argv[argc - 1], 1 << 20, &text, &len) !=
	    RK_OK || rkj_parse_json(text, len, &job, NULL) != RK_OK)
		fake_die("no job");
	f.w = wire_new(WIRE_FD);
	const char *s = json_string_value(json_object_get(json_object_get(job,
	    "metadata"), "script"));
	word = xstrdup(s != NULL ? s : "ok");
	for (int64_t n = 1; n < f.attempt && (end = strchr(word, ' ')); n++)
		word = end + 1;
	if ((end = strchr(word, ' ')) != NULL)
		*end = '\0';
	fake_act(&f, word);
	_exit(9);
}

/* --- the world ------------------------------------------------------------ */

struct world {
	struct loop *loop;
	struct store *store;
	struct sup *sup;
	struct sup_config c;
	struct loop_timer *look;
	bool (*until)(struct world *w);
	const char *id;                 /* for the conditions */
	int64_t want, deadline_ms;
	char state_dir[512], trainer[512], data[600];
	bool came;
};

static struct world W;

static inline void
w_look(void *ctx)
{
	struct world *w = ctx;

	if (w->until != NULL && w->until(w))
		w->came = true;
	if (w->came || mono_ms() >= w->deadline_ms)
		loop_stop(w->loop);
	else
		loop_timer_at(w->look, mono_ms() + 2);
}

/* Run the loop until the condition holds, or fail after 20 s. */
static inline void
w_until(bool (*fn)(struct world *), const char *what)
{
	W.until = fn;
	W.came = false;
	W.deadline_ms = mono_ms() + 20000;
	loop_timer_at(W.look, mono_ms());
	loop_run(W.loop);
	if (!W.came) {
		struct job_row r;
		if (W.id != NULL && store_job_get(W.store, W.id, &r) == RK_OK)
			fprintf(stderr, "%s, attempt %lld: %s (%s)\n",
			    job_state_words[r.state], (long long)r.attempt,
			    r.message, r.reason);
		t_fail("never came: %s", what);
	}
}

static inline void
w_spin(int64_t ms)
{
	W.until = NULL;
	W.came = false;
	W.deadline_ms = mono_ms() + ms;
	loop_timer_at(W.look, mono_ms());
	loop_run(W.loop);
}

static inline void
w_open(void)
{
	struct rk_why why = { 0 };

	t_eq_int(loop_open(&W.loop), RK_OK);
	if (store_open(&W.store, "test.db", &why) != RK_OK ||
	    sup_open(&W.sup, W.loop, W.store, &W.c, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	W.look = loop_timer_add(W.loop, w_look, &W);
}

/* The folder and the settings; a test may change W.c before w_open(). */
static inline void
w_prepare(void)
{
	char cwd[400];

	log_set_level(getenv("T_LOUD") ? LOG_L_DEBUG : LOG_L_ERROR + 1);
	t_check(getcwd(cwd, sizeof(cwd)) != NULL);
	snprintf(W.state_dir, sizeof(W.state_dir), "%s/state", cwd);
	snprintf(W.data, sizeof(W.data), "%s/data.csv", cwd);
	ssize_t n = readlink("/proc/self/exe", W.trainer,
	    sizeof(W.trainer) - 1);
	t_check(n > 0);
	W.trainer[n] = '\0';
	FILE *f = fopen(W.data, "w");
	fputs("a,b\n1,0\n2,1\n", f);
	fclose(f);
	/* Generous where a slow machine must not matter, short where a test
	 * waits for it. */
	W.c = (struct sup_config){ .state_dir = W.state_dir,
		.trainer = W.trainer, .threads = 4, .memory = 4ull << 30,
		.stall_timeout_ms = 10000, .start_timeout_ms = 10000,
		.stop_timeout_ms = 10000, .retry_base_ms = 20,
		.retry_max_ms = 100, .disk_check_ms = 20, .disk_reserve = 1,
		.nice = 1 };
}

static inline void
w_begin(void)
{
	w_prepare();
	w_open();
}

static inline void
w_close(void)
{
	sup_close(&W.sup);
	store_close(&W.store);
	loop_close(&W.loop);
}

static inline json_t *
w_job(const char *script)
{
	return json_pack("{s:s, s:{s:i, s:s}, s:{s:s, s:[i,i]}, s:{s:i},"
	    "s:{s:{s:s, s:s, s:i}}, s:{s:s}}", "name", "j",
	    "resources", "threads", 1, "memory", "256MiB",
	    "model", "arch", "mlp", "sizes", 1, 2,
	    "training", "epochs", 1,
	    "data", "train", "type", "csv", "path", W.data, "label", -1,
	    "metadata", "script", script);
}

static inline enum rk_err
w_try_submit(json_t *tree, char id[RK_ID], struct rk_why *why)
{
	struct spec *spec = NULL;
	enum rk_err rc = spec_parse(tree, &spec, why);

	if (rc != RK_OK)
		t_fail("the test's own job: %s", rk_why_first(why));
	rc = sup_submit(W.sup, spec, id, NULL, why);
	spec_free(spec);
	json_decref(tree);
	return rc;
}

/* Takes the tree; W.id becomes the new job. */
static inline char *
w_submit_tree(json_t *tree)
{
	struct rk_why why = { 0 };
	char *id = xmalloc(RK_ID);

	if (w_try_submit(tree, id, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	W.id = id;
	return id;
}

static inline char *
w_submit(const char *script)
{
	return w_submit_tree(w_job(script));
}

static inline struct job_row
w_row(const char *id)
{
	struct job_row r;

	t_eq_int(store_job_get(W.store, id, &r), RK_OK);
	return r;
}

static inline enum job_state
w_state(const char *id)
{
	struct job_row r = w_row(id);
	enum job_state state = r.state;

	store_job_fini(&r);
	return state;
}

static inline bool
w_is_state(struct world *w)
{
	return w_state(w->id) == (enum job_state)w->want;
}

static inline void
w_wait(const char *id, enum job_state state)
{
	W.id = id;
	W.want = state;
	w_until(w_is_state, job_state_words[state]);
}

static inline bool
w_has_step(struct world *w)
{
	const json_t *p = sup_progress(w->sup, w->id);

	return json_integer_value(json_object_get(p, "step")) >= w->want;
}

static inline void
w_wait_step(const char *id, int64_t step)
{
	W.id = id;
	W.want = step;
	w_until(w_has_step, "a step");
}

static inline bool
w_has_attempt(struct world *w)
{
	struct job_row r = w_row(w->id);
	bool yes = r.attempt >= w->want;

	store_job_fini(&r);
	return yes;
}

static inline void
w_wait_attempt(const char *id, int64_t n)
{
	W.id = id;
	W.want = n;
	w_until(w_has_attempt, "an attempt");
}

static inline bool
w_see_event(void *ctx, const struct event_row *e)
{
	sb_addf(ctx, "[%s] %s\n", e->kind, e->message);
	return true;
}

/* All events of a job, a line each; valid until the next call. */
static inline const char *
w_events(const char *id)
{
	static struct strbuf b;

	sb_fini(&b);
	t_eq_int(store_events(W.store, id, 0, 10000, w_see_event, &b), RK_OK);
	return sb_str(&b);
}

static inline bool
w_see_attempt(void *ctx, const struct attempt_row *a)
{
	sb_addf(ctx, "%lld:%s:%s:%lld ", (long long)a->n, a->outcome, a->from,
	    (long long)a->branch);
	return true;
}

/* "1:crashed::1 2:succeeded:step-000000010:1 " */
static inline const char *
w_attempts(const char *id)
{
	static struct strbuf b;

	sb_fini(&b);
	t_eq_int(store_attempts(W.store, id, 0, 100, w_see_attempt, &b),
	    RK_OK);
	return sb_str(&b);
}

/* The reason of a job; valid until the next call. */
static inline const char *
w_reason(const char *id)
{
	static char reason[64];
	struct job_row r = w_row(id);

	snprintf(reason, sizeof(reason), "%s", r.reason);
	store_job_fini(&r);
	return reason;
}

#endif
