/*
 * Batch norm of frozen parts: in training it normalises by its running
 * statistics, as PyTorch's does in eval(), and gradients pass through it.
 */
#include "nn_slopes.h"

#define ROWS 5

static bool
all_but_norms(void *ctx, const char *tensor)
{
	(void)ctx;
	return strstr(tensor, "norm") == NULL;
}

/* The last layer alone, whose name is "head". */
static bool
head(void *ctx, const char *tensor)
{
	(void)ctx;
	return strncmp(tensor, "head", 4) == 0;
}

static bool
all_but_a_weight(void *ctx, const char *tensor)
{
	(void)ctx;
	return strcmp(tensor, "norm.weight") != 0;
}

static void
norm(struct net *s)
{
	net_add_as(s, SPEC_OP_batch_norm, "norm");
	s->evaluate_frozen = true;
	s->trains = all_but_norms;
}

static void
end(struct net *s, int64_t out)
{
	net_add_as(s, SPEC_OP_flatten, "flat");
	net_add_as(s, SPEC_OP_linear, "head")->u.linear.out = out;
}

/* conv - norm - what is folded into it - conv - head: its gradient is seen in
 * the first convolution, and of a sum in that before. */
static void
images(struct net *s, int64_t channels, enum spec_op act, bool sum)
{
	net_input(s, 3, 3, 6, 5);
	net_window(s, SPEC_OP_conv2d, channels, 3, 3, 1, 1);
	if (sum)
		net_window(s, SPEC_OP_conv2d, channels, 1, 1, 1, 0);
	norm(s);
	if (sum)
		net_from(s, net_add_as(s, SPEC_OP_add, "sum"), "norm", "0",
		    NULL);
	if (act != SPEC_OP_identity)
		net_add(s, act);
	net_window(s, SPEC_OP_conv2d, 4, 3, 3, 2, 0);
	end(s, 3);
}

static void
check_images(enum spec_op act, bool sum)
{
	/* Blocks that are full and ones with padding lanes. */
	for (int64_t c = 5; c <= 8; c += 3) {
		struct net s = { .loss = { .type = SPEC_MSE } };
		images(&s, c, act, sum);
		check_gradients(&s, ROWS, ROWS);
	}
}

T_CASE(gradients_pass_through_one) { check_images(SPEC_OP_identity, false); }
T_CASE(gradients_pass_a_relu_in_it) { check_images(SPEC_OP_relu, false); }
T_CASE(gradients_pass_a_relu6_in_it) { check_images(SPEC_OP_relu6, false); }
T_CASE(gradients_pass_a_hard_swish_in_it)
{
	check_images(SPEC_OP_hard_swish, false);
}
T_CASE(gradients_pass_a_silu_in_it) { check_images(SPEC_OP_silu, false); }
T_CASE(gradients_pass_a_sum_in_it) { check_images(SPEC_OP_identity, true); }
T_CASE(gradients_pass_a_sum_and_a_relu) { check_images(SPEC_OP_relu, true); }

T_CASE(gradients_pass_one_of_vectors)
{
	struct net s = { .loss = { .type = SPEC_MSE } };
	net_input(&s, 1, 7, 0, 0);
	net_linear(&s, 70);
	norm(&s);
	net_linear(&s, 6);
	check_gradients(&s, ROWS, ROWS);
}

/* --- forward -------------------------------------------------------------- */

static float *
logits_of(struct net *s, bool train)
{
	const size_t n = (size_t)(ROWS * nn_outputs(s->nn));
	float *z = xmalloc(n * sizeof(*z));

	net_forward(s, ROWS, train, 5, 3);
	memcpy(z, nn_output(s->nn), n * sizeof(*z));
	return z;
}

