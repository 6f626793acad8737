/* Statements, transactions and errors: all that touches SQLite's results. */
#include <errno.h>
#include <string.h>

#include "db.h"

#define ATTEMPT_COLS                                                      \
	"n,pid,started_ms,hello_ms,ended_ms,from_ckpt,branch,start_step," \
	"end_step,outcome,message,instance,epoch"
#define ENTRY_COLS "model,seq,id,event,version,alias,at_ms,fault,entry"
#define REMOTE_ORDER "ORDER BY epoch DESC,branch DESC,step DESC,job,dir,uri"

static const char *const sql[ST_COUNT] = {
	[ST_BEGIN] = "BEGIN IMMEDIATE",
	[ST_COMMIT] = "COMMIT",
	[ST_ROLLBACK] = "ROLLBACK",
	[ST_SAVE] = "SAVEPOINT one",
	[ST_RELEASE] = "RELEASE one",
	[ST_BACK] = "ROLLBACK TO one",
	[ST_PROBE] = "UPDATE probe SET n = n + 1",
	[ST_JOB_INSERT] = "INSERT INTO jobs VALUES "
	    "(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,"
	    "?19,?20,?21,?22,?23,?24,?25,?26,?27)",
	[ST_TEXT_INSERT] = 
	    "INSERT INTO texts (job,spec,plan) VALUES (?1,?2,?3)",
	[ST_LABEL_INSERT] =
	    "INSERT INTO labels (key,value,state,job) VALUES (?1,?2,?3,?4)",
	[ST_JOB_OLD] = "SELECT version,state,name,priority,labels FROM jobs "
	    "WHERE id = ?1",
	/* Touches no index. */
	[ST_JOB_UPDATE] = "UPDATE jobs SET desired=?5,reason=?6,message=?7,"
	    "labels=?8,threads=?9,memory=?10,created_ms=?11,updated_ms=?12,"
	    "started_ms=?13,ended_ms=?14,attempt=?15,failures=?16,"
	    "not_before_ms=?17,resume_from=?18,progress=?19,plan_summary=?20,"
	    "version=?21,known_dir=?22,known_step=?23,known_ms=?24,"
	    "lost_steps=?25,accept=?26,said_here=?27 WHERE id=?1",
	[ST_JOB_KEYS] = "UPDATE jobs SET name=?2,priority=?3,state=?4 "
	    "WHERE id=?1",
	[ST_TEXT_UPDATE] = "UPDATE texts SET spec=?2,plan=?3 WHERE job=?1 "
	    "AND (spec<>?2 OR plan<>?3)",
	[ST_LABELS_STATE] = "UPDATE labels SET state=?2 WHERE job=?1",
	[ST_LABELS_DELETE] = "DELETE FROM labels WHERE job=?1",
	[ST_JOB_GET] = "SELECT " JOB_COLS " FROM jobs j "
	    "CROSS JOIN texts t ON t.job = j.id WHERE j.id = ?1",
	[ST_JOB_DELETE] = "DELETE FROM jobs WHERE id = ?1",
	[ST_JOB_EVENTS_DELETE] = "DELETE FROM events WHERE job = ?1",
	/* state = 1 is JOB_QUEUED, as in the partial index. */
	[ST_QUEUE] = "SELECT " JOB_COLS " FROM jobs j INDEXED BY jobs_queue "
	    "CROSS JOIN texts t ON t.job = j.id WHERE j.state = 1 "
	    "ORDER BY j.priority DESC, j.id LIMIT ?1",
	[ST_COUNTS] = "SELECT state, count(*) FROM jobs GROUP BY state",
	[ST_ATTEMPT_PUT] = "INSERT OR REPLACE INTO attempts VALUES "
	    "(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)",
	[ST_ATTEMPTS] = "SELECT " ATTEMPT_COLS " FROM attempts "
	    "WHERE job=?1 AND n>?2 ORDER BY n LIMIT ?3",
	[ST_ATTEMPTS_NEWEST] = "SELECT * FROM (SELECT " ATTEMPT_COLS
	    " FROM attempts WHERE job=?1 ORDER BY n DESC LIMIT ?2) ORDER BY n",
	[ST_EVENT_INSERT] = "INSERT INTO events "
	    "(time_ms,job,kind,message,data) VALUES (?1,?2,?3,?4,?5)",
	[ST_EVENTS] = "SELECT seq,time_ms,job,kind,message,data FROM events "
	    "WHERE seq>?1 ORDER BY seq LIMIT ?2",
	[ST_EVENTS_JOB] = "SELECT seq,time_ms,job,kind,message,data "
	    "FROM events WHERE job=?3 AND seq>?1 ORDER BY seq LIMIT ?2",
	[ST_LAST_SEQ] = "SELECT seq FROM sqlite_sequence WHERE name='events'",
	[ST_IDEM_GET] = "SELECT digest,job,body,status,created_ms FROM idem "
	    "WHERE key=?1",
	[ST_IDEM_INSERT] = "INSERT INTO idem "
	    "(key,digest,job,status,body,created_ms) VALUES (?1,?2,?3,0,'',?4)",
	[ST_IDEM_TAKE] = "INSERT OR IGNORE INTO idem "
	    "(key,digest,job,status,body,created_ms) VALUES (?1,?2,?3,0,'',?4)",
	[ST_IDEM_JOB] = "SELECT key,digest,created_ms FROM idem WHERE job=?1 "
	    "AND created_ms>=?2 ORDER BY created_ms DESC LIMIT ?3",
	[ST_IDEM_ANSWER] = "UPDATE idem SET status=?2,body=?3 WHERE key=?1",
	[ST_IDEM_DROP] = "DELETE FROM idem WHERE key=?1 AND created_ms<?2",
	[ST_SWEEP_IDEM] = "DELETE FROM idem WHERE created_ms<?1",
	[ST_SWEEP_EVENTS] = "DELETE FROM events WHERE seq<=?1",
	[ST_REMOTE_PUT] = "INSERT OR REPLACE INTO remotes VALUES "
	    "(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15)",
	[ST_REMOTE_DROP] = "DELETE FROM remotes "
	    "WHERE job=?1 AND dir=?2 AND uri=?3",
	/* The states asked for; the places of the others hold -1. */
	[ST_REMOTES] = "SELECT * FROM remotes INDEXED BY remotes_state "
	    "WHERE state IN (?1,?2,?3,?4,?5,?6) " REMOTE_ORDER,
	[ST_REMOTES_JOB] = "SELECT * FROM remotes "
	    "WHERE job=?7 AND +state IN (?1,?2,?3,?4,?5,?6) " REMOTE_ORDER,
	[ST_UPLOAD_PUT] = "INSERT OR REPLACE INTO uploads VALUES "
	    "(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)",
	[ST_UPLOAD_GET] = "SELECT * FROM uploads WHERE uri=?1",
	[ST_UPLOAD_DROP] = "DELETE FROM uploads WHERE uri=?1",
	[ST_UPLOADS] = "SELECT * FROM uploads ORDER BY created_ms,uri",
	[ST_CACHE_PUT] = "INSERT OR REPLACE INTO caches VALUES "
	    "(?1,?2,?3,?4,?5)",
	[ST_CACHE_GET] = "SELECT * FROM caches WHERE uri=?1 AND etag=?2",
	[ST_CACHE_LAST] = "SELECT * FROM caches WHERE uri=?1 "
	    "ORDER BY used_ms DESC LIMIT 1",
	[ST_CACHE_DROP] = "DELETE FROM caches WHERE digest=?1",
	[ST_CACHES] = "SELECT * FROM caches INDEXED BY caches_used "
	    "ORDER BY used_ms",
	[ST_FACT_PUT] = "INSERT OR REPLACE INTO facts VALUES (?1,?2)",
	[ST_FACT_GET] = "SELECT text FROM facts WHERE key=?1",
	[ST_MODEL_PUT] = "INSERT OR REPLACE INTO models VALUES "
	    "(?1,?2,?3,?4,?5,?6,?7,?8,?9)",
	[ST_MODEL_GET] = "SELECT * FROM models WHERE name=?1",
	[ST_MODELS] = "SELECT * FROM models WHERE name>?1 ORDER BY name "
	    "LIMIT ?2",
	[ST_MODEL_DROP] = "DELETE FROM models WHERE name=?1",
	[ST_ENTRY_PUT] = "INSERT OR REPLACE INTO model_entries VALUES "
	    "(?1,?2,?3,?4,?5,?6,?7,?8,?9)",
	[ST_ENTRY_GET] = "SELECT " ENTRY_COLS " FROM model_entries "
	    "WHERE model=?1 AND seq=?2",
	[ST_ENTRY_ID] = "SELECT " ENTRY_COLS " FROM model_entries "
	    "WHERE model=?1 AND id=?2 AND fault='' ORDER BY seq DESC LIMIT 1",
	[ST_ENTRIES] = "SELECT " ENTRY_COLS " FROM model_entries "
	    "WHERE model=?1 AND seq<?2 ORDER BY seq DESC LIMIT ?3",
	[ST_ENTRIES_ALIAS] = "SELECT " ENTRY_COLS " FROM model_entries "
	    "WHERE model=?1 AND alias=?4 AND alias<>'' AND seq<?2 "
	    "ORDER BY seq DESC LIMIT ?3",
	[ST_ENTRIES_VERSION] = "SELECT " ENTRY_COLS " FROM model_entries "
	    "WHERE model=?1 AND version=?4 AND version>0 AND event=?5 "
	    "AND seq<?2 ORDER BY seq DESC LIMIT ?3",
	[ST_ENTRIES_DROP] = "DELETE FROM model_entries WHERE model=?1",
	[ST_VERSION_PUT] = "INSERT INTO versions (model,version,id,created_ms,"
	    "deleted_ms,author,job,digest,bytes,removing) VALUES "
	    "(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10) ON CONFLICT (model,version) "
	    "DO UPDATE SET id=?3,created_ms=?4,deleted_ms=?5,author=?6,job=?7,"
	    "digest=?8,bytes=?9,removing=?10",
	[ST_VERSION_N] = "SELECT n FROM versions WHERE model=?1 AND version=?2",
	[ST_VERSION_TEXTS] = "INSERT OR REPLACE INTO version_texts VALUES "
	    "(?1,?2,?3,?4,?5)",
	[ST_VERSION_GET] = "SELECT " VERSION_COLS ",t.record FROM versions v "
	    "CROSS JOIN version_texts t ON t.n=v.n "
	    "WHERE v.model=?1 AND v.version=?2",
	[ST_VERSIONS_DROP] = "DELETE FROM versions WHERE model=?1",
	[ST_VLABELS_DROP] = "DELETE FROM version_labels WHERE n=?1",
	[ST_VLABEL_PUT] = "INSERT INTO version_labels VALUES (?2,?3,?1)",
	[ST_VMETRICS_DROP] = "DELETE FROM version_metrics WHERE n=?1",
	[ST_VMETRIC_PUT] = "INSERT INTO version_metrics VALUES (?2,?3,?1)",
	[ST_ALIAS_PUT] = "INSERT OR REPLACE INTO aliases VALUES "
	    "(?1,?2,?3,?4,?5,?6)",
	[ST_ALIAS_GET] = "SELECT * FROM aliases WHERE model=?1 AND alias=?2",
	/* ?2: only those at this version; -1: all */
	[ST_ALIASES] = "SELECT * FROM aliases WHERE model=?1 AND "
	    "(?2<0 OR version=?2) ORDER BY alias",
	[ST_ALIASES_DROP] = "DELETE FROM aliases WHERE model=?1",
	[ST_REG_PUT] = "INSERT OR REPLACE INTO registrations VALUES "
	    "(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)",
	[ST_REG_GET] = "SELECT * FROM registrations WHERE id=?1",
	[ST_REG_IDEM] = "SELECT * FROM registrations WHERE idem_key=?1 "
	    "AND idem_key<>'' ORDER BY id DESC LIMIT 1",
	[ST_REG_DROP] = "DELETE FROM registrations WHERE id=?1",
	[ST_REGS] = "SELECT * FROM registrations WHERE id<?1 AND "
	    "(?2='' OR model=?2) AND (?3='' OR state=?3) "
	    "ORDER BY id DESC LIMIT ?4",
};

