/* Parameters by patterns of their names, and the other fields that came with
 * them: what is taken, what is refused, what may change on a resume. */
#include "spec_common.h"

T_CASE(patterns_stand_for_whole_names)
{
	static const struct {
		const char *pattern, *name;
		bool fits;
	} v[] = {
		{ "fc.*", "fc.weight", true }, { "fc.*", "fc.", true },
		{ "fc.*", "fc1.weight", false }, { "fc?.*", "fc1.bias", true },
		{ "fc?.*", "fc.bias", false }, { "*", "", true },
		{ "*", "a.b", true }, { "*.bias", "layer1.0.conv1.bias", true },
		{ "*.bias", "bias", false }, { "*bn*", "layer1.0.bn1.weight",
		    true }, { "*bn*", "bn", true }, { "*bn*", "b.n", false },
		{ "", "", true }, { "", "a", false }, { "a", "", false },
		{ "?", "", false }, { "a*b*c", "a.b.b.c", true },
		{ "a*b*c", "a.b.b.c.d", false }, { "*a*a*a", "aaa", true },
		{ "*a*a*a", "aa", false }, { "**x", "x", true },
		{ "fc.weight", "fc.weight", true },
		{ "fc.weight", "fc.weights", false },
	};

	for (size_t i = 0; i < RK_ARRAY_LEN(v); i++)
		if (spec_pattern_fits(v[i].pattern, v[i].name) != v[i].fits)
			t_fail("%s and %s", v[i].pattern, v[i].name);
}

#define GROUPS \
	"training: {optimizer: {type: adamw, weight_decay: 0.05, no_decay: " \
	"['*.bias', '*bn*']}, parameters: [{match: 'fc2.*', " \
	"learning_rate_scale: 0.1}, {match: 'fc?.bias', weight_decay: 0.25}, " \
	"{match: 'stem.*', trainable: false}]}"

T_CASE(the_first_pattern_that_fits_counts)
{
	struct spec *s = job_with(GROUPS);
	const struct spec_training *t = &s->training;

	t_check(spec_rate_of(t, "fc2.bias") == 0.1);
	t_check(spec_decay_of(t, "fc2.bias") == 0);
	t_check(spec_decay_of(t, "fc2.weight") == 0.05);
	t_check(spec_rate_of(t, "fc1.bias") == 1);
	t_check(spec_decay_of(t, "fc1.bias") == 0.25);
	t_check(spec_decay_of(t, "layer.bn.weight") == 0);
	t_check(spec_trains(t, "fc1.weight"));
	t_check(!spec_trains(t, "stem.weight"));
	t_check(spec_group_of(t, "fc1.weight") == NULL);
	spec_free(s);
}

