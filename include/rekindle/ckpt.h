/*
 * ckpt - checkpoints of one job: a folder of them, written so that none is ever
 * half there, and read so that a damaged one is never used.
 *
 *	<checkpoints>/
 *	    step-000001200/            branch 1
 *	        checkpoint.json        written last; what makes it a checkpoint
 *	        model.safetensors
 *	        optimizer.safetensors
 *	        data.safetensors       where samples are files of their own
 *	        SHA256SUMS             of one that got its name later; see below
 *	    step-000001500-b2/         branch 2, with parameters that are frozen
 *	        checkpoint.json
 *	        model.safetensors.index.json
 *	        trained.safetensors
 *	        frozen-<xxh128>.safetensors
 *	        optimizer.safetensors
 *	    before-lr-drop -> step-000001200    a name that a person gave
 *	    .pin-<id> -> step-000001200         job <id> is about to begin from
 *						it
 *	    branch.json                {"branch": 2, "from": "step-000001200"}
 *	    bad-step-000001400/        set aside: failed its digests
 *	    late-step-000001600/       set aside: no longer the job's
 *	    .tmp-* .del-* .rk-tmp-*    litter of a crash; swept by ckpt_open()
 *	    .lock                      held (flock) by the one that writes
 *
 * A checkpoint is written to a .tmp- folder: files, then checkpoint.json with
 * their sizes and digests, each fsynced, then the folder; then it is renamed
 * and the parent fsynced.  Deletion renames to .del- first.  So every step-*
 * that can be seen is whole, whatever was killed when.  checkpoint.json carries
 * its own digest too ("check"), so that a flipped bit in it is seen as surely
 * as one in a tensor.
 *
 * Branches.  A job that goes on from its newest checkpoint stays on its branch.
 * One that is resumed from an older one opens the next branch; the checkpoints
 * of the old stay.  `latest` is the newest good checkpoint of the current
 * branch; while that has none, the one it began from.
 *
 * Shards.  Tensors that cannot change while the run goes on as it does
 * (parameters that are not trained; buffers that nothing moves) lie in a file
 * of their own, frozen-<its XXH3 digest>.safetensors; the others in
 * trained.safetensors.  There is no model.safetensors then, so that nobody
 * takes a part for the whole.  model.safetensors.index.json says which file has
 * which tensor, in the form of Hugging Face's libraries, which load the folder
 * as it is; its order is that of the network.  The optimizer's file has nothing
 * of what is frozen.
 *
 *	written   the digest is made of memory first.  An older checkpoint of
 *	          the folder that has a file of that name gives it by a hard
 *	          link, once its bytes were held against the digest (once for
 *	          each file and each ckpt_open()); else, and where there are no
 *	          hard links or no more of them, it is written
 *	deleted   with the last checkpoint that has it: the file system counts
 *	thawed    the set is another, so its digest is: nothing is shared with
 *	          what was.  What begins to be trained begins without moments
 *	damaged   one bad sector is in all that share the file.  A copy that is
 *	          no hard link of it (in memory as one is written; in another
 *	          checkpoint of the folder, also one that was set aside; what
 *	          ckpt_mend() is given) takes its place in all of them, by a
 *	          rename in each folder
 *	elsewhere a file is the same by name, size and digest: sent once
 *	          (ship.h), fetched once
 *
 * Of less than CKPT_FROZEN_MIN bytes no shard is made: it would cost more in
 * requests than it saves in bytes.  With a moving average there is none, too:
 * the average of what is frozen moves by rounding.
 *
 * Writer: the trainer, from one thread at a time.  Readers and the namer may be
 * another process (the daemon): each operation is one rename or one symlink.
 * Naming, deleting and retention take turns (flock on the folder, for a few
 * renames), so that what a person has named is not deleted under their hands;
 * who waits for two seconds in vain gets RK_EBUSY.  One that is about to get a
 * name is not deleted, either, while its files are read.
 */
#ifndef REKINDLE_CKPT_H
#define REKINDLE_CKPT_H

#include "rekindle/format.h"

