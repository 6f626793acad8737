/*
 * Convolutions of blocked images as their formula says, forward and towards the
 * data, by loops of our own.
 *
 * Both are the same work.  Forward, a place q of y is a sum over the taps of the
 * window of x at q * stride + i * dilation - pad.  Towards the data, the places
 * of dx that have the same remainder by the stride, a phase, are a sum over the
 * taps that meet dy there: at q + (remainder + pad - i * dilation) / stride, for
 * the i for which that is whole.  So there are phases (forward: one), each with
 * places, a step between them, in and out, and taps with an offset each.
 *
 * A chunk is some rows of a sample, or several samples where these are small.
 * Where it reads over the edges, or x is plain, its part of the image is copied
 * with zeros around it.  A panel of weights, [k, some vectors of the channels
 * that come out], stays in the first-level cache while the chunk goes by, some
 * k at a time: k is [blocks that go in, taps, 8], and of a plain x [rows of the
 * window, columns, c].  A piece is a chunk and some panels.  An element is one
 * sum in the order of k, so how it is cut has no part in its bits.
 */
#include <stdlib.h>
#include <string.h>

#include "conv_loops.h"
#include "conv_way.h"
#include "window.h"

#define L       ((int64_t)KERNEL_BLOCK)
#define CHUNK   192             /* places, more or less */
#define PIECES  32

struct tap {
	int64_t y, x, i;        /* offsets; the place in the window */
};

struct phase {
	int64_t y0, x0;         /* the first place that comes out */
	int64_t h, w;           /* places */
	int64_t ntaps;
	struct tap *taps;
	int64_t y_min, y_max, x_min, x_max;     /* of the taps */
	bool copy;
	int64_t rows, samples;  /* of a chunk; samples > 1: all rows */
	int64_t in_rows, in_w;  /* of a copy */
	int64_t in_block, in_row, in_sample;
	int32_t *in, *at, *runs;
	int64_t nruns, len;
	int64_t w_at;           /* in the packed weights of a group */
};

struct direct {
	bool data;
	struct kernel_window v;
	int64_t M, B, groups;
	const struct conv_loops *loops;
	struct conv_image in, out;      /* no data */
	int64_t wide;                   /* channels of a block that goes in */
	int64_t in_step, out_step[2], step[2];
	int64_t in_blocks, out_blocks;  /* of a group */
	int64_t vecs, panels, slabs;    /* of a group */
	int64_t nphases;
	struct phase *phases;
	int64_t w_floats;               /* of a group */
	int64_t copy_floats;
	int threads;
};

struct direct_run {
	const struct direct *p;
	const struct conv_call *c;
	struct conv_image in;
	float *w, *bias, *copies;
};

/* --- making --------------------------------------------------------------- */

/* Taps of a phase along one side: the offset, for each place of the window that
 * counts there. */
static bool
offset(const struct direct *p, int side, int64_t first, int64_t i, int64_t *o)
{
	const int64_t s = p->v.stride[side];
	const int64_t at = i * window_dilation(&p->v, side) - p->v.pad[side];

	if (!p->data) {
		*o = at;
		return true;
	}
	if ((first - at) % s != 0)
		return false;
	*o = (first - at) / s;
	return true;
}

static void
add_taps(const struct direct *p, struct phase *f)
{
	const int64_t *k = p->v.k;
	int64_t y, x;

	f->taps = xcalloc((size_t)(k[0] * k[1]), sizeof(*f->taps));
	for (int64_t i = 0; i < k[0]; i++)
	for (int64_t j = 0; j < k[1]; j++) {
		if (!offset(p, 0, f->y0, i, &y) || !offset(p, 1, f->x0, j, &x))
			continue;
		const bool first = f->ntaps == 0;
		f->taps[f->ntaps++] = (struct tap){ y, x, i * k[1] + j };
		f->y_min = first ? y : RK_MIN(f->y_min, y);
		f->y_max = first ? y : RK_MAX(f->y_max, y);
		f->x_min = first ? x : RK_MIN(f->x_min, x);
		f->x_max = first ? x : RK_MAX(f->x_max, x);
	}
}

