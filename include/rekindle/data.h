/*
 * data - data sets held in memory, and batches out of them.
 *
 * Formats: IDX (http://yann.lecun.com/exdb/mnist/: big-endian, magic 0 0 TYPE
 * NDIM, NDIM sizes, then the elements), plain or gzip; CSV as in RFC 4180 with
 * numeric fields; the binary records of CIFAR
 * (https://www.cs.toronto.edu/~kriz/cifar.html), plain or gzip: of CIFAR-10
 * one byte with the label, of CIFAR-100 two (the coarse one of 20, the fine
 * one of 100), then 3072 bytes, the planes red, green and blue of 32 x 32.
 * Arrays of NumPy, alone (npy, plain or gzip) or two of an archive (npz), as
 * format.h has them: features [n, ...], labels [n] or [n, 1].
 * Files are hostile: memory is allocated for what the bytes that are there can
 * hold, and where they do not say (records in gzip) for twice of what has come
 * out.
 *
 * In CSV a first row is a header, unless the job says, when one of its fields
 * is neither a number nor missing (empty, nan, inf), or when the label is given
 * by name.  One of which some fields are numbers is a remark, for it may be a
 * sample that is mistyped; it is refused (header: true or false decides) where
 * most are numbers, and one of those is a fraction or stands twice, as names
 * hardly do.  Every number must be finite as a 32-bit float.  The columns of
 * data.validation are found by the names that data.train has, where both have a
 * header; others are left out.
 *
 * Texts are read as CSV (RFC 4180; a quote inside a field that has none around
 * it is itself), TSV (where the delimiter is a tab: quotes are characters) or a
 * text a line, LF or CRLF, and tokenised (text.h).  Columns that are missing or
 * too many, bytes that are not in the encoding, NUL, rows of more than 1 MiB
 * and samples without a label are refused with file and line; delimiters behind
 * the last column are nothing; empty lines are left out and counted, empty
 * texts counted.  Labels are numbers where all are, else words, classes in the
 * order of their bytes; a file a class has the class of its name.  A sample's
 * identity is a hash of its text, whatever its tokens are.
 *
 * Files of texts are read once from front to back when they are opened, and of
 * each sample it is kept where it lies, what it was (a hash) and its label: 32
 * bytes.  Threads of the loader read and tokenise it when a batch needs it; one
 * that is not what it was ends that.
 *
 * Synthetic samples are a pure function of (seed, number of the sample), the
 * same on every machine.  The label is drawn evenly of the classes.
 *
 *	shape    x = (b0 + b1 + b2 + b3 - 510) / 148 + s, each b a byte that is
 *	         drawn, so nearly N(s, 1), and s = 1 or -1 by the class and the
 *	         place: of three dimensions the channel and the place in a tile
 *	         of 4 x 4 that is repeated, else the number of the feature.  s
 *	         is the same for all seeds, so that what is learned from one
 *	         seed is true of another
 *	tokens   1 to T of them, evenly, and zeros behind; each is with the same
 *	         chance one of 1 to V-1, or one of its class: of the K ranges of
 *	         (V-1)/K ids (at least 1) one behind the other from 1, modulo
 *	         V-1
 *
 * Only the trainer's main thread calls in here.
 */
#ifndef REKINDLE_DATA_H
#define REKINDLE_DATA_H

