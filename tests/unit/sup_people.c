/* What people may ask of a job in each of its states, and what comes of it. */
#include "sup_fake.h"

static void
conflict(enum rk_err rc, const struct rk_why *why, const char *word)
{
	t_eq_int(rc, RK_ECONFLICT);
	t_has(rk_why_first(why), word);
}

#define CONFLICT(call, word)                                            \
	do {                                                            \
		struct rk_why why = { 0 };                              \
		enum rk_err got = call;                                 \
		conflict(got, &why, word);                              \
		rk_why_fini(&why);                                      \
	} while (0)

T_CASE(a_held_job_waits_for_its_start_and_can_be_cancelled)
{
	w_begin();
	json_t *tree = w_job("ok");
	json_object_set_new(tree, "hold", json_true());
	char *a = w_submit_tree(json_deep_copy(tree)), *b = w_submit_tree(tree);
	w_spin(50);
	t_eq_int(w_state(a), JOB_HELD);
	t_eq_str(w_reason(a), "hold");
	CONFLICT(sup_pause(W.sup, a, NULL, &why), "is held");
	CONFLICT(sup_resume(W.sup, a, NULL, NULL, NULL, &why), "start it");
	CONFLICT(sup_retry(W.sup, a, NULL, &why), "neither failed");
	CONFLICT(sup_delete(W.sup, a, NULL, &why), "only what has ended");
	t_eq_int(sup_start(W.sup, a, NULL, NULL), RK_OK);
	w_wait(a, JOB_SUCCEEDED);
	CONFLICT(sup_start(W.sup, a, NULL, &why), "is succeeded");
	t_eq_int(sup_cancel(W.sup, b, NULL, NULL), RK_OK);
	t_eq_int(w_state(b), JOB_CANCELLED);
	free(a);
	free(b);
	w_close();
}

T_CASE(a_queued_job_is_paused_and_cancelled_at_once)
{
	w_prepare();
	W.c.threads = 1;
	w_open();
	char *busy = w_submit("run");
	w_wait_step(busy, 1);
	char *a = w_submit("ok"), *b = w_submit("ok");
	t_eq_int(sup_pause(W.sup, a, NULL, NULL), RK_OK);
	t_eq_int(w_state(a), JOB_PAUSED);
	t_eq_str(w_reason(a), "user");
	t_eq_int(sup_pause(W.sup, a, NULL, NULL), RK_OK);
	t_eq_int(sup_cancel(W.sup, b, NULL, NULL), RK_OK);
	t_eq_int(w_state(b), JOB_CANCELLED);
	t_eq_int(sup_cancel(W.sup, b, NULL, NULL), RK_OK);
	CONFLICT(sup_pause(W.sup, b, NULL, &why), "it has ended");
	t_eq_int(sup_cancel(W.sup, busy, NULL, NULL), RK_OK);
	t_eq_int(sup_resume(W.sup, a, NULL, NULL, NULL, NULL), RK_OK);
	w_wait(a, JOB_SUCCEEDED);
	w_wait(busy, JOB_CANCELLED);
	t_eq_str(w_attempts(a), "1:succeeded::1 ");
	free(busy);
	free(a);
	free(b);
	w_close();
}

T_CASE(a_running_job_is_paused_with_a_checkpoint_and_goes_on_from_it)
{
	w_begin();
	char *id = w_submit("run ok");
	w_wait_step(id, 5);
	CONFLICT(sup_resume(W.sup, id, NULL, NULL, NULL, &why), "pause it");
	t_eq_int(sup_pause(W.sup, id, NULL, NULL), RK_OK);
	t_eq_int(sup_pause(W.sup, id, NULL, NULL), RK_OK);
	w_wait(id, JOB_PAUSED);
	t_eq_str(w_reason(id), "user");
	t_has(w_attempts(id), "1:paused::1 ");
	struct job_row r = w_row(id);
	t_eq_int(r.desired, JOB_PAUSE);
	store_job_fini(&r);
	CONFLICT(sup_retry(W.sup, id, NULL, &why), "resume it");
	w_spin(50);
	t_eq_int(w_state(id), JOB_PAUSED);
	t_eq_int(sup_resume(W.sup, id, NULL, NULL, NULL, NULL), RK_OK);
	w_wait(id, JOB_SUCCEEDED);
	t_has(w_attempts(id), "2:succeeded:step-0000000");
	t_has(w_events(id), "paused by a person at step");
	free(id);
	w_close();
}

