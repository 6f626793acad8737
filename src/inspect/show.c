/* What files of weights say, for people and for programs: see inspect.h. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "impl.h"

/* --- JSON ----------------------------------------------------------------- */

/* Texts are UTF-8 by now, but for those of metadata, which are what the file
 * has. */
void
inspect_put_text(struct strbuf *b, const char *s)
{
	char mark[8];

	if (s == NULL) {
		sb_adds(b, "null");
		return;
	}
	sb_addc(b, '"');
	while (*s != '\0') {
		const unsigned char c = (unsigned char)*s;
		const size_t n = rk_utf8_len(s, strlen(s));
		if (c == '"' || c == '\\')
			sb_addf(b, "\\%c", c);
		else if (n == 0)
			sb_adds(b, "\\ufffd");
		else if (c < 0x20 || c == 0x7f)
			sb_addf(b, "\\u%04x", c);
		else if (rk_mark_len(s, n) > 0)
			sb_adds(b, rk_mark_json(mark, s));
		else
			sb_add(b, s, n);
		s += n > 0 ? n : 1;
	}
	sb_addc(b, '"');
}

static void
put_field(struct strbuf *b, const char *key, const char *text)
{
	sb_addf(b, ", \"%s\": ", key);
	inspect_put_text(b, text);
}

static void
put_double(struct strbuf *b, const char *key, bool has, double x)
{
	if (has)
		sb_addf(b, ", \"%s\": %.17g", key, x);
	else
		sb_addf(b, ", \"%s\": null", key);
}

static void
put_count(struct strbuf *b, const char *key, bool has, uint64_t n)
{
	if (has)
		sb_addf(b, ", \"%s\": %" PRIu64, key, n);
	else
		sb_addf(b, ", \"%s\": null", key);
}

static void
put_figures(struct strbuf *b, const struct inspect_figures *f)
{
	char hex[RK_SHA256_HEX];
	const bool has = f->numbers && f->finite > 0;

	rk_hex(hex, f->sha256, sizeof(f->sha256));
	put_double(b, "min", has, f->min);
	put_double(b, "max", has, f->max);
	put_double(b, "mean", has, f->mean);
	put_double(b, "std", has, f->std);
	put_count(b, "nans", f->numbers, f->nans);
	put_count(b, "infinities", f->numbers, f->infinities);
	put_field(b, "sha256", hex);
}

static void
put_shape(struct strbuf *b, const struct weights_tensor *t)
{
	char shape[TENSOR_SHAPE_TEXT];

	sb_addf(b, ", \"shape\": %s", tensor_shape_text(shape, t->ndim, t->d));
}

/* f: NULL without statistics. */
static void
put_tensor(struct strbuf *b, const struct weights *w,
    const struct weights_tensor *t, const struct inspect_figures *f)
{
	sb_adds(b, "{\"name\": ");
	inspect_put_text(b, t->name);
	put_field(b, "path", t->path);
	put_field(b, "alias", t->alias);
	put_field(b, "role", weights_role_words[t->role]);
	put_field(b, "of", t->of);
	put_field(b, "slot", t->slot);
	put_field(b, "dtype", dtype_name(t->dtype));
	put_shape(b, t);
	put_count(b, "count", true, t->count);
	put_count(b, "bytes", true, t->bytes);
	put_field(b, "lie", weights_lie_words[t->lie]);
	put_field(b, "same_as", t->same_as >= 0 ? w->v[t->same_as].name :
	    NULL);
	if (f != NULL)
		put_figures(b, f);
	sb_addc(b, '}');
}

static void
put_value(struct strbuf *b, const struct weights_value *v)
{
	static const char *const kinds[] = { "bool", "int", "float", "text",
		"none" };

	sb_adds(b, "{\"path\": ");
	inspect_put_text(b, v->path);
	put_field(b, "kind", kinds[v->kind]);
	switch (v->kind) {
	case WEIGHTS_BOOL:
		sb_addf(b, ", \"value\": %s", v->i != 0 ? "true" : "false");
		break;
	case WEIGHTS_INT:
		sb_addf(b, ", \"value\": %" PRId64, v->i);
		break;
	case WEIGHTS_FLOAT:
		put_double(b, "value", isfinite(v->f), v->f);
		break;
	case WEIGHTS_TEXT: case WEIGHTS_NONE:
		put_field(b, "value", v->text);
		break;
	}
	sb_addc(b, '}');
}

static void
put_part(struct strbuf *b, const struct weights_part *p)
{
	sb_adds(b, "{\"path\": ");
	inspect_put_text(b, p->path);
	put_field(b, "role", weights_role_words[p->role]);
	put_count(b, "tensors", true, p->tensors);
	put_count(b, "count", true, p->count);
	sb_addc(b, '}');
}

