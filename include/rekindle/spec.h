/*
 * spec - the job specification: text to struct, defaults, every fault listed,
 * and back to the one normal form that is stored, digested and shown.
 *
 * All three programs read jobs through this module, so a job means the same
 * everywhere.  Pure: no files are touched but by spec_load() and
 * spec_check_files().
 *
 * The fields with their units, ranges and defaults (* must be given).  A null
 * is the same as an absent field; what is given for a type that does not take
 * it is refused.  A layer, the loss, optimizer, schedule and normalize may be
 * the word of their `type` alone where nothing else is needed: `- relu`,
 * `schedule: cosine`.
 *
 *	name             * 1-64 of [A-Za-z0-9._-], the first no . and no -
 *	kind             train | predict | evaluate; train.  spec_use.h says
 *	                 which fields the others have; what follows is of train
 *	priority         0; -1000 to 1000, higher runs first
 *	labels           {}; at most 32, key and value 1-64 of [A-Za-z0-9._/-]
 *	resources.threads  all cores that it may use, or as many as a CPU quota
 *	                 has whole processors; 1 to 256 (0 in the struct: not
 *	                 said; the normal form then has no such field)
 *	resources.memory what the training needs and a tenth; 1 MiB to 1 PiB:
 *	                 bytes, or text such as 512MiB (0 in the struct: not
 *	                 said; the normal form then has no such field)
 *	hold             false
 *	retries          3; 0 to 100: crashes in a row before it has failed
 *	model            *
 *	model.arch       one of archs.def (* this or model.layers), with the
 *	                 fields of its family: mlp takes sizes * [inputs,
 *	                 hidden..., outputs], at most SPEC_MAX_PARAMS
 *	                 parameters in all
 *	model.input      shape of one sample, 1 to 4 of 1 to 2^24, e.g. [1, 28,
 *	                 28]; from the data
 *	model.layers     1 to SPEC_MAX_LAYERS of {type: ..., name: ..., inputs:
 *	                 [...]} and the fields that ops.def has for the type,
 *	                 or of groups {repeat: N, name: P, layers: [...]}, see
 *	                 struct spec_layer (spec_model.h)
 *	model.outputs    {NAME: LAYER}, see struct spec_output; {}
 *	model.init       how parameters begin: torch | paddle | bert, see
 *	                 src/nn/init.c; torch, of arch bert bert
 *	model.checkpoint the warm start; none.  A file of weights
 *	                 (format_weights.h) by its path,
 *	                 file: or another address (see below),
 *	                 job://ID/CHECKPOINT (latest, best, step:N or a name),
 *	                 or a version of a model: model://NAME@ALIAS or
 *	                 model://NAME/N
 *	model.checkpoint_said  none; model://NAME@ALIAS, where model.checkpoint
 *	                 is the version that it was at the submission
 *	model.strict     true: all tensors must fit, by copy, rename, convert or
 *	                 transpose; false: what does not fit is left out or
 *	                 begins anew (missing init, unexpected skip, mismatch
 *	                 init).  warm.h has what becomes of each tensor
 *	model.missing    error | init, model.unexpected error | skip,
 *	                 model.mismatch error | init | slice: a word, or
 *	                 {PATTERN: word}; as strict says; see spec_warm.h
 *	model.minimum    0.9 of a start that is not strict in all, else 0; 0 to
 *	                 1: the share of the parameters outside the tensors that
 *	                 do not match which must load
 *	model.dialect    rekindle | torchvision | timm | huggingface | pytorch |
 *	                 paddle | paddleclas | paddlenlp: whose names the file
 *	                 has; the one that fits best
 *	model.rename     [{EXPRESSION: text}]; none: regular expressions
 *	                 (base_regex.h) done to the names of the file, at most
 *	                 SPEC_MAX_RENAMES
 *	model.grow       none; [LAYER, ...] or {LAYER: {match: name, init:
 *	                 default}}: layers that may have other rows or input
 *	                 channels in the file: match name | index, init default
 *	                 | mean | zero; at most SPEC_MAX_GROW, see spec_warm.h.
 *	                 What is named here may grow under strict, too
 *	model.checkpoint_classes  what the classes of the file are called, a
 *	                 list of 1 to SPEC_MAX_CLASSES or a file (a path or an
 *	                 address) with one a line; those of our checkpoint
 *	model.checkpoint_vocabulary  the vocabulary of the file, a token a line,
 *	                 where an embedding grows; none
 *	model.producer   {NAME: VERSIONS}; none: {paddle: ">=2.6"}; who must
 *	                 have written the file.  One that says otherwise is
 *	                 refused if strict, and said if not; of one that does
 *	                 not say (files of Paddle have no version in them) a
 *	                 note says that this was not checked
 *	training         *
 *	training.resume_from  latest | best | step:N | NAME | none; latest
 *	training.epochs  * or training.steps (both: the shorter of the two), or
 *	                 the lengths of all training.phases; 1 to 2^40; 0 in the
 *	                 struct: not said
 *	training.steps   0 to 2^40; 0: as many as the epochs have
 *	training.batch_size  64; 1 to 2^20
 *	training.micro_batch_size  0: all; to 2^20: at most so many samples go
 *	                 through the network at a time; the gradients of a batch
 *	                 are added up (gradient accumulation).  Batch norm sees
 *	                 each part by itself
 *	training.drop_last   false: the last, smaller batch of an epoch is used
 *	training.shuffle     true
 *	training.sampler     uniform | balanced; uniform: each sample once an
 *	                 epoch.  balanced: each class as often as any other, the
 *	                 samples of a small one several times; an epoch has as
 *	                 many samples as the data.  data.h has the order
 *	training.seed    1; 0 to 2^53
 *	training.loss    {type: cross_entropy | mse | binary_cross_entropy | l1
 *	                 | smooth_l1}; cross_entropy, also where only fields
 *	                 of it are said; it needs at least 2 outputs and takes
 *	                 label_smoothing (0 to <1; 0),
 *	                 class_weights (a list, one a class; none) and
 *	                 ignore_index (a label that counts for nothing; none;
 *	                 one sample at least of a data set must count);
 *	                 smooth_l1 takes beta (1)
 *	training.optimizer   {type: sgd | adam | adamw | rmsprop | adagrad |
 *	                 lamb, ...}; adam, also where only fields of it are
 *	                 said; see struct spec_optim
 *	training.optimizer.no_decay  []: at most 64 patterns (struct
 *	                 spec_group) of parameters whose weight_decay is 0
 *	training.parameters  []: at most 64 of {match: *, ...}, what is other
 *	                 for some parameters; see struct spec_group
 *	training.schedule    see struct spec_schedule; constant
 *	training.phases  none: all of the network from beginning to end; else at
 *	                 most SPEC_MAX_PHASES: parts of it that are trained for
 *	                 a time, each with its rate; see spec_phases.h
 *	training.learning_rates  {}; {PATTERN: factor} of parameters, see there
 *	training.frozen_batch_norm  evaluation | training; with phases the
 *	                 first, else the second: see there
 *	training.gradient_clip_norm  0: off; to 1e9: the 2-norm of the whole
 *	                 gradient is at most this
 *	training.gradient_clip_value  0: off; to 1e9: no number of the gradient
 *	                 is further from 0; one of the two at most
 *	training.ema     none; {decay: 0.9999 (>0 to <1), warmup: false}: see
 *	                 struct spec_ema
 *	training.cache_features  false; true, or {max_bytes: 16GiB} (1 MiB to 1
 *	                 PiB): what the frozen part of the network gives for a
 *	                 sample is computed once; see spec_phases.h
 *	training.early_stopping  none; {metric, mode, patience: 10, min_delta:
 *	                 0, restore: none}: see struct spec_early
 *	training.register  none; {name, alias, if: "val_accuracy >= 0.9",
 *	                 notes}: the version of a model that the job becomes
 *	                 when it has succeeded; see spec_register.h
 *	training.warm_start.learning_rate_scale  0.2; >0 to 1
 *	training.warm_start.optimizer  none | moments | all; none: what is taken
 *	                 of the optimizer's state: nothing, its moments and the
 *	                 count of their steps, or also momentum and sums of
 *	                 other kinds that mean the same here and there
 *	training.warm_start.schedule  restart | continue; restart: the schedule
 *	                 begins at its step 0, or at the step of the file
 *	training.warm_start.ema  false; true: the moving average that the file
 *	                 has beside the model, in place of it
 *	training.warm_start.watch  true: recall of the classes that the source
 *	                 knows is measured before the first step and in each
 *	                 evaluation, and a fall is said (train.h).  false: not,
 *	                 which saves the evaluation before the first step
 *	training.warm_start.plan  none; the digest of a plan that was shown: the
 *	                 job does that one, or ends with what has changed
 *	training.distill none; {weight: 0.5, temperature: 2}: see struct
 *	                 spec_distill
 *	training.log_every   50 steps between metric lines of the training loss
 *	training.exact   prefer | require; prefer: an attempt that cannot
 *	                 compute the same bytes (another instruction set,
 *	                 library or kernel than the checkpoint's) says so and
 *	                 goes on; require: it does not begin, and the job waits,
 *	                 paused (arithmetic_changed), also where an older
 *	                 checkpoint does not say what it was computed with
 *	training.arithmetic  exact | fast.  exact: sums of products as they are
 *	                 written; fast: Winograd's transforms, too, whose errors
 *	                 are some ten times larger.  Either gives the same
 *	                 bytes on any number of threads and after any
 *	                 interruption, and may change on a resume.  A job that
 *	                 is new is fast unless it says exact; what is stored
 *	                 without the field (a normal form, a checkpoint's
 *	                 record) is of before the field, and exact:
 *	                 spec_begin_new()
 *	data             *
 *	data.train       * see spec_data.h
 *	data.validation  another source of the same type, or
 *	data.validation_split  0; to 0.9 of the training samples
 *	data.split_seed  which of them: 1, or after a warm start what its model
 *	                 was trained with; 0 to 2^53; not with data.validation.
 *	                 data.h says how samples are chosen
 *	data.split       {stratify: false, or after a warm start as its model
 *	                 was}; true: the share is exact for each class; for
 *	                 cross_entropy and data.validation_split.  Of these two
 *	                 the normal form of a job with model.checkpoint has what
 *	                 the job says and nothing else
 *	data.normalize   see spec_data.h
 *	data.threads     that read and decode samples which are not held in
 *	                 memory; 1, or 2 where there are 4 cores and more; to
 *	                 64.  The bytes of a run do not depend on it
 *	data.broken      fail | skip; fail: an image that cannot be read ends
 *	                 the run.  skip: it is named and counted, and goes
 *	                 through the network as zeros that weigh nothing, so
 *	                 that the order of all others stays; a step of nothing
 *	                 but such images is counted and changes nothing.  Where
 *	                 none of the first 1,000 images of the order can be
 *	                 read, or none of all, the run ends.  Both may change on
 *	                 a resume
 *	data.transforms  {}; {train: [...], validation: [...]}: at most
 *	                 SPEC_MAX_TRANSFORMS each of the words of
 *	                 transforms.def, or {type: ..., and its fields}; see
 *	                 struct spec_transforms.  Pictures (idx, cifar) take
 *	                 those of pixels, tokens random_mask.  Those of training
 *	                 may change on a resume, those of validation not, by
 *	                 which the scores so far are
 *	checkpoint.every {steps, seconds, epochs}, 0: not by this, one above 0;
 *	                 {epochs: 1} when none is said.  One that is due while
 *	                 another is being written is taken as soon as that one
 *	                 is there, at a later step: training does not wait
 *	checkpoint.keep  {last: 3 (from 1), best: 1 (from 0), metric, mode}.
 *	                 With best above 0 the end of an epoch whose metric is
 *	                 the best so far is saved, whatever `every` says.
 *	                 metric val_accuracy | val_loss | loss: the first, for
 *	                 mse the second, without validation data the third; or
 *	                 val_macro_f1, val_macro_precision, val_macro_recall,
 *	                 val_ece (of losses that classify), val_top5,
 *	                 val_plain_loss (cross_entropy), val_mae (mse, l1,
 *	                 smooth_l1).  mode max | min: min for what ends in
 *	                 loss, ece or mae, else max.  train.h and judge.h say
 *	                 what each is
 *	checkpoint.push  where they are sent too: s3://BUCKET/PREFIX/,
 *	                 oss://BUCKET/PREFIX/ or file:///FOLDER/, without ? and
 *	                 #; the normal form ends in '/'; none
 *	checkpoint.require_remote  false, and true where the daemon has a
 *	                 mirror, which fills it in at submit; true: the job has
 *	                 succeeded only when its last checkpoint is verified
 *	                 where it is sent
 *	metadata         {}; free text by key, at most 64, keys 1 to 64 bytes,
 *	                 values at most 4096
 *
 * Labels and metadata: whole numbers, true and false are taken as text.
 *
 * Young fields, which jobs of before do not have: optimizer.no_decay,
 * parameters, gradient_clip_value, cache_features, ema, early_stopping,
 * register, kind,
 * micro_batch_size, phases, learning_rates, frozen_batch_norm, sampler,
 * distill, model.dialect to model.producer but strict (grow and the names of
 * the checkpoint's rows, too), warm_start but its learning_rate_scale,
 * schedule.warmup, data.threads, data.broken, data.transforms and buckets of
 * texts.  At their default they are not in the
 * normal form, so that it and its digest are what they were.
 * training.arithmetic is in each normal form; exact is not in digests and
 * records.
 *
 * job://JOB/SELECTOR (model.checkpoint): step:N, a name or a folder mean what
 * they mean at submit, latest and best what they are at the job's first start;
 * what is meant stays until the job has begun (sup.h).
 *
 * model://NAME@ALIAS, model://NAME/N: a version of the registry (models.h).  At
 * the submission the alias becomes the number, with #sha256= and the digest of
 * the version's model behind it, and what was said is model.checkpoint_said,
 * which is in no digest and no record.  A trainer that runs alone has no
 * registry, and refuses it.
 *
 * Addresses.  model.checkpoint and the files of data.train and data.validation
 * may lie elsewhere: s3://BUCKET/KEY, oss://BUCKET/KEY (keys as they are, not
 * percent-encoded), https://HOST/PATH, http://HOST/PATH (no user or password in
 * it, which would be kept with the job).  `#sha256=` and 64 hexadecimal digits
 * at the end pin the bytes: any others are refused.  `#member=NAME`, of
 * model.checkpoint alone, is a file in an archive (a tar, gzipped or not), and
 * `#member=NAME&sha256=HEX` pins the bytes of that file; it and `#sha256=` may
 * follow a path, too (base.h, struct rk_part).  The daemon fetches them
 * and tells the trainer where they lie; nothing here does.  A file: address
 * (absolute) in data is its path in the normal form.  All else is a path.
 */
