/*
 * Vocabularies out of texts: by hand where that can be done, the same bytes each
 * time, and bounded.
 */
#include "rekindle/text.h"
#include "t.h"

#define HEAD "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"

static char *
make(enum text_kind kind, const char *const *texts, size_t n, int64_t size)
{
	const struct text_options o = { .kind = kind, .lower_case = true,
		.strip_accents = kind == TEXT_WORDPIECE };
	struct text_maker *m = text_maker_new(&o);
	struct strbuf b = { 0 };

	for (size_t i = 0; i < n; i++)
		text_maker_add(m, texts[i], strlen(texts[i]));
	const int64_t made = text_maker_end(m, size, &b);
	int64_t lines = 0;
	for (size_t i = 0; i < b.len; i++)
		lines += b.s[i] == '\n';
	t_check(made == lines && made <= size);
	text_maker_free(m);
	return sb_detach(&b);
}

static void
makes(enum text_kind kind, const char *text, int64_t size, const char *want)
{
	char *got = make(kind, &text, 1, size);

	t_eq_str(got, want);
	free(got);
}

T_CASE(words_come_by_how_often_they_are_there)
{
	makes(TEXT_WORDS, "the cat, THE dog. a cat! the end", 20, HEAD
	    "the\ncat\n!\n,\n.\na\ndog\nend\n");
	makes(TEXT_WORDS, "g f e d c b a 1 2 3 4 5 5", 16, HEAD
	    "5\n1\n2\n3\n4\na\nb\nc\nd\ne\nf\n");
	makes(TEXT_WORDS, "\xe6\x88\x91\xe7\x88\xb1\xe6\x88\x91", 16, HEAD
	    "\xe6\x88\x91\n\xe7\x88\xb1\n");
}

/* hug 10, pug 5, pun 12, bun 4, hugs 5: (u,g) 20 of all, (u,n) 16, (h,ug) 15,
 * (p,un) 12, (hug,s) 5, (p,ug) 5, (b,un) 4; of 5 the smaller text is "hugs". */
T_CASE(pieces_are_the_most_frequent_pairs)
{
	struct strbuf b = { 0 };
	static const struct {
		const char *word;
		int times;
	} words[] = { { "hug", 10 }, { "pug", 5 }, { "pun", 12 },
		{ "bun", 4 }, { "hugs", 5 } };

	for (size_t i = 0; i < 5; i++)
		for (int k = 0; k < words[i].times; k++)
			sb_addf(&b, "%s ", words[i].word);
	makes(TEXT_WORDPIECE, sb_str(&b), 100, HEAD "b\nh\np\n##g\n##n\n##s\n"
	    "##u\n##ug\n##un\nhug\npun\nhugs\npug\nbun\n");
	makes(TEXT_WORDPIECE, sb_str(&b), 16, HEAD "b\nh\np\n##g\n##n\n##s\n"
	    "##u\n##ug\n##un\nhug\npun\n");
	sb_fini(&b);
}

T_CASE(a_run_of_one_letter_is_merged_from_the_left)
{
	/* a ##a ##a ##a ##a, twice: (##a,##a) 6, then a ##aa ##aa: (##aa,##aa)
	 * and (a,##aa) 2 each: "##aaaa" is before "aaa". */
	makes(TEXT_WORDPIECE, "aaaaa aaaaa", 16, HEAD
	    "a\n##a\n##aa\n##aaaa\naaaaa\n");
}

T_CASE(of_too_many_letters_the_most_frequent_stay)
{
	makes(TEXT_WORDPIECE, "a a a b b b c c c d d d e e e f f f g g g h h h "
	    "i i i j j j k k k l l m", 16, HEAD
	    "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\n");
}

T_CASE(the_same_texts_give_the_same_bytes)
{
	const char *texts[200];
	char *all[200];
	uint32_t draw;

	for (int i = 0; i < 200; i++) {
		struct strbuf b = { 0 };
		for (int k = 0; k < 60; k++) {
			draw = rk_draw_u32(3, 1, 2, (uint64_t)(i * 60 + k));
			for (uint32_t c = 0; c < 1 + draw % 6; c++)
				sb_addc(&b, (char)('a' + (draw >> (4 * c + 3)) %
				    9));
			sb_addc(&b, ' ');
		}
		texts[i] = all[i] = sb_detach(&b);
	}
	char *one = make(TEXT_WORDPIECE, texts, 200, 300);
	char *two = make(TEXT_WORDPIECE, texts, 200, 300);
	t_eq_str(one, two);
	/* In another order too, as long as nothing was dropped. */
	for (int i = 0; i < 100; i++) {
		const char *x = texts[i];
		texts[i] = texts[199 - i];
		texts[199 - i] = x;
	}
	free(two);
	two = make(TEXT_WORDPIECE, texts, 200, 300);
	t_eq_str(one, two);
	free(one);
	free(two);
	for (int i = 0; i < 200; i++)
		free(all[i]);
}

/* A tokenizer with the vocabulary knows every word that it was made of. */
T_CASE(what_was_counted_is_no_unknown)
{
	const char *text = "this is a story about stories, and stories' ends";
	char *v = make(TEXT_WORDPIECE, &text, 1, 60);
	const struct text_options o = { .kind = TEXT_WORDPIECE,
		.lower_case = true, .strip_accents = true };
	struct text_tokens *t = NULL;
	struct text_room r = { 0 };

	t_eq_int(text_tokens_new(&t, &o, v, strlen(v), "v", NULL), RK_OK);
	text_ids(t, text, strlen(text), 1000, &r);
	for (size_t i = 0; i < r.n; i++)
		t_check(r.ids[i] != text_special(t).unk);
	t_check(r.n > 8);
	text_room_fini(&r);
	text_tokens_free(t);
	free(v);
}

/* More different words than are kept: the frequent ones stay, memory is bounded. */
T_CASE(a_text_of_nothing_but_new_words_takes_bounded_memory)
{
	const struct text_options o = { .kind = TEXT_WORDS };
	struct text_maker *m = text_maker_new(&o);
	struct strbuf b = { 0 };
	char text[64];

	for (int i = 0; i < 3000000; i++) {
		snprintf(text, sizeof(text), "w%d often", i);
		text_maker_add(m, text, strlen(text));
	}
	t_eq_int(text_maker_words(m), 6000000);
	t_eq_int(text_maker_end(m, 16, &b), 16);
	t_check(strncmp(b.s, HEAD "often\n", sizeof(HEAD) + 5) == 0);
	sb_fini(&b);
	text_maker_free(m);
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	t_check(u.ru_maxrss < 400 * 1024);
}

T_MAIN
