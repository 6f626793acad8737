/* Which class of a model each class of a job was: see class_map.h. */
#include <stdlib.h>

#include "class_map.h"

/* The number of each name, or -1; of equal names the first counts. */
static json_t *
numbers_of(const json_t *names)
{
	json_t *o = json_object(), *name;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)names, i, name)
		if (json_object_get(o, json_string_value(name)) == NULL)
			js_put(o, json_string_value(name),
			    json_integer((json_int_t)i));
	return o;
}

static void
add(json_t *list, json_t *name)
{
	must(json_array_append(list, name) == 0);
}

static void
by_name(struct class_map *m)
{
	json_t *theirs = numbers_of(m->model_names);
	json_t *ours = numbers_of(m->names), *name;
	size_t i;

	m->named = true;
	m->fresh = json_array();
	m->dropped = json_array();
	json_array_foreach(m->names, i, name) {
		const json_t *k = json_object_get(theirs,
		    json_string_value(name));
		m->from[i] = k != NULL ? json_integer_value(k) : -1;
		m->kept += k != NULL;
		if (k == NULL)
			add(m->fresh, name);
	}
	json_array_foreach(m->model_names, i, name)
		if (json_object_get(ours, json_string_value(name)) == NULL)
			add(m->dropped, name);
	json_decref(theirs);
	json_decref(ours);
}

bool
class_map_make(struct class_map *m, const struct run *r, int64_t nmodel)
{
	json_t *ours = input_classes(r), *theirs = r->warm_model.classes;

	*m = (struct class_map){ .n = nn_outputs(r->nn) };
	if ((ours == NULL) != (theirs == NULL)) {
		json_decref(ours);
		return false;
	}
	m->names = ours;
	m->model_names = json_incref(theirs);
	m->n = ours != NULL ? (int64_t)json_array_size(ours) : m->n;
	m->nmodel = theirs != NULL ? (int64_t)json_array_size(theirs) :
	    nmodel > 0 ? nmodel : m->n;
	m->from = xcalloc((size_t)m->n + 1, sizeof(*m->from));
	if (ours != NULL) {
		by_name(m);
		return true;
	}
	m->kept = RK_MIN(m->n, m->nmodel);
	for (int64_t i = 0; i < m->n; i++)
		m->from[i] = i < m->nmodel ? i : -1;
	return true;
}

void
class_map_fini(struct class_map *m)
{
	free(m->from);
	json_decref(m->names);
	json_decref(m->model_names);
	json_decref(m->fresh);
	json_decref(m->dropped);
	*m = (struct class_map){0};
}
