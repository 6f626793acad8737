/*
 * sup - the supervisor: queue to slots to trainer processes.
 *
 * API calls write the wish (`desired`, resume_from); the supervisor makes it
 * so.  It owns every state change of a job: sup_move() in src/sup/move.c is the
 * one place that assigns `state`, and the database row moves first.  After a
 * crash sup_open() reads wishes and states from the store, treats every job
 * that was STARTING or RUNNING as interrupted (not as failed) and goes on.
 *
 * Trainers run in a process group of their own, at a nice value, with stderr to
 * <state>/jobs/<id>/train.log (bounded by log_max), the wire at fd 3, and die
 * with the daemon in an orderly way: they see the socket close, commit, and
 * leave.  A new attempt of a job does not start before the old attempt's
 * process is gone, also when that process belonged to a daemon that was killed:
 * the trainer holds a lock on <state>/jobs/<id>/lock as long as it lives.
 *
 * Who runs: by priority, then by age, strictly; a job that does not fit holds
 * back those behind it, and one of higher priority makes lower ones save and
 * leave, which are QUEUED again (reason "priority") and go on by themselves.
 * src/sup/sched.c has the details.
 *
 * A job's progress, in memory and in its row: {step, steps_total, epoch,
 * epochs_total, phase and phases (of a training in phases: which is under way,
 * of how many), parameters, schedule: {what schedule_look() gives}, loss,
 * accuracy, learning_rate, stall_ratio, checkpoint, checkpoint_step, metrics:
 * {...}, exact (true: its bytes are those
 * of a run that nothing interrupted; false; null: not known), inexact (where it
 * is not true, why: ckpt.h)}, and while it runs samples_per_second and
 * eta_seconds; of one that was stopped early, early_stopped: why, and its
 * reason is early_stopped; after a warm start knowledge: {step, classes,
 * before, recall, few (classes with fewer than 50 samples, which are never
 * called forgotten), forgotten: [{class, name, samples, before, recall}, ...],
 * largest_fall: {as these}, where one has fallen}, of the
 * newest evaluation (train.h).  The row's is as old as the last checkpoint.
 *
 * A job whose bytes are not on this machine yet stays QUEUED, reason
 * `fetching`, and jobs behind it may start.  One with checkpoint.require_remote
 * whose training has ended is PAUSED, reason `uploading`, until its last
 * checkpoint is verified elsewhere, and then SUCCEEDED; if that was left on a
 * machine that is gone, it is QUEUED again.  struct sup_supplier are those who
 * know about either.
 *
 * A job that came from a record in a bucket and names a store or a path that
 * this machine's configuration does not let it use stays QUEUED, reason
 * `store_not_allowed` or `path_not_allowed`; jobs behind it may start.  Its
 * message, and the event `not_allowed`, have the line to add; with it, and the
 * daemon started again, it goes on.  What a person says in a resume
 * (overrides) is said here, and counts as that of a job submitted here.
 *
 * A job that has had a checkpoint never begins anew by itself.  The row keeps
 * the newest that it has had (known_dir, known_step, known_ms); when none is
 * left that can be used - here, in a bucket, set aside - the job is PAUSED with
 * `desired` RUN and the reason `checkpoints_missing`, or, where errors are what
 * stands between, `checkpoints_unreadable`.  It goes on by itself when one can
 * be seen again, and begins anew only when a person resumes it from none.  If
 * an older one is left the job goes on from that; the event `steps_lost`
 * {lost_steps, newest, from, attempt}, the row's lost_steps and sup_totals()
 * say how many steps were lost.
 *
 * A job whose data have changed since its checkpoint was taken (content, count
 * or shape) is PAUSED with the reason `data_changed`; the event's data have
 * both digests.  A person goes on with sup_resume_accept(), or puts the data
 * back and resumes.  A path may change freely: what counts is the digest.
 *
 * A trainer that the kernel killed for memory (the control group counts that)
 * has the outcome, and its job the reason, `out_of_memory`, with what there was
 * and what to set; it is a crash, and tried again by the same rules.  Of
 * several such ends in a row the first and the last one say all of it.
 *
 * A job with training.exact require, whose trainer cannot compute what its
 * checkpoint was computed with, is PAUSED with the reason `arithmetic_changed`;
 * the event's data have {checkpoint, was, is}, facts of kernel.h by name.  It
 * is resumed where they are the same again, or with another training.exact.
 *
 * A job with training.distill whose trainer cannot read the model that it
 * learns from, or finds another than when it began, is PAUSED with the reason
 * `ancestor_missing`.  It is resumed where the model is back, or without
 * training.distill.
 *
 * A job of kind predict or evaluate is queued, paused, killed and gone on with
 * as any other, but has no checkpoints: what is done lies in its folder, a line
 * a sample (SUP_PREDICTIONS), and an attempt goes on behind the last that is
 * whole; its progress counts samples as steps.  What asks for a checkpoint of
 * it is RK_ECONFLICT; checkpoint.require_remote, and what is said above of
 * checkpoints that are gone, are not for it.
 *
 * Kinds of events: submitted, state (every transition; data {from, to, reason,
 * attempt}), fetching (it began to wait for bytes), not_allowed, resumed
 * (data.changed: {path: [old, new]}, data.learning_rate: {step, was, is} of the
 * next step by the schedule in the checkpoint and by the job's), changed, pause,
 * cancel, priority, checkpoint, steps_lost, checkpoint_named, warm_start,
 * orphan, adopted (sup_adopt()), stopped (its trainer is, by a signal or the
 * like), too_large, drain, deleted, registered and not_registered
 * (training.register: models.h), and those of the trainer's own, of which
 * forgotten is not said twice in the same words.
 *
 * One thread, the loop's.
 */
