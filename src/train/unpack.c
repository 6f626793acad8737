/*
 * A gzipped tar among the data: unpacked once, then read in place.
 *
 *	/data/birds.tar.gz                   the job's, or in the daemon's cache
 *	/data/birds.tar.gz.unpacking/        while it is made
 *	/data/birds.tar.gz.unpacked/
 *	    data.tar                         what came out of it
 *	    from.json                        of which file, by fstat(2)
 *
 * The folder is renamed into place when both files are on the disk, and a file
 * that has changed since is unpacked anew, so what is there is whole.  Where
 * its own folder cannot be written to (read-only, no permission), the run's
 * folder has it.  Whoever unpacks holds a lock (flock) on the packed file; who
 * comes second waits, and finds it done.
 *
 * Bounds: at most MOST_BYTES come out of a file, and LEAVE_BYTES of the disk
 * stay free; what needs more is the job's fault in the first case, and waits
 * for room in the second.  It takes 600 KiB of memory.  What came out must be a
 * tar.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rekindle/format.h"
#include "run.h"

#define MOST_BYTES  ((uint64_t)1 << 40)
#define LEAVE_BYTES ((uint64_t)1 << 30)
#define FROM_FILE   "from.json"
#define FROM_MAX    1024
#define LOOK_MS     50

struct unpack {
	struct run *r;
	const char *path;               /* the packed file */
	const char *side;               /* "train" or "validation" */
	int fd;                         /* of it; locked */
	struct stat st;
	char *done, *making;            /* the folders */
};

/* Gzip, by its first two bytes, and a file. */
static bool
is_packed(const char *path)
{
	unsigned char magic[2] = { 0 };
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	const bool is = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    pread(fd, magic, sizeof(magic), 0) == sizeof(magic) &&
	    magic[0] == 0x1f && magic[1] == 0x8b;

	rk_close(&fd);
	return is;
}

/* --- which file it is of -------------------------------------------------- */

static char *
from_text(const struct stat *st)
{
	json_t *o = json_pack("{s:I, s:I, s:I, s:I}", "size",
	    (json_int_t)st->st_size, "inode", (json_int_t)st->st_ino,
	    "mtime_ns", (json_int_t)st->st_mtim.tv_sec * 1000000000 +
	    st->st_mtim.tv_nsec, "version", (json_int_t)1);
	char *text = rkj_text(o);

	json_decref(o);
	return text;
}

/* A whole one of this very file. */
static bool
is_done(const struct unpack *u)
{
	char *path = xasprintf("%s/" FROM_FILE, u->done), *was = NULL;
	char *want = from_text(&u->st);
	size_t n;
	const bool is = rk_read_file(AT_FDCWD, path, FROM_MAX, &was, &n) ==
	    RK_OK && strcmp(was, want) == 0;

	free(path);
	free(was);
	free(want);
	return is;
}

/* --- unpacking ------------------------------------------------------------ */

static bool
fail(struct unpack *u, enum rk_err rc, struct rk_why *why)
{
	struct run *r = u->r;
	char *text = place_named(r, rk_why_first(why));

	if (rc == RK_EINVAL)
		run_fail(r, "bad_data", true, "data.%s.path: %s", u->side,
		    text);
	else
		run_fail(r, rc == RK_ENOSPC ? "disk_full" : rc == RK_ENOMEM ?
		    "no_memory" : rc == RK_EROFS ? "read_only" : "io", false,
		    "%s", text);
	free(text);
	rk_why_fini(why);
	return false;
}

/* An errno, with the file's name. */
static enum rk_err
world(const struct unpack *u, const char *what, struct rk_why *why)
{
	int e = errno;

	rk_refuse(why, "%s: %s %s: %s", u->path, what, u->making, strerror(e));
	return rk_from_errno(e);
}

/* How much may come out of it now. */
static enum rk_err
room(const struct unpack *u, int fd, uint64_t *most, struct rk_why *why)
{
	char a[RK_HUMAN], b[RK_HUMAN], c[RK_HUMAN];
	uint64_t have;

	*most = MOST_BYTES;
	if (rk_disk_free(fd, &have) != RK_OK)
		return RK_OK;                   /* the write will tell */
	if (have > LEAVE_BYTES)
		*most = RK_MIN(MOST_BYTES, have - LEAVE_BYTES);
	if (have > LEAVE_BYTES && (uint64_t)u->st.st_size <= *most)
		return RK_OK;
	rk_refuse(why, "%s: there is no room to unpack its %s: %s are free, of "
	    "which %s are to stay free", u->path, rk_human_bytes(a,
	    (uint64_t)u->st.st_size), rk_human_bytes(b, have),
	    rk_human_bytes(c, LEAVE_BYTES));
	return RK_ENOSPC;
}

/* What stopped at `most` bytes is too much for the disk, or for anybody. */
static enum rk_err
too_much(const struct unpack *u, uint64_t most, struct rk_why *why)
{
	char a[RK_HUMAN], b[RK_HUMAN];

	if (most == MOST_BYTES)
		return RK_EINVAL;               /* why has it */
	rk_why_fini(why);
	*why = (struct rk_why){0};
	rk_refuse(why, "%s: unpacks to more than %s, and all else of the disk "
	    "but %s is full", u->path, rk_human_bytes(a, most),
	    rk_human_bytes(b, LEAVE_BYTES));
	return RK_ENOSPC;
}

