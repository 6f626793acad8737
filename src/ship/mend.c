/*
 * Shards of local checkpoints that are damaged (ckpt.h), before a job goes on
 * from one of them: one bad sector is in all that share the file.
 *
 *	           ┌───────┐ (once, if the cache's is damaged, too)
 *	           ▼       │
 *	LOOK ──► FETCH ──► PUT ──► DONE
 *	  │        └─ it is not to be had ──►
 *	  └─ all are good, or others here, of the job or of another, had a
 *	     copy ──► DONE
 *
 * LOOK and PUT are a worker's.  What is fetched is known by its digest: by the
 * SHA-256 that a checkpoint of the job says, here or in the bucket, or a version
 * of a model, from the cache or from where the bucket has it.  Done once for each attempt of a job;
 * where nothing helps, the trainer finds what it finds.
 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "impl.h"

enum mend_state { MEND_LOOK, MEND_FETCH, MEND_PUT, MEND_DONE };

/* A worker's, with its own copies. */
struct mending {
	struct mend *mend;              /* NULL: nobody waits any more */
	char *folder;
	bool put;
	struct ckpt_file bad[CKPT_BAD_MAX];
	char *paths[CKPT_BAD_MAX];      /* put: where a good one is */
	int n, mended;
	enum rk_err rc;
};

struct mend {
	struct mend *next;
	struct ship *h;
	char job[RK_ID];
	int64_t attempt;
	enum mend_state state;
	struct ckpt_file bad[CKPT_BAD_MAX];
	char *uri[CKPT_BAD_MAX];        /* NULL: no bucket has it */
	char hex[CKPT_BAD_MAX][RK_SHA256_HEX];
	int n;
	bool again;                     /* the cache was found damaged once */
	struct mending *work;
};

/* --- whose ---------------------------------------------------------------- */

static struct mend *
find(struct ship *h, const char *job)
{
	struct mend *m = h->mends;

	while (m != NULL && strcmp(m->job, job) != 0)
		m = m->next;
	return m;
}

static void
drop(struct mend *m)
{
	struct mend **p = &m->h->mends;

	while (*p != m)
		p = &(*p)->next;
	*p = m->next;
	if (m->work != NULL)
		m->work->mend = NULL;   /* the worker's end frees it */
	for (int k = 0; k < CKPT_BAD_MAX; k++)
		free(m->uri[k]);
	free(m);
}

void
mend_gone(struct ship *h, const char *job)
{
	struct mend *m = find(h, job);

	if (m != NULL)
		drop(m);
}

void
mend_fini(struct ship *h)
{
	while (h->mends != NULL)
		drop(h->mends);
}

/* --- the worker ----------------------------------------------------------- */

struct search {
	struct ckpt *c;
	const struct ckpt_file *f;
	struct stat bad;                /* the last that was not good */
	int mended;
};

static void
try_copy(struct search *s, const char *path)
{
	struct stat st;

	if (lstat(path, &st) != 0 || !S_ISREG(st.st_mode) ||
	    (st.st_dev == s->bad.st_dev && st.st_ino == s->bad.st_ino))
		return;
	if (ckpt_mend(s->c, s->f, path, &s->mended) != RK_OK)
		s->bad = st;
}

/* Each folder in `dir` whose name begins so, until one has helped. */
static void
each_folder(struct search *s, const char *dir, const char *begins,
    void (*fn)(struct search *s, const char *path))
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d != NULL && s->mended == 0 && (e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.' ||
		    strncmp(e->d_name, begins, strlen(begins)) != 0)
			continue;
		char *path = xasprintf("%s/%s", dir, e->d_name);
		fn(s, path);
		free(path);
	}
	if (d != NULL)
		closedir(d);
}

static void
try_checkpoint(struct search *s, const char *path)
{
	char *file = xasprintf("%s/%s", path, s->f->name);

	try_copy(s, file);
	free(file);
}

static void
try_job(struct search *s, const char *path)
{
	char *dir = xasprintf("%s/checkpoints", path);

	each_folder(s, dir, "step-", try_checkpoint);
	free(dir);
}

/* A copy that another job here has under the same name and digest, and that is
 * another file of the disk; false: there is none that is good. */
