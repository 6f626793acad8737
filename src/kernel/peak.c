/*
 * The peak of multiply-adds: chains of them in registers, more chains than a
 * unit needs to be busy (two units with a latency of 4 to 5 cycles), and few
 * enough to stay in the registers there are.
 */
#include "rekindle/kernel_watch.h"
#include "twice.h"

#define CHAINS  12
#define ROUNDS  (1 << 16)               /* some 0.3 ms at AVX2's rate */
#define TRIES   6
#define PIECES  3                       /* a thread, and a try */

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
	volatile float by, plus, sink;  /* not known to the compiler */
};

static void
peak_piece(void *ctx, size_t i)
{
	struct peak *p = ctx;
	const float sum = p->fn(p->by, p->plus);

	if (i == 0)                     /* one writer */
		p->sink = sum;
}

double
kernel_peak_gflops(const char **isa)
{
	struct peak p = { .by = 0.5f, .plus = 1 };
	const size_t n = PIECES * (size_t)kernel_threads();
	double best = 0, lanes = 4;

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
	for (int k = 0; k < TRIES; k++) {
		const int64_t t0 = mono_ns();
		kernel_for(n, peak_piece, &p);
		const double ns = (double)RK_MAX(mono_ns() - t0, 1);
		best = RK_MAX(best, 2 * lanes * CHAINS * ROUNDS * (double)n /
		    ns);
	}
	return best;
}
