/* Jobs in the store: written, read, listed, queued, deleted. */
#include "store_help.h"

static struct job_row
add(struct store *s, const char *name, int64_t priority, enum job_state state,
    const char *labels)
{
	struct job_row r = blank(name);

	r.priority = priority;
	r.state = state;
	put_str(&r.labels, labels);
	t_eq_int(store_job_add(s, &r, NULL), RK_OK);
	return r;
}

static bool
collect_id(void *ctx, const char *id, int64_t version)
{
	struct strbuf *b = ctx;

	sb_addf(b, "%s:%lld ", id, (long long)version);
	return true;
}

T_CASE(every_field_of_a_job_comes_back_after_reopening)
{
	struct store *s = open_store();
	struct job_row r = blank("defects"), got;

	r.priority = -7;
	r.state = JOB_HELD;
	r.desired = JOB_PAUSE;
	put_str(&r.reason, "hold");
	put_str(&r.message, "waits for \"start\"\n\xc3\xa9");
	put_str(&r.spec, "{\"a\":1}");
	put_str(&r.labels, "{\"team\":\"qa\"}");
	r.threads = 12;
	r.memory = (uint64_t)3 << 40;
	r.started_ms = 11;
	r.ended_ms = 12;
	r.attempt = 13;
	r.failures = 14;
	r.not_before_ms = 15;
	put_str(&r.resume_from, "step:40");
	put_str(&r.progress, "{\"step\":9}");
	put_str(&r.plan, "{\"p\":2}");
	put_str(&r.plan_summary, "loaded 2 of 4");
	put_str(&r.known_dir, "step-000000040");
	put_str(&r.accept, "data");
	r.known_step = 40;
	r.known_ms = 17;
	r.lost_steps = 18;
	t_eq_int(store_job_add(s, &r, NULL), RK_OK);
	t_check(rk_id_ok(r.id));
	t_check(r.created_ms > 0 && r.version == 1);
	s = reopened(s);
	t_eq_int(store_job_get(s, r.id, &got), RK_OK);
	t_eq_str(got.id, r.id);
	t_eq_str(got.name, "defects");
	t_eq_int(got.priority, -7);
	t_eq_int(got.state, JOB_HELD);
	t_eq_int(got.desired, JOB_PAUSE);
	t_eq_str(got.reason, "hold");
	t_eq_str(got.message, "waits for \"start\"\n\xc3\xa9");
	t_eq_str(got.spec, "{\"a\":1}");
	t_eq_str(got.labels, "{\"team\":\"qa\"}");
	t_eq_int(got.threads, 12);
	t_check(got.memory == (uint64_t)3 << 40);
	t_eq_int(got.created_ms, r.created_ms);
	t_eq_int(got.updated_ms, r.updated_ms);
	t_eq_int(got.started_ms, 11);
	t_eq_int(got.ended_ms, 12);
	t_eq_int(got.attempt, 13);
	t_eq_int(got.failures, 14);
	t_eq_int(got.not_before_ms, 15);
	t_eq_str(got.resume_from, "step:40");
	t_eq_str(got.progress, "{\"step\":9}");
	t_eq_str(got.plan, "{\"p\":2}");
	t_eq_str(got.plan_summary, "loaded 2 of 4");
	t_eq_str(got.known_dir, "step-000000040");
	t_eq_str(got.accept, "data");
	t_eq_int(got.known_step, 40);
	t_eq_int(got.known_ms, 17);
	t_eq_int(got.lost_steps, 18);
	t_eq_int(got.version, 1);
	store_job_fini(&got);
	store_job_fini(&r);
	store_close(&s);
}

T_CASE(a_write_from_an_old_copy_is_a_conflict_and_changes_nothing)
{
	struct store *s = open_store();
	struct job_row a = add(s, "a", 0, JOB_QUEUED, "{}"), b, c;

	t_eq_int(store_job_get(s, a.id, &b), RK_OK);
	put_str(&a.message, "first");
	t_eq_int(store_job_put(s, &a, NULL), RK_OK);
	t_eq_int(a.version, 2);
	put_str(&b.message, "second");
	b.state = JOB_FAILED;
	t_eq_int(store_job_put(s, &b, NULL), RK_ECONFLICT);
	t_eq_int(b.version, 1);
	t_eq_int(store_job_get(s, a.id, &c), RK_OK);
	t_eq_str(c.message, "first");
	t_eq_int(c.state, JOB_QUEUED);
	store_job_fini(&a);
	store_job_fini(&b);
	store_job_fini(&c);
	store_close(&s);
}

