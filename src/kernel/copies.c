/* Copies between places; pieces are blocks of rows. */
#include "rekindle/kernel.h"
#include "plain.h"

#define PIECE ((size_t)16384)           /* numbers */

struct copy {
	size_t rows, n, block;
	size_t xs, ys;                  /* from row to row */
	const float *x;
	bool add;
	float *y;
	int ndim;                       /* of a transposition */
	size_t d[KERNEL_DIMS], s[KERNEL_DIMS];
	int64_t c, h, w, out, stride;   /* of a shortcut */
};

static void
run(struct copy *c, size_t rows, size_t n, kernel_piece_fn *fn)
{
	c->rows = rows;
	c->n = n;
	c->block = RK_MAX(PIECE / RK_MAX(n, 1u), 1u);
	kernel_for((rows + c->block - 1) / c->block, fn, c);
}

static size_t
length(const struct copy *c, size_t piece)
{
	return RK_MIN(c->block, c->rows - piece * c->block);
}

static void
rows_piece(void *ctx, size_t i)
{
	const struct copy *c = ctx;
	const size_t r = i * c->block;

	kernel_plain_copy(length(c, i), c->n, c->xs, c->ys, c->x + r * c->xs,
	    c->add, c->y + r * c->ys);
}

void
kernel_slice(size_t outer, size_t d, size_t inner, size_t from, size_t len,
    const float *x, bool add, float *y)
{
	struct copy c = { .xs = d * inner, .ys = len * inner,
		.x = x + from * inner, .add = add, .y = y };

	must(from + len <= d);
	run(&c, outer, len * inner, rows_piece);
}

void
kernel_place(size_t outer, size_t d, size_t inner, size_t from, size_t len,
    const float *x, bool add, float *y)
{
	struct copy c = { .xs = len * inner, .ys = d * inner, .x = x,
		.add = add, .y = y + from * inner };

	must(from + len <= d);
	run(&c, outer, len * inner, rows_piece);
}

void
kernel_repeat(size_t times, size_t n, const float *x, float *y)
{
	struct copy c = { .xs = 0, .ys = n, .x = x, .y = y };
	run(&c, times, n, rows_piece);
}

static void
permute_piece(void *ctx, size_t i)
{
	const struct copy *c = ctx;
	const size_t r = i * c->block;

	kernel_plain_permute(c->ndim, c->d, c->s, r, r + length(c, i), c->x,
	    c->add, c->y);
}

void
kernel_transpose(int ndim, const int64_t *d, const int *order, const float *x,
    bool add, float *y)
{
	struct copy c = { .x = x, .add = add, .y = y, .ndim = ndim };
	size_t stride[KERNEL_DIMS], rows = 1, at = 1;
	unsigned seen = 0;

	must(ndim >= 1 && ndim <= KERNEL_DIMS);
	for (int i = ndim - 1; i >= 0; i--) {
		stride[i] = at;
		at *= (size_t)d[i];
	}
	for (int i = 0; i < ndim; i++) {
		must(order[i] >= 0 && order[i] < ndim);
		seen |= 1u << order[i];
		c.d[i] = (size_t)d[order[i]];
		c.s[i] = stride[order[i]];
		rows *= i < ndim - 1 ? c.d[i] : 1;
	}
	must(seen == (1u << ndim) - 1);
	run(&c, rows, c.d[ndim - 1], permute_piece);
}

/* Rows are samples here. */
static void
shortcut_piece(void *ctx, size_t i)
{
	const struct copy *c = ctx;

	for (size_t b = i * c->block, k = length(c, i); k > 0; k--, b++)
		kernel_plain_shortcut_a(c->c, c->h, c->w, c->out, c->stride,
		    c->x + b * c->xs, c->y + b * c->ys);
}

static void
shortcut_back_piece(void *ctx, size_t i)
{
	const struct copy *c = ctx;

	for (size_t b = i * c->block, k = length(c, i); k > 0; k--, b++)
		kernel_plain_shortcut_a_back(c->c, c->h, c->w, c->out,
		    c->stride, c->x + b * c->xs, c->add, c->y + b * c->ys);
}

static size_t
shortcut_size(int64_t h, int64_t w, int64_t out, int64_t stride)
{
	return (size_t)(out * ((h + stride - 1) / stride) *
	    ((w + stride - 1) / stride));
}

void
kernel_shortcut_a(int64_t B, int64_t c, int64_t h, int64_t w, int64_t out,
    int64_t stride, const float *x, float *y)
{
	struct copy s = { .c = c, .h = h, .w = w, .out = out,
		.stride = stride, .x = x, .y = y, .xs = (size_t)(c * h * w),
		.ys = shortcut_size(h, w, out, stride) };

	must(out >= c);
	run(&s, (size_t)B, s.ys, shortcut_piece);
}

void
kernel_shortcut_a_back(int64_t B, int64_t c, int64_t h, int64_t w, int64_t out,
    int64_t stride, const float *dy, bool add, float *dx)
{
	struct copy s = { .c = c, .h = h, .w = w, .out = out,
		.stride = stride, .x = dy, .add = add, .y = dx,
		.xs = shortcut_size(h, w, out, stride),
		.ys = (size_t)(c * h * w) };

	must(out >= c);
	run(&s, (size_t)B, s.ys, shortcut_back_piece);
}
