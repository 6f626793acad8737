/*
 * Tokens: the ids of Hugging Face's BertTokenizer (text_golden.h), what is cut and
 * filled up, words and bytes, masks, and the files that are no vocabularies.
 */
#include "rekindle/text.h"
#include "t.h"
#include "text_golden.h"

#define SMALL "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\n##b\n##c\nab\n,\n"

static struct text_tokens *
tokens_of(enum text_kind kind, const char *vocabulary, bool lower, bool pairs)
{
	const struct text_options o = { .kind = kind, .lower_case = lower,
		.strip_accents = lower, .pairs = pairs };
	const bool bytes = kind == TEXT_BYTES;
	struct rk_why why = { 0 };
	struct text_tokens *t = NULL;

	if (text_tokens_new(&t, &o, bytes ? NULL : vocabulary,
	    bytes ? 0 : strlen(vocabulary), "vocab.txt", &why) != RK_OK)
		t_fail("refused: %s", rk_why_first(&why));
	return t;
}

static void
ids_are(const struct text_tokens *t, const char *a, const char *b,
    int64_t length, const int32_t *want, const char *what)
{
	struct text_room r = { 0 };
	int32_t *x = xcalloc((size_t)length, sizeof(*x));

	text_sample(t, &r, a, strlen(a), b, b != NULL ? strlen(b) : 0, length,
	    x);
	for (int64_t i = 0; i < length; i++)
		if (x[i] != want[i])
			t_fail("%s: token %lld is %d, want %d", what,
			    (long long)i, x[i], want[i]);
	text_room_fini(&r);
	free(x);
}

T_CASE(ids_are_those_of_hugging_faces_tokenizer)
{
	for (size_t i = 0; i < sizeof(goldens) / sizeof(goldens[0]); i++) {
		const struct golden *g = &goldens[i];
		struct text_tokens *t = tokens_of(TEXT_WORDPIECE,
		    golden_vocabulary, g->lower_case, g->b != NULL);
		ids_are(t, g->a, g->b, g->length, g->ids, g->a);
		text_tokens_free(t);
	}
}

