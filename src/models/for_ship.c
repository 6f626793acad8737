/*
 * What ship asks the registry: where a version's files are (ship.h); and what
 * it tells: which of them the store has no more, or has other bytes of.  What
 * was missed is kept, so that who asks for the version hears of it, until the
 * file has been had again.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define MISSING_MAX  1000               /* versions */
#define ASKED_MS     2000               /* a copy so young need not be asked
                                           for again */
#define RECORD       "checkpoint.json"

/* --- a version ------------------------------------------------------------ */

/* One that can be asked for: no file of another folder has such a name. */
static bool
add_file(struct ship_version *v, const json_t *e)
{
	const char *name = json_string_value(json_object_get(e, "name"));
	const char *sha256 = json_string_value(json_object_get(e, "sha256"));
	const json_int_t size = json_integer_value(json_object_get(e, "size"));
	struct ckpt_file *f = &v->files[v->nfiles];

	if (name == NULL || !rk_name_ok(name) || strlen(name) >=
	    sizeof(f->name) || sha256 == NULL || strlen(sha256) !=
	    RK_SHA256_HEX - 1 || size < 0)
		return false;
	snprintf(f->name, sizeof(f->name), "%s", name);
	snprintf(f->sha256, sizeof(f->sha256), "%s", sha256);
	f->size = (uint64_t)size;
	v->nfiles++;
	return true;
}

/* Which of the files is the model. */
static enum rk_err
find_model(struct ship_version *v, const json_t *record, struct rk_why *why)
{
	const char *form = json_string_value(json_object_get(record,
	    "model_format"));
	const bool shards = form != NULL && strcmp(form,
	    "safetensors-shards") == 0;
	bool ours = false;

	for (size_t i = 0; i < v->nfiles; i++) {
		const struct ckpt_file *f = &v->files[i];
		ours = ours || strcmp(f->name, RECORD) == 0;
		if (!shards && strcmp(f->sha256, v->digest) == 0)
			snprintf(v->model, sizeof(v->model), "%s", f->name);
	}
	if (v->model[0] != '\0' || (shards && ours))
		return RK_OK;
	return rk_refuse(why, shards ? "is in shards that are no checkpoint's" :
	    "has no file with the digest of its model");
}

static enum rk_err
take(const json_t *record, struct ship_version *v, struct rk_why *why)
{
	const json_t *files = json_object_get(record, "files");
	const char *digest = json_string_value(json_object_get(record,
	    "digest"));

	v->files = xcalloc(json_array_size(files) + 1, sizeof(*v->files));
	snprintf(v->digest, sizeof(v->digest), "%s", digest != NULL ? digest :
	    "");
	for (size_t i = 0; i < json_array_size(files); i++)
		(void)add_file(v, json_array_get(files, i));
	return find_model(v, record, why);
}

static bool
is_number(const char *which)
{
	return strspn(which, "0123456789") == strlen(which);
}

static void
told(void *ctx, enum rk_err rc, const json_t *said, const struct rk_why *why)
{
	struct mlog *g = ctx;

	(void)rc;
	(void)said;
	(void)why;
	must_be(g, MLOG_TAG);
	g->for_ship = false;
	ship_registry_told(g->m->ship);
}

/* The copy does not know of it: does the store?  RK_EBUSY: it is asked. */
static enum rk_err
ask(struct models *m, const char *name, const char *text, struct rk_why *why)
{
	struct mlog *g = mlog_of(m, name);

	if (!g->for_ship && log_fresh(g, ASKED_MS))
		return RK_ENOENT;
	if (!g->for_ship) {
		g->for_ship = true;
		models_look(m, name, ASKED_MS, told, g);
	}
	rk_why_fini(why);
	rk_refuse(why, "asks the registry of models for %s", text);
	return RK_EBUSY;
}

static enum rk_err
version_of(void *ctx, const char *name, const char *which,
    struct ship_version *out, struct rk_why *why)
{
	struct models *m = ctx;
	struct models_which w;
	json_t *record = NULL;
	char *text = xasprintf("%s%c%s", name, is_number(which) ? '/' : '@',
	    which);

	must_be(m, MODELS_TAG);
	*out = (struct ship_version){ 0 };
	enum rk_err rc = models_which(m, text, &w, why);
	if (rc == RK_ENOENT)
		rc = ask(m, name, text, why);
	if (rc == RK_OK)
		rc = models_version(m, w.name, w.version, &record, why);
	if (rc == RK_OK)
		rc = take(record, out, why);
	if (rc == RK_OK)
		out->folder = models_folder(m, w.name, json_string_value(
		    json_object_get(record, "id")));
	if (rc != RK_OK) {
		free(out->files);
		*out = (struct ship_version){ 0 };
	}
	json_decref(record);
	free(text);
	return rc;
}

