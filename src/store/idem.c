/* Idempotency keys, and what is swept when it is old. */
#include <string.h>

#include "db.h"

static enum rk_err
drop_if_old(struct store *s, const char *key)
{
	sqlite3_stmt *st = db_st(s, ST_IDEM_DROP);

	db_text(st, 1, key);
	sqlite3_bind_int64(st, 2, now_ms() - STORE_IDEM_MS);
	return db_do(s, ST_IDEM_DROP, "drop an old key");
}

enum rk_err
idem_insert(struct store *s, const char *key, const char *digest,
    const char *job)
{
	enum rk_err rc = drop_if_old(s, key);

	if (rc != RK_OK)
		return rc;
	sqlite3_stmt *st = db_st(s, ST_IDEM_INSERT);
	db_text(st, 1, key);
	db_text(st, 2, digest);
	db_text(st, 3, job);
	sqlite3_bind_int64(st, 4, now_ms());
	int got = sqlite3_step(st);
	if ((got & 0xff) == SQLITE_CONSTRAINT)
		rc = RK_EEXIST;
	else
		rc = db_err(s, got, "write an idempotency key");
	sqlite3_reset(st);
	return rc;
}

enum rk_err
idem_walk(struct store *s, const char *job, int max, idem_key_fn *fn, void *ctx)
{
	sqlite3_stmt *st = db_st(s, ST_IDEM_JOB);
	int got;

	db_text(st, 1, job);
	sqlite3_bind_int64(st, 2, now_ms() - STORE_IDEM_MS);
	sqlite3_bind_int(st, 3, max);
	while ((got = sqlite3_step(st)) == SQLITE_ROW)
		fn(ctx, db_col(st, 0), db_col(st, 1),
		    sqlite3_column_int64(st, 2));
	enum rk_err rc = db_err(s, got, "read a job's idempotency keys");
	sqlite3_reset(st);
	return rc;
}

enum rk_err
idem_take(struct store *s, const char *key, const char *digest,
    const char *job, int64_t at_ms)
{
	enum rk_err rc = drop_if_old(s, key);

	if (rc != RK_OK)
		return rc;
	sqlite3_stmt *st = db_st(s, ST_IDEM_TAKE);
	db_text(st, 1, key);
	db_text(st, 2, digest);
	db_text(st, 3, job);
	sqlite3_bind_int64(st, 4, RK_MIN(at_ms, now_ms()));
	return db_do(s, ST_IDEM_TAKE, "take an idempotency key over");
}

enum rk_err
store_idem_add(struct store *s, const char *key, const char *digest,
    const char *job)
{
	enum rk_err rc = db_begin(s);

	return rc == RK_OK ? db_end(s, idem_insert(s, key, digest, job)) : rc;
}

enum rk_err
store_idem_get(struct store *s, const char *key, struct idem_row *out)
{
	sqlite3_stmt *st = db_st(s, ST_IDEM_GET);

	memset(out, 0, sizeof(*out));
	db_text(st, 1, key);
	enum rk_err rc = db_one(s, st, "read an idempotency key");
	if (rc == RK_OK && sqlite3_column_int64(st, 4) <
	    now_ms() - STORE_IDEM_MS)
		rc = RK_ENOENT;
	if (rc == RK_OK) {
		out->digest = xstrdup(db_col(st, 0));
		out->job = xstrdup(db_col(st, 1));
		out->body = xstrdup(db_col(st, 2));
		out->status = sqlite3_column_int(st, 3);
	}
	sqlite3_reset(st);
	return rc;
}

enum rk_err
store_idem_answer(struct store *s, const char *key, int status,
    const char *body)
{
	enum rk_err rc = db_begin(s);

	if (rc != RK_OK)
		return rc;
	sqlite3_stmt *st = db_st(s, ST_IDEM_ANSWER);
	db_text(st, 1, key);
	sqlite3_bind_int(st, 2, status);
	db_text(st, 3, body);
	rc = db_do(s, ST_IDEM_ANSWER, "write an answer");
	if (rc == RK_OK && sqlite3_changes(s->db) == 0)
		rc = RK_ENOENT;
	return db_end(s, rc);
}

enum rk_err
store_sweep(struct store *s, int64_t keep_events)
{
	enum rk_err rc = db_begin(s);

	if (rc != RK_OK)
		return rc;
	sqlite3_bind_int64(db_st(s, ST_SWEEP_IDEM), 1,
	    now_ms() - STORE_IDEM_MS);
	rc = db_do(s, ST_SWEEP_IDEM, "drop old keys");
	if (rc == RK_OK) {
		sqlite3_bind_int64(db_st(s, ST_SWEEP_EVENTS), 1,
		    s->last_seq - keep_events);
		rc = db_do(s, ST_SWEEP_EVENTS, "drop old events");
	}
	return db_end(s, rc);
}
