/* training.cache_features. */
#include "spec_common.h"

#define FROZEN "parameters: [{match: '0.*', trainable: false}]"
#define CACHE(v) "training: {" FROZEN ", cache_features: " v "}"

static void
has_bytes(const char *value, uint64_t want)
{
	char *text = xasprintf("training: {" FROZEN ", cache_features: %s}",
	    value);
	struct spec *s = job_with(text);

	t_eq_int((int64_t)s->training.cache.max_bytes, (int64_t)want);
	spec_free(s);
	free(text);
}

T_CASE(a_cache_has_sixteen_gibibytes_unless_it_says_others)
{
	has_bytes("true", (uint64_t)16 << 30);
	has_bytes("{}", (uint64_t)16 << 30);
	has_bytes("{max_bytes: 5MiB}", (uint64_t)5 << 20);
	has_bytes("{max_bytes: 1048576}", (uint64_t)1 << 20);
	has_bytes("false", 0);
	has_bytes("null", 0);
}

T_CASE(the_normal_form_of_a_cache_reads_back)
{
	struct spec *a = job_with(CACHE("true"));
	json_t *v = spec_json(a);
	struct spec *b = must_parse(json_incref(v));
	char *x = normal(a), *y = normal(b);

	t_eq_str(x, y);
	t_has(x, "\"cache_features\":{\"max_bytes\":17179869184}");
	free(x);
	free(y);
	json_decref(v);
	spec_free(a);
	spec_free(b);
}

/* Jobs of before have their digests; how large it may be changes no weight. */
T_CASE(a_job_without_a_cache_is_as_before)
{
	struct spec *none = job_with("training: {" FROZEN "}");
	struct spec *off = job_with(CACHE("false"));
	struct spec *on = job_with(CACHE("true"));
	struct spec *small = job_with(CACHE("{max_bytes: 5MiB}"));
	char a[RK_SHA256_HEX], b[RK_SHA256_HEX];
	json_t *record = spec_record(none), *changed = NULL;
	char *text = normal(off);

	t_check(strstr(text, "cache") == NULL);
	free(text);
	spec_digest(none, a);
	spec_digest(off, b);
	t_eq_str(a, b);
	spec_digest(on, b);
	t_check(strcmp(a, b) != 0);
	spec_digest(small, a);
	t_eq_str(a, b);
	t_eq_int(spec_compare(record, on, &changed, NULL), RK_OK);
	t_check(json_object_get(changed, "training.cache_features") != NULL);
	json_decref(record);
	json_decref(changed);
	spec_free(none);
	spec_free(off);
	spec_free(on);
	spec_free(small);
}

T_CASE(a_phase_has_a_cache_of_its_own_or_that_of_the_training)
{
	struct spec *s = job_with("training: {epochs: 9, cache_features: true, "
	    "phases: [{epochs: 1, train: '0.*'}, {epochs: 1, train: ['0.*'], "
	    "cache_features: {max_bytes: 2MiB}}, {epochs: 1, train: '0.*', "
	    "cache_features: false}, {}]}");
	const uint64_t want[] = { SPEC_CACHE_BYTES, 2u << 20, 0, 0 };
	json_t *v = spec_json(s);
	struct spec *b = must_parse(json_incref(v));
	char *x = normal(s), *y = normal(b);
	char a[RK_SHA256_HEX], c[RK_SHA256_HEX];

	for (int k = 0; k < 4; k++)
		t_check(spec_phase_cache(&s->training, k) == want[k]);
	t_eq_str(x, y);
	t_has(x, "\"cache_features\":false");
	spec_digest(s, a);
	b->training.phases[1].cache.max_bytes++;
	spec_digest(b, c);
	t_eq_str(a, c);
	b->training.phases[1].cache.max_bytes = 0;
	spec_digest(b, c);
	t_check(strcmp(a, c) != 0);
	free(x);
	free(y);
	json_decref(v);
	spec_free(s);
	spec_free(b);
}

T_CASE(what_cannot_be_kept_is_refused)
{
	static const char path[] = "training.cache_features";

	refused("training: {cache_features: true}", path, "nothing is frozen");
	refused("training: {parameters: [{match: '0.*', weight_decay: 0}], "
	    "cache_features: true}", path, "nothing is frozen");
	refused("training: {phases: [{epochs: 1}, {}], epochs: 3, "
	    "cache_features: true}", path, "a phase that trains less than all");
	refused("training: {phases: [{epochs: 1, train: '0.*', "
	    "cache_features: true}, {cache_features: {}}], epochs: 3}",
	    "training.phases[1].cache_features", "nothing is frozen");
	refused("training: {phases: [{epochs: 1, cache_features: true}, {}], "
	    "epochs: 3}", "training.phases[0].cache_features",
	    "nothing is frozen");
	refused("training: {phases: [{epochs: 1, train: '0.*', "
	    "cache_features: 8}, {}], epochs: 3}",
	    "training.phases[0].cache_features", "is 8, want true");
	refused(CACHE("7"), path, "is 7, want true, false or {max_bytes");
	refused(CACHE("{max_bytes: 1}"), "training.cache_features.max_bytes",
	    "want");
	refused(CACHE("{bytes: 1}"), "training.cache_features.bytes", "");
	refused("training: {" FROZEN ", cache_features: true}\n"
	    "data: {transforms: {train: [{type: random_crop, size: 20}]}}",
	    path, "data.transforms.train[0] (random_crop) is random");
	refused("model: {checkpoint: /m/best.pdparams}\n"
	    "training: {" FROZEN ", cache_features: true, distill: {}}", path,
	    "training.distill shows each sample to the ancestor");
}

T_MAIN
