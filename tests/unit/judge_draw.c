/* Pictures: well-formed, escaped, small, the same bytes each time. */
#include "rekindle/judge.h"
#include "t.h"

/* --- is it XML? ----------------------------------------------------------- */

static void
check_text(const char *s, const char *end)
{
	for (; s < end; s++) {
		if (*s == '&')
			t_check(strncmp(s, "&amp;", 5) == 0 ||
			    strncmp(s, "&lt;", 4) == 0 ||
			    strncmp(s, "&gt;", 4) == 0 ||
			    strncmp(s, "&quot;", 6) == 0 ||
			    strncmp(s, "&#39;", 5) == 0);
		if ((unsigned char)*s < 32)
			t_check(*s == '\n');
	}
}

/* Tags that are closed in their order, attributes in quotes, text escaped: all
 * of XML that a picture uses. */
static void
is_xml(const char *s)
{
	char open[16][16];
	int depth = 0, roots = 0;

	while (*s != '\0') {
		const char *lt = strchr(s, '<');
		check_text(s, lt != NULL ? lt : s + strlen(s));
		if (lt == NULL)
			break;
		const char *gt = lt + 1;
		for (bool quoted = false; *gt != '>' || quoted; gt++) {
			t_check(*gt != '\0' && *gt != '<');
			quoted ^= *gt == '"';
		}
		char name[16] = "";
		t_check(sscanf(lt + 1, "%*[/]%15[a-z]", name) == 1 ||
		    sscanf(lt + 1, "%15[a-z]", name) == 1);
		if (lt[1] == '/') {
			t_check(depth > 0);
			t_eq_str(name, open[--depth]);
		} else if (gt[-1] != '/') {
			t_check(depth < 16);
			roots += depth == 0;
			snprintf(open[depth++], 16, "%s", name);
		}
		s = gt + 1;
	}
	t_eq_int(depth, 0);
	t_eq_int(roots, 1);
}

static void
is_picture(const char *s)
{
	is_xml(s);
	t_check(strncmp(s, "<svg xmlns=\"http://www.w3.org/2000/svg\"", 39) ==
	    0);
	t_check(strstr(s, "nan") == NULL && strstr(s, "inf") == NULL);
	t_check(strstr(s, "script") == NULL && strstr(s, "href") == NULL);
	t_check(strlen(s) < 200000);
}

/* --- what is drawn -------------------------------------------------------- */

static struct judge *
some(enum judge_task task, int64_t k, int64_t rows)
{
	struct judge_want w = { .task = task, .outputs = k, .ignore = -1,
		.logits = true };
	struct judge *j = judge_new(&w);
	float *z = calloc((size_t)k, sizeof(*z)), *t = calloc((size_t)k,
	    sizeof(*t));

	for (int64_t i = 0; i < rows; i++) {
		const int32_t y = (int32_t)(rk_draw_u32(3, 2, 0,
		    (uint64_t)i) % (uint64_t)k);
		for (int64_t l = 0; l < k; l++) {
			z[l] = rk_draw_normal(3, 0, (uint32_t)l, (uint64_t)i);
			t[l] = l == y;
		}
		z[y] += 2;
		judge_add(j, 1, z, &y, t, NULL);
	}
	free(z);
	free(t);
	return j;
}

/* Of k classes; rows come by sure_rows(). */
static struct judge *
empty(int64_t k)
{
	struct judge_want w = { .task = JUDGE_TASK_CLASSES, .outputs = k,
		.ignore = -1, .logits = true };

	return judge_new(&w);
}

/* Rows of this label, all taken for `class` with confidence 1. */
static void
sure_rows(struct judge *j, int64_t k, int32_t label, int32_t class, int rows)
{
	float *z = calloc((size_t)k, sizeof(*z));

	z[class] = 100;
	for (int i = 0; i < rows; i++)
		judge_add(j, 1, z, &label, NULL, NULL);
	free(z);
}

/* Twice, and the same; the caller frees. */
static char *
confusion(const struct judge *j, const json_t *names)
{
	struct strbuf a = {0}, b = {0};

	t_check(judge_draw_confusion(j, names, &a));
	t_check(judge_draw_confusion(j, names, &b));
	t_eq_str(sb_str(&a), sb_str(&b));
	sb_fini(&b);
	is_picture(sb_str(&a));
	return sb_detach(&a);
}

/* The same of some rows, without names. */
static char *
confusion_of(enum judge_task task, int64_t k, int64_t rows)
{
	struct judge *j = some(task, k, rows);
	char *s = confusion(j, NULL);

	judge_free(j);
	return s;
}

