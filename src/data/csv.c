/*
 * CSV as in RFC 4180, fields being numbers: one record a line, CRLF or LF; a
 * field may be quoted; a byte order mark is skipped; spaces around a number
 * are.  The first record decides how many fields there are.
 *
 * Every field but the file's last takes two bytes, so the file's size bounds
 * what is allocated, before a row is read.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "columns.h"
#include "field.h"

#define ALIKE_MAX 64            /* fields that another is compared with */

/* --- the first record --------------------------------------------------- */

struct record {
	struct field *v;
	size_t n;
};

static enum rk_err
read_record(struct csv *c, struct record *r)
{
	size_t cap = 0;

	do {
		if (r->n == DATA_MAX_COLUMNS)
			return rk_refuse(c->why, "%s: line %llu has more than "
			    "%zu fields", c->what, c->line, DATA_MAX_COLUMNS);
		if (r->n == cap) {
			cap = RK_MAX(2 * cap, 16);
			r->v = xrealloc(r->v, cap * sizeof(*r->v));
		}
		enum rk_err rc = field_read(c, &r->v[r->n++]);
		if (rc != RK_OK)
			return rc;
	} while (!r->v[r->n - 1].last);
	return RK_OK;
}

/* Names, unless all is numbers or stands for missing ones. */
static bool
looks_like_header(const struct record *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (field_is_name(&r->v[i]))
			return true;
	return false;
}

static char *
unquoted(const struct field *f)
{
	struct strbuf b = { 0 };

	for (size_t i = 0; i < f->n; i++) {
		sb_addc(&b, f->s[i]);
		if (f->quoted && f->s[i] == '"')
			i++;
	}
	sb_adds(&b, "");
	return sb_detach(&b);
}

static enum rk_err
take_names(struct csv *c, const struct record *r)
{
	char **names = xcalloc(r->n, sizeof(*names));
	bool nul = false;

	for (size_t i = 0; i < r->n; i++) {
		nul |= memchr(r->v[i].s, '\0', r->v[i].n) != NULL;
		names[i] = unquoted(&r->v[i]);
	}
	c->h->names = names;
	if (nul)
		return rk_refuse(c->why, "%s: the header has a NUL byte",
		    c->what);
	return RK_OK;
}

/* A label with a name says that there are names, but where there may be
 * none. */
static bool
has_header(const struct csv *c, const struct spec_source *src,
    const struct record *r)
{
	if (src->header != SPEC_HEADER_AUTO)
		return src->header == SPEC_HEADER_YES;
	return (src->label_name != NULL && !c->unlabelled) ||
	    looks_like_header(r);
}

/* Columns are seldom called by fractions, nor two of them alike. */
static bool
are_no_names(const struct record *r)
{
	for (size_t i = 0; i < r->n; i++) {
		double v, w;
		if (!field_number(&r->v[i], &v))
			continue;
		if (v != floor(v))
			return true;
		for (size_t k = 0; k < RK_MIN(i, ALIKE_MAX); k++)
			if (field_number(&r->v[k], &w) && w == v)
				return true;
	}
	return false;
}

/*
 * A first row of numbers and others, which is a header by what is no number in
 * it: perhaps it is a sample with a slip of the pen.  That is said; and where
 * most are numbers of a kind that names are not it is refused.
 */
static enum rk_err
judge_header(struct csv *c, const struct spec_source *src,
    const struct record *r)
{
	struct strbuf b = { 0 };
	size_t numbers = 0, first = r->n;
	enum rk_err rc = RK_OK;
	double v;

	for (size_t i = 0; i < r->n; i++) {
		numbers += field_number(&r->v[i], &v);
		if (first == r->n && field_is_name(&r->v[i]))
			first = i;
	}
	/* That the label's name is in it is seen later. */
	if (numbers == 0 || first == r->n ||
	    (src->label_name != NULL && !c->unlabelled))
		return RK_OK;
	field_show(&b, r->v[first].s, r->v[first].n);
	if (2 * numbers > r->n && are_no_names(r))
		rc = rk_refuse(c->why, "%s: line 1, column %zu: \"%s\" is not a "
		    "number, and %zu of the %zu fields of the line are: it "
		    "looks like a sample, not like names; say header: true if "
		    "they are names, and header: false if they are not",
		    c->what, first + 1, sb_str(&b), numbers, r->n);
	else
		held_remark(c->h, "%s: the first line is taken for a header, "
		    "because column %zu has \"%s\", though %zu of its %zu "
		    "fields %s number%s: say header: true or false", c->what,
		    first + 1, sb_str(&b), numbers, r->n,
		    numbers == 1 ? "is a" : "are", rk_s((int64_t)numbers));
	sb_fini(&b);
	return rc;
}

