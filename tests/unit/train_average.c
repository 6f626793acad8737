/*
 * The average of a model, reduce_on_plateau, and parameters that are trained
 * otherwise: runs that were interrupted end where an uninterrupted one ends, and
 * what is saved is what was measured.
 */
#include <math.h>

#include "rekindle/format.h"
#include "train_help.h"

#define LAST "step-000000036"           /* 6 epochs of 6 steps */

/* A rate that falls: nothing is better by half twice in a row. */
#define PLATEAU \
	"  schedule: {type: reduce_on_plateau, patience: 0, factor: 0.5, " \
	"threshold: 0.5, cooldown: 1, warmup_steps: 3, warmup: torch, " \
	"warmup_start_factor: 0.1}\n"
#define EMA "  ema: {decay: 0.9, warmup: true}\n"
#define GROUPS \
	"  parameters:\n" \
	"    - {match: 'bn.bias', trainable: false}\n" \
	"    - {match: 'fc2.*', learning_rate_scale: 0.5, weight_decay: 0.1}\n"

/* The tiny job over six epochs with these fields of `training`. */
static void
write_job(const char *training)
{
	write_tiny("job.yaml", TINY_ADAM);
	char *text = xasprintf("%s%straining:\n  epochs: 6\n  batch_size: 8\n"
	    "  log_every: 4\n%s%s%s", TINY_HEAD, TINY_MODEL, training,
	    TINY_DATA, TINY_CHECKPOINT);
	write_file("job.yaml", text);
	free(text);
}

static void
run_to(const char *dir, int step)
{
	char *set = xasprintf("training.steps=%d", step);

	train_ok("--run-dir", dir, "--threads", step % 2 ? "1" : "2", "--set",
	    set, "--set", "checkpoint.every.steps=100", "job.yaml");
	free(set);
}

/* From each of some steps, and after a stop at every one. */
static void
goes_on_exactly(const char *training)
{
	static const int special[] = { 1, 3, 4, 6, 7, 12, 17, 30 };

	write_job(training);
	train_ok("--run-dir", "whole", "job.yaml");
	for (size_t i = 0; i < RK_ARRAY_LEN(special); i++) {
		char *run = xasprintf("r%d", special[i]);
		char *dir = xasprintf("%s/checkpoints/" LAST, run);
		run_to(run, special[i]);
		train_ok("--run-dir", run, "--set",
		    "checkpoint.every.steps=100", "job.yaml");
		same_checkpoint("whole/checkpoints/" LAST, dir);
		free(run);
		free(dir);
	}
	for (int step = 5; step <= 36; step += 5)
		run_to("r", RK_MIN(step, 36));
	train_ok("--run-dir", "r", "job.yaml");
	same_checkpoint("whole/checkpoints/" LAST, "r/checkpoints/" LAST);
}

T_CASE(an_average_a_plateau_and_groups_go_on_exactly)
{
	goes_on_exactly(TINY_ADAM PLATEAU EMA GROUPS
	    "  gradient_clip_value: 0.05\n");
}

T_CASE(lamb_goes_on_exactly)
{
	goes_on_exactly("  optimizer: {type: lamb, learning_rate: 0.02, "
	    "no_decay: ['*.bias', 'bn.*']}\n"
	    "  schedule: {type: one_cycle, length: 36}\n"
	    "  gradient_clip_norm: 1\n");
}

T_CASE(adagrad_goes_on_exactly)
{
	goes_on_exactly("  optimizer: {type: adagrad, lr_decay: 0.1, "
	    "initial_accumulator_value: 0.1}\n" EMA
	    "  schedule: {type: cosine, length: 29, warmup_steps: 7, "
	    "warmup: paddle}\n");
}

T_CASE(plain_sgd_with_an_average_goes_on_exactly)
{
	goes_on_exactly("  optimizer: {type: sgd, learning_rate: 0.05}\n" EMA);
}

