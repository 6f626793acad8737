/*
 * The matrix product, cut into tiles of C, each computed by one call of a
 * single-threaded library routine.
 *
 * Which routine is a property of the process, not of the moment: oneDNN, which
 * wins on the shapes of training (tall or wide, a small batch), unless
 * REKINDLE_GEMM=openblas says otherwise.
 */
#include <cblas.h>
#include <dlfcn.h>
#include <dnnl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "rekindle/kernel.h"
#include "loops.h"
#include "team.h"

struct product {
	bool ta, tb;
	int64_t M, N, K;
	const float *A, *B;
	int64_t lda, ldb;
	float beta, *C;
	int64_t ldc;
	const float *bias;              /* of a column of C, or NULL */
	bool relu;
	int64_t tm, tn;                 /* the tile */
	int64_t across;                 /* tiles in a row of them */
};

static bool use_openblas;
static char version[64], backend[64];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
choose(void)
{
	const char *want = getenv("REKINDLE_GEMM");
	const dnnl_version_t *v = dnnl_version();

	use_openblas = want != NULL && strcmp(want, "openblas") == 0;
	openblas_set_num_threads(1);
	if (use_openblas) {
		/* "OpenBLAS 0.3.21 NO_LAPACKE ...": of the library that is
		 * there, not of the one that we were built with. */
		char *words = xstrdup(openblas_get_config()), *rest = NULL;
		const char *name = strtok_r(words, " ", &rest);
		const char *number = strtok_r(NULL, " ", &rest);
		snprintf(version, sizeof(version), "%s %s",
		    name ? name : "OpenBLAS", number ? number : "");
		snprintf(backend, sizeof(backend), "%.30s (%.30s)", version,
		    openblas_get_corename());
		free(words);
	} else {
		snprintf(version, sizeof(version), "oneDNN %d.%d.%d", v->major,
		    v->minor, v->patch);
		snprintf(backend, sizeof(backend), "%s", version);
	}
}

void
kernel_gemm_init(void)
{
	pthread_once(&once, choose);
}

/*
 * Both libraries ask OpenMP how many threads they may use, and OpenMP keeps
 * that number per thread.  It is looked up because not every build of the
 * libraries brings an OpenMP along, and because clang and gcc link it by
 * different names.
 */
void
kernel_gemm_thread_init(void)
{
	static _Thread_local bool ready;

	if (ready)
		return;
	union {
		void *p;
		void (*fn)(int);
	} set = { dlsym(RTLD_DEFAULT, "omp_set_num_threads") };
	if (set.p != NULL)
		set.fn(1);
	kernel_gemm_init();
	ready = true;
}

const char *
kernel_backend(void)
{
	kernel_gemm_init();
	return backend;
}

const char *
kernel_gemm_version(void)
{
	kernel_gemm_init();
	return version;
}

bool
kernel_gemm_is_openblas(void)
{
	kernel_gemm_init();
	return use_openblas;
}

static void
one_tile(const struct product *p, const float *A, const float *B, float *C,
    int64_t m, int64_t n)
{
	if (use_openblas) {
		cblas_sgemm(CblasRowMajor, p->ta ? CblasTrans : CblasNoTrans,
		    p->tb ? CblasTrans : CblasNoTrans, (blasint)m, (blasint)n,
		    (blasint)p->K, 1, A, (blasint)p->lda, B, (blasint)p->ldb,
		    p->beta, C, (blasint)p->ldc);
		return;
	}
	dnnl_status_t st = dnnl_sgemm(p->ta ? 'T' : 'N', p->tb ? 'T' : 'N', m,
	    n, p->K, 1, A, p->lda, B, p->ldb, p->beta, C, p->ldc);
	/* It fails for wrong arguments and for lack of memory for its packed
	 * copies; neither can be gone on from. */
	must(st == dnnl_success);
}

static void
tile_piece(void *ctx, size_t i)
{
	const struct product *p = ctx;
	const int64_t r = (int64_t)i / p->across * p->tm;
	const int64_t c = (int64_t)i % p->across * p->tn;
	const int64_t m = RK_MIN(p->tm, p->M - r), n = RK_MIN(p->tn, p->N - c);
	float *C = p->C + r * p->ldc + c;

	kernel_gemm_thread_init();
	one_tile(p, p->A + (p->ta ? r : r * p->lda),
	    p->B + (p->tb ? c * p->ldb : c), C, m, n);
	if (p->bias != NULL || p->relu)
		for (int64_t k = 0; k < m; k++)
			kernel_loops()->bias(C + k * p->ldc, (size_t)n,
			    p->bias ? p->bias + c : NULL, p->relu);
}

static int64_t
round_up(int64_t n, int64_t to)
{
	return (n + to - 1) / to * to;
}

/*
 * Tiles by shape alone.  A tile is worth handing out from some 150 kFLOP on
 * (a few microseconds), the libraries are at their best from some MFLOP on, and
 * a tile that is thin in one direction packs the other operand for little work:
 * so the longer side is halved until there are enough tiles, four at least
 * where it pays, and from 64 tiles on bigger rather than more ones.
 */
static void
cut(struct product *p)
{
	const double flop = 2.0 * (double)p->M * (double)p->N * (double)p->K;
	double want = flop / 6e6;

	if (want > 64)
		want = RK_MAX(64, flop / 100e6);
	else
		want = RK_MAX(want, flop >= 1e6 ? 4 : flop >= 3e5 ? 2 : 1);
	p->tm = p->M;
	p->tn = p->N;
	for (;;) {
		int64_t down = (p->M + p->tm - 1) / p->tm;
		p->across = (p->N + p->tn - 1) / p->tn;
		if ((double)(down * p->across) >= want)
			break;
		if (p->tn >= p->tm && p->tn > 16)
			p->tn = round_up(p->tn / 2, 16);
		else if (p->tm > 8)
			p->tm = round_up(p->tm / 2, 8);
		else
			break;
	}
	/* One side may be all that is left to cut. */
	p->across = (p->N + p->tn - 1) / p->tn;
}

static void
run(struct product *p)
{
	must(p->M > 0 && p->N > 0 && p->K > 0);
	must(p->lda <= INT_MAX && p->ldb <= INT_MAX && p->ldc <= INT_MAX &&
	    p->K <= INT_MAX);
	if (kernel_inside()) {
		p->tm = p->M;
		p->tn = p->N;
		p->across = 1;
	} else {
		cut(p);
	}
	must(p->tm <= INT_MAX && p->tn <= INT_MAX);
	kernel_for((size_t)(p->across * ((p->M + p->tm - 1) / p->tm)),
	    tile_piece, p);
}

void
kernel_sgemm(bool ta, bool tb, int64_t M, int64_t N, int64_t K,
    const float *A, int64_t lda, const float *B, int64_t ldb, float beta,
    float *C, int64_t ldc)
{
	must(beta == 0 || beta == 1);
	struct product p = { .ta = ta, .tb = tb, .M = M, .N = N, .K = K,
		.A = A, .lda = lda, .B = B, .ldb = ldb, .beta = beta, .C = C,
		.ldc = ldc };
	run(&p);
}

void
kernel_linear(int64_t M, int64_t N, int64_t K, const float *x, const float *w,
    const float *b, bool relu, float *y)
{
	struct product p = { .tb = true, .M = M, .N = N, .K = K, .A = x,
		.lda = K, .B = w, .ldb = K, .C = y, .ldc = N, .bias = b,
		.relu = relu };
	run(&p);
}
