/*
 * Convolutions of blocked images as their formula says, forward and towards the
 * data, by loops of our own, chunk by chunk (conv_phases.h).
 *
 * A panel of weights, [k, some vectors of the channels that come out], stays in
 * the first-level cache while the chunk goes by, some k at a time: k is [blocks
 * that go in, taps, 8], and of a plain x [rows of the window, columns, c].  A
 * piece is a chunk and some panels.  An element is one sum in the order of k
 * (or two, by its number of channels), so how it is cut has no part in its
 * bits.
 */
#include <stdlib.h>
#include <string.h>

#include "conv_loops.h"
#include "conv_pack.h"
#include "window.h"

#define L       ((int64_t)KERNEL_BLOCK)
#define CHUNK   192             /* places */
#define PIECES  32

struct direct {
	struct conv_geometry geo;
	const struct conv_loops *loops;
	int64_t M;
	int64_t vecs, panels, slabs;    /* of a group */
	int64_t *w_at;                  /* of a phase, in those of a group */
	int64_t w_floats;               /* of a group */
	int threads;
};

struct direct_run {
	const struct direct *p;
	const struct conv_call *c;
	float *w, *bias, *copies;
};

/* --- making --------------------------------------------------------------- */

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
	return kernel_conv_fits(w, CHUNK);
}

static void *
direct_make(const struct kernel_conv_want *w, enum kernel_conv_pass pass)
{
	if (!takes(w, pass))
		return NULL;
	struct direct *p = xcalloc(1, sizeof(*p));
	kernel_conv_geometry(&p->geo, w, pass == KERNEL_CONV_DATA,
	    window_groups(&w->v), CHUNK);
	p->loops = kernel_conv_loops();
	p->M = w->M;
	p->vecs = (p->geo.out_blocks * L + p->loops->lanes - 1) /
	    p->loops->lanes;
	p->panels = (p->vecs + p->loops->vecs - 1) / p->loops->vecs;
	p->threads = kernel_threads();
	p->w_at = xcalloc((size_t)p->geo.nphases, sizeof(*p->w_at));
	for (int64_t i = 0; i < p->geo.nphases; i++) {
		const struct conv_phase *f = &p->geo.phases[i];
		p->w_at[i] = p->w_floats;
		p->w_floats += f->nruns * f->len * p->vecs * p->loops->lanes;
	}
	p->slabs = 1;
	while (p->slabs * 2 <= p->panels && p->geo.groups * p->slabs *
	    kernel_conv_parts(&p->geo, w->B) < PIECES)
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

	kernel_conv_geometry_free(&p->geo);
	free(p->w_at);
	free(p);
}

static size_t
direct_scratch(const void *vp)
{
	const struct direct *p = vp;

	return conv_aligned(p->geo.groups * p->w_floats) +
	    conv_aligned(p->geo.groups * p->vecs * p->loops->lanes) +
	    conv_aligned(p->geo.copy_floats) * (size_t)p->threads;
}

/* --- weights -------------------------------------------------------------- */

static int64_t
first_vec(const struct direct *p, int64_t panel)
{
	return panel * p->vecs / p->panels;
}

/*
 * The weights of a phase for the panel's columns, which are `wide` channels
 * that come out from number `out` on: [blocks that go in, taps, block, wide].
 * w is read as it lies, [M, c, taps].
 */
static void
pack_panel(const struct direct *p, const struct conv_phase *f, const float *w,
    int64_t out, int64_t wide, float *to)
{
	const struct conv_geometry *g = &p->geo;
	const int64_t all = g->v.k[0] * g->v.k[1], xc = g->v.c / g->groups;
	const int64_t ni = g->in.c / g->groups;
	const int64_t no = RK_MIN(g->out.c / g->groups - out, wide);

	if (ni % g->wide != 0 || no < wide)
		memset(to, 0, (size_t)(f->nruns * f->len * wide) *
		    sizeof(*to));
	if (!g->data) {
		const struct conv_rows r = { ni, all, g->wide, wide };
		kernel_conv_pack_lines(&r, no, w + out * xc * all, xc * all,
		    to);
		return;
	}
	for (int64_t i = 0; i < ni && f->ntaps > 0; i++)
		kernel_conv_pack_windows(f->taps, f->ntaps, all, no, w + (i *
		    xc + out) * all, g->wide * wide, to + (i / g->wide *
		    f->ntaps * g->wide + i % g->wide) * wide);
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
	const int64_t out_c = p->geo.out.c / p->geo.groups;
	const int64_t M = p->M / p->geo.groups, c = p->geo.v.c / p->geo.groups;
	const float *w = r->c->w + g * M * c * p->geo.v.k[0] * p->geo.v.k[1];
	float *bias = r->bias + g * p->vecs * lanes;

	for (int64_t i = 0; i < p->geo.nphases; i++) {
		const struct conv_phase *f = &p->geo.phases[i];
		pack_panel(p, f, w, v0 * lanes, wide, r->w + g * p->w_floats +
		    p->w_at[i] + f->nruns * f->len * v0 * lanes);
	}
	for (int64_t m = v0 * lanes; m < v0 * lanes + wide; m++)
		bias[m] = r->c->b != NULL && m < out_c ?
		    r->c->b[g * out_c + m] : 0;
}

