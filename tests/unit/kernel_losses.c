/* Losses: gradients are slopes in double, and the product agrees in float. */
#include "kernel_double.h"

static struct kernel_loss L;
static struct both Z, SOFT, WEIGHT;
static int32_t *LABEL;
static double *DZ, *SCRATCH;
static size_t ROWS, N;
static bool WITH_SOFT;

static double
value(void)
{
	double sum = 0;
	bool right;

	for (size_t r = 0; r < ROWS; r++)
		if (!L.ignoring || LABEL[r] != L.ignore)
			sum += double_loss(&L, Z.d + r * N,
			    WITH_SOFT ? SOFT.d + r * N : NULL, LABEL[r], 1,
			    false, NULL, &right);
	return sum;
}

static double
product_value(float *dz, bool add)
{
	int64_t right;

	return kernel_loss(&L, ROWS, Z.f, WITH_SOFT ? SOFT.f : NULL, LABEL,
	    add, dz, SCRATCH, &right);
}

static void
run_loss(float *dz, bool add)
{
	(void)product_value(dz, add);
}

/* Soft labels are chances that sum to 1; other targets are like logits. */
static void
begin(size_t rows, size_t n, bool chances)
{
	ROWS = rows;
	N = n;
	Z = both(rows * n, 1);
	SOFT = both(rows * n, 2);
	WEIGHT = both(n, 3);
	LABEL = xcalloc(rows, sizeof(*LABEL));
	DZ = xcalloc(rows * n, sizeof(*DZ));
	SCRATCH = xcalloc(2 * rows, sizeof(*SCRATCH));
	for (size_t i = 0; i < n; i++)
		WEIGHT.d[i] = WEIGHT.f[i] = WEIGHT.f[i] + 1.5f;
	for (size_t r = 0; r < rows; r++)
		LABEL[r] = (int32_t)(r * 7 % n);
	for (size_t i = 0; i < rows * n; i++) {
		Z.d[i] = Z.f[i] = 3 * Z.f[i];
		if (chances)
			SOFT.d[i] = SOFT.f[i] = (SOFT.f[i] + 1) / (float)n;
	}
}

static void
end(void)
{
	both_free(&Z);
	both_free(&SOFT);
	both_free(&WEIGHT);
	free(LABEL);
	free(DZ);
	free(SCRATCH);
}

static void
check_loss(struct kernel_loss l, bool soft, double norm)
{
	L = l;
	L.n = (int64_t)N;
	L.norm = norm;
	WITH_SOFT = soft;
	for (size_t r = 0; r < ROWS; r++) {
		bool right, out = L.ignoring && LABEL[r] == L.ignore;
		memset(DZ + r * N, 0, N * sizeof(*DZ));
		if (!out)
			(void)double_loss(&L, Z.d + r * N,
			    soft ? SOFT.d + r * N : NULL, LABEL[r], 1, false,
			    DZ + r * N, &right);
	}
	check_slopes("dz", Z.d, Z.n, DZ, value);
	const double by = norm > 0 ? norm : (double)ROWS;
	for (size_t i = 0; i < Z.n; i++)
		DZ[i] /= by;
	/* Logits up to 3, weights up to 2.5. */
	check_float("dz", DZ, Z.n, 8 * EPS, true, run_loss);
	t_near(product_value(NULL, false), value(),
	    16 * EPS * (double)ROWS);
}

T_CASE(cross_entropy_in_all_its_ways)
{
	begin(9, 7, true);
	for (int smooth = 0; smooth < 2; smooth++)
		for (int weighs = 0; weighs < 2; weighs++)
			for (int ignores = 0; ignores < 2; ignores++)
				check_loss((struct kernel_loss){
					.smoothing = 0.1 * smooth,
					.weight = weighs ? WEIGHT.f : NULL,
					.ignoring = ignores, .ignore = 2 },
				    false, ignores ? 12.5 : 0);
	for (int smooth = 0; smooth < 2; smooth++)
		for (int weighs = 0; weighs < 2; weighs++)
			check_loss((struct kernel_loss){
				.smoothing = 0.1 * smooth,
				.weight = weighs ? WEIGHT.f : NULL }, true, 0);
	end();
}

