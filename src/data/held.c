/*
 * Data sets in memory: made, freed, asked.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "held.h"
#include "lazy.h"
#include "rekindle/kernel.h"

#define HELD_TAG 0x68656c64u

/* Numbers of a batch that one piece gathers.  Shuffled samples lie anywhere in
 * memory, so a piece of these takes some microseconds, and sharing them out
 * pays from the second on. */
#define PIECE ((int64_t)16 << 10)

struct held *
held_new(const char *what)
{
	struct held *h = xcalloc(1, sizeof(*h));

	h->tag = HELD_TAG;
	h->separator = h->mask = -1;
	for (size_t i = 1; i < RK_ARRAY_LEN(h->special); i++)
		h->special[i] = -1;     /* [0] is 0, what fills up */
	h->what = xstrdup(what);
	h->labels_what = xstrdup(what);
	return h;
}

void
held_free(struct held *h)
{
	if (h == NULL)
		return;
	must_be(h, HELD_TAG);
	for (size_t i = 0; h->names != NULL && i < h->ncolumns; i++)
		free(h->names[i]);
	free(h->names);
	for (int64_t i = 0; h->class_names != NULL && i < h->nclasses; i++)
		free(h->class_names[i]);
	free(h->class_names);
	for (size_t i = 0; i < h->nremarks; i++)
		free(h->remarks[i]);
	free(h->remarks);
	free(h->many_from);
	free(h->many);
	lazy_drop(h);
	for (size_t i = 0; i < h->nparts; i++)
		free(h->parts[i].what);
	free(h->parts);
	free(h->what);
	free(h->labels_what);
	free(h->bytes);
	free(h->floats);
	free(h->tokens);
	free(h->classes);
	free(h->targets);
	free(h->origin);
	free(h->identity);
	free(h->bucket);
	free(h->pub.scale);
	free(h->pub.shift);
	h->tag = 0;
	free(h);
}

struct held *
held_of(const struct data_set *d)
{
	struct held *h = (struct held *)(uintptr_t)d;

	must_be(h, HELD_TAG);
	return h;
}

enum rk_err
held_end(struct held *h, struct format_source *in, enum rk_err rc,
    struct held **out, struct rk_why *why)
{
	if (rc == RK_OK)
		rc = format_source_end(in, why);
	if (rc != RK_OK) {
		held_free(h);
		return rc;
	}
	*out = h;
	return RK_OK;
}

void
data_close(struct data_set *d)
{
	if (d != NULL)
		held_free(held_of(d));
}

void
held_remark(struct held *h, const char *fmt, ...)
{
	struct strbuf b = { 0 };
	va_list ap;

	va_start(ap, fmt);
	sb_vaddf(&b, fmt, ap);
	va_end(ap);
	h->remarks = xrealloc(h->remarks, (h->nremarks + 1) *
	    sizeof(*h->remarks));
	h->remarks[h->nremarks++] = rk_text_clean(sb_detach(&b));
}

const char *const *
data_remarks(const struct data_set *d, size_t *n)
{
	const struct held *h = held_of(d);

	*n = h->nremarks;
	return (const char *const *)h->remarks;
}

enum rk_err
held_grow(void *pp, uint64_t count, size_t size, const char *what,
    struct rk_why *why)
{
	char text[RK_HUMAN];
	size_t n;
	void *p;

	if (!rk_mul((size_t)count, size, &n) || n > DATA_MAX_BYTES)
		return rk_refuse(why, "%s: would take more than %s of memory",
		    what, rk_human_bytes(text, DATA_MAX_BYTES));
	p = realloc(*(void **)pp, n > 0 ? n : 1);
	if (p == NULL) {
		rk_refuse(why, "%s: needs %s of memory, and there is none",
		    what, rk_human_bytes(text, n));
		return RK_ENOMEM;
	}
	*(void **)pp = p;
	return RK_OK;
}

