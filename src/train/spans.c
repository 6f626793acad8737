/* Which parameters are trained, at which rate, with what decay: the job's
 * patterns (struct spec_group) over the network's tensors. */
#include <stdlib.h>

#include "run.h"

#define NAMED_MAX 5             /* names in a refusal */
/* A warm start may bring more than the run has steps. */
#define UPDATES_MAX ((int64_t)1 << 53)

/* --- the patterns --------------------------------------------------------- */

/* The name of the first parameter that the pattern fits, or NULL. */
static const char *
first_fit(const struct run *r, const char *pattern)
{
	for (size_t i = 0; i < nn_ntensors(r->nn); i++) {
		const struct nn_tensor *t = nn_tensor_at(r->nn, i);
		if (!t->is_buffer && spec_pattern_fits(pattern, t->name))
			return t->name;
	}
	return NULL;
}

static bool
refuse_pattern(struct run *r, const char *path, int index, const char *key,
    const char *pattern)
{
	struct strbuf b = {0};
	size_t n = 0;

	for (size_t i = 0; i < nn_ntensors(r->nn); i++) {
		const struct nn_tensor *t = nn_tensor_at(r->nn, i);
		if (!t->is_buffer && n++ < NAMED_MAX)
			sb_addf(&b, "%s%s", n > 1 ? ", " : "", t->name);
	}
	if (n > NAMED_MAX)
		sb_addf(&b, " and %zu more", n - NAMED_MAX);
	run_fail(r, "bad_spec", true, "%s[%d]%s: is \"%s\", which fits no "
	    "parameter of the network; it has %s", path, index, key, pattern,
	    sb_str(&b));
	sb_fini(&b);
	return false;
}

/* Some parameter is of this group, and of none before it. */
static bool
check_group(struct run *r, int index)
{
	const struct spec_training *t = &r->spec->training;
	const char *match = t->groups[index].match;
	const char *first = first_fit(r, match);

	if (first == NULL)
		return refuse_pattern(r, "training.parameters", index,
		    ".match", match);
	for (size_t i = 0; i < nn_ntensors(r->nn); i++) {
		const struct nn_tensor *p = nn_tensor_at(r->nn, i);
		if (!p->is_buffer &&
		    spec_group_of(t, p->name) == &t->groups[index])
			return true;
	}
	const struct spec_group *g = spec_group_of(t, first);
	return run_fail(r, "bad_spec", true, "training.parameters[%d].match: "
	    "is \"%s\", and each parameter that it fits is of an earlier "
	    "group: %s of training.parameters[%d], \"%s\"; the first group "
	    "that fits counts, so put the narrower one first", index, match,
	    first, (int)(g - t->groups), g->match);
}

/* Some parameter has no decay because of this pattern. */
static bool
check_no_decay(struct run *r, int index)
{
	const struct spec_training *t = &r->spec->training;
	const char *match = t->no_decay[index];
	const char *first = first_fit(r, match);

	if (first == NULL)
		return refuse_pattern(r, "training.optimizer.no_decay", index,
		    "", match);
	for (size_t i = 0; i < nn_ntensors(r->nn); i++) {
		const struct nn_tensor *p = nn_tensor_at(r->nn, i);
		const struct spec_group *g = spec_group_of(t, p->name);
		if (!p->is_buffer && spec_pattern_fits(match, p->name) &&
		    (g == NULL || !g->decay_said))
			return true;
	}
	return run_fail(r, "bad_spec", true, "training.optimizer.no_decay[%d]: "
	    "is \"%s\", and each parameter that it fits has the weight_decay "
	    "of its group: %s of training.parameters[%d]", index, match, first,
	    (int)(spec_group_of(t, first) - t->groups));
}

static bool
trains_any(const struct run *r)
{
	for (size_t i = 0; i < nn_ntensors(r->nn); i++) {
		const struct nn_tensor *t = nn_tensor_at(r->nn, i);
		if (!t->is_buffer && spec_trains(&r->spec->training, t->name))
			return true;
	}
	return false;
}