T_CASE(wrong_groups_and_fields_are_refused)
{
	static const struct {
		const char *changes, *path, *words;
	} v[] = {
		{ "training: {parameters: fc}", "training.parameters",
		    "is \"fc\", want a list of {match" },
		{ "training: {parameters: [fc]}", "training.parameters[0]",
		    "is \"fc\", want an object" },
		{ "training: {parameters: [null]}", "training.parameters[0]",
		    "is missing, want an object" },
		{ "training: {parameters: [{match: a}, {trainable: false}]}",
		    "training.parameters[1].match", "is missing" },
		{ "training: {parameters: [{match: ''}]}",
		    "training.parameters[0].match", "is empty" },
		{ "training: {parameters: [{match: a, lr: 1}]}",
		    "training.parameters[0].lr", "not a known field" },
		{ "training: {parameters: [{match: a, requires_grad: false}]}",
		    "training.parameters[0].requires_grad", "trainable" },
		{ "training: {parameters: [{match: a, "
		    "learning_rate_scale: -1}]}",
		    "training.parameters[0].learning_rate_scale", "is -1" },
		{ "training: {parameters: [{match: a, weight_decay: x}]}",
		    "training.parameters[0].weight_decay", "is \"x\"" },
		{ "training: {parameters: [{match: a, trainable: 0}]}",
		    "training.parameters[0].trainable", "true or false" },
		{ "training: {optimizer: {type: adam, no_decay: bias}}",
		    "training.optimizer.no_decay", "want a list of patterns" },
		{ "training: {optimizer: {type: adam, no_decay: [1]}}",
		    "training.optimizer.no_decay[0]", "is 1, want a pattern" },
		{ "training: {optimizer: {type: adam, no_decay: ['']}}",
		    "training.optimizer.no_decay[0]", "of 1 to 256 bytes" },
		{ "training: {optimizer: {type: adam, lr_decay: 0.1}}",
		    "training.optimizer.lr_decay", "is for adagrad" },
		{ "training: {optimizer: {type: adagrad, betas: [0.9, 0.9]}}",
		    "training.optimizer.betas", "adam, adamw and lamb" },
		{ "training: {optimizer: {type: sgd, learning_rate: 1, "
		    "eps: 1}}", "training.optimizer.eps", "adagrad and lamb" },
		{ "training: {optimizer: {type: adagrad, "
		    "initial_accumulator_value: -1}}",
		    "training.optimizer.initial_accumulator_value", "is -1" },
		{ "training: {gradient_clip_value: -1}",
		    "training.gradient_clip_value", "is -1" },
		{ "training: {gradient_clip_value: 1, gradient_clip_norm: 2}",
		    "training.gradient_clip_value", "is 1, and "
		    "gradient_clip_norm is 2: one of them must be 0" },
		{ "training: {ema: 0.9}", "training.ema", "want {decay: 0.9999" },
		{ "training: {ema: {decay: 1}}", "training.ema.decay",
		    "is 1, want a number above 0 and below 1" },
		{ "training: {ema: {decay: 0}}", "training.ema.decay",
		    "is 0, want" },
		{ "training: {ema: {warmup: 5}}", "training.ema.warmup",
		    "true or false" },
		{ "training: {ema_decay: 0.9}", "training.ema_decay",
		    "ema: {decay" },
		{ "training: {schedule: {type: one_cycle, pct_start: 1}}",
		    "training.schedule.pct_start", "below 1" },
		{ "training: {schedule: {type: one_cycle, div_factor: 0.5}}",
		    "training.schedule.div_factor", "is 0.5" },
		{ "training: {schedule: {type: one_cycle, anneal: cosine}}",
		    "training.schedule.anneal", "cos or linear" },
		{ "training: {schedule: {type: one_cycle, warmup_steps: 5}}",
		    "training.schedule.warmup_steps", "climbs by itself" },
		{ "training: {schedule: {type: one_cycle, max_lr: 5}}",
		    "training.schedule.max_lr", "learning_rate" },
		{ "training: {schedule: {type: cosine, pct_start: 0.5}}",
		    "training.schedule.pct_start", "is for one_cycle, not" },
		{ "training: {schedule: {type: reduce_on_plateau, "
		    "factor: 1}}", "training.schedule.factor", "below 1" },
		{ "training: {schedule: {type: reduce_on_plateau, "
		    "patience: -1}}", "training.schedule.patience", "is -1" },
		{ "training: {schedule: {type: reduce_on_plateau, "
		    "min_learning_rate: 2}}",
		    "training.schedule.min_learning_rate", "more than the" },
		{ "training: {schedule: {type: reduce_on_plateau, "
		    "length: 2}}", "training.schedule.length", "is for" },
		{ "training: {schedule: {type: cosine, patience: 2}}",
		    "training.schedule.patience", "is for reduce_on_plateau" },
		{ "training: {schedule: {type: cosine, warmup: linear}}",
		    "training.schedule.warmup", "want torch or paddle" },
	};

	for (size_t i = 0; i < RK_ARRAY_LEN(v); i++)
		refused(v[i].changes, v[i].path, v[i].words);
}