/* The rows and samples of a chunk, and how what it reads lies. */
static void
lay_out(const struct direct *p, struct phase *f)
{
	f->rows = RK_MIN(RK_MAX(CHUNK / f->w, 1), f->h);
	f->samples = f->rows < f->h ? 1 :
	    RK_MIN(RK_MAX(CHUNK / (f->h * f->w), 1), p->B);
	f->copy = p->in.layout == KERNEL_PLAIN || f->y_min < 0 ||
	    f->x_min < 0 || (f->h - 1) * p->step[0] + f->y_max >= p->in.h ||
	    (f->w - 1) * p->step[1] + f->x_max >= p->in.w;
	f->in_rows = (f->rows - 1) * p->step[0] + f->y_max - f->y_min + 1;
	f->in_w = f->copy ? (f->w - 1) * p->step[1] + f->x_max - f->x_min + 1 :
	    p->in.w;
	f->in_row = f->in_w * p->wide;
	f->in_block = f->copy ? f->samples * f->in_rows * f->in_row :
	    p->in.h * f->in_row;
	f->in_sample = f->copy ? f->in_rows * f->in_row :
	    p->groups * p->in_blocks * f->in_block;
}

static void
add_places(const struct direct *p, struct phase *f)
{
	const int64_t n = f->samples * f->rows * f->w;
	const int64_t out_sample = kernel_image_floats(KERNEL_BLOCKED, p->out.c,
	    p->out.h * p->out.w);
	int64_t k = 0;

	f->in = xcalloc((size_t)n, sizeof(*f->in));
	f->at = xcalloc((size_t)n, sizeof(*f->at));
	for (int64_t b = 0; b < f->samples; b++)
	for (int64_t r = 0; r < f->rows; r++)
	for (int64_t i = 0; i < f->w; i++, k++) {
		f->in[k] = (int32_t)(b * f->in_sample + r * p->step[0] *
		    f->in_row + i * p->step[1] * p->wide);
		f->at[k] = (int32_t)(b * out_sample + (r * p->out_step[0] *
		    p->out.w + i * p->out_step[1]) * L);
	}
}

/* Of a plain image the columns of the window lie side by side. */
static void
add_runs(const struct direct *p, struct phase *f)
{
	const bool joined = p->in.layout == KERNEL_PLAIN &&
	    window_dilation(&p->v, 1) == 1;
	const int64_t each = joined ? p->v.k[1] : 1;
	int64_t k = 0;

	f->len = each * p->wide;
	f->nruns = p->in_blocks * f->ntaps / each;
	f->runs = xcalloc((size_t)f->nruns + 1, sizeof(*f->runs));
	for (int64_t b = 0; b < p->in_blocks; b++)
		for (int64_t t = 0; t < f->ntaps; t += each)
			f->runs[k++] = (int32_t)(b * f->in_block +
			    (f->taps[t].y - f->y_min) * f->in_row +
			    (f->taps[t].x - f->x_min) * p->wide);
}

static void
add_phases(struct direct *p)
{
	const int64_t ny = p->out_step[0], nx = p->out_step[1];

	p->phases = xcalloc((size_t)(ny * nx), sizeof(*p->phases));
	for (int64_t i = 0; i < ny * nx; i++) {
		struct phase *f = &p->phases[p->nphases];
		*f = (struct phase){ .y0 = i / nx, .x0 = i % nx };
		f->h = (p->out.h - f->y0 + ny - 1) / ny;
		f->w = (p->out.w - f->x0 + nx - 1) / nx;
		if (f->h <= 0 || f->w <= 0)
			continue;
		p->nphases++;
		add_taps(p, f);
		lay_out(p, f);
		add_places(p, f);
		add_runs(p, f);
		f->w_at = p->w_floats;
		p->w_floats += f->nruns * f->len * p->vecs * p->loops->lanes;
		if (f->copy)
			p->copy_floats = RK_MAX(p->copy_floats, p->in_blocks *
			    f->in_block);
	}
}