static void
sum_model(const struct weights *w, uint64_t *count, uint64_t *bytes)
{
	*count = *bytes = 0;
	for (size_t i = 0; i < w->n; i++)
		if (w->v[i].role == WEIGHTS_MODEL && w->v[i].same_as < 0) {
			*count += w->v[i].count;
			*bytes += w->v[i].bytes;
		}
}

/* Between two entries of a list that has one a line. */
static void
next(struct strbuf *b, size_t i)
{
	sb_adds(b, i > 0 ? ",\n    " : "\n    ");
}

static void
put_head(struct strbuf *b, const char *path, const struct weights *w)
{
	uint64_t count, bytes;

	sum_model(w, &count, &bytes);
	sb_adds(b, "{\n  \"path\": ");
	inspect_put_text(b, path);
	put_field(b, "format", weights_format_words[w->format]);
	put_field(b, "framework", weights_framework_words[w->framework]);
	put_field(b, "writer", w->writer);
	put_count(b, "size", true, w->size);
	sb_addf(b, ", \"packed\": %s", w->packed ? "true" : "false");
	put_field(b, "model", w->model);
	put_field(b, "optimizer", w->optimizer);
	put_count(b, "parameters", true, count);
	put_count(b, "bytes", true, bytes);
}

static void
put_rest(struct strbuf *b, const struct weights *w)
{
	sb_adds(b, "],\n  \"values\": [");
	for (size_t i = 0; i < w->nvalues; i++) {
		next(b, i);
		put_value(b, &w->values[i]);
	}
	sb_adds(b, "],\n  \"parts\": [");
	for (size_t i = 0; i < w->nparts; i++) {
		next(b, i);
		put_part(b, &w->parts[i]);
	}
	sb_adds(b, "],\n  \"notes\": [");
	for (size_t i = 0; i < w->nnotes; i++) {
		next(b, i);
		inspect_put_text(b, w->notes[i]);
	}
	sb_adds(b, "],\n  \"metadata\": {");
	for (size_t i = 0; w->meta != NULL && w->meta[i] != NULL; i += 2) {
		next(b, i);
		inspect_put_text(b, w->meta[i]);
		sb_adds(b, ": ");
		inspect_put_text(b, w->meta[i + 1]);
	}
	sb_adds(b, "}\n}");
}

static enum rk_err
put_json(struct strbuf *b, const char *path, const struct weights *w,
    bool statistics, struct rk_why *why)
{
	struct inspect_figures f;
	enum rk_err rc = RK_OK;

	put_head(b, path, w);
	sb_adds(b, ",\n  \"tensors\": [");
	for (size_t i = 0; rc == RK_OK && i < w->n; i++) {
		if (statistics)
			rc = inspect_figures(w, &w->v[i], &f, why);
		next(b, i);
		if (rc == RK_OK)
			put_tensor(b, w, &w->v[i], statistics ? &f : NULL);
	}
	put_rest(b, w);
	return rc;
}

/* --- for people ----------------------------------------------------------- */

/* The widest of a column, within what a line has for it. */
static int
widest(const struct weights *w, int most)
{
	int wide = 6;

	for (size_t i = 0; i < w->n; i++)
		wide = RK_MAX(wide, (int)strlen(w->v[i].name));
	return RK_MIN(wide, most);
}

static void
row_head(struct strbuf *b, int wide, bool statistics)
{
	sb_addf(b, "%-*s  %-5s  %-20s", wide, "TENSOR", "DTYPE", "SHAPE");
	if (statistics)
		sb_addf(b, "  %11s  %11s  %11s  %11s  %6s  %6s  %-16s", "MIN",
		    "MAX", "MEAN", "STD", "NAN", "INF", "SHA256");
	sb_adds(b, "  WHAT\n");
}

static void
row_figures(struct strbuf *b, const struct inspect_figures *f)
{
	char hex[RK_SHA256_HEX];

	rk_hex(hex, f->sha256, sizeof(f->sha256));
	if (f->numbers && f->finite > 0)
		sb_addf(b, "  %11.4g  %11.4g  %11.4g  %11.4g", f->min, f->max,
		    f->mean, f->std);
	else
		sb_addf(b, "  %11s  %11s  %11s  %11s", "-", "-", "-", "-");
	sb_addf(b, "  %6" PRIu64 "  %6" PRIu64 "  %.16s", f->nans,
	    f->infinities, hex);
}

/* What else there is to say of a tensor: "optimizer, exp_avg of 0". */
static void
row_what(struct strbuf *b, const struct weights *w,
    const struct weights_tensor *t)
{
	const char *between = "  ";

	if (t->role != WEIGHTS_MODEL) {
		sb_addf(b, "%s%s", between, weights_role_words[t->role]);
		between = ", ";
	}
	if (t->slot != NULL && t->of != NULL) {
		sb_addf(b, "%s%s of %s", between, t->slot, t->of);
		between = ", ";
	}
	if (t->alias != NULL) {
		sb_addf(b, "%s%s", between, t->alias);
		between = ", ";
	}
	if (t->same_as >= 0)
		sb_addf(b, "%sthe same as %s", between,
		    w->v[t->same_as].name);
}

