/*
 * Convolutions with stride 1 of which few channels come out, forward and
 * towards the data: with vectors of 16, a place that has 8 channels at most
 * would leave half of each empty.  Here the lanes are places that lie side by
 * side in a row, and each channel has vectors of its own.
 *
 * A piece is some samples.  Of one after the other the channels that go in are
 * copied to planes with zeros around them, and the sums of up to 32 places come
 * back as a block.  An element is the same sum, in the same order, as that of
 * conv_direct.c; what is left out are products with zeros: of lanes that are no
 * channel, and of rows outside the image.
 */
#include <stdlib.h>
#include <string.h>

#include "conv_loops.h"
#include "conv_phases.h"
#include "vec8.h"
#include "window.h"

#define L       ((int64_t)KERNEL_BLOCK)
#define CHUNK   192             /* of the geometry; here none is cut */
#define PIECES  16
#define MOST    ((int64_t)1 << 15)      /* floats of the planes */

typedef int32_t mask __attribute__((vector_size(4 * LANES)));

struct narrow {
	struct conv_geometry geo;
	const struct conv_phase *f;
	const struct conv_loops *loops;
	int64_t channels;               /* that come out */
	int64_t row, plane;             /* floats, of a copy */
	int64_t blocks, nruns;          /* runs of a block */
	int64_t len, last;              /* numbers of a run; in the last
					   block */
	int32_t *runs, *numbers;
	int64_t *from, *to;             /* runs inside the image, by row */
	int threads;
};

struct narrow_run {
	const struct narrow *p;
	const struct conv_call *c;
	int64_t pieces;
	float *w, *bias, *copies;
};

/* --- making --------------------------------------------------------------- */

static int64_t
copy_floats(const struct narrow *p)
{
	return p->geo.in.c * p->plane;
}

/* Vectors of places in a row. */
static int64_t
row_vecs(const struct narrow *p)
{
	return (p->f->w + p->loops->lanes - 1) / p->loops->lanes;
}

/* Numbers of a run: the channels of a block, or of a plain image all of them at
 * some columns of the window. */
static void
add_runs(struct narrow *p)
{
	const struct conv_geometry *g = &p->geo;
	const bool plain = g->in.layout == KERNEL_PLAIN;
	const int64_t each = p->f->len / g->wide;

	p->blocks = g->in_blocks;
	p->nruns = p->f->nruns / p->blocks;
	p->len = p->f->len;
	p->last = plain ? p->len : g->in.c - (p->blocks - 1) * L;
	p->numbers = xcalloc((size_t)p->len, sizeof(*p->numbers));
	for (int64_t l = 0; l < p->len; l++)
		p->numbers[l] = (int32_t)(l % g->wide * p->plane +
		    l / g->wide);
	p->runs = xcalloc((size_t)p->f->nruns, sizeof(*p->runs));
	for (int64_t k = 0; k < p->f->nruns; k++) {
		const struct conv_tap *t = &p->f->taps[k % p->nruns * each];
		p->runs[k] = (int32_t)(k / p->nruns * L * p->plane +
		    (t->y - p->f->y_min) * p->row + t->x - p->f->x_min);
	}
	p->from = xcalloc((size_t)p->f->h, sizeof(*p->from));
	p->to = xcalloc((size_t)p->f->h, sizeof(*p->to));
	for (int64_t y = 0; y < p->f->h; y++) {
		p->from[y] = p->nruns;
		for (int64_t k = 0; k < p->nruns; k++) {
			const int64_t at = y + p->f->taps[k * each].y;
			if (at < 0 || at >= g->in.h)
				continue;
			p->from[y] = RK_MIN(p->from[y], k);
			p->to[y] = k + 1;
		}
	}
}

static void
narrow_free(void *vp)
{
	struct narrow *p = vp;

	kernel_conv_geometry_free(&p->geo);
	free(p->runs);
	free(p->numbers);
	free(p->from);
	free(p->to);
	free(p);
}

