/*
 * What the files of judge share.
 *
 *	count.c     rows into counts
 *	cells.c     the confusion matrix, off its diagonal
 *	figures.c   counts into figures
 *	counts.c    counts as JSON, and back
 *	report.c    figures as JSON
 *	svg.c       lines, boxes and texts; axes
 *	draw_*.c    a picture each
 */
#ifndef JUDGE_IMPL_H
#define JUDGE_IMPL_H

#include "rekindle/judge.h"

/* A cell off the diagonal. */
struct cell {
	uint32_t label, class;
	int64_t rows;                   /* 0: the place is free */
};

struct bin {
	int64_t rows, right;
	double confidence;              /* sum */
};

struct judge {
	struct judge_want w;
	struct judge_rows n;
	int64_t right, top5;
	double plain_loss, distance;    /* sums, over rows that are finite */
	/* [kept] each, one behind the other; NULL: of numbers */
	int64_t kept;                   /* K; of counts without classes 1 */
	int64_t *support, *predicted, *correct;
	struct cell *cells;             /* open addressing; or NULL */
	size_t room, used;              /* places, a power of two; taken */
	int64_t others;                 /* rows that had no cell */
	struct bin bins[JUDGE_BINS];
	double macro[3];                /* of counts without classes: these */
	bool only_macro;
};

/* How many places for cells K classes are given; a power of two, or 0. */
size_t cells_room(const struct judge_want *w);
void cells_add(struct judge *j, int64_t label, int64_t class, int64_t rows);
/* The cells, most rows first, then by label and class.  The caller frees; *n is
 * how many. */
struct cell *cells_sorted(const struct judge *j, size_t *n);

static inline int64_t
finite_rows(const struct judge *j)
{
	return j->n.counted - j->n.not_finite;
}

/* What is predicted with, in bins; else there is no calibration. */
static inline bool
is_calibrated(const struct judge *j)
{
	return j->w.task == JUDGE_TASK_LABELS ||
	    (j->w.task == JUDGE_TASK_CLASSES && j->w.logits);
}

/* Classes or labels are counted by themselves. */
static inline bool
has_classes(const struct judge *j)
{
	return j->support != NULL && !j->only_macro;
}

/* Into an object or a list; both take v. */
static inline void
put(json_t *o, const char *key, json_t *v)
{
	must(v != NULL && json_object_set_new(o, key, v) == 0);
}

static inline void
add(json_t *a, json_t *v)
{
	must(v != NULL && json_array_append_new(a, v) == 0);
}

/* Of one class. */
struct per_class {
	double precision, recall, f1;
};
struct per_class class_figures(const struct judge *j, int64_t k);

/* names[k], cleaned and cut to max bytes, or "k"; the caller frees. */
char *class_name(const json_t *names, int64_t k, size_t max);

#endif
