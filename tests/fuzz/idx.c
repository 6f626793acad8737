/* module: data */
/*
 * Any bytes as an IDX file, plain or gzip: refused with one sentence, or a set
 * whose numbers are all there and finite.
 */
#include <math.h>
#include <stdlib.h>

#include "rekindle/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct rk_why why = { 0 };
	struct data_set *d = NULL;
	enum rk_err rc = data_parse_idx(p, n, "fuzz", &d, &why);

	if (rc != RK_OK) {
		must(d == NULL && why.n == 1);
		must(rc == RK_EINVAL || rc == RK_ENOMEM);
		rk_why_fini(&why);
		return 0;
	}
	must(why.n == 0 && d->n > 0);
	int64_t all = d->n * d->width, odd = 0;
	uint64_t sum = 0;
	for (int64_t i = 0; i < all; i++)
		if (d->bytes != NULL)
			sum += d->bytes[i];
		else
			odd += !isfinite(d->floats[i]);
	must(sum <= 255 * (uint64_t)all);
	for (int64_t i = 0; d->targets != NULL && i < d->n; i++)
		odd += !isfinite(d->targets[i]) || (d->classes != NULL &&
		    d->classes[i] >= d->nclasses);
	must(odd == 0);
	data_close(d);
	return 0;
}
