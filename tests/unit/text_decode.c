/*
 * Bytes to UTF-8 by three encodings, and what is none of them.
 */
#include "rekindle/text.h"
#include "t.h"

static void
gives(enum text_encoding e, const char *p, size_t n, const char *want)
{
	struct text_decoder *d = NULL;
	struct strbuf b = { 0 };
	size_t bad;

	t_eq_int(text_decoder_new(&d, e, NULL), RK_OK);
	t_eq_int(text_decode(d, p, n, &b, &bad), RK_OK);
	t_eq_str(sb_str(&b), want);
	sb_fini(&b);
	text_decoder_free(d);
}

static void
stops(enum text_encoding e, const char *p, size_t n, size_t at)
{
	struct text_decoder *d = NULL;
	struct strbuf b = { 0 };
	size_t bad = 0;

	t_eq_int(text_decoder_new(&d, e, NULL), RK_OK);
	t_eq_int(text_decode(d, p, n, &b, &bad), RK_EINVAL);
	t_eq_int(bad, at);
	sb_fini(&b);
	/* Nothing of it stays in the decoder. */
	t_eq_int(text_decode(d, "ok", 2, &b, &bad), RK_OK);
	t_eq_str(sb_str(&b), "ok");
	sb_fini(&b);
	text_decoder_free(d);
}

T_CASE(encodings_become_utf_8)
{
	gives(TEXT_UTF8, "caf\xc3\xa9 \xe4\xb8\xad \xf0\x9f\x98\x80", 15,
	    "caf\xc3\xa9 \xe4\xb8\xad \xf0\x9f\x98\x80");
	gives(TEXT_LATIN1, "caf\xe9 \xff", 6, "caf\xc3\xa9 \xc3\xbf");
	gives(TEXT_GB18030, "\xd6\xd0\xce\xc4 ok \x95\x32\x82\x36", 12,
	    "\xe4\xb8\xad\xe6\x96\x87 ok \xf0\xa0\x80\x80");
	gives(TEXT_UTF8, "", 0, "");
}

T_CASE(what_is_not_in_the_encoding_is_found)
{
	stops(TEXT_UTF8, "caf\xe9 x", 6, 3);
	stops(TEXT_UTF8, "12345678901234567\xc3", 18, 17);
	stops(TEXT_UTF8, "a\xc0\x80", 3, 1);            /* overlong */
	stops(TEXT_UTF8, "a\xed\xa0\x80", 4, 1);        /* a surrogate */
	stops(TEXT_UTF8, "\xf4\x90\x80\x80", 4, 0);     /* past U+10FFFF */
	stops(TEXT_GB18030, "\xd6\xd0\xff\x41", 4, 2);
	stops(TEXT_GB18030, "ab\xd6", 3, 2);
}

T_CASE(a_long_text_goes_through_in_one_piece)
{
	struct text_decoder *d = NULL;
	struct strbuf in = { 0 }, out = { 0 };
	size_t bad;

	for (int i = 0; i < 30000; i++)
		sb_add(&in, "\xd6\xd0x", 3);
	t_eq_int(text_decoder_new(&d, TEXT_GB18030, NULL), RK_OK);
	t_eq_int(text_decode(d, in.s, in.len, &out, &bad), RK_OK);
	t_eq_int(out.len, 30000 * 4);
	for (size_t i = 0; i < out.len; i += 4)
		t_check(memcmp(out.s + i, "\xe4\xb8\xadx", 4) == 0);
	sb_fini(&in);
	sb_fini(&out);
	text_decoder_free(d);
}

T_CASE(marks_are_known_and_those_of_others_named)
{
	const char *other;

	t_eq_int(text_mark(TEXT_UTF8, "\xef\xbb\xbfx", 4, &other), 3);
	t_check(other == NULL);
	t_eq_int(text_mark(TEXT_UTF8, "abc", 3, &other), 0);
	t_check(other == NULL);
	t_eq_int(text_mark(TEXT_GB18030, "\x84\x31\x95\x33", 4, &other), 4);
	t_eq_int(text_mark(TEXT_UTF8, "\xff\xfe", 2, &other), 0);
	t_eq_str(other, "UTF-16");
	t_eq_int(text_mark(TEXT_GB18030, "\xef\xbb\xbf", 3, &other), 0);
	t_eq_str(other, "utf-8");
	t_eq_int(text_mark(TEXT_UTF8, "", 0, &other), 0);
}

T_MAIN
