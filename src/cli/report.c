/* What predict and evaluate say when they have waited for their job: what is in
 * its report.json, and where the rest is. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define SHOWN 20                /* classes, files, samples of a list */
#define WORST 10

static void
number(char out[32], const json_t *o, const char *key, const char *fmt)
{
	const double v = cli_num(o, key, NAN);

	if (isnan(v))
		snprintf(out, 32, "-");
	else
		snprintf(out, 32, fmt, v);
}

/* --- predict -------------------------------------------------------------- */

static int
by_samples(const void *a, const void *b)
{
	const double x = cli_num(*(json_t *const *)a, "samples", 0);
	const double y = cli_num(*(json_t *const *)b, "samples", 0);

	return x < y ? 1 : x > y ? -1 : 0;
}

/* Those that anything was said to be, the most frequent first. */
static void
show_classes(const json_t *classes)
{
	static const char *const head[] = { "CLASS", "NAME", "SAMPLES",
	    "MEAN PROBABILITY" };
	const size_t all = json_array_size(classes);
	json_t **v = xcalloc(all + 1, sizeof(json_t *));
	struct cli_table t = {0};
	size_t n = 0;

	for (size_t i = 0; i < all; i++) {
		json_t *c = json_array_get(classes, i);
		if (cli_num(c, "samples", 0) > 0)
			v[n++] = c;
	}
	qsort(v, n, sizeof(json_t *), by_samples);
	if (n > 0)
		cli_table_row(&t, RK_ARRAY_LEN(head), head);
	for (size_t i = 0; i < n && i < SHOWN; i++) {
		char text[3][32];
		number(text[0], v[i], "class", "%.0f");
		number(text[1], v[i], "samples", "%.0f");
		number(text[2], v[i], json_object_get(v[i], "mean_score") !=
		    NULL ? "mean_score" : "mean_probability", "%.4f");
		const char *cells[] = { text[0], cli_str(v[i], "name"), text[1],
		    text[2] };
		cli_table_row(&t, RK_ARRAY_LEN(cells), cells);
	}
	if (n > 0)
		cli_table_print(&t);
	if (n > SHOWN)
		printf("and %zu more classes\n", n - SHOWN);
	free(v);
}

static void
show_failed(const json_t *report)
{
	const json_t *list = json_object_get(report, "failed_inputs"), *v;
	const double failed = cli_num(report, "failed", 0);
	const double nothing = cli_num(report, "nothing", 0);
	size_t i;

	if (nothing > 0)
		printf("of %.0f sample%s nothing is predicted: the outputs are "
		    "not finite\n", nothing, rk_s((int64_t)nothing));
	if (failed > 0)
		printf("%.0f input%s could not be read\n", failed,
		    rk_s((int64_t)failed));
	json_array_foreach(list, i, v) {
		if (i < SHOWN)
			printf("  %s: %s\n", cli_str(v, "input"), cli_str(v,
			    "error"));
	}
}

static void
show_value(const json_t *value)
{
	char text[3][32];

	if (!json_is_object(value))
		return;
	number(text[0], value, "mean", "%.6g");
	number(text[1], value, "least", "%.6g");
	number(text[2], value, "most", "%.6g");
	printf("values: mean %s, least %s, most %s\n", text[0], text[1],
	    text[2]);
}

/* --- evaluate ------------------------------------------------------------- */

static void
show_worst(const json_t *worst)
{
	static const char *const head[] = { "ROW", "LABEL", "SAID TO BE",
	    "LOSS" };
	const size_t n = RK_MIN(json_array_size(worst), (size_t)WORST);
	struct cli_table t = {0};

	if (n > 0) {
		printf("worst\n");
		cli_table_row(&t, RK_ARRAY_LEN(head), head);
	}
	for (size_t i = 0; i < n; i++) {
		const json_t *w = json_array_get(worst, i);
		const char *label = cli_str(w, "label_name");
		const char *name = cli_str(w, "name");
		char *text[2] = { cli_value(w, "label"), cli_value(w,
		    "class") }, row[32], loss[32];
		number(row, w, "row", "%.0f");
		number(loss, w, "loss", "%.4f");
		const char *cells[] = { row, *label != '\0' ? label : text[0],
		    *name != '\0' ? name : text[1], loss };
		cli_table_row(&t, RK_ARRAY_LEN(cells), cells);
		free(text[0]);
		free(text[1]);
	}
	if (n > 0)
		cli_table_print(&t);
}

static void
show_loss(const json_t *report)
{
	static const char *const keys[] = { "loss", "accuracy" };
	const json_t *metrics = json_object_get(report, "metrics");

	for (size_t i = 0; i < RK_ARRAY_LEN(keys); i++) {
		const double v = cli_num(report, keys[i], NAN);
		if (!isnan(v) && json_object_get(metrics, keys[i]) == NULL)
			printf("  %-16s %.6g\n", keys[i], v);
	}
}

/* --- both ----------------------------------------------------------------- */

static void
show_place(const char *what, const char *id, const char *tail)
{
	const char *server = cli_server_text();

	if (strncmp(server, "http", 4) == 0)
		printf("%-12s %s/v1/jobs/%s/%s\n", what, server, id, tail);
	else
		printf("%-12s /v1/jobs/%s/%s of the daemon at %s\n", what, id,
		    tail, server);
}

void
cli_report(const json_t *report, const char *id, const char *out)
{
	const double n = cli_num(report, "samples", 0);
	const double inputs = cli_num(report, "inputs", 0);
	char digits[RK_HUMAN];

	printf("%s sample%s", rk_group_digits(digits, (int64_t)n),
	    rk_s((int64_t)n));
	if (inputs > 0)
		printf(" of %.0f input%s", inputs, rk_s((int64_t)inputs));
	putchar('\n');
	if (json_object_get(report, "metrics") == NULL) {
		show_failed(report);
		show_value(json_object_get(report, "value"));
		show_classes(json_object_get(report, "classes"));
	} else {
		show_loss(report);
		cli_judged(report);
		show_worst(json_object_get(report, "worst"));
	}
	if (out != NULL)
		printf("%-12s %s\n", "predictions", out);
	else
		show_place("predictions", id, "predictions");
	show_place("report", id, "report");
}
