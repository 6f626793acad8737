/*
 * store - the durable record of jobs and what happened to them.
 *
 * One SQLite file (WAL, synchronous FULL), opened by rekindled and by nobody
 * else: it is held with an exclusive lock.  Every call comes from the main
 * loop, so nothing here locks.  A call that fails has changed nothing; one that
 * has returned RK_OK survives a power cut.  Times are milliseconds since the
 * epoch: `_ms`.  SQL stays inside this module.
 *
 * Errors of every call: RK_ENOSPC, RK_EROFS, RK_EIO (the disk), RK_ECORRUPT
 * (the file), RK_EGONE (of those that write), RK_ENOMEM.  Others are named with
 * the call.  Callbacks may read from the store, but not walk the same list
 * again, and they may not write.
 *
 * Before each commit and behind it, PATH and PATH-wal are looked at (stat(2)).
 * Where they are not the files that are open - somebody removed or replaced
 * them - the call is RK_EGONE: what was written, if it was, is in a file that
 * the next daemon does not find, so that nobody may be told that it is kept.
 * Put back at its path, the file is written to again.
 *
 * Beside the file at PATH lie PATH-wal (bounded to some megabytes) and
 * PATH-reserve: 1 MiB that is given up when the disk is full, so that state
 * changes of jobs can still be written, and taken again when there is room.
 */
#ifndef REKINDLE_STORE_H
#define REKINDLE_STORE_H

#include "rekindle/json.h"

/*
 *        hold                slot free          trainer says hello
 * HELD ───────▶ QUEUED ──────────────▶ STARTING ──────────────▶ RUNNING ──▶ SUCCEEDED
 *               ▲  ▲                      │                     │  │  │
 *               │  └── retry, preempted ──┴─────────────────────┘  │  └──▶ FAILED
 *               └────────── resume ─────────────────── PAUSED ◀────┘      CANCELLED
 * and PAUSED ──▶ SUCCEEDED: trained, and now its last checkpoint is elsewhere.
 */
enum job_state {                /* stored as these numbers: add at the end */
	JOB_HELD, JOB_QUEUED, JOB_STARTING, JOB_RUNNING, JOB_PAUSED,
	JOB_SUCCEEDED, JOB_FAILED, JOB_CANCELLED, JOB_STATES
};
enum job_desired { JOB_RUN, JOB_PAUSE, JOB_CANCEL };
extern const char *const job_state_words[JOB_STATES + 1];
extern const char *const job_desired_words[4];
bool job_ended(enum job_state s);

/* A job's row.  Strings are owned; store_job_fini() frees them; none is NULL
 * but where said. */
struct job_row {
	char id[RK_ID];
	char *name;
	int64_t priority;
	enum job_state state;
	enum job_desired desired;
	char *reason;           /* "", user, hold, crashed, stalled, preempted,
	                           shutdown, priority, disk_full, fetching,
	                           uploading, checkpoints_missing,
	                           data_changed, arithmetic_changed,
	                           ancestor_missing, store_not_allowed,
	                           path_not_allowed, adopted,
	                           ... */
	char *message;          /* a sentence for people, "" if there is none */
	char *spec;             /* normal form, JSON text */
	char *labels;           /* JSON object of strings */
	int64_t threads;        /* what it takes of the machine; 0: all that
	                           the daemon has to give, whatever that is */
	uint64_t memory;        /* 0: nobody has said how much */
	int64_t created_ms, updated_ms, started_ms, ended_ms;   /* 0: not yet */
	int64_t attempt;        /* the last one's number, 0 before the first */
	int64_t failures;       /* crashes in a row without a new checkpoint */
	int64_t not_before_ms;  /* back-off: not to be started earlier */
	char *resume_from;      /* selector for the next attempt */
	char *progress;         /* JSON object: see sup.h; or "{}" */
	char *plan;             /* JSON of the warm start, or "" */
	char *plan_summary;     /* its sentence, or "" */
	/* The newest checkpoint that it has ever had since a person last let it
	 * begin from nothing; "": none.  It may be gone. */
	char *known_dir;
	int64_t known_step, known_ms;   /* of it, and when it was made */
	int64_t lost_steps;     /* sum of what was trained and then gone */
	char *accept;           /* words for the next attempt: see sup.h */
	char *said_here;        /* "": the job was submitted here.  Else it came
	                           from a record in a bucket, and this is what
	                           of its paths and addresses was said here: a
	                           JSON list of "FIELD TEXT" (spec_places()).  No
	                           record has this field */
	int64_t version;        /* grows with every change: the ETag */
};
void store_job_fini(struct job_row *r);

