/* What a watcher decides, and how wide its words are. */
#include "cli.h"
#include "t.h"

static enum cli_verdict
of(const char *state, const char *desired, const char *reason,
    const char *draining)
{
	const struct cli_seen s = { state, desired, reason, draining };

	return cli_judge_job(&s);
}

T_CASE(an_ended_job_ends_the_watch_with_its_own_code)
{
	t_eq_int(of("succeeded", "run", "", ""), CLI_SUCCEEDED);
	t_eq_int(of("failed", "run", "crashed", ""), CLI_ENDED_BADLY);
	t_eq_int(of("cancelled", "cancel", "user", ""), CLI_ENDED_BADLY);
	/* Also where the daemon is about to go. */
	t_eq_int(of("succeeded", "run", "", "preempted"), CLI_SUCCEEDED);
	t_eq_int(cli_verdicts[CLI_SUCCEEDED].code, 0);
	t_eq_int(cli_verdicts[CLI_ENDED_BADLY].code, 5);
	t_eq_int(cli_verdicts[CLI_NEEDS_PERSON].code, 6);
	t_eq_int(cli_verdicts[CLI_MACHINE_GONE].code, 7);
}

T_CASE(what_waits_for_a_person_ends_the_watch)
{
	static const char *const words[] = { "data_changed",
	    "checkpoints_missing", "checkpoints_unreadable",
	    "arithmetic_changed", "too_large" };

	t_eq_int(of("held", "run", "hold", ""), CLI_NEEDS_PERSON);
	t_eq_int(of("paused", "pause", "user", ""), CLI_NEEDS_PERSON);
	/* A wish to pause goes before the reason that was there already. */
	t_eq_int(of("paused", "pause", "disk_full", ""), CLI_NEEDS_PERSON);
	for (size_t i = 0; i < RK_ARRAY_LEN(words); i++) {
		t_eq_int(of("paused", "run", words[i], ""), CLI_NEEDS_PERSON);
		t_eq_int(of("queued", "run", words[i], ""), CLI_NEEDS_PERSON);
		t_eq_int(of("paused", "run", words[i], "drain"),
		    CLI_NEEDS_PERSON);
	}
	/* A pause whose reason nobody here knows may be for good. */
	t_eq_int(of("paused", "run", "a_new_word", ""), CLI_NEEDS_PERSON);
}

T_CASE(what_passes_by_itself_is_watched_on)
{
	static const char *const words[] = { "priority", "disk_full",
	    "read_only", "uploading", "fetching", "interrupted" };
	static const char *const queued[] = { "", "user", "crashed", "stalled",
	    "no_means", "shutdown", "drain", "preempted", "out_of_memory",
	    "a_new_word" };

	for (size_t i = 0; i < RK_ARRAY_LEN(words); i++)
		t_eq_int(of("paused", "run", words[i], ""), CLI_GOES_ON);
	for (size_t i = 0; i < RK_ARRAY_LEN(queued); i++)
		t_eq_int(of("queued", "run", queued[i], ""), CLI_GOES_ON);
	/* On its way to a pause, or to a wish that is not met yet. */
	t_eq_int(of("running", "pause", "", ""), CLI_GOES_ON);
	t_eq_int(of("running", "cancel", "", ""), CLI_GOES_ON);
	t_eq_int(of("starting", "run", "", ""), CLI_GOES_ON);
	t_eq_int(of("a_new_state", "run", "", ""), CLI_GOES_ON);
}

T_CASE(a_daemon_that_takes_no_work_ends_the_watch_of_what_it_does_not_run)
{
	static const char *const gone[] = { "drain", "preempted",
	    "taken_over" };

	for (size_t i = 0; i < RK_ARRAY_LEN(gone); i++) {
		t_eq_int(of("running", "run", "", gone[i]), CLI_GOES_ON);
		t_eq_int(of("queued", "run", gone[i], gone[i]),
		    CLI_MACHINE_GONE);
		/* One that had not begun, too. */
		t_eq_int(of("queued", "run", "", gone[i]), CLI_MACHINE_GONE);
		t_eq_int(of("paused", "run", "disk_full", gone[i]),
		    CLI_MACHINE_GONE);
		/* What is on its way to the bucket may still get there. */
		t_eq_int(of("paused", "run", "uploading", gone[i]),
		    CLI_UNTIL_LIMIT);
	}
	t_eq_int(of("queued", "run", "shutdown", "shutdown"), CLI_UNTIL_LIMIT);
	t_eq_int(of("queued", "run", "", "a_new_word"), CLI_UNTIL_LIMIT);
	t_eq_int(cli_verdicts[CLI_UNTIL_LIMIT].code, 7);
	t_check(!cli_verdicts[CLI_UNTIL_LIMIT].over);
}

