/* The engine against a server in the same process. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "http_server.h"
#include "rekindle/http.h"

static struct loop *l;
static struct http *h;

static void
open_all(const struct http_config *c)
{
	unsetenv("http_proxy");
	unsetenv("no_proxy");
	server_start();
	t_eq_int(loop_open(&l), RK_OK);
	t_eq_int(http_open(&h, l, c), RK_OK);
}

static void
close_all(void)
{
	http_close(&h);
	t_check(h == NULL);
	loop_close(&l);
}

/* How a call ended, kept behind its answer. */
struct got {
	int calls;
	enum http_end end;
	enum rk_err err;
	int status;
	char error[256], *body, header[256];
	size_t len;
	uint64_t sent, sunk;
	int64_t ms;
};
static int awaited;

static void
ended(void *ctx, const struct http_answer *a)
{
	struct got *g = ctx;
	const char *v = http_header(a, "x-test");

	g->calls++;
	g->end = a->end;
	g->err = a->err;
	g->status = a->status;
	g->len = a->len;
	g->sent = a->sent;
	g->sunk = a->sunk;
	g->ms = a->ms;
	snprintf(g->error, sizeof(g->error), "%s", a->error);
	snprintf(g->header, sizeof(g->header), "%s", v != NULL ? v : "-");
	free(g->body);
	g->body = xstrndup(a->body, a->len);
	t_check(a->body[a->len] == '\0');
	if (--awaited == 0)
		loop_stop(l);
}

static char *
url(const char *path)
{
	static char u[8][512];
	static int i;

	i = (i + 1) % 8;
	snprintf(u[i], sizeof(u[i]), "http://127.0.0.1:%d%s", server.port, path);
	return u[i];
}

static struct http_request
get(const char *path, struct got *g)
{
	return (struct http_request){ .method = "GET", .url = url(path),
	    .body_fd = -1, .sink_fd = -1, .no_proxy = true, .done = ended,
	    .ctx = g };
}

static void
await(int n)
{
	awaited += n;
	alarm(20);
	loop_run(l);
	alarm(0);
}

static struct got
perform(const struct http_request *r)
{
	struct got g = {0};
	struct http_request own = *r;

	own.ctx = &g;
	http_send(h, &own);
	await(1);
	t_eq_int(g.calls, 1);
	return g;
}

static struct got
perform_get(const char *path)
{
	struct http_request r = get(path, NULL);

	return perform(&r);
}

static void
nap(void *ctx)
{
	loop_stop(ctx);
}

static void
run_for(int64_t ms)
{
	struct loop_timer *t = loop_timer_add(l, nap, l);

	loop_timer_at(t, mono_ms() + ms);
	loop_run(l);
	loop_timer_del(&t);
}

static int
file_of(const char *name, uint64_t n)
{
	int fd = open(name, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);
	static char buf[1 << 16];

	t_check(fd >= 0);
	for (uint64_t at = 0; at < n;) {
		size_t k = 0;
		while (k < sizeof(buf) && at < n)
			buf[k++] = (char)server_byte(at++);
		t_check(rk_write_all(fd, buf, k) == 0);
	}
	return fd;
}

T_CASE(any_status_is_an_answer_with_its_body_and_headers)
{
	open_all(&(struct http_config){0});
	static const int status[] = { 200, 204, 301, 403, 404, 412, 500, 503 };
	for (size_t i = 0; i < RK_ARRAY_LEN(status); i++) {
		char path[32], want[32];
		snprintf(path, sizeof(path), "/status/%d", status[i]);
		snprintf(want, sizeof(want), "status %d", status[i]);
		struct got g = perform_get(path);
		t_eq_int(g.end, HTTP_ANSWERED);
		t_eq_int(g.status, status[i]);
		t_eq_str(g.error, "");
		t_eq_str(g.header, "one two");
		if (status[i] != 204)
			t_eq_str(g.body, want);
		free(g.body);
	}
	close_all();
}

