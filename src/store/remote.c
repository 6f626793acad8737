/* Checkpoints in buckets or on their way, and multipart uploads begun. */
#include <stdlib.h>
#include <string.h>

#include "db.h"

#define REMOTE_STATES (RS_DELETING + 1)

const char *const remote_state_words[] = {
	"queued", "uploading", "remote", "verified", "dropped", "deleting",
	NULL
};

void
store_remote_fini(struct remote_row *r)
{
	free(r->dir);
	free(r->uri);
	free(r->files);
	free(r->info);
	free(r->error);
	memset(r, 0, sizeof(*r));
}

void
store_upload_fini(struct upload_row *u)
{
	free(u->uri);
	free(u->upload_id);
	free(u->dir);
	free(u->file);
	memset(u, 0, sizeof(*u));
}

/* --- checkpoints ---------------------------------------------------------- */

enum rk_err
store_remote_put(struct store *s, const struct remote_row *r,
    const struct store_note *note)
{
	int64_t seq = s->last_seq;
	enum rk_err rc = db_begin(s);

	if (rc != RK_OK)
		return rc;
	must(r->bytes <= INT64_MAX && r->sent <= INT64_MAX);
	sqlite3_stmt *st = db_st(s, ST_REMOTE_PUT);
	db_text(st, 1, r->job);
	db_text(st, 2, r->dir);
	db_text(st, 3, r->uri);
	sqlite3_bind_int64(st, 4, r->state);
	sqlite3_bind_int64(st, 5, r->epoch);
	sqlite3_bind_int64(st, 6, r->step);
	sqlite3_bind_int64(st, 7, r->branch);
	sqlite3_bind_int64(st, 8, (int64_t)r->bytes);
	sqlite3_bind_int64(st, 9, (int64_t)r->sent);
	db_text(st, 10, r->files);
	db_text(st, 11, r->info);
	db_text(st, 12, r->error);
	sqlite3_bind_int64(st, 13, r->created_ms);
	sqlite3_bind_int64(st, 14, r->remote_ms);
	sqlite3_bind_int64(st, 15, r->verified_ms);
	rc = db_do(s, ST_REMOTE_PUT, "write a remote checkpoint");
	if (rc == RK_OK)
		rc = note_write(s, r->job, note, &seq);
	if ((rc = db_end(s, rc)) == RK_OK)
		s->last_seq = seq;
	return rc;
}

enum rk_err
store_remote_drop(struct store *s, const struct remote_row *r)
{
	sqlite3_stmt *st = db_st(s, ST_REMOTE_DROP);

	db_text(st, 1, r->job);
	db_text(st, 2, r->dir);
	db_text(st, 3, r->uri);
	return db_write(s, ST_REMOTE_DROP, "drop a remote checkpoint");
}

static void
remote_read(sqlite3_stmt *st, struct remote_row *r)
{
	int64_t state = sqlite3_column_int64(st, 3);

	memset(r, 0, sizeof(*r));
	snprintf(r->job, sizeof(r->job), "%s", db_col(st, 0));
	r->dir = db_lend(st, 1);
	r->uri = db_lend(st, 2);
	/* A number of no state can only come from a damaged page. */
	r->state = state >= 0 && state < REMOTE_STATES ?
	    (enum remote_state)state : RS_DROPPED;
	r->epoch = sqlite3_column_int64(st, 4);
	r->step = sqlite3_column_int64(st, 5);
	r->branch = sqlite3_column_int64(st, 6);
	r->bytes = (uint64_t)sqlite3_column_int64(st, 7);
	r->sent = (uint64_t)sqlite3_column_int64(st, 8);
	r->files = db_lend(st, 9);
	r->info = db_lend(st, 10);
	r->error = db_lend(st, 11);
	r->created_ms = sqlite3_column_int64(st, 12);
	r->remote_ms = sqlite3_column_int64(st, 13);
	r->verified_ms = sqlite3_column_int64(st, 14);
}