T_CASE(a_starting_job_is_paused_and_cancelled_without_waiting_for_hello)
{
	w_begin();
	char *a = w_submit("mute ok"), *b = w_submit("mute");
	w_wait(a, JOB_STARTING);
	w_wait(b, JOB_STARTING);
	t_eq_int(sup_pause(W.sup, a, NULL, NULL), RK_OK);
	t_eq_int(sup_cancel(W.sup, b, NULL, NULL), RK_OK);
	w_wait(a, JOB_PAUSED);
	w_wait(b, JOB_CANCELLED);
	t_eq_str(w_attempts(a), "1:killed::0 ");
	struct job_row r = w_row(a);
	t_eq_int(r.failures, 0);
	store_job_fini(&r);
	t_eq_int(sup_resume(W.sup, a, NULL, NULL, NULL, NULL), RK_OK);
	w_wait(a, JOB_SUCCEEDED);
	free(a);
	free(b);
	w_close();
}

T_CASE(a_change_of_mind_while_pausing_lets_the_job_go_on)
{
	w_begin();
	char *id = w_submit("run ok");
	w_wait_step(id, 3);
	t_eq_int(sup_pause(W.sup, id, NULL, NULL), RK_OK);
	CONFLICT(sup_resume(W.sup, id, "latest", NULL, NULL, &why), "rest");
	t_eq_int(sup_resume(W.sup, id, NULL, NULL, NULL, NULL), RK_OK);
	w_wait(id, JOB_SUCCEEDED);
	t_has(w_attempts(id), "1:paused::1 2:succeeded:");
	free(id);
	w_close();
}

T_CASE(a_cancelled_job_has_saved_and_can_be_tried_again)
{
	w_begin();
	char *id = w_submit("run ok");
	w_wait_step(id, 3);
	t_eq_int(sup_cancel(W.sup, id, NULL, NULL), RK_OK);
	CONFLICT(sup_pause(W.sup, id, NULL, &why), "is being cancelled");
	w_wait(id, JOB_CANCELLED);
	t_has(w_attempts(id), "1:stopped::1 ");
	t_eq_int(sup_retry(W.sup, id, NULL, NULL), RK_OK);
	struct job_row r = w_row(id);
	t_eq_int(r.ended_ms, 0);
	t_eq_int(r.desired, JOB_RUN);
	store_job_fini(&r);
	w_wait(id, JOB_SUCCEEDED);
	t_has(w_attempts(id), "2:succeeded:step-0000000");
	CONFLICT(sup_retry(W.sup, id, NULL, &why), "overrides");
	CONFLICT(sup_cancel(W.sup, id, NULL, &why), "it has ended");
	free(id);
	w_close();
}

T_CASE(a_trainer_that_does_not_hear_a_pause_is_killed_at_its_deadline)
{
	w_prepare();
	W.c.stop_timeout_ms = 200;
	w_open();
	char *id = w_submit("deaf ok");
	w_wait_step(id, 3);
	t_eq_int(sup_pause(W.sup, id, NULL, NULL), RK_OK);
	w_wait(id, JOB_PAUSED);
	t_eq_str(w_attempts(id), "1:killed::1 ");
	t_has(w_events(id), "did not save");
	struct job_row r = w_row(id);
	t_eq_int(r.failures, 0);
	store_job_fini(&r);
	free(id);
	w_close();
}

T_CASE(a_failed_job_can_be_retried_with_its_failures_forgotten)
{
	w_begin();
	char *id = w_submit("bad ok");
	w_wait(id, JOB_FAILED);
	t_eq_int(sup_retry(W.sup, id, NULL, NULL), RK_OK);
	w_wait(id, JOB_SUCCEEDED);
	free(id);
	w_close();
}

