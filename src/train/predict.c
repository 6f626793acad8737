/* --predict: see predict.h and train.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rekindle/data_loader.h"
#include "epoch.h"
#include "model_file.h"
#include "predict.h"
#include "start.h"
#include "summary.h"

#define TOP     5
#define WAIT_MS 1000

/* Of what the outputs are. */
enum says { SAYS_CLASS, SAYS_LABELS, SAYS_NUMBER, SAYS_SCORE };

/* Of an input, in their order: what is to be printed. */
struct line {
	json_t *o;
	int64_t place;                  /* in the batch; -1: it is an error */
};

struct prediction {
	struct model_file model;
	struct recipe recipe;
	json_t *names;
	enum says says;
	int64_t failed;                 /* inputs */
	int64_t said, nothing;          /* rows, and those of which nothing is
	                                   predicted */
	/* Samples of any number of files make a batch together, so that the
	 * same ones in the same order give the same bits wherever they come
	 * from. */
	int64_t rows, length;           /* length: of texts, those in buckets */
	struct line *lines;
	size_t nlines;
};

/* --- a line --------------------------------------------------------------- */

static void
put_name(const struct prediction *p, json_t *o, const char *key, int64_t k)
{
	const char *s = json_string_value(json_array_get(p->names,
	    (size_t)k));

	if (s != NULL)
		js_put(o, key, js_text(s));
}

/* Output k, with what it is worth. */
static void
put_class(const struct prediction *p, json_t *o, int64_t k, double worth)
{
	js_put(o, "class", json_integer(k));
	put_name(p, o, "name", k);
	js_put(o, p->says == SAYS_SCORE ? "score" : "probability",
	    js_number(worth));
}

/* The place of the largest that is not taken yet, the first of equals; NaN is
 * below all. */
static int64_t
next_largest(const float *z, int64_t n, const int64_t *taken, int ntaken)
{
	int64_t at = -1;

	for (int64_t k = 0; k < n; k++) {
		bool is_taken = false;
		for (int i = 0; i < ntaken; i++)
			is_taken |= taken[i] == k;
		if (!is_taken && (at < 0 || z[k] > z[at] ||
		    (isnan(z[at]) && !isnan(z[k]))))
			at = k;
	}
	return at;
}

/* As judge.h has it: a NaN, or the largest is infinite; of labels a NaN, and of
 * a number what is none. */
static bool
says_nothing(const struct prediction *p, const float *z, int64_t n)
{
	float top = z[0];

	for (int64_t k = 0; k < n; k++) {
		if (isnan(z[k]))
			return true;
		top = RK_MAX(top, z[k]);
	}
	return p->says == SAYS_NUMBER ? isinf(z[0]) :
	    p->says != SAYS_LABELS && isinf(top);
}

static void
put_nothing(const struct prediction *p, json_t *o)
{
	static const struct {
		const char *key, *worth;
	} words[] = {
		[SAYS_CLASS] = { "class", "probability" },
		[SAYS_LABELS] = { "labels", NULL },
		[SAYS_NUMBER] = { "value", NULL },
		[SAYS_SCORE] = { "class", "score" },
	};

	js_put(o, words[p->says].key, json_null());
	if (words[p->says].worth != NULL)
		js_put(o, words[p->says].worth, json_null());
	if (p->says != SAYS_NUMBER)
		js_put(o, "top", json_array());
}

/* softmax, by the largest; or sigmoid; or the output itself. */
static double
worth_of(const struct prediction *p, const float *z, int64_t n, int64_t k)
{
	double sum = 0, top = -HUGE_VAL;

	if (p->says == SAYS_LABELS)
		return 1 / (1 + exp(-(double)z[k]));
	if (p->says != SAYS_CLASS)
		return z[k];
	for (int64_t i = 0; i < n; i++)
		top = RK_MAX(top, (double)z[i]);
	for (int64_t i = 0; i < n; i++)
		sum += exp((double)z[i] - top);
	return exp((double)z[k] - top) / sum;
}

static void
put_labels(const struct prediction *p, json_t *o, const float *z, int64_t n)
{
	json_t *labels = json_array();

	for (int64_t k = 0; k < n; k++) {
		if (!(z[k] > 0))
			continue;
		json_t *e = json_object();
		put_class(p, e, k, worth_of(p, z, n, k));
		must(json_array_append_new(labels, e) == 0);
	}
	js_put(o, "labels", labels);
}

