/* What must not stand still, nor go too early, when jobs change hands. */
#include <errno.h>

#include "mirror_world.h"

#define ID1 "01jaaaaaaaaaaaaaaaaaaaaaaa"
#define ID2 "01jbbbbbbbbbbbbbbbbbbbbbbb"

static void
cut_off(bool cut)
{
	char away[640];

	snprintf(away, sizeof(away), "%s.away", w_bucket);
	if (cut) {
		t_eq_int(rename(w_bucket, away), 0);
		FILE *f = fopen(w_bucket, "w");
		t_check(f != NULL);
		fclose(f);
	} else {
		t_eq_int(unlink(w_bucket), 0);
		t_eq_int(rename(away, w_bucket), 0);
	}
}

static char *
submit_with(const char *script, json_t *checkpoint)
{
	json_t *t = w_job(script);

	json_object_set_new(t, "checkpoint", checkpoint);
	return w_submit_tree(t);
}

/* The record as the row says it, whatever the bucket has, behind all others. */
static void
put_as_it_is(struct node *n, const char *id)
{
	json_t *o = NULL, *row;

	t_eq_int(store_job_export(n->store, id, &o), RK_OK);
	row = json_object_get(o, "row");
	int64_t version = json_integer_value(json_object_get(row, "version"));
	json_object_set_new(row, "version", json_integer(version + 9));
	char *path = xasprintf("records/%010lld/%s.%010lld.json",
	    (long long)n->mirror->epoch, id, (long long)version + 9);
	char *text = rkj_text(o);
	w_put(path, text);
	free(text);
	free(path);
	json_decref(o);
}

/* --- a last checkpoint that is lost --------------------------------------- */

static bool
is_missing(struct world *w)
{
	return strcmp(w_reason(w->id), "checkpoints_missing") == 0;
}

T_CASE(a_job_whose_only_checkpoint_died_with_its_machine_waits_for_a_person)
{
	struct node a, b;

	w_world();
	w_start(&a, "a");
	w_wait_mirror(&a, MIRROR_OWNER);
	w_use(&a);
	ship_stop(a.ship);              /* it never gets to the bucket */
	char *id = submit_with("ok", json_pack("{s:b}", "require_remote", 1));
	w_wait(id, JOB_PAUSED);
	t_eq_str(w_reason(id), "uploading");
	w_wait_written(&a);
	w_kill(&a);
	t_eq_int(rk_remove_tree(AT_FDCWD, a.dir), RK_OK);

	w_start(&b, "b");
	w_wait_mirror(&b, MIRROR_OWNER);
	w_use(&b);
	W.id = id;
	w_until(is_missing, "its checkpoints are missed");
	t_eq_int(sup_resume(W.sup, id, "none", NULL, NULL, NULL), RK_OK);
	w_wait(id, JOB_SUCCEEDED);
	t_has(w_attempts(id), "2:succeeded");
	w_wait_shipped(&b, id, 1);
	w_kill(&b);
	free(id);
	w_world_end();
}

/* A record that says so is one of a rekindled that put it too early: what the
 * job knew is gone. */
T_CASE(a_record_of_before_that_waits_for_a_lost_upload_says_that_it_is_lost)
{
	struct node a, b;

	w_world();
	w_own(&a, "a");
	ship_stop(a.ship);
	char *id = submit_with("ok", json_pack("{s:b}", "require_remote", 1));
	w_wait(id, JOB_PAUSED);
	w_wait_written(&a);
	put_as_it_is(&a, id);
	w_kill(&a);
	t_eq_int(rk_remove_tree(AT_FDCWD, a.dir), RK_OK);

	w_own(&b, "b");
	W.id = id;
	w_until(is_missing, "its checkpoints are missed");
	t_has(w_events(id), "never got to the bucket");
	w_kill(&b);
	free(id);
	w_world_end();
}

T_CASE(a_job_whose_last_checkpoint_is_in_the_bucket_ends_without_a_trainer)
{
	struct node a, b;
	struct job_row r;

	w_world();
	w_start(&a, "a");
	w_wait_mirror(&a, MIRROR_OWNER);
	w_use(&a);
	char *id = submit_with("ok", json_pack("{s:b}", "require_remote", 1));
	w_wait(id, JOB_SUCCEEDED);
	/* The record that says so did not get there any more. */
	w_wait_written(&a);
	t_eq_int(store_job_get(a.store, id, &r), RK_OK);
	r.state = JOB_PAUSED;
	r.desired = JOB_RUN;
	free(r.reason);
	r.reason = xstrdup("uploading");
	t_eq_int(store_job_put(a.store, &r, NULL), RK_OK);
	store_job_fini(&r);
	records_listen(a.mirror, id, 's');
	w_wait_written(&a);
	w_kill(&a);
	t_eq_int(rk_remove_tree(AT_FDCWD, a.dir), RK_OK);

	w_start(&b, "b");
	w_wait_mirror(&b, MIRROR_OWNER);
	w_use(&b);
	w_wait(id, JOB_SUCCEEDED);
	t_check(strstr(w_attempts(id), "2:") == NULL);
	w_kill(&b);
	free(id);
	w_world_end();
}

