/*
 * Texts as data: CSV, TSV and a file a class; and for what is wrong a sentence with
 * file and line.
 */
#include <fcntl.h>
#include <pthread.h>

#include "lazy.h"
#include "t.h"
#include "text_source.h"

#define VOCABULARY "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\nd\n,\n\"\n" \
	"\xc3\xa9\n\xe4\xb8\xad\n"
enum { PAD, UNK, CLS, SEP, MASK, A, B, C, D, COMMA, QUOTE, E_ACUTE, ZHONG };

static char path[] = "t.csv", tsv[] = "t.tsv", vocabulary[] = "v.txt";
static char text[] = "text", label[] = "label", pair[] = "pair";

/* text, label; by number, words, 4 tokens. */
static struct spec_source
source(void)
{
	return (struct spec_source){
		.type = SPEC_TEXT, .path = path, .delimiter = ',',
		.label_index = 1,
		.text = { .tokenizer = SPEC_WORDS, .vocabulary = vocabulary,
		    .length = 4 },
	};
}

static struct data_set *
parse_as(const struct spec_source *s, const char *p, size_t n)
{
	struct rk_why why = { 0 };
	struct data_set *d = NULL;

	if (data_parse_text(s, p, n, VOCABULARY, sizeof(VOCABULARY) - 1, &d,
	    &why) != RK_OK)
		t_fail("refused: %s", rk_why_first(&why));
	t_check(d->lazy != NULL && d->tokens == NULL && d->ndim == 1 &&
	    d->d[0] == d->width);
	return d;
}
#define PARSE(s, p) parse_as(s, p, sizeof(p) - 1)

/* The four tokens of a sample. */
static void
read_as(const struct data_set *d, int64_t i, struct data_key k, int32_t *x)
{
	void *scratch = d->lazy->ops->scratch_new(d->lazy);
	struct rk_why why = { 0 };
	struct lazy_got got;

	if (lazy_get(d, scratch, i, &k, x, &got, &why) != RK_OK)
		t_fail("sample %lld: %s", (long long)i, rk_why_first(&why));
	d->lazy->ops->scratch_free(scratch);
}

static void
is(const struct data_set *d, int64_t i, int32_t a, int32_t b, int32_t c,
    int32_t e, float target)
{
	const int32_t want[] = { a, b, c, e };
	int32_t x[4];

	read_as(d, i, (struct data_key){ 0 }, x);

	for (int k = 0; k < 4; k++)
		if (x[k] != want[k])
			t_fail("sample %lld: token %d is %d, want %d",
			    (long long)i, k, x[k], want[k]);
	t_check(d->targets[i] == target);
}

static void
refuses_as(const struct spec_source *s, const char *p, size_t n,
    const char *sentence)
{
	struct rk_why why = { 0 };
	struct data_set *d = NULL;

	t_eq_int(data_parse_text(s, p, n, VOCABULARY, sizeof(VOCABULARY) - 1,
	    &d, &why), RK_EINVAL);
	t_eq_str(rk_why_first(&why), sentence);
	t_eq_int(why.n, 1);
	rk_why_fini(&why);
}
#define REFUSES(s, p, sentence) refuses_as(s, p, sizeof(p) - 1, sentence)

static void
remarks(const struct data_set *d, size_t want, const char *some)
{
	size_t n;
	const char *const *v = data_remarks(d, &n);

	t_eq_int(n, want);
	if (n > 0 && strstr(v[0], some) == NULL)
		t_fail("\"%s\" says nothing of \"%s\"", v[0], some);
}

/* --- what is read --------------------------------------------------------- */

T_CASE(columns_by_number_and_labels_that_are_numbers)
{
	const struct spec_source s = source();
	struct data_set *d = PARSE(&s, "a b,2\nc d a b c,0\n");

	t_eq_int(d->n, 2);
	t_eq_int(d->nclasses, 3);
	t_eq_int(d->vocabulary, 13);
	t_check(d->names == NULL && d->classes[0] == 2);
	is(d, 0, A, B, PAD, PAD, 2);
	is(d, 1, C, D, A, B, 0);
	data_close(d);
	d = PARSE(&s, "a,0.5\nb,-1\n");
	t_check(d->classes == NULL && d->targets[0] == 0.5f);
	data_close(d);
}

