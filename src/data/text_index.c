/*
 * The first reading of a text source: all its rows from front to back, once.
 * Each is checked (columns, encoding, label), and where it lies is kept; its
 * text is not.
 */
#include <stdlib.h>
#include <string.h>

#include "text_source.h"

struct indexing {
	struct text_reader *r;
	const struct spec_source *s;
	struct held *h;
	struct rk_why *why;
	struct text_labels labels;
	struct text_counts counts;
	struct text_decoder *decoder;
	struct strbuf tmp, text, pair, label;
	int32_t *names;                 /* of each sample's label */
	int64_t cap;
	int file;
};

/* --- columns -------------------------------------------------------------- */

static enum rk_err
refuse_name(struct indexing *x, const char *what, const char *name,
    const struct text_field *all, size_t n)
{
	struct strbuf b = {0};

	for (size_t i = 0; i < RK_MIN(n, 20u); i++) {
		if (text_field_read(&all[i], x->decoder, &x->tmp, &x->text) !=
		    RK_OK)
			sb_adds(&x->text, "?");
		sb_addf(&b, "%s\"%s\"", i > 0 ? ", " : "",
		    rk_text_clean(x->text.s));
	}
	enum rk_err rc = rk_refuse(x->why, "%s: has no column \"%s\" for %s; it "
	    "has %s%s", x->r->files[x->file].name, name, what, sb_str(&b),
	    n > 20 ? ", ..." : "");
	sb_fini(&b);
	return rc;
}

/* A column by its name in the header, or by its number. */
static enum rk_err
find_column(struct indexing *x, const char *what, const char *name,
    int64_t index, const struct text_field *all, size_t n, size_t *out)
{
	const char *file = x->r->files[x->file].name;
	size_t found = 0;

	if (name == NULL) {
		if (index >= (int64_t)n || index < -(int64_t)n)
			return rk_refuse(x->why, "%s: %s is column %lld, but "
			    "there are %zu columns (0 to %zu, or -1 to -%zu "
			    "from the end)", file, what, (long long)index, n,
			    n - 1, n);
		*out = (size_t)(index < 0 ? index + (int64_t)n : index);
		return RK_OK;
	}
	for (size_t i = 0; i < n; i++) {
		if (text_field_read(&all[i], x->decoder, &x->tmp, &x->text) !=
		    RK_OK)
			return rk_refuse(x->why, "%s: line 1 is not %s", file,
			    text_encoding_words[x->r->form.encoding]);
		if (strcmp(x->text.s, name) != 0)
			continue;
		*out = i;
		found++;
	}
	if (found == 0)
		return refuse_name(x, what, name, all, n);
	if (found > 1)
		return rk_refuse(x->why, "%s: %zu columns are called \"%s\"",
		    file, found, name);
	return RK_OK;
}

static enum rk_err
find_columns(struct indexing *x, const struct text_field *all, size_t n)
{
	const struct spec_text *t = &x->s->text;
	struct text_form *f = &x->r->form;
	enum rk_err rc = find_column(x, "the text", t->column, t->column_index,
	    all, n, &f->text);

	if (rc == RK_OK && t->paired)
		rc = find_column(x, "the pair", t->pair, t->pair_index, all, n,
		    &f->pair);
	if (rc == RK_OK && f->labelled)
		rc = find_column(x, "the label", x->s->label_name,
		    x->s->label_index, all, n, &f->label);
	if (rc != RK_OK)
		return rc;
	const char *both = f->labelled && f->label == f->text ?
	    "text and label" : f->labelled && f->paired && f->pair ==
	    f->label ? "pair and label" : f->paired && f->pair == f->text ?
	    "text and pair" : NULL;
	return both == NULL ? RK_OK : rk_refuse(x->why, "%s: %s are one "
	    "column, want different ones", x->r->files[x->file].name, both);
}

static bool
has_header(const struct spec_source *s)
{
	return s->header == SPEC_HEADER_YES ||
	    (s->header == SPEC_HEADER_AUTO && (s->label_name != NULL ||
	    s->text.column != NULL || s->text.pair != NULL));
}

/* Nothing but white space, in bytes that all encodings share. */
static bool
is_empty(const struct text_row *row)
{
	for (size_t i = 0; i < row->n; i++)
		if (row->s[i] != ' ' && row->s[i] != '\t' && row->s[i] != '\r')
			return false;
	return true;
}

static enum rk_err
next_row(struct indexing *x, struct text_rows *rows, struct text_row *row)
{
	enum rk_err rc;

	while ((rc = text_row_next(rows, row, x->why)) == RK_OK &&
	    row->s != NULL && is_empty(row))
		x->counts.empty_lines++;
	return rc;
}

