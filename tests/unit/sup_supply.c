/* Bytes that a job needs before its start, and that are elsewhere. */
#include "sup_supplier.h"

static bool
has_message(struct world *w)
{
	struct job_row r = w_row(w->id);
	bool yes = strstr(r.message, up.text) != NULL;

	store_job_fini(&r);
	return yes;
}

/* A job whose bytes do not come for now; its row says why. */
static char *
submit_far(const char *text)
{
	up.answer = RK_EBUSY;
	up.text = text;
	char *id = w_submit_tree(up_far_job("ok"));
	w_until(has_message, "the sentence in its row");
	return id;
}

/* A job that has all threads. */
static char *
submit_wide(void)
{
	json_t *tree = w_job("run");

	up_set(tree, "resources.threads", json_integer(4));
	char *id = w_submit_tree(tree);
	w_wait(id, JOB_RUNNING);
	return id;
}

T_CASE(without_a_supplier_what_is_elsewhere_is_refused_by_its_field)
{
	w_begin();
	json_t *tree = up_far_job("ok");
	up_set(tree, "model.checkpoint", json_string("https://h/m"));
	up_refused(json_deep_copy(tree), 2, "data.train.path",
	    "is s3://b/x, which this daemon cannot fetch");
	up_refused(tree, 2, "model.checkpoint", "https://h/m");
	up_refused(up_sent_job("ok", "s3://b/"), 1, "checkpoint.push",
	    "sends nothing");
	up_refused(up_sent_job("ok", NULL), 1, "checkpoint.require_remote",
	    "wants checkpoint.push or a mirror");
	w_close();
}

static char *
read_log(const char *id)
{
	char *path = xasprintf("%s/train.log", sup_job_dir(W.sup, id));
	char *text = NULL;
	size_t n;

	t_eq_int(rk_read_file(AT_FDCWD, path, 1 << 20, &text, &n), RK_OK);
	free(path);
	return text;
}

T_CASE(a_job_waits_for_its_bytes_while_those_behind_it_run)
{
	up_begin();
	char *far = submit_far("fetches s3://b/x, 43 %");
	w_says(far, "fetching", "fetches s3://b/x, 43 %");
	t_eq_int(w_state(far), JOB_QUEUED);
	char *near = w_submit_until("ok", JOB_SUCCEEDED);
	t_eq_int(w_state(far), JOB_QUEUED);
	up_answer(RK_OK, NULL);
	w_wait(far, JOB_SUCCEEDED);
	t_has(w_events(far), "[fetching] fetches s3://b/x, 43 %");
	char *log = read_log(far), *want = xasprintf("--file s3://b/x=%s\n",
	    W.data);
	t_has(log, want);
	free(want);
	free(log);
	free(far);
	free(near);
	w_close();
}

T_CASE(the_trainer_is_told_when_its_checkpoints_go_elsewhere)
{
	up_begin();
	for (int k = 0; k < 2; k++) {
		up.no_where = k == 1;
		char *id = w_submit_until("ok", JOB_SUCCEEDED);
		char *log = read_log(id);
		t_eq_int(strstr(log, "--sha256\n") != NULL, k == 0);
		free(log);
		free(id);
	}
	w_close();
}

static json_t *
records_at(const char *prefix)
{
	json_t *path = json_array();

	for (int i = 0; i < SPEC_MAX_FILES; i++) {
		char *uri = xasprintf("%s%d", prefix, i);
		json_array_append_new(path, json_string(uri));
		free(uri);
	}
	return json_pack("{s:s, s:o}", "type", "cifar", "path", path);
}

T_CASE(a_job_with_as_many_files_as_can_be_is_given_each)
{
	up_begin();
	json_t *tree = w_job("ok");
	up_set(tree, "data", json_pack("{s:o, s:o}", "train",
	    records_at("s3://b/t"), "validation", records_at("s3://b/v")));
	up_set(tree, "model.checkpoint", json_string("https://h/m"));
	char *id = w_submit_tree(tree);
	w_wait(id, JOB_SUCCEEDED);
	char *log = read_log(id);
	size_t n = 0;
	for (const char *at = log; (at = strstr(at, "--file ")) != NULL; at++)
		n++;
	t_eq_int(n, 2 * SPEC_MAX_FILES + 1);
	free(log);
	free(id);
	w_close();
}

T_CASE(it_is_asked_again_without_being_told)
{
	up_begin();
	char *far = submit_far("soon");
	up.answer = RK_OK;              /* and nobody says sup_supplied() */
	w_wait(far, JOB_SUCCEEDED);
	free(far);
	w_close();
}

T_CASE(how_far_a_fetch_is_is_written_now_and_then)
{
	static char text[100][40];

	up_begin();
	char *far = submit_far("fetches x, 0 %");
	struct job_row a = w_row(far);
	W.sup->supply_say_ms = 100000;
	for (int i = 0; i < 100; i++) {
		snprintf(text[i], sizeof(text[i]), "fetches x, %d %%", i);
		up_answer(RK_EBUSY, text[i]);
		w_spin(3);
	}
	struct job_row b = w_row(far);
	t_eq_int(b.version, a.version);
	W.sup->supply_say_ms = 20;
	w_until(has_message, "the newest number");
	/* Other words are worth more than other numbers. */
	W.sup->supply_say_ms = 200;
	int64_t begun = mono_ms();
	up_answer(RK_EBUSY, "waits for the store, which answers 503");
	w_until(has_message, "other words");
	t_check(mono_ms() - begun < 900);
	store_job_fini(&a);
	store_job_fini(&b);
	free(far);
	w_close();
}

