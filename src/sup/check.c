/*
 * What a job would be refused for, before it is submitted; and what a file of
 * weights says that an address leads to (inspect.c).
 *
 * What can be told from the job alone is told at once.  The rest a trainer
 * finds out (rekindle-train --check): it reads the data, builds the network,
 * plans the warm start, and prints what it thinks, in a process of its own:
 *
 *	FETCHING ──all is here──▶ RUNNING ──it ends──▶ answered
 *	    └───────────── time is up, or never ─────────▲
 *
 * At most CHECKS_MAX at a time, each for CHECK_MS and with CHECK_CPU_S seconds
 * of a processor, less of it than the daemon has, and the first to go when
 * memory is short.  What it prints goes to files under STATE/checks, which are
 * gone with the answer; a folder there that a dead daemon left is removed at
 * the next start.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#define CHECKS_MAX  4
#define CHECK_MS    120000
#define CHECK_CPU_S 300
#define FETCH_MS    200         /* until it is asked again */
#define ERR_MAX     (64u << 10)

static char *
checks_dir(const struct sup *s)
{
	return xasprintf("%s/checks", s->c.state_dir);
}

static void
check_free(struct check *c)
{
	struct check **p = &c->s->checks;

	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	if (c->pid > 0) {
		(void)kill(-c->pid, SIGKILL);
		while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (c->s->up.gone != NULL)
		c->s->up.gone(c->s->up.ctx, c->row.id);
	if (c->dir != NULL)
		(void)!rk_remove_tree(AT_FDCWD, c->dir);
	loop_timer_del(&c->timer);
	store_job_fini(&c->row);
	spec_free(c->spec);
	suggest_free(c->suggest);
	json_decref(c->files);
	free(c->address);
	free(c->form);
	free(c->form_spec);
	free(c->dir);
	free(c);
}

void
check_answer(struct check *c, enum rk_err rc, const json_t *said,
    const struct rk_why *why)
{
	sup_check_fn *fn = c->fn;
	sup_weights_fn *bytes = c->bytes;
	void *ctx = c->ctx;
	const int fd = bytes != NULL && rc == RK_OK ? inspect_bytes(c) : -1;
	const enum rk_err opened = fd < 0 && rc == RK_OK ? RK_EIO : rc;

	check_free(c);
	if (fn != NULL)
		fn(ctx, rc, said, why);
	else if (bytes != NULL)
		bytes(ctx, opened, fd, why);
}

void
check_answer_text(struct check *c, enum rk_err rc, const char *text)
{
	struct rk_why why = { 0 };

	rk_refuse(&why, "%s", text);
	check_answer(c, rc, NULL, &why);
	rk_why_fini(&why);
}

/* --- the process ---------------------------------------------------------- */

char *
check_read(const struct check *c, const char *name, size_t max)
{
	char *path = xasprintf("%s/%s", c->dir, name), *text = NULL;
	size_t len;

	if (rk_read_file(AT_FDCWD, path, max, &text, &len) != RK_OK)
		text = NULL;
	free(path);
	return text;
}

/* The last line that it wrote to standard error. */
char *
check_last_words(const struct check *c, int status)
{
	char *text = check_read(c, "err", ERR_MAX);
	size_t len = text != NULL ? strlen(text) : 0;

	while (len > 0 && text[len - 1] == '\n')
		text[--len] = '\0';
	const char *line = len > 0 ? strrchr(text, '\n') : NULL;
	char *s = len > 0 ? xasprintf("%s%s", c->address != NULL ? "" :
	    "the trainer could not check it: ",
	    line != NULL ? line + 1 : text) : WIFSIGNALED(status) ?
	    xasprintf("the trainer that checked it was killed by signal %d",
	    WTERMSIG(status)) : xstrdup("the trainer could not check it");
	free(text);
	return rk_text_clean(s);
}

static bool
is_answer(struct check *c, json_t *said)
{
	return c->suggest != NULL ? suggest_answers(c, said) :
	    json_is_boolean(json_object_get(said, "accepted"));
}

static void
on_exit_of(void *ctx, pid_t pid, int status)
{
	struct check *c = ctx;
	json_t *said = NULL;

	(void)pid;
	c->pid = 0;
	if (c->late) {
		check_answer_text(c, RK_ETIMEDOUT, c->address != NULL ?
		    "the file was not read within two minutes" : "the job was "
		    "not checked within two minutes: its data are slow to "
		    "read, or too many");
		return;
	}
	if (c->address != NULL) {
		inspect_ended(c, status);
		return;
	}
	char *text = check_read(c, "out", RKJ_MAX_BYTES);
	if (text != NULL && rkj_parse_json(text, strlen(text), &said, NULL) ==
	    RK_OK && is_answer(c, said)) {
		json_incref(said);
		check_answer(c, RK_OK, said, NULL);
		json_decref(said);
	} else {
		char *words = check_last_words(c, status);
		check_answer_text(c, RK_EIO, words);
		free(words);
	}
	json_decref(said);
	free(text);
}

int
check_spawn(struct check *c, const char *const *argv)
{
	static const char *const names[] = { NULL, "out", "err" };
	/* But a tar or a .gz that it unpacks is larger. */
	const bool small = c->spec != NULL &&
	    c->spec->data.train.type != SPEC_IMAGE_FOLDER;
	struct spawn_how how = { .argv = argv, .nfds = 3, .fds = { -1, -1, -1 },
		.cpu_s = CHECK_CPU_S,
		.file_bytes = small ? 2 * RKJ_MAX_BYTES : 0 };
	int e = 0;

	for (int i = 1; i < 3 && e == 0; i++) {
		char *path = xasprintf("%s/%s", c->dir, names[i]);
		how.fds[i] = open(path, O_WRONLY | O_CREAT | O_TRUNC |
		    O_CLOEXEC, 0640);
		e = how.fds[i] < 0 ? errno : 0;
		free(path);
	}
	if (e == 0)
		e = spawn_trainer(c->s, &how, &c->pid);
	rk_close(&how.fds[1]);
	rk_close(&how.fds[2]);
	return e;
}

static int
launch(struct check *c, const char *file)
{
	char memory[24], *files[SPEC_ADDRESSES + 1];
	const char *argv[16 + 2 * (SPEC_ADDRESSES + 1)];
	char *candidates = c->suggest != NULL ? suggest_path(c) : NULL;
	int n = 0, nfiles = spawn_files(c->files, files);

	snprintf(memory, sizeof(memory), "%llu",
	    (unsigned long long)RK_MIN(c->s->c.memory, INT64_MAX));
	argv[n++] = candidates != NULL ? "--suggest" : "--check";
	if (candidates != NULL)
		argv[n++] = candidates;
	argv[n++] = "--job";
	argv[n++] = c->row.id;
	argv[n++] = "--threads";
	argv[n++] = "1";
	argv[n++] = "--memory";
	argv[n++] = memory;
	for (int i = 0; i < nfiles; i++) {
		argv[n++] = "--file";
		argv[n++] = files[i];
	}
	argv[n++] = file;
	argv[n] = NULL;
	const int e = check_spawn(c, argv);
	for (int i = 0; i < nfiles; i++)
		free(files[i]);
	free(candidates);
	return e;
}

/* The job, as a file in its folder, and who reads it. */
static enum rk_err
launch_job(struct check *c, int *e, struct rk_why *why)
{
	json_t *tree = NULL;
	enum rk_err rc = rkj_parse_json(c->row.spec, strlen(c->row.spec),
	    &tree, why);

	if (rc == RK_OK)
		rc = write_job_file(c->dir, tree);
	if (rc == RK_OK && c->suggest != NULL)
		rc = suggest_write(c);
	if (rc == RK_OK) {
		char *file = xasprintf("%s/job.json", c->dir);
		*e = launch(c, file);
		free(file);
	}
	json_decref(tree);
	return rc;
}

/* Its folder; then the process. */
static enum rk_err
begin(struct check *c, struct rk_why *why)
{
	char *dir = checks_dir(c->s);
	int e = 0;

	c->dir = xasprintf("%s/%s", dir, c->row.id);
	free(dir);
	enum rk_err rc = rk_mkdirs(c->dir, 0750);
	if (rc == RK_OK && c->address != NULL)
		e = inspect_launch(c);
	else if (rc == RK_OK)
		rc = launch_job(c, &e, why);
	if (rc == RK_OK && e != 0) {
		rk_refuse(why, "cannot start %s: %s", c->s->c.trainer,
		    strerror(e));
		rc = rk_from_errno(e);
	}
	if (rc == RK_OK)
		rc = loop_child(c->s->loop, c->pid, on_exit_of, c);
	if (rc != RK_OK && why->n == 0)
		rk_refuse(why, "cannot have it checked: %s", rk_strerror(rc));
	return rc;
}

/* --- what goes before ----------------------------------------------------- */

enum rk_err
check_model(struct check *c, struct rk_why *why)
{
	const char *uri = c->spec->model.checkpoint;
	enum rk_err rc = RK_OK;
	char *path = NULL;
	struct rk_uri u;

	if (uri == NULL || json_object_get(c->files, uri) != NULL ||
	    rk_uri_parse(&u, uri, NULL) != RK_OK)
		return RK_OK;
	if (u.kind == RK_URI_JOB)
		rc = job_uri_resolve(c->s, uri, &path, NULL, why);
	if (path != NULL)
		json_object_set_new(c->files, uri, json_string(path));
	rk_uri_fini(&u);
	free(path);
	return rc;
}

/* Nobody answers where its bytes are: instead of what it waits for, why says
 * so. */
static bool
in_vain(const struct check *c, struct rk_why *why)
{
	const struct sup_supplier *up = &c->s->up;
	struct rk_why own = { 0 };
	bool yes = up->silent != NULL && up->silent(up->ctx, c->row.id,
	    c->since_ms, &own);

	if (yes) {
		rk_why_fini(why);
		*why = own;
	}
	return yes;
}

/* All that the process is to read; RK_EBUSY: not yet. */
static enum rk_err
gather(struct check *c, struct rk_why *why)
{
	const char *reason;

	enum rk_err rc = c->address != NULL ? inspect_fetch(c, why) :
	    supply_ask(c->s, &c->row, c->spec, c->files, &reason, why);
	if (c->suggest != NULL) {
		rc = suggest_supply(c, rc, why);
		return rc == RK_OK ? suggest_fetch(c) : rc;
	}
	if (rc == RK_OK && c->address == NULL)
		rc = check_model(c, why);
	if (rc == RK_EBUSY && in_vain(c, why))
		rc = RK_ETIMEDOUT;
	return rc;
}

static void
check_step(void *ctx)
{
	struct check *c = ctx;
	struct rk_why why = { 0 };
	const bool late = mono_ms() >= c->until_ms;

	if (c->pid > 0) {
		c->late = true;
		(void)kill(-c->pid, SIGKILL);
		return;
	}
	if (c->fn == NULL && c->bytes == NULL) {
		check_free(c);
		return;
	}
	enum rk_err rc = gather(c, &why);
	if (rc == RK_OK)
		rc = begin(c, &why);
	if (rc == RK_OK)
		loop_timer_at(c->timer, c->until_ms);
	else if (rc == RK_EBUSY && !late)
		loop_timer_at(c->timer, mono_ms() + FETCH_MS);
	else
		check_answer(c, rc == RK_EBUSY ? RK_ETIMEDOUT : rc, NULL, &why);
	rk_why_fini(&why);
}

/* One more, if there may be. */
enum rk_err
check_new(struct sup *s, sup_check_fn *fn, void *ctx, struct check **out,
    struct rk_why *why)
{
	size_t n = 0;

	for (const struct check *c = s->checks; c != NULL; c = c->next)
		n++;
	if (n >= CHECKS_MAX) {
		rk_refuse(why, "%zu jobs and files are being checked, which is "
		    "as many as may be at a time: ask again", n);
		return RK_ELIMIT;
	}
	struct check *c = xcalloc(1, sizeof(*c));
	*c = (struct check){ .s = s, .next = s->checks, .fn = fn, .ctx = ctx,
		.since_ms = mono_ms(), .until_ms = mono_ms() + CHECK_MS,
		.files = json_object() };
	s->checks = c;
	rk_id_new(c->row.id);
	c->timer = loop_timer_add(s->loop, check_step, c);
	loop_timer_at(c->timer, mono_ms());
	*out = c;
	return RK_OK;
}

enum rk_err
check_spec(struct sup *s, const struct spec *spec, int64_t within_ms,
    sup_check_fn *fn, void *ctx, struct rk_why *why)
{
	json_t *tree = spec_json(spec);
	struct check *c;
	char id[RK_ID];

	must_be(s, SUP_TAG);
	enum rk_err rc = check_job(s, spec, tree, why);
	if (rc == RK_OK)
		rc = check_new(s, fn, ctx, &c, why);
	if (rc == RK_OK) {
		c->until_ms = mono_ms() + within_ms;
		memcpy(id, c->row.id, RK_ID);
		submit_row(&c->row, spec, tree);
		memcpy(c->row.id, id, RK_ID);
		/* As it will be stored: job:// with the job's id. */
		must(spec_parse(tree, &c->spec, NULL) == RK_OK);
	}
	json_decref(tree);
	return rc;
}

enum rk_err
sup_check(struct sup *s, const struct spec *spec, sup_check_fn *fn, void *ctx,
    struct rk_why *why)
{
	return check_spec(s, spec, CHECK_MS, fn, ctx, why);
}

void
sup_check_forget(struct sup *s, const void *ctx)
{
	for (struct check *c = s->checks; c != NULL; c = c->next) {
		if ((c->fn == NULL && c->bytes == NULL) || c->ctx != ctx)
			continue;
		c->fn = NULL;
		c->bytes = NULL;
		if (c->pid > 0)
			(void)kill(-c->pid, SIGKILL);
		c->until_ms = 0;
	}
}

void
checks_sweep(struct sup *s)
{
	char *dir = checks_dir(s);

	(void)!rk_remove_tree(AT_FDCWD, dir);
	free(dir);
}

void
checks_fini(struct sup *s)
{
	s->up.gone = NULL;              /* who is above us may be no more */
	while (s->checks != NULL)
		check_free(s->checks);
}
