/* The block `training`, but for its loss, optimiser and schedule. */
#include <stdlib.h>
#include <string.h>

#include "read.h"

const char *const spec_exact_words[] = { "prefer", "require", NULL };
const char *const spec_arithmetic_words[] = { "exact", "fast", NULL };
const char *const spec_sampler_words[] = { "uniform", "balanced", NULL };

static void
read_ema(struct spec_ema *e, const json_t *v, struct rk_why *why)
{
	struct sp_obj s;

	char shown[SP_SHOWN];

	if (v == NULL)
		return;
	if (!json_is_object(v)) {
		rk_refuse_at(why, "training.ema", "is %s, want {decay: 0.9999, "
		    "warmup: false} or some of it", sp_shown(v, shown));
		return;
	}
	e->decay = 0.9999;
	sp_open(&s, v, "training.ema", why);
	sp_real(&s.o, "decay", &e->decay, 0, 1, SP_ABOVE | SP_BELOW,
	    "a number above 0 and below 1");
	rkj_bool(&s.o, "warmup", &e->warmup, RKJ_OPTIONAL);
	sp_close(&s);
}

static void
read_clipping(struct spec_training *t, struct rkj_obj *o)
{
	rkj_real(o, "gradient_clip_norm", &t->gradient_clip_norm, 0, 1e9,
	    RKJ_OPTIONAL);
	rkj_real(o, "gradient_clip_value", &t->gradient_clip_value, 0, 1e9,
	    RKJ_OPTIONAL);
	if (t->gradient_clip_norm > 0 && t->gradient_clip_value > 0)
		rkj_fault(o, "gradient_clip_value", "is %g, and "
		    "gradient_clip_norm is %g: one of them must be 0",
		    t->gradient_clip_value, t->gradient_clip_norm);
}

/* How long to train; one of the two must be said, or each phase's length. */
static void
read_length(struct spec_training *t, struct rkj_obj *o)
{
	rkj_int(o, "epochs", &t->epochs, 1, SP_MAX_COUNT, RKJ_OPTIONAL);
	rkj_int(o, "steps", &t->steps, 0, SP_MAX_COUNT, RKJ_OPTIONAL);
	if (rkj_any(o, "epochs") == NULL && o->v != NULL && t->steps == 0 &&
	    !o->bad && t->nphases > 0 && sp_phases_end_open(t))
		rkj_fault(o, "epochs", "is missing: the last phase has no "
		    "length and goes on to the end of the training, so say "
		    "when that is, in epochs or in steps");
	else if (rkj_any(o, "epochs") == NULL && o->v != NULL &&
	    t->steps == 0 && !o->bad && t->nphases == 0)
		rkj_fault(o, "epochs", "is missing: say how long to train, in "
		    "epochs or in steps");
}

static void
read_order(struct spec_training *t, struct rkj_obj *o)
{
	int sampler = SPEC_SAMPLER_UNIFORM;

	rkj_bool(o, "shuffle", &t->shuffle, RKJ_OPTIONAL);
	rkj_enum(o, "sampler", &sampler, spec_sampler_words, RKJ_OPTIONAL);
	t->sampler = (enum spec_sampler)sampler;
	if (t->sampler == SPEC_SAMPLER_BALANCED && !t->shuffle)
		rkj_fault(o, "sampler", "is balanced, which draws samples, and "
		    "shuffle is false, which keeps their order");
}

static void
read_resume(struct spec_training *t, struct rkj_obj *o)
{
	struct rk_why w = {0};
	struct spec_select sel;

	t->resume_from = xstrdup("latest");
	if (rkj_str(o, "resume_from", &t->resume_from, 256, RKJ_OPTIONAL) &&
	    spec_select_parse(t->resume_from, &sel, &w) != RK_OK)
		rkj_fault(o, "resume_from", "%s", w.v[0].message);
	rk_why_fini(&w);
}

/* Unsaid: what it meant before there was the field. */
static void
read_arithmetic(struct spec_training *t, struct rkj_obj *o)
{
	int word = SPEC_ARITHMETIC_EXACT;

	t->arithmetic_said = rkj_enum(o, "arithmetic", &word,
	    spec_arithmetic_words, RKJ_OPTIONAL);
	t->arithmetic = (enum spec_arithmetic)word;
}

void
spec_begin_new(struct spec *s)
{
	struct spec_training *t = &s->training;

	if (!t->arithmetic_said)
		t->arithmetic = SPEC_ARITHMETIC_FAST;
	t->arithmetic_said = true;
}

void
sp_read_training(struct spec_training *t, const json_t *v, struct rk_why *why)
{
	struct sp_obj s;
	struct rkj_obj *o = &s.o;
	int64_t seed = 1;
	int exact = SPEC_EXACT_PREFER;

	t->batch_size = 64;
	t->shuffle = true;
	t->warm_start_lr_scale = 0.2;
	t->warm_start.watch = true;
	t->log_every = 50;
	sp_open(&s, v, "training", why);
	sp_read_phases(t, rkj_any(o, "phases"), why);
	sp_read_rates(&t->rates, o, why);
	sp_read_frozen_norm(&t->frozen_norm, o);
	read_length(t, o);
	read_resume(t, o);
	rkj_int(o, "batch_size", &t->batch_size, 1, 1 << 20, RKJ_OPTIONAL);
	rkj_int(o, "micro_batch_size", &t->micro_batch_size, 0, 1 << 20,
	    RKJ_OPTIONAL);
	rkj_bool(o, "drop_last", &t->drop_last, RKJ_OPTIONAL);
	read_order(t, o);
	rkj_int(o, "seed", &seed, 0, SP_MAX_SEED, RKJ_OPTIONAL);
	t->seed = (uint64_t)seed;
	read_clipping(t, o);
	rkj_int(o, "log_every", &t->log_every, 1, SP_MAX_COUNT, RKJ_OPTIONAL);
	rkj_enum(o, "exact", &exact, spec_exact_words, RKJ_OPTIONAL);
	t->exact = (enum spec_exact)exact;
	read_arithmetic(t, o);
	sp_read_loss(&t->loss, rkj_any(o, "loss"), why);
	const json_t *optim = rkj_any(o, "optimizer");
	sp_read_optim(&t->optim, optim, why);
	sp_read_groups(t, rkj_any(o, "parameters"), json_object_get(optim,
	    "no_decay"), why);
	read_ema(&t->ema, rkj_any(o, "ema"), why);
	sp_read_cache(&t->cache, rkj_any(o, "cache_features"),
	    "training.cache_features", why);
	sp_read_schedule(&t->schedule, rkj_any(o, "schedule"),
	    "training.schedule", why);
	sp_read_early(&t->early, rkj_any(o, "early_stopping"), why);
	sp_read_register(&t->reg, rkj_any(o, "register"), why);
	sp_read_warm_start(t, rkj_any(o, "warm_start"), why);
	sp_read_distill(&t->distill, rkj_any(o, "distill"), why);
	sp_close(&s);
}
