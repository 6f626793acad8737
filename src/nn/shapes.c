/* Shapes that ops share. */
#include <string.h>

#include "ops.h"

const char *
nn_maker(const struct nn_graph *g, const struct nn_value *v)
{
	return v->maker >= 0 ? g->nodes[v->maker].name : SPEC_INPUT;
}

enum rk_err
nn_same_shape(struct nn_graph *g, struct nn_node *nd, struct rk_why *why)
{
	const struct nn_value x = *nn_x(g, nd, 0);

	return nn_set_shape(g, nd, x.ndim, x.d, why);
}

bool
nn_one_shape(const struct nn_graph *g, const struct nn_node *nd)
{
	const struct nn_value *y = nn_y(g, nd);

	for (int k = 0; k < nd->nin; k++) {
		const struct nn_value *x = nn_x(g, nd, k);
		if (x->ndim != y->ndim || memcmp(x->d, y->d, (size_t)y->ndim *
		    sizeof(*y->d)) != 0)
			return false;
	}
	return y->ndim == 3;
}

enum rk_err
nn_want_image(struct nn_graph *g, struct nn_node *nd, struct rk_why *why)
{
	const struct nn_value *x = nn_x(g, nd, 0);
	char text[NN_SHAPE];

	if (x->ndim == 3)
		return RK_OK;
	return rk_refuse_at(why, nd->path, "%s (%s) wants an image of 3 "
	    "dimensions, channels x height x width, but gets %d: %s",
	    nd->name, spec_op_words[g->layers[nd - g->nodes].type], x->ndim,
	    nn_shape_text(text, sizeof(text), x->ndim, x->d));
}

enum rk_err
nn_window_shape(struct nn_graph *g, struct nn_node *nd,
    const struct nn_window *w, struct rk_why *why)
{
	static const char *const sides[] = { "high", "wide" };
	const struct nn_value *x = nn_x(g, nd, 0);
	struct kernel_window v = { 0 };
	int64_t *out[] = { &v.oh, &v.ow };

	enum rk_err rc = nn_want_image(g, nd, why);
	if (rc != RK_OK)
		return rc;
	v.c = x->d[0];
	v.h = x->d[1];
	v.w = x->d[2];
	for (int i = 0; i < 2; i++) {
		const int64_t size = x->d[i + 1];
		v.k[i] = w->kernel[i];
		v.stride[i] = w->stride[i];
		v.pad[i] = w->padding[i];
		v.dilation[i] = w->dilation != NULL ? w->dilation[i] : 1;
		must(v.k[i] >= 1 && v.stride[i] >= 1 && v.pad[i] >= 0 &&
		    v.dilation[i] >= 1);
		const int64_t reach = v.dilation[i] * (v.k[i] - 1) + 1;
		if (reach > size + 2 * v.pad[i])
			return rk_refuse_at(why, nd->path, "%s's kernel is "
			    "%lld %s%s, but its input with padding only %lld",
			    nd->name, (long long)reach, sides[i],
			    v.dilation[i] > 1 ? " with dilation" : "",
			    (long long)(size + 2 * v.pad[i]));
		*out[i] = kernel_window_places(size, v.k[i], v.stride[i],
		    v.pad[i], v.dilation[i], w->ceil_mode);
	}
	nd->win = v;
	return RK_OK;
}
