/*
 * Entries into the copy.  What an entry changes is a function of it and of all
 * before it, the same on every machine, so that all copies of one log agree.
 * An entry that cannot be, as things stand before it (edited by hand, of a
 * newer rekindled), counts for its number and for nothing else.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define BEFORE_MAX 1000                 /* places an alias remembers */

/* --- news ----------------------------------------------------------------- */

static void
news(struct mlog *g, const struct entry *e, const char *kind, const char *text)
{
	struct mnews *n;

	if (g->first)                   /* what was long ago is no event */
		return;
	n = xcalloc(1, sizeof(*n));
	n->kind = kind;
	n->text = e->by != NULL && e->by[0] != '\0' ? xasprintf("%s, by %s",
	    text, e->by) : xstrdup(text);
	n->data = json_pack("{s:s, s:I, s:I, s:s?, s:s?}", "model", g->name,
	    "seq", (json_int_t)e->seq, "version", (json_int_t)e->version,
	    "alias", e->alias, "by", e->by);
	*g->last_news = n;
	g->last_news = &n->next;
}

static void
news_take(struct mlog *g, bool tell)
{
	struct mnews *n = g->news;

	g->news = NULL;
	g->last_news = &g->news;
	while (n != NULL) {
		struct mnews *next = n->next;
		if (tell) {
			log_info("models: %s", n->text);
			if (g->m->sup != NULL)
				sup_event(g->m->sup, "", n->kind, n->text,
				    n->data);
		}
		json_decref(n->data);
		free(n->text);
		free(n);
		n = next;
	}
}

void
news_tell(struct mlog *g)
{
	if (g->removes)
		remove_kick(g->m);
	g->removes = false;
	news_take(g, true);
}

void
news_drop(struct mlog *g)
{
	news_take(g, false);
}

/* --- versions ------------------------------------------------------------- */

struct found {
	int64_t version;
};

static bool
find_one(void *ctx, const struct version_row *r, double key)
{
	struct found *f = ctx;

	(void)key;
	f->version = r->version;
	return false;
}

/* Is there another version with these files?  Removing one would take the
 * other's. */
static enum rk_err
folder_is_free(struct mlog *g, const struct entry *e, struct rk_why *why)
{
	const struct store_versions_filter f = { .model = g->name,
	    .id = e->folder, .deleted = true };
	struct found found = { 0 };
	enum rk_err rc = store_versions(g->m->store, &f, 1, find_one, &found);

	if (rc == RK_OK && found.version != 0)
		return rk_refuse(why, "its folder %s is that of version %lld",
		    e->folder, (long long)found.version);
	return rc;
}

/* What lists show: the record without what is long. */
static char *
head_of(const json_t *record)
{
	static const char *const left_out[] = { "spec", "lineage", "per_class",
	    "files", "input" };
	json_t *head = json_copy((json_t *)(uintptr_t)record);
	const json_t *classes = json_object_get(head, "classes");

	for (size_t i = 0; i < RK_ARRAY_LEN(left_out); i++)
		json_object_del(head, left_out[i]);
	json_object_set_new(head, "classes", json_is_array(classes) ?
	    json_integer((json_int_t)json_array_size(classes)) : json_null());
	char *text = rkj_text(head);
	json_decref(head);
	return text;
}

/* r's texts from the record, which is as it is now. */
static void
set_texts(struct version_row *r, const json_t *record)
{
	const json_t *labels = json_object_get(record, "labels");

	free(r->labels);
	free(r->head);
	free(r->record);
	r->labels = json_is_object(labels) ? rkj_text(labels) : xstrdup("{}");
	r->head = head_of(record);
	r->record = rkj_text(record);
}

static const char *
text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

/* Numbers that were passed over (below) may be those of versions all the same:
 * whoever entered them had read what was spoilt later. */
static enum rk_err
number_is_free(struct mlog *g, const struct entry *e, struct rk_why *why)
{
	const struct store_versions_filter f = { .model = g->name,
	    .deleted = true };
	struct found newest = { 0 };
	enum rk_err rc = store_versions(g->m->store, &f, 1, find_one, &newest);

	if (rc == RK_OK && e->version <= newest.version)
		return rk_refuse(why, "is version %lld, and the newest before "
		    "it is %lld", (long long)e->version,
		    (long long)newest.version);
	return rc;
}

static enum rk_err
fold_version(struct mlog *g, struct model_row *row, const struct entry *e,
    struct rk_why *why)
{
	struct version_row r = { .version = e->version, .bytes = e->bytes,
	    .created_ms = e->created_ms };
	enum rk_err rc = number_is_free(g, e, why);

