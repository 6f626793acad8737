/*
 * Texts as a data set: read once from front to back, and then each again, by all
 * threads, to become tokens.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rekindle/kernel.h"
#include "text_source.h"

/* spec and text each have their words. */
_Static_assert((int)SPEC_UTF8 == TEXT_UTF8 && (int)SPEC_LATIN1 == TEXT_LATIN1 &&
    (int)SPEC_GB18030 == TEXT_GB18030, "in one order");
_Static_assert((int)SPEC_WORDPIECE == TEXT_WORDPIECE &&
    (int)SPEC_WORDS == TEXT_WORDS && (int)SPEC_BYTES == TEXT_BYTES,
    "in one order");

/* --- a sample ------------------------------------------------------------- */

uint64_t
text_content_hash(const struct text_form *f, const struct strbuf *text,
    const struct strbuf *pair)
{
	const uint64_t h = rk_hash64(0, text->s, text->len);

	return f->paired ? rk_hash64(h, pair->s, pair->len) : h;
}

struct text_scratch *
text_scratch_new(const struct text_reader *r, struct rk_why *why)
{
	struct text_scratch *k = xcalloc(1, sizeof(*k));

	if (text_decoder_new(&k->decoder, r->form.encoding, why) == RK_OK)
		return k;
	free(k);
	return NULL;
}

void
text_scratch_free(void *scratch)
{
	struct text_scratch *k = scratch;

	if (k == NULL)
		return;
	free(k->row);
	sb_fini(&k->tmp);
	sb_fini(&k->text);
	sb_fini(&k->pair);
	text_decoder_free(k->decoder);
	text_room_fini(&k->room);
	free(k);
}

static enum rk_err
refuse_changed(const struct text_file *f, const struct text_place *p,
    struct rk_why *why)
{
	return rk_refuse(why, "%s: the text at byte %llu is another than when "
	    "the file was opened: it has changed meanwhile", f->name,
	    (unsigned long long)p->offset);
}

static enum rk_err
read_bytes(const struct text_reader *r, const struct text_place *p,
    struct text_scratch *k, struct rk_why *why)
{
	const struct text_file *f = &r->files[p->file];
	size_t have = 0;

	if (p->bytes > k->cap) {
		k->cap = RK_MAX((size_t)p->bytes, 4096u);
		k->row = xrealloc(k->row, k->cap);
	}
	if (f->fd < 0) {
		must(p->offset + p->bytes <= r->memory_n);
		memcpy(k->row, r->memory + p->offset, p->bytes);
		return RK_OK;
	}
	while (have < p->bytes) {
		const ssize_t n = pread(f->fd, k->row + have, p->bytes - have,
		    (off_t)(p->offset + have));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			const int e = errno;
			rk_refuse(why, "%s: %s", f->name, strerror(e));
			return rk_from_errno(e);
		}
		if (n == 0)
			return refuse_changed(f, p, why);
		have += (size_t)n;
	}
	return RK_OK;
}

enum rk_err
text_read(const struct text_reader *r, int64_t at, struct text_scratch *k,
    struct rk_why *why)
{
	const struct text_place *p = &r->places[at];
	struct text_field text, pair, label;
	enum rk_err rc;

	must(at >= 0 && at < r->n);
	rc = read_bytes(r, p, k, why);
	if (rc != RK_OK)
		return rc;
	if (k->row == NULL)             /* an empty one */
		k->row = xcalloc(1, k->cap = 1);
	text_row_fields(&r->form, k->row, p->bytes, &text, &pair, &label);
	if (text_field_read(&text, k->decoder, &k->tmp, &k->text) != RK_OK ||
	    (r->form.paired && text_field_read(&pair, k->decoder, &k->tmp,
	    &k->pair) != RK_OK))
		return refuse_changed(&r->files[p->file], p, why);
	return text_content_hash(&r->form, &k->text, &k->pair) == p->hash ? RK_OK :
	    refuse_changed(&r->files[p->file], p, why);
}

