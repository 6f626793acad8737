/*
 * What a job still knows of the classes of before, out of its trainer's
 * metrics: progress.knowledge, {step, classes, before, recall, few, forgotten:
 * [{class, name, samples, before, recall}], largest_fall: one such}.  All of it
 * is a stranger's, so numbers and names are taken one by one.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define FORGOTTEN_MAX 64        /* classes that are named */
#define NAME_BYTES    256

static void
set(json_t *o, const char *key, json_t *v)
{
	must(v != NULL && json_object_set_new(o, key, v) == 0);
}

/* Of numbers 0 to most; false: there is no such one. */
static bool
take(json_t *o, const json_t *from, const char *key, double most, bool whole)
{
	const json_t *v = json_object_get(from, key);
	const double x = json_number_value(v);

	if (!(whole ? json_is_integer(v) : json_is_number(v)) || !(x >= 0) ||
	    x > most)
		return false;
	set(o, key, whole ? json_integer(json_integer_value(v)) :
	    json_real(x));
	return true;
}

static json_t *
class_of(const json_t *said)
{
	json_t *o = json_object();
	const char *name = json_string_value(json_object_get(said, "name"));
	const bool ok = take(o, said, "class", 1e9, true) &&
	    take(o, said, "samples", 1e15, true) &&
	    take(o, said, "before", 1, false) &&
	    take(o, said, "recall", 1, false);

	if (!ok) {
		json_decref(o);
		return NULL;
	}
	if (name != NULL) {
		char *text = rk_text_clean(xstrndup(name, rk_text_fit(name,
		    NAME_BYTES)));
		set(o, "name", json_string(text));
		free(text);
	}
	return o;
}

static json_t *
forgotten_of(const json_t *said)
{
	const json_t *list = json_object_get(said, "by_class");
	json_t *a = json_array();

	for (size_t i = 0; i < json_array_size(list) &&
	    json_array_size(a) < FORGOTTEN_MAX; i++) {
		const json_t *c = json_array_get(list, i);
		json_t *o = json_is_true(json_object_get(c, "forgotten")) ?
		    class_of(c) : NULL;
		if (o != NULL)
			must(json_array_append_new(a, o) == 0);
	}
	return a;
}

/* The class whose recall has fallen most; NULL: none has. */
static json_t *
largest_fall_of(const json_t *said)
{
	json_t *most = NULL;
	double fall = 0;
	const json_t *c;
	size_t i;

	json_array_foreach(json_object_get(said, "by_class"), i, c) {
		json_t *o = class_of(c);
		const double by = json_number_value(json_object_get(o,
		    "before")) - json_number_value(json_object_get(o,
		    "recall"));
		if (o != NULL && by > fall) {
			fall = by;
			json_decref(most);
			most = json_incref(o);
		}
		json_decref(o);
	}
	return most;
}

void
knowledge_note(json_t *progress, const json_t *metric)
{
	const json_t *said = json_object_get(metric, "knowledge");
	json_t *o;

	if (!json_is_object(said))
		return;
	o = json_object();
	if (take(o, metric, "step", 1e15, true) &&
	    take(o, said, "classes", 1e9, true) &&
	    take(o, said, "before", 1, false) &&
	    take(o, said, "recall", 1, false)) {
		json_t *fall = largest_fall_of(said);
		set(o, "forgotten", forgotten_of(said));
		(void)take(o, said, "few", 1e9, true);
		if (fall != NULL)
			set(o, "largest_fall", fall);
		set(progress, "knowledge", json_incref(o));
	}
	json_decref(o);
}

/* What was known at a later step than an attempt begins at is of no use. */
void
knowledge_begins(json_t *progress, int64_t step)
{
	const json_t *k = json_object_get(progress, "knowledge");

	if (json_integer_value(json_object_get(k, "step")) > step)
		json_object_del(progress, "knowledge");
}

struct same {
	const char *kind, *message;
	bool found;
};

static bool
is_same(void *ctx, const struct event_row *e)
{
	struct same *s = ctx;

	s->found = strcmp(e->kind, s->kind) == 0 &&
	    strcmp(e->message, s->message) == 0;
	return !s->found;
}

/*
 * An evaluation that no checkpoint has seen is made again by the next attempt,
 * with the same result, and its sentence has the step in it.
 */
bool
knowledge_was_said(struct sup *s, const char *id, const char *kind,
    const char *message)
{
	struct same same = { kind, message, false };

	if (strcmp(kind, FORGOTTEN) != 0)
		return false;
	if (store_events(s->store, id, 0, INT32_MAX, is_same, &same) != RK_OK)
		return false;
	return same.found;
}
