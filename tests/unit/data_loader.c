/*
 * The ring of batches: the same ones in the same order on any number of threads and
 * from any place, and what becomes of samples that cannot be read.
 */
#include <time.h>

#include "held.h"
#include "lazy.h"
#include "rekindle/data_loader.h"
#include "t.h"

#define WIDTH 3
#define MS    60000                     /* that a batch may take here */

/* A source whose samples say what they were asked for. */
struct fake {
	struct data_lazy lazy;          /* first */
	int64_t broken_every;           /* 0: none */
	int64_t wrong;                  /* a sample that gives RK_EIO; -1 */
	atomic_llong read;
	atomic_bool wait;               /* nobody gets on until it is false */
	atomic_llong waiting;           /* who have come to that */
};

static void *
fake_scratch_new(const struct data_lazy *z)
{
	(void)z;
	return xcalloc(1, 1);
}

static void
fake_scratch_free(void *scratch)
{
	free(scratch);
}

static void
nap(long us)
{
	const struct timespec t = { 0, us * 1000 };

	nanosleep(&t, NULL);
}

static float
value(int64_t at, int64_t epoch, bool train)
{
	return (float)(at * 1000 + epoch * 2 + train);
}

/* Takes a while that depends on the sample, so that threads overtake another. */
static enum rk_err
fake_get(const struct data_lazy *z, const struct data_set *d, void *scratch,
    int64_t at, const struct data_key *k, void *x, struct lazy_got *got,
    struct rk_why *why)
{
	struct fake *f = (struct fake *)(uintptr_t)z;
	float *to = x;

	must(scratch != NULL && d->width == WIDTH);
	atomic_fetch_add(&f->waiting, 1);
	while (atomic_load(&f->wait))
		nap(100);
	atomic_fetch_add(&f->read, 1);
	if (at % 7 == 0)
		nap(200);
	for (int i = 0; i < WIDTH; i++)
		to[i] = value(at, k->epoch, k->train) + (float)i;
	got->content = 100 + (uint64_t)at;
	if (f->broken_every > 0 && at % f->broken_every == 0)
		return rk_refuse(why, "%lld.jpg: is broken", (long long)at);
	if (at == f->wrong) {
		rk_refuse(why, "%lld.jpg: the disk is gone", (long long)at);
		return RK_EIO;
	}
	return RK_OK;
}

static void
fake_identify(const struct data_lazy *z, int64_t at, bool size,
    struct lazy_id *id)
{
	(void)z;
	(void)size;
	id->hash = (uint64_t)at;
}

static void
fake_free(struct data_lazy *z)
{
	free(z);
}

static const struct lazy_ops fake_ops = {
	.scratch_new = fake_scratch_new, .scratch_free = fake_scratch_free,
	.get = fake_get, .identify = fake_identify, .free = fake_free,
};

static struct data_set *
set_of(int64_t n, struct fake **fp)
{
	struct rk_why why = { 0 };
	struct held *h = held_new("fake");
	struct fake *f = xcalloc(1, sizeof(*f));

	f->lazy.ops = &fake_ops;
	f->wrong = -1;
	lazy_hold(h, &f->lazy);
	h->pub.n = n;
	h->pub.ndim = 1;
	h->pub.d[0] = h->pub.width = WIDTH;
	h->targets = xcalloc((size_t)n, sizeof(*h->targets));
	for (int64_t i = 0; i < n; i++)
		h->targets[i] = (float)(i % 3);
	t_eq_int(held_find_classes(h, &why), RK_OK);
	*fp = f;
	return &h->pub;
}

static struct data_loader *
loader_of(const struct data_set *d, struct data_loading how)
{
	struct rk_why why = { 0 };
	struct data_loader *l = NULL;

	if (data_loader_new(d, &how, &l, &why) != RK_OK)
		t_fail("refused: %s", rk_why_first(&why));
	return l;
}

static struct data_batch
next(struct data_loader *l)
{
	struct rk_why why = { 0 };
	struct data_batch b;

	if (data_loader_next(l, MS, &b, &why) != RK_OK)
		t_fail("no batch: %s", rk_why_first(&why));
	return b;
}

/* The batch at a place: its samples, numbers and hashes. */
static void
is(const struct data_batch *b, const struct data_loading *how, int64_t epoch,
    int64_t from, int64_t rows)
{
	t_eq_int(b->epoch, epoch);
	t_eq_int(b->from, from);
	t_eq_int(b->rows, rows);
	t_check(b->ids == NULL && b->left_out == NULL && b->nleft == 0);
	for (int64_t i = 0; i < rows; i++) {
		const int64_t at = how->order != NULL ? data_order_at(
		    how->order, epoch, from + i) : from + i;
		t_eq_int(b->which[i], at);
		t_eq_int(b->content[i], 100 + at);
		for (int k = 0; k < WIDTH; k++)
			t_check(b->x[WIDTH * i + k] == value(at, epoch,
			    how->train) + (float)k);
	}
}

/* --- order ---------------------------------------------------------------- */