#ifndef REKINDLE_SPEC_H
#define REKINDLE_SPEC_H

#include "rekindle/spec_data.h"
#include "rekindle/spec_model.h"
#include "rekindle/spec_phases.h"
#include "rekindle/spec_register.h"

#define SPEC_MAX_BYTES   RK_JOB_MAX     /* of the text of a job */
#define SPEC_MAX_NORMAL  (64u << 20)    /* of its normal form in a file */
#define SPEC_MAX_POINTS  64             /* milestones of a schedule */
#define SPEC_MAX_GROUPS  64             /* of parameters; also patterns */
#define SPEC_MAX_PATTERN 256            /* bytes of one */

/* kernel.h has the formulas.  Those of regression compare with the label as a
 * number, or over several outputs with a 1 at the label's place; so does
 * binary_cross_entropy, which takes logits. */
enum spec_loss_type {
	SPEC_CROSS_ENTROPY, SPEC_MSE, SPEC_BINARY_CROSS_ENTROPY, SPEC_L1,
	SPEC_SMOOTH_L1
};
#define SPEC_MAX_WEIGHTS 65536
struct spec_loss {
	enum spec_loss_type type;
	double label_smoothing;         /* cross_entropy: these four */
	double *class_weights;          /* one a class, or NULL */
	int nweights;
	bool ignoring;
	int64_t ignore_index;           /* this class counts for nothing */
	double beta;                    /* smooth_l1 */
};
bool spec_loss_is_regression(enum spec_loss_type t);

