/* training.register: names, conditions, and what it is not part of. */
#include "spec_common.h"

#define REG(fields) "training: {register: " fields "}"

T_CASE(what_a_job_registers_is_read_and_its_normal_form_reads_back)
{
	struct spec *a = job_with(REG("{name: defects, alias: candidate, "
	    "if: 'val_accuracy >= 0.9', notes: three new classes}"));
	const struct spec_register *r = &a->training.reg;
	json_t *v = spec_json(a);
	struct spec *b = must_parse(json_incref(v));
	char *x = normal(a), *y = normal(b);

	t_eq_str(r->name, "defects");
	t_eq_str(r->alias, "candidate");
	t_eq_str(r->notes, "three new classes");
	t_eq_str(r->cond.metric, "val_accuracy");
	t_eq_int(r->cond.than, SPEC_THAN_GE);
	t_near(r->cond.value, 0.9, 0);
	t_eq_str(x, y);
	t_has(x, "\"register\":{\"alias\":\"candidate\",\"if\":\"val_accuracy "
	    ">= 0.9\",\"name\":\"defects\",\"notes\":\"three new classes\"}");
	free(x);
	free(y);
	json_decref(v);
	spec_free(a);
	spec_free(b);
	a = job_with(REG("{name: m}"));
	t_check(a->training.reg.alias == NULL &&
	    a->training.reg.cond_text == NULL);
	spec_free(a);
	a = job_with(REG("null"));
	t_check(a->training.reg.name == NULL);
	x = normal(a);
	t_check(strstr(x, "register") == NULL);
	free(x);
	spec_free(a);
}

T_CASE(what_is_wrong_with_it_is_said_where_it_stands)
{
	refused(REG("m"), "training.register", "is \"m\", want {name: MODEL");
	refused(REG("{alias: a}"), "training.register.name", "is missing");
	refused(REG("{name: a/b}"), "training.register.name",
	    "is \"a/b\", want the name of a model");
	refused(REG("{name: .a}"), "training.register.name", "want the name");
	refused(REG("{name: m, alias: '12'}"), "training.register.alias",
	    "not digits alone");
	refused(REG("{name: m, alias: latest}"), "training.register.alias",
	    "and not latest");
	refused(REG("{name: m, if: 'val_accuracy > nan'}"),
	    "training.register.if", "want METRIC OP NUMBER");
	refused(REG("{name: m, if: val_accuracy}"), "training.register.if",
	    "want METRIC OP NUMBER");
	refused(REG("{name: m, if: 'accuracy >= 0.9'}"),
	    "training.register.if", "want a metric of checkpoint.keep.metric");
	refused(REG("{name: m, if: 'val_mae < 0.9'}"), "training.register.if",
	    "which the loss cross_entropy does not have");
	refused("training: {register: {name: m, if: 'val_loss < 1'}}\n"
	    "data: {validation: null}", "training.register.if",
	    "there are no validation data");
	refused(REG("{name: m, tags: x}"), "training.register.tags",
	    "is not a known field");
}

static void
holds(const char *text, double x, bool want)
{
	struct spec_condition c;
	struct rk_why why = {0};

	if (spec_condition_parse(text, &c, &why) != RK_OK)
		t_fail("%s: %s", text, rk_why_first(&why));
	if (spec_condition_holds(&c, x) != want)
		t_fail("%s of %g is not %d", text, x, want);
	free(c.metric);
}

T_CASE(a_condition_holds_a_number_against_another)
{
	holds("loss<=0.5", 0.5, true);
	holds(" loss  <  5e-1 ", 0.5, false);
	holds("loss > -1", 0.5, true);
	holds("loss>=.75", 0.5, false);
	holds("x >= 0", 0.0 / 0.0, false);
}

T_CASE(texts_that_are_no_condition_are_refused)
{
	static const char *const texts[] = { "", " ", ">=", "a", "a >=",
		"a >= b", "a >= 0x10", "a >= inf", "a >= 1e999", "a == 1",
		"a >= 1 2", ">= 1", "a b >= 1", "a >=> 1", "a >= 1;" };
	struct spec_condition c;

	for (size_t i = 0; i < RK_ARRAY_LEN(texts); i++) {
		struct rk_why why = {0};
		if (spec_condition_parse(texts[i], &c, &why) != RK_EINVAL)
			t_fail("\"%s\" is taken for a condition", texts[i]);
		t_eq_int(why.n, 1);
		rk_why_fini(&why);
	}
}

T_CASE(it_decides_no_weight_and_a_resume_may_change_it)
{
	struct spec *with = job_with(REG("{name: m}")), *s = NULL;
	struct spec *without = job_with("{}");
	json_t *record = spec_record(without), *job = tree_with(REG(
	    "{name: m}")), *over, *changed = NULL;
	char a[RK_SHA256_HEX], b[RK_SHA256_HEX];
	struct rk_why why = {0};

	spec_digest(with, a);
	spec_digest(without, b);
	t_eq_str(a, b);
	t_eq_int(spec_compare(record, with, &changed, &why), RK_OK);
	t_eq_int(json_object_size(changed), 0);
	json_decref(changed);
	over = yaml(REG("{alias: production}"));
	t_eq_int(spec_override(job, over, &s, &changed, &why), RK_OK);
	t_eq_str(s->training.reg.alias, "production");
	t_eq_str(s->training.reg.name, "m");
	t_check(json_object_get(changed, "training.register.alias") != NULL);
	json_decref(over);
	json_decref(changed);
	json_decref(job);
	json_decref(record);
	spec_free(s);
	spec_free(with);
	spec_free(without);
}

T_MAIN
