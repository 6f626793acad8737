/*
 * Gradients of the ops and losses of version 2 against differences, each with
 * its settings: nn_slopes.h.  Names of cases begin with the op's word.
 */
#include "nn_slopes.h"

/* Images of 4 channels of 6 x 5 that depend on a convolution's weight. */
static struct net
images(void)
{
	struct net s = { .loss = { .type = SPEC_MSE } };

	net_input(&s, 3, 2, 6, 5);
	net_window(&s, SPEC_OP_conv2d, 4, 3, 3, 1, 1);
	s.layers[0].name = (char *)(uintptr_t)"c";
	return s;
}

/* 6 vectors of 4 that depend on a linear layer's weight. */
static struct net
vectors(void)
{
	struct net s = { .loss = { .type = SPEC_MSE } };

	net_input(&s, 2, 6, 3, 0);
	net_add_as(&s, SPEC_OP_linear, "v")->u.linear.out = 4;
	return s;
}

static void
end(struct net *s)
{
	net_linear(s, 3);
	check_gradients(s, 7, 5);
}

/* Behind a linear layer whose values are large enough for every branch of f. */
static void
function(enum spec_op op, int word)
{
	struct net s = { .loss = { .type = SPEC_MSE }, .scale = 4 };

	net_input(&s, 1, 6, 0, 0);
	net_linear(&s, 14);
	struct spec_layer *l = net_add(&s, op);
	if (op == SPEC_OP_gelu)
		l->u.gelu.approximate = word;
	if (op == SPEC_OP_leaky_relu)
		l->u.leaky_relu.slope = 0.3;
	if (op == SPEC_OP_elu)
		l->u.elu.alpha = 0.7;
	if (op == SPEC_OP_hard_sigmoid && word == 1) {
		l->u.hard_sigmoid.slope = 0.2;
		l->u.hard_sigmoid.offset = 0.4;
	}
	end(&s);
}

T_CASE(identity) { function(SPEC_OP_identity, 0); }
T_CASE(relu6) { function(SPEC_OP_relu6, 0); }
T_CASE(leaky_relu) { function(SPEC_OP_leaky_relu, 0); }
T_CASE(elu) { function(SPEC_OP_elu, 0); }
T_CASE(silu) { function(SPEC_OP_silu, 0); }
T_CASE(hard_sigmoid) { function(SPEC_OP_hard_sigmoid, 0); }
T_CASE(hard_sigmoid_of_another_slope) { function(SPEC_OP_hard_sigmoid, 1); }
T_CASE(hard_swish) { function(SPEC_OP_hard_swish, 0); }
T_CASE(gelu_by_its_tanh_formula) { function(SPEC_OP_gelu, 1); }
T_CASE(softmax) { function(SPEC_OP_softmax, 0); }

T_CASE(softmax_of_each_vector)
{
	struct net s = vectors();
	net_add(&s, SPEC_OP_softmax);
	end(&s);
}

T_CASE(layer_norm)
{
	struct net s = vectors();
	net_add(&s, SPEC_OP_layer_norm);
	end(&s);
}

T_CASE(layer_norm_over_two_dimensions)
{
	struct net s = images();
	struct spec_op_layer_norm *l =
	    &net_add(&s, SPEC_OP_layer_norm)->u.layer_norm;
	l->dims = 2;
	l->eps = 0.1;
	end(&s);
}

T_CASE(batch_norm_of_paddle)
{
	struct net s = images();
	struct spec_op_batch_norm *b =
	    &net_add(&s, SPEC_OP_batch_norm)->u.batch_norm;
	b->convention = 1;
	b->momentum = 0.9;
	end(&s);
}

T_CASE(linear_on_the_last_dimension)
{
	struct net s = vectors();
	net_add(&s, SPEC_OP_linear)->u.linear.out = 5;
	net_add(&s, SPEC_OP_relu);
	end(&s);
}

/* --- windows -------------------------------------------------------------- */

static void
conv(int64_t out, int64_t groups, int dilation, int stride, int pad)
{
	struct net s = images();
	struct spec_op_conv2d *c = &net_window(&s, SPEC_OP_conv2d, out, 2, 3,
	    stride, pad)->u.conv2d;

	c->groups = groups;
	c->dilation[0] = c->dilation[1] = dilation;
	end(&s);
}

T_CASE(conv2d_with_dilation) { conv(3, 1, 2, 1, 1); }
T_CASE(conv2d_in_groups) { conv(6, 2, 1, 2, 1); }
T_CASE(conv2d_depthwise) { conv(4, 4, 1, 1, 1); }
T_CASE(conv2d_depthwise_with_a_multiplier) { conv(8, 4, 2, 2, 2); }

