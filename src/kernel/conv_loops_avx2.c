/* The loops of direct convolutions for AVX2 and FMA. */
#include "twice.h"

#define LANES  8
#define TARGET FAST
#define VECS   2
#define ROWS   256
#define TABLE  kernel_conv_loops_avx2
#include "conv_loops.inc"
