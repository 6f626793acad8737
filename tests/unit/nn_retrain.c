/* A network of which other tensors are trained from here on computes what one
 * does that was built so. */
#include "nn_net.h"

#define ROWS 6

static bool
head(void *ctx, const char *tensor)
{
	(void)ctx;
	return strncmp(tensor, "head", 4) == 0;
}

static bool
but_the_first(void *ctx, const char *tensor)
{
	(void)ctx;
	return strncmp(tensor, "0.", 2) != 0;
}

static void
small_net(struct net *s)
{
	net_input(s, 3, 3, 7, 6);
	net_window(s, SPEC_OP_conv2d, 8, 3, 3, 1, 1);
	net_add(s, SPEC_OP_batch_norm);
	net_add(s, SPEC_OP_relu);
	net_window(s, SPEC_OP_conv2d, 5, 3, 3, 2, 1);
	net_add(s, SPEC_OP_dropout)->u.dropout.p = 0.3;
	net_add_as(s, SPEC_OP_flatten, "flat");
	net_add_as(s, SPEC_OP_linear, "head")->u.linear.out = 3;
}

static void
descend(struct nn *n)
{
	int64_t count;
	float *p = nn_params(n, &count);

	for (size_t i = 0; i < nn_ntensors(n); i++) {
		const struct nn_tensor *t = nn_tensor_at(n, i);
		for (int64_t k = 0; t->trained && k < t->count; k++)
			p[t->offset + k] -= 0.05f * t->grad[k];
	}
}

static void
copy_tensors(struct nn *to, struct nn *from)
{
	int64_t n;
	float *p = nn_params(to, &n);

	memcpy(p, nn_params(from, &n), (size_t)n * sizeof(*p));
	p = nn_buffers(to, &n);
	memcpy(p, nn_buffers(from, &n), (size_t)n * sizeof(*p));
}

/* All that a step changes, of both. */
static void
same_step(struct net *a, struct net *b)
{
	int64_t n;

	nn_zero_grads(a->nn);
	nn_zero_grads(b->nn);
	net_step(a, ROWS);
	net_step(b, ROWS);
	t_check(memcmp(nn_output(a->nn), nn_output(b->nn), (size_t)(ROWS *
	    nn_outputs(a->nn)) * sizeof(float)) == 0);
	for (size_t i = 0; i < nn_ntensors(a->nn); i++) {
		const struct nn_tensor *x = nn_tensor_at(a->nn, i);
		const struct nn_tensor *y = nn_tensor_at(b->nn, i);
		t_eq_int(x->trained, y->trained);
		if (!x->is_buffer)
			t_check(memcmp(x->grad, y->grad, (size_t)x->count *
			    sizeof(*x->grad)) == 0);
	}
	const float *p = nn_buffers(a->nn, &n), *q = nn_buffers(b->nn, &n);
	t_check(memcmp(p, q, (size_t)n * sizeof(*p)) == 0);
}

/* Steps with one mask, then with another, against a network built with it. */
static void
check_change(bool (*first)(void *, const char *),
    bool (*then)(void *, const char *), bool poison)
{
	struct net s = { .trains = first, .evaluate_frozen = true,
		.poison = poison }, o;
	char hex[2][RK_SHA256_HEX];
	struct rk_why why = { 0 };
	struct nn_sizes sizes[2];
	int64_t n;

	small_net(&s);
	net_build(&s, ROWS);
	nn_zero_grads(s.nn);
	net_step(&s, ROWS);
	descend(s.nn);
	const float *at = nn_params(s.nn, &n);
	const float *input = nn_input(s.nn);
	s.trains = then;
	const struct nn_want w = net_want(&s, ROWS);
	t_eq_int(nn_retrain(s.nn, &w, &why), RK_OK);
	t_check(at == nn_params(s.nn, &n) && input == nn_input(s.nn));
	o = s;
	o.m.layers = o.layers;
	net_build(&o, ROWS);
	copy_tensors(o.nn, s.nn);
	nn_digest(s.nn, hex[0]);
	nn_digest(o.nn, hex[1]);
	t_eq_str(hex[0], hex[1]);
	nn_sizes(s.nn, &sizes[0]);
	nn_sizes(o.nn, &sizes[1]);
	t_check(sizes[0].total_bytes == sizes[1].total_bytes);
	same_step(&s, &o);
	same_step(&s, &o);
	nn_free(s.nn);
	nn_free(o.nn);
}

T_CASE(a_network_that_thaws_is_one_that_was_built_so)
{
	t_check(kernel_init(2) == RK_OK);
	check_change(head, NULL, false);
	check_change(head, but_the_first, true);
	kernel_fini();
}

T_CASE(one_that_freezes_is_too)
{
	t_check(kernel_init(2) == RK_OK);
	check_change(NULL, head, false);
	check_change(but_the_first, head, true);
	kernel_fini();
}

T_CASE(the_convention_of_statistics_that_were_brought_along_stays)
{
	struct net s = { .trains = head, .evaluate_frozen = true }, o;
	struct rk_why why = { 0 };
	int64_t n;

	small_net(&s);
	net_build(&s, ROWS);
	nn_set_running(s.nn, NN_RUNNING_BIASED);
	s.trains = NULL;
	const struct nn_want w = net_want(&s, ROWS);
	t_eq_int(nn_retrain(s.nn, &w, &why), RK_OK);
	o = s;
	o.m.layers = o.layers;
	net_build(&o, ROWS);
	copy_tensors(o.nn, s.nn);
	net_step(&s, ROWS);
	net_step(&o, ROWS);
	const float *p = nn_buffers(s.nn, &n), *q = nn_buffers(o.nn, &n);
	t_check(memcmp(p, q, (size_t)n * sizeof(*p)) != 0);
	nn_set_running(o.nn, NN_RUNNING_BIASED);
	copy_tensors(o.nn, s.nn);
	same_step(&s, &o);
	nn_free(s.nn);
	nn_free(o.nn);
}

T_MAIN