/* data.tar, synced, and it is one. */
static enum rk_err
make_tar(const struct unpack *u, int dir, struct rk_why *why)
{
	char *path = xasprintf("%s/" SPEC_UNPACKED_TAR, u->making);
	struct format_tar *t = NULL;
	uint64_t most = 0, size;
	int fd = openat(dir, SPEC_UNPACKED_TAR, O_WRONLY | O_CREAT | O_EXCL |
	    O_CLOEXEC, 0640);
	enum rk_err rc = fd < 0 ? world(u, "cannot write to", why) :
	    room(u, fd, &most, why);

	if (rc == RK_OK)
		rc = format_gunzip(u->path, fd, most, &size, why);
	if (rc == RK_ELIMIT)
		rc = too_much(u, most, why);
	if (rc == RK_OK && fsync(fd) != 0)
		rc = world(u, "cannot write to", why);
	rk_close(&fd);
	if (rc == RK_OK)
		rc = format_tar_open(path, &t, why);
	format_tar_free(t);
	free(path);
	return rc;
}

static enum rk_err
make_from(const struct unpack *u, int dir, struct rk_why *why)
{
	char *text = from_text(&u->st);
	enum rk_err rc = rk_replace_file(dir, FROM_FILE, text, strlen(text));

	free(text);
	if (rc != RK_OK)
		rk_refuse(why, "%s: cannot write to %s: %s", u->path,
		    u->making, rk_strerror(rc));
	return rc;
}

/* The folder that is being made takes the place of one that is of another
 * file. */
static enum rk_err
place(const struct unpack *u, struct rk_why *why)
{
	char *parent = xstrndup(u->done, (size_t)(strrchr(u->done, '/') -
	    u->done));
	enum rk_err rc = rk_remove_tree(AT_FDCWD, u->done);

	if (rc != RK_OK)
		rk_refuse(why, "%s: cannot remove %s: %s", u->path, u->done,
		    rk_strerror(rc));
	else if (rename(u->making, u->done) != 0)
		rc = world(u, "cannot rename", why);
	int fd = open(parent[0] != '\0' ? parent : "/", O_RDONLY | O_DIRECTORY |
	    O_CLOEXEC);
	if (rc == RK_OK && (fd < 0 || rk_fsync_dir(fd) != 0))
		rc = world(u, "cannot sync the folder of", why);
	rk_close(&fd);
	free(parent);
	return rc;
}

/* RK_EROFS, RK_ENOENT: nothing can be made there. */
static enum rk_err
make(const struct unpack *u, struct rk_why *why)
{
	enum rk_err rc = rk_remove_tree(AT_FDCWD, u->making);

	if (rc != RK_OK)
		rk_refuse(why, "%s: cannot remove %s: %s", u->path, u->making,
		    rk_strerror(rc));
	else if (mkdir(u->making, 0750) != 0)
		rc = world(u, "cannot make", why);
	if (rc != RK_OK)
		return rc;
	int dir = open(u->making, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		rc = world(u, "cannot open", why);
	if (rc == RK_OK)
		rc = make_tar(u, dir, why);
	if (rc == RK_OK)
		rc = make_from(u, dir, why);
	rk_close(&dir);
	if (rc == RK_OK)
		rc = place(u, why);
	if (rc != RK_OK)
		(void)!rk_remove_tree(AT_FDCWD, u->making);
	return rc;
}

/* --- where ---------------------------------------------------------------- */

static void
name_beside(struct unpack *u)
{
	u->done = xasprintf("%s" SPEC_UNPACKED, u->path);
	u->making = xasprintf("%s" SPEC_UNPACKING, u->path);
}

/* In the run's folder, by the path. */
static void
name_in_run(struct unpack *u)
{
	const unsigned long long h = rk_hash64(0, u->path, strlen(u->path));

	free(u->done);
	free(u->making);
	u->done = xasprintf("%s/%016llx" SPEC_UNPACKED, u->r->dir, h);
	u->making = xasprintf("%s/%016llx" SPEC_UNPACKING, u->r->dir, h);
}

/* Beside the file where that can be, or in the run's folder, if there is one
 * (--summary has none). */
static bool
find_or_make(struct unpack *u)
{
	struct rk_why why = {0};
	enum rk_err rc = RK_OK;

	name_beside(u);
	if (is_done(u))
		return true;
	log_info("train: unpacks %s, once", u->path);
	rc = make(u, &why);
	if ((rc == RK_EROFS || rc == RK_ENOENT) && u->r->dir != NULL) {
		rk_why_fini(&why);
		why = (struct rk_why){0};
		name_in_run(u);
		rc = is_done(u) ? RK_OK : make(u, &why);
	}
	return rc == RK_OK || fail(u, rc, &why);
}

/* Nobody else unpacks it meanwhile. */
static bool
lock(struct unpack *u)
{
	u->fd = open(u->path, O_RDONLY | O_CLOEXEC);
	while (u->fd >= 0 && flock(u->fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			break;                  /* where none can be had */
		if (signals_came())
			return run_fail(u->r, "io", false, "was told to end "
			    "while another trainer unpacks %s", u->path);
		usleep(LOOK_MS * 1000);
	}
	if (u->fd >= 0 && fstat(u->fd, &u->st) == 0)
		return true;
	char *reason = rk_why_unreadable(u->path, errno);
	run_fail(u->r, "bad_data", true, "data.%s.path: %s: %s", u->side,
	    u->path, reason);
	free(reason);
	return false;
}

bool
unpack_tar(struct run *r, const char *path, const char *side,
    char **out)
{
	struct unpack u = { .r = r, .path = path, .side = side, .fd = -1 };

	*out = NULL;
	if (!is_packed(path))
		return true;
	const bool ok = lock(&u) && find_or_make(&u);
	if (ok)
		*out = xasprintf("%s/" SPEC_UNPACKED_TAR, u.done);
	rk_close(&u.fd);
	free(u.done);
	free(u.making);
	return ok;
}
