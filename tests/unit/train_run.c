/* The program's manners: what it refuses, what it leaves, what it says. */
#include <sys/file.h>

#include "train_help.h"

#define LAST "step-000000018"

T_CASE(usage_is_told_from_a_wrong_job)
{
	write_tiny("job.yaml", TINY_ADAM);
	t_eq_int(train("--nonsense", "job.yaml"), TRAIN_USAGE);
	t_eq_int(train("job.yaml", "job.yaml"), TRAIN_USAGE);
	t_eq_int(train("--threads", "many", "job.yaml"), TRAIN_USAGE);
	t_eq_int(train("--set", "x", "job.yaml"), TRAIN_USAGE);
	t_eq_int(train("--from"), TRAIN_USAGE);
	t_eq_int(train("nowhere.yaml"), TRAIN_REFUSED);
	file_has("err", "nowhere.yaml");
}

T_CASE(every_fault_of_a_job_is_named)
{
	write_tiny("job.yaml", TINY_ADAM);
	t_eq_int(train("--set", "training.batch_size=0", "--set",
	    "training.epohcs=3", "job.yaml"), TRAIN_REFUSED);
	file_has("err", "training.batch_size");
	file_has("err", "training.epohcs");
}

T_CASE(files_are_named_with_their_field)
{
	write_tiny("job.yaml", TINY_ADAM);
	t_eq_int(train("--set", "data.train.path=/nowhere/a.csv", "job.yaml"),
	    TRAIN_REFUSED);
	file_has("err", "data.train.path: /nowhere/a.csv: there is no such "
	    "file");
	t_eq_int(train("--set", "data.validation={type: csv, path: job.yaml, "
	    "label: -1}", "--run-dir", "r", "job.yaml"), TRAIN_REFUSED);
	file_has("err", "data.validation.path: ");
	t_eq_int(train("--set", "data.train={type: cifar, path: [train.csv, "
	    "/nowhere/b.bin]}", "--set", "data.validation=null", "--run-dir",
	    "s", "job.yaml"), TRAIN_REFUSED);
	file_has("err", "data.train.path[1]: /nowhere/b.bin: ");
	t_eq_int(train("--set", "model.checkpoint=/nowhere/m.safetensors",
	    "--run-dir", "t", "job.yaml"), TRAIN_REFUSED);
	file_has("err", "model.checkpoint: cannot start from "
	    "/nowhere/m.safetensors: there is no such file");
}

static void
refuses_model(const char *model, const char *words)
{
	t_eq_int(train("--set", model, "--set", "data={train: {type: synthetic, "
	    "tokens: 16, vocabulary: 50, classes: 2, samples: 60}}",
	    "job.yaml"), TRAIN_REFUSED);
	file_has("err", words);
}

T_CASE(a_layer_without_a_name_is_called_by_its_number_and_type)
{
	write_tiny("job.yaml", TINY_ADAM);
	refuses_model("model={layers: [{type: embedding, rows: 50, width: 4}, "
	    "{type: attention, heads: 3, inputs: ['0', '0', '0']}]}",
	    "model.layers[1]: layer 1 (attention) has 3 heads");
	refuses_model("model={layers: [silu, {type: linear, out: 2}]}",
	    "model.layers[0]: layer 0 (silu) wants numbers");
}

T_CASE(a_summary_suggests_the_input_of_the_architecture)
{
	write_tiny("job.yaml", TINY_ADAM);
	t_eq_int(train("--summary", "--set", "data.train.path=/nowhere",
	    "--set", "model={arch: textcnn, vocabulary: 50}", "job.yaml"),
	    TRAIN_REFUSED);
	file_has("err", "data.train.path: is \"/nowhere\": there is no such "
	    "file; say model.input, such as [128],");
}

T_CASE(faults_of_an_architecture_name_its_field)
{
	write_tiny("job.yaml", TINY_ADAM);
	refuses_model("model={arch: bert, hidden: 8, heads: 2, depth: 1, "
	    "positions: 8}", "model.positions: "
	    "bert.embeddings.position_embeddings has 8 positions, but a sample "
	    "has 16");
	refuses_model("model={arch: bert, hidden: 50, heads: 4, depth: 1}",
	    "model.heads: bert.encoder.layer.0.attention has 4 heads, which do "
	    "not divide its width of 50");
	refuses_model("model={arch: bert, hidden: 8, heads: 2, depth: 1, "
	    "vocabulary: 20}", "bert.embeddings.word_embeddings has rows 0 to "
	    "19 (model.vocabulary)");
	refuses_model("model={arch: textcnn, vocabulary: 50, kernels: [3, "
	    "40]}", "model.kernels[1]: convs.1's kernel is 40 high, but its "
	    "input with padding only 16");
}

