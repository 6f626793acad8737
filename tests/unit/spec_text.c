/*
 * The source text: what a job may say of it, its normal form, and what is refused.
 */
#include "spec_common.h"

/* The small job with data of texts, `fields` of the training source. */
static json_t *
job(const char *fields)
{
	char *text = xasprintf("data: {train: {type: text, images: null, "
	    "labels: null, %s}, validation: null}", fields);
	json_t *t = tree_with(text);

	free(text);
	return t;
}

static void
refuses(const char *fields, const char *path, const char *says)
{
	struct rk_why w = { 0 };
	struct spec *s = NULL;
	json_t *t = job(fields);

	t_eq_int(spec_parse(t, &s, &w), RK_EINVAL);
	for (size_t i = 0; i < w.n; i++)
		if (strcmp(w.v[i].path, path) == 0 &&
		    strstr(w.v[i].message, says) != NULL) {
			rk_why_fini(&w);
			json_decref(t);
			return;
		}
	t_fail("%s: says \"%s\" and not \"%s: %s\"", fields, rk_why_text(&w),
	    path, says);
}

static json_t *
train_of(const struct spec *s)
{
	json_t *j = spec_json(s), *t = json_object_get(json_object_get(j,
	    "data"), "train");

	json_incref(t);
	json_decref(j);
	return t;
}

static void
normal_is(const char *fields, const char *want)
{
	struct spec *s = must_parse(job(fields));
	json_t *t = train_of(s), *w = yaml(want);

	if (!json_equal(t, w))
		t_fail("%s", rkj_text(t));
	json_decref(t);
	json_decref(w);
	/* And it gives itself. */
	json_t *again = spec_json(s);
	struct spec *s2 = must_parse(json_incref(again));
	json_t *two = spec_json(s2);
	t_check(json_equal(again, two));
	json_decref(again);
	json_decref(two);
	spec_free(s);
	spec_free(s2);
}

#define V "tokenizer: {type: wordpiece, vocabulary: /v}"

T_CASE(columns_have_their_defaults)
{
	normal_is("path: /a.csv, text: t, label: l, " V,
	    "{type: text, path: /a.csv, text: t, label: l, header: auto, "
	    "delimiter: ',', encoding: utf-8, tokenizer: {type: wordpiece, "
	    "vocabulary: /v, lower_case: true, strip_accents: true}, length: "
	    "128}");
	normal_is("path: /a.TSV, text: 0, pair: 1, label: -1, header: true, "
	    "encoding: latin-1, length: 64, tokenizer: {type: words, "
	    "vocabulary: /v, lower_case: false}",
	    "{type: text, path: /a.TSV, text: 0, pair: 1, label: -1, header: "
	    "true, delimiter: \"\\t\", encoding: latin-1, tokenizer: {type: "
	    "words, vocabulary: /v, lower_case: false, strip_accents: false}, "
	    "length: 64}");
}

T_CASE(a_file_a_class_is_in_the_order_of_names)
{
	normal_is("classes: {pos: /p.txt, neg: 'file:/n.txt'}, tokenizer: "
	    "bytes", "{type: text, classes: {neg: /n.txt, pos: /p.txt}, "
	    "encoding: utf-8, tokenizer: {type: bytes}, length: 128}");
	struct spec *s = must_parse(job("classes: {pos: /p.txt, neg: /n.txt}, "
	    "tokenizer: {type: words, vocabulary: /v}"));
	struct spec_file f[SPEC_FILES];
	t_eq_int(spec_files(&s->data, f), 3);
	t_eq_str(f[0].field, "data.train.classes.neg");
	t_eq_str(*f[0].name, "/n.txt");
	t_eq_str(f[2].field, "data.train.tokenizer.vocabulary");
	spec_free(s);
}

T_CASE(what_texts_cannot_be_is_refused_by_its_path)
{
	refuses("path: /a, label: l, " V, "data.train.text", "is missing");
	refuses("path: /a, text: t, " V, "data.train.label", "is missing");
	refuses("text: t, label: l, " V, "data.train.path", "is missing");
	refuses("path: /a, text: t, label: l", "data.train.tokenizer",
	    "is missing");
	refuses("path: /a, text: t, label: l, tokenizer: words",
	    "data.train.tokenizer.vocabulary", "is missing");
	refuses("path: /a, text: t, label: l, tokenizer: {type: bytes, "
	    "vocabulary: /v}", "data.train.tokenizer.vocabulary",
	    "not for bytes");
	refuses("path: /a, text: t, label: l, tokenizer: letters",
	    "data.train.tokenizer.type", "letters");
	refuses("path: /a, text: t, label: l, encoding: utf8, " V,
	    "data.train.encoding", "utf-8");
	refuses("path: /a, text: t, label: l, length: 2, " V,
	    "data.train.length", "3 tokens at least");
	refuses("path: /a, text: t, pair: p, label: l, length: 4, " V,
	    "data.train.length", "5 tokens at least");
	refuses("path: /a, text: t, label: l, header: false, " V,
	    "data.train.header", "by its name");
	refuses("path: /a, text: 0, label: 1, encoding: gb18030, delimiter: "
	    "'|', " V, "data.train.delimiter", "gb18030");
	refuses("path: /a, classes: {a: /x}, " V, "data.train.path",
	    "a file a class");
	refuses("classes: {}, " V, "data.train.classes", "1 to");
	refuses("classes: 10, " V, "data.train.classes", "NAME: FILE");
	refuses("classes: {a: 3}, " V, "data.train.classes.a", "want");
	refuses("path: /a, text: t, label: l, samples: 3, " V,
	    "data.train.samples", "synthetic");
	refuses("path: /a, text: t, label: l, " V "}, normalize: {type: scale",
	    "data.normalize.type", "tokens");
}

