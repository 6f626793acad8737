/*
 * The vocabulary of kind wordpiece: pairs of neighbours become tokens, the most
 * frequent first, as text.h says.
 *
 * A word is a list of symbols.  Each pair has its count over all words, and the
 * words in which it has been (some may have lost it since).  A heap gives the
 * best pair: what it holds of a pair is at least the pair's count, as a rise
 * puts it in again and a fall is seen when it comes out on top.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define SYMBOL_MAX (4 * TEXT_MAX_WORD + 2)

struct spelled {
	size_t at;                      /* of its symbols, in `symbols` */
	int n;
	int64_t times;
};
struct pair {
	int32_t a, b;
	int64_t times;
	uint32_t *words;
	uint32_t n, cap;
	uint32_t round;                 /* of the last merge that raised it */
};
struct entry {
	int64_t times;
	uint32_t pair;
};
struct merging {
	struct vocabulary *out;         /* symbols are its numbers */
	int64_t size;
	struct spelled *words;
	size_t nwords;
	int32_t *symbols;
	struct pair *pairs;
	size_t npairs, pairs_cap;
	int32_t *slots;                 /* numbers of pairs, -1: free */
	size_t nslots;
	struct entry *heap;
	size_t nheap, heap_cap;
	uint32_t *raised;               /* pairs that this merge has raised */
	size_t nraised, raised_cap;
	uint32_t round;
};

/* --- pairs ---------------------------------------------------------------- */

static size_t
slot_of(const struct merging *m, int32_t a, int32_t b)
{
	const int32_t key[2] = { a, b };
	size_t k = rk_hash64(0, key, sizeof(key)) & (m->nslots - 1);

	while (m->slots[k] >= 0 && (m->pairs[m->slots[k]].a != a ||
	    m->pairs[m->slots[k]].b != b))
		k = (k + 1) & (m->nslots - 1);
	return k;
}

static void
grow_slots(struct merging *m)
{
	m->nslots = RK_MAX(2 * m->nslots, 4096);
	m->slots = xrealloc(m->slots, m->nslots * sizeof(*m->slots));
	memset(m->slots, 0xff, m->nslots * sizeof(*m->slots));
	for (size_t i = 0; i < m->npairs; i++)
		m->slots[slot_of(m, m->pairs[i].a, m->pairs[i].b)] =
		    (int32_t)i;
}

static uint32_t
pair_of(struct merging *m, int32_t a, int32_t b)
{
	if (m->npairs * 2 >= m->nslots)
		grow_slots(m);
	const size_t k = slot_of(m, a, b);
	if (m->slots[k] >= 0)
		return (uint32_t)m->slots[k];
	if (m->npairs == m->pairs_cap) {
		m->pairs_cap = RK_MAX(2 * m->pairs_cap, 1024);
		m->pairs = xrealloc(m->pairs, m->pairs_cap * sizeof(*m->pairs));
	}
	must(m->npairs < INT32_MAX);
	m->pairs[m->npairs] = (struct pair){ .a = a, .b = b };
	m->slots[k] = (int32_t)m->npairs;
	return (uint32_t)m->npairs++;
}

static void
note_word(struct pair *p, uint32_t word)
{
	if (p->n > 0 && p->words[p->n - 1] == word)
		return;
	if (p->n == p->cap) {
		p->cap = RK_MAX(2 * p->cap, 2u);
		p->words = xrealloc(p->words, p->cap * sizeof(*p->words));
	}
	p->words[p->n++] = word;
}

/* What a pair would become: its text, of so many bytes. */
static size_t
joined(const struct merging *m, int32_t a, int32_t b, char text[2 * SYMBOL_MAX])
{
	size_t na, nb;
	const char *s = vocabulary_at(m->out, a, &na);
	const char *t = vocabulary_at(m->out, b, &nb);

	/* b goes on, so it begins with "##". */
	memcpy(text, s, na);
	memcpy(text + na, t + 2, nb - 2);
	return na + nb - 2;
}

/* --- the heap ------------------------------------------------------------- */

static bool
better(const struct merging *m, struct entry x, struct entry y)
{
	char s[2 * SYMBOL_MAX], t[2 * SYMBOL_MAX];
	const struct pair *p = &m->pairs[x.pair], *q = &m->pairs[y.pair];

	if (x.times != y.times)
		return x.times > y.times;
	if (x.pair == y.pair)
		return false;
	const size_t n = joined(m, p->a, p->b, s), k = joined(m, q->a, q->b, t);
	const int c = memcmp(s, t, RK_MIN(n, k));
	if (c != 0 || n != k)
		return c != 0 ? c < 0 : n < k;
	/* The same token in two ways: the shorter first half. */
	return p->a != q->a ? p->a < q->a : p->b < q->b;
}

