/* From a specification to a network that can run. */
#include <stdlib.h>
#include <string.h>

#include "ops.h"

/* Of one value of a batch; what kernels need for it is a small multiple. */
#define MAX_FLOATS ((int64_t)1 << 48)

/* Without data, what the first layers want: whole numbers where one reads ids
 * from the input. */
static enum nn_dtype
dtype_of(const struct nn_want *w, const struct spec_layer *layers, int n)
{
	if (w->ndim > 0)
		return w->dtype;
	for (int i = 0; i < n; i++) {
		const struct spec_layer *l = &layers[i];
		const unsigned ids = nn_ops[l->type]->ids;
		if (i == 0 && l->ninputs == 0 && (ids & 1))
			return NN_I32;
		for (int k = 0; k < l->ninputs; k++)
			if ((ids >> k & 1) &&
			    strcmp(l->inputs[k], SPEC_INPUT) == 0)
				return NN_I32;
	}
	return NN_F32;
}

/* An mlp says how many inputs it has: as many as a sample has values. */
static enum rk_err
check_sizes(struct nn_want *w, struct rk_why *why)
{
	const struct spec_model *m = w->model;
	const int64_t first = m->u.mlp.sizes.v[0];
	char text[NN_SHAPE];
	int64_t width;

	if (m->arch != SPEC_ARCH_mlp)
		return RK_OK;
	if (w->ndim == 0 && m->ninput == 0) {
		w->ndim = 1;
		w->d[0] = first;
	}
	if (w->ndim == 0 || (nn_product(w->ndim, w->d, NN_MAX_VALUE, &width) &&
	    width == first))
		return RK_OK;
	return rk_refuse_at(why, "model.sizes", "begins with %lld input%s, but "
	    "a sample has %s values", (long long)first, rk_s(first),
	    nn_shape_text(text, sizeof(text), w->ndim, w->d));
}

static enum rk_err
refuse_batch(const struct nn_want *w, struct rk_why *why)
{
	return rk_refuse_at(why, "training.batch_size", "is %lld, which "
	    "needs more memory than can be counted for this network",
	    (long long)w->batch);
}

/* Are the values of a whole batch numbers with which kernels can plan? */
static bool
can_be_counted(const struct nn_graph *g)
{
	for (int i = 0; i < g->nvals; i++)
		if (g->vals[i].count > MAX_FLOATS / g->micro)
			return false;
	return true;
}

/* Another number of outputs, as an ancestor has. */
static enum rk_err
set_outputs(struct spec_layer *layers, int n, int64_t outputs,
    struct rk_why *why)
{
	int at = n - 1;

	while (at >= 0 && layers[at].type != SPEC_OP_linear &&
	    layers[at].type != SPEC_OP_conv2d)
		at--;
	if (at < 0)
		return rk_refuse_at(why, "model", "has no layer, linear or "
		    "conv2d, that could have %lld outputs", (long long)outputs);
	if (layers[at].type == SPEC_OP_linear)
		layers[at].u.linear.out = outputs;
	else
		layers[at].u.conv2d.out = outputs;
	return RK_OK;
}

static enum rk_err
make_graph(struct nn *n, const struct nn_want *w, struct rk_why *why)
{
	struct nn_want own = *w;
	struct spec_layer *layers;
	int count;

	enum rk_err rc = check_sizes(&own, why);
	if (rc == RK_OK)
		rc = nn_arch_layers(w->model, &layers, &count, why);
	if (rc != RK_OK)
		return rc;
	own.dtype = dtype_of(w, layers, count);
	if (w->outputs > 0)
		rc = set_outputs(layers, count, w->outputs, why);
	if (rc != RK_OK) {
		nn_layers_free(layers, count);
		return rc;
	}
	rc = nn_graph_make(&n->g, layers, count, &own, why);
	if (rc != RK_OK)
		return rc;
	if (!can_be_counted(&n->g)) {
		nn_graph_fini(&n->g);
		return refuse_batch(w, why);
	}
	nn_pass_fold(&n->g);
	nn_pass_wants(&n->g, w);
	nn_pass_layout(&n->g, w);
	nn_pass_still(&n->g, w);
	nn_find_cut(&n->g);
	/* Its layouts, and so its bits, are those of one that is trained. */
	for (int i = 0; w->answers && i < n->g.nparams; i++)
		n->g.params[i].t.trained = false;
	return RK_OK;
}

/* The programs of one length and how much memory they take; nothing is
 * allocated for values.  On failure *np is NULL. */
static enum rk_err
make_one(struct nn **np, const struct nn_want *w, struct rk_why *why)
{
	struct nn *n = xcalloc(1, sizeof(*n));

	*np = NULL;
	must(w->batch >= 1);
	n->use = n;
	n->batch = w->batch;
	n->poison = w->poison;
	n->answers = w->answers;
	enum rk_err rc = make_graph(n, w, why);
	if (rc != RK_OK) {
		free(n);
		return rc;
	}
	n->micro = n->g.micro;
	rc = nn_loss_shape(&n->g, w->loss, why);
	if (rc != RK_OK) {
		nn_free(n);
		return rc;
	}
	for (int i = 0; i < n->g.nnodes; i++)
		n->scratch_floats = RK_MAX(n->scratch_floats,
		    n->g.nodes[i].scratch);
	if ((!w->answers && (!nn_emit(&n->train, &n->g, true, true) ||
	    !nn_plan(&n->train, w->apart))) ||
	    !nn_emit(&n->infer, &n->g, false, true) ||
	    !nn_plan(&n->infer, w->apart) ||
	    !rk_mul((size_t)n->g.vals[0].count, (size_t)n->micro,
	    &n->input_floats)) {
		rc = refuse_batch(w, why);
		nn_free(n);
		return rc;
	}
	n->arena_floats = RK_MAX(n->train.arena_floats,
	    n->infer.arena_floats);
	*np = n;
	return RK_OK;
}

