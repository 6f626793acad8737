/*
 * How parameters begin, by model.init.
 *
 * Of n draws of deviation s the sample deviation is off by s / sqrt(2 n), so
 * within 4 of these; of a uniform draw in +-b the largest of n is above
 * b (1 - 20 / n) but once in e^20.
 */
#include "nn_net.h"

static const struct nn_tensor *
tensor(const struct nn *n, const char *name)
{
	for (size_t i = 0; i < nn_ntensors(n); i++)
		if (strcmp(nn_tensor_at(n, i)->name, name) == 0)
			return nn_tensor_at(n, i);
	t_fail("no tensor %s", name);
}

static void
normal(const struct nn *n, const char *name, double deviation)
{
	const struct nn_tensor *t = tensor(n, name);
	double sum = 0, squares = 0;

	for (int64_t i = 0; i < t->count; i++) {
		sum += t->value[i];
		squares += (double)t->value[i] * t->value[i];
	}
	const double count = (double)t->count;
	t_near(sum / count, 0, 4 * deviation / sqrt(count));
	t_near(sqrt(squares / count), deviation, 4 * deviation /
	    sqrt(2 * count));
}

static void
uniform(const struct nn *n, const char *name, double bound)
{
	const struct nn_tensor *t = tensor(n, name);
	double most = 0;

	for (int64_t i = 0; i < t->count; i++)
		most = fmax(most, fabs((double)t->value[i]));
	t_check(most <= bound * (1 + 1e-6));
	t_check(most >= bound * (1 - 20.0 / (double)t->count));
}

static void
constant(const struct nn *n, const char *name, float value)
{
	const struct nn_tensor *t = tensor(n, name);

	for (int64_t i = 0; i < t->count; i++)
		t_check(t->value[i] == value);
}

/* 100 x 64 table, layer norm, a 5x5 convolution and a linear layer. */
static void
build(struct net *s, enum spec_init init)
{
	struct spec_layer *l;

	s->dtype = NN_I32;
	net_input(s, 1, 20, 0, 0);
	l = net_add(s, SPEC_OP_embedding);
	l->u.embedding.rows = 100;
	l->u.embedding.width = 64;
	l->u.embedding.padding_index = 3;
	net_add(s, SPEC_OP_layer_norm);
	l = net_add(s, SPEC_OP_reshape);
	l->u.reshape.shape.v[0] = 1;
	l->u.reshape.shape.v[1] = 20;
	l->u.reshape.shape.v[2] = 64;
	l->u.reshape.shape.n = 3;
	net_window(s, SPEC_OP_conv2d, 48, 5, 5, 2, 2);
	net_linear(s, 30);
	s->m.init = init;
	struct nn_want w = net_want(s, 2);
	t_check(nn_build(&s->nn, &w, NULL) == RK_OK);
	nn_init(s->nn, 11);
}

/* The deviation of a table, whose row 3 of 100 is 0. */
#define BUT_ONE_ROW sqrt(0.99)

T_CASE(init_torch_is_uniform_by_the_fan_in_and_normal_in_tables)
{
	struct net s = { 0 };

	build(&s, SPEC_INIT_TORCH);
	normal(s.nn, "0.weight", 1 * BUT_ONE_ROW);
	uniform(s.nn, "3.weight", 1 / sqrt(25));
	uniform(s.nn, "3.bias", 1 / sqrt(25));
	uniform(s.nn, "4.weight", 1 / sqrt(48 * 10 * 32));
	constant(s.nn, "1.weight", 1);
	constant(s.nn, "1.bias", 0);
	nn_free(s.nn);
}

T_CASE(init_paddle_is_xavier_in_linear_and_tables_and_normal_in_conv2d)
{
	struct net s = { 0 };

	build(&s, SPEC_INIT_PADDLE);
	uniform(s.nn, "0.weight", sqrt(6.0 / (100 + 64)));
	normal(s.nn, "3.weight", sqrt(2.0 / 25));
	uniform(s.nn, "4.weight", sqrt(6.0 / (48 * 10 * 32 + 30)));
	constant(s.nn, "3.bias", 0);
	constant(s.nn, "4.bias", 0);
	nn_free(s.nn);
}

T_CASE(init_bert_is_normal_with_a_deviation_of_0_02)
{
	struct net s = { 0 };

	build(&s, SPEC_INIT_BERT);
	normal(s.nn, "0.weight", 0.02 * BUT_ONE_ROW);
	normal(s.nn, "4.weight", 0.02);
	constant(s.nn, "4.bias", 0);
	nn_free(s.nn);
}

T_CASE(the_row_of_the_padding_index_begins_as_zero_and_no_other)
{
	struct net s = { 0 };

	build(&s, SPEC_INIT_TORCH);
	const float *w = tensor(s.nn, "0.weight")->value;
	for (int i = 0; i < 64; i++)
		t_check(w[3 * 64 + i] == 0 && w[i] != 0 && w[2 * 64 + i] != 0);
	nn_free(s.nn);
}

T_MAIN