T_CASE(what_is_not_there_is_said_to_be_not_there)
{
	struct store *s = open_store();
	struct job_row r = blank("x"), got;
	struct attempt_row a = { .n = 1 };

	rk_id_new(r.id);
	r.version = 1;
	t_eq_int(store_job_get(s, r.id, &got), RK_ENOENT);
	t_eq_int(store_job_put(s, &r, NULL), RK_ENOENT);
	t_eq_int(store_job_delete(s, r.id, NULL), RK_ENOENT);
	t_eq_int(store_attempt_put(s, r.id, &a), RK_ENOENT);
	store_job_fini(&r);
	store_close(&s);
}

T_CASE(pages_are_newest_first_and_go_on_below_the_last_id)
{
	struct store *s = open_store();
	struct store_filter all = { 0 };
	struct job_row r[5];
	char name[8];

	for (int i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "j%d", i);
		r[i] = add(s, name, 0, JOB_QUEUED, "{}");
	}
	t_eq_str(page(s, all, NULL, 2), "j4 j3 ");
	t_eq_str(page(s, all, r[3].id, 2), "j2 j1 ");
	t_eq_str(page(s, all, r[1].id, 2), "j0 ");
	t_eq_str(page(s, all, r[0].id, 2), "");
	t_eq_str(page(s, all, NULL, 0), "");
	/* jobs that come and go do not move the page that follows */
	r[2].state = JOB_FAILED;
	t_eq_int(store_job_put(s, &r[2], NULL), RK_OK);
	t_eq_int(store_job_delete(s, r[2].id, NULL), RK_OK);
	struct job_row late = add(s, "late", 0, JOB_QUEUED, "{}");
	t_eq_str(page(s, all, r[3].id, 2), "j1 j0 ");
	struct strbuf b = { 0 };
	t_eq_int(store_job_ids(s, &all, r[1].id, 9, collect_id, &b), RK_OK);
	char *want = xasprintf("%s:1 ", r[0].id);
	t_eq_str(sb_str(&b), want);
	free(want);
	sb_fini(&b);
	for (int i = 0; i < 5; i++)
		store_job_fini(&r[i]);
	store_job_fini(&late);
	store_close(&s);
}

T_CASE(a_filter_by_states_merges_them_in_the_order_of_ids)
{
	struct store *s = open_store();
	static const enum job_state st[] = { JOB_QUEUED, JOB_FAILED,
		JOB_PAUSED, JOB_QUEUED, JOB_FAILED, JOB_SUCCEEDED };
	struct job_row r[6];
	char name[8];

	for (int i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "j%d", i);
		r[i] = add(s, name, 0, st[i], "{}");
	}
	struct store_filter f = { .states = 1u << JOB_QUEUED |
		1u << JOB_FAILED };
	t_eq_str(page(s, f, NULL, 9), "j4 j3 j1 j0 ");
	t_eq_str(page(s, f, r[4].id, 2), "j3 j1 ");
	f.states = 1u << JOB_RUNNING;
	t_eq_str(page(s, f, NULL, 9), "");
	/* a move is seen by the next page */
	r[5].state = JOB_RUNNING;
	t_eq_int(store_job_put(s, &r[5], NULL), RK_OK);
	t_eq_str(page(s, f, NULL, 9), "j5 ");
	for (int i = 0; i < 6; i++)
		store_job_fini(&r[i]);
	store_close(&s);
}

