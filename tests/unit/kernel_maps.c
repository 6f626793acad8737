/*
 * Activations, sums and losses, plain and fast loops alike, against double.
 *
 * EPS is 2^-23.  An activation is a handful of float operations and a
 * polynomial that fits to 4e-9, so a few EPS of relative error; where a result
 * comes from a difference of numbers near 1 the error is absolute.
 */
#include <float.h>

#include "rekindle/kernel.h"
#include "loops.h"
#include "t.h"

#define EPS (double)FLT_EPSILON

static double
exact(enum kernel_act f, double x)
{
	switch (f) {
	case KERNEL_RELU: return x > 0 ? x : 0;
	case KERNEL_GELU: return x / 2 * erfc(-x / sqrt(2));
	case KERNEL_SIGMOID: return 1 / (1 + exp(-x));
	case KERNEL_TANH: return tanh(x);
	default: return x;
	}
}

static double
slope(enum kernel_act f, double x)
{
	double y = exact(f, x);

	switch (f) {
	case KERNEL_RELU: return x > 0;
	case KERNEL_GELU: return erfc(-x / sqrt(2)) / 2 +
	    x * exp(-x * x / 2) / sqrt(2 * M_PI);
	case KERNEL_SIGMOID: return y * (1 - y);
	case KERNEL_TANH: return 1 - y * y;
	default: return 1;
	}
}

static const struct kernel_loops *
loops(int i)
{
	const struct kernel_loops *chosen = kernel_loops();

	if (i == 0)
		return &kernel_loops_plain;
	if (i == 1)
		return chosen != &kernel_loops_plain ? &kernel_loops_fast :
		    NULL;
	return chosen != &kernel_loops_plain && chosen != &kernel_loops_fast ?
	    chosen : NULL;
}

static void
check_act(const struct kernel_loops *l, enum kernel_act f)
{
	const struct kernel_activation a_f = { .act = f };
	enum { N = 4001 };
	static float x[N], y[N], dy[N], dx[N];

	for (int i = 0; i < N; i++) {
		x[i] = (float)(i - N / 2) * 0.01f;
		dy[i] = i % 3 == 0 ? 1 : -0.5f;
		dx[i] = 1;
	}
	l->act(&a_f, x, y, N);
	l->act_back(&a_f, f == KERNEL_GELU ? x : y, dy, true, dx, N);
	for (int i = 0; i < N; i++) {
		double a = fabs(x[i]);
		/* gelu multiplies an absolute error of 1 + erf by x. */
		t_near(y[i], exact(f, x[i]), EPS * 4 * (1 + a));
		t_near(dx[i], 1 + dy[i] * slope(f, x[i]), EPS * 4 * (1 + a));
	}
	/* In place, and without adding. */
	l->act_back(&a_f, f == KERNEL_GELU ? x : y, dy, false, dy, N);
	for (int i = 0; i < N; i++)
		t_near(dy[i], dx[i] - 1, 2 * EPS);
	l->act(&a_f, x, x, N);
	t_check(memcmp(x, y, sizeof(x)) == 0);
}

T_CASE(activations_agree_with_the_c_library)
{
	for (int i = 0; i < 3 && loops(i) != NULL; i++)
		for (int f = KERNEL_NO_ACT; f <= KERNEL_TANH; f++)
			check_act(loops(i), (enum kernel_act)f);
}

T_CASE(activations_of_extremes)
{
	static const float x[] = { 0, -0.0f, 1e30f, -1e30f, INFINITY,
		-INFINITY, NAN, 88, -88, 200, -200, 1e-30f };
	enum { N = RK_ARRAY_LEN(x) };

	for (int i = 0; i < 3 && loops(i) != NULL; i++)
		for (int f = KERNEL_RELU; f <= KERNEL_TANH; f++) {
			struct kernel_activation a = { .act =
				(enum kernel_act)f };
			float y[N];
			loops(i)->act(&a, x, y, N);
			for (int k = 0; k < N; k++) {
				double want = exact((enum kernel_act)f, x[k]);
				if (isnan(x[k]))
					t_check(isnan(y[k]));
				else if (isinf(want))
					t_check(y[k] == (float)want);
				else if (!isnan(want) && f != KERNEL_GELU)
					t_near(y[k], want,
					    1e-30 + EPS * fabs(want));
			}
		}
}

