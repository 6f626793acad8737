/*
 * Winograd's convolution, forward and data gradients; see wino.h.  Both are one
 * computation: of x with the windows, of dy with the windows turned round.
 *
 * Two ways to cut it, with the same bits:
 *
 *	by tiles  all windows are transformed, U, in pieces; then a piece is
 *	          some tiles: their transform V, 36 products M, and back.  V and
 *	          M stay in the second-level cache where channels are few.
 *	          Where U would be larger than wino_most, some outputs after the
 *	          other
 *	by slabs  all tiles are transformed in pieces; then a piece is some
 *	          outputs, whose windows are transformed for it alone.  For few
 *	          tiles of many channels: to write and read U, 36 floats for 9,
 *	          would take longer than the products
 */
#include <stdlib.h>

#include "conv_way.h"
#include "loops.h"
#include "micro.h"
#include "twice.h"
#include "window.h"
#include "wino.h"

#define CACHE      ((int64_t)110592)    /* floats of V and M: 432 KiB */
#define FEW_TILES  ((int64_t)24)        /* of a piece */
#define SOME_TILES ((int64_t)48)
#define MANY_TILES ((int64_t)96)
#define SLAB_TILES ((int64_t)256)       /* at most, of all */
#define SLAB_WIDTH ((int64_t)32)        /* outputs */
#define SLAB_FROM  ((int64_t)256 * 256) /* channels in times out */

struct wino {
	struct wino_grid in, out;
	int64_t B, tiles;               /* of all samples */
	int64_t wide_in, wide_out;      /* columns of V, of M */
	bool slabs;
	int64_t group;                  /* by tiles: outputs, at most */
	int64_t tile;                   /* by tiles: of a piece, at most */
	struct wino_matrices u, v, m;   /* without `at` */
	int64_t local;                  /* floats a thread */
	/* A call. */
	micro_fn *micro;
	struct wino_windows windows;
	const float *x, *w;
	float *y, *locals;
	struct wino_end end;
	int64_t pieces;
	int64_t n0, wide;               /* by tiles: outputs of this group */
};

int64_t wino_most = (int64_t)1 << 24;

static struct wino_matrices
matrices(int64_t rows, int64_t width, int64_t panels)
{
	return (struct wino_matrices){ .panel = rows * width, .width = width,
		.freq = wino_apart(rows * width * panels) };
}

/* Tiles of a piece, at most: V and M fit the second-level cache, or pieces are
 * as large as it takes for the way of U from beyond that not to count. */
static int64_t
piece_tiles(int64_t columns)
{
	const int64_t n = CACHE / (WINO_FREQS * columns) / 12 * 12;

	return n < FEW_TILES ? SOME_TILES : RK_MIN(n, MANY_TILES);
}

static void
shape(struct wino *s, const struct kernel_conv_want *want, bool data)
{
	const struct kernel_window *v = &want->v;
	const int64_t th = ((data ? v->h : v->oh) + 3) / 4;
	const int64_t tw = ((data ? v->w : v->ow) + 3) / 4;
	const struct wino_grid x = { v->c, v->h, v->w, data ? 0 : v->pad[0],
		data ? 0 : v->pad[1], th, tw };
	const struct wino_grid y = { want->M, v->oh, v->ow,
		data ? 2 - v->pad[0] : 0, data ? 2 - v->pad[1] : 0, th, tw };

	*s = (struct wino){ .in = data ? y : x, .out = data ? x : y };
	s->B = want->B;
	s->tiles = s->B * th * tw;
	s->wide_in = kernel_blocks(s->in.c) * KERNEL_BLOCK;
	s->wide_out = RK_ROUND_UP(s->out.c, RK_MAX(MICRO_N, KERNEL_BLOCK));
	s->slabs = s->tiles <= SLAB_TILES && s->in.c * s->out.c >= SLAB_FROM;
	s->windows = (struct wino_windows){ .outputs = s->out.c,
		.ks = data ? v->c * 9 : 9, .ns = data ? 9 : v->c * 9,
		.turned = data };
	s->group = wino_group(s->in.c, s->wide_out);
	s->tile = s->slabs ? s->tiles : RK_MIN(s->tiles,
	    piece_tiles(s->wide_in + s->group));
	const int64_t columns = s->slabs ? SLAB_WIDTH : s->group;
	const int64_t K = RK_MIN(s->in.c, WINO_K);
	s->u = matrices(K, MICRO_N, columns / MICRO_N *
	    (s->slabs ? 1 : (s->in.c + K - 1) / K));
	s->v = matrices(s->tile, s->wide_in, 1);
	s->v.far = s->slabs;
	s->m = matrices(s->tile, columns, 1);
	s->local = WINO_FREQS * (s->m.freq + (s->slabs ? s->u.freq :
	    s->v.freq));
}