enum spec_optim_type {
	SPEC_SGD, SPEC_ADAM, SPEC_ADAMW, SPEC_RMSPROP, SPEC_ADAGRAD, SPEC_LAMB
};
/* Names and defaults are PyTorch's, for lamb Paddle's; given alone, a `type` is
 * required.  optim.h has the formulas.
 * Field       used by              default (range)                          */
struct spec_optim {
	enum spec_optim_type type;
	double learning_rate;   /* all       sgd none (*), adam(w) and lamb
	                                     1e-3, rmsprop and adagrad 1e-2
	                                     (>0 to 1e6)                      */
	double weight_decay;    /* all       0, adamw and lamb 1e-2 (0 to
					     1000) */
	double momentum;        /* sgd, rmsprop  0 (0 to <1)                  */
	double dampening;       /* sgd       0 (0 to 1)                       */
	bool nesterov;          /* sgd       false; needs momentum, no
					     dampening */
	double beta1, beta2;    /* adam(w), lamb  `betas: [0.9, 0.999]`
	                                     (0 to <1)                        */
	double eps;             /* all but sgd  1e-8, adagrad 1e-10, lamb 1e-6
	                                     (>0 to 1)                        */
	double alpha;           /* rmsprop   0.99 (0 to <1)                   */
	bool centered;          /* rmsprop   false                            */
	double lr_decay;        /* adagrad   0 (0 to 1000)                    */
	double initial_accumulator; /* adagrad  `initial_accumulator_value`
	                                     0 (0 to 1e6)                     */
};

