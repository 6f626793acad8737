/* `training.schedule`: how the learning rate goes over the steps. */
#include <stdlib.h>
#include <string.h>

#include "read.h"

const char *const spec_schedule_words[] = {
	"constant", "step", "multistep", "cosine", "linear", "polynomial",
	"one_cycle", "reduce_on_plateau", NULL
};
const char *const spec_anneal_words[] = { "cos", "linear", NULL };
const char *const spec_warmup_words[] = {
	"rekindle", "torch", "paddle", NULL
};
const char *const spec_on_resume_words[] = {
	"start", "keep", "stretch", "restart", NULL
};

enum {
	S_STEP = 1 << SPEC_S_STEP, S_MULTISTEP = 1 << SPEC_S_MULTISTEP,
	S_COSINE = 1 << SPEC_S_COSINE, S_LINEAR = 1 << SPEC_S_LINEAR,
	S_POLYNOMIAL = 1 << SPEC_S_POLYNOMIAL,
	S_ONE_CYCLE = 1 << SPEC_S_ONE_CYCLE, S_PLATEAU = 1 << SPEC_S_PLATEAU,
	S_DECAYS = S_COSINE | S_LINEAR | S_POLYNOMIAL | S_ONE_CYCLE,
	S_MIN = S_COSINE | S_POLYNOMIAL | S_PLATEAU
};

static const struct {
	const char *key;
	unsigned types;
	const char *of;
} schedule_keys[] = {
	{ "step_size", S_STEP, "step" },
	{ "step_size_epochs", S_STEP, "step" },
	{ "milestones", S_MULTISTEP, "multistep" },
	{ "milestones_epochs", S_MULTISTEP, "multistep" },
	{ "gamma", S_STEP | S_MULTISTEP, "step and multistep" },
	{ "length", S_DECAYS, "cosine, linear, polynomial and one_cycle" },
	{ "length_epochs", S_DECAYS,
	    "cosine, linear, polynomial and one_cycle" },
	{ "min_learning_rate", S_MIN,
	    "cosine, polynomial and reduce_on_plateau" },
	{ "end_factor", S_LINEAR, "linear" },
	{ "power", S_POLYNOMIAL, "polynomial" },
	{ "pct_start", S_ONE_CYCLE, "one_cycle" },
	{ "div_factor", S_ONE_CYCLE, "one_cycle" },
	{ "final_div_factor", S_ONE_CYCLE, "one_cycle" },
	{ "anneal", S_ONE_CYCLE, "one_cycle" },
	{ "factor", S_PLATEAU, "reduce_on_plateau" },
	{ "patience", S_PLATEAU, "reduce_on_plateau" },
	{ "threshold", S_PLATEAU, "reduce_on_plateau" },
	{ "cooldown", S_PLATEAU, "reduce_on_plateau" },
};

static void
read_milestones(struct spec_schedule *s, struct rkj_obj *o)
{
	const bool steps = rkj_any(o, "milestones") != NULL;
	const bool epochs = rkj_any(o, "milestones_epochs") != NULL;
	const char *key = epochs ? "milestones_epochs" : "milestones";

	if (steps && epochs) {
		rkj_fault(o, key, "and milestones say the same thing: give one "
		    "of them");
		return;
	}
	if (!steps && !epochs) {
		rkj_fault(o, key, "is missing (or milestones_epochs), want a list "
		    "of steps, each larger than the one before");
		return;
	}
	s->unit_epochs = epochs;
	if (!sp_ints(o, key, s->milestones, &s->nmilestones, 1, SPEC_MAX_POINTS,
	    1, SP_MAX_COUNT, RKJ_REQUIRED))
		return;
	for (int i = 1; i < s->nmilestones; i++) {
		if (s->milestones[i] > s->milestones[i - 1])
			continue;
		rkj_fault(o, key, "has %lld after %lld: each must be larger "
		    "than the one before", (long long)s->milestones[i],
		    (long long)s->milestones[i - 1]);
		return;
	}
}

static void
read_one_cycle(struct spec_schedule *s, struct rkj_obj *o)
{
	int word;

	sp_real(o, "pct_start", &s->pct_start, 0, 1, SP_BELOW,
	    "a number from 0 to below 1");
	rkj_real(o, "div_factor", &s->div_factor, 1, 1e9, RKJ_OPTIONAL);
	rkj_real(o, "final_div_factor", &s->final_div_factor, 1, 1e12,
	    RKJ_OPTIONAL);
	if (rkj_enum(o, "anneal", &word, spec_anneal_words, RKJ_OPTIONAL))
		s->anneal = (enum spec_anneal)word;
}

