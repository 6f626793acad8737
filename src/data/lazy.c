/* Samples that are read when a batch needs them: see lazy.h. */
#include <stdlib.h>

#include "held.h"
#include "lazy.h"
#include "transform.h"

int64_t
lazy_at(const struct data_set *d, int64_t i)
{
	const struct held *h = held_of(d);

	must(d->lazy != NULL && i >= 0 && i < d->n);
	return h->origin != NULL ? (int64_t)h->origin[i] : i;
}

enum rk_err
lazy_get(const struct data_set *d, void *scratch, int64_t i,
    const struct data_key *k, void *x, struct lazy_got *got,
    struct rk_why *why)
{
	const struct data_lazy *z = d->lazy;

	*got = (struct lazy_got){ 0 };
	return z->ops->get(z, d, scratch, lazy_at(d, i), k, x, got, why);
}

void
lazy_identify(const struct data_set *d, int64_t i, bool size,
    struct lazy_id *id)
{
	const struct data_lazy *z = d->lazy;

	*id = (struct lazy_id){ 0 };
	z->ops->identify(z, lazy_at(d, i), size, id);
}

void
lazy_hold(struct held *h, struct data_lazy *z)
{
	atomic_fetch_add(&z->sets, 1);
	h->lazy = z;
	h->pub.lazy = z;
}

void
lazy_drop(struct held *h)
{
	struct data_lazy *z = h->lazy;

	h->lazy = NULL;
	h->pub.lazy = NULL;
	if (z != NULL && atomic_fetch_sub(&z->sets, 1) == 1)
		z->ops->free(z);
}

uint64_t
data_bytes(const struct data_set *d)
{
	const struct held *h = held_of(d);
	const uint64_t n = (uint64_t)d->n;
	uint64_t each = sizeof(int32_t) + sizeof(float);

	if (d->lazy == NULL)
		return n * (data_sample_bytes(d) + each);
	if (h->origin != NULL)
		each += sizeof(*h->origin);
	if (h->identity != NULL)
		each += sizeof(*h->identity);
	if (d->many_from != NULL)
		each += sizeof(*d->many_from);
	if (d->bucket != NULL)
		each += sizeof(*d->bucket);
	/* What sets share counts for the one that has most of it. */
	return n * each + (h->shares ? 0 : d->lazy->index_bytes) +
	    (d->many_from != NULL ? (uint64_t)d->many_from[d->n] *
	    sizeof(*d->many) : 0);
}

char *
data_sample_name(const struct data_set *d, int64_t i)
{
	struct lazy_id id = { 0 };

	if (d->lazy != NULL)
		lazy_identify(d, i, false, &id);
	if (id.path != NULL)
		return xstrdup(id.path);
	return id.file != NULL ? xasprintf("%s: line %llu", id.file,
	    (unsigned long long)id.line) : xasprintf("sample %lld",
	    (long long)i);
}

int64_t
data_sample_line(const struct data_set *d, int64_t i)
{
	struct lazy_id id = { 0 };

	if (d->lazy != NULL)
		lazy_identify(d, i, false, &id);
	return (int64_t)id.line;
}

bool
data_knows_content(const struct data_set *d)
{
	return d->lazy == NULL || d->lazy->knows;
}

uint64_t
data_reading(const struct data_set *d)
{
	return d->lazy != NULL ? d->lazy->reading : 0;
}

const char *
data_decoder(const struct data_set *d)
{
	return d->lazy != NULL ? d->lazy->decoder : NULL;
}

bool
data_is_pixels(const struct data_set *d)
{
	return d->lazy != NULL ? d->lazy->pixels : d->bytes != NULL;
}

bool
data_mixes(const struct data_set *d)
{
	return d->lazy != NULL && d->lazy->mixes != NULL;
}

void
data_mixture_at(const struct data_set *d, uint64_t seed, int64_t epoch,
    int64_t from, struct data_mixture *out)
{
	const struct transform_key k = { seed, epoch, from };

	must(data_mixes(d));
	transform_mixture(d->lazy->mixes, &k, out);
}