enum rk_err
db_err(struct store *s, int rc, const char *what)
{
	int sys = s->db != NULL ? sqlite3_system_errno(s->db) : 0;

	if (rc == SQLITE_OK || rc == SQLITE_DONE || rc == SQLITE_ROW)
		return RK_OK;
	log_error("store: cannot %s: %s", what,
	    s->db != NULL ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc));
	if (rc == SQLITE_CONSTRAINT_FOREIGNKEY)
		return RK_ENOENT;       /* the job is not there */
	switch (rc & 0xff) {
	case SQLITE_FULL:
		return RK_ENOSPC;
	case SQLITE_READONLY:
	case SQLITE_PERM:
		return RK_EROFS;
	case SQLITE_CANTOPEN:
	case SQLITE_IOERR:
		return sys != 0 ? rk_from_errno(sys) : RK_EIO;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return RK_EBUSY;
	case SQLITE_NOMEM:
		return RK_ENOMEM;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	/* Our SQL is right, so it is the schema that is not ours. */
	case SQLITE_ERROR:
	case SQLITE_SCHEMA:
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
		return RK_ECORRUPT;
	default:
		return RK_EIO;
	}
}

sqlite3_stmt *
db_st(struct store *s, enum st which)
{
	sqlite3_stmt *st = s->st[which];

	must(st != NULL && !sqlite3_stmt_busy(st));
	sqlite3_clear_bindings(st);
	return st;
}

