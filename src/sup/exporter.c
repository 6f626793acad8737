/*
 * A checkpoint in another form, as it is made.
 *
 * The daemon converts nothing: `rekindle-train --export` (train.h) does, in a
 * process of its own that writes to a pipe, first a line with the size, then
 * the file.  So what a model's names and shapes come to is nobody's memory but
 * that process's, and nothing is written to the disk: a full one is no reason
 * not to get a model off it.
 *
 *	BEGUN ──the line──▶ SENDS ──the last byte──▶ (the reader ends it)
 *	  └──────── it ends too early, or time is up ────────▲
 *
 * The pipe is read when the reader wants more, and watched only while that
 * waits; a reader that is slow makes the process wait.  The process has the
 * checkpoint's files open by the time of its line: who deletes the checkpoint
 * then takes nothing away.  At most EXPORTS_MAX at a time, each with
 * EXPORT_CPU_S seconds of a processor, and killed where it says nothing for
 * EXPORT_MS while somebody waits for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "impl.h"

#define EXPORTS_MAX  4
#define EXPORT_MS    120000
#define EXPORT_CPU_S 600
#define LINE_MAX     4096
#define PIPE_BYTES   (1 << 20)

struct sup_export {
	struct sup_export *next;
	struct sup *s;
	char id[RK_ID];                 /* of this one, for the process table */
	char *dir;                      /* a folder that was made for it; or
	                                   NULL */
	uint64_t from;                  /* the first byte that is wanted */
	pid_t pid;                      /* 0: it has gone */
	int fd;                         /* the pipe; -1 */
	struct loop_fd *watch;          /* while somebody waits */
	struct loop_timer *timer;
	bool ended;                     /* by its reader; only the process is
	                                   still to be seen off */
	sup_export_fn *begun;           /* until the line has come */
	sup_export_ready_fn *ready;     /* while somebody waits for bytes */
	void *ctx;
	/* What came before it was asked for: the line, and what follows. */
	char line[LINE_MAX];
	size_t have, given;
};

struct export_ask {
	uint64_t from;
	sup_export_fn *begun;
	void *ctx;
};

static void
unwatch(struct sup_export *e)
{
	loop_fd_del(&e->watch);
	loop_timer_off(e->timer);
}

static void
export_free(struct sup_export *e)
{
	struct sup_export **p = &e->s->exports;

	while (*p != e)
		p = &(*p)->next;
	*p = e->next;
	unwatch(e);
	rk_close(&e->fd);
	loop_timer_del(&e->timer);
	if (e->dir != NULL)
		(void)!rk_remove_tree(AT_FDCWD, e->dir);
	free(e->dir);
	free(e);
}

static void
on_exit_of(void *ctx, pid_t pid, int status)
{
	struct sup_export *e = ctx;

	(void)pid;
	(void)status;
	e->pid = 0;
	if (e->ended)
		export_free(e);
}

void
sup_export_end(struct sup_export **ep)
{
	struct sup_export *e = *ep;

	*ep = NULL;
	if (e == NULL)
		return;
	e->ended = true;
	e->begun = NULL;
	e->ready = NULL;
	unwatch(e);
	rk_close(&e->fd);
	if (e->pid > 0)
		(void)kill(-e->pid, SIGKILL);
	else
		export_free(e);
}

/* --- its line ------------------------------------------------------------- */

/* Takes what begun() is owed; it may end e. */
static void
tell(struct sup_export *e, enum rk_err rc, uint64_t bytes, const char *text)
{
	sup_export_fn *fn = e->begun;
	struct rk_why why = { 0 };

	e->begun = NULL;
	unwatch(e);
	if (text != NULL)
		rk_refuse(&why, "%s", text);
	if (fn != NULL)
		fn(e->ctx, rc, bytes, &why);
	rk_why_fini(&why);
}

static void
tell_refusal(struct sup_export *e, const json_t *said)
{
	static const struct {
		const char *reason;
		enum rk_err rc;
	} reasons[] = {
		{ "no_form", RK_ECONFLICT }, { "gone", RK_ENOENT },
		{ "bad_checkpoint", RK_ECORRUPT }, { "io", RK_EIO },
		{ "no_memory", RK_ENOMEM },
	};
	const char *text = json_string_value(json_object_get(said, "refused"));
	const char *reason = json_string_value(json_object_get(said,
	    "reason"));
	enum rk_err rc = RK_EIO;

	for (size_t k = 0; reason != NULL && k < RK_ARRAY_LEN(reasons); k++)
		if (strcmp(reasons[k].reason, reason) == 0)
			rc = reasons[k].rc;
	tell(e, rc, 0, text != NULL ? text :
	    "the trainer that exports it says nothing of use");
}