#include <stdatomic.h>

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
	/* n*width of one of these; the others are NULL.  Networks take bytes
	 * and floats as 32-bit floats (data_gather), tokens as what they are
	 * (data_gather_tokens). */
	const uint8_t *bytes;           /* pixels                           */
	const float *floats;
	const int32_t *tokens;          /* 0 to vocabulary-1                */
	int64_t vocabulary;             /* 0 but for tokens                 */
	int nlengths;                   /* 0: no buckets; else their lengths, */
	int64_t lengths[SPEC_MAX_BUCKETS];      /* ascending, the last is
						   d[0] */
	const uint8_t *bucket;          /* [n]: of each sample */
	/* Or all three are NULL: samples are read when a batch needs them, by
	 * the loader (data_loader.h) and by nobody else.  src/data/lazy.h has
	 * how. */
	const struct data_lazy *lazy;
	const int32_t *classes;         /* labels 0.., when they are all whole
	                                   numbers >= 0; else NULL          */
	const float *targets;           /* the labels as they are           */
	int64_t nclasses;               /* 1 + the largest class; 0 without */
	/* Names of the classes 0 to nclasses-1, of which some may have no
	 * sample; NULL: the source has none. */
	const char *const *names;
	/* Several labels a sample, or none: those of sample i, ascending, are
	 * many[many_from[i]] to many[many_from[i + 1] - 1].  Then classes is
	 * NULL, and targets has the first of them, or -1.  Else both are
	 * NULL. */
	const int64_t *many_from;
	const int32_t *many;
	/* Of a training set that part was split off: the lowest rank in it (0
	 * where the rule has no ranks), and a digest of the whole set as the
	 * rule sees it. */
	double first_rank;
	uint64_t whole;
	/* Normalisation: x*scale[f] + shift[f], f the feature (or channel); of
	 * tokens none.
	 * `scale` divides bytes by 255; other elements are taken as they are.
	 * `standard` divides by the population's deviation, by 1 when it is
	 * zero. */
	int64_t nnorm;                  /* 1, channels, or width */
	float *scale, *shift;
};

/*
 * How validation samples are split off the training samples.
 *
 * A sample's identity is a 64-bit hash (rk_hash64) of its content: the bytes,
 * the floats or the tokens of its features as they were read.  Its label is no
 * part of that: a picture whose label is put right stays where it is.  (Of a
 * source that is a list of files the identity will be the hash of the file's
 * name in the list.)  Its rank, 0 to below 1, is a draw at (seed, identity),
 * and nothing else:
 *
 *	content      rank < validation_split validates.  The share holds in
 *	             expectation; no sample moves because others come, go or
 *	             change places
 *	stratified   of each class the lowest ranks, round(samples of the class
 *	             * validation_split) of them, but one at least trains.
 *	             Samples that are added may move others at the edge.  Of
 *	             samples that are alike none is taken where there is no
 *	             room for all of them
 *	permutation  sample i of the permutation keyed by the seed validates
 *	             when i < round(n * validation_split): for checkpoints from
 *	             before there were the other two, whose seed is
 *	             training.seed.  Every sample moves when one is added
 *
 * By the first two, samples of the same content are on the same side, whatever
 * their labels.  The hash is no secret: who makes the data can choose sides.
 * It takes a core 5 ms for 60,000 pictures of 784 bytes (SHA-256: 130 ms).
 */
enum data_split_rule {
	DATA_SPLIT_NONE, DATA_SPLIT_CONTENT, DATA_SPLIT_STRATIFIED,
	DATA_SPLIT_PERMUTATION
};
extern const char *const data_split_words[];    /* by enum, then NULL */
struct data_split {
	enum data_split_rule rule;
	uint64_t seed;
};

/*
 * The files of a job, read by threads of their own that are joined before it
 * returns.  Every error leaves its sentences in why: RK_EINVAL says what is
 * wrong with which file, for CSV with line and column; RK_ENOENT, RK_EIO, ...
 * it cannot be read; RK_ENOMEM what would be needed.  The specification is
 * borrowed.  On RK_OK *fp is the caller's (data_files_free; NULL is fine).
 */
struct data_files;
enum rk_err data_read(const struct spec_data *s, struct data_files **fp,
    struct rk_why *why) RK_MUSTCHECK;
void data_files_free(struct data_files *f);

/*
 * The training and the validation set out of these files, once, normalised
 * alike (what `standard` measures, it measures on the training samples).
 * Validation comes from its own files, or is split off as `how` says, which is
 * used only then.  *valid is NULL when the job asks for neither.  Both keep the
 * order of their file.  Errors as above.
 */
enum rk_err data_divide(struct data_files *f, const struct data_split *how,
    struct data_set **train, struct data_set **valid,
    struct rk_why *why) RK_MUSTCHECK;

/* What the specification alone says of the split. */
struct data_split data_split_of(const struct spec_data *s);

/* Both in one, by data_split_of(). */
enum rk_err data_open(const struct spec_data *s, struct data_set **train,
    struct data_set **valid, struct rk_why *why) RK_MUSTCHECK;
void data_close(struct data_set *d);            /* NULL is fine */

