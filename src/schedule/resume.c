/* What becomes of a schedule on a resume. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rekindle/schedule.h"

void
schedule_begin(struct schedule *s, const struct schedule_terms *m)
{
	*s = (struct schedule){ .said = *m, .now = *m, .plateau.scale = 1 };
}

/* By their normal form: a struct has room between its fields. */
static bool
same_shape(const struct spec_schedule *a, const struct spec_schedule *b)
{
	json_t *x = spec_schedule_json(a), *y = spec_schedule_json(b);
	bool same = json_equal(x, y);

	json_decref(x);
	json_decref(y);
	return same;
}

static void
set_peak(struct schedule *s, double peak)
{
	s->now.peak = peak;
	s->now.shape.min_learning_rate =
	    RK_MIN(s->now.shape.min_learning_rate, peak);
}

void
schedule_decide(struct schedule *s, const struct schedule *old,
    const struct schedule_terms *m, int64_t step, enum spec_on_resume how)
{
	struct schedule n = { .said = *m, .now = *m, .plateau.scale = 1 };

	if (old != NULL && how != SPEC_RESUME_RESTART)
		n.plateau = old->plateau;
	switch (how) {
	case SPEC_RESUME_KEEP:
		must(old != NULL);
		n.now = old->now;
		n.from = old->from;
		n.since = step;
		n.by = SPEC_RESUME_KEEP;
		if (m->peak != old->said.peak)
			set_peak(&n, m->peak);
		*s = n;
		return;
	case SPEC_RESUME_RESTART:
		n.from = step;
		break;
	case SPEC_RESUME_STRETCH:
	case SPEC_RESUME_UNSAID:
		n.from = old != NULL ? old->from : 0;
		break;
	}
	n.now.total = RK_MAX(m->total - n.from, 1);
	n.since = n.from;
	/* A phase begins behind step 0, too. */
	const bool begun = old != NULL && old->by == SPEC_RESUME_UNSAID &&
	    old->from == n.from;
	n.by = n.from > 0 && !begun ? SPEC_RESUME_RESTART :
	    SPEC_RESUME_UNSAID;
	*s = n;
}

enum schedule_change
schedule_go_on(struct schedule *s, const struct schedule *old,
    const struct schedule_terms *m, int64_t step)
{
	struct schedule was;

	if (old == NULL) {
		schedule_decide(s, NULL, m, step, m->shape.on_resume);
		return SCHEDULE_ANEW;
	}
	was = *old;                     /* s may be the same */
	bool same = same_shape(&m->shape, &was.said.shape) &&
	    m->total == was.said.total &&
	    m->steps_per_epoch == was.said.steps_per_epoch;
	if (same && m->peak == was.said.peak) {
		*s = was;
		return SCHEDULE_SAME;
	}
	if (!same) {
		schedule_decide(s, &was, m, step, m->shape.on_resume);
		return SCHEDULE_ANEW;
	}
	*s = was;
	s->said = *m;
	set_peak(s, m->peak);
	return SCHEDULE_PEAK;
}

/* --- a request ------------------------------------------------------------ */

#define PHASES "training.phases"

void
schedule_ask_phase(struct schedule_request *q, const struct spec_training *t,
    int k)
{
	if (t->nphases == 0)
		return;
	const struct spec_phase *p = &t->phases[k];
	q->phase = k + 1;
	q->own_rate = p->rate > 0 || p->scale != 1;
	q->own_schedule = p->schedule != NULL;
	/* That of the training is not what this phase follows. */
	if (p->rate > 0)
		q->says_rate = false;
	if (q->own_schedule)
		q->says_on_resume = false;
	if (json_object_get(q->changed, PHASES) == NULL)
		return;
	q->says_rate |= q->own_rate && q->terms.peak != q->old->said.peak;
	q->says_on_resume |= q->own_schedule &&
	    p->schedule->on_resume != SPEC_RESUME_UNSAID;
}

static bool
is_shape(const char *path)
{
	static const char in[] = "training.schedule.";

	return strncmp(path, in, sizeof(in) - 1) == 0 &&
	    strcmp(path, "training.schedule.on_resume") != 0;
}

static bool
is_length(const char *path)
{
	return strcmp(path, "training.epochs") == 0 ||
	    strcmp(path, "training.steps") == 0;
}

/* The first of the request's changes that decides rates, by its path: one of
 * the schedule if `shape` (its type before all that follows from it), of the
 * length too if not; NULL: there is none. */
static const char *
first_change(const json_t *changed, bool shape)
{
	static const char type[] = "training.schedule.type";
	json_t *tree = (json_t *)(uintptr_t)changed, *v;
	const char *path, *found = NULL;

	if (json_object_get(changed, type) != NULL)
		return type;
	if (!shape && json_object_get(changed, PHASES) != NULL)
		return PHASES;
	json_object_foreach(tree, path, v) {
		if (is_shape(path) || (!shape && (is_length(path) ||
		    strcmp(path, "training.schedule.on_resume") == 0)))
			found = found == NULL || strcmp(path, found) < 0 ?
			    path : found;
	}
	return found;
}

static double
rate_by(const struct schedule_request *q, enum spec_on_resume how)
{
	struct schedule s;

	schedule_decide(&s, q->old, &q->terms, q->step, how);
	return q->scale * schedule_rate(&s, q->step);
}

static enum rk_err
refuse_leap(const struct schedule_request *q, const char *path, double was,
    double is, struct rk_why *why)
{
	char step[RK_HUMAN], own[sizeof(PHASES) + 16] = "";

	if (q->phase > 0)
		snprintf(own, sizeof(own), PHASES "[%d]", q->phase - 1);
	if (strcmp(path, PHASES) == 0 && q->phase > 0)
		path = own;
	return rk_refuse_at(why, path, "makes the learning rate leap from %.3g "
	    "to %.3g at step %s: say %s.schedule.on_resume: keep (the "
	    "old schedule goes on, with %.3g there), stretch (the new one as "
	    "if it had been so from the beginning, %.3g) or restart (the new "
	    "one begins here, %.3g); or set %s.learning_rate",
	    was, is, rk_group_digits(step, q->step), q->own_schedule ? own :
	    "training", rate_by(q, SPEC_RESUME_KEEP),
	    rate_by(q, SPEC_RESUME_STRETCH), rate_by(q, SPEC_RESUME_RESTART),
	    q->phase > 0 ? own : "training.optimizer");
}

enum rk_err
schedule_check(const struct schedule_request *q, double *was, double *is,
    struct rk_why *why)
{
	/* What a phase does not follow is not its schedule. */
	const char *shape = q->own_schedule ? NULL :
	    first_change(q->changed, true);
	const char *path = first_change(q->changed, false);
	struct schedule s;

	(void)schedule_go_on(&s, q->old, &q->terms, q->step);
	const double old = q->scale * schedule_rate(q->old, q->step);
	const double new = q->scale * schedule_rate(&s, q->step);
	if (was != NULL)
		*was = old;
	if (is != NULL)
		*is = new;
	if (shape != NULL && q->terms.shape.on_resume == SPEC_RESUME_KEEP)
		return rk_refuse_at(why, shape, "would not be used: "
		    "training.schedule.on_resume is keep, and the old schedule "
		    "goes on; say stretch or restart, or leave the schedule as "
		    "it is");
	if (path == NULL || q->says_rate || q->says_on_resume ||
	    q->step >= q->terms.total || !(new > SCHEDULE_LEAP * old))
		return RK_OK;
	return refuse_leap(q, path, old, new, why);
}
