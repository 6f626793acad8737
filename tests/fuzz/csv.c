/* module: data */
/*
 * Any bytes as a CSV file, the first one choosing how it is read: refused with
 * one sentence, or a set whose numbers are all there and finite.
 */
#include <math.h>
#include <stdlib.h>

#include "rekindle/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static struct spec_source
source_of(uint8_t how)
{
	static char name[] = "y";

	return (struct spec_source){
		.type = SPEC_CSV,
		.header = (enum spec_header)(how % 3),
		.label_name = how & 8 ? name : NULL,
		.label_index = how & 16 ? -1 : how & 32 ? 1 : 0,
		.delimiter = how & 64 ? ';' : ',',
	};
}

/* The same to be asked about, by names that a header may have. */
static void
ask(const char *p, size_t n, const struct spec_source *s)
{
	static const char *const names[] = { "a", "b" };
	struct rk_why why = { 0 };
	struct data_set *d = NULL;
	enum rk_err rc = data_parse_table(p, n, "fuzz", s, names, 2, &d, &why);

	must((rc == RK_OK) == (d != NULL) && (rc == RK_OK) == (why.n == 0));
	for (int64_t i = 0; d != NULL && i < d->n * d->width; i++)
		must(isfinite(d->floats[i]));
	data_close(d);
	rk_why_fini(&why);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct rk_why why = { 0 };
	struct data_set *d = NULL;

	if (n == 0)
		return 0;
	struct spec_source s = source_of(p[0]);
	ask((const char *)p + 1, n - 1, &s);
	enum rk_err rc = data_parse_csv((const char *)p + 1, n - 1, "fuzz", &s,
	    &d, &why);
	if (rc != RK_OK) {
		must(d == NULL && rc == RK_EINVAL && why.n == 1);
		rk_why_fini(&why);
		return 0;
	}
	must(why.n == 0 && d->n > 0 && d->width > 0);
	for (int64_t i = 0; i < d->n * d->width; i++)
		must(isfinite(d->floats[i]));
	for (int64_t i = 0; i < d->n; i++)
		must(isfinite(d->targets[i]) && (d->classes == NULL ||
		    (d->classes[i] >= 0 && d->classes[i] < d->nclasses)));
	data_close(d);
	return 0;
}