static bool
takes(const struct kernel_conv_want *w, enum kernel_conv_pass pass)
{
	const struct kernel_window *v = &w->v;
	const int64_t groups = window_groups(v);

	if (pass == KERNEL_CONV_WEIGHT || w->y != KERNEL_BLOCKED ||
	    kernel_conv_loops() == NULL)
		return false;
	if (w->x == KERNEL_PLAIN && (pass != KERNEL_CONV_FORWARD ||
	    groups > 1 || v->c >= L))
		return false;
	if (groups > 1 && (v->c / groups % L != 0 || w->M / groups % L != 0))
		return false;
	/* Places are counted in 32 bits, and copied with all their channels. */
	return (double)RK_MAX(v->c * (v->h + 2 * v->pad[0]) * (v->w + 2 *
	    v->pad[1]), w->M * v->oh * v->ow) * CHUNK < 0x1p30;
}

static int64_t
chunks(const struct phase *f, int64_t B)
{
	return f->samples > 1 ? (B + f->samples - 1) / f->samples :
	    B * ((f->h + f->rows - 1) / f->rows);
}

static void *
direct_make(const struct kernel_conv_want *w, enum kernel_conv_pass pass)
{
	const bool data = pass == KERNEL_CONV_DATA;
	const struct kernel_window *v = &w->v;

	if (!takes(w, pass))
		return NULL;
	struct direct *p = xcalloc(1, sizeof(*p));
	const struct conv_image x = { w->x, v->c, v->h, v->w, NULL };
	const struct conv_image y = { w->y, w->M, v->oh, v->ow, NULL };
	p->data = data;
	p->v = *v;
	p->M = w->M;
	p->B = w->B;
	p->groups = window_groups(v);
	p->loops = kernel_conv_loops();
	p->in = data ? y : x;
	p->out = data ? x : y;
	p->wide = p->in.layout == KERNEL_PLAIN ? v->c : L;
	for (int i = 0; i < 2; i++) {
		p->step[i] = data ? 1 : v->stride[i];
		p->out_step[i] = data ? v->stride[i] : 1;
	}
	p->in_blocks = p->in.layout == KERNEL_PLAIN ? 1 :
	    kernel_blocks(p->in.c / p->groups);
	p->out_blocks = kernel_blocks(p->out.c / p->groups);
	p->vecs = (p->out_blocks * L + p->loops->lanes - 1) / p->loops->lanes;
	p->panels = (p->vecs + p->loops->vecs - 1) / p->loops->vecs;
	p->threads = kernel_threads();
	add_phases(p);
	p->slabs = 1;
	while (p->slabs * 2 <= p->panels && p->groups * p->slabs *
	    chunks(&p->phases[0], p->B) < PIECES)
		p->slabs *= 2;
	return p;
}

/*
 * The same, where that is faster than oneDNN's code for blocks of this size:
 * that has vectors of a block, and is the better one only where many taps of
 * rows that lie side by side share what it reads (by up to 15 %).
 */
static void *
first_make(const struct kernel_conv_want *w, enum kernel_conv_pass pass)
{
	const struct kernel_window *v = &w->v;
	const struct conv_loops *loops = kernel_conv_loops();
	const bool one = v->k[0] * v->k[1] == 1;
	const bool strides = v->stride[0] > 1 && w->x == KERNEL_BLOCKED;

	if (loops == NULL || (loops->lanes <= KERNEL_BLOCK && !one && !strides))
		return NULL;
	return direct_make(w, pass);
}

static void
direct_free(void *vp)
{
	struct direct *p = vp;

	for (int64_t i = 0; i < p->nphases; i++) {
		free(p->phases[i].taps);
		free(p->phases[i].in);
		free(p->phases[i].at);
		free(p->phases[i].runs);
	}
	free(p->phases);
	free(p);
}

static size_t
direct_scratch(const void *vp)
{
	const struct direct *p = vp;

	return conv_aligned(p->groups * p->w_floats) +
	    conv_aligned(p->groups * p->vecs * p->loops->lanes) +
	    conv_aligned(p->copy_floats) * (size_t)p->threads;
}

/* --- weights -------------------------------------------------------------- */

