/*
 * The normal form: every field that the job's types take, with its value.
 * Reading it gives an equal spec, and writing that the same bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "read.h"

void
sp_put(json_t *o, const char *key, json_t *v)
{
	must(v != NULL && json_object_set_new(o, key, v) == 0);
}

static void
put_int(json_t *o, const char *key, int64_t v)
{
	sp_put(o, key, json_integer(v));
}

static void
put_real(json_t *o, const char *key, double v)
{
	sp_put(o, key, json_real(v));
}

static void
put_bool(json_t *o, const char *key, bool v)
{
	sp_put(o, key, json_boolean(v));
}

static void
put_str(json_t *o, const char *key, const char *v)
{
	sp_put(o, key, json_string(v));
}

static void
put_ints(json_t *o, const char *key, const int64_t *v, int n)
{
	json_t *a = json_array();

	for (int i = 0; i < n; i++)
		must(json_array_append_new(a, json_integer(v[i])) == 0);
	sp_put(o, key, a);
}

static void
put_reals(json_t *o, const char *key, const double *v, int n)
{
	json_t *a = json_array();

	for (int i = 0; i < n; i++)
		must(json_array_append_new(a, json_real(v[i])) == 0);
	sp_put(o, key, a);
}

static json_t *
json_optim(const struct spec_training *t)
{
	const struct spec_optim *p = &t->optim;
	const double betas[2] = { p->beta1, p->beta2 };
	json_t *o = json_object();

	put_str(o, "type", spec_optim_words[p->type]);
	put_real(o, "learning_rate", p->learning_rate);
	put_real(o, "weight_decay", p->weight_decay);
	switch (p->type) {
	case SPEC_SGD:
		put_real(o, "momentum", p->momentum);
		put_real(o, "dampening", p->dampening);
		put_bool(o, "nesterov", p->nesterov);
		break;
	case SPEC_ADAM:
	case SPEC_ADAMW:
	case SPEC_LAMB:
		put_reals(o, "betas", betas, 2);
		put_real(o, "eps", p->eps);
		break;
	case SPEC_RMSPROP:
		put_real(o, "momentum", p->momentum);
		put_real(o, "alpha", p->alpha);
		put_real(o, "eps", p->eps);
		put_bool(o, "centered", p->centered);
		break;
	case SPEC_ADAGRAD:
		put_real(o, "eps", p->eps);
		put_real(o, "lr_decay", p->lr_decay);
		put_real(o, "initial_accumulator_value",
		    p->initial_accumulator);
		break;
	}
	if (t->nno_decay > 0)
		sp_put(o, "no_decay", sp_json_no_decay(t));
	return o;
}

json_t *
spec_schedule_json(const struct spec_schedule *s)
{
	const char *length = s->unit_epochs ? "length_epochs" : "length";
	json_t *o = json_object();

	put_str(o, "type", spec_schedule_words[s->type]);
	switch (s->type) {
	case SPEC_S_CONSTANT:
		break;
	case SPEC_S_STEP:
		put_int(o, s->unit_epochs ? "step_size_epochs" : "step_size",
		    s->step_size);
		put_real(o, "gamma", s->gamma);
		break;
	case SPEC_S_MULTISTEP:
		put_ints(o, s->unit_epochs ? "milestones_epochs" : "milestones",
		    s->milestones, s->nmilestones);
		put_real(o, "gamma", s->gamma);
		break;
	case SPEC_S_COSINE:
		put_int(o, length, s->length);
		put_real(o, "min_learning_rate", s->min_learning_rate);
		break;
	case SPEC_S_LINEAR:
		put_int(o, length, s->length);
		put_real(o, "end_factor", s->end_factor);
		break;
	case SPEC_S_POLYNOMIAL:
		put_int(o, length, s->length);
		put_real(o, "min_learning_rate", s->min_learning_rate);
		put_real(o, "power", s->power);
		break;
	case SPEC_S_ONE_CYCLE:
		put_int(o, length, s->length);
		put_real(o, "pct_start", s->pct_start);
		put_real(o, "div_factor", s->div_factor);
		put_real(o, "final_div_factor", s->final_div_factor);
		put_str(o, "anneal", spec_anneal_words[s->anneal]);
		break;
	case SPEC_S_PLATEAU:
		put_real(o, "factor", s->factor);
		put_int(o, "patience", s->patience);
		put_real(o, "threshold", s->threshold);
		put_int(o, "cooldown", s->cooldown);
		put_real(o, "min_learning_rate", s->min_learning_rate);
		break;
	}
	put_int(o, s->warmup_unit_epochs ? "warmup_epochs" : "warmup_steps",
	    s->warmup);
	put_real(o, "warmup_start_factor", s->warmup_start_factor);
	if (s->warmup_by != SPEC_WARMUP_OURS)
		put_str(o, "warmup", spec_warmup_words[s->warmup_by]);
	if (s->on_resume != SPEC_RESUME_UNSAID)
		put_str(o, "on_resume", spec_on_resume_words[s->on_resume]);
	return o;
}

static json_t *
json_ema(const struct spec_ema *e)
{
	json_t *o = json_object();

	put_real(o, "decay", e->decay);
	put_bool(o, "warmup", e->warmup);
	return o;
}

json_t *
sp_json_training(const struct spec_training *t, bool brief)
{
	json_t *o = json_object();

	put_str(o, "resume_from", t->resume_from);
	if (t->epochs > 0)
		put_int(o, "epochs", t->epochs);
	put_int(o, "steps", t->steps);
	put_int(o, "batch_size", t->batch_size);
	if (t->micro_batch_size > 0)
		put_int(o, "micro_batch_size", t->micro_batch_size);
	put_bool(o, "drop_last", t->drop_last);
	put_bool(o, "shuffle", t->shuffle);
	if (t->sampler != SPEC_SAMPLER_UNIFORM)
		put_str(o, "sampler", spec_sampler_words[t->sampler]);
	put_int(o, "seed", (int64_t)t->seed);
	sp_put(o, "loss", sp_json_loss(&t->loss));
	sp_put(o, "optimizer", json_optim(t));
	if (t->ngroups > 0)
		sp_put(o, "parameters", sp_json_groups(t));
	sp_put(o, "schedule", spec_schedule_json(&t->schedule));
	if (t->nphases > 0)
		sp_put(o, "phases", sp_json_phases(t));
	if (t->rates.n > 0)
		sp_put(o, "learning_rates", sp_json_rates(&t->rates));
	sp_put_frozen_norm(o, t->frozen_norm);
	put_real(o, "gradient_clip_norm", t->gradient_clip_norm);
	if (t->gradient_clip_value > 0)
		put_real(o, "gradient_clip_value", t->gradient_clip_value);
	if (t->ema.decay > 0)
		sp_put(o, "ema", json_ema(&t->ema));
	if (t->cache.max_bytes > 0)
		sp_put(o, "cache_features", sp_json_cache(&t->cache));
	if (t->early.on)
		sp_put(o, "early_stopping", sp_json_early(&t->early));
	if (t->reg.name != NULL)
		sp_put(o, "register", sp_json_register(&t->reg));
	sp_put(o, "warm_start", sp_json_warm_start(t, brief));
	if (t->distill.weight > 0)
		sp_put(o, "distill", sp_json_distill(&t->distill));
	put_int(o, "log_every", t->log_every);
	put_str(o, "exact", spec_exact_words[t->exact]);
	if (!brief || t->arithmetic != SPEC_ARITHMETIC_EXACT)
		put_str(o, "arithmetic", spec_arithmetic_words[t->arithmetic]);
	return o;
}

/* A warm start may take seed and rule from its model, so what its job does not
 * say must stay unsaid. */
