/*
 * The data of a job: its files read, each by a thread of its own, put together,
 * split and normalised.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "columns.h"
#include "text_source.h"
#include "rekindle/format.h"

/* One file on its way. */
struct load {
	const char *path;               /* borrowed of the specification */
	const struct spec_source *s;
	bool labels;                    /* labels wanted, not samples */
	const struct spec_data *data;   /* of the job */
	struct held *held;
	enum rk_err rc;
	struct rk_why why;
	pthread_t thread;
	bool threaded;
};

struct data_files {
	const struct spec_data *s;
	struct load l[SPEC_FILES];
	int n;
	struct held *train, *valid;
};

/* --- one file ----------------------------------------------------------- */

static void
load_idx(struct load *l)
{
	struct format_source in;

	l->rc = format_source_open(&in, l->path, &l->why);
	if (l->rc == RK_OK)
		l->rc = idx_read(&in, &l->held, &l->why);
	format_source_close(&in);
	if (l->rc != RK_OK)
		return;
	if (l->labels && l->held->pub.ndim > 0)
		l->rc = rk_refuse(&l->why, "%s: holds samples of %lld number%s, "
		    "want labels, which have one dimension", l->path,
		    (long long)l->held->pub.width, rk_s(l->held->pub.width));
	else if (!l->labels && l->held->pub.ndim == 0)
		l->rc = rk_refuse(&l->why, "%s: has one dimension, so it holds "
		    "labels; want images", l->path);
}

/* A file that could not be read, in words. */
static void
say_unread(struct load *l)
{
	char *reason = access(l->path, R_OK) != 0 ?
	    rk_why_unreadable(l->path, errno) : xstrdup(rk_strerror(l->rc));

	rk_refuse(&l->why, "%s: %s", l->path, reason);
	free(reason);
}

static void
load_csv(struct load *l)
{
	char *text = NULL;
	size_t n;

	l->rc = rk_read_file(AT_FDCWD, l->path, DATA_MAX_BYTES, &text, &n);
	if (l->rc == RK_OK)
		l->rc = csv_read(text, n, l->path, l->s, &l->held, &l->why);
	else if (l->rc == RK_EINVAL)
		rk_refuse(&l->why, "%s: is no regular file", l->path);
	else
		say_unread(l);
	free(text);
}

static void
load_cifar(struct load *l)
{
	struct format_source in;

	l->rc = format_source_open(&in, l->path, &l->why);
	if (l->rc == RK_OK)
		l->rc = cifar_read(&in, l->s, &l->held, &l->why);
	format_source_close(&in);
}

static void
load_array(struct load *l)
{
	const struct spec_source *s = l->s;
	struct format_source in;

	if (s->type == SPEC_NPY)
		l->rc = format_source_open(&in, l->path, &l->why);
	else
		l->rc = format_npz_open(&in, l->path, l->labels ? s->labels :
		    s->features, &l->why);
	if (l->rc == RK_OK)
		l->rc = array_read(&in, s, l->labels, &l->held, &l->why);
	format_source_close(&in);
}

static void
load_text(struct load *l)
{
	const struct text_want want = { .masks = &l->data->train_transforms };

	l->rc = text_open(l->s, &want, &l->held, &l->why);
}

static void
load_image_folder(struct load *l)
{
	l->rc = image_folder_open(l->s, l->data, &l->held, &l->why);
}

static void *
load_main(void *arg)
{
	static void (*const readers[])(struct load *) = {
		[SPEC_IDX] = load_idx, [SPEC_CSV] = load_csv,
		[SPEC_CIFAR] = load_cifar, [SPEC_NPY] = load_array,
		[SPEC_NPZ] = load_array,
		[SPEC_TEXT] = load_text,
		[SPEC_IMAGE_FOLDER] = load_image_folder,
	};
	struct load *l = arg;

	readers[l->s->type](l);
	return NULL;
}

/* --- all of them -------------------------------------------------------- */

