/* In which order an epoch has its samples: data.h has the formulas. */
#include <stdlib.h>
#include <string.h>

#include "held.h"

#define ORDER_TAG 0x6f726472u

/* Streams of a seed. */
enum {
	KEY_ROUND = 0x726f756e, KEY_CLASS = 0x636c6173,
	KEY_BATCH = 0x62617463, KEY_BUCKET = 0x6275636b,
	KEY_REST = 0x72657374
};

struct data_order {
	unsigned tag;
	const struct data_set *d;
	struct data_order_how how;
	/* By class or by bucket: the samples of each that has some, one behind
	 * the other; else NULL. */
	uint32_t *members;
	int64_t *from;                  /* [nkinds + 1] */
	int64_t nkinds;                 /* that have some */
	/* balanced */
	int64_t rounds;                 /* of an epoch, the last maybe not
					   whole */
	uint64_t key_round;
	/* buckets: full batches of those before, and of all; which ones have
	 * something left over */
	int64_t full[SPEC_MAX_BUCKETS + 1];
	int64_t rest[SPEC_MAX_BUCKETS];
	int nrests;
};

static uint64_t
key_of(uint64_t seed, uint64_t what, uint64_t kind)
{
	const uint64_t words[2] = { what, kind };

	return rk_hash64(seed, words, sizeof(words));
}

/* --- members -------------------------------------------------------------- */

static int64_t
kind_of(const struct data_set *d, int64_t i)
{
	return d->nlengths > 0 ? d->bucket[i] : d->classes[i];
}

/* By counting: count[c] becomes where kind c begins among those that are. */
static enum rk_err
sort_members(struct data_order *o, int64_t nkinds, struct rk_why *why)
{
	const struct data_set *d = o->d;
	const struct held *h = held_of(d);
	int64_t *next = NULL, at = 0;
	enum rk_err rc = held_alloc(&next, (uint64_t)nkinds, sizeof(*next),
	    h->what, why);

	if (rc == RK_OK)
		rc = held_alloc(&o->from, (uint64_t)nkinds + 1,
		    sizeof(*o->from), h->what, why);
	if (rc == RK_OK)
		rc = held_alloc(&o->members, (uint64_t)d->n,
		    sizeof(*o->members), h->what, why);
	if (rc != RK_OK) {
		free(next);
		return rc;
	}
	memset(next, 0, (size_t)nkinds * sizeof(*next));
	for (int64_t i = 0; i < d->n; i++)
		next[kind_of(d, i)]++;
	for (int64_t c = 0; c < nkinds; c++) {
		const int64_t some = next[c];
		next[c] = at;
		if (some > 0)
			o->from[o->nkinds++] = at;
		at += some;
	}
	o->from[o->nkinds] = at;
	for (int64_t i = 0; i < d->n; i++)
		o->members[next[kind_of(d, i)]++] = (uint32_t)i;
	free(next);
	return RK_OK;
}

static int64_t
some_of(const struct data_order *o, int64_t kind)
{
	return o->from[kind + 1] - o->from[kind];
}

/* --- made ----------------------------------------------------------------- */

static enum rk_err
begin_balanced(struct data_order *o, struct rk_why *why)
{
	const struct data_set *d = o->d;

	if (d->classes == NULL)
		return rk_refuse_at(why, "training.sampler", "is balanced, and "
		    "%s has %s", held_of(d)->labels_what,
		    d->many_from != NULL ? "several labels a sample" :
		    "labels that are no classes");
	if (d->n == 0)
		return RK_OK;
	enum rk_err rc = sort_members(o, d->nclasses, why);
	if (rc == RK_OK)
		o->rounds = (d->n + o->nkinds - 1) / o->nkinds;
	return rc;
}

static enum rk_err
begin_buckets(struct data_order *o, struct rk_why *why)
{
	enum rk_err rc = sort_members(o, o->d->nlengths, why);

	must(o->how.batch >= 1);
	for (int64_t b = 0; rc == RK_OK && b < o->nkinds; b++) {
		o->full[b + 1] = o->full[b] + some_of(o, b) / o->how.batch;
		if (some_of(o, b) % o->how.batch > 0 && !o->how.drop_last)
			o->rest[o->nrests++] = b;
	}
	return rc;
}

enum rk_err
data_order_new(const struct data_set *d, const struct data_order_how *how,
    struct data_order **op, struct rk_why *why)
{
	struct data_order *o = xcalloc(1, sizeof(*o));
	enum rk_err rc = RK_OK;

	o->tag = ORDER_TAG;
	o->d = d;
	o->how = *how;
	o->key_round = key_of(how->seed, KEY_ROUND, 0);
	if (d->nlengths > 0)
		must(how->sampler == SPEC_SAMPLER_UNIFORM);
	if (how->sampler == SPEC_SAMPLER_BALANCED)
		rc = begin_balanced(o, why);
	else if (d->nlengths > 0)
		rc = begin_buckets(o, why);
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
	const int64_t kinds = sampler == SPEC_SAMPLER_BALANCED ? d->nclasses :
	    d->nlengths;

