/* Which micro-kernel this CPU runs. */
#include <stdlib.h>
#include <string.h>

#include "micro.h"
#include "twice.h"

static const struct choice {
	const char *word;
	micro_fn *fn;
} choices[] = {
	{ "plain", kernel_micro_plain },
	{ "avx2", kernel_micro_avx2 },
	{ "avx512", kernel_micro_avx512 },
};

/* Of the CPU, and of what REKINDLE_SIMD leaves of that. */
static const struct choice *
chosen(void)
{
	const char *want = getenv("REKINDLE_SIMD");
	size_t best = !fast_cpu() ? 0 : !widest_cpu() ? 1 : 2;

	for (size_t i = 0; i < best && want != NULL; i++)
		if (strcmp(want, choices[i].word) == 0)
			best = i;
	return &choices[best];
}

static const struct choice *
choice(void)
{
	static const struct choice *_Atomic c;

	if (c == NULL)
		c = chosen();
	return c;
}

micro_fn *
kernel_micro(void)
{
	return choice()->fn;
}

const char *
kernel_micro_word(void)
{
	return choice()->word;
}
