/*
 * nn_graphs - random graphs over all ops of ops.def, as models that nn_build()
 * takes.
 *
 * A graph is grown one layer after another: an op, inputs among the values that
 * there are, settings that mostly fit; the op's own shape function says whether
 * they do, and a layer that it refuses is dropped.  All of it is a function of
 * the seed.
 */
#ifndef NN_GRAPHS_H
#define NN_GRAPHS_H

#include "ops.h"
#include "t.h"

#define GRAPH_LAYERS 80
#define GRAPH_VALUE  400                /* numbers of a sample's value */
#define GRAPH_BATCH  6
#define GRAPH_IDS    7                  /* tokens are 0 to 6 */

struct graph {
	uint64_t seed, draws;
	/* What has been grown, kept as nn's own, so that nn_graph_fini() frees
	 * it; its layers are the model's. */
	struct nn_graph g;
	int reads[GRAPH_LAYERS + 1];    /* of each value */
	struct spec_model m;
	struct spec_loss loss;
	double weights[GRAPH_VALUE * 4];
	bool soft;                      /* labels are targets */
	int frozen;                     /* one tensor in so many; 0: none */
	bool evaluates;                 /* ... layer; batch norms of these do */
	int64_t batch, micro, ragged;   /* rows of the second step */
	bool tied, masked, self, norms;
};

static inline uint32_t
pick(struct graph *r, uint32_t n)
{
	return rk_draw_u32(r->seed, 77, 7, r->draws++) % n;
}

static inline bool
chance(struct graph *r, uint32_t percent)
{
	return pick(r, 100) < percent;
}

/* --- growing -------------------------------------------------------------- */

static inline const struct nn_value *
value(const struct graph *r, int v)
{
	return &r->g.vals[v];
}

static inline const char *
value_name(const struct graph *r, int v)
{
	return v == 0 ? SPEC_INPUT : r->g.nodes[value(r, v)->maker].name;
}

/* The layer behind the last, at its defaults, to be settled by grow(). */
static inline union spec_op_fields *
begin_layer(struct graph *r, enum spec_op type)
{
	struct spec_layer *l = &r->g.layers[r->g.nlayers];

	*l = (struct spec_layer){ .type = type,
		.name = xasprintf("n%llu", (unsigned long long)r->draws++) };
	l->path = xasprintf("model.layers[%d]", r->g.nlayers);
	spec_op_defaults(type, &l->u);
	return &l->u;
}

/* With these inputs: its value, or -1 where the op refuses them. */
static inline int
grow(struct graph *r, int nin, const int *in)
{
	struct nn_graph *g = &r->g;
	struct spec_layer *l = &g->layers[g->nlayers];
	struct nn_node *nd = &g->nodes[g->nnodes];
	struct rk_why why = { 0 };

	*nd = (struct nn_node){ .op = nn_ops[l->type], .u = &l->u,
		.name = l->name, .path = xstrdup(l->path), .nin = nin };
	nd->in = xcalloc((size_t)nin, sizeof(*nd->in));
	memcpy(nd->in, in, (size_t)nin * sizeof(*in));
	bool ok = g->nlayers < GRAPH_LAYERS;
	for (int k = 0; k < nin; k++)
		ok &= value(r, in[k])->dtype == (nd->op->ids >> k & 1 ?
		    NN_I32 : NN_F32);
	ok = ok && nd->op->shape(g, nd, &why) == RK_OK;
	if (ok && nn_y(g, nd)->count > GRAPH_VALUE) {
		g->nvals--;
		ok = false;
	}
	rk_why_fini(&why);
	if (!ok) {
		spec_layer_free(l);
		free(nd->in);
		free(nd->path);
		return -1;
	}
	/* An input need not be named where it is the layer before. */
	const bool said = nin > 1 || in[0] != g->nvals - 2 || chance(r, 70);
	l->inputs = xcalloc((size_t)nin, sizeof(*l->inputs));
	l->ninputs = said ? nin : 0;
	for (int k = 0; k < nin; k++) {
		if (said)
			l->inputs[k] = xstrdup(value_name(r, in[k]));
		r->reads[in[k]]++;
	}
	g->nlayers++;
	return g->nodes[g->nnodes++].out;
}