T_CASE(a_text_is_as_wide_as_a_terminal_shows_it)
{
	t_eq_int(cli_width(""), 0);
	t_eq_int(cli_width("tiny running"), 12);
	t_eq_int(cli_width("\xc3\xa9t\xc3\xa9"), 3);              /* été */
	t_eq_int(cli_width("\xe8\xae\xad\xe7\xbb\x83"), 4);       /* two wide */
	t_eq_int(cli_width("e\xcc\x81"), 1);              /* a combining mark */
	t_eq_int(cli_width("\xf0\x9f\x94\xa5"), 2);
	/* Not UTF-8, cut short, a control character: a column a byte. */
	t_eq_int(cli_width("a\xff\xfe"), 3);
	t_eq_int(cli_width("\xe8\xae"), 2);
	t_eq_int(cli_width("\x01"), 1);
}

static void
cut_is(const char *s, size_t columns, const char *want)
{
	char buf[64];

	snprintf(buf, sizeof(buf), "%s", s);
	cli_cut(buf, columns);
	t_eq_str(buf, want);
}

T_CASE(a_text_is_cut_between_characters)
{
	cut_is("tiny running", 12, "tiny running");
	cut_is("tiny running", 4, "tiny");
	cut_is("tiny", 0, "");
	cut_is("\xe8\xae\xad\xe7\xbb\x83", 4, "\xe8\xae\xad\xe7\xbb\x83");
	cut_is("\xe8\xae\xad\xe7\xbb\x83", 3, "\xe8\xae\xad");
	cut_is("\xe8\xae\xad\xe7\xbb\x83", 1, "");
	/* A mark stays with its letter. */
	cut_is("e\xcc\x81x", 1, "e\xcc\x81");
}

T_CASE(the_columns_are_the_terminals_or_those_of_COLUMNS)
{
	int fd[2];

	t_eq_int(pipe(fd), 0);
	setenv("COLUMNS", "57", 1);
	t_eq_int(cli_columns(fd[0]), 57);
	setenv("COLUMNS", "0", 1);
	t_eq_int(cli_columns(fd[0]), 80);
	setenv("COLUMNS", "-3", 1);
	t_eq_int(cli_columns(fd[0]), 80);
	setenv("COLUMNS", "99999999999999999999", 1);
	t_eq_int(cli_columns(fd[0]), 80);
	setenv("COLUMNS", "12x", 1);
	t_eq_int(cli_columns(fd[0]), 80);
	unsetenv("COLUMNS");
	t_eq_int(cli_columns(fd[0]), 80);
}

static json_t *
a_job(void)
{
	return json_pack("{s:s, s:{s:i, s:i, s:i, s:i, s:f, s:f, s:f, s:f, "
	    "s:{s:f, s:f}}}", "name", "tiny", "progress", "step", 500,
	    "steps_total", 1000, "epoch", 5, "epochs_total", 10, "loss", 0.1734,
	    "accuracy", 0.938, "samples_per_second", 12345.0, "eta_seconds",
	    83.0, "metrics", "val_loss", 0.33, "val_accuracy", 0.883);
}

T_CASE(a_line_names_validation_beside_training)
{
	json_t *job = a_job();
	struct strbuf b = { 0 };

	cli_progress_line(&b, job, 4, 0);
	t_eq_str(b.s, "[##--]   50%  epoch 5/10  step 500/1,000  loss 0.1734  "
	    "acc 0.938  val_loss 0.3300  val_accuracy 0.883  "
	    "12,345 samples/s  0:01:23 left");
	sb_fini(&b);
	json_decref(job);
}

