/*
 * What becomes of a schedule on a resume: keep, stretch and restart against
 * their formulas, in a row, and what is refused.
 */
#include "rekindle/schedule.h"
#include "t.h"

#define PEAK 0.1
/* A handful of double roundings on numbers of at most 1. */
#define TOL 1e-15

static struct schedule_terms
terms(enum spec_schedule_type type, int64_t total, enum spec_on_resume how)
{
	return (struct schedule_terms){
		.shape = { .type = type, .gamma = 0.5, .power = 1,
		    .step_size = 30, .on_resume = how },
		.peak = PEAK, .steps_per_epoch = 10, .total = total,
	};
}

/* The cosine of `total` steps at t, written down once more. */
static double
cosine(double t, double total)
{
	return PEAK * (1 + cos(M_PI * t / total)) / 2;
}

static struct schedule
begun(enum spec_schedule_type type, int64_t total)
{
	const struct schedule_terms m = terms(type, total, 0);
	struct schedule s;

	schedule_begin(&s, &m);
	return s;
}

static struct schedule
resumed(const struct schedule *old, const struct schedule_terms *m,
    int64_t step)
{
	struct schedule s;

	t_check(schedule_go_on(&s, old, m, step) != SCHEDULE_SAME);
	return s;
}

T_CASE(keep_goes_on_with_the_old_length_and_then_with_its_last_rate)
{
	const struct schedule old = begun(SPEC_S_COSINE, 100);
	const struct schedule_terms m = terms(SPEC_S_COSINE, 300,
	    SPEC_RESUME_KEEP);
	const struct schedule s = resumed(&old, &m, 60);

	for (int t = 0; t < 100; t++)
		t_near(schedule_rate(&s, t), cosine(t, 100), TOL);
	for (int t = 100; t < 400; t++)
		t_check(schedule_rate(&s, t) == schedule_rate(&old, 99));
	t_check(schedule_rate(&s, 299) > 0);
}

T_CASE(stretch_is_the_formula_with_the_new_length_from_the_beginning)
{
	const struct schedule old = begun(SPEC_S_COSINE, 100);
	const struct schedule_terms m = terms(SPEC_S_COSINE, 300,
	    SPEC_RESUME_STRETCH);
	const struct schedule s = resumed(&old, &m, 60);
	const struct schedule whole = begun(SPEC_S_COSINE, 300);

	for (int t = 0; t < 300; t++)
		t_check(schedule_rate(&s, t) == schedule_rate(&whole, t));
}

T_CASE(restart_is_a_new_schedule_with_its_warm_up_over_what_remains)
{
	const struct schedule old = begun(SPEC_S_COSINE, 100);
	struct schedule_terms m = terms(SPEC_S_COSINE, 300,
	    SPEC_RESUME_RESTART);

	m.shape.warmup = 20;
	const struct schedule s = resumed(&old, &m, 60);
	for (int t = 60; t < 80; t++)
		t_near(schedule_rate(&s, t), PEAK * (t - 60 + 1) / 20, TOL);
	for (int t = 80; t < 300; t++)
		t_near(schedule_rate(&s, t), cosine(t - 80, 220), TOL);
	/* The step before it was the old one's, whoever asks. */
	t_check(schedule_rate(&s, 59) == schedule_rate(&s, 60));
}

T_CASE(without_a_word_it_is_stretched)
{
	const struct schedule old = begun(SPEC_S_LINEAR, 100);
	const struct schedule_terms unsaid = terms(SPEC_S_LINEAR, 200, 0),
	    said = terms(SPEC_S_LINEAR, 200, SPEC_RESUME_STRETCH);
	const struct schedule a = resumed(&old, &unsaid, 60);
	const struct schedule b = resumed(&old, &said, 60);

	for (int t = 0; t < 200; t++)
		t_check(schedule_rate(&a, t) == schedule_rate(&b, t));
}

T_CASE(a_schedule_without_an_end_goes_on_dropping_when_it_is_kept)
{
	const struct schedule old = begun(SPEC_S_STEP, 100);
	const struct schedule_terms m = terms(SPEC_S_STEP, 300,
	    SPEC_RESUME_KEEP);
	const struct schedule s = resumed(&old, &m, 60);

	t_near(schedule_rate(&s, 99), PEAK / 8, TOL);
	t_near(schedule_rate(&s, 120), PEAK / 16, TOL);
	t_near(schedule_rate(&s, 270), PEAK / 512, TOL);
}

