/*
 * Attention.  A piece is a head of a sample, and its thread goes through the
 * rows of P a block at a time, so that a block stays in the thread's cache
 * between its product, its softmax and the products that read it:
 *
 *	S = q k^T,  P = softmax(S / sqrt(W)),  y = (P * m) v
 *
 * and backward, with G = (dy v^T) * m, then its part s of the softmax's
 * gradient,
 *
 *	s = P * (G - rowsum(P * G)) / sqrt(W)
 *	dq = s k,  dk += s^T q,  dv += (P * m)^T dy     of the block's rows
 *
 * rowsum(P * G) is rowsum(dy * y), too, but a row of s sums up to 0 only by
 * what is rounded in P and G themselves: the gradient of a bias of k hangs on
 * that.
 *
 * Rows of q, k, v and y are D apart.  The left side of each product is read
 * where it lies, the right side from panels that the piece packs once.
 */
#include <math.h>
#include <string.h>

#include "rekindle/kernel.h"
#include "drop.h"
#include "loops.h"
#include "micro.h"

struct heads {
	const struct kernel_attention *s;
	int64_t T, D, W, rows;          /* rows of a block of P */
	float scale;
	const float *q, *k, *v, *mask, *dy;
	const float *kept;              /* P, in backward */
	float *P, *y, *dq, *dk, *dv, *scratch;
	bool add_dq, add_dk, add_dv;
};

/* A thread has these blocks of rows, each of T, and these panels. */
enum { PROBS, DROPPED, GRADIENT, BLOCKS };
enum { KEYS, VALUES, QUERIES, GRADIENTS, PANELS };

#define BLOCK_FLOATS 16384              /* 64 KiB */
#define BLOCK_STEP   (2 * MICRO_M)      /* AVX-512 has tiles of two strips */
#define DEPTH        256                /* of one call of the micro-kernel */

/* Blocks of nearly the same size. */
static int64_t
block_rows(int64_t T)
{
	const int64_t most = RK_MAX(BLOCK_FLOATS / T, BLOCK_STEP);
	const int64_t blocks = (T + most - 1) / most;

	return RK_MIN(T, RK_ROUND_UP((T + blocks - 1) / blocks, BLOCK_STEP));
}

static size_t
block_size(int64_t T)
{
	return (size_t)RK_ROUND_UP(block_rows(T) * T, MICRO_N);
}

/* Of W x T or of T x W. */
static size_t
panel_size(int64_t T, int64_t W)
{
	return (size_t)RK_MAX(W * RK_ROUND_UP(T, MICRO_N),
	    T * RK_ROUND_UP(W, MICRO_N));
}

static size_t
own_size(int64_t T, int64_t W)
{
	return BLOCKS * block_size(T) + PANELS * panel_size(T, W);
}

size_t
kernel_attention_scratch(const struct kernel_attention *s)
{
	return own_size(s->T, s->D / s->heads) * (size_t)kernel_threads();
}

static float *
own(const struct heads *h)
{
	return h->scratch + own_size(h->T, h->W) * (size_t)kernel_self();
}

static float *
block(const struct heads *h, int which)
{
	return own(h) + block_size(h->T) * (size_t)which;
}

static float *
panels(const struct heads *h, int which)
{
	return own(h) + BLOCKS * block_size(h->T) +
	    panel_size(h->T, h->W) * (size_t)which;
}

/* Where head i of all has its columns. */
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

/* --- products ------------------------------------------------------------- */

/* x[T,W] as the right side of a product; turned: its transpose. */
static void
pack(const struct heads *h, bool turned, const float *x, int which)
{
	kernel_micro_panels(turned, turned ? h->W : h->T, turned ? h->T : h->W,
	    x, h->D, panels(h, which));
}

/* A sum over K is cut where panels would not fit the first-level cache. */
static void
multiply(struct micro u)
{
	const int64_t K = u.K;

	for (int64_t k = 0; k < K; k += DEPTH) {
		u.K = RK_MIN(DEPTH, K - k);
		kernel_micro()(&u);
		u.add = true;
		u.A += DEPTH * (u.kind == MICRO_COLUMNS ? u.lda : 1);
		u.B += DEPTH * MICRO_N;
	}
}

/* c[m,T] = a[m,W] times what was packed turned */
static void
scores(const struct heads *h, int64_t m, const float *a, int which, float *c)
{
	multiply((struct micro){ .m = m, .n = h->T, .K = h->W,
	    .kind = MICRO_ROWS, .A = a, .lda = h->D, .B = panels(h, which),
	    .ldb = h->W * MICRO_N, .C = c, .ldc = h->T });
}

/* y[m,W] (+)= p[m,T] times what was packed */
static void
weigh(const struct heads *h, int64_t m, const float *p, int which, bool add,
    float *y)
{
	multiply((struct micro){ .m = m, .n = h->W, .K = h->T,
	    .kind = MICRO_ROWS, .A = p, .lda = h->T, .B = panels(h, which),
	    .ldb = h->T * MICRO_N, .add = add, .C = y, .ldc = h->D });
}

/* y[T,W] (+)= p[m,T]^T times rows r to r + m of what was packed */
static void
weigh_back(const struct heads *h, int64_t r, int64_t m, const float *p,
    int which, bool add, float *y)
{
	multiply((struct micro){ .m = h->T, .n = h->W, .K = m,
	    .kind = MICRO_COLUMNS, .A = p, .lda = h->T,
	    .B = panels(h, which) + r * MICRO_N, .ldb = h->T * MICRO_N,
	    .add = add || r > 0, .C = y, .ldc = h->D });
}

