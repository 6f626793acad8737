/*
 * The supervisor from inside: what its files share.
 *
 *	open.c     opening, what a dead daemon left, closing
 *	move.c     the table of edges and the one mover; writes of a row
 *	sched.c    queue to slots; who has to make room
 *	supply.c   bytes that are fetched first
 *	spawn.c    a process for an attempt; start.c what goes before it
 *	run.c      the life of a process: its clock, its end being asked for
 *	talk.c     what it says
 *	proc.c     what the kernel knows of it
 *	log*.c     its log, bounded
 *	end.c      what its end means for the job
 *	kind.c     jobs that do not train
 *	oom.c      was it killed for memory?
 *	use.c      what a job that uses a model need not say
 *	submit.c verbs.c resume.c drain.c ask.c    what people want
 *	check.c    what a job would be refused for
 *	exporter.c checkpoints for other frameworks
 *	rate.c     may a resume change the learning rate so?
 *	disk.c     jobs that wait for room on the disk
 *	known.c    what a job has known; those that wait for their checkpoints
 *	pin.c      what jobs are about to begin from stays
 *	shipped.c  jobs that wait until their last checkpoint is elsewhere
 *	orphan.c   processes of a daemon that was killed
 *	trash.c    folders of deleted jobs
 *	record_file.c adopt.c    a job's record in its folder; folders whose jobs
 *	           the database does not know
 *	look.c     what can be seen
 *
 * A `run` is the process of an attempt, from just before the fork to the
 * transaction that records its end.  Jobs without one live in the store alone.
 */
#ifndef SUP_IMPL_H
#define SUP_IMPL_H

#include <sys/resource.h>

#include "rekindle/cgroup.h"
#include "rekindle/ckpt.h"
#include "rekindle/sup.h"
#include "rekindle/wire.h"

#define SUP_TAG         0x73757065u
#define RUN_TAG         0x72756e20u
#define SUP_LISTENERS   8
#define SUP_GENERATIONS 1024
#define SETTLE_AGAIN_MS 1000    /* an end that could not be written: again */

/* Why a run was asked to leave; the job's `desired` says the rest. */
enum leave {
	LEAVE_NO, LEAVE_WISH, LEAVE_PRIORITY, LEAVE_DRAIN,
	LEAVE_KNOWN             /* what it saves cannot be seen: known.c */
};

struct run {
	unsigned tag;
	struct sup *s;
	struct run *next;
	char id[RK_ID];
	bool trains;                    /* else its steps are samples */
	int64_t priority, threads;
	uint64_t memory;
	struct attempt_row at;          /* its row, as far as it is known */

	pid_t pid;                      /* 0: never forked */
	bool exited, settling;
	int status;                     /* of waitpid(2) */
	struct wire *wire;
	struct loop_fd *watch;
	struct loop_timer *timer;       /* the next of the clocks below */
	int64_t begun_ms;               /* mono */
	int64_t heard_ms;               /* loop_seen_ms()'s clock */
	int64_t leave_by_ms;            /* the same; 0: none.  Then SIGKILL */
	bool stopped_told;              /* an event says that it is stopped */
	int log_fd;                     /* its stderr, shared with it; -1 */
	int64_t log_from;               /* where its part of the log begins */
	int64_t log_size, log_ms;       /* at the last look; mono */

	bool hello, hello_saved;
	bool done, failed, permanent;   /* what it said of its end */
	enum wire_outcome outcome;
	char *fail_reason, *fail_message;
	json_t *fail_details;           /* for the event, or NULL */
	bool refused;                   /* it has begun nothing: hello said
					   so */
	struct {                        /* the row's, as this run makes it */
		char dir[CKPT_DIR_MAX], was[CKPT_DIR_MAX];
		int64_t step, ms;
		int64_t lost;           /* steps, told by its hello */
		bool anew, latest;      /* it may begin anew; from the latest */
	} known;

	enum leave leave;
	bool killed;                    /* by us */
	bool out_of_memory;             /* killed, by the kernel */
	int64_t oom_before;             /* kills when it began; -1: not known */
	bool no_means;                  /* no process to be had at the moment */
	const char *condemned;          /* outcome, when it misbehaved: stalled,
	                                   crashed */
	char *sentence;                 /* ... and how */

