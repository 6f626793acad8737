/* Taking over: what comes along, and who dies or freezes on the way. */
#include "mirror_world.h"

static void
goes_on_from(const char *id, const char *dir)
{
	char *want = xasprintf(":%s:1 ", dir);

	w_wait(id, JOB_RUNNING);
	t_has(w_attempts(id), want);
	free(want);
}

T_CASE(an_empty_directory_takes_the_jobs_and_their_newest_checkpoints)
{
	struct node a, b;
	char dir[CKPT_DIR_MAX];

	w_world();
	w_own(&a, "a");
	char *done = w_submit_until("ok", JOB_SUCCEEDED);
	char *runs = w_run_shipped(&a, dir);
	w_wait_shipped(&a, done, 1);
	w_wait_written(&a);
	w_kill(&a);
	t_eq_int(rk_remove_tree(AT_FDCWD, a.dir), RK_OK);

	w_own(&b, "b");
	t_eq_int(b.mirror->epoch, 2);
	t_eq_int(w_state(done), JOB_SUCCEEDED);
	t_has(w_events(done), "taken over from epoch 1");
	goes_on_from(runs, dir);
	t_check(w_has_local(&b, runs, dir));
	struct job_row r = w_row(runs);
	t_eq_int(r.attempt, 2);
	store_job_fini(&r);
	/* An ended job's checkpoints are known, too, a little later. */
	w_wait_shipped(&b, done, 1);
	free(done);
	free(runs);
	w_world_end();
}

T_CASE(another_instance_below_the_same_prefix_has_its_own_jobs)
{
	struct node a, b;
	struct job_row r;

	w_world();
	w_own(&a, "a");
	char *id = w_submit("run");
	w_wait_written(&a);
	w_instance = "gpu-b";
	w_own(&b, "b");
	t_eq_int(b.mirror->epoch, 1);
	t_eq_int(store_job_get(b.store, id, &r), RK_ENOENT);
	w_spin(150);
	t_eq_int(mirror_state(a.mirror), MIRROR_OWNER);
	free(id);
	w_world_end();
}

T_CASE(a_job_whose_own_store_does_not_answer_is_left_aside_until_the_next_start)
{
	struct job_row r;
	struct node a, b;
	char other[700], uri[720], dir[CKPT_DIR_MAX];

	w_world();
	snprintf(other, sizeof(other), "%s.other", w_bucket);
	snprintf(uri, sizeof(uri), "file://%s/", other);
	w_own(&a, "a");
	json_t *tree = w_job("run");
	json_object_set_new(tree, "checkpoint", json_pack("{s:s}", "push",
	    uri));
	char *away = w_submit_tree(tree), *near = w_submit("run");
	w_wait_step(away, 5);
	snprintf(dir, sizeof(dir), "%s", w_save(away));
	w_wait_shipped(&a, away, 1);
	w_wait_step(near, 5);
	w_wait_written(&a);
	w_kill(&a);
	snprintf(other, sizeof(other), "%s.other/jobs/%s", w_bucket, away);
	t_eq_int(rename(other, "kept"), 0);
	t_eq_int(symlink(other, other), 0);     /* leads nowhere: an error */

	w_own(&b, "b");
	t_eq_int(store_job_get(b.store, away, &r), RK_ENOENT);
	t_has(w_events(""), "its checkpoints cannot be looked for");
	w_wait(near, JOB_RUNNING);      /* the others go on */
	w_kill(&b);
	t_eq_int(unlink(other), 0);
	t_eq_int(rename("kept", other), 0);
	w_own(&b, "b");
	goes_on_from(away, dir);
	free(away);
	free(near);
	w_world_end();
}

/* --- on the way ----------------------------------------------------------- */

/* A node that runs for so many rounds of its loop; whether it has got through
 * with taking over by then. */
static bool
runs_for(struct node *b, int rounds)
{
	char name[20];

	snprintf(name, sizeof(name), "b%d", rounds);
	w_start(b, name);
	for (int i = 0; i < rounds; i++) {
		w_run_node(b, 0);
		if (b->mirror->state == MIRROR_OWNER)
			return true;
		usleep(300);
	}
	return false;
}

T_CASE(a_crash_at_any_step_of_a_take_over_leaves_all_to_the_next)
{
	struct node a, b, c;
	char dir[CKPT_DIR_MAX];
	bool through = false;
	int deaths = 0;

	w_world();
	w_own(&a, "a");
	char *done = w_submit_until("ok", JOB_SUCCEEDED);
	char *saved = w_run_shipped(&a, dir);
	char *fresh = w_submit_until("run", JOB_RUNNING);
	w_wait_shipped(&a, done, 1);
	w_wait_written(&a);
	w_kill(&a);
	for (int n = 1; !through; n += 1 + n / 10) {
		through = runs_for(&b, n);
		w_kill(&b);
		deaths++;
		/* The same directory, half way, or a new one. */
		char name[20];
		snprintf(name, sizeof(name), n % 2 ? "b%d" : "c%d", n);
		w_own(&c, name);
		t_eq_int(w_state(done), JOB_SUCCEEDED);
		if (n % 3 == 0) {
			w_wait(saved, JOB_RUNNING);
			t_has(w_attempts(saved), dir);
		}
		t_check(w_state(fresh) <= JOB_RUNNING);
		w_kill(&c);
	}
	t_check(deaths > 10);
	free(done);
	free(saved);
	free(fresh);
	w_world_end();
}

