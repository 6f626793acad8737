/* Which parameters are trained, at which rate, with what decay: the job's
 * patterns (struct spec_group) over the network's tensors. */
#include <stdlib.h>

#include "phases.h"

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

bool
spans_refuse_pattern(struct run *r, const char *path, int index,
    const char *key, const char *pattern)
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
		return spans_refuse_pattern(r, "training.parameters", index,
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
		return spans_refuse_pattern(r, "training.optimizer.no_decay",
		    index, "", match);
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
	if (t->ngroups > 0 && !trains_any(r))
		return run_fail(r, "bad_spec", true, "training.parameters: "
		    "nothing is trained: trainable is false for every "
		    "parameter");
	return phases_check(r);
}

/* --- updates -------------------------------------------------------------- */

void
spans_add(struct span_counts *c, int64_t rows, int64_t updates)
{
	if (rows > 0 && c->n > 0 && c->v[c->n - 1].updates == updates) {
		c->v[c->n - 1].rows += rows;
	} else if (rows > 0) {
		c->v = xrealloc(c->v, (c->n + 1) * sizeof(*c->v));
		c->v[c->n++] = (struct span_rows){ rows, updates };
	}
}

static int64_t
rows_of(const struct nn_tensor *t)
{
	return t->ndim > 0 ? t->d[0] : 1;
}

/* Since the step that they were counted at. */
static int64_t
updates_since(const struct run *r, const struct nn_tensor *t)
{
	return phases_train(r, t->name) ? r->at.step - r->updates_at : 0;
}

static bool
updates_ok(const json_t *n)
{
	return json_is_integer(n) && json_integer_value(n) >= 0 &&
	    json_integer_value(n) <= UPDATES_MAX;
}

/* [{first, rows, updates}, ...], without a gap. */
static bool
read_rows(struct rkj_obj *o, const char *name, const json_t *list,
    int64_t rows, struct span_counts *out)
{
	int64_t at = 0;
	json_t *e;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)list, i, e) {
		const json_t *n = json_object_get(e, "rows");
		const json_t *u = json_object_get(e, "updates");
		if (json_integer_value(json_object_get(e, "first")) != at ||
		    !json_is_integer(n) || json_integer_value(n) < 1 ||
		    json_integer_value(n) > rows - at || !updates_ok(u))
			break;
		at += json_integer_value(n);
		spans_add(out, json_integer_value(n), json_integer_value(u));
	}
	if (at == rows && i == json_array_size(list))
		return true;
	rkj_fault(o, name, "are no updates of all %lld rows one behind the "
	    "other: want {first, rows, updates}, the updates 0 to %lld",
	    (long long)rows, (long long)UPDATES_MAX);
	free(out->v);
	*out = (struct span_counts){0};
	return false;
}

bool
spans_read(struct rkj_obj *o, const char *name, int64_t rows,
    struct span_counts *out)
{
	const json_t *v = json_object_get(o->v, name);

	*out = (struct span_counts){0};
	if (v == NULL)
		return true;
	if (json_is_array(v))
		return read_rows(o, name, v, rows, out);
	if (updates_ok(v)) {
		spans_add(out, rows, json_integer_value(v));
		return true;
	}
	rkj_fault(o, name, "is no number of updates from 0 to %lld",
	    (long long)UPDATES_MAX);
	return false;
}

static void
put_counts(struct span_counts *to, struct span_counts from)
{
	free(to->v);
	*to = from;
}

/* Those that a checkpoint tells of; all others had one in every step. */
static void
read_updates(struct run *r, const json_t *state, struct rk_why *why)
{
	const json_t *v = json_object_get(state, "updates");
	struct span_counts c;
	struct rkj_obj o;

	if (v == NULL)
		return;
	rkj_open(&o, v, "state.updates", why);
	for (size_t i = 0; o.v != NULL && i < nn_ntensors(r->nn); i++) {
		const struct nn_tensor *t = nn_tensor_at(r->nn, i);
		if (spans_read(&o, t->name, rows_of(t), &c) && c.n > 0)
			put_counts(&r->updates[i], c);
	}
	rkj_close_lenient(&o);
}

/* The spans of a tensor, from v on; how many. */
static size_t
spans_of(const struct run *r, const struct nn_tensor *t,
    const struct span_counts *c, struct optim_span *v)
{
	const struct spec_training *s = &r->spec->training;
	const int64_t width = t->count / RK_MAX(rows_of(t), 1);
	int64_t at = t->offset;

	for (size_t k = 0; k < c->n; k++) {
		v[k] = (struct optim_span){
			.offset = at,
			.rate = spec_phase_rate_of(s, r->phase.index,
			    t->name),
			.decay = spec_decay_of(s, t->name),
			.trains = phases_train(r, t->name),
			.begin = r->updates_at - c->v[k].updates,
			.joined = k > 0,
		};
		at += c->v[k].rows * width;
	}
	return c->n;
}

