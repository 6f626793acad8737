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

enum rk_err
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
link_to(struct ckpt *c, const char *dir, const char *name)
{
	char tmp[HIDDEN_MAX];
	int64_t step;
	int branch;

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
ckpt_name(struct ckpt *c, const char *dir, const char *name)
{
	int held;

	must_be(c, CKPT_TAG);
	if (!person_name_ok(name))
		return RK_EINVAL;
	enum rk_err rc = hold_dir(c, dir, &held);
	if (rc == RK_OK)
		rc = make_sums(c, dir, held);
	if (rc == RK_OK)
		rc = link_to(c, dir, name);
	rk_close(&held);
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

void
take_back(struct ckpt *c, const char *dir)
{
	char hidden[HIDDEN_MAX];

	if (hide(c, dir, hidden) == RK_OK)
		(void)!rk_remove_tree(c->dirfd, hidden);
}

/* Before what they name goes, so that none is ever left pointing at nothing. */
static enum rk_err
take_names(struct ckpt *c, const struct ckpt_info *i)
{
	for (size_t k = 0; i->names != NULL && i->names[k] != NULL; k++) {
		if (unlinkat(c->dirfd, i->names[k], 0) == 0 ||
		    errno == ENOENT)
			continue;
		log_errno("ckpt: cannot take the name %s", i->names[k]);
		return rk_from_errno(errno);
	}
	return RK_OK;
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
	else if (at == view_latest(&w) || view_pinned(&w, (size_t)at))
		rc = RK_ECONFLICT;
	else if (is_held(c, dir))
		rc = RK_EBUSY;
	else
		rc = take_names(c, &w.v[at]);
	if (rc == RK_OK)
		rc = hide(c, dir, hidden);
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

/* --- setting aside -------------------------------------------------------- */

enum rk_err
set_aside(struct ckpt *c, const char *prefix, const char *dir,
    char as[HIDDEN_MAX])
{
	struct stat st;

	snprintf(as, HIDDEN_MAX, "%s%s", prefix, dir);
	for (int i = 2; i <= ASIDE_TRIES; i++) {
		/* Only the writer does this, so what is free stays free. */
		if (fstatat(c->dirfd, as, &st, AT_SYMLINK_NOFOLLOW) != 0 &&
		    errno == ENOENT)
			break;
		snprintf(as, HIDDEN_MAX, "%s%s-%d", prefix, dir, i);
	}
	if (renameat(c->dirfd, dir, c->dirfd, as) != 0) {
		log_errno("ckpt: cannot set %s/%s aside", c->path, dir);
		return rk_from_errno(errno);
	}
	return sync_dir(c);
}

enum rk_err
ckpt_set_aside(struct ckpt *c, const char *dir)
{
	struct ckpt_info i = {0};       /* for its names alone */
	char as[HIDDEN_MAX];
	int64_t step;
	int branch;

	must_be(c, CKPT_TAG);
	if (!dir_parse(dir, &step, &branch))
		return RK_ENOENT;
	enum rk_err rc = lock_changes(c);
	if (rc != RK_OK)
		return rc;
	snprintf(i.dir, sizeof(i.dir), "%s", dir);
	rc = dir_exists(c, dir) ? read_names(c, &i) : RK_ENOENT;
	if (rc == RK_OK)
		rc = take_names(c, &i);
	if (rc == RK_OK)
		rc = set_aside(c, LATE_PREFIX, dir, as);
	unlock_changes(c);
	if (rc == RK_OK)
		log_info("ckpt: %s/%s is now %s", c->path, dir, as);
	ckpt_info_fini(&i);
	return rc;
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
	} else if (strcmp(dir, now) != 0 || view_newer(&w) != NULL ||
	    (dir[0] == '\0' &&
	    (w.nbroken > 0 || asides_any(c, &w.br)))) {
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

bool
ckpt_origin(struct ckpt *c, int *branch, char from[CKPT_DIR_MAX])
{
	struct view w;
	bool known = true;
	int64_t step;
	int older;

	*branch = 1;
	from[0] = '\0';
	if (view_open(c, &w) != RK_OK)
		return false;
	*branch = w.br.current;
	snprintf(from, CKPT_DIR_MAX, "%s", w.br.from[*branch]);
	/* branch.json may be lost; the oldest one of the branch says from where
	 * its run went on. */
	for (size_t i = 0; i < w.n && from[0] == '\0'; i++) {
		if (w.v[i].branch != *branch || w.v[i].parent[0] == '\0')
			continue;
		known = dir_parse(w.v[i].parent, &step, &older) &&
		    older < *branch;
		if (known)
			snprintf(from, CKPT_DIR_MAX, "%s", w.v[i].parent);
		break;
	}
	view_fini(&w);
	return known;
}

enum rk_err
ckpt_branch_set(struct ckpt *c, int branch, const char *from)
{
	struct branches br;
	int64_t step;
	int older;

	must_be(c, CKPT_TAG);
	if (branch < 1 || branch > MAX_BRANCHES)
		return RK_EINVAL;
	if (from == NULL || !dir_parse(from, &step, &older) ||
	    older >= branch)
		from = "";
	branches_read(c, &br);
	bool change = true;
	if (branch > br.current)
		branches_extend(&br, branch, from);
	else if (branch == br.current && from[0] != '\0' &&
	    br.from[branch][0] == '\0')
		snprintf(br.from[branch], CKPT_DIR_MAX, "%s", from);
	else
		change = false;
	enum rk_err rc = change ? branches_write(c, &br) : RK_OK;
	branches_fini(&br);
	return rc;
}