#ifndef REKINDLE_SUP_H
#define REKINDLE_SUP_H

#include "rekindle/ckpt.h"
#include "rekindle/loop.h"
#include "rekindle/spec.h"
#include "rekindle/store.h"

struct sup;

struct sup_config {
	const char *state_dir;
	const char *trainer;            /* path of rekindle-train */
	int64_t threads;                /* capacity */
	uint64_t memory;
	/* These three count on loop_seen_ms()'s clock: a daemon or a machine
	 * that stood still does not make a trainer silent.  A trainer that is
	 * itself stopped (a signal, a debugger, a frozen control group) is not
	 * silent either: the job waits, an event says so, until it goes on or
	 * a person ends the job. */
	int64_t stall_timeout_ms;       /* no word from it: killed; 120 s */
	int64_t start_timeout_ms;       /* no word before hello; 60 s */
	int64_t stop_timeout_ms;        /* pause, stop: then SIGKILL; 60 s */
	int64_t retry_base_ms;          /* wait 0, base, 2*base, ... when it
	                                   crashes again and again; 1 s */
	int64_t retry_max_ms;           /* 5 min */
	int64_t disk_check_ms;          /* while disk_full: look again; 5 s */
	uint64_t disk_reserve;          /* bytes to be free before going on */
	uint64_t log_max;               /* bytes of a job's log, all its files;
	                                   64 MiB */
	int log_files;                  /* ... which are so many, 2 to 16; 4
	                                   (0: both as said here).  At
	                                   log_max / log_files train.log is
	                                   copied to train.log.1, that was
	                                   moved to .2, ..., and truncated */
	int nice;                       /* of trainers; 10 */
	bool held;                      /* start nothing, settle nothing, until
	                                   sup_go() */
	const char *instance;           /* of attempts; "" */
	const char *machine;            /* where /proc and control groups are;
	                                   NULL: this one's.  For tests */
	bool require_remote;            /* of jobs that do not say */
};

/*
 * What the supervisor asks of those above it, who fetch and ship; any may be
 * NULL.  They answer at once, from what they know; when the answer may have
 * become another, they call sup_supplied().
 */
