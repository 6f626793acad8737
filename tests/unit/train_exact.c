/* With what arithmetic a run began, and what is said where another goes on. */
#include <math.h>
#include "train_help.h"

#define LAST "step-000000018"           /* 3 epochs of 6 steps */

static const char *
reason_in(const json_t *info)
{
	return json_string_value(json_object_get(json_object_get(info,
	    "inexact"), "reason"));
}

/* A run to `step` with that library. */
static void
run_with(const char *gemm, const char *more, const char *steps)
{
	t_check(setenv("REKINDLE_GEMM", gemm, 1) == 0);
	train_ok("--run-dir", "r", "--set", steps, "--set", more, "job.yaml");
	unsetenv("REKINDLE_GEMM");
}

T_CASE(another_arithmetic_is_said_and_stays_known)
{
	write_tiny("job.yaml", TINY_ADAM);
	run_with("own", "retries=3", "training.steps=4");
	json_t *v = info_of("step-000000004");
	t_check(json_is_null(json_object_get(v, "inexact")));
	t_has(json_string_value(json_object_get(json_object_get(v,
	    "arithmetic"), "gemm")), "own ");
	json_decref(v);
	/* The same goes on without a word. */
	run_with("own", "retries=3", "training.steps=6");
	t_eq_int(count_in("out", "arithmetic"), 0);
	/* Another names what was and what is; so does the way back, but what
	 * was first counts. */
	run_with("openblas", "retries=3", "training.steps=8");
	file_has("out", "the arithmetic has changed since step-000000006 was "
	    "taken (gemm was own ");
	file_has("out", ", is OpenBLAS 0.");
	run_with("own", "retries=3", "training.steps=10");
	file_has("out", "gemm was OpenBLAS ");
	v = info_of("step-000000010");
	t_eq_str(reason_in(v), "arithmetic_changed");
	const json_t *why = json_object_get(v, "inexact");
	t_eq_int(json_integer_value(json_object_get(why, "attempt")), 3);
	t_eq_int(json_integer_value(json_object_get(why, "step")), 6);
	json_decref(v);
}

T_CASE(from_before_the_arithmetic_changed_a_run_is_exact_again)
{
	write_tiny("job.yaml", TINY_ADAM);
	run_with("own", "retries=3", "training.steps=6");
	run_with("openblas", "retries=3", "training.steps=8");
	train_ok("--run-dir", "r", "--from", "step:6", "job.yaml");
	t_eq_int(count_in("out", "arithmetic"), 0);
	json_t *v = info_of(LAST "-b2");
	t_check(json_is_null(json_object_get(v, "inexact")));
	json_decref(v);
	train_ok("--run-dir", "whole", "job.yaml");
	same_checkpoint("whole/checkpoints/" LAST, "r/checkpoints/" LAST "-b2");
}

T_CASE(where_exactness_is_required_another_arithmetic_does_not_begin)
{
	write_tiny("job.yaml", TINY_ADAM);
	run_with("own", "training.exact=require", "training.steps=4");
	t_check(setenv("REKINDLE_SIMD", "plain", 1) == 0);
	t_check(setenv("DNNL_MAX_CPU_ISA", "SSE41", 1) == 0);
	t_eq_int(train("--run-dir", "r", "--set", "training.exact=require",
	    "job.yaml"), TRAIN_WAITS);
	file_has("err", "the arithmetic has changed since step-000000004");
	file_has("err", "training.exact is require");
	t_check(access("r/checkpoints/step-000000005", F_OK) != 0);
	unsetenv("REKINDLE_SIMD");
	unsetenv("DNNL_MAX_CPU_ISA");
	run_with("own", "training.exact=require", "training.steps=18");
	json_t *v = info_of(LAST);
	t_check(json_is_null(json_object_get(v, "inexact")));
	json_decref(v);
}

/* checkpoint.json with other contents and the digest that goes with them; takes
 * v. */
static void
forge_all(const char *path, json_t *v)
{
	char hex[RK_SHA256_HEX], *s;

	json_object_del(v, "check");
	s = rkj_text(v);
	rk_sha256_of(s, strlen(s), hex);
	free(s);
	json_object_set_new(v, "check", json_string(hex));
	s = rkj_text(v);
	write_file(path, s);
	free(s);
	json_decref(v);
}

/* checkpoint.json with one thing in it replaced, or taken out (to is NULL). */
static void
forge(const char *path, const char *key, const char *to)
{
	json_t *v = read_json(path);

	json_object_del(v, key);
	if (to != NULL)
		json_object_set_new(v, key, json_string(to));
	forge_all(path, v);
}

/* As a trainer of the numeric identity before this one's wrote it. */
static void
forge_identity(const char *path)
{
	json_t *v = read_json(path), *a = json_object_get(v, "arithmetic");

	t_check(json_object_del(a, "identity") == 0);
	t_check(json_object_del(a, "mode") == 0);
	forge_all(path, v);
}

