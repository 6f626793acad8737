/*
 * text, inside: characters, words and the vocabulary.
 */
#ifndef TEXT_IMPL_H
#define TEXT_IMPL_H

#include "rekindle/text.h"

/* --- unicode.c: what a character is, by unicode_tables.inc ---------------- */

enum uc_class {
	UC_WORD,                        /* what is none of the others */
	UC_DROP, UC_SPACE, UC_HAN, UC_PUNCT, UC_MARK
};
enum uc_class uc_class(uint32_t c);

/* c decomposed, without marks; how many characters there are of it, 0 to
 * UC_MOST.  In lower case; U+0130 is two characters there. */
#define UC_MOST 4
int uc_strip(uint32_t c, uint32_t out[UC_MOST]);
int uc_lower(uint32_t c, uint32_t out[UC_MOST]);

/* The character at s, which is sound, and how long it is; and back. */
uint32_t uc_read(const char *s, size_t *len);
size_t uc_write(uint32_t c, char out[4]);

/* --- words.c: text to words ----------------------------------------------- */

struct word {
	char s[4 * TEXT_MAX_WORD];
	uint16_t at[TEXT_MAX_WORD + 1]; /* where its characters begin; the
					   end */
	int n;                          /* of them */
	bool too_long;                  /* there were more: s is its
					   beginning */
};
/* Called for each word; false: no more are wanted. */
typedef bool word_fn(void *ctx, const struct word *w);
void words_of(const struct text_options *o, const char *s, size_t n,
    word_fn *fn, void *ctx);

/* --- vocabulary.c --------------------------------------------------------- */

/* A set of texts by their bytes: a number each, from 0 in the order of
 * adding. */
struct vocabulary {
	char *blob;                     /* all of them, one behind the other */
	uint32_t *at;                   /* [n + 1] where each begins */
	int32_t n;
	size_t blob_cap, at_cap;
	int32_t *slots;                 /* by hash, -1: free */
	size_t nslots;                  /* a power of two; 0: none yet */
	int32_t *rests;                 /* of "##x", by the hash of x */
	int most;                       /* bytes of the longest */
};
/* The number of a token; the number of "##" and s; -1: there is none. */
int32_t vocabulary_find(const struct vocabulary *v, const char *s, size_t n);
int32_t vocabulary_rest(const struct vocabulary *v, const char *s, size_t n);
/* Add one that is not there; its number. */
int32_t vocabulary_add(struct vocabulary *v, const char *s, size_t n);
const char *vocabulary_at(const struct vocabulary *v, int32_t i, size_t *n);
void vocabulary_fini(struct vocabulary *v);
enum rk_err vocabulary_read(struct vocabulary *v, const char *p, size_t n,
    const char *what, struct rk_why *why) RK_MUSTCHECK;

extern const char *const special_words[5];      /* by text_special's order */

/* --- count.c and merge.c: making one -------------------------------------- */

struct counted {
	uint32_t at, len;               /* in blob */
	uint64_t times;
};
/* All words, the most frequent first, ties by their bytes. */
void merge_words(const struct counted *v, size_t n, const char *blob,
    int64_t size, struct vocabulary *out);

#endif
