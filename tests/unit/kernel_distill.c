/* Distillation: gradients are slopes in double, the product agrees in float,
 * and so do numbers of PyTorch. */
#include "kernel_double.h"

enum { ROWS = 7, OURS = 6, THEIRS = 5, PAIRS = 4 };

/* The ancestor has a class that is gone, the network two that are new. */
static const int32_t ours[PAIRS] = { 0, 2, 3, 5 };
static const int32_t theirs[PAIRS] = { 4, 0, 1, 3 };

static struct kernel_distill L;
static struct both Z, A;
static double SCRATCH[ROWS];

static double
value(void)
{
	double sum = 0;

	for (size_t r = 0; r < ROWS; r++)
		if (L.left_out == NULL || !L.left_out[r])
			sum += double_distill(&L, Z.d + r * OURS,
			    A.d + r * THEIRS, 1, NULL);
	return sum;
}

static double
product(float *dz)
{
	return kernel_distill(&L, ROWS, Z.f, A.f, dz, SCRATCH);
}

static void
run(float *dz, bool add)
{
	if (!add)
		memset(dz, 0, ROWS * OURS * sizeof(*dz));
	(void)product(dz);
}

static void
check(struct kernel_distill l)
{
	double dz[ROWS * OURS] = { 0 };

	L = l;
	L.n = OURS;
	L.m = THEIRS;
	L.ours = ours;
	L.theirs = theirs;
	L.pairs = PAIRS;
	for (size_t r = 0; r < ROWS; r++)
		if (L.left_out == NULL || !L.left_out[r])
			(void)double_distill(&L, Z.d + r * OURS,
			    A.d + r * THEIRS, 1, dz + r * OURS);
	check_slopes("dz", Z.d, Z.n, dz, value);
	const double by = L.weight / (L.norm > 0 ? L.norm : ROWS);
	for (size_t i = 0; i < Z.n; i++)
		dz[i] *= by;
	check_float("dz", dz, Z.n, 8 * EPS, true, run);
	t_near(product(NULL), value(), 64 * EPS * ROWS);
}

T_CASE(distillation_has_the_slopes_of_its_formula)
{
	static const uint8_t out[ROWS] = { 0, 1, 0, 0, 1, 0, 0 };

	Z = both(ROWS * OURS, 1);
	A = both(ROWS * THEIRS, 2);
	for (size_t i = 0; i < Z.n; i++)
		Z.d[i] = Z.f[i] = 3 * Z.f[i];
	for (size_t i = 0; i < A.n; i++)
		A.d[i] = A.f[i] = 3 * A.f[i];
	for (int binary = 0; binary < 2; binary++) {
		check((struct kernel_distill){ .binary = binary,
		    .temperature = 1, .weight = 1 });
		check((struct kernel_distill){ .binary = binary,
		    .temperature = 2.5, .weight = 0.3, .norm = 11 });
		check((struct kernel_distill){ .binary = binary,
		    .temperature = 2, .weight = 0.5, .left_out = out });
	}
	both_free(&Z);
	both_free(&A);
}

/*
 * torch.nn.functional.kl_div(log_softmax(z / 2, 1), softmax(a / 2, 1),
 * reduction="batchmean") * 4 and z.grad, in double; for binary the same of two
 * chances a label, with the mean over the labels.
 */
T_CASE(distillation_agrees_with_kl_div_of_pytorch)
{
	static const float z[] = { 1, -0.5f, 2, 0, 0.25f, -1 };
	static const float a[] = { 0.5f, 1.5f, -1, 2, 0, -2 };
	static const double classes[] = { 0, -0.376905356, 0.376905356,
		-0.300234705, 0.168877797, 0.131356909 };
	static const double binary[] = { 0.0200942768, -0.0804517334, 0.117839303,
		-0.0770195262, 0.0104031245, 0.0361997491 };
	static const int32_t same[] = { 0, 1, 2 };
	struct kernel_distill l = { .n = 3, .m = 3, .ours = same,
		.theirs = same, .pairs = 3, .temperature = 2, .weight = 1 };
	double scratch[2];
	float dz[6] = { 0 };

	t_near(kernel_distill(&l, 2, z, a, dz, scratch) / 2, 1.32200228517, 1e-7);
	for (size_t i = 0; i < 6; i++)
		t_near(dz[i], classes[i], 2 * EPS);
	memset(dz, 0, sizeof(dz));
	l.binary = true;
	t_near(kernel_distill(&l, 2, z, a, dz, scratch) / 2, 0.358636509711, 1e-7);
	for (size_t i = 0; i < 6; i++)
		t_near(dz[i], binary[i], 2 * EPS);
}

/* No chance on one side, none at all on the other. */
T_CASE(infinite_logits_of_the_ancestor_are_no_chance)
{
	static const float z[] = { 0, 0, 1 }, a[] = { 0, -INFINITY, 0 };
	static const int32_t same[] = { 0, 1, 2 };
	struct kernel_distill l = { .n = 3, .m = 3, .ours = same,
		.theirs = same, .pairs = 3, .temperature = 1, .weight = 1 };
	double scratch[1];
	float dz[3] = { 0 };

	t_check(isfinite(kernel_distill(&l, 1, z, a, dz, scratch)));
	for (size_t i = 0; i < 3; i++)
		t_check(isfinite(dz[i]));
	l.binary = true;
	t_check(isfinite(kernel_distill(&l, 1, z, a, dz, scratch)));
}

/* More rows than a piece has, and each row its own. */
T_CASE(distillation_over_several_pieces)
{
	enum { MANY = 700, N = 3 };
	static const int32_t same[] = { 0, 1, 2 };
	struct both z = both(MANY * N, 3), a = both(MANY * N, 4);
	struct kernel_distill l = { .n = N, .m = N, .ours = same,
		.theirs = same, .pairs = N, .temperature = 2, .weight = 1 };
	double *scratch = xcalloc(MANY, sizeof(*scratch)), want = 0;

	for (size_t r = 0; r < MANY; r++)
		want += double_distill(&l, z.d + r * N, a.d + r * N, 1, NULL);
	for (int threads = 1; threads <= 4; threads++) {
		t_check(kernel_init(threads) == RK_OK);
		const double got = kernel_distill(&l, MANY, z.f, a.f, NULL,
		    scratch);
		kernel_fini();
		t_near(got, want, MANY * EPS);
		want = got;
	}
	free(scratch);
	both_free(&z);
	both_free(&a);
}

T_MAIN
