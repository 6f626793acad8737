/*
 * May a resume change the learning rate so?  The daemon does no arithmetic of
 * training, but the schedule is a pure function that it shares with the trainer
 * (schedule.h), and the checkpoint has all that it needs.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl.h"
#include "rekindle/schedule.h"

#define SAME_RATE 1e-9          /* a part that is rounding and no change */

/* The checkpoint that a resume goes on from: here, or in a bucket.  False: none
 * (yet), or none that is known of now. */
static bool
find_checkpoint(struct sup *s, const struct job_row *r, const char *selector,
    const struct spec *spec, struct ckpt_info *out)
{
	char *dir = xasprintf("%s/checkpoints", sup_job_dir(s, r->id));
	struct ckpt *c = NULL;
	bool found = false;

	*out = (struct ckpt_info){ 0 };
	/* ckpt_open() would make the folder. */
	if (access(dir, F_OK) == 0 && ckpt_open(&c, dir, false) == RK_OK)
		found = ckpt_select(c, selector, spec->checkpoint.metric,
		    spec->checkpoint.mode_max, out, NULL) == RK_OK;
	ckpt_close(&c);
	free(dir);
	if (!found && s->up.info != NULL)
		found = s->up.info(s->up.ctx, r->id, selector, out);
	return found;
}

/* Steps of an epoch, of a checkpoint that does not say; 0: not known. */
static int64_t
steps_per_epoch(const struct ckpt_info *i, const struct spec_training *t)
{
	const int64_t batches = i->sample / t->batch_size +
	    (i->sample % t->batch_size != 0);
	const int64_t whole = i->step - batches;

	if (i->epoch < 1 || whole < i->epoch || whole % i->epoch != 0)
		return 0;
	return whole / i->epoch;
}

/* What a resume goes on from. */
struct past {
	struct schedule old;
	struct schedule_phase phase;    /* that was under way */
	bool phased;                    /* the checkpoint says it */
	int64_t epoch;
	bool known;                     /* `old` is */
	bool recorded;                  /* the checkpoint says it */
	int64_t step;
	double scale;                   /* of a warm start */
	const char *dir;
};

/* What the checkpoint's run follows; of one from before schedules were
 * recorded, what its job says. */
static void
past_of_checkpoint(const struct ckpt_info *i, const struct spec *before,
    struct past *p)
{
	const json_t *v = json_object_get(i->state, "schedule");
	const json_t *scale = json_object_get(i->state, "rate_scale");
	struct rk_why why = { 0 };

	*p = (struct past){ .recorded = v != NULL, .step = i->step,
	    .scale = json_is_number(scale) ? json_number_value(scale) : 1,
	    .epoch = i->epoch, .dir = i->dir };
	const json_t *phase = json_object_get(i->state, "phase");
	p->phased = phase != NULL &&
	    schedule_phase_parse(phase, &p->phase, &why) == RK_OK;
	rk_why_fini(&why);
	why = (struct rk_why){ 0 };
	if (v != NULL) {
		/* if not, the trainer refuses it */
		p->known = schedule_parse(v, &p->old, &why) == RK_OK;
		rk_why_fini(&why);
		return;
	}
	const int64_t spe = steps_per_epoch(i, &before->training);
	p->known = spe >= 1;
	if (p->known) {
		const struct schedule_terms m = schedule_terms_of(
		    &before->training, spe);
		schedule_begin(&p->old, &m);
	}
}

/* All of the job's checkpoints are gone, and it will wait for them: the newest
 * that it has had counts, and what the job says. */
static void
past_of_row(const struct job_row *r, const struct spec *before, struct past *p)
{
	json_t *progress = NULL;

	if (rkj_parse_json(r->progress, strlen(r->progress), &progress,
	    NULL) != RK_OK)
		progress = NULL;
	const int64_t steps = json_integer_value(json_object_get(progress,
	    "steps_total")), epochs = json_integer_value(json_object_get(
	    progress, "epochs_total"));
	const int64_t spe = epochs > 0 ? steps / epochs :
	    before->training.epochs == 0 ? 1 : 0;

	/* Which phase was under way is not known. */
	*p = (struct past){ .known = spe >= 1 && before->training.nphases == 0,
	    .recorded = true,
	    .step = r->known_step, .scale = 1, .dir = r->known_dir };
	if (p->known) {
		const struct schedule_terms m = schedule_terms_of(
		    &before->training, spe);
		schedule_begin(&p->old, &m);
	}
	json_decref(progress);
}

