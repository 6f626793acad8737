/* Figures as JSON: see rekindle/judge.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "impl.h"

static void
put_figure(json_t *o, const char *key, double x)
{
	if (isfinite(x))
		put(o, key, json_real(x));
}

char *
class_name(const json_t *names, int64_t k, size_t max)
{
	const char *s = json_string_value(json_array_get(names, (size_t)k));

	if (s == NULL || *s == '\0')
		return xasprintf("%lld", (long long)k);
	char *clean = rk_text_clean(xstrdup(s));
	clean[rk_text_fit(clean, max)] = '\0';
	return clean;
}

json_t *
judge_figures(const struct judge *j)
{
	json_t *o = json_object();

	for (int m = JUDGE_TOP5; m < JUDGE_METRICS; m++)
		put_figure(o, judge_metrics[m].word, judge_figure(j,
		    (enum judge_metric)m));
	return o;
}

static json_t *
classes_json(const struct judge *j, const json_t *names)
{
	json_t *a = json_array();

	for (int64_t k = 0; k < j->w.outputs; k++) {
		const struct per_class f = class_figures(j, k);
		json_t *o = json_pack("{s:I, s:f, s:f, s:f, s:I, s:I, s:I}",
		    "class", (json_int_t)k, "precision", f.precision,
		    "recall", f.recall, "f1", f.f1,
		    "support", (json_int_t)j->support[k],
		    "predicted", (json_int_t)j->predicted[k],
		    "correct", (json_int_t)j->correct[k]);
		char *name = class_name(names, k, JUDGE_NAME_MAX);
		put(o, "name", json_string(name));
		free(name);
		add(a, o);
	}
	return a;
}

/* All of it, rows by label. */
static json_t *
matrix_json(const struct judge *j)
{
	json_t *rows = json_array();
	size_t n;
	struct cell *v = cells_sorted(j, &n);
	int64_t *m = xcalloc((size_t)(j->w.outputs * j->w.outputs),
	    sizeof(*m));

	for (size_t i = 0; i < n; i++)
		m[v[i].label * j->w.outputs + v[i].class] = v[i].rows;
	for (int64_t k = 0; k < j->w.outputs; k++) {
		json_t *row = json_array();
		m[k * j->w.outputs + k] = j->correct[k];
		for (int64_t l = 0; l < j->w.outputs; l++)
			add(row, json_integer(m[k * j->w.outputs + l]));
		add(rows, row);
	}
	free(m);
	free(v);
	return rows;
}

static json_t *
confusion_json(const struct judge *j)
{
	json_t *o = json_object();
	int64_t others = j->others;
	size_t n;

	if (j->w.outputs <= JUDGE_DENSE) {
		put(o, "matrix", matrix_json(j));
		return o;
	}
	json_t *cells = json_array();
	struct cell *v = cells_sorted(j, &n);
	for (size_t i = 0; i < n; i++) {
		if (i < JUDGE_SHOWN)
			add(cells, json_pack("[I, I, I]",
			    (json_int_t)v[i].label, (json_int_t)v[i].class,
			    (json_int_t)v[i].rows));
		else
			others += v[i].rows;
	}
	free(v);
	put(o, "cells", cells);
	put(o, "others", json_integer(others));
	return o;
}

/* A mean that JSON may not have. */
static json_t *
mean_json(double sum, int64_t n)
{
	return n > 0 ? json_real(sum / (double)n) : json_null();
}

static json_t *
calibration_json(const struct judge *j)
{
	json_t *o = json_object(), *bins = json_array();

	for (int b = 0; b < JUDGE_BINS; b++) {
		const struct bin *v = &j->bins[b];
		json_t *e = json_pack("{s:f, s:f, s:I, s:o, s:o}",
		    "from", (double)b / JUDGE_BINS,
		    "to", (double)(b + 1) / JUDGE_BINS,
		    "rows", (json_int_t)v->rows,
		    "confidence", mean_json(v->confidence, v->rows),
		    "accuracy", mean_json((double)v->right, v->rows));
		add(bins, e);
	}
	put(o, "bins", bins);
	put_figure(o, "ece", judge_figure(j, JUDGE_ECE));
	return o;
}

json_t *
judge_report(const struct judge *j, const json_t *names)
{
	json_t *o = json_pack("{s:s, s:I, s:I, s:I, s:I}",
	    "task", judge_task_words[j->w.task],
	    "rows", (json_int_t)j->n.counted,
	    "skipped", (json_int_t)j->n.skipped,
	    "ignored", (json_int_t)j->n.ignored,
	    "not_finite", (json_int_t)j->n.not_finite);
	json_t *m = judge_figures(j);

	must(o != NULL);
	put_figure(m, "accuracy", judge_figure(j, JUDGE_ACCURACY));
	put(o, "metrics", m);
	if (has_classes(j) && j->w.outputs <= JUDGE_CLASSES) {
		put(o, "classes", classes_json(j, names));
		if (j->cells != NULL)
			put(o, "confusion", confusion_json(j));
	}
	if (is_calibrated(j))
		put(o, "calibration", calibration_json(j));
	return o;
}