T_CASE(a_connection_is_kept_and_a_fresh_one_made_when_asked)
{
	open_all(&(struct http_config){0});
	for (int i = 0; i < 5; i++)
		free(perform_get("/status/200").body);
	t_eq_int(NOW(server.connections), 1);
	struct http_request r = get("/status/200", NULL);
	r.fresh = true;
	free(perform(&r).body);
	t_eq_int(NOW(server.connections), 2);
	close_all();
}

T_CASE(the_head_goes_out_as_it_was_written)
{
	open_all(&(struct http_config){0});
	static const char *const headers[] = { "X-Mine: a b", "Accept:",
	    "X-Amz-Date: 20130524T000000Z", NULL };
	struct http_request r = get("/head/a/./b/../c%20d//e?x=%2B&y", NULL);
	r.headers = headers;
	struct got g = perform(&r);
	t_has(g.body, "GET /head/a/./b/../c%20d//e?x=%2B&y HTTP/1.1\r\n");
	t_has(g.body, "\r\nX-Mine: a b\r\n");
	t_has(g.body, "\r\nX-Amz-Date: 20130524T000000Z\r\n");
	t_check(strstr(g.body, "Accept:") == NULL);
	t_check(strstr(g.body, "Accept-Encoding") == NULL);
	free(g.body);
	r.method = "PUT";
	r.body = "small";
	r.body_len = 5;
	g = perform(&r);
	t_has(g.body, "Content-Length: 5");
	t_check(strstr(g.body, "Expect") == NULL);
	free(g.body);
	close_all();
}

T_CASE(each_method_is_itself)
{
	open_all(&(struct http_config){0});
	static const char *const m[] = { "PUT", "POST", "DELETE", "PATCH" };
	for (size_t i = 0; i < RK_ARRAY_LEN(m); i++) {
		struct http_request r = get("/head/x", NULL);
		r.method = m[i];
		struct got g = perform(&r);
		t_check(begins(g.body, m[i]) && g.body[strlen(m[i])] == ' ');
		if (i < 2)
			t_has(g.body, "Content-Length: 0");
		free(g.body);
		r = get("/echo", NULL);
		r.method = m[i];
		r.body = "some\0bytes";
		r.body_len = 10;
		g = perform(&r);
		t_check(g.len == 10 && g.sent == 10);
		free(g.body);
	}
	struct http_request r = get("/status/404", NULL);
	r.method = "HEAD";
	struct got g = perform(&r);
	t_check(g.end == HTTP_ANSWERED && g.status == 404 && g.len == 0);
	free(g.body);
	close_all();
}

/* sum of byte * place, as /put answers it */
static char *
sum_of(uint64_t from, uint64_t n)
{
	unsigned long long sum = 0;
	for (uint64_t i = 0; i < n; i++)
		sum += server_byte(from + i) * (i + 1);
	return xasprintf("%llu %llu", (unsigned long long)n, sum);
}

T_CASE(a_file_s_range_goes_out)
{
	open_all(&(struct http_config){0});
	int fd = file_of("f", 5000000);
	static const uint64_t sizes[] = { 0, 1, 70000, 3000000 };
	for (size_t i = 0; i < RK_ARRAY_LEN(sizes); i++) {
		for (int post = 0; post < 2; post++) {
			struct http_request r = get("/put", NULL);
			r.method = post ? "POST" : "PUT";
			r.body_fd = fd;
			r.body_at = 1234;
			r.body_size = sizes[i];
			struct got g = perform(&r);
			t_eq_int(g.end, HTTP_ANSWERED);
			char *want = sum_of(1234, sizes[i]);
			t_eq_str(g.body, want);
			t_eq_int(g.sent, sizes[i]);
			free(want);
			free(g.body);
		}
	}
	t_eq_int(lseek(fd, 0, SEEK_CUR), 5000000);
	close_all();
}

