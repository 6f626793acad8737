/*
 * A validation set out of the training samples.  Sample i of the permutation
 * keyed by the seed is in it when i < round(n * part); both sets keep the order
 * of the file.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "held.h"

/* Epochs, the other permutations of this seed, are not negative. */
#define SPLIT_TWEAK UINT64_MAX

/* Move one sample of `from` to place `to` of another set or of its own. */
static void
move_sample(struct held *to, size_t at, const struct held *from, size_t i)
{
	const size_t w = (size_t)from->pub.width;

	if (from->bytes != NULL)
		memmove(to->bytes + at * w, from->bytes + i * w, w);
	else
		memmove(to->floats + at * w, from->floats + i * w,
		    w * sizeof(*to->floats));
	to->targets[at] = from->targets[i];
	to->origin[at] = (uint32_t)i;
}

/* A set like `all`, with room for n samples. */
static enum rk_err
like(const struct held *all, int64_t n, struct held **out, struct rk_why *why)
{
	const uint64_t elements = (uint64_t)n * (uint64_t)all->pub.width;
	struct held *h = held_new(all->what);
	enum rk_err rc;

	free(h->labels_what);
	h->labels_what = xstrdup(all->labels_what);
	h->first_line = all->first_line;
	h->pub.n = n;
	h->pub.ndim = all->pub.ndim;
	h->pub.width = all->pub.width;
	memcpy(h->pub.d, all->pub.d, sizeof(h->pub.d));
	if (all->bytes != NULL)
		rc = held_alloc(&h->bytes, elements, 1, h->what, why);
	else
		rc = held_alloc(&h->floats, elements, sizeof(float), h->what,
		    why);
	if (rc == RK_OK)
		rc = held_alloc(&h->targets, (uint64_t)n, sizeof(float),
		    h->what, why);
	if (rc == RK_OK)
		rc = held_alloc(&h->origin, (uint64_t)n, sizeof(*h->origin),
		    h->what, why);
	h->pub.bytes = h->bytes;
	h->pub.floats = h->floats;
	*out = h;
	return rc;
}

/* Smaller blocks of what is left; a block that cannot shrink stays. */
static void
shrink(struct held *h)
{
	const size_t n = (size_t)h->pub.n, w = (size_t)h->pub.width;
	void *p;

	if (h->bytes != NULL && (p = realloc(h->bytes, n * w)) != NULL)
		h->bytes = p;
	if (h->floats != NULL &&
	    (p = realloc(h->floats, n * w * sizeof(float))) != NULL)
		h->floats = p;
	if ((p = realloc(h->targets, n * sizeof(float))) != NULL)
		h->targets = p;
	h->pub.bytes = h->bytes;
	h->pub.floats = h->floats;
}

static enum rk_err
take_away(struct held *all, struct held *valid, const uint8_t *chosen,
    struct rk_why *why)
{
	const size_t n = (size_t)all->pub.n;
	size_t kept = 0, taken = 0;
	enum rk_err rc;

	for (size_t i = 0; i < n; i++)
		if (chosen[i])
			move_sample(valid, taken++, all, i);
		else
			move_sample(all, kept++, all, i);
	all->pub.n = (int64_t)kept;
	must(taken == (size_t)valid->pub.n);
	shrink(all);
	free(all->classes);
	all->classes = NULL;
	rc = held_find_classes(all, why);
	return rc != RK_OK ? rc : held_find_classes(valid, why);
}

enum rk_err
split(struct held *all, double part, uint64_t seed, struct held **valid,
    struct rk_why *why)
{
	const int64_t n = all->pub.n;
	const int64_t k = (int64_t)llround((double)n * part);
	uint8_t *chosen = NULL;
	enum rk_err rc;

	*valid = NULL;
	if (k == 0 || k >= n)
		return rk_refuse_at(why, "data.validation_split", "is %g, and "
		    "of the %lld sample%s in %s that leaves none for %s", part,
		    (long long)n, n == 1 ? "" : "s", all->what,
		    k == 0 ? "validation" : "training");
	rc = held_alloc(&all->origin, (uint64_t)n, sizeof(*all->origin),
	    all->what, why);
	if (rc == RK_OK)
		rc = held_alloc(&chosen, (uint64_t)n, 1, all->what, why);
	if (rc == RK_OK)
		rc = like(all, k, valid, why);
	if (rc == RK_OK) {
		memset(chosen, 0, (size_t)n);
		for (int64_t i = 0; i < k; i++)
			chosen[rk_permute(seed, SPLIT_TWEAK, (uint64_t)n,
			    (uint64_t)i)] = 1;
		rc = take_away(all, *valid, chosen, why);
	}
	free(chosen);
	if (rc != RK_OK) {
		held_free(*valid);
		*valid = NULL;
	}
	return rc;
}
