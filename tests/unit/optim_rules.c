/*
 * Adagrad and lamb: PyTorch's numbers, or the formula's in double.  The tables
 * are made by tests/numerics/optim.py.
 */
#include "rekindle/kernel.h"
#include "rekindle/optim.h"
#include "t.h"

#define STEPS 5
static const float start[4] = { 1, -2, 0.5f, 0 };
static const float grads[STEPS][4] = {
	{ 0.1f, -0.2f, 0.3f, -0.4f },
	{ 0.001f, 0, -5, 2 },
	{ 0.5f, 0.5f, 0.5f, 0.5f },
	{ -0.1f, 0.2f, -0.3f, 0.4f },
	{ 1e-8f, -1e-8f, 3, -3 },
};

/* As in optim_step.c: ten roundings a step of half an ulp of 2, twice. */
#define TOL (STEPS * 2 * 10 * 1.2e-7 / 2)

static void
follows(const struct spec_optim *s, const float want[STEPS][4])
{
	struct optim *o;
	float p[4];

	memcpy(p, start, sizeof(p));
	t_eq_int(optim_new(&o, s, 4), RK_OK);
	for (int t = 0; t < STEPS; t++) {
		optim_step(o, p, grads[t], t + 1, s->learning_rate, NULL);
		for (int i = 0; i < 4; i++)
			t_near(p[i], want[t][i], TOL);
	}
	optim_free(o);
}

T_CASE(adagrad_is_pytorchs)
{
	static const float want[STEPS][4] =
	    { { 0.899999976f, -1.89999998f, 0.400000006f, 0.100000009f },
	      { 0.899000049f, -1.89999998f, 0.499820501f, 0.00194193423f },
	      { 0.800942183f, -1.99284768f, 0.489887804f, -0.0218675919f },
	      { 0.820187151f, -2.02766323f, 0.495836854f, -0.0405788049f },
	      { 0.820187151f, -2.02766323f, 0.444709569f, 0.0408599973f } };
	const struct spec_optim s = { .type = SPEC_ADAGRAD,
	    .learning_rate = 0.1, .eps = 1e-10 };

	follows(&s, want);
}

T_CASE(adagrad_with_all_its_fields_is_pytorchs)
{
	static const float want[STEPS][4] =
	    { { 0.967145979f, -1.942891f, 0.430578798f, 0.0784462988f },
	      { 0.964112043f, -1.93809378f, 0.525450706f, -0.0138418823f },
	      { 0.888144195f, -2.00899386f, 0.516337812f, -0.0352325439f },
	      { 0.900993288f, -2.03336263f, 0.521415651f, -0.0513091534f },
	      { 0.899775803f, -2.03072453f, 0.478793383f, 0.0163050368f } };
	const struct spec_optim s = { .type = SPEC_ADAGRAD,
	    .learning_rate = 0.1, .lr_decay = 0.05, .weight_decay = 0.01,
	    .initial_accumulator = 0.1, .eps = 1e-6 };

	follows(&s, want);
}

T_CASE(lamb_follows_its_formula)
{
	static const float want[STEPS][4] =
	    { { 0.988529727f, -1.9884161f, 0.488586435f, 0.0113567901f },
	      { 0.97686012f, -1.97670248f, 0.500433626f, 0.00119613308f },
	      { 0.962070312f, -1.98433431f, 0.509882481f, -0.0108429829f },
	      { 0.951131162f, -1.99542641f, 0.519370221f, -0.0242448135f },
	      { 0.935645601f, -2.01095556f, 0.520274346f, -0.0184227698f } };
	const struct spec_optim s = { .type = SPEC_LAMB,
	    .learning_rate = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-6,
	    .weight_decay = 0.01 };

	follows(&s, want);
}

T_CASE(lamb_without_decay_follows_its_formula)
{
	static const float want[STEPS][4] =
	    { { 0.942990277f, -1.94270665f, 0.442611475f, 0.0574362293f },
	      { 0.890678788f, -1.89067471f, 0.504528133f, 0.00378110428f },
	      { 0.82106477f, -1.93413979f, 0.546145103f, -0.0517977563f },
	      { 0.772978471f, -1.99570275f, 0.58798045f, -0.114547399f },
	      { 0.711278473f, -2.07469823f, 0.575441964f, -0.0682491447f } };
	const struct spec_optim s = { .type = SPEC_LAMB,
	    .learning_rate = 0.05, .beta1 = 0.8, .beta2 = 0.99, .eps = 1e-3 };

	follows(&s, want);
}

