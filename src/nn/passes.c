/*
 * Passes over a graph, between its making and its programs.
 *
 *	fold    where nobody else reads what is between, a relu right behind a
 *	        product, any activation behind linear, is done while the
 *	        product's tile is in the cache, and a batch norm of images does
 *	        the sum and the activation behind it
 *	wants   which tensors are trained and which values need a gradient for
 *		it, and which batch norms evaluate
 */
#include <stdlib.h>

#include "ops.h"

/* --- fold ----------------------------------------------------------------- */

/* Vectors, and images of one place, are few numbers. */
static bool
is_plane(const struct nn_value *v)
{
	return v->ndim == 3 && v->d[1] * v->d[2] > 1;
}

/* Node i is not computed by itself any more, but in node `into`, which is
 * computed in its place: all that both read is there by then. */
static void
leave(struct nn_graph *g, int i, int into)
{
	int n = 0;

	g->nodes[i].dead = true;
	g->nodes[i].into = into;
	for (int k = 0; k < g->norder; k++)
		if (g->order[k] != into)
			g->order[n++] = g->order[k] == i ? into : g->order[k];
	g->norder = n;
}

/* The node that makes input k and could do more, if nd alone reads that. */
static struct nn_node *
maker_for(struct nn_graph *g, const struct nn_node *nd, int k)
{
	const struct nn_value *x = nn_x(g, nd, k);

	return x->maker >= 0 && x->nusers == 1 ? &g->nodes[x->maker] : NULL;
}

/* nd does what node i does, too. */
static void
take(struct nn_graph *g, struct nn_node *nd, int i)
{
	nd->out = g->nodes[i].out;
	g->vals[nd->out].maker = (int)(nd - g->nodes);
	leave(g, i, (int)(nd - g->nodes));
}

static void
fold_act(struct nn_graph *g, int i)
{
	const struct nn_node *nd = &g->nodes[i];
	struct nn_node *to = maker_for(g, nd, 0);

	if (to == NULL)
		return;
	if (nd->op == &nn_op_relu && to->op->takes_relu && !to->fused &&
	    !nn_has_act(to)) {
		to->fused = true;
		take(g, to, i);
	} else if (to->op->takes_act && !to->fused && !nn_has_act(to)) {
		to->act = nn_act(nd);
		to->saved = nn_saves_before(to) ? nn_y(g, nd)->count : 0;
		to->scratch = kernel_act_col_sums_scratch(to->u->linear.out);
		take(g, to, i);
	} else if (to->op->takes_rest && is_plane(nn_y(g, nd)) &&
	    to->act.act == KERNEL_NO_ACT && (!to->residual ||
	    nd->op == &nn_op_relu)) {
		to->act = nn_act(nd);
		take(g, to, i);
	}
}

/* A sum of two goes to the first of them that can take it. */
static void
fold_add(struct nn_graph *g, int i)
{
	const struct nn_node *nd = &g->nodes[i];

	if (nd->nin != 2 || !nn_one_shape(g, nd) || !is_plane(nn_y(g, nd)))
		return;
	for (int k = 0; k < 2; k++) {
		struct nn_node *to = maker_for(g, nd, k);
		if (to == NULL || !to->op->takes_rest || to->residual ||
		    to->act.act != KERNEL_NO_ACT)
			continue;
		to->residual = true;
		to->in = xrealloc(to->in, 2 * sizeof(*to->in));
		to->in[to->nin++] = nd->in[!k];
		take(g, to, i);
		return;
	}
}

void
nn_pass_fold(struct nn_graph *g)
{
	for (int i = 0; i < g->nlayers; i++) {
		if (nn_is_act(g->nodes[i].op))
			fold_act(g, i);
		else if (g->nodes[i].op == &nn_op_add)
			fold_add(g, i);
	}
}

/* --- wants ---------------------------------------------------------------- */

/* Values through which the logits can be changed by training: reached[v]. */
static void
reach(const struct nn_graph *g, bool *reached)
{
	reached[g->logits] = true;
	for (int i = g->norder - 1; i >= 0; i--) {
		const struct nn_node *nd = &g->nodes[g->order[i]];
		if (!reached[nd->out])
			continue;
		for (int k = 0; k < nd->nin; k++)
			reached[nd->in[k]] |= !(nd->op->no_dx >> k & 1);
	}
}

/* Of a part that is frozen: nothing of a batch is kept for backward. */
static void
evaluate(struct nn_graph *g, const struct nn_want *w, struct nn_node *nd)
{
	if (!w->evaluate_frozen || nd->op != &nn_op_batch_norm)
		return;
	for (int k = 0; k < nd->nparams; k++)
		if (w->trains == NULL || w->trains(w->ctx,
		    g->params[nd->param[k]].t.name))
			return;
	nd->evaluates = true;
	nd->saved_once = 0;
	for (int k = 0; k < nd->nbuffers; k++)
		g->buffers[nd->buffer[k]].t.fixed = true;
}

unsigned
nn_keeps_x(const struct nn_node *nd)
{
	return nd->evaluates && (nd->act.act == KERNEL_NO_ACT ||
	    nd->act.act == KERNEL_RELU) ? 0 : nd->op->keeps_x;
}

bool
nn_keeps_y(const struct nn_node *nd)
{
	return nd->op->keeps_y ||
	    (nd->evaluates && nd->act.act == KERNEL_RELU);
}

void
nn_pass_wants(struct nn_graph *g, const struct nn_want *w)
{
	bool *reached = xcalloc((size_t)g->nvals, sizeof(*reached));

	reach(g, reached);
	for (int i = 0; i < g->norder; i++) {
		struct nn_node *nd = &g->nodes[g->order[i]];
		struct nn_value *y = &g->vals[nd->out];
		evaluate(g, w, nd);
		if (!reached[nd->out])
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
