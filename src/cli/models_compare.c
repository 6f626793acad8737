/* rekindle models compare, card: two versions side by side, a page of one. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models.h"

#define VALUE_SHOWN 60          /* bytes of a field of a job */

static const char *
change(char out[FIGURE], const json_t *v)
{
	if (json_is_number(v))
		snprintf(out, FIGURE, "%+.4f", json_number_value(v));
	else
		snprintf(out, FIGURE, "-");
	return out;
}

static void
metrics_table(const json_t *list, const char *a, const char *b)
{
	const char *head[] = { "METRIC", a, b, "DIFFERENCE" };
	struct cli_table t = {0};
	const json_t *m;
	size_t i;

	if (json_array_size(list) == 0) {
		printf("no metrics are recorded\n");
		return;
	}
	cli_table_row(&t, RK_ARRAY_LEN(head), head);
	json_array_foreach(list, i, m) {
		char of_a[FIGURE], of_b[FIGURE], d[FIGURE];
		const char *cells[] = { cli_str(m, "metric"),
		    models_figure(of_a, json_object_get(m, "a")),
		    models_figure(of_b, json_object_get(m, "b")),
		    change(d, json_object_get(m, "difference")) };
		cli_table_row(&t, RK_ARRAY_LEN(cells), cells);
	}
	cli_table_print(&t);
}

static void
classes_table(const json_t *list, const char *a, const char *b)
{
	char *recall_a = xasprintf("RECALL %s", a), *f1_a = xasprintf("F1 %s",
	    a);
	const char *head[] = { "CLASS", recall_a, b, "DIFFERENCE", f1_a, b,
	    "DIFFERENCE" };
	static const char *const keys[] = { "recall", "f1" };
	struct cli_table t = {0};
	const json_t *c;
	size_t i;

	if (json_array_size(list) > 0)
		cli_table_row(&t, RK_ARRAY_LEN(head), head);
	json_array_foreach(list, i, c) {
		const char *cells[7] = { cli_str(c, "name") };
		char text[6][FIGURE];
		for (size_t k = 0; k < RK_ARRAY_LEN(keys); k++) {
			cells[1 + 3 * k] = models_figure(text[3 * k],
			    json_object_get(json_object_get(c, "a"), keys[k]));
			cells[2 + 3 * k] = models_figure(text[3 * k + 1],
			    json_object_get(json_object_get(c, "b"), keys[k]));
			cells[3 + 3 * k] = change(text[3 * k + 2],
			    json_object_get(json_object_get(c, "difference"),
			    keys[k]));
		}
		cli_table_row(&t, RK_ARRAY_LEN(cells), cells);
	}
	if (t.rows > 0)
		cli_table_print(&t);
	free(recall_a);
	free(f1_a);
}

static void
data_line(const json_t *data, const char *key, const char *what)
{
	const json_t *equal = json_object_get(json_object_get(data, key),
	    "equal");

	printf("%s data: %s\n", what, json_is_true(equal) ? "the same" :
	    json_is_false(equal) ? "not the same" : "not recorded of both");
}

static void
tensor_names(const json_t *list, const char *only)
{
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v) {
		char *shape = cli_value(v, "shape");
		char *name = models_line(cli_str(v, "name"));
		printf("  %s %s, only in %s\n", name, shape, only);
		free(name);
		free(shape);
	}
}

static void
show_tensors(const json_t *t, const char *a, const char *b)
{
	const json_t *other = json_object_get(t, "different"), *v;
	size_t i;

	if (!json_is_object(t)) {
		printf("tensors: not recorded of both\n");
		return;
	}
	printf("tensors: %.0f of the same shape, %zu of another, %zu only in "
	    "%s, %zu only in %s\n", cli_num(t, "same", 0),
	    json_array_size(other), json_array_size(json_object_get(t,
	    "only_a")), a, json_array_size(json_object_get(t, "only_b")), b);
	json_array_foreach(other, i, v) {
		char *was = cli_value(json_object_get(v, "a"), "shape");
		char *is = cli_value(json_object_get(v, "b"), "shape");
		char *name = models_line(cli_str(v, "name"));
		printf("  %s %s -> %s\n", name, was, is);
		free(name);
		free(was);
		free(is);
	}
	tensor_names(json_object_get(t, "only_a"), a);
	tensor_names(json_object_get(t, "only_b"), b);
}

