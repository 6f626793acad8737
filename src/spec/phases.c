/* `training.phases`, `training.learning_rates` and `frozen_batch_norm`. */
#include <stdlib.h>
#include <string.h>

#include "read.h"

static const char *const norm_words[] = {
	"", "evaluation", "training", NULL
};

/* --- what counts ---------------------------------------------------------- */

bool
spec_phase_fits(const char *pattern, const char *name)
{
	const size_t n = strlen(pattern);

	return spec_pattern_fits(pattern, name) || (strcspn(pattern, "*?") ==
	    n && strncmp(pattern, name, n) == 0 && name[n] == '.');
}

static const struct spec_phase *
phase_of(const struct spec_training *t, int k)
{
	must(k >= 0 && (k < t->nphases || k == 0));
	return t->nphases > 0 ? &t->phases[k] : NULL;
}

bool
spec_phase_trains(const struct spec_training *t, int k, const char *name)
{
	const struct spec_phase *p = phase_of(t, k);

	if (!spec_trains(t, name))
		return false;
	for (int i = 0; p != NULL && i < p->ntrain; i++)
		if (spec_phase_fits(p->train[i], name))
			return true;
	return p == NULL;
}

static const struct spec_rate *
rate_for(const struct spec_rates *r, const char *name)
{
	for (int i = 0; i < r->n; i++)
		if (spec_phase_fits(r->v[i].match, name))
			return &r->v[i];
	return NULL;
}

double
spec_phase_rate_of(const struct spec_training *t, int k, const char *name)
{
	const struct spec_phase *p = phase_of(t, k);
	const struct spec_rate *r = p != NULL ? rate_for(&p->rates, name) :
	    NULL;

	if (r == NULL)
		r = rate_for(&t->rates, name);
	return (r != NULL ? r->by : 1) * spec_rate_of(t, name);
}

double
spec_phase_peak(const struct spec_training *t, int k)
{
	const struct spec_phase *p = phase_of(t, k);

	if (p == NULL)
		return t->optim.learning_rate;
	return p->rate > 0 ? p->rate : p->scale * t->optim.learning_rate;
}

const struct spec_schedule *
spec_phase_schedule(const struct spec_training *t, int k)
{
	const struct spec_phase *p = phase_of(t, k);

	return p != NULL && p->schedule != NULL ? p->schedule : &t->schedule;
}

bool
spec_phase_evaluates(const struct spec_training *t, int k)
{
	const struct spec_phase *p = phase_of(t, k);
	const enum spec_frozen_norm of = p != NULL &&
	    p->norm != SPEC_NORM_UNSAID ? p->norm : t->frozen_norm;

	return of == SPEC_NORM_EVALUATION ||
	    (of == SPEC_NORM_UNSAID && p != NULL);
}

bool
spec_phase_any_plateau(const struct spec_training *t)
{
	for (int k = 0; k < RK_MAX(t->nphases, 1); k++)
		if (spec_phase_schedule(t, k)->type == SPEC_S_PLATEAU)
			return true;
	return false;
}

/* The sum of the lengths in a unit; *all: each phase has one in it, *last: but
 * for the last, which has none. */
static int64_t
sum_of(const struct spec_training *t, bool epochs, bool *all, bool *last)
{
	int64_t sum = 0;

	*all = t->nphases > 0;
	*last = false;
	for (int k = 0; k < t->nphases; k++) {
		const struct spec_phase *p = &t->phases[k];
		const int64_t n = epochs ? p->epochs : p->steps;
		const bool open = k == t->nphases - 1 && !p->has_length;
		sum += n;
		*last = open;
		*all &= n > 0 || open;
	}
	return sum;
}

int64_t
spec_phase_epochs(const struct spec_training *t)
{
	bool all, last;
	const int64_t sum = sum_of(t, true, &all, &last);

	return t->epochs > 0 ? t->epochs : all && !last ? sum : 0;
}

bool
sp_phases_end_open(const struct spec_training *t)
{
	return t->nphases > 0 && !t->phases[t->nphases - 1].has_length;
}

