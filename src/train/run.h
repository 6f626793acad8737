/*
 * run - one attempt at one job, as the parts of this module share it.
 *
 *	options.c  the command line
 *	main.c     main()
 *	run.c      one attempt, from its lock to its last word
 *	job.c      the job file
 *	place.c    where the bytes of its addresses are
 *	unpack.c   the tar in a gzipped one
 *	setup.c    data, network and optimiser
 *	start.c    where from: a checkpoint, another model, or nothing
 *	warm.c     another model; plan.c says what of it goes where, warm_file.c
 *	           reads it, carry.c takes an optimizer's state along
 *	remarks.c  what a person may not have meant, before it begins
 *	rate.c     the learning rate: its schedule, and what is said of it
 *	spans.c    which parameters are trained, at which rate, with what decay
 *	phases.c   in which phase, and the change to the next
 *	alone.c    an edited job and an old checkpoint, without a daemon
 *	held_out.c, held_out_run.c  what is validated on, and who was trained
 *	           on it before
 *	restore.c  a checkpoint into the run, the run into a checkpoint's words
 *	input.c    what a checkpoint says of a sample, for those who predict
 *	exact.c    is it bit for bit what a run without an interruption
 *		   computes?
 *	same.c     are the data those that the checkpoint was made with
 *	loop.c     steps and epochs
 *	feed.c     the samples of a step into the network; mix.c mixes them
 *	seen.c     what they were when they were first read
 *	feature_cache.c what is frozen gives for them, in feature_file.c
 *	classes.c  the classes of the data by their names
 *	class_map.c  which class of a warm start's model each of them was
 *	epoch.c    evaluation, and what is said at the end of an epoch
 *	judging.c  what an evaluation says beside that; evaluations.c keeps it
 *	knowledge.c  what is still known of the classes of before
 *	distill.c  the ancestor, whose answers are learned, too
 *	early.c    early stopping
 *	due.c      when a checkpoint is due, and taking it
 *	writer.c   the thread that writes it
 *	ask.c      what the daemon, a signal or a closed socket ask for
 *	signals.c  the thread that waits for signals
 *	report.c   events, progress and ends, to the wire or to people
 *	alive.c    that it works, before there is anything to say
 *	metrics.c  metrics.jsonl
 *	summary.c  --summary and --plan
 *	suggest.c  --suggest; candidate.c opens what a job could begin from
 *	evaluate.c --evaluate; model_file.c opens what it is about
 *	predict.c  --predict; inputs.c reads what it is for
 *	draw.c     --plot
 *	vocabulary.c  --make-vocabulary
 *	samples.c  --samples
 *	profile.c  --profile; table.c and trace.c print it
 *
 * The main thread owns everything here; the writer's thread sees only what
 * writer.c hands it.  Functions that can end the run return false after
 * run_fail() has the reason.
 */
#ifndef TRAIN_RUN_H
#define TRAIN_RUN_H

#include "rekindle/data.h"
#include "rekindle/judge.h"
#include "rekindle/kernel.h"
#include "rekindle/optim.h"
#include "rekindle/schedule.h"
#include "rekindle/train.h"

#include "held_out.h"
#include "report.h"
#include "same.h"
#include "warm_file.h"

/* Sums over some steps; `loss` of samples, in double, in step order; `weight`
 * is what it is divided by for a mean: the samples, or by class weights.  Of
 * `counted` samples, those with a class that is not ignored, `correct` are.  Of
 * samples that weigh nothing there is no loss: NaN in a score, null outside.
 * taught_sum is what an ancestor's answers gave over `taught` samples
 * (distill.h): then the loss of a score is that of both. */
struct tally {
	double loss, weight;
	int64_t correct, counted, samples, steps;
	double taught_sum;
	int64_t taught;
};

/* What is measured of a data set, or of a stretch of training. */
struct score {
	double loss, accuracy;
	bool has_accuracy;
};

/* What else an evaluation gave, by judge.h: a number where there is one. */
struct judged {
	bool has[JUDGE_METRICS];
	double v[JUDGE_METRICS];
};

/* How early stopping stands; {0}: nothing has been counted. */
struct early {
	bool counts, has_best, mode_max;
	char metric[32];                /* of which the rest is */
	double best;
	int64_t step;                   /* of the best */
	int64_t bad;                    /* epochs in a row since */
	bool restored;                  /* the weights are the best's again */
};

/*
 * Where the run stands: all that is neither weights nor a function of the job.
 * Goes into checkpoint.json and comes back from it, so that what a resumed run
 * says is what an uninterrupted one would have said.
 */