void
text_reader_free(struct text_reader *r)
{
	if (r == NULL)
		return;
	for (int i = 0; i < r->nfiles; i++) {
		free(r->files[i].name);
		if (r->files[i].fd >= 0)
			close(r->files[i].fd);
	}
	free(r->memory);
	free(r->places);
	text_tokens_free(r->tokens);
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

	*f = (struct text_file){ xstrdup(name), -1 };
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
		r->files[r->nfiles++] = (struct text_file){ xstrdup(s->path),
			-1 };
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
set_form(struct text_form *f, const struct spec_source *s)
{
	*f = (struct text_form){
		.encoding = (enum text_encoding)s->text.encoding,
		.columns = s->nfiles == 0, .paired = s->text.paired,
		.delimiter = s->delimiter,
		.quotes = s->nfiles == 0 && s->delimiter != '\t',
	};
}

enum rk_err
text_reader_open(const struct spec_source *s, const struct text_memory *of,
    struct text_reader **rp, struct held **out, struct rk_why *why)
{
	struct text_reader *r = xcalloc(1, sizeof(*r));
	struct held *h = held_new(s->nfiles > 0 ? s->files[0] : s->path);

	r->length = s->text.length;
	set_form(&r->form, s);
	enum rk_err rc = open_files(r, s, of, why);
	if (rc == RK_OK)
		rc = text_index(r, s, h, why);
	if (rc != RK_OK) {
		text_reader_free(r);
		held_free(h);
		return rc;
	}
	*rp = r;
	*out = h;
	return RK_OK;
}

/* --- held ----------------------------------------------------------------- */

#define PIECE ((int64_t)256)            /* samples that a thread does at a time */

struct holding {
	const struct text_reader *r;
	struct held *h;
	struct piece {
		enum rk_err rc;
		struct rk_why why;
	} *pieces;
};

static void
hold_piece(void *ctx, size_t i)
{
	const struct holding *g = ctx;
	const struct text_reader *r = g->r;
	struct piece *p = &g->pieces[i];
	struct text_scratch *k = text_scratch_new(r, &p->why);
	const int64_t from = (int64_t)i * PIECE;
	const int64_t to = RK_MIN(from + PIECE, r->n);

	p->rc = k != NULL ? RK_OK : RK_EINVAL;
	for (int64_t s = from; s < to && p->rc == RK_OK; s++) {
		p->rc = text_read(r, s, k, &p->why);
		if (p->rc == RK_OK)
			text_sample(r->tokens, &k->room, sb_str(&k->text),
			    k->text.len, sb_str(&k->pair), k->pair.len,
			    r->length, g->h->tokens + s * r->length);
		g->h->identity[s] = r->places[s].hash;
	}
	text_scratch_free(k);
}

/* The first fault of the first piece that has one. */
static enum rk_err
hold_all(const struct text_reader *r, struct held *h, struct rk_why *why)
{
	const size_t n = (size_t)((r->n + PIECE - 1) / PIECE);
	struct holding g = { r, h, xcalloc(n, sizeof(*g.pieces)) };
	enum rk_err rc = RK_OK;

	kernel_for(n, hold_piece, &g);
	for (size_t i = 0; i < n; i++) {
		if (rc == RK_OK && g.pieces[i].rc != RK_OK) {
			rc = g.pieces[i].rc;
			rk_refuse(why, "%s", rk_why_first(&g.pieces[i].why));
		}
		rk_why_fini(&g.pieces[i].why);
	}
	free(g.pieces);
	return rc;
}

static enum rk_err
hold(struct text_reader *r, const struct spec_source *s,
    const struct text_memory *of, struct held *h, struct rk_why *why)
{
	struct data_set *d = &h->pub;
	enum rk_err rc = read_vocabulary(r, s, of, why);

	if (rc == RK_OK)
		rc = held_alloc(&h->identity, (uint64_t)r->n,
		    sizeof(*h->identity), h->what, why);
	if (rc == RK_OK)
		rc = held_alloc(&h->tokens, (uint64_t)r->n *
		    (uint64_t)r->length, sizeof(*h->tokens), h->what, why);
	if (rc != RK_OK)
		return rc;
	d->ndim = 1;
	d->d[0] = d->width = r->length;
	d->vocabulary = text_vocabulary(r->tokens);
	d->tokens = h->tokens;
	const struct text_special own = text_special(r->tokens);
	const int32_t special[] = { own.pad, own.unk, own.cls, own.sep,
		own.mask };
	h->separator = r->form.paired ? own.sep : -1;
	h->mask = own.mask >= 0 ? own.mask : own.unk;
	memcpy(h->special, special, sizeof(h->special));
	return hold_all(r, h, why);
}

int32_t
data_separator(const struct data_set *d)
{
	return data_is_tokens(d) ? held_of(d)->separator : -1;
}

enum rk_err
text_open(const struct spec_source *s, const struct text_memory *of,
    struct held **out, struct rk_why *why)
{
	struct text_reader *r = NULL;
	struct held *h = NULL;
	enum rk_err rc = text_reader_open(s, of, &r, &h, why);

	if (rc == RK_OK)
		rc = hold(r, s, of, h, why);
	text_reader_free(r);
	if (rc == RK_OK)
		*out = h;
	else
		held_free(h);
	return rc;
}

enum rk_err
data_parse_text(const struct spec_source *s, const void *p, size_t n,
    const void *vocabulary, size_t vocabulary_n, struct data_set **out,
    struct rk_why *why)
{
	const struct text_memory of = { p, n, vocabulary, vocabulary_n };
	struct held *h;
	enum rk_err rc = text_open(s, &of, &h, why);

	if (rc != RK_OK)
		return rc;
	labels_remark(h);
	*out = &h->pub;
	return RK_OK;
}
