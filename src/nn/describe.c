/* The network as lines for people, as layers, and as a digest. */
#include <stdlib.h>

#include "ops.h"

static int64_t
params_of(const struct nn_graph *g, const struct nn_node *nd)
{
	int64_t sum = 0;

	for (int i = 0; i < nd->nparams; i++)
		sum += g->params[nd->param[i]].t.count;
	return sum;
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

void
nn_describe(const struct nn *n, struct strbuf *out)
{
	char shape[NN_SHAPE], what[80], count[RK_HUMAN];
	const struct nn_graph *g = &n->g;
	const struct nn_value *in = &g->vals[0];

	sb_addf(out, "%-16s %-24s %-16s\n", "input", "",
	    nn_shape_text(shape, sizeof(shape), in->ndim, in->d));
	for (int i = 0; i < g->nnodes; i++) {
		const struct nn_node *nd = &g->nodes[i];
		if (nd->dead)
			continue;
		const struct nn_value *y = nn_y(g, nd);
		int64_t np = params_of(g, nd);
		kind(g, nd, what, sizeof(what));
		sb_addf(out, "%-16s %-24s %-16s %14s\n", nd->name, what,
		    nn_shape_text(shape, sizeof(shape), y->ndim, y->d),
		    np > 0 ? rk_group_digits(count, np) : "");
	}
	sb_addf(out, "%-16s %-24s %-16s %14s\n", "parameters", "", "",
	    rk_group_digits(count, g->nparam));
}

/* --- digest --------------------------------------------------------------- */

static void
add_value(struct strbuf *b, const struct nn_value *v)
{
	char shape[NN_SHAPE];

	sb_addf(b, " %s:%s", v->dtype == NN_I32 ? "i32" : "f32",
	    nn_shape_text(shape, sizeof(shape), v->ndim, v->d));
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
	sb_addf(b, "%s %s%s", i->back ? "back" : "do", nd->name,
	    nd->fused ? " relu" : "");
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
nn_digest(const struct nn *n, char hex[RK_SHA256_HEX])
{
	const struct nn_program *programs[] = { &n->train, &n->infer };
	struct strbuf b = { 0 };
	json_t *layers = spec_layers_json(n->g.layers, n->g.nlayers, true);
	char *text = rkj_text(layers);

	sb_addf(&b, "%s\nmicro %lld\n", text, (long long)n->micro);
	for (int i = 0; i < n->g.noutputs; i++)
		sb_addf(&b, "output %s=%d\n", n->g.outputs[i].name,
		    n->g.outputs[i].value);
	for (size_t k = 0; k < RK_ARRAY_LEN(programs); k++) {
		sb_addf(&b, "program\n");
		for (int i = 0; i < programs[k]->ninstrs; i++)
			add_instr(&b, &programs[k]->instrs[i]);
	}
	rk_sha256_of(sb_str(&b), b.len, hex);
	sb_fini(&b);
	free(text);
	json_decref(layers);
}

json_t *
nn_layers(const struct nn *n)
{
	const struct nn_value *in = &n->g.vals[0];
	json_t *o = json_object(), *a = json_array();

	for (int i = 0; i < in->ndim; i++)
		must(json_array_append_new(a, json_integer(in->d[i])) == 0);
	must(json_object_set_new(o, "input", a) == 0);
	must(json_object_set_new(o, "layers", spec_layers_json(n->g.layers,
	    n->g.nlayers, false)) == 0);
	return o;
}
