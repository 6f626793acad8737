/* Which bytes of a file are meant: what follows its address. */
#include <stdlib.h>
#include <string.h>

#include "rekindle/base.h"
#include "t.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define UP  "0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef"

T_CASE(an_address_is_told_from_what_of_its_file_is_meant)
{
	static const char *const rows[][4] = {
		{ "s3://b/k", "s3://b/k", NULL, "" },
		{ "s3://b/k#3", "s3://b/k#3", NULL, "" },
		{ "s3://b/k#3#sha256=" UP, "s3://b/k#3", NULL, HEX },
		{ "/d/x.tar#member=a/b.pdparams", "/d/x.tar", "a/b.pdparams",
		    "" },
		{ "https://h/x.tar?v=1#member=a#b&c&sha256=" UP,
		    "https://h/x.tar?v=1", "a#b&c", HEX },
		{ "x#member=a&sha256=b&sha256=" HEX, "x", "a&sha256=b", HEX },
		{ "x#member=a#sha256=" HEX, "x", "a#sha256=" HEX, "" },
		{ "x#sha256", "x#sha256", NULL, "" },
	};

	for (size_t i = 0; i < RK_ARRAY_LEN(rows); i++) {
		struct rk_part p;
		struct rk_why why = {0};
		if (rk_part_parse(&p, rows[i][0], &why) != RK_OK)
			t_fail("%s: %s", rows[i][0], rk_why_first(&why));
		t_eq_str(p.bare, rows[i][1]);
		t_check((p.member == NULL) == (rows[i][2] == NULL));
		if (p.member != NULL)
			t_eq_str(p.member, rows[i][2]);
		t_eq_str(p.sha256, rows[i][3]);
		t_eq_int(rk_part_of(rows[i][0]) - rows[i][0],
		    (long)strlen(rows[i][1]));
		rk_part_fini(&p);
	}
}

T_CASE(what_is_no_part_is_refused)
{
	static const char *const rows[][2] = {
		{ "x#member=", "no name behind it" },
		{ "x#member=&sha256=" HEX, "no name behind it" },
		{ "x#member=a&sha256=12", "\"&sha256=\" at its end and not 64" },
		{ "x#sha256=", "\"#sha256=\" at its end and not 64" },
		{ "x#sha256=" HEX "0", "not 64 hexadecimal digits" },
		{ "x#sha256=" HEX "&member=a", "#member=NAME&sha256=HEX" },
	};

	for (size_t i = 0; i < RK_ARRAY_LEN(rows); i++) {
		struct rk_why why = {0};
		struct rk_part p;
		t_eq_int(rk_part_parse(&p, rows[i][0], &why), RK_EINVAL);
		t_has(rk_why_first(&why), rows[i][1]);
		t_check(p.bare == NULL && p.member == NULL);
		rk_why_fini(&why);
	}
}

T_MAIN
