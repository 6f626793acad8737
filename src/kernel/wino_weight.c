/*
 * Winograd's convolution, weight gradients; see wino.h.
 *
 * Chunks of tiles follow each other.  The tiles of a chunk are transformed in
 * pieces, V from x and D from dy, and then multiplied in pieces, V^T D.  Two
 * ways to cut the products:
 *
 *	by frequency  a piece is a part of one of the 36 products, added to what
 *	              the chunks before left; after the last chunk, the sums are
 *	              transformed in pieces
 *	by slabs      a piece is some channels in and out, all 36 products and
 *	              their transform.  For many channels and a single chunk:
 *	              the 36 floats for 9 never leave the cache
 *
 * So memory is bounded whatever the batch, and there are no sums over threads.
 * Where the sums of all windows are more than wino_most, this is done for some
 * outputs after the other.
 */
#include "micro.h"
#include "wino.h"

#define CHUNK      ((int64_t)1 << 20)   /* floats of V and D: 4 MiB */
#define FEW_TILES  ((int64_t)32)        /* of a chunk */
#define MOST_TILES ((int64_t)384)
#define STEP       ((int64_t)128)       /* of tiles, in the products */
#define WIDTH      ((int64_t)48)        /* channels in of a panel of V */
#define SLAB_OUT   ((int64_t)64)        /* channels out of a slab */
#define SLAB_FROM  ((int64_t)320 * 320) /* channels in times out */
#define SLAB_CHUNK ((int64_t)1 << 22)   /* floats of V and D: 16 MiB */
#define TILES      ((int64_t)4)         /* of a piece that transforms */

struct wino_back {
	struct wino_grid in, out;
	int64_t tiles, chunk;           /* all; of a chunk, at most */
	int64_t wide_in, wide_out;      /* columns of V, of D */
	bool slabs;
	int64_t group;                  /* outputs at a time, at most */
	struct wino_matrices v, d, u;
	/* A call. */
	micro_fn *micro;
	const float *x, *dy;
	bool add;
	float *dw, *locals;
	struct wino_windows windows;
	int64_t n0, wide;               /* outputs of this group */
	int64_t first, n;               /* tiles of this chunk */
};

static struct wino_matrices
panels(int64_t rows, int64_t width, int64_t columns)
{
	const int64_t panel = rows * width;

	return (struct wino_matrices){ .panel = panel, .width = width,
		.freq = wino_apart(panel * ((columns + width - 1) / width)) };
}

static void
shape(struct wino_back *s, const struct kernel_conv_want *want)
{
	const struct kernel_window *v = &want->v;
	const int64_t th = (v->oh + 3) / 4, tw = (v->ow + 3) / 4;

	*s = (struct wino_back){
		.in = { v->c, v->h, v->w, v->pad[0], v->pad[1], th, tw },
		.out = { want->M, v->oh, v->ow, 0, 0, th, tw },
		.tiles = want->B * th * tw,
		.windows = { .ks = 9, .ns = v->c * 9, .outputs = want->M } };
	s->wide_in = kernel_blocks(v->c) * KERNEL_BLOCK;
	s->wide_out = RK_ROUND_UP(want->M, RK_MAX(MICRO_N, KERNEL_BLOCK));
	int64_t each = WINO_FREQS * (s->wide_in + s->wide_out);
	s->slabs = v->c * want->M >= SLAB_FROM &&
	    s->tiles <= RK_MIN(SLAB_CHUNK / each, MOST_TILES);
	s->group = s->slabs ? s->wide_out : wino_group(v->c, s->wide_out);
	each = WINO_FREQS * (s->wide_in + s->group);
	s->chunk = s->slabs ? MOST_TILES :
	    RK_MIN(RK_MAX(CHUNK / each, FEW_TILES), MOST_TILES);
	s->chunk = RK_MIN(s->chunk, s->tiles);
	s->v = panels(s->chunk, RK_MIN(s->wide_in, WIDTH), s->wide_in);
	s->d = panels(s->chunk, MICRO_N, s->group);
	s->v.far = s->d.far = true;
	if (s->slabs)
		s->u = panels(s->v.width, SLAB_OUT, SLAB_OUT);
	else
		s->u = panels(v->c, s->group, s->group);
}

size_t
wino_weight_scratch(const struct kernel_conv_want *want)
{
	struct wino_back s;

	shape(&s, want);
	return (size_t)(WINO_FREQS * (s.v.freq + s.d.freq + s.u.freq *
	    (s.slabs ? kernel_threads() : 1)));
}

/* How many columns of the panel that begins at column c are channels. */
static int64_t
columns(const struct wino_back *s, int64_t c)
{
	return RK_MIN(s->v.width, s->in.c - c);
}

static void
transform_piece(void *ctx, size_t i)
{
	const struct wino_back *s = ctx;
	const int64_t from = (int64_t)i * TILES;
	const int64_t n = RK_MIN(s->n - from, TILES);
	struct wino_matrices v = s->v, d = s->d;

	v.at += from * v.width;
	d.at += from * d.width;
	wino_from_image(&s->in, s->x, s->first + from, n, &v);
	wino_from_slopes(&s->out, s->dy, s->first + from, n,
	    s->n0 / KERNEL_BLOCK, RK_MIN((s->n0 + s->wide) / KERNEL_BLOCK,
	    kernel_blocks(s->out.c)), &d);
}