T_CASE(columns_by_name_and_labels_that_are_words)
{
	struct spec_source s = source();

	s.text.column = text;
	s.label_name = label;
	struct data_set *d = PARSE(&s, "\xef\xbb\xbfid,label,text\r\n1,pos,a\r\n"
	    "2, neg ,b\r\n3,\"neu, tral\",c");
	t_eq_int(d->n, 3);
	t_eq_int(d->nclasses, 3);
	t_eq_str(d->names[0], "neg");
	t_eq_str(d->names[1], "neu, tral");
	t_eq_str(d->names[2], "pos");
	is(d, 0, A, PAD, PAD, PAD, 2);
	is(d, 1, B, PAD, PAD, PAD, 0);
	is(d, 2, C, PAD, PAD, PAD, 1);
	data_close(d);
}

T_CASE(quotes_are_those_of_rfc_4180_in_csv)
{
	const struct spec_source s = source();
	struct data_set *d = PARSE(&s, "\"a,\"\"\nb\",1\na\" b,0\n\"\",0\n");

	t_eq_int(d->n, 3);
	is(d, 0, A, COMMA, QUOTE, B, 1);
	is(d, 1, A, QUOTE, B, PAD, 0);
	is(d, 2, PAD, PAD, PAD, PAD, 0);
	remarks(d, 1, "1 text is empty");
	data_close(d);
}

T_CASE(a_quote_is_a_character_in_tsv)
{
	struct spec_source s = source();

	s.delimiter = '\t';
	s.path = tsv;
	struct data_set *d = PARSE(&s, "\"a\t1\nb \"c\"\t0\n");
	is(d, 0, QUOTE, A, PAD, PAD, 1);
	is(d, 1, B, QUOTE, C, QUOTE, 0);
	data_close(d);
}

T_CASE(a_trailing_tab_and_empty_lines_cost_nothing)
{
	struct spec_source s = source();

	s.delimiter = '\t';
	s.path = tsv;
	struct data_set *d = PARSE(&s, "a\t1\n\nb\t0\t\n\t\t\nc\t1\t\t\n\n");
	t_eq_int(d->n, 3);
	is(d, 1, B, PAD, PAD, PAD, 0);
	remarks(d, 1, "3 empty lines");
	data_close(d);
	/* Where each row has one, the first too. */
	d = PARSE(&s, "a\t1\t\nb\t0\t\nc\t1\n");
	t_eq_int(d->n, 3);
	data_close(d);
}

T_CASE(pairs_are_two_columns)
{
	struct spec_source s = source();

	s.text.paired = true;
	s.text.column = text;
	s.text.pair = pair;
	s.label_name = label;
	struct data_set *d = PARSE(&s, "text,pair,label\na,b,x\n,c,y\n");
	is(d, 0, A, SEP, B, PAD, 0);
	is(d, 1, SEP, C, PAD, PAD, 1);
	data_close(d);
}

T_CASE(other_encodings_are_decoded)
{
	struct spec_source s = source();

	s.text.encoding = SPEC_LATIN1;
	struct data_set *d = PARSE(&s, "a \xe9,1\nb,0\n");
	is(d, 0, A, E_ACUTE, PAD, PAD, 1);
	data_close(d);
	s.text.encoding = SPEC_GB18030;
	d = PARSE(&s, "a\xd6\xd0" "b,1\nb,0\n");
	is(d, 0, A, ZHONG, B, PAD, 1);
	data_close(d);
}

/* --- files ---------------------------------------------------------------- */

static void
write_file(const char *name, const char *p)
{
	t_eq_int(rk_replace_file(AT_FDCWD, name, p, strlen(p)), RK_OK);
}