enum rk_err
held_alloc(void *pp, uint64_t count, size_t size, const char *what,
    struct rk_why *why)
{
	void *p = NULL;
	enum rk_err rc = held_grow(&p, count, size, what, why);

	if (rc == RK_OK)
		*(void **)pp = p;
	return rc;
}

size_t
data_sample_bytes(const struct data_set *d)
{
	_Static_assert(sizeof(float) == sizeof(int32_t), "of one size");
	return (size_t)d->width * (d->bytes != NULL ? 1 : sizeof(float));
}

/* Where they are kept. */
static void **
place_of(const struct held *h)
{
	struct held *w = (struct held *)(uintptr_t)h;

	return w->bytes != NULL ? (void **)&w->bytes :
	    w->floats != NULL ? (void **)&w->floats : (void **)&w->tokens;
}

uint8_t *
held_samples(const struct held *h)
{
	return *place_of(h);
}

static void
publish(struct held *h)
{
	h->pub.bytes = h->bytes;
	h->pub.floats = h->floats;
	h->pub.tokens = h->tokens;
}

void
held_shrink(struct held *h)
{
	const size_t n = (size_t)h->pub.n;
	void **at = place_of(h), *p;

	/* A block that cannot shrink stays. */
	if (h->lazy == NULL && (p = realloc(*at, n * data_sample_bytes(&h->pub))) != NULL)
		*at = p;
	if ((p = realloc(h->targets, n * sizeof(float))) != NULL)
		h->targets = p;
	publish(h);
}

static void
copy_parts(struct held *to, const struct held *from)
{
	if (from->nparts == 0)
		return;
	to->parts = xcalloc(from->nparts, sizeof(*to->parts));
	for (size_t i = 0; i < from->nparts; i++) {
		to->parts[i] = from->parts[i];
		to->parts[i].what = xstrdup(from->parts[i].what);
	}
	to->nparts = from->nparts;
}

enum rk_err
held_like(const struct held *all, int64_t n, struct held **out,
    struct rk_why *why)
{
	const size_t size = data_sample_bytes(&all->pub);
	struct held *h = held_new(all->what);

	free(h->labels_what);
	h->labels_what = xstrdup(all->labels_what);
	h->first_line = all->first_line;
	h->by_channel = all->by_channel;
	h->by_feature = all->by_feature;
	copy_parts(h, all);
	labels_copy_names(h, all);
	h->separator = all->separator;
	h->mask = all->mask;
	memcpy(h->special, all->special, sizeof(h->special));
	if (all->lazy != NULL) {
		lazy_hold(h, all->lazy);
		h->shares = true;
	}
	h->pub.n = n;
	h->pub.ndim = all->pub.ndim;
	h->pub.width = all->pub.width;
	h->pub.vocabulary = all->pub.vocabulary;
	memcpy(h->pub.d, all->pub.d, sizeof(h->pub.d));
	*out = h;
	void *p = NULL;
	enum rk_err rc = all->lazy != NULL ? RK_OK :
	    held_alloc(&p, (uint64_t)n, size, h->what, why);
	if (all->bytes != NULL)
		h->bytes = p;
	else if (all->floats != NULL)
		h->floats = p;
	else
		h->tokens = p;
	publish(h);
	if (rc == RK_OK)
		rc = held_alloc(&h->targets, (uint64_t)n, sizeof(float),
		    h->what, why);
	return rc;
}

static bool
is_class(float t)
{
	return t >= 0 && t < DATA_MAX_CLASSES && t == (float)(int32_t)t;
}