T_CASE(wrong_data_are_named_by_file_and_line)
{
	write_tiny("job.yaml", TINY_ADAM);
	write_file("train.csv", "1,2,3,4,5,0\n1,2,x,4,5,0\n");
	t_eq_int(train("job.yaml"), TRAIN_REFUSED);
	file_has("err", "train.csv");
	write_file("train.csv", "1,2,3,4,5,0\n1,2,3,4,5,9\n");
	t_eq_int(train("job.yaml"), TRAIN_REFUSED);
	file_has("err", "data.train");
}

T_CASE(a_job_that_does_not_fit_its_memory_is_refused_with_both_numbers)
{
	write_tiny("job.yaml", TINY_ADAM);
	t_eq_int(train("--set", "resources.memory=1MiB", "--set",
	    "training.batch_size=45", "--set",
	    "model={}", "job.yaml"), TRAIN_REFUSED);
	write_file("big.yaml", "name: big\nresources: {memory: 2MiB}\n"
	    "model: {arch: mlp, sizes: [5, 50000, 3]}\n"
	    "training: {epochs: 1, optimizer: {type: adam}}\n" TINY_DATA);
	t_eq_int(train("big.yaml"), TRAIN_REFUSED);
	file_has("err", "training needs ");
	file_has("err", "resources.memory is 2 MiB");
	train_ok("--summary", "big.yaml");
	json_t *s = read_json("out");
	t_check(json_is_false(json_object_get(json_object_get(s, "memory"),
	    "fits")));
	json_decref(s);
}

static void
write_group(const char *own, const char *mounts, const char *file,
    const char *limit)
{
	t_check(system("rm -rf m && mkdir -p m/proc/self m/sys/fs/cgroup/a/b") ==
	    0);
	write_file("m/proc/self/cgroup", own);
	write_file("m/proc/self/mountinfo", mounts);
	write_file(file, limit);
}

/* What a summary has of the job big.yaml. */
static bool
fits(int64_t *available)
{
	train_ok("--summary", "big.yaml");
	json_t *s = read_json("out"), *m = json_object_get(s, "memory");
	const bool is = json_is_true(json_object_get(m, "fits"));

	*available = json_integer_value(json_object_get(m, "available"));
	json_decref(s);
	return is;
}

T_CASE(without_a_daemon_no_more_memory_is_promised_than_the_control_group_has)
{
	int64_t n;

	write_tiny("job.yaml", TINY_ADAM);
	write_file("big.yaml", "name: big\n"
	    "model: {arch: mlp, sizes: [5, 500000, 3]}\n"
	    "training: {epochs: 1, optimizer: {type: adam}}\n" TINY_DATA);
	t_check(setenv("REKINDLE_TRAIN_MACHINE", "m", 1) == 0);
	write_group("0::/a/b\n", "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 c "
	    "rw\n", "m/sys/fs/cgroup/a/b/memory.max", "max\n");
	t_check(fits(&n));
	/* A limit of the group above counts as well. */
	write_file("m/sys/fs/cgroup/a/memory.max", "67108864\n");
	t_check(!fits(&n));
	t_eq_int(n, 67108864);
	t_eq_int(train("big.yaml"), TRAIN_REFUSED);
	file_has("err", "the control group of this process may have 64 MiB");
	t_eq_int(train("--set", "resources.memory=2GiB", "big.yaml"),
	    TRAIN_REFUSED);
	file_has("err", "the control group of this process may have 64 MiB");
	/* The daemon has looked itself. */
	train_ok("--summary", "--memory", "1073741824", "big.yaml");
	write_group("4:memory:/a\n", "35 31 0:32 / /sys/fs/cgroup rw - cgroup "
	    "cgroup rw,memory\n", "m/sys/fs/cgroup/a/memory.limit_in_bytes",
	    "33554432\n");
	t_check(!fits(&n));
	t_eq_int(n, 33554432);
	unsetenv("REKINDLE_TRAIN_MACHINE");
}

T_CASE(a_summary_without_data_and_shape_says_which_field_helps)
{
	write_file("none.yaml", "name: n\nmodel: {arch: resnet20}\n"
	    "training: {epochs: 1}\ndata: {train: {type: idx, images: none, "
	    "labels: none}}\n");
	t_eq_int(train("--summary", "none.yaml"), TRAIN_REFUSED);
	file_has("err", "say model.input, such as [3, 32, 32]");
	train_ok("--summary", "--set", "model.input=[3, 32, 32]", "none.yaml");
}

