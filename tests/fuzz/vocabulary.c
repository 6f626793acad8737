/* module: text */
/*
 * Any bytes as a vocabulary of each kind: refused with one sentence, or tokens that
 * are found again by their bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "rekindle/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
read_as(enum text_kind kind, bool pairs, const uint8_t *p, size_t n)
{
	const struct text_options o = { .kind = kind, .pairs = pairs };
	struct text_tokens *t = NULL;
	struct rk_why why = { 0 };
	const enum rk_err rc = text_tokens_new(&t, &o, (const char *)p, n,
	    "fuzz", &why);

	if (rc != RK_OK) {
		must(t == NULL && rc == RK_EINVAL && why.n == 1);
		rk_why_fini(&why);
		return;
	}
	must(why.n == 0 && text_vocabulary(t) > 0);
	for (int32_t i = 0; i < (int32_t)text_vocabulary(t); i++) {
		size_t len;
		const char *s = text_token(t, i, &len);
		must(len > 0 && text_id(t, s, len) == i);
	}
	must(text_special(t).pad >= 0 && text_special(t).unk >= 0);
	text_tokens_free(t);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	read_as(TEXT_WORDPIECE, false, p, n);
	read_as(TEXT_WORDS, false, p, n);
	read_as(TEXT_WORDS, true, p, n);
	return 0;
}
