/* Shapes of the ops that move a window over an image. */
#include "ops.h"

enum rk_err
nn_window_shape(struct nn *n, struct nn_node *nd, struct rk_why *why)
{
	static const char *const sides[] = { "high", "wide" };
	const struct nn_value *x = nn_x(n, nd);
	const struct spec_layer *l = &nd->l;
	char text[NN_SHAPE];
	struct kernel_window w = { 0 };
	int64_t *out[] = { &w.oh, &w.ow };

	if (x->ndim != 3)
		return rk_refuse_at(why, nd->path, "%s (%s) wants an image of "
		    "3 dimensions, channels x height x width, but gets %d: %s",
		    nd->name, nd->op->name, x->ndim,
		    nn_shape_text(text, sizeof(text), x->ndim, x->d));
	w.c = x->d[0];
	w.h = x->d[1];
	w.w = x->d[2];
	for (int i = 0; i < 2; i++) {
		const int64_t size = x->d[i + 1];
		w.k[i] = l->kernel[i];
		w.stride[i] = l->stride[i];
		w.pad[i] = l->padding[i];
		must(w.k[i] >= 1 && w.stride[i] >= 1 && w.pad[i] >= 0);
		if (w.k[i] > size + 2 * w.pad[i])
			return rk_refuse_at(why, nd->path, "%s's kernel is "
			    "%lld %s, but its input with padding only %lld",
			    nd->name, (long long)w.k[i], sides[i],
			    (long long)(size + 2 * w.pad[i]));
		*out[i] = (size + 2 * w.pad[i] - w.k[i]) / w.stride[i] + 1;
	}
	nd->win = w;
	return RK_OK;
}