/* --- factors -------------------------------------------------------------- */

static int
by_order(const void *a, const void *b)
{
	const struct spec_rate *x = a, *y = b;

	return sp_goes_before(x->match, y->match) ? -1 :
	    sp_goes_before(y->match, x->match);
}

void
sp_read_rates(struct spec_rates *r, struct rkj_obj *o, struct rk_why *why)
{
	const json_t *v = rkj_any(o, "learning_rates");
	char shown[SP_SHOWN], *path = rkj_child(o, "learning_rates");
	const char *key;
	json_t *f;

	if (v != NULL && !json_is_null(v) && !json_is_object(v))
		rk_refuse_at(why, path, "is %s, want {PATTERN: factor, ...}, "
		    "such as {\"layer1.*\": 0.1}", sp_shown(v, shown));
	else if (json_object_size(v) > SPEC_MAX_GROUPS)
		rk_refuse_at(why, path, "has %zu patterns, want at most %d",
		    json_object_size(v), SPEC_MAX_GROUPS);
	else if (json_object_size(v) > 0)
		r->v = xcalloc(json_object_size(v), sizeof(*r->v));
	json_object_foreach((json_t *)(uintptr_t)v, key, f) {
		char *at = xasprintf("%s.%.*s", path, SPEC_MAX_PATTERN, key);
		if (r->v == NULL) {
			free(at);
			break;
		}
		if (!sp_pattern_ok(key, strlen(key)))
			rk_refuse_at(why, path, "has a pattern of %zu bytes, "
			    "want 1 to %d", strlen(key), SPEC_MAX_PATTERN);
		r->v[r->n].match = xstrdup(key);
		sp_real_value(f, at, &r->v[r->n++].by, 0, 1000, 0,
		    "a number from 0 to 1000", why);
		free(at);
	}
	if (r->n > 1)
		qsort(r->v, (size_t)r->n, sizeof(*r->v), by_order);
	free(path);
}

json_t *
sp_json_rates(const struct spec_rates *r)
{
	json_t *o = json_object();

	for (int i = 0; i < r->n; i++)
		sp_put(o, r->v[i].match, json_real(r->v[i].by));
	return o;
}

void
sp_free_rates(struct spec_rates *r)
{
	for (int i = 0; i < r->n; i++)
		free(r->v[i].match);
	free(r->v);
	*r = (struct spec_rates){ 0 };
}

void
sp_read_frozen_norm(enum spec_frozen_norm *n, struct rkj_obj *o)
{
	int word;

	if (rkj_enum(o, "frozen_batch_norm", &word, norm_words + 1,
	    RKJ_OPTIONAL))
		*n = (enum spec_frozen_norm)(word + 1);
}

void
sp_put_frozen_norm(json_t *o, enum spec_frozen_norm n)
{
	if (n != SPEC_NORM_UNSAID)
		sp_put(o, "frozen_batch_norm", json_string(norm_words[n]));
}

/* --- a phase -------------------------------------------------------------- */

/* One pattern, or a list of them. */
static void
read_train(struct spec_phase *p, struct rkj_obj *o, struct rk_why *why)
{
	const json_t *v = rkj_any(o, "train");
	const bool one = json_is_string(v);
	const size_t n = one || v == NULL || json_is_null(v) ? 1 :
	    json_array_size(v);
	char *path = rkj_child(o, "train"), shown[SP_SHOWN];

	if (n < 1 || n > SPEC_MAX_GROUPS) {
		rk_refuse_at(why, path, "is %s, want 1 to %d patterns of "
		    "names, such as [\"fc.*\"]", sp_shown(v, shown),
		    SPEC_MAX_GROUPS);
		free(path);
		return;
	}
	p->train = xcalloc(n, sizeof(*p->train));
	for (size_t i = 0; i < n; i++) {
		const json_t *e = one ? v : json_array_get(v, i);
		if (e != NULL && !(json_is_string(e) &&
		    sp_pattern_ok(json_string_value(e),
		    json_string_length(e))))
			rk_refuse_at(why, path, "has %s, want patterns of "
			    "names of 1 to %d bytes, such as \"fc.*\"",
			    sp_shown(e, shown), SPEC_MAX_PATTERN);
		else
			p->train[p->ntrain++] = xstrdup(e != NULL ?
			    json_string_value(e) : "*");
	}
	free(path);
}

