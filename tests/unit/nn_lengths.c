/*
 * A network for samples of several lengths: that of each gives the bits that one
 * made for it alone gives, and all work on the same tensors.
 */
#include "nn_net.h"

enum { ROWS = 6, LONG = 9 };
static const int64_t lengths[] = { 3, 5 };

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

/* Words and places, attention with dropout, and what it gives for the first. */
static void
sequence_net(struct net *s, int64_t length)
{
	s->dtype = NN_I32;
	s->ids = 7;
	s->poison = true;
	net_input(s, 1, length, 0, 0);
	table(s, "w", 0, 7);
	table(s, "p", 1, 12);
	net_from(s, net_add_as(s, SPEC_OP_add, "x"), "w", "p", NULL);
	for (int i = 0; i < 3; i++)
		net_from(s, net_add_as(s, SPEC_OP_linear, i == 0 ? "q" :
		    i == 1 ? "k" : "v"), "x", NULL, NULL)->u.linear.out = 4;
	struct spec_layer *l = net_from(s, net_add_as(s, SPEC_OP_attention,
	    "a"), "q", "k", "v");
	l->u.attention.heads = 2;
	l->u.attention.p = 0.3;
	net_add_as(s, SPEC_OP_slice, "first")->u.slice.end = 1;
	net_linear(s, 3);
}

