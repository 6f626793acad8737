/* Early stopping: when, what is said, exactly so after any interruption, and the
 * best weights again. */
#include "train_help.h"

/* A rate of nothing: no epoch is better than the first. */
#define STILL "  optimizer: {type: sgd, learning_rate: 1.0e-30}\n" \
	"  schedule: constant\n"
/* One that shakes: epochs are better and worse. */
#define SHAKES "  optimizer: {type: adam, learning_rate: 0.3}\n" \
	"  schedule: constant\n"

static void
write_job(const char *training, const char *checkpoint)
{
	write_tiny("job.yaml", TINY_ADAM);
	char *text = xasprintf("%s%straining:\n  epochs: 40\n  batch_size: 8\n"
	    "  log_every: 4\n%s%scheckpoint: %s\n", TINY_HEAD, TINY_MODEL,
	    training, TINY_DATA, checkpoint);
	write_file("job.yaml", text);
	free(text);
}

#define EVERY_STEP "{every: {steps: 1}, keep: {last: 1000, best: 1, " \
	"metric: val_loss}}"

static char *
newest(const char *run)
{
	char *path = xasprintf("%s/checkpoints", run), *best = NULL;
	DIR *d = opendir(path);
	const struct dirent *e;

	t_check(d != NULL);
	while ((e = readdir(d)) != NULL) {
		if (strncmp(e->d_name, "step-", 5) == 0 &&
		    (best == NULL || strcmp(e->d_name, best) > 0)) {
			free(best);
			best = xstrdup(e->d_name);
		}
	}
	closedir(d);
	char *out = xasprintf("%s/%s", path, best);
	free(path);
	free(best);
	return out;
}

static json_t *
state_of(const char *dir)
{
	char *path = xasprintf("%s/checkpoint.json", dir);
	json_t *v = read_json(path), *state = json_incref(json_object_get(v,
	    "state"));

	json_decref(v);
	free(path);
	return state;
}

T_CASE(a_run_stops_after_as_many_bad_epochs_as_it_has_patience)
{
	write_job(STILL "  early_stopping: {metric: val_loss, patience: 3}\n",
	    EVERY_STEP);
	train_ok("--run-dir", "r", "job.yaml");
	file_has("out", "stops early at step 24 (epoch 4): val_loss has not "
	    "been better than ");
	file_has("out", "(step 6) for 3 epochs");
	file_has("out", "finished early at step 24");
	char *dir = newest("r");
	t_has(dir, "step-000000024");
	json_t *state = state_of(dir);
	const json_t *e = json_object_get(state, "early_stopping");
	t_eq_int(json_integer_value(json_object_get(e, "bad")), 3);
	t_eq_int(json_integer_value(json_object_get(e, "step")), 6);
	json_decref(state);
	free(dir);
	/* Run again, it has nothing to do, and says why. */
	train_ok("--run-dir", "r", "job.yaml");
	file_has("out", "the training was stopped early, val_loss has not");
	file_has("out", "raise training.early_stopping.patience to go on");
	dir = newest("r");
	t_has(dir, "step-000000024");
	free(dir);
	/* With more patience it goes on. */
	train_ok("--run-dir", "r", "--set",
	    "training.early_stopping.patience=5", "job.yaml");
	dir = newest("r");
	t_has(dir, "step-000000036");
	free(dir);
	/* And without any to the end. */
	train_ok("--run-dir", "r", "--set", "training.early_stopping=null",
	    "--set", "training.epochs=8", "job.yaml");
	dir = newest("r");
	t_has(dir, "step-000000048");
	state = state_of(dir);
	t_check(json_object_get(state, "early_stopping") == NULL);
	json_decref(state);
	free(dir);
}

T_CASE(what_is_better_by_less_than_min_delta_is_not_better)
{
	write_job(TINY_ADAM "  schedule: constant\n  early_stopping: "
	    "{metric: val_loss, patience: 2, min_delta: 100}\n", EVERY_STEP);
	train_ok("--run-dir", "r", "job.yaml");
	file_has("out", "finished early at step 18");
}

T_CASE(another_metric_is_counted_from_its_beginning)
{
	write_job(STILL "  early_stopping: {metric: val_loss, patience: 3}\n",
	    EVERY_STEP);
	train_ok("--run-dir", "r", "job.yaml");
	train_ok("--run-dir", "r", "--set", "training.early_stopping.metric="
	    "val_macro_f1", "--set", "training.early_stopping.min_delta=100",
	    "job.yaml");
	/* Epoch 5 is the first, and 8 the third behind it. */
	file_has("out", "finished early at step 48");
}

/* --- exactly -------------------------------------------------------------- */

static void
run_to(const char *dir, int step)
{
	char *set = xasprintf("training.steps=%d", step);

	train_ok("--run-dir", dir, "--threads", step % 2 ? "1" : "2", "--set",
	    set, "job.yaml");
	free(set);
}

