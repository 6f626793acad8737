/*
 * Gradients against differences.
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
 * convolution whose weights show what it passes back.
 */
#include "nn_net.h"

static void
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
	if (!(sqrt(diff) <= 0.01 * sqrt(norm)) || !(worst <= 0.05 * largest))
		t_fail("%s: off by %.3g of %.3g, worst %.3g of %.3g", t->name,
		    sqrt(diff), sqrt(norm), worst, largest);
}

static void
check_gradients(struct net *s, int64_t batch, int64_t rows)
{
	int64_t n;

	t_check(kernel_init(2) == RK_OK);
	net_build(s, batch);
	nn_zero_grads(s->nn);
	net_step(s, rows);
	(void)nn_params(s->nn, &n);
	float *grad = xmalloc((size_t)n * sizeof(*grad));
	memcpy(grad, nn_grads(s->nn), (size_t)n * sizeof(*grad));
	for (size_t i = 0; i < nn_ntensors(s->nn); i++)
		if (!nn_tensor_at(s->nn, i)->is_buffer)
			check_tensor(s, nn_tensor_at(s->nn, i), rows, grad);
	free(grad);
	nn_free(s->nn);
	kernel_fini();
}

T_CASE(linear_and_cross_entropy)
{
	struct net s = { 0 };
	net_input(&s, 1, 9, 0, 0);
	net_linear(&s, 7);
	net_linear(&s, 4);
	check_gradients(&s, 6, 6);
}

T_CASE(linear_without_bias_and_smoothed_labels)
{
	struct net s = { .loss = { SPEC_CROSS_ENTROPY, 0.2 } };
	net_input(&s, 1, 9, 0, 0);
	net_linear(&s, 5)->u.linear.bias = false;
	net_linear(&s, 3);
	check_gradients(&s, 5, 5);
}

T_CASE(mean_squared_error)
{
	struct net s = { .loss = { SPEC_MSE, 0 } };
	net_input(&s, 1, 5, 0, 0);
	net_linear(&s, 6);
	net_linear(&s, 3);
	check_gradients(&s, 4, 4);
}

static void
activation(enum spec_op type, bool alone)
{
	struct net s = { .loss = { SPEC_MSE, 0 } };
	net_input(&s, 1, 8, 0, 0);
	net_linear(&s, 12);
	/* Behind a flatten nothing is folded into the product. */
	if (alone)
		net_add(&s, SPEC_OP_flatten);
	net_add(&s, type);
	net_linear(&s, 5);
	check_gradients(&s, 7, 7);
}

T_CASE(relu_folded_into_linear) { activation(SPEC_OP_relu, false); }
T_CASE(relu_alone) { activation(SPEC_OP_relu, true); }
T_CASE(gelu) { activation(SPEC_OP_gelu, false); }
T_CASE(sigmoid) { activation(SPEC_OP_sigmoid, false); }
T_CASE(tanh_of_values) { activation(SPEC_OP_tanh, false); }

T_CASE(relu_folded_into_linear_without_bias)
{
	struct net s = { .loss = { SPEC_MSE, 0 } };
	net_input(&s, 1, 8, 0, 0);
	net_linear(&s, 12)->u.linear.bias = false;
	net_add(&s, SPEC_OP_relu);
	net_linear(&s, 5);
	check_gradients(&s, 7, 7);
}

T_CASE(activations_in_a_row)
{
	struct net s = { .loss = { SPEC_MSE, 0 } };
	net_input(&s, 1, 8, 0, 0);
	net_linear(&s, 12);
	net_add(&s, SPEC_OP_tanh);
	net_add(&s, SPEC_OP_sigmoid);
	net_add(&s, SPEC_OP_gelu);
	net_linear(&s, 9);
	net_add(&s, SPEC_OP_relu);
	net_add(&s, SPEC_OP_dropout);
	net_add(&s, SPEC_OP_tanh);
	net_linear(&s, 5);
	check_gradients(&s, 7, 7);
}

T_CASE(a_network_may_end_in_an_activation)
{
	struct net s = { .loss = { SPEC_MSE, 0 } };
	net_input(&s, 1, 8, 0, 0);
	net_linear(&s, 12);
	net_add(&s, SPEC_OP_tanh);
	net_linear(&s, 5);
	net_add(&s, SPEC_OP_relu);
	check_gradients(&s, 7, 7);
}

