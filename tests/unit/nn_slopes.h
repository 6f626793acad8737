/*
 * nn_slopes - gradients against differences.
 *
 * The slopes to the left and to the right, (L(w) - L(w-e)) / e and (L(w+e) -
 * L(w)) / e with e = 2^-10, enclose the derivative: a relu or a maximum that
 * changes sides within e spoils one of them only.  From logits in float they
 * carry a rounding error of some 1e-7 / e = 1e-4.  Gradients here are 1e-2 to 1
 * in size, so a whole tensor must lie between within 1 % of its norm, and an
 * element within 5 % of the largest.  A wrong factor, index or sign misses that
 * by far.
 *
 * The input's gradient is not computed, so an op stands behind a linear or a
 * convolution whose weights show what it passes back.  Images are tried plain,
 * blocked and some of each.
 */
#ifndef NN_SLOPES_H
#define NN_SLOPES_H

#include "nn_net.h"

static inline void
check_tensor(struct net *s, const struct nn_tensor *t, int64_t rows,
    const float *grad)
{
	const float e = 0x1p-10f;
	double diff = 0, norm = 0, worst = 0, largest = 0;
	double here = net_loss(s, rows);

	for (int64_t i = 0; i < t->count; i++) {
		float was = t->value[i];
		t->value[i] = was + e;
		double right = (net_loss(s, rows) - here) / e;
		t->value[i] = was - e;
		double left = (here - net_loss(s, rows)) / e;
		t->value[i] = was;
		double g = grad[t->offset + i];
		double off = fmax(0, fmax(fmin(left, right) - g,
		    g - fmax(left, right)));
		diff += off * off;
		norm += g * g;
		worst = fmax(worst, off);
		largest = fmax(largest, fabs(g));
	}
	/* A bias before a batch norm does nothing: this is rounding. */
	if (sqrt(norm) < 1e-5 && sqrt(diff) < 1e-3)
		return;
	if (!(sqrt(diff) <= 0.01 * sqrt(norm) + 1e-5) || !(worst <= 0.05 * largest))
		t_fail("%s: off by %.3g of %.3g, worst %.3g of %.3g", t->name,
		    sqrt(diff), sqrt(norm), worst, largest);
}

static inline void
check_layout(struct net *s, int64_t batch, int64_t rows)
{
	int64_t n;

	net_build(s, batch);
	nn_zero_grads(s->nn);
	net_step(s, rows);
	(void)nn_params(s->nn, &n);
	float *grad = xmalloc((size_t)n * sizeof(*grad));
	memcpy(grad, nn_grads(s->nn), (size_t)n * sizeof(*grad));
	for (size_t i = 0; i < nn_ntensors(s->nn); i++)
		if (nn_tensor_at(s->nn, i)->trained)
			check_tensor(s, nn_tensor_at(s->nn, i), rows, grad);
	free(grad);
	nn_free(s->nn);
}

static inline void
check_gradients(struct net *s, int64_t batch, int64_t rows)
{
	t_check(kernel_init(2) == RK_OK);
	for (s->layouts = NN_PLAIN; s->layouts <= NN_MIXED; s->layouts++)
		check_layout(s, batch, rows);
	kernel_fini();
}

#endif
