/* A run that was interrupted ends where an uninterrupted one ends. */
#include <math.h>

#include "train_help.h"

#define LAST "step-000000018"           /* 3 epochs of 6 steps */

/* A run that ends at `step`, so that there is a checkpoint of it.  The schedule
 * of the tiny job does not depend on where the end is. */
static void
run_to(const char *dir, int step)
{
	char *set = xasprintf("training.steps=%d", step);

	train_ok("--run-dir", dir, "--threads", step % 2 ? "1" : "2", "--set",
	    set, "--set", "checkpoint.every.steps=100", "job.yaml");
	free(set);
}

/* Every step with adam; with the others those next to what is special. */
static const int special[] = { 1, 5, 6, 7, 16 };

static void
exact_from(const char *optimizer, const int *steps, size_t n)
{
	write_tiny("job.yaml", optimizer);
	train_ok("--run-dir", "whole", "job.yaml");
	for (size_t i = 0; i < n; i++) {
		const int step = steps != NULL ? steps[i] : (int)i + 1;
		char *run = xasprintf("r%d", step);
		char *dir = xasprintf("%s/checkpoints/" LAST, run);
		run_to(run, step);
		train_ok("--run-dir", run, "--set",
		    "checkpoint.every.steps=100", "job.yaml");
		same_checkpoint("whole/checkpoints/" LAST, dir);
		free(run);
		free(dir);
	}
}

T_CASE(a_run_stopped_at_every_step_ends_the_same)
{
	write_tiny("job.yaml", TINY_ADAM);
	train_ok("--run-dir", "whole", "job.yaml");
	for (int step = 1; step <= 18; step++)
		run_to("r", step);
	same_checkpoint("whole/checkpoints/" LAST, "r/checkpoints/" LAST);
}

T_CASE(sgd_goes_on_exactly)
{
	exact_from(
	    "  optimizer: {type: sgd, learning_rate: 0.05}\n", special,
	    RK_ARRAY_LEN(special));
}

T_CASE(momentum_goes_on_exactly)
{
	exact_from("  optimizer: {type: sgd, learning_rate: 0.05, "
	    "momentum: 0.9, dampening: 0.1, weight_decay: 0.01}\n", special,
	    RK_ARRAY_LEN(special));
}

T_CASE(nesterov_goes_on_exactly)
{
	exact_from("  optimizer: {type: sgd, learning_rate: 0.05, "
	    "momentum: 0.9, nesterov: true}\n"
	    "  gradient_clip_norm: 0.5\n", special,
	    RK_ARRAY_LEN(special));
}

T_CASE(adam_goes_on_exactly_from_every_step)
{
	exact_from(TINY_ADAM, NULL, 17);
}

T_CASE(adamw_goes_on_exactly)
{
	exact_from(
	    "  optimizer: {type: adamw, learning_rate: 0.01}\n", special,
	    RK_ARRAY_LEN(special));
}

T_CASE(rmsprop_goes_on_exactly)
{
	exact_from("  optimizer: {type: rmsprop, learning_rate: "
	    "0.01, centered: true, momentum: 0.5}\n", special,
	    RK_ARRAY_LEN(special));
}

T_CASE(a_regression_goes_on_exactly)
{
	exact_from(TINY_ADAM "  loss: {type: mse}\n", special,
	    RK_ARRAY_LEN(special));
}

T_CASE(a_run_without_checkpoints_of_its_own_has_the_same_end)
{
	write_tiny("job.yaml", TINY_ADAM);
	train_ok("--run-dir", "a", "job.yaml");
	train_ok("--run-dir", "b", "--set", "checkpoint.every.steps=1000",
	    "job.yaml");
	same_checkpoint("a/checkpoints/" LAST, "b/checkpoints/" LAST);
}

T_CASE(the_number_of_threads_does_not_change_a_bit)
{
	write_csv("train.csv", 300, 200, 10);
	write_file("job.yaml", "name: wide\n"
	    "model: {arch: mlp, sizes: [200, 300, 10], activation: gelu}\n"
	    "training: {epochs: 2, batch_size: 64, optimizer: {type: adam}}\n"
	    "data: {train: {type: csv, path: train.csv, label: -1}, "
	    "validation_split: 0.2}\n");
	train_ok("--run-dir", "one", "--threads", "1", "job.yaml");
	train_ok("--run-dir", "two", "--threads", "2", "job.yaml");
	train_ok("--run-dir", "five", "--threads", "5", "job.yaml");
	same_checkpoint("one/checkpoints/step-000000008",
	    "two/checkpoints/step-000000008");
	same_checkpoint("one/checkpoints/step-000000008",
	    "five/checkpoints/step-000000008");
}

