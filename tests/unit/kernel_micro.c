/*
 * The micro-kernel against sums in double, for each kind of CPU that this one
 * can be: edges of tiles, all three kinds of A, and the promise that what is
 * computed together does not decide the bits.
 */
#include "micro.h"
#include "t.h"

/* As in kernel_gemm.c: a quarter of the largest error for random signs. */
#define TOL(K) (1e-6 + 2e-8 * (double)(K) * sqrt((double)(K)))
#define MOST 300

static float a[MOST * MOST], b[MOST * MOST], out[MOST * MOST], was[MOST * MOST];
static float strips[MOST * MOST], panels[MOST * MOST];

static void
fill(float *v, uint32_t stream)
{
	rk_fill_unit(v, MOST * MOST, 1, stream, 0, 0);
	for (size_t i = 0; i < MOST * MOST; i++)
		v[i] = 2 * v[i] - 1;
}

/* C[m,n] by fn into out, whose rows are n + 3 long; B in panels made from rows
 * of B or of its transpose. */
static void
product(micro_fn *fn, enum micro_a kind, bool tb, int64_t m, int64_t n,
    int64_t K, bool add)
{
	struct micro p = { .m = m, .n = n, .K = K, .kind = kind, .A = a,
		.lda = (kind == MICRO_COLUMNS ? m : K) + 1, .B = panels,
		.ldb = K * MICRO_N + 8, .add = add, .C = out, .ldc = n + 3 };

	for (int64_t j = 0; j < n; j += MICRO_N)
		kernel_micro_panels(tb, K, RK_MIN(n - j, MICRO_N),
		    b + (tb ? j * K : j), tb ? K : n,
		    panels + j / MICRO_N * p.ldb);
	if (kind == MICRO_PACKED) {
		kernel_micro_strips(false, m, K, a, K + 1, strips);
		p.A = strips;
		p.lda = K * MICRO_M;
	}
	memcpy(out, was, sizeof(out));
	fn(&p);
}

static void
check(micro_fn *fn, enum micro_a kind, bool tb, int64_t m, int64_t n,
    int64_t K, bool add)
{
	const int64_t lda = (kind == MICRO_COLUMNS ? m : K) + 1;

	product(fn, kind, tb, m, n, K, add);
	for (int64_t i = 0; i < m; i++)
		for (int64_t j = 0; j < n + 3; j++) {
			const size_t at = (size_t)(i * (n + 3) + j);
			double s = add || j >= n ? was[at] : 0;
			for (int64_t k = 0; k < K && j < n; k++)
				s += (double)a[kind == MICRO_COLUMNS ?
				    k * lda + i : i * lda + k] *
				    b[tb ? j * K + k : k * n + j];
			if (j < n)
				t_near(out[at], s, TOL(K));
			else
				t_check(out[at] == was[at]);
		}
}

static void
all_shapes(micro_fn *fn)
{
	static const int64_t rows[] = { 1, 2, 5, 6, 7, 11, 12, 13, 23, 67 };
	static const int64_t widths[] = { 1, 7, 15, 16, 17, 32, 33, 48, 53 };
	static const int64_t depths[] = { 0, 1, 2, 31, 64 };
	int f = 0;

	fill(a, 1);
	fill(b, 2);
	fill(was, 3);
	for (size_t i = 0; i < RK_ARRAY_LEN(rows); i++)
	for (size_t j = 0; j < RK_ARRAY_LEN(widths); j++)
	for (size_t k = 0; k < RK_ARRAY_LEN(depths); k++)
	for (int kind = 0; kind < 3; kind++, f++)
		check(fn, (enum micro_a)kind, f & 1, rows[i], widths[j],
		    depths[k], f & 2);
}

T_CASE(products_for_any_cpu_agree_with_sums_in_double)
{
	all_shapes(kernel_micro_plain);
}

T_CASE(products_of_this_cpu_agree_with_sums_in_double)
{
	all_shapes(kernel_micro());
}

T_CASE(less_of_the_cpu_may_be_asked_for)
{
	setenv("REKINDLE_SIMD", "plain", 1);
	t_check(kernel_micro() == kernel_micro_plain);
	t_eq_str(kernel_micro_word(), "plain");
}

/* Where there is AVX-512 to compare with. */
T_CASE(the_bits_of_avx2_and_of_avx512_are_the_same)
{
	static float first[MOST * MOST];
	micro_fn *widest = kernel_micro();

	if (widest != kernel_micro_avx512)
		return;
	fill(a, 1);
	fill(b, 2);
	fill(was, 3);
	for (int64_t m = 1; m <= 30; m++)
	for (int kind = 0; kind < 3; kind++) {
		const int64_t n = 1 + (m * 37) % 70;
		product(kernel_micro_avx2, (enum micro_a)kind, false, m, n, 99,
		    m & 1);
		memcpy(first, out, sizeof(out));
		product(widest, (enum micro_a)kind, false, m, n, 99, m & 1);
		t_check(memcmp(first, out, sizeof(out)) == 0);
	}
}

/* A row alone, and the row among others, in whatever form A comes. */
T_CASE(the_bits_of_a_row_do_not_depend_on_its_neighbours)
{
	static float one[MOST];
	const int64_t m = 29, n = 37, K = 101;

	fill(a, 1);
	fill(b, 2);
	fill(was, 3);
	product(kernel_micro(), MICRO_ROWS, false, m, n, K, false);
	for (int64_t i = 0; i < m; i++) {
		struct micro p = { .m = 1, .n = n, .K = K, .kind = MICRO_ROWS,
			.A = a + i * (K + 1), .lda = K + 1, .B = panels,
			.ldb = K * MICRO_N + 8, .C = one, .ldc = n };
		kernel_micro()(&p);
		t_check(memcmp(one, out + i * (n + 3), (size_t)n * 4) == 0);
	}
	memcpy(one, out, sizeof(one));
	product(kernel_micro(), MICRO_PACKED, false, m, n, K, false);
	t_check(memcmp(one, out, sizeof(one)) == 0);
}

T_MAIN