static int64_t
first_vec(const struct direct *p, int64_t panel)
{
	return panel * p->vecs / p->panels;
}

/* One number k of a panel: the weights of `lanes` channels that come out. */
static void
pack_row(const struct direct *p, const float *w, int64_t c_in, int64_t tap,
    int64_t out, int64_t lanes, float *to)
{
	const int64_t taps = p->v.k[0] * p->v.k[1], xc = p->v.c / p->groups;
	const int64_t out_c = p->out.c / p->groups;
	const int64_t n = c_in < p->in.c / p->groups ?
	    RK_MAX(RK_MIN(lanes, out_c - out), 0) : 0;
	const int64_t step = p->data ? taps : xc * taps;

	w += (p->data ? c_in * xc + out : out * xc + c_in) * taps + tap;
	for (int64_t i = 0; i < n; i++)
		to[i] = w[i * step];
	for (int64_t i = n; i < lanes; i++)
		to[i] = 0;
}

/* A piece is a panel of a group, of all phases. */
static void
pack_piece(void *ctx, size_t k)
{
	const struct direct_run *r = ctx;
	const struct direct *p = r->p;
	const int64_t g = (int64_t)k / p->panels, panel = (int64_t)k %
	    p->panels, v0 = first_vec(p, panel), lanes = p->loops->lanes;
	const int64_t wide = (first_vec(p, panel + 1) - v0) * lanes;
	const int64_t out_c = p->out.c / p->groups;
	const float *w = r->c->w + g * p->M / p->groups * (p->v.c / p->groups) *
	    p->v.k[0] * p->v.k[1];
	float *bias = r->bias + g * p->vecs * lanes;

	for (int64_t i = 0; i < p->nphases; i++) {
		const struct phase *f = &p->phases[i];
		float *to = r->w + g * p->w_floats + f->w_at + f->nruns *
		    f->len * v0 * lanes;
		for (int64_t b = 0; b < p->in_blocks; b++)
		for (int64_t t = 0; t < f->ntaps; t++)
		for (int64_t c = 0; c < p->wide; c++, to += wide)
			pack_row(p, w, b * p->wide + c, f->taps[t].i,
			    v0 * lanes, wide, to);
	}
	for (int64_t m = v0 * lanes; m < v0 * lanes + wide; m++)
		bias[m] = r->c->b != NULL && m < out_c ?
		    r->c->b[g * out_c + m] : 0;
}

/* --- running -------------------------------------------------------------- */

struct part {
	const struct phase *f;
	int64_t g, panel0, panel1;
	int64_t b, nb, q, nq;           /* samples and rows */
};

/* Where the chunk's reading begins: in the image or in a copy. */
static const float *
source(const struct direct_run *r, const struct part *s)
{
	const struct direct *p = r->p;
	const struct phase *f = s->f;
	const int64_t top = s->q * p->step[0] + f->y_min;
	const int64_t first = s->g * p->in_blocks;

	if (!f->copy)
		return r->in.data + s->b * f->in_sample + first * f->in_block +
		    top * f->in_row + f->x_min * p->wide;
	float *copy = r->copies + conv_aligned(p->copy_floats) *
	    (size_t)kernel_self();
	const int64_t rows = (s->nq - 1) * p->step[0] + f->y_max - f->y_min + 1;
	for (int64_t c = 0; c < p->in_blocks; c++)
	for (int64_t k = 0; k < s->nb; k++)
	for (int64_t i = 0; i < rows; i++)
		kernel_conv_row(&r->in, s->b + k, first + c, top + i, f->x_min,
		    f->in_w, copy + c * f->in_block + k * f->in_sample +
		    i * f->in_row);
	return copy;
}

/* Places that no tap reaches. */
static void
put_zeros(const struct direct *p, const struct part *s, float *out,
    int64_t blocks)
{
	const int64_t plane = p->out.h * p->out.w * L;

	for (int64_t k = 0; k < blocks; k++)
		for (int64_t i = 0; i < s->nb * s->nq * s->f->w; i++)
			memset(out + k * plane + s->f->at[i], 0,
			    (size_t)L * sizeof(*out));
}

