/*
 * plan - the plan of a warm start (warm.h), between a network and a file.
 *
 * plan_new() makes the lists that warm.h wants of both, plan_apply() does what the
 * rows say: numbers out of the file into the network, each tensor read once from
 * front to back, turned by way of one copy where it is to be transposed.
 */
#ifndef TRAIN_PLAN_H
#define TRAIN_PLAN_H

#include "rekindle/nn.h"
#include "rekindle/warm.h"

struct plan {
	struct warm_plan *is;
	struct warm_want want;
	struct warm_tensor *model, *file;
	const struct tensor_set *set;
	struct spec_warm spec;          /* borrows what the job's has */
};

/* How a file is taken: by a job's model, or as `--evaluate` takes one (all must
 * fit; what the job says of its policies does not count). */
struct plan_how {
	const struct spec_model *model;
	bool whole;                     /* all must fit */
	bool ours;                      /* a checkpoint of a job */
};

/* As warm_plan_new(): RK_EINVAL may leave a plan to be shown.  The network and the
 * file must live as long. */
enum rk_err plan_new(struct plan **pp, const struct nn *n,
    const struct tensor_set *file, const struct plan_how *how,
    struct rk_why *why) RK_MUSTCHECK;
void plan_free(struct plan *p);                 /* NULL is fine */

/* Do it; what the file does not give is initialised from the seed. */
enum rk_err plan_apply(const struct plan *p, struct nn *n, uint64_t seed)
    RK_MUSTCHECK;

/* The kind of a tensor of the network. */
enum warm_kind plan_kind(const struct nn_tensor *t);

#endif