static void
put_top(const struct prediction *p, json_t *o, const float *z, int64_t n)
{
	int64_t taken[TOP];
	json_t *top = json_array();

	for (int i = 0; i < TOP && i < n; i++) {
		json_t *e = json_object();
		taken[i] = next_largest(z, n, taken, i);
		put_class(p, e, taken[i], worth_of(p, z, n, taken[i]));
		must(json_array_append_new(top, e) == 0);
	}
	if (p->says == SAYS_LABELS)
		put_labels(p, o, z, n);
	else
		put_class(p, o, taken[0], worth_of(p, z, n, taken[0]));
	js_put(o, "top", top);
}

static void
put_outputs(struct prediction *p, json_t *o, const float *z, int64_t n)
{
	const bool nothing = says_nothing(p, z, n);

	p->said++;
	p->nothing += nothing;
	if (nothing)
		put_nothing(p, o);
	else if (p->says == SAYS_NUMBER)
		js_put(o, "value", js_number(z[0]));
	else
		put_top(p, o, z, n);
}

/* Takes the object. */
static void
print(json_t *o)
{
	char *text = rkj_text(o);

	puts(text);
	free(text);
	json_decref(o);
}

/* --- files ---------------------------------------------------------------- */

static bool
told_to_end(struct run *r)
{
	return signals_came() && !run_fail(r, "io", false, "was told to end "
	    "before all inputs were predicted");
}

/* A path, so that who gave it knows it again: cleaned only where it is no
 * UTF-8. */
static json_t *
path_json(const char *path)
{
	json_t *v = json_string(path);

	return v != NULL ? v : js_text(path);
}

static void
add_line(struct prediction *p, json_t *o, int64_t place)
{
	if ((p->nlines & (p->nlines - 1)) == 0)
		p->lines = xrealloc(p->lines, RK_MAX(2 * p->nlines, (size_t)1) *
		    sizeof(*p->lines));
	p->lines[p->nlines++] = (struct line){ o, place };
}

static void
refuse_input(struct prediction *p, const char *path, const struct rk_why *why)
{
	json_t *o = json_object();

	js_put(o, "input", path_json(path));
	js_put(o, "error", js_text(rk_why_first(why)));
	add_line(p, o, -1);
	p->failed++;
}

/* The batch that there is, and all lines that wait. */
static void
flush(struct run *r, struct prediction *p)
{
	const int64_t outputs = nn_outputs(r->nn);

	if (p->rows > 0)
		nn_forward(r->nn, &(struct nn_step){ .rows = p->rows,
		    .all = p->rows }, false);
	for (size_t i = 0; i < p->nlines; i++) {
		const struct line *l = &p->lines[i];
		if (l->place >= 0)
			put_outputs(p, l->o, nn_output(r->nn) +
			    l->place * outputs, outputs);
		print(l->o);
	}
	p->rows = 0;
	p->nlines = 0;
}

/* Row i of a batch of texts; those of one length go together. */
static void
put_text(struct run *r, struct prediction *p, const char *path,
    const struct data_set *d, const struct data_batch *b, int64_t i)
{
	const int64_t length = data_length(d, b->from + i);
	json_t *o = json_object();

	if (p->rows > 0 && p->length != length)
		flush(r, p);
	p->length = length;
	nn_set_length(r->nn, length);
	memcpy(nn_input_ids(r->nn) + p->rows * length, b->ids + i * d->width,
	    (size_t)length * sizeof(*b->ids));
	js_put(o, "input", path_json(path));
	js_put(o, "row", json_integer(b->from + i));
	js_put(o, "line", json_integer(data_sample_line(d, b->from + i)));
	add_line(p, o, p->rows++);
	if (p->rows == r->micro)
		flush(r, p);
}

/* One that has changed ends the file. */
static enum rk_err
put_texts(struct run *r, struct prediction *p, const char *path,
    const struct data_set *d, struct data_loader *l, struct rk_why *why)
{
	struct data_batch b;
	enum rk_err rc = RK_OK;

	data_loader_begin(l, 0, 0, INT64_MAX);
	for (int64_t at = 0; at < d->n && !told_to_end(r); at += b.rows) {
		b.rows = 0;
		rc = data_loader_next(l, WAIT_MS, &b, why);
		if (rc == RK_OK && b.nleft > 0)
			rc = rk_refuse(why, "%s", b.broken[0].sentence);
		if (rc != RK_OK && rc != RK_ETIMEDOUT)
			return rc;
		for (int64_t i = 0; i < b.rows; i++)
			put_text(r, p, path, d, &b, i);
	}
	return RK_OK;
}