T_CASE(a_run_that_was_interrupted_stops_where_another_does)
{
	static const int cuts[] = { 1, 5, 6, 7, 12, 13, 17, 18, 19 };

	write_job(SHAKES "  early_stopping: {metric: val_loss, patience: 3}\n",
	    EVERY_STEP);
	train_ok("--run-dir", "whole", "job.yaml");
	file_has("out", "finished early");
	char *want = newest("whole");
	for (size_t i = 0; i < RK_ARRAY_LEN(cuts); i++) {
		char *run = xasprintf("r%d", cuts[i]);
		run_to(run, cuts[i]);
		train_ok("--run-dir", run, "job.yaml");
		file_has("out", "finished early");
		char *got = newest(run);
		t_eq_str(strrchr(got, '/'), strrchr(want, '/'));
		same_checkpoint(got, want);
		free(got);
		free(run);
	}
	free(want);
}

/* --- the best again ------------------------------------------------------- */

#define RESTORE "  early_stopping: {metric: val_loss, patience: 3, " \
	"restore: best}\n"

static void
same_weights(const char *a, const char *b)
{
	static const char *const files[] = { "model.safetensors",
		"optimizer.safetensors" };

	for (size_t i = 0; i < RK_ARRAY_LEN(files); i++) {
		char *p = xasprintf("%s/%s", a, files[i]);
		char *q = xasprintf("%s/%s", b, files[i]);
		same_bytes(p, q);
		free(p);
		free(q);
	}
}

static char *
best_of(const char *run, const char *last)
{
	json_t *state = state_of(last);
	const json_t *e = json_object_get(state, "early_stopping");

	t_check(json_is_true(json_object_get(e, "restored")));
	char *dir = xasprintf("%s/checkpoints/step-%09lld", run,
	    (long long)json_integer_value(json_object_get(e, "step")));
	json_decref(state);
	return dir;
}

static void
restores(const char *training)
{
	static const int cuts[] = { 5, 12, 19 };

	write_job(training, EVERY_STEP);
	train_ok("--run-dir", "whole", "job.yaml");
	file_has("out", "the weights are those of step-");
	char *last = newest("whole");
	t_has(last, "-b2");
	char *best = best_of("whole", last);
	same_weights(last, best);
	/* It says what its own weights measured. */
	char *p = xasprintf("%s/checkpoint.json", last);
	char *q = xasprintf("%s/checkpoint.json", best);
	json_t *x = read_json(p), *y = read_json(q);
	t_check(json_equal(json_object_get(x, "metrics"), json_object_get(y,
	    "metrics")));
	t_check(!json_equal(json_object_get(x, "step"), json_object_get(y,
	    "step")));
	json_decref(x);
	json_decref(y);
	free(p);
	free(q);
	/* Run again it stays as it is. */
	train_ok("--run-dir", "whole", "job.yaml");
	char *again = newest("whole");
	t_eq_str(again, last);
	free(again);
	for (size_t i = 0; i < RK_ARRAY_LEN(cuts); i++) {
		char *run = xasprintf("r%d", cuts[i]);
		run_to(run, cuts[i]);
		train_ok("--run-dir", run, "job.yaml");
		char *got = newest(run);
		same_checkpoint(got, last);
		free(got);
		free(run);
	}
	free(last);
	free(best);
}

T_CASE(a_run_that_restores_ends_with_the_weights_of_its_best_epoch)
{
	restores(SHAKES RESTORE);
}

T_CASE(so_does_one_that_keeps_an_average)
{
	restores(SHAKES "  ema: {decay: 0.5}\n" RESTORE);
}

T_CASE(a_best_checkpoint_that_is_gone_is_said_and_the_run_ends)
{
	write_job(STILL RESTORE, EVERY_STEP);
	run_to("r", 22);
	t_eq_int(system("rm -r r/checkpoints/step-000000006"), 0);
	train_ok("--run-dir", "r", "job.yaml");
	file_has("out", "the best checkpoint, of step 6, cannot be used here: "
	    "the job ends with the weights of step 24");
	file_has("out", "finished early at step 24");
}

/* --- evaluations ---------------------------------------------------------- */

T_CASE(evaluations_are_kept_over_attempts_and_bounded)
{
	write_job(STILL, "{every: {steps: 6}}");
	run_to("r", 18);
	run_to("r", 30);
	t_eq_int(count_in("r/evaluations.jsonl", "\n"), 5);
	file_has("r/evaluations.jsonl", "{\"evaluation\":1,\"attempt\":1,");
	file_has("r/evaluations.jsonl", "{\"evaluation\":5,\"attempt\":2,");
	file_has("r/metrics.jsonl", "\"macro_f1\":");
	/* A torn line, and so many that there is no more room. */
	FILE *f = fopen("r/evaluations.jsonl", "a");
	for (int i = 0; i < 1000; i++)
		fprintf(f, "{\"evaluation\":%d,\"x\":\"%05000d\"}\n", 6 + i,
		    i);
	fprintf(f, "{\"evaluation\":17");
	fclose(f);
	run_to("r", 36);
	char *s = read_text("r/evaluations.jsonl");
	t_check(strlen(s) < 3u << 20);
	t_has(s, "{\"evaluation\":1006,\"attempt\":3,");
	t_check(strncmp(s, "{\"evaluation\":", 14) == 0);
	free(s);
}

T_MAIN