/* Does the request itself say it? */
static bool
says(const json_t *overrides, const char *block, const char *key)
{
	const json_t *v = json_object_get(json_object_get(json_object_get(
	    overrides, "training"), block), key);

	return v != NULL && !json_is_null(v);
}

/* Faults of a job, by the names that its fields have in the request. */
static enum rk_err
hand_over(struct rk_why *own, enum rk_err rc, struct rk_why *why)
{
	for (size_t i = 0; i < own->n; i++) {
		char *path = xasprintf("overrides.%s", own->v[i].path);
		rk_refuse_at(why, path, "%s", own->v[i].message);
		free(path);
	}
	rk_why_fini(own);
	return rc;
}

/* The phase of a job that goes on so; one that it does not have any more is
 * refused by the trainer. */
static struct schedule_phase
phase_after(const struct past *p, const struct spec_training *t, int64_t spe)
{
	if (t->nphases == 0)
		return (struct schedule_phase){ 0 };
	if (!p->phased || p->phase.index >= t->nphases)
		return schedule_phase_find(t, spe, p->step, p->epoch);
	return p->phase;
}

static enum rk_err
judge(const struct past *p, const struct spec *after, const struct rate_ask *a,
    json_t **told, struct rk_why *why)
{
	struct schedule_request q = {
		.old = &p->old, .step = p->step, .scale = p->scale,
		.changed = a->changed,
		.says_rate = says(a->overrides, "optimizer", "learning_rate"),
		.says_on_resume = says(a->overrides, "schedule", "on_resume"),
	};
	double was, is;

	if (!p->recorded && after->training.schedule.on_resume ==
	    SPEC_RESUME_KEEP)
		return rk_refuse_at(why, "training.schedule.on_resume",
		    "is keep, and %s was written by a version that did not "
		    "record its schedule: say stretch or restart", p->dir);
	if (p->phased && spec_phases_stay(a->changed, p->phase.index, why) !=
	    RK_OK)
		return RK_EINVAL;
	if (!p->known)
		return RK_OK;
	const int64_t spe = p->old.said.steps_per_epoch;
	const struct schedule_phase at = phase_after(p, &after->training, spe);
	q.terms = schedule_terms_at(&after->training, spe, &at);
	schedule_ask_phase(&q, &after->training, at.index);
	enum rk_err rc = schedule_check(&q, &was, &is, why);
	if (rc == RK_OK && p->step < q.terms.total)
		*told = json_pack("{s:I, s:f, s:f}", "step",
		    (json_int_t)p->step, "was", was, "is", is);
	return rc;
}

enum rk_err
rate_check(struct sup *s, const struct job_row *r, const struct rate_ask *a,
    json_t **told, struct rk_why *why)
{
	struct spec *before = NULL, *after = NULL;
	struct ckpt_info i = { 0 };
	struct past p = { 0 };
	struct rk_why own = { 0 };
	struct job_row old = { .spec = (char *)(uintptr_t)a->spec_before };
	enum rk_err rc = RK_OK;

	*told = NULL;
	if (strcmp(a->from, "none") == 0)
		return RK_OK;           /* no old schedule counts */
	rc = row_spec(&old, NULL, &before, why);
	if (rc == RK_OK)
		rc = row_spec(r, NULL, &after, why);
	if (rc == RK_OK && find_checkpoint(s, r, a->from, before, &i))
		past_of_checkpoint(&i, before, &p);
	else if (rc == RK_OK && known_any(r))
		past_of_row(r, before, &p);
	if (rc == RK_OK && p.dir != NULL)
		rc = hand_over(&own, judge(&p, after, a, told, &own), why);
	ckpt_info_fini(&i);
	spec_free(before);
	spec_free(after);
	return rc;
}

char *
rate_text(const json_t *told)
{
	const double was = json_number_value(json_object_get(told, "was"));
	const double is = json_number_value(json_object_get(told, "is"));
	char step[RK_HUMAN];

	if (told == NULL || fabs(is - was) <= SAME_RATE * fabs(was))
		return xstrdup("");
	return xasprintf("; the learning rate at step %s is %.3g, where the "
	    "schedule so far has %.3g", rk_group_digits(step,
	    json_integer_value(json_object_get(told, "step"))), is, was);
}