T_CASE(a_resume_from_a_checkpoint_is_used_once_and_opens_a_branch)
{
	w_begin();
	char *id = w_submit("run save crash ok");
	w_wait_step(id, 3);
	struct rk_why why = { 0 };
	t_eq_int(sup_pause(W.sup, id, NULL, NULL), RK_OK);
	w_wait(id, JOB_PAUSED);
	char first[CKPT_DIR_MAX];
	struct ckpt_info i;
	t_eq_int(own_latest(W.sup, id, &i), RK_OK);
	snprintf(first, sizeof(first), "%s", i.dir);
	ckpt_info_fini(&i);
	t_eq_int(sup_resume(W.sup, id, "step:77", NULL, NULL, &why), RK_EINVAL);
	t_eq_str(why.v[0].path, "from");
	t_has(why.v[0].message, first);
	rk_why_fini(&why);
	t_eq_int(sup_resume(W.sup, id, "nobody", NULL, NULL, &why), RK_EINVAL);
	rk_why_fini(&why);
	t_eq_int(sup_resume(W.sup, id, "s p a c e", NULL, NULL, &why),
	    RK_EINVAL);
	rk_why_fini(&why);
	t_eq_int(w_state(id), JOB_PAUSED);
	/* attempt 2 saves at the next step of ten and dies; 3 goes on from
	 * there and not from what was asked for once */
	t_eq_int(sup_resume(W.sup, id, "none", NULL, NULL, NULL), RK_OK);
	struct job_row r = w_row(id);
	t_eq_str(r.resume_from, "none");
	store_job_fini(&r);
	w_wait(id, JOB_SUCCEEDED);
	t_has(w_attempts(id), "2:crashed::2 3:crashed:step-000000010-b2:2 ");
	r = w_row(id);
	t_eq_str(r.resume_from, "latest");
	store_job_fini(&r);
	t_has(w_events(id), "[resumed] resumed by a person from none");
	free(id);
	w_close();
}

T_CASE(a_crash_before_hello_repeats_the_resume_that_was_asked_for)
{
	w_begin();
	char *id = w_submit("run die ok");
	w_wait_step(id, 3);
	t_eq_int(sup_pause(W.sup, id, NULL, NULL), RK_OK);
	w_wait(id, JOB_PAUSED);
	t_eq_int(sup_resume(W.sup, id, "none", NULL, NULL, NULL), RK_OK);
	w_wait(id, JOB_SUCCEEDED);
	t_has(w_attempts(id), "2:crashed::0 3:succeeded::2 ");
	free(id);
	w_close();
}

T_CASE(the_submitted_resume_from_is_for_the_first_attempt)
{
	w_begin();
	json_t *tree = w_job("save ok");
	json_object_set_new(json_object_get(tree, "training"), "resume_from",
	    json_string("none"));
	char *id = w_submit_tree(tree);
	w_wait(id, JOB_SUCCEEDED);
	t_eq_str(w_attempts(id), "1:crashed::1 2:succeeded:step-000000010:1 ");
	free(id);
	w_close();
}

T_CASE(overrides_are_checked_recorded_and_given_to_the_trainer)
{
	w_begin();
	char *id = w_submit("ok");
	struct rk_why why = { 0 };
	w_wait(id, JOB_SUCCEEDED);
	json_t *o = json_pack("{s:{s:i}}", "training", "batch_size", 3);
	t_eq_int(sup_resume(W.sup, id, NULL, o, NULL, &why), RK_EINVAL);
	t_eq_str(why.v[0].path, "overrides.training.batch_size");
	rk_why_fini(&why);
	json_decref(o);
	o = json_pack("{s:{s:i}}", "resources", "threads", 99);
	t_eq_int(sup_resume(W.sup, id, NULL, o, NULL, &why), RK_EINVAL);
	t_eq_str(why.v[0].path, "overrides.resources.threads");
	rk_why_fini(&why);
	json_decref(o);
	o = json_pack("{s:{s:i}, s:i}", "training", "epochs", 7, "priority", 3);
	t_eq_int(sup_resume(W.sup, id, "latest", o, NULL, NULL), RK_OK);
	json_decref(o);
	t_has(w_events(id), "training.epochs 1 -> 7");
	t_has(w_events(id), "priority 0 -> 3");
	w_wait(id, JOB_SUCCEEDED);
	struct job_row r = w_row(id);
	t_eq_int(r.attempt, 2);
	t_eq_int(r.priority, 3);
	store_job_fini(&r);
	char *path = xasprintf("%s/job.json", sup_job_dir(W.sup, id)), *text;
	size_t len;
	t_eq_int(rk_read_file(AT_FDCWD, path, 1 << 20, &text, &len), RK_OK);
	t_has(text, "\"epochs\": 7");
	free(text);
	free(path);
	free(id);
	w_close();
}

