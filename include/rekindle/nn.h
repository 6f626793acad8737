/*
 * nn - a network: a graph of ops over named values, compiled once into
 * programs that run many times.
 *
 * nn_build() turns a model's specification into layers (an architecture is a
 * list of them), the layers into a graph of nodes whose shapes are checked, and
 * the graph into two programs of instructions: TRAIN (forward, loss, backward
 * towards what is trained) and INFER.  A plan gives each value, gradient and
 * saved thing a place in one arena; after that nothing is allocated.
 * Parameters lie in one array, their gradients in another of the same layout,
 * buffers (batch norm's running statistics) in a third, so the optimiser, the
 * checkpoint and the digest see flat memory.
 *
 * src/nn/graph.h has the graph, ops.h what an op is, program.h the programs.
 * A program is a pure function of the specification, of what is trained and of
 * the shapes; the bits of a step depend on it and on the arithmetic alone.
 */
#ifndef REKINDLE_NN_H
#define REKINDLE_NN_H

#include "rekindle/spec.h"

struct nn;

/* What a value is made of; both take four bytes. */
enum nn_dtype { NN_F32, NN_I32 };

/* Images: the layouts that take least; for tests all plain, blocked where that
 * can be, and some of each. */
enum nn_layouts { NN_CHOSEN, NN_PLAIN, NN_BLOCKED, NN_MIXED };

/* A named part of the parameter array or of the buffer array. */
struct nn_tensor {
	const char *name;               /* "fc1.weight" */
	int ndim;
	int64_t d[SPEC_MAX_DIMS];
	int64_t count;
	int64_t offset;                 /* in floats from the array's start */
	float *value;
	float *grad;                    /* NULL for a buffer */
	bool is_buffer;
	bool trained;                   /* it gets a gradient */
	bool fixed;                     /* a buffer that no step changes: of a
					   batch norm that evaluates */
	enum spec_op op;                /* of the layer that it is of */
	bool of_ids;                    /* a table with a row for each id of
					   the input */
};

/*
 * What is wanted.  `batch` rows make a step, at most `micro` of them go through
 * the network at a time (0: all).
 */
struct nn_want {
	const struct spec_model *model;
	const struct spec_loss *loss;
	enum nn_dtype dtype;            /* of the data */
	int ndim;                       /* shape of one sample; 0: the
					   model's */
	int64_t d[SPEC_MAX_DIMS];       /* own (`input`) */
	int64_t batch, micro;
	/* Shorter lengths of a sample, of which d[0] is the longest, ascending:
	 * there is a network for each, of the same tensors. */
	const int64_t *lengths;
	int nlengths;
	uint64_t memory_limit;          /* bytes */
	bool fast;                      /* training.arithmetic */
	/* Is this tensor trained?  NULL: all are. */
	bool (*trains)(void *ctx, const char *tensor);
	void *ctx;
	/* A batch norm none of whose parameters is trained (by `trains`, also
	 * where the logits do not depend on it) is in evaluation mode when
	 * there is training, too: it normalises by its running statistics and
	 * leaves them alone, and gradients pass through it as through a
	 * constant scale. */
	bool evaluate_frozen;
	/* It answers and is never trained: no program TRAIN, no gradients. */
	bool answers;
	/* The last of its layers that are linear or conv2d gives so many; 0: as
	 * many as the model says. */
	int64_t outputs;
	/* For tests: each storage at a place of its own; dead ones filled with
	 * NaN; other layouts than would be chosen. */
	bool apart, poison;
	enum nn_layouts layouts;
};

/*
 * RK_EINVAL: which layer, which numbers.  RK_ENOMEM: it would need more than
 * memory_limit bytes (why has both), or the system has none.  On RK_OK *np is
 * the caller's.
 */
enum rk_err nn_build(struct nn **np, const struct nn_want *w,
    struct rk_why *why) RK_MUSTCHECK;
void nn_free(struct nn *n);                     /* NULL is fine */

/*
 * From here on other tensors are trained, and another `evaluate_frozen` counts:
 * w is otherwise as n was built.  Parameters, buffers, the input and their
 * places stay as they are, and so does what nn_set_running() and nn_watch()
 * said; gradients are zero.  The programs are made anew, so that what has been
 * asked of them (digest, features, instructions, sizes) is to be asked again,
 * and samples have the longest length.  Memory for values is given back before
 * the new is taken.
 *
 * RK_EINVAL: n is as it was.  RK_ENOMEM: n can only be freed.
 */
enum rk_err nn_retrain(struct nn *n, const struct nn_want *w,
    struct rk_why *why) RK_MUSTCHECK;

/* The same without any memory for values: sizes can be asked for, and
 * nn_describe(); not to be run. */
enum rk_err nn_outline(struct nn **np, const struct nn_want *w,
    struct rk_why *why) RK_MUSTCHECK;

/* Bytes by kind, in whole pages.  A convolution needs some of the arena for
 * each thread of the team there is when the network is made. */
