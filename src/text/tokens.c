/*
 * Words to ids, and ids to a sample.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

const char *const text_kind_words[] = { "wordpiece", "words", "bytes", NULL };
const char *const special_words[5] = {
	"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
};

enum { BYTE_PAD = 0, BYTE_SEP = 257, BYTE_MASK = 258 };

struct text_tokens {
	struct text_options o;
	struct vocabulary v;
	struct text_special s;
};

/* --- made and asked ------------------------------------------------------- */

/* Those that the kind cannot do without. */
static enum rk_err
find_special(struct text_tokens *t, const char *what, struct rk_why *why)
{
	const bool framed = t->o.kind == TEXT_WORDPIECE;
	const bool needed[5] = {
		true, true, framed, framed || t->o.pairs, false
	};
	int32_t *const ids[5] = {
		&t->s.pad, &t->s.unk, &t->s.cls, &t->s.sep, &t->s.mask
	};
	struct strbuf missing = {0};
	enum rk_err rc = RK_OK;

	for (size_t i = 0; i < RK_ARRAY_LEN(ids); i++) {
		*ids[i] = vocabulary_find(&t->v, special_words[i],
		    strlen(special_words[i]));
		if (*ids[i] < 0 && needed[i])
			sb_addf(&missing, "%s%s", missing.len > 0 ? ", " : "",
			    special_words[i]);
	}
	if (missing.len > 0)
		rc = rk_refuse(why, "%s: has no %s, which the tokenizer %s%s "
		    "needs", what, sb_str(&missing),
		    text_kind_words[t->o.kind],
		    t->o.pairs && !framed ? " of pairs" : "");
	sb_fini(&missing);
	return rc;
}

enum rk_err
text_tokens_new(struct text_tokens **tp, const struct text_options *o,
    const char *p, size_t n, const char *what, struct rk_why *why)
{
	struct text_tokens *t = xcalloc(1, sizeof(*t));
	enum rk_err rc = RK_OK;

	t->o = *o;
	if (o->kind == TEXT_BYTES) {
		must(p == NULL);
		t->s = (struct text_special){ BYTE_PAD, -1, -1, BYTE_SEP,
			BYTE_MASK };
	} else {
		rc = vocabulary_read(&t->v, p, n, what, why);
		if (rc == RK_OK)
			rc = find_special(t, what, why);
	}
	if (rc != RK_OK)
		text_tokens_free(t);
	else
		*tp = t;
	return rc;
}

void
text_tokens_free(struct text_tokens *t)
{
	if (t == NULL)
		return;
	vocabulary_fini(&t->v);
	free(t);
}

int64_t
text_vocabulary(const struct text_tokens *t)
{
	return t->o.kind == TEXT_BYTES ? TEXT_BYTE_IDS : t->v.n;
}

struct text_special
text_special(const struct text_tokens *t)
{
	return t->s;
}

int32_t
text_id(const struct text_tokens *t, const char *s, size_t n)
{
	return vocabulary_find(&t->v, s, n);
}

const char *
text_token(const struct text_tokens *t, int32_t id, size_t *n)
{
	*n = 0;
	return t->o.kind == TEXT_BYTES ? NULL : vocabulary_at(&t->v, id, n);
}

uint64_t
text_hash(const struct text_tokens *t)
{
	const uint64_t head[] = { t->o.kind, t->o.lower_case,
		t->o.strip_accents, t->o.pairs, (uint64_t)t->v.n };
	uint64_t h = rk_hash64(0, head, sizeof(head));

	if (t->v.n == 0)
		return h;
	h = rk_hash64(h, t->v.at, ((size_t)t->v.n + 1) * sizeof(*t->v.at));
	return rk_hash64(h, t->v.blob, t->v.at[t->v.n]);
}

/* --- ids ------------------------------------------------------------------ */

void
text_room_fini(struct text_room *r)
{
	free(r->ids);
	*r = (struct text_room){0};
}

static void
add_id(struct text_room *r, int32_t id)
{
	if (r->n == r->cap) {
		r->cap = RK_MAX(2 * r->cap, 256);
		r->ids = xrealloc(r->ids, r->cap * sizeof(*r->ids));
	}
	r->ids[r->n++] = id;
}

struct pass {
	const struct text_tokens *t;
	struct text_room *r;
	size_t most;
};

/* The longest token that characters from..to begin with; *to is its end. */
static int32_t
longest(const struct vocabulary *v, const struct word *w, int from, int *to)
{
	/* Bytes that a token can have here; "##" is two of its own. */
	const int most = v->most - (from > 0 ? 2 : 0);

	for (int k = w->n; k > from; k--) {
		const char *s = w->s + w->at[from];
		const int n = w->at[k] - w->at[from];
		if (n > most)
			continue;
		const int32_t id = from == 0 ? vocabulary_find(v, s, (size_t)n) :
		    vocabulary_rest(v, s, (size_t)n);
		if (id >= 0) {
			*to = k;
			return id;
		}
	}
	return -1;
}

