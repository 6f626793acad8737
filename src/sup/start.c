/* What goes before a process: the job's folder, its file, its model. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "impl.h"

enum rk_err
row_spec(const struct job_row *r, json_t **tree, struct spec **sp,
    struct rk_why *why)
{
	json_t *t = NULL;
	enum rk_err rc = rkj_parse_json(r->spec, strlen(r->spec), &t, why);

	if (rc == RK_OK && sp != NULL)
		rc = spec_parse(t, sp, why);
	if (rc != RK_OK || tree == NULL)
		json_decref(t);
	else
		*tree = t;
	return rc;
}

enum rk_err
own_latest(struct sup *s, const char *id, struct ckpt_info *out)
{
	char *path = xasprintf("%s/checkpoints", sup_job_dir(s, id));
	struct ckpt *c = NULL;
	enum rk_err rc = RK_ENOENT;

	/* ckpt_open() would make the folder. */
	if (access(path, F_OK) == 0)
		rc = ckpt_open(&c, path, false);
	if (rc == RK_OK)
		rc = ckpt_select(c, "latest", NULL, true, out, NULL);
	ckpt_close(&c);
	free(path);
	return rc;
}

/* job.json: the normal form, for the trainer and for people who look. */
enum rk_err
write_job_file(const char *dir, const json_t *tree)
{
	char *text = rkj_pretty(tree), *old = NULL;
	size_t len = strlen(text), old_len = 0;
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum rk_err rc = RK_OK;

	if (fd < 0) {
		rc = rk_from_errno(errno);
		log_errno("sup: cannot open %s", dir);
	} else if (rk_read_file(fd, "job.json", SPEC_MAX_NORMAL, &old,
	    &old_len) != RK_OK || old_len != len ||
	    memcmp(old, text, len) != 0) {
		rc = rk_replace_file(fd, "job.json", text, len);
	}
	rk_close(&fd);
	free(old);
	free(text);
	return rc;
}

static bool
has_own(struct sup *s, const struct job_row *r)
{
	struct ckpt_info own = { 0 };
	bool yes = strcmp(r->resume_from, "none") != 0 &&
	    own_latest(s, r->id, &own) == RK_OK;

	ckpt_info_fini(&own);
	return yes;
}

/*
 * The file behind model.checkpoint: job://... .  Its job or checkpoint may have
 * gone since; that matters only as long as there is nothing of our own to go on
 * from, and to a trainer that learns from it, which says so.
 */
static enum rk_err
find_model(struct sup *s, const struct job_row *r, const struct spec *spec,
    json_t *files, struct rk_why *why)
{
	const char *uri = spec->model.checkpoint;
	char *path = NULL;
	struct rk_uri u;

	if (uri == NULL || json_object_get(files, uri) != NULL ||
	    rk_uri_parse(&u, uri, NULL) != RK_OK)
		return RK_OK;
	const bool of_job = u.kind == RK_URI_JOB, own = of_job && has_own(s, r);
	enum rk_err rc = RK_OK;
	if (own && !spec_distills(spec))
		rc = job_uri_resolve(s, uri, &path, NULL, NULL);
	else if (of_job)
		rc = pin_resolve(s, r, u.host, u.path, &path, own ? NULL :
		    why);
	if (of_job && !own && rc == RK_OK && path == NULL)
		rc = rk_refuse_at(why, "model.checkpoint", "is %s, which a "
		    "bucket has and this machine has not", uri);
	if (rc == RK_OK && path != NULL)
		json_object_set_new(files, uri, json_string(path));
	rk_uri_fini(&u);
	free(path);
	return own && rc == RK_EINVAL ? RK_OK : rc;
}

/* "attempt 1 starts, from step-000000900 of job A", and that as an address. */
static char *
start_text(struct sup *s, const struct job_row *r, json_t *data)
{
	struct spec *spec = NULL;
	const char *dir = NULL;
	char *text = NULL;
	struct rk_uri u;

	if (strstr(r->spec, "job:") != NULL &&
	    row_spec(r, NULL, &spec, NULL) == RK_OK &&
	    spec->model.checkpoint != NULL &&
	    rk_uri_parse(&u, spec->model.checkpoint, NULL) == RK_OK) {
		if (u.kind == RK_URI_JOB)
			dir = sup_pinned(s, r->id, u.host);
		if (dir != NULL && !has_own(s, r)) {
			char *from = xasprintf("job://%s/%s", u.host, dir);
			text = xasprintf("attempt %lld starts, from %s of job "
			    "%s", (long long)r->attempt, dir, u.host);
			json_object_set_new(data, "begins_from",
			    json_string(from));
			free(from);
		}
		rk_uri_fini(&u);
	}
	spec_free(spec);
	return text != NULL ? text : xasprintf("attempt %lld starts",
	    (long long)r->attempt);
}

struct prepared {
	char *dir, *file;
	json_t *files;
	const char *reason;             /* of a failure */
	const char *waits;              /* of RK_EBUSY */
	enum known known;               /* not THERE: it waits for them */
	bool leaves;                    /* its checkpoints go elsewhere, too */
};

static enum rk_err
prepare(struct sup *s, const struct job_row *r, struct prepared *p,
    struct rk_why *why)
{
	json_t *tree = NULL;
	struct spec *spec = NULL;
	enum rk_err rc = row_spec(r, &tree, &spec, why);