static void
pool(enum spec_op op, int pad, bool ceil, bool include)
{
	struct net s = images();
	struct spec_layer *l = net_window(&s, op, 0, 3, 3, 2, pad);

	if (op == SPEC_OP_max_pool2d) {
		l->u.max_pool2d.ceil_mode = ceil;
	} else {
		l->u.avg_pool2d.ceil_mode = ceil;
		l->u.avg_pool2d.count_include_pad = include;
	}
	end(&s);
}

T_CASE(max_pool2d_that_rounds_up) { pool(SPEC_OP_max_pool2d, 0, true, true); }
T_CASE(max_pool2d_that_rounds_up_with_padding)
{
	pool(SPEC_OP_max_pool2d, 1, true, true);
}
T_CASE(avg_pool2d_that_rounds_up) { pool(SPEC_OP_avg_pool2d, 1, true, true); }
T_CASE(avg_pool2d_without_padding_in_the_mean)
{
	pool(SPEC_OP_avg_pool2d, 1, true, false);
}

static void
whole(enum spec_op op, int h, int w)
{
	struct net s = images();
	struct spec_layer *l = net_add(&s, op);

	if (op == SPEC_OP_adaptive_avg_pool2d) {
		l->u.adaptive_avg_pool2d.size[0] = h;
		l->u.adaptive_avg_pool2d.size[1] = w;
	}
	end(&s);
}

T_CASE(adaptive_avg_pool2d) { whole(SPEC_OP_adaptive_avg_pool2d, 4, 3); }
T_CASE(adaptive_avg_pool2d_to_more) { whole(SPEC_OP_adaptive_avg_pool2d, 7, 8); }
T_CASE(global_avg_pool2d) { whole(SPEC_OP_global_avg_pool2d, 0, 0); }
T_CASE(global_max_pool2d) { whole(SPEC_OP_global_max_pool2d, 0, 0); }

T_CASE(shortcut_a)
{
	struct net s = images();
	struct spec_op_shortcut_a *a =
	    &net_add(&s, SPEC_OP_shortcut_a)->u.shortcut_a;
	a->out = 7;
	end(&s);
}

/* --- places --------------------------------------------------------------- */

T_CASE(reshape)
{
	struct net s = images();
	struct spec_op_reshape *r = &net_add(&s, SPEC_OP_reshape)->u.reshape;
	r->shape.n = 2;
	r->shape.v[0] = 8;
	r->shape.v[1] = -1;
	net_add(&s, SPEC_OP_softmax);
	end(&s);
}

T_CASE(flatten_of_the_last_dimensions)
{
	struct net s = images();
	net_add(&s, SPEC_OP_flatten)->u.flatten.start = 1;
	net_add(&s, SPEC_OP_softmax);
	end(&s);
}

T_CASE(transpose)
{
	struct net s = images();
	struct spec_op_transpose *t =
	    &net_add(&s, SPEC_OP_transpose)->u.transpose;
	t->order.n = 3;
	t->order.v[0] = 2;
	t->order.v[1] = 0;
	t->order.v[2] = 1;
	net_add(&s, SPEC_OP_softmax);
	end(&s);
}

T_CASE(slice)
{
	struct net s = images();
	struct spec_op_slice *l = &net_add(&s, SPEC_OP_slice)->u.slice;
	l->dim = 1;
	l->start = -4;
	l->end = -1;
	end(&s);
}

T_CASE(pad)
{
	struct net s = images();
	struct spec_op_pad *p = &net_add(&s, SPEC_OP_pad)->u.pad;
	p->dim = 1;
	p->before = 2;
	p->after = 1;
	p->value = 0.5;
	net_add(&s, SPEC_OP_tanh);
	end(&s);
}

T_CASE(concat)
{
	struct net s = images();
	net_add_as(&s, SPEC_OP_tanh, "a");
	net_from(&s, net_add_as(&s, SPEC_OP_sigmoid, "b"), "c", NULL, NULL);
	net_from(&s, net_add(&s, SPEC_OP_concat), "a", "b", "c")->u.concat.dim
	    = 1;
	end(&s);
}

/* --- additions and products ----------------------------------------------- */

T_CASE(add)
{
	struct net s = images();
	net_add_as(&s, SPEC_OP_tanh, "a");
	net_from(&s, net_add_as(&s, SPEC_OP_sigmoid, "b"), "c", NULL, NULL);
	net_from(&s, net_add(&s, SPEC_OP_add), "a", "b", "c");
	net_add(&s, SPEC_OP_relu);
	end(&s);
}

