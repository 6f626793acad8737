/*
 * Can this process compute here at all?  OPENBLAS_CORETYPE makes OpenBLAS take
 * the kernels of a CPU by its name, whatever this CPU is; a product then ends the
 * process by an instruction that there is not.  So where it is set, and OpenBLAS
 * is used, a child computes some products first.
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

const char *
kernel_refusal(void)
{
	static char text[256];
	const char *core = getenv("OPENBLAS_CORETYPE");

	if (core == NULL || kernel_gemm_way() != KERNEL_MM_OPENBLAS ||
	    survives())
		return NULL;
	snprintf(text, sizeof(text), "OPENBLAS_CORETYPE is \"%.40s\", and this "
	    "CPU has not the instructions that OpenBLAS takes for it (%.40s): "
	    "unset it, or REKINDLE_GEMM", core, openblas_get_corename());
	return text;
}