struct sup_supplier {
	void *ctx;
	/*
	 * A queued job could start: is all that it needs on this machine - the
	 * bytes behind its addresses, and a checkpoint to go on from?  RK_OK:
	 * `files` (an object, {address: path}, to be filled) has every address
	 * that is not a path; null stands for one that this start does not
	 * need, as the model behind a checkpoint of the job's own.  RK_EBUSY:
	 * on its way; why has a sentence ("fetches s3://b/k, 43 %"), and jobs
	 * behind it may start.  RK_EINVAL: never, why
	 * says what; the job fails (reason `fetch`).  RK_ENOSPC: as a full
	 * disk.
	 */
	enum rk_err (*supply)(void *ctx, const struct job_row *r,
	    const struct spec *spec, json_t *files, struct rk_why *why);
	/* The bytes behind an address that no job has, for `who` (an id) until
	 * gone() of that: RK_OK with their path, the caller's; RK_EBUSY,
	 * RK_EINVAL at "address", RK_ENOSPC as above. */
	enum rk_err (*fetch)(void *ctx, const char *who, const char *address,
	    char **path, struct rk_why *why);
	/* Has `who` waited in vain for what is behind an address: several
	 * requests since since_ms (mono), and nobody answered one?  why has a
	 * sentence.  A job waits on; who only asks need not. */
	bool (*silent)(void *ctx, const char *who, int64_t since_ms,
	    struct rk_why *why);
	/* May it be submitted, or changed so: its addresses, and where its
	 * checkpoints are to go?  Faults by path. */
	enum rk_err (*check)(void *ctx, const struct spec *spec,
	    struct rk_why *why);
	/* Does a bucket have what this selector means, for a resume? */
	bool (*has)(void *ctx, const char *job, const char *selector);
	/* checkpoint.json of the one that has() means; the caller's.  false:
	 * there is none. */
	bool (*info)(void *ctx, const char *job, const char *selector,
	    struct ckpt_info *out);
	/* Training has ended: is the job's last checkpoint verified where
	 * checkpoint.require_remote wants it?  false: the job is PAUSED, reason
	 * `uploading`, and is asked about again after sup_supplied(). */
	bool (*shipped)(void *ctx, const struct job_row *r,
	    const struct spec *spec, const char *checkpoint);
	/* The job was deleted. */
	void (*gone)(void *ctx, const char *job);
	/* May it do what it names, on this machine?  NULL: yes.  Else the
	 * reason, a word, for which it waits QUEUED until the configuration is
	 * another one and the daemon is started again; why has the sentence.
	 * Asked before anything else is about a job that could start. */
	const char *(*allowed)(void *ctx, const struct job_row *r,
	    const struct spec *spec, struct rk_why *why);
	/* A job that has results elsewhere (sup_results()) was deleted: so are
	 * they to be. */
	void (*results_gone)(void *ctx, const struct job_row *r,
	    const char *where);
	/* The prefix that its checkpoints go to, "" for nowhere; the caller
	 * frees.  NULL: what checkpoint.push says. */
	char *(*where)(void *ctx, const struct spec *spec);
};

enum rk_err sup_open(struct sup **sp, struct loop *l, struct store *st,
    const struct sup_config *c, struct rk_why *why) RK_MUSTCHECK;
/* Kills what still runs; their jobs are found interrupted at the next start.
 * The loop must not run again after that, only be closed. */
void sup_close(struct sup **sp);

/* Before sup_go(), or before anything was submitted.  Copied.  Nothing of it is
 * called from within a callback of the store.  Without one, addresses, `push`
 * and `require_remote` are refused. */
void sup_supplier_set(struct sup *s, const struct sup_supplier *p);
/* Ask again, soon; as often as one likes. */
void sup_supplied(struct sup *s);
/* A supervisor that was opened `held` settles what the last daemon left (and
 * what was imported meanwhile) and begins to start jobs.  epoch: of attempts.
 * One that was not held settles what was imported since. */
