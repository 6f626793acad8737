/*
 * y[T,D] = softmax(q k^T / sqrt(D / heads)) v for each head, which has D /
 * heads of the columns; a key that the mask has 0 for is left out, and a row
 * whose keys are all left out gives 0
 *
 *   dq, dk, dv: kernel.h; the softmax is saved, [heads,T,T] a sample
 */
#include "ops.h"

enum { Q, K, V, MASK };

static enum rk_err
shape(struct nn_graph *g, struct nn_node *nd, struct rk_why *why)
{
	static const char *const words[] = {
		"queries", "keys", "values", "masks"
	};
	const struct nn_value *q = nn_x(g, nd, Q);
	const int64_t heads = nd->u->attention.heads;
	char a[NN_SHAPE], b[NN_SHAPE];

	if (q->ndim != 2)
		return rk_refuse_at(why, nd->path, "%s (attention) wants "
		    "sequences of vectors, of 2 dimensions, but gets %s",
		    nd->name, nn_shape_text(a, sizeof(a), q->ndim, q->d));
	for (int k = K; k < nd->nin; k++) {
		const struct nn_value *x = nn_x(g, nd, k);
		const int ndim = k == MASK ? 1 : 2;
		if (x->ndim == ndim && x->d[0] == q->d[0] &&
		    (k == MASK || x->d[1] == q->d[1]))
			continue;
		return rk_refuse_at(why, nd->path, "%s's %s are %s (%s), want "
		    "%s as its queries (%s)", nd->name, words[k],
		    nn_shape_text(a, sizeof(a), x->ndim, x->d), nn_maker(g, x),
		    nn_shape_text(b, sizeof(b), ndim, q->d), nn_maker(g, q));
	}
	if (q->d[1] % heads != 0)
		return rk_refuse_at(why, nd->path, "%s has %lld heads, which "
		    "do not divide its width of %lld", nd->name,
		    (long long)heads, (long long)q->d[1]);
	const int64_t T = q->d[0], D = q->d[1];
	int64_t all;
	if (!nn_product(3, (int64_t[]){ heads, T, T }, NN_MAX_VALUE, &all))
		return rk_refuse_at(why, nd->path, "%s has %lldx%lldx%lld "
		    "weights a sample, which is too many", nd->name,
		    (long long)heads, (long long)T, (long long)T);
	nd->saved = all;
	nd->scratch = kernel_attention_scratch(&(struct kernel_attention){
	    .T = T, .D = D, .heads = heads });
	nd->madds = 2.0 * (double)T * (double)T * (double)D;
	return nn_same_shape(g, nd, why);
}

static struct kernel_drop
drop(const struct nn_instr *i, const struct nn_now *now)
{
	return (struct kernel_drop){
		.p = now->train ? (float)i->nd->u->attention.p : 0,
		.seed = now->s.seed, .a = (uint32_t)now->s.step,
		.b = i->nd->stream,
		.from = (uint64_t)(now->s.first * i->nd->saved),
	};
}

static struct kernel_attention
settings(const struct nn_instr *i, const struct kernel_drop *d)
{
	const struct nn_value *q = nn_x(i->g, i->nd, Q);

	return (struct kernel_attention){ .T = q->d[0], .D = q->d[1],
		.heads = i->nd->u->attention.heads, .drop = d };
}

static void
forward(const struct nn_instr *i, const struct nn_now *now)
{
	const struct kernel_drop d = drop(i, now);
	const struct kernel_attention s = settings(i, &d);

	kernel_attention(&s, now->s.rows, i->x[Q], i->x[K], i->x[V],
	    i->nin > MASK ? i->x[MASK] : NULL, i->saved, i->y, i->scratch);
}

static void
backward(const struct nn_instr *i, const struct nn_now *now)
{
	const struct kernel_drop d = drop(i, now);
	const struct kernel_attention s = settings(i, &d);

	kernel_attention_back(&s, now->s.rows, i->x[Q], i->x[K], i->x[V],
	    i->saved, i->dy, i->add[Q], i->dx[Q], i->add[K], i->dx[K],
	    i->add[V], i->dx[V], i->scratch);
}

static bool
draws(const struct nn_node *nd)
{
	return nd->u->attention.p > 0;
}

const struct nn_op nn_op_attention = {
	.draws = draws,
	.shape = shape, .forward = forward, .backward = backward,
	.keeps_x = 7, .saves_for_back = true,
	.no_dx = 1u << MASK,
};