T_CASE(more_groups_than_anybody_needs_are_refused)
{
	struct strbuf b = {0};

	sb_adds(&b, "training: {parameters: [");
	for (int i = 0; i < 65; i++)
		sb_adds(&b, "{match: a},");
	sb_adds(&b, "]}");
	refused(sb_str(&b), "training.parameters", "has 65 {match");
	sb_fini(&b);
}

T_CASE(adagrad_and_lamb_have_the_defaults_of_their_authors)
{
	struct spec *s = job_with("training: {optimizer: adagrad}");
	const struct spec_optim *p = &s->training.optim;

	t_check(p->learning_rate == 0.01 && p->eps == 1e-10 &&
	    p->lr_decay == 0 && p->initial_accumulator == 0 &&
	    p->weight_decay == 0);
	spec_free(s);
	s = job_with("training: {optimizer: lamb}");
	p = &s->training.optim;
	t_check(p->learning_rate == 0.001 && p->eps == 1e-6 &&
	    p->beta1 == 0.9 && p->beta2 == 0.999 && p->weight_decay == 0.01);
	spec_free(s);
	s = job_with("training: {ema: {}}");
	t_check(s->training.ema.decay == 0.9999 && !s->training.ema.warmup);
	spec_free(s);
}

static void
digest_of(const char *changes, char hex[RK_SHA256_HEX])
{
	struct spec *s = job_with(changes);

	spec_digest(s, hex);
	spec_free(s);
}

/* At their default they are not there at all. */
T_CASE(a_young_field_at_its_default_changes_nothing)
{
	struct spec *a = job_with("{}"), *b = job_with("training: "
	    "{parameters: [], gradient_clip_value: 0, ema: null, optimizer: "
	    "{type: adam, no_decay: []}, schedule: {warmup: null}}");
	char *x = normal(a), *y = normal(b);
	json_t *v = spec_record(a), *w = spec_record(b);

	t_eq_str(y, x);
	t_check(json_equal(v, w));
	json_decref(v);
	json_decref(w);
	free(x);
	free(y);
	spec_free(a);
	spec_free(b);
}

T_CASE(a_young_field_that_is_said_is_another_job)
{
	static const char *const v[] = {
		"training: {gradient_clip_value: 1}",
		"training: {ema: {decay: 0.9}}",
		"training: {parameters: [{match: a}]}",
		"training: {optimizer: {type: adam, no_decay: [a]}}",
		"training: {schedule: {warmup: torch}}",
	};
	char base[RK_SHA256_HEX], hex[RK_SHA256_HEX];

	digest_of("{}", base);
	for (size_t i = 0; i < RK_ARRAY_LEN(v); i++) {
		digest_of(v[i], hex);
		if (strcmp(base, hex) == 0)
			t_fail("%s leaves the digest", v[i]);
	}
}

T_CASE(what_judges_a_plateau_is_part_of_its_job)
{
	static const char with[] = "{training: {schedule: reduce_on_plateau}, "
	    "checkpoint: {keep: {metric: val_loss}}}";
	char a[RK_SHA256_HEX], b[RK_SHA256_HEX];

	digest_of("training: {schedule: reduce_on_plateau}", a);
	digest_of(with, b);
	t_check(strcmp(a, b) != 0);
	digest_of("{}", a);
	digest_of("checkpoint: {keep: {metric: val_loss}}", b);
	t_eq_str(a, b);
}

/* --- on a resume ---------------------------------------------------------- */

