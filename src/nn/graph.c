/* Making values, nodes and parameters; the checks of sizes that all share. */
#include <stdlib.h>
#include <string.h>

#include "ops.h"

const struct nn_op *const nn_ops[SPEC_L_COUNT] = {
	[SPEC_L_LINEAR] = &nn_op_linear,
	[SPEC_L_CONV2D] = &nn_op_conv2d,
	[SPEC_L_MAX_POOL2D] = &nn_op_max_pool2d,
	[SPEC_L_AVG_POOL2D] = &nn_op_avg_pool2d,
	[SPEC_L_BATCH_NORM] = &nn_op_batch_norm,
	[SPEC_L_DROPOUT] = &nn_op_dropout,
	[SPEC_L_FLATTEN] = &nn_op_flatten,
	[SPEC_L_RELU] = &nn_op_relu,
	[SPEC_L_GELU] = &nn_op_gelu,
	[SPEC_L_SIGMOID] = &nn_op_sigmoid,
	[SPEC_L_TANH] = &nn_op_tanh,
};

/* FNV-1a with 64 bits: a stream of random numbers for every name. */
void
nn_hash_name(const char *name, uint32_t out[2])
{
	uint64_t h = 0xcbf29ce484222325u;

	for (; *name != '\0'; name++)
		h = (h ^ (unsigned char)*name) * 0x100000001b3u;
	out[0] = (uint32_t)h;
	out[1] = (uint32_t)(h >> 32);
}

/* The product of ndim sizes, each 1 or more; false if it is over max. */
bool
nn_product(int ndim, const int64_t *d, int64_t max, int64_t *out)
{
	int64_t all = 1;

	for (int i = 0; i < ndim; i++) {
		if (d[i] < 1 || d[i] > max / all)
			return false;
		all *= d[i];
	}
	*out = all;
	return true;
}

/* "1x28x28" */
char *
nn_shape_text(char *out, size_t size, int ndim, const int64_t *d)
{
	size_t at = 0;

	out[0] = '\0';
	for (int i = 0; i < ndim && at < size; i++)
		at += (size_t)snprintf(out + at, size - at, "%s%lld",
		    i > 0 ? "x" : "", (long long)d[i]);
	return out;
}

struct nn_value *
nn_add_value(struct nn *n, int maker, int ndim, const int64_t *d)
{
	n->vals = xrealloc(n->vals, (size_t)(n->nvals + 1) * sizeof(*n->vals));
	struct nn_value *v = &n->vals[n->nvals++];

	*v = (struct nn_value){ .maker = maker, .ndim = ndim, .buf = -1,
		.gbuf = -1, .last_reader = -1 };
	memcpy(v->d, d, (size_t)ndim * sizeof(*d));
	return v;
}

struct nn_node *
nn_add_node(struct nn *n, const struct nn_op *op, const struct spec_layer *l,
    const char *name, const char *path, int in)
{
	const int i = n->nnodes++;

	n->nodes = xrealloc(n->nodes,
	    (size_t)n->nnodes * sizeof(*n->nodes));
	struct nn_node *nd = &n->nodes[i];
	*nd = (struct nn_node){ .op = op, .l = *l, .name = xstrdup(name),
		.path = xstrdup(path), .in = { in }, .nin = 1, .out = n->nvals,
		.saved_buf = -1 };
	uint32_t h[2];
	nn_hash_name(name, h);
	nd->stream = h[0];
	n->vals[in].nreaders++;
	n->vals[in].last_reader = i;
	return nd;
}

enum rk_err
nn_set_shape(struct nn *n, struct nn_node *nd, int ndim, const int64_t *d,
    struct rk_why *why)
{
	char text[NN_SHAPE], most[RK_HUMAN];
	int64_t count;

	if (!nn_product(ndim, d, NN_MAX_VALUE, &count))
		return rk_refuse_at(why, nd->path, "%s gives %s values a "
		    "sample, at most %s", nd->name,
		    nn_shape_text(text, sizeof(text), ndim, d),
		    rk_group_digits(most, NN_MAX_VALUE));
	struct nn_value *v = nn_add_value(n, (int)(nd - n->nodes), ndim, d);
	v->count = count;
	return RK_OK;
}

static bool
name_taken(const struct nn *n, const char *name)
{
	for (int i = 0; i < n->nparams; i++)
		if (strcmp(n->params[i].t.name, name) == 0)
			return true;
	for (int i = 0; i < n->nbuffers; i++)
		if (strcmp(n->buffers[i].t.name, name) == 0)
			return true;
	return false;
}

enum rk_err
nn_add_param(struct nn *n, struct nn_node *nd, const char *what, bool buffer,
    int ndim, const int64_t *d, double bound, double fill, struct rk_why *why)
{
	char text[NN_SHAPE], most[RK_HUMAN];
	int64_t *total = buffer ? &n->nbuffer : &n->nparam, count;

	if (!nn_product(ndim, d, SPEC_MAX_PARAMS, &count) ||
	    count > SPEC_MAX_PARAMS - *total)
		return rk_refuse_at(why, nd->path, "%s.%s has %s parameters, "
		    "which makes more than %s in all", nd->name, what,
		    nn_shape_text(text, sizeof(text), ndim, d),
		    rk_group_digits(most, SPEC_MAX_PARAMS));

	char *name = xasprintf("%s.%s", nd->name, what);
	if (name_taken(n, name)) {
		free(name);
		return rk_refuse_at(why, nd->path,
		    "another layer is called %s already", nd->name);
	}
	struct nn_param **list = buffer ? &n->buffers : &n->params;
	int *len = buffer ? &n->nbuffers : &n->nparams;
	*list = xrealloc(*list, (size_t)(*len + 1) * sizeof(**list));
	struct nn_param *p = &(*list)[*len];
	*p = (struct nn_param){ .bound = bound, .fill = fill,
		.t = { .name = name, .ndim = ndim, .count = count,
		.offset = *total, .is_buffer = buffer } };
	memcpy(p->t.d, d, (size_t)ndim * sizeof(*d));
	*total += count;
	if (buffer) {
		must(nd->nbuffers < NN_MAX_PARAMS);
		nd->buffer[nd->nbuffers++] = (*len)++;
	} else {
		must(nd->nparams < NN_MAX_PARAMS);
		nd->param[nd->nparams++] = (*len)++;
	}
	return RK_OK;
}

float *
nn_dx(struct nn *n, struct nn_node *nd, bool *add)
{
	struct nn_value *x = &n->vals[nd->in[0]];

	if (!x->wants_grad)
		return NULL;
	*add = !x->fresh;
	x->fresh = false;
	return x->g;
}

float *
nn_dw(struct nn *n, struct nn_node *nd, int i, bool *add)
{
	struct nn_param *p = &n->params[nd->param[i]];

	*add = !p->fresh;
	p->fresh = false;
	return p->t.grad;
}
