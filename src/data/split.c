/*
 * A validation set out of the training samples: data.h has the rules.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "held.h"
#include "lazy.h"
#include "rekindle/kernel.h"

/* Epochs, the other permutations of this seed, are not negative. */
#define SPLIT_TWEAK UINT64_MAX
/* What else is drawn at a sample's identity. */
enum { DRAW_RANK = 0x72616e6b, DRAW_WHOLE = 0x77686f6c };
#define PIECE ((size_t)256 << 10)       /* bytes that one thread hashes */
#define NAMES ((size_t)4096)            /* ... or names */

const char *const data_split_words[] = {
	"none", "content", "stratified", "permutation", NULL
};

/* --- identities and ranks ------------------------------------------------- */

uint64_t
data_content(const struct data_set *d, int64_t i)
{
	const size_t size = data_sample_bytes(d);
	struct lazy_id id;

	must(i >= 0 && i < d->n);
	if (!data_knows_content(d))
		return 0;
	if (d->lazy == NULL)
		return rk_hash64(0, held_samples(held_of(d)) + (size_t)i *
		    size, size);
	lazy_identify(d, i, false, &id);
	return id.hash;
}

struct identify {
	struct held *h;
	size_t rows;                    /* of a piece */
};

static void
identify_piece(void *ctx, size_t piece)
{
	const struct identify *g = ctx;
	struct held *h = g->h;
	const size_t size = data_sample_bytes(&h->pub), n = (size_t)h->pub.n;
	const size_t from = piece * g->rows, to = RK_MIN(from + g->rows, n);

	for (size_t i = from; i < to; i++) {
		struct lazy_id id;
		if (h->lazy == NULL) {
			h->identity[i] = rk_hash64(0, held_samples(h) +
			    i * size, size);
			continue;
		}
		lazy_identify(&h->pub, (int64_t)i, false, &id);
		h->identity[i] = id.hash;
	}
}

enum rk_err
split_identify(struct held *h, struct rk_why *why)
{
	const size_t n = (size_t)h->pub.n, size = data_sample_bytes(&h->pub);
	struct identify g = { h, h->lazy != NULL ? NAMES :
	    RK_MAX(PIECE / RK_MAX(size, 1), 1) };
	enum rk_err rc;

	if (h->identity != NULL)        /* the reader knows it */
		return RK_OK;
	rc = held_alloc(&h->identity, n, sizeof(*h->identity), h->what, why);

	if (rc == RK_OK)
		kernel_for((n + g.rows - 1) / g.rows, identify_piece, &g);
	return rc;
}

static uint64_t
draw64(uint64_t key, uint64_t a, uint32_t b, uint32_t c)
{
	const uint32_t k[2] = { (uint32_t)key, (uint32_t)(key >> 32) };
	const uint32_t ctr[4] = { (uint32_t)a, (uint32_t)(a >> 32), b, c };
	uint32_t w[4];

	rk_philox(k, ctr, w);
	return w[0] | (uint64_t)w[1] << 32;
}

/* All that a double in [0, 1) can hold at even spacing, as JSON can too. */
static double
rank_of(uint64_t seed, uint64_t identity)
{
	return (double)(draw64(seed, identity, DRAW_RANK, 0) >> 11) * 0x1p-53;
}

int64_t
data_count_seen(const struct data_set *valid, const struct data_seen *v,
    size_t n)
{
	const struct held *h = held_of(valid);
	int64_t count = 0;

	must(h->identity != NULL);
	for (int64_t i = 0; i < valid->n; i++) {
		size_t k = 0;
		while (k < n && rank_of(v[k].seed, h->identity[i]) < v[k].from)
			k++;
		count += k < n;
	}
	return count;
}

/* Of all samples with their labels; in any order, but for the rule for which
 * the order counts. */
static uint64_t
digest_whole(const struct held *h, enum data_split_rule rule)
{
	uint64_t sum = (uint64_t)h->pub.n;

	for (int64_t i = 0; i < h->pub.n; i++) {
		uint32_t label;
		memcpy(&label, &h->targets[i], sizeof(label));
		uint64_t one = draw64(h->identity[i], 0, DRAW_WHOLE, label);
		sum = rule == DATA_SPLIT_PERMUTATION ?
		    draw64(sum, one, DRAW_WHOLE, 0) : sum + one;
	}
	return sum;
}