T_CASE(a_run_with_an_average_and_a_plateau_killed_again_and_again_ends_the_same)
{
	write_job(TINY_ADAM PLATEAU EMA GROUPS);
	train_ok("--run-dir", "whole", "job.yaml");
	kill_until_it_ends("torn", (const char *const[KILLED_SETS]){ NULL });
	same_checkpoint("whole/checkpoints/" LAST, "torn/checkpoints/" LAST);
}

/* --- files ---------------------------------------------------------------- */

static struct tensor_set *
loaded(const char *dir, const char *file)
{
	struct tensor_set *s = NULL;
	struct rk_why why = {0};
	char *path = xasprintf("%s/%s.safetensors", dir, file);

	if (format_load(path, &s, &why) != RK_OK)
		t_fail("%s: %s", path, rk_why_first(&why));
	free(path);
	return s;
}

static bool
same_values(const struct tensor_set *a, const char *x,
    const struct tensor_set *b, const char *y)
{
	const struct tensor *t = tensor_find(a, x), *u = tensor_find(b, y);

	if (t == NULL || u == NULL)
		t_fail("there is no %s", t == NULL ? x : y);
	return t->nbytes == u->nbytes && memcmp(t->data, u->data, t->nbytes) ==
	    0;
}

static double
number(const char *dir, const char *part, const char *key)
{
	char *path = xasprintf("%s/checkpoint.json", dir);
	json_t *v = read_json(path);
	double x = json_number_value(json_object_get(json_object_get(v, part),
	    key));

	free(path);
	json_decref(v);
	return x;
}

/* Without an average, the same steps: what is trained is the same, and the
 * model's file is not. */
T_CASE(an_average_does_not_change_what_is_trained)
{
	static const char *const names[] = { "fc1.weight", "bn.bias",
	    "bn.running_mean", "fc2.bias" };

	write_job(TINY_ADAM);
	train_ok("--run-dir", "plain", "job.yaml");
	write_job(TINY_ADAM EMA);
	train_ok("--run-dir", "ema", "job.yaml");
	struct tensor_set *a = loaded("plain/checkpoints/" LAST, "model");
	struct tensor_set *b = loaded("ema/checkpoints/" LAST, "model");
	struct tensor_set *c = loaded("ema/checkpoints/" LAST, "optimizer");
	t_eq_int((int)a->n, (int)b->n);
	for (size_t i = 0; i < RK_ARRAY_LEN(names); i++) {
		char *raw = xasprintf("%s.raw", names[i]);
		t_check(same_values(a, names[i], c, raw));
		t_check(!same_values(a, names[i], b, names[i]));
		free(raw);
	}
	tensor_set_free(a);
	tensor_set_free(b);
	tensor_set_free(c);
}

/* A job that begins with the file and learns nothing measures it again. */
T_CASE(what_is_measured_is_what_the_models_file_has)
{
	write_job(TINY_ADAM EMA);
	train_ok("--run-dir", "ema", "job.yaml");
	double loss = number("ema/checkpoints/" LAST, "metrics", "val_loss");
	write_tiny("job.yaml", "  optimizer: {type: sgd, learning_rate: "
	    "1e-30}\n");
	char *text = read_text("job.yaml");
	char *model = strstr(text, "model:\n");
	char *job = xasprintf("%.*smodel:\n  checkpoint: ema/checkpoints/"
	    LAST "/model.safetensors\n%s", (int)(model - text), text,
	    model + strlen("model:\n"));
	char *bn = strstr(job, "batch_norm,");
	t_check(bn != NULL);
	/* As little of the running statistics moves. */
	char *slow = xasprintf("%.*sbatch_norm, momentum: 1e-30,%s",
	    (int)(bn - job), job, bn + strlen("batch_norm,"));
	write_file("again.yaml", slow);
	train_ok("--run-dir", "again", "--set", "training.steps=1",
	    "again.yaml");
	/* Written with 17 digits, computed alike. */
	t_check(number("again/checkpoints/step-000000001", "metrics",
	    "val_loss") == loss);
	free(text);
	free(job);
	free(slow);
}

