/*
 * Optimisers: PyTorch's numbers, the same bits for any number of threads, and
 * shadows that are what was written.
 */
#include "rekindle/kernel.h"
#include "rekindle/optim.h"
#include "t.h"

/* Five gradients and the parameters after each, from PyTorch in float32. */
#define STEPS 5
static const float start[4] = { 1, -2, 0.5f, 0 };
static const float grads[STEPS][4] = {
	{ 0.1f, -0.2f, 0.3f, -0.4f },
	{ 0.001f, 0, -5, 2 },
	{ 0.5f, 0.5f, 0.5f, 0.5f },
	{ -0.1f, 0.2f, -0.3f, 0.4f },
	{ 1e-8f, -1e-8f, 3, -3 },
};

struct golden {
	struct spec_optim s;
	float want[STEPS][4];
};

/* Values of up to 2 come through some ten roundings a step, each of at most
 * half an ulp (2^-24 * 2), and PyTorch's through as many others. */
#define TOL (STEPS * 2 * 10 * 1.2e-7 / 2)

static void
follows(const struct golden *g)
{
	struct optim *o;
	float p[4];

	memcpy(p, start, sizeof(p));
	t_eq_int(optim_new(&o, &g->s, 4), RK_OK);
	for (int t = 0; t < STEPS; t++) {
		optim_step(o, p, grads[t], t + 1, g->s.learning_rate, NULL);
		for (int i = 0; i < 4; i++)
			t_near(p[i], g->want[t][i], TOL);
	}
	optim_free(o);
}

T_CASE(sgd_with_weight_decay_is_pytorchs)
{
	static const struct golden g = {
		{ .type = SPEC_SGD, .learning_rate = 0.1,
		  .weight_decay = 0.01 },
		{ { 0.989000022f, -1.97800004f, 0.469500005f, 0.0400000028f },
		  { 0.987911046f, -1.97602201f, 0.969030499f, -0.160040006f },
		  { 0.936923146f, -2.02404594f, 0.918061495f, -0.209879965f },
		  { 0.945986211f, -2.04202199f, 0.947143435f, -0.249670088f },
		  { 0.945040226f, -2.03997993f, 0.646196306f, 0.0505795889f } }
	};
	follows(&g);
}

T_CASE(momentum_is_pytorchs)
{
	static const struct golden g = {
		{ .type = SPEC_SGD, .learning_rate = 0.1, .momentum = 0.9,
		  .weight_decay = 0.01 },
		{ { 0.989000022f, -1.97800004f, 0.469500005f, 0.0400000028f },
		  { 0.978011012f, -1.95622206f, 0.941580534f, -0.124040008f },
		  { 0.917142928f, -1.98466563f, 1.31551135f, -0.321551979f },
		  { 0.871444464f, -2.02828026f, 1.68073356f, -0.538991153f },
		  { 0.829444408f, -2.06550503f, 1.70775282f, -0.434147418f } }
	};
	follows(&g);
}

T_CASE(nesterov_is_pytorchs)
{
	static const struct golden g = {
		{ .type = SPEC_SGD, .learning_rate = 0.1, .momentum = 0.9,
		  .weight_decay = 0.01, .nesterov = true },
		{ { 0.979099989f, -1.95819998f, 0.44205001f, 0.0759999976f },
		  { 0.968139708f, -1.93665946f, 1.36650515f, -0.271744430f },
		  { 0.862407148f, -2.01035571f, 1.65131629f, -0.499129683f },
		  { 0.830480635f, -2.0676055f, 2.00773859f, -0.734072626f },
		  { 0.79194504f, -2.09901118f, 1.72919011f, -0.33857575f } }
	};
	follows(&g);
}

T_CASE(adam_is_pytorchs)
{
	static const struct golden g = {
		{ .type = SPEC_ADAM, .learning_rate = 0.01, .beta1 = 0.9,
		  .beta2 = 0.999, .eps = 1e-8 },
		{ { 0.99000001f, -1.99000001f, 0.49000001f, 0.00999999978f },
		  { 0.983225346f, -1.98329937f, 0.49702692f, 0.00401645759f },
		  { 0.975934923f, -1.98730946f, 0.50179702f, -0.0019974201f },
		  { 0.97119379f, -1.99241292f, 0.506043553f, -0.00792485196f },
		  { 0.967186451f, -1.99672651f, 0.50633502f, -0.0063848952f } }
	};
	follows(&g);
}

