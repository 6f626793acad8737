/*
 * spec_data - the data of a job: where samples come from, how numbers are made
 * of them, and what is done with them before a network sees them.  spec.h has
 * the fields around them.
 */
#ifndef REKINDLE_SPEC_DATA_H
#define REKINDLE_SPEC_DATA_H

#include "rekindle/spec_form.h"
#include "rekindle/spec_use.h"

#define SPEC_MAX_CHANNELS 4096          /* per-channel mean and std */
#define SPEC_MAX_FILES   16             /* of one source */
#define SPEC_MAX_BUCKETS 16             /* lengths of samples, of texts */

/*
 *	type: idx   images *, labels * (paths or addresses; IDX, plain or gzip)
 *	type: csv   path * (or address), label * (a column's name, or its index
 *	            from 0; negative from the end), header auto | true | false,
 *	            delimiter "," (or ; | : tab space); all other columns are
 *	            features
 *	type: cifar path * (or address, or a list of 1 to 16, one behind the
 *	            other; binary records, plain or gzip), classes 10 | 100
 *	            (10): the form of the records, label fine | coarse (fine; of
 *	            classes 100, where coarse makes 20 classes).  A sample is
 *	            [3, 32, 32]
 *	type: synthetic  no files: samples * (1 to 2^31; what resources.memory
 *	            holds) that are drawn, seed 1 (0 to 2^53; validation another
 *	            than train), classes 10 (2 to 2^20), and one of
 *	            shape *    floats: 1 to 4 of 1 to 2^24, at most 2^24 in all
 *	            tokens *   1 to 2^24 whole numbers from 0 (which fills up
 *	                       what is shorter) to below vocabulary * (2 to
 *			       2^24)
 *	type: npy   path *, labels * (arrays of NumPy; paths or addresses; plain
 *	            or gzip).  One that would take 256 MiB or more in memory is
 *	            read as batches need it, if it is plain and in C order
 *	type: npz   path * (an archive of arrays), features x and labels y:
 *	            their names in it
 *	            of both: shape (1 to 4 of 1 to 2^24), where a sample is to
 *	            be seen in another shape of as many numbers than the array
 *	            has; vocabulary (2 to 2^24): the features are whole numbers
 *	            from 0 to below it, tokens that stay as they are
 *	type: text  path * (CSV; TSV where the name ends in .tsv or .tab, or
 *	            address), text * and label *: columns, as label of csv, and
 *	            perhaps pair: the column of a second text; header auto
 *	            (there is one where a column is given by its name) | true |
 *	            false, delimiter ("," or, of TSV, a tab); or classes *:
 *	            {NAME: FILE, ...}, 1 to 16 files with a text a line.
 *	            encoding utf-8 | latin-1 | gb18030 (utf-8), length 128 (1 to
 *	            65536) tokens of a sample, buckets: 1 to 15 lengths below
 *	            it, ascending, to which shorter samples are padded, in
 *	            batches of their own (data.h has the order); and
 *	            tokenizer * {type: wordpiece | words | bytes, vocabulary *:
 *	            a file (or address; not of bytes), lower_case true,
 *	            strip_accents: of wordpiece as lower_case, of words false}.
 *	            data.validation takes over what it does not say of these
 *	            from data.train (columns where both have a path)
 *	type: image_folder  path *: a folder of class folders, whose names in
 *	            the order of their bytes are the classes, each with its
 *	            images at any depth; or with list, a text of lines "path
 *	            label", a folder that those paths are relative to; or a tar
 *	            of such a folder, plain or gzip (or its address).  size: a
 *	            number, or [height, width] of 1 to 16384, that each image is
 *	            resized to; without it all have one size.
 *	            channels 3 (or 1: grey).  data.validation has size and
 *	            channels of data.train where it does not say them
 * data.h has the formats, and what is drawn.
 */
enum spec_source_type {
	SPEC_IDX, SPEC_CSV, SPEC_CIFAR, SPEC_SYNTHETIC, SPEC_NPY, SPEC_NPZ,
	SPEC_TEXT, SPEC_IMAGE_FOLDER
};
enum spec_header { SPEC_HEADER_AUTO, SPEC_HEADER_YES, SPEC_HEADER_NO };
enum spec_label { SPEC_LABEL_FINE, SPEC_LABEL_COARSE };
enum spec_encoding { SPEC_UTF8, SPEC_LATIN1, SPEC_GB18030 };
enum spec_tokenizer { SPEC_WORDPIECE, SPEC_WORDS, SPEC_BYTES };
struct spec_text {
	char *column, *pair;            /* names, or NULL and ... */
	int64_t column_index, pair_index;       /* ... their numbers */
	bool paired;
	enum spec_encoding encoding;
	enum spec_tokenizer tokenizer;
	char *vocabulary;               /* NULL: of bytes */
	bool lower_case, strip_accents;
	int64_t length;
	int nbuckets;                   /* 0: none */
	int64_t buckets[SPEC_MAX_BUCKETS - 1];
	char *class_names[SPEC_MAX_FILES];      /* of files[], nfiles */
};
struct spec_source {
	enum spec_source_type type;
	char *images, *labels;          /* idx; npy and npz have labels, which
	                                   of npz are the name of an array */
	char *features;                 /* npz: likewise */
	char *path;                     /* csv, npy, npz */
	char *label_name;               /* csv: or NULL and the index */
	int64_t label_index;
	enum spec_header header;
	char delimiter;
	char *files[SPEC_MAX_FILES];    /* cifar */
	int nfiles;
	enum spec_label label;
	int64_t classes;                /* cifar, synthetic */
	int64_t shape[SPEC_MAX_DIMS];   /* synthetic: this ...; npy, npz: */
	int ndim;                       /* 0: as the array has it */
	int64_t tokens;                 /* synthetic: ... or that; 0: not */
	int64_t vocabulary;             /* synthetic, npy, npz; 0: no tokens */
	int64_t samples;
	uint64_t seed;
	struct spec_text text;
	char *list;                     /* image_folder: or NULL */
	int image_size[2];              /* height, width; 0, 0: not said */
	int channels;                   /* 1 or 3 */
};

