/*
 * lazy - samples that are read when a batch needs them, instead of being held
 * in memory: a folder of images, a text file, an array on disk.
 *
 * A reader (image_folder.c, text.c, npy.c) opens its source, which is quick,
 * and makes a `struct held` whose n, d, width, labels and names are filled in
 * as ever, with lazy in place of bytes, floats and tokens.  Its own struct
 * begins with a struct data_lazy:
 *
 *	struct folder {
 *		struct data_lazy lazy;
 *		...
 *	};
 *
 * What is read is a pure function of the source and the key: who reads, when
 * and how often changes no bit.  A set of tokens has vocabulary > 0 and no
 * other has (data_is_tokens()).
 *
 * Numbers.  A reader counts samples as its source has them, `at`; a set that
 * was split off another has some of them in another order.  lazy_get() and
 * lazy_identify() take the number in the set and translate.  Sets that were
 * split share the reader, which is freed with the last of them.
 */
#ifndef DATA_LAZY_H
#define DATA_LAZY_H

#include <stdatomic.h>

#include "rekindle/data.h"

struct data_lazy;

/*
 * For what a sample is read.  Draws are at (seed, epoch, at, transform) by
 * rk_draw_u32() and its like, of nothing else.  train: with the transforms of
 * training; else with those of validation, of which none draws.
 */
struct data_key {
	uint64_t seed;
	int64_t epoch;
	bool train;
};

/* What is known of a sample without reading it. */
struct lazy_id {
	const char *path;       /* relative to the source, of its file; NULL: it
	                           has none by itself.  The reader's, as long as
	                           that lives */
	const char *file;       /* where path is NULL: the file that it is in,
	                           and where it begins; or NULL.  The
	                           reader's */
	uint64_t line;
	uint64_t size;          /* of that file in bytes; UINT64_MAX: it is not
	                           there any more.  0 where path is NULL */
	uint64_t hash;          /* by which it is parted (data.h): rk_hash64(0,)
	                           of path, or where there is none of the
	                           content */
};

/* What a reading tells beside the numbers. */
struct lazy_got {
	uint64_t content;       /* rk_hash64(0,) of the bytes as the source has
	                           them, also of a broken one whose bytes could
	                           be read; 0: not known */
	bool changed;           /* with RK_EINVAL: it is another than when the
	                           source was opened */
	int64_t tokens;         /* of tokens those that are no padding */
};

struct lazy_ops {
	/* What one thread keeps between samples (buffers, decoders), and grows;
	 * only that thread uses it.  NULL where nothing is kept. */
	void *(*scratch_new)(const struct data_lazy *z);
	void (*scratch_free)(void *scratch);

	/*
	 * Sample `at`, decoded, transformed and normalised by d->scale and
	 * shift as the network takes it: d->width floats, or int32_t of tokens,
	 * into x.  Any thread, several at once.  RK_EINVAL: the sample is
	 * broken (also: is gone, has changed its size), and why has one
	 * sentence that begins with what it is called: "cats/a.jpg: ...".  x
	 * may then have anything in it.  RK_EIO, RK_ENOMEM and others: the
	 * world says no, with a sentence, too; that is no fault of the sample,
	 * and always ends the run.
	 */
	enum rk_err (*get)(const struct data_lazy *z, const struct data_set *d,
	    void *scratch, int64_t at, const struct data_key *k, void *x,
	    struct lazy_got *got, struct rk_why *why);

	/* Any thread.  May ask the disk for a size, which is some microseconds
	 * each, only when `size` is set; else size is left 0. */
	void (*identify)(const struct data_lazy *z, int64_t at, bool size,
	    struct lazy_id *id);

	void (*free)(struct data_lazy *z);
};

struct data_lazy {
	const struct lazy_ops *ops;
	uint64_t index_bytes;   /* memory that it takes as long as it lives */
	uint64_t scratch_bytes; /* ... and a thread's scratch, nearly */
	bool pixels;            /* the numbers that are normalised are 0 to 255,
	                           as those of bytes are */
	/* Pictures before the transforms: channels, height, width, the last two
	 * 0 where each has its own; channels 0: there are no transforms. */
	int64_t from[3];
	bool knows;             /* data_knows_content() */
	uint64_t reading;       /* a hash of what decides the numbers beside
	                           what the samples are (a tokenizer); 0:
	                           nothing */
	const struct text_tokens *tokens;       /* of texts, the reader's; or
	                           NULL */
	const char *decoder;    /* data_decoder() */
	const struct transform_plan *mixes;     /* mixup or cutmix, in training;
	                           NULL: neither.  The reader's */
	atomic_int sets;        /* that share it; lazy.c counts */
};

/* Sample i of the set, by the ops' rules. */
enum rk_err lazy_get(const struct data_set *d, void *scratch, int64_t i,
    const struct data_key *k, void *x, struct lazy_got *got,
    struct rk_why *why) RK_MUSTCHECK;
void lazy_identify(const struct data_set *d, int64_t i, bool size,
    struct lazy_id *id);
/* Its number in the source. */
int64_t lazy_at(const struct data_set *d, int64_t i);

/* A set reads by z from here on, and no more. */
struct held;
void lazy_hold(struct held *h, struct data_lazy *z);
void lazy_drop(struct held *h);

#endif
