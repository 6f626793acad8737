/* The inner loops for any CPU. */
#define LANES  4
#define TARGET
#define TABLE  kernel_loops_plain
#include "loops.inc"
