/*
 * Schedules and warm-ups as other frameworks have them.  The tables are made by
 * tests/numerics/optim.py.
 */
#include "rekindle/schedule.h"
#include "t.h"

#define BASE 0.1
/* PyTorch's recursions and ours: some roundings of numbers of at most 0.1. */
#define TOL 1e-15

static struct schedule
begun(const struct spec_schedule *s, int64_t total)
{
	const struct schedule_terms m = { .shape = *s, .peak = BASE,
	    .steps_per_epoch = 1, .total = total };
	struct schedule out;

	schedule_begin(&out, &m);
	return out;
}

static void
follows(const struct spec_schedule *s, int64_t total, const double *want,
    int n)
{
	const struct schedule f = begun(s, total);

	for (int t = 0; t < n; t++)
		t_near(schedule_rate(&f, t), want[t], TOL);
}

/* --- one cycle ------------------------------------------------------------ */

#define ONE_CYCLE(part, final) .type = SPEC_S_ONE_CYCLE, \
	.pct_start = (part), .div_factor = 25, .final_div_factor = (final)

T_CASE(one_cycle_is_pytorchs)
{
	static const double want[] = {
	    0.0040000000000000036, 0.052000000000000005, 0.10000000000000001,
	    0.095048463201347383, 0.081174565394976306, 0.06112620219362893,
	    0.038874197806371073, 0.018825834605023701, 0.0049519367986526289,
	    3.9999999999999998e-07
	};
	const struct spec_schedule s = { ONE_CYCLE(0.3, 1e4) };

	follows(&s, 10, want, 10);
}

T_CASE(one_cycle_in_lines_is_pytorchs)
{
	static const double want[] = {
	    0.01, 0.028556701030927834, 0.047113402061855672,
	    0.065670103092783497, 0.084226804123711335, 0.09790419580419582,
	    0.083932167832167837, 0.069960139860139881, 0.055988111888111897,
	    0.04201608391608392, 0.028044055944055957, 0.014072027972027973,
	    0.00010000000000000286
	};
	const struct spec_schedule s = { .type = SPEC_S_ONE_CYCLE,
	    .pct_start = 0.45, .div_factor = 10, .final_div_factor = 100,
	    .anneal = SPEC_ANNEAL_LINEAR };

	follows(&s, 13, want, 13);
}

T_CASE(one_cycle_without_a_way_up_is_pytorchs)
{
	static const double want[] = {
	    0.095048463201347383, 0.081174565394976306, 0.06112620219362893,
	    0.038874197806371073, 0.018825834605023701, 0.0049519367986526289,
	    3.9999999999999998e-07
	};
	const struct spec_schedule s = { ONE_CYCLE(0, 1e4) };

	follows(&s, 7, want, 7);
}

/* Paddle's, of max 1, 10 steps, divide 25, end 1e-4: as it prints them. */
T_CASE(one_cycle_is_paddles_with_its_end_said_as_a_factor)
{
	const double want[] = { 0.04, 0.52, 1, 0.95, 0.81, 0.61 };
	const struct spec_schedule s = { ONE_CYCLE(0.3,
	    BASE / (25 * 1e-4 * BASE)) };
	const struct schedule f = begun(&s, 10);

	for (int t = 0; t < 6; t++)
		t_near(schedule_rate(&f, t) / BASE, want[t], 0.005);
	t_near(schedule_rate(&f, 9) / BASE, 1e-4, 1e-12);
}

T_CASE(behind_its_end_one_cycle_stays_where_it_is)
{
	struct spec_schedule s = { ONE_CYCLE(0.3, 1e4), .length = 10 };
	struct schedule f = begun(&s, 15);

	for (int t = 9; t < 100; t++)
		t_near(schedule_rate(&f, t), BASE / 25 / 1e4, TOL);
	s.length = 0;
	f = begun(&s, 15);
	t_check(schedule_rate(&f, 1000) == schedule_rate(&f, 14));
}

T_CASE(a_cycle_of_every_length_has_rates_between_its_ends)
{
	for (int by = 0; by < 2; by++)
		for (int n = 1; n < 40; n++) {
			const struct spec_schedule s = { ONE_CYCLE(0.3, 1e4),
			    .anneal = (enum spec_anneal)by };
			const struct schedule f = begun(&s, n);
			for (int t = 0; t < n + 3; t++) {
				double r = schedule_rate(&f, t);
				t_check(r >= BASE / 25 / 1e4 * (1 - 1e-9) &&
				    r <= BASE * (1 + 1e-9));
			}
		}
}

