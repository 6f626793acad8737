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
		"unexpected", "mismatch", "minimum", "producer", "grow",
		"checkpoint_classes", "checkpoint_vocabulary" };

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

/* --- what grows ----------------------------------------------------------- */

T_CASE(a_list_of_layers_is_short_for_matching_by_name)
{
	struct spec *a = job_with("{model: {checkpoint: /m, grow: [fc]}}");
	struct spec *b = job_with("{model: {checkpoint: /m, grow: {fc: {match: name, init: "
	    "default}}}}");
	json_t *x = spec_json(a), *y = spec_json(b);

	t_check(json_equal(x, y));
	t_eq_int(json_object_size(json_object_get(json_object_get(x, "model"),
	    "grow")), 1);
	json_decref(x);
	json_decref(y);
	spec_free(a);
	spec_free(b);
}

T_CASE(what_grows_comes_back_from_the_normal_form)
{
	struct spec *a = job_with("{model: {checkpoint: /m, grow: {'fc.*': {init: mean}, "
	    "conv1: {match: index, init: zero}}, checkpoint_classes: "
	    "[b, 7, 'a b'], checkpoint_vocabulary: /v.txt}}"), *b = NULL;
	json_t *first = spec_json(a);

	t_check(spec_parse(first, &b, NULL) == RK_OK);
	json_t *second = spec_json(b);
	t_check(json_equal(first, second));
	const struct spec_warm *w = &b->model.warm;
	const struct spec_grow *g = spec_grow_of(w, "fc.weight");
	t_check(g != NULL && g->match == SPEC_GROW_NAME &&
	    g->init == SPEC_GROW_MEAN);
	g = spec_grow_of(w, "conv1.weight");
	t_check(g != NULL && g->match == SPEC_GROW_INDEX &&
	    g->init == SPEC_GROW_ZERO);
	t_check(spec_grow_of(w, "conv10.weight") == NULL);
	t_check(spec_grow_of(w, "layer.conv1.weight") == NULL);
	t_eq_int(w->classes.n, 3);
	t_eq_str(w->classes.v[1], "7");
	t_eq_str(w->classes.v[2], "a b");
	t_eq_str(w->vocabulary, "/v.txt");
	json_decref(first);
	json_decref(second);
	spec_free(a);
	spec_free(b);
}

T_CASE(of_patterns_that_fit_a_layer_the_longest_counts)
{
	struct spec *s = job_with("{model: {checkpoint: /m, grow: {'*': {init: zero}, "
	    "'head.*': {init: mean}, head.fc: {match: index}}}}");
	const struct spec_warm *w = &s->model.warm;

	t_eq_int(spec_grow_of(w, "x")->init, SPEC_GROW_ZERO);
	t_eq_int(spec_grow_of(w, "head.a.bias")->init, SPEC_GROW_MEAN);
	t_eq_int(spec_grow_of(w, "head.fc.bias")->match, SPEC_GROW_INDEX);
	spec_free(s);
}

static enum rk_err
names_of(const char *text, struct spec_names *n, struct rk_why *why)
{
	return spec_names_of_text(text, strlen(text), n, why);
}

T_CASE(a_file_of_classes_has_one_a_line)
{
	struct spec_names n;

	t_check(names_of("\xef\xbb\xbf# classes\n\ncat\r\n 3 wheeler \n12\n",
	    &n, NULL) == RK_OK);
	t_eq_int(n.n, 3);
	t_eq_str(n.v[0], "cat");
	t_eq_str(n.v[1], "3 wheeler");
	t_eq_str(n.v[2], "12");
	spec_names_fini(&n);
	t_check(names_of("0\n1\n2", &n, NULL) == RK_OK);
	t_eq_str(n.v[2], "2");
	spec_names_fini(&n);
}

T_CASE(or_paddleclas_index_and_name)
{
	struct spec_names n;

	t_check(names_of("1 goldfish, Carassius auratus\n0\ttench\n2 #x\n",
	    &n, NULL) == RK_OK);
	t_eq_int(n.n, 3);
	t_eq_str(n.v[0], "tench");
	t_eq_str(n.v[1], "goldfish, Carassius auratus");
	t_eq_str(n.v[2], "#x");
	spec_names_fini(&n);
	/* As in ImageNet's, where cranes are birds and machines. */
	t_check(names_of("0 crane\n1 crane\n", &n, NULL) == RK_OK);
	t_eq_int(n.n, 2);
	spec_names_fini(&n);
	/* Numbers that are no indices are of the names. */
	t_check(names_of("1 a\n3 b\n", &n, NULL) == RK_OK);
	t_eq_str(n.v[0], "1 a");
	spec_names_fini(&n);
	t_check(names_of("0 a\n0 b\n", &n, NULL) == RK_OK);
	t_eq_str(n.v[1], "0 b");
	spec_names_fini(&n);
}

T_CASE(files_that_name_no_classes_are_refused)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "", "has no names" }, { "\n# x\n", "has no names" },
		{ "a\n\xff\n", "line 2 is no name" },
	};
	struct spec_names n;

	for (size_t i = 0; i < RK_ARRAY_LEN(bad); i++) {
		struct rk_why why = {0};
		t_check(names_of(bad[i].text, &n, &why) == RK_EINVAL);
		t_check(strstr(rk_why_first(&why), bad[i].why) != NULL);
		t_check(n.n == 0 && n.v == NULL);
		rk_why_fini(&why);
	}
}

/* It is of the plan, not of the weights. */
T_CASE(a_plans_digest_is_not_in_the_jobs)
{
	struct spec *a = job_with("{model: {checkpoint: /m}}");
	struct spec *b = job_with("{model: {checkpoint: /m}, training: "
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
