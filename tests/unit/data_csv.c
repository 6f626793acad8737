/*
 * CSV: RFC 4180 with numbers in it, and for each fault a sentence with the
 * line, the column and the text.
 */
#include <float.h>

#include "number.h"
#include "rekindle/base.h"
#include "rekindle/data.h"
#include "t.h"

static const struct spec_source last = { .type = SPEC_CSV, .label_index = -1,
    .header = SPEC_HEADER_AUTO, .delimiter = ',' };

static struct data_set *
parse_as(const char *text, size_t n, const struct spec_source *s)
{
	struct rk_why why = { 0 };
	struct data_set *d;
	char *p = malloc(n + (n == 0));

	/* Exactly sized, so that ASan sees a read past the end. */
	memcpy(p, text, n);
	if (data_parse_csv(p, n, "train.csv", s, &d, &why) != RK_OK)
		t_fail("refused: %s", rk_why_first(&why));
	free(p);
	return d;
}

static struct data_set *
parse(const char *text)
{
	return parse_as(text, strlen(text), &last);
}

static void
refuses_as(const char *text, size_t n, const struct spec_source *s,
    const char *sentence)
{
	struct rk_why why = { 0 };
	struct data_set *d;
	char *p = malloc(n + (n == 0));

	memcpy(p, text, n);
	t_eq_int(data_parse_csv(p, n, "train.csv", s, &d, &why), RK_EINVAL);
	t_eq_str(rk_why_first(&why), sentence);
	t_eq_int(why.n, 1);
	rk_why_fini(&why);
	free(p);
}

static void
refuses(const char *text, const char *sentence)
{
	refuses_as(text, strlen(text), &last, sentence);
}

static void
check_ages(struct data_set *d)
{
	const float x[] = { 1, 2.5f, 3, -4 };

	t_eq_int(d->n, 2);
	t_eq_int(d->ndim, 1);
	t_check(d->d[0] == 2 && d->width == 2);
	for (int i = 0; i < 4; i++)
		t_check(d->floats[i] == x[i]);
	t_check(d->classes[0] == 0 && d->classes[1] == 2);
	t_eq_int(d->nclasses, 3);
	data_close(d);
}

T_CASE(rows_become_features_and_a_label)
{
	check_ages(parse("1,2.5,0\n3,-4,2\n"));
}

T_CASE(a_first_row_with_words_is_a_header)
{
	check_ages(parse("height,age,kind\n1,2.5,0\n3,-4,2\n"));
}

T_CASE(crlf_and_a_missing_last_newline_are_fine)
{
	check_ages(parse("height,age,kind\r\n1,2.5,0\r\n3,-4,2"));
	check_ages(parse("1,2.5,0\r\n3,-4,2\r\n"));
}

T_CASE(empty_lines_at_the_end_are_fine)
{
	check_ages(parse("1,2.5,0\n3,-4,2\n\r\n\n"));
}

T_CASE(a_byte_order_mark_is_skipped)
{
	check_ages(parse("\xef\xbb\xbf" "1,2.5,0\n3,-4,2\n"));
}

T_CASE(fields_may_be_quoted)
{
	check_ages(parse("\"height, in \"\"cm\"\"\",age,\"ki\nnd\"\n"
	    "\"1\",2.5,\"0\"\n3,\"-4\",2\n"));
}

T_CASE(spaces_around_a_number_are_fine)
{
	check_ages(parse(" 1 ,2.5,\t0\n3, -4,2 \n"));
}

T_CASE(numbers_are_read_in_all_their_forms)
{
	struct data_set *d = parse("+1,.5,5.,1e2,1E-2,-0,1e+3,"
	    "123456789012345678901234567890,0.1000000000000000055,0\n");
	const float want[] = { 1, 0.5f, 5, 100, 0.01f, 0, 1000,
	    123456789012345678901234567890.0f, 0.1f };

	for (int i = 0; i < 9; i++)
		t_check(d->floats[i] == want[i]);
	data_close(d);
}

T_CASE(the_delimiter_may_be_another)
{
	struct spec_source s = last;

	s.delimiter = ';';
	check_ages(parse_as("1;2.5;0\n3;-4;2\n", 15, &s));
	s.delimiter = '\t';
	check_ages(parse_as("1\t2.5\t0\n3\t-4\t2\n", 15, &s));
}