T_CASE(adam_puts_weight_decay_into_the_gradient)
{
	static const struct golden g = {
		{ .type = SPEC_ADAM, .learning_rate = 0.01, .beta1 = 0.9,
		  .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.1 },
		{ { 0.99000001f, -1.99000001f, 0.49000001f, 0.00999999978f },
		  { 0.980678201f, -1.98068559f, 0.496950597f, 0.00401568739f },
		  { 0.972172439f, -1.97830093f, 0.501587212f, -0.0019991491f },
		  { 0.965230465f, -1.97637093f, 0.505671144f, -0.0079264734f },
		  { 0.95861274f, -1.97295976f, 0.505772471f, -0.0063871476f } }
	};
	follows(&g);
}

T_CASE(adamw_shrinks_the_parameters_first)
{
	static const struct golden g = {
		{ .type = SPEC_ADAMW, .learning_rate = 0.01, .beta1 = 0.9,
		  .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.1 },
		{ { 0.989000022f, -1.98800004f, 0.489500016f, 0.00999999978f },
		  { 0.981236398f, -1.97931147f, 0.496037424f, 0.00400645798f },
		  { 0.972964764f, -1.98134232f, 0.500311494f, -0.0020114263f },
		  { 0.967250705f, -1.98446453f, 0.504057705f, -0.0079368465f },
		  { 0.962276101f, -1.98679364f, 0.503845096f, -0.006388953f } }
	};
	follows(&g);
}

T_CASE(rmsprop_with_momentum_is_pytorchs)
{
	static const struct golden g = {
		{ .type = SPEC_RMSPROP, .learning_rate = 0.01, .alpha = 0.99,
		  .eps = 1e-8, .momentum = 0.9, .weight_decay = 0.01 },
		{ { 0.900000095f, -1.9000001f, 0.400000036f, 0.0999999717f },
		  { 0.800901413f, -1.80135274f, 0.409816086f, 0.0919211507f },
		  { 0.613951921f, -1.80363989f, 0.408579797f, 0.0606926456f },
		  { 0.463558853f, -1.83835816f, 0.413398147f, 0.0136779528f },
		  { 0.327318549f, -1.86629021f, 0.365961254f, 0.0531843007f } }
	};
	follows(&g);
}

T_CASE(centered_rmsprop_is_pytorchs)
{
	static const struct golden g = {
		{ .type = SPEC_RMSPROP, .learning_rate = 0.01, .alpha = 0.95,
		  .eps = 1e-6, .centered = true },
		{ { 0.954118967f, -1.95411789f, 0.454117566f, 0.0458826236f },
		  { 0.953648627f, -1.95411789f, 0.499785871f, 0.00127707794f },
		  { 0.908152163f, -1.99630034f, 0.495152414f, -0.0099221179f },
		  { 0.917179465f, -2.0126543f, 0.498004079f, -0.0190134868f },
		  { 0.917179465f, -2.0126543f, 0.473821729f, 0.0183306448f } }
	};
	follows(&g);
}

/* What has no golden, against its formula in double. */
T_CASE(dampening_spares_the_first_step)
{
	const struct spec_optim s = { .type = SPEC_SGD, .learning_rate = 0.1,
	    .momentum = 0.9, .dampening = 0.3, .weight_decay = 0.02 };
	struct optim *o;
	float p[4];
	double q[4], b[4] = { 0 };

	memcpy(p, start, sizeof(p));
	t_eq_int(optim_new(&o, &s, 4), RK_OK);
	for (int i = 0; i < 4; i++)
		q[i] = (double)start[i];
	for (int t = 0; t < STEPS; t++) {
		optim_step(o, p, grads[t], t + 1, 0.1, NULL);
		for (int i = 0; i < 4; i++) {
			double g = (double)grads[t][i] + 0.02 * q[i];
			b[i] = t == 0 ? g : 0.9 * b[i] + 0.7 * g;
			q[i] -= 0.1 * b[i];
			t_near(p[i], q[i], TOL);
		}
	}
	optim_free(o);
}

