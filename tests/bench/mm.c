/*
 * mm - matrix products by each way that there is, shape by shape:
 *
 *	mm [MILLISECONDS [SHAPE ...]]
 *
 * The ways take turns, on one thread; what is printed is GFLOP/s of the
 * shortest of many runs, in time of the CPU, beside what the micro-kernel reaches in the
 * first-level cache.  The last column names the way that is first; "*" marks a
 * shape where a library is ahead of our own by more than 5 %.  SHAPE is like
 * TN256x784x64: transposes, M, N, K.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "micro.h"
#include "mm.h"
#include "team.h"

static const struct shape {
	const char *what, *shape;
} shapes[] = {
	{ "mlp forward", "NT64x256x784" },
	{ "mlp dW", "TN256x784x64" },
	{ "head forward", "NT64x10x256" },
	{ "head dW", "TN10x256x64" },
	{ "head dX", "NN64x256x10" },
	{ "one row", "NT1x256x784" },
	{ "one row, wide", "NT1x4096x4096" },
	{ "lenet fc1", "NT64x120x400" },
	{ "lenet fc1 dW", "TN120x400x64" },
	{ "lenet conv1", "NN6x784x25" },
	{ "lenet conv2", "NN16x100x150" },
	{ "lenet conv2 dW", "NT16x150x100" },
	{ "bert qkv", "NT2048x384x384" },
	{ "bert ffn1", "NT2048x1536x384" },
	{ "bert ffn2", "NT2048x384x1536" },
	{ "bert ffn1 dX", "NN2048x384x1536" },
	{ "bert ffn2 dX", "NN2048x1536x384" },
	{ "bert ffn1 dW", "TN1536x384x2048" },
	{ "bert qkv dW", "TN384x384x2048" },
	{ "attention qk", "NT128x128x32" },
	{ "attention pv", "NN128x32x128" },
	{ "attention dk", "TN128x32x128" },
	{ "1x1 64-256 @56", "NN256x3136x64" },
	{ "1x1 256-64 @56", "NN64x3136x256" },
	{ "1x1 512-128 @28", "NN128x784x512" },
	{ "1x1 1024-256 @14", "NN256x196x1024" },
	{ "1x1 512-2048 @7", "NN2048x49x512" },
	{ "1x1 dX 64-256", "TN64x3136x256" },
	{ "1x1 dX 1024-256", "TN1024x196x256" },
	{ "1x1 dW 64-256", "NT256x64x3136" },
	{ "1x1 dW 1024-256", "NT256x1024x196" },
	{ "winograd 128", "NN128x1024x128" },
	{ "resnet head", "NT64x1000x2048" },
	{ "vgg fc", "NT32x4096x4096" },
	{ "vgg fc dW", "TN4096x4096x32" },
	{ "square", "NN1024x1024x1024" },
	{ "square", "NT1000x1000x1000" },
};

static double
cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The micro-kernel on operands that never leave the first-level cache. */
static double
peak(void)
{
	static float A[60 * 64], B[64 * 32], C[60 * 32]
	    __attribute__((aligned(64)));
	const struct micro u = { .m = 60, .n = 32, .K = 64,
		.kind = MICRO_PACKED, .A = A, .lda = 64 * MICRO_M, .B = B,
		.ldb = 64 * MICRO_N, .C = C, .ldc = 32 };
	double best = 1e9;

	for (int r = 0; r < 50; r++) {
		const double t = cpu_s();
		for (int i = 0; i < 200; i++)
			kernel_micro()(&u);
		best = RK_MIN(best, cpu_s() - t);
	}
	return 200 * 2.0 * 60 * 32 * 64 / best / 1e9;
}

static double
once(enum kernel_mm_way way, const struct kernel_mm *p, int times)
{
	const double t = cpu_s();

	for (int i = 0; i < times; i++)
		kernel_mm_by(way, p);
	return (cpu_s() - t) / times;
}

static float *
numbers(int64_t n)
{
	float *v = kernel_alloc((size_t)n * sizeof(*v));

	must(v != NULL);
	rk_fill_unit(v, (size_t)n, 1, 1, 0, 0);
	return v;
}

static void
measure(const char *what, const char *shape, double ms, double top)
{
	struct kernel_mm p = { .ta = shape[0] == 'T', .tb = shape[1] == 'T' };
	long M, N, K;

	if (sscanf(shape + 2, "%ldx%ldx%ld", &M, &N, &K) != 3)
		exit(2);
	p.M = M, p.N = N, p.K = K;
	p.lda = p.ta ? M : K;
	p.ldb = p.tb ? K : N;
	p.ldc = N;
	p.A = numbers(M * K);
	p.B = numbers(N * K);
	p.C = numbers(M * N);
	const double flop = 2.0 * (double)M * (double)N * (double)K;
	const int times = (int)(2e6 / flop) + 1;
	double best[KERNEL_MM_WAYS], spent = 0;
	int first = 0;

	for (int w = 0; w < KERNEL_MM_WAYS; w++)
		best[w] = 1e9;
	for (int r = 0; r < 5 || spent * 1e3 < ms; r++)
		for (int w = 0; w < KERNEL_MM_WAYS; w++) {
			const double t = once((enum kernel_mm_way)w, &p, times);
			spent += t * times;
			best[w] = RK_MIN(best[w], t);
		}
	printf("%-18s %-16s", what, shape);
	for (int w = 0; w < KERNEL_MM_WAYS; w++) {
		if (best[w] < best[first])
			first = w;
		printf(" %8.1f", flop / best[w] / 1e9);
	}
	printf("  %4.0f %%  %8.2f us  %s%s\n", 100 * flop / best[0] / 1e9 / top,
	    best[0] * 1e6, kernel_mm_words[first],
	    best[first] * 1.05 < best[0] ? " *" : "");
}

int
main(int argc, char **argv)
{
	const double ms = argc > 1 ? atof(argv[1]) : 100;

	if (kernel_init(1) != RK_OK)
		return 1;
	const double top = peak();
	printf("micro-kernel %s, %.1f GFLOP/s in the first-level cache\n",
	    kernel_micro_word(), top);
	printf("%-18s %-16s %8s %8s %8s  %6s  %8s\n", "what", "shape", "own",
	    "openblas", "onednn", "peak", "own");
	for (int i = 2; i < argc; i++)
		measure("", argv[i], ms, top);
	for (size_t i = 0; i < RK_ARRAY_LEN(shapes) && argc <= 2; i++)
		measure(shapes[i].what, shapes[i].shape, ms, top);
	return 0;
}
