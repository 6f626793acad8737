/* A step in parts: what is added up, and what each row draws. */
#include "nn_net.h"

#define ROWS 8
#define NUMBERS (3 * 6 * 4)             /* of a sample */

/* A network without batch norm, smooth but for a maximum: parts that round
 * otherwise must not make a kink jump. */
static void
smooth_net(struct net *s)
{
	net_input(s, 3, 3, 6, 4);
	net_window(s, SPEC_OP_conv2d, 4, 3, 3, 1, 1);
	net_add(s, SPEC_OP_silu);
	net_add(s, SPEC_OP_dropout)->u.dropout.p = 0.3;
	net_window(s, SPEC_OP_avg_pool2d, 0, 2, 2, 2, 0);
	net_add(s, SPEC_OP_layer_norm);
	net_linear(s, 9);
	net_add(s, SPEC_OP_tanh);
	struct spec_op_dropout *d =
	    &net_add(s, SPEC_OP_dropout)->u.dropout;
	d->p = 0.2;
	d->scaling = 1;
	net_linear(s, 3);
}

static void
fill_rows(struct net *s, int64_t first, int64_t rows)
{
	float *x = nn_input(s->nn);

	for (int64_t i = 0; i < rows * NUMBERS; i++)
		x[i] = rk_draw_normal(21, 1, 1,
		    (uint64_t)(first * NUMBERS + i));
}

/* A step of ROWS rows; the sums over its parts. */
static struct nn_result
run_parts(struct net *s, double norm, bool targets)
{
	const int64_t micro = nn_micro(s->nn);
	struct nn_result sum = { 0 }, r;

	nn_zero_grads(s->nn);
	for (int64_t at = 0; at < ROWS; at += micro) {
		const struct nn_step st = { .rows = RK_MIN(micro, ROWS - at),
			.first = at, .all = ROWS, .seed = 5, .step = 3,
			.norm = norm };
		fill_rows(s, at, st.rows);
		nn_forward(s->nn, &st, true);
		nn_loss(s->nn, s->y + at, targets ? s->t + at *
		    nn_outputs(s->nn) : NULL, &r);
		nn_backward(s->nn);
		sum.loss_sum += r.loss_sum;
		sum.weight += r.weight;
		sum.correct += r.correct;
	}
	return sum;
}

/*
 * Sums over rows are cut otherwise, so that a gradient's last bits differ: at
 * most some 200 terms of 2^-24 of the largest, 1.2e-5 of the tensor's largest
 * element and mostly far less.  A part that weighs wrongly is off by a tenth.
 */
static void
same_gradients(const struct net *a, const struct net *b)
{
	for (size_t i = 0; i < nn_ntensors(a->nn); i++) {
		const struct nn_tensor *x = nn_tensor_at(a->nn, i);
		const struct nn_tensor *y = nn_tensor_at(b->nn, i);
		float most = 0;
		for (int64_t k = 0; k < x->count; k++)
			most = fmaxf(most, fabsf(x->grad[k]));
		t_check(most > 1e-4);
		for (int64_t k = 0; k < x->count; k++)
			if (!(fabsf(x->grad[k] - y->grad[k]) <= 2e-5 * most))
				t_fail("%s[%lld]: %.9g whole, %.9g in parts, "
				    "largest %g", x->name, (long long)k,
				    x->grad[k], y->grad[k], most);
	}
}

/* Whole and in parts of 1, 3 and 5, the last two ragged. */
static void
check_parts(struct net *s, bool targets)
{
	static const int64_t micros[] = { 1, 3, 5 };
	double norm = 0;

	net_build(s, ROWS);
	if (nn_loss_weighs(s->nn))
		norm = nn_loss_weight(s->nn, s->y, ROWS);
	const struct nn_result whole = run_parts(s, norm, targets);
	for (size_t i = 0; i < RK_ARRAY_LEN(micros); i++) {
		struct net p = *s;
		/* The copy's names are its own. */
		p.m.layers = p.layers;
		p.micro = micros[i];
		net_build(&p, ROWS);
		t_eq_int(nn_micro(p.nn), micros[i]);
		const struct nn_result r = run_parts(&p, norm, targets);
		t_near(r.loss_sum, whole.loss_sum, 1e-5 *
		    fabs(whole.loss_sum));
		t_near(r.weight, whole.weight, 1e-9);
		t_eq_int(r.correct, whole.correct);
		same_gradients(s, &p);
		nn_free(p.nn);
	}
	nn_free(s->nn);
}

T_CASE(parts_add_up_to_the_gradient_of_the_whole_step)
{
	struct net s = { 0 };
	smooth_net(&s);
	check_parts(&s, false);
}

T_CASE(parts_of_a_regression_do_too)
{
	struct net s = { .loss = { .type = SPEC_MSE } };
	smooth_net(&s);
	check_parts(&s, true);
}

T_CASE(class_weights_are_of_the_whole_step_not_of_its_parts)
{
	double weights[] = { 0.1, 4, 1 };
	struct net s = { .loss = { .class_weights = weights, .nweights = 3 } };
	smooth_net(&s);
	check_parts(&s, false);
}

