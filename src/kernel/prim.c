/*
 * Convolutions by oneDNN's primitives, forward and towards the data: the only
 * file that knows them.
 *
 * A primitive is made for a piece: `each` samples, or one sample and a slab of
 * the channels that come out where a sample is a lot of work.  It is made for
 * one thread and runs on one thread, with a scratchpad in the caller's scratch;
 * so the bits are those of the piece, whoever computes it.  What is left of a
 * batch goes through a primitive for one sample.  Primitives, and a set of
 * memory objects for each thread, are made with the plan: a step only says
 * where the data are.  (oneDNN itself puts the list of arguments of a call on
 * the heap and frees it before the call returns.)
 *
 * oneDNN is told that all lanes of a block are channels: the weights of those
 * behind the last are packed as zeros.  Weights are packed for each slab,
 *
 *	forward  [M/8, c/8, taps, 8 of c, 8 of M],  x plain: [M/8, taps, c, 8]
 *	data     [M/8, c/8, taps, 8 of M, 8 of c]
 *
 * with 8 for KERNEL_BLOCK.  Bias and relu are applied to a piece when it is
 * done: NaN stays NaN that way, unlike in oneDNN's relu.
 */
#include <dnnl.h>
#include <stdlib.h>
#include <string.h>

#include "conv_way.h"
#include "loops.h"
#include "team.h"
#include "twice.h"
#include "window.h"

#define L           ((int64_t)KERNEL_BLOCK)
#define PIECE_MADDS 4e6         /* a piece is at least this much, if it can */
#define SLAB_MADDS  16e6
#define PIECES      32          /* of a batch, from which on none is cut */

/* What a thread needs for each of the two primitives. */
struct seat {
	dnnl_stream_t stream;
	dnnl_memory_t in[2], w[2], out[2], pad[2];
};

struct prim {
	enum kernel_conv_pass pass;
	struct kernel_window v;
	int64_t M, groups;
	int64_t from, to;               /* channels of a group, whole blocks */
	int64_t each, slabs;
	bool flat;                      /* x is plain */
	int64_t in_floats, out_floats;  /* of a sample, all groups */
	int64_t w_floats;               /* packed */
	size_t pad_floats, sum_floats;  /* a thread's */
	dnnl_primitive_t of[2];         /* of `each` samples, of one */
	int threads;
	struct seat *seats;
};

struct prim_run {
	const struct prim *p;
	const struct conv_call *c;
	int64_t whole;                  /* pieces of `each` samples */
	float *packed, *pads, *sums;
};

static dnnl_engine_t
engine(void)
{
	static dnnl_engine_t e;

	if (e == NULL && dnnl_engine_create(&e, dnnl_cpu, 0) != dnnl_success)
		e = NULL;
	return e;
}

/* --- making --------------------------------------------------------------- */

struct shape {
	dnnl_memory_desc_t x, w, y;
	dnnl_dims_t stride, dilates, pad;
};

static bool
describe(const struct prim *p, int64_t n, struct shape *s)
{
	const struct kernel_window *v = &p->v;
	const bool data = p->pass == KERNEL_CONV_DATA, wide = L == 16;
	const int64_t slab = p->to / p->slabs;
	const int64_t xc = data ? slab : p->from, yc = data ? p->from : slab;
	const dnnl_dims_t x = { n, xc * p->groups, v->h, v->w };
	const dnnl_dims_t y = { n, yc * p->groups, v->oh, v->ow };
	const bool grouped = p->groups > 1;
	const dnnl_dims_t w5 = { p->groups, yc, xc, v->k[0], v->k[1] };
	const dnnl_format_tag_t blocked = wide ? dnnl_nChw16c : dnnl_nChw8c;
	const dnnl_format_tag_t tag =
	    p->flat ? (wide ? dnnl_Ohwi16o : dnnl_Ohwi8o) :
	    grouped && data ? (wide ? dnnl_gOIhw16o16i : dnnl_gOIhw8o8i) :
	    grouped ? (wide ? dnnl_gOIhw16i16o : dnnl_gOIhw8i8o) :
	    data ? (wide ? dnnl_OIhw16o16i : dnnl_OIhw8o8i) :
	    (wide ? dnnl_OIhw16i16o : dnnl_OIhw8i8o);

	for (int i = 0; i < 2; i++) {
		s->stride[i] = v->stride[i];
		s->dilates[i] = window_dilation(v, i) - 1;
		s->pad[i] = v->pad[i];
	}
	return dnnl_memory_desc_init_by_tag(&s->x, 4, x, dnnl_f32,
	    p->flat ? dnnl_nchw : blocked) == dnnl_success &&
	    dnnl_memory_desc_init_by_tag(&s->y, 4, y, dnnl_f32, blocked) ==
	    dnnl_success &&
	    dnnl_memory_desc_init_by_tag(&s->w, grouped ? 5 : 4,
	    w5 + !grouped, dnnl_f32, tag) == dnnl_success;
}

