/*
 * Is what was verified still there?
 *
 * A bucket is emptied, a lifecycle rule expires an object, somebody tidies up:
 * no store tells.  So every recheck_ms, and soon after the start, each object
 * of verified checkpoints is asked for once more (HEAD): of jobs that have not
 * ended first, of each job the newest first, then the best, then the others;
 * one request at a time, a pause behind each checkpoint, HEADS_MAX a round.
 * The next round goes on with the ended jobs where the budget of this one came
 * to its end.  verified_ms is the time of the last look that found all of it.
 *
 * A checkpoint of which something is missing, or has become other bytes, is
 * RS_DROPPED (shown as `missing`), so that nothing counts it: not retention,
 * not the job's record in the mirror, not a job that starts.  scan.c then has
 * it sent again, into another folder, if it is here.
 *
 * Retention (retain.c) takes nothing away on the strength of what was not looked
 * at for LATELY_MS: it asks for a look at the newest of the job and the best,
 * out of turn, behind which it is called again.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl.h"

#define HEADS_MAX 500           /* a round; the checkpoint under way is ended */
#define PAUSE_MS  1000          /* between two checkpoints */
#define FIRST_MS  10000         /* after ship_go() */
#define LATELY_MS 600000
#define SOON_ROWS 2             /* of a job whose turn it is not */

struct recheck {
	struct ship *h;
	struct idlist jobs;
	size_t job, active;             /* the next; how many have not ended */
	int heads;
	bool soon;                      /* not a round, but what was asked for */
	bool ending;                    /* a job's look is over */
	bool known;                     /* the store has answered for this job:
					   a no stands for the object */
	struct rows rows;               /* of a job, in the order of looks */
	size_t row;
	struct rfiles files;            /* of that row */
	int file;                       /* -1: checkpoint.json; n: remote.json */
	char **seen;                    /* addresses of this job that agree */
	size_t nseen;
	struct remote_op *op;
};

static void ask(struct recheck *k);

/* --- the round ------------------------------------------------------------ */

static int64_t
pause_ms(const struct ship *h)
{
	return RK_MIN((int64_t)PAUSE_MS, h->c.recheck_ms / 20);
}

static void
free_job(struct recheck *k)
{
	for (size_t i = 0; i < k->nseen; i++)
		free(k->seen[i]);
	free(k->seen);
	k->seen = NULL;
	k->nseen = 0;
	k->known = false;
	rfiles_fini(&k->files);
	rows_fini(&k->rows);
	k->row = 0;
}

static void
round_free(struct recheck *k)
{
	k->h->recheck = NULL;
	remote_cancel(&k->op);
	free_job(k);
	free(k->jobs.v);
	free(k);
}

void
recheck_fini(struct ship *h)
{
	if (h->recheck != NULL)
		round_free(h->recheck);
	free(h->soon.v);
	h->soon = (struct idlist){0};
}

static void
end_round(struct recheck *k)
{
	struct ship *h = k->h;

	/* Those that had their turn come last in the next round. */
	if (k->job > k->active && k->job <= k->jobs.n)
		memcpy(h->recheck_last, k->jobs.v[k->job - 1], RK_ID);
	if (!k->soon)
		h->recheck_at_ms = mono_ms() + h->c.recheck_ms;
	round_free(k);
	loop_timer_at(h->recheck_timer, h->soon.n > 0 ? mono_ms() :
	    h->recheck_at_ms);
}

void
recheck_begin(struct ship *h)
{
	if (h->c.recheck_ms <= 0)
		return;
	h->recheck_at_ms = mono_ms() + RK_MIN((int64_t)FIRST_MS,
	    h->c.recheck_ms);
	loop_timer_at(h->recheck_timer, h->recheck_at_ms);
}

bool
recheck_lately(const struct ship *h, const struct remote_row *r)
{
	return h->c.recheck_ms <= 0 || r->verified_ms > now_ms() -
	    RK_MIN((int64_t)LATELY_MS, h->c.recheck_ms);
}

static void
add_id(struct idlist *l, const char *id)
{
	if ((l->n & (l->n - 1)) == 0)
		l->v = xrealloc(l->v, RK_MAX(l->n * 2, (size_t)1) *
		    sizeof(*l->v));
	memcpy(l->v[l->n++], id, RK_ID);
}

void
recheck_soon(struct ship *h, const char *job)
{
	/* It is this look that retention was called behind. */
	if (h->recheck != NULL && h->recheck->ending)
		return;
	for (size_t i = 0; i < h->soon.n; i++) {
		if (strcmp(h->soon.v[i], job) == 0)
			return;
	}
	add_id(&h->soon, job);
	if (h->recheck == NULL)
		loop_timer_at(h->recheck_timer, mono_ms());
}