T_CASE(losses_against_numbers)
{
	begin(6, 5, false);
	check_loss((struct kernel_loss){ .kind = KERNEL_BINARY }, true, 0);
	check_loss((struct kernel_loss){ .kind = KERNEL_SQUARES }, true, 0);
	check_loss((struct kernel_loss){ .kind = KERNEL_L1 }, true, 11);
	check_loss((struct kernel_loss){ .kind = KERNEL_SMOOTH_L1, .beta = 1 }, true,
	    0);
	check_loss((struct kernel_loss){ .kind = KERNEL_SMOOTH_L1, .beta = 0.3 }, true,
	    11);
	check_loss((struct kernel_loss){ .kind = KERNEL_SMOOTH_L1, .beta = 0 }, true,
	    0);
	end();
}

/* Rows of class 0, which is the first of equals and so what a comparison with a NaN
 * leaves standing. */
T_CASE(a_row_that_predicts_nothing_is_not_right)
{
	static const enum kernel_loss_kind kinds[] = { KERNEL_CROSS_ENTROPY,
		KERNEL_BINARY, KERNEL_SQUARES, KERNEL_L1, KERNEL_SMOOTH_L1 };
	enum { ROWS_ = 5, N_ = 3 };
	const float nan = NAN, inf = INFINITY;
	const float z[ROWS_ * N_] = { nan, nan, nan, 2, nan, 1, inf, 0, 0,
		2, -inf, -3, 2, 0, -1 };
	const float t[ROWS_ * N_] = { 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0,
		1, 0, 0 };
	const int32_t y[ROWS_] = { 0 };
	double scratch[2 * ROWS_];
	int64_t right;

	for (size_t i = 0; i < RK_ARRAY_LEN(kinds); i++) {
		const struct kernel_loss l = { .kind = kinds[i], .n = N_,
			.beta = 1 };
		const bool binary = kinds[i] == KERNEL_BINARY;
		(void)kernel_loss(&l, ROWS_, z, t, y, false, NULL, scratch,
		    &right);
		/* Of single labels an infinite one is sure. */
		t_eq_int(right, binary ? 3 : 2);
	}
	const struct kernel_loss hard = { .n = N_ };
	(void)kernel_loss(&hard, ROWS_, z, NULL, y, false, NULL, scratch,
	    &right);
	t_eq_int(right, 2);
}

/* More rows than a piece has. */
T_CASE(a_loss_over_several_pieces)
{
	begin(90, 64, true);
	L = (struct kernel_loss){ .n = 64, .weight = WEIGHT.f,
		.smoothing = 0.2 };
	WITH_SOFT = false;
	bool right;
	for (size_t r = 0; r < ROWS; r++)
		(void)double_loss(&L, Z.d + r * N, NULL, LABEL[r], 1.0 / 90,
		    false, DZ + r * N, &right);
	check_float("dz", DZ, Z.n, EPS, true, run_loss);
	double first = 0;
	for (int threads = 1; threads <= 4; threads++) {
		t_check(kernel_init(threads) == RK_OK);
		double sum = product_value(NULL, false);
		kernel_fini();
		first = threads == 1 ? sum : first;
		t_check(sum == first);
	}
	t_near(first, value(), 1e-9);
	end();
}

/* The target of class 0 of three with 0.1 is .9333, .0333, .0333. */
T_CASE(label_smoothing_by_hand)
{
	static const float z[3] = { 0, 0, 0 };
	static const int32_t y[1] = { 0 };
	struct kernel_loss l = { .n = 3, .smoothing = 0.1 };
	double scratch[2];
	float d[3];

	t_near(kernel_loss(&l, 1, z, NULL, y, false, d, scratch, NULL), log(3),
	    1e-7);
	t_near(1.0 / 3 - (double)d[0], 0.9333333, 2 * EPS);
	t_near(1.0 / 3 - (double)d[1], 0.0333333, 2 * EPS);
}