T_CASE(a_run_killed_again_and_again_ends_the_same)
{
	write_tiny("job.yaml", TINY_ADAM);
	train_ok("--run-dir", "whole", "job.yaml");
	kill_until_it_ends("torn", (const char *const[KILLED_SETS]){ NULL });
	same_checkpoint("whole/checkpoints/" LAST, "torn/checkpoints/" LAST);
}

T_CASE(an_older_checkpoint_opens_a_branch_and_the_old_one_stays)
{
	write_tiny("job.yaml", TINY_ADAM);
	run_to("r", 5);
	train_ok("--run-dir", "r", "job.yaml");
	train_ok("--run-dir", "r", "--from", "step:5", "--set",
	    "training.optimizer.learning_rate=0.02", "job.yaml");
	t_check(access("r/checkpoints/" LAST, F_OK) == 0);
	t_check(access("r/checkpoints/" LAST "-b2", F_OK) == 0);
	t_check(access("r/checkpoints/step-000000005-b2", F_OK) != 0);
	file_has("out", "goes on from step-000000005: step 5");
	file_has("out", "the job has changed");
	file_has("out", "the learning rate jumps at step 5");
	t_check(count_in("r/metrics.jsonl", "\"branch\":2") > 0);
	t_check(count_in("r/metrics.jsonl", "\"attempt\":3") > 0);
	json_t *c = read_json(
	    "r/checkpoints/" LAST "-b2/checkpoint.json");
	t_eq_str(json_string_value(json_object_get(c, "parent")),
	    "step-000000005");
	json_decref(c);
}

T_CASE(none_begins_anew_on_a_branch_of_its_own)
{
	write_tiny("job.yaml", TINY_ADAM);
	train_ok("--run-dir", "r", "job.yaml");
	train_ok("--run-dir", "r", "--from", "none", "job.yaml");
	same_checkpoint("r/checkpoints/" LAST, "r/checkpoints/" LAST "-b2");
}

/* --- the schedule --------------------------------------------------------- */

#define COSINE \
	"name: tiny\n" TINY_MODEL TINY_DATA \
	"training: {epochs: 3, batch_size: 8, log_every: 1, optimizer: " \
	"{type: adam, learning_rate: 0.01}, schedule: {type: cosine, " \
	"warmup_steps: 3}}\n" \
	"checkpoint: {every: {steps: 1}, keep: {last: 100}}\n"

/* The tiny job with a cosine, through its 18 steps in the folder r. */
static void
cosine_to_its_end(void)
{
	write_tiny("job.yaml", TINY_ADAM);
	write_file("job.yaml", COSINE);
	train_ok("--run-dir", "r", "job.yaml");
}

/* The rate of a step, by the metrics of the run: whether its checkpoint is
 * taken depends on how fast the data were read through. */
static double
rate_at(const char *run, int step)
{
	char *path = xasprintf("%s/metrics.jsonl", run), *rest = NULL;
	char *text = read_text(path);
	double rate = -1;

	for (char *l = strtok_r(text, "\n", &rest); l != NULL;
	    l = strtok_r(NULL, "\n", &rest)) {
		json_t *v = json_loads(l, 0, NULL);
		if (json_integer_value(json_object_get(v, "step")) == step &&
		    json_object_get(v, "learning_rate") != NULL)
			rate = json_number_value(json_object_get(v,
			    "learning_rate"));
		json_decref(v);
	}
	free(text);
	free(path);
	return rate;
}

static double
cosine_rate(double t, double length)
{
	return 0.01 * (1 + cos(M_PI * t / length)) / 2;
}