static struct spec_data
classes(void)
{
	static char neg[] = "n.txt", pos[] = "p.txt";
	static char neg_name[] = "neg", pos_name[] = "pos";
	struct spec_data d = { .train = source() };

	write_file("n.txt", "a\nb\n\nc\n");
	write_file("p.txt", "d a\nd b\r\nd c\nd d");
	write_file(vocabulary, VOCABULARY);
	d.train.path = NULL;
	d.train.files[0] = neg;
	d.train.files[1] = pos;
	d.train.nfiles = 2;
	d.train.text.class_names[0] = neg_name;
	d.train.text.class_names[1] = pos_name;
	return d;
}

T_CASE(a_file_a_class_is_a_text_a_line)
{
	const struct spec_data s = classes();
	struct data_set *d, *valid;

	t_eq_int(data_open(&s, &d, &valid, NULL), RK_OK);
	t_eq_int(d->n, 7);
	t_eq_int(d->nclasses, 2);
	t_eq_str(d->names[1], "pos");
	is(d, 2, C, PAD, PAD, PAD, 0);
	is(d, 4, D, B, PAD, PAD, 1);
	is(d, 6, D, D, PAD, PAD, 1);
	remarks(d, 1, "1 empty line");
	data_close(d);
}

T_CASE(a_split_goes_by_what_the_texts_are)
{
	struct spec_data s = classes();
	struct data_set *d, *valid, *more, *valid2;
	struct strbuf b = { 0 };
	char one[RK_SHA256_HEX], two[RK_SHA256_HEX];

	for (int i = 0; i < 400; i++)
		sb_addf(&b, "a %d\n", i);
	write_file("n.txt", sb_str(&b));
	s.validation_split = 0.25;
	s.split_seed = 3;
	t_eq_int(data_open(&s, &d, &valid, NULL), RK_OK);
	t_check(valid->n > 60 && valid->n < 140 && d->n + valid->n == 404);
	t_eq_str(valid->names[1], "pos");
	/* Behind 400 new lines each text is on the side
	 * where it was. */
	sb_reset(&b);
	for (int i = 0; i < 800; i++)
		sb_addf(&b, "a %d\n", (i + 400) % 800);
	write_file("n.txt", sb_str(&b));
	t_eq_int(data_open(&s, &more, &valid2, NULL), RK_OK);
	int64_t found = 0;
	for (int64_t i = 0; i < valid->n; i++)
		for (int64_t k = 0; k < valid2->n; k++)
			found += held_of(valid)->identity[i] ==
			    held_of(valid2)->identity[k];
	t_eq_int(found, valid->n);
	data_digest(valid, one);
	data_digest(valid2, two);
	t_check(strcmp(one, two) != 0);
	data_close(d);
	data_close(valid);
	data_close(more);
	data_close(valid2);
	sb_fini(&b);
}

T_CASE(a_digest_knows_the_vocabulary)
{
	const struct spec_data s = classes();
	struct data_set *d, *valid;
	char one[RK_SHA256_HEX], two[RK_SHA256_HEX];

	t_eq_int(data_open(&s, &d, &valid, NULL), RK_OK);
	data_digest(d, one);
	data_close(d);
	write_file(vocabulary, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nb\na\nc\n"
	    "d\n,\n\"\n\xc3\xa9\n\xe4\xb8\xad\n");
	t_eq_int(data_open(&s, &d, &valid, NULL), RK_OK);
	data_digest(d, two);
	data_close(d);
	t_check(strcmp(one, two) != 0);
}

/* What texts say and how they are labelled; not where they lie. */
T_CASE(a_digest_is_of_texts_and_labels)
{
	const struct spec_source s = source();
	static const char *const files[] = { "a b,1\nc,0\n",
		"\"a b\",1\r\n\nc,0,\n", "a b,0\nc,0\n", "a c,1\nc,0\n",
		"c,0\na b,1\n" };
	char hex[5][RK_SHA256_HEX];

	for (int i = 0; i < 5; i++) {
		struct data_set *d = parse_as(&s, files[i], strlen(files[i]));
		uint64_t each[2];
		t_check(data_digest_each(d, hex[i], each, NULL));
		t_check(each[0] != 0 && each[0] != each[1]);
		data_close(d);
	}
	t_eq_str(hex[0], hex[1]);
	for (int i = 2; i < 5; i++)
		t_check(strcmp(hex[0], hex[i]) != 0);
}

