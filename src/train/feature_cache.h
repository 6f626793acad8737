/*
 * feature_cache - training.cache_features: what the frozen part of the network
 * gives for a sample is computed once, kept in RUN-DIR/features/train and
 * .../validation (feature_file.h), and read in place of the sample from then
 * on.
 *
 * Features are always made in the same way, nn_features_rows() samples at a
 * time, whichever they are; so a step has the same bits whether its samples'
 * features are read, or made because they are not there (yet, or any more).
 * The batch of a loader is taken only where one of them has to be made.
 *
 * The key of a file is of all that makes features but the sample: the frozen
 * layers and weights, the arithmetic, the data's fields in the job (transforms,
 * normalisation).  What a sample is, is asked of memory, or of what was read of
 * it by this attempt or before its checkpoint (seen.h); one that was never read
 * is made anew.  Samples that cannot be read are made, as zeros, each time.
 *
 * Validation features are not kept beside training.ema, which moves frozen
 * weights by a last bit.  Both files together are at most max_bytes long, the
 * first samples counting; where the disk is nearly full the run goes on without
 * keeping more, and where a checkpoint finds no room the files go.
 *
 * The main thread's.
 */
#ifndef TRAIN_FEATURES_H
#define TRAIN_FEATURES_H

#include "run.h"

struct features;

/* The network's weights are those that the run goes on with; again when its
 * frozen part has changed.  r->features stays NULL where nothing is kept. */
void features_open(struct run *r);
/* remove: its files go. */
void features_close(struct run *r, bool remove);
/* Memory, where a sample has so many features. */
uint64_t features_bytes(const struct run *r, int64_t floats);

/* Bytes on disk at most, where a sample has so many features. */
uint64_t features_disk(const struct run *r, int64_t floats);

/* Do features stand for samples of this set? */
bool features_of(const struct run *r, const struct data_set *d);
/* Those of r->which[0] to [rows - 1]; how many are not there: they are made
 * once the samples are (feed_load_inputs). */
int64_t features_read(struct run *r, const struct data_set *d, int64_t rows);
void features_make(struct run *r, const struct data_set *d);

/* nn_forward() of rows from, ..., whose labels have been loaded. */
void features_forward(struct run *r, const struct data_set *d, int64_t from,
    const struct nn_step *s, bool train);

#endif