T_CASE(a_patch_changes_priority_labels_and_keep_and_nothing_else)
{
	w_begin();
	char *id = w_submit("ok");
	struct rk_why why = { 0 };
	w_wait(id, JOB_SUCCEEDED);
	struct job_row r = w_row(id);
	json_t *p = json_pack("{s:i, s:{s:s}, s:{s:{s:i}}}", "priority", 9,
	    "labels", "team", "qa", "checkpoint", "keep", "last", 5);
	t_eq_int(sup_patch(W.sup, id, p, r.version + 1, NULL, &why),
	    RK_ECONFLICT);
	rk_why_fini(&why);
	t_eq_int(sup_patch(W.sup, id, p, r.version, NULL, NULL), RK_OK);
	json_decref(p);
	store_job_fini(&r);
	r = w_row(id);
	t_eq_int(r.priority, 9);
	t_eq_str(r.labels, "{\"team\":\"qa\"}");
	t_has(r.spec, "\"last\":5");
	store_job_fini(&r);
	p = json_pack("{s:{s:i}, s:s}", "training", "epochs", 2, "name", "x");
	t_eq_int(sup_patch(W.sup, id, p, -1, NULL, &why), RK_EINVAL);
	t_eq_int(why.n, 2);
	rk_why_fini(&why);
	json_decref(p);
	p = json_pack("{s:{s:{s:i}}}", "checkpoint", "every", "steps", 2);
	t_eq_int(sup_patch(W.sup, id, p, -1, NULL, &why), RK_EINVAL);
	rk_why_fini(&why);
	json_decref(p);
	p = json_pack("{s:n}", "priority");
	t_eq_int(sup_patch(W.sup, id, p, -1, NULL, &why), RK_EINVAL);
	rk_why_fini(&why);
	json_decref(p);
	free(id);
	w_close();
}

T_CASE(a_deleted_job_is_gone_with_its_folder_and_a_cut_deletion_is_finished)
{
	w_begin();
	char *id = w_submit("ok"), *id2 = w_submit("ok");
	struct job_row r;
	w_wait(id, JOB_SUCCEEDED);
	w_wait(id2, JOB_SUCCEEDED);
	char *dir = xstrdup(sup_job_dir(W.sup, id));
	t_eq_int(sup_delete(W.sup, id, NULL, NULL), RK_OK);
	t_eq_int(store_job_get(W.store, id, &r), RK_ENOENT);
	t_check(access(dir, F_OK) != 0);
	t_eq_int(sup_delete(W.sup, id, NULL, NULL), RK_ENOENT);
	/* cut short before the row had gone: the folder comes back; after: it
	 * goes */
	char *dir2 = xstrdup(sup_job_dir(W.sup, id2));
	char *aside = xasprintf("%s/jobs/.del-%s", W.state_dir, id2);
	char nobody[RK_ID];
	rk_id_new(nobody);
	char *lost = xasprintf("%s/jobs/.del-%s", W.state_dir, nobody);
	t_eq_int(rename(dir2, aside), 0);
	t_eq_int(mkdir(lost, 0755), 0);
	w_close();
	w_open();
	t_check(access(dir2, F_OK) == 0);
	w_close();      /* waits for what is being removed */
	t_check(access(lost, F_OK) != 0);
	t_check(access(aside, F_OK) != 0);
	free(aside);
	free(lost);
	free(dir);
	free(dir2);
	free(id);
	free(id2);
}

