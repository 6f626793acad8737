/* What is counted, and the figures made of it: against scikit-learn and by hand. */
#include "rekindle/judge.h"
#include "judge_goldens.h"
#include "t.h"

/* Some hundred additions of numbers of about 1 in another order. */
#define CLOSE 1e-12

static float *
floats(const double *v, size_t n)
{
	float *p = malloc(n * sizeof(*p));

	for (size_t i = 0; i < n; i++)
		p[i] = (float)v[i];
	return p;
}

static struct judge *
made(enum judge_task task, int64_t k)
{
	struct judge_want w = { .task = task, .outputs = k, .ignore = -1,
		.logits = task == JUDGE_TASK_CLASSES,
		.distance = task == JUDGE_TASK_NUMBERS };

	return judge_new(&w);
}

static double
at(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_number(v))
		t_fail("%s is no number", key);
	return json_number_value(v);
}

static struct judge *
of_classes(int64_t batch)
{
	struct judge *j = made(JUDGE_TASK_CLASSES, C_K);
	float *z = floats(c_z, C_ROWS * C_K);
	int32_t y[C_ROWS];

	for (int i = 0; i < C_ROWS; i++)
		y[i] = c_y[i];
	for (int64_t i = 0; i < C_ROWS; i += batch)
		judge_add(j, RK_MIN(batch, C_ROWS - i), z + i * C_K, y + i,
		    NULL, NULL);
	free(z);
	return j;
}

T_CASE(classes_are_judged_as_scikit_learn_judges_them)
{
	struct judge *j = of_classes(C_ROWS);
	json_t *r = judge_report(j, NULL), *c;
	const json_t *classes = json_object_get(r, "classes");
	const json_t *matrix = json_object_get(json_object_get(r,
	    "confusion"), "matrix");
	size_t k;

	t_near(judge_figure(j, JUDGE_ACCURACY), C_ACCURACY, CLOSE);
	t_near(judge_figure(j, JUDGE_TOP5), C_TOP5, CLOSE);
	t_near(judge_figure(j, JUDGE_MACRO_PRECISION), C_MACRO_PRECISION,
	    CLOSE);
	t_near(judge_figure(j, JUDGE_MACRO_RECALL), C_MACRO_RECALL, CLOSE);
	t_near(judge_figure(j, JUDGE_MACRO_F1), C_MACRO_F1, CLOSE);
	t_near(judge_figure(j, JUDGE_PLAIN_LOSS), C_LOG_LOSS, CLOSE);
	t_near(judge_figure(j, JUDGE_ECE), C_ECE, CLOSE);
	t_check(isnan(judge_figure(j, JUDGE_MAE)));
	t_eq_int(json_array_size(classes), C_K);
	json_array_foreach(classes, k, c) {
		t_near(at(c, "precision"), c_precision[k], CLOSE);
		t_near(at(c, "recall"), c_recall[k], CLOSE);
		t_near(at(c, "f1"), c_f1[k], CLOSE);
		t_eq_int(at(c, "support"), c_support[k]);
		for (size_t l = 0; l < C_K; l++)
			t_eq_int(json_integer_value(json_array_get(
			    json_array_get(matrix, k), l)),
			    c_matrix[k * C_K + l]);
	}
	json_decref(r);
	judge_free(j);
}

T_CASE(labels_are_judged_as_scikit_learn_judges_them)
{
	struct judge *j = made(JUDGE_TASK_LABELS, L_K);
	float *z = floats(l_z, L_ROWS * L_K), t[L_ROWS * L_K];
	json_t *c;
	size_t k;

	for (int i = 0; i < L_ROWS * L_K; i++)
		t[i] = (float)l_t[i];
	judge_add(j, L_ROWS, z, NULL, t, NULL);
	json_t *r = judge_report(j, NULL);
	t_near(judge_figure(j, JUDGE_ACCURACY), L_ACCURACY, CLOSE);
	t_near(judge_figure(j, JUDGE_MACRO_PRECISION), L_MACRO_PRECISION,
	    CLOSE);
	t_near(judge_figure(j, JUDGE_MACRO_RECALL), L_MACRO_RECALL, CLOSE);
	t_near(judge_figure(j, JUDGE_MACRO_F1), L_MACRO_F1, CLOSE);
	t_near(judge_figure(j, JUDGE_ECE), L_ECE, CLOSE);
	t_check(isnan(judge_figure(j, JUDGE_TOP5)));
	t_check(isnan(judge_figure(j, JUDGE_PLAIN_LOSS)));
	t_check(json_object_get(r, "confusion") == NULL);
	json_array_foreach(json_object_get(r, "classes"), k, c) {
		t_near(at(c, "precision"), l_precision[k], CLOSE);
		t_near(at(c, "recall"), l_recall[k], CLOSE);
		t_near(at(c, "f1"), l_f1[k], CLOSE);
		t_eq_int(at(c, "support"), l_support[k]);
	}
	json_decref(r);
	judge_free(j);
	free(z);
}

