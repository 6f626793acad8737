/*
 * held_out - which samples a run validates on, and what its weights have seen
 * of them.
 *
 * A run that begins anew goes by its job; after a warm start seed and rule are
 * those that the model was trained with, as far as the job does not say its
 * own.  A run that goes on from a checkpoint goes by that, whatever the job
 * says by now; a checkpoint from before there was such a record was split by
 * permutation, keyed by its training seed.
 *
 * The record is `split` in checkpoint.json, and in the metadata of
 * model.safetensors under HELD_OUT_META, so that a model file carries it
 * wherever it goes (not by the rule permutation: files of these stay what they
 * were, byte for byte).  Where a model file has none, checkpoint.json beside it
 * is looked at.
 *
 *	rule        none (nothing was split off: no other field then), content,
 *	            stratified, permutation: data.h
 *	seed, fraction
 *	samples     that were parted, and how many of them validate: validation
 *	inherited   the seed is the model's, and so is the rule unless the job
 *	            says one
 *	trained_on  how many of the validation samples the weights had been
 *	            trained on before the job began: 0 for a cold start; at most
 *	            so many when at_most; null when it is not known
 *	lineage     true: `seen` tells of all training that the weights had.
 *	            false: there was a model whose file does not tell
 *	whole       digest of all samples, 16 hexadecimal digits (data.h)
 *	seen        [{seed, from}]: struct data_seen, of this run's training and
 *	            of all before it
 *
 * How trained_on is found.  With rule, seed, fraction and samples of the model
 * the same samples validate, so the number is the model's own.  Else each
 * validation sample is looked up in the model's `seen`, which gives an upper
 * bound: exact when it is 0, and when the data are the model's.  By the rule
 * stratified the bound is of all classes together, so that it also counts
 * samples of a class that the model never had, as far as their rank is above
 * the lowest that it was trained on.  A model from
 * before the record is one whose training samples have the digest of ours: 0;
 * or it is not known.
 */
#ifndef TRAIN_HELD_OUT_H
#define TRAIN_HELD_OUT_H

#include "rekindle/ckpt.h"
#include "rekindle/data.h"

#define HELD_OUT_META  "rekindle.split"
#define CLASSES_META   "rekindle.classes"       /* names of the outputs */
/* The vocabulary of texts, a token a line, where it is no longer than that
 * (which is what is kept of a stranger's file, too). */
#define VOCABULARY_META "rekindle.vocabulary"
#define VOCABULARY_MOST ((size_t)1 << 19)
#define HELD_OUT_SEEN  16

struct held_out {
	struct data_split how;
	double part;                    /* fraction */
	int64_t samples, validation;
	bool inherited;
	int64_t trained_on;             /* -1: not known */
	bool at_most;
	bool lineage;
	uint64_t whole;
	struct data_seen seen[HELD_OUT_SEEN];
	size_t nseen;
};

/* What the model of a warm start says of itself. */
struct held_out_model {
	bool known;                     /* `of` is filled in */
	bool beside;                    /* a checkpoint.json lies beside it
					   ... */
	int64_t step;                   /* ... and so many steps were made */
	json_t *updates;                /* state.updates of it (spans.c), owned;
					   or NULL */
	struct held_out of;
	char data_digest[RK_SHA256_HEX];        /* "": not known */
	json_t *classes;                /* names of its outputs, owned; or
					   NULL */
	json_t *told;                   /* ... in the file's own words, where
					   the job says others; owned */
	const char *because;            /* when not known: why */
};

json_t *held_out_json(const struct held_out *h);        /* a new reference */
/* RK_EINVAL with why; rule none leaves all else zero. */
enum rk_err held_out_read(struct held_out *h, const json_t *v,
    struct rk_why *why) RK_MUSTCHECK;
/* What is in checkpoint.json or, without a record there, what it means. */
enum rk_err held_out_of_info(struct held_out *h, const struct ckpt_info *i,
    struct rk_why *why) RK_MUSTCHECK;

void held_out_model_fini(struct held_out_model *m);
/* The record out of a model file's metadata (key, value, ... NULL; or NULL), or
 * of checkpoint.json beside it. */
void held_out_of_model(struct held_out_model *m, char *const *meta,
    const char *path);
/* Is it a file of a checkpoint of ours: does the checkpoint.json that lies
 * beside it speak of it? */
bool held_out_is_ours(const char *path);
/* The same; on true *out is what it says, the caller's (ckpt_info_fini). */
bool held_out_beside(const char *path, struct ckpt_info *out);

/* Add that these weights were trained on the samples of a set. */
void held_out_saw(struct held_out *h, const struct data_set *train);

struct run;
struct start;

/* Before the data are parted: r->held.how.  start: what the run may go on
 * from, waited for here; NULL: nothing, and then the warm start's model is
 * asked when `ask`. */
bool held_out_choose(struct run *r, struct start *start, bool ask);
/* After: numbers of the sets. */
void held_out_measure(struct run *r);
/* Of a warm start, with r->data_digest known: trained_on. */
void held_out_count(struct run *r);
/* A sentence about it, the caller's; NULL where there is nothing to say. */
char *held_out_sentence(const struct run *r);
/* Is it a warning: the model was trained on some, or that is not known? */
bool held_out_warns(const struct run *r);
/* The sentence as an event of a run that begins: `split`, or as a warning
 * `split_leak` when it was trained on some, `split_unknown`. */
void held_out_tell(struct run *r);

#endif