static struct spec *
with_validation(const char *valid)
{
	json_t *t = job("path: /a.csv, text: t, pair: p, label: l, encoding: "
	    "latin-1, length: 32, " V);
	json_t *v = yaml(valid);

	must(json_object_set_new(json_object_get(t, "data"), "validation", v) ==
	    0);
	return must_parse(t);
}

T_CASE(buckets_are_lengths_below_the_length)
{
	normal_is("path: /a.csv, text: t, label: l, buckets: [16, 32], " V,
	    "{type: text, path: /a.csv, text: t, label: l, header: auto, "
	    "delimiter: ',', encoding: utf-8, tokenizer: {type: wordpiece, "
	    "vocabulary: /v, lower_case: true, strip_accents: true}, "
	    "length: 128, buckets: [16, 32]}");
	/* None are none. */
	normal_is("path: /a.csv, text: t, label: l, buckets: [], " V,
	    "{type: text, path: /a.csv, text: t, label: l, header: auto, "
	    "delimiter: ',', encoding: utf-8, tokenizer: {type: wordpiece, "
	    "vocabulary: /v, lower_case: true, strip_accents: true}, "
	    "length: 128}");
	refuses("path: /a, text: t, label: l, buckets: [2], " V,
	    "data.train.buckets", "3 tokens at least");
	refuses("path: /a, text: t, label: l, buckets: [32, 16], " V,
	    "data.train.buckets", "ascend");
	refuses("path: /a, text: t, label: l, buckets: [16, 16], " V,
	    "data.train.buckets", "ascend");
	refuses("path: /a, text: t, label: l, buckets: [16, 128], " V,
	    "data.train.buckets", "want less");
	refuses("path: /a, text: t, label: l, buckets: 16, " V,
	    "data.train.buckets", "list");
	refuses("path: /a, text: t, label: l, buckets: [3,4,5,6,7,8,9,10,11,12,"
	    "13,14,15,16,17,18], " V, "data.train.buckets", "0 to 15");
	json_t *t = job("path: /a, text: t, label: l, buckets: [16], " V);
	json_t *o = yaml("training: {sampler: balanced}");
	struct rk_why w = { 0 };
	struct spec *s;
	rkj_merge(t, o);
	json_decref(o);
	t_eq_int(spec_parse(t, &s, &w), RK_EINVAL);
	t_eq_str(w.v[0].path, "training.sampler");
	rk_why_fini(&w);
	json_decref(t);
}

T_CASE(validation_takes_over_what_it_does_not_say)
{
	struct spec *s = with_validation("{type: text, path: /b.tsv}");
	const struct spec_source *v = &s->data.validation;

	t_eq_str(v->text.column, "t");
	t_eq_str(v->text.pair, "p");
	t_eq_str(v->label_name, "l");
	t_eq_str(v->text.vocabulary, "/v");
	t_check(v->text.encoding == SPEC_LATIN1 && v->text.length == 32 &&
	    v->delimiter == '\t');
	spec_free(s);
	s = with_validation("{type: text, path: /b.csv, text: 3, encoding: "
	    "utf-8}");
	t_check(s->data.validation.text.column == NULL &&
	    s->data.validation.text.column_index == 3 &&
	    s->data.validation.text.encoding == SPEC_UTF8);
	spec_free(s);
}

T_CASE(validation_is_tokenised_as_training_is)
{
	json_t *t = job("path: /a.csv, text: t, label: l, " V);
	struct rk_why w = { 0 };
	struct spec *s;

	must(json_object_set_new(json_object_get(t, "data"), "validation",
	    yaml("{type: text, path: /b, length: 9, tokenizer: bytes, "
	    "buckets: [4]}")) == 0);
	t_eq_int(spec_parse(t, &s, &w), RK_EINVAL);
	t_eq_int(w.n, 3);
	t_eq_str(w.v[0].path, "data.validation.tokenizer");
	t_eq_str(w.v[1].path, "data.validation.length");
	t_eq_str(w.v[2].path, "data.validation.buckets");
	rk_why_fini(&w);
	json_decref(t);
	/* Files of classes have no column for the pair. */
	t = job("path: /a.csv, text: t, pair: p, label: l, " V);
	must(json_object_set_new(json_object_get(t, "data"), "validation",
	    yaml("{type: text, classes: {a: /1, b: /2}}")) == 0);
	t_eq_int(spec_parse(t, &s, &w), RK_EINVAL);
	t_eq_int(w.n, 1);
	t_eq_str(w.v[0].path, "data.validation.pair");
	rk_why_fini(&w);
	json_decref(t);
}

T_CASE(a_digest_has_the_bounds_of_texts)
{
	static const char *const fields[] = {
		"path: /a.csv, text: t, label: l, " V,
		"path: /a.csv, text: t, label: l, length: 64, " V,
		"path: /a.csv, text: t, label: l, encoding: latin-1, " V,
		"path: /a.csv, text: t, label: l, tokenizer: {type: words, "
		    "vocabulary: /v}",
		"path: /a.csv, text: t, label: l, buckets: [32], " V,
		"path: /a.csv, text: t, label: l, buckets: [32, 64], " V,
	};
	char hex[6][RK_SHA256_HEX];

	for (int i = 0; i < 6; i++) {
		struct spec *s = must_parse(job(fields[i]));
		spec_digest(s, hex[i]);
		spec_free(s);
		for (int k = 0; k < i; k++)
			t_check(strcmp(hex[i], hex[k]) != 0);
	}
}

T_MAIN