/* --- warm-up -------------------------------------------------------------- */

T_CASE(the_warm_up_of_torch_and_paddle_is_one_step_lower_than_ours)
{
	static const double want[] = {
	    0.025000000000000001, 0.040000000000000008, 0.055000000000000007,
	    0.070000000000000007, 0.085000000000000006, 0.10000000000000001,
	    0.097577297556610113, 0.090546341221559898, 0.079595369988477424,
	    0.065796341221559904, 0.050500000000000003, 0.03520365877844011,
	    0.021404630011522589, 0.010453658778440109, 0.0034227024433899004,
	    0.001
	};
	struct spec_schedule s = { .type = SPEC_S_COSINE, .length = 10,
	    .min_learning_rate = 0.001, .warmup = 5,
	    .warmup_start_factor = 0.25, .warmup_by = SPEC_WARMUP_TORCH };

	follows(&s, 16, want, 16);
	s.warmup_by = SPEC_WARMUP_PADDLE;
	follows(&s, 16, want, 16);
	const struct schedule theirs = begun(&s, 16);
	s.warmup_by = SPEC_WARMUP_OURS;
	const struct schedule ours = begun(&s, 16);
	for (int t = 0; t < 4; t++)
		t_near(schedule_rate(&ours, t), schedule_rate(&theirs, t + 1),
		    TOL);
	for (int t = 5; t < 16; t++)
		t_check(schedule_rate(&ours, t) == schedule_rate(&theirs, t));
}

/* LinearWarmup(cosine, 4, 0, 1), as Paddle prints it. */
T_CASE(paddles_warm_up_begins_at_nothing)
{
	const double want[] = { 0, 0.25, 0.5, 0.75, 1, 0.9755 };
	const struct spec_schedule s = { .type = SPEC_S_COSINE, .length = 10,
	    .warmup = 4, .warmup_by = SPEC_WARMUP_PADDLE };
	const struct schedule f = begun(&s, 14);

	for (int t = 0; t < 6; t++)
		t_near(schedule_rate(&f, t) / BASE, want[t], 5e-5);
	t_check(schedule_rate(&f, 0) == 0);
}

/* --- reduce on plateau ---------------------------------------------------- */

static const double values[] = { 1, 0.9, 0.95, 0.9, 0.9, 0.89995, 0.5, 0.6,
    0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.4, 0.41, 0.41, 0.41, 0.41 };
#define VALUES ((int)RK_ARRAY_LEN(values))

/* An epoch is a step here; every rate as before it.  Written and read back on
 * the way as a checkpoint does. */
static void
judged(const struct spec_schedule *s, bool mode_max, const double *want)
{
	struct schedule f = begun(s, 1000);

	for (int t = 0; t < VALUES; t++) {
		t_near(schedule_rate(&f, t), want[t], TOL);
		const double was = schedule_rate(&f, t + 1);
		bool fell = schedule_judge(&f, t + 1, "val_loss", mode_max,
		    values[t]);
		t_check(fell == (schedule_rate(&f, t + 1) < was));
		json_t *v = schedule_json(&f);
		struct schedule back;
		t_eq_int(schedule_parse(v, &back, NULL), RK_OK);
		json_t *w = schedule_json(&back);
		t_check(json_equal(v, w));
		json_decref(v);
		json_decref(w);
		f = back;
	}
}

#define PLATEAU(f, p, t) .type = SPEC_S_PLATEAU, .factor = (f), \
	.patience = (p), .threshold = (t)

T_CASE(reduce_on_plateau_is_pytorchs)
{
	static const double want[] = {
	    0.10000000000000001, 0.10000000000000001, 0.10000000000000001,
	    0.10000000000000001, 0.10000000000000001, 0.010000000000000002,
	    0.010000000000000002, 0.010000000000000002, 0.010000000000000002,
	    0.010000000000000002, 0.0010000000000000002, 0.0010000000000000002,
	    0.0010000000000000002, 0.00010000000000000003,
	    0.00010000000000000003, 0.00010000000000000003,
	    0.00010000000000000003, 0.00010000000000000003,
	    0.00010000000000000003, 1.0000000000000004e-05
	};
	const struct spec_schedule s = { PLATEAU(0.1, 2, 1e-4) };

	judged(&s, false, want);
}

