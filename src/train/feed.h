/*
 * feed - the samples of a step, or of an evaluation, into the network.
 *
 * Sets that are held in memory are gathered when they are needed (data_gather).
 * Of others a loader makes batches ahead (data_loader.h), of a whole step each;
 * parts of a step (training.micro_batch_size) are taken out of it.  Where
 * features stand for samples (feature_cache.h), it is asked only for batches of
 * which one is not there, and labels alone are loaded.
 *
 * Broken samples, by data.broken: the run fails with the first one's sentence,
 * when it comes to it; or it is named in an event, counted (`broken` in metrics
 * and progress) and left out of the loss, its place in the order staying.  A
 * step of which no sample can be read is counted and changes nothing.  Where
 * none of the first READINGS_NONE samples in the order of this attempt can be
 * read, or none of all, the run fails either way.
 *
 * Changed samples.  The content of a sample is hashed when it is read first,
 * and held against that each time it is read again, in this attempt and in
 * those that follow: the hashes are in the checkpoints (feed_known).  One that
 * has changed ends the run as changed data do (same.h), by its name, also where
 * it cannot be read any more: it is broken by data.broken only if it was so
 * from the first, or if the change is accepted.  Of texts it is hashed when the
 * run begins, and a reader finds by itself that it has changed.
 */
#ifndef TRAIN_FEED_H
#define TRAIN_FEED_H

#include "run.h"

struct feed;

/* The order, and loaders where there are some to be: the last part of
 * run_build().  A run without data has no feed; one that only scores has no
 * r->train. */
bool feed_open(struct run *r);
void feed_close(struct run *r);
/* What loaders and the order take, before there are any. */
uint64_t feed_bytes(const struct run *r);
/* A loader makes batches of this set. */
bool feed_loads(const struct data_set *d);

/* Rows of the step that begins at this place of an epoch; 0: none does. */
int64_t feed_rows(const struct run *r, int64_t epoch, int64_t place);
/*
 * The samples of the next step, `rows` of them, into r->which.  False:
 * run_fail() has why; or the run is to leave and they are not there yet.
 */
bool feed_step(struct run *r, int64_t rows);
/* The same of an evaluation, of r->micro rows at most, from place `at` on; how
 * many there are, 0: false.  Places are the samples' numbers but with buckets,
 * where a part is of one, and r->which says who is in it. */
int64_t feed_score(struct run *r, const struct data_set *d, int64_t at);
/* Of these, rows from .. from+rows-1 into the network's input and the labels'
 * arrays. */
void feed_load(struct run *r, const struct data_set *d, int64_t from,
    int64_t rows);
/* The inputs alone of n rows of the step or evaluation, wherever in it, into
 * places 0 to n - 1 of the network's input (feature_cache.h). */
void feed_load_inputs(struct run *r, const struct data_set *d,
    const int64_t *row, int64_t n);
/* The rows that were loaded last, `rows` of them, into the input of another
 * network for the same samples. */
void feed_copy_input(const struct run *r, struct nn *to, int64_t rows);
/* What the loss compares the outputs with, of the rows that were loaded last:
 * numbers, or the shares of classes where the batch is mixed; NULL: classes
 * alone. */
const float *feed_targets(const struct run *r);
/* Rows that count for nothing, from `from` on; NULL: there is none in the
 * step. */
const uint8_t *feed_left_out(const struct run *r, int64_t from);
/* Why row i of a batch is left out, where that is still known; or NULL. */
const char *feed_why_left_out(const struct run *r, int64_t i);
/* No row of the step counts. */
bool feed_is_empty(const struct run *r);

/* The part of the time since the loop began that training waited for data,
 * below 0 where no loader is; samples that could not be read, in this attempt;
 * and both as fields of a metric. */
double feed_wait_ratio(const struct run *r);
int64_t feed_broken(const struct run *r);
void feed_put(const struct run *r, json_t *metric);

/*
 * Hashes of what the samples of a set were when they were read, 0 of those that
 * were not: n of them, the feed's, for the next checkpoint and from the last;
 * NULL where no loader is, or data_knows_content().
 */
uint64_t *feed_known(struct run *r, const struct data_set *d);

#endif