T_CASE(what_can_never_be_fetched_fails_the_job)
{
	up_begin();
	up.answer = RK_EINVAL;
	up.text = "s3://b/x: there is no such object";
	char *far = w_submit_tree(up_far_job("ok"));
	w_wait(far, JOB_FAILED);
	w_says(far, "fetch", "there is no such object");
	/* Also when that turns out on the way, and there is no slot. */
	char *b = submit_far("on its way");
	char *wide = submit_wide();
	up_answer(RK_EINVAL, "its bytes are others than #sha256 says");
	w_wait(b, JOB_FAILED);
	w_says(b, "fetch", "its bytes are others");
	struct job_row r = w_row(b);
	t_eq_int(r.attempt, 0);
	t_check(r.ended_ms > 0);
	store_job_fini(&r);
	/* A person may try again. */
	up_answer(RK_OK, NULL);
	t_eq_int(sup_retry(W.sup, b, NULL, NULL), RK_OK);
	t_eq_int(sup_cancel(W.sup, wide, NULL, NULL), RK_OK);
	w_wait(b, JOB_SUCCEEDED);
	free(far);
	free(b);
	free(wide);
	w_close();
}

T_CASE(a_disk_that_is_full_while_fetching_pauses_once_and_goes_on)
{
	up_begin();
	up.answer = RK_ENOSPC;
	up.text = "no room for the 3 GiB of s3://b/x";
	char *far = w_submit_tree(up_far_job("ok"));
	w_wait(far, JOB_PAUSED);
	w_says(far, "disk_full", "no room for the 3 GiB of s3://b/x; goes on "
	    "by itself");
	struct job_row a = w_row(far);
	w_spin(150);                    /* disk_check_ms is 20 */
	struct job_row b = w_row(far);
	t_eq_int(b.version, a.version);
	up.answer = RK_OK;
	w_wait(far, JOB_SUCCEEDED);
	store_job_fini(&a);
	store_job_fini(&b);
	free(far);
	w_close();
}

T_CASE(nobody_makes_room_for_a_job_whose_bytes_are_not_there)
{
	up_begin();
	char *low = submit_wide();
	up.answer = RK_EBUSY;
	up.text = "on its way";
	json_t *tree = up_far_job("ok");
	json_object_set_new(tree, "priority", json_integer(9));
	char *far = w_submit_tree(tree);
	w_until(has_message, "the sentence in its row");
	w_spin(80);
	t_eq_int(w_state(low), JOB_RUNNING);
	t_check(strstr(w_events(low), "make room") == NULL);
	up_answer(RK_OK, NULL);
	w_wait(far, JOB_SUCCEEDED);
	t_has(w_events(low), "make room");
	free(low);
	free(far);
	w_close();
}

static bool
waits_for_turn(struct world *w)
{
	return strcmp(w_reason(w->id), "") == 0;
}

T_CASE(a_job_whose_bytes_have_come_says_that_it_waits_for_its_turn)
{
	up_begin();
	char *first = submit_wide();
	char *far = submit_far("on its way");
	up_answer(RK_OK, NULL);
	w_until(waits_for_turn, "another reason");
	t_eq_int(w_state(far), JOB_QUEUED);
	w_says(far, "", "waits for its turn");
	t_eq_int(sup_cancel(W.sup, first, NULL, NULL), RK_OK);
	w_wait(far, JOB_SUCCEEDED);
	free(first);
	free(far);
	w_close();
}

T_CASE(people_pause_and_cancel_jobs_that_fetch)
{
	up_begin();
	char *a = submit_far("on its way");
	char *b = submit_far("on its way");
	t_eq_int(sup_pause(W.sup, a, NULL, NULL), RK_OK);
	t_eq_int(sup_cancel(W.sup, b, NULL, NULL), RK_OK);
	up_answer(RK_OK, NULL);
	w_spin(60);
	t_eq_int(w_state(a), JOB_PAUSED);
	t_eq_str(w_reason(a), "user");
	t_eq_int(w_state(b), JOB_CANCELLED);
	t_check(W.sup->fetching == NULL);
	t_eq_int(sup_resume(W.sup, a, NULL, NULL, NULL, NULL), RK_OK);
	w_wait(a, JOB_SUCCEEDED);
	free(a);
	free(b);
	w_close();
}

/* The id of the last. */
static char *
submit_many_far(int n)
{
	char *id = NULL;

	up.answer = RK_EBUSY;
	up.text = "on its way";
	for (int i = 0; i < n; i++) {
		free(id);
		id = w_submit_tree(up_far_job("ok"));
	}
	return id;
}

T_CASE(hundreds_of_jobs_that_fetch_stop_nobody_for_long)
{
	up_begin();
	free(submit_many_far(60));
	char *near = w_submit_until("ok", JOB_SUCCEEDED);
	/* There is an end to how many are asked about at a time. */
	char *id = submit_many_far(40);
	w_spin(100);
	int n = 0;
	for (struct fetching *f = W.sup->fetching; f != NULL; f = f->next)
		n++;
	t_check(n >= 60 && n <= 64 + 4);
	up_answer(RK_OK, NULL);
	w_wait(id, JOB_SUCCEEDED);
	free(id);
	free(near);
	w_close();
}

T_CASE(a_supplier_that_forgets_a_file_starts_nothing)
{
	up_begin();
	struct sup_supplier p = up_supplier;
	p.supply = NULL;
	char *far = w_submit_tree(up_far_job("ok"));
	sup_supplier_set(W.sup, &p);
	w_wait(far, JOB_FAILED);
	w_says(far, "fetch", "data.train.path: is s3://b/x, which this "
	    "daemon cannot fetch");
	free(far);
	w_close();
}

T_MAIN