T_CASE(a_matrix_has_its_numbers_and_names)
{
	struct judge *j = some(JUDGE_TASK_CLASSES, 3, 300);
	json_t *names = json_pack("[s, s, s]", "cat", "dog",
	    "<b>&\"'\x01\xef\xbf\xbf</b>");
	char *s = confusion(j, names);

	t_has(s, ">cat</text>");
	t_has(s, "&lt;b&gt;&amp;&quot;&#39;??&lt;/b&gt;");
	t_has(s, "300 rows right");
	free(s);
	json_decref(names);
	judge_free(j);
}

T_CASE(a_cell_has_the_rows_of_its_label_and_class)
{
	struct judge *j = empty(2);

	sure_rows(j, 2, 0, 0, 30);
	sure_rows(j, 2, 0, 1, 7);
	sure_rows(j, 2, 1, 1, 400);
	char *s = confusion(j, NULL);
	/* Cells of 48 pixels from 150, 60: a row a label, a column a class. */
	t_has(s, "x=\"174\" y=\"88\" text-anchor=\"middle\" "
	    "font-size=\"11\" fill=\"#fff\">30</text>");
	t_has(s, "x=\"222\" y=\"88\" text-anchor=\"middle\" "
	    "font-size=\"11\" fill=\"#222\">7</text>");
	t_has(s, "x=\"222\" y=\"136\" text-anchor=\"middle\" "
	    "font-size=\"11\" fill=\"#fff\">400</text>");
	free(s);
	judge_free(j);
}

T_CASE(the_class_without_errors_is_left_out)
{
	json_t *names = json_array();
	struct judge *j = empty(41);

	for (int32_t k = 0; k < 41; k++) {
		must(json_array_append_new(names, json_sprintf("c%d", k)) ==
		    0);
		sure_rows(j, 41, k, k == 7 ? 7 : (k + (k == 6 ? 2 : 1)) % 41,
		    1);
	}
	char *s = confusion(j, names);
	t_has(s, ">c6</text>");
	t_has(s, ">c8</text>");
	t_check(strstr(s, ">c7</text>") == NULL);
	free(s);
	json_decref(names);
	judge_free(j);
}

T_CASE(of_ten_thousand_classes_some_are_drawn)
{
	char *s = confusion_of(JUDGE_TASK_CLASSES, 10000, 200);

	t_has(s, "40 of 10,000 classes, those with the most errors");
	free(s);
	s = confusion_of(JUDGE_TASK_CLASSES, 41, 2000);
	t_has(s, "40 of 41 classes, those with the most errors");
	free(s);
	s = confusion_of(JUDGE_TASK_CLASSES, 40, 2000);
	t_check(strstr(s, "with the most errors") == NULL);
	free(s);
}

T_CASE(labels_and_a_single_class_are_drawn_too)
{
	char *s = confusion_of(JUDGE_TASK_LABELS, 3, 50);

	t_has(s, "wrongly said");
	free(s);
	s = confusion_of(JUDGE_TASK_LABELS, 1, 50);
	t_has(s, "wrongly said");
	free(s);
	s = confusion_of(JUDGE_TASK_CLASSES, 1, 50);
	t_has(s, "50 of 50 rows right");
	free(s);
}

T_CASE(nothing_is_drawn_of_numbers)
{
	struct judge_want w = { .task = JUDGE_TASK_NUMBERS, .outputs = 1 };
	struct judge *j = judge_new(&w);
	struct strbuf b = {0};

	t_check(!judge_draw_confusion(j, NULL, &b));
	t_check(!judge_draw_reliability(j, &b));
	t_eq_int(b.len, 0);
	judge_free(j);
}

T_CASE(reliability_is_drawn_also_of_no_rows)
{
	struct strbuf b = {0};
	struct judge *j = some(JUDGE_TASK_CLASSES, 3, 300);

	t_check(judge_draw_reliability(j, &b));
	is_picture(sb_str(&b));
	t_has(sb_str(&b), "calibration error 0.");
	judge_free(j);
	sb_reset(&b);
	j = some(JUDGE_TASK_LABELS, 3, 0);
	t_check(judge_draw_reliability(j, &b));
	is_picture(sb_str(&b));
	t_has(sb_str(&b), "no rows");
	judge_free(j);
	sb_fini(&b);
}

