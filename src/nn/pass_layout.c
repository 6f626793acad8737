/*
 * Which images are kept blocked, and where they change their layout.
 *
 * Each image has the layout in which its maker gives it; who reads it in the
 * other one reads a copy, that a node of its own makes and that all such
 * readers share.  An op reads its images in the layout of what it makes, but a
 * convolution may have one of each.  The input, the logits and the outputs with
 * names are plain, as is all around an op that knows no other.
 *
 * What a choice takes is counted from shapes, in microseconds of a sample: the
 * passes of convolutions (kernel_conv_plan_cost()), the bytes that other ops
 * move, the copies.  All images between two places in the order of computation
 * are blocked, where that is the best of such stretches; then single images
 * change as long as that helps.  Networks are blocked from their first layers
 * to their last, or not at all, or leave out a few: more is not looked for.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops.h"

#define BYTES_A_US 8e3                  /* a core moves */
#define STRETCHES  256                  /* beginnings that are tried */
#define SWEEPS     8

struct choice {
	struct nn_graph *g;
	enum nn_layouts how;
	int *at, nat;                   /* images that may be blocked */
	enum kernel_layout *is;         /* of each value */
	int *user, *first;              /* nodes that read v: user[first[v]] to
	                                   user[first[v + 1]] */
	int *twin;                      /* of each node: the first convolution
	                                   of its shape */
	double (*conv)[2][2];           /* of that: x, y; NAN: not known */
};

static bool
is_image(const struct nn_value *v)
{
	return v->ndim == 3 && v->dtype == NN_F32;
}

static double
floats(const struct nn_value *v, enum kernel_layout l)
{
	return l == KERNEL_PLAIN ? (double)v->count : (double)
	    kernel_image_floats(l, v->d[0], v->d[1] * v->d[2]);
}

/* --- what it takes -------------------------------------------------------- */

/* The first convolution that takes what this one does. */
static int
find_twin(const struct nn_graph *g, int node)
{
	const struct nn_node *nd = &g->nodes[node];

	for (int i = 0; i < node && nd->op->mixes_layouts; i++) {
		const struct nn_node *o = &g->nodes[i];
		if (o->op == nd->op && !o->dead && memcmp(&o->win, &nd->win,
		    sizeof(nd->win)) == 0 &&
		    nn_y(g, o)->d[0] == nn_y(g, nd)->d[0] &&
		    nn_x(g, o, 0)->wants_grad == nn_x(g, nd, 0)->wants_grad)
			return i;
	}
	return node;
}

static double
conv_cost(struct choice *c, const struct nn_node *nd, enum kernel_layout x,
    enum kernel_layout y)
{
	double *us = &c->conv[c->twin[nd - c->g->nodes]][x][y];

	if (isnan(*us)) {
		struct kernel_conv_plan *p = nn_conv_plan(c->g, nd, x, y);
		*us = kernel_conv_plan_cost(p, nn_x(c->g, nd, 0)->wants_grad);
		kernel_conv_plan_free(p);
	}
	return *us;
}

/* Of a copy, forward and back; none is made where both are the same bytes. */
static bool
same_bytes(const struct nn_value *v)
{
	return v->d[1] * v->d[2] == 1 && v->d[0] % KERNEL_BLOCK == 0;
}

static double
copy_cost(const struct nn_value *v)
{
	return same_bytes(v) ? 0 : (v->wants_grad ? 2 : 1) * 4 / BYTES_A_US *
	    (floats(v, KERNEL_PLAIN) + floats(v, KERNEL_BLOCKED));
}

/* The layout in which a convolution reads x. */
static enum kernel_layout
conv_reads(struct choice *c, const struct nn_node *nd)
{
	const enum kernel_layout x = c->is[nd->in[0]], y = c->is[nd->out];

	if (c->how == NN_MIXED)
		return nd->in[0] % 3 == 0 ? !x : x;
	if (c->how != NN_CHOSEN)
		return x;
	return conv_cost(c, nd, !x, y) + copy_cost(nn_x(c->g, nd, 0)) <
	    conv_cost(c, nd, x, y) ? !x : x;
}

static enum kernel_layout
reads(struct choice *c, const struct nn_node *nd, int k)
{
	if (!is_image(nn_x(c->g, nd, k)))
		return KERNEL_PLAIN;
	return nd->op->mixes_layouts ? conv_reads(c, nd) : c->is[nd->out];
}

