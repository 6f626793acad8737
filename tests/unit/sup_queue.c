/* Who runs when not all can: order, slots, room made for higher priorities. */
#include "sup_fake.h"

static char *
submit(const char *script, int64_t priority, int64_t threads, int64_t mib)
{
	json_t *tree = w_job(script);

	json_object_set_new(tree, "priority", json_integer(priority));
	json_object_set_new(tree, "resources", json_pack("{s:I, s:I}",
	    "threads", (json_int_t)threads, "memory",
	    (json_int_t)mib << 20));
	return w_submit_tree(tree);
}

static void
is(const char *id, enum job_state state)
{
	t_eq_str(job_state_words[w_state(id)], job_state_words[state]);
}

static void
cancel(const char *id)
{
	t_eq_int(sup_cancel(W.sup, id, NULL, NULL), RK_OK);
}

T_CASE(as_many_run_as_there_are_threads_for)
{
	w_begin();
	char *a = submit("run", 0, 2, 1), *b = submit("run", 0, 2, 1);
	char *c = submit("run", 0, 1, 1);
	w_wait(a, JOB_RUNNING);
	w_wait(b, JOB_RUNNING);
	w_spin(50);
	is(c, JOB_QUEUED);
	int running;
	int64_t queued, threads;
	uint64_t memory;
	sup_stats(W.sup, &running, &queued, &threads, &memory);
	t_eq_int(running, 2);
	t_eq_int(queued, 1);
	t_eq_int(threads, 4);
	t_eq_int(memory, 2 << 20);
	cancel(a);
	w_wait(c, JOB_RUNNING);
	is(b, JOB_RUNNING);
	free(a);
	free(b);
	free(c);
	w_close();
}

T_CASE(as_many_run_as_there_is_memory_for)
{
	w_begin();
	char *a = submit("run", 0, 1, 3000), *b = submit("run", 0, 1, 2000);
	w_wait(a, JOB_RUNNING);
	w_spin(50);
	is(b, JOB_QUEUED);
	cancel(a);
	w_wait(b, JOB_RUNNING);
	free(a);
	free(b);
	w_close();
}

T_CASE(higher_priority_runs_first_and_then_the_older)
{
	w_prepare();
	W.c.threads = 1;
	w_open();
	char *busy = submit("run", 9, 1, 1);
	w_wait(busy, JOB_RUNNING);
	char *a = submit("ok", 0, 1, 1), *b = submit("ok", 0, 1, 1);
	char *c = submit("ok", 5, 1, 1);
	cancel(busy);
	w_wait(b, JOB_SUCCEEDED);
	struct job_row ra = w_row(a), rb = w_row(b), rc = w_row(c);
	t_check(rc.started_ms <= ra.started_ms);
	t_check(ra.started_ms <= rb.started_ms);
	t_check(rc.ended_ms <= ra.ended_ms && ra.ended_ms <= rb.ended_ms);
	store_job_fini(&ra);
	store_job_fini(&rb);
	store_job_fini(&rc);
	free(busy);
	free(a);
	free(b);
	free(c);
	w_close();
}

T_CASE(a_higher_priority_makes_room_and_the_lower_goes_on_by_itself)
{
	w_prepare();
	W.c.threads = 1;
	w_open();
	char *low = submit("run ok", 0, 1, 1);
	w_wait_step(low, 3);
	char *high = submit("run", 10, 1, 1);
	w_wait(high, JOB_RUNNING);
	is(low, JOB_QUEUED);
	t_eq_str(w_reason(low), "priority");
	t_has(w_attempts(low), "1:paused::1 ");
	t_has(w_events(low), "for a job of higher priority");
	cancel(high);
	w_wait(low, JOB_SUCCEEDED);
	t_has(w_attempts(low), "2:succeeded:step-0000000");
	struct job_row r = w_row(low);
	t_eq_int(r.failures, 0);
	store_job_fini(&r);
	free(low);
	free(high);
	w_close();
}

T_CASE(no_more_are_paused_than_must_be)
{
	w_begin();
	char *big = submit("run", 0, 3, 1);
	w_wait(big, JOB_RUNNING);
	char *small = submit("run", 0, 1, 1);
	w_wait(small, JOB_RUNNING);
	w_wait_step(small, 1);
	char *high = submit("run", 5, 3, 1);
	w_wait(high, JOB_RUNNING);
	is(small, JOB_RUNNING);
	is(big, JOB_QUEUED);
	t_check(strstr(w_events(small), "priority") == NULL);
	free(big);
	free(small);
	free(high);
	w_close();
}

T_CASE(nobody_is_paused_for_a_job_that_would_not_fit_anyway)
{
	w_begin();
	char *higher = submit("run", 9, 1, 1), *low = submit("run", 0, 3, 1);
	w_wait(higher, JOB_RUNNING);
	w_wait(low, JOB_RUNNING);
	char *high = submit("run", 5, 4, 1);
	w_spin(100);
	is(low, JOB_RUNNING);
	is(high, JOB_QUEUED);
	t_check(strstr(w_events(low), "priority") == NULL);
	/* but as soon as it would */
	cancel(higher);
	w_wait(high, JOB_RUNNING);
	is(low, JOB_QUEUED);
	free(higher);
	free(low);
	free(high);
	w_close();
}

