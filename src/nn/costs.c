/*
 * What an instruction takes, counted from shapes: multiply-adds, and the bytes
 * of its operands, each once, wherever they lie.
 */
#include "ops.h"

static const char *
type_of(const struct nn_node *nd)
{
	for (int i = 0; i < SPEC_OP_COUNT; i++)
		if (nn_ops[i] == nd->op)
			return spec_op_words[i];
	return "layout";                /* which no job names */
}

static double
bytes(int64_t floats)
{
	return 4 * (double)floats;
}

static double
param_bytes(const struct nn_instr *i, int k)
{
	return bytes(i->g->params[i->nd->param[k]].t.count);
}

static bool
trains_any(const struct nn_instr *i)
{
	for (int k = 0; k < i->nd->nparams; k++)
		if (i->g->params[i->nd->param[k]].t.trained)
			return true;
	return false;
}

/* A table is read where its rows are asked for, and no wider than that. */
static bool
is_table(const struct nn_instr *i)
{
	return i->nd->op == &nn_op_embedding;
}

static void
count_forward(const struct nn_instr *i, struct nn_cost *c)
{
	const struct nn_node *nd = i->nd;
	const double y = bytes(nn_floats(nn_y(i->g, nd)));

	if (nd->op->is_view)
		return;
	c->flops = 2 * nd->madds;
	for (int k = 0; k < i->nin; k++)
		c->read += bytes(nn_floats(nn_x(i->g, nd, k)));
	for (int k = 0; k < nd->nparams && !is_table(i); k++)
		c->read_once += param_bytes(i, k);
	if (is_table(i))
		c->read += y;
	c->written = y;
	if (i->saved_s >= 0) {
		c->written += bytes(nd->saved);
		c->written_once += bytes(nd->saved_once);
	}
}

/* Of each product of forward one for dx and one for dw, where these are wanted;
 * attention, which has no weights, has one for each of its factors. */
static void
count_backward(const struct nn_instr *i, struct nn_cost *c)
{
	const struct nn_node *nd = i->nd;
	bool any_dx = false;

	if (nd->op->is_view)
		return;
	c->read = bytes(nn_floats(nn_y(i->g, nd)));         /* dy */
	for (int k = 0; k < i->nin; k++) {
		const double x = bytes(nn_floats(nn_x(i->g, nd, k)));
		if (nn_keeps_x(nd) >> k & 1)
			c->read += x;
		if (i->dxs[k] < 0)
			continue;
		any_dx = true;
		c->written += x;
		if (i->add[k])
			c->read += x;
	}
	if (nn_keeps_y(nd) || nd->fused || (nn_has_act(nd) &&
	    !nn_saves_before(nd)))
		c->read += bytes(nn_floats(nn_y(i->g, nd)));
	if (i->saved_s >= 0) {
		c->read += bytes(nd->saved);
		c->read_once += bytes(nd->saved_once);
	}
	for (int k = 0; k < nd->nparams; k++) {
		if (any_dx && !is_table(i))
			c->read_once += param_bytes(i, k);
		if (i->g->params[nd->param[k]].t.trained)
			c->written_once += param_bytes(i, k);
	}
	c->flops = 2 * nd->madds * (nd->nparams == 0 ? 2 :
	    any_dx + trains_any(i));
}

static void
count_loss(const struct nn_instr *i, struct nn_cost *c)
{
	const double z = bytes(i->g->vals[i->g->logits].count);

	*c = (struct nn_cost){ .name = "loss", .type = "loss",
		.part = NN_LOSS, .read = z,
		.written = i->dxs[0] >= 0 ? z : 0 };
}

size_t
nn_ninstrs(const struct nn *n)
{
	return (size_t)n->train.ninstrs;
}

void
nn_cost_at(const struct nn *n, size_t at, struct nn_cost *c)
{
	must(at < nn_ninstrs(n));
	const struct nn_instr *i = &n->train.instrs[at];

	if (i->nd == NULL) {
		count_loss(i, c);
		return;
	}
	*c = (struct nn_cost){ .name = i->nd->name, .type = type_of(i->nd),
		.part = i->back ? NN_BACKWARD : NN_FORWARD };
	if (i->nd->op->way != NULL && (!i->back || trains_any(i)))
		c->way = i->nd->op->way(i, false);
	if (i->nd->op->way != NULL && i->back && i->dxs[0] >= 0)
		c->way_dx = i->nd->op->way(i, true);
	if (i->back)
		count_backward(i, c);
	else
		count_forward(i, c);
}

const char *
nn_folded_at(const struct nn *n, size_t at, size_t k)
{
	const struct nn_graph *g = &n->g;

	must(at < nn_ninstrs(n));
	const struct nn_node *nd = n->train.instrs[at].nd;
	for (int i = 0; nd != NULL && i < g->nlayers; i++)
		if (g->nodes[i].dead && &g->nodes[g->nodes[i].into] == nd &&
		    k-- == 0)
			return g->nodes[i].name;
	return NULL;
}

void
nn_watch(struct nn *n, const struct nn_watch *w)
{
	n->watch = w;
}
