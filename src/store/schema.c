/* The tables, and how an older file gets those of today. */
#include <stdlib.h>

#include "db.h"

/*
 * Lists are read newest first from an index that ends in the id.  `state` is
 * repeated in labels so that a label's page by state is one range, too.  A
 * job's long texts lie apart, so that walking jobs and writing progress stay
 * small.
 */
static const char schema_1[] =
"CREATE TABLE jobs ("
" id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL,"
" priority INTEGER NOT NULL, state INTEGER NOT NULL,"
" desired INTEGER NOT NULL, reason TEXT NOT NULL, message TEXT NOT NULL,"
" labels TEXT NOT NULL, threads INTEGER NOT NULL, memory INTEGER NOT NULL,"
" created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL,"
" started_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL,"
" attempt INTEGER NOT NULL, failures INTEGER NOT NULL,"
" not_before_ms INTEGER NOT NULL, resume_from TEXT NOT NULL,"
" progress TEXT NOT NULL, plan_summary TEXT NOT NULL,"
" version INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
"CREATE INDEX jobs_state ON jobs (state, id);"
"CREATE INDEX jobs_name ON jobs (name, state, id);"
"CREATE INDEX jobs_queue ON jobs (priority DESC, id) WHERE state = 1;"
"CREATE TABLE texts ("
" job TEXT NOT NULL PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,"
" spec TEXT NOT NULL, plan TEXT NOT NULL) STRICT;"
"CREATE TABLE labels ("
" key TEXT NOT NULL, value TEXT NOT NULL, state INTEGER NOT NULL,"
" job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,"
" PRIMARY KEY (key, value, state, job)) STRICT, WITHOUT ROWID;"
"CREATE INDEX labels_key ON labels (key, state, job);"
"CREATE INDEX labels_job ON labels (job);"
"CREATE TABLE attempts ("
" job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,"
" n INTEGER NOT NULL, pid INTEGER NOT NULL, started_ms INTEGER NOT NULL,"
" hello_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL,"
" from_ckpt TEXT NOT NULL, branch INTEGER NOT NULL,"
" start_step INTEGER NOT NULL, end_step INTEGER NOT NULL,"
" outcome TEXT NOT NULL, message TEXT NOT NULL,"
" PRIMARY KEY (job, n)) STRICT, WITHOUT ROWID;"
"CREATE TABLE events ("
" seq INTEGER PRIMARY KEY AUTOINCREMENT, time_ms INTEGER NOT NULL,"
" job TEXT NOT NULL, kind TEXT NOT NULL, message TEXT NOT NULL,"
" data TEXT NOT NULL) STRICT;"
"CREATE INDEX events_job ON events (job, seq);"
"CREATE TABLE idem ("
" key TEXT NOT NULL PRIMARY KEY, digest TEXT NOT NULL, job TEXT NOT NULL,"
" status INTEGER NOT NULL, body TEXT NOT NULL, created_ms INTEGER NOT NULL)"
" STRICT, WITHOUT ROWID;"
"CREATE INDEX idem_age ON idem (created_ms);"
"CREATE TABLE probe (n INTEGER NOT NULL) STRICT;"
"INSERT INTO probe VALUES (0);";

/*
 * What is known of object stores.  A checkpoint's rows outlive its job, whose
 * objects are still to be removed.  `caches` is by address; several addresses
 * may have one digest.
 */