T_CASE(a_longer_cosine_is_kept_stretched_or_restarted)
{
	static const char *const how[] = { "keep", "stretch", "restart" };
	const double want[] = { cosine_rate(14, 15), cosine_rate(15, 33),
		0.01 / 3 };

	cosine_to_its_end();
	for (int i = 0; i < 3; i++) {
		char *set = xasprintf("training.schedule.on_resume=%s", how[i]);
		char *copy = xasprintf("cp -r r %s", how[i]);
		char *said = xasprintf("the schedule from step 18 on, by %s: "
		    "cosine over ", how[i]);
		t_eq_int(system(copy), 0);
		train_ok("--run-dir", how[i], "--set", "training.epochs=6",
		    "--set", set, "job.yaml");
		t_near(rate_at(how[i], 19), want[i], 1e-15);
		file_has("out", said);
		/* Not again where nothing has changed. */
		train_ok("--run-dir", how[i], "--set", "training.epochs=6",
		    "--set", set, "job.yaml");
		t_eq_int(count_in("out", "the schedule from"), 0);
		free(set);
		free(copy);
		free(said);
	}
}

T_CASE(a_run_killed_behind_each_choice_ends_as_an_undisturbed_one)
{
	static const struct {
		const char *epochs, *how, *last;
	} resumes[] = {         /* each behind the one before it */
		{ "training.epochs=5", "training.schedule.on_resume=restart",
		    "step-000000030" },
		{ "training.epochs=6", "training.schedule.on_resume=keep",
		    "step-000000036" },
		{ "training.epochs=8", "training.schedule.on_resume=stretch",
		    "step-000000048" },
		{ "training.epochs=9", "training.schedule.on_resume=restart",
		    "step-000000054" },
	};

	cosine_to_its_end();
	t_eq_int(system("cp -r r torn"), 0);
	for (size_t i = 0; i < RK_ARRAY_LEN(resumes); i++) {
		train_ok("--run-dir", "r", "--set", resumes[i].epochs, "--set",
		    resumes[i].how, "job.yaml");
		kill_until_it_ends("torn", (const char *const[KILLED_SETS]){
		    resumes[i].epochs, resumes[i].how,
		    "checkpoint.every.steps=4" });
		char *a = xasprintf("r/checkpoints/%s", resumes[i].last);
		char *b = xasprintf("torn/checkpoints/%s", resumes[i].last);
		same_checkpoint(a, b);
		free(a);
		free(b);
	}
}

/* A checkpoint without what this version adds to its state, as an older one
 * has written it. */
static void
make_old(const char *dir)
{
	char *path = xasprintf("%s/checkpoint.json", dir), check[RK_SHA256_HEX];
	json_t *v = read_json(path);

	json_object_del(json_object_get(v, "state"), "schedule");
	json_object_del(json_object_get(v, "state"), "spec");
	json_object_del(v, "check");
	char *text = rkj_text(v);
	rk_sha256_of(text, strlen(text), check);
	json_object_set_new(v, "check", json_string(check));
	free(text);
	text = rkj_pretty(v);
	write_file(path, text);
	free(text);
	json_decref(v);
	free(path);
}

T_CASE(a_checkpoint_of_a_version_before_goes_on_as_it_did)
{
	cosine_to_its_end();
	t_eq_int(system("cp -r r new; cp -r r keep"), 0);
	make_old("r/checkpoints/" LAST);
	make_old("keep/checkpoints/" LAST);
	train_ok("--run-dir", "r", "--set", "training.epochs=6", "--set",
	    "training.optimizer.learning_rate=0.005", "job.yaml");
	t_near(rate_at("r", 19), cosine_rate(15, 33) / 2, 1e-15);
	t_eq_int(train("--run-dir", "keep", "--set", "training.epochs=6",
	    "--set", "training.schedule.on_resume=keep", "job.yaml"),
	    TRAIN_REFUSED);
	file_has("err", "training.schedule.on_resume: is keep, and " LAST
	    " was written by a version that did not record its schedule");
}

T_CASE(a_warm_up_longer_than_the_run_is_said_once)
{
	write_tiny("job.yaml", TINY_ADAM);
	train_ok("--run-dir", "r", "--set", "training.steps=9", "--set",
	    "training.schedule.warmup_steps=5000", "job.yaml");
	file_has("out", "the warm-up of 5,000 steps is longer than the run of "
	    "9");
	train_ok("--run-dir", "r", "--set", "training.steps=9", "--set",
	    "training.schedule.warmup_steps=5000", "job.yaml");
	t_eq_int(count_in("out", "warm-up"), 0);
}

/* --- how it ends ---------------------------------------------------------- */