/* Has a layer parameters?  Those of refused ones are still among g's. */
static inline bool
learns(const struct graph *r)
{
	bool any = false;

	for (int i = 0; i < r->g.nnodes; i++)
		any |= r->g.nodes[i].nparams > 0;
	return any;
}

/* --- choosing ------------------------------------------------------------- */

/* A value of floats with so many dimensions (0: any); recent ones more often,
 * and some time and again.  -1: there is none. */
static inline int
some(struct graph *r, int ndim)
{
	const int n = r->g.nvals;

	for (int tries = 0; tries < 12; tries++) {
		int v = (int)pick(r, (uint32_t)n);
		if (chance(r, 50))
			v = n - 1 - (int)pick(r, (uint32_t)RK_MIN(n, 3));
		if (value(r, v)->dtype == NN_F32 &&
		    (ndim == 0 || value(r, v)->ndim == ndim))
			return v;
	}
	return -1;
}

/* One that an addition to x takes: of its shape, or with 1 for dimensions. */
static inline int
partner(struct graph *r, int x, bool same)
{
	const struct nn_value a = *value(r, x);

	if (chance(r, 25))
		return x;
	for (int tries = 0; tries < 12; tries++) {
		const int v = (int)pick(r, (uint32_t)r->g.nvals);
		const struct nn_value *b = value(r, v);
		bool fits = b->dtype == NN_F32 && b->ndim == a.ndim;
		for (int i = 0; fits && i < a.ndim; i++)
			fits = b->d[i] == a.d[i] || (!same && b->d[i] == 1);
		if (fits && v != x)
			return v;
	}
	if (same || chance(r, 50))
		return x;
	/* Cut one out of x. */
	union spec_op_fields *u = begin_layer(r, SPEC_OP_slice);
	u->slice.dim = pick(r, (uint32_t)a.ndim);
	u->slice.end = 1;
	const int v = grow(r, 1, &x);
	return v >= 0 ? v : x;
}

static inline void
window(struct graph *r, int *kernel, int *stride, int *padding, bool pool)
{
	for (int i = 0; i < 2; i++) {
		kernel[i] = 1 + (int)pick(r, 3);
		stride[i] = 1 + (int)pick(r, 3);
		padding[i] = (int)pick(r, pool ? (uint32_t)kernel[i] / 2 + 1 :
		    3);
	}
}

static inline int
grow_conv(struct graph *r, int x)
{
	struct spec_op_conv2d *c = &begin_layer(r, SPEC_OP_conv2d)->conv2d;
	const int64_t C = value(r, x)->d[0];

	window(r, c->kernel, c->stride, c->padding, false);
	c->dilation[0] = 1 + (int)pick(r, 2);
	c->dilation[1] = 1 + (int)pick(r, 2);
	c->bias = chance(r, 60);
	c->groups = chance(r, 40) ? C : 1 + pick(r, 3);
	c->out = c->groups * (1 + pick(r, 2));
	/* More than a block of channels, and whole ones of them. */
	if (chance(r, 50)) {
		c->groups = 1;
		c->out = chance(r, 50) ? 1 + pick(r, 20) : 8 + 8 * pick(r, 2);
		c->kernel[0] = c->kernel[1] = 1 + (int)pick(r, 2);
	}
	return grow(r, 1, &x);
}

static inline int
grow_pool(struct graph *r, enum spec_op type, int x)
{
	union spec_op_fields *u = begin_layer(r, type);

	if (type == SPEC_OP_max_pool2d) {
		struct spec_op_max_pool2d *m = &u->max_pool2d;
		window(r, m->kernel, m->stride, m->padding, true);
		m->ceil_mode = chance(r, 50);
	} else {
		struct spec_op_avg_pool2d *a = &u->avg_pool2d;
		window(r, a->kernel, a->stride, a->padding, true);
		a->ceil_mode = chance(r, 50);
		a->count_include_pad = chance(r, 50);
	}
	return grow(r, 1, &x);
}

