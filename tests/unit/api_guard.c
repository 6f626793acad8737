/* Who may come in, what is asked for, and what a refusal looks like. */
#include "t.h"

#include "impl.h"

T_CASE(the_host_must_be_ours_with_our_port)
{
	static const char *const ours[] = { "localhost:7450", "127.0.0.1:7450",
	    "[::1]:7450", "LocalHost:7450", "127.0.0.2:7450" };
	static const char *const others[] = { "", "localhost", "127.0.0.1",
	    "localhost:7451", "localhost:", "localhost:x", "localhost:74500",
	    "evil.example:7450", "localhost.evil.example:7450",
	    "127.0.0.1.evil.example:7450", "[::1:7450", "[::1]x:7450",
	    "[::2]:7450", ":7450", "localhost:7450:7450", "127.0.0.1:07450 " };

	for (size_t i = 0; i < RK_ARRAY_LEN(ours); i++) {
		if (!guard_host_ok(ours[i], "127.0.0.2", 7450))
			t_fail("%s was refused", ours[i]);
	}
	for (size_t i = 0; i < RK_ARRAY_LEN(others); i++) {
		if (guard_host_ok(others[i], "127.0.0.1", 7450))
			t_fail("%s was taken", others[i]);
	}
}

T_CASE(the_port_may_be_left_out_when_it_is_80)
{
	t_check(guard_host_ok("localhost", "127.0.0.1", 80));
	t_check(guard_host_ok("[::1]", "::1", 80));
	t_check(!guard_host_ok("localhost", "127.0.0.1", 8080));
}

T_CASE(an_origin_must_be_the_host_that_was_asked)
{
	t_check(guard_origin_ok("http://localhost:7450", "localhost:7450"));
	t_check(guard_origin_ok("HTTP://LOCALHOST:7450", "localhost:7450"));
	t_check(!guard_origin_ok("http://localhost:8080", "localhost:7450"));
	t_check(!guard_origin_ok("http://evil.example", "localhost:7450"));
	t_check(!guard_origin_ok("null", "localhost:7450"));
	t_check(!guard_origin_ok("file://", "localhost:7450"));
	t_check(!guard_origin_ok("http://", ""));
	t_check(!guard_origin_ok("http://x", NULL));
}

T_CASE(only_a_browsers_own_page_counts_as_the_same_site)
{
	t_check(guard_cross_site("cross-site"));
	t_check(guard_cross_site("same-site"));  /* another port of localhost */
	t_check(!guard_cross_site("same-origin"));
	t_check(!guard_cross_site("none"));
}

T_CASE(what_a_plain_form_can_send_is_no_type_of_ours)
{
	t_eq_int(guard_body_kind("text/plain"), BODY_OTHER);
	t_eq_int(guard_body_kind("multipart/form-data; boundary=x"),
	    BODY_OTHER);
	t_eq_int(guard_body_kind("application/x-www-form-urlencoded"),
	    BODY_OTHER);
	t_eq_int(guard_body_kind(""), BODY_OTHER);
	t_eq_int(guard_body_kind("application/jsonx"), BODY_OTHER);
	t_eq_int(guard_body_kind(NULL), BODY_ABSENT);
	t_eq_int(guard_body_kind("application/json"), BODY_JSON);
	t_eq_int(guard_body_kind("Application/JSON; charset=utf-8"), BODY_JSON);
	t_eq_int(guard_body_kind("application/yaml"), BODY_YAML);
	t_eq_int(guard_body_kind("application/x-yaml"), BODY_YAML);
	t_eq_int(guard_body_kind("text/yaml;charset=utf-8"), BODY_YAML);
}

T_CASE(an_idempotency_key_is_1_to_255_printable_characters)
{
	char key[257];

	memset(key, 'k', sizeof(key));
	key[256] = '\0';
	t_check(!guard_idem_key_ok(key));
	key[255] = '\0';
	t_check(guard_idem_key_ok(key));
	t_check(!guard_idem_key_ok(""));
	t_check(!guard_idem_key_ok("a\tb"));
	t_check(!guard_idem_key_ok("\xc3\xa4"));
}

/* --- routes -------------------------------------------------------------- */

static char args[ROUTE_ARGS][ROUTE_ARG_MAX];

static const char *
op_of(const char *method, const char *path)
{
	char *allow;
	const struct route *r = route_find(method, path, args, &allow);

	free(allow);
	return r != NULL ? r->op : "none";
}

T_CASE(a_path_is_taken_apart_into_its_names)
{
	t_eq_str(op_of("GET", "/v1/jobs"), "listJobs");
	t_eq_str(op_of("POST", "/v1/jobs"), "submitJob");
	t_eq_str(op_of("GET", "/v1/jobs/abc/checkpoints/best/files/x.y"),
	    "getCheckpointFile");
	t_eq_str(args[0], "abc");
	t_eq_str(args[1], "best");
	t_eq_str(args[2], "x.y");
}

