/*
 * peak - how many multiply-adds this machine can do, now: GFLOP/s of fused
 * multiply-add on float32 in registers, by width of the registers and threads.
 *
 *	peak [THREADS]          2 unless said
 *
 * Prints a line of JSON: {"avx2": [one thread, two, ... THREADS]}, with "avx512"
 * where the processor has it, or "plain" where it does not have AVX2.  The best of
 * ROUNDS short runs each; all threads of a run begin together, and the slowest
 * counts.
 */
#include <immintrin.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MOST   16                       /* threads */
#define ROUNDS 20
#define TIMES  400000                   /* passes over the registers: some ms */

struct piece {
	double (*run)(void);
	double s;
	pthread_barrier_t *begin;
};

static double
now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/*
 * A loop over CHAINS values in registers, each a chain of its own, so that no
 * multiply-add waits for another.  The result is used, so that none is left out.
 */
#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define CHAINS 12
#define NAME(i) v##i,
#define SET(i)  v##i = ALL(0.01f * i);
#define NEXT(i) v##i = FMA(v##i, a, b);
#define ADD(i)  b = FMA(v##i, a, b);
#define LOOP(name, targets, type, width)                                       \
__attribute__((target(targets))) static double                                 \
name(void)                                                                     \
{                                                                              \
	type EACH(NAME) a = ALL(0.999f), b = ALL(0.001f);                      \
	float out[width];                                                      \
                                                                               \
	EACH(SET)                                                              \
	for (int k = 0; k < TIMES; k++) {                                      \
		EACH(NEXT)                                                     \
	}                                                                      \
	EACH(ADD)                                                              \
	memcpy(out, &b, sizeof(out));                                          \
	return out[0] > 1e30f ? 0 : 2.0 * width * CHAINS * TIMES;              \
}
#define FMA _mm256_fmadd_ps
#define ALL _mm256_set1_ps
LOOP(loop_avx2, "avx2,fma", __m256, 8)
#undef FMA
#undef ALL
#define FMA _mm512_fmadd_ps
#define ALL _mm512_set1_ps
LOOP(loop_avx512, "avx512f", __m512, 16)
#undef FMA
#undef ALL
#define FMA(x, a, b) ((x) * (a) + (b))
#define ALL(x) (x)
LOOP(loop_plain, "sse2", float, 1)

static void *
piece(void *arg)
{
	struct piece *p = arg;

	pthread_barrier_wait(p->begin);
	const double begin = now_s(), flops = p->run();
	p->s = flops > 0 ? now_s() - begin : 0;
	return NULL;
}

/* GFLOP/s of n threads. */
static double
together(double (*run)(void), double flops, int n)
{
	struct piece p[MOST];
	pthread_t t[MOST];
	pthread_barrier_t begin;
	double slowest = 0;

	pthread_barrier_init(&begin, NULL, (unsigned)n);
	for (int i = 0; i < n; i++) {
		p[i] = (struct piece){ .run = run, .begin = &begin };
		if (pthread_create(&t[i], NULL, piece, &p[i]) != 0)
			exit(1);
	}
	for (int i = 0; i < n; i++) {
		pthread_join(t[i], NULL);
		if (p[i].s > slowest)
			slowest = p[i].s;
	}
	pthread_barrier_destroy(&begin);
	return n * flops / slowest / 1e9;
}

static void
show(const char *name, double (*run)(void), int threads)
{
	const double flops = run();

	printf("\"%s\": [", name);
	for (int n = 1; n <= threads; n++) {
		double best = 0;
		for (int k = 0; k < ROUNDS; k++) {
			const double got = together(run, flops, n);
			if (got > best)
				best = got;
		}
		printf("%s%.1f", n > 1 ? ", " : "", best);
	}
	printf("]");
}

int
main(int argc, char **argv)
{
	int threads = argc > 1 ? atoi(argv[1]) : 2;

	if (threads < 1 || threads > MOST)
		threads = MOST;
	printf("{");
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		show("avx2", loop_avx2, threads);
	else
		show("plain", loop_plain, threads);
	if (__builtin_cpu_supports("avx512f")) {
		printf(", ");
		show("avx512", loop_avx512, threads);
	}
	printf("}\n");
	return 0;
}
