/* Activations, softmax, layer norm, both batch norms, dropout: gradients are
 * slopes in double, and the product agrees with that in float. */
#include "drop.h"
#include "kernel_double.h"
#include "loops.h"

static struct both X, DY, WEIGHT, BIAS;
static double *Y, *DX, *DW, *DB;
static size_t ROWS, N;

static void
begin(size_t rows, size_t n)
{
	ROWS = rows;
	N = n;
	X = both(rows * n, 1);
	DY = both(rows * n, 2);
	WEIGHT = both(n, 3);
	BIAS = both(n, 4);
	Y = xcalloc(X.n, sizeof(*Y));
	DX = xcalloc(X.n, sizeof(*DX));
	DW = xcalloc(n, sizeof(*DW));
	DB = xcalloc(n, sizeof(*DB));
}

static void
end(void)
{
	both_free(&X);
	both_free(&DY);
	both_free(&WEIGHT);
	both_free(&BIAS);
	free(Y);
	free(DX);
	free(DW);
	free(DB);
}

/* --- activations ---------------------------------------------------------- */

static struct kernel_activation ACT;
static float *REF;

static double
act_value(void)
{
	double_act(&ACT, X.d, Y, X.n);
	return sum_of_products(Y, DY.d, X.n);
}

static void
run_act(float *y, bool add)
{
	(void)add;
	memcpy(y, X.f, X.n * sizeof(*y));
	kernel_activate(&ACT, y, y, X.n);
}

static void
run_act_back(float *dx, bool add)
{
	kernel_activate_back(&ACT, REF, DY.f, add, dx, X.n);
}

/* Where dx is dy. */
static void
run_act_back_in_place(float *dx, bool add)
{
	(void)add;
	memcpy(dx, DY.f, X.n * sizeof(*dx));
	kernel_activate_back(&ACT, REF, dx, false, dx, X.n);
}

/* Numbers from -8 to 8; no kink is within a difference. */
static void
check_act(struct kernel_activation f, size_t n)
{
	const bool by_x = kernel_act_reads_x(f.act);

	begin(1, n);
	ACT = f;
	for (size_t i = 0; i < n; i++)
		X.d[i] = X.f[i] = 8 * X.f[i];
	(void)act_value();
	double_act_back(&ACT, by_x ? X.d : Y, DY.d, false, DX, n);
	if (n < 500)
		check_slopes("dx", X.d, n, DX, act_value);
	(void)act_value();
	REF = xcalloc(n, sizeof(*REF));
	for (size_t i = 0; i < n; i++)
		REF[i] = (float)(by_x ? X.d[i] : Y[i]);
	/* Numbers up to 8 and a polynomial that fits to 4e-9. */
	check_float("y", Y, n, 16 * EPS, false, run_act);
	check_float("dx", DX, n, 16 * EPS, true, run_act_back);
	check_float("dx = dy", DX, n, 16 * EPS, false, run_act_back_in_place);
	free(REF);
	end();
}

static void
check_act_of_both_lengths(struct kernel_activation f)
{
	check_act(f, 301);
	check_act(f, 40001);
}

T_CASE(gradients_of_activations_are_their_slopes)
{
	for (int f = KERNEL_NO_ACT; f < KERNEL_ACTS; f++)
		check_act_of_both_lengths((struct kernel_activation){
			(enum kernel_act)f, 0.2f, 0.5f });
	check_act_of_both_lengths((struct kernel_activation){
		KERNEL_HARD_SIGMOID, 1.0f / 6, 0.5f });
	check_act_of_both_lengths((struct kernel_activation){
		KERNEL_LEAKY_RELU, 0, 0 });
	check_act_of_both_lengths((struct kernel_activation){
		KERNEL_ELU, 0, 0 });
}

