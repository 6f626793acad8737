/* The commands about evaluations: evaluations, plot. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rekindle/base_folders.h"
#include "rekindle/judge.h"
#include "cli.h"

#define CONFUSED 10             /* pairs of classes that are shown */

static void
cell(char out[32], const json_t *o, const char *key, const char *fmt)
{
	const double v = cli_num(o, key, NAN);

	if (isnan(v))
		snprintf(out, 32, "-");
	else
		snprintf(out, 32, fmt, v);
}

/* --- the list ------------------------------------------------------------- */

static void
entry_row(struct cli_table *t, const json_t *e)
{
	static const struct {
		const char *key, *fmt;
		bool metric;
	} columns[] = {
		{ "evaluation", "%.0f", false }, { "step", "%.0f", false },
		{ "epoch", "%.0f", false }, { "attempt", "%.0f", false },
		{ "rows", "%.0f", false }, { "loss", "%.4f", true },
		{ "accuracy", "%.4f", true }, { "top5", "%.4f", true },
		{ "macro_f1", "%.4f", true }, { "ece", "%.4f", true },
		{ "mae", "%.4g", true },
	};
	char text[RK_ARRAY_LEN(columns)][32];
	const char *cells[RK_ARRAY_LEN(columns)];

	for (size_t i = 0; i < RK_ARRAY_LEN(columns); i++) {
		cell(text[i], columns[i].metric ? json_object_get(e,
		    "metrics") : e, columns[i].key, columns[i].fmt);
		cells[i] = text[i];
	}
	cli_table_row(t, RK_ARRAY_LEN(columns), cells);
}

static enum cli_exit
list(const struct cli_args *a)
{
	static const char *const head[] = { "NUMBER", "STEP", "EPOCH",
	    "ATTEMPT", "SAMPLES", "LOSS", "ACCURACY", "TOP5", "MACRO F1",
	    "ECE", "MAE" };
	struct cli_table t = {0};
	char id[RK_ID];
	const json_t *e;
	size_t i;
	bool more;
	enum cli_exit rc = cli_find_job(a->pos[0], id);

	if (rc != CLI_OK)
		return rc;
	json_t *all = json_array();
	char *path = xasprintf("/v1/jobs/%s/evaluations", id);
	rc = cli_walk(path, "", "evaluations", INT64_MAX, all, &more);
	free(path);
	if (rc == CLI_OK && a->json) {
		cli_print_json(all);
	} else if (rc == CLI_OK && json_array_size(all) == 0) {
		printf("no evaluations\n");
	} else if (rc == CLI_OK) {
		cli_table_row(&t, RK_ARRAY_LEN(head), head);
		json_array_foreach(all, i, e)
			entry_row(&t, e);
		cli_table_print(&t);
	}
	json_decref(all);
	return rc;
}

/* --- one ------------------------------------------------------------------ */

static void
show_metrics(const json_t *e)
{
	const json_t *v;
	const char *key;

	json_object_foreach(json_object_get(e, "metrics"), key, v)
		printf("  %-16s %.6g\n", key, json_is_number(v) ?
		    json_number_value(v) : NAN);
}

static void
show_head(const json_t *e)
{
	char rows[RK_HUMAN];

	printf("evaluation %.0f: step %.0f, epoch %.0f, attempt %.0f; %s "
	    "samples", cli_num(e, "evaluation", 0), cli_num(e, "step", 0),
	    cli_num(e, "epoch", 0), cli_num(e, "attempt", 0),
	    rk_group_digits(rows, (int64_t)cli_num(e, "rows", 0)));
	static const char *const others[] = { "skipped", "ignored",
	    "not_finite" };
	for (size_t i = 0; i < RK_ARRAY_LEN(others); i++)
		if (cli_num(e, others[i], 0) > 0)
			printf(", %.0f %s", cli_num(e, others[i], 0),
			    others[i]);
	putchar('\n');
	show_metrics(e);
}

