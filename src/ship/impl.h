/*
 * ship from inside.
 *
 *	ship.c     opening, going, stopping; what sup tells
 *	job.c      what a job's specification says of shipping
 *	allow.c    what a job that came from a record may reach for
 *	rows.c     rows of the store, and the lists of files in them
 *	note.c     remote.json and names.json: written, and read from strangers
 *	scan.c     which local checkpoints are to be pushed
 *	queue.c    which of them next; trouble, and when to try again
 *	push.c open.c claim.c verify.c     one checkpoint on its way up
 *	sums.c     SHA-256 for files that checkpoint.json names without
 *	names.c    names that were given later
 *	retain.c   which remote ones stay; delete.c takes the others away
 *	find.c     what is in a bucket that we do not know; reappear.c: what was
 *	           missing there, and is there again; recheck.c: is what was
 *	           verified still there?
 *	cache.c    files by digest; fetch.c part.c model.c version.c one
 *	           download for all who wait
 *	choose.c   which checkpoint a start needs; pull.c brings it here, mend.c
 *	           what is damaged of those that are here
 *	supply.c   what sup asks; bring.c what the registry asks
 *	plan.c     what can be sent in time; drain.c, rehearse.c
 *	look.c     durability, lists, numbers
 *	sweep.c    stale multipart uploads
 *	results.c  what jobs that do not train leave; results_here.c brings it
 *	           back
 *
 * The rows are the truth: what is in memory (a push, a deletion, a fetch) can
 * be thrown away at any time and is made again from them.
 */
#ifndef SHIP_IMPL_H
#define SHIP_IMPL_H

#include "rekindle/ship.h"

#define SHIP_TAG   0x73686970u
#define PUSH_TAG   0x70757368u
#define FETCH_TAG  0x66657463u
#define PULL_TAG   0x70756c6cu
#define FIND_TAG   0x66696e64u

#define NOTE_MAX     (1u << 20)         /* remote.json, names.json */
#define HISTORY_MAX  (16u << 20)        /* of metrics.jsonl and the like */
#define NAMES_MAX    64                 /* of a checkpoint */
#define FOLDER_MAX   128                /* "step-000001200-b2-e3-r2" */
#define SHIP_TRIES   6                  /* of a request, before we wait */
#define PUSH_FOLDERS 99                 /* -r2 ... */

#define RS_BIT(s)  (1u << (s))
#define RS_THERE   (RS_BIT(RS_REMOTE) | RS_BIT(RS_VERIFIED))
#define RS_TO_DO   (RS_BIT(RS_QUEUED) | RS_BIT(RS_UPLOADING))

/* --- rows.c: lists of files and rows ------------------------------------- */

struct rfile {
	char name[64];
	uint64_t size;
	char sha256[RK_SHA256_HEX];
	char *uri;                      /* owned */
};
/* A row's `files`: where each is, and the names that people gave (an element
 * {"names": [...]} of the same list). */
struct rfiles {
	struct rfile v[CKPT_MAX_FILES];
	int n;
	char **names;                   /* then NULL; owned; NULL: none */
};
void rfiles_fini(struct rfiles *f);
void rfiles_add(struct rfiles *f, const char *name, uint64_t size,
    const char *sha256, const char *uri);
void rfiles_parse(struct rfiles *f, const char *text);
char *rfiles_text(const struct rfiles *f);
bool names_same(char *const *a, char *const *b);        /* sorted, or NULL */
char **names_copy(char *const *names);
void names_free(char **names);

struct idlist {
	char (*v)[RK_ID];
	size_t n;
};

struct rows {
	struct remote_row *v;
	size_t n;
};
/* Copies; newest first, as the store has them.  A failure is logged: none, or
 * some. */
void rows_load(struct ship *h, const char *job, unsigned states,
    struct rows *out);
enum rk_err rows_try(struct ship *h, const char *job, unsigned states,
    struct rows *out) RK_MUSTCHECK;
void rows_fini(struct rows *r);
void row_copy(struct remote_row *to, const struct remote_row *from);
/* Written, or logged and false. */
bool row_save(struct ship *h, const struct remote_row *r);
bool row_drop(struct ship *h, const struct remote_row *r);
void row_set(char **field, const char *text);
bool row_same(const struct remote_row *a, const struct remote_row *b);
/* checkpoint.json of a row, with names, and with the SHA-256 that the row knows
 * of files whose checkpoint.json does without; false (logged) if it is none. */
bool row_info(const struct remote_row *r, struct ckpt_info *out);
/* Of rows that are there, newest first: one a folder's name, as ckpt_list()
 * orders them; at[i] is the row of v[i].  Free both. */