/*
 * What is written is checkpoints of format 3 or 4, and all that were before can
 * be read; etc/checkpoint.schema.json is their JSON Schema.  In checkpoint.json
 * `version` is what a reader has to know not to go wrong (one above its own is
 * refused, with both): 2 of a checkpoint with shards, 1 of all others: what
 * formats 2 and 3 add decides no weight, and a rekindle that does not know it
 * can go on from there (where a fleet is half upgraded, or an upgrade is taken
 * back) instead of setting aside what is whole.  `format` says what has been
 * recorded.
 *
 *	1   all but these (no field `format`)
 *	2   program, classes, input
 *	3   xxh128 of every file; sha256 only where it goes to others or has a
 *	    name from its beginning.  A rekindle of before takes one without
 *	    sha256 for damaged, and says that sha256 is missing; this one takes
 *	    any
 *	4   shards; version 2
 */
#define CKPT_VERSION     2      /* the highest that is read */
#define CKPT_DIR_MAX     80
#define CKPT_MAX_FILES   16
#define CKPT_JSON_MAX    (1u << 20)
#define CKPT_MODEL_FILE  "model.safetensors"
#define CKPT_TRAINED_FILE "trained.safetensors"
#define CKPT_INDEX_FILE  "model.safetensors.index.json"
#define CKPT_FROZEN_MIN  ((uint64_t)256 << 10)  /* bytes worth a shard */
#define CKPT_OPTIM_FILE  "optimizer.safetensors"
#define CKPT_DATA_FILE   "data.safetensors"

/*
 * One of both digests is there at least.  xxh128 is quick to make and to check,
 * and is what a load checks.  sha256 is for who gets the file from elsewhere,
 * and is made with a checkpoint that is to leave this machine (`leaves`) or
 * gets its name as it is written.  One that gets its name later (ckpt_name())
 * has it in SHA256SUMS beside checkpoint.json, which stays as it is, as its own
 * digest is known to others; reading takes it from there.  `sha256sum -c
 * SHA256SUMS` checks all files.  Where that is damaged or missing, nothing is
 * lost: who needs SHA-256 makes it from the file (ckpt_file_sums()).
 */
struct ckpt_file {
	char name[64];
	uint64_t size;
	char sha256[RK_SHA256_HEX];     /* or "" */
	char xxh128[RK_XXH128_HEX];     /* or "": of format 1 or 2 */
};

/* Is it a shard that checkpoints may share?  Is it the model, or a part? */
bool ckpt_is_shared(const struct ckpt_file *f);
bool ckpt_is_of_model(const struct ckpt_file *f);

/* What checkpoint.json holds: all the state there is. */
struct ckpt_info {
	char dir[CKPT_DIR_MAX];         /* "step-000001200"; set by ckpt_save */
	int branch;                     /* set by ckpt_save */
	char parent[CKPT_DIR_MAX];      /* where this run went on from, or "" */
	char job[RK_ID];                /* "" when a trainer ran alone */
	int64_t attempt;
	int64_t step;                   /* optimiser steps done */
	int64_t epoch;                  /* epochs completed, from 0 */
	int64_t sample;                 /* samples of the current epoch done */
	uint64_t seed;
	double learning_rate;           /* of the last step */
	char spec_digest[RK_SHA256_HEX];
	char data_digest[RK_SHA256_HEX];
	char producer[128];             /* "rekindle-train 0.1.0, own ..." */
	int64_t created_ms;
	json_t *metrics;                /* object of numbers; owned; NULL: {} */
	json_t *split;                  /* what is held out for validation:
	                                   object in the trainer's words, owned;
	                                   NULL: from before there was one */
	json_t *state;                  /* the trainer's own words: running
	                                   sums, best so far; object, owned */
	json_t *arithmetic;             /* what the bits of a step depended on:
	                                   object of texts (kernel.h, and
	                                   `identity` and `mode` of train.h),
	                                   owned;
	                                   NULL: written by a version that did
	                                   not record it */
	json_t *inexact;                /* why these are not the bytes of a run
	                                   that nothing interrupted; see below;
	                                   owned; NULL: they are */
	bool leaves;                    /* for ckpt_save: with sha256 */
	const struct tensor_set *data;  /* for ckpt_save: CKPT_DATA_FILE, of the
	                                   trainer's; borrowed; NULL: none */
	int format;                     /* set by ckpt_save */
	char program[RK_SHA256_HEX];    /* of what the network is compiled to
	                                   (nn_digest); "" in format 1 */
	json_t *classes;                /* names of the outputs, as many texts,
	                                   owned; NULL: the data have none */
	json_t *input;                  /* what the network takes; see below;
	                                   owned; NULL in format 1 */
	struct ckpt_file files[CKPT_MAX_FILES];
	int nfiles;
	uint64_t bytes;                 /* of all files */
	uint64_t shared;                /* of these, in files that another
	                                   folder of this machine has, too
	                                   (hard links), and that cost nothing;
	                                   by save, ckpt_list, ckpt_read */
	char digest[RK_SHA256_HEX];     /* of checkpoint.json; by save, load */
	char **names;                   /* people's names for it, then NULL;
	                                   owned; by ckpt_list, ckpt_read */
};
/*
 * inexact: {reason, attempt, step, message}.  reason: arithmetic_changed (also:
 * what rekindle compiles the same network to has changed);
 * data_changed, where a person accepted that; or arithmetic_unknown: an attempt
 * went on from a checkpoint that does not say what it was computed with.  It is
 * that of the first such attempt on the way here, and goes from checkpoint to
 * checkpoint; a run that goes on from one that was taken before has nothing of
 * it.  What a person changed of the job (a resume's overrides) is no such
 * break: the same changes at the same steps give the same bytes.
 */
