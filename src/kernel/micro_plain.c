/* The micro-kernel for any CPU. */
#define LANES  4
#define TARGET
#define STRIPS 1
#define PANELS 1
#define ROWS   2
#define NAME   kernel_micro_plain
#include "micro.inc"
