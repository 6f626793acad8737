/*
 * A trainer that does as the job's metadata.script says: the test program
 * itself, which never reaches main() when it is started with --wire.  The
 * script has a word an attempt, the last one for all that follow:
 *
 *	ok        hello, a checkpoint at step 100, done
 *	run       hello, a step each 5 ms, until told to leave; keeps the rules
 *	late      as run, but is just through when it is told to leave
 *	save      as run, and dies by SIGKILL after the first checkpoint
 *	crash     hello, then SIGKILL
 *	oom       the same, and the kernel, a file, counts it
 *	die       exit 1 after a sentence on stderr
 *	exit3     exit 3 after a sentence on stderr
 *	bad       failed, permanent: bad_data
 *	soft      failed, not permanent: io
 *	full      failed: disk_full
 *	changed   failed: data_changed, before anything was begun
 *	cold      begins with nothing, whatever there is
 *	mute      no hello
 *	slow      says for two seconds that it is alive, then as ok
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
#ifndef SUP_TRAINER_H
#define SUP_TRAINER_H

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "t.h"

#include "impl.h"

struct fake {
	struct wire *w;
	struct ckpt *ckpt;
	const char *from, *dir, *job, *accept;
	const char *file[64];           /* ADDRESS=PATH */
	int nfile;
	int64_t attempt, step;
	char parent[CKPT_DIR_MAX];
	bool leave, late, sha256;
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
	if (ckpt_branch_from(f->ckpt, f->parent, &branch) != RK_OK)
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

/* The test says in the environment where that is. */
static void
fake_count_oom(void)
{
	const char *path = getenv("REKINDLE_TRAIN_OOM_COUNT");
	FILE *f = path != NULL ? fopen(path, "r+") : NULL;
	int n = 0;

	if (f == NULL || fscanf(f, "oom 0\noom_kill %d", &n) != 1)
		fake_die("no count of kills");
	rewind(f);
	fprintf(f, "oom 0\noom_kill %d\n", n + 1);
	fclose(f);
}

/* An evaluation after which a class is forgotten, and the event; wild: with
 * what is no knowledge. */
static void
fake_forget(struct fake *f, bool wild)
{
	json_t *one = json_pack("{s:i, s:s, s:i, s:f, s:f, s:b}", "class", 2,
	    "name", "a\tb", "samples", 63, "before", 0.9, "recall", 0.5,
	    "forgotten", 1);
	json_t *two = json_pack("{s:i, s:i, s:f, s:f, s:b}", "class", 3,
	    "samples", 63, "before", wild ? 7.0 : 0.9, "recall", 0.9,
	    "forgotten", wild);

	fake_say(f, WIRE_METRIC, json_pack("{s:{s:i, s:{s:i, s:f, s:f, s:i, "
	    "s:[o, o]}}}", "metric", "step", 90, "knowledge", "classes",
	    wild ? -2 : 2, "before", 0.9, "recall", 0.7, "forgotten", 1,
	    "by_class", one, two));
	fake_say(f, WIRE_EVENT, json_pack("{s:s, s:s}", "kind", "forgotten",
	    "message", "forgotten at step 90: recall of a"));
}

static void
fake_act(struct fake *f, const char *word)
{
	struct stat st;

	if (strcmp(word, "mute") == 0)
		for (;;)
			pause();
	const bool slow = strcmp(word, "slow") == 0;
	for (int i = 0; slow && i < 100; i++) {
		fake_say(f, WIRE_ALIVE, json_object());
		usleep(20000);
	}
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
	if (f->sha256)
		fprintf(stderr, "--sha256\n");
	if (f->accept != NULL)
		fprintf(stderr, "--accept %s\n", f->accept);
	if (strcmp(word, "changed") == 0) {
		fake_say(f, WIRE_HELLO, json_pack("{s:i, s:b}", "version",
		    WIRE_VERSION, "refused", 1));
		fake_say(f, WIRE_FAILED, json_pack("{s:s, s:s, s:{s:s}}",
		    "reason", "data_changed", "message",
		    "the samples are others", "details", "was", "x"));
		_exit(4);
	}
	if (strcmp(word, "cold") == 0)
		f->from = "none";
	fake_hello(f);
	if (strcmp(word, "oom") == 0)
		fake_count_oom();
	if (strcmp(word, "crash") == 0 || strcmp(word, "oom") == 0)
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
	const bool wild = strcmp(word, "wild") == 0;
	if (wild || strcmp(word, "forgets") == 0) {
		f->step += 90;
		fake_forget(f, wild);
		fake_save(f, "");
		raise(SIGKILL);
	}
	bool bad = strcmp(word, "bad") == 0, full = strcmp(word, "full") == 0;
	if (bad || full || strcmp(word, "soft") == 0) {
		fake_say(f, WIRE_FAILED, json_pack("{s:s, s:s, s:b}", "reason",
		    bad ? "bad_data" : full ? "disk_full" : "io", "message",
		    bad ? "label 12 is out of range" : "cannot write",
		    "permanent", bad));
		_exit(1);
	}
	if (slow || strcmp(word, "ok") == 0) {
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
	alarm(300);              /* whatever a test does, none stays behind */
	signal(SIGPIPE, SIG_IGN);
	for (int i = 2; i + 1 < argc; i += 2) {
		const char *v = argv[i + 1];
		if (strcmp(argv[i], "--sha256") == 0)
			f.sha256 = i-- > 0;     /* it has no value */
		else if (strcmp(argv[i], "--attempt") == 0)
			f.attempt = atoll(v);
		else if (strcmp(argv[i], "--run-dir") == 0)
			f.dir = v;
		else if (strcmp(argv[i], "--from") == 0)
			f.from = v;
		else if (strcmp(argv[i], "--file") == 0)
			f.file[f.nfile++] = v;
		else if (strcmp(argv[i], "--accept") == 0)
			f.accept = v;
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

#endif
