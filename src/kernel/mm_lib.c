/*
 * Tiles of a product by OpenBLAS or by oneDNN, single-threaded, and which of
 * these, or the micro-kernel, this process takes.
 */
#include <cblas.h>
#include <dlfcn.h>
#include <dnnl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "micro.h"
#include "mm.h"
#include "team.h"
#include "twice.h"

static enum kernel_mm_way way;
static bool openblas_alone;
static char version[64], backend[64];
static pthread_once_t once = PTHREAD_ONCE_INIT;

/*
 * With fused multiply-adds our own is ahead of OpenBLAS (make bench-mm) but for
 * widths that fill panels badly, 49 columns say, where the one arithmetic of
 * AVX2 and AVX-512 is worth more than 15 %; oneDNN's, as good on large shapes,
 * takes memory in each call.  Without, OpenBLAS's hand-written kernels are
 * ahead of what a compiler makes of plain C.
 */
static void
choose_way(void)
{
	const char *want = getenv("REKINDLE_GEMM");

	way = fast_cpu() ? KERNEL_MM_OWN : KERNEL_MM_OPENBLAS;
	for (int i = 0; i < KERNEL_MM_WAYS && want != NULL; i++)
		if (strcmp(want, kernel_mm_words[i]) == 0)
			way = (enum kernel_mm_way)i;
	openblas_alone = want != NULL && way == KERNEL_MM_OPENBLAS;
}

static void
choose(void)
{
	const dnnl_version_t *v = dnnl_version();

	choose_way();
	openblas_set_num_threads(1);
	if (way == KERNEL_MM_OWN) {
		snprintf(version, sizeof(version), "own 1");
		snprintf(backend, sizeof(backend), "own kernels (%s)",
		    kernel_micro_word());
	} else if (way == KERNEL_MM_OPENBLAS) {
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
	if (way == KERNEL_MM_OWN)
		(void)kernel_mm_mine();
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

enum kernel_mm_way
kernel_gemm_way(void)
{
	kernel_gemm_init();
	return way;
}

bool
kernel_gemm_is_openblas(void)
{
	kernel_gemm_init();
	return openblas_alone;
}

void
kernel_mm_lib(enum kernel_mm_way by, const struct kernel_mm *p,
    const struct mm_tile *t, const float *A, const float *B)
{
	const int64_t k = t->k0, K = t->k1 - k;

	kernel_gemm_thread_init();
	A += p->ta ? k * p->lda + t->r : t->r * p->lda + k;
	B += p->tb ? t->c * p->ldb + k : k * p->ldb + t->c;
	if (by == KERNEL_MM_OPENBLAS) {
		cblas_sgemm(CblasRowMajor, p->ta ? CblasTrans : CblasNoTrans,
		    p->tb ? CblasTrans : CblasNoTrans, (blasint)t->m,
		    (blasint)t->n, (blasint)K, 1, A, (blasint)p->lda, B,
		    (blasint)p->ldb, t->add, t->C, (blasint)t->ldc);
		return;
	}
	dnnl_status_t st = dnnl_sgemm(p->ta ? 'T' : 'N', p->tb ? 'T' : 'N',
	    t->m, t->n, K, 1, A, p->lda, B, p->ldb, t->add, t->C, t->ldc);
	/* It fails for wrong arguments and for lack of memory for its packed
	 * copies; neither can be gone on from. */
	must(st == dnnl_success);
}