void sup_go(struct sup *s, int64_t epoch);
bool sup_held(const struct sup *s);

/*
 * Told after something about a job has changed: what 'e' an event was written,
 * 's' its row, 'p' its progress, 'm' a metric line was written, 'l' perhaps the
 * log, 'c' a checkpoint was committed or removed.  job "" for the daemon.
 * A listener may read from the store and call what only looks, not the verbs.
 * There may be a few of them.
 */
typedef void sup_listen_fn(void *ctx, const char *job, char what);
void sup_listen(struct sup *s, sup_listen_fn *fn, void *ctx);
void sup_unlisten(struct sup *s, sup_listen_fn *fn, const void *ctx);

/* Write an event of a job ("" for the daemon) and tell the listeners.  A
 * failure is logged, no more. */
void sup_event(struct sup *s, const char *job, const char *kind,
    const char *message, const json_t *data);

/* Write the job's row again as it is, under the next version. */
enum rk_err sup_renew(struct sup *s, const char *id) RK_MUSTCHECK;

/* --- verbs ------------------------------------------------------------------
 * RK_ENOENT no such job; RK_ECONFLICT not in this state (why says which state
 * and what would be possible); RK_EINVAL (why); or the store's errors.  `note`
 * may carry an Idempotency-Key; its kind and message are set here.
 */

/* Queue (or hold) a job; id is set.  `spec` stays the caller's.  Refuses what
 * asks for more threads or memory than the machine has, an unknown job://, a
 * missing file.  RK_EBUSY: draining, no new work.  What the job does not say
 * and the daemon knows better is filled in (sup_config.require_remote). */
enum rk_err sup_submit(struct sup *s, const struct spec *spec, char id[RK_ID],
    struct store_note *note, struct rk_why *why) RK_MUSTCHECK;
/*
 * The whole job of kind predict or evaluate that `said` (a tree) asks for:
 * spec_use() with what is known of its model.checkpoint: of job:// and of the
 * folder or the model of a checkpoint, the job that made it and its
 * checkpoint.json; of others nothing.  A new reference.  RK_EINVAL: there is no
 * such job or checkpoint.
 */
enum rk_err sup_use(struct sup *s, const json_t *said, json_t **job,
    struct rk_why *why) RK_MUSTCHECK;
/*
 * What would it be refused for?  Nothing is kept.  What sup_submit() would
 * refuse is refused at once, RK_EINVAL; the rest a trainer finds out, and fn is
 * called once, from the loop: RK_OK with what `rekindle-train --check` printed
 * (train.h), accepted or not; else a sentence: RK_ETIMEDOUT (bytes were not
 * fetched, or data not read, in two minutes; or nobody answers at an address,
 * which some seconds tell), RK_EINVAL, RK_EIO and the like.
 * RK_ELIMIT: four are checked already.  sup_check_forget(): the asker has gone.
 */
typedef void sup_check_fn(void *ctx, enum rk_err rc, const json_t *said,
    const struct rk_why *why);
enum rk_err sup_check(struct sup *s, const struct spec *spec, sup_check_fn *fn,
    void *ctx, struct rk_why *why) RK_MUSTCHECK;
/*
 * The same of a resume of a job that rests, with these overrides: faults of
 * theirs have overrides. before them.  The job is checked as it would begin
 * anew: no checkpoint is looked into, and the model of a warm start is read.
 * RK_ECONFLICT: it does not rest.  RK_ETIMEDOUT after within_ms.
 */
enum rk_err sup_check_resume(struct sup *s, const char *id,
    const json_t *overrides, int64_t within_ms, sup_check_fn *fn, void *ctx,
    struct rk_why *why) RK_MUSTCHECK;