static bool
see_job(void *ctx, const char *id, int64_t version)
{
	(void)version;
	add_id(ctx, id);
	return true;
}

bool
row_missing(const struct remote_row *r)
{
	return r->state == RS_DROPPED && (r->remote_ms > 0 ||
	    r->verified_ms > 0);
}

static bool
see_row(void *ctx, const struct remote_row *r)
{
	struct idlist *l = ctx;

	if ((r->state == RS_VERIFIED || row_missing(r)) && (l->n == 0 ||
	    strcmp(l->v[l->n - 1], r->job) != 0))
		add_id(l, r->job);
	return true;
}

static int
by_id(const void *a, const void *b)
{
	return strcmp(a, b);
}

static bool
is_in(const struct idlist *l, const char *id)
{
	return l->n > 0 && bsearch(id, l->v, l->n, RK_ID, by_id) != NULL;
}

/* Jobs of one kind behind the one that was last, then from the beginning. */
static void
take_jobs(struct recheck *k, const struct idlist *all,
    const struct idlist *active, bool want, const char *last)
{
	for (int turn = 0; turn < 2; turn++) {
		for (size_t i = 0; i < all->n; i++) {
			const char *id = all->v[i];
			if ((i > 0 && strcmp(id, all->v[i - 1]) == 0) ||
			    is_in(active, id) != want ||
			    (strcmp(id, last) > 0) != (turn == 0))
				continue;
			add_id(&k->jobs, id);
		}
	}
}

/* Those that were asked for. */
static void
begin_soon(struct ship *h)
{
	struct recheck *k = h->recheck = xcalloc(1, sizeof(*k));

	k->h = h;
	k->soon = true;
	k->jobs = h->soon;
	k->active = k->jobs.n;
	h->soon = (struct idlist){0};
}

static void
begin_round(struct ship *h)
{
	struct store_filter f = { .states = STORE_ALL_STATES &
	    ~(1u << JOB_SUCCEEDED | 1u << JOB_FAILED | 1u << JOB_CANCELLED) };
	struct idlist all = {0}, active = {0};
	struct recheck *k;

	if (store_remotes(h->store, NULL, RS_BIT(RS_VERIFIED) |
	    RS_BIT(RS_DROPPED), see_row, &all) != RK_OK ||
	    store_job_ids(h->store, &f, NULL, INT32_MAX, see_job, &active) !=
	    RK_OK || all.n == 0) {
		free(all.v);
		free(active.v);
		return;
	}
	qsort(all.v, all.n, RK_ID, by_id);
	if (active.n > 0)
		qsort(active.v, active.n, RK_ID, by_id);
	k = h->recheck = xcalloc(1, sizeof(*k));
	k->h = h;
	take_jobs(k, &all, &active, true, "");
	k->active = k->jobs.n;
	take_jobs(k, &all, &active, false, h->recheck_last);
	free(all.v);
	free(active.v);
}

/* --- a job ---------------------------------------------------------------- */

/* The best one is second, behind the newest. */
static void
best_first(struct rows *rows, const struct jobinfo *j)
{
	struct ckpt_info *v;
	size_t *at, n;

	rows_infos(rows, &v, &at, &n);
	int best = ckpt_info_select(v, n, "best", j->metric, j->mode_max, NULL);
	size_t i = best >= 0 ? at[best] : 0;
	if (i > 1) {
		struct remote_row r = rows->v[i];
		memmove(&rows->v[2], &rows->v[1], (i - 1) * sizeof(r));
		rows->v[1] = r;
	}
	free(at);
	ckpt_list_free(v, n);
}

/* One that is missing and was not sent again may have been put back. */
static void
look_for_missing(struct ship *h, const char *job, const struct jobinfo *j)
{
	struct rows rows;
	bool any = false;

	rows_load(h, job, RS_BIT(RS_DROPPED), &rows);
	for (size_t i = 0; i < rows.n; i++)
		any = any || row_missing(&rows.v[i]);
	rows_fini(&rows);
	if (any)
		reappear_look(h, job, j->prefix);
}

static bool
begin_job(struct recheck *k, const char *job)
{
	struct jobinfo j;

	if (!job_look(k->h, job, &j))
		return false;           /* deleted; its objects go */
	look_for_missing(k->h, job, &j);
	rows_load(k->h, job, RS_BIT(RS_VERIFIED), &k->rows);
	best_first(&k->rows, &j);
	for (; k->soon && k->rows.n > SOON_ROWS; k->rows.n--)
		store_remote_fini(&k->rows.v[k->rows.n - 1]);
	jobinfo_fini(&j);
	return k->rows.n > 0;
}

