/* Samples that are drawn: functions of seed and number, that can be learned. */
#include "rekindle/data.h"
#include "rekindle/kernel.h"
#include "t.h"

static struct spec_data
floats(int64_t samples, uint64_t seed)
{
	return (struct spec_data){ .train = {
		.type = SPEC_SYNTHETIC, .samples = samples, .seed = seed,
		.classes = 5, .ndim = 3, .shape = { 2, 6, 7 },
	} };
}

static struct spec_data
tokens(int64_t samples, uint64_t seed)
{
	return (struct spec_data){ .train = {
		.type = SPEC_SYNTHETIC, .samples = samples, .seed = seed,
		.classes = 5, .tokens = 9, .vocabulary = 31,
	} };
}

static struct data_set *
opens(struct spec_data s)
{
	struct rk_why why = { 0 };
	struct data_set *t, *v;

	if (data_open(&s, &t, &v, &why) != RK_OK)
		t_fail("refused: %s", rk_why_text(&why));
	t_check(v == NULL);
	return t;
}

/* The first n samples are the same in both. */
static bool
same(const struct data_set *a, const struct data_set *b, size_t n)
{
	const size_t size = n * data_sample_bytes(a);
	const void *x = a->tokens != NULL ? (const void *)a->tokens : a->floats;
	const void *y = b->tokens != NULL ? (const void *)b->tokens : b->floats;

	return memcmp(x, y, size) == 0 &&
	    memcmp(a->classes, b->classes, n * sizeof(*a->classes)) == 0;
}

static void
check_pure(struct spec_data (*of)(int64_t, uint64_t))
{
	struct data_set *few = opens(of(40, 3)), *other = opens(of(40, 4));

	t_eq_int(kernel_init(3), RK_OK);
	struct data_set *many = opens(of(4000, 3));
	kernel_fini();
	t_check(same(few, many, 40));
	t_check(!same(few, other, 40));
	t_check(!same(few, other, 1));
	data_close(few);
	data_close(many);
	data_close(other);
}

T_CASE(a_sample_depends_on_seed_and_number_and_nothing_else)
{
	check_pure(floats);
	check_pure(tokens);
}

static void
has_digest(struct spec_data s, const char *want)
{
	char hex[RK_SHA256_HEX];
	struct data_set *d = opens(s);

	data_digest(d, hex);
	t_eq_str(hex, want);
	data_close(d);
}

/* On any machine, and in any version: checkpoints hold these digests. */
T_CASE(what_is_drawn_stays_what_it_is)
{
	struct spec_data s = floats(100, 7);

	has_digest(s, "cd48f7ab42ab645d9e37cd6422f05beb"
	    "2974bf2746906d6c6a6ba245a0215ff2");
	s.train.ndim = 1;
	s.train.shape[0] = 301;
	has_digest(s, "9663327d698f02493c4dff142a8b1834"
	    "7a24700bc883f5f5dd67a725e5e6f017");
	has_digest(tokens(100, 7), "a78478b44b93cce5eee024cf71f1e35d"
	    "745fc94b9a89cdebdc1336765ce5e29c");
}

T_CASE(labels_are_of_all_classes_evenly)
{
	struct data_set *d = opens(floats(5000, 1));
	int of[5] = { 0 };

	for (int i = 0; i < 5000; i++)
		of[d->classes[i]]++;
	/* 1000 each; the standard deviation is 28. */
	for (int i = 0; i < 5; i++)
		t_check(of[i] > 860 && of[i] < 1140);
	t_eq_int(d->nclasses, 5);
	data_close(d);
}

T_CASE(numbers_are_nearly_normal)
{
	struct data_set *d = opens(floats(2000, 1));
	const int64_t all = d->n * d->width;
	double sum = 0, sq = 0, far = 0;

	t_check(d->ndim == 3 && d->d[0] == 2 && d->d[1] == 6 && d->d[2] == 7);
	for (int64_t i = 0; i < all; i++) {
		const double x = (double)d->floats[i];
		sum += x;
		sq += x * x;
		far += fabs(x) > 2.2;
	}
	/* Noise of variance 1 and signs of 1, over 168,000 numbers; the 160
	 * signs of five classes do not cancel. */
	t_check(fabs(sum / (double)all) < 0.3);
	t_check(fabs(sq / (double)all - 2) < 0.03);
	/* N(0, 1) is above 1.2 or below -3.2 in 11.6 % of all cases. */
	t_check(fabs(far / (double)all - 0.116) < 0.01);
	data_close(d);
}

/* The mean sample of each class of seed 1 finds the classes of seed 2. */
T_CASE(what_one_seed_teaches_is_true_of_another)
{
	struct data_set *t = opens(floats(2000, 1)), *v = opens(floats(500, 2));
	static double mean[5][84];
	int right = 0;

	for (int i = 0; i < 2000; i++)
		for (int k = 0; k < 84; k++)
			mean[t->classes[i]][k] += (double)t->floats[i * 84 + k];
	for (int i = 0; i < 500; i++) {
		int best = 0;
		double most = -1e9;
		for (int c = 0; c < 5; c++) {
			double dot = 0;
			for (int k = 0; k < 84; k++)
				dot += mean[c][k] *
				    (double)v->floats[i * 84 + k];
			if (dot > most) {
				most = dot;
				best = c;
			}
		}
		right += best == v->classes[i];
	}
	t_check(right > 475);
	data_close(t);
	data_close(v);
}