static void
read_head(struct sup_export *e, size_t len)
{
	json_t *said = NULL;
	const json_t *bytes;

	e->given = len + 1;
	if (rkj_parse_json(e->line, len, &said, NULL) != RK_OK)
		said = NULL;
	bytes = json_object_get(said, "bytes");
	if (json_is_integer(bytes) && json_integer_value(bytes) >= 0)
		tell(e, RK_OK, (uint64_t)json_integer_value(bytes), NULL);
	else
		tell_refusal(e, said);
	json_decref(said);
}

/* Its line has come, in part or whole, or there is more. */
static void
readable(void *ctx, unsigned events)
{
	struct sup_export *e = ctx;
	sup_export_ready_fn *ready = e->ready;

	(void)events;
	if (e->begun == NULL) {
		e->ready = NULL;
		unwatch(e);
		if (ready != NULL)
			ready(e->ctx);
		return;
	}
	ssize_t n = read(e->fd, e->line + e->have, LINE_MAX - e->have);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	const size_t from = e->have;
	e->have += n > 0 ? (size_t)n : 0;
	const char *end = n > 0 ? memchr(e->line + from, '\n', (size_t)n) :
	    NULL;
	if (end != NULL)
		read_head(e, (size_t)(end - e->line));
	else if (n <= 0 || e->have == LINE_MAX)
		tell(e, RK_EIO, 0, "the trainer that exports it ended early; "
		    "the daemon's log may say why");
}

static void
late(void *ctx)
{
	struct sup_export *e = ctx;
	sup_export_ready_fn *ready = e->ready;

	if (e->pid > 0)
		(void)kill(-e->pid, SIGKILL);
	if (e->begun != NULL) {
		tell(e, RK_ETIMEDOUT, 0, "the checkpoint could not be read "
		    "within two minutes");
		return;
	}
	/* Who reads on finds the pipe's end. */
	e->ready = NULL;
	unwatch(e);
	if (ready != NULL)
		ready(e->ctx);
}

static bool
watch(struct sup_export *e)
{
	e->watch = loop_fd_add(e->s->loop, e->fd, LOOP_IN, readable, e);
	loop_timer_at(e->timer, mono_ms() + EXPORT_MS);
	return e->watch != NULL;
}

/* --- its bytes ------------------------------------------------------------ */

ssize_t
sup_export_read(struct sup_export *e, char *buf, size_t n,
    sup_export_ready_fn *ready, void *ctx)
{
	ssize_t got;

	must(!e->ended && e->begun == NULL && e->watch == NULL);
	if (e->given < e->have) {
		n = RK_MIN(n, e->have - e->given);
		memcpy(buf, e->line + e->given, n);
		e->given += n;
		return (ssize_t)n;
	}
	do
		got = read(e->fd, buf, n);
	while (got < 0 && errno == EINTR);
	if (got > 0)
		return got;
	if (got == 0 || errno != EAGAIN)
		return -1;
	e->ready = ready;
	e->ctx = ctx;
	return watch(e) ? 0 : -1;
}

/* --- the process ---------------------------------------------------------- */

/* The job's normal form, in memory: the trainer reads it as its standard
 * input. */
