/* What a warm start knew is measured before its first step, watched, and said
 * once where it is lost. */
#include "train_blobs.h"

#define RATE "  warm_start: {learning_rate_scale: 1}\n"

/* The line of metrics.jsonl of that number among those that have knowledge. */
static json_t *
line_of(const char *path, int number)
{
	char *s = read_text(path), *at = s, *end;
	json_t *v = NULL;

	for (; (end = strchr(at, '\n')) != NULL; at = end + 1) {
		t_check(rkj_parse_json(at, (size_t)(end - at), &v, NULL) ==
		    RK_OK);
		if (json_object_get(v, "knowledge") != NULL && number-- == 0)
			break;
		json_decref(v);
		v = NULL;
	}
	free(s);
	return v;
}

static double
number(const json_t *v, const char *key)
{
	const json_t *x = json_object_get(v, key);

	t_check(json_is_number(x));
	return json_number_value(x);
}

T_CASE(a_class_that_the_data_lack_is_forgotten_and_said_once)
{
	learn_blobs();
	write_file("job.yaml", BLOBS("3", BLOBS_FROM, RATE));
	train_ok("--run-dir", "r", "job.yaml");
	file_has("out", "recall of the classes that the source knows, before "
	    "the first step (samples): class 0 ");
	file_has("out", "forgotten at step ");
	file_has("out", "recall of class 2 from ");
	file_has("out", "(60 samples); training.distill,");
	t_eq_int(count_in("out", "forgotten at"), 1);
	/* Its first line is of before the first step, and others go on. */
	json_t *v = line_of("r/metrics.jsonl", 0);
	const json_t *k = json_object_get(v, "knowledge");
	t_eq_str(json_string_value(json_object_get(v, "split")),
	    "validation");
	t_eq_str(json_string_value(json_object_get(v, "over")), "start");
	t_eq_int((int64_t)number(v, "step"), 0);
	t_check(number(v, "loss") > 0);
	t_eq_int((int64_t)number(k, "classes"), 3);
	t_check(number(k, "before") == number(k, "recall"));
	const json_t *two = json_array_get(json_object_get(k, "by_class"), 2);
	t_check(number(two, "before") > 0.7);
	t_eq_int((int64_t)number(two, "samples"), 60);
	const double before = number(two, "before");
	json_decref(v);
	v = line_of("r/metrics.jsonl", 4);
	k = json_object_get(v, "knowledge");
	two = json_array_get(json_object_get(k, "by_class"), 2);
	t_check(number(two, "before") == before);
	t_check(number(two, "recall") < before - 0.05);
	t_check(json_is_true(json_object_get(two, "forgotten")));
	t_eq_int((int64_t)number(k, "forgotten"), 1);
	json_decref(v);
	t_check(line_of("r/metrics.jsonl", 5) == NULL);
}

/* 49 samples are too few to say so. */
T_CASE(a_class_with_few_samples_is_not_called_forgotten)
{
	static const int held[] = { 70, 40, 49, 0 };

	learn_blobs();
	write_blobs("valid.csv", 2, held);
	write_file("job.yaml", BLOBS("3", BLOBS_FROM, RATE));
	train_ok("--run-dir", "r", "job.yaml");
	t_eq_int(count_in("out", "forgotten at"), 0);
	file_has("out", "; 2 of 3 have fewer than 50 validation samples: a "
	    "fall of theirs is not called forgotten");
	json_t *v = line_of("r/metrics.jsonl", 4);
	const json_t *two = json_array_get(json_object_get(json_object_get(v,
	    "knowledge"), "by_class"), 2);
	t_check(number(two, "recall") < number(two, "before") - 0.05);
	json_decref(v);
}

/* In parts, on other numbers of threads: the same bytes, and said once. */
T_CASE(a_run_that_goes_on_measures_nothing_again)
{
	learn_blobs();
	write_file("job.yaml", BLOBS("3", BLOBS_FROM, RATE));
	train_ok("--run-dir", "whole", "job.yaml");
	t_eq_int(count_in("out", "forgotten at"), 1);
	train_ok("--run-dir", "r", "--set", "training.steps=18", "job.yaml");
	t_eq_int(count_in("out", "forgotten at"), 1);
	train_ok("--run-dir", "r", "--threads", "1", "job.yaml");
	t_eq_int(count_in("out", "forgotten at"), 0);
	t_eq_int(count_in("out", "before the first step"), 0);
	same_checkpoint("whole/checkpoints/step-000000036",
	    "r/checkpoints/step-000000036");
	json_t *v = info_of("step-000000036");
	const json_t *state = json_object_get(v, "state");
	t_check(json_object_get(state, "knowledge") != NULL);
	json_decref(v);
	const char *const sets[KILLED_SETS] = { NULL };
	kill_until_it_ends("k", sets);
	same_checkpoint("whole/checkpoints/step-000000036",
	    "k/checkpoints/step-000000036");
}

