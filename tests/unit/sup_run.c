/* The life of an attempt: how it goes, how it ends, what that means. */
#include "sup_fake.h"

T_CASE(a_job_runs_to_its_end_and_leaves_its_story)
{
	w_begin();
	char *id = w_submit("ok");
	w_wait(id, JOB_SUCCEEDED);
	struct job_row r = w_row(id);
	t_eq_int(r.attempt, 1);
	t_eq_int(r.failures, 0);
	t_check(r.started_ms > 0 && r.ended_ms >= r.started_ms);
	t_has(r.message, "finished at step 100");
	t_has(r.progress, "\"step\":100");
	t_has(r.progress, "\"checkpoint\":\"step-000000100\"");
	t_check(strstr(r.progress, "eta_seconds") == NULL);
	t_eq_str(w_attempts(id), "1:succeeded::1 ");
	const char *e = w_events(id);
	t_has(e, "[submitted] \"j\" was submitted");
	t_has(e, "[state] attempt 1 starts");
	t_has(e, "[state] attempt 1 runs from the start");
	t_has(e, "[checkpoint] saved step-000000100: step 100, ");
	t_has(e, "[state] finished at step 100");
	struct sup_totals t;
	sup_totals(W.sup, &t);
	t_eq_int(t.attempts, 1);
	t_eq_int(t.checkpoints, 1);
	char *path = xasprintf("%s/job.json", sup_job_dir(W.sup, id));
	t_check(access(path, R_OK) == 0);
	free(path);
	store_job_fini(&r);
	free(id);
	w_close();
}

static int
count_words(const char *text, const char *word)
{
	int n = 0;

	for (; (text = strstr(text, word)) != NULL; text += strlen(word))
		n++;
	return n;
}

/* What an attempt says that got no checkpoint behind it, the next one says
 * again. */
T_CASE(what_a_job_has_forgotten_is_kept_and_said_once)
{
	w_begin();
	char *id = w_submit("forgets forgets ok");
	w_wait(id, JOB_SUCCEEDED);
	struct job_row r = w_row(id);
	t_has(r.progress, "\"knowledge\":{\"before\":0.9,\"classes\":2,"
	    "\"forgotten\":[{\"before\":0.9,\"class\":2,\"name\":\"a b\","
	    "\"recall\":0.5,\"samples\":63}],\"largest_fall\":{");
	t_has(r.progress, "\"samples\":63},\"recall\":0.7,\"step\":90}");
	t_eq_int(count_words(w_events(id), "[forgotten]"), 1);
	store_job_fini(&r);
	free(id);
	/* Numbers that are none are not kept. */
	id = w_submit("wild ok");
	w_wait(id, JOB_SUCCEEDED);
	r = w_row(id);
	t_check(strstr(r.progress, "knowledge") == NULL);
	store_job_fini(&r);
	free(id);
	w_close();
}

static char heard[4096];

static void
hear(void *ctx, const char *job, char what)
{
	size_t n = strlen(heard);

	(void)ctx;
	(void)job;
	if (n + 2 < sizeof(heard)) {
		heard[n] = what;
		heard[n + 1] = '\0';
	}
}

T_CASE(a_listener_is_told_of_rows_events_progress_metrics_and_checkpoints)
{
	w_begin();
	sup_listen(W.sup, hear, NULL);
	int64_t before = sup_generation(W.sup, "x");
	char *id = w_submit("ok");
	int64_t submitted = sup_generation(W.sup, id);
	t_check(submitted > 0 && before == 0);
	w_wait(id, JOB_SUCCEEDED);
	t_check(sup_generation(W.sup, id) > submitted);
	for (const char *c = "sepmcl"; *c != '\0'; c++) {
		if (strchr(heard, *c) == NULL)
			t_fail("not told of '%c': %s", *c, heard);
	}
	sup_unlisten(W.sup, hear, NULL);
	heard[0] = '\0';
	free(w_submit("ok"));
	t_eq_str(heard, "");
	free(id);
	w_close();
}

T_CASE(a_crash_is_tried_again_and_after_retries_the_job_has_failed)
{
	w_begin();
	json_t *tree = w_job("crash");
	json_object_set_new(tree, "retries", json_integer(2));
	char *id = w_submit_tree(tree);
	w_wait(id, JOB_FAILED);
	struct job_row r = w_row(id);
	t_eq_int(r.attempt, 3);
	t_eq_int(r.failures, 3);
	t_eq_str(r.reason, "crashed");
	t_has(r.message, "signal 9");
	t_has(r.message, "crash 3 in a row");
	t_eq_str(w_attempts(id), "1:crashed::1 2:crashed::1 3:crashed::1 ");
	t_has(w_events(id), "crashed: signal 9 after step 0; will try again at "
	    "once (1 of 2)");
	t_has(w_events(id), "will try again in 0.02 s (2 of 2)");
	store_job_fini(&r);
	free(id);
	w_close();
}

