/*
 * twice - loops that are compiled twice: for any CPU, and for AVX2 with FMA.
 *
 * A loop is written once, as LOOP(name_body); the plain and the fast function
 * inline it, and the compiler vectorises each for its target.  fast_cpu() says
 * which one may run.
 */
#ifndef KERNEL_TWICE_H
#define KERNEL_TWICE_H

#include <stdbool.h>

#define LOOP static inline __attribute__((always_inline)) void

#if defined(__x86_64__) && defined(__GNUC__)
#define FAST __attribute__((target("avx2,fma")))
static inline bool
fast_cpu(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#define WIDEST __attribute__((target("avx512f,avx512vl,avx2,fma")))
static inline bool
widest_cpu(void)
{
	return fast_cpu() && __builtin_cpu_supports("avx512f") &&
	    __builtin_cpu_supports("avx512vl");
}
#else
#define FAST
#define WIDEST
static inline bool
fast_cpu(void)
{
	return false;
}
static inline bool
widest_cpu(void)
{
	return false;
}
#endif

#endif
