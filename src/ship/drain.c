/*
 * A drain: what is committed, in the order of its worth, until a deadline.
 *
 * Looked at four times a second and whenever something ends: the plan is made
 * anew from what is left and the rate that the line has shown.  What does not
 * fit is held back as long as something else does; when nothing fits any more,
 * the rest is tried in its order all the same, for the rate may grow.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl.h"

#define LOOK_MS 250
#define DENIED_ENOUGH 2
#define STORY_MAX (64u << 10)

struct drain_fn {
	struct drain_fn *next;
	ship_drained_fn *fn;
	void *ctx;
};

/* A job whose end is told: what its newest checkpoint met. */
struct drain_job {
	char id[RK_ID], dir[CKPT_DIR_MAX];
	double need, had;               /* seconds; need -1: not known */
};

struct drain {
	int64_t deadline_ms;
	bool over;
	struct drain_fn *fns;
	struct drain_job *jobs;
	size_t njobs;
	struct strbuf story;
};

bool
ship_drain_on(const struct ship *h)
{
	return h->drain != NULL && !h->drain->over;
}

double
ship_rate(const struct ship *h)
{
	struct remote_totals t;

	remote_totals(h->remote, &t);
	return t.up_rate;
}

void
ship_drain_fini(struct ship *h)
{
	struct drain_fn *f;

	if (h->drain == NULL)
		return;
	while ((f = h->drain->fns) != NULL) {
		h->drain->fns = f->next;
		free(f);
	}
	sb_fini(&h->drain->story);
	free(h->drain->jobs);
	free(h->drain);
	h->drain = NULL;
}

static struct drain_job *
job_of(struct drain *d, const char *id)
{
	for (size_t i = 0; i < d->njobs; i++) {
		if (strcmp(d->jobs[i].id, id) == 0)
			return &d->jobs[i];
	}
	d->jobs = xrealloc(d->jobs, (d->njobs + 1) * sizeof(*d->jobs));
	d->jobs[d->njobs] = (struct drain_job){ .need = -1 };
	snprintf(d->jobs[d->njobs].id, RK_ID, "%s", id);
	return &d->jobs[d->njobs++];
}

/* --- the plan ------------------------------------------------------------ */

/* Bytes of a row that nobody has sent yet. */
uint64_t
row_left(struct ship *h, const struct remote_row *r)
{
	const struct push *p = push_find(h, r);
	struct ckpt_info i;
	struct rows there;
	struct rfiles f;
	uint64_t left = 0;

	if (RS_BIT(r->state) & RS_THERE)
		return 0;
	if (p != NULL)
		return r->bytes - RK_MIN(push_moved(p), r->bytes);
	if (r->state == RS_UPLOADING || !row_info(r, &i))
		return r->bytes - RK_MIN(r->sent, r->bytes);
	rows_load(h, r->job, RS_BIT(RS_VERIFIED), &there);
	for (int k = 0; k < i.nfiles; k++) {
		bool found = false;
		for (size_t n = 0; n < there.n && !found; n++) {
			if (!heir_is(h, &there.v[n]))
				continue;
			rfiles_parse(&f, there.v[n].files);
			for (int m = 0; m < f.n; m++)
				found = found || strcmp(f.v[m].sha256,
				    i.files[k].sha256) == 0;
			rfiles_fini(&f);
		}
		left += found ? 0 : i.files[k].size;
	}
	rows_fini(&there);
	ckpt_info_fini(&i);
	return left;
}

static bool
first_of_job(const struct rows *rows, size_t i)
{
	for (size_t k = 0; k < i; k++) {
		if (strcmp(rows->v[k].job, rows->v[i].job) == 0)
			return false;
	}
	return true;
}

static double
seconds_left(const struct drain *d)
{
	return (double)(d->deadline_ms - mono_ms()) / 1000;
}

static bool
can_try(struct ship *h, const struct remote_row *r)
{
	char *prefix = prefix_of_uri(r->uri);
	bool waits = trouble_waits(h, prefix) || trouble_waits(h, r->uri) ||
	    !job_may_write(h, r->uri);

	free(prefix);
	return !waits;
}

/* What a job's newest one met when it was first seen, for the story. */
static void
note_job(struct drain *d, const struct remote_row *r, uint64_t left,
    double rate)
{
	struct drain_job *j = job_of(d, r->job);

	if (strcmp(j->dir, r->dir) == 0 && (j->need >= 0 || rate <= 0))
		return;
	snprintf(j->dir, sizeof(j->dir), "%s", r->dir);
	j->need = rate > 0 ? (double)left / rate : -1;
	j->had = seconds_left(d);
}

