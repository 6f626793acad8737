/* The network as lines for people, as layers, and as a digest. */
#include <stdlib.h>
#include <string.h>

#include "ops.h"

/* A tensor belongs to the layer whose name it begins with; others borrow it. */
static int64_t
params_of(const struct nn_graph *g, const struct nn_node *nd)
{
	const size_t len = strlen(nd->name);
	int64_t sum = 0;

	for (int i = 0; i < nd->nparams; i++) {
		const struct nn_tensor *t = &g->params[nd->param[i]].t;
		if (strncmp(t->name, nd->name, len) == 0 &&
		    t->name[len] == '.' && strchr(t->name + len + 1, '.') ==
		    NULL)
			sum += t->count;
	}
	return sum;
}

size_t
nn_nlayers(const struct nn *n)
{
	return (size_t)n->g.nlayers;
}

static void
layer_of(const struct nn_graph *g, const struct nn_node *nd,
    struct nn_layer *out)
{
	const struct nn_value *y = nn_y(g, nd);

	*out = (struct nn_layer){ .name = nd->name, .path = nd->path,
		.type = spec_op_words[g->layers[nd - g->nodes].type],
		.ndim = y->ndim, .parameters = params_of(g, nd),
		.multiply_adds = nd->madds };
	memcpy(out->d, y->d, sizeof(out->d));
}

void
nn_logits_at(const struct nn *n, struct nn_layer *out)
{
	layer_of(&n->g, &n->g.nodes[n->g.vals[n->g.logits].maker], out);
}

bool
nn_layer_at(const struct nn *n, size_t i, struct nn_layer *out)
{
	const struct nn_graph *g = &n->g;

	must(i < nn_nlayers(n));
	const struct nn_node *nd = &g->nodes[i];
	/* A relu is told with its product, what is in a batch norm by
	 * itself. */
	if (nd->dead && g->nodes[nd->into].fused)
		return false;
	layer_of(g, nd, out);
	return true;
}

/* "conv2d 5x5, relu" */
static void
kind(const struct nn_graph *g, const struct nn_node *nd, char *out, size_t size)
{
	char window[48] = "";

	if (nd->win.k[0] > 0)
		snprintf(window, sizeof(window), " %lldx%lld",
		    (long long)nd->win.k[0], (long long)nd->win.k[1]);
	snprintf(out, size, "%s%s%s",
	    spec_op_words[g->layers[nd - g->nodes].type], window,
	    nd->fused ? ", relu" : "");
}

/* As wide as the longest name, but not so wide that a line breaks. */
static int
name_width(const struct nn_graph *g)
{
	size_t w = 16;

	for (int i = 0; i < g->nlayers; i++)
		w = RK_MAX(w, strlen(g->nodes[i].name));
	return (int)RK_MIN(w, 56);
}

void
nn_describe(const struct nn *n, struct strbuf *out)
{
	char shape[NN_SHAPE], what[80], count[RK_HUMAN], madds[RK_HUMAN];
	const struct nn_graph *g = &n->g;
	const struct nn_value *in = &g->vals[0];
	const int w = name_width(g);
	struct nn_sizes s;
	struct nn_layer l;

	nn_sizes(n, &s);
	sb_addf(out, "%-*s %-24s %-16s %14s %16s\n", w, "input", "",
	    nn_shape_text(shape, sizeof(shape), in->ndim, in->d),
	    "parameters", "multiply-adds");
	for (int i = 0; i < g->nlayers; i++) {
		if (!nn_layer_at(n, (size_t)i, &l))
			continue;
		kind(g, &g->nodes[i], what, sizeof(what));
		sb_addf(out, "%-*s %-24s %-16s %14s %16s\n", w, l.name, what,
		    nn_shape_text(shape, sizeof(shape), l.ndim, l.d),
		    l.parameters > 0 ? rk_group_digits(count, l.parameters) :
		    "", l.multiply_adds > 0 ? rk_group_digits(madds,
		    (int64_t)l.multiply_adds) : "");
	}
	sb_addf(out, "%-*s %-24s %-16s %14s %16s\n", w, "parameters", "", "",
	    rk_group_digits(count, g->nparam), rk_group_digits(madds,
	    (int64_t)s.multiply_adds));
}

/* --- digest --------------------------------------------------------------- */

static void
add_value(struct strbuf *b, const struct nn_value *v)
{
	char shape[NN_SHAPE];

	sb_addf(b, " %s:%s%s", v->dtype == NN_I32 ? "i32" : "f32",
	    nn_shape_text(shape, sizeof(shape), v->ndim, v->d),
	    v->layout == KERNEL_BLOCKED ? " blocked" : "");
}