T_CASE(a_kept_schedule_that_is_longer_than_its_run_goes_on_to_its_own_end)
{
	struct schedule_terms m = terms(SPEC_S_LINEAR, 100, 0);
	struct schedule old;

	m.shape.length = 200;
	schedule_begin(&old, &m);
	m.total = 300;
	m.shape.on_resume = SPEC_RESUME_KEEP;
	const struct schedule s = resumed(&old, &m, 100);
	for (int t = 0; t < 200; t++)
		t_near(schedule_rate(&s, t), PEAK * (1 - t / 200.0), TOL);
	t_check(schedule_rate(&s, 250) == schedule_rate(&s, 199));
}

T_CASE(an_unchanged_job_goes_on_with_the_schedule_it_has)
{
	const struct schedule old = begun(SPEC_S_COSINE, 100);
	struct schedule_terms m = terms(SPEC_S_COSINE, 300,
	    SPEC_RESUME_RESTART);
	const struct schedule s = resumed(&old, &m, 60);
	struct schedule again;

	/* After a crash, and after a pause: restart does not restart twice. */
	for (int step = 61; step < 300; step += 50) {
		t_eq_int(schedule_go_on(&again, &s, &m, step), SCHEDULE_SAME);
		for (int t = 60; t < 300; t++)
			t_check(schedule_rate(&again, t) ==
			    schedule_rate(&s, t));
	}
	/* From the same checkpoint the same is decided. */
	again = resumed(&old, &m, 60);
	json_t *a = schedule_json(&again), *b = schedule_json(&s);
	t_check(json_equal(a, b));
	json_decref(a);
	json_decref(b);
}

T_CASE(resumes_with_different_choices_compose)
{
	const struct schedule first = begun(SPEC_S_COSINE, 100);
	struct schedule_terms m = terms(SPEC_S_COSINE, 200,
	    SPEC_RESUME_RESTART);
	const struct schedule second = resumed(&first, &m, 100);

	/* Kept over a longer training: the restarted one, which ends at 200. */
	m.total = 300;
	m.shape.on_resume = SPEC_RESUME_KEEP;
	const struct schedule third = resumed(&second, &m, 150);
	for (int t = 100; t < 200; t++)
		t_near(schedule_rate(&third, t), cosine(t - 100, 100), TOL);
	t_check(schedule_rate(&third, 290) == schedule_rate(&second, 199));

	/* Stretched: from where it was restarted, to the new end. */
	m.total = 400;
	m.shape.on_resume = SPEC_RESUME_STRETCH;
	const struct schedule fourth = resumed(&third, &m, 250);
	for (int t = 100; t < 400; t++)
		t_near(schedule_rate(&fourth, t), cosine(t - 100, 300), TOL);

	/* And restarted again, at another length. */
	m.total = 500;
	m.shape.on_resume = SPEC_RESUME_RESTART;
	const struct schedule fifth = resumed(&fourth, &m, 300);
	for (int t = 300; t < 500; t++)
		t_near(schedule_rate(&fifth, t), cosine(t - 300, 200), TOL);
}

static void
is_since(const struct schedule *s, int64_t step, const char *by)
{
	json_t *v = schedule_look(s, 1);

	t_eq_int(json_integer_value(json_object_get(v, "since")), step);
	t_eq_str(json_string_value(json_object_get(v, "by")), by);
	json_decref(v);
}

T_CASE(the_peak_that_is_told_is_that_of_the_run_which_a_warm_start_scales)
{
	const struct schedule s = begun(SPEC_S_COSINE, 100);
	json_t *v = schedule_look(&s, 0.2);
	char *text = schedule_text(&s, 0.2);

	t_near(json_number_value(json_object_get(v, "learning_rate")), 0.02,
	    TOL);
	t_eq_str(text, "cosine over 100 steps from step 0, peak 0.02");
	free(text);
	json_decref(v);
}

T_CASE(it_is_known_since_when_a_schedule_is_followed)
{
	const struct schedule old = begun(SPEC_S_COSINE, 100);
	struct schedule_terms m = terms(SPEC_S_COSINE, 300,
	    SPEC_RESUME_KEEP);
	struct schedule s = resumed(&old, &m, 60);

	is_since(&old, 0, "start");
	is_since(&s, 60, "keep");
	m.shape.on_resume = SPEC_RESUME_RESTART;
	s = resumed(&s, &m, 70);
	is_since(&s, 70, "restart");
	m.total = 400;
	m.shape.on_resume = SPEC_RESUME_STRETCH;
	s = resumed(&s, &m, 80);
	is_since(&s, 70, "restart");
}

