/* module: format */
/* Any bytes as a zip archive of PyTorch, or of NumPy. */
#include "weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const struct weights_how how = { .part = "model", .scratch = -1,
		.fd = -1, .folder = -1 };

	fuzz_bytes(p, n, NULL);
	fuzz_bytes(p, n, &how);
	return 0;
}
