/* module: train */
/* The record of a split, as a model file's metadata or checkpoint.json has it:
 * what is taken is written and read again to the same. */
#include <string.h>

#include "../../src/train/held_out.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct held_out a, b;
	json_t *v = NULL;

	if (rkj_parse_json((const char *)p, n, &v, NULL) != RK_OK)
		return 0;
	if (held_out_read(&a, v, NULL) == RK_OK) {
		json_t *w = held_out_json(&a);
		must(held_out_read(&b, w, NULL) == RK_OK);
		json_t *x = held_out_json(&b);
		must(json_equal(w, x));
		must(a.nseen <= HELD_OUT_SEEN && a.part >= 0 && a.part <= 1);
		json_decref(w);
		json_decref(x);
	}
	json_decref(v);
	return 0;
}