static size_t
make_plan(struct ship *h, const struct rows *rows, struct plan_item *v)
{
	double rate = ship_rate(h);
	size_t n = 0;

	for (size_t i = 0; i < rows->n; i++) {
		const struct remote_row *r = &rows->v[i];
		struct jobinfo j;
		if (r->state == RS_VERIFIED)
			continue;
		bool newest = first_of_job(rows, i);
		uint64_t left = row_left(h, r);
		if (newest && r->state != RS_REMOTE)
			note_job(h->drain, r, left, rate);
		if (!can_try(h, r) || !job_look(h, r->job, &j))
			continue;
		v[n++] = (struct plan_item){ .priority = j.priority,
			.newest = newest, .left = left, .tag = i };
		jobinfo_fini(&j);
	}
	plan_fit(v, n, rate, seconds_left(h->drain));
	return n;
}

/* --- start and hold ------------------------------------------------------ */

/* A newer one of the same job is under way, before it in the plan. */
static bool
behind_own(const struct rows *rows, const struct plan_item *v, size_t i,
    bool any_fits)
{
	for (size_t k = 0; k < i; k++) {
		if ((v[k].fits || !any_fits) && strcmp(rows->v[v[k].tag].job,
		    rows->v[v[i].tag].job) == 0)
			return true;
	}
	return false;
}

/* Side by side they share the line.  What is more important has it alone,
 * unless there is time for both twice over. */
static bool
may_share(const struct ship *h, const struct plan_item *v)
{
	return v->fits && v->end * 2 <= seconds_left(h->drain);
}

static void
follow(struct ship *h, const struct rows *rows, const struct plan_item *v,
    size_t n)
{
	bool any_fits = false, alone = true;
	int slots = h->c.uploads;

	for (size_t i = 0; i < n; i++)
		any_fits = any_fits || v[i].fits;
	for (size_t i = 0; i < n; i++) {
		const struct remote_row *r = &rows->v[v[i].tag];
		struct push *p = push_find(h, r);
		bool run = slots > 0 && (v[i].fits || !any_fits) &&
		    !behind_own(rows, v, i, any_fits) &&
		    (alone || may_share(h, &v[i]));
		if (run) {
			slots--;
			alone = false;
		}
		if (p != NULL)
			push_hold(p, !run);
		else if (run)
			push_start(h, r);
	}
}

void
ship_drain_look(struct ship *h)
{
	struct rows rows;

	rows_load(h, NULL, RS_TO_DO | RS_THERE, &rows);
	struct plan_item *v = xcalloc(rows.n + 1, sizeof(*v));
	size_t n = make_plan(h, &rows, v);
	follow(h, &rows, v, n);
	free(v);
	rows_fini(&rows);
}

/* --- the end ------------------------------------------------------------- */

struct hope {
	struct ship *h;
	bool any;
};

/* Something is to be sent to where we are not refused: a second time, since the
 * drain began, is enough to know. */
static bool
see_hope(void *ctx, const struct remote_row *r)
{
	struct hope *o = ctx;
	char *prefix = prefix_of_uri(r->uri);
	const struct trouble *t = trouble_of(o->h, prefix, false);

	o->any = job_may_write(o->h, r->uri) && (t == NULL || !t->denied ||
	    t->n < DENIED_ENOUGH);
	free(prefix);
	return !o->any;
}

static bool
all_done(struct ship *h)
{
	int running;
	int64_t queued, threads;
	uint64_t memory;
	struct hope o = { h, false };

	sup_stats(h->sup, &running, &queued, &threads, &memory);
	if (running > 0)
		return false;
	if (!h->going || h->stopped)
		return true;
	/* What is sent now, no more: no row would say that it is there. */
	if (store_here(h->store, NULL) == RK_EGONE)
		return h->npushes == 0;
	if (h->ndirty > 0 || h->npushes > 0)
		return false;
	return store_remotes(h->store, NULL, RS_TO_DO, see_hope, &o) ==
	    RK_OK && !o.any;
}

/* The newest that is committed here; false: none. */
static bool
newest_local(struct ship *h, const char *job, struct ckpt_info *out)
{
	char *path = job_folder(h, job);
	struct ckpt *c = NULL;
	struct ckpt_info *v = NULL;
	size_t n = 0;
	bool found = false;

	/* ckpt_open() would make the folder. */
	if (access(path, F_OK) == 0 && ckpt_open(&c, path, false) == RK_OK &&
	    ckpt_list(c, &v, &n) == RK_OK && n > 0) {
		*out = v[n - 1];
		v[n - 1] = (struct ckpt_info){0};
		found = true;
		ckpt_list_free(v, n);
	}
	ckpt_close(&c);
	free(path);
	return found;
}

static void
add_have(struct strbuf *b, const struct rows *there)
{
	char step[RK_HUMAN];

	if (there->n > 0)
		sb_addf(b, "the bucket has step %s", rk_group_digits(step,
		    there->v[0].step));
	else
		sb_adds(b, "the bucket has none of it");
}

static void
tell_stays(struct strbuf *b, const struct drain_job *j,
    const struct ckpt_info *i, const struct rows *there)
{
	char step[RK_HUMAN], bytes[RK_HUMAN];

	rk_group_digits(step, i->step);
	rk_human_bytes(bytes, i->bytes);
	sb_addf(b, "step %s stays on this machine: ", step);
	if (j->need >= 0 && strcmp(j->dir, i->dir) == 0)
		sb_addf(b, "%s would take %.3g s, %.3g s were left, ", bytes,
		    j->need, RK_MAX(j->had, 0));
	else
		sb_addf(b, "%s could not be sent in time, ", bytes);
	add_have(b, there);
}