struct cursor {
	int64_t step;           /* optimiser steps done */
	int64_t epoch;          /* epochs completed */
	int64_t sample;         /* samples of the current epoch done */
	double rate_scale;      /* of a warm start; 1 without one */
	double rate;            /* of the last step; 0 before the first */
	struct tally in_epoch;  /* of the epoch so far */
	struct tally in_window; /* since the last line in metrics.jsonl */
	int64_t scored;         /* the step of the newest evaluation, or -1 */
	struct score valid;     /* ... and what it gave */
	struct judged figures;
	struct score last_epoch; /* training loss of the last whole epoch */
	bool has_best;
	double best;            /* of checkpoint.keep.metric */
	struct early early;
	enum nn_running running;        /* of a warm start's statistics */
};

/* Why a run ends badly: wire.h lists the reasons. */
struct failure {
	const char *reason;     /* NULL: it does not */
	char *message;
	bool permanent;
	bool waits;             /* for a person, or for what may come back */
	json_t *details;        /* for the event; owned, or NULL */
};

/* What others ask for; ask.c fills it, loop.c does it. */
#define ASK_MAX 16
struct ask {
	bool leave;             /* commit and go ... */
	enum wire_outcome outcome;      /* ... saying this */
	int64_t deadline_ms;    /* mono; 0: none */
	int n;                  /* checkpoints to take now, by these names */
	char name[ASK_MAX][RK_NAME_MAX + 1];
};

/* How often rows have been updated, of all that a tensor has, in order: so many
 * of them so often, then so many others. */
struct span_rows {
	int64_t rows, updates;
};
struct span_counts {
	struct span_rows *v;
	size_t n;
};

struct writer;
struct profile;
struct feed;
struct seen;
struct knowledge;
struct distill;
struct features;
struct use;

struct run {
	const struct train_options *o;
	struct spec *spec;
	char *dir;              /* the run directory */
	int dir_fd, lock_fd;
	struct report rep;
	struct failure fail;
	struct ask ask;

	struct data_set *train, *valid;
	struct held_out held;   /* which samples are in `valid` */
	struct warm_file *warm;         /* the warm start's file, once open */
	char *warm_path;                /* ... and where it is */
	struct held_out_model warm_model;       /* ... and what it tells */
	struct nn *nn;
	struct optim *optim;
	struct optim_ema *ema;          /* NULL: none is kept */
	struct span_counts *updates;    /* spans.c: of each tensor ... */
	int64_t updates_at;             /* ... when this step had been made */
	struct ckpt *ckpt;
	struct writer *writer;          /* NULL: --profile keeps nothing */
	struct profile *profile;        /* NULL, but while steps are measured */
	struct use *use;                /* NULL: the job trains (use.h) */
	/* What a sample is, where there are no data to say it; ndim 0: they
	 * do. */
	struct {
		int ndim;
		int64_t d[SPEC_MAX_DIMS];
		enum nn_dtype dtype;
	} sample;
	struct judge *judge;            /* of the evaluation under way, or the
	                                   last one */
	struct knowledge *knowledge;    /* of a warm start's classes, or NULL */
	struct distill *distill;        /* whose answers are learned; or NULL */
	struct nn_taught taught;        /* ... of the part of a step */
	char ancestor[RK_SHA256_HEX];   /* ... and what it must be, or "" */
	int64_t evaluations;            /* number of the last one kept */
	bool evaluations_trouble;       /* said once */

	int64_t batch;          /* rows of a full one */
	int64_t micro;          /* of them that go through at a time */
	int64_t steps_per_epoch, steps_total;
	int64_t epochs_limit, steps_limit;      /* INT64_MAX: none */
	struct schedule schedule;
	bool scheduled;         /* it came with a checkpoint, or was begun */
	struct schedule_phase phase;    /* that is under way: phases.h */
	double phase_cost[SPEC_MAX_PHASES];     /* operations of a step */
	struct feed *feed;              /* where batches come from */
	struct seen *seen;              /* NULL: all data lie in memory */
	struct features *features;      /* NULL: samples go through all of the
	                                   network */
	char *unpacked[2];              /* of data.train, .validation; or
					   NULL */
	int64_t *which;
	int32_t *classes;       /* labels of a batch, or NULL */
	float *targets;         /* the same for mse, or NULL */
	int64_t targets_width;