/* Fits, not series: from 0 to where they end and beyond, each 2^-9. */
T_CASE(gelu_and_its_slope_are_near_in_all_their_range)
{
	static const struct kernel_activation f = { .act = KERNEL_GELU };
	enum { N = 2 * 7 * 512 + 1 };
	static float x[N], y[N], one[N], dx[N];

	for (int i = 0; i < N; i++) {
		x[i] = (float)(i - N / 2) / 512;
		one[i] = 1;
	}
	for (int i = 0; i < 3 && loops(i) != NULL; i++) {
		loops(i)->act(&f, x, y, N);
		loops(i)->act_back(&f, x, one, false, dx, N);
		for (int k = 0; k < N; k++) {
			/* F and the slope are sums of 1/2 and a number of which
			 * a unit in the last place is up to 2^-24: three of
			 * these, and four where products are rounded, too. */
			t_near(y[k], exact(KERNEL_GELU, x[k]),
			    1.5 * EPS * fabs(x[k]));
			t_near(dx[k], slope(KERNEL_GELU, x[k]),
			    2 * EPS);
		}
		t_check(y[0] == 0 && y[N - 1] == x[N - 1] && dx[0] == 0);
	}
}

/* Of n numbers; what is behind them stays. */
static void
check_bits(const struct kernel_loops *a, const struct kernel_loops *b, size_t n)
{
	enum { MOST = 700 };
	float x[MOST], dy[MOST], mask[MOST], out[2][5][MOST];
	const struct kernel_loops *l[] = { a, b };

	must(n < MOST);
	rk_fill_unit(x, MOST, 1, 2, 3, n);
	rk_fill_unit(dy, MOST, 1, 2, 4, n);
	for (size_t i = 0; i < MOST; i++) {
		x[i] = 16 * x[i] - 8;
		mask[i] = dy[i] > 0.3f;
	}
	memset(out, 0, sizeof(out));
	for (int k = 0; k < 2 * KERNEL_ACTS; k++) {
		struct kernel_activation f = { .slope = 0.2f, .offset = 0.5f,
			.act = (enum kernel_act)(k / 2) };
		l[k % 2]->act(&f, x, out[k % 2][0], n);
		l[k % 2]->act_back(&f, x, dy, true, out[k % 2][1], n);
		if (k % 2 == 1)
			t_check(memcmp(out[0], out[1], sizeof(out[0])) == 0);
	}
	for (int i = 0; i < 2; i++) {
		float (*o)[MOST] = out[i];
		struct kernel_lnorm_row r = { .mean = 0.1f, .inv = 0.3f,
			.weight = mask, .dw = o[3], .db = o[4] };
		l[i]->softmax(x, 0.7f, NULL, o[0], n);
		l[i]->softmax(x, 0.7f, mask, o[1], n);
		l[i]->softmax_back(o[0], dy, 1, false, o[2], n);
		l[i]->softmax_back(o[1], dy, 0.7f, false, o[1], n);
		l[i]->lnorm_back(&r, x, dy, true, o[2], n);
		l[i]->lnorm(x, o[0], n, 0.1f, 0.3f, mask, dy);
	}
	t_check(memcmp(out[0], out[1], sizeof(out[0])) == 0);
}

T_CASE(wider_vectors_give_the_same_bits)
{
	if (loops(2) == NULL)
		return;
#if RK_SANITIZED
	t_skip("which products are fused is the compiler's to say, and it says "
	    "otherwise between checks");
#endif
	for (size_t n = 0; n < 70; n++)
		check_bits(loops(1), loops(2), n);
	check_bits(loops(1), loops(2), 255);
	check_bits(loops(1), loops(2), 256);
	check_bits(loops(1), loops(2), 699);
}

/* $RK_SHARED/data/samples/golden/optim_loss_bn.json, "gelu erf" */
T_CASE(gelu_has_pytorchs_values)
{
	static const float x[] = { -3, -1, -0.5f, 0, 0.5f, 1, 3 };
	static const double want[] = { -0.004049867391586304,
		-0.1586552858352661, -0.1542687863111496, 0.0,
		0.3457311987876892, 0.8413447141647339, 2.995950222015381 };
	float y[7];

	kernel_act(KERNEL_GELU, x, y, 7);
	for (int i = 0; i < 7; i++)
		t_near(y[i], want[i], 2 * EPS);
}