struct store;

/*
 * Open the file at path, creating it if absent, and check it.
 *
 * On RK_OK *sp is the caller's, until store_close().
 * RK_EBUSY    another process has it open
 * RK_ECORRUPT it fails its check, is no database, or was written by a newer
 *             rekindled: why says which, and what to do
 */
enum rk_err store_open(struct store **sp, const char *path,
    struct rk_why *why) RK_MUSTCHECK;
void store_close(struct store **sp);
/* Give back the memory of pages that were read and are not in use; what is read
 * next comes from the file.  For a daemon that is idle. */
void store_forget_pages(struct store *s);
/* Can a transaction be written now?  For /readyz.  Writes only when the last
 * write failed. */
enum rk_err store_ready(struct store *s) RK_MUSTCHECK;
/* RK_EGONE where a write would be that now, with a sentence for people; else
 * RK_OK. */
enum rk_err store_here(struct store *s, struct rk_why *why) RK_MUSTCHECK;

/*
 * What a write leaves beside itself: an event, and the answer to an
 * Idempotency-Key, in the same transaction.  kind NULL: no event.
 */
struct store_note {
	const char *kind;       /* "submitted", "state", "checkpoint", ... */
	const char *message;    /* a sentence */
	const json_t *data;     /* or NULL */
	const char *idem_key;   /* or NULL */
	const char *idem_digest;        /* of method, path and body */
};
/* A write whose idem_key is there already, and younger than 24 h, is RK_EEXIST:
 * ask store_idem_get() first. */

/* Insert; r->id, created_ms, version are set by the call. */
enum rk_err store_job_add(struct store *s, struct job_row *r,
    const struct store_note *note) RK_MUSTCHECK;

/* Write back every field of r (but id, name's uniqueness is nobody's claim),
 * if the row still has r->version; r->version grows.  RK_ENOENT; RK_ECONFLICT:
 * somebody else's copy was written since. */
enum rk_err store_job_put(struct store *s, struct job_row *r,
    const struct store_note *note) RK_MUSTCHECK;

/* The same, and the row of an attempt with it (NULL: none), in one transaction:
 * how a state changes.  Works on the reserve when the disk is full. */
struct attempt_row;
enum rk_err store_job_step(struct store *s, struct job_row *r,
    const struct attempt_row *a, const struct store_note *note) RK_MUSTCHECK;

enum rk_err store_job_get(struct store *s, const char *id, struct job_row *out)
    RK_MUSTCHECK;                       /* RK_ENOENT */

/* An ended job with all its rows, its events too; the note's event stays. */
enum rk_err store_job_delete(struct store *s, const char *id,
    const struct store_note *note) RK_MUSTCHECK;

/*
 * Pages, newest first; `before` is the id after which to go on (NULL: from the
 * newest), so that a page stays right while jobs come and go.  The callback
 * borrows the row and returns false to stop.
 */
#define STORE_ALL_STATES ((1u << JOB_STATES) - 1)
struct store_filter {           /* NULL in place of one: all jobs */
	unsigned states;        /* bits 1u << enum job_state; 0: all */
	const char *label_key, *label_value;    /* NULL: any; value NULL: any */
	const char *name;       /* exact */
	const char *id_prefix;
};
/* Each is O(page), for any states together with one of: name, label key, label
 * key and value.  A label and a name together read all jobs of the label. */
typedef bool store_job_fn(void *ctx, const struct job_row *r);
enum rk_err store_jobs(struct store *s, const struct store_filter *f,
    const char *before, int limit, store_job_fn *fn, void *ctx) RK_MUSTCHECK;
/* The ids and versions alone, for callers that keep what they made of a row. */
typedef bool store_id_fn(void *ctx, const char *id, int64_t version);
enum rk_err store_job_ids(struct store *s, const struct store_filter *f,
    const char *before, int limit, store_id_fn *fn, void *ctx) RK_MUSTCHECK;
