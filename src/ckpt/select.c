/* Which checkpoint is meant: latest, best, step:N, a folder, or a name. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define LIST_MAX 8              /* checkpoints named in a refusal */

long
view_find(const struct view *w, const char *dir)
{
	for (size_t i = 0; i < w->n; i++) {
		if (strcmp(w->v[i].dir, dir) == 0)
			return (long)i;
	}
	return -1;
}

/* The newest of a branch that is not beyond step. */
static long
newest_of(const struct view *w, int branch, int64_t step)
{
	for (size_t i = w->n; i-- > 0;) {
		if (w->v[i].branch == branch && w->v[i].step <= step)
			return (long)i;
	}
	return -1;
}

/* Back along the branch, then along the one it began from, and so on. */
long
view_latest(const struct view *w)
{
	int64_t step = INT64_MAX;
	int branch = w->br.current;

	for (;;) {
		long i = newest_of(w, branch, step);
		int older = 0;
		if (i >= 0 ||
		    !dir_parse(w->br.from[branch], &step, &older))
			return i;
		must(older < branch);
		branch = older;
	}
}

const struct broken *
view_newer(const struct view *w)
{
	const long i = view_latest(w);
	int64_t step;
	int branch;

	for (size_t k = 0; k < w->nbroken; k++) {
		const struct broken *b = &w->broken[k];
		if (b->newer && dir_parse(b->dir, &step, &branch) &&
		    branch == w->br.current && (i < 0 ||
		    w->v[i].branch < branch || w->v[i].step < step))
			return b;
	}
	return NULL;
}

bool
metric_of(const struct ckpt_info *i, const char *metric, double *out)
{
	const json_t *v = metric != NULL ?
	    json_object_get(i->metrics, metric) : NULL;

	if (!json_is_number(v))
		return false;
	*out = json_number_value(v);
	return isfinite(*out);
}

/* The first of those that are equally good. */
long
view_best(const struct view *w, const char *metric, bool mode_max)
{
	double best = 0, x;
	long at = -1;

	for (size_t i = 0; i < w->n; i++) {
		if (!metric_of(&w->v[i], metric, &x))
			continue;
		if (at < 0 || (mode_max ? x > best : x < best)) {
			best = x;
			at = (long)i;
		}
	}
	return at;
}

static long
view_step(const struct view *w, int64_t step)
{
	long found = -1;

	/* The newest branch that has it, but the current one first. */
	for (size_t i = 0; i < w->n; i++) {
		if (w->v[i].step != step)
			continue;
		found = (long)i;
		if (w->v[i].branch == w->br.current)
			break;
	}
	return found;
}

static long
view_name(const struct view *w, const char *name)
{
	for (size_t i = 0; i < w->n; i++) {
		char **names = w->v[i].names;
		for (size_t k = 0; names != NULL && names[k] != NULL; k++) {
			if (strcmp(names[k], name) == 0)
				return (long)i;
		}
	}
	return -1;
}

/* "step:N"; false if it is something else, *step -1 if N is no number. */
static bool
parse_step(const char *s, int64_t *step)
{
	char *end;

	if (strncmp(s, "step:", 5) != 0)
		return false;
	s += 5;
	*step = -1;
	errno = 0;
	long long n = strtoll(s, &end, 10);
	if (s[0] >= '0' && s[0] <= '9' && *end == '\0' && errno == 0)
		*step = n;
	return true;
}

bool
selects_one(const char *selector)
{
	return strcmp(selector, "latest") != 0 &&
	    strcmp(selector, "best") != 0;
}

/* "there is step-..., step-... (before-lr-drop) and 3 more" */
static void
list_all(const struct view *w, struct strbuf *b)
{
	size_t shown = RK_MIN(w->n, (size_t)LIST_MAX);

	if (w->n == 0) {
		sb_adds(b, "there is none");
		return;
	}
	sb_adds(b, "there is ");
	for (size_t k = 0; k < shown; k++) {
		const struct ckpt_info *i = &w->v[w->n - 1 - k];
		sb_addf(b, "%s%s", k > 0 ? ", " : "", i->dir);
		if (i->names != NULL && i->names[0] != NULL)
			sb_addf(b, " (%s)", i->names[0]);
	}
	if (w->n > shown)
		sb_addf(b, " and %zu more", w->n - shown);
}

static enum rk_err
none(const struct view *w, struct rk_why *why, const char *what)
{
	struct strbuf b = {0};

	list_all(w, &b);
	rk_refuse(why, "%s; %s", what, sb_str(&b));
	sb_fini(&b);
	return RK_ENOENT;
}

/* Nothing was found: is it there, but broken? */
static enum rk_err
not_found(const struct view *w, const char *selector, int64_t step,
    struct rk_why *why)
{
	char what[160];
	int64_t s;
	int branch;

	for (size_t k = 0; k < w->nbroken; k++) {
		const struct broken *b = &w->broken[k];
		bool meant = strcmp(b->dir, selector) == 0 || (step >= 0 &&
		    dir_parse(b->dir, &s, &branch) && s == step);
		if (meant) {
			rk_refuse(why, "%s %s: %s", b->dir, b->unreadable ?
			    "cannot be read" : "is damaged", b->reason);
			return RK_ECORRUPT;
		}
	}
	snprintf(what, sizeof(what), "there is no checkpoint \"%.80s\"",
	    selector);
	return none(w, why, what);
}

enum rk_err
view_select(const struct view *w, const char *selector, const char *metric,
    bool mode_max, size_t *at, struct rk_why *why)
{
	char what[160];
	int64_t step = -1;
	long i;

	if (strcmp(selector, "latest") == 0) {
		i = view_latest(w);
		if (i < 0)
			return none(w, why, "this branch has no checkpoint");
	} else if (strcmp(selector, "best") == 0) {
		i = view_best(w, metric, mode_max);
		snprintf(what, sizeof(what), "no checkpoint has the metric "
		    "\"%.80s\"", metric != NULL ? metric : "");
		if (i < 0)
			return none(w, why, what);
	} else if (parse_step(selector, &step)) {
		if (step < 0)
			return rk_refuse(why, "\"%.80s\" is no step: want "
			    "step:N", selector);
		i = view_step(w, step);
	} else {
		i = view_find(w, selector);
		if (i < 0)
			i = view_name(w, selector);
	}
	if (i < 0)
		return not_found(w, selector, step, why);
	*at = (size_t)i;
	return RK_OK;
}

enum rk_err
ckpt_select(struct ckpt *c, const char *selector, const char *metric,
    bool mode_max, struct ckpt_info *out, struct rk_why *why)
{
	struct view w;
	size_t at;

	*out = (struct ckpt_info){0};
	enum rk_err rc = view_open(c, &w);
	if (rc != RK_OK)
		return rc;
	rc = view_select(&w, selector, metric, mode_max, &at, why);
	if (rc == RK_OK)
		view_take(&w, at, out);
	view_fini(&w);
	return rc;
}