/* --- who is chosen -------------------------------------------------------- */

static void
choose_by_permutation(const struct held *all, double part, uint64_t seed,
    uint8_t *chosen)
{
	const uint64_t n = (uint64_t)all->pub.n;
	const uint64_t k = (uint64_t)llround((double)n * part);

	for (uint64_t i = 0; i < RK_MIN(k, n); i++)
		chosen[rk_permute(seed, SPLIT_TWEAK, n, i)] = 1;
}

static void
choose_by_content(const struct held *all, double part, uint64_t seed,
    uint8_t *chosen)
{
	for (int64_t i = 0; i < all->pub.n; i++)
		chosen[i] = rank_of(seed, all->identity[i]) < part;
}

struct ranked {
	double rank;
	uint32_t sample;
};

static int
by_rank(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return (x->sample > y->sample) - (x->sample < y->sample);
}

/* room[c]: how many of class c may validate. */
static void
measure_room(const struct held *all, double part, int64_t *room)
{
	for (int64_t i = 0; i < all->pub.n; i++)
		room[all->classes[i]]++;
	for (int64_t c = 0; c < all->pub.nclasses; c++)
		room[c] = RK_MIN((int64_t)llround((double)room[c] * part),
		    RK_MAX(room[c] - 1, 0));
}

/* Up the ranks; samples alike are next to each other and go together, if there
 * is room for each of them. */
static void
fill_room(const struct held *all, const struct ranked *v, size_t n,
    int64_t *room, uint8_t *chosen)
{
	for (size_t i = 0, end; i < n; i = end) {
		bool fits = true;
		for (end = i; end < n && v[end].rank == v[i].rank; end++)
			fits &= --room[all->classes[v[end].sample]] >= 0;
		for (size_t k = i; k < end; k++) {
			chosen[v[k].sample] = fits;
			room[all->classes[v[k].sample]] += !fits;
		}
	}
}

static enum rk_err
choose_by_class(const struct held *all, double part, uint64_t seed,
    uint8_t *chosen, struct rk_why *why)
{
	const size_t n = (size_t)all->pub.n;
	struct ranked *v = NULL;
	int64_t *room = NULL;
	enum rk_err rc;

	if (all->classes == NULL)
		return rk_refuse_at(why, "data.split.stratify", "is true, and "
		    "the labels in %s are %s", all->labels_what,
		    all->many_from != NULL ? "several a sample" :
		    "no classes");
	rc = held_alloc(&v, n, sizeof(*v), all->what, why);
	if (rc == RK_OK)
		rc = held_alloc(&room, (uint64_t)all->pub.nclasses,
		    sizeof(*room), all->what, why);
	if (rc == RK_OK) {
		memset(room, 0, (size_t)all->pub.nclasses * sizeof(*room));
		measure_room(all, part, room);
		for (size_t i = 0; i < n; i++)
			v[i] = (struct ranked){
				rank_of(seed, all->identity[i]), (uint32_t)i };
		qsort(v, n, sizeof(*v), by_rank);
		fill_room(all, v, n, room, chosen);
	}
	free(v);
	free(room);
	return rc;
}

static enum rk_err
choose(const struct held *all, double part, const struct data_split *how,
    uint8_t *chosen, struct rk_why *why)
{
	memset(chosen, 0, (size_t)all->pub.n);
	switch (how->rule) {
	case DATA_SPLIT_PERMUTATION:
		choose_by_permutation(all, part, how->seed, chosen);
		return RK_OK;
	case DATA_SPLIT_STRATIFIED:
		return choose_by_class(all, part, how->seed, chosen, why);
	case DATA_SPLIT_CONTENT:
	case DATA_SPLIT_NONE:
		break;
	}
	choose_by_content(all, part, how->seed, chosen);
	return RK_OK;
}

/* --- and taken away ------------------------------------------------------- */

