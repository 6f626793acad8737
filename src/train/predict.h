/*
 * predict - --predict: what a network says of samples, a line of JSON each.
 *
 *	predict.c  the model, and what it takes
 *	inputs.c   a file into samples
 *	batches.c  samples into batches, and batches into lines
 *	lines.c    a line
 */
#ifndef TRAIN_PREDICT_H
#define TRAIN_PREDICT_H

#include "rekindle/data_view.h"
#include "lines.h"
#include "model_file.h"

/* What is to be known to put a sample to the network: of a checkpoint by
 * `input` in ckpt.h, else by the job's data. */
struct recipe {
	int ndim;
	int64_t d[SPEC_MAX_DIMS];
	int64_t width;                  /* product of d */
	enum nn_dtype dtype;
	int64_t nnorm;
	float *scale, *shift;           /* nnorm of each; owned */
	char **columns;                 /* width names, owned; or NULL */
	bool no_columns;                /* ... there are none; else perhaps */
	uint64_t tokenizer;             /* data_reading(); 0: not known */
	struct data_view *view;         /* of pictures; NULL: it takes none, or
	                                   recipe_view() was not called */
};
/* False: it does not say enough (of another version, or too much to keep). */
bool recipe_of_checkpoint(struct recipe *c, const json_t *input);
void recipe_of_data(struct recipe *c, const struct data_set *d,
    enum nn_dtype dtype);
/* Pictures become samples as those of validation do.  `of`: the job's training
 * set, or NULL where data_view_is_said(). */
enum rk_err recipe_view(struct recipe *c, const struct spec_data *s,
    const struct data_set *of, struct rk_why *why) RK_MUSTCHECK;
void recipe_fini(struct recipe *c);
/* A set's columns are called so, in this order, as far as both say; else
 * RK_EINVAL with what differs.  of: what c is of. */
enum rk_err recipe_check_columns(const struct recipe *c,
    const struct data_set *d, const char *of, struct rk_why *why) RK_MUSTCHECK;
/* The samples of a set are normalised so, if they are of this shape. */
void recipe_impose(const struct recipe *c, struct data_set *d);

/* The samples of a file. */
struct inputs {
	int64_t n;
	bool several;                   /* it may hold more than one */
	struct data_set *set;           /* of idx, csv, cifar, pixels, texts; or
	                                   NULL */
	bool viewed;                    /* ... whose samples go through the
	                                   recipe's view */
	float *x;                       /* else [n, width], normalised */
};
/* RK_EINVAL, or what the world said; a sentence in either case. */
struct sample_file {
	const char *path;
	const char *name;               /* as it was given; path itself, or the
					   address that path has the bytes of */
};
enum rk_err inputs_open(struct inputs *in, const struct run *r,
    const struct recipe *c, const struct sample_file *f,
    struct rk_why *why) RK_MUSTCHECK;
/* Sample `at`, normalised, into x; not of texts, which a loader reads. */
void inputs_put(const struct inputs *in, const struct recipe *c, int64_t at,
    float *x);
void inputs_close(struct inputs *in);

/*
 * Samples of any number of files, one file behind the other, into batches of
 * r->micro rows, whichever file they are of: so that the same samples in the
 * same order give the same bits wherever they come from.  Texts in buckets end
 * a batch where the length changes.  After a batch its lines are taken, in the
 * order of the samples, each of an input that cannot be read where it comes.
 */
#define BATCHES_THROUGH INT64_MAX       /* a file has no more rows */
struct batch_line;
struct prediction {
	struct model_file model;
	struct recipe recipe;
	struct lines lines;
	int64_t failed;                 /* inputs */
	/* Takes a line, and the object; asked between samples: no more of
	 * them, where it says false; and after the lines of a batch, of which
	 * `row` is the first of the file that is in none yet.  NULL: not. */
	void (*take)(void *ctx, json_t *line);
	bool (*goes_on)(void *ctx);
	bool (*flushed)(void *ctx);
	void *ctx;
	int64_t row;

	int64_t rows, length;           /* of the batch that is made; length: of
					   texts, those in buckets */
	struct batch_line *line;
	size_t nlines;
};
/* The samples of a file from row `from` on.  False: told to leave, or
 * run_fail(). */
bool batches_file(struct run *r, struct prediction *p,
    const struct sample_file *f, int64_t from);
/* An input of which there are no samples: its line. */
bool batches_refuse(struct run *r, struct prediction *p, const char *name,
    const struct rk_why *why);
/* The batch that there is, and all lines that wait. */
bool batches_flush(struct run *r, struct prediction *p);
void batches_fini(struct prediction *p);

#endif
