/*
 * Synthetic samples: data.h says what is drawn.
 *
 * All of it is whole numbers until one division at the end, which is rounded
 * the same everywhere, so that the bits are those of any machine.
 */
#include <stdlib.h>
#include <string.h>

#include "held.h"
#include "rekindle/kernel.h"

/* Streams of a seed. */
enum {
	DRAW_LABEL = 0x6c61626c, DRAW_NOISE = 0x6e6f6973,
	DRAW_LENGTH = 0x6c656e67, DRAW_TOKEN = 0x746f6b65,
	DRAW_SIGN = 0x7369676e          /* of seed 0, whatever the job's is */
};

#define TILE  4                         /* pixels, each way */
#define ROW   ((size_t)256)             /* words drawn at a time */
#define SCALE 148                       /* of four bytes: sqrt(21845) */
#define PIECE ((int64_t)16 << 10)       /* numbers that one thread makes */

struct making {
	const struct spec_source *s;
	struct held *h;
	int64_t rows;                   /* of a piece */
};

/* 0 to n-1, evenly, out of 32 bits that are drawn. */
static int64_t
below(uint32_t word, int64_t n)
{
	return (int64_t)(((uint64_t)word * (uint64_t)n) >> 32);
}

/*
 * n numbers that lie in a row, the first being number `first` of all samples,
 * with the signs from `place` on; those of a tile come again after TILE.
 */
static void
draw_row(const struct spec_source *s, uint32_t class, uint64_t first,
    uint64_t place, bool tiled, float *x, size_t n)
{
	uint32_t noise[ROW], sign[ROW];

	for (size_t at = 0; at < n; at += ROW) {
		const size_t some = RK_MIN(ROW, n - at);
		rk_fill_u32(noise, some, s->seed, DRAW_NOISE, 0, first + at);
		rk_fill_u32(sign, tiled ? TILE : some, 0, DRAW_SIGN, class,
		    tiled ? place : place + at);
		for (size_t i = 0; i < some; i++) {
			const uint32_t w = noise[i];
			const int sum = (int)((w & 255) + (w >> 8 & 255) +
			    (w >> 16 & 255) + (w >> 24)) - 510;
			const bool up = sign[tiled ? i % TILE : i] >> 31;
			x[at + i] = (float)(sum + (up ? SCALE : -SCALE)) / SCALE;
		}
	}
}

static void
draw_floats(const struct making *m, int64_t i, uint32_t class)
{
	const struct data_set *d = &m->h->pub;
	const uint64_t width = (uint64_t)d->width, first = (uint64_t)i * width;
	float *x = m->h->floats + first;

	if (d->ndim != 3) {
		draw_row(m->s, class, first, 0, false, x, (size_t)width);
		return;
	}
	const uint64_t high = (uint64_t)d->d[1], wide = (uint64_t)d->d[2];
	for (uint64_t row = 0; row < (uint64_t)d->d[0] * high; row++)
		draw_row(m->s, class, first + row * wide,
		    (row / high * TILE + row % high % TILE) * TILE, true,
		    x + row * wide, (size_t)wide);
}

static void
draw_tokens(const struct making *m, int64_t i, uint32_t class)
{
	const struct spec_source *s = m->s;
	const int64_t ids = s->vocabulary - 1;
	const int64_t range = RK_MAX(ids / s->classes, 1);
	const int64_t n = 1 + below(rk_draw_u32(s->seed, DRAW_LENGTH, 0,
	    (uint64_t)i), s->tokens);
	int32_t *x = m->h->tokens + i * s->tokens;
	uint32_t w[ROW];

	for (int64_t k = 0; k < n; k++) {
		if (k % (int64_t)ROW == 0)
			rk_fill_u32(w, (size_t)RK_MIN((int64_t)ROW, n - k),
			    s->seed, DRAW_TOKEN, 0,
			    (uint64_t)(i * s->tokens + k));
		const uint32_t word = w[k % (int64_t)ROW];
		const bool own = word & 1;
		const int64_t at = own ? class * range +
		    below(word & ~1u, range) : below(word & ~1u, ids);
		x[k] = (int32_t)(1 + at % ids);
	}
	memset(x + n, 0, (size_t)(s->tokens - n) * sizeof(*x));
}

static void
make_piece(void *ctx, size_t piece)
{
	const struct making *m = ctx;
	const int64_t from = (int64_t)piece * m->rows;
	const int64_t to = RK_MIN(from + m->rows, m->h->pub.n);

	for (int64_t i = from; i < to; i++) {
		const uint32_t class = (uint32_t)below(rk_draw_u32(m->s->seed,
		    DRAW_LABEL, 0, (uint64_t)i), m->s->classes);
		m->h->targets[i] = (float)class;
		if (m->h->tokens != NULL)
			draw_tokens(m, i, class);
		else
			draw_floats(m, i, class);
	}
}

static void
set_shape(struct data_set *d, const struct spec_source *s)
{
	d->n = s->samples;
	d->vocabulary = s->vocabulary;
	d->width = 1;
	if (s->tokens > 0)
		d->d[d->ndim++] = s->tokens;
	for (int i = 0; i < s->ndim; i++)
		d->d[d->ndim++] = s->shape[i];
	for (int i = 0; i < d->ndim; i++)
		d->width *= d->d[i];
}

enum rk_err
synthetic_make(const struct spec_source *s, const char *what,
    struct held **out, struct rk_why *why)
{
	struct making m = { .s = s, .h = held_new(what) };
	struct data_set *d = &m.h->pub;

	set_shape(d, s);
	m.rows = RK_MAX(PIECE / d->width, 1);
	enum rk_err rc = held_alloc(s->tokens > 0 ? (void *)&m.h->tokens :
	    (void *)&m.h->floats, (uint64_t)d->n * (uint64_t)d->width,
	    sizeof(float), m.h->what, why);
	if (rc == RK_OK)
		rc = held_alloc(&m.h->targets, (uint64_t)d->n,
		    sizeof(*m.h->targets), m.h->what, why);
	d->floats = m.h->floats;
	d->tokens = m.h->tokens;
	if (rc == RK_OK) {
		kernel_for((size_t)((d->n + m.rows - 1) / m.rows), make_piece,
		    &m);
		rc = held_find_classes(m.h, why);
	}
	if (rc != RK_OK)
		held_free(m.h);
	else
		*out = m.h;
	return rc;
}
