/* Retention: which to keep, and the others deleted. */
#include <stdlib.h>

#include "impl.h"

/* The `best` best, each in its turn. */
static void
keep_best(const struct view *w, bool *keep, int64_t best, const char *metric,
    bool mode_max)
{
	bool *taken = xcalloc(w->n + 1, sizeof(*taken));

	for (int64_t k = 0; k < best; k++) {
		double x, top = 0;
		long at = -1;
		for (size_t i = 0; i < w->n; i++) {
			if (taken[i] || !metric_of(&w->v[i], metric, &x))
				continue;
			if (at < 0 || (mode_max ? x > top : x < top)) {
				top = x;
				at = (long)i;
			}
		}
		if (at < 0)
			break;
		taken[at] = keep[at] = true;
	}
	free(taken);
}

static void
keep_newest(const struct view *w, bool *keep, int64_t last)
{
	int64_t left = last;

	/* Sorted by branch and step: the last of each branch is its newest. */
	for (size_t i = w->n; i-- > 0;) {
		bool newest = i + 1 == w->n ||
		    w->v[i + 1].branch != w->v[i].branch;
		if (w->v[i].branch == w->br.current) {
			keep[i] = keep[i] || left > 0;
			left--;
		} else if (newest) {
			keep[i] = true;
		}
	}
}

bool *
view_keep(const struct view *w, int64_t last, int64_t best, const char *metric,
    bool mode_max)
{
	bool *keep = xcalloc(w->n + 1, sizeof(*keep));
	long latest = view_latest(w);
	long origin = view_find(w, w->br.from[w->br.current]);

	keep_newest(w, keep, RK_MAX(last, 1));
	keep_best(w, keep, best, metric, mode_max);
	for (size_t i = 0; i < w->n; i++) {
		if ((w->v[i].names != NULL && w->v[i].names[0] != NULL) ||
		    view_pinned(w, i))
			keep[i] = true;
	}
	if (latest >= 0)
		keep[latest] = true;
	if (origin >= 0)
		keep[origin] = true;
	return keep;
}

enum rk_err
ckpt_retain(struct ckpt *c, int64_t last, int64_t best, const char *metric,
    bool mode_max, int *deleted)
{
	struct view w;
	int n = 0;

	must_be(c, CKPT_TAG);
	*deleted = 0;
	enum rk_err rc = lock_changes(c);
	if (rc != RK_OK)
		return rc;
	rc = view_open(c, &w);
	if (rc != RK_OK) {
		unlock_changes(c);
		return rc;
	}
	bool *keep = view_keep(&w, last, best, metric, mode_max);
	char (*hidden)[HIDDEN_MAX] = xcalloc(w.n + 1, sizeof(*hidden));
	for (size_t i = 0; i < w.n && rc == RK_OK; i++) {
		if (keep[i] || is_held(c, w.v[i].dir))
			continue;
		rc = hide(c, w.v[i].dir, hidden[n]);
		n += rc == RK_OK;
	}
	if (n > 0 && sync_dir(c) != RK_OK)
		rc = RK_EIO;
	unlock_changes(c);
	for (int i = 0; i < n; i++)
		(void)!rk_remove_tree(c->dirfd, hidden[i]);
	*deleted = n;
	free(hidden);
	free(keep);
	view_fini(&w);
	return rc;
}