/* Queued jobs in the order of the queue: priority, then id. */
enum rk_err store_queue(struct store *s, int limit, store_job_fn *fn,
    void *ctx) RK_MUSTCHECK;
/* O(1): kept in memory. */
enum rk_err store_counts(struct store *s, int64_t out[JOB_STATES]) RK_MUSTCHECK;

/* Attempts of a job. */
struct attempt_row {
	int64_t n, pid;
	int64_t started_ms, hello_ms, ended_ms;
	char *from;             /* checkpoint it went on from, "" fresh */
	int64_t branch, start_step, end_step;
	char *outcome;          /* "" while it runs; succeeded, paused, stopped,
	                           crashed, stalled, out_of_memory, failed,
	                           killed,
	                           interrupted, not_started */
	char *message;
	char *instance;         /* whose daemon ran it, "" without a mirror */
	int64_t epoch;          /* of that daemon; 0 without */
};
void store_attempt_fini(struct attempt_row *a);
enum rk_err store_attempt_put(struct store *s, const char *job,
    const struct attempt_row *a) RK_MUSTCHECK;  /* insert or replace by n */
typedef bool store_attempt_fn(void *ctx, const struct attempt_row *a);
enum rk_err store_attempts(struct store *s, const char *job, int64_t after_n,
    int limit, store_attempt_fn *fn, void *ctx) RK_MUSTCHECK;

/* Events: seq grows over all jobs, never used twice. */
struct event_row {
	int64_t seq, time_ms;
	char job[RK_ID];        /* "" for the daemon's own */
	const char *kind, *message, *data;      /* data: JSON text or "" */
};
enum rk_err store_event_add(struct store *s, const char *job,
    const struct store_note *note) RK_MUSTCHECK;
typedef bool store_event_fn(void *ctx, const struct event_row *e);
/* job NULL: all.  Oldest first, seq > after. */
enum rk_err store_events(struct store *s, const char *job, int64_t after,
    int limit, store_event_fn *fn, void *ctx) RK_MUSTCHECK;
int64_t store_last_seq(struct store *s);

/*
 * Idempotency: what was answered to a key.  RK_ENOENT: never seen, or older
 * than 24 h.  status 0: the effect is there (job says whose), the answer was
 * not written before a crash.
 */
struct idem_row {
	char *digest, *job, *body;
	int status;
};
void store_idem_fini(struct idem_row *r);
enum rk_err store_idem_get(struct store *s, const char *key,
    struct idem_row *out) RK_MUSTCHECK;
enum rk_err store_idem_answer(struct store *s, const char *key, int status,
    const char *body) RK_MUSTCHECK;
/* For answers without an effect in a job's row. */
enum rk_err store_idem_add(struct store *s, const char *key,
    const char *digest, const char *job) RK_MUSTCHECK;
/* --- what is known of object stores --------------------------------------- */

/* Where a checkpoint stands.  Stored as these numbers. */
enum remote_state {
	RS_QUEUED,              /* to be pushed */
	RS_UPLOADING,           /* some of it is there */
	RS_REMOTE,              /* checkpoint.json is there: it exists */
	RS_VERIFIED,            /* and every object was asked for, and agrees */
	RS_DROPPED,             /* not pushed: superseded, gone, or no time */
	RS_DELETING,            /* retention: being removed */
};
extern const char *const remote_state_words[];

/* One checkpoint in a bucket, or on its way; key (job, dir, uri). */
struct remote_row {
	char job[RK_ID];
	char *dir;              /* the local folder's name */
	char *uri;              /* of the remote folder, ends in '/' */
	enum remote_state state;
	int64_t epoch, step, branch;
	uint64_t bytes, sent;
	char *files;            /* JSON: [{name, size, sha256, uri}, ...] */
	char *info;             /* checkpoint.json's text, or "" */
	char *error;            /* the last trouble, "" */
	/* 0: not yet; of RS_DROPPED, remote_ms: it was there, and is missing */
	int64_t created_ms, remote_ms, verified_ms;
};
void store_remote_fini(struct remote_row *r);
/* Insert or replace; the note's event is of the row's job. */
enum rk_err store_remote_put(struct store *s, const struct remote_row *r,
    const struct store_note *note) RK_MUSTCHECK;
