/*
 * The data of a job: its files read, each by a thread of its own, put together,
 * split and normalised.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "held.h"
#include "source.h"

/* One file on its way. */
struct load {
	const char *path;
	const struct spec_source *csv;  /* NULL: an IDX file */
	bool labels;                    /* idx: labels wanted, not samples */
	struct held *held;
	enum rk_err rc;
	struct rk_why why;
	pthread_t thread;
	bool threaded;
};

#define MAX_LOADS 4

/* --- one file ----------------------------------------------------------- */

static void
load_idx(struct load *l)
{
	struct source in;

	l->rc = source_open(&in, l->path, &l->why);
	if (l->rc == RK_OK)
		l->rc = idx_read(&in, &l->held, &l->why);
	source_close(&in);
	if (l->rc != RK_OK)
		return;
	if (l->labels && l->held->pub.ndim > 0)
		l->rc = rk_refuse(&l->why, "%s: holds samples of %lld numbers, "
		    "want labels, which have one dimension", l->path,
		    (long long)l->held->pub.width);
	else if (!l->labels && l->held->pub.ndim == 0)
		l->rc = rk_refuse(&l->why, "%s: has one dimension, so it holds "
		    "labels; want images", l->path);
}

static void
load_csv(struct load *l)
{
	char *text = NULL;
	size_t n;

	l->rc = rk_read_file(AT_FDCWD, l->path, DATA_MAX_BYTES, &text, &n);
	if (l->rc == RK_OK)
		l->rc = csv_read(text, n, l->path, l->csv, &l->held, &l->why);
	else if (l->rc == RK_EINVAL)
		rk_refuse(&l->why, "%s: is no regular file", l->path);
	else
		rk_refuse(&l->why, "%s: %s", l->path, rk_strerror(l->rc));
	free(text);
}

static void *
load_main(void *arg)
{
	struct load *l = arg;

	if (l->csv != NULL)
		load_csv(l);
	else
		load_idx(l);
	return NULL;
}

/* --- all of them -------------------------------------------------------- */

static int
plan(struct load *l, const struct spec_source *s)
{
	if (s->type == SPEC_CSV) {
		l[0] = (struct load){ .path = s->path, .csv = s };
		return 1;
	}
	l[0] = (struct load){ .path = s->images };
	l[1] = (struct load){ .path = s->labels, .labels = true };
	return 2;
}

/* A thread each but for the first, the largest as a rule, which is ours; where
 * there is no thread to be had, it is read here too. */
static void
load_all(struct load *l, int n)
{
	for (int i = 1; i < n; i++)
		l[i].threaded = rk_thread_start(&l[i].thread, load_main,
		    &l[i]) == 0;
	for (int i = 0; i < n; i++)
		if (!l[i].threaded)
			load_main(&l[i]);
	for (int i = 1; i < n; i++)
		if (l[i].threaded)
			pthread_join(l[i].thread, NULL);
}

/* The first error, and every file's sentence. */
static enum rk_err
collect(struct load *l, int n, struct rk_why *why)
{
	enum rk_err rc = RK_OK;

	for (int i = 0; i < n; i++) {
		rc = rc != RK_OK ? rc : l[i].rc;
		for (size_t k = 0; k < l[i].why.n; k++)
			rk_refuse_at(why, l[i].why.v[k].path, "%s",
			    l[i].why.v[k].message);
		rk_why_fini(&l[i].why);
	}
	return rc;
}

/* Labels to their samples; both files are of the same length or refused. */
static enum rk_err
join(struct load *l, struct rk_why *why)
{
	struct held *x = l[0].held, *y = l[1].held;

	if (x->pub.n != y->pub.n)
		return rk_refuse(why, "%s has %lld samples, but %s has %lld "
		    "labels", x->what, (long long)x->pub.n, y->what,
		    (long long)y->pub.n);
	x->targets = y->targets;
	x->classes = y->classes;
	y->targets = NULL;
	y->classes = NULL;
	x->pub.targets = y->pub.targets;
	x->pub.classes = y->pub.classes;
	x->pub.nclasses = y->pub.nclasses;
	free(x->labels_what);
	x->labels_what = xstrdup(y->what);
	return RK_OK;
}