/* As a machine wrote it whose convolutions another code computes. */
static void
forge_conv(const char *path)
{
	json_t *v = read_json(path), *a = json_object_get(v, "arithmetic");

	t_check(json_object_set_new(a, "conv", json_string("other 1")) == 0);
	forge_all(path, v);
}

T_CASE(what_computes_convolutions_is_no_matter_for_a_network_without_any)
{
	write_tiny("job.yaml", TINY_ADAM);
	run_with("own", "training.exact=require", "training.steps=4");
	forge_conv("r/checkpoints/step-000000004/checkpoint.json");
	run_with("own", "training.exact=require", "training.steps=6");
	t_eq_int(count_in("out", "arithmetic"), 0);
	json_t *v = info_of("step-000000006");
	t_check(json_is_null(json_object_get(v, "inexact")));
	json_decref(v);
	/* It is one for a network that has some. */
	const char *model = "model={layers: [{type: reshape, shape: [1, 1, 5]}, "
	    "{type: conv2d, out: 4, kernel: 1}, flatten, "
	    "{type: linear, out: 3}]}";
	train_ok("--run-dir", "c", "--set", "training.steps=4", "--set", model,
	    "job.yaml");
	forge_conv("c/checkpoints/step-000000004/checkpoint.json");
	t_eq_int(train("--run-dir", "c", "--set", model, "--set",
	    "training.exact=require", "job.yaml"), TRAIN_WAITS);
	file_has("err", "(conv was other 1, is o");
}

T_CASE(a_checkpoint_that_does_not_say_its_arithmetic_is_not_known_to_be_exact)
{
	write_tiny("job.yaml", TINY_ADAM);
	run_with("own", "retries=3", "training.steps=4");
	forge("r/checkpoints/step-000000004/checkpoint.json", "arithmetic",
	    NULL);
	t_eq_int(train("--run-dir", "r", "--set", "training.exact=require",
	    "job.yaml"), TRAIN_WAITS);
	file_has("err", "step-000000004 does not say what arithmetic");
	run_with("own", "retries=3", "training.steps=6");
	file_has("out", "step-000000004 does not say what arithmetic");
	json_t *v = info_of("step-000000006");
	t_eq_str(reason_in(v), "arithmetic_unknown");
	json_decref(v);
	/* That is said once; that it changed later on says more. */
	run_with("own", "retries=3", "training.steps=8");
	t_eq_int(count_in("out", "arithmetic"), 0);
	run_with("openblas", "retries=3", "training.steps=10");
	v = info_of("step-000000010");
	t_eq_str(reason_in(v), "arithmetic_changed");
	json_decref(v);
}

#define AT_4 "r/checkpoints/step-000000004/checkpoint.json"
#define OTHER_PROGRAM "0123456789abcdef0123456789abcdef"                  \
	"0123456789abcdef0123456789abcdef"

T_CASE(another_program_for_the_same_network_is_said_and_is_no_exact_resume)
{
	write_tiny("job.yaml", TINY_ADAM);
	run_with("own", "retries=3", "training.steps=4");
	forge(AT_4, "program", OTHER_PROGRAM);
	t_eq_int(train("--run-dir", "r", "--set", "training.exact=require",
	    "job.yaml"), TRAIN_WAITS);
	file_has("err", "(program was 0123456789ab, is ");
	run_with("own", "retries=3", "training.steps=6");
	file_has("out", "the arithmetic has changed since step-000000004 was "
	    "taken (program was 0123456789ab, is ");
	json_t *v = info_of("step-000000006");
	t_eq_str(reason_in(v), "arithmetic_changed");
	t_eq_int((int)strlen(json_string_value(json_object_get(v,
	    "program"))), RK_SHA256_HEX - 1);
	json_decref(v);
}

T_CASE(another_program_for_another_loss_is_no_break)
{
	write_tiny("job.yaml", TINY_ADAM);
	run_with("own", "retries=3", "training.steps=4");
	forge(AT_4, "program", OTHER_PROGRAM);
	run_with("own", "training.loss={type: cross_entropy, label_smoothing: 0.1}",
	    "training.steps=6");
	t_eq_int(count_in("out", "arithmetic"), 0);
	json_t *v = info_of("step-000000006");
	t_check(json_is_null(json_object_get(v, "inexact")));
	json_decref(v);
}