T_CASE(masks_are_drawn_in_training_alone)
{
	struct spec_data s = classes();
	struct data_set *d, *valid;
	int32_t x[4], y[4];
	int64_t masked = 0, others = 0, first = 0;

	s.train_transforms.n = 1;
	s.train_transforms.v[0].type = SPEC_T_random_mask;
	s.train_transforms.v[0].u.random_mask.p = 0.5;
	s.train_transforms.v[0].u.random_mask.token = -1;
	t_eq_int(data_open(&s, &d, &valid, NULL), RK_OK);
	for (int64_t e = 0; e < 40; e++)
		for (int64_t i = 0; i < d->n; i++) {
			const struct data_key k = { 7, e, true };
			read_as(d, i, (struct data_key){ 7, e, false }, y);
			read_as(d, i, k, x);
			first += i == 3 && x[0] == MASK;
			for (int t = 0; t < 4; t++) {
				t_check(y[t] != MASK);
				t_check(x[t] == y[t] || (x[t] == MASK &&
				    y[t] != PAD));
				masked += x[t] == MASK;
				others += x[t] != MASK && x[t] != PAD;
			}
			read_as(d, i, k, y);
			t_check(memcmp(x, y, sizeof(x)) == 0);
		}
	/* Of 440 tokens a half, by 5 deviations; and not always the same. */
	t_eq_int(masked + others, 440);
	t_check(masked > 167 && masked < 273 && first > 4 && first < 36);
	data_close(d);
}

T_CASE(a_mask_that_is_no_token_is_refused)
{
	struct spec_data s = classes();
	struct data_set *d, *valid;
	struct rk_why why = { 0 };

	s.train_transforms.n = 1;
	s.train_transforms.v[0].type = SPEC_T_random_mask;
	s.train_transforms.v[0].u.random_mask.token = 13;
	t_eq_int(data_open(&s, &d, &valid, &why), RK_EINVAL);
	t_eq_str(why.v[0].path, "data.transforms.train[0].token");
	rk_why_fini(&why);
}

/* --- buckets -------------------------------------------------------------- */

T_CASE(samples_are_in_the_first_bucket_with_room)
{
	struct spec_data s = classes();
	struct data_set *d, *valid;
	char one[RK_SHA256_HEX], two[RK_SHA256_HEX], three[RK_SHA256_HEX];

	t_eq_int(data_open(&s, &d, &valid, NULL), RK_OK);
	t_eq_int(d->nlengths, 0);
	t_eq_int(data_length(d, 0), 4);
	t_eq_int(data_batches(d, 3, false), 3);
	t_eq_int(data_batches(d, 3, true), 2);
	data_digest(d, one);
	data_close(d);
	write_file("n.txt", "a\na b\na b c\na b c d\na b c d a b\n[CLS]\n");
	s.train.text.nbuckets = 2;
	s.train.text.buckets[0] = 1;
	s.train.text.buckets[1] = 3;
	t_eq_int(data_open(&s, &d, &valid, NULL), RK_OK);
	static const int64_t want[] = { 1, 3, 3, 4, 4, 3, 3, 3, 3, 3 };
	t_eq_int(d->n, 10);
	for (int64_t i = 0; i < d->n; i++)
		if (data_length(d, i) != want[i])
			t_fail("sample %lld is padded to %lld", (long long)i,
			    (long long)data_length(d, i));
	/* 1, 7 and 2 of them. */
	t_eq_int(data_batches(d, 3, false), 5);
	t_eq_int(data_batches(d, 3, true), 2);
	data_digest(d, two);
	data_close(d);
	s.train.text.buckets[1] = 2;
	t_eq_int(data_open(&s, &d, &valid, NULL), RK_OK);
	data_digest(d, three);
	data_close(d);
	t_check(strcmp(two, three) != 0);
}