static bool
take_pieces(void *ctx, const struct word *w)
{
	struct pass *p = ctx;
	const size_t before = p->r->n;
	int at = 0;

	while (at < w->n && !w->too_long) {
		const int32_t id = longest(&p->t->v, w, at, &at);
		if (id < 0)
			break;
		add_id(p->r, id);
	}
	if (at < w->n || w->too_long) {
		p->r->n = before;
		add_id(p->r, p->t->s.unk);
	}
	return p->r->n < p->most;
}

static bool
take_word(void *ctx, const struct word *w)
{
	struct pass *p = ctx;
	const int32_t id = w->too_long ? -1 :
	    vocabulary_find(&p->t->v, w->s, w->at[w->n]);

	add_id(p->r, id >= 0 ? id : p->t->s.unk);
	return p->r->n < p->most;
}

void
text_ids(const struct text_tokens *t, const char *s, size_t n, size_t most,
    struct text_room *r)
{
	struct pass p = { t, r, most };

	if (r->n >= most)
		return;
	if (t->o.kind == TEXT_BYTES)
		for (size_t i = 0; i < n && r->n < most; i++)
			add_id(r, (unsigned char)s[i] + 1);
	else
		words_of(&t->o, s, n, t->o.kind == TEXT_WORDPIECE ?
		    take_pieces : take_word, &p);
	r->n = RK_MIN(r->n, most);
}

/* --- samples -------------------------------------------------------------- */

/* Tokens of a sample that are not of its texts. */
static int64_t
frame(const struct text_options *o)
{
	const int64_t ends = o->kind == TEXT_WORDPIECE ? 2 : 0;

	return o->pairs ? ends + 1 : ends;
}

int64_t
text_least(const struct text_options *o)
{
	return frame(o) + (o->pairs ? 2 : 1);
}

/* Cut two texts to `room` in all: the longer first, the second where both are
 * as long.  Neither is longer than room. */
static void
cut_pair(int64_t room, int64_t *a, int64_t *b)
{
	const int64_t half = room / 2;

	if (*a + *b <= room)
		return;
	if (*a <= half)
		*b = room - *a;
	else if (*b <= half)
		*a = room - *b;
	else {
		*a = room - half;
		*b = half;
	}
}

static int32_t *
copy(int32_t *x, const int32_t *ids, int64_t n)
{
	memcpy(x, ids, (size_t)n * sizeof(*x));
	return x + n;
}

int64_t
text_sample(const struct text_tokens *t, struct text_room *r, const char *a,
    size_t na, const char *b, size_t nb, int64_t length, int32_t *x)
{
	const bool framed = t->o.kind == TEXT_WORDPIECE;
	const int64_t room = length - frame(&t->o);
	int32_t *to = x;

	must(length >= text_least(&t->o));
	r->n = 0;
	text_ids(t, a, na, (size_t)room, r);
	int64_t first = (int64_t)r->n, second = 0;
	if (t->o.pairs) {
		text_ids(t, b, nb, r->n + (size_t)room, r);
		second = (int64_t)r->n - first;
	}
	const int64_t b_at = first;
	cut_pair(room, &first, &second);
	if (framed)
		*to++ = t->s.cls;
	if (first > 0)
		to = copy(to, r->ids, first);
	if (framed || t->o.pairs)
		*to++ = t->s.sep;
	if (second > 0)
		to = copy(to, r->ids + b_at, second);
	if (framed && t->o.pairs)
		*to++ = t->s.sep;
	const int64_t n = to - x;
	while (to < x + length)
		*to++ = t->s.pad;
	return n;
}

void
text_mask(const struct text_special *s, int32_t *x, int64_t n, double p,
    uint64_t seed, uint32_t a, uint32_t b)
{
	enum { ROW = 256 };
	const int32_t by = s->mask >= 0 ? s->mask : s->unk;
	const double most = p * 0x1p32;
	uint32_t w[ROW];

	for (int64_t i = 0; i < n && by >= 0; i++) {
		if (i % ROW == 0)
			rk_fill_u32(w, (size_t)RK_MIN(ROW, n - i), seed, a, b,
			    (uint64_t)i);
		const bool own = x[i] == s->pad || x[i] == s->unk ||
		    x[i] == s->cls || x[i] == s->sep || x[i] == s->mask;
		if (!own && (double)w[i % ROW] < most)
			x[i] = by;
	}
}