/*
 * What a model was trained on, as far as ranks can tell: among the samples with
 * which it was trained none has a rank (by this seed) below `from`.
 *
 * data_count_seen: how many samples of a validation set that was split off have
 * a rank of at least `from` by one of these.  No other of its samples was
 * trained on, whatever the data were; those it counts were if they were among
 * the data, so the number is an upper bound, and exact when the data are.
 */
struct data_seen {
	uint64_t seed;
	double from;
};
int64_t data_count_seen(const struct data_set *valid,
    const struct data_seen *v, size_t n);

/* Of tokens, not of numbers; held in memory or not. */
static inline bool
data_is_tokens(const struct data_set *d)
{
	return d->vocabulary > 0;
}

/* Bytes that the features of a sample take here, or, where they are read when
 * they are needed, in a batch. */
size_t data_sample_bytes(const struct data_set *d);

/*
 * Number the classes of a set that has names as a model has them: those of the
 * same name go to its place in the table, others to places that are left over
 * and behind, in the order that they have; others gets their names ("" where
 * there are none).  The validation set follows.  A set's digest does not change
 * by it.
 */
enum rk_err data_match_classes(struct data_set *train, struct data_set *valid,
    const char *const *table, int64_t n, struct strbuf *others,
    struct rk_why *why) RK_MUSTCHECK;

/* What was found in the files, and is no error, a sentence each: empty texts,
 * files that are no images, empty classes.  The set's; n of them. */
const char *const *data_remarks(const struct data_set *d, size_t *n);

/* What feature i is called, of a csv whose header says it (control characters
 * and what is no UTF-8 as '?'); the caller frees.  NULL: it has no name. */
char *data_column(const struct data_set *d, int64_t i);

/* Memory that a set takes, without what loaders have. */
uint64_t data_bytes(const struct data_set *d);
/* What a sample is called, "cats/a.jpg", "reviews.csv: line 18" or "sample 17";
 * the caller frees.  The line that it begins in, of a text; 0: in none. */
char *data_sample_name(const struct data_set *d, int64_t i);
int64_t data_sample_line(const struct data_set *d, int64_t i);
/* Is what every sample has in it in data_digest()?  And in no reading of one
 * that succeeds is it anything else, so that nothing need be remembered of
 * it. */
bool data_knows_content(const struct data_set *d);
/* rk_hash64(0,) of what sample i is before anything is done to it, where that
 * can be told without reading its source (data_knows_content()); else 0. */
uint64_t data_content(const struct data_set *d, int64_t i);
/* A hash of what decides the numbers of a set beside what its samples are: of
 * texts the tokenizer with its vocabulary; 0: nothing does. */
uint64_t data_reading(const struct data_set *d);
/* Token `id` as the vocabulary of a set of texts has it, n bytes without a NUL
 * behind; NULL: there are no names. */
const char *data_token(const struct data_set *d, int64_t id, size_t *n);
/* Whose arithmetic made the numbers of a set, where that is not ours, for the
 * record of what a run was computed with: image_jpeg_version...(), or NULL. */
const char *data_decoder(const struct data_set *d);

/* Labels against a network of so many outputs: RK_EINVAL names the first
 * sample whose label is not 0 to outputs-1, nor `but` (-1: none). */
enum rk_err data_check_classes(const struct data_set *d, int64_t outputs,
    int64_t but, struct rk_why *why) RK_MUSTCHECK;

/*
 * Gather samples into a batch: x[count, width] normalised, y (classes) or t
 * (targets), whichever is not NULL.  which[i] is the sample's number.  Of a set
 * of tokens x must be NULL, and data_gather_tokens gives them, into another x;
 * of all other sets that one's x must be NULL.
 */
void data_gather(const struct data_set *d, const int64_t *which, int64_t count,
    float *x, int32_t *y, float *t);
void data_gather_tokens(const struct data_set *d, const int64_t *which,
    int64_t count, int32_t *x, int32_t *y, float *t);

/*
 * mixup and cutmix: what becomes of the rows of one batch.  Row i of planes x h
 * x w numbers is mixed with row i - 1, row 0 with the last; `share` of its
 * label is its own and the rest its partner's.
 *
 *	mixup   y = share x + (1 - share) partner
 *	cutmix  y = x, but the partner's in rows y0 .. y1-1 and columns x0 ..
 *	        x1-1 of each plane; share is what is left of the area
 *
 * share 1: nothing is mixed.  A pure function of the job, the epoch and the
 * place of the batch in it.
 */