/* --- running -------------------------------------------------------------- */

static void
run_panel(const struct direct_run *r, const struct conv_part *s,
    const float *x, int64_t panel, float *out)
{
	const struct direct *p = r->p;
	const struct conv_phase *f = s->f;
	const int64_t lanes = p->loops->lanes, v0 = first_vec(p, panel);
	const int64_t vecs = first_vec(p, panel + 1) - v0;
	const int64_t plane = p->geo.out.h * p->geo.out.w * L;
	const int64_t most = RK_MAX(p->loops->k * p->loops->vecs / vecs /
	    f->len, 1);
	const float *w = r->w + s->g * p->w_floats + p->w_at[f -
	    p->geo.phases] + f->nruns * f->len * v0 * lanes;
	struct conv_panel c = { .places = s->nb * s->nq * f->w, .len = f->len,
		.x = x, .in = f->in, .at = f->at, .out = out + v0 * lanes / L *
		plane, .out_block = plane, .blocks = p->geo.out_blocks -
		v0 * lanes / L, .bias = r->bias + (s->g * p->vecs + v0) *
		lanes, .load = r->c->add,
		.split = p->geo.out_blocks * L <= CONV_SPLIT };

	for (int64_t k = 0; k < f->nruns; k += c.nruns) {
		c.nruns = RK_MIN(most, f->nruns - k);
		c.runs = f->runs + k;
		c.w = w + k * f->len * vecs * lanes;
		c.relu = r->c->relu && k + c.nruns == f->nruns;
		p->loops->panel[vecs - 1](&c);
		c.load = true;
	}
}

/* A piece is a chunk of a group, and a slab of its panels. */
static void
piece(void *ctx, size_t k)
{
	const struct direct_run *r = ctx;
	const struct direct *p = r->p;
	const int64_t slab = (int64_t)k % p->slabs;
	const int64_t i = (int64_t)k / p->slabs;
	struct conv_part s = { .g = i % p->geo.groups };

	kernel_conv_part(&p->geo, r->c->B, i / p->geo.groups, &s);
	float *out = kernel_conv_target(&p->geo, &s, r->c->out);
	if (s.f->ntaps == 0) {
		if (!r->c->add && slab == 0)
			kernel_conv_zeros(&p->geo, &s, out);
		return;
	}
	const float *x = kernel_conv_source(&p->geo, &s, p->geo.data ?
	    r->c->dy : r->c->x, r->copies + conv_aligned(p->geo.copy_floats) *
	    (size_t)kernel_self());
	const int64_t end = (slab + 1) * p->panels / p->slabs;
	for (int64_t j = slab * p->panels / p->slabs; j < end; j++)
		run_panel(r, &s, x, j, out);
}

static void
direct_run(const void *vp, const struct conv_call *c)
{
	const struct direct *p = vp;
	struct direct_run r = { .p = p, .c = c, .w = c->scratch };

	r.bias = r.w + conv_aligned(p->geo.groups * p->w_floats);
	r.copies = r.bias + conv_aligned(p->geo.groups * p->vecs *
	    p->loops->lanes);
	kernel_for((size_t)(p->geo.groups * p->panels), pack_piece, &r);
	kernel_for((size_t)(kernel_conv_parts(&p->geo, c->B) *
	    p->geo.groups * p->slabs), piece, &r);
}

const struct conv_way kernel_conv_direct = { direct_make, direct_free,
	direct_scratch, direct_run };
const struct conv_way kernel_conv_first = { first_make, direct_free,
	direct_scratch, direct_run };
