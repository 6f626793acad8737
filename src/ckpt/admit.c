/*
 * A checkpoint from elsewhere.
 *
 *	.tmp-step-000001200-<random>/   the caller's, who puts files there
 *	step-000001200/                 once each is what checkpoint.json says
 *
 * Its files may be hard links to a cache's: nothing here writes into one.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "impl.h"

enum rk_err
ckpt_admit_begin(struct ckpt *c, const char *dir, char **tmp)
{
	char name[HIDDEN_MAX];
	int64_t step;
	int branch;

	must_be(c, CKPT_TAG);
	*tmp = NULL;
	if (!dir_parse(dir, &step, &branch))
		return RK_EINVAL;
	hidden_name(name, TMP_PREFIX, dir);
	if (mkdirat(c->dirfd, name, 0755) != 0) {
		log_errno("ckpt: cannot make room for %s/%s", c->path, dir);
		return rk_from_errno(errno);
	}
	*tmp = xasprintf("%s/%s", c->path, name);
	return RK_OK;
}

/* The name in the folder of a path that ckpt_admit_begin() gave. */
static const char *
name_of(const struct ckpt *c, const char *tmp)
{
	size_t n = strlen(c->path);

	must(strncmp(tmp, c->path, n) == 0 && tmp[n] == '/' &&
	    strncmp(tmp + n + 1, TMP_PREFIX, strlen(TMP_PREFIX)) == 0 &&
	    strchr(tmp + n + 1, '/') == NULL);
	return tmp + n + 1;
}

void
ckpt_admit_drop(struct ckpt *c, const char *tmp)
{
	must_be(c, CKPT_TAG);
	(void)!rk_remove_tree(c->dirfd, name_of(c, tmp));
}

/* --- what is in the folder ------------------------------------------------ */

static enum rk_err
read_info(int fd, const char *dir, struct ckpt_info *out, struct rk_why *why)
{
	char *s = NULL;
	size_t len;
	enum rk_err rc = rk_read_file(fd, CKPT_JSON, CKPT_JSON_MAX, &s, &len);

	*out = (struct ckpt_info){0};
	if (rc == RK_ENOENT || rc == RK_EINVAL || rc == RK_ELIMIT) {
		rk_refuse(why, CKPT_JSON ": %s", rk_strerror(rc));
		return RK_ECORRUPT;
	}
	if (rc != RK_OK)
		return rc;
	rc = ckpt_info_parse(s, len, dir, out, why);
	free(s);
	return rc;
}

static bool
is_listed(const struct ckpt_info *i, const char *name)
{
	if (strcmp(name, CKPT_JSON) == 0)
		return true;
	for (int k = 0; k < i->nfiles; k++) {
		if (strcmp(i->files[k].name, name) == 0)
			return true;
	}
	return false;
}

/* What checkpoint.json does not name does not come along: beginnings of
 * downloads, and what nobody vouches for. */
static enum rk_err
drop_others(int dirfd, const struct ckpt_info *i)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	enum rk_err rc = RK_OK;

	if (d == NULL) {
		rc = rk_from_errno(errno);
		rk_close(&fd);
		return rc;
	}
	for (struct dirent *e; rc == RK_OK && (e = readdir(d)) != NULL;) {
		if (strcmp(e->d_name, ".") != 0 &&
		    strcmp(e->d_name, "..") != 0 && !is_listed(i, e->d_name))
			rc = rk_remove_tree(dirfd, e->d_name);
	}
	closedir(d);
	return rc;
}

static enum rk_err
sync_file(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	enum rk_err rc = RK_OK;

	if (fd < 0 || fsync(fd) != 0) {
		log_errno("ckpt: cannot sync %s", name);
		rc = rk_from_errno(errno);
	}
	rk_close(&fd);
	return rc;
}

/* All that is named is there as named, nothing else, and on the disk. */
static enum rk_err
check(int fd, const struct ckpt_info *i, struct rk_why *why)
{
	enum rk_err rc = drop_others(fd, i);

	for (int k = 0; k < i->nfiles && rc == RK_OK; k++)
		rc = verify_file(fd, &i->files[k], why);
	for (int k = 0; k < i->nfiles && rc == RK_OK; k++)
		rc = sync_file(fd, i->files[k].name);
	if (rc == RK_OK)
		rc = sync_file(fd, CKPT_JSON);
	if (rc == RK_OK && fsync(fd) != 0) {
		log_errno("ckpt: cannot sync %s", i->dir);
		rc = rk_from_errno(errno);
	}
	return rc;
}

/* --- where it goes -------------------------------------------------------- */

/*
 * Is one there already?  RK_ENOENT: no, or it was damaged and is set aside.
 * RK_EEXIST: a good one that is another.
 */
static enum rk_err
there_already(struct ckpt *c, const struct ckpt_info *i, struct rk_why *why)
{
	char as[HIDDEN_MAX];
	struct rk_why own = {0};
	struct ckpt_info old;
	enum rk_err rc = read_dir_info(c, i->dir, &old, &own);

	if (rc == RK_OK) {
		rc = ckpt_verify(c, &old, &own);
		if (rc == RK_OK && strcmp(old.digest, i->digest) != 0) {
			rk_refuse(why, "another checkpoint %s is here",
			    i->dir);
			rc = RK_EEXIST;
		}
		ckpt_info_fini(&old);
	}
	if (rc == RK_ECORRUPT) {
		rc = set_aside(c, BAD_PREFIX, i->dir, as);
		if (rc == RK_OK) {
			log_warn("ckpt: %s/%s was damaged (%s) and is now %s",
			    c->path, i->dir, rk_why_first(&own), as);
			rc = RK_ENOENT;
		}
	}
	rk_why_fini(&own);
	return rc;
}

static enum rk_err
commit(struct ckpt *c, const char *name, const struct ckpt_info *i,
    struct rk_why *why)
{
	enum rk_err rc = there_already(c, i, why);

	if (rc == RK_OK)                /* it is the result */
		return rk_remove_tree(c->dirfd, name);
	if (rc != RK_ENOENT)
		return rc;
	if (renameat(c->dirfd, name, c->dirfd, i->dir) != 0) {
		log_errno("ckpt: cannot commit %s/%s", c->path, i->dir);
		return errno == ENOTEMPTY ? RK_EEXIST : rk_from_errno(errno);
	}
	rc = sync_dir(c);
	if (rc != RK_OK)
		take_back(c, i->dir);
	return rc;
}

enum rk_err
ckpt_admit(struct ckpt *c, const char *tmp, const char *dir,
    struct rk_why *why)
{
	struct ckpt_info i;

	must_be(c, CKPT_TAG);
	const char *name = name_of(c, tmp);
	int fd = openat(c->dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
	    O_CLOEXEC);
	if (fd < 0)
		return rk_from_errno(errno);
	enum rk_err rc = read_info(fd, dir, &i, why);
	if (rc == RK_OK) {
		rc = check(fd, &i, why);
		if (rc == RK_OK)
			rc = commit(c, name, &i, why);
		ckpt_info_fini(&i);
	}
	rk_close(&fd);
	return rc;
}
