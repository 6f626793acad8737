/* model_file - the file or the checkpoint's folder behind --evaluate and
 * --predict. */
#ifndef TRAIN_MODEL_FILE_H
#define TRAIN_MODEL_FILE_H

#include "run.h"

struct model_file {
	const char *file;               /* as it was given */
	const char *deed;               /* "cannot evaluate", for refusals */
	const char *said;               /* what it is called there; NULL: file */
	char *path;                     /* the model's own file */
	char sha256[RK_SHA256_HEX];
	uint64_t bytes;
	struct ckpt_info info;          /* of a checkpoint's folder ... */
	bool is_checkpoint;             /* ... which it is */
};

/* Open it: r->warm, and of a checkpoint what it says, whose digest is
 * checked. */
bool model_file_open(struct run *r, struct model_file *m);
/* All of it into the network, and nothing else. */
bool model_file_load(struct run *r, const struct model_file *m);
/* The data, once open, are normalised as the checkpoint says that its own were.
 * False after run_fail(): their columns are others. */
bool model_file_normalize(struct run *r, const struct model_file *m);
void model_file_fini(struct model_file *m);
/* Say on standard error that of `bad` of n rows nothing is predicted; 0:
 * nothing is said. */
void model_file_warn(const struct model_file *m, int64_t bad, int64_t n);
/* {file, sha256, bytes, tensors, checkpoint: {dir, step, epoch}}; a new
 * reference. */
json_t *model_file_json(const struct run *r, const struct model_file *m);
/* Names of the classes: the checkpoint's, or the data's; a new reference, or
 * NULL. */
json_t *model_file_names(const struct run *r, const struct model_file *m);

#endif