T_CASE(rows_that_are_ignored_count_for_no_part)
{
	struct net s = { .loss = { .ignoring = true, .ignore_index = 1 } };
	smooth_net(&s);
	check_parts(&s, false);
}

/* Softmax's mean gradient with class weights, by hand: of the last bias it is
 * sum w[y] (p - onehot) / sum w[y]. */
T_CASE(the_gradient_is_divided_by_the_weight_of_all_rows)
{
	double weights[] = { 0.1, 4, 1 }, want[3] = { 0 }, all = 0;
	struct net s = { .loss = { .class_weights = weights, .nweights = 3 },
		.micro = 3 };

	smooth_net(&s);
	net_build(&s, ROWS);
	for (int i = 0; i < ROWS; i++)
		all += weights[s.y[i]];
	t_near(nn_loss_weight(s.nn, s.y, ROWS), all, 1e-6);
	run_parts(&s, all, false);
	const struct nn_tensor *bias = nn_tensor_at(s.nn, 7);
	t_check(bias->count == 3 && bias->ndim == 1);
	float got[3];
	memcpy(got, bias->grad, sizeof(got));
	for (int64_t at = 0; at < ROWS; at += 3) {
		const int64_t rows = RK_MIN(3, ROWS - at);
		fill_rows(&s, at, rows);
		nn_forward(s.nn, &(struct nn_step){ .rows = rows, .first = at,
		    .all = ROWS, .seed = 5, .step = 3 }, true);
		for (int64_t i = 0; i < rows; i++) {
			const float *z = nn_output(s.nn) + 3 * i;
			const int y = s.y[at + i];
			double sum = 0;
			for (int j = 0; j < 3; j++)
				sum += exp(z[j]);
			for (int j = 0; j < 3; j++)
				want[j] += weights[y] * (exp(z[j]) / sum -
				    (j == y)) / all;
		}
	}
	for (int j = 0; j < 3; j++)
		t_near(got[j], want[j], 1e-6);
	nn_free(s.nn);
}

/* --- draws ---------------------------------------------------------------- */

/* The value of the layer `named` for all rows of a step, in parts. */
static float *
values_of(struct net *s, int64_t micro, const char *named, int64_t *width)
{
	struct spec_output out[] = { { (char *)(uintptr_t)"it",
		(char *)(uintptr_t)named }, { (char *)(uintptr_t)SPEC_LOGITS,
		s->layers[s->m.nlayers - 1].name } };
	float *all = NULL;

	s->micro = micro;
	s->m.noutputs = 2;
	memcpy(s->m.outputs, out, sizeof(out));
	net_build(s, ROWS);
	const int64_t each = nn_micro(s->nn);
	for (int64_t at = 0; at < ROWS; at += each) {
		const int64_t rows = RK_MIN(each, ROWS - at);
		fill_rows(s, at, rows);
		nn_forward(s->nn, &(struct nn_step){ .rows = rows,
		    .first = at, .all = ROWS, .seed = 5, .step = 3 }, true);
		const float *v = nn_output_named(s->nn, "it", width);
		if (all == NULL)
			all = xcalloc((size_t)(ROWS * *width), sizeof(*all));
		memcpy(all + at * *width, v, (size_t)(rows * *width) *
		    sizeof(*all));
	}
	nn_free(s->nn);
	return all;
}

static void
draws_are_the_same(struct net *s, const char *named)
{
	int64_t width = 0;
	float *whole = values_of(s, 0, named, &width);

	for (int64_t micro = 1; micro < ROWS; micro++) {
		float *parts = values_of(s, micro, named, &width);
		t_check(memcmp(whole, parts, (size_t)(ROWS * width) *
		    sizeof(*whole)) == 0);
		free(parts);
	}
	/* Each row draws its own. */
	t_check(memcmp(whole, whole + width, (size_t)width *
	    sizeof(*whole)) != 0);
	free(whole);
}

T_CASE(dropout_draws_for_a_row_what_it_would_draw_in_the_whole_step)
{
	for (int scaling = 0; scaling < 2; scaling++) {
		struct net s = { 0 };
		net_input(&s, 3, 3, 6, 4);
		net_add(&s, SPEC_OP_dropout)->u.dropout.scaling = scaling;
		net_linear(&s, 3);
		draws_are_the_same(&s, "0");
	}
}

/* One matrix product a sample and head, whatever the batch. */
T_CASE(attention_draws_for_a_row_what_it_would_draw_in_the_whole_step)
{
	struct net s = { 0 };
	net_input(&s, 2, 18, 4, 0);
	struct spec_layer *l = net_add(&s, SPEC_OP_attention);
	char input[] = SPEC_INPUT, *in[] = { input, input, input };
	l->inputs = in;
	l->ninputs = 3;
	l->u.attention.heads = 2;
	l->u.attention.p = 0.4;
	net_linear(&s, 3);
	draws_are_the_same(&s, "0");
}

T_MAIN