static void
put_split(json_t *o, const struct spec *s)
{
	const struct spec_data *d = &s->data;
	const bool cold = s->model.checkpoint == NULL;

	put_real(o, "validation_split", d->validation_split);
	if (cold || d->split_seed_said)
		put_int(o, "split_seed", (int64_t)d->split_seed);
	if (cold || d->stratify_said) {
		json_t *split = json_object();
		put_bool(split, "stratify", d->stratify);
		sp_put(o, "split", split);
	}
}

json_t *
sp_json_data(const struct spec *s)
{
	const struct spec_data *d = &s->data;
	json_t *o = json_object(), *norm = json_object();

	if (d->has_train)
		sp_put(o, "train", sp_json_source(&d->train));
	if (d->has_validation)
		sp_put(o, "validation", sp_json_source(&d->validation));
	else
		put_split(o, s);
	put_str(norm, "type", spec_norm_words[d->normalize.type]);
	if (d->normalize.n > 0) {
		put_reals(norm, "mean", d->normalize.mean, d->normalize.n);
		put_reals(norm, "std", d->normalize.std, d->normalize.n);
	}
	sp_put(o, "normalize", norm);
	sp_put_loading(o, d);
	if (d->train_transforms.n + d->validation_transforms.n > 0)
		sp_put(o, "transforms", sp_json_transforms(d));
	sp_put_use(o, d);
	return o;
}

