/*
 * ship - checkpoints up and models down, behind the training.
 *
 * Push.  A job whose `checkpoint.push` (or the daemon's mirror) names a prefix
 * has each committed checkpoint copied to
 *
 *	PREFIX/jobs/<id>/checkpoints/<dir>[-e<epoch>]/
 *	    <files>                as in the local folder
 *	    remote.json            where each file is (its own folder, or that
 *	                           of an earlier checkpoint: same digest, sent
 *	                           once), epoch, instance
 *	    checkpoint.json        the local one's bytes, last, put if absent:
 *	                           what makes the remote checkpoint exist
 *
 * So a shard (ckpt.h) is sent with the first checkpoint that has it, and lies
 * in that folder, as all that is left of it in the end, for as long as any
 * checkpoint of the job refers to it.  Who takes the job over refers to it as
 * the newest checkpoint does that he goes on from (src/mirror/PROTOCOL), and
 * neither sends nor copies it.  An address of a checkpoint in shards, or
 * job://, means the one file that they stand for, which is joined in the cache.
 *
 * newest first, one transfer a checkpoint, several checkpoints at once.  Rows
 * in the store say how far each is; a daemon that was killed goes on at the
 * part where it was.  A key is never used for two contents: a folder whose
 * checkpoint.json is there with other bytes is left alone, and -r2, -r3 is
 * tried.  Trouble is logged when it begins and when it ends, never stops
 * training, and is retried for as long as the checkpoint is there.
 *
 * Retention.  What ckpt_retain() would keep of the remote checkpoints is kept;
 * the others go once a newer one is verified: checkpoint.json first, files that
 * no other checkpoint refers to behind it.  Nothing that is not in our rows is
 * ever deleted, and stale multipart uploads are aborted under our prefix only.
 *
 * What was verified is asked for again every recheck_ms, and soon after the
 * start, the newest and best first, a bounded number of HEADs a round.  What
 * is not there any more is `missing`: nothing counts it, it is sent again if it
 * is here, and an event (remote_missing) says so, or what is lost.
 *
 * Pull.  Addresses of models and data go through a cache of digests
 * (<state>/cache) with a size limit: one download for all who wait, resumed by
 * range, checked, the least recently used evicted, what a running job uses
 * kept.  `s3://b/k#sha256=HEX` wants exactly those bytes.  A checkpoint that
 * only the bucket has is pulled before its job starts.
 *
 * The loop's thread.  ship listens to sup and is its supplier.
 */
#ifndef REKINDLE_SHIP_H
#define REKINDLE_SHIP_H

#include "rekindle/ckpt.h"
#include "rekindle/remote.h"
#include "rekindle/sup.h"

struct ship;

struct ship_config {
	const char *state_dir;
	const char *prefix;             /* where jobs without `push` go: the
	                                   mirror's; NULL: nowhere */
	const char *instance;           /* for remote.json; "" */
	int uploads;                    /* checkpoints at once; 2 */
	uint64_t cache_limit;           /* bytes; 20 GiB */
	uint64_t disk_reserve;          /* bytes to stay free on the disk */
	int64_t stale_upload_ms;        /* abort those begun before; 24 h */
	int64_t retry_ms, retry_max_ms; /* after an upload failed; 5 s, 5 min */
	int64_t recheck_ms;             /* ask again for what is verified, once
	                                   in so long; 0: never */
	const json_t *paths;            /* `paths.allow`: a list of folders;
	                                   NULL or null: see ship_allows() */
	const char *config_file;        /* for people who are to add a line */
};
enum rk_err ship_open(struct ship **hp, struct loop *l, struct remote *r,
    struct store *st, struct sup *su, const struct ship_config *c,
    struct rk_why *why) RK_MUSTCHECK;
void ship_close(struct ship **hp);

/* Nothing is written to a bucket before ship_go() (the mirror has its epoch, 0
 * without one), nor after ship_stop() (somebody else has taken over): what is
 * on its way is cut off. */
void ship_go(struct ship *h, int64_t epoch);
/*
 * Before ship_go(): the bucket cannot say whose a key is (mirror.h, ALONE), so
 * `part` ("alone/ID/", of this directory alone) goes behind the prefix of each
 * job.  What lies elsewhere is read as ever, and neither finished nor deleted.
 */
void ship_apart(struct ship *h, const char *part);
void ship_stop(struct ship *h);
/* Names of a job's checkpoints were given or taken, without sup. */
void ship_look(struct ship *h, const char *job);

/* The prefix that this job's checkpoints go to, "" for none; a new string. */
char *ship_prefix(struct ship *h, const struct spec *spec);

/*
 * May a job do what it names (spec_places())?  said_here: the row's.  One that
 * was submitted here may; of one that came from a record what was said here
 * may, and else the stores that the configuration names, the bucket of the
 * mirror, and files and folders below `paths.allow` and below a mirror that is
 * a folder.  Why not, with the line to add, is one sentence in why (may be
 * NULL).  push_only: where it sends its checkpoints alone; as long as that is
 * not allowed the job is shipped nowhere.
 */
