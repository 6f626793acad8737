/* Checkpoints go up: whole, once, and again after a kill. */
#include "impl.h"
#include "ship_world.h"

T_CASE(a_committed_checkpoint_is_pushed_and_verified)
{
	s_begin();
	char *id = s_job(3);
	s_push(id, 100);
	t_check(s_there(id, "step-000000100/model.safetensors"));
	t_check(s_there(id, "step-000000100/optimizer.safetensors"));
	t_check(s_there(id, "step-000000100/remote.json"));
	char *there = s_read(s_path(id, "step-000000100/checkpoint.json"));
	char *local = xasprintf("%s/jobs/%s/checkpoints/step-000000100/"
	    "checkpoint.json", S.state, id);
	char *here = s_read(local);
	t_eq_str(there, here);
	t_has(w_events(id), "[pushed] step 100 is in the bucket");
	json_t *o = ship_durability(S.ship, id, "step-000000100");
	t_check(json_is_string(json_object_get(o, "verified_at")));
	t_check(json_is_string(json_object_get(o, "uri")));
	json_decref(o);
	t_check(ship_remote_age(S.ship, id) >= 0);
	free(there);
	free(here);
	free(local);
	s_close();
}

T_CASE(a_checkpoint_of_a_job_that_goes_nowhere_is_local)
{
	s_prepare();
	S.c.prefix = NULL;
	s_open();
	char *id = s_job(3);
	s_save(id, 100);
	w_spin(50);
	t_eq_str(s_state(id, "step-000000100"), "local");
	t_eq_int(entries("bucket"), 0);
	s_close();
}

T_CASE(the_prefix_of_a_job_wins)
{
	s_begin();
	json_t *t = w_job("ok");
	char *own = xasprintf("%sown", S.prefix);
	json_object_set_new(t, "hold", json_true());
	json_object_set_new(t, "checkpoint", json_pack("{s:s}", "push", own));
	char *id = w_submit_tree(t);
	s_push(id, 100);
	char *path = xasprintf("bucket/own/jobs/%s/checkpoints/step-000000100/"
	    "checkpoint.json", id);
	t_check(access(path, F_OK) == 0);
	free(path);
	free(own);
	s_close();
}

T_CASE(a_file_that_did_not_change_is_sent_once)
{
	struct ship_stats st;

	s_begin();
	char *id = s_job(5);
	s_push_as(id, 100, 7);
	ship_stats(S.ship, &st);
	uint64_t before = st.pushed_bytes;
	s_push_as(id, 200, 7);
	t_check(s_there(id, "step-000000200/model.safetensors"));
	t_check(!s_there(id, "step-000000200/optimizer.safetensors"));
	char *note = s_read(s_path(id, "step-000000200/remote.json"));
	t_has(note, "\"folder\": \"step-000000100\"");
	free(note);
	ship_stats(S.ship, &st);
	t_check(st.pushed_bytes < 2 * before);
	t_eq_int(st.verified, 2);
	s_close();
}

T_CASE(a_file_that_others_refer_to_outlives_its_checkpoint)
{
	s_begin();
	char *id = s_job(1);
	s_push_as(id, 100, 7);
	s_push_as(id, 200, 7);
	s_wait_gone(id, "step-000000100");
	t_check(!s_there(id, "step-000000100/checkpoint.json"));
	t_check(!s_there(id, "step-000000100/model.safetensors"));
	t_check(!s_there(id, "step-000000100/remote.json"));
	t_check(s_there(id, "step-000000100/optimizer.safetensors"));
	/* And goes with the last that needs it. */
	s_push_as(id, 300, 8);
	s_wait_gone(id, "step-000000200");
	t_check(!s_there(id, "step-000000100/optimizer.safetensors"));
	s_close();
}

T_CASE(a_folder_with_something_else_in_it_is_left_alone)
{
	s_begin();
	char *id = s_job(3);
	s_write(s_path(id, "step-000000100/checkpoint.json"), "of another");
	s_push(id, 100);
	t_check(s_there(id, "step-000000100-r2/checkpoint.json"));
	s_holds(s_path(id, "step-000000100/checkpoint.json"), "of another");
	t_check(!s_there(id, "step-000000100/model.safetensors"));
	s_close();
}

