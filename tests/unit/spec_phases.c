/* A training in phases, and rates by the names of parameters. */
#include "spec_common.h"

#define TRAINING(x) "training: {" x "}"
/* The job's own length is taken away. */
#define ALONE(x) "training: {epochs: null, " x "}"
#define TWO TRAINING("epochs: 20, optimizer: {learning_rate: 0.01}, " \
	"parameters: [{match: 'stem.*', trainable: false}], " \
	"learning_rates: {'*': 0.5, 'layer1.*': 0.1, 'layer2.*': 0.2, " \
	"'fc.weight': 4}, phases: [{epochs: 3, train: 'fc.*', " \
	"learning_rates: {'fc.*': 2}, schedule: cosine}, " \
	"{train: ['layer?.*', 'fc.*', 'stem.*'], learning_rate_scale: 0.1, " \
	"frozen_batch_norm: training}]")

T_CASE(a_phase_trains_what_its_patterns_fit)
{
	struct spec *s = job_with(TWO);
	const struct spec_training *t = &s->training;

	t_check(spec_phase_trains(t, 0, "fc.bias"));
	t_check(!spec_phase_trains(t, 0, "layer1.bias"));
	t_check(spec_phase_trains(t, 1, "layer1.bias"));
	t_check(!spec_phase_trains(t, 1, "conv.bias"));
	/* Its group is not trainable. */
	t_check(!spec_phase_trains(t, 1, "stem.bias"));
	spec_free(s);
	s = job_with("training: {}");
	t_check(spec_phase_trains(&s->training, 0, "anything"));
	spec_free(s);
}

T_CASE(rates_are_the_phases_times_the_factor_of_the_longest_pattern)
{
	struct spec *s = job_with(TWO);
	const struct spec_training *t = &s->training;

	t_check(spec_phase_peak(t, 0) == 0.01);
	t_near(spec_phase_peak(t, 1), 0.001, 1e-12);
	t_check(spec_phase_rate_of(t, 0, "fc.bias") == 2);
	t_check(spec_phase_rate_of(t, 0, "fc.weight") == 2);
	t_check(spec_phase_rate_of(t, 1, "fc.weight") == 4);
	t_check(spec_phase_rate_of(t, 1, "fc.bias") == 0.5);
	t_check(spec_phase_rate_of(t, 1, "layer1.bias") == 0.1);
	t_check(spec_phase_rate_of(t, 1, "layer2.bias") == 0.2);
	t_eq_int(spec_phase_schedule(t, 0)->type, SPEC_S_COSINE);
	t_eq_int(spec_phase_schedule(t, 1)->type, SPEC_S_CONSTANT);
	spec_free(s);
	s = job_with(TRAINING("parameters: [{match: '*', "
	    "learning_rate_scale: 3}], learning_rates: {fc: 0.5}, "
	    "phases: [{epochs: 2, learning_rate: 7}]"));
	t_check(spec_phase_rate_of(&s->training, 0, "fc") == 1.5);
	t_check(spec_phase_peak(&s->training, 0) == 7);
	spec_free(s);
}

T_CASE(the_name_of_a_layer_fits_all_that_is_in_it)
{
	struct spec *s = job_with(TRAINING("learning_rates: {fc: 0.5, "
	    "'layer?': 3}, phases: [{epochs: 1, train: [fc, layer4]}, {}]"));
	const struct spec_training *t = &s->training;

	t_check(spec_phase_trains(t, 0, "fc.bias"));
	t_check(spec_phase_trains(t, 0, "layer4.1.conv.weight"));
	t_check(!spec_phase_trains(t, 0, "fc2.bias"));
	t_check(!spec_phase_trains(t, 0, "layer40.weight"));
	t_check(!spec_phase_trains(t, 0, "a.fc.bias"));
	t_check(spec_phase_rate_of(t, 1, "fc.bias") == 0.5);
	/* With a wildcard it is of the whole name, as ever. */
	t_check(spec_phase_rate_of(t, 1, "layer1.bias") == 1);
	spec_free(s);
}

T_CASE(frozen_batch_norms_evaluate_in_phases_unless_they_are_told_not_to)
{
	struct spec *s = job_with(TWO);

	t_check(spec_phase_evaluates(&s->training, 0));
	t_check(!spec_phase_evaluates(&s->training, 1));
	spec_free(s);
	s = job_with("training: {}");
	t_check(!spec_phase_evaluates(&s->training, 0));
	spec_free(s);
	s = job_with(TRAINING("frozen_batch_norm: evaluation"));
	t_check(spec_phase_evaluates(&s->training, 0));
	spec_free(s);
	s = job_with(TRAINING("frozen_batch_norm: training, "
	    "phases: [{epochs: 1}, {}]"));
	t_check(!spec_phase_evaluates(&s->training, 0));
	spec_free(s);
}

