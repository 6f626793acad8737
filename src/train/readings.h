/*
 * readings - what has come of reading the samples of a set: what each was when
 * it was read first, which are broken, and whether any can be read at all.
 *
 * feed.h says what follows from it.  The order of the samples decides, never
 * how many of them make a batch.
 */
#ifndef TRAIN_READINGS_H
#define TRAIN_READINGS_H

#include "rekindle/data_loader.h"
#include "run.h"

/* So many samples, or all of a set that has fewer, and none can be read: the
 * run fails whatever data.broken says. */
#define READINGS_NONE 1000

struct readings {
	const struct data_set *d;
	uint64_t *known;                /* feed_known(), or NULL */
	uint8_t *broken;                /* a bit a sample */
	bool any;                       /* one could be read */
	int64_t none;                   /* till then: broken ones, and what is
	                                   wrong with the first; owned */
	char *first;
};

/* Nothing is remembered of a set that no loader reads, or of NULL. */
void readings_open(struct readings *m, const struct data_set *d);
void readings_close(struct readings *m);
uint64_t readings_bytes(const struct data_set *d);

/* A batch of m's set has come; *count has the samples of all sets that are
 * broken.  False: run_fail(), or the run is to leave. */
bool readings_take(struct run *r, struct readings *m,
    const struct data_batch *b, int64_t *count);

#endif
