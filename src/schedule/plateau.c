/* What evaluations do to reduce_on_plateau: see rekindle/schedule.h. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "rekindle/schedule.h"

#define LEAST 1e-8              /* PyTorch's eps */

static bool
is_better(const struct schedule_plateau *p, double threshold, double value)
{
	return p->mode_max ? value > p->best * (1 + threshold) :
	    value < p->best * (1 - threshold);
}

/* Whether this value, of this metric, is the new best.  What is no number is
 * not. */
static bool
take(struct schedule_plateau *p, double threshold, const char *metric,
    bool mode_max, double value)
{
	const bool anew = strcmp(p->metric, metric) != 0 ||
	    p->mode_max != mode_max;

	if (!isfinite(value) || (!anew && !is_better(p, threshold, value)))
		return false;
	must(strlen(metric) < sizeof(p->metric));
	snprintf(p->metric, sizeof(p->metric), "%s", metric);
	p->mode_max = mode_max;
	p->best = value;
	return true;
}

bool
schedule_judge(struct schedule *s, int64_t step, const char *metric,
    bool mode_max, double value)
{
	const struct spec_schedule *m = &s->now.shape;
	struct schedule_plateau *p = &s->plateau;

	if (m->type != SPEC_S_PLATEAU ||
	    (double)(step - s->from) <= schedule_warmup(&s->now))
		return false;
	if (take(p, m->threshold, metric, mode_max, value))
		p->bad = 0;
	else
		p->bad++;
	if (p->cooldown > 0) {
		p->cooldown--;
		p->bad = 0;
	}
	if (p->bad <= m->patience)
		return false;
	const double was = schedule_rate(s, step), scale = p->scale;
	p->scale = RK_MAX(scale * m->factor,
	    RK_MIN(m->min_learning_rate / s->now.peak, scale));
	p->cooldown = m->cooldown;
	p->bad = 0;
	if (was - schedule_rate(s, step) > LEAST)
		return true;
	p->scale = scale;
	return false;
}
