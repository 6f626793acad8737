/*
 * graph - the network inside nn: nodes in the order in which they are computed,
 * and the values between them.
 *
 * A value has the shape of one sample; the batch is the dimension before.  A
 * node has an op, its settings, the values it reads and the one it makes, and
 * the parameters and buffers it owns or borrows.  The passes work on it before
 * a program is made of it.
 *
 * There is a node for each layer, and behind these the ones that passes add;
 * the order in which those that are left are computed is a list of its own.
 */
#ifndef NN_GRAPH_H
#define NN_GRAPH_H

#include "rekindle/kernel_conv.h"
#include "rekindle/nn.h"

#define NN_MAX_PARAMS 4                 /* of a node; the same for buffers */

/* Elements of one sample's value at any place of a network. */
#define NN_MAX_VALUE ((int64_t)INT32_MAX)

struct nn_op;

struct nn_value {
	enum nn_dtype dtype;
	int ndim;
	int64_t d[SPEC_MAX_DIMS];
	int64_t count;                  /* its numbers */
	enum kernel_layout layout;      /* of an image; see nn_floats() */
	int maker;                      /* node; -1: the input */
	int nusers;                     /* nodes, and outputs by name */
	bool wants_grad;
};

struct nn_node {
	const struct nn_op *op;
	const union spec_op_fields *u;  /* of graph->layers */
	const char *name;               /* "conv1" */
	char *path;                     /* its place in the job */
	int *in, nin, out;              /* values */
	bool still;                     /* pass_still.c */
	bool dead;                      /* folded into another: */
	int into;                       /* this node */
	bool fused;                     /* a relu behind it was folded in */
	bool evaluates;                 /* a batch norm, in training, too */
	/* What was folded into a batch norm: its second input is added to what
	 * it normalises, then an activation; into linear, an activation that is
	 * no relu. */
	bool residual;
	struct kernel_activation act;
	int param[NN_MAX_PARAMS], nparams;      /* in graph->params */
	int buffer[NN_MAX_PARAMS], nbuffers;    /* in graph->buffers */
	struct kernel_window win;
	struct kernel_conv_plan *conv;  /* of a convolution */
	int64_t saved;                  /* floats a sample kept for backward */
	int64_t saved_once;             /* ... and floats in all */
	size_t scratch;                 /* floats, during one call */
	double madds;                   /* multiply-adds of a sample */
	uint32_t stream;                /* of its random draws */
};

/* How a tensor begins; see init.c. */
enum nn_fill { NN_FILL_VALUE, NN_FILL_WEIGHT, NN_FILL_BIAS, NN_FILL_TABLE };

struct nn_param {
	struct nn_tensor t;             /* first: see nn_init_one() */
	enum nn_fill fill;
	double value;                   /* of NN_FILL_VALUE */
	int64_t fan_in, fan_out;
	int64_t zero_row;               /* of a table; -1: none */
};

/* A name's number: names.c.  Texts are borrowed. */
struct nn_names {
	struct nn_named {
		const char *name;
		int is;
	} *v;
	size_t n, room;
};
int nn_names_find(const struct nn_names *m, const char *name);  /* or -1 */
void nn_names_add(struct nn_names *m, const char *name, int is);

struct nn_named_value {
	char *name;
	int value;
};

struct nn_graph {
	struct spec_layer *layers;      /* what it is made of; owned */
	int nlayers;
	struct nn_value *vals;
	struct nn_node *nodes;          /* one a layer, then others */
	int *order;                     /* nodes that are computed */
	int norder;
	int nstill;                     /* of them */
	int *cut, ncut;                 /* values: features.c */
	int64_t features;               /* floats of them, a sample */
	struct nn_param *params, *buffers;
	int nvals, nnodes, nparams, nbuffers;
	int64_t nparam, nbuffer;        /* floats */
	struct nn_names by_tensor, by_layer;
	int logits;                     /* value */
	struct nn_named_value outputs[SPEC_MAX_OUTPUTS];
	int noutputs;
	struct kernel_loss loss;
	float *class_weights;           /* of the loss, or NULL */
	enum spec_init init;
	int64_t micro;                  /* rows at a time, at most */
	bool fast;                      /* of nn_want */
	enum nn_running running;        /* of batch norms */
};

/* graph.c: from layers, which it takes over, also on failure. */
enum rk_err nn_graph_make(struct nn_graph *g, struct spec_layer *layers,
    int nlayers, const struct nn_want *w, struct rk_why *why) RK_MUSTCHECK;
void nn_graph_fini(struct nn_graph *g);

/* For shape functions: declare a parameter or buffer `NAME.what`; the shape of
 * what the node makes.  Both refuse what is too large. */
struct nn_param_want {
	const char *what;
	bool buffer;
	int ndim;
	int64_t d[SPEC_MAX_DIMS];
	enum nn_fill fill;
	double value;
	int64_t fan_in, fan_out, zero_row;
};
enum rk_err nn_add_param(struct nn_graph *g, struct nn_node *nd,
    const struct nn_param_want *w, struct rk_why *why) RK_MUSTCHECK;
/* The parameter `what` of another node, by its layer's name. */
enum rk_err nn_borrow_param(struct nn_graph *g, struct nn_node *nd,
    const char *layer, const char *what, const char *field,
    struct rk_why *why) RK_MUSTCHECK;
enum rk_err nn_set_shape(struct nn_graph *g, struct nn_node *nd, int ndim,
    const int64_t *d, struct rk_why *why) RK_MUSTCHECK;

void nn_hash_name(const char *name, uint32_t out[2]);
bool nn_product(int ndim, const int64_t *d, int64_t max, int64_t *out);
#define NN_SHAPE 112
char *nn_shape_text(char *out, size_t size, int ndim, const int64_t *d);

/* archs.c: the layers of a model (*np of them, the caller's), written out. */
enum rk_err nn_arch_layers(const struct spec_model *m,
    struct spec_layer **out, int *np, struct rk_why *why) RK_MUSTCHECK;
void nn_layers_free(struct spec_layer *layers, int n);

/* Passes over the whole graph, in this order. */
void nn_pass_fold(struct nn_graph *g);
void nn_pass_wants(struct nn_graph *g, const struct nn_want *w);
void nn_pass_layout(struct nn_graph *g, const struct nn_want *w);
void nn_pass_still(struct nn_graph *g, const struct nn_want *w);
void nn_find_cut(struct nn_graph *g);

static inline const struct nn_value *
nn_x(const struct nn_graph *g, const struct nn_node *nd, int k)
{
	return &g->vals[nd->in[k]];
}

static inline const struct nn_value *
nn_y(const struct nn_graph *g, const struct nn_node *nd)
{
	return &g->vals[nd->out];
}

static inline bool
nn_is_blocked(const struct nn_graph *g, const struct nn_node *nd)
{
	return nn_y(g, nd)->layout == KERNEL_BLOCKED;
}

/* Floats that a sample of v takes where it is kept: with the padding lanes of a
 * blocked image.  Its gradient has the same layout. */
static inline int64_t
nn_floats(const struct nn_value *v)
{
	return v->layout == KERNEL_PLAIN ? v->count :
	    kernel_image_floats(v->layout, v->d[0], v->d[1] * v->d[2]);
}

#endif
