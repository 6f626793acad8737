/* module: data */
/*
 * Any bytes as records of CIFAR, plain or gzip, in each form and with each
 * label: refused with one sentence, or a set of whole records whose labels are
 * classes of that form.
 */
#include <stdlib.h>

#include "rekindle/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static const struct form {
	int64_t classes;
	enum spec_label label;
	int32_t most;
} forms[] = {
	{ 10, SPEC_LABEL_FINE, 10 },
	{ 100, SPEC_LABEL_FINE, 100 },
	{ 100, SPEC_LABEL_COARSE, 20 },
};

static void
parse(const uint8_t *p, size_t n, const struct form *f)
{
	const struct spec_source s = { .type = SPEC_CIFAR,
		.classes = f->classes, .label = f->label };
	struct rk_why why = { 0 };
	struct data_set *d = NULL;
	enum rk_err rc = data_parse_cifar(p, n, "fuzz", &s, &d, &why);
	uint64_t sum = 0;

	if (rc != RK_OK) {
		must(d == NULL && why.n == 1);
		must(rc == RK_EINVAL || rc == RK_ENOMEM);
		rk_why_fini(&why);
		return;
	}
	must(why.n == 0 && d->n > 0 && d->width == 3072);
	for (int64_t i = 0; i < d->n * d->width; i++)
		sum += d->bytes[i];
	must(sum <= 255 * (uint64_t)(d->n * d->width));
	for (int64_t i = 0; i < d->n; i++)
		must(d->classes[i] >= 0 && d->classes[i] < f->most);
	must(d->nclasses <= f->most);
	data_close(d);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(forms); i++)
		parse(p, n, &forms[i]);
	return 0;
}
