/*
 * Attention.  A piece is a head of a sample: its products are done by its
 * thread, on columns of q, k, v and y that are W wide and D apart.
 *
 *	S = q k^T,  P = softmax(S / sqrt(W)),  y = (P * m) v
 *
 * and backward, with G = dy v^T, then its part s of the softmax's gradient,
 *
 *	dv = (P * m)^T dy,  s = P * (G * m - rowsum(P * G * m)) / sqrt(W)
 *	dq = s k,  dk = s^T q
 */
#include <math.h>
#include <string.h>

#include "rekindle/kernel.h"
#include "drop.h"
#include "loops.h"

struct heads {
	const struct kernel_attention *s;
	int64_t T, D, W;
	float scale;
	const float *q, *k, *v, *mask, *dy;
	const float *kept;              /* P, in backward */
	float *P, *y, *dq, *dk, *dv, *scratch;
	bool add_dq, add_dk, add_dv;
};

/* A thread has three arrays [T,T]. */
enum { PROBS, DROPPED, GRADIENT, ARRAYS };

static size_t
array_size(const struct kernel_attention *s)
{
	return ((size_t)(s->T * s->T) + 15) / 16 * 16;
}

size_t
kernel_attention_scratch(const struct kernel_attention *s)
{
	return ARRAYS * array_size(s) * (size_t)kernel_threads();
}

static float *
scratch(const struct heads *h, int which)
{
	return h->scratch + array_size(h->s) *
	    (size_t)(ARRAYS * kernel_self() + which);
}

/* Where head i of all has its columns, and where its mask is. */
static size_t
columns(const struct heads *h, size_t i)
{
	const size_t heads = (size_t)h->s->heads;

	return i / heads * (size_t)(h->T * h->D) + i % heads * (size_t)h->W;
}

static bool
drops(const struct heads *h)
{
	return h->s->drop != NULL && h->s->drop->p > 0;
}

/* y[T,T] = x * m, of head i */
static void
drop(const struct heads *h, size_t i, const float *x, float *y)
{
	const size_t all = (size_t)(h->T * h->T);
	float m[512];

	for (size_t at = 0, k; at < all; at += k) {
		k = RK_MIN(RK_ARRAY_LEN(m), all - at);
		kernel_drop_factors(h->s->drop, i * all + at, k, m);
		kernel_loops()->mul(y + at, x + at, m, false, k);
	}
}

static void
forward_piece(void *ctx, size_t i)
{
	const struct heads *h = ctx;
	const int64_t T = h->T, D = h->D, W = h->W;
	const size_t at = columns(h, i), n = (size_t)T;
	const float *mask = h->mask == NULL ? NULL :
	    h->mask + i / (size_t)h->s->heads * n;
	float *P = h->P != NULL ? h->P + i * n * n : scratch(h, PROBS);
	const float *use = P;

	kernel_sgemm(false, true, T, T, W, h->q + at, D, h->k + at, D, 0, P, T);
	for (size_t r = 0; r < n; r++)
		kernel_loops()->softmax(P + r * n, h->scale, mask, P + r * n,
		    n);
	if (drops(h)) {
		drop(h, i, P, scratch(h, DROPPED));
		use = scratch(h, DROPPED);
	}
	kernel_sgemm(false, false, T, W, T, use, T, h->v + at, D, 0,
	    h->y + at, D);
}

static void
back_piece(void *ctx, size_t i)
{
	const struct heads *h = ctx;
	const int64_t T = h->T, D = h->D, W = h->W;
	const size_t at = columns(h, i), n = (size_t)T;
	const float *P = h->kept + i * n * n, *use = P;
	float *g = scratch(h, GRADIENT);

	kernel_sgemm(false, true, T, T, W, h->dy + at, D, h->v + at, D, 0, g,
	    T);
	if (drops(h)) {
		drop(h, i, P, scratch(h, DROPPED));
		use = scratch(h, DROPPED);
		drop(h, i, g, g);
	}
	for (size_t r = 0; r < n; r++)
		kernel_loops()->softmax_back(P + r * n, g + r * n, h->scale,
		    false, g + r * n, n);
	if (h->dq != NULL)
		kernel_sgemm(false, false, T, W, T, g, T, h->k + at, D,
		    h->add_dq, h->dq + at, D);
	if (h->dk != NULL)
		kernel_sgemm(true, false, T, W, T, g, T, h->q + at, D,
		    h->add_dk, h->dk + at, D);
	if (h->dv != NULL)
		kernel_sgemm(true, false, T, W, T, use, T, h->dy + at, D,
		    h->add_dv, h->dv + at, D);
}

static void
run(struct heads *h, const struct kernel_attention *s, int64_t B,
    kernel_piece_fn *fn)
{
	must(s->D % s->heads == 0);
	h->s = s;
	h->T = s->T;
	h->D = s->D;
	h->W = s->D / s->heads;
	h->scale = (float)(1 / sqrt((double)h->W));
	kernel_for((size_t)(B * s->heads), fn, h);
}

void
kernel_attention(const struct kernel_attention *s, int64_t B, const float *q,
    const float *k, const float *v, const float *mask, float *P, float *y,
    float *scratch_p)
{
	struct heads h = { .q = q, .k = k, .v = v, .mask = mask, .P = P,
		.y = y, .scratch = scratch_p };
	run(&h, s, B, forward_piece);
}

void
kernel_attention_back(const struct kernel_attention *s, int64_t B,
    const float *q, const float *k, const float *v, const float *P,
    const float *dy, bool add_dq, float *dq, bool add_dk, float *dk,
    bool add_dv, float *dv, float *scratch_p)
{
	struct heads h = { .q = q, .k = k, .v = v, .dy = dy, .dq = dq,
		.dk = dk, .dv = dv, .kept = P, .scratch = scratch_p,
		.add_dq = add_dq, .add_dk = add_dk, .add_dv = add_dv };
	run(&h, s, B, back_piece);
}