void rows_infos(const struct rows *r, struct ckpt_info **v, size_t **at,
    size_t *n);
/* What is in the bucket is not whole: it does not count any more.  Where
 * remote_ms is not 0 it is missing, and may be there again (reappear.c). */
void row_damaged(struct ship *h, struct remote_row *r, const char *what);
bool starts_with(const char *s, const char *prefix);
/* An event of a job; data may be NULL. */
void ship_event(struct ship *h, const char *job, const char *kind,
    const json_t *data, const char *fmt, ...) RK_PRINTF(5, 6);

/* --- allow.c ------------------------------------------------------------- */

void allow_open(struct ship *h, const struct ship_config *c);
void allow_fini(struct ship *h);
/* Of a job that is submitted here: is each path of it in `paths.allow`?  The
 * same of one place, RK_EINVAL. */
void allow_check(struct ship *h, const struct spec *spec, struct rk_why *why);
enum rk_err allow_place(struct ship *h, const struct spec_place *p,
    struct rk_why *why) RK_MUSTCHECK;

/* --- job.c --------------------------------------------------------------- */

struct jobinfo {
	char *prefix;                   /* "" for none, else ends in '/' */
	char *base;                     /* PREFIX/jobs/<id>/checkpoints/ */
	char *name, *metric, *resume_from;
	enum job_state state;
	int64_t priority, keep_last, keep_best;
	bool mode_max;
};
bool job_look(struct ship *h, const char *id, struct jobinfo *out);
void job_of_row(struct ship *h, const struct job_row *r, struct jobinfo *out);
void jobinfo_fini(struct jobinfo *j);
char *job_base(const char *prefix, const char *id);
/* May what is at this address of a row be written and deleted (ship_apart())? */
bool job_may_write(const struct ship *h, const char *uri);
char *job_folder(struct ship *h, const char *id);       /* .../checkpoints */
/* Both of a row's uri. */
char *base_of_uri(const char *uri);
char *prefix_of_uri(const char *uri);
/* BASE<dir>[-e<epoch>][-r<n>]/ */
char *folder_uri(const char *base, const char *dir, int64_t epoch, int n);
/* "step-000001200-b2-e3-r2": the parts; false: not one of ours. */
bool folder_parse(const char *name, char dir[CKPT_DIR_MAX], int64_t *epoch);

/* --- note.c -------------------------------------------------------------- */

/* remote.json.  `folder` of a file: a checkpoint's beside this one. */
struct note_file {
	char name[64];
	uint64_t size;
	char sha256[RK_SHA256_HEX];
	char folder[FOLDER_MAX];
};
struct rnote {
	char job[RK_ID], checkpoint[CKPT_DIR_MAX], digest[RK_SHA256_HEX];
	char instance[RK_NAME_MAX + 1];
	int64_t epoch;
	struct note_file files[CKPT_MAX_FILES];
	int nfiles;
	char **names;                   /* owned */
};
enum rk_err rnote_parse(const char *text, size_t len, struct rnote *out,
    struct rk_why *why) RK_MUSTCHECK;
void rnote_fini(struct rnote *n);
/* Of a row under base; the caller frees. */
char *rnote_text(const struct ship *h, const struct remote_row *r,
    const struct rfiles *f, const char *base);
/* Is it of this checkpoint.json, with the same files in the same order?  Where
 * i has no SHA-256 of a file, the note's is the one. */
bool rnote_is_of(const struct rnote *n, const struct ckpt_info *i,
    const char *job, const char *info);
void rnote_files(const struct rnote *n, const char *base, struct rfiles *f);
/* Do both say the same but for the names? */
bool rnote_same(const char *a, size_t alen, const char *b);
char *names_text(char *const *names);
char **names_parse(const char *text, size_t len);       /* NULL: none good */

/* --- sums.c -------------------------------------------------------------- */

/* rc: RK_OK, and each of files, as many as were asked for, has its SHA-256;
 * RK_ECORRUPT: one of them is not what was written; why is a sentence. */
typedef void sums_done_fn(void *ctx, enum rk_err rc,
    const struct ckpt_file *files, const char *why);
struct sums;
/* A worker reads the files, which have xxh128 or SHA-256; fd stays the
 * caller's.  Then done, on the loop's thread. */
struct sums *sums_start(struct ship *h, const int *fd,
    const struct ckpt_file *files, int n, sums_done_fn *done, void *ctx);
void sums_drop(struct sums **s);        /* done will not be called */

/* --- queue.c ------------------------------------------------------------- */