T_CASE(a_finished_job_says_that_nothing_is_left)
{
	write_tiny("job.yaml", TINY_ADAM);
	train_ok("--run-dir", "r", "job.yaml");
	train_ok("--run-dir", "r", "job.yaml");
	file_has("out", "nothing is left to do: 18 of 18 steps");
	file_has("out", "checkpoint " LAST);
	file_has("out", "validation accuracy");
	t_check(access("r/checkpoints/" LAST "-b2", F_OK) != 0);
}

T_CASE(more_epochs_take_a_finished_job_further)
{
	write_tiny("job.yaml", TINY_ADAM);
	train_ok("--run-dir", "r", "job.yaml");
	train_ok("--run-dir", "r", "--set", "training.epochs=4", "job.yaml");
	t_check(access("r/checkpoints/step-000000024", F_OK) == 0);
}

T_CASE(a_schedule_that_has_ended_at_zero_is_said)
{
	write_tiny("job.yaml", TINY_ADAM);
	train_ok("--run-dir", "r", "job.yaml");
	train_ok("--run-dir", "r", "--set", "training.epochs=4", "--set",
	    "training.schedule.type=linear", "--set",
	    "training.schedule.length=15", "--set",
	    "training.schedule.gamma=null", "--set",
	    "training.schedule.step_size=null", "job.yaml");
	file_has("out", "the learning rate is 0 from step 18");
}

T_CASE(steps_may_end_inside_an_epoch_and_are_scored_there)
{
	write_tiny("job.yaml", TINY_ADAM);
	train_ok("--run-dir", "r", "--set", "training.steps=8", "job.yaml");
	json_t *c = read_json("r/checkpoints/step-000000008/checkpoint.json");
	t_check(json_is_number(json_object_get(json_object_get(c, "metrics"),
	    "val_accuracy")));
	t_eq_int(json_integer_value(json_object_get(c, "epoch")), 1);
	t_eq_int(json_integer_value(json_object_get(c, "sample")), 16);
	json_decref(c);
}

T_CASE(an_epoch_without_its_remainder_goes_on_exactly)
{
	write_tiny("job.yaml", TINY_ADAM "  drop_last: true\n");
	train_ok("--run-dir", "r", "job.yaml");
	/* 45 samples make 5 whole batches of 8. */
	for (int step = 4; step <= 6; step++) {
		char *run = xasprintf("r%d", step);
		char *dir = xasprintf("%s/checkpoints/step-000000015", run);
		run_to(run, step);
		train_ok("--run-dir", run, "job.yaml");
		same_checkpoint("r/checkpoints/step-000000015", dir);
		free(run);
		free(dir);
	}
}

T_CASE(what_was_written_while_it_was_broken_is_passed_over)
{
	write_tiny("job.yaml", TINY_ADAM);
	train_ok("--run-dir", "whole", "job.yaml");
	run_to("r", 11);
	train_ok("--run-dir", "r", "--set", "training.epochs=2", "job.yaml");
	int fd = open("r/checkpoints/step-000000012/model.safetensors",
	    O_RDWR);
	t_check(fd >= 0 && pwrite(fd, "x", 1, 4200) == 1);
	close(fd);
	train_ok("--run-dir", "r", "job.yaml");
	file_has("out", "step-000000012");
	file_has("out", "goes on from step-000000011");
	same_checkpoint("whole/checkpoints/" LAST, "r/checkpoints/" LAST);
}

T_CASE(a_step_that_is_not_there_is_an_error)
{
	write_tiny("job.yaml", TINY_ADAM);
	t_eq_int(train("--run-dir", "r", "--from", "step:3", "job.yaml"),
	    TRAIN_REFUSED);
	file_has("err", "there is no checkpoint \"step:3\"");
	t_eq_int(train("--run-dir", "r", "--from", "lunch", "job.yaml"),
	    TRAIN_REFUSED);
	t_eq_int(train("--run-dir", "r", "--from", "best", "job.yaml"),
	    TRAIN_REFUSED);
	train_ok("--run-dir", "r", "--set", "training.resume_from=best",
	    "job.yaml");
	file_has("out", "starts cold");
}

T_CASE(best_goes_on_from_the_best)
{
	write_tiny("job.yaml", TINY_ADAM);
	train_ok("--run-dir", "r", "--set", "checkpoint.keep.metric=loss",
	    "job.yaml");
	train_ok("--run-dir", "r", "--from", "best", "--set",
	    "checkpoint.keep.metric=loss", "job.yaml");
	file_has("out", "goes on from step-0000000");
}

