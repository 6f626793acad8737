/*
 * Matrix products by each way, with all that may be done to the result, against
 * sums in double.  Tolerances as in kernel_gemm.c.
 */
#include <errno.h>
#include <string.h>

#include "micro.h"
#include "mm.h"
#include "t.h"
#include "team.h"

#define TOL(K) (1e-6 + 2e-8 * (double)(K) * sqrt((double)(K)))

static float *
numbers(int64_t n, uint32_t stream)
{
	float *v = kernel_alloc((size_t)RK_MAX(n, 1) * sizeof(*v));

	t_check(v != NULL);
	rk_fill_unit(v, (size_t)n, 1, stream, 0, 0);
	for (int64_t i = 0; i < n; i++)
		v[i] = 2 * v[i] - 1;
	return v;
}

/* What a product is asked for; arrays are made for it, with rows to spare. */
struct want {
	bool ta, tb, add;
	int64_t M, N, K, batch;
	bool share_a, share_b;
	float scale;
	bool bias, row_bias, before, residual;
	enum kernel_act act;
};

struct made {
	struct kernel_mm p;
	float *A, *B, *C, *was, *bias, *row_bias, *before, *residual;
	int64_t na, nb, nc;
};

static struct made
make(const struct want *w)
{
	const int64_t batch = RK_MAX(1, w->batch);
	struct made m = { .p = { .ta = w->ta, .tb = w->tb, .M = w->M,
		.N = w->N, .K = w->K, .add = w->add, .batch = w->batch,
		.scale = w->scale,
		.act = { .act = w->act, .slope = 0.125f } } };
	struct kernel_mm *p = &m.p;

	p->lda = (w->ta ? w->M : w->K) + 3;
	p->ldb = (w->tb ? w->K : w->N) + 1;
	p->ldc = w->N + 2;
	m.na = (w->ta ? w->K : w->M) * p->lda;
	m.nb = (w->tb ? w->N : w->K) * p->ldb;
	m.nc = w->M * p->ldc;
	p->stepA = w->share_a ? 0 : m.na;
	p->stepB = w->share_b ? 0 : m.nb;
	p->stepC = m.nc + 5;
	m.A = numbers(m.na * batch, 1);
	m.B = numbers(m.nb * batch, 2);
	m.C = numbers(p->stepC * batch, 3);
	m.was = numbers(p->stepC * batch, 3);
	m.bias = numbers(w->N, 4);
	m.row_bias = numbers(w->M, 5);
	m.before = numbers(p->stepC * batch, 3);
	m.residual = numbers(p->stepC * batch, 7);
	p->A = m.A;
	p->B = m.B;
	p->C = m.C;
	p->bias = w->bias ? m.bias : NULL;
	p->row_bias = w->row_bias ? m.row_bias : NULL;
	p->before = w->before ? m.before : NULL;
	p->residual = w->residual ? m.residual : NULL;
	return m;
}

static void
unmake(struct made *m)
{
	const int64_t batch = RK_MAX(1, m->p.batch);
	const int64_t nc = m->p.stepC * batch;
	float *const all[] = { m->A, m->B, m->C, m->was, m->bias, m->row_bias,
		m->before, m->residual };
	const int64_t n[] = { m->na * batch, m->nb * batch, nc, nc, m->p.N,
		m->p.M, nc, nc };

	for (size_t i = 0; i < RK_ARRAY_LEN(all); i++)
		kernel_free(all[i], (size_t)RK_MAX(n[i], 1) * sizeof(float));
}

/* Element i, j of the sum of an item. */
static double
sum_of(const struct kernel_mm *p, int64_t item, int64_t i, int64_t j)
{
	const float *A = p->A + item * p->stepA, *B = p->B + item * p->stepB;
	double s = 0;

	for (int64_t k = 0; k < p->K; k++)
		s += (double)A[p->ta ? k * p->lda + i : i * p->lda + k] *
		    B[p->tb ? j * p->ldb + k : k * p->ldb + j];
	return s;
}

static void
check_element(const struct made *m, int64_t item, int64_t i, int64_t j)
{
	const struct kernel_mm *p = &m->p;
	const int64_t at = item * p->stepC + i * p->ldc + j;
	double s = sum_of(p, item, i, j);

	if (p->scale != 0)
		s *= p->scale;
	if (p->add)
		s += m->was[at];
	if (p->bias != NULL)
		s += p->bias[j];
	if (p->row_bias != NULL)
		s += p->row_bias[i];
	if (p->before != NULL)
		t_near(p->before[at], s, TOL(p->K));
	float y = (float)s;
	kernel_activate(&p->act, &y, &y, 1);
	if (p->residual != NULL)
		y += p->residual[at];
	/* No activation has a slope above 1.13. */
	t_near(m->C[at], y, 1.2 * TOL(p->K) + 1e-6);
}

