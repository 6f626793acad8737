/* module: spec */
/* Any bytes as a file of classes: refused with one sentence, or names, each of which is
 * sound. */
#include <stdlib.h>
#include <string.h>

#include "rekindle/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct spec_names names;
	struct rk_why why = { 0 };
	const enum rk_err rc = spec_names_of_text((const char *)p, n, &names,
	    &why);

	if (rc != RK_OK) {
		must(rc == RK_EINVAL && why.n == 1 && names.n == 0);
		rk_why_fini(&why);
		return 0;
	}
	must(why.n == 0 && names.n > 0 && names.n <= SPEC_MAX_CLASSES);
	for (int64_t i = 0; i < names.n; i++)
		must(names.v[i][0] != '\0' && strlen(names.v[i]) <=
		    SPEC_MAX_CLASS_NAME);
	spec_names_fini(&names);
	return 0;
}