T_CASE(the_label_is_found_by_index_or_name)
{
	struct spec_source s = last;
	const char *text = "kind,height,age\n0,1,2.5\n2,3,-4\n";
	const size_t n = strlen(text);

	s.label_index = 0;
	check_ages(parse_as(text, n, &s));
	s.label_index = -3;
	check_ages(parse_as(text, n, &s));
	s.label_index = 2;
	s.label_name = (char[]){ "kind" };
	check_ages(parse_as(text, n, &s));
	text = "height,kind,age\n1,0,2.5\n3,2,-4\n";
	check_ages(parse_as(text, n, &s));
}

T_CASE(a_quote_in_a_name_is_written_twice)
{
	const char *text = "height,age,\"a \"\"kind\"\"\"\n1,2.5,0\n3,-4,2\n";
	struct spec_source s = last;

	s.label_name = (char[]){ "a \"kind\"" };
	check_ages(parse_as(text, strlen(text), &s));
}

T_CASE(a_label_by_name_makes_the_first_row_a_header)
{
	const char *text = "1,2,3\n1,2.5,0\n3,-4,2\n";
	struct spec_source s = last;

	s.label_name = (char[]){ "3" };
	check_ages(parse_as(text, strlen(text), &s));
}

static size_t
remarks_of(const char *text, char out[400])
{
	struct data_set *d = parse(text);
	size_t n;
	const char *const *v = data_remarks(d, &n);

	snprintf(out, 400, "%s", n > 0 ? v[0] : "");
	data_close(d);
	return n;
}

T_CASE(a_first_row_of_numbers_and_a_word_is_said_or_refused)
{
	char text[400];

	/* A slip of the pen in a sample: fractions, or a number twice. */
	refuses("1.5,x1.2,3,0\n1,2,3,1\n", "train.csv: line 1, column 2: "
	    "\"x1.2\" is not a number, and 3 of the 4 fields of the line are: "
	    "it looks like a sample, not like names; say header: true if they "
	    "are names, and header: false if they are not");
	refuses("1,o,1,0\n1,2,3,1\n", "train.csv: line 1, column 2: \"o\" is "
	    "not a number, and 3 of the 4 fields of the line are: it looks "
	    "like a sample, not like names; say header: true if they are "
	    "names, and header: false if they are not");
	/* Names may be numbers, as of years or of pixels. */
	t_eq_int(remarks_of("0,1,2,y\n1,2,3,1\n", text), 1);
	t_eq_str(text, "train.csv: the first line is taken for a header, "
	    "because column 4 has \"y\", though 3 of its 4 fields are "
	    "numbers: say header: true or false");
	t_eq_int(remarks_of("a,b,2.5\n1,2,0\n", text), 1);
	t_has(text, "because column 1 has \"a\", though 1 of its 3 fields is a "
	    "number: say");
	t_eq_int(remarks_of("a,b,y\n1,2,0\n", text), 0);
}

T_CASE(header_true_and_false_are_obeyed)
{
	const char *text = "7,8,9\n1,2.5,0\n3,-4,2\n";
	struct spec_source s = last;

	s.header = SPEC_HEADER_YES;
	check_ages(parse_as(text, strlen(text), &s));
	s.header = SPEC_HEADER_NO;
	refuses_as("a,b,c\n1,2,3\n", 12, &s,
	    "train.csv: line 1, column 1: \"a\" is not a number");
}

T_CASE(labels_that_are_no_classes_stay_targets)
{
	struct data_set *d = parse("1,0\n2,1.5\n");

	t_check(d->classes == NULL && d->nclasses == 0);
	t_check(d->targets[1] == 1.5f);
	data_close(d);
	d = parse("1,0\n2,-1\n");
	t_check(d->classes == NULL && d->targets[1] == -1);
	data_close(d);
	d = parse("1,0\n2,1048575\n");
	t_eq_int(d->nclasses, 1048576);
	data_close(d);
	d = parse("1,0\n2,1048576\n");
	t_check(d->classes == NULL);
	data_close(d);
}

/* --- refusals ----------------------------------------------------------- */