static void
show_classes(const json_t *classes)
{
	static const char *const head[] = { "CLASS", "NAME", "SAMPLES",
	    "PREDICTED", "PRECISION", "RECALL", "F1" };
	struct cli_table t = {0};
	const json_t *c;
	size_t i;

	if (json_array_size(classes) == 0)
		return;
	cli_table_row(&t, RK_ARRAY_LEN(head), head);
	json_array_foreach(classes, i, c) {
		char text[6][32];
		cell(text[0], c, "class", "%.0f");
		cell(text[1], c, "support", "%.0f");
		cell(text[2], c, "predicted", "%.0f");
		cell(text[3], c, "precision", "%.4f");
		cell(text[4], c, "recall", "%.4f");
		cell(text[5], c, "f1", "%.4f");
		const char *cells[] = { text[0], cli_str(c, "name"), text[1],
		    text[2], text[3], text[4], text[5] };
		cli_table_row(&t, RK_ARRAY_LEN(cells), cells);
	}
	cli_table_print(&t);
}

/* Labels, what they were taken for, and how often; the most first. */
static void
show_confused(const json_t *e)
{
	const json_t *cells = json_object_get(json_object_get(e, "counts"),
	    "cells");
	const json_t *classes = json_object_get(e, "classes");
	const size_t n = RK_MIN(json_array_size(cells), 3 * CONFUSED);

	if (n >= 3)
		printf("most confused\n");
	for (size_t i = 0; i + 2 < n; i += 3) {
		const char *name[2];
		for (size_t k = 0; k < 2; k++)
			name[k] = cli_str(json_array_get(classes, (size_t)
			    json_integer_value(json_array_get(cells, i + k))),
			    "name");
		printf("  %s taken for %s: %lld\n", name[0], name[1],
		    (long long)json_integer_value(json_array_get(cells,
		    i + 2)));
	}
}

/* Cells off the diagonal of a confusion, [label, class, rows]; a new list, not
 * in order. */
static json_t *
cells_of(const json_t *confusion)
{
	const json_t *rows = json_object_get(confusion, "matrix"), *row, *n;
	json_t *cells = json_object_get(confusion, "cells");
	size_t i, k;

	if (cells != NULL)
		return json_copy(cells);
	cells = json_array();
	json_array_foreach(rows, i, row)
		json_array_foreach(row, k, n)
			if (i != k && json_integer_value(n) > 0)
				must(json_array_append_new(cells, json_pack(
				    "[i, i, O]", (int)i, (int)k, n)) == 0);
	return cells;
}

static json_int_t
rows_of(const json_t *cell)
{
	return json_integer_value(json_array_get(cell, 2));
}

void
cli_judged(const json_t *report)
{
	const json_t *classes = json_object_get(report, "classes");
	json_t *cells = cells_of(json_object_get(report, "confusion"));

	show_metrics(report);
	show_classes(classes);
	for (int i = 0; i < CONFUSED && json_array_size(cells) > 0; i++) {
		size_t most = 0;
		for (size_t k = 1; k < json_array_size(cells); k++)
			if (rows_of(json_array_get(cells, k)) > rows_of(
			    json_array_get(cells, most)))
				most = k;
		const json_t *c = json_array_get(cells, most);
		const char *name[2];
		for (size_t k = 0; k < 2; k++)
			name[k] = cli_str(json_array_get(classes, (size_t)
			    json_integer_value(json_array_get(c, k))), "name");
		printf("%s  %s taken for %s: %lld\n", i == 0 ?
		    "most confused\n" : "", name[0], name[1],
		    (long long)rows_of(c));
		must(json_array_remove(cells, most) == 0);
	}
	json_decref(cells);
}

static enum cli_exit
show(const struct cli_args *a)
{
	struct cli_reply r;
	char *which = cli_escape(a->pos[1]);
	char *tail = xasprintf("/evaluations/%s", which);
	enum cli_exit rc = cli_get(a, tail, &r);

	free(tail);
	free(which);
	if (rc == CLI_OK && a->json) {
		cli_print_json(r.json);
	} else if (rc == CLI_OK) {
		show_head(r.json);
		show_classes(json_object_get(r.json, "classes"));
		show_confused(r.json);
	}
	cli_reply_fini(&r);
	return rc;
}

enum cli_exit
cmd_evaluations(const struct cli_args *a)
{
	return a->npos > 1 ? show(a) : list(a);
}

/* --- plot ----------------------------------------------------------------- */

struct pictures {
	const char *path;
	int fd;
	json_t *files;                  /* what was written */
};