T_CASE(a_file_that_became_shorter_is_a_fault_of_the_disk)
{
	open_all(&(struct http_config){0});
	struct http_request r = get("/put", NULL);
	r.method = "PUT";
	r.body_fd = file_of("f", 100000);
	r.body_size = 200000;
	struct got g = perform(&r);
	t_check(g.end == HTTP_DISK && g.err == RK_EIO);
	t_has(g.error, "shorter");
	free(g.body);
	close_all();
}

static void
check_file(const char *name, uint64_t at, uint64_t from, uint64_t n)
{
	char *p = NULL;
	size_t len = 0;
	t_eq_int(rk_read_file(AT_FDCWD, name, 1 << 26, &p, &len), RK_OK);
	t_check(len >= at + n);
	for (uint64_t i = 0; i < n; i++) {
		if ((unsigned char)p[at + i] != server_byte(from + i))
			t_fail("byte %llu is wrong", (unsigned long long)i);
	}
	free(p);
}

T_CASE(a_range_goes_into_its_place_in_a_file)
{
	open_all(&(struct http_config){0});
	int fd = file_of("f", 0);
	struct http_request r = get("/bytes/9000000", NULL);
	static const char *const headers[] = { "Range: bytes=100-2000099",
	    NULL };
	r.headers = headers;
	r.sink_fd = fd;
	r.sink_status = 206;
	r.sink_at = 5000;
	r.sink_size = 2000000;
	struct got g = perform(&r);
	t_eq_int(g.end, HTTP_ANSWERED);
	t_check(g.status == 206 && g.sunk == 2000000 && g.len == 0);
	check_file("f", 5000, 100, 2000000);
	free(g.body);
	close_all();
}

T_CASE(a_chunked_answer_goes_into_a_file_and_its_trailer_nowhere)
{
	open_all(&(struct http_config){0});
	struct http_request r = get("/chunked/300000", NULL);
	r.sink_fd = file_of("f", 0);
	r.sink_status = 200;
	r.sink_size = 300000;
	struct got g = perform(&r);
	t_check(g.end == HTTP_ANSWERED && g.sunk == 300000);
	check_file("f", 0, 0, 300000);
	free(g.body);
	close_all();
}

T_CASE(an_answer_of_another_status_stays_out_of_the_file)
{
	open_all(&(struct http_config){0});
	struct http_request r = get("/status/404", NULL);
	r.sink_fd = file_of("f", 0);
	r.sink_status = 206;
	r.sink_size = 100;
	struct got g = perform(&r);
	t_check(g.end == HTTP_ANSWERED && g.status == 404 && g.sunk == 0);
	t_eq_str(g.body, "status 404");
	struct stat st;
	t_check(stat("f", &st) == 0 && st.st_size == 0);
	free(g.body);
	close_all();
}

T_CASE(an_answer_longer_than_wanted_is_refused)
{
	open_all(&(struct http_config){0});
	struct got g = perform_get("/bytes/65537");
	t_eq_int(g.end, HTTP_TOO_LONG);
	free(g.body);
	g = perform_get("/bytes/65536");
	t_check(g.end == HTTP_ANSWERED && g.len == 65536);
	free(g.body);
	struct http_request r = get("/bytes/100001", NULL);
	r.sink_fd = file_of("f", 0);
	r.sink_status = 200;
	r.sink_size = 100000;
	g = perform(&r);
	t_eq_int(g.end, HTTP_TOO_LONG);
	struct stat st;
	t_check(stat("f", &st) == 0 && st.st_size <= 100000);
	free(g.body);
	close_all();
}

T_CASE(a_sink_that_cannot_be_written_is_a_fault_of_the_disk)
{
	open_all(&(struct http_config){0});
	struct http_request r = get("/bytes/100000", NULL);
	r.sink_fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	r.sink_status = 200;
	r.sink_size = 100000;
	struct got g = perform(&r);
	t_check(g.end == HTTP_DISK && g.err == RK_ENOSPC && g.sunk == 0);
	free(g.body);
	close_all();
}