/* Tied where a layer has a weight for as many inputs. */
static inline int
grow_linear(struct graph *r, int x)
{
	struct spec_op_linear *l = &begin_layer(r, SPEC_OP_linear)->linear;
	const struct nn_value *v = value(r, x);

	l->out = 1 + pick(r, 6);
	l->bias = chance(r, 70);
	for (int i = 0; i < r->g.nnodes && chance(r, 60); i++) {
		const struct nn_node *nd = &r->g.nodes[i];
		if ((nd->op != &nn_op_linear && nd->op != &nn_op_embedding) ||
		    r->g.params[nd->param[0]].t.d[1] != v->d[v->ndim - 1])
			continue;
		l->out = r->g.params[nd->param[0]].t.d[0];
		free(l->tied);
		l->tied = xstrdup(nd->name);
		/* The layer that owns the weight has the name. */
		if (nd->op == &nn_op_linear && nd->u->linear.tied != NULL) {
			free(l->tied);
			l->tied = xstrdup(nd->u->linear.tied);
		}
	}
	const bool tied = l->tied != NULL;
	const int y = grow(r, 1, &x);
	r->tied |= tied && y >= 0;
	return y;
}

static inline int
grow_reshape(struct graph *r, int x)
{
	struct spec_op_reshape *s = &begin_layer(r, SPEC_OP_reshape)->reshape;
	const struct nn_value *v = value(r, x);
	int64_t left = v->count;

	s->shape.n = 1 + (int)pick(r, 4);
	for (int i = 0; i + 1 < s->shape.n; i++) {
		int64_t d = 1 + pick(r, 6);
		while (left % d != 0)
			d--;
		s->shape.v[i] = d;
		left /= d;
	}
	s->shape.v[s->shape.n - 1] = left;
	if (chance(r, 50))
		s->shape.v[pick(r, (uint32_t)s->shape.n)] = -1;
	return grow(r, 1, &x);
}

static inline int
grow_transpose(struct graph *r, int x)
{
	struct spec_op_transpose *t =
	    &begin_layer(r, SPEC_OP_transpose)->transpose;
	const int n = value(r, x)->ndim;

	t->order.n = n;
	for (int i = 0; i < n; i++) {
		const int k = (int)pick(r, (uint32_t)i + 1);
		t->order.v[i] = t->order.v[k];
		t->order.v[k] = i;
	}
	return grow(r, 1, &x);
}

static inline int
grow_slice(struct graph *r, int x)
{
	struct spec_op_slice *s = &begin_layer(r, SPEC_OP_slice)->slice;
	const struct nn_value *v = value(r, x);

	s->dim = pick(r, (uint32_t)v->ndim);
	const int64_t size = v->d[s->dim];
	s->start = pick(r, (uint32_t)size);
	if (size > 8 && chance(r, 50))
		s->start -= s->start % 8;
	s->end = s->start + 1 + pick(r, (uint32_t)(size - s->start));
	if (s->end == size)
		s->end = 0;
	else if (chance(r, 50))
		s->end -= size;
	if (s->start > 0 && chance(r, 50))
		s->start -= size;
	return grow(r, 1, &x);
}

static inline int
grow_concat(struct graph *r, int x)
{
	const int64_t dim = pick(r, (uint32_t)value(r, x)->ndim);
	const int n = 2 + (int)pick(r, 2);
	int in[3] = { x };

	for (int k = 1; k < n; k++)
		in[k] = partner(r, x, true);
	begin_layer(r, SPEC_OP_concat)->concat.dim = dim;
	return grow(r, n, in);
}

static inline int
grow_arith(struct graph *r, enum spec_op type, int x)
{
	const int n = type == SPEC_OP_add ? 2 + (int)pick(r, 3) : 2;
	int in[4] = { x };
	bool self = false;

	for (int k = 1; k < n; k++) {
		in[k] = partner(r, x, false);
		self |= in[k] == x;
	}
	begin_layer(r, type);
	const int y = grow(r, n, in);
	r->self |= self && y >= 0;
	return y;
}

/* A mask for sequences of T: there already, of the tokens, or cut out of x. */
static inline int
grow_mask(struct graph *r, int x)
{
	const int64_t T = value(r, x)->d[0];
	const int input = 0;

	for (int tries = 0; tries < 8; tries++) {
		const int k = (int)pick(r, (uint32_t)r->g.nvals);
		if (value(r, k)->dtype == NN_F32 && value(r, k)->ndim == 1 &&
		    value(r, k)->d[0] == T)
			return k;
	}
	if (value(r, 0)->dtype == NN_I32 && value(r, 0)->d[0] == T) {
		begin_layer(r, SPEC_OP_token_mask);
		return grow(r, 1, &input);
	}
	struct spec_op_slice *s = &begin_layer(r, SPEC_OP_slice)->slice;
	s->dim = 1;
	s->end = 1;
	const int column = grow(r, 1, &x);
	if (column < 0)
		return -1;
	begin_layer(r, SPEC_OP_flatten);
	return grow(r, 1, &column);
}