enum rk_err
db_do(struct store *s, enum st which, const char *what)
{
	sqlite3_stmt *st = s->st[which];
	int rc = sqlite3_step(st);
	enum rk_err e = db_err(s, rc, what);

	sqlite3_reset(st);
	return e;
}

enum rk_err
db_write(struct store *s, enum st which, const char *what)
{
	enum rk_err rc = db_begin(s);

	return rc == RK_OK ? db_end(s, db_do(s, which, what)) : rc;
}

enum rk_err
db_one(struct store *s, sqlite3_stmt *st, const char *what)
{
	int rc = sqlite3_step(st);

	return rc == SQLITE_DONE ? RK_ENOENT : db_err(s, rc, what);
}

enum rk_err
db_prepare_all(struct store *s)
{
	for (int i = 0; i < ST_COUNT; i++) {
		int rc = sqlite3_prepare_v3(s->db, sql[i], -1,
		    SQLITE_PREPARE_PERSISTENT, &s->st[i], NULL);
		if (rc != SQLITE_OK)
			return db_err(s, rc, "prepare a statement");
	}
	return RK_OK;
}

void
db_finalize_all(struct store *s)
{
	for (int i = 0; i < ST_COUNT; i++)
		sqlite3_finalize(s->st[i]);
	for (int i = 0; i < SRC_COUNT; i++)
		for (int w = 0; w < 2; w++)
			for (int k = 0; k < JOB_STATES; k++)
				sqlite3_finalize(s->page[i][w][k]);
}

