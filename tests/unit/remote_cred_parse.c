/* What files and command lines say, taken apart. */
#include "cred.h"
#include "t.h"

static void
check_ini(const char *section, const char *key, const char *want)
{
	char *v = ini_get("a=0\n[ a ]\nk = 1\nK=2\n[profile  \"b c\" ]\nx=\n"
	    " k=3\n#k=4\nk : 5\n[profile d]\nk=6=7 # no comment\n[e\nk=8\n[]\n"
	    "k=9\n[f]", section, key);
	if (want == NULL ? v != NULL : v == NULL || strcmp(v, want) != 0)
		t_fail("[%s] %s is %s", section, key != NULL ? key : "",
		    v != NULL ? v : "not there");
	free(v);
}

T_CASE(ini_files_are_read_as_the_tools_read_them)
{
	check_ini("a", "k", "2");
	check_ini("a", "a", NULL);
	check_ini("profile b c", "x", "\nk=3");
	check_ini("profile b c", "k", "5");
	check_ini("profile d", "k", "6=7 # no comment");
	check_ini("profile", "k", NULL);
	check_ini("profile d x", "k", NULL);
	check_ini("profiled", "k", NULL);
	check_ini("e", "k", NULL);
	check_ini("f", NULL, "");
	check_ini("g", NULL, NULL);
}

static void
check_words(const char *line, const char *want)
{
	char **w = words_of(line);
	struct strbuf b = {0};
	for (char **p = w; p != NULL && *p != NULL; p++)
		sb_addf(&b, "<%s>", *p);
	t_eq_str(w != NULL ? sb_str(&b) : "none", want);
	sb_fini(&b);
	words_free(w);
}

T_CASE(command_lines_are_taken_apart_without_a_shell)
{
	check_words(" a  b\tc\nd", "<a><b><c><d>");
	check_words("a 'b c' \"d e\" f\\ g", "<a><b c><d e><f g>");
	check_words("a '' \"\"x", "<a><><x>");
	check_words("a \"b\\\"c\\d\" 'e\\f'", "<a><b\"c\\d><e\\f>");
	check_words("a $HOME `b` ;c|d", "<a><$HOME><`b`><;c|d>");
	check_words("", "none");
	check_words("  ", "none");
	check_words("''", "none");
	check_words("a 'b", "none");
	check_words("a \"b", "none");
	check_words("a \\", "none");
}

T_MAIN