static const char schema_2[] =
"ALTER TABLE attempts ADD COLUMN instance TEXT NOT NULL DEFAULT '';"
"ALTER TABLE attempts ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;"
"CREATE TABLE remotes ("
" job TEXT NOT NULL, dir TEXT NOT NULL, uri TEXT NOT NULL,"
" state INTEGER NOT NULL, epoch INTEGER NOT NULL, step INTEGER NOT NULL,"
" branch INTEGER NOT NULL, bytes INTEGER NOT NULL, sent INTEGER NOT NULL,"
" files TEXT NOT NULL, info TEXT NOT NULL, error TEXT NOT NULL,"
" created_ms INTEGER NOT NULL, remote_ms INTEGER NOT NULL,"
" verified_ms INTEGER NOT NULL, PRIMARY KEY (job, dir, uri)) STRICT;"
"CREATE INDEX remotes_state ON remotes (state);"
"CREATE TABLE uploads ("
" uri TEXT NOT NULL PRIMARY KEY, upload_id TEXT NOT NULL,"
" job TEXT NOT NULL, dir TEXT NOT NULL, file TEXT NOT NULL,"
" size INTEGER NOT NULL, part_size INTEGER NOT NULL,"
" mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL,"
" created_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
"CREATE TABLE caches ("
" uri TEXT NOT NULL, etag TEXT NOT NULL, digest TEXT NOT NULL,"
" size INTEGER NOT NULL, used_ms INTEGER NOT NULL,"
" PRIMARY KEY (uri, etag)) STRICT, WITHOUT ROWID;"
"CREATE INDEX caches_digest ON caches (digest);"
"CREATE INDEX caches_used ON caches (used_ms);"
"CREATE TABLE facts ("
" key TEXT NOT NULL PRIMARY KEY, text TEXT NOT NULL)"
" STRICT, WITHOUT ROWID;";

/*
 * What a job has known: its newest checkpoint ever, which is more than those
 * that are left; and what a person has accepted for the next attempt.  An older
 * file says so in the progress.
 */
static const char schema_3[] =
"ALTER TABLE jobs ADD COLUMN known_dir TEXT NOT NULL DEFAULT '';"
"ALTER TABLE jobs ADD COLUMN known_step INTEGER NOT NULL DEFAULT 0;"
"ALTER TABLE jobs ADD COLUMN known_ms INTEGER NOT NULL DEFAULT 0;"
"ALTER TABLE jobs ADD COLUMN lost_steps INTEGER NOT NULL DEFAULT 0;"
"ALTER TABLE jobs ADD COLUMN accept TEXT NOT NULL DEFAULT '';"
"UPDATE jobs SET known_dir = json_extract(progress, '$.checkpoint'),"
" known_step = coalesce(CAST(json_extract(progress, '$.checkpoint_step')"
" AS INTEGER), 0), known_ms = updated_ms"
" WHERE CASE WHEN json_valid(progress) THEN"
" json_type(progress, '$.checkpoint') = 'text' ELSE 0 END;";

/*
 * Which jobs came from a record in a bucket, and what of them was said here.
 * An older file says so in the events, as far back as they go.
 */
static const char schema_4[] =
"ALTER TABLE jobs ADD COLUMN said_here TEXT NOT NULL DEFAULT '';"
"UPDATE jobs SET said_here = '[]' WHERE"
" id IN (SELECT job FROM events WHERE kind = 'taken_over') AND"
" id NOT IN (SELECT job FROM events WHERE kind = 'submitted');"
"CREATE INDEX idem_job ON idem (job, created_ms);";

/*
 * The copy of the registry (models.h), all of which can be read again from the
 * logs of the models; and registrations, which are this machine's own.  `n` of
 * a version is its number in this file, by which what is searched and what is
 * shown hang on it: searching walks rows that are small.
 */