/* --- the guard ------------------------------------------------------------ */

static int answered;

static void
answer(void *ctx, bool yes)
{
	(void)ctx;
	answered = yes ? 1 : -1;
}

/* Somebody put a folder where a record is to be. */
static void
block(const char *id, int64_t version, bool yes)
{
	char *p = xasprintf("%s/instances/gpu-a/records/0000000001/"
	    "%s.%010lld.json", w_bucket, id, (long long)version);

	if (yes)
		t_eq_int(rk_mkdirs(p, 0755), RK_OK);
	else
		t_eq_int(rmdir(p), 0);
	free(p);
}

static bool
has_failed(struct world *w)
{
	return w_node->mirror->put_fails >= w->want;
}

static void
patch(struct node *n, const char *id, int priority)
{
	struct rk_why why = { 0 };
	json_t *f = json_pack("{s:i}", "priority", priority);

	t_eq_int(sup_patch(n->sup, id, f, -1, NULL, &why), RK_OK);
	json_decref(f);
}

static int64_t
next_version(struct node *n, const char *id)
{
	struct job_row r;

	t_eq_int(store_job_get(n->store, id, &r), RK_OK);
	int64_t v = r.version + 1;
	store_job_fini(&r);
	return v;
}

T_CASE(the_guard_waits_for_the_oldest_of_records_that_failed_together)
{
	struct node a;

	w_world();
	w_start(&a, "a");
	w_wait_mirror(&a, MIRROR_OWNER);
	w_use(&a);
	char *one = w_submit("ok"), *two = w_submit("ok"),
	    *three = w_submit("ok");
	w_wait(one, JOB_SUCCEEDED);
	w_wait(two, JOB_SUCCEEDED);
	w_wait(three, JOB_SUCCEEDED);
	w_wait_shipped(&a, one, 1);
	w_wait_shipped(&a, two, 1);
	w_wait_shipped(&a, three, 1);
	w_wait_written(&a);
	block(one, next_version(&a, one), true);
	block(two, next_version(&a, two), true);
	patch(&a, one, 1);
	int64_t mark = a.mirror->marks;
	patch(&a, two, 2);
	W.want = 2;
	w_node = &a;
	w_until(has_failed, "failures");
	for (int i = 0; i < 6; i++) {
		/* Whatever the order in which they failed. */
		t_check(records_oldest(a.mirror) <= mark);
		W.want = a.mirror->put_fails + 1;
		loop_timer_at(a.mirror->batch_timer, mono_ms());
		w_until(has_failed, "another failure");
		w_spin(20);
	}
	watch_guard(a.mirror, answer, NULL);
	patch(&a, three, 3);
	w_spin(100);
	t_eq_int(answered, 0);
	block(one, next_version(&a, one) - 1, false);
	block(two, next_version(&a, two) - 1, false);
	loop_timer_at(a.mirror->batch_timer, mono_ms());
	w_wait_written(&a);
	w_spin(50);
	t_eq_int(answered, 1);
	w_kill(&a);
	free(one);
	free(two);
	free(three);
	w_world_end();
}

/* --- rows of jobs that are gone ------------------------------------------- */

static bool drained;

static void
on_drained(void *ctx)
{
	(void)ctx;
	drained = true;
}

static bool
is_drained(struct world *w)
{
	(void)w;
	return drained;
}

T_CASE(what_was_to_be_sent_of_a_job_that_was_deleted_elsewhere_is_forgotten)
{
	struct rk_why why = { 0 };
	struct node a, b;

	w_world();
	w_start(&a, "a");
	w_wait_mirror(&a, MIRROR_OWNER);
	w_use(&a);
	char *id = w_submit("ok");
	w_wait(id, JOB_SUCCEEDED);
	w_wait_shipped(&a, id, 1);
	w_wait_written(&a);
	char dir[] = "step-000000900", uri[] = "s3://b/x/", list[] = "[]",
	    info[] = "{}", nothing[] = "";
	struct remote_row r = { .dir = dir, .uri = uri, .files = list,
		.info = info, .error = nothing, .state = RS_QUEUED,
		.epoch = 1, .step = 900, .branch = 1 };
	snprintf(r.job, sizeof(r.job), "%s", id);
	t_eq_int(store_remote_put(a.store, &r, NULL), RK_OK);
	w_kill(&a);

	w_start(&b, "b");
	w_wait_mirror(&b, MIRROR_OWNER);
	w_use(&b);
	t_eq_int(sup_delete(b.sup, id, NULL, &why), RK_OK);
	w_wait_written(&b);
	w_kill(&b);

	w_start(&a, "a");
	w_wait_mirror(&a, MIRROR_OWNER);
	int64_t now = mono_ms();
	ship_drain(a.ship, now + 1000 * (int64_t)t_limit(10), on_drained,
	    NULL);
	w_until(is_drained, "the end of the drain");
	t_check(mono_ms() < now + 1000 * (int64_t)t_limit(10) / 2);
	w_kill(&a);
	free(id);
	w_world_end();
}