/* Trouble with a destination or a row, by key. */
struct trouble {
	struct trouble *next;
	char *key;
	int n;
	int64_t at_ms;                  /* mono: not before */
	bool told;
	bool denied;                    /* no time will help, but a person */
};
struct trouble *trouble_of(struct ship *h, const char *key, bool make);
void trouble_over(struct ship *h, const char *key);
void trouble_add(struct ship *h, const char *key);
bool trouble_waits(struct ship *h, const char *key);
void troubles_fini(struct ship *h);
/* The store of prefix does not do what this job needs; and does again. */
void store_fails(struct ship *h, const char *prefix, const char *job,
    enum remote_end end, const char *sentence);
void store_works(struct ship *h, const char *prefix, const char *job);

void queue_kick(struct ship *h);        /* look, soon */
void queue_timer_fn(void *ctx);

/* --- push.c, claim.c, verify.c ------------------------------------------- */

/*
 * An older epoch's folder may be on its way out by the owner before us: only
 * the newest of them, and what that one refers to, is sure to stay.
 */
struct heir {
	char job[RK_ID];
	char *uri;
	size_t rank;                    /* place in the list that was read */
};
bool heir_is(const struct ship *h, const struct remote_row *r);

struct push {
	unsigned tag;
	struct ship *h;
	struct push *next;
	struct remote_row row;
	struct rfiles files;
	char *prefix, *base;
	int dirfd, fd[CKPT_MAX_FILES];
	bool there[CKPT_MAX_FILES];
	bool opened;                    /* the local files */
	char *note;                     /* remote.json's text */
	struct remote_op *op;
	struct sums *sums;              /* before the plan */
	bool large;                     /* op is an upload */
	bool held;
	int at;                         /* file that op is about */
	int rounds;                     /* of repair */
	size_t history;                 /* the one that is sent */
	int64_t begun_ms;               /* mono */
	uint64_t sent;                  /* by this push */
};
/* push.c: what a job's folder has that goes up beside each checkpoint, and
 * comes back with one where it is missing: lines, of which the newest count. */
#define SHIP_HISTORIES 2
extern const char *const ship_histories[SHIP_HISTORIES];
void push_start(struct ship *h, const struct remote_row *r);
struct push *push_find(const struct ship *h, const struct remote_row *r);
void push_free(struct push *p);         /* out of the list, cut off */
void push_hold(struct push *p, bool hold);
/* Bytes of all that are there, those on the wire included. */
uint64_t push_moved(const struct push *p);
/* It ends: the row keeps its state for another time. */
void push_fail(struct push *p, const struct remote_result *r);
/* A HEAD of file p->at was answered: there[at] says whether what is there
 * agrees.  false: trouble, and the push has ended. */
bool push_seen(struct push *p, const struct remote_result *r);
void push_fail_text(struct push *p, enum remote_end end, const char *text);
bool push_save(struct push *p, enum remote_state state);
struct remote_patience push_patience(void);
bool result_agrees(const struct remote_result *r, const struct rfile *f);
bool result_known(const struct remote_result *r);
bool push_own(const struct push *p, int i);     /* is file i in its folder? */
char *push_uri(const struct push *p, const char *name);
bool push_open(struct push *p);         /* open.c: the local files */
bool push_plan(struct push *p);         /* open.c: where each is to be */
/* open.c: has a file no SHA-256 yet?  Then a worker makes it and done
 * follows. */
bool push_sums(struct push *p, sums_done_fn *done);
void push_check(struct push *p);        /* claim.c: is the folder free? */
void push_elsewhere(struct push *p);    /* claim.c: no; the next */
void drop_referrers(struct push *p, const struct rfile *f);
void push_files(struct push *p);        /* push.c: the next that is not there */
void push_remote(struct push *p);       /* verify.c: checkpoint.json is there */
void push_gone(struct push *p);         /* the local files are not there */

/* --- the others ---------------------------------------------------------- */

void scan_job(struct ship *h, const char *job);
void scan_later(struct ship *h, const char *job);
void scan_all(struct ship *h);
void scan_timer_fn(void *ctx);
void scan_fini(struct ship *h);

struct naming;
void naming_start(struct ship *h, const struct remote_row *r,
    char *const *names);
void naming_gone(struct ship *h, const char *job);
void naming_fini(struct ship *h);
/* Those that the local checkpoint has now; the caller frees. */
char **names_here(struct ship *h, const char *job, const char *dir);

void retain_job(struct ship *h, const char *job, const struct jobinfo *j);
struct deletion;
void delete_look(struct ship *h);        /* begin with what is to go */
void delete_stop(struct ship *h);
void delete_fini(struct ship *h);
/* Row into DELETING; false (logged) if that cannot be written. */
bool delete_row(struct ship *h, struct remote_row *r, const char *why);

