/* Early stopping: see early.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "due.h"
#include "early.h"
#include "phases.h"

#define COUNT_MAX ((int64_t)1 << 53)

static const char *const mode_words[] = { "min", "max", NULL };

/* --- counting ------------------------------------------------------------- */

/* Is what was counted what the job asks for? */
static bool
is_of(const struct early *e, const struct spec_early *s)
{
	return e->counts && strcmp(e->metric, s->metric) == 0 &&
	    e->mode_max == s->mode_max;
}

static bool
is_better(const struct early *e, const struct spec_early *s, double v)
{
	return s->mode_max ? v > e->best + s->min_delta :
	    v < e->best - s->min_delta;
}

bool
early_stopped(const struct run *r)
{
	const struct spec_early *s = &r->spec->training.early;

	return s->on && is_of(&r->at.early, s) && phases_last(r) &&
	    r->at.early.bad >= s->patience;
}

void
early_judge(struct run *r)
{
	const struct spec_early *s = &r->spec->training.early;
	struct early *e = &r->at.early;

	if (!s->on) {
		*e = (struct early){0};
		return;
	}
	json_t *m = run_metrics(r, true);
	const json_t *v = json_object_get(m, s->metric);
	const double x = json_number_value(v);
	const bool anew = !is_of(e, s);
	if (anew) {
		*e = (struct early){ .counts = true, .mode_max = s->mode_max };
		must(strlen(s->metric) < sizeof(e->metric));
		snprintf(e->metric, sizeof(e->metric), "%s", s->metric);
	}
	e->restored = false;
	if (json_is_number(v) && (!e->has_best || is_better(e, s, x))) {
		e->has_best = true;
		e->best = x;
		e->step = r->at.step;
		e->bad = 0;
	} else if (phases_last(r)) {
		e->bad++;
	}
	json_decref(m);
	if (!early_stopped(r))
		return;
	char *text = early_sentence(r);
	report_event(&r->rep, "early_stopped", "stops early at step %lld "
	    "(epoch %lld): %s", (long long)r->at.step,
	    (long long)r->at.epoch, text);
	free(text);
}

char *
early_sentence(const struct run *r)
{
	const struct early *e = &r->at.early;

	if (!e->has_best)
		return xasprintf("%s has been no number for %lld epochs",
		    e->metric, (long long)e->bad);
	return xasprintf("%s has not been better than %.6g (step %lld) for "
	    "%lld epoch%s", e->metric, e->best, (long long)e->step,
	    (long long)e->bad, e->bad == 1 ? "" : "s");
}

/* --- in a checkpoint ------------------------------------------------------ */

json_t *
early_json(const struct run *r)
{
	const struct early *e = &r->at.early;

	if (!e->counts)
		return NULL;
	json_t *o = json_pack("{s:s, s:s, s:I}", "metric", e->metric,
	    "mode", mode_words[e->mode_max], "bad", (json_int_t)e->bad);
	must(o != NULL);
	if (e->has_best) {
		js_put(o, "best", json_real(e->best));
		js_put(o, "step", json_integer(e->step));
	}
	if (e->restored)
		js_put(o, "restored", json_true());
	return o;
}

void
early_read(struct run *r, const json_t *v, struct rk_why *why)
{
	struct early *e = &r->at.early;
	char *metric = NULL;
	struct rkj_obj o;
	int mode = 0;

	*e = (struct early){0};
	if (v == NULL)
		return;
	rkj_open(&o, v, "state.early_stopping", why);
	e->counts = rkj_str(&o, "metric", &metric, sizeof(e->metric) - 1,
	    RKJ_REQUIRED);
	if (e->counts)
		snprintf(e->metric, sizeof(e->metric), "%s", metric);
	rkj_enum(&o, "mode", &mode, mode_words, RKJ_REQUIRED);
	e->mode_max = mode == 1;
	rkj_int(&o, "bad", &e->bad, 0, COUNT_MAX, RKJ_REQUIRED);
	e->has_best = rkj_real(&o, "best", &e->best, -HUGE_VAL, HUGE_VAL,
	    RKJ_OPTIONAL);
	rkj_int(&o, "step", &e->step, 0, COUNT_MAX,
	    e->has_best ? RKJ_REQUIRED : RKJ_OPTIONAL);
	rkj_bool(&o, "restored", &e->restored, RKJ_OPTIONAL);
	rkj_close_lenient(&o);
	free(metric);
}

/* --- the best again ------------------------------------------------------- */

/* The newest checkpoint of that step which measured just that; false: none. */
static bool
find_best(struct run *r, char dir[CKPT_DIR_MAX])
{
	const struct early *e = &r->at.early;
	struct ckpt_info *v = NULL;
	bool found = false;
	size_t n = 0;

	if (!e->has_best || ckpt_list(r->ckpt, &v, &n) != RK_OK)
		return false;
	for (size_t i = 0; i < n; i++) {
		const json_t *x = json_object_get(v[i].metrics, e->metric);
		if (v[i].step != e->step || !json_is_number(x) ||
		    json_number_value(x) != e->best)
			continue;
		snprintf(dir, CKPT_DIR_MAX, "%s", v[i].dir);
		found = true;
	}
	ckpt_list_free(v, n);
	return found;
}

/* Weights, average, optimiser and what was measured are those of i; where the
 * run stands is not. */
static bool
take(struct run *r, const struct ckpt_info *i, const struct tensor_set *model,
    const struct tensor_set *optim)
{
	const struct schedule schedule = r->schedule;
	const double last_loss = r->last_loss;
	struct cursor now = r->at;

	if (!run_restore(r, i, model, optim))
		return false;
	now.valid = r->at.valid;
	now.figures = r->at.figures;
	now.last_epoch = r->at.last_epoch;
	now.early.restored = true;
	r->at = now;
	r->schedule = schedule;
	r->last_loss = last_loss;
	enum rk_err rc = ckpt_branch_from(r->ckpt, i->dir, &r->branch);
	if (rc != RK_OK)
		return run_fail_rc(r, rc, "cannot open a branch");
	snprintf(r->parent, sizeof(r->parent), "%s", i->dir);
	r->rep.branch = r->branch;
	r->due.taken = r->due.captured = -1;
	report_event(&r->rep, "restored", "the weights are those of %s again: "
	    "%s %.6g", i->dir, now.early.metric, now.early.best);
	return true;
}

bool
early_restore(struct run *r)
{
	const struct spec_early *s = &r->spec->training.early;
	const struct early *e = &r->at.early;
	struct tensor_set *model = NULL, *optim = NULL;
	struct ckpt_info info = {0};
	struct rk_why why = {0};
	char dir[CKPT_DIR_MAX] = "";
	bool ok = true;

	if (!early_stopped(r) || s->restore != SPEC_RESTORE_BEST ||
	    e->restored || e->step == r->at.step)
		return true;
	/* What it came to stays, too, so that the best always gets a branch. */
	if (!due_commit(r))
		return false;
	if (find_best(r, dir) && ckpt_load(r->ckpt, dir, e->metric,
	    e->mode_max, &info, &model, &optim, NULL, NULL, &why) == RK_OK)
		ok = take(r, &info, model, optim);
	else
		report_warning(&r->rep, "not_restored", "the best checkpoint, "
		    "of step %lld, cannot be used here%s%s: the job ends with "
		    "the weights of step %lld", (long long)e->step,
		    why.n > 0 ? ": " : "", why.n > 0 ? rk_why_first(&why) : "",
		    (long long)r->at.step);
	rk_why_fini(&why);
	ckpt_info_fini(&info);
	tensor_set_free(model);
	tensor_set_free(optim);
	return ok;
}