	if (rc == RK_OK)
		rc = folder_is_free(g, e, why);
	if (rc != RK_OK)
		return rc;
	r.model = xstrdup(g->name);
	r.id = xstrdup(e->folder);
	r.author = xstrdup(text_of(e->record, "author"));
	r.job = xstrdup(e->job != NULL ? e->job : "");
	r.digest = xstrdup(e->digest);
	r.metrics = rkj_text(e->numbers);
	set_texts(&r, e->record);
	rc = store_version_put(g->m->store, &r);
	store_version_fini(&r);
	if (rc != RK_OK)
		return rc;
	row->top = RK_MAX(row->top, e->version);
	row->live++;
	char *text = xasprintf("%s/%lld was registered", g->name,
	    (long long)e->version);
	news(g, e, "model_version", text);
	free(text);
	return RK_OK;
}

static enum rk_err
there(struct mlog *g, int64_t version, struct version_row *r,
    struct rk_why *why)
{
	enum rk_err rc = store_version_get(g->m->store, g->name, version, r);

	if (rc == RK_ENOENT)
		return rk_refuse(why, "there is no version %lld",
		    (long long)version);
	if (rc == RK_OK && r->deleted_ms != 0) {
		store_version_fini(r);
		return rk_refuse(why, "version %lld was deleted before",
		    (long long)version);
	}
	return rc;
}

static bool
find_alias(void *ctx, const struct alias_row *r)
{
	snprintf(ctx, 65, "%s", r->alias);
	return false;
}

static enum rk_err
fold_deleted(struct mlog *g, struct model_row *row, const struct entry *e,
    struct rk_why *why)
{
	struct version_row r;
	const bool ours = strcmp(e->instance != NULL ? e->instance : "",
	    g->m->instance) == 0;
	char alias[65] = "";
	enum rk_err rc = there(g, e->version, &r, why);

	if (rc != RK_OK)
		return rc;
	rc = store_aliases(g->m->store, g->name, e->version, find_alias,
	    alias);
	if (rc == RK_OK && alias[0] != '\0')
		rc = rk_refuse(why, "the alias %s is at version %lld", alias,
		    (long long)e->version);
	/* Whoever deletes removes the files, or goes on in its name. */
	r.deleted_ms = e->at_ms;
	r.removing = ours;
	if (rc == RK_OK)
		rc = store_version_put(g->m->store, &r);
	store_version_fini(&r);
	if (rc == RK_OK) {
		row->live--;
		g->removes = g->removes || ours;
		char *text = xasprintf("%s/%lld was deleted", g->name,
		    (long long)e->version);
		news(g, e, "model_deleted", text);
		free(text);
	}
	return rc;
}

static enum rk_err
fold_changed(struct mlog *g, const struct entry *e, struct rk_why *why)
{
	struct version_row r;
	json_t *record = NULL;
	enum rk_err rc = there(g, e->version, &r, why);

	if (rc != RK_OK)
		return rc;
	rc = rkj_parse_json(r.record, strlen(r.record), &record, NULL);
	must(rc == RK_OK);
	if (e->note != NULL)
		json_object_set_new(record, "notes", json_string(e->note));
	if (e->labels != NULL) {
		json_t *patch = json_pack("{s:O}", "labels", e->labels);
		rkj_merge(record, patch);
		json_decref(patch);
	}
	set_texts(&r, record);
	json_decref(record);
	rc = store_version_put(g->m->store, &r);
	store_version_fini(&r);
	return rc;
}

/* An evaluation is found by its entry. */
static enum rk_err
fold_evaluated(struct mlog *g, const struct entry *e, struct rk_why *why)
{
	struct version_row r;
	enum rk_err rc = there(g, e->version, &r, why);

	if (rc == RK_OK)
		store_version_fini(&r);
	return rc;
}

/* --- aliases -------------------------------------------------------------- */

json_t *
alias_before(const struct alias_row *a)
{
	json_t *list = NULL;

	if (a->before == NULL || rkj_parse_json(a->before, strlen(a->before),
	    &list, NULL) != RK_OK || !json_is_array(list)) {
		json_decref(list);
		list = json_array();
	}
	return list;
}

/*
 * A move puts where the alias was on top of what it remembers; a rollback takes
 * off all above the place that it goes to, and that too.  Taken away, the alias
 * remembers where it was.
 */
void
alias_remember(json_t *before, enum entry_how how, int64_t was, int64_t to)
{
	size_t n = json_array_size(before);

	if (how == HOW_ROLLBACK) {
		bool found = false;
		while (!found && n > 0) {
			found = json_integer_value(json_array_get(before,
			    --n)) == to;
			json_array_remove(before, n);
		}
		return;
	}
	if (was == 0 || was == to)
		return;
	if (n >= BEFORE_MAX)
		json_array_remove(before, 0);
	json_array_append_new(before, json_integer(was));
}

