/* Overrides of a resume, selectors, and names of checkpoints. */
#include "spec_common.h"

/* Override a job; on success *changed as text (the caller frees). */
static struct spec *
override(const char *job, const char *with, char **changed)
{
	json_t *tree = tree_with(job), *o = yaml(with), *c = NULL;
	struct rk_why w = {0};
	struct spec *s = NULL;

	if (spec_override(tree, o, &s, &c, &w) != RK_OK)
		t_fail("%s refused: %s", with, rk_why_text(&w));
	*changed = rkj_text(c);
	json_decref(c);
	json_decref(tree);
	json_decref(o);
	return s;
}

static void
changes(const char *job, const char *with, const char *want)
{
	char *changed;
	struct spec *s = override(job, with, &changed);

	t_eq_str(changed, want);
	free(changed);
	spec_free(s);
}

static void
override_refused(const char *job, const char *with, const char *path,
    const char *words)
{
	json_t *tree = tree_with(job), *o = yaml(with);
	struct rk_why w = {0};
	struct spec *s = NULL;

	if (spec_override(tree, o, &s, NULL, &w) != RK_EINVAL || s != NULL)
		t_fail("not refused: %s", with);
	one_fault(&w, with, path, words);
	json_decref(tree);
	json_decref(o);
}

T_CASE(what_may_change_on_a_resume_changes_and_is_told)
{
	changes("{}", "{}", "{}");
	changes("{}", "training: {epochs: 5}", "{\"training.epochs\":[2,5]}");
	changes("{}", "training: {optimizer: {learning_rate: 1e-4}}",
	    "{\"training.optimizer.learning_rate\":[0.001,0.0001]}");
	changes("{}", "{name: b, priority: 2, retries: 0}",
	    "{\"name\":[\"tiny\",\"b\"],\"priority\":[0,2],"
	    "\"retries\":[3,0]}");
	changes("labels: {a: x}", "labels: {a: null, b: y}",
	    "{\"labels.a\":[\"x\",null],\"labels.b\":[null,\"y\"]}");
	changes("{}", "resources: {threads: 2}",
	    "{\"resources.threads\":[null,2]}");
	changes("{}", "checkpoint: {every: {steps: 10}}",
	    "{\"checkpoint.every.steps\":[0,10]}");
	changes("{}", "training: {loss: {label_smoothing: 0.1}}",
	    "{\"training.loss.label_smoothing\":[0.0,0.1]}");
	changes("{}", "training: {gradient_clip_norm: 1, log_every: 5}",
	    "{\"training.gradient_clip_norm\":[0.0,1.0],"
	    "\"training.log_every\":[50,5]}");
	changes("training: {exact: require}", "training: {exact: prefer}",
	    "{\"training.exact\":[\"require\",\"prefer\"]}");
	changes("training: {arithmetic: fast}", "training: {arithmetic: "
	    "exact}", "{\"training.arithmetic\":[\"fast\",\"exact\"]}");
	changes("{}", "training: {arithmetic: exact}", "{}");
	changes("checkpoint: {push: s3://b/x}", "checkpoint: {push: oss://c, "
	    "require_remote: true}", "{\"checkpoint.push\":[\"s3://b/x/\","
	    "\"oss://c/\"],\"checkpoint.require_remote\":[false,true]}");
	changes("checkpoint: {push: s3://b/x}", "checkpoint: {push: null}",
	    "{\"checkpoint.push\":[\"s3://b/x/\",null]}");
	changes("{}", "metadata: {notes: again}",
	    "{\"metadata.notes\":[null,\"again\"]}");
}

T_CASE(the_value_that_is_there_already_is_no_change)
{
	changes("{}", "{model: {arch: mlp, sizes: [4, 3, 2]}, hold: false, "
	    "training: {batch_size: 64, optimizer: adam, loss: "
	    "cross_entropy}}", "{}");
	/* A whole job sent again, with one field changed. */
	struct spec *s = job_with("{}");
	char *text = normal(s);
	json_t *v = yaml(text);
	struct rk_why w = {0};
	t_eq_int(rkj_set_path(v, "training.epochs", json_integer(9), &w),
	    RK_OK);
	char *again = rkj_text(v);
	changes("{}", again, "{\"training.epochs\":[2,9]}");
	free(text);
	free(again);
	spec_free(s);
	json_decref(v);
}