/*
 * What is other for the parameters whose names fit a pattern; of several that
 * fit a name the first counts.  A pattern stands for whole names: '*' for any
 * text, with dots or empty, '?' for one character.  One that fits no parameter
 * of the network, or only such as are of earlier groups, is refused by the
 * trainer, which knows the names, and so is a network of which nothing is
 * trained.
 *
 * weight_decay here goes before no_decay, of which each pattern must leave some
 * parameter without decay.  A parameter that is not trained gets
 * no update and no decay, counts for no norm of the gradient, and has no
 * moments, also where it had some; the running statistics of a batch norm are
 * no parameters and go on.  Its updates are counted for itself: one that is
 * trained from a resume on has the moments and bias corrections of a first step
 * there.
 */
struct spec_group {
	char *match;            /* `match`, the pattern (*, 1 to
	                           SPEC_MAX_PATTERN bytes)                    */
	double rate;            /* `learning_rate_scale` 1 (0 to 1000): the rate
	                           of these is so many times the schedule's   */
	double decay;           /* `weight_decay` (0 to 1000): if said, in place
	                           of the optimizer's                         */
	bool decay_said;
	bool trainable;         /* `trainable` true                           */
};

/*
 * An average of the model over the steps, kept beside it: after each update
 *
 *	ema = d * ema + (1 - d) * model
 *
 * for parameters and buffers (running statistics) alike; it begins as the model
 * does.  d is decay, or with warmup min(decay, (1 + t) / (10 + t)) where t
 * updates have been before.  No bias correction, as in PaddleClas and in timm's
 * ModelEmaV2; the warm-up is PaddleDetection's.
 *
 * With it the average is what the job makes: validation measures it, the best
 * checkpoint and reduce_on_plateau go by that, and model.safetensors holds it.
 * optimizer.safetensors then has what is trained, NAME.raw for each tensor
 * NAME.
 */
struct spec_ema {
	double decay;           /* 0: none is kept */
	bool warmup;
};