/* The best that oneDNN has for this CPU; NULL where that is not code that it
 * compiles for the shape. */
static dnnl_primitive_desc_t
find(const struct prim *p, const struct shape *s)
{
	dnnl_primitive_desc_t fwd = NULL, bwd = NULL;
	dnnl_primitive_attr_t attr = NULL;
	dnnl_convolution_desc_t d;
	const char *how = "";

	if (dnnl_primitive_attr_create(&attr) != dnnl_success)
		return NULL;
	dnnl_primitive_attr_set_scratchpad_mode(attr,
	    dnnl_scratchpad_mode_user);
	if (dnnl_dilated_convolution_forward_desc_init(&d,
	    dnnl_forward_training, dnnl_convolution_direct, &s->x, &s->w, NULL,
	    &s->y, s->stride, s->dilates, s->pad, s->pad) != dnnl_success ||
	    dnnl_primitive_desc_create(&fwd, &d, attr, engine(), NULL) !=
	    dnnl_success)
		fwd = NULL;
	if (p->pass == KERNEL_CONV_DATA) {
		if (dnnl_dilated_convolution_backward_data_desc_init(&d,
		    dnnl_convolution_direct, &s->x, &s->w, &s->y, s->stride,
		    s->dilates, s->pad, s->pad) != dnnl_success ||
		    dnnl_primitive_desc_create(&bwd, &d, attr, engine(), fwd) !=
		    dnnl_success)
			bwd = NULL;
		dnnl_primitive_desc_destroy(fwd);
		fwd = bwd;
	}
	dnnl_primitive_attr_destroy(attr);
	if (fwd != NULL)
		dnnl_primitive_desc_query(fwd, dnnl_query_impl_info_str, 0,
		    &how);
	if (strncmp(how, "jit", 3) != 0) {
		dnnl_primitive_desc_destroy(fwd);
		return NULL;
	}
	return fwd;
}

static bool
make_seats(struct prim *p, int which, const struct shape *s,
    const dnnl_memory_desc_t *pad)
{
	const bool data = p->pass == KERNEL_CONV_DATA;

	for (int t = 0; t < p->threads; t++) {
		struct seat *e = &p->seats[t];
		if (dnnl_memory_create(&e->in[which], data ? &s->y : &s->x,
		    engine(), DNNL_MEMORY_NONE) != dnnl_success ||
		    dnnl_memory_create(&e->w[which], &s->w, engine(),
		    DNNL_MEMORY_NONE) != dnnl_success ||
		    dnnl_memory_create(&e->out[which], data ? &s->x : &s->y,
		    engine(), DNNL_MEMORY_NONE) != dnnl_success ||
		    dnnl_memory_create(&e->pad[which], pad, engine(),
		    DNNL_MEMORY_NONE) != dnnl_success)
			return false;
	}
	return true;
}

static bool
make_one(struct prim *p, int which, int64_t n)
{
	struct shape s;
	bool ok = false;

	if (!describe(p, n, &s))
		return false;
	dnnl_primitive_desc_t d = find(p, &s);
	if (d == NULL)
		return false;
	const dnnl_memory_desc_t *pad = dnnl_primitive_desc_query_md(d,
	    dnnl_query_scratchpad_md, 0);
	const size_t bytes = dnnl_memory_desc_get_size(pad);
	p->pad_floats = RK_MAX(p->pad_floats,
	    conv_aligned((int64_t)(bytes + 3) / 4));
	ok = dnnl_primitive_create(&p->of[which], d) == dnnl_success &&
	    make_seats(p, which, &s, pad);
	dnnl_primitive_desc_destroy(d);
	return ok;
}

static void
prim_free(void *vp)
{
	struct prim *p = vp;

	for (int t = 0; t < p->threads; t++) {
		struct seat *e = &p->seats[t];
		for (int i = 0; i < 2; i++) {
			dnnl_memory_destroy(e->in[i]);
			dnnl_memory_destroy(e->w[i]);
			dnnl_memory_destroy(e->out[i]);
			dnnl_memory_destroy(e->pad[i]);
		}
		dnnl_stream_destroy(e->stream);
	}
	for (int i = 0; i < 2; i++)
		dnnl_primitive_destroy(p->of[i]);
	free(p->seats);
	free(p);
}

/* Pieces: some samples, or a slab of one. */
static void
cut(struct prim *p, int64_t B)
{
	const struct kernel_window *v = &p->v;
	const double madds = (double)p->from * (double)p->to *
	    (double)p->groups * (double)(v->k[0] * v->k[1]) *
	    (double)(v->oh * v->ow);

	p->each = 1;
	p->slabs = 1;
	while ((double)p->each * madds < PIECE_MADDS && p->each * 8 <= B)
		p->each *= 2;
	while (p->each == 1 && p->groups == 1 && B * p->slabs < PIECES &&
	    madds / (double)p->slabs >= 2 * SLAB_MADDS &&
	    p->to % (p->slabs * 8 * L) == 0)
		p->slabs *= 2;
}