T_CASE(add_of_a_value_to_itself)
{
	struct net s = images();
	net_from(&s, net_add(&s, SPEC_OP_add), "c", "c", "c");
	net_add(&s, SPEC_OP_tanh);
	end(&s);
}

/* The second for each place of its channel, the third for each channel. */
T_CASE(add_with_dimensions_of_one)
{
	struct net s = images();
	net_add_as(&s, SPEC_OP_global_avg_pool2d, "a");
	struct spec_op_slice *l = &net_from(&s, net_add_as(&s, SPEC_OP_slice,
	    "b"), "c", NULL, NULL)->u.slice;
	l->end = 1;
	net_from(&s, net_add(&s, SPEC_OP_add), "c", "a", "b");
	net_add(&s, SPEC_OP_tanh);
	end(&s);
}

T_CASE(multiply)
{
	struct net s = images();
	net_add_as(&s, SPEC_OP_tanh, "a");
	net_from(&s, net_add(&s, SPEC_OP_multiply), "c", "a", NULL);
	end(&s);
}

T_CASE(multiply_of_a_value_by_itself)
{
	struct net s = images();
	net_from(&s, net_add(&s, SPEC_OP_multiply), "c", "c", NULL);
	end(&s);
}

/* What squeeze-and-excitation is made of. */
T_CASE(multiply_by_one_number_a_channel)
{
	struct net s = images();
	net_add(&s, SPEC_OP_global_avg_pool2d);
	net_window(&s, SPEC_OP_conv2d, 4, 1, 1, 1, 0);
	net_add_as(&s, SPEC_OP_hard_sigmoid, "gate");
	net_from(&s, net_add(&s, SPEC_OP_multiply), "c", "gate", NULL);
	end(&s);
}

T_CASE(dropout_scaled_in_inference)
{
	struct net s = vectors();
	struct spec_op_dropout *d = &net_add(&s, SPEC_OP_dropout)->u.dropout;
	d->p = 0.4;
	d->scaling = 1;
	end(&s);
}

/* --- sequences ------------------------------------------------------------ */

static struct net
tokens(void)
{
	struct net s = { .loss = { .type = SPEC_MSE }, .dtype = NN_I32, .ids = 5 };

	net_input(&s, 1, 6, 0, 0);
	return s;
}

static struct spec_layer *
table(struct net *s, const char *name, int index, int64_t rows)
{
	struct spec_layer *l = net_from(s, net_add_as(s, SPEC_OP_embedding,
	    name), "", NULL, NULL);

	l->u.embedding.rows = rows;
	l->u.embedding.width = 4;
	l->u.embedding.index = index;
	return l;
}

T_CASE(embedding)
{
	struct net s = tokens();
	table(&s, "e", 0, 7);
	net_add(&s, SPEC_OP_tanh);
	end(&s);
}

T_CASE(embedding_of_positions_and_of_a_single_row)
{
	struct net s = tokens();
	table(&s, "w", 0, 5);
	table(&s, "p", 1, 8);
	table(&s, "z", 2, 2);
	net_from(&s, net_add(&s, SPEC_OP_add), "w", "p", "z");
	net_add(&s, SPEC_OP_tanh);
	end(&s);
}

/* How many separators there are before a token: in an input of 6 there may be
 * more than the table has rows. */
T_CASE(embedding_of_segments)
{
	struct net s = tokens();
	table(&s, "w", 0, 5);
	table(&s, "s", 3, 3)->u.embedding.separator = 2;
	net_from(&s, net_add(&s, SPEC_OP_add), "w", "s", NULL);
	net_add(&s, SPEC_OP_tanh);
	end(&s);
}

/* The table and the layer tied to it add to one gradient. */
T_CASE(embedding_tied_to_a_linear_layer)
{
	struct net s = tokens();
	table(&s, "e", 0, 7);
	net_add(&s, SPEC_OP_tanh);
	struct spec_op_linear *l = &net_add(&s, SPEC_OP_linear)->u.linear;
	l->tied = (char *)(uintptr_t)"e";
	l->out = 7;
	net_add(&s, SPEC_OP_tanh);
	end(&s);
}

/* By whatever its rows are chosen: the padding row is 0 and its gradient is,
 * also where gradients are added up. */
