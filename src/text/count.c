/*
 * Counting words, in bounded memory, and the vocabulary of kind words.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

struct text_maker {
	struct text_options o;
	struct counted *v;              /* in the order of their coming */
	size_t n, cap;
	char *blob;
	size_t blob_n, blob_cap;
	int32_t *slots;                 /* numbers of v by hash, -1: free */
	size_t nslots;
	int64_t words;
	uint64_t floor;                 /* so often were those that went */
};

struct text_maker *
text_maker_new(const struct text_options *o)
{
	struct text_maker *m = xcalloc(1, sizeof(*m));

	must(o->kind != TEXT_BYTES);
	m->o = *o;
	return m;
}

void
text_maker_free(struct text_maker *m)
{
	if (m == NULL)
		return;
	free(m->v);
	free(m->blob);
	free(m->slots);
	free(m);
}

int64_t
text_maker_words(const struct text_maker *m)
{
	return m->words;
}

/* --- the table ------------------------------------------------------------ */

static size_t
slot_of(const struct text_maker *m, const char *s, size_t n)
{
	size_t k = rk_hash64(0, s, n) & (m->nslots - 1);

	while (m->slots[k] >= 0) {
		const struct counted *c = &m->v[m->slots[k]];
		if (c->len == n && memcmp(m->blob + c->at, s, n) == 0)
			break;
		k = (k + 1) & (m->nslots - 1);
	}
	return k;
}

static void
index_all(struct text_maker *m, size_t nslots)
{
	if (nslots != m->nslots)
		m->slots = xrealloc(m->slots, nslots * sizeof(*m->slots));
	m->nslots = nslots;
	memset(m->slots, 0xff, nslots * sizeof(*m->slots));
	for (size_t i = 0; i < m->n; i++)
		m->slots[slot_of(m, m->blob + m->v[i].at, m->v[i].len)] =
		    (int32_t)i;
}

/* Those that were there at most `floor` times go; order stays. */
static void
drop_rare(struct text_maker *m)
{
	size_t kept = 0, at = 0;

	for (size_t i = 0; i < m->n; i++) {
		const struct counted c = m->v[i];
		if (c.times <= m->floor)
			continue;
		memmove(m->blob + at, m->blob + c.at, c.len);
		m->v[kept] = c;
		m->v[kept++].at = (uint32_t)at;
		at += c.len;
	}
	m->n = kept;
	m->blob_n = at;
}

static void
make_room(struct text_maker *m, size_t len)
{
	if (m->n < TEXT_MAX_COUNTED &&
	    m->blob_n + len <= TEXT_MAX_COUNTED_BYTES)
		return;
	while (m->n > TEXT_MAX_COUNTED / 2 ||
	    m->blob_n > TEXT_MAX_COUNTED_BYTES / 2) {
		m->floor++;
		drop_rare(m);
	}
	index_all(m, m->nslots);
}

static void
add_word(struct text_maker *m, const char *s, size_t n)
{
	make_room(m, n);
	if (m->n == m->cap) {
		m->cap = RK_MAX(2 * m->cap, 1024);
		m->v = xrealloc(m->v, m->cap * sizeof(*m->v));
	}
	if (m->blob_n + n > m->blob_cap) {
		m->blob_cap = 2 * m->blob_cap + n + 4096;
		m->blob = xrealloc(m->blob, m->blob_cap);
	}
	memcpy(m->blob + m->blob_n, s, n);
	m->v[m->n++] = (struct counted){ (uint32_t)m->blob_n, (uint32_t)n, 1 };
	m->blob_n += n;
	if (m->n * 2 > m->nslots)
		index_all(m, RK_MAX(2 * m->nslots, 4096));
	else
		m->slots[slot_of(m, s, n)] = (int32_t)m->n - 1;
}

static bool
count(void *ctx, const struct word *w)
{
	struct text_maker *m = ctx;
	const size_t n = w->at[w->n];

	if (w->too_long)
		return true;
	m->words++;
	const int32_t i = m->nslots == 0 ? -1 : m->slots[slot_of(m, w->s, n)];
	if (i >= 0)
		m->v[i].times++;
	else
		add_word(m, w->s, n);
	return true;
}

void
text_maker_add(struct text_maker *m, const char *s, size_t n)
{
	words_of(&m->o, s, n, count, m);
}

/* --- the file ------------------------------------------------------------- */

static int
by_count(const void *a, const void *b, void *blob)
{
	const struct counted *x = a, *y = b;
	const char *s = blob;

	if (x->times != y->times)
		return x->times > y->times ? -1 : 1;
	const int c = memcmp(s + x->at, s + y->at, RK_MIN(x->len, y->len));
	return c != 0 ? c : (x->len > y->len) - (x->len < y->len);
}

int64_t
text_maker_end(struct text_maker *m, int64_t size, struct strbuf *out)
{
	struct vocabulary v = {0};

	must(size >= TEXT_LEAST_SIZE && size <= TEXT_MAX_TOKENS);
	for (size_t i = 0; i < RK_ARRAY_LEN(special_words); i++)
		vocabulary_add(&v, special_words[i], strlen(special_words[i]));
	if (m->n > 0)
		qsort_r(m->v, m->n, sizeof(*m->v), by_count, m->blob);
	if (m->o.kind == TEXT_WORDPIECE)
		merge_words(m->v, m->n, m->blob, size, &v);
	for (size_t i = 0; m->o.kind == TEXT_WORDS && i < m->n &&
	    v.n < size; i++)
		vocabulary_add(&v, m->blob + m->v[i].at, m->v[i].len);
	for (int32_t i = 0; i < v.n; i++) {
		size_t n;
		const char *s = vocabulary_at(&v, i, &n);
		sb_add(out, s, n);
		sb_addc(out, '\n');
	}
	const int64_t n = v.n;
	vocabulary_fini(&v);
	return n;
}