/* --- to be asked about ---------------------------------------------------- */

T_CASE(texts_to_be_asked_about_need_no_label)
{
	struct spec_source s = source();
	struct data_set *d = NULL;
	struct rk_why why = { 0 };

	write_file(vocabulary, VOCABULARY);
	write_file("ask.txt", "a,b\n\nc d\n");
	t_eq_int(data_open_texts(&s, "ask.txt", "ask.txt", &d, NULL), RK_OK);
	t_eq_int(d->n, 2);
	is(d, 0, A, COMMA, B, PAD, 0);
	is(d, 1, C, D, PAD, PAD, 0);
	t_eq_int(data_sample_line(d, 1), 3);
	data_close(d);
	/* Columns by number, with a label or without. */
	write_file("ask.csv", "\"a,b\",x\nc,\n");
	t_eq_int(data_open_texts(&s, "ask.csv", "ask.csv", &d, NULL), RK_OK);
	is(d, 0, A, COMMA, B, PAD, 0);
	is(d, 1, C, PAD, PAD, PAD, 0);
	data_close(d);
	write_file("ask.CSV", "\"a,b\"\nc\n");
	t_eq_int(data_open_texts(&s, "ask.CSV", "ask.CSV", &d, NULL), RK_OK);
	t_eq_int(d->n, 2);
	data_close(d);
	/* By name; a TSV of a job whose own file is a CSV. */
	s.text.column = text;
	s.label_name = label;
	write_file("ask.tsv", "id\ttext\n1\t\"a\n2\tb,c\n");
	t_eq_int(data_open_texts(&s, "ask.tsv", "s3://b/ask.tsv#sha256=00", &d,
	    NULL), RK_OK);
	is(d, 0, QUOTE, A, PAD, PAD, 0);
	is(d, 1, B, COMMA, C, PAD, 0);
	data_close(d);
	/* Pairs are columns. */
	s.text.paired = true;
	s.text.pair = pair;
	t_eq_int(data_open_texts(&s, "ask.tsv", "ask.tsv", &d, &why), RK_EINVAL);
	t_check(strstr(rk_why_first(&why), "no column \"pair\"") != NULL);
	rk_why_fini(&why);
	t_eq_int(data_open_texts(&s, "ask.txt", "ask.txt", &d, &why), RK_EINVAL);
	t_check(strstr(rk_why_first(&why), ".csv or .tsv") != NULL);
	rk_why_fini(&why);
	t_eq_int(data_open_texts(&s, "nowhere.tsv", "nowhere.tsv", &d, &why),
	    RK_ENOENT);
	rk_why_fini(&why);
	/* Of files by class each line is a text, whatever the file is called. */
	const struct spec_data c = classes();
	t_eq_int(data_open_texts(&c.train, "ask.tsv", "ask.tsv", &d, NULL), RK_OK);
	t_eq_int(d->n, 3);
	data_close(d);
}

T_CASE(validation_has_the_classes_of_training)
{
	struct spec_data s = { .train = source(), .validation = source(),
		.has_validation = true };
	static char other[] = "v.csv";
	struct data_set *d, *valid;
	struct rk_why why = { 0 };

	write_file(vocabulary, VOCABULARY);
	write_file(path, "a,x\nb,y\nc,z\n");
	write_file(other, "d,z\na,y\n");
	s.validation.path = other;
	t_eq_int(data_open(&s, &d, &valid, NULL), RK_OK);
	t_check(valid->nclasses == 3 && valid->classes[0] == 2 &&
	    valid->classes[1] == 1);
	data_close(d);
	data_close(valid);
	write_file(other, "d,z\na,w\n");
	t_eq_int(data_open(&s, &d, &valid, &why), RK_EINVAL);
	t_check(strstr(rk_why_first(&why), "\"w\"") != NULL);
	rk_why_fini(&why);
}

