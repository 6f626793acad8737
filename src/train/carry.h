/*
 * carry - what a warm start takes along beside weights (training.warm_start):
 * the optimizer's moments, the count of their updates, the place in the
 * schedule.
 */
#ifndef TRAIN_CARRY_H
#define TRAIN_CARRY_H

#include "plan.h"
#include "run.h"

/*
 * After plan_apply().  {tensors, updates, notes} is a new reference, or
 * NULL where nothing was asked for; what cannot be carried begins at zero, and
 * a note has the reason.  False after run_fail(): the job asks for what cannot
 * be had.
 */
bool carry_over(struct run *r, const struct plan *p, const char *path,
    json_t **told);
/* What it would be, for a plan that is shown: reads no moments and changes
 * nothing of the run. */
bool carry_foretell(struct run *r, const struct plan *p, const char *path,
    json_t **told);

#endif
