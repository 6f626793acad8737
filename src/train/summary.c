/* --summary and --plan: questions about a job, answered in JSON or YAML. */
#include <stdlib.h>
#include <string.h>

#include "phases.h"
#include "start.h"
#include "summary.h"

json_t *
shape_json(int ndim, const int64_t *d)
{
	json_t *v = json_array();

	for (int i = 0; i < ndim; i++)
		must(json_array_append_new(v, json_integer(d[i])) == 0);
	return v;
}

static json_t *
data_json(const struct data_set *d)
{
	return d == NULL ? json_null() : classes_json(d);
}

static json_t *
tensors_json(const struct nn *n)
{
	json_t *v = json_array();

	for (size_t i = 0; i < nn_ntensors(n); i++) {
		const struct nn_tensor *t = nn_tensor_at(n, i);
		json_t *o = json_pack("{s:s, s:s, s:o}", "name", t->name,
		    "kind", t->is_buffer ? "buffer" : "parameter",
		    "shape", shape_json(t->ndim, t->d));
		must(o != NULL && json_array_append_new(v, o) == 0);
	}
	return v;
}

/* The lines that nn_describe() has for people. */
static json_t *
description_json(const struct nn *n)
{
	json_t *v = json_array();
	struct strbuf text = {0};
	char *save = NULL;

	nn_describe(n, &text);
	char *all = sb_detach(&text);
	for (char *s = strtok_r(all, "\n", &save); s != NULL;
	    s = strtok_r(NULL, "\n", &save))
		must(json_array_append_new(v, js_text(s)) == 0);
	free(all);
	return v;
}

/* What each layer is and takes; those that were folded into another are not
 * there. */
static json_t *
layers_json(const struct nn *n)
{
	json_t *v = json_array();
	struct nn_layer l;

	for (size_t i = 0; i < nn_nlayers(n); i++) {
		if (!nn_layer_at(n, i, &l))
			continue;
		json_t *o = json_pack("{s:s, s:s, s:o, s:I, s:I}",
		    "name", l.name, "type", l.type,
		    "shape", shape_json(l.ndim, l.d),
		    "parameters", (json_int_t)l.parameters,
		    "multiply_adds", (json_int_t)l.multiply_adds);
		must(o != NULL && json_array_append_new(v, o) == 0);
	}
	return v;
}

static json_t *
memory_json(const struct run_memory *m)
{
	const uint64_t limit = m->said > 0 ? m->said : m->wanted;
	const struct {
		const char *key;
		uint64_t bytes;
	} kinds[] = {
		{ "parameters", m->sizes.parameter_bytes },
		{ "gradients", m->sizes.gradient_bytes },
		{ "buffers", m->sizes.buffer_bytes },
		{ "arena", m->sizes.arena_bytes },
		{ "network", m->network },      /* the four before */
		{ "optimizer", m->optimizer },
		{ "ancestor", m->ancestor },
		{ "checkpoint_copy", m->copy },
		{ "data", m->data },
		{ "process", m->process },
		{ "total", m->total },          /* the six before */
		{ "limit", limit },
		{ "available", m->limit },
	};
	json_t *o = json_object();

	for (size_t i = 0; i < RK_ARRAY_LEN(kinds); i++)
		js_put(o, kinds[i].key, json_integer((json_int_t)RK_MIN(
		    kinds[i].bytes, (uint64_t)INT64_MAX)));
	js_put(o, "fits", json_boolean(m->total <= m->limit));
	return o;
}

static json_t *
model_json(const struct run *r, const struct run_memory *m)
{
	json_t *o = json_pack("{s:I, s:I, s:I}",
	    "parameters", (json_int_t)m->parameters,
	    "multiply_adds", (json_int_t)m->sizes.multiply_adds,
	    "outputs", (json_int_t)nn_outputs(r->nn));

	must(o != NULL);
	js_put(o, "layers", layers_json(r->nn));
	js_put(o, "tensors", tensors_json(r->nn));
	js_put(o, "description", description_json(r->nn));
	return o;
}

/* The network without memory for its values, and whether the samples suit
 * it. */
static bool
outline(struct run *r, const struct run_memory *m)
{
	const struct nn_want w = memory_want(r, m->limit);
	struct rk_why why = {0};

	enum rk_err rc = nn_outline(&r->nn, &w, &why);
	if (rc != RK_OK)
		run_fail(r, "bad_spec", true, "%s", rk_why_first(&why));
	rk_why_fini(&why);
	return rc == RK_OK && run_check_samples(r);
}

static void
add_remark(void *ctx, const char *sentence)
{
	must(json_array_append_new(ctx, js_text(sentence)) == 0);
}

/* What a run would say before it begins, of a cold start. */
static json_t *
remarks_json(const struct run *r)
{
	json_t *v = json_array();

	remarks(r, add_remark, v);
	if (r->train != NULL)
		rate_remarks(r, add_remark, v);
	return v;
}

