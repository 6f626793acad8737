/* The file: making it, telling whether it is ours and whole, closing it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "db.h"

/*
 * EXCLUSIVE before the first look into the file: the WAL then needs no shared
 * memory, and a second opener is told BUSY.  Nothing here writes: the file may
 * be another program's.
 */
static const char first_settings[] =
"PRAGMA locking_mode=EXCLUSIVE; PRAGMA cell_size_check=ON;"
"PRAGMA trusted_schema=OFF;";
/* 1000 pages of WAL are 4 MiB. */
static const char settings[] =
"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
"PRAGMA cache_size=-2048; PRAGMA temp_store=MEMORY;"
"PRAGMA wal_autocheckpoint=1000; PRAGMA journal_size_limit=8388608;";

enum rk_err
db_run(struct store *s, const char *text, const char *what)
{
	return db_err(s, sqlite3_exec(s->db, text, NULL, NULL, NULL), what);
}

static enum rk_err
ask_int(struct store *s, const char *text, int64_t *out)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(s->db, text, -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*out = sqlite3_column_int64(st, 0);
	enum rk_err e = db_err(s, rc, "read the database");
	sqlite3_finalize(st);
	return e;
}

/* Whose file is it, and of which schema?  0: of none, it is empty. */
static enum rk_err
check_kind(struct store *s, int64_t *version, struct rk_why *why)
{
	int64_t app = 0, tables = 0;
	enum rk_err rc;

	if ((rc = ask_int(s, "PRAGMA application_id", &app)) != RK_OK ||
	    (rc = ask_int(s, "PRAGMA user_version", version)) != RK_OK ||
	    (rc = ask_int(s, "SELECT count(*) FROM sqlite_schema",
	    &tables)) != RK_OK)
		return rc;
	if (app == 0 && *version == 0 && tables == 0)
		return RK_OK;
	if (app != STORE_APP_ID) {
		rk_refuse(why, "%s is a database of another program; move it "
		    "away or choose another state directory", s->path);
		return RK_ECORRUPT;
	}
	if (*version > STORE_SCHEMA) {
		rk_refuse(why, "%s was written by a newer rekindled (schema "
		    "%lld, this one knows %d): run that version, or move the "
		    "file away", s->path, (long long)*version, STORE_SCHEMA);
		return RK_ECORRUPT;
	}
	if (*version < 1)
		return RK_ECORRUPT;
	return RK_OK;
}

/* Each table is there and can be read, and the file can be written. */
static enum rk_err
check_tables(struct store *s)
{
	static const char *const looks[] = {
		"SELECT count(*) FROM (SELECT * FROM jobs LIMIT 1)",
		"SELECT count(*) FROM (SELECT * FROM texts LIMIT 1)",
		"SELECT count(*) FROM (SELECT * FROM labels LIMIT 1)",
		"SELECT count(*) FROM (SELECT * FROM attempts LIMIT 1)",
		"SELECT count(*) FROM (SELECT * FROM events LIMIT 1)",
		"SELECT count(*) FROM (SELECT * FROM idem LIMIT 1)",
		"SELECT count(*) FROM (SELECT * FROM remotes LIMIT 1)",
		"SELECT count(*) FROM (SELECT * FROM uploads LIMIT 1)",
		"SELECT count(*) FROM (SELECT * FROM caches LIMIT 1)",
		"SELECT count(*) FROM (SELECT * FROM facts LIMIT 1)",
	};
	int64_t n;
	enum rk_err rc = db_prepare_all(s);

	for (size_t i = 0; rc == RK_OK && i < RK_ARRAY_LEN(looks); i++)
		rc = ask_int(s, looks[i], &n);
	if (rc != RK_OK)
		return rc;
	sqlite3_stmt *st = db_st(s, ST_COUNTS);
	int r;
	while ((r = sqlite3_step(st)) == SQLITE_ROW) {
		int64_t state = sqlite3_column_int64(st, 0);
		if (state < 0 || state >= JOB_STATES) {
			r = SQLITE_CORRUPT;
			break;
		}
		s->counts[state] = sqlite3_column_int64(st, 1);
	}
	rc = db_err(s, r, "count the jobs");
	sqlite3_reset(st);
	if (rc != RK_OK)
		return rc;
	st = db_st(s, ST_LAST_SEQ);
	r = sqlite3_step(st);
	s->last_seq = r == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
	rc = db_err(s, r, "read the last event");
	sqlite3_reset(st);
	/* A transaction that changes nothing; takes the lock if none had it. */
	return rc == RK_OK ? db_end(s, db_begin(s)) : rc;
}