enum ship_allow { SHIP_ALLOWED, SHIP_STORE, SHIP_PATH };
extern const char *const ship_allow_words[];    /* store_not_allowed, ... */
enum ship_allow ship_allows(struct ship *h, const char *said_here,
    const struct spec *spec, bool push_only, struct rk_why *why);

/*
 * Where a checkpoint stands: {state: local | queued | uploading | remote |
 * verified | missing, percent, uri, error, verified_at: when all of it was seen
 * there last}; a new reference.  missing: it was in the bucket, and is not any
 * more, or not whole; error says what.
 */
json_t *ship_durability(struct ship *h, const char *job, const char *dir);
/* Checkpoints that buckets have, as ckpt_list() gives local ones; `uri` of each
 * in uris (may be NULL).  Free with ckpt_list_free() and ship_uris_free(). */
enum rk_err ship_remote_list(struct ship *h, const char *job,
    struct ckpt_info **v, char ***uris, size_t *n) RK_MUSTCHECK;
void ship_uris_free(char **uris, size_t n);
/* Those that buckets had, and have no more, or not whole: nothing goes on from
 * them.  Free with ckpt_list_free(). */
enum rk_err ship_missing_list(struct ship *h, const char *job,
    struct ckpt_info **v, size_t *n) RK_MUSTCHECK;

/* Push what is committed and not yet remote now, before its turn: an early
 * warning came. */
void ship_hurry(struct ship *h, const char *why);

/*
 * Drain.  deadline_ms on mono_ms()'s clock.  Checkpoints that are committed by
 * now and later are pushed in this order: jobs by priority, then what is least
 * to send; what cannot be finished in time at the measured rate is held back as
 * long as something else can be.  fn is called once from the loop: when all is
 * remote and no trainer runs any more, or at the deadline.  Events say for each
 * job what made it.  Called again, the nearer deadline counts.
 */
typedef void ship_drained_fn(void *ctx);
void ship_drain(struct ship *h, int64_t deadline_ms, ship_drained_fn *fn,
    void *ctx);
/* The drain is over, or is given up: what is to go up has its turn as ever.
 * Its fn is not called any more. */
void ship_undrain(struct ship *h);
/* Is all that is to be in buckets verified there? */
bool ship_all_up(struct ship *h);
/* The same for the bucket: "NAME: step 1,200 is in the bucket; ...", "" before
 * the end of a drain; ship's. */
const char *ship_drain_story(const struct ship *h);
/* What a drain of so many seconds would get done: {rate_bytes_per_second (null
 * when not known), jobs: [{id, name, priority, bytes, seconds, remote: bool
 * (would make it), have: the newest checkpoint that is remote already}]}; a new
 * reference. */
json_t *ship_rehearse(struct ship *h, double seconds);

struct ship_stats {
	int64_t queued, uploading, failed;      /* checkpoints */
	int64_t missing;        /* that were in a bucket, and are not */
	int64_t missed;         /* noticed, since the start */
	int64_t pushed, verified, pulled;       /* since the start */
	uint64_t pushed_bytes, pulled_bytes, cache_bytes;
	int64_t cache_files;
	double remote_age_seconds;              /* of the oldest of: for each
	                                   job that runs and ships, since its
	                                   last remote checkpoint was committed,
	                                   or since it began to run, if it has
	                                   none yet; -1: none runs */
};
void ship_stats(struct ship *h, struct ship_stats *out);
/* Seconds since the newest remote checkpoint of a job was committed, -1. */
double ship_remote_age(struct ship *h, const char *job);

/* --- for the registry ------------------------------------------------------- */

/*
 * model://NAME/N and model://NAME@ALIAS are fetched as other addresses are;
 * model://NAME/N/FILE is one file of the version.  Where that is the registry
 * says (models.h), which is above ship.
 */
struct ship_version {
	char *folder;                   /* its address, ends in '/' */
	char digest[RK_SHA256_HEX];     /* of the model */
	char model[64];                 /* the file that is the model; "": it is
	                                   in shards, of checkpoint.json */
	struct ckpt_file *files;        /* names, sizes, SHA-256 */
	size_t nfiles;
};
struct ship_registry {
	void *ctx;
	/* The version of a model that `which`, a number or an alias, names, as
	 * the registry knows it now; what it points to is the caller's (free()
	 * both).  RK_EBUSY: it does not know of it, and is asking the store:
	 * ship_registry_told() follows.  RK_ENOENT: there is none, or it is
	 * deleted.  why has a sentence. */
	enum rk_err (*version)(void *ctx, const char *name, const char *which,
	    struct ship_version *out, struct rk_why *why);
	/* The address of a shard of what is frozen (ckpt.h, by its name, which
	 * has its digest, and its size) in any version; the caller's, and its
	 * SHA-256.  false: none has it. */
	bool (*shard)(void *ctx, const struct ckpt_file *f, char **uri,
	    char sha256[RK_SHA256_HEX]);
	/* A file of a version was not to be had from the store, or is another
	 * there than it was (fault: a sentence), or was had (NULL). */
	void (*seen)(void *ctx, const char *name, const char *which,
	    const char *file, const char *fault);
};
void ship_registry_set(struct ship *h, const struct ship_registry *g);
/* What it knows may be more than it was. */
void ship_registry_told(struct ship *h);

