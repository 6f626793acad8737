/*
 * The fused updates: the fast loops against the plain ones, and the same bits
 * wherever an element lies.
 */
#include "rekindle/kernel.h"
#include "t.h"
#include "twice.h"
#include "update.h"

#define N 4099

static const struct kernel_update rules[] = {
	{ .rule = KERNEL_SGD, .lr = 0.1f, .decay = 0.01f },
	{ .rule = KERNEL_MOMENTUM, .lr = 0.1f, .decay = 0.01f, .mu = 0.9f,
	  .take = 0.7f },
	{ .rule = KERNEL_NESTEROV, .lr = 0.1f, .mu = 0.9f, .take = 1 },
	{ .rule = KERNEL_ADAM, .lr = 0.1f, .decay = 0.01f, .shrink = 0.999f,
	  .mu = 0.9f, .take = 0.1f, .alpha = 0.999f, .alpha1 = 0.001f,
	  .root = 3, .eps = 1e-8f },
	{ .rule = KERNEL_RMSPROP, .lr = 0.1f, .alpha = 0.9f, .alpha1 = 0.1f,
	  .eps = 1e-8f },
	{ .rule = KERNEL_RMSPROP, .lr = 0.1f, .alpha = 0.9f, .alpha1 = 0.1f,
	  .eps = 1e-8f, .centered = true },
	{ .rule = KERNEL_RMSPROP, .lr = 0.1f, .alpha = 0.9f, .alpha1 = 0.1f,
	  .eps = 1e-8f, .mu = 0.9f, .with_momentum = true },
	{ .rule = KERNEL_RMSPROP, .lr = 0.1f, .alpha = 0.9f, .alpha1 = 0.1f,
	  .eps = 1e-8f, .mu = 0.9f, .centered = true, .with_momentum = true },
	{ .rule = KERNEL_LAMB, .lr = 0.1f, .decay = 0.01f, .root = 3,
	  .unbias = 2, .eps = 1e-6f },
};

/* p, g and three slots, the squares not negative, c^2 below v. */
struct arrays {
	float p[N], g[N], s[3][N];
};

static struct arrays *
arrays_new(void)
{
	struct arrays *a = malloc(sizeof(*a));

	for (uint64_t i = 0; i < N; i++) {
		a->p[i] = rk_draw_normal(1, 0, 0, i);
		a->g[i] = rk_draw_normal(1, 0, 1, i);
		a->s[0][i] = 1 + rk_draw_unit(1, 0, 2, i);
		a->s[1][i] = rk_draw_unit(1, 0, 3, i) / 2;
		a->s[2][i] = rk_draw_normal(1, 0, 4, i);
	}
	return a;
}

static void
run(struct arrays *a, bool fast, const struct kernel_update *u, size_t from,
    size_t n, float *const *shadow)
{
	float *slot[3] = { a->s[0] + from, a->s[1] + from, a->s[2] + from };

	kernel_update_as(fast, u, n, a->p + from, a->g + from, slot, shadow);
}

T_CASE(fast_and_plain_loops_agree)
{
	if (!fast_cpu())
		t_skip("this CPU has no AVX2 with FMA");
	for (size_t k = 0; k < RK_ARRAY_LEN(rules); k++) {
		struct arrays *a = arrays_new(), *b = arrays_new();
		run(a, true, &rules[k], 0, N, NULL);
		run(b, false, &rules[k], 0, N, NULL);
		/* FMA leaves out a rounding here and there: a few ulps of
		 * numbers up to 8. */
		for (int i = 0; i < N; i++) {
			t_near(a->p[i], b->p[i], 4e-6);
			t_near(a->s[0][i], b->s[0][i], 1e-6);
			t_near(a->s[1][i], b->s[1][i], 4e-6);
			t_near(a->s[2][i], b->s[2][i], 4e-6);
		}
		free(a);
		free(b);
	}
}

T_CASE(an_elements_bits_do_not_depend_on_its_place)
{
	for (int fast = 0; fast <= (fast_cpu() ? 1 : 0); fast++)
		for (size_t k = 0; k < RK_ARRAY_LEN(rules); k++) {
			struct arrays *a = arrays_new(), *b = arrays_new();
			run(a, fast, &rules[k], 0, N, NULL);
			for (size_t at = 0, n = 1; at < N; at += n, n += 3)
				run(b, fast, &rules[k], at,
				    RK_MIN(n, N - at), NULL);
			t_check(memcmp(a, b, sizeof(*a)) == 0);
			free(a);
			free(b);
		}
}