static double
node_cost(struct choice *c, const struct nn_node *nd)
{
	const struct nn_value *y = nn_y(c->g, nd);
	const enum kernel_layout l = c->is[nd->out];
	double n;

	if (nd->op->mixes_layouts)
		return conv_cost(c, nd, conv_reads(c, nd), l);
	if (nd->op->may_block == NULL || !is_image(y))
		return 0;
	n = floats(y, l);
	for (int k = 0; k < nd->nin; k++)
		n += floats(nn_x(c->g, nd, k), l);
	/* Plain loops of windows are not for vectors. */
	if (l == KERNEL_PLAIN && nd->win.k[0] > 0)
		n *= 4;
	return n * 4 / BYTES_A_US * (y->wants_grad ? 3 : 1);
}

static double
copies_of(struct choice *c, int v)
{
	for (int i = c->first[v]; i < c->first[v + 1]; i++) {
		const struct nn_node *nd = &c->g->nodes[c->user[i]];
		for (int k = 0; k < nd->nin; k++)
			if (nd->in[k] == v && reads(c, nd, k) != c->is[v])
				return copy_cost(&c->g->vals[v]);
	}
	return 0;
}

/* All that depends on the layout of v. */
static double
cost_around(struct choice *c, int v)
{
	const struct nn_node *m = &c->g->nodes[c->g->vals[v].maker];
	double sum = node_cost(c, m) + copies_of(c, v);

	for (int k = 0; k < m->nin; k++)
		if (is_image(nn_x(c->g, m, k)))
			sum += copies_of(c, m->in[k]);
	for (int i = c->first[v]; i < c->first[v + 1]; i++)
		if (c->g->nodes[c->user[i]].op->mixes_layouts)
			sum += node_cost(c, &c->g->nodes[c->user[i]]);
	return sum;
}

/* The other layout for v; what that takes more. */
static double
turn(struct choice *c, int v)
{
	const double before = cost_around(c, v);

	c->is[v] = !c->is[v];
	return cost_around(c, v) - before;
}

/* --- the choice ----------------------------------------------------------- */

static void
block(struct choice *c, int from, int to)
{
	for (int i = 0; i < c->nat; i++)
		c->is[c->at[i]] = i >= from && i < to ? KERNEL_BLOCKED :
		    KERNEL_PLAIN;
}

static void
choose_stretch(struct choice *c)
{
	double best = 0;
	int from = 0, to = 0;

	for (int i = 0; i < c->nat; i += 1 + c->nat / STRETCHES) {
		double more = 0;
		block(c, 0, 0);
		for (int k = i; k < c->nat; k++) {
			more += turn(c, c->at[k]);
			if (more >= best)
				continue;
			best = more;
			from = i;
			to = k + 1;
		}
	}
	block(c, from, to);
}

/* A little is too little to be sure of its sign. */
static void
choose_singly(struct choice *c)
{
	bool better = true;

	for (int sweep = 0; better && sweep < SWEEPS; sweep++) {
		better = false;
		for (int i = c->nat - 1; i >= 0; i--) {
			if (turn(c, c->at[i]) < -1e-6)
				better = true;
			else
				c->is[c->at[i]] = !c->is[c->at[i]];
		}
	}
}

static void
choose(struct choice *c)
{
	switch (c->how) {
	case NN_CHOSEN:
		choose_stretch(c);
		choose_singly(c);
		break;
	case NN_PLAIN:
		break;
	case NN_BLOCKED:
		block(c, 0, c->nat);
		break;
	case NN_MIXED:
		for (int i = 0; i < c->nat; i++)
			c->is[c->at[i]] = rk_hash64(1, &c->at[i],
			    sizeof(c->at[i])) % 3 != 0 ? KERNEL_BLOCKED :
			    KERNEL_PLAIN;
		break;
	}
}

static bool
is_shown(const struct nn_graph *g, int v)
{
	for (int i = 0; i < g->noutputs; i++)
		if (g->outputs[i].value == v)
			return true;
	return v == g->logits;
}