/* All fields of a row; the caller's. */
static enum rk_err
split_row(struct indexing *x, const struct text_row *row,
    struct text_field **out, size_t *n)
{
	struct text_field *all = NULL, one;
	const char *p = row->s;

	*n = 0;
	while (text_field_next(&x->r->form, &p, row->s + row->n, &one)) {
		if (*n == COLUMNS_MAX) {
			free(all);
			return rk_refuse(x->why, "%s: line %llu has more than "
			    "%zu columns", x->r->files[x->file].name,
			    row->line, COLUMNS_MAX);
		}
		all = xrealloc(all, (*n + 1) * sizeof(*all));
		all[(*n)++] = one;
	}
	*out = all;
	return RK_OK;
}

/* Columns that are asked for by their numbers; 0 where that depends on how many
 * there are. */
static size_t
columns_needed(const struct spec_source *s, bool labelled)
{
	const struct spec_text *t = &s->text;
	const int64_t pair = t->paired ? t->pair_index : 0;
	const int64_t label = labelled ? s->label_index : 0;

	if (t->column_index < 0 || pair < 0 || label < 0)
		return 0;
	return (size_t)RK_MAX(RK_MAX(t->column_index, pair), label) + 1;
}

/* The first row that is not empty: how many columns, and which.  Delimiters at
 * its end, behind all columns that are asked for, are none. */
static enum rk_err
read_first(struct indexing *x, struct text_rows *rows)
{
	const bool header = has_header(x->s);
	const size_t least = header ? 1 : columns_needed(x->s,
	    x->r->form.labelled);
	struct text_field *all = NULL;
	struct text_row row;
	size_t n = 0;
	enum rk_err rc = next_row(x, rows, &row);

	if (rc == RK_OK && row.s == NULL)
		return rk_refuse(x->why, "%s: is empty", rows->what);
	if (rc == RK_OK)
		rc = split_row(x, &row, &all, &n);
	if (rc != RK_OK)
		return rc;
	while (least > 0 && n > least && all[n - 1].n == 0)
		n--;
	x->r->form.ncolumns = n;
	rc = find_columns(x, all, n);
	free(all);
	if (rc == RK_OK && !header) {
		/* It is the first text: it is in the buffer still. */
		rows->at = (size_t)(row.offset - rows->base);
		rows->line = row.line;
	}
	return rc;
}

/* --- rows ----------------------------------------------------------------- */

static enum rk_err
decode(struct indexing *x, const struct text_field *f, struct strbuf *out,
    const struct text_row *row)
{
	if (text_field_read(f, x->decoder, &x->tmp, out) == RK_OK)
		return RK_OK;
	return rk_refuse(x->why, "%s: line %llu is not %s: say another "
	    "encoding, or put the file right", x->r->files[x->file].name,
	    row->line, text_encoding_words[x->r->form.encoding]);
}

static bool
is_blank(const struct strbuf *b)
{
	for (size_t i = 0; i < b->len; i++)
		if (strchr(" \t\r\n", b->s[i]) == NULL)
			return false;
	return true;
}

static enum rk_err
make_room(struct indexing *x)
{
	struct text_reader *r = x->r;
	const char *what = r->files[x->file].name;
	enum rk_err rc;

	if (r->n == DATA_MAX_SAMPLES)
		return rk_refuse(x->why, "%s: there are more than %lld samples",
		    what, (long long)DATA_MAX_SAMPLES);
	if (r->n < r->cap)
		return RK_OK;
	const int64_t cap = RK_MAX(r->cap + r->cap / 2, 1024);
	rc = held_grow(&r->places, (uint64_t)cap, sizeof(*r->places), what,
	    x->why);
	if (rc == RK_OK)
		rc = held_grow(&x->names, (uint64_t)cap, sizeof(*x->names),
		    what, x->why);
	if (rc == RK_OK)
		rc = held_grow(&x->h->targets, (uint64_t)cap,
		    sizeof(*x->h->targets), what, x->why);
	if (rc == RK_OK)
		r->cap = cap;
	return rc;
}

/* The label of the row, into the places of sample r->n. */
static enum rk_err
take_label(struct indexing *x, const struct text_field *label,
    const struct text_row *row)
{
	struct text_reader *r = x->r;

	if (!r->form.columns || !r->form.labelled) {
		x->names[r->n] = x->file;
		x->h->targets[r->n] = 0;
		return RK_OK;
	}
	enum rk_err rc = decode(x, label, &x->label, row);
	return rc != RK_OK ? rc : text_label_add(&x->labels, x->label.s,
	    x->label.len, r->files[x->file].name, row->line, &x->names[r->n],
	    &x->h->targets[r->n], x->why);
}

