/*
 * data_loader - batches of a set whose samples are read when they are needed,
 * made ahead of the one who trains.
 *
 *	order (data_order_at) -> claim -> read, decode, transform -> ring ->
 *	next
 *
 * The ring has `depth` batches, numbered from data_loader_begin() on.  Threads
 * claim some rows at a time of the lowest batch that has unclaimed ones, so
 * that the batch that is waited for is the one that is worked on, and who waits
 * for it helps.  Which thread reads a row changes no bit of it; the rows of a
 * batch are where their places in the epoch are; so order, numbers and labels
 * are the same with any number of threads, and after any interruption.
 *
 * A batch goes over no end of an epoch, nor of what the order says belongs
 * together (data_order_rows): the last of one may be smaller (or is left out,
 * by drop_last), and the next begins the next epoch.
 *
 * Broken samples.  A row whose sample cannot be read (lazy.h: RK_EINVAL) is
 * zeros and is marked in left_out; what becomes of it is the caller's affair.
 * Any other error of a row is data_loader_next()'s, of the lowest such row,
 * when that batch is its turn, and stays.
 *
 * Memory: what data_loader_bytes() says, all of it taken by data_loader_new()
 * but for what decoders keep.
 *
 * One thread, that of the kernel's team, calls in here.  The loader's threads
 * run at a lower priority, for the training must not wait for a batch that is
 * not yet needed; when it waits, they have the cores.
 */
#ifndef REKINDLE_DATA_LOADER_H
#define REKINDLE_DATA_LOADER_H

#include "rekindle/data.h"

struct data_loading {
	int threads;                    /* 1 to SPEC_MAX_LOADERS */
	int64_t batch;                  /* rows of a full one */
	bool drop_last;
	bool train;                     /* with the transforms of training */
	uint64_t seed;                  /* of the transforms' draws */
	const struct data_order *order; /* borrowed; NULL: as the set has
					   them */
};

/* A sample that could not be read. */
struct data_broken {
	int64_t row, sample;
	bool changed;                   /* since its source was opened */
	const char *sentence;
};

struct data_batch {
	int64_t epoch, from, rows;      /* the places from .. from+rows-1 */
	const int64_t *which;           /* [rows]: the samples */
	const float *x;                 /* [rows][width], or NULL and ... */
	const int32_t *ids;             /* ... tokens */
	const uint8_t *left_out;        /* [rows]: it is zeros; NULL: none is */
	int64_t nleft;                  /* how many */
	const struct data_broken *broken;       /* the first of those, by row */
	int64_t nbroken;
	const uint64_t *content;        /* [rows]: lazy.h; 0: not known */
};

struct data_loader;

/* How many threads there are where nobody says: by the cores of this
 * process. */
int data_loader_threads(void);
/* Bytes that one takes, as far as is known before samples are read. */
uint64_t data_loader_bytes(const struct data_set *d,
    const struct data_loading *how);

/* The set is borrowed.  RK_ENOMEM: no memory, or no thread, with a sentence. */
enum rk_err data_loader_new(const struct data_set *d,
    const struct data_loading *how, struct data_loader **lp,
    struct rk_why *why) RK_MUSTCHECK;
/* Threads are joined, each after the sample that it is at.  NULL is fine. */
void data_loader_free(struct data_loader *l);

/*
 * From a place on: O(1), and what was being made for elsewhere is dropped.  So
 * many batches are made ahead, and no more (INT64_MAX: no end); who asks for
 * others waits for each.
 */
void data_loader_begin(struct data_loader *l, int64_t epoch, int64_t from,
    int64_t batches);

/*
 * The next batch, which stays as it is until the next call in here.  Waits for
 * ms at most (about): RK_ETIMEDOUT, and it can be asked for again.  Other
 * errors: above; the sentence names the sample.
 */
enum rk_err data_loader_next(struct data_loader *l, int ms,
    struct data_batch *out, struct rk_why *why) RK_MUSTCHECK;

/* Nanoseconds that data_loader_next() has taken in all, so far: waiting, and
 * helping. */
int64_t data_loader_waited_ns(const struct data_loader *l);

#endif
