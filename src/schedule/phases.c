/* Phases of a training, in steps: see rekindle/schedule.h. */
#include "rekindle/schedule.h"

static const struct spec_phase *
phase_of(const struct spec_training *t, const struct schedule_phase *at)
{
	must(at->index >= 0 && at->index < RK_MAX(t->nphases, 1));
	return t->nphases > 0 ? &t->phases[at->index] : NULL;
}

/* Where the training itself ends. */
static int64_t
limit_of(const struct spec_training *t, int64_t steps_per_epoch)
{
	int64_t total = t->steps > 0 ?
	    RK_MIN(t->steps, SCHEDULE_STEPS_MAX) : SCHEDULE_STEPS_MAX;

	if (t->epochs > 0 && t->epochs <= SCHEDULE_STEPS_MAX / steps_per_epoch)
		total = RK_MIN(total, t->epochs * steps_per_epoch);
	return total;
}

/* Without the training's own end. */
static int64_t
end_of(const struct spec_phase *p, int64_t steps_per_epoch,
    const struct schedule_phase *at)
{
	int64_t n = SCHEDULE_STEPS_MAX;

	if (p != NULL && p->steps > 0)
		n = p->steps;
	else if (p != NULL && p->epochs > 0 &&
	    p->epochs <= SCHEDULE_STEPS_MAX / steps_per_epoch)
		n = RK_MAX(p->epochs * steps_per_epoch - at->of_epoch, 0);
	return n > SCHEDULE_STEPS_MAX - at->step ? SCHEDULE_STEPS_MAX :
	    at->step + n;
}

int64_t
schedule_phase_end(const struct spec_training *t, int64_t steps_per_epoch,
    const struct schedule_phase *at)
{
	return RK_MIN(end_of(phase_of(t, at), steps_per_epoch, at),
	    limit_of(t, steps_per_epoch));
}

bool
schedule_phase_over(const struct spec_training *t,
    const struct schedule_phase *at, int64_t step, int64_t epoch)
{
	const struct spec_phase *p = phase_of(t, at);

	if (p == NULL)
		return false;
	return (p->steps > 0 && step - at->step >= p->steps) ||
	    (p->epochs > 0 && epoch - at->epoch >= p->epochs);
}

struct schedule_phase
schedule_phase_next(const struct spec_training *t, int64_t steps_per_epoch,
    const struct schedule_phase *at)
{
	const struct spec_phase *p = phase_of(t, at);
	struct schedule_phase next = { .index = at->index + 1,
		.step = end_of(p, steps_per_epoch, at) };

	must(p != NULL && next.index < t->nphases);
	if (p->steps > 0) {
		const int64_t of = at->of_epoch +
		    RK_MIN(p->steps, SCHEDULE_STEPS_MAX);
		next.epoch = at->epoch + of / steps_per_epoch;
		next.of_epoch = of % steps_per_epoch;
	} else {
		next.epoch = at->epoch + p->epochs;
	}
	return next;
}

int64_t
schedule_total_at(const struct spec_training *t, int64_t steps_per_epoch,
    const struct schedule_phase *at)
{
	struct schedule_phase last = *at;

	while (last.index < t->nphases - 1)
		last = schedule_phase_next(t, steps_per_epoch, &last);
	return schedule_phase_end(t, steps_per_epoch, &last);
}

int64_t
schedule_total(const struct spec_training *t, int64_t steps_per_epoch)
{
	return schedule_total_at(t, steps_per_epoch,
	    &(struct schedule_phase){ 0 });
}

struct schedule_phase
schedule_phase_find(const struct spec_training *t, int64_t steps_per_epoch,
    int64_t step, int64_t epoch)
{
	struct schedule_phase at = { 0 };

	while (at.index < t->nphases - 1 &&
	    schedule_phase_over(t, &at, step, epoch))
		at = schedule_phase_next(t, steps_per_epoch, &at);
	return at;
}

/* Lengths in the training's own unit fill it, but for a phase that began later
 * than they say: a resume has made the one before so short that it was over.
 * True: this one has what is left. */
static bool
is_cut(const struct spec_training *t, const struct schedule_phase *at)
{
	const struct spec_phase *p = phase_of(t, at);

	if (t->epochs > 0 && t->steps > 0)
		return false;
	for (int k = 0; k < t->nphases - 1; k++)
		if ((t->phases[k].epochs > 0) != (t->epochs > 0))
			return false;
	return t->epochs > 0 ? p->epochs > t->epochs - at->epoch :
	    t->steps > 0 && p->steps > t->steps - at->step;
}

/* The step at which a phase that has a length would be over. */
static int64_t
own_end(const struct spec_training *t, int64_t steps_per_epoch,
    const struct schedule_phase *at)
{
	struct spec_phase p = *phase_of(t, at);

	if (is_cut(t, at) && p.epochs > 0)
		p.epochs = RK_MAX(t->epochs - at->epoch, 1);
	else if (is_cut(t, at))
		p.steps = RK_MAX(t->steps - at->step, 1);
	return end_of(&p, steps_per_epoch, at);
}

/* A phase that has a length keeps its schedule where the training ends before,
 * if their units differ. */
struct schedule_terms
schedule_terms_at(const struct spec_training *t, int64_t steps_per_epoch,
    const struct schedule_phase *at)
{
	const struct spec_phase *p = phase_of(t, at);
	const bool own = p != NULL && (p->steps > 0 || p->epochs > 0);

	return (struct schedule_terms){
		.shape = *spec_phase_schedule(t, at->index),
		.peak = spec_phase_peak(t, at->index),
		.steps_per_epoch = steps_per_epoch,
		.total = own ? own_end(t, steps_per_epoch, at) :
		    limit_of(t, steps_per_epoch),
	};
}

struct schedule_terms
schedule_terms_of(const struct spec_training *t, int64_t steps_per_epoch)
{
	return schedule_terms_at(t, steps_per_epoch,
	    &(struct schedule_phase){ 0 });
}

void
schedule_begin_at(struct schedule *s, const struct schedule_terms *m,
    int64_t step)
{
	schedule_begin(s, m);
	s->from = s->since = step;
	s->now.total = RK_MAX(m->total - step, 1);
}

/* --- checkpoint.json ------------------------------------------------------ */

json_t *
schedule_phase_json(const struct schedule_phase *at)
{
	json_t *v = json_pack("{s:i, s:I, s:I, s:I}", "number", at->index + 1,
	    "step", (json_int_t)at->step, "epoch", (json_int_t)at->epoch,
	    "of_epoch", (json_int_t)at->of_epoch);

	must(v != NULL);
	return v;
}

enum rk_err
schedule_phase_parse(const json_t *v, struct schedule_phase *out,
    struct rk_why *why)
{
	struct rk_why own = {0};
	struct rkj_obj o;
	int64_t number = 1;

	*out = (struct schedule_phase){0};
	rkj_open(&o, v, "phase", &own);
	rkj_int(&o, "number", &number, 1, SPEC_MAX_PHASES, RKJ_REQUIRED);
	rkj_int(&o, "step", &out->step, 0, SCHEDULE_STEPS_MAX, RKJ_REQUIRED);
	rkj_int(&o, "epoch", &out->epoch, 0, SCHEDULE_STEPS_MAX, RKJ_REQUIRED);
	rkj_int(&o, "of_epoch", &out->of_epoch, 0, SCHEDULE_STEPS_MAX,
	    RKJ_REQUIRED);
	out->index = (int)number - 1;
	rkj_close_lenient(&o);
	return rk_why_end(&own, why);
}