T_CASE(a_folder_that_somebody_has_claimed_is_left_alone)
{
	s_begin();
	char *id = s_job(3);
	s_write(s_path(id, "step-000000100/remote.json"), "{\"version\": 1}");
	s_write(s_path(id, "step-000000100/model.safetensors"), "theirs");
	s_push(id, 100);
	t_check(s_there(id, "step-000000100-r2/checkpoint.json"));
	s_holds(s_path(id, "step-000000100/model.safetensors"), "theirs");
	s_close();
}

T_CASE(an_epoch_is_in_the_name_of_the_folder)
{
	s_prepare();
	S.epoch = 3;
	s_open();
	char *id = s_job(3);
	s_push(id, 100);
	t_check(s_there(id, "step-000000100-e3/checkpoint.json"));
	s_close();
}

/* An older folder may be on its way out by the owner before us. */
T_CASE(across_epochs_only_the_newest_is_referred_to)
{
	s_prepare();
	S.epoch = 1;
	s_open();
	char *id = s_job(9);
	s_push_as(id, 100, 7);
	s_push_as(id, 200, 8);
	s_close();
	S.epoch = 2;
	s_open();
	s_push_as(id, 300, 7);
	t_check(s_there(id, "step-000000300-e2/optimizer.safetensors"));
	s_push_as(id, 400, 8);
	t_check(!s_there(id, "step-000000400-e2/optimizer.safetensors"));
	s_close();
}

T_CASE(nothing_is_written_before_go_nor_after_stop)
{
	s_prepare();
	S.held_back = true;
	s_open();
	char *id = s_job(3);
	s_save(id, 100);
	w_spin(50);
	t_eq_int(entries("bucket"), 0);
	ship_go(S.ship, 0);
	s_wait(id, "step-000000100", "verified");
	ship_stop(S.ship);
	s_save(id, 200);
	w_spin(50);
	t_eq_str(s_state(id, "step-000000200"), "local");
	s_close();
}

T_CASE(what_was_committed_while_no_daemon_was_there_is_pushed)
{
	s_begin();
	char *id = s_job(2);
	s_close();
	s_save(id, 100);
	s_save(id, 200);
	s_save(id, 300);
	s_open();
	s_wait(id, "step-000000300", "verified");
	s_wait(id, "step-000000200", "verified");
	/* Retention would not keep it. */
	t_eq_str(s_state(id, "step-000000100"), "local");
	t_check(!s_there(id, "step-000000100"));
	s_close();
}

/* Killed at every few hundred microseconds, and at last let finish. */
T_CASE(a_push_that_was_killed_goes_on)
{
	s_begin();
	char *id = s_job(20);
	s_close();
	for (int k = 1; k <= 8; k++) {
		const char *dir = s_dir(k * 100);
		char *json = xasprintf("%s/checkpoint.json", dir);
		char *again = xasprintf("%s-r2", dir);
		s_save(id, k * 100);
		for (int n = 0; n < 4; n++)
			s_killed((useconds_t)(k * 300 + n * 2500));
		s_open();
		s_wait(id, dir, "verified");
		t_check(s_there(id, json));
		t_check(!s_there(id, again));
		s_close();
		free(again);
		free(json);
	}
}

/* Deletions that are cut off are finished, and take nothing else along. */
T_CASE(a_deletion_that_was_killed_is_finished)
{
	s_begin();
	char *id = s_job(1);
	s_close();
	for (int k = 1; k <= 8; k++) {
		s_save_as(id, k * 100, 7, NULL);
		for (int n = 0; n < 6; n++)
			s_killed((useconds_t)(k * 500 + n * 4000));
	}
	s_open();
	s_wait(id, "step-000000800", "verified");
	for (int k = 1; k <= 7; k++) {
		char *json = xasprintf("%s/checkpoint.json", s_dir(k * 100));
		s_wait_gone(id, s_dir(k * 100));
		t_check(!s_there(id, json));
		free(json);
	}
	struct rows rows;
	rows_load(S.ship, id, 0, &rows);
	t_eq_int(rows.n, 1);
	struct rfiles f;
	rfiles_parse(&f, rows.v[0].files);
	for (int i = 0; i < f.n; i++)
		t_check(access(f.v[i].uri + strlen("file://"), R_OK) == 0);
	rfiles_fini(&f);
	rows_fini(&rows);
	s_close();
}