T_CASE(an_answer_that_is_cut_is_broken_and_says_how_far_it_came)
{
	open_all(&(struct http_config){0});
	struct http_request r = get("/cut/600", NULL);
	r.sink_fd = file_of("f", 0);
	r.sink_status = 200;
	r.sink_size = 1000;
	struct got g = perform(&r);
	t_check(g.end == HTTP_BROKEN && g.sunk == 600 && g.status == 200);
	t_check(g.error[0] != '\0');
	free(g.body);
	static const char *const bad[] = { "/cut/0", "/close", "/junk" };
	for (size_t i = 0; i < RK_ARRAY_LEN(bad); i++) {
		g = perform_get(bad[i]);
		t_eq_int(g.end, HTTP_BROKEN);
		free(g.body);
	}
	close_all();
}

T_CASE(a_peer_that_moves_nothing_is_left)
{
	open_all(&(struct http_config){0});
	static const char *const bad[] = { "/stall/10", "/silent" };
	for (size_t i = 0; i < RK_ARRAY_LEN(bad); i++) {
		struct http_request r = get(bad[i], NULL);
		r.slow_ms = 300;
		r.slow = 1024;
		struct got g = perform(&r);
		t_eq_int(g.end, HTTP_STALLED);
		t_check(g.ms >= 300 && g.ms < 1500);
		free(g.body);
	}
	struct http_request r = get("/deaf", NULL);
	static const char *const headers[] = { "Expect:", NULL };
	r.headers = headers;
	r.method = "PUT";
	r.body_fd = file_of("f", 20000000);
	r.body_size = 20000000;
	r.slow_ms = 300;
	r.slow = 1024;
	struct got g = perform(&r);
	t_eq_int(g.end, HTTP_STALLED);
	t_check(g.ms >= 300 && g.ms < 2500);
	free(g.body);
	close_all();
}

T_CASE(the_total_time_ends_a_call_that_moves)
{
	open_all(&(struct http_config){0});
	struct http_request r = get("/slow/5000", NULL);
	r.total_ms = 200;
	struct got g = perform(&r);
	t_eq_int(g.end, HTTP_STALLED);
	t_check(g.ms >= 190 && g.ms < 1500);
	free(g.body);
	close_all();
}

T_CASE(who_does_not_listen_or_exist_has_its_own_end)
{
	open_all(&(struct http_config){0});
	struct http_request r = get("/", NULL);
	r.url = "http://127.0.0.1:1/";
	struct got g = perform(&r);
	t_eq_int(g.end, HTTP_NO_CONNECTION);
	t_has(g.error, "127.0.0.1");
	free(g.body);
	r.url = "http://no-such-host.invalid/";
	g = perform(&r);
	t_eq_int(g.end, HTTP_NO_HOST);
	free(g.body);
	/* A listener whose queue is full: the connection is never made. */
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
	usleep(20000);
	char text[64];
	snprintf(text, sizeof(text), "http://127.0.0.1:%d/", ntohs(a.sin_port));
	r.url = text;
	r.connect_ms = 200;
	g = perform(&r);
	t_eq_int(g.end, HTTP_NO_CONNECTION);
	t_check(g.ms >= 190 && g.ms < 1500);
	free(g.body);
	close_all();
}

T_CASE(a_name_goes_to_the_address_that_the_request_says)
{
	open_all(&(struct http_config){0});
	char u[128], to[128];
	snprintf(u, sizeof(u), "http://bucket.invalid:%d/head/x", server.port);
	snprintf(to, sizeof(to), "bucket.invalid:%d:127.0.0.1", server.port);
	struct http_request r = get("/", NULL);
	r.url = u;
	r.resolve = to;
	struct got g = perform(&r);
	t_eq_int(g.end, HTTP_ANSWERED);
	t_has(g.body, "Host: bucket.invalid:");
	free(g.body);
	close_all();
}

