/* Files: read whole, written whole, made to stay. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "rekindle/base.h"

#define COPY_BYTES ((size_t)1 << 20)

/* From what fstat says, a little more than needed: end of file is then seen
 * without growing.  Files in /proc say 0. */
static size_t
first_room(off_t size, size_t max)
{
	size_t n = size > 0 ? (size_t)size : 4096;

	return RK_MIN(n, max) + 2;
}

/* Read fd to its end, or to one byte more than max: then RK_ELIMIT. */
static enum rk_err
read_rest(int fd, size_t cap, size_t max, char **out, size_t *len)
{
	char *p = malloc(cap);
	size_t n = 0;
	enum rk_err rc = RK_ENOMEM;

	while (p != NULL) {
		ssize_t k = read(fd, p + n, cap - 1 - n);
		if (k < 0 && errno == EINTR)
			continue;
		rc = k < 0 ? rk_from_errno(errno) : RK_OK;
		if (k <= 0)
			break;
		n += (size_t)k;
		rc = RK_ELIMIT;
		if (n > max)
			break;
		if (n < cap - 1)
			continue;
		cap = cap > SIZE_MAX / 2 ? SIZE_MAX : cap * 2;
		char *q = realloc(p, cap);
		rc = RK_ENOMEM;
		if (q == NULL)
			break;
		p = q;
	}
	if (rc != RK_OK) {
		free(p);
		return rc;
	}
	p[n] = '\0';
	*out = p;
	*len = n;
	return RK_OK;
}

enum rk_err
rk_read_file(int dirfd, const char *path, size_t max, char **out, size_t *len)
{
	struct stat st;
	enum rk_err rc;

	must(max <= SIZE_MAX - 2);
	/* NONBLOCK, so that a fifo does not hold us up before we refuse it. */
	int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK |
	    O_NOCTTY);
	if (fd < 0)
		return rk_from_errno(errno);
	if (fstat(fd, &st) != 0)
		rc = rk_from_errno(errno);
	else if (!S_ISREG(st.st_mode))
		rc = RK_EINVAL;
	else if (st.st_size > 0 && (uint64_t)st.st_size > max)
		rc = RK_ELIMIT;
	else
		rc = read_rest(fd, first_room(st.st_size, max), max, out, len);
	close(fd);
	return rc;
}

int
rk_write_all(int fd, const void *p, size_t n)
{
	const char *s = p;

	while (n > 0) {
		ssize_t k = write(fd, s, n);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0) {
			if (k == 0)
				errno = EIO;
			return -1;
		}
		s += k;
		n -= (size_t)k;
	}
	return 0;
}

int
rk_copy_fd(int in, int out)
{
	char *buf = xmalloc(COPY_BYTES);
	ssize_t n;
	int rc = 0;

	while (rc == 0 && (n = read(in, buf, COPY_BYTES)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		rc = n < 0 || rk_write_all(out, buf, (size_t)n) != 0 ? -1 : 0;
	}
	free(buf);
	return rc;
}

int
rk_fsync_dir(int dirfd)
{
	int fd = dirfd, rc;

	if (dirfd == AT_FDCWD) {
		fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			return -1;
	}
	do
		rc = fsync(fd);
	while (rc != 0 && errno == EINTR);
	/* Some file systems cannot sync a directory and need not. */
	if (rc != 0 && errno == EINVAL)
		rc = 0;
	if (fd != dirfd) {
		int saved = errno;
		close(fd);
		errno = saved;
	}
	return rc;
}

static void
temp_name(char *out, size_t n)
{
	uint64_t r;

	rk_random_bytes(&r, sizeof(r));
	snprintf(out, n, RK_TMP_PREFIX "%016llx", (unsigned long long)r);
}

/* The temporary file, made; -1 and errno. */
static int
temp_open(int dirfd, char *tmp, size_t n)
{
	temp_name(tmp, n);
	return openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC |
	    O_NOFOLLOW, 0644);
}