T_CASE(a_training_is_as_long_as_its_phases)
{
	struct spec *s = job_with(ALONE("phases: [{epochs: 3}, {epochs: 4}]"));

	t_eq_int(s->training.epochs, 0);
	t_eq_int(spec_phase_epochs(&s->training), 7);
	spec_free(s);
	s = job_with(ALONE("phases: [{epochs: 3}, {steps: 4}]"));
	t_eq_int(spec_phase_epochs(&s->training), 0);
	spec_free(s);
	/* Of two units the shorter counts. */
	spec_free(job_with(TRAINING("epochs: 2, phases: [{steps: 30}, "
	    "{epochs: 7}]")));
	spec_free(job_with(TRAINING("epochs: 9, steps: 50, phases: "
	    "[{epochs: 7}]")));
}

T_CASE(wrong_phases_are_refused)
{
	static const struct {
		const char *changes, *path, *words;
	} v[] = {
		{ TRAINING("phases: fc"), "training.phases",
		    "is \"fc\", want a list of at most 32 phases" },
		{ TRAINING("phases: [fc, {}]"), "training.phases[0]",
		    "is \"fc\", want an object" },
		{ TRAINING("phases: [{epochs: 1, train: []}, {}]"),
		    "training.phases[0].train",
		    "is an empty list, want 1 to 64" },
		{ TRAINING("phases: [{epochs: 1, train: [3]}, {}]"),
		    "training.phases[0].train", "has 3, want patterns" },
		{ TRAINING("phases: [{epochs: 1, train: ['']}, {}]"),
		    "training.phases[0].train", "has \"\", want patterns" },
		{ TRAINING("phases: [{epochs: 1, lr: 3}, {}]"),
		    "training.phases[0].lr", "written learning_rate" },
		{ TRAINING("phases: [{epochs: 0}, {}]"),
		    "training.phases[0].epochs", "is 0" },
		{ TRAINING("phases: [{epochs: 1, steps: 3}, {}]"),
		    "training.phases[0].steps", "a phase has one length" },
		{ TRAINING("phases: [{epochs: 1, learning_rate: 0}, {}]"),
		    "training.phases[0].learning_rate", "above 0" },
		{ TRAINING("phases: [{epochs: 1, learning_rate: 1, "
		    "learning_rate_scale: 1}, {}]"),
		    "training.phases[0].learning_rate_scale", "one of them" },
		{ TRAINING("phases: [{}, {epochs: 1}]"), "training.phases[0]",
		    "has no length" },
		{ TRAINING("phases: [{epochs: 2}, {}]"), "training.phases",
		    "nothing is left for it" },
		{ TRAINING("phases: [{epochs: 2}, {epochs: 3}]"),
		    "training.phases", "have 5 epochs in all, and "
		    "training.epochs is 2" },
		{ ALONE("steps: 9, phases: [{steps: 2}, {steps: 3}]"),
		    "training.phases", "have 5 steps in all, and "
		    "training.steps is 9" },
		{ ALONE("phases: [{epochs: 2}, {}]"), "training.epochs",
		    "the last phase has no length" },
		{ ALONE("phases: [{}, {epochs: 1}]"), "training.phases[0]",
		    "has no length" },
		{ ALONE("phases: [{epochs: 0}, {epochs: 1}]"),
		    "training.phases[0].epochs", "is 0" },
		{ TRAINING("phases: [{epochs: 0}, {epochs: 1}]"),
		    "training.phases[0].epochs", "is 0" },
		{ TRAINING("phases: [{epochs: 2}, {epochs: 0}]"),
		    "training.phases[1].epochs", "is 0" },
		{ TRAINING("phases: {'0': {epochs: 1}}"), "training.phases",
		    "which is given as a whole" },
		{ TRAINING("'phases[0]': {epochs: 1}"), "training.phases[0]",
		    "cannot be set by itself: a list is given as a whole, "
		    "phases: [...]" },
		{ TRAINING("phases: [{epochs: 1, schedule: {type: cosine, "
		    "min_learning_rate: 1}}, {}]"),
		    "training.phases[0].schedule.min_learning_rate",
		    "more than the learning rate's 0.001" },
		{ TRAINING("phases: [{epochs: 1, schedule: {type: none}}, {}]"),
		    "training.phases[0].schedule.type", "is \"none\"" },
		{ TRAINING("phases: [{epochs: 1, frozen_batch_norm: no}, {}]"),
		    "training.phases[0].frozen_batch_norm", "evaluation" },
		{ TRAINING("learning_rates: [1]"), "training.learning_rates",
		    "want {PATTERN: factor" },
		{ TRAINING("learning_rates: {'fc.*': -1}"),
		    "training.learning_rates.fc.*", "is -1" },
		{ TRAINING("learning_rates: {'': 1}"),
		    "training.learning_rates", "pattern of 0 bytes" },
		{ TRAINING("phases: [{epochs: 1, learning_rates: "
		    "{'fc.*': x}}, {}]"),
		    "training.phases[0].learning_rates.fc.*", "is \"x\"" },
		{ "model: {checkpoint: /m}\n" TRAINING("warm_start: "
		    "{schedule: continue}, phases: [{epochs: 1}, {}]"),
		    "training.warm_start.schedule", "want restart" },
	};

	for (size_t i = 0; i < RK_ARRAY_LEN(v); i++)
		refused(v[i].changes, v[i].path, v[i].words);
}

