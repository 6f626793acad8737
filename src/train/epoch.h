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

/* The samples r->which into the network's input and the labels' arrays. */
void load_batch(struct run *r, const struct data_set *d, int64_t from,
    int64_t rows);

/* The next samples of a set from its place `at` on, as many as a batch takes,
 * in inference mode: added to the tally, and in nn_output().  How many. */
int64_t score_batch(struct run *r, const struct data_set *d, int64_t at,
    struct tally *t);

#endif