T_CASE(malformed_requests_are_refused_before_anything_is_sent)
{
	open_all(&(struct http_config){0});
	static const char *const urls[] = { "ftp://127.0.0.1/", "http://",
	    "http://127.0.0.1/a b", "http://127.0.0.1/\r\nX: y", "",
	    "file:///etc/passwd" };
	for (size_t i = 0; i < RK_ARRAY_LEN(urls); i++) {
		struct http_request r = get("/", NULL);
		r.url = urls[i];
		struct got g = perform(&r);
		if (g.end != HTTP_BAD_REQUEST)
			t_fail("\"%s\" ended %d", urls[i], g.end);
		free(g.body);
	}
	static const char *const headers[] = { "X-Token: a\r\nX-Evil: b", NULL };
	struct http_request r = get("/head", NULL);
	r.headers = headers;
	struct got g = perform(&r);
	t_eq_int(g.end, HTTP_BAD_REQUEST);
	free(g.body);
	t_eq_int(NOW(server.requests), 0);
	close_all();
}

/* 100 s come before the answer and are not part of it. */
T_CASE(a_large_body_waits_for_the_server_s_word)
{
	open_all(&(struct http_config){0});
	int fd = file_of("f", 3000000);
	struct http_request r = get("/put", NULL);
	r.method = "PUT";
	r.body_fd = fd;
	r.body_size = 3000000;
	struct got g = perform(&r);
	t_check(g.status == 200 && g.sent == 3000000);
	t_eq_str(g.header, "one two");
	free(g.body);
	r.url = url("/early");
	g = perform(&r);
	t_check(g.end == HTTP_ANSWERED && g.status == 403 && g.sent == 0);
	t_eq_str(g.body, "no");
	free(g.body);
	close_all();
}

T_CASE(a_body_is_sent_again_when_a_kept_connection_was_closed)
{
	open_all(&(struct http_config){0});
	int fd = file_of("f", 700000);
	/* Whether reading or writing notices it first is up to chance. */
	for (int round = 0; round < 30; round++) {
		int i = round == 29;
		int before = NOW(server.connections);
		free(perform_get("/fickle").body);
		struct http_request r = get("/put", NULL);
		r.method = "PUT";
		r.body_fd = i == 0 ? fd : -1;
		r.body_size = 700000;
		char small[1000] = "small";
		if (i == 1) {
			r.body = small;
			r.body_len = sizeof(small);
		}
		struct got g = perform(&r);
		t_eq_int(g.end, HTTP_ANSWERED);
		t_check(begins(g.body, i == 0 ? "700000 " : "1000 "));
		t_eq_int(NOW(server.connections), before + 1 + (round == 0));
		if (i == 0) {
			char *want = sum_of(0, 700000);
			t_eq_str(g.body, want);
			free(want);
		}
		free(g.body);
	}
	close_all();
}

T_CASE(a_cancelled_call_is_never_heard_of_again)
{
	open_all(&(struct http_config){ .per_host = 3 });
	struct got g = {0};
	int fd = file_of("f", 0);
	/* Some run, some wait for a place, some are not even looked at. */
	struct http_call *c[8];
	for (int i = 0; i < 8; i++) {
		struct http_request r = get("/stall/100", &g);
		r.sink_fd = fd;
		r.sink_status = 200;
		r.sink_size = 1000;
		c[i] = http_send(h, &r);
	}
	run_for(100);
	t_eq_int(NOW(server.busy), 3);
	struct http_request r = get("/stall/100", &g);
	struct http_call *late = http_send(h, &r);
	http_cancel(&late);
	for (int i = 0; i < 8; i++)
		http_cancel(&c[i]);
	t_check(late == NULL && c[7] == NULL);
	run_for(100);
	t_eq_int(g.calls, 0);
	struct got after = perform_get("/status/200");
	t_eq_int(after.status, 200);
	free(after.body);
	close_all();
}

