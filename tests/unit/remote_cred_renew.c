/* One source over time: who waits, renewal, keys that end, and its closing. */
#include "remote_cred.h"

#define KEYS "GET " AWS_ROLE "test-role"

T_CASE(many_who_wait_share_one_fetch)
{
	open_all();
	start_service();
	struct creds *cs = open_creds(AWS, CRED_INSTANCE);
	struct got many[50] = {0};
	set("delay=0.1");
	for (int i = 0; i < 50; i++)
		creds_get(cs, on_keys, &many[i]);
	creds_forget(cs, &many[7]);
	t_eq_int(many[0].calls, 0);
	run_until(l, many[49].calls > 0);
	for (int i = 0; i < 50; i++) {
		t_eq_int(many[i].calls, i == 7 ? 0 : 1);
		t_eq_str(many[i].id, i == 7 ? "" : "AKID");
		cred_unref(&many[i].c);
	}
	t_eq_int(count(KEYS), 1);
	creds_close(&cs);
	close_all();
}

/* The time of expiry has whole seconds only: of 3 s, 2 to 3 are left, and the
 * last fifth of them, less a little, is for asking. */
T_CASE(keys_are_renewed_before_they_expire_and_nobody_waits)
{
	open_all();
	start_service();
	struct creds *cs = open_creds(AWS, CRED_INSTANCE);
	set("rotate=1&lifetime=3");
	expect(cs, "AKID1", "HUSH", "TOKEN1");
	struct cred *first = cred_ref(cs->now);
	run_until(l, cs->now != first);
	t_check(now_ms() < first->expires_ms);
	creds_get(cs, on_keys, &g);
	t_eq_int(g.calls, 2);
	t_eq_str(g.id, "AKID2");
	t_eq_int(count(KEYS), 2);
	cred_unref(&first);
	cred_unref(&g.c);
	creds_close(&cs);
	close_all();
}

T_CASE(old_keys_serve_while_they_are_good_and_no_new_ones_come)
{
	open_all();
	start_service();
	hurried = true;
	setenv_at("AWS_CONTAINER_CREDENTIALS_FULL_URI", "/ecs");
	set("rotate=1");
	struct creds *cs = open_creds(AWS, CRED_CONTAINER);
	expect(cs, "AKID1", "HUSH", "TOKEN1");
	set("fail=1000");
	loop_timer_at(cs->refresh, 0);
	run_until(l, (hurry(cs), cs->failed_ms != 0));
	t_eq_int(count("GET /ecs"), 4); /* three tries */
	expect(cs, "AKID1", "HUSH", "TOKEN1");
	/* As if half a minute were left: others are asked for first. */
	cs->now->expires_ms = now_ms() + 30000;
	cs->failed_ms = 0;
	expect(cs, "AKID1", "HUSH", "TOKEN1");
	t_eq_int(count("GET /ecs"), 7);
	/* As if their time had come. */
	cs->now->expires_ms = now_ms();
	cs->failed_ms = 0;
	expect_none(cs, "container: the answer is 503");
	set("fail=0");
	cs->failed_ms = 0;
	expect(cs, "AKID2", "HUSH", "TOKEN2");
	creds_close(&cs);
	close_all();
}

T_CASE(expired_keys_of_a_machine_are_used_and_not_asked_for_each_time)
{
	open_all();
	start_service();
	struct creds *cs = open_creds(AWS, CRED_INSTANCE);
	set("lifetime=-100");
	for (int i = 0; i < 3; i++)
		expect(cs, "AKID", "HUSH", "TOKEN");
	t_eq_int(count(KEYS), 1);
	creds_close(&cs);
	close_all();
}

T_CASE(what_the_store_refuses_is_fetched_anew_once)
{
	open_all();
	start_service();
	struct creds *cs = open_creds(AWS, CRED_INSTANCE);
	set("rotate=1");
	refuse(cs);
	struct cred *old = cred_ref(g.c);
	expect(cs, "AKID2", "HUSH", "TOKEN2");
	/* A late complaint about the first set changes nothing. */
	creds_expired(cs, old);
	expect(cs, "AKID2", "HUSH", "TOKEN2");
	t_eq_int(count(KEYS), 2);
	cred_unref(&old);
	creds_close(&cs);
	close_all();
}

static struct creds *to_close;
static void
close_source(void *ctx, struct cred *c, const char *why)
{
	int *n = ctx;
	(void)why;
	++*n;
	cred_unref(&c);
	creds_close(&to_close);
}

T_CASE(a_source_may_be_closed_at_any_time)
{
	open_all();
	start_service();
	/* Three requests of 20 ms, and a moment in or between them. */
	set("delay=0.02");
	struct creds *cs;
	for (int ms = 0; ms < 80; ms += 8) {
		cs = open_creds(AWS, CRED_INSTANCE);
		creds_get(cs, on_keys, &g);
		run_for(l, ms);
		creds_close(&cs);
	}
	/* By one who waited, with another behind. */
	int n = 0, calls = g.calls;
	to_close = open_creds(AWS, CRED_INSTANCE);
	creds_get(to_close, close_source, &n);
	creds_get(to_close, close_source, &n);
	run_until(l, to_close == NULL);
	gives(AWS, CRED_INSTANCE, "AKID", "HUSH", "TOKEN");
	t_eq_int(n, 1);
	t_eq_int(g.calls, calls + 1);
	close_all();
}

T_MAIN
