/*
 * What a job of kind predict or evaluate has left, on its way into the bucket.
 *
 * Once it has succeeded its files go to a folder of their own, which no other
 * machine and no other attempt writes to; when the last of them, the report, is
 * there, the job's row says where (sup_results_are()), and with the row it is
 * known to whoever takes the job over.  The row is the truth: what is under way
 * here is begun again from it, and an upload in parts goes on where it was.
 *
 *	WAITS ──its time has come──▶ SUMS ──a worker has the digest──▶ SENDS
 *	  ▲                            ▲                                 │
 *	  │                            └────── the next file ────────────┤
 *	  └──────────────────────────── trouble ─────────────────────────┘
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "results.h"

const char *const result_files[RESULT_FILES] = { SUP_PREDICTIONS, SUP_REPORT };

/* A worker's while it works, whoever has gone meanwhile. */
struct digesting {
	struct digesting *next, **prev; /* of `under_way` */
	struct results *of;             /* NULL: nobody waits any more */
	int fd;
	char sha256[RK_SHA256_HEX];
	enum rk_err rc;
};

struct results {
	unsigned tag;
	struct ship *h;
	struct results *next;
	char job[RK_ID];
	char *uri;                      /* of the folder */
	char *was;                      /* where an earlier attempt's are, or
	                                   NULL */
	int fd;
	size_t at;                      /* of result_files */
	struct stat st;
	struct digesting *digesting;
	struct remote_op *op;
	int64_t again_ms;               /* mono: WAITS until; 0: it does not */
	int fails;
};

static struct digesting *under_way;

static void begin(struct results *x);

/* --- the list ------------------------------------------------------------- */

static struct results *
find(const struct ship *h, const char *job)
{
	struct results *x = h->results;

	while (x != NULL && strcmp(x->job, job) != 0)
		x = x->next;
	return x;
}

static void
rest(struct results *x)
{
	remote_cancel(&x->op);
	if (x->digesting != NULL)
		x->digesting->of = NULL;
	x->digesting = NULL;
	rk_close(&x->fd);
}

static void
free_results(struct results *x)
{
	struct results **p = &x->h->results;

	must_be(x, RESULTS_TAG);
	while (*p != x)
		p = &(*p)->next;
	*p = x->next;
	rest(x);
	free(x->uri);
	free(x->was);
	x->tag = 0;
	free(x);
}

void
results_fini(struct ship *h)
{
	while (h->results != NULL)
		free_results(h->results);
}

static void
clock_of(struct ship *h)
{
	int64_t next = INT64_MAX;

	for (const struct results *x = h->results; x != NULL; x = x->next) {
		if (x->again_ms != 0)
			next = RK_MIN(next, x->again_ms);
	}
	if (next != INT64_MAX)
		loop_timer_at(h->results_timer, next);
}

void
results_timer_fn(void *ctx)
{
	struct ship *h = ctx;
	const int64_t now = mono_ms();
	struct results *x, *next;

	must_be(h, SHIP_TAG);
	for (x = h->results; x != NULL; x = next) {
		next = x->next;
		if (x->again_ms == 0 || x->again_ms > now)
			continue;
		x->again_ms = 0;
		begin(x);
	}
	clock_of(h);
}

/* Said once; it is tried until it works. */
static void
fail(struct results *x, const char *error)
{
	struct ship *h = x->h;

	rest(x);
	if (x->fails++ == 0) {
		log_warn("job=%s ship: cannot send its results to %s: %s",
		    x->job, x->uri, error);
		ship_event(h, x->job, "push_failing", NULL, "its results stay "
		    "here for now, %s cannot be written: %s; tried again until "
		    "it works", x->uri, error);
	}
	x->again_ms = mono_ms() + RK_MIN(h->c.retry_ms << RK_MIN(x->fails - 1,
	    16), h->c.retry_max_ms);
	clock_of(h);
}

/* --- one that is there ---------------------------------------------------- */

