/*
 * conv - what the convolutions of some networks take, by pass and by way:
 *
 *	conv [NETWORK]          resnet50_224 resnet18_32 mobilenet_v2 lenet5
 *
 * One thread, CPU time, the ways of a pass in turn, the smallest of ROUNDS
 * runs each; then GFLOP/s.  `=` marks the way that the product goes, and
 * names are those of the files in src/kernel.  The last lines of a
 * network add up its layers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conv_way.h"
#include "rekindle/kernel_conv.h"
#include "window.h"

#define ROUNDS 7

struct layer {
	const char *net;
	int64_t B, c, M, h, k, s, p, g, times;
};

static const struct layer layers[] = {
	{ "resnet50_224", 8, 3, 64, 224, 7, 2, 3, 1, 1 },
	{ "resnet50_224", 8, 64, 64, 56, 1, 1, 0, 1, 1 },
	{ "resnet50_224", 8, 64, 64, 56, 3, 1, 1, 1, 3 },
	{ "resnet50_224", 8, 64, 256, 56, 1, 1, 0, 1, 4 },
	{ "resnet50_224", 8, 256, 64, 56, 1, 1, 0, 1, 2 },
	{ "resnet50_224", 8, 256, 128, 56, 1, 1, 0, 1, 1 },
	{ "resnet50_224", 8, 128, 128, 56, 3, 2, 1, 1, 1 },
	{ "resnet50_224", 8, 256, 512, 56, 1, 2, 0, 1, 1 },
	{ "resnet50_224", 8, 128, 512, 28, 1, 1, 0, 1, 4 },
	{ "resnet50_224", 8, 512, 128, 28, 1, 1, 0, 1, 3 },
	{ "resnet50_224", 8, 128, 128, 28, 3, 1, 1, 1, 3 },
	{ "resnet50_224", 8, 512, 256, 28, 1, 1, 0, 1, 1 },
	{ "resnet50_224", 8, 256, 256, 28, 3, 2, 1, 1, 1 },
	{ "resnet50_224", 8, 512, 1024, 28, 1, 2, 0, 1, 1 },
	{ "resnet50_224", 8, 256, 1024, 14, 1, 1, 0, 1, 6 },
	{ "resnet50_224", 8, 1024, 256, 14, 1, 1, 0, 1, 5 },
	{ "resnet50_224", 8, 256, 256, 14, 3, 1, 1, 1, 5 },
	{ "resnet50_224", 8, 1024, 512, 14, 1, 1, 0, 1, 1 },
	{ "resnet50_224", 8, 512, 512, 14, 3, 2, 1, 1, 1 },
	{ "resnet50_224", 8, 1024, 2048, 14, 1, 2, 0, 1, 1 },
	{ "resnet50_224", 8, 512, 2048, 7, 1, 1, 0, 1, 3 },
	{ "resnet50_224", 8, 2048, 512, 7, 1, 1, 0, 1, 2 },
	{ "resnet50_224", 8, 512, 512, 7, 3, 1, 1, 1, 2 },
	{ "resnet18_32", 64, 3, 64, 32, 3, 1, 1, 1, 1 },
	{ "resnet18_32", 64, 64, 64, 32, 3, 1, 1, 1, 4 },
	{ "resnet18_32", 64, 64, 128, 32, 3, 2, 1, 1, 1 },
	{ "resnet18_32", 64, 64, 128, 32, 1, 2, 0, 1, 1 },
	{ "resnet18_32", 64, 128, 128, 16, 3, 1, 1, 1, 3 },
	{ "resnet18_32", 64, 128, 256, 16, 3, 2, 1, 1, 1 },
	{ "resnet18_32", 64, 128, 256, 16, 1, 2, 0, 1, 1 },
	{ "resnet18_32", 64, 256, 256, 8, 3, 1, 1, 1, 3 },
	{ "resnet18_32", 64, 256, 512, 8, 3, 2, 1, 1, 1 },
	{ "resnet18_32", 64, 256, 512, 8, 1, 2, 0, 1, 1 },
	{ "resnet18_32", 64, 512, 512, 4, 3, 1, 1, 1, 3 },
	{ "mobilenet_v2", 8, 3, 32, 224, 3, 2, 1, 1, 1 },
	{ "mobilenet_v2", 8, 32, 32, 112, 3, 1, 1, 32, 1 },
	{ "mobilenet_v2", 8, 32, 16, 112, 1, 1, 0, 1, 1 },
	{ "mobilenet_v2", 8, 16, 96, 112, 1, 1, 0, 1, 1 },
	{ "mobilenet_v2", 8, 96, 96, 112, 3, 2, 1, 96, 1 },
	{ "mobilenet_v2", 8, 144, 144, 56, 3, 1, 1, 144, 1 },
	{ "mobilenet_v2", 8, 144, 24, 56, 1, 1, 0, 1, 1 },
	{ "mobilenet_v2", 8, 192, 192, 28, 3, 1, 1, 192, 2 },
	{ "mobilenet_v2", 8, 240, 240, 28, 5, 2, 2, 240, 1 },
	{ "mobilenet_v2", 8, 384, 384, 14, 3, 1, 1, 384, 4 },
	{ "mobilenet_v2", 8, 384, 64, 14, 1, 1, 0, 1, 4 },
	{ "mobilenet_v2", 8, 960, 960, 7, 5, 1, 2, 960, 3 },
	{ "lenet5", 64, 1, 6, 28, 5, 1, 2, 1, 1 },
	{ "lenet5", 64, 6, 16, 14, 5, 1, 0, 1, 1 },
};

static const char *const passes[] = { "forward", "data", "weight" };

#define WAYS 8

/* A pass of a layer by each way that takes it. */
struct trial {
	struct kernel_conv_want want;
	enum kernel_conv_pass pass;
	void *state[WAYS];
	double best[WAYS];
	float *x, *y, *w, *dw, *scratch;
};

