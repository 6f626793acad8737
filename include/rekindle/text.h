/*
 * text - bytes to characters, characters to tokens, and vocabularies.
 *
 * Pure functions of their arguments and of tables that are part of the program
 * (Unicode 14.0; src/text/unicode_tables.py makes them), never of the locale.
 * What was made may be used by any number of threads at once, each with a room
 * of its own.  Text inside is UTF-8 and sound.
 *
 * Words.  All tokenizers but `bytes` see text as BERT's basic tokenizer does
 * (Devlin et al. 2018, arXiv 1810.04805; their tokenization.py):
 *
 *	1  U+0000, U+FFFD, control and format characters and those for private
 *	   use are dropped, but for tab, LF and CR
 *	2  tab, LF, CR, space separators (Zs), U+2028 and U+2029 part words
 *	3  a CJK ideograph is a word: U+4E00-9FFF, 3400-4DBF, 20000-2A6DF,
 *	   2A700-2CEAF, F900-FAFF, 2F800-2FA1F
 *	4  strip_accents: characters are decomposed (NFD) and what is then a
 *	   mark without width (Mn) is dropped; lower_case: each becomes its
 *	   lower case by itself (no rule of the end of words)
 *	5  then a punctuation character is a word: the categories P*, and ASCII
 *	   that is neither letter, digit nor space
 *
 * Tokenizers.
 *
 *	wordpiece  of each word the longest beginning that the vocabulary has,
 *	           of the rest the longest again, there written "##rest", and so
 *	           on; a word of which that leaves something, or of more than
 *	           TEXT_MAX_WORD characters, is [UNK] as a whole.  A text
 *	           becomes [CLS] a [SEP], a pair [CLS] a [SEP] b [SEP]
 *	words      a word that the vocabulary has, else [UNK]; a text is its
 *	           words, a pair is a [SEP] b
 *	bytes      byte b of the text as UTF-8 is b + 1; a pair is a, 257, b;
 *	           258 is the mask.  There is no vocabulary, and 259 ids
 *
 * What is too long is cut off behind; of a pair the longer one is cut first,
 * token by token, b where both are as long.  Behind the end [PAD] fills up to
 * the length ([PAD]'s id; of bytes 0).
 *
 * The words [CLS], [SEP] and their like in a text are text, not these tokens:
 * nobody ends a sentence by writing so.  Hugging Face's BertTokenizer takes
 * them for the tokens; all else is as its ids are
 * (tests/golden/bert_tokens.py), but that its version 4 composes characters
 * (NFC) first, which is seen where accents stay.
 *
 * A vocabulary file: UTF-8, a token a line, the first is id 0; LF or CRLF.
 */
#ifndef REKINDLE_TEXT_H
#define REKINDLE_TEXT_H

#include "rekindle/base.h"

#define TEXT_MAX_WORD    100                    /* characters */
#define TEXT_MAX_FILE    ((size_t)256 << 20)    /* of a vocabulary */
#define TEXT_MAX_TOKENS  (1 << 24)
#define TEXT_BYTE_IDS    259

/* --- decoding ------------------------------------------------------------- */

enum text_encoding { TEXT_UTF8, TEXT_LATIN1, TEXT_GB18030 };
extern const char *const text_encoding_words[];         /* then NULL */

/*
 * utf-8 as in RFC 3629, strictly; latin-1 is ISO 8859-1, in which all bytes are
 * characters; gb18030 as the C library has it.  A decoder is one thread's.
 * RK_EINVAL: the system has no such encoding.
 */
struct text_decoder;
enum rk_err text_decoder_new(struct text_decoder **dp, enum text_encoding e,
    struct rk_why *why) RK_MUSTCHECK;
void text_decoder_free(struct text_decoder *d);         /* NULL is fine */
/* Append n bytes to `out` as UTF-8.  RK_EINVAL: they are not in the encoding
 * from byte *bad on; out has what is before. */
enum rk_err text_decode(struct text_decoder *d, const void *p, size_t n,
    struct strbuf *out, size_t *bad) RK_MUSTCHECK;

/* Length of the byte order mark that a file begins with in this encoding, or 0;
 * *other: a mark of another encoding is there, by its name (or NULL). */
size_t text_mark(enum text_encoding e, const void *p, size_t n,
    const char **other);

/* --- tokens --------------------------------------------------------------- */

enum text_kind { TEXT_WORDPIECE, TEXT_WORDS, TEXT_BYTES };
extern const char *const text_kind_words[];             /* then NULL */

struct text_options {
	enum text_kind kind;
	bool lower_case, strip_accents;                 /* not of bytes */
	bool pairs;                                     /* [SEP] is needed */
};