T_CASE(dropout)
{
	struct net s = { .loss = { SPEC_MSE, 0 } };
	net_input(&s, 1, 8, 0, 0);
	net_linear(&s, 16);
	net_add(&s, SPEC_OP_dropout)->u.dropout.p = 0.3;
	net_linear(&s, 4);
	check_gradients(&s, 7, 7);
}

T_CASE(batch_norm_of_vectors)
{
	struct net s = { .loss = { SPEC_MSE, 0 } };
	net_input(&s, 1, 8, 0, 0);
	net_linear(&s, 9);
	net_add(&s, SPEC_OP_batch_norm);
	net_add(&s, SPEC_OP_tanh);
	net_linear(&s, 4);
	check_gradients(&s, 9, 9);
}

T_CASE(batch_norm_of_images)
{
	struct net s = { .loss = { SPEC_MSE, 0 } };
	net_input(&s, 3, 2, 5, 4);
	net_window(&s, SPEC_OP_conv2d, 3, 2, 2, 1, 0);
	net_add(&s, SPEC_OP_batch_norm);
	net_add(&s, SPEC_OP_sigmoid);
	net_linear(&s, 4);
	check_gradients(&s, 5, 5);
}

static void
conv(int kh, int kw, int stride, int pad)
{
	struct net s = { .loss = { SPEC_MSE, 0 } };
	net_input(&s, 3, 2, 7, 6);
	net_window(&s, SPEC_OP_conv2d, 3, 3, 3, 1, 1);
	net_add(&s, SPEC_OP_tanh);
	net_window(&s, SPEC_OP_conv2d, 4, kh, kw, stride, pad);
	net_add(&s, SPEC_OP_tanh);
	net_linear(&s, 3);
	check_gradients(&s, 5, 5);
}

T_CASE(conv2d_3x3) { conv(3, 3, 1, 0); }
T_CASE(conv2d_with_padding) { conv(3, 2, 1, 2); }
T_CASE(conv2d_with_stride) { conv(3, 3, 2, 1); }
T_CASE(conv2d_stride_over_kernel) { conv(1, 2, 3, 1); }
T_CASE(conv2d_1x1) { conv(1, 1, 1, 0); }
T_CASE(conv2d_kernel_of_the_whole_image) { conv(7, 6, 1, 0); }

T_CASE(conv2d_with_relu_and_no_bias)
{
	struct net s = { .loss = { SPEC_MSE, 0 } };
	net_input(&s, 3, 1, 6, 6);
	net_window(&s, SPEC_OP_conv2d, 4, 3, 3, 1, 1)->u.conv2d.bias = false;
	net_add(&s, SPEC_OP_relu);
	net_window(&s, SPEC_OP_conv2d, 2, 3, 3, 1, 0);
	net_add(&s, SPEC_OP_relu);
	net_add(&s, SPEC_OP_flatten);
	net_linear(&s, 3);
	check_gradients(&s, 20, 20);
}

static void
pool(enum spec_op type, int k, int stride, int pad)
{
	struct net s = { .loss = { SPEC_MSE, 0 } };
	net_input(&s, 3, 2, 7, 6);
	net_window(&s, SPEC_OP_conv2d, 3, 3, 3, 1, 1);
	net_window(&s, type, 0, k, k, stride, pad);
	net_linear(&s, 3);
	check_gradients(&s, 5, 5);
}

T_CASE(max_pool2d) { pool(SPEC_OP_max_pool2d, 2, 2, 0); }
T_CASE(max_pool2d_of_overlapping_windows) { pool(SPEC_OP_max_pool2d, 3, 1, 1); }
T_CASE(avg_pool2d) { pool(SPEC_OP_avg_pool2d, 2, 2, 0); }
T_CASE(avg_pool2d_with_padding) { pool(SPEC_OP_avg_pool2d, 3, 2, 1); }

T_CASE(a_last_smaller_batch)
{
	struct net s = { 0 };
	net_input(&s, 3, 1, 6, 6);
	net_window(&s, SPEC_OP_conv2d, 2, 3, 3, 1, 1);
	net_add(&s, SPEC_OP_batch_norm);
	net_add(&s, SPEC_OP_relu);
	net_window(&s, SPEC_OP_avg_pool2d, 0, 2, 2, 2, 0);
	net_add(&s, SPEC_OP_dropout)->u.dropout.p = 0.2;
	net_linear(&s, 4);
	check_gradients(&s, 16, 5);
}

T_MAIN