static enum rk_err
read_first(struct csv *c, const struct spec_source *src)
{
	const struct csv start = *c;
	struct record r = { 0 };
	enum rk_err rc = read_record(c, &r);

	if (rc == RK_OK) {
		c->h->ncolumns = r.n;
		if (!has_header(c, src, &r))
			*c = start;
		else if (src->header == SPEC_HEADER_AUTO)
			rc = judge_header(c, src, &r);
		if (rc == RK_OK && c->p != start.p)
			rc = take_names(c, &r);
	}
	free(r.v);
	return rc;
}

static enum rk_err
refuse_label_name(struct csv *c, const char *name)
{
	struct strbuf b = { 0 };

	for (size_t i = 0; i < RK_MIN(c->h->ncolumns, 20); i++) {
		sb_adds(&b, i > 0 ? ", " : "");
		field_show(&b, c->h->names[i], strlen(c->h->names[i]));
	}
	enum rk_err rc = rk_refuse(c->why, "%s: has no column \"%s\" for the "
	    "label; it has %s%s", c->what, name, sb_str(&b),
	    c->h->ncolumns > 20 ? ", ..." : "");
	sb_fini(&b);
	return rc;
}

static enum rk_err
find_label_name(struct csv *c, const char *name)
{
	size_t found = 0;

	if (c->h->names == NULL)
		return rk_refuse(c->why, "%s: the label is column \"%s\", but "
		    "the file has no header with names", c->what, name);
	for (size_t i = 0; i < c->h->ncolumns; i++)
		if (strcmp(c->h->names[i], name) == 0) {
			c->h->label = i;
			found++;
		}
	if (found == 0)
		return refuse_label_name(c, name);
	if (found > 1)
		return rk_refuse(c->why, "%s: %zu columns have the label's "
		    "name, \"%s\"", c->what, found, name);
	return RK_OK;
}

static enum rk_err
find_label(struct csv *c, const struct spec_source *src)
{
	const int64_t n = (int64_t)c->h->ncolumns, i = src->label_index;

	if (c->unlabelled) {
		c->h->label = SIZE_MAX;
		return RK_OK;
	}
	if (src->label_name != NULL) {
		enum rk_err rc = find_label_name(c, src->label_name);
		if (rc != RK_OK)
			return rc;
	} else if (i >= n || i < -n) {
		return rk_refuse(c->why, "%s: the label is column %lld, but "
		    "there %s %lld column%s (0 to %lld, or -1 to %lld from "
		    "the end)", c->what, (long long)i, n == 1 ? "is" : "are",
		    (long long)n, rk_s(n),
		    (long long)n - 1, (long long)-n);
	} else {
		c->h->label = (size_t)(i < 0 ? n + i : i);
	}
	if (n < 2)
		return rk_refuse(c->why, "%s: has one column, the label, and "
		    "no features", c->what);
	return RK_OK;
}

/* --- rows --------------------------------------------------------------- */

static enum rk_err
read_row(struct csv *c, float *x, float *label)
{
	const size_t n = c->h->ncolumns;
	const unsigned long long line = c->line;
	bool last = false;

	for (size_t i = 0; i < n; i++) {
		float *to = i == c->h->label ? label : x++;
		enum rk_err rc = field_read_number(c, to, &last);
		if (rc != RK_OK)
			return rc;
		if (last && i + 1 < n)
			return rk_refuse(c->why, "%s: line %llu has %zu "
			    "field%s, want %zu", c->what, line, i + 1,
			    rk_s((int64_t)i + 1), n);
	}
	if (!last)
		return rk_refuse(c->why, "%s: line %llu has more than %zu "
		    "field%s", c->what, line, n, rk_s((int64_t)n));
	return RK_OK;
}

/* Empty lines may end a file; *done says that nothing else follows. */
static enum rk_err
pass_empty_lines(struct csv *c, bool *done)
{
	const unsigned long long line = c->line;
	bool last;

	*done = c->p == c->end;
	if (*done || !field_at_line_end(c))
		return RK_OK;
	while (c->p < c->end && field_at_line_end(c))
		field_pass_separator(c, &last);
	*done = c->p == c->end;
	if (!*done)
		return rk_refuse(c->why, "%s: line %llu is empty", c->what,
		    line);
	return RK_OK;
}

static enum rk_err
read_rows(struct csv *c)
{
	struct held *h = c->h;
	const size_t width = columns_width(h);

	h->first_line = c->line;
	for (;;) {
		bool done;
		enum rk_err rc = pass_empty_lines(c, &done);
		if (rc != RK_OK || done)
			return rc;
		if (h->pub.n == DATA_MAX_SAMPLES)
			return rk_refuse(c->why, "%s: has more than %lld rows",
			    c->what, (long long)DATA_MAX_SAMPLES);
		rc = read_row(c, h->floats + (size_t)h->pub.n * width,
		    h->targets + h->pub.n);
		if (rc != RK_OK)
			return rc;
		h->pub.n++;
	}
}

