/*
 * What is still: the nodes below all that is trained, which compute the same
 * for a sample in each step.  They have no gradient and no parameter that is
 * trained, draw nothing and take no statistics of a batch; and so it is with
 * what they read.
 *
 * Of a network whose still nodes have no parameters (a flatten, a change of
 * layout) none is: there would be nothing to gain.
 *
 * The cut are the values that others read of it; the input, too, where these
 * read that.
 */
#include "ops.h"

static bool
draws(const struct nn_node *nd)
{
	return nd->op->draws != NULL && nd->op->draws(nd);
}

static bool
takes_statistics(const struct nn_node *nd)
{
	return nd->op == &nn_op_batch_norm && !nd->evaluates;
}

/* Also where the logits do not come of it, and decay alone changes it. */
static bool
is_trained(const struct nn_graph *g, const struct nn_node *nd,
    const struct nn_want *w)
{
	for (int k = 0; k < nd->nparams; k++)
		if (w->trains == NULL || w->trains(w->ctx,
		    g->params[nd->param[k]].t.name))
			return true;
	return false;
}

static bool
is_still(const struct nn_graph *g, const struct nn_node *nd,
    const struct nn_want *w)
{
	if (nn_y(g, nd)->wants_grad || draws(nd) || takes_statistics(nd) ||
	    is_trained(g, nd, w))
		return false;
	for (int k = 0; k < nd->nin; k++) {
		const struct nn_value *x = nn_x(g, nd, k);
		if (x->maker >= 0 && !g->nodes[x->maker].still)
			return false;
	}
	return true;
}

void
nn_pass_still(struct nn_graph *g, const struct nn_want *w)
{
	bool any = false;

	for (int i = 0; i < g->norder; i++) {
		struct nn_node *nd = &g->nodes[g->order[i]];
		nd->still = is_still(g, nd, w);
		any |= nd->still && nd->nparams > 0;
	}
	for (int i = 0; i < g->norder; i++) {
		struct nn_node *nd = &g->nodes[g->order[i]];
		nd->still &= any;
		g->nstill += nd->still;
	}
}