	uint64_t says_memory;           /* what it takes; 0: it does not say */
	bool memory_said;               /* the job has a resources.memory */
	int64_t step, steps_total;
	int checkpoints;                /* committed in this attempt */
	double commit_s;                /* of the last; -1: none yet */
	int64_t commit_bytes;
	int events;                     /* of its own in the job's list */
	json_t *progress;
};

/* A checkpoint that somebody waits for. */
struct asked {
	struct asked *next;
	struct run *run;
	char *name;                     /* "" for none */
	struct sup_named was;           /* who had it */
	int64_t until_ms;               /* loop_seen_ms()'s clock */
	sup_checkpoint_fn *fn;
	void *ctx;
};

struct waiter {
	struct waiter *next;
	sup_drained_fn *fn;
	void *ctx;
};

/* A trainer whose daemon was killed, as long as it holds its job's lock. */
struct orphan {
	struct orphan *next;
	char id[RK_ID];
	int64_t attempt, threads, pid;
	uint64_t memory;
	int64_t kill_ms;                /* loop_seen_ms()'s clock: when it
	                                   should have gone */
	bool told;
};

/* A queued job whose bytes are on their way, or that this machine does not let
 * have them. */
struct fetching {
	struct fetching *next;
	char id[RK_ID];
	int64_t until_ms, said_ms;      /* mono: ask again; its row was
					   written */
	bool ready;                     /* it waits no more */
	const char *reason;             /* "fetching", or as of
					   sup_supplier.allowed */
};

/* A job whose training is done and whose last checkpoint is not elsewhere. */
struct uploading {
	struct uploading *next;
	char id[RK_ID];
	bool moved;                     /* another machine trained it */
};

struct trash;
struct pin;
struct check;

struct sup {
	unsigned tag;
	struct loop *loop;
	struct store *store;
	struct sup_config c;            /* its strings are ours */
	char *jobs_dir;                 /* <state>/jobs */
	int jobs_fd;
	struct run *runs;
	struct asked *asked;
	struct check *checks;
	struct sup_export *exports;
	struct orphan *orphans;
	struct trash *trash;
	struct sup_supplier up;
	struct fetching *fetching;
	struct uploading *uploading;
	struct pin *pins;
	char (*strays)[RK_ID];          /* folders without a row, sorted */
	size_t nstrays;
	int pins_fd;                    /* <state>/pins; -1: not there yet */
	int64_t supply_ask_ms, supply_say_ms;
	int64_t shipped_ms;             /* mono: the last look */
	struct loop_timer *sched_timer, *orphan_timer, *disk_timer, *ask_timer,
	    *recover_timer, *drain_timer, *shipped_timer, *log_timer, *known_timer;
	size_t known_waiting;           /* jobs that wait: known.c */
	int64_t log_told_ms;            /* mono: that a log cannot be copied */
	int64_t sched_hold_ms;          /* mono: nothing starts before */
	bool held;                      /* sup_go() has not been called */
	int64_t epoch, epoch_before;    /* of attempts; of those that the last
	                                   daemon here made */
	bool recovered;                 /* the dead daemon's rows are settled */
	bool disk_waiting;              /* some job may wait for room */

	bool draining;
	int64_t drain_by_ms;            /* mono */
	char *drain_reason;
	struct waiter *waiters;

	struct {
		sup_listen_fn *fn;
		void *ctx;
	} listeners[SUP_LISTENERS];
	int nlisteners;
	/* By a hash of the id: two jobs may share one, which then grows more
	 * often than it must. */
	int64_t generation[SUP_GENERATIONS], generation_last;
	struct sup_totals totals;
	struct cgroup *cgroup;
	int64_t oom_told;               /* of the kernel's kills: explained */
	char *dir_buf;                  /* of sup_job_dir() */
};

/* --- move.c --------------------------------------------------------------- */

bool job_may(enum job_state from, enum job_state to);