static inline int
grow_attention(struct graph *r, int x)
{
	const int in[4] = { x, partner(r, x, true), partner(r, x, true),
		chance(r, 50) ? grow_mask(r, x) : -1 };
	struct spec_op_attention *a =
	    &begin_layer(r, SPEC_OP_attention)->attention;
	a->heads = 1 + pick(r, 3);
	a->p = chance(r, 40) ? 0.3 : 0;
	const int y = grow(r, in[3] >= 0 ? 4 : 3, in);
	r->masked |= in[3] >= 0 && y >= 0;
	return y;
}

static inline int
grow_ids(struct graph *r, enum spec_op type)
{
	union spec_op_fields *u = begin_layer(r, type);
	const int x = 0;

	if (type == SPEC_OP_token_mask) {
		u->token_mask.padding_index = pick(r, 2);
		return grow(r, 1, &x);
	}
	u->embedding.rows = GRAPH_IDS;
	u->embedding.width = 1 + pick(r, 6);
	u->embedding.index = (int)pick(r, 3);
	u->embedding.padding_index = (int)pick(r, 4) - 1;
	return grow(r, 1, &x);
}

/* Ops with an input and settings that are drawn here. */
static inline int
grow_simple(struct graph *r, enum spec_op type, int x)
{
	union spec_op_fields *u = begin_layer(r, type);
	const struct nn_value *v = value(r, x);
	const uint32_t n = (uint32_t)v->ndim;

	switch (type) {
	case SPEC_OP_batch_norm:
		u->batch_norm.convention = (int)pick(r, 2);
		break;
	case SPEC_OP_dropout:
		u->dropout.p = 0.3 * pick(r, 3);
		u->dropout.scaling = (int)pick(r, 2);
		break;
	case SPEC_OP_flatten:
		u->flatten.start = pick(r, n);
		break;
	case SPEC_OP_gelu:
		u->gelu.approximate = (int)pick(r, 2);
		break;
	case SPEC_OP_leaky_relu:
		u->leaky_relu.slope = 0.2 * pick(r, 3);
		break;
	case SPEC_OP_hard_sigmoid:
		u->hard_sigmoid.slope = chance(r, 50) ? 0.2 : 1.0 / 6;
		break;
	case SPEC_OP_layer_norm:
		u->layer_norm.dims = 1 + pick(r, n);
		break;
	case SPEC_OP_adaptive_avg_pool2d:
		for (int i = 0; i < 2; i++)
			u->adaptive_avg_pool2d.size[i] = 1 + (int)pick(r, 4);
		break;
	case SPEC_OP_pad:
		u->pad.dim = pick(r, n);
		u->pad.before = pick(r, 3);
		u->pad.after = pick(r, 3);
		u->pad.value = pick(r, 2);
		break;
	case SPEC_OP_shortcut_a:
		u->shortcut_a.out = v->d[0] + (v->d[0] % 8 == 0 ? 16 :
		    pick(r, 4));
		u->shortcut_a.stride = 1 + pick(r, 3);
		break;
	default:
		break;
	}
	return grow(r, 1, &x);
}

static inline bool
is_of_images(enum spec_op t)
{
	return t == SPEC_OP_conv2d || t == SPEC_OP_max_pool2d ||
	    t == SPEC_OP_avg_pool2d || t == SPEC_OP_adaptive_avg_pool2d ||
	    t == SPEC_OP_global_avg_pool2d || t == SPEC_OP_global_max_pool2d ||
	    t == SPEC_OP_shortcut_a;
}

