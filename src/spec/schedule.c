/* `training.schedule`: how the learning rate goes over the steps. */
#include <stdlib.h>
#include <string.h>

#include "read.h"

const char *const spec_schedule_words[] = {
	"constant", "step", "multistep", "cosine", "linear", "polynomial", NULL
};
const char *const spec_on_resume_words[] = {
	"start", "keep", "stretch", "restart", NULL
};

enum {
	S_STEP = 1 << SPEC_S_STEP, S_MULTISTEP = 1 << SPEC_S_MULTISTEP,
	S_COSINE = 1 << SPEC_S_COSINE, S_LINEAR = 1 << SPEC_S_LINEAR,
	S_POLYNOMIAL = 1 << SPEC_S_POLYNOMIAL,
	S_DECAYS = S_COSINE | S_LINEAR | S_POLYNOMIAL
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
	{ "length", S_DECAYS, "cosine, linear and polynomial" },
	{ "length_epochs", S_DECAYS, "cosine, linear and polynomial" },
	{ "min_learning_rate", S_COSINE | S_POLYNOMIAL,
	    "cosine and polynomial" },
	{ "end_factor", S_LINEAR, "linear" },
	{ "power", S_POLYNOMIAL, "polynomial" },
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
		rkj_fault(o, key, "is missing (or milestones_epochs)");
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
	if (me & (S_COSINE | S_POLYNOMIAL))
		rkj_real(o, "min_learning_rate", &s->min_learning_rate, 0,
		    SP_MAX_RATE, RKJ_OPTIONAL);
	if (me & S_LINEAR)
		rkj_real(o, "end_factor", &s->end_factor, 0, 1, RKJ_OPTIONAL);
	if (me & S_POLYNOMIAL)
		sp_real(o, "power", &s->power, 0, 100, SP_ABOVE,
		    "a number above 0, at most 100");
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
sp_read_schedule(struct spec_schedule *s, const json_t *v, struct rk_why *why)
{
	struct sp_obj so;
	struct rkj_obj *o = &so.o;
	int type = SPEC_S_CONSTANT;

	s->gamma = 0.1;
	s->power = 1;
	sp_open_typed(&so, v, "training.schedule", why);
	bool known = rkj_enum(o, "type", &type, spec_schedule_words,
	    RKJ_OPTIONAL) || rkj_any(o, "type") == NULL;
	s->type = (enum spec_schedule_type)type;
	for (size_t i = 0; i < RK_ARRAY_LEN(schedule_keys); i++)
		sp_takes(o, schedule_keys[i].key,
		    !known || (schedule_keys[i].types & 1u << type),
		    schedule_keys[i].of, spec_schedule_words[type]);
	if (known)
		read_shape(s, o);
	sp_either(o, "warmup_steps", "warmup_epochs", &s->warmup,
	    &s->warmup_unit_epochs, 0, SP_MAX_COUNT, RKJ_OPTIONAL);
	rkj_real(o, "warmup_start_factor", &s->warmup_start_factor, 0, 1,
	    RKJ_OPTIONAL);
	read_on_resume(s, o);
	sp_close(&so);
}

enum rk_err
spec_schedule_parse(const json_t *v, struct spec_schedule *out,
    struct rk_why *why)
{
	struct rk_why own = {0};

	*out = (struct spec_schedule){0};
	sp_read_schedule(out, v, &own);
	return sp_hand_over(&own, why);
}
