/*
 * Versions of models as candidates: see suggest.h.
 *
 * Of the copy: those that an alias is at and the newest of each model, then the
 * newest of all, VERSIONS_MOST together.  Versions whose tensors and classes
 * are the same, as those of a model are as a rule, are one candidate, whose list
 * of tensors is fetched once.
 */
#include <stdlib.h>
#include <string.h>

#include "rekindle/store_models.h"
#include "suggest.h"

#define VERSIONS_MOST 200
#define OF_A_MODEL    3         /* newest */
#define MODELS_MOST   1000
#define CLASSES_MOST  50000     /* names of all lists */
#define TENSORS_FILE  "tensors.json"

struct pick {
	struct api *a;
	json_t *list, *classes;         /* of the file of candidates */
	json_t *known;
	json_t *of_key;                 /* {what they are: the first's id} */
	json_t *of_classes;             /* {their text: the number} */
	json_t *passed;                 /* [{id, why}] */
	size_t n, names;
	json_int_t live;                /* versions of all models */
};

static void
put(json_t *o, const char *key, json_t *v)
{
	must(v != NULL && json_object_set_new(o, key, v) == 0);
}

static const char *
text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

/* --- one ------------------------------------------------------------------ */

/* Records are other machines' words, and perhaps edited by hand. */
static bool
are_names(const json_t *names)
{
	const size_t n = json_array_size(names);
	const json_t *v;
	size_t i;

	json_array_foreach(names, i, v)
		if (json_string_value(v) == NULL || json_string_length(v) >
		    SPEC_MAX_CLASS_NAME)
			return false;
	return n > 0 && n <= SPEC_MAX_CLASSES;
}

/* The number of a list of classes; -1: they are not known. */
static json_int_t
classes_of(struct pick *p, const json_t *record)
{
	json_t *names = json_object_get(record, "classes");
	const size_t n = json_array_size(names);

	if (!are_names(names))
		return -1;
	char *key = rkj_text(names);
	const json_t *at = json_object_get(p->of_classes, key);
	json_int_t number = at != NULL ? json_integer_value(at) : -1;
	if (number < 0 && p->names + n <= CLASSES_MOST) {
		number = (json_int_t)json_array_size(p->classes);
		p->names += n;
		must(json_array_append(p->classes, names) == 0);
		put(p->of_classes, key, json_integer(number));
	}
	free(key);
	return number;
}

/* Its list of tensors, as the record has it; NULL. */
static const json_t *
tensors_of(const json_t *record)
{
	const json_t *files = json_object_get(record, "files"), *f;
	size_t i;

	json_array_foreach(files, i, f)
		if (strcmp(text(f, "name"), TENSORS_FILE) == 0)
			return f;
	return NULL;
}

static const char *
digest_of(const json_t *record)
{
	return text(tensors_of(record), "sha256");
}

/* Where that lies: a path, or an address that is pinned. */
static void
put_place(struct pick *p, json_t *v, const json_t *record)
{
	char *folder = models_folder(p->a->models, text(record, "model"),
	    text(record, "id"));
	struct rk_uri u;

	if (rk_uri_parse(&u, folder, NULL) == RK_OK) {
		char *at = u.kind == RK_URI_FILE ? xasprintf("%s%s%s", u.path,
		    u.path[strlen(u.path) - 1] == '/' ? "" : "/",
		    TENSORS_FILE) : xasprintf("%s" TENSORS_FILE "#sha256=%s",
		    folder, digest_of(record));
		put(v, u.kind == RK_URI_FILE ? "file" : "address",
		    json_string(at));
		free(at);
		rk_uri_fini(&u);
	}
	free(folder);
}

/* Whose names and layout its file has. */
static void
put_writer(json_t *v, const json_t *record)
{
	const char *format = text(record, "model_format");
	const char *kind = text(json_object_get(record, "source"), "kind");

	if (strcmp(kind, "job") == 0)
		put(v, "writer", json_string("rekindle"));
	else if (strcmp(format, "paddle") == 0 || strcmp(format, "pytorch") ==
	    0)
		put(v, "framework", json_string(format));
}

/* What an answer has of it. */
static json_t *
known_of(const json_t *record, const char *source)
{
	static const char *const same[] = { "version", "aliases",
		"metrics", "created_at", "evaluations", "author", "notes" };
	json_t *arch = json_object_get(record, "arch");
	const json_t *data = json_object_get(record, "data");
	json_t *o = json_pack("{s:s, s:s, s:s, s:{s:s, s:s}}", "kind",
	    "version", "source", source, "model", text(record, "model"),
	    "data", "train", text(json_object_get(data, "train"), "digest"),
	    "validation", text(json_object_get(data, "validation"),
	    "digest"));

	must(o != NULL);
	for (size_t i = 0; i < RK_ARRAY_LEN(same); i++) {
		json_t *v = json_object_get(record, same[i]);
		if (v != NULL && !json_is_null(v))
			put(o, same[i], json_incref(v));
	}
	put(o, "arch", json_is_string(arch) ? json_incref(arch) :
	    json_null());
	return o;
}

/* A candidate of its own, or one with another that is the same but for its
 * weights. */
