/*
 * The memory plan: who shares a place in the arena with whom.
 *
 * Two steps.  First, ops that may work in place do, where nobody needs what
 * they overwrite: then a value has the buffer of the value before it.  Second,
 * every buffer gets the times at which it is in use, and a place in the arena
 * where it meets no other one in use at a common time; the largest choose
 * first, each the lowest place that is free.
 *
 * The input and the output have their places for themselves all the time: the
 * caller writes one before forward and reads the other after it.
 */
#include <stdlib.h>

#include "ops.h"

#define ALIGN_FLOATS 16u                /* 64 bytes */

static int
add_buf(struct nn *n, int64_t count, int first, int last)
{
	const int i = n->nbufs++;

	n->bufs = xrealloc(n->bufs, (size_t)n->nbufs * sizeof(*n->bufs));
	n->bufs[i] = (struct nn_buf){ .first = first, .last = last };
	size_t *floats = &n->bufs[i].floats;
	if (!rk_mul((size_t)count, (size_t)n->batch, floats) ||
	    !rk_add(*floats, ALIGN_FLOATS - 1, floats))
		return -1;
	*floats -= *floats % ALIGN_FLOATS;
	return i;
}

static void
use(struct nn *n, int buf, int time)
{
	struct nn_buf *b = &n->bufs[buf];

	b->first = RK_MIN(b->first, time);
	b->last = RK_MAX(b->last, time);
}

/* Does backward of this node read its own output? */
static bool
keeps_y(const struct nn_node *nd)
{
	return nd->op->keeps_y || nd->fused;
}

/* May the node write its output over its input? */
static bool
shares(const struct nn *n, const struct nn_node *nd)
{
	const struct nn_value *x = nn_x(n, nd);

	if (nd->op->is_view)
		return true;
	return nd->op->in_place && !nd->op->keeps_x && x->nreaders == 1 &&
	    !n->bufs[x->buf].fixed;
}

static bool
place_values(struct nn *n)
{
	const int N = n->nnodes;
	struct nn_value *in = &n->vals[0];

	if ((in->buf = add_buf(n, in->count, -1, 2 * N + 1)) < 0)
		return false;
	n->bufs[in->buf].fixed = true;
	for (int i = 0; i < N; i++) {
		struct nn_node *nd = &n->nodes[i];
		struct nn_value *y = &n->vals[nd->out];
		if (shares(n, nd))
			y->buf = nn_x(n, nd)->buf;
		else if ((y->buf = add_buf(n, y->count, i, i)) < 0)
			return false;
		use(n, y->buf, i);
		for (int k = 0; k < nd->nin; k++) {
			use(n, n->vals[nd->in[k]].buf, i);
			if (nd->op->keeps_x)
				use(n, n->vals[nd->in[k]].buf, 2 * N - i);
		}
		if (keeps_y(nd)) {
			use(n, y->buf, 2 * N - i);
			n->bufs[y->buf].fixed = true;
		}
		if (nd->saved > 0) {
			nd->saved_buf = add_buf(n, nd->saved, i, 2 * N - i);
			if (nd->saved_buf < 0)
				return false;
		}
	}
	use(n, n->vals[n->nvals - 1].buf, 2 * N + 1);
	return true;
}

/* Gradients, from the loss backwards. */
static bool
place_gradients(struct nn *n)
{
	const int N = n->nnodes;

	for (int i = N - 1; i >= 0; i--) {
		struct nn_node *nd = &n->nodes[i];
		struct nn_value *y = &n->vals[nd->out];
		if (!y->wants_grad)
			continue;
		if (i == N - 1)
			y->gbuf = add_buf(n, y->count, N, 2 * N - i);
		if (y->gbuf < 0)
			return false;
		use(n, y->gbuf, 2 * N - i);
		for (int k = 0; k < nd->nin; k++) {
			struct nn_value *x = &n->vals[nd->in[k]];
			if (!x->wants_grad || x->gbuf >= 0)
				continue;
			if ((nd->op->in_place || nd->op->is_view) &&
			    x->nreaders == 1)
				x->gbuf = y->gbuf;
			else
				x->gbuf = add_buf(n, x->count, 2 * N - i,
				    2 * N - i);
			if (x->gbuf < 0)
				return false;
		}
	}
	return true;
}

static int
larger_first(const void *a, const void *b)
{
	const struct nn_buf *const *x = a, *const *y = b;

	if ((*x)->floats != (*y)->floats)
		return (*x)->floats > (*y)->floats ? -1 : 1;
	return *x < *y ? -1 : *x > *y;
}

/* Keep placed[] sorted by place; it grows by one. */
static void
insert(struct nn_buf **placed, int np, struct nn_buf *b)
{
	int i = np;

	for (; i > 0 && placed[i - 1]->at > b->at; i--)
		placed[i] = placed[i - 1];
	placed[i] = b;
}

static bool
lay_out(struct nn *n)
{
	struct nn_buf **order = xcalloc((size_t)n->nbufs, sizeof(*order));
	struct nn_buf **placed = xcalloc((size_t)n->nbufs, sizeof(*placed));
	bool ok = true;

	for (int i = 0; i < n->nbufs; i++)
		order[i] = &n->bufs[i];
	qsort(order, (size_t)n->nbufs, sizeof(*order), larger_first);
	n->arena_floats = 0;
	for (int i = 0; i < n->nbufs && ok; i++) {
		struct nn_buf *b = order[i];
		size_t at = 0, end;
		for (int k = 0; k < i; k++) {
			const struct nn_buf *o = placed[k];
			if (o->last < b->first || o->first > b->last)
				continue;
			if (o->at >= at && o->at - at >= b->floats)
				break;
			at = RK_MAX(at, o->at + o->floats);
		}
		b->at = at;
		ok = rk_add(at, b->floats, &end);
		n->arena_floats = RK_MAX(n->arena_floats, end);
		insert(placed, i, b);
	}
	free(order);
	free(placed);
	return ok;
}

bool
nn_plan(struct nn *n)
{
	for (int i = 0; i < n->nnodes; i++)
		n->scratch_floats = RK_MAX(n->scratch_floats,
		    n->nodes[i].scratch);
	return place_values(n) && place_gradients(n) && lay_out(n);
}
