/*
 * plan - the plan of a warm start (warm.h), between a network and a file.
 *
 * plan_new() makes the lists that warm.h wants of both, plan_apply() does what
 * the rows say: numbers out of the file into the network, each tensor read once
 * from front to back, turned by way of one copy where it is to be transposed.
 */
#ifndef TRAIN_PLAN_H
#define TRAIN_PLAN_H

#include "rekindle/nn.h"
#include "warm_file.h"

struct plan {
	struct warm_plan *is;
	struct warm_want want;
	struct warm_tensor *model;
	struct warm_file *of;
	struct spec_warm spec;          /* borrows what the job's has */
};

/* How a file is taken: by a job's model, or as `--evaluate` takes one (all must
 * fit; what the job says of its policies does not count). */
struct plan_how {
	const struct spec_model *model;
	bool whole;                     /* all must fit */
	bool ancestor;                  /* so must all of the model; what else
	                                   the file has does not matter */
	/* What rows are called after; NULL: nothing is known. */
	const struct warm_sides *classes, *tokens;
	const struct warm_names *told;
};

/* As warm_plan_new(): RK_EINVAL may leave a plan to be shown.  The network and
 * the file must live as long. */
enum rk_err plan_new(struct plan **pp, const struct nn *n,
    struct warm_file *file, const struct plan_how *how,
    struct rk_why *why) RK_MUSTCHECK;
void plan_free(struct plan *p);                 /* NULL is fine */

/* Do it; what the file does not give is initialised from the seed.  RK_EINVAL,
 * and errors of reading: why has a sentence. */
enum rk_err plan_apply(const struct plan *p, struct nn *n, uint64_t seed,
    struct rk_why *why) RK_MUSTCHECK;
/*
 * plan_grow.c.  What grows of a tensor: x is the file's, in our layout, dst the
 * network's, or a part of an optimiser's state that belongs to it.  What is new
 * begins by g->init (DEFAULT: it stays what it is) or, of a state, stays what
 * it is.  What is added is added in double, in the order of the file.
 */
void plan_grow(float *dst, const float *x, const struct nn_tensor *to,
    const struct warm_grown *g, bool state);
/* dst[m][n] = src[n][m]. */
void plan_turn(float *dst, const float *src, int64_t m, int64_t n);

/* The row of the weight whose rows are the outputs (row_names_head()); NULL:
 * there is none. */
const struct warm_row *plan_head(const struct plan *p, const struct nn *n);

/* The network's tensors as warm.h wants them; names are the network's, the list
 * the caller's. */
struct warm_tensor *plan_list(const struct nn *n, size_t *count);
/* The kind of a tensor of the network. */
enum warm_kind plan_kind(const struct nn_tensor *t);

#endif
