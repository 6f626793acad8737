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

/* What the checkpoint's run follows; of one from before schedules were recorded
 * (*recorded false), what its job says. */
static bool
old_schedule(const struct ckpt_info *i, const struct spec *before,
    struct schedule *out, bool *recorded)
{
	const json_t *v = json_object_get(i->state, "schedule");
	struct rk_why why = { 0 };

	*recorded = v != NULL;
	if (v != NULL) {
		bool ok = schedule_parse(v, out, &why) == RK_OK;
		rk_why_fini(&why);
		return ok;              /* if not, the trainer refuses it */
	}
	const int64_t spe = steps_per_epoch(i, &before->training);
	if (spe < 1)
		return false;
	const struct schedule_terms m = schedule_terms_of(&before->training,
	    spe);
	schedule_begin(out, &m);
	return true;
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

static enum rk_err
judge(const struct ckpt_info *i, const struct spec *before,
    const struct spec *after, const struct rate_ask *a, json_t **told,
    struct rk_why *why)
{
	struct schedule_request q = {
		.step = i->step, .scale = 1, .changed = a->changed,
		.says_rate = says(a->overrides, "optimizer", "learning_rate"),
		.says_on_resume = says(a->overrides, "schedule", "on_resume"),
	};
	const json_t *scale = json_object_get(i->state, "rate_scale");
	const bool keep = after->training.schedule.on_resume ==
	    SPEC_RESUME_KEEP;
	struct schedule old;
	double was, is;
	bool recorded;

	bool known = old_schedule(i, before, &old, &recorded);
	if (keep && !recorded)
		return rk_refuse_at(why, "training.schedule.on_resume",
		    "is keep, and %s was written by a version that did not "
		    "record its schedule: say stretch or restart", i->dir);
	if (!known)
		return RK_OK;
	q.old = &old;
	if (json_is_number(scale))
		q.scale = json_number_value(scale);
	q.terms = schedule_terms_of(&after->training,
	    old.said.steps_per_epoch);
	enum rk_err rc = schedule_check(&q, &was, &is, why);
	if (rc == RK_OK && i->step < q.terms.total)
		*told = json_pack("{s:I, s:f, s:f}", "step",
		    (json_int_t)i->step, "was", was, "is", is);
	return rc;
}

enum rk_err
rate_check(struct sup *s, const struct job_row *r, const struct rate_ask *a,
    json_t **told, struct rk_why *why)
{
	struct spec *before = NULL, *after = NULL;
	struct ckpt_info i;
	struct rk_why own = { 0 };
	struct job_row old = { .spec = (char *)(uintptr_t)a->spec_before };
	enum rk_err rc = RK_OK;

	*told = NULL;
	if (strcmp(a->from, "none") == 0)
		return RK_OK;           /* no old schedule counts */
	rc = row_spec(&old, NULL, &before, why);
	if (rc == RK_OK)
		rc = row_spec(r, NULL, &after, why);
	if (rc == RK_OK && find_checkpoint(s, r, a->from, before, &i)) {
		rc = judge(&i, before, after, a, told, &own);
		rc = hand_over(&own, rc, why);
		ckpt_info_fini(&i);
	}
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