static const char schema_5[] =
"CREATE TABLE models ("
" name TEXT NOT NULL PRIMARY KEY, seq INTEGER NOT NULL,"
" top INTEGER NOT NULL, live INTEGER NOT NULL, bad INTEGER NOT NULL,"
" created_ms INTEGER NOT NULL,"
" updated_ms INTEGER NOT NULL, looked_ms INTEGER NOT NULL,"
" fault TEXT NOT NULL) STRICT, WITHOUT ROWID;"
"CREATE TABLE model_entries ("
" model TEXT NOT NULL, seq INTEGER NOT NULL, id TEXT NOT NULL,"
" event TEXT NOT NULL, version INTEGER NOT NULL, alias TEXT NOT NULL,"
" at_ms INTEGER NOT NULL, fault TEXT NOT NULL, entry TEXT NOT NULL,"
" PRIMARY KEY (model, seq)) STRICT;"
"CREATE INDEX model_entries_id ON model_entries (model, id);"
"CREATE INDEX model_entries_alias ON model_entries (model, alias, seq)"
" WHERE alias <> '';"
"CREATE INDEX model_entries_version ON model_entries (model, version, event,"
" seq) WHERE version > 0;"
"CREATE TABLE versions ("
" n INTEGER PRIMARY KEY, model TEXT NOT NULL, version INTEGER NOT NULL,"
" id TEXT NOT NULL, created_ms INTEGER NOT NULL,"
" deleted_ms INTEGER NOT NULL, author TEXT NOT NULL, job TEXT NOT NULL,"
" digest TEXT NOT NULL, bytes INTEGER NOT NULL,"
" removing INTEGER NOT NULL, UNIQUE (model, version)) STRICT;"
"CREATE INDEX versions_id ON versions (id);"
"CREATE INDEX versions_removing ON versions (n) WHERE removing = 1;"
"CREATE INDEX versions_created ON versions (created_ms, n);"
"CREATE INDEX versions_author ON versions (author, created_ms, n);"
"CREATE INDEX versions_digest ON versions (digest);"
"CREATE INDEX versions_job ON versions (job);"
"CREATE TABLE version_texts ("
" n INTEGER PRIMARY KEY REFERENCES versions (n) ON DELETE CASCADE,"
" labels TEXT NOT NULL, metrics TEXT NOT NULL, head TEXT NOT NULL,"
" record TEXT NOT NULL) STRICT;"
"CREATE TABLE version_labels ("
" key TEXT NOT NULL, value TEXT NOT NULL,"
" n INTEGER NOT NULL REFERENCES versions (n) ON DELETE CASCADE,"
" PRIMARY KEY (key, value, n)) STRICT, WITHOUT ROWID;"
"CREATE INDEX version_labels_n ON version_labels (n);"
"CREATE TABLE version_metrics ("
" metric TEXT NOT NULL, value REAL NOT NULL,"
" n INTEGER NOT NULL REFERENCES versions (n) ON DELETE CASCADE,"
" PRIMARY KEY (metric, value, n)) STRICT, WITHOUT ROWID;"
"CREATE INDEX version_metrics_n ON version_metrics (n, metric, value);"
"CREATE TABLE aliases ("
" model TEXT NOT NULL, alias TEXT NOT NULL, version INTEGER NOT NULL,"
" before TEXT NOT NULL, moved_ms INTEGER NOT NULL, author TEXT NOT NULL,"
" PRIMARY KEY (model, alias)) STRICT, WITHOUT ROWID;"
"CREATE INDEX aliases_version ON aliases (model, version);"
"CREATE TABLE registrations ("
" id TEXT NOT NULL PRIMARY KEY, model TEXT NOT NULL, job TEXT NOT NULL,"
" state TEXT NOT NULL, request TEXT NOT NULL, progress TEXT NOT NULL,"
" version INTEGER NOT NULL, error TEXT NOT NULL, idem_key TEXT NOT NULL,"
" idem_digest TEXT NOT NULL, created_ms INTEGER NOT NULL,"
" updated_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
"CREATE INDEX registrations_model ON registrations (model, id);"
"CREATE INDEX registrations_state ON registrations (state, id);"
"CREATE INDEX registrations_idem ON registrations (idem_key)"
" WHERE idem_key <> '';";

/* steps[n] leads from schema n to n + 1; a new file goes all the way. */
static const char *const steps[STORE_SCHEMA] = { schema_1, schema_2,
	schema_3, schema_4, schema_5 };

enum rk_err
schema_bring(struct store *s, int64_t version)
{
	struct strbuf b = {0};

	must(version >= 0 && version <= STORE_SCHEMA);
	if (version == STORE_SCHEMA)
		return RK_OK;
	sb_adds(&b, "BEGIN IMMEDIATE;");
	for (int64_t v = version; v < STORE_SCHEMA; v++)
		sb_adds(&b, steps[v]);
	sb_addf(&b, "PRAGMA application_id=%d;PRAGMA user_version=%d;COMMIT;",
	    STORE_APP_ID, STORE_SCHEMA);
	enum rk_err rc = db_run(s, sb_str(&b), version == 0 ?
	    "make the database" : "bring the database up to date");
	sb_fini(&b);
	if (rc != RK_OK && !sqlite3_get_autocommit(s->db))
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	if (rc == RK_OK && version > 0)
		log_info("store: %s is now of schema %d, was %lld", s->path,
		    STORE_SCHEMA, (long long)version);
	return rc;
}
