/*
 * mix - mixup and cutmix: rows of a step's batch and their labels mixed on
 * their way into the network (data.h, struct data_mixture).
 *
 * Only the training set's steps are mixed.  A row is not mixed when it or its
 * partner could not be read.
 */
#ifndef TRAIN_MIX_H
#define TRAIN_MIX_H

#include "rekindle/data_loader.h"
#include "run.h"

struct mix {
	struct data_mixture now;        /* of the batch; share 1: none */
	float *soft;                    /* [rows of a part][outputs], or NULL */
	int64_t outputs;
};

/* After the network is built.  Nothing where the training set does not mix. */
void mix_open(struct mix *m, const struct run *r);
void mix_close(struct mix *m);
/* The mixture of the batch that is at hand; of none, for an evaluation. */
void mix_begin(struct mix *m, const struct run *r,
    const struct data_batch *b);
void mix_none(struct mix *m);
bool mix_is_on(const struct mix *m);
/* Rows from .. from+rows-1 of it into the network's input, and their labels
 * into m->soft. */
void mix_rows(struct mix *m, const struct run *r, const struct data_batch *b,
    int64_t from, int64_t rows);

#endif