static void
build(struct net *s, int nlengths)
{
	struct nn_want w = net_want(s, ROWS);
	struct rk_why why = { 0 };

	w.lengths = lengths;
	w.nlengths = nlengths;
	if (nn_build(&s->nn, &w, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	nn_init(s->nn, 7);
	for (int i = 0; i < ROWS; i++)
		s->y[i] = i % 3;
}

/* A step of samples of this length. */
static double
step(struct net *s, int64_t length, int64_t first, int64_t rows)
{
	const struct nn_step st = { .rows = rows, .first = first, .all = ROWS,
		.seed = 5, .step = 3 };
	struct nn_result r;

	for (int64_t i = 0; i < rows * length; i++)
		nn_input_ids(s->nn)[i] = (int32_t)(rk_draw_u32(11, 1, 1,
		    (uint64_t)(first * length + i)) % 7);
	nn_forward(s->nn, &st, true);
	nn_loss(s->nn, s->y + first, NULL, &r);
	nn_backward(s->nn);
	return r.loss_sum;
}

static void
same_bits(const struct net *a, const struct net *b)
{
	int64_t n, m;

	nn_params(a->nn, &n);
	nn_params(b->nn, &m);
	t_eq_int(n, m);
	t_check(memcmp(nn_grads(a->nn), nn_grads(b->nn), (size_t)n *
	    sizeof(float)) == 0);
	t_check(memcmp(nn_output(a->nn), nn_output(b->nn), ROWS * 3 *
	    sizeof(float)) == 0);
}

T_CASE(each_length_gives_the_bits_of_a_network_of_its_own)
{
	static const int64_t order[] = { LONG, 3, 5, 3, LONG, 5 };
	struct net all = { 0 };

	sequence_net(&all, LONG);
	build(&all, 2);
	for (size_t i = 0; i < RK_ARRAY_LEN(order); i++) {
		struct net own = { 0 };
		sequence_net(&own, order[i]);
		build(&own, 0);
		nn_set_length(all.nn, order[i]);
		nn_zero_grads(own.nn);
		nn_zero_grads(all.nn);
		t_check(step(&own, order[i], 0, ROWS) == step(&all, order[i],
		    0, ROWS));
		same_bits(&own, &all);
		nn_free(own.nn);
	}
	nn_free(all.nn);
}

/* Parts of a step, and gradients that are added from one length to the next. */
T_CASE(gradients_are_those_of_all_lengths_together)
{
	struct net s = { 0 };
	int64_t n;

	sequence_net(&s, LONG);
	build(&s, 2);
	nn_params(s.nn, &n);
	float *sum = xcalloc((size_t)n, sizeof(*sum));
	for (int i = 0; i < 2; i++) {
		nn_set_length(s.nn, lengths[i]);
		nn_zero_grads(s.nn);
		step(&s, lengths[i], 3 * i, 3);
		for (int64_t k = 0; k < n; k++)
			sum[k] += nn_grads(s.nn)[k];
	}
	nn_zero_grads(s.nn);
	for (int i = 0; i < 2; i++) {
		nn_set_length(s.nn, lengths[i]);
		step(&s, lengths[i], 3 * i, 3);
	}
	float most = 0;
	for (int64_t k = 0; k < n; k++) {
		most = fmaxf(most, fabsf(sum[k]));
		/* One rounding more or less of numbers below 1. */
		if (!(fabsf(sum[k] - nn_grads(s.nn)[k]) <= 2e-7f))
			t_fail("%lld: %.9g, want %.9g", (long long)k,
			    nn_grads(s.nn)[k], sum[k]);
	}
	t_check(most > 1e-3f && most < 1);
	free(sum);
	nn_free(s.nn);
}

static bool
but_tables(void *ctx, const char *tensor)
{
	(void)ctx;
	return tensor[0] != 'w' && tensor[0] != 'p';
}

/* What was built for one mask and works with another is as if built with it. */
T_CASE(all_of_them_thaw_together)
{
	struct net s = { .trains = but_tables }, o = { 0 };
	struct rk_why why = { 0 };

	sequence_net(&s, LONG);
	sequence_net(&o, LONG);
	build(&s, 2);
	build(&o, 2);
	nn_set_length(s.nn, 3);
	nn_zero_grads(s.nn);
	step(&s, 3, 0, 3);
	s.trains = NULL;
	struct nn_want w = net_want(&s, ROWS);
	w.lengths = lengths;
	w.nlengths = 2;
	t_eq_int(nn_retrain(s.nn, &w, &why), RK_OK);
	nn_zero_grads(s.nn);
	nn_zero_grads(o.nn);
	for (int i = 0; i < 2; i++) {
		nn_set_length(s.nn, lengths[i]);
		nn_set_length(o.nn, lengths[i]);
		t_check(step(&s, lengths[i], 3 * i, 3) == step(&o, lengths[i],
		    3 * i, 3));
	}
	same_bits(&s, &o);
	nn_free(s.nn);
	nn_free(o.nn);
}

T_CASE(lengths_are_part_of_the_digest_and_of_the_memory)
{
	char hex[3][RK_SHA256_HEX];
	uint64_t bytes[3];

	for (int i = 0; i < 3; i++) {
		struct net s = { 0 };
		struct nn_sizes z;
		sequence_net(&s, LONG);
		build(&s, i);
		nn_digest(s.nn, hex[i]);
		nn_sizes(s.nn, &z);
		bytes[i] = z.total_bytes;
		nn_free(s.nn);
	}
	t_check(strcmp(hex[0], hex[1]) != 0 && strcmp(hex[1], hex[2]) != 0);
	/* The shorter ones lie where the longest does. */
	t_check(bytes[0] == bytes[2]);
}

static void
refuses(const struct net *s, const char *says)
{
	struct nn_want w = net_want(s, ROWS);
	struct rk_why why = { 0 };
	struct nn *n;

	w.lengths = lengths;
	w.nlengths = 1;
	t_eq_int(nn_build(&n, &w, &why), RK_EINVAL);
	t_eq_str(why.v[0].path, "data.train.buckets");
	if (strstr(why.v[0].message, says) == NULL)
		t_fail("says \"%s\"", why.v[0].message);
	rk_why_fini(&why);
}

T_CASE(what_has_other_parameters_for_other_lengths_is_refused)
{
	struct net s = { .dtype = NN_I32, .ids = 7 };

	net_input(&s, 1, LONG, 0, 0);
	table(&s, "w", 0, 7);
	net_linear(&s, 3);
	refuses(&s, "has 3, for which 0.weight would be 3x12, and for a length "
	    "of 9 it is 3x36");
}

T_CASE(a_length_that_is_too_short_is_refused)
{
	struct net s = { .dtype = NN_I32, .ids = 7 };

	net_input(&s, 1, LONG, 0, 0);
	table(&s, "w", 0, 7);
	struct spec_layer *l = net_add(&s, SPEC_OP_slice);
	l->u.slice.start = 4;
	l->u.slice.end = 6;
	net_linear(&s, 3);
	refuses(&s, "has 3, for which there is no network: ");
}

T_MAIN
