/* module: format */
/* Any bytes as pickles with storages behind them. */
#include "weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	fuzz_bytes(p, n, NULL);
	return 0;
}