T_CASE(equals_do_not_push_each_other_out)
{
	w_prepare();
	W.c.threads = 1;
	w_open();
	char *a = submit("run", 3, 1, 1);
	w_wait(a, JOB_RUNNING);
	char *b = submit("run", 3, 1, 1);
	w_spin(50);
	is(a, JOB_RUNNING);
	is(b, JOB_QUEUED);
	free(a);
	free(b);
	w_close();
}

T_CASE(small_jobs_do_not_starve_a_large_one)
{
	w_begin();
	char *a = submit("run", 0, 3, 1);
	w_wait(a, JOB_RUNNING);
	char *large = submit("run", 0, 2, 1), *small = submit("run", 0, 1, 1);
	w_spin(100);
	is(large, JOB_QUEUED);
	is(small, JOB_QUEUED);
	cancel(a);
	w_wait(large, JOB_RUNNING);
	w_wait(small, JOB_RUNNING);
	free(a);
	free(large);
	free(small);
	w_close();
}

T_CASE(a_job_in_its_back_off_holds_nobody_back)
{
	w_prepare();
	W.c.threads = 1;
	W.c.retry_base_ms = W.c.retry_max_ms = 400;
	w_open();
	char *a = submit("crash crash ok", 5, 1, 1);
	w_wait_attempt(a, 2);
	char *b = submit("ok", 0, 1, 1);
	w_wait(b, JOB_SUCCEEDED);
	is(a, JOB_QUEUED);
	w_wait(a, JOB_SUCCEEDED);
	free(a);
	free(b);
	w_close();
}

T_CASE(a_patched_priority_counts_at_once)
{
	w_prepare();
	W.c.threads = 1;
	w_open();
	char *a = submit("run", 0, 1, 1);
	w_wait_step(a, 1);
	char *b = submit("run", 0, 1, 1);
	w_spin(30);
	is(b, JOB_QUEUED);
	json_t *p = json_pack("{s:i}", "priority", 1);
	t_eq_int(sup_patch(W.sup, b, p, -1, NULL, NULL), RK_OK);
	json_decref(p);
	w_wait(b, JOB_RUNNING);
	is(a, JOB_QUEUED);
	/* the running one's counts too: it cannot be pushed out by less */
	p = json_pack("{s:i}", "priority", 8);
	t_eq_int(sup_patch(W.sup, b, p, -1, NULL, NULL), RK_OK);
	json_decref(p);
	p = json_pack("{s:i}", "priority", 7);
	t_eq_int(sup_patch(W.sup, a, p, -1, NULL, NULL), RK_OK);
	json_decref(p);
	w_spin(50);
	is(b, JOB_RUNNING);
	free(a);
	free(b);
	w_close();
}

T_CASE(a_job_that_the_machine_became_too_small_for_is_told_and_passed_over)
{
	w_begin();
	char *big = submit("ok", 0, 4, 1);
	t_eq_int(w_state(big), JOB_QUEUED);
	w_close();              /* before the loop had a chance to start it */
	W.c.threads = 2;
	w_open();
	char *small = submit("ok", 0, 1, 1);
	w_wait(small, JOB_SUCCEEDED);
	is(big, JOB_QUEUED);
	t_eq_str(w_reason(big), "too_large");
	t_has(w_events(big), "asks for 4 threads");
	json_t *o = json_pack("{s:{s:i}}", "resources", "threads", 2);
	t_eq_int(sup_pause(W.sup, big, NULL, NULL), RK_OK);
	t_eq_int(sup_resume(W.sup, big, NULL, o, NULL, NULL), RK_OK);
	json_decref(o);
	w_wait(big, JOB_SUCCEEDED);
	free(big);
	free(small);
	w_close();
}

/* What the daemon that is up has given to jobs. */
static int64_t
threads_given(void)
{
	int running;
	int64_t queued, threads;
	uint64_t memory;

	sup_stats(W.sup, &running, &queued, &threads, &memory);
	return threads;
}

T_CASE(a_job_that_says_no_threads_has_all_of_each_daemon)
{
	json_t *tree;

	w_begin();
	tree = w_job("run");
	json_object_del(json_object_get(tree, "resources"), "threads");
	char *all = w_submit_tree(tree);
	w_wait(all, JOB_RUNNING);
	t_eq_int(threads_given(), 4);
	for (int64_t n = 1; n < 8; n += 6) {
		w_close();
		W.c.threads = n;
		w_open();
		w_wait(all, JOB_RUNNING);
		t_eq_int(threads_given(), n);
	}
	cancel(all);
	w_wait(all, JOB_CANCELLED);
	free(all);
	w_close();
}

static int left;

static bool
none_left(struct world *w)
{
	int64_t n[JOB_STATES];

	t_eq_int(store_counts(w->store, n), RK_OK);
	left = (int)(n[JOB_QUEUED] + n[JOB_STARTING] + n[JOB_RUNNING]);
	return left == 0;
}

T_CASE(many_jobs_of_all_sizes_and_priorities_all_end)
{
	w_begin();
	for (uint64_t i = 0; i < 60; i++) {
		uint32_t x = rk_draw_u32(1, 2, 3, i);
		free(submit("ok", x % 3, 1 + x / 3 % 4, 1 + x % 900));
		if (i % 7 == 0)
			w_spin(5);
	}
	W.id = NULL;
	w_until(none_left, "the end of all");
	struct sup_totals t;
	sup_totals(W.sup, &t);
	t_eq_int(t.crashes, 0);
	w_close();
}

T_MAIN
