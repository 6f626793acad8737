/*
 * train - one job from its specification to its last checkpoint; the module
 * behind the program rekindle-train.
 *
 *	rekindle-train [options] JOB.yaml [INPUT...]
 *	    --run-dir DIR     where checkpoints/, metrics.jsonl,
 *	                      evaluations.jsonl, plan.json, known.json and lock
 *	                      go, and features/ while training.cache_features
 *	                      keeps some; ./NAME.run unless said
 *	    --from SELECTOR   instead of training.resume_from
 *	    --file ADDRESS=PATH  where the bytes of an address in the job (a
 *	                      data file, model.checkpoint; job:// too) are on
 *	                      this machine; may be repeated.  What is said of
 *	                      the run has the address
 *	    --model PATH      the file that model.checkpoint stands for; a warm
 *	                      start also for a job that has none
 *	    --threads N       instead of resources.threads
 *	    --memory BYTES    what a job may have that says no
 *	                      resources.memory; else all of the machine's
 *	    --set PATH=VALUE  override a field of the job; may be repeated
 *	    --accept data     go on although the data has changed since the
 *	                      checkpoint was taken
 *	    --known STEP      there has been a checkpoint at this step: if none
 *	                      can be used, wait and do not begin anew
 *	    --sha256          checkpoints leave this machine: their files have
 *	                      SHA-256 digests, too (ckpt.h)
 *	    --wire            speak the wire at fd 3 (wire.h), print no progress
 *	    --job ID --attempt N   for checkpoint.json and metrics.jsonl
 *	    --summary         print network, data, the memory it takes and what
 *	                      it is computed with as JSON and end.  Data are
 *	                      parted as by the run: a warm start's model is
 *	                      asked where it is at hand (--model, --file, or a
 *	                      file that can be read), else it is by the job
 *	                      alone.  Where the job itself gives the
 *	                      network's input, files of data that are not there
 *	                      are not needed.  See below.  With --yaml: the
 *	                      model with its layers written out, which is a
 *	                      model of the same program
 *	    --plan            print the plan of the warm start (warm.h) and end:
 *	                      the sentence, a line a tensor, and what is
 *	                      refused; with --json all of it as JSON.  Exit code
 *	                      3 where the warm start would be refused
 *	    --check           all that comes before the first step: print JSON
 *	                      and end; see below
 *	    --suggest FILE    say which of the candidates in a JSON file
 *			      (warm_suggest.h) the job would best begin from,
 *			      print JSON and end; see below
 *	    --profile[=STEPS] train some steps (10) after 2 of warm-up, print
 *	                      where their time went and end; see below.
 *	                      --json: as JSON;  --trace FILE: events of all
 *	                      threads, for Chrome's and Perfetto's viewers
 *	    --evaluate FILE   score a model file or a checkpoint's folder,
 *	                      print JSON and end;  --logits OUT.npy, --json: see
 *	                      below
 *	    --predict FILE    say what it predicts for each INPUT, or for what
 *	                      --evaluate would score; see below
 *	    --export CHECKPOINT  a checkpoint's folder as a file of another
 *	                      framework, JOB.yaml OUT; see below
 *	    --convert FILE    a file of weights as another's, OUT [JOB.yaml];
 *	                      see below
 *	    --data-set KEY=VALUE  score or predict other data; see below
 *	    --plot FOLDER     pictures; see below
 *	    --make-vocabulary --size N [--kind words|wordpiece]: JOB.yaml [OUT]
 *	                      a vocabulary file of the texts that train
 *	                      (data_make_vocabulary()), to OUT or to
 *	                      data.train.tokenizer.vocabulary, where another
 *	                      file is not replaced; the kind is the tokenizer's
 *	                      unless said.  Prints a line and ends
 *	    --data JOB.yaml --samples N OUT.png  what the network will see: the
 *	                      first N (1 to 4096) samples of the first epoch in
 *	                      their order, behind the transforms of training and
 *	                      the mixture of their batch, as pictures again,
 *	                      with their labels (characters that are not ASCII
 *	                      as \uNNNN).  Beside that it prints how many
 *	                      samples and classes there are and what is odd
 *	                      about the files; a broken sample is an error or,
 *	                      by data.broken, named and an empty place.  Neither
 *	                      model nor run directory is looked at
 *	environment: REKINDLE_SIMD, REKINDLE_GEMM (kernel.h); a word that is
 *	none of theirs is wrong usage, behind --wire a failure that no retry
 *	helps.  With less than 512 MiB of address space (ulimit -v) or 256 KiB
 *	of stack (ulimit -s) it ends before any library begins, with code 1 and
 *	a sentence exit: 0 finished, paused or stopped with a checkpoint; 1
 *	failed, after a sentence; 2 wrong usage; 3 the job, its data or its
 *	model are wrong, and trying again cannot help; 4 nothing is wrong with
 *	the job, but going on would lose what it knew, and a person decides: its
 *	checkpoints are gone or damaged (--from none begins anew), its data has
 *	changed (--accept data goes on), or its bytes would not be those of an
 *	uninterrupted run and training.exact is require (--set
 *	training.exact=prefer goes on)
 *
 * An edited job.  Run again with the same run directory, the job is held
 * against what the checkpoint has recorded of the job that made it: what a
 * daemon refuses of a resume's overrides (spec_override(), schedule_check()) is
 * refused here, by the same table and in the same sentences, with exit code 3.
 * A learning_rate that has changed and an on_resume that is there count as said
 * by the request.  A checkpoint of a version that recorded no job is gone on
 * from, and it is said that nothing was checked.  Behind --wire the daemon has
 * asked before.
 *
 * A run never begins anew when it has had a checkpoint, unless the selector is
 * none.  It has had one when --known says so, when known.json in its directory
 * does (written with each checkpoint of a run without a daemon; one that cannot
 * be read counts, too), or when one that was set aside (bad-..., late-...) lies
 * in its folder.  Of these the newest whole one is put back when there is no
 * other; without one the run ends with code 4.
 *
 * A gzipped tar of images is unpacked before it is read, once: into
 * FILE.unpacked/ beside it, or into the run directory where nothing can be
 * written there; whole, or not at all (a folder that is renamed).  At most 1
 * TiB comes out of one, and 1 GiB of the disk stays free: disk_full else.
 * src/train/unpack.c has the rest.
 *
 * Two trainers never share a run directory: the second says so on standard
 * error and waits 30 seconds for the first to end, then fails with code 1.
 *
 * --summary: {name, model, data, memory, arithmetic, checkpoint_bytes,
 * steps_per_epoch, steps_total, phases, feature_bytes, remarks}.  memory is in
 * bytes: network
 * (parameters, gradients, buffers, arena), optimizer, ancestor (of
 * training.distill, else 0), checkpoint_copy, data, process; total of these;
 * limit: resources.memory, or where the job does not say it what it would be
 * given, the total and a tenth; available: what total is compared with in
 * `fits`, resources.memory or else what --memory says or the machine has;
 * without --memory never more than the limits of the process's control group
 * and of those above it.  Of a training in phases it is what the largest takes,
 * and phases: [{number, from, steps, tensors, parameters (that it trains),
 * learning_rate (its peak, with a warm start's scale), schedule,
 * frozen_batch_norms_evaluate, train (its patterns), names (of all that they
 * come to)}]; --plan has the same, as lines for people, with the first names.
 * feature_bytes: of files that training.cache_features keeps, at most; absent
 * where it keeps none.  remarks: sentences on what may not have been meant
 * (below).
 *
 * --check: {accepted, refused: [{path, message}], plan, remarks, memory,
 * steps_total, data: {train, validation}}.  The data are read, the network is
 * built, the warm start is planned, and nothing is trained or written.  plan is
 * null without a warm start; what was not come to is absent.  The exit code is
 * that of a run that is refused for the same: 0, 1 or 3.
 *
 * --suggest: {name, arch, metric, larger_is_better, data: {train, validation:
 * digests, or null}, candidates: [{id and what warm_suggest() has}, in the
 * file's order; of a job's checkpoints also selector (best or latest),
 * checkpoint, step, epoch, created_at, metrics, data ({train, validation}:
 * digests, or null), arch}], unreadable: [{id, why}], little: how many would
 * load less than a tenth, own: {source and, of the warm start that the job has already,
 * summary, accepted, parameters_loaded, parameters_total, tensors_loaded,
 * tensors_total; or error}, null without one}.  Data that are not here are not
 * needed where the job gives the network's input.
 *
 * Remarks.  What is no error and may not have been meant is said before the
 * first step, as events of kind `remark` and `schedule_warning`: more outputs
 * than the labels have classes, outputs of more than one dimension (a linear
 * layer without a flatten before it), the step at which a batch norm will have
 * one value to normalise (it is refused there, bad_spec), schedules longer than
 * the run or their phase, phases that are never come to.
 *
 * A training in phases (spec_phases.h) says an event `phase` where a phase
 * begins and where an attempt goes on in one; `phase` is its number, from 1, in
 * each line of metrics.jsonl, in progress, and with where it began in
 * checkpoint.json's state.phase (schedule.h), of its checkpoints.
 *
 * metrics.jsonl: an object a line, {split, over, step, epoch, attempt, branch,
 * time_ms, loss, accuracy, learning_rate, samples_per_second, stall_ratio,
 * data_wait_ratio, broken, steps, phase}.  Of split train a line every
 * training.log_every steps, over those (`over: steps`), and one an epoch
 * (`over: epoch`); of split validation one an epoch.  What was not in a
 * checkpoint is made again by the next attempt, and its lines are there again
 * with that attempt and the same numbers.  loss is the mean over the samples.
 * accuracy is the share of samples of which the largest output is at the label;
 * of binary_cross_entropy the share of samples all of whose outputs are right,
 * above 0 for a label of 1 and at most 0 for one of 0, which is less than the
 * share of outputs; of mse, l1 and smooth_l1 with one output there is none.
 * Lines of split validation also have knowledge, of a warm start (below), and
 * top5, macro_precision, macro_recall,
 * macro_f1, ece, plain_loss and mae, as far as the loss has them: judge.h says
 * what each is; in checkpoint.json, and where a job chooses by them, they are
 * val_top5 and so on.  samples_per_second is that of the training, without
 * evaluation, in the steps or the part of the epoch that this attempt made; of
 * split validation that of the evaluation.
 *
 * Knowledge.  Of the classes that the model of a warm start knows and the job
 * has, too, recall on the validation data is measured before the first step,
 * among these classes, as that model answered, and by each evaluation.  A first
 * line of split validation, over `start` and of step 0, has what it was, with
 * loss and accuracy of the network as it begins; it and each later one have
 *	knowledge: {classes, before, recall, forgotten, few,
 *	    by_class: [{class, name, samples, before, recall, forgotten}]}
 * before and recall being means of the classes; of more than 256 classes
 * by_class has those that have fallen most.  The event `forgotten` names a
 * class whose recall has fallen by more than 0.05 and of which there are 50
 * samples at least, once a run; `few` is how many classes have fewer, and
 * by_class has their falls, too.  Nothing is watched without validation data,
 * with training.warm_start.watch false, of more than 1024 classes, and of a
 * head that begins anew.
 *
 * --evaluate: FILE is a file of tensors or the folder of a checkpoint (whose
 * digest of the model is checked).  It must be of the job's network, tensor for
 * tensor, as with model.strict; the job's own model.checkpoint is not asked
 * for.  Scored are the job's validation data in inference mode, or, where it
 * has none, data.train; `data.of` says which.  Who validates where data are
 * split off is decided as in a warm start from FILE, so that a job's own
 * checkpoints are scored on what the job held out.  `loss` and `accuracy` are
 * the val_loss and val_accuracy that the job itself measures with these
 * weights, bit for bit, where the arithmetic is the same.  They and the logits
 * do not depend on the number of threads; on training.batch_size only where the
 * kernel of an op takes another way for another number of rows, and the loss in
 * the order of its sum.
 *	{name, model: {file, sha256, bytes, tensors,
 *	    checkpoint: {dir, step, epoch}},
 *	 data: {of, samples, shape, classes, digest, summary, split},
 *	 samples, loss, accuracy, metrics: {accuracy, top5, ...}, outputs,
 *	 batch_size, arithmetic, logits: {file, sha256}}
 * where checkpoint, summary, split, accuracy and logits may be absent; with
 * --json also all else that judge_report() gives: each class, the confusion
 * matrix, the calibration.  OUT.npy
 * is NumPy's format 1.0, '<f4' in C order, [samples, outputs] in the order of
 * the set; it is there whole or not at all.  Nothing else is written.
 *
 * --data-set: the source that is scored instead of the job's validation data: a
 * copy of data.train with these fields (path=FILE, images=FILE, ...), or, with
 * a `type`, these alone; relative paths are seen from where the program is run.
 * What --set data.validation... says counts likewise, as long as the job has
 * data.validation.  Another job's data are scored with that job, whose network
 * must be the same.  Of a checkpoint's folder samples are normalised as it
 * says, of a model file as data.train has it, none of which is held out then.
 * The columns of a csv are found by their names, as those of data.validation
 * are (data.h); where a checkpoint says what its columns were called,
 * data.train must have them so.
 *
 * --predict: a line of JSON for each sample.  INPUT is a file as data.train has
 * them (of idx one with images, of csv one with or without the label's column,
 * of cifar one of records, of npz an archive with the features' array), an
 * array of NumPy (.npy) of samples, or a JPEG or PNG.  The columns of a csv
 * with a header are found by the names that those of the training data had,
 * wherever they stand and whatever else is there; one that lacks some is
 * refused.  Where either has no header they count by their places.  Pictures,
 * also those of idx, cifar and arrays of
 * bytes, go through data.transforms.validation as the job's own do
 * (data_view.h); without transforms a JPEG or PNG is brought to the size that
 * the network takes.  Of a network of texts INPUT is a file .csv, .tsv or .tab
 * with the columns of data.train, with or without the label's, where that has
 * columns, or else a text a line; the tokenizer is the job's, and must be that
 * of the checkpoint.  Samples make batches of training.batch_size in the order
 * of the inputs, whichever file they are of, so that the files of a set give
 * what --evaluate has of it, bit for bit.
 * What a checkpoint's folder says of its input, its numbers and its classes
 * counts, and then no data of the job are read (but a vocabulary), but where
 * they alone say what size pictures have before the transforms; of a model file
 * they are those of the job.
 *	{input, row, line, class, name, probability, top: [{class, name,
 *	probability}]}
 * input: the path as it was given, in which bytes that are no UTF-8 are '?';
 * row: the number of the sample in a file of several, from 0; line: of texts
 * alone, the line that each begins in, from 1 (empty ones are no rows); class:
 * the largest output, the first of equals; probability: of softmax; top: the
 * five largest.  Of binary_cross_entropy {input, row, labels: [{class, name,
 * probability}], top}, labels being those above 1/2, by sigmoid; of a
 * regression with one output {input, row, value}, with several {input, row,
 * class, name, score, top}.  A row whose outputs have a NaN, or whose largest
 * is infinite, is predicted as nothing: class and probability (labels, value,
 * score) are null, top is empty, and a line on standard error says how many
 * there are (so it does of --evaluate).  Without INPUT, input is `validation`
 * or `train`, and label (of several a list) and label_name are there, too; with
 * buckets (spec_data.h) the lines are in their order.  An INPUT that cannot be
 * read is {input, error}; the others are predicted, and the exit code is 1.
 *
 * A job of kind predict or evaluate (spec_use.h) is run as a training is, alone
 * or behind --wire: it appends a line a sample to RUN-DIR/predictions.jsonl and
 * at its end writes RUN-DIR/report.json.  A line of predict is that of
 * --predict; one of evaluate is that of --predict without INPUT, with `sample`
 * (what it is called, where it is a file or a line of one) and `loss` (in
 * double, without label_smoothing and class_weights; null where there is none);
 * or {input, row, sample, error} of one that data.broken: skip passes over.
 * Killed at any moment it goes on behind the lines that predictions.state
 * counts, at a batch of the undisturbed run, and the files are those of that
 * run, byte for byte; with other inputs than before it ends as a training does
 * with changed data (4).  A step is a sample, in progress and at the end.
 *	{format: 1, kind, name, model: {file, sha256, bytes, tensors,
 *	    checkpoint}, samples, outputs, batch_size, arithmetic,
 *	 predict: inputs, failed, failed_inputs: [{input, error}], the first
 *	    1,000; nothing: rows of which nothing is predicted; mean_probability
 *	    and classes: [{class, name, samples, mean_probability}] (of several
 *	    labels by label; of regression with one output value: {mean, least,
 *	    most}, with several mean_score),
 *	 evaluate: data: {of, samples, shape, classes, digest}, loss, accuracy,
 *	    all of judge_report(), worst: [{row, sample, label, label_name,
 *	    class, name, probability, loss}], the largest loss first, of equal
 *	    ones the first row}
 * loss, accuracy and metrics are those of --evaluate, bit for bit.  A predict
 * of which no input can be read fails, with its report written.
 *
 * --inspect: inspect.h.  Weights that a run begins from and that no checkpoint
 * of ours has are read that way, too: in a process of its own.
 *
 * --export: OUT is written whole or not at all, in the form that its name says
 * (ckpt_form_of()): the model as .pdparams, .pt or .safetensors, the state of
 * its optimiser as .pdopt or optimizer.pt.  warm_export.h says what tensors are
 * called and how they lie; a network that the framework's own library has under
 * other names (torchvision's, Hugging Face's, PaddleNLP's) has those, any other
 * its own.  The files of the checkpoint are checked against their digests
 * first.  Its data are not looked at.  .pdopt has each parameter's
 * accumulators, and as LR_Scheduler the step and the next step's rate;
 * optimizer.pt one group of all parameters, in the order of the model's, with
 * the job's settings.  What Paddle has no state for (RMSProp's means something
 * else there) is refused.  Where the checkpoint holds the average of the model
 * (training.ema), so does the file, and the state is that of what is trained.
 * --to NAME in place of OUT: for the daemon.  model.safetensors of a checkpoint
 * with shards (ckpt.h) is then the file that they stand for, by the names and
 * with the metadata of such a file.  Prints {bytes} as a line of JSON, then the
 * file without its first --skip bytes; or {refused, reason}, where reason is
 * no_form (there is no such form of it), gone, bad_checkpoint or io.
 *
 * --convert: the tensors of FILE's model (--member NAME and --part PATH as of
 * --inspect) to OUT, whole or not at all, in the form that --to or OUT says
 * (ckpt_form_of(); not that of an optimiser).  A process of its own reads FILE
 * (inspect.h).  Types stay; one that the form does not have is refused.  What
 * else there is, as an optimiser's state, is left out, and printed.
 *	without a model    names stay, Paddle's second ones, too; a recurrent
 *	                   layer gets the second keys that Paddle's state dicts
 *	                   have.  A safetensors file has the layout of FILE, and
 *	                   says so in `format`.  Between PyTorch's layout and
 *	                   Paddle's, weights of linear layers are turned where
 *	                   names tell which they are (warm_told()); where they
 *	                   do not tell that of some matrix it is refused, unless
 *	                   --as-is leaves such as they lie
 *	JOB.yaml, --arch   the network of the job; or of an architecture's name,
 *	                   or "{arch: resnet50, classes: 10}".  Each of its
 *	                   tensors must be in the file, by any dialect (warm.h),
 *	                   and no other; OUT has them as --export writes a
 *	                   checkpoint
 *
 * --plot: confusion.svg and reliability.svg of the evaluation into FOLDER,
 * which is made; without --evaluate those of the newest one in
 * RUN-DIR/evaluations.jsonl (src/ train/judging.h) and curves.svg out of
 * RUN-DIR/metrics.jsonl.
 *
 * Early stopping (spec.h) ends a run as its length does, with exit code 0; an
 * event `early_stopped` says why, and so does `done` on the wire.
 *
 * --profile: nothing is read of a run directory and nothing is written; the
 * weights are those of the job's seed.  A row for each layer that is computed
 * by itself (those that it does besides, such as the activation of a batch
 * norm, are named below it), for copies into another layout, for the loss, the
 * data, the optimiser and what is left of a step, and the same by kind of op:
 * milliseconds of a step, forward and backward; the share of the step; GFLOP/s
 * by the formulas, and as a share of the peak (kernel_peak_gflops()); bytes
 * read and written by the shapes (nn_cost_at()); how it is computed, where
 * there are several ways; and waiting, the part of the threads' time in which
 * they had no piece to work on.  As JSON:
 *	{name, arithmetic, threads, steps, samples, isa, peak_gflops, step_ms,
 *	 gflops, peak_share,
 *	 rows: [{name, type, part, ms, share, waiting, gflops, peak_share,
 *	    read, written, way, way_dx, folded}],
 *	 kinds: [{type, layers, forward_ms, backward_ms, share, ...}]}
 * part: forward | loss | backward | data | optimizer | other; samples of a
 * step; waiting 0 to 1; gflops and peak_share are 0 where nothing is
 * multiplied; way (backward: of the gradients of weights) and way_dx (of x) may
 * be absent; folded: names, of rows of forward.  The milliseconds of the rows
 * add up to step_ms.  src/train/ trace.c has the trace.
 *
 * training.arithmetic, where the job file does not say it: a run that begins is
 * fast, one that goes on is as its checkpoint was, which is exact for those of
 * before the field; --evaluate likewise.  Behind --wire, where the job file is
 * what the daemon stored, it is exact.
 *
 * Exact resume: the state of a run is parameters, buffers, optimiser slots and
 * the numbers in checkpoint.json.  Everything else is a function of the job and
 * the step: sample order (data_at), dropout (nn), learning rate
 * (schedule_rate).
 */
