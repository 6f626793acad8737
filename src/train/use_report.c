/* report.json of a job that uses a model, and what it is counted from. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "judging.h"
#include "summary.h"
#include "use.h"

#define ALL_CLASSES 1000        /* of more, only those that some line says */

/* --- kind predict: counting ----------------------------------------------- */

static void
count_class(struct use_counts *c, const json_t *of)
{
	const json_t *k = json_object_get(of, "class");
	const json_t *p = json_object_get(of, "probability");
	const json_t *w = p != NULL ? p : json_object_get(of, "score");
	const int64_t i = json_integer_value(k);

	if (!json_is_integer(k) || i < 0 || i >= c->classes)
		return;
	c->rows[i]++;
	c->worth[i] += json_number_value(w);
	c->sum += json_number_value(w);
	c->n++;
}

static void
count_number(struct use_counts *c, const json_t *v)
{
	const double x = json_number_value(v);

	if (!json_is_number(v))
		return;
	c->least = c->n > 0 ? RK_MIN(c->least, x) : x;
	c->most = c->n > 0 ? RK_MAX(c->most, x) : x;
	c->sum += x;
	c->n++;
}

static void
begin_counts(struct use *u)
{
	struct use_counts *c = &u->counts;

	if (c->failed != NULL)
		return;
	c->failed = json_array();
	if (u->p.lines.says == SAYS_NUMBER)
		return;
	c->classes = nn_outputs(u->r->nn);
	c->rows = xcalloc((size_t)c->classes, sizeof(*c->rows));
	c->worth = xcalloc((size_t)c->classes, sizeof(*c->worth));
}

void
use_counts_add(struct use *u, const json_t *line)
{
	struct use_counts *c = &u->counts;
	const json_t *label, *labels = json_object_get(line, "labels");
	size_t i;

	begin_counts(u);
	if (json_object_get(line, "error") != NULL) {
		if (json_array_size(c->failed) < USE_FAILED_MOST)
			must(json_array_append(c->failed,
			    (json_t *)(uintptr_t)line) == 0);
		return;
	}
	if (u->p.lines.says == SAYS_NUMBER)
		count_number(c, json_object_get(line, "value"));
	else if (u->p.lines.says != SAYS_LABELS)
		count_class(c, line);
	else
		json_array_foreach(labels, i, label)
			count_class(c, label);
}

json_t *
use_counts_json(const struct use *u)
{
	const struct use_counts *c = &u->counts;
	json_t *classes = json_array();

	for (int64_t i = 0; i < c->classes; i++)
		if (c->rows[i] > 0)
			must(json_array_append_new(classes, json_pack(
			    "[I, I, f]", (json_int_t)i, (json_int_t)c->rows[i],
			    c->worth[i])) == 0);
	json_t *o = json_pack("{s:I, s:I, s:I, s:f, s:f, s:f, s:I, s:o, s:O*}",
	    "said", (json_int_t)u->p.lines.said, "nothing",
	    (json_int_t)u->p.lines.nothing, "failed", (json_int_t)u->p.failed,
	    "sum", c->sum, "least", c->least, "most", c->most, "n",
	    (json_int_t)c->n, "classes", classes, "inputs", c->failed);

	must(o != NULL);
	return o;
}

static bool
read_class(struct use_counts *c, const json_t *v)
{
	const int64_t i = json_integer_value(json_array_get(v, 0));

	if (!json_is_integer(json_array_get(v, 0)) || i < 0 || i >= c->classes)
		return false;
	c->rows[i] = json_integer_value(json_array_get(v, 1));
	c->worth[i] = json_number_value(json_array_get(v, 2));
	return c->rows[i] > 0;
}

bool
use_counts_read(struct use *u, const json_t *v)
{
	static const char *const reals[] = { "sum", "least", "most" };
	struct use_counts *c = &u->counts;
	double *const to[] = { &c->sum, &c->least, &c->most };
	const json_t *classes = json_object_get(v, "classes");
	json_t *failed = json_object_get(v, "inputs");
	bool ok = json_is_array(classes);

	begin_counts(u);
	for (size_t i = 0; i < RK_ARRAY_LEN(reals); i++) {
		const json_t *x = json_object_get(v, reals[i]);
		*to[i] = json_number_value(x);
		ok = ok && json_is_number(x);
	}
	for (size_t i = 0; ok && i < json_array_size(classes); i++)
		ok = read_class(c, json_array_get(classes, i));
	c->n = json_integer_value(json_object_get(v, "n"));
	u->p.lines.said = json_integer_value(json_object_get(v, "said"));
	u->p.lines.nothing = json_integer_value(json_object_get(v, "nothing"));
	u->p.failed = json_integer_value(json_object_get(v, "failed"));
	if (json_array_size(failed) <= USE_FAILED_MOST && failed != NULL)
		must(json_array_extend(c->failed, failed) == 0);
	return ok;
}

void
use_counts_fini(struct use *u)
{
	free(u->counts.rows);
	free(u->counts.worth);
	json_decref(u->counts.failed);
	json_decref(u->worst);
}

/* --- kind evaluate: the worst --------------------------------------------- */

