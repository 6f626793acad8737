/* What the instructions of a step are said to take, and who watches them run. */
#include "nn_net.h"

static void
small(struct net *s)
{
	net_input(s, 3, 2, 8, 8);
	net_window(s, SPEC_OP_conv2d, 4, 3, 3, 1, 1);
	net_add(s, SPEC_OP_relu);               /* folded into it */
	net_add(s, SPEC_OP_batch_norm);
	net_linear(s, 10);
}

struct seen {
	const struct nn *nn;
	size_t next, open, steps;
	int64_t rows;
};

static void
see_begin(void *ctx, size_t i)
{
	struct seen *s = ctx;

	t_eq_int((long long)i, (long long)s->next);
	t_eq_int((long long)s->open++, 0);
}

static void
see_end(void *ctx, size_t i, int64_t rows)
{
	struct seen *s = ctx;

	t_eq_int((long long)i, (long long)s->next);
	t_eq_int((long long)--s->open, 0);
	t_eq_int(rows, s->rows);
	s->next = (i + 1) % nn_ninstrs(s->nn);
	s->steps += s->next == 0;
}

T_CASE(a_watch_sees_each_instruction_of_a_step_in_its_order)
{
	struct net s = { 0 };

	small(&s);
	net_build(&s, 4);
	struct seen seen = { .nn = s.nn, .rows = 4 };
	const struct nn_watch w = { see_begin, see_end, &seen };
	net_step(&s, 4);
	nn_watch(s.nn, &w);
	net_step(&s, 4);
	net_step(&s, 4);
	/* Scoring is none of it. */
	nn_forward(s.nn, &(struct nn_step){ .rows = 4, .all = 4 }, false);
	nn_watch(s.nn, NULL);
	net_step(&s, 4);
	t_eq_int((long long)seen.steps, 2);
	nn_free(s.nn);
}

static struct nn_cost
cost_of(const struct nn *n, const char *name, enum nn_part part)
{
	struct nn_cost c;

	for (size_t i = 0; i < nn_ninstrs(n); i++) {
		nn_cost_at(n, i, &c);
		if (strcmp(c.name, name) == 0 && c.part == part)
			return c;
	}
	t_fail("%s has no part %d", name, part);
	return c;
}

T_CASE(products_are_counted_twice_backward_and_once_for_the_first_layer)
{
	struct net s = { 0 };
	struct nn_cost c;

	small(&s);
	net_build(&s, 4);
	const double conv = 2.0 * 4 * 64 * 2 * 9, fc = 2.0 * 256 * 10;
	c = cost_of(s.nn, "0", NN_FORWARD);
	t_eq_str(c.type, "conv2d");
	t_near(c.flops, conv, 0);
	t_near(cost_of(s.nn, "0", NN_BACKWARD).flops, conv, 0);
	t_near(cost_of(s.nn, "3", NN_FORWARD).flops, fc, 0);
	t_near(cost_of(s.nn, "3", NN_BACKWARD).flops, 2 * fc, 0);
	t_near(cost_of(s.nn, "2", NN_BACKWARD).flops, 0, 0);
	t_eq_str(cost_of(s.nn, "loss", NN_LOSS).type, "loss");
	nn_free(s.nn);
}

T_CASE(bytes_are_those_of_the_operands)
{
	struct net s = { 0 };
	struct nn_cost c;

	small(&s);
	net_build(&s, 4);
	c = cost_of(s.nn, "3", NN_FORWARD);
	t_near(c.read, 4 * 256, 0);
	t_near(c.read_once, 4 * (2560 + 10), 0);
	t_near(c.written, 4 * 10, 0);
	/* dy and x; weights for dx; dx, and dw with db. */
	c = cost_of(s.nn, "3", NN_BACKWARD);
	t_near(c.read, 4 * (10 + 256), 0);
	t_near(c.read_once, 4 * (2560 + 10), 0);
	t_near(c.written, 4 * 256, 0);
	t_near(c.written_once, 4 * (2560 + 10), 0);
	/* A view moves nothing. */
	c = cost_of(s.nn, "3.flatten", NN_FORWARD);
	t_near(c.read + c.written + c.flops, 0, 0);
	nn_free(s.nn);
}

T_MAIN