static void
push(struct merging *m, uint32_t pair)
{
	const struct entry e = { m->pairs[pair].times, pair };
	size_t i = m->nheap;

	if (m->nheap == m->heap_cap) {
		m->heap_cap = RK_MAX(2 * m->heap_cap, 1024);
		m->heap = xrealloc(m->heap, m->heap_cap * sizeof(*m->heap));
	}
	m->nheap++;
	for (; i > 0 && better(m, e, m->heap[(i - 1) / 2]); i = (i - 1) / 2)
		m->heap[i] = m->heap[(i - 1) / 2];
	m->heap[i] = e;
}

static struct entry
pop(struct merging *m)
{
	const struct entry top = m->heap[0], e = m->heap[--m->nheap];
	size_t i = 0;

	for (size_t k; (k = 2 * i + 1) < m->nheap; i = k) {
		if (k + 1 < m->nheap && better(m, m->heap[k + 1], m->heap[k]))
			k++;
		if (!better(m, m->heap[k], e))
			break;
		m->heap[i] = m->heap[k];
	}
	m->heap[i] = e;
	return top;
}

/* --- merging -------------------------------------------------------------- */

static void
note_raised(struct merging *m, uint32_t pair)
{
	if (m->nraised == m->raised_cap) {
		m->raised_cap = RK_MAX(2 * m->raised_cap, 1024);
		m->raised = xrealloc(m->raised,
		    m->raised_cap * sizeof(*m->raised));
	}
	m->pairs[pair].round = m->round;
	m->raised[m->nraised++] = pair;
}

static void
push_raised(struct merging *m)
{
	for (size_t i = 0; i < m->nraised; i++)
		push(m, m->raised[i]);
	m->nraised = 0;
	m->round++;
}

/* A word's pairs come (sign 1) or go; of those that come the ones with the
 * symbol `made`, or all (-1), are new there. */
static void
count_pairs(struct merging *m, uint32_t word, int sign, int32_t made)
{
	const struct spelled *w = &m->words[word];
	const int32_t *s = m->symbols + w->at;

	for (int i = 0; i + 1 < w->n; i++) {
		const uint32_t k = pair_of(m, s[i], s[i + 1]);
		struct pair *p = &m->pairs[k];
		p->times += sign * w->times;
		if (sign < 0 || (made >= 0 && s[i] != made &&
		    s[i + 1] != made))
			continue;
		note_word(p, word);
		if (p->round != m->round)
			note_raised(m, k);
	}
}

/* a b becomes c in a word, if a b is there still. */
static void
rewrite(struct merging *m, uint32_t word, int32_t a, int32_t b, int32_t c)
{
	struct spelled *w = &m->words[word];
	int32_t *s = m->symbols + w->at;
	int n = 0, i = 0;

	while (i + 1 < w->n && (s[i] != a || s[i + 1] != b))
		i++;
	if (i + 1 >= w->n)
		return;
	count_pairs(m, word, -1, -1);
	for (i = 0; i < w->n; n++) {
		const bool here = i + 1 < w->n && s[i] == a && s[i + 1] == b;
		s[n] = here ? c : s[i];
		i += here ? 2 : 1;
	}
	w->n = n;
	count_pairs(m, word, 1, c);
}

static void
merge(struct merging *m, uint32_t best)
{
	const int32_t a = m->pairs[best].a, b = m->pairs[best].b;
	uint32_t *words = m->pairs[best].words;
	const uint32_t n = m->pairs[best].n;
	char text[2 * SYMBOL_MAX];
	const size_t len = joined(m, a, b, text);
	int32_t c = vocabulary_find(m->out, text, len);

	if (c < 0)
		c = vocabulary_add(m->out, text, len);
	/* The array of pairs may move meanwhile, this list stays. */
	m->pairs[best].words = NULL;
	m->pairs[best].n = m->pairs[best].cap = 0;
	for (uint32_t i = 0; i < n; i++)
		rewrite(m, words[i], a, b, c);
	free(words);
	push_raised(m);
}

static void
merge_all(struct merging *m)
{
	m->round = 1;
	for (uint32_t w = 0; w < m->nwords; w++)
		count_pairs(m, w, 1, -1);
	push_raised(m);
	while (m->nheap > 0 && m->out->n < m->size) {
		const struct entry e = pop(m);
		if (m->pairs[e.pair].times < 2)
			continue;
		if (e.times != m->pairs[e.pair].times)
			push(m, e.pair);
		else
			merge(m, e.pair);
	}
}