/* --- alone ---------------------------------------------------------------- */

static void
copy_dir(const char *from, const char *to)
{
	char cmd[200];

	snprintf(cmd, sizeof(cmd), "cp -r %s %s", from, to);
	t_eq_int(system(cmd), 0);
}

T_CASE(a_copy_that_went_on_alone_goes_on_with_the_jobs_that_it_missed)
{
	struct node a;

	w_world();
	w_start_wait_ms = 50;
	w_start(&a, "a");
	w_wait_mirror(&a, MIRROR_OWNER);
	w_use(&a);
	char *early = w_submit("ok");
	w_wait(early, JOB_SUCCEEDED);
	w_wait_shipped(&a, early, 1);
	w_wait_written(&a);
	a.frozen = true;
	copy_dir("a", "copy");          /* an image of a running machine */
	a.frozen = false;
	char *later = w_submit("run");
	w_wait_step(later, 3);
	w_save(later);
	w_wait_shipped(&a, later, 1);
	w_wait_written(&a);
	w_kill(&a);

	cut_off(true);
	w_start(&a, "copy");
	w_wait_mirror(&a, MIRROR_ALONE);
	cut_off(false);
	w_wait_mirror(&a, MIRROR_OWNER);
	w_use(&a);
	w_wait_step(later, 3);
	w_kill(&a);
	free(early);
	free(later);
	w_world_end();
}

/* --- objects that are not what they should be ----------------------------- */

static bool
has_error(struct world *w)
{
	(void)w;
	return w_node->mirror->error != NULL;
}

/* It waits longer each time, and says why for as long as that is so. */
static void
says_on_and_on(struct node *n, const char *part)
{
	w_node = n;
	w_until(has_error, "an error");
	for (int i = 0; i < 60; i++) {
		t_check(n->mirror->error != NULL);
		t_has(n->mirror->error, part);
		w_spin(50);
	}
	t_check(n->mirror->fails >= 2 && n->mirror->fails <= 4);
}

T_CASE(a_base_that_is_damaged_is_said_once_and_read_now_and_then)
{
	struct node a;

	w_world();
	w_put("epochs/0000000001.json", "{}");
	w_put("base/0000000001.jsonl", "{\"base\":");
	w_start(&a, "a");
	says_on_and_on(&a, "base/0000000001.jsonl cannot be used");
	w_kill(&a);
	w_world_end();
}

T_CASE(a_record_whose_version_is_not_that_of_its_name_is_passed_over)
{
	struct node a, b;
	char path[200];

	w_world();
	w_start(&a, "a");
	w_wait_mirror(&a, MIRROR_OWNER);
	w_use(&a);
	char *id = w_submit("ok");
	w_wait(id, JOB_SUCCEEDED);
	w_wait_written(&a);
	json_t *o = NULL;
	t_eq_int(store_job_export(a.store, id, &o), RK_OK);
	w_kill(&a);
	/* Beyond what a name can say. */
	json_object_set_new(json_object_get(o, "row"), "version",
	    json_integer(1ll << 50));
	char *text = rkj_text(o);
	snprintf(path, sizeof(path), "records/0000000001/%s.0000005000.json",
	    id);
	w_put(path, text);
	free(text);
	json_decref(o);
	w_start(&b, "b");
	w_wait_mirror(&b, MIRROR_OWNER);
	w_use(&b);
	t_has(w_events(""), "is not taken over");
	w_kill(&b);
	free(id);
	w_world_end();
}

T_CASE(a_deletion_at_an_impossible_time_does_no_harm)
{
	struct node a;

	w_world();
	w_put("epochs/0000000001.json", "{}");
	w_put("base/0000000001.jsonl",
	    "{\"base\":1,\"epoch\":1,\"claim\":\"" ID1 "\"}\n"
	    "{\"deleted\":\"" ID1 "\",\"at\":-9223372036854775808}\n"
	    "{\"deleted\":\"" ID2 "\",\"at\":9223372036854775807}\n"
	    "{\"end\":2}\n");
	w_start(&a, "a");
	w_wait_mirror(&a, MIRROR_OWNER);
	w_kill(&a);
	w_world_end();
}

T_MAIN
