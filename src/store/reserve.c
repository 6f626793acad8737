/*
 * One MiB of disk kept back.  When the file system is full, the file is removed
 * and what it held is room for the transactions that say so; a megabyte is some
 * thirty state changes before the WAL wraps.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "db.h"

#define RESERVE_BYTES   (1 << 20)
#define RESERVE_AGAIN   10000           /* ms between tries to take it again */
#define RESERVE_SPARE   (16u << 20)     /* free beyond it before we take it */

static char *
reserve_path(const struct store *s)
{
	return xasprintf("%s-reserve", s->path);
}

static bool
take(struct store *s)
{
	char *path = reserve_path(s);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	bool ok = fd >= 0 && posix_fallocate(fd, 0, RESERVE_BYTES) == 0;

	rk_close(&fd);
	if (!ok)
		unlink(path);
	free(path);
	return ok;
}

void
reserve_open(struct store *s)
{
	s->reserve_gone = !take(s);
	s->reserve_next_ms = mono_ms() + RESERVE_AGAIN;
}

bool
reserve_give_up(struct store *s)
{
	if (s->reserve_gone)
		return false;
	char *path = reserve_path(s);
	bool ok = unlink(path) == 0;
	free(path);
	s->reserve_gone = true;
	s->reserve_next_ms = mono_ms() + RESERVE_AGAIN;
	if (ok)
		log_warn("store: the disk is full; writing into the reserve");
	return ok;
}

void
reserve_restore(struct store *s)
{
	uint64_t room = 0;

	if (!s->reserve_gone || mono_ms() < s->reserve_next_ms)
		return;
	s->reserve_next_ms = mono_ms() + RESERVE_AGAIN;
	if (rk_disk_free(s->dirfd, &room) == RK_OK && room > RESERVE_SPARE &&
	    take(s))
		s->reserve_gone = false;
}
