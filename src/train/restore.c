/* A checkpoint into the run, and the run into a checkpoint's words. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "distill.h"
#include "early.h"
#include "judging.h"
#include "knowledge.h"
#include "phases.h"
#include "writer.h"

/* --- the numbers ---------------------------------------------------------- */

double
run_task_loss(const struct tally *t)
{
	const bool none = t->samples > 0 && !(t->weight > 0);

	return none ? NAN : t->loss / (t->weight > 0 ? t->weight : 1);
}

struct score
run_score(const struct run *r, const struct tally *t)
{
	return (struct score){
		.loss = distill_loss(r, run_task_loss(t), t->taught_sum,
		    t->taught),
		.accuracy = t->counted > 0 ? (double)t->correct /
		    (double)t->counted : 0,
		.has_accuracy = t->counted > 0 && run_classifies(r),
	};
}

static void
put_score(json_t *o, const struct score *s, const char *loss,
    const char *accuracy)
{
	js_put(o, loss, js_number(s->loss));
	if (s->has_accuracy)
		js_put(o, accuracy, js_number(s->accuracy));
}

json_t *
run_metrics(const struct run *r, bool for_checkpoint)
{
	const struct cursor *at = &r->at;
	json_t *o = json_object();
	/* At an epoch's end the tally has been emptied for the next. */
	struct score s = at->in_epoch.samples > 0 || at->epoch == 0 ?
	    run_score(r, &at->in_epoch) : at->last_epoch;

	if (at->step > 0)
		put_score(o, &s, "loss", "accuracy");
	/* A checkpoint has only what was measured on its own weights. */
	if (r->valid != NULL && at->scored >= 0 &&
	    (!for_checkpoint || at->scored == at->step)) {
		put_score(o, &at->valid, "val_loss", "val_accuracy");
		figures_put(o, &at->figures, true);
	}
	return o;
}

static json_t *
tally_json(const struct tally *t)
{
	json_t *o = json_pack("{s:f, s:I, s:I, s:I}", "loss", t->loss,
	    "correct", (json_int_t)t->correct,
	    "samples", (json_int_t)t->samples, "steps", (json_int_t)t->steps);

	if (t->weight != (double)t->samples)
		js_put(o, "weight", json_real(t->weight));
	if (t->counted != t->samples)
		js_put(o, "counted", json_integer(t->counted));
	if (t->taught > 0) {
		js_put(o, "taught_sum", json_real(t->taught_sum));
		js_put(o, "taught", json_integer(t->taught));
	}
	return o;
}

static json_t *
score_json(const struct score *s)
{
	json_t *o = json_object();

	put_score(o, s, "loss", "accuracy");
	return o;
}

/* How batch norms go on, in the state of a checkpoint; absent: as they say. */
static const char *const running_words[] = { "own", "biased", "unbiased", NULL };

static json_t *
state_json(const struct run *r)
{
	const struct cursor *at = &r->at;
	json_t *o = json_pack("{s:f, s:o, s:o, s:I}",
	    "rate_scale", at->rate_scale, "in_epoch", tally_json(&at->in_epoch),
	    "in_window", tally_json(&at->in_window),
	    "scored", (json_int_t)at->scored);

	must(o != NULL);
	js_put(o, "data", same_json(r));
	js_put(o, "last_loss", js_number(r->last_loss));
	js_put(o, "schedule", schedule_json(&r->schedule));
	json_t *phase = phases_state(r);
	if (phase != NULL)
		js_put(o, "phase", phase);
	json_t *updates = spans_json(r);
	if (updates != NULL)
		js_put(o, "updates", updates);
	js_put(o, "spec", json_incref(r->spec_record));
	if (at->scored >= 0) {
		json_t *valid = score_json(&at->valid);
		figures_put(valid, &at->figures, false);
		js_put(o, "valid", valid);
	}
	if (at->running != NN_RUNNING_OWN)
		js_put(o, "running", json_string(
		    running_words[at->running]));
	json_t *early = early_json(r);
	if (early != NULL)
		js_put(o, "early_stopping", early);
	json_t *knowledge = knowledge_json(r);
	if (knowledge != NULL)
		js_put(o, "knowledge", knowledge);
	json_t *distill = distill_json(r);
	if (distill != NULL)
		js_put(o, "distill", distill);
	if (at->epoch > 0)
		js_put(o, "last_epoch", score_json(&at->last_epoch));
	if (at->has_best)
		js_put(o, "best", json_real(at->best));
	return o;
}