static void
set_spans(struct run *r)
{
	const size_t n = nn_ntensors(r->nn);
	size_t k = 0, most = 1;
	int64_t end;

	for (size_t i = 0; i < n; i++)
		most += r->updates[i].n;
	struct optim_span *v = xcalloc(most, sizeof(*v));
	for (size_t i = 0; i < n; i++) {
		const struct nn_tensor *p = nn_tensor_at(r->nn, i);
		if (!p->is_buffer)
			k += spans_of(r, p, &r->updates[i], v + k);
	}
	/* What may lie between two tensors goes with the first. */
	nn_params(r->nn, &end);
	for (size_t i = k; i-- > 0; end = v[i].offset)
		v[i].count = end - v[i].offset;
	optim_set_spans(r->optim, v, k);
	free(v);
}

/* What rests has no moments, and its updates are none: checkpoints need not
 * keep them (ckpt.h, "Shards"), and what thaws begins anew whether the run was
 * interrupted or not, and however many bytes it has.  Of how many tensors there
 * were some. */
static int64_t
forget_resting(struct run *r)
{
	int64_t forgotten = 0;

	for (size_t i = 0; i < nn_ntensors(r->nn); i++) {
		const struct nn_tensor *t = nn_tensor_at(r->nn, i);
		struct span_counts *c = &r->updates[i], none = {0};
		if (t->is_buffer || phases_train(r, t->name) ||
		    (c->n == 1 && c->v[0].updates == 0))
			continue;
		optim_reset(r->optim, t->offset, t->count);
		spans_add(&none, rows_of(t), 0);
		put_counts(c, none);
		forgotten++;
	}
	return forgotten;
}

void
spans_free(struct run *r)
{
	for (size_t i = 0; r->updates != NULL && i < nn_ntensors(r->nn); i++)
		free(r->updates[i].v);
	free(r->updates);
	r->updates = NULL;
}

void
spans_begin(struct run *r, const json_t *state, struct rk_why *why)
{
	const size_t n = nn_ntensors(r->nn);

	spans_free(r);
	r->updates = xcalloc(n + 1, sizeof(*r->updates));
	r->updates_at = r->at.step;
	for (size_t i = 0; i < n; i++)
		spans_add(&r->updates[i], rows_of(nn_tensor_at(r->nn, i)),
		    r->at.step);
	read_updates(r, state, why);
	(void)forget_resting(r);
	set_spans(r);
}

void
spans_carry(struct run *r, const struct span_counts *updates)
{
	for (size_t i = 0; i < nn_ntensors(r->nn); i++) {
		struct span_counts c = {0};
		for (size_t k = 0; k < updates[i].n; k++)
			spans_add(&c, updates[i].v[k].rows,
			    updates[i].v[k].updates);
		if (c.n == 0)
			spans_add(&c, rows_of(nn_tensor_at(r->nn, i)), 0);
		put_counts(&r->updates[i], c);
	}
	const int64_t rest = forget_resting(r);
	if (rest > 0)
		report_event(&r->rep, "remark", "the moments of %lld tensor%s "
		    "that %s train are left behind: what thaws begins with a "
		    "first step", (long long)rest, rk_s(rest),
		    r->spec->training.nphases > 0 ? "phase 1 does not" :
		    "training.parameters does not");
	set_spans(r);
}

void
spans_count(struct run *r)
{
	for (size_t i = 0; i < nn_ntensors(r->nn); i++) {
		struct span_counts *c = &r->updates[i];
		const int64_t since = updates_since(r, nn_tensor_at(r->nn, i));
		for (size_t k = 0; k < c->n; k++)
			c->v[k].updates += since;
	}
	r->updates_at = r->at.step;
}

void
spans_turn(struct run *r)
{
	(void)forget_resting(r);
	set_spans(r);
}

/* A number where all rows are alike, as it was before rows could differ. */
static json_t *
counts_json(const struct span_counts *c, int64_t since)
{
	json_t *list = json_array();
	int64_t at = 0;

	for (size_t k = 0; k < c->n; at += c->v[k++].rows)
		must(json_array_append_new(list, json_pack(
		    "{s:I, s:I, s:I}", "first", (json_int_t)at, "rows",
		    (json_int_t)c->v[k].rows, "updates",
		    (json_int_t)(c->v[k].updates + since))) == 0);
	if (c->n != 1)
		return list;
	json_decref(list);
	return json_integer(c->v[0].updates + since);
}

json_t *
spans_json(const struct run *r)
{
	json_t *o = NULL;

	for (size_t i = 0; i < nn_ntensors(r->nn); i++) {
		const struct nn_tensor *t = nn_tensor_at(r->nn, i);
		const struct span_counts *c = &r->updates[i];
		const int64_t since = updates_since(r, t);
		if (t->is_buffer || c->n == 0 || (c->n == 1 &&
		    c->v[0].updates + since == r->at.step))
			continue;
		o = o != NULL ? o : json_object();
		js_put(o, t->name, counts_json(c, since));
	}
	return o;
}
