/*
 * One checkpoint on its way up.
 *
 *	open.c    the local files, all opened now, so that local retention does
 *	          not take them away; their SHA-256, where checkpoint.json has
 *	          none (sums.c); where each of them is to be
 *	claim.c   is the folder free?  remote.json, put if absent, makes it ours
 *	push.c    the files that are not there; history; checkpoint.json, put if
 *	          absent: it exists
 *	verify.c  every object is asked for, and agrees
 *
 * Any trouble ends the push; its row stays as it is, and the next push of the
 * row finds out what is there.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "impl.h"

const char *const ship_histories[SHIP_HISTORIES] = {
	"metrics.jsonl", "evaluations.jsonl"
};

struct remote_patience
push_patience(void)
{
	return (struct remote_patience){ .tries = SHIP_TRIES };
}

struct push *
push_find(const struct ship *h, const struct remote_row *r)
{
	struct push *p = h->pushes;

	while (p != NULL && !row_same(&p->row, r))
		p = p->next;
	return p;
}

bool
push_own(const struct push *p, int i)
{
	return starts_with(p->files.v[i].uri, p->row.uri);
}

char *
push_uri(const struct push *p, const char *name)
{
	return xasprintf("%s%s", p->row.uri, name);
}

bool
result_agrees(const struct remote_result *r, const struct rfile *f)
{
	return r->end == REMOTE_OK && r->size == f->size &&
	    (r->sha256 == NULL || r->sha256[0] == '\0' ||
	    strcmp(r->sha256, f->sha256) == 0);
}

uint64_t
push_moved(const struct push *p)
{
	uint64_t sum = 0, done = 0, total = 0;

	for (int i = 0; i < p->files.n; i++)
		sum += p->there[i] ? p->files.v[i].size : 0;
	if (p->op != NULL && p->large) {
		remote_moved(p->op, &done, &total);
		sum += RK_MIN(done, p->files.v[p->at].size);
	}
	return sum;
}

void
push_hold(struct push *p, bool hold)
{
	if (p->held == hold)
		return;
	p->held = hold;
	if (p->op != NULL && p->large)
		remote_hold(p->op, hold);
}

bool
push_save(struct push *p, enum remote_state state)
{
	enum remote_state was = p->row.state;
	char *files = rfiles_text(&p->files);

	row_set(&p->row.files, files);
	free(files);
	p->row.state = state;
	p->row.sent = push_moved(p);
	if (row_save(p->h, &p->row)) {
		if (was != state)
			log_debug("job=%s ship: %s %s -> %s", p->row.job,
			    p->row.dir, remote_state_words[was],
			    remote_state_words[state]);
		return true;
	}
	p->row.state = was;
	return false;
}

/* --- the end ------------------------------------------------------------- */

void
push_free(struct push *p)
{
	struct push **q = &p->h->pushes;

	must_be(p, PUSH_TAG);
	while (*q != p)
		q = &(*q)->next;
	*q = p->next;
	p->h->npushes--;
	remote_cancel(&p->op);
	sums_drop(&p->sums);
	for (int i = 0; i < CKPT_MAX_FILES; i++)
		rk_close(&p->fd[i]);
	rk_close(&p->dirfd);
	store_remote_fini(&p->row);
	rfiles_fini(&p->files);
	free(p->prefix);
	free(p->base);
	free(p->note);
	p->tag = 0;
	free(p);
}

void
push_fail_text(struct push *p, enum remote_end end, const char *text)
{
	struct ship *h = p->h;

	/* What another checkpoint would meet as well is the store's trouble (no
	 * such bucket, say); the rest is this one's own. */
	if (end == REMOTE_UNAVAILABLE || end == REMOTE_DENIED ||
	    end == REMOTE_MISSING ||
	    (end == REMOTE_LOCAL && starts_with(p->prefix, "file:"))) {
		store_fails(h, p->prefix, p->row.job, end, text);
	} else {
		const struct trouble *t = trouble_of(h, p->row.uri, false);
		if (t == NULL)
			log_warn("job=%s ship: cannot send %s: %s", p->row.job,
			    p->row.uri, text);
		trouble_add(h, p->row.uri);
		h->failures++;
	}
	row_set(&p->row.error, text);
	(void)push_save(p, p->row.state);
	push_free(p);
	queue_kick(h);
}

void
push_fail(struct push *p, const struct remote_result *r)
{
	push_fail_text(p, r->end, r->error);
}

static void
drop(struct push *p)
{
	struct ship *h = p->h;

	if (p->row.state == RS_QUEUED) {
		log_debug("job=%s ship: %s went before it was sent",
		    p->row.job, p->row.dir);
		(void)row_drop(h, &p->row);
	} else {
		(void)delete_row(h, &p->row, "its local files are gone");
	}
	trouble_over(h, p->row.uri);
	push_free(p);
	queue_kick(h);
}