T_CASE(what_is_almost_a_path_is_none)
{
	char longer[200] = "/v1/jobs/";

	t_eq_str(op_of("GET", "/v1/jobs/"), "none");
	t_eq_str(op_of("GET", "/v1/job"), "none");
	t_eq_str(op_of("GET", "/v1/jobs//start"), "none");
	t_eq_str(op_of("GET", "/v1/jobs/a/b"), "none");
	t_eq_str(op_of("GET", "v1/jobs"), "none");
	t_eq_str(op_of("GET", ""), "none");
	memset(longer + 9, 'x', ROUTE_ARG_MAX);
	t_eq_str(op_of("GET", longer), "none");
	longer[9 + ROUTE_ARG_MAX - 1] = '\0';
	t_eq_str(op_of("GET", longer), "getJob");
}

T_CASE(head_is_get_and_other_methods_are_listed)
{
	char *allow;

	t_eq_str(op_of("HEAD", "/v1/jobs"), "listJobs");
	t_check(route_find("PUT", "/v1/jobs/x", args, &allow) == NULL);
	t_eq_str(allow, "GET, HEAD, PATCH, DELETE");
	free(allow);
	t_check(route_find("GET", "/nothing", args, &allow) == NULL);
	t_check(allow == NULL);
}

/* --- the query ----------------------------------------------------------- */

T_CASE(a_parameter_is_known_once_and_of_its_type)
{
	struct rk_why why = { 0 };
	struct query q = { .why = &why };

	query_add(&q, "limit", "50");
	query_add(&q, "follow", NULL);
	query_check(&q, "cursor limit follow");
	t_eq_int(query_int(&q, "limit", 7, 1, 500), 50);
	t_eq_int(query_int(&q, "cursor", 7, 1, 500), 7);
	t_check(query_flag(&q, "follow"));
	t_check(!query_flag(&q, "tail"));
	t_eq_int(why.n, 0);
	query_add(&q, "limit", "51");
	query_add(&q, "limi", "51");
	query_check(&q, "cursor limit follow");
	t_eq_int(why.n, 2);
	t_eq_str(why.v[0].path, "limit");
	t_has(why.v[1].message, "cursor limit follow");
	rk_why_fini(&why);
}

T_CASE(numbers_that_are_none_are_faults)
{
	static const char *const bad[] = { "", "x", "1x", " 1", "+1", "0",
	    "501", "99999999999999999999", "1.5", "--1" };

	for (size_t i = 0; i < RK_ARRAY_LEN(bad); i++) {
		struct rk_why why = { 0 };
		struct query q = { .why = &why };
		query_add(&q, "limit", bad[i]);
		t_eq_int(query_int(&q, "limit", 7, 1, 500), 7);
		if (why.n != 1)
			t_fail("\"%s\" was taken", bad[i]);
		rk_why_fini(&why);
	}
}

T_CASE(states_come_by_commas)
{
	struct rk_why why = { 0 };
	struct query q = { .why = &why };

	query_add(&q, "state", "running,queued");
	t_eq_int(query_states(&q, "state"), 1 << JOB_RUNNING | 1 << JOB_QUEUED);
	t_eq_int(why.n, 0);
	q.v[0].value = "running,,sleeping";
	(void)query_states(&q, "state");
	t_eq_int(why.n, 2);
	rk_why_fini(&why);
}

/* --- what goes out ------------------------------------------------------- */

static json_t *
parsed(const struct strbuf *b)
{
	json_t *v = NULL;

	if (rkj_parse_json(b->s, b->len, &v, NULL) != RK_OK)
		t_fail("no JSON: %s", b->s);
	return v;
}

T_CASE(a_problem_lists_every_fault)
{
	struct rk_why why = { 0 };
	struct strbuf b = { 0 };
	json_t *v;

	(void)rk_refuse_at(&why, "training.batch_size", "is \"x\"\n");
	(void)rk_refuse_at(&why, "name", "is missing");
	problem_write(&b, P_INVALID_JOB, "2 faults", &why);
	v = parsed(&b);
	t_eq_str(json_string_value(json_object_get(v, "type")),
	    "/problems/invalid-job");
	t_eq_int(json_integer_value(json_object_get(v, "status")), 422);
	t_eq_int(json_array_size(json_object_get(v, "errors")), 2);
	json_decref(v);
	sb_fini(&b);
	rk_why_fini(&why);
}

T_CASE(every_problem_has_a_slug_a_title_and_a_status)
{
	for (size_t i = 0; i < PROBLEMS; i++) {
		t_check(problems[i].slug != NULL && problems[i].title != NULL);
		t_check(problems[i].status >= 400 && problems[i].status < 600);
	}
}

T_CASE(any_bytes_become_text_that_is_json)
{
	static const char nasty[] = "a\"\\\b\x01\x7f\xc3\xa4\xe2\x82\xac"
	    "\xf0\x9f\x98\x80\xff\xc0\x80\xed\xa0\x80\xe2\x82\xf5";
	struct strbuf b = { 0 };
	json_t *v;

	put_strn(&b, nasty, sizeof(nasty));     /* its NUL, too */
	sb_reset(&b);
	put_strn(&b, nasty, sizeof(nasty) - 1);
	t_has(b.s, "a\\\"\\\\\\u0008\\u0001\x7f\xc3\xa4\xe2\x82\xac"
	    "\xf0\x9f\x98\x80\xef\xbf\xbd");
	v = json_loadb(b.s, b.len, JSON_DECODE_ANY, NULL);
	t_check(v != NULL);
	json_decref(v);
	sb_fini(&b);
}

T_MAIN
