/* training.distill, and training.warm_start.watch. */
#include "read.h"
#include "spec_common.h"

#define WARM "model: {checkpoint: /m/best.pdparams}\n"
#define DISTILL(fields) WARM "training: {distill: " fields "}"

T_CASE(distillation_has_numbers_of_its_own_unless_it_says_others)
{
	struct spec *s = job_with(DISTILL("{}"));

	t_near(s->training.distill.weight, 0.5, 0);
	t_near(s->training.distill.temperature, 2, 0);
	spec_free(s);
	s = job_with(DISTILL("{weight: 1, temperature: 4.5}"));
	t_near(s->training.distill.weight, 1, 0);
	t_near(s->training.distill.temperature, 4.5, 0);
	spec_free(s);
	s = job_with(DISTILL("null"));
	t_near(s->training.distill.weight, 0, 0);
	spec_free(s);
}

T_CASE(the_normal_form_of_distillation_reads_back)
{
	struct spec *a = job_with(DISTILL("{weight: 0.25}"));
	json_t *v = spec_json(a);
	struct spec *b = must_parse(json_incref(v));
	char *x = normal(a), *y = normal(b);

	t_eq_str(x, y);
	t_has(x, "\"distill\":{\"temperature\":2.0,\"weight\":0.25}");
	free(x);
	free(y);
	json_decref(v);
	spec_free(a);
	spec_free(b);
}

/* Jobs of before have their digests; with it a job is another one, and a
 * checkpoint's record says so. */
T_CASE(a_job_without_distillation_is_as_before)
{
	char a[RK_SHA256_HEX], b[RK_SHA256_HEX];
	struct spec *s = job_with(WARM), *t = job_with(DISTILL("{}"));
	struct rk_why why = {0};
	char *text = normal(s);

	t_check(strstr(text, "distill") == NULL);
	t_check(strstr(text, "watch") == NULL);
	free(text);
	spec_digest(s, a);
	spec_digest(t, b);
	t_check(strcmp(a, b) != 0);
	json_t *record = spec_record(s), *changed = NULL;
	t_eq_int(spec_compare(record, t, &changed, &why), RK_OK);
	t_check(json_object_get(changed, "training.distill") != NULL);
	json_decref(record);
	json_decref(changed);
	spec_free(s);
	spec_free(t);
}

/* What is only said does not change what is computed. */
T_CASE(who_is_not_watched_computes_the_same)
{
	char a[RK_SHA256_HEX], b[RK_SHA256_HEX];
	struct spec *s = job_with(WARM);
	struct spec *t = job_with(WARM "training: {warm_start: "
	    "{watch: false}}");
	char *text = normal(t);

	t_check(s->training.warm_start.watch);
	t_check(!t->training.warm_start.watch);
	t_has(text, "\"watch\":false");
	free(text);
	spec_digest(s, a);
	spec_digest(t, b);
	t_eq_str(a, b);
	spec_free(s);
	spec_free(t);
}

T_CASE(distillation_is_refused_by_path)
{
	refused(DISTILL("0.5"), "training.distill", "want {weight: 0.5");
	refused(DISTILL("{weight: 0}"), "training.distill.weight",
	    "is 0, want a number above 0");
	refused(DISTILL("{weight: 1.5}"), "training.distill.weight",
	    "is 1.5");
	refused(DISTILL("{temperature: 0}"), "training.distill.temperature",
	    "is 0");
	refused(DISTILL("{temprature: 2}"), "training.distill.temprature",
	    "temperature");
	refused("training: {distill: {}}", "training.distill",
	    "the job has none");
	refused(WARM "training: {distill: {}, loss: mse}",
	    "training.distill", "it is for cross_entropy");
	refused(WARM "training: {warm_start: {watch: 3}}",
	    "training.warm_start.watch", "is 3");
}

T_MAIN