/*
 * What is in the file of weights that an address leads to (s3:, oss:, https:,
 * http:, what of it is meant behind it: struct rk_part)?  It is fetched as a
 * job's would be, and fn is called as of sup_check(): RK_OK with what
 * `rekindle-train --inspect` printed, `path` being the address; statistics:
 * with those.  RK_EINVAL at "address": it is no such address, or no file that
 * can be read.
 */
enum rk_err sup_inspect(struct sup *s, const char *address, bool statistics,
    sup_check_fn *fn, void *ctx, struct rk_why *why) RK_MUSTCHECK;
/* The same of a file that lies here; `called` is what people call it, and has
 * nothing of struct rk_part. */
enum rk_err sup_inspect_file(struct sup *s, const char *path,
    const char *called, sup_check_fn *fn, void *ctx, struct rk_why *why)
    RK_MUSTCHECK;
/* The same file's bytes, once they are known to be weights: fd is the caller's,
 * or -1.  Of an archive they are the archive's. */
typedef void sup_weights_fn(void *ctx, enum rk_err rc, int fd,
    const struct rk_why *why);
enum rk_err sup_weights(struct sup *s, const char *address, sup_weights_fn *fn,
    void *ctx, struct rk_why *why) RK_MUSTCHECK;
/*
 * What would this job best begin from?  candidates: the file of warm_suggest.h,
 * taken; one may have `address` in place of `file`, which is fetched.  The jobs
 * of this daemon that have had a checkpoint are added, newest first, by the id
 * job://ID; but: one that is not (an id, or NULL).  fn is called as of
 * sup_check(): RK_OK with what `rekindle-train --suggest` printed (train.h), and
 * jobs_left, how many jobs were not looked at.  A warm start that the job has
 * and that cannot be had in some seconds is told as own.error.
 */
enum rk_err sup_suggest(struct sup *s, const struct spec *spec,
    const char *but, json_t *candidates, sup_check_fn *fn, void *ctx,
    struct rk_why *why) RK_MUSTCHECK;
struct sup_file {
	const char *name, *path;
};
/* The tensors of a file of weights that lies here (its name: what people call
 * it) as another framework's file
 * (one of ckpt_form_files, but the optimizer's), by the names of the network of
 * a job (its normal form as text), or NULL: by its own.  fn as of
 * sup_weights(); RK_ECONFLICT: it cannot be that. */
enum rk_err sup_convert(struct sup *s, const struct sup_file *of,
    const char *spec, const char *file, sup_weights_fn *fn, void *ctx,
    struct rk_why *why) RK_MUSTCHECK;
/* Of all of these. */
void sup_check_forget(struct sup *s, const void *ctx);
enum rk_err sup_start(struct sup *s, const char *id, struct store_note *note,
    struct rk_why *why) RK_MUSTCHECK;           /* HELD -> QUEUED */
enum rk_err sup_pause(struct sup *s, const char *id, struct store_note *note,
    struct rk_why *why) RK_MUSTCHECK;           /* idempotent */
/* PAUSED, or an ended job taken further: from a selector (NULL: latest), with
 * overrides (NULL: none).  A job on its way to a pause is let go on.  A
 * selector that finds nothing is RK_EINVAL at "from", with what there is;
 * faults of overrides begin with "overrides.".  Among these: a change of the
 * schedule or the length that would make the learning rate leap
 * (schedule_check()), judged by the checkpoint that is gone on from, here or in
 * a bucket, or, while all are gone, by how far the newest one was and what the
 * job says. */
enum rk_err sup_resume(struct sup *s, const char *id, const char *from,
    const json_t *overrides, struct store_note *note, struct rk_why *why)
    RK_MUSTCHECK;
/* The same, and a list of what the person accepts (NULL: nothing): words of
 * sup_accept_words.  It counts until the next checkpoint is made.  An unknown
 * word is RK_EINVAL at "accept[N]". */
extern const char *const sup_accept_words[];    /* data; then NULL */
enum rk_err sup_resume_accept(struct sup *s, const char *id, const char *from,
    const json_t *overrides, const json_t *accept, struct store_note *note,
    struct rk_why *why) RK_MUSTCHECK;