static void
run_panel(const struct direct_run *r, const struct part *s, const float *x,
    int64_t panel, float *out)
{
	const struct direct *p = r->p;
	const struct phase *f = s->f;
	const int64_t lanes = p->loops->lanes, v0 = first_vec(p, panel);
	const int64_t vecs = first_vec(p, panel + 1) - v0;
	const int64_t most = RK_MAX(p->loops->k * p->loops->vecs / vecs /
	    f->len, 1);
	const float *w = r->w + s->g * p->w_floats + f->w_at + f->nruns *
	    f->len * v0 * lanes;
	struct conv_panel c = { .places = s->nb * s->nq * f->w, .len = f->len,
		.x = x, .in = f->in, .at = f->at, .out = out + v0 * lanes / L *
		p->out.h * p->out.w * L, .out_block = p->out.h * p->out.w * L,
		.blocks = p->out_blocks - v0 * lanes / L,
		.bias = r->bias + (s->g * p->vecs + v0) * lanes,
		.load = r->c->add };

	for (int64_t k = 0; k < f->nruns; k += c.nruns) {
		c.nruns = RK_MIN(most, f->nruns - k);
		c.runs = f->runs + k;
		c.w = w + k * f->len * vecs * lanes;
		c.relu = r->c->relu && k + c.nruns == f->nruns;
		p->loops->panel[vecs - 1](&c);
		c.load = true;
	}
}

static void
run_part(const struct direct_run *r, const struct part *s)
{
	const struct direct *p = r->p;
	const struct phase *f = s->f;
	const int64_t plane = p->out.h * p->out.w * L;
	float *out = r->c->out + (s->b * p->groups + s->g) * p->out_blocks *
	    plane + ((f->y0 + s->q * p->out_step[0]) * p->out.w + f->x0) * L;

	if (f->ntaps == 0) {
		if (!r->c->add && s->panel0 == 0)
			put_zeros(p, s, out, p->out_blocks);
		return;
	}
	const float *x = source(r, s);
	for (int64_t i = s->panel0; i < s->panel1; i++)
		run_panel(r, s, x, i, out);
}

static void
piece(void *ctx, size_t k)
{
	const struct direct_run *r = ctx;
	const struct direct *p = r->p;
	const int64_t slab = (int64_t)k % p->slabs;
	int64_t i = (int64_t)k / p->slabs, n;
	struct part s = { .f = p->phases, .g = i % p->groups,
		.panel0 = slab * p->panels / p->slabs,
		.panel1 = (slab + 1) * p->panels / p->slabs };

	for (i /= p->groups; i >= (n = chunks(s.f, r->c->B)); i -= n)
		s.f++;
	if (s.f->samples > 1) {
		s.b = i * s.f->samples;
		s.nb = RK_MIN(s.f->samples, r->c->B - s.b);
		s.nq = s.f->h;
	} else {
		const int64_t down = (s.f->h + s.f->rows - 1) / s.f->rows;
		s.b = i / down;
		s.nb = 1;
		s.q = i % down * s.f->rows;
		s.nq = RK_MIN(s.f->rows, s.f->h - s.q);
	}
	run_part(r, &s);
}

static void
direct_run(const void *vp, const struct conv_call *c)
{
	const struct direct *p = vp;
	struct direct_run r = { .p = p, .c = c, .in = p->in };
	int64_t pieces = 0;

	r.in.data = p->data ? c->dy : c->x;
	r.w = c->scratch;
	r.bias = r.w + conv_aligned(p->groups * p->w_floats);
	r.copies = r.bias + conv_aligned(p->groups * p->vecs * p->loops->lanes);
	for (int64_t i = 0; i < p->nphases; i++)
		pieces += chunks(&p->phases[i], c->B);
	kernel_for((size_t)(p->groups * p->panels), pack_piece, &r);
	kernel_for((size_t)(pieces * p->groups * p->slabs), piece, &r);
}

const struct conv_way kernel_conv_direct = { direct_make, direct_free,
	direct_scratch, direct_run };
const struct conv_way kernel_conv_first = { first_make, direct_free,
	direct_scratch, direct_run };
