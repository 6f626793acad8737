/* Relative addresses, by the examples of RFC 3986, section 5.4. */
#include "t.h"

#include "impl.h"

#define BASE "http://a/b/c/d;p?q"

static void
leads(const char *from, const char *where, const char *want)
{
	char *got = redirect_target(from, where);

	if (strcmp(got, want) != 0)
		t_fail("\"%s\" leads to %s, want %s", where, got, want);
	free(got);
}

T_CASE(relative_addresses_mean_what_the_rfc_says)
{
	static const char *const v[][2] = {
		{ "g", "http://a/b/c/g" }, { "./g", "http://a/b/c/g" },
		{ "g/", "http://a/b/c/g/" }, { "/g", "http://a/g" },
		{ "//g", "http://g/" }, { "?y", "http://a/b/c/d;p?y" },
		{ "g?y", "http://a/b/c/g?y" }, { "#s", BASE }, { "", BASE },
		{ "g#s", "http://a/b/c/g" }, { "g?y#s", "http://a/b/c/g?y" },
		{ ";x", "http://a/b/c/;x" }, { "g;x", "http://a/b/c/g;x" },
		{ ".", "http://a/b/c/" }, { "./", "http://a/b/c/" },
		{ "..", "http://a/b/" }, { "../", "http://a/b/" },
		{ "../g", "http://a/b/g" }, { "../..", "http://a/" },
		{ "../../", "http://a/" }, { "../../g", "http://a/g" },
		{ "../../../g", "http://a/g" }, { "/./g", "http://a/g" },
		{ "/../g", "http://a/g" }, { "g.", "http://a/b/c/g." },
		{ ".g", "http://a/b/c/.g" }, { "g..", "http://a/b/c/g.." },
		{ "..g", "http://a/b/c/..g" }, { "./../g", "http://a/b/g" },
		{ "./g/.", "http://a/b/c/g/" }, { "g/./h", "http://a/b/c/g/h" },
		{ "g/../h", "http://a/b/c/h" },
		{ "g;x=1/./y", "http://a/b/c/g;x=1/y" },
		{ "g;x=1/../y", "http://a/b/c/y" },
		{ "g?y/./x", "http://a/b/c/g?y/./x" },
		{ "g?y/../x", "http://a/b/c/g?y/../x" },
		{ "//h/..?x", "http://h/?x" }, { "a//b", "http://a/b/c/a//b" },
		{ "HTTPS://H/x/../y?Z", "https://H/y?Z" },
		{ "https://h?x", "https://h/?x" }, { "https://h", "https://h/" },
	};

	for (size_t i = 0; i < RK_ARRAY_LEN(v); i++)
		leads(BASE, v[i][0], v[i][1]);
	leads("https://a", "g", "https://a/g");
	leads(BASE, "http:/x/..//h", "http:/x/..//h");
	leads("https://a?q", "?y", "https://a/?y");
	leads("https://a:1/b", "//c:2", "https://c:2/");
}

T_CASE(what_a_header_should_not_have_is_percent_encoded)
{
	leads(BASE, "/a b\t\xc3\xa9%20?x y", "http://a/a%20b%09%C3%A9%20?x%20y");
}

T_MAIN
