/* Where phases begin and end, in steps; and in a checkpoint's words. */
#include "rekindle/schedule.h"
#include "t.h"

#define SPE 10                          /* steps of an epoch */

static struct spec_schedule cosine = { .type = SPEC_S_COSINE };
static struct spec_phase phases[] = {
	{ .steps = 13, .scale = 1 },
	{ .epochs = 2, .scale = 0.5, .schedule = &cosine },
	{ .scale = 0.1 },
};
static const struct spec_training job = { .epochs = 5, .phases = phases,
	.nphases = 3, .optim.learning_rate = 1 };

static void
is_at(const struct schedule_phase *at, int index, int64_t step, int64_t epoch,
    int64_t of_epoch)
{
	t_eq_int(at->index, index);
	t_eq_int(at->step, step);
	t_eq_int(at->epoch, epoch);
	t_eq_int(at->of_epoch, of_epoch);
}

/* What is left of the second epoch is the first of two. */
T_CASE(a_phase_of_epochs_ends_with_an_epoch)
{
	struct schedule_phase at = { 0 };

	t_eq_int(schedule_phase_end(&job, SPE, &at), 13);
	at = schedule_phase_next(&job, SPE, &at);
	is_at(&at, 1, 13, 1, 3);
	t_eq_int(schedule_phase_end(&job, SPE, &at), 30);
	at = schedule_phase_next(&job, SPE, &at);
	is_at(&at, 2, 30, 3, 0);
	t_eq_int(schedule_phase_end(&job, SPE, &at), 50);
	t_eq_int(schedule_total(&job, SPE), 50);
}

T_CASE(it_is_over_by_its_own_unit)
{
	const struct schedule_phase first = { 0 };
	const struct schedule_phase second = { 1, 13, 1, 3 };
	const struct schedule_phase last = { 2, 30, 3, 0 };

	t_check(!schedule_phase_over(&job, &first, 12, 1));
	t_check(schedule_phase_over(&job, &first, 13, 1));
	t_check(!schedule_phase_over(&job, &second, 29, 2));
	/* Behind the epoch's evaluation. */
	t_check(!schedule_phase_over(&job, &second, 30, 2));
	t_check(schedule_phase_over(&job, &second, 30, 3));
	t_check(!schedule_phase_over(&job, &last, 1000, 100));
	t_check(!schedule_phase_over(&(struct spec_training){ .epochs = 1 },
	    &first, 1000, 100));
}

T_CASE(one_that_is_not_recorded_is_counted_from_the_beginning)
{
	struct schedule_phase at = schedule_phase_find(&job, SPE, 12, 1);

	is_at(&at, 0, 0, 0, 0);
	at = schedule_phase_find(&job, SPE, 20, 2);
	is_at(&at, 1, 13, 1, 3);
	at = schedule_phase_find(&job, SPE, 47, 4);
	is_at(&at, 2, 30, 3, 0);
}

/* It began later than by the lengths of those before: the data had grown. */
T_CASE(where_it_began_counts_and_not_where_it_would_have)
{
	const struct schedule_phase at = { 1, 17, 1, 7 };

	t_eq_int(schedule_phase_end(&job, SPE, &at), 30);
	t_eq_int(schedule_phase_end(&job, 12, &at), 17 + 24 - 7);
	const struct schedule_phase steps = { 0, 5, 0, 5 };
	t_eq_int(schedule_phase_end(&job, SPE, &steps), 18);
}

/* The first was to be of 2 epochs and was made 1 behind both. */
T_CASE(one_that_begins_late_has_the_schedule_of_what_is_left)
{
	struct spec_phase v[] = { { .epochs = 1, .scale = 1 },
		{ .epochs = 3, .scale = 1 } };
	struct spec_training t = { .epochs = 4, .phases = v, .nphases = 2 };
	const struct schedule_phase late = { 1, 20, 2, 0 };
	const struct schedule_phase inside = { 1, 17, 1, 7 };
	struct schedule s;

	struct schedule_terms m = schedule_terms_at(&t, SPE, &late);
	t_eq_int(m.total, 40);
	schedule_begin_at(&s, &m, late.step);
	t_eq_int(s.now.total, 20);
	t_eq_int(schedule_terms_at(&t, SPE, &inside).total, 40);
	/* By steps, too. */
	v[0] = (struct spec_phase){ .steps = 10, .scale = 1 };
	v[1] = (struct spec_phase){ .steps = 30, .scale = 1 };
	t.epochs = 0;
	t.steps = 40;
	t_eq_int(schedule_terms_at(&t, SPE, &late).total, 40);
	/* In another unit a length is its own. */
	t.steps = 0;
	t.epochs = 4;
	t_eq_int(schedule_terms_at(&t, SPE, &late).total, 50);
	v[1] = (struct spec_phase){ .epochs = 3, .scale = 1 };
	t_eq_int(schedule_terms_at(&t, SPE, &late).total, 50);
}

T_CASE(each_has_a_schedule_that_begins_with_it)
{
	const struct schedule_phase at = { 1, 13, 1, 3 };
	const struct schedule_terms m = schedule_terms_at(&job, SPE, &at);
	struct schedule s, again;

	schedule_begin_at(&s, &m, at.step);
	t_check(schedule_rate(&s, 13) == 0.5);
	t_near(schedule_rate(&s, 13 + 17 / 2), 0.25, 0.03);
	t_check(schedule_rate(&s, 30) < 0.005);
	t_eq_int(schedule_go_on(&again, &s, &m, 20), SCHEDULE_SAME);
	/* With another rate, and then as if it had been longer. */
	struct schedule_terms other = m;
	other.peak = 0.25;
	t_eq_int(schedule_go_on(&again, &s, &other, 20), SCHEDULE_PEAK);
	t_near(schedule_rate(&again, 20), schedule_rate(&s, 20) / 2, 1e-12);
	other.total = 47;
	t_eq_int(schedule_go_on(&again, &s, &other, 20), SCHEDULE_ANEW);
	t_eq_int(again.from, 13);
	t_eq_int(again.now.total, 34);
	t_eq_int(again.by, SPEC_RESUME_UNSAID);
}

T_CASE(a_checkpoint_says_which_is_under_way)
{
	const struct schedule_phase at = { 1, 13, 1, 3 };
	json_t *v = schedule_phase_json(&at);
	struct schedule_phase back;
	struct rk_why why = { 0 };

	t_eq_int(json_integer_value(json_object_get(v, "number")), 2);
	t_eq_int(schedule_phase_parse(v, &back, &why), RK_OK);
	is_at(&back, 1, 13, 1, 3);
	static const char *const bad[][2] = { { "number", "0" },
		{ "number", "33" }, { "step", "-1" }, { "epoch", "1.5" },
		{ "of_epoch", "null" } };
	for (size_t i = 0; i < RK_ARRAY_LEN(bad); i++) {
		json_t *w = json_copy(v), *x;
		t_eq_int(rkj_parse_json(bad[i][1], strlen(bad[i][1]), &x,
		    NULL), RK_OK);
		json_object_set_new(w, bad[i][0], x);
		t_eq_int(schedule_phase_parse(w, &back, &why), RK_EINVAL);
		t_has(rk_why_first(&why), bad[i][0]);
		rk_why_fini(&why);
		why = (struct rk_why){ 0 };
		json_decref(w);
	}
	json_decref(v);
}

T_MAIN
