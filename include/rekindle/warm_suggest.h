/*
 * warm_suggest - what a job could begin from: candidates, and the lines of a
 * job that would take the most out of one.
 *
 * Pure functions of lists of tensors, as warm.h has them; no weights are read.
 *
 * A candidate's lines are found by planning it (warm_plan_new()) until the plan
 * is one that the job would be accepted with:
 *
 *	strict: true     all fits, perhaps with model.grow
 *	grow: [LAYER]    a head whose classes are others, where names are known
 *	                 on both sides and some are the same; an embedding of
 *	                 other tokens, likewise; a convolution of one input
 *	                 channel in place of several, or the reverse
 *	strict: false    what does not fit begins anew
 *	minimum: X       where less than is usual would load: as much as does,
 *	                 rounded down to hundredths
 *	dialect: WORD    where two would fit as well
 *
 * What the job itself says of a warm start (rename, mismatch, ...) is of
 * another file, and does not count.
 */
#ifndef REKINDLE_WARM_SUGGEST_H
#define REKINDLE_WARM_SUGGEST_H

#include "rekindle/warm.h"

/* A candidate that would load less of the parameters is none. */
#define WARM_SUGGEST_LEAST 0.1

/*
 * What a file gives, by want's lists, names and framework (spec and strict are
 * not looked at): a new reference, or NULL where it would load too little, or
 * nothing that a job is accepted with.
 *	{parameters_loaded, parameters_total, tensors_loaded, tensors_total,
 *	 share, ignored (tensors of the file that are not used), reason,
 *	 model: {strict, grow: [...], minimum, dialect}}
 * share is of the parameters, 0 to 1, and never rounded up to 1.  reason: "48
 * of 50 tensors: all but fc, whose classes differ; grow: [fc] takes 4 of 6
 * classes".  model: the lines, without the checkpoint; of the last three only
 * those that are wanted.
 */
json_t *warm_suggest(const struct warm_want *want);

/* --- candidates ----------------------------------------------------------- */

/*
 * A file of candidates:
 *	{candidates: [{id, one of tensors | file | checkpoints, classes,
 *	framework, writer}], classes: [[name, ...], ...]}
 *
 *	tensors      [{name, dtype, shape}], as `--inspect` prints them
 *	file         the path of a JSON file that has these under `tensors`
 *	checkpoints  the folder of a job's checkpoints, beside its job.json
 *	classes      the number of a list under the outer `classes`, from 0;
 *	             none: they are not known
 *	framework, writer  of the file; `rekindle`: one of ours
 *
 * What else is there does not matter.  With role, only tensors of role `model`
 * count.
 */
#define WARM_CANDIDATES_MAX 1000
#define WARM_LIST_TENSORS   16384       /* of one candidate */

struct warm_list {
	struct warm_tensor *v;          /* names are the tree's */
	size_t n;
	enum warm_framework framework;
	const char *writer;             /* the tree's, or NULL */
	json_t *tree;                   /* owned */
};
/* A file's own description: {tensors, framework, writer}.  RK_EINVAL. */
enum rk_err warm_list_read(const json_t *v, struct warm_list *out,
    struct rk_why *why) RK_MUSTCHECK;
void warm_list_fini(struct warm_list *l);       /* fine on {0} */

struct warm_candidate {                 /* texts are the tree's */
	const char *id;
	const json_t *description;      /* with `tensors`; or NULL */
	const char *file, *checkpoints; /* or NULL */
	const json_t *classes;          /* texts; NULL: not known */
	const char *writer;             /* NULL: as the list says */
	enum warm_framework framework;
};
struct warm_candidates {
	struct warm_candidate *v;
	size_t n;
	json_t *tree;                   /* owned */
};
/* The text of such a file.  RK_EINVAL, with the place. */
enum rk_err warm_candidates_parse(const char *text, size_t len,
    struct warm_candidates *out, struct rk_why *why) RK_MUSTCHECK;
void warm_candidates_fini(struct warm_candidates *c);   /* fine on {0} */

#endif