T_CASE(a_crash_after_a_new_checkpoint_goes_on_from_it_at_once)
{
	w_begin();
	json_t *tree = w_job("save save save save ok");
	json_object_set_new(tree, "retries", json_integer(1));
	char *id = w_submit_tree(tree);
	w_wait(id, JOB_SUCCEEDED);
	t_eq_str(w_attempts(id), "1:crashed::1 2:crashed:step-000000010:1 "
	    "3:crashed:step-000000020:1 4:crashed:step-000000030:1 "
	    "5:succeeded:step-000000040:1 ");
	t_has(w_events(id), "crashed: signal 9 after step 10; will try again "
	    "at once (1 of 1)");
	free(id);
	w_close();
}

T_CASE(no_retries_are_no_retries)
{
	w_begin();
	json_t *tree = w_job("save");
	json_object_set_new(tree, "retries", json_integer(0));
	char *id = w_submit_tree(tree);
	w_wait(id, JOB_FAILED);
	t_eq_str(w_attempts(id), "1:crashed::1 ");
	free(id);
	w_close();
}

T_CASE(a_permanent_failure_is_final_at_once_with_the_trainers_sentence)
{
	w_begin();
	char *id = w_submit("bad");
	w_wait(id, JOB_FAILED);
	struct job_row r = w_row(id);
	t_eq_int(r.attempt, 1);
	t_eq_str(r.reason, "bad_data");
	t_has(r.message, "label 12 is out of range");
	t_eq_str(w_attempts(id), "1:failed::1 ");
	store_job_fini(&r);
	char *id3 = w_submit("exit3");
	w_wait(id3, JOB_FAILED);
	r = w_row(id3);
	t_eq_int(r.attempt, 1);
	t_has(r.message, "the job makes no sense");
	store_job_fini(&r);
	free(id3);
	free(id);
	w_close();
}

T_CASE(a_failure_that_may_pass_is_tried_again)
{
	w_begin();
	char *id = w_submit("soft die mum ok");
	w_wait(id, JOB_SUCCEEDED);
	t_eq_str(w_attempts(id), "1:failed::1 2:crashed::0 3:crashed::1 "
	    "4:succeeded::1 ");
	t_has(w_events(id), "crashed: cannot write; will try");
	t_has(w_events(id), "exit code 1 after step 0: all is lost; will try");
	t_has(w_events(id), "left without a word");
	free(id);
	w_close();
}

T_CASE(a_silent_trainer_is_killed_and_counts_as_stalled)
{
	w_prepare();
	W.c.stall_timeout_ms = 300;
	w_open();
	char *id = w_submit("stall ok");
	w_wait(id, JOB_SUCCEEDED);
	t_eq_str(w_attempts(id), "1:stalled::1 2:succeeded::1 ");
	t_has(w_events(id), "stalled: the trainer was silent for 0.3 s");
	struct sup_totals t;
	sup_totals(W.sup, &t);
	t_eq_int(t.stalls, 1);
	t_eq_int(t.crashes, 1);
	free(id);
	w_close();
}

T_CASE(a_trainer_that_says_no_hello_is_killed)
{
	w_prepare();
	W.c.start_timeout_ms = 500;
	w_open();
	json_t *tree = w_job("mute");
	json_object_set_new(tree, "retries", json_integer(1));
	char *id = w_submit_tree(tree);
	w_wait(id, JOB_FAILED);
	t_eq_str(w_attempts(id), "1:stalled::0 2:stalled::0 ");
	t_has(w_events(id), "no word for 0.5 s before hello");
	free(id);
	w_close();
}

T_CASE(a_trainer_that_says_it_is_alive_has_all_the_time_before_hello)
{
	w_prepare();
	W.c.start_timeout_ms = 1000;
	w_open();
	char *id = w_submit("slow");
	w_wait(id, JOB_SUCCEEDED);
	t_eq_str(w_attempts(id), "1:succeeded::1 ");
	free(id);
	w_close();
}

T_CASE(nonsense_on_the_wire_ends_the_attempt_and_not_the_daemon)
{
	w_prepare();
	W.c.stop_timeout_ms = 300;
	w_open();
	json_t *tree = w_job("garbage flood early close ok");
	json_object_set_new(tree, "retries", json_integer(9));
	char *id = w_submit_tree(tree);
	w_wait(id, JOB_SUCCEEDED);
	t_eq_str(w_attempts(id), "1:crashed::1 2:crashed::1 3:crashed::0 "
	    "4:crashed::1 5:succeeded::1 ");
	const char *e = w_events(id);
	t_has(e, "is not the protocol: the line is no object");
	t_has(e, "a line of more than");
	t_has(e, "\"progress\" before hello");
	t_has(e, "closed its line and did not leave");
	free(id);
	w_close();
}

