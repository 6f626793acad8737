/*
 * use - a job of kind predict or evaluate: lines into predictions.jsonl, then
 * report.json.
 *
 *	use.c           from its lock to its last word
 *	use_open.c      the model, what a sample is, the network
 *	use_predict.c   the files of data.inputs
 *	use_evaluate.c  the samples of data.validation
 *	use_report.c    report.json, and what it is counted from
 *	results.c       predictions.jsonl and predictions.state
 *	walk.c          which files data.inputs names
 *
 * Batches are those of an undisturbed run: the state is only taken between two,
 * and a run that goes on begins with the next.  What the state has of the run
 * (`of` of results.h):
 *	{kind, job, model, arithmetic, program, done, total, at, counts}
 * job: a digest of what of the job decides the lines; model: the SHA-256 of its
 * file; done: lines, of total; at: where the next batch begins, and by what it
 * is known that what was before is what it was (use_predict.c,
 * use_evaluate.c); counts: what the report is made of.
 */
#ifndef TRAIN_USE_H
#define TRAIN_USE_H

#include "predict.h"
#include "results.h"
#include "walk.h"

#define USE_REPORT_FILE "report.json"
#define USE_COMMIT_MS   1000            /* between two states */
#define USE_FAILED_MOST 1000            /* inputs that the report names */

/* Of kind predict: what lines say, by class. */
struct use_counts {
	int64_t classes;
	int64_t *rows;                  /* [classes] that say it */
	double *worth;                  /* ... and the sum of its worth */
	double sum, least, most;        /* of all; of numbers */
	int64_t n;
	json_t *failed;                 /* [{input, error}], the first */
};

struct use {
	struct run *r;
	char *path;                     /* of the model */
	json_t *pixels;                 /* of what the model says of samples;
					   or NULL */
	struct prediction p;
	struct results out;
	enum rk_err rc;                 /* of a line that was not written */
	int64_t done, total;            /* lines */
	int64_t begun_ms, begun;        /* of this attempt; its first line */
	int64_t commit_ms, keep_ms;     /* of the last state; between two */
	json_t *at;                     /* where the next batch begins */

	/* predict */
	struct walk walk;
	struct use_counts counts;
	int input;                      /* the file that is read ... */
	int64_t file;
	uint64_t listing, passed;       /* hashes: of all names; of names and
					   sizes of files before it */
	char content[RK_XXH128_HEX];    /* of it, or "" */

	/* evaluate */
	struct tally tally;
	int64_t place;                  /* of the next batch */
	bool stale;                     /* `at` is older */
	char data[RK_SHA256_HEX];
	json_t *worst;                  /* [{...}], the worst first */
};

/* A run of such a job; as train() of run.c. */
bool use_run(struct run *r);
/* --summary and --check of one. */
bool use_summary(struct run *r);
/* out: the fields of --check, but for what is refused. */
bool use_check(struct run *r, json_t *out);
/* While a batch is waited for (loop_tick()). */
void use_tick(struct use *u);

/* use_open.c: model, data, recipe and network; m: what it takes. */
bool use_open(struct use *u, struct run_memory *m);
/* The same without the model's bytes and a network. */
bool use_measure(struct use *u, struct run_memory *m);

/* use.c: a line; false after run_fail().  Between batches: listen, say how far
 * it is, keep the state; false: the run is to leave. */
void use_line(struct use *u, const json_t *line);
bool use_between(struct use *u);

/* Each of both kinds: where it goes on (at: of the state, NULL: at the
 * beginning; false after run_fail()), and to the end, or until it is to
 * leave. */
bool use_predict_open(struct use *u, const json_t *at);
bool use_predict_all(struct use *u);
bool use_evaluate_open(struct use *u, const json_t *at);
bool use_evaluate_all(struct use *u);
void use_evaluate_keep(struct use *u);  /* u->at, as it is now */
/* data: others than the lines so far are of; a sentence behind it. */
bool use_changed(struct use *u, const char *fmt, ...) RK_PRINTF(2, 3);

/* use_report.c */
void use_counts_add(struct use *u, const json_t *line);
json_t *use_counts_json(const struct use *u);
/* False: it is none. */
bool use_counts_read(struct use *u, const json_t *v);
void use_counts_fini(struct use *u);
/* A sample that was got wrong, among the worst; takes the object, which has
 * `loss` (null: there is none, which is the worst) and `row`. */
void use_worst_add(struct use *u, json_t *o);
json_t *use_report(const struct use *u);
/* {val_loss, val_accuracy, ...} of an evaluation, else {}; a new reference. */
json_t *use_metrics(const struct use *u);

#endif
