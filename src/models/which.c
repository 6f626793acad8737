/* Which version is meant, and its record as it is now. */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define SCHEME "model://"

/* --- names ---------------------------------------------------------------- */

static enum rk_err
number_of(const char *text, int64_t *out, struct rk_why *why)
{
	if (text[0] == '\0' || text[0] == '0' || strlen(text) > 9 ||
	    strspn(text, "0123456789") != strlen(text))
		return rk_refuse(why, "has \"%.*s\" for the number of a "
		    "version, want 1 to %d", (int)rk_text_fit(text, 80), text,
		    VERSION_MAX);
	*out = strtoll(text, NULL, 10);
	return RK_OK;
}

static enum rk_err
no_model(const char *name, struct rk_why *why)
{
	(void)rk_refuse(why, "there is no model %s", name);
	return RK_ENOENT;
}

struct names {
	struct strbuf b;
	int n;
};

static bool
add_alias(void *ctx, const struct alias_row *r)
{
	struct names *l = ctx;

	if (r->version != 0 && l->n++ < 20)
		sb_addf(&l->b, "%s%s (version %lld)", l->n > 1 ? ", " : "",
		    r->alias, (long long)r->version);
	return true;
}

static enum rk_err
no_alias(struct models *m, const char *name, const char *alias,
    struct rk_why *why)
{
	struct names l = { 0 };
	enum rk_err rc = store_aliases(m->store, name, -1, add_alias, &l);

	if (rc == RK_OK) {
		(void)rk_refuse(why, "model %s has no alias %s; it has %s%s",
		    name, alias, l.n > 0 ? sb_str(&l.b) : "none",
		    l.n > 20 ? ", ..." : "");
		rc = RK_ENOENT;
	}
	sb_fini(&l.b);
	return rc;
}

static bool
take_first(void *ctx, const struct version_row *r, double key)
{
	(void)key;
	*(int64_t *)ctx = r->version;
	return false;
}

static enum rk_err
newest(struct models *m, const char *name, int64_t *out, struct rk_why *why)
{
	const struct store_versions_filter f = { .model = name };
	enum rk_err rc = store_versions(m->store, &f, 1, take_first, out);

	if (rc == RK_OK && *out == 0) {
		(void)rk_refuse(why, "model %s has no version", name);
		rc = RK_ENOENT;
	}
	return rc;
}

enum rk_err
models_alias(struct models *m, const char *name, const char *alias,
    int64_t *version, struct rk_why *why)
{
	struct alias_row a;
	enum rk_err rc = models_alias_ok(alias, why);

	if (rc != RK_OK)
		return rc;
	rc = store_alias_get(m->store, name, alias, &a);
	if (rc == RK_OK && a.version == 0)
		rc = RK_ENOENT;
	*version = rc == RK_OK ? a.version : 0;
	store_alias_fini(&a);
	return rc == RK_ENOENT ? no_alias(m, name, alias, why) : rc;
}

/* The row of a version that must be there; *out is then the caller's. */
static enum rk_err
get(struct models *m, const char *name, int64_t version,
    struct version_row *out, struct rk_why *why)
{
	enum rk_err rc = store_version_get(m->store, name, version, out);
	int64_t top = 0;

	if (rc != RK_ENOENT)
		return rc;
	rc = newest(m, name, &top, why);
	if (rc == RK_OK) {
		(void)rk_refuse(why, "model %s has no version %lld; its newest "
		    "is %lld", name, (long long)version, (long long)top);
		rc = RK_ENOENT;
	}
	return rc;
}

enum rk_err
models_has(struct models *m, const char *name, int64_t version,
    struct rk_why *why)
{
	struct version_row r;
	enum rk_err rc = get(m, name, version, &r, why);

	if (rc == RK_OK)
		store_version_fini(&r);
	return rc;
}

enum rk_err
models_there(struct models *m, const char *name, int64_t version,
    struct rk_why *why)
{
	struct version_row r;
	char at[RK_TIME];
	enum rk_err rc = get(m, name, version, &r, why);

	if (rc == RK_OK && r.deleted_ms != 0) {
		(void)rk_refuse(why, "version %lld of model %s was deleted "
		    "(%s); its record is kept, its files are not",
		    (long long)version, name, rk_time_text(at, r.deleted_ms));
		rc = RK_ENOENT;
	}
	if (rc == RK_OK || r.model != NULL)
		store_version_fini(&r);
	return rc;
}