#define CKPT_ARITHMETIC_MAX 32  /* texts, each of at most 128 bytes */
/*
 * input: {dtype, shape, normalize, columns, tokenizer, pixels}, all that is to be known
 * to put a sample to the network.
 *
 *	dtype      f32 | i32
 *	shape      of one sample, without the batch: [1, 28, 28]
 *	normalize  {type, count, scale, shift}: the job's word (none, scale,
 *	           standard) and what it comes to: number i of a sample of n
 *	           numbers, as its file has it (pixels 0 to 255), goes in as
 *	           x[i] * scale[k] + shift[k], k = i * count / n rounded down,
 *	           in 32-bit floats.  null for i32.  Of more than
 *	           CKPT_NORMALIZE_MAX numbers only the count is there: they are
 *	           to be measured again, on the training data
 *	columns    of csv alone: what the columns of a sample are called, in the
 *	           order of its numbers (control characters and what is no UTF-8
 *	           as '?'); null: they have no names.  Absent in checkpoints
 *	           from before there was this, and of more than
 *	           CKPT_NORMALIZE_MAX names, or CKPT_COLUMNS_BYTES of them
 *	tokenizer  of texts alone: a hash, 16 digits, of the job's tokenizer and
 *	           its vocabulary, by which a text is to become these tokens
 *	pixels     [channels, height, width] of the data's pictures before the
 *	           transforms, where the job's fields do not say it
 */
#define CKPT_NORMALIZE_MAX 4096
#define CKPT_COLUMNS_BYTES ((size_t)64 << 10)
#define CKPT_CLASSES_MAX   65536        /* names, each of at most 1024 bytes */
void ckpt_info_fini(struct ckpt_info *i);       /* fine on {0} */
/* Has it shards, and no CKPT_MODEL_FILE? */
bool ckpt_in_shards(const struct ckpt_info *i);
/* As the API shows it: all fields but state and input, "checkpoint" for dir,
 * and names; a new reference. */
json_t *ckpt_info_json(const struct ckpt_info *i);

struct ckpt;

/*
 * Open (and create) a job's checkpoints folder.  sweep: remove litter; only for
 * the one that writes, once at a time: if another writer has it open, this
 * waits up to ten seconds for that to leave (a trainer that lost its daemon is
 * still committing), then RK_EBUSY.  RK_EROFS, RK_ENOSPC, RK_EIO.
 */
enum rk_err ckpt_open(struct ckpt **cp, const char *path, bool sweep)
    RK_MUSTCHECK;
void ckpt_close(struct ckpt **cp);
const char *ckpt_path(const struct ckpt *c);

/*
 * Write and commit.  info's fields are the caller's but those said above; they
 * are set on RK_OK (created_ms too, if it is 0).  Tensors of model whose `part`
 * is CKPT_FROZEN go into a shard.  optim may be NULL.  name: a
 * person's name for it, or NULL; an older checkpoint of that name loses it.  A
 * checkpoint of the same step and branch that is there already is kept and is
 * the result: it has the same state by the promise of exact resume.
 * RK_ENOSPC, RK_EROFS, RK_EIO, RK_EINVAL (the name): nothing has changed.
 */
