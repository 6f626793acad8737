/*
 * Words and tables for people.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"

const char *
cli_str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s != NULL ? s : "";
}

double
cli_num(const json_t *o, const char *key, double absent)
{
	const json_t *v = json_object_get(o, key);
	return json_is_number(v) ? json_number_value(v) : absent;
}

void
cli_table_row(struct cli_table *t, size_t n, const char *const *cells)
{
	must(t->n == 0 || t->n == n);
	t->n = n;
	t->cells = xrealloc(t->cells, (t->rows + 1) * n * sizeof(char *));
	for (size_t i = 0; i < n; i++)
		t->cells[t->rows * n + i] = xstrdup(*cells[i] ? cells[i] : "-");
	t->rows++;
}

void
cli_table_print(struct cli_table *t)
{
	for (size_t r = 0; r < t->rows; r++) {
		for (size_t i = 0; i < t->n; i++) {
			size_t w = 0;
			for (size_t k = 0; k < t->rows; k++)
				w = RK_MAX(w, strlen(t->cells[k * t->n + i]));
			const char *s = t->cells[r * t->n + i];
			if (i + 1 == t->n)
				printf("%s\n", s);
			else
				printf("%-*s  ", (int)w, s);
		}
	}
	for (size_t i = 0; i < t->rows * t->n; i++)
		free(t->cells[i]);
	free(t->cells);
	*t = (struct cli_table){0};
}

void
cli_print_json(const json_t *v)
{
	char *s = rkj_pretty(v);

	printf("%s\n", s);
	free(s);
}

char *
cli_age(char *out, size_t n, const char *rfc3339)
{
	struct tm tm = {0};

	if (strptime(rfc3339, "%Y-%m-%dT%H:%M:%S", &tm) == NULL) {
		snprintf(out, n, "-");
		return out;
	}
	long s = (long)(now_ms() / 1000 - (int64_t)timegm(&tm));
	if (s < 0)
		s = 0;
	if (s < 120)
		snprintf(out, n, "%ld s ago", s);
	else if (s < 7200)
		snprintf(out, n, "%ld min ago", s / 60);
	else if (s < 172800)
		snprintf(out, n, "%ld h ago", s / 3600);
	else
		snprintf(out, n, "%ld d ago", s / 86400);
	return out;
}

void
cli_progress_line(struct strbuf *b, const json_t *job, int width)
{
	const json_t *p = json_object_get(job, "progress");
	double step = cli_num(p, "step", 0);
	double total = cli_num(p, "steps_total", 0);
	double part = total > 0 ? RK_MIN(step / total, 1.0) : 0;
	double v;
	char a[RK_HUMAN], c[RK_HUMAN];

	if (width > 0) {
		int full = (int)(part * width);
		sb_addc(b, '[');
		for (int i = 0; i < width; i++)
			sb_addc(b, i < full ? '#' : '-');
		sb_adds(b, "] ");
	}
	sb_addf(b, "%3.0f%%", floor(part * 100));
	sb_addf(b, "  epoch %.0f/%.0f", cli_num(p, "epoch", 0),
	    cli_num(p, "epochs_total", 0));
	sb_addf(b, "  step %s/%s", rk_group_digits(a, (int64_t)step),
	    rk_group_digits(c, (int64_t)total));
	if (!isnan(v = cli_num(p, "loss", NAN)))
		sb_addf(b, "  loss %.4f", v);
	if (!isnan(v = cli_num(p, "accuracy", NAN)))
		sb_addf(b, "  acc %.3f", v);
	if ((v = cli_num(p, "samples_per_second", 0)) > 0)
		sb_addf(b, "  %s samples/s", rk_group_digits(a, (int64_t)v));
	v = cli_num(p, "eta_seconds", -1);
	if (v >= 0 && part < 1)
		sb_addf(b, "  %ld:%02ld:%02ld left", (long)v / 3600,
		    (long)v / 60 % 60, (long)v % 60);
}