	char spec_digest[RK_SHA256_HEX], data_digest[RK_SHA256_HEX];
	json_t *spec_record;            /* for the checkpoints */
	char program[RK_SHA256_HEX];    /* of r->nn */
	struct same same;
	int branch;
	char parent[CKPT_DIR_MAX];      /* what this attempt went on from */
	bool has_known;                 /* there has been a checkpoint ... */
	char known[CKPT_DIR_MAX];       /* ... this, or words for one */
	/* Is it exact: exact.c. */
	struct {
		json_t *why_not;        /* `inexact` of ckpt.h; owned, or
					   NULL */
		bool other_data;        /* than the checkpoint's, accepted */
		int64_t from;           /* the step that it went on from */
	} exact;
	struct cursor at;
	/* Checkpoints: due.c. */
	struct {
		bool schedule;          /* one is due that nobody asked for */
		bool best;              /* one of this very step is */
		int64_t last_ms;        /* when the newest was taken */
		int64_t captured;       /* step whose weights the shadow has */
		int64_t taken;          /* step of the newest handed on, or
					   -1 */
		double stall_s;         /* that training waited for it */
		char dir[CKPT_DIR_MAX]; /* the newest committed, or "" */
	} due;
	uint64_t checkpoint_bytes;      /* at the most */
	uint64_t newest_bytes;          /* of the newest, without what is frozen
	                                   in it: the next is given a link of
	                                   that.  0: nothing is, or there is
	                                   none */
	uint64_t process_bytes;         /* memory of the process by itself */
	uint64_t memory_wanted;         /* where the job does not say it; or
					   0 */

	/* Clocks and counts of this attempt, for progress and metrics. */
	int64_t begun_ms, begun_step;
	int64_t phase_ms, phase_step;   /* of this phase, in this attempt */
	double left_s;                  /* of a step, when that was last
					   known, by its cost */
	int64_t poll_ms, progress_ms;
	int64_t speed_ms, speed_samples, samples_done;
	int64_t window_ms, window_samples;
	int64_t epoch_ms, epoch_samples;        /* of this epoch, so far */
	bool speed_whole;               /* it was measured over long enough */
	double samples_per_second;
	double update_ns;               /* of an update without capture */
	double stall_total_s, write_s;
	double calm_step_s;             /* a full step while nothing is
					   written */
	double excess_s;                /* what steps took longer beside a
					   write */
	double last_loss;
};

/* Keep the first reason, log the sentence; always false. */
bool run_fail(struct run *r, const char *reason, bool permanent,
    const char *fmt, ...) RK_PRINTF(4, 5);
/* The run cannot begin or go on as things are, and nothing is wrong with the
 * job: it waits.  Takes details, which may be NULL. */
bool run_fail_waits(struct run *r, const char *reason, json_t *details,
    const char *fmt, ...) RK_PRINTF(4, 5);
/* The same from an rk_err of the world and what was being done. */
bool run_fail_rc(struct run *r, enum rk_err rc, const char *doing);

/* run.c: the run directory, which is this process's from here on, and the
 * threads. */
bool run_enter(struct run *r);
bool run_start_team(struct run *r);

/* job.c: the job with its overrides. */
bool run_load_spec(struct run *r);

/* place.c: the path that --file says an address has, or NULL.  Are all --file
 * of this job's addresses? */
const char *place_of(const struct run *r, const char *where);
bool place_check(struct run *r);
/* The refusal of an address without a file; always false. */
bool place_missing(struct run *r, const char *field, const char *uri);
/* The job's data with paths in place of addresses; borrows all it points to. */
bool place_data(struct run *r, struct spec_data *local);
/* unpack.c: where the tar in a gzipped one is, once it is unpacked: *out is the
 * caller's, NULL where the file is not gzipped. */
bool unpack_tar(struct run *r, const char *path, const char *side,
    char **out);
/* A sentence with the addresses in place of the paths; the caller frees. */
char *place_named(const struct run *r, const char *text);

/* Bytes that the parts of a run take. */
struct run_memory {
	struct nn_sizes sizes;          /* of the network */
	uint64_t network, optimizer, copy, data, process, total;
	uint64_t ancestor;              /* of training.distill, or 0 */
	uint64_t wanted;                /* the total and a tenth */
	uint64_t limit;                 /* resources.memory, or the machine's,
	                                   but no more than our control
	                                   group's */
	uint64_t said;                  /* resources.memory; 0: the job has
					   none */
	uint64_t checkpoint;            /* of one on disk */
	uint64_t features;              /* of those kept, on disk, at most */
	int64_t parameters;
};

