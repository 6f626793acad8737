/* Convolutions prepared for a shape: which way each pass goes. */
#include <stdlib.h>
#include <string.h>

#include "conv_way.h"
#include "window.h"
#include "wino.h"

#define ZEROS 4         /* times the products that count */

const char *const kernel_conv_words[] = {
	"plain", "direct", "winograd", "product", "depthwise"
};

const struct conv_choice kernel_conv_choices[] = {
	{ KERNEL_CONV_WINOGRAD, "winograd", &kernel_conv_winograd, 45 },
	{ KERNEL_CONV_DEPTHWISE, "depthwise", &kernel_conv_depthwise, 10 },
	{ KERNEL_CONV_DIRECT, "narrow", &kernel_conv_narrow, 80 },
	{ KERNEL_CONV_DIRECT, "first", &kernel_conv_first, 80 },
	{ KERNEL_CONV_DIRECT, "prim", &kernel_conv_prim, 45 },
	{ KERNEL_CONV_DIRECT, "direct", &kernel_conv_direct, 45 },
	{ KERNEL_CONV_DIRECT, "weight", &kernel_conv_weight, 45 },
	{ KERNEL_CONV_PLAIN, "plain", &kernel_conv_plain, 20 },
	{ .way = NULL },
};

struct kernel_conv_plan {
	struct kernel_conv_want want;
	size_t of[KERNEL_CONV_PASSES];          /* of the table */
	void *state[KERNEL_CONV_PASSES];
	size_t scratch;
};

/*
 * Towards the data the direct ways go over each place of x with the whole
 * window, and where that reaches beyond y they multiply zeros.  Of a window
 * that is nearly as large as x that is almost all: of a sentence, whose windows
 * are as wide as its words' vectors, 127 products in 128.
 */
static bool
is_mostly_zeros(const struct kernel_window *v)
{
	return v->h * v->w > ZEROS * v->oh * v->stride[0] * v->ow *
	    v->stride[1];
}

struct kernel_conv_plan *
kernel_conv_plan(const struct kernel_conv_want *w)
{
	const bool zeros = is_mostly_zeros(&w->v);
	struct kernel_conv_plan *p = xcalloc(1, sizeof(*p));

	p->want = *w;
	for (int pass = 0; pass < KERNEL_CONV_PASSES; pass++) {
		size_t k = 0;
		while ((pass == KERNEL_CONV_DATA && zeros &&
		    kernel_conv_choices[k].word == KERNEL_CONV_DIRECT) ||
		    (p->state[pass] = kernel_conv_choices[k].way->make(w,
		    (enum kernel_conv_pass)pass)) == NULL)
			k++;
		p->of[pass] = k;
		p->scratch = RK_MAX(p->scratch,
		    kernel_conv_choices[k].way->scratch(p->state[pass]));
	}
	return p;
}

void
kernel_conv_plan_free(struct kernel_conv_plan *p)
{
	if (p == NULL)
		return;
	for (int pass = 0; pass < KERNEL_CONV_PASSES; pass++)
		kernel_conv_choices[p->of[pass]].way->free(p->state[pass]);
	free(p);
}

size_t
kernel_conv_plan_scratch(const struct kernel_conv_plan *p)
{
	return p->scratch;
}

enum kernel_conv_way
kernel_conv_plan_way(const struct kernel_conv_plan *p,
    enum kernel_conv_pass pass)
{
	return kernel_conv_choices[p->of[pass]].word;
}

/* Floats of a sample that the plain way brings over in a pass: it copies the
 * blocked one of two operands, from one layout to the other. */
static double
brought(const struct kernel_conv_plan *p, int pass)
{
	const struct kernel_window *v = &p->want.v;

	if (kernel_conv_choices[p->of[pass]].word != KERNEL_CONV_PLAIN)
		return 0;
	return (p->want.x == KERNEL_BLOCKED ? (double)(v->c * v->h * v->w) :
	    0) + (p->want.y == KERNEL_BLOCKED ? (double)(p->want.M * v->oh *
	    v->ow) : 0);
}

/* Multiply-adds of a direct convolution a nanosecond.  A plane of the plain
 * way's depthwise convolution is no product. */
static double
rate(const struct kernel_conv_plan *p, int pass)
{
	const struct conv_choice *c = &kernel_conv_choices[p->of[pass]];

	if (c->word == KERNEL_CONV_WINOGRAD)
		return c->rate * wino_saves(&p->want);
	return c->word == KERNEL_CONV_PLAIN && window_is_depthwise(&p->want.v) ?
	    2 : c->rate;
}

/* What is brought from one layout to the other moves at 8 bytes a
 * nanosecond. */
double
kernel_conv_plan_cost(const struct kernel_conv_plan *p, bool data)
{
	const struct kernel_window *v = &p->want.v;
	const double madds = (double)(v->c / window_groups(v)) *
	    (double)(v->k[0] * v->k[1]) * (double)p->want.M *
	    (double)(v->oh * v->ow);
	double ns = 0;

	for (int pass = 0; pass < KERNEL_CONV_PASSES; pass++)
		if (data || pass != KERNEL_CONV_DATA)
			ns += madds / rate(p, pass) + brought(p, pass) * 4 / 8;
	return ns / 1e3;
}

static void
run(const struct kernel_conv_plan *p, enum kernel_conv_pass pass,
    const struct conv_call *c)
{
	must(c->B >= 1 && c->B <= p->want.B);
	kernel_conv_choices[p->of[pass]].way->run(p->state[pass], c);
}

void
kernel_conv_run(const struct kernel_conv_plan *p, int64_t B, const float *x,
    const float *w, const float *b, bool relu, float *y, float *scratch)
{
	run(p, KERNEL_CONV_FORWARD, &(struct conv_call){ .B = B, .x = x,
	    .w = w, .b = b, .relu = relu, .out = y, .scratch = scratch });
}

void
kernel_conv_run_data(const struct kernel_conv_plan *p, int64_t B,
    const float *w, const float *dy, bool add, float *dx, float *scratch)
{
	run(p, KERNEL_CONV_DATA, &(struct conv_call){ .B = B, .w = w,
	    .dy = dy, .add = add, .out = dx, .scratch = scratch });
}

void
kernel_conv_run_weight(const struct kernel_conv_plan *p, int64_t B,
    const float *x, const float *dy, bool add, float *dw, float *scratch)
{
	run(p, KERNEL_CONV_WEIGHT, &(struct conv_call){ .B = B, .x = x,
	    .dy = dy, .add = add, .out = dw, .scratch = scratch });
}

void
kernel_conv_run_bias(const struct kernel_conv_plan *p, int64_t B,
    const float *dy, bool add, float *db)
{
	const struct kernel_window *v = &p->want.v;

	if (p->want.y == KERNEL_PLAIN)
		kernel_conv_back_bias(v, p->want.M, B, dy, add, db);
	else
		kernel_conv_bias_sums(B, p->want.M, v->oh * v->ow, dy, add,
		    db);
}
