/* The state directory: made, locked, and told where we listen. */
#include "impl.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define LOCK_WAIT_MS 3000
#define LOCK_POLL_US 20000

/* Why a directory cannot be used, for people. */
static enum rk_err
cannot(struct rk_why *why, const char *dir, const char *what, int err)
{
	char *reason = rk_why_unwritable(dir, err);

	(void)rk_refuse(why, "the state directory %s cannot be used: %s: %s",
	    dir, what, reason);
	free(reason);
	return rk_from_errno(err);
}

/* A daemon that was killed a moment ago has the lock until the kernel is done
 * with it, so that a start right behind a kill -9 waits for that. */
static bool
take_lock(int fd)
{
	const int64_t until_ms = mono_ms() + LOCK_WAIT_MS;

	while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK || mono_ms() > until_ms)
			return false;
		usleep(LOCK_POLL_US);
	}
	return true;
}

static enum rk_err
lock(struct state *st, const char *dir, struct rk_why *why)
{
	char pid[32] = "";
	ssize_t n;

	st->lockfd = openat(st->dirfd, "lock", O_RDWR | O_CREAT | O_CLOEXEC |
	    O_NOFOLLOW, 0600);
	if (st->lockfd < 0)
		return cannot(why, dir, "cannot write to it", errno);
	if (take_lock(st->lockfd)) {
		int len = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
		/* Only for people: that it is missing hurts nobody. */
		if (ftruncate(st->lockfd, 0) != 0 ||
		    pwrite(st->lockfd, pid, (size_t)len, 0) != len)
			log_errno("daemon: cannot write to %s/lock", dir);
		return RK_OK;
	}
	if (errno != EWOULDBLOCK)
		return cannot(why, dir, "cannot lock it", errno);
	n = pread(st->lockfd, pid, sizeof(pid) - 1, 0);
	pid[n > 0 ? strcspn(pid, "\n") : 0] = '\0';
	(void)rk_refuse(why, "another rekindled (process %s) uses the state "
	    "directory %s", pid[0] ? pid : "unknown", dir);
	return RK_EBUSY;
}

enum rk_err
state_open(struct state *st, const char *dir, struct rk_why *why)
{
	enum rk_err rc = rk_mkdirs(dir, 0750);

	*st = (struct state){ .dirfd = -1, .lockfd = -1 };
	if (rc != RK_OK) {
		char *reason = rk_folder_fault(dir);
		(void)rk_refuse(why, "the state directory %s cannot be made: "
		    "%s", dir, reason != NULL ? reason : rk_strerror(rc));
		free(reason);
		return rc;
	}
	st->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (st->dirfd < 0)
		return cannot(why, dir, "cannot open it", errno);
	rc = lock(st, dir, why);
	if (rc != RK_OK)
		state_close(st);
	return rc;
}

void
state_close(struct state *st)
{
	if (st->dirfd >= 0 && st->lockfd >= 0)
		(void)unlinkat(st->dirfd, "address", 0);
	rk_close(&st->lockfd);
	rk_close(&st->dirfd);
}

/* Of this run only, so it need not survive a power cut. */
void
state_address(const struct state *st, const char *url)
{
	static const char tmp[] = RK_TMP_PREFIX "address";
	int fd = openat(st->dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC |
	    O_CLOEXEC | O_NOFOLLOW, 0644);

	if (fd < 0 || rk_write_all(fd, url, strlen(url)) != 0 ||
	    rk_write_all(fd, "\n", 1) != 0 ||
	    renameat(st->dirfd, tmp, st->dirfd, "address") != 0)
		log_errno("daemon: cannot write the file `address`");
	rk_close(&fd);
}
