/* module: base */
/* A regular expression: the first line is the pattern, the second what it becomes, the
 * rest the text. */
#include <stdlib.h>
#include <string.h>

#include "rekindle/base_regex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *pattern = xstrndup((const char *)data, RK_MIN(size, 4096u));
	char *text = strchr(pattern, '\n');
	char *s = text != NULL ? strchr(text + 1, '\n') : NULL;
	struct rk_regex *x = NULL;
	uint64_t budget = 5000000;
	char *out = NULL;

	if (s != NULL) {
		*text++ = '\0';
		*s++ = '\0';
		if (rk_regex_new(&x, pattern, NULL) == RK_OK &&
		    rk_regex_text_ok(x, text, NULL) == RK_OK &&
		    rk_regex_replace(x, s, text, 512, &budget, &out) ==
		    RK_OK && out != NULL)
			must(strlen(out) <= 512);
	}
	rk_regex_free(x);
	free(out);
	free(pattern);
	return 0;
}
