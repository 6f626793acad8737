/* epoch - evaluation, and what is said at the end of an epoch. */
#ifndef TRAIN_EPOCH_H
#define TRAIN_EPOCH_H

#include "run.h"

/*
 * Score the validation data, write the metrics, begin the next epoch.  True
 * with nothing changed when the run was asked to leave and the rest of the
 * evaluation would take too long: the checkpoint then stands before it, and
 * the resumed run begins with it.
 */
bool epoch_end(struct run *r);

/*
 * Before the first step of a warm start: recall of what is watched
 * (knowledge.h), and a line of metrics.  True with nothing measured where that
 * is not wanted, or was, or the run is asked to leave and it would take too
 * long: the next attempt begins with it.
 */
bool epoch_before(struct run *r);

/* The next samples of a set from its place `at` on, as many as a batch takes,
 * in inference mode: added to the tally, and in nn_output().  How many; 0:
 * there is a failure, or the run is to leave. */
int64_t score_batch(struct run *r, const struct data_set *d, int64_t at,
    struct tally *t);

#endif
