/*
 * Who validates: a function of a sample's content and the seed, that nothing
 * else moves.
 */
#include <math.h>

#include "rekindle/data.h"
#include "t.h"

#define MOST 20000

/* A file of samples by number: features from the number, a label of its own.
 * Sides are looked up by number, so that files in any order compare. */
struct file {
	int n, what[MOST], label[MOST];
};
enum { ABSENT, TRAINS, VALIDATES };

static struct file
numbered(int n, int classes)
{
	struct file f = { .n = n };

	for (int i = 0; i < n; i++) {
		f.what[i] = i;
		f.label[i] = i % classes;
	}
	return f;
}

static void
write_csv(const struct file *f)
{
	FILE *out = fopen("t.csv", "w");

	t_check(out != NULL);
	for (int i = 0; i < f->n; i++)
		fprintf(out, "%d,0.5,%d\n", f->what[i], f->label[i]);
	t_check(fclose(out) == 0);
}

static struct spec_data
spec_of(double part)
{
	static char path[] = "t.csv";

	return (struct spec_data){
		.train = { .type = SPEC_CSV, .path = path, .label_index = -1,
		    .delimiter = ',' },
		.validation_split = part, .split_seed = 1,
	};
}

static void
open_split(const struct file *f, double part, struct data_split how,
    struct data_set **t, struct data_set **v)
{
	struct spec_data s = spec_of(part);
	struct data_files *files = NULL;
	struct rk_why why = { 0 };

	write_csv(f);
	if (data_read(&s, &files, &why) != RK_OK ||
	    data_divide(files, &how, t, v, &why) != RK_OK)
		t_fail("refused: %s", rk_why_text(&why));
	data_files_free(files);
}

/* Fails when samples of one number are on both sides. */
static void
note(const struct data_set *d, char side, char *sides)
{
	for (int64_t i = 0; i < d->n; i++) {
		int what = (int)d->floats[2 * i];
		t_check(sides[what] == ABSENT || sides[what] == side);
		sides[what] = side;
	}
}

/* sides[number]; how many validate. */
static int64_t
sides_of(const struct file *f, double part, enum data_split_rule rule,
    uint64_t seed, char sides[MOST])
{
	struct data_set *t, *v;

	memset(sides, ABSENT, MOST);
	open_split(f, part, (struct data_split){ rule, seed }, &t, &v);
	t_eq_int(t->n + v->n, f->n);
	note(t, TRAINS, sides);
	note(v, VALIDATES, sides);
	int64_t n = v->n;
	data_close(t);
	data_close(v);
	return n;
}

static struct file f, g;
static char a[MOST], b[MOST];

T_CASE(samples_that_come_later_move_none_whatever_the_order)
{
	f = numbered(1000, 3);
	sides_of(&f, 0.2, DATA_SPLIT_CONTENT, 7, a);
	/* Backwards, with twice as many between them, some of a new class. */
	g.n = 2000;
	for (int i = 0; i < 2000; i++) {
		g.what[i] = i % 2 ? 1000 + i : 999 - i / 2;
		g.label[i] = i % 2 ? 3 : g.what[i] % 3;
	}
	sides_of(&g, 0.2, DATA_SPLIT_CONTENT, 7, b);
	for (int i = 0; i < 1000; i++)
		t_check(a[i] == b[i]);
}

T_CASE(samples_that_go_move_none_of_the_others)
{
	f = numbered(1000, 3);
	sides_of(&f, 0.2, DATA_SPLIT_CONTENT, 7, a);
	f.n = 500;
	sides_of(&f, 0.2, DATA_SPLIT_CONTENT, 7, b);
	for (int i = 0; i < 500; i++)
		t_check(a[i] == b[i]);
}

T_CASE(a_label_put_right_moves_nothing)
{
	f = numbered(1000, 3);
	sides_of(&f, 0.2, DATA_SPLIT_CONTENT, 7, a);
	for (int i = 0; i < 1000; i++)
		f.label[i] = 2;
	sides_of(&f, 0.2, DATA_SPLIT_CONTENT, 7, b);
	t_check(memcmp(a, b, 1000) == 0);
}

