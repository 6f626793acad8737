/*
 * Features: the values of the cut (pass_still.c), out of a program and into
 * one.  Those of a sample lie one behind the other, in the order of the graph's
 * values, each as the network keeps it, padding lanes included.
 */
#include <stdlib.h>
#include <string.h>

#include "rekindle/kernel_mm.h"
#include "ops.h"

static bool
is_still(const struct nn_graph *g, int v)
{
	return g->vals[v].maker < 0 || g->nodes[g->vals[v].maker].still;
}

static bool
is_read(const struct nn_graph *g, int v)
{
	if (v == g->logits)
		return true;
	for (int i = 0; i < g->norder; i++) {
		const struct nn_node *nd = &g->nodes[g->order[i]];
		for (int k = 0; k < nd->nin && !nd->still; k++)
			if (nd->in[k] == v)
				return true;
	}
	return false;
}

void
nn_find_cut(struct nn_graph *g)
{
	if (g->nstill == 0)
		return;
	g->cut = xcalloc((size_t)g->nvals, sizeof(*g->cut));
	for (int v = 0; v < g->nvals; v++) {
		if (!is_still(g, v) || !is_read(g, v))
			continue;
		g->cut[g->ncut++] = v;
		g->features += nn_floats(&g->vals[v]);
	}
}

int64_t
nn_features(const struct nn *n)
{
	return n->use->g.features;
}

/*
 * A product's rows are alike where the micro-kernel computes them and there are
 * as many each time; else a sample has to be by itself.  Convolutions take the
 * samples of a batch some at a time, a power of two, and what is left singly
 * (src/kernel/prim.c).
 */
int64_t
nn_features_rows(const struct nn *n)
{
	int64_t rows = 1;

	if (!kernel_mm_rows_alike())
		return 1;
	while (2 * rows <= n->micro)
		rows *= 2;
	return rows;
}

/* Where value k of the cut has a row. */
static float *
place(const struct nn_graph *g, const struct nn_program *p, int k, int64_t row)
{
	const int v = g->cut[k];

	return p->slots[p->of_value[v]].p + row * nn_floats(&g->vals[v]);
}

void
nn_features_get(const struct nn *n, int64_t row, float *to)
{
	const struct nn *u = n->use;

	for (int k = 0; k < u->g.ncut; k++) {
		const int64_t floats = nn_floats(&u->g.vals[u->g.cut[k]]);
		memcpy(to, place(&u->g, u->on, k, row), (size_t)floats *
		    sizeof(*to));
		to += floats;
	}
}

void
nn_features_put(struct nn *n, bool train, int64_t row, const float *from)
{
	const struct nn *u = n->use;

	for (int k = 0; k < u->g.ncut; k++) {
		const int64_t floats = nn_floats(&u->g.vals[u->g.cut[k]]);
		memcpy(place(&u->g, train ? &u->train : &u->infer, k, row),
		    from, (size_t)floats * sizeof(*from));
		from += floats;
	}
}

static void
add_tensors(struct rk_sha256 *d, const struct nn_graph *g)
{
	for (int i = 0; i < g->norder; i++) {
		const struct nn_node *nd = &g->nodes[g->order[i]];
		for (int k = 0; k < nd->nparams && nd->still; k++) {
			const struct nn_tensor *t = &g->params[nd->param[k]].t;
			rk_sha256_add(d, t->value, (size_t)t->count *
			    sizeof(float));
		}
		for (int k = 0; k < nd->nbuffers && nd->still; k++) {
			const struct nn_tensor *t =
			    &g->buffers[nd->buffer[k]].t;
			rk_sha256_add(d, t->value, (size_t)t->count *
			    sizeof(float));
		}
	}
}

/* The layers' settings are those of the whole network. */
void
nn_features_digest(const struct nn *n, char hex[RK_SHA256_HEX])
{
	struct rk_sha256 *d = rk_sha256_new();
	struct strbuf b = { 0 };
	json_t *layers = spec_layers_json(n->g.layers, n->g.nlayers, true);
	char *text = rkj_text(layers);

	sb_addf(&b, "%s\nrows %lld\n", text, (long long)nn_features_rows(n));
	nn_describe_instrs(&b, &n->infer, n->infer.still);
	for (int i = 0; i < n->nshorter; i++)
		nn_describe_instrs(&b, &n->shorter[i]->infer,
		    n->shorter[i]->infer.still);
	rk_sha256_add(d, sb_str(&b), b.len);
	add_tensors(d, &n->g);
	rk_sha256_end(d, hex);
	sb_fini(&b);
	free(text);
	json_decref(layers);
}
