/*
 * A file that checkpoints of the folder share, by hard links; and what takes
 * the place of one that is damaged: see ckpt.h, "Shards".
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "impl.h"

/* --- folders -------------------------------------------------------------- */

/* Of checkpoints, the newest of a branch first; those that were set aside
 * behind. */
struct folders {
	char (*v)[HIDDEN_MAX];
	size_t n;
};

static bool
is_step(const char *name)
{
	int64_t step;
	int branch;

	return dir_parse(name, &step, &branch);
}

static int
newest_first(const void *a, const void *b)
{
	const bool x = is_step(a), y = is_step(b);

	return x != y ? (x ? -1 : 1) : strcmp(b, a);
}

static bool
is_aside(const char *name)
{
	return strncmp(name, BAD_PREFIX "step-", strlen(BAD_PREFIX) + 5) == 0 ||
	    strncmp(name, LATE_PREFIX "step-", strlen(LATE_PREFIX) + 5) == 0;
}

static void
folders_read(struct ckpt *c, struct folders *f, bool aside)
{
	int fd = openat(c->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

	*f = (struct folders){0};
	if (d == NULL)
		rk_close(&fd);
	for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
		if (strlen(e->d_name) >= HIDDEN_MAX || (!is_step(e->d_name) &&
		    !(aside && is_aside(e->d_name))))
			continue;
		f->v = xrealloc(f->v, (f->n + 1) * sizeof(*f->v));
		snprintf(f->v[f->n++], HIDDEN_MAX, "%s", e->d_name);
	}
	if (d != NULL)
		closedir(d);
	if (f->n > 0)
		qsort(f->v, f->n, sizeof(*f->v), newest_first);
}

