/* Evaluation, and what is said at the end of an epoch. */
#include <math.h>
#include <string.h>

#include "distill.h"
#include "due.h"
#include "early.h"
#include "epoch.h"
#include "feature_cache.h"
#include "feed.h"
#include "judging.h"
#include "knowledge.h"
#include "phases.h"

/* What is left of an evaluation may take this long when the run is to leave;
 * of a deadline, half. */
#define LEAVE_MS 5000

static bool
must_hurry(const struct run *r, int64_t begun_ms, int64_t done, int64_t all)
{
	if (!r->ask.leave || done == 0)
		return false;
	const int64_t now = mono_ms();
	const double left = (double)(now - begun_ms) * (double)(all - done) /
	    (double)done;
	const int64_t may = r->ask.deadline_ms > 0 ?
	    (r->ask.deadline_ms - now) / 2 : LEAVE_MS;
	return left > (double)may;
}

int64_t
score_batch(struct run *r, const struct data_set *d, int64_t at,
    struct tally *t)
{
	const int64_t rows = feed_score(r, d, at);
	struct nn_result res;

	if (rows == 0)
		return 0;
	feed_load(r, d, 0, rows);
	features_forward(r, d, 0, &(struct nn_step){ .rows = rows,
	    .all = rows, .left_out = feed_left_out(r, 0) }, false);
	nn_loss(r->nn, r->classes, r->targets, &res);
	judging_add(r, rows, feed_left_out(r, 0));
	t->loss += res.loss_sum;
	t->weight += res.weight;
	t->correct += res.correct;
	t->counted += res.counted;
	t->samples += rows;
	return rows;
}

/* Sums and counts in the samples' order; false when there is no time for it. */
static bool
evaluate(struct run *r, struct tally *t)
{
	const struct data_set *d = r->valid;
	const int64_t begun_ms = mono_ms();

	*t = (struct tally){0};
	judge_reset(r->judge);
	for (int64_t at = 0; at < d->n;) {
		if (must_hurry(r, begun_ms, at, d->n))
			return false;
		const int64_t rows = score_batch(r, d, at, t);
		if (rows == 0)
			return false;
		at += rows;
		loop_tick(r, true);
	}
	return true;
}

static void
log_score(struct run *r, const char *split, const struct score *s,
    const struct judged *f, const struct tally *trained, double speed)
{
	json_t *m = json_pack("{s:s, s:s, s:I, s:I, s:f, s:f}",
	    "split", split, "over", "epoch",
	    "step", (json_int_t)r->at.step, "epoch", (json_int_t)r->at.epoch,
	    "learning_rate", r->at.rate,
	    "stall_ratio", stall_ratio(r));

	must(m != NULL);
	phases_put(r, m);
	feed_put(r, m);
	if (speed > 0)
		js_put(m, "samples_per_second", json_real(speed));
	if (trained != NULL)
		js_put(m, "steps", json_integer(trained->steps));
	js_put(m, "loss", js_number(s->loss));
	if (trained != NULL)
		distill_put(trained, m);
	if (s->has_accuracy)
		js_put(m, "accuracy", js_number(s->accuracy));
	if (f != NULL) {
		figures_put(m, f, false);
		knowledge_put(r, m);
	}
	metrics_add(&r->rep, m);
}

/* Is this epoch the best so far by checkpoint.keep.metric? */
static bool
is_new_best(struct run *r)
{
	const struct spec_checkpoint *c = &r->spec->checkpoint;
	struct cursor *at = &r->at;
	json_t *m = run_metrics(r, true);
	const json_t *v = json_object_get(m, c->metric);
	const double x = json_number_value(v);
	bool better = json_is_number(v) && (!at->has_best ||
	    (c->mode_max ? x > at->best : x < at->best));

	json_decref(m);
	if (better) {
		at->best = x;
		at->has_best = true;
	}
	return better;
}