/* The gradient behind an activation, then its sums; both in one call. */
static void
run_act_col_sums(float *s, bool add)
{
	float *d = xcalloc(X.n, sizeof(*d)), *a = xcalloc(X.n, sizeof(*a));
	float *scratch = xcalloc(kernel_act_col_sums_scratch((int64_t)N),
	    sizeof(*scratch));

	memcpy(a, DY.f, X.n * sizeof(*a));
	kernel_activate_back(&ACT, X.f, a, false, d, X.n);
	kernel_act_col_sums(&ACT, X.f, ROWS, N, a, add, s, scratch);
	t_check(memcmp(a, d, X.n * sizeof(*a)) == 0);
	free(scratch);
	free(a);
	free(d);
}

static void
check_act_col_sums(size_t rows, size_t n)
{
	begin(rows, n);
	ACT = (struct kernel_activation){ .act = KERNEL_GELU };
	double_act_back(&ACT, X.d, DY.d, false, DX, X.n);
	for (size_t i = 0; i < X.n; i++)
		DB[i % n] += DX[i];
	check_float("sums", DB, n, 8 * EPS * sqrt((double)rows), true,
	    run_act_col_sums);
	end();
}

T_CASE(the_gradient_of_an_activation_and_its_column_sums)
{
	check_act_col_sums(1, 1);
	check_act_col_sums(7, 13);
	check_act_col_sums(61, 300);
	check_act_col_sums(700, 131);
}

static float
act_at(enum kernel_act f, float slope, float x)
{
	struct kernel_activation a = { f, slope, 0.5f };

	kernel_activate(&a, &x, &x, 1);
	return x;
}

T_CASE(activations_by_hand)
{
	t_near(act_at(KERNEL_HARD_SIGMOID, 1.0f / 6, 1), 2.0 / 3, EPS);
	t_near(act_at(KERNEL_HARD_SIGMOID, 0.2f, 1), 0.7, EPS);
	t_check(act_at(KERNEL_HARD_SIGMOID, 0.2f, -2.5f) == 0);
	t_check(act_at(KERNEL_HARD_SIGMOID, 0.2f, 2.6f) == 1);
	t_near(act_at(KERNEL_HARD_SWISH, 0, 1), 4.0 / 6, EPS);
	t_check(act_at(KERNEL_HARD_SWISH, 0, -3) == 0);
	t_check(act_at(KERNEL_HARD_SWISH, 0, 5) == 5);
	t_check(act_at(KERNEL_RELU6, 0, 7) == 6);
	t_check(act_at(KERNEL_RELU6, 0, -7) == 0);
	t_near(act_at(KERNEL_LEAKY_RELU, 0.01f, -2), -0.02, EPS);
	t_near(act_at(KERNEL_ELU, 1, -2), -0.8646647167633873, EPS);
	/* Not the difference of two numbers near 1. */
	t_near(act_at(KERNEL_ELU, 1, -1e-6f) * 1e6, -0.9999995, EPS);
	t_check(act_at(KERNEL_ELU, 3, -200) == -3);
	t_near(act_at(KERNEL_SILU, 0, 1), 0.7310585786300049, EPS);
	/* PyTorch, gelu(approximate="tanh") */
	t_near(act_at(KERNEL_GELU_TANH, 0, 1), 0.8411919906082768, EPS);
	for (int f = KERNEL_RELU; f < KERNEL_ACTS; f++)
		t_check(isnan(act_at((enum kernel_act)f, 0.2f, NAN)));
}

/* --- softmax -------------------------------------------------------------- */

static double
softmax_value(void)
{
	for (size_t r = 0; r < ROWS; r++)
		double_softmax(N, X.d + r * N, 1, NULL, Y + r * N);
	return sum_of_products(Y, DY.d, X.n);
}

static void
run_softmax(float *y, bool add)
{
	(void)add;
	memcpy(y, X.f, X.n * sizeof(*y));
	kernel_softmax(ROWS, (int64_t)N, y, y);
}

static void
run_softmax_back(float *dx, bool add)
{
	kernel_softmax_back(ROWS, (int64_t)N, REF, DY.f, add, dx);
}

