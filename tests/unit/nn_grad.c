/* Gradients of the first ops and losses against differences: nn_slopes.h. */
#include "nn_slopes.h"

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
	struct net s = { .loss = { .type = SPEC_CROSS_ENTROPY, .label_smoothing = 0.2 } };
	net_input(&s, 1, 9, 0, 0);
	net_linear(&s, 5)->u.linear.bias = false;
	net_linear(&s, 3);
	check_gradients(&s, 5, 5);
}

T_CASE(mean_squared_error)
{
	struct net s = { .loss = { .type = SPEC_MSE } };
	net_input(&s, 1, 5, 0, 0);
	net_linear(&s, 6);
	net_linear(&s, 3);
	check_gradients(&s, 4, 4);
}

static void
activation(enum spec_op type, bool alone)
{
	struct net s = { .loss = { .type = SPEC_MSE } };
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
T_CASE(gelu_folded_into_linear) { activation(SPEC_OP_gelu, false); }
T_CASE(gelu_alone) { activation(SPEC_OP_gelu, true); }
T_CASE(sigmoid_folded_into_linear) { activation(SPEC_OP_sigmoid, false); }
T_CASE(sigmoid_alone) { activation(SPEC_OP_sigmoid, true); }
T_CASE(tanh_of_values) { activation(SPEC_OP_tanh, true); }

static void
without_bias(enum spec_op type)
{
	struct net s = { .loss = { .type = SPEC_MSE } };
	net_input(&s, 1, 8, 0, 0);
	net_linear(&s, 12)->u.linear.bias = false;
	net_add(&s, type);
	net_linear(&s, 5);
	check_gradients(&s, 7, 7);
}

T_CASE(relu_folded_into_linear_without_bias) { without_bias(SPEC_OP_relu); }
T_CASE(gelu_folded_into_linear_without_bias) { without_bias(SPEC_OP_gelu); }

/* Only one of two is. */
T_CASE(two_activations_behind_linear)
{
	struct net s = { .loss = { .type = SPEC_MSE } };
	net_input(&s, 1, 8, 0, 0);
	net_linear(&s, 12);
	net_add(&s, SPEC_OP_silu);
	net_add(&s, SPEC_OP_relu);
	net_linear(&s, 12);
	net_add(&s, SPEC_OP_tanh);
	net_add(&s, SPEC_OP_gelu);
	net_linear(&s, 5);
	check_gradients(&s, 7, 7);
}

T_CASE(activations_in_a_row)
{
	struct net s = { .loss = { .type = SPEC_MSE } };
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
	struct net s = { .loss = { .type = SPEC_MSE } };
	net_input(&s, 1, 8, 0, 0);
	net_linear(&s, 12);
	net_add(&s, SPEC_OP_tanh);
	net_linear(&s, 5);
	net_add(&s, SPEC_OP_relu);
	check_gradients(&s, 7, 7);
}

T_CASE(dropout)
{
	struct net s = { .loss = { .type = SPEC_MSE } };
	net_input(&s, 1, 8, 0, 0);
	net_linear(&s, 16);
	net_add(&s, SPEC_OP_dropout)->u.dropout.p = 0.3;
	net_linear(&s, 4);
	check_gradients(&s, 7, 7);
}

T_CASE(batch_norm_of_vectors)
{
	struct net s = { .loss = { .type = SPEC_MSE } };
	net_input(&s, 1, 8, 0, 0);
	net_linear(&s, 9);
	net_add(&s, SPEC_OP_batch_norm);
	net_add(&s, SPEC_OP_tanh);
	net_linear(&s, 4);
	check_gradients(&s, 9, 9);
}

T_CASE(batch_norm_of_images)
{
	struct net s = { .loss = { .type = SPEC_MSE } };
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
	struct net s = { .loss = { .type = SPEC_MSE } };
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
	struct net s = { .loss = { .type = SPEC_MSE } };
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
	struct net s = { .loss = { .type = SPEC_MSE } };
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