static size_t
floats(const struct wino *s)
{
	return (size_t)(WINO_FREQS * (s->slabs ? s->v.freq : s->u.freq) +
	    s->local * kernel_threads());
}

/* M (+)= V U of one frequency: rows of V, columns of M, steps of K. */
static void
product(const struct wino *s, int64_t rows, int64_t columns, int64_t K,
    const float *v, const float *u, bool add, float *m)
{
	struct micro p = { .m = rows, .n = columns, .K = K,
		.kind = MICRO_ROWS, .A = v, .lda = s->v.width, .B = u,
		.ldb = s->u.panel, .add = add, .C = m, .ldc = s->m.width };

	s->micro(&p);
}

/* --- by tiles ------------------------------------------------------------- */

/* Piece i: WINO_K rows of a panel of U. */
static void
windows_piece(void *ctx, size_t i)
{
	const struct wino *s = ctx;
	const int64_t panels = s->wide / MICRO_N;
	const int64_t k = (int64_t)i / panels * WINO_K;
	const int64_t n = (int64_t)i % panels * MICRO_N;
	struct wino_matrices u = s->u;

	u.at += k * s->wide + n / MICRO_N * u.panel;
	wino_from_windows(&s->windows, s->w, k, RK_MIN(k + WINO_K, s->in.c),
	    s->n0 + n, s->n0 + n + MICRO_N, &u);
}

static void
tiles_piece(void *ctx, size_t i)
{
	const struct wino *s = ctx;
	const int64_t from = s->tiles * (int64_t)i / s->pieces;
	const int64_t n = s->tiles * ((int64_t)i + 1) / s->pieces - from;
	struct wino_matrices v = s->v, m = s->m;

	v.at = s->locals + s->local * kernel_self();
	m.at = v.at + WINO_FREQS * v.freq;
	wino_from_image(&s->in, s->x, from, n, &v);
	for (int64_t f = 0; f < WINO_FREQS; f++)
		for (int64_t k = 0; k < s->in.c; k += WINO_K)
			product(s, n, s->wide, RK_MIN(s->in.c - k, WINO_K),
			    v.at + f * v.freq + k, s->u.at + f * s->u.freq +
			    k * s->wide, k > 0, m.at + f * m.freq);
	wino_to_image(&s->out, &m, from, n, s->n0 / KERNEL_BLOCK,
	    RK_MIN((s->n0 + s->wide) / KERNEL_BLOCK,
	    kernel_blocks(s->out.c)), &s->end, s->y);
}

/* A multiple of four pieces, for teams of two and of four, unless they become
 * too small. */
static int64_t
pieces(const struct wino *s)
{
	const int64_t least = (s->tiles + s->tile - 1) / s->tile;

	return RK_MAX(least, RK_MIN(RK_ROUND_UP(least, 4), s->tiles / 12));
}

static void
by_tiles(struct wino *s, float *scratch)
{
	const int64_t steps = (s->in.c + WINO_K - 1) / WINO_K;

	s->u.at = scratch;
	s->locals = scratch + WINO_FREQS * s->u.freq;
	s->pieces = pieces(s);
	for (s->n0 = 0; s->n0 < s->wide_out; s->n0 += s->group) {
		s->wide = RK_MIN(s->group, s->wide_out - s->n0);
		kernel_for((size_t)(steps * s->wide / MICRO_N), windows_piece,
		    s);
		kernel_for((size_t)s->pieces, tiles_piece, s);
	}
}

/* --- by slabs ------------------------------------------------------------- */

static void
image_piece(void *ctx, size_t i)
{
	const struct wino *s = ctx;
	const int64_t from = (int64_t)i * 4;
	struct wino_matrices v = s->v;

	v.at += from * v.width;
	wino_from_image(&s->in, s->x, from, RK_MIN(s->tiles - from, 4), &v);
}

static void
slab_piece(void *ctx, size_t i)
{
	const struct wino *s = ctx;
	const int64_t n0 = (int64_t)i * SLAB_WIDTH;
	const int64_t n1 = RK_MIN(n0 + SLAB_WIDTH, s->wide_out);
	struct wino_matrices u = s->u, m = s->m;

	u.at = s->locals + s->local * kernel_self();
	m.at = u.at + WINO_FREQS * u.freq;
	for (int64_t k = 0; k < s->in.c; k += WINO_K) {
		const int64_t K = RK_MIN(s->in.c - k, WINO_K);
		wino_from_windows(&s->windows, s->w, k, k + K, n0, n1, &u);
		for (int64_t f = 0; f < WINO_FREQS; f++)
			product(s, s->tiles, n1 - n0, K, s->v.at +
			    f * s->v.freq + k, u.at + f * u.freq, k > 0,
			    m.at + f * m.freq);
	}
	wino_to_image(&s->out, &m, 0, s->tiles, n0 / KERNEL_BLOCK,
	    RK_MIN(n1 / KERNEL_BLOCK, kernel_blocks(s->out.c)), &s->end, s->y);
}

