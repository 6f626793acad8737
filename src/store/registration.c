/* Registrations: work of this machine on the registry. */
#include <stdlib.h>
#include <string.h>

#include "db.h"
#include "rekindle/store_models.h"

void
store_registration_fini(struct registration_row *r)
{
	free(r->model);
	free(r->job);
	free(r->state);
	free(r->request);
	free(r->progress);
	free(r->error);
	free(r->idem_key);
	free(r->idem_digest);
	memset(r, 0, sizeof(*r));
}

enum rk_err
store_registration_put(struct store *s, const struct registration_row *r)
{
	sqlite3_stmt *st = db_st(s, ST_REG_PUT);

	db_text(st, 1, r->id);
	db_text(st, 2, r->model);
	db_text(st, 3, r->job);
	db_text(st, 4, r->state);
	db_text(st, 5, r->request);
	db_text(st, 6, r->progress);
	sqlite3_bind_int64(st, 7, r->version);
	db_text(st, 8, r->error);
	db_text(st, 9, r->idem_key);
	db_text(st, 10, r->idem_digest);
	sqlite3_bind_int64(st, 11, r->created_ms);
	sqlite3_bind_int64(st, 12, r->updated_ms);
	return db_write(s, ST_REG_PUT, "write a registration");
}

static void
row_of(sqlite3_stmt *st, struct registration_row *r)
{
	memset(r, 0, sizeof(*r));
	snprintf(r->id, sizeof(r->id), "%s", db_col(st, 0));
	r->model = db_lend(st, 1);
	r->job = db_lend(st, 2);
	r->state = db_lend(st, 3);
	r->request = db_lend(st, 4);
	r->progress = db_lend(st, 5);
	r->version = sqlite3_column_int64(st, 6);
	r->error = db_lend(st, 7);
	r->idem_key = db_lend(st, 8);
	r->idem_digest = db_lend(st, 9);
	r->created_ms = sqlite3_column_int64(st, 10);
	r->updated_ms = sqlite3_column_int64(st, 11);
}

static enum rk_err
one(struct store *s, enum st which, const char *key,
    struct registration_row *out)
{
	sqlite3_stmt *st = db_st(s, which);

	memset(out, 0, sizeof(*out));
	db_text(st, 1, key);
	enum rk_err rc = db_one(s, st, "read a registration");
	if (rc == RK_OK) {
		row_of(st, out);
		out->model = xstrdup(out->model);
		out->job = xstrdup(out->job);
		out->state = xstrdup(out->state);
		out->request = xstrdup(out->request);
		out->progress = xstrdup(out->progress);
		out->error = xstrdup(out->error);
		out->idem_key = xstrdup(out->idem_key);
		out->idem_digest = xstrdup(out->idem_digest);
	}
	sqlite3_reset(st);
	return rc;
}

enum rk_err
store_registration_get(struct store *s, const char *id,
    struct registration_row *out)
{
	return one(s, ST_REG_GET, id, out);
}

enum rk_err
store_registration_by_key(struct store *s, const char *key,
    struct registration_row *out)
{
	return one(s, ST_REG_IDEM, key, out);
}

enum rk_err
store_registration_drop(struct store *s, const char *id)
{
	db_text(db_st(s, ST_REG_DROP), 1, id);
	return db_write(s, ST_REG_DROP, "drop a registration");
}

enum rk_err
store_registrations(struct store *s, const char *model, const char *state,
    const char *before, int limit, store_registration_fn *fn, void *ctx)
{
	sqlite3_stmt *st = db_st(s, ST_REGS);
	struct registration_row r;
	int got;

	/* '~' is above every character of an id. */
	db_text(st, 1, before != NULL ? before : "~");
	db_text(st, 2, model);
	db_text(st, 3, state);
	sqlite3_bind_int64(st, 4, limit);
	while ((got = sqlite3_step(st)) == SQLITE_ROW) {
		row_of(st, &r);
		if (!fn(ctx, &r))
			break;
	}
	enum rk_err rc = db_err(s, got, "list registrations");
	sqlite3_reset(st);
	return rc;
}