struct find;
void find_fini(struct ship *h);
/* ship_find(), and what was passed over (RS_DROPPED) may count again. */
void find_dropped(struct ship *h, const char *job, const char *prefix,
    ship_accept_fn *accept, ship_found_fn *done, void *ctx);

/* reappear.c: a checkpoint of the job was asked for in vain.  Looks in the
 * background. */
struct reappear;
void reappear_look(struct ship *h, const char *job, const char *prefix);
void reappear_gone(struct ship *h, const char *job);
void reappear_fini(struct ship *h);     /* after find_fini() */

/* recheck.c */
void recheck_begin(struct ship *h);     /* at ship_go() */
void recheck_timer_fn(void *ctx);
void recheck_fini(struct ship *h);
/* Was it verified, or looked at again, so lately that it may be relied on? */
bool recheck_lately(const struct ship *h, const struct remote_row *r);
/* If not: look at the newest of the job, then retain_job(). */
void recheck_soon(struct ship *h, const char *job);
/* Was it in the bucket, and is not, or not whole? */
bool row_missing(const struct remote_row *r);

/* results.c, results_here.c */
struct results;
struct here;
/* Are there results of this job that are to be sent?  Then they are. */
void results_look(struct ship *h, const char *job);
void results_timer_fn(void *ctx);
void results_fini(struct ship *h);
void results_here_fini(struct ship *h);
/* Is it an upload of results that goes on? */
bool results_need(const struct ship *h, const struct upload_row *u);
void results_gone(void *ctx, const struct job_row *r, const char *where);

void sweep_timer_fn(void *ctx);
void sweep_stop(struct ship *h);
void sweep_fini(struct ship *h);

/* cache.c */
struct centry {
	struct centry *next;
	char hex[RK_SHA256_HEX];
	uint64_t size;
	uint64_t unpacked;              /* of what a trainer made of it */
	int64_t used_ms;
};
struct cuse {
	struct cuse *next;
	char job[RK_ID], hex[RK_SHA256_HEX];
};
enum rk_err cache_open(struct ship *h, struct rk_why *why) RK_MUSTCHECK;
/* Who frees a disk by hand takes the folder away: made again, and empty. */
void cache_again(struct ship *h);
void cache_fini(struct ship *h);
char *cache_path(const struct ship *h, const char *hex);
/* Is it here, with this size (0: any)?  Then it was used now. */
bool cache_has(struct ship *h, const char *hex, uint64_t size);
void cache_use(struct ship *h, const char *job, const char *hex);
void cache_unuse(struct ship *h, const char *job);
/* Room for `need` more bytes; RK_ENOSPC with both sizes in why. */
enum rk_err cache_room(struct ship *h, const char *uri, uint64_t need,
    struct rk_why *why) RK_MUSTCHECK;
/* A finished partial file becomes the one of this digest. */
enum rk_err cache_take(struct ship *h, const char *part, int fd,
    const char *hex, const char *uri, const char *etag) RK_MUSTCHECK;
void cache_forget(struct ship *h, const char *hex);     /* it is damaged */

/* fetch.c */
struct fetch;
struct fetch_ask {
	const char *uri;
	const char *sha256;             /* NULL: what its #sha256= says */
	uint64_t size;                  /* 0: not known */
	const char *job;
	int64_t attempt;                /* of the job: another one asks anew */
	bool known;                     /* what we have of it will do */
	bool had;                       /* it will, too, if the store cannot be
	                                   asked or has it no more */
	bool model;                     /* a checkpoint's means its model */
	bool patient;                   /* keys may come yet: a no is no end */
	bool optional;                  /* that there is none is remembered for
	                                   a minute */
};
/*
 * RK_OK: *hex is the digest under which the cache has it.  RK_EBUSY: on its
 * way; RK_EINVAL: not to be had, RK_ECORRUPT: it does not have its digest;
 * RK_ENOENT: there is none; or what our disk says.  A refusal is told once;
 * asked again, it is tried again.  Each attempt of a job costs one HEAD, by
 * which an object that was replaced under its key is noticed; those who ask
 * while one look is under way share the next.
 */
enum rk_err fetch_want(struct ship *h, const struct fetch_ask *a,
    char hex[RK_SHA256_HEX], struct rk_why *why) RK_MUSTCHECK;
/* Has nobody answered at an address that `job` waits for, since then (mono)? */
bool fetch_silent(struct ship *h, const char *job, int64_t since_ms,
    struct rk_why *why);
