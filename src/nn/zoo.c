/*
 * The architectures that have a name, as lists of layers.
 *
 *	mlp     fc1, activation, fc2, activation, ..., fcN
 *	lenet5  conv1 6@5x5 (padding 2), relu, pool 2, conv2 16@5x5, relu,
 *	        pool 2, fc1 120, relu, fc2 84, relu, fc3 classes
 *	        (LeCun et al., "Gradient-based learning applied to document
 *	        recognition", 1998, with today's relu and max pooling)
 */
#include <stdlib.h>
#include <string.h>

#include "graph.h"

struct list {
	struct spec_layer *v;
	int n;
};

static struct spec_layer *
add(struct list *l, enum spec_layer_type type, char *name)
{
	l->v = xrealloc(l->v, (size_t)(l->n + 1) * sizeof(*l->v));
	struct spec_layer *s = &l->v[l->n++];

	*s = (struct spec_layer){ .type = type, .name = name, .bias = true,
		.stride = { 1, 1 } };
	return s;
}

static void
add_linear(struct list *l, int number, int64_t out)
{
	add(l, SPEC_L_LINEAR, xasprintf("fc%d", number))->out = out;
}

static void
add_plain(struct list *l, enum spec_layer_type type, const char *word,
    int number)
{
	add(l, type, xasprintf("%s%d", word, number));
}

static enum rk_err
mlp(struct list *l, const struct spec_model *m, int ndim, const int64_t *d,
    struct rk_why *why)
{
	static const enum spec_layer_type acts[] = {
		[SPEC_RELU] = SPEC_L_RELU, [SPEC_GELU] = SPEC_L_GELU,
		[SPEC_SIGMOID] = SPEC_L_SIGMOID, [SPEC_TANH] = SPEC_L_TANH
	};
	char text[NN_SHAPE];
	int64_t width;

	must(m->nsizes >= 2 && m->nsizes <= SPEC_MAX_SIZES);
	if (!nn_product(ndim, d, NN_MAX_VALUE, &width) ||
	    width != m->sizes[0])
		return rk_refuse_at(why, "model.sizes", "begins with %lld "
		    "inputs, but a sample has %s values",
		    (long long)m->sizes[0],
		    nn_shape_text(text, sizeof(text), ndim, d));
	for (int i = 1; i < m->nsizes; i++) {
		add_linear(l, i, m->sizes[i]);
		if (i < m->nsizes - 1)
			add_plain(l, acts[m->activation],
			    spec_activation_words[m->activation], i);
	}
	return RK_OK;
}

static void
conv_relu_pool(struct list *l, int number, int64_t out, int padding)
{
	struct spec_layer *c = add(l, SPEC_L_CONV2D,
	    xasprintf("conv%d", number));
	c->out = out;
	c->kernel[0] = c->kernel[1] = 5;
	c->padding[0] = c->padding[1] = padding;
	add_plain(l, SPEC_L_RELU, "relu", number);
	struct spec_layer *p = add(l, SPEC_L_MAX_POOL2D,
	    xasprintf("pool%d", number));
	p->kernel[0] = p->kernel[1] = p->stride[0] = p->stride[1] = 2;
}

static void
lenet5(struct list *l, const struct spec_model *m)
{
	conv_relu_pool(l, 1, 6, 2);
	conv_relu_pool(l, 2, 16, 0);
	add_linear(l, 1, 120);
	add_plain(l, SPEC_L_RELU, "relu", 3);
	add_linear(l, 2, 84);
	add_plain(l, SPEC_L_RELU, "relu", 4);
	add_linear(l, 3, m->classes);
}

enum rk_err
nn_zoo_layers(const struct spec_model *m, int ndim, const int64_t *d,
    struct spec_layer **out, int *count, struct rk_why *why)
{
	struct list l = { NULL, 0 };
	enum rk_err rc = RK_OK;

	switch (m->arch) {
	case SPEC_ARCH_MLP:
		rc = mlp(&l, m, ndim, d, why);
		break;
	case SPEC_ARCH_LENET5:
		lenet5(&l, m);
		break;
	case SPEC_ARCH_LAYERS:
		for (int i = 0; i < m->nlayers; i++) {
			const struct spec_layer *s = &m->layers[i];
			char *name = s->name != NULL ? xstrdup(s->name)
			    : xasprintf("%d", i);
			*add(&l, s->type, name) = *s;
			l.v[i].name = name;
		}
		break;
	}
	*out = l.v;
	*count = l.n;
	return rc;
}

void
nn_zoo_free(struct spec_layer *layers, int count)
{
	for (int i = 0; i < count; i++)
		free(layers[i].name);
	free(layers);
}
