/*
 * static - tensors as Paddle's C++ side writes them: .pdiparams, and one tensor
 * of paddle.save(..., use_binary_format=True).
 *
 * A file is records one behind the other, in the order of their variables'
 * names, which are not in it (paddle/fluid/framework/lod_tensor.cc,
 * tensor_util.cc):
 *
 *	u32 0 | u64 levels, each: u64 n, n bytes | u32 0
 *	i32 n, n bytes of TensorDesc | the elements, in C order
 */
#ifndef REKINDLE_FORMAT_STATIC_H
#define REKINDLE_FORMAT_STATIC_H

#include "rekindle/tensor.h"
#include "weights_make.h"

struct static_record {
	enum dtype dtype;
	int ndim;
	int64_t d[TENSOR_MAX_DIMS];
	const uint8_t *p;               /* the elements */
	uint64_t bytes;
};

/* The record at *at of n bytes, and over it.  `number` counts from 1, for
 * sentences. */
enum rk_err static_record_read(const uint8_t *p, size_t n, size_t *at,
    size_t number, struct static_record *out, struct rk_why *why) RK_MUSTCHECK;

/* What a variable of the file is called. */
struct static_name {
	const char *variable;           /* "linear_0.w_0" */
	const char *structured;         /* "fc.weight", or NULL */
};
/*
 * The names of n records, out of the files beside: NAME.pdmodel or NAME.json
 * (the program) and NAME.pdiparams.info; they live in the arena of w.  NULL in
 * *out: there are none that fit, and a note says why.
 */
enum rk_err static_names(struct weights *w, const struct static_record *r,
    size_t n, const struct static_name **out, struct rk_why *why)
    RK_MUSTCHECK;

#endif
