/* What can be sent in time: the plan's arithmetic, drains, rehearsals. */
#include "impl.h"
#include "ship_world.h"

#define MB 1000000ull

T_CASE(the_plan_is_by_priority_then_by_what_is_least_to_send)
{
	/* 10 MB/s: 3 + 1 + 2 s by priority 5 and 0, which end at 3, 4, 6. */
	struct plan_item v[] = {
		{ .priority = 0, .newest = true, .left = 20 * MB, .tag = 0 },
		{ .priority = 0, .newest = true, .left = 10 * MB, .tag = 1 },
		{ .priority = 5, .newest = true, .left = 30 * MB, .tag = 2 },
	};

	plan_fit(v, 3, 10e6, 6);
	t_eq_int(v[0].tag, 2);
	t_eq_int(v[1].tag, 1);
	t_eq_int(v[2].tag, 0);
	t_check(v[0].fits && v[1].fits && v[2].fits);
	t_near(v[0].end, 3, 1e-9);
	t_near(v[1].end, 4, 1e-9);
	t_near(v[2].end, 6, 1e-9);
}

T_CASE(what_comes_too_late_leaves_its_time_to_those_behind_it)
{
	struct plan_item v[] = {
		{ .priority = 9, .newest = true, .left = 100 * MB, .tag = 0 },
		{ .priority = 0, .newest = true, .left = 20 * MB, .tag = 1 },
	};

	plan_fit(v, 2, 10e6, 4);
	t_check(!v[0].fits && v[0].tag == 0 && v[0].end < 0);
	t_check(v[1].fits);
	t_near(v[1].end, 2, 1e-9);
}

T_CASE(the_newest_of_each_job_is_before_any_older)
{
	struct plan_item v[] = {
		{ .priority = 9, .newest = false, .left = 1 * MB, .tag = 0 },
		{ .priority = 0, .newest = true, .left = 30 * MB, .tag = 1 },
	};

	plan_fit(v, 2, 10e6, 3);
	t_eq_int(v[0].tag, 1);
	t_check(v[0].fits && !v[1].fits);
}

T_CASE(what_is_committed_later_begins_later)
{
	struct plan_item v[] = {
		{ .newest = true, .left = 10 * MB, .after = 2, .tag = 0 },
	};

	plan_fit(v, 1, 10e6, 3);
	t_near(v[0].end, 3, 1e-9);
	plan_fit(v, 1, 10e6, 2.9);
	t_check(!v[0].fits);
}

T_CASE(without_a_rate_everything_is_believed_to_fit)
{
	struct plan_item v[] = {
		{ .newest = true, .left = 1000000 * MB, .tag = 0 },
	};

	plan_fit(v, 1, 0, 0.1);
	t_check(v[0].fits);
}

/* --- drains -------------------------------------------------------------- */

static int drained;

static void
on_drained(void *ctx)
{
	(void)ctx;
	drained++;
}

static bool
is_drained(struct world *w)
{
	(void)w;
	return drained > 0;
}

T_CASE(a_drain_ends_when_all_is_in_the_bucket)
{
	s_begin();
	char *id = s_job(3);
	s_save(id, 100);
	s_save(id, 200);
	int64_t now = mono_ms();
	ship_drain(S.ship, now + 1000 * (int64_t)t_limit(15), on_drained,
	    NULL);
	t_eq_int(drained, 0);
	w_until(is_drained, "the end of the drain");
	t_check(mono_ms() < now + 1000 * (int64_t)t_limit(15) / 2);
	t_eq_str(s_state(id, "step-000000100"), "verified");
	t_eq_str(s_state(id, "step-000000200"), "verified");
	t_has(w_events(id), "[drain] step 200 is in the bucket");
	t_eq_int(drained, 1);
	s_close();
}

T_CASE(a_drain_with_nothing_to_do_ends_at_once)
{
	s_prepare();
	S.c.prefix = NULL;
	s_open();
	ship_drain(S.ship, mono_ms() + 1000 * (int64_t)t_limit(15), on_drained,
	    NULL);
	w_until(is_drained, "the end of the drain");
	s_close();
}

