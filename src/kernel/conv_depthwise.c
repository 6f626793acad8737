/*
 * Depthwise convolutions of blocked images, one channel out for each one in:
 * the channels of a block side by side in a vector, chunk by chunk
 * (conv_phases.h, whose groups are the blocks).
 *
 *	y  = b + sum over taps of w[tap] x,   dx likewise of dy
 *	dw[tap] += sum over places of x dy, over chunks, then over parts of them
 *
 * Packed, weights are [blocks, taps, 8] for each phase.
 */
#include <stdlib.h>
#include <string.h>

#include "conv_loops.h"
#include "conv_phases.h"
#include "window.h"

#define L         ((int64_t)KERNEL_BLOCK)
#define CHUNK     1024          /* places */
#define PIECES    32
#define MAX_PARTS 16

struct depthwise {
	struct conv_geometry geo;
	const struct conv_loops *loops;
	enum kernel_conv_pass pass;
	int64_t taps, parts;
	int threads;
};

struct depthwise_run {
	const struct depthwise *p;
	const struct conv_call *c;
	int64_t parts;
	float *w, *bias, *copies;       /* w: of dw too, [parts] */
};

static int64_t
parts_of(const struct depthwise *p, int64_t B)
{
	int64_t parts = 1;

	while (parts < MAX_PARTS && p->geo.groups * parts < PIECES &&
	    parts * 2 <= kernel_conv_parts(&p->geo, B))
		parts *= 2;
	return parts;
}

static void *
depthwise_make(const struct kernel_conv_want *w, enum kernel_conv_pass pass)
{
	const struct kernel_window *v = &w->v;

	if (!window_is_depthwise(v) || w->M != v->c ||
	    w->x != KERNEL_BLOCKED || w->y != KERNEL_BLOCKED ||
	    kernel_conv_loops() == NULL || !kernel_conv_fits(w, CHUNK))
		return NULL;
	struct depthwise *p = xcalloc(1, sizeof(*p));
	kernel_conv_geometry(&p->geo, w, pass == KERNEL_CONV_DATA,
	    kernel_blocks(v->c), CHUNK);
	p->loops = kernel_conv_loops();
	p->pass = pass;
	p->taps = v->k[0] * v->k[1];
	p->parts = 1;
	for (int64_t B = 1; B <= w->B && pass == KERNEL_CONV_WEIGHT; B++)
		p->parts = RK_MAX(p->parts, parts_of(p, B));
	p->threads = kernel_threads();
	return p;
}

static void
depthwise_free(void *vp)
{
	struct depthwise *p = vp;

	kernel_conv_geometry_free(&p->geo);
	free(p);
}

/* Floats of packed weights: of all phases, each tap is in one. */
static size_t
packed_floats(const struct depthwise *p)
{
	return conv_aligned(p->geo.groups * p->taps * L);
}

static size_t
depthwise_scratch(const void *vp)
{
	const struct depthwise *p = vp;

	return packed_floats(p) * (size_t)p->parts +
	    conv_aligned(p->geo.groups * L) +
	    conv_aligned(p->geo.copy_floats) * (size_t)p->threads;
}

/* --- forward, and towards the data ---------------------------------------- */

/* Weights and bias of block g; the phases' taps follow each other. */
static void
pack_piece(void *ctx, size_t g)
{
	const struct depthwise_run *r = ctx;
	const struct depthwise *p = r->p;
	const int64_t c = p->geo.v.c - (int64_t)g * L, n = RK_MIN(c, L);
	const float *w = r->c->w + (int64_t)g * L * p->taps;
	float *to = r->w + (int64_t)g * p->taps * L, *bias = r->bias +
	    (int64_t)g * L;

	for (int64_t i = 0; i < p->geo.nphases; i++) {
		const struct conv_phase *f = &p->geo.phases[i];
		for (int64_t t = 0; t < f->ntaps; t++, to += L)
			for (int64_t l = 0; l < L; l++)
				to[l] = l < n ? w[l * p->taps + f->taps[t].i] :
				    0;
	}
	for (int64_t l = 0; l < L; l++)
		bias[l] = l < n && r->c->b != NULL ?
		    r->c->b[(int64_t)g * L + l] : 0;
}