T_CASE(what_is_not_known_is_left_out_of_a_line)
{
	/* Of a length in steps, after a start and before a step was timed. */
	json_t *job = json_pack("{s:{s:i, s:i, s:i, s:i, s:f, s:f, s:f}}",
	    "progress", "step", 500, "steps_total", 1000, "epoch", 0,
	    "epochs_total", 0, "loss", 0.1734, "samples_per_second", 0.0,
	    "eta_seconds", 0.0);
	struct strbuf b = { 0 };

	cli_progress_line(&b, job, 0, 0);
	t_eq_str(b.s, " 50%  step 500/1,000  loss 0.1734");
	json_object_set_new(json_object_get(job, "progress"), "epoch",
	    json_integer(3));
	sb_reset(&b);
	cli_progress_line(&b, job, 0, 0);
	t_eq_str(b.s, " 50%  epoch 3  step 500/1,000  loss 0.1734");
	sb_fini(&b);
	json_decref(job);
}

T_CASE(a_narrow_line_keeps_the_validation_longest)
{
	json_t *job = a_job();

	for (size_t room = 1; room < 140; room++) {
		struct strbuf b = { 0 };
		cli_progress_line(&b, job, 8, room);
		t_check(strstr(b.s, "50%") != NULL);
		if (room >= 4)
			t_check(cli_width(b.s) <= room);
		t_eq_int(strstr(b.s, "val_accuracy 0.883") != NULL,
		    room >= 24);
		if (room >= 35)
			t_check(strstr(b.s, "acc 0.938") != NULL);
		sb_fini(&b);
	}
	json_decref(job);
}

T_CASE(a_job_without_figures_has_a_whole_line)
{
	json_t *job = json_pack("{s:s, s:{}}", "name", "tiny", "progress");
	struct strbuf b = { 0 };

	cli_progress_line(&b, job, 0, 10);
	t_eq_str(b.s, "  0%");
	sb_reset(&b);
	cli_outcome(&b, job, 0);
	t_eq_str(sb_str(&b), "");
	sb_fini(&b);
	json_decref(job);
}

static void
outcome_is(const char *progress, size_t room, const char *want)
{
	json_t *job = json_pack("{s:s, s:o}", "state", "succeeded", "progress",
	    json_loads(progress, 0, NULL));
	struct strbuf b = { 0 };

	cli_outcome(&b, job, room);
	t_eq_str(b.s, want);
	sb_fini(&b);
	json_decref(job);
}

T_CASE(the_last_line_tells_validation_from_training)
{
	static const char all[] = "{\"step\": 938, \"loss\": 0.21, "
	    "\"accuracy\": 0.938, \"metrics\": {\"val_loss\": 0.33, "
	    "\"val_accuracy\": 0.883}}";

	outcome_is(all, 0, "succeeded at step 938: val_accuracy 0.883, "
	    "val_loss 0.3300; accuracy 0.938, loss 0.2100 in training");
	outcome_is(all, 86, "succeeded at step 938: val_accuracy 0.883, "
	    "val_loss 0.3300; accuracy 0.938 in training");
	outcome_is(all, 79, "succeeded at step 938: val_accuracy 0.883, "
	    "val_loss 0.3300");
	outcome_is(all, 42, "succeeded at step 938: val_accuracy 0.883");
	outcome_is(all, 30, "succeeded: val_accuracy 0.883");
	outcome_is(all, 20, "succeeded:\nval_accuracy 0.883");
	outcome_is("{\"step\": 938, \"loss\": 0.21, \"metrics\": "
	    "{\"val_loss\": 0.33}}", 0, "succeeded at step 938: "
	    "val_loss 0.3300; loss 0.2100 in training");
	outcome_is("{\"step\": 9380, \"loss\": 0.21, \"accuracy\": 0.9}", 0,
	    "succeeded at step 9,380: accuracy 0.900, loss 0.2100 in training");
	outcome_is("{\"step\": 9380, \"loss\": 0.21}", 34,
	    "succeeded: loss 0.2100 in training");
	outcome_is("{}", 0, "succeeded");
}

T_MAIN