static void
find_users(struct choice *c)
{
	const struct nn_graph *g = c->g;
	int n = 0;

	c->first = xcalloc((size_t)g->nvals + 2, sizeof(*c->first));
	for (int i = 0; i < g->norder; i++) {
		const struct nn_node *nd = &g->nodes[g->order[i]];
		n += nd->nin;
		for (int k = 0; k < nd->nin; k++)
			c->first[nd->in[k] + 2]++;
	}
	for (int v = 0; v < g->nvals; v++)
		c->first[v + 2] += c->first[v + 1];
	c->user = xcalloc((size_t)n + 1, sizeof(*c->user));
	for (int i = 0; i < g->norder; i++) {
		const struct nn_node *nd = &g->nodes[g->order[i]];
		for (int k = 0; k < nd->nin; k++)
			c->user[c->first[nd->in[k] + 1]++] = g->order[i];
	}
}

static void
begin(struct choice *c)
{
	const struct nn_graph *g = c->g;

	c->is = xcalloc((size_t)g->nvals, sizeof(*c->is));
	c->at = xcalloc((size_t)g->norder, sizeof(*c->at));
	c->conv = xcalloc((size_t)g->nnodes, sizeof(*c->conv));
	c->twin = xcalloc((size_t)g->nnodes, sizeof(*c->twin));
	for (int i = 0; i < g->nnodes; i++) {
		c->twin[i] = find_twin(g, i);
		for (int k = 0; k < 4; k++)
			c->conv[i][k / 2][k % 2] = NAN;
	}
	for (int i = 0; i < g->norder; i++) {
		const struct nn_node *nd = &g->nodes[g->order[i]];
		if (is_image(nn_y(g, nd)) && !is_shown(g, nd->out) &&
		    nd->op->may_block != NULL && nd->op->may_block(g, nd))
			c->at[c->nat++] = nd->out;
	}
	find_users(c);
}

/* --- copies --------------------------------------------------------------- */

/* The value v in its other layout, and the node that makes it. */
static int
add_copy(struct nn_graph *g, int v)
{
	struct nn_node *nd = &g->nodes[g->nnodes];
	const struct nn_value *from = &g->vals[v];

	g->vals[g->nvals] = *from;
	g->vals[g->nvals].layout = !from->layout;
	g->vals[g->nvals].maker = g->nnodes;
	*nd = (struct nn_node){ .op = same_bytes(from) ? &nn_op_identity :
		&nn_op_reorder, .name = from->layout == KERNEL_PLAIN ?
		"(to blocked)" : "(to plain)", .path = xstrdup("model"),
		.nin = 1, .out = g->nvals++ };
	nd->in = xcalloc(1, sizeof(*nd->in));
	nd->in[0] = v;
	return g->nnodes++;
}

/* Copies go right before the first that reads them. */
static void
add_copies(struct choice *c)
{
	struct nn_graph *g = c->g;
	const size_t nodes = (size_t)(g->nnodes + g->nvals);
	int *copy = xcalloc((size_t)g->nvals, sizeof(*copy));
	int *order = xcalloc(nodes, sizeof(*order)), n = 0;

	g->nodes = xrealloc(g->nodes, nodes * sizeof(*g->nodes));
	g->vals = xrealloc(g->vals, 2 * (size_t)g->nvals * sizeof(*g->vals));
	for (int i = 0; i < g->norder; i++) {
		struct nn_node *nd = &g->nodes[g->order[i]];
		for (int k = 0; k < nd->nin; k++) {
			const int v = nd->in[k];
			if (reads(c, nd, k) == c->is[v])
				continue;
			if (copy[v] == 0)
				order[n++] = copy[v] = add_copy(g, v);
		}
		for (int k = 0; k < nd->nin; k++) {
			const int v = nd->in[k];
			if (reads(c, nd, k) != c->is[v])
				nd->in[k] = g->nodes[copy[v]].out;
		}
		order[n++] = g->order[i];
	}
	free(copy);
	free(g->order);
	g->order = order;
	g->norder = n;
}

void
nn_pass_layout(struct nn_graph *g, const struct nn_want *w)
{
	struct choice c = { .g = g, .how = w->layouts };

	begin(&c);
	choose(&c);
	for (int v = 0; v < g->nvals; v++)
		g->vals[v].layout = c.is[v];
	add_copies(&c);
	for (int i = 0; i < g->norder; i++) {
		struct nn_node *nd = &g->nodes[g->order[i]];
		if (nd->op->settle != NULL)
			nd->op->settle(g, nd);
	}
	free(c.is);
	free(c.at);
	free(c.user);
	free(c.first);
	free(c.conv);
	free(c.twin);
}