enum rk_err sup_cancel(struct sup *s, const char *id, struct store_note *note,
    struct rk_why *why) RK_MUSTCHECK;
enum rk_err sup_retry(struct sup *s, const char *id, struct store_note *note,
    struct rk_why *why) RK_MUSTCHECK;   /* FAILED, CANCELLED -> QUEUED */
/* Of one that has ended; its folder, too.  RK_ECONFLICT also where another is
 * about to begin from it. */
enum rk_err sup_delete(struct sup *s, const char *id, struct store_note *note,
    struct rk_why *why) RK_MUSTCHECK;
/* priority, labels, checkpoint.keep: an object with those fields, merged as RFC
 * 7396 says.  keep counts from the next attempt on. */
enum rk_err sup_patch(struct sup *s, const char *id, const json_t *fields,
    int64_t if_version, struct store_note *note, struct rk_why *why)
    RK_MUSTCHECK;                               /* if_version -1: any */

/*
 * Folders in <state>/jobs whose job the database has no record of, found by
 * sup_go() (the log names them then): how many, and of each its id, its name
 * ("" if that cannot be read), and why it cannot be taken back, or "".  fn may
 * be NULL; it returns false to stop.
 */
typedef bool sup_stray_fn(void *ctx, const char *id, const char *name,
    const char *why);
size_t sup_strays(struct sup *s, sup_stray_fn *fn, void *ctx);
/*
 * Take such a job back from its folder: from record.json, which is its record
 * as it was when the job last rested or started, else from job.json.  Its id,
 * name, priority, labels, attempts and Idempotency-Keys stay; what had ended
 * has ended, anything else is PAUSED, reason `adopted`, and goes on from the
 * newest checkpoint in the folder when it is resumed.  RK_ENOENT: there is no
 * such folder; RK_ECONFLICT: the database has the job, its trainer has not left
 * yet, or another instance trained it; RK_EINVAL: what lies there cannot be
 * used.  Why has a sentence in each case.
 */
enum rk_err sup_adopt(struct sup *s, const char *id, struct rk_why *why)
    RK_MUSTCHECK;

/*
 * A name that is given again moves.  Where it was before: dir is "" when it was
 * nowhere; kept: that one has another name, too.  moved: "mine moved from
 * step-000000845, which retention may delete now", or NULL when it did not move
 * to `to`; the caller frees.
 */
struct sup_named {
	char dir[CKPT_DIR_MAX];
	bool kept;
};
void sup_named_look(struct sup *s, const char *id, const char *name,
    struct sup_named *out);
char *sup_named_moved(const struct sup_named *was, const char *name,
    const char *to);

/*
 * Save now.  A running job's trainer is asked, and fn is called once: RK_OK
 * with the checkpoint's folder, or dir NULL and a sentence (RK_ECONFLICT: the
 * trainer ended; RK_ETIMEDOUT).  A job that is not running has its latest
 * checkpoint named, as by sup_give_name(); with no name fn is called before the
 * return.  RK_ECONFLICT: it is not running and has none.  fn is not called when
 * an error is returned.  sup_checkpoint_forget(): the asker has gone; what was
 * asked for is done.
 */
typedef void sup_checkpoint_fn(void *ctx, enum rk_err rc, const char *dir,
    const char *why);
enum rk_err sup_checkpoint(struct sup *s, const char *id, const char *name,
    sup_checkpoint_fn *fn, void *ctx, struct rk_why *why) RK_MUSTCHECK;