T_CASE(the_slots_of_both_have_pytorchs_names)
{
	struct spec_optim s = { .type = SPEC_ADAGRAD,
	    .initial_accumulator = 0.25 };
	struct optim *o;

	t_eq_int(optim_new(&o, &s, 3), RK_OK);
	t_eq_int(optim_slots(o), 1);
	t_eq_str(optim_slot_name(o, 0), "sum");
	for (int i = 0; i < 3; i++)
		t_check(optim_slot(o, 0)[i] == 0.25f);
	optim_free(o);
	s.type = SPEC_LAMB;
	t_eq_int(optim_new(&o, &s, 3), RK_OK);
	t_eq_int(optim_slots(o), 2);
	t_eq_str(optim_slot_name(o, 0), "exp_avg");
	t_eq_str(optim_slot_name(o, 1), "exp_avg_sq");
	t_check(optim_slot(o, 0)[1] == 0);
	optim_free(o);
}

/* --- lamb's tensors ------------------------------------------------------- */

#define N 200003                /* the first tensor: four pieces */
#define M 70                    /* the second */

static const struct spec_optim lamb = { .type = SPEC_LAMB,
    .learning_rate = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-6,
    .weight_decay = 0.01 };

static const struct optim_span tensors[] = {
	{ .count = N, .rate = 1, .decay = 0.01, .trains = true },
	{ .offset = N, .count = M, .rate = 1, .decay = 0.01, .trains = true },
};

static float *
drawn(uint32_t a)
{
	float *p = malloc((N + M) * sizeof(*p));

	for (int64_t i = 0; i < N + M; i++)
		p[i] = rk_draw_normal(3, a, 0, (uint64_t)i);
	return p;
}

/* Two steps; the parameters are the caller's.  shadow: of the second. */
static float *
lamb_steps(int threads, float *const *shadow)
{
	float *p = drawn(0), *g = drawn(1);
	struct optim *o;

	t_eq_int(kernel_init(threads), RK_OK);
	t_eq_int(optim_new(&o, &lamb, N + M), RK_OK);
	optim_set_spans(o, tensors, 2);
	t_eq_int((int)optim_nspans(o), 2);
	optim_step(o, p, g, 1, 0.01, NULL);
	optim_step(o, p, g, 2, 0.01, shadow);
	if (shadow != NULL) {
		t_check(memcmp(shadow[0], p, (N + M) * sizeof(*p)) == 0);
		for (int k = 0; k < 2; k++)
			t_check(memcmp(shadow[k + 1], optim_slot(o, k),
			    (N + M) * sizeof(*p)) == 0);
	}
	optim_free(o);
	kernel_fini();
	free(g);
	return p;
}

T_CASE(lambs_bits_do_not_depend_on_the_threads)
{
	float *a = lamb_steps(1, NULL), *b = lamb_steps(3, NULL);

	t_check(memcmp(a, b, (N + M) * sizeof(*a)) == 0);
	free(a);
	free(b);
}

T_CASE(lambs_shadow_holds_what_was_written)
{
	float *shadow[3];

	for (int k = 0; k < 3; k++)
		shadow[k] = malloc((N + M) * sizeof(float));
	free(lamb_steps(2, shadow));
	for (int k = 0; k < 3; k++)
		free(shadow[k]);
}

/* What the second tensor becomes does not depend on the first. */
T_CASE(the_norms_of_lamb_are_each_tensors_own)
{
	float *p = drawn(0), *g = drawn(1), *whole = lamb_steps(1, NULL);
	struct optim *o;

	t_eq_int(optim_new(&o, &lamb, M), RK_OK);
	optim_step(o, p + N, g + N, 1, 0.01, NULL);
	optim_step(o, p + N, g + N, 2, 0.01, NULL);
	t_check(memcmp(p + N, whole + N, M * sizeof(*p)) == 0);
	optim_free(o);
	free(p);
	free(g);
	free(whole);
}

T_CASE(a_tensor_of_zeros_is_trained_by_lamb_without_a_trust)
{
	struct optim *o;
	float p[2] = { 0, 0 }, g[2] = { 1, -1 };

	t_eq_int(optim_new(&o, &lamb, 2), RK_OK);
	optim_step(o, p, g, 1, 0.01, NULL);
	/* r is 1 and -1 but for eps and some roundings. */
	t_near(p[0], -0.01, 1e-7);
	t_near(p[1], 0.01, 1e-7);
	optim_free(o);
}

T_CASE(a_nan_gradient_shows_in_both)
{
	const struct spec_optim adagrad = { .type = SPEC_ADAGRAD,
	    .eps = 1e-10 };
	const struct spec_optim *const v[] = { &adagrad, &lamb };

	for (int k = 0; k < 2; k++) {
		struct optim *o;
		float p[2] = { 1, 1 }, g[2] = { 1, NAN };
		t_eq_int(optim_new(&o, v[k], 2), RK_OK);
		optim_step(o, p, g, 1, 0.1, NULL);
		t_check(isfinite(p[0]) && isnan(p[1]));
		optim_free(o);
	}
}

T_MAIN
