/*
 * wire - what daemon and trainer say to each other: JSON objects, one a line,
 * over a stream socket that the trainer finds at fd 3.
 *
 * The trainer speaks first (hello, and as long as it is not ready for that,
 * alive), the daemon answers (hello), and from then on each says what it has
 * to; nothing is a request that blocks.  Neither side trusts the other: a line
 * that is too long, no object, of an unknown version or with a field of the
 * wrong type is RK_EINVAL with a sentence; types nobody knows are skipped, so
 * that versions can grow.
 *
 * Trainer to daemon
 *	alive       it is at work, as on opening its data, and not yet ready for
 *	            hello.  A trainer that says neither this nor
 *	            anything else is killed as stalled; ours says it a few times
 *	            a second
 *	hello       version, pid, producer, from (folder of the checkpoint it
 *	            goes on from, "" when fresh), step, epoch, steps_total,
 *	            epochs_total, phase and phases (of a training in phases:
 *	            which is under way, from 1, of how many), parameters,
 *	            branch, schedule (object: what
 *	            schedule_look() gives), arithmetic (object of
 *	            texts, kernel.h, train.h), inexact (see ckpt.h; left out:
 *	            exact), data ({train, validation}: a sentence each: samples,
 *	            classes, balance),
 *	            memory (bytes that the job is counted with, where it does
 *	            not say resources.memory itself),
 *	            refused (true: nothing is begun, `failed` follows, and of
 *	            the other fields only pid counts)
 *	plan        summary (one sentence), plan (object: see train.h)
 *	event       kind (a word), message: for the job's event list
 *	progress    step, epoch, loss, accuracy, learning_rate,
 *	            samples_per_second, eta_seconds, stall_ratio,
 *	            data_wait_ratio (where a loader reads samples), broken
 *	            (samples that could not be read), schedule (as in hello, of
 *	            one that evaluations or phases change), phase; at most a few
 *	            a second
 *	metric      metric (the object that was appended to metrics.jsonl);
 *	            its `knowledge` is kept as the job's progress.knowledge
 *	checkpoint  checkpoint (folder), name (a person's, or ""), step, epoch,
 *	            digest, bytes (that were written for it: a frozen shard
 *	            that is a link is none), metrics, stall_seconds,
 *	            write_seconds,
 *	            arithmetic and inexact of the run (what was not known at
 *	            hello may be by now); sent after the commit
 *	log         level (debug|info|warn|error), message
 *	done        outcome (succeeded|paused|stopped), step, checkpoint,
 *	            metrics, reason (early_stopped, or left out) and then
 *	            message
 *	failed      reason (a word: non_finite_loss, bad_spec, bad_data,
 *	            bad_checkpoint, warm_start, no_memory, disk_full, read_only,
 *	            io, internal, and those that pause the job: data_changed,
 *	            arithmetic_changed, ancestor_missing, checkpoints_missing,
 *	            checkpoints_unreadable), message, permanent (true: trying
 *	            again cannot help), details (an object for the event, or
 *	            none)
 * Of a job that trains nothing (spec_use.h) a step is a sample, epochs are 0,
 * and there are no checkpoints: `checkpoint` of done is "", a `checkpoint` that
 * is asked for is answered by an event, no_checkpoint.
 *
 * Daemon to trainer
 *	hello       version
 *	checkpoint  name ("" for none): commit one at the next step boundary
 *	pause       deadline_seconds: commit, say done/paused, exit 0
 *	stop        deadline_seconds: the same with done/stopped
 *
 * The trainer that sees the socket close commits a checkpoint and leaves.
 */
#ifndef REKINDLE_WIRE_H
#define REKINDLE_WIRE_H

#include "rekindle/json.h"

#define WIRE_VERSION   1
#define WIRE_FD        3
#define WIRE_LINE_MAX  (1u << 20)

enum wire_type {
	WIRE_HELLO, WIRE_PLAN, WIRE_EVENT, WIRE_PROGRESS, WIRE_METRIC,
	WIRE_CHECKPOINT, WIRE_LOG, WIRE_DONE, WIRE_FAILED, WIRE_PAUSE,
	WIRE_STOP, WIRE_ALIVE, WIRE_UNKNOWN
};
enum wire_outcome { WIRE_SUCCEEDED, WIRE_PAUSED, WIRE_STOPPED };

/*
 * A message read.  Of the fields of its type, strings that the line leaves out
 * are "", numbers zero, objects NULL; those of other types are zero or NULL.
 * What no reader can do without is asked for: version (hello), step (progress),
 * summary, kind, message (event, log), metric, outcome, reason,
 * deadline_seconds.  kind and reason are words of a-z, 0-9 and _; from,
 * checkpoint and name are plain names or ""; numbers are finite and, but for
 * loss, accuracy and learning_rate, not negative.  Strings and objects belong
 * to `tree`; wire_msg_fini() releases it.
 */
struct wire_msg {
	enum wire_type type;
	int64_t version, pid, step, epoch, steps_total, epochs_total;
	int64_t parameters, branch, bytes, memory, phase, phases;
	double loss, accuracy, learning_rate, samples_per_second, eta_seconds;
	int64_t broken;
	double stall_ratio, data_wait_ratio, stall_seconds, write_seconds, deadline_seconds;
	const char *producer, *from, *summary, *kind, *message, *checkpoint;
	const char *name, *digest, *reason;
	const json_t *plan, *metric, *metrics, *details, *schedule;
	const json_t *arithmetic, *inexact, *data;
	enum log_level level;
	enum wire_outcome outcome;
	bool permanent, refused, has_loss, has_accuracy, has_data_wait;
	json_t *tree;
};
void wire_msg_fini(struct wire_msg *m);

/* One line (without its newline) to a message; after RK_EINVAL there is none
 * to release.  A type that nobody knows is RK_OK with WIRE_UNKNOWN. */
enum rk_err wire_parse(const char *s, size_t len, struct wire_msg *m,
    struct rk_why *why) RK_MUSTCHECK;

/* One end of the line.  Not shared between threads. */
struct wire;
struct wire *wire_new(int fd);          /* fd is owned; set non-blocking */
void wire_free(struct wire **w);        /* closes fd */
int wire_fd(const struct wire *w);

/*
 * Read what there is into the buffer: RK_OK; RK_ENOENT when the other end has
 * closed (messages read before that are still to be had); RK_EIO.
 */
enum rk_err wire_fill(struct wire *w) RK_MUSTCHECK;

/* The next whole message in the buffer: true and *m set (the caller's), or
 * false: none yet.  A bad line: true, with *rc RK_EINVAL and why. */
bool wire_next(struct wire *w, struct wire_msg *m, enum rk_err *rc,
    struct rk_why *why);

/*
 * Queue a message (takes the tree, in which "type" is set here) and write what
 * the socket takes.  What it does not take waits for wire_flush(); a line over
 * WIRE_LINE_MAX, or more than four times that waiting, is RK_ELIMIT, and
 * `progress` is dropped long before.  RK_ENOENT: the other end has closed;
 * what waited is lost.  RK_EIO.
 */
enum rk_err wire_send(struct wire *w, enum wire_type type, json_t *tree);
enum rk_err wire_flush(struct wire *w);
bool wire_pending(const struct wire *w);        /* something waits: want OUT */

/* Wait until something can be read or `ms` have passed (-1: no limit). */
bool wire_wait(struct wire *w, int ms);

extern const char *const wire_words[];          /* by enum wire_type */

#endif