T_CASE(a_larger_share_only_adds)
{
	f = numbered(1000, 3);
	sides_of(&f, 0.2, DATA_SPLIT_CONTENT, 7, a);
	sides_of(&f, 0.3, DATA_SPLIT_CONTENT, 7, b);
	for (int i = 0; i < 1000; i++)
		t_check(a[i] == TRAINS || b[i] == VALIDATES);
}

T_CASE(the_share_holds_in_expectation_and_seeds_choose_apart)
{
	int both = 0;

	f = numbered(MOST, 3);
	/* Five deviations of 20000 draws at 0.1 are 212. */
	t_near((double)sides_of(&f, 0.1, DATA_SPLIT_CONTENT, 1, a), 2000, 212);
	t_near((double)sides_of(&f, 0.1, DATA_SPLIT_CONTENT, 2, b), 2000, 212);
	for (int i = 0; i < MOST; i++)
		both += a[i] == VALIDATES && b[i] == VALIDATES;
	/* At 0.01: 70. */
	t_near(both, 200, 70);
}

/* note() fails when samples alike are on both sides. */
T_CASE(samples_alike_are_on_one_side_whatever_their_labels)
{
	f = numbered(3000, 3);
	for (int i = 0; i < 3000; i++)
		f.what[i] = i / 3;
	sides_of(&f, 0.3, DATA_SPLIT_CONTENT, 7, a);
	sides_of(&f, 0.3, DATA_SPLIT_STRATIFIED, 7, a);
	for (int i = 0; i < 3000; i++)
		f.what[i] = i % 700;
	sides_of(&f, 0.3, DATA_SPLIT_STRATIFIED, 7, a);
}

/* Who reads this in ten years gets the same split. */
T_CASE(the_split_of_known_samples_is_known)
{
	char text[41] = { 0 };

	f = numbered(40, 2);
	sides_of(&f, 0.25, DATA_SPLIT_CONTENT, 1, a);
	for (int i = 0; i < 40; i++)
		text[i] = a[i] == VALIDATES ? 'v' : '.';
	t_eq_str(text, "...v...v..v.vv..v......v.......v.v..vv..");
}

static void
count_classes(const struct file *x, const char *sides, int *valid)
{
	for (int i = 0; i < x->n; i++)
		valid[x->label[i]] += sides[x->what[i]] == VALIDATES;
}

T_CASE(stratified_is_exact_for_each_class)
{
	int valid[4] = { 0 };

	f = numbered(1000, 3);
	for (int i = 0; i < 10; i++)
		f.label[i] = 3;
	sides_of(&f, 0.15, DATA_SPLIT_STRATIFIED, 7, a);
	count_classes(&f, a, valid);
	/* 330, 330 and 330 of 0.15 are 49.5: the half up. */
	t_check(valid[0] == 50 && valid[1] == 50 && valid[2] == 50);
	t_eq_int(valid[3], 2);
}

T_CASE(stratified_takes_the_lowest_ranks_so_most_stay_when_some_come)
{
	int moved = 0;

	f = numbered(1000, 2);
	sides_of(&f, 0.2, DATA_SPLIT_STRATIFIED, 7, a);
	f = numbered(1500, 2);
	sides_of(&f, 0.2, DATA_SPLIT_STRATIFIED, 7, b);
	for (int i = 0; i < 1000; i++)
		moved += a[i] != b[i];
	/* The edge of a class, the 100th of 500 ranks, is off by 0.018 (one
	 * deviation): about 9 samples; by another draw it were 320. */
	t_check(moved < 5 * 18);
}

T_CASE(of_each_class_one_at_least_trains)
{
	f = numbered(100, 2);
	f.label[0] = 2;
	sides_of(&f, 0.9, DATA_SPLIT_STRATIFIED, 7, a);
	t_check(a[0] == TRAINS);
}

T_CASE(the_rule_of_before_is_still_there)
{
	f = numbered(100, 10);
	t_eq_int(sides_of(&f, 0.126, DATA_SPLIT_PERMUTATION, 5, a), 13);
	for (uint64_t i = 0; i < 100; i++)
		t_check(a[rk_permute(5, UINT64_MAX, 100, i)] ==
		    (i < 13 ? VALIDATES : TRAINS));
}

/* --- what a model has seen ------------------------------------------------ */

/* Of the validation samples that x has by `how`, those that a model saw which
 * was trained on y: what is counted, and what is true. */