/* By `way`; every element, or every `step`th. */
static void
check(enum kernel_mm_way way, const struct want *w, int64_t step)
{
	struct made m = make(w);
	const struct kernel_mm *p = &m.p;
	const int64_t batch = RK_MAX(1, w->batch);

	kernel_mm_by(way, p);
	for (int64_t n = 0; n < batch * w->M * w->N; n += step)
		check_element(&m, n / w->N / w->M, n / w->N % w->M, n % w->N);
	/* What lies between the rows and the items is left alone. */
	for (int64_t item = 0; item < batch; item++)
		for (int64_t n = 0; n < p->stepC; n++)
			if (n >= m.nc || n % p->ldc >= p->N)
				t_check(m.C[item * p->stepC + n] ==
				    m.was[item * p->stepC + n]);
	unmake(&m);
}

static void
edges(enum kernel_mm_way way)
{
	static const int64_t sizes[] = { 1, 5, 6, 7, 15, 16, 17, 31, 33, 97 };
	const size_t n = RK_ARRAY_LEN(sizes);

	t_check(kernel_init(2) == RK_OK);
	for (size_t i = 0; i < n; i++)
	for (size_t j = 0; j < n; j++)
	for (int f = 0; f < 8; f++)
		check(way, &(struct want){ .ta = f & 1, .tb = f & 2,
		    .add = f & 4, .M = sizes[i], .N = sizes[j],
		    .K = sizes[(i + j + (size_t)f) % n] }, 1);
	kernel_fini();
}

/* Deep, wide and high ones: several blocks of K, operands that are packed for
 * all tiles, K in parts. */
static void
large(enum kernel_mm_way way)
{
	static const int64_t shapes[][3] = {
		{ 24, 7, 20000 }, { 3, 1200, 900 }, { 700, 13, 800 },
		{ 300, 500, 770 }, { 401, 600, 1201 }, { 64, 784, 256 },
		{ 1030, 17, 70 }, { 17, 1030, 400 },
	};

	t_check(kernel_init(2) == RK_OK);
	for (size_t i = 0; i < RK_ARRAY_LEN(shapes); i++)
	for (int f = 0; f < 8; f++)
		check(way, &(struct want){ .ta = f & 1, .tb = f & 2,
		    .add = f & 4, .bias = !(f & 4), .M = shapes[i][0],
		    .N = shapes[i][1], .K = shapes[i][2] }, 97);
	kernel_fini();
}

static void
ends(enum kernel_mm_way way)
{
	t_check(kernel_init(2) == RK_OK);
	for (int act = 0; act < KERNEL_ACTS; act++)
	for (int f = 0; f < 32; f++)
		check(way, &(struct want){ .ta = f & 1, .tb = f & 2,
		    .M = f % 7 < 3 ? 14 : 37, .N = 41, .K = 29, .act = (enum kernel_act)act,
		    .scale = f % 3 == 0 ? 0.25f : 0, .bias = f & 4,
		    .row_bias = f & 8, .before = f & 16, .residual = f % 5 < 2
		    }, 1);
	kernel_fini();
}

static void
batches(enum kernel_mm_way way)
{
	t_check(kernel_init(2) == RK_OK);
	for (int f = 0; f < 16; f++)
		check(way, &(struct want){ .ta = f & 1, .tb = f & 2,
		    .share_a = f & 4, .share_b = f & 8, .M = 33, .N = 130,
		    .K = 50, .batch = 5, .row_bias = f & 1, .scale = 0.5f }, 3);
	kernel_fini();
}

static void
all(enum kernel_mm_way way)
{
	edges(way);
	large(way);
	ends(way);
	batches(way);
}

T_CASE(products_of_our_own_agree_with_sums_in_double)
{
	all(KERNEL_MM_OWN);
}

T_CASE(products_of_our_own_for_any_cpu_agree_too)
{
	setenv("REKINDLE_SIMD", "plain", 1);
	all(KERNEL_MM_OWN);
}

T_CASE(products_of_our_own_for_avx2_agree_too)
{
	setenv("REKINDLE_SIMD", "avx2", 1);
	all(KERNEL_MM_OWN);
}

T_CASE(products_by_openblas_agree_too)
{
	all(KERNEL_MM_OPENBLAS);
}

T_CASE(products_by_onednn_agree_too)
{
	all(KERNEL_MM_ONEDNN);
}

T_CASE(without_a_k_the_sum_is_0)
{
	t_check(kernel_init(2) == RK_OK);
	for (int way = 0; way < KERNEL_MM_WAYS; way++)
	for (int f = 0; f < 4; f++)
		check((enum kernel_mm_way)way, &(struct want){ .ta = f & 1,
		    .add = f & 2, .bias = !(f & 2), .M = 9, .N = 20 }, 1);
	/* And without rows or columns there is nothing to do. */
	kernel_mm(&(struct kernel_mm){ .N = 3, .K = 4, .lda = 4, .ldb = 3,
	    .ldc = 3 });
	kernel_mm(&(struct kernel_mm){ .M = 3, .K = 4, .lda = 4 });
	kernel_fini();
}