/*
 * A schedule is a pure function of the step (reduce_on_plateau: and of what was
 * measured so far): schedule.h has the formulas.  Lengths are in optimiser
 * steps, or in epochs with the `_epochs` field of the same meaning (one of the
 * two; `unit_epochs` then says so and the trainer multiplies by the steps of an
 * epoch).
 *	type             takes
 *	constant
 *	step             step_size | step_size_epochs *, gamma 0.1
 *	multistep        milestones | milestones_epochs *, gamma 0.1
 *	cosine           min_learning_rate 0, length | length_epochs
 *	linear           end_factor 0, length | length_epochs
 *	polynomial       power 1, min_learning_rate 0, length | length_epochs
 *	one_cycle        pct_start 0.3 (0 to <1), div_factor 25 (1 to 1e9),
 *	                 final_div_factor 1e4 (1 to 1e12), anneal cos | linear,
 *	                 length | length_epochs; no warm-up, it has its own
 *	reduce_on_plateau  factor 0.1 (>0 to <1), patience 10 and cooldown 0, in
 *	                 epochs, threshold 1e-4 (0 to 1), min_learning_rate 0;
 *	                 by checkpoint.keep.metric and mode
 *	all              warmup_steps | warmup_epochs 0, warmup_start_factor 0,
 *	                 warmup torch | paddle (unsaid: ours),
 *	                 on_resume keep | stretch | restart
 * length 0: to the end of the training, warm-up not counted.  gamma and power
 * are above 0, the factors 0 to 1, milestones grow strictly, and
 * min_learning_rate is at most the learning rate.  A length or warm-up of 0 is
 * in steps, whatever unit it was given in.
 *
 * warmup: whose formula the warm-up has; those of PyTorch and Paddle are one
 * step lower, and with warmup_start_factor 0 their first step does nothing.
 *
 * on_resume: what becomes of the schedule where a resume has changed it or the
 * length of the training; schedule.h has the three formulas.  Without it, the
 * schedule is stretched, and a request that would make the rate leap is
 * refused.  The normal form has it only where the job does.
 */
enum spec_schedule_type {
	SPEC_S_CONSTANT, SPEC_S_STEP, SPEC_S_MULTISTEP, SPEC_S_COSINE,
	SPEC_S_LINEAR, SPEC_S_POLYNOMIAL, SPEC_S_ONE_CYCLE, SPEC_S_PLATEAU
};
enum spec_anneal { SPEC_ANNEAL_COS, SPEC_ANNEAL_LINEAR };
enum spec_warmup { SPEC_WARMUP_OURS, SPEC_WARMUP_TORCH, SPEC_WARMUP_PADDLE };
enum spec_on_resume {
	SPEC_RESUME_UNSAID, SPEC_RESUME_KEEP, SPEC_RESUME_STRETCH,
	SPEC_RESUME_RESTART
};
struct spec_schedule {
	enum spec_schedule_type type;
	bool unit_epochs;               /* of step_size, milestones, length */
	int64_t step_size;
	int64_t milestones[SPEC_MAX_POINTS];
	int nmilestones;
	int64_t length;
	double gamma, min_learning_rate, end_factor, power;
	double pct_start, div_factor, final_div_factor; /* one_cycle */
	enum spec_anneal anneal;
	double factor, threshold;                       /* reduce_on_plateau */
	int64_t patience, cooldown;
	bool warmup_unit_epochs;
	int64_t warmup;
	double warmup_start_factor;
	enum spec_warmup warmup_by;
	enum spec_on_resume on_resume;
};

/*
 * Early stopping.  The evaluation at the end of each epoch gives a value of
 * `metric`.  One that is more than min_delta better than the best so far is the
 * new best, any other is bad; when `patience` in a row are bad, the training
 * ends, succeeded, with the reason early_stopped.  So do Keras and Paddle.  An
 * evaluation that was cut short, and one that is not at an epoch's end, do not
 * count.  The count is in the checkpoint; a resume with more patience, or
 * without early_stopping, goes on; with another metric or mode it begins anew.
 *
 * restore best: the job's last checkpoint, on a branch of its own, then has the
 * weights, the average and the optimiser of the best epoch, and the one before
 * those of the last.  The best checkpoint
 * must be on the machine; if it is not, an event (`not_restored`) says so and
 * the job ends with what it has.
 */
enum spec_restore { SPEC_RESTORE_NONE, SPEC_RESTORE_BEST };
struct spec_early {
	bool on;
	char *metric;           /* `metric` and `mode` (max | min): those of
	                           checkpoint.keep                            */
	bool mode_max, mode_said;
	int64_t patience;       /* 10 (1 to 2^40), in epochs                  */
	double min_delta;       /* 0 (0 to 1e9)                               */
	enum spec_restore restore;      /* none (none | best)                 */
};