/* How many files a source has. */
static int
plan(struct load *l, const struct spec_source *s)
{
	int n = 0;

	switch (s->type) {
	case SPEC_IDX:
		l[n++] = (struct load){ .s = s, .path = s->images };
		l[n++] = (struct load){ .s = s, .path = s->labels,
			.labels = true };
		break;
	case SPEC_NPY:
	case SPEC_NPZ:
		l[n++] = (struct load){ .s = s, .path = s->path };
		l[n++] = (struct load){ .s = s, .labels = true,
			.path = s->type == SPEC_NPY ? s->labels : s->path };
		break;
	case SPEC_CSV:
	case SPEC_TEXT:
		l[n++] = (struct load){ .s = s, .path = s->path };
		break;
	case SPEC_CIFAR:
		for (; n < s->nfiles; n++)
			l[n] = (struct load){ .s = s, .path = s->files[n] };
		break;
	case SPEC_IMAGE_FOLDER:
		l[n++] = (struct load){ .s = s, .path = s->path };
		break;
	case SPEC_SYNTHETIC:
		break;
	}
	return n;
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

/* Two arrays of one archive have the same to say of it. */
static bool
is_said(const struct rk_why *why, const struct rk_fault *f)
{
	for (size_t i = 0; i < why->n; i++)
		if (strcmp(why->v[i].message, f->message) == 0)
			return true;
	return false;
}

/* The first error, and every file's sentence. */
static enum rk_err
collect(struct load *l, int n, struct rk_why *why)
{
	enum rk_err rc = RK_OK;

	for (int i = 0; i < n; i++) {
		rc = rc != RK_OK ? rc : l[i].rc;
		for (size_t k = 0; k < l[i].why.n; k++)
			if (!is_said(why, &l[i].why.v[k]))
				rk_refuse_at(why, l[i].why.v[k].path, "%s",
			    l[i].why.v[k].message);
		rk_why_fini(&l[i].why);
	}
	return rc;
}

/* Labels to their samples; both files are of the same length or refused. */
static enum rk_err
join(struct load *l, bool valid, struct rk_why *why)
{
	struct held *x = l[0].held, *y = l[1].held;
	const enum spec_source_type type = l[0].s->type;

	if (x->pub.n != y->pub.n)
		return rk_refuse(why, "data.%s: %s (%s) has %lld sample%s, but "
		    "%s (labels) has %lld label%s", valid ? "validation" :
		    "train", x->what, type == SPEC_IDX ? "images" :
		    type == SPEC_NPY ? "path" : "features",
		    (long long)x->pub.n, rk_s(x->pub.n), y->what,
		    (long long)y->pub.n, rk_s(y->pub.n));
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

/* Columns by their names, where both files say them. */
static enum rk_err
match_columns(const struct held *t, struct held *v, struct rk_why *why)
{
	if (t->names == NULL || v->names == NULL)
		return RK_OK;
	char **names = columns_names(t);
	const size_t n = columns_width(t);
	char *of = xasprintf("%s has", t->what);
	const bool same = columns_are(v, (const char *const *)names, n);

	enum rk_err rc = columns_pick(v, (const char *const *)names, n, of,
	    why);
	if (rc == RK_OK && !same)
		held_remark(v, "%s: its columns are not those of %s in their "
		    "order, and are taken by their names", v->what, t->what);
	columns_free(names, n);
	free(of);
	return rc;
}

/* Both sets are of the same features: their names, where the files say them,
 * and their shape. */
static enum rk_err
check_alike(const struct held *t, struct held *v, struct rk_why *why)
{
	struct strbuf a = { 0 }, b = { 0 };

	if (t->pub.vocabulary != v->pub.vocabulary)
		return rk_refuse(why, "data.validation: has a vocabulary of "
		    "%lld, data.train one of %lld (0: no tokens): want the "
		    "same", (long long)v->pub.vocabulary,
		    (long long)t->pub.vocabulary);
	enum rk_err rc = match_columns(t, v, why);
	if (rc != RK_OK)
		return rc;
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
	return same ? RK_OK : RK_EINVAL;
}

static enum rk_err
join_cifar(struct load *l, int n, struct rk_why *why)
{
	struct held *v[SPEC_MAX_FILES];

	for (int i = 0; i < n; i++)
		v[i] = l[i].held;
	enum rk_err rc = cifar_join(v, n, why);
	for (int i = 0; i < n; i++)
		l[i].held = v[i];
	return rc;
}

/* The samples of a source with their labels out of its n loads, whose sets it
 * takes. */
static enum rk_err
assemble(struct load *l, int n, const struct spec_source *s, bool valid,
    struct held **out, struct rk_why *why)
{
	enum rk_err rc = RK_OK;

	switch (s->type) {
	case SPEC_IDX:
	case SPEC_NPY:
	case SPEC_NPZ:
		rc = join(l, valid, why);
		break;
	case SPEC_CIFAR:
		rc = join_cifar(l, n, why);
		break;
	case SPEC_CSV:
	case SPEC_TEXT:
	case SPEC_IMAGE_FOLDER:
		break;
	case SPEC_SYNTHETIC:
		return synthetic_make(s, valid ? "synthetic data.validation" :
		    "synthetic data.train", out, why);
	}
	*out = l[0].held;
	l[0].held = NULL;
	return rc;
}

/* Both sides; what is to be split is hashed. */
static enum rk_err
put_together(struct data_files *f, int ntrain, struct rk_why *why)
{
	const struct spec_data *s = f->s;
	enum rk_err rc = assemble(f->l, ntrain, &s->train, false, &f->train,
	    why);

	if (rc == RK_OK)
		labels_remark(f->train);
	if (rc == RK_OK && s->has_validation)
		rc = assemble(f->l + ntrain, f->n - ntrain, &s->validation,
		    true, &f->valid, why);
	if (rc == RK_OK && f->valid != NULL)
		rc = check_alike(f->train, f->valid, why);
	if (rc == RK_OK && f->valid != NULL)
		rc = labels_as(f->valid, f->train, why);
	if (rc == RK_OK && f->valid == NULL && s->validation_split > 0)
		rc = split_identify(f->train, why);
	return rc;
}

enum rk_err
data_read(const struct spec_data *s, struct data_files **fp,
    struct rk_why *why)
{
	struct data_files *f = xcalloc(1, sizeof(*f));
	const int ntrain = plan(f->l, &s->train);

	f->s = s;
	f->n = ntrain;
	if (s->has_validation)
		f->n += plan(f->l + f->n, &s->validation);
	for (int i = 0; i < f->n; i++)
		f->l[i].data = s;
	load_all(f->l, f->n);
	enum rk_err rc = collect(f->l, f->n, why);
	if (rc == RK_OK)
		rc = put_together(f, ntrain, why);
	if (rc == RK_OK)
		*fp = f;
	else
		data_files_free(f);
	return rc;
}

void
data_files_free(struct data_files *f)
{
	if (f == NULL)
		return;
	for (int i = 0; i < f->n; i++)
		held_free(f->l[i].held);
	held_free(f->train);
	held_free(f->valid);
	free(f);
}

enum rk_err
data_divide(struct data_files *f, const struct data_split *how,
    struct data_set **train, struct data_set **valid, struct rk_why *why)
{
	const struct spec_data *s = f->s;
	enum rk_err rc = RK_OK;

	must(f->train != NULL);
	if (f->valid == NULL && s->validation_split > 0)
		rc = split(f->train, s->validation_split, how, &f->valid, why);
	if (rc == RK_OK)
		rc = norm_find(f->train, &s->normalize, why);
	if (rc == RK_OK && f->valid != NULL)
		rc = norm_copy(f->valid, f->train, why);
	if (rc == RK_OK)
		rc = augment(f->train, s, why);
	if (rc == RK_OK && f->valid != NULL)
		rc = augment(f->valid, s, why);
	if (rc == RK_OK)
		rc = buckets_find(f->train, &s->train, why);
	if (rc == RK_OK && f->valid != NULL)
		rc = buckets_find(f->valid, &s->train, why);
	if (rc != RK_OK)
		return rc;
	*train = &f->train->pub;
	*valid = f->valid != NULL ? &f->valid->pub : NULL;
	f->train = f->valid = NULL;
	return RK_OK;
}

struct data_split
data_split_of(const struct spec_data *s)
{
	return (struct data_split){
		.rule = s->has_validation || s->validation_split <= 0 ?
		    DATA_SPLIT_NONE : s->stratify ? DATA_SPLIT_STRATIFIED :
		    DATA_SPLIT_CONTENT,
		.seed = s->split_seed,
	};
}

enum rk_err
data_open(const struct spec_data *s, struct data_set **train,
    struct data_set **valid, struct rk_why *why)
{
	const struct data_split how = data_split_of(s);
	struct data_files *f = NULL;
	enum rk_err rc = data_read(s, &f, why);

	if (rc == RK_OK)
		rc = data_divide(f, &how, train, valid, why);
	data_files_free(f);
	return rc;
}