T_CASE(a_stretched_run_is_in_all_what_one_of_that_length_is)
{
	const struct schedule old = begun(SPEC_S_COSINE, 100);
	const struct schedule_terms m = terms(SPEC_S_COSINE, 300, 0);
	const struct schedule s = resumed(&old, &m, 60);
	const struct schedule whole = begun(SPEC_S_COSINE, 300);
	json_t *a = schedule_json(&s), *b = schedule_json(&whole);

	t_check(json_equal(a, b));
	json_decref(a);
	json_decref(b);
}

T_CASE(a_rate_that_is_set_is_the_peak_of_whichever_it_is)
{
	const struct schedule old = begun(SPEC_S_COSINE, 100);
	struct schedule_terms m = terms(SPEC_S_COSINE, 200,
	    SPEC_RESUME_RESTART);
	const struct schedule s = resumed(&old, &m, 50);

	/* The rate alone: no second restart, no other shape. */
	m.peak = PEAK / 4;
	const struct schedule lower = resumed(&s, &m, 70);
	for (int t = 50; t < 200; t++)
		t_near(schedule_rate(&lower, t), schedule_rate(&s, t) / 4,
		    TOL);
	struct schedule again;
	t_eq_int(schedule_go_on(&again, &lower, &m, 75), SCHEDULE_SAME);
	/* With keep, the old shape. */
	m.total = 400;
	m.shape.on_resume = SPEC_RESUME_KEEP;
	m.peak = PEAK / 8;
	const struct schedule kept = resumed(&lower, &m, 80);
	for (int t = 50; t < 200; t++)
		t_near(schedule_rate(&kept, t), schedule_rate(&s, t) / 8, TOL);
}

T_CASE(a_peak_below_the_lowest_rate_is_the_lowest_rate)
{
	struct schedule_terms m = terms(SPEC_S_COSINE, 100, 0);
	struct schedule old;

	m.shape.min_learning_rate = 0.05;
	schedule_begin(&old, &m);
	m.total = 200;
	m.peak = 0.01;
	m.shape.min_learning_rate = 0;
	m.shape.on_resume = SPEC_RESUME_KEEP;
	const struct schedule s = resumed(&old, &m, 10);
	for (int t = 0; t < 200; t++)
		t_near(schedule_rate(&s, t), 0.01, TOL);
}

T_CASE(a_checkpoint_from_before_has_no_schedule_and_is_stretched)
{
	const struct schedule_terms m = terms(SPEC_S_COSINE, 300, 0),
	    again = terms(SPEC_S_COSINE, 300, SPEC_RESUME_RESTART);
	const struct schedule whole = begun(SPEC_S_COSINE, 300);
	struct schedule s;

	t_eq_int(schedule_go_on(&s, NULL, &m, 60), SCHEDULE_ANEW);
	for (int t = 0; t < 300; t++)
		t_check(schedule_rate(&s, t) == schedule_rate(&whole, t));
	t_eq_int(schedule_go_on(&s, NULL, &again, 60), SCHEDULE_ANEW);
	t_near(schedule_rate(&s, 60), PEAK, TOL);
}

/* --- checkpoint.json ------------------------------------------------------ */

T_CASE(what_is_written_down_gives_the_same_rates)
{
	for (int k = SPEC_S_CONSTANT; k <= SPEC_S_POLYNOMIAL; k++) {
		struct schedule old = begun((enum spec_schedule_type)k, 100);
		struct schedule_terms m = old.said;
		m.shape.milestones[0] = 40;
		m.shape.milestones[1] = 90;
		m.shape.nmilestones = 2;
		m.shape.warmup = 1;
		m.shape.warmup_unit_epochs = true;
		m.shape.on_resume = SPEC_RESUME_RESTART;
		m.total = 333;
		m.peak = 1.0 / 3;
		const struct schedule s = resumed(&old, &m, 60);
		json_t *v = schedule_json(&s), *back;
		char *text = rkj_text(v);
		struct schedule read;
		struct rk_why why = {0};
		t_check(rkj_parse_json(text, strlen(text), &back, NULL) ==
		    RK_OK);
		if (schedule_parse(back, &read, &why) != RK_OK)
			t_fail("%s: %s", text, rk_why_first(&why));
		for (int t = 60; t < 400; t++)
			t_check(schedule_rate(&read, t) ==
			    schedule_rate(&s, t));
		t_eq_int(schedule_go_on(&read, &read, &m, 70), SCHEDULE_SAME);
		json_decref(v);
		json_decref(back);
		free(text);
	}
}

