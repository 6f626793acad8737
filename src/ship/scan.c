/*
 * Which local checkpoints are to be pushed.
 *
 * The local folder and the rows are compared: after each commit, at ship_go()
 * for all jobs (what was committed while no daemon was there), and after names
 * were given.  What retention would not keep any more is not begun.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl.h"

#define JOBS_A_ROUND 16

void
scan_later(struct ship *h, const char *job)
{
	if (!h->going || h->stopped)
		return;                 /* ship_go() looks at all */
	for (size_t i = 0; i < h->ndirty; i++) {
		if (strcmp(h->dirty[i], job) == 0)
			return;
	}
	if ((h->ndirty & (h->ndirty - 1)) == 0)
		h->dirty = xrealloc(h->dirty, RK_MAX(h->ndirty * 2, (size_t)1) *
		    sizeof(*h->dirty));
	snprintf(h->dirty[h->ndirty++], RK_ID, "%s", job);
	loop_timer_at(h->scan_timer, mono_ms());
}

void
scan_fini(struct ship *h)
{
	free(h->dirty);
	h->dirty = NULL;
	h->ndirty = 0;
}

static bool
add_all(void *ctx, const char *id, int64_t version)
{
	struct ship *h = ctx;

	(void)version;
	if ((h->ndirty & (h->ndirty - 1)) == 0)
		h->dirty = xrealloc(h->dirty, RK_MAX(h->ndirty * 2, (size_t)1) *
		    sizeof(*h->dirty));
	snprintf(h->dirty[h->ndirty++], RK_ID, "%s", id);
	return true;
}

/* Newest jobs last: they are taken from the end. */
void
scan_all(struct ship *h)
{
	struct store_filter all = {0};
	char last[RK_ID] = "";
	size_t before;
	enum rk_err rc;

	h->ndirty = 0;
	do {
		before = h->ndirty;
		rc = store_job_ids(h->store, &all, last[0] ? last : NULL, 1000,
		    add_all, h);
		if (h->ndirty > before)
			memcpy(last, h->dirty[h->ndirty - 1], RK_ID);
	} while (rc == RK_OK && h->ndirty > before);
	if (rc != RK_OK)
		log_error("ship: cannot list the jobs: %s", rk_strerror(rc));
	for (size_t i = 0; i < h->ndirty / 2; i++) {
		char t[RK_ID];
		memcpy(t, h->dirty[i], RK_ID);
		memcpy(h->dirty[i], h->dirty[h->ndirty - 1 - i], RK_ID);
		memcpy(h->dirty[h->ndirty - 1 - i], t, RK_ID);
	}
	if (h->ndirty > 0)
		loop_timer_at(h->scan_timer, mono_ms());
}

void
scan_timer_fn(void *ctx)
{
	struct ship *h = ctx;
	char id[RK_ID];

	must_be(h, SHIP_TAG);
	for (int k = 0; k < JOBS_A_ROUND && h->ndirty > 0; k++) {
		memcpy(id, h->dirty[--h->ndirty], RK_ID);
		scan_job(h, id);
	}
	if (h->ndirty > 0)
		loop_timer_at(h->scan_timer, mono_ms());
	else
		scan_fini(h);           /* of many jobs, after ship_go() */
}

/* --- one job ------------------------------------------------------------- */

struct scan {
	struct ship *h;
	const char *job;
	struct jobinfo j;
	struct ckpt *c;
	struct ckpt_info *v;
	size_t n;
	struct rows rows;
};

/* The row that is about this very checkpoint, there or on its way there. */
static struct remote_row *
row_of(struct scan *s, const struct ckpt_info *i)
{
	char digest[RK_SHA256_HEX];

	for (size_t k = 0; k < s->rows.n; k++) {
		struct remote_row *r = &s->rows.v[k];
		if (strcmp(r->dir, i->dir) != 0 || r->state == RS_DROPPED ||
		    r->state == RS_DELETING || !starts_with(r->uri,
		    s->j.base))
			continue;
		rk_sha256_of(r->info, strlen(r->info), digest);
		if (strcmp(digest, i->digest) == 0)
			return r;
	}
	return NULL;
}

static char *
free_uri(struct scan *s, const char *dir)
{
	for (int n = 1; n <= PUSH_FOLDERS; n++) {
		char *uri = folder_uri(s->j.base, dir, s->h->epoch, n);
		bool taken = false;
		for (size_t k = 0; k < s->rows.n; k++)
			taken = taken || strcmp(s->rows.v[k].uri, uri) == 0;
		if (!taken)
			return uri;
		free(uri);
	}
	return NULL;
}