static enum rk_err
put_alias(struct mlog *g, const struct entry *e, const struct alias_row *was)
{
	json_t *before = alias_before(was);

	alias_remember(before, e->how, was->version, e->version);
	char *text = rkj_text(before);
	const struct alias_row r = { .model = g->name, .alias = e->alias,
	    .version = e->version, .before = text, .moved_ms = e->at_ms,
	    .author = e->by };
	enum rk_err rc = store_alias_put(g->m->store, &r);
	json_decref(before);
	free(text);
	return rc;
}

static enum rk_err
fold_alias(struct mlog *g, const struct entry *e, struct rk_why *why)
{
	struct version_row v = { 0 };
	struct alias_row was = { 0 };
	enum rk_err rc = e->version != 0 ? there(g, e->version, &v, why) :
	    RK_OK;

	store_version_fini(&v);
	if (rc != RK_OK)
		return rc;
	rc = store_alias_get(g->m->store, g->name, e->alias, &was);
	if (rc == RK_ENOENT)
		rc = RK_OK;
	if (rc == RK_OK && e->version == 0 && was.version == 0)
		rc = rk_refuse(why, "there is no alias %s to take away",
		    e->alias);
	if (rc == RK_OK)
		rc = put_alias(g, e, &was);
	if (rc == RK_OK) {
		char *text = e->version == 0 ? xasprintf("%s@%s was taken away "
		    "from version %lld", g->name, e->alias,
		    (long long)was.version) : xasprintf("%s@%s is %s at "
		    "version %lld", g->name, e->alias, e->how == HOW_ROLLBACK ?
		    "back" : "now", (long long)e->version);
		news(g, e, "model_alias", text);
		free(text);
	}
	store_alias_fini(&was);
	return rc;
}

/* --- an entry ------------------------------------------------------------- */

static enum rk_err
fold_event(struct mlog *g, struct model_row *row, const struct entry *e,
    struct rk_why *why)
{
	switch (e->event) {
	case E_VERSION:
		return fold_version(g, row, e, why);
	case E_ALIAS:
		return fold_alias(g, e, why);
	case E_DELETED:
		return fold_deleted(g, row, e, why);
	case E_CHANGED:
		return fold_changed(g, e, why);
	case E_EVALUATED:
		return fold_evaluated(g, e, why);
	case E_EVENTS:
		break;
	}
	must(false);
}

/*
 * One that cannot be read may have been a version that others have read before
 * it was edited: its number is passed over, so that no number is used twice.
 */
static void
pass_over(struct model_row *row)
{
	row->bad++;
	row->top = RK_MIN(row->top + 1, (int64_t)VERSION_MAX);
}

static enum rk_err
keep(struct mlog *g, struct model_row *row, const struct entry *e,
    const char *text, const char *fault)
{
	const struct model_entry_row r = { .model = g->name, .seq = row->seq,
	    .id = e->id, .event = e->tree == NULL ? NULL :
	    (char *)(uintptr_t)entry_event_words[e->event],
	    .version = e->version, .alias = e->alias, .at_ms = e->at_ms,
	    .fault = (char *)(uintptr_t)fault,
	    .entry = (char *)(uintptr_t)text };
	enum rk_err rc = store_entry_put(g->m->store, &r);

	if (e->at_ms != 0) {
		row->created_ms = row->created_ms != 0 ? row->created_ms :
		    e->at_ms;
		row->updated_ms = e->at_ms;
	}
	return rc == RK_OK ? store_model_put(g->m->store, row) : rc;
}

enum rk_err
fold(struct mlog *g, int64_t seq, const char *text, size_t len)
{
	struct rk_why why = { 0 };
	struct model_row row;
	struct entry e = { 0 };
	enum rk_err rc = store_model_get(g->m->store, g->name, &row);

	if (rc == RK_ENOENT) {
		row.name = xstrdup(g->name);
		row.fault = xstrdup("");
	} else if (rc != RK_OK) {
		return rc;
	}
	row.seq = seq;
	row.looked_ms = g->began_ms;
	rc = text == NULL ? rk_refuse(&why, "is longer than %u bytes",
	    ENTRY_MAX) : strlen(text) != len ? rk_refuse(&why, "has a NUL in "
	    "it") : entry_parse(&e, text, len, g->name, seq, &why);
	if (rc == RK_EINVAL)
		pass_over(&row);
	else if ((rc = fold_event(g, &row, &e, &why)) == RK_EINVAL)
		row.bad++;
	if (rc == RK_EINVAL) {
		log_warn("models: entry %lld of the log of %s counts for "
		    "nothing: %s", (long long)seq, g->name,
		    rk_why_first(&why));
		rc = RK_OK;
	}
	if (rc == RK_OK)
		rc = keep(g, &row, &e, text, why.n > 0 ? rk_why_first(&why) :
		    "");
	rk_why_fini(&why);
	entry_fini(&e);
	store_model_fini(&row);
	return rc;
}
