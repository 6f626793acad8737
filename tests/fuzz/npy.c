/* module: data */
/*
 * Any bytes as an array of NumPy, plain or gzip, as features of each kind and as
 * labels: refused with one sentence, or a set whose numbers are all there.
 */
#include <math.h>
#include <stdlib.h>

#include "rekindle/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
check_features(const struct data_set *d)
{
	uint64_t sum = 0;
	int64_t odd = 0;

	must(d->n > 0 && d->ndim >= 1 && d->ndim <= DATA_MAX_DIMS);
	must((d->bytes != NULL) + (d->floats != NULL) + (d->tokens != NULL) ==
	    1);
	for (int64_t i = 0; i < d->n * d->width; i++)
		if (d->bytes != NULL)
			sum += d->bytes[i];
		else if (d->floats != NULL)
			odd += !isfinite(d->floats[i]);
		else
			odd += d->tokens[i] < 0 || d->tokens[i] >=
			    d->vocabulary;
	must(odd == 0 && sum <= 255 * (uint64_t)(d->n * d->width));
}

static void
check_labels(const struct data_set *d)
{
	for (int64_t i = 0; i < d->n; i++)
		must(isfinite(d->targets[i]) && (d->classes == NULL ||
		    (d->classes[i] >= 0 && d->classes[i] < d->nclasses)));
}

static void
parse(const uint8_t *p, size_t n, const struct spec_source *s, bool labels)
{
	struct rk_why why = { 0 };
	struct data_set *d = NULL;
	enum rk_err rc = data_parse_npy(p, n, "fuzz", s, labels, &d, &why);

	if (rc != RK_OK) {
		must(d == NULL && why.n == 1);
		must(rc == RK_EINVAL || rc == RK_ENOMEM);
		rk_why_fini(&why);
		return;
	}
	must(why.n == 0);
	if (labels)
		check_labels(d);
	else
		check_features(d);
	data_close(d);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const struct spec_source plain = { .type = SPEC_NPY };
	static const struct spec_source tokens = { .type = SPEC_NPY,
		.vocabulary = 300 };
	static const struct spec_source shaped = { .type = SPEC_NPY,
		.shape = { 3, 2 }, .ndim = 2 };

	parse(p, n, &plain, false);
	parse(p, n, &tokens, false);
	parse(p, n, &shaped, false);
	parse(p, n, &plain, true);
	return 0;
}
