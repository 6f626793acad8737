/* What the tests of the trainer share: tiny jobs, and running the program's
 * body in a process of its own, in the case's own directory. */
#ifndef TRAIN_HELP_H
#define TRAIN_HELP_H

#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "rekindle/train.h"
#include "inspect_help.h"

#define MAX_ARGS 32

__attribute__((unused)) static void
write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	t_check(f != NULL);
	fputs(text, f);
	fclose(f);
}

__attribute__((unused)) static char *
read_text(const char *path)
{
	char *s = NULL;
	size_t n;

	if (rk_read_file(AT_FDCWD, path, 64u << 20, &s, &n) != RK_OK)
		t_fail("cannot read %s", path);
	return s;
}

/* A file has these words. */
#define file_has(path, words)                                             \
	do {                                                              \
		char *t_text = read_text(path);                           \
		t_has(t_text, words);                                     \
		free(t_text);                                             \
	} while (0)

/* n rows of `features` numbers and a class that depends on them. */
__attribute__((unused)) static void
write_csv(const char *path, int n, int features, int classes)
{
	FILE *f = fopen(path, "w");
	t_check(f != NULL);
	for (int i = 0; i < n; i++) {
		double sum = 0;
		for (int k = 0; k < features; k++) {
			float x = rk_draw_normal(7, (uint32_t)features,
			    (uint32_t)k, (uint64_t)i);
			sum += x * (k % 3 - 1);
			fprintf(f, "%.4f,", x);
		}
		int c = (int)(sum + classes / 2.0);
		fprintf(f, "%d\n", c < 0 ? 0 : c >= classes ? classes - 1 : c);
	}
	fclose(f);
}

/* A job with batch norm and dropout: 45 samples, 6 steps an epoch, the last of
 * them smaller. */
#define TINY_HEAD                                                         \
	"name: tiny\n"                                                    \
	"resources: {threads: 2, memory: 64MiB}\n"
#define TINY_MODEL                                                        \
	"model:\n"                                                        \
	"  layers:\n"                                                     \
	"    - {type: linear, out: 12, name: fc1}\n"                      \
	"    - {type: batch_norm, name: bn}\n"                            \
	"    - {type: relu}\n"                                            \
	"    - {type: dropout, p: 0.3}\n"                                 \
	"    - {type: linear, out: 3, name: fc2}\n"
#define TINY_TRAINING                                                     \
	"training:\n"                                                     \
	"  epochs: 3\n"                                                   \
	"  batch_size: 8\n"                                               \
	"  log_every: 4\n"                                                \
	"  schedule: {type: step, step_size: 4, gamma: 0.5, "              \
	"warmup_steps: 3}\n"
#define TINY_DATA                                                         \
	"data:\n"                                                         \
	"  train: {type: csv, path: train.csv, label: -1}\n"              \
	"  validation: {type: csv, path: valid.csv, label: -1}\n"
#define TINY_CHECKPOINT                                                   \
	"checkpoint:\n"                                                   \
	"  every: {steps: 1}\n"                                           \
	"  keep: {last: 100, best: 1}\n"
#define TINY_ADAM "  optimizer: {type: adam, learning_rate: 0.01}\n"

__attribute__((unused)) static void
write_tiny(const char *path, const char *optimizer)
{
	char *text = xasprintf("%s%s%s%s%s%s", TINY_HEAD, TINY_MODEL,
	    TINY_TRAINING, optimizer, TINY_DATA, TINY_CHECKPOINT);

	write_file(path, text);
	free(text);
	write_csv("train.csv", 45, 5, 3);
	write_csv("valid.csv", 20, 5, 3);
}

/* What a run left: its exit code, and its output in "out" and "err". */
static pid_t
start(int wire_fd, const char *const *args)
{
	const char *argv[MAX_ARGS + 2] = { "rekindle-train" };
	int argc = 1;

	while (args[argc - 1] != NULL && argc <= MAX_ARGS) {
		argv[argc] = args[argc - 1];
		argc++;
	}
	fflush(NULL);
	pid_t p = fork();
	t_check(p >= 0);
	if (p > 0)
		return p;
	if (freopen("out", "w", stdout) == NULL ||
	    freopen("err", "w", stderr) == NULL)
		_exit(99);
	if (wire_fd >= 0 && wire_fd != WIRE_FD && dup2(wire_fd, WIRE_FD) < 0)
		_exit(98);
	struct train_options o;
	struct rk_why why = {0};
	char *copy[MAX_ARGS + 2];
	for (int i = 0; i < argc; i++)
		copy[i] = xstrdup(argv[i]);
	copy[argc] = NULL;
	int code = TRAIN_USAGE;
	if (train_options_parse(&o, argc, copy, &why) == RK_OK)
		code = train_main(&o);
	else
		fprintf(stderr, "%s\n", rk_why_first(&why));
	rk_why_fini(&why);
	train_options_fini(&o);
	for (int i = 0; i < argc; i++)
		free(copy[i]);
	exit(code);
}