T_CASE(embedding_leaves_its_padding_row_alone)
{
	for (int index = 0; index < 3; index++) {
		struct net s = tokens();
		table(&s, "e", index, 7)->u.embedding.padding_index = 0;
		net_linear(&s, 3);
		net_build(&s, 7);
		const struct nn_tensor *t = nn_tensor_at(s.nn, 0);
		t_eq_str(t->name, "e.weight");
		for (int64_t i = 0; i < t->count; i++)
			t->grad[i] = NAN;
		nn_zero_grads(s.nn);
		double others = 0;
		for (int step = 0; step < 2; step++) {
			net_step(&s, 7);
			for (int i = 0; i < 4; i++)
				t_check(t->grad[i] == 0 && t->value[i] == 0);
			for (int64_t i = 4; i < t->count; i++)
				others += fabsf(t->grad[i]);
		}
		/* Of a single row there are no others. */
		t_check(isfinite(others) && (others > 0) == (index != 2));
		nn_free(s.nn);
	}
}

/* What a layer that is tied to the table adds to that row stays: by positions
 * the gradient is that of tokens which are the positions. */
T_CASE(embedding_leaves_its_padding_row_to_what_is_tied)
{
	struct net s[2];

	for (int index = 0; index < 2; index++) {
		s[index] = tokens();
		struct net *n = &s[index];
		table(n, "e", index, 6)->u.embedding.padding_index = 2;
		net_add(n, SPEC_OP_tanh);
		struct spec_op_linear *l =
		    &net_add(n, SPEC_OP_linear)->u.linear;
		l->tied = (char *)(uintptr_t)"e";
		l->out = 6;
		net_linear(n, 3);
		net_build(n, 7);
		for (int i = 0; i < 7 * 6; i++)
			nn_input_ids(n->nn)[i] = i % 6;
		nn_zero_grads(n->nn);
		net_step(n, 7);
	}
	const struct nn_tensor *a = nn_tensor_at(s[0].nn, 0);
	const struct nn_tensor *b = nn_tensor_at(s[1].nn, 0);
	float row = 0;
	for (int64_t i = 0; i < a->count; i++) {
		t_near(a->grad[i], b->grad[i], 1e-6);
		row += i / 4 == 2 ? fabsf(a->grad[i]) : 0;
	}
	t_check(row > 1e-3);
	nn_free(s[0].nn);
	nn_free(s[1].nn);
}

static void
attention(double p, bool masked)
{
	struct net s = tokens();

	table(&s, "e", 0, 5);
	for (int i = 0; i < 3; i++)
		net_from(&s, net_add_as(&s, SPEC_OP_linear, i == 0 ? "q" :
		    i == 1 ? "k" : "v"), "e", NULL, NULL)->u.linear.out = 4;
	net_from(&s, net_add_as(&s, SPEC_OP_token_mask, "m"), "", NULL, NULL);
	struct spec_layer *l = net_from(&s, net_add(&s, SPEC_OP_attention),
	    "q", "k", "v");
	l->u.attention.heads = 2;
	l->u.attention.p = p;
	if (masked)
		l->inputs[l->ninputs++] = (char *)(uintptr_t)"m";
	else
		s.m.noutputs = 2;
	s.m.outputs[0] = (struct spec_output){ (char *)(uintptr_t)"mask",
		(char *)(uintptr_t)"m" };
	net_linear(&s, 3);
	s.m.outputs[1] = (struct spec_output){ (char *)(uintptr_t)SPEC_LOGITS,
		s.layers[s.m.nlayers - 1].name };
	check_gradients(&s, 7, 5);
}

T_CASE(attention) { attention(0, false); }
T_CASE(attention_with_dropout) { attention(0.3, false); }
T_CASE(token_mask_of_the_keys) { attention(0, true); }
T_CASE(attention_with_mask_and_dropout) { attention(0.3, true); }

/* One value for queries, keys and values: three parts of one gradient. */
T_CASE(attention_of_a_value_to_itself)
{
	struct net s = vectors();
	net_from(&s, net_add(&s, SPEC_OP_attention), "v", "v",
	    "v")->u.attention.heads = 2;
	end(&s);
}

/* --- losses --------------------------------------------------------------- */

static void
loss(struct spec_loss l, bool soft)
{
	struct net s = { .loss = l, .soft = soft };

	net_input(&s, 1, 6, 0, 0);
	net_linear(&s, 8);
	net_add(&s, SPEC_OP_tanh);
	net_linear(&s, 4);
	check_gradients(&s, 9, 8);
}

static double some_weights[] = { 0.5, 2, 0.25, 1 };

T_CASE(cross_entropy)
{
	loss((struct spec_loss){ .type = SPEC_CROSS_ENTROPY }, false);
}

T_CASE(cross_entropy_with_class_weights)
{
	loss((struct spec_loss){ .type = SPEC_CROSS_ENTROPY,
	    .class_weights = some_weights, .nweights = 4,
	    .label_smoothing = 0.1 }, false);
}