T_CASE(samples_that_the_machine_cannot_hold_are_refused_before_they_are_drawn)
{
	write_file("drawn.yaml", "name: d\nmodel: {arch: mlp, sizes: [4096, 2]}\n"
	    "training: {epochs: 1}\ndata: {train: {type: synthetic, shape: "
	    "[4096], samples: 2147483648, classes: 2}}\n");
	t_eq_int(train("drawn.yaml"), TRAIN_REFUSED);
	file_has("err", "the samples of data alone take 32 TiB, this machine "
	    "has ");
}

T_CASE(a_summary_describes_and_writes_nothing)
{
	write_tiny("job.yaml", TINY_ADAM);
	train_ok("--summary", "--run-dir", "r", "job.yaml");
	t_check(access("r", F_OK) != 0);
	json_t *s = read_json("out");
	t_eq_int(json_integer_value(json_object_get(json_object_get(s, "model"),
	    "parameters")), 135);
	t_eq_int(json_integer_value(json_object_get(s, "steps_total")), 18);
	t_check(json_is_true(json_object_get(json_object_get(s, "memory"),
	    "fits")));
	json_decref(s);
}

/* --- what a person may not have meant -------------------------------------- */

/* The remarks of a summary, as JSON text; the caller frees. */
static char *
remarks_of(const char *model, const char *more)
{
	train_ok("--summary", "--set", model, "--set", more, "job.yaml");
	json_t *s = read_json("out");
	char *text = rkj_text(json_object_get(s, "remarks"));

	json_decref(s);
	return text;
}

#define remark_has(model, more, words)                                    \
	do {                                                              \
		char *t_text = remarks_of(model, more);                   \
		t_has(t_text, words);                                     \
		free(t_text);                                             \
	} while (0)

T_CASE(outputs_that_do_not_suit_the_classes_are_remarked_on)
{
	static const char image[] = "data={train: {type: synthetic, shape: "
	    "[3, 12, 12], classes: 4, samples: 60}}";
	static const char tokens[] = "data={train: {type: synthetic, tokens: "
	    "5, vocabulary: 50, classes: 4, samples: 60}}";

	write_tiny("job.yaml", "");
	char *none = remarks_of("training.epochs=1", "training.steps=3");
	t_eq_str(none, "[]");
	free(none);
	remark_has("model={arch: resnet20}", image, "\"model.classes is 10: "
	    "linear (linear) gives 10 outputs, and the labels of the data are "
	    "0 to 3: output 4 and those behind are never right; say "
	    "model.classes\"");
	remark_has("model={arch: mlp, sizes: [432, 8, 5]}", image,
	    "\"model.sizes: fc2 (linear) gives 5 outputs");
	remark_has("model={arch: bert, hidden: 8, heads: 2, depth: 1, "
	    "vocabulary: 50, classes: 0}", tokens, "model.classes is 0: ");
	remark_has("model={arch: bert, hidden: 8, heads: 2, depth: 1, "
	    "vocabulary: 50, classes: 0, pooler: false}", tokens,
	    "gives 5x8, of which the loss takes each of the 40 numbers for a "
	    "class, more than the data have: say how many there are");
	/* With an op of version 2 in the list nothing is flattened. */
	remark_has("model={layers: [{type: conv2d, out: 6, kernel: 3}, silu, "
	    "{type: linear, out: 4, name: head}]}", image,
	    "\"model.layers[2]: layer head (linear) gives 6x10x4, of which the "
	    "loss takes each of the 240 numbers for a class, more than the "
	    "data have: a linear layer works on the last dimension, and wants "
	    "a flatten or global_avg_pool2d and flatten before it\"");
	/* A run says the same. */
	train_ok("--set", "model={layers: [{type: linear, out: 5, name: fc}]}",
	    "job.yaml");
	file_has("out", "layer fc (linear) gives 5 outputs");
}

/* --- ends that are bad ----------------------------------------------------- */

