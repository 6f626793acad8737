/* module: format */
/* Any bytes as Paddle's raw tensors: refused with one sentence, or tensors that can be
 * read to their last element. */
#include "weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct rk_why why = {0};
	struct weights *w;

	enum rk_err rc = weights_open_mem(p, n, NULL, &w, &why);
	fuzz_weights(rc, w, &why);
	return 0;
}