static json_t *
summary(struct run *r, const struct run_memory *m)
{
	if (!outline(r, m))
		return NULL;
	json_t *o = json_pack("{s:s, s:o, s:{s:o, s:o}, s:o, s:o, s:I}",
	    "name", r->spec->name, "model", model_json(r, m), "data",
	    "train", data_json(r->train), "validation", data_json(r->valid),
	    "memory", memory_json(m), "arithmetic", exact_arithmetic(r),
	    "checkpoint_bytes", (json_int_t)m->checkpoint);
	must(o != NULL);
	const bool known = r->train != NULL;
	js_put(o, "steps_per_epoch", known ? json_integer(r->steps_per_epoch) :
	    json_null());
	js_put(o, "steps_total", known ? json_integer(r->steps_total) :
	    json_null());
	if (r->spec->training.nphases > 0)
		js_put(o, "phases", phases_json(r));
	if (m->features > 0)
		js_put(o, "feature_bytes", json_integer((json_int_t)
		    m->features));
	js_put(o, "remarks", remarks_json(r));
	return o;
}

/* The model written out: `model: {input, layers, outputs, init}`. */
static bool
print_yaml(struct run *r, const struct run_memory *m)
{
	if (!outline(r, m))
		return false;
	json_t *o = json_pack("{s:o}", "model", nn_layers(r->nn));
	char *text = rkj_yaml(o, 2);

	fputs(text, stdout);
	free(text);
	json_decref(o);
	return true;
}

/* What is not accepted ends as the run would. */
static bool
plan_is_accepted(struct run *r, const json_t *plan)
{
	const json_t *refused = json_object_get(plan, "refused");
	const json_t *changed = json_object_get(plan, "changed");

	if (!json_is_true(json_object_get(plan, "accepted")))
		return run_fail(r, "warm_start", true, "the plan is refused: "
		    "%s", json_string_value(json_array_get(refused, 0)));
	if (json_is_string(changed))
		return run_fail(r, "warm_start", true,
		    "training.warm_start.plan: %s", json_string_value(changed));
	return true;
}

/* A table for people, or JSON. */
static bool
print_plan(struct run *r, const struct run_memory *m)
{
	char *text;

	if (!warm_wanted(r))
		return run_fail(r, "bad_spec", true, "the job has no "
		    "model.checkpoint: there is nothing to plan");
	json_t *o = run_build(r, m) ? warm_plan(r, &text) : NULL;
	if (o == NULL)
		return false;
	if (r->o->json) {
		if (r->spec->training.nphases > 0)
			js_put(o, "phases", phases_json(r));
		free(text);
		text = rkj_pretty(o);
	}
	puts(text);
	if (!r->o->json) {
		char *phases = phases_text(r);
		fputs(phases, stdout);
		free(phases);
	}
	free(text);
	const bool ok = plan_is_accepted(r, o);
	json_decref(o);
	return ok;
}

/* --- data ----------------------------------------------------------------- */

static bool
is_of_data(const char *field)
{
	return strncmp(field, "data", 4) == 0;
}

/* What of the data is not on this machine, as a sentence that the caller frees;
 * NULL: all is here. */
static char *
missing_data(const struct run *r)
{
	struct spec_address v[SPEC_ADDRESSES];
	struct rk_why why = {0};
	char *text = NULL;

	for (size_t i = 0, n = spec_addresses(r->spec, v); i < n; i++)
		if (text == NULL && is_of_data(v[i].field) &&
		    place_of(r, v[i].uri) == NULL)
			text = xasprintf("%s: %s is not on this machine",
			    v[i].field, v[i].uri);
	(void)!spec_check_files(r->spec, false, &why);
	for (size_t i = 0; i < why.n; i++)
		if (text == NULL && is_of_data(why.v[i].path))
			text = xasprintf("%s: %s", why.v[i].path,
			    why.v[i].message);
	rk_why_fini(&why);
	return text;
}

static bool
reads_tokens(enum spec_arch a)
{
	const enum spec_family f = spec_family_of(a);

	return f == SPEC_FAMILY_bert || f == SPEC_FAMILY_textcnn;
}

/* A network whose input the job itself gives can be told without data. */
static bool
open_data(struct run *r)
{
	const struct spec_model *m = &r->spec->model;
	const bool shape_said = m->ninput > 0 || m->arch == SPEC_ARCH_mlp;

	const bool may_miss = r->o->summary || r->o->suggest != NULL;
	char *missing = may_miss ? missing_data(r) : NULL;

	if (missing == NULL)
		return run_open_data(r, NULL);
	if (!shape_said)
		run_fail(r, "bad_data", true, "%s; say model.input, such as "
		    "%s, for an answer without data", missing,
		    reads_tokens(m->arch) ? "[128]" : "[3, 32, 32]");
	free(missing);
	return shape_said;
}

bool
summary_open(struct run *r, struct run_memory *m)
{
	return open_data(r) && run_measure(r, m) && outline(r, m);
}

bool
summary_print(struct run *r)
{
	struct run_memory m;

	exact_settle(r, NULL);
	if (!open_data(r) || !run_measure(r, &m))
		return false;
	return r->o->plan ? print_plan(r, &m) : summary_say(r, &m);
}

bool
summary_say(struct run *r, const struct run_memory *m)
{
	if (r->o->yaml)
		return print_yaml(r, m);
	json_t *o = summary(r, m);
	if (o == NULL)
		return false;
	char *text = rkj_pretty(o);
	puts(text);
	free(text);
	json_decref(o);
	return true;
}
