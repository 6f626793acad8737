/*
 * The lineage of a version as it is shown: what its record keeps, and beside
 * each version in it what has become of that one.
 */
#include <string.h>

#include "rekindle/models_views.h"

#define DEPTH_MAX 64
#define NODES_MAX 2000
#define TEXT_MAX  4096

struct walk {
	models_now_fn *now;
	void *ctx;
	int nodes;
};

/* What a node of each kind has beside its parents, and of which type. */
static const struct field {
	const char *kind, *key;
	json_type type;
} fields[] = {
	{ "version", "model", JSON_STRING },
	{ "version", "version", JSON_INTEGER },
	{ "version", "id", JSON_STRING },
	{ "version", "created_at", JSON_STRING },
	{ "version", "author", JSON_STRING },
	{ "version", "digest", JSON_STRING },
	{ "version", "metrics", JSON_OBJECT },
	{ "version", "aliases", JSON_ARRAY },
	{ "job", "job", JSON_STRING }, { "job", "name", JSON_STRING },
	{ "job", "checkpoint", JSON_STRING }, { "job", "step", JSON_INTEGER },
	{ "job", "epoch", JSON_INTEGER }, { "job", "at", JSON_STRING },
	{ "job", "data", JSON_OBJECT }, { "job", "metrics", JSON_OBJECT },
	{ "job", "plan", JSON_STRING },
	{ "file", "address", JSON_STRING }, { "file", "sha256", JSON_STRING },
};

static bool
is_kind(const char *kind)
{
	return strcmp(kind, "version") == 0 || strcmp(kind, "job") == 0 ||
	    strcmp(kind, "file") == 0;
}

static const char *
text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL && strlen(s) <= TEXT_MAX ? s : "";
}

static json_t *
copy_fields(const json_t *from, const char *kind)
{
	json_t *o = json_pack("{s:s}", "kind", kind);

	for (size_t i = 0; i < RK_ARRAY_LEN(fields); i++) {
		json_t *v = json_object_get(from, fields[i].key);
		if (strcmp(fields[i].kind, kind) == 0 && v != NULL &&
		    json_typeof(v) == fields[i].type)
			must(json_object_set(o, fields[i].key, v) == 0);
	}
	/* When it was registered, there was more already. */
	if (json_is_true(json_object_get(from, "cut")))
		json_object_set_new(o, "cut", json_true());
	return o;
}

static void
mark(struct walk *w, json_t *node)
{
	const json_t *version = json_object_get(node, "version");
	const char *model = text(node, "model");

	if (*model == '\0' || !json_is_integer(version))
		return;
	const enum models_now now = w->now(w->ctx, model,
	    json_integer_value(version));
	if (now == MODELS_DELETED)
		json_object_set_new(node, "deleted", json_true());
	if (now == MODELS_UNKNOWN)
		json_object_set_new(node, "unknown", json_true());
}

/* The parents that `from` has, as far as they are nodes. */
static void
add_parents(struct walk *w, json_t *node, const json_t *from, int depth)
{
	json_t *to = json_array();
	const json_t *p;
	size_t i;

	must(json_object_set_new(node, "parents", to) == 0);
	json_array_foreach(from, i, p) {
		const char *kind = text(p, "kind");
		if (!is_kind(kind))
			continue;
		if (depth > DEPTH_MAX || w->nodes >= NODES_MAX) {
			json_object_set_new(node, "cut", json_true());
			return;
		}
		w->nodes++;
		json_t *one = copy_fields(p, kind);
		mark(w, one);
		add_parents(w, one, json_object_get(p, "parents"), depth + 1);
		must(json_array_append_new(to, one) == 0);
	}
}

/* Is this node the version itself, or already what it comes from? */
static bool
is_itself(const json_t *node, const json_t *record)
{
	return strcmp(text(node, "kind"), "version") == 0 &&
	    strcmp(text(node, "model"), text(record, "model")) == 0 &&
	    json_equal(json_object_get(node, "version"),
	    json_object_get(record, "version"));
}

json_t *
models_lineage(const json_t *record, models_now_fn *now, void *ctx)
{
	struct walk w = { .now = now, .ctx = ctx };
	json_t *top = json_object_get(record, "lineage");
	json_t *root = copy_fields(record, "version");

	mark(&w, root);
	if (is_itself(top, record)) {
		add_parents(&w, root, json_object_get(top, "parents"), 1);
	} else {
		json_t *one = json_pack("[O?]", top);
		add_parents(&w, root, one, 1);
		json_decref(one);
	}
	return root;
}
