/* The average of a model: its formula, its copy, and changing places. */
#include "rekindle/kernel.h"
#include "rekindle/optim.h"
#include "t.h"

#define N 150001                /* three pieces */
#define B 37

static float *
drawn(uint32_t a, int64_t n)
{
	float *p = malloc((size_t)n * sizeof(*p));

	for (int64_t i = 0; i < n; i++)
		p[i] = rk_draw_normal(5, a, 0, (uint64_t)i);
	return p;
}

static struct optim_ema *
made(const struct spec_ema *s, const float *p, const float *b)
{
	struct optim_ema *e;

	t_eq_int(optim_ema_new(&e, s, N, B), RK_OK);
	optim_ema_begin(e, p, b);
	t_check(memcmp(optim_ema_params(e), p, N * sizeof(*p)) == 0);
	t_check(memcmp(optim_ema_buffers(e), b, B * sizeof(*b)) == 0);
	return e;
}

static void
follows(const struct spec_ema *s, const double *d, int steps)
{
	float *p = drawn(0, N), *b = drawn(1, B);
	struct optim_ema *e = made(s, p, b);
	double want = p[N - 1], wantb = b[B - 1];
	float *shadow = malloc((N + B) * sizeof(*shadow));

	for (int t = 1; t <= steps; t++) {
		p[N - 1] += 1;
		b[B - 1] -= 2;
		optim_ema_step(e, p, b, t, t == steps ? shadow : NULL);
		want = d[t - 1] * want + (1 - d[t - 1]) * p[N - 1];
		wantb = d[t - 1] * wantb + (1 - d[t - 1]) * b[B - 1];
		/* Three roundings a step of numbers of at most 8. */
		t_near(optim_ema_params(e)[N - 1], want, t * 3 * 5e-7);
		t_near(optim_ema_buffers(e)[B - 1], wantb, t * 3 * 5e-7);
	}
	t_check(memcmp(shadow, optim_ema_params(e), (N + B) *
	    sizeof(*shadow)) == 0);
	optim_ema_free(e);
	free(shadow);
	free(p);
	free(b);
}

T_CASE(the_average_follows_its_formula)
{
	const struct spec_ema s = { .decay = 0.9 };
	const double d[] = { 0.9, 0.9, 0.9, 0.9 };

	follows(&s, d, 4);
}

T_CASE(a_warm_up_lets_it_follow_faster_in_the_beginning)
{
	const struct spec_ema s = { .decay = 0.25, .warmup = true };
	const double d[] = { 1 / 10.0, 2 / 11.0, 3 / 12.0, 0.25, 0.25 };

	follows(&s, d, 5);
}

T_CASE(the_model_and_its_average_change_places_and_back)
{
	const struct spec_ema s = { .decay = 0.5 };
	float *p = drawn(0, N), *b = drawn(1, B);
	float *q = drawn(2, N), *c = drawn(3, B);
	struct optim_ema *e = made(&s, p, b);

	t_eq_int(kernel_init(3), RK_OK);
	optim_ema_swap(e, q, c);
	t_check(memcmp(q, p, N * sizeof(*p)) == 0);
	t_check(memcmp(c, b, B * sizeof(*b)) == 0);
	optim_ema_swap(e, q, c);
	t_check(memcmp(optim_ema_params(e), p, N * sizeof(*p)) == 0);
	float *again = drawn(2, N);
	t_check(memcmp(q, again, N * sizeof(*q)) == 0);
	kernel_fini();
	optim_ema_free(e);
	free(again);
	free(p);
	free(b);
	free(q);
	free(c);
}

T_CASE(the_bits_of_the_average_do_not_depend_on_the_threads)
{
	const struct spec_ema s = { .decay = 0.999 };
	float *p = drawn(0, N), *b = drawn(1, B), *q = drawn(2, N);
	struct optim_ema *e[2];

	for (int k = 0; k < 2; k++) {
		t_eq_int(kernel_init(k == 0 ? 1 : 3), RK_OK);
		e[k] = made(&s, p, b);
		for (int t = 1; t < 4; t++)
			optim_ema_step(e[k], q, b, t, NULL);
		kernel_fini();
	}
	t_check(memcmp(optim_ema_params(e[0]), optim_ema_params(e[1]),
	    N * sizeof(*p)) == 0);
	t_check(optim_ema_params(e[0])[0] != p[0]);
	optim_ema_free(e[0]);
	optim_ema_free(e[1]);
	free(p);
	free(b);
	free(q);
}

T_MAIN
