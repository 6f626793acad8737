/*
 * A list of images and their labels, a line each:
 *
 *	cats/a b.jpg 3
 *	cats/c.png tabby, sleeping
 *	"odd name" "Maine Coon"
 *
 * The path is what is in double quotes (two of them are one), or what is before
 * the first tab, or before the last ending of an image that a blank, a comma or
 * the line's end follows, or else before the last blank.  Labels are what is
 * behind, with blanks, tabs or commas between them; one in double quotes may
 * have these in it.  Lines may end in CR LF; empty ones count for nothing.
 *
 * Where all labels of a list are numbers, they are what they say; else they are
 * names, and their order by bytes gives the classes.  Several labels a line, or
 * none, are for a list of which a line has several.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "image_names.h"
#include "number.h"
#include "rekindle/format.h"

#define SHOWN      80           /* bytes of a path in a message */
#define LABELS_MAX 4096         /* of a line */

/* A label as it is written: bytes of `text` of the list. */
struct label {
	uint64_t at;            /* in `words`, with its NUL */
	uint32_t image;
};

struct list {
	const char *what;
	const char *p, *end;            /* of the line */
	uint32_t line;                  /* from 1 */
	struct image_names *v;
	struct strbuf words;
	struct label *labels;
	size_t n, room;
	size_t of_line;                 /* labels of this line */
	bool several, named;            /* a line has several; a label is no
	                                   number */
	uint32_t without;               /* the first line without; 0: none */
	struct strbuf field;            /* the one just read */
	struct rk_why *why;
};

