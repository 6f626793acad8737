/*
 * The matrix product against sums in double.
 *
 * An entry is a sum of K products of numbers in [-1, 1]; in float its error is
 * at most K^1.5 * 2^-24 or so for random signs (K products, partial sums of
 * size sqrt(K)), 4e-4 for K = 300.  TOL is a quarter of that times K^1.5.
 */
#include <float.h>

#include "micro.h"
#include "t.h"
#include "team.h"

#define TOL(K) (1e-6 + 2e-8 * (double)(K) * sqrt((double)(K)))

static float *
numbers(size_t n, uint32_t stream)
{
	float *v = kernel_alloc(n * sizeof(*v));

	t_check(v != NULL);
	rk_fill_unit(v, n, 1, stream, 0, 0);
	for (size_t i = 0; i < n; i++)
		v[i] = 2 * v[i] - 1;
	return v;
}

static void
check(bool ta, bool tb, int64_t M, int64_t N, int64_t K, float beta)
{
	const int64_t lda = (ta ? M : K) + 3, ldb = (tb ? K : N) + 1;
	const int64_t ldc = N + 2;
	const size_t na = (size_t)((ta ? K : M) * lda);
	const size_t nb = (size_t)((tb ? N : K) * ldb), nc = (size_t)(M * ldc);
	float *A = numbers(na, 1), *B = numbers(nb, 2), *C = numbers(nc, 3);
	float *was = numbers(nc, 3);

	kernel_sgemm(ta, tb, M, N, K, A, lda, B, ldb, beta, C, ldc);
	for (int64_t i = 0; i < M; i++)
		for (int64_t j = 0; j < ldc; j++) {
			double s = beta * (double)was[i * ldc + j];
			for (int64_t k = 0; k < K && j < N; k++)
				s += (double)A[ta ? k * lda + i : i * lda + k] *
				    B[tb ? j * ldb + k : k * ldb + j];
			/* What lies between the rows of C is left alone. */
			if (j >= N)
				s = was[i * ldc + j];
			t_near(C[i * ldc + j], s, TOL(K));
		}
	kernel_free(A, na * 4);
	kernel_free(B, nb * 4);
	kernel_free(C, nc * 4);
	kernel_free(was, nc * 4);
}

static void
check_shapes(void)
{
	static const int64_t shapes[][3] = {
		{ 1, 1, 1 }, { 3, 5, 7 }, { 64, 10, 256 }, { 10, 256, 64 },
		{ 64, 256, 10 }, { 64, 256, 784 }, { 256, 784, 64 },
		{ 1, 300, 300 }, { 300, 1, 300 }, { 129, 257, 65 },
		{ 6, 784, 25 }, { 500, 400, 33 },
	};

	t_check(kernel_init(2) == RK_OK);
	for (size_t i = 0; i < RK_ARRAY_LEN(shapes); i++)
		for (int f = 0; f < 4; f++)
			check(f & 1, f & 2, shapes[i][0], shapes[i][1],
			    shapes[i][2], (float)((i + (size_t)f / 2) % 2));
	kernel_fini();
}

T_CASE(products_agree_with_sums_in_double)
{
	check_shapes();
}

T_CASE(products_of_our_own_for_any_cpu_agree_too)
{
	setenv("REKINDLE_GEMM", "own", 1);
	setenv("REKINDLE_SIMD", "plain", 1);
	t_has(kernel_backend(), "own kernels (plain)");
	check_shapes();
}

T_CASE(products_by_openblas_agree_too)
{
	setenv("REKINDLE_GEMM", "openblas", 1);
	t_has(kernel_backend(), "OpenBLAS");
	check_shapes();
}

T_CASE(products_by_onednn_agree_too)
{
	setenv("REKINDLE_GEMM", "onednn", 1);
	t_has(kernel_backend(), "oneDNN");
	check_shapes();
}

/* A fact of kernel_arithmetic(); the caller's to free. */
static char *
fact(const char *key)
{
	struct kernel_fact v[KERNEL_FACTS];
	const size_t n = kernel_arithmetic(v);
	char *found = NULL;

	for (size_t i = 0; i < n; i++) {
		t_check(v[i].value[0] != '\0');
		if (strcmp(v[i].key, key) == 0)
			found = xstrdup(v[i].value);
	}
	t_check(found != NULL);
	return found;
}

T_CASE(the_arithmetic_names_the_library_and_what_it_computes_for)
{
	char *gemm = fact("gemm"), *isa = fact("gemm_isa");
	char *libm = fact("libm"), *compiler = fact("compiler");

	if (kernel_gemm_way() == KERNEL_MM_OWN) {
		t_eq_str(gemm, "own 1");
		t_eq_str(isa, "fma");
		t_has(kernel_backend(), "own kernels (");
	} else {
		t_has(gemm, "OpenBLAS 0.");
	}
	t_check(strstr(isa, "isa 0x") == NULL);
	t_has(libm, "glibc 2.");
	t_check(strstr(compiler, "gcc ") || strstr(compiler, "clang "));
	free(gemm);
	free(isa);
	free(libm);
	free(compiler);
}

