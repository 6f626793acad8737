/* In which order an epoch has its samples: data.h has the formulas. */
#include <stdlib.h>
#include <string.h>

#include "held.h"

#define ORDER_TAG 0x6f726472u

/* Streams of a seed. */
enum { KEY_ROUND = 0x726f756e, KEY_CLASS = 0x636c6173 };

struct data_order {
	unsigned tag;
	const struct data_set *d;
	uint64_t seed;
	bool shuffle;
	/* balanced: the samples of each class that has some, one class behind
	 * the other; else NULL. */
	uint32_t *members;
	int64_t *from;                  /* [nclasses + 1] */
	int64_t nclasses;               /* that have some */
	int64_t rounds;                 /* of an epoch, the last maybe not whole */
	uint64_t key_round;
};

static uint64_t
key_of(uint64_t seed, uint64_t what, uint64_t class)
{
	const uint64_t words[2] = { what, class };

	return rk_hash64(seed, words, sizeof(words));
}

/* By counting: count[c] becomes where class c begins among those that are. */
static enum rk_err
sort_members(struct data_order *o, struct rk_why *why)
{
	const struct data_set *d = o->d;
	const struct held *h = held_of(d);
	int64_t *next = NULL, at = 0;
	enum rk_err rc = held_alloc(&next, (uint64_t)d->nclasses,
	    sizeof(*next), h->what, why);

	if (rc == RK_OK)
		rc = held_alloc(&o->from, (uint64_t)d->nclasses + 1,
		    sizeof(*o->from), h->what, why);
	if (rc == RK_OK)
		rc = held_alloc(&o->members, (uint64_t)d->n,
		    sizeof(*o->members), h->what, why);
	if (rc != RK_OK) {
		free(next);
		return rc;
	}
	memset(next, 0, (size_t)d->nclasses * sizeof(*next));
	for (int64_t i = 0; i < d->n; i++)
		next[d->classes[i]]++;
	for (int64_t c = 0; c < d->nclasses; c++) {
		const int64_t some = next[c];
		next[c] = at;
		if (some > 0)
			o->from[o->nclasses++] = at;
		at += some;
	}
	o->from[o->nclasses] = at;
	for (int64_t i = 0; i < d->n; i++)
		o->members[next[d->classes[i]]++] = (uint32_t)i;
	free(next);
	o->rounds = (d->n + o->nclasses - 1) / o->nclasses;
	return RK_OK;
}

enum rk_err
data_order_new(const struct data_set *d, const struct data_order_how *how,
    struct data_order **op, struct rk_why *why)
{
	struct data_order *o = xcalloc(1, sizeof(*o));
	enum rk_err rc = RK_OK;

	o->tag = ORDER_TAG;
	o->d = d;
	o->seed = how->seed;
	o->shuffle = how->shuffle;
	o->key_round = key_of(how->seed, KEY_ROUND, 0);
	if (how->sampler == SPEC_SAMPLER_BALANCED && d->classes == NULL)
		rc = rk_refuse_at(why, "training.sampler", "is balanced, and "
		    "%s has %s", held_of(d)->labels_what,
		    d->many_from != NULL ? "several labels a sample" :
		    "labels that are no classes");
	else if (how->sampler == SPEC_SAMPLER_BALANCED && d->n > 0)
		rc = sort_members(o, why);
	if (rc == RK_OK)
		*op = o;
	else
		data_order_free(o);
	return rc;
}

void
data_order_free(struct data_order *o)
{
	if (o == NULL)
		return;
	must_be(o, ORDER_TAG);
	free(o->members);
	free(o->from);
	free(o);
}

uint64_t
data_order_bytes(const struct data_set *d, enum spec_sampler sampler)
{
	return sampler != SPEC_SAMPLER_BALANCED ? 0 :
	    (uint64_t)d->n * sizeof(uint32_t) +
	    ((uint64_t)d->nclasses + 1) * sizeof(int64_t);
}

static int64_t
balanced_at(const struct data_order *o, int64_t epoch, int64_t i)
{
	const uint64_t k = (uint64_t)o->nclasses;
	const uint64_t round = (uint64_t)epoch * (uint64_t)o->rounds +
	    (uint64_t)i / k;
	const uint64_t c = rk_permute(o->key_round, round, k, (uint64_t)i % k);
	const uint64_t some = (uint64_t)(o->from[c + 1] - o->from[c]);
	const uint64_t at = rk_permute(key_of(o->seed, KEY_CLASS, c),
	    round / some, some, round % some);

	return (int64_t)o->members[(uint64_t)o->from[c] + at];
}

int64_t
data_order_at(const struct data_order *o, int64_t epoch, int64_t i)
{
	must_be(o, ORDER_TAG);
	must(i >= 0 && i < o->d->n && epoch >= 0);
	return o->members != NULL ? balanced_at(o, epoch, i) :
	    data_at(o->d, o->seed, epoch, o->shuffle, i);
}