static bool
takes(const struct kernel_conv_want *w, enum kernel_conv_pass pass)
{
	const int64_t groups = window_groups(&w->v);

	if (pass == KERNEL_CONV_WEIGHT || w->y != KERNEL_BLOCKED ||
	    kernel_gemm_is_openblas() || engine() == NULL)
		return false;
	if (w->x == KERNEL_PLAIN && (pass != KERNEL_CONV_FORWARD ||
	    groups > 1 || w->v.c >= L))
		return false;
	return groups == 1 || (w->v.c / groups % L == 0 &&
	    w->M / groups % L == 0);
}

static void *
prim_make(const struct kernel_conv_want *w, enum kernel_conv_pass pass)
{
	const bool data = pass == KERNEL_CONV_DATA;
	const int64_t groups = window_groups(&w->v);

	if (!takes(w, pass))
		return NULL;
	kernel_gemm_thread_init();      /* primitives are made for one thread */
	struct prim *p = xcalloc(1, sizeof(*p));
	p->pass = pass;
	p->v = w->v;
	p->M = w->M;
	p->groups = groups;
	p->flat = w->x == KERNEL_PLAIN;
	const int64_t xc = p->flat ? w->v.c : kernel_blocks(w->v.c / groups) *
	    L;
	const int64_t yc = kernel_blocks(w->M / groups) * L;
	p->from = data ? yc : xc;
	p->to = data ? xc : yc;
	cut(p, w->B);
	const int64_t in = w->v.h * w->v.w, out = w->v.oh * w->v.ow;
	p->in_floats = groups * p->from * (data ? out : in);
	p->out_floats = groups * p->to * (data ? in : out);
	p->w_floats = groups * xc * yc * w->v.k[0] * w->v.k[1];
	if (data)
		p->sum_floats = conv_aligned(p->each * p->out_floats /
		    p->slabs);
	p->threads = kernel_threads();
	p->seats = xcalloc((size_t)p->threads, sizeof(*p->seats));
	bool ok = make_one(p, 0, p->each) &&
	    (p->each == 1 || make_one(p, 1, 1));
	for (int t = 0; t < p->threads; t++)
		ok = ok && dnnl_stream_create(&p->seats[t].stream, engine(),
		    dnnl_stream_default_flags) == dnnl_success;
	if (!ok) {
		prim_free(p);
		return NULL;
	}
	return p;
}

static size_t
prim_scratch(const void *vp)
{
	const struct prim *p = vp;

	return conv_aligned(p->w_floats) + (p->pad_floats + p->sum_floats) *
	    (size_t)p->threads;
}

/* --- running -------------------------------------------------------------- */

/* Weights between a block of M and one of c; lanes that are none are left. */
static void
pack_blocks(const struct prim *p, const float *w, int64_t xc, int64_t o,
    int64_t i, int64_t o_step, int64_t i_step, int64_t t_step, float *to)
{
	const int64_t taps = p->v.k[0] * p->v.k[1];

	for (int64_t a = 0; a < o; a++)
		for (int64_t b = 0; b < i; b++) {
			const float *from = w + (a * xc + b) * taps;
			float *at = to + a * o_step + b * i_step;
			for (int64_t t = 0; t < taps; t++)
				at[t * t_step] = from[t];
		}
}

/* A piece is a block of M of a group. */
static void
pack_piece(void *ctx, size_t k)
{
	const struct prim_run *r = ctx;
	const struct prim *p = r->p;
	const bool data = p->pass == KERNEL_CONV_DATA;
	const int64_t taps = p->v.k[0] * p->v.k[1];
	const int64_t xc = p->v.c / p->groups, yc = p->M / p->groups;
	const int64_t oblocks = kernel_blocks(yc);
	const int64_t g = (int64_t)k / oblocks, ob = (int64_t)k % oblocks;
	const int64_t wide = p->flat ? xc : L, iblocks = (xc + wide - 1) / wide;
	const int64_t slab = data ? iblocks / p->slabs : iblocks;
	const float *w = r->c->w + (g * yc + ob * L) * xc * taps;
	const int64_t o = RK_MIN(yc - ob * L, L);

	for (int64_t ib = 0; ib < iblocks; ib++) {
		const int64_t i = RK_MIN(xc - ib * wide, wide);
		float *to = r->packed + (((g * iblocks + ib / slab * slab) *
		    oblocks + ob * slab) + ib % slab) * taps * wide * L;
		if (o < L || i < wide)
			memset(to, 0, (size_t)(taps * wide * L) * sizeof(*to));
		pack_blocks(p, w + ib * wide * taps, xc, o, i, data ? L : 1,
		    data ? 1 : L, wide * L, to);
	}
}