/* What a move leaves in the row and in the list of events. */
struct cause {
	const char *word;       /* for the log: "hello", "slot free" */
	const char *reason;     /* the row's */
	const char *message;    /* the row's and the event's */
	const char *kind;       /* of the event; NULL: "state" */
	json_t *data;           /* more for the event; borrowed, or NULL */
	const struct store_note *note;  /* an Idempotency-Key, or NULL */
};
/* The only place that assigns `state`.  r has the other fields that change.
 * On an error r has its old state, reason and message again. */
enum rk_err sup_move(struct sup *s, struct job_row *r, enum job_state to,
    const struct attempt_row *a, const struct cause *c) RK_MUSTCHECK;
/* Write r, whose state is as it was. */
enum rk_err sup_put(struct sup *s, struct job_row *r,
    const struct attempt_row *a, const struct store_note *note) RK_MUSTCHECK;
void sup_tell(struct sup *s, const char *job, char what);
void set_str(char **p, const char *v);

/* --- others --------------------------------------------------------------- */

/* sched.c: look at the queue, soon. */
void sched_kick(struct sup *s);
void sched_timer_fn(void *ctx);
/* Does the job itself say resources.memory? */
bool job_says_memory(const struct job_row *r);
bool job_fits_machine(const struct sup *s, int64_t threads, uint64_t memory);

/* start.c: a job that fits: into STARTING, and fork.  RK_EBUSY: it waits for
 * bytes, others may have its place.  Another error: it stays where it was, and
 * trying at once would not help. */
enum rk_err start_job(struct sup *s, const char *id) RK_MUSTCHECK;
/* It cannot be started now, or never: to where rc says.  reason: of a
 * failure. */
enum rk_err not_startable(struct sup *s, struct job_row *r, enum rk_err rc,
    const struct rk_why *why, const char *reason) RK_MUSTCHECK;
/* job.json in its folder. */
/* record_file.c: as it is now; RK_OK, too, where there is no folder yet. */
#define RECORD_FILE "record.json"
enum rk_err record_file_put(struct sup *s, const char *id) RK_MUSTCHECK;
void record_file_keep(struct sup *s, const char *id);   /* or a warning */
/* adopt.c */
void strays_find(struct sup *s);
void strays_fini(struct sup *s);

enum rk_err write_job_file(const char *dir, const json_t *tree) RK_MUSTCHECK;
/* submit.c: the row of a job that is new; id is not set. */
void submit_row(struct job_row *r, const struct spec *spec,
    const json_t *tree);
/* The job's own newest checkpoint; RK_ENOENT. */
enum rk_err own_latest(struct sup *s, const char *id, struct ckpt_info *out)
    RK_MUSTCHECK;
/* submit.c: the file of a job:// address; RK_EINVAL with why.  path may be
 * NULL, and *path stays so when only a bucket has it; *canonical (may be NULL)
 * is the address with the job's id. */
enum rk_err job_uri_resolve(struct sup *s, const char *uri, char **path,
    char **canonical, struct rk_why *why) RK_MUSTCHECK;
/* The parsed specification of a row, which is ours; RK_ECORRUPT if it is
 * not. */
enum rk_err row_spec(const struct job_row *r, json_t **tree, struct spec **sp,
    struct rk_why *why) RK_MUSTCHECK;

/* Files and job:// of a job that are not there, sizes this machine has not,
 * addresses that it cannot fetch.  tree: that of a new job, whose vocabulary is
 * asked, too, and in which the address gets the job's id; NULL: the job is
 * old. */
enum rk_err check_job(struct sup *s, const struct spec *spec, json_t *tree,
    struct rk_why *why) RK_MUSTCHECK;
/* Its addresses, and where its checkpoints are to go. */
void check_remote(struct sup *s, const struct spec *spec, struct rk_why *why);

/* supply.c.  RK_OK, or RK_EBUSY: it is not allowed, and *reason is why. */
enum rk_err supply_allowed(struct sup *s, const struct job_row *r,
    const struct spec *spec, const char **reason, struct rk_why *why)
    RK_MUSTCHECK;