#ifndef REKINDLE_TRAIN_H
#define REKINDLE_TRAIN_H

#include "rekindle/ckpt.h"
#include "rekindle/nn.h"
#include "rekindle/wire.h"

/*
 * The numeric identity: with the same job, data and kernel_arithmetic() two
 * trainers of the same identity compute the same bytes.  Who changes the bytes
 * of any job (another order of sums, another kernel for a shape) makes it one
 * more.  It is in checkpoint.json's `arithmetic`, so that a job that was paused
 * under another goes on and says so (training.exact).  Checkpoints that say
 * what they were computed with, but not this, are of before it.
 */
#define TRAIN_IDENTITY        "2"
#define TRAIN_IDENTITY_UNSAID "1"

/*
 * The options, as the command line gives them.  Strings are borrowed from argv;
 * `set`, `file` and `data_set` are owned.  train_options_fini() is fine on {0}.
 */
struct train_options {
	const char *job;                /* path of the job file */
	const char *run_dir, *from, *model, *job_id;
	const char *evaluate, *logits, *trace;
	const char *sheet;              /* of --samples: where it is written */
	int64_t samples;                /* 0: not said */
	const char *out, *kind;         /* of --make-vocabulary and, out, of
	                                   --export; or NULL */
	const char *export, *to;        /* a checkpoint's folder; a file's
					   name */
	int64_t skip;                   /* bytes of that */
	const char *convert, *arch;     /* a file of weights; or NULL */
	const char *suggest;            /* a file of candidates; or NULL */
	bool as_is;
	const char *predict;            /* then evaluate is the same */
	const char *plot;               /* a folder */
	const char **set;               /* "PATH=VALUE" */
	const char **file;              /* "ADDRESS=PATH" */
	const char **data_set;          /* "KEY=VALUE" */
	int nset, nfile, ndata_set;
	char **input;                   /* files behind the job; argv's */
	int ninput;
	int64_t threads;                /* -1: as the job says; 0: all cores */
	int64_t attempt;                /* 0: not said */
	int64_t memory;                 /* bytes; 0: not said */
	int64_t known;                  /* -1: not said */
	int64_t size;                   /* tokens; 0: not said */
	int64_t profile;                /* steps; 0: not said; -1: as many as
	                                   there are without a number */
	const char *member, *part;      /* of --inspect; or NULL */
	bool inspect, diff, statistics, table;
	bool accept_data, json, sha256;
	bool wire, summary, yaml, plan, check, vocabulary, help, version;
};
enum rk_err train_options_parse(struct train_options *o, int argc, char **argv,
    struct rk_why *why) RK_MUSTCHECK;
void train_options_fini(struct train_options *o);
extern const char train_usage[];

/*
 * The program behind the options; returns its exit code.  Once a process: it
 * starts the kernel's team and takes SIGTERM, SIGINT and SIGHUP: the first has
 * a checkpoint committed, one more than half a second after it ends the process
 * at once.
 */
#define TRAIN_FINISHED 0
#define TRAIN_FAILED   1
#define TRAIN_USAGE    2
#define TRAIN_REFUSED  3
#define TRAIN_WAITS    4
int train_main(const struct train_options *o);

/*
 * Block the signals that can be, in the calling thread and all that begin after
 * that (kernel.h says why).  main.c has it called before the first constructor
 * of a library; train_main() calls it, too.
 */
void train_hold_signals(void);

#endif
