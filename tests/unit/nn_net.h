/*
 * nn_net - small networks for the tests of nn: layers by one line each, random
 * data that are the same everywhere, a step.
 */
#ifndef NN_NET_H
#define NN_NET_H

#include "rekindle/kernel.h"
#include "rekindle/nn.h"
#include "t.h"

#define NET_MAX 48

struct net {
	struct spec_layer layers[NET_MAX];
	char names[NET_MAX][24], paths[NET_MAX][32];
	int number;                     /* of the next layer in a job */
	struct spec_model m;
	struct spec_loss loss;
	int64_t d[4];
	int ndim;
	enum nn_dtype dtype;
	int32_t ids;                    /* tokens of the data are 0 to ids - 1 */
	float scale;                    /* of the data; 0: 1 */
	int64_t micro;
	bool apart, poison, soft;       /* soft: labels are targets */
	/* As of nn_want; running statistics are drawn then. */
	bool (*trains)(void *ctx, const char *tensor);
	bool evaluate_frozen;
	enum nn_layouts layouts;
	char *in[NET_MAX][4];           /* inputs of each layer that says them */
	struct nn *nn;
	int32_t y[64];
	float t[64 * 64];
};

static inline struct spec_layer *
net_add_as(struct net *s, enum spec_op type, const char *name)
{
	const int i = s->m.nlayers++;
	struct spec_layer *l = &s->layers[i];

	t_check(i < NET_MAX);
	snprintf(s->names[i], sizeof(s->names[i]), "%s", name);
	snprintf(s->paths[i], sizeof(s->paths[i]), "model.layers[%d]",
	    s->number);
	*l = (struct spec_layer){ .type = type, .name = s->names[i],
		.path = s->paths[i] };
	spec_op_defaults(type, &l->u);
	s->m.layers = s->layers;
	s->m.arch = SPEC_ARCH_LAYERS;
	return l;
}

/* Named by its number, as a job's layers are. */
static inline struct spec_layer *
net_add(struct net *s, enum spec_op type)
{
	char name[24];

	snprintf(name, sizeof(name), "%d", s->number);
	struct spec_layer *l = net_add_as(s, type, name);
	s->number++;
	return l;
}

/* With inputs by name, "" for the data. */
static inline struct spec_layer *
net_from(struct net *s, struct spec_layer *l, const char *a, const char *b,
    const char *c)
{
	const char *const names[] = { a, b, c };
	char **in = s->in[l - s->layers];

	for (int i = 0; i < 3 && names[i] != NULL; i++)
		in[l->ninputs++] = (char *)(uintptr_t)(names[i][0] == '\0' ?
		    SPEC_INPUT : names[i]);
	l->inputs = in;
	return l;
}

/* Behind a flatten, as in a job of version 1. */
static inline struct spec_layer *
net_linear(struct net *s, int64_t out)
{
	char name[24];

	snprintf(name, sizeof(name), "%d.flatten", s->number);
	net_add_as(s, SPEC_OP_flatten, name);
	struct spec_layer *l = net_add(s, SPEC_OP_linear);
	l->u.linear.out = out;
	return l;
}

/* conv2d or a pool, with a kernel of kh x kw */
static inline struct spec_layer *
net_window(struct net *s, enum spec_op type, int64_t out, int kh, int kw,
    int stride, int pad)
{
	struct spec_layer *l = net_add(s, type);
	struct spec_op_conv2d *c = &l->u.conv2d;
	struct spec_op_avg_pool2d *a = &l->u.avg_pool2d;
	struct spec_op_max_pool2d *m = &l->u.max_pool2d;
	int *kernel = type == SPEC_OP_conv2d ? c->kernel :
	    type == SPEC_OP_avg_pool2d ? a->kernel : m->kernel;
	int *strides = type == SPEC_OP_conv2d ? c->stride :
	    type == SPEC_OP_avg_pool2d ? a->stride : m->stride;
	int *padding = type == SPEC_OP_conv2d ? c->padding :
	    type == SPEC_OP_avg_pool2d ? a->padding : m->padding;

	if (type == SPEC_OP_conv2d)
		c->out = out;
	kernel[0] = kh;
	kernel[1] = kw;
	strides[0] = strides[1] = stride;
	padding[0] = padding[1] = pad;
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

static inline struct nn_want
net_want(const struct net *s, int64_t batch)
{
	struct nn_want w = { .model = &s->m, .loss = &s->loss,
		.dtype = s->dtype, .ndim = s->ndim, .batch = batch,
		.micro = s->micro, .memory_limit = (uint64_t)1 << 30,
		.apart = s->apart, .layouts = s->layouts, .poison = s->poison,
		.trains = s->trains, .evaluate_frozen = s->evaluate_frozen };

	memcpy(w.d, s->d, sizeof(w.d));
	return w;
}

static inline void
net_draw_buffers(struct net *s)
{
	int64_t n;
	float *b = nn_buffers(s->nn, &n);

	for (int64_t i = 0; i < n; i++)
		b[i] = 0.5f + rk_draw_unit(14, 1, 1, (uint64_t)i);
}

/* Build for batches of `batch`, initialise, and fill input and labels. */
static inline void
net_build(struct net *s, int64_t batch)
{
	const struct nn_want w = net_want(s, batch);
	struct rk_why why = { 0 };

	if (nn_build(&s->nn, &w, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	nn_init(s->nn, 7);
	if (s->evaluate_frozen)
		net_draw_buffers(s);
	int64_t width = 1, classes = nn_outputs(s->nn);
	const int64_t micro = nn_micro(s->nn);
	for (int i = 0; i < s->ndim; i++)
		width *= s->d[i];
	float *x = nn_input(s->nn);
	for (int64_t i = 0; i < micro * width; i++) {
		if (s->dtype == NN_I32)
			nn_input_ids(s->nn)[i] = (int32_t)(rk_draw_u32(11, 1, 1,
			    (uint64_t)i) % (uint32_t)s->ids);
		else
			x[i] = (s->scale > 0 ? s->scale : 1) *
			    rk_draw_normal(11, 1, 1, (uint64_t)i);
	}
	t_check(batch <= 64 && batch * classes <= 64 * 64);
	for (int64_t i = 0; i < batch; i++)
		s->y[i] = (int32_t)(rk_draw_u32(12, 1, 1, (uint64_t)i) %
		    (uint64_t)classes);
	for (int64_t i = 0; i < batch * classes; i++)
		s->t[i] = rk_draw_normal(13, 1, 1, (uint64_t)i);
}

static inline void
net_forward(struct net *s, int64_t rows, bool train, uint64_t seed,
    int64_t step)
{
	nn_forward(s->nn, &(struct nn_step){ .rows = rows, .all = rows,
	    .seed = seed, .step = step }, train);
}

/* The mean loss of a forward pass in training. */
static inline double
net_loss(struct net *s, int64_t rows)
{
	const bool classes = s->loss.type == SPEC_CROSS_ENTROPY && !s->soft;
	const double norm = classes ? nn_loss_weight(s->nn, s->y, rows) :
	    (double)rows;
	struct nn_result r;

	nn_forward(s->nn, &(struct nn_step){ .rows = rows, .all = rows,
	    .seed = 5, .step = 3, .norm = norm }, true);
	nn_loss(s->nn, s->y, classes ? NULL : s->t, &r);
	return r.loss_sum / norm;
}

static inline void
net_step(struct net *s, int64_t rows)
{
	net_loss(s, rows);
	nn_backward(s->nn);
}

#endif