static void
by_slabs(struct wino *s, float *scratch)
{
	s->v.at = scratch;
	s->locals = scratch + WINO_FREQS * s->v.freq;
	kernel_for((size_t)((s->tiles + 3) / 4), image_piece, s);
	kernel_for((size_t)((s->wide_out + SLAB_WIDTH - 1) / SLAB_WIDTH),
	    slab_piece, s);
}

/* -------------------------------------------------------------------------- */

static void
run(const struct kernel_conv_want *want, bool data, int64_t B,
    const float *x, const float *w, const struct wino_end *end, float *y,
    float *scratch)
{
	struct wino s;

	must(B <= want->B);
	shape(&s, want, data);
	s.tiles = s.tiles / s.B * B;
	s.B = B;
	s.micro = kernel_micro();
	s.x = x;
	s.w = w;
	s.y = y;
	s.end = *end;
	if (s.slabs)
		by_slabs(&s, scratch);
	else
		by_tiles(&s, scratch);
}

void
wino_forward(const struct kernel_conv_want *want, int64_t B, const float *x,
    const float *w, const float *b, bool relu, float *y, float *scratch)
{
	const struct wino_end end = { .b = b, .relu = relu };

	run(want, false, B, x, w, &end, y, scratch);
}

void
wino_data(const struct kernel_conv_want *want, int64_t B, const float *w,
    const float *dy, bool add, float *dx, float *scratch)
{
	const struct wino_end end = { .add = add };

	run(want, true, B, dy, w, &end, dx, scratch);
}

/* --- the way -------------------------------------------------------------- */

bool
wino_can(const struct kernel_conv_want *want)
{
	const struct kernel_window *v = &want->v;

	if (!want->fast || want->x != KERNEL_BLOCKED ||
	    want->y != KERNEL_BLOCKED || window_groups(v) != 1 ||
	    kernel_loops() == &kernel_loops_plain)
		return false;
	for (int i = 0; i < 2; i++)
		if (v->k[i] != 3 || v->stride[i] != 1 || v->pad[i] > 2 ||
		    window_dilation(v, i) != 1)
			return false;
	return true;
}

/*
 * In multiplications of the products, which those of a direct convolution about
 * equal in time: what a tile's transforms take for each channel, and what those
 * of a window take.
 */
#define TILE_WORK   250
#define WINDOW_WORK 200

double
wino_saves(const struct kernel_conv_want *want)
{
	const struct kernel_window *v = &want->v;
	const double c = (double)v->c, M = (double)want->M;
	const double columns = (double)(kernel_blocks(v->c) +
	    kernel_blocks(want->M)) * KERNEL_BLOCK;
	const double tiles = (double)want->B * (double)((v->oh + 3) / 4) *
	    (double)((v->ow + 3) / 4);

	return 9 * (double)want->B * (double)(v->oh * v->ow) * c * M /
	    (WINO_FREQS * tiles * c * (double)RK_ROUND_UP(want->M, MICRO_N) +
	    TILE_WORK * tiles * columns + WINDOW_WORK * c * M);
}

size_t
wino_scratch(const struct kernel_conv_want *want, enum kernel_conv_pass pass)
{
	struct wino s;

	if (pass == KERNEL_CONV_WEIGHT)
		return wino_weight_scratch(want);
	shape(&s, want, pass == KERNEL_CONV_DATA);
	return floats(&s);
}

struct way {
	struct kernel_conv_want want;
	enum kernel_conv_pass pass;
};

static void *
make(const struct kernel_conv_want *want, enum kernel_conv_pass pass)
{
	if (!wino_can(want) || wino_saves(want) <= 1)
		return NULL;
	struct way *w = xcalloc(1, sizeof(*w));
	*w = (struct way){ *want, pass };
	return w;
}

static size_t
scratch(const void *state)
{
	const struct way *w = state;

	return wino_scratch(&w->want, w->pass);
}

static void
run_way(const void *state, const struct conv_call *c)
{
	const struct way *w = state;

	switch (w->pass) {
	case KERNEL_CONV_FORWARD:
		wino_forward(&w->want, c->B, c->x, c->w, c->b, c->relu, c->out,
		    c->scratch);
		return;
	case KERNEL_CONV_DATA:
		wino_data(&w->want, c->B, c->w, c->dy, c->add, c->out,
		    c->scratch);
		return;
	default:
		wino_weight(&w->want, c->B, c->x, c->dy, c->add, c->out,
		    c->scratch);
	}
}

const struct conv_way kernel_conv_winograd = { make, free, scratch, run_way };