bool
spans_check(struct run *r)
{
	const struct spec_training *t = &r->spec->training;

	for (int i = 0; i < t->ngroups; i++) {
		if (!check_group(r, i))
			return false;
	}
	for (int i = 0; i < t->nno_decay; i++) {
		if (!check_no_decay(r, i))
			return false;
	}
	return t->ngroups == 0 || trains_any(r) || run_fail(r, "bad_spec",
	    true, "training.parameters: nothing is trained: trainable is false "
	    "for every parameter");
}

/* --- updates -------------------------------------------------------------- */

/* The updates that a tensor has had by now. */
static int64_t
updates_of(const struct run *r, size_t i, const struct nn_tensor *t)
{
	const int64_t since = r->at.step - r->updates_at;

	return r->updates[i] + (spec_trains(&r->spec->training, t->name) ?
	    since : 0);
}

/* Those that a checkpoint tells of; all others had one in every step. */
static void
read_updates(struct run *r, const json_t *state, struct rk_why *why)
{
	const json_t *v = json_object_get(state, "updates");
	struct rkj_obj o;

	if (v == NULL)
		return;
	rkj_open(&o, v, "state.updates", why);
	for (size_t i = 0; o.v != NULL && i < nn_ntensors(r->nn); i++) {
		const char *name = nn_tensor_at(r->nn, i)->name;
		const json_t *n = json_object_get(v, name);
		if (n == NULL)
			continue;
		if (json_is_integer(n) && json_integer_value(n) >= 0 &&
		    json_integer_value(n) <= UPDATES_MAX)
			r->updates[i] = json_integer_value(n);
		else
			rkj_fault(&o, name, "is no number of updates from 0 to "
			    "%lld", (long long)UPDATES_MAX);
	}
	rkj_close_lenient(&o);
}

static void
set_spans(struct run *r)
{
	const struct spec_training *t = &r->spec->training;
	const size_t n = nn_ntensors(r->nn);
	struct optim_span *v = xcalloc(n + 1, sizeof(*v));
	int64_t end;
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		const struct nn_tensor *p = nn_tensor_at(r->nn, i);
		if (p->is_buffer)
			continue;
		v[k++] = (struct optim_span){
			.offset = p->offset,
			.rate = spec_rate_of(t, p->name),
			.decay = spec_decay_of(t, p->name),
			.trains = spec_trains(t, p->name),
			.begin = r->updates_at - r->updates[i],
		};
	}
	/* What may lie between two tensors goes with the first. */
	nn_params(r->nn, &end);
	for (size_t i = k; i-- > 0; end = v[i].offset)
		v[i].count = end - v[i].offset;
	optim_set_spans(r->optim, v, k);
	free(v);
}

void
spans_begin(struct run *r, const json_t *state, struct rk_why *why)
{
	const size_t n = nn_ntensors(r->nn);

	free(r->updates);
	r->updates = xcalloc(n + 1, sizeof(*r->updates));
	r->updates_at = r->at.step;
	for (size_t i = 0; i < n; i++)
		r->updates[i] = r->at.step;
	read_updates(r, state, why);
	set_spans(r);
}

void
spans_carry(struct run *r, const int64_t *updates)
{
	for (size_t i = 0; i < nn_ntensors(r->nn); i++)
		r->updates[i] = updates[i];
	set_spans(r);
}

json_t *
spans_json(const struct run *r)
{
	json_t *o = NULL;

	for (size_t i = 0; i < nn_ntensors(r->nn); i++) {
		const struct nn_tensor *t = nn_tensor_at(r->nn, i);
		const int64_t done = updates_of(r, i, t);
		if (t->is_buffer || done == r->at.step)
			continue;
		o = o != NULL ? o : json_object();
		js_put(o, t->name, json_integer(done));
	}
	return o;
}