T_CASE(a_word_for_an_optimiser_keeps_its_other_fields)
{
	changes("training: {optimizer: {type: adam, learning_rate: 0.5}}",
	    "training: {optimizer: adam}", "{}");
}

T_CASE(what_the_state_was_made_with_may_not_change)
{
	static const struct {
		const char *with, *path;
	} no[] = {
		{ "hold: true", "hold" },
		{ "model: {sizes: [4, 5, 2]}", "model.sizes" },
		{ "model: {strict: false}", "model.strict" },
		{ "model: {checkpoint: /x}", "model.checkpoint" },
		{ "data: {normalize: none}", "data.normalize.type" },
		{ "training: {batch_size: 32}", "training.batch_size" },
		{ "training: {drop_last: true}", "training.drop_last" },
		{ "training: {shuffle: false}", "training.shuffle" },
		{ "training: {seed: 2}", "training.seed" },
		{ "training: {optimizer: {type: adamw}}",
		    "training.optimizer.type" },
	};
	for (size_t i = 0; i < RK_ARRAY_LEN(no); i++)
		override_refused("{}", no[i].with, no[i].path,
		    " on a resume: ");
	override_refused("{checkpoint: {keep: {metric: loss}}, "
	    "training: {loss: {type: mse}}}", "training: {loss: "
	    "{type: cross_entropy}}", "training.loss.type",
	    "is \"mse\" and cannot be changed");
	override_refused("{}", "training: {batch_size: 32}",
	    "training.batch_size", "is 64 and cannot be changed to 32 on a "
	    "resume: the checkpoint counts");
}

T_CASE(who_validates_cannot_change_on_a_resume)
{
	static const char split[] = "data: {validation: null, "
	    "validation_split: 0.1}";

	override_refused(split, "data: {split_seed: 2}", "data.split_seed",
	    "is 1 and cannot be changed to 2 on a resume");
	override_refused(split, "data: {split: {stratify: true}}",
	    "data.split.stratify", "is false and cannot");
	changes(split, "data: {split_seed: 1, split: {stratify: false}}",
	    "{}");
	/* Said now, where it was the model's to say. */
	override_refused("{model: {checkpoint: /m}, data: {validation: null, "
	    "validation_split: 0.1}}", "data: {split_seed: 1}",
	    "data.split_seed", "is not set and cannot");
}

T_CASE(how_data_are_read_may_change)
{
	changes("{}", "data: {threads: 3, broken: skip}",
	    "{\"data.broken\":[null,\"skip\"],\"data.threads\":[null,3]}");
}

T_CASE(transforms_of_training_may_change_and_those_of_validation_not)
{
	static const char flips[] = "data: {transforms: {train: [hflip], "
	    "validation: [{type: resize, size: 28}]}}";

	changes("{}", "data: {transforms: {train: [{type: hflip, p: 0.25}]}}",
	    "{\"data.transforms.train\":[[],[{\"p\":0.25,"
	    "\"type\":\"hflip\"}]]}");
	changes(flips, "data: {transforms: {train: []}}",
	    "{\"data.transforms.train\":[[{\"p\":0.5,"
	    "\"type\":\"hflip\"}],[]]}");
	changes("data: {transforms: {train: [hflip]}}",
	    "data: {transforms: null}", "{\"data.transforms.train\":[[{"
	    "\"p\":0.5,\"type\":\"hflip\"}],[]]}");
	override_refused(flips, "data: {transforms: {validation: []}}",
	    "data.transforms.validation", "is a list and cannot be changed to "
	    "an empty list on a resume: the "
	    "scores so far, and which checkpoint is the best, are of samples "
	    "made so; to change it start a new job with model.checkpoint: "
	    "job://ID/CHECKPOINT");
	override_refused("{}", "data: {transforms: {train: [hflip], "
	    "validation: [{type: resize, size: 28}]}}",
	    "data.transforms.validation", "cannot be changed");
}

