/* The phase that is under way, and the change to the next: see phases.h. */
#include <stdlib.h>
#include <string.h>

#include "feature_cache.h"
#include "phases.h"
#include "start.h"

static const struct spec_training *
training(const struct run *r)
{
	return &r->spec->training;
}

bool
phases_train(const struct run *r, const char *name)
{
	return spec_phase_trains(training(r), r->phase.index, name);
}

bool
phases_last(const struct run *r)
{
	return r->phase.index >= training(r)->nphases - 1;
}

bool
phases_over(const struct run *r)
{
	return schedule_phase_over(training(r), &r->phase, r->at.step,
	    r->at.epoch);
}

double
phases_left(const struct run *r)
{
	struct schedule_phase at = r->phase;
	const double own = RK_MAX(r->phase_cost[at.index], 1);
	double left = 0;
	int64_t from = r->at.step;

	for (;;) {
		const int64_t end = schedule_phase_end(training(r),
		    r->steps_per_epoch, &at);
		left += (double)RK_MAX(end - from, 0) *
		    (RK_MAX(r->phase_cost[at.index], 1) / own);
		if (at.index >= training(r)->nphases - 1)
			return left;
		at = schedule_phase_next(training(r), r->steps_per_epoch, &at);
		from = RK_MAX(end, from);
	}
}

/* --- which ---------------------------------------------------------------- */

static void
set_total(struct run *r)
{
	r->steps_total = schedule_total_at(training(r), r->steps_per_epoch,
	    &r->phase);
}

bool
phases_settle(struct run *r, const struct ckpt_info *i)
{
	const struct spec_training *t = training(r);
	const json_t *v = i != NULL ? json_object_get(i->state, "phase") :
	    NULL;
	struct rk_why why = {0};

	r->phase = (struct schedule_phase){0};
	if (v != NULL && t->nphases > 0 &&
	    schedule_phase_parse(v, &r->phase, &why) != RK_OK) {
		run_fail(r, "bad_checkpoint", true, "%s: checkpoint.json: %s",
		    i->dir, rk_why_first(&why));
		rk_why_fini(&why);
		return false;
	}
	if (r->phase.index >= RK_MAX(t->nphases, 1))
		return run_fail(r, "bad_spec", true, "training.phases: has %d "
		    "phase%s, and %s is in phase %d: those that are over, and "
		    "the one under way, keep their places in the list",
		    t->nphases, rk_s(t->nphases), i->dir, r->phase.index + 1);
	if (v == NULL && i != NULL && t->nphases > 0)
		r->phase = schedule_phase_find(t, r->steps_per_epoch, i->step,
		    i->epoch);
	set_total(r);
	return true;
}

/* --- the patterns --------------------------------------------------------- */

enum fit { FITS_NOTHING, FITS_FROZEN, FITS };

/* Does a pattern fit a parameter; one that is trained in phase k (-1: that any
 * phase may train)? */
static enum fit
fits(const struct run *r, const char *pattern, int k)
{
	enum fit best = FITS_NOTHING;

	for (size_t i = 0; i < nn_ntensors(r->nn); i++) {
		const struct nn_tensor *t = nn_tensor_at(r->nn, i);
		if (t->is_buffer || !spec_phase_fits(pattern, t->name))
			continue;
		if (k < 0 ? spec_trains(training(r), t->name) :
		    spec_phase_trains(training(r), k, t->name))
			return FITS;
		best = FITS_FROZEN;
	}
	return best;
}

static bool
check_train(struct run *r, int k)
{
	const struct spec_phase *p = &training(r)->phases[k];
	bool any = false;

	for (int i = 0; i < p->ntrain; i++) {
		const enum fit fit = fits(r, p->train[i], -1);
		if (fit == FITS_NOTHING)
			return spans_refuse_pattern(r, "training.phases", k,
			    ".train", p->train[i]);
		/* One for all leaves out what is not trainable. */
		if (fit == FITS_FROZEN && p->ntrain > 1)
			return run_fail(r, "bad_spec", true, "training.phases"
			    "[%d].train: has \"%s\", and training.parameters "
			    "has trainable: false for each parameter that it "
			    "fits", k, p->train[i]);
		any |= fit == FITS;
	}
	return any || run_fail(r, "bad_spec", true, "training.phases[%d]."
	    "train: nothing is trained: training.parameters has trainable: "
	    "false for every parameter that it fits", k);
}

static bool
check_rates(struct run *r, const struct spec_rates *v, const char *path, int k)
{
	for (int i = 0; i < v->n; i++) {
		const enum fit fit = fits(r, v->v[i].match, k);
		if (fit == FITS_NOTHING)
			return run_fail(r, "bad_spec", true, "%s: has \"%s\", "
			    "which fits no parameter of the network", path,
			    v->v[i].match);
		if (fit == FITS_FROZEN && k >= 0)
			return run_fail(r, "bad_spec", true, "%s: has \"%s\", "
			    "which fits no parameter that this phase trains",
			    path, v->v[i].match);
	}
	return true;
}