static inline int
grow_any(struct graph *r, enum spec_op t)
{
	if (t == SPEC_OP_embedding || t == SPEC_OP_token_mask)
		return value(r, 0)->dtype == NN_I32 ? grow_ids(r, t) : -1;
	const int x = some(r, is_of_images(t) ? 3 : t == SPEC_OP_attention ? 2 :
	    0);
	if (x < 0)
		return -1;
	switch (t) {
	case SPEC_OP_linear: return grow_linear(r, x);
	case SPEC_OP_conv2d: return grow_conv(r, x);
	case SPEC_OP_max_pool2d:
	case SPEC_OP_avg_pool2d: return grow_pool(r, t, x);
	case SPEC_OP_reshape: return grow_reshape(r, x);
	case SPEC_OP_transpose: return grow_transpose(r, x);
	case SPEC_OP_slice: return grow_slice(r, x);
	case SPEC_OP_concat: return grow_concat(r, x);
	case SPEC_OP_add:
	case SPEC_OP_multiply: return grow_arith(r, t, x);
	case SPEC_OP_attention: return grow_attention(r, x);
	default: return grow_simple(r, t, x);
	}
}

/* x normalised, added to a partner and through a function: what a batch norm may
 * do by itself. */
static inline void
grow_norm(struct graph *r)
{
	static const enum spec_op functions[] = { SPEC_OP_relu, SPEC_OP_relu,
		SPEC_OP_relu6, SPEC_OP_hard_swish, SPEC_OP_sigmoid,
		SPEC_OP_elu };
	const int x = some(r, 3);
	int y = x < 0 ? -1 : grow_simple(r, SPEC_OP_batch_norm, x);

	if (y >= 0 && chance(r, 50)) {
		const int other = partner(r, y, true);
		begin_layer(r, SPEC_OP_add);
		y = grow(r, 2, chance(r, 50) ? (const int[]){ y, other } :
		    (const int[]){ other, y });
	}
	if (y >= 0 && chance(r, 70))
		y = grow_simple(r, functions[pick(r,
		    RK_ARRAY_LEN(functions))], y);
	/* Its gradient is then another's, too. */
	if (y >= 0 && chance(r, 40)) {
		const int other = partner(r, y, true);
		begin_layer(r, SPEC_OP_add);
		(void)grow(r, 2, (const int[]){ y, other });
	}
}

/*
 * Two branches of x that meet again: a layer of x's shape with a relu to fold
 * in, and a function.  The gradient of the sum is that of both.
 */
static inline void
grow_block(struct graph *r)
{
	static const enum spec_op functions[] = { SPEC_OP_tanh, SPEC_OP_silu,
		SPEC_OP_identity, SPEC_OP_layer_norm, SPEC_OP_softmax };
	const int x = some(r, 0);

	if (x < 0)
		return;
	const struct nn_value v = *value(r, x);
	if (v.ndim == 3) {
		struct spec_op_conv2d *c =
		    &begin_layer(r, SPEC_OP_conv2d)->conv2d;
		c->out = v.d[0];
		c->kernel[0] = c->kernel[1] = 3;
		c->padding[0] = c->padding[1] = 1;
		c->bias = chance(r, 50);
	} else {
		struct spec_op_linear *l =
		    &begin_layer(r, SPEC_OP_linear)->linear;
		l->out = v.d[v.ndim - 1];
		l->bias = chance(r, 50);
	}
	int in[2] = { grow(r, 1, &x), -1 };
	if (in[0] >= 0)
		in[0] = grow_simple(r, SPEC_OP_relu, in[0]);
	in[1] = grow_simple(r, functions[pick(r, RK_ARRAY_LEN(functions))],
	    x);
	if (in[0] < 0 || in[1] < 0)
		return;
	const bool turned = chance(r, 50);
	begin_layer(r, SPEC_OP_add);
	(void)grow(r, 2, turned ? (const int[]){ in[1], in[0] } : in);
}

/* --- the ends ------------------------------------------------------------- */

static inline void
name_output(struct graph *r, int v)
{
	const int i = r->m.noutputs;

	if (i + 1 >= SPEC_MAX_OUTPUTS || value(r, v)->maker < 0)
		return;
	r->m.outputs[r->m.noutputs++] = (struct spec_output){
		.name = xasprintf("out%d", i),
		.layer = xstrdup(value_name(r, v)) };
	r->reads[v]++;
}

/* All that nobody reads, as rows, one behind the other, to a linear layer; -1: there
 * is no room for so many layers. */