T_CASE(centered_rmsprop_with_momentum_follows_its_formula)
{
	const struct spec_optim s = { .type = SPEC_RMSPROP, .alpha = 0.95,
	    .learning_rate = 0.01, .eps = 1e-6, .centered = true,
	    .momentum = 0.5, .weight_decay = 0.01 };
	struct optim *o;
	float p[4];
	double q[4], v[4] = { 0 }, c[4] = { 0 }, b[4] = { 0 };

	memcpy(p, start, sizeof(p));
	t_eq_int(optim_new(&o, &s, 4), RK_OK);
	for (int i = 0; i < 4; i++)
		q[i] = (double)start[i];
	for (int t = 0; t < STEPS; t++) {
		optim_step(o, p, grads[t], t + 1, 0.01, NULL);
		for (int i = 0; i < 4; i++) {
			double g = (double)grads[t][i] + 0.01 * q[i];
			v[i] = 0.95 * v[i] + 0.05 * g * g;
			c[i] = 0.95 * c[i] + 0.05 * g;
			b[i] = 0.5 * b[i] +
			    g / (sqrt(v[i] - c[i] * c[i]) + 1e-6);
			q[i] -= 0.01 * b[i];
			/* g / sqrt(v) is up to 4.5 and magnifies what g's
			 * own rounding left: ten times TOL. */
			t_near(p[i], q[i], 10 * TOL);
		}
	}
	optim_free(o);
}

/* v = c^2 up to rounding: the difference may come out below zero. */
T_CASE(a_constant_gradient_gives_centered_rmsprop_no_nan)
{
	const struct spec_optim s = { .type = SPEC_RMSPROP, .alpha = 0.5,
	    .learning_rate = 0.01, .eps = 1e-8, .centered = true };
	struct optim *o;
	float p[64] = { 0 }, g[64];

	for (int i = 0; i < 64; i++)
		g[i] = 0.1f + 0.37f * (float)i;
	t_eq_int(optim_new(&o, &s, 64), RK_OK);
	for (int t = 1; t < 200; t++)
		optim_step(o, p, g, t, 1e-12, NULL);
	for (int i = 0; i < 64; i++)
		t_check(isfinite(p[i]));
	optim_free(o);
}

T_CASE(a_nan_gradient_shows_in_every_optimiser)
{
	for (int k = 0; k < 6; k++) {
		const struct spec_optim s = {
			.type = k < 2 ? SPEC_SGD : k == 2 ? SPEC_ADAM :
			    k == 3 ? SPEC_ADAMW : SPEC_RMSPROP,
			.momentum = k == 1 ? 0.9 : 0, .centered = k == 5,
			.beta1 = 0.9, .beta2 = 0.999, .alpha = 0.9, .eps = 1e-8,
		};
		struct optim *o;
		float p[2] = { 0, 0 }, g[2] = { 1, NAN };
		t_eq_int(optim_new(&o, &s, 2), RK_OK);
		optim_step(o, p, g, 1, 0.1, NULL);
		t_check(isfinite(p[0]) && isnan(p[1]));
		optim_free(o);
	}
}

static void
slots_are(const struct spec_optim *s, const char *want)
{
	struct optim *o;
	char got[128] = "";

	t_eq_int(optim_new(&o, s, 10), RK_OK);
	for (int i = 0; i < optim_slots(o); i++) {
		strcat(strcat(got, optim_slot_name(o, i)), " ");
		for (int k = 0; k < 10; k++)
			t_check(optim_slot(o, i)[k] == 0);
	}
	t_eq_str(got, want);
	optim_free(o);
}

T_CASE(slots_have_pytorchs_names_and_begin_at_zero)
{
	struct spec_optim s = { .type = SPEC_SGD };

	slots_are(&s, "");
	s.momentum = 0.5;
	slots_are(&s, "momentum_buffer ");
	s.type = SPEC_ADAM;
	slots_are(&s, "exp_avg exp_avg_sq ");
	s.type = SPEC_ADAMW;
	slots_are(&s, "exp_avg exp_avg_sq ");
	s.type = SPEC_RMSPROP;
	slots_are(&s, "square_avg momentum_buffer ");
	s.centered = true;
	slots_are(&s, "square_avg grad_avg momentum_buffer ");
	s.momentum = 0;
	slots_are(&s, "square_avg grad_avg ");
}

/* --- many elements ------------------------------------------------------ */

#define N 300007                /* five pieces and an odd end */

static const struct spec_optim many_spec = { .type = SPEC_ADAMW,
    .learning_rate = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8,
    .weight_decay = 0.01 };

static void
fill(float *p, uint32_t a)
{
	for (int64_t i = 0; i < N; i++)
		p[i] = rk_draw_normal(7, a, 0, (uint64_t)i);
}

