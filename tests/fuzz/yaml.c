/* module: json */
/*
 * YAML text: parsed or refused with a clean sentence; what is parsed prints as
 * JSON, which gives the same tree.
 */
#include <stdlib.h>
#include <string.h>

#include "rekindle/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct rk_why why = {0};
	json_t *v = NULL, *again = NULL;

	enum rk_err rc = rkj_parse_yaml((const char *)p, n, &v, &why);
	/* Printed, text may grow past the limit on what is parsed. */
	if (rc == RK_OK && n > RKJ_MAX_BYTES / 8) {
		json_decref(v);
		return 0;
	}
	if (rc != RK_OK) {
		must(rc == RK_EINVAL && v == NULL && why.n == 1);
		json_t *s = json_string(why.v[0].message);
		must(s != NULL && json_string_length(s) > 0);
		json_decref(s);
		rk_why_fini(&why);
		return 0;
	}
	char *text = rkj_text(v);
	must(rkj_parse_json(text, strlen(text), &again, NULL) == RK_OK);
	must(json_equal(v, again));
	json_decref(again);
	json_decref(v);
	free(text);
	return 0;
}