static bool
takes(const struct kernel_conv_want *w, enum kernel_conv_pass pass)
{
	const struct kernel_window *v = &w->v;
	const struct conv_loops *loops = kernel_conv_loops();
	const bool data = pass == KERNEL_CONV_DATA;

	if (loops == NULL || loops->lanes <= L || w->y != KERNEL_BLOCKED ||
	    pass == KERNEL_CONV_WEIGHT || window_groups(v) > 1 ||
	    v->stride[0] != 1 || v->stride[1] != 1)
		return false;
	if (w->x == KERNEL_PLAIN && (data || v->c >= L))
		return false;
	return (data ? v->c : w->M) <= RK_MIN(L, CONV_LINES) &&
	    kernel_conv_fits(w, CHUNK);
}

/* Whether it is fewer multiplications of vectors, and all of an element's sum
 * is one stretch of conv_direct.c's. */
static bool
pays(const struct narrow *p)
{
	return row_vecs(p) * p->channels * 8 <= p->f->w * 7 &&
	    p->f->ntaps > 0 && p->f->y_min <= 0 && p->f->x_min <= 0 &&
	    p->f->nruns <= RK_MAX(p->loops->k * p->loops->vecs / p->f->len,
	    1) && copy_floats(p) <= MOST;
}

static void *
narrow_make(const struct kernel_conv_want *w, enum kernel_conv_pass pass)
{
	if (!takes(w, pass))
		return NULL;
	struct narrow *p = xcalloc(1, sizeof(*p));
	kernel_conv_geometry(&p->geo, w, pass == KERNEL_CONV_DATA, 1, CHUNK);
	p->f = &p->geo.phases[0];
	p->loops = kernel_conv_loops();
	p->channels = p->geo.out.c;
	p->threads = kernel_threads();
	p->row = row_vecs(p) * p->loops->lanes + p->f->x_max - p->f->x_min;
	p->plane = p->row * (p->f->h + p->f->y_max - p->f->y_min);
	if (!pays(p)) {
		narrow_free(p);
		return NULL;
	}
	add_runs(p);
	return p;
}

static size_t
w_floats(const struct narrow *p)
{
	return conv_aligned(p->f->nruns * p->len * CONV_LINES);
}

static size_t
narrow_scratch(const void *vp)
{
	const struct narrow *p = vp;

	return w_floats(p) + conv_aligned(CONV_LINES) +
	    conv_aligned(copy_floats(p)) * (size_t)p->threads;
}

/* --- running -------------------------------------------------------------- */

/* [blocks, runs, numbers, 8], of w as it lies, [M, c, taps]. */
static void
pack(const struct narrow_run *r)
{
	const struct narrow *p = r->p;
	const struct conv_geometry *g = &p->geo;
	const int64_t all = g->v.k[0] * g->v.k[1], each = p->len / g->wide;
	float *to = r->w;

	for (int64_t k = 0; k < p->f->nruns; k++)
	for (int64_t l = 0; l < p->len; l++, to += CONV_LINES) {
		const int64_t c = k / p->nruns * L + l % g->wide;
		const int64_t t = p->f->taps[k % p->nruns * each +
		    l / g->wide].i;
		for (int64_t i = 0; i < p->channels && c < g->in.c; i++)
			to[i] = r->c->w[(g->data ? c * g->v.c + i :
			    i * g->v.c + c) * all + t];
	}
	for (int64_t i = 0; i < CONV_LINES; i++)
		r->bias[i] = i < p->channels && r->c->b != NULL ?
		    r->c->b[i] : 0;
}

/* A row of places, a block of each, to n planes. */
FAST static void
to_planes(const float *x, int64_t places, int64_t n, float *to, int64_t plane)
{
	vec r[LANES];

	for (; places >= LANES; places -= LANES, x += LANES * L, to += LANES) {
		for (int i = 0; i < LANES; i++)
			r[i] = load(x + i * L);
		transpose(r);
		for (int i = 0; i < n; i++)
			store(to + i * plane, r[i]);
	}
	for (int64_t i = 0; i < places; i++)
		for (int64_t l = 0; l < n; l++)
			to[l * plane + i] = x[i * L + l];
}

