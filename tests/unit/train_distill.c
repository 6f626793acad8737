/* A run that learns from the answers of its warm start's model, too. */
#include "train_blobs.h"

#define RATE "  warm_start: {learning_rate_scale: 1}\n"
#define DISTILL RATE "  distill: {weight: 0.7, temperature: 2}\n"

/* The newest recall of class 2, which the data lack. */
static double
recall_of_two(const char *path)
{
	char *s = read_text(path), *at = s, *end;
	double recall = -1;

	for (; (end = strchr(at, '\n')) != NULL; at = end + 1) {
		json_t *v = NULL;
		t_check(rkj_parse_json(at, (size_t)(end - at), &v, NULL) ==
		    RK_OK);
		const json_t *two = json_array_get(json_object_get(
		    json_object_get(v, "knowledge"), "by_class"), 2);
		if (two != NULL)
			recall = json_number_value(json_object_get(two,
			    "recall"));
		json_decref(v);
	}
	free(s);
	return recall;
}

T_CASE(who_learns_from_the_ancestor_forgets_less)
{
	learn_blobs();
	write_file("job.yaml", BLOBS("3", BLOBS_FROM, RATE));
	train_ok("--run-dir", "alone", "job.yaml");
	t_eq_int(count_in("out", "forgotten at"), 1);
	write_file("job.yaml", BLOBS("3", BLOBS_FROM, DISTILL));
	train_ok("--run-dir", "r", "job.yaml");
	file_has("out", "learns from the answers of ");
	file_has("out", "a/model.safetensors, too, on 3 of its 3 classes: "
	    "weight 0.7, temperature 2");
	const double alone = recall_of_two("alone/metrics.jsonl");
	const double with = recall_of_two("r/metrics.jsonl");
	if (!(with > alone + 0.2))
		t_fail("recall of class 2 is %g, without an ancestor %g", with,
		    alone);
	file_has("r/metrics.jsonl", "\"distill_loss\":");
	file_has("r/metrics.jsonl", "\"task_loss\":");
	t_eq_int(count_in("alone/metrics.jsonl", "distill_loss"), 0);
}

/* loss = (1 - weight) task + weight distillation, in each line. */
T_CASE(the_loss_is_that_of_task_and_ancestor)
{
	json_t *v = NULL;

	learn_blobs();
	write_file("job.yaml", BLOBS("3", BLOBS_FROM, DISTILL
	    "  log_every: 4\n"));
	train_ok("--run-dir", "r", "job.yaml");
	char *s = read_text("r/metrics.jsonl"), *at = s, *end;
	int lines = 0;
	for (; (end = strchr(at, '\n')) != NULL; at = end + 1) {
		t_check(rkj_parse_json(at, (size_t)(end - at), &v, NULL) ==
		    RK_OK);
		const json_t *kept = json_object_get(v, "distill_loss");
		if (kept != NULL) {
			lines++;
			t_near(json_number_value(json_object_get(v, "loss")),
			    0.3 * json_number_value(json_object_get(v,
			    "task_loss")) + 0.7 * json_number_value(kept),
			    1e-9);
		}
		json_decref(v);
	}
	t_eq_int(lines, 9 + 4);
	free(s);
}

/* The last number of that name in a file of metrics. */
static double
last_number(const char *path, const char *key)
{
	char *s = read_text(path), *at = s, *end;
	double x = -1;

	for (; (end = strchr(at, '\n')) != NULL; at = end + 1) {
		json_t *v = NULL;
		t_check(rkj_parse_json(at, (size_t)(end - at), &v, NULL) ==
		    RK_OK);
		const json_t *n = json_object_get(v, key);
		if (n != NULL)
			x = json_number_value(n);
		json_decref(v);
	}
	free(s);
	return x;
}

/* The slopes of a part are by the rows of the whole step.  With a batch norm
 * that rests only the order of sums differs: some 1e-7 in each of 36 steps, which
 * Adam makes larger where a slope is near 0; by the rows of a part it would be
 * tenths. */
T_CASE(in_parts_a_step_learns_as_much_from_the_ancestor)
{
	learn_blobs();
	write_file("job.yaml", BLOBS("3", BLOBS_FROM, DISTILL
	    "  parameters: [{match: \"bn.*\", trainable: false}]\n"
	    "  frozen_batch_norm: evaluation\n"));
	train_ok("--run-dir", "whole", "job.yaml");
	train_ok("--run-dir", "parts", "--set", "training.micro_batch_size=6",
	    "job.yaml");
	t_near(last_number("parts/metrics.jsonl", "distill_loss"),
	    last_number("whole/metrics.jsonl", "distill_loss"), 1e-3);
	t_near(last_number("parts/metrics.jsonl", "task_loss"),
	    last_number("whole/metrics.jsonl", "task_loss"), 1e-3);
	t_check(last_number("whole/metrics.jsonl", "distill_loss") > 1e-3);
}

/* In parts, on other numbers of threads, killed over and over. */
T_CASE(a_run_with_an_ancestor_goes_on_bit_for_bit)
{
	const char *const sets[KILLED_SETS] = { NULL };

	learn_blobs();
	write_file("job.yaml", BLOBS("4", BLOBS_FROM "  mismatch: slice\n",
	    DISTILL "  ema: {decay: 0.9}\n  micro_batch_size: 6\n"));
	train_ok("--run-dir", "whole", "job.yaml");
	train_ok("--run-dir", "r", "--set", "training.steps=14", "job.yaml");
	train_ok("--run-dir", "r", "--threads", "1", "job.yaml");
	t_eq_int(count_in("out", "learns from"), 0);
	same_checkpoint("whole/checkpoints/step-000000036",
	    "r/checkpoints/step-000000036");
	kill_until_it_ends("k", sets);
	same_checkpoint("whole/checkpoints/step-000000036",
	    "k/checkpoints/step-000000036");
}