/* Two rows, weights 1 and 3: (1 a + 3 b) / 4. */
T_CASE(a_weighted_mean_by_hand)
{
	static const float z[] = { 1, 0, 0, 2, 5, 5 }, w[] = { 1, 3 };
	static const int32_t y[] = { 0, 1, -100 };
	struct kernel_loss l = { .n = 2, .weight = w, .ignoring = true,
		.ignore = -100 };
	double scratch[6];
	int64_t right, counted;
	float d[6];

	l.norm = kernel_loss_weight(&l, 3, y, &counted);
	t_check(l.norm == 4 && counted == 2);
	double sum = kernel_loss(&l, 3, z, NULL, y, false, d, scratch, &right);
	t_check(right == 2);
	t_near(sum / l.norm, (log1p(exp(-1)) + 3 * log1p(exp(-2))) / 4, 1e-7);
	t_near(d[0], -1 / (1 + exp(1)) / 4, EPS);
	t_near(d[3], -3 / (1 + exp(2)) / 4, EPS);
	t_check(d[4] == 0 && d[5] == 0);
	/* Other classes outside are the caller's fault. */
	l.ignoring = false;
	t_aborts((void)kernel_loss_weight(&l, 3, y, NULL));
	t_aborts((void)kernel_loss(&l, 3, z, NULL, y, false, d, scratch,
	    NULL));
}

/* Whatever its class; the norm is the caller's. */
T_CASE(a_row_that_is_left_out_gives_nothing)
{
	static const float z[] = { 1, 0, 0, 2, 5, 4 }, w[] = { 1, 3 };
	static const int32_t y[] = { 0, 1, 0 };
	static const uint8_t out[] = { 0, 0, 1 };
	struct kernel_loss l = { .n = 2, .weight = w, .left_out = out };
	double scratch[6];
	int64_t right, counted;
	float d[6];

	l.norm = kernel_loss_weight(&l, 3, y, &counted);
	t_check(l.norm == 4 && counted == 2);
	double sum = kernel_loss(&l, 3, z, NULL, y, false, d, scratch, &right);
	t_check(right == 2);
	t_near(sum / l.norm, (log1p(exp(-1)) + 3 * log1p(exp(-2))) / 4, 1e-7);
	t_check(d[4] == 0 && d[5] == 0);
	l.kind = KERNEL_L1;
	l.weight = NULL;
	(void)kernel_loss(&l, 3, z, (const float[6]){ 0 }, NULL, false, d,
	    scratch, NULL);
	t_check(d[0] != 0 && d[4] == 0 && d[5] == 0);
}

T_CASE(other_losses_by_hand)
{
	static const float z[] = { 0, 100, -100, 2 };
	static const float t[] = { 0, 1, 0, 0.5f };
	struct kernel_loss l = { .kind = KERNEL_BINARY, .n = 4 };
	double scratch[2];
	int64_t right;
	float d[4];

	/* log 2 + 0 + 0 + 2 - 1 + log(1 + e^-2) */
	t_near(kernel_loss(&l, 1, z, t, NULL, false, d, scratch, &right),
	    (log(2) + 1 + log1p(exp(-2))) / 4, 1e-7);
	t_near(d[0], 0.5 / 4, EPS);
	t_check(right == 0);
	t_near(d[1], 0, 1e-40);
	t_near(d[2], 0, 1e-40);         /* e^-100 */
	l.n = 3;
	(void)kernel_loss(&l, 1, z, t, NULL, false, d, scratch, &right);
	t_check(right == 1);
	l.n = 4;
	l.kind = KERNEL_L1;
	t_near(kernel_loss(&l, 1, z, t, NULL, false, d, scratch, NULL),
	    (99 + 100 + 1.5) / 4, 1e-7);
	t_check(d[0] == 0 && d[1] == 0.25f && d[2] == -0.25f);
	l.kind = KERNEL_SMOOTH_L1;
	l.beta = 2;
	/* 99 - 1, 100 - 1, 1.5^2 / 4 */
	t_near(kernel_loss(&l, 1, z, t, NULL, false, d, scratch, NULL),
	    (98 + 99 + 0.5625) / 4, 1e-7);
	t_near(d[3], 0.75 / 4, EPS);
}

/* A step in two parts gives what it gives in one. */
T_CASE(parts_with_a_common_norm_add_up)
{
	begin(8, 5, true);
	float whole[40], parts[40];
	struct kernel_loss l = { .n = 5 };

	(void)kernel_loss(&l, 8, Z.f, NULL, LABEL, false, whole, SCRATCH,
	    NULL);
	l.norm = 8;
	(void)kernel_loss(&l, 3, Z.f, NULL, LABEL, false, parts, SCRATCH,
	    NULL);
	(void)kernel_loss(&l, 5, Z.f + 15, NULL, LABEL + 3, false, parts + 15,
	    SCRATCH, NULL);
	t_check(memcmp(whole, parts, sizeof(whole)) == 0);
	end();
}

T_MAIN