/* Two epochs and a half from a place on. */
static void
walk(struct data_loader *l, const struct data_set *d,
    const struct data_loading *how, int64_t epoch, int64_t from)
{
	const int64_t end = epoch + 2;

	data_loader_begin(l, epoch, from, INT64_MAX);
	while (epoch < end || from < d->n / 2) {
		int64_t rows = RK_MIN(how->batch, d->n - from);
		if (rows == 0 || (how->drop_last && rows < how->batch)) {
			epoch++;
			from = 0;
			rows = RK_MIN(how->batch, d->n);
		}
		const struct data_batch b = next(l);
		is(&b, how, epoch, from, rows);
		from += rows;
	}
}

static void
walk_all(enum spec_sampler sampler, bool drop_last)
{
	const struct data_order_how ordered = { .sampler = sampler,
		.seed = 5, .shuffle = true };
	struct rk_why why = { 0 };
	struct data_order *o = NULL;
	struct fake *f;
	struct data_set *d = set_of(103, &f);

	t_eq_int(data_order_new(d, &ordered, &o, &why), RK_OK);
	for (int threads = 1; threads <= 8; threads++) {
		const struct data_loading how = { .threads = threads,
			.batch = 10, .drop_last = drop_last, .train = true,
			.seed = 5, .order = o };
		struct data_loader *l = loader_of(d, how);
		walk(l, d, &how, 0, 0);
		/* Elsewhere, backwards too, and where an epoch ends. */
		walk(l, d, &how, 3, 40);
		walk(l, d, &how, 1, 7);
		walk(l, d, &how, 1, 103);
		data_loader_free(l);
	}
	data_order_free(o);
	data_close(d);
}

T_CASE(batches_are_the_same_on_1_to_8_threads_and_from_any_place)
{
	walk_all(SPEC_SAMPLER_UNIFORM, false);
}

T_CASE(so_they_are_in_a_balanced_order)
{
	walk_all(SPEC_SAMPLER_BALANCED, false);
}

T_CASE(a_short_last_batch_may_be_left_out)
{
	walk_all(SPEC_SAMPLER_UNIFORM, true);
}

T_CASE(without_an_order_samples_come_as_the_set_has_them)
{
	struct fake *f;
	struct data_set *d = set_of(25, &f);
	const struct data_loading how = { .threads = 3, .batch = 8 };
	struct data_loader *l = loader_of(d, how);

	data_loader_begin(l, 0, 0, 4);
	for (int64_t from = 0; from < 25; from += 8) {
		const struct data_batch b = next(l);
		is(&b, &how, 0, from, RK_MIN(8, 25 - from));
	}
	data_loader_free(l);
	data_close(d);
}

T_CASE(a_batch_larger_than_the_set_is_an_epoch)
{
	struct fake *f;
	struct data_set *d = set_of(1, &f);
	const struct data_loading how = { .threads = 4, .batch = 64,
		.train = true };
	struct data_loader *l = loader_of(d, how);

	data_loader_begin(l, 0, 0, INT64_MAX);
	for (int64_t e = 0; e < 9; e++) {
		const struct data_batch b = next(l);
		is(&b, &how, e, 0, 1);
	}
	data_loader_free(l);
	data_close(d);
}

/* --- how much ahead ------------------------------------------------------- */

T_CASE(no_more_is_read_than_was_said)
{
	struct fake *f;
	struct data_set *d = set_of(1000, &f);
	const struct data_loading how = { .threads = 4, .batch = 10 };
	struct data_loader *l = loader_of(d, how);

	data_loader_begin(l, 0, 0, 2);
	next(l);
	next(l);
	data_loader_free(l);
	t_eq_int(atomic_load(&f->read), 20);
	l = loader_of(d, how);
	/* Nothing has begun, so nothing is read. */
	data_loader_free(l);
	t_eq_int(atomic_load(&f->read), 20);
	data_close(d);
}

T_CASE(the_ring_is_bounded)
{
	struct fake *f;
	struct data_set *d = set_of(1000, &f);
	const struct data_loading how = { .threads = 4, .batch = 10 };
	struct data_loader *l = loader_of(d, how);

	data_loader_begin(l, 0, 0, INT64_MAX);
	for (int i = 0; i < 20; i++)
		next(l);
	data_loader_free(l);
	/* At most 4 batches, of which the caller has one. */
	t_check(atomic_load(&f->read) >= 200 && atomic_load(&f->read) <= 230);
	data_close(d);
}

/* --- waiting and stopping -------------------------------------------------- */

T_CASE(who_waits_is_told_that_it_takes_longer_and_can_ask_again)
{
	struct fake *f;
	struct data_set *d = set_of(40, &f);
	const struct data_loading how = { .threads = 2, .batch = 2 };
	struct data_loader *l = loader_of(d, how);
	struct rk_why why = { 0 };
	struct data_batch b;

	atomic_store(&f->wait, true);
	data_loader_begin(l, 0, 0, INT64_MAX);
	/* A thread has each of the two rows. */
	while (atomic_load(&f->waiting) < 2)
		nap(100);
	for (int i = 0; i < 3; i++)
		t_eq_int(data_loader_next(l, 1, &b, &why), RK_ETIMEDOUT);
	t_check(why.n == 0 && data_loader_waited_ns(l) > 0);
	atomic_store(&f->wait, false);
	for (int64_t k = 0; k < 20; k++) {
		b = next(l);
		is(&b, &how, 0, 2 * k, 2);
	}
	data_loader_free(l);
	data_close(d);
}

