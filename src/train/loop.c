/* Steps and epochs. */
#include <math.h>
#include <stdlib.h>

#include "distill.h"
#include "due.h"
#include "early.h"
#include "epoch.h"
#include "feature_cache.h"
#include "feed.h"
#include "phases.h"
#include "profile.h"
#include "use.h"
#include "writer.h"

#define POLL_MS   3             /* between looks at the wire */
#define SPEED_MS  1000          /* that samples per second is measured over */

/* --- where we are --------------------------------------------------------- */

int64_t
next_rows(const struct run *r)
{
	return feed_rows(r, r->at.epoch, r->at.sample);
}

bool
at_limit(const struct run *r)
{
	return r->at.epoch >= r->epochs_limit ||
	    r->at.step >= r->steps_limit || early_stopped(r) ||
	    (phases_last(r) && phases_over(r));
}

/* The epoch is through and has not been scored; or the training ends inside
 * one. */
static bool
wants_scoring(const struct run *r)
{
	return at_limit(r) ? r->at.scored != r->at.step : next_rows(r) == 0;
}

/* --- saying so ------------------------------------------------------------ */

double
loop_speed(int64_t samples, int64_t ms)
{
	return 1e3 * (double)samples / (double)RK_MAX(ms, 1);
}

static void
measure_speed(struct run *r, int64_t now)
{
	const int64_t ms = now - r->speed_ms;

	if (ms < (r->speed_whole ? SPEED_MS : 1))
		return;
	r->samples_per_second = loop_speed(r->samples_done - r->speed_samples,
	    ms);
	/* The first steps, which are slow, are not all that is measured. */
	if (ms < SPEED_MS)
		return;
	r->speed_whole = true;
	r->speed_ms = now;
	r->speed_samples = r->samples_done;
}

void
loop_paused(struct run *r, int64_t began_ms)
{
	const int64_t ms = mono_ms() - began_ms;

	r->speed_ms += ms;
	r->window_ms += ms;
	r->epoch_ms += ms;
}

/* By the steps of this phase, and before there are any by those of the one
 * before, whose cost was another. */
static double
eta(struct run *r, int64_t now)
{
	const int64_t done = r->at.step - r->phase_step;
	const double cost = RK_MAX(r->phase_cost[r->phase.index], 1);

	if (done >= 1)
		r->left_s = (double)(now - r->phase_ms) * 1e-3 /
		    (double)done / cost;
	return phases_left(r) * r->left_s * cost;
}

double
stall_ratio(const struct run *r)
{
	const int64_t ms = mono_ms() - r->begun_ms;

	return ms > 0 ? r->stall_total_s * 1e3 / (double)ms : 0;
}

/*
 * The part of the time that checkpoints cost in all: what training waited for
 * them, and what its steps took longer while the writer had its share of the
 * cores and of the memory bus.  Noise of other processes goes both ways.
 */
static double
overhead_ratio(const struct run *r)
{
	const int64_t ms = mono_ms() - r->begun_ms;
	double s = r->stall_total_s + r->excess_s;

	return ms > 0 && s > 0 ? s * 1e3 / (double)ms : 0;
}

/* A full step took so long, beside a write or not. */
static void
count_time(struct run *r, bool writing, double s)
{
	if (writing && r->calm_step_s > 0)
		r->excess_s += s - r->calm_step_s;
	else if (!writing)
		r->calm_step_s = r->calm_step_s > 0 ? r->calm_step_s +
		    (s - r->calm_step_s) / 64 : s;
}

static void
say_progress(struct run *r, int64_t now, bool evaluating)
{
	const struct tally *t = r->at.in_window.samples > 0 ?
	    &r->at.in_window : &r->at.in_epoch;
	/* Between two epochs, and at the end, the whole one counts. */
	const bool whole = r->at.epoch > 0 && r->at.in_epoch.samples == 0;
	struct score s = whole ? r->at.last_epoch : run_score(r, t);
	struct progress g = {
		.step = r->at.step, .steps_total = r->steps_total,
		.epoch = r->at.epoch,
		.epochs_total = r->epochs_limit < INT64_MAX ?
		    r->epochs_limit : 0,
		.loss = isfinite(s.loss) && (whole || t->samples > 0) ?
		    s.loss : r->last_loss,
		.accuracy = s.accuracy,
		.has_accuracy = s.has_accuracy && r->at.step > 0,
		.learning_rate = run_rate(r, r->at.step),
		.evaluating = evaluating,
	};

	if (!evaluating)
		measure_speed(r, now);
	g.samples_per_second = r->samples_per_second;
	g.eta_s = eta(r, now);
	g.stall_ratio = stall_ratio(r);
	g.data_wait_ratio = feed_wait_ratio(r);
	g.broken = feed_broken(r);
	if (r->spec->training.nphases > 0)
		g.phase = r->phase.index + 1;
	g.phases = r->spec->training.nphases;
	if (r->schedule.now.shape.type == SPEC_S_PLATEAU || g.phase > 0)
		g.schedule = schedule_look(&r->schedule, r->at.rate_scale);
	report_progress(&r->rep, &g);
}