/*
 * Knowledge of the ancestor, the model of model.checkpoint, is kept by learning
 * from its answers, too: knowledge distillation (Hinton, Vinyals and Dean,
 * arXiv:1503.02531), over the classes that it knows (Li and Hoiem, "Learning
 * without forgetting", ECCV 2016).
 *
 *	loss = (1 - weight) task + weight T^2 mean KL(p || q)
 *
 * p and q are softmax(z / T) over those classes, of the ancestor's logits and
 * of the network's, T is `temperature`; the mean is over the samples, as that
 * of PyTorch's kl_div with reduction="batchmean".  nn.h has the rest, also for
 * binary_cross_entropy.  The ancestor sees what the network sees, augmented and
 * mixed; it is in evaluation mode, and no step changes it.  Its network is the
 * job's with as many outputs as its file has, and each of its tensors must be
 * in the file.
 *
 * It is read when the job begins and again by each attempt that goes on: the
 * checkpoints pin it by its digest, and without it, or with another, the job
 * waits (ancestor_missing).  A resume may change both numbers, and go on
 * without: {distill: null}.  Validation measures the task alone.
 */
struct spec_distill {
	double weight;          /* 0.5 (>0 to 1); 0: there is no such loss */
	double temperature;     /* 2 (0.1 to 100) */
};

enum spec_exact { SPEC_EXACT_PREFER, SPEC_EXACT_REQUIRE };
enum spec_arithmetic { SPEC_ARITHMETIC_EXACT, SPEC_ARITHMETIC_FAST };

/* balanced: data.h has its order. */
enum spec_sampler { SPEC_SAMPLER_UNIFORM, SPEC_SAMPLER_BALANCED };

struct spec_training {
	char *resume_from;
	int64_t epochs, steps;
	int64_t batch_size, micro_batch_size;
	bool drop_last, shuffle;
	enum spec_sampler sampler;
	uint64_t seed;
	struct spec_loss loss;
	struct spec_optim optim;
	char **no_decay;                /* patterns, of optimizer.no_decay */
	int nno_decay;
	struct spec_group *groups;      /* `parameters` */
	int ngroups;
	struct spec_schedule schedule;
	struct spec_phase *phases;
	int nphases;
	struct spec_rates rates;        /* `learning_rates` */
	enum spec_frozen_norm frozen_norm;
	struct spec_early early;
	struct spec_register reg;       /* `register` */
	double gradient_clip_norm, gradient_clip_value;
	struct spec_ema ema;
	struct spec_cache cache;        /* `cache_features` */
	double warm_start_lr_scale;
	struct spec_warm_start warm_start;
	struct spec_distill distill;
	int64_t log_every;
	enum spec_exact exact;
	enum spec_arithmetic arithmetic;
	bool arithmetic_said;
};

struct spec_checkpoint {
	int64_t every_steps, every_epochs;      /* 0: not by this */
	double every_seconds;
	int64_t keep_last, keep_best;
	char *metric;                           /* val_accuracy, ... */
	bool mode_max;
	char *push;                             /* NULL: nowhere by this job */
	bool require_remote;
	bool require_said;                      /* it was given */
};

struct spec {
	char *name;
	enum spec_job kind;
	int64_t worst;                  /* report.worst */
	int64_t priority;
	json_t *labels;                 /* object of strings */
	int64_t threads;                /* 0: all that the machine has */
	uint64_t memory;                /* 0: not said */
	bool hold;
	int64_t retries;
	struct spec_model model;
	struct spec_training training;
	struct spec_data data;
	struct spec_checkpoint checkpoint;
	json_t *metadata;               /* object of strings */
};

/* From a tree.  On RK_OK *sp is the caller's (spec_free).  RK_EINVAL: every
 * fault is in why, each with its path. */
enum rk_err spec_parse(const json_t *tree, struct spec **sp,
    struct rk_why *why) RK_MUSTCHECK;

/* From text, YAML or JSON (JSON when the first byte that is not white space is
 * a brace and `yaml` is false). */
enum rk_err spec_parse_text(const char *s, size_t len, bool yaml,
    struct spec **sp, struct rk_why *why) RK_MUSTCHECK;

/* From a file by name (.json is JSON, all else YAML); paths in it that are
 * relative are made absolute, from the file's folder.  RK_EINVAL, or why the
 * file cannot be read (RK_ENOENT, RK_EIO, ...); why has a sentence in both. */
enum rk_err spec_load(const char *path, struct spec **sp,
    struct rk_why *why) RK_MUSTCHECK;
/* The same of a job that is in its normal form, as in the job.json of a daemon:
 * with each `repeat` written out it may be longer than what a person wrote, and
 * what begins with a brace is JSON, whatever the file is called. */
enum rk_err spec_load_normal(const char *path, struct spec **sp,
    struct rk_why *why) RK_MUSTCHECK;
/* The text of a job's file, for who judges it himself: the caller's.  Errors as
 * of spec_load(). */
enum rk_err spec_read_text(const char *path, char **text, size_t *len,
    struct rk_why *why) RK_MUSTCHECK;

void spec_free(struct spec *s);         /* NULL is fine */

/*
 * A job that begins now, and is not read back from where it was stored: fields
 * whose default is another for new jobs than their absence means in stored ones
 * get it, as if they were said.  That is training.arithmetic alone.
 */
void spec_begin_new(struct spec *s);

/* The normal form: every field with its value, defaults included; a new
 * reference.  spec_parse() of it gives an equal spec. */
json_t *spec_json(const struct spec *s);

