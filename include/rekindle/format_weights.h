/*
 * format_weights - files of weights that others wrote, behind one face.
 *
 *	safetensors         https://github.com/huggingface/safetensors
 *			    (format.h)
 *	safetensors-index   model.safetensors.index.json and the files it names
 *	pytorch-zip         torch.save since 1.6: a zip with data.pkl and
 *			    storages
 *	pytorch-legacy      torch.save before: five pickles, then storages
 *	paddle              paddle.save: .pdparams, .pdopt, one tensor alone
 *	paddle-static       .pdiparams: tensors one behind the other, no names
 *	npz                 NumPy's savez: an array a name; those of text are
 *			    left out, and a note says so
 *
 * Which one it is the bytes tell, never the name.  Any of them may be gzipped,
 * or be a file in a tar.  weights_open() reads what describes the tensors and
 * none of their data; what it gives is a list of tensors, what else the file
 * says, and notes for people.  Nothing that a file asks for is executed: a
 * pickle is read as data, by a list of the names that weights need, and a file
 * that asks for another is refused with that name.
 *
 * Memory: the file is mapped, and at most WEIGHTS_MEMORY is taken beside the
 * mapping, whatever it says.  Reading a tensor takes a chunk more, or what the
 * tensor's storage comes to where it is packed and the tensor takes its
 * elements out of order.
 *
 * A struct weights and its tensors do not change after they were opened.
 * Tensors that lie mapped may be read by several threads at once, those that
 * are streamed by one thread at a time (one for the whole file).  Who cuts a
 * file short while it is mapped gets its reader a SIGBUS.
 */
#ifndef REKINDLE_FORMAT_WEIGHTS_H
#define REKINDLE_FORMAT_WEIGHTS_H

#include "rekindle/tensor.h"

#define WEIGHTS_MEMORY    ((size_t)48 << 20)    /* bytes beside the mapping:
						   some 90,000 tensors */
#define WEIGHTS_TENSORS   1000000u
#define WEIGHTS_VALUES    65536u        /* numbers and texts; more: a note */
#define WEIGHTS_META_MOST ((size_t)1 << 20)

/* --- words ---------------------------------------------------------------- */

enum weights_format {
	WEIGHTS_SAFETENSORS, WEIGHTS_SAFETENSORS_INDEX, WEIGHTS_PYTORCH_ZIP,
	WEIGHTS_PYTORCH_LEGACY, WEIGHTS_PADDLE, WEIGHTS_PADDLE_STATIC,
	WEIGHTS_NPZ
};
extern const char *const weights_format_words[];        /* ends with NULL */

/*
 * Whose conventions the tensors follow, above all how a linear layer's weight
 * lies: [out,in] of PyTorch, [in,out] of Paddle.  The format decides, or in
 * safetensors "__metadata__": {"format": "pt" | "pd"}; `unknown` of a
 * safetensors file without it, as ours are (they lie as PyTorch's), and of npz.
 */
enum weights_framework {
	WEIGHTS_FROM_UNKNOWN, WEIGHTS_FROM_PYTORCH, WEIGHTS_FROM_PADDLE
};
extern const char *const weights_framework_words[];

/*
 * What a tensor is to the file:
 *	model      a parameter or a buffer of the model (files do not tell
 *		   which)
 *	average    the same of the moving average that lies beside the model
 *	optimizer  the optimiser's state
 *	other      of another object, which was not taken for the model
 */
enum weights_role {
	WEIGHTS_MODEL, WEIGHTS_AVERAGE, WEIGHTS_OPTIMIZER, WEIGHTS_OTHER
};
extern const char *const weights_role_words[];

/*
 * How the elements lie:
 *	mapped     one after the other in C order: `data` is where
 *	strided    mapped too, but in another order: a view, or most significant
 *	           byte first
 *	streamed   packed (a deflated member of a zip, bytes that protocol 2
 *	           writes as text) or in several pieces: reading from front to
 *	           back is fast, going back begins anew
 */
enum weights_lie { WEIGHTS_MAPPED, WEIGHTS_STRIDED, WEIGHTS_STREAMED };
extern const char *const weights_lie_words[];

/* --- what is in a file ---------------------------------------------------- */

struct weights_view;                    /* format's: where the elements are */

