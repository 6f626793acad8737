/*
 * spec_warm - what a job says of its warm start beside where it is from: how
 * names are read (model.dialect, model.rename), what may not fit (model.strict,
 * missing, unexpected, mismatch, minimum), what grows (model.grow), whose file
 * it may be (model.producer), and what else is taken along
 * (training.warm_start).
 */
#ifndef REKINDLE_SPEC_WARM_H
#define REKINDLE_SPEC_WARM_H

#include "rekindle/base.h"

/*
 * Whose names a file has.  `unsaid`: the one that fits best.  rekindle: names
 * as the model has them, layout of PyTorch; pytorch and paddle: names of the
 * model, layout of the framework, running statistics called as it calls them.
 * paddle also has the names of paddle.vision, and the others what they are
 * called after.  warm.h has the tables.
 */
enum spec_dialect {
	SPEC_DIALECT_UNSAID, SPEC_DIALECT_REKINDLE, SPEC_DIALECT_TORCHVISION,
	SPEC_DIALECT_TIMM, SPEC_DIALECT_HUGGINGFACE, SPEC_DIALECT_PYTORCH,
	SPEC_DIALECT_PADDLE, SPEC_DIALECT_PADDLECLAS, SPEC_DIALECT_PADDLENLP
};
extern const char *const spec_dialect_words[];  /* [0]: "unsaid" */

/*
 *	missing     a tensor of the model that the file does not have
 *	unexpected  a tensor of the file that the model does not have
 *	mismatch    in both, with other shapes or a type that cannot be taken
 *
 * error: the job is refused.  init: the tensor begins as in a cold start.
 * skip: it is not used.  slice: what both shapes have is taken, from the first
 * place of each dimension on, and the rest begins as in a cold start.
 */
enum spec_fault { SPEC_MISSING, SPEC_UNEXPECTED, SPEC_MISMATCH, SPEC_FAULTS };
enum spec_policy {
	SPEC_POLICY_ERROR, SPEC_POLICY_INIT, SPEC_POLICY_SKIP,
	SPEC_POLICY_SLICE
};
extern const char *const spec_fault_words[];
extern const char *const spec_policy_words[];

/*
 * A word, or {PATTERN: word, ...} by patterns of names as struct spec_group has
 * them: of several that fit a name the longest counts, of equally long ones the
 * last in the order of their bytes.  What none of them fits is as model.strict
 * says: true: error; false: init, skip, init.
 */
#define SPEC_MAX_POLICIES 64
struct spec_policies {
	bool said;                      /* a word alone ... */
	enum spec_policy is;            /* ... this */
	struct spec_policy_of {
		char *match;
		enum spec_policy is;
	} *v;
	int n;
};

/* `rename`: [{EXPRESSION: text}, ...] or {EXPRESSION: text, ...}, base_regex.h
 * says of what.  Each is done to all names of the file in turn, before its
 * dialect is looked for. */
#define SPEC_MAX_RENAMES 64
#define SPEC_MAX_RENAMED 256            /* bytes of a text */
struct spec_rename {
	char *from, *to;
};

/* `producer: {paddle: ">=2.6"}`: who may have written the file, and which
 * versions: comparisons by >=, >, <=, <, == and !=, commas between, all of
 * which must hold; "*": any.  Of several names one must be so.  torch and
 * paddlepaddle, the packages, are pytorch and paddle. */
#define SPEC_MAX_PRODUCERS 8
struct spec_producer {
	char *name, *versions;
};

/*
 * `grow`: [LAYER, ...], which is {LAYER: {match: name, init: default}, ...}:
 * layers of which the file may have other rows, or a convolution of other input
 * channels.  LAYER is a pattern as struct spec_group has them, of a layer's
 * name ("fc") or of its tensors' ("fc.*"); of several that fit the longest
 * counts, of equally long ones the last in the order of their bytes.
 *
 *	match  name    rows are classes, or of an embedding tokens: each is
 *	               taken from where the file has the one of that name,
 *	               wherever that is; what the model has not is dropped
 *	       index   row i is row i, and what is behind is new, or dropped
 *	init   default a new row begins as in a cold start
 *	       mean    as the mean of all rows of the file, which are added in
 *	               double, in their order
 *	       zero    as zeros
 *
 * warm.h has what becomes of a tensor.
 */