struct data_mixture {
	double share;
	bool cuts;                      /* it is cutmix */
	int64_t planes, h, w;
	int64_t y0, y1, x0, x1;
};
bool data_mixes(const struct data_set *d);
/* Of the batch that begins at place `from` of an epoch, of a set that mixes. */
void data_mixture_at(const struct data_set *d, uint64_t seed, int64_t epoch,
    int64_t from, struct data_mixture *out);
/* Its numbers are pixels, 0 to 255, behind the normalisation backwards. */
bool data_is_pixels(const struct data_set *d);
/* One row into y, which is neither x nor partner. */
void data_mix(const struct data_mixture *m, const float *x,
    const float *partner, float *y);

/* Rows of the batch that begins at place i of n, of `batch` in a full one; 0:
 * none does. */
static inline int64_t
data_rows(int64_t n, int64_t i, int64_t batch, bool drop_last)
{
	const int64_t left = n - i;

	if (left >= batch)
		return batch;
	return left <= 0 || drop_last ? 0 : left;
}

/*
 * Sequences in buckets, by how long they are (`buckets` of a source of texts).
 * A sample is of the first bucket that has room for its tokens, of what it is
 * before the transforms; a batch is of one bucket, and padded to its length
 * alone.
 *
 * data_length: to which length a sample is padded (d[0] where there are no
 * buckets).  data_batches: how many batches an epoch has.
 */
int64_t data_length(const struct data_set *d, int64_t i);
int64_t data_batches(const struct data_set *d, int64_t batch, bool drop_last);

/* The number of the sample at place i of an epoch: rk_permute keyed by
 * (seed, epoch) when shuffled, i itself when not.  O(1), no state. */
int64_t data_at(const struct data_set *d, uint64_t seed, int64_t epoch,
    bool shuffle, int64_t i);

/*
 * The order of the samples in each epoch.  uniform: data_at().  balanced, with
 * K classes that have samples, as often one as the other:
 *
 *	place i of epoch e is of round r = e ceil(n / K) + i / K (rounded down)
 *	its class is place i mod K of a permutation of the classes, keyed by
 *	    (seed, r): of each K places every class has one
 *	of the N samples of that class it is place r mod N of a permutation
 *	    keyed by (seed, class, r / N): none comes again before all have
 *	    come, but for those that a last round of an epoch would have had
 *
 * An epoch has n places all the same.
 *
 * Of a set with buckets, which wants the sampler `uniform`, an epoch has the
 * full batches, F of all buckets together, and a batch of what is left over of
 * each bucket that has something, R of these (none with drop_last):
 *
 *	the r-th left over is batch number r of a permutation of the F + R,
 *	keyed
 *	    by (seed, epoch); the full ones fill the numbers between
 *	the j-th full one is number j of a permutation of the F, keyed likewise;
 *	    they are counted from the shortest bucket on
 *	place p of the N samples of bucket b is number p of a permutation of
 *	    them, keyed by (seed, b, epoch); what is left over are the last ones
 *
 * without shuffle all permutations are the identity, and what is left over
 * comes last.
 *
 * O(1), from any place; the table of the members of classes or buckets takes
 * data_order_bytes().  Borrows the set.  RK_EINVAL: the labels are no classes.
 * Any thread may ask for places.
 */
struct data_order_how {
	enum spec_sampler sampler;
	uint64_t seed;
	bool shuffle;
	/* Wanted of a set with buckets alone: rows of a full batch; are those
	 * that are less left out? */
	int64_t batch;
	bool drop_last;
};
struct data_order;
enum rk_err data_order_new(const struct data_set *d,
    const struct data_order_how *how, struct data_order **op,
    struct rk_why *why) RK_MUSTCHECK;
void data_order_free(struct data_order *o);     /* NULL is fine */
int64_t data_order_at(const struct data_order *o, int64_t epoch, int64_t i);
/* Rows of the batch that begins at place i of an epoch; 0: none does.  With
 * buckets `batch` and drop_last are those of the order, and from inside a batch
 * it is what is left of that. */
int64_t data_order_rows(const struct data_order *o, int64_t epoch, int64_t i,
    int64_t batch, bool drop_last);
uint64_t data_order_bytes(const struct data_set *d, enum spec_sampler sampler);

