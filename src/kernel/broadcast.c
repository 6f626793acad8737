/*
 * Sums and products with an array that counts several times, and the sums over
 * those times that are their gradients.
 *
 * Neighbouring dimensions that both count in b, or both do not, are one: of
 * [B,C,h,w] and [B,C,1,1] remains [B*C, h*w] and [B*C, 1].
 */
#include "rekindle/kernel.h"
#include "plain.h"

#define PIECE ((size_t)16384)           /* numbers */

struct cast {
	struct kernel_cast c;
	size_t n;                       /* of a's elements */
	size_t row, block, across;      /* of b's: a row, blocks in one */
	const float *a, *b;
	bool add;
	float *y;
};

static void
join(struct kernel_cast *c, int ndim, const int64_t *d, const int64_t *db)
{
	size_t stride = 1;
	bool kept[KERNEL_DIMS];

	must(ndim >= 1 && ndim <= KERNEL_DIMS);
	c->ndim = 0;
	for (int i = 0; i < ndim; i++) {
		must(db[i] == d[i] || db[i] == 1);
		if (d[i] == 1)
			continue;
		bool keep = db[i] != 1;
		if (c->ndim > 0 && kept[c->ndim - 1] == keep) {
			c->d[c->ndim - 1] *= (size_t)d[i];
			continue;
		}
		kept[c->ndim] = keep;
		c->d[c->ndim++] = (size_t)d[i];
	}
	if (c->ndim == 0) {
		kept[0] = true;
		c->d[c->ndim++] = 1;
	}
	for (int i = c->ndim - 1; i >= 0; i--) {
		c->s[i] = kept[i] ? stride : 0;
		stride *= kept[i] ? c->d[i] : 1;
	}
}

/* A piece is some elements of a. */
static void
run(struct cast *k, int ndim, const int64_t *d, const int64_t *db,
    kernel_piece_fn *fn)
{
	join(&k->c, ndim, d, db);
	k->n = 1;
	for (int i = 0; i < ndim; i++)
		k->n *= (size_t)d[i];
	kernel_for((k->n + PIECE - 1) / PIECE, fn, k);
}

static void
add_piece(void *ctx, size_t i)
{
	const struct cast *k = ctx;

	kernel_plain_broadcast_add(&k->c, i * PIECE,
	    RK_MIN((i + 1) * PIECE, k->n), k->a, k->b, k->y);
}

void
kernel_broadcast_add(int ndim, const int64_t *d, const int64_t *db,
    const float *a, const float *b, float *y)
{
	struct cast k = { .a = a, .b = b, .y = y };
	run(&k, ndim, d, db, add_piece);
}

static void
multiply_piece(void *ctx, size_t i)
{
	const struct cast *k = ctx;

	kernel_plain_broadcast_multiply(&k->c, i * PIECE,
	    RK_MIN((i + 1) * PIECE, k->n), k->a, k->b, k->add, k->y);
}

void
kernel_broadcast_multiply(int ndim, const int64_t *d, const int64_t *db,
    const float *a, const float *b, bool add, float *y)
{
	struct cast k = { .a = a, .b = b, .add = add, .y = y };
	run(&k, ndim, d, db, multiply_piece);
}

static void
reduce_piece(void *ctx, size_t i)
{
	const struct cast *k = ctx;
	const size_t at = i % k->across * k->block;

	kernel_plain_reduce(&k->c, i / k->across * k->row + at,
	    RK_MIN(k->block, k->row - at), k->b, k->a, k->add, k->y);
}

/* A piece is some neighbours among b's elements: of one row of b if its last
 * dimension is that of a.  They are summed as a row of a is read, so there they
 * should be many. */
void
kernel_reduce(int ndim, const int64_t *d, const int64_t *db, const float *dy,
    const float *a, bool add, float *g)
{
	struct cast k = { .a = a, .b = dy, .add = add, .y = g };
	size_t all = 1, n = 1;

	join(&k.c, ndim, d, db);
	const size_t w = k.c.d[k.c.ndim - 1];
	const bool columns = k.c.s[k.c.ndim - 1] != 0;
	for (int i = 0; i < ndim; i++) {
		n *= (size_t)db[i];
		all *= (size_t)d[i];
	}
	k.row = columns ? w : n;
	k.block = RK_MIN(KERNEL_REDUCE, RK_MAX(PIECE / (all / n),
	    columns ? 16u : 1u));
	k.across = (k.row + k.block - 1) / k.block;
	kernel_for(n / k.row * k.across, reduce_piece, &k);
}