/* All of its checkpoints were looked at: what retention waited for. */
static void
end_job(struct recheck *k)
{
	struct jobinfo j;
	char job[RK_ID];

	memcpy(job, k->jobs.v[k->job++], RK_ID);
	free_job(k);
	if (job_look(k->h, job, &j)) {
		k->ending = true;
		retain_job(k->h, job, &j);
		k->ending = false;
		jobinfo_fini(&j);
	}
}

/* --- a checkpoint --------------------------------------------------------- */

struct wanted {
	const char *uri;
	struct remote_row row;
	bool found;
};

static bool
take_row(void *ctx, const struct remote_row *r)
{
	struct wanted *w = ctx;

	if (strcmp(r->uri, w->uri) != 0)
		return true;
	row_copy(&w->row, r);
	w->found = true;
	return false;
}

/* All of it is there: as the row is by now, names may have been given. */
static void
still_there(struct recheck *k)
{
	const struct remote_row *r = &k->rows.v[k->row];
	struct wanted w = { .uri = r->uri };

	if (store_remotes(k->h->store, r->job, RS_BIT(RS_VERIFIED), take_row,
	    &w) != RK_OK || !w.found)
		return;
	w.row.verified_ms = now_ms();
	if (store_remote_put(k->h->store, &w.row, NULL) != RK_OK)
		log_warn("job=%s ship: that %s is still in the bucket is not "
		    "recorded", r->job, r->dir);
	store_remote_fini(&w.row);
}

static void
next_row(struct recheck *k)
{
	rfiles_fini(&k->files);
	k->row++;
	loop_timer_at(k->h->recheck_timer, mono_ms() + pause_ms(k->h));
}

/* What of the job can be gone on from; "no checkpoint of the job is left". */
static char *
left_text(struct ship *h, const char *job)
{
	struct ckpt_info *v = NULL;
	struct ckpt *c = NULL;
	struct rows rows;
	char *path = job_folder(h, job), *text;
	size_t n = 0;

	rows_load(h, job, RS_THERE, &rows);
	if (access(path, F_OK) == 0 && ckpt_open(&c, path, false) == RK_OK)
		(void)!ckpt_list(c, &v, &n);
	const struct ckpt_info *here = n > 0 ? &v[n - 1] : NULL;
	const struct remote_row *there = rows.n > 0 ? &rows.v[0] : NULL;
	if (here != NULL && (there == NULL || here->branch > there->branch ||
	    (here->branch == there->branch && here->step >= there->step)))
		text = xasprintf("the newest that is left is %s, here",
		    here->dir);
	else if (there != NULL)
		text = xasprintf("the newest that is left is %s, in the bucket",
		    there->dir);
	else
		text = xstrdup("no checkpoint of the job is left");
	ckpt_list_free(v, n);
	ckpt_close(&c);
	rows_fini(&rows);
	free(path);
	return text;
}

static bool
is_here(struct ship *h, const struct remote_row *r)
{
	char *base = job_folder(h, r->job), *text = NULL;
	char *path = xasprintf("%s/%s/checkpoint.json", base, r->dir);
	size_t len = 0;
	bool here = rk_read_file(AT_FDCWD, path, CKPT_JSON_MAX, &text, &len) ==
	    RK_OK && strcmp(text, r->info) == 0;

	free(text);
	free(path);
	free(base);
	return here;
}

/* `what` is an object's address; gone: it is missing, else it is other bytes. */
static void
row_lost(struct ship *h, struct remote_row *r, const char *what, bool gone)
{
	bool here = is_here(h, r);
	char *left, *why = xasprintf("%s %s", what, gone ? "is missing" :
	    "has another length or digest than what was sent");

	r->state = RS_DROPPED;
	if (!gone)
		r->remote_ms = 0;       /* it cannot be there again */
	row_set(&r->error, why);
	if (!row_save(h, r)) {
		free(why);
		return;
	}
	h->missed++;
	left = here ? xstrdup("it is here, and is sent again") :
	    left_text(h, r->job);
	log_warn("job=%s ship: %s was verified and is not in the bucket any "
	    "more: %s; %s%s", r->job, r->dir, why, here ? "" : "it is not "
	    "here either: ", left);
	json_t *data = json_pack("{s:s, s:s, s:s, s:b}", "checkpoint", r->dir,
	    "uri", r->uri, "object", what, "local", here);
	ship_event(h, r->job, "remote_missing", data, "%s was verified and is "
	    "not in the bucket any more: %s; %s%s", r->dir, why, here ? "" :
	    "it is not here either, and lost unless it is put back there: ",
	    left);
	json_decref(data);
	free(left);
	free(why);
}

static bool
refers(const struct remote_row *r, const char *uri)
{
	struct rfiles f;
	bool found = starts_with(uri, r->uri);

	rfiles_parse(&f, r->files);
	for (int i = 0; i < f.n && !found; i++)
		found = strcmp(f.v[i].uri, uri) == 0;
	rfiles_fini(&f);
	return found;
}