T_CASE(an_average_cannot_begin_or_end_without_a_daemon_either)
{
	write_job(TINY_ADAM);
	train_ok("--run-dir", "r", "--set", "training.steps=6", "job.yaml");
	t_eq_int(train("--run-dir", "r", "--set", "training.ema.decay=0.9",
	    "job.yaml"), TRAIN_REFUSED);
	file_has("err", "training.ema: cannot be begun on a resume");
	write_job(TINY_ADAM EMA);
	train_ok("--run-dir", "e", "--set", "training.steps=6", "job.yaml");
	t_eq_int(train("--run-dir", "e", "--set", "training.ema=null",
	    "job.yaml"), TRAIN_REFUSED);
	file_has("err", "training.ema: cannot be given up on a resume");
}

/* --- groups --------------------------------------------------------------- */

T_CASE(what_is_not_trained_is_as_it_was)
{
	write_job(TINY_ADAM GROUPS);
	train_ok("--run-dir", "r", "--set", "training.steps=1", "job.yaml");
	train_ok("--run-dir", "r", "job.yaml");
	struct tensor_set *a = loaded("r/checkpoints/step-000000001", "model");
	struct tensor_set *b = loaded("r/checkpoints/" LAST, "model");
	struct tensor_set *c = loaded("r/checkpoints/" LAST, "optimizer");
	t_check(same_values(a, "bn.bias", b, "bn.bias"));
	t_check(!same_values(a, "fc1.weight", b, "fc1.weight"));
	const struct tensor *m = tensor_find(c, "bn.bias.exp_avg");
	for (size_t i = 0; i < m->nbytes; i++)
		t_check(((const char *)m->data)[i] == 0);
	tensor_set_free(a);
	tensor_set_free(b);
	tensor_set_free(c);
	/* The state counts none of its updates. */
	json_t *v = read_json("r/checkpoints/" LAST "/checkpoint.json");
	char *text = rkj_text(json_object_get(json_object_get(v, "state"),
	    "updates"));
	t_eq_str(text, "{\"bn.bias\":0}");
	free(text);
	json_decref(v);
}

/* Frozen for an epoch, then trained: the runs differ in where they were stopped,
 * and not in what they are told. */
T_CASE(what_is_thawed_begins_there_and_goes_on_exactly)
{
	static const char thaw[] = "training.parameters=[{match: 'fc2.*', "
	    "learning_rate_scale: 0.5, weight_decay: 0.1}]";

	write_job(TINY_ADAM GROUPS);
	for (int k = 0; k < 2; k++) {
		const char *dir = k == 0 ? "a" : "b";
		run_to(dir, 6);
		if (k == 1)
			train_ok("--run-dir", dir, "--set", thaw, "--set",
			    "training.steps=11", "job.yaml");
		train_ok("--run-dir", dir, "--set", thaw, "job.yaml");
	}
	same_checkpoint("a/checkpoints/" LAST, "b/checkpoints/" LAST);
	json_t *v = read_json("a/checkpoints/" LAST "/checkpoint.json");
	char *text = rkj_text(json_object_get(json_object_get(v, "state"),
	    "updates"));
	t_eq_str(text, "{\"bn.bias\":30}");
	free(text);
	/* Another program, which a person asked for: no break. */
	t_check(json_is_null(json_object_get(v, "inexact")));
	json_decref(v);
	/* Its first update is as large as a first update is: adam's is the
	 * rate itself, 0.01, where no gradient is next to nothing. */
	train_ok("--run-dir", "c", "--set", "training.steps=6", "job.yaml");
	train_ok("--run-dir", "c", "--set", thaw, "--set",
	    "training.steps=7", "job.yaml");
	struct tensor_set *s[2] = {
		loaded("c/checkpoints/step-000000006", "model"),
		loaded("c/checkpoints/step-000000007", "model"),
	};
	const struct tensor *t = tensor_find(s[0], "bn.bias");
	const struct tensor *u = tensor_find(s[1], "bn.bias");
	double most = 0;
	for (size_t i = 0; i < t->nbytes / 4; i++) {
		float x, y;
		memcpy(&x, (const char *)t->data + 4 * i, 4);
		memcpy(&y, (const char *)u->data + 4 * i, 4);
		most = fmax(most, fabs((double)(x - y)));
	}
	t_near(most, 0.01, 1e-4);
	tensor_set_free(s[0]);
	tensor_set_free(s[1]);
}