static bool
mend_from_jobs(struct mending *w, struct ckpt *c, const struct ckpt_file *f)
{
	struct search s = { .c = c, .f = f };
	char *jobs = xasprintf("%s/../..", w->folder);

	each_folder(&s, jobs, "", try_job);
	free(jobs);
	w->mended += s.mended;
	return s.mended > 0;
}

static void
look_at_jobs(struct mending *w, struct ckpt *c)
{
	int left = 0;

	for (int k = 0; k < w->n; k++)
		if (!mend_from_jobs(w, c, &w->bad[k]))
			w->bad[left++] = w->bad[k];
	w->n = left;
}

static void
work(void *ctx)
{
	struct mending *w = ctx;
	struct ckpt *c = NULL;
	int one;

	w->rc = ckpt_open(&c, w->folder, false);
	if (w->rc == RK_OK && !w->put)
		w->rc = ckpt_bad_shards(c, w->bad, &w->n);
	if (w->rc == RK_OK && !w->put)
		look_at_jobs(w, c);
	for (int k = 0; w->put && k < w->n && w->rc == RK_OK; k++) {
		if (w->paths[k] == NULL)
			continue;
		w->rc = ckpt_mend(c, &w->bad[k], w->paths[k], &one);
		w->mended += one;
	}
	ckpt_close(&c);
}

static void
free_mending(struct mending *w)
{
	for (int k = 0; k < CKPT_BAD_MAX; k++)
		free(w->paths[k]);
	free(w->folder);
	free(w);
}

/* The cache's file may be a link of the one that is damaged: fetched anew. */
static bool
forget_bad(struct mend *m, const struct mending *w)
{
	if (w->rc != RK_ECORRUPT || m->again)
		return false;
	m->again = true;
	for (int k = 0; k < m->n; k++) {
		if (m->hex[k][0] != '\0')
			cache_forget(m->h, m->hex[k]);
		m->hex[k][0] = '\0';
	}
	return true;
}

static void
tell(struct mend *m, const struct mending *w)
{
	if (w->rc != RK_OK && m->state == MEND_DONE)
		log_warn("job=%s ship: damaged shards cannot be mended: %s",
		    m->job, rk_strerror(w->rc));
	if (w->mended == 0)
		return;
	log_info("job=%s ship: what is frozen is whole again in %d "
	    "checkpoint%s", m->job, w->mended, rk_s(w->mended));
	ship_event(m->h, m->job, "mended", NULL, "what is frozen was damaged "
	    "in %d checkpoint%s here and is whole again: its bytes came from "
	    "%s", w->mended, rk_s(w->mended), w->put ? "the bucket or the "
	    "cache" : "another job");
}

static void
done(void *ctx)
{
	struct mending *w = ctx;
	struct mend *m = w->mend;

	if (m != NULL && w->put) {
		m->state = forget_bad(m, w) ? MEND_FETCH : MEND_DONE;
		tell(m, w);
	} else if (m != NULL) {
		memcpy(m->bad, w->bad, sizeof(m->bad));
		m->n = w->rc == RK_OK ? w->n : 0;
		m->state = m->n > 0 ? MEND_FETCH : MEND_DONE;
		tell(m, w);
	}
	if (m != NULL) {
		m->work = NULL;
		sup_supplied(m->h->sup);
	}
	free_mending(w);
}

static void
start(struct mend *m, bool put)
{
	struct mending *w = m->work = xcalloc(1, sizeof(*w));

	w->mend = m;
	w->put = put;
	w->folder = job_folder(m->h, m->job);
	memcpy(w->bad, m->bad, sizeof(w->bad));
	w->n = m->n;
	for (int k = 0; put && k < m->n; k++)
		if (m->hex[k][0] != '\0')
			w->paths[k] = cache_path(m->h, m->hex[k]);
	loop_work(m->h->loop, work, done, w);
}

/* --- where it is to be had ------------------------------------------------ */

/* A row of the job that has the file, else a version of a model that has it:
 * its SHA-256 and its address. */
