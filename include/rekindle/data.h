/*
 * data - data sets held in memory, and batches out of them.
 *
 * Formats: IDX (http://yann.lecun.com/exdb/mnist/: big-endian, magic 0 0 TYPE
 * NDIM, NDIM sizes, then the elements), plain or gzip; CSV as in RFC 4180 with
 * numeric fields.  Files are hostile: sizes are checked against the bytes that
 * are there before anything is allocated.
 *
 * In CSV a first row is a header, unless the job says, when one of its fields
 * is neither a number nor missing (empty, nan, inf), or when the label is given
 * by name.  Every number must be finite as a 32-bit float.
 *
 * Only the trainer's main thread calls in here.
 */
#ifndef REKINDLE_DATA_H
#define REKINDLE_DATA_H

#include "rekindle/spec.h"

#define DATA_MAX_SAMPLES  ((int64_t)1 << 31)
#define DATA_MAX_BYTES    ((uint64_t)64 << 30)  /* of one decoded file */
#define DATA_MAX_DIMS     4
#define DATA_MAX_COLUMNS  ((size_t)1 << 20)     /* of a CSV file */
#define DATA_MAX_CLASSES  (1 << 20)             /* larger labels are targets */

struct data_set {
	int64_t n;                      /* samples */
	int ndim;                       /* of one sample */
	int64_t d[DATA_MAX_DIMS];       /* idx [28,28] is given as [1,28,28] */
	int64_t width;                  /* product of d: features of a sample */
	const uint8_t *bytes;           /* n*width pixels, or NULL and ...  */
	const float *floats;            /* ... n*width numbers              */
	const int32_t *classes;         /* labels 0.., when they are all whole
	                                   numbers >= 0; else NULL          */
	const float *targets;           /* the labels as they are           */
	int64_t nclasses;               /* 1 + the largest class; 0 without */
	/* Normalisation: x*scale[f] + shift[f], f the feature (or channel).
	 * `scale` divides bytes by 255; other elements are taken as they are.
	 * `standard` divides by the population's deviation, by 1 when it is
	 * zero. */
	int64_t nnorm;                  /* 1, channels, or width */
	float *scale, *shift;
};

/*
 * The training and the validation set of a job, normalised alike (what
 * `standard` measures, it measures on the training samples).  Validation comes
 * from its own files, or is split off: sample i of the permutation keyed by the
 * seed belongs to it when i < round(n * validation_split).  *valid is NULL when
 * the job asks for neither.  Both keep the order of their file.  Files are read
 * by threads of their own, joined before it returns.  Every error leaves its
 * sentences in why: RK_EINVAL says what is wrong with which file, for CSV with
 * line and column; RK_ENOENT, RK_EIO, ... it cannot be read; RK_ENOMEM what
 * would be needed.
 */
enum rk_err data_open(const struct spec_data *s, uint64_t seed,
    struct data_set **train, struct data_set **valid,
    struct rk_why *why) RK_MUSTCHECK;
void data_close(struct data_set *d);            /* NULL is fine */

/* Labels against a network of so many outputs: RK_EINVAL names the first
 * sample whose label is not 0 to outputs-1. */
enum rk_err data_check_classes(const struct data_set *d, int64_t outputs,
    struct rk_why *why) RK_MUSTCHECK;

/*
 * Gather samples into a batch: x[count, width] normalised, y (classes) or t
 * (targets), whichever is not NULL.  which[i] is the sample's number.
 */
void data_gather(const struct data_set *d, const int64_t *which, int64_t count,
    float *x, int32_t *y, float *t);

/* The number of the sample at place i of an epoch: rk_permute keyed by
 * (seed, epoch) when shuffled, i itself when not.  O(1), no state. */
int64_t data_at(const struct data_set *d, uint64_t seed, int64_t epoch,
    bool shuffle, int64_t i);

/* One file, for tests and fuzzing: IDX or CSV bytes in memory.  `what` names it
 * in messages.  data_parse_idx gives samples, or with one dimension labels
 * (ndim and width are 0 then); nothing is normalised. */
enum rk_err data_parse_idx(const uint8_t *p, size_t n, const char *what,
    struct data_set **out, struct rk_why *why) RK_MUSTCHECK;
enum rk_err data_parse_csv(const char *p, size_t n, const char *what,
    const struct spec_source *src, struct data_set **out,
    struct rk_why *why) RK_MUSTCHECK;

/* SHA-256 of all samples and labels, for lineage and for resumes that find
 * other data under the same path. */
void data_digest(const struct data_set *d, char hex[RK_SHA256_HEX]);

#endif
