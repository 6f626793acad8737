/* The trainer at the wire: what it says, what it obeys. */
#include <poll.h>
#include <sys/file.h>

#include "rekindle/wire.h"
#include "report.h"
#include "train_help.h"

struct daemon {
	struct wire *w;
	pid_t p;
	int plans, events, metrics, progresses, alives;
};

static struct daemon
spawn(const char *const *args)
{
	struct daemon d = {0};
	int sv[2];

	t_check(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
	rk_set_cloexec(sv[0], true);
	/* The child must not hold our end, or it would never see us go. */
	fflush(NULL);
	d.p = fork();
	if (d.p == 0) {
		close(sv[0]);
		_exit(finish(start(sv[1], args)));
	}
	close(sv[1]);
	d.w = wire_new(sv[0]);
	return d;
}

static void
say(struct daemon *d, enum wire_type type, json_t *m)
{
	t_check(wire_send(d->w, type, m) == RK_OK);
}

/* The next message of a type, counting what passes; false when it has gone. */
static bool
hear(struct daemon *d, enum wire_type want, struct wire_msg *m)
{
	const int64_t end = mono_ms() + 1000 * (int64_t)t_limit(30);
	struct rk_why why = {0};
	enum rk_err rc;
	bool gone = false;

	for (;;) {
		while (wire_next(d->w, m, &rc, &why)) {
			if (rc != RK_OK)
				t_fail("nonsense: %s", rk_why_first(&why));
			d->plans += m->type == WIRE_PLAN;
			d->alives += m->type == WIRE_ALIVE;
			d->events += m->type == WIRE_EVENT;
			d->metrics += m->type == WIRE_METRIC;
			d->progresses += m->type == WIRE_PROGRESS;
			if (m->type == want)
				return true;
			if (m->type == WIRE_FAILED)
				t_fail("failed: %s", m->message);
			wire_msg_fini(m);
		}
		if (mono_ms() > end)
			t_fail("no %s in 30 s", wire_words[want]);
		if (gone)
			return false;
		wire_wait(d->w, 100);
		gone = wire_fill(d->w) != RK_OK;
	}
}

/* The peak of what it says that the learning rate follows. */
static double
greet(struct daemon *d)
{
	struct wire_msg m;

	t_check(hear(d, WIRE_HELLO, &m));
	const double peak = json_number_value(json_object_get(m.schedule,
	    "learning_rate"));
	t_eq_int(m.version, WIRE_VERSION);
	t_check(m.parameters == 135 || m.parameters == 267267);
	t_eq_int(d->events, 0);
	wire_msg_fini(&m);
	say(d, WIRE_HELLO, json_pack("{s:i}", "version", WIRE_VERSION));
	return peak;
}

static void
bye(struct daemon *d, int code)
{
	wire_free(&d->w);
	t_eq_int(finish(d->p), code);
}

/* A daemon has stored the arithmetic of a new job with it. */
#define ARGS(...) \
	(const char *const[]){ "--wire", "--run-dir", "r", "--set", \
	    "training.arithmetic=fast", __VA_ARGS__, "job.yaml", NULL }
#define LONG "--set", "training.epochs=1000000"

/* What holds it up is another's lock, which it looks at again and again. */
T_CASE(a_trainer_that_works_before_hello_says_so)
{
	struct wire_msg m;

	write_tiny("job.yaml", TINY_ADAM);
	t_check(mkdir("r", 0755) == 0);
	int fd = open("r/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	t_check(fd >= 0 && flock(fd, LOCK_EX) == 0);
	struct daemon d = spawn(ARGS("--attempt", "1"));
	for (int i = 0; i < 2; i++) {
		t_check(hear(&d, WIRE_ALIVE, &m));
		wire_msg_fini(&m);
	}
	t_check(flock(fd, LOCK_UN) == 0);
	close(fd);
	greet(&d);
	const int before = d.alives;
	t_check(hear(&d, WIRE_DONE, &m));
	wire_msg_fini(&m);
	t_eq_int(d.alives, before);
	bye(&d, 0);
}

/* How often it is said within two seconds, while this thread works or not. */
static int
alives_of_two_seconds(bool works)
{
	const int64_t end = mono_ms() + 2000;
	struct wire_msg m;
	struct rk_why why = {0};
	enum rk_err rc;
	int sv[2], n = 0;

	t_check(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
	struct wire *its = wire_new(sv[0]), *ours = wire_new(sv[1]);
	struct alive *a = alive_start(its);
	if (works)
		while (mono_ms() < end && !wire_wait(ours, 0))
			continue;
	else
		usleep(2000000);
	alive_stop(&a);
	t_check(a == NULL);
	t_check(wire_fill(ours) == RK_OK);
	while (wire_next(ours, &m, &rc, &why)) {
		t_check(rc == RK_OK && m.type == WIRE_ALIVE);
		wire_msg_fini(&m);
		n++;
	}
	wire_free(&its);
	wire_free(&ours);
	return n;
}

/* What was done before may be told of once, and on a slow machine in two
 * pieces. */
T_CASE(a_trainer_that_hangs_is_silent)
{
	t_check(alives_of_two_seconds(true) >= 1);
	t_check(alives_of_two_seconds(false) <= 2);
}

T_CASE(a_whole_job_is_told)
{
	struct wire_msg m;

	write_tiny("job.yaml", TINY_ADAM);
	struct daemon d = spawn(ARGS("--job", "01arz3ndektsv4rrffq69g5fav",
	    "--attempt", "7"));
	greet(&d);
	t_check(hear(&d, WIRE_CHECKPOINT, &m));
	t_check(m.step > 0 && m.bytes > 0 && strlen(m.digest) == 64);
	wire_msg_fini(&m);
	t_check(hear(&d, WIRE_DONE, &m));
	t_eq_int(m.outcome, WIRE_SUCCEEDED);
	t_eq_int(m.step, 18);
	t_eq_str(m.checkpoint, "step-000000018");
	t_check(json_is_number(json_object_get(m.metrics, "val_accuracy")));
	wire_msg_fini(&m);
	t_check(d.events > 0);
	t_eq_int(d.metrics, 4 + 6);
	bye(&d, 0);
	json_t *c = read_json("r/checkpoints/step-000000018/checkpoint.json");
	t_eq_str(json_string_value(json_object_get(c, "job")),
	    "01arz3ndektsv4rrffq69g5fav");
	t_eq_int(json_integer_value(json_object_get(c, "attempt")), 7);
	json_decref(c);
	t_eq_int(count_in("r/metrics.jsonl", "\"attempt\":7"), 10);
}

T_CASE(a_stored_job_that_does_not_say_its_arithmetic_is_exact)
{
	static const char *const args[][5] = {
		{ "--wire", "--run-dir", "r", "job.yaml" },
		{ "--wire", "--set", "training.arithmetic=fast", "job.yaml" },
	};

	write_tiny("job.yaml", TINY_ADAM);
	for (int i = 0; i < 2; i++) {
		struct daemon d = spawn(args[i]);
		struct wire_msg m;
		t_check(hear(&d, WIRE_HELLO, &m));
		t_eq_str(json_string_value(json_object_get(m.arithmetic,
		    "mode")), i == 0 ? "exact" : "fast");
		t_eq_str(json_string_value(json_object_get(m.arithmetic,
		    "identity")), TRAIN_IDENTITY);
		wire_msg_fini(&m);
		say(&d, WIRE_HELLO, json_pack("{s:i}", "version",
		    WIRE_VERSION));
		t_check(hear(&d, WIRE_DONE, &m));
		wire_msg_fini(&m);
		bye(&d, 0);
	}
}

T_CASE(a_checkpoint_by_name_is_taken_at_the_next_step)
{
	struct wire_msg m;

	write_tiny("job.yaml", TINY_ADAM);
	struct daemon d = spawn(ARGS(LONG, "--set",
	    "checkpoint.every.steps=1000000"));
	greet(&d);
	say(&d, WIRE_CHECKPOINT, json_pack("{s:s}", "name", "before-lunch"));
	char *dir = NULL;
	while (dir == NULL && hear(&d, WIRE_CHECKPOINT, &m)) {
		if (strcmp(m.name, "before-lunch") == 0)
			dir = xasprintf("r/checkpoints/%s", m.checkpoint);
		wire_msg_fini(&m);
	}
	char to[128] = "";
	t_check(readlink("r/checkpoints/before-lunch", to,
	    sizeof(to) - 1) > 0);
	t_check(dir != NULL && strstr(dir, to) != NULL);
	free(dir);
	/* Two at a time: the second finds the weights saved, or later ones. */
	say(&d, WIRE_CHECKPOINT, json_pack("{s:s}", "name", "a"));
	say(&d, WIRE_CHECKPOINT, json_pack("{s:s}", "name", "b"));
	for (int n = 0; n < 2 && hear(&d, WIRE_CHECKPOINT, &m);) {
		n += strcmp(m.name, "a") == 0 || strcmp(m.name, "b") == 0;
		wire_msg_fini(&m);
	}
	/* A name that cannot be is not obeyed, and harms nobody. */
	say(&d, WIRE_CHECKPOINT, json_pack("{s:s}", "name", "latest"));
	say(&d, WIRE_STOP, json_pack("{s:i}", "deadline_seconds", 20));
	t_check(hear(&d, WIRE_DONE, &m));
	t_eq_int(m.outcome, WIRE_STOPPED);
	wire_msg_fini(&m);
	bye(&d, 0);
	t_check(access("r/checkpoints/b/checkpoint.json", R_OK) == 0);
	t_check(access("r/checkpoints/latest", F_OK) != 0);
}

T_CASE(paused_over_and_over_it_ends_the_same)
{
	struct wire_msg m;

	write_tiny("job.yaml", TINY_ADAM);
	train_ok("--run-dir", "whole", "job.yaml");
	int rounds = 0;
	for (bool done = false; !done; rounds++) {
		struct daemon d = spawn(ARGS("--set",
		    "checkpoint.every.steps=100"));
		greet(&d);
		say(&d, WIRE_PAUSE, json_pack("{s:i}", "deadline_seconds", 9));
		t_check(hear(&d, WIRE_DONE, &m));
		done = m.outcome == WIRE_SUCCEEDED;
		wire_msg_fini(&m);
		bye(&d, 0);
		t_check(rounds < 100);
	}
	same_checkpoint("whole/checkpoints/step-000000018",
	    "r/checkpoints/step-000000018");
}

/* Two epochs of one step, and a second of evaluation behind each. */
static const char long_evaluation[] = TINY_HEAD
    "model: {arch: mlp, sizes: [5, 512, 512, 3]}\n"
    "training:\n"
    "  epochs: 2\n"
    "  batch_size: 8\n"
    "  log_every: 1\n"
    "  ema: {decay: 0.5}\n"
    "  schedule: {type: reduce_on_plateau, patience: 0, threshold: 1}\n"
    TINY_DATA
    "checkpoint: {keep: {metric: val_loss}}\n";

T_CASE(an_evaluation_that_was_cut_short_is_neither_best_nor_judged)
{
	const char *cut = "r/checkpoints/step-000000001/checkpoint.json";
	struct wire_msg m;

	write_file("job.yaml", long_evaluation);
	write_csv("train.csv", 8, 5, 3);
	write_csv("valid.csv", 80000, 5, 3);
	train_ok("--run-dir", "whole", "job.yaml");
	struct daemon d = spawn(ARGS("--threads", "1"));
	greet(&d);
	/* The step's line; the evaluation is next. */
	t_check(hear(&d, WIRE_METRIC, &m));
	wire_msg_fini(&m);
	say(&d, WIRE_PAUSE, json_pack("{s:i}", "deadline_seconds", 1));
	t_check(hear(&d, WIRE_DONE, &m));
	t_eq_int(m.outcome, WIRE_PAUSED);
	wire_msg_fini(&m);
	bye(&d, 0);
	json_t *v = read_json(cut), *s = json_object_get(v, "state");
	json_t *w = read_json("whole/checkpoints/step-000000001/"
	    "checkpoint.json");
	if (json_equal(json_object_get(s, "valid"), json_object_get(
	    json_object_get(w, "state"), "valid")))
		t_skip("the evaluation was over in half a second");
	json_decref(w);
	t_eq_int(json_integer_value(json_object_get(s, "scored")), -1);
	t_check(json_object_get(s, "best") == NULL);
	json_t *p = json_object_get(json_object_get(s, "schedule"),
	    "plateau");
	t_check(p != NULL && json_object_get(p, "best") == NULL);
	json_decref(v);
	/* It is made up for, once. */
	train_ok("--run-dir", "r", "job.yaml");
	same_checkpoint("whole/checkpoints/step-000000002",
	    "r/checkpoints/step-000000002");
}

T_CASE(a_daemon_that_goes_leaves_a_checkpoint_behind)
{
	struct wire_msg m;

	write_tiny("job.yaml", TINY_ADAM);
	struct daemon d = spawn(ARGS(LONG, "--set",
	    "checkpoint.every.steps=1000000"));
	greet(&d);
	t_check(hear(&d, WIRE_PROGRESS, &m));
	wire_msg_fini(&m);
	bye(&d, 0);
	DIR *dir = opendir("r/checkpoints");
	int n = 0;
	for (struct dirent *e; (e = readdir(dir)) != NULL;)
		n += strncmp(e->d_name, "step-", 5) == 0;
	closedir(dir);
	t_check(n >= 1);
	/* And it did leave: the last of a million epochs is not there. */
	t_check(access("r/checkpoints/step-006000000", F_OK) != 0);
}

T_CASE(a_daemon_that_has_gone_before_the_greeting_is_left_alone)
{
	write_tiny("job.yaml", TINY_ADAM);
	struct daemon d = spawn(ARGS("--attempt", "1"));
	bye(&d, 0);
	t_check(access("r/checkpoints/step-000000001", F_OK) != 0);
}

T_CASE(a_daemon_of_another_version_is_not_worked_for)
{
	struct wire_msg m;

	write_tiny("job.yaml", TINY_ADAM);
	struct daemon d = spawn(ARGS("--attempt", "1"));
	t_check(hear(&d, WIRE_HELLO, &m));
	wire_msg_fini(&m);
	say(&d, WIRE_HELLO, json_pack("{s:i}", "version", 99));
	t_check(hear(&d, WIRE_FAILED, &m));
	t_has(m.message, "99");
	wire_msg_fini(&m);
	bye(&d, TRAIN_FAILED);
}

T_CASE(a_job_that_cannot_be_is_greeted_and_failed)
{
	struct wire_msg m;

	write_tiny("job.yaml", TINY_ADAM);
	struct daemon d = spawn(ARGS("--set", "training.batch_size=-1"));
	t_check(hear(&d, WIRE_HELLO, &m));
	wire_msg_fini(&m);
	t_check(hear(&d, WIRE_FAILED, &m));
	t_eq_str(m.reason, "bad_spec");
	t_check(m.permanent);
	t_has(m.message, "training.batch_size");
	wire_msg_fini(&m);
	bye(&d, TRAIN_REFUSED);
}

T_CASE(a_warm_start_is_told_with_its_plan)
{
	struct wire_msg m;

	write_tiny("job.yaml", TINY_ADAM);
	train_ok("--run-dir", "a", "job.yaml");
	struct daemon d = spawn(ARGS("--model",
	    "a/checkpoints/step-000000018/model.safetensors"));
	t_near(greet(&d), 0.2 * 0.01, 1e-12);
	t_check(hear(&d, WIRE_PLAN, &m));
	t_has(m.summary, "loaded 8 of 8 tensors");
	t_eq_int(json_array_size(json_object_get(m.plan, "tensors")), 8);
	wire_msg_fini(&m);
	t_check(hear(&d, WIRE_DONE, &m));
	wire_msg_fini(&m);
	bye(&d, 0);
}

T_CASE(nonsense_from_the_daemon_is_not_obeyed)
{
	struct wire_msg m;

	write_tiny("job.yaml", TINY_ADAM);
	struct daemon d = spawn(ARGS(LONG));
	greet(&d);
	static const char junk[] = "{\"type\":\"pause\"}\n[]\nxyz\n"
	    "{\"type\":\"dance\"}\n";
	t_check(write(wire_fd(d.w), junk, sizeof(junk) - 1) > 0);
	t_check(hear(&d, WIRE_PROGRESS, &m));
	wire_msg_fini(&m);
	say(&d, WIRE_PAUSE, json_pack("{s:i}", "deadline_seconds", 9));
	t_check(hear(&d, WIRE_DONE, &m));
	t_eq_int(m.outcome, WIRE_PAUSED);
	wire_msg_fini(&m);
	bye(&d, 0);
}

T_MAIN