static void
read_rate(struct spec_phase *p, struct rkj_obj *o)
{
	p->scale = 1;
	sp_real(o, "learning_rate", &p->rate, 0, SP_MAX_RATE, SP_ABOVE,
	    "a number above 0");
	sp_real(o, "learning_rate_scale", &p->scale, 0, 1000, SP_ABOVE,
	    "a number above 0, at most 1000");
	if (p->rate > 0 && rkj_any(o, "learning_rate_scale") != NULL)
		rkj_fault(o, "learning_rate_scale", "and learning_rate say the "
		    "same thing: give one of them");
}

static bool
is_said(struct rkj_obj *o, const char *key)
{
	const json_t *v = rkj_any(o, key);

	return v != NULL && !json_is_null(v);
}

static void
read_phase(struct spec_phase *p, const json_t *v, const char *path,
    struct rk_why *why)
{
	struct sp_obj s;
	struct rkj_obj *o = &s.o;

	sp_open(&s, v, path, why);
	if (json_is_object(v))
		read_train(p, o, why);
	rkj_int(o, "epochs", &p->epochs, 1, SP_MAX_COUNT, RKJ_OPTIONAL);
	rkj_int(o, "steps", &p->steps, 1, SP_MAX_COUNT, RKJ_OPTIONAL);
	p->has_length = is_said(o, "epochs") || is_said(o, "steps");
	if (p->epochs > 0 && p->steps > 0)
		rkj_fault(o, "steps", "is %lld, and epochs is %lld: a phase "
		    "has one length, give one of them", (long long)p->steps,
		    (long long)p->epochs);
	read_rate(p, o);
	const json_t *schedule = rkj_any(o, "schedule");
	if (schedule != NULL && !json_is_null(schedule)) {
		char *at = rkj_child(o, "schedule");
		p->schedule = xcalloc(1, sizeof(*p->schedule));
		sp_read_schedule(p->schedule, schedule, at, why);
		free(at);
	}
	sp_read_rates(&p->rates, o, why);
	sp_read_frozen_norm(&p->norm, o);
	const json_t *cache = rkj_any(o, "cache_features");
	char *at = rkj_child(o, "cache_features");
	p->cache_said = cache != NULL && !json_is_null(cache);
	sp_read_cache(&p->cache, cache, at, why);
	free(at);
	sp_close(&s);
}

/* --- all of them ---------------------------------------------------------- */

void
sp_read_phases(struct spec_training *t, const json_t *v, struct rk_why *why)
{
	static const char path[] = "training.phases";
	const size_t n = json_array_size(v);
	char shown[SP_SHOWN];

	if (v == NULL || json_is_null(v))
		return;
	if (!json_is_array(v) || n > SPEC_MAX_PHASES) {
		rk_refuse_at(why, path, "is %s, want a list of at most %d "
		    "phases%s, such as [{epochs: 3, train: [\"fc.*\"]}, {}]",
		    sp_shown(v, shown), SPEC_MAX_PHASES, json_is_object(v) ?
		    ", which is given as a whole" : "");
		return;
	}
	if (n == 0)
		return;
	t->phases = xcalloc(n, sizeof(*t->phases));
	t->nphases = (int)n;
	for (size_t i = 0; i < n; i++) {
		char *at = xasprintf("%s[%zu]", path, i);
		read_phase(&t->phases[i], json_array_get(v, i), at, why);
		free(at);
	}
}

static void
check_open(const struct spec_training *t, struct rk_why *why)
{
	char path[64];

	for (int k = 0; k < t->nphases - 1; k++) {
		if (t->phases[k].has_length)
			continue;
		snprintf(path, sizeof(path), "training.phases[%d]", k);
		rk_refuse_at(why, path, "has no length, want epochs or steps: "
		    "the last phase alone may be without, which then goes on "
		    "to the end of the training");
	}
}