/* memory.c: how much is it?  Without data, of one full batch.  Refused where it
 * does not fit; what is wanted of the network, which may have so much; what
 * this process takes without any of it, asked for before there are data. */
bool memory_estimate(struct run *r, struct run_memory *m);
bool memory_fits(struct run *r, const struct run_memory *m);
/* Synthetic samples, before they are drawn: no file bounds them. */
bool memory_draws(struct run *r);
struct nn_want memory_want(const struct run *r, uint64_t limit);
uint64_t memory_of_process(void);

/* setup.c: data sets, lengths and sizes; then network, optimiser and a batch's
 * arrays, in the limits of the job. */
struct start;
/* start: as held_out_choose() takes it. */
bool run_open_data(struct run *r, struct start *start);
/* What data_read() or data_divide() said; frees why; always false. */
bool run_refuse_data(struct run *r, enum rk_err rc, struct rk_why *why);
bool run_measure(struct run *r, struct run_memory *m);
bool run_build(struct run *r, const struct run_memory *m);
/* The labels and tokens that there are, against r->nn; and all the tokens that
 * there can be. */
bool run_check_samples(struct run *r);
enum rk_err run_check_vocabulary(const struct run *r,
    const struct data_set *d, struct rk_why *why) RK_MUSTCHECK;
/* It answers a question about a model (--plan, --check, --evaluate, --predict;
 * --summary where the model is at hand), and trains nothing. */
bool run_asks(const struct run *r);
/* This is the newest checkpoint. */
void run_newest(struct run *r, const struct ckpt_info *i);
/* Bytes that the next one wants of the disk. */
uint64_t run_needs(const struct run *r);
/* There are classes, so there is an accuracy. */
bool run_classifies(const struct run *r);

/*
 * remarks.c: what a person may not have meant of r->nn and the data, a sentence
 * each; before a run they are events.  May a step of so many rows be trained
 * on?  False: b has why, and which field helps.
 */
typedef void remark_fn(void *ctx, const char *sentence);
void remarks(const struct run *r, remark_fn *fn, void *ctx);
void remarks_tell(struct run *r);
/* What a set's source has to say, on standard error: of what prints JSON.  of:
 * "data.train: ". */
void remarks_print(const struct data_set *d, const char *of);
bool remarks_may_train(const struct run *r, int64_t rows, struct strbuf *b);

/* restore.c: a checkpoint into the run, and the run into a checkpoint's
 * words. */
bool run_restore(struct run *r, const struct ckpt_info *i,
    const struct tensor_set *model, const struct tensor_set *optim);
void run_describe(const struct run *r, struct ckpt_info *i);

/* classes.c: the classes of the data in the order of a model's (names: a list
 * of texts, or NULL), which calls itself `what`. */
bool classes_match(struct run *r, const json_t *names, const char *what);
/* "512 samples of 6 classes: ...", the caller's; and the same as {samples,
 * shape, classes, names, counts, balance}, a new reference. */
char *classes_sentence(const struct data_set *d);
json_t *classes_json(const struct data_set *d);

/* input.c: `input` and `classes` of ckpt.h; new references, the latter NULL
 * where the data have no names for them. */
json_t *input_json(const struct run *r);
json_t *input_classes(const struct run *r);

/* rate.c: the learning rate of the update that makes step `step` (from 0). */
double run_rate(const struct run *r, int64_t step);
/* The schedule of a run that begins; of one that goes on from i, which it has
 * restored; and what is to be said of the latter. */
struct rate_change {
	double was;                     /* the old rate ... */
	int64_t at;                     /* ... of this step; -1: there is
					   none */
	bool anew;                      /* the schedule was decided anew */
};
void rate_begin(struct run *r);
void rate_remarks(const struct run *r, remark_fn *fn, void *ctx);
bool rate_go_on(struct run *r, const struct ckpt_info *i,
    struct rate_change *c);
void rate_tell(struct run *r, const struct ckpt_info *i,
    const struct rate_change *c);

/* A warm start: the schedule goes on as if so many steps had been made. */
void rate_continue(struct run *r, int64_t step);
/* A phase begins, and its schedule. */
void rate_turn(struct run *r);
/* An epoch has been scored, which may lower the rate. */
void rate_judge(struct run *r);

/*
 * spans.c.  The network's parameters into spans of the optimiser, by the job's
 * patterns; a pattern that fits none is refused, and a job that trains none.
 * spans_begin: of a run that begins, and of one that goes on (state: that of
 * its checkpoint, which has been restored; faults in why); the optimiser counts
 * from there.  spans_json: what the state of a checkpoint has of it, or NULL.
 */
