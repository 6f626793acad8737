/* The files of a log, read as one. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "impl.h"
#include "log.h"

/* The files by their place in the whole, the oldest first. */
struct pieces {
	int dirfd, n;
	struct piece {
		int k;
		int64_t start, size;
	} v[LOG_FILES_MAX];
	int64_t end;
};

/* -1: it is not there, or no file. */
static int64_t
size_at(int dirfd, int k)
{
	char name[LOG_NAME];
	struct stat st;

	log_name(name, k);
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
	    !S_ISREG(st.st_mode))
		return -1;
	return st.st_size;
}

static bool
open_pieces(struct sup *s, const char *id, struct pieces *p)
{
	struct log_at at;
	int64_t size[LOG_FILES_MAX], start;

	*p = (struct pieces){ .dirfd = open(sup_job_dir(s, id), O_RDONLY |
	    O_DIRECTORY | O_CLOEXEC) };
	/* Something else in its place has no log either. */
	if (p->dirfd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP;
	log_at_read(p->dirfd, &at);
	for (int k = 0; k < LOG_FILES_MAX; k++)
		size[k] = size_at(p->dirfd, k);
	/* Truncated, and the place was not written. */
	if (at.files > 0 && at.ahead + RK_MAX(size[1], 0) > size[0])
		at.start += at.ahead + RK_MAX(size[1], 0);
	start = at.start;
	for (int k = 1; k < LOG_FILES_MAX; k++)
		start -= RK_MAX(size[k], 0);
	for (int k = LOG_FILES_MAX - 1; k >= 0; k--) {
		if (size[k] < 0)
			continue;
		p->v[p->n++] = (struct piece){ k, start, size[k] };
		start += size[k];
	}
	p->end = start;
	return true;
}

static ssize_t
read_piece(const struct pieces *p, const struct piece *f, int64_t pos,
    char *buf, size_t n)
{
	char name[LOG_NAME];
	ssize_t got;

	log_name(name, f->k);
	int fd = openat(p->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW |
	    O_NONBLOCK);
	if (fd < 0)
		return -1;
	got = pread(fd, buf, (size_t)RK_MIN((int64_t)n,
	    f->start + f->size - pos), pos - f->start);
	rk_close(&fd);
	return got;
}

ssize_t
sup_log_read(struct sup *s, const char *id, int64_t *pos, char *buf, size_t n)
{
	struct pieces p;
	size_t at = 0;

	must_be(s, SUP_TAG);
	if (!open_pieces(s, id, &p))
		return -1;
	if (p.n > 0 && *pos < p.v[0].start)
		*pos = RK_MAX(p.v[0].start, 0);
	for (int i = 0; i < p.n && at < n; i++) {
		int64_t here = *pos + (int64_t)at;
		if (here < p.v[i].start || here >= p.v[i].start + p.v[i].size)
			continue;
		ssize_t got = read_piece(&p, &p.v[i], here, buf + at, n - at);
		if (got < 0 && at == 0) {
			rk_close(&p.dirfd);
			return -1;
		}
		if (got <= 0)
			break;
		at += (size_t)got;
	}
	rk_close(&p.dirfd);
	return (ssize_t)at;
}

bool
sup_log_extent(struct sup *s, const char *id, int64_t *first, int64_t *end)
{
	struct pieces p;

	must_be(s, SUP_TAG);
	*first = *end = 0;
	if (!open_pieces(s, id, &p))
		return false;
	if (p.n > 0) {
		*first = RK_MAX(p.v[0].start, 0);
		*end = p.end;
	}
	rk_close(&p.dirfd);
	return true;
}