/* RK_OK: it is allowed, and all is there: `files` has a path for each address,
 * or null.  RK_EBUSY: *reason is why; RK_EINVAL, RK_ENOSPC: see struct
 * sup_supplier. */
enum rk_err supply_ask(struct sup *s, const struct job_row *r,
    const struct spec *spec, json_t *files, const char **reason,
    struct rk_why *why) RK_MUSTCHECK;
/* After RK_EBUSY: remember it, and say so in its row. */
enum rk_err supply_wait(struct sup *s, struct job_row *r, const char *reason,
    const struct rk_why *why) RK_MUSTCHECK;
bool supply_waits(const struct sup *s, const char *id);
/* It waits, and nothing but the configuration will end that. */
bool supply_denied(const struct sup *s, const char *id);
/* What overrides say of the paths and addresses of the job is said here. */
void said_by_overrides(struct job_row *r, const struct spec *was,
    const struct spec *is, const json_t *overrides);
int64_t supply_next(const struct sup *s);       /* mono: to ask again; 0 */
void supply_look(struct sup *s);        /* ask about those whose time it is */
void supply_sweep(struct sup *s);       /* forget those that wait no more */
void supply_fini(struct sup *s);

/* shipped.c.  Is the checkpoint of a job that has ended where it must be?  If
 * not, *waits is the sentence, the caller's. */
bool shipped_yet(struct sup *s, const struct job_row *r,
    const char *checkpoint, char **waits);
void shipped_wait(struct sup *s, const char *id);       /* remember it */
void shipped_find(struct sup *s);       /* all those that wait */
void shipped_look(struct sup *s);       /* soon */
void shipped_timer_fn(void *ctx);
void shipped_fini(struct sup *s);
char *sup_where(struct sup *s, const struct spec *spec);

/* verbs.c */
enum rk_err get_job(struct sup *s, const char *id, struct job_row *r,
    struct rk_why *why) RK_MUSTCHECK;
enum rk_err refuse_state(const struct job_row *r, const char *verb,
    const char *instead, struct rk_why *why);
void requeue(struct job_row *r);        /* for a move to QUEUED by a person */
enum rk_err respec(struct sup *s, struct job_row *r, const json_t *overrides,
    json_t **changed, struct rk_why *why) RK_MUSTCHECK;
char *changes_text(const json_t *changed);      /* the caller frees */

/* resume.c: is the word one of those? */
bool accepts(const char *words, const char *word);

/* rate.c: a request to go on, as far as the learning rate is concerned. */
struct rate_ask {
	const char *from;               /* a selector */
	const char *spec_before;        /* of the row, whose own is the new */
	const json_t *overrides, *changed;      /* NULL: none */
};
/* RK_EINVAL: the rate would leap, or on_resume is what cannot be had; faults
 * by the paths of the request.  *told (NULL where nothing is known) is {step,
 * was, is}; the caller's. */
enum rk_err rate_check(struct sup *s, const struct job_row *r,
    const struct rate_ask *a, json_t **told, struct rk_why *why) RK_MUSTCHECK;
/* "; the learning rate of step 19 is 0.1, where it was ..."; "" where it is as
 * it was; the caller frees. */
char *rate_text(const json_t *told);

/* spawn.c: fork and exec; run->pid, wire and log_from are set on RK_OK. */
struct spawn_args {
	const char *job_dir, *job_file, *from;
	const char *accept;             /* the row's */
	const json_t *files;            /* {address: path} */
	bool leaves;                    /* its checkpoints go elsewhere, too */
};
enum rk_err spawn(struct run *run, const struct spawn_args *a) RK_MUSTCHECK;
/*
 * Any process of a trainer.  Of our environment it gets what it may need; a
 * group of its own, in which all that it starts can be ended with it; no signal
 * blocked or ignored; less of the machine than the daemon; and of descriptors
 * these.
 */