static inline int
gather_ends(struct graph *r)
{
	int ends[GRAPH_LAYERS], n = 0;
	const int all_values = r->g.nvals;

	for (int v = 1; v < all_values; v++) {
		if (r->reads[v] > 0)
			continue;
		if (value(r, v)->ndim == 1) {
			ends[n++] = v;
			continue;
		}
		begin_layer(r, SPEC_OP_flatten);
		ends[n] = grow(r, 1, &v);
		if (ends[n] < 0) {
			t_check(r->g.nlayers == GRAPH_LAYERS);
			return -1;
		}
		n++;
	}
	if (n == 0)
		ends[n++] = some(r, 0);
	int all = ends[0];
	if (n > 1) {
		begin_layer(r, SPEC_OP_concat);
		all = grow(r, n, ends);
		/* Too many numbers: then those behind the first are shown. */
		for (int k = 1; all < 0 && k < n; k++)
			name_output(r, ends[k]);
		all = all < 0 ? ends[0] : all;
	}
	struct spec_op_linear *l = &begin_layer(r, SPEC_OP_linear)->linear;
	l->out = 2 + pick(r, 4);
	return grow(r, 1, &all);
}

/* Everything ends in the logits or in an output by a name. */
static inline bool
end_graph(struct graph *r)
{
	int unread = 0, logits;

	for (int v = 1; v < r->g.nvals; v++)
		if (r->reads[v] == 0 && chance(r, 25))
			name_output(r, v);
	for (int v = 1; v < r->g.nvals; v++)
		unread += r->reads[v] == 0;
	if (chance(r, 15))
		name_output(r, r->g.nvals - 1 - (int)pick(r,
		    (uint32_t)r->g.nvals - 1));
	if (unread < 12 && learns(r) && chance(r, 20)) {
		/* The logits may be read by others, too. */
		logits = some(r, 0);
		for (int v = 1; v < r->g.nvals; v++)
			if (r->reads[v] == 0 && v != logits)
				name_output(r, v);
	} else {
		logits = gather_ends(r);
	}
	if (logits <= 0 || value(r, logits)->dtype != NN_F32)
		return false;
	for (int v = 1; v < r->g.nvals; v++)
		if (r->reads[v] == 0 && v != logits)
			return false;
	if (r->m.noutputs > 0 || logits != r->g.nvals - 1)
		r->m.outputs[r->m.noutputs++] = (struct spec_output){
			.name = xstrdup(SPEC_LOGITS),
			.layer = xstrdup(value_name(r, logits)) };
	r->g.logits = logits;
	return true;
}

static inline void
begin_graph(struct graph *r, uint64_t seed)
{
	static const int64_t inputs[][4] = {
		{ 3, 2, 6, 5 }, { 3, 4, 4, 4 }, { 3, 1, 7, 7 }, { 2, 5, 6 },
		{ 2, 3, 4 }, { 1, 12 }, { 1, 8 }, { 4, 2, 3, 2 },
	};
	const bool ids = seed % 4 == 3;

	*r = (struct graph){ .seed = seed };
	const int64_t *in = inputs[pick(r, RK_ARRAY_LEN(inputs))];
	r->g.layers = xcalloc(GRAPH_LAYERS + 1, sizeof(*r->g.layers));
	r->g.nodes = xcalloc(GRAPH_LAYERS + 1, sizeof(*r->g.nodes));
	r->g.vals = xcalloc(GRAPH_LAYERS + 3, sizeof(*r->g.vals));
	r->g.micro = GRAPH_BATCH;
	struct nn_value *v = &r->g.vals[r->g.nvals++];
	*v = (struct nn_value){ .dtype = ids ? NN_I32 : NN_F32,
		.ndim = ids ? 1 : (int)in[0], .maker = -1, .count = 1 };
	for (int i = 0; i < v->ndim; i++) {
		v->d[i] = ids ? 3 + pick(r, 4) : in[0] == 4 ?
		    2 + pick(r, 2) : in[i + 1];
		v->count *= v->d[i];
	}
	if (ids)
		(void)grow_ids(r, SPEC_OP_embedding);
}