T_CASE(a_checkpoint_of_the_numeric_identity_before_goes_on_and_says_so)
{
	write_tiny("job.yaml", TINY_ADAM);
	run_with("own", "retries=3", "training.steps=4");
	json_t *v = info_of("step-000000004");
	t_eq_str(json_string_value(json_object_get(json_object_get(v,
	    "arithmetic"), "identity")), TRAIN_IDENTITY);
	json_decref(v);
	forge_identity(AT_4);
	t_eq_int(train("--run-dir", "r", "--set", "training.exact=require",
	    "job.yaml"), TRAIN_WAITS);
	file_has("err", "the arithmetic has changed since step-000000004 was "
	    "taken (identity was 1, is " TRAIN_IDENTITY ")");
	run_with("own", "retries=3", "training.steps=6");
	file_has("out", "the arithmetic has changed since step-000000004 was "
	    "taken (identity was 1, is " TRAIN_IDENTITY "): what follows is "
	    "not bit for bit what it would have computed");
	v = info_of("step-000000006");
	t_eq_str(reason_in(v), "arithmetic_changed");
	json_decref(v);
	/* Once. */
	run_with("own", "retries=3", "training.steps=8");
	t_eq_int(count_in("out", "arithmetic"), 0);
}

static const char *
mode_in(const json_t *info)
{
	return json_string_value(json_object_get(json_object_get(info,
	    "arithmetic"), "mode"));
}

T_CASE(a_new_run_is_fast_and_one_that_goes_on_is_as_it_was)
{
	json_t *v;

	write_tiny("job.yaml", TINY_ADAM);
	run_with("own", "retries=3", "training.steps=4");
	v = info_of("step-000000004");
	t_eq_str(mode_in(v), "fast");
	json_decref(v);
	/* The record of one that is exact is what it was before the field. */
	train_ok("--run-dir", "old", "--set", "training.steps=4", "--set",
	    "training.arithmetic=exact", "job.yaml");
	v = read_json("old/checkpoints/step-000000004/checkpoint.json");
	t_eq_str(mode_in(v), "exact");
	t_check(json_object_get(json_object_get(json_object_get(
	    json_object_get(v, "state"), "spec"), "training"), "arithmetic") ==
	    NULL);
	json_decref(v);
	train_ok("--run-dir", "old", "--set", "training.steps=6", "job.yaml");
	t_eq_int(count_in("out", "arithmetic"), 0);
	v = read_json("old/checkpoints/step-000000006/checkpoint.json");
	t_eq_str(mode_in(v), "exact");
	t_check(json_is_null(json_object_get(v, "inexact")));
	json_decref(v);
	/* And with a person's word it changes, also where bytes must be exact:
	 * that is no break. */
	train_ok("--run-dir", "old", "--set", "training.steps=8", "--set",
	    "training.exact=require", "--set", "training.arithmetic=fast",
	    "job.yaml");
	file_has("out", "training.arithmetic is fast now, as the job says; "
	    "step-000000006 was computed exact");
	v = read_json("old/checkpoints/step-000000008/checkpoint.json");
	t_eq_str(mode_in(v), "fast");
	t_check(json_is_null(json_object_get(v, "inexact")));
	json_decref(v);
}

T_CASE(an_evaluation_is_as_the_checkpoint_and_a_summary_as_a_new_job)
{
	static const char *const at[] = { "step-000000004", "step-000000006" };
	json_t *v;

	write_tiny("job.yaml", TINY_ADAM);
	run_with("own", "training.arithmetic=exact", "training.steps=4");
	run_with("own", "training.arithmetic=fast", "training.steps=6");
	for (int i = 0; i < 2; i++) {
		char *dir = xasprintf("r/checkpoints/%s", at[i]);
		train_ok("--evaluate", dir, "job.yaml");
		v = read_json("out");
		t_eq_str(mode_in(v), i == 0 ? "exact" : "fast");
		json_decref(v);
		free(dir);
	}
	train_ok("--summary", "job.yaml");
	v = read_json("out");
	t_eq_str(mode_in(v), "fast");
	json_decref(v);
	train_ok("--summary", "--set", "training.arithmetic=exact",
	    "job.yaml");
	v = read_json("out");
	t_eq_str(mode_in(v), "exact");
	json_decref(v);
}

/* Format 1 has no program. */
T_CASE(a_checkpoint_of_version_1_goes_on_without_a_word)
{
	write_tiny("job.yaml", TINY_ADAM);
	train_ok("--run-dir", "whole", "job.yaml");
	run_with("own", "retries=3", "training.steps=4");
	forge(AT_4, "program", NULL);
	forge(AT_4, "format", NULL);
	forge(AT_4, "input", NULL);
	forge(AT_4, "classes", NULL);
	train_ok("--run-dir", "r", "job.yaml");
	t_eq_int(count_in("out", "arithmetic"), 0);
	json_t *v = info_of(LAST);
	t_check(json_is_null(json_object_get(v, "inexact")));
	json_decref(v);
	same_checkpoint("whole/checkpoints/" LAST, "r/checkpoints/" LAST);
}

T_MAIN
