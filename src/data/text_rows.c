/*
 * Rows of a text file: lines; or CSV as in RFC 4180, in which a field may be
 * quoted and then have delimiters and line ends in it; or, with tabs, TSV, in
 * which a quote is a character.  LF or CRLF.
 *
 * Delimiters, quotes and line ends are found in the bytes as they are: in none
 * of the encodings are they part of another character.  (In gb18030 `|` may be;
 * spec refuses it there.)
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "text_source.h"

#define CHUNK ((size_t)1 << 20)

/* --- bytes ---------------------------------------------------------------- */

/* More bytes behind those that are there; those that are used up go. */
static enum rk_err
fill(struct text_rows *r, struct rk_why *why)
{
	ssize_t k;

	if (r->at > 0) {
		memmove(r->buf, r->buf + r->at, r->have - r->at);
		r->base += r->at;
		r->have -= r->at;
		r->at = 0;
	}
	if (r->have + CHUNK > r->cap) {
		r->cap = r->have + CHUNK;
		r->buf = xrealloc(r->buf, r->cap);
	}
	do
		k = read(r->fd, r->buf + r->have, CHUNK);
	while (k < 0 && errno == EINTR);
	if (k < 0) {
		const int e = errno;
		rk_refuse(why, "%s: %s", r->what, strerror(e));
		return rk_from_errno(e);
	}
	r->have += (size_t)k;
	r->ended = k == 0;
	return RK_OK;
}

enum rk_err
text_rows_open(struct text_rows *r, const struct text_form *f,
    const char *what, int fd, const void *p, size_t n, struct rk_why *why)
{
	const char *other;
	enum rk_err rc = RK_OK;

	*r = (struct text_rows){ .form = f, .what = what, .fd = fd, .line = 1 };
	if (fd < 0) {
		r->buf = xmalloc(n + 1);
		if (n > 0)
			memcpy(r->buf, p, n);
		r->have = n;
		r->ended = true;
	} else {
		rc = fill(r, why);
	}
	if (rc != RK_OK)
		return rc;
	if (r->have >= 2 && memcmp(r->buf, "\x1f\x8b", 2) == 0)
		return rk_refuse(why, "%s: is packed by gzip, and a text is "
		    "read at any place: unpack it", what);
	r->at = text_mark(f->encoding, r->buf, r->have, &other);
	if (other != NULL)
		return rk_refuse(why, "%s: begins with the byte order mark of "
		    "%s, and encoding is %s", what, other,
		    text_encoding_words[f->encoding]);
	return RK_OK;
}

void
text_rows_close(struct text_rows *r)
{
	free(r->buf);
	r->buf = NULL;
}

/* --- where a row ends ----------------------------------------------------- */

enum end { END_FOUND, END_BEYOND, END_BAD_QUOTE };

/* A quoted field from the byte behind its first quote: the byte behind its last
 * one, or NULL: that is not in [p, end). */
static const char *
close_quote(const char *p, const char *end)
{
	for (;;) {
		const char *q = memchr(p, '"', (size_t)(end - p));
		if (q == NULL)
			return NULL;
		if (q + 1 == end || q[1] != '"')
			return q + 1;
		p = q + 2;
	}
}

static bool
at_line_end(const char *p, const char *end)
{
	return *p == '\n' || (*p == '\r' && end - p > 1 && p[1] == '\n');
}

/* The LF that ends the row at p, or `end` where the file ends without one.
 * BEYOND: more bytes are needed.  last: there are no more. */
static enum end
find_end(const struct text_form *f, const char *p, const char *end, bool last,
    const char **at)
{
	const char *lf;

	while (f->quotes) {
		if (p < end && *p == '"') {
			p = close_quote(p + 1, end);
			if (p == NULL)
				return END_BEYOND;
			if (p == end && !last)
				return END_BEYOND;
			if (p + 1 == end && !last && *p == '\r')
				return END_BEYOND;
			if (p < end && *p != f->delimiter &&
			    !at_line_end(p, end))
				return END_BAD_QUOTE;
		}
		while (p < end && *p != f->delimiter && *p != '\n')
			p++;
		if (p == end || *p == '\n')
			break;
		p++;
	}
	lf = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
	if (lf == NULL && !last)
		return END_BEYOND;
	*at = lf != NULL ? lf : end;
	return END_FOUND;
}

/* A quote is open where the bytes ended. */
static enum rk_err
refuse_quote(const struct text_rows *r, const char *says, struct rk_why *why)
{
	return rk_refuse(why, "%s: line %llu: %s", r->what, r->line, says);
}

