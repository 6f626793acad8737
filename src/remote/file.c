/*
 * file://: a folder as an object store.
 *
 * A file is written under a temporary name, synced and renamed, so that it is
 * there whole or not at all, also after a power cut; put-if-absent is link(2),
 * which does not replace.  A worker does it: disks, and above all network file
 * systems, may take their time.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"

/* --- jobs ----------------------------------------------------------------- */

/* All that a worker may still hold; the loop's close may drop some of them. */
static struct file_job *jobs;

static void
job_free(struct file_job *j)
{
	*j->prev = j->next;
	if (j->next != NULL)
		j->next->prev = j->prev;
	for (size_t i = 0; i < j->list.n; i++)
		free(j->list.v[i].key);
	free(j->list.v);
	free(j->path);
	free(j->body);
	free(j->want_sha256);
	free(j->want_etag);
	sb_fini(&j->error);
	sb_fini(&j->got);
	rk_close(&j->fd);
	rk_close(&j->source);
	j->tag = 0;
	free(j);
}

static void
run_work(void *ctx)
{
	struct file_job *j = ctx;

	if (!atomic_load(&j->stop))
		j->work(j);
}

static void
answer(struct file_job *j)
{
	struct remote_op *op = j->op;

	op->file = NULL;
	op_end(op, &(struct remote_result){ .end = j->end, .err = j->err,
	    .too_large = j->too_large, .error = sb_str(&j->error),
	    .tries = 1, .etag = j->etag, .size = j->size,
	    .modified_ms = j->modified_ms, .sha256 = j->sha256,
	    .body = sb_str(&j->got), .len = j->got.len });
	job_free(j);
}

static void
work_done(void *ctx)
{
	struct file_job *j = ctx;

	must_be(j, FILE_TAG);
	if (j->op == NULL)
		job_free(j);
	else if (j->done != NULL && j->end == REMOTE_OK)
		j->done(j);
	else
		answer(j);
}

struct file_job *
file_job(struct remote_op *op, void (*work)(struct file_job *j),
    void (*done)(struct file_job *j))
{
	struct file_job *j = xcalloc(1, sizeof(*j));

	j->tag = FILE_TAG;
	j->next = jobs;
	j->prev = &jobs;
	if (j->next != NULL)
		j->next->prev = &j->next;
	jobs = j;
	j->op = op;
	j->loop = op->r->loop;
	j->work = work;
	j->done = done;
	j->path = xstrdup(op->place.key);
	j->fd = j->source = -1;
	must(op->file == NULL);
	op->file = j;
	return j;
}

void
file_start(struct file_job *j)
{
	loop_work(j->loop, run_work, work_done, j);
}

void
file_next(struct file_job *j, void (*work)(struct file_job *j),
    void (*done)(struct file_job *j))
{
	if (work == NULL || j->end != REMOTE_OK) {
		answer(j);
		return;
	}
	j->work = work;
	j->done = done;
	file_start(j);
}

void
file_forget(struct remote_op *op)
{
	if (op->file == NULL)
		return;
	must_be(op->file, FILE_TAG);
	atomic_store(&op->file->stop, true);
	op->file->op = NULL;
	op->file = NULL;
}

/* --- what a worker says --------------------------------------------------- */

void
file_said(struct file_job *j, enum remote_end end, const char *fmt, ...)
{
	va_list ap;

	j->end = end;
	sb_reset(&j->error);
	va_start(ap, fmt);
	sb_vaddf(&j->error, fmt, ap);
	va_end(ap);
	rk_text_clean(j->error.s);
}

void
file_failed(struct file_job *j, const char *doing)
{
	int e = errno;
	enum remote_end end;

	if (e == ENOENT || e == ENOTDIR)
		end = REMOTE_MISSING;
	else if (e == EACCES || e == EPERM || e == EROFS)
		end = REMOTE_DENIED;
	else
		end = REMOTE_LOCAL;
	j->err = rk_from_errno(e);
	file_said(j, end, "%s: cannot %s: %s", j->path, doing, strerror(e));
}

void
file_stat(struct file_job *j, const struct stat *st)
{
	j->size = (uint64_t)st->st_size;
	j->modified_ms = (int64_t)st->st_mtim.tv_sec * 1000 +
	    st->st_mtim.tv_nsec / 1000000;
	snprintf(j->etag, sizeof(j->etag), "%llx-%llx%09lx-%llx",
	    (unsigned long long)st->st_size,
	    (unsigned long long)st->st_mtim.tv_sec,
	    (unsigned long)st->st_mtim.tv_nsec,
	    (unsigned long long)st->st_ino);
}

/* --- head and get --------------------------------------------------------- */

static void
head_work(struct file_job *j)
{
	struct stat st;

	if (stat(j->path, &st) != 0)
		file_failed(j, "look at it");
	else if (!S_ISREG(st.st_mode))
		file_said(j, REMOTE_MISSING, "%s is no file", j->path);
	else
		file_stat(j, &st);
}

void
file_head(struct remote_op *op)
{
	file_start(file_job(op, head_work, NULL));
}