/* The last object is there, byte by byte as we would send it. */
static bool
info_is_ours(const struct push *p, const struct remote_result *r)
{
	return r->end == REMOTE_OK && r->len == strlen(p->row.info) &&
	    memcmp(r->body, p->row.info, r->len) == 0;
}

static void
gone_seen(void *ctx, const struct remote_result *r)
{
	struct push *p = ctx;

	must_be(p, PUSH_TAG);
	p->op = NULL;
	if (info_is_ours(p, r))
		push_remote(p);
	else if (result_known(r) || r->hidden)
		drop(p);
	else
		push_fail(p, r);
}

/* The local checkpoint was deleted before it could be opened.  A daemon that was
 * killed behind its last object may have had no time to write down that it is
 * there: it may be the newest that the bucket has. */
void
push_gone(struct push *p)
{
	struct remote_patience pt = push_patience();

	if (p->row.state != RS_UPLOADING) {
		drop(p);
		return;
	}
	char *uri = push_uri(p, "checkpoint.json");
	p->op = remote_get(p->h->remote, uri, CKPT_JSON_MAX, &pt, gone_seen,
	    p);
	free(uri);
}

/* --- files --------------------------------------------------------------- */

static void push_history(struct push *p);

static bool
began(void *ctx, const char *upload_id, uint64_t part_size)
{
	struct push *p = ctx;
	const struct rfile *f = &p->files.v[p->at];
	struct stat st;

	if (fstat(p->fd[p->at], &st) != 0)
		return false;
	struct upload_row u = { .uri = f->uri,
		.upload_id = (char *)(uintptr_t)upload_id, .dir = p->row.dir,
		.file = (char *)(uintptr_t)f->name, .size = f->size,
		.part_size = part_size, .inode = (int64_t)st.st_ino,
		.mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 +
		st.st_mtim.tv_nsec, .created_ms = now_ms() };
	memcpy(u.job, p->row.job, sizeof(u.job));
	enum rk_err rc = store_upload_put(p->h->store, &u);
	if (rc != RK_OK)
		log_error("job=%s ship: cannot keep the upload of %s: %s",
		    p->row.job, f->uri, rk_strerror(rc));
	return rc == RK_OK;
}

static void
uploaded(void *ctx, const struct remote_result *r)
{
	struct push *p = ctx;
	struct rfile *f;

	must_be(p, PUSH_TAG);
	f = &p->files.v[p->at];
	p->op = NULL;
	p->large = false;
	if (r->end != REMOTE_OK) {
		push_fail(p, r);
		return;
	}
	p->there[p->at] = true;
	p->sent += f->size;
	p->h->pushed_bytes += f->size;
	store_works(p->h, p->prefix, p->row.job);
	(void)!store_upload_drop(p->h->store, f->uri);
	if (!push_save(p, p->row.state))
		push_fail_text(p, REMOTE_LOCAL, "the database cannot be "
		    "written");
	else
		push_files(p);
}