T_CASE(column_sums_with_and_without_a_mask)
{
	enum { R = 37, N = 211 };
	static float a[R * N], y[R * N], s[N];

	rk_fill_unit(a, R * N, 1, 1, 1, 0);
	for (int i = 0; i < R * N; i++)
		y[i] = i % 5 < 2 ? 1.0f : i % 5 == 3 ? -1.0f : 0.0f;
	for (int i = 0; i < 3 && loops(i) != NULL; i++)
	for (int mask = 0; mask < 2; mask++)
	for (int add = 0; add < 2; add++) {
		static float b[R * N];
		memcpy(b, a, sizeof(b));
		for (int j = 0; j < N; j++)
			s[j] = 10;
		loops(i)->col_sums(b, N, R, N, mask ? y : NULL, add, s);
		for (int j = 0; j < N; j++) {
			double want = add ? 10 : 0;
			for (int r = 0; r < R; r++) {
				int k = r * N + j;
				bool on = !mask || y[k] > 0;
				t_check(b[k] == (on ? a[k] : 0));
				want += on ? a[k] : 0;
			}
			/* 37 sums of size up to 37 */
			t_near(s[j], want, 37 * 47 * EPS / 2);
		}
	}
}

T_CASE(sums_and_spreads_in_double)
{
	enum { N = 1003 };
	static float x[N], y[N];
	double sum = 0, dot = 0, spread = 0;

	rk_fill_unit(x, N, 1, 1, 1, 0);
	rk_fill_unit(y, N, 1, 1, 2, 0);
	for (int i = 0; i < N; i++) {
		sum += x[i];
		dot += (double)x[i] * y[i];
		spread += ((double)x[i] - 0.5) * ((double)x[i] - 0.5);
	}
	for (int i = 0; i < 3 && loops(i) != NULL; i++) {
		/* N sums in double, each with an error of 1e-16 of N */
		t_near(loops(i)->sum(x, N), sum, 1e-10);
		t_near(loops(i)->dot(x, y, N), dot, 1e-10);
		/* x - mean is rounded to float first */
		t_near(loops(i)->spread(x, N, 0.5f), spread, N * EPS / 4);
	}
}

/* By PyTorch 1.13: cross_entropy(z, y, label_smoothing=e) and its gradient. */
T_CASE(cross_entropy_has_pytorchs_values)
{
	static const float z[] = { 1.5f, -0.3f, 0.2f, 2.5f, -1.0f, 0.7f, 3.0f,
		0.1f, 0.25f, 0.5f, -2.0f, 1.0f };
	static const int32_t y[] = { 3, 2, 0 };
	static const double loss[] = { 0.696719408, 0.834636092 };
	static const double grad[2][12] = { { 0.0802031606, 0.0132574942,
		0.0218579136, -0.115318559, 0.005202136, 0.0284762122,
		-0.049306415, 0.0156280752, -0.259364873, 0.0949773937,
		0.00779621955, 0.156591266 }, { 0.0718698204, 0.00492415903,
		0.013524577, -0.0903185457, -0.00313119846, 0.0201428756,
		-0.0243064035, 0.00729474006, -0.234364852, 0.0866440386,
		-0.000537115673, 0.148257896 } };
	double scratch[6];
	float d[12];
	int64_t right;

	for (int e = 0; e < 2; e++) {
		double sum = kernel_cross_entropy(3, 4, z, y, 0.1 * e, d,
		    scratch, &right);
		t_near(sum / 3, loss[e], 2 * EPS);
		t_eq_int(right, 2);
		for (int i = 0; i < 12; i++)
			t_near(d[i], grad[e][i], 2 * EPS);
	}
}

T_CASE(squares_have_pytorchs_values)
{
	static const float z[] = { 1.5f, -0.3f, 0.2f, 2.5f, -1.0f, 0.7f, 3.0f,
		0.1f, 0.25f, 0.5f, -2.0f, 1.0f };
	static const double grad[] = { 0.416666687, 0.075000003, 0.116666667,
		0.458333343, -0.166666672, 0.075000003, 0.416666687,
		-0.108333334, -0.125, -0.125, -0.583333373, -0.125 };
	double scratch[6];
	float t[12], d[12];

	for (int i = 0; i < 12; i++)
		t[i] = (float)i / 4 - 1;
	double sum = kernel_squares(3, 4, z, t, NULL, d, scratch, NULL);
	t_near(sum / 3, 3.02645802, 4 * EPS);
	for (int i = 0; i < 12; i++)
		t_near(d[i], grad[i], 2 * EPS);
}