/* The file of a folder, as fstatat() finds it. */
static bool
look(struct ckpt *c, const char *folder, const char *name, struct stat *st)
{
	char *path = xasprintf("%s/%s", folder, name);
	const bool is = fstatat(c->dirfd, path, st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISREG(st->st_mode);

	free(path);
	return is;
}

static bool
same_file(const struct bad_copy *b, const struct stat *st)
{
	return b->is && b->dev == st->st_dev && b->ino == st->st_ino;
}

/* --- is it good? ---------------------------------------------------------- */

void
shared_is_good(struct ckpt *c, int dirfd, const struct ckpt_file *f)
{
	struct stat st;

	if (fstatat(dirfd, f->name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return;
	snprintf(c->known.name, sizeof(c->known.name), "%s", f->name);
	c->known.dev = st.st_dev;
	c->known.ino = st.st_ino;
}

/* By its digest, once for each file on the disk. */
static bool
check(struct ckpt *c, int dirfd, const struct ckpt_file *f)
{
	struct stat st;

	if (fstatat(dirfd, f->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    c->known.dev == st.st_dev && c->known.ino == st.st_ino &&
	    (uint64_t)st.st_size == f->size &&
	    strcmp(c->known.name, f->name) == 0)
		return true;
	if (verify_file(dirfd, f, NULL) != RK_OK)
		return false;
	shared_is_good(c, dirfd, f);
	return true;
}

/* --- links ---------------------------------------------------------------- */

/* A link of folder's file in fd under `as`, if it is good. */
static bool
link_good(struct ckpt *c, const char *folder, const struct ckpt_file *f,
    int fd, const char *as)
{
	int from = openat(c->dirfd, folder, O_RDONLY | O_DIRECTORY |
	    O_NOFOLLOW | O_CLOEXEC);
	const bool done = from >= 0 && check(c, from, f) &&
	    linkat(from, f->name, fd, as, 0) == 0;

	rk_close(&from);
	return done;
}

/* From the first folder that has a good one; bad gets one that is not. */
static bool
link_any(struct ckpt *c, const struct folders *all, const struct ckpt_file *f,
    int fd, const char *as, struct bad_copy *bad)
{
	struct stat st;

	for (size_t k = 0; k < all->n; k++) {
		if (!look(c, all->v[k], f->name, &st) || same_file(bad, &st))
			continue;
		if (link_good(c, all->v[k], f, fd, as))
			return true;
		*bad = (struct bad_copy){ true, st.st_dev, st.st_ino };
	}
	return false;
}

bool
shared_link(struct ckpt *c, int fd, const struct ckpt_file *f,
    struct bad_copy *bad)
{
	struct folders all;

	folders_read(c, &all, false);
	const bool done = link_any(c, &all, f, fd, f->name, bad);
	free(all.v);
	return done;
}

/* --- mending -------------------------------------------------------------- */

/* `tmp` in the folder fd takes the place of its file. */
static bool
replace(int fd, const char *tmp, const char *name)
{
	if (renameat(fd, tmp, fd, name) == 0 && fsync(fd) == 0)
		return true;
	(void)unlinkat(fd, tmp, 0);
	return false;
}

size_t
shared_mend(struct ckpt *c, int fd, const struct ckpt_file *f,
    const struct bad_copy *bad)
{
	char tmp[HIDDEN_MAX];
	struct folders all;
	size_t mended = 0;
	struct stat st;

	if (!bad->is)
		return 0;
	folders_read(c, &all, true);
	for (size_t k = 0; k < all.n; k++) {
		if (!look(c, all.v[k], f->name, &st) || !same_file(bad, &st))
			continue;
		int to = openat(c->dirfd, all.v[k], O_RDONLY | O_DIRECTORY |
		    O_NOFOLLOW | O_CLOEXEC);
		hidden_name(tmp, RK_TMP_PREFIX, "shard");
		if (to >= 0 && linkat(fd, f->name, to, tmp, 0) == 0)
			mended += replace(to, tmp, f->name);
		rk_close(&to);
	}
	free(all.v);
	if (mended > 0)
		log_warn("ckpt: %s was damaged in %zu checkpoint%s of %s and "
		    "is whole again", f->name, mended, rk_s((int64_t)mended),
		    c->path);
	return mended;
}

/* One that is bad, or missing, in the folder fd: from another folder. */
static bool
mend_from_others(struct ckpt *c, int fd, const struct ckpt_file *f)
{
	struct bad_copy bad = {0}, any;
	char tmp[HIDDEN_MAX];
	struct folders all;
	struct stat st;

	if (fstatat(fd, f->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		bad = (struct bad_copy){ true, st.st_dev, st.st_ino };
	any = bad;
	folders_read(c, &all, true);
	hidden_name(tmp, RK_TMP_PREFIX, "shard");
	const bool done = link_any(c, &all, f, fd, tmp, &any) &&
	    replace(fd, tmp, f->name);
	free(all.v);
	if (done)
		(void)shared_mend(c, fd, f, &bad);
	return done;
}

bool
shared_repair(struct ckpt *c, const struct ckpt_info *i)
{
	bool any = false;
	int fd = openat(c->dirfd, i->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
	    O_CLOEXEC);

	for (int k = 0; fd >= 0 && k < i->nfiles; k++) {
		const struct ckpt_file *f = &i->files[k];
		if (ckpt_is_shared(f) && verify_file(fd, f, NULL) != RK_OK)
			any = mend_from_others(c, fd, f) || any;
	}
	rk_close(&fd);
	return any;
}

/* --- for who can get one from elsewhere ----------------------------------- */

static bool
has_shard(struct ckpt *c, const char *folder)
{
	int fd = openat(c->dirfd, folder, O_RDONLY | O_DIRECTORY |
	    O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct ckpt_file f = {0};
	bool found = false;

	if (d == NULL)
		rk_close(&fd);
	for (struct dirent *e; d != NULL && !found &&
	    (e = readdir(d)) != NULL;) {
		snprintf(f.name, sizeof(f.name), "%.63s", e->d_name);
		found = ckpt_is_shared(&f) || strcmp(f.name,
		    CKPT_INDEX_FILE) == 0;
	}
	if (d != NULL)
		closedir(d);
	return found;
}

bool
ckpt_any_shards(struct ckpt *c)
{
	struct folders all;
	bool any = false;

	must_be(c, CKPT_TAG);
	folders_read(c, &all, false);
	for (size_t k = 0; k < all.n && !any; k++)
		any = has_shard(c, all.v[k]);
	free(all.v);
	return any;
}

static bool
is_listed(const struct ckpt_file *v, int n, const char *name)
{
	for (int k = 0; k < n; k++)
		if (strcmp(v[k].name, name) == 0)
			return true;
	return false;
}

/* Those of one checkpoint. */
static void
add_bad(struct ckpt *c, const struct ckpt_info *i, struct ckpt_file *v, int *n)
{
	int fd = openat(c->dirfd, i->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
	    O_CLOEXEC);

	for (int k = 0; fd >= 0 && k < i->nfiles; k++) {
		const struct ckpt_file *f = &i->files[k];
		if (!ckpt_is_shared(f) || is_listed(v, *n, f->name) ||
		    check(c, fd, f) || mend_from_others(c, fd, f))
			continue;
		if (*n < CKPT_BAD_MAX)
			v[(*n)++] = *f;
	}
	rk_close(&fd);
}

enum rk_err
ckpt_bad_shards(struct ckpt *c, struct ckpt_file v[CKPT_BAD_MAX], int *n)
{
	struct view w;

	*n = 0;
	if (!ckpt_any_shards(c))
		return RK_OK;
	enum rk_err rc = view_open(c, &w);
	if (rc != RK_OK)
		return rc;
	for (size_t k = 0; k < w.n; k++)
		add_bad(c, &w.v[k], v, n);
	view_fini(&w);
	return RK_OK;
}

/* A link of the file at path, or a copy. */
static enum rk_err
take_in(const char *path, int to, const char *as)
{
	if (linkat(AT_FDCWD, path, to, as, 0) == 0)
		return RK_OK;
	int in = open(path, O_RDONLY | O_CLOEXEC);
	int out = openat(to, as, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
	    0644);
	enum rk_err rc = RK_OK;
	if (in < 0 || out < 0 || rk_copy_fd(in, out) != 0 || fsync(out) != 0)
		rc = rk_from_errno(errno);
	rk_close(&in);
	rk_close(&out);
	if (rc != RK_OK)
		(void)unlinkat(to, as, 0);
	return rc;
}

/* Is it to have the file, and has none that is good?  bad: one that is known to
 * be not. */
static bool
wants(struct ckpt *c, const char *folder, int fd, const struct ckpt_file *f,
    struct bad_copy *bad)
{
	struct ckpt_info i = {0};
	struct stat st;
	bool yes = false;

	if (look(c, folder, f->name, &st)) {
		yes = same_file(bad, &st) || !check(c, fd, f);
		if (yes)
			*bad = (struct bad_copy){ true, st.st_dev, st.st_ino };
	} else if (is_step(folder) && read_dir_info(c, folder, &i, NULL) ==
	    RK_OK) {
		yes = has_file(&i, f->name);
		ckpt_info_fini(&i);
	}
	return yes;
}

enum rk_err
ckpt_mend(struct ckpt *c, const struct ckpt_file *f, const char *path,
    int *mended)
{
	struct bad_copy bad = {0};
	enum rk_err rc = RK_OK;
	char tmp[HIDDEN_MAX];
	struct folders all;

	must_be(c, CKPT_TAG);
	*mended = 0;
	int copy = open(path, O_RDONLY | O_CLOEXEC);
	rc = copy < 0 ? rk_from_errno(errno) : ckpt_file_sums(copy, f, NULL,
	    NULL);
	rk_close(&copy);
	folders_read(c, &all, true);
	for (size_t k = 0; k < all.n && rc == RK_OK; k++) {
		int fd = openat(c->dirfd, all.v[k], O_RDONLY | O_DIRECTORY |
		    O_NOFOLLOW | O_CLOEXEC);
		hidden_name(tmp, RK_TMP_PREFIX, "shard");
		if (fd >= 0 && wants(c, all.v[k], fd, f, &bad)) {
			rc = take_in(path, fd, tmp);
			if (rc == RK_OK && replace(fd, tmp, f->name))
				(*mended)++;
		}
		rk_close(&fd);
	}
	free(all.v);
	return rc;
}
