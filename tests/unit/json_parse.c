/* JSON and YAML into the same tree, and what is refused with which words. */
#include <stdarg.h>

#include "rekindle/json.h"
#include "t.h"

typedef enum rk_err parse_fn(const char *, size_t, json_t **, struct rk_why *);

/* The text parses to the tree that this compact JSON shows. */
static void
gives(parse_fn *parse, const char *text, const char *want)
{
	struct rk_why why = {0};
	json_t *v = NULL;

	if (parse(text, strlen(text), &v, &why) != RK_OK)
		t_fail("\"%s\" is refused: %s", text, rk_why_first(&why));
	char *got = rkj_text(v);
	t_eq_str(got, want);
	free(got);
	json_decref(v);
}

static void
refuses_n(parse_fn *parse, const char *text, size_t n, const char *words)
{
	struct rk_why why = {0};
	json_t *v = NULL;

	if (parse(text, n, &v, &why) != RK_EINVAL)
		t_fail("\"%s\" is not refused", text);
	t_check(v == NULL);
	t_eq_int(why.n, 1);
	t_has(rk_why_first(&why), words);
	rk_why_fini(&why);
}

static void
refuses(parse_fn *parse, const char *text, const char *words)
{
	refuses_n(parse, text, strlen(text), words);
}

/* n times a, then n times b. */
static char *
nested(const char *a, const char *b, int n)
{
	struct strbuf s = {0};
	for (int i = 0; i < n; i++)
		sb_adds(&s, a);
	for (int i = 0; i < n; i++)
		sb_adds(&s, b);
	return sb_detach(&s);
}

T_CASE(json_values_come_through)
{
	gives(rkj_parse_json, "{\"b\": [1, 2.5, true, null], \"a\": \"x\"}",
	    "{\"a\":\"x\",\"b\":[1,2.5,true,null]}");
	gives(rkj_parse_json, " 3 ", "3");
	gives(rkj_parse_json, "\xef\xbb\xbf{}", "{}");
	gives(rkj_parse_json, "\"a\\\"]}[{\\\\\"", "\"a\\\"]}[{\\\\\"");
}

T_CASE(json_faults_name_line_and_column)
{
	refuses(rkj_parse_json, "{\"a\": 1,\n \"b\" 2}", "line 2, column 6: ");
	refuses(rkj_parse_json, "", "ends too early");
	refuses(rkj_parse_json, "{\"a\": 1", "ends too early");
	refuses(rkj_parse_json, "{} x", "more text behind");
	refuses(rkj_parse_json, "{\"a\":1,\"a\":2}", "same key twice");
	refuses(rkj_parse_json, "[99999999999999999999]", "too large");
	refuses(rkj_parse_json, "[1e999]", "too large");
	refuses(rkj_parse_json, "[NaN]", "not valid JSON");
}

T_CASE(json_refuses_nul_and_bytes_that_are_not_utf8)
{
	refuses(rkj_parse_json, "\"a\\u0000b\"", "NUL character");
	refuses(rkj_parse_json, "{\"\\u0000\":1}", "NUL character");
	refuses_n(rkj_parse_json, "\"a\0b\"", 5, "line 1");
	refuses_n(rkj_parse_json, "{}\0", 3, "line 1");
	refuses(rkj_parse_json, "\"\xff\"", "not valid UTF-8");
	refuses(rkj_parse_json, "\"\xc0\x80\"", "not valid UTF-8");
	refuses(rkj_parse_json, "\"\xed\xa0\x80\"", "not valid UTF-8");
	refuses(rkj_parse_json, "\"\\ud800\"", "line 1");
}

