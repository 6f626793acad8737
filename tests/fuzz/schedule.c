/* module: schedule */
/*
 * A schedule as a checkpoint has it.  Whatever is taken has a finite rate at
 * every step, is written as it was read, and is decided anew without trouble.
 * So it is with the phase under way: of a job that has so many phases, whatever
 * follows it begins no earlier and ends.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rekindle/schedule.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static const int64_t steps[] = { 0, 1, 100, 1 << 20, (int64_t)1 << 40,
	SCHEDULE_STEPS_MAX, INT64_MAX };

static void
check_rates(const struct schedule *s)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(steps); i++) {
		double rate = schedule_rate(s, steps[i]);
		must(isfinite(rate) && rate >= 0);
	}
}

static void
count(void *ctx, const char *sentence)
{
	must(sentence[0] != '\0');
	++*(int *)ctx;
}

static void
check(const struct schedule *s)
{
	const struct spec_training t = { .epochs = 3, .steps = 70,
		.optim = { .learning_rate = 0.5 }, .schedule = s->said.shape };
	const struct schedule_terms m = schedule_terms_of(&t, 10);
	json_t *v = schedule_json(s), *w, *look = schedule_look(s, 0.2);
	struct schedule again;
	int remarks = 0;

	must(schedule_parse(v, &again, NULL) == RK_OK);
	w = schedule_json(&again);
	must(json_equal(v, w));
	check_rates(s);
	schedule_remarks(s, 0.2, count, &remarks);
	must(remarks <= 2);
	free(schedule_text(s, 0.2));
	again = *s;
	for (int64_t k = 1; k < 40; k++)
		schedule_judge(&again, k * 50, "loss", k > 20, (double)(k % 7));
	check_rates(&again);
	for (int how = 0; how <= SPEC_RESUME_RESTART; how++) {
		schedule_decide(&again, s, &m, 20, (enum spec_on_resume)how);
		check_rates(&again);
	}
	json_decref(v);
	json_decref(w);
	json_decref(look);
}

static void
check_phase(const struct schedule_phase *at)
{
	struct spec_phase phases[SPEC_MAX_PHASES];
	struct spec_schedule constant = { .type = SPEC_S_CONSTANT };
	const struct spec_training t = { .epochs = 3, .phases = phases,
		.nphases = SPEC_MAX_PHASES, .schedule = constant,
		.optim = { .learning_rate = 0.5 } };
	json_t *v = schedule_phase_json(at), *w;
	struct schedule_phase again, next = *at;

	must(schedule_phase_parse(v, &again, NULL) == RK_OK);
	w = schedule_phase_json(&again);
	must(json_equal(v, w));
	for (int k = 0; k < SPEC_MAX_PHASES; k++)
		phases[k] = (struct spec_phase){ .scale = 1,
			.epochs = k % 2 ? k : 0, .steps = k % 2 ? 0 :
			k % 4 ? 1 : (int64_t)1 << 40 };
	must(schedule_total_at(&t, 10, at) <= SCHEDULE_STEPS_MAX);
	while (next.index < SPEC_MAX_PHASES - 1) {
		const int64_t step = next.step;
		next = schedule_phase_next(&t, 10, &next);
		must(next.step >= step && next.of_epoch >= 0);
	}
	const struct schedule_terms m = schedule_terms_at(&t, 10, at);
	struct schedule s;
	schedule_begin_at(&s, &m, at->step);
	check_rates(&s);
	json_decref(v);
	json_decref(w);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct rk_why why = {0};
	struct schedule_phase at;
	struct schedule s;
	json_t *v;

	if (rkj_parse_json((const char *)p, n, &v, NULL) != RK_OK)
		return 0;
	if (schedule_parse(v, &s, &why) == RK_OK)
		check(&s);
	else
		must(why.n > 0);
	if (schedule_phase_parse(v, &at, NULL) == RK_OK)
		check_phase(&at);
	rk_why_fini(&why);
	json_decref(v);
	return 0;
}
