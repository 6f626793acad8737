/* Counts as JSON, and back: see rekindle/judge.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define COUNT_MAX ((int64_t)1 << 48)  /* ten thousand of them add up */

static const char *const macro_words[] = {
	"macro_precision", "macro_recall", "macro_f1"
};

/* --- out ------------------------------------------------------------------ */

/* What is 0 is left out. */
static void
put_count(json_t *o, const char *key, int64_t n)
{
	if (n != 0)
		put(o, key, json_integer(n));
}

static json_t *
counts_json(const int64_t *v, int64_t n)
{
	json_t *a = json_array();

	for (int64_t i = 0; i < n; i++)
		add(a, json_integer(v[i]));
	return a;
}

static json_t *
bins_json(const struct judge *j)
{
	json_t *rows = json_array(), *right = json_array();
	json_t *confidence = json_array(), *o = json_object();

	for (int b = 0; b < JUDGE_BINS; b++) {
		add(rows, json_integer(j->bins[b].rows));
		add(right, json_integer(j->bins[b].right));
		add(confidence, json_real(j->bins[b].confidence));
	}
	put(o, "count", rows);
	put(o, "correct", right);
	put(o, "confidence", confidence);
	return o;
}

/* At most so many cells, those of the most rows. */
static void
put_classes(json_t *o, const struct judge *j, size_t most)
{
	int64_t others = j->others;
	size_t n;

	put(o, "support", counts_json(j->support, j->w.outputs));
	put(o, "predicted", counts_json(j->predicted, j->w.outputs));
	put(o, "correct", counts_json(j->correct, j->w.outputs));
	if (j->cells == NULL)
		return;
	struct cell *v = cells_sorted(j, &n);
	json_t *cells = json_array();
	for (size_t i = 0; i < n; i++) {
		if (i >= most) {
			others += v[i].rows;
			continue;
		}
		add(cells, json_integer(v[i].label));
		add(cells, json_integer(v[i].class));
		add(cells, json_integer(v[i].rows));
	}
	free(v);
	put(o, "cells", cells);
	put_count(o, "others", others);
}

static void
put_macro(json_t *o, const struct judge *j)
{
	for (int m = 0; m < 3; m++) {
		const double x = judge_figure(j, JUDGE_MACRO_PRECISION + m);
		if (isfinite(x))
			put(o, macro_words[m], json_real(x));
	}
}

static json_t *
all_counts(const struct judge *j, size_t most)
{
	json_t *o = json_object();

	put(o, "task", json_string(judge_task_words[j->w.task]));
	put(o, "outputs", json_integer(j->w.outputs));
	put(o, "rows", json_integer(j->n.counted));
	put_count(o, "skipped", j->n.skipped);
	put_count(o, "ignored", j->n.ignored);
	put_count(o, "not_finite", j->n.not_finite);
	put_count(o, "right", j->right);
	put_count(o, "top5", j->top5);
	if (j->w.logits) {
		put(o, "logits", json_true());
		if (isfinite(j->plain_loss))
			put(o, "plain_loss", json_real(j->plain_loss));
	}
	if (j->w.distance && isfinite(j->distance))
		put(o, "distance", json_real(j->distance));
	if (has_classes(j) && j->w.outputs <= JUDGE_CLASSES)
		put_classes(o, j, most);
	else if (j->support != NULL)
		put_macro(o, j);
	if (is_calibrated(j))
		put(o, "bins", bins_json(j));
	return o;
}

json_t *
judge_counts(const struct judge *j)
{
	return all_counts(j, JUDGE_SHOWN);
}

json_t *
judge_state(const struct judge *j)
{
	return has_classes(j) && j->w.outputs > JUDGE_CLASSES ? NULL :
	    all_counts(j, JUDGE_CELLS);
}

/* --- and back ------------------------------------------------------------- */

/* A list of exactly n counts; with a fault where it is not. */
static bool
read_counts(struct rkj_obj *o, const char *key, int64_t *out, int64_t n)
{
	const json_t *a = rkj_any(o, key);

	if (!json_is_array(a) || (int64_t)json_array_size(a) != n) {
		rkj_fault(o, key, "want a list of %lld counts", (long long)n);
		return false;
	}
	for (int64_t i = 0; i < n; i++) {
		const json_t *v = json_array_get(a, (size_t)i);
		out[i] = json_integer_value(v);
		if (json_is_integer(v) && out[i] >= 0 && out[i] <= COUNT_MAX)
			continue;
		rkj_fault(o, key, "number %lld is no count", (long long)i);
		return false;
	}
	return true;
}

/* One of them; left[label] is how many rows of the label are not accounted
 * for. */
static bool
read_cell(struct judge *j, const json_t *a, size_t at, int64_t *left)
{
	const int64_t top[3] = { j->w.outputs - 1, j->w.outputs - 1,
		COUNT_MAX };
	int64_t v[3];

	for (size_t k = 0; k < 3; k++) {
		const json_t *e = json_array_get(a, at + k);
		v[k] = json_integer_value(e);
		if (!json_is_integer(e) || v[k] < 0 || v[k] > top[k])
			return false;
	}
	if (v[2] == 0 || v[0] == v[1] || v[2] > left[v[0]])
		return false;
	left[v[0]] -= v[2];
	cells_add(j, v[0], v[1], v[2]);
	return true;
}

static void
read_cells(struct judge *j, struct rkj_obj *o)
{
	const json_t *a = rkj_any(o, "cells");
	const size_t n = json_array_size(a);

	if (!json_is_array(a) || n % 3 != 0 || n / 3 > JUDGE_CELLS) {
		rkj_fault(o, "cells", "want a list of label, class, rows, at "
		    "most %d times", JUDGE_CELLS);
		return;
	}
	int64_t *left = xcalloc((size_t)j->w.outputs, sizeof(*left));
	for (int64_t k = 0; k < j->w.outputs; k++)
		left[k] = j->support[k] - j->correct[k];
	for (size_t i = 0; i < n; i += 3) {
		if (read_cell(j, a, i, left))
			continue;
		rkj_fault(o, "cells", "number %zu is of no cell", i);
		break;
	}
	free(left);
}