/* --- lengths -------------------------------------------------------------- */

static bool
same_tensor(const struct nn_tensor *a, const struct nn_tensor *b)
{
	return strcmp(a->name, b->name) == 0 && a->ndim == b->ndim &&
	    memcmp(a->d, b->d, (size_t)a->ndim * sizeof(a->d[0])) == 0 &&
	    a->offset == b->offset && a->trained == b->trained;
}

/* They borrow the tensors, so these must be the same. */
static enum rk_err
check_tensors(const struct nn *n, const struct nn *other, int64_t length,
    struct rk_why *why)
{
	char a[NN_SHAPE], b[NN_SHAPE];

	must(nn_ntensors(n) == nn_ntensors(other));
	for (size_t i = 0; i < nn_ntensors(n); i++) {
		const struct nn_tensor *t = nn_tensor_at(n, i);
		const struct nn_tensor *u = nn_tensor_at(other, i);
		if (same_tensor(t, u))
			continue;
		return rk_refuse_at(why, "data.train.buckets", "has %lld, for "
		    "which %s would be %s, and for a length of %lld it is %s: "
		    "want a network whose parameters are the same for all "
		    "lengths", (long long)length, t->name, nn_shape_text(a,
		    sizeof(a), u->ndim, u->d), (long long)n->g.vals[0].d[0],
		    nn_shape_text(b, sizeof(b), t->ndim, t->d));
	}
	return RK_OK;
}

static enum rk_err
make_shorter(struct nn *n, const struct nn_want *w, int64_t length,
    struct rk_why *why)
{
	struct nn_want own = *w;
	struct rk_why its = { 0 };
	struct nn *other;

	must(w->ndim >= 1 && length < w->d[0]);
	own.d[0] = length;
	enum rk_err rc = make_one(&other, &own, &its);
	if (rc != RK_OK)
		rk_refuse_at(why, "data.train.buckets", "has %lld, for which "
		    "there is no network: %s", (long long)length,
		    rk_why_first(&its));
	rk_why_fini(&its);
	if (rc != RK_OK)
		return rc;
	n->shorter[n->nshorter++] = other;
	n->arena_floats = RK_MAX(n->arena_floats, other->arena_floats);
	n->scratch_floats = RK_MAX(n->scratch_floats, other->scratch_floats);
	must(other->micro == n->micro && other->input_floats <=
	    n->input_floats);
	return check_tensors(n, other, length, why);
}

enum rk_err
nn_make(struct nn **np, const struct nn_want *w, struct rk_why *why)
{
	enum rk_err rc = make_one(np, w, why);

	must(w->nlengths < SPEC_MAX_BUCKETS);
	for (int i = 0; rc == RK_OK && i < w->nlengths; i++)
		rc = make_shorter(*np, w, w->lengths[i], why);
	if (rc != RK_OK) {
		nn_free(*np);
		*np = NULL;
	}
	return rc;
}

void
nn_set_length(struct nn *n, int64_t length)
{
	n->use = n;
	for (int i = 0; i < n->nshorter; i++)
		if (n->shorter[i]->g.vals[0].d[0] == length)
			n->use = n->shorter[i];
	must(n->use->g.vals[0].d[0] == length);
}

static uint64_t
bytes_of(size_t floats, bool *ok)
{
	size_t bytes = 0;

	*ok &= rk_mul(floats, sizeof(float), &bytes);
	bytes = kernel_alloc_bytes(bytes);
	*ok &= bytes < SIZE_MAX;
	return bytes;
}

void
nn_sizes(const struct nn *n, struct nn_sizes *s)
{
	const size_t values[] = { n->arena_floats, n->scratch_floats,
		n->input_floats, 4 * (size_t)n->micro };
	bool ok = true;

	*s = (struct nn_sizes){ .parameters = n->g.nparam };
	for (size_t i = 0; i < RK_ARRAY_LEN(values); i++)
		ok &= rk_add(s->arena_bytes, bytes_of(values[i], &ok),
		    &s->arena_bytes);
	s->parameter_bytes = bytes_of((size_t)n->g.nparam, &ok);
	s->gradient_bytes = n->answers ? 0 : s->parameter_bytes;
	s->buffer_bytes = bytes_of((size_t)n->g.nbuffer, &ok);
	ok &= rk_add(s->arena_bytes, s->parameter_bytes +
	    s->gradient_bytes + s->buffer_bytes, &s->total_bytes);
	if (!ok)
		s->total_bytes = UINT64_MAX;
	for (int i = 0; i < n->g.nparams; i++)
		if (n->g.params[i].t.trained)
			s->trained += n->g.params[i].t.count;
	for (int i = 0; i < n->g.nnodes; i++)
		s->multiply_adds += n->g.nodes[i].madds;
}

enum rk_err
nn_outline(struct nn **np, const struct nn_want *w, struct rk_why *why)
{
	return nn_make(np, w, why);
}
