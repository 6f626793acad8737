/*
 * What people do with a model: aliases are moved, rolled back and taken away,
 * versions changed and deleted.  Each is one entry, decided by all entries
 * before it (append.c).
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define CHANGE_TAG 0x6d6f6404u

/* What is asked for; it lives until it is answered, also when nobody waits any
 * more. */
struct change {
	unsigned tag;
	struct models *m;
	struct change *next;
	enum rk_err (*decide)(struct change *c, json_t *entry,
	    struct rk_why *why);
	models_fn *fn;                  /* NULL: nobody waits */
	void *ctx;
	char *name, *alias, *from, *if_better, *note;
	int64_t version;
	json_t *fields;                 /* of changed, evaluated */
};

static void
change_free(struct change *c)
{
	struct change **at = &c->m->changes;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	free(c->name);
	free(c->alias);
	free(c->from);
	free(c->if_better);
	free(c->note);
	json_decref(c->fields);
	c->tag = 0;
	free(c);
}

static void
changed(void *ctx, enum rk_err rc, const json_t *said,
    const struct rk_why *why)
{
	struct change *c = ctx;

	must_be(c, CHANGE_TAG);
	if (c->fn != NULL)
		c->fn(c->ctx, rc, said, why);
	change_free(c);
}

static enum rk_err
decided(void *ctx, json_t *entry, struct rk_why *why)
{
	struct change *c = ctx;

	must_be(c, CHANGE_TAG);
	enum rk_err rc = c->decide(c, entry, why);
	if (rc == RK_OK && c->note != NULL && json_object_size(entry) > 0)
		json_object_set_new(entry, "note", json_string(c->note));
	return rc;
}

static struct change *
change_new(struct models *m, const char *name, models_fn *fn, void *ctx)
{
	struct change *c = xcalloc(1, sizeof(*c));

	must_be(m, MODELS_TAG);
	c->tag = CHANGE_TAG;
	c->m = m;
	c->fn = fn;
	c->ctx = ctx;
	c->name = xstrdup(name);
	c->next = m->changes;
	m->changes = c;
	return c;
}

static void
change_go(struct change *c, const struct models_by *by)
{
	c->note = by->note != NULL && by->note[0] != '\0' ?
	    xstrdup(by->note) : NULL;
	models_append(c->m, c->name, by->id, by->author, decided, changed, c);
}

void
changes_forget(struct models *m, const void *ctx)
{
	for (struct change *c = m->changes; c != NULL; c = c->next)
		c->fn = c->ctx == ctx ? NULL : c->fn;
}

void
changes_fini(struct models *m)
{
	while (m->changes != NULL)
		change_free(m->changes);
}

/* --- what is there -------------------------------------------------------- */

/* The version is there and not deleted. */
static enum rk_err
want_version(struct change *c, int64_t version, struct rk_why *why)
{
	return models_there(c->m, c->name, version, why);
}

/* Where the alias is, 0 if nowhere; the row is the caller's. */
static enum rk_err
read_alias(struct change *c, struct alias_row *out)
{
	enum rk_err rc = store_alias_get(c->m->store, c->name, c->alias, out);

	return rc == RK_ENOENT ? RK_OK : rc;
}

static void
put_move(json_t *entry, const struct change *c, int64_t to, int64_t was,
    enum entry_how how)
{
	json_object_set_new(entry, "event", json_string("alias"));
	json_object_set_new(entry, "alias", json_string(c->alias));
	json_object_set_new(entry, "version", to != 0 ? json_integer(to) :
	    json_null());
	json_object_set_new(entry, "was", was != 0 ? json_integer(was) :
	    json_null());
	json_object_set_new(entry, "how", json_string(entry_how_words[how]));
}

/* --- aliases -------------------------------------------------------------- */