T_CASE(what_is_no_schedule_is_refused_by_its_path)
{
	static const struct {
		const char *text, *path;
	} bad[] = {
		{ "[]", "schedule" },
		{ "{}", "schedule.said" },
		{ "{\"said\":5}", "schedule.said" },
		{ "{\"said\":{\"schedule\":{\"type\":\"x\"},"
		    "\"learning_rate\":1,\"steps_per_epoch\":1,\"total\":1},"
		    "\"from\":0,\"since\":0,\"by\":\"start\"}",
		    "training.schedule.type" },
		{ "{\"said\":{\"schedule\":{},\"learning_rate\":1,"
		    "\"steps_per_epoch\":0,\"total\":1},\"from\":0,"
		    "\"since\":0,\"by\":\"start\"}",
		    "schedule.said.steps_per_epoch" },
		{ "{\"said\":{\"schedule\":{},\"learning_rate\":-1,"
		    "\"steps_per_epoch\":1,\"total\":1},\"from\":0,"
		    "\"since\":0,\"by\":\"start\"}",
		    "schedule.said.learning_rate" },
		{ "{\"said\":{\"schedule\":{},\"learning_rate\":1,"
		    "\"steps_per_epoch\":1,\"total\":1},"
		    "\"from\":-9007199254740993,"
		    "\"since\":0,\"by\":\"start\"}", "schedule.from" },
		{ "{\"said\":{\"schedule\":{},\"learning_rate\":1,"
		    "\"steps_per_epoch\":1,\"total\":1},\"from\":0,"
		    "\"since\":0,\"by\":\"never\"}", "schedule.by" },
	};

	for (size_t i = 0; i < RK_ARRAY_LEN(bad); i++) {
		struct rk_why why = {0};
		struct schedule s;
		json_t *v;
		t_check(rkj_parse_json(bad[i].text, strlen(bad[i].text), &v,
		    NULL) == RK_OK);
		t_eq_int(schedule_parse(v, &s, &why), RK_EINVAL);
		t_has(rk_why_first(&why), bad[i].path);
		rk_why_fini(&why);
		json_decref(v);
	}
}

/* A warm start goes on with the schedule of its file. */
T_CASE(a_schedule_may_have_begun_before_the_run)
{
	static const char text[] = "{\"said\":{\"schedule\":{\"type\":"
	    "\"linear\",\"end_factor\":0.5},\"learning_rate\":1,"
	    "\"steps_per_epoch\":1,\"total\":10},\"now\":{\"schedule\":{"
	    "\"type\":\"linear\",\"end_factor\":0.5},\"learning_rate\":1,"
	    "\"steps_per_epoch\":1,\"total\":20},\"from\":-10,\"since\":0,"
	    "\"by\":\"start\"}";
	struct schedule s, again;
	json_t *v;

	t_check(rkj_parse_json(text, strlen(text), &v, NULL) == RK_OK);
	t_check(schedule_parse(v, &s, NULL) == RK_OK);
	t_near(schedule_rate(&s, 0), 0.75, 1e-12);
	json_t *w = schedule_json(&s);
	t_check(schedule_parse(w, &again, NULL) == RK_OK);
	t_eq_int(again.from, -10);
	t_near(schedule_rate(&again, 5), schedule_rate(&s, 5), 0);
	json_decref(v);
	json_decref(w);
}

/* --- requests ------------------------------------------------------------- */

/* The old one has 100 steps, the request says m at `step` and changed `path`;
 * NULL: taken.  The sentence is the caller's. */
static char *
asked(const struct schedule *old, const struct schedule_terms *m, int64_t step,
    const char *path, bool says_rate, bool says_on_resume)
{
	json_t *changed = json_pack("{s:[i, i]}", path, 1, 2);
	const struct schedule_request q = {
		.old = old, .terms = *m, .step = step, .scale = 1,
		.changed = changed, .says_rate = says_rate,
		.says_on_resume = says_on_resume,
	};
	struct rk_why why = {0};
	char *text = NULL;

	if (schedule_check(&q, NULL, NULL, &why) != RK_OK)
		text = rk_why_text(&why);
	rk_why_fini(&why);
	json_decref(changed);
	return text;
}

T_CASE(a_rate_that_leaps_is_refused_with_three_choices_and_their_rates)
{
	const struct schedule old = begun(SPEC_S_COSINE, 100);
	const struct schedule_terms m = terms(SPEC_S_COSINE, 150, 0);
	char *text = asked(&old, &m, 100, "training.epochs", false, false);

	t_check(text != NULL);
	t_has(text, "training.epochs: makes the learning rate leap from "
	    "2.47e-05 to 0.025 at step 100");
	t_has(text, "keep (the old schedule goes on, with 2.47e-05 there)");
	t_has(text, "stretch (the new one as if it had been so from the "
	    "beginning, 0.025)");
	t_has(text, "restart (the new one begins here, 0.1)");
	free(text);
	t_check(asked(&old, &m, 100, "training.epochs", true, false) == NULL);
	t_check(asked(&old, &m, 100, "training.epochs", false, true) == NULL);
}