T_CASE(filters_by_label_name_and_prefix_go_with_states)
{
	struct store *s = open_store();
	struct job_row a = add(s, "same", 0, JOB_QUEUED,
	    "{\"team\":\"qa\",\"line\":\"7\"}");
	struct job_row b = add(s, "same", 0, JOB_FAILED, "{\"team\":\"dev\"}");
	struct job_row c = add(s, "other", 0, JOB_QUEUED, "{\"team\":\"qa\"}");
	struct store_filter f = { .label_key = "team", .label_value = "qa" };

	t_eq_str(page(s, f, NULL, 9), "other same ");
	f.name = "same";
	t_eq_str(page(s, f, NULL, 9), "same ");
	f.name = NULL;
	f.label_value = NULL;
	t_eq_str(page(s, f, NULL, 9), "other same same ");
	f.states = 1u << JOB_QUEUED;
	t_eq_str(page(s, f, NULL, 9), "other same ");
	t_eq_str(page(s, f, c.id, 9), "same ");
	f = (struct store_filter){ .name = "same" };
	t_eq_str(page(s, f, NULL, 9), "same same ");
	f.states = 1u << JOB_FAILED;
	t_eq_str(page(s, f, NULL, 9), "same ");
	f = (struct store_filter){ .id_prefix = c.id };
	t_eq_str(page(s, f, NULL, 9), "other ");
	f.id_prefix = "";
	t_eq_str(page(s, f, NULL, 9), "other same same ");
	f.id_prefix = "zzzz";
	t_eq_str(page(s, f, NULL, 9), "");
	/* labels follow the row, in value and in state */
	a.state = JOB_SUCCEEDED;
	t_eq_int(store_job_put(s, &a, NULL), RK_OK);
	f = (struct store_filter){ .label_key = "line",
		.states = 1u << JOB_SUCCEEDED };
	t_eq_str(page(s, f, NULL, 9), "same ");
	put_str(&a.labels, "{\"team\":\"ops\"}");
	t_eq_int(store_job_put(s, &a, NULL), RK_OK);
	t_eq_str(page(s, f, NULL, 9), "");
	f = (struct store_filter){ .label_key = "team", .label_value = "ops" };
	t_eq_str(page(s, f, NULL, 9), "same ");
	t_eq_int(store_job_delete(s, a.id, NULL), RK_OK);
	t_eq_str(page(s, f, NULL, 9), "");
	store_job_fini(&a);
	store_job_fini(&b);
	store_job_fini(&c);
	store_close(&s);
}

T_CASE(the_queue_is_by_priority_then_by_age)
{
	struct store *s = open_store();
	struct job_row a = add(s, "a", 0, JOB_QUEUED, "{}");
	struct job_row b = add(s, "b", 5, JOB_QUEUED, "{}");
	struct job_row c = add(s, "c", 0, JOB_QUEUED, "{}");
	struct job_row d = add(s, "d", 9, JOB_PAUSED, "{}");

	t_eq_str(queue(s, 9), "b a c ");
	d.state = JOB_QUEUED;
	c.priority = 7;
	t_eq_int(store_job_put(s, &d, NULL), RK_OK);
	t_eq_int(store_job_put(s, &c, NULL), RK_OK);
	t_eq_str(queue(s, 3), "d c b ");
	store_job_fini(&a);
	store_job_fini(&b);
	store_job_fini(&c);
	store_job_fini(&d);
	store_close(&s);
}

T_CASE(counts_follow_every_write_and_are_the_same_after_reopening)
{
	struct store *s = open_store();
	struct job_row a = add(s, "a", 0, JOB_QUEUED, "{}");
	struct job_row b = add(s, "b", 0, JOB_QUEUED, "{}");

	a.state = JOB_STARTING;
	t_eq_int(store_job_put(s, &a, NULL), RK_OK);
	b.state = JOB_CANCELLED;
	t_eq_int(store_job_put(s, &b, NULL), RK_OK);
	for (int round = 0; round < 2; round++) {
		t_eq_int(count(s, JOB_QUEUED), 0);
		t_eq_int(count(s, JOB_STARTING), 1);
		t_eq_int(count(s, JOB_CANCELLED), 1);
		s = reopened(s);
	}
	t_eq_int(store_job_delete(s, b.id, NULL), RK_OK);
	t_eq_int(count(s, JOB_CANCELLED), 0);
	store_job_fini(&a);
	store_job_fini(&b);
	store_close(&s);
}