T_CASE(a_drain_ends_at_its_deadline_and_says_what_stays)
{
	s_begin();
	char *id = s_job(3);
	s_save(id, 100);
	s_wait(id, "step-000000100", "verified");
	s_close();
	/* Nobody listens there: that may pass, and is waited for. */
	S.stores = json_pack("[{s:s, s:s, s:s, s:s}]", "match", "s3://",
	    "endpoint", "http://127.0.0.1:1", "access_key_id", "A",
	    "secret_access_key", "s");
	S.c.prefix = "s3://nowhere/";
	s_open();
	s_save(id, 200);
	int64_t now = mono_ms();
	ship_drain(S.ship, now + 60000, on_drained, NULL);
	ship_drain(S.ship, now + 300, on_drained, NULL);
	w_until(is_drained, "the deadline");
	t_check(mono_ms() >= now + 300);
	t_eq_int(drained, 2);
	t_has(w_events(id), "[drain] step 200 stays on this machine: ");
	t_has(w_events(id), "the bucket has step 100");
	s_close();
	json_decref(S.stores);
}

T_CASE(a_drain_that_is_refused_ends_before_its_deadline)
{
	s_begin();
	char *id = s_job(3);
	t_eq_int(rename("bucket", "away"), 0);
	write_file("bucket", "");
	s_save(id, 200);
	int64_t now = mono_ms();
	ship_drain(S.ship, now + 1000 * (int64_t)t_limit(15), on_drained,
	    NULL);
	w_until(is_drained, "the end of the drain");
	t_check(mono_ms() < now + 1000 * (int64_t)t_limit(15) / 2);
	t_has(w_events(id), "the bucket has none of it");
	s_close();
}

T_CASE(what_trainers_commit_in_a_drain_goes_up)
{
	s_begin();
	char *id = w_submit("run");
	w_wait_step(id, 5);
	int64_t by = mono_ms() + 1000 * (int64_t)t_limit(15);
	sup_drain(W.sup, by, "drain", NULL, NULL);
	ship_drain(S.ship, by, on_drained, NULL);
	w_until(is_drained, "the end of the drain");
	t_check(mono_ms() < by - 2000);
	struct ckpt *c = s_folder(id);
	struct ckpt_info i;
	struct rk_why why = {0};
	t_eq_int(ckpt_select(c, "latest", "loss", false, &i, &why), RK_OK);
	t_eq_str(s_state(id, i.dir), "verified");
	t_has(w_events(id), "[drain] step ");
	t_has(w_events(id), "is in the bucket");
	ckpt_info_fini(&i);
	ckpt_close(&c);
	s_close();
}

T_CASE(a_rehearsal_lists_jobs_with_a_destination)
{
	s_begin();
	char *id = w_submit("run");
	w_wait_step(id, 5);
	json_t *o = ship_rehearse(S.ship, 30);
	json_t *jobs = json_object_get(o, "jobs");
	t_eq_int(json_array_size(jobs), 1);
	json_t *j = json_array_get(jobs, 0);
	t_eq_str(json_string_value(json_object_get(j, "id")), id);
	t_check(json_is_null(json_object_get(j, "have")));
	t_check(json_is_boolean(json_object_get(j, "remote")));
	t_check(json_object_get(o, "rate_bytes_per_second") != NULL);
	json_decref(o);
	s_close();
	S.c.prefix = NULL;
	s_open();
	o = ship_rehearse(S.ship, 30);
	t_eq_int(json_array_size(json_object_get(o, "jobs")), 0);
	json_decref(o);
	s_close();
}

T_CASE(hurry_tries_again_at_once)
{
	s_prepare();
	S.c.retry_ms = S.c.retry_max_ms = 60000;
	s_open();
	char *id = s_job(3);
	t_eq_int(rename("bucket", "away"), 0);
	write_file("bucket", "");
	s_save(id, 100);
	s_wait_event(id, "[push_failing]");
	t_eq_int(remove("bucket"), 0);
	t_eq_int(rename("away", "bucket"), 0);
	ship_hurry(S.ship, "a warning came");
	s_wait(id, "step-000000100", "verified");
	s_close();
}

T_MAIN
