/*
 * What jobs are about to begin from (model.checkpoint: job://A/SELECTOR) stays
 * until they have begun.
 *
 *	<state>/pins/<B> -> <A>/<what>          job B, from job A's
 *	<state>/jobs/<A>/checkpoints/.pin-<B>   where a trainer's retention sees
 *						it
 *
 * `what` is a selector, or the folder of a checkpoint once that is settled: at
 * submit, where the selector means one (step:N, a name, a folder); at the
 * start, where it moves (latest, best), and then the same at each start, as a
 * crash may come before B has a checkpoint of its own.  From then on, and when
 * B has ended, the pin is gone; a job that learns from the other's answers, too
 * (training.distill), keeps it until it has ended.
 *
 * The list in <state>/pins is written first and taken away last, so that a next
 * daemon finds all that a dead one left.  Jobs that wait and have no pin get
 * one at the start: those that came from another machine.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl.h"

#define PIN_TRIES 50            /* retention of A was quicker than we */

struct pin {
	struct pin *next;
	char id[RK_ID], of[RK_ID];
	char what[CKPT_DIR_MAX];
};

static struct pin *
find(const struct sup *s, const char *id)
{
	struct pin *p = s->pins;

	while (p != NULL && strcmp(p->id, id) != 0)
		p = p->next;
	return p;
}

/* A folder's name, no selector. */
static bool
is_folder(const char *what)
{
	return strncmp(what, "step-", 5) == 0 && what[5] >= '0' &&
	    what[5] <= '9';
}

/* The folder of A's checkpoints; NULL: there is none. */
static struct ckpt *
open_of(struct sup *s, const char *of)
{
	char *path = xasprintf("%s/checkpoints", sup_job_dir(s, of));
	struct ckpt *c = NULL;

	if (access(path, F_OK) != 0 || ckpt_open(&c, path, false) != RK_OK)
		c = NULL;
	free(path);
	return c;
}

/* --- the list ------------------------------------------------------------- */

static enum rk_err
open_pins(struct sup *s, bool make)
{
	char *path = xasprintf("%s/pins", s->c.state_dir);
	enum rk_err rc = RK_OK;

	if (s->pins_fd < 0 && make)
		rc = rk_mkdirs(path, 0750);
	if (rc == RK_OK && s->pins_fd < 0) {
		s->pins_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (s->pins_fd < 0)
			rc = rk_from_errno(errno);
	}
	if (rc != RK_OK && make)
		log_error("sup: cannot use %s: %s", path, rk_strerror(rc));
	free(path);
	return rc;
}

static enum rk_err
write_pin(struct sup *s, const struct pin *p)
{
	char target[RK_ID + CKPT_DIR_MAX + 1], tmp[RK_ID + 32];
	enum rk_err rc = open_pins(s, true);

	if (rc != RK_OK)
		return rc;
	snprintf(target, sizeof(target), "%s/%s", p->of, p->what);
	snprintf(tmp, sizeof(tmp), RK_TMP_PREFIX "%s", p->id);
	(void)unlinkat(s->pins_fd, tmp, 0);
	if (symlinkat(target, s->pins_fd, tmp) != 0 || renameat(s->pins_fd,
	    tmp, s->pins_fd, p->id) != 0 || rk_fsync_dir(s->pins_fd) != 0) {
		rc = rk_from_errno(errno);
		log_errno("job=%s cannot pin %s", p->id, target);
	}
	return rc;
}

static void
unpin(struct sup *s, const struct pin *p)
{
	struct ckpt *c = is_folder(p->what) ? open_of(s, p->of) : NULL;

	if (c != NULL)
		ckpt_unpin(c, p->id);
	ckpt_close(&c);
}

void
pin_drop(struct sup *s, const char *id)
{
	struct pin **q = &s->pins, *p;

	while ((p = *q) != NULL && strcmp(p->id, id) != 0)
		q = &p->next;
	if (p == NULL)
		return;
	unpin(s, p);
	if (unlinkat(s->pins_fd, id, 0) != 0 && errno != ENOENT)
		log_errno("job=%s cannot take its pin away", id);
	*q = p->next;
	free(p);
}

static enum rk_err
pin_set(struct sup *s, const char *id, const char *of, const char *what)
{
	struct pin new = { 0 }, *p = find(s, id);
	struct ckpt *c;
	enum rk_err rc;

	snprintf(new.id, sizeof(new.id), "%s", id);
	snprintf(new.of, sizeof(new.of), "%s", of);
	snprintf(new.what, sizeof(new.what), "%s", what);
	if (p != NULL && strcmp(p->of, of) != 0)
		unpin(s, p);
	rc = write_pin(s, &new);
	if (rc != RK_OK)
		return rc;
	if (p == NULL) {
		p = xcalloc(1, sizeof(*p));
		new.next = s->pins;
		s->pins = p;
	} else {
		new.next = p->next;
	}
	*p = new;
	c = is_folder(what) ? open_of(s, of) : NULL;
	if (c != NULL)
		rc = ckpt_pin(c, what, id);
	ckpt_close(&c);
	return rc;
}

