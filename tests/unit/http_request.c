/* What goes out is what was asked for: methods, heads, addresses, proxies. */
#include "http_calls.h"

T_CASE(any_status_is_an_answer_with_its_body_and_headers)
{
	open_plain();
	static const int status[] = { 200, 204, 301, 403, 404, 412, 500, 503 };
	for (size_t i = 0; i < RK_ARRAY_LEN(status); i++) {
		char path[32], want[32];
		snprintf(path, sizeof(path), "/status/%d", status[i]);
		snprintf(want, sizeof(want), "status %d", status[i]);
		struct got g = perform(get(path));
		t_eq_int(g.end, HTTP_ANSWERED);
		t_eq_int(g.status, status[i]);
		t_eq_str(g.error, "");
		t_eq_str(g.header, "one two");
		t_eq_str(g.body, status[i] == 204 ? "" : want);
	}
	close_all();
}

T_CASE(the_head_goes_out_as_it_was_written)
{
	open_plain();
	static const char *const headers[] = { "X-Mine: a b", "Accept:",
	    "X-Amz-Date: 20130524T000000Z", NULL };
	struct http_request r = get("/head/a/./b/../c%20d//e?x=%2B&y");
	r.headers = headers;
	struct got g = perform(r);
	t_has(g.body, "GET /head/a/./b/../c%20d//e?x=%2B&y HTTP/1.1\r\n");
	t_has(g.body, "\r\nX-Mine: a b\r\n");
	t_has(g.body, "\r\nX-Amz-Date: 20130524T000000Z\r\n");
	t_check(strstr(g.body, "\r\nAccept") == NULL);
	r.method = "PUT";
	r.body = "small";
	r.body_len = 5;
	g = perform(r);
	t_has(g.body, "\r\nContent-Length: 5\r\n");
	t_check(strstr(g.body, "\r\nExpect") == NULL);
	close_all();
}

T_CASE(each_method_is_itself)
{
	open_plain();
	static const char *const m[] = { "PUT", "POST", "DELETE", "PATCH" };
	for (size_t i = 0; i < RK_ARRAY_LEN(m); i++) {
		struct http_request r = get("/head/x");
		r.method = m[i];
		struct got g = perform(r);
		t_check(begins(g.body, m[i]) && g.body[strlen(m[i])] == ' ');
		if (i < 2)
			t_has(g.body, "\r\nContent-Length: 0\r\n");
		char path[32];
		snprintf(path, sizeof(path), "/echo/%s", m[i]);
		r.url = url(path);
		r.body = "some\0bytes";
		r.body_len = 10;
		g = perform(r);
		t_eq_int(g.end, HTTP_ANSWERED);
		t_check(g.len == 10 && g.sent == 10 &&
		    memcmp(g.body, r.body, 10) == 0);
	}
	struct http_request r = get("/status/404");
	r.method = "HEAD";
	struct got g = perform(r);
	t_check(g.end == HTTP_ANSWERED && g.status == 404 && g.len == 0);
	close_all();
}

T_CASE(a_name_goes_to_the_address_that_the_request_says)
{
	open_plain();
	char u[128], to[128];
	snprintf(u, sizeof(u), "http://bucket.invalid:%d/head/x", server.port);
	snprintf(to, sizeof(to), "bucket.invalid:%d:127.0.0.1", server.port);
	struct http_request r = get("/");
	r.url = u;
	r.resolve = to;
	struct got g = perform(r);
	t_eq_int(g.end, HTTP_ANSWERED);
	t_has(g.body, "Host: bucket.invalid:");
	close_all();
}

T_CASE(malformed_requests_are_refused_before_anything_is_sent)
{
	open_plain();
	static const char *const urls[] = { "ftp://127.0.0.1/", "http://",
	    "http://127.0.0.1/a b", "http://127.0.0.1/\r\nX: y", "",
	    "file:///etc/passwd" };
	for (size_t i = 0; i < RK_ARRAY_LEN(urls); i++) {
		struct http_request r = get("/");
		r.url = urls[i];
		struct got g = perform(r);
		if (g.end != HTTP_BAD_REQUEST)
			t_fail("\"%s\" ended %d", urls[i], g.end);
	}
	static const char *const headers[] = { "X-Token: a\r\nX-Evil: b", NULL };
	struct http_request r = get("/head");
	r.headers = headers;
	t_eq_int(perform(r).end, HTTP_BAD_REQUEST);
	t_eq_int(NOW(server.requests), 0);
	close_all();
}

T_CASE(a_proxy_of_the_environment_is_used_unless_refused)
{
	open_plain();
	char proxy[64];
	snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%d", server.port);
	setenv("http_proxy", proxy, 1);
	struct http_request r = get("/");
	r.url = "http://" NOWHERE "/head/x";
	r.no_proxy = false;
	struct got g = perform(r);
	t_eq_int(g.end, HTTP_ANSWERED);
	t_has(g.body, "GET http://" NOWHERE "/head/x");
	r.no_proxy = true;
	t_eq_int(perform(r).end, HTTP_NO_HOST);
	close_all();
}

T_MAIN
