/*
 * format_out - tensors to files that other programs read, written from front to
 * back.
 *
 *	safetensors         as the reference library writes it
 *	.pdparams, .pdopt   what paddle.load and set_state_dict of Paddle 2 and
 *			    3 take
 *	.pt                 what torch.load takes, also with weights_only=True
 *
 * A writer asks each tensor for its elements when they are due, in C order, and
 * hands bytes on to a sink, so that a file of any size takes a chunk of memory
 * and what its names need.  Nothing here knows a network: names, aliases and
 * the order are the caller's, and so is a transposition
 * (format_read_transposed).  Functions may be called from any thread.
 */
#ifndef REKINDLE_FORMAT_OUT_H
#define REKINDLE_FORMAT_OUT_H

#include "rekindle/json.h"
#include "rekindle/tensor.h"

/*
 * Where bytes go.  What put() returns but RK_OK ends the writing, and is what
 * the writer returns; put() leaves the sentence.  A sink without put() takes
 * nothing: the writer only counts, and reads no elements.  While a large tensor
 * is read a thread of the writer's may call put(), one call at a time and in
 * the order of the bytes.
 */
struct format_sink {
	enum rk_err (*put)(void *ctx, const void *p, size_t n,
	    struct rk_why *why);
	void *ctx;
};
/* To a descriptor; ctx is an int *. */
enum rk_err format_put_fd(void *ctx, const void *p, size_t n,
    struct rk_why *why) RK_MUSTCHECK;

/*
 * A tensor to be written.  read() puts `n` elements in C order, from element
 * `from` on, little-endian, into dst (anywhere in memory); it is called with
 * from growing.  The same tensor under two names is two of these.
 */
struct format_out_tensor {
	const char *name;               /* "fc.weight" */
	const char *alias;              /* Paddle's name for it, "linear_0.w_0";
	                                   NULL: the name */
	enum dtype dtype;
	int ndim;
	int64_t d[TENSOR_MAX_DIMS];
	enum rk_err (*read)(const struct format_out_tensor *t, uint64_t from,
	    size_t n, void *dst, struct rk_why *why);
	const void *ctx;
};
/* read() of elements that lie in memory at ctx in C order ... */
enum rk_err format_read_memory(const struct format_out_tensor *t,
    uint64_t from, size_t n, void *dst, struct rk_why *why) RK_MUSTCHECK;
/* ... and of a matrix whose transpose lies there: t is d[0] x d[1], and ctx has
 * d[1] rows of d[0] elements. */
enum rk_err format_read_transposed(const struct format_out_tensor *t,
    uint64_t from, size_t n, void *dst, struct rk_why *why) RK_MUSTCHECK;

/* A set to the very bytes that format_write() writes. */
enum rk_err format_out_set(const struct format_sink *to,
    const struct tensor_set *s, uint64_t *size, struct rk_why *why)
    RK_MUSTCHECK;

/*
 * The writers.  RK_EINVAL: the format has no such type, or a name is empty,
 * longer than TENSOR_NAME_MAX, not UTF-8 or there twice; nothing was put then.
 * *size (NULL: not wanted) is how many bytes the file has.
 *
 * safetensors: tensors by type, the widest first, and by name, each behind the
 * other; the header's end at a multiple of 8.  meta: key, value, ..., NULL, or
 * NULL.
 */
enum rk_err format_out_safetensors(const struct format_sink *to,
    const struct format_out_tensor *v, size_t n, char *const *meta,
    uint64_t *size, struct rk_why *why) RK_MUSTCHECK;

/*
 * A dict of arrays as paddle.save writes a state dict, in pickle protocol 4,
 * which each Paddle from 2.0 on reads on Python 3 and which holds elements as
 * they are (protocol 2 makes text of them, half as long again).  Its table of
 * names (StructuredToParameterName@@) has each tensor.  BF16 goes as Paddle has
 * it, in numpy's uint16.
 *
 * rate: what an LRScheduler keeps, for an optimiser's file whose Paddle program
 * has one; NULL: none.
 */
struct format_paddle_rate {
	int64_t last_epoch;
	double last_lr;
};
enum rk_err format_out_paddle(const struct format_sink *to,
    const struct format_out_tensor *v, size_t n,
    const struct format_paddle_rate *rate, uint64_t *size,
    struct rk_why *why) RK_MUSTCHECK;

/* A state_dict as torch.save writes it: a zip archive of stored members, each
 * tensor's bytes at a multiple of 64. */
enum rk_err format_out_torch(const struct format_sink *to,
    const struct format_out_tensor *v, size_t n, uint64_t *size,
    struct rk_why *why) RK_MUSTCHECK;

/*
 * What torch.optim's Optimizer.state_dict() gives.  Tensor i is slot[i].key
 * ("exp_avg") of parameter slot[i].param; those of a parameter are side by
 * side, parameters in growing order.  A tensor's own name is for messages
 * alone.  All `params` parameters are of one group, whose other entries are
 * `group`, an object: numbers, true, false, null, texts, and lists, which
 * become tuples.
 */
struct format_torch_slot {
	size_t param;
	const char *key;
};
enum rk_err format_out_torch_optimizer(const struct format_sink *to,
    const struct format_out_tensor *v, const struct format_torch_slot *slot,
    size_t n, size_t params, const json_t *group, uint64_t *size,
    struct rk_why *why) RK_MUSTCHECK;

#endif
