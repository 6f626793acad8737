/* What decides the last bits of a step, beside the job and its data. */
#include <cblas.h>
#include <dnnl.h>
#include <gnu/libc-version.h>
#include <string.h>

#include "rekindle/kernel.h"
#include "conv_loops.h"
#include "loops.h"
#include "micro.h"
#include "team.h"
#include "twice.h"

/*
 * What oneDNN's products of floats differ by.  Beyond AVX-512 for servers its
 * families add instructions for bytes and for bfloat16 alone.
 */
static const struct {
	dnnl_cpu_isa_t isa;
	const char *word;
} isas[] = {
	{ dnnl_cpu_isa_sse41, "sse41" },
	{ dnnl_cpu_isa_avx, "avx" },
	{ dnnl_cpu_isa_avx2, "avx2" },
	{ dnnl_cpu_isa_avx2_vnni, "avx2" },
	{ dnnl_cpu_isa_avx512_mic, "avx512_mic" },
	{ dnnl_cpu_isa_avx512_mic_4ops, "avx512_mic" },
	{ dnnl_cpu_isa_avx512_core, "avx512_core" },
	{ dnnl_cpu_isa_avx512_core_vnni, "avx512_core" },
	{ dnnl_cpu_isa_avx512_core_bf16, "avx512_core" },
	{ dnnl_cpu_isa_avx512_core_amx, "avx512_core" },
};

static void
put_dnnl_isa(char out[KERNEL_FACT_MAX])
{
	const dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();

	for (size_t i = 0; i < RK_ARRAY_LEN(isas); i++) {
		if (isas[i].isa == isa) {
			snprintf(out, KERNEL_FACT_MAX, "%s", isas[i].word);
			return;
		}
	}
	snprintf(out, KERNEL_FACT_MAX, "isa 0x%x", (unsigned)isa);
}

/* Our own micro-kernels give the same bits with AVX2 and with AVX-512. */
static void
put_isa(char out[KERNEL_FACT_MAX])
{
	switch (kernel_gemm_way()) {
	case KERNEL_MM_OWN:
		snprintf(out, KERNEL_FACT_MAX, "%s",
		    kernel_micro() == kernel_micro_plain ? "plain" : "fma");
		break;
	case KERNEL_MM_OPENBLAS:
		snprintf(out, KERNEL_FACT_MAX, "%s", openblas_get_corename());
		break;
	case KERNEL_MM_ONEDNN:
		put_dnnl_isa(out);
		break;
	}
}

/* oneDNN's convolutions (prim.c) stay away where OpenBLAS is asked for, and
 * where our own have vectors that are wider than theirs. */
static void
put_conv(char out[KERNEL_FACT_MAX])
{
	const dnnl_version_t *v = dnnl_version();
	const struct conv_loops *own = kernel_conv_loops();
	char isa[KERNEL_FACT_MAX];

	put_dnnl_isa(isa);
	if (kernel_gemm_is_openblas() ||
	    (own != NULL && own->lanes > KERNEL_BLOCK))
		snprintf(out, KERNEL_FACT_MAX, "own");
	else
		snprintf(out, KERNEL_FACT_MAX, "oneDNN %d.%d.%d %.32s",
		    v->major, v->minor, v->patch, isa);
}

static const char *
loops_word(bool fast)
{
	return fast ? "avx2 fma" : "plain";
}

/* glibc chooses among the variants of its functions by the CPU. */
static const char *
libm_variant(void)
{
#if defined(__x86_64__)
	return __builtin_cpu_supports("fma") ? " fma" : "";
#else
	return "";
#endif
}

#if defined(__clang__)
#define COMPILER "clang"
#define COMPILER_MAJOR __clang_major__
#else
#define COMPILER "gcc"
#define COMPILER_MAJOR __GNUC__
#endif

static void
put_gemm(char out[KERNEL_FACT_MAX])
{
	snprintf(out, KERNEL_FACT_MAX, "%s", kernel_gemm_version());
}

static void
put_loops(char out[KERNEL_FACT_MAX])
{
	snprintf(out, KERNEL_FACT_MAX, "%s",
	    loops_word(kernel_loops() != &kernel_loops_plain));
}

static void
put_updates(char out[KERNEL_FACT_MAX])
{
	snprintf(out, KERNEL_FACT_MAX, "%s", loops_word(fast_cpu()));
}

static void
put_libm(char out[KERNEL_FACT_MAX])
{
	snprintf(out, KERNEL_FACT_MAX, "glibc %s%s", gnu_get_libc_version(),
	    libm_variant());
}

static void
put_compiler(char out[KERNEL_FACT_MAX])
{
	snprintf(out, KERNEL_FACT_MAX, "%s %d", COMPILER, COMPILER_MAJOR);
}

static const struct {
	const char *key;
	enum kernel_fact_of of;
	void (*put)(char out[KERNEL_FACT_MAX]);
} facts[KERNEL_FACTS] = {
	{ "gemm", KERNEL_OF_ALL, put_gemm },
	{ "gemm_isa", KERNEL_OF_ALL, put_isa },
	{ "conv", KERNEL_OF_CONVOLUTIONS, put_conv },
	{ "loops", KERNEL_OF_ALL, put_loops },
	{ "updates", KERNEL_OF_ALL, put_updates },
	{ "libm", KERNEL_OF_ALL, put_libm },
	{ "compiler", KERNEL_OF_ALL, put_compiler },
};

size_t
kernel_arithmetic(struct kernel_fact v[KERNEL_FACTS])
{
	for (size_t i = 0; i < KERNEL_FACTS; i++) {
		v[i].key = facts[i].key;
		v[i].of = facts[i].of;
		facts[i].put(v[i].value);
	}
	return KERNEL_FACTS;
}