/* By its key; fine if absent, as the other drops are.  Rows outlive their job
 * (store_job_delete), whose objects are still to be removed. */
enum rk_err store_remote_drop(struct store *s, const struct remote_row *r)
    RK_MUSTCHECK;
typedef bool store_remote_fn(void *ctx, const struct remote_row *r);
/* job NULL: all.  states: bits 1u << enum remote_state, 0: all.  Newest first:
 * by epoch, branch, step. */
enum rk_err store_remotes(struct store *s, const char *job, unsigned states,
    store_remote_fn *fn, void *ctx) RK_MUSTCHECK;

/* A multipart upload that was begun: what it takes to go on; key uri. */
struct upload_row {
	char *uri, *upload_id;
	char job[RK_ID];
	char *dir, *file;
	uint64_t size, part_size;
	int64_t mtime_ns, inode, created_ms;
};
void store_upload_fini(struct upload_row *u);
enum rk_err store_upload_put(struct store *s, const struct upload_row *u)
    RK_MUSTCHECK;
enum rk_err store_upload_get(struct store *s, const char *uri,
    struct upload_row *out) RK_MUSTCHECK;       /* RK_ENOENT */
enum rk_err store_upload_drop(struct store *s, const char *uri) RK_MUSTCHECK;
typedef bool store_upload_fn(void *ctx, const struct upload_row *u);
enum rk_err store_uploads(struct store *s, store_upload_fn *fn, void *ctx)
    RK_MUSTCHECK;

/* What was pulled: the digest under which the cache has it; key (uri, etag). */
struct cache_row {
	char *uri, *etag;
	char digest[RK_SHA256_HEX];
	uint64_t size;
	int64_t used_ms;
};
void store_cache_fini(struct cache_row *c);
enum rk_err store_cache_put(struct store *s, const struct cache_row *c)
    RK_MUSTCHECK;
/* etag NULL: the one used last.  RK_ENOENT. */
enum rk_err store_cache_get(struct store *s, const char *uri, const char *etag,
    struct cache_row *out) RK_MUSTCHECK;
enum rk_err store_cache_drop(struct store *s, const char *digest) RK_MUSTCHECK;
typedef bool store_cache_fn(void *ctx, const struct cache_row *c);
enum rk_err store_caches(struct store *s, store_cache_fn *fn, void *ctx)
    RK_MUSTCHECK;                               /* oldest use first */

/* Small facts of the daemon: its mirror's epoch, this directory's name. */
enum rk_err store_fact_put(struct store *s, const char *key, const char *text)
    RK_MUSTCHECK;
enum rk_err store_fact_get(struct store *s, const char *key, char **text)
    RK_MUSTCHECK;               /* RK_ENOENT; *text is the caller's */

/*
 * A job's record, for another machine: its row with all fields, its newest
 * attempts and the idempotency keys of its last day (at most 100 of each), as
 * one JSON object; a new reference.  Import puts it in place of what is there,
 * events untouched; the row keeps the record's version.  A key that is there
 * already stays what it is, others are as after a crash: without an answer.
 * said_here is the row's (NULL: "", as of a job that was submitted here).
 * RK_EINVAL: it is no record, why says where.  store_job_record() is that of a
 * row that is in no database yet: without attempts and keys.
 */
json_t *store_job_record(const struct job_row *r);
enum rk_err store_job_export(struct store *s, const char *id, json_t **out)
    RK_MUSTCHECK;                               /* RK_ENOENT */
enum rk_err store_job_import(struct store *s, const json_t *record,
    const char *said_here, const struct store_note *note, struct rk_why *why)
    RK_MUSTCHECK;

/*
 * Many writes, one sync: what is written between these two calls, in one turn
 * of the loop, is there after a power cut once store_batch_end() has returned
 * RK_OK; if it fails, none of it is there.  A write that fails in between has
 * changed nothing, and the others go on.
 */
enum rk_err store_batch_begin(struct store *s) RK_MUSTCHECK;
enum rk_err store_batch_end(struct store *s) RK_MUSTCHECK;

/* Drop keys older than 24 h and events beyond the newest keep_events. */
enum rk_err store_sweep(struct store *s, int64_t keep_events) RK_MUSTCHECK;

#endif
