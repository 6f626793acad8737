/*
 * The order of an epoch, and classes by the table of a model.
 */
#include "held.h"
#include "t.h"

/* n samples whose labels are those of `label`, over and over. */
static struct data_set *
set_of(const float *label, int64_t nlabels, int64_t n)
{
	struct rk_why why = { 0 };
	struct held *h = held_new("set");

	h->pub.n = n;
	h->pub.ndim = 1;
	h->pub.width = h->pub.d[0] = 1;
	h->floats = xcalloc((size_t)n, sizeof(*h->floats));
	h->pub.floats = h->floats;
	h->targets = xcalloc((size_t)n, sizeof(*h->targets));
	for (int64_t i = 0; i < n; i++)
		h->targets[i] = label[i % nlabels];
	t_eq_int(held_find_classes(h, &why), RK_OK);
	return &h->pub;
}

/* Of 20: 13 of class 0, none of 1, 5 of class 2, 2 of class 3. */
static const float uneven[20] = {
	0, 0, 2, 0, 0, 3, 0, 2, 0, 0, 0, 2, 0, 0, 2, 0, 3, 0, 2, 0
};

static struct data_order *
order_of(const struct data_set *d, enum spec_sampler sampler, uint64_t seed,
    bool shuffle)
{
	const struct data_order_how how = { .sampler = sampler, .seed = seed,
		.shuffle = shuffle };
	struct rk_why why = { 0 };
	struct data_order *o = NULL;

	if (data_order_new(d, &how, &o, &why) != RK_OK)
		t_fail("refused: %s", rk_why_first(&why));
	return o;
}

T_CASE(uniform_is_the_order_that_sets_have_always_had)
{
	struct data_set *d = set_of(uneven, 20, 20);

	for (int shuffle = 0; shuffle < 2; shuffle++) {
		struct data_order *o = order_of(d, SPEC_SAMPLER_UNIFORM, 7,
		    shuffle == 1);
		for (int64_t e = 0; e < 3; e++)
			for (int64_t i = 0; i < d->n; i++)
				t_eq_int(data_order_at(o, e, i),
				    data_at(d, 7, e, shuffle == 1, i));
		data_order_free(o);
	}
	t_eq_int(data_order_bytes(d, SPEC_SAMPLER_UNIFORM), 0);
	data_close(d);
}

T_CASE(balanced_has_each_class_once_in_a_round)
{
	struct data_set *d = set_of(uneven, 20, 20);
	struct data_order *o = order_of(d, SPEC_SAMPLER_BALANCED, 1, true);

	for (int64_t e = 0; e < 50; e++)
		for (int64_t round = 0; round < 7; round++) {
			int seen[4] = { 0 };
			/* The last round of an epoch has two places. */
			for (int64_t i = 3 * round; i < RK_MIN(3 * round + 3,
			    d->n); i++)
				seen[d->classes[data_order_at(o, e, i)]]++;
			t_check(seen[0] < 2 && seen[1] == 0 && seen[2] < 2 &&
			    seen[3] < 2);
		}
	data_order_free(o);
	data_close(d);
}

T_CASE(balanced_has_all_of_a_class_before_one_comes_again)
{
	static const float label[] = { 0, 0, 0, 0, 0, 0, 0, 1, 1, 1 };
	struct data_set *d = set_of(label, 10, 10);
	struct data_order *o = order_of(d, SPEC_SAMPLER_BALANCED, 3, true);
	int64_t met[2] = { 0 };
	int times[10] = { 0 };

	/* Five rounds an epoch, none of them cut. */
	for (int64_t e = 0; e < 42; e++)
		for (int64_t i = 0; i < 10; i++) {
			const int64_t s = data_order_at(o, e, i);
			const int c = d->classes[s];
			t_eq_int(times[s]++, met[c]++ / (c == 0 ? 7 : 3));
		}
	t_eq_int(met[0], met[1]);
	for (int s = 0; s < 10; s++)
		t_eq_int(times[s], s < 7 ? 30 : 70);
	data_order_free(o);
	data_close(d);
}

