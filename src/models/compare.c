/*
 * How two versions differ.
 *
 * Metrics, classes, tensors and fields of the jobs are matched by name, data by
 * digest.  A difference is what b has more than a.
 */
#include <math.h>
#include <string.h>

#include "rekindle/models_views.h"

#define SPEC_MAX 1000           /* differences of the jobs that are told */

static void
put(json_t *o, const char *key, json_t *v)
{
	must(json_object_set_new(o, key, v) == 0);
}

/* A borrowed value, null where there is none. */
static void
put_copy(json_t *o, const char *key, json_t *v)
{
	put(o, key, v != NULL ? json_incref(v) : json_null());
}

static json_t *
difference(const json_t *a, const json_t *b)
{
	const double d = json_is_number(a) && json_is_number(b) ?
	    json_number_value(b) - json_number_value(a) : NAN;

	return isfinite(d) ? json_real(d) : json_null();
}

static const char *
text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s != NULL ? s : "";
}

/* true, false; null where one of them is not known. */
static json_t *
same_text(const char *a, const char *b)
{
	return *a == '\0' || *b == '\0' ? json_null() :
	    json_boolean(strcmp(a, b) == 0);
}

/* --- metrics -------------------------------------------------------------- */

static void
add_metric(json_t *list, const char *name, json_t *a, json_t *b)
{
	if (!json_is_number(a) && !json_is_number(b))
		return;
	json_t *o = json_object();
	put(o, "metric", json_string(name));
	put_copy(o, "a", json_is_number(a) ? a : NULL);
	put_copy(o, "b", json_is_number(b) ? b : NULL);
	put(o, "difference", difference(a, b));
	must(json_array_append_new(list, o) == 0);
}

static json_t *
metrics_of(json_t *a, json_t *b)
{
	json_t *list = json_array(), *v;
	const char *name;

	json_object_foreach(a, name, v)
		add_metric(list, name, v, json_object_get(b, name));
	json_object_foreach(b, name, v)
		if (json_object_get(a, name) == NULL)
			add_metric(list, name, NULL, v);
	return list;
}

/* --- on the same data ----------------------------------------------------- */

/*
 * All that was measured of a version: {DIGEST: {source, metrics}}.  What its
 * job measured is val_NAME there, and NAME in an evaluation.
 */
static void
add_measured(json_t *all, const json_t *data, json_t *metrics)
{
	const char *digest = text(data, "digest"), *name;
	json_t *to = json_object_get(all, digest), *v;

	if (*digest == '\0' || !json_is_object(metrics))
		return;
	if (to == NULL) {
		to = json_pack("{s:O?, s:{}}", "source", json_object_get(data,
		    "source"), "metrics");
		put(all, digest, to);
	}
	json_object_foreach(metrics, name, v) {
		const bool val = strncmp(name, "val_", 4) == 0;
		if (json_is_number(v))
			must(json_object_set(json_object_get(to, "metrics"),
			    val ? name + 4 : name, v) == 0);
	}
}

static json_t *
measured(const json_t *record)
{
	json_t *all = json_object();
	const json_t *e;
	size_t i;

	add_measured(all, json_object_get(json_object_get(record, "data"),
	    "validation"), json_object_get(record, "metrics"));
	json_array_foreach(json_object_get(record, "evaluations"), i, e)
		add_measured(all, json_object_get(e, "data"),
		    json_object_get(e, "metrics"));
	return all;
}

static json_t *
same_data(const json_t *a, const json_t *b)
{
	json_t *ma = measured(a), *mb = measured(b), *list = json_array(), *v;
	const char *digest;

	json_object_foreach(ma, digest, v) {
		const json_t *other = json_object_get(mb, digest);
		if (other == NULL)
			continue;
		json_t *o = json_pack("{s:s}", "digest", digest);
		put_copy(o, "source", json_object_get(v, "source"));
		put(o, "metrics", metrics_of(json_object_get(v, "metrics"),
		    json_object_get(other, "metrics")));
		must(json_array_append_new(list, o) == 0);
	}
	json_decref(ma);
	json_decref(mb);
	return list;
}

/* --- classes -------------------------------------------------------------- */