/* By a request, and by an edited job against the record: the fault, or "". */
static void
resumed(const char *job, const char *with, const char *path,
    const char *words)
{
	json_t *tree = tree_with(job), *o = yaml(with);
	struct rk_why why = {0};
	struct spec *old, *s = NULL, *new = NULL;

	t_eq_int(spec_parse(tree, &old, NULL), RK_OK);
	json_t *record = spec_record(old);
	bool ok = spec_override(tree, o, &s, NULL, &why) == RK_OK;
	if (ok != (path == NULL))
		t_fail("%s: %s", with, rk_why_text(&why));
	if (!ok)
		one_fault(&why, with, path, words);
	rkj_merge(tree, o);
	t_eq_int(spec_parse(tree, &new, NULL), RK_OK);
	ok = spec_compare(record, new, NULL, &why) == RK_OK;
	if (ok != (path == NULL))
		t_fail("%s, by the record: %s", with, rk_why_text(&why));
	if (!ok)
		one_fault(&why, with, path, words);
	spec_free(old);
	spec_free(s);
	spec_free(new);
	json_decref(record);
	json_decref(tree);
	json_decref(o);
}

T_CASE(which_parameters_are_trained_and_how_may_change_on_a_resume)
{
	resumed("{}", GROUPS "", "training.optimizer.type", "cannot");
	resumed("training: {optimizer: adamw}", GROUPS, NULL, NULL);
	resumed(GROUPS, "training: {parameters: null, optimizer: {no_decay: "
	    "[a]}}", NULL, NULL);
	resumed("{}", "training: {gradient_clip_value: 1}", NULL, NULL);
	resumed("training: {optimizer: adagrad}", "training: {optimizer: "
	    "{type: adagrad, lr_decay: 0.1, eps: 0.1}}", NULL, NULL);
	resumed("training: {optimizer: adagrad}", "training: {optimizer: "
	    "{type: adagrad, initial_accumulator_value: 0.1}}",
	    "training.optimizer.initial_accumulator_value", "began with it");
}

T_CASE(an_average_can_neither_begin_nor_end_on_a_resume)
{
	resumed("{}", "training: {ema: {decay: 0.9}}", "training.ema",
	    "cannot be begun on a resume: the checkpoint has no average");
	resumed("training: {ema: {decay: 0.9}}", "training: {ema: null}",
	    "training.ema", "cannot be given up on a resume: the checkpoint "
	    "has an average");
	resumed("training: {ema: {decay: 0.9}}", "training: {ema: {decay: "
	    "0.99, warmup: true}}", NULL, NULL);
}

/* What a record of before has not, it had at its default: that it is no more is
 * a change. */
T_CASE(a_young_field_is_a_change_against_an_older_record)
{
	struct spec *old = job_with("{}"), *new = job_with("training: "
	    "{schedule: {warmup: torch}, parameters: [{match: a}]}");
	json_t *record = spec_record(old), *changed = NULL;

	t_eq_int(spec_compare(record, new, &changed, NULL), RK_OK);
	char *text = rkj_text(changed);
	t_has(text, "\"training.schedule.warmup\":[null,\"torch\"]");
	t_has(text, "\"training.parameters\":[null,[");
	free(text);
	json_decref(changed);
	json_decref(record);
	spec_free(old);
	spec_free(new);
}

T_CASE(one_cycle_leaves_the_warm_up_of_what_it_replaces)
{
	json_t *tree = tree_with("training: {schedule: {type: cosine, "
	    "warmup_steps: 5, warmup: paddle}}");
	json_t *o = yaml("training: {schedule: one_cycle}");
	struct rk_why why = {0};
	struct spec *s = NULL;

	if (spec_override(tree, o, &s, NULL, &why) != RK_OK)
		t_fail("%s", rk_why_text(&why));
	t_eq_int(s->training.schedule.warmup, 0);
	spec_free(s);
	json_decref(o);
	o = yaml("training: {schedule: linear}");
	t_eq_int(spec_override(tree, o, &s, NULL, NULL), RK_OK);
	t_eq_int(s->training.schedule.warmup, 5);
	t_eq_int(s->training.schedule.warmup_by, SPEC_WARMUP_PADDLE);
	spec_free(s);
	json_decref(o);
	json_decref(tree);
}

T_MAIN