static enum rk_err
put_rows(struct strbuf *b, const struct weights *w, bool statistics,
    struct rk_why *why)
{
	const int wide = widest(w, 60);
	struct inspect_figures f;
	char shape[TENSOR_SHAPE_TEXT];
	enum rk_err rc = RK_OK;

	if (w->n > 0)
		row_head(b, wide, statistics);
	for (size_t i = 0; rc == RK_OK && i < w->n; i++) {
		const struct weights_tensor *t = &w->v[i];
		if (statistics)
			rc = inspect_figures(w, t, &f, why);
		if (rc != RK_OK)
			break;
		sb_addf(b, "%-*s  %-5s  %-20s", wide, t->name,
		    dtype_name(t->dtype), tensor_shape_text(shape, t->ndim,
		    t->d));
		if (statistics)
			row_figures(b, &f);
		row_what(b, w, t);
		while (b->len > 0 && b->s[b->len - 1] == ' ')
			b->s[--b->len] = '\0';
		sb_addc(b, '\n');
	}
	return rc;
}

static void
put_words(struct strbuf *b, const char *path, const struct weights *w)
{
	char size[RK_HUMAN], number[RK_HUMAN], bytes[RK_HUMAN];
	uint64_t count, sum;

	sum_model(w, &count, &sum);
	sb_addf(b, "%s: %s%s, %s", path, weights_format_words[w->format],
	    w->packed ? " (packed)" : "", rk_human_bytes(size, w->size));
	if (w->writer != NULL)
		sb_addf(b, ", written by %s", w->writer);
	else if (w->framework != WEIGHTS_FROM_UNKNOWN)
		sb_addf(b, ", of %s", weights_framework_words[w->framework]);
	sb_addf(b, "\n%zu tensor%s; the model has %s elements, %s", w->n,
	    rk_s((int64_t)w->n), rk_group_digits(number, (int64_t)count),
	    rk_human_bytes(bytes, sum));
	if (w->model != NULL && w->model[0] != '\0')
		sb_addf(b, ", and is at %s", w->model);
	sb_addc(b, '\n');
	for (size_t i = 0; i < w->nnotes; i++)
		sb_addf(b, "note: %s\n", w->notes[i]);
}

static enum rk_err
put_table(struct strbuf *b, const char *path, const struct weights *w,
    bool statistics, struct rk_why *why)
{
	put_words(b, path, w);
	return put_rows(b, w, statistics, why);
}

/* --- files ---------------------------------------------------------------- */

const char *
inspect_place(char *const *places, int n, const char *name)
{
	const size_t len = strlen(name);

	for (int i = 0; i < n; i++)
		if (strncmp(places[i], name, len) == 0 && places[i][len] == '=')
			return places[i] + len + 1;
	return NULL;
}

enum rk_err
inspect_shown(const struct inspect_show *show, const char *path,
    struct weights **out, struct rk_why *why)
{
	struct inspect_how how = show->how;

	how.at = inspect_place(show->places, show->nplaces, path);
	return inspect_open(path, &how, out, why);
}

static bool
show_one(const struct inspect_show *show, const char *path, struct strbuf *b)
{
	struct rk_why why = {0};
	struct weights *w;
	enum rk_err rc = inspect_shown(show, path, &w, &why);

	if (rc == RK_OK)
		rc = show->table ? put_table(b, path, w, show->statistics,
		    &why) : put_json(b, path, w, show->statistics, &why);
	if (rc == RK_OK && show->table)
		rk_marks_clean(b->s);
	if (rc != RK_OK) {
		char *sentence = rk_text_clean(xasprintf("%s: %s", path,
		    why.n > 0 ? rk_why_first(&why) : rk_strerror(rc)));
		fflush(stdout);
		fprintf(stderr, "%s\n", sentence);
		free(sentence);
	}
	weights_free(w);
	rk_why_fini(&why);
	return rc == RK_OK;
}

int
inspect_show(const struct inspect_show *show, int n, char **paths)
{
	const bool list = !show->table && n > 1;
	bool first = true, all = true;

	if (list)
		fputs("[", stdout);
	for (int i = 0; i < n; i++) {
		struct strbuf b = {0};
		if (!show_one(show, paths[i], &b)) {
			all = false;
		} else {
			if (!first)
				fputs(show->table ? "\n" : ",\n", stdout);
			fwrite(b.s, 1, b.len, stdout);
			if (!show->table && !list)
				putchar('\n');
			first = false;
		}
		sb_fini(&b);
	}
	if (list)
		puts("]");
	return all && fflush(stdout) == 0 ? 0 : 1;
}