static bool
predict_texts(struct run *r, struct prediction *p, const char *path,
    const struct data_set *d)
{
	const struct data_loading how = { .threads = data_loader_threads(),
		.batch = r->micro };
	struct data_loader *l = NULL;
	struct rk_why why = {0};
	enum rk_err rc = data_loader_new(d, &how, &l, &why);

	if (rc == RK_OK)
		rc = put_texts(r, p, path, d, l, &why);
	if (rc == RK_EINVAL)
		refuse_input(p, path, &why);
	else if (rc != RK_OK)
		run_fail(r, rc == RK_ENOMEM ? "no_memory" : "io", false, "%s",
		    rk_why_first(&why));
	data_loader_free(l);
	rk_why_fini(&why);
	return r->fail.reason == NULL;
}

static bool
predict_file(struct run *r, struct prediction *p, const char *path)
{
	struct rk_why why = {0};
	struct inputs in;

	if (inputs_open(&in, r, &p->recipe, path, &why) != RK_OK)
		refuse_input(p, path, &why);
	else
		remarks_print(in.set, "");
	if (in.set != NULL && p->recipe.dtype == NN_I32)
		predict_texts(r, p, path, in.set);
	for (int64_t at = 0; p->recipe.dtype == NN_F32 && at < in.n &&
	    !told_to_end(r); at++) {
		json_t *o = json_object();
		js_put(o, "input", path_json(path));
		if (in.several)
			js_put(o, "row", json_integer(at));
		inputs_put(&in, &p->recipe, at, nn_input(r->nn) + p->rows *
		    p->recipe.width);
		add_line(p, o, p->rows++);
		if (p->rows == r->micro)
			flush(r, p);
	}
	inputs_close(&in);
	rk_why_fini(&why);
	return r->fail.reason == NULL;
}

static bool
predict_files(struct run *r, struct prediction *p)
{
	bool ok = true;

	for (int i = 0; ok && i < r->o->ninput; i++)
		ok = !told_to_end(r) && predict_file(r, p, r->o->input[i]);
	if (ok)
		flush(r, p);
	for (size_t i = 0; i < p->nlines; i++)
		json_decref(p->lines[i].o);
	free(p->lines);
	return ok && (p->failed == 0 || run_fail(r, "bad_data", false,
	    "%lld of %d inputs could not be read", (long long)p->failed,
	    r->o->ninput));
}

/* --- the job's data ------------------------------------------------------- */

/* What sample i ought to be: a class, several of them, or a number. */
static void
put_label(const struct prediction *p, json_t *o, const struct data_set *d,
    int64_t i)
{
	if (d->many_from != NULL) {
		json_t *labels = json_array();
		for (int64_t k = d->many_from[i]; k < d->many_from[i + 1]; k++)
			must(json_array_append_new(labels, json_integer(
			    d->many[k])) == 0);
		js_put(o, "label", labels);
	} else if (d->classes != NULL && p->says != SAYS_NUMBER) {
		js_put(o, "label", json_integer(d->classes[i]));
		put_name(p, o, "label_name", d->classes[i]);
	} else {
		js_put(o, "label", js_number(d->targets[i]));
	}
}

static bool
predict_data(struct run *r, struct prediction *p)
{
	const struct data_set *d = r->valid != NULL ? r->valid : r->train;
	const int64_t outputs = nn_outputs(r->nn);
	struct tally t = {0};

	for (int64_t at = 0; at < d->n;) {
		const int64_t rows = score_batch(r, d, at, &t);
		if (rows < 1) {         /* it has said why, or a signal came */
			(void)told_to_end(r);
			return false;
		}
		for (int64_t i = 0; i < rows; i++) {
			json_t *o = json_pack("{s:s, s:I}", "input",
			    d == r->valid ? "validation" : "train", "row",
			    (json_int_t)r->which[i]);
			put_outputs(p, o, nn_output(r->nn) + i * outputs,
			    outputs);
			put_label(p, o, d, r->which[i]);
			print(o);
		}
		if (told_to_end(r))
			return false;
		at += rows;
	}
	return true;
}

