/* The source text: which columns of which files, and what becomes of them. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "read.h"

#define MAX_COLUMN  1024                /* bytes of a name */
#define MAX_CLASS   64                  /* ... of a class with a file */
#define MAX_LENGTH  65536               /* tokens of a sample */

const char *const spec_encoding_words[] = {
	"utf-8", "latin-1", "gb18030", NULL
};
const char *const spec_tokenizer_words[] = {
	"wordpiece", "words", "bytes", NULL
};

/* What a validation source takes over from the training source. */
static const char *const shared[] = {
	"text", "pair", "label", "header", "delimiter", "encoding",
	"tokenizer", "length", "buckets"
};
/* ... and of these where both have columns. */
#define NCOLUMN_KEYS 5

/* --- columns and files ---------------------------------------------------- */

void
sp_read_column(struct rkj_obj *o, const char *key, const char *what,
    char **name, int64_t *index, int required)
{
	const json_t *v = rkj_any(o, key);

	if (v == NULL && required)
		rkj_fault(o, key, "is missing: the name of the %s's column, or "
		    "its number from 0 (-1 is the last)", what);
	else if (json_is_string(v))
		rkj_str(o, key, name, MAX_COLUMN, required);
	else
		rkj_int(o, key, index, -(1 << 24), 1 << 24, required);
	if (*name != NULL && (*name)[0] == '\0')
		rkj_fault(o, key, "is empty");
}

static bool
ends_in(const char *s, size_t n, const char *end)
{
	const size_t k = strlen(end);

	return n >= k && strncasecmp(s + n - k, end, k) == 0;
}

char
spec_text_delimiter(const char *path)
{
	const char *hash = spec_is_address(path) ? strchr(path, '#') : NULL;
	const size_t n = hash != NULL ? (size_t)(hash - path) : strlen(path);

	return ends_in(path, n, ".tsv") || ends_in(path, n, ".tab") ? '\t' :
	    ',';
}