void
run_describe(const struct run *r, struct ckpt_info *i)
{
	*i = (struct ckpt_info){
		.attempt = r->rep.attempt,
		.step = r->at.step,
		.epoch = r->at.epoch,
		.sample = r->at.sample,
		.seed = r->spec->training.seed,
		.learning_rate = r->at.rate,
		.created_ms = now_ms(),
		.metrics = run_metrics(r, true),
		.state = state_json(r),
		.split = held_out_json(&r->held),
		.arithmetic = exact_arithmetic(r),
		.inexact = exact_why_not(r),
		.input = input_json(r),
		.classes = input_classes(r),
		.leaves = r->o->sha256,
	};
	snprintf(i->parent, sizeof(i->parent), "%s", r->parent);
	if (r->o->job_id != NULL)
		snprintf(i->job, sizeof(i->job), "%s", r->o->job_id);
	memcpy(i->spec_digest, r->spec_digest, sizeof(i->spec_digest));
	memcpy(i->program, r->program, sizeof(i->program));
	memcpy(i->data_digest, r->data_digest, sizeof(i->data_digest));
	snprintf(i->producer, sizeof(i->producer), "rekindle-train "
	    REKINDLE_VERSION ", %s", kernel_backend());
}

/* --- and back ------------------------------------------------------------- */

#define COUNT_MAX ((int64_t)1 << 53)

static void
read_tally(struct rkj_obj *in, const char *key, struct tally *t,
    struct rk_why *why)
{
	struct rkj_obj o;
	char *path = rkj_child(in, key);

	rkj_open(&o, rkj_any(in, key), path, why);
	rkj_real(&o, "loss", &t->loss, -HUGE_VAL, HUGE_VAL, RKJ_REQUIRED);
	rkj_int(&o, "correct", &t->correct, 0, COUNT_MAX, RKJ_REQUIRED);
	rkj_int(&o, "samples", &t->samples, 0, COUNT_MAX, RKJ_REQUIRED);
	rkj_int(&o, "steps", &t->steps, 0, COUNT_MAX, RKJ_REQUIRED);
	t->weight = (double)t->samples;
	t->counted = t->samples;
	rkj_real(&o, "weight", &t->weight, 0, HUGE_VAL, RKJ_OPTIONAL);
	rkj_int(&o, "counted", &t->counted, 0, COUNT_MAX, RKJ_OPTIONAL);
	rkj_real(&o, "taught_sum", &t->taught_sum, -HUGE_VAL, HUGE_VAL,
	    RKJ_OPTIONAL);
	rkj_int(&o, "taught", &t->taught, 0, COUNT_MAX, RKJ_OPTIONAL);
	rkj_close_lenient(&o);
	free(path);
}

static void
read_score(struct rkj_obj *in, const char *key, struct score *s,
    struct rk_why *why)
{
	const json_t *v = rkj_any(in, key);
	struct rkj_obj o;

	if (v == NULL)
		return;
	char *path = rkj_child(in, key);
	rkj_open(&o, v, path, why);
	s->loss = NAN;
	rkj_real(&o, "loss", &s->loss, -HUGE_VAL, HUGE_VAL, RKJ_OPTIONAL);
	s->has_accuracy = rkj_real(&o, "accuracy", &s->accuracy, 0, 1,
	    RKJ_OPTIONAL);
	rkj_close_lenient(&o);
	free(path);
}

static bool
read_state(struct run *r, const struct ckpt_info *i)
{
	struct cursor *at = &r->at;
	int running = NN_RUNNING_OWN;
	struct rk_why why = {0};
	struct rkj_obj o;

	*at = (struct cursor){
		.step = i->step, .epoch = i->epoch, .sample = i->sample,
		.rate_scale = 1, .scored = -1,
		.rate = isfinite(i->learning_rate) ? i->learning_rate : 0,
	};
	rkj_open(&o, i->state, "state", &why);
	rkj_real(&o, "rate_scale", &at->rate_scale, 0, 1, RKJ_REQUIRED);
	read_tally(&o, "in_epoch", &at->in_epoch, &why);
	read_tally(&o, "in_window", &at->in_window, &why);
	rkj_int(&o, "scored", &at->scored, -1, COUNT_MAX, RKJ_REQUIRED);
	rkj_enum(&o, "running", &running, running_words, RKJ_OPTIONAL);
	at->running = (enum nn_running)running;
	nn_set_running(r->nn, at->running);
	read_score(&o, "valid", &at->valid, &why);
	figures_read(&at->figures, json_object_get(i->state, "valid"));
	early_read(r, rkj_any(&o, "early_stopping"), &why);
	knowledge_read(r, rkj_any(&o, "knowledge"), &why);
	distill_read(r, rkj_any(&o, "distill"), &why);
	read_score(&o, "last_epoch", &at->last_epoch, &why);
	rkj_real(&o, "last_loss", &r->last_loss, -HUGE_VAL, HUGE_VAL,
	    RKJ_OPTIONAL);
	at->has_best = rkj_real(&o, "best", &at->best, -HUGE_VAL, HUGE_VAL,
	    RKJ_OPTIONAL);
	const json_t *schedule = rkj_any(&o, "schedule");
	r->scheduled = schedule != NULL &&
	    schedule_parse(schedule, &r->schedule, &why) == RK_OK;
	spans_begin(r, i->state, &why);
	rkj_close_lenient(&o);
	bool ok = why.n == 0;
	if (!ok)
		run_fail(r, "bad_checkpoint", true, "%s: checkpoint.json: %s",
		    i->dir, rk_why_first(&why));
	rk_why_fini(&why);
	return ok;
}