static void
check_softmax(size_t rows, size_t n)
{
	begin(rows, n);
	for (size_t i = 0; i < X.n; i++)
		X.d[i] = X.f[i] = 4 * X.f[i];
	(void)softmax_value();
	for (size_t r = 0; r < rows; r++)
		double_softmax_back(n, Y + r * n, DY.d + r * n, 1, false,
		    DX + r * n);
	if (X.n < 500)
		check_slopes("dx", X.d, X.n, DX, softmax_value);
	(void)softmax_value();
	REF = xcalloc(X.n, sizeof(*REF));
	for (size_t i = 0; i < X.n; i++)
		REF[i] = (float)Y[i];
	check_float("y", Y, X.n, 4 * EPS, false, run_softmax);
	check_float("dx", DX, X.n, 4 * EPS, true, run_softmax_back);
	free(REF);
	end();
}

T_CASE(softmax_over_rows)
{
	check_softmax(5, 13);
	check_softmax(3, 1);
	check_softmax(400, 130);
}

T_CASE(softmax_of_large_numbers)
{
	float y[3] = { 1e30f, -INFINITY, 1e30f };

	kernel_softmax(1, 3, y, y);
	t_check(y[0] == 0.5f && y[1] == 0 && y[2] == 0.5f);
	float z[9] = { 1, 2, 3, 4, NAN, 6, 7, 8, 9 };
	kernel_softmax(1, 9, z, z);
	for (int i = 0; i < 9; i++)
		t_check(isnan(z[i]));
}

/* --- layer norm ----------------------------------------------------------- */

static double *MEAN, *INV;
static float *PARTS;
static struct kernel_lnorm LN;
static const double *WD, *BD;

static double
lnorm_value(void)
{
	for (size_t r = 0; r < ROWS; r++)
		double_lnorm(N, LN.eps, WD, BD, X.d + r * N, MEAN + r,
		    INV + r, Y + r * N);
	return sum_of_products(Y, DY.d, X.n);
}

static void
run_lnorm(float *y, bool add)
{
	(void)add;
	kernel_lnorm(&LN, ROWS, X.f, y);
}

static void
run_lnorm_dx(float *dx, bool add)
{
	struct both w = both(2 * N, 5);

	kernel_lnorm(&LN, ROWS, X.f, REF);
	if (!add) {
		/* In the place of dy. */
		memcpy(dx, DY.f, X.n * sizeof(*dx));
		kernel_lnorm_back(&LN, ROWS, X.f, dx, false, dx, false, w.f,
		    false, w.f + N, PARTS);
	} else {
		kernel_lnorm_back(&LN, ROWS, X.f, DY.f, true, dx, false, NULL,
		    false, NULL, NULL);
	}
	both_free(&w);
}

static void
run_lnorm_dw(float *dw, bool add)
{
	kernel_lnorm(&LN, ROWS, X.f, REF);
	kernel_lnorm_back(&LN, ROWS, X.f, DY.f, false, NULL, add, dw, false,
	    NULL, PARTS);
}

static void
run_lnorm_db(float *db, bool add)
{
	kernel_lnorm(&LN, ROWS, X.f, REF);
	kernel_lnorm_back(&LN, ROWS, X.f, DY.f, false, NULL, false, NULL, add,
	    db, PARTS);
}