T_CASE(cross_entropy_without_a_class)
{
	loss((struct spec_loss){ .type = SPEC_CROSS_ENTROPY, .ignoring = true,
	    .ignore_index = 2 }, false);
}

T_CASE(cross_entropy_of_soft_labels)
{
	loss((struct spec_loss){ .type = SPEC_CROSS_ENTROPY,
	    .label_smoothing = 0.1 }, true);
}

T_CASE(cross_entropy_of_soft_labels_with_class_weights)
{
	loss((struct spec_loss){ .type = SPEC_CROSS_ENTROPY,
	    .class_weights = some_weights, .nweights = 4 }, true);
}

T_CASE(binary_cross_entropy)
{
	loss((struct spec_loss){ .type = SPEC_BINARY_CROSS_ENTROPY }, false);
}

T_CASE(l1) { loss((struct spec_loss){ .type = SPEC_L1 }, false); }

T_CASE(smooth_l1)
{
	loss((struct spec_loss){ .type = SPEC_SMOOTH_L1, .beta = 0.7 }, false);
}

/* --- all of them ---------------------------------------------------------- */

/* --- images of more than a block, and what is folded into a batch norm ----- */

/* 9 channels: a block and one lane of another; 8 or 16: whole ones. */
static struct net
wide(int64_t c)
{
	struct net s = { .loss = { .type = SPEC_MSE } };

	net_input(&s, 3, 2, 5, 5);
	net_window(&s, SPEC_OP_conv2d, (int)c, 2, 2, 1, 0);
	s.layers[0].name = (char *)(uintptr_t)"c";
	return s;
}

static void
normal_and(enum spec_op act, int64_t c, bool sum)
{
	struct net s = wide(c);

	net_add_as(&s, SPEC_OP_batch_norm, "n");
	if (sum)
		net_from(&s, net_add(&s, SPEC_OP_add), "n", "c", NULL);
	if (act != SPEC_OP_identity)
		net_add(&s, act);
	net_window(&s, SPEC_OP_conv2d, 2, 2, 2, 2, 0);
	end(&s);
}

T_CASE(batch_norm_with_relu) { normal_and(SPEC_OP_relu, 9, false); }
T_CASE(batch_norm_with_hard_swish) { normal_and(SPEC_OP_hard_swish, 9, false); }
T_CASE(batch_norm_with_sigmoid) { normal_and(SPEC_OP_sigmoid, 9, false); }
T_CASE(batch_norm_with_elu) { normal_and(SPEC_OP_elu, 16, false); }
T_CASE(batch_norm_with_a_sum) { normal_and(SPEC_OP_identity, 9, true); }
T_CASE(batch_norm_with_a_sum_and_relu) { normal_and(SPEC_OP_relu, 9, true); }
T_CASE(batch_norm_with_a_sum_before_silu) { normal_and(SPEC_OP_silu, 9, true); }

T_CASE(multiply_of_blocks_by_one_number_a_channel)
{
	struct net s = wide(16);
	net_add(&s, SPEC_OP_global_avg_pool2d);
	net_window(&s, SPEC_OP_conv2d, 16, 1, 1, 1, 0);
	net_add_as(&s, SPEC_OP_hard_sigmoid, "gate");
	net_from(&s, net_add(&s, SPEC_OP_multiply), "c", "gate", NULL);
	end(&s);
}

T_CASE(slice_and_concat_of_whole_blocks)
{
	struct net s = wide(19);
	struct spec_op_slice *l;
	l = &net_add_as(&s, SPEC_OP_slice, "a")->u.slice;
	l->end = 16;
	l = &net_from(&s, net_add_as(&s, SPEC_OP_slice, "b"), "c", NULL,
	    NULL)->u.slice;
	l->start = 16;
	net_from(&s, net_add(&s, SPEC_OP_concat), "a", "a", "b");
	net_add(&s, SPEC_OP_tanh);
	end(&s);
}

T_CASE(shortcut_a_of_whole_blocks)
{
	struct net s = wide(16);
	struct spec_op_shortcut_a *a =
	    &net_add(&s, SPEC_OP_shortcut_a)->u.shortcut_a;
	a->out = 50;
	net_add(&s, SPEC_OP_tanh);
	end(&s);
}

T_CASE(each_op_of_the_table_has_its_case)
{
	for (int op = SPEC_OP_V1; op < SPEC_OP_COUNT; op++) {
		const char *word = spec_op_words[op];
		bool any = false;
		for (const struct t_case *c = t_first; c != NULL; c = c->next)
			any |= strncmp(c->name, word, strlen(word)) == 0;
		if (!any)
			t_fail("%s has no case here", word);
	}
}

T_MAIN
