/* The copy of the registry: models, the entries of their logs, aliases. */
#include <stdlib.h>
#include <string.h>

#include "db.h"
#include "rekindle/store_models.h"

/* --- models --------------------------------------------------------------- */

void
store_model_fini(struct model_row *r)
{
	free(r->name);
	free(r->fault);
	memset(r, 0, sizeof(*r));
}

enum rk_err
store_model_put(struct store *s, const struct model_row *r)
{
	sqlite3_stmt *st = db_st(s, ST_MODEL_PUT);

	db_text(st, 1, r->name);
	sqlite3_bind_int64(st, 2, r->seq);
	sqlite3_bind_int64(st, 3, r->top);
	sqlite3_bind_int64(st, 4, r->live);
	sqlite3_bind_int64(st, 5, r->bad);
	sqlite3_bind_int64(st, 6, r->created_ms);
	sqlite3_bind_int64(st, 7, r->updated_ms);
	sqlite3_bind_int64(st, 8, r->looked_ms);
	db_text(st, 9, r->fault);
	return db_write(s, ST_MODEL_PUT, "write a model");
}

static void
model_read(sqlite3_stmt *st, struct model_row *r)
{
	memset(r, 0, sizeof(*r));
	r->name = db_lend(st, 0);
	r->seq = sqlite3_column_int64(st, 1);
	r->top = sqlite3_column_int64(st, 2);
	r->live = sqlite3_column_int64(st, 3);
	r->bad = sqlite3_column_int64(st, 4);
	r->created_ms = sqlite3_column_int64(st, 5);
	r->updated_ms = sqlite3_column_int64(st, 6);
	r->looked_ms = sqlite3_column_int64(st, 7);
	r->fault = db_lend(st, 8);
}

enum rk_err
store_model_get(struct store *s, const char *name, struct model_row *out)
{
	sqlite3_stmt *st = db_st(s, ST_MODEL_GET);

	memset(out, 0, sizeof(*out));
	db_text(st, 1, name);
	enum rk_err rc = db_one(s, st, "read a model");
	if (rc == RK_OK) {
		model_read(st, out);
		out->name = xstrdup(out->name);
		out->fault = xstrdup(out->fault);
	}
	sqlite3_reset(st);
	return rc;
}

enum rk_err
store_models(struct store *s, const char *after, int limit, store_model_fn *fn,
    void *ctx)
{
	sqlite3_stmt *st = db_st(s, ST_MODELS);
	struct model_row r;
	int got;

	db_text(st, 1, after);
	sqlite3_bind_int64(st, 2, limit);
	while ((got = sqlite3_step(st)) == SQLITE_ROW) {
		model_read(st, &r);
		if (!fn(ctx, &r))
			break;
	}
	enum rk_err rc = db_err(s, got, "list models");
	sqlite3_reset(st);
	return rc;
}

enum rk_err
store_model_drop(struct store *s, const char *name)
{
	static const enum st parts[] = { ST_ENTRIES_DROP, ST_VERSIONS_DROP,
	    ST_ALIASES_DROP, ST_MODEL_DROP };
	enum rk_err rc = db_begin(s);

	if (rc != RK_OK)
		return rc;
	for (size_t i = 0; rc == RK_OK && i < RK_ARRAY_LEN(parts); i++) {
		db_text(db_st(s, parts[i]), 1, name);
		rc = db_do(s, parts[i], "drop a model");
	}
	return db_end(s, rc);
}

/* --- entries -------------------------------------------------------------- */

void
store_entry_fini(struct model_entry_row *r)
{
	free(r->model);
	free(r->id);
	free(r->event);
	free(r->alias);
	free(r->fault);
	free(r->entry);
	memset(r, 0, sizeof(*r));
}

enum rk_err
store_entry_put(struct store *s, const struct model_entry_row *r)
{
	sqlite3_stmt *st = db_st(s, ST_ENTRY_PUT);

	db_text(st, 1, r->model);
	sqlite3_bind_int64(st, 2, r->seq);
	db_text(st, 3, r->id);
	db_text(st, 4, r->event);
	sqlite3_bind_int64(st, 5, r->version);
	db_text(st, 6, r->alias);
	sqlite3_bind_int64(st, 7, r->at_ms);
	db_text(st, 8, r->fault);
	db_text(st, 9, r->entry);
	return db_write(s, ST_ENTRY_PUT, "write an entry of a model");
}

static void
entry_read(sqlite3_stmt *st, struct model_entry_row *r)
{
	memset(r, 0, sizeof(*r));
	r->model = db_lend(st, 0);
	r->seq = sqlite3_column_int64(st, 1);
	r->id = db_lend(st, 2);
	r->event = db_lend(st, 3);
	r->version = sqlite3_column_int64(st, 4);
	r->alias = db_lend(st, 5);
	r->at_ms = sqlite3_column_int64(st, 6);
	r->fault = db_lend(st, 7);
	r->entry = db_lend(st, 8);
}