static void
read_plateau(struct spec_schedule *s, struct rkj_obj *o)
{
	sp_real(o, "factor", &s->factor, 0, 1, SP_ABOVE | SP_BELOW,
	    "a number above 0 and below 1");
	rkj_real(o, "threshold", &s->threshold, 0, 1, RKJ_OPTIONAL);
	rkj_int(o, "patience", &s->patience, 0, SP_MAX_COUNT, RKJ_OPTIONAL);
	rkj_int(o, "cooldown", &s->cooldown, 0, SP_MAX_COUNT, RKJ_OPTIONAL);
}

static void
read_shape(struct spec_schedule *s, struct rkj_obj *o)
{
	const unsigned me = 1u << s->type;

	if (me & S_STEP)
		sp_either(o, "step_size", "step_size_epochs", &s->step_size,
		    &s->unit_epochs, 1, SP_MAX_COUNT, RKJ_REQUIRED);
	if (me & S_MULTISTEP)
		read_milestones(s, o);
	if (me & (S_STEP | S_MULTISTEP))
		sp_real(o, "gamma", &s->gamma, 0, 1, SP_ABOVE,
		    "a number above 0, at most 1");
	if (me & S_DECAYS)
		sp_either(o, "length", "length_epochs", &s->length,
		    &s->unit_epochs, 0, SP_MAX_COUNT, RKJ_OPTIONAL);
	if (me & S_MIN)
		rkj_real(o, "min_learning_rate", &s->min_learning_rate, 0,
		    SP_MAX_RATE, RKJ_OPTIONAL);
	if (me & S_LINEAR)
		rkj_real(o, "end_factor", &s->end_factor, 0, 1, RKJ_OPTIONAL);
	if (me & S_POLYNOMIAL)
		sp_real(o, "power", &s->power, 0, 100, SP_ABOVE,
		    "a number above 0, at most 100");
	if (me & S_ONE_CYCLE)
		read_one_cycle(s, o);
	if (me & S_PLATEAU)
		read_plateau(s, o);
}

static void
read_warmup(struct spec_schedule *s, struct rkj_obj *o)
{
	const int first = SPEC_WARMUP_TORCH;
	int k;

	sp_either(o, "warmup_steps", "warmup_epochs", &s->warmup,
	    &s->warmup_unit_epochs, 0, SP_MAX_COUNT, RKJ_OPTIONAL);
	rkj_real(o, "warmup_start_factor", &s->warmup_start_factor, 0, 1,
	    RKJ_OPTIONAL);
	if (rkj_enum(o, "warmup", &k, spec_warmup_words + first,
	    RKJ_OPTIONAL))
		s->warmup_by = (enum spec_warmup)(k + first);
	if (s->type == SPEC_S_ONE_CYCLE && s->warmup > 0)
		rkj_fault(o, s->warmup_unit_epochs ? "warmup_epochs" :
		    "warmup_steps", "is %lld: one_cycle climbs by itself, over "
		    "pct_start of its length", (long long)s->warmup);
}

static void
read_on_resume(struct spec_schedule *s, struct rkj_obj *o)
{
	const int first = SPEC_RESUME_KEEP;
	int k;

	if (rkj_enum(o, "on_resume", &k, spec_on_resume_words + first,
	    RKJ_OPTIONAL))
		s->on_resume = (enum spec_on_resume)(k + first);
}

void
sp_read_schedule(struct spec_schedule *s, const json_t *v, const char *path,
    struct rk_why *why)
{
	struct sp_obj so;
	struct rkj_obj *o = &so.o;
	int type = SPEC_S_CONSTANT;

	s->gamma = 0.1;
	s->power = 1;
	s->pct_start = 0.3;
	s->div_factor = 25;
	s->final_div_factor = 1e4;
	s->factor = 0.1;
	s->threshold = 1e-4;
	s->patience = 10;
	sp_open_typed(&so, v, path, why);
	bool known = rkj_enum(o, "type", &type, spec_schedule_words,
	    RKJ_OPTIONAL) || rkj_any(o, "type") == NULL;
	s->type = (enum spec_schedule_type)type;
	for (size_t i = 0; i < RK_ARRAY_LEN(schedule_keys); i++)
		sp_takes(o, schedule_keys[i].key,
		    !known || (schedule_keys[i].types & 1u << type),
		    schedule_keys[i].of, spec_schedule_words[type]);
	if (known)
		read_shape(s, o);
	read_warmup(s, o);
	read_on_resume(s, o);
	sp_close(&so);
}

enum rk_err
spec_schedule_parse(const json_t *v, struct spec_schedule *out,
    struct rk_why *why)
{
	struct rk_why own = {0};

	*out = (struct spec_schedule){0};
	sp_read_schedule(out, v, "training.schedule", &own);
	return sp_hand_over(&own, why);
}
