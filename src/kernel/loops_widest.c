/* Those of the inner loops that compute more than they read, for AVX-512: they
 * give the bits of those for AVX2.  Elsewhere nobody calls these. */
#include "twice.h"

#define LANES  16
#define TARGET WIDEST
#define TABLE  kernel_loops_widest
#include "loops.inc"
