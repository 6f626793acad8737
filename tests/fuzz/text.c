/* module: base */
/* Any bytes as a time and as base64: refused, or what is read can be written
 * again and says the same. */
#include <stdlib.h>
#include <string.h>

#include "rekindle/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char *s = xstrndup((const char *)p, n), out[RK_TIME];
	int64_t ms = 0, again = 0;
	void *bytes = NULL;
	size_t len = 0;

	if (rk_time_parse(s, &ms)) {
		rk_time_text(out, ms);
		/* The zone may carry it out of the years that can be written. */
		if (rk_time_parse(out, &again) && ms > -62135596800000 &&
		    ms < 253402300799999)
			must(again == ms);
	}
	if (rk_base64_decode(s, &bytes, &len) == RK_OK) {
		must(len <= strlen(s));
		free(rk_base64(bytes, len));
		free(bytes);
	}
	free(s);
	return 0;
}
