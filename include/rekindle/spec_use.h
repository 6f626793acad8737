/*
 * spec_use - jobs that train nothing: `kind: predict` and `kind: evaluate` put
 * a model to data and leave a line a sample, and a report.
 *
 *	kind             train | predict | evaluate; train
 *	model            * the network; its checkpoint * is the model that is
 *	                 used: a file of weights or the folder of a checkpoint,
 *	                 an address, job://ID/CHECKPOINT or model://NAME@ALIAS.
 *	                 Each of its tensors must be in the file, and no other.
 *	                 dialect, rename and producer count as in a warm start
 *	model.checkpoint_classes  what the classes are called, in the order of
 *	                 the outputs; those that the checkpoint's folder tells,
 *	                 else numbers
 *	training         may be left out.  batch_size, micro_batch_size, loss
 *	                 (what the outputs are: cross_entropy), exact and
 *	                 arithmetic count
 *	data.inputs      * of predict, and of it alone: 1 to SPEC_MAX_USED files
 *	                 as --predict takes them (train.h), folders (all
 *	                 pictures below, by the order of the bytes of their
 *	                 paths), or addresses of files
 *	data.train       of predict: which form the files of data.inputs have
 *	                 (type, columns, tokenizer); only its vocabulary is
 *	                 read.  Without it they are pictures and arrays of
 *	                 NumPy.  Of evaluate only what data.validation takes
 *	                 over from it
 *	data.validation  * of evaluate, and of it alone: what is scored
 *	data.input       {dtype, shape, normalize, columns, tokenizer, pixels}:
 *	                 what a sample is for the network, as `input` of
 *	                 checkpoint.json has it (ckpt.h), but columns that have
 *	                 no names are []; what the checkpoint's folder tells,
 *	                 else what data.normalize says by itself:
 *	                 `standard` is refused without it
 *	report.worst     of evaluate: 50; 0 to 1000: how many of the samples
 *	                 that it got wrong the report names, the largest loss
 *	                 first
 *	data.normalize, data.threads, data.transforms  as in training: samples
 *	                 go through those of validation
 *	data.broken      of evaluate as in training.  predict names an input
 *	                 that cannot be read, and goes on
 *
 * All else of a job that trains may be there, is judged as in one, and counts
 * for nothing, so that a job's file becomes one of these by its kind alone: the
 * normal form does not have it, nor has the struct (it is at its defaults).
 * Nothing is checkpointed or sent: `checkpoint` counts for nothing either, and
 * require_remote is false.  A job of another kind than train is resumed where
 * it was, with the same inputs.
 */
#ifndef REKINDLE_SPEC_USE_H
#define REKINDLE_SPEC_USE_H

#include "rekindle/json.h"

enum spec_job { SPEC_JOB_TRAIN, SPEC_JOB_PREDICT, SPEC_JOB_EVALUATE };
extern const char *const spec_job_words[];

#define SPEC_MAX_USED      64           /* data.inputs */
#define SPEC_INPUT_NUMBERS 4096         /* of a list of data.input */
#define SPEC_INPUT_COLUMNS ((size_t)64 << 10)   /* bytes of their names */

/*
 * The job that uses a model.  `said`: what a person asked: kind, name,
 * model.checkpoint, data.inputs or data.validation, whatever else.  It is laid,
 * as RFC 7396 says, over what is known of the model: `of`, the normal form of
 * the job that made it (NULL: none), of which network, loss, batch, arithmetic,
 * transforms, normalisation and the form of the data are taken, and nothing of
 * its own warm start; `input` and `classes`, as checkpoint.json has them (NULL
 * or a JSON null: not known).  A data.validation without a `type` is laid over
 * that of `of`, or over its data.train where that held none out.  A new
 * reference, for spec_parse().
 */
json_t *spec_use(const json_t *said, const json_t *of, const json_t *input,
    const json_t *classes);

#endif
