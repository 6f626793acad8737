/*
 * warm, inside.
 *
 *	dialect.c  names by dialects, to names that all have in common
 *	fit.c      which dialect and which prefix; what finds what
 *	plan.c     the rows and the policies
 *	grow.c     what grows, and from which rows
 *	grow_words.c  what is said of it
 *	refuse.c   what is refused
 *	unused.c   what is said of what is not used
 *	words.c    the sentence, JSON, the table, the digest
 *	suggest.c  the lines of a job that take the most of a file
 *	suggest_words.c  why it is worth it
 *	candidates.c  which files there are
 */
#ifndef WARM_IMPL_H
#define WARM_IMPL_H

#include "rekindle/warm.h"

/* --- dialect.c ------------------------------------------------------------ */

struct warm_rule {
	const char *from, *to;
};
struct warm_table {
	enum spec_dialect dialect;
	enum warm_framework framework;  /* UNKNOWN: PyTorch's layout */
	const struct warm_rule *rules;
	size_t nrules;
	const char *const *prefixes;    /* of its own, NULL at the end */
};
extern const struct warm_table warm_tables[];
extern const size_t warm_ntables;

/* Prefixes of any file, NULL at the end. */
extern const char *const warm_prefixes[];

/*
 * Names by a table in the words that all tables have in common, each the
 * caller's; *told is how many a rule of the table itself changed.  `off` is
 * taken off first where a name begins so.
 */
char **warm_canonical(const struct warm_table *t, const char *const *names,
    size_t n, const char *off, size_t *told);
void warm_names_free(char **names, size_t n);

/* --- fit.c ---------------------------------------------------------------- */

/* Names with their numbers, to look names up in; the caller's to free. */
struct warm_entry {
	const char *name;
	size_t is;
};
struct warm_entry *warm_index(const char *const *names, size_t n);
/* The first of its name, or -1. */
int64_t warm_index_find(const struct warm_entry *e, size_t n,
    const char *name);

struct warm_fit {
	const struct warm_table *table;
	const struct warm_table *next;  /* NULL: none loads otherwise */
	char *prefix;
	enum warm_framework layout;
	size_t fits, next_fits;
	bool tie;                       /* next fits as well */
	int64_t *from;                  /* [nmodel]: of the file, or -1 */
	int64_t tasks;                  /* of the file: ERNIE's table of tasks
	                                   that the model lacks; -1 */
	int64_t positions;              /* of the model, that take it; -1 */
};

/* file: its names, renamed. */
void warm_fit(const struct warm_want *w, const char *const *file,
    struct warm_fit *out);
void warm_fit_free(struct warm_fit *f);

/* Is a tensor of the model turned, and does one of the file then fit it?
 * (Types apart.) */
bool warm_is_turned(const struct warm_tensor *m, enum warm_framework layout);
bool warm_shape_fits(const struct warm_tensor *m, const struct warm_tensor *f,
    enum warm_framework layout);

/* --- plan.c --------------------------------------------------------------- */

/* Of a row with a fault. */
enum spec_policy warm_policy(const struct warm_plan *p,
    const struct warm_row *r);
void warm_note(struct warm_plan *p, const char *fmt, ...) RK_PRINTF(2, 3);
void warm_explain(struct warm_row *r, const char *fmt, ...) RK_PRINTF(2, 3);

/* --- grow.c --------------------------------------------------------------- */

/* What rows are called after, for people, by enum warm_rows; and the field that
 * says it of the file. */
struct warm_called {
	const char *one, *many, *field;
};
extern const struct warm_called warm_called[];
/* How new rows begin, by enum spec_grow_init. */
extern const char *const warm_begin_words[];
/* The names of a tensor's rows; NULL: they have none. */
const struct warm_sides *warm_sides_of(const struct warm_plan *p,
    const struct warm_tensor *m);

/*
 * A row of both sides whose tensor model.grow names: does it grow?  True:
 * r->grown is filled in, and r->loaded.  False: it is taken as any other, or
 * r->ungrown has why it cannot be.
 */
bool warm_grow(struct warm_plan *p, struct warm_row *r);
/* "; model.grow: [fc] keeps the rows of 3 classes that both have", of a head of
 * another shape that does not grow and could. */
void warm_add_could_grow(struct strbuf *b, const struct warm_plan *p,
    const struct warm_row *r);

/* What the job calls the file's classes against what the file does. */
enum warm_said {
	WARM_SAID_SAME,                 /* also where one side says nothing */
	WARM_SAID_OTHERS,               /* other names: they may be renamed */
	WARM_SAID_ORDER                 /* the same names in another order */
};
/* at: the first that differs. */
enum warm_said warm_said(const struct warm_plan *p, int64_t *at);

/* --- grow_words.c --------------------------------------------------------- */

/* What is new and what is dropped, by name; and which class has the row of
 * another. */
void warm_note_growth(struct warm_plan *p);
/* `classes` of the plan, a new reference, or NULL; `grown` of a row. */
json_t *warm_classes_json(const struct warm_plan *p);
json_t *warm_grown_json(const struct warm_row *r);

/* --- refuse.c ------------------------------------------------------------- */

enum rk_err warm_judge(struct warm_plan *p, const struct warm_fit *fit,
    struct rk_why *why) RK_MUSTCHECK;
/* Parameters that load, of those that model.minimum is of (p->outside). */
int64_t warm_loaded_outside(const struct warm_plan *p);

/* --- unused.c ------------------------------------------------------------- */

/* renames: [nrename], of each whether it has changed a name. */
void warm_note_unused(struct warm_plan *p, const bool *renames);
/* "; model.mismatch has "liner.*", which fits no tensor of the model", of each
 * pattern of the fault. */
void warm_add_unused(struct strbuf *b, const struct warm_plan *p,
    enum spec_fault f);

/* --- words.c -------------------------------------------------------------- */

/* "0.28 M"; where all is below a million all digits. */
char *warm_human(char out[RK_HUMAN], int64_t n, int64_t all);
void warm_summarise(struct warm_plan *p);
void warm_digest(struct warm_plan *p);
/* "file [10,256], model [12,256]", with types where those differ. */
void warm_both_shapes(struct strbuf *b, const struct warm_plan *p,
    const struct warm_row *r);
const char *warm_row_name(const struct warm_plan *p, const struct warm_row *r);

/* --- suggest_words.c ------------------------------------------------------ */

/* The length of the layer's name that a tensor's begins with: what is before
 * the last dot, or all of it. */
int warm_layer_len(const char *tensor);
/* Have file and job classes of which some are the same, and not all? */
bool warm_classes_differ(const struct warm_want *w);
/* plain: without growth, refused or not; best: what is suggested.  The
 * caller's. */
char *warm_suggest_reason(const struct warm_plan *plain,
    const struct warm_plan *best);

#endif