static enum cli_exit
cannot(const struct pictures *f, const char *what, const char *why)
{
	fprintf(stderr, "rekindle: cannot write %s/%s: %s\n", f->path, what,
	    why);
	return CLI_REFUSED;
}

static enum cli_exit
save(struct pictures *f, const char *name, const struct strbuf *b)
{
	enum rk_err rc = rk_replace_file(f->fd, name, b->s, b->len);

	if (rc != RK_OK)
		return cannot(f, name, rk_strerror(rc));
	must(json_array_append_new(f->files, json_sprintf("%s/%s", f->path,
	    name)) == 0);
	return CLI_OK;
}

static enum cli_exit
plot_curves(struct pictures *f, const char *id, const char *title)
{
	struct strbuf b = {0};
	json_t *lines = json_array();
	char *path = xasprintf("/v1/jobs/%s/metrics", id);
	bool more;
	enum cli_exit rc = cli_walk(path, "", "metrics", INT64_MAX, lines,
	    &more);

	free(path);
	if (rc == CLI_OK && judge_draw_curves(lines, title, &b))
		rc = save(f, JUDGE_CURVES_SVG, &b);
	sb_fini(&b);
	json_decref(lines);
	return rc;
}

static enum cli_exit
plot_judge(struct pictures *f, const struct judge *j, const json_t *names)
{
	struct strbuf b = {0};
	enum cli_exit rc = CLI_OK;

	if (judge_draw_confusion(j, names, &b))
		rc = save(f, JUDGE_CONFUSION_SVG, &b);
	sb_reset(&b);
	if (rc == CLI_OK && judge_draw_reliability(j, &b))
		rc = save(f, JUDGE_RELIABILITY_SVG, &b);
	sb_fini(&b);
	return rc;
}

/* Of the newest evaluation, if there is one. */
static enum cli_exit
plot_evaluation(struct pictures *f, const char *id)
{
	char *path = xasprintf("/v1/jobs/%s/evaluations/latest", id);
	json_t *names = json_array(), *c;
	enum cli_exit rc = CLI_OK;
	struct judge *j = NULL;
	struct cli_reply r;
	char why[CLI_WHY];
	size_t i;

	enum cli_look found = cli_look(path, &r, why);
	free(path);
	if (found != CLI_LOOK_OK && found != CLI_LOOK_GONE) {
		fprintf(stderr, "rekindle: %s\n", why);
		rc = found == CLI_LOOK_NOBODY ? CLI_NO_SERVER : CLI_REFUSED;
	}
	json_array_foreach(json_object_get(r.json, "classes"), i, c)
		must(json_array_append_new(names, json_string(cli_str(c,
		    "name"))) == 0);
	if (found == CLI_LOOK_OK && judge_parse(json_object_get(r.json,
	    "counts"), &j, NULL) == RK_OK)
		rc = plot_judge(f, j, names);
	judge_free(j);
	json_decref(names);
	cli_reply_fini(&r);
	return rc;
}

static enum cli_exit
open_folder(struct pictures *f)
{
	char *which;
	int e = rk_make_folders(f->path, 0777, &which);

	free(which);
	if (e == 0) {
		f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		e = errno;
	}
	return f->fd >= 0 ? CLI_OK : cannot(f, JUDGE_CURVES_SVG, strerror(e));
}

enum cli_exit
cmd_plot(const struct cli_args *a)
{
	struct pictures f = { .path = a->pos[1], .fd = -1 };
	struct cli_reply job;
	json_t *file;
	size_t i;
	enum cli_exit rc = cli_get(a, "", &job);

	if (rc == CLI_OK)
		rc = open_folder(&f);
	f.files = json_array();
	if (rc == CLI_OK)
		rc = plot_curves(&f, cli_str(job.json, "id"),
		    cli_str(job.json, "name"));
	if (rc == CLI_OK)
		rc = plot_evaluation(&f, cli_str(job.json, "id"));
	if (rc == CLI_OK && a->json)
		cli_print_json(f.files);
	else if (rc == CLI_OK && json_array_size(f.files) == 0)
		printf("nothing has been measured yet\n");
	else if (rc == CLI_OK)
		json_array_foreach(f.files, i, file)
			printf("%s\n", cli_text(file));
	json_decref(f.files);
	cli_reply_fini(&job);
	rk_close(&f.fd);
	return rc;
}