enum ckpt_part { CKPT_TRAINED, CKPT_FROZEN };    /* struct tensor.part */
enum rk_err ckpt_save(struct ckpt *c, struct ckpt_info *info,
    const struct tensor_set *model, const struct tensor_set *optim,
    const char *name) RK_MUSTCHECK;

/* Bytes of a checkpoint that the next one of its folder need not write, as long
 * as the same is frozen: it is given a link. */
uint64_t ckpt_info_frozen(const struct ckpt_info *i);

/* All that can be seen, oldest first: by branch, then step; names filled in.
 * One whose checkpoint.json cannot be read is left out (and logged). */
enum rk_err ckpt_list(struct ckpt *c, struct ckpt_info **v, size_t *n)
    RK_MUSTCHECK;
void ckpt_list_free(struct ckpt_info *v, size_t n);

/* checkpoint.json of one, by folder or by a person's name; RK_ENOENT,
 * RK_ECORRUPT.  No digests of the big files are checked. */
enum rk_err ckpt_read(struct ckpt *c, const char *dir_or_name,
    struct ckpt_info *out) RK_MUSTCHECK;

/* Size and digest of every file; RK_ECORRUPT with a sentence in why. */
enum rk_err ckpt_verify(struct ckpt *c, const struct ckpt_info *i,
    struct rk_why *why) RK_MUSTCHECK;
/* The same of one file that is open.  sha256: gets the file's SHA-256 as it is
 * now, in the same reading; NULL: not wanted.  RK_EIO: cannot be read.  Any
 * thread; f is only read. */
enum rk_err ckpt_file_sums(int fd, const struct ckpt_file *f, char *sha256,
    struct rk_why *why) RK_MUSTCHECK;

/*
 * Find by selector (latest | best | step:N | NAME | a folder's name); best is
 * by metric and mode over all branches, the first of equals; step:N prefers the
 * current branch, then the newest branch.  Nothing is verified.  RK_ENOENT:
 * there is none; why lists what there is.  RK_ECORRUPT: the one meant has a
 * checkpoint.json that cannot be read.  RK_EINVAL: step: without a number.
 */
enum rk_err ckpt_select(struct ckpt *c, const char *selector,
    const char *metric, bool mode_max, struct ckpt_info *out,
    struct rk_why *why) RK_MUSTCHECK;

/*
 * What a run starts from: select, verify, load.  One that fails its digests is
 * set aside (renamed bad-...), `note` is told, and for `latest` the next older
 * good one is taken: on its branch, then from where the branch began, and so
 * on; for `best` the next best.  A named one, step:N or a folder that fails is
 * an error (RK_ECORRUPT) and stays where it is: a person meant that one.
 * One that cannot be read (an error of the disk, no permission) is passed over
 * and stays.  `note` hears too that branch.json is no good.
 * On RK_OK *model (all of it, `part` set) and *optim (NULL if it has none) are
 * the caller's.
 * RK_ENOENT: there is none (any more).  RK_EIO: there is none but those that
 * cannot be read; or, of latest and best, a newer rekindle has gone on with the
 * branch, and nothing is set aside or loaded.  note may be NULL.
 */
typedef void ckpt_note_fn(void *ctx, const char *sentence);
enum rk_err ckpt_load(struct ckpt *c, const char *selector,
    const char *metric, bool mode_max, struct ckpt_info *out,
    struct tensor_set **model, struct tensor_set **optim,
    ckpt_note_fn *note, void *ctx, struct rk_why *why) RK_MUSTCHECK;

/*
 * The whole model of a checkpoint's folder, wherever it lies, whose
 * checkpoint.json says i: CKPT_MODEL_FILE, or all shards as one set in the
 * network's order, with the metadata of CKPT_TRAINED_FILE.  RK_ECORRUPT: it is
 * not what was written; RK_ENOENT, RK_EIO.  Any thread.
 */
enum rk_err ckpt_load_model(const char *folder, const struct ckpt_info *i,
    struct tensor_set **out, struct rk_why *why) RK_MUSTCHECK;
/*
 * The CKPT_MODEL_FILE that the shards of i stand for, written to fd, with its
 * digest and size.  paths[k]: where file k of i is; NULL of what is not of the
 * model.  Each is checked first.  Nothing is synced; errors leave something.
 */
enum rk_err ckpt_join(const char *const *paths, const struct ckpt_info *i,
    int fd, char sha256[RK_SHA256_HEX], uint64_t *size, struct rk_why *why)
    RK_MUSTCHECK;