static void
add_story(struct drain *d, const char *name, const char *text)
{
	if (d->story.len < STORY_MAX)
		sb_addf(&d->story, "%s%s: %s", d->story.len > 0 ? "; " : "",
		    name, text);
}

static void
tell_job(struct ship *h, const struct drain_job *j)
{
	struct ckpt_info i = {0};
	struct strbuf b = {0};
	struct jobinfo info;
	struct rows there;
	char step[RK_HUMAN];
	bool made_it = false;

	if (!job_look(h, j->id, &info))
		return;
	if (info.prefix[0] == '\0' || !newest_local(h, j->id, &i)) {
		jobinfo_fini(&info);
		return;
	}
	rows_load(h, j->id, RS_THERE, &there);
	for (size_t k = 0; k < there.n; k++)
		made_it = made_it || strcmp(there.v[k].dir, i.dir) == 0;
	if (made_it)
		sb_addf(&b, "step %s is in the bucket", rk_group_digits(step,
		    i.step));
	else
		tell_stays(&b, j, &i, &there);
	log_info("job=%s ship: %s", j->id, sb_str(&b));
	ship_event(h, j->id, "drain", NULL, "%s", sb_str(&b));
	add_story(h->drain, info.name[0] != '\0' ? info.name : j->id,
	    sb_str(&b));
	sb_fini(&b);
	rows_fini(&there);
	ckpt_info_fini(&i);
	jobinfo_fini(&info);
}

static void
finish(struct ship *h)
{
	struct drain *d = h->drain;
	struct drain_fn *f, *all = d->fns;

	if (!d->over) {
		for (size_t i = 0; i < d->njobs; i++)
			tell_job(h, &d->jobs[i]);
		d->over = true;
		for (struct push *p = h->pushes; p != NULL; p = p->next)
			push_hold(p, false);
	}
	d->fns = NULL;
	while ((f = all) != NULL) {
		all = f->next;
		if (f->fn != NULL)
			f->fn(f->ctx);
		free(f);
	}
}

void
ship_drain_timer_fn(void *ctx)
{
	struct ship *h = ctx;

	must_be(h, SHIP_TAG);
	if (h->drain == NULL)
		return;
	if (h->drain->over || mono_ms() >= h->drain->deadline_ms ||
	    all_done(h)) {
		finish(h);
		return;
	}
	queue_kick(h);
	loop_timer_at(h->drain_timer, RK_MIN(mono_ms() + LOOK_MS,
	    h->drain->deadline_ms));
}

const char *
ship_drain_story(const struct ship *h)
{
	must_be(h, SHIP_TAG);
	return h->drain != NULL ? sb_str(&h->drain->story) : "";
}

void
ship_undrain(struct ship *h)
{
	must_be(h, SHIP_TAG);
	if (h->drain == NULL)
		return;
	loop_timer_off(h->drain_timer);
	for (struct push *p = h->pushes; p != NULL; p = p->next)
		push_hold(p, false);
	ship_drain_fini(h);
	queue_kick(h);
}

static bool
see_row(void *ctx, const struct remote_row *r)
{
	bool *any = ctx;

	(void)r;
	*any = true;
	return false;
}

bool
ship_all_up(struct ship *h)
{
	bool any = false;

	must_be(h, SHIP_TAG);
	return h->ndirty == 0 && h->npushes == 0 && store_remotes(h->store,
	    NULL, RS_TO_DO | RS_BIT(RS_REMOTE), see_row, &any) == RK_OK && !any;
}

/* --- the beginning ------------------------------------------------------- */

static bool
see_running(void *ctx, const char *id, int64_t version)
{
	(void)version;
	(void)job_of(ctx, id);
	return true;
}

static void
begin(struct ship *h)
{
	struct store_filter f = { .states = 1u << JOB_STARTING |
	    1u << JOB_RUNNING };

	h->drain = xcalloc(1, sizeof(*h->drain));
	h->drain->deadline_ms = INT64_MAX;
	(void)!store_job_ids(h->store, &f, NULL, INT32_MAX, see_running,
	    h->drain);
	/* What waits for another try is tried now. */
	for (struct trouble *t = h->troubles; t != NULL; t = t->next) {
		t->at_ms = 0;
		t->n = 0;
	}
}

void
ship_drain(struct ship *h, int64_t deadline_ms, ship_drained_fn *fn, void *ctx)
{
	struct drain_fn *f = xcalloc(1, sizeof(*f));

	must_be(h, SHIP_TAG);
	if (h->drain == NULL)
		begin(h);
	*f = (struct drain_fn){ h->drain->fns, fn, ctx };
	h->drain->fns = f;
	h->drain->deadline_ms = RK_MIN(h->drain->deadline_ms, deadline_ms);
	loop_timer_at(h->drain_timer, mono_ms());
}
