/*
 * Samples that are held in memory and go through data.transforms: what is held
 * stays, and a reader (lazy.h) gives it, transformed, when a batch needs it.
 *
 * A set has a reader of its own, made after it was split and measured.  Its
 * samples are keyed by the numbers that they have in the source.
 */
#include <stdlib.h>
#include <string.h>

#include "held.h"
#include "lazy.h"
#include "transform.h"

#define AUGMENT_TAG 0x6175676du

struct augmented {
	struct data_lazy lazy;          /* first */
	unsigned tag;
	const struct held *h;           /* whose samples it gives */
	struct transform_plan *plans[2];        /* training, validation */
	struct spec_transforms copies[2];       /* of tokens: the lists */
	int64_t d[3], width;            /* of what is held */
	size_t bytes;                   /* of a sample of it */
};

static const struct augmented *
augmented_of(const struct data_lazy *z)
{
	const struct augmented *a = (const struct augmented *)(const void *)z;

	must_be(a, AUGMENT_TAG);
	return a;
}

static void *
augment_scratch_new(const struct data_lazy *z)
{
	(void)z;
	return transform_room_new();
}

static void
augment_scratch_free(void *scratch)
{
	transform_room_free(scratch);
}

/* Which of the set has number `at` in the source: a split keeps their order. */
static const uint8_t *
sample_at(const struct augmented *a, int64_t at)
{
	const uint32_t *origin = a->h->origin;
	int64_t from = 0, to = a->h->pub.n;

	while (origin != NULL && to - from > 1) {
		const int64_t middle = (from + to) / 2;
		if (origin[middle] <= (uint64_t)at)
			from = middle;
		else
			to = middle;
	}
	if (origin != NULL)
		must(origin[from] == (uint64_t)at);
	else
		from = at;
	return held_samples(a->h) + (size_t)from * a->bytes;
}

static enum rk_err
augment_get(const struct data_lazy *z, const struct data_set *d,
    void *scratch, int64_t at, const struct data_key *k, void *x,
    struct lazy_got *got, struct rk_why *why)
{
	const struct augmented *a = augmented_of(z);
	const struct transform_key key = { k->seed, k->epoch, at };
	const struct transform_norm norm = { d->scale, d->shift, d->nnorm };
	const struct transform_tokens tokens = { .mask = a->h->mask,
		.kept = a->h->special,
		.nkept = RK_ARRAY_LEN(a->h->special) };
	const uint8_t *p = sample_at(a, at);
	char what[64];

	(void)got;
	if (data_is_tokens(d)) {
		memcpy(x, p, a->bytes);
		transform_mask(&a->copies[k->train ? 0 : 1], &key, &tokens, x,
		    a->width);
		return RK_OK;
	}
	snprintf(what, sizeof(what), "sample %lld", (long long)at);
	return transform_planes(a->plans[k->train ? 0 : 1], scratch, &key, p,
	    a->d[1], a->d[2], what, &norm, x, why);
}

static void
augment_identify(const struct data_lazy *z, int64_t at, bool size,
    struct lazy_id *id)
{
	const struct augmented *a = augmented_of(z);

	(void)size;
	id->hash = rk_hash64(0, sample_at(a, at), a->bytes);
}

static void
augment_free(struct data_lazy *z)
{
	struct augmented *a = (struct augmented *)(void *)z;

	must_be(a, AUGMENT_TAG);
	transform_plan_free(a->plans[0]);
	transform_plan_free(a->plans[1]);
	a->tag = 0;
	free(a);
}

static const struct lazy_ops augment_ops = {
	.scratch_new = augment_scratch_new,
	.scratch_free = augment_scratch_free,
	.get = augment_get,
	.identify = augment_identify,
	.free = augment_free,
};

/* --- making one ----------------------------------------------------------- */

static enum rk_err
plan_pictures(struct augmented *a, const struct spec_data *s,
    struct rk_why *why)
{
	const struct data_set *d = &a->h->pub;

	if (d->bytes == NULL || d->ndim != 3 || (d->d[0] != 1 && d->d[0] != 3))
		return rk_refuse_at(why, "data.transforms", "are for pictures "
		    "of bytes with one or three channels, and %s has others",
		    a->h->what);
	return transform_plans(s, d->d, a->plans, why);
}

/* What a masked token becomes is said, and is one of theirs. */
static enum rk_err
check_masks(const struct held *h, const struct spec_transforms *t,
    struct rk_why *why)
{
	for (int i = 0; i < t->n; i++) {
		const int64_t token = t->v[i].u.random_mask.token;
		char path[64];

		snprintf(path, sizeof(path), "data.transforms.train[%d].token",
		    i);
		if (token < 0 && h->mask >= 0)
			continue;
		if (token < 0)
			return rk_refuse_at(why, path, "is missing: these "
			    "tokens are of no vocabulary that would say it");
		if (token >= h->pub.vocabulary)
			return rk_refuse_at(why, path, "is %lld, and the "
			    "vocabulary is of %lld", (long long)token,
			    (long long)h->pub.vocabulary);
	}
	return RK_OK;
}

enum rk_err
augment(struct held *h, const struct spec_data *s, struct rk_why *why)
{
	const bool tokens = data_is_tokens(&h->pub);
	enum rk_err rc;

	if (s->train_transforms.n + s->validation_transforms.n == 0 ||
	    s->train.type == SPEC_IMAGE_FOLDER)
		return RK_OK;
	if (s->train.type == SPEC_TEXT)
		return check_masks(h, &s->train_transforms, why);
	if (h->lazy != NULL)
		return rk_refuse_at(why, "data.transforms", "are for samples "
		    "that are held in memory, for texts and for image_folder, "
		    "and %s is too large to be held", h->what);
	struct augmented *a = xcalloc(1, sizeof(*a));
	a->tag = AUGMENT_TAG;
	a->h = h;
	a->copies[0] = s->train_transforms;
	a->copies[1] = s->validation_transforms;
	a->width = h->pub.width;
	a->bytes = data_sample_bytes(&h->pub);
	memcpy(a->d, h->pub.d, sizeof(a->d));
	a->lazy.ops = &augment_ops;
	a->lazy.pixels = !tokens;
	a->lazy.index_bytes = (uint64_t)h->pub.n * a->bytes;
	rc = tokens ? check_masks(h, &s->train_transforms, why) :
	    plan_pictures(a, s, why);
	if (rc != RK_OK) {
		augment_free(&a->lazy);
		return rc;
	}
	if (!tokens) {
		transform_remarks(a->plans, h);
		memcpy(a->lazy.from, h->pub.d, sizeof(a->lazy.from));
		transform_shape(a->plans[0], h->pub.d);
	}
	h->pub.width = tokens ? a->width : h->pub.d[0] * h->pub.d[1] *
	    h->pub.d[2];
	a->lazy.mixes = !tokens && transform_mixes(a->plans[0]) ?
	    a->plans[0] : NULL;
	h->pub.bytes = NULL;
	h->pub.tokens = NULL;
	lazy_hold(h, &a->lazy);
	return RK_OK;
}
