/* module: text */
/*
 * Any bytes in each encoding: UTF-8 as far as they are in it, and the place where
 * they are not.
 */
#include <stdlib.h>
#include <string.h>

#include "rekindle/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
decode(enum text_encoding e, const uint8_t *p, size_t n)
{
	struct text_decoder *d = NULL;
	struct strbuf b = { 0 }, again = { 0 };
	const char *other;
	size_t bad, where;

	must(text_decoder_new(&d, e, NULL) == RK_OK);
	const enum rk_err rc = text_decode(d, p, n, &b, &bad);
	must(rc == RK_OK ? bad == n : rc == RK_EINVAL && bad < n);
	must(rk_utf8_good(sb_str(&b), b.len) == b.len);
	/* What comes before the place is sound, and is what came out. */
	must(text_decode(d, p, bad, &again, &where) == RK_OK);
	must(again.len == b.len && memcmp(sb_str(&again), sb_str(&b), b.len) ==
	    0);
	must(text_mark(e, p, n, &other) <= n);
	sb_fini(&b);
	sb_fini(&again);
	text_decoder_free(d);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	for (int e = 0; text_encoding_words[e] != NULL; e++)
		decode((enum text_encoding)e, p, n);
	return 0;
}