struct answer {
	int n;
	enum rk_err rc;
	char dir[128], why[256];
};

static void
answered(void *ctx, enum rk_err rc, const char *dir, const char *why)
{
	struct answer *a = ctx;

	a->n++;
	a->rc = rc;
	snprintf(a->dir, sizeof(a->dir), "%s", dir != NULL ? dir : "");
	snprintf(a->why, sizeof(a->why), "%s", why != NULL ? why : "");
}

static struct answer A, A2;

static bool
is_answered(struct world *w)
{
	(void)w;
	return A.n > 0;
}

T_CASE(a_checkpoint_is_saved_now_by_name_and_the_asker_is_told)
{
	w_begin();
	char *id = w_submit("run stall");
	struct rk_why why = { 0 };
	w_wait_step(id, 3);
	t_eq_int(sup_checkpoint(W.sup, id, "latest", answered, &A, &why),
	    RK_EINVAL);
	rk_why_fini(&why);
	t_eq_int(sup_checkpoint(W.sup, "x", "a", answered, &A, &why),
	    RK_ENOENT);
	rk_why_fini(&why);
	t_eq_int(sup_checkpoint(W.sup, id, "before-lunch", answered, &A, NULL),
	    RK_OK);
	t_eq_int(sup_checkpoint(W.sup, id, "gone", answered, &A2, NULL), RK_OK);
	sup_checkpoint_forget(W.sup, &A2);
	t_eq_int(A.n, 0);
	w_until(is_answered, "the answer");
	t_has(A.dir, "step-0000000");
	t_has(w_events(id), " as before-lunch");
	/* at rest the newest one gets the name */
	t_eq_int(sup_pause(W.sup, id, NULL, NULL), RK_OK);
	w_wait(id, JOB_PAUSED);
	memset(&A, 0, sizeof(A));
	t_eq_int(sup_checkpoint(W.sup, id, "at-rest", answered, &A, NULL),
	    RK_OK);
	w_until(is_answered, "the name");
	t_eq_int(A.rc, RK_OK);
	t_has(w_events(id), " is named at-rest");
	t_eq_int(sup_resume(W.sup, id, "at-rest", NULL, NULL, NULL), RK_OK);
	/* the next attempt does not answer, and ends */
	w_wait(id, JOB_RUNNING);
	memset(&A, 0, sizeof(A));
	t_eq_int(sup_checkpoint(W.sup, id, "never", answered, &A, NULL), RK_OK);
	W.sup->c.stop_timeout_ms = 100;
	t_eq_int(sup_cancel(W.sup, id, NULL, NULL), RK_OK);
	w_wait(id, JOB_CANCELLED);
	t_eq_int(A.n, 1);
	t_eq_int(A.rc, RK_ECONFLICT);
	t_has(A.why, "ended before");
	t_eq_int(A2.n, 0);
	free(id);
	w_close();
}

T_CASE(a_checkpoint_asked_for_before_hello_is_passed_on_after_it)
{
	w_begin();
	char *id = w_submit("run");
	w_wait(id, JOB_STARTING);
	t_eq_int(sup_checkpoint(W.sup, id, "early", answered, &A, NULL), RK_OK);
	w_until(is_answered, "the answer");
	t_has(A.dir, "step-0000000");
	free(id);
	w_close();
}

T_CASE(a_job_without_a_checkpoint_cannot_have_it_named)
{
	w_begin();
	json_t *tree = w_job("ok");
	json_object_set_new(tree, "hold", json_true());
	char *id = w_submit_tree(tree);
	CONFLICT(sup_checkpoint(W.sup, id, "a", answered, &A, &why),
	    "no checkpoint yet");
	t_eq_int(A.n, 0);
	free(id);
	w_close();
}