/* Correct ones are of both others; sums stay below what a count can be. */
static void
check_classes(const struct judge *j, struct rkj_obj *o)
{
	for (int64_t k = 0; k < j->w.outputs; k++) {
		if (j->correct[k] <= j->support[k] &&
		    j->correct[k] <= j->predicted[k])
			continue;
		rkj_fault(o, "correct", "number %lld is more than the rows of "
		    "the class", (long long)k);
		return;
	}
}

static void
read_classes(struct judge *j, struct rkj_obj *o)
{
	const int64_t k = j->w.outputs;

	if (j->w.outputs > JUDGE_CLASSES ||
	    (rkj_any(o, "support") == NULL && j->n.counted == 0)) {
		j->only_macro = true;
		for (int m = 0; m < 3; m++) {
			j->macro[m] = NAN;
			rkj_real(o, macro_words[m], &j->macro[m], 0, 1,
			    RKJ_OPTIONAL);
		}
		return;
	}
	if (read_counts(o, "support", j->support, k) &&
	    read_counts(o, "predicted", j->predicted, k) &&
	    read_counts(o, "correct", j->correct, k)) {
		check_classes(j, o);
		if (j->cells != NULL)
			read_cells(j, o);
	}
}

static void
read_bins(struct judge *j, struct rkj_obj *in, struct rk_why *why)
{
	int64_t rows[JUDGE_BINS], right[JUDGE_BINS];
	struct rkj_obj o;

	rkj_open(&o, rkj_any(in, "bins"), "bins", why);
	const json_t *c = rkj_any(&o, "confidence");
	bool ok = read_counts(&o, "count", rows, JUDGE_BINS) &&
	    read_counts(&o, "correct", right, JUDGE_BINS);
	if (ok && json_array_size(c) != JUDGE_BINS) {
		rkj_fault(&o, "confidence", "want a list of %d numbers",
		    JUDGE_BINS);
		ok = false;
	}
	for (int b = 0; ok && b < JUDGE_BINS; b++) {
		const double x = json_number_value(json_array_get(c,
		    (size_t)b));
		j->bins[b] = (struct bin){ rows[b], right[b], x };
		if (right[b] <= rows[b] && x >= 0 && x <= (double)rows[b] + 1)
			continue;
		rkj_fault(&o, "confidence", "number %d is of no bin", b);
		ok = false;
	}
	rkj_close_lenient(&o);
}

/* What the arrays are made by, before there are any. */
static void
read_want(struct judge_want *w, struct judge_rows *n, struct rkj_obj *o)
{
	int task = 0;

	*w = (struct judge_want){ .ignore = -1 };
	rkj_enum(o, "task", &task, judge_task_words, RKJ_REQUIRED);
	w->task = (enum judge_task)task;
	rkj_int(o, "outputs", &w->outputs, 1, JUDGE_OUTPUTS, RKJ_REQUIRED);
	w->logits = w->task == JUDGE_TASK_CLASSES &&
	    json_is_true(rkj_any(o, "logits"));
	w->distance = rkj_any(o, "distance") != NULL;
	rkj_int(o, "rows", &n->counted, 0, COUNT_MAX, RKJ_REQUIRED);
	rkj_int(o, "skipped", &n->skipped, 0, COUNT_MAX, RKJ_OPTIONAL);
	rkj_int(o, "ignored", &n->ignored, 0, COUNT_MAX, RKJ_OPTIONAL);
	rkj_int(o, "not_finite", &n->not_finite, 0, n->counted, RKJ_OPTIONAL);
}

/* Of more classes than JSON has, no array is needed. */
static struct judge *
new_of(const struct judge_want *w, const struct judge_rows *n)
{
	struct judge_want small = *w;

	if (w->outputs > JUDGE_CLASSES)
		small.outputs = 1;
	struct judge *j = judge_new(&small);
	j->w.outputs = w->outputs;
	j->n = *n;
	return j;
}

enum rk_err
judge_parse(const json_t *counts, struct judge **jp, struct rk_why *why)
{
	struct rk_why own = {0};
	struct judge *j = NULL;
	struct judge_want w;
	struct judge_rows n = {0};
	struct rkj_obj o;

	rkj_open(&o, counts, "", &own);
	read_want(&w, &n, &o);
	if (own.n == 0) {
		j = new_of(&w, &n);
		j->plain_loss = NAN;
		rkj_int(&o, "right", &j->right, 0, n.counted, RKJ_OPTIONAL);
		rkj_int(&o, "top5", &j->top5, 0, n.counted, RKJ_OPTIONAL);
		rkj_int(&o, "others", &j->others, 0, COUNT_MAX, RKJ_OPTIONAL);
		rkj_real(&o, "plain_loss", &j->plain_loss, 0, HUGE_VAL,
		    RKJ_OPTIONAL);
		rkj_real(&o, "distance", &j->distance, 0, HUGE_VAL,
		    RKJ_OPTIONAL);
		if (j->support != NULL)
			read_classes(j, &o);
		if (is_calibrated(j))
			read_bins(j, &o, &own);
	}
	rkj_close_lenient(&o);
	const bool ok = own.n == 0;
	if (!ok)
		rk_refuse(why, "%s", rk_why_first(&own));
	rk_why_fini(&own);
	if (!ok) {
		judge_free(j);
		return RK_EINVAL;
	}
	*jp = j;
	return RK_OK;
}
