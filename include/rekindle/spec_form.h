/*
 * spec_form - the rows that tables of ops, architectures and transforms are
 * made of (ops.def, archs.def, transforms.def): what fields a thing of a job
 * has, with their ranges and defaults.  The reader, the normal form, the job
 * schema and the manual go by them.
 */
#ifndef REKINDLE_SPEC_FORM_H
#define REKINDLE_SPEC_FORM_H

#include <math.h>

#include "rekindle/json.h"

#define SPEC_MAX_WIDTH   (1 << 24)
#define SPEC_MAX_DIMS    4

/* Defaults that are no number: see ops.def. */
#define SPEC_MUST      NAN
#define SPEC_AS_KERNEL INFINITY
#define SPEC_ABOVE     1                /* lo itself is refused */
#define SPEC_BELOW     2                /* hi itself is refused */

enum spec_kind {
	SPEC_KIND_INT, SPEC_KIND_REAL, SPEC_KIND_BOOL, SPEC_KIND_PAIR,
	SPEC_KIND_WORD, SPEC_KIND_INTS, SPEC_KIND_NODE, SPEC_KIND_SIZE,
	SPEC_KIND_RANGE
};
struct spec_field {
	const char *key;                /* NULL: behind the last */
	enum spec_kind kind;
	int since;
	size_t at;                      /* in its struct */
	double def, lo, hi;
	double def_to;                  /* of a range: [def, def_to] */
	int ends, min, max;             /* SPEC_ABOVE ...; of a list */
	const char *words;              /* "torch|paddle" */
};
struct spec_form {
	const char *word;               /* "conv2d"; of a family: its name */
	const char *text;
	int min, max;                   /* inputs of an op */
	const struct spec_field *fields;
};
/* A word's number in "torch|paddle", or -1. */
int spec_word(const char *words, const char *word);

#endif
