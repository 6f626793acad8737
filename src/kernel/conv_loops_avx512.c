/* The loops of direct convolutions for AVX-512. */
#include "twice.h"

#define LANES  16
#define TARGET WIDEST
#define VECS   4
#define ROWS   128
#define TABLE  kernel_conv_loops_avx512
#include "conv_loops.inc"
