/* The plain way: kernel_conv(), with a plain copy of each blocked operand. */
#include <stdlib.h>

#include "conv_way.h"

struct plain {
	struct kernel_conv_want want;
	enum kernel_conv_pass pass;
	size_t own;                     /* kernel_conv()'s scratch */
	size_t x_floats, y_floats;      /* of the copies; 0: none */
};

static void *
plain_make(const struct kernel_conv_want *w, enum kernel_conv_pass pass)
{
	const struct kernel_window *v = &w->v;
	struct plain *p = xcalloc(1, sizeof(*p));

	p->want = *w;
	p->pass = pass;
	p->own = conv_aligned((int64_t)kernel_conv_scratch(v, w->M, w->B));
	if (w->x == KERNEL_BLOCKED)
		p->x_floats = conv_aligned(w->B * v->c * v->h * v->w);
	if (w->y == KERNEL_BLOCKED)
		p->y_floats = conv_aligned(w->B * w->M * v->oh * v->ow);
	return p;
}

static size_t
plain_scratch(const void *vp)
{
	const struct plain *p = vp;

	return p->own + p->x_floats + p->y_floats;
}

static void
forward(const struct plain *p, const struct conv_call *c, const float *x,
    float *y)
{
	const struct kernel_conv_want *w = &p->want;

	kernel_conv(&w->v, w->M, c->B, x, c->w, c->b, c->relu,
	    p->y_floats ? y : c->out, c->scratch);
	if (p->y_floats)
		kernel_to_blocked(c->B, w->M, w->v.oh * w->v.ow, y, false,
		    c->out);
}

static void
back_data(const struct plain *p, const struct conv_call *c, const float *dy,
    float *dx)
{
	const struct kernel_conv_want *w = &p->want;
	const bool copy = p->x_floats > 0;

	kernel_conv_back_data(&w->v, w->M, c->B, c->w, dy, c->add && !copy,
	    copy ? dx : c->out, c->scratch);
	if (copy)
		kernel_to_blocked(c->B, w->v.c, w->v.h * w->v.w, dx, c->add,
		    c->out);
}

static void
plain_run(const void *vp, const struct conv_call *c)
{
	const struct plain *p = vp;
	const struct kernel_conv_want *w = &p->want;
	float *x_copy = c->scratch + p->own, *y_copy = x_copy + p->x_floats;
	const float *x = c->x, *dy = c->dy;

	if (x != NULL && p->x_floats) {
		kernel_to_plain(c->B, w->v.c, w->v.h * w->v.w, x, false,
		    x_copy);
		x = x_copy;
	}
	if (dy != NULL && p->y_floats) {
		kernel_to_plain(c->B, w->M, w->v.oh * w->v.ow, dy, false,
		    y_copy);
		dy = y_copy;
	}
	if (p->pass == KERNEL_CONV_FORWARD)
		forward(p, c, x, y_copy);
	else if (p->pass == KERNEL_CONV_DATA)
		back_data(p, c, dy, x_copy);
	else
		kernel_conv_back_weight(&w->v, w->M, c->B, x, dy, c->add,
		    c->out, c->scratch);
}

const struct conv_way kernel_conv_plain = { plain_make, free, plain_scratch,
	plain_run };