T_CASE(balanced_has_another_order_each_time_all_of_a_class_have_come)
{
	static const float labels[] = { 0, 1 };
	struct data_set *d = set_of(labels, 2, 40);
	struct data_order *o = order_of(d, SPEC_SAMPLER_BALANCED, 5, true);
	int same = 0;

	/* Each class has 20: an epoch has all of both once. */
	int64_t first[2][20], second[2][20], n[2][2] = { { 0 } };
	for (int e = 0; e < 2; e++)
		for (int64_t i = 0; i < 40; i++) {
			const int64_t at = data_order_at(o, e, i);
			const int c = d->classes[at];
			(e == 0 ? first : second)[c][n[e][c]++] = at;
		}
	for (int c = 0; c < 2; c++)
		for (int k = 0; k < 20; k++)
			same += first[c][k] == second[c][k];
	t_check(same < 20);
	data_order_free(o);
	data_close(d);
}

T_CASE(balanced_depends_on_seed_epoch_and_place_alone)
{
	struct data_set *d = set_of(uneven, 20, 400);
	struct data_order *a = order_of(d, SPEC_SAMPLER_BALANCED, 1, true);
	struct data_order *b = order_of(d, SPEC_SAMPLER_BALANCED, 1, true);
	struct data_order *c = order_of(d, SPEC_SAMPLER_BALANCED, 2, true);
	int64_t seeds = 0, epochs = 0;

	/* The one forwards, the other backwards. */
	int64_t *v = xcalloc((size_t)d->n, sizeof(*v));
	for (int64_t i = 0; i < d->n; i++)
		v[i] = data_order_at(a, 5, i);
	for (int64_t i = d->n - 1; i >= 0; i--) {
		t_eq_int(data_order_at(b, 5, i), v[i]);
		seeds += data_order_at(c, 5, i) != v[i];
		epochs += data_order_at(b, 6, i) != v[i];
	}
	t_check(seeds > d->n / 2 && epochs > d->n / 2);
	t_eq_int(data_order_bytes(d, SPEC_SAMPLER_BALANCED), 400 * 4 + 5 * 8);
	free(v);
	data_order_free(a);
	data_order_free(b);
	data_order_free(c);
	data_close(d);
}

T_CASE(balanced_of_one_class_is_each_sample_once)
{
	static const float one[] = { 4 };
	struct data_set *d = set_of(one, 1, 6);
	struct data_order *o = order_of(d, SPEC_SAMPLER_BALANCED, 1, true);
	unsigned seen = 0;

	for (int64_t i = 0; i < 6; i++)
		seen |= 1u << data_order_at(o, 9, i);
	t_eq_int(seen, 63);
	data_order_free(o);
	data_close(d);
}

T_CASE(balanced_refuses_labels_that_are_no_classes)
{
	static const float halves[] = { 0.5f, 1 };
	struct data_set *d = set_of(halves, 2, 4);
	const struct data_order_how how = {
		.sampler = SPEC_SAMPLER_BALANCED, .seed = 1, .shuffle = true };
	struct rk_why why = { 0 };
	struct data_order *o = NULL;

	t_eq_int(data_order_new(d, &how, &o, &why), RK_EINVAL);
	t_check(o == NULL);
	t_eq_str(why.v[0].path, "training.sampler");
	t_has(rk_why_first(&why), "no classes");
	rk_why_fini(&why);
	data_close(d);
}

/* --- the table of a model --------------------------------------------------- */

/* Two samples of each class. */
static struct data_set *
named(const char *const *names, int64_t n)
{
	struct rk_why why = { 0 };
	float label[8];

	for (int64_t i = 0; i < n; i++)
		label[i] = (float)i;
	struct data_set *d = set_of(label, n, 2 * n);
	struct held *h = held_of(d);
	h->class_names = xcalloc((size_t)n, sizeof(*h->class_names));
	for (int64_t i = 0; i < n; i++)
		h->class_names[i] = xstrdup(names[i]);
	h->nclasses = n;
	free(h->classes);
	h->classes = NULL;
	t_eq_int(held_find_classes(h, &why), RK_OK);
	return d;
}

static void
match(struct data_set *d, struct data_set *valid, const char *const *table,
    int64_t n, const char *others)
{
	struct rk_why why = { 0 };
	struct strbuf b = { 0 };

	if (data_match_classes(d, valid, table, n, &b, &why) != RK_OK)
		t_fail("refused: %s", rk_why_first(&why));
	t_eq_str(sb_str(&b), others);
	sb_fini(&b);
}

