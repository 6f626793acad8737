/* --summary and --plan: questions about a job, answered in JSON. */
#include <stdlib.h>
#include <string.h>

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
	if (d == NULL)
		return json_null();
	return json_pack("{s:I, s:o, s:I}", "samples", (json_int_t)d->n,
	    "shape", shape_json(d->ndim, d->d),
	    "classes", (json_int_t)d->nclasses);
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

static json_t *
memory_json(const struct run_memory *m)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:b}",
	    "network", (json_int_t)m->network,
	    "optimizer", (json_int_t)m->optimizer,
	    "checkpoint_copy", (json_int_t)m->copy,
	    "data", (json_int_t)m->data, "total", (json_int_t)m->total,
	    "limit", (json_int_t)m->limit, "fits", m->total <= m->limit);
}

/* Of a network that does not fit only the sizes are known. */
static json_t *
model_json(const struct run *r, const struct run_memory *m)
{
	json_t *o = json_pack("{s:I}", "parameters", (json_int_t)m->parameters);

	if (r->nn == NULL)
		return o;
	js_put(o, "outputs", json_integer(nn_outputs(r->nn)));
	js_put(o, "tensors", tensors_json(r->nn));
	js_put(o, "description", description_json(r->nn));
	return o;
}

static json_t *
summary(struct run *r, const struct run_memory *m)
{
	if (m->total <= m->limit && !run_build(r, m))
		return NULL;
	json_t *o = json_pack("{s:s, s:o, s:{s:o, s:o}, s:o, s:o, s:I, s:I, "
	    "s:I}",
	    "name", r->spec->name, "model", model_json(r, m), "data",
	    "train", data_json(r->train), "validation", data_json(r->valid),
	    "memory", memory_json(m), "arithmetic", exact_arithmetic(),
	    "checkpoint_bytes", (json_int_t)m->checkpoint,
	    "steps_per_epoch", (json_int_t)r->steps_per_epoch,
	    "steps_total", (json_int_t)r->steps_total);
	must(o != NULL);
	return o;
}

static json_t *
plan(struct run *r, const struct run_memory *m)
{
	if (!warm_wanted(r)) {
		run_fail(r, "bad_spec", true, "the job has no "
		    "model.checkpoint: there is nothing to plan");
		return NULL;
	}
	return run_build(r, m) ? warm_plan(r) : NULL;
}

bool
summary_print(struct run *r)
{
	struct run_memory m;

	if (!run_open_data(r, NULL) || !run_measure(r, &m))
		return false;
	json_t *o = r->o->summary ? summary(r, &m) : plan(r, &m);
	if (o == NULL)
		return false;
	char *text = rkj_pretty(o);
	puts(text);
	free(text);
	json_decref(o);
	return true;
}