T_CASE(losses_of_extreme_logits_are_what_they_should_be)
{
	static const float z[] = { 1000, 0, 0, -1e30f, 0, 1e30f, NAN, 0, 0,
		0, INFINITY, 0 };
	static const int32_t y[] = { 0, 0, 2, 1 };
	double scratch[8];
	float d[12];
	int64_t right;

	for (int i = 0; i < 3 && loops(i) != NULL; i++) {
		struct kernel_ce ce = { 3, 0, 1 };
		bool ok;
		t_near(loops(i)->cross_entropy(z, &ce, 0, d, &ok), 0, 0);
		t_check(ok && d[0] == 0 && d[1] == 0);
		t_near(loops(i)->cross_entropy(z, &ce, 1, d, &ok), 1000, 0);
		t_check(!ok && d[0] == 1 && d[1] == -1);
		t_check(isnan(loops(i)->cross_entropy(z + 6, &ce, 2, d, &ok)));
	}
	kernel_cross_entropy(2, 3, z, y, 0, d, scratch, &right);
	t_near(scratch[1], 2e30, 1e24);
	t_check(!isfinite(kernel_cross_entropy(4, 3, z, y, 0.1, d, scratch,
	    &right)));
	static const int32_t wrong[] = { 3 };
	t_aborts((void)kernel_cross_entropy(1, 3, z, wrong, 0, d, scratch,
	    NULL));
}

T_CASE(a_loss_over_many_classes)
{
	enum { N = 20011 };
	static float z[N], d[N];
	double sum = 0;
	bool ok;

	for (int i = 0; i < N; i++)
		z[i] = 4 * rk_draw_normal(3, 1, 1, (uint64_t)i);
	for (int i = 0; i < N; i++)
		sum += exp(z[i]);
	for (int i = 0; i < 3 && loops(i) != NULL; i++) {
		struct kernel_ce ce = { N, 0, 1 };
		double loss = loops(i)->cross_entropy(z, &ce, 77, d, &ok);
		t_near(loss, log(sum) - z[77], 1e-6);
		/* z - top, some 30, is a float: e to it is off by up to 30 / 2
		 * EPS relative; and there is the 1 at the class. */
		for (int k = 0; k < N; k++)
			t_near(d[k], exp(z[k]) / sum - (k == 77), 20 * EPS *
			    (exp(z[k]) / sum + (k == 77)));
	}
}

T_CASE(dropout_keeps_its_share_and_its_mask)
{
	enum { N = 100000 };
	static float x[N], y[N], dx[N];
	int kept = 0;

	for (int i = 0; i < N; i++)
		x[i] = 1;
	kernel_dropout(x, y, false, N, 0.3f, 5, 6, 7);
	for (int i = 0; i < N; i++) {
		t_check(y[i] == 0 || fabsf(y[i] - 1 / 0.7f) < 1e-6f);
		t_check((y[i] == 0) == (rk_draw_unit(5, 6, 7, (uint64_t)i) <
		    0.3f));
		kept += y[i] != 0;
		dx[i] = 1;
	}
	/* Binomial: sigma is sqrt(N 0.21) = 145 */
	t_near(kept, 0.7 * N, 5 * 145);
	kernel_dropout(x, dx, true, N, 0.3f, 5, 6, 7);
	for (int i = 0; i < N; i++)
		t_check(dx[i] == y[i] + 1);
	kernel_dropout(x, x, false, N, 0.3f, 5, 6, 8);
	t_check(memcmp(x, y, sizeof(x)) != 0);
	kernel_dropout(y, y, false, N, 1, 5, 6, 8);
	for (int i = 0; i < N; i++)
		t_check(y[i] == 0);
}

T_CASE(the_switch_chooses_the_plain_loops)
{
	setenv("REKINDLE_SIMD", "plain", 1);
	t_check(kernel_loops() == &kernel_loops_plain);
}

T_MAIN
