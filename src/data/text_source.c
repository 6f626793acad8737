/* Texts as a data set: files and a vocabulary opened, and what is known of
 * them. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "text_source.h"

/* spec and text each have their words. */
_Static_assert((int)SPEC_UTF8 == TEXT_UTF8 && (int)SPEC_LATIN1 == TEXT_LATIN1 &&
    (int)SPEC_GB18030 == TEXT_GB18030, "in one order");
_Static_assert((int)SPEC_WORDPIECE == TEXT_WORDPIECE &&
    (int)SPEC_WORDS == TEXT_WORDS && (int)SPEC_BYTES == TEXT_BYTES,
    "in one order");

void
text_reader_free(struct text_reader *r)
{
	must_be(r, TEXT_READER_TAG);
	for (int i = 0; i < r->nfiles; i++) {
		free(r->files[i].name);
		if (r->files[i].fd >= 0)
			close(r->files[i].fd);
	}
	free(r->memory);
	free(r->places);
	text_tokens_free(r->tokens);
	r->tag = 0;
	free(r);
}

/* --- opened --------------------------------------------------------------- */

struct text_options
text_options_of(const struct spec_source *s)
{
	return (struct text_options){
		.kind = (enum text_kind)s->text.tokenizer,
		.lower_case = s->text.lower_case,
		.strip_accents = s->text.strip_accents,
		.pairs = s->text.paired,
	};
}

static enum rk_err
open_file(struct text_reader *r, const char *name, struct rk_why *why)
{
	struct text_file *f = &r->files[r->nfiles++];
	struct stat st;

	*f = (struct text_file){ .name = xstrdup(name), .fd = -1 };
	/* NONBLOCK, so that a fifo does not hold us up before we refuse it. */
	f->fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (f->fd < 0 || fstat(f->fd, &st) != 0) {
		const int e = errno;
		char *reason = rk_why_unreadable(name, e);
		rk_refuse(why, "%s: %s", name, reason);
		free(reason);
		return rk_from_errno(e);
	}
	return S_ISREG(st.st_mode) ? RK_OK :
	    rk_refuse(why, "%s: is no regular file", name);
}

static enum rk_err
open_files(struct text_reader *r, const struct spec_source *s,
    const struct text_memory *of, struct rk_why *why)
{
	enum rk_err rc = RK_OK;

	if (of != NULL) {
		r->files[r->nfiles++] = (struct text_file){
			.name = xstrdup(s->path), .fd = -1 };
		r->memory = xmalloc(of->n + 1);
		memcpy(r->memory, of->p, of->n);
		r->memory_n = of->n;
	} else if (s->nfiles == 0) {
		rc = open_file(r, s->path, why);
	}
	for (int i = 0; of == NULL && rc == RK_OK && i < s->nfiles; i++)
		rc = open_file(r, s->files[i], why);
	return rc;
}

static enum rk_err
read_vocabulary(struct text_reader *r, const struct spec_source *s,
    const struct text_memory *of, struct rk_why *why)
{
	const struct text_options o = text_options_of(s);
	const char *name = s->text.vocabulary;
	char *text = NULL, most[RK_HUMAN];
	size_t n = 0;
	enum rk_err rc;

	if (of != NULL || o.kind == TEXT_BYTES)
		return text_tokens_new(&r->tokens, &o, of != NULL ?
		    of->vocabulary : NULL, of != NULL ? of->vocabulary_n : 0,
		    "vocabulary", why);
	rc = rk_read_file(AT_FDCWD, name, TEXT_MAX_FILE, &text, &n);
	if (rc == RK_OK) {
		rc = text_tokens_new(&r->tokens, &o, text, n, name, why);
	} else if (rc == RK_ELIMIT) {
		rc = rk_refuse(why, "%s: is longer than the %s that a "
		    "vocabulary may be", name, rk_human_bytes(most,
		    TEXT_MAX_FILE));
	} else if (rc == RK_EINVAL) {
		rk_refuse(why, "%s: is no regular file", name);
	} else {
		char *reason = access(name, R_OK) != 0 ?
		    rk_why_unreadable(name, errno) : xstrdup(rk_strerror(rc));
		rk_refuse(why, "%s: %s", name, reason);
		free(reason);
	}
	free(text);
	return rc;
}

static void
set_form(struct text_form *f, const struct spec_source *s, bool labelled)
{
	*f = (struct text_form){
		.encoding = (enum text_encoding)s->text.encoding,
		.columns = s->nfiles == 0, .paired = s->text.paired,
		.labelled = labelled,
		.delimiter = s->delimiter,
		.quotes = s->nfiles == 0 && s->delimiter != '\t',
	};
}

