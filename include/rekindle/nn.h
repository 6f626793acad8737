/*
 * nn - a network: a graph of ops over tensors, built once, run many times.
 *
 * nn_build() turns a model's specification into nodes in topological order,
 * checks every shape, plans the memory and allocates one arena; after that
 * nothing is allocated.  Parameters lie in one array, their gradients in
 * another of the same layout, buffers (batch norm's running statistics) in a
 * third, so the optimiser, the checkpoint and the digest see flat memory.
 * Activations live in a planned arena: a value's place is reused after its last
 * reader, in forward and backward.
 *
 * An op is a row of the table in src/nn/ops.h: shape, plan, forward, backward.
 * Shape refuses with both numbers in the sentence; forward allocates nothing;
 * backward adds, never assigns.
 */
#ifndef REKINDLE_NN_H
#define REKINDLE_NN_H

#include "rekindle/spec.h"

struct nn;

/* A named part of the parameter array or of the buffer array. */
struct nn_tensor {
	const char *name;               /* "fc1.weight" */
	int ndim;
	int64_t d[4];
	int64_t count;
	int64_t offset;                 /* in floats from the array's start */
	float *value;
	float *grad;                    /* NULL for a buffer */
	bool is_buffer;
};

/*
 * Build for batches of up to `batch` samples of shape d[ndim] (without the
 * batch).  mlp names its layers fc1, fc2, ...; lenet5 (LeCun et al. 1998 as
 * usual today: conv1 6@5x5 padding 2, pool 2, conv2 16@5x5, pool 2, fc1 120,
 * fc2 84, fc3 classes, ReLU) conv1, conv2, fc1..fc3.  mlp and a leading linear
 * layer flatten their input.  RK_EINVAL: which layer, which numbers.
 * RK_ENOMEM: it would need more than memory_limit bytes (why has both), or the
 * system has none.
 */
enum rk_err nn_build(struct nn **np, const struct spec_model *m,
    const struct spec_loss *loss, int ndim, const int64_t *d, int64_t batch,
    uint64_t memory_limit, struct rk_why *why) RK_MUSTCHECK;
void nn_free(struct nn *n);                     /* NULL is fine */

/* Bytes that nn_build would take (arena, parameters, gradients), before
 * anything is allocated; the same refusals as nn_build.  A convolution needs
 * some for each thread of the team there is when this is called. */
enum rk_err nn_estimate(const struct spec_model *m,
    const struct spec_loss *loss, int ndim, const int64_t *d, int64_t batch,
    uint64_t *bytes, int64_t *nparams, struct rk_why *why) RK_MUSTCHECK;

/* Initial values, a pure function of (seed, tensor's name, element): PyTorch's
 * for linear and conv, U(+-1/sqrt(fan_in)) for weight and bias; batch norm 1
 * and 0; running mean 0, variance 1.  One tensor: nn_init_one. */
void nn_init(struct nn *n, uint64_t seed);
void nn_init_one(struct nn *n, uint64_t seed, const struct nn_tensor *t);

/* Parameters first, in layer order, then buffers; constant for a network. */
size_t nn_ntensors(const struct nn *n);
const struct nn_tensor *nn_tensor_at(const struct nn *n, size_t i);
float *nn_params(struct nn *n, int64_t *count);
float *nn_grads(struct nn *n);
float *nn_buffers(struct nn *n, int64_t *count);

int64_t nn_outputs(const struct nn *n);         /* width of the last layer */
float *nn_input(struct nn *n);                  /* [batch, ...] to fill */
const float *nn_output(const struct nn *n);     /* after forward: logits */

/*
 * Forward over the first `rows` samples.  train: batch statistics and dropout,
 * whose masks are drawn from (seed, step, op); else running statistics, none.
 */
void nn_forward(struct nn *n, int64_t rows, bool train, uint64_t seed,
    int64_t step);

/* Loss over the rows of the last forward: mean of cross entropy (classes y) or
 * mean squared error (targets t, [rows, outputs], mean over all elements), and
 * how many rows have their largest logit at y. */
struct nn_result {
	double loss_sum;                /* loss * rows */
	int64_t correct;
};
void nn_loss(struct nn *n, int64_t rows, const int32_t *y, const float *t,
    struct nn_result *r);

/* After nn_loss, which must follow a forward with train: gradients of the mean
 * loss, added to nn_grads().  nn_zero_grads() is free: it only notes that the
 * gradients count as zero, and nn_backward then writes where it would have
 * added, so between the two the array holds old numbers. */
void nn_backward(struct nn *n, int64_t rows);
void nn_zero_grads(struct nn *n);

/* The layers, shapes and parameter counts, as lines for people. */
void nn_describe(const struct nn *n, struct strbuf *out);

#endif
