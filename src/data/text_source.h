/*
 * text_source - the rows of a text file, from front to back and one by one, and
 * the data set that is made of them, whose samples are read when a batch needs
 * them (lazy.h).
 *
 *	text_rows.c    bytes to rows and fields
 *	text_labels.c  labels to classes or numbers
 *	text_index.c   the first reading: where each sample is, its label, its
 *		       hash
 *	text_read.c    a sample by its number
 *	text_source.c  the set
 *	text_make.c    a vocabulary
 */
#ifndef DATA_TEXT_SOURCE_H
#define DATA_TEXT_SOURCE_H

#include "lazy.h"
#include "held.h"
#include "rekindle/text.h"

/* --- text_rows.c ---------------------------------------------------------- */

#define ROW_MAX     ((size_t)1 << 20)   /* bytes */
#define COLUMNS_MAX ((size_t)4096)

/* How a file is read.  Without columns a line is a text. */
struct text_form {
	enum text_encoding encoding;
	bool columns, quotes;
	char delimiter;
	bool paired, labelled;
	size_t ncolumns, text, pair, label;
};

struct text_field {
	const char *s;                  /* without the quotes around it;
					   doubled */
	size_t n;                       /* ones are still doubled */
	bool quoted;
};
/* Field number i of a row from *p to end, and over what parts it from the next;
 * false: there is none.  NULL is left in *p behind the last.  Of a row that
 * text_row_next() gave. */
bool text_field_next(const struct text_form *f, const char **p, const char *end,
    struct text_field *out);
/* Text, pair and label of a row (those that the form has); how many fields it
 * has, not counting empty ones behind the last column. */
size_t text_row_fields(const struct text_form *f, const char *s, size_t n,
    struct text_field *text, struct text_field *pair, struct text_field *label);
/* The field in UTF-8, into `out` from its beginning.  tmp: where it is
 * unquoted.  RK_EINVAL: it is not in the encoding. */
enum rk_err text_field_read(const struct text_field *f, struct text_decoder *d,
    struct strbuf *tmp, struct strbuf *out) RK_MUSTCHECK;

struct text_rows {
	const struct text_form *form;
	const char *what;
	int fd;                         /* -1: all is in buf already;
					   borrowed */
	char *buf;
	size_t at, have, cap;           /* [at, have) is read and not yet
					   used */
	uint64_t base;                  /* where buf[0] is in the file */
	bool ended;                     /* of the file */
	unsigned long long line;        /* of buf[at], from 1 */
};
struct text_row {
	const char *s;                  /* in buf, until the next call */
	size_t n;                       /* without the line's end */
	uint64_t offset;
	unsigned long long line;
};
/* From fd, or p[n] where fd is -1.  Refused: a mark of another encoding,
 * gzip. */
enum rk_err text_rows_open(struct text_rows *r, const struct text_form *f,
    const char *what, int fd, const void *p, size_t n,
    struct rk_why *why) RK_MUSTCHECK;
void text_rows_close(struct text_rows *r);
/* The next row; row->s is NULL behind the last.  Refused: NUL, a quote that is
 * not closed or has text behind it, more than ROW_MAX bytes. */
enum rk_err text_row_next(struct text_rows *r, struct text_row *row,
    struct rk_why *why) RK_MUSTCHECK;

/* --- text_labels.c -------------------------------------------------------- */

#define LABELS_MAX 65536                /* different ones, that are words */

/* All labels of a source: as numbers as long as all are, and as words. */
struct text_labels {
	char **names;                   /* different ones, by their coming */
	size_t n, cap;
	int32_t *slots;
	size_t nslots;
	bool overflowed;                /* there are more than LABELS_MAX */
	size_t words, nonfinite;        /* labels that are no numbers; nan,
					   inf */
	unsigned long long word_line, nonfinite_line;   /* of the first */
	char *word_what, *nonfinite_what;
	int64_t numbers;
};
/* A label of n bytes of UTF-8: its number among the names (-1: too many), and
 * the number that it is (NaN: none). */
