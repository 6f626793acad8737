/* A run that finds other data than its checkpoint was made with. */
#include <sys/stat.h>

#include "train_help.h"

#define BEHIND "REKINDLE_TRAIN_DIGEST_AT_ONCE"

static void
two_steps(void)
{
	write_tiny("job.yaml", TINY_ADAM);
	train_ok("--run-dir", "r", "--set", "training.steps=2", "job.yaml");
}

/* The first character of a file's line, a digit, is another. */
static void
touch_row(const char *path, int line)
{
	char *text = read_text(path), *p = text;

	while (line-- > 0)
		p = strchr(p, '\n') + 1;
	p += strcspn(p, "0123456789");
	*p = *p == '3' ? '4' : '3';
	write_file(path, text);
	free(text);
}

static int
count_checkpoints(void)
{
	DIR *d = opendir("r/checkpoints");
	int n = 0;

	for (struct dirent *e; (e = readdir(d)) != NULL;)
		n += strncmp(e->d_name, "step-", 5) == 0;
	closedir(d);
	return n;
}

/* The digests that checkpoint.json of step 2 has. */
static const char *
digest_of(const char *set)
{
	static char hex[80];
	char *text = read_text("r/checkpoints/step-000000002/checkpoint.json");
	json_t *o = NULL;

	t_eq_int(rkj_parse_json(text, strlen(text), &o, NULL), RK_OK);
	const char *s = json_string_value(json_object_get(json_object_get(
	    json_object_get(json_object_get(o, "state"), "data"), set),
	    "digest"));
	t_check(s != NULL);
	snprintf(hex, sizeof(hex), "%s", s);
	json_decref(o);
	free(text);
	return hex;
}

static void
refuses(const char *part)
{
	const int n = count_checkpoints();

	t_eq_int(train("--run-dir", "r", "job.yaml"), TRAIN_WAITS);
	file_has("err", "the data has changed since step-000000002 was taken");
	file_has("err", part);
	file_has("err", "--accept data goes on");
	t_eq_int(count_checkpoints(), n);
}

T_CASE(content_count_or_shape_it_refuses_and_says_both)
{
	two_steps();
	touch_row("train.csv", 7);
	refuses(digest_of("train"));
	file_has("err", "the training data: digest");
	file_has("err", ", 45 samples of 5 then, ");
	write_csv("train.csv", 44, 5, 3);
	refuses(", 44 samples of 5 now");
	/* a label that the network has no output for: still the data */
	write_csv("train.csv", 45, 5, 7);
	refuses("the training data");
	write_csv("train.csv", 45, 6, 3);
	write_csv("valid.csv", 20, 6, 3);
	refuses("45 samples of 6 now");
	write_csv("train.csv", 45, 5, 3);
	write_csv("valid.csv", 20, 5, 3);
	train_ok("--run-dir", "r", "job.yaml");
}

T_CASE(changed_validation_data_are_a_change_too)
{
	two_steps();
	touch_row("valid.csv", 3);
	refuses("the validation data: digest");
	refuses(digest_of("validation"));
}

/* Since when and why a checkpoint of r is not exact. */
static void
is_inexact(const char *dir, const char *reason, int attempt, int step)
{
	char *path = xasprintf("r/checkpoints/%s/checkpoint.json", dir);
	json_t *v = read_json(path), *why = json_object_get(v, "inexact");

	t_eq_str(json_string_value(json_object_get(why, "reason")), reason);
	t_eq_int(json_integer_value(json_object_get(why, "attempt")), attempt);
	t_eq_int(json_integer_value(json_object_get(why, "step")), step);
	json_decref(v);
	free(path);
}

T_CASE(what_is_accepted_is_gone_on_with_and_is_the_new_state)
{
	two_steps();
	touch_row("train.csv", 7);
	refuses("the training data");
	train_ok("--run-dir", "r", "--accept", "data", "--set",
	    "training.steps=3", "job.yaml");
	file_has("out", "which was accepted: the training data: digest");
	is_inexact("step-000000003", "data_changed", 2, 2);
	/* the next is of the new data: nothing to accept any more */
	train_ok("--run-dir", "r", "job.yaml");
	is_inexact("step-000000018", "data_changed", 2, 2);
	t_eq_int(train("--run-dir", "r", "--accept", "weather", "job.yaml"),
	    TRAIN_USAGE);
}

T_CASE(the_same_data_under_another_path_are_the_same)
{
	two_steps();
	t_eq_int(rename("train.csv", "moved.csv"), 0);
	train_ok("--run-dir", "r", "--set", "data.train.path=moved.csv",
	    "--set", "training.steps=2", "job.yaml");
	file_has("out", "the data have other paths");
	char *out = read_text("out");
	t_check(strstr(out, "the job has changed since") == NULL);
	free(out);
}