/* The model's biases of its outputs, all 100 less, which changes no answer
 * among them. */
static void
lower_outputs(const char *path)
{
	uint64_t head;
	int64_t from;
	float x;
	FILE *f = fopen(path, "r+");

	t_check(f != NULL && fread(&head, sizeof(head), 1, f) == 1);
	char *text = xcalloc(head + 1, 1);
	t_check(fread(text, 1, head, f) == head);
	json_t *v = NULL;
	t_check(rkj_parse_json(text, head, &v, NULL) == RK_OK);
	from = json_integer_value(json_array_get(json_object_get(
	    json_object_get(v, "fc2.bias"), "data_offsets"), 0));
	for (long i = 0; i < 3; i++) {
		const long at = (long)(8 + head) + from + 4 * i;
		fseek(f, at, SEEK_SET);
		t_check(fread(&x, sizeof(x), 1, f) == 1);
		x -= 100;
		fseek(f, at, SEEK_SET);
		t_check(fwrite(&x, sizeof(x), 1, f) == 1);
	}
	fclose(f);
	free(text);
	json_decref(v);
}

/* Of outputs that are new nothing was known, and what they answer before the
 * first step takes nothing from the others. */
T_CASE(recall_before_the_first_step_is_that_of_the_source)
{
	learn_blobs();
	lower_outputs("a/model.safetensors");
	write_file("job.yaml", BLOBS("3", BLOBS_FROM, RATE));
	train_ok("--run-dir", "three", "--set", "training.steps=1",
	    "job.yaml");
	json_t *a = line_of("three/metrics.jsonl", 0);
	write_file("job.yaml", BLOBS("4", BLOBS_FROM
	    "  mismatch: slice\n", RATE));
	train_ok("--run-dir", "four", "--set", "training.steps=1", "job.yaml");
	json_t *b = line_of("four/metrics.jsonl", 0);
	char *x = rkj_text(json_object_get(a, "knowledge"));
	char *y = rkj_text(json_object_get(b, "knowledge"));
	t_eq_str(x, y);
	/* The loss is that of the network as it is. */
	t_check(number(a, "loss") != number(b, "loss"));
	free(x);
	free(y);
	json_decref(a);
	json_decref(b);
}

T_CASE(what_is_not_watched_is_not_measured)
{
	learn_blobs();
	write_file("job.yaml", BLOBS("3", BLOBS_FROM, "  warm_start: "
	    "{learning_rate_scale: 1, watch: false}\n"));
	train_ok("--run-dir", "r", "job.yaml");
	t_eq_int(count_in("out", "forgotten at"), 0);
	t_eq_int(count_in("r/metrics.jsonl", "knowledge"), 0);
	/* A head that begins anew knows nothing. */
	write_file("job.yaml", BLOBS("4", BLOBS_FROM "  strict: false\n"
	    "  minimum: 0.5\n", RATE));
	train_ok("--run-dir", "s", "job.yaml");
	t_eq_int(count_in("s/metrics.jsonl", "knowledge"), 0);
	/* Nor does a cold start. */
	write_file("job.yaml", BLOBS("3", "", ""));
	train_ok("--run-dir", "t", "job.yaml");
	t_eq_int(count_in("t/metrics.jsonl", "knowledge"), 0);
}

/* What a checkpoint says is not believed. */
T_CASE(knowledge_that_makes_no_sense_is_refused)
{
	static const char *const bad[] = { "[]", "[[3, 1, 2, 1, 2, 0]]",
		"[[0, 3, 2, 1, 2, 0]]", "[[0, 1, 2]]",
		"[[0, 1, 2, 1, 2, 4]]", "[[0, 1, 2, 1, 2, -1]]",
		"[[1, 1, 2, 1, 2, 0], [0, 1, 2, 1, 2, 0]]" };

	learn_blobs();
	write_file("job.yaml", BLOBS("3", BLOBS_FROM, RATE));
	train_ok("--run-dir", "r", "--set", "training.steps=9", "job.yaml");
	json_t *v = info_of("step-000000009"), *list;
	json_t *k = json_object_get(json_object_get(v, "state"), "knowledge");
	for (size_t i = 0; i < RK_ARRAY_LEN(bad); i++) {
		t_check(rkj_parse_json(bad[i], strlen(bad[i]), &list, NULL) ==
		    RK_OK);
		json_object_set_new(k, "classes", list);
		write_info("step-000000009", v);
		t_eq_int(train("--run-dir", "r", "job.yaml"), 3);
		file_has("err", "state.knowledge: is not the classes");
	}
	json_decref(v);
}

T_MAIN
