/* Taking over with a directory that knows something already: less than the
 * bucket, or more. */
#include "mirror_world.h"

static void
copy_dir(const char *from, const char *to)
{
	char *cmd = xasprintf("mkdir -p %s && cp -r %s/. %s/", to, from, to);

	t_eq_int(system(cmd), 0);
	free(cmd);
}

static void
set_priority(const char *id, int priority)
{
	json_t *f = json_pack("{s:i}", "priority", priority);

	t_eq_int(sup_patch(W.sup, id, f, -1, NULL, NULL), RK_OK);
	json_decref(f);
}

static int64_t
priority(const char *id)
{
	struct job_row r = w_row(id);
	int64_t p = r.priority;

	store_job_fini(&r);
	return p;
}

static bool
is_known(struct node *n, const char *id)
{
	struct job_row r;
	enum rk_err rc = store_job_get(n->store, id, &r);

	t_check(rc == RK_OK || rc == RK_ENOENT);
	if (rc == RK_OK)
		store_job_fini(&r);
	return rc == RK_OK;
}

T_CASE(what_an_older_directory_has_beyond_the_take_over_is_set_aside)
{
	struct node a, b;
	char first[CKPT_DIR_MAX], late[CKPT_DIR_MAX], name[100];

	w_world();
	w_own(&a, "a");
	char *id = w_run_shipped(&a, first);
	w_wait_written(&a);
	char *unseen = w_submit("run"); /* the bucket never hears of it */
	ship_stop(a.ship);              /* nor of the next checkpoint */
	w_wait_step(id, 20);
	snprintf(late, sizeof(late), "%s", w_save(id));
	t_check(strcmp(first, late) != 0);
	a.frozen = true;

	w_own(&b, "b");
	w_wait(id, JOB_RUNNING);
	w_wait_written(&b);
	w_kill(&b);
	w_kill(&a);

	w_own(&a, "a");
	t_eq_int(a.mirror->epoch, 3);
	t_check(a.mirror->foreign);
	t_check(w_has_local(&a, id, first));
	t_check(!w_has_local(&a, id, late));
	snprintf(name, sizeof(name), "late-%s", late);
	t_check(w_has_local(&a, id, name));
	w_wait(id, JOB_RUNNING);
	char *want = xasprintf("3::%s:1 ", first);
	t_has(w_attempts(id), want);
	free(want);
	w_wait(unseen, JOB_RUNNING);    /* acknowledged here: it stays */
	free(id);
	free(unseen);
	w_world_end();
}

T_CASE(a_deleted_job_stays_deleted_also_for_an_older_directory)
{
	struct node a, b;

	w_world();
	w_own(&a, "a");
	char *id = w_submit_until("ok", JOB_SUCCEEDED);
	w_wait_shipped(&a, id, 1);
	w_wait_written(&a);
	w_kill(&a);
	w_own(&b, "b");
	t_eq_int(sup_delete(b.sup, id, NULL, NULL), RK_OK);
	w_wait_written(&b);
	w_kill(&b);
	w_own(&b, "b");                 /* its base names it */
	w_kill(&b);

	w_own(&a, "a");
	t_check(!is_known(&a, id));
	free(id);
	w_world_end();
}

T_CASE(a_deletion_that_never_got_to_the_bucket_is_not_undone_by_our_own_restart)
{
	struct node a;

	w_world();
	w_own(&a, "a");
	char *id = w_submit_until("ok", JOB_SUCCEEDED);
	w_wait_written(&a);
	t_eq_int(sup_delete(a.sup, id, NULL, NULL), RK_OK);
	for (int i = 0; i < 2; i++) {
		w_kill(&a);
		w_own(&a, "a");
		t_check(!is_known(&a, id));
	}
	free(id);
	w_world_end();
}

T_CASE(a_directory_that_was_restored_takes_what_the_bucket_has_newer)
{
	struct node a;

	w_world();
	w_own(&a, "a");
	char *id = w_submit("run");
	w_wait_step(id, 3);
	w_wait_written(&a);
	w_kill(&a);
	w_own(&a, "a");
	w_kill(&a);
	/* from here on the copy is behind: base 3 is not its own */
	copy_dir("a", "copy");
	w_own(&a, "a");
	set_priority(id, 7);
	char *later = w_submit("run");
	w_wait_written(&a);
	w_kill(&a);

	w_own(&a, "copy");
	t_check(a.mirror->foreign);
	t_eq_int(priority(id), 7);
	w_wait(later, JOB_RUNNING);
	free(id);
	free(later);
	w_world_end();
}

T_CASE(a_copy_of_the_owners_directory_takes_newer_records_and_keeps_the_rest)
{
	struct node a;

	w_world();
	w_own(&a, "a");
	char *same = w_submit("ok"), *id = w_submit("run");
	w_wait(same, JOB_SUCCEEDED);
	w_wait_shipped(&a, same, 1);
	w_wait_step(id, 3);
	w_wait_written(&a);
	copy_dir("a", "copy");          /* an image of a running machine */
	set_priority(id, 7);
	char *later = w_submit_until("run", JOB_RUNNING);
	w_wait_written(&a);
	w_kill(&a);

	w_own(&a, "copy");
	t_check(!a.mirror->foreign);    /* base 1 was made by this one, too */
	t_eq_int(priority(id), 7);
	w_wait(later, JOB_RUNNING);
	t_eq_int(w_state(same), JOB_SUCCEEDED);
	t_check(strstr(w_events(same), "taken over") == NULL);
	free(same);
	free(id);
	free(later);
	w_world_end();
}

T_MAIN