void
results_away(struct ship *h, const char *job, const char *where)
{
	struct remote_row row = { .state = RS_QUEUED, .created_ms = now_ms(),
		.remote_ms = now_ms() };
	char dir[] = RESULTS_DIR, none[] = "";
	struct rfiles f = { .n = 0 };

	for (size_t i = 0; i < RESULT_FILES; i++) {
		char *uri = xasprintf("%s%s", where, result_files[i]);
		rfiles_add(&f, result_files[i], 0, "", uri);
		free(uri);
	}
	snprintf(row.job, sizeof(row.job), "%s", job);
	row.dir = dir;
	row.uri = xstrdup(where);
	row.info = row.error = none;
	row.files = rfiles_text(&f);
	(void)delete_row(h, &row, "its job has others, or was deleted");
	free(row.uri);
	free(row.files);
	rfiles_fini(&f);
}

static void
all_there(struct results *x)
{
	struct ship *h = x->h;
	json_t *data = json_pack("{s:s}", "uri", x->uri);

	if (sup_results_are(h->sup, x->job, x->uri) != RK_OK) {
		json_decref(data);
		fail(x, "the database cannot be written");
		return;
	}
	log_info("job=%s ship: its results are at %s", x->job, x->uri);
	ship_event(h, x->job, "results", data, "its results are at %s",
	    x->uri);
	json_decref(data);
	if (x->was != NULL && strcmp(x->was, x->uri) != 0)
		results_away(h, x->job, x->was);
	free_results(x);
}

/* --- a file --------------------------------------------------------------- */

static bool
began(void *ctx, const char *upload_id, uint64_t part_size)
{
	struct results *x = ctx;
	char *uri = xasprintf("%s%s", x->uri, result_files[x->at]);
	char dir[] = RESULTS_DIR;
	struct upload_row u = { .uri = uri,
		.upload_id = (char *)(uintptr_t)upload_id, .dir = dir,
		.file = (char *)(uintptr_t)result_files[x->at],
		.size = (uint64_t)x->st.st_size, .part_size = part_size,
		.inode = (int64_t)x->st.st_ino,
		.mtime_ns = results_mtime(&x->st), .created_ms = now_ms() };

	memcpy(u.job, x->job, sizeof(u.job));
	const enum rk_err rc = store_upload_put(x->h->store, &u);
	if (rc != RK_OK)
		log_error("job=%s ship: cannot keep the upload of %s: %s",
		    x->job, uri, rk_strerror(rc));
	free(uri);
	return rc == RK_OK;
}

static void
uploaded(void *ctx, const struct remote_result *r)
{
	struct results *x = ctx;

	must_be(x, RESULTS_TAG);
	x->op = NULL;
	if (r->end != REMOTE_OK) {
		fail(x, r->error);
		return;
	}
	char *uri = xasprintf("%s%s", x->uri, result_files[x->at]);
	(void)!store_upload_drop(x->h->store, uri);
	free(uri);
	x->h->pushed_bytes += (uint64_t)x->st.st_size;
	rk_close(&x->fd);
	x->at++;
	begin(x);
}

/* Parts that a daemon before us sent of just this file are not sent again. */
static void
upload(struct results *x, const char *sha256)
{
	char *uri = xasprintf("%s%s", x->uri, result_files[x->at]);
	struct remote_upload a = { .fd = x->fd,
		.size = (uint64_t)x->st.st_size, .sha256 = sha256,
		.began = began, .done = uploaded, .ctx = x,
		.patience = push_patience() };
	struct upload_row u = {0};

	if (store_upload_get(x->h->store, uri, &u) == RK_OK &&
	    u.size == a.size && u.inode == (int64_t)x->st.st_ino &&
	    u.mtime_ns == results_mtime(&x->st)) {
		a.upload_id = u.upload_id;
		a.part_size = u.part_size;
	}
	x->op = remote_upload(x->h->remote, uri, &a);
	store_upload_fini(&u);
	free(uri);
}

static void
work(void *ctx)
{
	struct digesting *d = ctx;

	d->rc = rk_digests_of_fd(d->fd, d->sha256, NULL, NULL);
}

