/* `micro_batch_size`: steps in parts, from outside. */
#include <math.h>

#include "train_help.h"

#define LAST "checkpoints/step-000000018"       /* 3 epochs of 6 steps */

/* No batch norm, which sees each part by itself; 45 samples, batches of 8, the
 * last of an epoch 5: parts of 3, 3 and 2, and of 3 and 2. */
#define MODEL "model: {layers: [{type: linear, out: 12}, tanh, {type: dropout," \
	" p: 0.3}, {type: linear, out: 3}]}\n"
#define TRAINING "training: {epochs: 3, batch_size: 8, " \
	"optimizer: {type: sgd, learning_rate: 0.1, momentum: 0.9}, %s}\n"

static void
write_job(const char *more)
{
	char *training = xasprintf(TRAINING, more);
	char *text = xasprintf("%s%s%s%s%s", TINY_HEAD, MODEL, training,
	    TINY_DATA, TINY_CHECKPOINT);

	write_file("job.yaml", text);
	free(text);
	free(training);
	write_csv("train.csv", 45, 5, 3);
	write_csv("valid.csv", 20, 5, 3);
}

T_CASE(parts_end_the_same_with_any_threads_and_from_any_step)
{
	write_job("micro_batch_size: 3, gradient_clip_norm: 0.05");
	train_ok("--run-dir", "whole", "--threads", "1", "job.yaml");
	train_ok("--run-dir", "three", "--threads", "3", "job.yaml");
	same_checkpoint("whole/" LAST, "three/" LAST);
	/* Stopped behind steps in the middle and at an epoch's ragged end. */
	for (int i = 0; i < 3; i++) {
		static const int stops[] = { 4, 6, 11 };
		char *set = xasprintf("training.steps=%d", stops[i]);
		train_ok("--run-dir", "torn", "--threads", i % 2 ? "1" : "2",
		    "--set", set, "job.yaml");
		free(set);
	}
	train_ok("--run-dir", "torn", "job.yaml");
	same_checkpoint("whole/" LAST, "torn/" LAST);
}

/* The numbers of a safetensors file, which are all float32. */
static float *
weights(const char *dir, size_t *n)
{
	char *path = xasprintf("%s/model.safetensors", dir), *s = NULL;
	size_t len;
	uint64_t head;

	t_check(rk_read_file(AT_FDCWD, path, 64u << 20, &s, &len) == RK_OK);
	memcpy(&head, s, sizeof(head));
	*n = (len - 8 - head) / sizeof(float);
	float *v = xmalloc(*n * sizeof(*v));
	memcpy(v, s + 8 + head, *n * sizeof(*v));
	free(s);
	free(path);
	return v;
}

/* The largest difference of weights at the end. */
static double
apart(const char *a, const char *b)
{
	size_t n, m;
	float *x = weights(a, &n), *y = weights(b, &m);
	double most = 0;

	t_check(n == m && n > 0);
	for (size_t i = 0; i < n; i++)
		most = fmax(most, fabs((double)x[i] - y[i]));
	free(x);
	free(y);
	return most;
}

/*
 * Without parts the sums round otherwise: some 1e-7 a step, times 18 steps and
 * what momentum and tanh make of it.  Other draws, a gradient that is clipped
 * in each part, or parts that weigh alike though one is smaller, move weights
 * by a rate of 0.1 times a gradient of 0.01 and more.
 */
#define ROUNDING 2e-5

static void
as_without_parts(const char *more)
{
	char *parts = xasprintf("micro_batch_size: 3, %s", more);

	write_job(more);
	train_ok("--run-dir", "whole", "job.yaml");
	write_job(parts);
	train_ok("--run-dir", "parts", "job.yaml");
	const double d = apart("whole/" LAST, "parts/" LAST);
	if (!(d <= ROUNDING))
		t_fail("with %s the weights are %g apart", more, d);
	free(parts);
}

T_CASE(parts_train_as_the_whole_batch_does)
{
	as_without_parts("seed: 3");
}

T_CASE(the_gradient_is_clipped_once_over_all_parts)
{
	as_without_parts("gradient_clip_norm: 0.05");
}

T_CASE(class_weights_count_over_the_whole_batch)
{
	as_without_parts("loss: {type: cross_entropy, class_weights: "
	    "[0.2, 3, 1]}");
}

/* A weighted mean: ten times each weight is the same loss. */
T_CASE(a_step_is_divided_by_the_weight_of_its_samples)
{
	write_job("micro_batch_size: 3, loss: {type: cross_entropy, "
	    "class_weights: [0.2, 3, 1]}");
	train_ok("--run-dir", "one", "job.yaml");
	write_job("micro_batch_size: 3, loss: {type: cross_entropy, "
	    "class_weights: [2, 30, 10]}");
	train_ok("--run-dir", "ten", "job.yaml");
	const double d = apart("one/" LAST, "ten/" LAST);
	if (!(d <= ROUNDING))
		t_fail("the weights are %g apart", d);
}

T_CASE(ignored_samples_count_for_no_part)
{
	as_without_parts("loss: {type: cross_entropy, ignore_index: 1}");
}

