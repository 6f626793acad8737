/* Regular expressions, and that they cannot hang. */
#include "rekindle/base_regex.h"
#include "t.h"

/* What comes of s; the caller frees. */
static char *
replaced(const char *pattern, const char *text, const char *s)
{
	uint64_t budget = UINT64_MAX;
	struct rk_why why = {0};
	struct rk_regex *x;
	char *out;

	if (rk_regex_new(&x, pattern, &why) != RK_OK)
		t_fail("%s: %s", pattern, rk_why_first(&why));
	t_check(rk_regex_text_ok(x, text, NULL) == RK_OK);
	t_check(rk_regex_replace(x, s, text, 512, &budget, &out) == RK_OK);
	rk_regex_free(x);
	return out != NULL ? out : xstrdup(s);
}

static void
becomes(const char *pattern, const char *text, const char *s, const char *want)
{
	char *got = replaced(pattern, text, s);

	if (strcmp(got, want) != 0)
		t_fail("%s in %s: %s, want %s", pattern, s, got, want);
	free(got);
}

T_CASE(what_matches_is_replaced_each_time)
{
	becomes("^module\\.", "", "module.fc.module.weight",
	    "fc.module.weight");
	becomes("o", "0", "foo.boo", "f00.b00");
	becomes("x", "y", "abc", "abc");
	becomes("^", "net.", "fc.bias", "net.fc.bias");
	becomes("$", ".raw", "fc.bias", "fc.bias.raw");
	becomes("a|b", "-", "abc", "--c");
	becomes("", "-", "ab", "-a-b-");
}

T_CASE(groups_are_put_where_the_text_says)
{
	becomes("^layers\\.(\\d+)\\.(w|b)$", "block\\1.\\2eight",
	    "layers.12.w", "block12.weight");
	becomes("(a)(b)?", "[\\1\\2]", "ab.a", "[ab].[a]");
	becomes("(?:enc|dec)oder\\.(.*)", "\\1", "encoder.x.y", "x.y");
	becomes("(.)", "\\\\", "ab", "\\\\");
}

T_CASE(choices_and_repeats_are_taken_as_in_perl)
{
	becomes("a+", "<>", "caaat", "c<>t");
	becomes("a+?", "<>", "caat", "c<><>t");
	becomes("a{2}", "-", "aaaaa", "--a");
	becomes("a{2,}", "-", "aaaaa", "-");
	becomes("a{1,2}", "-", "aaaaa", "---");
	becomes("(ab|a)(c|bcd)", "\\1,\\2", "abcd", "ab,cd");
	becomes(".*\\.", "", "a.b.c", "c");
	becomes("[^.]+$", "x", "a.b.c", "a.b.x");
	becomes("[a-c_]+", "x", "ab_d", "xd");
	becomes("\\w+\\.\\D", "x", "a1.b", "x");
	becomes("[\\d.]+", "#", "v1.2w", "v#w");
	becomes("[]x-]", "-", "a]x-", "a---");
	becomes("(a*)*b", "x", "aaab", "x");
}

static void
refused(const char *pattern, const char *words)
{
	struct rk_why why = {0};
	struct rk_regex *x = NULL;

	t_check(rk_regex_new(&x, pattern, &why) == RK_EINVAL);
	t_check(x == NULL);
	t_has(rk_why_first(&why), words);
	rk_why_fini(&why);
}

T_CASE(what_is_no_expression_is_refused_with_its_place)
{
	refused("a(b", "a ( is not closed at byte 4");
	refused("a)b", "a ) closes nothing at byte 2");
	refused("[ab", "a [ is not closed");
	refused("*a", "there is nothing to repeat at byte 1");
	refused("a**", "a repeat is repeated");
	refused("a{3,2}", "is not {m}, {m,} or {m,n}");
	refused("a{100}", "is not {m}, {m,} or {m,n}");
	refused("[z-a]", "ends before it begins");
	refused("(a)\\1", "a \\ that means nothing");
	refused("(?=a)", "(? begins something");
	refused("\\", "a \\ that means nothing");
	refused("((((((((((a))))))))))", "more than 9 groups");
	refused("((a{99}){99}){99}", "more than 512 steps");
	refused("(a?){99}(a?){99}(a?){99}", "more than 512 steps");
}

T_CASE(a_text_asks_only_for_groups_that_there_are)
{
	struct rk_why why = {0};
	struct rk_regex *x;

	t_check(rk_regex_new(&x, "(a)", NULL) == RK_OK);
	t_eq_int(rk_regex_groups(x), 1);
	t_check(rk_regex_text_ok(x, "\\2", &why) == RK_EINVAL);
	t_has(rk_why_first(&why), "asks for group 2");
	rk_why_fini(&why);
	t_check(rk_regex_text_ok(x, "\\n", &why) == RK_EINVAL);
	rk_why_fini(&why);
	rk_regex_free(x);
}

/* Which a matcher that goes back and tries again needs 2^60 steps for. */
T_CASE(hostile_patterns_take_no_longer_than_others)
{
	char s[402];
	uint64_t budget = 20000000;
	struct rk_regex *x;
	char *out;

	memset(s, 'a', sizeof(s));
	s[400] = 'c';
	s[401] = '\0';
	t_check(rk_regex_new(&x, "(a*)*(a|a)*(a?){30}a{30}b$", NULL) == RK_OK);
	t_check(rk_regex_replace(x, s, "", 512, &budget, &out) == RK_OK);
	t_check(out == NULL);
	budget = 1000;
	t_check(rk_regex_replace(x, s, "", 512, &budget, &out) == RK_ELIMIT);
	rk_regex_free(x);
}

T_CASE(a_name_does_not_grow_beyond_its_limit)
{
	uint64_t budget = UINT64_MAX;
	struct rk_regex *x;
	char *out;

	t_check(rk_regex_new(&x, "a", NULL) == RK_OK);
	t_check(rk_regex_replace(x, "aaaa", "123456789", 20, &budget, &out) ==
	    RK_ELIMIT);
	t_check(out == NULL);
	rk_regex_free(x);
}

T_MAIN