static enum rk_err
refuse_long(const struct text_rows *r, struct rk_why *why)
{
	char most[RK_HUMAN];

	return rk_refuse(why, "%s: line %llu is longer than the %s that a row "
	    "may be%s", r->what, r->line, rk_human_bytes(most, ROW_MAX),
	    r->form->quotes ? ", or a quote in it is never closed" : "");
}

/* What is found at the row that begins at r->at. */
static enum rk_err
look(struct text_rows *r, const char **at, struct rk_why *why)
{
	for (;;) {
		const char *p = r->buf + r->at, *end = r->buf + r->have;
		const enum end e = p == end && r->ended ? END_FOUND :
		    find_end(r->form, p, end, r->ended, at);
		if (e == END_BAD_QUOTE)
			return refuse_quote(r, "a field has text behind its "
			    "closing quote", why);
		if (p == end && r->ended) {
			*at = end;
			return RK_OK;
		}
		if (e == END_FOUND && (size_t)(*at - p) <= ROW_MAX)
			return RK_OK;
		if (e == END_FOUND || r->have - r->at > ROW_MAX + 2)
			return refuse_long(r, why);
		if (r->ended)
			return refuse_quote(r, "a quote is opened and never "
			    "closed", why);
		enum rk_err rc = fill(r, why);
		if (rc != RK_OK)
			return rc;
	}
}

enum rk_err
text_row_next(struct text_rows *r, struct text_row *row, struct rk_why *why)
{
	const char *at = NULL;
	enum rk_err rc = look(r, &at, why);

	if (rc != RK_OK)
		return rc;
	const char *p = r->buf + r->at, *end = r->buf + r->have;
	*row = (struct text_row){ .line = r->line, .offset = r->base + r->at };
	if (p == end)
		return RK_OK;
	row->s = p;
	row->n = (size_t)(at - p);
	if (memchr(p, '\0', row->n) != NULL)
		return rk_refuse(why, "%s: line %llu has a NUL byte: is this a "
		    "text?", r->what, r->line);
	for (const char *q = p; (q = memchr(q, '\n', (size_t)(at - q))) != NULL;
	    q++)
		r->line++;
	r->line++;
	r->at = (size_t)(at - r->buf) + (at < end);
	if (row->n > 0 && at < end && p[row->n - 1] == '\r')
		row->n--;
	return RK_OK;
}

/* --- fields --------------------------------------------------------------- */

bool
text_field_next(const struct text_form *f, const char **at, const char *end,
    struct text_field *out)
{
	const char *p = *at;

	if (p == NULL)
		return false;
	*out = (struct text_field){ .s = p };
	if (f->quotes && p < end && *p == '"') {
		const char *q = close_quote(p + 1, end);
		/* What has changed since it was read may have no end. */
		if (q == NULL)
			q = end;
		*out = (struct text_field){ p + 1, (size_t)(q - p - 1), true };
		if (out->n > 0 && q[-1] == '"')
			out->n--;
		p = q;
	}
	const char *d = p < end ? memchr(p, f->delimiter, (size_t)(end - p)) :
	    NULL;
	if (!out->quoted)
		out->n = (size_t)((d != NULL ? d : end) - p);
	*at = d != NULL ? d + 1 : NULL;
	return true;
}

size_t
text_row_fields(const struct text_form *f, const char *s, size_t n,
    struct text_field *text, struct text_field *pair, struct text_field *label)
{
	const char *p = s, *end = s + n;
	struct text_field one;
	size_t i = 0, count = 0;

	*text = *pair = *label = (struct text_field){ .s = s };
	if (!f->columns) {
		text->n = n;
		return 1;
	}
	for (; text_field_next(f, &p, end, &one); i++) {
		if (i == f->text)
			*text = one;
		if (f->paired && i == f->pair)
			*pair = one;
		if (i == f->label)
			*label = one;
		if (i < f->ncolumns || one.n > 0)
			count = i + 1;
	}
	return count;
}

enum rk_err
text_field_read(const struct text_field *f, struct text_decoder *d,
    struct strbuf *tmp, struct strbuf *out)
{
	const char *s = f->s;
	size_t n = f->n, bad;

	sb_reset(out);
	sb_adds(out, "");
	if (f->quoted && memchr(s, '"', n) != NULL) {
		sb_reset(tmp);
		for (size_t i = 0; i < n; i++) {
			sb_addc(tmp, s[i]);
			i += s[i] == '"' && i + 1 < n && s[i + 1] == '"';
		}
		s = tmp->s;
		n = tmp->len;
	}
	return text_decode(d, s, n, out, &bad);
}
