/* A training in phases: what is trained when, and that a run which was
 * interrupted anywhere ends where an uninterrupted one ends. */
#include <math.h>

#include "rekindle/format.h"
#include "train_help.h"

#define LAST "step-000000018"           /* 3 epochs of 6 steps */
#define DIR(step) "whole/checkpoints/step-0000000" step

/* Phase 2 begins inside the first epoch, at step 4; phase 3 at the end of the
 * second, at step 12. */
#define PHASES                                                            \
	"  phases:\n"                                                     \
	"    - {steps: 4, train: 'fc2.*', learning_rate: 0.05}\n"         \
	"    - {epochs: 2, train: ['fc2.*', 'bn.*'], schedule: cosine,\n"  \
	"       learning_rates: {'bn.*': 0.5}}\n"
#define OPEN                                                              \
	"    - {learning_rate_scale: 0.2, schedule: {type: linear,\n"      \
	"       warmup_steps: 2}}\n"
#define ADAM "  optimizer: {type: adam, learning_rate: 0.01}\n"

static void
write_job(const char *training)
{
	char *text = xasprintf("%s%straining: \n  epochs: 3\n%s"
	    "  log_every: 4\n%s%s%s", TINY_HEAD, TINY_MODEL, strstr(training,
	    "batch_size") != NULL ? "" : "  batch_size: 8\n", training,
	    TINY_DATA, TINY_CHECKPOINT);

	write_file("job.yaml", text);
	free(text);
	write_csv("train.csv", 45, 5, 3);
	write_csv("valid.csv", 20, 5, 3);
}

/* To this step, where a checkpoint is taken, and no further. */
static void
run_to(const char *dir, int step)
{
	char *set = xasprintf("training.steps=%d", step);

	train_ok("--run-dir", dir, "--threads", step % 2 ? "1" : "2", "--set",
	    set, "--set", "checkpoint.every.steps=100", "job.yaml");
	free(set);
}

