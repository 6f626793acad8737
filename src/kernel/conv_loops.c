/* Which loops of direct convolutions this CPU runs: those for the vectors that
 * the packed micro-kernel has. */
#include <string.h>

#include "conv_loops.h"
#include "micro.h"

const struct conv_loops *
kernel_conv_loops(void)
{
	const char *word = kernel_micro_word();

	return strcmp(word, "avx512") == 0 ? &kernel_conv_loops_avx512 :
	    strcmp(word, "avx2") == 0 ? &kernel_conv_loops_avx2 : NULL;
}