/* --- all of it ------------------------------------------------------------ */

static enum says
says_of(const struct run *r)
{
	const enum spec_loss_type l = r->spec->training.loss.type;

	if (l == SPEC_BINARY_CROSS_ENTROPY)
		return SAYS_LABELS;
	if (!spec_loss_is_regression(l))
		return SAYS_CLASS;
	return nn_outputs(r->nn) == 1 ? SAYS_NUMBER : SAYS_SCORE;
}

static bool
open_view(struct run *r, struct prediction *p)
{
	struct rk_why why = {0};
	const bool ok = recipe_view(&p->recipe, &r->spec->data, r->train,
	    &why) == RK_OK;

	if (!ok)
		run_fail(r, "bad_spec", true, "%s", rk_why_first(&why));
	rk_why_fini(&why);
	return ok;
}

/* Of a checkpoint from before there were names of columns: has the job's
 * file? */
static bool
may_have_columns(const struct spec_source *s, const struct recipe *c)
{
	return s->type == SPEC_CSV && c->columns == NULL && !c->no_columns &&
	    access(s->path, R_OK) == 0;
}

/* Does the checkpoint say what a sample is?  Of tokens the job has to say how
 * they are made, of texts. */
static bool
knows_samples(const struct run *r, struct prediction *p)
{
	const struct spec_source *s = &r->spec->data.train;
	const struct recipe *c = &p->recipe;

	if (!p->model.is_checkpoint ||
	    !recipe_of_checkpoint(&p->recipe, p->model.info.input))
		return false;
	return c->dtype == NN_F32 ? data_view_is_said(&r->spec->data) &&
	    !may_have_columns(s, c) :
	    s->type == SPEC_TEXT && c->ndim == 1 && c->d[0] == s->text.length;
}

static bool
check_texts(struct run *r)
{
	const struct spec_source *s = &r->spec->data.train;
	const char *vocabulary = s->text.vocabulary;

	if (s->type != SPEC_TEXT)
		return run_fail(r, "bad_spec", true, "the network takes whole "
		    "numbers (i32), which --predict makes of texts alone: leave "
		    "the inputs out, and the job's data are taken");
	return vocabulary == NULL || !spec_is_address(vocabulary) ||
	    place_of(r, vocabulary) != NULL || place_missing(r,
	    "data.train.tokenizer.vocabulary", vocabulary);
}

/* With files to predict, and a checkpoint that says what a sample is, the job's
 * data are not needed; but where their transforms begin with what only the data
 * say. */
static bool
prepare(struct run *r, struct prediction *p)
{
	const bool files = r->o->ninput > 0;
	const bool alone = files && knows_samples(r, p);
	struct run_memory m;

	if (alone) {
		r->sample.ndim = p->recipe.ndim;
		memcpy(r->sample.d, p->recipe.d, sizeof(r->sample.d));
		r->sample.dtype = p->recipe.dtype;
	} else {
		recipe_fini(&p->recipe);
	}
	if (!alone && !run_open_data(r, NULL))
		return false;
	if (!alone && !model_file_normalize(r, &p->model))
		return false;
	if (!run_measure(r, &m) || !run_build(r, &m) ||
	    !model_file_load(r, &p->model))
		return false;
	if (!alone)
		recipe_of_data(&p->recipe, r->train, nn_input_dtype(r->nn));
	p->names = model_file_names(r, &p->model);
	p->says = says_of(r);
	if (!files)
		return true;
	return p->recipe.dtype == NN_F32 ? open_view(r, p) : check_texts(r);
}

bool
predict_print(struct run *r)
{
	struct prediction p = { .model = { .file = r->o->predict,
		.deed = "cannot predict with" } };

	bool ok = model_file_open(r, &p.model);
	if (ok)
		exact_settle(r, p.model.is_checkpoint ? &p.model.info : NULL);
	ok = ok && prepare(r, &p) && (r->o->ninput > 0 ?
	    predict_files(r, &p) : predict_data(r, &p));
	model_file_warn(&p.model, p.nothing, p.said);
	json_decref(p.names);
	recipe_fini(&p.recipe);
	model_file_fini(&p.model);
	return ok;
}