__attribute__((unused)) static int
finish(pid_t p)
{
	int st = 0;

	t_check(waitpid(p, &st, 0) == p);
	if (WIFSIGNALED(st))
		t_fail("the trainer died of signal %d: %s", WTERMSIG(st),
		    read_text("err"));
	return WEXITSTATUS(st);
}

/* train("--run-dir", "a", "job.yaml") is the exit code. */
#define train(...) \
	finish(start(-1, (const char *const[]){ __VA_ARGS__, NULL }))
#define train_ok(...)                                                     \
	do {                                                              \
		int t_code = train(__VA_ARGS__);                          \
		if (t_code != 0)                                          \
			t_fail("exit %d: %s", t_code, read_text("err"));  \
	} while (0)

__attribute__((unused)) static void
same_bytes(const char *a, const char *b)
{
	char *x = NULL, *y = NULL;
	size_t n, m;

	if (rk_read_file(AT_FDCWD, a, 64u << 20, &x, &n) != RK_OK)
		t_fail("cannot read %s", a);
	if (rk_read_file(AT_FDCWD, b, 64u << 20, &y, &m) != RK_OK)
		t_fail("cannot read %s", b);
	if (n != m || memcmp(x, y, n) != 0)
		t_fail("%s and %s differ", a, b);
	free(x);
	free(y);
}

/* checkpoint.json, or a line of metrics.jsonl, as a tree. */
__attribute__((unused)) static json_t *
read_json(const char *path)
{
	char *s = read_text(path);
	json_t *v = NULL;

	t_check(rkj_parse_json(s, strlen(s), &v, NULL) == RK_OK);
	free(s);
	return v;
}

/* Weights, optimiser and numbers of two checkpoints are the same; but for the
 * best score so far, which a run that ended inside an epoch has one more of. */
__attribute__((unused)) static void
same_checkpoint(const char *a, const char *b)
{
	static const char *const files[] = {
		"model.safetensors", "optimizer.safetensors"
	};
	static const char *const parts[] = {
		"metrics", "state", "step", "epoch", "sample", "learning_rate"
	};
	char *p, *q;

	for (size_t i = 0; i < RK_ARRAY_LEN(files); i++) {
		p = xasprintf("%s/%s", a, files[i]);
		q = xasprintf("%s/%s", b, files[i]);
		if (access(p, R_OK) == 0 || access(q, R_OK) == 0)
			same_bytes(p, q);
		free(p);
		free(q);
	}
	p = xasprintf("%s/checkpoint.json", a);
	q = xasprintf("%s/checkpoint.json", b);
	json_t *x = read_json(p), *y = read_json(q);
	json_object_del(json_object_get(x, "state"), "best");
	json_object_del(json_object_get(y, "state"), "best");
	for (size_t i = 0; i < RK_ARRAY_LEN(parts); i++) {
		char *s = rkj_text(json_object_get(x, parts[i]));
		char *t = rkj_text(json_object_get(y, parts[i]));
		if (strcmp(s, t) != 0)
			t_fail("%s: %s of %s is %s, of %s %s", parts[i],
			    parts[i], a, s, b, t);
		free(s);
		free(t);
	}
	json_decref(x);
	json_decref(y);
	free(p);
	free(q);
}

/* job.yaml with these overrides, killed after some milliseconds, over and over,
 * on one thread and two in turn, until it ends by itself. */
#define KILLED_SETS 4
__attribute__((unused)) static void
kill_until_it_ends(const char *run_dir, const char *const sets[KILLED_SETS])
{
	const char *args[2 * KILLED_SETS + 6] = { "--run-dir", run_dir,
	    "--threads", NULL };
	int n = 4;

	for (int k = 0; k < KILLED_SETS && sets[k] != NULL; k++) {
		args[n++] = "--set";
		args[n++] = sets[k];
	}
	args[n] = "job.yaml";
	for (int i = 0;; i++) {
		args[3] = i % 2 ? "1" : "2";
		pid_t p = start(-1, args);
		usleep((useconds_t)(5000 + 2500 * i));
		kill(p, SIGKILL);
		int st = 0;
		waitpid(p, &st, 0);
		if (WIFEXITED(st)) {
			t_eq_int(WEXITSTATUS(st), 0);
			return;
		}
		t_check(i < 400);
	}
}

/* checkpoint.json of a step in r, as a tree. */
__attribute__((unused)) static json_t *
info_of(const char *dir)
{
	char *path = xasprintf("r/checkpoints/%s/checkpoint.json", dir);
	json_t *v = read_json(path);

	free(path);
	return v;
}

/* How often a word occurs in a file. */
__attribute__((unused)) static int
count_in(const char *path, const char *word)
{
	char *s = read_text(path);
	int n = 0;

	for (char *p = s; (p = strstr(p, word)) != NULL; p += strlen(word))
		n++;
	free(s);
	return n;
}

#endif