T_CASE(the_normal_form_gives_the_same_job)
{
	struct spec *s = job_with(TWO);
	char *text = normal(s), hex[2][RK_SHA256_HEX];
	struct rk_why w = { 0 };
	struct spec *again;

	spec_digest(s, hex[0]);
	if (spec_parse_text(text, strlen(text), false, &again, &w) != RK_OK)
		t_fail("%s", rk_why_first(&w));
	char *twice = normal(again);
	t_eq_str(text, twice);
	spec_digest(again, hex[1]);
	t_eq_str(hex[0], hex[1]);
	free(text);
	free(twice);
	spec_free(s);
	spec_free(again);
}

T_CASE(what_is_not_said_is_not_in_it)
{
	struct spec *s = job_with("training: {phases: [], learning_rates: "
	    "{}}"), *plain = job_with("training: {}");
	char *a = normal(s), *b = normal(plain);

	t_eq_str(a, b);
	t_check(strstr(a, "phases") == NULL &&
	    strstr(a, "learning_rates") == NULL &&
	    strstr(a, "frozen") == NULL);
	free(a);
	free(b);
	spec_free(s);
	spec_free(plain);
}

T_CASE(the_order_of_factors_is_none_of_the_job)
{
	struct spec *a = job_with(TRAINING("learning_rates: {'a.*': 1, "
	    "'*': 2}")), *b = job_with(TRAINING("learning_rates: {'*': 2, "
	    "'a.*': 1}"));
	char hex[2][RK_SHA256_HEX];

	spec_digest(a, hex[0]);
	spec_digest(b, hex[1]);
	t_eq_str(hex[0], hex[1]);
	spec_free(a);
	spec_free(b);
}

T_CASE(a_resume_may_change_phases_and_factors)
{
	json_t *job = tree_with(TWO), *over = yaml("training: {epochs: 30, "
	    "phases: [{epochs: 3, train: 'fc.*'}, {learning_rate: 0.5}], "
	    "learning_rates: {'*': null, 'fc.*': 3}, "
	    "frozen_batch_norm: training}"), *changed;
	struct rk_why w = { 0 };
	struct spec *s;

	if (spec_override(job, over, &s, &changed, &w) != RK_OK)
		t_fail("%s", rk_why_first(&w));
	t_check(spec_phase_peak(&s->training, 1) == 0.5);
	t_check(spec_phase_rate_of(&s->training, 1, "fc.bias") == 3);
	t_check(spec_phase_rate_of(&s->training, 1, "conv") == 1);
	t_check(json_object_get(changed, "training.phases") != NULL);
	t_check(json_object_get(changed, "training.learning_rates.fc.*") !=
	    NULL);
	json_decref(changed);
	json_decref(job);
	json_decref(over);
	spec_free(s);
}

T_CASE(phases_that_are_over_stay_as_they_were)
{
	json_t *job = tree_with(TWO), *over = yaml("training: {phases: "
	    "[{epochs: 3, train: 'layer1.*', learning_rates: {'layer1.*': 2}, "
	    "schedule: cosine, learning_rate: 2}, {learning_rate: 0.5}]}"),
	    *changed;
	struct rk_why w = { 0 };
	struct spec *s;

	if (spec_override(job, over, &s, &changed, &w) != RK_OK)
		t_fail("%s", rk_why_first(&w));
	t_eq_int(spec_phases_stay(changed, 0, &w), RK_OK);
	t_eq_int(spec_phases_stay(changed, 1, &w), RK_EINVAL);
	char *text = rk_why_text(&w);
	t_has(text, "training.phases[0].train: is [\"fc.*\"] and cannot be "
	    "changed to [\"layer1.*\"] on a resume: the phase is over");
	t_has(text, "training.phases[0].learning_rates: ");
	t_has(text, "training.phases[0].learning_rate: is not set and cannot "
	    "be changed to 2");
	t_eq_int((int64_t)w.n, 4);
	t_check(strstr(text, "phases[1]") == NULL);
	free(text);
	rk_why_fini(&w);
	w = (struct rk_why){ 0 };
	t_eq_int(spec_phases_stay(changed, 2, &w), RK_EINVAL);
	t_has(rk_why_first(&w), "has 2 phases, and phase 3 is under way");
	rk_why_fini(&w);
	json_decref(changed);
	json_decref(job);
	json_decref(over);
	spec_free(s);
}

T_CASE(a_checkpoint_knows_the_phases_of_its_job)
{
	struct spec *s = job_with(TWO);
	struct spec *other = job_with(TRAINING("epochs: 20"));
	json_t *record = spec_record(s), *changed;
	struct rk_why w = { 0 };

	t_eq_int(spec_compare(record, other, &changed, &w), RK_OK);
	t_check(json_object_get(changed, "training.phases") != NULL);
	json_decref(changed);
	json_decref(record);
	spec_free(s);
	spec_free(other);
}

T_MAIN
