/* What is in a bucket, or must be there: checkpoints that only it has, and the
 * last one of a job, whose upload ends it. */
#include "sup_supplier.h"

/* --- what is asked of a bucket -------------------------------------------- */

/* A resume with these overrides is refused by that field of them. */
static void
refuses_overrides(const char *id, json_t *o, const char *path)
{
	struct rk_why why = { 0 };

	t_eq_int(sup_resume(W.sup, id, NULL, o, NULL, &why), RK_EINVAL);
	t_eq_str(why.v[0].path, path);
	rk_why_fini(&why);
	json_decref(o);
}

T_CASE(those_above_may_refuse_a_job_and_what_is_said_at_a_resume)
{
	up_begin();
	up_refused(up_sent_job("ok", "s3://nobodys"), 1, "checkpoint.push",
	    "no credentials");
	up.no_where = true;
	up_refused(up_sent_job("ok", NULL), 1, "checkpoint.require_remote",
	    "wants checkpoint.push or a mirror");
	char *a = w_submit_until("ok", JOB_SUCCEEDED);
	refuses_overrides(a, json_pack("{s:{s:s}}", "checkpoint", "push",
	    "s3://nobodys"), "overrides.checkpoint.push");
	refuses_overrides(a, json_pack("{s:{s:b}}", "checkpoint",
	    "require_remote", 1), "overrides.checkpoint.require_remote");
	/* What has nothing to do with it is not asked. */
	json_t *o = json_pack("{s:{s:i}}", "training", "epochs", 2);
	t_eq_int(sup_resume(W.sup, a, NULL, o, NULL, NULL), RK_OK);
	json_decref(o);
	free(a);
	w_close();
}

T_CASE(a_checkpoint_that_only_the_bucket_has_may_be_resumed_from)
{
	struct rk_why why = { 0 };

	up_begin();
	char *a = w_submit_until("ok run", JOB_SUCCEEDED);
	t_eq_int(sup_resume(W.sup, a, "before", NULL, NULL, &why), RK_EINVAL);
	t_eq_str(why.v[0].path, "from");
	rk_why_fini(&why);
	t_eq_int(sup_resume(W.sup, a, "step:", NULL, NULL, NULL), RK_EINVAL);
	up.has = true;
	t_eq_int(sup_resume(W.sup, a, "before", NULL, NULL, NULL), RK_OK);
	char *want = xasprintf("%s/before", a);
	t_eq_str(up.said, want);
	struct job_row r = w_row(a);
	t_eq_str(r.resume_from, "before");
	store_job_fini(&r);
	free(want);
	free(a);
	w_close();
}

T_CASE(a_warm_start_may_be_from_a_job_whose_checkpoint_is_elsewhere)
{
	struct rk_why why = { 0 };
	char id[RK_ID];

	up_begin();
	json_t *held = w_job("ok");
	json_object_set_new(held, "hold", json_true());
	char *a = w_submit_tree(held);
	char *uri = xasprintf("job://%s/latest", a);
	json_t *tree = w_job("ok");
	up_set(tree, "model.checkpoint", json_string(uri));
	t_eq_int(w_try_submit(json_deep_copy(tree), id, &why), RK_EINVAL);
	t_has(rk_why_first(&why), "has no checkpoint");
	rk_why_fini(&why);
	up.has = true;
	char *b = w_submit_tree(tree);
	/* It was not fetched after all. */
	w_wait(b, JOB_FAILED);
	w_says(b, "warm_start", "which a bucket has and this machine has not");
	free(uri);
	free(a);
	free(b);
	w_close();
}

T_CASE(who_ships_is_told_of_a_deletion)
{
	up_begin();
	char *a = w_submit_until("ok", JOB_SUCCEEDED);
	t_eq_int(sup_delete(W.sup, a, NULL, NULL), RK_OK);
	t_eq_int(up.gone, 1);
	t_eq_str(up.said, a);
	free(a);
	w_close();
}

/* --- the last upload ------------------------------------------------------ */

