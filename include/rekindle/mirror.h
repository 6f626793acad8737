/*
 * mirror - job records in the bucket, and who may go on with them.
 *
 * src/mirror/PROTOCOL has the protocol on one page: objects, steps, what is
 * promised and what is not; tests/model/ checks it.  In short: a daemon that
 * starts makes epochs/<n> by put-if-absent, n being the highest plus one; the
 * one with the highest is the owner of the instance's jobs.  It writes one base
 * (all records, and which checkpoints count) before any trainer starts, and
 * then each change of a job as a new object under its own epoch.  Nothing of a
 * lower epoch that a base does not name counts for anybody after it.
 *
 * A record says no more than the bucket has the bytes of: as long as a job's
 * last checkpoint is not there, the job is, for whoever takes it over, running
 * at its newest one there (src/mirror/behind.c).
 *
 * A daemon whose state directory made the highest epoch goes on with what it
 * has; any other takes the jobs over from the bucket.
 *
 * The loop's thread.
 */
#ifndef REKINDLE_MIRROR_H
#define REKINDLE_MIRROR_H

#include "rekindle/ship.h"

struct mirror;

struct mirror_config {
	const char *prefix;             /* "s3://bucket/team/" */
	const char *instance;           /* a name: rk_name_ok() */
	int64_t check_ms;               /* look for a higher epoch; 10 s */
	int64_t batch_ms;               /* gather changes of records; 500 */
	int64_t start_wait_ms;          /* a directory with jobs of its own goes
	                                   on without the bucket after; 30 s */
};

/* Somebody has a higher epoch: everything has been told to stop (sup drains
 * with reason taken_over, ship has stopped); the daemon should end.  `who` is a
 * sentence: epoch, host, time. */
typedef void mirror_lost_fn(void *ctx, const char *who);

/* Begins to claim; sup was opened `held`, and sup_go() and ship_go() are called
 * when the jobs are ours. */
enum rk_err mirror_open(struct mirror **mp, struct loop *l, struct remote *r,
    struct store *st, struct sup *su, struct ship *h,
    const struct mirror_config *c, mirror_lost_fn *lost, void *ctx,
    struct rk_why *why) RK_MUSTCHECK;
/* Before ship and sup are closed.  Nothing is written any more. */
void mirror_close(struct mirror **mp);

/* Every change so far into the bucket, then fn(ctx, all_written), at the latest
 * at the deadline (mono).  The last word of a drain: `text` is kept beside the
 * epoch as how this daemon left. */
typedef void mirror_flushed_fn(void *ctx, bool all);
void mirror_flush(struct mirror *m, const char *text, int64_t deadline_ms,
    mirror_flushed_fn *fn, void *ctx);

enum mirror_state { MIRROR_CLAIMING, MIRROR_TAKING, MIRROR_ALONE, MIRROR_OWNER,
	MIRROR_LOST };
extern const char *const mirror_state_words[];
/*
 * ALONE: going on without an epoch.  The bucket cannot be reached, and nothing
 * is sent; or its store ignores the condition of a put-if-absent, so that two
 * machines could both be the owner: then checkpoints go below a part of their
 * own behind the prefix, and no records.
 */
enum mirror_state mirror_state(const struct mirror *m);
/* Of one that is lost: has it the highest claim all the same?  Then whoever has
 * the jobs stops for it, and the daemon is to be started again. */
bool mirror_start_again(const struct mirror *m);
/* What a probe at the start found of put-if-absent in this bucket.  BY_HEAD: the
 * store says that it has none. */
enum mirror_absent { MIRROR_ABSENT_UNKNOWN, MIRROR_ABSENT_WORKS,
	MIRROR_ABSENT_BY_HEAD, MIRROR_ABSENT_IGNORED };
extern const char *const mirror_absent_words[];
enum mirror_absent mirror_absent(const struct mirror *m);
/* Does the bucket say of a job that is not here that it must not come back, or
 * have a record of it that we could not use?  A sentence, or NULL. */
const char *mirror_aside(const struct mirror *m, const char *id);
/* {state, prefix, instance, epoch, since, unwritten: changes of records not yet
 * in the bucket, but for what waits for a checkpoint's bytes, put_if_absent: a
 * word of the above, part: "alone/ID/" or null: where checkpoints go when the
 * store ignores put-if-absent, error: a sentence or null: what holds it up, why
 * it is alone, or who has the jobs}; a new reference. */
json_t *mirror_json(const struct mirror *m);

#endif
