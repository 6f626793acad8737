/* module: spec */
/*
 * A job as somebody sends it, YAML and JSON.  When it is a job, its normal form
 * must be one too, with the same bytes and digest; overriding it with itself
 * must change nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "rekindle/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
check_faults(struct rk_why *why)
{
	must(why->n > 0);
	for (size_t i = 0; i < why->n; i++) {
		json_t *v = json_string(why->v[i].message);
		must(v != NULL);        /* fit to be sent as JSON */
		json_decref(v);
	}
}

static void
check_again(const struct spec *s)
{
	char digest[RK_SHA256_HEX], digest2[RK_SHA256_HEX];
	json_t *first = spec_json(s), *changed;
	char *text = rkj_text(first);
	struct spec *t;

	must(spec_parse_text(text, strlen(text), false, &t, NULL) == RK_OK);
	json_t *second = spec_json(t);
	char *text2 = rkj_text(second);
	must(strcmp(text, text2) == 0);
	spec_digest(s, digest);
	spec_digest(t, digest2);
	must(strcmp(digest, digest2) == 0);
	spec_free(t);

	must(spec_override(first, second, &t, &changed, NULL) == RK_OK);
	must(json_object_size(changed) == 0);
	spec_free(t);
	json_decref(changed);
	json_decref(first);
	json_decref(second);
	free(text);
	free(text2);
}

/* The input as what a checkpoint says it has recorded of its job, and a job
 * against its own record. */
static void
check_record(const json_t *base, const json_t *tree)
{
	struct rk_why why = {0};
	json_t *changed, *record;
	struct spec *s;

	must(spec_parse(base, &s, NULL) == RK_OK);
	if (spec_compare(tree, s, &changed, &why) != RK_OK)
		check_faults(&why);
	rk_why_fini(&why);
	json_decref(changed);
	record = spec_record(s);
	must(spec_compare(record, s, &changed, NULL) == RK_OK);
	must(json_object_size(changed) == 0);
	json_decref(changed);
	json_decref(record);
	spec_free(s);
}

/* The input as overrides of a job, too. */
static void
check_override(const json_t *tree)
{
	static const char job[] = "{\"name\":\"a\",\"model\":{\"arch\":"
	    "\"lenet5\"},\"training\":{\"epochs\":1,\"schedule\":{\"type\":"
	    "\"step\",\"step_size\":3}},\"data\":{\"train\":{\"type\":\"idx\","
	    "\"images\":\"/i\",\"labels\":\"/l\"}}}";
	struct rk_why why = {0};
	struct spec *s;
	json_t *base, *changed;

	must(rkj_parse_json(job, sizeof(job) - 1, &base, NULL) == RK_OK);
	if (spec_override(base, tree, &s, &changed, &why) == RK_OK) {
		json_decref(changed);
		check_again(s);
		spec_free(s);
	} else {
		check_faults(&why);
	}
	rk_why_fini(&why);
	check_record(base, tree);
	json_decref(base);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	for (int yaml = 0; yaml < 2; yaml++) {
		struct rk_why why = {0};
		struct spec *s = NULL;
		json_t *tree;
		enum rk_err rc = spec_parse_text((const char *)p, n, yaml, &s,
		    &why);
		if (rc == RK_OK)
			check_again(s);
		else
			check_faults(&why);
		spec_free(s);
		rk_why_fini(&why);
		rc = yaml ? rkj_parse_yaml((const char *)p, n, &tree, NULL) :
		    rkj_parse_json((const char *)p, n, &tree, NULL);
		if (rc == RK_OK) {
			check_override(tree);
			json_decref(tree);
		}
	}
	return 0;
}