/* Room for as many rows as the bytes that are left can hold, and for one that
 * turns out to be too short. */
static enum rk_err
reserve(struct csv *c)
{
	struct held *h = c->h;
	const uint64_t rest = (uint64_t)(c->end - c->p), n = h->ncolumns;
	const uint64_t rows = (rest + 1) / (2 * n) + 1;
	enum rk_err rc = held_alloc(&h->targets, rows, sizeof(*h->targets),
	    c->what, c->why);

	if (rc == RK_OK)
		rc = held_alloc(&h->floats, rows * columns_width(h), sizeof(*h->floats),
		    c->what, c->why);
	return rc;
}

/* Give back what the rows did not take. */
static void
shrink(struct held *h)
{
	const size_t n = (size_t)h->pub.n;
	float *x = realloc(h->floats, n * columns_width(h) * sizeof(*x));
	float *t = realloc(h->targets, n * sizeof(*t));

	h->floats = x != NULL ? x : h->floats;
	h->targets = t != NULL ? t : h->targets;
}

static enum rk_err
read_all(struct csv *c, const struct spec_source *src)
{
	struct held *h = c->h;
	enum rk_err rc = read_first(c, src);

	if (rc == RK_OK)
		rc = find_label(c, src);
	if (rc == RK_OK)
		rc = reserve(c);
	if (rc == RK_OK)
		rc = read_rows(c);
	if (rc != RK_OK)
		return rc;
	if (h->pub.n == 0)
		return rk_refuse(c->why, "%s: has a header and no samples",
		    c->what);
	shrink(h);
	h->pub.floats = h->floats;
	h->pub.ndim = 1;
	h->pub.width = h->pub.d[0] = (int64_t)columns_width(h);
	return held_find_classes(h, c->why);
}

static enum rk_err
read_table(const char *p, size_t n, const char *what, bool unlabelled,
    const struct spec_source *src, struct held **out, struct rk_why *why)
{
	struct csv c = {
		.p = p, .end = p + n, .what = what, .line = 1, .column = 1,
		.delimiter = src->delimiter != '\0' ? src->delimiter : ',',
		.why = why, .unlabelled = unlabelled,
	};

	if (n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
		c.p += 3;
	if (c.p == c.end)
		return rk_refuse(why, "%s: is empty", what);
	if (memchr(p, '\n', n) == NULL && memchr(p, '\r', n - 1) != NULL)
		return rk_refuse(why, "%s: its lines end in CR alone, as those "
		    "of old Macintoshes; want LF or CR LF", what);
	c.h = held_new(what);
	enum rk_err rc = read_all(&c, src);
	if (rc != RK_OK) {
		held_free(c.h);
		return rc;
	}
	*out = c.h;
	return RK_OK;
}

enum rk_err
csv_read(const char *p, size_t n, const char *what,
    const struct spec_source *src, struct held **out, struct rk_why *why)
{
	return read_table(p, n, what, false, src, out, why);
}

/* All columns are in h.  Without names on both sides they count by their
 * places. */
static enum rk_err
ask_columns(struct held *h, const struct spec_source *src,
    const char *const *names, int64_t width, struct rk_why *why)
{
	const int64_t n = (int64_t)h->ncolumns, i = src->label_index;
	struct csv c = { .what = h->what, .h = h, .why = why };

	if (names != NULL && h->names != NULL)
		return columns_pick(h, names, (size_t)width,
		    "the network's own data have", why);
	if (n != width + 1)
		return RK_OK;
	if (src->label_name != NULL) {
		enum rk_err rc = find_label_name(&c, src->label_name);
		if (rc != RK_OK)
			return rc;
	} else if (i < n && i >= -n) {
		h->label = (size_t)(i < 0 ? n + i : i);
	}
	if (h->label < h->ncolumns)
		columns_drop(h, h->label);
	return RK_OK;
}

enum rk_err
data_parse_table(const char *p, size_t n, const char *what,
    const struct spec_source *src, const char *const *names, int64_t width,
    struct data_set **out, struct rk_why *why)
{
	struct held *h;
	enum rk_err rc = read_table(p, n, what, true, src, &h, why);

	if (rc != RK_OK)
		return rc;
	rc = ask_columns(h, src, names, width, why);
	if (rc == RK_OK)
		*out = &h->pub;
	else
		held_free(h);
	return rc;
}

enum rk_err
data_parse_csv(const char *p, size_t n, const char *what,
    const struct spec_source *src, struct data_set **out, struct rk_why *why)
{
	struct held *h;
	enum rk_err rc = csv_read(p, n, what, src, &h, why);

	if (rc == RK_OK)
		*out = &h->pub;
	return rc;
}