/* What a thread has for texts that are no book each. */
#define SCRATCH_BYTES ((uint64_t)32 << 10)

enum rk_err
text_reader_open(const struct spec_source *s, const struct text_want *w,
    struct held **out, struct rk_why *why)
{
	struct text_reader *r = xcalloc(1, sizeof(*r));
	struct held *h = held_new(s->nfiles > 0 ? s->files[0] : s->path);

	r->tag = TEXT_READER_TAG;
	r->lazy.ops = &text_ops;
	r->lazy.knows = true;
	r->length = s->text.length;
	lazy_hold(h, &r->lazy);
	set_form(&r->form, s, w == NULL || !w->unlabelled);
	enum rk_err rc = open_files(r, s, w != NULL ? w->of : NULL, why);
	if (rc == RK_OK)
		rc = text_index(r, s, h, why);
	r->lazy.index_bytes = (uint64_t)r->n * sizeof(*r->places);
	r->lazy.scratch_bytes = SCRATCH_BYTES + (uint64_t)r->length *
	    sizeof(int32_t);
	if (rc == RK_OK)
		*out = h;
	else
		held_free(h);
	return rc;
}

static void
set_tokens(struct held *h, const struct text_reader *r)
{
	struct data_set *d = &h->pub;
	const struct text_special own = text_special(r->tokens);
	const int32_t special[] = { own.pad, own.unk, own.cls, own.sep,
		own.mask };

	d->ndim = 1;
	d->d[0] = d->width = r->length;
	d->vocabulary = text_vocabulary(r->tokens);
	h->separator = r->form.paired ? own.sep : -1;
	h->mask = own.mask >= 0 ? own.mask : own.unk;
	memcpy(h->special, special, sizeof(h->special));
}

const char *
data_token(const struct data_set *d, int64_t id, size_t *n)
{
	const struct text_tokens *t = d->lazy != NULL ? d->lazy->tokens : NULL;

	return t != NULL && id >= 0 && id < text_vocabulary(t) ?
	    text_token(t, (int32_t)id, n) : NULL;
}

int32_t
data_separator(const struct data_set *d)
{
	return data_is_tokens(d) ? held_of(d)->separator : -1;
}

enum rk_err
text_open(const struct spec_source *s, const struct text_want *w,
    struct held **out, struct rk_why *why)
{
	struct held *h = NULL;
	enum rk_err rc = text_reader_open(s, w, &h, why);

	if (rc != RK_OK)
		return rc;
	struct text_reader *r = text_reader_of(h);
	if (w->masks != NULL)
		r->masks = *w->masks;
	rc = read_vocabulary(r, s, w->of, why);
	if (rc != RK_OK) {
		held_free(h);
		return rc;
	}
	r->lazy.reading = text_hash(r->tokens);
	r->lazy.tokens = r->tokens;
	set_tokens(h, r);
	*out = h;
	return RK_OK;
}

enum rk_err
data_parse_text(const struct spec_source *s, const void *p, size_t n,
    const void *vocabulary, size_t vocabulary_n, struct data_set **out,
    struct rk_why *why)
{
	const struct text_memory of = { p, n, vocabulary, vocabulary_n };
	const struct text_want want = { .of = &of };
	struct held *h;
	enum rk_err rc = text_open(s, &want, &h, why);

	if (rc != RK_OK)
		return rc;
	labels_remark(h);
	*out = &h->pub;
	return RK_OK;
}

enum rk_err
data_open_texts(const struct spec_source *s, const char *path,
    const char *name, struct data_set **out, struct rk_why *why)
{
	const struct text_want want = { .unlabelled = true };
	const char tab = spec_text_delimiter(name);
	const size_t n = spec_is_address(name) ? strcspn(name, "#") :
	    strlen(name);
	struct spec_source own = *s;    /* borrows all it points to */
	struct held *h;

	if (s->nfiles == 0 && (tab == '\t' || (n >= 4 && strncasecmp(name + n - 4,
	    ".csv", 4) == 0))) {
		own.path = (char *)(uintptr_t)path;
		own.delimiter = tab == '\t' || s->delimiter == '\t' ? tab :
		    s->delimiter;
	} else if (s->text.paired) {
		return rk_refuse(why, "%s: the job's samples are pairs of texts: "
		    "want a file .csv or .tsv with the columns of its data",
		    path);
	} else {
		own.files[0] = (char *)(uintptr_t)path;
		own.nfiles = 1;
	}
	enum rk_err rc = text_open(&own, &want, &h, why);
	if (rc != RK_OK)
		return rc;
	rc = buckets_find(h, s, why);
	if (rc == RK_OK)
		*out = &h->pub;
	else
		held_free(h);
	return rc;
}
