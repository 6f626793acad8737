/*
 * Choosing and retention among infos that are in no folder here: those of a
 * bucket.  The same code decides as for a folder; only where each branch began
 * is not in a branch.json, but in what its checkpoints say of their parents.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

struct place {
	const struct ckpt_info *i;
	size_t at;
};

/* Equal places stay in the order in which they were given. */
static int
place_order(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	int d = by_place(x->i, y->i);

	return d != 0 ? d : (x->at > y->at) - (x->at < y->at);
}

/* A branch began where its checkpoints' runs went on from, if that is on an
 * older branch: retention may have left only some that say so. */
static void
learn_branches(struct branches *br, const struct ckpt_info *v, size_t n)
{
	int64_t step;
	int older;

	branches_init(br);
	for (size_t k = 0; k < n; k++) {
		const int b = v[k].branch;
		must(b >= 1);
		if (b > br->current)
			branches_extend(br, b, "");
		if (br->from[b][0] == '\0' &&
		    dir_parse(v[k].parent, &step, &older) && older < b)
			snprintf(br->from[b], CKPT_DIR_MAX, "%s",
			    v[k].parent);
	}
}

/* A view of v, which stays the caller's; entry k is v[at[k]]. */
static void
borrow(struct view *w, size_t **at, const struct ckpt_info *v, size_t n)
{
	struct place *p = xcalloc(n + 1, sizeof(*p));

	*w = (struct view){ .n = n };
	for (size_t k = 0; k < n; k++)
		p[k] = (struct place){ &v[k], k };
	qsort(p, n, sizeof(*p), place_order);
	w->v = xcalloc(n + 1, sizeof(*w->v));
	*at = xcalloc(n + 1, sizeof(**at));
	for (size_t k = 0; k < n; k++) {
		w->v[k] = *p[k].i;
		(*at)[k] = p[k].at;
	}
	learn_branches(&w->br, w->v, n);
	free(p);
}

static void
give_back(struct view *w, size_t *at)
{
	branches_fini(&w->br);
	free(w->v);
	free(at);
}

int
ckpt_info_select(const struct ckpt_info *v, size_t n, const char *selector,
    const char *metric, bool mode_max, struct rk_why *why)
{
	struct view w;
	size_t *at, found;

	borrow(&w, &at, v, n);
	enum rk_err rc = view_select(&w, selector, metric, mode_max, &found,
	    why);
	int i = rc == RK_OK ? (int)at[found] : -1;
	give_back(&w, at);
	return i;
}

void
ckpt_info_keep(const struct ckpt_info *v, size_t n, int64_t last, int64_t best,
    const char *metric, bool mode_max, bool *keep)
{
	struct view w;
	size_t *at;

	borrow(&w, &at, v, n);
	bool *kept = view_keep(&w, last, best, metric, mode_max);
	for (size_t k = 0; k < n; k++)
		keep[at[k]] = kept[k];
	free(kept);
	give_back(&w, at);
}