T_CASE(a_checkpoint_from_before_is_compared_by_its_digest_alone)
{
	char *a, *b;

	/* as the version before wrote it: no "data" in the state */
	two_steps();
	a = read_text("r/checkpoints/step-000000002/checkpoint.json");
	json_t *o = NULL;
	t_eq_int(rkj_parse_json(a, strlen(a), &o, NULL), RK_OK);
	json_object_del(json_object_get(o, "state"), "data");
	json_object_del(o, "check");
	char *text = rkj_text(o), hex[RK_SHA256_HEX];
	rk_sha256_of(text, strlen(text), hex);
	json_object_set_new(o, "check", json_string(hex));
	b = rkj_text(o);
	write_file("r/checkpoints/step-000000002/checkpoint.json", b);
	touch_row("valid.csv", 3);
	train_ok("--run-dir", "r", "--set", "training.steps=2", "job.yaml");
	touch_row("train.csv", 3);
	refuses("the training data: digest");
	free(a);
	free(b);
	free(text);
	json_decref(o);
}

/* --- behind the first steps ------------------------------------------------ */

T_CASE(behind_the_first_steps_a_change_is_found_before_anything_is_saved)
{
	setenv(BEHIND, "0", 1);
	write_tiny("job.yaml", TINY_ADAM);
	/* large enough that steps are done before the digest is */
	write_csv("train.csv", 60000, 40, 3);
	write_csv("valid.csv", 20, 40, 3);
	train_ok("--run-dir", "r", "--set", "training.steps=2", "job.yaml");
	file_has("out", "the data are known now");
	(void)!unlink("r/data.json");
	touch_row("train.csv", 7);
	refuses("the training data: digest");
	t_eq_int(access("r/data.json", F_OK), -1);
	train_ok("--run-dir", "r", "--accept", "data", "--set",
	    "training.steps=4", "job.yaml");
}

/* The order in which a run says things. */
T_CASE(no_checkpoint_is_committed_before_the_data_are_checked)
{
	setenv(BEHIND, "0", 1);
	write_tiny("job.yaml", TINY_ADAM);
	write_csv("train.csv", 60000, 40, 3);
	write_csv("valid.csv", 20, 40, 3);
	train_ok("--run-dir", "r", "--set", "training.steps=400", "--set",
	    "checkpoint.keep.last=1000", "job.yaml");
	char *out = read_text("out"), *p = strstr(out, "behind the first ");
	t_check(p != NULL);
	const long first = atol(p + strlen("behind the first "));
	t_check(first >= 0);
	DIR *d = opendir("r/checkpoints");
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		if (strncmp(e->d_name, "step-", 5) == 0)
			t_check(atol(e->d_name + 5) >= first);
	}
	closedir(d);
	free(out);
}

/* A change of a file counts as long as it is young. */
static void
age(void)
{
	usleep(2100000);
}

T_CASE(kept_digests_find_a_change_before_the_first_step)
{
	setenv(BEHIND, "0", 1);
	write_tiny("job.yaml", TINY_ADAM);
	write_csv("train.csv", 60000, 40, 3);
	write_csv("valid.csv", 20, 40, 3);
	train_ok("--run-dir", "r", "--set", "training.steps=2", "job.yaml");
	(void)!system("cp -r r other");
	touch_row("train.csv", 7);
	age();
	train_ok("--run-dir", "other", "--accept", "data", "--set",
	    "training.steps=3", "job.yaml");
	t_eq_int(rename("other/data.json", "r/data.json"), 0);
	char *before = read_text("r/metrics.jsonl");
	refuses("the training data");
	char *after = read_text("r/metrics.jsonl");
	t_eq_str(after, before);
	t_eq_int(count_in("out", "goes on from"), 0);
	free(before);
	free(after);
}

T_CASE(what_is_kept_and_is_no_good_is_passed_over)
{

	setenv(BEHIND, "0", 1);
	two_steps();
	/* files that have just been written are not kept */
	t_eq_int(access("r/data.json", F_OK), -1);
	age();
	train_ok("--run-dir", "r", "--set", "training.steps=2", "job.yaml");
	char *kept = read_text("r/data.json");
	t_has(kept, digest_of("train"));
	t_has(kept, digest_of("validation"));
	/* a digest that is not what was written: passed over */
	char *p = strstr(kept, digest_of("train"));
	*p = *p == 'a' ? 'b' : 'a';
	write_file("r/data.json", kept);
	train_ok("--run-dir", "r", "--set", "training.steps=2", "job.yaml");
	static const char *const junk[] = { "", "{", "[]", "{\"version\": 1}",
	    "{\"version\":1,\"key\":7,\"train\":null}" };
	for (size_t i = 0; i < RK_ARRAY_LEN(junk); i++) {
		write_file("r/data.json", junk[i]);
		train_ok("--run-dir", "r", "--set", "training.steps=2",
		    "job.yaml");
	}
	free(kept);
}

T_MAIN