bool
phases_check(struct run *r)
{
	const struct spec_training *t = training(r);
	char path[96];

	if (!check_rates(r, &t->rates, "training.learning_rates", -1))
		return false;
	for (int k = 0; k < t->nphases; k++) {
		snprintf(path, sizeof(path), "training.phases[%d]."
		    "learning_rates", k);
		if (!check_train(r, k) ||
		    !check_rates(r, &t->phases[k].rates, path, k))
			return false;
	}
	return true;
}

/* --- saying so ------------------------------------------------------------ */

/* A factor of the training that no phase has a use for. */
static bool
is_idle(const struct run *r, const char *pattern)
{
	for (int k = 0; k < RK_MAX(training(r)->nphases, 1); k++)
		if (fits(r, pattern, k) == FITS)
			return false;
	return true;
}

void
phases_remarks(const struct run *r, remark_fn *fn, void *ctx)
{
	const struct spec_rates *v = &training(r)->rates;

	for (int i = 0; i < v->n; i++) {
		if (!is_idle(r, v->v[i].match))
			continue;
		char *text = rk_text_clean(xasprintf("training.learning_rates "
		    "has \"%s\", which fits nothing that is%s trained",
		    v->v[i].match, training(r)->nphases > 0 ? " ever" : ""));
		fn(ctx, text);
		free(text);
	}
}

#define NAMES_MAX 8             /* of what a phase trains, for people */

/* "\n  fc.*: fc.weight, fc.bias": its patterns, and what they come to. */
static void
add_names(const struct run *r, int k, struct strbuf *b)
{
	const struct spec_phase *p = &training(r)->phases[k];
	int64_t n = 0;

	for (int i = 0; i < p->ntrain; i++)
		sb_addf(b, "%s%s", i > 0 ? ", " : "  ", p->train[i]);
	for (size_t i = 0; i < nn_ntensors(r->nn); i++) {
		const struct nn_tensor *t = nn_tensor_at(r->nn, i);
		if (!t->is_buffer && spec_phase_trains(training(r), k,
		    t->name) && n++ < NAMES_MAX)
			sb_addf(b, "%s%s", n > 1 ? ", " : ": ", t->name);
	}
	if (n > NAMES_MAX)
		sb_addf(b, " and %lld more", (long long)(n - NAMES_MAX));
	sb_adds(b, "\n");
}

/* The patterns of what a phase trains. */
static void
put_patterns(const struct run *r, int k, json_t *o)
{
	const struct spec_phase *p = &training(r)->phases[k];
	json_t *train = json_array();

	for (int i = 0; i < p->ntrain; i++)
		must(json_array_append_new(train, js_text(p->train[i])) == 0);
	js_put(o, "train", train);
}

/* The names of what a phase trains. */
static void
put_names(const struct run *r, int k, json_t *o)
{
	json_t *names = json_array();

	for (size_t i = 0; i < nn_ntensors(r->nn); i++) {
		const struct nn_tensor *t = nn_tensor_at(r->nn, i);
		if (!t->is_buffer && spec_phase_trains(training(r), k,
		    t->name))
			must(json_array_append_new(names, js_text(t->name)) ==
			    0);
	}
	js_put(o, "names", names);
}

/* What of the network a phase trains. */
struct part {
	int64_t tensors, parameters, of_tensors, of_parameters;
	bool has_norms;                 /* buffers are batch norms' */
};

static struct part
part_of(const struct run *r, int k)
{
	struct part p = {0};

	for (size_t i = 0; i < nn_ntensors(r->nn); i++) {
		const struct nn_tensor *t = nn_tensor_at(r->nn, i);
		p.has_norms |= t->is_buffer;
		if (t->is_buffer)
			continue;
		p.of_tensors++;
		p.of_parameters += t->count;
		if (!spec_phase_trains(training(r), k, t->name))
			continue;
		p.tensors++;
		p.parameters += t->count;
	}
	return p;
}

/* "trains 2 of 62 tensors (130 of 1,234 parameters); frozen batch norms
 * evaluate" */
static void
add_part(const struct run *r, int k, struct strbuf *b)
{
	const struct part p = part_of(r, k);
	char some[RK_HUMAN], all[RK_HUMAN];

	sb_addf(b, "trains %lld of %lld tensors (%s of %s parameters)",
	    (long long)p.tensors, (long long)p.of_tensors,
	    rk_group_digits(some, p.parameters),
	    rk_group_digits(all, p.of_parameters));
	if (p.has_norms && p.tensors < p.of_tensors)
		sb_addf(b, "; frozen batch norms %s", spec_phase_evaluates(
		    training(r), k) ? "evaluate" : "take statistics");
}