static void
digested(void *ctx)
{
	struct digesting *d = ctx;
	struct results *x = d->of;

	*d->prev = d->next;
	if (d->next != NULL)
		d->next->prev = d->prev;
	rk_close(&d->fd);
	if (x != NULL) {
		must_be(x, RESULTS_TAG);
		x->digesting = NULL;
		if (d->rc == RK_OK)
			upload(x, d->sha256);
		else
			fail(x, "it cannot be read here");
	}
	free(d);
}

static void
digest(struct results *x)
{
	struct digesting *d = xcalloc(1, sizeof(*d));

	*d = (struct digesting){ .next = under_way, .prev = &under_way,
		.of = x, .fd = fcntl(x->fd, F_DUPFD_CLOEXEC, 0) };
	if (under_way != NULL)
		under_way->prev = &d->next;
	under_way = d;
	x->digesting = d;
	loop_work(x->h->loop, work, digested, d);
}

/* The next file; behind the last one all are there. */
static void
begin(struct results *x)
{
	if (x->at == RESULT_FILES) {
		all_there(x);
		return;
	}
	char *path = xasprintf("%s/%s", sup_job_dir(x->h->sup, x->job),
	    result_files[x->at]);
	x->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	const bool there = x->fd >= 0 && fstat(x->fd, &x->st) == 0 &&
	    S_ISREG(x->st.st_mode);
	free(path);
	if (there)
		digest(x);
	else
		fail(x, "it is not in the job's folder any more");
}

/* --- which ---------------------------------------------------------------- */

char *
results_folder(const struct jobinfo *j, const char *id)
{
	return xasprintf("%sjobs/%s/" RESULTS_DIR "/", j->prefix, id);
}

/* Of this attempt: another one, and another machine, have their own. */
static void
start(struct ship *h, const struct job_row *r, const struct jobinfo *j,
    char *was)
{
	struct results *x = xcalloc(1, sizeof(*x));
	char *base = results_folder(j, r->id);

	*x = (struct results){ .tag = RESULTS_TAG, .h = h, .fd = -1,
		.next = h->results, .was = was,
		.uri = xasprintf("%se%" PRId64 "-a%" PRId64 "/", base,
		h->epoch, r->attempt) };
	memcpy(x->job, r->id, sizeof(x->job));
	h->results = x;
	free(base);
	begin(x);
}

void
results_look(struct ship *h, const char *job)
{
	struct jobinfo j;
	struct job_row r;
	struct stat st;

	if (!h->going || h->stopped || find(h, job) != NULL)
		return;
	char *path = xasprintf("%s/%s", sup_job_dir(h->sup, job), SUP_REPORT);
	const bool there = stat(path, &st) == 0;
	free(path);
	if (!there || store_job_get(h->store, job, &r) != RK_OK)
		return;
	char *was = sup_results(&r);
	char *ours = xasprintf("/e%" PRId64 "-a%" PRId64 "/", h->epoch,
	    r.attempt);
	const bool done = was != NULL && strlen(was) >= strlen(ours) &&
	    strcmp(was + strlen(was) - strlen(ours), ours) == 0;
	free(ours);
	if (r.state == JOB_SUCCEEDED && !sup_trains(&r) && !done &&
	    job_look(h, job, &j)) {
		if (j.prefix[0] != '\0') {
			start(h, &r, &j, was);
			was = NULL;
		}
		jobinfo_fini(&j);
	}
	free(was);
	store_job_fini(&r);
}

bool
results_need(const struct ship *h, const struct upload_row *u)
{
	struct job_row r;

	if (strcmp(u->dir, RESULTS_DIR) != 0 ||
	    store_job_get(h->store, u->job, &r) != RK_OK)
		return false;
	char *where = sup_results(&r);
	const bool need = r.state == JOB_SUCCEEDED && (where == NULL ||
	    !starts_with(u->uri, where));
	free(where);
	store_job_fini(&r);
	return need;
}

void
results_gone(void *ctx, const struct job_row *r, const char *where)
{
	struct ship *h = ctx;
	struct results *x;

	must_be(h, SHIP_TAG);
	if ((x = find(h, r->id)) != NULL)
		free_results(x);
	results_forget_job(h, r->id);
	if (where != NULL && results_are_its(h, r, where))
		results_away(h, r->id, where);
}
