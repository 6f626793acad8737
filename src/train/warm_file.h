/*
 * warm_file - the file of a warm start, whoever wrote it: its tensors in the
 * words of warm.h, their numbers, and the state of an optimizer that is in it
 * or beside it.
 *
 * What a checkpoint of ours has is mapped and read in place (format.h); any
 * other file is a stranger's, and a process of its own reads it (inspect.h).
 * The optimizer's state is in the file itself (PyTorch's and
 * Paddle's checkpoints), in STEM.pdopt beside a .pdparams, or in optimizer.
 * safetensors beside the model of a checkpoint of ours.
 */
#ifndef TRAIN_WARM_FILE_H
#define TRAIN_WARM_FILE_H

#include "rekindle/format.h"
#include "rekindle/inspect.h"
#include "rekindle/warm.h"

struct warm_file {
	struct tensor_set *set;         /* of ours; else NULL */
	struct weights *weights;        /* of strangers; else NULL */
	bool own_set;
	struct warm_tensor *v;          /* what may go into a model */
	size_t *at;                     /* [n]: its number in set or weights */
	size_t n;
	enum warm_framework framework;
	const char *writer;             /* NULL: it does not say */
	/* of the optimizer, once asked for */
	struct tensor_set *state_set;   /* of ours */
	struct weights *state;          /* its own file, or `weights` */
	bool state_by_name;             /* as ours calls them: NAME.exp_avg */
};

/* The index of a model in shards that is in place of the file of this path,
 * which is not there; the caller frees; NULL: none. */
char *warm_file_index(const char *path);
/* path: what of the file is meant may follow it (struct rk_part).  ours: a
 * checkpoint has it.  average: the moving average in place of the model, where
 * the file has one (RK_EINVAL: it has none).  Errors as of inspect_open(). */
enum rk_err warm_file_open(const char *path, bool ours, bool average,
    struct warm_file **out, struct rk_why *why) RK_MUSTCHECK;
/* A stranger's, and which part of it. */
enum rk_err warm_file_open_how(const char *path, const struct inspect_how *how,
    struct warm_file **out, struct rk_why *why) RK_MUSTCHECK;
/* Of a set that stays the caller's, for tests. */
struct warm_file *warm_file_of(struct tensor_set *set);
void warm_file_free(struct warm_file *f);       /* NULL is fine */
/* A checkpoint of ours wrote it. */
void warm_file_is_ours(struct warm_file *f);
/* The metadata of a safetensors file; NULL. */
const char *warm_file_meta(const struct warm_file *f, const char *key);

/* All numbers of tensor i as floats. */
enum rk_err warm_file_read(const struct warm_file *f, size_t i, float *dst,
    struct rk_why *why) RK_MUSTCHECK;

/* --- the optimizer -------------------------------------------------------- */

/* Look for the state in the file, or beside path; state: the path of a .pdopt
 * that lies elsewhere, or NULL.  False: there is none, or it cannot be read;
 * *reason is a sentence, the caller's. */
bool warm_file_state(struct warm_file *f, const char *path, const char *state,
    char **reason);

/*
 * A part of the state that belongs to tensor i, by PyTorch's name of the slot
 * ("exp_avg"), in the shape of the tensor as the file has it: false where there
 * is none of that shape.  The caller reads `count` numbers; dst NULL: whether
 * it could.
 */
bool warm_file_slot(const struct warm_file *f, size_t i, const char *slot,
    float *dst, size_t count);
/* The updates that tensor i has had, by a count or by the power of beta2.
 * False: *reason, a text of ours. */
bool warm_file_updates(const struct warm_file *f, size_t i, double beta2,
    int64_t *updates, const char **reason);
/* The steps of the learning rate's schedule that were done; -1: not told. */
int64_t warm_file_step(const struct warm_file *f);

#endif
