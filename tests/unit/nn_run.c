/* Steps of whole networks: what is added, kept, repeated and left alone. */
#include <malloc.h>

#include "nn_net.h"
#include "u_mallocs.h"

/* A network with one of everything. */
static void
everything(struct net *s)
{
	net_input(s, 3, 2, 12, 10);
	net_window(s, SPEC_OP_conv2d, 6, 3, 3, 1, 1);
	net_add(s, SPEC_OP_batch_norm);
	net_add(s, SPEC_OP_relu);
	net_window(s, SPEC_OP_max_pool2d, 0, 2, 2, 2, 0);
	net_window(s, SPEC_OP_conv2d, 8, 3, 3, 1, 1);
	net_add(s, SPEC_OP_relu);
	net_window(s, SPEC_OP_avg_pool2d, 0, 3, 3, 2, 1);
	net_add(s, SPEC_OP_flatten);
	net_add(s, SPEC_OP_dropout)->u.dropout.p = 0.25;
	net_linear(s, 32);
	net_add(s, SPEC_OP_gelu);
	net_linear(s, 24);
	net_add(s, SPEC_OP_batch_norm);
	net_add(s, SPEC_OP_tanh);
	net_add(s, SPEC_OP_dropout);
	net_linear(s, 10);
}

static float *
copy(const float *p, int64_t n)
{
	float *c = xmalloc((size_t)n * sizeof(*c));

	return memcpy(c, p, (size_t)n * sizeof(*c));
}

T_CASE(backward_adds_to_the_gradient_already_there)
{
	struct net s = { 0 };
	int64_t n;

	everything(&s);
	net_build(&s, 16);
	(void)nn_params(s.nn, &n);
	nn_zero_grads(s.nn);
	net_step(&s, 16);
	float *once = copy(nn_grads(s.nn), n);
	net_step(&s, 16);
	/* once + once: each contribution is rounded on its way in, by 2^-24 of
	 * the largest partial sum; sums have at most 2000 terms below 1. */
	for (int64_t i = 0; i < n; i++)
		t_near(nn_grads(s.nn)[i], 2 * once[i],
		    2e-5 + 1e-5 * fabs(once[i]));
	free(once);
	nn_free(s.nn);
}

T_CASE(zeroed_gradients_are_as_new_whatever_lay_there)
{
	struct net s = { 0 };
	int64_t n;

	everything(&s);
	net_build(&s, 16);
	(void)nn_params(s.nn, &n);
	net_step(&s, 16);       /* a new network's gradients are zero */
	float *first = copy(nn_grads(s.nn), n);
	for (int64_t i = 0; i < n; i++)
		nn_grads(s.nn)[i] = NAN;
	nn_zero_grads(s.nn);
	net_step(&s, 16);
	t_check(memcmp(first, nn_grads(s.nn), (size_t)n * 4) == 0);
	free(first);
	nn_free(s.nn);
}

static void
descend(struct nn *n, float rate)
{
	int64_t count;
	float *p = nn_params(n, &count);

	for (int64_t i = 0; i < count; i++)
		p[i] -= rate * nn_grads(n)[i];
}

/* Three steps of training; the parameters, buffers and logits after them. */
static float *
train(int threads, int64_t batch, int64_t rows, int64_t *len)
{
	struct net s = { 0 };
	int64_t np, nb, out = 0;

	t_check(kernel_init(threads) == RK_OK);
	everything(&s);
	net_build(&s, batch);
	float *p = nn_params(s.nn, &np), *b = nn_buffers(s.nn, &nb);
	for (int step = 1; step <= 3; step++) {
		nn_zero_grads(s.nn);
		net_step(&s, rows);
		descend(s.nn, 0.01f);
	}
	*len = np + nb + rows * nn_outputs(s.nn);
	float *all = xmalloc((size_t)*len * sizeof(*all));
	memcpy(all, p, (size_t)np * 4);
	memcpy(all + np, b, (size_t)nb * 4);
	out = *len - np - nb;
	memcpy(all + np + nb, nn_output(s.nn), (size_t)out * 4);
	nn_free(s.nn);
	kernel_fini();
	return all;
}

T_CASE(the_bits_do_not_depend_on_the_number_of_threads)
{
	static const int64_t sizes[][2] = {
		{ 64, 64 }, { 64, 37 }, { 20, 20 }
	};

	for (size_t i = 0; i < RK_ARRAY_LEN(sizes); i++) {
		int64_t n, m;
		float *one = train(1, sizes[i][0], sizes[i][1], &n);
		for (int threads = 2; threads <= 4; threads++) {
			float *more = train(threads, sizes[i][0], sizes[i][1],
			    &m);
			t_check(n == m && memcmp(one, more,
			    (size_t)n * 4) == 0);
			free(more);
		}
		free(one);
	}
}