enum rk_err
store_remotes(struct store *s, const char *job, unsigned states,
    store_remote_fn *fn, void *ctx)
{
	sqlite3_stmt *st = db_st(s, job != NULL ? ST_REMOTES_JOB : ST_REMOTES);
	struct remote_row r;
	int got;

	for (int k = 0; k < REMOTE_STATES; k++)
		sqlite3_bind_int(st, k + 1,
		    states == 0 || (states >> k & 1) ? k : -1);
	if (job != NULL)
		db_text(st, REMOTE_STATES + 1, job);
	while ((got = sqlite3_step(st)) == SQLITE_ROW) {
		remote_read(st, &r);
		if (!fn(ctx, &r))
			break;
	}
	enum rk_err rc = db_err(s, got, "read remote checkpoints");
	sqlite3_reset(st);
	return rc;
}

/* --- uploads -------------------------------------------------------------- */

enum rk_err
store_upload_put(struct store *s, const struct upload_row *u)
{
	sqlite3_stmt *st = db_st(s, ST_UPLOAD_PUT);

	must(u->size <= INT64_MAX && u->part_size <= INT64_MAX);
	db_text(st, 1, u->uri);
	db_text(st, 2, u->upload_id);
	db_text(st, 3, u->job);
	db_text(st, 4, u->dir);
	db_text(st, 5, u->file);
	sqlite3_bind_int64(st, 6, (int64_t)u->size);
	sqlite3_bind_int64(st, 7, (int64_t)u->part_size);
	sqlite3_bind_int64(st, 8, u->mtime_ns);
	sqlite3_bind_int64(st, 9, u->inode);
	sqlite3_bind_int64(st, 10, u->created_ms);
	return db_write(s, ST_UPLOAD_PUT, "write an upload");
}

static void
upload_read(sqlite3_stmt *st, struct upload_row *u)
{
	memset(u, 0, sizeof(*u));
	u->uri = db_lend(st, 0);
	u->upload_id = db_lend(st, 1);
	snprintf(u->job, sizeof(u->job), "%s", db_col(st, 2));
	u->dir = db_lend(st, 3);
	u->file = db_lend(st, 4);
	u->size = (uint64_t)sqlite3_column_int64(st, 5);
	u->part_size = (uint64_t)sqlite3_column_int64(st, 6);
	u->mtime_ns = sqlite3_column_int64(st, 7);
	u->inode = sqlite3_column_int64(st, 8);
	u->created_ms = sqlite3_column_int64(st, 9);
}

enum rk_err
store_upload_get(struct store *s, const char *uri, struct upload_row *out)
{
	sqlite3_stmt *st = db_st(s, ST_UPLOAD_GET);

	memset(out, 0, sizeof(*out));
	db_text(st, 1, uri);
	enum rk_err rc = db_one(s, st, "read an upload");
	if (rc == RK_OK) {
		upload_read(st, out);
		out->uri = xstrdup(out->uri);
		out->upload_id = xstrdup(out->upload_id);
		out->dir = xstrdup(out->dir);
		out->file = xstrdup(out->file);
	}
	sqlite3_reset(st);
	return rc;
}

enum rk_err
store_upload_drop(struct store *s, const char *uri)
{
	db_text(db_st(s, ST_UPLOAD_DROP), 1, uri);
	return db_write(s, ST_UPLOAD_DROP, "drop an upload");
}

enum rk_err
store_uploads(struct store *s, store_upload_fn *fn, void *ctx)
{
	sqlite3_stmt *st = db_st(s, ST_UPLOADS);
	struct upload_row u;
	int got;

	while ((got = sqlite3_step(st)) == SQLITE_ROW) {
		upload_read(st, &u);
		if (!fn(ctx, &u))
			break;
	}
	enum rk_err rc = db_err(s, got, "read uploads");
	sqlite3_reset(st);
	return rc;
}
