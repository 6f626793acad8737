/* A run that has had a checkpoint does not begin anew unless it is told to. */
#include "train_help.h"

static void
spoil(const char *dir)
{
	char *path = xasprintf("%s/" CKPT_MODEL_FILE, dir);
	FILE *f = fopen(path, "r+");

	t_check(f != NULL);
	fseek(f, -1, SEEK_END);
	int c = fgetc(f);
	fseek(f, -1, SEEK_END);
	fputc(c ^ 1, f);
	fclose(f);
	free(path);
}

/* A checkpoint of each: a step that is quicker than its writer has none, but the
 * last of a run always has. */
static void
two_steps(void)
{
	write_tiny("job.yaml", TINY_ADAM);
	train_ok("--run-dir", "r", "--set", "training.steps=1", "job.yaml");
	train_ok("--run-dir", "r", "--set", "training.steps=2", "job.yaml");
}

T_CASE(with_all_of_them_damaged_it_refuses_and_goes_on_when_one_is_back)
{
	two_steps();
	(void)!system("cp -r r/checkpoints/step-000000002 kept");
	spoil("r/checkpoints/step-000000001");
	spoil("r/checkpoints/step-000000002");
	for (int k = 0; k < 2; k++) {
		t_eq_int(train("--run-dir", "r", "job.yaml"), TRAIN_WAITS);
		file_has("err", "has had step-000000002, and none can be used");
		file_has("err", "bad-step-000000002 is set aside");
		file_has("err", "--from none");
	}
	(void)!system("mv kept r/checkpoints/step-000000002");
	train_ok("--run-dir", "r", "job.yaml");
	file_has("out", "goes on from step-000000002");
}

/* Its data must not be parted by the job's rule, nor its model be asked, before
 * that is known. */
T_CASE(with_all_of_them_damaged_it_asks_neither_split_nor_model)
{
	write_tiny("job.yaml", TINY_ADAM);
	write_file("split.yaml", TINY_HEAD TINY_MODEL TINY_TRAINING TINY_ADAM
	    "data: {train: {type: csv, path: train.csv, label: -1}, "
	    "validation_split: 0.3}\n" TINY_CHECKPOINT);
	train_ok("--run-dir", "r", "--set", "training.steps=1", "split.yaml");
	spoil("r/checkpoints/step-000000001");
	t_eq_int(train("--run-dir", "r", "--set", "data.validation_split=1e-9",
	    "split.yaml"), TRAIN_WAITS);
	t_eq_int(train("--run-dir", "r", "--set", "model.checkpoint=gone",
	    "split.yaml"), TRAIN_WAITS);
}

T_CASE(told_to_it_begins_anew_and_does_so_again_after_a_crash)
{
	two_steps();
	spoil("r/checkpoints/step-000000001");
	spoil("r/checkpoints/step-000000002");
	t_eq_int(train("--run-dir", "r", "job.yaml"), TRAIN_WAITS);
	/* ends before it has a checkpoint */
	t_check(train("--run-dir", "r", "--from", "none", "--set",
	    "training.optimizer={type: sgd, learning_rate: 1000000}", "--set",
	    "checkpoint.every.steps=1000", "job.yaml") != 0);
	file_has("out", "starts cold");
	train_ok("--run-dir", "r", "--set", "training.steps=3", "job.yaml");
	file_has("out", "starts cold");
	(void)!system("rm -r r");
	two_steps();
	spoil("r/checkpoints/step-000000001");
	spoil("r/checkpoints/step-000000002");
	train_ok("--run-dir", "r", "--set", "training.resume_from=none",
	    "job.yaml");
}

T_CASE(one_that_was_set_aside_and_is_whole_is_used_when_no_other_is_left)
{
	two_steps();
	t_eq_int(rename("r/checkpoints/step-000000002",
	    "r/checkpoints/bad-step-000000002"), 0);
	(void)!system("rm -r r/checkpoints/step-000000001");
	train_ok("--run-dir", "r", "job.yaml");
	file_has("out", "bad-step-000000002 is whole and is step-000000002 "
	    "again");
	file_has("out", "goes on from step-000000002");
}

T_CASE(told_that_there_was_one_it_refuses_an_empty_folder)
{
	write_tiny("job.yaml", TINY_ADAM);
	t_eq_int(train("--run-dir", "r", "--known", "40", "job.yaml"),
	    TRAIN_WAITS);
	file_has("err", "had a checkpoint, and there is no r/checkpoints");
	(void)!system("mkdir r/checkpoints");
	t_eq_int(train("--run-dir", "r", "--known", "40", "job.yaml"),
	    TRAIN_WAITS);
	file_has("err", "there is none to go on from");
	t_eq_int(train("--run-dir", "r", "--known", "40", "--from", "best",
	    "job.yaml"), TRAIN_WAITS);
	train_ok("--run-dir", "r", "--known", "40", "--from", "none",
	    "job.yaml");
}

/* Without a daemon: what the run's folder says. */
static void
damaged_with(const char *make)
{
	(void)!system("rm -rf r/known.json r/checkpoints");
	(void)!system(make);
	t_eq_int(train("--run-dir", "r", "job.yaml"), TRAIN_WAITS);
	file_has("out", "r/known.json, which says which checkpoint this run "
	    "has had, is damaged");
	file_has("err", "this run has had a checkpoint, and there is no "
	    "r/checkpoints");
	file_has("err", "--from none or training.resume_from: none");
}

T_CASE(a_damaged_record_is_said_to_be_that_and_still_counts)
{
	two_steps();
	file_has("r/known.json", "\"step-000000002\"");
	(void)!system("cp -r r/checkpoints kept");
	damaged_with("echo '{\"checkpoint\": \"../x\"}' >r/known.json");
	damaged_with("printf '{\"checkpoint\": \"\\\\u001b[2J\"}' >r/known.json");
	damaged_with("head -c 100000 /dev/zero >r/known.json");
	damaged_with(">r/known.json");
	damaged_with("mkfifo r/known.json");
	(void)!system("rm r/known.json; echo '[' >r/known.json; "
	    "cp -r kept r/checkpoints");
	train_ok("--run-dir", "r", "job.yaml");
	file_has("out", "goes on from step-000000002");
	file_has("r/known.json", "\"step-0000000");
	damaged_with("echo '[' >r/known.json");
	train_ok("--run-dir", "r", "--set", "training.resume_from=none",
	    "job.yaml");
	(void)!system("rm -r r");
	train_ok("--run-dir", "r", "job.yaml");
	file_has("out", "starts cold");
}

T_MAIN
