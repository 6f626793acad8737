/* The labels of a set: lists of several, and classes by their names. */
#include <stdlib.h>
#include <string.h>

#include "held.h"

#define NAMED 8                 /* classes that a refusal names */

/* --- lists ---------------------------------------------------------------- */

enum rk_err
labels_pick(struct held *h, const int64_t *many_from, const int32_t *many,
    struct rk_why *why)
{
	const size_t n = (size_t)h->pub.n;
	int64_t *from = NULL, at = 0;
	int32_t *to = NULL;
	size_t all = 0;

	must(h->origin != NULL);
	for (size_t i = 0; i < n; i++)
		all += (size_t)(many_from[h->origin[i] + 1] -
		    many_from[h->origin[i]]);
	enum rk_err rc = held_alloc(&from, n + 1, sizeof(*from),
	    h->labels_what, why);
	if (rc == RK_OK)
		rc = held_alloc(&to, all, sizeof(*to), h->labels_what, why);
	if (rc != RK_OK) {
		free(from);
		return rc;
	}
	for (size_t i = 0; i < n; i++) {
		const int64_t k = many_from[h->origin[i]];
		const int64_t some = many_from[h->origin[i] + 1] - k;
		from[i] = at;
		memcpy(to + at, many + k, (size_t)some * sizeof(*to));
		at += some;
	}
	from[n] = at;
	h->many_from = from;
	h->many = to;
	return RK_OK;
}

/* --- names ---------------------------------------------------------------- */

void
labels_copy_names(struct held *to, const struct held *from)
{
	to->nclasses = from->nclasses;
	if (from->class_names == NULL)
		return;
	to->class_names = xcalloc((size_t)from->nclasses,
	    sizeof(*to->class_names));
	for (int64_t i = 0; i < from->nclasses; i++)
		to->class_names[i] = xstrdup(from->class_names[i]);
}

/* A number by its name. */
struct entry {
	const char *name;
	int64_t number;
};

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->name,
	    ((const struct entry *)b)->name);
}

static struct entry *
index_names(const char *const *names, int64_t n)
{
	struct entry *v = xcalloc((size_t)RK_MAX(n, 1), sizeof(*v));

	for (int64_t i = 0; i < n; i++)
		v[i] = (struct entry){ names[i], i };
	qsort(v, (size_t)n, sizeof(*v), by_name);
	return v;
}

/* The number of a name, or -1. */
static int64_t
number_of(const struct entry *v, int64_t n, const char *name)
{
	const struct entry key = { name, 0 };
	const struct entry *e = bsearch(&key, v, (size_t)n, sizeof(*v),
	    by_name);

	return e != NULL ? e->number : -1;
}

static int
by_number(const void *a, const void *b)
{
	const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

	return (x > y) - (x < y);
}

/* Class c becomes to[c]; the names are those of a table of n. */
static enum rk_err
renumber(struct held *h, const int64_t *to, const char *const *names,
    int64_t n, struct rk_why *why)
{
	char **copy = xcalloc((size_t)n, sizeof(*copy));

	for (int64_t i = 0; h->many_from == NULL && i < h->pub.n; i++)
		if (h->targets[i] >= 0)
			h->targets[i] = (float)to[(int64_t)h->targets[i]];
	for (int64_t i = 0; h->many_from != NULL && i < h->pub.n; i++) {
		int32_t *v = h->many + h->many_from[i];
		const int64_t some = h->many_from[i + 1] - h->many_from[i];
		for (int64_t k = 0; k < some; k++)
			v[k] = (int32_t)to[v[k]];
		qsort(v, (size_t)some, sizeof(*v), by_number);
		h->targets[i] = some > 0 ? (float)v[0] : -1;
	}
	for (int64_t i = 0; i < n; i++)
		copy[i] = xstrdup(names[i]);
	for (int64_t i = 0; i < h->nclasses; i++)
		free(h->class_names[i]);
	free(h->class_names);
	h->class_names = copy;
	h->nclasses = n;
	free(h->classes);
	h->classes = NULL;
	return held_find_classes(h, why);
}

static void
add_name(struct strbuf *b, size_t *named, const char *name)
{
	if (++*named <= NAMED)
		sb_addf(b, "%s\"%s\"", *named > 1 ? ", " : "", name);
}

/* --- names that may not be meant ------------------------------------------ */

/* In small letters, without blanks at the ends and with one where there are
 * several.  Bytes beyond ASCII stay. */
static char *
folded(const char *name)
{
	char *s = xstrdup(name), *to = s;

	for (const char *p = name; *p != '\0'; p++) {
		const bool blank = *p == ' ' || *p == '\t';
		if (blank && (to == s || to[-1] == ' '))
			continue;
		*to++ = blank ? ' ' : *p >= 'A' && *p <= 'Z' ?
		    (char)(*p - 'A' + 'a') : *p;
	}
	if (to > s && to[-1] == ' ')
		to--;
	*to = '\0';
	return s;
}

/* By name, and of those that are alike by number. */
static int
by_fold(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	const int c = strcmp(x->name, y->name);

	return c != 0 ? c : (x->number > y->number) - (x->number < y->number);
}