/* A piece is a chunk of a block. */
static void
piece(void *ctx, size_t k)
{
	const struct depthwise_run *r = ctx;
	const struct depthwise *p = r->p;
	const struct conv_geometry *geo = &p->geo;
	struct conv_part s = { .g = (int64_t)k % geo->groups };
	const float *w = r->w + s.g * p->taps * L;

	kernel_conv_part(geo, r->c->B, (int64_t)k / geo->groups, &s);
	for (const struct conv_phase *f = geo->phases; f < s.f; f++)
		w += f->ntaps * L;
	float *out = kernel_conv_target(geo, &s, r->c->out);
	if (s.f->ntaps == 0) {
		if (!r->c->add)
			kernel_conv_zeros(geo, &s, out);
		return;
	}
	const float *in = geo->data ? r->c->dy : r->c->x;
	const struct conv_panel c = {
		.places = s.nb * s.nq * s.f->w, .nruns = s.f->ntaps,
		.x = kernel_conv_source(geo, &s, in, r->copies +
		    conv_aligned(geo->copy_floats) * (size_t)kernel_self()),
		.w = w, .bias = r->bias + s.g * L, .in = s.f->in,
		.at = s.f->at, .runs = s.f->runs, .out = out,
		.load = r->c->add, .relu = r->c->relu,
	};
	p->loops->each(&c);
}

/* --- weights -------------------------------------------------------------- */

/* A piece is a part of the chunks of a block. */
static void
weight_piece(void *ctx, size_t k)
{
	const struct depthwise_run *r = ctx;
	const struct depthwise *p = r->p;
	const struct conv_geometry *geo = &p->geo;
	const int64_t part = (int64_t)k % r->parts, B = r->c->B;
	const int64_t all = kernel_conv_parts(geo, B);
	const int64_t end = (part + 1) * all / r->parts;
	struct conv_part s = { .g = (int64_t)k / r->parts };
	float *sum = r->w + packed_floats(p) * (size_t)part + s.g * p->taps *
	    L;

	memset(sum, 0, (size_t)(p->taps * L) * sizeof(*sum));
	for (int64_t i = part * all / r->parts; i < end; i++) {
		kernel_conv_part(geo, B, i, &s);
		const struct conv_phase *f = s.f;
		const float *x = kernel_conv_source(geo, &s, r->c->x,
		    r->copies + conv_aligned(geo->copy_floats) *
		    (size_t)kernel_self());
		const float *dy = kernel_conv_target(geo, &s,
		    (float *)(uintptr_t)r->c->dy);
		for (int64_t t = 0, n; t < f->ntaps; t += n) {
			n = RK_MIN(f->ntaps - t, CONV_TAPS);
			p->loops->each_sums[n - 1](&(struct conv_each_sums){
			    s.nb * s.nq * f->w, f->in, f->at, f->runs + t, x,
			    dy, sum + t * L });
		}
	}
}

/* The parts' sums of block g, into plain dw. */
static void
unpack_piece(void *ctx, size_t g)
{
	const struct depthwise_run *r = ctx;
	const struct depthwise *p = r->p;
	const int64_t n = RK_MIN(p->geo.v.c - (int64_t)g * L, L);
	float *dw = r->c->out + (int64_t)g * L * p->taps;

	for (int64_t l = 0; l < n; l++)
		for (int64_t t = 0; t < p->taps; t++, dw++) {
			const float *from = r->w + ((int64_t)g * p->taps + t) *
			    L + l;
			float sum = from[0];
			for (int64_t i = 1; i < r->parts; i++)
				sum += from[(size_t)i * packed_floats(p)];
			*dw = r->c->add ? *dw + sum : sum;
		}
}

static void
depthwise_run(const void *vp, const struct conv_call *c)
{
	const struct depthwise *p = vp;
	const size_t groups = (size_t)p->geo.groups;
	struct depthwise_run r = { .p = p, .c = c, .w = c->scratch,
		.parts = parts_of(p, c->B) };

	r.bias = r.w + packed_floats(p) * (size_t)p->parts;
	r.copies = r.bias + conv_aligned(p->geo.groups * L);
	if (p->pass == KERNEL_CONV_WEIGHT) {
		kernel_for(groups * (size_t)r.parts, weight_piece, &r);
		kernel_for(groups, unpack_piece, &r);
		return;
	}
	kernel_for(groups, pack_piece, &r);
	kernel_for(groups * (size_t)kernel_conv_parts(&p->geo, c->B), piece,
	    &r);
}

const struct conv_way kernel_conv_depthwise = { depthwise_make,
	depthwise_free, depthwise_scratch, depthwise_run };
