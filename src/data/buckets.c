/* Sequences by their lengths: data.h has what buckets are. */
#include <stdlib.h>

#include "held.h"
#include "lazy.h"
#include "rekindle/kernel.h"

#define PIECE ((int64_t)256)            /* samples that a thread counts at a
					   time */

struct counting {
	const struct held *h;
	uint8_t *bucket;
	struct piece {
		enum rk_err rc;
		struct rk_why why;
	} *pieces;
};

static uint8_t
bucket_of(const struct data_set *d, int64_t tokens)
{
	int b = 0;

	while (b < d->nlengths - 1 && d->lengths[b] < tokens)
		b++;
	return (uint8_t)b;
}

static void
count_piece(void *ctx, size_t i)
{
	const struct counting *c = ctx;
	const struct data_set *d = &c->h->pub;
	const struct lazy_ops *ops = d->lazy->ops;
	const struct data_key k = { .train = false };
	struct piece *p = &c->pieces[i];
	const int64_t from = (int64_t)i * PIECE, to = RK_MIN(from + PIECE, d->n);
	void *scratch = ops->scratch_new(d->lazy);
	int32_t *ids = xcalloc((size_t)d->width, sizeof(*ids));
	struct lazy_got got;

	for (int64_t s = from; s < to && p->rc == RK_OK; s++) {
		p->rc = lazy_get(d, scratch, s, &k, ids, &got, &p->why);
		c->bucket[s] = bucket_of(d, got.tokens);
	}
	free(ids);
	ops->scratch_free(scratch);
}

/* The first fault of the first piece that has one. */
static enum rk_err
collect(struct counting *c, size_t n, struct rk_why *why)
{
	enum rk_err rc = RK_OK;

	for (size_t i = 0; i < n; i++) {
		if (rc == RK_OK && c->pieces[i].rc != RK_OK) {
			rc = c->pieces[i].rc;
			rk_refuse(why, "%s", rk_why_first(&c->pieces[i].why));
		}
		rk_why_fini(&c->pieces[i].why);
	}
	free(c->pieces);
	return rc;
}

enum rk_err
buckets_find(struct held *h, const struct spec_source *s, struct rk_why *why)
{
	struct data_set *d = &h->pub;
	const size_t n = (size_t)((d->n + PIECE - 1) / PIECE);
	struct counting c = { .h = h };

	if (s->type != SPEC_TEXT || s->text.nbuckets == 0)
		return RK_OK;
	for (int i = 0; i < s->text.nbuckets; i++)
		d->lengths[i] = s->text.buckets[i];
	d->lengths[s->text.nbuckets] = d->width;
	d->nlengths = s->text.nbuckets + 1;
	enum rk_err rc = held_alloc(&h->bucket, (uint64_t)d->n, 1, h->what,
	    why);
	if (rc != RK_OK)
		return rc;
	d->bucket = c.bucket = h->bucket;
	c.pieces = xcalloc(n, sizeof(*c.pieces));
	kernel_for(n, count_piece, &c);
	return collect(&c, n, why);
}

int64_t
data_length(const struct data_set *d, int64_t i)
{
	must(i >= 0 && i < d->n);
	return d->nlengths > 0 ? d->lengths[d->bucket[i]] : d->d[0];
}

int64_t
data_batches(const struct data_set *d, int64_t batch, bool drop_last)
{
	int64_t some[SPEC_MAX_BUCKETS] = { 0 }, n = 0;

	if (d->nlengths == 0)
		return drop_last ? d->n / batch : (d->n + batch - 1) / batch;
	for (int64_t i = 0; i < d->n; i++)
		some[d->bucket[i]]++;
	for (int b = 0; b < d->nlengths; b++)
		n += drop_last ? some[b] / batch : (some[b] + batch - 1) /
		    batch;
	return n;
}