T_CASE(it_stops_after_the_rows_that_are_at_hand)
{
	struct fake *f;
	struct data_set *d = set_of(1 << 20, &f);
	const struct data_loading how = { .threads = 8, .batch = 1 << 16 };
	struct data_loader *l = loader_of(d, how);

	data_loader_begin(l, 0, 0, INT64_MAX);
	while (atomic_load(&f->read) == 0)
		nap(100);
	data_loader_free(l);
	/* A batch has 65,536 rows, and a claim of each thread 16. */
	t_check(atomic_load(&f->read) < 60000);
	data_close(d);
}

/* --- samples that cannot be read ------------------------------------------- */

T_CASE(a_broken_sample_is_zeros_in_its_place)
{
	struct fake *f;
	struct data_set *d = set_of(50, &f);

	f->broken_every = 5;
	for (int threads = 1; threads <= 8; threads += 3) {
		const struct data_loading how = { .threads = threads,
			.batch = 20 };
		struct data_loader *l = loader_of(d, how);
		data_loader_begin(l, 0, 0, INT64_MAX);
		const struct data_batch b = next(l);
		t_eq_int(b.rows, 20);
		t_eq_int(b.nleft, 4);
		t_eq_int(b.nbroken, 4);
		for (int64_t i = 0; i < 20; i++) {
			t_eq_int(b.which[i], i);
			t_eq_int(b.left_out[i], i % 5 == 0);
			t_eq_int(b.content[i], 100 + i);
			t_check(b.x[WIDTH * i] == (i % 5 == 0 ? 0 :
			    value(i, 0, false)));
		}
		for (int64_t k = 0; k < 4; k++) {
			t_eq_int(b.broken[k].row, 5 * k);
			t_eq_int(b.broken[k].sample, 5 * k);
		}
		t_eq_str(b.broken[3].sentence, "15.jpg: is broken");
		data_loader_free(l);
	}
	data_close(d);
}

T_CASE(of_many_broken_ones_the_first_by_row_have_their_sentences)
{
	struct fake *f;
	struct data_set *d = set_of(300, &f);
	const struct data_loading how = { .threads = 7, .batch = 300 };
	struct data_loader *l = loader_of(d, how);

	f->broken_every = 1;
	data_loader_begin(l, 0, 0, 1);
	const struct data_batch b = next(l);
	t_eq_int(b.nleft, 300);
	t_check(b.nbroken >= 8 && b.nbroken < 300);
	for (int64_t k = 0; k < b.nbroken; k++)
		t_eq_int(b.broken[k].row, k);
	data_loader_free(l);
	data_close(d);
}

T_CASE(what_is_no_fault_of_a_sample_ends_it_when_its_batch_is_its_turn)
{
	struct fake *f;
	struct data_set *d = set_of(60, &f);

	f->wrong = 33;
	for (int threads = 1; threads <= 8; threads++) {
		const struct data_loading how = { .threads = threads,
			.batch = 10 };
		struct data_loader *l = loader_of(d, how);
		struct data_batch b;
		data_loader_begin(l, 0, 0, INT64_MAX);
		for (int64_t k = 0; k < 3; k++) {
			b = next(l);
			is(&b, &how, 0, 10 * k, 10);
		}
		for (int again = 0; again < 2; again++) {
			struct rk_why why = { 0 };
			t_eq_int(data_loader_next(l, MS, &b, &why), RK_EIO);
			t_eq_str(rk_why_first(&why),
			    "33.jpg: the disk is gone");
			rk_why_fini(&why);
		}
		data_loader_free(l);
	}
	data_close(d);
}

/* --- digests ---------------------------------------------------------------- */

T_CASE(a_digest_is_of_the_names_of_classes_whatever_their_numbers)
{
	static const char *const names[] = { "a", "b", "c" };
	static const char *const table[] = { "c", "a", "b" };
	char was[RK_SHA256_HEX], is[RK_SHA256_HEX];
	struct strbuf others = { 0 };
	struct rk_why why = { 0 };
	struct fake *f;
	struct data_set *d = set_of(9, &f);
	struct held *h = held_of(d);

	h->class_names = xcalloc(3, sizeof(*h->class_names));
	for (int i = 0; i < 3; i++)
		h->class_names[i] = xstrdup(names[i]);
	h->nclasses = 3;
	free(h->classes);
	h->classes = NULL;
	t_eq_int(held_find_classes(h, &why), RK_OK);
	data_digest(d, was);
	t_eq_int(data_match_classes(d, NULL, table, 3, &others, &why), RK_OK);
	t_eq_int(d->classes[0], 1);
	data_digest(d, is);
	t_eq_str(is, was);
	free(h->class_names[1]);
	h->class_names[1] = xstrdup("d");
	data_digest(d, is);
	t_check(strcmp(is, was) != 0);
	data_close(d);
}

T_MAIN