static void
get_work(struct file_job *j)
{
	char *bytes = NULL;
	size_t n = 0;

	head_work(j);
	if (j->end != REMOTE_OK)
		return;
	enum rk_err rc = rk_read_file(AT_FDCWD, j->path, j->max_len, &bytes,
	    &n);
	j->too_large = rc == RK_ELIMIT;
	if (rc == RK_ELIMIT)
		file_said(j, REMOTE_REFUSED, "%s is %llu bytes long, want at "
		    "most %zu", j->path, (unsigned long long)j->size,
		    j->max_len);
	else if (rc == RK_ENOENT)
		file_said(j, REMOTE_MISSING, "%s is not there", j->path);
	else if (rc != RK_OK) {
		file_said(j, rc == RK_EROFS ? REMOTE_DENIED : REMOTE_LOCAL,
		    "%s: cannot read it: %s", j->path, rk_strerror(rc));
		j->err = rc;
	} else {
		sb_add(&j->got, bytes, n);
		j->size = n;
	}
	free(bytes);
}

void
file_get(struct remote_op *op, size_t max)
{
	struct file_job *j = file_job(op, get_work, NULL);

	j->max_len = max;
	file_start(j);
}

/* --- writing -------------------------------------------------------------- */

/* With the reason, where it is one of permission. */
static void
write_failed(struct file_job *j)
{
	int e = errno;
	char *dir = xstrndup(j->path, (size_t)(strrchr(j->path, '/') - j->path));
	char *reason = e == EACCES || e == EROFS ? rk_folder_fault(dir) : NULL;

	errno = e;
	file_failed(j, "write it");
	if (reason != NULL)
		file_said(j, j->end, "%s: cannot write it: %s", j->path, reason);
	free(reason);
	free(dir);
}

bool
file_new_open(struct file_job *j, struct file_new *f)
{
	char *slash, *dir = xstrdup(j->path);
	unsigned char r[8];

	*f = (struct file_new){ .dir = -1, .fd = -1 };
	slash = strrchr(dir, '/');
	must(slash != NULL);
	*slash = '\0';
	f->name = xstrdup(slash + 1);
	if (f->name[0] == '\0' || strcmp(f->name, ".") == 0 ||
	    strcmp(f->name, "..") == 0) {
		file_said(j, REMOTE_REFUSED, "%s names a folder, not a file",
		    j->path);
		free(dir);
		return false;
	}
	rk_random_bytes(r, sizeof(r));
	snprintf(f->tmp, sizeof(f->tmp), "%s", RK_TMP_PREFIX);
	rk_hex(f->tmp + strlen(f->tmp), r, sizeof(r));
	/* rk_mkdirs() logs why it fails, and errno may be gone by then. */
	f->dir = open(slash == dir ? "/" : dir,
	    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->dir < 0 && errno == ENOENT && rk_mkdirs(dir, 0755) == RK_OK)
		f->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(dir);
	if (f->dir >= 0)
		f->fd = openat(f->dir, f->tmp, O_WRONLY | O_CREAT | O_EXCL |
		    O_CLOEXEC, 0644);
	if (f->fd >= 0)
		return true;
	if (errno == ENOENT || errno == ENOTDIR)
		errno = EACCES;         /* a folder that cannot be made */
	write_failed(j);
	return false;
}

bool
file_new_commit(struct file_job *j, struct file_new *f)
{
	struct stat st;

	if (fsync(f->fd) != 0) {
		file_failed(j, "write it");
		return false;
	}
	if (j->if_absent && linkat(f->dir, f->tmp, f->dir, f->name, 0) != 0) {
		if (errno == EEXIST)
			file_said(j, REMOTE_EXISTS, "%s is there", j->path);
		else
			file_failed(j, "link it");
		return false;
	}
	if (!j->if_absent && renameat(f->dir, f->tmp, f->dir, f->name) != 0) {
		file_failed(j, "rename it");
		return false;
	}
	if (!j->if_absent)
		f->tmp[0] = '\0';
	if (rk_fsync_dir(f->dir) != 0 || fstat(f->fd, &st) != 0) {
		file_failed(j, "sync its folder");
		return false;
	}
	file_stat(j, &st);
	return true;
}

void
file_new_fini(struct file_new *f)
{
	if (f->fd >= 0 && f->tmp[0] != '\0')
		unlinkat(f->dir, f->tmp, 0);
	rk_close(&f->fd);
	rk_close(&f->dir);
	free(f->name);
}

static void
put_work(struct file_job *j)
{
	struct file_new f;

	if (file_new_open(j, &f)) {
		if (rk_write_all(f.fd, j->body, j->len) != 0)
			file_failed(j, "write it");
		else
			(void)file_new_commit(j, &f);
	}
	file_new_fini(&f);
}

void
file_put(struct remote_op *op, const void *p, size_t n, bool if_absent)
{
	struct file_job *j = file_job(op, put_work, NULL);

	j->body = xmalloc(n + 1);
	memcpy(j->body, p, n);
	j->len = n;
	j->if_absent = if_absent;
	file_start(j);
}

static void
delete_work(struct file_job *j)
{
	char *dir = xstrdup(j->path), *slash = strrchr(dir, '/');
	int fd;

	must(slash != NULL);
	*slash = '\0';
	if (unlink(j->path) != 0) {
		if (errno != ENOENT && errno != ENOTDIR)
			file_failed(j, "remove it");
	} else if ((fd = open(slash == dir ? "/" : dir, O_RDONLY |
	    O_DIRECTORY | O_CLOEXEC)) >= 0) {
		if (rk_fsync_dir(fd) != 0)
			file_failed(j, "sync its folder");
		rk_close(&fd);
	}
	free(dir);
}

void
file_delete(struct remote_op *op)
{
	file_start(file_job(op, delete_work, NULL));
}
