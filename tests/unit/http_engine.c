/* The engine: connections that are kept, calls that wait for a place, are
 * cancelled, or still there when it closes; and calls without one. */
#include "http_calls.h"
#include "impl.h"

/* --- connections --------------------------------------------------------- */

T_CASE(a_connection_is_kept_and_a_fresh_one_made_when_asked)
{
	open_plain();
	for (int i = 0; i < 5; i++)
		t_eq_int(perform(get("/status/200")).status, 200);
	t_eq_int(NOW(server.connections), 1);
	struct http_request r = get("/status/200");
	r.fresh = true;
	t_eq_int(perform(r).status, 200);
	t_eq_int(NOW(server.connections), 2);
	close_all();
}

/* The server closes the kept connection while it hears the request. */
static void
put_after_fickle(struct http_request r, const char *want)
{
	t_eq_int(perform(get("/fickle")).status, 200);
	int before = NOW(server.connections);
	struct got g = perform(r);
	t_eq_int(g.end, HTTP_ANSWERED);
	t_has(g.body, want);
	t_eq_int(NOW(server.connections), before + 1);
}

T_CASE(a_body_is_sent_again_when_a_kept_connection_was_closed)
{
	open_plain();
	int fd = file_of("f", 700000);
	char *want = sum_of(0, 700000);
	/* Whether reading or writing notices it first is up to chance. */
	for (int i = 0; i < 30; i++)
		put_after_fickle(put_from(fd, "/put", 700000), want);
	free(want);
	static const char small[1000] = "small";
	struct http_request r = get("/put");
	r.method = "PUT";
	r.body = small;
	r.body_len = sizeof(small);
	put_after_fickle(r, "1000 ");
	close_all();
}

T_CASE(no_more_calls_go_to_a_host_at_once_than_allowed)
{
	open_all(&(struct http_config){ .per_host = 4 });
	struct got g = {0};
	for (int i = 0; i < 24; i++)
		(void)send_for(&g, get("/slow/20"));
	run_until(l, g.calls == 24);
	t_eq_int(g.answered, 24);
	t_eq_int(NOW(server.most_busy), 4);
	t_check(NOW(server.connections) <= 4);
	close_all();
}

/* The time that one call spends waiting for others is not its own: the last
 * one waits for half a second. */
T_CASE(a_call_s_patience_begins_when_it_does)
{
	open_all(&(struct http_config){ .per_host = 1 });
	struct got g = {0};
	for (int i = 0; i < 6; i++) {
		struct http_request r = get("/slow/100");
		r.total_ms = 450;
		(void)send_for(&g, r);
	}
	run_until(l, g.calls == 6);
	t_eq_int(g.answered, 6);
	t_check(g.ms < 450);
	close_all();
}

/* --- cancelling ---------------------------------------------------------- */

T_CASE(a_cancelled_call_is_never_heard_of_again)
{
	open_all(&(struct http_config){ .per_host = 3 });
	struct got g = {0};
	int fd = file_of("f", 0);
	/* Some run, some wait for a place, some are not even looked at. */
	struct http_call *c[8];
	for (int i = 0; i < 8; i++)
		c[i] = send_for(&g, get_into(fd, "/stall/100", 200, 1000));
	run_until(l, NOW(server.busy) == 3);
	struct http_call *late = send_for(&g, get("/stall/100"));
	http_cancel(&late);
	for (int i = 0; i < 8; i++)
		http_cancel(&c[i]);
	t_check(late == NULL && c[7] == NULL);
	/* What comes behind them has its place. */
	t_eq_int(perform(get("/status/200")).status, 200);
	t_eq_int(g.calls, 0);
	t_check(NOW(server.requests) <= 5);
	close_all();
}