/* The normal form of a schedule alone (a new reference), and back; faults by
 * their path in a job. */
json_t *spec_schedule_json(const struct spec_schedule *s);
enum rk_err spec_schedule_parse(const json_t *v, struct spec_schedule *out,
    struct rk_why *why) RK_MUSTCHECK;

/* SHA-256 of the normal form of what decides the weights: model, training (but
 * for resume_from, log_every, exact and register) and data (but for threads and broken);
 * not name, priority, labels,
 * resources, checkpoint, metadata.  Paths and addresses count as the text they
 * are, with the digest that pins them.  What data.split_seed and data.split are
 * by themselves is left out, so that jobs from before these have their old
 * digests.  With reduce_on_plateau checkpoint.keep.metric and mode count as
 * well. */
void spec_digest(const struct spec *s, char hex[RK_SHA256_HEX]);

/*
 * Overrides of a resume, merged into tree (a job; its normal form is taken) as
 * RFC 7396 says and then parsed like a job.  Allowed are name, priority,
 * labels, resources, retries, checkpoint, metadata, data.threads, data.broken,
 * what is in data.train and
 * data.validation (paths, label, delimiter, ...: the digest of the content is
 * compared when the job goes on) and, of training, all but
 * batch_size, drop_last, shuffle, seed, loss.type, optimizer.type and its
 * initial_accumulator_value, and momentum from or to 0, `centered`, and ema
 * from or to none (its decay and warmup may change): those decide what the
 * stored state means.  Which parameters are trained, their rates and their
 * decay (parameters, phases, learning_rates, no_decay) may change; a list, so
 * phases, is given as a whole.  RK_EINVAL names each that is not and would
 * change.  *changed (may be NULL; a new reference) is {path: [old, new], ...}
 * of what differs, null where the field was not or is no more.
 *
 * Beyond the RFC, so that what a person means is what happens: `warmup_epochs`
 * takes the place of `warmup_steps` (and so for its like), a schedule of
 * another type drops the fields of the old one but the warm-up, and another
 * keep.metric brings its own mode unless one is said.
 */
enum rk_err spec_override(const json_t *tree, const json_t *overrides,
    struct spec **sp, json_t **changed, struct rk_why *why) RK_MUSTCHECK;

/*
 * What a checkpoint keeps of the job that made it (state.spec in
 * checkpoint.json), so that a trainer that runs alone can hold an edited job
 * against it: model, training (but for resume_from and log_every, and for its
 * length, which the schedule has in steps) and data (but for its sources, which
 * the data's digest speaks for) in their normal form.
 * Values of more than 256 bytes, and addresses, are "sha256:HEX" of their text;
 * a field that a job need not have is null where it has not.  A new reference.
 */
json_t *spec_record(const struct spec *s);
/* By the same table and in the same sentences as spec_override(): RK_EINVAL
 * names each field of s that is not as recorded and cannot change on a resume.
 * Fields that the record does not know (it is of an older version) are not
 * compared.  *changed (may be NULL; a new reference, also on RK_EINVAL) is
 * {path: [old, new], ...}. */
enum rk_err spec_compare(const json_t *record, const struct spec *s,
    json_t **changed, struct rk_why *why) RK_MUSTCHECK;

/* Does each attempt need the model of model.checkpoint (training.distill)? */
bool spec_distills(const struct spec *s);

/*
 * How a parameter of this name is trained: the group that it is of (NULL: of
 * none), whether it is trained at all, times which rate, with which weight
 * decay.  Pure functions of the job.
 */
bool spec_pattern_fits(const char *pattern, const char *name);
const struct spec_group *spec_group_of(const struct spec_training *t,
    const char *name);
bool spec_trains(const struct spec_training *t, const char *name);
double spec_rate_of(const struct spec_training *t, const char *name);
double spec_decay_of(const struct spec_training *t, const char *name);

/* Faults for data files and a model file that are not there, are no regular
 * files or may not be read, and for relative paths when `absolute`.  Nothing is
 * opened; a checkpoint of another job is not looked for, nor what an address
 * means. */
enum rk_err spec_check_files(const struct spec *s, bool absolute,
    struct rk_why *why) RK_MUSTCHECK;

/* A fault for a network of tokens whose vocabulary is smaller than the one that
 * a synthetic source draws from.  For jobs that are new: one that was taken
 * before this was asked may have drawn none that its network does not have. */
void spec_check_vocabulary(const struct spec *s, struct rk_why *why);

/*
 * A gzipped tar among the data is unpacked once, by the trainer, into a folder
 * beside it, FILE SPEC_UNPACKED, with the tar in it, SPEC_UNPACKED_TAR; while
 * that is made it has the other name.  Who removes FILE removes both.
 */
#define SPEC_UNPACKED      ".unpacked"
#define SPEC_UNPACKING     ".unpacking"
#define SPEC_UNPACKED_TAR  "data.tar"
/* Is this one of https: http: s3: oss: model:, which others fetch? */
bool spec_is_address(const char *where);        /* NULL: no */
bool spec_is_version(const char *where);        /* model:; NULL: no */
/* Is it one, and a good one, of a model?  Its scheme is then in lower case.
 * RK_EINVAL at "address". */