#define SPAWN_FDS 4
struct spawn_how {
	const char *const *argv;        /* behind its name, NULL at the end */
	int nfds, fds[SPAWN_FDS];       /* ours, which become 0, 1, ...; -1:
					   /dev/null */
	const char *dir;                /* where it works; NULL: where we do */
	rlim_t cpu_s, file_bytes;       /* at most; 0: as much as we */
};
/* An errno; *pid is 0 where it is not 0. */
int spawn_trainer(const struct sup *s, const struct spawn_how *how, pid_t *pid);
/* "ADDRESS=PATH" of each file, strings that the caller frees, and how many. */
int spawn_files(const json_t *files, char *out[]);

/* check.c */
void checks_sweep(struct sup *s);       /* what a dead daemon left */
void checks_fini(struct sup *s);

/* exporter.c */
void exports_fini(struct sup *s);

/* run.c */
struct run *run_new(struct sup *s, const struct job_row *r);
void run_free(struct run *run);         /* out of the list, too */
struct run *run_find(const struct sup *s, const char *id);
enum rk_err run_watch(struct run *run) RK_MUSTCHECK;
/* Ask it to go, committing first.  by_ms: mono, 0: stop_timeout from now. */
void run_leave(struct run *run, enum leave why, bool stop, int64_t by_ms);
/* It misbehaves: kill it.  outcome is static; the sentence is copied. */
void run_condemn(struct run *run, const char *outcome, const char *fmt, ...)
    RK_PRINTF(3, 4);
void run_lose(struct run *run, const char *sentence);
void run_kill(struct run *run);
void run_clock(struct run *run);        /* set its timer anew */
void run_send(struct run *run, enum wire_type type, json_t *tree);

/* proc.c: is the process stopped (by a signal, a tracer, the freezer of its
 * control group)?  false if it is not there. */
bool proc_stopped(pid_t pid);

/* talk.c */
void talk(struct run *run, const struct wire_msg *m);
void talk_save_hello(struct run *run);  /* again, if it could not be written */

/* log_watch.c: open the log to append to it, in order and not too large; -1 and
 * errno. */
int log_open(struct sup *s, const char *id);
void log_watch(struct run *run, int fd);        /* takes fd */
void log_timer_fn(void *ctx);
void log_end(struct run *run);          /* nobody writes to it any more */

/* kind.c: the refusal of what only a job that trains has; what: more of the
 * sentence, or "". */
enum rk_err refuse_kind(const struct job_row *r, const char *what,
    struct rk_why *why) RK_MUSTCHECK;
/* "step 1,200" or "sample 1,200": how far a run is. */
#define PLACE (RK_HUMAN + 8)
const char *run_place(const struct run *run, int64_t at, char out[PLACE]);

/* end.c: it has gone; record what that means and free it, now or later. */
void run_settle(struct run *run);

/* oom.c.  Before the fork; and when it has exited: is run->out_of_memory so?
 * oom_again(): the attempt before ended so, too.  The sentence, the caller's:
 * whole with what there was and what to set. */
#define OUT_OF_MEMORY "out_of_memory"   /* outcome and reason */
/* Why a job has succeeded before its length; also where its row's progress has
 * the sentence. */
#define EARLY_STOPPED "early_stopped"

/* knowledge.c: progress.knowledge out of a metric; an attempt begins at this
 * step; has this event of the job's trainer been said before, by an attempt
 * that got no checkpoint behind it? */
#define FORGOTTEN "forgotten"
void knowledge_note(json_t *progress, const json_t *metric);
void knowledge_begins(json_t *progress, int64_t step);
bool knowledge_was_said(struct sup *s, const char *id, const char *kind,
    const char *message);
void oom_begin(struct run *run);
void oom_end(struct run *run);
bool oom_again(const struct run *run);
char *oom_sentence(const struct run *run, bool whole);

/* ask.c */
void asked_before_hello(struct run *run);       /* pass them on now */
/* Where the name was that somebody has asked for; NULL: nobody has. */
const struct sup_named *asked_was(const struct run *run, const char *name);
void asked_by_checkpoint(struct run *run, const char *dir, const char *name);
void asked_by_end(struct run *run);
void ask_timer_fn(void *ctx);
void ask_fini(struct sup *s);

/* give_name.c */
void give_name_forget(const struct sup *s, const void *ctx);
void give_name_fini(const struct sup *s);