T_CASE(nothing_is_written_behind_a_cancel)
{
	open_plain();
	struct got g = {0};
	for (int i = 0; i < 20; i++) {
		int fd = file_of("f", 0);
		struct http_call *c = send_for(&g, get_into(fd,
		    "/bytes/50000000", 200, 50000000));
		uint64_t sent = 0, sunk = 0;
		wait_until((http_moved(c, &sent, &sunk), sunk > 0));
		http_cancel(&c);
		t_check(ftruncate(fd, 0) == 0);
		usleep(3000);
		t_eq_int(size_of("f"), 0);
		close(fd);
	}
	t_eq_int(g.calls, 0);
	close_all();
}

/* Calls that the engine is through with, and the loop has not looked at. */
static int
unheard(void)
{
	const struct http_call *c;
	int n = 0;

	must(pthread_mutex_lock(&h->lock) == 0);
	TAILQ_FOREACH(c, &h->finished, link)
		n++;
	must(pthread_mutex_unlock(&h->lock) == 0);
	return n;
}

static struct http_call *own_call, *other_call;
static void
cancel_both(void *ctx, const struct http_answer *a)
{
	int *n = ctx;
	(void)a;
	++*n;
	http_cancel(&own_call);
	http_cancel(&other_call);
}

T_CASE(a_done_may_cancel_itself_and_another_that_has_ended)
{
	open_plain();
	int n = 0;
	struct http_request r = get("/status/200");
	r.done = cancel_both;
	r.ctx = &n;
	own_call = http_send(h, &r);
	other_call = http_send(h, &r);
	wait_until(unheard() == 2);
	t_eq_int(perform(get("/status/200")).status, 200);
	t_eq_int(n, 1);
	t_check(own_call == NULL && other_call == NULL);
	close_all();
}

/* --- closing ------------------------------------------------------------- */

static void
close_engine(void *ctx, const struct http_answer *a)
{
	int *n = ctx;
	(void)a;
	++*n;
	http_close(&h);
}

T_CASE(the_engine_may_be_closed_at_any_time)
{
	open_plain();
	int n = 0;
	struct got g = {0};
	int fd = file_of("f", 3000000);
	for (int us = 0; us < 40000; us = us * 2 + 1000) {
		for (int i = 0; i < 20; i++) {
			struct http_request r = i % 2 ? get("/stall/10") :
			    put_from(fd, "/put", 3000000);
			r.metered = true;
			(void)send_for(&g, r);
		}
		usleep((useconds_t)us);
		http_close(&h);
		t_eq_int(http_open(&h, l, &(struct http_config){0}), RK_OK);
	}
	t_eq_int(perform(get("/status/200")).status, 200);
	t_eq_int(g.calls, 0);
	/* From a callback, with another answer behind it. */
	struct http_request r = get("/status/200");
	r.ctx = &n;
	r.done = close_engine;
	http_send(h, &r);
	http_send(h, &r);
	wait_until(unheard() == 2);
	run_until(l, h == NULL);
	run_for(l, 10);
	t_eq_int(n, 1);
	loop_close(&l);
}

/* --- without an engine --------------------------------------------------- */

static bool
count_chunk(void *ctx, const char *p, size_t n)
{
	size_t *sum = ctx;
	(void)p;
	*sum += n;
	return *sum < 1000000;
}

T_CASE(a_call_without_an_engine_is_done_when_it_returns)
{
	server_start();
	struct got g = {0};
	size_t sum = 0;
	struct http_request r = get("/status/201");
	r.ctx = &g;
	http_now(&r, NULL, NULL);
	t_check(g.calls == 1 && g.status == 201 && g.end == HTTP_ANSWERED);
	t_eq_str(g.body, "status 201");
	r.url = url("/bytes/900000");
	http_now(&r, count_chunk, &sum);
	t_check(g.end == HTTP_ANSWERED && sum == 900000 && g.len == 0);
	r.url = url("/bytes/90000000");
	http_now(&r, count_chunk, &sum);
	t_eq_int(g.end, HTTP_CANCELLED);
	sum = 0;
	r.url = url("/status/404");
	http_now(&r, count_chunk, &sum);
	t_eq_str(g.body, "status 404");
	t_check(sum == 0 && g.calls == 4);
	t_eq_int(NOW(server.connections), 2);
}

T_MAIN
