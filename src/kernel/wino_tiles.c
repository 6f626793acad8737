/* Images to and from tiles; see wino.h for the formulas. */
#include "wino_vec.h"

typedef int32_t mask __attribute__((vector_size(4 * LANES)));

/* --- one side of a transform ---------------------------------------------- */

/* d = Bt d */
HELP void
bt(vec d[SIDE])
{
	const vec a = d[4] - 4 * d[2], b = d[3] - 4 * d[1];
	const vec e = d[4] - d[2], f = 2 * (d[3] - d[1]);

	d[0] = 4 * d[0] + (d[4] - 5 * d[2]);
	d[5] = 4 * d[1] + (d[5] - 5 * d[3]);
	d[1] = a + b;
	d[2] = a - b;
	d[3] = e + f;
	d[4] = e - f;
}

/* y = At m */
HELP void
at(const vec m[SIDE], vec y[OUT])
{
	const vec p = m[1] + m[2], q = m[1] - m[2];
	const vec r = m[3] + m[4], t = m[3] - m[4];

	y[0] = m[0] + p + r;
	y[1] = q + 2 * t;
	y[2] = p + 4 * r;
	y[3] = q + 8 * t + m[5];
}

/* m = A y */
HELP void
a(const vec y[OUT], vec m[SIDE])
{
	const vec e = y[0] + y[2], o = y[1] + y[3];
	const vec p = y[0] + 4 * y[2], q = 2 * y[1] + 8 * y[3];

	m[0] = y[0];
	m[1] = e + o;
	m[2] = e - o;
	m[3] = p + q;
	m[4] = p - q;
	m[5] = y[3];
}

/* --- tiles ---------------------------------------------------------------- */

/* Where tile t lies in the image; the next one by step(). */
struct place {
	int64_t b, y, x;
};

static struct place
place(const struct wino_grid *s, int64_t t)
{
	const int64_t r = t % (s->th * s->tw);

	return (struct place){ t / (s->th * s->tw), r / s->tw, r % s->tw };
}

static inline void
step(const struct wino_grid *s, struct place *p)
{
	if (++p->x < s->tw)
		return;
	p->x = 0;
	if (++p->y < s->th)
		return;
	p->y = 0;
	p->b++;
}

/* The part of an output tile that lies inside the image. */
struct part {
	int64_t rows, columns;
};

/*
 * Where the rows and columns of a tile lie, in floats from its first: for those
 * outside the image, where some that are inside do, and `on` is 0, else all
 * bits.
 */
struct spots {
	int64_t apart;                  /* rows */
	int64_t row[SIDE], column[SIDE];
	int32_t row_on[SIDE], column_on[SIDE];
	bool whole;
};

static void
spots_along(int64_t first, int64_t size, int64_t side, int64_t apart,
    int64_t *at_spot, int32_t *on)
{
	for (int64_t i = 0; i < side; i++) {
		const bool in = first + i >= 0 && first + i < size;
		at_spot[i] = (in ? i : RK_MAX(-first, 0)) * apart;
		on[i] = -(int32_t)in;
	}
}

/* A tile of `side` rows and columns that begins at (y, x); the places are set
 * where it is not whole. */
static inline void
spots(const struct wino_grid *s, int64_t y, int64_t x, int64_t side,
    struct spots *q)
{
	q->whole = y >= 0 && x >= 0 && y + side <= s->h && x + side <= s->w;
	if (q->whole)
		return;
	spots_along(y, s->h, side, q->apart, q->row, q->row_on);
	spots_along(x, s->w, side, KERNEL_BLOCK, q->column, q->column_on);
}

/* Place (i, j) of a tile: 0 outside the image. */
HELP vec
spot(const float *x, const struct spots *q, const bool whole, int i, int j)
{
	if (whole)
		return load(x + i * q->apart + j * KERNEL_BLOCK);
	return (vec)((mask)load(x + q->row[i] + q->column[j]) &
	    q->row_on[i] & q->column_on[j]);
}

HELP void
image_tile(const float *x, const struct spots *q, const bool whole, float *to,
    int64_t freq)
{
	vec t[SIDE][SIDE];

	EACH for (int j = 0; j < SIDE; j++) {
		vec d[SIDE];
		EACH for (int i = 0; i < SIDE; i++)
			d[i] = spot(x, q, whole, i, j);
		bt(d);
		EACH for (int i = 0; i < SIDE; i++)
			t[i][j] = d[i];
	}
	EACH for (int i = 0; i < SIDE; i++) {
		bt(t[i]);
		EACH for (int j = 0; j < SIDE; j++)
			store(to + (i * SIDE + j) * freq, t[i][j]);
	}
}

HELP void
slopes_tile(const float *y, const struct spots *q, const bool whole, float *to,
    int64_t freq)
{
	vec t[SIDE][OUT];

	EACH for (int j = 0; j < OUT; j++) {
		vec d[OUT], m[SIDE];
		EACH for (int i = 0; i < OUT; i++)
			d[i] = spot(y, q, whole, i, j);
		a(d, m);
		EACH for (int i = 0; i < SIDE; i++)
			t[i][j] = m[i];
	}
	EACH for (int i = 0; i < SIDE; i++) {
		vec m[SIDE];
		a(t[i], m);
		EACH for (int j = 0; j < SIDE; j++)
			store(to + (i * SIDE + j) * freq, m[j]);
	}
}

/* Ask for the places two tiles on, which a row of the image mostly has; the
 * rows above those of the next row of tiles have been read with the last. */
HELP void
ask_ahead(const float *x, int64_t row, const int64_t side)
{
	EACH for (int64_t i = side - OUT; i < side; i++) {
		const float *p = x + i * row + 2 * OUT * KERNEL_BLOCK;
		__builtin_prefetch(p);
		__builtin_prefetch(p + LINE);
	}
}