/* A tensor of a checkpoint; the caller frees. */
static float *
tensor_of(const char *dir, const char *file, const char *name, size_t *n)
{
	char *path = xasprintf("%s/%s.safetensors", dir, file);
	struct tensor_set *s = NULL;
	struct rk_why why = {0};

	if (format_load(path, &s, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	const struct tensor *t = tensor_find(s, name);
	t_check(t != NULL);
	float *v = xmalloc(t->nbytes);
	memcpy(v, t->data, t->nbytes);
	*n = t->nbytes / sizeof(*v);
	tensor_set_free(s);
	free(path);
	return v;
}

/* The largest move of a number of a tensor between two checkpoints. */
static double
move_of(const char *a, const char *b, const char *file, const char *name)
{
	size_t n, m;
	float *x = tensor_of(a, file, name, &n);
	float *y = tensor_of(b, file, name, &m);
	double most = 0;

	t_eq_int((int64_t)n, (int64_t)m);
	for (size_t i = 0; i < n; i++)
		most = fmax(most, fabs((double)x[i] - y[i]));
	free(x);
	free(y);
	return most;
}

static bool
moves(const char *a, const char *b, const char *name)
{
	return move_of(a, b, "model", name) > 0;
}

static json_t *
state_of(const char *dir)
{
	char *path = xasprintf("%s/checkpoint.json", dir);
	json_t *v = read_json(path), *s = json_incref(json_object_get(v,
	    "state"));

	json_decref(v);
	free(path);
	return s;
}

static int64_t
number(const json_t *o, const char *a, const char *b)
{
	const json_t *v = json_object_get(json_object_get(o, a), b);

	t_check(json_is_integer(v));
	return json_integer_value(v);
}

/* Checkpoints of these steps, of a run that is not interrupted by them. */
static void
whole_by(const int *steps, size_t n)
{
	for (size_t i = 0; i < n; i++)
		run_to("whole", steps[i]);
	train_ok("--run-dir", "whole", "--set", "checkpoint.every.steps=100",
	    "job.yaml");
}

/* --- exactly -------------------------------------------------------------- */

/* The schedule of a last phase with a length does not depend on where a run is
 * ended. */
#define CLOSED                                                            \
	"    - {epochs: 1, learning_rate_scale: 0.2, schedule: {type: "    \
	"linear,\n       warmup_steps: 2}}\n"

/* Those next to the changes, and some inside a phase. */
static const int special[] = { 2, 3, 4, 5, 6, 7, 11, 12, 13, 16 };

static void
exact_from(const char *training, const int *steps, int n)
{
	write_job(training);
	train_ok("--run-dir", "whole", "--set", "checkpoint.every.steps=100",
	    "job.yaml");
	for (int k = 0; k < n; k++)
		run_to("r", steps != NULL ? steps[k] : k + 1);
	train_ok("--run-dir", "r", "job.yaml");
	same_checkpoint("whole/checkpoints/" LAST, "r/checkpoints/" LAST);
}

T_CASE(a_run_stopped_at_every_step_ends_the_same)
{
	exact_from(ADAM PHASES CLOSED, NULL, 17);
}

T_CASE(so_it_is_with_an_average_clipping_and_a_plateau)
{
	exact_from("  optimizer: {type: sgd, learning_rate: 0.05, "
	    "momentum: 0.9}\n  ema: {decay: 0.9}\n  gradient_clip_norm: 0.5\n"
	    "  parameters: [{match: 'bn.bias', trainable: false}]\n"
	    PHASES "    - {epochs: 1, schedule: {type: reduce_on_plateau, "
	    "patience: 0, threshold: 0.5}}\n", special,
	    RK_ARRAY_LEN(special));
}

T_CASE(and_with_batch_norms_that_take_statistics)
{
	exact_from(ADAM "  frozen_batch_norm: training\n"
	    "  early_stopping: {patience: 2}\n" PHASES CLOSED, special,
	    RK_ARRAY_LEN(special));
}

T_CASE(a_run_that_is_killed_at_any_time_does_too)
{
	write_job(ADAM PHASES OPEN);
	train_ok("--run-dir", "whole", "--set", "checkpoint.every.steps=100",
	    "job.yaml");
	kill_until_it_ends("r", (const char *const[KILLED_SETS]){ NULL });
	same_checkpoint("whole/checkpoints/" LAST, "r/checkpoints/" LAST);
}

/* Also from one of a phase that was over long ago. */
T_CASE(from_an_older_checkpoint_with_another_rate_in_a_later_phase)
{
	static const char *const froms[] = { "step:3", "step:4", "step:7",
		"step:12", "step:15" };
	static const char other[] = ADAM PHASES
	    "    - {learning_rate: 0.004, schedule: {type: linear,\n"
	    "       warmup_steps: 2}}\n";

	write_job(ADAM PHASES OPEN);
	whole_by((const int[]){ 3, 4, 7, 12, 15 }, 5);
	write_job(other);
	train_ok("--run-dir", "other", "--set", "checkpoint.every.steps=100",
	    "job.yaml");
	for (size_t i = 0; i < RK_ARRAY_LEN(froms); i++) {
		t_eq_int(system("rm -rf r && cp -r whole r"), 0);
		train_ok("--run-dir", "r", "--threads", i % 2 ? "1" : "2",
		    "--from", froms[i], "--set",
		    "checkpoint.every.steps=100", "job.yaml");
		char *dir = xasprintf("r/checkpoints/" LAST "-b2");
		/* Of a phase under way the old rate has been trained with. */
		if (i < 4)
			same_checkpoint("other/checkpoints/" LAST, dir);
		else
			t_check(moves("other/checkpoints/" LAST, dir,
			    "fc1.weight"));
		free(dir);
	}
}

/* Without a daemon, too: the list is whole and says the old rate. */
T_CASE(a_phase_that_grows_may_not_make_the_rate_leap)
{
	write_job(ADAM "  phases: [{epochs: 1}, {epochs: 2, schedule: "
	    "cosine}]\n");
	train_ok("--run-dir", "r", "--set", "checkpoint.every.steps=100",
	    "job.yaml");
	write_job(ADAM "  phases: [{epochs: 1}, {epochs: 8, schedule: "
	    "cosine}]\n");
	t_eq_int(train("--run-dir", "r", "--set", "training.epochs=9",
	    "job.yaml"), TRAIN_REFUSED);
	file_has("err", "training.phases[1]: makes the learning rate leap");
	write_job(ADAM "  phases: [{epochs: 1}, {epochs: 4, learning_rate: "
	    "0.005, schedule: cosine}]\n");
	train_ok("--run-dir", "r", "--set", "training.epochs=5", "--set",
	    "checkpoint.every.steps=100", "job.yaml");
}

/* --- what is trained ------------------------------------------------------ */

T_CASE(what_a_phase_does_not_train_does_not_move)
{
	static const char *const fc1[] = { "fc1.weight", "fc1.bias" };
	static const char *const bn[] = { "bn.weight", "bn.bias",
		"bn.running_mean", "bn.running_var" };

	write_job(ADAM PHASES OPEN);
	whole_by((const int[]){ 1, 4, 5, 12, 13 }, 5);
	for (size_t i = 0; i < RK_ARRAY_LEN(fc1); i++) {
		t_check(!moves(DIR("01"), DIR("12"), fc1[i]));
		t_check(moves(DIR("12"), DIR("13"), fc1[i]));
	}
	for (size_t i = 0; i < RK_ARRAY_LEN(bn); i++) {
		t_check(!moves(DIR("01"), DIR("04"), bn[i]));
		t_check(moves(DIR("04"), DIR("05"), bn[i]));
	}
	t_check(moves(DIR("01"), DIR("04"), "fc2.weight"));
}

T_CASE(frozen_batch_norms_go_on_where_they_are_asked_to)
{
	write_job(ADAM "  frozen_batch_norm: training\n" PHASES OPEN);
	whole_by((const int[]){ 1, 4 }, 2);
	t_check(moves(DIR("01"), DIR("04"), "bn.running_mean"));
	t_check(!moves(DIR("01"), DIR("04"), "bn.weight"));
}

T_CASE(a_job_without_phases_may_ask_for_evaluation)
{
	write_job(ADAM "  parameters: [{match: 'bn.*', trainable: false}]\n");
	whole_by((const int[]){ 1 }, 1);
	t_check(moves(DIR("01"), DIR("18"), "bn.running_mean"));
	t_eq_int(system("rm -r whole"), 0);
	write_job(ADAM "  parameters: [{match: 'bn.*', trainable: false}]\n"
	    "  frozen_batch_norm: evaluation\n");
	whole_by((const int[]){ 1 }, 1);
	t_check(!moves(DIR("01"), DIR("18"), "bn.running_mean"));
}

/* Adam's first step is lr g / (|g| + eps'), lr at most and nearly that where g
 * is no rounding: behind 12 steps without bias correction it would be 1 / 3.2
 * of that, or with that of step 13 some 0.3. */
T_CASE(what_thaws_begins_with_a_first_step)
{
	write_job(ADAM PHASES "    - {learning_rate: 0.002}\n");
	whole_by((const int[]){ 12, 13 }, 2);
	t_near(move_of(DIR("12"), DIR("13"), "model", "fc1.weight"), 0.002,
	    2e-5);
	size_t n;
	float *m = tensor_of(DIR("12"), "optimizer", "fc1.weight.exp_avg", &n);
	for (size_t i = 0; i < n; i++)
		t_check(m[i] == 0);
	free(m);
	json_t *s = state_of("whole/checkpoints/" LAST);
	t_eq_int(number(s, "updates", "fc1.weight"), 6);
	t_eq_int(number(s, "updates", "bn.weight"), 14);
	t_check(json_object_get(json_object_get(s, "updates"), "fc2.bias") ==
	    NULL);
	json_decref(s);
}

T_CASE(what_has_rested_begins_with_one_again)
{
	write_job(ADAM "  phases: [{steps: 5}, {steps: 5, train: 'fc1.*'}, "
	    "{learning_rate: 0.002}]\n");
	whole_by((const int[]){ 5, 6, 10, 11 }, 4);
	t_check(!moves(DIR("05"), DIR("10"), "fc2.weight"));
	t_near(move_of(DIR("10"), DIR("11"), "model", "fc2.weight"), 0.002,
	    2e-5);
	size_t n;
	float *m = tensor_of(DIR("06"), "optimizer", "fc2.weight.exp_avg", &n);
	for (size_t i = 0; i < n; i++)
		t_check(m[i] == 0);
	free(m);
	json_t *s = state_of("whole/checkpoints/" LAST);
	t_eq_int(number(s, "updates", "fc2.weight"), 8);
	json_decref(s);
}

T_CASE(that_is_so_after_any_interruption)
{
	exact_from(ADAM "  phases: [{steps: 5}, {steps: 5, train: 'fc1.*'}, "
	    "{steps: 8}]\n", special, RK_ARRAY_LEN(special));
}

/* One step of plain SGD: a move is the rate times the gradient. */
T_CASE(factors_multiply_the_rate_of_a_phase)
{
	double by[2];

	for (int k = 0; k < 2; k++) {
		write_job(k == 0 ? "  optimizer: {type: sgd, learning_rate: 1}"
		    "\n  phases: [{steps: 1, learning_rate: 0.5}, {}]\n" :
		    "  optimizer: {type: sgd, learning_rate: 1}\n"
		    "  learning_rates: {'fc2.*': 0.5, '*': 0.125}\n"
		    "  phases: [{steps: 1, learning_rate_scale: 0.5, "
		    "learning_rates: {'fc2.weight': 0.25}}, {}]\n");
		train_ok("--run-dir", k == 0 ? "a" : "b", "--set",
		    "training.steps=1", "job.yaml");
	}
	/* From the same values. */
	write_job("  optimizer: {type: sgd, learning_rate: 1e-30}\n");
	train_ok("--run-dir", "0", "--set", "training.steps=1", "job.yaml");
	static const struct {
		const char *name;
		double factor;
	} want[] = { { "fc2.weight", 0.25 }, { "fc2.bias", 0.5 },
		{ "fc1.weight", 0.125 } };
	for (size_t i = 0; i < RK_ARRAY_LEN(want); i++) {
		for (int k = 0; k < 2; k++)
			by[k] = move_of("0/checkpoints/step-000000001", k == 0 ?
			    "a/checkpoints/step-000000001" :
			    "b/checkpoints/step-000000001", "model",
			    want[i].name);
		t_near(by[1] / by[0], want[i].factor, 1e-3);
	}
}

/* --- what is said --------------------------------------------------------- */

T_CASE(checkpoints_and_metrics_say_the_phase)
{
	write_job(ADAM PHASES OPEN);
	whole_by((const int[]){ 4, 5, 12 }, 3);
	json_t *s = state_of(DIR("04"));
	t_eq_int(number(s, "phase", "number"), 1);
	json_decref(s);
	s = state_of(DIR("05"));
	t_eq_int(number(s, "phase", "number"), 2);
	t_eq_int(number(s, "phase", "step"), 4);
	t_eq_int(number(s, "phase", "of_epoch"), 4);
	t_eq_int(number(s, "phase", "epoch"), 0);
	json_decref(s);
	s = state_of("whole/checkpoints/" LAST);
	t_eq_int(number(s, "phase", "number"), 3);
	t_eq_int(number(s, "phase", "step"), 12);
	t_eq_int(number(s, "phase", "of_epoch"), 0);
	t_eq_int(number(s, "phase", "epoch"), 2);
	json_decref(s);
	file_has("whole/metrics.jsonl", "\"phase\":1,");
	file_has("whole/metrics.jsonl", "\"phase\":3,");
	file_has("out", "phase 3 of 3 begins at step 12 (epoch 2): trains 6 of "
	    "6 tensors (135 of 135 parameters); linear over 6 steps from step "
	    "12, peak 0.002");
}

T_CASE(a_summary_tells_of_all_phases)
{
	write_job(ADAM PHASES OPEN);
	train_ok("--summary", "job.yaml");
	json_t *o = read_json("out"), *v = json_object_get(o, "phases");
	t_eq_int((int64_t)json_array_size(v), 3);
	t_eq_int(json_integer_value(json_object_get(json_array_get(v, 1),
	    "from")), 4);
	t_eq_int(json_integer_value(json_object_get(json_array_get(v, 1),
	    "steps")), 8);
	t_eq_int(json_integer_value(json_object_get(json_array_get(v, 0),
	    "parameters")), 39);
	t_eq_int(json_integer_value(json_object_get(o, "steps_total")), 18);
	const json_t *first = json_array_get(v, 0);
	t_eq_str(json_string_value(json_array_get(json_object_get(first,
	    "train"), 0)), "fc2.*");
	t_eq_str(json_string_value(json_array_get(json_object_get(first,
	    "names"), 0)), "fc2.weight");
	t_eq_int((int64_t)json_array_size(json_object_get(first, "names")), 2);
	t_eq_int((int64_t)json_array_size(json_object_get(o, "remarks")), 0);
	json_decref(o);
}

static int64_t
arena_of(const char *training)
{
	write_job(training);
	train_ok("--summary", "job.yaml");
	json_t *o = read_json("out");
	const int64_t n = number(o, "memory", "arena");

	json_decref(o);
	return n;
}

T_CASE(memory_is_judged_by_the_largest_phase)
{
	const int64_t all = arena_of(ADAM "  batch_size: 4096\n");
	const int64_t head = arena_of(ADAM "  batch_size: 4096\n"
	    "  phases: [{epochs: 3, train: 'fc2.*'}]\n");

	t_check(head < all);
	t_eq_int(arena_of(ADAM "  batch_size: 4096\n"
	    "  phases: [{epochs: 1, train: 'fc2.*'}, {epochs: 1}, "
	    "{epochs: 1, train: 'fc2.*'}]\n"), all);
}

T_CASE(a_training_by_its_phases_alone_ends_with_the_last)
{
	write_job(ADAM "  phases: [{steps: 4, train: 'fc2.*'}, {epochs: 1}, "
	    "{steps: 3}]\n");
	char *text = read_text("job.yaml"), *at = strstr(text, "  epochs: 3\n");
	memmove(at, at + strlen("  epochs: 3\n"), strlen(at + strlen(
	    "  epochs: 3\n")) + 1);
	write_file("job.yaml", text);
	free(text);
	train_ok("--run-dir", "r", "job.yaml");
	json_t *i = info_of("step-000000009");
	t_eq_int(json_integer_value(json_object_get(i, "step")), 9);
	t_eq_int(json_integer_value(json_object_get(i, "epoch")), 1);
	json_decref(i);
	file_has("out", "finished at step 9");
}

T_CASE(a_factor_of_what_is_never_trained_is_told)
{
	write_job(ADAM "  learning_rates: {'fc1.*': 0.1, fc2: 0.5}\n"
	    "  phases: [{epochs: 1, train: fc2}, {train: [bn, fc2]}]\n");
	train_ok("--run-dir", "r", "job.yaml");
	file_has("out", "training.learning_rates has \"fc1.*\", which fits "
	    "nothing that is ever trained");
	char *out = read_text("out");
	t_check(strstr(out, "has \"fc2\"") == NULL);
	free(out);
}

/* Where each phase trains but a part. */
T_CASE(moments_that_rest_are_not_said_to_be_taken_along)
{
	write_job(ADAM);
	train_ok("--run-dir", "a", "job.yaml");
	write_job(ADAM PHASES OPEN);
	train_ok("--run-dir", "b", "--model",
	    "a/checkpoints/" LAST "/model.safetensors", "--set",
	    "training.warm_start.optimizer=all", "job.yaml");
	file_has("out", "the moments of 4 tensors that phase 1 does not train "
	    "are left behind");
	file_has("out", "the optimizer's state of 2 tensors is taken along");
}

T_CASE(remarks_are_of_the_phase_that_they_are_about)
{
	write_job(ADAM "  phases: [{steps: 40, train: 'fc2.*', schedule: "
	    "{type: constant, warmup_steps: 50}}, {}]\n");
	train_ok("--run-dir", "r", "job.yaml");
	file_has("out", "phase 1: the warm-up of 50 steps is longer");
	file_has("out", "phase 2: nothing is trained: the training is over "
	    "before it begins");
}

/* A training that is longer than the patience of its first phase. */
T_CASE(early_stopping_counts_in_the_last_phase)
{
	write_job("  optimizer: {type: sgd, learning_rate: 1e-9}\n"
	    "  early_stopping: {metric: val_loss, patience: 1, min_delta: 1}\n"
	    "  phases: [{epochs: 3, train: 'fc2.*'}, {epochs: 5}]\n");
	train_ok("--run-dir", "r", "--set", "training.epochs=8", "job.yaml");
	file_has("out", "stops early at step 24 (epoch 4)");
}

/* The best is of the first phase, whose checkpoints have no moments of what
 * rested: it is in a shard. */
T_CASE(the_best_of_an_earlier_phase_comes_back_as_it_was)
{
	write_job("  optimizer: {type: adam, learning_rate: 0.001}\n"
	    "  early_stopping: {metric: loss, patience: 1, min_delta: 5, "
	    "restore: best}\n"
	    "  phases: [{epochs: 1, train: 'fc2.*'}, {epochs: 2, "
	    "learning_rate: 30}]\n");
	char *text = read_text("job.yaml"), *at = strstr(text, "out: 12");
	char *wide = xasprintf("%.*sout: 12000%s\n", (int)(at - text), text,
	    at + strlen("out: 12"));
	at = strstr(wide, "best: 1");
	char *job = xasprintf("%.*sbest: 1, metric: loss%s", (int)(at - wide),
	    wide, at + strlen("best: 1"));
	write_file("job.yaml", job);
	train_ok("--run-dir", "r", "job.yaml");
	file_has("out", "the weights are those of step-000000006 again");
	size_t n;
	float *m = tensor_of("r/checkpoints/step-000000012-b2", "optimizer",
	    "fc1.weight.exp_avg", &n);
	t_eq_int((int64_t)n, 60000);
	for (size_t i = 0; i < n; i++)
		t_check(m[i] == 0);
	free(m);
	free(text);
	free(wide);
	free(job);
}

/* --- refusals ------------------------------------------------------------- */

static void
refused(const char *training, const char *words)
{
	write_job(training);
	t_eq_int(train("--run-dir", "r", "job.yaml"), TRAIN_REFUSED);
	file_has("err", words);
}

T_CASE(patterns_that_mean_nothing_are_refused)
{
	refused(ADAM "  phases: [{epochs: 1, train: 'head.*'}, {}]\n",
	    "training.phases[0].train: is \"head.*\", which fits no parameter "
	    "of the network; it has fc1.weight");
	refused(ADAM "  phases: [{epochs: 1}, {train: [a, '*']}]\n",
	    "training.phases[1].train: is \"a\", which fits no parameter");
	refused(ADAM "  parameters: [{match: 'fc1.*', trainable: false}]\n"
	    "  phases: [{epochs: 1, train: ['fc1.*', 'bn.*']}, {}]\n",
	    "training.phases[0].train: has \"fc1.*\", and training.parameters "
	    "has trainable: false");
	refused(ADAM "  parameters: [{match: 'fc1.*', trainable: false}]\n"
	    "  phases: [{epochs: 1, train: 'fc1.*'}, {}]\n",
	    "training.phases[0].train: nothing is trained");
	refused(ADAM "  learning_rates: {'x.*': 1}\n", "training."
	    "learning_rates: has \"x.*\", which fits no parameter of the");
	refused(ADAM "  phases: [{epochs: 1, train: 'fc2.*', learning_rates: "
	    "{'fc1.*': 1}}, {}]\n", "training.phases[0].learning_rates: has "
	    "\"fc1.*\", which fits no parameter that this phase trains");
}

T_CASE(a_resume_keeps_the_phase_under_way_in_its_place)
{
	write_job(ADAM PHASES OPEN);
	run_to("r", 13);
	write_job(ADAM "  phases: [{epochs: 1}, {}]\n");
	t_eq_int(train("--run-dir", "r", "job.yaml"), TRAIN_REFUSED);
	file_has("err", "training.phases: has 2 phases, and step-000000013 is "
	    "in phase 3: those that are over, and the one under way, keep "
	    "their places");
	/* Without any it goes on with all of the network, at another rate. */
	write_job(ADAM);
	t_eq_int(train("--run-dir", "r", "job.yaml"), TRAIN_REFUSED);
	file_has("err", "training.phases: makes the learning rate leap from "
	    "0.002 to 0.01 at step 13");
	train_ok("--run-dir", "r", "--set",
	    "training.schedule.on_resume=stretch", "job.yaml");
	file_has("out", "finished at step 18");
}

T_CASE(a_resume_keeps_phases_that_are_over_as_they_were)
{
	write_job(ADAM "  phases: [{epochs: 1, train: 'fc2.*'}, {}]\n");
	run_to("r", 7);
	write_job(ADAM "  phases: [{epochs: 1, train: 'fc1.*'}, {}]\n");
	t_eq_int(train("--run-dir", "r", "job.yaml"), TRAIN_REFUSED);
	file_has("err", "training.phases[0].train: is [\"fc2.*\"] and cannot "
	    "be changed to [\"fc1.*\"] on a resume: the phase is over");
	/* Of the one under way all may change. */
	write_job(ADAM "  phases: [{epochs: 1, train: 'fc2.*'}, {epochs: 1, "
	    "train: 'fc1.*', schedule: cosine}, {}]\n");
	train_ok("--run-dir", "r", "job.yaml");
	file_has("out", "phase 2 of 3 goes on at step 7");
}

/* Behind 9 steps the first, of 12, is to have had 6. */
T_CASE(a_phase_that_is_made_so_short_that_it_is_over_gives_way_to_the_next)
{
	write_job(ADAM "  phases: [{epochs: 2, train: 'fc2.*', schedule: "
	    "cosine}, {epochs: 1, schedule: one_cycle}]\n");
	run_to("r", 9);
	write_job(ADAM "  phases: [{epochs: 1, train: 'fc2.*', schedule: "
	    "cosine}, {epochs: 2, schedule: one_cycle}]\n");
	train_ok("--run-dir", "r", "job.yaml");
	file_has("out", "phase 2 of 2 begins at step 9 (epoch 1): trains 6 of "
	    "6 tensors (135 of 135 parameters); one_cycle over 9 steps from "
	    "step 9");
	char *out = read_text("out");
	t_check(strstr(out, "jumps") == NULL && strstr(out, "goes on at") ==
	    NULL && strstr(out, "by stretch") == NULL);
	free(out);
}

T_CASE(phases_that_come_with_a_resume_count_from_the_beginning)
{
	write_job(ADAM);
	run_to("r", 7);
	write_job(ADAM "  phases: [{epochs: 1, train: 'fc2.*'}, {epochs: 1, "
	    "train: 'fc1.*'}, {}]\n");
	train_ok("--run-dir", "r", "job.yaml");
	file_has("out", "phase 2 of 3 goes on at step 7 (epoch 1)");
	file_has("out", "phase 3 of 3 begins at step 12 (epoch 2)");
}

T_MAIN
