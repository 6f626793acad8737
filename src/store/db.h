/* What the files of store share: the open database and its statements. */
#ifndef STORE_DB_H
#define STORE_DB_H

#include <sqlite3.h>
#include <sys/types.h>

#include "rekindle/store.h"

#define STORE_SCHEMA   5                /* PRAGMA user_version */
#define STORE_APP_ID   0x524b444c       /* "RKDL": the file is one of ours */
#define STORE_IDEM_MS  (24LL * 3600 * 1000)

/* Statements kept prepared for as long as the file is open; db.c has them. */
enum st {
	ST_BEGIN, ST_COMMIT, ST_ROLLBACK, ST_PROBE,
	ST_SAVE, ST_RELEASE, ST_BACK,
	ST_JOB_INSERT, ST_TEXT_INSERT, ST_LABEL_INSERT,
	ST_JOB_OLD, ST_JOB_UPDATE, ST_JOB_KEYS, ST_TEXT_UPDATE,
	ST_LABELS_STATE, ST_LABELS_DELETE,
	ST_JOB_GET, ST_JOB_DELETE, ST_JOB_EVENTS_DELETE,
	ST_QUEUE, ST_COUNTS,
	ST_ATTEMPT_PUT, ST_ATTEMPTS, ST_ATTEMPTS_NEWEST,
	ST_EVENT_INSERT, ST_EVENTS, ST_EVENTS_JOB, ST_LAST_SEQ,
	ST_IDEM_GET, ST_IDEM_INSERT, ST_IDEM_ANSWER, ST_IDEM_DROP,
	ST_IDEM_TAKE, ST_IDEM_JOB,
	ST_SWEEP_IDEM, ST_SWEEP_EVENTS,
	ST_REMOTE_PUT, ST_REMOTE_DROP, ST_REMOTES, ST_REMOTES_JOB,
	ST_UPLOAD_PUT, ST_UPLOAD_GET, ST_UPLOAD_DROP, ST_UPLOADS,
	ST_CACHE_PUT, ST_CACHE_GET, ST_CACHE_LAST, ST_CACHE_DROP, ST_CACHES,
	ST_FACT_PUT, ST_FACT_GET,
	ST_MODEL_PUT, ST_MODEL_GET, ST_MODELS, ST_MODEL_DROP,
	ST_ENTRY_PUT, ST_ENTRY_GET, ST_ENTRY_ID, ST_ENTRIES, ST_ENTRIES_ALIAS,
	ST_ENTRIES_VERSION, ST_ENTRIES_DROP,
	ST_VERSION_PUT, ST_VERSION_N, ST_VERSION_TEXTS, ST_VERSION_GET,
	ST_VERSIONS_DROP, ST_VLABELS_DROP, ST_VLABEL_PUT, ST_VMETRICS_DROP,
	ST_VMETRIC_PUT,
	ST_ALIAS_PUT, ST_ALIAS_GET, ST_ALIASES, ST_ALIASES_DROP,
	ST_REG_PUT, ST_REG_GET, ST_REG_IDEM, ST_REG_DROP, ST_REGS,
	ST_COUNT
};

/* Where a page of jobs is read from; each index ends in the id. */
enum src {
	SRC_ALL, SRC_STATE, SRC_NAME, SRC_LABEL, SRC_LABEL_VALUE, SRC_COUNT
};

/* Which file is open: here.c. */
struct here {
	bool known;
	dev_t dev;
	ino_t ino;
};

struct store {
	sqlite3 *db;
	char *path;
	int dirfd;                      /* of the folder it lies in */
	struct here file, wal;
	bool gone;                      /* at the last look; logged */
	sqlite3_stmt *st[ST_COUNT];
	/* One cursor a state, so that pages over several states are merged. */
	sqlite3_stmt *page[SRC_COUNT][2][JOB_STATES];
	int64_t counts[JOB_STATES];
	int64_t last_seq;
	bool sick;                      /* the last write failed */
	bool batch;                     /* writes are parts of one whole */
	struct {                        /* ... before which it was so */
		int64_t counts[JOB_STATES];
		int64_t last_seq;
	} before;
	int64_t reserve_next_ms;        /* when to try to take it again */
	bool reserve_gone;
};