/* Move one sample of `from` to place `to` of another set or of its own. */
static void
move_sample(struct held *to, size_t at, const struct held *from, size_t i)
{
	const size_t size = data_sample_bytes(&from->pub);

	if (from->lazy == NULL)
		memmove(held_samples(to) + at * size,
		    held_samples(from) + i * size, size);
	to->targets[at] = from->targets[i];
	to->identity[at] = from->identity[i];
	to->origin[at] = (uint32_t)i;
}

/* A set like `all`, with room for n samples. */
static enum rk_err
like(const struct held *all, int64_t n, struct held **out, struct rk_why *why)
{
	enum rk_err rc = held_like(all, n, out, why);
	struct held *h = *out;

	if (rc == RK_OK)
		rc = held_alloc(&h->origin, (uint64_t)n, sizeof(*h->origin),
		    h->what, why);
	if (rc == RK_OK)
		rc = held_alloc(&h->identity, (uint64_t)n,
		    sizeof(*h->identity), h->what, why);
	return rc;
}

/* The lists of both out of those of all. */
static enum rk_err
take_lists(struct held *all, struct held *valid, struct rk_why *why)
{
	int64_t *from = all->many_from;
	int32_t *many = all->many;

	all->many_from = NULL;
	all->many = NULL;
	enum rk_err rc = labels_pick(valid, from, many, why);
	if (rc == RK_OK)
		rc = labels_pick(all, from, many, why);
	free(from);
	free(many);
	return rc;
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
	free(all->identity);
	all->identity = NULL;
	held_shrink(all);
	free(all->classes);
	all->classes = NULL;
	rc = all->many_from != NULL ? take_lists(all, valid, why) : RK_OK;
	if (rc == RK_OK)
		rc = held_find_classes(all, why);
	return rc != RK_OK ? rc : held_find_classes(valid, why);
}

static enum rk_err
refuse_empty(const struct held *all, double part, const struct data_split *how,
    int64_t k, struct rk_why *why)
{
	const long long n = (long long)all->pub.n;
	const long long want = llround((double)n * part);
	struct strbuf b = { 0 };

	if (how->rule == DATA_SPLIT_CONTENT)
		sb_addf(&b, " by split_seed %llu",
		    (unsigned long long)how->seed);
	/* Bad luck, and no question of how many there are. */
	if (how->rule == DATA_SPLIT_CONTENT && want > 0 && want < n)
		sb_adds(&b, "; try another, or data.split: {stratify: true}");
	enum rk_err rc = rk_refuse_at(why, "data.validation_split", "is %g, "
	    "and of the %lld sample%s in %s that leaves none for %s%s", part,
	    n, rk_s(n), all->what,
	    k == 0 ? "validation" : "training", sb_str(&b));
	sb_fini(&b);
	return rc;
}

static double
lowest_rank(const struct held *all, const struct data_split *how,
    const uint8_t *chosen)
{
	double low = 1;

	if (how->rule == DATA_SPLIT_PERMUTATION)
		return 0;
	for (int64_t i = 0; i < all->pub.n; i++)
		if (!chosen[i])
			low = RK_MIN(low, rank_of(how->seed,
			    all->identity[i]));
	return low;
}

enum rk_err
split(struct held *all, double part, const struct data_split *how,
    struct held **valid, struct rk_why *why)
{
	const int64_t n = all->pub.n;
	uint8_t *chosen = NULL;
	int64_t k = 0;

	*valid = NULL;
	enum rk_err rc = held_alloc(&all->origin, (uint64_t)n,
	    sizeof(*all->origin), all->what, why);
	if (rc == RK_OK)
		rc = held_alloc(&chosen, (uint64_t)n, 1, all->what, why);
	if (rc == RK_OK)
		rc = choose(all, part, how, chosen, why);
	for (int64_t i = 0; rc == RK_OK && i < n; i++)
		k += chosen[i];
	if (rc == RK_OK && (k == 0 || k == n))
		rc = refuse_empty(all, part, how, k, why);
	if (rc == RK_OK)
		rc = like(all, k, valid, why);
	if (rc == RK_OK) {
		all->pub.first_rank = lowest_rank(all, how, chosen);
		all->pub.whole = digest_whole(all, how->rule);
		rc = take_away(all, *valid, chosen, why);
	}
	free(chosen);
	if (rc != RK_OK) {
		held_free(*valid);
		*valid = NULL;
	}
	return rc;
}
