/*
 * nn_net - small networks for the tests of nn: layers by one line each, random
 * data that are the same everywhere, a step.
 */
#ifndef NN_NET_H
#define NN_NET_H

#include "rekindle/kernel.h"
#include "rekindle/nn.h"
#include "t.h"

#define NET_MAX 16

struct net {
	struct spec_layer layers[NET_MAX];
	struct spec_model m;
	struct spec_loss loss;
	int64_t d[4];
	int ndim;
	struct nn *nn;
	int32_t y[64];
	float t[64 * 64];
};

static inline struct spec_layer *
net_add(struct net *s, enum spec_layer_type type)
{
	struct spec_layer *l = &s->layers[s->m.nlayers++];

	*l = (struct spec_layer){ .type = type, .stride = { 1, 1 },
		.bias = true, .eps = 1e-5, .momentum = 0.1, .p = 0.5 };
	s->m.layers = s->layers;
	s->m.arch = SPEC_ARCH_LAYERS;
	return l;
}

static inline void
net_linear(struct net *s, int64_t out)
{
	net_add(s, SPEC_L_LINEAR)->out = out;
}

/* conv2d or a pool, with a kernel of kh x kw */
static inline struct spec_layer *
net_window(struct net *s, enum spec_layer_type type, int64_t out, int kh,
    int kw, int stride, int pad)
{
	struct spec_layer *l = net_add(s, type);

	l->out = out;
	l->kernel[0] = kh;
	l->kernel[1] = kw;
	l->stride[0] = l->stride[1] = stride;
	l->padding[0] = l->padding[1] = pad;
	return l;
}

static inline void
net_input(struct net *s, int ndim, int64_t a, int64_t b, int64_t c)
{
	s->ndim = ndim;
	s->d[0] = a;
	s->d[1] = b;
	s->d[2] = c;
}

/* Build for batches of `batch`, initialise, and fill input and labels. */
static inline void
net_build(struct net *s, int64_t batch)
{
	struct rk_why why = { 0 };

	if (nn_build(&s->nn, &s->m, &s->loss, s->ndim, s->d, batch,
	    (uint64_t)1 << 30, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	nn_init(s->nn, 7);
	int64_t width = 1, classes = nn_outputs(s->nn);
	for (int i = 0; i < s->ndim; i++)
		width *= s->d[i];
	float *x = nn_input(s->nn);
	for (int64_t i = 0; i < batch * width; i++)
		x[i] = rk_draw_normal(11, 1, 1, (uint64_t)i);
	t_check(batch <= 64 && batch * classes <= 64 * 64);
	for (int64_t i = 0; i < batch; i++)
		s->y[i] = (int32_t)(rk_draw_u32(12, 1, 1, (uint64_t)i) %
		    (uint64_t)classes);
	for (int64_t i = 0; i < batch * classes; i++)
		s->t[i] = rk_draw_normal(13, 1, 1, (uint64_t)i);
}

/* The mean loss of a forward pass in training. */
static inline double
net_loss(struct net *s, int64_t rows)
{
	struct nn_result r;

	nn_forward(s->nn, rows, true, 5, 3);
	nn_loss(s->nn, rows, s->y, s->t, &r);
	return r.loss_sum / (double)rows;
}

static inline void
net_step(struct net *s, int64_t rows)
{
	net_loss(s, rows);
	nn_backward(s->nn, rows);
}

#endif