T_CASE(classes_go_to_where_a_model_has_them)
{
	static const char *const own[] = { "cat", "dog", "\xe7\x8c\xab" };
	static const char *const few[] = { "dog", "\xe7\x8c\xab" };
	static const char *const table[] = { "\xe7\x8c\xab", "bird", "dog",
		"cat" };
	struct data_set *d = named(own, 3), *valid = named(few, 2);

	match(d, valid, table, 4, "");
	t_eq_int(d->nclasses, 4);
	t_eq_int(d->classes[0], 3);
	t_eq_int(d->classes[1], 2);
	t_eq_int(d->classes[2], 0);
	t_check(d->targets[0] == 3);
	t_eq_str(d->names[1], "bird");
	t_eq_int(valid->classes[0], 2);
	t_eq_int(valid->classes[1], 0);
	t_eq_int(valid->nclasses, 4);
	data_close(d);
	data_close(valid);
}

T_CASE(classes_that_a_model_has_not_take_what_is_left_and_then_the_end)
{
	static const char *const own[] = { "a", "b", "c", "d" };
	static const char *const table[] = { "x", "c", "y" };
	struct data_set *d = named(own, 4);

	match(d, NULL, table, 3, "\"a\", \"b\", \"d\"");
	t_eq_int(d->classes[0], 0);
	t_eq_int(d->classes[1], 2);
	t_eq_int(d->classes[2], 1);
	t_eq_int(d->classes[3], 3);
	t_eq_int(d->nclasses, 4);
	t_eq_str(d->names[0], "a");
	t_eq_str(d->names[3], "d");
	data_close(d);
}

T_CASE(several_labels_go_there_too_and_stay_in_order)
{
	static const char *const own[] = { "a", "b", "c" };
	static const char *const table[] = { "c", "b", "a" };
	struct data_set *d = named(own, 3);
	struct held *h = held_of(d);
	struct rk_why why = { 0 };

	/* Each sample has the first two, the last one none. */
	h->many_from = xcalloc((size_t)d->n + 1, sizeof(*h->many_from));
	h->many = xcalloc(2 * (size_t)d->n, sizeof(*h->many));
	for (int64_t i = 0; i < d->n; i++) {
		h->many_from[i] = 2 * i;
		h->many[2 * i] = 0;
		h->many[2 * i + 1] = 1;
	}
	h->many_from[d->n] = 2 * (d->n - 1);
	t_eq_int(held_find_classes(h, &why), RK_OK);
	match(d, NULL, table, 3, "");
	t_eq_int(d->many[0], 1);
	t_eq_int(d->many[1], 2);
	t_check(d->targets[0] == 1);
	t_check(d->targets[d->n - 1] == -1);
	data_close(d);
}

/* --- buckets -------------------------------------------------------------- */

/* Of 61: 26 of length 2, none of 3, 26 of 5 and 9 of 9. */
static struct data_set *
bucketed(void)
{
	static const uint8_t kinds[] = { 0, 2, 0, 2, 3, 0, 2 };
	struct data_set *d = set_of(uneven, 20, 61);
	struct held *h = held_of(d);

	h->bucket = xcalloc(61, 1);
	for (int i = 0; i < 61; i++)
		h->bucket[i] = kinds[i % 7];
	d->bucket = h->bucket;
	d->nlengths = 4;
	d->lengths[0] = 2;
	d->lengths[1] = 3;
	d->lengths[2] = 5;
	d->lengths[3] = d->d[0] = 9;
	return d;
}

#define BATCH 4

static struct data_order *
bucket_order(const struct data_set *d, uint64_t seed, bool shuffle,
    bool drop_last)
{
	const struct data_order_how how = { .seed = seed, .shuffle = shuffle,
		.batch = BATCH, .drop_last = drop_last };
	struct data_order *o = NULL;

	t_eq_int(data_order_new(d, &how, &o, NULL), RK_OK);
	return o;
}

/* An epoch's batches, each of one bucket and no sample twice: how many they are,
 * and where those that are smaller begin, in the order of the buckets. */