T_CASE(nesting_stops_at_160_levels)
{
	char *ok = nested("[", "]", RKJ_MAX_DEPTH);
	char *deep = nested("[", "]", RKJ_MAX_DEPTH + 1);
	char *bottomless = nested("[", "", 1000000);
	gives(rkj_parse_json, ok, ok);
	refuses(rkj_parse_json, deep, "column 161: is nested more than 160");
	refuses(rkj_parse_json, bottomless, "nested more than 160");
	gives(rkj_parse_yaml, ok, ok);
	refuses(rkj_parse_yaml, deep, "column 161: is nested more than 160");
	refuses(rkj_parse_yaml, bottomless, "nested more than 160");
	free(ok);
	free(deep);
	free(bottomless);
}

T_CASE(the_number_of_values_is_limited)
{
	struct strbuf b = {0};
	sb_addc(&b, '[');
	for (int i = 0; i < RKJ_MAX_NODES; i++)
		sb_adds(&b, i == 0 ? "1" : ",1");
	sb_addc(&b, ']');
	refuses(rkj_parse_json, sb_str(&b), "more than 200000 values");
	refuses(rkj_parse_yaml, sb_str(&b), "more than 200000 values");
	sb_fini(&b);
}

T_CASE(text_over_8_mib_is_refused)
{
	size_t n = RKJ_MAX_BYTES + 1;
	char *s = xmalloc(n + 1);
	memset(s, ' ', n);
	s[n] = '\0';
	refuses(rkj_parse_json, s, "want at most 8388608");
	refuses(rkj_parse_yaml, s, "want at most 8388608");
	free(s);
}

/* libyaml's work grows with their square: see parse_yaml.c. */
T_CASE(a_flood_of_yaml_directives_is_refused_at_once)
{
	struct strbuf b = {0};
	for (int i = 0; i < 100000; i++)
		sb_addf(&b, "%%TAG !a%d! b\n", i);
	alarm(t_limit(10));
	refuses(rkj_parse_yaml, sb_str(&b), "%TAG more than 64 times");
	sb_fini(&b);
	gives(rkj_parse_yaml, "%TAG !e! x\n--- {a: 1}", "{\"a\":1}");
}

T_CASE(yaml_scalars_follow_the_core_schema)
{
	gives(rkj_parse_yaml, "[null, ~, Null, NULL, '', nUll]",
	    "[null,null,null,null,\"\",\"nUll\"]");
	gives(rkj_parse_yaml, "[true, False, TRUE, tRue, yes, no, on, off, y]",
	    "[true,false,true,\"tRue\",\"yes\",\"no\",\"on\",\"off\",\"y\"]");
	gives(rkj_parse_yaml, "[0, -7, +8, 010, 0x1F, 0o17, 1_000, 0b1, 1:30]",
	    "[0,-7,8,10,31,15,\"1_000\",\"0b1\",\"1:30\"]");
	gives(rkj_parse_yaml, "[1.5, .5, 1., 1e3, -2E-2, 1.e1, ., +, e1, 1e]",
	    "[1.5,0.5,1.0,1000.0,-0.02,10.0,\".\",\"+\",\"e1\",\"1e\"]");
	gives(rkj_parse_yaml, "['1', \"true\", 'null', !!str 5]",
	    "[\"1\",\"true\",\"null\",\"5\"]");
	gives(rkj_parse_yaml, "[9223372036854775807, -9223372036854775808]",
	    "[9223372036854775807,-9223372036854775808]");
	gives(rkj_parse_yaml, "a:\nb: x", "{\"a\":null,\"b\":\"x\"}");
	gives(rkj_parse_yaml, "1: a\ntrue: b", "{\"1\":\"a\",\"true\":\"b\"}");
	gives(rkj_parse_yaml, "a: 2026-10-01\nb: 1.2.3",
	    "{\"a\":\"2026-10-01\",\"b\":\"1.2.3\"}");
	gives(rkj_parse_yaml, "a: |\n  x\n  y\n", "{\"a\":\"x\\ny\\n\"}");
}

