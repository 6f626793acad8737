/* The inner loops for AVX2 and FMA; elsewhere nobody calls these. */
#include "twice.h"

#define LANES  8
#define TARGET FAST
#define TABLE  kernel_loops_fast
#include "loops.inc"