/* V and D of a chunk. */
static void
transform(struct wino_back *s)
{
	kernel_for((size_t)((s->n + TILES - 1) / TILES), transform_piece, s);
}

/* Of frequency f, u (+)= the product of the panel of V from column c on and of
 * columns n0 to n1 of D, in steps of STEP tiles. */
static void
product(const struct wino_back *s, int64_t f, int64_t c, int64_t n0,
    int64_t n1, bool add, float *u)
{
	struct micro p = { .m = columns(s, c), .n = n1 - n0,
		.kind = MICRO_COLUMNS, .lda = s->v.width, .ldb = s->d.panel,
		.C = u, .ldc = s->u.width };
	const float *v = s->v.at + f * s->v.freq + c / s->v.width * s->v.panel;
	const float *d = s->d.at + f * s->d.freq + n0 / MICRO_N * s->d.panel;

	for (int64_t t = 0; t < s->n; t += STEP) {
		p.K = RK_MIN(s->n - t, STEP);
		p.A = v + t * s->v.width;
		p.B = d + t * MICRO_N;
		p.add = add || t > 0;
		s->micro(&p);
	}
}

/* --- by frequency --------------------------------------------------------- */

/* Piece i: one panel of V of a frequency. */
static void
frequency_piece(void *ctx, size_t i)
{
	const struct wino_back *s = ctx;
	const int64_t f = (int64_t)i % WINO_FREQS;
	const int64_t c = (int64_t)i / WINO_FREQS * s->v.width;

	product(s, f, c, 0, s->wide, s->first > 0,
	    s->u.at + f * s->u.freq + c * s->u.width);
}

#define BACK_IN  ((int64_t)32)
#define BACK_OUT ((int64_t)16)

/* Piece i: some windows, from the sums of all chunks. */
static void
windows_piece(void *ctx, size_t i)
{
	const struct wino_back *s = ctx;
	const int64_t across = s->wide / BACK_OUT;
	const int64_t k = (int64_t)i / across * BACK_IN;
	const int64_t n = (int64_t)i % across * BACK_OUT;
	struct wino_matrices u = s->u;

	u.at += k * u.width + n;
	wino_to_windows(&s->windows, &u, k, RK_MIN(k + BACK_IN, s->in.c),
	    s->n0 + n, s->n0 + n + BACK_OUT, s->add, s->dw);
}

/* One group of outputs. */
static void
by_frequency(struct wino_back *s)
{
	const int64_t count = (s->tiles + s->chunk - 1) / s->chunk;
	const int64_t in = (s->wide_in + s->v.width - 1) / s->v.width;

	for (int64_t i = 0; i < count; i++) {
		s->first = s->tiles * i / count;
		s->n = s->tiles * (i + 1) / count - s->first;
		transform(s);
		kernel_for((size_t)(in * WINO_FREQS), frequency_piece, s);
	}
	kernel_for((size_t)((s->in.c + BACK_IN - 1) / BACK_IN *
	    (s->wide / BACK_OUT)), windows_piece, s);
}

/* --- by slabs ------------------------------------------------------------- */

static void
slab_piece(void *ctx, size_t i)
{
	const struct wino_back *s = ctx;
	const int64_t across = (s->wide_out + SLAB_OUT - 1) / SLAB_OUT;
	const int64_t c = (int64_t)i / across * s->v.width;
	const int64_t n0 = (int64_t)i % across * SLAB_OUT;
	const int64_t n1 = RK_MIN(n0 + SLAB_OUT, s->wide_out);
	struct wino_matrices u = s->u;

	u.at = s->locals + WINO_FREQS * u.freq * kernel_self();
	for (int64_t f = 0; f < WINO_FREQS; f++)
		product(s, f, c, n0, n1, false, u.at + f * u.freq);
	wino_to_windows(&s->windows, &u, c, c + columns(s, c), n0, n1, s->add,
	    s->dw);
}

static void
by_slabs(struct wino_back *s)
{
	const int64_t in = (s->wide_in + s->v.width - 1) / s->v.width;
	const int64_t out = (s->wide_out + SLAB_OUT - 1) / SLAB_OUT;

	s->first = 0;
	s->n = s->tiles;
	transform(s);
	kernel_for((size_t)(in * out), slab_piece, s);
}

/* -------------------------------------------------------------------------- */

void
wino_weight(const struct kernel_conv_want *want, int64_t B, const float *x,
    const float *dy, bool add, float *dw, float *scratch)
{
	struct wino_back s;

	must(B <= want->B);
	shape(&s, want);
	s.tiles = s.tiles / want->B * B;
	s.micro = kernel_micro();
	s.x = x;
	s.dy = dy;
	s.add = add;
	s.dw = dw;
	s.v.at = scratch;
	s.d.at = s.v.at + WINO_FREQS * s.v.freq;
	s.u.at = s.locals = s.d.at + WINO_FREQS * s.d.freq;
	for (s.n0 = 0; s.n0 < s.wide_out; s.n0 += s.group) {
		s.wide = RK_MIN(s.group, s.wide_out - s.n0);
		if (s.slabs)
			by_slabs(&s);
		else
			by_frequency(&s);
	}
}
