/* file://: large files, copied and hashed on the way. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"

#define PIECE (1u << 20)

static void
moved(const struct remote_op *op, uint64_t *done, uint64_t *total)
{
	const struct file_job *j = op->file;

	if (j == NULL)
		return;
	*done = atomic_load(&((struct file_job *)(uintptr_t)j)->moved);
	*total = j->size;
}

/* size bytes from the beginning of `from` to the beginning of `to`. */
static bool
copy(struct file_job *j, int from, int to)
{
	struct rk_sha256 *d = rk_sha256_new();
	char *p = xmalloc(PIECE);
	uint64_t at = 0;
	bool ok = true;

	while (at < j->size && ok && !atomic_load(&j->stop)) {
		size_t want = (size_t)RK_MIN(j->size - at, PIECE), n = 0;
		ssize_t got = pread(from, p, want, (off_t)at);
		if (got > 0)
			rk_sha256_add(d, p, (size_t)got);
		while (got > 0 && n < (size_t)got) {
			ssize_t m = pwrite(to, p + n, (size_t)got - n,
			    (off_t)(at + n));
			if (m < 0 && errno != EINTR)
				break;
			n += m > 0 ? (size_t)m : 0;
		}
		if (got == 0) {
			file_said(j, REMOTE_LOCAL, "%s: the file is shorter "
			    "than it was", j->path);
			j->err = RK_ECORRUPT;
			ok = false;
		} else if ((got < 0 && errno != EINTR) ||
		    (got > 0 && n < (size_t)got)) {
			file_failed(j, "copy it");
			ok = false;
		} else if (got > 0) {
			at += (uint64_t)got;
			atomic_store(&j->moved, at);
		}
	}
	free(p);
	rk_sha256_end(d, j->sha256);
	return ok && !atomic_load(&j->stop);
}

static bool
digest_agrees(struct file_job *j)
{
	if (j->want_sha256 == NULL || strcmp(j->want_sha256, j->sha256) == 0)
		return true;
	file_said(j, REMOTE_DAMAGED, "%s: its SHA-256 is %s, want %s", j->path,
	    j->sha256, j->want_sha256);
	return false;
}

/* --- up ------------------------------------------------------------------- */

static void
upload_work(struct file_job *j)
{
	struct file_new f;

	if (file_new_open(j, &f) && copy(j, j->fd, f.fd) && digest_agrees(j))
		(void)file_new_commit(j, &f);
	file_new_fini(&f);
}

void
file_upload(struct remote_op *op, const struct remote_upload *a)
{
	struct file_job *j = file_job(op, upload_work, NULL);

	op->moved = moved;
	j->fd = fcntl(a->fd, F_DUPFD_CLOEXEC, 3);
	j->size = a->size;
	j->want_sha256 = a->sha256 != NULL ? xstrdup(a->sha256) : NULL;
	file_start(j);
}

/* --- down ----------------------------------------------------------------- */

static void
download_look(struct file_job *j)
{
	struct stat st;

	j->source = open(j->path, O_RDONLY | O_CLOEXEC);
	if (j->source < 0 || fstat(j->source, &st) != 0) {
		file_failed(j, "read it");
		return;
	}
	if (!S_ISREG(st.st_mode)) {
		file_said(j, REMOTE_MISSING, "%s is no file", j->path);
		return;
	}
	file_stat(j, &st);
	if (j->max != 0 && j->size > j->max)
		file_said(j, REMOTE_REFUSED, "%s is %llu bytes long, want at "
		    "most %llu", j->path, (unsigned long long)j->size,
		    (unsigned long long)j->max);
	else if (j->want_etag != NULL && strcmp(j->want_etag, j->etag) != 0)
		file_said(j, REMOTE_CHANGED, "%s is another file by now",
		    j->path);
}

static void
download_work(struct file_job *j)
{
	if (!copy(j, j->source, j->fd))
		return;
	if (ftruncate(j->fd, (off_t)j->size) != 0 || fsync(j->fd) != 0) {
		j->err = rk_from_errno(errno);
		file_said(j, REMOTE_LOCAL, "cannot write the copy of %s: %s",
		    j->path, strerror(errno));
		return;
	}
	(void)digest_agrees(j);
}

static void
downloaded(struct file_job *j)
{
	if (j->get.got != NULL && j->size > 0)
		j->get.got(j->op->ctx, 0, j->size);
	file_next(j, NULL, NULL);
}

static void
download_sized(struct file_job *j)
{
	if (j->get.sized != NULL &&
	    !j->get.sized(j->op->ctx, j->size, j->etag)) {
		j->err = RK_ENOSPC;
		file_said(j, REMOTE_LOCAL, "there is no room for the %llu "
		    "bytes of %s", (unsigned long long)j->size, j->path);
		file_next(j, NULL, NULL);
		return;
	}
	file_next(j, download_work, downloaded);
}

void
file_download(struct remote_op *op, const struct remote_download *a)
{
	struct file_job *j = file_job(op, download_look, download_sized);

	op->moved = moved;
	j->fd = fcntl(a->fd, F_DUPFD_CLOEXEC, 3);
	j->max = a->max;
	j->get.sized = a->sized;
	j->get.got = a->got;
	j->want_etag = a->etag != NULL && a->etag[0] != '\0' ?
	    xstrdup(a->etag) : NULL;
	const char *sha256 = a->sha256 != NULL ? a->sha256 : op->place.sha256;
	j->want_sha256 = sha256 != NULL ? xstrdup(sha256) : NULL;
	file_start(j);
}