/* n rows, the first `same` of them of class 1, the others of 0 and 2. */
static void
write_labels(const char *path, int n, int same)
{
	FILE *f = fopen(path, "w");

	t_check(f != NULL);
	for (int i = 0; i < n; i++)
		fprintf(f, "%d,2,%d,1,0.5,%d\n", i, i % 7,
		    i < same ? 1 : i % 2 * 2);
	fclose(f);
}

T_CASE(data_of_which_no_sample_counts_are_refused)
{
	write_job("loss: {type: cross_entropy, ignore_index: 1}");
	write_labels("train.csv", 45, 45);
	t_eq_int(train("--run-dir", "r", "job.yaml"), TRAIN_REFUSED);
	file_has("err", "data.train: none of the 45 samples counts for the "
	    "loss: the first has the label 1, which training.loss.ignore_index "
	    "leaves out; want one at least of another class");
	t_eq_int(train("--summary", "job.yaml"), TRAIN_REFUSED);
	write_labels("train.csv", 45, 44);
	train_ok("--run-dir", "r", "job.yaml");
	write_labels("valid.csv", 20, 20);
	t_eq_int(train("--run-dir", "s", "job.yaml"), TRAIN_REFUSED);
	file_has("err", "data.validation: none of the 20 samples counts");

	write_job("loss: {type: cross_entropy, class_weights: [1, 0, 1]}");
	write_labels("train.csv", 45, 45);
	t_eq_int(train("--run-dir", "t", "job.yaml"), TRAIN_REFUSED);
	file_has("err", "data.train: none of the 45 samples counts for the "
	    "loss: the first has the label 1, which has weight 0 in "
	    "training.loss.class_weights");
}

/* Steps of 8 in the order of the file: the first two of an epoch are ignored. */
T_CASE(steps_of_which_no_row_counts_have_no_loss)
{
	write_job("shuffle: false, log_every: 1, micro_batch_size: 3, "
	    "loss: {type: cross_entropy, ignore_index: 1}");
	write_labels("train.csv", 45, 20);
	train_ok("--run-dir", "r", "job.yaml");
	t_eq_int(count_in("r/metrics.jsonl", "\"loss\":null"), 2 * 3);
	t_eq_int(count_in("r/metrics.jsonl", "\"loss\":0.0"), 0);
	t_eq_int(count_in("r/metrics.jsonl", "\"accuracy\":"), 18 - 6 + 6);
	t_eq_int(count_in("r/metrics.jsonl", "nan"), 0);

	/* Stopped where there is no loss yet: the same numbers. */
	train_ok("--run-dir", "torn", "--set", "training.steps=7", "job.yaml");
	train_ok("--run-dir", "torn", "job.yaml");
	same_checkpoint("r/" LAST, "torn/" LAST);
}

static void
lacks_remark(void)
{
	char *out = read_text("out");

	t_check(strstr(out, "will be refused") == NULL);
	free(out);
}

T_CASE(a_batch_norm_of_one_value_is_refused_at_its_step)
{
	write_tiny("job.yaml", TINY_ADAM "  micro_batch_size: 4\n");
	/* 45 samples: steps of 8 in parts of 4, the sixth of 5 in 4 and 1. */
	t_check(train("--run-dir", "r", "job.yaml") != 0);
	file_has("err", "step 6 cannot be made");
	file_has("err", "training.micro_batch_size is 4, and the last part of "
	    "a step of 5 samples is 1: bn (batch_norm) would normalise a "
	    "single value for each channel in a batch of 1; say another, such "
	    "as 5");
	/* It is known, and said, before the first step. */
	file_has("out", "step 6 will be refused: training.micro_batch_size");
	file_has("out", "step 5/18");
	t_check(access("r/checkpoints/step-000000006", F_OK) != 0);
	/* drop_last: there is no such step. */
	train_ok("--run-dir", "s", "--set", "training.drop_last=true",
	    "job.yaml");
	lacks_remark();
	/* It does not come to it. */
	train_ok("--run-dir", "u", "--set", "training.steps=5", "job.yaml");
	lacks_remark();
	train_ok("--run-dir", "v", "--set", "training.micro_batch_size=5",
	    "job.yaml");
	lacks_remark();
	/* And without parts: 45 in steps of 4, the last of one. */
	write_tiny("job.yaml", TINY_ADAM);
	t_check(train("--run-dir", "t", "--set", "training.batch_size=4",
	    "job.yaml") != 0);
	file_has("err", "step 12 cannot be made: training.batch_size is 4, and "
	    "the last step of an epoch of 45 samples has 1");
	file_has("err", "say another, such as 5, or training.drop_last: true");
	train_ok("--summary", "--set", "training.batch_size=4", "job.yaml");
	file_has("out", "step 12 will be refused: training.batch_size is 4");
	/* Each part of each step. */
	t_check(train("--run-dir", "w", "--set", "training.micro_batch_size=1",
	    "job.yaml") != 0);
	file_has("err", "step 1 cannot be made: training.micro_batch_size is "
	    "1, and the last part of a step of 8 samples is 1");
	t_check(train("--run-dir", "x", "--set", "training.batch_size=1",
	    "job.yaml") != 0);
	file_has("err", "step 1 cannot be made: a step has 1 sample");
}

T_MAIN