/* By its name; by its number, where it has none. */
static char *
class_name(const json_t *c)
{
	const json_t *number = json_object_get(c, "class");

	if (*text(c, "name") != '\0' || !json_is_integer(number))
		return xstrdup(text(c, "name"));
	return xasprintf("%lld", (long long)json_integer_value(number));
}

/* {NAME: class} */
static json_t *
classes_by_name(const json_t *list)
{
	json_t *all = json_object(), *c;
	size_t i;

	json_array_foreach(list, i, c) {
		char *name = class_name(c);
		if (*name != '\0')
			must(json_object_set(all, name, c) == 0);
		free(name);
	}
	return all;
}

static void
add_class(json_t *list, const char *name, json_t *a, json_t *b)
{
	static const char *const keys[] = { "precision", "recall", "f1" };
	json_t *o = json_pack("{s:s}", "name", name), *d = json_object();

	put_copy(o, "a", a);
	put_copy(o, "b", b);
	for (size_t i = 0; i < RK_ARRAY_LEN(keys); i++)
		put(d, keys[i], difference(json_object_get(a, keys[i]),
		    json_object_get(b, keys[i])));
	put(o, "difference", d);
	must(json_array_append_new(list, o) == 0);
}

static json_t *
classes_of(const json_t *list_a, const json_t *list_b)
{
	json_t *a = classes_by_name(list_a), *b = classes_by_name(list_b);
	json_t *list = json_array(), *c;
	const char *name;

	json_object_foreach(a, name, c)
		add_class(list, name, c, json_object_get(b, name));
	json_object_foreach(b, name, c)
		if (json_object_get(a, name) == NULL)
			add_class(list, name, NULL, c);
	json_decref(a);
	json_decref(b);
	return list;
}

/* --- data ----------------------------------------------------------------- */

static json_t *
data_of(const json_t *a, const json_t *b)
{
	static const char *const keys[] = { "train", "validation" };
	json_t *o = json_object();

	for (size_t i = 0; i < RK_ARRAY_LEN(keys); i++) {
		const json_t *da = json_object_get(a, keys[i]);
		const json_t *db = json_object_get(b, keys[i]);
		json_t *one = json_object();
		put_copy(one, "a", json_object_get(da, "digest"));
		put_copy(one, "b", json_object_get(db, "digest"));
		put(one, "equal", same_text(text(da, "digest"), text(db,
		    "digest")));
		put(o, keys[i], one);
	}
	return o;
}

/* --- tensors -------------------------------------------------------------- */

/* {NAME: {name, dtype, shape}} of a tensors.json. */
static json_t *
by_name(const json_t *tensors)
{
	const json_t *list = json_is_array(tensors) ? tensors :
	    json_object_get(tensors, "tensors");
	json_t *all = json_object(), *t;
	size_t i;

	json_array_foreach(list, i, t)
		if (*text(t, "name") != '\0')
			must(json_object_set(all, text(t, "name"), t) == 0);
	return all;
}

static json_t *
other_form(const char *name, const json_t *a, const json_t *b)
{
	static const char *const keys[] = { "dtype", "shape" };
	json_t *o = json_pack("{s:s}", "name", name);
	const json_t *of[] = { a, b };

	for (size_t k = 0; k < RK_ARRAY_LEN(of); k++) {
		json_t *side = json_object();
		for (size_t i = 0; i < RK_ARRAY_LEN(keys); i++)
			put_copy(side, keys[i], json_object_get(of[k],
			    keys[i]));
		put(o, k == 0 ? "a" : "b", side);
	}
	return o;
}

static bool
same_form(const json_t *a, const json_t *b)
{
	return json_equal(json_object_get(a, "shape"), json_object_get(b,
	    "shape")) && json_equal(json_object_get(a, "dtype"),
	    json_object_get(b, "dtype"));
}