static enum rk_err
decide_move(struct change *c, json_t *entry, struct rk_why *why)
{
	struct alias_row was;
	json_t *better = NULL;
	int64_t to = c->version;
	enum rk_err rc = c->from != NULL ? models_alias(c->m, c->name, c->from,
	    &to, why) : RK_OK;

	if (rc == RK_OK)
		rc = want_version(c, to, why);
	if (rc != RK_OK || (rc = read_alias(c, &was)) != RK_OK)
		return rc;
	/* It is there already: nothing to be written. */
	if (was.version != to) {
		if (c->if_better != NULL && was.version != 0)
			rc = models_better(c->m, c->name, to, was.version,
			    c->if_better, &better, why);
		if (rc == RK_OK)
			put_move(entry, c, to, was.version, HOW_MOVED);
		if (better != NULL)
			json_object_set_new(entry, "better", better);
	}
	store_alias_fini(&was);
	return rc;
}

/* The newest place before, of those that are still there. */
static enum rk_err
place_before(struct change *c, const struct alias_row *was, int64_t *to)
{
	json_t *before = alias_before(was);
	enum rk_err rc = RK_OK;

	*to = 0;
	for (size_t n = json_array_size(before); n > 0 && *to == 0 &&
	    rc == RK_OK; n--) {
		const int64_t v = json_integer_value(json_array_get(before,
		    n - 1));
		if (v == was->version)
			continue;
		rc = models_there(c->m, c->name, v, NULL);
		if (rc == RK_OK)
			*to = v;
		else if (rc == RK_ENOENT)
			rc = RK_OK;
	}
	json_decref(before);
	return rc;
}

static enum rk_err
decide_rollback(struct change *c, json_t *entry, struct rk_why *why)
{
	struct alias_row was;
	int64_t to;
	enum rk_err rc = read_alias(c, &was);

	if (rc != RK_OK)
		return rc;
	if (was.alias == NULL)
		return models_alias(c->m, c->name, c->alias, &to, why);
	rc = place_before(c, &was, &to);
	if (rc == RK_OK && to == 0) {
		(void)rk_refuse(why, "%s of model %s was nowhere before%s: "
		    "there is nothing to go back to", c->alias, c->name,
		    strcmp(was.before, "[]") != 0 ? " that is still there" :
		    "");
		rc = RK_ECONFLICT;
	}
	if (rc == RK_OK)
		put_move(entry, c, to, was.version, HOW_ROLLBACK);
	store_alias_fini(&was);
	return rc;
}

static enum rk_err
decide_away(struct change *c, json_t *entry, struct rk_why *why)
{
	int64_t was;
	enum rk_err rc = models_alias(c->m, c->name, c->alias, &was, why);

	if (rc == RK_OK)
		put_move(entry, c, 0, was, HOW_REMOVED);
	return rc;
}

void
models_move(struct models *m, const char *name, const char *alias,
    const struct models_move *v, const struct models_by *by, models_fn *fn,
    void *ctx)
{
	struct change *c = change_new(m, name, fn, ctx);

	c->decide = decide_move;
	c->alias = xstrdup(alias);
	c->version = v->version;
	c->from = v->from != NULL ? xstrdup(v->from) : NULL;
	c->if_better = v->if_better != NULL ? xstrdup(v->if_better) : NULL;
	change_go(c, by);
}

void
models_rollback(struct models *m, const char *name, const char *alias,
    const struct models_by *by, models_fn *fn, void *ctx)
{
	struct change *c = change_new(m, name, fn, ctx);

	c->decide = decide_rollback;
	c->alias = xstrdup(alias);
	change_go(c, by);
}

void
models_alias_away(struct models *m, const char *name, const char *alias,
    const struct models_by *by, models_fn *fn, void *ctx)
{
	struct change *c = change_new(m, name, fn, ctx);

	c->decide = decide_away;
	c->alias = xstrdup(alias);
	change_go(c, by);
}

/* --- versions ------------------------------------------------------------- */

struct names {
	struct strbuf b;
	int n;
};

static bool
see_alias(void *ctx, const struct alias_row *r)
{
	struct names *l = ctx;

	sb_addf(&l->b, "%s%s", l->n++ > 0 ? ", " : "", r->alias);
	return l->n < 10;
}