/* --- a shard of any version ----------------------------------------------- */

struct search {
	struct models *m;
	const struct ckpt_file *want;
	char *uri;
	char sha256[RK_SHA256_HEX];
};

static bool
try_version(void *ctx, const struct version_row *r, double key)
{
	struct search *s = ctx;
	struct version_row whole;
	json_t *record = NULL, *files, *e;
	size_t i;

	(void)key;
	if (store_version_get(s->m->store, r->model, r->version, &whole) !=
	    RK_OK)
		return true;
	if (strstr(whole.record, s->want->name) != NULL &&
	    rkj_parse_json(whole.record, strlen(whole.record), &record,
	    NULL) != RK_OK)
		record = NULL;
	files = json_object_get(record, "files");
	json_array_foreach(files, i, e) {
		struct ckpt_file f = { 0 };
		struct ship_version one = { .files = &f };
		if (s->uri != NULL || !add_file(&one, e) ||
		    strcmp(f.name, s->want->name) != 0 ||
		    f.size != s->want->size)
			continue;
		char *folder = models_folder(s->m, r->model, whole.id);
		s->uri = xasprintf("%s%s", folder, f.name);
		memcpy(s->sha256, f.sha256, sizeof(s->sha256));
		free(folder);
	}
	json_decref(record);
	store_version_fini(&whole);
	return s->uri == NULL;
}

static bool
shard(void *ctx, const struct ckpt_file *f, char **uri,
    char sha256[RK_SHA256_HEX])
{
	const struct store_versions_filter all = { 0 };
	struct search s = { .m = ctx, .want = f };

	if (store_versions(s.m->store, &all, INT32_MAX, try_version, &s) !=
	    RK_OK)
		log_warn("models: versions cannot be looked through for %s",
		    f->name);
	if (s.uri == NULL)
		return false;
	*uri = s.uri;
	memcpy(sha256, s.sha256, sizeof(s.sha256));
	return true;
}

/* --- what was missed ------------------------------------------------------ */

static void
keep_missing(struct models *m)
{
	char *text = rkj_text(m->missing);

	if (store_fact_put(m->store, FACT_MISSING, text) != RK_OK)
		log_warn("models: it is not kept which files are missing");
	free(text);
}

static void
seen(void *ctx, const char *name, const char *which, const char *file,
    const char *fault)
{
	struct models *m = ctx;
	int64_t version = 0;
	struct rk_why why = { 0 };

	must_be(m, MODELS_TAG);
	if (is_number(which))
		version = strtoll(which, NULL, 10);
	else if (models_alias(m, name, which, &version, &why) != RK_OK)
		version = 0;
	rk_why_fini(&why);
	char *key = xasprintf("%s/%lld", name, (long long)version);
	json_t *of = json_object_get(m->missing, key);
	if (version == 0 || (fault == NULL &&
	    json_object_get(of, file) == NULL)) {
		;
	} else if (fault == NULL) {
		json_object_del(of, file);
		if (json_object_size(of) == 0)
			json_object_del(m->missing, key);
		log_info("models: %s of %s is there again", file, key);
		keep_missing(m);
	} else if (of != NULL || json_object_size(m->missing) < MISSING_MAX) {
		if (of == NULL)
			json_object_set_new(m->missing, key, json_object());
		of = json_object_get(m->missing, key);
		if (json_object_get(of, file) == NULL)
			log_error("models: %s of %s: %s", file, key, fault);
		json_object_set_new(of, file, json_string(fault));
		keep_missing(m);
	}
	free(key);
}

json_t *
models_missing(struct models *m, const char *name, int64_t version)
{
	char *key = xasprintf("%s/%lld", name, (long long)version);
	json_t *of = json_object_get(m->missing, key);

	free(key);
	return of != NULL ? json_deep_copy(of) : json_null();
}

/* --- opening and closing -------------------------------------------------- */

void
for_ship_open(struct models *m)
{
	const struct ship_registry g = { .ctx = m, .version = version_of,
		.shard = shard, .seen = seen };
	char *text = NULL;

	if (store_fact_get(m->store, FACT_MISSING, &text) == RK_OK &&
	    rkj_parse_json(text, strlen(text), &m->missing, NULL) == RK_OK &&
	    !json_is_object(m->missing)) {
		json_decref(m->missing);
		m->missing = NULL;
	}
	free(text);
	if (m->missing == NULL)
		m->missing = json_object();
	if (m->ship != NULL)
		ship_registry_set(m->ship, &g);
}

void
for_ship_fini(struct models *m)
{
	const struct ship_registry none = { 0 };

	json_decref(m->missing);
	if (m->ship != NULL)
		ship_registry_set(m->ship, &none);
}