enum rk_err text_label_add(struct text_labels *l, const char *s, size_t n,
    const char *what, unsigned long long line, int32_t *name, float *value,
    struct rk_why *why) RK_MUSTCHECK;
/* A name that is there without a sample: of a file a class. */
void text_label_name(struct text_labels *l, const char *name);
/* The set's targets, and its class names where they are words: name[i] is of
 * sample i.  h->targets has the numbers. */
enum rk_err text_labels_end(struct text_labels *l, struct held *h,
    const int32_t *name, struct rk_why *why) RK_MUSTCHECK;
void text_labels_fini(struct text_labels *l);

/* --- text_index.c --------------------------------------------------------- */

#define TEXT_READER_TAG 0x74657874u

/* Where a sample lies in its file: `bytes` of it from `offset` on. */
struct text_place {
	uint64_t offset, hash;
	uint32_t bytes, line;           /* line: the largest number where it is
	                                   larger */
};
struct text_reader {
	struct data_lazy lazy;          /* first */
	unsigned tag;
	struct text_form form;
	struct text_file {
		char *name;
		int fd;                 /* -1: memory */
		int64_t first;          /* number of its first sample */
	} files[SPEC_MAX_FILES];
	int nfiles;
	char *memory;                   /* of a test: file 0, memory_n bytes */
	size_t memory_n;
	struct text_place *places;
	int64_t n, cap;
	struct text_tokens *tokens;     /* NULL: for a vocabulary */
	int64_t length;
	struct spec_transforms masks;   /* data.transforms.train */
};
/* The reader of a set. */
struct text_reader *text_reader_of(const struct held *h);

/* What a first reading counts and does not refuse. */
struct text_counts {
	int64_t empty_lines, empty_texts;
	unsigned long long empty_text_line;     /* of the first */
};

/* All files of a source into r->places and h's labels. */
enum rk_err text_index(struct text_reader *r, const struct spec_source *s,
    struct held *h, struct rk_why *why) RK_MUSTCHECK;

/* --- text_read.c ---------------------------------------------------------- */

/* What one thread has for its samples. */
struct text_scratch {
	char *row;
	size_t cap;
	struct strbuf tmp, text, pair;
	struct text_decoder *decoder;
	struct text_room room;
};
struct text_scratch *text_scratch_new(const struct text_reader *r,
    struct rk_why *why);                /* NULL: why says it */
void text_scratch_free(void *scratch);

/* Sample `at` in UTF-8, into k->text and k->pair.  RK_EINVAL: it is another
 * than when the file was opened. */
enum rk_err text_read(const struct text_reader *r, int64_t at,
    struct text_scratch *k, struct rk_why *why) RK_MUSTCHECK;
/* The file of a sample. */
const struct text_file *text_file_of(const struct text_reader *r, int64_t at);
/* Reads samples and makes tokens of them. */
extern const struct lazy_ops text_ops;

/* Of a sample, by what it says: it is that of no encoding. */
uint64_t text_content_hash(const struct text_form *f, const struct strbuf *text,
    const struct strbuf *pair);

/* --- text_source.c -------------------------------------------------------- */

/* How texts are wanted; NULL: as the source says it. */
struct text_want {
	const struct spec_transforms *masks;    /* of those that train */
	bool unlabelled;                /* there is no label, or any */
	const struct text_memory {      /* in place of the one file, and of
					   the */
		const void *p;          /* vocabulary */
		size_t n;
		const void *vocabulary;
		size_t vocabulary_n;
	} *of;
};
/* The set. */
enum rk_err text_open(const struct spec_source *s, const struct text_want *w,
    struct held **out, struct rk_why *why) RK_MUSTCHECK;
/* The same without a tokenizer: for a vocabulary. */
enum rk_err text_reader_open(const struct spec_source *s,
    const struct text_want *w, struct held **out,
    struct rk_why *why) RK_MUSTCHECK;
void text_reader_free(struct text_reader *r);
struct text_options text_options_of(const struct spec_source *s);

#endif
