/*
 * Schedules: their closed forms, no jump where the warm-up ends, and nothing
 * but the step decides.
 */
#include "rekindle/schedule.h"
#include "t.h"

#define BASE 0.1
/* A handful of double roundings on numbers of at most 0.1. */
#define TOL 1e-15

static double
rate_of(const struct spec_schedule *s, int64_t step, int64_t steps_per_epoch,
    int64_t total)
{
	const struct schedule_terms m = { .shape = *s, .peak = BASE,
		.steps_per_epoch = steps_per_epoch, .total = total };

	return schedule_lr_at(&m, step);
}

static double
at(const struct spec_schedule *s, int64_t step)
{
	return rate_of(s, step, 10, 100);
}

T_CASE(constant_is_constant)
{
	const struct spec_schedule s = { .type = SPEC_S_CONSTANT };

	t_check(at(&s, 0) == BASE && at(&s, 1000000) == BASE);
}

T_CASE(step_multiplies_every_so_many_steps)
{
	const struct spec_schedule s = { .type = SPEC_S_STEP, .step_size = 30,
	    .gamma = 0.1 };

	t_near(at(&s, 29), 0.1, TOL);
	t_near(at(&s, 30), 0.01, TOL);
	t_near(at(&s, 59), 0.01, TOL);
	t_near(at(&s, 60), 0.001, TOL);
}

T_CASE(multistep_multiplies_at_each_milestone)
{
	const struct spec_schedule s = { .type = SPEC_S_MULTISTEP, .gamma = 0.5,
	    .milestones = { 5, 20, 21 }, .nmilestones = 3 };

	t_near(at(&s, 4), 0.1, TOL);
	t_near(at(&s, 5), 0.05, TOL);
	t_near(at(&s, 20), 0.025, TOL);
	t_near(at(&s, 21), 0.0125, TOL);
	t_near(at(&s, 99), 0.0125, TOL);
}

T_CASE(cosine_is_pytorchs_on_its_way_down)
{
	const struct spec_schedule s = { .type = SPEC_S_COSINE, .length = 10,
	    .min_learning_rate = 0.001 };
	const double want[] = { 0.1, 0.09757729755661011, 0.0905463412215599,
	    0.07959536998847742, 0.0657963412215599, 0.0505,
	    0.03520365877844011, 0.02140463001152259, 0.010453658778440109,
	    0.0034227024433899004, 0.001 };

	/* PyTorch's is a recursion: ten steps of rounding. */
	for (int t = 0; t <= 10; t++)
		t_near(at(&s, t), want[t], 1e-14);
}

T_CASE(cosine_does_not_rise_again)
{
	const struct spec_schedule s = { .type = SPEC_S_COSINE, .length = 10,
	    .min_learning_rate = 0.001 };

	for (int t = 10; t < 200; t++)
		t_check(at(&s, t) == 0.001);
}

T_CASE(linear_ends_at_its_factor)
{
	const struct spec_schedule s = { .type = SPEC_S_LINEAR, .length = 50,
	    .end_factor = 0.2 };

	t_near(at(&s, 0), 0.1, TOL);
	t_near(at(&s, 25), 0.06, TOL);
	t_near(at(&s, 50), 0.02, TOL);
	t_near(at(&s, 99), 0.02, TOL);
}

T_CASE(polynomial_has_its_power)
{
	const struct spec_schedule s = { .type = SPEC_S_POLYNOMIAL,
	    .length = 40, .power = 2, .min_learning_rate = 0.02 };

	t_near(at(&s, 0), 0.1, TOL);
	t_near(at(&s, 10), 0.02 + 0.08 * 0.75 * 0.75, TOL);
	t_near(at(&s, 20), 0.02 + 0.08 * 0.25, TOL);
	t_near(at(&s, 40), 0.02, TOL);
	t_near(at(&s, 41), 0.02, TOL);
}