T_CASE(numbers_are_judged_by_their_distance)
{
	struct judge *j = made(JUDGE_TASK_NUMBERS, 1);
	float *z = floats(n_z, N_ROWS), *t = floats(n_t, N_ROWS);

	judge_add(j, N_ROWS, z, NULL, t, NULL);
	t_near(judge_figure(j, JUDGE_MAE), N_MAE, CLOSE);
	for (int m = 0; m < JUDGE_METRICS; m++)
		t_check(m == JUDGE_MAE ||
		    isnan(judge_figure(j, (enum judge_metric)m)));
	judge_free(j);
	free(z);
	free(t);
}

T_CASE(batches_change_no_bit)
{
	struct judge *a = of_classes(C_ROWS);
	json_t *want = judge_counts(a);

	for (int64_t batch = 1; batch < C_ROWS; batch += 6) {
		struct judge *b = of_classes(batch);
		json_t *got = judge_counts(b);
		t_check(json_equal(got, want));
		json_decref(got);
		judge_free(b);
	}
	json_decref(want);
	judge_free(a);
}

/* Three classes by hand: 0 right, 1 taken for 2, 2 right, 0 by a tie. */
static const float few_z[] = { 2, 1, 0,  0, 1, 3,  0, 0, 1,  1, 1, 0 };
static const int32_t few_y[] = { 0, 1, 2, 0 };

T_CASE(rows_that_are_left_out_count_nowhere_but_as_skipped)
{
	const float z[] = { 2, 1, 0,  9, 9, 9,  0, 1, 3,  0, 0, 1,  1, 1, 0 };
	const int32_t y[] = { 0, 1, 1, 2, 0 };
	const uint8_t left_out[] = { 0, 1, 0, 0, 0 };
	struct judge *a = made(JUDGE_TASK_CLASSES, 3);
	struct judge *b = made(JUDGE_TASK_CLASSES, 3);

	judge_add(a, 5, z, y, NULL, left_out);
	judge_add(b, 4, few_z, few_y, NULL, NULL);
	t_eq_int(judge_rows(a).skipped, 1);
	t_eq_int(judge_rows(a).counted, 4);
	json_t *x = judge_counts(a), *v = judge_counts(b);
	json_object_del(x, "skipped");
	t_check(json_equal(x, v));
	t_near(judge_figure(a, JUDGE_ACCURACY), 3 / 4.0, 0);
	t_near(judge_figure(a, JUDGE_MACRO_RECALL), (1 + 0 + 1) / 3.0, CLOSE);
	t_near(judge_figure(a, JUDGE_MACRO_PRECISION), (1 + 0 + 0.5) / 3.0,
	    CLOSE);
	json_decref(x);
	json_decref(v);
	judge_free(a);
	judge_free(b);
}

T_CASE(an_ignored_class_counts_nowhere)
{
	struct judge_want w = { .task = JUDGE_TASK_CLASSES, .outputs = 3,
		.logits = true, .ignore = 255 };
	struct judge *j = judge_new(&w);
	const float z[] = { 2, 1, 0, 0, 0, 5 };
	const int32_t y[] = { 0, 255 };

	judge_add(j, 2, z, y, NULL, NULL);
	t_eq_int(judge_rows(j).ignored, 1);
	t_eq_int(judge_rows(j).counted, 1);
	t_near(judge_figure(j, JUDGE_ACCURACY), 1, 0);
	judge_free(j);
}

T_CASE(outputs_that_are_no_numbers_are_wrong_and_counted)
{
	struct judge *j = made(JUDGE_TASK_CLASSES, 3);
	const float z[] = { NAN, 0, 1,  0, INFINITY, 0,  -INFINITY, 1, 0,
		-INFINITY, -INFINITY, -INFINITY };
	const int32_t y[] = { 2, 1, 1, 0 };

	judge_add(j, 4, z, y, NULL, NULL);
	t_eq_int(judge_rows(j).not_finite, 3);
	t_eq_int(judge_rows(j).counted, 4);
	t_near(judge_figure(j, JUDGE_ACCURACY), 0.25, 0);
	/* Of class 1 one of two was found, and what was said of it was right. */
	t_near(judge_figure(j, JUDGE_MACRO_RECALL), (0 + 0.5 + 0) / 3, CLOSE);
	t_near(judge_figure(j, JUDGE_MACRO_PRECISION), (0 + 1 + 0) / 3.0,
	    CLOSE);
	/* log(1 + 0 + exp(-1)): the other two outputs of the third row. */
	t_near(judge_figure(j, JUDGE_PLAIN_LOSS), log(1 + exp(-1)), CLOSE);
	json_t *r = judge_report(j, NULL);
	t_check(r != NULL && at(r, "not_finite") == 3);
	json_decref(r);
	judge_free(j);
	/* A label of probability 0: there is no such loss. */
	j = made(JUDGE_TASK_CLASSES, 3);
	judge_add(j, 1, z + 6, (const int32_t[]){ 0 }, NULL, NULL);
	t_check(isinf(judge_figure(j, JUDGE_PLAIN_LOSS)));
	json_t *f = judge_figures(j);
	t_check(json_object_get(f, "plain_loss") == NULL);
	json_decref(f);
	judge_free(j);
}

