/* module: data */
/*
 * Any bytes as a file of texts, the first one choosing how it is read: refused with
 * one sentence, or samples of tokens.
 */
#include <stdlib.h>
#include <string.h>

#include "rekindle/data_loader.h"
#include "rekindle/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static char path[] = "fuzz", name[] = "text", label[] = "y", class[] = "pos";

static struct spec_source
source_of(uint8_t how)
{
	struct spec_source s = {
		.type = SPEC_TEXT, .path = path,
		.header = how & 4 ? SPEC_HEADER_YES : SPEC_HEADER_AUTO,
		.label_index = how & 8 ? -1 : 1,
		.delimiter = how & 16 ? '\t' : ',',
		.text = { .encoding = (enum spec_encoding)(how & 3) %
		    (SPEC_GB18030 + 1), .tokenizer = SPEC_BYTES, .length = 8,
		    .paired = how & 32 && !(how & 128),
		    .pair_index = 2 },
	};

	if (how & 64) {
		s.text.column = name;
		s.label_name = label;
	}
	if (how & 128) {
		s.files[0] = path;
		s.nfiles = 1;
		s.text.class_names[0] = class;
	}
	return s;
}

/* Each sample can be read again, as it was. */
static void
check_tokens(const struct data_set *d)
{
	const struct data_loading how = { .threads = 1, .batch = 16 };
	struct data_loader *l = NULL;
	struct data_batch b;

	must(data_loader_new(d, &how, &l, NULL) == RK_OK);
	data_loader_begin(l, 0, 0, INT64_MAX);
	for (int64_t at = 0; at < d->n; at += b.rows) {
		while (data_loader_next(l, 1000, &b, NULL) != RK_OK)
			;
		must(b.nleft == 0 && b.from == at && b.rows > 0);
		for (int64_t k = 0; k < b.rows * d->width; k++)
			must(b.ids[k] >= 0 && b.ids[k] < TEXT_BYTE_IDS);
	}
	data_loader_free(l);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct rk_why why = { 0 };
	struct data_set *d = NULL;

	if (n == 0)
		return 0;
	const struct spec_source s = source_of(p[0]);
	const enum rk_err rc = data_parse_text(&s, p + 1, n - 1, NULL, 0, &d,
	    &why);
	if (rc != RK_OK) {
		must(d == NULL && rc == RK_EINVAL && why.n == 1);
		rk_why_fini(&why);
		return 0;
	}
	must(why.n == 0 && d->n > 0 && d->width == 8);
	for (int64_t i = 0; i < d->n; i++)
		must(d->classes == NULL || d->classes[i] < d->nclasses);
	check_tokens(d);
	data_close(d);
	return 0;
}
