/* A network that learns from another's answers, too, and one that only
 * answers. */
#include "nn_net.h"

#define ROWS 6

/* With a batch norm, so that training and answering differ. */
static void
some_net(struct net *s, int64_t outputs, enum spec_loss_type loss)
{
	net_input(s, 3, 3, 6, 4);
	s->loss.type = loss;
	net_window(s, SPEC_OP_conv2d, 4, 3, 3, 1, 1);
	net_add(s, SPEC_OP_batch_norm);
	net_add(s, SPEC_OP_silu);
	net_window(s, SPEC_OP_avg_pool2d, 0, 2, 2, 2, 0);
	net_linear(s, outputs);
}

static const int32_t ours[] = { 0, 1, 3 }, theirs[] = { 2, 0, 3 };
static const float answers[ROWS * 4] = { 1, 0, -1, 2, 0, 3, 0.5f, 1, -2, 0,
	1, 1, 2, 2, 0, -1, 0, 0.5f, 1, 1.5f, 3, -1, 0, 1 };

static struct nn_taught
taught(double weight)
{
	return (struct nn_taught){ .z = answers, .width = 4, .ours = ours,
		.theirs = theirs, .pairs = 3, .weight = weight,
		.temperature = 2 };
}

static struct nn_result
step_of(struct net *s, int64_t first, int64_t rows, const struct nn_taught *t)
{
	struct nn_result r;

	nn_forward(s->nn, &(struct nn_step){ .rows = rows, .first = first,
	    .all = ROWS, .seed = 5, .step = 3, .taught = t }, true);
	nn_loss(s->nn, s->y + first, s->loss.type == SPEC_CROSS_ENTROPY ?
	    NULL : s->t + first * nn_outputs(s->nn), &r);
	return r;
}

static float *
gradients_of(struct net *s, const struct nn_taught *t)
{
	int64_t n;

	nn_zero_grads(s->nn);
	step_of(s, 0, ROWS, t);
	nn_backward(s->nn);
	nn_params(s->nn, &n);
	float *v = xcalloc((size_t)n, sizeof(*v));
	memcpy(v, nn_grads(s->nn), (size_t)n * sizeof(*v));
	return v;
}

static double
total(struct net *s, const struct nn_taught *t)
{
	const struct nn_result r = step_of(s, 0, ROWS, t);

	return (1 - t->weight) * r.loss_sum / ROWS +
	    t->weight * r.taught_sum / ROWS;
}

/* Differences of float logits: 1e-2 steps give some 1e-4 of the slope. */
static void
slopes_of(enum spec_loss_type loss, double weight)
{
	const struct nn_taught t = taught(weight);
	struct net s = { 0 };
	int64_t n;

	some_net(&s, 5, loss);
	net_build(&s, ROWS);
	float *p = nn_params(s.nn, &n), *g = gradients_of(&s, &t);
	for (int64_t i = 0; i < n; i += 7) {
		const float was = p[i];
		p[i] = was + 1e-2f;
		const double above = total(&s, &t);
		p[i] = was - 1e-2f;
		const double slope = (above - total(&s, &t)) / 2e-2;
		p[i] = was;
		if (fabs(slope - (double)g[i]) > 2e-3 * (1 + fabs(slope)))
			t_fail("parameter %lld: gradient %g, slope %g",
			    (long long)i, (double)g[i], slope);
	}
	free(g);
	nn_free(s.nn);
}

T_CASE(the_gradient_is_that_of_task_and_ancestor)
{
	t_check(kernel_init(2) == RK_OK);
	slopes_of(SPEC_CROSS_ENTROPY, 0.3);
	slopes_of(SPEC_CROSS_ENTROPY, 1);
	slopes_of(SPEC_BINARY_CROSS_ENTROPY, 0.6);
	kernel_fini();
}

/* Nothing of it is left where there is no ancestor, and a row that is left out
 * is none of either. */
T_CASE(what_an_ancestor_says_is_counted_by_itself)
{
	static const uint8_t out[ROWS] = { 0, 0, 1, 0, 0, 0 };
	const struct nn_taught t = taught(0.5);
	struct net s = { 0 };
	struct nn_result r;

	t_check(kernel_init(1) == RK_OK);
	some_net(&s, 5, SPEC_CROSS_ENTROPY);
	net_build(&s, ROWS);
	const struct nn_result with = step_of(&s, 0, ROWS, &t);
	const struct nn_result without = step_of(&s, 0, ROWS, NULL);
	t_check(with.loss_sum == without.loss_sum);
	t_check(with.taught == ROWS && with.taught_sum > 0);
	t_check(without.taught == 0 && without.taught_sum == 0);
	nn_forward(s.nn, &(struct nn_step){ .rows = ROWS, .all = ROWS,
	    .left_out = out, .taught = &t }, true);
	nn_loss(s.nn, s.y, NULL, &r);
	t_eq_int(r.taught, ROWS - 1);
	t_check(r.taught_sum < with.taught_sum);
	nn_free(s.nn);
	kernel_fini();
}

