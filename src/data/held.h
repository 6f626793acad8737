/*
 * held - a data set as its owner sees it: what data.h shows, and the memory,
 * names and origins behind it.
 */
#ifndef DATA_HELD_H
#define DATA_HELD_H

#include "rekindle/data.h"
#include "rekindle/format.h"

struct held {
	struct data_set pub;            /* first: a data_set * is a held * */
	unsigned tag;
	char *what;                     /* the file of its samples */
	char *labels_what;              /* the file of its labels */
	uint8_t *bytes;                 /* the samples: one of these three */
	float *floats;
	int32_t *tokens;
	struct data_lazy *lazy;         /* ... or none of them: lazy.c */
	bool shares;                    /* ... and it came of a split */
	int32_t *classes;
	float *targets;
	uint32_t *origin;               /* after a split: the numbers that its
	                                   samples have in the file, or NULL */
	uint64_t *identity;             /* of each sample, before a split and
	                                   of a set split off; or NULL */
	uint64_t first_line;            /* csv: of sample 0; 0 for idx */
	char **names;                   /* csv with a header: of all columns */
	size_t ncolumns, label;         /* csv: of them the label */
	int32_t mask, special[5];       /* tokens: what a masked one becomes,
	                                   -1: nothing says; and those that are
	                                   never masked, -1: no more */
	bool by_channel;                /* `standard` is of channels ... */
	bool by_feature;                /* ... or of features; csv always is */
	char **class_names;             /* of pub.names, or NULL ... */
	int64_t nclasses;               /* ... and how many; also without names,
	                                   where the source says how many
	                                   classes there are; else 0 */
	int64_t *many_from;             /* several labels, or NULL */
	int32_t *many;
	int32_t separator;              /* data_separator() */
	uint8_t *bucket;                /* of pub, or NULL */
	char **remarks;                 /* of pub, for people */
	size_t nremarks;
	struct held_part {
		char *what;             /* a file of several ... */
		int64_t n;              /* ... and how many samples it has */
	} *parts;                       /* or NULL: `what` alone */
	size_t nparts;
};

struct held *held_new(const char *what);
void held_free(struct held *h);                 /* NULL is fine */
struct held *held_of(const struct data_set *d);

/* Its file was read with rc: *out is h if that was well and nothing follows;
 * else h is freed. */
enum rk_err held_end(struct held *h, struct format_source *in, enum rk_err rc,
    struct held **out, struct rk_why *why) RK_MUSTCHECK;

/* Memory for count numbers of `size` bytes for a file; says no in why. */
enum rk_err held_alloc(void *pp, uint64_t count, size_t size,
    const char *what, struct rk_why *why) RK_MUSTCHECK;

/* The same for memory that there is already (or NULL), which stays when it
 * says no. */
enum rk_err held_grow(void *pp, uint64_t count, size_t size,
    const char *what, struct rk_why *why) RK_MUSTCHECK;

/* The memory of the samples, data_sample_bytes() each. */
uint8_t *held_samples(const struct held *h);
/* Make room for n samples of the kind, shape and origin that `all` has, in a
 * new set without labels; *out is set in any case. */
enum rk_err held_like(const struct held *all, int64_t n, struct held **out,
    struct rk_why *why) RK_MUSTCHECK;
/* Give back what more than n samples take. */
void held_shrink(struct held *h);

/* A sentence for data_remarks(). */
void held_remark(struct held *h, const char *fmt, ...) RK_PRINTF(2, 3);

/* Make classes of the targets if they all are such and no sample has several;
 * sets pub's labels. */
enum rk_err held_find_classes(struct held *h, struct rk_why *why) RK_MUSTCHECK;

/*
 * labels.c.  The labels of a set that was split off are those that its origin
 * has in `of`, whose lists were these.  Give it copies of the names.  Classes
 * of another set by their names get the numbers that these have in `names`, n
 * of them: RK_EINVAL names those that are not there.
 */
enum rk_err labels_pick(struct held *h, const int64_t *many_from,
    const int32_t *many, struct rk_why *why) RK_MUSTCHECK;
void labels_copy_names(struct held *to, const struct held *from);
enum rk_err labels_as(struct held *h, const struct held *train,
    struct rk_why *why) RK_MUSTCHECK;
/* Names of training that a person may not have meant: one alone, or two that
 * look alike. */
void labels_remark(struct held *h);

/* The readers; what they refuse names the file. */
struct format_source;
enum rk_err idx_read(struct format_source *in, struct held **out,
    struct rk_why *why) RK_MUSTCHECK;
enum rk_err csv_read(const char *p, size_t n, const char *what,
    const struct spec_source *src, struct held **out,
    struct rk_why *why) RK_MUSTCHECK;

enum rk_err cifar_read(struct format_source *in, const struct spec_source *src,
    struct held **out, struct rk_why *why) RK_MUSTCHECK;
/* Those of v[1] to v[n-1] behind those of v[0]; they are freed. */
enum rk_err cifar_join(struct held **v, int n, struct rk_why *why) RK_MUSTCHECK;

/* One sample, of bytes or of floats: x * scale + shift, by the whole, by
 * channel or by feature. */
void held_normalize(const struct data_set *d, const uint8_t *b, const float *f,
    float *x);

/* array_rows.c: h reads its samples, whose shape it has, from a plain array in
 * a file, fd, at a place; what names it. */
struct format_npy;
enum rk_err array_rows(const char *what, int fd, uint64_t offset,
    const struct format_npy *a, int64_t vocabulary, struct held *h,
    struct rk_why *why) RK_MUSTCHECK;
/* An array of npy or npz: features as src says, or labels. */
enum rk_err array_read(struct format_source *in,
    const struct spec_source *src, bool labels, struct held **out,
    struct rk_why *why) RK_MUSTCHECK;

/* Images; they are read later. */
enum rk_err image_folder_open(const struct spec_source *src,
    const struct spec_data *data, struct held **out,
    struct rk_why *why) RK_MUSTCHECK;
/* What is held goes through data.transforms from here on (augment.c); nothing
 * where there are none, or where the reader does it itself.  The set is
 * normalised and not split any more. */
enum rk_err augment(struct held *h, const struct spec_data *s,
    struct rk_why *why) RK_MUSTCHECK;

/* buckets.c: how long the samples of texts are, where the source has buckets.
 * By the main thread, of a set that is not split any more. */
enum rk_err buckets_find(struct held *h, const struct spec_source *s,
    struct rk_why *why) RK_MUSTCHECK;

/* Samples without a file; by the main thread, with its team. */
enum rk_err synthetic_make(const struct spec_source *s, const char *what,
    struct held **out, struct rk_why *why) RK_MUSTCHECK;

/* Work out scale and shift from a training set; give another the same. */
enum rk_err norm_find(struct held *h, const struct spec_normalize *s,
    struct rk_why *why) RK_MUSTCHECK;
enum rk_err norm_copy(struct held *to, const struct held *from,
    struct rk_why *why) RK_MUSTCHECK;

/* Hash every sample, on all threads. */
enum rk_err split_identify(struct held *h, struct rk_why *why) RK_MUSTCHECK;
/* Take part of `all` away as a validation set. */
enum rk_err split(struct held *all, double part, const struct data_split *how,
    struct held **valid, struct rk_why *why) RK_MUSTCHECK;

#endif
