/* A warm start's plan, and the warm start. */
#include "plan.h"
#include "train_help.h"

/* A network of one hidden layer, and a file's tensors beside it. */
static struct nn *
build(int64_t in, int64_t hidden, int64_t out)
{
	struct spec_model m = {
		.arch = SPEC_ARCH_mlp,
		.u.mlp.sizes = { { in, hidden, out }, 3 },
	};
	struct spec_loss l = { .type = SPEC_CROSS_ENTROPY };
	const struct nn_want w = { .model = &m, .loss = &l, .ndim = 1,
		.d = { in }, .batch = 4, .memory_limit = UINT64_MAX };
	struct rk_why why = {0};
	struct nn *n = NULL;

	if (nn_build(&n, &w, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	return n;
}

static float *
numbers(size_t n, float first)
{
	float *x = xcalloc(n + 1, sizeof(*x));

	for (size_t i = 0; i < n; i++)
		x[i] = first + (float)i;
	return x;
}

static void
add(struct tensor_set *s, const char *name, enum dtype dt, int ndim,
    int64_t d0, int64_t d1, const void *data)
{
	const int64_t d[2] = { d0, d1 };

	t_check(tensor_set_add(s, name, dt, ndim, d, data, NULL) == RK_OK);
}

static struct tensor_set *
seal(struct tensor_set *s)
{
	t_check(tensor_set_seal(s, NULL) == RK_OK);
	return s;
}

/* The ten classes of Fashion-MNIST, as a file that was trained. */
static struct tensor_set *
ten_classes(float **data)
{
	struct tensor_set *s = tensor_set_new();

	*data = numbers(256 * 784, 1);
	add(s, "fc1.weight", DT_F32, 2, 256, 784, *data);
	add(s, "fc1.bias", DT_F32, 1, 256, 0, *data);
	add(s, "fc2.weight", DT_F32, 2, 10, 256, *data);
	add(s, "fc2.bias", DT_F32, 1, 10, 0, *data);
	return seal(s);
}

static void
free_plan(struct plan *p)
{
	if (p != NULL)
		warm_file_free(p->of);
	plan_free(p);
}

/* However little would load. */
static enum rk_err
make(struct plan **pp, const struct nn *n, struct tensor_set *s,
    bool strict, struct rk_why *why)
{
	const struct spec_model m = { .strict = strict,
		.warm = { .minimum_said = true } };
	const struct plan_how how = { .model = &m };

	return plan_new(pp, n, warm_file_of(s), &how, why);
}

static const char *
action_of(const json_t *plan, const char *name)
{
	const json_t *rows = json_object_get(plan, "tensors");

	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *w = json_array_get(rows, i);
		if (strcmp(json_string_value(json_object_get(w, "name")),
		    name) == 0)
			return json_string_value(json_object_get(w, "action"));
	}
	return "absent";
}

T_CASE(twelve_classes_from_ten_says_what_is_new)
{
	struct nn *n = build(784, 256, 12);
	struct plan *p = NULL;
	float *data;
	struct tensor_set *s = ten_classes(&data);

	t_check(make(&p, n, s, false, NULL) == RK_OK);
	t_eq_str(p->is->summary, "loaded 2 of 4 tensors (200,960 of 204,044 "
	    "parameters); 2 new: fc2.weight, fc2.bias (file [10,256], model "
	    "[12,256]); 0 missing; 0 ignored");
	json_t *j = warm_plan_json(p->is, "job://x/best");
	t_eq_str(action_of(j, "fc1.weight"), "copy");
	t_eq_str(action_of(j, "fc2.bias"), "init");
	t_eq_str(json_string_value(json_object_get(j, "source")),
	    "job://x/best");
	t_eq_int(json_integer_value(json_object_get(j, "tensors_loaded")), 2);
	json_decref(j);
	free_plan(p);
	tensor_set_free(s);
	nn_free(n);
	free(data);
}

T_CASE(a_clean_copy_says_just_that)
{
	struct nn *n = build(784, 256, 10);
	struct plan *p = NULL;
	float *data;
	struct tensor_set *s = ten_classes(&data);

	t_check(make(&p, n, s, true, NULL) == RK_OK);
	t_eq_str(p->is->summary,
	    "loaded 4 of 4 tensors (203,530 of 203,530 parameters); 0 new; 0 "
	    "missing; 0 ignored");
	free_plan(p);
	tensor_set_free(s);
	nn_free(n);
	free(data);
}

T_CASE(strict_lists_every_tensor_with_both_shapes)
{
	struct nn *n = build(3, 4, 2);
	struct tensor_set *s = tensor_set_new();
	struct rk_why why = {0};
	struct plan *p = NULL;
	float *data = numbers(64, 0);

	add(s, "fc1.weight", DT_F32, 2, 4, 3, data);
	add(s, "fc2.weight", DT_F32, 2, 5, 4, data);
	add(s, "fc2.bias", DT_F32, 1, 2, 0, data);
	add(s, "fc3.bias", DT_F32, 1, 7, 0, data);
	t_check(make(&p, n, seal(s), true, &why) == RK_EINVAL);
	t_eq_int(why.n, 3);
	char *text = rk_why_text(&why);
	t_has(text, "fc1.bias: is missing from the file: model [4]");
	t_has(text, "fc2.weight: does not match: file [5,4], model [2,4]");
	t_has(text, "fc3.bias: is unexpected: the model has no such tensor: "
	    "file [7]");
	free(text);
	free_plan(p);
	rk_why_fini(&why);
	tensor_set_free(s);
	nn_free(n);
	free(data);
}

T_CASE(what_fits_is_copied_or_converted_and_the_rest_initialised)
{
	struct nn *n = build(2, 2, 2), *fresh = build(2, 2, 2);
	struct tensor_set *s = tensor_set_new();
	struct plan *p = NULL;
	float *data = numbers(16, 5);
	const double halves[2] = { 0.5, -1.5 };
	const uint16_t bf16[4] = { 0x3f80, 0x4000, 0xbf80, 0x0000 };
	const int64_t whole[2] = { 1, 2 };

	add(s, "fc1.weight", DT_F32, 2, 2, 2, data);
	add(s, "fc1.bias", DT_F64, 1, 2, 0, halves);
	add(s, "fc2.weight", DT_BF16, 2, 2, 2, bf16);
	add(s, "fc2.bias", DT_I64, 1, 2, 0, whole);
	add(s, "extra", DT_F32, 1, 16, 0, data);
	t_check(make(&p, n, seal(s), false, NULL) == RK_OK);
	json_t *j = warm_plan_json(p->is, "f");
	t_eq_str(action_of(j, "fc1.weight"), "copy");
	t_eq_str(action_of(j, "fc1.bias"), "convert");
	t_eq_str(action_of(j, "fc2.weight"), "convert");
	t_eq_str(action_of(j, "fc2.bias"), "init");
	t_eq_str(action_of(j, "extra"), "skip");
	json_decref(j);
	t_eq_str(p->is->summary, "loaded 3 of 4 tensors (10 of 12 parameters)"
	    "; 1 new: fc2.bias (file I64 [2], model [2]); 0 missing; 1 "
	    "ignored");
	t_check(plan_apply(p, n, 3, NULL) == RK_OK);
	nn_init(fresh, 3);
	t_near(nn_tensor_at(n, 0)->value[3], 8, 0);
	t_near(nn_tensor_at(n, 1)->value[1], -1.5, 0);
	t_near(nn_tensor_at(n, 2)->value[1], 2, 0);
	t_check(memcmp(nn_tensor_at(n, 3)->value,
	    nn_tensor_at(fresh, 3)->value, 2 * sizeof(float)) == 0);
	free_plan(p);
	tensor_set_free(s);
	nn_free(n);
	nn_free(fresh);
	free(data);
}

T_CASE(a_file_of_which_nothing_fits_is_refused_with_a_hint)
{
	struct nn *n = build(3, 4, 2);
	struct tensor_set *s = tensor_set_new();
	struct rk_why why = {0};
	struct plan *p = NULL;
	float *data = numbers(64, 0);

	add(s, "foo.fc1.weight", DT_F32, 2, 4, 3, data);
	add(s, "foo.fc1.bias", DT_F32, 1, 4, 0, data);
	t_check(make(&p, n, seal(s), false, &why) == RK_EINVAL);
	t_has(rk_why_first(&why), "nothing in the file fits the model");
	t_has(rk_why_first(&why), "its names begin with \"foo.\"");
	rk_why_fini(&why);
	free_plan(p);
	tensor_set_free(s);

	s = tensor_set_new();
	add(s, "fc1.weight", DT_F32, 2, 3, 4, data);
	t_check(make(&p, n, seal(s), false, &why) == RK_EINVAL);
	t_has(rk_why_first(&why), "its fc1.weight is transposed");
	rk_why_fini(&why);
	free_plan(p);
	tensor_set_free(s);

	s = tensor_set_new();
	t_check(make(&p, n, seal(s), false, &why) == RK_EINVAL);
	t_has(rk_why_first(&why), "the file has no tensors");
	rk_why_fini(&why);
	free_plan(p);
	tensor_set_free(s);
	nn_free(n);
	free(data);
}

T_CASE(pytorchs_batch_counter_does_not_spoil_a_clean_copy)
{
	struct nn *n = build(3, 4, 2);
	struct tensor_set *s = tensor_set_new();
	struct plan *p = NULL;
	float *data = numbers(64, 0);
	const int64_t seen = 9;

	add(s, "fc1.weight", DT_F32, 2, 4, 3, data);
	add(s, "fc1.bias", DT_F32, 1, 4, 0, data);
	add(s, "fc2.weight", DT_F32, 2, 2, 4, data);
	add(s, "fc2.bias", DT_F32, 1, 2, 0, data);
	add(s, "bn.num_batches_tracked", DT_I64, 0, 0, 0, &seen);
	t_check(make(&p, n, seal(s), true, NULL) == RK_OK);
	free_plan(p);
	tensor_set_free(s);
	nn_free(n);
	free(data);
}

T_CASE(a_weight_of_paddle_is_turned_and_a_slice_of_it_taken)
{
	struct nn *n = build(2, 2, 3), *fresh = build(2, 2, 3);
	const struct spec_model m = { .warm = { .dialect =
	    SPEC_DIALECT_PADDLE, .minimum_said = true, .of = {
	    [SPEC_MISMATCH] = { .said = true, .is = SPEC_POLICY_SLICE } } } };
	const struct plan_how how = { .model = &m };
	struct tensor_set *s = tensor_set_new();
	struct plan *p = NULL;
	float *data = numbers(16, 0);

	/* Square, [in,out]: number i of row o is at i * 2 + o. */
	add(s, "fc1.weight", DT_F32, 2, 2, 2, data);
	add(s, "fc1.bias", DT_F32, 1, 2, 0, data);
	/* Of 2 inputs and 2 outputs, of which ours has a third. */
	add(s, "fc2.weight", DT_F32, 2, 2, 2, data);
	add(s, "fc2.bias", DT_F32, 1, 2, 0, data + 8);
	t_check(plan_new(&p, n, warm_file_of(seal(s)), &how, NULL) == RK_OK);
	t_check(plan_apply(p, n, 3, NULL) == RK_OK);
	nn_init(fresh, 3);
	const float *w1 = nn_tensor_at(n, 0)->value;
	const float *w2 = nn_tensor_at(n, 2)->value;
	const float turned[4] = { 0, 2, 1, 3 };
	for (int i = 0; i < 4; i++) {
		t_near(w1[i], turned[i], 0);
		t_near(w2[i], turned[i], 0);
	}
	for (int i = 4; i < 6; i++)
		t_near(w2[i], nn_tensor_at(fresh, 2)->value[i], 0);
	t_near(nn_tensor_at(n, 3)->value[1], 9, 0);
	t_near(nn_tensor_at(n, 3)->value[2],
	    nn_tensor_at(fresh, 3)->value[2], 0);
	free_plan(p);
	tensor_set_free(s);
	nn_free(n);
	nn_free(fresh);
	free(data);
}

T_CASE(more_rows_than_a_block_are_turned_in_their_places)
{
	struct nn *n = build(70, 45, 3);
	const struct spec_model m = { .strict = true, .warm = { .dialect =
	    SPEC_DIALECT_PADDLE } };
	const struct plan_how how = { .model = &m };
	struct tensor_set *s = tensor_set_new();
	struct plan *p = NULL;
	float *data = numbers(70 * 45, 0);

	add(s, "fc1.weight", DT_F32, 2, 70, 45, data);
	add(s, "fc1.bias", DT_F32, 1, 45, 0, data);
	add(s, "fc2.weight", DT_F32, 2, 45, 3, data);
	add(s, "fc2.bias", DT_F32, 1, 3, 0, data);
	t_check(plan_new(&p, n, warm_file_of(seal(s)), &how, NULL) == RK_OK);
	t_check(plan_apply(p, n, 3, NULL) == RK_OK);
	for (int out = 0; out < 45; out++)
		for (int in = 0; in < 70; in++)
			t_near(nn_tensor_at(n, 0)->value[out * 70 + in],
			    data[in * 45 + out], 0);
	free_plan(p);
	tensor_set_free(s);
	nn_free(n);
	free(data);
}

/* --- the program --------------------------------------------------------- */

#define FIRST "a/checkpoints/step-000000018/model.safetensors"

/* The tiny job's model with four classes in place of three. */
static void
write_four(void)
{
	char *s = read_text("job.yaml"), *out = strstr(s, "out: 3");

	out[5] = '4';
	write_file("four.yaml", s);
	free(s);
}

T_CASE(another_head_starts_from_the_old_body)
{
	write_tiny("job.yaml", TINY_ADAM);
	write_four();
	train_ok("--run-dir", "a", "job.yaml");
	t_eq_int(train("--run-dir", "b", "--model", FIRST, "four.yaml"),
	    TRAIN_REFUSED);
	file_has("err", "a strict warm start refuses");
	file_has("err", "; model.strict: false takes what fits");
	file_has("err", "fc2.weight: does not match: file [3,12], model "
	    "[4,12]");
	file_has("err", "fc2.bias: does not match: file [3], model [4]");
	train_ok("--run-dir", "b", "--model", FIRST, "--set",
	    "model.strict=false", "four.yaml");
	file_has("out", "loaded 6 of 8 tensors (96 of 148 parameters)"
	    "; 2 new: fc2.weight, fc2.bias (file [3,12], model [4,12]); 0 "
	    "missing; 0 ignored");
	file_has("out", "the learning rate is scaled by 0.2, from 0.01 "
	    "to 0.002");
	json_t *p = read_json("b/plan.json");
	t_eq_str(action_of(p, "bn.running_mean"), "copy");
	json_decref(p);
}

T_CASE(the_scaled_rate_stays_when_the_run_goes_on)
{
	write_tiny("job.yaml", TINY_ADAM);
	train_ok("--run-dir", "a", "job.yaml");
	train_ok("--run-dir", "whole", "--model", FIRST, "job.yaml");
	train_ok("--run-dir", "b", "--model", FIRST, "--set",
	    "training.steps=7", "job.yaml");
	train_ok("--run-dir", "b", "--model", FIRST, "job.yaml");
	file_has("out", "goes on from step-000000007");
	same_checkpoint("whole/checkpoints/step-000000018",
	    "b/checkpoints/step-000000018");
}

T_CASE(a_file_in_the_job_is_found_beside_the_job)
{
	write_tiny("job.yaml", TINY_ADAM);
	train_ok("--run-dir", "a", "job.yaml");
	train_ok("--run-dir", "b", "--set", "model.checkpoint=" FIRST,
	    "--set", "training.warm_start.learning_rate_scale=1", "job.yaml");
	file_has("out", "loaded 8 of 8 tensors (135 of 135 parameters)");
	t_eq_int(count_in("out", "scaled"), 0);
}

T_CASE(only_the_daemon_finds_another_jobs_checkpoint)
{
	write_tiny("job.yaml", TINY_ADAM);
	t_eq_int(train("--run-dir", "b", "--set",
	    "model.checkpoint=job://tiny/best", "job.yaml"), TRAIN_REFUSED);
	file_has("err", "only the daemon can find");
	/* Unless it is said where its bytes are. */
	train_ok("--run-dir", "a", "job.yaml");
	train_ok("--run-dir", "b", "--set", "model.checkpoint=job://tiny/best",
	    "--file", "job://tiny/best=" FIRST, "job.yaml");
	file_has("b/plan.json", "\"source\": \"job://tiny/best\"");
}

#define FAR "https://h/v?a=b"

T_CASE(bytes_of_an_address_are_where_the_command_line_says)
{
	write_tiny("job.yaml", TINY_ADAM);
	train_ok("--run-dir", "a", "job.yaml");
	t_eq_int(rename("train.csv", "x=1.csv"), 0);
	/* One address is another's beginning, and '=' is in all of them. */
	train_ok("--run-dir", "b", "--set", "data.train.path=" FAR,
	    "--set", "model.checkpoint=" FAR "=c", "--file",
	    FAR "=c=" FIRST, "--file", FAR "=x=1.csv", "job.yaml");
	file_has("out", "loaded 8 of 8 tensors (135 of 135 parameters)");
	file_has("b/plan.json", "\"source\": \"" FAR "=c\"");
	/* With a checkpoint of its own it needs the model no more. */
	train_ok("--run-dir", "b", "--set", "data.train.path=" FAR,
	    "--set", "model.checkpoint=" FAR "=c", "--file",
	    FAR "=x=1.csv", "job.yaml");
	file_has("out", "nothing is left to do");
	t_eq_int(count_in("out", "the job has changed"), 0);
}

T_CASE(an_address_without_a_file_is_refused_by_its_field)
{
	write_tiny("job.yaml", TINY_ADAM);
	t_eq_int(train("--run-dir", "b", "--set", "data.train.path=s3://b/x",
	    "job.yaml"), TRAIN_REFUSED);
	file_has("err", "data.train.path is s3://b/x, which only the daemon "
	    "can find: submit the job to rekindled, or say where its bytes are "
	    "with --file s3://b/x=PATH");
	t_eq_int(train("--run-dir", "b", "--set", "model.checkpoint=oss://b/m",
	    "job.yaml"), TRAIN_REFUSED);
	file_has("err", "model.checkpoint is oss://b/m, which only");
	t_eq_int(train("--run-dir", "b", "--file", "s3://b/x=train.csv",
	    "job.yaml"), TRAIN_REFUSED);
	file_has("err", "--file s3://b/x=train.csv: the job names no such");
	t_eq_int(train("--file", "s3://b/x", "job.yaml"), TRAIN_USAGE);
}

T_CASE(complaints_about_bytes_name_their_address)
{
	write_tiny("job.yaml", TINY_ADAM);
	write_file("bytes", "a,b\n1,x\n");
	t_eq_int(train("--run-dir", "b", "--set", "data.train.path=s3://b/x",
	    "--file", "s3://b/x=bytes", "job.yaml"), TRAIN_REFUSED);
	file_has("err", "s3://b/x: line ");
	t_eq_int(train("--run-dir", "b", "--set", "model.checkpoint=s3://b/m",
	    "--file", "s3://b/m=bytes", "job.yaml"), TRAIN_REFUSED);
	file_has("err", "cannot start from s3://b/m: ");
	t_eq_int(train("--run-dir", "b", "--set", "model.checkpoint=s3://b/m",
	    "--file", "s3://b/m=nowhere", "job.yaml"), TRAIN_REFUSED);
	file_has("err", "cannot start from s3://b/m: ");
}

T_CASE(a_plan_is_shown_without_training)
{
	write_tiny("job.yaml", TINY_ADAM);
	write_four();
	train_ok("--run-dir", "a", "job.yaml");
	t_eq_int(train("--run-dir", "b", "--plan", "--json", "--model", FIRST,
	    "four.yaml"), TRAIN_REFUSED);
	t_check(access("b", F_OK) != 0);
	json_t *p = read_json("out");
	t_check(json_is_false(json_object_get(p, "accepted")));
	t_eq_int(json_array_size(json_object_get(p, "refused")), 2);
	t_eq_str(action_of(p, "fc1.weight"), "copy");
	t_eq_str(action_of(p, "fc2.bias"), "init");
	json_decref(p);
}

T_CASE(a_plan_is_a_table_for_people)
{
	write_tiny("job.yaml", TINY_ADAM);
	write_four();
	train_ok("--run-dir", "a", "job.yaml");
	t_eq_int(train("--run-dir", "b", "--plan", "--model", FIRST,
	    "four.yaml"), TRAIN_REFUSED);
	file_has("err", "the plan is refused: fc2.weight: does not match");
	file_has("out", "loaded 6 of 8 tensors");
	file_has("out", "dialect  rekindle, by 6 of 8 tensors");
	file_has("out", "init       fc2.weight");
	file_has("out", "the shapes differ");
	file_has("out", "refused  fc2.bias: does not match: file [3], model "
	    "[4]");
}

T_CASE(a_plan_that_was_shown_runs_as_shown_or_says_what_changed)
{
	char set[128];

	write_tiny("job.yaml", TINY_ADAM);
	write_four();
	train_ok("--run-dir", "a", "job.yaml");
	train_ok("--run-dir", "b", "--plan", "--json", "--model", FIRST,
	    "job.yaml");
	json_t *p = read_json("out");
	snprintf(set, sizeof(set), "training.warm_start.plan=%s",
	    json_string_value(json_object_get(p, "digest")));
	train_ok("--run-dir", "b", "--model", FIRST, "--set", set, "job.yaml");
	t_eq_int(train("--run-dir", "c", "--model", FIRST, "--set", set,
	    "--set", "model.strict=false", "four.yaml"), TRAIN_REFUSED);
	file_has("err", "training.warm_start.plan: the plan is not the one "
	    "that was shown");
	file_has("err", "the tensors of the model, what is done with them "
	    "changed");
	file_has("err", "loaded 6 of 8 tensors");
	json_decref(p);
}

T_CASE(a_file_that_is_no_model_is_refused)
{
	write_tiny("job.yaml", TINY_ADAM);
	t_eq_int(train("--run-dir", "b", "--model", "train.csv", "job.yaml"),
	    TRAIN_REFUSED);
	file_has("err", "cannot start from train.csv");
	t_eq_int(train("--run-dir", "b", "--model", "nowhere", "job.yaml"),
	    TRAIN_REFUSED);
	file_has("err", "cannot start from nowhere");
}

T_MAIN