static enum rk_err
decide_delete(struct change *c, json_t *entry, struct rk_why *why)
{
	struct names l = { 0 };
	enum rk_err rc = want_version(c, c->version, why);

	if (rc == RK_OK)
		rc = store_aliases(c->m->store, c->name, c->version, see_alias,
		    &l);
	if (rc == RK_OK && l.n > 0) {
		(void)rk_refuse(why, "version %lld of model %s is in use: %s "
		    "%s at it", (long long)c->version, c->name, sb_str(&l.b),
		    l.n > 1 ? "are" : "is");
		rc = RK_ECONFLICT;
	}
	sb_fini(&l.b);
	if (rc == RK_OK && c->m->in_use != NULL)
		rc = c->m->in_use(c->m->in_use_ctx, c->name, c->version, why);
	if (rc == RK_OK) {
		json_object_set_new(entry, "event", json_string("deleted"));
		json_object_set_new(entry, "version",
		    json_integer(c->version));
	}
	return rc;
}

/* Would it have more labels than an entry may have? */
static enum rk_err
labels_fit(struct change *c, struct rk_why *why)
{
	const json_t *more = json_object_get(c->fields, "labels");
	struct version_row r;
	json_t *labels = NULL;
	enum rk_err rc = more != NULL ? store_version_get(c->m->store, c->name,
	    c->version, &r) : RK_ENOENT;

	if (rc != RK_OK)
		return more != NULL ? rc : RK_OK;
	rc = rkj_parse_json(r.labels, strlen(r.labels), &labels, NULL);
	must(rc == RK_OK);
	rkj_merge(labels, more);
	if (json_object_size(labels) > LABELS_MAX)
		rc = rk_refuse_at(why, "labels", "makes %zu labels of version "
		    "%lld, want at most %d", json_object_size(labels),
		    (long long)c->version, LABELS_MAX);
	json_decref(labels);
	store_version_fini(&r);
	return rc;
}

/* changed and evaluated: the fields as they were said. */
static enum rk_err
decide_fields(struct change *c, json_t *entry, struct rk_why *why)
{
	enum rk_err rc = want_version(c, c->version, why);

	if (rc == RK_OK)
		rc = labels_fit(c, why);
	if (rc == RK_OK) {
		json_object_update(entry, c->fields);
		json_object_set_new(entry, "version",
		    json_integer(c->version));
	}
	return rc;
}

void
models_in_use(struct models *m, models_in_use_fn *fn, void *ctx)
{
	must_be(m, MODELS_TAG);
	m->in_use = fn;
	m->in_use_ctx = ctx;
}

void
models_delete(struct models *m, const char *name, int64_t version,
    const struct models_by *by, models_fn *fn, void *ctx)
{
	struct change *c = change_new(m, name, fn, ctx);

	c->decide = decide_delete;
	c->version = version;
	change_go(c, by);
}

static void
fields(struct models *m, const char *name, int64_t version, json_t *v,
    const struct models_by *by, models_fn *fn, void *ctx)
{
	struct change *c = change_new(m, name, fn, ctx);

	c->decide = decide_fields;
	c->version = version;
	c->fields = v;
	change_go(c, by);
}

void
models_change(struct models *m, const char *name, int64_t version,
    const char *notes, const json_t *labels, const struct models_by *by,
    models_fn *fn, void *ctx)
{
	fields(m, name, version, json_pack("{s:s, s:s*, s:O*}", "event",
	    "changed", "notes", notes, "labels", labels), by, fn, ctx);
}

void
models_evaluated(struct models *m, const char *name, int64_t version,
    const char *job, const json_t *data, const json_t *metrics,
    const struct models_by *by, models_fn *fn, void *ctx)
{
	fields(m, name, version, json_pack("{s:s, s:s, s:O, s:O}", "event",
	    "evaluated", "job", job, "data", data, "metrics", metrics), by, fn,
	    ctx);
}