/* Three clipped steps; the parameters and the last norm. */
static double
train(int threads, float *p, float *const *shadow)
{
	struct optim *o;
	float *g = malloc(N * sizeof(*g));
	double norm = 0;

	t_eq_int(kernel_init(threads), RK_OK);
	t_eq_int(optim_new(&o, &many_spec, N), RK_OK);
	fill(p, 0);
	for (int t = 1; t <= 3; t++) {
		fill(g, (uint32_t)t);
		norm = optim_clip(o, g, 1);
		optim_step(o, p, g, t, 1e-3, t == 3 ? shadow : NULL);
	}
	if (shadow != NULL) {
		t_check(memcmp(shadow[0], p, N * sizeof(*p)) == 0);
		for (int k = 0; k < 2; k++)
			t_check(memcmp(shadow[k + 1], optim_slot(o, k),
			    N * sizeof(*p)) == 0);
	}
	optim_free(o);
	kernel_fini();
	free(g);
	return norm;
}

T_CASE(the_bits_do_not_depend_on_the_threads)
{
	float *a = malloc(N * sizeof(*a)), *b = malloc(N * sizeof(*b));
	double na = train(1, a, NULL), nb = train(3, b, NULL);

	t_check(memcmp(a, b, N * sizeof(*a)) == 0);
	t_check(na == nb);
	free(a);
	free(b);
}

T_CASE(a_shadow_holds_what_was_written_and_changes_nothing)
{
	float *a = malloc(N * sizeof(*a)), *b = malloc(N * sizeof(*b));
	float *shadow[3];

	for (int k = 0; k < 3; k++)
		shadow[k] = malloc(N * sizeof(float));
	train(2, a, NULL);
	train(2, b, shadow);
	t_check(memcmp(a, b, N * sizeof(*a)) == 0);
	for (int k = 0; k < 3; k++)
		free(shadow[k]);
	free(a);
	free(b);
}

/* --- clipping ----------------------------------------------------------- */

static double
clipped(float *g, int64_t n, double max)
{
	const struct spec_optim s = { .type = SPEC_SGD };
	struct optim *o;

	t_eq_int(optim_new(&o, &s, n), RK_OK);
	double norm = optim_clip(o, g, max);
	optim_free(o);
	return norm;
}

T_CASE(clipping_scales_to_the_norm_asked_for)
{
	/* PyTorch's clip_grad_norm_(max_norm=1) of the first gradient * 10. */
	float g[4] = { 1, -2, 3, -4 };
	const float want[4] = { 0.182574153f, -0.365148306f, 0.547722459f,
	    -0.730296612f };

	t_near(clipped(g, 4, 1), sqrt(30), 1e-12);
	for (int i = 0; i < 4; i++)
		t_near(g[i], want[i], 1e-7);
}

T_CASE(a_small_gradient_is_left_alone)
{
	float g[4] = { 0.1f, -0.2f, 0.3f, -0.4f }, want[4];

	memcpy(want, g, sizeof(want));
	t_near(clipped(g, 4, 1), sqrt(0.3), 1e-7);
	t_check(memcmp(g, want, sizeof(want)) == 0);
}

T_CASE(clipping_does_not_hide_what_is_not_finite)
{
	float g[4] = { 1, NAN, 3, -4 }, h[4] = { 1, INFINITY, 3, -4 };

	t_check(isnan(clipped(g, 4, 1)) && isnan(g[0]));
	t_check(isinf(clipped(h, 4, 1)) && isnan(h[1]));
}

T_CASE(a_norm_past_the_range_of_float_is_still_a_norm)
{
	float g[2] = { 3e30f, 4e30f };

	t_near(clipped(g, 2, 1) / 5e30, 1, 1e-6);
	t_near(g[1], 0.8, 1e-6);
}

T_CASE(slots_that_memory_cannot_hold_are_an_error)
{
#if defined(__SANITIZE_ADDRESS__)
	t_skip("ASan takes address space of its own");
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
	t_skip("ASan takes address space of its own");
#endif
#endif
	struct rlimit lim = { 1 << 30, 1 << 30 };
	struct optim *o = NULL;

	setrlimit(RLIMIT_AS, &lim);
	t_eq_int(optim_new(&o, &many_spec, (int64_t)1 << 30), RK_ENOMEM);
	t_check(o == NULL);
}

T_CASE(step_zero_is_a_bug)
{
	struct optim *o;
	float p[1] = { 0 };

	t_eq_int(optim_new(&o, &many_spec, 1), RK_OK);
	t_aborts(optim_step(o, p, p, 0, 0.1, NULL));
	optim_free(o);
}

T_MAIN