json_t *
sp_json_checkpoint(const struct spec_checkpoint *c)
{
	json_t *o = json_object();
	json_t *every = json_object(), *keep = json_object();

	put_int(every, "steps", c->every_steps);
	put_real(every, "seconds", c->every_seconds);
	put_int(every, "epochs", c->every_epochs);
	sp_put(o, "every", every);
	put_int(keep, "last", c->keep_last);
	put_int(keep, "best", c->keep_best);
	put_str(keep, "metric", c->metric);
	put_str(keep, "mode", sp_mode_words[c->mode_max ? 0 : 1]);
	sp_put(o, "keep", keep);
	if (c->push != NULL)
		put_str(o, "push", c->push);
	put_bool(o, "require_remote", c->require_remote);
	return o;
}

json_t *
spec_json(const struct spec *s)
{
	json_t *o = json_object(), *resources = json_object();

	put_str(o, "name", s->name);
	if (s->kind != SPEC_JOB_TRAIN)
		put_str(o, "kind", spec_job_words[s->kind]);
	put_int(o, "priority", s->priority);
	sp_put(o, "labels", json_deep_copy(s->labels));
	if (s->threads > 0)
		put_int(resources, "threads", s->threads);
	if (s->memory > 0)
		put_int(resources, "memory", (int64_t)s->memory);
	sp_put(o, "resources", resources);
	put_bool(o, "hold", s->hold);
	put_int(o, "retries", s->retries);
	sp_put(o, "model", sp_json_model(&s->model, false));
	sp_put(o, "training", sp_json_training(&s->training, false));
	sp_put(o, "data", sp_json_data(s));
	sp_put(o, "checkpoint", sp_json_checkpoint(&s->checkpoint));
	sp_put(o, "metadata", json_deep_copy(s->metadata));
	if (s->kind == SPEC_JOB_EVALUATE)
		sp_put(o, "report", json_pack("{s:I}", "worst",
		    (json_int_t)s->worst));
	if (s->kind != SPEC_JOB_TRAIN)
		sp_keep_used(o, s->kind);
	return o;
}

/* By what reduce_on_plateau judges, which decides rates. */
static json_t *
json_judge(const struct spec_checkpoint *c)
{
	json_t *o = json_object();

	put_str(o, "metric", c->metric);
	put_str(o, "mode", sp_mode_words[c->mode_max ? 0 : 1]);
	return o;
}

void
spec_digest(const struct spec *s, char hex[RK_SHA256_HEX])
{
	json_t *o = json_object(), *data = sp_json_data(s);
	json_t *training = sp_json_training(&s->training, true);

	/* Where to go on from, how often to report, whom to refuse and what
	 * becomes of it change no weight. */
	json_object_del(training, "resume_from");
	json_object_del(training, "log_every");
	json_object_del(training, "exact");
	json_object_del(training, "register");
	sp_drop_cache_bytes(training);
	sp_put(o, "training", training);
	if (spec_phase_any_plateau(&s->training))
		sp_put(o, "judge", json_judge(&s->checkpoint));
	if (s->model.checkpoint == NULL && s->data.split_seed == 1)
		json_object_del(data, "split_seed");
	if (s->model.checkpoint == NULL && !s->data.stratify)
		json_object_del(data, "split");
	sp_drop_loading(data);
	sp_put(o, "model", sp_json_model(&s->model, true));
	sp_put(o, "data", data);
	char *text = rkj_text(o);
	rk_sha256_of(text, strlen(text), hex);
	free(text);
	json_decref(o);
}