static json_t *
tensors_of(const json_t *ta, const json_t *tb)
{
	json_t *a = by_name(ta), *b = by_name(tb), *o = json_object(), *t;
	json_t *other = json_array(), *only_a = json_array();
	json_t *only_b = json_array();
	const char *name;
	size_t same = 0;

	json_object_foreach(a, name, t) {
		const json_t *u = json_object_get(b, name);
		if (u == NULL)
			must(json_array_append(only_a, t) == 0);
		else if (same_form(t, u))
			same++;
		else
			must(json_array_append_new(other, other_form(name, t,
			    u)) == 0);
	}
	json_object_foreach(b, name, t)
		if (json_object_get(a, name) == NULL)
			must(json_array_append(only_b, t) == 0);
	put(o, "same", json_integer((json_int_t)same));
	put(o, "different", other);
	put(o, "only_a", only_a);
	put(o, "only_b", only_b);
	json_decref(a);
	json_decref(b);
	return o;
}

/* --- jobs ----------------------------------------------------------------- */

/* Not there is not null: a field that one side lacks has no a or no b. */
static void
add_change(json_t *list, const char *path, json_t *a, json_t *b)
{
	if (json_array_size(list) >= SPEC_MAX)
		return;
	json_t *o = json_pack("{s:s}", "path", path);
	if (a != NULL)
		must(json_object_set(o, "a", a) == 0);
	if (b != NULL)
		must(json_object_set(o, "b", b) == 0);
	must(json_array_append_new(list, o) == 0);
}

static void
changes(json_t *list, const char *path, json_t *a, json_t *b);

static void
changes_of_fields(json_t *list, const char *path, json_t *a, json_t *b)
{
	const char *dot = *path != '\0' ? "." : "", *key;
	json_t *v;

	json_object_foreach(a, key, v) {
		char *at = xasprintf("%s%s%s", path, dot, key);
		changes(list, at, v, json_object_get(b, key));
		free(at);
	}
	json_object_foreach(b, key, v) {
		if (json_object_get(a, key) != NULL)
			continue;
		char *at = xasprintf("%s%s%s", path, dot, key);
		changes(list, at, NULL, v);
		free(at);
	}
}

static void
changes(json_t *list, const char *path, json_t *a, json_t *b)
{
	if (a != NULL && b != NULL && json_equal(a, b))
		return;
	if (json_is_object(a) && json_is_object(b)) {
		changes_of_fields(list, path, a, b);
		return;
	}
	if (!json_is_array(a) || !json_is_array(b) ||
	    json_array_size(a) != json_array_size(b)) {
		add_change(list, path, a, b);
		return;
	}
	for (size_t i = 0; i < json_array_size(a); i++) {
		char *at = xasprintf("%s[%zu]", path, i);
		changes(list, at, json_array_get(a, i), json_array_get(b, i));
		free(at);
	}
}

/* --- all of it ------------------------------------------------------------ */

static json_t *
who(const json_t *record)
{
	static const char *const keys[] = { "model", "version", "created_at",
		"author", "arch", "digest", "bytes", "deleted" };
	json_t *o = json_object();

	for (size_t i = 0; i < RK_ARRAY_LEN(keys); i++) {
		json_t *v = json_object_get(record, keys[i]);
		if (v != NULL)
			must(json_object_set(o, keys[i], v) == 0);
	}
	return o;
}

json_t *
models_compare(const json_t *a, const json_t *b, const json_t *tensors_a,
    const json_t *tensors_b)
{
	json_t *sa = json_object_get(a, "spec"), *sb = json_object_get(b,
	    "spec");
	json_t *o = json_object(), *jobs = json_array();

	put(o, "a", who(a));
	put(o, "b", who(b));
	put(o, "same_model", same_text(text(a, "digest"), text(b, "digest")));
	put(o, "metrics", metrics_of(json_object_get(a, "metrics"),
	    json_object_get(b, "metrics")));
	put(o, "same_data", same_data(a, b));
	put(o, "per_class", classes_of(json_object_get(a, "per_class"),
	    json_object_get(b, "per_class")));
	put(o, "data", data_of(json_object_get(a, "data"), json_object_get(b,
	    "data")));
	put(o, "tensors", tensors_a != NULL && tensors_b != NULL ?
	    tensors_of(tensors_a, tensors_b) : json_null());
	if (json_is_object(sa) && json_is_object(sb)) {
		changes(jobs, "", sa, sb);
		put(o, "jobs", jobs);
	} else {
		json_decref(jobs);
		put(o, "jobs", json_null());
	}
	return o;
}