struct nn_sizes {
	int64_t parameters;             /* how many */
	int64_t trained;                /* ... of them get gradients */
	uint64_t parameter_bytes, gradient_bytes, buffer_bytes;
	uint64_t arena_bytes;           /* values, gradients of values,
					   scratch */
	uint64_t total_bytes;           /* UINT64_MAX: cannot be counted */
	double multiply_adds;           /* of a sample, forward */
};
void nn_sizes(const struct nn *n, struct nn_sizes *s);

/* Layer i of nn_nlayers(), in the order of the model.  False: it is a relu that
 * belongs to the product before. */
struct nn_layer {
	const char *name, *type;        /* "conv1", "conv2d" */
	const char *path;               /* in the job: "model.layers[3]" */
	int ndim;
	int64_t d[SPEC_MAX_DIMS];       /* of what it gives for one sample */
	int64_t parameters;             /* its own: what it borrows is not */
	double multiply_adds;           /* of a sample, forward */
};
size_t nn_nlayers(const struct nn *n);
bool nn_layer_at(const struct nn *n, size_t i, struct nn_layer *out);
/* The one that gives the logits. */
void nn_logits_at(const struct nn *n, struct nn_layer *out);

/* Initial values, a pure function of (seed, tensor's name, element), by
 * model.init; src/nn/init.c has the formulas. */
void nn_init(struct nn *n, uint64_t seed);
void nn_init_one(struct nn *n, uint64_t seed, const struct nn_tensor *t);

/* Parameters first, in layer order, then buffers; constant for a network. */
size_t nn_ntensors(const struct nn *n);
const struct nn_tensor *nn_tensor_at(const struct nn *n, size_t i);
float *nn_params(struct nn *n, int64_t *count);
float *nn_grads(struct nn *n);
float *nn_buffers(struct nn *n, int64_t *count);

/*
 * How batch norms go on with their running statistics: as each layer's
 * convention says (ops.def), or all with the other one, where they came out of
 * a file of that: biased (Paddle) or unbiased (PyTorch) variances of batches,
 * and a momentum of 1 - the layer's.  Names stay.  Of a network that begins it
 * is the layer's.
 */
enum nn_running { NN_RUNNING_OWN, NN_RUNNING_BIASED, NN_RUNNING_UNBIASED };
void nn_set_running(struct nn *n, enum nn_running how);

int64_t nn_outputs(const struct nn *n);         /* logits of a sample */
int64_t nn_micro(const struct nn *n);           /* rows at a time */
enum nn_dtype nn_input_dtype(const struct nn *n);
/* [micro, ...] to fill before a forward, which does not write to it. */
float *nn_input(struct nn *n);
int32_t *nn_input_ids(struct nn *n);            /* the same place, NN_I32 */
/* Of the last forward: the logits; and outputs by their names (NULL: there is
 * no such one), `count` numbers a sample. */
const float *nn_output(const struct nn *n);
const float *nn_output_named(const struct nn *n, const char *name,
    int64_t *count);

/* Ids of an input against the tables that it chooses from: the first of `rows`
 * x width that is out of range, RK_EINVAL with its row and both numbers. */
enum rk_err nn_check_ids(const struct nn *n, const int32_t *ids, int64_t rows,
    struct rk_why *why) RK_MUSTCHECK;

/*
 * Features.  Below all that is trained a network may have a part that is still:
 * it computes the same for a sample in each step (no gradient, no draw, no
 * statistics of a batch), and does so as in inference, also in TRAIN.  The
 * features of a sample are what the rest reads of it.
 *
 * nn_features: how many numbers that is of a sample, 0: nothing with parameters
 * is still.  nn_features_rows: where the still part runs alone
 * (NN_TO_FEATURES) with so many rows, a sample's features have the same bits in
 * each of them and whatever the others are.  nn_features_get: of a row of the
 * last forward; nn_features_put: of a row for the next forward, of this kind,
 * which is NN_FROM_FEATURES; then outputs by name that are of the still part
 * are not there.  nn_features_digest: SHA-256 over what makes the features: its
 * instructions, and the values of its parameters and buffers as they are.
 */
enum nn_stretch { NN_ALL, NN_TO_FEATURES, NN_FROM_FEATURES };
int64_t nn_features(const struct nn *n);
int64_t nn_features_rows(const struct nn *n);
void nn_features_get(const struct nn *n, int64_t row, float *to);
void nn_features_put(struct nn *n, bool train, int64_t row,
    const float *from);
void nn_features_digest(const struct nn *n, char hex[RK_SHA256_HEX]);

/*
 * A part of a step: `rows` samples in the input, which are number `first` and
 * on of the `all` that make the step.  Random draws are keyed by (seed, step,
 * layer, row of the whole step), so that without accumulation first is 0 and
 * all is rows.
 */