T_CASE(a_length_of_zero_means_the_rest_of_the_training)
{
	struct spec_schedule s = { .type = SPEC_S_LINEAR };

	t_near(at(&s, 50), 0.05, TOL);
	t_near(at(&s, 100), 0, TOL);
	s.warmup = 20;
	t_near(at(&s, 20), 0.1, TOL);
	t_near(at(&s, 60), 0.05, TOL);
	t_near(at(&s, 100), 0, TOL);
}

T_CASE(lengths_in_epochs_are_multiplied)
{
	const struct spec_schedule steps[] = {
		{ .type = SPEC_S_STEP, .step_size = 30, .gamma = 0.1 },
		{ .type = SPEC_S_MULTISTEP, .gamma = 0.5,
		  .milestones = { 20, 50 }, .nmilestones = 2 },
		{ .type = SPEC_S_COSINE, .length = 70, .warmup = 20 },
	};
	const struct spec_schedule epochs[] = {
		{ .type = SPEC_S_STEP, .step_size = 3, .gamma = 0.1,
		  .unit_epochs = true },
		{ .type = SPEC_S_MULTISTEP, .gamma = 0.5, .unit_epochs = true,
		  .milestones = { 2, 5 }, .nmilestones = 2 },
		{ .type = SPEC_S_COSINE, .length = 7, .unit_epochs = true,
		  .warmup = 2, .warmup_unit_epochs = true },
	};

	for (int k = 0; k < 3; k++)
		for (int t = 0; t < 120; t++)
			t_check(at(&steps[k], t) == at(&epochs[k], t));
}

T_CASE(a_warm_up_climbs_in_equal_steps_to_the_base)
{
	const struct spec_schedule s = { .type = SPEC_S_CONSTANT, .warmup = 10,
	    .warmup_start_factor = 0.5 };

	for (int t = 0; t < 10; t++)
		t_near(at(&s, t), BASE * (0.5 + 0.05 * (t + 1)), TOL);
	t_check(at(&s, 10) == BASE);
}

T_CASE(no_schedule_jumps_where_its_warm_up_ends)
{
	struct spec_schedule s = { .warmup = 25, .length = 50, .step_size = 10,
	    .milestones = { 3 }, .nmilestones = 1, .gamma = 0.1, .power = 3 };

	for (int k = SPEC_S_CONSTANT; k <= SPEC_S_POLYNOMIAL; k++) {
		s.type = (enum spec_schedule_type)k;
		t_near(at(&s, 24), BASE, TOL);
		t_near(at(&s, 25), BASE, TOL);
		t_near(at(&s, 0), BASE / 25, TOL);
	}
}

T_CASE(step_and_multistep_count_from_the_end_of_the_warm_up)
{
	struct spec_schedule s = { .type = SPEC_S_STEP, .warmup = 7,
	    .step_size = 10, .gamma = 0.1, .milestones = { 10 },
	    .nmilestones = 1 };

	t_near(at(&s, 16), 0.1, TOL);
	t_near(at(&s, 17), 0.01, TOL);
	s.type = SPEC_S_MULTISTEP;
	t_near(at(&s, 16), 0.1, TOL);
	t_near(at(&s, 17), 0.01, TOL);
}

T_CASE(the_order_of_the_questions_does_not_matter)
{
	const struct spec_schedule s = { .type = SPEC_S_COSINE, .warmup = 10 };
	double up[100];

	for (int t = 0; t < 100; t++)
		up[t] = at(&s, t);
	for (int t = 99; t >= 0; t--)
		t_check(at(&s, t) == up[t]);
}

T_CASE(absurd_lengths_give_numbers)
{
	struct spec_schedule s = { .type = SPEC_S_COSINE,
	    .length = INT64_MAX, .unit_epochs = true, .warmup = INT64_MAX,
	    .warmup_unit_epochs = true };

	t_check(isfinite(rate_of(&s, INT64_MAX, INT64_MAX, 1)));
	s.warmup = 0;
	t_check(isfinite(rate_of(&s, INT64_MAX, INT64_MAX, 1)));
	s.length = 0;
	t_check(isfinite(rate_of(&s, 10, 10, 0)));
}

T_MAIN