/* --- who waits for what --------------------------------------------------- */

/* The job and selector of its address; false: it begins from no other job, or
 * has begun and needs it no more. */
static bool
begins_from(struct sup *s, const struct job_row *r, struct rk_uri *u)
{
	struct ckpt_info own = { 0 };
	struct spec *spec = NULL;
	bool yes = false;

	/* Most have no such address, and need not be parsed. */
	if (job_ended(r->state) || strstr(r->spec, "job:") == NULL ||
	    row_spec(r, NULL, &spec, NULL) != RK_OK)
		return false;
	if (spec->model.checkpoint != NULL &&
	    rk_uri_parse(u, spec->model.checkpoint, NULL) == RK_OK) {
		yes = u->kind == RK_URI_JOB && rk_id_ok(u->host) &&
		    strlen(u->path) < CKPT_DIR_MAX &&
		    strchr(u->path, '/') == NULL;
		if (!yes)
			rk_uri_fini(u);
	}
	const bool learns = spec_distills(spec);
	spec_free(spec);
	if (yes && !learns && strcmp(r->resume_from, "none") != 0 &&
	    own_latest(s, r->id, &own) == RK_OK) {
		ckpt_info_fini(&own);
		rk_uri_fini(u);
		yes = false;
	}
	return yes;
}

/* The folder that job://of/what means here: a new string; NULL: only a bucket
 * has it, if any. */
static char *
folder_of(struct sup *s, const char *of, const char *what, char **path,
    enum rk_err *rc, struct rk_why *why)
{
	char *uri = xasprintf("job://%s/%s", of, what), *dir = NULL;

	*path = NULL;
	*rc = job_uri_resolve(s, uri, path, NULL, why);
	if (*rc == RK_OK && *path != NULL) {
		char *end = strrchr(*path, '/');
		const char *from = end;
		while (from > *path && from[-1] != '/')
			from--;
		dir = xstrndup(from, (size_t)(end - from));
	}
	free(uri);
	return dir;
}

void
pin_wait(struct sup *s, const struct job_row *r)
{
	struct rk_why why = { 0 };
	struct rk_uri u;
	char *dir = NULL, *path = NULL;
	enum rk_err rc = RK_OK;

	if (!begins_from(s, r, &u)) {
		pin_drop(s, r->id);
		return;
	}
	const struct pin *p = find(s, r->id);
	if (p == NULL || strcmp(p->of, u.host) != 0) {
		if (strcmp(u.path, "latest") != 0 &&
		    strcmp(u.path, "best") != 0)
			dir = folder_of(s, u.host, u.path, &path, &rc, &why);
		rc = pin_set(s, r->id, u.host, dir != NULL ? dir : u.path);
		if (rc != RK_OK)
			log_warn("job=%s what it begins from is not kept for "
			    "it: %s", r->id, rk_strerror(rc));
	}
	rk_why_fini(&why);
	rk_uri_fini(&u);
	free(dir);
	free(path);
}

enum rk_err
pin_resolve(struct sup *s, const struct job_row *r, const char *of,
    const char *selector, char **path, struct rk_why *why)
{
	const struct pin *p = find(s, r->id);
	const char *what = p != NULL && strcmp(p->of, of) == 0 &&
	    is_folder(p->what) ? p->what : selector;
	char *dir, *copy = xstrdup(what);
	enum rk_err rc = RK_OK;

	for (int k = 0; k < PIN_TRIES; k++) {
		struct rk_why own = { 0 };
		dir = folder_of(s, of, copy, path, &rc, &own);
		/* Settled before, and gone by hand since: as at first. */
		bool again = rc == RK_EINVAL && strcmp(copy, selector) != 0;
		if (!again && rc != RK_OK && own.n > 0)
			rk_refuse_at(why, own.v[0].path, "%s",
			    own.v[0].message);
		rk_why_fini(&own);
		if (dir != NULL) {
			rc = pin_set(s, r->id, of, dir);
			again = rc == RK_ENOENT;
			if (again) {
				free(*path);
				*path = NULL;
			}
		}
		free(dir);
		free(copy);
		copy = xstrdup(selector);
		if (!again)
			break;
	}
	free(copy);
	return rc == RK_ENOENT ? rk_refuse_at(why, "model.checkpoint",
	    "job://%s/%s goes as soon as it is there", of, selector) : rc;
}

/* --- a daemon begins ------------------------------------------------------ */

