/* Counts as JSON, there and back, and what is not believed. */
#include "rekindle/judge.h"
#include "t.h"

static struct judge *
some(enum judge_task task, int64_t k, int64_t rows)
{
	struct judge_want w = { .task = task, .outputs = k, .ignore = -1,
		.logits = task == JUDGE_TASK_CLASSES,
		.distance = task == JUDGE_TASK_NUMBERS };
	struct judge *j = judge_new(&w);
	float *z = calloc((size_t)k, sizeof(*z)), *t = calloc((size_t)k,
	    sizeof(*t));

	for (int64_t i = 0; i < rows; i++) {
		for (int64_t l = 0; l < k; l++) {
			z[l] = rk_draw_normal(3, 0, (uint32_t)l, (uint64_t)i);
			t[l] = (float)(rk_draw_u32(3, 1, (uint32_t)l,
			    (uint64_t)i) % 2);
		}
		const int32_t y = (int32_t)(rk_draw_u32(3, 2, 0,
		    (uint64_t)i) % (uint64_t)k);
		judge_add(j, 1, z, &y, t, NULL);
	}
	free(z);
	free(t);
	return j;
}

static void
survives(struct judge *j)
{
	json_t *counts = judge_counts(j), *again = NULL;
	struct rk_why why = {0};
	struct judge *k = NULL;

	/* As it comes back from a file. */
	char *text = rkj_text(counts);
	t_eq_int(rkj_parse_json(text, strlen(text), &again, &why), RK_OK);
	if (judge_parse(again, &k, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	json_t *a = judge_report(j, NULL), *b = judge_report(k, NULL);
	char *x = rkj_text(a), *y = rkj_text(b);
	t_eq_str(y, x);
	free(x);
	free(y);
	free(text);
	json_decref(a);
	json_decref(b);
	json_decref(counts);
	json_decref(again);
	judge_free(j);
	judge_free(k);
}

T_CASE(counts_give_the_same_report_after_a_way_through_a_file)
{
	survives(some(JUDGE_TASK_CLASSES, 3, 100));
	survives(some(JUDGE_TASK_CLASSES, JUDGE_DENSE, 9000));
	survives(some(JUDGE_TASK_CLASSES, JUDGE_DENSE + 1, 500));
	survives(some(JUDGE_TASK_CLASSES, 200, 300));
	survives(some(JUDGE_TASK_LABELS, 5, 60));
	survives(some(JUDGE_TASK_LABELS, 1, 20));
	survives(some(JUDGE_TASK_NUMBERS, 1, 50));
	survives(some(JUDGE_TASK_CLASSES, 4, 0));
	survives(some(JUDGE_TASK_LABELS, 4, 0));
	survives(some(JUDGE_TASK_NUMBERS, 1, 0));
}

T_CASE(cells_with_the_most_rows_come_first)
{
	struct judge_want w = { .task = JUDGE_TASK_CLASSES, .outputs = 3,
		.ignore = -1 };
	static const int32_t labels[] = { 0, 1, 1, 1, 2, 2 };
	static const float z[6][3] = { { 0, 1, 0 }, { 1, 0, 0 }, { 1, 0, 0 },
		{ 0, 0, 1 }, { 0, 1, 0 }, { 0, 0, 1 } };
	struct judge *j = judge_new(&w);

	judge_add(j, 6, z[0], labels, NULL, NULL);
	json_t *counts = judge_counts(j);
	char *text = rkj_text(json_object_get(counts, "cells"));
	t_eq_str(text, "[1,0,2,0,1,1,1,2,1,2,1,1]");
	free(text);
	json_decref(counts);
	judge_free(j);
}

T_CASE(of_more_classes_than_json_has_the_means_stay)
{
	struct judge *j = some(JUDGE_TASK_CLASSES, JUDGE_CLASSES + 1, 30);
	json_t *counts = judge_counts(j);

	t_check(json_object_get(counts, "support") == NULL);
	t_check(json_is_number(json_object_get(counts, "macro_f1")));
	json_decref(counts);
	survives(j);
}

/* What is set there instead is refused with these words. */
static void
refused(const char *key, const char *value, const char *words)
{
	struct judge *j = some(JUDGE_TASK_CLASSES, 3, 40), *k = NULL;
	struct rk_why why = {0};
	json_t *counts = judge_counts(j), *v = rkj_value(value);

	t_eq_int(rkj_set_path(counts, key, v, NULL), RK_OK);
	t_eq_int(judge_parse(counts, &k, &why), RK_EINVAL);
	t_check(k == NULL);
	t_has(rk_why_first(&why), words);
	rk_why_fini(&why);
	json_decref(counts);
	judge_free(j);
}

T_CASE(counts_that_are_of_nothing_are_refused)
{
	struct judge *j = NULL;

	refused("task", "guesses", "want classes, labels or numbers");
	refused("outputs", "0", "outputs");
	refused("outputs", "4", "want a list of 4 counts");
	refused("outputs", "100000000", "outputs");
	refused("rows", "-1", "rows");
	refused("support", "[1, 2]", "want a list of 3 counts");
	refused("support", "[1, 2, x]", "number 2 is no count");
	refused("support", "[1, 2, -3]", "number 2 is no count");
	refused("correct", "[99, 0, 0]", "number 0 is more than the rows");
	refused("cells", "[0, 1]", "label, class, rows");
	refused("cells", "[0, 0, 1]", "is of no cell");
	refused("cells", "[0, 3, 1]", "is of no cell");
	refused("cells", "[0, 1, 0]", "is of no cell");
	refused("cells", "[0, 1, 1e300]", "is of no cell");
	refused("bins", "{}", "bins.count");
	refused("bins.count", "[1]", "want a list of 15 counts");
	refused("bins.confidence", "[1]", "want a list of 15 numbers");
	refused("top5", "1000", "top5");
	refused("not_finite", "1000", "not_finite");
	t_eq_int(judge_parse(NULL, &j, NULL), RK_EINVAL);
	json_t *v = rkj_value("[]");
	t_eq_int(judge_parse(v, &j, NULL), RK_EINVAL);
	json_decref(v);
}

T_CASE(names_are_cleaned_and_those_that_are_missing_are_numbers)
{
	struct judge *j = some(JUDGE_TASK_CLASSES, 4, 10);
	json_t *names = json_pack("[s, s, n]", "a\"b\x07\xc3\xa9", "");
	json_t *r = judge_report(j, names);
	const json_t *c = json_object_get(r, "classes");
	static const char *const want[] = { "a\"b?\xc3\xa9", "1", "2", "3" };

	for (size_t i = 0; i < 4; i++)
		t_eq_str(json_string_value(json_object_get(json_array_get(c,
		    i), "name")), want[i]);
	json_decref(names);
	json_decref(r);
	judge_free(j);
}

T_MAIN
