/*
 * Results that only the bucket has, into the folder of their job: for who asks
 * on a machine that took the job over.  All who ask meanwhile share the one
 * download; each file is there whole or not at all, the report last.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "results.h"

#define HERE_TAG 0x68657265u
#define TMP      RK_TMP_PREFIX "results"

struct asks {
	struct asks *next;
	ship_results_fn *fn;            /* NULL: it has gone */
	void *ctx;
};

struct here {
	unsigned tag;
	struct ship *h;
	struct here *next;
	char job[RK_ID];
	char *uri;                      /* of the folder; NULL: none */
	int dirfd, fd;
	size_t at;                      /* of result_files */
	struct remote_op *op;
	struct loop_timer *timer;       /* the answer that is known at once */
	enum rk_err rc;
	struct rk_why why;
	struct asks *asks;
};

static void next_file(struct here *x);

static struct here *
find(const struct ship *h, const char *job)
{
	struct here *x = h->heres;

	while (x != NULL && strcmp(x->job, job) != 0)
		x = x->next;
	return x;
}

static void
free_here(struct here *x)
{
	struct here **p = &x->h->heres;
	struct asks *a;

	must_be(x, HERE_TAG);
	while (*p != x)
		p = &(*p)->next;
	*p = x->next;
	while ((a = x->asks) != NULL) {
		x->asks = a->next;
		free(a);
	}
	remote_cancel(&x->op);
	loop_timer_del(&x->timer);
	if (x->fd >= 0)
		(void)unlinkat(x->dirfd, TMP, 0);
	rk_close(&x->fd);
	rk_close(&x->dirfd);
	rk_why_fini(&x->why);
	free(x->uri);
	x->tag = 0;
	free(x);
}

void
results_here_fini(struct ship *h)
{
	while (h->heres != NULL)
		free_here(h->heres);
}

/* All who wait, once. */
static void
answer(void *ctx)
{
	struct here *x = ctx;
	struct asks *a;

	must_be(x, HERE_TAG);
	while ((a = x->asks) != NULL) {
		x->asks = a->next;
		if (a->fn != NULL)
			a->fn(a->ctx, x->rc, &x->why);
		free(a);
	}
	free_here(x);
}

static void
ends(struct here *x, enum rk_err rc, const char *error)
{
	x->rc = rc;
	if (rc != RK_OK)
		rk_refuse(&x->why, "its results are at %s, and are not to be "
		    "had: %s", x->uri, error);
	answer(x);
}

/* --- a file --------------------------------------------------------------- */

static enum rk_err
error_of(const struct remote_result *r)
{
	switch (r->end) {
	case REMOTE_OK:
		return RK_OK;
	case REMOTE_MISSING:
		return RK_ENOENT;
	case REMOTE_DAMAGED:
		return RK_ECORRUPT;
	case REMOTE_LOCAL:
		return r->err;
	default:
		return RK_ETIMEDOUT;
	}
}

static void
got(void *ctx, const struct remote_result *r)
{
	struct here *x = ctx;
	enum rk_err rc = error_of(r);

	must_be(x, HERE_TAG);
	x->op = NULL;
	if (rc == RK_OK && (fsync(x->fd) != 0 || renameat(x->dirfd, TMP,
	    x->dirfd, result_files[x->at]) != 0 || rk_fsync_dir(x->dirfd) !=
	    0)) {
		rc = rk_from_errno(errno);
		log_errno("job=%s ship: cannot keep its results", x->job);
	} else if (rc == RK_OK) {
		x->h->pulled_bytes += r->size;
		rk_close(&x->fd);
		x->at++;
		next_file(x);
		return;
	}
	ends(x, rc, r->end != REMOTE_OK ? r->error : rk_strerror(rc));
}

/* Room for it, and for what is to stay free? */
static bool
sized(void *ctx, uint64_t size, const char *etag)
{
	struct here *x = ctx;
	uint64_t left;

	(void)etag;
	return rk_disk_free(x->dirfd, &left) != RK_OK || (left >= size &&
	    left - size >= x->h->c.disk_reserve);
}

static void
next_file(struct here *x)
{
	if (x->at == RESULT_FILES) {
		ends(x, RK_OK, "");
		return;
	}
	x->fd = openat(x->dirfd, TMP, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC |
	    O_NOFOLLOW, 0640);
	if (x->fd < 0) {
		const int e = errno;
		ends(x, rk_from_errno(e), strerror(e));
		return;
	}
	char *uri = xasprintf("%s%s", x->uri, result_files[x->at]);
	const struct remote_download d = { .fd = x->fd, .sized = sized,
		.done = got, .ctx = x, .patience = { .tries = 3 } };
	x->op = remote_download(x->h->remote, uri, &d);
	free(uri);
}

/* --- asking --------------------------------------------------------------- */

bool
results_are_its(struct ship *h, const struct job_row *r, const char *where)
{
	struct jobinfo j;

	job_of_row(h, r, &j);
	char *base = results_folder(&j, r->id);
	const size_t n = strlen(base);
	const char *rest = where + RK_MIN(n, strlen(where));
	const size_t word = strspn(rest, "abcdefghijklmnopqrstuvwxyz"
	    "0123456789-");
	const bool yes = j.prefix[0] != '\0' && starts_with(where, base) &&
	    word > 0 && strcmp(rest + word, "/") == 0;
	free(base);
	jobinfo_fini(&j);
	return yes;
}

/* Where they are, and their folder here; x->rc says whether that is to be. */
static void
prepare(struct here *x)
{
	const char *dir = sup_job_dir(x->h->sup, x->job);
	struct job_row r;

	x->rc = store_job_get(x->h->store, x->job, &r);
	if (x->rc != RK_OK)
		return;
	x->uri = sup_results(&r);
	if (x->uri == NULL || !results_are_its(x->h, &r, x->uri)) {
		x->rc = RK_ENOENT;
		rk_refuse(&x->why, "job %s has no results here, nor in a "
		    "bucket", x->job);
	} else if ((x->rc = rk_mkdirs(dir, 0750)) == RK_OK) {
		x->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		x->rc = x->dirfd >= 0 ? RK_OK : rk_from_errno(errno);
	}
	store_job_fini(&r);
}

void
ship_results(struct ship *h, const char *job, ship_results_fn *fn, void *ctx)
{
	struct here *x = find(h, job);
	struct asks *a = xcalloc(1, sizeof(*a));
	const bool new = x == NULL;

	must_be(h, SHIP_TAG);
	if (new) {
		x = xcalloc(1, sizeof(*x));
		*x = (struct here){ .tag = HERE_TAG, .h = h, .dirfd = -1,
			.fd = -1, .next = h->heres };
		snprintf(x->job, sizeof(x->job), "%s", job);
		h->heres = x;
		x->timer = loop_timer_add(h->loop, answer, x);
	}
	*a = (struct asks){ x->asks, fn, ctx };
	x->asks = a;
	if (!new)
		return;
	prepare(x);
	if (x->rc == RK_OK)
		next_file(x);
	else
		loop_timer_at(x->timer, mono_ms());
}

void
ship_results_forget(struct ship *h, const void *ctx)
{
	for (struct here *x = h->heres; x != NULL; x = x->next) {
		for (struct asks *a = x->asks; a != NULL; a = a->next) {
			if (a->ctx == ctx)
				a->fn = NULL;
		}
	}
}

void
results_forget_job(struct ship *h, const char *job)
{
	struct here *x = find(h, job);

	if (x == NULL)
		return;
	remote_cancel(&x->op);
	x->rc = RK_ENOENT;
	rk_refuse(&x->why, "the job was deleted");
	answer(x);
}
