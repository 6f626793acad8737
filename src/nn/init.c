/*
 * Initial values: element i of tensor NAME is drawn at (seed, hash of NAME, i),
 * so it depends on no other tensor, no thread and no order.  By model.init,
 * with in and out the fans of the tensor (a convolution's count its window):
 *
 *	         torch                  paddle                     bert
 *	linear   U(+-1/sqrt(in))        U(+-sqrt(6/(in+out)))      N(0, 0.02)
 *	conv2d   the same               N(0, sqrt(2/in))           the same as torch
 *	bias     U(+-1/sqrt(in))        0                          0
 *	table    N(0, 1)                U(+-sqrt(6/(rows+width)))  N(0, 0.02)
 *
 * torch: torch.nn.Linear, Conv2d and Embedding (reset_parameters); paddle:
 * XavierUniform of paddle.nn.Linear and Embedding, Normal of Conv2D; bert:
 * Devlin et al. 2018, initializer_range.  Norms begin with 1 and 0, running
 * statistics with 0 and 1.  The row of a table's padding_index is 0.
 */
#include <math.h>

#include "program.h"

#define PIECE ((size_t)65536)

struct fill {
	const struct nn_param *p;
	uint64_t seed;
	uint32_t a, b;
	/* value, or uniform in +-bound, or normal of this deviation */
	double value, bound, deviation;
};

static void
choose(struct fill *f, enum spec_init init)
{
	const struct nn_param *p = f->p;
	const double in = (double)p->fan_in, out = (double)p->fan_out;
	const bool conv = p->t.ndim == 4;

	switch (p->fill) {
	case NN_FILL_VALUE:
		f->value = p->value;
		break;
	case NN_FILL_WEIGHT:
		if (init == SPEC_INIT_PADDLE && conv)
			f->deviation = sqrt(2 / in);
		else if (init == SPEC_INIT_PADDLE)
			f->bound = sqrt(6 / (in + out));
		else if (init == SPEC_INIT_BERT && !conv)
			f->deviation = 0.02;
		else
			f->bound = 1 / sqrt(in);
		break;
	case NN_FILL_BIAS:
		if (init == SPEC_INIT_TORCH)
			f->bound = 1 / sqrt(in);
		break;
	case NN_FILL_TABLE:
		if (init == SPEC_INIT_PADDLE)
			f->bound = sqrt(6 / (in + out));
		else
			f->deviation = init == SPEC_INIT_BERT ? 0.02 : 1;
		break;
	}
}

static void
fill_piece(void *ctx, size_t piece)
{
	const struct fill *f = ctx;
	const size_t from = piece * PIECE;
	const size_t n = RK_MIN(PIECE, (size_t)f->p->t.count - from);
	float *v = f->p->t.value + from;
	const float bound = (float)f->bound;

	if (f->bound > 0) {
		rk_fill_unit(v, n, f->seed, f->a, f->b, from);
		for (size_t i = 0; i < n; i++)
			v[i] = (2 * v[i] - 1) * bound;
	} else if (f->deviation > 0) {
		for (size_t i = 0; i < n; i++)
			v[i] = (float)f->deviation * rk_draw_normal(f->seed,
			    f->a, f->b, from + i);
	} else {
		for (size_t i = 0; i < n; i++)
			v[i] = (float)f->value;
	}
}

static void
init_param(const struct nn_param *p, enum spec_init init, uint64_t seed)
{
	struct fill f = { .p = p, .seed = seed };
	uint32_t h[2];

	choose(&f, init);
	nn_hash_name(p->t.name, h);
	f.a = h[0];
	f.b = h[1];
	kernel_for(((size_t)p->t.count + PIECE - 1) / PIECE, fill_piece, &f);
	if (p->zero_row >= 0)
		for (int64_t i = 0; i < p->t.d[1]; i++)
			p->t.value[p->zero_row * p->t.d[1] + i] = 0;
}

void
nn_init_one(struct nn *n, uint64_t seed, const struct nn_tensor *t)
{
	/* t is the first member of one of ours. */
	const struct nn_param *p = (const struct nn_param *)(const void *)t;

	must(t->is_buffer ? p - n->g.buffers < n->g.nbuffers
	    : p - n->g.params < n->g.nparams);
	init_param(p, n->g.init, seed);
}

void
nn_init(struct nn *n, uint64_t seed)
{
	for (size_t i = 0; i < nn_ntensors(n); i++)
		nn_init_one(n, seed, nn_tensor_at(n, i));
}