T_CASE(a_job_succeeds_when_its_last_checkpoint_is_verified_elsewhere)
{
	up_begin();
	char *a = w_submit_tree(up_sent_job("ok", "s3://b/p"));
	w_wait(a, JOB_PAUSED);
	w_says(a, "uploading", "training is finished; waits until "
	    "step-000000100 is verified at s3://b/p/");
	t_eq_str(w_attempts(a), "1:succeeded::1 ");
	struct job_row r = w_row(a);
	t_eq_int(r.desired, JOB_RUN);
	t_eq_int(r.ended_ms, 0);
	store_job_fini(&r);
	sup_supplied(W.sup);
	w_spin(250);
	t_eq_int(w_state(a), JOB_PAUSED);
	char *want = xasprintf("%s/step-000000100", a);
	t_eq_str(up.said, want);
	up_ships();
	w_wait(a, JOB_SUCCEEDED);
	w_says(a, "", "finished; step-000000100 is verified in the bucket");
	r = w_row(a);
	t_check(r.ended_ms > 0);
	store_job_fini(&r);
	t_check(W.sup->uploading == NULL);
	/* And at once, if it is there by the end. */
	char *b = w_submit_tree(up_sent_job("ok", NULL));
	w_wait(b, JOB_SUCCEEDED);
	t_eq_str(w_attempts(b), "1:succeeded::1 ");
	free(want);
	free(a);
	free(b);
	w_close();
}

T_CASE(a_job_that_waits_for_its_upload_does_so_after_a_restart)
{
	up_begin();
	char *a = w_submit_tree(up_sent_job("ok", NULL));
	w_wait(a, JOB_PAUSED);
	w_says(a, "uploading", "verified at s3://mirror/");
	w_close();
	w_open();                       /* without a supplier yet */
	w_spin(150);
	t_eq_int(w_state(a), JOB_PAUSED);
	up.shipped = true;
	sup_supplier_set(W.sup, &up_supplier);
	w_wait(a, JOB_SUCCEEDED);
	free(a);
	w_close();
}

T_CASE(a_person_may_pause_resume_and_cancel_what_waits_for_its_upload)
{
	up_begin();
	char *a = w_submit_tree(up_sent_job("ok", "oss://b"));
	char *b = w_submit_tree(up_sent_job("ok", "oss://b"));
	char *c = w_submit_tree(up_sent_job("ok", "oss://b"));
	w_wait(a, JOB_PAUSED);
	w_wait(b, JOB_PAUSED);
	w_wait(c, JOB_PAUSED);
	t_eq_int(sup_pause(W.sup, a, NULL, NULL), RK_OK);
	t_eq_int(sup_cancel(W.sup, b, NULL, NULL), RK_OK);
	json_t *o = json_pack("{s:{s:b}}", "checkpoint", "require_remote", 0);
	t_eq_int(sup_resume(W.sup, c, NULL, o, NULL, NULL), RK_OK);
	json_decref(o);
	w_wait(c, JOB_SUCCEEDED);
	up_ships();
	w_spin(250);
	t_eq_int(w_state(a), JOB_PAUSED);
	t_eq_str(w_reason(a), "user");
	t_eq_int(w_state(b), JOB_CANCELLED);
	t_check(W.sup->uploading == NULL);
	t_eq_int(sup_resume(W.sup, a, NULL, NULL, NULL, NULL), RK_OK);
	w_wait(a, JOB_SUCCEEDED);
	free(a);
	free(b);
	free(c);
	w_close();
}

T_CASE(a_wish_that_comes_as_the_training_ends_leaves_no_trap)
{
	up_begin();
	char *a = w_submit_tree(up_sent_job("late", NULL));
	char *b = w_submit_tree(up_sent_job("late", NULL));
	w_wait_step(a, 3);
	w_wait_step(b, 3);
	t_eq_int(sup_pause(W.sup, a, NULL, NULL), RK_OK);
	t_eq_int(sup_cancel(W.sup, b, NULL, NULL), RK_OK);
	/* There is nothing left that a pause could stop. */
	w_wait(a, JOB_PAUSED);
	t_eq_str(w_reason(a), "uploading");
	w_wait(b, JOB_CANCELLED);
	w_says(b, "user", "but not verified in the bucket");
	up_ships();
	w_wait(a, JOB_SUCCEEDED);
	t_eq_int(w_state(b), JOB_CANCELLED);
	free(a);
	free(b);
	w_close();
}

T_MAIN