/* Ask for the next row of each matrix, a cache line of it, to be written. */
HELP void
ask_below(const float *at_row, const struct wino_matrices *to)
{
	for (int f = 0; f < WINO_FREQS; f++)
		__builtin_prefetch(at_row + to->width + f * to->freq, 1);
}

typedef void tile_fn(const float *x, const struct spots *q, const bool whole,
    float *to, int64_t freq);

/* Both kinds of tiles: fn is inlined. */
HELP void
from_tiles(const struct wino_grid *s, const float *x, int64_t t0, int64_t n,
    int64_t c0, int64_t c1, const struct wino_matrices *to,
    const int64_t side, tile_fn *fn)
{
	const int64_t blocks = kernel_blocks(s->c), row = s->w * KERNEL_BLOCK;
	const int64_t plane = s->h * row;
	struct place p = place(s, t0);
	struct spots q = { .apart = row };

	for (int64_t t = 0; t < n; t++, step(s, &p)) {
		const int64_t ty = p.y * OUT - s->up, tx = p.x * OUT - s->left;
		const float *from = x + (p.b * blocks + c0) * plane + ty * row +
		    tx * KERNEL_BLOCK;
		spots(s, ty, tx, side, &q);
		for (int64_t c = 0; c < (c1 - c0) * KERNEL_BLOCK;
		    c += LANES) {
			const float *tile = from + c / KERNEL_BLOCK * plane +
			    c % KERNEL_BLOCK;
			float *at_row = element(to, t, c);
			if (q.whole)
				fn(tile, &q, true, at_row, to->freq);
			else
				fn(tile, &q, false, at_row, to->freq);
			ask_ahead(tile, row, side);
			if (to->far && c % LINE == 0)
				ask_below(at_row, to);
		}
	}
}

FAST void
wino_from_image(const struct wino_grid *s, const float *x, int64_t t0,
    int64_t n, const struct wino_matrices *to)
{
	from_tiles(s, x, t0, n, 0, kernel_blocks(s->c), to, SIDE, image_tile);
}

FAST void
wino_from_slopes(const struct wino_grid *s, const float *dy, int64_t t0,
    int64_t n, int64_t c0, int64_t c1, const struct wino_matrices *to)
{
	from_tiles(s, dy, t0, n, c0, c1, to, OUT, slopes_tile);
}

/* --- to the image --------------------------------------------------------- */

/* What is done with each result: lanes that are no channel become 0. */
struct finish {
	vec b;
	mask on;
	bool relu, add;
};

HELP struct finish
finish(const struct wino_end *e, int64_t c, int64_t channels)
{
	float b[LANES] = { 0 };
	int32_t on[LANES] = { 0 };
	mask m;

	for (int64_t l = 0; l < RK_MIN(channels - c, LANES); l++) {
		on[l] = -1;
		b[l] = e->b != NULL ? e->b[c + l] : 0;
	}
	memcpy(&m, on, sizeof(m));
	return (struct finish){ load(b), m, e->relu, e->add };
}

HELP vec
finished(const struct finish *f, vec v)
{
	v += f->b;
	if (f->relu)            /* NaN stays */
		v = (vec)((mask)v & ~(v < 0));
	return (vec)((mask)v & f->on);
}

/* y: place (0, 0) of the tile. */
HELP void
output_tile(const float *m, int64_t freq, const struct part *q,
    const struct finish *f, float *y, int64_t row)
{
	vec t[OUT][SIDE], r[OUT][OUT];

	EACH for (int j = 0; j < SIDE; j++) {
		vec d[SIDE], o[OUT];
		EACH for (int i = 0; i < SIDE; i++)
			d[i] = load(m + (i * SIDE + j) * freq);
		at(d, o);
		EACH for (int i = 0; i < OUT; i++)
			t[i][j] = o[i];
	}
	EACH for (int i = 0; i < OUT; i++) {
		at(t[i], r[i]);
		EACH for (int j = 0; j < OUT; j++)
			r[i][j] = finished(f, r[i][j]);
		if (i >= q->rows)
			return;
		if (q->columns == OUT) {
			EACH for (int j = 0; j < OUT; j++)
				put(y + i * row + j * KERNEL_BLOCK, r[i][j],
				    f->add);
		} else {
			for (int j = 0; j < q->columns; j++)
				put(y + i * row + j * KERNEL_BLOCK, r[i][j],
				    f->add);
		}
	}
}

FAST void
wino_to_image(const struct wino_grid *s, const struct wino_matrices *m,
    int64_t t0, int64_t n, int64_t c0, int64_t c1, const struct wino_end *e,
    float *y)
{
	const int64_t blocks = kernel_blocks(s->c);
	const int64_t plane = s->h * s->w * KERNEL_BLOCK;
	const int64_t first = c0 * KERNEL_BLOCK;

	for (int64_t c = first; c < c1 * KERNEL_BLOCK; c += LANES) {
		const struct finish f = finish(e, c, s->c);
		struct place p = place(s, t0);
		for (int64_t t = 0; t < n; t++, step(s, &p)) {
			const struct part q = {
				RK_MIN(s->h - p.y * OUT, OUT),
				RK_MIN(s->w - p.x * OUT, OUT) };
			float *tile = y + (p.b * blocks + c / KERNEL_BLOCK) *
			    plane + (p.y * s->w + p.x) * OUT * KERNEL_BLOCK +
			    c % KERNEL_BLOCK;
			output_tile(element(m, t, c - first), m->freq, &q, &f,
			    tile, s->w * KERNEL_BLOCK);
		}
	}
}