T_CASE(a_product_that_is_added_has_no_end)
{
	struct made m = make(&(struct want){ .M = 2, .N = 2, .K = 2,
	    .add = true, .bias = true });

	t_aborts(kernel_mm(&m.p));
	unmake(&m);
}

static const struct want of_training[] = {
	{ .tb = true, .M = 64, .N = 256, .K = 784, .bias = true,
	    .act = KERNEL_RELU },
	{ .ta = true, .M = 256, .N = 784, .K = 64 },
	{ .tb = true, .M = 64, .N = 10, .K = 256, .bias = true },
	{ .ta = true, .M = 10, .N = 256, .K = 64, .add = true },
	{ .M = 64, .N = 256, .K = 10 },
	{ .ta = true, .M = 24, .N = 16, .K = 9000, .add = true },
	{ .ta = true, .M = 384, .N = 500, .K = 1100 },
	{ .tb = true, .M = 500, .N = 700, .K = 384, .bias = true,
	    .act = KERNEL_GELU, .before = true },
	{ .M = 64, .N = 400, .K = 100, .batch = 6, .share_a = true },
};

static void
same_bits(enum kernel_mm_way way)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(of_training); i++) {
		struct made one = make(&of_training[i]);
		const size_t n = (size_t)(one.p.stepC *
		    RK_MAX(1, one.p.batch)) * sizeof(float);
		for (int threads = 1; threads <= 4; threads++) {
			struct made m = make(&of_training[i]);
			t_check(kernel_init(threads) == RK_OK);
			kernel_mm_by(way, threads == 1 ? &one.p : &m.p);
			kernel_fini();
			if (threads > 1)
				t_check(memcmp(one.C, m.C, n) == 0);
			unmake(&m);
		}
		unmake(&one);
	}
}

T_CASE(the_bits_do_not_depend_on_the_threads)
{
	same_bits(KERNEL_MM_OWN);
	same_bits(KERNEL_MM_OPENBLAS);
}

/* The bits that this CPU's kernels give, as one number. */
static uint64_t
digest(const char *simd)
{
	uint64_t h = 0;

	setenv("REKINDLE_SIMD", simd, 1);
	t_check(kernel_init(2) == RK_OK);
	for (size_t i = 0; i < RK_ARRAY_LEN(of_training); i++) {
		struct made m = make(&of_training[i]);
		kernel_mm_by(KERNEL_MM_OWN, &m.p);
		for (int64_t k = 0; k < m.nc; k++) {
			uint32_t bits;
			memcpy(&bits, &m.C[k], sizeof(bits));
			h = h * 31 + bits;
		}
		unmake(&m);
	}
	kernel_fini();
	return h;
}

T_CASE(a_product_is_the_same_with_avx2_and_with_avx512)
{
	int fd[2];
	uint64_t narrow;

	/* The choice is made once a process. */
	t_check(pipe(fd) == 0);
	const pid_t p = fork();
	if (p == 0) {
		narrow = digest("avx2");
		_exit(write(fd[1], &narrow, sizeof(narrow)) != sizeof(narrow));
	}
	t_check(read(fd[0], &narrow, sizeof(narrow)) == sizeof(narrow));
	t_check(digest("") == narrow);
}

/*
 * Every allocation of this process goes through here; a sanitizer wants that
 * place for itself.
 */
#define COUNTED (!RK_SANITIZED)

static _Atomic int allocations;

#if COUNTED
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t to, size_t n);

void *
malloc(size_t n)
{
	allocations++;
	return __libc_malloc(n);
}

void *
calloc(size_t n, size_t size)
{
	allocations++;
	return __libc_calloc(n, size);
}

void *
realloc(void *p, size_t n)
{
	allocations++;
	return __libc_realloc(p, n);
}

void *
aligned_alloc(size_t to, size_t n)
{
	allocations++;
	return __libc_memalign(to, n);
}

int
posix_memalign(void **p, size_t to, size_t n)
{
	allocations++;
	*p = __libc_memalign(to, n);
	return *p == NULL ? ENOMEM : 0;
}
#endif

/* In two rounds of the products of training, the second of which counts. */
static int
allocations_by(enum kernel_mm_way way)
{
	int n = 0;

	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < RK_ARRAY_LEN(of_training); i++) {
			struct made m = make(&of_training[i]);
			const int before = allocations;
			kernel_mm_by(way, &m.p);
			n += round == 0 ? 0 : allocations - before;
			unmake(&m);
		}
	return n;
}

T_CASE(nothing_is_allocated_in_a_product)
{
	if (!COUNTED)
		return;
	t_check(kernel_init(3) == RK_OK);
	t_eq_int(allocations_by(KERNEL_MM_OWN), 0);
	t_eq_int(allocations_by(KERNEL_MM_OPENBLAS), 0);
	/* What counts them sees those of a library. */
	t_check(allocations_by(KERNEL_MM_ONEDNN) > 0);
	kernel_fini();
}

T_MAIN