/*
 * A checkpoint (its folder's name) as `file`, one of ckpt_form_files, whose
 * bytes are read from number `from` on.  On RK_OK *out is the caller's, and
 * begun() is called once, from the loop, later: RK_OK with how many bytes the
 * file has, or why there is none: RK_ECONFLICT (there is no such form of it),
 * RK_ENOENT, RK_ECORRUPT, RK_ETIMEDOUT, RK_EIO ...; it may call
 * sup_export_end().  RK_ELIMIT: as many as may be are exported already.
 *
 * sup_export_read(): after begun() had RK_OK.  The next bytes, at most n; 0:
 * there are none yet, and ready() is called once when it is worth asking again;
 * -1: there will be no more, which is too early where they were not all.
 * sup_export_end(): nothing more is called.  NULL inside is fine.
 */
struct sup_export;
typedef void sup_export_fn(void *ctx, enum rk_err rc, uint64_t bytes,
    const struct rk_why *why);
typedef void sup_export_ready_fn(void *ctx);
enum rk_err sup_export(struct sup *s, const char *id, const char *dir,
    const char *file, uint64_t from, sup_export_fn *begun, void *ctx,
    struct sup_export **out, struct rk_why *why) RK_MUSTCHECK;
/* The same of a checkpoint whose files lie anywhere, by these names,
 * checkpoint.json among them; spec: the normal form of the job that made it, as
 * text. */
enum rk_err sup_export_files(struct sup *s, const struct sup_file *v, size_t n,
    const char *spec, const char *file, uint64_t from, sup_export_fn *begun,
    void *ctx, struct sup_export **out, struct rk_why *why) RK_MUSTCHECK;
ssize_t sup_export_read(struct sup_export *e, char *buf, size_t n,
    sup_export_ready_fn *ready, void *ctx);
void sup_export_end(struct sup_export **e);
/* Give one that is there a name: ckpt_name(), by a worker, as it may read all
 * files.  fn is called from the loop, later: RK_OK, or ckpt_name()'s errors. */
void sup_give_name(struct sup *s, const char *id, const char *dir,
    const char *name, sup_checkpoint_fn *fn, void *ctx);
void sup_checkpoint_forget(struct sup *s, void *ctx);

/*
 * Drain: no new work; every trainer commits and leaves before deadline_ms (on
 * mono_ms()'s clock, and later by as long as nothing is seen until then:
 * loop_seen_ms()), and its job is queued again, with this reason (a word:
 * shutdown, drain, preempted, taken_over), for the next daemon.  What is still
 * there at the deadline is killed and goes on from its last checkpoint.  fn
 * (may be NULL) is called once from the loop when none runs any more.  Called
 * again, the nearer deadline counts, and both are told; the first reason stays,
 * but for taken_over (the jobs are another daemon's by now).  A drained
 * supervisor stays drained, until sup_undrain().
 */
typedef void sup_drained_fn(void *ctx);
void sup_drain(struct sup *s, int64_t deadline_ms, const char *reason,
    sup_drained_fn *fn, void *ctx);
/* What a drain would have to do now: {jobs: [{id, name, step, priority,
 * commit_seconds (of its last checkpoint in this attempt), bytes (of its last
 * checkpoint)}]}, null where there was none; of jobs with a process, in the
 * order of the queue; a new reference. */
json_t *sup_drain_rehearse(struct sup *s);
/* The reason is gone: jobs have their turn again, and new work is taken.  fn of
 * a drain is not called any more. */
void sup_undrain(struct sup *s);
bool sup_draining(const struct sup *s);
/* The reason of the drain, "" where there is none. */
const char *sup_drain_reason(const struct sup *s);

/* --- what jobs begin from ---------------------------------------------------
 * A job whose model.checkpoint is job://A/SELECTOR begins from what A has: from
 * the checkpoint that step:N, a name or a folder meant when the job was
 * submitted; latest and best are settled when it first starts, and the event of
 * that start says which one it was.  That checkpoint stays, here and in the
 * bucket, until the job has one of its own or has ended, and A cannot be
 * deleted before.  Pins are in <state>/pins; they survive the daemon.
 */

/* Those who are about to begin from a job; what: a folder, or the selector
 * while that is not settled.  fn returns false to stop. */