/* The network is made anew where another phase begins, the ancestor is not. */
T_CASE(an_ancestor_stays_through_phases)
{
	const char *const sets[KILLED_SETS] = { NULL };

	learn_blobs();
	write_file("job.yaml", BLOBS("4", BLOBS_FROM "  grow: {fc2: {match: "
	    "index}}\n", DISTILL "  phases:\n"
	    "    - {epochs: 1, train: [\"fc2.*\"]}\n"
	    "    - {train: [\"*\"], learning_rate_scale: 0.5}\n"));
	train_ok("--run-dir", "whole", "job.yaml");
	file_has("out", "on 3 of its 3 classes");
	kill_until_it_ends("k", sets);
	same_checkpoint("whole/checkpoints/step-000000036",
	    "k/checkpoints/step-000000036");
}

/* Without it, or with another, the run waits; a person may go on without. */
T_CASE(a_run_whose_ancestor_is_gone_or_another_waits)
{
	learn_blobs();
	write_file("job.yaml", BLOBS("3", BLOBS_FROM, DISTILL));
	train_ok("--run-dir", "whole", "job.yaml");
	train_ok("--run-dir", "r", "--set", "training.steps=14", "job.yaml");
	t_check(rename("a/model.safetensors", "kept") == 0);
	t_eq_int(train("--run-dir", "r", "job.yaml"), TRAIN_WAITS);
	file_has("err", "model.checkpoint: cannot start from ");
	file_has("err", "put back what was there, or go on without it by "
	    "--set training.distill=null");
	/* Another checkpoint of the same run. */
	t_check(rename("a/checkpoints/step-000000012/model.safetensors",
	    "a/model.safetensors") == 0);
	t_eq_int(train("--run-dir", "r", "job.yaml"), TRAIN_WAITS);
	file_has("err", "is not what it was when the run began: digest ");
	t_check(rename("kept", "a/model.safetensors") == 0);
	train_ok("--run-dir", "r", "job.yaml");
	same_checkpoint("whole/checkpoints/step-000000036",
	    "r/checkpoints/step-000000036");
	/* Without it. */
	train_ok("--run-dir", "s", "--set", "training.steps=14", "job.yaml");
	t_check(remove("a/model.safetensors") == 0);
	train_ok("--run-dir", "s", "--set", "training.distill=null",
	    "job.yaml");
	file_has("out", "the job has changed since");
}

T_CASE(an_ancestor_that_is_none_is_refused_before_the_first_step)
{
	learn_blobs();
	/* Another width of a layer below the head. */
	write_file("job.yaml", BLOBS("3", BLOBS_FROM "  strict: false\n"
	    "  minimum: 0\n", DISTILL));
	char *job = read_text("job.yaml"), *out = strstr(job, "out: 12");
	memcpy(out, "out: 14", 7);
	write_file("job.yaml", job);
	t_eq_int(train("--run-dir", "r", "job.yaml"), TRAIN_REFUSED);
	file_has("err", "training.distill: the ancestor would be the job's "
	    "network with the outputs of ");
	file_has("err", "fc1.weight");
	t_eq_int(train("--plan", "--run-dir", "r", "job.yaml"),
	    TRAIN_REFUSED);
	file_has("out", "training.distill: the ancestor would be");
	t_eq_int(train("--check", "--run-dir", "r", "job.yaml"),
	    TRAIN_REFUSED);
	free(job);
}

T_CASE(plan_and_summary_tell_of_the_ancestor)
{
	learn_blobs();
	write_file("job.yaml", BLOBS("4", BLOBS_FROM "  mismatch: slice\n",
	    DISTILL));
	train_ok("--plan", "job.yaml");
	file_has("out", "\nknown    3 classes that the source knows, too, are "
	    "watched: 0, 1, 2; 1 of 3 has fewer than 50 ");
	file_has("out", "\ndistill  learns from the answers of ");
	file_has("out", "too, on 3 of its 3 classes: weight 0.7");
	train_ok("--plan", "--json", "job.yaml");
	file_has("out", "\"watched\": true");
	train_ok("--summary", "job.yaml");
	json_t *v = read_json("out");
	const json_t *m = json_object_get(v, "memory");
	t_check(json_integer_value(json_object_get(m, "ancestor")) > 0);
	int64_t sum = 0;
	static const char *const parts[] = { "network", "optimizer",
		"ancestor", "checkpoint_copy", "data", "process" };
	for (size_t i = 0; i < RK_ARRAY_LEN(parts); i++)
		sum += json_integer_value(json_object_get(m, parts[i]));
	t_eq_int(sum, json_integer_value(json_object_get(m, "total")));
	json_decref(v);
	t_eq_int(train("--run-dir", "r", "--set", "resources.memory=1MiB",
	    "job.yaml"), TRAIN_REFUSED);
	file_has("err", "the ancestor of training.distill ");
	train_ok("--profile=2", "job.yaml");
}

T_MAIN
