/*
 * graph - the network inside nn: values and the nodes that make them, in the
 * order in which they are computed.
 *
 * Node i runs at time i forward and at time 2N - i backward, the loss at time
 * N, so that one line of time covers a step.  A buffer is a piece of the arena
 * with the first and the last time at which somebody reads or writes it; two
 * buffers may lie in the same place when their times do not meet (plan.c).
 */
#ifndef NN_GRAPH_H
#define NN_GRAPH_H

#include "rekindle/kernel.h"
#include "rekindle/nn.h"

#define NN_MAX_IN     2
#define NN_MAX_PARAMS 2                 /* of a node; the same for buffers */

/* Elements of one sample's value at any place of a network. */
#define NN_MAX_VALUE ((int64_t)INT32_MAX)

struct nn_op;

struct nn_value {
	int ndim;
	int64_t d[4];                   /* of one sample */
	int64_t count;
	int maker;                      /* node; -1: the input */
	int nreaders, last_reader;      /* nodes */
	bool wants_grad;
	int buf, gbuf;                  /* in nn->bufs; -1: none */
	float *p, *g;
	bool fresh;                     /* g is still to be written */
};

struct nn_node {
	const struct nn_op *op;
	struct spec_layer l;            /* its settings; name is borrowed */
	char *name, *path;              /* "conv1"; its place in the job */
	int in[NN_MAX_IN], nin, out;    /* values */
	enum kernel_act act;            /* its function, or one on top */
	bool fused;                     /* a relu after it was folded in */
	int param[NN_MAX_PARAMS], nparams;      /* in nn->params */
	int buffer[NN_MAX_PARAMS], nbuffers;    /* in nn->buffers */
	struct kernel_window win;
	int64_t saved;                  /* floats kept until backward */
	size_t scratch;                 /* floats, during one call */
	int saved_buf;
	float *saved_p;
	uint32_t stream;                /* of its random draws */
};

/* A tensor, how it begins, and whether its gradient is still to be written. */
struct nn_param {
	struct nn_tensor t;             /* first: see nn_init_one() */
	double bound;                   /* uniform in +-bound; if that is 0, */
	double fill;                    /* this */
	bool fresh;
};

struct nn_buf {
	size_t floats, at;
	int first, last;
	bool fixed;                     /* in-place ops must not write here */
};

struct nn {
	struct nn_value *vals;
	struct nn_node *nodes;
	struct nn_param *params, *buffers;
	struct nn_buf *bufs;
	int nvals, nnodes, nparams, nbuffers, nbufs;
	int64_t nparam, nbuffer;        /* floats */

	int64_t batch;
	struct spec_loss loss;
	size_t arena_floats, scratch_floats;
	float *arena, *param_array, *grad_array, *buffer_array, *scratch;
	double *row_scratch;            /* [2 * batch], for the loss */

	/* The step that is going on. */
	int64_t rows, step;
	bool train, have_loss;
	uint64_t seed;
};

/* graph.c */
void nn_hash_name(const char *name, uint32_t out[2]);
struct nn_value *nn_add_value(struct nn *n, int maker, int ndim,
    const int64_t *d);
struct nn_node *nn_add_node(struct nn *n, const struct nn_op *op,
    const struct spec_layer *l, const char *name, const char *path, int in);
enum rk_err nn_add_param(struct nn *n, struct nn_node *nd, const char *what,
    bool buffer, int ndim, const int64_t *d, double bound, double fill,
    struct rk_why *why) RK_MUSTCHECK;
enum rk_err nn_set_shape(struct nn *n, struct nn_node *nd, int ndim,
    const int64_t *d, struct rk_why *why) RK_MUSTCHECK;
bool nn_product(int ndim, const int64_t *d, int64_t max, int64_t *out);
char *nn_shape_text(char *out, size_t size, int ndim, const int64_t *d);
#define NN_SHAPE 112

/* zoo.c: the layers of a model; *count of them.  Names belong to the array. */
enum rk_err nn_zoo_layers(const struct spec_model *m, int ndim,
    const int64_t *d, struct spec_layer **out, int *count,
    struct rk_why *why) RK_MUSTCHECK;
void nn_zoo_free(struct spec_layer *layers, int count);

/* plan.c: a place for every value, gradient and saved thing.  false: the sizes
 * do not fit in a size_t. */
bool nn_plan(struct nn *n) RK_MUSTCHECK;

/* --- what an op sees -------------------------------------------------------- */

static inline const struct nn_value *
nn_x(const struct nn *n, const struct nn_node *nd)
{
	return &n->vals[nd->in[0]];
}

static inline const struct nn_value *
nn_y(const struct nn *n, const struct nn_node *nd)
{
	return &n->vals[nd->out];
}

static inline float *
nn_w(const struct nn *n, const struct nn_node *nd, int i)
{
	return n->params[nd->param[i]].t.value;
}

static inline float *
nn_buffer(const struct nn *n, const struct nn_node *nd, int i)
{
	return n->buffers[nd->buffer[i]].t.value;
}

/*
 * Where to put a gradient, and whether to add it to what is there: the first
 * contribution to a gradient is written, not added, which saves a pass that
 * zeroes it and half of one that reads it.  To the caller of nn it looks as if
 * it had been zero.  NULL: nobody wants it.
 */
float *nn_dx(struct nn *n, struct nn_node *nd, bool *add);
float *nn_dw(struct nn *n, struct nn_node *nd, int i, bool *add);

#endif