static inline void
choose_loss(struct graph *r)
{
	const int64_t n = value(r, r->g.logits)->count;

	r->loss = (struct spec_loss){ .type = (enum spec_loss_type)
		pick(r, SPEC_SMOOTH_L1 + 1), .beta = 0.5 };
	if (r->loss.type != SPEC_CROSS_ENTROPY)
		return;
	r->soft = chance(r, 20);
	r->loss.label_smoothing = chance(r, 30) ? 0.1 : 0;
	r->loss.ignoring = !r->soft && chance(r, 30);
	if (!chance(r, 30))
		return;
	for (int64_t i = 0; i < n; i++)
		r->weights[i] = 0.5 + 0.25 * pick(r, 4);
	r->loss.class_weights = r->weights;
	r->loss.nweights = (int)n;
}

/* Rows of a step and how many at a time: a batch norm wants two and more. */
static inline void
choose_rows(struct graph *r)
{
	const uint32_t least = r->norms ? 2 : 1;

	r->batch = least + pick(r, GRAPH_BATCH + 1 - least);
	r->ragged = least + pick(r, (uint32_t)(r->batch + 1 - least));
	r->micro = chance(r, 50) ? 0 : least + pick(r,
	    (uint32_t)(r->batch + 1 - least));
	if (r->norms && r->micro > 0 && (r->batch % r->micro == 1 ||
	    r->ragged % r->micro == 1))
		r->micro = 0;
	r->frozen = chance(r, 35) ? 2 + (int)pick(r, 3) : 0;
	r->evaluates = r->frozen > 0 && r->seed % 2 == 0;
}

static inline void
graph_free(struct graph *r)
{
	for (int i = 0; i < r->m.noutputs; i++) {
		free(r->m.outputs[i].name);
		free(r->m.outputs[i].layer);
	}
	nn_graph_fini(&r->g);
}

/* False: this seed gives no graph; there is nothing to free then. */
static inline bool
graph_make(struct graph *r, uint64_t seed)
{
	begin_graph(r, seed);
	const int n = 3 + (int)pick(r, 18);
	for (int i = 0; i < n; i++) {
		if (chance(r, 12))
			grow_block(r);
		if (chance(r, 12))
			grow_norm(r);
		static const enum spec_op often[] = { SPEC_OP_linear,
			SPEC_OP_conv2d, SPEC_OP_add, SPEC_OP_attention };
		const int y = grow_any(r, chance(r, 25) ? often[pick(r, 4)] :
		    (enum spec_op)pick(r, SPEC_OP_COUNT));
		/* To be folded in, if nobody else comes to read y. */
		if (y > 0 && r->g.nodes[value(r, y)->maker].op->takes_relu &&
		    chance(r, 40))
			(void)grow_simple(r, SPEC_OP_relu, y);
	}
	const struct nn_value in = *value(r, 0);
	r->m.ninput = in.ndim;
	memcpy(r->m.input, in.d, sizeof(in.d));
	if (r->g.nnodes == 0 || !end_graph(r) || !learns(r)) {
		graph_free(r);
		return false;
	}
	r->m.layers = r->g.layers;
	r->m.nlayers = r->g.nlayers;
	for (int i = 0; i < r->g.nnodes; i++)
		r->norms |= r->g.nodes[i].op == &nn_op_batch_norm;
	choose_loss(r);
	choose_rows(r);
	return true;
}

static inline bool
graph_trains(void *ctx, const char *tensor)
{
	const struct graph *r = ctx;
	const size_t n = r->evaluates ? (size_t)(strrchr(tensor, '.') -
	    tensor) : strlen(tensor);

	return r->frozen == 0 || rk_hash64(r->seed, tensor, n) %
	    (uint64_t)r->frozen != 0;
}

static inline struct nn_want
graph_want(struct graph *r)
{
	const struct nn_value *in = value(r, 0);
	struct nn_want w = { .model = &r->m, .loss = &r->loss,
		.dtype = in->dtype, .ndim = in->ndim, .batch = r->batch,
		.micro = r->micro, .memory_limit = (uint64_t)1 << 30,
		.fast = r->seed % 2 == 0,
		.trains = graph_trains, .ctx = r,
		.evaluate_frozen = r->evaluates };

	memcpy(w.d, in->d, sizeof(w.d));
	return w;
}

#endif
