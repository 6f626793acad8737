/* Reading fields, printing, merging and setting by path. */
#include <float.h>

#include "rekindle/json_shown.h"
#include "t.h"

static json_t *
tree(const char *text)
{
	struct rk_why why = {0};
	json_t *v = NULL;
	if (rkj_parse_yaml(text, strlen(text), &v, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	return v;
}

static void
text_is(const json_t *v, const char *want)
{
	char *s = rkj_text(v);
	t_eq_str(s, want);
	free(s);
}

T_CASE(fields_are_read_and_absent_ones_left_alone)
{
	json_t *v = tree("{i: 5, r: 2, b: true, s: hello, e: adam, m: 4GiB, "
	    "n: null, big: 1e6}");
	struct rk_why why = {0};
	struct rkj_obj o;
	int64_t i = 0, n = 77, absent = 78, big = 0;
	double r = 0;
	bool b = false;
	char *s = xstrdup("old");
	int e = -1;
	uint64_t m = 0;
	static const char *const words[] = { "sgd", "adam", NULL };

	rkj_open(&o, v, "x", &why);
	t_check(rkj_int(&o, "i", &i, 1, 9, RKJ_REQUIRED) && i == 5);
	t_check(rkj_int(&o, "big", &big, 1, INT64_MAX, 0) && big == 1000000);
	t_check(rkj_real(&o, "r", &r, 0, 9, RKJ_REQUIRED) && r == 2);
	t_check(rkj_bool(&o, "b", &b, RKJ_REQUIRED) && b);
	t_check(rkj_str(&o, "s", &s, 5, RKJ_REQUIRED));
	t_eq_str(s, "hello");
	t_check(rkj_enum(&o, "e", &e, words, RKJ_REQUIRED) && e == 1);
	t_check(rkj_bytes(&o, "m", &m, 1, UINT64_MAX, RKJ_REQUIRED));
	t_check(m == (uint64_t)4 << 30);
	t_check(!rkj_int(&o, "n", &n, 1, 9, RKJ_OPTIONAL) && n == 77);
	t_check(!rkj_int(&o, "q", &absent, 1, 9, RKJ_OPTIONAL) && absent == 78);
	t_check(rkj_any(&o, "zzz") == NULL);
	rkj_close(&o);
	t_check(!o.bad);
	t_eq_int(why.n, 0);
	free(s);
	json_decref(v);
}

T_CASE(a_value_is_shown_as_it_is_written_and_cut_where_it_is_long)
{
	static const struct {
		const char *yaml, *want;
	} cases[] = {
		{ "[1, 0.5]", "[1, 0.5]" },
		{ "[-1, x, null, true]", "[-1, \"x\", null, true]" },
		{ "[[1, 2], {a: 1}, [], {}]", "[[...], {...}, [], {}]" },
		{ "[]", "an empty list" },
		{ "{a: 1}", "an object" },
		{ "[100001, 100002, 100003, 100004, 100005, 100006, 100007]",
		    "[100001, 100002, 100003, 100004, 100005, ...]" },
		{ "[aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeee, 1]",
		    "[\"aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeee...\", "
		    "...]" },
	};

	for (size_t i = 0; i < RK_ARRAY_LEN(cases); i++) {
		char *text = xasprintf("{v: %s}", cases[i].yaml);
		json_t *v = tree(text);
		struct strbuf b = {0};
		rkj_show(&b, json_object_get(v, "v"));
		t_eq_str(sb_str(&b), cases[i].want);
		t_check(b.len < RKJ_SHOWN_MAX);
		sb_fini(&b);
		json_decref(v);
		free(text);
	}
}

T_CASE(every_fault_is_collected_with_its_path)
{
	json_t *v = tree("{i: x, r: [1], b: 1, s: 3, e: adm, m: lots, i2: 0, "
	    "i3: 1.5, r2: 2.5, long: abcdef}");
	struct rk_why why = {0};
	struct rkj_obj o;
	int64_t i = 1;
	double r = 1;
	bool b = true;
	char *s = NULL;
	int e = 0;
	uint64_t m = 1;
	static const char *const words[] = { "sgd", "adam", "adamw", NULL };

	rkj_open(&o, v, "training", &why);
	t_check(!rkj_int(&o, "i", &i, 1, 1048576, RKJ_REQUIRED));
	t_check(!rkj_real(&o, "r", &r, 0, 1, 0));
	t_check(!rkj_bool(&o, "b", &b, 0));
	t_check(!rkj_str(&o, "s", &s, 5, 0));
	t_check(!rkj_enum(&o, "e", &e, words, 0));
	t_check(!rkj_bytes(&o, "m", &m, 1024, 4096, 0));
	t_check(!rkj_int(&o, "i2", &i, 1, INT64_MAX, 0));
	t_check(!rkj_int(&o, "i3", &i, INT64_MIN, INT64_MAX, 0));
	t_check(!rkj_real(&o, "r2", &r, -DBL_MAX, 2, 0));
	t_check(!rkj_str(&o, "long", &s, 5, 0));
	t_check(!rkj_int(&o, "gone", &i, 1, 9, RKJ_REQUIRED));
	t_check(!rkj_bytes(&o, "gone2", &m, 1, UINT64_MAX, RKJ_REQUIRED));
	rkj_close(&o);
	t_check(o.bad && i == 1 && r == 1 && b && s == NULL && m == 1);
	static const char *const want[] = {
		"training.i: is \"x\", want an integer 1 to 1048576",
		"training.r: is [1], want a number 0 to 1",
		"training.b: is 1, want true or false",
		"training.s: is 3, want text",
		"training.e: is \"adm\", want sgd, adam or adamw; did "
		    "you mean \"adam\"?",
		"training.m: is \"lots\", want a size of 1 KiB to 4 KiB, such "
		    "as 4096, 512MiB or 4GB",
		"training.i2: is 0, want an integer of at least 1",
		"training.i3: is 1.5, want an integer",
		"training.r2: is 2.5, want a number of at most 2",
		"training.long: is 6 bytes long, want at most 5",
		"training.gone: is missing, want an integer 1 to 9",
		"training.gone2: is missing, want a size of at least 1 B, such "
		    "as 4096, 512MiB or 4GB",
	};
	t_eq_int(why.n, RK_ARRAY_LEN(want));
	for (size_t k = 0; k < why.n; k++) {
		char *line = xasprintf("%s: %s", why.v[k].path,
		    why.v[k].message);
		t_eq_str(line, want[k]);
		free(line);
	}
	rk_why_fini(&why);
	json_decref(v);
}

static void
unknown(const char *field, const char *want)
{
	json_t *v = json_pack("{s:i}", field, 1);
	struct rk_why why = {0};
	struct rkj_obj o;
	rkj_open(&o, v, "", &why);
	rkj_any(&o, "batch_size");
	rkj_any(&o, "epochs");
	rkj_any(&o, "lr");
	rkj_close(&o);
	t_eq_int(why.n, 1);
	t_eq_str(why.v[0].message, want);
	rk_why_fini(&why);
	json_decref(v);
}

T_CASE(an_unknown_field_is_refused_and_the_nearest_offered)
{
	unknown("epoch", "is not a known field; did you mean \"epochs\"?");
	unknown("batchSize", "is not a known field; did you mean "
	    "\"batch_size\"?");
	unknown("batch-size", "is not a known field; did you mean "
	    "\"batch_size\"?");
	unknown("batch", "is not a known field; did you mean \"batch_size\"?");
	unknown("l", "is not a known field");
	unknown("zebra", "is not a known field");
}

T_CASE(what_is_no_object_has_one_fault_only)
{
	json_t *v = json_integer(3);
	struct rk_why why = {0};
	struct rkj_obj o;
	int64_t i;
	rkj_open(&o, v, "data", &why);
	t_check(!rkj_int(&o, "i", &i, 1, 9, RKJ_REQUIRED));
	rkj_close(&o);
	t_eq_int(why.n, 1);
	t_eq_str(rk_why_first(&why), "data: is 3, want an object");
	rk_why_fini(&why);
	rkj_open(&o, NULL, "data", &why);
	rkj_close(&o);
	t_eq_str(rk_why_first(&why), "data: is missing, want an object");
	rk_why_fini(&why);
	json_decref(v);
}

static bool
size_of(const char *text, uint64_t *n)
{
	json_t *v = json_pack("{s:s}", "m", text);
	struct rkj_obj o;
	rkj_open(&o, v, "", NULL);
	bool ok = rkj_bytes(&o, "m", n, 0, UINT64_MAX, RKJ_REQUIRED);
	rkj_close(&o);
	json_decref(v);
	return ok;
}

T_CASE(sizes_are_read_as_people_write_them)
{
	static const struct {
		const char *text;
		uint64_t n;
	} good[] = {
		{ "0", 0 }, { "4096", 4096 }, { "512MiB", 512ull << 20 },
		{ "4GB", 4000000000 }, { "1.5GiB", 3ull << 29 },
		{ "2 TiB", 2ull << 40 }, { "1PiB", 1ull << 50 }, { "7kB", 7000 },
		{ "3g", 3ull << 30 },
		{ "10b", 10 },
	};
	static const char *const bad[] = { "", "GiB", "-1", "1.GiB", "1e3",
	    "1 GiBs", "99999999999999999TiB", "9999999999999999999", ".5GiB",
	    "100000000.5TiB", "nan", "0x10", " 1" };
	uint64_t n;
	for (size_t i = 0; i < RK_ARRAY_LEN(good); i++) {
		t_check(size_of(good[i].text, &n));
		t_check(n == good[i].n);
	}
	for (size_t i = 0; i < RK_ARRAY_LEN(bad); i++) {
		if (size_of(bad[i], &n))
			t_fail("\"%s\" is taken for a size", bad[i]);
	}
}

T_CASE(text_is_sorted_short_and_reads_back)
{
	json_t *v = tree("{z: [], y: {}, x: [0.1, 1e-7, 1e300, 3.0, -0.0, "
	    "0.30000000000000004], b: \"q\\\"\\\\\\n\\x01\xc3\xa4/\"}");
	text_is(v, "{\"b\":\"q\\\"\\\\\\n\\u0001\xc3\xa4/\",\"x\":[0.1,1e-07,"
	    "1e+300,3.0,-0.0,0.30000000000000004],\"y\":{},\"z\":[]}");
	char *s = rkj_text(v), *p = rkj_pretty(v);
	json_t *again = NULL;
	t_eq_int(rkj_parse_json(s, strlen(s), &again, NULL), RK_OK);
	t_check(json_equal(v, again));
	json_decref(again);
	t_eq_int(rkj_parse_json(p, strlen(p), &again, NULL), RK_OK);
	t_check(json_equal(v, again));
	json_decref(again);
	json_decref(v);
	free(s);
	free(p);
	v = tree("{b: [1, {}], a: {c: 1}}");
	p = rkj_pretty(v);
	t_eq_str(p, "{\n  \"a\": {\n    \"c\": 1\n  },\n  \"b\": [\n    1,\n"
	    "    {}\n  ]\n}");
	free(p);
	json_decref(v);
}

/* The table of RFC 7396's appendix A, as far as both sides are objects. */
T_CASE(merging_follows_rfc_7396)
{
	static const char *const rows[][3] = {
		{ "{a: b}", "{a: c}", "{\"a\":\"c\"}" },
		{ "{a: b}", "{b: c}", "{\"a\":\"b\",\"b\":\"c\"}" },
		{ "{a: b}", "{a: null}", "{}" },
		{ "{a: b, b: c}", "{a: null}", "{\"b\":\"c\"}" },
		{ "{a: [b]}", "{a: c}", "{\"a\":\"c\"}" },
		{ "{a: c}", "{a: [b]}", "{\"a\":[\"b\"]}" },
		{ "{a: {b: c}}", "{a: {b: d, c: null}}",
		    "{\"a\":{\"b\":\"d\"}}" },
		{ "{a: [{b: c}]}", "{a: [1]}", "{\"a\":[1]}" },
		{ "{e: null}", "{a: 1}", "{\"a\":1,\"e\":null}" },
		{ "{}", "{a: {bb: {ccc: null}}}", "{\"a\":{\"bb\":{}}}" },
	};
	for (size_t i = 0; i < RK_ARRAY_LEN(rows); i++) {
		json_t *a = tree(rows[i][0]), *b = tree(rows[i][1]);
		rkj_merge(a, b);
		text_is(a, rows[i][2]);
		json_decref(a);
		json_decref(b);
	}
}

T_CASE(what_was_merged_is_not_shared)
{
	json_t *a = tree("{}"), *b = tree("{x: {y: [1]}}");
	rkj_merge(a, b);
	json_array_append_new(json_object_get(json_object_get(a, "x"), "y"),
	    json_integer(2));
	text_is(b, "{\"x\":{\"y\":[1]}}");
	json_decref(a);
	json_decref(b);
}

T_CASE(a_value_is_set_by_its_path)
{
	struct rk_why why = {0};
	json_t *v = tree("{a: {b: 1}, n: null, l: [1]}");
	t_eq_int(rkj_set_path(v, "a.b", json_integer(2), &why), RK_OK);
	t_eq_int(rkj_set_path(v, "a.c.d", json_true(), &why), RK_OK);
	t_eq_int(rkj_set_path(v, "n.x", json_integer(3), &why), RK_OK);
	t_eq_int(rkj_set_path(v, "t", json_integer(4), &why), RK_OK);
	t_eq_int(rkj_set_path(v, "l.x", json_integer(5), &why), RK_EINVAL);
	t_eq_int(rkj_set_path(v, "a..x", json_integer(5), &why), RK_EINVAL);
	t_eq_int(rkj_set_path(v, "", json_integer(5), &why), RK_EINVAL);
	t_eq_int(rkj_set_path(v, "a.", json_integer(5), &why), RK_EINVAL);
	t_eq_str(rk_why_first(&why), "l: is not an object, so l.x cannot be "
	    "set");
	text_is(v, "{\"a\":{\"b\":2,\"c\":{\"d\":true}},\"l\":[1],"
	    "\"n\":{\"x\":3},\"t\":4}");
	rk_why_fini(&why);
	json_decref(v);
}

T_MAIN

static void
comes_back(const char *json, const char *yaml)
{
	json_t *v = NULL, *back = NULL;
	struct rk_why why = { 0 };

	t_check(rkj_parse_json(json, strlen(json), &v, &why) == RK_OK);
	char *text = rkj_yaml(v, 2);
	if (yaml != NULL)
		t_eq_str(text, yaml);
	t_check(rkj_parse_yaml(text, strlen(text), &back, &why) == RK_OK);
	t_check(json_equal(v, back));
	json_decref(v);
	json_decref(back);
	free(text);
}

T_CASE(yaml_that_we_print_is_read_as_the_same_tree)
{
	comes_back("{\"model\":{\"input\":[3,32,32],\"layers\":[{\"type\":"
	    "\"conv2d\",\"name\":\"0\",\"eps\":1e-05},{\"type\":\"relu\"}],"
	    "\"init\":\"torch\"}}",
	    "model:\n"
	    "  input: [3, 32, 32]\n"
	    "  layers:\n"
	    "  - {type: conv2d, name: \"0\", eps: 1.0e-05}\n"
	    "  - {type: relu}\n"
	    "  init: torch\n");
	comes_back("{\"a\":{},\"b\":[],\"c\":[[]],\"d\":{\"e\":{\"f\":{}}}}",
	    NULL);
	comes_back("{\"no\":\"yes\",\"x y\":\"a: b\",\"n\":\"null\",\"q\":"
	    "\"say \\\"no\\\"\",\"1\":\"1e3\",\"z\":\"\",\"l\":\"a\\nb\","
	    "\"h\":\"# no\",\"t\":\"~\",\"m\":\"-1\",\"u\":\"\\u00e9\"}", NULL);
	/* A number to YAML 1.1, too: with a point and the exponent's sign. */
	comes_back("{\"r\":[0.1,1.0,1e300,-2e-7,1.5e-9,-2.5,true,null]}",
	    "r: [0.1, 1.0, 1.0e+300, -2.0e-07, 1.5e-09, -2.5, true, null]\n");
	comes_back("{}", "{}\n");
	comes_back("[1,{\"a\":2}]", "[1, {a: 2}]\n");
}