static double total[KERNEL_CONV_PASSES];

static double
cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static float *
drawn(size_t n)
{
	float *p = kernel_alloc(n * sizeof(*p));

	must(p != NULL);
	for (size_t i = 0; i < n; i++)
		p[i] = (float)(i * 2654435761u % 2048) / 1024 - 1;
	return p;
}

static void
run(const struct trial *t, size_t k)
{
	struct conv_call c = { .B = t->want.B, .x = t->x, .w = t->w,
		.dy = t->y, .scratch = t->scratch };

	if (t->pass == KERNEL_CONV_FORWARD)
		c.out = t->y;
	else if (t->pass == KERNEL_CONV_DATA)
		c.out = t->x;
	else
		c.out = t->dw;
	kernel_conv_choices[k].way->run(t->state[k], &c);
}

static void
measure(struct trial *t)
{
	for (int round = 0; round < ROUNDS; round++)
		for (size_t k = 0; kernel_conv_choices[k].way != NULL; k++) {
			if (t->state[k] == NULL)
				continue;
			double ms = cpu_ms();
			run(t, k);
			ms = cpu_ms() - ms;
			if (round == 0 || ms < t->best[k])
				t->best[k] = ms;
		}
}

static void
one_pass(const struct layer *l, const struct kernel_conv_want *want,
    enum kernel_conv_pass pass, float *x, float *y, float *w, float *dw)
{
	const double flop = 2.0 * (double)(l->c / l->g * l->k * l->k * l->M) *
	    (double)(want->v.oh * want->v.ow * l->B);
	struct trial t = { .want = *want, .pass = pass, .x = x, .y = y,
		.w = w, .dw = dw };
	size_t floats = 1, first = WAYS;

	for (size_t k = 0; kernel_conv_choices[k].way != NULL; k++) {
		const struct conv_way *way = kernel_conv_choices[k].way;
		must(k < WAYS);
		t.state[k] = way->make(want, pass);
		if (t.state[k] != NULL) {
			first = RK_MIN(first, k);
			floats = RK_MAX(floats, way->scratch(t.state[k]));
		}
	}
	t.scratch = drawn(floats);
	measure(&t);
	printf("  %-8s", passes[pass]);
	for (size_t k = 0; kernel_conv_choices[k].way != NULL; k++) {
		if (t.state[k] == NULL)
			continue;
		printf(" %c%-9s %8.3f ms %6.1f", k == first ? '=' : ' ',
		    kernel_conv_choices[k].name, t.best[k],
		    flop / t.best[k] / 1e6);
		kernel_conv_choices[k].way->free(t.state[k]);
	}
	printf("\n");
	total[pass] += t.best[first] * (double)l->times;
	kernel_free(t.scratch, floats * sizeof(float));
}

static void
one_layer(const struct layer *l)
{
	struct kernel_conv_want want = { .v = { .c = l->c, .h = l->h,
		.w = l->h, .k = { l->k, l->k }, .stride = { l->s, l->s },
		.pad = { l->p, l->p }, .groups = l->g }, .M = l->M, .B = l->B,
		.x = l->c < KERNEL_BLOCK && l->c != 6 ? KERNEL_PLAIN :
		KERNEL_BLOCKED, .y = KERNEL_BLOCKED, .fast = true };

	want.v.oh = want.v.ow = kernel_window_places(l->h, l->k, l->s, l->p, 1,
	    false);
	const size_t nx = (size_t)(l->B * kernel_image_floats(want.x, l->c,
	    l->h * l->h)), ny = (size_t)(l->B * kernel_image_floats(want.y,
	    l->M, want.v.oh * want.v.ow));
	const size_t nw = (size_t)(l->M * l->c / l->g * l->k * l->k);
	float *x = drawn(nx), *y = drawn(ny), *w = drawn(nw), *dw = drawn(nw);

	printf("%s: %lld x %lld > %lld @%lld, %lldx%lld/%lld%s, x%lld\n",
	    l->net, (long long)l->B, (long long)l->c, (long long)l->M,
	    (long long)l->h, (long long)l->k, (long long)l->k, (long long)l->s,
	    l->g > 1 ? " depthwise" : "", (long long)l->times);
	for (int pass = 0; pass < KERNEL_CONV_PASSES; pass++)
		if (pass != KERNEL_CONV_DATA || want.x == KERNEL_BLOCKED)
			one_pass(l, &want, (enum kernel_conv_pass)pass, x, y, w,
			    dw);
	kernel_free(x, nx * sizeof(float));
	kernel_free(y, ny * sizeof(float));
	kernel_free(w, nw * sizeof(float));
	kernel_free(dw, nw * sizeof(float));
}

int
main(int argc, char **argv)
{
	const char *net = "";

	if (kernel_init(1) != RK_OK)
		return 1;
	for (size_t i = 0; i <= RK_ARRAY_LEN(layers); i++) {
		const bool end = i == RK_ARRAY_LEN(layers);
		if (*net != '\0' && (end || strcmp(net, layers[i].net) != 0)) {
			printf("%s: forward %.1f ms, data %.1f, weight %.1f\n\n",
			    net, total[0], total[1], total[2]);
			memset(total, 0, sizeof(total));
			net = "";
		}
		if (end || (argc > 1 && strcmp(argv[1], layers[i].net) != 0))
			continue;
		net = layers[i].net;
		one_layer(&layers[i]);
		fflush(stdout);
	}
	kernel_fini();
	return 0;
}
