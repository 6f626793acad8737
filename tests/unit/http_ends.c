/* Each way in which a call can go wrong has an end of its own, in time. */
#include <signal.h>
#include <sys/wait.h>

#include "http_calls.h"

T_CASE(an_answer_that_is_cut_is_broken_and_says_how_far_it_came)
{
	open_plain();
	struct got g = perform(get_into(file_of("f", 0), "/cut/600", 200,
	    1000));
	t_check(g.end == HTTP_BROKEN && g.sunk == 600 && g.status == 200);
	t_check(g.error[0] != '\0');
	t_eq_int(size_of("f"), 600);
	static const char *const bad[] = { "/cut/0", "/close", "/junk" };
	for (size_t i = 0; i < RK_ARRAY_LEN(bad); i++)
		t_eq_int(perform(get(bad[i])).end, HTTP_BROKEN);
	close_all();
}

static void
is_left(struct http_request r)
{
	r.slow_ms = 300;
	r.slow = 1024;
	struct got g = perform(r);
	t_eq_int(g.end, HTTP_STALLED);
	/* The server itself gives up after 8 s. */
	t_check(g.ms >= 300 && g.ms < 5000);
}

T_CASE(a_peer_that_moves_nothing_is_left)
{
	open_plain();
	is_left(get("/stall/10"));
	is_left(get("/silent"));
	/* What goes out first fills the buffers of both sides. */
	static const char *const headers[] = { "Expect:", NULL };
	struct http_request r = put_from(file_of("f", 20000000), "/deaf",
	    20000000);
	r.headers = headers;
	is_left(r);
	close_all();
}

/* Frozen with its peer for 3 s, a call has all its patience left. */
T_CASE(a_freeze_is_not_held_against_the_peer)
{
	open_plain();
	struct http_request r = get("/silent");
	r.slow_ms = 1500;
	r.slow = 1024;
	pid_t p = fork();
	if (p == 0) {
		usleep(200000);
		kill(getppid(), SIGSTOP);
		usleep(3000000);
		kill(getppid(), SIGCONT);
		_exit(0);
	}
	struct got g = perform(r);
	t_eq_int(g.end, HTTP_STALLED);
	t_check(g.ms >= 4200 && g.ms < 8000);
	t_eq_int(waitpid(p, NULL, 0), p);
	close_all();
}

T_CASE(the_total_time_ends_a_call_that_moves)
{
	open_plain();
	struct http_request r = get("/drip/10");
	r.total_ms = 300;
	struct got g = perform(r);
	t_eq_int(g.end, HTTP_STALLED);
	t_check(g.status == 200 && g.len > 0 && g.len < 1000);
	t_check(g.ms >= 290 && g.ms < 5000);
	close_all();
}

/* A listener whose queue is full: no connection to it is ever made. */
static const char *
full_listener(void)
{
	static char u[64];
	struct sockaddr_in a = { .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int full = socket(AF_INET, SOCK_STREAM, 0);

	t_check(bind(full, (void *)&a, sizeof(a)) == 0 &&
	    listen(full, 0) == 0 &&
	    getsockname(full, (void *)&a, &len) == 0);
	for (int i = 0; i < 4; i++) {
		int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(s, (void *)&a, len);
	}
	snprintf(u, sizeof(u), "http://127.0.0.1:%d/", ntohs(a.sin_port));
	return u;
}

T_CASE(who_does_not_listen_or_exist_has_its_own_end)
{
	open_plain();
	struct http_request r = get("/");
	r.url = "http://127.0.0.1:1/";
	struct got g = perform(r);
	t_eq_int(g.end, HTTP_NO_CONNECTION);
	t_has(g.error, "127.0.0.1");
	r.url = "http://" NOWHERE "/";
	t_eq_int(perform(r).end, HTTP_NO_HOST);
	r.url = full_listener();
	r.connect_ms = 200;
	g = perform(r);
	t_eq_int(g.end, HTTP_NO_CONNECTION);
	t_check(g.ms >= 190 && g.ms < 5000);
	close_all();
}

T_MAIN
