/* The micro-kernel for AVX2 and FMA; elsewhere nobody calls it. */
#include "twice.h"

#define LANES  8
#define TARGET FAST
#define STRIPS 1
#define PANELS 1
#define ROWS   6
#define NAME   kernel_micro_avx2
#include "micro.inc"