T_CASE(trouble_is_told_once_and_its_end_once)
{
	s_begin();
	char *id = s_job(3);
	s_bucket_goes();
	s_save(id, 100);
	s_wait_event(id, "[push_failing]");
	w_spin(150);
	t_eq_int(s_count(w_events(id), "[push_failing]"), 1);
	s_bucket_is_back();
	s_wait(id, "step-000000100", "verified");
	t_eq_int(s_count(w_events(id), "[push_works]"), 1);
	s_close();
}

T_CASE(local_retention_does_not_take_files_from_a_push)
{
	s_begin();
	char *id = s_job(3);
	s_save(id, 100);
	W.id = id;
	s_want_dir = "step-000000100";
	s_want_state = "uploading";
	w_until(s_is_state, "uploading");
	s_lose(id, "checkpoints/step-000000100");
	s_wait(id, "step-000000100", "verified");
	s_close();
}

T_CASE(what_is_gone_before_it_was_begun_is_forgotten)
{
	s_begin();
	char *id = s_job(3);
	s_bucket_goes();
	s_save(id, 100);
	s_wait_event(id, "[push_failing]");
	s_lose(id, "checkpoints/step-000000100");
	s_bucket_is_back();
	s_wait_gone(id, "step-000000100");
	s_close();
}

T_CASE(remote_retention_follows_the_local_rules)
{
	s_begin();
	char *id = s_job(2);
	s_save_as(id, 100, 1, "keep-me");
	s_wait(id, "step-000000100", "verified");
	for (int k = 2; k <= 5; k++)
		s_push(id, k * 100);
	s_wait_gone(id, "step-000000200");
	s_wait_gone(id, "step-000000300");
	t_check(!s_there(id, "step-000000200/checkpoint.json"));
	t_check(!s_there(id, "step-000000300/checkpoint.json"));
	t_eq_str(s_state(id, "step-000000100"), "verified");
	t_eq_str(s_state(id, "step-000000400"), "verified");
	t_eq_str(s_state(id, "step-000000500"), "verified");
	s_close();
}

static int asked;
static bool say;
static ship_answer_fn *the_answer;
static void *the_actx;

static void
guard(void *ctx, ship_answer_fn *answer, void *actx)
{
	(void)ctx;
	asked++;
	the_answer = answer;
	the_actx = actx;
}

static bool
was_asked(struct world *w)
{
	(void)w;
	return the_answer != NULL;
}

T_CASE(nothing_is_deleted_without_the_word_of_the_guard)
{
	s_prepare();
	S.held_back = true;
	s_open();
	ship_guard_set(S.ship, guard, NULL);
	ship_go(S.ship, 0);
	char *id = s_job(1);
	s_push(id, 100);
	s_push(id, 200);
	w_until(was_asked, "a question");
	w_spin(50);
	t_check(s_there(id, "step-000000100/checkpoint.json"));
	ship_answer_fn *fn = the_answer;
	the_answer = NULL;
	fn(the_actx, say);
	w_spin(5);
	t_check(s_there(id, "step-000000100/checkpoint.json"));
	w_until(was_asked, "another question");
	the_answer(the_actx, true);
	the_answer = NULL;
	s_wait_gone(id, "step-000000100");
	t_check(!s_there(id, "step-000000100/checkpoint.json"));
	t_eq_int(asked, 2);
	s_close();
}

static char *sharing;           /* the job */

/* Each that can be seen is whole, whichever goes first. */
static bool
both_are_gone(struct world *w)
{
	bool any = false;

	(void)w;
	for (int k = 1; k <= 2; k++) {
		char *json = xasprintf("%s/checkpoint.json", s_dir(k * 100));
		const bool there = s_there(sharing, json);
		t_check(!there || s_there(sharing,
		    "step-000000100/optimizer.safetensors"));
		any |= there;
		free(json);
	}
	return !any;
}