/* Ids that mean something; -1: there is none.  Of words pad and unk are there
 * always, of wordpiece cls and sep as well, of bytes pad, sep and mask. */
struct text_special {
	int32_t pad, unk, cls, sep, mask;
};

/*
 * Out of a vocabulary of n bytes (of bytes: NULL, 0), which `what` names.
 * RK_EINVAL, with the line: a byte that is no UTF-8, NUL, an empty line, a
 * token twice or too long; a token that the kind needs is missing; too many.
 * On RK_OK *tp is the caller's and keeps nothing of p.
 */
struct text_tokens;
enum rk_err text_tokens_new(struct text_tokens **tp,
    const struct text_options *o, const char *p, size_t n, const char *what,
    struct rk_why *why) RK_MUSTCHECK;
void text_tokens_free(struct text_tokens *t);           /* NULL is fine */

int64_t text_vocabulary(const struct text_tokens *t);   /* ids are below */
struct text_special text_special(const struct text_tokens *t);
/* The id of a token as the file has it, or -1; and back, n bytes without a NUL
 * behind (NULL of bytes). */
int32_t text_id(const struct text_tokens *t, const char *s, size_t n);
const char *text_token(const struct text_tokens *t, int32_t id, size_t *n);
/* A hash of all that decides ids: options, and of each token its bytes. */
uint64_t text_hash(const struct text_tokens *t);

/* What one thread keeps between texts. */
struct text_room {
	int32_t *ids;
	size_t n, cap;
};
void text_room_fini(struct text_room *r);

/* Append the ids of n bytes of text, without [CLS] and so on, to r->ids until
 * there are `most` in all; the rest of the text is not looked at then. */
void text_ids(const struct text_tokens *t, const char *s, size_t n, size_t most,
    struct text_room *r);

/*
 * A sample: x[length] of text a, and of b where the tokenizer has `pairs`.  How
 * many of them are not padding.  length is at least text_least().
 */
int64_t text_sample(const struct text_tokens *t, struct text_room *r,
    const char *a, size_t na, const char *b, size_t nb, int64_t length,
    int32_t *x);
int64_t text_least(const struct text_options *o);

/*
 * Random masking: each id of x[n] that is none of `s` becomes s->mask (where
 * there is none, s->unk) with chance p.  Id i is drawn at (seed, a, b, i) and
 * nothing else.  Without a mask and an unk nothing happens.
 */
void text_mask(const struct text_special *s, int32_t *x, int64_t n, double p,
    uint64_t seed, uint32_t a, uint32_t b);

/* --- making a vocabulary -------------------------------------------------- */

/*
 * Words are counted as a tokenizer with these options sees them, in the order
 * in which texts are added; those of more than TEXT_MAX_WORD characters are
 * not.  At most TEXT_MAX_COUNTED different ones (of TEXT_MAX_COUNTED_BYTES) are
 * kept: when there is no room for one more, those that were seen once go, then
 * those seen twice, and so on, until half of the room is free.
 *
 * The file begins with [PAD] [UNK] [CLS] [SEP] [MASK].  Ties are decided by the
 * bytes of the tokens, the smaller first.
 *
 *	words      then the words, the most frequent first
 *	wordpiece  then the characters that words begin with and those that go
 *	           on ("##x"), in the order of their bytes; where that is too
 *	           many, the most frequent of them.  Then, again and again, of
 *	           all pairs of neighbours in the TEXT_MAX_MERGED most frequent
 *	           words that have these characters alone the most frequent pair
 *	           becomes a token (merging by frequency: Sennrich et al. 2016,
 *	           arXiv 1508.07909, with BERT's "##"); until the file has
 *	           `size` tokens, or no pair is there twice
 *
 * The same texts give the same bytes.  Of bytes there is none to make.
 */
#define TEXT_MAX_COUNTED       ((size_t)1 << 21)
#define TEXT_MAX_COUNTED_BYTES ((size_t)64 << 20)
#define TEXT_MAX_MERGED        ((size_t)1 << 18)
#define TEXT_LEAST_SIZE        16
struct text_maker;
struct text_maker *text_maker_new(const struct text_options *o);
void text_maker_free(struct text_maker *m);             /* NULL is fine */
void text_maker_add(struct text_maker *m, const char *s, size_t n);
/* Words that were counted, each time. */
int64_t text_maker_words(const struct text_maker *m);
/* The file, of at most `size` tokens (TEXT_LEAST_SIZE to TEXT_MAX_TOKENS); how
 * many there are.  Once. */
int64_t text_maker_end(struct text_maker *m, int64_t size, struct strbuf *out);

#endif