/* The last layer's rows of the same numbers give the same sums. */
T_CASE(parts_of_a_step_learn_what_the_whole_learns)
{
	struct nn_taught t = taught(0.5);
	struct net s = { 0 };
	struct nn_result a, b, whole;
	int64_t n;

	t_check(kernel_init(1) == RK_OK);
	net_input(&s, 1, 10, 0, 0);
	net_linear(&s, 5);
	net_build(&s, ROWS);
	float *g = gradients_of(&s, &t);
	whole = step_of(&s, 0, ROWS, &t);
	float x[ROWS * 10];
	memcpy(x, nn_input(s.nn), sizeof(x));
	nn_zero_grads(s.nn);
	a = step_of(&s, 0, 2, &t);
	nn_backward(s.nn);
	memcpy(nn_input(s.nn), x + 20, 4 * 10 * sizeof(float));
	t.z = answers + 2 * 4;
	b = step_of(&s, 2, 4, &t);
	nn_backward(s.nn);
	t_near(a.taught_sum + b.taught_sum, whole.taught_sum, 1e-6);
	nn_params(s.nn, &n);
	for (int64_t i = 0; i < n; i++)
		t_near(nn_grads(s.nn)[i], g[i], 1e-6);
	free(g);
	nn_free(s.nn);
	kernel_fini();
}

/* --- one that only answers ------------------------------------------------ */

T_CASE(who_answers_gives_the_logits_of_the_same_network)
{
	struct net s = { 0 };
	struct rk_why why = { 0 };
	struct nn_sizes whole, less;
	struct nn *other;
	int64_t n;

	t_check(kernel_init(2) == RK_OK);
	some_net(&s, 5, SPEC_CROSS_ENTROPY);
	net_build(&s, ROWS);
	struct nn_want w = net_want(&s, ROWS);
	w.answers = true;
	t_check(nn_build(&other, &w, &why) == RK_OK);
	nn_sizes(s.nn, &whole);
	nn_sizes(other, &less);
	t_check(less.gradient_bytes == 0 && less.trained == 0);
	t_check(less.total_bytes <= whole.total_bytes);
	const float *from = nn_params(s.nn, &n);
	memcpy(nn_params(other, &n), from, (size_t)n * sizeof(float));
	from = nn_buffers(s.nn, &n);
	memcpy(nn_buffers(other, &n), from, (size_t)n * sizeof(float));
	memcpy(nn_input(other), nn_input(s.nn), ROWS * 72 * sizeof(float));
	net_forward(&s, ROWS, false, 1, 1);
	nn_forward(other, &(struct nn_step){ .rows = ROWS, .all = ROWS },
	    false);
	t_check(memcmp(nn_output(s.nn), nn_output(other),
	    ROWS * 5 * sizeof(float)) == 0);
	t_aborts(nn_forward(other, &(struct nn_step){ .rows = ROWS,
	    .all = ROWS }, true));
	nn_free(other);
	nn_free(s.nn);
	kernel_fini();
}

T_CASE(a_network_with_another_number_of_outputs)
{
	struct net s = { 0 };
	struct rk_why why = { 0 };
	struct nn *other;

	t_check(kernel_init(1) == RK_OK);
	some_net(&s, 5, SPEC_CROSS_ENTROPY);
	struct nn_want w = net_want(&s, ROWS);
	w.outputs = 3;
	t_check(nn_outline(&other, &w, &why) == RK_OK);
	t_eq_int(nn_outputs(other), 3);
	nn_free(other);
	/* One that has no layer to be changed. */
	struct net bare = { 0 };
	net_input(&bare, 3, 3, 6, 4);
	net_add(&bare, SPEC_OP_batch_norm);
	w = net_want(&bare, ROWS);
	w.outputs = 3;
	t_check(nn_outline(&other, &w, &why) == RK_EINVAL);
	t_has(rk_why_first(&why), "no layer, linear or conv2d");
	rk_why_fini(&why);
	kernel_fini();
}

T_MAIN