T_CASE(a_file_of_two_that_go_stays_until_the_second_has_gone)
{
	s_prepare();
	S.held_back = true;
	s_open();
	ship_guard_set(S.ship, guard, NULL);
	ship_go(S.ship, 0);
	sharing = s_job(1);
	s_push_as(sharing, 100, 7);
	s_push_as(sharing, 200, 7);
	s_push_as(sharing, 300, 8);
	for (int k = 0; k < 2; k++) {
		/* A batch is what was on its way out before the question. */
		w_until(was_asked, "a question");
		ship_answer_fn *fn = the_answer;
		the_answer = NULL;
		fn(the_actx, k == 1);
	}
	w_until(both_are_gone, "both are gone");
	s_wait_gone(sharing, "step-000000100");
	s_wait_gone(sharing, "step-000000200");
	t_check(!s_there(sharing, "step-000000100/optimizer.safetensors"));
	s_close();
}

T_CASE(what_is_not_ours_is_not_deleted)
{
	s_begin();
	char *id = s_job(1);
	s_push(id, 100);
	/* Somebody else has it now. */
	s_write(s_path(id, "step-000000100/remote.json"), "{\"version\": 1}");
	s_push(id, 200);
	s_wait_gone(id, "step-000000100");
	t_check(s_there(id, "step-000000100/checkpoint.json"));
	s_close();
}

T_CASE(the_objects_of_a_deleted_job_go)
{
	s_begin();
	char *id = s_job(3);
	s_push(id, 100);
	struct rk_why why = {0};
	t_eq_int(sup_cancel(W.sup, id, NULL, &why), RK_OK);
	w_wait(id, JOB_CANCELLED);
	t_eq_int(sup_delete(W.sup, id, NULL, &why), RK_OK);
	s_wait_gone(id, "step-000000100");
	t_check(!s_there(id, "step-000000100/checkpoint.json"));
	t_check(!s_there(id, "step-000000100/model.safetensors"));
	s_close();
}

T_CASE(a_name_given_later_is_sent)
{
	s_begin();
	char *id = s_job(3);
	s_push(id, 100);
	struct ckpt *c = s_folder(id);
	t_eq_int(ckpt_name(c, "step-000000100", "good-one"), RK_OK);
	ckpt_close(&c);
	ship_look(S.ship, id);
	for (int i = 0; i < 100 && !s_there(id, "step-000000100/names.json");
	    i++)
		w_spin(10);
	s_holds(s_path(id, "step-000000100/names.json"),
	    "{\"names\":[\"good-one\"]}");
	s_close();
}

T_CASE(a_damaged_file_in_the_bucket_is_sent_again_while_it_is_here)
{
	s_begin();
	char *id = s_job(3);
	s_push(id, 100);
	s_close();
	t_eq_int(truncate(s_path(id, "step-000000100/model.safetensors"), 9),
	    0);
	s_prepare();
	W.c.held = false;
	s_open();
	struct rows rows;
	rows_load(S.ship, id, 0, &rows);
	t_eq_int(rows.n, 1);
	rows.v[0].state = RS_REMOTE;    /* not verified yet, it thinks */
	t_check(row_save(S.ship, &rows.v[0]));
	rows_fini(&rows);
	queue_kick(S.ship);
	s_wait(id, "step-000000100", "verified");
	struct stat st;
	t_eq_int(stat(s_path(id, "step-000000100/model.safetensors"), &st), 0);
	t_check(st.st_size > 9);
	s_close();
}

T_CASE(metrics_and_evaluations_go_along)
{
	s_begin();
	char *id = s_job(3);
	char *path = xasprintf("%s/jobs/%s/metrics.jsonl", S.state, id);
	char *judged = xasprintf("%s/jobs/%s/evaluations.jsonl", S.state,
	    id);
	s_write(path, "{\"step\": 1}\n{\"step\": 2}\n{\"st");
	s_write(judged, "{\"evaluation\":1}\n{\"ev");
	s_push(id, 100);
	s_holds(s_path(id, "step-000000100/metrics.jsonl"),
	    "{\"step\": 1}\n{\"step\": 2}\n");
	s_holds(s_path(id, "step-000000100/evaluations.jsonl"),
	    "{\"evaluation\":1}\n");
	free(judged);
	free(path);
	s_close();
}

T_MAIN
