/*
 * Which remote checkpoints stay.
 *
 * The same rule as in the local folder, and what that keeps.  One goes only
 * when a newer one is verified that stays; of two of one name (pushed again
 * under a later epoch, or into another folder) the older goes.  A name that was
 * given here counts from then on, also when the bucket has not been told yet.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl.h"

/* It is there, as far as can be known without asking.  One that nobody has
 * looked at for long is asked for first. */
static bool
counts(const struct ship *h, const struct remote_row *r, bool *stale)
{
	if (r->state != RS_VERIFIED)
		return false;
	bool lately = recheck_lately(h, r);
	*stale = *stale || !lately;
	return lately;
}

/* Newer: a later epoch's, or a later branch's, or of a later step. */
static bool
newer(const struct remote_row *a, const struct remote_row *b)
{
	if (a->branch != b->branch)
		return a->branch > b->branch;
	if (a->step != b->step)
		return a->step > b->step;
	return a->epoch > b->epoch;
}

static bool
behind_verified(const struct ship *h, const struct rows *rows,
    const bool *stays, size_t i, bool *stale)
{
	for (size_t k = 0; k < rows->n; k++) {
		bool same = strcmp(rows->v[k].dir, rows->v[i].dir) == 0;
		if (stays[k] && (newer(&rows->v[k], &rows->v[i]) || same) &&
		    counts(h, &rows->v[k], stale))
			return true;
	}
	return false;
}

/* Another of the same name stays. */
static bool
is_twin(const struct rows *rows, const bool *stays, size_t i)
{
	for (size_t k = 0; k < rows->n; k++) {
		if (stays[k] && rows->v[k].state == RS_VERIFIED &&
		    strcmp(rows->v[k].dir, rows->v[i].dir) == 0)
			return true;
	}
	return false;
}

static bool
in_use(const struct ship *h, const struct remote_row *r)
{
	return push_find(h, r) != NULL || pull_uses(h, r);
}

static bool
is_named(struct ship *h, const struct remote_row *r)
{
	char **names = names_here(h, r->job, r->dir);
	bool yes = names != NULL && names[0] != NULL;

	names_free(names);
	return yes;
}

struct pinning {
	const struct ckpt_info *v;
	size_t n;
	const struct jobinfo *j;
	bool *keep;
};

static void
keep_selected(const struct pinning *p, const char *selector)
{
	int i = ckpt_info_select(p->v, p->n, selector, p->j->metric,
	    p->j->mode_max, NULL);

	if (i >= 0)
		p->keep[i] = true;
}

static bool
keep_pinned(void *ctx, const char *id, const char *what)
{
	(void)id;
	keep_selected(ctx, what);
	return true;
}

static bool
is_listed(const struct ckpt_info *v, size_t n, const char *dir)
{
	for (size_t k = 0; k < n; k++) {
		if (strcmp(v[k].dir, dir) == 0)
			return true;
	}
	return false;
}

/* What is kept here is kept there: it would be sent again.  The two differ where
 * one of them has never had what is best for the other. */
static void
keep_what_is_here(struct ship *h, const char *job, const struct pinning *p)
{
	char *path = job_folder(h, job);
	struct ckpt *c = NULL;
	struct ckpt_info *here = NULL;
	size_t m = 0;

	if (access(path, F_OK) == 0 && ckpt_open(&c, path, false) == RK_OK &&
	    ckpt_list(c, &here, &m) == RK_OK) {
		bool *kept = xcalloc(m + 1, sizeof(*kept));
		ckpt_info_keep(here, m, p->j->keep_last, p->j->keep_best,
		    p->j->metric, p->j->mode_max, kept);
		for (size_t i = 0; i < m; i++)
			for (size_t k = 0; k < p->n; k++)
				p->keep[k] |= kept[i] &&
				    strcmp(p->v[k].dir, here[i].dir) == 0;
		free(kept);
	}
	ckpt_list_free(here, m);
	ckpt_close(&c);
	free(path);
}

/* What is left of one that went missing, once it was sent again. */
static void
clear_missing(struct ship *h, const char *job, const struct rows *there,
    const bool *stays)
{
	struct rows rows;

	rows_load(h, job, RS_BIT(RS_DROPPED), &rows);
	for (size_t i = 0; i < rows.n; i++) {
		bool twin = false;
		if (!row_missing(&rows.v[i]) ||
		    !job_may_write(h, rows.v[i].uri))
			continue;
		for (size_t k = 0; k < there->n && !twin; k++)
			twin = stays[k] &&
			    there->v[k].state == RS_VERIFIED &&
			    strcmp(there->v[k].dir, rows.v[i].dir) == 0 &&
			    strcmp(there->v[k].info, rows.v[i].info) == 0;
		if (twin)
			(void)delete_row(h, &rows.v[i], "it was sent again");
	}
	rows_fini(&rows);
}

void
retain_job(struct ship *h, const char *job, const struct jobinfo *j)
{
	struct rows rows;
	struct ckpt_info *v;
	size_t *at, n;
	bool stale = false;

	rows_load(h, job, RS_THERE, &rows);
	rows_infos(&rows, &v, &at, &n);
	bool *keep = xcalloc(n + 1, sizeof(*keep));
	bool *stays = xcalloc(rows.n + 1, sizeof(*stays));
	ckpt_info_keep(v, n, j->keep_last, j->keep_best, j->metric,
	    j->mode_max, keep);
	/* What jobs are about to begin from, and this one to go on from. */
	struct pinning p = { v, n, j, keep };
	sup_pins(h->sup, job, keep_pinned, &p);
	if (!job_ended(j->state))
		keep_selected(&p, j->resume_from);
	keep_what_is_here(h, job, &p);
	/* What cannot be read stays, whatever it is. */
	for (size_t i = 0; i < rows.n; i++)
		stays[i] = !is_listed(v, n, rows.v[i].dir);
	for (size_t k = 0; k < n; k++)
		stays[at[k]] = keep[k];
	for (size_t i = 0; i < rows.n; i++) {
		struct remote_row *r = &rows.v[i];
		if (stays[i] || in_use(h, r) || !job_may_write(h, r->uri) ||
		    !behind_verified(h, &rows, stays, i, &stale))
			continue;
		if (is_twin(&rows, stays, i) || !is_named(h, r))
			(void)delete_row(h, r, "retention");
	}
	clear_missing(h, job, &rows, stays);
	if (stale)
		recheck_soon(h, job);
	free(keep);
	free(stays);
	free(at);
	ckpt_list_free(v, n);
	rows_fini(&rows);
}