T_CASE(what_the_digest_of_the_data_checks_may_change)
{
	changes("{}", "data: {train: {images: /other}}",
	    "{\"data.train.images\":[\"/d/i\",\"/other\"]}");
	changes("data: {validation: null, train: {images: null, labels: null, "
	    "type: cifar, path: [/a, /b]}}", "data: {train: {path: [/a, /c]}}",
	    "{\"data.train.path\":[[\"/a\",\"/b\"],[\"/a\",\"/c\"]]}");
}

T_CASE(momentum_cannot_begin_or_end_on_a_resume)
{
	static const char sgd[] = "training: {optimizer: {type: sgd, "
	    "learning_rate: 0.1, momentum: 0.9}}";

	override_refused(sgd, "training: {optimizer: {momentum: 0}}",
	    "training.optimizer.momentum", "cannot go from 0.9 to 0");
	changes(sgd, "training: {optimizer: {momentum: 0.8}}",
	    "{\"training.optimizer.momentum\":[0.9,0.8]}");
	override_refused("training: {optimizer: rmsprop}",
	    "training: {optimizer: {centered: true}}",
	    "training.optimizer.centered", "no state");
}

T_CASE(wrong_overrides_are_refused_like_a_wrong_job)
{
	struct rk_why w = {0};
	struct spec *s = NULL;

	override_refused("{}", "training: {epochs: 0}", "training.epochs",
	    "is 0, want");
	override_refused("{}", "trainer: x", "trainer", "not a known field");
	override_refused("{}", "training: 5", "training",
	    "is 5, want an object");
	override_refused("{}", "[1]", "", "is [1], want an object");

	/* All faults: those of the values, and those of what may not change. */
	json_t *tree = tree_with("{}"), *o = yaml("{training: {epochs: 0, "
	    "seed: 4}, model: {sizes: [1]}}");
	t_eq_int(spec_override(tree, o, &s, NULL, &w), RK_EINVAL);
	char *all = rk_why_text(&w);
	t_has(all, "training.epochs: is 0");
	t_has(all, "training.seed: is 1 and cannot be changed");
	t_has(all, "model.sizes: has 1 number");
	t_has(all, "model.sizes: is [4, 3, 2] and cannot be changed to [1]");
	free(all);
	rk_why_fini(&w);
	t_eq_int(spec_override(tree, NULL, &s, NULL, &w), RK_EINVAL);
	rk_why_fini(&w);
	json_decref(tree);
	json_decref(o);
}

T_CASE(of_two_fields_with_one_meaning_the_new_takes_the_olds_place)
{
	changes("training: {schedule: {warmup_steps: 5}}",
	    "training: {schedule: {warmup_epochs: 1}}",
	    "{\"training.schedule.warmup_epochs\":[null,1],"
	    "\"training.schedule.warmup_steps\":[5,null]}");
	changes("training: {schedule: {type: multistep, milestones: [3]}}",
	    "training: {schedule: {milestones_epochs: [1]}}",
	    "{\"training.schedule.milestones\":[[3],null],"
	    "\"training.schedule.milestones_epochs\":[null,[1]]}");
}

T_CASE(a_schedule_of_another_type_drops_the_fields_of_the_old)
{
	char *changed;
	struct spec *s = override("training: {schedule: {type: step, "
	    "step_size: 5, warmup_steps: 7}}", "training: {schedule: cosine}",
	    &changed);

	t_eq_int(s->training.schedule.type, SPEC_S_COSINE);
	t_eq_int(s->training.schedule.warmup, 7);
	t_has(changed, "\"training.schedule.step_size\":[5,null]");
	free(changed);
	spec_free(s);
	override_refused("training: {schedule: {type: step, step_size: 5}}",
	    "training: {schedule: multistep}", "training.schedule.milestones",
	    "missing");
}

T_CASE(another_metric_brings_its_mode)
{
	changes("{}", "checkpoint: {keep: {metric: loss}}",
	    "{\"checkpoint.keep.metric\":[\"val_accuracy\",\"loss\"],"
	    "\"checkpoint.keep.mode\":[\"max\",\"min\"]}");
}