T_CASE(yaml_numbers_that_json_cannot_hold_are_refused)
{
	refuses(rkj_parse_yaml, "a: .inf", "line 1, column 4: .inf is not a "
	    "finite number; if it is text, put it in quotes");
	refuses(rkj_parse_yaml, "a: -.Inf", "not a finite number");
	refuses(rkj_parse_yaml, "a: .NaN", "not a finite number");
	refuses(rkj_parse_yaml, "a: 1e999", "not a finite number");
	refuses(rkj_parse_yaml, "a: 9223372036854775808", "64 bits");
	refuses(rkj_parse_yaml, "a: 0xffffffffffffffff", "64 bits");
}

T_CASE(yaml_refuses_what_can_surprise)
{
	refuses(rkj_parse_yaml, "a: &x 1\nb: *x", "line 1, column 4: has the "
	    "anchor &x");
	refuses(rkj_parse_yaml, "a: *x", "alias");
	refuses(rkj_parse_yaml, "*x : 1", "alias");
	refuses(rkj_parse_yaml, "a: 1\nb: 2\na: 3", "line 3, column 1: has "
	    "the key \"a\" twice");
	refuses(rkj_parse_yaml, "a: !!int '3'", "tag");
	refuses(rkj_parse_yaml, "a: !mine {x: 1}", "tag");
	refuses(rkj_parse_yaml, "[a]: 1", "key must be text");
	refuses(rkj_parse_yaml, "a: 1\n---\nb: 2", "second document");
	refuses(rkj_parse_yaml, "", "is empty");
	refuses(rkj_parse_yaml, "# only a comment\n", "is empty");
	refuses(rkj_parse_yaml, "a: \"x\\0y\"", "NUL character");
	refuses(rkj_parse_yaml, "a: \xff", "UTF-8");
	refuses(rkj_parse_yaml, "a: {b: 1", "line 2, column 1: is not valid "
	    "YAML");
	refuses(rkj_parse_yaml, "a: b: c", "line 1, column 5: is not valid");
	refuses(rkj_parse_yaml, "a:\n\tb: 1", "line 2");
}

/* A message is shown as JSON, so it must be UTF-8 whatever the input was. */
T_CASE(messages_are_clean_text)
{
	refuses(rkj_parse_json, "[\"\x01\"]", "line 1");
	struct rk_why why = {0};
	json_t *v = NULL;
	const char *bad = "{\"a\": \xff\xfe\n\x1b}";
	t_eq_int(rkj_parse_json(bad, strlen(bad), &v, &why), RK_EINVAL);
	json_t *s = json_string(why.v[0].message);
	t_check(s != NULL);
	t_check(strchr(why.v[0].message, '\n') == NULL);
	json_decref(s);
	rk_why_fini(&why);
}

T_CASE(a_scalar_from_the_command_line_gets_its_type)
{
	static const char *const pairs[][2] = {
		{ "3", "3" }, { "0.1", "0.1" }, { "true", "true" },
		{ "no", "\"no\"" }, { "", "null" }, { "a b", "\"a b\"" },
		{ ".inf", "\".inf\"" }, { "\xff", "\"?\"" },
		{ "99999999999999999999", "\"99999999999999999999\"" },
	};
	for (size_t i = 0; i < RK_ARRAY_LEN(pairs); i++) {
		json_t *v = rkj_scalar(pairs[i][0]);
		char *s = rkj_text(v);
		t_eq_str(s, pairs[i][1]);
		free(s);
		json_decref(v);
	}
}

T_CASE(a_value_from_the_command_line_may_be_a_list_or_an_object)
{
	static const char *const pairs[][2] = {
		{ "[4, 0.5, x]", "[4,0.5,\"x\"]" },
		{ "{type: sgd}", "{\"type\":\"sgd\"}" },
		{ "[4, ", "\"[4, \"" }, { "3", "3" }, { "", "null" },
	};
	for (size_t i = 0; i < RK_ARRAY_LEN(pairs); i++) {
		json_t *v = rkj_value(pairs[i][0]);
		char *s = rkj_text(v);
		t_eq_str(s, pairs[i][1]);
		free(s);
		json_decref(v);
	}
}

T_MAIN