T_CASE(its_cooldown_and_its_least_rate_are_pytorchs)
{
	static const double want[] = {
	    0.10000000000000001, 0.10000000000000001, 0.10000000000000001,
	    0.10000000000000001, 0.050000000000000003, 0.050000000000000003,
	    0.050000000000000003, 0.050000000000000003, 0.050000000000000003,
	    0.025000000000000001, 0.025000000000000001, 0.025000000000000001,
	    0.025000000000000001, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02
	};
	const struct spec_schedule s = { PLATEAU(0.5, 1, 1e-4),
	    .cooldown = 2, .min_learning_rate = 0.02 };

	judged(&s, false, want);
}

T_CASE(where_more_is_better_it_is_pytorchs)
{
	static const double want[] = {
	    0.10000000000000001, 0.10000000000000001, 0.050000000000000003,
	    0.025000000000000001, 0.012500000000000001, 0.0062500000000000003,
	    0.0031250000000000002, 0.0015625000000000001,
	    0.00078125000000000004, 0.00039062500000000002,
	    0.00019531250000000001, 9.7656250000000005e-05,
	    4.8828125000000003e-05, 2.4414062500000001e-05,
	    1.2207031250000001e-05, 6.1035156250000003e-06,
	    3.0517578125000002e-06, 1.5258789062500001e-06,
	    7.6293945312500004e-07, 3.8146972656250002e-07
	};
	const struct spec_schedule s = { PLATEAU(0.5, 0, 0.1) };

	judged(&s, true, want);
}

/* From 1e-9 a hundredth would be less than 1e-8 away. */
T_CASE(a_reduction_that_is_too_small_is_left_out_as_by_pytorch)
{
	static const double want[] = {
	    0.10000000000000001, 0.10000000000000001, 0.001,
	    1.0000000000000001e-05, 1.0000000000000001e-07,
	    1.0000000000000001e-09, 1.0000000000000001e-09,
	    1.0000000000000001e-09, 1.0000000000000001e-09,
	    1.0000000000000001e-09, 1.0000000000000001e-09,
	    1.0000000000000001e-09, 1.0000000000000001e-09,
	    1.0000000000000001e-09, 1.0000000000000001e-09,
	    1.0000000000000001e-09, 1.0000000000000001e-09,
	    1.0000000000000001e-09, 1.0000000000000001e-09,
	    1.0000000000000001e-09
	};
	const struct spec_schedule s = { PLATEAU(0.01, 0, 0.1) };

	judged(&s, false, want);
}

T_CASE(what_a_plateau_has_come_to_is_shown)
{
	const struct spec_schedule s = { PLATEAU(0.5, 0, 0.1) };
	struct schedule f = begun(&s, 1000);

	for (int t = 1; t <= 3; t++)
		schedule_judge(&f, t, "val_loss", false, 1);
	json_t *v = schedule_look(&f, 0.2);
	t_near(json_number_value(json_object_get(v, "scale")), 0.25, 0);
	t_near(json_number_value(json_object_get(v, "learning_rate")), 0.02,
	    TOL);
	json_decref(v);
}

T_CASE(an_evaluation_inside_the_warm_up_does_not_count)
{
	const struct spec_schedule s = { PLATEAU(0.1, 0, 1e-4),
	    .warmup = 3 };
	struct schedule f = begun(&s, 1000);

	for (int t = 1; t <= 3; t++)
		t_check(!schedule_judge(&f, t, "loss", false, 1));
	t_eq_str(f.plateau.metric, "");
	t_check(!schedule_judge(&f, 4, "loss", false, 1));
	t_check(schedule_judge(&f, 5, "loss", false, 1));
	t_near(schedule_rate(&f, 6), 0.01, TOL);
	t_near(schedule_rate(&f, 0), 0.1 / 3 / 10, TOL);
}

T_CASE(another_metric_has_a_best_of_its_own)
{
	const struct spec_schedule s = { PLATEAU(0.1, 0, 1e-4) };
	struct schedule f = begun(&s, 1000);

	schedule_judge(&f, 1, "val_loss", false, 0.1);
	t_check(schedule_judge(&f, 2, "val_loss", false, 0.2));
	t_check(!schedule_judge(&f, 3, "val_accuracy", true, 0.05));
	t_check(!schedule_judge(&f, 4, "val_accuracy", true, 0.06));
	t_check(!schedule_judge(&f, 5, "val_accuracy", false, 0.9));
	t_near(schedule_rate(&f, 6), 0.01, TOL);
}

T_CASE(what_is_no_number_is_no_best)
{
	const struct spec_schedule s = { PLATEAU(0.1, 1, 1e-4) };
	struct schedule f = begun(&s, 1000);

	t_check(!schedule_judge(&f, 1, "loss", true, NAN));
	t_check(schedule_judge(&f, 2, "loss", true, INFINITY));
	json_t *v = schedule_json(&f);
	t_check(json_object_get(json_object_get(v, "plateau"), "best") ==
	    NULL);
	json_decref(v);
}

