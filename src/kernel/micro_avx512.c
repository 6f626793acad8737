/* The micro-kernel for AVX-512; elsewhere nobody calls it. */
#include "twice.h"

#define LANES  16
#define TARGET WIDEST
#define STRIPS 2
#define PANELS 2
#define ROWS   6
#define NAME   kernel_micro_avx512
#include "micro.inc"