/* drain.c */
void drain_look(struct sup *s);         /* a run has gone */
void drain_timer_fn(void *ctx);
void drain_fini(struct sup *s);
/* What a job says whose run was drained; the caller frees. */
char *drain_sentence(const struct run *run);

/* disk.c */
void disk_wait(struct sup *s);          /* some job is paused for it */
void disk_timer_fn(void *ctx);
bool disk_reason(const char *reason);   /* disk_full, read_only */

/* known.c: can one of the job's checkpoints be used, as far as can be seen
 * without reading them?  what: those set aside count, for a trainer may look
 * into them; those of other branches count, for it need not be the latest.  why
 * says what is there instead. */
enum known { KNOWN_THERE, KNOWN_MISSING, KNOWN_UNREADABLE };
#define KNOWN_ASIDE    1u
#define KNOWN_BRANCHES 2u
enum known known_look(struct sup *s, const char *id, unsigned what,
    struct rk_why *why);
/* May the job start?  supplied: what a bucket has was fetched already. */
enum known known_before_start(struct sup *s, const struct job_row *r,
    bool supplied, struct rk_why *why);
enum rk_err known_wait(struct sup *s, struct job_row *r, enum known k,
    const char *detail) RK_MUSTCHECK;           /* into PAUSED */
bool known_any(const struct job_row *r);        /* it has had one */
bool known_reason(const char *reason);
const char *known_word(enum known k);
char *known_sentence(const struct job_row *r, enum known k,
    const char *detail);                        /* the caller frees */
/* RK_EINVAL at "from": no such one while all are gone. */
enum rk_err known_refuse(const struct job_row *r, enum known k,
    const char *from, struct rk_why *why);
json_t *known_json(const struct job_row *r);    /* for an event */
void known_timer_set(struct sup *s);            /* some job waits */
void known_timer_fn(void *ctx);
/* After a move or a write: the gauge. */
void known_count(struct sup *s, const struct job_row *r, enum job_state was,
    const char *was_reason);
void known_of_row(struct run *run, const struct job_row *r);
void known_to_row(const struct run *run, struct job_row *r);
void known_begins(struct run *run, const char *dir, int64_t step);
void known_saved(struct run *run, const char *dir, int64_t step);

/* orphan.c: is a trainer of the job still there (pid: 0 if not known)?  Then it
 * is watched, and the job not started, until it has gone. */
bool orphan_look(struct sup *s, const struct job_row *r, int64_t pid);
bool orphan_has(const struct sup *s, const char *id);
void orphan_timer_fn(void *ctx);
void orphan_fini(struct sup *s);
/* Attempt n of a job; all zero when there is none. */
enum rk_err attempt_read(struct sup *s, const char *id, int64_t n,
    struct attempt_row *out) RK_MUSTCHECK;
/* What its trainer saved while no daemon heard it counts: an interrupted
 * attempt ended at the job's newest checkpoint or later, where that is its own,
 * and the job has that checkpoint: in r, which the caller writes, or in the
 * job's row where r is NULL.  Fine for any attempt, and more than once. */
void attempt_reached(struct sup *s, const char *id, int64_t n,
    struct job_row *r);

/* pin.c */
void pin_load(struct sup *s);           /* what an earlier daemon wrote */
void pin_settle(struct sup *s);         /* those that wait, and no others */
void pin_fini(struct sup *s);
/* It was queued, or held: keep what it begins from, if that is another
 * job's. */
void pin_wait(struct sup *s, const struct job_row *r);
void pin_drop(struct sup *s, const char *id);   /* it has begun, or has ended */
/* At its start: the file behind job://of/selector, pinned.  RK_EINVAL: there is
 * none; *path is NULL where only a bucket has it. */
enum rk_err pin_resolve(struct sup *s, const struct job_row *r, const char *of,
    const char *selector, char **path, struct rk_why *why) RK_MUSTCHECK;

/* trash.c: `name` is under jobs/. */
void trash_remove(struct sup *s, const char *name);
void trash_fini(struct sup *s);

#endif