T_CASE(what_does_not_leap_is_taken)
{
	const struct schedule old = begun(SPEC_S_COSINE, 100);
	struct schedule_terms m = terms(SPEC_S_COSINE, 110, 0);

	/* In the middle a little more length is a little more rate. */
	t_check(asked(&old, &m, 50, "training.epochs", false, false) == NULL);
	/* A kept one cannot leap, whatever the length. */
	m = terms(SPEC_S_COSINE, 1000, SPEC_RESUME_KEEP);
	t_check(asked(&old, &m, 100, "training.epochs", false, false) == NULL);
	/* Nothing of the schedule is in the request. */
	m = terms(SPEC_S_COSINE, 1000, 0);
	t_check(asked(&old, &m, 100, "priority", false, false) == NULL);
	/* There is no next step. */
	m = terms(SPEC_S_COSINE, 90, 0);
	t_check(asked(&old, &m, 100, "training.epochs", false, false) == NULL);
}

T_CASE(the_limit_is_one_and_a_half_times)
{
	struct schedule_terms m = terms(SPEC_S_CONSTANT, 100, 0);
	struct schedule old;

	schedule_begin(&old, &m);
	m.shape.type = SPEC_S_LINEAR;
	m.shape.end_factor = 1;
	m.peak = PEAK * 1.499;
	t_check(asked(&old, &m, 10, "training.schedule.type", false, false) ==
	    NULL);
	m.peak = PEAK * 1.501;
	char *text = asked(&old, &m, 10, "training.schedule.type", false,
	    false);
	t_check(text != NULL);
	t_has(text, "training.schedule.type: makes");
	free(text);
}

T_CASE(another_schedule_is_refused_where_the_old_one_is_kept)
{
	const struct schedule old = begun(SPEC_S_COSINE, 100);
	const struct schedule_terms m = terms(SPEC_S_LINEAR, 100,
	    SPEC_RESUME_KEEP);
	char *text = asked(&old, &m, 50, "training.schedule.type", true, true);

	t_check(text != NULL);
	t_has(text, "training.schedule.type: would not be used");
	free(text);
}

/* --- remarks -------------------------------------------------------------- */

static void
collect(void *ctx, const char *sentence)
{
	sb_addf(ctx, "%s\n", sentence);
}

static char *
remarks_scaled(const struct schedule_terms *m, double scale)
{
	struct strbuf b = {0};
	struct schedule s;

	schedule_begin(&s, m);
	schedule_remarks(&s, scale, collect, &b);
	sb_adds(&b, "");
	return b.s != NULL ? sb_detach(&b) : xstrdup("");
}

static char *
remarks(const struct schedule_terms *m)
{
	return remarks_scaled(m, 1);
}

T_CASE(a_warm_up_longer_than_the_run_is_said)
{
	struct schedule_terms m = terms(SPEC_S_COSINE, 26, 0);

	m.shape.warmup = 5000;
	char *text = remarks(&m);
	t_eq_str(text, "the warm-up of 5,000 steps is longer than the run of "
	    "26: the learning rate never arrives at 0.1, it ends at "
	    "0.00052\n");
	free(text);
	text = remarks_scaled(&m, 0.2);
	t_has(text, "never arrives at 0.02, it ends at 0.000104\n");
	free(text);
	m.shape.warmup = 26;
	text = remarks(&m);
	t_eq_str(text, "");
	free(text);
}

T_CASE(what_lies_behind_the_end_is_said_in_one_line)
{
	struct schedule_terms m = terms(SPEC_S_STEP, 30, 0);
	char *text = remarks(&m);

	t_has(text, "training.schedule.step_size: step 30 after the warm-up "
	    "is never reached: the run has 30 steps there");
	free(text);
	m.total = 31;
	text = remarks(&m);
	t_eq_str(text, "");
	free(text);

	m = terms(SPEC_S_MULTISTEP, 30, 0);
	m.shape.milestones[0] = 10;
	m.shape.milestones[1] = 40;
	m.shape.milestones[2] = 50;
	m.shape.nmilestones = 3;
	text = remarks(&m);
	t_has(text, "training.schedule.milestones: step 40 after the");
	t_check(strchr(text, '\n')[1] == '\0');
	free(text);

	m = terms(SPEC_S_LINEAR, 30, 0);
	m.shape.length = 60;
	text = remarks(&m);
	t_has(text, "training.schedule.length: 60 steps after the warm-up are "
	    "longer than the run of 30");
	free(text);
}

T_MAIN
