/* From layers to a graph: inputs by their names, shapes, parameters; the checks
 * of sizes that all share. */
#include <stdlib.h>
#include <string.h>

#include "ops.h"

const struct nn_op *const nn_ops[SPEC_OP_COUNT] = {
#define OP(op, min, max, text) [SPEC_OP_##op] = &nn_op_##op,
#include "rekindle/ops.def"
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

/* --- for shape functions -------------------------------------------------- */

enum rk_err
nn_set_shape(struct nn_graph *g, struct nn_node *nd, int ndim,
    const int64_t *d, struct rk_why *why)
{
	char text[NN_SHAPE], most[RK_HUMAN];
	struct nn_value *v = &g->vals[g->nvals];

	must(ndim >= 1 && ndim <= SPEC_MAX_DIMS);
	*v = (struct nn_value){ .ndim = ndim, .maker = (int)(nd - g->nodes) };
	if (!nn_product(ndim, d, NN_MAX_VALUE, &v->count))
		return rk_refuse_at(why, nd->path, "%s gives %s values a "
		    "sample, at most %s", nd->name,
		    nn_shape_text(text, sizeof(text), ndim, d),
		    rk_group_digits(most, NN_MAX_VALUE));
	memcpy(v->d, d, (size_t)ndim * sizeof(*d));
	nd->out = g->nvals++;
	return RK_OK;
}

static void
keep_param(struct nn_graph *g, struct nn_node *nd, const struct nn_param *p)
{
	const bool buffer = p->t.is_buffer;
	struct nn_param **list = buffer ? &g->buffers : &g->params;
	int *len = buffer ? &g->nbuffers : &g->nparams;

	/* Twice as many at each power of two. */
	if ((*len & (*len - 1)) == 0)
		*list = xrealloc(*list, (size_t)RK_MAX(2 * *len, 1) *
		    sizeof(**list));
	(*list)[*len] = *p;
	if (buffer) {
		must(nd->nbuffers < NN_MAX_PARAMS);
		nd->buffer[nd->nbuffers++] = (*len)++;
	} else {
		must(nd->nparams < NN_MAX_PARAMS);
		nd->param[nd->nparams++] = (*len)++;
	}
}

enum rk_err
nn_add_param(struct nn_graph *g, struct nn_node *nd,
    const struct nn_param_want *w, struct rk_why *why)
{
	char text[NN_SHAPE], most[RK_HUMAN];
	int64_t *total = w->buffer ? &g->nbuffer : &g->nparam;
	struct nn_param p = { .fill = w->fill, .value = w->value,
		.fan_in = w->fan_in, .fan_out = w->fan_out,
		.zero_row = w->fill == NN_FILL_TABLE ? w->zero_row : -1,
		.t = { .ndim = w->ndim, .offset = *total,
		.is_buffer = w->buffer,
		.op = g->layers[nd - g->nodes].type } };

	/* The first word of its `index` is input. */
	p.t.of_ids = p.t.op == SPEC_OP_embedding && nd->u->embedding.index ==
	    0;
	/* ops.def says so: whoever reads jobs counts on it. */
	must(spec_op_learns[g->layers[nd - g->nodes].type]);
	if (!nn_product(w->ndim, w->d, SPEC_MAX_PARAMS, &p.t.count) ||
	    p.t.count > SPEC_MAX_PARAMS - *total)
		return rk_refuse_at(why, nd->path, "%s.%s has %s parameters, "
		    "which makes more than %s in all", nd->name, w->what,
		    nn_shape_text(text, sizeof(text), w->ndim, w->d),
		    rk_group_digits(most, SPEC_MAX_PARAMS));
	memcpy(p.t.d, w->d, sizeof(p.t.d));
	char *name = xasprintf("%s.%s", nd->name, w->what);
	if (nn_names_find(&g->by_tensor, name) >= 0) {
		free(name);
		return rk_refuse_at(why, nd->path,
		    "another layer is called %s already", nd->name);
	}
	p.t.name = name;
	nn_names_add(&g->by_tensor, name, w->buffer ? -2 : g->nparams);
	*total += p.t.count;
	keep_param(g, nd, &p);
	return RK_OK;
}

enum rk_err
nn_borrow_param(struct nn_graph *g, struct nn_node *nd, const char *layer,
    const char *what, const char *field, struct rk_why *why)
{
	char *name = xasprintf("%s.%s", layer, what);
	const int i = nn_names_find(&g->by_tensor, name);

	free(name);
	if (i < 0)
		return rk_refuse_at(why, nd->path, "%s's %s is %s, which has "
		    "no %s", nd->name, field, layer, what);
	must(nd->nparams < NN_MAX_PARAMS);
	nd->param[nd->nparams++] = i;
	return RK_OK;
}

/* --- inputs --------------------------------------------------------------- */

/* The value that an input's name means. */
static enum rk_err
find_input(const struct nn_graph *g, const struct nn_node *nd,
    const char *name, int *value, struct rk_why *why)
{
	const int node = nn_names_find(&g->by_layer, name);

	if (node >= 0)
		*value = g->nodes[node].out;
	else if (strcmp(name, SPEC_INPUT) == 0)
		*value = 0;
	else
		return rk_refuse_at(why, nd->path, "%s reads %s, and no layer "
		    "before has that name", nd->name, name);
	return RK_OK;
}

static enum rk_err
check_dtype(const struct nn_graph *g, const struct nn_node *nd, int k,
    struct rk_why *why)
{
	static const char *const words[] = { "numbers with a fraction (f32)",
		"whole numbers (i32)" };
	const enum nn_dtype want = nd->op->ids >> k & 1 ? NN_I32 : NN_F32;
	const struct nn_value *x = nn_x(g, nd, k);

	if (x->dtype == want)
		return RK_OK;
	return rk_refuse_at(why, nd->path, "%s (%s) wants %s, but %s is of %s",
	    nd->name, spec_op_words[g->layers[nd - g->nodes].type],
	    words[want], nn_maker(g, x), words[x->dtype]);
}

static enum rk_err
add_inputs(struct nn_graph *g, struct nn_node *nd, const struct spec_layer *l,
    struct rk_why *why)
{
	const int before = (int)(nd - g->nodes) - 1;

	nd->nin = RK_MAX(l->ninputs, 1);
	nd->in = xcalloc((size_t)nd->nin, sizeof(*nd->in));
	if (l->ninputs == 0)
		nd->in[0] = before >= 0 ? g->nodes[before].out : 0;
	for (int k = 0; k < l->ninputs; k++) {
		enum rk_err rc = find_input(g, nd, l->inputs[k], &nd->in[k],
		    why);
		if (rc != RK_OK)
			return rc;
	}
	for (int k = 0; k < nd->nin; k++) {
		enum rk_err rc = check_dtype(g, nd, k, why);
		if (rc != RK_OK)
			return rc;
		g->vals[nd->in[k]].nusers++;
	}
	return RK_OK;
}

/* A layer without a name of its own is called by its number, which no sentence
 * begins with: "layer 0 (slice) takes ...". */
static void
hand_over(struct rk_why *own, const struct nn_graph *g,
    const struct nn_node *nd, struct rk_why *why)
{
	const char *type = spec_op_words[g->layers[nd - g->nodes].type];
	const size_t len = strlen(nd->name);
	const bool number = strspn(nd->name, "0123456789") == len;

	for (size_t i = 0; i < own->n; i++) {
		const char *path = own->v[i].path, *s = own->v[i].message;
		if (!number || strncmp(s, nd->name, len) != 0)
			rk_refuse_at(why, path, "%s", s);
		else if (strncmp(s + len, " (", 2) == 0)
			rk_refuse_at(why, path, "layer %s", s);
		else
			rk_refuse_at(why, path, "layer %s (%s)%s", nd->name,
			    type, s + len);
	}
	rk_why_fini(own);
}

static enum rk_err
add_node(struct nn_graph *g, int i, struct rk_why *why)
{
	const struct spec_layer *l = &g->layers[i];
	struct nn_node *nd = &g->nodes[i];
	uint32_t h[2];

	must((int)l->type >= 0 && l->type < SPEC_OP_COUNT);
	nn_hash_name(l->name, h);
	*nd = (struct nn_node){ .op = nn_ops[l->type], .u = &l->u,
		.name = l->name, .stream = h[0], .path = l->path != NULL ?
		xstrdup(l->path) : xstrdup("model") };
	g->nnodes = i + 1;
	struct rk_why own = {0};
	enum rk_err rc = add_inputs(g, nd, l, &own);
	if (rc == RK_OK)
		rc = nd->op->shape(g, nd, &own);
	hand_over(&own, g, nd, why);
	if (rc != RK_OK)
		return rc;
	if (nn_names_find(&g->by_layer, nd->name) >= 0)
		return rk_refuse_at(why, nd->path, "two layers are called %s",
		    nd->name);
	nn_names_add(&g->by_layer, nd->name, i);
	return RK_OK;
}

/* --- the whole ------------------------------------------------------------ */

/* The shape that the first layer sees: the data's, or the model's own, if that
 * has as many values. */
static enum rk_err
add_input(struct nn_graph *g, const struct nn_want *w, struct rk_why *why)
{
	const struct spec_model *m = w->model;
	char text[NN_SHAPE], want[NN_SHAPE], most[RK_HUMAN];
	const int64_t *d = w->d;
	int64_t count = 0, asked;
	int ndim = w->ndim;

	must(ndim >= 0 && ndim <= SPEC_MAX_DIMS);
	if (ndim == 0 && m->ninput == 0)
		return rk_refuse_at(why, "model.input", "is missing: without "
		    "data the shape of a sample must be given here");
	if (ndim > 0 && !nn_product(ndim, d, NN_MAX_VALUE, &count))
		return rk_refuse_at(why, "data.train", "a sample has %s "
		    "values, at most %s", nn_shape_text(text, sizeof(text),
		    ndim, d), rk_group_digits(most, NN_MAX_VALUE));
	if (m->ninput > 0) {
		if (!nn_product(m->ninput, m->input, NN_MAX_VALUE, &asked) ||
		    (ndim > 0 && asked != count))
			return rk_refuse_at(why, "model.input", "is %s, but a "
			    "sample of the data is %s",
			    nn_shape_text(want, sizeof(want), m->ninput,
			    m->input), ndim > 0 ? nn_shape_text(text,
			    sizeof(text), ndim, d) : "2,147,483,647 values at "
			    "most");
		ndim = m->ninput;
		d = m->input;
		count = asked;
	}
	struct nn_value *v = &g->vals[g->nvals++];
	*v = (struct nn_value){ .dtype = w->dtype, .ndim = ndim,
		.count = count, .maker = -1 };
	memcpy(v->d, d, (size_t)ndim * sizeof(*d));
	return RK_OK;
}

static int
by_name(const void *a, const void *b)
{
	const struct nn_named_value *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* Sorted, for their order in a job means nothing. */
static enum rk_err
add_outputs(struct nn_graph *g, const struct spec_model *m, struct rk_why *why)
{
	g->logits = g->nodes[g->nnodes - 1].out;
	for (int i = 0; i < m->noutputs; i++) {
		const char *layer = m->outputs[i].layer;
		const int node = nn_names_find(&g->by_layer, layer);
		if (node < 0)
			return rk_refuse_at(why, "model.outputs", "%s is \"%s\""
			    ", want the name of a layer", m->outputs[i].name,
			    layer);
		const int v = g->nodes[node].out;
		g->outputs[g->noutputs].name = xstrdup(m->outputs[i].name);
		g->outputs[g->noutputs++].value = v;
		g->vals[v].nusers++;
		if (strcmp(m->outputs[i].name, SPEC_LOGITS) == 0)
			g->logits = v;
	}
	qsort(g->outputs, (size_t)g->noutputs, sizeof(*g->outputs), by_name);
	if (m->noutputs == 0)
		g->vals[g->logits].nusers++;
	return RK_OK;
}

/* What nobody reads is a mistake in the graph, not a thing to train. */
static enum rk_err
check_used(const struct nn_graph *g, struct rk_why *why)
{
	for (int i = 0; i < g->nnodes; i++) {
		const struct nn_node *nd = &g->nodes[i];
		if (g->vals[nd->out].nusers == 0)
			return rk_refuse_at(why, nd->path, "nobody reads what "
			    "%s gives: name it in the `inputs` of a later "
			    "layer or in model.outputs", nd->name);
	}
	if (g->nparam == 0)
		return rk_refuse_at(why, "model.layers", "of these %d no layer "
		    "has parameters to train", g->nlayers);
	if (g->vals[g->logits].dtype != NN_F32)
		return rk_refuse_at(why, "model.outputs", SPEC_LOGITS " are "
		    "whole numbers, and the loss wants others");
	return RK_OK;
}

enum rk_err
nn_graph_make(struct nn_graph *g, struct spec_layer *layers, int nlayers,
    const struct nn_want *w, struct rk_why *why)
{
	*g = (struct nn_graph){ .layers = layers, .nlayers = nlayers,
		.init = w->model->init, .fast = w->fast };
	must(w->batch >= 1);
	g->micro = w->micro > 0 ? RK_MIN(w->micro, w->batch) : w->batch;
	g->vals = xcalloc((size_t)nlayers + 1, sizeof(*g->vals));
	g->nodes = xcalloc((size_t)nlayers, sizeof(*g->nodes));
	g->order = xcalloc((size_t)nlayers, sizeof(*g->order));
	g->norder = nlayers;
	for (int i = 0; i < nlayers; i++)
		g->order[i] = i;
	enum rk_err rc = nlayers > 0 ? add_input(g, w, why) :
	    rk_refuse_at(why, "model.layers", "of these 0 no layer has "
	    "parameters to train");
	for (int i = 0; rc == RK_OK && i < nlayers; i++)
		rc = add_node(g, i, why);
	if (rc == RK_OK)
		rc = add_outputs(g, w->model, why);
	if (rc == RK_OK)
		rc = check_used(g, why);
	if (rc != RK_OK)
		nn_graph_fini(g);
	return rc;
}

static void
free_params(struct nn_param *v, int n)
{
	for (int i = 0; i < n; i++)
		free((char *)(uintptr_t)v[i].t.name);
	free(v);
}

void
nn_graph_fini(struct nn_graph *g)
{
	for (int i = 0; i < g->nnodes; i++) {
		free(g->nodes[i].in);
		free(g->nodes[i].path);
		kernel_conv_plan_free(g->nodes[i].conv);
	}
	nn_layers_free(g->layers, g->nlayers);
	for (int i = 0; i < g->noutputs; i++)
		free(g->outputs[i].name);
	free_params(g->params, g->nparams);
	free_params(g->buffers, g->nbuffers);
	free(g->class_weights);
	free(g->by_tensor.v);
	free(g->by_layer.v);
	free(g->vals);
	free(g->nodes);
	free(g->order);
	free(g->cut);
	*g = (struct nn_graph){ 0 };
}