T_CASE(a_word_is_refused_with_its_place)
{
	refuses("height,sex,age\n1,2,3\n1,2,abc\n",
	    "train.csv: line 3, column 3 (age): \"abc\" is not a number");
	refuses("1,2,3\n1,2x,3\n",
	    "train.csv: line 2, column 2: \"2x\" is not a number");
	refuses("1,2,3\n1,\"2 3\",3\n",
	    "train.csv: line 2, column 2: \"2 3\" is not a number");
	refuses("1,2,3\n1,0x10,3\n",
	    "train.csv: line 2, column 2: \"0x10\" is not a number");
	refuses("1,2,3\n1,.,1e\n",
	    "train.csv: line 2, column 2: \".\" is not a number");
	refuses("1,2,3\n1,1,1e+\n",
	    "train.csv: line 2, column 3: \"1e+\" is not a number");
}

T_CASE(lines_are_counted_through_quoted_newlines)
{
	refuses("\"a\n\nb\",c\n1,2\n1,x\n",
	    "train.csv: line 5, column 2 (c): \"x\" is not a number");
	refuses("\"a\nb\",c\n1,2\ny,1\n",
	    "train.csv: line 4, column 1 (a\\x0ab): \"y\" is not a number");
}

T_CASE(numbers_that_are_not_finite_are_refused)
{
	refuses("1,2\nnan,2\n",
	    "train.csv: line 2, column 1: \"nan\" is not a finite number");
	refuses("1,2\n1,-Infinity\n",
	    "train.csv: line 2, column 2: \"-Infinity\" is not a finite "
	    "number");
	refuses("1,2\n1e39,1\n", "train.csv: line 2, column 1: \"1e39\" is too "
	    "large for a 32-bit number");
	refuses("1,2\n1,-1e999", "train.csv: line 2, column 2: \"-1e999\" is "
	    "too large for a 32-bit number");
}

/* A first row with a missing value is data, or it would be lost unseen. */
T_CASE(a_missing_value_does_not_make_a_header)
{
	refuses("1,nan,0\n1,2,3\n",
	    "train.csv: line 1, column 2: \"nan\" is not a finite number");
	refuses("1,,0\n1,2,3\n",
	    "train.csv: line 1, column 2: is empty, want a number");
}

T_CASE(empty_fields_are_refused)
{
	refuses("1,2\n1,\n",
	    "train.csv: line 2, column 2: is empty, want a number");
	refuses("1,2\n1,",
	    "train.csv: line 2, column 2: is empty, want a number");
	refuses("1,2\n\"\",1\n",
	    "train.csv: line 2, column 1: is empty, want a number");
}

T_CASE(ragged_rows_are_refused)
{
	refuses("1,2,3\n1,2\n", "train.csv: line 2 has 2 fields, want 3");
	refuses("1,2,3\n1\n", "train.csv: line 2 has 1 field, want 3");
	refuses("1,2,3\n1,2,3,4\n",
	    "train.csv: line 2 has more than 3 fields");
	refuses("1,2,3\n\n1,2,3\n", "train.csv: line 2 is empty");
}

T_CASE(files_without_samples_are_refused)
{
	refuses("", "train.csv: is empty");
	refuses("\xef\xbb\xbf", "train.csv: is empty");
	refuses("a,b\n", "train.csv: has a header and no samples");
	refuses("a,b\n\n\n", "train.csv: has a header and no samples");
	refuses("1\n2\n",
	    "train.csv: has one column, the label, and no features");
}

T_CASE(lines_that_end_in_cr_alone_are_refused_as_that)
{
	refuses("a,y\r1,0\r2,1\r", "train.csv: its lines end in CR alone, as "
	    "those of old Macintoshes; want LF or CR LF");
}

/* What a table to be asked about comes to: "1 2 | 3 4", or why it is refused. */
static char *
asked(const char *text, const char *const *names, int64_t width,
    const struct spec_source *s)
{
	struct rk_why why = { 0 };
	struct strbuf b = { 0 };
	struct data_set *d = NULL;

	if (data_parse_table(text, strlen(text), "q.csv", s, names, width, &d,
	    &why) != RK_OK)
		sb_adds(&b, rk_why_first(&why));
	for (int64_t i = 0; d != NULL && i < d->n * d->width; i++)
		sb_addf(&b, "%s%g", i == 0 ? "" : i % d->width == 0 ? " | " :
		    " ", (double)d->floats[i]);
	data_close(d);
	rk_why_fini(&why);
	return sb_detach(&b);
}