void
loop_tick(struct run *r, bool evaluating)
{
	const int64_t now = mono_ms();

	if (r->use != NULL) {
		use_tick(r->use);
		return;
	}
	if (now - r->poll_ms >= POLL_MS) {
		r->poll_ms = now;
		ask_poll(r);
	}
	if (now - r->progress_ms >= report_progress_ms(&r->rep)) {
		r->progress_ms = now;
		say_progress(r, now, evaluating);
	}
}

/* A line of the training's loss since the last such line. */
static void
log_window(struct run *r)
{
	struct tally *w = &r->at.in_window;
	const int64_t now = mono_ms();
	struct score s = run_score(r, w);
	json_t *m = json_pack("{s:s, s:s, s:I, s:I, s:I, s:f, s:f, s:f}",
	    "split", "train", "over", "steps",
	    "steps", (json_int_t)w->steps, "step", (json_int_t)r->at.step,
	    "epoch", (json_int_t)r->at.epoch,
	    "learning_rate", r->at.rate,
	    "samples_per_second", loop_speed(r->window_samples,
	    now - r->window_ms),
	    "stall_ratio", stall_ratio(r));

	must(m != NULL);
	js_put(m, "loss", js_number(s.loss));
	phases_put(r, m);
	distill_put(w, m);
	feed_put(r, m);
	if (s.has_accuracy)
		js_put(m, "accuracy", js_number(s.accuracy));
	if (r->write_s > 0) {
		js_put(m, "checkpoint_write_seconds", json_real(r->write_s));
		js_put(m, "checkpoint_overhead_ratio",
		    json_real(overhead_ratio(r)));
	}
	metrics_add(&r->rep, m);
	*w = (struct tally){0};
	r->window_ms = now;
	r->window_samples = 0;
}

/* --- a step --------------------------------------------------------------- */

static void
enter(struct run *r, enum profile_part part)
{
	if (r->profile != NULL)
		profile_enter(r->profile, part);
}

static void
leave(struct run *r, enum profile_part part)
{
	if (r->profile != NULL)
		profile_leave(r->profile, part);
}

static void
count(struct tally *t, const struct nn_result *res, int64_t rows)
{
	t->loss += res->loss_sum;
	t->weight += res->weight;
	t->correct += res->correct;
	t->counted += res->counted;
	t->samples += rows;
	t->steps++;
	t->taught_sum += res->taught_sum;
	t->taught += res->taught;
}

/* The tensor that has parameter i, as the model calls it. */
static const char *
holder_of(const struct nn *n, int64_t i)
{
	for (size_t k = 0; k < nn_ntensors(n); k++) {
		const struct nn_tensor *t = nn_tensor_at(n, k);
		if (!t->is_buffer && (int64_t)t->offset <= i &&
		    i < (int64_t)t->offset + (int64_t)t->count)
			return t->name;
	}
	return "none";
}

/* The first step has no step before it to compare with, and its weights are
 * those that it was given. */
static bool
refuse_at_once(struct run *r)
{
	int64_t n, bad = 0, first = 0;
	const float *v = nn_params(r->nn, &n);
	char some[RK_HUMAN], all[RK_HUMAN];

	for (int64_t i = n; i-- > 0;)
		if (!isfinite(v[i])) {
			bad++;
			first = i;
		}
	char *because = bad == 0 ? xstrdup("its parameters are finite, and so "
	    "the samples, or what they become in the network, are too large") :
	    xasprintf("%s of the %s parameters that it began with are not "
	    "finite, the first in %s", rk_group_digits(some, bad),
	    rk_group_digits(all, n), holder_of(r->nn, first));
	run_fail(r, "non_finite_loss", true, "the loss is not finite at step "
	    "%lld (epoch %lld), the first of this run: %s",
	    (long long)r->at.step, (long long)r->at.epoch, because);
	free(because);
	return false;
}