/* A multipart upload of just this file, which a daemon before us began. */
static bool
found_upload(const struct push *p, int i, struct upload_row *u)
{
	const struct rfile *f = &p->files.v[i];
	struct stat st;

	if (store_upload_get(p->h->store, f->uri, u) != RK_OK)
		return false;
	if (fstat(p->fd[i], &st) == 0 && u->size == f->size &&
	    u->inode == (int64_t)st.st_ino && u->mtime_ns ==
	    (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec)
		return true;
	store_upload_fini(u);
	return false;
}

static void
upload(struct push *p, int i)
{
	const struct rfile *f = &p->files.v[i];
	struct upload_row u = {0};
	struct remote_upload a = { .fd = p->fd[i], .size = f->size,
		.sha256 = f->sha256, .began = began, .done = uploaded,
		.ctx = p, .patience = push_patience() };

	p->at = i;
	if (found_upload(p, i, &u)) {
		a.upload_id = u.upload_id;
		a.part_size = u.part_size;
	}
	p->large = true;
	p->op = remote_upload(p->h->remote, f->uri, &a);
	if (p->held)
		remote_hold(p->op, true);
	store_upload_fini(&u);
}

void
push_files(struct push *p)
{
	for (int i = 0; i < p->files.n; i++) {
		if (!p->there[i]) {
			must(push_own(p, i) && p->fd[i] >= 0);
			upload(p, i);
			return;
		}
	}
	p->history = 0;
	push_history(p);
}

/* --- history, and the last object ---------------------------------------- */

static void
committed_other(void *ctx, const struct remote_result *r)
{
	struct push *p = ctx;

	must_be(p, PUSH_TAG);
	p->op = NULL;
	if (info_is_ours(p, r))
		push_remote(p);
	else if (r->end == REMOTE_OK || r->too_large)
		push_elsewhere(p);
	else
		push_fail(p, r);
}

static void
committed(void *ctx, const struct remote_result *r)
{
	struct push *p = ctx;

	must_be(p, PUSH_TAG);
	p->op = NULL;
	if (r->end == REMOTE_OK) {
		push_remote(p);
	} else if (r->end == REMOTE_EXISTS) {
		struct remote_patience pt = push_patience();
		char *uri = push_uri(p, "checkpoint.json");
		p->op = remote_get(p->h->remote, uri, CKPT_JSON_MAX, &pt,
		    committed_other, p);
		free(uri);
	} else {
		push_fail(p, r);
	}
}

static void
commit(struct push *p)
{
	struct remote_patience pt = push_patience();
	char *uri = push_uri(p, "checkpoint.json");

	p->op = remote_put(p->h->remote, uri, p->row.info,
	    strlen(p->row.info), true, &pt, committed, p);
	free(uri);
}

static void
history_put(void *ctx, const struct remote_result *r)
{
	struct push *p = ctx;

	must_be(p, PUSH_TAG);
	p->op = NULL;
	/* History is worth a try, not the checkpoint. */
	if (r->end != REMOTE_OK)
		log_info("job=%s ship: %s was not sent with %s: %s",
		    p->row.job, ship_histories[p->history], p->row.dir,
		    r->error);
	p->history++;
	push_history(p);
}

/* A history of the job from its first whole line within the limit; NULL. */
static char *
read_history(struct push *p, const char *name, size_t *len)
{
	char *path = xasprintf("%s/%s", sup_job_dir(p->h->sup, p->row.job),
	    name);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	off_t end = fd >= 0 ? lseek(fd, 0, SEEK_END) : -1;
	char *buf = NULL;

	free(path);
	*len = 0;
	if (end > 0) {
		off_t from = RK_MAX(end - (off_t)HISTORY_MAX, (off_t)0);
		buf = xmalloc((size_t)(end - from));
		ssize_t n = pread(fd, buf, (size_t)(end - from), from);
		size_t cut = 0;
		while (n > 0 && buf[n - 1] != '\n')
			n--;
		while (from > 0 && n > 0 && cut < (size_t)n &&
		    buf[cut++] != '\n')
			;
		*len = n > 0 ? (size_t)n - cut : 0;
		memmove(buf, buf + cut, *len);
	}
	rk_close(&fd);
	return buf;
}

/* One behind the other, those that there are; then the last object. */
static void
push_history(struct push *p)
{
	struct remote_patience pt = push_patience();
	size_t len;

	for (; p->history < SHIP_HISTORIES; p->history++) {
		const char *name = ship_histories[p->history];
		char *buf = read_history(p, name, &len);
		if (len > 0) {
			char *uri = push_uri(p, name);
			p->op = remote_put(p->h->remote, uri, buf, len, false,
			    &pt, history_put, p);
			free(uri);
		}
		free(buf);
		if (len > 0)
			return;
	}
	commit(p);
}

/* --- the beginning ------------------------------------------------------- */

static void
plan(struct push *p)
{
	if (push_plan(p))
		push_check(p);
	else
		push_fail_text(p, REMOTE_LOCAL, "the database cannot be "
		    "written");
}

/* SHA-256 goes into the row, where it stays. */
static void
summed(void *ctx, enum rk_err rc, const struct ckpt_file *files,
    const char *why)
{
	struct push *p = ctx;
	struct ckpt_info i;

	must_be(p, PUSH_TAG);
	p->sums = NULL;
	if (rc != RK_OK) {
		push_fail_text(p, REMOTE_REFUSED, why);
		return;
	}
	if (row_info(&p->row, &i)) {
		for (int k = 0; k < i.nfiles; k++) {
			char *uri = push_uri(p, files[k].name);
			rfiles_add(&p->files, files[k].name, files[k].size,
			    files[k].sha256, uri);
			free(uri);
		}
		ckpt_info_fini(&i);
	}
	if (push_save(p, p->row.state))
		plan(p);
	else
		push_fail_text(p, REMOTE_LOCAL, "the database cannot be "
		    "written");
}

void
push_start(struct ship *h, const struct remote_row *r)
{
	struct push *p = xcalloc(1, sizeof(*p));

	p->tag = PUSH_TAG;
	p->h = h;
	p->next = h->pushes;
	h->pushes = p;
	h->npushes++;
	row_copy(&p->row, r);
	p->base = base_of_uri(r->uri);
	p->prefix = prefix_of_uri(r->uri);
	p->dirfd = -1;
	for (int i = 0; i < CKPT_MAX_FILES; i++)
		p->fd[i] = -1;
	p->begun_ms = mono_ms();
	rfiles_parse(&p->files, r->files);
	if (r->state == RS_REMOTE) {
		push_remote(p);
		return;
	}
	if (!push_open(p)) {
		push_gone(p);
		return;
	}
	if (p->files.n > 0)
		push_check(p);
	else if (!push_sums(p, summed))
		plan(p);
}