static void
asks(const char *text, const char *const *names, int64_t width,
    const char *want)
{
	const struct spec_source named = { .type = SPEC_CSV, .label_name =
	    (char *)(uintptr_t)"y", .delimiter = ',' };
	char *got = asked(text, names, width, names != NULL ? &named : &last);

	t_eq_str(got, want);
	free(got);
}

T_CASE(columns_of_a_table_to_be_asked_about_are_found_by_their_names)
{
	static const char *const ab[] = { "a", "b" }, *const aab[] = { "a",
		"a", "b" };

	asks("a,b,y\n1,2,0\n3,4,1\n", ab, 2, "1 2 | 3 4");
	asks("b,a\n1,2\n3,4\n", ab, 2, "2 1 | 4 3");
	asks("y,b,id,a\n0,1,7,2\n1,3,8,4\n", ab, 2, "2 1 | 4 3");
	asks("c,d\n1,2\n", ab, 2, "q.csv: has no columns \"a\", \"b\", which "
	    "the network's own data have; it has \"c\", \"d\"");
	asks("a,b,a\n1,2,3\n", ab, 2, "q.csv: has no column \"a\" as often, "
	    "which the network's own data have; it has \"a\", \"b\", \"a\"");
	asks("b,a,a\n1,2,3\n", aab, 3, "2 3 1");
	/* By place: without a header here, or there. */
	asks("1,2\n3,4\n", ab, 2, "1 2 | 3 4");
	asks("c,d\n1,2\n3,4\n", NULL, 2, "1 2 | 3 4");
	asks("1,2,0\n3,4,1\n", NULL, 2, "1 2 | 3 4");
	asks("c,d,y\n1,2,0\n", NULL, 2, "1 2");
	asks("1,2,0\n", ab, 2, "q.csv: the label is column \"y\", but the file "
	    "has no header with names");
}

T_CASE(a_label_that_is_not_there_is_refused)
{
	struct spec_source s = last;

	s.label_index = 2;
	refuses_as("1,2\n", 4, &s, "train.csv: the label is column 2, but "
	    "there are 2 columns (0 to 1, or -1 to -2 from the end)");
	s.label_index = -3;
	refuses_as("1,2\n", 4, &s, "train.csv: the label is column -3, but "
	    "there are 2 columns (0 to 1, or -1 to -2 from the end)");
	s.label_name = (char[]){ "kind" };
	refuses_as("a,b\n1,2\n", 8, &s, "train.csv: has no column \"kind\" for "
	    "the label; it has a, b");
	refuses_as("kind,kind\n1,2\n", 14, &s, "train.csv: 2 columns have the "
	    "label's name, \"kind\"");
	s.header = SPEC_HEADER_NO;
	refuses_as("1,2\n", 4, &s, "train.csv: the label is column \"kind\", "
	    "but the file has no header with names");
}

T_CASE(quotes_that_do_not_fit_are_refused)
{
	refuses("1,2\n1,\"2\n",
	    "train.csv: line 2, column 2: a quote is opened and never closed");
	refuses("1,2\n1,\"2\"3\n",
	    "train.csv: line 2, column 2: has text behind the closing quote");
	refuses("1,2\n1,2\"3\n", "train.csv: line 2, column 2: \"2\"3\" has a "
	    "quote inside, want it around the field");
}

T_CASE(nul_bytes_are_refused)
{
	refuses_as("1,2\n1,2\0\n", 9, &last,
	    "train.csv: line 2, column 2: \"2\\x00\" is not a number");
	refuses_as("a\0b,c\n1,2\n", 10, &last,
	    "train.csv: the header has a NUL byte");
}

T_CASE(what_is_shown_is_short_and_clean)
{
	refuses("1,2\n1,aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeee\n",
	    "train.csv: line 2, column 2: "
	    "\"aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd...\" is not a number");
	refuses("1,2\n1,\x1b[31m\xff\xc3\xa9\n", "train.csv: line 2, column 2: "
	    "\"\\x1b[31m\\xff\xc3\xa9\" is not a number");
}