/* Lengths in the unit that the training's own is in. */
static void
check_sum(const struct spec_training *t, bool epochs, struct rk_why *why)
{
	const char *unit = epochs ? "epochs" : "steps";
	const int64_t whole = epochs ? t->epochs : t->steps;
	bool all, open;
	const int64_t sum = sum_of(t, epochs, &all, &open);

	if (!all || whole == 0 || (t->epochs > 0 && t->steps > 0))
		return;
	if (open && sum >= whole)
		rk_refuse_at(why, "training.phases", "have %lld %s before the "
		    "last, which goes on to the end, and training.%s is %lld: "
		    "nothing is left for it", (long long)sum, unit, unit,
		    (long long)whole);
	else if (!open && sum != whole)
		rk_refuse_at(why, "training.phases", "have %lld %s in all, and "
		    "training.%s is %lld: want the same, or no length in the "
		    "last phase, which then goes on to the end",
		    (long long)sum, unit, unit, (long long)whole);
}

static void
check_rates(const struct spec_training *t, struct rk_why *why)
{
	char path[96];

	for (int k = 0; k < t->nphases; k++) {
		const struct spec_schedule *s = spec_phase_schedule(t, k);
		if (s->min_learning_rate <= spec_phase_peak(t, k))
			continue;
		if (t->phases[k].schedule != NULL)
			snprintf(path, sizeof(path), "training.phases[%d]."
			    "schedule.min_learning_rate", k);
		else
			snprintf(path, sizeof(path),
			    "training.schedule.min_learning_rate");
		rk_refuse_at(why, path, "is %g, more than the learning rate's "
		    "%g in training.phases[%d]", s->min_learning_rate,
		    spec_phase_peak(t, k), k);
	}
}

void
sp_check_phases(const struct spec_training *t, struct rk_why *why)
{
	if (t->nphases == 0)
		return;
	check_open(t, why);
	check_sum(t, true, why);
	check_sum(t, false, why);
	check_rates(t, why);
	if (t->warm_start.schedule == SPEC_FROM_CONTINUE)
		rk_refuse_at(why, "training.warm_start.schedule", "is "
		    "continue, and each of training.phases begins a schedule of its own: "
		    "want restart");
}

static json_t *
phase_json(const struct spec_phase *p)
{
	json_t *o = json_object(), *train = json_array();

	for (int i = 0; i < p->ntrain; i++)
		must(json_array_append_new(train, json_string(p->train[i])) ==
		    0);
	sp_put(o, "train", train);
	if (p->epochs > 0)
		sp_put(o, "epochs", json_integer(p->epochs));
	if (p->steps > 0)
		sp_put(o, "steps", json_integer(p->steps));
	if (p->rate > 0)
		sp_put(o, "learning_rate", json_real(p->rate));
	else
		sp_put(o, "learning_rate_scale", json_real(p->scale));
	if (p->schedule != NULL)
		sp_put(o, "schedule", spec_schedule_json(p->schedule));
	if (p->rates.n > 0)
		sp_put(o, "learning_rates", sp_json_rates(&p->rates));
	sp_put_frozen_norm(o, p->norm);
	if (p->cache_said)
		sp_put(o, "cache_features", sp_json_cache(&p->cache));
	return o;
}

json_t *
sp_json_phases(const struct spec_training *t)
{
	json_t *list = json_array();

	for (int k = 0; k < t->nphases; k++)
		must(json_array_append_new(list, phase_json(&t->phases[k])) ==
		    0);
	return list;
}

void
sp_free_phases(struct spec_training *t)
{
	for (int k = 0; k < t->nphases; k++) {
		struct spec_phase *p = &t->phases[k];
		for (int i = 0; i < p->ntrain; i++)
			free(p->train[i]);
		free(p->train);
		free(p->schedule);
		sp_free_rates(&p->rates);
	}
	free(t->phases);
	sp_free_rates(&t->rates);
}