static enum rk_err
check_columns(struct indexing *x, const struct text_row *row, size_t n)
{
	const struct text_form *f = &x->r->form;

	if (!f->columns || n == f->ncolumns)
		return RK_OK;
	return rk_refuse(x->why, "%s: line %llu has %s%zu column%s, want %zu "
	    "(the first row has so many)", x->r->files[x->file].name,
	    row->line, n > f->ncolumns ? "" : "only ", n, n == 1 ? "" : "s",
	    f->ncolumns);
}

static enum rk_err
take_row(struct indexing *x, const struct text_row *row)
{
	struct text_reader *r = x->r;
	struct text_field text, pair, label;
	const size_t n = text_row_fields(&r->form, row->s, row->n, &text, &pair,
	    &label);
	enum rk_err rc = check_columns(x, row, n);

	if (rc == RK_OK)
		rc = decode(x, &text, &x->text, row);
	if (rc == RK_OK && r->form.paired)
		rc = decode(x, &pair, &x->pair, row);
	if (rc == RK_OK)
		rc = make_room(x);
	if (rc == RK_OK)
		rc = take_label(x, &label, row);
	if (rc != RK_OK)
		return rc;
	if (is_blank(&x->text) && x->counts.empty_texts++ == 0)
		x->counts.empty_text_line = row->line;
	r->places[r->n++] = (struct text_place){
		.offset = row->offset, .bytes = (uint32_t)row->n,
		.line = (uint32_t)RK_MIN(row->line, UINT32_MAX),
		.hash = text_content_hash(&r->form, &x->text, &x->pair),
	};
	return RK_OK;
}

static enum rk_err
read_rows(struct indexing *x, struct text_rows *rows)
{
	const int64_t before = x->r->n;
	enum rk_err rc = x->r->form.columns ? read_first(x, rows) : RK_OK;
	struct text_row row;

	if (rc == RK_OK)
		rc = next_row(x, rows, &row);
	while (rc == RK_OK && row.s != NULL) {
		rc = take_row(x, &row);
		if (rc == RK_OK)
			rc = next_row(x, rows, &row);
	}
	if (rc == RK_OK && x->r->n == before)
		return rk_refuse(x->why, "%s: has no texts%s", rows->what,
		    x->r->form.columns && has_header(x->s) ?
		    " behind its header" : "");
	return rc;
}

/* --- all ------------------------------------------------------------------ */

static enum rk_err
read_file(struct indexing *x, int file)
{
	struct text_reader *r = x->r;
	struct text_rows rows;
	enum rk_err rc = text_rows_open(&rows, &r->form, r->files[file].name,
	    r->files[file].fd, r->memory, r->memory_n, x->why);

	x->file = file;
	r->files[file].first = r->n;
	if (rc == RK_OK)
		rc = read_rows(x, &rows);
	text_rows_close(&rows);
	return rc;
}

static void
remark(struct held *h, const struct text_counts *c)
{
	if (c->empty_lines > 0)
		held_remark(h, "%s: %lld empty line%s left out", h->what,
		    (long long)c->empty_lines, c->empty_lines == 1 ? " is" :
		    "s are");
	if (c->empty_texts > 0)
		held_remark(h, "%s: %lld text%s empty, and counted as samples; "
		    "the first is in line %llu", h->what,
		    (long long)c->empty_texts, c->empty_texts == 1 ? " is" :
		    "s are", c->empty_text_line);
}

static void
shrink(struct text_reader *r, struct held *h)
{
	const size_t n = (size_t)r->n;
	void *p = realloc(r->places, n * sizeof(*r->places));

	r->places = p != NULL ? p : r->places;
	p = realloc(h->targets, n * sizeof(*h->targets));
	h->targets = p != NULL ? p : h->targets;
	r->cap = r->n;
}

enum rk_err
text_index(struct text_reader *r, const struct spec_source *s, struct held *h,
    struct rk_why *why)
{
	struct indexing x = { .r = r, .s = s, .h = h, .why = why };
	enum rk_err rc = text_decoder_new(&x.decoder, r->form.encoding, why);

	for (int i = 0; rc == RK_OK && !r->form.columns && r->form.labelled &&
	    i < r->nfiles; i++)
		text_label_name(&x.labels, s->text.class_names[i]);
	for (int i = 0; rc == RK_OK && i < r->nfiles; i++)
		rc = read_file(&x, i);
	h->pub.n = r->n;
	if (rc == RK_OK) {
		shrink(r, h);
		rc = text_labels_end(&x.labels, h, x.names, why);
	}
	if (rc == RK_OK)
		remark(h, &x.counts);
	text_labels_fini(&x.labels);
	text_decoder_free(x.decoder);
	sb_fini(&x.tmp);
	sb_fini(&x.text);
	sb_fini(&x.pair);
	sb_fini(&x.label);
	free(x.names);
	return rc;
}
