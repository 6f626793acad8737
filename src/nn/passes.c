/*
 * Passes over a graph, between its making and its programs.
 *
 *	fold    a relu right behind a product is done while the product's tile is
 *	        in the cache, where nobody else reads what is between
 *	wants   which tensors are trained and which values need a gradient for it
 */
#include <stdlib.h>

#include "ops.h"

/* --- fold ----------------------------------------------------------------- */

/* The node whose output a relu can be folded into, or NULL. */
static struct nn_node *
folds_into(struct nn_graph *g, const struct nn_node *relu)
{
	const struct nn_value *x = nn_x(g, relu, 0);

	if (x->maker < 0 || x->nusers != 1)
		return NULL;
	struct nn_node *nd = &g->nodes[x->maker];
	return nd->op->takes_relu && !nd->fused && !nd->dead ? nd : NULL;
}

void
nn_pass_fold(struct nn_graph *g)
{
	for (int i = 0; i < g->nnodes; i++) {
		struct nn_node *nd = &g->nodes[i];
		if (nd->op != &nn_op_relu)
			continue;
		struct nn_node *to = folds_into(g, nd);
		if (to == NULL)
			continue;
		to->fused = true;
		to->out = nd->out;
		g->vals[nd->out].maker = (int)(to - g->nodes);
		nd->dead = true;
	}
}

/* --- wants ---------------------------------------------------------------- */

/* Values through which the logits can be changed by training: reached[v]. */
static void
reach(const struct nn_graph *g, bool *reached)
{
	reached[g->logits] = true;
	for (int i = g->nnodes - 1; i >= 0; i--) {
		const struct nn_node *nd = &g->nodes[i];
		if (nd->dead || !reached[nd->out])
			continue;
		for (int k = 0; k < nd->nin; k++)
			reached[nd->in[k]] |= !(nd->op->no_dx >> k & 1);
	}
}

void
nn_pass_wants(struct nn_graph *g, const struct nn_want *w)
{
	bool *reached = xcalloc((size_t)g->nvals, sizeof(*reached));

	reach(g, reached);
	for (int i = 0; i < g->nnodes; i++) {
		const struct nn_node *nd = &g->nodes[i];
		struct nn_value *y = &g->vals[nd->out];
		if (nd->dead || !reached[nd->out])
			continue;
		for (int k = 0; k < nd->nparams; k++) {
			struct nn_tensor *t = &g->params[nd->param[k]].t;
			t->trained = w->trains == NULL ||
			    w->trains(w->ctx, t->name);
			y->wants_grad |= t->trained;
		}
		for (int k = 0; k < nd->nin; k++)
			y->wants_grad |= !(nd->op->no_dx >> k & 1) &&
			    g->vals[nd->in[k]].wants_grad;
	}
	free(reached);
}