static void
read_columns(struct spec_source *s, struct rkj_obj *o)
{
	struct spec_text *t = &s->text;

	sp_read_path(o, "path", &s->path, RKJ_REQUIRED);
	if (s->path != NULL)
		s->delimiter = spec_text_delimiter(s->path);
	sp_read_column(o, "text", "text", &t->column, &t->column_index,
	    RKJ_REQUIRED);
	t->paired = rkj_any(o, "pair") != NULL;
	sp_read_column(o, "pair", "pair", &t->pair, &t->pair_index,
	    RKJ_OPTIONAL);
	sp_read_column(o, "label", "label", &s->label_name, &s->label_index,
	    RKJ_REQUIRED);
	sp_read_header(s, o);
	sp_read_delimiter(s, o);
	if (t->encoding == SPEC_GB18030 && s->delimiter == '|')
		rkj_fault(o, "delimiter", "is |, which is part of characters of "
		    "gb18030: want another");
	if (s->header == SPEC_HEADER_NO && (t->column != NULL ||
	    t->pair != NULL || s->label_name != NULL))
		rkj_fault(o, "header", "is false, and a column is given by its "
		    "name: want its number");
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Classes in the order of their names. */
static void
read_classes(struct spec_source *s, struct rkj_obj *o, const json_t *v,
    struct rk_why *why)
{
	const char *names[SPEC_MAX_FILES], *key;
	const size_t n = json_object_size(v);
	struct sp_obj so;
	json_t *file;
	size_t i = 0;

	if (!json_is_object(v) || n < 1 || n > SPEC_MAX_FILES) {
		rkj_fault(o, "classes", "wants {NAME: FILE, ...}, 1 to %d of "
		    "them", SPEC_MAX_FILES);
		return;
	}
	json_object_foreach((json_t *)(uintptr_t)v, key, file)
		names[i++] = key;
	qsort(names, n, sizeof(names[0]), by_name);
	char *path = rkj_child(o, "classes");
	sp_open(&so, v, path, why);
	for (i = 0; i < n; i++) {
		const size_t len = strlen(names[i]);
		if (len == 0 || len > MAX_CLASS)
			rkj_fault(&so.o, names[i], "has a name of %zu bytes, "
			    "want 1 to %d", len, MAX_CLASS);
		sp_read_path(&so.o, names[i], &s->files[i], RKJ_REQUIRED);
		s->text.class_names[i] = xstrdup(names[i]);
		s->nfiles = (int)i + 1;
	}
	o->bad |= so.o.bad;
	sp_close(&so);
	free(path);
}

/* --- tokens --------------------------------------------------------------- */

/* Tokens that a sample must have room for: text_least(). */
static int64_t
least_length(const struct spec_text *t)
{
	const int64_t ends = t->tokenizer == SPEC_WORDPIECE ? 2 : 0;

	return ends + (t->paired ? 3 : 1);
}

static void
read_tokenizer(struct spec_text *t, struct rkj_obj *o, struct rk_why *why)
{
	const json_t *v = rkj_any(o, "tokenizer");
	int type = SPEC_WORDPIECE;
	struct sp_obj so;

	if (v == NULL && o->v != NULL)
		rkj_fault(o, "tokenizer", "is missing: {type: wordpiece, words "
		    "or bytes, vocabulary: FILE}");
	if (v == NULL)
		return;
	char *path = rkj_child(o, "tokenizer");
	sp_open_typed(&so, v, path, why);
	const bool known = rkj_enum(&so.o, "type", &type, spec_tokenizer_words,
	    RKJ_REQUIRED);
	const bool words = type != SPEC_BYTES;
	t->tokenizer = (enum spec_tokenizer)type;
	t->lower_case = words;
	if (sp_takes(&so.o, "vocabulary", words || !known,
	    "wordpiece and words", "bytes") && words && known)
		sp_read_path(&so.o, "vocabulary", &t->vocabulary, RKJ_REQUIRED);
	if (sp_takes(&so.o, "lower_case", words, "wordpiece and words",
	    "bytes"))
		rkj_bool(&so.o, "lower_case", &t->lower_case, RKJ_OPTIONAL);
	t->strip_accents = t->lower_case && type == SPEC_WORDPIECE;
	if (sp_takes(&so.o, "strip_accents", words, "wordpiece and words",
	    "bytes"))
		rkj_bool(&so.o, "strip_accents", &t->strip_accents,
		    RKJ_OPTIONAL);
	o->bad |= so.o.bad;
	sp_close(&so);
	free(path);
}

/* Lengths of which there is a network each. */
static void
read_buckets(struct spec_text *t, struct rkj_obj *o)
{
	const int64_t least = least_length(t);

	if (!sp_ints(o, "buckets", t->buckets, &t->nbuckets, 0,
	    SPEC_MAX_BUCKETS - 1, 1, MAX_LENGTH, RKJ_OPTIONAL))
		return;
	for (int i = 0; i < t->nbuckets; i++) {
		if (t->buckets[i] < least)
			rkj_fault(o, "buckets", "has %lld, and a sample has "
			    "%lld tokens at least", (long long)t->buckets[i],
			    (long long)least);
		else if (i > 0 && t->buckets[i] <= t->buckets[i - 1])
			rkj_fault(o, "buckets", "has %lld behind %lld: want "
			    "them to ascend", (long long)t->buckets[i],
			    (long long)t->buckets[i - 1]);
		else if (t->buckets[i] >= t->length)
			rkj_fault(o, "buckets", "has %lld, and length is %lld: "
			    "want less (length is the last by itself)",
			    (long long)t->buckets[i], (long long)t->length);
		else
			continue;
		return;
	}
}

void
sp_read_text(struct spec_source *s, struct rkj_obj *o, struct rk_why *why)
{
	struct spec_text *t = &s->text;
	const json_t *classes = rkj_any(o, "classes");
	int encoding = SPEC_UTF8;

	rkj_enum(o, "encoding", &encoding, spec_encoding_words, RKJ_OPTIONAL);
	t->encoding = (enum spec_encoding)encoding;
	if (classes != NULL) {
		static const char *const of_columns[] = { "path", "text",
			"pair", "label", "header", "delimiter" };
		for (size_t i = 0; i < RK_ARRAY_LEN(of_columns); i++)
			if (rkj_any(o, of_columns[i]) != NULL)
				rkj_fault(o, of_columns[i], "is for a file with "
				    "columns, and classes has a file a class, a "
				    "line of which is a text");
		read_classes(s, o, classes, why);
	} else if (o->v != NULL && rkj_any(o, "path") == NULL) {
		rkj_fault(o, "path", "is missing: a file with columns, or "
		    "classes: {NAME: FILE, ...}");
	} else {
		read_columns(s, o);
	}
	read_tokenizer(t, o, why);
	t->length = 128;
	rkj_int(o, "length", &t->length, 1, MAX_LENGTH, RKJ_OPTIONAL);
	if (!o->bad && t->length < least_length(t))
		rkj_fault(o, "length", "is %lld, and a sample has %lld tokens "
		    "at least", (long long)t->length,
		    (long long)least_length(t));
	read_buckets(t, o);
}

/* --- validation ----------------------------------------------------------- */

static bool
is_text(const json_t *v)
{
	const char *type = json_string_value(json_object_get(v, "type"));

	return type != NULL && strcmp(type, sp_source_words[SPEC_TEXT]) == 0;
}

json_t *
sp_text_fill(const json_t *train, const json_t *valid)
{
	const bool columns = json_object_get(train, "path") != NULL &&
	    json_object_get(valid, "path") != NULL;

	if (!is_text(train) || !is_text(valid))
		return json_incref((json_t *)(uintptr_t)valid);
	json_t *v = json_copy((json_t *)(uintptr_t)valid);
	for (size_t i = 0; i < RK_ARRAY_LEN(shared); i++) {
		json_t *had = json_object_get(v, shared[i]);
		json_t *has = json_object_get(train, shared[i]);
		if ((had == NULL || json_is_null(had)) && has != NULL &&
		    (columns || i >= NCOLUMN_KEYS))
			must(json_object_set(v, shared[i], has) == 0);
	}
	return v;
}

static bool
same_vocabulary(const struct spec_text *a, const struct spec_text *b)
{
	return a->vocabulary == NULL || b->vocabulary == NULL ||
	    strcmp(a->vocabulary, b->vocabulary) == 0;
}

void
sp_text_same(struct rkj_obj *o, const struct spec_source *train,
    const struct spec_source *valid)
{
	const struct spec_text *a = &train->text, *b = &valid->text;

	if (train->type != SPEC_TEXT || valid->type != SPEC_TEXT)
		return;
	if (a->tokenizer != b->tokenizer || !same_vocabulary(a, b) ||
	    a->lower_case != b->lower_case ||
	    a->strip_accents != b->strip_accents)
		rkj_fault(o, "validation.tokenizer", "is another than that of "
		    "data.train: want the same");
	if (a->length != b->length)
		rkj_fault(o, "validation.length", "is %lld, and that of "
		    "data.train %lld: want the same", (long long)b->length,
		    (long long)a->length);
	if (a->nbuckets != b->nbuckets || memcmp(a->buckets, b->buckets,
	    (size_t)a->nbuckets * sizeof(a->buckets[0])) != 0)
		rkj_fault(o, "validation.buckets", "are others than those of "
		    "data.train: want the same");
	if (a->paired != b->paired)
		rkj_fault(o, "validation.pair", "is %s, and in data.train it is "
		    "%s: want the same", b->paired ? "given" : "not given",
		    a->paired ? "given" : "not");
}

/* --- and back ------------------------------------------------------------- */

static json_t *
column_json(const char *name, int64_t index)
{
	return name != NULL ? json_string(name) : json_integer(index);
}

static json_t *
tokenizer_json(const struct spec_text *t)
{
	json_t *o = json_object();

	sp_put(o, "type", json_string(spec_tokenizer_words[t->tokenizer]));
	if (t->tokenizer == SPEC_BYTES)
		return o;
	sp_put(o, "vocabulary", json_string(t->vocabulary));
	sp_put(o, "lower_case", json_boolean(t->lower_case));
	sp_put(o, "strip_accents", json_boolean(t->strip_accents));
	return o;
}

void
sp_put_text(json_t *o, const struct spec_source *s)
{
	const struct spec_text *t = &s->text;
	const char delimiter[2] = { s->delimiter, '\0' };

	if (s->nfiles > 0) {
		json_t *classes = json_object();
		for (int i = 0; i < s->nfiles; i++)
			sp_put(classes, t->class_names[i],
			    json_string(s->files[i]));
		sp_put(o, "classes", classes);
	} else {
		sp_put(o, "path", json_string(s->path));
		sp_put(o, "text", column_json(t->column, t->column_index));
		if (t->paired)
			sp_put(o, "pair", column_json(t->pair, t->pair_index));
		sp_put(o, "label", column_json(s->label_name, s->label_index));
		sp_put(o, "header", s->header == SPEC_HEADER_AUTO ?
		    json_string("auto") :
		    json_boolean(s->header == SPEC_HEADER_YES));
		sp_put(o, "delimiter", json_string(delimiter));
	}
	sp_put(o, "encoding", json_string(spec_encoding_words[t->encoding]));
	sp_put(o, "tokenizer", tokenizer_json(t));
	sp_put(o, "length", json_integer(t->length));
	if (t->nbuckets == 0)           /* young */
		return;
	json_t *buckets = json_array();
	for (int i = 0; i < t->nbuckets; i++)
		must(json_array_append_new(buckets, json_integer(
		    t->buckets[i])) == 0);
	sp_put(o, "buckets", buckets);
}

void
sp_free_text(struct spec_text *t)
{
	free(t->column);
	free(t->pair);
	free(t->vocabulary);
	for (int i = 0; i < SPEC_MAX_FILES; i++)
		free(t->class_names[i]);
}
