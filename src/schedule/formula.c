/* The formulas of rekindle/schedule.h. */
#include <math.h>

#include "rekindle/schedule.h"

/* n of epochs or of steps, in steps.  In double: lengths come from people, and
 * the product of two of them may not fit an integer. */
double
schedule_in_steps(int64_t n, bool epochs, int64_t steps_per_epoch)
{
	return epochs ? (double)n * (double)steps_per_epoch : (double)n;
}

static double
anneal(enum spec_anneal by, double from, double to, double part)
{
	return by == SPEC_ANNEAL_LINEAR ? from + (to - from) * part :
	    to + (from - to) * (1 + cos(M_PI * part)) / 2;
}

/* The peak lies at `top`, below 0 where there is no way up. */
static double
one_cycle(const struct spec_schedule *s, double base, double u, double length)
{
	const double first = base / s->div_factor;
	const double last = first / s->final_div_factor;
	const double top = s->pct_start * length - 1;

	if (u < top)
		return anneal(s->anneal, first, base, u / top);
	return anneal(s->anneal, base, last,
	    (RK_MIN(u, length - 1) - top) / (length - 1 - top));
}

static double
after_warmup(const struct spec_schedule *s, double base, double u,
    double length, int64_t steps_per_epoch)
{
	const double min = s->min_learning_rate;
	const double done = u < length ? u / length : 1;
	int passed = 0;

	switch (s->type) {
	case SPEC_S_CONSTANT:
		return base;
	case SPEC_S_STEP:
		return base * pow(s->gamma, floor(u /
		    schedule_in_steps(s->step_size, s->unit_epochs,
		    steps_per_epoch)));
	case SPEC_S_MULTISTEP:
		for (int i = 0; i < s->nmilestones; i++)
			passed += schedule_in_steps(s->milestones[i],
			    s->unit_epochs, steps_per_epoch) <= u;
		return base * pow(s->gamma, passed);
	case SPEC_S_COSINE:
		return min + (base - min) * (1 + cos(M_PI * done)) / 2;
	case SPEC_S_LINEAR:
		return base * (1 + (s->end_factor - 1) * done);
	case SPEC_S_POLYNOMIAL:
		return min + (base - min) * pow(1 - done, s->power);
	case SPEC_S_ONE_CYCLE:
		return one_cycle(s, base, u, length);
	case SPEC_S_PLATEAU:
		return base;            /* the scale comes on top */
	}
	return base;
}

double
schedule_warmup(const struct schedule_terms *m)
{
	return schedule_in_steps(m->shape.warmup, m->shape.warmup_unit_epochs,
	    m->steps_per_epoch);
}

double
schedule_decay(const struct schedule_terms *m)
{
	double n = schedule_in_steps(m->shape.length, m->shape.unit_epochs,
	    m->steps_per_epoch);

	if (n <= 0)
		n = (double)m->total - schedule_warmup(m);
	return RK_MAX(n, 1);
}

static double
warming(const struct schedule_terms *m, double t, double warm)
{
	const double f = m->shape.warmup_start_factor, base = m->peak;

	switch (m->shape.warmup_by) {
	case SPEC_WARMUP_TORCH:
		return base * (f + (1 - f) * t / warm);
	case SPEC_WARMUP_PADDLE:
		return (base - f * base) * t / warm + f * base;
	case SPEC_WARMUP_OURS:
		break;
	}
	return base * (f + (1 - f) * (t + 1) / warm);
}

double
schedule_lr_at(const struct schedule_terms *m, int64_t step)
{
	const double t = (double)step, warm = schedule_warmup(m);

	if (t < warm)
		return warming(m, t, warm);
	return after_warmup(&m->shape, m->peak, t - warm, schedule_decay(m),
	    m->steps_per_epoch);
}

bool
schedule_decays(const struct spec_schedule *s)
{
	return s->type == SPEC_S_COSINE || s->type == SPEC_S_LINEAR ||
	    s->type == SPEC_S_POLYNOMIAL || s->type == SPEC_S_ONE_CYCLE;
}

/* The step behind its last one. */
static double
end_of(const struct schedule_terms *m)
{
	if (!schedule_decays(&m->shape))
		return HUGE_VAL;
	return RK_MAX((double)m->total, schedule_warmup(m) +
	    schedule_decay(m));
}

double
schedule_rate(const struct schedule *s, int64_t step)
{
	const double end = end_of(&s->now);
	int64_t t = RK_MAX(step - s->from, 0);

	if ((double)t >= end)
		t = (int64_t)end - 1;
	t = RK_MAX(t, 0);

	double rate = schedule_lr_at(&s->now, t);
	if (s->now.shape.type != SPEC_S_PLATEAU)
		return rate;
	rate *= s->plateau.scale;
	return (double)t < schedule_warmup(&s->now) ? rate :
	    RK_MAX(rate, s->now.shape.min_learning_rate);
}