static void
add_candidate(struct pick *p, const json_t *record, const char *id)
{
	const json_int_t classes = classes_of(p, record);
	json_t *v = json_pack("{s:s}", "id", id);

	must(v != NULL);
	put_writer(v, record);
	char *key = xasprintf("%s %lld %s %s", digest_of(record),
	    (long long)classes, text(v, "writer"), text(v, "framework"));
	const char *first = text(p->of_key, key);
	if (first[0] != '\0') {
		json_t *of = json_object_get(p->known, first);
		if (json_object_get(of, "others") == NULL)
			put(of, "others", json_array());
		must(json_array_append_new(json_object_get(of, "others"),
		    json_string(id)) == 0);
		json_decref(v);
	} else {
		put(p->of_key, key, json_string(id));
		if (classes >= 0)
			put(v, "classes", json_integer(classes));
		put_place(p, v, record);
		must(json_array_append_new(p->list, v) == 0);
	}
	free(key);
}

/* Why it is not looked into; the caller's, NULL: it is. */
static char *
why_not(const json_t *record)
{
	const json_t *missing = json_object_get(record, "missing");
	const json_t *tensors = tensors_of(record);
	char most[RK_HUMAN];
	const char *file;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)missing, file, v)
		return xasprintf("%s: %s", file, json_string_value(v) != NULL ?
		    json_string_value(v) : "is missing");
	if (tensors == NULL)
		return xstrdup("it has no " TENSORS_FILE);
	if (json_integer_value(json_object_get(tensors, "size")) >
	    (json_int_t)RKJ_MAX_BYTES)
		return xasprintf("its " TENSORS_FILE " has more than %s",
		    rk_human_bytes(most, RKJ_MAX_BYTES));
	return NULL;
}

/* False: there are as many as may be. */
static bool
add(struct pick *p, const char *model, int64_t version)
{
	char *id = xasprintf("model://%s/%lld", model, (long long)version);
	json_t *record = NULL;

	if (p->n < VERSIONS_MOST && json_object_get(p->known, id) == NULL &&
	    models_version(p->a->models, model, version, &record, NULL) ==
	    RK_OK && !json_is_true(json_object_get(record, "deleted"))) {
		p->n++;
		put(p->known, id, known_of(record, id));
		char *why = why_not(record);
		if (why == NULL)
			add_candidate(p, record, id);
		else
			must(json_array_append_new(p->passed, json_pack(
			    "{s:s, s:s}", "id", id, "why", why)) == 0);
		free(why);
	}
	json_decref(record);
	free(id);
	return p->n < VERSIONS_MOST;
}

/* --- which ---------------------------------------------------------------- */

/* What is walked is not looked into on the way: a store is not to be asked
 * within a callback for the same list. */
struct found {
	struct {
		char *model;
		int64_t version;
	} *v;
	size_t n;
	json_int_t live;
};

static void
note(struct found *f, const char *model, int64_t version)
{
	f->v = xrealloc(f->v, (f->n + 1) * sizeof(*f->v));
	f->v[f->n].model = xstrdup(model);
	f->v[f->n++].version = version;
}

static bool
note_model(void *ctx, const struct model_row *r)
{
	struct found *f = ctx;

	f->live += r->live;
	note(f, r->name, 0);
	return true;
}

static bool
note_alias(void *ctx, const struct alias_row *r)
{
	if (r->version > 0)
		note(ctx, r->model, r->version);
	return true;
}

static bool
note_version(void *ctx, const struct version_row *r, double key)
{
	(void)key;
	note(ctx, r->model, r->version);
	return true;
}

static void
take(struct pick *p, struct found *f)
{
	for (size_t i = 0; i < f->n; i++) {
		(void)add(p, f->v[i].model, f->v[i].version);
		free(f->v[i].model);
	}
	free(f->v);
	*f = (struct found){0};
}

static enum rk_err
pick(struct pick *p)
{
	struct store *st = p->a->store;
	struct store_versions_filter f = {0};
	struct found models = {0}, found = {0};
	enum rk_err rc = store_models(st, "", MODELS_MOST, note_model,
	    &models);

	p->live = models.live;
	for (size_t i = 0; rc == RK_OK && i < models.n; i++)
		rc = store_aliases(st, models.v[i].model, -1, note_alias,
		    &found);
	take(p, &found);
	for (size_t i = 0; rc == RK_OK && i < models.n; i++) {
		f.model = models.v[i].model;
		if (p->n < VERSIONS_MOST)
			rc = store_versions(st, &f, OF_A_MODEL, note_version,
			    &found);
		take(p, &found);
	}
	f.model = NULL;
	if (rc == RK_OK && p->n < VERSIONS_MOST)
		rc = store_versions(st, &f, VERSIONS_MOST, note_version,
		    &found);
	take(p, &found);
	for (size_t i = 0; i < models.n; i++)
		free(models.v[i].model);
	free(models.v);
	return rc;
}

enum rk_err
suggest_versions(struct api *a, json_t *candidates, json_t *known,
    json_t *passed, json_int_t *left)
{
	struct pick p = { .a = a,
		.list = json_object_get(candidates, "candidates"),
		.classes = json_object_get(candidates, "classes"),
		.known = known, .passed = passed, .of_key = json_object(),
		.of_classes = json_object() };
	enum rk_err rc = RK_OK;

	if (a->models != NULL)
		rc = pick(&p);
	*left = RK_MAX(p.live - (json_int_t)p.n, 0);
	json_decref(p.of_key);
	json_decref(p.of_classes);
	return rc;
}