void
pin_load(struct sup *s)
{
	DIR *d = NULL;
	struct dirent *e;
	int fd;

	if (open_pins(s, false) != RK_OK)
		return;
	fd = openat(s->pins_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && (d = fdopendir(fd)) == NULL)
		rk_close(&fd);
	while (d != NULL && (e = readdir(d)) != NULL) {
		char target[RK_ID + CKPT_DIR_MAX];
		ssize_t n = readlinkat(s->pins_fd, e->d_name, target,
		    sizeof(target) - 1);
		if (n < 0)
			continue;
		target[n] = '\0';
		char *slash = strchr(target, '/');
		if (slash != NULL)
			*slash = '\0';
		if (slash == NULL || !rk_id_ok(e->d_name) ||
		    !rk_id_ok(target) || strlen(slash + 1) >= CKPT_DIR_MAX) {
			(void)unlinkat(s->pins_fd, e->d_name, 0);
			continue;
		}
		struct pin *p = xcalloc(1, sizeof(*p));
		memcpy(p->id, e->d_name, RK_ID);
		memcpy(p->of, target, RK_ID);
		memcpy(p->what, slash + 1, strlen(slash + 1) + 1);
		p->next = s->pins;
		s->pins = p;
	}
	if (d != NULL)
		closedir(d);
}

struct waiting {
	char (*v)[RK_ID];
	size_t n;
};

static bool
see_waiting(void *ctx, const struct job_row *r)
{
	struct waiting *w = ctx;

	if (strstr(r->spec, "job:") == NULL)
		return true;
	w->v = xrealloc(w->v, (w->n + 1) * sizeof(*w->v));
	memcpy(w->v[w->n++], r->id, RK_ID);
	return true;
}

void
pin_settle(struct sup *s)
{
	struct store_filter f = { .states = 1u << JOB_HELD | 1u << JOB_QUEUED |
	    1u << JOB_PAUSED };
	struct waiting w = { 0 };
	struct job_row r;

	for (const struct pin *p = s->pins; p != NULL; p = p->next) {
		w.v = xrealloc(w.v, (w.n + 1) * sizeof(*w.v));
		memcpy(w.v[w.n++], p->id, RK_ID);
	}
	size_t pinned = w.n;
	if (store_jobs(s->store, &f, NULL, INT32_MAX, see_waiting, &w) !=
	    RK_OK)
		log_error("sup: cannot read which jobs begin from others");
	for (size_t i = 0; i < w.n; i++) {
		enum rk_err rc = store_job_get(s->store, w.v[i], &r);
		if (rc == RK_OK) {
			pin_wait(s, &r);
			store_job_fini(&r);
		} else if (rc == RK_ENOENT && i < pinned) {
			pin_drop(s, w.v[i]);
		}
	}
	free(w.v);
}

void
pin_fini(struct sup *s)
{
	struct pin *p;

	while ((p = s->pins) != NULL) {
		s->pins = p->next;
		free(p);
	}
	rk_close(&s->pins_fd);
}

/* --- looks ---------------------------------------------------------------- */

void
sup_pins(const struct sup *s, const char *of, sup_pin_fn *fn, void *ctx)
{
	must_be(s, SUP_TAG);
	for (const struct pin *p = s->pins; p != NULL; p = p->next) {
		if (strcmp(p->of, of) == 0 && !fn(ctx, p->id, p->what))
			return;
	}
}

const char *
sup_pinned(const struct sup *s, const char *id, const char *of)
{
	const struct pin *p = find(s, id);

	return p != NULL && strcmp(p->of, of) == 0 && is_folder(p->what) ?
	    p->what : NULL;
}

enum rk_err
sup_pin(struct sup *s, const char *id, const char *of, const char *dir)
{
	const char *now = sup_pinned(s, id, of);

	must_be(s, SUP_TAG);
	return now != NULL && strcmp(now, dir) == 0 ? RK_OK :
	    pin_set(s, id, of, dir);
}

/* The checkpoint that a person wants it to go on from, before it has begun. */
static bool
is_to_go_on_from(struct sup *s, const char *id, const char *dir)
{
	struct ckpt_info i = { 0 };
	struct spec *spec = NULL;
	struct ckpt *c = open_of(s, id);
	struct job_row r;
	bool yes = false;

	if (c != NULL && store_job_get(s->store, id, &r) == RK_OK) {
		if (!job_ended(r.state) && strcmp(r.resume_from, "latest") !=
		    0 && row_spec(&r, NULL, &spec, NULL) == RK_OK &&
		    ckpt_select(c, r.resume_from, spec->checkpoint.metric,
		    spec->checkpoint.mode_max, &i, NULL) == RK_OK) {
			yes = strcmp(i.dir, dir) == 0;
			ckpt_info_fini(&i);
		}
		spec_free(spec);
		store_job_fini(&r);
	}
	ckpt_close(&c);
	return yes;
}

bool
sup_needed_by(struct sup *s, const char *job, const char *dir, char id[RK_ID])
{
	must_be(s, SUP_TAG);
	for (const struct pin *p = s->pins; p != NULL; p = p->next) {
		if (strcmp(p->of, job) == 0 && strcmp(p->what, dir) == 0) {
			memcpy(id, p->id, RK_ID);
			return true;
		}
	}
	if (!is_to_go_on_from(s, job, dir))
		return false;
	snprintf(id, RK_ID, "%s", job);
	return true;
}
