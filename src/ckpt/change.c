/* Names given and taken, checkpoints deleted or set aside, branches opened. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "impl.h"

#define LOCK_WAIT_MS 2000
#define ASIDE_TRIES  1000

/* --- the lock ------------------------------------------------------------- */

/*
 * A person names a checkpoint in the daemon while the trainer's retention is
 * about to delete it: one of them has to be first.  Held for a few renames.
 */
enum rk_err
lock_changes(struct ckpt *c)
{
	int64_t end_ms = mono_ms() + LOCK_WAIT_MS;

	while (flock(c->dirfd, LOCK_EX | LOCK_NB) != 0) {
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK)
			return RK_OK;   /* a file system without locks */
		if (mono_ms() >= end_ms) {
			log_warn("ckpt: %s is held by another process",
			    c->path);
			return RK_EBUSY;
		}
		usleep(2000);
	}
	return RK_OK;
}

void
unlock_changes(struct ckpt *c)
{
	(void)flock(c->dirfd, LOCK_UN);
}

static enum rk_err
sync_dir(struct ckpt *c)
{
	if (rk_fsync_dir(c->dirfd) == 0)
		return RK_OK;
	log_errno("ckpt: cannot sync %s", c->path);
	return rk_from_errno(errno);
}

/* --- names ---------------------------------------------------------------- */