T_CASE(a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_good)
{
	write_tiny("job.yaml", TINY_ADAM);
	train_ok("--run-dir", "r", "--set", "data.normalize.type=none", "--set",
	    "training.steps=5", "job.yaml");
	/* The product of a row of these with any weights is out of range. */
	write_file("train.csv", "3e38,-3e38,3e38,3e38,-3e38,0\n"
	    "3e38,3e38,-3e38,3e38,3e38,1\n" "3e38,3e38,3e38,-3e38,3e38,2\n");
	t_eq_int(train("--run-dir", "r", "--set", "data.normalize.type=none",
	    "--accept", "data", "job.yaml"), TRAIN_REFUSED);
	file_has("err", "the loss is not finite at step");
	file_has("err", "the last good checkpoint is step-0000000");
	t_check(access("r/checkpoints/step-000000005", F_OK) == 0);
	t_check(access("r/checkpoints/" LAST, F_OK) != 0);
	write_csv("train.csv", 45, 5, 3);
	train_ok("--run-dir", "r", "--from", "step:5", "--set",
	    "data.normalize.type=none", "job.yaml");
}

/* Weights may go bad in the last update, when no loss is left to show it: with
 * x = 1e17 and w about 0.4 the loss is about 1e33, its gradient 2 x (w x - y)
 * about 1e34, and 1e6 of these are more than a float holds. */
T_CASE(weights_that_are_not_finite_are_never_kept)
{
	write_file("train.csv", "1e17,1\n1e17,1\n");
	write_file("job.yaml", "name: far\n"
	    "model: {layers: [{type: linear, out: 1}]}\n"
	    "training: {steps: 1, loss: {type: mse}, "
	    "optimizer: {type: sgd, learning_rate: 1e6}}\n"
	    "data: {train: {type: csv, path: train.csv, label: 1}, "
	    "normalize: {type: none}}\n");
	t_eq_int(train("--run-dir", "r", "job.yaml"), TRAIN_REFUSED);
	file_has("err", "a weight is not finite after step 1");
	t_check(access("r/checkpoints/step-000000001", F_OK) != 0);
}

T_CASE(metrics_are_whole_lines_also_after_a_torn_one)
{
	write_tiny("job.yaml", TINY_ADAM);
	t_check(mkdir("r", 0755) == 0);
	write_file("r/metrics.jsonl", "{\"attempt\":4,\"step\":1}\n{\"att");
	train_ok("--run-dir", "r", "job.yaml");
	char *s = read_text("r/metrics.jsonl"), *save = NULL;
	int good = 0, bad = 0;
	for (char *l = strtok_r(s, "\n", &save); l != NULL;
	    l = strtok_r(NULL, "\n", &save)) {
		json_t *m = NULL;
		if (rkj_parse_json(l, strlen(l), &m, NULL) == RK_OK)
			good++;
		else
			bad++;
		json_decref(m);
	}
	free(s);
	t_eq_int(bad, 1);
	/* 18 / 4 windows, 3 epochs of two lines, and the one before. */
	t_eq_int(good, 4 + 6 + 1);
	t_check(count_in("r/metrics.jsonl", "\"attempt\":5") == 10);
	t_eq_int(count_in("r/metrics.jsonl", "\"split\":\"validation\""), 3);
}

T_CASE(metrics_go_on_as_if_nothing_had_been)
{
	write_tiny("job.yaml", TINY_ADAM);
	train_ok("--run-dir", "a", "job.yaml");
	train_ok("--run-dir", "b", "--set", "training.steps=9", "job.yaml");
	train_ok("--run-dir", "b", "job.yaml");
	/* Step 12 ends a window and an epoch that began before the stop. */
	static const char *const dirs[] = {
		"a/metrics.jsonl", "b/metrics.jsonl"
	};
	json_t *found[2][2] = {{0}};
	for (int i = 0; i < 2; i++) {
		char *s = read_text(dirs[i]), *save = NULL;
		int k = 0;
		for (char *l = strtok_r(s, "\n", &save); l != NULL && k < 2;
		    l = strtok_r(NULL, "\n", &save))
			if (strstr(l, "\"step\":12,") &&
			    strstr(l, "\"split\":\"train\""))
				t_check(rkj_parse_json(l, strlen(l),
				    &found[i][k++], NULL) == RK_OK);
		t_eq_int(k, 2);
		free(s);
	}
	for (int k = 0; k < 2; k++) {
		static const char *const keys[] = {
			"loss", "accuracy", "steps", "learning_rate"
		};
		for (size_t i = 0; i < RK_ARRAY_LEN(keys); i++)
			t_check(json_equal(json_object_get(found[0][k],
			    keys[i]), json_object_get(found[1][k], keys[i])));
		json_decref(found[0][k]);
		json_decref(found[1][k]);
	}
}

/* With a learning rate that moves nothing, and no dropout or batch norm, the
 * loss of an epoch is that of its samples in whatever order: the sums of
 * 45 losses differ by less than 45 roundings of 6e-8 of a loss of about 1. */
