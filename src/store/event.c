/* Events, and the attempts of a job. */
#include <stdlib.h>

#include "db.h"

enum rk_err
event_insert(struct store *s, const char *job, const struct store_note *note,
    int64_t *seq)
{
	sqlite3_stmt *st = db_st(s, ST_EVENT_INSERT);
	char *data = note->data != NULL ? rkj_text(note->data) : NULL;

	sqlite3_bind_int64(st, 1, now_ms());
	db_text(st, 2, job);
	db_text(st, 3, note->kind);
	db_text(st, 4, note->message);
	db_text(st, 5, data);
	enum rk_err rc = db_do(s, ST_EVENT_INSERT, "write an event");
	free(data);
	if (rc == RK_OK)
		*seq = sqlite3_last_insert_rowid(s->db);
	return rc;
}

enum rk_err
store_event_add(struct store *s, const char *job, const struct store_note *note)
{
	int64_t seq = s->last_seq;
	enum rk_err rc = db_begin(s);

	if (rc != RK_OK)
		return rc;
	if (note->idem_key != NULL)
		rc = idem_insert(s, note->idem_key, note->idem_digest, job);
	if (rc == RK_OK && note->kind != NULL)
		rc = event_insert(s, job, note, &seq);
	if ((rc = db_end(s, rc)) == RK_OK)
		s->last_seq = seq;
	return rc;
}

enum rk_err
store_events(struct store *s, const char *job, int64_t after, int limit,
    store_event_fn *fn, void *ctx)
{
	sqlite3_stmt *st = db_st(s, job != NULL ? ST_EVENTS_JOB : ST_EVENTS);
	int got;

	sqlite3_bind_int64(st, 1, after);
	sqlite3_bind_int(st, 2, limit);
	if (job != NULL)
		db_text(st, 3, job);
	while ((got = sqlite3_step(st)) == SQLITE_ROW) {
		struct event_row e = {
			.seq = sqlite3_column_int64(st, 0),
			.time_ms = sqlite3_column_int64(st, 1),
			.kind = db_col(st, 3),
			.message = db_col(st, 4),
			.data = db_col(st, 5),
		};
		snprintf(e.job, sizeof(e.job), "%s", db_col(st, 2));
		if (!fn(ctx, &e))
			break;
	}
	enum rk_err rc = db_err(s, got, "read events");
	sqlite3_reset(st);
	return rc;
}

int64_t
store_last_seq(struct store *s)
{
	return s->last_seq;
}

enum rk_err
attempt_write(struct store *s, const char *job, const struct attempt_row *a)
{
	sqlite3_stmt *st = db_st(s, ST_ATTEMPT_PUT);

	db_text(st, 1, job);
	sqlite3_bind_int64(st, 2, a->n);
	sqlite3_bind_int64(st, 3, a->pid);
	sqlite3_bind_int64(st, 4, a->started_ms);
	sqlite3_bind_int64(st, 5, a->hello_ms);
	sqlite3_bind_int64(st, 6, a->ended_ms);
	db_text(st, 7, a->from);
	sqlite3_bind_int64(st, 8, a->branch);
	sqlite3_bind_int64(st, 9, a->start_step);
	sqlite3_bind_int64(st, 10, a->end_step);
	db_text(st, 11, a->outcome);
	db_text(st, 12, a->message);
	db_text(st, 13, a->instance);
	sqlite3_bind_int64(st, 14, a->epoch);
	return db_do(s, ST_ATTEMPT_PUT, "write an attempt");
}

enum rk_err
store_attempt_put(struct store *s, const char *job, const struct attempt_row *a)
{
	enum rk_err rc = db_begin(s);

	return rc == RK_OK ? db_end(s, attempt_write(s, job, a)) : rc;
}

enum rk_err
attempts_walk(struct store *s, sqlite3_stmt *st, store_attempt_fn *fn,
    void *ctx)
{
	int got;

	while ((got = sqlite3_step(st)) == SQLITE_ROW) {
		struct attempt_row a = {
			.n = sqlite3_column_int64(st, 0),
			.pid = sqlite3_column_int64(st, 1),
			.started_ms = sqlite3_column_int64(st, 2),
			.hello_ms = sqlite3_column_int64(st, 3),
			.ended_ms = sqlite3_column_int64(st, 4),
			.from = db_lend(st, 5),
			.branch = sqlite3_column_int64(st, 6),
			.start_step = sqlite3_column_int64(st, 7),
			.end_step = sqlite3_column_int64(st, 8),
			.outcome = db_lend(st, 9),
			.message = db_lend(st, 10),
			.instance = db_lend(st, 11),
			.epoch = sqlite3_column_int64(st, 12),
		};
		if (!fn(ctx, &a))
			break;
	}
	enum rk_err rc = db_err(s, got, "read attempts");
	sqlite3_reset(st);
	return rc;
}

enum rk_err
store_attempts(struct store *s, const char *job, int64_t after_n, int limit,
    store_attempt_fn *fn, void *ctx)
{
	sqlite3_stmt *st = db_st(s, ST_ATTEMPTS);

	db_text(st, 1, job);
	sqlite3_bind_int64(st, 2, after_n);
	sqlite3_bind_int(st, 3, limit);
	return attempts_walk(s, st, fn, ctx);
}