/* An answer that was on its way when it froze may let it begin; then its next
 * look ends it. */
T_CASE(a_freeze_at_any_step_of_a_take_over_ends_in_being_lost)
{
	struct node a, b, c;
	char dir[CKPT_DIR_MAX];
	int freezes = 0, began = 0;

	w_world();
	w_own(&a, "a");
	char *id = w_run_shipped(&a, dir);
	w_wait_written(&a);
	w_kill(&a);
	for (int n = 1; !runs_for(&b, n); n += 1 + n / 8) {
		bool claimed = b.mirror->epoch > 0;
		b.frozen = true;
		w_own(&c, "c");
		b.frozen = false;
		if (claimed && b.mirror->epoch < c.mirror->epoch) {
			w_wait_lost(&b);
			began += b.mirror->began;
			t_eq_int(mirror_state(c.mirror), MIRROR_OWNER);
			freezes++;
		}
		w_kill(&b);
		w_kill(&c);
	}
	t_check(freezes > 2 && began <= 2);
	free(id);
	w_world_end();
}

T_CASE(a_frozen_daemon_uploads_late_and_nobody_takes_it_for_newer)
{
	struct node a, b, c;
	char first[CKPT_DIR_MAX], late[CKPT_DIR_MAX];

	w_world();
	w_own(&a, "a");
	char *id = w_run_shipped(&a, first);
	w_wait_step(id, 100);
	a.frozen = true;

	w_own(&b, "b");
	/* The frozen one goes on: without a look, it saves and ships. */
	loop_timer_off(a.mirror->tick);
	loop_timer_off(a.mirror->batch_timer);
	a.mirror->in_batch = true;
	a.frozen = false;
	b.frozen = true;
	w_use(&a);
	snprintf(late, sizeof(late), "%s", w_save(id));
	w_wait_shipped(&a, id, 2);
	t_check(w_there("jobs/%s/checkpoints/%s-e1/checkpoint.json", id,
	    late));
	t_eq_int(mirror_state(a.mirror), MIRROR_OWNER);
	/* And when it looks, as one does that was frozen: */
	a.mirror->c.check_ms = INT32_MAX;
	a.mirror->boot_ms -= 5000;
	loop_timer_at(a.mirror->tick, mono_ms());
	w_wait_lost(&a);
	w_kill(&a);
	w_kill(&b);

	w_own(&c, "c");
	goes_on_from(id, first);
	t_check(strstr(w_attempts(id), late) == NULL);
	free(id);
	w_world_end();
}

/* --- many ----------------------------------------------------------------- */

#define MANY 2000

/* The store of the node at rest gets copies of the job: some of them wait, some
 * have ended with a checkpoint to be. */
static void
multiply(struct node *n, const char *id)
{
	json_t *record = NULL;

	t_eq_int(store_open(&n->store, "a/test.db", NULL), RK_OK);
	t_eq_int(store_job_export(n->store, id, &record), RK_OK);
	json_t *row = json_object_get(record, "row");
	t_eq_int(store_batch_begin(n->store), RK_OK);
	for (int i = 0; i < MANY - 1; i++) {
		char new[RK_ID];
		rk_id_new(new);
		json_object_set_new(row, "id", json_string(new));
		if (i % 10 == 0)
			json_object_set_new(row, "state", json_string(i % 20 ?
			    "succeeded" : "held"));
		json_object_set_new(row, "progress", json_string("{}"));
		t_eq_int(store_job_import(n->store, record, NULL, NULL, NULL),
		    RK_OK);
	}
	t_eq_int(store_batch_end(n->store), RK_OK);
	store_close(&n->store);
	json_decref(record);
}

static bool
all_here(struct world *w)
{
	int64_t n[JOB_STATES], sum = 0;

	(void)w;
	t_eq_int(store_counts(w_node->store, n), RK_OK);
	for (int i = 0; i < JOB_STATES; i++)
		sum += n[i];
	return sum == MANY && w_node->mirror->state == MIRROR_OWNER;
}

T_CASE(two_thousand_jobs_are_taken_over)
{
	struct node a, b;

	w_world();
	w_own(&a, "a");
	char *id = w_submit_until("ok", JOB_SUCCEEDED);
	w_wait_shipped(&a, id, 1);
	w_wait_written(&a);
	w_kill(&a);
	multiply(&a, id);
	w_own(&a, "a");
	w_kill(&a);
	/* One had ended, and its last checkpoint came just behind the base. */
	char *name = xasprintf("../../jobs/%s/checkpoints/step-000000007-e2/"
	    "checkpoint.json", id);
	w_put(name, "{}");
	strcpy(strstr(name, "-e2"), "-e20/checkpoint.json");
	w_put(name, "{}");
	w_start(&b, "b");
	w_use(&b);
	w_node = &b;
	int64_t from = mono_ms();
	w_until(all_here, "all jobs");
	fprintf(stderr, "%d jobs in %lld ms\n", MANY, (long long)(mono_ms() -
	    from));
	char *base = w_get("base/0000000003.jsonl");
	t_has(base, "step-000000007-e2/");
	t_check(strstr(base, "step-000000007-e20/") == NULL);
	free(base);
	free(name);
	free(id);
	w_world_end();
}

T_MAIN
