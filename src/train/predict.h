/*
 * predict - --predict: what a network says of samples, a line of JSON each.
 *
 *	predict.c  the model, what it takes, and the lines
 *	inputs.c   a file into samples
 */
#ifndef TRAIN_PREDICT_H
#define TRAIN_PREDICT_H

#include "rekindle/data_view.h"
#include "run.h"

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
enum rk_err inputs_open(struct inputs *in, const struct run *r,
    const struct recipe *c, const char *path, struct rk_why *why) RK_MUSTCHECK;
/* Sample `at`, normalised, into x; not of texts, which a loader reads. */
void inputs_put(const struct inputs *in, const struct recipe *c, int64_t at,
    float *x);
void inputs_close(struct inputs *in);

#endif