T_CASE(a_bin_is_as_high_as_what_is_right_and_its_gap_is_red)
{
	struct judge *j = empty(3);
	struct strbuf b = {0};

	sure_rows(j, 3, 1, 1, 5);
	sure_rows(j, 3, 0, 1, 5);
	t_check(judge_draw_reliability(j, &b));
	is_picture(sb_str(&b));
	t_has(sb_str(&b), "calibration error 0.5000");
	/* Half of 300 pixels from 50 is right, the other half is not. */
	t_has(sb_str(&b), "y=\"200\" width=\"18\" height=\"150\" "
	    "fill=\"#1f5a96\"");
	t_has(sb_str(&b), "y=\"50\" width=\"18\" height=\"150\" "
	    "fill=\"#b23a3a\"");
	sb_fini(&b);
	judge_free(j);
}

/* --- curves --------------------------------------------------------------- */

static void
line(json_t *lines, const char *split, int64_t attempt, int64_t step,
    double loss)
{
	json_t *o = json_pack("{s:s, s:s, s:I, s:I, s:f, s:f, s:f}", "split",
	    split, "over", "steps", "attempt", (json_int_t)attempt,
	    "step", (json_int_t)step, "loss", loss, "accuracy", 1 - loss / 10,
	    "learning_rate", 1e-3 / (double)(step + 1));

	must(json_array_append_new(lines, o) == 0);
}

static char *
curves(const json_t *lines)
{
	struct strbuf a = {0}, b = {0};

	t_check(judge_draw_curves(lines, "a <job>", &a));
	t_check(judge_draw_curves(lines, "a <job>", &b));
	t_eq_str(sb_str(&a), sb_str(&b));
	sb_fini(&b);
	is_picture(sb_str(&a));
	return sb_detach(&a);
}

static int
count(const char *s, const char *part)
{
	int n = 0;

	for (; (s = strstr(s, part)) != NULL; s++)
		n++;
	return n;
}

T_CASE(what_a_later_attempt_goes_over_again_is_pale)
{
	json_t *lines = json_array();

	for (int i = 1; i <= 10; i++)
		line(lines, "train", 1, i * 10, 2 - i / 10.0);
	line(lines, "validation", 1, 100, 1);
	char *s = curves(lines);
	t_check(strstr(s, "left behind") == NULL);
	t_has(s, "a &lt;job&gt;");
	free(s);
	/* From step 50 on again, and longer. */
	for (int i = 6; i <= 20; i++)
		line(lines, "train", 2, i * 10, 3 - i / 10.0);
	s = curves(lines);
	t_has(s, "left behind");
	/* Pale and strong, of loss and accuracy and the learning rate; and the
	 * validation of both, which is pale. */
	t_eq_int(count(s, "<path "), 2 * 3 + 2);
	free(s);
	json_decref(lines);
}

T_CASE(what_was_left_behind_begins_with_the_first_step_of_the_next_attempt)
{
	json_t *lines = json_array();

	line(lines, "validation", 1, 10, 3);
	line(lines, "validation", 1, 20, 2);
	line(lines, "validation", 2, 20, 2);
	line(lines, "validation", 2, 30, 1);
	char *s = curves(lines);
	/* Of loss and accuracy each. */
	t_eq_int(count(s, "r=\"2.5\" fill=\"#e6c3c3\""), 2 * 1);
	t_eq_int(count(s, "r=\"2.5\" fill=\"#b23a3a\""), 2 * 3);
	free(s);
	json_decref(lines);
}

T_CASE(curves_of_a_long_run_are_small)
{
	json_t *lines = json_array();

	for (int i = 0; i < 200000; i++)
		line(lines, "train", 1 + i / 50, (i / 50) * 10 + i % 50,
		    2 + (i * 7 % 13) / 10.0);
	free(curves(lines));
	json_decref(lines);
}

T_CASE(lines_that_are_none_of_ours_are_passed_over)
{
	json_t *lines = rkj_value("[3, x, {}, [], {split: train}, "
	    "{split: train, over: steps, step: -4, attempt: 1, loss: 1}, "
	    "{split: train, over: steps, step: 4, attempt: 1, loss: 1e300}, "
	    "{split: train, over: steps, step: 4, attempt: 1, loss: null}]");
	struct strbuf b = {0};

	t_check(json_is_array(lines));
	t_check(!judge_draw_curves(lines, "", &b));
	t_check(!judge_draw_curves(NULL, "", &b));
	t_eq_int(b.len, 0);
	/* One alone, whose panels have one value each. */
	line(lines, "train", 1, 0, 0);
	free(curves(lines));
	line(lines, "validation", 1, 0, 1e12);
	free(curves(lines));
	json_decref(lines);
}

T_MAIN