static char *
read_info(struct scan *s, const struct ckpt_info *i)
{
	char *path = xasprintf("%s/%s/checkpoint.json", ckpt_path(s->c),
	    i->dir);
	char *text = NULL, digest[RK_SHA256_HEX];
	size_t len = 0;

	if (rk_read_file(AT_FDCWD, path, CKPT_JSON_MAX, &text, &len) ==
	    RK_OK) {
		rk_sha256_of(text, len, digest);
		if (strlen(text) != len || strcmp(digest, i->digest) != 0) {
			free(text);
			text = NULL;
		}
	}
	free(path);
	return text;
}

static void
enqueue(struct scan *s, const struct ckpt_info *i)
{
	struct remote_row r = { .dir = (char *)(uintptr_t)i->dir,
		.state = RS_QUEUED, .epoch = s->h->epoch, .step = i->step,
		.branch = i->branch, .bytes = i->bytes,
		.created_ms = i->created_ms };
	char nothing[] = "", none[] = "[]";

	r.uri = free_uri(s, i->dir);
	r.info = read_info(s, i);
	r.files = none;
	r.error = nothing;
	snprintf(r.job, sizeof(r.job), "%s", s->job);
	if (r.uri != NULL && r.info != NULL && row_save(s->h, &r))
		queue_kick(s->h);
	free(r.uri);
	free(r.info);
}

static const struct ckpt_info *
local_of(const struct scan *s, const struct remote_row *r)
{
	for (size_t k = 0; k < s->n; k++) {
		if (strcmp(s->v[k].dir, r->dir) == 0)
			return &s->v[k];
	}
	return NULL;
}

/* Waiting, but gone here or bound for a place where the job sends nothing any
 * more.  One that is on its way has its files open; of one that was on its way
 * when a daemon was killed the push asks whether it got there (push_gone). */
static void
drop_stale(struct scan *s)
{
	for (size_t k = 0; k < s->rows.n; k++) {
		struct remote_row *r = &s->rows.v[k];
		bool here = local_of(s, r) != NULL;
		bool bound = starts_with(r->uri, s->j.base);
		if ((here && bound) || push_find(s->h, r) != NULL)
			continue;
		if (r->state == RS_QUEUED && row_drop(s->h, r))
			r->state = RS_DROPPED;
		else if (r->state == RS_UPLOADING && !bound)
			(void)delete_row(s->h, r, "it goes elsewhere now");
	}
}

static void
compare(struct scan *s)
{
	bool *keep = xcalloc(s->n + 1, sizeof(*keep));

	ckpt_info_keep(s->v, s->n, s->j.keep_last, s->j.keep_best, s->j.metric,
	    s->j.mode_max, keep);
	drop_stale(s);
	for (size_t k = 0; k < s->n; k++) {
		const struct remote_row *r = row_of(s, &s->v[k]);
		struct rfiles f;
		if (r == NULL) {
			if (keep[k])
				enqueue(s, &s->v[k]);
			continue;
		}
		if (!(RS_BIT(r->state) & RS_THERE))
			continue;
		rfiles_parse(&f, r->files);
		if (!names_same(f.names, s->v[k].names))
			naming_start(s->h, r, s->v[k].names);
		rfiles_fini(&f);
	}
	free(keep);
}

void
scan_job(struct ship *h, const char *job)
{
	struct scan s = { .h = h, .job = job };

	if (!h->going || h->stopped)
		return;
	/* Most jobs of a long queue have nothing yet: the folder is asked for
	 * before the row. */
	char *path = job_folder(h, job);
	if (access(path, F_OK) != 0 || !job_look(h, job, &s.j)) {
		free(path);
		results_look(h, job);
		return;
	}
	if (s.j.prefix[0] != '\0' &&
	    ckpt_open(&s.c, path, false) == RK_OK &&
	    ckpt_list(s.c, &s.v, &s.n) == RK_OK) {
		rows_load(h, job, 0, &s.rows);
		compare(&s);
		/* A daemon may have been killed right before. */
		retain_job(h, job, &s.j);
		rows_fini(&s.rows);
		ckpt_list_free(s.v, s.n);
	}
	ckpt_close(&s.c);
	free(path);
	jobinfo_fini(&s.j);
}