T_CASE(nothing_at_all_has_no_figures)
{
	static const enum judge_task tasks[] = { JUDGE_TASK_CLASSES,
		JUDGE_TASK_LABELS, JUDGE_TASK_NUMBERS };

	for (size_t i = 0; i < RK_ARRAY_LEN(tasks); i++) {
		struct judge *j = made(tasks[i], i == 2 ? 1 : 4);
		for (int m = 0; m < JUDGE_METRICS; m++)
			t_check(isnan(judge_figure(j, (enum judge_metric)m)));
		json_t *r = judge_report(j, NULL);
		t_eq_int(json_object_size(json_object_get(r, "metrics")), 0);
		json_decref(r);
		judge_free(j);
	}
}

/* The fifth and the sixth of equals: the lower class goes first. */
/* A third is the upper end of (4/15, 5/15], which three tenths are in, too. */
T_CASE(a_confidence_on_an_edge_belongs_to_the_bin_below_it)
{
	const float z[2][4] = { { 0, 0, 0, -1000 },
	    { 0.25131443f, 0, 0, 0 } }; /* log(0.3 / (0.7 / 3)) */
	const int32_t y[2] = { 0, 1 };
	struct judge *j = made(JUDGE_TASK_CLASSES, 4);

	judge_add(j, 2, z[0], y, NULL, NULL);
	json_t *r = judge_report(j, NULL);
	/* One of two is right; their mean is (1/3 + 0.3) / 2, as float has
	 * it. */
	t_near(at(json_object_get(r, "calibration"), "ece"), 0.5 -
	    (1 / 3.0 + 0.3) / 2, 1e-7);
	json_decref(r);
	judge_free(j);
}

T_CASE(equal_outputs_go_by_their_class)
{
	struct judge *j = made(JUDGE_TASK_CLASSES, 8);
	const float z[16] = { 0 };
	const int32_t y[] = { 4, 5 };

	judge_add(j, 2, z, y, NULL, NULL);
	t_near(judge_figure(j, JUDGE_TOP5), 0.5, 0);
	t_near(judge_figure(j, JUDGE_ACCURACY), 0, 0);
	judge_free(j);
}

T_CASE(a_reset_forgets_all)
{
	struct judge *j = of_classes(7), *k = of_classes(C_ROWS);

	judge_reset(j);
	t_eq_int(judge_rows(j).counted, 0);
	float *z = floats(c_z, C_ROWS * C_K);
	int32_t y[C_ROWS];
	for (int i = 0; i < C_ROWS; i++)
		y[i] = c_y[i];
	judge_add(j, C_ROWS, z, y, NULL, NULL);
	json_t *a = judge_counts(j), *b = judge_counts(k);
	t_check(json_equal(a, b));
	json_decref(a);
	json_decref(b);
	free(z);
	judge_free(j);
	judge_free(k);
}

/* Many classes: each row is of another pair, so that more cells are wanted than
 * there are; what has none is counted. */
T_CASE(a_confusion_of_ten_thousand_classes_is_bounded)
{
	const int64_t k = 10000, rows = JUDGE_CELLS + 1000;
	struct judge_want w = { .task = JUDGE_TASK_CLASSES, .outputs = k,
		.ignore = -1 };
	struct judge *j = judge_new(&w);
	float *z = calloc((size_t)k, sizeof(*z));

	for (int64_t i = 0; i < rows; i++) {
		const int32_t y = (int32_t)(i % k);
		const int64_t said = (y + 1 + i / k) % k;
		z[said] = 1;
		judge_add(j, 1, z, &y, NULL, NULL);
		z[said] = 0;
	}
	t_eq_int(judge_rows(j).counted, rows);
	json_t *r = judge_report(j, NULL);
	const json_t *c = json_object_get(r, "confusion");
	t_eq_int(json_array_size(json_object_get(r, "classes")), k);
	t_eq_int(json_array_size(json_object_get(c, "cells")), JUDGE_SHOWN);
	t_eq_int(at(c, "others"), rows - JUDGE_SHOWN);
	t_check(judge_bytes(&w) < 4u << 20);
	/* And it can be parsed again, by the limits of json.h. */
	char *text = rkj_text(r);
	json_t *again = NULL;
	struct rk_why why = {0};
	json_t *counts = judge_counts(j);
	must(json_object_set_new(r, "counts", counts) == 0);
	free(text);
	text = rkj_text(r);
	if (rkj_parse_json(text, strlen(text), &again, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	json_decref(again);
	free(text);
	json_decref(r);
	judge_free(j);
	free(z);
}

T_CASE(a_metric_has_one_name)
{
	for (int m = 0; m < JUDGE_METRICS; m++) {
		t_eq_int(judge_metric_of(judge_metrics[m].val_word), m);
		t_check(strncmp(judge_metrics[m].val_word, "val_", 4) == 0);
		t_eq_str(judge_metrics[m].val_word + 4, judge_metrics[m].word);
	}
	t_eq_int(judge_metric_of("loss"), -1);
	t_eq_int(judge_metric_of(""), -1);
}

T_MAIN