/* Sample b, inside the zeros of the copy. */
static void
copy_sample(const struct narrow *p, const float *data, int64_t b, float *copy)
{
	const struct conv_image *im = &p->geo.in;
	const bool plain = im->layout == KERNEL_PLAIN;
	const int64_t wide = plain ? 1 : L, blocks = plain ? im->c : p->blocks;

	copy -= p->f->y_min * p->row + p->f->x_min;
	for (int64_t c = 0; c < blocks; c++, copy += wide * p->plane)
		for (int64_t y = 0; y < im->h; y++) {
			const float *x = data + ((b * blocks + c) * im->h +
			    y) * im->w * wide;
			float *to = copy + y * p->row;
			if (plain)
				memcpy(to, x, (size_t)im->w * sizeof(*x));
			else
				to_planes(x, im->w, RK_MIN(im->c - c * L, L),
				    to, p->plane);
		}
}

/* n places of a row from their sums, a line a channel. */
FAST static void
put_places(const struct conv_call *c, const float *sums, int64_t apart,
    int64_t channels, int64_t n, float *out)
{
	vec r[LANES];

	for (int64_t x = 0; x < n; x += LANES, out += LANES * L) {
		for (int i = 0; i < LANES; i++)
			r[i] = i < channels ? load(sums + i * apart + x) :
			    (vec){ 0 };
		transpose(r);
		for (int64_t i = 0; i < LANES && x + i < n; i++) {
			vec y = r[i];
			if (c->add)
				y += load(out + i * L);
			if (c->relu)            /* NaN stays */
				y = (vec)((mask)y & ~(y < 0));
			store(out + i * L, y);
		}
	}
}

static void
sample(const struct narrow_run *r, int64_t b, const float *copy)
{
	const struct narrow *p = r->p;
	const int64_t lanes = p->loops->lanes, across = row_vecs(p);
	const int64_t n = across * p->f->h;
	const int vecs = p->loops->line_vecs[p->channels - 1];
	float sums[CONV_LINES * 32], *out = r->c->out + b * p->f->h * p->f->w *
	    L;
	struct conv_lines s = { .x = copy, .w = r->w, .bias = r->bias,
		.runs = p->runs, .numbers = p->numbers, .blocks = p->blocks,
		.nruns = p->nruns, .len = p->len, .last = p->last,
		.sums = sums };

	for (int64_t i = 0; i < n; i += vecs) {
		s.from = p->nruns;
		s.to = 0;
		for (int64_t v = 0; v < vecs; v++) {
			const int64_t at = RK_MIN(i + v, n - 1);
			s.at[v] = at / across * p->row + at % across * lanes;
			s.from = RK_MIN(s.from, p->from[at / across]);
			s.to = RK_MAX(s.to, p->to[at / across]);
		}
		p->loops->lines[p->channels - 1](&s);
		for (int64_t v = 0; v < vecs && i + v < n; v++) {
			const int64_t x = (i + v) % across * lanes;
			put_places(r->c, sums + v * lanes, 2 * lanes,
			    p->channels, RK_MIN(p->f->w - x, lanes), out +
			    ((i + v) / across * p->f->w + x) * L);
		}
	}
}

static void
piece(void *ctx, size_t k)
{
	const struct narrow_run *r = ctx;
	const struct narrow *p = r->p;
	const int64_t i = (int64_t)k, B = r->c->B;
	float *copy = r->copies + conv_aligned(copy_floats(p)) *
	    (size_t)kernel_self();

	memset(copy, 0, (size_t)copy_floats(p) * sizeof(*copy));
	for (int64_t b = B * i / r->pieces; b < B * (i + 1) / r->pieces; b++) {
		copy_sample(p, p->geo.data ? r->c->dy : r->c->x, b, copy);
		sample(r, b, copy);
	}
}

static void
narrow_run(const void *vp, const struct conv_call *c)
{
	const struct narrow *p = vp;
	struct narrow_run r = { .p = p, .c = c, .w = c->scratch,
		.pieces = RK_MIN(c->B, PIECES) };

	r.bias = r.w + w_floats(p);
	r.copies = r.bias + conv_aligned(CONV_LINES);
	pack(&r);
	kernel_for((size_t)r.pieces, piece, &r);
}

const struct conv_way kernel_conv_narrow = { narrow_make, narrow_free,
	narrow_scratch, narrow_run };
