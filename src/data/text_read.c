/* A text by its number: read, decoded, tokenised, masked. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "text_source.h"
#include "transform.h"

/* --- bytes ---------------------------------------------------------------- */

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

const struct text_file *
text_file_of(const struct text_reader *r, int64_t at)
{
	int i = r->nfiles - 1;

	while (i > 0 && r->files[i].first > at)
		i--;
	return &r->files[i];
}

static enum rk_err
refuse_changed(const struct text_reader *r, int64_t at, struct rk_why *why)
{
	return rk_refuse(why, "%s: line %u is another than when the file was "
	    "opened: it has changed meanwhile", text_file_of(r, at)->name,
	    r->places[at].line);
}

static enum rk_err
read_bytes(const struct text_reader *r, int64_t at, struct text_scratch *k,
    struct rk_why *why)
{
	const struct text_file *f = text_file_of(r, at);
	const struct text_place *p = &r->places[at];
	size_t have = 0;

	if (p->bytes >= k->cap) {
		k->cap = RK_MAX((size_t)p->bytes + 1, 4096u);
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
			return rk_from_errno(e) == RK_EINVAL ? RK_EIO :
			    rk_from_errno(e);
		}
		if (n == 0)
			return refuse_changed(r, at, why);
		have += (size_t)n;
	}
	return RK_OK;
}

enum rk_err
text_read(const struct text_reader *r, int64_t at, struct text_scratch *k,
    struct rk_why *why)
{
	struct text_field text, pair, label;
	enum rk_err rc;

	must(at >= 0 && at < r->n);
	rc = read_bytes(r, at, k, why);
	if (rc != RK_OK)
		return rc;
	text_row_fields(&r->form, k->row, r->places[at].bytes, &text, &pair,
	    &label);
	if (text_field_read(&text, k->decoder, &k->tmp, &k->text) != RK_OK ||
	    (r->form.paired && text_field_read(&pair, k->decoder, &k->tmp,
	    &k->pair) != RK_OK))
		return refuse_changed(r, at, why);
	return text_content_hash(&r->form, &k->text, &k->pair) ==
	    r->places[at].hash ? RK_OK : refuse_changed(r, at, why);
}

/* --- what a loader asks for ----------------------------------------------- */

static const struct text_reader *
reader_of(const struct data_lazy *z)
{
	const struct text_reader *r = (const struct text_reader *)
	    (const void *)z;

	must_be(r, TEXT_READER_TAG);
	return r;
}

struct text_reader *
text_reader_of(const struct held *h)
{
	return (struct text_reader *)(uintptr_t)reader_of(h->lazy);
}

static void *
scratch_new(const struct data_lazy *z)
{
	return text_scratch_new(reader_of(z), NULL);
}

static void
mask(const struct text_reader *r, const struct data_key *k, int64_t at,
    int32_t *x)
{
	const struct transform_key key = { k->seed, k->epoch, at };
	const struct text_special own = text_special(r->tokens);
	const int32_t kept[] = { own.pad, own.unk, own.cls, own.sep, own.mask };
	const struct transform_tokens t = { .kept = kept,
		.nkept = RK_ARRAY_LEN(kept),
		.mask = own.mask >= 0 ? own.mask : own.unk };

	transform_mask(&r->masks, &key, &t, x, r->length);
}

static enum rk_err
get(const struct data_lazy *z, const struct data_set *d, void *scratch,
    int64_t at, const struct data_key *k, void *x, struct lazy_got *got,
    struct rk_why *why)
{
	const struct text_reader *r = reader_of(z);
	struct text_scratch *s = scratch;

	(void)d;
	if (s == NULL) {
		rk_refuse(why, "the system has no memory to decode texts with");
		return RK_ENOMEM;
	}
	enum rk_err rc = text_read(r, at, s, why);
	got->changed = rc == RK_EINVAL;
	if (rc != RK_OK)
		return rc;
	got->tokens = text_sample(r->tokens, &s->room, sb_str(&s->text),
	    s->text.len, sb_str(&s->pair), s->pair.len, r->length, x);
	if (k->train && r->masks.n > 0)
		mask(r, k, at, x);
	return RK_OK;
}

static void
identify(const struct data_lazy *z, int64_t at, bool size, struct lazy_id *id)
{
	const struct text_reader *r = reader_of(z);

	(void)size;
	id->file = text_file_of(r, at)->name;
	id->line = r->places[at].line;
	id->hash = r->places[at].hash;
}

static void
reader_free(struct data_lazy *z)
{
	text_reader_free((struct text_reader *)(void *)z);
}

const struct lazy_ops text_ops = {
	.scratch_new = scratch_new, .scratch_free = text_scratch_free,
	.get = get, .identify = identify, .free = reader_free,
};