enum rk_err
db_begin(struct store *s)
{
	/* Some errors of SQLite roll all back, and the batch with it. */
	enum rk_err rc = s->batch ? RK_OK : here_look(s);

	if (rc != RK_OK)
		return rc;
	if (s->batch && sqlite3_get_autocommit(s->db))
		return RK_EIO;
	if (!s->batch)
		reserve_restore(s);
	enum st which = s->batch ? ST_SAVE : ST_BEGIN;
	db_st(s, which);
	rc = db_do(s, which, "begin a transaction");
	if (rc != RK_OK)
		s->sick = true;
	return rc;
}

enum rk_err
db_end(struct store *s, enum rk_err rc)
{
	if (rc == RK_OK)
		rc = s->batch ? db_do(s, ST_RELEASE, "end a part of a batch") :
		    db_do(s, ST_COMMIT, "commit");
	/* Removed while the disk was at work: nobody may rely on it. */
	if (rc == RK_OK && !s->batch)
		rc = here_look(s);
	/* SQLite has rolled back by itself after some errors. */
	if (rc != RK_OK && !sqlite3_get_autocommit(s->db)) {
		enum st back = s->batch ? ST_BACK : ST_ROLLBACK;
		sqlite3_step(s->st[back]);
		sqlite3_reset(s->st[back]);
		if (s->batch) {
			sqlite3_step(s->st[ST_RELEASE]);
			sqlite3_reset(s->st[ST_RELEASE]);
		}
	}
	s->sick = rc != RK_OK && rc != RK_ENOENT && rc != RK_ECONFLICT &&
	    rc != RK_EEXIST;
	return rc;
}

enum rk_err
store_batch_begin(struct store *s)
{
	must(!s->batch);
	enum rk_err rc = db_begin(s);

	if (rc != RK_OK)
		return rc;
	s->batch = true;
	s->before.last_seq = s->last_seq;
	memcpy(s->before.counts, s->counts, sizeof(s->counts));
	return RK_OK;
}

enum rk_err
store_batch_end(struct store *s)
{
	must(s->batch);
	s->batch = false;
	enum rk_err rc = sqlite3_get_autocommit(s->db) ? RK_EIO :
	    db_end(s, RK_OK);

	if (rc != RK_OK) {
		s->sick = true;
		s->last_seq = s->before.last_seq;
		memcpy(s->counts, s->before.counts, sizeof(s->counts));
	}
	return rc;
}

void
db_text(sqlite3_stmt *st, int col, const char *text)
{
	/* Static: every text bound outlives the step. */
	sqlite3_bind_text(st, col, text != NULL ? text : "", -1, SQLITE_STATIC);
}

const char *
db_col(sqlite3_stmt *st, int col)
{
	const unsigned char *t = sqlite3_column_text(st, col);

	return t != NULL ? (const char *)t : "";
}

char *
db_lend(sqlite3_stmt *st, int col)
{
	return (char *)(uintptr_t)db_col(st, col);
}