struct weights_tensor {
	/*
	 * UTF-8 of 1 to TENSOR_NAME_MAX bytes without control characters, and
	 * once among the tensors of its role.  Of the model and its average
	 * what the framework calls it, without a prefix that all have of
	 * being wrapped ("module.", "_orig_mod."; a note says so).  Of the
	 * optimiser its path inside that state.  Of others its path.
	 */
	const char *name;
	const char *path;               /* in the file:
					   "ema.module.fc.weight" */
	const char *alias;              /* Paddle's name of the parameter,
	                                   "linear_0.w_0"; or NULL */
	enum weights_role role;
	/* Of the optimiser: which parameter it belongs to, as the file says it
	 * ("0" of PyTorch, counted in the order of model.parameters();
	 * "linear_0.w_0" of Paddle), and which part of the state it is
	 * ("exp_avg", "moment1").  NULL: of others, and where it is of none. */
	const char *of, *slot;

	enum dtype dtype;               /* never one of 4, 6 or 8 bits of
					   floats */
	int ndim;                       /* 0: one element */
	int64_t d[TENSOR_MAX_DIMS];
	uint64_t count, bytes;          /* elements; they fit in a size_t */

	int64_t same_as;                /* an earlier tensor with the very same
	                                   elements in the file (tied weights,
	                                   two names of one); -1: none */
	enum weights_lie lie;
	const void *data;               /* of mapped ones, at any address; else,
	                                   and where another process has it
	                                   mapped, NULL.  Copy out, don't
					   cast. */
	const struct weights_view *view;
};

enum weights_kind {
	WEIGHTS_BOOL, WEIGHTS_INT, WEIGHTS_FLOAT, WEIGHTS_TEXT, WEIGHTS_NONE
};

/* A number or a text: "epoch" 90, "optimizer.param_groups.0.betas.1" 0.999. */
struct weights_value {
	const char *path;               /* keys and places, dots between */
	enum weights_kind kind;
	int64_t i;                      /* of bool and int; larger: a float */
	double f;                       /* of all numbers */
	const char *text;               /* of a text, cleaned (rk_text_clean);
	                                   long ones are cut off; else NULL */
};

/* An object of the file that holds tensors: one of them is the model. */
struct weights_part {
	const char *path;               /* "state_dict"; "": the whole file */
	enum weights_role role;         /* what it was taken for */
	size_t tensors;
	uint64_t count;                 /* elements */
};

struct weights {
	enum weights_format format;
	enum weights_framework framework;
	const char *writer;             /* who wrote it and which version, where
	                                   the file says so, "paddle 2.6.1"; or
	                                   NULL */
	uint64_t size;                  /* of the file, as it lies on the
					   disk */
	bool packed;                    /* it is gzipped */

	struct weights_tensor *v;       /* in the file's order */
	size_t n;
	struct weights_value *values;   /* in the file's order */
	size_t nvalues;
	struct weights_part *parts;     /* in the file's order */
	size_t nparts;
	const char *model;              /* the path of the part that is the
	                                   model; NULL: there is none */
	const char *optimizer;          /* of the optimiser's; NULL */
	char **notes;                   /* sentences for people */
	size_t nnotes;
	/* Of a safetensors file its metadata as they are, key, value, ... NULL,
	 * without pairs of more than WEIGHTS_META_MOST bytes; else NULL. */
	char **meta;

	struct weights_inside *inside;  /* format's */
};

/* --- opening -------------------------------------------------------------- */

/*
 * Which part of a file is the model, where it holds more than one object
 * (PyTorch's and Paddle's checkpoints):
 *
 *	1. `part` says so
 *	2. a part whose last key is one of state_dict, model_state_dict,
 *	   model_state, model, network, net, module, weights, params,
 *	   parameters; the first of these words that there is, the part nearest
 *	   to the root.  "model" that holds a "state_dict" is that
 *	3. the only part that is neither an average nor an optimiser's
 *	4. all of them together: their names begin with their paths, and a note
 *	   says which there are
 *
 * A part is a dict with tensors in it.  One with `state` and `param_groups`
 * is an optimiser's, and so is one called optimizer...; one called ema... or
 * ..._ema is an average, and the model where there is no other.
 */
struct weights_how {
	const char *member;             /* the file in a tar; NULL: it is
					   none */
	const char *sha256;             /* the bytes of the file, or of the
	                                   member, must have it; NULL: any */
	const char *part;               /* the model's path, "" for all; NULL */
	uint64_t unpacked;              /* most bytes out of a .gz; 0: 64 MiB,
	                                   or 32 times its own where that is
	                                   more */
	int scratch;                    /* an empty file to unpack a .gz into;
	                                   -1: one without a name in $TMPDIR */
	int fd;                         /* read this, and path is only its name;
	                                   -1: open path.  Stays the
					   caller's. */
	int folder;                     /* open the files that an index names
	                                   here; -1: in the folder of path */
	/* Who opens instead of us, where we may not: the file of that plain
	 * name beside path, or, of NULL, an empty one to unpack into.  A
	 * descriptor, which becomes ours, or an errno below zero.  NULL: we
	 * do. */
	int (*open)(void *ctx, const char *name);
	void *ctx;
};
#define WEIGHTS_HOW { .scratch = -1, .fd = -1, .folder = -1 }

