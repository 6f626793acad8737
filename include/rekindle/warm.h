/*
 * warm - the plan of a warm start: which tensor of a file goes where in a new
 * model, how, and why.
 *
 * Pure functions of two lists (of the model's tensors and of the file's: names,
 * shapes, types, who wrote it) and of what the job says (spec_warm.h); no data
 * are read here.  Who trains does what the rows say.
 *
 * A row for each tensor of the model, in its order, then one for each tensor of
 * the file that none of them takes:
 *
 *	copy       same name, shape and type
 *	rename     it has another name in the file
 *	transpose  the weight of a linear layer out of a file of Paddle, which
 *	           has it as [in,out]; ours are [out,in].  By who wrote the file
 *	           and what the layer is, never by the shape: square ones are
 *	           turned too
 *	convert    from F16, BF16 or F64, each number to the nearest of F32
 *	           (what is too large is an infinity, as C converts it)
 *	slice      shapes differ; what both have is taken, the rest begins anew
 *	grow       model.grow names it (spec_warm.h), and its rows are others,
 *	           or the input channels of a convolution; also of a strict
 *	           start
 *	init       it begins as in a cold start
 *	skip       of the file, not used
 *
 * A tensor may want several of these: `steps` has all, `action` the last of
 * them in this order: copy, rename, convert, transpose, slice, grow.
 *
 * Growth.  All but one dimension must be the same:
 *
 *	rows       the first dimension in our layout, [out,in] of a linear
 *	           layer: outputs, or places of a table.  By name each row of
 *	           the model is from where the file has its class or its token:
 *	           the rows of the head (the last layer, which has a row for
 *	           each output) are classes, those of an embedding of the input
 *	           tokens; names must be known on both sides, all of them of a
 *	           head.  Rows of no name, behind a vocabulary, go by their
 *	           numbers.  Of other layers, and by index, row i is row i.  A
 *	           tensor of the same shape whose rows are called otherwise
 *	           grows as well: it is no copy
 *	channels   the second dimension of a convolution's weight.  One channel
 *	           in place of several (RGB to grey) is their sum, several in
 *	           place of one (grey to RGB) have each an equal part of it, so
 *	           that a grey picture gives the same as before either way; any
 *	           other numbers want `match: index`
 *
 * What is new begins as model.grow's `init` says.
 *
 * Names.  Running statistics may be called running_mean and running_var or
 * _mean and _variance, a norm's weight and bias gamma and beta.  Beyond that
 * names are read by a dialect (src/warm/dialect.c has the tables), with the
 * prefixes `module.`, `_orig_mod.`, `model.`, `backbone.`, `net.`, and those of
 * a dialect, taken off where the rest then fits.  Unless model.dialect says
 * which, each is tried, and the one is taken by which most of the model's
 * tensors find one of a fitting shape.  If another fits as many and would load
 * other tensors, or the same in another layout, the file is refused:
 * model.dialect must say.  A file that says who wrote it is read only by
 * dialects of that framework; one that does not is of PyTorch's layout, unless
 * its names or their fit tell.
 *
 * ERNIE of PaddleNLP adds row 0 of a table of tasks to each sample.  A model
 * without that table has it in its positions: the row is added to each of
 * theirs (`added`).
 *
 * Running variances stay the numbers they are, and the source's convention goes
 * on: PyTorch's (running_var) are of unbiased variances of batches, Paddle's
 * (_variance) of biased ones; a note says so where that is not the model's.
 */
#ifndef REKINDLE_WARM_H
#define REKINDLE_WARM_H

#include "rekindle/json.h"
#include "rekindle/spec.h"
#include "rekindle/tensor.h"

/* What layer a tensor of the model is of, as far as it matters. */
enum warm_kind {
	WARM_OTHER,             /* biases, too */
	WARM_LINEAR,            /* a linear layer's weight, [out,in] here */
	WARM_CONV, WARM_NORM,
	WARM_RUNNING,           /* a batch norm's statistics */
	WARM_TABLE,             /* an embedding, [rows, width] */
	WARM_RECURRENT
};
extern const char *const warm_kind_words[];

/* What the rows of a tensor of the model are called after. */
enum warm_rows { WARM_ROWS_UNNAMED, WARM_ROWS_CLASSES, WARM_ROWS_TOKENS };

enum warm_framework { WARM_UNKNOWN, WARM_PYTORCH, WARM_PADDLE };
extern const char *const warm_framework_words[];

struct warm_tensor {
	const char *name;
	enum dtype dtype;
	int ndim;
	int64_t d[TENSOR_MAX_DIMS];
	/* Of the model: */
	enum warm_kind kind;
	bool buffer;                    /* no parameter */
	bool biased;                    /* WARM_RUNNING: it goes on as
					   Paddle's */
	enum warm_rows rows;            /* of its first dimension */
	/* Of the file: */
	int64_t same_as;                /* an earlier one with the same
	                                   elements; -1: none */
};

/* What the first n rows of something are called; n 0: that is not known. */
struct warm_names {
	const char *const *v;
	int64_t n;
};
struct warm_sides {
	struct warm_names file, model;
};

/* Elements of a tensor. */
int64_t warm_count(const struct warm_tensor *t);