T_CASE(other_schedules_do_not_care_for_results)
{
	const struct spec_schedule s = { .type = SPEC_S_COSINE };
	struct schedule f = begun(&s, 10), g = f;

	t_check(!schedule_judge(&f, 1, "loss", false, 1));
	t_check(memcmp(&f, &g, sizeof(f)) == 0);
	json_t *v = schedule_json(&f);
	t_check(json_object_get(v, "plateau") == NULL);
	json_decref(v);
}

/* --- resumes -------------------------------------------------------------- */

T_CASE(what_a_plateau_has_come_to_goes_on_but_for_a_restart)
{
	struct spec_schedule s = { PLATEAU(0.1, 0, 1e-4) };
	struct schedule old = begun(&s, 10), f;

	schedule_judge(&old, 1, "loss", false, 1);
	t_check(schedule_judge(&old, 2, "loss", false, 1));
	s.on_resume = SPEC_RESUME_KEEP;
	struct schedule_terms m = { .shape = s, .peak = BASE,
	    .steps_per_epoch = 1, .total = 20 };
	t_eq_int(schedule_go_on(&f, &old, &m, 3), SCHEDULE_ANEW);
	t_near(schedule_rate(&f, 3), 0.01, TOL);
	m.shape.on_resume = SPEC_RESUME_STRETCH;
	schedule_go_on(&f, &old, &m, 3);
	t_near(schedule_rate(&f, 3), 0.01, TOL);
	m.shape.on_resume = SPEC_RESUME_RESTART;
	schedule_go_on(&f, &old, &m, 3);
	t_near(schedule_rate(&f, 3), 0.1, TOL);
	/* Another peak: times the same scale. */
	m = old.said;
	m.peak = 0.05;
	t_eq_int(schedule_go_on(&f, &old, &m, 3), SCHEDULE_PEAK);
	t_near(schedule_rate(&f, 3), 0.005, TOL);
}

static void
keep_text(void *ctx, const char *sentence)
{
	strcat(ctx, sentence);
}

T_CASE(a_patience_that_the_run_has_not_is_said)
{
	struct spec_schedule s = { PLATEAU(0.1, 10, 1e-4) };
	struct schedule f = begun(&s, 12);
	char text[512] = "";

	schedule_remarks(&f, 1, keep_text, text);
	t_has(text, "training.schedule.patience: more than 10 bad epochs in a "
	    "row do not fit into a run of 12");
	f = begun(&s, 13);
	text[0] = '\0';
	schedule_remarks(&f, 1, keep_text, text);
	t_eq_str(text, "");
}

T_CASE(people_are_told_how_far_the_rate_has_come_down)
{
	struct spec_schedule s = { PLATEAU(0.1, 0, 1e-4) };
	struct schedule f = begun(&s, 12);
	char *text = schedule_text(&f, 1);

	t_eq_str(text, "reduce_on_plateau over 12 steps from step 0, peak "
	    "0.1");
	free(text);
	schedule_judge(&f, 1, "loss", false, 1);
	schedule_judge(&f, 2, "loss", false, 1);
	text = schedule_text(&f, 1);
	t_has(text, "peak 0.1, times 0.1 so far");
	free(text);
}

T_CASE(a_damaged_plateau_is_refused)
{
	struct spec_schedule s = { PLATEAU(0.1, 10, 1e-4) };
	struct schedule f = begun(&s, 12), back;
	static const char *const bad[] = { "{\"scale\": 2}",
	    "{\"scale\": 0.5, \"bad\": -1, \"cooldown\": 0}",
	    "{\"scale\": 0.5, \"bad\": 1, \"cooldown\": 0, "
	    "\"metric\": \"loss\"}",
	    "{\"scale\": 0.5, \"bad\": 1, \"cooldown\": 0, \"metric\": "
	    "\"loss\", \"mode\": \"up\", \"best\": 1}", "[1]" };

	for (size_t i = 0; i < RK_ARRAY_LEN(bad); i++) {
		struct rk_why why = {0};
		json_t *v = schedule_json(&f), *p;
		t_eq_int(rkj_parse_json(bad[i], strlen(bad[i]), &p, NULL),
		    RK_OK);
		json_object_set_new(v, "plateau", p);
		t_eq_int(schedule_parse(v, &back, &why), RK_EINVAL);
		t_has(rk_why_first(&why), "schedule.plateau");
		rk_why_fini(&why);
		json_decref(v);
	}
}

T_MAIN