static void
check_seen(const struct file *x, double part, struct data_split how,
    const struct file *y, double of_part, struct data_split of, bool exact)
{
	struct data_set *t, *v;
	int64_t truth = 0;

	open_split(y, of_part, of, &t, &v);
	const struct data_seen seen = { of.seed, t->first_rank };
	memset(a, ABSENT, MOST);
	note(t, TRAINS, a);
	data_close(t);
	data_close(v);

	open_split(x, part, how, &t, &v);
	for (int64_t i = 0; i < v->n; i++)
		truth += a[(int)v->floats[2 * i]] == TRAINS;
	int64_t said = data_count_seen(v, &seen, 1);
	t_check(exact ? said == truth : said >= truth);
	data_close(t);
	data_close(v);
}

T_CASE(what_a_model_was_trained_on_is_counted)
{
	const struct data_split one = { DATA_SPLIT_CONTENT, 1 };
	const struct data_split two = { DATA_SPLIT_CONTENT, 2 };
	const struct data_split by_class = { DATA_SPLIT_STRATIFIED, 1 };

	f = numbered(1000, 3);
	g = numbered(400, 3);
	/* The same seed: none, whatever came or went. */
	check_seen(&f, 0.2, one, &f, 0.2, one, true);
	check_seen(&f, 0.2, one, &g, 0.2, one, true);
	check_seen(&g, 0.1, one, &f, 0.2, one, true);
	/* The same samples: exactly those. */
	check_seen(&f, 0.3, one, &f, 0.2, one, true);
	check_seen(&f, 0.2, two, &f, 0.2, one, true);
	/* Else as many at most. */
	check_seen(&f, 0.3, one, &g, 0.2, one, false);
	check_seen(&f, 0.2, two, &g, 0.2, one, false);
	check_seen(&f, 0.2, by_class, &g, 0.2, by_class, false);
	check_seen(&f, 0.2, by_class, &f, 0.2, one, false);
}

T_CASE(the_whole_is_the_same_in_any_order_and_no_other)
{
	struct data_set *t, *v;
	uint64_t whole[3];

	f = numbered(100, 3);
	for (int i = 0; i < 3; i++) {
		if (i == 1)
			for (int k = 0; k < 100; k++) {
				f.what[k] = 99 - k;
				f.label[k] = (99 - k) % 3;
			}
		if (i == 2)
			f.label[50] = (f.label[50] + 1) % 3;
		open_split(&f, 0.3, (struct data_split){ DATA_SPLIT_CONTENT,
		    (uint64_t)i }, &t, &v);
		whole[i] = t->whole;
		data_close(t);
		data_close(v);
	}
	t_check(whole[0] == whole[1] && whole[1] != whole[2]);
}

/* --- refusals ------------------------------------------------------------- */

static void
refuses(double part, bool stratify, uint64_t seed, const char *sentences)
{
	struct spec_data s = spec_of(part);
	struct data_set *t = NULL, *v = NULL;
	struct rk_why why = { 0 };

	s.stratify = stratify;
	s.split_seed = seed;
	write_csv(&f);
	t_eq_int(data_open(&s, &t, &v, &why), RK_EINVAL);
	char *text = rk_why_text(&why);
	t_eq_str(text, sentences);
	free(text);
	rk_why_fini(&why);
}

T_CASE(a_split_that_leaves_nothing_is_refused_with_its_numbers)
{
	f = numbered(4, 2);
	refuses(0.001, false, 3, "data.validation_split: is 0.001, and of the "
	    "4 samples in t.csv that leaves none for validation by split_seed "
	    "3");
	refuses(0.15, false, 1, "data.validation_split: is 0.15, and of the 4 "
	    "samples in t.csv that leaves none for validation by split_seed "
	    "1; try another, or data.split: {stratify: true}");
	refuses(0.1, true, 1, "data.validation_split: is 0.1, and of the 4 "
	    "samples in t.csv that leaves none for validation");
	f = numbered(1, 1);
	refuses(0.9, false, 1, "data.validation_split: is 0.9, and of the 1 "
	    "sample in t.csv that leaves none for training by split_seed 1");
}

T_CASE(classes_are_needed_for_a_share_of_each)
{
	f = numbered(4, 2);
	f.label[2] = -1;
	refuses(0.5, true, 1, "data.split.stratify: is true, and the labels in "
	    "t.csv are no classes");
}

T_MAIN