T_CASE(an_epoch_sees_every_sample_once)
{
	write_csv("train.csv", 45, 5, 3);
	write_file("job.yaml", "name: still\n"
	    "model: {arch: mlp, sizes: [5, 8, 3]}\n"
	    "training: {epochs: 3, batch_size: 8, "
	    "optimizer: {type: sgd, learning_rate: 1e-30}}\n"
	    "data:\n"
	    "  train: {type: csv, path: train.csv, label: -1}\n"
	    "  validation: {type: csv, path: train.csv, label: -1}\n");
	train_ok("--run-dir", "r", "job.yaml");
	json_t *c = read_json("r/checkpoints/" LAST "/checkpoint.json");
	json_t *m = json_object_get(c, "metrics");
	t_near(json_number_value(json_object_get(m, "loss")),
	    json_number_value(json_object_get(m, "val_loss")), 45 * 6e-8);
	t_near(json_number_value(json_object_get(m, "accuracy")),
	    json_number_value(json_object_get(m, "val_accuracy")), 0);
	json_decref(c);
}

/* In a run of a few milliseconds, which is over before progress is told twice: by
 * their own samples and time, so not all alike. */
T_CASE(epochs_and_their_validation_tell_their_own_speeds)
{
	double steps = 0, first = 0;
	int lines = 0, others = 0;
	char *save = NULL;

	write_tiny("job.yaml", TINY_ADAM);
	train_ok("--run-dir", "r", "--set", "training.log_every=6",
	    "job.yaml");
	char *text = read_text("r/metrics.jsonl");
	for (char *s = strtok_r(text, "\n", &save); s != NULL;
	    s = strtok_r(NULL, "\n", &save), lines++) {
		json_t *m = NULL;
		t_eq_int(rkj_parse_json(s, strlen(s), &m, NULL), RK_OK);
		const double speed = json_number_value(json_object_get(m,
		    "samples_per_second"));
		t_check(speed > 0);
		if (lines == 0)
			steps = speed;
		else if (lines == 1)
			first = speed;
		else if (lines % 3 != 0)        /* of an epoch */
			others += speed != first;
		json_decref(m);
	}
	t_eq_int(lines, 9);
	t_check(others > 0);
	/* Of the same steps, and told a moment later. */
	t_check(first <= steps);
	free(text);
}

T_CASE(a_second_trainer_waits_for_the_first)
{
	write_tiny("job.yaml", TINY_ADAM);
	t_check(mkdir("r", 0755) == 0);
	int fd = open("r/lock", O_RDWR | O_CREAT, 0644);
	t_check(fd >= 0 && flock(fd, LOCK_EX) == 0);
	/* Closed in the child too, or it would hold the lock itself. */
	t_check(rk_set_cloexec(fd, true) == 0);
	int64_t t0 = mono_ms();
	pid_t p = start(-1, (const char *const[]){ "--run-dir", "r",
	    "job.yaml", NULL });
	usleep(300000);
	t_check(access("r/checkpoints", F_OK) != 0);
	file_has("err", "another trainer has r: waits up to 30 s");
	t_check(flock(fd, LOCK_UN) == 0);
	t_eq_int(finish(p), 0);
	t_check(mono_ms() - t0 >= 300);
}

T_CASE(the_best_is_kept_and_the_rest_goes)
{
	write_tiny("job.yaml", TINY_ADAM);
	train_ok("--run-dir", "r", "--set", "training.epochs=12", "--set",
	    "checkpoint.keep.last=2", "--set", "checkpoint.every.steps=7",
	    "job.yaml");
	DIR *d = opendir("r/checkpoints");
	int n = 0;
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		n += strncmp(e->d_name, "step-", 5) == 0;
	closedir(d);
	t_check(n >= 2 && n <= 3);
	train_ok("--run-dir", "r", "--from", "best", "--set",
	    "training.epochs=12", "job.yaml");
}

T_CASE(sigterm_commits_and_leaves)
{
	write_tiny("job.yaml", TINY_ADAM);
	pid_t p = start(-1, (const char *const[]){ "--run-dir", "r", "--set",
	    "training.epochs=1000000", "job.yaml", NULL });
	for (int i = 0; i < 1000 && access("r/checkpoints/step-000000001",
	    F_OK) != 0; i++)
		usleep(10000);
	kill(p, SIGTERM);
	t_eq_int(finish(p), 0);
	file_has("out", "stopped at step ");
	file_has("out", "checkpoint step-");
}

T_MAIN