typedef bool sup_pin_fn(void *ctx, const char *id, const char *what);
void sup_pins(const struct sup *s, const char *of, sup_pin_fn *fn, void *ctx);
/* The folder of `of` that job id begins from, once settled; NULL.  Borrowed. */
const char *sup_pinned(const struct sup *s, const char *id, const char *of);
/* Settle it: for who finds it in a bucket. */
enum rk_err sup_pin(struct sup *s, const char *id, const char *of,
    const char *dir) RK_MUSTCHECK;
/* Is a job (perhaps itself, resumed from there) about to begin from this
 * checkpoint?  Then it should stay; id says which. */
bool sup_needed_by(struct sup *s, const char *job, const char *dir,
    char id[RK_ID]);

/* --- looks ---------------------------------------------------------------- */

/* Live progress of a running job (newer than the row's), borrowed; NULL. */
const json_t *sup_progress(const struct sup *s, const char *id);
/* Grows with each change of a job's progress or row that a reader could see. */
int64_t sup_generation(const struct sup *s, const char *id);
void sup_stats(const struct sup *s, int *running, int64_t *queued,
    int64_t *threads_used, uint64_t *memory_used);
/* The threads that a job gets here: what it says, or all there are to give. */
int64_t sup_threads(const struct sup *s, const struct job_row *r);
/* What it is counted with: what it says, or what its trainer has said that it
 * takes; 1 GiB (all of a smaller daemon's) as long as nobody has. */
uint64_t sup_memory(const struct sup *s, const struct job_row *r);
/* What it is for: train, predict or evaluate.  Does it train? */
const char *sup_kind(const struct job_row *r);
bool sup_trains(const struct job_row *r);
/*
 * Where the results of a job that does not train are beside its folder: the
 * address of a folder of a bucket, ending in '/', once they were sent there;
 * the caller frees; NULL: nowhere.  It is the row's progress.results, and so
 * goes with the job to other machines.  RK_ECONFLICT: it has not succeeded.
 */
#define SUP_PREDICTIONS "predictions.jsonl"
#define SUP_REPORT      "report.json"
char *sup_results(const struct job_row *r);
enum rk_err sup_results_are(struct sup *s, const char *id, const char *where)
    RK_MUSTCHECK;
/* <state>/jobs/<id>; borrowed until the next call. */
const char *sup_job_dir(struct sup *s, const char *id);
/*
 * A job's log, its files as one.  A byte's place in it stays what it is when
 * the files are rotated; the oldest bytes go, and extent says which there are.
 * Bytes that were lost or left out have a line in the log that says how many.
 *
 * Read up to n bytes from *pos on, which becomes the first place that there
 * still is if it is before that.  0: no more; -1 and errno: no descriptor, or
 * the disk.
 */
ssize_t sup_log_read(struct sup *s, const char *id, int64_t *pos, char *buf,
    size_t n);
/* 0 and 0 if there is none.  false and errno: it cannot be told. */
bool sup_log_extent(struct sup *s, const char *id, int64_t *first,
    int64_t *end);
/* Does a trainer hold the lock of the job's folder, ours or one that an earlier
 * daemon left behind? */
bool sup_job_locked(struct sup *s, const char *id);
/* Sums since the daemon's start, for /metrics. */
struct sup_totals {
	int64_t attempts, crashes, stalls, oom_kills, checkpoints, checkpoint_bytes;
	int64_t forgotten;      /* events of that kind */
	int64_t lost_steps;     /* gone on from older than the newest known */
	double stall_seconds, write_seconds;
	uint64_t log_lost_bytes;        /* of logs, that a line tells of */
};
/* Jobs that wait for a line in the configuration: those with this reason
 * (store_not_allowed, path_not_allowed). */
int64_t sup_not_allowed(const struct sup *s, const char *reason);
/* Jobs that are PAUSED until one of their checkpoints can be used again. */
int64_t sup_checkpoints_missing(const struct sup *s);
void sup_totals(const struct sup *s, struct sup_totals *out);

#endif