struct nn_step {
	enum nn_stretch stretch;        /* of the forward instructions */
	int64_t rows, first, all;
	uint64_t seed;
	int64_t step;
	/* What the gradient of the summed loss is divided by: nn_loss_weight()
	 * of all rows of the step; 0: `all`. */
	double norm;
	/* [rows]: those that count for nothing in the loss, whose input must be
	 * numbers all the same; NULL: none. */
	const uint8_t *left_out;
	const struct nn_taught *taught; /* by an ancestor, or NULL */
};

/*
 * What an ancestor answers to the rows of a step, for the nn_loss() of a
 * forward with train.  What is minimised is then
 *
 *	(1 - weight) task + weight T^2 mean KL
 *
 * of which kernel_distill() in kernel.h is the latter, label by label with
 * binary_cross_entropy; its mean is over `norm` rows.  The gradient is that of
 * the sum, and nn_result has both parts by themselves.
 */
struct nn_taught {
	const float *z;                 /* [rows, width], its logits */
	int64_t width;
	const int32_t *ours, *theirs;   /* [pairs]: the same class here and
	                                   there */
	size_t pairs;
	double weight, temperature;
	double norm;                    /* rows of the whole step that are not
	                                   left out; 0: all of them */
};

/* May so many rows be trained on?  RK_EINVAL: a batch norm would have one value
 * to normalise. */
enum rk_err nn_may_train(const struct nn *n, int64_t rows,
    struct rk_why *why) RK_MUSTCHECK;

/*
 * Samples are of this length from here on: one of those that were wanted, or
 * d[0], as which a network begins.  Inputs have so many places a row, and
 * forward, loss, backward and outputs are of the program that is made for them.
 */
void nn_set_length(struct nn *n, int64_t length);

/* Forward; train: batch statistics (but of batch norms that evaluate) and
 * dropout; else the running ones, none. */
void nn_forward(struct nn *n, const struct nn_step *s, bool train);

/*
 * Loss over the rows of the last forward (classes y, or targets t [rows,
 * outputs]), and how many rows have their largest logit at y.  The losses'
 * formulas are in kernel.h.
 */
struct nn_result {
	double loss_sum;                /* over the rows */
	double weight;                  /* that it is divided by for a mean:
	                                   rows that are not left out, or by
	                                   class weights */
	int64_t correct;
	int64_t counted;                /* rows of which it is: not ignored,
	                                   nor left out */
	/* Of an ancestor's answers: T^2 KL, over the rows that are not left
	 * out. */
	double taught_sum;
	int64_t taught;
};
/* The weight of rows with these classes, before there is a forward. */
double nn_loss_weight(const struct nn *n, const int32_t *y, int64_t rows);
/* Is it anything but the number of rows? */
bool nn_loss_weighs(const struct nn *n);
void nn_loss(struct nn *n, const int32_t *y, const float *t,
    struct nn_result *r);

/* After nn_loss, which must follow a forward with train: gradients of the mean
 * loss of the whole step, added to nn_grads().  nn_zero_grads() is free: it
 * only notes that the gradients count as zero, and nn_backward then writes
 * where it would have added, so between the two the array holds old numbers. */
void nn_backward(struct nn *n);
void nn_zero_grads(struct nn *n);

/*
 * Where the time goes.  The instructions of a step are numbered as they run,
 * forward, then the loss, then backward; what one takes is counted from shapes:
 * flops, two for each multiply-add of the formulas, whatever the kernel saves;
 * and bytes read and written, each operand once, of a sample and of all.
 */
enum nn_part { NN_FORWARD, NN_LOSS, NN_BACKWARD };
struct nn_cost {
	const char *name, *type;        /* "conv1", "conv2d"; the network's */
	const char *way;                /* of several: "winograd"; or NULL; */
	const char *way_dx;             /* backward, of x's gradient alone */
	enum nn_part part;
	double flops, read, written;    /* of a sample */
	double read_once, written_once; /* of a call: parameters and the like */
};
size_t nn_ninstrs(const struct nn *n);
void nn_cost_at(const struct nn *n, size_t i, struct nn_cost *out);
/* The k-th layer that was folded into the one of instruction i, or NULL. */
const char *nn_folded_at(const struct nn *n, size_t i, size_t k);

/* Called before and after each instruction of a step that trains; w is the
 * caller's, and NULL ends it.  Unwatched, it costs the test of a pointer. */
struct nn_watch {
	void (*begin)(void *ctx, size_t instr);
	void (*end)(void *ctx, size_t instr, int64_t rows);
	void *ctx;
};
void nn_watch(struct nn *n, const struct nn_watch *w);

/* The layers, shapes and parameter counts, as lines for people. */
void nn_describe(const struct nn *n, struct strbuf *out);
/* The layers of the model, architectures written out: {input, layers, outputs,
 * init}, which is a model of the same program; a new reference. */
json_t *nn_layers(const struct nn *n);
/* SHA-256 over what is computed: of TRAIN and INFER. */
void nn_digest(const struct nn *n, char hex[RK_SHA256_HEX]);
/* Does what computes a convolution (KERNEL_OF_CONVOLUTIONS) decide its bits? */
bool nn_has_convolutions(const struct nn *n);

#endif