static bool
refuse_not_finite(struct run *r)
{
	/* Other data may be why. */
	if (!same_wait(r) || !due_settle(r))
		return false;
	if (r->at.step == r->begun_step && r->due.dir[0] == '\0')
		return refuse_at_once(r);
	return run_fail(r, "non_finite_loss",
	    true, "the loss is not finite at step %lld (epoch %lld); the step "
	    "before it was %g, at learning rate %g; the last good checkpoint "
	    "is %s", (long long)r->at.step, (long long)r->at.epoch,
	    r->last_loss, r->at.rate,
	    r->due.dir[0] != '\0' ? r->due.dir : "none");
}

static void
clip(struct run *r)
{
	const struct spec_training *t = &r->spec->training;

	if (t->gradient_clip_norm > 0)
		optim_clip(r->optim, nn_grads(r->nn), t->gradient_clip_norm);
	if (t->gradient_clip_value > 0)
		optim_clip_value(r->optim, nn_grads(r->nn),
		    t->gradient_clip_value);
}

/* The optimiser's update; when a checkpoint is due behind it, the results go
 * into the shadow as well, while they are in registers.  What that costs over
 * an update as usual is training held up. */
static void
update(struct run *r)
{
	int64_t n;
	float *params = nn_params(r->nn, &n);
	const bool capture = due_capture(r);
	const int64_t t0 = mono_ns();

	r->at.rate = run_rate(r, r->at.step);
	optim_step(r->optim, params, nn_grads(r->nn), r->at.step + 1,
	    r->at.rate, capture ? writer_shadow(r->writer) : NULL);
	if (r->ema != NULL)
		optim_ema_step(r->ema, params, nn_buffers(r->nn, &n),
		    r->at.step + 1, capture ? writer_ema(r->writer) : NULL);
	const double ns = (double)(mono_ns() - t0);
	if (capture) {
		r->due.stall_s = RK_MAX(ns - r->update_ns, 0) * 1e-9;
		r->due.captured = r->at.step + 1;
	} else {
		r->update_ns = r->update_ns > 0 ?
		    r->update_ns + (ns - r->update_ns) / 16 : ns;
	}
}

/* What the summed loss of a step is divided by; 0: its rows. */
static double
step_norm(const struct run *r, int64_t rows)
{
	const uint8_t *left_out = feed_left_out(r, 0);
	const bool weighs = nn_loss_weighs(r->nn);
	double norm = 0;

	if (!weighs && left_out == NULL)
		return 0;
	for (int64_t i = 0; i < rows; i++) {
		if (left_out != NULL && left_out[i])
			continue;
		norm += !weighs ? 1 : nn_loss_weight(r->nn,
		    &r->train->classes[r->which[i]], 1);
	}
	return norm;
}

/* Rows of a step that are not left out. */
static int64_t
counted(const struct run *r, int64_t rows)
{
	const uint8_t *left_out = feed_left_out(r, 0);
	int64_t n = rows;

	for (int64_t i = 0; left_out != NULL && i < rows; i++)
		n -= left_out[i];
	return n;
}

/* Forward, loss and backward of the rows of a step, some at a time; false where
 * the loss is not finite. */
static bool
run_parts(struct run *r, int64_t rows, struct nn_result *sum)
{
	const double norm = step_norm(r, rows);
	const int64_t taught = counted(r, rows);
	struct nn_result res;

	*sum = (struct nn_result){ 0 };
	nn_zero_grads(r->nn);
	for (int64_t at = 0; at < rows; at += r->micro) {
		struct nn_step s = {
			.rows = RK_MIN(r->micro, rows - at), .first = at,
			.all = rows, .seed = r->spec->training.seed,
			.step = r->at.step, .norm = norm,
			.left_out = feed_left_out(r, at),
		};
		enter(r, PROFILE_DATA);
		feed_load(r, r->train, at, s.rows);
		leave(r, PROFILE_DATA);
		distill_ask(r, &s, taught);
		features_forward(r, r->train, at, &s, true);
		nn_loss(r->nn, r->classes, feed_targets(r), &res);
		if (!isfinite(res.loss_sum) || !isfinite(res.taught_sum))
			return false;
		nn_backward(r->nn);
		sum->loss_sum += res.loss_sum;
		sum->weight += res.weight;
		sum->correct += res.correct;
		sum->counted += res.counted;
		sum->taught_sum += res.taught_sum;
		sum->taught += res.taught;
	}
	return true;
}