/* One row of a statement that is bound already; its strings are the caller's. */
static enum rk_err
entry_one(struct store *s, sqlite3_stmt *st, struct model_entry_row *out)
{
	enum rk_err rc = db_one(s, st, "read an entry of a model");

	memset(out, 0, sizeof(*out));
	if (rc == RK_OK) {
		entry_read(st, out);
		out->model = xstrdup(out->model);
		out->id = xstrdup(out->id);
		out->event = xstrdup(out->event);
		out->alias = xstrdup(out->alias);
		out->fault = xstrdup(out->fault);
		out->entry = xstrdup(out->entry);
	}
	sqlite3_reset(st);
	return rc;
}

enum rk_err
store_entry_get(struct store *s, const char *model, int64_t seq,
    struct model_entry_row *out)
{
	sqlite3_stmt *st = db_st(s, ST_ENTRY_GET);

	db_text(st, 1, model);
	sqlite3_bind_int64(st, 2, seq);
	return entry_one(s, st, out);
}

enum rk_err
store_entry_by_id(struct store *s, const char *model, const char *id,
    struct model_entry_row *out)
{
	sqlite3_stmt *st = db_st(s, ST_ENTRY_ID);

	db_text(st, 1, model);
	db_text(st, 2, id);
	return entry_one(s, st, out);
}

enum rk_err
store_entries(struct store *s, const char *model,
    const struct store_entry_filter *f, int64_t before, int limit,
    store_entry_fn *fn, void *ctx)
{
	const bool alias = f != NULL && f->alias != NULL;
	const bool version = f != NULL && f->version > 0;
	sqlite3_stmt *st = db_st(s, alias ? ST_ENTRIES_ALIAS : version ?
	    ST_ENTRIES_VERSION : ST_ENTRIES);
	struct model_entry_row r;
	int got;

	must(!version || (!alias && f->event != NULL));
	db_text(st, 1, model);
	sqlite3_bind_int64(st, 2, before > 0 ? before : INT64_MAX);
	sqlite3_bind_int64(st, 3, limit);
	if (alias) {
		db_text(st, 4, f->alias);
	} else if (version) {
		sqlite3_bind_int64(st, 4, f->version);
		db_text(st, 5, f->event);
	}
	while ((got = sqlite3_step(st)) == SQLITE_ROW) {
		entry_read(st, &r);
		if (!fn(ctx, &r))
			break;
	}
	enum rk_err rc = db_err(s, got, "list entries of a model");
	sqlite3_reset(st);
	return rc;
}

/* --- aliases -------------------------------------------------------------- */

void
store_alias_fini(struct alias_row *r)
{
	free(r->model);
	free(r->alias);
	free(r->before);
	free(r->author);
	memset(r, 0, sizeof(*r));
}

enum rk_err
store_alias_put(struct store *s, const struct alias_row *r)
{
	sqlite3_stmt *st = db_st(s, ST_ALIAS_PUT);

	db_text(st, 1, r->model);
	db_text(st, 2, r->alias);
	sqlite3_bind_int64(st, 3, r->version);
	db_text(st, 4, r->before);
	sqlite3_bind_int64(st, 5, r->moved_ms);
	db_text(st, 6, r->author);
	return db_write(s, ST_ALIAS_PUT, "write an alias");
}

static void
alias_read(sqlite3_stmt *st, struct alias_row *r)
{
	memset(r, 0, sizeof(*r));
	r->model = db_lend(st, 0);
	r->alias = db_lend(st, 1);
	r->version = sqlite3_column_int64(st, 2);
	r->before = db_lend(st, 3);
	r->moved_ms = sqlite3_column_int64(st, 4);
	r->author = db_lend(st, 5);
}

enum rk_err
store_alias_get(struct store *s, const char *model, const char *alias,
    struct alias_row *out)
{
	sqlite3_stmt *st = db_st(s, ST_ALIAS_GET);

	memset(out, 0, sizeof(*out));
	db_text(st, 1, model);
	db_text(st, 2, alias);
	enum rk_err rc = db_one(s, st, "read an alias");
	if (rc == RK_OK) {
		alias_read(st, out);
		out->model = xstrdup(out->model);
		out->alias = xstrdup(out->alias);
		out->before = xstrdup(out->before);
		out->author = xstrdup(out->author);
	}
	sqlite3_reset(st);
	return rc;
}

enum rk_err
store_aliases(struct store *s, const char *model, int64_t version,
    store_alias_fn *fn, void *ctx)
{
	sqlite3_stmt *st = db_st(s, ST_ALIASES);
	struct alias_row r;
	int got;

	db_text(st, 1, model);
	sqlite3_bind_int64(st, 2, version);
	while ((got = sqlite3_step(st)) == SQLITE_ROW) {
		alias_read(st, &r);
		if (!fn(ctx, &r))
			break;
	}
	enum rk_err rc = db_err(s, got, "list aliases");
	sqlite3_reset(st);
	return rc;
}
