/*
 * field - a CSV text on its way through the reader, and its fields.
 *
 * Line and column in messages are those of the place p, so a function that
 * refuses does it before it moves on, or keeps a copy of the place.
 */
#ifndef DATA_FIELD_H
#define DATA_FIELD_H

#include "held.h"

struct csv {
	const char *p, *end;
	const char *what;
	char delimiter;
	unsigned long long line;        /* of p, from 1 */
	size_t column;                  /* of p, from 1 */
	bool unlabelled;                /* all columns are features */
	struct held *h;
	struct rk_why *why;
};

/* A field's bytes, those between the quotes if it had any; doubled quotes are
 * still doubled. */
struct field {
	const char *s;
	size_t n;
	bool quoted, last;              /* last: of its record */
};

/* The field at p, and over its separator. */
enum rk_err field_read(struct csv *c, struct field *f) RK_MUSTCHECK;

/* The same when it must be a finite number. */
enum rk_err field_read_number(struct csv *c, float *out,
    bool *last) RK_MUSTCHECK;

/* The field as a whole as one number. */
bool field_number(const struct field *f, double *v);

/* Neither a number, nor missing, nor one of the words for no number. */
bool field_is_name(const struct field *f);

bool field_at_line_end(const struct csv *c);
/* At a delimiter or a line's end, step over it; false if p is at neither. */
bool field_pass_separator(struct csv *c, bool *last);

/* Text for a message: shortened, as UTF-8, control characters and bytes that
 * are no UTF-8 as \xNN. */
void field_show(struct strbuf *b, const char *s, size_t n);

#endif
