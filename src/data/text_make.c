/*
 * A vocabulary of the texts that a job trains on: those that validate are not
 * looked at.
 */
#include <stdlib.h>

#include "text_source.h"

static enum rk_err
add_texts(const struct held *h, struct text_maker *m, struct rk_why *why)
{
	const struct text_reader *r = text_reader_of(h);
	struct text_scratch *k = text_scratch_new(r, why);
	enum rk_err rc = k != NULL ? RK_OK : RK_EINVAL;

	for (int64_t i = 0; rc == RK_OK && i < h->pub.n; i++) {
		rc = text_read(r, lazy_at(&h->pub, i), k, why);
		if (rc != RK_OK)
			break;
		text_maker_add(m, k->text.s, k->text.len);
		if (r->form.paired)
			text_maker_add(m, k->pair.s, k->pair.len);
	}
	text_scratch_free(k);
	return rc;
}

/* Of all samples those that train. */
static enum rk_err
keep_training(const struct spec_data *s, struct held *all, struct rk_why *why)
{
	const struct data_split how = data_split_of(s);
	struct held *valid = NULL;
	enum rk_err rc;

	if (how.rule == DATA_SPLIT_NONE)
		return RK_OK;
	rc = split_identify(all, why);
	if (rc == RK_OK)
		rc = split(all, s->validation_split, &how, &valid, why);
	held_free(valid);
	return rc;
}

enum rk_err
data_make_vocabulary(const struct spec_data *s, bool wordpiece, int64_t size,
    struct strbuf *out, struct data_vocabulary *made, struct rk_why *why)
{
	struct text_options o = text_options_of(&s->train);
	struct held *h = NULL;
	enum rk_err rc = text_reader_open(&s->train, NULL, &h, why);

	if (rc != RK_OK)
		return rc;
	o.kind = wordpiece ? TEXT_WORDPIECE : TEXT_WORDS;
	struct text_maker *m = text_maker_new(&o);
	rc = keep_training(s, h, why);
	if (rc == RK_OK)
		rc = add_texts(h, m, why);
	if (rc == RK_OK) {
		made->samples = h->pub.n;
		made->words = text_maker_words(m);
		made->tokens = text_maker_end(m, size, out);
	}
	text_maker_free(m);
	held_free(h);
	return rc;
}