void
phases_tell(struct run *r, bool anew)
{
	const int k = r->phase.index;
	struct strbuf b = {0};

	/* One that is over says nothing: the next is about to. */
	if (training(r)->nphases == 0 || (!anew && !phases_last(r) &&
	    phases_over(r)))
		return;
	add_part(r, k, &b);
	char *rates = schedule_text(&r->schedule, r->at.rate_scale);
	report_event(&r->rep, "phase", "phase %d of %d %s at step %lld (epoch "
	    "%lld): %s; %s", k + 1, training(r)->nphases, anew ? "begins" :
	    "goes on", (long long)r->at.step, (long long)r->at.epoch,
	    sb_str(&b), rates);
	free(rates);
	sb_fini(&b);
}

json_t *
phases_state(const struct run *r)
{
	const struct spec_training *t = training(r);

	if (t->nphases == 0)
		return NULL;
	json_t *v = schedule_phase_json(&r->phase);
	js_put(v, "of", json_integer(t->nphases));
	put_patterns(r, r->phase.index, v);
	js_put(v, "evaluates", json_boolean(spec_phase_evaluates(t,
	    r->phase.index)));
	return v;
}

void
phases_put(const struct run *r, json_t *m)
{
	if (training(r)->nphases > 0)
		js_put(m, "phase", json_integer(r->phase.index + 1));
}

/* Their places where all goes on as it is now. */
static struct schedule_phase
place_of_phase(const struct run *r, int k)
{
	struct schedule_phase at = {0};

	while (at.index < k)
		at = schedule_phase_next(training(r), r->steps_per_epoch, &at);
	return at;
}

/* What all rates of a run that begins are multiplied by. */
static double
scale_of(const struct run *r)
{
	return warm_wanted(r) ? training(r)->warm_start_lr_scale : 1;
}

json_t *
phases_json(const struct run *r)
{
	const struct spec_training *t = training(r);
	json_t *list = json_array();

	for (int k = 0; k < t->nphases; k++) {
		const struct part p = part_of(r, k);
		json_t *o = json_pack("{s:i, s:I, s:I, s:f, s:s, s:b}",
		    "number", k + 1, "tensors", (json_int_t)p.tensors,
		    "parameters", (json_int_t)p.parameters,
		    "learning_rate", spec_phase_peak(t, k) * scale_of(r),
		    "schedule", spec_schedule_words[
		    spec_phase_schedule(t, k)->type],
		    "frozen_batch_norms_evaluate", (int)
		    spec_phase_evaluates(t, k));
		must(o != NULL && json_array_append_new(list, o) == 0);
		put_patterns(r, k, o);
		put_names(r, k, o);
		if (r->train == NULL)
			continue;
		const struct schedule_phase at = place_of_phase(r, k);
		js_put(o, "from", json_integer(at.step));
		js_put(o, "steps", json_integer(RK_MAX(schedule_phase_end(t,
		    r->steps_per_epoch, &at) - at.step, 0)));
	}
	return list;
}

char *
phases_text(const struct run *r)
{
	const struct spec_training *t = training(r);
	struct strbuf b = {0};

	for (int k = 0; k < t->nphases; k++) {
		const struct schedule_phase at = place_of_phase(r, k);
		const int64_t end = schedule_phase_end(t, r->steps_per_epoch,
		    &at);
		char from[RK_HUMAN], steps[RK_HUMAN];
		sb_addf(&b, "phase %d of %d, %s steps from step %s: ", k + 1,
		    t->nphases, rk_group_digits(steps, RK_MAX(end - at.step,
		    0)), rk_group_digits(from, at.step));
		add_part(r, k, &b);
		sb_addf(&b, "; %s, peak %g\n", spec_schedule_words[
		    spec_phase_schedule(t, k)->type],
		    spec_phase_peak(t, k) * scale_of(r));
		add_names(r, k, &b);
	}
	return rk_text_clean(sb_detach(&b));
}

/* --- the change ----------------------------------------------------------- */

static bool
retrain(struct run *r)
{
	const struct nn_want w = memory_want(r, UINT64_MAX);
	struct rk_why why = {0};

	enum rk_err rc = nn_retrain(r->nn, &w, &why);
	if (rc != RK_OK)
		run_fail(r, rc == RK_ENOMEM ? "no_memory" : "bad_spec",
		    rc != RK_ENOMEM, "%s", rk_why_first(&why));
	rk_why_fini(&why);
	if (rc == RK_OK)
		nn_digest(r->nn, r->program);
	return rc == RK_OK;
}

/* A resume may have made phases so short that several are over. */
bool
phases_turn(struct run *r)
{
	const int64_t t0 = mono_ms();

	if (phases_last(r) || !phases_over(r))
		return true;
	spans_count(r);
	while (!phases_last(r) && phases_over(r))
		r->phase = (struct schedule_phase){
			.index = r->phase.index + 1, .step = r->at.step,
			.epoch = r->at.epoch,
			.of_epoch = r->at.in_epoch.steps,
		};
	set_total(r);
	if (!retrain(r))
		return false;
	spans_turn(r);
	rate_turn(r);
	features_open(r);
	phases_tell(r, true);
	r->phase_ms = mono_ms();
	r->phase_step = r->at.step;
	loop_paused(r, t0);
	return true;
}
