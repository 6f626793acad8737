/* From a specification to a network that can run. */
#include <stdlib.h>
#include <string.h>

#include "ops.h"

static enum rk_err
add_layer(struct nn *n, const struct spec_layer *l, const char *path,
    struct rk_why *why)
{
	const int last = n->nnodes - 1;

	must((int)l->type >= 0 && l->type < SPEC_L_COUNT);
	/* A relu right behind a product is done while the product's tile is in
	 * the cache. */
	if (l->type == SPEC_L_RELU && last >= 0 &&
	    n->nodes[last].op->takes_relu && !n->nodes[last].fused) {
		n->nodes[last].fused = true;
		n->nodes[last].act = KERNEL_RELU;
		return RK_OK;
	}
	struct nn_node *nd = nn_add_node(n, nn_ops[l->type], l, l->name, path,
	    n->nvals - 1);
	enum rk_err rc = nd->op->shape(n, nd, why);
	if (rc != RK_OK)
		return rc;
	struct nn_value *y = &n->vals[nd->out];
	y->wants_grad = nd->nparams > 0;
	for (int k = 0; k < nd->nin; k++)
		y->wants_grad |= n->vals[nd->in[k]].wants_grad;
	return RK_OK;
}

/* The shape that the first layer sees: the data's, or the model's own for
 * layers, if it has as many values. */
static enum rk_err
add_input(struct nn *n, const struct spec_model *m, int ndim, const int64_t *d,
    struct rk_why *why)
{
	char text[NN_SHAPE], want[NN_SHAPE], most[RK_HUMAN];
	int64_t count, asked;

	must(ndim >= 1 && ndim <= SPEC_MAX_DIMS);
	if (!nn_product(ndim, d, NN_MAX_VALUE, &count))
		return rk_refuse_at(why, "data.train", "a sample has %s "
		    "values, at most %s", nn_shape_text(text, sizeof(text),
		    ndim, d), rk_group_digits(most, NN_MAX_VALUE));
	if (m->arch == SPEC_ARCH_LAYERS && m->ninput > 0) {
		if (!nn_product(m->ninput, m->input, NN_MAX_VALUE, &asked) ||
		    asked != count)
			return rk_refuse_at(why, "model.input", "is %s, but a "
			    "sample of the data is %s",
			    nn_shape_text(want, sizeof(want), m->ninput,
			    m->input), nn_shape_text(text, sizeof(text), ndim,
			    d));
		ndim = m->ninput;
		d = m->input;
	}
	nn_add_value(n, -1, ndim, d)->count = count;
	return RK_OK;
}

static enum rk_err
add_layers(struct nn *n, const struct spec_model *m,
    const struct spec_layer *layers, int count, struct rk_why *why)
{
	for (int i = 0; i < count; i++) {
		char path[64];
		if (m->arch == SPEC_ARCH_LAYERS)
			snprintf(path, sizeof(path), "model.layers[%d]", i);
		else
			snprintf(path, sizeof(path), "model");
		enum rk_err rc = add_layer(n, &layers[i], path, why);
		if (rc != RK_OK)
			return rc;
	}
	if (n->nparam == 0)
		return rk_refuse_at(why, "model.layers",
		    "of these %d no layer has parameters to train", count);
	return RK_OK;
}

/* The graph without memory.  On failure *np is NULL. */
static enum rk_err
make_graph(struct nn **np, const struct spec_model *m,
    const struct spec_loss *loss, int ndim, const int64_t *d, int64_t batch,
    struct rk_why *why)
{
	struct nn *n = xcalloc(1, sizeof(*n));
	struct spec_layer *layers = NULL;
	int count = 0;

	*np = NULL;
	n->batch = batch;
	n->loss = *loss;
	must(batch >= 1);
	enum rk_err rc = add_input(n, m, ndim, d, why);
	if (rc == RK_OK)
		rc = nn_zoo_layers(m, ndim, d, &layers, &count, why);
	if (rc == RK_OK)
		rc = add_layers(n, m, layers, count, why);
	nn_zoo_free(layers, count);
	for (int i = 0; i < n->nnodes; i++)
		n->nodes[i].l.name = n->nodes[i].name;
	if (rc == RK_OK && !nn_plan(n))
		rc = rk_refuse_at(why, "training.batch_size", "is %lld, which "
		    "needs more memory than can be counted for this network",
		    (long long)batch);
	if (rc != RK_OK)
		nn_free(n);
	else
		*np = n;
	return rc;
}