/* All is borrowed, and must live as long as the plan. */
struct warm_want {
	const struct warm_tensor *model, *file;
	size_t nmodel, nfile;
	enum warm_framework framework;  /* that wrote the file */
	const char *writer;             /* "paddle 2.6.1"; NULL: it does not
					   say */
	const struct spec_warm *spec;
	bool strict;
	struct warm_sides classes, tokens;      /* for what grows */
	struct warm_names told;         /* what the file itself calls its
	                                   classes, where the job says what
	                                   they are called */
};

enum warm_action {
	WARM_COPY, WARM_RENAME, WARM_CONVERT, WARM_TRANSPOSE, WARM_SLICE,
	WARM_INIT, WARM_SKIP, WARM_GROW, WARM_ACTIONS
};
/* Of a row with WARM_GROW.  `from`: [n] rows (or channels) of the model, the
 * number of each in the file or -1; of a sum or a spread NULL. */
enum warm_growth { WARM_BY_ROWS, WARM_BY_CHANNELS, WARM_SUM, WARM_SPREAD };
struct warm_grown {
	enum warm_growth way;
	bool named;                     /* by name */
	enum spec_grow_init init;
	int64_t *from;
	int64_t n, nfile;               /* of the model, of the file */
	int64_t kept;                   /* of the file's that the model has */
};
extern const char *const warm_action_words[];

struct warm_row {
	enum warm_action action;
	unsigned steps;                 /* 1u << of each action it wants */
	int64_t model, file;            /* numbers in the lists; -1: none */
	int64_t added;                  /* of the file: its row 0 is added to
	                                   each row; -1 */
	int64_t loaded;                 /* elements that are taken */
	enum spec_fault fault;          /* SPEC_FAULTS: none */
	char *why;                      /* a sentence; NULL: nothing to say */
	struct warm_grown grown;
	char *ungrown;                  /* why it cannot grow as the job says,
					   which refuses the start; or NULL */
};

struct warm_plan {
	struct warm_row *v;
	size_t n, nmodel;               /* the first nmodel are the model's */
	const struct warm_want *want;

	enum spec_dialect dialect;
	char *prefix;                   /* taken off names of the file; "" */
	size_t fits;                    /* tensors that find a fitting one */
	enum spec_dialect next;         /* the best of those that would load
	                                   otherwise; UNSAID: there is none */
	size_t next_fits;
	enum warm_framework layout;     /* by which it is read */

	size_t tensors;                 /* of the model, loaded whole or in
					   part */
	int64_t loaded, parameters;     /* elements of parameters, and of all */
	int64_t outside;                /* of all outside mismatched ones */
	/* Running statistics of the other convention than the model's are
	 * taken; who trains goes on with theirs. */
	bool others_running, biased;
	json_t *notes;                  /* texts */
	char *summary;
	char digest[RK_SHA256_HEX];
};

/*
 * RK_EINVAL: the job does not take the file; why has every fault by its
 * tensor's name (as the model calls it).  *pp is the caller's in both cases,
 * and shows what would be done.  RK_EINVAL with *pp NULL: model.rename cannot
 * be done.
 */
enum rk_err warm_plan_new(struct warm_plan **pp, const struct warm_want *w,
    struct rk_why *why) RK_MUSTCHECK;
void warm_plan_free(struct warm_plan *p);       /* NULL is fine */

/*
 * p->summary: "loaded 318 of 320 tensors (25.50 M of 25.56 M parameters); 2
 * new: fc.weight, fc.bias (file [1000,2048], model [13,2048]); 0 missing; 1
 * ignored".  new: of which the file has one of another shape or type; missing:
 * of which it has none; ignored: of the file, not used.  Where something grows:
 * "...; 2 grown: fc.weight, fc.bias (file [4,512], model [6,512]); ...".  Below
 * a million parameters all digits.
 *
 * p->digest: of the names, types and shapes of both sides and what the rows do
 * with them: two plans of one digest do the same.  Its first 20 digits are of
 * the file's list, the next 20 of the model's, the rest of the mapping, so that
 * one can tell what has changed: warm_plan_changed() makes a sentence of it,
 * the caller's; NULL where the digests are the same.
 */
char *warm_plan_changed(const struct warm_plan *p, const char *digest);

/*
 * {summary, digest, strict, source, dialect, runner_up: {dialect, tensors} or
 * null,
 *  prefix, framework, writer, tensors_loaded, tensors_total, parameters_loaded,
 *  parameters_total, minimum, notes: [...], classes: {kept, new, dropped},
 *  tensors: [{name, action, steps, from, file_shape, file_dtype, model_shape,
 *  kind, elements, loaded, added, grown: {way, match, init, kept, new,
 *  dropped}, why}]}
 * from: its name in the file.  classes: names, at most WARM_LISTED each; where
 * a head grows by name.  A new reference.
 */
#define WARM_LISTED 1000
json_t *warm_plan_json(const struct warm_plan *p, const char *source);
/* A line a tensor, for people: action, name, from, both shapes, why. */
void warm_plan_table(const struct warm_plan *p, struct strbuf *out);

/*
 * Adam's count of steps out of the power of its second beta, which Paddle
 * keeps: beta2_pow = beta2^(t+1) after t steps.  False, with the reason: it
 * cannot be told, as the power is 0 (it has underflowed) or no such power.
 */
bool warm_adam_step(double beta2, double beta2_pow, int64_t *step,
    const char **reason);

#endif