static int
job_in_memory(const char *spec)
{
	const int fd = memfd_create("job", MFD_CLOEXEC);

	if (fd >= 0 && rk_write_all(fd, spec, strlen(spec)) == 0 &&
	    lseek(fd, 0, SEEK_SET) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static int
launch(struct sup_export *e, const char *folder, const char *file, int job,
    int out)
{
	char skip[24];
	const char *argv[] = { "--export", folder, "--to", file, "--skip", skip,
		"--job", e->id, "--threads", "1", "/dev/stdin", NULL };
	const struct spawn_how how = { .argv = argv, .nfds = 3,
		.fds = { job, out, STDERR_FILENO }, .cpu_s = EXPORT_CPU_S };

	snprintf(skip, sizeof(skip), "%llu", (unsigned long long)RK_MIN(
	    e->from, INT64_MAX));
	return spawn_trainer(e->s, &how, &e->pid);
}

static enum rk_err
start(struct sup_export *e, const char *spec, const char *folder,
    const char *file, struct rk_why *why)
{
	int pair[2] = { -1, -1 }, job = job_in_memory(spec);
	int rc = job < 0 || pipe2(pair, O_CLOEXEC) != 0 ? errno : 0;

	if (rc == 0) {
		e->fd = pair[0];
		(void)fcntl(e->fd, F_SETPIPE_SZ, PIPE_BYTES);
		rc = rk_set_nonblock(e->fd, true) != 0 ? errno :
		    launch(e, folder, file, job, pair[1]);
	}
	rk_close(&pair[1]);
	rk_close(&job);
	if (rc != 0) {
		rk_refuse(why, "cannot start %s: %s", e->s->c.trainer,
		    strerror(rc));
		return rk_from_errno(rc);
	}
	enum rk_err watched = watch(e) ? loop_child(e->s->loop, e->pid,
	    on_exit_of, e) : RK_EIO;
	if (watched != RK_OK)
		rk_refuse(why, "cannot wait for %s: %s", e->s->c.trainer,
		    rk_strerror(watched));
	return watched;
}

/* It was not started, or cannot be seen to its end. */
static void
abandon(struct sup_export *e)
{
	if (e->pid > 0) {
		(void)kill(-e->pid, SIGKILL);
		while (waitpid(e->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	export_free(e);
}

/* One more, if there may be. */
static enum rk_err
export_new(struct sup *s, const struct export_ask *a, struct sup_export **out,
    struct rk_why *why)
{
	size_t n = 0;

	for (const struct sup_export *e = s->exports; e != NULL; e = e->next)
		n += !e->ended;
	if (n >= EXPORTS_MAX) {
		rk_refuse(why, "%zu checkpoints are being exported, which is "
		    "as many as may be at a time: ask again", n);
		return RK_ELIMIT;
	}
	struct sup_export *e = xcalloc(1, sizeof(*e));
	*e = (struct sup_export){ .s = s, .next = s->exports, .fd = -1,
		.from = a->from, .begun = a->begun, .ctx = a->ctx };
	s->exports = e;
	rk_id_new(e->id);
	e->timer = loop_timer_add(s->loop, late, e);
	*out = e;
	return RK_OK;
}

static enum rk_err
begin(struct sup_export *e, const char *spec, const char *folder,
    const char *file, struct sup_export **out, struct rk_why *why)
{
	const enum rk_err rc = start(e, spec, folder, file, why);

	if (rc == RK_OK)
		*out = e;
	else
		abandon(e);
	return rc;
}

enum rk_err
sup_export(struct sup *s, const char *id, const char *dir, const char *file,
    uint64_t from, sup_export_fn *begun, void *ctx, struct sup_export **out,
    struct rk_why *why)
{
	const struct export_ask a = { from, begun, ctx };
	struct sup_export *e = NULL;
	struct job_row r;

	must_be(s, SUP_TAG);
	*out = NULL;
	enum rk_err rc = get_job(s, id, &r, why);
	if (rc != RK_OK)
		return rc;
	rc = export_new(s, &a, &e, why);
	if (rc == RK_OK) {
		char *folder = xasprintf("%s/checkpoints/%s", sup_job_dir(s,
		    id), dir);
		rc = begin(e, r.spec, folder, file, out, why);
		free(folder);
	}
	store_job_fini(&r);
	return rc;
}

/* A folder of links to the files. */
static enum rk_err
put_together(struct sup_export *e, const struct sup_file *v, size_t n,
    struct rk_why *why)
{
	e->dir = xasprintf("%s/checks/%s", e->s->c.state_dir, e->id);
	enum rk_err rc = rk_mkdirs(e->dir, 0750);
	for (size_t i = 0; i < n && rc == RK_OK; i++) {
		char *at = xasprintf("%s/%s", e->dir, v[i].name);
		if (symlink(v[i].path, at) != 0)
			rc = rk_from_errno(errno);
		free(at);
	}
	if (rc != RK_OK)
		rk_refuse(why, "cannot make %s: %s", e->dir, rk_strerror(rc));
	return rc;
}

enum rk_err
sup_export_files(struct sup *s, const struct sup_file *v, size_t n,
    const char *spec, const char *file, uint64_t from, sup_export_fn *begun,
    void *ctx, struct sup_export **out, struct rk_why *why)
{
	const struct export_ask a = { from, begun, ctx };
	struct sup_export *e = NULL;

	must_be(s, SUP_TAG);
	*out = NULL;
	enum rk_err rc = export_new(s, &a, &e, why);
	if (rc != RK_OK)
		return rc;
	rc = put_together(e, v, n, why);
	if (rc != RK_OK) {
		abandon(e);
		return rc;
	}
	return begin(e, spec, e->dir, file, out, why);
}

void
exports_fini(struct sup *s)
{
	while (s->exports != NULL)
		abandon(s->exports);
}