/*
 * Bytes for `who`, an id that is no job's, until ship_brought(): the file of
 * weights that an address (s3: oss: https: http: model:) leads to, a
 * checkpoint's folder meaning its model; and a file of a checkpoint (its
 * folder's name) that a bucket has.  RK_OK: *path, the caller's, is where it
 * lies in the cache, which nobody writes into.  RK_EBUSY: on its way, ask again;
 * why says how far,
 * or what it waits for.  RK_EINVAL, RK_ENOENT, RK_ECORRUPT: it cannot be had;
 * RK_ENOSPC.
 */
enum rk_err ship_bring(struct ship *h, const char *who, const char *address,
    char **path, struct rk_why *why) RK_MUSTCHECK;
enum rk_err ship_bring_file(struct ship *h, const char *who, const char *job,
    const char *dir, const char *name, char **path, struct rk_why *why)
    RK_MUSTCHECK;
/* Has `who` waited in vain since then (mono): nobody answered?  why says so. */
bool ship_bring_silent(struct ship *h, const char *who, int64_t since_ms,
    struct rk_why *why);
/* checkpoint.json's text of one that a bucket has, the caller's; or NULL. */
char *ship_record_there(struct ship *h, const char *job, const char *dir);
void ship_brought(struct ship *h, const char *who);
/* May a file of this machine be named by who uses the API (`paths.allow`)?
 * RK_EINVAL at `field`, with the line to add. */
enum rk_err ship_path_ok(struct ship *h, const char *field, const char *path,
    struct rk_why *why) RK_MUSTCHECK;

/*
 * Results.  What a job of kind predict or evaluate has left (sup.h) is sent,
 * once it has succeeded, to
 *
 *	PREFIX/jobs/<id>/results/e<epoch>-a<attempt>/
 *	    predictions.jsonl, report.json
 *
 * and then its row says so (sup_results()).  ship_results(): have them in the
 * job's folder, from there, where they are not; fn is called once, from the
 * loop, later: RK_OK; RK_ENOENT: they are nowhere; RK_ETIMEDOUT: the store does
 * not answer; RK_ENOSPC and the like.  why has a sentence.  They are deleted
 * with the job.
 */
typedef void ship_results_fn(void *ctx, enum rk_err rc,
    const struct rk_why *why);
void ship_results(struct ship *h, const char *job, ship_results_fn *fn,
    void *ctx);
/* Whoever asked with this ctx has gone. */
void ship_results_forget(struct ship *h, const void *ctx);

/* --- for the mirror ----------------------------------------------------------- */

/*
 * What is deleted cannot be fenced by an epoch in its key.  So, once a guard is
 * set, it is asked before anything is deleted or aborted in a bucket, each time
 * anew, behind the verification of what makes the deletion right (the newer
 * checkpoint), or the deletion of the job: guard(ctx, answer, actx) calls
 * answer(actx, yes) once, later, from the loop: yes means that every record so
 * far is in the bucket, and that nobody had a higher epoch at a moment after
 * the question.  One answer serves for all that was decided before the
 * question; on no, ask again later.  src/mirror/PROTOCOL says why that is
 * enough.
 */
typedef void ship_answer_fn(void *actx, bool yes);
typedef void ship_guard_fn(void *ctx, ship_answer_fn *answer, void *actx);
void ship_guard_set(struct ship *h, ship_guard_fn *guard, void *ctx);

/*
 * What somebody who takes the job over would find of it: the checkpoints that
 * exist in the bucket, below where its specification sends them; as
 * ckpt_list() gives local ones, and to be freed so.
 */
enum rk_err ship_there(struct ship *h, const char *job,
    const struct spec *spec, struct ckpt_info **v, size_t *n) RK_MUSTCHECK;
/* Told when that may have become another; from within ship's own work: fn only
 * remembers it. */
typedef void ship_there_fn(void *ctx, const char *job);
void ship_there_set(struct ship *h, ship_there_fn *fn, void *ctx);

/* The remote checkpoint folders of a job below prefix, with epochs first to
 * last; found by listing, checkpoint.json and remote.json read and checked,
 * rows made.  accept(ctx, folder, epoch): does this one count?  done: how many
 * were taken, -1 with a sentence. */
typedef bool ship_accept_fn(void *ctx, const char *folder, int64_t epoch);
typedef void ship_found_fn(void *ctx, int n, const char *why);
void ship_find(struct ship *h, const char *job, const char *prefix,
    ship_accept_fn *accept, ship_found_fn *done, void *ctx);
/* Whoever asked with this ctx has gone: neither is called any more. */
void ship_find_forget(struct ship *h, const void *ctx);

#endif