static void
remark_alike(struct held *h)
{
	struct entry *v = xcalloc((size_t)h->nclasses, sizeof(*v));
	struct strbuf b = { 0 };
	size_t pairs = 0;

	for (int64_t c = 0; c < h->nclasses; c++)
		v[c] = (struct entry){ folded(h->class_names[c]), c };
	qsort(v, (size_t)h->nclasses, sizeof(*v), by_fold);
	for (int64_t c = 1; c < h->nclasses; c++)
		if (strcmp(v[c - 1].name, v[c].name) == 0 && ++pairs <= NAMED)
			sb_addf(&b, "%s\"%s\" and \"%s\"", pairs > 1 ? ", " :
			    "", h->class_names[v[c - 1].number],
			    h->class_names[v[c].number]);
	if (pairs > 0)
		held_remark(h, "%s: %s%s are different classes whose names "
		    "differ in capitals or blanks alone", h->labels_what,
		    sb_str(&b), pairs > NAMED ? ", ..." : "");
	for (int64_t c = 0; c < h->nclasses; c++)
		free((char *)(uintptr_t)v[c].name);
	free(v);
	sb_fini(&b);
}

void
labels_remark(struct held *h)
{
	if (h->class_names == NULL)
		return;
	if (h->nclasses == 1)
		held_remark(h, "%s: all labels are \"%s\": there is nothing to "
		    "tell apart", h->labels_what, h->class_names[0]);
	remark_alike(h);
}

/* --- validation ----------------------------------------------------------- */

enum rk_err
labels_as(struct held *h, const struct held *train, struct rk_why *why)
{
	struct strbuf b = { 0 };
	size_t named = 0;
	enum rk_err rc = RK_OK;

	if ((h->class_names == NULL) != (train->class_names == NULL))
		return rk_refuse(why, "%s: its labels are %s, those of %s are "
		    "%s", h->labels_what, h->class_names != NULL ? "names" :
		    "numbers", train->labels_what, h->class_names != NULL ?
		    "numbers" : "names");
	if (h->class_names == NULL)
		return RK_OK;
	struct entry *v = index_names((const char *const *)train->class_names,
	    train->nclasses);
	int64_t *to = xcalloc((size_t)h->nclasses, sizeof(*to));
	for (int64_t c = 0; c < h->nclasses; c++) {
		to[c] = number_of(v, train->nclasses, h->class_names[c]);
		if (to[c] < 0)
			add_name(&b, &named, h->class_names[c]);
	}
	if (named > 0)
		rc = rk_refuse(why, "%s: has %zu class%s that %s has not: "
		    "%s%s", h->what, named, named == 1 ? "" : "es",
		    train->what, sb_str(&b), named > NAMED ? ", ..." : "");
	else
		rc = renumber(h, to, (const char *const *)train->class_names,
		    train->nclasses, why);
	free(to);
	free(v);
	sb_fini(&b);
	return rc;
}

/* --- the table of a model ------------------------------------------------- */

/*
 * Where the classes of a set go in a table: those that are in it to their
 * places, the others to those that are left over, and behind.  The table that
 * comes of it has *nall names, which borrow.
 */
static const char **
merge(const struct data_set *d, const char *const *table, int64_t n,
    int64_t *to, int64_t *nall, struct strbuf *fresh, size_t *nfresh)
{
	const char **all = xcalloc((size_t)(n + d->nclasses), sizeof(*all));
	bool *taken = xcalloc((size_t)(n + d->nclasses), sizeof(*taken));
	struct entry *v = index_names(table, n);
	int64_t next = 0, end = n;

	for (int64_t i = 0; i < n; i++)
		all[i] = table[i];
	for (int64_t c = 0; c < d->nclasses; c++) {
		to[c] = number_of(v, n, d->names[c]);
		if (to[c] >= 0)
			taken[to[c]] = true;
	}
	for (int64_t c = 0; c < d->nclasses; c++) {
		if (to[c] >= 0)
			continue;
		while (next < n && taken[next])
			next++;
		to[c] = next < n ? next++ : end++;
		all[to[c]] = d->names[c];
		add_name(fresh, nfresh, d->names[c]);
	}
	free(taken);
	free(v);
	*nall = end;
	return all;
}

enum rk_err
data_match_classes(struct data_set *train, struct data_set *valid,
    const char *const *table, int64_t n, struct strbuf *others,
    struct rk_why *why)
{
	struct held *t = held_of(train);
	struct strbuf fresh = { 0 };
	size_t nfresh = 0;
	int64_t nall;

	must(train->names != NULL);
	int64_t *to = xcalloc((size_t)train->nclasses, sizeof(*to));
	const char **all = merge(train, table, n, to, &nall, &fresh, &nfresh);
	/* Copies: the set's own names go. */
	char **names = xcalloc((size_t)nall, sizeof(*names));
	for (int64_t i = 0; i < nall; i++)
		names[i] = xstrdup(all[i]);
	enum rk_err rc = renumber(t, to, (const char *const *)names, nall, why);
	if (rc == RK_OK && valid != NULL)
		rc = labels_as(held_of(valid), t, why);
	if (nfresh > 0)
		sb_addf(others, "%s%s", sb_str(&fresh), nfresh > NAMED ?
		    ", ..." : "");
	for (int64_t i = 0; i < nall; i++)
		free(names[i]);
	free(names);
	free(all);
	free(to);
	sb_fini(&fresh);
	return rc;
}
