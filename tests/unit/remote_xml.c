/* The little XML of stores. */
#include "t.h"

#include "list.h"

/* "<a><b>" as "a( b(x) )": elements and their text. */
static void
reads(const char *in, const char *want)
{
	struct strbuf b = {0};
	enum xml_event e;
	struct xml x;

	xml_open(&x, in, strlen(in));
	sb_adds(&b, "");
	while ((e = xml_next(&x)) != XML_END && e != XML_BAD)
		sb_addf(&b, e == XML_OPEN ? "%s(" : "%s)",
		    e == XML_OPEN ? x.name : sb_str(&x.text));
	sb_adds(&b, e == XML_END ? "" : "!");
	t_eq_str(b.s, want);
	sb_fini(&b);
	xml_fini(&x);
}

T_CASE(elements_and_text_are_read)
{
	reads("<?xml version='1.0'?>\n<a><b>x</b><c/><d> y </d></a>\n",
	    "a(b(x)c()d( y ))");
	reads("<a k=\"<\">", "!");
	reads("<a k='1>2' l=\"'\"><!-- <no> --><n:b xmlns:n='u'>z</n:b></a>",
	    "a(b(z))");
	reads("<a>1<b>2</b>3</a>", "a(b(2)3)");
}

T_CASE(entities_and_references_are_resolved)
{
	reads("<a>&lt;&gt;&amp;&quot;&apos;</a>", "a(<>&\"')");
	reads("<a>&#65;&#x42;&#xe9;&#x65E5;&#x1F600;</a>",
	    "a(AB\xc3\xa9\xe6\x97\xa5\xf0\x9f\x98\x80)");
	reads("<a><![CDATA[<b>&amp;]]></a>", "a(<b>&amp;)");
}

T_CASE(what_is_not_well_formed_ends_it)
{
	static const char *const bad[] = { "", " ", "text", "<", "<a", "<a>",
		"</a>", "<a/>x", "<a/><b/>", "<>", "< a/>", "<a b='/>",
		"<!DOCTYPE a>", "<a/><!", "<!-- ", "<?x" };

	for (size_t i = 0; i < RK_ARRAY_LEN(bad); i++) {
		enum xml_event e;
		struct xml x;
		xml_open(&x, bad[i], strlen(bad[i]));
		while ((e = xml_next(&x)) != XML_END && e != XML_BAD)
			;
		if (e != XML_BAD)
			t_fail("taken for XML: %s", bad[i]);
		t_eq_int(xml_next(&x), XML_BAD);
		xml_fini(&x);
	}
	reads("<a><b></a></b>", "a(b(!");
	reads("<a>&nbsp;</a>", "a(!");
	reads("<a>&#0;</a>", "a(!");
	reads("<a>&#xD800;</a>", "a(!");
	reads("<a>&#x110000;</a>", "a(!");
	reads("<a>&#;</a>", "a(!");
	reads("<a>&</a>", "a(!");
}

T_CASE(depth_and_names_have_limits)
{
	char long_name[200] = "<";

	reads("<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a></a></a></a>"
	    "</a></a></a></a></a></a></a></a></a></a></a></a></a>",
	    "a(a(a(a(a(a(a(a(a(a(a(a(a(a(a(a())))))))))))))))");
	reads("<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a>",
	    "a(a(a(a(a(a(a(a(a(a(a(a(a(a(a(a(!");
	memset(long_name + 1, 'n', 70);
	strcat(long_name, "/>");
	reads(long_name, "!");
}

T_CASE(the_first_element_of_a_name_is_found)
{
	const char *s = "<r><a><Id>1</Id></a><Id>2</Id></r>";
	char *id = xml_find(s, strlen(s), "Id");

	t_eq_str(id, "1");
	free(id);
	t_check(xml_find(s, strlen(s), "None") == NULL);
}

T_CASE(keys_of_a_page_are_unescaped_then_decoded_and_ordered)
{
	static const char s[] = "<ListBucketResult><EncodingType>url"
	    "</EncodingType><IsTruncated>true</IsTruncated><Contents><Key>"
	    "z%26amp%3B&apos;</Key><Size>7</Size><ETag>&quot;e&quot;</ETag>"
	    "</Contents><Contents><Key>a+b%2Bc%C3%A9</Key></Contents>"
	    "<CommonPrefixes><Prefix>m/</Prefix></CommonPrefixes>"
	    "<NextContinuationToken>a+/=</NextContinuationToken>"
	    "</ListBucketResult>";
	struct page p = {0};

	t_check(page_read(&p, s, sizeof(s) - 1, "ListBucketResult"));
	t_eq_int(p.n, 3);
	t_eq_str(p.v[0].key, "a b+c\xc3\xa9");
	t_eq_str(p.v[1].key, "m/");
	t_check(p.v[1].folder && !p.v[2].folder && p.more);
	t_eq_str(p.v[2].key, "z&amp;'");
	t_eq_int(p.v[2].size, 7);
	t_eq_str(p.token, "a+/=");
	page_fini(&p);
}

T_CASE(a_page_that_lies_about_its_form_is_none)
{
	static const char *const bad[] = {
		"<Other/>", "<ListBucketResult>",
		"<ListBucketResult><EncodingType>url</EncodingType><Contents>"
		    "<Key>%zz</Key></Contents></ListBucketResult>",
		"<ListBucketResult><EncodingType>url</EncodingType><Contents>"
		    "<Key>a%00b</Key></Contents></ListBucketResult>",
	};

	for (size_t i = 0; i < RK_ARRAY_LEN(bad); i++) {
		struct page p = {0};
		t_check(!page_read(&p, bad[i], strlen(bad[i]),
		    "ListBucketResult"));
		page_fini(&p);
	}
}

T_MAIN