	p->dir = xstrdup(sup_job_dir(s, r->id));
	p->file = xasprintf("%s/job.json", p->dir);
	p->files = json_object();
	p->reason = "bad_spec";
	/* First of all: one that may not look into the bucket has, for all it
	 * knows, no checkpoints. */
	if (rc == RK_OK)
		rc = supply_allowed(s, r, spec, &p->waits, why);
	if (rc == RK_OK) {
		/* Before its model is asked for, which it should not need. */
		p->known = known_before_start(s, r, false, why);
		p->reason = "fetch";
		if (p->known == KNOWN_THERE)
			rc = supply_ask(s, r, spec, p->files, &p->waits,
			    why);
	}
	/* What the bucket had may have been no good. */
	if (rc == RK_OK && p->known == KNOWN_THERE)
		p->known = known_before_start(s, r, true, why);
	if (rc == RK_OK && p->known != KNOWN_THERE)
		goto out;
	if (rc == RK_OK)
		rc = rk_mkdirs(p->dir, 0750);
	if (rc == RK_OK)
		rc = write_job_file(p->dir, tree);
	if (rc == RK_OK)
		rc = record_file_put(s, r->id);
	if (rc == RK_OK) {
		p->reason = "warm_start";
		rc = find_model(s, r, spec, p->files, why);
	}
	if (rc == RK_OK) {
		char *where = sup_where(s, spec);
		p->leaves = where[0] != '\0';
		free(where);
	}
out:
	json_decref(tree);
	spec_free(spec);
	return rc;
}

enum rk_err
not_startable(struct sup *s, struct job_row *r, enum rk_err rc,
    const struct rk_why *why, const char *reason)
{
	struct cause c = { 0 };
	char *text = NULL;
	enum job_state to = JOB_PAUSED;

	if (rc == RK_ENOSPC || rc == RK_EROFS) {
		c.word = c.reason = rc == RK_ENOSPC ? "disk_full" : "read_only";
		text = why->n > 0 ? xasprintf("%s; goes on by itself when "
		    "there is room", rk_why_first(why)) :
		    xasprintf("its folder cannot be written: %s; goes on by "
		    "itself when it can", rk_strerror(rc));
	} else if (rc == RK_EEXIST || rc == RK_ENOENT) {
		/* Something else is in its place; that does not pass. */
		to = JOB_FAILED;
		c.word = "not startable";
		c.reason = "io";
		text = xasprintf("its folder %s cannot be used: %s",
		    sup_job_dir(s, r->id), rk_strerror(rc));
		r->ended_ms = now_ms();
	} else if (rc == RK_EINVAL) {
		to = JOB_FAILED;
		c.word = "not startable";
		c.reason = reason;
		text = rk_why_text(why);
		r->ended_ms = now_ms();
	} else {
		return rc;
	}
	c.message = text;
	rc = sup_move(s, r, to, NULL, &c);
	if (rc == RK_OK && to == JOB_PAUSED)
		disk_wait(s);
	free(text);
	return rc;
}

static void
begin(struct sup *s, struct job_row *r, const struct prepared *p)
{
	struct run *run = run_new(s, r);
	struct spawn_args a = { p->dir, p->file, r->resume_from, r->accept,
		p->files, p->leaves };

	s->totals.attempts++;
	if (spawn(run, &a) == RK_OK)
		return;
	if (run->pid > 0) {             /* it lives, but cannot be watched */
		kill(-run->pid, SIGKILL);
		while (waitpid(run->pid, &run->status, 0) < 0 && errno == EINTR)
			;
	}
	run->exited = true;
	loop_fd_del(&run->watch);
	run_settle(run);
}

enum rk_err
start_job(struct sup *s, const char *id)
{
	struct prepared p = { 0 };
	struct rk_why why = { 0 };
	struct job_row r;
	enum rk_err rc = store_job_get(s->store, id, &r);

	if (rc != RK_OK)
		return rc;
	must(r.state == JOB_QUEUED && run_find(s, id) == NULL);
	/* One of a daemon before the last, or of a person by hand. */
	if (r.attempt > 0 && orphan_look(s, &r, 0)) {
		store_job_fini(&r);
		return RK_OK;
	}
	rc = prepare(s, &r, &p, &why);
	if (rc == RK_EBUSY && (rc = supply_wait(s, &r, p.waits,
	    &why)) == RK_OK) {
		rc = RK_EBUSY;
		goto out;
	}
	if (rc != RK_OK) {
		rc = not_startable(s, &r, rc, &why, p.reason);
		goto out;
	}
	if (p.known != KNOWN_THERE) {
		rc = known_wait(s, &r, p.known, why.n > 0 ?
		    rk_why_first(&why) : "");
		goto out;
	}
	attempt_reached(s, id, r.attempt, &r);
	r.attempt++;
	r.not_before_ms = 0;
	struct attempt_row a = { .n = r.attempt, .started_ms = now_ms(),
		.instance = (char *)(uintptr_t)s->c.instance,
		.epoch = s->epoch };
	json_t *data = json_object();
	char *message = start_text(s, &r, data);
	struct cause c = { "slot free", "", message, NULL, data, NULL };
	rc = sup_move(s, &r, JOB_STARTING, &a, &c);
	json_decref(data);
	free(message);
	if (rc == RK_OK)
		begin(s, &r, &p);
out:
	free(p.dir);
	free(p.file);
	json_decref(p.files);
	rk_why_fini(&why);
	store_job_fini(&r);
	return rc;
}