enum rk_err spec_check_address(char *address, struct rk_why *why)
    RK_MUSTCHECK;
/* What the samples of a synthetic source take when they are drawn; of others
 * 0.  At most 2^57. */
uint64_t spec_drawn_bytes(const struct spec_source *of);
/* The files of a job's data, paths and addresses: the fields that name them, in
 * the order of the manual ("data.train.path", or "data.train.path[1]" of a
 * list), and the spec's own texts, which may be replaced: those that are read,
 * which of data.train of a job that does not train is the vocabulary alone.  How
 * many there are. */
#define SPEC_FILES (2 * (SPEC_MAX_FILES + 1) + SPEC_MAX_USED)
#define SPEC_FIELD_MAX 128
struct spec_file {
	char field[SPEC_FIELD_MAX];
	char **name;
	bool folder;                    /* may name a folder; else only a
					   file */
};
size_t spec_files(struct spec_data *d, struct spec_file v[SPEC_FILES]);
/* Addresses of a job with the fields they are in; one that two fields have is
 * there twice.  Texts are the spec's.  How many there are. */
#define SPEC_ADDRESSES (SPEC_FILES + 5)
enum spec_address_of {
	SPEC_ADDRESS_DATA,
	SPEC_ADDRESS_MODEL,             /* model.checkpoint */
	SPEC_ADDRESS_NAMES,             /* its classes and its vocabulary */
	SPEC_ADDRESS_STATE              /* struct spec_warm_start: beside, and
	                                   of a version record; they need not
	                                   be there */
};
struct spec_address {
	char field[SPEC_FIELD_MAX];
	enum spec_address_of of;
	const char *uri;
};
size_t spec_addresses(const struct spec *s,
    struct spec_address v[SPEC_ADDRESSES]);
/* The address of the object (the caller frees), and the digest that it is
 * pinned by, in lower case, "" for none: what follows it is that of struct
 * rk_part. */
char *spec_address_bare(const char *uri, char sha256[RK_SHA256_HEX]);

/*
 * Every place outside of itself that a job names, and that who reads, fetches
 * or writes for it goes to by the job's word: files and folders of the machine,
 * objects of stores, other jobs, and where its checkpoints are sent.  A field
 * that is a path or an address and is not among these is not asked about when
 * a record of a bucket names it (ship.h); tests/outside/allow.py holds the
 * list against the schema of jobs.
 */
enum spec_place_kind {
	SPEC_PLACE_FILE,                /* a file or folder that is read */
	SPEC_PLACE_OBJECT,              /* https: http: s3: oss: */
	SPEC_PLACE_JOB,                 /* job:// */
	SPEC_PLACE_MODEL,               /* model:// */
	SPEC_PLACE_FOLDER,              /* checkpoint.push, of this machine */
	SPEC_PLACE_PREFIX               /* checkpoint.push, of a store */
};
struct spec_place {
	char field[SPEC_FIELD_MAX];
	enum spec_place_kind kind;
	char *text;                     /* FILE, FOLDER: the path alone; else
					   as the job has it */
};
#define SPEC_PLACES (SPEC_FILES + 5)
size_t spec_places(const struct spec *s, struct spec_place v[SPEC_PLACES]);
void spec_places_fini(struct spec_place *v, size_t n);
/* "FIELD TEXT", as the database keeps which of them were said here (store.h); a
 * new reference. */
json_t *spec_place_said(const struct spec_place *p);

/* A selector of a checkpoint: latest | best | step:N | NAME | none. */
enum spec_select_kind {
	SPEC_SEL_LATEST, SPEC_SEL_BEST, SPEC_SEL_STEP, SPEC_SEL_NAME,
	SPEC_SEL_NONE
};
struct spec_select {
	enum spec_select_kind kind;
	int64_t step;
	const char *name;               /* points into the text */
};
enum rk_err spec_select_parse(const char *text, struct spec_select *out,
    struct rk_why *why) RK_MUSTCHECK;

/* A name a person may give a checkpoint: rk_name_ok() and none of our own
 * words (latest, best, none, and what begins with "step-" or "step:"). */
enum rk_err spec_checkpoint_name_ok(const char *name,
    struct rk_why *why) RK_MUSTCHECK;

/* Words of the enums, for messages and normal forms. */
extern const char *const spec_optim_words[];
extern const char *const spec_schedule_words[];
extern const char *const spec_on_resume_words[];        /* [0]: "start" */
extern const char *const spec_anneal_words[];
extern const char *const spec_warmup_words[];           /* [0]: "rekindle" */
extern const char *const spec_exact_words[];
extern const char *const spec_arithmetic_words[];
extern const char *const spec_sampler_words[];
extern const char *const spec_broken_words[];
extern const char *const spec_norm_words[];
extern const char *const spec_label_words[];
extern const char *const spec_encoding_words[];
extern const char *const spec_tokenizer_words[];
extern const char *const spec_init_words[];
extern const char *const spec_restore_words[];

#endif