T_CASE(the_best_so_far_is_remembered)
{
	json_t *c[2];

	write_tiny("job.yaml", TINY_ADAM);
	train_ok("--run-dir", "a", "job.yaml");
	train_ok("--run-dir", "b", "--set", "training.epochs=1", "job.yaml");
	train_ok("--run-dir", "b", "--set", "training.epochs=2", "job.yaml");
	train_ok("--run-dir", "b", "job.yaml");
	c[0] = read_json("a/checkpoints/" LAST "/checkpoint.json");
	c[1] = read_json("b/checkpoints/" LAST "/checkpoint.json");
	for (int i = 0; i < 2; i++)
		t_check(json_is_number(json_object_get(json_object_get(c[i],
		    "state"), "best")));
	t_check(json_equal(json_object_get(c[0], "state"),
	    json_object_get(c[1], "state")));
	json_decref(c[0]);
	json_decref(c[1]);
}

/* What --predict will ask for: of five features, each by its own numbers. */
T_CASE(a_checkpoint_says_what_a_sample_is)
{
	write_tiny("job.yaml", TINY_ADAM);
	train_ok("--run-dir", "r", "job.yaml");
	json_t *v = info_of(LAST), *in = json_object_get(v, "input");
	json_t *norm = json_object_get(in, "normalize"), *want;

	want = json_pack("[i]", 5);
	t_eq_str(json_string_value(json_object_get(in, "dtype")), "f32");
	t_check(json_equal(json_object_get(in, "shape"), want));
	t_eq_str(json_string_value(json_object_get(norm, "type")), "standard");
	t_eq_int((int)json_integer_value(json_object_get(norm, "count")), 5);
	t_eq_int((int)json_array_size(json_object_get(norm, "scale")), 5);
	t_eq_int((int)json_array_size(json_object_get(norm, "shift")), 5);
	t_check(json_is_null(json_object_get(v, "classes")));
	json_decref(want);
	json_decref(v);
}

T_CASE(another_optimizer_cannot_go_on)
{
	write_tiny("job.yaml", TINY_ADAM);
	train_ok("--run-dir", "r", "job.yaml");
	t_eq_int(train("--run-dir", "r", "--set",
	    "training.optimizer.type=sgd", "--set", "training.epochs=4",
	    "job.yaml"), TRAIN_REFUSED);
	file_has("err", "has 12 optimizer tensors, the job's has 0");
	file_has("err", "training.optimizer.type: is \"adam\" and cannot be "
	    "changed to \"sgd\" on a resume: the checkpoint holds this "
	    "optimiser's state");
	t_eq_int(train("--run-dir", "r", "--set",
	    "training.optimizer.type=rmsprop", "--set", "training.epochs=4",
	    "job.yaml"), TRAIN_REFUSED);
	file_has("err", "has no fc1.weight.square_avg");
}

T_CASE(another_shape_cannot_go_on)
{
	char *s;

	write_tiny("job.yaml", TINY_ADAM);
	train_ok("--run-dir", "r", "job.yaml");
	s = read_text("job.yaml");
	*strstr(s, "12, name: fc1") = '2';
	write_file("job.yaml", s);
	free(s);
	t_eq_int(train("--run-dir", "r", "job.yaml"), TRAIN_REFUSED);
	file_has("err",
	    "fc1.weight is F32 [12,5], the job's is F32 [22,5]");
	file_has("err", "model.layers: is a list and cannot be changed on a "
	    "resume: the checkpoint is of this network");
}

/* --- an edited job, without a daemon -------------------------------------- */

