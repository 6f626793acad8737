/*
 * mode - how fast this machine is right now: a fixed loop, timed.
 *
 * Virtual machines have quicker and slower hours, and a figure means little
 * without the hour.  Prints two times in milliseconds, the least of three rounds
 * each: multiply and add in registers and first-level cache, and reading and
 * writing 64 MiB, which no cache holds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SMALL   1024                    /* floats: 4 KiB */
#define LARGE   ((size_t)16 << 20)      /* floats: 64 MiB */
#define ROUNDS  3

static double
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void
pass(float *v, size_t n, int times)
{
	for (int k = 0; k < times; k++)
		for (size_t i = 0; i < n; i++)
			v[i] = v[i] * 0.999f + 0.001f;
}

static double
least(float *v, size_t n, int times)
{
	double best = 1e9;

	for (int k = 0; k < ROUNDS; k++) {
		double t = now_ms();
		pass(v, n, times);
		t = now_ms() - t;
		if (t < best)
			best = t;
	}
	return best;
}

int
main(void)
{
	float *v = calloc(LARGE, sizeof(*v));

	if (v == NULL)
		return 1;
	pass(v, LARGE, 1);              /* the kernel makes the pages */
	double small = least(v, SMALL, 500000), large = least(v, LARGE, 10);
	printf("%.1f %.1f\n", small, large);
	free(v);
	return 0;
}