static void
same_as_inference(struct net *s)
{
	for (s->layouts = NN_PLAIN; s->layouts <= NN_MIXED; s->layouts++) {
		net_build(s, ROWS);
		int64_t n;
		const float *b = nn_buffers(s->nn, &n);
		float *was = xmalloc((size_t)n * sizeof(*was));
		memcpy(was, b, (size_t)n * sizeof(*was));
		float *x = logits_of(s, true), *y = logits_of(s, false);
		t_check(memcmp(x, y, (size_t)(ROWS * nn_outputs(s->nn)) *
		    sizeof(*x)) == 0);
		net_step(s, ROWS);
		t_check(memcmp(was, b, (size_t)n * sizeof(*was)) == 0);
		free(was);
		free(x);
		free(y);
		nn_free(s->nn);
	}
}

T_CASE(in_training_it_computes_what_it_does_in_inference_and_learns_nothing)
{
	static const enum spec_op acts[] = { SPEC_OP_identity, SPEC_OP_relu,
		SPEC_OP_hard_swish };

	t_check(kernel_init(2) == RK_OK);
	for (int k = 0; k < 6; k++) {
		struct net s = { 0 };
		images(&s, 8, acts[k / 2 % 3], k % 2 != 0 &&
		    acts[k / 2 % 3] != SPEC_OP_hard_swish);
		same_as_inference(&s);
		/* Nothing below is trained, so that it lies in place. */
		struct net h = { 0 };
		images(&h, 8, acts[k / 2 % 3], false);
		h.trains = head;
		same_as_inference(&h);
	}
	kernel_fini();
}

T_CASE(it_takes_a_batch_of_one_value)
{
	struct rk_why why = { 0 };
	struct net s = { 0 };

	net_input(&s, 1, 3, 0, 0);
	norm(&s);
	net_linear(&s, 2);
	net_build(&s, 1);
	t_eq_int(nn_may_train(s.nn, 1, &why), RK_OK);
	net_step(&s, 1);
	nn_free(s.nn);
	s.evaluate_frozen = false;
	net_build(&s, 1);
	t_eq_int(nn_may_train(s.nn, 1, &why), RK_EINVAL);
	rk_why_fini(&why);
	nn_free(s.nn);
}

/* --- when ----------------------------------------------------------------- */

/* Do its running statistics move? */
static bool
learns(bool evaluate, bool (*trains)(void *, const char *))
{
	struct net s = { 0 };
	float was[6];
	int64_t n;

	images(&s, 3, SPEC_OP_relu, false);
	s.evaluate_frozen = evaluate;
	s.trains = trains;
	net_build(&s, ROWS);
	const float *b = nn_buffers(s.nn, &n);
	t_eq_int(n, 6);
	memcpy(was, b, sizeof(was));
	net_step(&s, ROWS);
	const bool same = memcmp(was, b, sizeof(was)) == 0;
	for (size_t i = 0; i < nn_ntensors(s.nn); i++) {
		const struct nn_tensor *t = nn_tensor_at(s.nn, i);
		t_check(t->fixed == (t->is_buffer && same));
	}
	nn_free(s.nn);
	return !same;
}

T_CASE(one_of_which_anything_is_trained_goes_on_learning)
{
	t_check(learns(true, NULL));
	t_check(learns(true, all_but_a_weight));
	t_check(!learns(true, all_but_norms));
	t_check(!learns(true, head));
}

T_CASE(unless_it_is_asked_for_a_frozen_one_learns_too)
{
	t_check(learns(false, all_but_norms));
	t_check(learns(false, head));
}

T_CASE(the_program_has_another_digest)
{
	char hex[2][RK_SHA256_HEX];

	for (int k = 0; k < 2; k++) {
		struct net s = { 0 };
		images(&s, 3, SPEC_OP_relu, false);
		s.evaluate_frozen = k != 0;
		net_build(&s, ROWS);
		nn_digest(s.nn, hex[k]);
		nn_free(s.nn);
	}
	t_check(strcmp(hex[0], hex[1]) != 0);
}

T_MAIN