T_CASE(a_trainer_that_cannot_be_started_is_a_crash_with_its_sentence)
{
	w_prepare();
	t_eq_int(symlink("/bin/true", "trainer"), 0);
	W.c.trainer = "./trainer";
	w_open();
	unlink("trainer");
	json_t *tree = w_job("ok");
	json_object_set_new(tree, "retries", json_integer(1));
	char *id = w_submit_tree(tree);
	w_wait(id, JOB_FAILED);
	struct job_row r = w_row(id);
	t_eq_int(r.attempt, 2);
	t_has(r.message, "No such file");
	store_job_fini(&r);
	free(id);
	w_close();
}

T_CASE(a_chatty_trainer_does_not_fill_the_store)
{
	w_begin();
	char *id = w_submit("chatty");
	w_wait(id, JOB_SUCCEEDED);
	const char *e = w_events(id);
	int n = 0;
	for (const char *at = e; (at = strstr(at, "[note]")) != NULL; at++)
		n++;
	t_eq_int(n, 200);
	t_has(e, "more to say");
	t_has(e, "[warm_start] loaded 2 of 4 tensors");
	struct job_row r = w_row(id);
	t_eq_str(r.plan_summary, "loaded 2 of 4 tensors");
	t_eq_str(r.plan, "{\"x\":1}");
	store_job_fini(&r);
	char *path = xasprintf("%s/train.log", sup_job_dir(W.sup, id)), *text;
	size_t len;
	t_eq_int(rk_read_file(AT_FDCWD, path, 1 << 20, &text, &len), RK_OK);
	t_has(text, "--- attempt 1");
	t_has(text, "warn a line of the log\n");
	free(text);
	free(path);
	free(id);
	w_close();
}

T_CASE(a_full_disk_pauses_the_job_and_it_goes_on_by_itself)
{
	w_begin();
	char *id = w_submit("full ok");
	w_wait(id, JOB_PAUSED);
	t_eq_str(w_reason(id), "disk_full");
	struct job_row r = w_row(id);
	t_eq_int(r.desired, JOB_RUN);
	t_eq_int(r.failures, 0);
	store_job_fini(&r);
	w_wait(id, JOB_SUCCEEDED);
	t_has(w_events(id), "there is room on the disk again");
	free(id);
	w_close();
}

T_CASE(a_job_that_waits_for_the_disk_needs_its_reserve_and_a_restart_knows)
{
	w_prepare();
	W.c.disk_reserve = UINT64_MAX / 2;
	w_open();
	char *id = w_submit("full ok");
	w_wait(id, JOB_PAUSED);
	w_spin(200);
	t_eq_int(w_state(id), JOB_PAUSED);
	w_close();
	W.c.disk_reserve = 1;
	w_open();
	w_wait(id, JOB_SUCCEEDED);
	free(id);
	w_close();
}

T_CASE(a_pause_or_cancel_while_waiting_for_the_disk_is_honoured)
{
	w_prepare();
	W.c.disk_reserve = UINT64_MAX / 2;
	w_open();
	char *a = w_submit("full ok"), *b = w_submit("full ok");
	w_wait(a, JOB_PAUSED);
	w_wait(b, JOB_PAUSED);
	t_eq_int(sup_pause(W.sup, a, NULL, NULL), RK_OK);
	t_eq_int(sup_cancel(W.sup, b, NULL, NULL), RK_OK);
	t_eq_str(w_reason(a), "user");
	t_eq_int(w_state(b), JOB_CANCELLED);
	w_close();
	W.c.disk_reserve = 1;
	w_open();
	w_spin(200);
	t_eq_int(w_state(a), JOB_PAUSED);
	t_eq_int(w_state(b), JOB_CANCELLED);
	free(a);
	free(b);
	w_close();
}

T_CASE(only_the_edges_of_the_picture_can_be_moved_along)
{
	t_check(job_may(JOB_QUEUED, JOB_STARTING));
	t_check(job_may(JOB_RUNNING, JOB_PAUSED));
	t_check(!job_may(JOB_SUCCEEDED, JOB_RUNNING));
	t_check(!job_may(JOB_QUEUED, JOB_RUNNING));
	t_check(!job_may(JOB_HELD, JOB_STARTING));
	for (int from = 0; from < JOB_STATES; from++)
		t_check(!job_may((enum job_state)from, (enum job_state)from));
	w_begin();
	char *id = w_submit("ok");
	w_wait(id, JOB_SUCCEEDED);
	struct job_row r = w_row(id);
	struct cause c = { "test", "", "", NULL, NULL, NULL };
	t_aborts((void)!sup_move(W.sup, &r, JOB_RUNNING, NULL, &c));
	store_job_fini(&r);
	free(id);
	w_close();
}

T_MAIN