T_CASE(the_bits_of_a_smaller_batch_do_not_depend_on_the_room_for_more)
{
	int64_t n, m;
	float *a = train(2, 64, 20, &n), *b = train(2, 20, 20, &m);

	t_check(n == m && memcmp(a, b, (size_t)n * 4) == 0);
	free(a);
	free(b);
}

T_CASE(eval_uses_running_statistics_and_changes_nothing)
{
	struct net s = { 0 };
	struct nn_result r;
	int64_t nb;

	everything(&s);
	net_build(&s, 16);
	for (int i = 0; i < 5; i++)
		net_loss(&s, 16);
	float *b = nn_buffers(s.nn, &nb), *before = copy(b, nb);
	net_forward(&s, 16, false, 5, 3);
	nn_loss(s.nn, s.y, NULL, &r);
	float *first = copy(nn_output(s.nn), 160);
	net_forward(&s, 16, false, 6, 4);
	t_check(memcmp(first, nn_output(s.nn), 640) == 0);
	t_check(memcmp(before, b, (size_t)nb * 4) == 0);
	/* A row's result does not depend on the other rows. */
	net_forward(&s, 3, false, 0, 0);
	for (int i = 0; i < 30; i++)
		t_near(nn_output(s.nn)[i], first[i], 1e-5);
	free(first);
	free(before);
	nn_free(s.nn);
}

T_CASE(training_draws_new_masks_each_step_and_the_same_at_the_same_step)
{
	struct net s = { 0 };
	float *at[3];

	net_input(&s, 1, 100, 0, 0);
	net_add(&s, SPEC_OP_dropout);
	net_linear(&s, 10);
	net_build(&s, 16);
	for (int i = 0; i < 3; i++) {
		net_forward(&s, 16, true, 5, i % 2);
		at[i] = copy(nn_output(s.nn), 160);
	}
	t_check(memcmp(at[0], at[2], 640) == 0);
	t_check(memcmp(at[0], at[1], 640) != 0);
	net_forward(&s, 16, true, 6, 0);
	t_check(memcmp(at[0], nn_output(s.nn), 640) != 0);
	/* Dropout in front must not spoil the caller's input. */
	t_check(nn_input(s.nn)[0] == rk_draw_normal(11, 1, 1, 0));
	for (int i = 0; i < 3; i++)
		free(at[i]);
	nn_free(s.nn);
}

T_CASE(dropout_that_downscales_has_so_much_less_when_it_infers)
{
	struct net s = { 0 }, plain = { 0 };

	net_input(&s, 1, 100, 0, 0);
	net_linear(&s, 10);
	struct spec_layer *l = net_add(&s, SPEC_OP_dropout);
	l->u.dropout.p = 0.2;
	l->u.dropout.scaling = 1;       /* downscale_in_infer: ops.def */
	net_build(&s, 16);
	net_input(&plain, 1, 100, 0, 0);
	net_linear(&plain, 10);
	net_build(&plain, 16);
	net_forward(&s, 16, false, 5, 0);
	net_forward(&plain, 16, false, 5, 0);
	/* A product in float32 is off by 2^-24 of it. */
	for (int i = 0; i < 160; i++)
		t_near(nn_output(s.nn)[i], 0.8 * nn_output(plain.nn)[i],
		    1e-6);
	nn_free(s.nn);
	nn_free(plain.nn);
}

T_CASE(the_input_is_not_written_to)
{
	for (int t = 0; t < SPEC_OP_V1; t++) {
		struct net s = { 0 };
		net_input(&s, 3, 2, 4, 4);
		net_add(&s, SPEC_OP_flatten);
		if (t == SPEC_OP_conv2d || t == SPEC_OP_max_pool2d ||
		    t == SPEC_OP_avg_pool2d)
			continue;
		if (t == SPEC_OP_linear)
			net_linear(&s, 6);
		else
			net_add(&s, (enum spec_op)t);
		net_linear(&s, 5);
		net_build(&s, 16);
		float *before = copy(nn_input(s.nn), 16 * 32);
		net_step(&s, 16);
		t_check(memcmp(before, nn_input(s.nn), 16 * 32 * 4) == 0);
		free(before);
		nn_free(s.nn);
	}
}