T_CASE(a_job_that_still_lives_cannot_be_deleted_and_an_ended_one_goes_whole)
{
	struct store *s = open_store();
	struct job_row r = add(s, "a", 0, JOB_PAUSED, "{\"k\":\"v\"}");
	struct attempt_row a = { .n = 1 };
	struct store_note note = { .kind = "deleted", .message = "gone" };

	t_eq_int(store_job_delete(s, r.id, NULL), RK_ECONFLICT);
	r.state = JOB_FAILED;
	t_eq_int(store_job_step(s, &r, &a, &note), RK_OK);
	t_eq_int(store_job_delete(s, r.id, &note), RK_OK);
	t_eq_str(attempts(s, r.id), "");
	t_eq_str(events(s, r.id, 0), "deleted(gone) ");
	store_job_fini(&r);
	store_close(&s);
}

T_CASE(a_step_writes_job_attempt_and_event_or_none_of_them)
{
	struct store *s = open_store();
	struct job_row r = add(s, "a", 0, JOB_QUEUED, "{}");
	json_t *data = json_pack("{s:i}", "attempt", 1);
	struct store_note note = { "state", "starts", data, NULL, NULL };
	struct attempt_row a = { .n = 1, .pid = 77,
		.from = text("step-000000001") };

	r.version = 3;          /* somebody else's */
	t_eq_int(store_job_step(s, &r, &a, &note), RK_ECONFLICT);
	t_eq_str(attempts(s, r.id), "");
	t_eq_str(events(s, r.id, 0), "");
	r.version = 1;
	t_eq_int(store_job_step(s, &r, &a, &note), RK_OK);
	a.outcome = text("crashed");
	t_eq_int(store_attempt_put(s, r.id, &a), RK_OK);
	t_eq_str(attempts(s, r.id), "1:step-000000001:crashed::0 ");
	t_eq_str(events(s, r.id, 0), "state(starts){\"attempt\":1} ");
	json_decref(data);
	store_job_fini(&r);
	store_close(&s);
}

T_CASE(numbers_of_events_grow_over_all_jobs_and_are_never_used_twice)
{
	struct store *s = open_store();
	struct store_note note = { .kind = "k", .message = "m" };
	struct job_row a = add(s, "a", 0, JOB_FAILED, "{}");

	t_eq_int(store_last_seq(s), 0);
	t_eq_int(store_event_add(s, a.id, &note), RK_OK);
	t_eq_int(store_event_add(s, "", &note), RK_OK);
	t_eq_int(store_event_add(s, a.id, &note), RK_OK);
	t_eq_int(store_last_seq(s), 3);
	t_eq_str(events(s, NULL, 1), "k(m) k(m) ");
	t_eq_int(store_job_delete(s, a.id, NULL), RK_OK);
	s = reopened(s);
	t_eq_int(store_last_seq(s), 3);
	t_eq_int(store_event_add(s, "", &note), RK_OK);
	t_eq_int(store_last_seq(s), 4);
	t_eq_int(store_sweep(s, 1), RK_OK);
	t_eq_str(events(s, NULL, 0), "k(m) ");
	store_job_fini(&a);
	store_close(&s);
}

T_CASE(a_key_is_kept_with_the_write_it_belongs_to_and_taken_once)
{
	struct store *s = open_store();
	struct store_note note = { "submitted", "m", NULL, "key-1", "d1" };
	struct job_row a = blank("a"), b = blank("b");
	struct idem_row k;

	t_eq_int(store_idem_get(s, "key-1", &k), RK_ENOENT);
	t_eq_int(store_job_add(s, &a, &note), RK_OK);
	t_eq_int(store_job_add(s, &b, &note), RK_EEXIST);
	t_eq_int(count(s, JOB_QUEUED), 1);
	t_eq_int(store_idem_get(s, "key-1", &k), RK_OK);
	t_eq_str(k.digest, "d1");
	t_eq_str(k.job, a.id);
	t_eq_int(k.status, 0);
	store_idem_fini(&k);
	t_eq_int(store_idem_answer(s, "key-1", 201, "{}"), RK_OK);
	t_eq_int(store_idem_answer(s, "key-2", 201, "{}"), RK_ENOENT);
	s = reopened(s);
	t_eq_int(store_idem_get(s, "key-1", &k), RK_OK);
	t_eq_int(k.status, 201);
	t_eq_str(k.body, "{}");
	store_idem_fini(&k);
	store_job_fini(&a);
	store_job_fini(&b);
	store_close(&s);
}

T_MAIN
