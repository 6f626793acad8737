/*
 * The learning rate as a pure function of the step; the formulas are in
 * rekindle/optim.h.  There is no state, so a resume needs none.
 */
#include <math.h>

#include "rekindle/optim.h"

/* n of epochs or of steps, in steps.  In double: lengths come from people, and
 * the product of two of them may not fit an integer. */
static double
in_steps(int64_t n, bool epochs, int64_t steps_per_epoch)
{
	return epochs ? (double)n * (double)steps_per_epoch : (double)n;
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
		return base * pow(s->gamma, floor(u / in_steps(s->step_size,
		    s->unit_epochs, steps_per_epoch)));
	case SPEC_S_MULTISTEP:
		for (int i = 0; i < s->nmilestones; i++)
			passed += in_steps(s->milestones[i], s->unit_epochs,
			    steps_per_epoch) <= u;
		return base * pow(s->gamma, passed);
	case SPEC_S_COSINE:
		return min + (base - min) * (1 + cos(M_PI * done)) / 2;
	case SPEC_S_LINEAR:
		return base * (1 + (s->end_factor - 1) * done);
	case SPEC_S_POLYNOMIAL:
		return min + (base - min) * pow(1 - done, s->power);
	}
	return base;
}

double
optim_lr_at(const struct spec_schedule *s, double base, int64_t step,
    int64_t steps_per_epoch, int64_t total)
{
	const double t = (double)step, f = s->warmup_start_factor;
	const double warm = in_steps(s->warmup, s->warmup_unit_epochs,
	    steps_per_epoch);

	if (t < warm)
		return base * (f + (1 - f) * (t + 1) / warm);

	double length = in_steps(s->length, s->unit_epochs, steps_per_epoch);
	if (length <= 0)
		length = (double)total - warm;
	return after_warmup(s, base, t - warm, RK_MAX(length, 1),
	    steps_per_epoch);
}
