/*
 * same - are the data those that the checkpoint was made with?
 *
 * Content, count and shape are in a digest (data_digest), of the training and
 * of the validation set, in every checkpoint; of samples that are files, paths,
 * sizes and labels, and seen.h has what is in them.  A run that goes on with
 * others ends with data_changed, unless --accept data was given.  Paths do not
 * matter, nor how a file is packed.
 *
 * Small sets are digested before anything else is done.  Those of AT_ONCE_BYTES
 * and more (REKINDLE_TRAIN_DIGEST_AT_ONCE=BYTES sets another limit) are
 * digested by a thread behind the first steps; until it is through no
 * checkpoint is committed, so that nothing that was trained on changed data is
 * ever taken for good.  Finding a change then ends the run as finding it before
 * does, and the next attempt begins where this one began.  A run that has to
 * leave before that waits for it as long as its deadline lets it, and else
 * leaves without a new checkpoint.
 *
 * RUN-DIR/data.json keeps the digests by what fstat(2) says of the files
 * (device, inode, size, both times) and how they are read.  When it agrees, a
 * change is found before the first step; the thread checks all the same.  What
 * is no such file, or was changed within seconds of its being read, is passed
 * over.
 */
#ifndef TRAIN_SAME_H
#define TRAIN_SAME_H

#include <pthread.h>
#include <stdatomic.h>

#include "rekindle/ckpt.h"

struct run;

struct same {
	char valid[RK_SHA256_HEX];      /* the validation set's, or "" */
	bool final;                     /* it and run.data_digest are right */
	bool kept;                      /* they are from data.json */
	char key[RK_SHA256_HEX];        /* of data.json; "": not to be kept */

	/* What the checkpoint says; "": nothing to compare with. */
	char from[CKPT_DIR_MAX];
	char want[RK_SHA256_HEX], want_valid[RK_SHA256_HEX];
	json_t *was;                    /* its words on it, owned */

	/* The thread's, until done. */
	bool running;
	pthread_t thread;
	atomic_bool stop, done;
	char got[RK_SHA256_HEX], got_valid[RK_SHA256_HEX];
	int64_t begun_ms;
};

/* Before the files are read, and after: they must not change between. */
bool same_before(struct run *r);
bool same_begin(struct run *r);
/* The checkpoint that the run goes on from. */
bool same_judge(struct run *r, const struct ckpt_info *i);
/* Between steps: has the thread come to an end? */
bool same_look(struct run *r);
/* Until the digests are final, or the run's deadline has come. */
bool same_wait(struct run *r);
void same_end(struct run *r);
/* For checkpoint.json: {train, validation, files}; a new reference. */
json_t *same_json(const struct run *r);
/* Have only the paths of the data changed since? */
bool same_but_moved(const struct run *r, const struct ckpt_info *i);

#endif