/*
 * Shards of the folder's checkpoints that are damaged or missing, and of which
 * no other checkpoint has a copy (one that has is mended with it here): at most
 * CKPT_BAD_MAX, each once.  Reads each file of the disk that is shared once; no
 * shards, and nothing is read.  Then ckpt_mend() with a good copy from
 * elsewhere, which is linked, or copied where that cannot be, to all
 * checkpoints that are to have it, set aside or not; *mended counts them.
 * RK_ECORRUPT: path is not what is wanted.  Any thread, with a struct ckpt of
 * its own; beside a writer, too.
 */
#define CKPT_BAD_MAX 8
enum rk_err ckpt_bad_shards(struct ckpt *c, struct ckpt_file v[CKPT_BAD_MAX],
    int *n) RK_MUSTCHECK;
enum rk_err ckpt_mend(struct ckpt *c, const struct ckpt_file *f,
    const char *path, int *mended) RK_MUSTCHECK;
/* Has any of them shards?  Nothing but names of files is looked at. */
bool ckpt_any_shards(struct ckpt *c);

/* The CKPT_DATA_FILE of one that was loaded, which was verified there: *out is
 * the caller's.  RK_ENOENT: it has none. */
enum rk_err ckpt_load_data(struct ckpt *c, const struct ckpt_info *i,
    struct tensor_set **out, struct rk_why *why) RK_MUSTCHECK;

/*
 * What `latest` could mean, without reading more than checkpoint.json of each.
 * Of what was set aside that counts which the current branch goes back to.
 */
struct ckpt_left {
	bool usable;            /* latest is one of those that can be seen, and
	                           no newer rekindle has gone on from it */
	int others;             /* seen, but of other branches */
	int damaged;            /* step-* whose checkpoint.json is no good */
	int unreadable;         /* ... or that gave an error: it may pass; or
	                           is of a newer version */
	int aside;              /* bad-* and late-* */
};
/* why (may be NULL) has a sentence when nothing is usable. */
enum rk_err ckpt_left(struct ckpt *c, struct ckpt_left *out,
    struct rk_why *why) RK_MUSTCHECK;
/*
 * Put back the newest of those set aside that is whole, when no other is left
 * to go on from; `note` is told.  RK_ENOENT: there is none.  The writer's.
 */
enum rk_err ckpt_put_back(struct ckpt *c, ckpt_note_fn *note, void *ctx)
    RK_MUSTCHECK;

/*
 * Say from which checkpoint a run goes on; NULL or "" for a run that begins
 * with nothing.  When that is what `latest` gives, the branch stays; else the
 * next one is opened, durably, as it is by a run that begins with nothing where
 * something was set aside.  *branch is the current one after the call.
 * RK_ENOENT: there is no such checkpoint.
 */
enum rk_err ckpt_branch_from(struct ckpt *c, const char *dir, int *branch)
    RK_MUSTCHECK;

/*
 * A checkpoint from elsewhere: a folder to put its files into, beside the
 * others, which ckpt_open(sweep) would remove; and its commit: every file's
 * size and digest checked against checkpoint.json, all fsynced, renamed to dir.
 * Files may be hard links: none is written into.  What checkpoint.json does not
 * name is removed.  It takes as long as reading all files does.
 *
 * `tmp` is the caller's string.  After a commit or ckpt_admit_drop() the folder
 * is gone; after a failure it is as it was, but for what was removed.  A good
 * checkpoint that is there already with the same digest is kept, and is the
 * result; another good one there is RK_EEXIST; a damaged one is set aside.
 * RK_EINVAL: dir is no checkpoint's name.  RK_ECORRUPT with why.  RK_ENOENT:
 * the folder was swept away.  Any thread, with a struct ckpt of its own.
 */
enum rk_err ckpt_admit_begin(struct ckpt *c, const char *dir, char **tmp)
    RK_MUSTCHECK;                               /* *tmp: the whole path */
enum rk_err ckpt_admit(struct ckpt *c, const char *tmp, const char *dir,
    struct rk_why *why) RK_MUSTCHECK;
void ckpt_admit_drop(struct ckpt *c, const char *tmp);
/* The current branch, as an admitted checkpoint needs it: `latest` is looked
 * for there.  Durable; never goes back.  from: where the branch began, taken
 * when it is the name of a checkpoint of an older branch; else (also NULL) that
 * is not known.  RK_EINVAL: no number of a branch. */
