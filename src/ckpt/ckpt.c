/* Opening and closing a folder of checkpoints. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "impl.h"

#define WRITER_WAIT_MS 10000
#define WRITER_POLL_US 20000

/*
 * There is one writer.  A trainer whose daemon died commits and leaves, which
 * takes a moment; the next one waits for that, and does not sweep away what is
 * being written.
 */
static enum rk_err
lock_writer(struct ckpt *c)
{
	int64_t end_ms = mono_ms() + WRITER_WAIT_MS;
	bool told = false;

	c->lockfd = openat(c->dirfd, CKPT_LOCK, O_RDWR | O_CREAT | O_CLOEXEC |
	    O_NOFOLLOW, 0644);
	if (c->lockfd < 0) {
		log_errno("ckpt: cannot write in %s", c->path);
		return rk_from_errno(errno);
	}
	while (flock(c->lockfd, LOCK_EX | LOCK_NB) != 0) {
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK)
			return RK_OK;   /* a file system without locks */
		if (!told)
			log_info("ckpt: waiting for another process that "
			    "writes %s", c->path);
		told = true;
		if (mono_ms() >= end_ms) {
			log_error("ckpt: another process writes %s", c->path);
			return RK_EBUSY;
		}
		usleep(WRITER_POLL_US);
	}
	return RK_OK;
}

static bool
is_litter(const char *name)
{
	return strncmp(name, TMP_PREFIX, strlen(TMP_PREFIX)) == 0 ||
	    strncmp(name, DEL_PREFIX, strlen(DEL_PREFIX)) == 0 ||
	    strncmp(name, RK_TMP_PREFIX, strlen(RK_TMP_PREFIX)) == 0;
}

/* Remove what a crash has left.  What cannot be removed harms nobody. */
static void
sweep_locked(struct ckpt *c)
{
	int fd = openat(c->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	int n = 0;

	if (d == NULL) {
		log_errno("ckpt: cannot list %s", c->path);
		rk_close(&fd);
		return;
	}
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		if (is_litter(e->d_name) &&
		    rk_remove_tree(c->dirfd, e->d_name) == RK_OK)
			n++;
	}
	closedir(d);
	if (n > 0)
		log_info("ckpt: removed %d unfinished in %s", n, c->path);
}

enum rk_err
ckpt_open(struct ckpt **cp, const char *path, bool sweep)
{
	*cp = NULL;
	enum rk_err rc = rk_mkdirs(path, 0755);
	if (rc != RK_OK)
		return rc;
	struct ckpt *c = xcalloc(1, sizeof(*c));
	c->tag = CKPT_TAG;
	c->path = xstrdup(path);
	c->lockfd = -1;
	c->dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->dirfd < 0) {
		log_errno("ckpt: cannot open %s", path);
		rc = rk_from_errno(errno);
	}
	if (rc == RK_OK && sweep)
		rc = lock_writer(c);
	/* Under the lock: a name just being given is a .tmp- too. */
	if (rc == RK_OK && sweep && lock_changes(c) == RK_OK) {
		sweep_locked(c);
		unlock_changes(c);
	}
	if (rc != RK_OK)
		ckpt_close(&c);
	*cp = c;
	return rc;
}

void
ckpt_close(struct ckpt **cp)
{
	struct ckpt *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	must_be(c, CKPT_TAG);
	c->tag = 0;
	rk_close(&c->lockfd);
	rk_close(&c->dirfd);
	free(c->path);
	free(c);
}

const char *
ckpt_path(const struct ckpt *c)
{
	must_be(c, CKPT_TAG);
	return c->path;
}