/* What we have of it already, whether or not it is still the same there. */
bool fetch_known(struct ship *h, const char *uri, const char *job,
    char hex[RK_SHA256_HEX]);
void fetch_timer_fn(void *ctx);
void fetch_unwait(struct ship *h, const char *job);
void fetch_fini(struct ship *h);

/* choose.c: the row that has to be pulled before this job starts. */
enum chosen { CHOSE_NOTHING, CHOSE_LOCAL, CHOSE_REMOTE };
enum chosen choose(struct ship *h, const char *job,
    const struct spec *spec, const char *selector, struct remote_row *out);

/* pull.c */
struct pull;
enum rk_err pull_step(struct ship *h, const struct job_row *r,
    const struct spec *spec, bool *own, struct rk_why *why) RK_MUSTCHECK;
bool pull_uses(const struct ship *h, const struct remote_row *r);
void pull_gone(struct ship *h, const char *job);
void pull_fini(struct ship *h);

/* mend.c: RK_OK: the shards of the job's checkpoints here are whole, as far as
 * anything can be done; RK_EBUSY: on the way. */
struct mend;
enum rk_err mend_step(struct ship *h, const struct job_row *r,
    struct rk_why *why) RK_MUSTCHECK;
void mend_gone(struct ship *h, const char *job);
void mend_fini(struct ship *h);

/* supply.c */
void supply_set(struct ship *h);
/* Is it an address of a store, or of the registry? */
enum rk_err supply_may_fetch(struct ship *h, const char *uri,
    struct rk_why *why) RK_MUSTCHECK;

/* plan.c: pure.  Sorted in place; `fits` is set. */
struct plan_item {
	int64_t priority;
	bool newest;                    /* of its job */
	uint64_t left;                  /* bytes */
	double after;                   /* seconds before it can begin */
	bool fits;
	double end;                     /* seconds until it is there; -1 */
	size_t tag;                     /* the caller's */
};
void plan_fit(struct plan_item *v, size_t n, double rate, double seconds);

/* drain.c */
struct drain;
bool ship_drain_on(const struct ship *h);
/* Start and hold, in place of the queue. */
void ship_drain_look(struct ship *h);
void ship_drain_timer_fn(void *ctx);
void ship_drain_fini(struct ship *h);
double ship_rate(const struct ship *h);
uint64_t row_left(struct ship *h, const struct remote_row *r);

/* Multipart uploads that we know of; copies. */
struct uploads {
	struct upload_row *v;
	size_t n;
};
void uploads_load(struct ship *h, struct uploads *out);
void uploads_fini(struct uploads *u);

struct ship {
	unsigned tag;
	struct loop *loop;
	struct remote *remote;
	struct store *store;
	struct sup *sup;
	struct ship_config c;           /* its strings are ours */
	bool going, stopped, kicked;
	int64_t epoch;
	char *part;                     /* of ship_apart(), or NULL */
	ship_guard_fn *guard;
	void *guard_ctx;
	ship_there_fn *there;
	void *there_ctx;
	struct ship_registry registry;
	/* For each job its newest remote checkpoint at ship_go(), by job. */
	struct heir *heirs;
	size_t nheirs;

	struct push *pushes;
	int npushes;
	struct trouble *troubles;
	struct naming *namings;
	struct deletion *deletion;
	struct find *finds;
	struct reappear *reappears;
	struct recheck *recheck;        /* a round; NULL between two */
	char recheck_last[RK_ID];       /* ended job that was the last of one */
	int64_t recheck_at_ms;          /* mono: the next round */
	struct idlist soon;             /* jobs to be looked at out of turn */
	struct sweep *sweep;
	struct fetch *fetches;
	struct pull *pulls;
	struct mend *mends;
	struct drain *drain;
	struct results *results;        /* on their way up */
	struct here *heres;             /* on their way here */
	struct loop_timer *results_timer, *queue_timer, *scan_timer, *sweep_timer, *fetch_timer,
	    *drain_timer, *recheck_timer;

	char (*dirty)[RK_ID];           /* jobs to be scanned */
	size_t ndirty;

	int cache_fd, part_fd;          /* folders */
	char *cache_dir;
	struct centry *entries;
	struct cuse *uses;
	uint64_t cache_bytes;
	int64_t cache_files;
	char **paths, *bucket;          /* allow.c */
	size_t npaths;
	bool paths_said;
	bool fetch_files;               /* tests: file:// is fetched, too */

	int64_t pushed, verified, missed, pulled, failures;
	uint64_t pushed_bytes, pulled_bytes;
};

#endif