static void
check_lnorm(size_t rows, size_t n, bool affine)
{
	begin(rows, n);
	struct both kept = both(2 * rows, 6);
	MEAN = kept.d;
	INV = kept.d + rows;
	REF = xcalloc(X.n, sizeof(*REF));
	PARTS = xcalloc(kernel_lnorm_scratch((int64_t)n), sizeof(*PARTS));
	LN = (struct kernel_lnorm){ .n = (int64_t)n, .eps = 1e-3f,
		.weight = affine ? WEIGHT.f : NULL,
		.bias = affine ? BIAS.f : NULL, .mean = kept.f,
		.inv = kept.f + rows };
	WD = affine ? WEIGHT.d : NULL;
	BD = affine ? BIAS.d : NULL;
	(void)lnorm_value();
	for (size_t r = 0; r < rows; r++)
		double_lnorm_back(n, WD, MEAN[r], INV[r], X.d + r * n,
		    DY.d + r * n, false, DX + r * n);
	for (size_t j = 0; j < n; j += KERNEL_REDUCE)
		double_lnorm_sums(n, RK_MIN(n - j, KERNEL_REDUCE), rows, MEAN,
		    INV, X.d + j, DY.d + j, false, DW + j, false, DB + j);
	if (X.n < 500) {
		check_slopes("dx", X.d, X.n, DX, lnorm_value);
		if (affine) {
			check_slopes("dw", WEIGHT.d, n, DW, lnorm_value);
			check_slopes("db", BIAS.d, n, DB, lnorm_value);
		}
	}
	(void)lnorm_value();
	/* z is up to 3, and 1/std of these numbers 2 or so. */
	check_float("y", Y, X.n, 16 * EPS, false, run_lnorm);
	check_float("dx", DX, X.n, 32 * EPS, true, run_lnorm_dx);
	check_float("dw", DW, n, 4 * EPS * sqrt((double)rows), true,
	    run_lnorm_dw);
	check_float("db", DB, n, 4 * EPS * sqrt((double)rows), true,
	    run_lnorm_db);
	/* In inference nothing is kept, and y is x. */
	struct kernel_lnorm l = LN;
	l.mean = l.inv = NULL;
	kernel_lnorm(&l, rows, X.f, X.f);
	check_near("in place", X.f, NULL, Y, X.n, 16 * EPS);
	free(REF);
	free(PARTS);
	both_free(&kept);
	end();
}

T_CASE(layer_norm_over_rows)
{
	check_lnorm(6, 13, true);
	check_lnorm(5, 8, false);
	check_lnorm(300, 200, true);
	check_lnorm(1, 1030, true);
	/* As many pieces as there may be. */
	check_lnorm(200, 5003, true);
}

/* --- batch norm ----------------------------------------------------------- */

static struct kernel_bnorm BN;
static size_t BATCH;

static double
bnorm_value(void)
{
	double rm[8] = { 0 }, rv[8] = { 0 };

	double_bnorm(&BN, BATCH, WEIGHT.d, BIAS.d, X.d, MEAN, INV, rm, rv, Y);
	return sum_of_products(Y, DY.d, X.n);
}

/* batch samples of 3 channels of n values. */
static void
check_bnorm(size_t batch, size_t n, bool paddle)
{
	float kept[6], rm[3] = { 0.5f, 0, -1 }, rv[3] = { 1, 2, 0.5f };
	double keep[6], drm[3] = { 0.5, 0, -1 }, drv[3] = { 1, 2, 0.5 };
	struct both g = both(6, 9);

	begin(batch, 3 * n);
	BATCH = batch;
	MEAN = keep;
	INV = keep + 3;
	BN = (struct kernel_bnorm){ .c = 3, .n = (int64_t)n, .eps = 1e-5f,
		.momentum = paddle ? 0.9f : 0.1f, .weight = WEIGHT.f,
		.bias = BIAS.f, .run_mean = rm, .run_var = rv, .mean = kept,
		.inv = kept + 3, .paddle = paddle };
	double_bnorm(&BN, batch, WEIGHT.d, BIAS.d, X.d, MEAN, INV, drm, drv,
	    Y);
	double_bnorm_back(&BN, batch, WEIGHT.d, MEAN, INV, X.d, DY.d, false,
	    DX, DW, DB);
	check_slopes("dx", X.d, X.n, DX, bnorm_value);
	check_slopes("dw", WEIGHT.d, 3, DW, bnorm_value);
	check_slopes("db", BIAS.d, 3, DB, bnorm_value);
	(void)bnorm_value();
	float *y = xcalloc(X.n, sizeof(*y));
	kernel_bnorm(&BN, (int64_t)batch, true, X.f, y);
	check_near("y", y, NULL, Y, X.n, 16 * EPS);
	check_near("running mean", rm, NULL, drm, 3, 2 * EPS);
	check_near("running variance", rv, NULL, drv, 3, 2 * EPS);
	kernel_bnorm_back(&BN, (int64_t)batch, X.f, DY.f, false, y, false, g.f,
	    false, g.f + 3);
	check_near("dx", y, NULL, DX, X.n, 32 * EPS);
	check_near("dw", g.f, NULL, DW, 3, 32 * EPS);
	check_near("db", g.f + 3, NULL, DB, 3, 32 * EPS);
	free(y);
	both_free(&g);
	end();
}