/* A value as one short line. */
static char *
value_of(const json_t *o, const char *key)
{
	char *s = rk_text_clean(cli_value(o, key));

	if (strlen(s) <= VALUE_SHOWN)
		return s;
	char *cut = xasprintf("%.*s...", (int)rk_text_fit(s, VALUE_SHOWN), s);
	free(s);
	return cut;
}

static void
show_jobs(const json_t *list, const char *a, const char *b)
{
	const char *head[] = { "FIELD OF THE JOB", a, b };
	struct cli_table t = { .cut = true };
	const json_t *v;
	size_t i;

	if (!json_is_array(list)) {
		printf("jobs: not recorded of both\n");
		return;
	}
	if (json_array_size(list) == 0) {
		printf("jobs: the same in every field\n");
		return;
	}
	cli_table_row(&t, RK_ARRAY_LEN(head), head);
	json_array_foreach(list, i, v) {
		char *of_a = value_of(v, "a"), *of_b = value_of(v, "b");
		const char *cells[] = { cli_str(v, "path"), of_a, of_b };
		cli_table_row(&t, RK_ARRAY_LEN(cells), cells);
		free(of_a);
		free(of_b);
	}
	cli_table_print(&t);
}

static void
show_comparison(const json_t *c)
{
	char *a = models_label(json_object_get(c, "a"));
	char *b = models_label(json_object_get(c, "b"));
	const json_t *same = json_object_get(c, "same_data"), *v;
	const json_t *data = json_object_get(c, "data");
	size_t i;

	if (json_is_true(json_object_get(c, "same_model")))
		printf("%s and %s have the same bytes\n", a, b);
	metrics_table(json_object_get(c, "metrics"), a, b);
	data_line(data, "train", "training");
	data_line(data, "validation", "validation");
	json_array_foreach(same, i, v) {
		char *source = models_line(cli_str(v, "source"));
		printf("\nmeasured on the same data, %s%s%.12s\n", source,
		    *source != '\0' ? ", " : "", cli_str(v, "digest"));
		metrics_table(json_object_get(v, "metrics"), a, b);
		free(source);
	}
	putchar('\n');
	classes_table(json_object_get(c, "per_class"), a, b);
	show_tensors(json_object_get(c, "tensors"), a, b);
	putchar('\n');
	show_jobs(json_object_get(c, "jobs"), a, b);
	free(a);
	free(b);
}

enum cli_exit
models_compare(const struct cli_args *a)
{
	struct cli_reply r;
	struct which w;
	enum cli_exit rc = which_parse(&w, a->pos[1]);

	if (rc != CLI_OK)
		return rc;
	char *other = xasprintf("%s%s%s", w.name, w.way == BY_ALIAS ? "@" :
	    w.way == BY_NUMBER ? "/" : "", w.way == BY_NEWEST ? "" :
	    w.version);
	char *with = cli_escape(other);
	char *tail = xasprintf("/compare?with=%s", with);
	rc = which_get(a->pos[0], tail, &r);
	if (rc == CLI_OK && a->json)
		cli_print_json(r.json);
	else if (rc == CLI_OK)
		show_comparison(r.json);
	if (rc == CLI_OK)
		models_say_age(r.json);
	cli_reply_fini(&r);
	free(tail);
	free(with);
	free(other);
	return rc;
}

enum cli_exit
models_card(const struct cli_args *a)
{
	struct cli_reply r;
	const enum cli_exit rc = which_get(a->pos[0], "/card", &r);

	if (rc == CLI_OK && a->json) {
		json_t *o = json_pack("{s:s}", "card", r.text);
		cli_print_json(o);
		json_decref(o);
	} else if (rc == CLI_OK) {
		fwrite(r.text, 1, r.len, stdout);
	}
	cli_reply_fini(&r);
	return rc;
}