bool spans_check(struct run *r);
void spans_begin(struct run *r, const json_t *state, struct rk_why *why);
json_t *spans_json(const struct run *r);
/* A warm start: the rows of tensor i have had updates[i] before the run began
 * (n 0: none).  Of each tensor; stays the caller's. */
void spans_carry(struct run *r, const struct span_counts *updates);
void spans_free(struct run *r);
/* A change of phase: count the updates to here, while the mask is the old one;
 * then the spans of the new one. */
void spans_count(struct run *r);
void spans_turn(struct run *r);
/* path[index]key says a pattern that fits nothing; always false. */
bool spans_refuse_pattern(struct run *r, const char *path, int index,
    const char *key, const char *pattern);
/* One tensor's of the state of a checkpoint, for `rows` rows in all (1 where it
 * has no dimension): *out is the caller's, out->v to be freed.  n 0: the state
 * says nothing of it.  False, with the fault at o. */
bool spans_read(struct rkj_obj *o, const char *name, int64_t rows,
    struct span_counts *out);
/* So many more rows with so many updates at the end. */
void spans_add(struct span_counts *c, int64_t rows, int64_t updates);

/* alone.c: may an edited job go on from i, from which it was restored or not?
 * Without a daemon, which would have asked before. */
bool alone_may_go_on(struct run *r, const struct ckpt_info *i);
/* RUN-DIR/known.json: the newest checkpoint that the run has had (a daemon has
 * a row for that, and says --known): into r->known, of a checkpoint that there
 * is now, and when it begins anew. */
void alone_known_read(struct run *r);
void alone_known_write(struct run *r, const char *dir);
void alone_known_forget(struct run *r);
/* False: it has had one, and the folder of them is gone.  Nothing is made in
 * its place, so that it can be moved back. */
bool alone_may_open(struct run *r, const char *path);
struct score run_score(const struct run *r, const struct tally *t);
/* The mean of the task alone; NaN: there is none. */
double run_task_loss(const struct tally *t);
/* {loss, accuracy, val_loss, val_accuracy}; a new reference.  For a checkpoint
 * only what was measured on its own weights. */
json_t *run_metrics(const struct run *r, bool for_checkpoint);

/*
 * exact.c.  What a step is computed with: kernel_arithmetic(), `identity`
 * (TRAIN_IDENTITY) and `mode` (training.arithmetic); a new reference.  A job
 * that does not say the mode has that of the checkpoint i from which it goes
 * on, or of one that begins (i is NULL); behind --wire that of stored jobs: to
 * be called before there is a network.  May the run go on
 * from this checkpoint?  And when it does: say so if it was computed with
 * something else, and remember that.  `inexact` as ckpt.h has it, NULL when the
 * run is exact; a new reference.
 */
json_t *exact_arithmetic(const struct run *r);
void exact_settle(struct run *r, const struct ckpt_info *i);
void exact_tell_mode(struct run *r, const struct ckpt_info *i);
bool exact_allows(struct run *r, const struct ckpt_info *i);
void exact_tell(struct run *r, const struct ckpt_info *i);
json_t *exact_why_not(const struct run *r);
/* Both into a message to the daemon. */
void exact_put(const struct run *r, json_t *message);

/* loop.c: to the end, or until somebody asks the run to leave; the last
 * checkpoint is committed and ask.outcome says which. */
bool run_loop(struct run *r);
/* The next step alone: of next_rows() samples. */
bool loop_step(struct run *r);
/* Between steps and between batches: listen, and say how far we are. */
void loop_tick(struct run *r, bool evaluating);
/* Time since began_ms in which nothing was trained counts for no speed of the
 * training. */
void loop_paused(struct run *r, int64_t began_ms);
/* Samples a second, of at least a millisecond. */
double loop_speed(int64_t samples, int64_t ms);
/* Rows of the next batch of this epoch; 0: the epoch is through. */
int64_t next_rows(const struct run *r);
/* All the steps or epochs of the job are done, or it was stopped early. */
bool at_limit(const struct run *r);
/* The part of the time since the loop began that training stood still for
 * checkpoints. */
double stall_ratio(const struct run *r);

/* vocabulary.c: make the file and say so. */
bool vocabulary_make(struct run *r);

/* ask.c */
void ask_poll(struct run *r);

/* signals.c: take SIGTERM, SIGINT and SIGHUP from here on.  Has one come? */
bool signals_start(struct run *r);
bool signals_came(void);

#endif