T_CASE(a_word_in_a_text_is_no_special_token)
{
	struct text_tokens *t = tokens_of(TEXT_WORDPIECE,
	    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[\n]\nsep\n", true, false);

	ids_are(t, "[SEP]", NULL, 6, (int32_t[]){ 2, 4, 6, 5, 3, 0 }, "[SEP]");
	text_tokens_free(t);
}

T_CASE(pieces_are_the_longest_first)
{
	struct text_tokens *t = tokens_of(TEXT_WORDPIECE, SMALL, true, false);

	ids_are(t, "abc AB,acx", NULL, 8,
	    (int32_t[]){ 2, 10, 9, 10, 11, 1, 3, 0 }, "abc");
	t_eq_int(text_id(t, "##b", 3), 8);
	t_eq_int(text_id(t, "zz", 2), -1);
	text_tokens_free(t);
}

T_CASE(of_a_pair_the_longer_is_cut_first)
{
	struct text_tokens *t = tokens_of(TEXT_WORDPIECE, SMALL, true, true);

	ids_are(t, "a a a a a", "b", 7, (int32_t[]){ 2, 5, 5, 5, 3, 6, 3 },
	    "first");
	ids_are(t, "a", "b b b b b", 7, (int32_t[]){ 2, 5, 3, 6, 6, 6, 3 },
	    "second");
	ids_are(t, "a a a a a", "b b b b b", 8,
	    (int32_t[]){ 2, 5, 5, 5, 3, 6, 6, 3 }, "both");
	ids_are(t, "", "", 6, (int32_t[]){ 2, 3, 3, 0, 0, 0 }, "none");
	text_tokens_free(t);
}

T_CASE(words_are_looked_up_whole)
{
	struct text_tokens *t = tokens_of(TEXT_WORDS, SMALL, true, true);

	ids_are(t, "AB abc", "b", 6, (int32_t[]){ 10, 1, 3, 6, 0, 0 }, "words");
	text_tokens_free(t);
	t = tokens_of(TEXT_WORDS, "[PAD]\n[UNK]\nab\ncd\n", true, false);
	ids_are(t, "ab, cd", NULL, 2, (int32_t[]){ 2, 1 }, "cut");
	text_tokens_free(t);
}

T_CASE(bytes_are_those_of_utf_8)
{
	struct text_tokens *t = tokens_of(TEXT_BYTES, NULL, false, false);

	t_eq_int(text_vocabulary(t), TEXT_BYTE_IDS);
	ids_are(t, "A\xc3\xa9", NULL, 5, (int32_t[]){ 66, 196, 170, 0, 0 },
	    "bytes");
	text_tokens_free(t);
	t = tokens_of(TEXT_BYTES, NULL, false, true);
	ids_are(t, "A", "B", 4, (int32_t[]){ 66, 257, 67, 0 }, "pair");
	text_tokens_free(t);
}

T_CASE(a_text_without_an_end_is_looked_at_to_its_length)
{
	struct text_tokens *t = tokens_of(TEXT_WORDPIECE, SMALL, true, false);
	const size_t n = (size_t)64 << 20;
	char *text = xmalloc(n);
	struct text_room r = { 0 };
	int32_t x[8];

	memset(text, 'a', n);
	for (size_t i = 1; i < n; i += 2)
		text[i] = ' ';
	t_eq_int(text_sample(t, &r, text, n, NULL, 0, 8, x), 8);
	t_check(r.cap <= 1024);
	t_check(x[0] == 2 && x[1] == 5 && x[6] == 5 && x[7] == 3);
	/* A word without an end is one that is not known. */
	memset(text, 'a', n);
	t_eq_int(text_sample(t, &r, text, n, NULL, 0, 8, x), 3);
	t_check(x[1] == 1 && r.cap <= 1024);
	text_room_fini(&r);
	text_tokens_free(t);
	free(text);
}

T_CASE(masks_fall_on_words_alone_and_depend_on_the_key)
{
	const struct text_special s = { 0, 1, 2, 3, 4 };
	int32_t x[4000], y[4000], one[4000];
	int masked = 0;

	for (int i = 0; i < 4000; i++)
		x[i] = y[i] = one[i] = i % 8;
	text_mask(&s, x, 4000, 0.25, 7, 1, 2);
	text_mask(&s, y, 4000, 0.25, 7, 1, 2);
	text_mask(&s, one, 4000, 0.25, 7, 2, 2);
	t_check(memcmp(x, y, sizeof(x)) == 0);
	t_check(memcmp(x, one, sizeof(x)) != 0);
	for (int i = 0; i < 4000; i++) {
		t_check(x[i] == i % 8 || (i % 8 > 4 && x[i] == 4));
		masked += x[i] != i % 8;
	}
	/* 1500 draws at a quarter: 375, deviation 17 */
	t_check(masked > 290 && masked < 460);
	/* A beginning is masked as in the whole. */
	for (int i = 0; i < 4000; i++)
		y[i] = i % 8;
	text_mask(&s, y, 300, 0.25, 7, 1, 2);
	t_check(memcmp(x, y, 300 * sizeof(x[0])) == 0 && y[301] == 301 % 8);
}

T_CASE(without_a_mask_tokens_become_unknown)
{
	const struct text_special s = { 0, 1, -1, -1, -1 };
	int32_t x[] = { 9, 0, 9 };

	text_mask(&s, x, 3, 1, 7, 1, 2);
	t_check(x[0] == 1 && x[1] == 0 && x[2] == 1);
}

/* --- vocabularies --------------------------------------------------------- */

static void
refuses(enum text_kind kind, bool pairs, const char *p, size_t n,
    const char *sentence)
{
	const struct text_options o = { .kind = kind, .pairs = pairs };
	struct rk_why why = { 0 };
	struct text_tokens *t = NULL;
	char *copy = malloc(n + (n == 0));

	/* Exactly sized, so that ASan sees a read past the end. */
	memcpy(copy, p, n);
	t_eq_int(text_tokens_new(&t, &o, copy, n, "v.txt", &why), RK_EINVAL);
	t_check(t == NULL && why.n == 1);
	t_eq_str(rk_why_first(&why), sentence);
	rk_why_fini(&why);
	free(copy);
}
#define REFUSES(kind, pairs, text, sentence) \
	refuses(kind, pairs, text, sizeof(text) - 1, sentence)

T_CASE(a_vocabulary_without_what_its_kind_needs_is_refused)
{
	REFUSES(TEXT_WORDPIECE, false, "a\nb\n", "v.txt: has no [PAD], [UNK], "
	    "[CLS], [SEP], which the tokenizer wordpiece needs");
	REFUSES(TEXT_WORDPIECE, false, "[PAD]\n[UNK]\n[CLS]\n", "v.txt: has no "
	    "[SEP], which the tokenizer wordpiece needs");
	REFUSES(TEXT_WORDS, false, "[UNK]\na\n", "v.txt: has no [PAD], which "
	    "the tokenizer words needs");
	REFUSES(TEXT_WORDS, true, "[PAD]\n[UNK]\n", "v.txt: has no [SEP], which "
	    "the tokenizer words of pairs needs");
}

T_CASE(what_is_no_list_of_tokens_is_refused_with_its_line)
{
	char *longer = xmalloc(501);

	REFUSES(TEXT_WORDS, false, "", "v.txt: is empty, want a token a line");
	REFUSES(TEXT_WORDS, false, "[PAD]\n\n[UNK]\n", "v.txt: line 2 is empty, "
	    "want a token");
	REFUSES(TEXT_WORDS, false, "[PAD]\n[UNK]\na\nb\na\n", "v.txt: line 5 is "
	    "\"a\", as line 3 is: want each token once");
	REFUSES(TEXT_WORDS, false, "[PAD]\n[UNK]\nx\0y\n", "v.txt: line 3 has a "
	    "NUL byte");
	REFUSES(TEXT_WORDS, false, "[PAD]\n[UNK]\nx\xe9\n", "v.txt: line 3 is "
	    "not UTF-8");
	REFUSES(TEXT_WORDS, false, "\xff\xfe[\0P\0", "v.txt: begins with the "
	    "byte order mark of UTF-16, want UTF-8");
	memset(longer, 'x', 500);
	refuses(TEXT_WORDS, false, longer, 500, "v.txt: line 1 is 500 bytes "
	    "long, and a token is at most 402");
	free(longer);
}

T_CASE(line_ends_of_windows_and_a_mark_are_no_part_of_tokens)
{
	struct text_tokens *t = tokens_of(TEXT_WORDS,
	    "\xef\xbb\xbf[PAD]\r\n[UNK]\r\nab\r\ncd", true, false);

	t_eq_int(text_vocabulary(t), 4);
	t_check(text_id(t, "[PAD]", 5) == 0 && text_id(t, "ab", 2) == 2 &&
	    text_id(t, "cd", 2) == 3);
	text_tokens_free(t);
}

T_CASE(a_hash_tells_vocabularies_and_options_apart)
{
	static const char four[] = "[PAD]\n[UNK]\nab\nc\n";
	struct text_options o = { .kind = TEXT_WORDS, .lower_case = true };
	struct text_tokens *accents;

	t_eq_int(text_tokens_new(&accents, &o, four, strlen(four),
	    "vocab.txt", NULL), RK_OK);

	struct text_tokens *t[] = {
		accents,
		tokens_of(TEXT_WORDS, "[PAD]\n[UNK]\nab\nc\n", true, false),
		tokens_of(TEXT_WORDS, "[PAD]\n[UNK]\na\nbc\n", true, false),
		tokens_of(TEXT_WORDS, "[PAD]\n[UNK]\nab\nc\n", false, false),
		tokens_of(TEXT_WORDS, "[UNK]\n[PAD]\nab\nc\n", true, false),
		tokens_of(TEXT_BYTES, NULL, false, false),
	};

	for (size_t i = 0; i < 6; i++)
		for (size_t k = 0; k < i; k++)
			t_check(text_hash(t[i]) != text_hash(t[k]));
	for (size_t i = 0; i < 6; i++)
		text_tokens_free(t[i]);
}

T_MAIN