T_CASE(the_loss_counts_the_rows_that_are_right)
{
	struct net s = { 0 };
	struct nn_result r;

	net_input(&s, 1, 8, 0, 0);
	net_linear(&s, 4);
	net_build(&s, 16);
	net_forward(&s, 10, false, 0, 0);
	const float *z = nn_output(s.nn);
	double loss = 0;
	for (int i = 0; i < 10; i++) {
		int at = 0;
		double sum = 0;
		for (int j = 1; j < 4; j++)
			at = z[4 * i + j] > z[4 * i + at] ? j : at;
		s.y[i] = i < 7 ? at : (at + 1) % 4;
		for (int j = 0; j < 4; j++)
			sum += exp(z[4 * i + j]);
		loss += log(sum) - z[4 * i + s.y[i]];
	}
	nn_loss(s.nn, s.y, NULL, &r);
	t_eq_int(r.correct, 7);
	t_near(r.loss_sum, loss, 1e-5);
	nn_free(s.nn);
}

T_CASE(rows_of_the_ignored_class_are_neither_right_nor_counted)
{
	struct net s = { .loss = { .ignoring = true, .ignore_index = 2 } };
	struct nn_result r;
	int others = 0;

	net_input(&s, 1, 8, 0, 0);
	net_linear(&s, 4);
	net_build(&s, 16);
	net_forward(&s, 16, false, 0, 0);
	const float *z = nn_output(s.nn);
	for (int i = 0; i < 16; i++) {
		s.y[i] = 0;
		for (int j = 1; j < 4; j++)
			s.y[i] = z[4 * i + j] > z[4 * i + s.y[i]] ? j : s.y[i];
		others += s.y[i] != 2;
	}
	nn_loss(s.nn, s.y, NULL, &r);
	t_check(others > 0 && others < 16);
	t_eq_int(r.correct, others);
	t_eq_int(r.counted, others);
	t_near(r.weight, others, 0);
	nn_free(s.nn);
}

T_CASE(a_network_learns)
{
	struct net s = { 0 };
	struct nn_result r;

	t_check(kernel_init(2) == RK_OK);
	everything(&s);
	net_build(&s, 64);
	for (int i = 1; i <= 400; i++) {
		net_forward(&s, 64, true, 1, i);
		nn_loss(s.nn, s.y, NULL, &r);
		nn_zero_grads(s.nn);
		nn_backward(s.nn);
		descend(s.nn, 0.03f);
	}
	net_forward(&s, 64, false, 0, 0);
	nn_loss(s.nn, s.y, NULL, &r);
	/* 64 random samples learnt by heart. */
	t_check(r.correct >= 62);
	nn_free(s.nn);
	kernel_fini();
}

T_CASE(backward_without_a_loss_is_a_bug)
{
	struct net s = { 0 };

	net_input(&s, 1, 8, 0, 0);
	net_linear(&s, 4);
	net_build(&s, 16);
	t_aborts(nn_backward(s.nn));
	net_loss(&s, 16);
	nn_backward(s.nn);
	t_aborts(nn_backward(s.nn));
	t_aborts(net_forward(&s, 17, true, 0, 0));
	t_aborts(net_forward(&s, 0, true, 0, 0));
	nn_free(s.nn);
}

#define COUNTS_MALLOC (!RK_SANITIZED)
#if COUNTS_MALLOC

/* Every malloc of this program, ours and the libraries', but for
 * u_mallocs.h. */
void *__libc_malloc(size_t n);
void *malloc(size_t n);
static _Atomic long mallocs;

void *
malloc(size_t n)
{
	mallocs += !is_onednns(__builtin_return_address(0));
	return __libc_malloc(n);
}
#else
static long mallocs;
#endif

T_CASE(a_step_allocates_nothing)
{
	struct net s = { 0 };

	if (!COUNTS_MALLOC)
		t_skip("the sanitizer has its own malloc");
	/* One thread: the libraries set themselves up once a thread, in its
	 * first piece, and with more it is chance who works on which. */
	t_check(kernel_init(1) == RK_OK);
	everything(&s);
	net_build(&s, 64);
	net_step(&s, 64);
	long before = mallocs;
	struct mallinfo2 was = mallinfo2();
	for (int i = 0; i < 5; i++) {
		nn_zero_grads(s.nn);
		net_step(&s, 64);
	}
	struct mallinfo2 now = mallinfo2();
	t_eq_int(now.uordblks, was.uordblks);
	t_eq_int(now.hblkhd, was.hblkhd);
	t_eq_int(mallocs - before, 0);
	nn_free(s.nn);
	kernel_fini();
}

T_MAIN