T_CASE(what_the_environment_chooses_is_in_the_arithmetic)
{
	setenv("REKINDLE_GEMM", "openblas", 1);
	setenv("REKINDLE_SIMD", "plain", 1);
	setenv("DNNL_MAX_CPU_ISA", "SSE41", 1);
	char *gemm = fact("gemm"), *core = fact("gemm_isa");
	char *loops = fact("loops");

	t_has(gemm, "OpenBLAS 0.");
	t_has(kernel_backend(), gemm);
	t_has(kernel_backend(), core);
	t_eq_str(loops, "plain");
	free(gemm);
	free(core);
	free(loops);
}

T_CASE(less_of_the_cpu_is_another_arithmetic)
{
	setenv("REKINDLE_GEMM", "onednn", 1);
	setenv("DNNL_MAX_CPU_ISA", "SSE41", 1);
	char *gemm = fact("gemm"), *isa = fact("gemm_isa");

	t_has(gemm, "oneDNN ");
	t_eq_str(isa, "sse41");
	free(gemm);
	free(isa);
}

/* A job that moves between such CPUs goes on exactly. */
T_CASE(avx2_and_avx512_are_one_arithmetic)
{
	setenv("REKINDLE_GEMM", "own", 1);
	setenv("REKINDLE_SIMD", "avx2", 1);
	char *isa = fact("gemm_isa"), *loops = fact("loops");

	t_eq_str(isa, kernel_micro() == kernel_micro_plain ? "plain" : "fma");
	t_eq_str(isa, strcmp(loops, "plain") == 0 ? "plain" : "fma");
	free(isa);
	free(loops);
}

T_CASE(products_without_a_team_agree_too)
{
	check(false, true, 64, 256, 100, 0);
	check(true, false, 64, 256, 100, 1);
}

T_CASE(linear_adds_the_bias_and_cuts_below_zero)
{
	static const int64_t shapes[][3] = {
		{ 64, 256, 784 }, { 5, 10, 3 }, { 64, 10, 256 }, { 33, 77, 9 }
	};

	t_check(kernel_init(2) == RK_OK);
	for (size_t s = 0; s < RK_ARRAY_LEN(shapes); s++)
	for (int f = 0; f < 4; f++) {
		const int64_t M = shapes[s][0], N = shapes[s][1];
		const int64_t K = shapes[s][2];
		float *x = numbers((size_t)(M * K), 1);
		float *w = numbers((size_t)(N * K), 2);
		float *b = numbers((size_t)N, 3);
		float *y = numbers((size_t)(M * N), 4);
		kernel_linear(M, N, K, x, w, f & 1 ? b : NULL, f & 2, y);
		for (int64_t i = 0; i < M; i++)
			for (int64_t j = 0; j < N; j++) {
				double v = f & 1 ? b[j] : 0;
				for (int64_t k = 0; k < K; k++)
					v += (double)x[i * K + k] *
					    w[j * K + k];
				if (f & 2 && v < 0)
					v = 0;
				t_near(y[i * N + j], v, TOL(K));
			}
		kernel_free(x, (size_t)(M * K) * 4);
		kernel_free(w, (size_t)(N * K) * 4);
		kernel_free(b, (size_t)N * 4);
		kernel_free(y, (size_t)(M * N) * 4);
	}
	kernel_fini();
}

/* Products of the shapes of training, each with the team's number of threads;
 * the bits must be those of one thread. */
static void
same_bits(void)
{
	static const int64_t shapes[][3] = {
		{ 64, 256, 784 }, { 256, 784, 64 }, { 64, 10, 256 },
		{ 10, 256, 64 }, { 64, 256, 10 }, { 17, 256, 784 },
		{ 64, 2560, 784 }, { 2560, 784, 64 }, { 512, 512, 512 },
	};

	for (size_t s = 0; s < RK_ARRAY_LEN(shapes); s++)
	for (int f = 0; f < 4; f++) {
		const int64_t M = shapes[s][0], N = shapes[s][1];
		const int64_t K = shapes[s][2];
		float *A = numbers((size_t)(M * K), 1);
		float *B = numbers((size_t)(N * K), 2);
		float *C[4];
		for (int threads = 1; threads <= 4; threads++) {
			t_check(kernel_init(threads) == RK_OK);
			C[threads - 1] = kernel_alloc((size_t)(M * N) * 4);
			kernel_sgemm(f & 1, f & 2, M, N, K, A, f & 1 ? M : K,
			    B, f & 2 ? K : N, 0, C[threads - 1], N);
			kernel_fini();
			t_check(memcmp(C[0], C[threads - 1],
			    (size_t)(M * N) * 4) == 0);
		}
		for (int k = 0; k < 4; k++)
			kernel_free(C[k], (size_t)(M * N) * 4);
		kernel_free(A, (size_t)(M * K) * 4);
		kernel_free(B, (size_t)(N * K) * 4);
	}
}

T_CASE(the_bits_do_not_depend_on_the_threads)
{
	same_bits();
}

T_CASE(the_bits_of_openblas_do_not_depend_on_the_threads)
{
	setenv("REKINDLE_GEMM", "openblas", 1);
	same_bits();
}

T_MAIN