T_CASE(a_job_that_cannot_be_run_here_is_refused_with_every_fault)
{
	w_begin();
	struct rk_why why = { 0 };
	char id[RK_ID];
	json_t *tree = w_job("ok");
	json_object_set_new(tree, "resources", json_pack("{s:i, s:s}",
	    "threads", 64, "memory", "64GiB"));
	json_object_set_new(json_object_get(json_object_get(tree, "data"),
	    "train"), "path", json_string("/nowhere/x.csv"));
	json_object_set_new(json_object_get(tree, "model"), "checkpoint",
	    json_string("job://nobody/best"));
	t_eq_int(w_try_submit(tree, id, &why), RK_EINVAL);
	t_eq_int(why.n, 4);
	char *all = rk_why_text(&why);
	t_has(all, "resources.threads: is 64, and this daemon has 4");
	t_has(all, "resources.memory");
	t_has(all, "data.train.path");
	t_has(all, "model.checkpoint: there is no job \"nobody\"");
	free(all);
	rk_why_fini(&why);
	w_close();
}

T_CASE(a_warm_start_from_a_job_is_found_by_name_and_kept_by_id)
{
	w_begin();
	struct rk_why why = { 0 };
	char id[RK_ID];
	char *a = w_submit("ok");
	w_wait(a, JOB_SUCCEEDED);
	json_t *tree = w_job("ok");
	json_object_set_new(tree, "name", json_string("second"));
	json_t *m = json_object_get(tree, "model");
	json_object_set_new(m, "checkpoint", json_string("job://j/step:5"));
	t_eq_int(w_try_submit(json_deep_copy(tree), id, &why), RK_EINVAL);
	t_has(rk_why_first(&why), "step-000000100");
	rk_why_fini(&why);
	json_object_set_new(m, "checkpoint", json_string("job://j/best"));
	char *b = w_submit_tree(json_deep_copy(tree));
	w_wait(b, JOB_SUCCEEDED);       /* the fake looks for the file */
	struct job_row r = w_row(b);
	char *uri = xasprintf("job://%s/best", a);
	t_has(r.spec, uri);
	free(uri);
	store_job_fini(&r);
	/* gone since: one that has begun goes on, one that has not fails */
	json_object_set_new(tree, "metadata", json_pack("{s:s}", "script",
	    "run ok"));
	char *c = w_submit_tree(json_deep_copy(tree));
	w_wait_step(c, 3);
	t_eq_int(sup_pause(W.sup, c, NULL, NULL), RK_OK);
	w_wait(c, JOB_PAUSED);
	json_object_set_new(tree, "hold", json_true());
	char *d = w_submit_tree(tree);
	t_eq_int(sup_delete(W.sup, a, NULL, &why), RK_ECONFLICT);
	t_has(rk_why_first(&why), d);
	rk_why_fini(&why);
	t_eq_int(rk_remove_tree(AT_FDCWD, sup_job_dir(W.sup, a)), RK_OK);
	t_eq_int(sup_resume(W.sup, c, NULL, NULL, NULL, NULL), RK_OK);
	t_eq_int(sup_start(W.sup, d, NULL, NULL), RK_OK);
	w_wait(c, JOB_SUCCEEDED);
	w_wait(d, JOB_FAILED);
	t_eq_str(w_reason(d), "warm_start");
	free(a);
	free(b);
	free(c);
	free(d);
	w_close();
}

T_CASE(an_idempotency_key_is_kept_also_when_nothing_changes)
{
	w_begin();
	char *id = w_submit("run");
	struct store_note note = { .idem_key = "k1", .idem_digest = "d" };
	struct idem_row k;
	w_wait_step(id, 1);
	t_eq_int(sup_pause(W.sup, id, &note, NULL), RK_OK);
	w_wait(id, JOB_PAUSED);
	note.idem_key = "k2";
	t_eq_int(sup_pause(W.sup, id, &note, NULL), RK_OK);
	t_eq_int(store_idem_get(W.store, "k1", &k), RK_OK);
	t_eq_str(k.job, id);
	store_idem_fini(&k);
	t_eq_int(store_idem_get(W.store, "k2", &k), RK_OK);
	store_idem_fini(&k);
	free(id);
	w_close();
}

T_MAIN