/* Every checkpoint that has this object is not whole any more. */
static void
lost(struct recheck *k, const char *uri, bool gone)
{
	const char *job = k->rows.v[k->row].job;
	struct rows rows;

	rows_load(k->h, job, RS_BIT(RS_VERIFIED), &rows);
	for (size_t i = rows.n; i-- > 0;) {
		if (push_find(k->h, &rows.v[i]) == NULL &&
		    refers(&rows.v[i], uri))
			row_lost(k->h, &rows.v[i], uri, gone);
	}
	rows_fini(&rows);
	scan_later(k->h, job);
	sup_supplied(k->h->sup);
}

/* --- an object ------------------------------------------------------------ */

static char *
object_uri(const struct recheck *k)
{
	const char *folder = k->rows.v[k->row].uri;

	if (k->file >= 0 && k->file < k->files.n)
		return xstrdup(k->files.v[k->file].uri);
	return xasprintf("%s%s", folder, k->file < 0 ? "checkpoint.json" :
	    "remote.json");
}

static bool
was_seen(const struct recheck *k, const char *uri)
{
	for (size_t i = 0; i < k->nseen; i++) {
		if (strcmp(k->seen[i], uri) == 0)
			return true;
	}
	return false;
}

static bool
agrees(const struct recheck *k, const struct remote_result *r)
{
	if (k->file >= 0 && k->file < k->files.n)
		return result_agrees(r, &k->files.v[k->file]);
	return k->file >= 0 || r->size == strlen(k->rows.v[k->row].info);
}

static void
answered(void *ctx, const struct remote_result *r)
{
	struct recheck *k = ctx;
	char *uri = object_uri(k);

	k->op = NULL;
	if (r->end == REMOTE_OK && agrees(k, r)) {
		k->known = true;
		if ((k->nseen & (k->nseen - 1)) == 0)
			k->seen = xrealloc(k->seen, RK_MAX(k->nseen * 2,
			    (size_t)1) * sizeof(*k->seen));
		k->seen[k->nseen++] = uri;
		k->file++;
		ask(k);
		return;
	}
	/* Who may not list the bucket is not told that an object is missing:
	 * a no counts where the same keys have just read another. */
	if (r->end == REMOTE_OK || r->end == REMOTE_MISSING ||
	    (r->hidden && k->known)) {
		lost(k, uri, r->end != REMOTE_OK);
		next_row(k);
	} else {
		log_info("job=%s ship: cannot look whether %s is still there: "
		    "%s", k->rows.v[k->row].job, uri, r->error);
		end_round(k);
	}
	free(uri);
}

static void
ask(struct recheck *k)
{
	struct remote_patience pt = push_patience();

	for (; k->file <= k->files.n; k->file++) {
		char *uri = object_uri(k);
		if (!was_seen(k, uri)) {
			k->heads++;
			k->op = remote_head(k->h->remote, uri, &pt, answered,
			    k);
			free(uri);
			return;
		}
		free(uri);
	}
	still_there(k);
	next_row(k);
}

/* Has it changed since the job was begun with? */
static bool
is_verified(struct recheck *k)
{
	const struct remote_row *r = &k->rows.v[k->row];
	struct wanted w = { .uri = r->uri };
	bool is = store_remotes(k->h->store, r->job, RS_BIT(RS_VERIFIED),
	    take_row, &w) == RK_OK && w.found;

	if (w.found)
		store_remote_fini(&w.row);
	return is;
}

/* The next checkpoint; false: the round has come to its end. */
static bool
go_on(struct recheck *k)
{
	for (;;) {
		while (k->row < k->rows.n && !is_verified(k))
			k->row++;
		if (k->row < k->rows.n) {
			rfiles_parse(&k->files, k->rows.v[k->row].files);
			k->file = -1;
			ask(k);
			return true;
		}
		if (k->rows.n > 0)
			end_job(k);
		if (k->job >= k->jobs.n || (k->heads >= HEADS_MAX &&
		    !k->soon))
			return false;
		if (!begin_job(k, k->jobs.v[k->job]))
			k->job++;
	}
}

void
recheck_timer_fn(void *ctx)
{
	struct ship *h = ctx;

	must_be(h, SHIP_TAG);
	if (!h->going || h->stopped)
		return;
	if (h->recheck == NULL && h->soon.n > 0)
		begin_soon(h);
	else if (h->recheck == NULL && !ship_drain_on(h))
		begin_round(h);
	if (h->recheck == NULL) {
		h->recheck_at_ms = mono_ms() + h->c.recheck_ms;
		loop_timer_at(h->recheck_timer, h->recheck_at_ms);
	} else if (h->recheck->op == NULL && !go_on(h->recheck)) {
		end_round(h->recheck);
	}
}