LOOP
finish_body(float *y, int64_t n, const float *b, bool relu)
{
	for (int64_t i = 0; i < n * L; i += L)
		for (int64_t l = 0; l < L; l++) {
			const float v = y[i + l] + b[l];
			y[i + l] = relu && v < 0 ? 0 : v;
		}
}

static void
finish_plain(float *y, int64_t n, const float *b, bool relu)
{
	finish_body(y, n, b, relu);
}

FAST static void
finish_fast(float *y, int64_t n, const float *b, bool relu)
{
	finish_body(y, n, b, relu);
}

/* Bias and relu of `channels` channels of y from number m on. */
static void
finish(const struct prim_run *r, float *y, int64_t m, int64_t channels)
{
	const int64_t plane = r->p->v.oh * r->p->v.ow;

	for (int64_t k = 0; k < channels; k += L, y += plane * L) {
		float b[KERNEL_BLOCK] = { 0 };
		for (int64_t l = 0; l < L && r->c->b != NULL; l++)
			b[l] = m + k + l < r->p->M ? r->c->b[m + k + l] : 0;
		(fast_cpu() ? finish_fast : finish_plain)(y, plane, b,
		    r->c->relu);
	}
}

static void
execute(const struct prim_run *r, int which, const float *in, const float *w,
    float *out)
{
	const struct prim *p = r->p;
	const bool data = p->pass == KERNEL_CONV_DATA;
	const int t = kernel_self();
	const struct seat *e = &p->seats[t];
	const dnnl_exec_arg_t args[] = {
		{ data ? DNNL_ARG_DIFF_DST : DNNL_ARG_SRC, e->in[which] },
		{ DNNL_ARG_WEIGHTS, e->w[which] },
		{ data ? DNNL_ARG_DIFF_SRC : DNNL_ARG_DST, e->out[which] },
		{ DNNL_ARG_SCRATCHPAD, e->pad[which] },
	};

	must(t < p->threads);
	kernel_gemm_thread_init();
	dnnl_status_t s = dnnl_memory_set_data_handle(e->in[which],
	    (void *)(uintptr_t)in);
	must(s == dnnl_success);
	s = dnnl_memory_set_data_handle(e->w[which], (void *)(uintptr_t)w);
	must(s == dnnl_success);
	s = dnnl_memory_set_data_handle(e->out[which], out);
	must(s == dnnl_success);
	s = dnnl_memory_set_data_handle(e->pad[which], r->pads +
	    (size_t)t * p->pad_floats);
	must(s == dnnl_success);
	s = dnnl_primitive_execute(p->of[which], e->stream, 4, args);
	must(s == dnnl_success);
}

static void
piece(void *ctx, size_t k)
{
	const struct prim_run *r = ctx;
	const struct prim *p = r->p;
	const struct conv_call *c = r->c;
	const bool data = p->pass == KERNEL_CONV_DATA;
	const int64_t i = (int64_t)k / p->slabs, s = (int64_t)k % p->slabs;
	const bool whole = i < r->whole;
	const int64_t n = whole ? p->each : 1;
	const int64_t b = whole ? i * n : r->whole * (p->each - 1) + i;
	const int64_t floats = n * p->out_floats / p->slabs;
	float *out = c->out + b * p->out_floats + s * floats;
	float *to = data && c->add ? r->sums + (size_t)kernel_self() *
	    p->sum_floats : out;

	execute(r, !whole && p->each > 1, (data ? c->dy : c->x) +
	    b * p->in_floats, r->packed + s * (p->w_floats / p->slabs), to);
	if (to != out)
		kernel_loops()->add(out, to, (size_t)floats);
	if (c->b != NULL || c->relu)
		for (int64_t j = 0; j < n; j++)
			finish(r, out + j * p->out_floats, s * (p->to /
			    p->slabs), p->groups * p->to / p->slabs);
}

static void
prim_run(const void *vp, const struct conv_call *c)
{
	const struct prim *p = vp;
	struct prim_run r = { .p = p, .c = c, .packed = c->scratch };

	r.pads = r.packed + conv_aligned(p->w_floats);
	r.sums = r.pads + p->pad_floats * (size_t)p->threads;
	r.whole = c->B / p->each;
	kernel_for((size_t)(p->groups * kernel_blocks(p->M / p->groups)),
	    pack_piece, &r);
	kernel_for((size_t)((r.whole + c->B % p->each) * p->slabs), piece, &r);
}

const struct conv_way kernel_conv_prim = { prim_make, prim_free,
	prim_scratch, prim_run };