enum rk_err
held_find_classes(struct held *h, struct rk_why *why)
{
	const int64_t n = h->pub.n;
	int32_t most = 0;
	enum rk_err rc;

	h->pub.targets = h->targets;
	h->pub.classes = NULL;
	h->pub.nclasses = h->nclasses;
	h->pub.names = (const char *const *)h->class_names;
	h->pub.many_from = h->many_from;
	h->pub.many = h->many;
	if (h->many_from != NULL)
		return RK_OK;
	for (int64_t i = 0; i < n; i++) {
		if (!is_class(h->targets[i]))
			return RK_OK;
		most = RK_MAX(most, (int32_t)h->targets[i]);
	}
	rc = held_alloc(&h->classes, (uint64_t)n, sizeof(*h->classes),
	    h->labels_what, why);
	if (rc != RK_OK)
		return rc;
	for (int64_t i = 0; i < n; i++)
		h->classes[i] = (int32_t)h->targets[i];
	h->pub.classes = h->classes;
	h->pub.nclasses = RK_MAX((int64_t)most + 1, h->nclasses);
	return RK_OK;
}

/* The file of a sample's label, and its number in there. */
static const char *
file_of(const struct held *h, int64_t *at)
{
	for (size_t i = 0; i < h->nparts; i++) {
		if (*at < h->parts[i].n)
			return h->parts[i].what;
		*at -= h->parts[i].n;
	}
	return h->labels_what;
}

/* Whole numbers that a float does not tell apart are none to be shown. */
static void
label_text(char out[32], float label)
{
	const float most = 1 << 24;

	if (label >= most || label <= -most)
		snprintf(out, 32, "%s", label > 0 ? "above 16777215" :
		    "below -16777215");
	else
		snprintf(out, 32, "%.9g", (double)label);
}

enum rk_err
data_check_classes(const struct data_set *d, int64_t outputs, int64_t but,
    struct rk_why *why)
{
	const struct held *h = held_of(d);
	int64_t i = 0;

	if ((d->classes != NULL || d->many_from != NULL) &&
	    d->nclasses <= outputs)
		return RK_OK;
	if (d->many_from != NULL)
		return rk_refuse(why, "%s: the labels are 0 to %lld, and the "
		    "network has %lld outputs", h->labels_what,
		    (long long)d->nclasses - 1, (long long)outputs);
	while (i < d->n && is_class(h->targets[i]) &&
	    (h->targets[i] < (float)outputs ||
	    (but >= 0 && h->targets[i] == (float)but)))
		i++;
	if (i == d->n && (d->names == NULL || but >= 0))
		return RK_OK;           /* the largest is the one left out */
	if (d->names != NULL)
		return rk_refuse(why, "%s: has %lld classes, %s to %s, and the "
		    "network has %lld outputs", h->what,
		    (long long)d->nclasses, d->names[0],
		    d->names[d->nclasses - 1], (long long)outputs);
	int64_t at = h->origin != NULL ? (int64_t)h->origin[i] : i;
	char label[32];
	const char *what = file_of(h, &at);
	label_text(label, h->targets[i]);
	if (h->first_line > 0)
		return rk_refuse(why, "%s: line %lld: the label is %s, want "
		    "0 to %lld, for the network has %lld output%s",
		    what, (long long)at + (long long)h->first_line, label,
		    (long long)outputs - 1, (long long)outputs, rk_s(outputs));
	return rk_refuse(why, "%s: the label of sample %lld (from 0) is %s, "
	    "want 0 to %lld, for the network has %lld output%s", what,
	    (long long)at, label, (long long)outputs - 1, (long long)outputs,
	    rk_s(outputs));
}

int64_t
data_at(const struct data_set *d, uint64_t seed, int64_t epoch, bool shuffle,
    int64_t i)
{
	must(i >= 0 && i < d->n && epoch >= 0);
	if (!shuffle)
		return i;
	return (int64_t)rk_permute(seed, (uint64_t)epoch, (uint64_t)d->n,
	    (uint64_t)i);
}

/* --- batches ------------------------------------------------------------ */

struct gather {
	const struct data_set *d;
	const int64_t *which;
	int64_t count, rows;            /* rows of a piece */
	float *x, *t;
	int32_t *ids, *y;               /* ids: x of tokens */
};