static void
look_it_up(struct mend *m, int k)
{
	struct ckpt_file *f = &m->bad[k];
	struct rows rows;
	struct rfiles r;

	free(m->uri[k]);
	m->uri[k] = NULL;
	rows_load(m->h, m->job, RS_THERE, &rows);
	for (size_t i = 0; i < rows.n && m->uri[k] == NULL; i++) {
		rfiles_parse(&r, rows.v[i].files);
		for (int n = 0; n < r.n && m->uri[k] == NULL; n++) {
			if (strcmp(r.v[n].name, f->name) != 0 ||
			    r.v[n].size != f->size)
				continue;
			m->uri[k] = xstrdup(r.v[n].uri);
			memcpy(f->sha256, r.v[n].sha256, sizeof(f->sha256));
		}
		rfiles_fini(&r);
	}
	rows_fini(&rows);
	const struct ship_registry *g = &m->h->registry;
	if (m->uri[k] == NULL && g->shard != NULL &&
	    !g->shard(g->ctx, f, &m->uri[k], f->sha256))
		m->uri[k] = NULL;
}

static enum rk_err
fetch_one(struct mend *m, int k, struct rk_why *why)
{
	look_it_up(m, k);
	const struct ckpt_file *f = &m->bad[k];
	const struct fetch_ask a = { .uri = m->uri[k], .sha256 = f->sha256,
		.size = f->size, .job = m->job, .attempt = m->attempt };

	if (f->sha256[0] == '\0')
		return RK_ENOENT;
	if (cache_has(m->h, f->sha256, f->size)) {
		memcpy(m->hex[k], f->sha256, sizeof(m->hex[k]));
		return RK_OK;
	}
	return m->uri[k] != NULL ? fetch_want(m->h, &a, m->hex[k], why) :
	    RK_ENOENT;
}

/* RK_EBUSY: on its way; else what can be had is there. */
static enum rk_err
fetch_all(struct mend *m, struct rk_why *why)
{
	bool busy = false;

	for (int k = 0; k < m->n; k++) {
		struct rk_why own = {0};
		const enum rk_err rc = fetch_one(m, k, &own);
		if (rc == RK_EBUSY && own.n > 0)
			rk_refuse(why, "%s", rk_why_first(&own));
		else if (rc != RK_OK)
			log_warn("job=%s ship: no good copy of %s: %s", m->job,
			    m->bad[k].name, own.n > 0 ? rk_why_first(&own) :
			    "no bucket, no cache and no version of a model has "
			    "one");
		busy = busy || rc == RK_EBUSY;
		rk_why_fini(&own);
	}
	return busy ? RK_EBUSY : RK_OK;
}

/* --- driven by sup -------------------------------------------------------- */

static bool
has_shards(struct ship *h, const char *job)
{
	char *path = job_folder(h, job);
	struct ckpt *c = NULL;
	const bool has = access(path, F_OK) == 0 &&
	    ckpt_open(&c, path, false) == RK_OK && ckpt_any_shards(c);

	ckpt_close(&c);
	free(path);
	return has;
}

static struct mend *
begin(struct ship *h, const struct job_row *r)
{
	struct mend *m = xcalloc(1, sizeof(*m));

	m->h = h;
	snprintf(m->job, sizeof(m->job), "%s", r->id);
	m->attempt = r->attempt;
	m->next = h->mends;
	h->mends = m;
	start(m, false);
	return m;
}

enum rk_err
mend_step(struct ship *h, const struct job_row *r, struct rk_why *why)
{
	struct mend *m = find(h, r->id);

	if (m != NULL && m->attempt != r->attempt) {
		drop(m);
		m = NULL;
	}
	if (m == NULL && !has_shards(h, r->id))
		return RK_OK;
	if (m == NULL)
		m = begin(h, r);
	if (m->state == MEND_FETCH && fetch_all(m, why) == RK_OK) {
		m->state = MEND_PUT;
		start(m, true);
	}
	if (m->state == MEND_DONE)
		return RK_OK;
	if (why->n == 0)
		rk_refuse(why, m->state == MEND_LOOK ? "looks whether its "
		    "checkpoints are whole" : "mends what is damaged of its "
		    "checkpoints");
	return RK_EBUSY;
}