T_CASE(a_pattern_that_fits_nothing_is_refused_with_the_names)
{
	write_job(TINY_ADAM);
	t_eq_int(train("--run-dir", "r", "--set", "training.parameters="
	    "[{match: fc2.bias}, {match: 'head.*'}]", "job.yaml"),
	    TRAIN_REFUSED);
	file_has("err", "training.parameters[1].match: is \"head.*\", which "
	    "fits no parameter of the network; it has fc1.weight, fc1.bias, "
	    "bn.weight, bn.bias, fc2.weight and 1 more");
	t_eq_int(train("--run-dir", "r", "--set", "training.optimizer.no_decay="
	    "['*.running_mean']", "job.yaml"), TRAIN_REFUSED);
	file_has("err", "training.optimizer.no_decay[0]: is "
	    "\"*.running_mean\", which fits no parameter");
	t_eq_int(train("--run-dir", "r", "--set", "training.parameters="
	    "[{match: 'fc?.*'}, {match: bn.bias}, {match: 'fc2.*', "
	    "learning_rate_scale: 0}]", "job.yaml"), TRAIN_REFUSED);
	file_has("err", "training.parameters[2].match: is \"fc2.*\", and each "
	    "parameter that it fits is of an earlier group: fc2.weight of "
	    "training.parameters[0], \"fc?.*\"; the first group that fits "
	    "counts, so put the narrower one first");
	t_eq_int(train("--run-dir", "r", "--set", "training.parameters="
	    "[{match: 'fc1.*', weight_decay: 0.1}]", "--set",
	    "training.optimizer.no_decay=['fc1.b*']", "job.yaml"),
	    TRAIN_REFUSED);
	file_has("err", "training.optimizer.no_decay[0]: is \"fc1.b*\", and "
	    "each parameter that it fits has the weight_decay of its group: "
	    "fc1.bias of training.parameters[0]");
	train_ok("--run-dir", "s", "--set", "training.parameters="
	    "[{match: 'fc1.*', weight_decay: 0.1}, {match: 'fc*'}]", "--set",
	    "training.optimizer.no_decay=['*.bias']", "job.yaml");
	t_eq_int(train("--run-dir", "r", "--set", "training.parameters="
	    "[{match: '*', trainable: false}]", "job.yaml"), TRAIN_REFUSED);
	file_has("err", "nothing is trained");
}

/* --- reduce on plateau ---------------------------------------------------- */

T_CASE(the_rate_falls_where_nothing_gets_better_and_that_is_said)
{
	write_job(TINY_ADAM PLATEAU);
	train_ok("--run-dir", "r", "job.yaml");
	file_has("out", "the learning rate goes from 0.01 to 0.005: "
	    "val_accuracy has not been better than");
	json_t *v = read_json("r/checkpoints/" LAST "/checkpoint.json");
	json_t *p = json_object_get(json_object_get(json_object_get(v,
	    "state"), "schedule"), "plateau");
	t_check(json_number_value(json_object_get(p, "scale")) < 1);
	t_eq_str(json_string_value(json_object_get(p, "metric")),
	    "val_accuracy");
	json_decref(v);
}

/* An end inside an epoch is scored, and judged by nobody. */
T_CASE(an_end_inside_an_epoch_does_not_lower_the_rate)
{
	write_job(TINY_ADAM PLATEAU);
	for (int step = 7; step <= 11; step++)
		run_to("r", step);
	json_t *v = read_json("r/checkpoints/step-000000011/checkpoint.json");
	json_t *p = json_object_get(json_object_get(json_object_get(v,
	    "state"), "schedule"), "plateau");
	t_check(json_number_value(json_object_get(p, "scale")) == 1);
	t_eq_int(json_integer_value(json_object_get(p, "bad")), 0);
	json_decref(v);
}

T_MAIN