T_CASE(nothing_is_written_behind_a_cancel)
{
	open_all(&(struct http_config){0});
	struct got g = {0};
	for (int i = 0; i < 20; i++) {
		int fd = file_of("f", 0);
		struct http_request r = get("/bytes/50000000", &g);
		r.sink_fd = fd;
		r.sink_status = 200;
		r.sink_size = 50000000;
		struct http_call *c = http_send(h, &r);
		uint64_t sent = 0, sunk = 0;
		while (sunk < 10000) {
			usleep(200);
			http_moved(c, &sent, &sunk);
		}
		http_cancel(&c);
		t_check(ftruncate(fd, 0) == 0);
		usleep(3000);
		struct stat st;
		t_check(fstat(fd, &st) == 0 && st.st_size == 0);
		close(fd);
	}
	t_eq_int(g.calls, 0);
	close_all();
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
	loop_stop(l);
}

T_CASE(a_done_may_cancel_itself_and_another_that_has_ended)
{
	open_all(&(struct http_config){0});
	int n = 0;
	struct http_request r = get("/status/200", NULL);
	r.done = cancel_both;
	r.ctx = &n;
	own_call = http_send(h, &r);
	other_call = http_send(h, &r);
	usleep(100000);         /* both end before the loop looks */
	loop_run(l);
	run_for(50);
	t_eq_int(n, 1);
	close_all();
}

static void
close_engine(void *ctx, const struct http_answer *a)
{
	int *n = ctx;
	(void)a;
	++*n;
	http_close(&h);
	loop_stop(l);
}

T_CASE(the_engine_may_be_closed_at_any_time)
{
	open_all(&(struct http_config){0});
	int n = 0;
	struct got g = {0};
	int fd = file_of("f", 3000000);
	for (int i = 0; i < 20; i++) {
		struct http_request r = get(i % 2 ? "/stall/10" : "/put", &g);
		r.method = i % 2 ? "GET" : "PUT";
		r.body_fd = i % 2 ? -1 : fd;
		r.body_size = 3000000;
		r.metered = true;
		http_send(h, &r);
	}
	usleep(30000);
	http_close(&h);
	run_for(30);
	t_eq_int(g.calls, 0);
	/* From a callback, with another answer behind it. */
	t_eq_int(http_open(&h, l, &(struct http_config){0}), RK_OK);
	struct http_request r = get("/status/200", NULL);
	r.ctx = &n;
	r.done = close_engine;
	http_send(h, &r);
	http_send(h, &r);
	usleep(100000);
	loop_run(l);
	t_eq_int(n, 1);
	t_check(h == NULL);
	loop_close(&l);
}

T_CASE(no_more_calls_go_to_a_host_at_once_than_allowed)
{
	open_all(&(struct http_config){ .per_host = 4 });
	struct got g = {0};
	for (int i = 0; i < 24; i++) {
		struct http_request r = get("/slow/20", &g);
		http_send(h, &r);
	}
	await(24);
	t_eq_int(g.calls, 24);
	t_eq_int(NOW(server.most_busy), 4);
	t_check(NOW(server.connections) <= 4);
	free(g.body);
	close_all();
}

/* The time that one call spends waiting for others is not its own. */
T_CASE(a_call_s_patience_begins_when_it_does)
{
	open_all(&(struct http_config){ .per_host = 1 });
	struct got g = {0};
	for (int i = 0; i < 5; i++) {
		struct http_request r = get("/slow/100", &g);
		r.total_ms = 300;
		http_send(h, &r);
	}
	await(5);
	t_check(g.calls == 5 && g.end == HTTP_ANSWERED && g.ms < 300);
	free(g.body);
	close_all();
}

/* 6 MB at 4 MB/s take 1.5 s; a burst of 50 ms, and the 512 KiB that each of
 * the four calls may have in hand, are ahead of the clock. */