enum rk_err ckpt_branch_set(struct ckpt *c, int branch, const char *from)
    RK_MUSTCHECK;
/*
 * The current branch and where it began: a checkpoint's folder, or "" for
 * nothing.  false: it began with something that is not known any more.
 */
bool ckpt_origin(struct ckpt *c, int *branch, char from[CKPT_DIR_MAX]);
/* checkpoint.json's text to info; its own digest is checked, and that it is of
 * dir (NULL: any).  RK_ECORRUPT; RK_EINVAL: it is of a version above
 * CKPT_VERSION, both are named. */
enum rk_err ckpt_info_parse(const char *text, size_t len, const char *dir,
    struct ckpt_info *out, struct rk_why *why) RK_MUSTCHECK;
/* Select among infos, in any order, as ckpt_select() does among folders: the
 * current branch is the highest, branches began where `parent` says.  The
 * index, or -1 with why. */
int ckpt_info_select(const struct ckpt_info *v, size_t n, const char *selector,
    const char *metric, bool mode_max, struct rk_why *why);
/* Which of v ckpt_retain() would keep: all n of keep are set. */
void ckpt_info_keep(const struct ckpt_info *v, size_t n, int64_t last,
    int64_t best, const char *metric, bool mode_max, bool *keep);
/* Take one out of the way without deleting it: renamed to late-DIR; it is not
 * seen any more, and its names are gone.  RK_ENOENT. */
enum rk_err ckpt_set_aside(struct ckpt *c, const char *dir) RK_MUSTCHECK;

/*
 * Other forms that a checkpoint can be written in, each by the name of its
 * file: what `rekindle-train --export` makes (train.h), and a daemon serves
 * beside the files that there are.
 */
enum ckpt_form {
	CKPT_PDPARAMS, CKPT_PDOPT, CKPT_PT, CKPT_OPTIMIZER_PT,
	CKPT_SAFETENSORS, CKPT_FORMS
};
extern const char *const ckpt_form_files[CKPT_FORMS + 1];       /* "model.pt" */
/* The form of a file: by its name where that is one of those, else by what
 * stands behind the last dot; folders before the name do not count.
 * CKPT_FORMS: none. */
enum ckpt_form ckpt_form_of(const char *path);

/*
 * Give (durably) or take a person's name; `name` was checked by
 * spec_checkpoint_name_ok(); "branch.json" is RK_EINVAL as well.  RK_ENOENT: no
 * such checkpoint or name; RK_EEXIST: a file of that name is in the way.
 *
 * What has a name has SHA-256 of every file.  Where one is missing, ckpt_name()
 * makes it first, which reads the file whole (1.5 GB/s); RK_ECORRUPT: the file
 * is not what was written, and there is no name.  Any thread, with a struct
 * ckpt of its own.
 */
enum rk_err ckpt_name(struct ckpt *c, const char *dir, const char *name)
    RK_MUSTCHECK;
enum rk_err ckpt_unname(struct ckpt *c, const char *name) RK_MUSTCHECK;

/*
 * Somebody is about to begin from this one: neither retention nor a deletion,
 * of whatever process, takes it until ckpt_unpin().  Durable; one pin for each
 * `who` (an id), the last one counts.  RK_ENOENT: it is not there (any more).
 */
enum rk_err ckpt_pin(struct ckpt *c, const char *dir, const char *who)
    RK_MUSTCHECK;
void ckpt_unpin(struct ckpt *c, const char *who);       /* fine if it has
							   none */

/* Delete one (by its folder's name) and its names.  RK_ECONFLICT for the one
 * that `latest` is, or that is pinned; RK_EBUSY: it is about to get a name;
 * RK_ENOENT. */
enum rk_err ckpt_delete(struct ckpt *c, const char *dir) RK_MUSTCHECK;

/*
 * Retention: delete all but the newest `last` (1 at least) of the current
 * branch, the one that `latest` is, the `best` best by metric over all
 * branches, the named, the pinned, the one the current branch began from, and
 * the newest of every older branch.  Call after a commit.  *deleted counts.
 */
enum rk_err ckpt_retain(struct ckpt *c, int64_t last, int64_t best,
    const char *metric, bool mode_max, int *deleted) RK_MUSTCHECK;

#endif