T_CASE(a_file_that_changes_is_found_and_named)
{
	struct spec_data s = classes();
	struct data_set *d, *valid;
	struct rk_why why = { 0 };
	struct lazy_got got;
	const struct data_key k = { 0 };
	int32_t x[4];

	t_eq_int(data_open(&s, &d, &valid, NULL), RK_OK);
	char *name = data_sample_name(d, 2);
	t_eq_str(name, "n.txt: line 4");
	free(name);
	t_eq_int(data_sample_line(d, 3), 1);
	t_check(data_knows_content(d));
	int fd = open("n.txt", O_WRONLY);
	t_check(pwrite(fd, "d", 1, 2) == 1);
	void *scratch = d->lazy->ops->scratch_new(d->lazy);
	t_eq_int(lazy_get(d, scratch, 0, &k, x, &got, &why), RK_OK);
	t_eq_int(got.tokens, 1);
	t_eq_int(lazy_get(d, scratch, 1, &k, x, &got, &why), RK_EINVAL);
	t_check(got.changed);
	t_eq_str(rk_why_first(&why), "n.txt: line 2 is another than when the "
	    "file was opened: it has changed meanwhile");
	rk_why_fini(&why);
	t_eq_int(ftruncate(fd, 0), 0);
	t_eq_int(lazy_get(d, scratch, 2, &k, x, &got, &why), RK_EINVAL);
	t_check(got.changed);
	rk_why_fini(&why);
	/* Another file is as it was. */
	t_eq_int(lazy_get(d, scratch, 3, &k, x, &got, &why), RK_OK);
	t_check(!got.changed && got.tokens == 2);
	close(fd);
	d->lazy->ops->scratch_free(scratch);
	data_close(d);
}

/* A row that is longer than what is read at a time, and rows across the ends of
 * what is. */
T_CASE(rows_lie_anywhere_in_a_large_file)
{
	struct spec_data s = { .train = source() };
	struct strbuf b = { 0 };
	struct data_set *d, *valid;

	write_file(vocabulary, VOCABULARY);
	for (int i = 0; b.len < (3u << 20); i++) {
		sb_addf(&b, "\"%s", i % 2 ? "a\n" : "b \"\",");
		for (int k = 0; k < i * 7919 % 50000; k++)
			sb_addc(&b, ' ');
		sb_addf(&b, "c\",%d\r\n", i % 3);
	}
	write_file(path, sb_str(&b));
	t_eq_int(data_open(&s, &d, &valid, NULL), RK_OK);
	t_check(d->n > 90);
	for (int64_t i = 0; i < d->n; i++)
		if (i % 2)
			is(d, i, A, C, PAD, PAD, (float)(i % 3));
		else
			is(d, i, B, QUOTE, COMMA, C, (float)(i % 3));
	data_close(d);
	sb_fini(&b);
}

/* --- what is refused ------------------------------------------------------ */

T_CASE(what_is_wrong_is_said_with_its_line)
{
	struct spec_source s = source();

	REFUSES(&s, "", "t.csv: is empty");
	REFUSES(&s, "\n\n", "t.csv: is empty");
	REFUSES(&s, "a,1\nb\n", "t.csv: line 2 has only 1 column, want 2 (the "
	    "first row has so many)");
	REFUSES(&s, "a,1\nb, c,1\n", "t.csv: line 2 has 3 columns, want 2 (the "
	    "first row has so many)");
	REFUSES(&s, "a,1\n\n\"b\nb\",0\nc,\n", "t.csv: line 5 has no label");
	REFUSES(&s, "a,1\nb\0,1\n", "t.csv: line 2 has a NUL byte: is this a "
	    "text?");
	REFUSES(&s, "a,1\nb\xe9,1\n", "t.csv: line 2 is not utf-8: say another "
	    "encoding, or put the file right");
	REFUSES(&s, "a,1\n\"b\"c,1\n", "t.csv: line 2: a field has text behind "
	    "its closing quote");
	REFUSES(&s, "a,1\n\"b,1\n", "t.csv: line 2: a quote is opened and never "
	    "closed");
	REFUSES(&s, "a,1\nb,nan\n", "t.csv: line 2 has a label that is no "
	    "finite number, and all others are numbers");
	REFUSES(&s, "\xff\xfe" "a", "t.csv: begins with the byte order mark of "
	    "UTF-16, and encoding is utf-8");
	REFUSES(&s, "\x1f\x8b\x08", "t.csv: is packed by gzip, and a text is "
	    "read at any place: unpack it");
	REFUSES(&s, "a\n", "t.csv: the label is column 1, but there are 1 "
	    "columns (0 to 0, or -1 to -1 from the end)");
	s.label_index = 0;
	REFUSES(&s, "a,1\n", "t.csv: text and label are one column, want "
	    "different ones");
	s = source();
	s.text.column = text;
	s.label_name = label;
	REFUSES(&s, "x,label\na,1\n", "t.csv: has no column \"text\" for the "
	    "text; it has \"x\", \"label\"");
	REFUSES(&s, "text,label,text\na,1,b\n", "t.csv: 2 columns are called "
	    "\"text\"");
	REFUSES(&s, "text,label\n", "t.csv: has no texts behind its header");
}