T_CASE(a_number_of_a_thousand_digits_is_none)
{
	char text[4000] = "1,2\n1,";

	memset(text + 6, '9', 2000);
	strcpy(text + 2006, "\n");
	refuses(text, "train.csv: line 2, column 2: "
	    "\"9999999999999999999999999999999999999999...\" is not a number");
}

T_CASE(there_may_be_many_columns_but_not_any_number)
{
	const size_t n = 1 << 20;
	struct rk_why why = { 0 };
	char *text = malloc(2 * n + 4);
	struct data_set *d;

	for (size_t i = 0; i <= n; i++)
		memcpy(text + 2 * i, "1,", 2);
	d = parse_as(text, 2 * n - 1, &last);
	t_eq_int(d->width, n - 1);
	data_close(d);
	t_eq_int(data_parse_csv(text, 2 * n + 1, "train.csv", &last, &d, &why),
	    RK_EINVAL);
	t_eq_str(rk_why_first(&why),
	    "train.csv: line 1 has more than 1048576 fields");
	rk_why_fini(&why);
	free(text);
}

/* --- numbers ------------------------------------------------------------ */

T_CASE(numbers_are_strtods_to_the_last_bit)
{
	char text[64];

	for (uint64_t i = 0; i < 200000; i++) {
		uint32_t a = rk_draw_u32(5, 0, 0, i);
		uint32_t b = rk_draw_u32(5, 0, 1, i);
		double x = ldexp((double)(a >> 1) + b / 4294967296.0,
		    (int)(a % 120) - 70), got;
		int digits = (int)(b % 18) + 1;
		snprintf(text, sizeof(text), i % 3 == 0 ? "%.*e" :
		    i % 3 == 1 ? "%.*g" : "-%.*g", digits, x);
		const char *end = text + strlen(text);
		t_check(number_parse(text, end, &got) == end);
		if (got != strtod(text, NULL))
			t_fail("%s is read as %.17g", text, got);
	}
}

/* 2^64 + 1 and the like: an integer that wraps is not taken for exact. */
T_CASE(more_digits_than_an_integer_holds_are_read_right)
{
	static const char *const texts[] = { "18446744073709551617",
	    "10000000018446744073709551617", "0.00018446744073709551617",
	    "9007199254740993", "9223372036854775808", "99999999999999999999",
	    "0.000000000000000000000000000000001", "1.8446744073709551617e-2" };
	double v;

	for (size_t i = 0; i < RK_ARRAY_LEN(texts); i++) {
		const char *end = texts[i] + strlen(texts[i]);
		t_check(number_parse(texts[i], end, &v) == end);
		if (v != strtod(texts[i], NULL))
			t_fail("%s is read as %.17g", texts[i], v);
	}
}

T_CASE(a_number_ends_where_its_text_does)
{
	static const struct {
		const char *text;
		int len;                /* -1: none */
	} cases[] = {
		{ "", -1 }, { "-", -1 }, { "+", -1 }, { ".", -1 }, { "-.", -1 },
		{ "e5", -1 }, { ".e5", -1 }, { "abc", -1 }, { " 1", -1 },
		{ "1", 1 }, { "1 ", 1 }, { "1e", 1 }, { "1e+", 1 },
		{ "1ex", 1 },
		{ "1e5x", 3 }, { "1.5.5", 3 }, { "--1", -1 }, { "1.", 2 },
		{ ".5", 2 }, { "-.5e-3,", 6 }, { "0x10", 1 }, { "inf", -1 },
	};
	double v;

	for (size_t i = 0; i < RK_ARRAY_LEN(cases); i++) {
		const char *p = cases[i].text;
		const char *q = number_parse(p, p + strlen(p), &v);
		t_eq_int(q == NULL ? -1 : q - p, cases[i].len);
	}
}

T_CASE(absurd_exponents_are_zero_or_infinite)
{
	static const char tiny[] = "1e-99999999999999999999";
	static const char huge[] = "-1e99999999999999999999";
	double v;

	number_parse(tiny, tiny + strlen(tiny), &v);
	t_check(v == 0);
	number_parse(huge, huge + strlen(huge), &v);
	t_check(isinf(v) && v < 0);
}

T_MAIN
