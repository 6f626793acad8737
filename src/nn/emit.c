/*
 * From a graph to a program: instructions, and the slots that they read, make
 * and change; and where two slots might share a storage.
 *
 * Backward goes through the nodes in reverse.  The first contribution to a
 * gradient makes it, each further one adds to it.
 */
#include <stdlib.h>
#include <string.h>

#include "ops.h"

#define ALIGN_FLOATS 16u                /* 64 bytes */

struct emit {
	struct nn_program *p;
	const struct nn_graph *g;
	bool train, parted, ok;
	int time;
	int *saved;                     /* slot of each node, or -1 */
	bool *written;                  /* gradient of each parameter */
	int room, shares_room;
};

/* --- slots ---------------------------------------------------------------- */

static int
add_slot(struct emit *e, int64_t per_row, int64_t once)
{
	struct nn_program *p = e->p;
	size_t floats;

	if (p->nslots == e->room) {
		e->room = e->room > 0 ? 2 * e->room : 64;
		p->slots = xrealloc(p->slots, (size_t)e->room *
		    sizeof(*p->slots));
	}
	e->ok &= rk_mul((size_t)per_row, (size_t)e->g->micro, &floats) &&
	    rk_add(floats, (size_t)once, &floats) &&
	    rk_add(floats, ALIGN_FLOATS - 1, &floats);
	floats -= floats % ALIGN_FLOATS;
	p->slots[p->nslots] = (struct nn_slot){ .floats = floats,
		.born = e->time, .read = e->time, .storage = -1 };
	return p->nslots++;
}

static void
reads(struct emit *e, int slot)
{
	if (slot >= 0)
		e->p->slots[slot].read = e->time;
}

static void
changes(struct emit *e, int slot)
{
	struct nn_slot *s = &e->p->slots[slot];

	/* Twice as many at each power of two. */
	if ((s->nwrites & (s->nwrites - 1)) == 0)
		s->writes = xrealloc(s->writes, (size_t)RK_MAX(2 * s->nwrites,
		    1) * sizeof(*s->writes));
	s->writes[s->nwrites++] = e->time;
	s->read = e->time;
}

static void
may_share(struct emit *e, int from, int made, enum nn_alias how)
{
	struct nn_program *p = e->p;

	if (p->nshares == e->shares_room) {
		e->shares_room = e->shares_room > 0 ? 2 * e->shares_room : 64;
		p->shares = xrealloc(p->shares, (size_t)e->shares_room *
		    sizeof(*p->shares));
	}
	p->shares[p->nshares++] = (struct nn_share){ from, made, how };
}

/* --- forward -------------------------------------------------------------- */

static struct nn_instr *
new_instr(struct emit *e, nn_run *run, const struct nn_node *nd, int nin)
{
	const size_t n = (size_t)nin;
	struct nn_instr *i = &e->p->instrs[e->p->ninstrs++];

	*i = (struct nn_instr){ .run = run, .nd = nd, .g = e->g, .nin = nin,
		.ys = -1, .saved_s = -1, .dys = -1 };
	i->xs = xcalloc(n, sizeof(*i->xs));
	i->dxs = xcalloc(n, sizeof(*i->dxs));
	i->x = xcalloc(n, sizeof(*i->x));
	i->dx = xcalloc(n, sizeof(*i->dx));
	i->add = xcalloc(n, sizeof(*i->add));
	for (int k = 0; k < nin; k++)
		i->xs[k] = i->dxs[k] = -1;
	return i;
}

static struct nn_instr *
add_instr(struct emit *e, const struct nn_node *nd, bool back)
{
	struct nn_instr *i = new_instr(e, back ? nd->op->backward :
	    nd->op->forward, nd, nd->nin);

	i->back = back;
	return i;
}

static bool
is_still(const struct emit *e, const struct nn_node *nd)
{
	return nd->still && e->parted;
}

/* Does it run as in training?  Else as in inference. */
static bool
trains(const struct emit *e, const struct nn_node *nd)
{
	return e->train && !is_still(e, nd);
}

static bool
is_view(const struct emit *e, const struct nn_node *nd)
{
	return nd->op->is_view || (!trains(e, nd) &&
	    nd->op->infer_is_view != NULL && nd->op->infer_is_view(nd));
}

