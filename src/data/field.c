/*
 * The fields of a CSV text: where one ends, what number it is, and sentences
 * about those that are none.
 */
#include <math.h>
#include <string.h>

#include "field.h"
#include "number.h"

#define SHOWN 40                /* bytes of a wrong text that are shown */

/* --- saying what is wrong ----------------------------------------------- */

void
field_show(struct strbuf *b, const char *text, size_t n)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t i = 0;

	while (i < RK_MIN(n, SHOWN)) {
		size_t len = rk_utf8_len(s + i, n - i);
		if (len == 0 || s[i] < 0x20 || s[i] == 0x7f)
			sb_addf(b, "\\x%02x", s[i]);
		else
			sb_add(b, s + i, len);
		i += RK_MAX(len, 1);
	}
	if (i < n)
		sb_adds(b, "...");
}

/* "train.csv: line 17, column 3 (age): " and the rest. */
static enum rk_err refuse_field(struct csv *c, const char *fmt, ...)
    RK_PRINTF(2, 3);
static enum rk_err
refuse_field(struct csv *c, const char *fmt, ...)
{
	struct strbuf b = { 0 };
	va_list ap;

	sb_addf(&b, "%s: line %llu, column %zu", c->what, c->line, c->column);
	if (c->h->names != NULL && c->column <= c->h->ncolumns) {
		const char *name = c->h->names[c->column - 1];
		sb_adds(&b, " (");
		field_show(&b, name, strlen(name));
		sb_addc(&b, ')');
	}
	sb_adds(&b, ": ");
	va_start(ap, fmt);
	sb_vaddf(&b, fmt, ap);
	va_end(ap);
	enum rk_err rc = rk_refuse(c->why, "%s", sb_str(&b));
	sb_fini(&b);
	return rc;
}

static enum rk_err
refuse_text(struct csv *c, const char *s, size_t n, const char *what)
{
	struct strbuf b = { 0 };

	field_show(&b, s, n);
	enum rk_err rc = refuse_field(c, "\"%s\" %s", sb_str(&b), what);
	sb_fini(&b);
	return rc;
}

/* --- fields ------------------------------------------------------------- */

bool
field_at_line_end(const struct csv *c)
{
	return c->p == c->end || *c->p == '\n' ||
	    (*c->p == '\r' && c->end - c->p > 1 && c->p[1] == '\n');
}

bool
field_pass_separator(struct csv *c, bool *last)
{
	*last = field_at_line_end(c);
	if (*last) {
		if (c->p < c->end)
			c->p += *c->p == '\r' ? 2 : 1;
		c->line++;
		c->column = 1;
		return true;
	}
	if (*c->p != c->delimiter)
		return false;
	c->p++;
	c->column++;
	return true;
}

/* The text after an opening quote; p is left behind the closing one. */
static enum rk_err
read_quoted(struct csv *c, struct field *f, unsigned long long *lines)
{
	f->s = c->p;
	for (;;) {
		const char *q = memchr(c->p, '"', (size_t)(c->end - c->p));
		if (q == NULL)
			return refuse_field(c, "a quote is opened and never "
			    "closed");
		c->p = q + 1;
		if (c->p == c->end || *c->p != '"')
			break;
		c->p++;
	}
	f->n = (size_t)(c->p - 1 - f->s);
	f->quoted = true;
	for (size_t i = 0; i < f->n; i++)
		*lines += f->s[i] == '\n';
	return RK_OK;
}

enum rk_err
field_read(struct csv *c, struct field *f)
{
	unsigned long long lines = 0;

	*f = (struct field){ .s = c->p };
	if (c->p < c->end && *c->p == '"') {
		c->p++;
		enum rk_err rc = read_quoted(c, f, &lines);
		if (rc != RK_OK)
			return rc;
	} else {
		while (!field_at_line_end(c) && *c->p != c->delimiter)
			c->p++;
		f->n = (size_t)(c->p - f->s);
		if (memchr(f->s, '"', f->n) != NULL)
			return refuse_text(c, f->s, f->n,
			    "has a quote inside, want it around the field");
	}
	if (!field_at_line_end(c) && *c->p != c->delimiter)
		return refuse_field(c, "has text behind the closing quote");
	c->line += lines;
	field_pass_separator(c, &f->last);
	return RK_OK;
}

static const char *
skip_spaces(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	return p;
}

bool
field_number(const struct field *f, double *v)
{
	const char *end = f->s + f->n;
	const char *p = number_parse(skip_spaces(f->s, end), end, v);

	return p != NULL && skip_spaces(p, end) == end;
}

bool
field_is_name(const struct field *f)
{
	const char *end = f->s + f->n, *s = skip_spaces(f->s, end);
	double v;

	return s < end && !field_number(f, &v) &&
	    !number_is_nonfinite(s, (size_t)(end - s));
}

/* A field that is no plain number followed by a separator. */
static enum rk_err
read_odd_number(struct csv *c, float *out, bool *last)
{
	struct csv at = *c;
	struct field f;
	double v;
	enum rk_err rc = field_read(c, &f);

	if (rc != RK_OK)
		return rc;
	*last = f.last;
	if (field_number(&f, &v)) {
		*out = (float)v;
		return isfinite(*out) ? RK_OK : refuse_text(&at, f.s, f.n,
		    "is too large for a 32-bit number");
	}
	const char *end = f.s + f.n, *s = skip_spaces(f.s, end);
	if (s == end)
		return refuse_field(&at, "is empty, want a number");
	if (number_is_nonfinite(s, (size_t)(end - s)))
		return refuse_text(&at, f.s, f.n, "is not a finite number");
	return refuse_text(&at, f.s, f.n, "is not a number");
}

enum rk_err
field_read_number(struct csv *c, float *out, bool *last)
{
	const char *p = c->p;
	double v;
	const char *q = number_parse(p, c->end, &v);

	if (q != NULL && isfinite((float)v)) {
		*out = (float)v;
		c->p = q;
		if (field_pass_separator(c, last))
			return RK_OK;
		c->p = p;
	}
	return read_odd_number(c, out, last);
}
