/*
 * Initial values: element i of tensor NAME is drawn at (seed, hash of NAME, i),
 * so it depends on no other tensor, no thread and no order.
 */
#include "graph.h"

#define PIECE ((size_t)65536)

struct fill {
	const struct nn_param *p;
	uint64_t seed;
	uint32_t a, b;
};

static void
fill_piece(void *ctx, size_t piece)
{
	const struct fill *f = ctx;
	const size_t from = piece * PIECE;
	const size_t n = RK_MIN(PIECE, (size_t)f->p->t.count - from);
	float *v = f->p->t.value + from;
	const float bound = (float)f->p->bound;

	if (f->p->bound > 0) {
		rk_fill_unit(v, n, f->seed, f->a, f->b, from);
		for (size_t i = 0; i < n; i++)
			v[i] = (2 * v[i] - 1) * bound;
	} else {
		for (size_t i = 0; i < n; i++)
			v[i] = (float)f->p->fill;
	}
}

void
nn_init_one(struct nn *n, uint64_t seed, const struct nn_tensor *t)
{
	/* t is the first member of one of ours. */
	const struct nn_param *p = (const struct nn_param *)(const void *)t;
	struct fill f = { .p = p, .seed = seed };
	uint32_t h[2];

	must(t->is_buffer ? p - n->buffers < n->nbuffers
	    : p - n->params < n->nparams);
	nn_hash_name(t->name, h);
	f.a = h[0];
	f.b = h[1];
	kernel_for(((size_t)t->count + PIECE - 1) / PIECE, fill_piece, &f);
}

void
nn_init(struct nn *n, uint64_t seed)
{
	for (size_t i = 0; i < nn_ntensors(n); i++)
		nn_init_one(n, seed, nn_tensor_at(n, i));
}