T_CASE(what_a_daemon_refuses_of_a_resume_is_refused_without_one)
{
	static const struct {
		const char *set, *words;
	} no[] = {
		{ "training.batch_size=5", "training.batch_size: is 8 and "
		    "cannot be changed to 5 on a resume: the checkpoint counts "
		    "batches of this size" },
		{ "training.seed=2", "training.seed: is 1 and cannot be" },
		{ "training.shuffle=false", "training.shuffle: is true and" },
		{ "training.drop_last=true", "training.drop_last: is false" },
		{ "training.loss=mse", "training.loss.type: is "
		    "\"cross_entropy\" and cannot be" },
		{ "training.optimizer.type=adamw", "training.optimizer.type: "
		    "is \"adam\" and" },
		{ "data.normalize=none", "data.normalize.type: is \"standard\" "
		    "and cannot be" },
		{ "model.input=[5]", "model.input: is not set and cannot be" },
	};

	write_tiny("job.yaml", TINY_ADAM);
	train_ok("--run-dir", "r", "--set", "training.epochs=2", "job.yaml");
	for (size_t i = 0; i < RK_ARRAY_LEN(no); i++) {
		t_eq_int(train("--run-dir", "r", "--set", no[i].set,
		    "job.yaml"), TRAIN_REFUSED);
		file_has("err", "cannot go on from step-000000012");
		file_has("err", no[i].words);
	}
	/* Nothing has happened to the run. */
	train_ok("--run-dir", "whole", "job.yaml");
	train_ok("--run-dir", "r", "job.yaml");
	same_checkpoint("whole/checkpoints/" LAST, "r/checkpoints/" LAST);
	/* Whoever begins anew may change what he likes. */
	train_ok("--run-dir", "r", "--from", "none", "--set", no[0].set,
	    "job.yaml");
}

T_CASE(every_fault_of_an_edited_job_is_named_and_what_may_change_changes)
{
	write_tiny("job.yaml", TINY_ADAM);
	train_ok("--run-dir", "r", "--set", "training.epochs=2", "job.yaml");
	t_eq_int(train("--run-dir", "r", "--set", "training.seed=2", "--set",
	    "training.batch_size=9", "job.yaml"), TRAIN_REFUSED);
	file_has("err", "training.seed: is 1");
	file_has("err", "training.batch_size: is 8");
	train_ok("--run-dir", "r", "--set", "training.gradient_clip_norm=1",
	    "--set", "training.log_every=2", "--set", "priority=3", "--set",
	    "training.optimizer.weight_decay=0.1", "--set",
	    "checkpoint.keep.last=9", "job.yaml");
}

T_CASE(momentum_cannot_begin_without_a_daemon_either)
{
	write_tiny("job.yaml",
	    "  optimizer: {type: sgd, learning_rate: 0.05}\n");
	train_ok("--run-dir", "r", "--set", "training.epochs=2", "job.yaml");
	t_eq_int(train("--run-dir", "r", "--set",
	    "training.optimizer.momentum=0.9", "job.yaml"), TRAIN_REFUSED);
	file_has("err", "training.optimizer.momentum: cannot go from 0 to 0.9 "
	    "on a resume, which the checkpoint has no state for");
}

T_CASE(a_leap_is_refused_without_a_daemon_too)
{
	cosine_to_its_end();
	t_eq_int(train("--run-dir", "r", "--set", "training.epochs=6",
	    "job.yaml"), TRAIN_REFUSED);
	file_has("err", "training.epochs: makes the learning rate leap from "
	    "0.000109 to 0.00571 at step 18: say training.schedule.on_resume");
	t_eq_int(train("--run-dir", "r", "--set",
	    "training.schedule.type=linear", "--set", "training.epochs=6",
	    "--set", "training.schedule.on_resume=keep", "job.yaml"),
	    TRAIN_REFUSED);
	file_has("err", "training.schedule.type: would not be used");
	/* A refusal opens no branch, and a rate that is said is meant. */
	train_ok("--run-dir", "r", "--set", "training.epochs=6", "--set",
	    "training.optimizer.learning_rate=0.002", "job.yaml");
	t_check(access("r/checkpoints/step-000000036", F_OK) == 0);
}

T_CASE(as_many_epochs_of_more_data_are_no_longer_training)
{
	cosine_to_its_end();
	write_csv("more.csv", 80, 5, 3);
	train_ok("--run-dir", "r", "--accept", "data", "--set",
	    "data.train.path=more.csv", "job.yaml");
	t_check(access("r/checkpoints/step-000000030", F_OK) == 0 ||
	    count_in("out", "nothing is left") > 0);
}

T_CASE(a_checkpoint_that_recorded_no_job_is_gone_on_from_and_that_is_said)
{
	cosine_to_its_end();
	make_old("r/checkpoints/" LAST);
	train_ok("--run-dir", "r", "--set", "training.epochs=6", "job.yaml");
	file_has("out", LAST " was written by a version that did not record "
	    "its job: what may not change on a resume is not checked");
}

T_MAIN