/* The value of which v is a view; v where it is none. */
static int
viewed(const struct emit *e, int v)
{
	const struct nn_graph *g = e->g;

	while (g->vals[v].maker >= 0 && is_view(e,
	    &g->nodes[g->vals[v].maker]))
		v = g->nodes[g->vals[v].maker].in[0];
	return v;
}

/* A sum of more than two is made of the first two, then the others are added to
 * it: where one of these is the first again, y must not lie on it. */
static bool
reads_again(const struct emit *e, const struct nn_node *nd)
{
	for (int k = 2; k < nd->nin; k++)
		if (viewed(e, nd->in[k]) == viewed(e, nd->in[0]))
			return true;
	return false;
}

/* Slots of y and x[0] on which an op may work in place. */
static void
share_forward(struct emit *e, const struct nn_node *nd, int y)
{
	const struct nn_op *op = nd->op;
	const int from = e->p->of_value[nd->in[0]];

	if (is_view(e, nd)) {
		may_share(e, from, y, NN_VIEW);
		return;
	}
	if (!op->in_place || reads_again(e, nd))
		return;
	may_share(e, from, y, NN_IN_PLACE);
	/* A sum of two may lie on either. */
	if ((op->passes_dy || nd->residual) && nd->nin == 2 &&
	    nn_x(e->g, nd, 1)->count == nn_y(e->g, nd)->count)
		may_share(e, e->p->of_value[nd->in[1]], y, NN_IN_PLACE);
}

static void
emit_forward(struct emit *e, const struct nn_node *nd)
{
	struct nn_program *p = e->p;
	struct nn_instr *i = add_instr(e, nd, false);

	for (int k = 0; k < nd->nin; k++)
		reads(e, i->xs[k] = p->of_value[nd->in[k]]);
	i->ys = p->of_value[nd->out] = add_slot(e, nn_floats(nn_y(e->g, nd)), 0);
	share_forward(e, nd, i->ys);
	if ((nd->saved > 0 || nd->saved_once > 0) &&
	    (trains(e, nd) || !nd->op->saves_for_back))
		e->saved[nd - e->g->nodes] = i->saved_s = add_slot(e,
		    nd->saved, nd->saved_once);
	e->time++;
}

/* --- backward ------------------------------------------------------------- */

/* A relu behind a folded sum masks its gradient by y: what is normalised, from
 * which it masks its own, is not all of y. */
static bool
sum_is_masked(const struct nn_node *nd)
{
	return nd->residual && nd->act.act != KERNEL_NO_ACT;
}

static void
emit_dx(struct emit *e, struct nn_instr *i, int k)
{
	const struct nn_node *nd = i->nd;
	const struct nn_op *op = nd->op;
	const struct nn_value *x = nn_x(e->g, nd, k), *y = nn_y(e->g, nd);
	int *slot = &e->p->of_grad[nd->in[k]];

	if (!x->wants_grad || (op->no_dx >> k & 1))
		return;
	i->add[k] = *slot >= 0;
	if (i->add[k]) {
		changes(e, *slot);
	} else {
		*slot = add_slot(e, nn_floats(x), 0);
		if (op->is_view || (op->passes_dy && x->count == y->count))
			may_share(e, i->dys, *slot, NN_VIEW);
		else if (nd->residual && k == 1)
			may_share(e, i->dys, *slot, sum_is_masked(nd) ?
			    NN_IN_PLACE : NN_VIEW);
		else if (op->back_in_place && k == 0)
			may_share(e, i->dys, *slot, NN_IN_PLACE);
	}
	i->dxs[k] = *slot;
}

static void
emit_dw(struct emit *e, struct nn_instr *i)
{
	for (int k = 0; k < i->nd->nparams; k++) {
		bool *written = &e->written[i->nd->param[k]];
		if (!*written)
			i->first_dw |= 1u << k;
		*written = true;
	}
}