static enum rk_err RK_PRINTF(2, 3)
refuse(struct list *l, const char *fmt, ...)
{
	struct strbuf b = { 0 };
	va_list ap;

	va_start(ap, fmt);
	sb_vaddf(&b, fmt, ap);
	va_end(ap);
	rk_refuse(l->why, "%s: line %u: %s", l->what, l->line, sb_str(&b));
	sb_fini(&b);
	return RK_EINVAL;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool
is_between(char c)
{
	return is_blank(c) || c == ',';
}

/* --- fields --------------------------------------------------------------- */

/* At the opening quote. */
static enum rk_err
read_quoted(struct list *l)
{
	sb_reset(&l->field);
	for (l->p++; l->p < l->end; l->p++) {
		if (*l->p != '"') {
			sb_addc(&l->field, *l->p);
			continue;
		}
		if (l->p + 1 == l->end || l->p[1] != '"') {
			l->p++;
			return RK_OK;
		}
		sb_addc(&l->field, *l->p++);
	}
	return refuse(l, "a double quote is not closed");
}

/* Where the path ends that is in no quotes. */
static const char *
path_end(const struct list *l)
{
	const char *tab = memchr(l->p, '\t', (size_t)(l->end - l->p));
	const char *end = l->end;

	if (tab != NULL)
		return tab;
	for (const char *q = l->end; q > l->p; q--)
		if ((q == l->end || is_between(*q)) &&
		    image_is_named(l->p, (size_t)(q - l->p)))
			return q;
	while (end > l->p && !is_blank(end[-1]))
		end--;
	return end > l->p ? end : l->end;
}

static enum rk_err
read_path(struct list *l)
{
	if (*l->p == '"')
		return read_quoted(l);
	const char *end = path_end(l);
	const char *cut = end;
	while (cut > l->p && is_blank(cut[-1]))
		cut--;
	sb_reset(&l->field);
	sb_add(&l->field, l->p, (size_t)(cut - l->p));
	l->p = end;
	return RK_OK;
}

static enum rk_err
read_label(struct list *l)
{
	if (*l->p == '"')
		return read_quoted(l);
	const char *from = l->p;
	while (l->p < l->end && !is_between(*l->p))
		l->p++;
	sb_reset(&l->field);
	sb_add(&l->field, from, (size_t)(l->p - from));
	return RK_OK;
}

/* --- paths ---------------------------------------------------------------- */

/* Clean it in place; NULL, or why it cannot be taken. */
static const char *
clean_path(char *path)
{
	switch (format_clean_path(path)) {
	case FORMAT_PATH_ABSOLUTE:
		return "is absolute, and images are looked for in the folder";
	case FORMAT_PATH_LEAVES:
		return "leaves the folder";
	case FORMAT_PATH_INSIDE:
		break;
	}
	return path[0] != '\0' ? NULL : "is no path";
}

static enum rk_err
take_path(struct list *l)
{
	struct image_names *v = l->v;

	enum rk_err rc = read_path(l);
	if (rc != RK_OK)
		return rc;
	if (l->field.len == 0)
		return refuse(l, "has no path before its label");
	char *path = sb_detach(&l->field);
	const char *fault = clean_path(path);
	if (fault != NULL)
		rc = refuse(l, "\"%.*s\" %s", (int)rk_text_fit(path, SHOWN),
		    path, fault);
	if (rc == RK_OK)
		rc = image_names_add(v, l->what, "", path, -1, l->why);
	free(path);
	if (rc != RK_OK)
		return rc;
	if (((v->n - 1) & (v->n - 2)) == 0 || v->n == 1)
		v->line = xrealloc(v->line, 2 * v->n * sizeof(*v->line));
	v->line[v->n - 1] = l->line;
	return RK_OK;
}

/* --- labels --------------------------------------------------------------- */

static bool
is_number(const char *s, double *x)
{
	const char *end = s + strlen(s);

	return number_parse(s, end, x) == end && isfinite((float)*x);
}

static enum rk_err
take_label(struct list *l)
{
	double x;

	enum rk_err rc = read_label(l);
	if (rc != RK_OK)
		return rc;
	if (l->field.len == 0)
		return refuse(l, "has a label with nothing in its quotes");
	if (++l->of_line > LABELS_MAX)
		return refuse(l, "has more than %d labels", LABELS_MAX);
	if (!is_number(sb_str(&l->field), &x)) {
		rc = image_class_ok(l->what, sb_str(&l->field), l->why);
		l->named = true;
	}
	if (l->n == l->room) {
		l->room = RK_MAX(2 * l->room, (size_t)1024);
		l->labels = xrealloc(l->labels, l->room * sizeof(*l->labels));
	}
	l->labels[l->n++] = (struct label){ l->words.len,
		(uint32_t)(l->v->n - 1) };
	sb_add(&l->words, sb_str(&l->field), l->field.len + 1);
	return rc;
}

static void
pass_between(struct list *l)
{
	while (l->p < l->end && is_between(*l->p))
		l->p++;
}

static enum rk_err
take_line(struct list *l)
{
	while (l->p < l->end && is_blank(*l->p))
		l->p++;
	if (l->p == l->end)
		return RK_OK;
	if (memchr(l->p, '\0', (size_t)(l->end - l->p)) != NULL)
		return refuse(l, "has a NUL in it: the file is no text");
	enum rk_err rc = take_path(l);
	l->of_line = 0;
	for (pass_between(l); rc == RK_OK && l->p < l->end; pass_between(l))
		rc = take_label(l);
	l->several |= l->of_line > 1;
	if (l->of_line == 0 && l->without == 0)
		l->without = l->line;
	return rc;
}

/* --- what they mean ------------------------------------------------------- */

static int
by_word(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Each word once, in order. */
static enum rk_err
name_classes(struct list *l)
{
	struct image_names *v = l->v;
	const char **w = xcalloc(l->n, sizeof(*w));
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		w[i] = l->words.s + l->labels[i].at;
	qsort(w, l->n, sizeof(*w), by_word);
	for (size_t i = 0; i < l->n; i++)
		if (n == 0 || strcmp(w[n - 1], w[i]) != 0)
			w[n++] = w[i];
	if (n > DATA_MAX_CLASSES) {
		free(w);
		return rk_refuse(l->why, "%s: has %zu classes, want at most %d",
		    l->what, n, DATA_MAX_CLASSES);
	}
	v->classes = xcalloc(n, sizeof(*v->classes));
	for (size_t i = 0; i < n; i++)
		v->classes[i] = xstrdup(w[i]);
	v->nclasses = (int64_t)n;
	free(w);
	return RK_OK;
}

static double
value_of(const struct list *l, size_t i)
{
	const char *word = l->words.s + l->labels[i].at;
	const struct image_names *v = l->v;
	double x = 0;

	if (!l->named)
		return is_number(word, &x) ? x : 0;
	const char **at = bsearch(&word, v->classes, (size_t)v->nclasses,
	    sizeof(*v->classes), by_word);
	must(at != NULL);
	return (double)((char **)(uintptr_t)at - v->classes);
}

static int
by_number(const void *a, const void *b)
{
	const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

	return (x > y) - (x < y);
}

/* Those of an image, each once and in order; how many. */
static int64_t
tidy(int32_t *v, int64_t n)
{
	int64_t kept = 0;

	qsort(v, (size_t)n, sizeof(*v), by_number);
	for (int64_t i = 0; i < n; i++)
		if (kept == 0 || v[kept - 1] != v[i])
			v[kept++] = v[i];
	return kept;
}

static enum rk_err
take_several(struct list *l)
{
	struct image_names *v = l->v;
	size_t k = 0;
	int64_t at = 0, most = 0;

	v->many_from = xcalloc(v->n + 1, sizeof(*v->many_from));
	v->many = xcalloc(l->n, sizeof(*v->many));
	for (size_t i = 0; i < v->n; i++) {
		int64_t some = 0;
		for (; k < l->n && l->labels[k].image == i; k++) {
			const double x = value_of(l, k);
			if (!(x >= 0 && x < DATA_MAX_CLASSES && x == floor(x)))
				return rk_refuse(l->why, "%s: line %u: the "
				    "label is %.9g, want a whole number 0 to "
				    "%d, for a line has several", l->what,
				    v->line[i], x, DATA_MAX_CLASSES - 1);
			most = RK_MAX(most, (int64_t)x);
			v->many[at + some++] = (int32_t)x;
		}
		v->many_from[i] = at;
		some = tidy(v->many + at, some);
		v->targets[i] = some > 0 ? (float)v->many[at] : -1;
		at += some;
	}
	v->many_from[v->n] = at;
	if (v->classes == NULL)
		v->nclasses = most + 1;
	return RK_OK;
}

static enum rk_err
take_meaning(struct list *l)
{
	struct image_names *v = l->v;
	enum rk_err rc = RK_OK;

	if (v->n == 0)
		return rk_refuse(l->why, "%s: has no line with an image and its "
		    "label", l->what);
	if (l->without > 0 && !l->several) {
		l->line = l->without;
		return refuse(l, "has no label behind the path");
	}
	if (l->named)
		rc = name_classes(l);
	if (rc == RK_OK && l->several)
		return take_several(l);
	for (size_t i = 0; rc == RK_OK && i < l->n; i++)
		v->targets[l->labels[i].image] = (float)value_of(l, i);
	return rc;
}

/* --- images that come again ------------------------------------------------ */

struct mention {
	uint64_t hash;          /* of the path */
	size_t image;
};

/* Those of one image stand together, in the order of their lines. */
static int
by_hash(const void *a, const void *b)
{
	const struct mention *x = a, *y = b;

	return x->hash != y->hash ? (x->hash > y->hash) - (x->hash < y->hash) :
	    (x->image > y->image) - (x->image < y->image);
}

static void
note_again(struct image_names *v, size_t first, size_t again)
{
	if (strcmp(image_path(v, first), image_path(v, again)) != 0)
		return;
	v->again++;
	v->at_odds += v->targets[first] != v->targets[again];
	if (v->again == 1 || v->line[again] < v->again_line[1]) {
		v->again_line[0] = v->line[first];
		v->again_line[1] = v->line[again];
	}
}

static void
find_again(struct image_names *v)
{
	struct mention *s = xcalloc(v->n, sizeof(*s));
	size_t first = 0;

	for (size_t i = 0; i < v->n; i++) {
		const char *path = image_path(v, i);
		s[i] = (struct mention){ rk_hash64(0, path, strlen(path)), i };
	}
	qsort(s, v->n, sizeof(*s), by_hash);
	for (size_t i = 1; i < v->n; i++) {
		if (s[i].hash != s[first].hash)
			first = i;
		else
			note_again(v, s[first].image, s[i].image);
	}
	free(s);
}

enum rk_err
image_list(const char *text, size_t n, const char *what,
    struct image_names *v, struct rk_why *why)
{
	struct list l = { .what = what, .v = v, .why = why };
	const char *at = text, *end = text + n;
	enum rk_err rc = RK_OK;

	if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		at += 3;
	while (rc == RK_OK && at < end) {
		const char *nl = memchr(at, '\n', (size_t)(end - at));
		l.line++;
		l.p = at;
		l.end = nl != NULL ? nl : end;
		at = nl != NULL ? nl + 1 : end;
		if (l.end > l.p && l.end[-1] == '\r')
			l.end--;
		rc = take_line(&l);
	}
	if (rc == RK_OK)
		rc = take_meaning(&l);
	if (rc == RK_OK)
		find_again(v);
	sb_fini(&l.words);
	sb_fini(&l.field);
	free(l.labels);
	return rc;
}