	return kinds == 0 ? 0 : (uint64_t)d->n * sizeof(uint32_t) +
	    ((uint64_t)kinds + 1) * sizeof(int64_t);
}

/* --- places --------------------------------------------------------------- */

static int64_t
balanced_at(const struct data_order *o, int64_t epoch, int64_t i)
{
	const uint64_t k = (uint64_t)o->nkinds;
	const uint64_t round = (uint64_t)epoch * (uint64_t)o->rounds +
	    (uint64_t)i / k;
	const uint64_t c = rk_permute(o->key_round, round, k, (uint64_t)i % k);
	const uint64_t some = (uint64_t)some_of(o, (int64_t)c);
	const uint64_t at = rk_permute(key_of(o->how.seed, KEY_CLASS, c),
	    round / some, some, round % some);

	return (int64_t)o->members[(uint64_t)o->from[c] + at];
}

static uint64_t
shuffled(const struct data_order *o, uint64_t what, uint64_t kind,
    int64_t epoch, int64_t n, int64_t i)
{
	return !o->how.shuffle ? (uint64_t)i : rk_permute(key_of(o->how.seed,
	    what, kind), (uint64_t)epoch, (uint64_t)n, (uint64_t)i);
}

/* What buckets have left over, in the order in which it comes: of which, and
 * the number of its batch in the epoch. */
struct rest {
	int64_t bucket, batch;
};

static void
find_rests(const struct data_order *o, int64_t epoch, struct rest *v)
{
	const int64_t full = o->full[o->nkinds], all = full + o->nrests;

	for (int i = 0; i < o->nrests; i++) {
		/* Without shuffle the last of all. */
		const struct rest r = { o->rest[i], (int64_t)shuffled(o,
		    KEY_REST, 0, epoch, all, o->how.shuffle ? i : full + i) };
		int k = i;
		for (; k > 0 && v[k - 1].batch > r.batch; k--)
			v[k] = v[k - 1];
		v[k] = r;
	}
}

/* The batch that place i of an epoch is in. */
struct where {
	int64_t bucket;                 /* -1: behind the last batch */
	int64_t at;                     /* place in the bucket */
	int64_t rows;                   /* of the batch, from i on */
};

/* Number j of all full batches. */
static struct where
in_full(const struct data_order *o, int64_t epoch, int64_t j, int64_t i)
{
	const int64_t batch = o->how.batch, full = o->full[o->nkinds];
	int64_t b = 0;

	if (j >= full)
		return (struct where){ .bucket = -1 };
	j = (int64_t)shuffled(o, KEY_BATCH, 0, epoch, full, j);
	while (j >= o->full[b + 1])
		b++;
	return (struct where){ b, (j - o->full[b]) * batch + i, batch - i };
}

static struct where
find_batch(const struct data_order *o, int64_t epoch, int64_t i)
{
	const int64_t batch = o->how.batch;
	struct rest rests[SPEC_MAX_BUCKETS];
	int64_t before = 0;             /* rows of rests */

	find_rests(o, epoch, rests);
	for (int k = 0; k < o->nrests; k++) {
		const int64_t b = rests[k].bucket;
		const int64_t rows = some_of(o, b) % batch;
		const int64_t from = (rests[k].batch - k) * batch + before;
		if (i < from)
			break;
		if (i < from + rows)
			return (struct where){ b, some_of(o, b) - rows + i -
				from, rows - (i - from) };
		before += rows;
	}
	return in_full(o, epoch, (i - before) / batch, (i - before) % batch);
}

static int64_t
bucket_at(const struct data_order *o, int64_t epoch, int64_t i)
{
	const struct where w = find_batch(o, epoch, i);

	must(w.bucket >= 0);
	return (int64_t)o->members[(uint64_t)o->from[w.bucket] + shuffled(o,
	    KEY_BUCKET, (uint64_t)w.bucket, epoch, some_of(o, w.bucket),
	    w.at)];
}

int64_t
data_order_at(const struct data_order *o, int64_t epoch, int64_t i)
{
	must_be(o, ORDER_TAG);
	must(i >= 0 && i < o->d->n && epoch >= 0);
	if (o->members == NULL)
		return data_at(o->d, o->how.seed, epoch, o->how.shuffle, i);
	return o->d->nlengths > 0 ? bucket_at(o, epoch, i) :
	    balanced_at(o, epoch, i);
}

int64_t
data_order_rows(const struct data_order *o, int64_t epoch, int64_t i,
    int64_t batch, bool drop_last)
{
	must_be(o, ORDER_TAG);
	if (o->d->nlengths == 0)
		return data_rows(o->d->n, i, batch, drop_last);
	must(batch == o->how.batch && drop_last == o->how.drop_last);
	if (i >= o->d->n)
		return 0;
	const struct where w = find_batch(o, epoch, i);
	return w.bucket >= 0 ? w.rows : 0;
}