enum rk_err
make_link(struct ckpt *c, const char *dir, const char *name,
    char tmp[HIDDEN_MAX])
{
	struct stat st;

	/* What is no symlink was not put there by us. */
	if (fstatat(c->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    !S_ISLNK(st.st_mode)) {
		log_error("ckpt: %s/%s is in the way of a name", c->path,
		    name);
		return RK_EEXIST;
	}
	hidden_name(tmp, TMP_PREFIX, name);
	if (symlinkat(dir, c->dirfd, tmp) == 0)
		return RK_OK;
	log_errno("ckpt: cannot name %s/%s", c->path, dir);
	return rk_from_errno(errno);
}

enum rk_err
place_link(struct ckpt *c, const char *tmp, const char *name)
{
	if (renameat(c->dirfd, tmp, c->dirfd, name) == 0)
		return RK_OK;
	log_errno("ckpt: cannot give the name %s", name);
	enum rk_err rc = rk_from_errno(errno);
	unlinkat(c->dirfd, tmp, 0);
	return rc;
}

enum rk_err
ckpt_name(struct ckpt *c, const char *dir, const char *name)
{
	char tmp[HIDDEN_MAX];
	int64_t step;
	int branch;

	must_be(c, CKPT_TAG);
	if (!person_name_ok(name))
		return RK_EINVAL;
	enum rk_err rc = lock_changes(c);
	if (rc != RK_OK)
		return rc;
	if (!dir_parse(dir, &step, &branch) || !dir_exists(c, dir))
		rc = RK_ENOENT;
	if (rc == RK_OK)
		rc = make_link(c, dir, name, tmp);
	if (rc == RK_OK)
		rc = place_link(c, tmp, name);
	if (rc == RK_OK)
		rc = sync_dir(c);
	unlock_changes(c);
	return rc;
}

enum rk_err
ckpt_unname(struct ckpt *c, const char *name)
{
	struct stat st;
	enum rk_err rc;

	must_be(c, CKPT_TAG);
	if (!person_name_ok(name) ||
	    fstatat(c->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
	    !S_ISLNK(st.st_mode))
		return RK_ENOENT;
	if (unlinkat(c->dirfd, name, 0) != 0) {
		if (errno != ENOENT)
			log_errno("ckpt: cannot take the name %s", name);
		rc = rk_from_errno(errno);
		return rc;
	}
	return sync_dir(c);
}

/* --- deleting ------------------------------------------------------------- */

enum rk_err
hide(struct ckpt *c, const char *dir, char hidden[HIDDEN_MAX])
{
	hidden_name(hidden, DEL_PREFIX, dir);
	if (renameat(c->dirfd, dir, c->dirfd, hidden) == 0)
		return RK_OK;
	log_errno("ckpt: cannot delete %s/%s", c->path, dir);
	return rk_from_errno(errno);
}

/* Names first, so that none is ever left pointing at nothing. */
static enum rk_err
hide_with_names(struct ckpt *c, const struct ckpt_info *i,
    char hidden[HIDDEN_MAX])
{
	for (size_t k = 0; i->names != NULL && i->names[k] != NULL; k++) {
		if (unlinkat(c->dirfd, i->names[k], 0) == 0 ||
		    errno == ENOENT)
			continue;
		log_errno("ckpt: cannot take the name %s", i->names[k]);
		return rk_from_errno(errno);
	}
	return hide(c, i->dir, hidden);
}

static enum rk_err
delete_locked(struct ckpt *c, const char *dir, char hidden[HIDDEN_MAX])
{
	struct view w;
	enum rk_err rc = view_open(c, &w);

	if (rc != RK_OK)
		return rc;
	long at = view_find(&w, dir);
	if (at < 0)
		rc = RK_ENOENT;
	else if (at == view_latest(&w))
		rc = RK_ECONFLICT;
	else
		rc = hide_with_names(c, &w.v[at], hidden);
	if (rc == RK_OK)
		rc = sync_dir(c);
	view_fini(&w);
	return rc;
}

enum rk_err
ckpt_delete(struct ckpt *c, const char *dir)
{
	char hidden[HIDDEN_MAX];

	must_be(c, CKPT_TAG);
	enum rk_err rc = lock_changes(c);
	if (rc != RK_OK)
		return rc;
	rc = delete_locked(c, dir, hidden);
	unlock_changes(c);
	/* It is deleted now; what cannot be removed is swept another time. */
	if (rc == RK_OK)
		(void)!rk_remove_tree(c->dirfd, hidden);
	return rc;
}

/* --- retention ------------------------------------------------------------ */

/* The `best` best, each in its turn. */
static void
keep_best(const struct view *w, bool *keep, int64_t best, const char *metric,
    bool mode_max)
{
	bool *taken = xcalloc(w->n + 1, sizeof(*taken));

	for (int64_t k = 0; k < best; k++) {
		double x, top = 0;
		long at = -1;
		for (size_t i = 0; i < w->n; i++) {
			if (taken[i] || !metric_of(&w->v[i], metric, &x))
				continue;
			if (at < 0 || (mode_max ? x > top : x < top)) {
				top = x;
				at = (long)i;
			}
		}
		if (at < 0)
			break;
		taken[at] = keep[at] = true;
	}
	free(taken);
}

static void
keep_newest(const struct view *w, bool *keep, int64_t last)
{
	int64_t left = last;

	/* Sorted by branch and step: the last of each branch is its newest. */
	for (size_t i = w->n; i-- > 0;) {
		bool newest = i + 1 == w->n ||
		    w->v[i + 1].branch != w->v[i].branch;
		if (w->v[i].branch == w->br.current) {
			keep[i] = keep[i] || left > 0;
			left--;
		} else if (newest) {
			keep[i] = true;
		}
	}
}

/* Which to keep: an array that the caller frees. */
static bool *
to_keep(const struct view *w, int64_t last, int64_t best, const char *metric,
    bool mode_max)
{
	bool *keep = xcalloc(w->n + 1, sizeof(*keep));
	long latest = view_latest(w);
	long origin = view_find(w, w->br.from[w->br.current]);

	keep_newest(w, keep, RK_MAX(last, 1));
	keep_best(w, keep, best, metric, mode_max);
	for (size_t i = 0; i < w->n; i++) {
		if (w->v[i].names != NULL && w->v[i].names[0] != NULL)
			keep[i] = true;
	}
	if (latest >= 0)
		keep[latest] = true;
	if (origin >= 0)
		keep[origin] = true;
	return keep;
}

enum rk_err
ckpt_retain(struct ckpt *c, int64_t last, int64_t best, const char *metric,
    bool mode_max, int *deleted)
{
	struct view w;
	int n = 0;

	must_be(c, CKPT_TAG);
	*deleted = 0;
	enum rk_err rc = lock_changes(c);
	if (rc != RK_OK)
		return rc;
	rc = view_open(c, &w);
	if (rc != RK_OK) {
		unlock_changes(c);
		return rc;
	}
	bool *keep = to_keep(&w, last, best, metric, mode_max);
	char (*hidden)[HIDDEN_MAX] = xcalloc(w.n + 1, sizeof(*hidden));
	for (size_t i = 0; i < w.n && rc == RK_OK; i++) {
		if (keep[i])
			continue;
		rc = hide(c, w.v[i].dir, hidden[n]);
		n += rc == RK_OK;
	}
	if (n > 0 && sync_dir(c) != RK_OK)
		rc = RK_EIO;
	unlock_changes(c);
	for (int i = 0; i < n; i++)
		(void)!rk_remove_tree(c->dirfd, hidden[i]);
	*deleted = n;
	free(hidden);
	free(keep);
	view_fini(&w);
	return rc;
}

/* --- setting aside -------------------------------------------------------- */

enum rk_err
set_aside(struct ckpt *c, const char *dir, char as[HIDDEN_MAX])
{
	struct stat st;

	snprintf(as, HIDDEN_MAX, BAD_PREFIX "%s", dir);
	for (int i = 2; i <= ASIDE_TRIES; i++) {
		/* Only the writer does this, so what is free stays free. */
		if (fstatat(c->dirfd, as, &st, AT_SYMLINK_NOFOLLOW) != 0 &&
		    errno == ENOENT)
			break;
		snprintf(as, HIDDEN_MAX, BAD_PREFIX "%s-%d", dir, i);
	}
	if (renameat(c->dirfd, dir, c->dirfd, as) != 0) {
		log_errno("ckpt: cannot set %s/%s aside", c->path, dir);
		return rk_from_errno(errno);
	}
	return sync_dir(c);
}

/* --- branches ------------------------------------------------------------- */

enum rk_err
ckpt_branch_from(struct ckpt *c, const char *dir, int *branch)
{
	struct view w;
	enum rk_err rc = view_open(c, &w);

	if (rc != RK_OK)
		return rc;
	long latest = view_latest(&w);
	const char *now = latest >= 0 ? w.v[latest].dir : "";
	if (dir == NULL)
		dir = "";
	if (dir[0] != '\0' && view_find(&w, dir) < 0) {
		rc = RK_ENOENT;
	} else if (strcmp(dir, now) != 0) {
		if (w.br.current >= MAX_BRANCHES) {
			rc = RK_ELIMIT;
		} else {
			branches_extend(&w.br, w.br.current + 1, dir);
			rc = branches_write(c, &w.br);
		}
	}
	if (rc == RK_OK)
		*branch = w.br.current;
	view_fini(&w);
	return rc;
}
