/* module: text */
/*
 * Any UTF-8 through each tokenizer, and into a vocabulary that then knows it.  The
 * first byte says how.
 */
#include <stdlib.h>
#include <string.h>

#include "rekindle/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define LENGTH 24

static void
tokenize(const struct text_options *o, const char *v, size_t nv, const char *s,
    size_t n)
{
	struct text_tokens *t = NULL;
	struct text_room r = { 0 };
	struct rk_why why = { 0 };
	int32_t x[LENGTH];

	must(text_tokens_new(&t, o, v, nv, "fuzz", &why) == RK_OK);
	const int64_t k = text_sample(t, &r, s, n, s, n, LENGTH, x);
	must(k >= 0 && k <= LENGTH);
	for (int i = 0; i < LENGTH; i++) {
		must(x[i] >= 0 && x[i] < text_vocabulary(t));
		must(i < k || x[i] == text_special(t).pad);
	}
	const struct text_special special = text_special(t);
	text_mask(&special, x, LENGTH, 0.5, 1, 2, 3);
	for (int i = 0; i < LENGTH; i++)
		must(x[i] >= 0 && x[i] < text_vocabulary(t));
	text_room_fini(&r);
	text_tokens_free(t);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	if (n == 0 || rk_utf8_good(p + 1, n - 1) < n - 1)
		return 0;
	const struct text_options o = {
		.kind = (enum text_kind)(p[0] % 3), .lower_case = p[0] & 4,
		.strip_accents = p[0] & 8, .pairs = p[0] & 16,
	};
	const char *s = (const char *)p + 1;
	struct strbuf b = { 0 };

	if (o.kind == TEXT_BYTES) {
		tokenize(&o, NULL, 0, s, n - 1);
		return 0;
	}
	struct text_maker *m = text_maker_new(&o);
	text_maker_add(m, s, n - 1);
	const int64_t made = text_maker_end(m, 16 + p[0], &b);
	must(made >= 5 && made <= 16 + p[0]);
	text_maker_free(m);
	tokenize(&o, b.s, b.len, s, n - 1);
	sb_fini(&b);
	return 0;
}
