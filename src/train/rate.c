/* The learning rate: the schedule that a run follows, what is said of it. */
#include <math.h>
#include <stdlib.h>

#include "early.h"
#include "phases.h"
#include "start.h"

#define RATE_LOOKS 1000         /* steps at which we look for a rate above 0 */

double
run_rate(const struct run *r, int64_t step)
{
	return r->at.rate_scale * schedule_rate(&r->schedule, step);
}

static void
say(void *ctx, const char *sentence)
{
	struct run *r = ctx;

	report_event(&r->rep, "schedule_warning", "%s", sentence);
}

struct of_phase {
	int number;
	remark_fn *fn;
	void *ctx;
};

static void
say_of_phase(void *ctx, const char *sentence)
{
	const struct of_phase *p = ctx;
	char *text = xasprintf("phase %d: %s", p->number, sentence);

	p->fn(p->ctx, text);
	free(text);
}

/* Of a run that begins, about each of its phases. */
void
rate_remarks(const struct run *r, remark_fn *fn, void *ctx)
{
	const struct spec_training *t = &r->spec->training;
	struct schedule_phase at = {0};
	struct schedule s;

	for (int k = 0; k < RK_MAX(t->nphases, 1); k++) {
		const struct schedule_terms m = schedule_terms_at(t,
		    r->steps_per_epoch, &at);
		struct of_phase p = { k + 1, fn, ctx };
		schedule_begin_at(&s, &m, at.step);
		if (at.step >= schedule_total(t, r->steps_per_epoch))
			say_of_phase(&p, "nothing is trained: the training is "
			    "over before it begins");
		else if (t->nphases > 0)
			schedule_remarks(&s, r->at.rate_scale, say_of_phase,
			    &p);
		else
			schedule_remarks(&s, r->at.rate_scale, fn, ctx);
		if (k < t->nphases - 1)
			at = schedule_phase_next(t, r->steps_per_epoch, &at);
	}
}

void
rate_begin(struct run *r)
{
	const struct schedule_terms m = schedule_terms_of(&r->spec->training,
	    r->steps_per_epoch);

	schedule_begin(&r->schedule, &m);
	r->scheduled = true;
	/* One that goes on with the schedule of its file is not known yet. */
	if (!warm_wanted(r) || r->spec->training.warm_start.schedule !=
	    SPEC_FROM_CONTINUE)
		rate_remarks(r, say, r);
}

void
rate_turn(struct run *r)
{
	const struct schedule_terms m = schedule_terms_at(&r->spec->training,
	    r->steps_per_epoch, &r->phase);

	schedule_begin_at(&r->schedule, &m, r->at.step);
}

void
rate_continue(struct run *r, int64_t step)
{
	struct schedule *s = &r->schedule;

	s->from = -step;
	s->now.total = s->now.total > SCHEDULE_STEPS_MAX - step ?
	    SCHEDULE_STEPS_MAX : s->now.total + step;
	schedule_remarks(s, r->at.rate_scale, say, r);
}

/* The rate moves by schedule; a move beyond that is worth a line. */
static void
tell_rate(struct run *r, const struct ckpt_info *i, const struct rate_change *c)
{
	const double is = run_rate(r, c->at);

	if (c->at < 0 || fabs(is - c->was) <= 1e-9 * fabs(c->was))
		return;
	report_event(&r->rep, "learning_rate", "the learning rate jumps at "
	    "step %lld: this job has %g where %s had %g", (long long)i->step,
	    is, i->dir, c->was);
}

static void
tell_end(struct run *r)
{
	const int64_t first = r->at.step, last = r->steps_total;

	if (early_stopped(r)) {
		char *text = early_sentence(r);
		report_event(&r->rep, "nothing_left", "nothing is left to do: "
		    "the training was stopped early, %s; raise training."
		    "early_stopping.patience to go on", text);
		free(text);
		return;
	}
	if (at_limit(r)) {
		report_event(&r->rep, "nothing_left", "nothing is left to do: "
		    "%lld of %lld steps are done; %s to go on",
		    (long long)first, (long long)last, phases_over(r) ?
		    "lengthen the last of training.phases" :
		    "raise training.epochs");
		return;
	}
	if (!phases_last(r))
		return;
	int64_t stride = RK_MAX((last - first) / RATE_LOOKS, 1);
	for (int64_t t = first; t < last; t += stride) {
		if (run_rate(r, t) != 0)
			return;
	}
	report_event(&r->rep, "learning_rate_zero", "the learning rate is 0 "
	    "from step %lld to the end: nothing more will be learned",
	    (long long)first);
}

static void
tell_schedule(struct run *r)
{
	const enum spec_on_resume how = spec_phase_schedule(
	    &r->spec->training, r->phase.index)->on_resume;
	char *text = schedule_text(&r->schedule, r->at.rate_scale);

	report_event(&r->rep, "schedule", "the schedule from step %lld on, by "
	    "%s: %s", (long long)r->at.step, spec_on_resume_words[
	    how != SPEC_RESUME_UNSAID ? how : SPEC_RESUME_STRETCH], text);
	free(text);
	schedule_remarks(&r->schedule, r->at.rate_scale, say, r);
}

void
rate_judge(struct run *r)
{
	const struct spec_checkpoint *c = &r->spec->checkpoint;
	const double was = run_rate(r, r->at.step);
	json_t *m = run_metrics(r, true);
	const json_t *v = json_object_get(m, c->metric);

	if (json_is_number(v) && schedule_judge(&r->schedule, r->at.step,
	    c->metric, c->mode_max, json_number_value(v)))
		report_event(&r->rep, "learning_rate", "the learning rate goes "
		    "from %.3g to %.3g: %s has not been better than %.6g for "
		    "more than %lld epochs", was, run_rate(r, r->at.step),
		    c->metric, r->schedule.plateau.best,
		    (long long)r->schedule.now.shape.patience);
	json_decref(m);
}

bool
rate_go_on(struct run *r, const struct ckpt_info *i, struct rate_change *c)
{
	const struct schedule_terms m = schedule_terms_at(&r->spec->training,
	    r->steps_per_epoch, &r->phase);
	const struct schedule old = r->schedule;
	const bool had = r->scheduled;

	if (!had && m.shape.on_resume == SPEC_RESUME_KEEP)
		return run_fail(r, "bad_spec", true, "training.schedule."
		    "on_resume: is keep, and %s was written by a version that "
		    "did not record its schedule: say stretch or restart",
		    i->dir);
	c->anew = schedule_go_on(&r->schedule, had ? &old : NULL, &m,
	    i->step) == SCHEDULE_ANEW &&
	    (had || m.shape.on_resume != SPEC_RESUME_UNSAID);
	r->scheduled = true;
	/* Of a checkpoint without a schedule its last rate is known. */
	c->at = had ? i->step : i->step - 1;
	c->was = had ? r->at.rate_scale * schedule_rate(&old, i->step) :
	    i->learning_rate;
	return true;
}

void
rate_tell(struct run *r, const struct ckpt_info *i,
    const struct rate_change *c)
{
	/* Of a phase that is over no schedule is followed any more. */
	if (phases_last(r) || !phases_over(r)) {
		tell_rate(r, i, c);
		if (c->anew)
			tell_schedule(r);
	}
	tell_end(r);
}