static int
put_in_place(int dirfd, const char *tmp, const char *name, enum rk_old old)
{
	if (old == RK_REPLACE_OLD)
		return renameat(dirfd, tmp, dirfd, name);
	/* Not every file system can rename so that what is there stays; it is
	 * looked there first, then. */
	if (renameat2(dirfd, tmp, dirfd, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	if (faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		errno = EEXIST;
		return -1;
	}
	return renameat(dirfd, tmp, dirfd, name);
}

/* fd to the disk and in its place; takes fd.  0, or -1 and errno, and then
 * there is no temporary file. */
static int
temp_keep(int dirfd, int fd, const char *tmp, const char *name,
    enum rk_old old)
{
	int e = fsync(fd) != 0 ? errno : 0;

	/* Over a network, close is where a full quota may first show. */
	if (close(fd) != 0 && errno != EINTR && e == 0)
		e = errno;
	if (e == 0 && put_in_place(dirfd, tmp, name, old) != 0)
		e = errno;
	if (e == 0)
		return rk_fsync_dir(dirfd);
	unlinkat(dirfd, tmp, 0);
	errno = e;
	return -1;
}

static void
temp_drop(int dirfd, int *fd, const char *tmp)
{
	const int saved = errno;

	rk_close(fd);
	unlinkat(dirfd, tmp, 0);
	errno = saved;
}

enum rk_err
rk_replace_file(int dirfd, const char *name, const void *p, size_t n)
{
	char tmp[sizeof(RK_TMP_PREFIX) + 16];

	must(name[0] != '\0' && strchr(name, '/') == NULL);
	int fd = temp_open(dirfd, tmp, sizeof(tmp));
	if (fd < 0)
		goto fail;
	if (rk_write_all(fd, p, n) != 0) {
		temp_drop(dirfd, &fd, tmp);
		goto fail;
	}
	if (temp_keep(dirfd, fd, tmp, name, RK_REPLACE_OLD) == 0)
		return RK_OK;
fail:
	log_errno("cannot write %s", name);
	return rk_from_errno(errno);
}

static const char *
name_in(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}

static enum rk_err
cannot_write(const char *path, const char *reason, struct rk_why *why)
{
	const enum rk_err rc = rk_from_errno(errno);

	rk_refuse(why, "cannot write %s: %s", path, reason != NULL ? reason :
	    rk_strerror(rc));
	return rc;
}

/* May a file be put at this path? */
static enum rk_err
may_be_file(const char *path, enum rk_old old, struct rk_why *why)
{
	struct stat st;
	const bool there = stat(path, &st) == 0;

	if (name_in(path)[0] == '\0' || (there && S_ISDIR(st.st_mode)))
		return rk_refuse(why, "cannot write %s: it is a folder, want "
		    "the name of a file", path);
	if (there && !S_ISREG(st.st_mode))
		return rk_refuse(why, "cannot write %s: it is a %s, and a file "
		    "would take its place; want the name of a file", path,
		    S_ISFIFO(st.st_mode) ? "pipe" : S_ISSOCK(st.st_mode) ?
		    "socket" : "device");
	if (old == RK_KEEP_OLD && (there || lstat(path, &st) == 0)) {
		rk_refuse(why, "%s is there already", path);
		return RK_EEXIST;
	}
	return RK_OK;
}

enum rk_err
rk_replacing_begin(struct rk_replacing *r, const char *path, enum rk_old old,
    struct rk_why *why)
{
	const char *name = name_in(path);
	enum rk_err rc = may_be_file(path, old, why);

	*r = (struct rk_replacing){ .fd = -1, .dirfd = -1, .path = path,
		.old = old };
	if (rc != RK_OK)
		return rc;
	char *folder = name == path ? xstrdup(".") :
	    xstrndup(path, (size_t)RK_MAX(name - path - 1, 1));
	r->dirfd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->dirfd >= 0)
		r->fd = temp_open(r->dirfd, r->tmp, sizeof(r->tmp));
	if (r->fd < 0) {
		const int e = errno;
		char *said = rk_why_unwritable(folder, e);
		errno = e;
		rc = cannot_write(path, said, why);
		free(said);
		rk_close(&r->dirfd);
	}
	free(folder);
	return rc;
}

enum rk_err
rk_replacing_end(struct rk_replacing *r, bool keep, struct rk_why *why)
{
	enum rk_err rc = RK_OK;

	if (!keep)
		temp_drop(r->dirfd, &r->fd, r->tmp);
	else if (temp_keep(r->dirfd, r->fd, r->tmp, name_in(r->path),
	    r->old) != 0)
		rc = cannot_write(r->path, NULL, why);
	rk_close(&r->dirfd);
	return rc;
}

enum rk_err
rk_replace_path(const char *path, const void *p, size_t n, struct rk_why *why)
{
	struct rk_replacing r;
	enum rk_err rc = rk_replacing_begin(&r, path, RK_REPLACE_OLD, why);

	if (rc != RK_OK)
		return rc;
	if (rk_write_all(r.fd, p, n) == 0)
		return rk_replacing_end(&r, true, why);
	rc = cannot_write(path, NULL, why);
	(void)!rk_replacing_end(&r, false, NULL);
	return rc;
}

enum rk_err
rk_disk_free(int fd, uint64_t *bytes)
{
	struct statvfs v;

	if (fstatvfs(fd, &v) != 0)
		return RK_EIO;
	*bytes = (uint64_t)v.f_bavail * v.f_frsize;
	return RK_OK;
}

void
rk_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

/* The flag set or cleared, by one pair of fcntl(2) commands. */
static int
set_flag(int fd, int get, int set, int flag, bool on)
{
	int was = fcntl(fd, get);

	if (was < 0)
		return -1;
	return fcntl(fd, set, on ? was | flag : was & ~flag) < 0 ? -1 : 0;
}

int
rk_set_cloexec(int fd, bool on)
{
	return set_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC, on);
}

int
rk_set_nonblock(int fd, bool on)
{
	return set_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK, on);
}