T_CASE(overriding_leaves_the_trees_as_they_were)
{
	json_t *tree = tree_with("{}"), *o = yaml("training: {epochs: 3, "
	    "schedule: cosine}");
	char *before = rkj_text(tree), *given = rkj_text(o);
	struct rk_why w = {0};
	struct spec *s = NULL;

	t_eq_int(spec_override(tree, o, &s, NULL, &w), RK_OK);
	char *after = rkj_text(tree), *still = rkj_text(o);
	t_eq_str(after, before);
	t_eq_str(still, given);
	free(before);
	free(after);
	free(given);
	free(still);
	spec_free(s);
	json_decref(tree);
	json_decref(o);
}

/* --- selectors and names ------------------------------------------------- */

T_CASE(selectors)
{
	struct spec_select s;
	struct rk_why w = {0};

	t_eq_int(spec_select_parse("latest", &s, &w), RK_OK);
	t_eq_int(s.kind, SPEC_SEL_LATEST);
	t_eq_int(spec_select_parse("best", &s, &w), RK_OK);
	t_eq_int(s.kind, SPEC_SEL_BEST);
	t_eq_int(spec_select_parse("none", &s, &w), RK_OK);
	t_eq_int(s.kind, SPEC_SEL_NONE);
	t_eq_int(spec_select_parse("step:0", &s, &w), RK_OK);
	t_eq_int(s.kind, SPEC_SEL_STEP);
	t_eq_int(s.step, 0);
	t_eq_int(spec_select_parse("step:001200", &s, &w), RK_OK);
	t_eq_int(s.step, 1200);
	t_eq_int(spec_select_parse("step:999999999999999", &s, &w), RK_OK);
	t_eq_int(s.step, 999999999999999);
	t_eq_int(spec_select_parse("step-000001200", &s, &w), RK_OK);
	t_eq_int(s.kind, SPEC_SEL_NAME);
	t_eq_int(spec_select_parse("before-lr-drop", &s, &w), RK_OK);
	t_eq_int(s.kind, SPEC_SEL_NAME);
	t_eq_str(s.name, "before-lr-drop");
	t_eq_int(w.n, 0);
}

T_CASE(what_is_no_selector)
{
	static const char *const bad[] = {
		"", "step:", "step:-1", "step:1x", "step: 1", "step:1e3",
		"step:9999999999999999", "../x", "a/b", "-x", ".x", "a b",
		"\xff\xfe",
	};
	for (size_t i = 0; i < RK_ARRAY_LEN(bad); i++) {
		struct spec_select s;
		struct rk_why w = {0};
		if (spec_select_parse(bad[i], &s, &w) != RK_EINVAL || w.n != 1)
			t_fail("\"%s\" is taken for a selector", bad[i]);
		t_has(w.v[0].message, "step:N");
		rk_why_fini(&w);
	}
}

T_CASE(names_of_checkpoints_are_none_of_our_own_words)
{
	static const char *const good[] = {
		"before-lr-drop", "v1.2", "step", "steps", "bad-idea",
		"Latest", "0",
	};
	char too_long[RK_NAME_MAX + 2] = "";
	memset(too_long, 'x', RK_NAME_MAX + 1);
	const char *const bad[] = {
		"latest", "best", "none", "step-1", "step:1", "step-",
		"branch.json", "bad-step-000000001", "", "a/b", "..", ".tmp-x",
		"-x", "a b",
		too_long,
	};
	struct rk_why w = {0};

	for (size_t i = 0; i < RK_ARRAY_LEN(good); i++) {
		if (spec_checkpoint_name_ok(good[i], &w) != RK_OK)
			t_fail("%s: %s", good[i], rk_why_first(&w));
	}
	for (size_t i = 0; i < RK_ARRAY_LEN(bad); i++) {
		if (spec_checkpoint_name_ok(bad[i], &w) != RK_EINVAL ||
		    w.n != 1)
			t_fail("\"%s\" is taken for a name", bad[i]);
		rk_why_fini(&w);
	}
}

T_MAIN