/* Can each part of a step of so many rows be trained on? */
static bool
may_train(struct run *r, int64_t rows)
{
	struct strbuf b = {0};
	const bool may = remarks_may_train(r, rows, &b);

	/* Other data may be why. */
	if (!may && same_wait(r) && due_settle(r))
		run_fail(r, "bad_spec", true, "step %lld cannot be made: %s",
		    (long long)r->at.step + 1, sb_str(&b));
	sb_fini(&b);
	return may;
}

/* Forward, backward and the update of what there is; false where the loss is
 * not finite.  A step of nothing but rows that do not count moves no weight,
 * neither by momentum or decay nor by a mean of a batch norm. */
static bool
train(struct run *r, int64_t rows, struct nn_result *res)
{
	if (feed_is_empty(r)) {
		*res = (struct nn_result){ 0 };
		r->at.rate = run_rate(r, r->at.step);
		return true;
	}
	if (!run_parts(r, rows, res))
		return false;
	enter(r, PROFILE_OPTIMIZER);
	clip(r);
	update(r);
	leave(r, PROFILE_OPTIMIZER);
	return true;
}

/* To leave before the step is no failure. */
static bool
no_batch(struct run *r)
{
	if (r->fail.reason == NULL)
		return true;
	due_settle(r);
	return false;
}

bool
loop_step(struct run *r)
{
	const struct spec_training *t = &r->spec->training;
	const int64_t rows = next_rows(r);

	enter(r, PROFILE_DATA);
	const bool there = feed_step(r, rows);
	leave(r, PROFILE_DATA);
	if (!there)
		return no_batch(r);
	const int64_t t0 = mono_ns();
	const bool writing = r->writer != NULL && !writer_is_free(r->writer);
	struct nn_result res;

	if (!may_train(r, rows))
		return false;
	if (!train(r, rows, &res))
		return refuse_not_finite(r);
	if (rows == r->batch && r->due.captured != r->at.step + 1)
		count_time(r, writing, (double)(mono_ns() - t0) * 1e-9);
	r->at.step++;
	r->at.sample += rows;
	r->samples_done += rows;
	r->window_samples += rows;
	r->epoch_samples += rows;
	if (res.weight > 0)     /* else no row counts: no loss */
		r->last_loss = distill_loss(r, res.loss_sum / res.weight,
		    res.taught_sum, res.taught);
	count(&r->at.in_epoch, &res, rows);
	count(&r->at.in_window, &res, rows);
	if (r->at.step % t->log_every == 0)
		log_window(r);
	return true;
}

/* --- all of them ---------------------------------------------------------- */

static void
start_clocks(struct run *r)
{
	const int64_t now = mono_ms();

	r->begun_ms = r->speed_ms = r->window_ms = r->epoch_ms = now;
	r->due.last_ms = now;
	r->begun_step = r->phase_step = r->at.step;
	r->phase_ms = now;
}

static bool
steps(struct run *r)
{
	if (!epoch_before(r))
		return false;
	for (;;) {
		if (!same_look(r))
			return false;
		if (wants_scoring(r)) {
			if (!epoch_end(r))
				return false;
			/* No time for it: the next attempt begins with it. */
			if (wants_scoring(r))
				break;
		} else if (r->ask.leave || at_limit(r)) {
			break;
		} else if (!phases_turn(r) || !loop_step(r)) {
			return false;
		}
		/* Not between the last step of an epoch and its scoring. */
		if (!wants_scoring(r) && !due_take(r))
			return false;
		loop_tick(r, false);
	}
	return (r->ask.leave || early_restore(r)) && due_final(r);
}

bool
run_loop(struct run *r)
{
	start_clocks(r);
	const bool ok = steps(r);
	/* What stays in sight of a run that has ended is its end. */
	say_progress(r, mono_ms(), false);
	if (ok && !r->ask.leave)
		r->ask.outcome = WIRE_SUCCEEDED;
	return ok;
}