/* The columns of a whole job, for struct job_row, in the order row.c reads. */
#define JOB_COLS                                                          \
	"j.id,j.name,j.priority,j.state,j.desired,j.reason,j.message,"    \
	"j.labels,j.threads,j.memory,j.created_ms,j.updated_ms,"          \
	"j.started_ms,j.ended_ms,j.attempt,j.failures,j.not_before_ms,"   \
	"j.resume_from,j.progress,j.plan_summary,j.version,j.known_dir,"  \
	"j.known_step,j.known_ms,j.lost_steps,j.accept,j.said_here,"      \
	"t.spec,t.plan"

/* Those of a version but its record, as version.c reads them. */
#define VERSION_COLS                                                      \
	"v.n,v.model,v.version,v.id,v.created_ms,v.deleted_ms,v.author,"  \
	"v.job,v.digest,v.bytes,v.removing,t.labels,t.metrics,t.head"
#define VERSION_NCOLS 14

/* db.c: the error that a result of SQLite stands for, logged; `what` completes
 * "cannot ...". */
enum rk_err db_err(struct store *s, int rc, const char *what);
/* The statement, reset and unbound; must not be in use. */
sqlite3_stmt *db_st(struct store *s, enum st which);
/* Step a statement that gives no rows, and reset it. */
enum rk_err db_do(struct store *s, enum st which, const char *what);
/* The same, bound already, in a transaction of its own. */
enum rk_err db_write(struct store *s, enum st which, const char *what);
/* Step a statement that gives a row at most, which is there until the caller
 * resets it; RK_ENOENT if there is none. */
enum rk_err db_one(struct store *s, sqlite3_stmt *st, const char *what);
/* Any SQL, without results. */
enum rk_err db_run(struct store *s, const char *text, const char *what);
enum rk_err db_prepare_all(struct store *s);
void db_finalize_all(struct store *s);
enum rk_err db_begin(struct store *s);
/* Commit if rc is RK_OK, else roll back; what came of it. */
enum rk_err db_end(struct store *s, enum rk_err rc);
void db_text(sqlite3_stmt *st, int col, const char *text);      /* NULL: "" */
/* Borrowed from the statement until it steps; never NULL. */
const char *db_col(sqlite3_stmt *st, int col);

/* The same for a row: its strings are char * because their owner frees them; a
 * borrowed row is const to whoever gets it. */
char *db_lend(sqlite3_stmt *st, int col);

/* schema.c: the tables of today, from those of `version`, or from none if it is
 * 0; in one transaction. */
enum rk_err schema_bring(struct store *s, int64_t version);

/* here.c: remember which file is open; is it at its path? */
void here_open(struct store *s);
enum rk_err here_look(struct store *s) RK_MUSTCHECK;

/* reserve.c */
void reserve_open(struct store *s);
bool reserve_give_up(struct store *s);  /* true: there was one to give */
void reserve_restore(struct store *s);  /* when it is gone, now and then */

/* row.c: strings borrowed from the statement. */
void row_read(sqlite3_stmt *st, struct job_row *r);

/* event.c, idem.c, job.c: parts of a transaction that is open. */
enum rk_err event_insert(struct store *s, const char *job,
    const struct store_note *note, int64_t *seq);
enum rk_err attempt_write(struct store *s, const char *job,
    const struct attempt_row *a);
/* Rows of ST_ATTEMPTS or ST_ATTEMPTS_NEWEST, bound already. */
enum rk_err attempts_walk(struct store *s, sqlite3_stmt *st,
    store_attempt_fn *fn, void *ctx);
/* The note's key and event; NULL is fine.  *seq is the event's number. */
enum rk_err note_write(struct store *s, const char *job,
    const struct store_note *note, int64_t *seq);
/* The row as it is, its texts and labels; there must be none of that id. */
enum rk_err job_insert(struct store *s, const struct job_row *r);
/* The row with all that hangs on it. */
enum rk_err job_erase(struct store *s, const char *id);
/* The keys that led to a job, newest first: at most max. */
typedef void idem_key_fn(void *ctx, const char *key, const char *digest,
    int64_t at_ms);
enum rk_err idem_walk(struct store *s, const char *job, int max,
    idem_key_fn *fn, void *ctx);
/* One that another machine was given; what is here already stays. */
enum rk_err idem_take(struct store *s, const char *key, const char *digest,
    const char *job, int64_t at_ms);
enum rk_err idem_insert(struct store *s, const char *key, const char *digest,
    const char *job);

#endif
