/*
 * The peak of multiply-adds: chains of them in registers, more chains than a
 * unit needs to be busy (two units with a latency of 4 to 5 cycles), and few
 * enough to stay in the registers there are.
 */
#include <sched.h>

#include "rekindle/kernel_watch.h"
#include "twice.h"

#define CHAINS  12
#define ROUNDS  (1 << 16)               /* some 0.3 ms at AVX2's rate */
#define PIECES  12                      /* a thread */

/* A vector of LANES floats by the compiler's own type, so that one body serves
 * each width. */
typedef float vec4 __attribute__((vector_size(16)));
typedef float vec8 __attribute__((vector_size(32)));
typedef float vec16 __attribute__((vector_size(64)));

#define CHAIN_BODY(vec, by, plus)                                         \
	vec v[CHAINS];                                                    \
	float sum = 0;                                                    \
	for (int k = 0; k < CHAINS; k++)                                  \
		v[k] = (vec){ 0 } + (float)k;                             \
	for (int i = 0; i < ROUNDS; i++)                                  \
		for (int k = 0; k < CHAINS; k++)                          \
			v[k] = v[k] * (by) + (plus);                      \
	for (int k = 0; k < CHAINS; k++)                                  \
		sum += v[k][0];                                           \
	return sum

static float
chains_plain(float by, float plus)
{
	CHAIN_BODY(vec4, by, plus);
}

FAST static float
chains_fast(float by, float plus)
{
	CHAIN_BODY(vec8, by, plus);
}

WIDEST static float
chains_widest(float by, float plus)
{
	CHAIN_BODY(vec16, by, plus);
}

typedef float chains_fn(float by, float plus);

struct peak {
	chains_fn *fn;
	volatile float by, plus;        /* not known to the compiler */
	struct {
		_Alignas(64) volatile float sink;
		int64_t ns;             /* of its fastest piece; 0: none */
	} *of;                          /* each thread */
};

static void
peak_piece(void *ctx, size_t i)
{
	struct peak *p = ctx;
	const int me = kernel_self();
	const int64_t t0 = mono_ns();

	(void)i;
	p->of[me].sink = p->fn(p->by, p->plus);
	const int64_t ns = RK_MAX(mono_ns() - t0, 1);
	if (p->of[me].ns == 0 || ns < p->of[me].ns)
		p->of[me].ns = ns;
}

/* How many of the threads can run at a time. */
static int
at_a_time(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return kernel_threads();
	return RK_MIN(kernel_threads(), RK_MAX(CPU_COUNT(&set), 1));
}

/* All threads at once, so that what they share is shared; of each its fastest
 * piece, which nobody else had a part of.  Who got none is as fast as the
 * others. */
double
kernel_peak_gflops(const char **isa)
{
	struct peak p = { .by = 0.5f, .plus = 1 };
	const int threads = kernel_threads();
	double lanes = 4, sum = 0;
	int n = 0;

	p.fn = chains_plain;
	*isa = "plain";
	if (fast_cpu()) {
		p.fn = chains_fast;
		*isa = "avx2 fma";
		lanes = 8;
	}
	if (widest_cpu()) {
		p.fn = chains_widest;
		*isa = "avx512f";
		lanes = 16;
	}
	const size_t bytes = (size_t)threads * sizeof(*p.of);
	p.of = kernel_alloc(bytes);
	must(p.of != NULL);
	kernel_for(PIECES * (size_t)threads, peak_piece, &p);
	for (int i = 0; i < threads; i++) {
		if (p.of[i].ns == 0)
			continue;
		sum += 2 * lanes * CHAINS * ROUNDS / (double)p.of[i].ns;
		n++;
	}
	kernel_free(p.of, bytes);
	return sum / n * at_a_time();
}