/* One tensor out of a checkpoint's file: there, F32 and of the shape. */
static bool
take_tensor(struct run *r, const char *dir, const struct tensor_set *s,
    const char *name, const struct nn_tensor *t, float *to)
{
	const struct tensor *f = tensor_find(s, name);
	char theirs[TENSOR_SHAPE_TEXT], ours[TENSOR_SHAPE_TEXT];
	bool same = f != NULL && f->ndim == t->ndim && f->dtype == DT_F32;

	if (f == NULL)
		return run_fail(r, "bad_checkpoint", true,
		    "%s has no %s: the job's model or optimizer is another",
		    dir, name);
	for (int i = 0; same && i < t->ndim; i++)
		same = f->d[i] == t->d[i];
	if (!same)
		return run_fail(r, "bad_checkpoint", true,
		    "%s: %s is %s %s, the job's is F32 %s", dir, name,
		    dtype_name(f->dtype),
		    tensor_shape_text(theirs, f->ndim, f->d),
		    tensor_shape_text(ours, t->ndim, t->d));
	memcpy(to, f->data, f->nbytes);
	return true;
}

/* With every tensor of ours found, more of them means some are not ours. */
static bool
refuse_more(struct run *r, const char *dir, const struct tensor_set *s,
    size_t want, const char *what)
{
	if (s == NULL || s->n <= want)
		return true;
	return run_fail(r, "bad_checkpoint", true, "%s has %zu %s tensor%s, the "
	    "job's has %zu: it is another; to begin anew from these weights "
	    "give the checkpoint as model.checkpoint", dir, s->n, what,
	    rk_s((int64_t)s->n), want);
}

/* The same of the optimizer's file, where a tensor has more than its name. */
static bool
take_state(struct run *r, const char *dir, const struct tensor_set *s,
    const struct nn_tensor *t, const char *what, float *to)
{
	char *name = xasprintf("%s.%s", t->name, what);
	bool ok = take_tensor(r, dir, s, name, t, to);

	free(name);
	return ok;
}

/* The model's file has the average where one is kept, else what is trained. */
static bool
take_model(struct run *r, const char *dir, const struct tensor_set *model)
{
	for (size_t k = 0; k < nn_ntensors(r->nn); k++) {
		const struct nn_tensor *t = nn_tensor_at(r->nn, k);
		float *to = r->ema == NULL ? t->value : t->offset +
		    (t->is_buffer ? optim_ema_buffers(r->ema) :
		    optim_ema_params(r->ema));
		if (!take_tensor(r, dir, model, t->name, t, to))
			return false;
	}
	return refuse_more(r, dir, model, nn_ntensors(r->nn), "model");
}

/* What was in a shard has no moments. */
static bool
is_shared(const struct tensor_set *model, const struct nn_tensor *t)
{
	const struct tensor *f = tensor_find(model, t->name);

	return f != NULL && f->part == CKPT_FROZEN;
}

static bool
take_optim(struct run *r, const char *dir, const struct tensor_set *model,
    const struct tensor_set *optim)
{
	const int slots = optim_slots(r->optim);
	size_t n = 0;

	if (optim == NULL && (slots > 0 || r->ema != NULL))
		return run_fail(r, "bad_checkpoint", true, "%s has no state of "
		    "an optimizer: the job's is another", dir);
	for (size_t k = 0; k < nn_ntensors(r->nn); k++) {
		const struct nn_tensor *t = nn_tensor_at(r->nn, k);
		if (is_shared(model, t)) {
			/* The run may have trained it since. */
			if (!t->is_buffer)
				optim_reset(r->optim, t->offset, t->count);
			continue;
		}
		for (int s = 0; s < slots && !t->is_buffer; s++, n++) {
			if (!take_state(r, dir, optim, t,
			    optim_slot_name(r->optim, s),
			    optim_slot(r->optim, s) + t->offset))
				return false;
		}
		if (r->ema == NULL)
			continue;
		if (!take_state(r, dir, optim, t, WRITER_RAW, t->value))
			return false;
		n++;
	}
	return refuse_more(r, dir, optim, n, "optimizer");
}

bool
run_restore(struct run *r, const struct ckpt_info *i,
    const struct tensor_set *model, const struct tensor_set *optim)
{
	return take_model(r, i->dir, model) &&
	    take_optim(r, i->dir, model, optim) && read_state(r, i);
}