T_CASE(a_row_without_an_end_is_refused)
{
	const struct spec_source s = source();
	const size_t n = (size_t)3 << 20;
	char *p = xmalloc(n);

	memset(p, 'a', n);
	refuses_as(&s, p, n, "t.csv: line 1 is longer than the 1 MiB that a "
	    "row may be, or a quote in it is never closed");
	free(p);
}

/* And no more of it is read than that takes. */
T_CASE(a_row_without_an_end_takes_no_memory)
{
	const struct text_form f = { .columns = true, .quotes = true,
		.delimiter = ',' };
	struct rk_why why = { 0 };
	struct text_rows rows;
	struct text_row row;
	int fd = open("endless", O_RDWR | O_CREAT, 0600);

	t_check(ftruncate(fd, (off_t)64 << 20) == 0);
	t_eq_int(text_rows_open(&rows, &f, "endless", fd, NULL, 0, &why),
	    RK_OK);
	t_eq_int(text_row_next(&rows, &row, &why), RK_EINVAL);
	t_check(rows.cap <= (size_t)4 << 20);
	text_rows_close(&rows);
	rk_why_fini(&why);
	close(fd);
}

T_CASE(numbers_among_words_are_classes_and_that_is_said)
{
	const struct spec_source s = source();
	struct data_set *d = PARSE(&s, "a,1\nb,2\nc,none\n");

	t_eq_int(d->nclasses, 3);
	t_eq_str(d->names[2], "none");
	remarks(d, 1, "line 3");
	data_close(d);
}

T_CASE(one_class_alone_is_remarked)
{
	const struct spec_source s = source();
	struct data_set *d = PARSE(&s, "a,x\nb,x\n");

	remarks(d, 1, "nothing to tell apart");
	data_close(d);
}

/* --- a vocabulary --------------------------------------------------------- */

T_CASE(a_vocabulary_is_made_of_what_trains)
{
	struct spec_data s = classes();
	struct data_vocabulary made;
	struct strbuf b = { 0 }, v = { 0 }, again = { 0 };
	struct data_set *d, *valid;

	for (int i = 0; i < 300; i++)
		sb_addf(&b, "word%d\n", i);
	write_file("n.txt", sb_str(&b));
	s.validation_split = 0.3;
	t_eq_int(data_make_vocabulary(&s, false, 1000, &v, &made, NULL), RK_OK);
	t_eq_int(data_make_vocabulary(&s, false, 1000, &again, &made, NULL),
	    RK_OK);
	t_eq_str(v.s, again.s);
	t_eq_int(data_open(&s, &d, &valid, NULL), RK_OK);
	t_eq_int(made.samples, d->n);
	int words = 0;
	for (const char *p = v.s; (p = strstr(p, "word")) != NULL; p++)
		words++;
	/* None of those that validate, and there are some. */
	t_check(words > 150 && words < 300);
	t_check(words <= d->n && words >= d->n - 4);
	data_close(d);
	data_close(valid);
	sb_fini(&b);
	sb_fini(&v);
	sb_fini(&again);
}

T_MAIN