/* One file, for tests and fuzzing: IDX, CSV, CIFAR or npy bytes in memory.
 * `what` names it in messages.  data_parse_idx gives samples, or with one
 * dimension labels (ndim and width are 0 then); nothing is normalised. */
enum rk_err data_parse_idx(const uint8_t *p, size_t n, const char *what,
    struct data_set **out, struct rk_why *why) RK_MUSTCHECK;
enum rk_err data_parse_csv(const char *p, size_t n, const char *what,
    const struct spec_source *src, struct data_set **out,
    struct rk_why *why) RK_MUSTCHECK;
/*
 * A csv to be asked about: with the label's column or without.  Of `width`
 * features; where names says what they are called (data_column(); or NULL) and
 * the file has a header they are found by these, wherever they stand and
 * whatever else is there; else the columns count from the left, but for the
 * label.  Another number of columns stays as it is.  Labels are 0.
 */
enum rk_err data_parse_table(const char *p, size_t n, const char *what,
    const struct spec_source *src, const char *const *names, int64_t width,
    struct data_set **out, struct rk_why *why) RK_MUSTCHECK;
enum rk_err data_parse_cifar(const uint8_t *p, size_t n, const char *what,
    const struct spec_source *src, struct data_set **out,
    struct rk_why *why) RK_MUSTCHECK;
/* src: vocabulary and shape count.  labels: of those, likewise, width is 0. */
enum rk_err data_parse_npy(const uint8_t *p, size_t n, const char *what,
    const struct spec_source *src, bool labels, struct data_set **out,
    struct rk_why *why) RK_MUSTCHECK;

/* The same of texts, with the vocabulary in memory (of bytes NULL, 0); s->path
 * names them. */
enum rk_err data_parse_text(const struct spec_source *s, const void *p, size_t n,
    const void *vocabulary, size_t vocabulary_n, struct data_set **out,
    struct rk_why *why) RK_MUSTCHECK;

/*
 * Texts without labels, to be asked about, with the tokenizer of the source s
 * and as its files are read: a file whose name ends in .csv, .tsv or .tab with
 * its columns (the label is not needed), where the source has some, and else a
 * text a line.  Pairs are columns.  The classes of the set say nothing.  Errors
 * as of data_read().  name: whose end counts, path itself or the address that it
 * has the bytes of.
 */
enum rk_err data_open_texts(const struct spec_source *s, const char *path,
    const char *name, struct data_set **out, struct rk_why *why) RK_MUSTCHECK;

/*
 * A vocabulary of the texts of data.train that train: those that
 * data_split_of() would have validate are not looked at.  The file of the
 * tokenizer is not needed, its options are.  Size as text_maker_end() takes it;
 * `out` gets the file.  Errors as of data_read().
 */
struct data_vocabulary {
	int64_t samples, words, tokens; /* read; counted in them; made */
};
enum rk_err data_make_vocabulary(const struct spec_data *s, bool wordpiece,
    int64_t size, struct strbuf *out, struct data_vocabulary *made,
    struct rk_why *why) RK_MUSTCHECK;

/* The id that parts the texts of a pair ([SEP]); -1: the samples are no
 * pairs. */
int32_t data_separator(const struct data_set *d);

/* SHA-256 of all samples and labels, for lineage and for resumes that find
 * other data under the same path.  Of samples that are files of their own, in
 * their order: path in the source, size, and label (where classes have names,
 * by name). */
void data_digest(const struct data_set *d, char hex[RK_SHA256_HEX]);
/* The same on any thread, while others read the set too; false, and hex says
 * nothing, soon after *stop was set.  stop may be NULL. */
bool data_digest_until(const struct data_set *d, char hex[RK_SHA256_HEX],
    const atomic_bool *stop);
/* The digest that the same samples have where the job has transforms, if it has
 * none here, and the other way round: those may change on a resume.  False:
 * they have but one, because they are files of their own or take no
 * transforms. */
bool data_digest_other(const struct data_set *d, char hex[RK_SHA256_HEX]);
/* And into each[i], which may be NULL, a hash of what sample i adds to it,
 * where samples are read when they are needed. */
bool data_digest_each(const struct data_set *d, char hex[RK_SHA256_HEX],
    uint64_t *each, const atomic_bool *stop);

#endif
