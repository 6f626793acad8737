/*
 * seen - what each sample that is read when it is needed was when it was first
 * read, in the checkpoints.
 *
 * The digest of such data (data_digest) is of paths, sizes and labels: to read
 * all files before a step takes too long.  What is in them is hashed as they
 * are read (feed.h), and the hashes go with each checkpoint into its
 * CKPT_DATA_FILE, a set of
 *
 *	train.content, validation.content  U64 [samples]: rk_hash64(0,) of a
 *	                    sample's bytes; 0 of one that was not read yet
 *	train.file, validation.file        U64 [samples]: of its path, size and
 *	                    label, which names the first that differs where the
 *	                    digest does.  Of texts: of what it says and its
 *	                    label, and there is no `content`
 *
 * in the order of the sets.  It is written, digested, uploaded and retained as
 * the other files of a checkpoint are.  An attempt that goes on has the hashes
 * again: a file of which a byte has changed is found when it is next read.
 *
 * 64 bits: of what disks and editors do to a file one change in 10^19 is not
 * seen.  Who makes two files of one hash on purpose gains nothing by it here.
 *
 * The main thread's; from seen_take() until the writer is free again the set is
 * the writer's, as its shadow is.
 */
#ifndef TRAIN_SEEN_H
#define TRAIN_SEEN_H

#include "run.h"

struct seen;

/* After the data are opened; r->seen stays NULL where all lie in memory. */
void seen_open(struct run *r);
void seen_close(struct run *r);
/* Where the digest of a set puts the hash of each sample's path, size and
 * label; or NULL. */
uint64_t *seen_files(struct run *r, const struct data_set *d);

/* What the checkpoint that the run goes on from has of it. */
void seen_load(struct run *r, const struct ckpt_info *i);
/* It into feed_known(). */
void seen_restore(struct run *r);
/* Other data are accepted: nothing is known of them. */
void seen_forget(struct run *r);
/* The name of the first sample whose path, size or label is not what it was,
 * the caller's; NULL: that cannot be told. */
char *seen_changed(struct run *r, const struct data_set *d);

/* All that is known by now, for a checkpoint; NULL: there is nothing to
 * keep. */
const struct tensor_set *seen_take(struct run *r);
/* Bytes in memory, and in a checkpoint. */
uint64_t seen_bytes(const struct run *r);

#endif