/* The file is made by us, so that it and its WAL are nobody else's to read. */
static enum rk_err
make_file(struct store *s)
{
	char *dir = xstrdup(s->path), *slash = strrchr(dir, '/');
	enum rk_err rc = RK_OK;

	if (slash == NULL)
		strcpy(dir, ".");
	else
		slash[slash == dir] = '\0';
	s->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(dir);
	if (s->dirfd < 0)
		return rk_from_errno(errno);
	/* Never opened here when it is there already: closing it would drop
	 * the locks that SQLite may hold on it in this process. */
	int fd = open(s->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0) {
		rk_close(&fd);
		if (rk_fsync_dir(s->dirfd) != 0)
			rc = rk_from_errno(errno);
	} else if (errno != EEXIST) {
		rc = rk_from_errno(errno);
	}
	return rc;
}

static void
say_why(const struct store *s, enum rk_err rc, struct rk_why *why)
{
	if (why != NULL && why->n > 0)
		return;
	switch (rc) {
	case RK_EBUSY:
		rk_refuse(why, "another process has %s open: is a rekindled "
		    "running on this state directory?", s->path);
		break;
	case RK_ECORRUPT:
		rk_refuse(why, "the database %s is damaged; move it away, with "
		    "its -wal file, and start again: a new one is made, and "
		    "the checkpoints in jobs/ stay", s->path);
		break;
	case RK_EROFS:
		rk_refuse(why, "the database %s cannot be written: read-only, "
		    "or no permission", s->path);
		break;
	default:
		rk_refuse(why, "cannot open the database %s: %s", s->path,
		    rk_strerror(rc));
	}
}

enum rk_err
store_open(struct store **sp, const char *path, struct rk_why *why)
{
	struct store *s = xcalloc(1, sizeof(*s));
	int64_t version = 0;
	enum rk_err rc;

	s->path = xstrdup(path);
	s->dirfd = -1;
	if ((rc = make_file(s)) != RK_OK)
		goto fail;
	rc = db_err(s, sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE |
	    SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL),
	    "open the database");
	/* SQLite is content with a file that it may only read. */
	if (rc == RK_OK && sqlite3_db_readonly(s->db, "main") == 1)
		rc = RK_EROFS;
	if (rc != RK_OK)
		goto fail;
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	if ((rc = db_run(s, first_settings, "set the database up")) != RK_OK ||
	    (rc = check_kind(s, &version, why)) != RK_OK ||
	    (rc = db_run(s, settings, "set the database up")) != RK_OK ||
	    (rc = schema_bring(s, version)) != RK_OK ||
	    (rc = check_tables(s)) != RK_OK)
		goto fail;
	here_open(s);
	reserve_open(s);
	*sp = s;
	return RK_OK;

fail:
	say_why(s, rc, why);
	store_close(&s);
	*sp = NULL;
	return rc;
}

void
store_forget_pages(struct store *s)
{
	(void)sqlite3_db_release_memory(s->db);
}

void
store_close(struct store **sp)
{
	struct store *s = *sp;

	if (s == NULL)
		return;
	must(!s->batch);
	db_finalize_all(s);
	if (s->db != NULL) {
		int rc = sqlite3_close(s->db);
		must(rc == SQLITE_OK);
	}
	rk_close(&s->dirfd);
	free(s->path);
	free(s);
	*sp = NULL;
}

enum rk_err
store_ready(struct store *s)
{
	enum rk_err rc = db_begin(s);

	if (rc == RK_OK && s->sick) {
		db_st(s, ST_PROBE);
		rc = db_do(s, ST_PROBE, "write");
	}
	return db_end(s, rc);
}