T_CASE(a_shadow_is_a_copy_streamed_or_not_aligned_or_not)
{
	for (size_t k = 0; k < RK_ARRAY_LEN(rules); k++)
		for (size_t off = 0; off < 8; off++) {
			struct kernel_update u = rules[k];
			struct arrays *a = arrays_new(), *b = arrays_new();
			float *m = kernel_alloc((4 * N + 8) * sizeof(*m));
			float *shadow[4];
			for (int i = 0; i < 4; i++)
				shadow[i] = m + off + (size_t)i * N;
			u.stream = off % 2 == 0;
			run(a, fast_cpu(), &u, 0, N, shadow);
			run(b, fast_cpu(), &u, 0, N, NULL);
			t_check(memcmp(a, b, sizeof(*a)) == 0);
			t_check(memcmp(shadow[0], a->p, sizeof(a->p)) == 0);
			if (u.rule == KERNEL_ADAM)
				t_check(memcmp(shadow[2], a->s[1],
				    sizeof(a->p)) == 0);
			kernel_free(m, (4 * N + 8) * sizeof(*m));
			free(a);
			free(b);
		}
}

T_CASE(lambs_moments_and_norms_are_the_formulas)
{
	const struct kernel_update u = { .rule = KERNEL_LAMB, .decay = 0.01f,
	    .mu = 0.9f, .take = 0.1f, .alpha = 0.999f, .alpha1 = 0.001f,
	    .root = 3, .unbias = 2, .eps = 1e-6f };

	for (int fast = 0; fast <= (fast_cpu() ? 1 : 0); fast++)
		for (size_t n = 0; n < 70; n++) {
			struct arrays *a = arrays_new(), *b = arrays_new();
			double sums[2], p = 0, r = 0;
			kernel_lamb_as(fast, &u, n, a->p, a->g, a->s[0],
			    a->s[1], sums);
			for (size_t i = 0; i < n; i++) {
				double g = (double)b->g[i];
				double m = 0.9 * (double)b->s[0][i] + 0.1 * g;
				double v = 0.999 * (double)b->s[1][i] +
				    0.001 * g * g;
				t_near(a->s[0][i], m, 1e-6);
				t_near(a->s[1][i], v, 1e-6);
				double x = 2 * m / (sqrt(v) * 3 + 1e-6) +
				    0.01 * (double)b->p[i];
				p += (double)b->p[i] * (double)b->p[i];
				r += x * x;
			}
			t_near(sums[0], p, 1e-9);
			/* Each r has some roundings of 6e-8. */
			t_near(sums[1], r, 1e-6 * (r + 1));
			t_check(memcmp(a->p, b->p, sizeof(a->p)) == 0);
			free(a);
			free(b);
		}
}

T_CASE(the_sum_of_squares_is_that_in_double)
{
	struct arrays *a = arrays_new();

	for (size_t n = 0; n < 100; n++) {
		double want = 0;
		for (size_t i = 0; i < n; i++)
			want += (double)a->p[i] * (double)a->p[i];
		/* A hundred additions of at most 1e3 each half an ulp off. */
		t_near(kernel_sum_squares(a->p, n), want, 100 * 1.2e-13);
	}
	free(a);
}

T_CASE(conversions_are_one_multiplication_and_one_addition)
{
	enum { M = 1027 };
	static uint8_t b[M];
	static float f[M], scale[M], shift[M], y[4][M];

	for (int i = 0; i < M; i++) {
		b[i] = (uint8_t)(i * 7);
		f[i] = b[i];
		scale[i] = 1.0f / (float)(i + 1);
		shift[i] = (float)i;
	}
	kernel_bytes_affine(y[0], b, M, 0.25f, -3);
	kernel_floats_affine(y[1], f, M, 0.25f, -3);
	kernel_bytes_affine_each(y[2], b, M, scale, shift);
	kernel_floats_affine_each(y[3], f, M, scale, shift);
	for (int i = 0; i < M; i++) {
		t_check(y[0][i] == (float)b[i] * 0.25f - 3);
		t_check(y[1][i] == y[0][i] && y[3][i] == y[2][i]);
		/* With FMA or not: half an ulp of 255. */
		t_near(y[2][i], (double)b[i] / (i + 1) + i, 1e-4);
	}
}

T_MAIN