T_CASE(signs_are_a_tile_that_is_repeated)
{
	struct spec_data s = floats(4000, 1);
	static double mean[64];
	int n = 0;

	s.train.shape[0] = 1;
	s.train.shape[1] = s.train.shape[2] = 8;
	struct data_set *d = opens(s);
	for (int i = 0; i < 4000; i++) {
		if (d->classes[i] != 2)
			continue;
		n++;
		for (int k = 0; k < 64; k++)
			mean[k] += (double)d->floats[i * 64 + k];
	}
	/* About 800 of deviation 1: means are within 0.2 of 1 or -1. */
	for (int k = 0; k < 64; k++) {
		const int tile = k / 8 % 4 * 8 + k % 8 % 4;
		t_check(fabs(fabs(mean[k] / n) - 1) < 0.2);
		t_check((mean[k] > 0) == (mean[tile] > 0));
	}
	data_close(d);
}

/* --- tokens --------------------------------------------------------------- */

T_CASE(tokens_are_ids_with_zeros_behind_and_one_at_least)
{
	struct data_set *d = opens(tokens(3000, 1));
	int of[10] = { 0 };

	t_check(d->ndim == 1 && d->d[0] == 9 && d->width == 9);
	t_check(d->tokens != NULL && d->floats == NULL && d->bytes == NULL);
	t_eq_int(d->vocabulary, 31);
	for (int i = 0; i < 3000; i++) {
		int n = 0;
		while (n < 9 && d->tokens[i * 9 + n] != 0) {
			t_check(d->tokens[i * 9 + n] >= 1);
			t_check(d->tokens[i * 9 + n] < 31);
			n++;
		}
		t_check(n >= 1);
		of[n]++;
		for (int k = n; k < 9; k++)
			t_eq_int(d->tokens[i * 9 + k], 0);
	}
	/* 333 of each length; the standard deviation is 17. */
	for (int n = 1; n <= 9; n++)
		t_check(of[n] > 240 && of[n] < 430);
	data_close(d);
}

/* Of 30 ids each of five classes has six of its own. */
T_CASE(half_of_the_tokens_are_of_the_class)
{
	struct data_set *d = opens(tokens(3000, 1));
	int own = 0, all = 0;

	for (int i = 0; i < 3000; i++)
		for (int k = 0; k < 9 && d->tokens[i * 9 + k] != 0; k++) {
			own += (d->tokens[i * 9 + k] - 1) / 6 == d->classes[i];
			all++;
		}
	/* And a fifth of the other half. */
	t_check(fabs((double)own / all - 0.6) < 0.03);
	data_close(d);
}

T_CASE(a_vocabulary_of_two_has_one_token)
{
	struct spec_data s = tokens(50, 1);

	s.train.vocabulary = 2;
	struct data_set *d = opens(s);
	for (int i = 0; i < 50 * 9; i++)
		t_check(d->tokens[i] == 0 || d->tokens[i] == 1);
	data_close(d);
}

T_CASE(a_batch_of_tokens_is_whole_numbers)
{
	struct data_set *d = opens(tokens(50, 1));
	const int64_t which[3] = { 7, 0, 49 };
	int32_t x[27], y[3];

	data_gather_tokens(d, which, 3, x, y, NULL);
	for (int i = 0; i < 3; i++) {
		t_check(memcmp(x + i * 9, d->tokens + which[i] * 9,
		    9 * sizeof(*x)) == 0);
		t_eq_int(y[i], d->classes[which[i]]);
	}
	data_close(d);
}

T_CASE(tokens_are_split_by_their_content)
{
	struct spec_data s = tokens(1000, 1);
	struct data_set *all = opens(s), *t, *v;
	struct rk_why why = { 0 };
	int64_t a = 0, b = 0;

	s.validation_split = 0.3;
	s.split_seed = 1;
	t_eq_int(data_open(&s, &t, &v, &why), RK_OK);
	t_eq_int(t->n + v->n, 1000);
	t_check(v->n > 200 && v->n < 400);
	t_check(v->vocabulary == 31 && t->vocabulary == 31);
	/* Each side keeps the order. */
	for (int64_t i = 0; i < 1000; i++) {
		const int32_t *x = all->tokens + i * 9;
		if (a < t->n && memcmp(t->tokens + a * 9, x, 36) == 0 &&
		    t->classes[a] == all->classes[i])
			a++;
		else if (b < v->n && memcmp(v->tokens + b * 9, x, 36) == 0 &&
		    v->classes[b] == all->classes[i])
			b++;
		else
			t_fail("sample %d is on neither side", (int)i);
	}
	data_close(all);
	data_close(t);
	data_close(v);
}

/* --- both ----------------------------------------------------------------- */

static void
refuses(struct spec_data s, const char *sentence)
{
	struct data_set *t = NULL, *v = NULL;
	struct rk_why why = { 0 };

	t_eq_int(data_open(&s, &t, &v, &why), RK_EINVAL);
	t_eq_str(rk_why_first(&why), sentence);
	rk_why_fini(&why);
}

T_CASE(validation_is_of_the_same_kind)
{
	struct spec_data s = tokens(50, 1);

	s.has_validation = true;
	s.validation = tokens(20, 2).train;
	s.validation.vocabulary = 40;
	refuses(s, "data.validation: has a vocabulary of 40, data.train one of "
	    "31 (0: no tokens): want the same");
	s.validation = floats(20, 2).train;
	refuses(s, "data.validation: has a vocabulary of 0, data.train one of "
	    "31 (0: no tokens): want the same");
	s.train = floats(50, 1).train;
	s.validation.shape[2] = 8;
	refuses(s, "synthetic data.validation: its samples are 2x6x8, those "
	    "of synthetic data.train are 2x6x7");
}

T_CASE(more_than_can_be_held_is_refused)
{
	struct spec_data s = floats((int64_t)1 << 31, 1);

	s.train.shape[0] = 1024;
	refuses(s, "synthetic data.train: would take more than 64 GiB of "
	    "memory");
}

T_MAIN