void
held_normalize(const struct data_set *d, const uint8_t *b, const float *f,
    float *x)
{
	const size_t width = (size_t)d->width, parts = (size_t)d->nnorm;

	if (parts == width && b != NULL) {
		kernel_bytes_affine_each(x, b, width, d->scale, d->shift);
		return;
	}
	if (parts == width) {
		kernel_floats_affine_each(x, f, width, d->scale, d->shift);
		return;
	}
	for (size_t c = 0, k = 0; c < parts; c++, k += width / parts)
		if (b != NULL)
			kernel_bytes_affine(x + k, b + k, width / parts,
			    d->scale[c], d->shift[c]);
		else
			kernel_floats_affine(x + k, f + k, width / parts,
			    d->scale[c], d->shift[c]);
}

/* Samples lie anywhere in memory, and a CPU cannot guess where the next one is:
 * ask for its beginning while those before it are worked on.  (A function that
 * does nothing else would be taken for one without effect.) */
static inline __attribute__((always_inline)) void
expect_row(const struct data_set *d, int64_t at)
{
	enum { LINE = 64, MOST = 2048 };
	const size_t each = d->bytes != NULL ? 1 : 4;
	const size_t off = (size_t)at * (size_t)d->width * each;
	const char *row = d->bytes != NULL ? (const char *)d->bytes :
	    d->floats != NULL ? (const char *)d->floats :
	    (const char *)d->tokens;

	if (row == NULL)
		return;
	for (size_t k = 0; k < RK_MIN((size_t)d->width * each, MOST); k += LINE)
		__builtin_prefetch(row + off + k);
	if (d->classes != NULL)
		__builtin_prefetch(d->classes + at);
}

static void
gather_row(const struct data_set *d, int64_t at, float *x)
{
	const size_t off = (size_t)at * (size_t)d->width;

	held_normalize(d, d->bytes != NULL ? d->bytes + off : NULL,
	    d->bytes != NULL ? NULL : d->floats + off, x);
}

static void
gather_piece(void *ctx, size_t piece)
{
	enum { AHEAD = 2 };
	const struct gather *g = ctx;
	const int64_t from = (int64_t)piece * g->rows;
	const int64_t to = RK_MIN(from + g->rows, g->count);

	for (int64_t i = from; i < to; i++) {
		int64_t at = g->which[i];

		if (i + AHEAD < to)
			expect_row(g->d, g->which[i + AHEAD]);
		must(at >= 0 && at < g->d->n);
		if (g->x != NULL)
			gather_row(g->d, at, g->x + i * g->d->width);
		if (g->ids != NULL)
			memcpy(g->ids + i * g->d->width,
			    g->d->tokens + at * g->d->width,
			    (size_t)g->d->width * sizeof(*g->ids));
		if (g->y != NULL)
			g->y[i] = g->d->classes[at];
		if (g->t != NULL)
			g->t[i] = g->d->targets[at];
	}
}

static void
gather(struct gather *g)
{
	const struct data_set *d = g->d;

	must((g->x == NULL && g->ids == NULL) || d->width > 0);
	must(g->x == NULL || d->tokens == NULL);
	must(g->ids == NULL || d->tokens != NULL);
	must(g->y == NULL || d->classes != NULL);
	g->rows = RK_MAX(PIECE / RK_MAX(d->width, 1), 1);
	if (g->count <= g->rows)
		gather_piece(g, 0);
	else
		kernel_for((size_t)((g->count + g->rows - 1) / g->rows),
		    gather_piece, g);
}

void
data_gather(const struct data_set *d, const int64_t *which, int64_t count,
    float *x, int32_t *y, float *t)
{
	struct gather g = {
		.d = d, .which = which, .count = count, .x = x, .t = t, .y = y,
	};

	gather(&g);
}

void
data_gather_tokens(const struct data_set *d, const int64_t *which,
    int64_t count, int32_t *x, int32_t *y, float *t)
{
	struct gather g = {
		.d = d, .which = which, .count = count, .ids = x, .t = t,
		.y = y,
	};

	gather(&g);
}