/*
 *	none        the numbers as they are; the default for synthetic, and all
 *	            that tokens and text take
 *	scale       pixels / 255, then (x - mean) / std where these are given;
 *	            the default for idx, cifar, npy, npz and image_folder.
 *	            mean, std: a number, or one a channel (0 and 1 where only
 *	            the other is given); not for csv
 *	standard    mean 0, standard deviation 1 over the training samples: per
 *	            feature (csv; npy and npz of one dimension), per channel
 *	            (cifar; npy and npz of three) or over all numbers (else);
 *	            the default for csv, and not for image_folder
 */
enum spec_norm_type { SPEC_NORM_NONE, SPEC_NORM_SCALE, SPEC_NORM_STANDARD };
struct spec_normalize {
	enum spec_norm_type type;
	double *mean, *std;
	int n;                          /* of each; 0: none given */
};

enum spec_broken { SPEC_BROKEN_FAIL, SPEC_BROKEN_SKIP };
#define SPEC_MAX_LOADERS 64
/* Transforms: transforms.def has them, their fields and their meaning. */
#define SPEC_MAX_TRANSFORMS 32          /* of one list */
#define SPEC_MAX_SIDE       8192        /* pixels of a side that is made */
enum spec_transform_type {
#define TRANSFORM(t, stage, draws, text) SPEC_T_##t,
#include "rekindle/transforms.def"
	SPEC_T_COUNT
};
enum spec_stage {
	SPEC_STAGE_PIXELS, SPEC_STAGE_NORMALIZE, SPEC_STAGE_NUMBERS,
	SPEC_STAGE_BATCH, SPEC_STAGE_TOKENS
};
#define TRANSFORM(t, stage, draws, text)        struct spec_transform_##t {
#define INT(t, key, since, def, lo, hi)         int64_t key;
#define REAL(t, key, since, def, lo, hi, ends)  double key;
#define BOOL(t, key, since, def)                bool key;
#define PAIR(t, key, since, def, lo, hi)        int key[2];
#define WORD(t, key, since, def, words)         int key;
#define SIZE(t, key, since, lo, hi)             \
	struct { int64_t v[2]; int n; } key;
#define RANGE(t, key, since, a, b, lo, hi)      double key[2];
#define END(t)                                  char none; };
#include "rekindle/transforms.def"
union spec_transform_fields {
#define TRANSFORM(t, stage, draws, text)        struct spec_transform_##t t;
#include "rekindle/transforms.def"
};
extern const struct spec_form spec_transform_forms[SPEC_T_COUNT];
extern const char *const spec_transform_words[SPEC_T_COUNT + 1];
extern const bool spec_transform_draws[SPEC_T_COUNT];
enum spec_stage spec_stage_of(enum spec_transform_type t);

/*
 * A list, in the order in which it is applied; draws are keyed by the place in
 * here.  A `normalize` in a job's list is data.normalize in another place, and
 * so is not in here, nor in the normal form; where one list has it, both are
 * normalised.  A job without transforms is computed as jobs of before them are.
 */
struct spec_transform {
	enum spec_transform_type type;
	union spec_transform_fields u;
};
struct spec_transforms {
	struct spec_transform v[SPEC_MAX_TRANSFORMS];
	int n;
};

/*
 * What pictures of h x w have become behind those of a list: size[0] rows of
 * size[1].  0 and 0: each picture has its own, before or behind.  A crop may be
 * larger than the picture: transforms.def has what is padded.  RK_EINVAL: more
 * numbers than a sample may have; the fault's path is `path`, the list's.
 */
enum rk_err spec_transforms_size(const struct spec_transforms *t,
    const char *path, int64_t h, int64_t w, int64_t size[2],
    struct rk_why *why) RK_MUSTCHECK;

/* What parts the columns of a file of texts by its name, without what pins an
 * address: a tab where it ends in .tsv or .tab, else a comma. */
char spec_text_delimiter(const char *path);

struct spec_data {
	enum spec_job kind;             /* the job's */
	struct spec_source train, validation;
	bool has_train;                 /* else, of a kind that needs none,
	                                   train says what form samples have:
	                                   that of validation, or pictures */
	bool has_validation;
	char *inputs[SPEC_MAX_USED];    /* of kind predict */
	int ninputs;
	json_t *input;                  /* of kind predict and evaluate, or
	                                   NULL */
	double validation_split;
	uint64_t split_seed;
	bool stratify;
	bool split_seed_said, stratify_said;    /* else a warm start's model
	                                           may know better */
	struct spec_normalize normalize;
	int64_t threads;                /* of the loader; 0: not said */
	enum spec_broken broken;
	/* data.transforms.train and .validation */
	struct spec_transforms train_transforms, validation_transforms;
};

#endif