static void
emit_backward(struct emit *e, const struct nn_node *nd)
{
	struct nn_program *p = e->p;
	const int dy = p->of_grad[nd->out];

	if (dy < 0 || !nn_y(e->g, nd)->wants_grad)
		return;
	struct nn_instr *i = add_instr(e, nd, true);
	reads(e, i->dys = dy);
	for (int k = 0; k < nd->nin; k++) {
		i->xs[k] = p->of_value[nd->in[k]];
		if (nn_keeps_x(nd) >> k & 1)
			reads(e, i->xs[k]);
	}
	i->ys = p->of_value[nd->out];
	if (nn_keeps_y(nd) || nd->fused || sum_is_masked(nd) ||
	    (nn_has_act(nd) && !nn_saves_before(nd)))
		reads(e, i->ys);
	reads(e, i->saved_s = e->saved[nd - e->g->nodes]);
	/* What is folded in changes the gradient where it lies. */
	if (nd->fused || nn_has_act(nd))
		changes(e, dy);
	/* The gradient of a folded sum is nearly dy, and asks first for its
	 * place. */
	for (int k = nd->nin - 1; k >= 0 && nd->residual; k--)
		emit_dx(e, i, k);
	for (int k = 0; k < nd->nin && !nd->residual; k++)
		emit_dx(e, i, k);
	emit_dw(e, i);
	e->time++;
}

/* It reads the logits, and in TRAIN makes their gradient. */
static void
emit_loss(struct emit *e)
{
	const int logits = e->g->logits;
	struct nn_instr *i = new_instr(e, nn_loss_run, NULL, 1);

	reads(e, i->xs[0] = e->p->of_value[logits]);
	if (e->train)
		i->dxs[0] = e->p->of_grad[logits] = add_slot(e,
		    e->g->vals[logits].count, 0);
	e->time++;
}

/* --- the whole ------------------------------------------------------------ */

static void
begin(struct emit *e)
{
	struct nn_program *p = e->p;
	const size_t nodes = (size_t)e->g->nnodes, vals = (size_t)e->g->nvals;

	p->instrs = xcalloc(2 * nodes + 1, sizeof(*p->instrs));
	p->of_value = xcalloc(vals, sizeof(*p->of_value));
	p->of_grad = xcalloc(vals, sizeof(*p->of_grad));
	e->saved = xcalloc(nodes, sizeof(*e->saved));
	e->written = xcalloc((size_t)e->g->nparams + 1, sizeof(*e->written));
	for (size_t i = 0; i < vals; i++)
		p->of_value[i] = p->of_grad[i] = -1;
	for (size_t i = 0; i < nodes; i++)
		e->saved[i] = -1;
	/* The input is an array of its own, which others fill. */
	e->time = -1;
	p->of_value[0] = add_slot(e, e->g->vals[0].count, 0);
	p->slots[p->of_value[0]].fixed = true;
	e->time = 0;
}

/* Who reads the outputs does so when all has run. */
static void
end(struct emit *e)
{
	struct nn_program *p = e->p;

	e->time = INT32_MAX;
	reads(e, p->of_value[e->g->logits]);
	for (int i = 0; i < e->g->noutputs; i++)
		reads(e, p->of_value[e->g->outputs[i].value]);
	free(e->saved);
	free(e->written);
}

/* In the graph's order: what is still, or what is not. */
static void
emit_part(struct emit *e, bool still)
{
	for (int i = 0; i < e->g->norder; i++) {
		const struct nn_node *nd = &e->g->nodes[e->g->order[i]];
		if (is_still(e, nd) == still)
			emit_forward(e, nd);
	}
}

bool
nn_emit(struct nn_program *p, const struct nn_graph *g, bool train,
    bool parted)
{
	struct emit e = { .p = p, .g = g, .train = train, .parted = parted,
		.ok = true };

	*p = (struct nn_program){ 0 };
	begin(&e);
	emit_part(&e, true);
	p->still = p->ninstrs;
	emit_part(&e, false);
	p->forward = p->ninstrs;
	emit_loss(&e);
	for (int i = g->norder - 1; train && i >= 0; i--)
		emit_backward(&e, &g->nodes[g->order[i]]);
	end(&e);
	return e.ok;
}

void
nn_program_fini(struct nn_program *p)
{
	for (int i = 0; i < p->ninstrs; i++) {
		free(p->instrs[i].xs);
		free(p->instrs[i].dxs);
		free(p->instrs[i].x);
		free(p->instrs[i].dx);
		free(p->instrs[i].add);
	}
	for (int i = 0; i < p->nslots; i++)
		free(p->slots[i].writes);
	for (int i = 0; i < p->nstorages; i++)
		free(p->storages[i].member);
	free(p->instrs);
	free(p->slots);
	free(p->shares);
	free(p->storages);
	free(p->of_value);
	free(p->of_grad);
	*p = (struct nn_program){ 0 };
}