/* What an instruction computes: its op and settings by the layer's normal form,
 * its operands by their numbers, what it adds to and what it trains. */
static void
add_instr(struct strbuf *b, const struct nn_instr *i)
{
	const struct nn_graph *g = i->g;
	const struct nn_node *nd = i->nd;

	if (nd == NULL) {
		sb_addf(b, "loss x=%d dx=%d\n", i->xs[0], i->dxs[0]);
		return;
	}
	sb_addf(b, "%s %s%s%s", i->back ? "back" : "do", nd->name,
	    nd->fused ? " relu" : "", nd->evaluates ? " evaluates" : "");
	if (nd->act.act != KERNEL_NO_ACT)
		sb_addf(b, " act=%d/%a/%a", (int)nd->act.act,
		    (double)nd->act.slope, (double)nd->act.offset);
	for (int k = 0; k < i->nin; k++) {
		sb_addf(b, " x%d=%d", k, i->xs[k]);
		add_value(b, nn_x(g, nd, k));
		if (i->dxs[k] >= 0)
			sb_addf(b, " dx%d%s=%d", k, i->add[k] ? "+" : "",
			    i->dxs[k]);
	}
	sb_addf(b, " y=%d", i->ys);
	add_value(b, nn_y(g, nd));
	for (int k = 0; i->back && k < nd->nparams; k++) {
		const struct nn_tensor *t = &g->params[nd->param[k]].t;
		if (t->trained)
			sb_addf(b, " %s%s", t->name, i->first_dw >> k & 1 ?
			    "" : "+");
	}
	sb_addf(b, "\n");
}

void
nn_describe_instrs(struct strbuf *b, const struct nn_program *p, int n)
{
	sb_addf(b, "program\n");
	for (int i = 0; i < n; i++)
		add_instr(b, &p->instrs[i]);
}

/* In the order of the graph: that what is still runs first changes no bit. */
static void
add_programs(struct strbuf *b, const struct nn *n)
{
	for (int infer = 0; infer < 2; infer++) {
		struct nn_program p;
		const struct nn_program *own = infer ? &n->infer : &n->train;
		if (n->g.nstill > 0) {
			must(nn_emit(&p, &n->g, !infer, false));
			nn_describe_instrs(b, &p, p.ninstrs);
			nn_program_fini(&p);
		} else {
			nn_describe_instrs(b, own, own->ninstrs);
		}
	}
}

void
nn_digest(const struct nn *n, char hex[RK_SHA256_HEX])
{
	struct strbuf b = { 0 };
	json_t *layers = spec_layers_json(n->g.layers, n->g.nlayers, true);
	char *text = rkj_text(layers);

	sb_addf(&b, "%s\nmicro %lld\n", text, (long long)n->micro);
	for (int i = 0; i < n->g.noutputs; i++)
		sb_addf(&b, "output %s=%d\n", n->g.outputs[i].name,
		    n->g.outputs[i].value);
	add_programs(&b, n);
	for (int i = 0; i < n->nshorter; i++)
		add_programs(&b, n->shorter[i]);
	rk_sha256_of(sb_str(&b), b.len, hex);
	sb_fini(&b);
	free(text);
	json_decref(layers);
}

bool
nn_has_convolutions(const struct nn *n)
{
	for (int i = 0; i < n->g.norder; i++)
		if (n->g.nodes[n->g.order[i]].op == &nn_op_conv2d)
			return true;
	return false;
}

/* The layer that makes a value: the last that gives it, where one was folded
 * into another. */
static const char *
output_layer(const struct nn_graph *g, int value)
{
	const char *name = SPEC_INPUT;

	for (int i = 0; i < g->nlayers; i++)
		if (g->nodes[i].out == value)
			name = g->nodes[i].name;
	return name;
}

static void
put(json_t *o, const char *key, json_t *v)
{
	must(v != NULL && json_object_set_new(o, key, v) == 0);
}

json_t *
nn_layers(const struct nn *n)
{
	const struct nn_value *in = &n->g.vals[0];
	json_t *o = json_object(), *input = json_array();

	for (int i = 0; i < in->ndim; i++)
		must(json_array_append_new(input, json_integer(in->d[i])) ==
		    0);
	put(o, "input", input);
	put(o, "layers", spec_layers_json(n->g.layers, n->g.nlayers,
	    false));
	if (n->g.noutputs > 0) {
		json_t *outputs = json_object();
		for (int i = 0; i < n->g.noutputs; i++)
			put(outputs, n->g.outputs[i].name, json_string(
			    output_layer(&n->g, n->g.outputs[i].value)));
		put(o, "outputs", outputs);
	}
	put(o, "init", json_string(spec_init_words[n->g.init]));
	return o;
}