/* Exchange the model and its average, if one is kept; twice is as before. */
static void
swap_ema(struct run *r)
{
	int64_t n;

	if (r->ema != NULL)
		optim_ema_swap(r->ema, nn_params(r->nn, &n),
		    nn_buffers(r->nn, &n));
}

/* False when the loss is not finite, or there is no time: then *late.  What is
 * measured is what the checkpoint's model is: the average, if there is one. */
static bool
score_validation(struct run *r, bool *late)
{
	struct tally t;

	swap_ema(r);
	const bool through = evaluate(r, &t);
	swap_ema(r);
	*late = !through && r->fail.reason == NULL;
	if (*late)
		return false;
	if (!through) {
		due_settle(r);
		return false;
	}
	r->at.valid = run_score(r, &t);
	judging_take(r, &r->at.figures);
	if (isfinite(r->at.valid.loss))
		return true;
	return due_settle(r) && run_fail(r, "non_finite_loss", true,
	    "the loss on the validation data is not finite at step %lld (epoch "
	    "%lld); the last of the training was %g; the last good checkpoint "
	    "is %s",
	    (long long)r->at.step, (long long)r->at.epoch, r->last_loss,
	    r->due.dir[0] != '\0' ? r->due.dir : "none");
}

static void
log_before(struct run *r, const struct score *s, double speed)
{
	json_t *m = json_pack("{s:s, s:s, s:I, s:I, s:f, s:o}",
	    "split", "validation", "over", "start",
	    "step", (json_int_t)r->at.step, "epoch", (json_int_t)r->at.epoch,
	    "samples_per_second", speed, "loss", js_number(s->loss));

	must(m != NULL);
	if (s->has_accuracy)
		js_put(m, "accuracy", js_number(s->accuracy));
	knowledge_put(r, m);
	metrics_add(&r->rep, m);
}

bool
epoch_before(struct run *r)
{
	const int64_t begun_ms = mono_ms();
	struct tally t;

	if (!knowledge_waits(r))
		return true;
	knowledge_start(r);
	if (!evaluate(r, &t)) {
		knowledge_stop(r);
		return r->fail.reason == NULL;
	}
	knowledge_take(r);
	const struct score s = run_score(r, &t);
	log_before(r, &s, loop_speed(r->valid->n, mono_ms() - begun_ms));
	loop_paused(r, begun_ms);
	return true;
}

bool
epoch_end(struct run *r)
{
	const struct spec_checkpoint *c = &r->spec->checkpoint;
	struct cursor *at = &r->at;
	const bool whole = next_rows(r) == 0;
	const int64_t begun_ms = mono_ms();
	const double speed = loop_speed(r->epoch_samples, begun_ms -
	    r->epoch_ms);
	bool late = false;

	if (r->valid != NULL && !score_validation(r, &late))
		return late;
	const int64_t ms = mono_ms() - begun_ms;
	loop_paused(r, begun_ms);
	at->scored = at->step;
	const struct tally trained = at->in_epoch;
	struct score s = run_score(r, &trained);
	if (whole) {
		at->epoch++;
		at->sample = 0;
		at->last_epoch = s;
		at->in_epoch = (struct tally){0};
	}
	if (trained.samples > 0)
		log_score(r, "train", &s, NULL, &trained, speed);
	if (r->valid != NULL) {
		knowledge_judge(r);
		log_score(r, "validation", &at->valid, &at->figures, NULL,
		    loop_speed(r->valid->n, ms));
		evaluations_add(r);
	}
	r->epoch_ms = mono_ms();
	r->epoch_samples = 0;
	if (is_new_best(r) && c->keep_best > 0)
		r->due.best = true;
	/* Not at the training's end inside an epoch, which a longer training
	 * would not have. */
	if (whole) {
		rate_judge(r);
		early_judge(r);
	}
	if (whole && c->every_epochs > 0 && at->epoch % c->every_epochs == 0)
		r->due.schedule = true;
	return true;
}