/* Both sets are of the same features: their shape and, where the files say
 * them, their names. */
static enum rk_err
check_alike(const struct held *t, const struct held *v, struct rk_why *why)
{
	struct strbuf a = { 0 }, b = { 0 };
	bool same = t->pub.ndim == v->pub.ndim;

	for (int i = 0; i < t->pub.ndim; i++)
		sb_addf(&a, "%s%lld", i > 0 ? "x" : "", (long long)t->pub.d[i]);
	for (int i = 0; i < v->pub.ndim; i++)
		sb_addf(&b, "%s%lld", i > 0 ? "x" : "", (long long)v->pub.d[i]);
	same = same && strcmp(sb_str(&a), sb_str(&b)) == 0;
	if (!same)
		rk_refuse(why, "%s: its samples are %s, those of %s are %s",
		    v->what, sb_str(&b), t->what, sb_str(&a));
	sb_fini(&a);
	sb_fini(&b);
	if (!same)
		return RK_EINVAL;
	if (t->names == NULL || v->names == NULL)
		return RK_OK;
	for (size_t i = 0, k = 0; i < t->ncolumns && k < v->ncolumns;
	    i++, k++) {
		i += i == t->label;
		k += k == v->label;
		if (i < t->ncolumns && k < v->ncolumns &&
		    strcmp(t->names[i], v->names[k]) != 0)
			return rk_refuse(why, "%s: column %zu is \"%s\", in %s "
			    "column %zu is \"%s\"", v->what, k + 1,
			    v->names[k], t->what, i + 1, t->names[i]);
	}
	return RK_OK;
}

/* From files that were read to sets that can be used; takes what it keeps out
 * of the loads. */
static enum rk_err
finish(const struct spec_data *s, uint64_t seed, struct load *l, int ntrain,
    struct held **train, struct held **valid, struct rk_why *why)
{
	struct load *lv = l + ntrain;
	enum rk_err rc = RK_OK;

	if (ntrain == 2)
		rc = join(l, why);
	if (rc == RK_OK && s->has_validation && s->validation.type == SPEC_IDX)
		rc = join(lv, why);
	*train = l[0].held;
	l[0].held = NULL;
	if (s->has_validation) {
		*valid = lv[0].held;
		lv[0].held = NULL;
	}
	if (rc == RK_OK && *valid != NULL)
		rc = check_alike(*train, *valid, why);
	if (rc == RK_OK && *valid == NULL && s->validation_split > 0)
		rc = split(*train, s->validation_split, seed, valid, why);
	if (rc == RK_OK)
		rc = norm_find(*train, &s->normalize, why);
	if (rc == RK_OK && *valid != NULL)
		rc = norm_copy(*valid, *train, why);
	return rc;
}

enum rk_err
data_open(const struct spec_data *s, uint64_t seed, struct data_set **train,
    struct data_set **valid, struct rk_why *why)
{
	struct load l[MAX_LOADS] = { 0 };
	struct held *t = NULL, *v = NULL;
	const int ntrain = plan(l, &s->train);
	int n = ntrain;

	if (s->has_validation)
		n += plan(l + n, &s->validation);
	load_all(l, n);
	enum rk_err rc = collect(l, n, why);
	if (rc == RK_OK)
		rc = finish(s, seed, l, ntrain, &t, &v, why);
	for (int i = 0; i < n; i++)
		held_free(l[i].held);
	if (rc != RK_OK) {
		held_free(t);
		held_free(v);
		return rc;
	}
	*train = &t->pub;
	*valid = v != NULL ? &v->pub : NULL;
	return RK_OK;
}