#define SPEC_MAX_GROW 64
enum spec_grow_match { SPEC_GROW_NAME, SPEC_GROW_INDEX };
enum spec_grow_init { SPEC_GROW_DEFAULT, SPEC_GROW_MEAN, SPEC_GROW_ZERO };
extern const char *const spec_grow_match_words[];
extern const char *const spec_grow_init_words[];
struct spec_grow {
	char *layer;
	enum spec_grow_match match;
	enum spec_grow_init init;
};

/*
 * `checkpoint_classes`: what the classes of the file are called, in the order
 * of its outputs: a list, or a file with one a line, or with PaddleClas' `index
 * name` a line.  `checkpoint_vocabulary`: the tokens of its embedding, a file
 * with one a line.  A checkpoint of ours knows both by itself.  Where the head
 * does not grow by name and has no fewer outputs than there are such classes,
 * the job's classes of the same names take their places.
 */
#define SPEC_MAX_CLASSES    65536
#define SPEC_MAX_CLASS_NAME 1024        /* bytes of one */
#define SPEC_CLASSES_BYTES  ((size_t)64 << 20)  /* of a file of them */
struct spec_names {
	char **v;                       /* a list ... */
	int64_t n;
	char *file;                     /* ... or a path or an address */
};

struct spec_warm {
	enum spec_dialect dialect;
	struct spec_rename *rename;
	int nrename;
	struct spec_policies of[SPEC_FAULTS];
	bool minimum_said;
	double minimum;                 /* 0 to 1 */
	struct spec_producer *producer;
	int nproducer;
	struct spec_grow *grow;
	int ngrow;
	/* These three, and training.warm_start.plan, are refused without a
	 * model.checkpoint. */
	struct spec_names classes;      /* `checkpoint_classes` */
	char *vocabulary;               /* `checkpoint_vocabulary`; NULL */
};

/* How a tensor of this name grows; NULL: it does not. */
const struct spec_grow *spec_grow_of(const struct spec_warm *w,
    const char *tensor);
/*
 * The names of a file of classes, whose text this is, into *out, which is to be
 * freed by spec_names_fini().  Lines that are empty or begin a comment with #
 * and a blank count for nothing; where each line is a number and a name behind
 * a blank, the numbers 0 to n-1 in some order, these are `index name`.
 * Names may stand twice, as "crane" does in ImageNet's.  RK_EINVAL with the
 * line: no UTF-8, too long, too many, none.
 */
enum rk_err spec_names_of_text(const char *text, size_t len,
    struct spec_names *out, struct rk_why *why) RK_MUSTCHECK;
void spec_names_fini(struct spec_names *n);     /* fine on {0} */

/* What becomes of a tensor of this name. */
enum spec_policy spec_policy_for(const struct spec_warm *w, bool strict,
    enum spec_fault fault, const char *name);
/* May anything be refused by it at all?  Then a start is no loose one. */
bool spec_warm_is_loose(const struct spec_warm *w, bool strict);
/* What the job says, else 0.9 of a loose start and 0 of a strict one. */
double spec_warm_minimum(const struct spec_warm *w, bool strict);

enum spec_version { SPEC_VERSION_FITS, SPEC_VERSION_OTHER, SPEC_VERSION_UNSAID };
/* Does a file fit that says it was written by "paddle 2.6.1" (NULL: it does not
 * say)?  UNSAID: it cannot be told.  Without model.producer all fit. */
enum spec_version spec_producer_fits(const struct spec_warm *w,
    const char *writer);

/* `training.warm_start` */
enum spec_carry { SPEC_CARRY_NONE, SPEC_CARRY_MOMENTS, SPEC_CARRY_ALL };
enum spec_from { SPEC_FROM_RESTART, SPEC_FROM_CONTINUE };
extern const char *const spec_carry_words[];
extern const char *const spec_from_words[];
struct spec_warm_start {
	enum spec_carry optimizer;      /* `optimizer` none */
	enum spec_from schedule;        /* `schedule` restart */
	bool ema;                       /* `ema` false */
	bool watch;                     /* `watch` true: recall of the classes
	                                   that the source knows is measured
	                                   before the first step and after
	                                   each epoch */
	char *plan;                     /* `plan`: its digest; NULL */
	/* Where the state of the optimizer is that is taken along: beside the
	 * address of a .pdparams, .pdopt; of job://JOB/SELECTOR, whose files
	 * may be in a bucket alone, and of a version of a model that with
	 * /optimizer.safetensors, whose updates are in the record, that with
	 * /checkpoint.json.  NULL: not by
	 * an address. */
	char *beside, *record;
};

#endif
