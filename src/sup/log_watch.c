/*
 * Looks at the logs that grow: some times a second, and as often as the fastest
 * of them asks for, but not so often that the daemon does nothing else.  What a
 * trainer writes between two looks is above the bound for so long.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "impl.h"
#include "log.h"

#define LOOK_MS  250
#define FULL_MS  50             /* it cannot be copied */
#define SOON_MS  20
#define FIRST_MS 100
#define TELL_MS  60000

static int64_t
share(const struct sup *s)
{
	return (int64_t)(s->c.log_max / (uint64_t)s->c.log_files);
}

static int
open_folder(struct sup *s, const char *id)
{
	return open(sup_job_dir(s, id), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static bool
told_lately(struct sup *s)
{
	int64_t now = mono_ms();

	if (s->log_told_ms != 0 && now - s->log_told_ms < TELL_MS)
		return true;
	s->log_told_ms = now;
	return false;
}

/* Rotate if it is time; the size afterwards. */
static int64_t
bound(struct sup *s, const char *id, int fd, bool shared)
{
	struct stat st;
	int dirfd;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return 0;
	/* A little before, so that what comes until then finds room. */
	if (st.st_size < share(s) / 8 * 7 || (dirfd = open_folder(s, id)) < 0)
		return st.st_size;
	struct log_bound b = { .dirfd = dirfd, .fd = fd, .shared = shared,
		.share = share(s), .files = s->c.log_files,
		.lost = &s->totals.log_lost_bytes };
	uint64_t before = s->totals.log_lost_bytes;
	if (!log_rotate(&b) && !told_lately(s))
		log_warn("job=%s its log has %lld bytes and cannot be copied",
		    id, (long long)st.st_size);
	else if (s->totals.log_lost_bytes > before)
		log_warn("job=%s %llu bytes of its log were lost", id,
		    (unsigned long long)(s->totals.log_lost_bytes - before));
	rk_close(&dirfd);
	sup_tell(s, id, 'l');
	return fstat(fd, &st) == 0 ? st.st_size : 0;
}

int
log_open(struct sup *s, const char *id)
{
	int dirfd = open_folder(s, id), fd = -1;

	if (dirfd >= 0) {
		log_recover(dirfd);
		fd = openat(dirfd, LOG_FILE, O_RDWR | O_APPEND | O_CREAT |
		    O_CLOEXEC | O_NOFOLLOW, 0640);
	}
	int err = errno;
	rk_close(&dirfd);
	if (fd >= 0)
		(void)bound(s, id, fd, false);
	errno = err;
	return fd;
}

void
log_watch(struct run *run, int fd)
{
	run->log_fd = fd;
	run->log_ms = mono_ms();
	run->log_size = 0;
	loop_timer_at(run->s->log_timer, run->log_ms + FIRST_MS);
}

/* Milliseconds until it should be looked at again. */
static int64_t
look_at(struct run *run, int64_t now)
{
	int64_t size = bound(run->s, run->id, run->log_fd, true);
	int64_t grown = RK_MAX(size - run->log_size, 0);
	int64_t left = share(run->s) / 8 * 7 - size;
	int64_t ms = RK_MAX(now - run->log_ms, 1);

	run->log_size = size;
	run->log_ms = now;
	if (grown == 0 || left <= 0)
		return left <= 0 ? FULL_MS : LOOK_MS;
	return RK_MIN(RK_MAX(left / (grown / ms + 1), SOON_MS), LOOK_MS);
}

void
log_timer_fn(void *ctx)
{
	struct sup *s = ctx;
	int64_t wait = LOOK_MS;
	bool any = false;

	must_be(s, SUP_TAG);
	for (struct run *r = s->runs; r != NULL; r = r->next) {
		if (r->log_fd < 0)
			continue;
		any = true;
		wait = RK_MIN(wait, look_at(r, mono_ms()));
	}
	/* Those of an earlier daemon, as long as they are there. */
	for (const struct orphan *o = s->orphans; o != NULL; o = o->next) {
		int fd = log_open(s, o->id);
		any = true;
		rk_close(&fd);
	}
	if (any)
		loop_timer_at(s->log_timer, mono_ms() + wait);
}

void
log_end(struct run *run)
{
	if (run->log_fd < 0)
		return;
	(void)bound(run->s, run->id, run->log_fd, true);
	rk_close(&run->log_fd);
}
