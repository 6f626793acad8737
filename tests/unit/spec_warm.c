/* What a job says of its warm start, read and written back. */
#include "spec_common.h"

static const char more[] =
    "{model: {checkpoint: /m, strict: false, dialect: paddleclas, rename: [{'^a\\.': ''}, "
    "{'(x)y': '\\1'}], missing: {'fc.*': error}, unexpected: error, "
    "mismatch: slice, minimum: 0.5, producer: {paddle: '>=2.6, <3'}}, "
    "training: {warm_start: {optimizer: moments, schedule: continue, "
    "ema: true, plan: "
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef}}}";

T_CASE(fields_of_a_warm_start_come_back_from_the_normal_form)
{
	struct spec *a = job_with(more), *b = NULL;
	json_t *first = spec_json(a);

	t_check(spec_parse(first, &b, NULL) == RK_OK);
	json_t *second = spec_json(b);
	t_check(json_equal(first, second));
	for (int i = 0; i < 2; i++) {
		const struct spec *s = i == 0 ? a : b;
		const struct spec_warm *w = &s->model.warm;
		t_eq_int(w->dialect, SPEC_DIALECT_PADDLECLAS);
		t_eq_int(w->nrename, 2);
		t_eq_str(w->rename[0].from, "^a\\.");
		t_eq_str(w->rename[1].to, "\\1");
		t_near(spec_warm_minimum(w, false), 0.5, 0);
		t_eq_int(spec_policy_for(w, false, SPEC_MISSING, "fc.bias"),
		    SPEC_POLICY_ERROR);
		t_eq_int(spec_policy_for(w, false, SPEC_MISSING, "x"),
		    SPEC_POLICY_INIT);
		t_eq_int(spec_policy_for(w, false, SPEC_UNEXPECTED, "x"),
		    SPEC_POLICY_ERROR);
		t_eq_int(spec_policy_for(w, true, SPEC_MISMATCH, "x"),
		    SPEC_POLICY_SLICE);
		t_eq_str(w->producer[0].versions, ">=2.6, <3");
		t_eq_int(s->training.warm_start.optimizer, SPEC_CARRY_MOMENTS);
		t_eq_int(s->training.warm_start.schedule, SPEC_FROM_CONTINUE);
		t_check(s->training.warm_start.ema);
		t_eq_int(strlen(s->training.warm_start.plan), 64);
	}
	json_decref(first);
	json_decref(second);
	spec_free(a);
	spec_free(b);
}

T_CASE(expressions_of_an_object_stay_in_their_order)
{
	struct spec *s = job_with("{model: {rename: {z: a, a: z, m: m}}}");
	json_t *j = spec_json(s);
	char *text = rkj_text(json_object_get(json_object_get(j, "model"),
	    "rename"));

	t_eq_str(text, "[{\"z\":\"a\"},{\"a\":\"z\"},{\"m\":\"m\"}]");
	free(text);
	json_decref(j);
	spec_free(s);
}

T_CASE(a_job_that_says_nothing_of_it_has_its_old_normal_form)
{
	struct spec *s = job_with("{model: {strict: false}}");
	json_t *j = spec_json(s), *m = json_object_get(j, "model");
	static const char *const young[] = { "dialect", "rename", "missing",
		"unexpected", "mismatch", "minimum", "producer" };

	for (size_t i = 0; i < RK_ARRAY_LEN(young); i++)
		t_check(json_object_get(m, young[i]) == NULL);
	t_eq_int(json_object_size(json_object_get(json_object_get(j,
	    "training"), "warm_start")), 1);
	t_near(spec_warm_minimum(&s->model.warm, false), 0.9, 0);
	t_near(spec_warm_minimum(&s->model.warm, true), 0, 0);
	t_check(!spec_warm_is_loose(&s->model.warm, true));
	json_decref(j);
	spec_free(s);
}

/* It is of the plan, not of the weights. */
T_CASE(a_plans_digest_is_not_in_the_jobs)
{
	struct spec *a = job_with("{}"), *b = job_with("{training: "
	    "{warm_start: {plan: 0123456789abcdef0123456789abcdef0123456789"
	    "abcdef0123456789abcdef}}}");
	char x[RK_SHA256_HEX], y[RK_SHA256_HEX];

	spec_digest(a, x);
	spec_digest(b, y);
	t_eq_str(x, y);
	spec_free(a);
	spec_free(b);
}

T_MAIN