/* Of the text without scheme and #: a name, and what follows it. */
static enum rk_err
split(const char *text, char name[65], const char **rest, struct rk_why *why)
{
	const size_t n = strcspn(text, "@/");

	snprintf(name, 65, "%.*s", (int)RK_MIN(n, (size_t)64), text);
	*rest = text + n;
	if (n > 64 || !models_word(name)) {
		char *bad = xstrndup(text, n);
		const enum rk_err rc = models_name_ok(bad, why);
		free(bad);
		return rc;
	}
	return RK_OK;
}

enum rk_err
models_which(struct models *m, const char *text, struct models_which *out,
    struct rk_why *why)
{
	struct model_row row;
	struct rk_part part;
	const char *rest, *bare;
	enum rk_err rc = rk_part_parse(&part, text, why);

	must_be(m, MODELS_TAG);
	if (rc != RK_OK)
		return rc;
	memset(out, 0, sizeof(*out));
	bare = part.bare;
	if (strncmp(bare, SCHEME, strlen(SCHEME)) == 0)
		bare += strlen(SCHEME);
	rc = split(bare, out->name, &rest, why);
	if (rc == RK_OK)
		rc = store_model_get(m->store, out->name, &row);
	if (rc == RK_OK)
		store_model_fini(&row);
	else if (rc == RK_ENOENT)
		rc = no_model(out->name, why);
	if (rc == RK_OK && rest[0] == '@' && strcmp(rest, "@latest") != 0)
		rc = models_alias(m, out->name, rest + 1, &out->version, why);
	else if (rc == RK_OK && rest[0] == '/')
		rc = number_of(rest + 1, &out->version, why);
	else if (rc == RK_OK)
		rc = newest(m, out->name, &out->version, why);
	if (rc == RK_OK)
		rc = models_there(m, out->name, out->version, why);
	rk_part_fini(&part);
	return rc;
}

/* --- a record ------------------------------------------------------------- */

static bool
put_alias(void *ctx, const struct alias_row *r)
{
	json_array_append_new(ctx, json_string(r->alias));
	return true;
}

static bool
put_evaluation(void *ctx, const struct model_entry_row *r)
{
	static const char *const fields[] = { "job", "at", "by", "data",
	    "metrics" };
	json_t *e = NULL, *out;

	if (r->fault[0] != '\0' || rkj_parse_json(r->entry, strlen(r->entry),
	    &e, NULL) != RK_OK)
		return true;
	out = json_object();
	for (size_t i = 0; i < RK_ARRAY_LEN(fields); i++) {
		json_t *v = json_object_get(e, fields[i]);
		if (v != NULL)
			json_object_set(out, fields[i], v);
	}
	json_array_append_new(ctx, out);
	json_decref(e);
	return true;
}

#define EVALUATIONS 100                 /* the newest */

enum rk_err
models_version(struct models *m, const char *name, int64_t version,
    json_t **out, struct rk_why *why)
{
	const struct store_entry_filter f = { .version = version,
	    .event = "evaluated" };
	struct version_row r;
	char at[RK_TIME];
	enum rk_err rc = get(m, name, version, &r, why);

	must_be(m, MODELS_TAG);
	*out = NULL;
	if (rc != RK_OK)
		return rc;
	rc = rkj_parse_json(r.record, strlen(r.record), out, NULL);
	must(rc == RK_OK);
	json_t *aliases = json_array(), *evaluations = json_array();
	json_object_set_new(*out, "aliases", aliases);
	json_object_set_new(*out, "evaluations", evaluations);
	json_object_set_new(*out, "deleted", json_boolean(r.deleted_ms != 0));
	json_object_set_new(*out, "missing", models_missing(m, name, version));
	if (r.deleted_ms != 0)
		json_object_set_new(*out, "deleted_at",
		    json_string(rk_time_text(at, r.deleted_ms)));
	rc = store_aliases(m->store, name, version, put_alias, aliases);
	if (rc == RK_OK)
		rc = store_entries(m->store, name, &f, 0, EVALUATIONS,
		    put_evaluation, evaluations);
	store_version_fini(&r);
	if (rc != RK_OK) {
		json_decref(*out);
		*out = NULL;
	}
	return rc;
}
