/*
 * Words and tables for people.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

const char *
cli_str(const json_t *o, const char *key)
{
	return cli_text(json_object_get(o, key));
}

/* Of what a person reads no terminal shall obey a part; cleaned in its place,
 * so that it is the tree's as before. */
const char *
cli_text(const json_t *v)
{
	const char *s = json_string_value(v);
	size_t n = s != NULL ? strlen(s) : 0, i = 0;

	while (i < n && rk_mark_len(s + i, n - i) == 0)
		i++;
	if (i < n) {
		char *clean = rk_marks_clean(xstrdup(s));
		must(json_string_set((json_t *)(uintptr_t)v, clean) == 0);
		free(clean);
	}
	s = json_string_value(v);
	return s != NULL ? s : "";
}

/* JSON, in which marks of direction are written as escapes. */
static char *
visible(char *json)
{
	const char *const end = json + strlen(json);
	struct strbuf b = {0};
	char mark[8];

	for (const char *p = json; p < end;) {
		const size_t n = rk_mark_len(p, (size_t)(end - p));
		if (n > 0)
			sb_adds(&b, rk_mark_json(mark, p));
		else
			sb_addc(&b, *p);
		p += RK_MAX(n, (size_t)1);
	}
	free(json);
	return sb_detach(&b);
}

double
cli_num(const json_t *o, const char *key, double absent)
{
	const json_t *v = json_object_get(o, key);
	return json_is_number(v) ? json_number_value(v) : absent;
}

char *
cli_value(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	return v == NULL || json_is_null(v) ? xstrdup("") :
	    visible(rkj_text(v));
}

void
cli_table_row(struct cli_table *t, size_t n, const char *const *cells)
{
	must(t->n == 0 || t->n == n);
	t->n = n;
	t->cells = xrealloc(t->cells, (t->rows + 1) * n * sizeof(char *));
	for (size_t i = 0; i < n; i++)
		t->cells[t->rows * n + i] = rk_text_clean(xstrdup(*cells[i] ?
		    cells[i] : "-"));
	t->rows++;
}

static void
print_row(const struct cli_table *t, size_t row, const size_t *width,
    size_t room)
{
	size_t used = 0;

	for (size_t i = 0; i < t->n; i++) {
		char *s = t->cells[row * t->n + i];
		if (i + 1 < t->n) {
			printf("%s%*s", s, (int)(width[i] - cli_width(s) + 2),
			    "");
			used += width[i] + 2;
			continue;
		}
		/* Of a line that would wrap, the end is left out. */
		if (t->cut && used + 8 < room)
			cli_cut(s, room - used);
		printf("%s\n", s);
	}
}

void
cli_table_print(struct cli_table *t)
{
	const size_t room = isatty(STDOUT_FILENO) ?
	    cli_columns(STDOUT_FILENO) : SIZE_MAX;
	size_t *width = xcalloc(t->n + 1, sizeof(*width));

	for (size_t i = 0; i < t->rows * t->n; i++)
		width[i % t->n] = RK_MAX(width[i % t->n],
		    cli_width(t->cells[i]));
	for (size_t r = 0; r < t->rows; r++)
		print_row(t, r, width, room);
	for (size_t i = 0; i < t->rows * t->n; i++)
		free(t->cells[i]);
	free(t->cells);
	free(width);
	*t = (struct cli_table){0};
}

void
cli_print_json(const json_t *v)
{
	char *s = visible(v != NULL ? rkj_pretty(v) : xstrdup("null"));

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