static void
check_rate(bool up)
{
	open_all(&(struct http_config){ .up_rate = up ? 4000000 : 0,
	    .down_rate = up ? 0 : 4000000 });
	struct got g = {0};
	int fd = file_of("f", 1500000);
	int64_t t0 = mono_ms();
	for (int i = 0; i < 4; i++) {
		struct http_request r = get(up ? "/put" : "/bytes/1500000",
		    &g);
		r.method = up ? "PUT" : "GET";
		r.body_fd = up ? fd : -1;
		r.sink_fd = up ? -1 : fd;
		r.body_size = r.sink_size = 1500000;
		r.sink_status = 200;
		r.metered = true;
		r.slow_ms = 200;
		r.slow = 3000000;       /* more than its share: not its fault */
		http_send(h, &r);
	}
	await(4);
	int64_t ms = mono_ms() - t0;
	t_check(g.calls == 4 && g.end == HTTP_ANSWERED);
	if (ms < 1200 || ms > 2200)
		t_fail("took %lld ms", (long long)ms);
	/* Who is not metered does not wait, and a limit can be lifted. */
	struct http_request r = get("/bytes/5000000", &g);
	r.max = 5000000;
	t0 = mono_ms();
	http_send(h, &r);
	await(1);
	t_check(g.end == HTTP_ANSWERED && mono_ms() - t0 < 1000);
	http_rates(h, 0, 0);
	r.metered = true;
	t0 = mono_ms();
	http_send(h, &r);
	await(1);
	t_check(g.end == HTTP_ANSWERED && mono_ms() - t0 < 1000);
	free(g.body);
	close_all();
}

T_CASE(several_uploads_together_keep_to_the_rate)
{
	check_rate(true);
}

T_CASE(several_downloads_together_keep_to_the_rate)
{
	check_rate(false);
}

T_CASE(a_limit_that_is_lifted_frees_those_who_wait)
{
	open_all(&(struct http_config){ .up_rate = 1000 });
	struct got g = {0};
	struct http_request r = get("/put", &g);
	r.method = "PUT";
	r.body_fd = file_of("f", 900000);
	r.body_size = 900000;
	r.metered = true;
	struct http_call *c = http_send(h, &r);
	run_for(200);
	uint64_t sent = 0, sunk = 0;
	http_moved(c, &sent, &sunk);
	t_check(sent < 100000 && g.calls == 0);
	http_rates(h, 0, 0);
	int64_t t0 = mono_ms();
	await(1);
	t_check(g.end == HTTP_ANSWERED && mono_ms() - t0 < 1000);
	free(g.body);
	close_all();
}

T_CASE(a_proxy_of_the_environment_is_used_unless_refused)
{
	open_all(&(struct http_config){0});
	char proxy[64];
	snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%d", server.port);
	setenv("http_proxy", proxy, 1);
	struct http_request r = get("/", NULL);
	r.url = "http://nowhere.invalid/head/x";
	r.no_proxy = false;
	struct got g = perform(&r);
	t_eq_int(g.end, HTTP_ANSWERED);
	t_has(g.body, "GET http://nowhere.invalid/head/x");
	free(g.body);
	r.no_proxy = true;
	g = perform(&r);
	t_eq_int(g.end, HTTP_NO_HOST);
	free(g.body);
	close_all();
}

static void
keep_answer(void *ctx, const struct http_answer *a)
{
	awaited++;
	ended(ctx, a);
	awaited = 0;
}

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
	t_eq_int(loop_open(&l), RK_OK);
	struct got g = {0};
	size_t sum = 0;
	struct http_request r = get("/status/201", &g);
	r.done = keep_answer;
	http_now(&r, NULL, NULL);
	t_check(g.calls == 1 && g.status == 201 && g.end == HTTP_ANSWERED);
	t_eq_str(g.body, "status 201");
	r.url = url("/bytes/900000");
	http_now(&r, count_chunk, &sum);
	t_check(g.end == HTTP_ANSWERED && sum == 900000 && g.len == 0);
	r.url = url("/bytes/90000000");
	http_now(&r, count_chunk, &sum);
	t_eq_int(g.end, HTTP_CANCELLED);
	r.url = url("/status/404");
	http_now(&r, count_chunk, &sum);
	t_eq_str(g.body, "status 404");
	t_eq_int(NOW(server.connections), 2);
	free(g.body);
	loop_close(&l);
}

T_MAIN