static int64_t
walk(const struct data_order *o, const struct data_set *d, int64_t e,
    bool drop_last, int times[61], int64_t small[4])
{
	int64_t at = 0, rows, batches = 0;

	memset(times, 0, 61 * sizeof(*times));
	for (; (rows = data_order_rows(o, e, at, BATCH, drop_last)) > 0;
	    at += rows, batches++) {
		const int64_t first = data_order_at(o, e, at);
		t_check(rows <= BATCH);
		for (int64_t i = 0; i < rows; i++) {
			const int64_t s = data_order_at(o, e, at + i);
			t_eq_int(times[s]++, 0);
			t_eq_int(data_length(d, s), data_length(d, first));
			/* From inside a batch it is what is left of it. */
			t_eq_int(data_order_rows(o, e, at + i, BATCH,
			    drop_last), rows - i);
		}
		if (rows < BATCH)
			small[d->bucket[first]] = at;
	}
	t_eq_int(at, drop_last ? 56 : d->n);
	t_eq_int(batches, data_batches(d, BATCH, drop_last));
	return batches;
}

T_CASE(batches_are_of_one_bucket_and_an_epoch_has_every_sample_once)
{
	struct data_set *d = bucketed();
	int64_t moved = 0, was = -1;
	int times[61];

	for (int shuffle = 0; shuffle < 2; shuffle++) {
		struct data_order *o = bucket_order(d, 3, shuffle == 1, false);
		for (int64_t e = 0; e < 40; e++) {
			int64_t small[4] = { 0 };
			/* 7 + 7 + 3 */
			t_eq_int(walk(o, d, e, false, times, small), 17);
			for (int i = 0; i < 61; i++)
				t_eq_int(times[i], 1);
			moved += shuffle == 1 && small[3] != was;
			was = small[3];
			/* In their order they come last. */
			if (shuffle == 0)
				t_check(small[0] == 56 && small[2] == 58 &&
				    small[3] == 60);
		}
		data_order_free(o);
	}
	t_check(moved > 30);
	data_close(d);
}

T_CASE(what_a_bucket_has_left_over_is_dropped)
{
	struct data_set *d = bucketed();
	struct data_order *o = bucket_order(d, 3, true, true);
	int64_t small[4] = { -1, -1, -1, -1 };
	int times[61];

	/* 6 + 6 + 2 */
	for (int64_t e = 0; e < 10; e++)
		t_eq_int(walk(o, d, e, true, times, small), 14);
	t_check(small[0] < 0 && small[2] < 0 && small[3] < 0);
	data_order_free(o);
	data_close(d);
}

/* The sum of the numbers in the batch that has sample 0. */
static int64_t
mates(const struct data_order *o, int64_t e)
{
	int64_t at = 0, rows, sum;

	for (;; at += rows) {
		bool has = false;
		rows = data_order_rows(o, e, at, BATCH, false);
		sum = 0;
		for (int64_t i = 0; i < rows; i++) {
			has |= data_order_at(o, e, at + i) == 0;
			sum += data_order_at(o, e, at + i);
		}
		if (has)
			return sum;
	}
}

T_CASE(who_makes_a_batch_changes_from_epoch_to_epoch)
{
	struct data_set *d = bucketed();
	struct data_order *o = bucket_order(d, 3, true, false);
	int64_t others = 0;

	for (int64_t e = 1; e < 20; e++)
		others += mates(o, e) != mates(o, 0);
	t_check(others > 14);
	data_order_free(o);
	data_close(d);
}

T_CASE(buckets_are_shuffled_by_seed_and_epoch)
{
	struct data_set *d = bucketed();
	struct data_order *a = bucket_order(d, 1, true, false);
	struct data_order *b = bucket_order(d, 2, true, false);
	struct data_order *plain = bucket_order(d, 1, false, false);
	int64_t seeds = 0, epochs = 0, kinds = 0;

	for (int64_t i = 0; i < d->n; i++) {
		const int64_t s = data_order_at(a, 4, i);
		seeds += s != data_order_at(b, 4, i);
		epochs += s != data_order_at(a, 5, i);
		kinds += data_length(d, s) != data_length(d,
		    data_order_at(a, 5, i));
	}
	t_check(seeds > 30 && epochs > 30 && kinds > 10);
	/* Without shuffle the shortest first, in their order. */
	static const int64_t first[] = { 0, 2, 5, 7 };
	for (int64_t i = 0; i < 4; i++)
		t_eq_int(data_order_at(plain, 9, i), first[i]);
	t_eq_int(data_order_bytes(d, SPEC_SAMPLER_UNIFORM), 61 * 4 + 5 * 8);
	data_order_free(a);
	data_order_free(b);
	data_order_free(plain);
	data_close(d);
}

T_MAIN