/* --- forward -------------------------------------------------------------- */

/* m of the rows r to r + n of head i */
static void
factors(const struct heads *h, size_t i, int64_t r, int64_t n, float *m)
{
	kernel_drop_factors(h->s->drop, i * (size_t)(h->T * h->T) +
	    (size_t)(r * h->T), (size_t)(n * h->T), m);
}

static void
forward_block(const struct heads *h, size_t i, int64_t r, int64_t m)
{
	const size_t at = columns(h, i) + (size_t)(r * h->D);
	const size_t n = (size_t)h->T, all = (size_t)m * n;
	const float *mask = h->mask == NULL ? NULL :
	    h->mask + i / (size_t)h->s->heads * n;
	float *P = h->P != NULL ? h->P + (i * n + (size_t)r) * n :
	    block(h, PROBS);
	const float *use = P;

	scores(h, m, h->q + at, KEYS, P);
	for (size_t j = 0; j < all; j += n)
		kernel_loops()->softmax(P + j, h->scale, mask, P + j, n);
	if (drops(h)) {
		float *dropped = block(h, DROPPED);
		factors(h, i, r, m, dropped);
		kernel_loops()->mul(dropped, dropped, P, false, all);
		use = dropped;
	}
	weigh(h, m, use, VALUES, false, h->y + at);
}

static void
forward_piece(void *ctx, size_t i)
{
	const struct heads *h = ctx;

	pack(h, true, h->k + columns(h, i), KEYS);
	pack(h, false, h->v + columns(h, i), VALUES);
	for (int64_t r = 0; r < h->T; r += h->rows)
		forward_block(h, i, r, RK_MIN(h->rows, h->T - r));
}

/* --- backward ------------------------------------------------------------- */

/* g[m,T]: from G to s. */
static void
softmax_back(const struct heads *h, int64_t m, const float *P, float *g)
{
	const size_t n = (size_t)h->T, all = (size_t)m * n;

	for (size_t j = 0; j < all; j += n)
		kernel_loops()->softmax_back(P + j, g + j, h->scale, false,
		    g + j, n);
}

static void
back_block(const struct heads *h, size_t i, int64_t r, int64_t m)
{
	const size_t head = columns(h, i), at = head + (size_t)(r * h->D);
	const size_t n = (size_t)h->T, all = (size_t)m * n;
	const float *P = h->kept + (i * n + (size_t)r) * n;
	float *g = block(h, GRADIENT), *dropped = block(h, DROPPED);

	scores(h, m, h->dy + at, VALUES, g);
	if (drops(h)) {
		factors(h, i, r, m, dropped);
		kernel_loops()->mul(g, g, dropped, false, all);
		kernel_loops()->mul(dropped, dropped, P, false, all);
	}
	softmax_back(h, m, P, g);
	if (h->dq != NULL)
		weigh(h, m, g, KEYS, h->add_dq, h->dq + at);
	if (h->dk != NULL)
		weigh_back(h, r, m, g, QUERIES, h->add_dk, h->dk + head);
	if (h->dv != NULL)
		weigh_back(h, r, m, drops(h) ? dropped : P, GRADIENTS,
		    h->add_dv, h->dv + head);
}

static void
back_piece(void *ctx, size_t i)
{
	const struct heads *h = ctx;
	const size_t at = columns(h, i);

	pack(h, true, h->v + at, VALUES);
	if (h->dq != NULL)
		pack(h, false, h->k + at, KEYS);
	if (h->dk != NULL)
		pack(h, false, h->q + at, QUERIES);
	if (h->dv != NULL)
		pack(h, false, h->dy + at, GRADIENTS);
	for (int64_t r = 0; r < h->T; r += h->rows)
		back_block(h, i, r, RK_MIN(h->rows, h->T - r));
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
	h->rows = block_rows(s->T);
	h->scale = (float)(1 / sqrt((double)h->W));
	kernel_for((size_t)(B * s->heads), fn, h);
}

void
kernel_attention(const struct kernel_attention *s, int64_t B, const float *q,
    const float *k, const float *v, const float *mask, float *P, float *y,
    float *scratch)
{
	struct heads h = { .q = q, .k = k, .v = v, .mask = mask, .P = P,
		.y = y, .scratch = scratch };
	run(&h, s, B, forward_piece);
}

void
kernel_attention_back(const struct kernel_attention *s, int64_t B,
    const float *q, const float *k, const float *v, const float *P,
    const float *dy, bool add_dq, float *dq, bool add_dk, float *dk,
    bool add_dv, float *dv, float *scratch)
{
	struct heads h = { .q = q, .k = k, .v = v, .dy = dy, .dq = dq,
		.dk = dk, .dv = dv, .kept = P, .scratch = scratch,
		.add_dq = add_dq, .add_dk = add_dk, .add_dv = add_dv };

	/* Of one array with others, all rows get sums before the last rows of
	 * dq are there. */
	if (dq != NULL && !add_dq && (dq == dk || dq == dv)) {
		kernel_fill(dq, 0, (size_t)(B * s->T * s->D));
		h.add_dq = true;
	}
	run(&h, s, B, back_piece);
}