/* All that it takes, in bytes; UINT64_MAX if that cannot be said. */
static uint64_t
size_of(const struct nn *n)
{
	size_t floats = n->arena_floats, bytes;

	if (!rk_add(floats, n->scratch_floats, &floats) ||
	    !rk_add(floats, 2 * (size_t)n->nparam, &floats) ||
	    !rk_add(floats, (size_t)n->nbuffer, &floats) ||
	    !rk_add(floats, 4 * (size_t)n->batch, &floats) ||
	    !rk_mul(floats, sizeof(float), &bytes))
		return UINT64_MAX;
	return bytes;
}

enum rk_err
nn_estimate(const struct spec_model *m, const struct spec_loss *loss, int ndim,
    const int64_t *d, int64_t batch, uint64_t *bytes, int64_t *nparams,
    struct rk_why *why)
{
	struct nn *n;
	enum rk_err rc = make_graph(&n, m, loss, ndim, d, batch, why);

	if (rc != RK_OK)
		return rc;
	*bytes = size_of(n);
	*nparams = n->nparam;
	nn_free(n);
	return RK_OK;
}

/* Point everything to its place. */
static void
wire_up(struct nn *n)
{
	for (int i = 0; i < n->nvals; i++) {
		struct nn_value *v = &n->vals[i];
		v->p = n->arena + n->bufs[v->buf].at;
		if (v->gbuf >= 0)
			v->g = n->arena + n->bufs[v->gbuf].at;
	}
	for (int i = 0; i < n->nnodes; i++)
		if (n->nodes[i].saved_buf >= 0)
			n->nodes[i].saved_p = n->arena +
			    n->bufs[n->nodes[i].saved_buf].at;
	for (int i = 0; i < n->nparams; i++) {
		struct nn_tensor *t = &n->params[i].t;
		t->value = n->param_array + t->offset;
		t->grad = n->grad_array + t->offset;
	}
	for (int i = 0; i < n->nbuffers; i++) {
		struct nn_tensor *t = &n->buffers[i].t;
		t->value = n->buffer_array + t->offset;
	}
}

static bool
allocate(struct nn *n)
{
	const size_t f = sizeof(float);

	n->arena = kernel_alloc(n->arena_floats * f);
	n->scratch = kernel_alloc(n->scratch_floats * f);
	n->param_array = kernel_alloc((size_t)n->nparam * f);
	n->grad_array = kernel_alloc((size_t)n->nparam * f);
	n->buffer_array = kernel_alloc((size_t)n->nbuffer * f);
	n->row_scratch = kernel_alloc(2 * (size_t)n->batch * sizeof(double));
	return n->arena != NULL && n->scratch != NULL &&
	    n->param_array != NULL && n->grad_array != NULL &&
	    n->buffer_array != NULL && n->row_scratch != NULL;
}

enum rk_err
nn_build(struct nn **np, const struct spec_model *m,
    const struct spec_loss *loss, int ndim, const int64_t *d, int64_t batch,
    uint64_t memory_limit, struct rk_why *why)
{
	char need[RK_HUMAN], have[RK_HUMAN];
	struct nn *n;
	enum rk_err rc = make_graph(&n, m, loss, ndim, d, batch, why);

	*np = NULL;
	if (rc != RK_OK)
		return rc;
	const uint64_t bytes = size_of(n);
	rk_human_bytes(need, bytes);
	if (bytes > memory_limit) {
		(void)rk_refuse_at(why, "resources.memory", "the network needs "
		    "%s, more than the %s it may have", need,
		    rk_human_bytes(have, memory_limit));
		nn_free(n);
		return RK_ENOMEM;
	}
	if (!allocate(n)) {
		(void)rk_refuse_at(why, "resources.memory",
		    "the network needs %s, and the system has no memory", need);
		nn_free(n);
		return RK_ENOMEM;
	}
	wire_up(n);
	nn_zero_grads(n);
	*np = n;
	return RK_OK;
}

void
nn_free(struct nn *n)
{
	const size_t f = sizeof(float);

	if (n == NULL)
		return;
	kernel_free(n->arena, n->arena_floats * f);
	kernel_free(n->scratch, n->scratch_floats * f);
	kernel_free(n->param_array, (size_t)n->nparam * f);
	kernel_free(n->grad_array, (size_t)n->nparam * f);
	kernel_free(n->buffer_array, (size_t)n->nbuffer * f);
	kernel_free(n->row_scratch, 2 * (size_t)n->batch * sizeof(double));
	for (int i = 0; i < n->nnodes; i++) {
		free(n->nodes[i].name);
		free(n->nodes[i].path);
	}
	for (int i = 0; i < n->nparams; i++)
		free((char *)(uintptr_t)n->params[i].t.name);
	for (int i = 0; i < n->nbuffers; i++)
		free((char *)(uintptr_t)n->buffers[i].t.name);
	free(n->vals);
	free(n->nodes);
	free(n->params);
	free(n->buffers);
	free(n->bufs);
	free(n);
}