/*
 * On RK_OK *out is the caller's (weights_free).  RK_EINVAL: not a file we can
 * read, or a bad one: one sentence in why, without the path, says what is wrong
 * and what to do.  RK_ENOENT, RK_EROFS, RK_EIO, RK_ENOMEM, RK_ENOSPC (of
 * unpacking), RK_ELIMIT: the world, with a sentence.  how: NULL for none of it.
 */
enum rk_err weights_open(const char *path, const struct weights_how *how,
    struct weights **out, struct rk_why *why) RK_MUSTCHECK;
/* The same out of memory that the caller keeps until weights_free(); there are
 * no files beside it. */
enum rk_err weights_open_mem(const void *p, size_t n,
    const struct weights_how *how, struct weights **out, struct rk_why *why)
    RK_MUSTCHECK;
void weights_free(struct weights *w);   /* NULL is fine */

/* By name; NULL: there is none. */
const struct weights_tensor *weights_find(const struct weights *w,
    enum weights_role role, const char *name);
const struct weights_value *weights_value(const struct weights *w,
    const char *path);
/* The number at a path: a value, or a tensor of one element (PyTorch's and
 * Paddle's steps are either).  False: there is none. */
bool weights_number(const struct weights *w, const char *path, double *out);

/* --- reading -------------------------------------------------------------- */

/*
 * n elements in C order from element `from` on, which must be the tensor's, in
 * this machine's byte order: n * dtype_bits(t->dtype) / 8 bytes to dst.  Errors
 * (RK_EINVAL: what is packed is damaged; RK_EIO, RK_ENOMEM) begin with the
 * tensor's name.
 */
enum rk_err weights_read(const struct weights_tensor *t, uint64_t from,
    size_t n, void *dst, struct rk_why *why) RK_MUSTCHECK;
/* The same as 32-bit floats, as tensor_to_f32() has them, and bool as 0 and 1;
 * RK_EINVAL of complex numbers. */
enum rk_err weights_read_f32(const struct weights_tensor *t, uint64_t from,
    size_t n, float *dst, struct rk_why *why) RK_MUSTCHECK;

/* --- out of another process ------------------------------------------------ */

/*
 * What a struct weights says, in the words of one process to another of the
 * same program (inspect.h), as one item behind the other: first the head, then
 * tensors, values, parts, notes and metadata.
 *
 * weights_tell() writes items from number *next on, as many as fit in `room`
 * bytes, and moves *next on; *n: the bytes; 0: there are no more.  RK_ELIMIT:
 * an item is longer than that.
 */
enum rk_err weights_tell(const struct weights *w, uint64_t *next, void *buf,
    size_t room, size_t *n, struct rk_why *why) RK_MUSTCHECK;

/*
 * And back, by a process that does not trust the other one: what is said is
 * checked as a file would be (names, shapes, sums that go over), and its
 * elements are asked for.  Such weights are read by one thread at a time.
 * `tensor` is the tensor's number, `size` the bytes of an element; of
 * read_f32() elements are floats.
 */
struct weights_teller {
	enum rk_err (*read)(void *ctx, uint64_t tensor, uint64_t from,
	    size_t n, size_t size, void *dst, struct rk_why *why);
	enum rk_err (*read_f32)(void *ctx, uint64_t tensor, uint64_t from,
	    size_t n, float *dst, struct rk_why *why);
	void (*free)(void *ctx);        /* by weights_free() */
};
struct weights_told;
struct weights_told *weights_told_new(const struct weights_teller *ops,
    void *ctx);
/* Whole items.  RK_EINVAL: what nobody of ours says. */
enum rk_err weights_told_add(struct weights_told *t, const void *p, size_t n,
    struct rk_why *why) RK_MUSTCHECK;
/* The end of it: all that the head promised must be there.  Frees t; ctx is the
 * weights' from then on (RK_OK), or still the caller's. */
enum rk_err weights_told_end(struct weights_told *t, struct weights **out,
    struct rk_why *why) RK_MUSTCHECK;
void weights_told_free(struct weights_told *t); /* NULL is fine */
/* The weights that are told, by which the teller knows them. */
void *weights_teller_ctx(const struct weights *w);      /* NULL: of no teller */

#endif