/* --- characters ----------------------------------------------------------- */

/* The symbol of the character at *at of a word, and on to the next. */
static size_t
symbol_text(const char *s, size_t *at, char text[8])
{
	const size_t skip = *at > 0 ? 2 : 0;
	size_t len;

	(void)uc_read(s + *at, &len);
	memcpy(text, "##", 2);
	memcpy(text + skip, s + *at, len);
	*at += len;
	return skip + len;
}

struct letter {
	const char *s;
	size_t n;
	bool goes_on;
	uint64_t times;
};

/* Those that begin words before those that go on. */
static int
by_text(const void *a, const void *b)
{
	const struct letter *x = a, *y = b;
	const int c = memcmp(x->s, y->s, RK_MIN(x->n, y->n));

	if (x->goes_on != y->goes_on)
		return x->goes_on ? 1 : -1;
	return c != 0 ? c : (x->n > y->n) - (x->n < y->n);
}

static int
by_times(const void *a, const void *b)
{
	const struct letter *x = a, *y = b;

	if (x->times != y->times)
		return x->times > y->times ? -1 : 1;
	return by_text(a, b);
}

/* All characters by their place in a word, with how often each is there. */
static struct letter *
count_letters(const struct counted *v, size_t n, const char *blob,
    struct vocabulary *all)
{
	struct letter *l = NULL;
	size_t cap = 0;
	char text[8];

	for (size_t i = 0; i < n; i++)
		for (size_t at = 0; at < v[i].len;) {
			const bool goes_on = at > 0;
			const size_t len = symbol_text(blob + v[i].at, &at,
			    text);
			int32_t k = vocabulary_find(all, text, len);
			if (k < 0) {
				k = vocabulary_add(all, text, len);
				if ((size_t)k == cap) {
					cap = RK_MAX(2 * cap, 1024);
					l = xrealloc(l, cap * sizeof(*l));
				}
				l[k] = (struct letter){ .goes_on = goes_on };
			}
			l[k].times += v[i].times;
		}
	return l;
}

/* Their symbols into the vocabulary, as many as there is room for. */
static void
add_letters(const struct counted *v, size_t n, const char *blob, int64_t size,
    struct vocabulary *out)
{
	struct vocabulary all = {0};
	struct letter *l = count_letters(v, n, blob, &all);
	const size_t most = RK_MIN((size_t)all.n, (size_t)(size - out->n));

	for (int32_t i = 0; i < all.n; i++)
		l[i].s = vocabulary_at(&all, i, &l[i].n);
	if (all.n > 0) {
		qsort(l, (size_t)all.n, sizeof(*l), by_times);
		qsort(l, most, sizeof(*l), by_text);
	}
	for (size_t i = 0; i < most; i++)
		vocabulary_add(out, l[i].s, l[i].n);
	free(l);
	vocabulary_fini(&all);
}

/* --- words ---------------------------------------------------------------- */

/* False: it has a character that is no symbol. */
static bool
spell(struct merging *m, const struct counted *c, const char *blob, size_t *used)
{
	struct spelled *w = &m->words[m->nwords];
	char text[8];

	*w = (struct spelled){ .at = *used, .times = (int64_t)c->times };
	for (size_t at = 0; at < c->len;) {
		const size_t len = symbol_text(blob + c->at, &at, text);
		const int32_t k = vocabulary_find(m->out, text, len);
		if (k < 0)
			return false;
		m->symbols[*used + (size_t)w->n++] = k;
	}
	*used += (size_t)w->n;
	m->nwords++;
	return true;
}

void
merge_words(const struct counted *v, size_t n, const char *blob, int64_t size,
    struct vocabulary *out)
{
	struct merging m = { .out = out, .size = size };
	size_t bytes = 0, used = 0;

	add_letters(v, n, blob, size, out);
	n = RK_MIN(n, TEXT_MAX_MERGED);
	for (size_t i = 0; i < n; i++)
		bytes += v[i].len;
	m.words = xcalloc(n + 1, sizeof(*m.words));
	m.symbols = xcalloc(bytes + 1, sizeof(*m.symbols));
	for (size_t i = 0; i < n; i++)
		(void)spell(&m, &v[i], blob, &used);
	merge_all(&m);
	for (size_t i = 0; i < m.npairs; i++)
		free(m.pairs[i].words);
	free(m.pairs);
	free(m.slots);
	free(m.heap);
	free(m.raised);
	free(m.words);
	free(m.symbols);
}