/* Of two of equal loss the one of the lower row goes before. */
static bool
goes_before(const json_t *a, const json_t *b)
{
	const json_t *x = json_object_get(a, "loss");
	const json_t *y = json_object_get(b, "loss");
	const double p = json_is_number(x) ? json_number_value(x) : HUGE_VAL;
	const double q = json_is_number(y) ? json_number_value(y) : HUGE_VAL;

	if (p < q || p > q)
		return p > q;
	return json_integer_value(json_object_get(a, "row")) <
	    json_integer_value(json_object_get(b, "row"));
}

void
use_worst_add(struct use *u, json_t *o)
{
	const size_t most = (size_t)u->r->spec->worst;
	size_t at = json_array_size(u->worst);

	while (at > 0 && goes_before(o, json_array_get(u->worst, at - 1)))
		at--;
	if (at >= most) {
		json_decref(o);
		return;
	}
	must(json_array_insert_new(u->worst, at, o) == 0);
	if (json_array_size(u->worst) > most)
		must(json_array_remove(u->worst, most) == 0);
}

/* --- the report ----------------------------------------------------------- */

static json_t *
model_json(const struct use *u)
{
	json_t *o = model_file_json(u->r, &u->p.model);

	js_put(o, "file", js_text(u->r->spec->model.checkpoint));
	return o;
}

static json_t *
class_json(const struct use *u, int64_t i)
{
	const struct use_counts *c = &u->counts;
	const char *name = json_string_value(json_array_get(u->p.lines.names,
	    (size_t)i));
	json_t *o = json_pack("{s:I, s:I, s:o}", "class", (json_int_t)i,
	    "samples", (json_int_t)c->rows[i], u->p.lines.says == SAYS_SCORE ?
	    "mean_score" : "mean_probability", c->rows[i] > 0 ?
	    json_real(c->worth[i] / (double)c->rows[i]) : json_null());

	must(o != NULL);
	if (name != NULL)
		js_put(o, "name", js_text(name));
	return o;
}

static void
put_counts(json_t *o, const struct use *u)
{
	const struct use_counts *c = &u->counts;
	json_t *mean = c->n > 0 ? json_real(c->sum / (double)c->n) :
	    json_null();
	json_t *classes = json_array();

	for (int64_t i = 0; i < c->classes; i++)
		if (c->rows[i] > 0 || c->classes <= ALL_CLASSES)
			must(json_array_append_new(classes, class_json(u, i)) ==
			    0);
	if (u->p.lines.says == SAYS_NUMBER)
		js_put(o, "value", json_pack("{s:o, s:o, s:o}", "mean", mean,
		    "least", c->n > 0 ? json_real(c->least) : json_null(),
		    "most", c->n > 0 ? json_real(c->most) : json_null()));
	else
		js_put(o, u->p.lines.says == SAYS_SCORE ? "mean_score" :
		    "mean_probability", mean);
	if (u->p.lines.says != SAYS_NUMBER)
		js_put(o, "classes", json_incref(classes));
	json_decref(classes);
	js_put(o, "inputs", json_integer(walk_inputs(&u->walk)));
	js_put(o, "failed", json_integer(u->p.failed));
	js_put(o, "failed_inputs", c->failed != NULL ? json_incref(c->failed) :
	    json_array());
	js_put(o, "nothing", json_integer(u->p.lines.nothing));
}

static json_t *
data_json(const struct use *u)
{
	const struct data_set *d = u->r->valid;

	return json_pack("{s:s, s:I, s:o, s:I, s:s}", "of", "validation",
	    "samples", (json_int_t)d->n, "shape", shape_json(d->ndim, d->d),
	    "classes", (json_int_t)d->nclasses, "digest", u->data);
}

static void
put_judged(json_t *o, const struct use *u)
{
	const struct score s = run_score(u->r, &u->tally);
	json_t *all = judge_report(u->r->judge, u->p.lines.names);

	js_put(o, "data", data_json(u));
	js_put(o, "loss", js_number(s.loss));
	if (s.has_accuracy)
		js_put(o, "accuracy", js_number(s.accuracy));
	must(json_object_update_missing(o, all) == 0);
	json_decref(all);
	js_put(o, "worst", json_incref(u->worst));
}

json_t *
use_report(const struct use *u)
{
	const struct spec *s = u->r->spec;
	json_t *o = json_pack("{s:i, s:s, s:s, s:o, s:I, s:I, s:I, s:o}",
	    "format", 1, "kind", spec_job_words[s->kind], "name", s->name,
	    "model", model_json(u), "samples", (json_int_t)(s->kind ==
	    SPEC_JOB_PREDICT ? u->p.lines.said : u->done),
	    "outputs", (json_int_t)nn_outputs(u->r->nn), "batch_size",
	    (json_int_t)u->r->batch, "arithmetic", exact_arithmetic(u->r));

	must(o != NULL);
	if (s->kind == SPEC_JOB_PREDICT)
		put_counts(o, u);
	else
		put_judged(o, u);
	return o;
}

json_t *
use_metrics(const struct use *u)
{
	json_t *o = json_object();

	if (u->r->spec->kind != SPEC_JOB_EVALUATE)
		return o;
	const struct score s = run_score(u->r, &u->tally);
	struct judged f;
	judging_take(u->r, &f);
	js_put(o, "val_loss", js_number(s.loss));
	if (s.has_accuracy)
		js_put(o, "val_accuracy", js_number(s.accuracy));
	figures_put(o, &f, true);
	return o;
}
