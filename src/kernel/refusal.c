/*
 * Can this process compute here at all?  OPENBLAS_CORETYPE makes OpenBLAS take
 * the kernels of a CPU by its name, whatever this CPU is; a product then ends
 * the process by an instruction that there is not.  So where it is set, and
 * OpenBLAS is used, a child computes some products first.  And are the words
 * that choose among kernels words that there are?
 */
#include <cblas.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rekindle/kernel.h"
#include "team.h"

#define SIDE 40                         /* more than a tile, and a rest */

static void
try_products(void)
{
	static const CBLAS_TRANSPOSE t[] = { CblasNoTrans, CblasTrans };
	static float a[SIDE * SIDE], b[SIDE * SIDE], c[SIDE * SIDE];
	const struct rlimit none = { 0, 0 };

	(void)setrlimit(RLIMIT_CORE, &none);
	for (int k = 0; k < 4; k++)
		cblas_sgemm(CblasRowMajor, t[k & 1], t[k >> 1], SIDE, SIDE,
		    SIDE, 1, a, SIDE, b, SIDE, (float)(k & 1), c, SIDE);
}

/* False: a child that did products was killed.  One that cannot be made says
 * nothing. */
static bool
survives(void)
{
	int status = 0;
	const pid_t child = fork();

	if (child == 0) {
		try_products();
		_exit(0);
	}
	while (child > 0 && waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return true;
	return !WIFSIGNALED(status);
}

static const struct {
	const char *name, *words[3];
} choices[] = {
	{ "REKINDLE_SIMD", { "plain", "avx2", "avx512" } },
	{ "REKINDLE_GEMM", { "own", "openblas", "onednn" } },
};

/* Empty is as not set. */
static bool
is_word(const char *v, const char *const words[3])
{
	return v == NULL || *v == '\0' || strcmp(v, words[0]) == 0 ||
	    strcmp(v, words[1]) == 0 || strcmp(v, words[2]) == 0;
}

const char *
kernel_word_refusal(void)
{
	static char text[256];

	for (size_t i = 0; i < RK_ARRAY_LEN(choices); i++) {
		const char *const *w = choices[i].words;
		const char *v = getenv(choices[i].name);
		if (is_word(v, w))
			continue;
		char *clean = rk_text_clean(xstrdup(v));
		snprintf(text, sizeof(text), "%s in the environment is "
		    "\"%.40s\", want %s, %s or %s", choices[i].name, clean,
		    w[0], w[1], w[2]);
		free(clean);
		return text;
	}
	return NULL;
}

const char *
kernel_refusal(void)
{
	static char text[256];
	const char *word = kernel_word_refusal();
	const char *core = getenv("OPENBLAS_CORETYPE");

	if (word != NULL)
		return word;
	if (core == NULL || kernel_gemm_way() != KERNEL_MM_OPENBLAS ||
	    survives())
		return NULL;
	snprintf(text, sizeof(text), "OPENBLAS_CORETYPE is \"%.40s\", and this "
	    "CPU has not the instructions that OpenBLAS takes for it (%.40s): "
	    "unset it, or REKINDLE_GEMM", core, openblas_get_corename());
	return text;
}