T_CASE(batch_norm_in_both_conventions)
{
	for (int paddle = 0; paddle < 2; paddle++) {
		check_bnorm(7, 1, paddle);
		check_bnorm(4, 6, paddle);
	}
}

/* x = 1, 3: mean 2, biased variance 1, unbiased 2. */
T_CASE(running_statistics_by_hand)
{
	const float x[] = { 1, 3 }, one = 1, zero = 0;
	float rm = 10, rv = 10, mean, inv, y[2];
	struct kernel_bnorm b = { .c = 1, .n = 1, .eps = 1e-5f,
		.momentum = 0.1f, .weight = &one, .bias = &zero,
		.run_mean = &rm, .run_var = &rv, .mean = &mean, .inv = &inv };

	kernel_bnorm(&b, 2, true, x, y);
	t_near(rm, 9.2, 1e-6);          /* 10 + 0.1 (2 - 10) */
	t_near(rv, 9.2, 1e-6);          /* 10 + 0.1 (2 - 10) */
	rm = rv = 10;
	b.momentum = 0.9f;
	b.paddle = true;
	kernel_bnorm(&b, 2, true, x, y);
	t_near(rm, 9.2, 1e-6);          /* 0.9 * 10 + 0.1 * 2 */
	t_near(rv, 9.1, 1e-6);          /* 0.9 * 10 + 0.1 * 1 */
}

/* --- dropout -------------------------------------------------------------- */

T_CASE(parts_of_a_batch_draw_what_the_whole_draws)
{
	enum { ALL = 50000, FIRST = 17003 };
	struct kernel_drop d = { .p = 0.3f, .seed = 5, .a = 6, .b = 7 };
	struct both x = both(ALL, 1), whole = both(ALL, 2);
	struct both parts = both(ALL, 3);

	kernel_drop(&d, x.f, false, whole.f, ALL);
	kernel_drop(&d, x.f, false, parts.f, FIRST);
	d.from = FIRST;
	kernel_drop(&d, x.f + FIRST, false, parts.f + FIRST, ALL - FIRST);
	t_check(memcmp(whole.f, parts.f, ALL * sizeof(float)) == 0);
	kernel_dropout(x.f, parts.f, false, ALL, 0.3f, 5, 6, 7);
	t_check(memcmp(whole.f, parts.f, ALL * sizeof(float)) == 0);
	both_free(&x);
	both_free(&whole);
	both_free(&parts);
}

T_CASE(dropout_scales_in_training_or_in_inference)
{
	enum { ALL = 3000 };
	struct kernel_drop d = { .p = 0.25f, .seed = 5, .a = 6, .b = 7 };
	float up[ALL], down[ALL], x[ALL];
	int kept = 0;

	kernel_fill(x, 2, ALL);
	kernel_drop(&d, x, false, up, ALL);
	d.downscale_in_infer = true;
	kernel_drop(&d, x, false, down, ALL);
	for (int i = 0; i < ALL; i++) {
		t_check(down[i] == 0 || down[i] == 2);
		t_near(up[i], down[i] / 0.75, EPS);
		kept += down[i] != 0;
	}
	/* 2250 of 3000, 24 standard deviation. */
	t_near(kept, 2250, 120);
	kernel_drop(&d, x, true, down, ALL);
	kernel_scaled(x, 1 - d.p, false, x, ALL);
	for (int i = 0; i < ALL; i++)
		t_check(x[i] == 1.5f && (down[i] == 0 || down[i] == 4));
	kernel_scaled(x, 2, true, x, ALL);
	t_check(x[0] == 4.5f && x[ALL - 1] == 4.5f);
}

T_MAIN
