/*
 * mirror from inside; PROTOCOL beside this file says what is done and why.
 *
 *	mirror.c   opening, states, being lost, closing
 *	names.c    the keys of objects, and listings of them
 *	probe.c    step 0: does the store mean put-if-absent?
 *	claim.c    steps 1 and 2: an epoch of our own, and the newest base
 *	unlisted.c claims and bases that a listing leaves out, asked for by name
 *	apart.c    where it does not: no epoch, and a key part of our own
 *	base.c     a base: text to jobs and back
 *	read.c     step 3: whose jobs, and their records
 *	find.c     which of their checkpoints are there
 *	take.c     jobs into the database, late checkpoints out of the way
 *	begin.c    steps 4 and 5: our base, the last look, and off
 *	clean.c    what is left to do behind that: old objects, ended jobs
 *	look.c     is there a higher epoch, and is the claim still ours?
 *	watch.c    looking now and then; the guard of deletions
 *	table.c    what the bucket has of each job
 *	behind.c   what is true of a job as long as its bytes are not there
 *	records.c  changes of jobs into the bucket, and the last word
 *
 * Until it begins, the mirror is a sequence of steps, one under way at a time;
 * a step that fails is done again after a while.
 */
#ifndef MIRROR_IMPL_H
#define MIRROR_IMPL_H

#include "rekindle/mirror.h"

#define MIRROR_TAG   0x6d697272u
#define NUMBER_TOP   9999999999         /* ten digits */
#define GONE_VERSION NUMBER_TOP         /* of a record: the job was deleted */
#define JOBS_MAX     200000             /* of a base */
#define RECORD_MAX   (9u << 20)
#define BASE_MAX     (60u << 20)        /* that we write */
#define CKPTS_MAX    20000              /* of a job */
#define GONE_KEPT    10000              /* deleted jobs that a base names */
#define GONE_KEPT_MS (90ll * 24 * 3600 * 1000)
#define GETS         16                 /* records being read */
#define FINDS        8                  /* jobs being looked for */
#define PUTS         8                  /* records being written */
#define CLAIM_MAX    65536
#define BASES_KEPT   3
#define MANY_ENDED   200                /* jobs: looked for behind the start */
#define SLICE        100                /* jobs a turn of the loop */

/* --- base.c --------------------------------------------------------------- */

/* A job as the bucket has it. */
struct bjob {
	char id[RK_ID];
	int64_t version;                /* of the line; 0: it has no record */
	size_t at, len;                 /* the line in the base's text */
	json_t *ckpts;                  /* list of addresses, or NULL */
	json_t *epochs;                 /* whose checkpoints count as well */
	bool ended, unfound;            /* what the line says */
	bool gone;
	int64_t gone_ms;
	int64_t listed;                 /* newest version under records/ */
	char *rec;                      /* that record's text, if it is newer */
	size_t rec_len;
	/* what we make of it */
	bool here, take, search, done;
	bool closed;                    /* where it sends its checkpoints is not
	                                   looked into: ship_allows() */
	int64_t here_version;
	int tries;
	char *refused;                  /* why it is left aside */
};
/* What the bucket says of a job that is none here. */
struct aside {
	char id[RK_ID];
	bool gone;                      /* deleted; else it cannot be read */
};
struct base {
	int64_t epoch;
	char claim[RK_ID];
	struct bjob *v;                 /* by id once base_sort() was called */
	size_t n, cap;
	size_t bad;                     /* lines that say nothing */
	char *bad_why;
};
/* RK_EINVAL, RK_ELIMIT: no base, why says what; b is empty then.  text must
 * stay as long as b is used. */
enum rk_err base_parse(struct base *b, const char *text, size_t len,
    struct rk_why *why) RK_MUSTCHECK;
void base_fini(struct base *b);
struct bjob *base_find(const struct base *b, const char *id);
struct bjob *base_add(struct base *b, const char *id);  /* keeps the order */
/* The newest record, parsed; NULL with why. */
json_t *bjob_record(const struct bjob *j, const char *text,
    struct rk_why *why);
bool bjob_names(const struct bjob *j, const char *folder);
void bjob_add(struct bjob *j, const char *folder);
bool bjob_epoch(const struct bjob *j, int64_t epoch);
/* Lines: */
void base_put_head(struct strbuf *b, int64_t epoch, const char *claim);
/* not_found: as it was read, of a job that nobody has looked for since; those of
 * `epoch` (0: none) count as well.  NULL: it has been looked for. */
void base_put_job(struct strbuf *b, const json_t *record, json_t *ckpts,
    const struct bjob *not_found, int64_t epoch);
void base_put_gone(struct strbuf *b, const char *id, int64_t at_ms);
/* One that is left aside, as it was read; false: there is nothing to keep. */
bool base_put_aside(struct strbuf *b, const struct bjob *j, const char *text,
    int64_t epoch);
void base_put_end(struct strbuf *b, size_t lines);

/* --- names.c -------------------------------------------------------------- */

struct numbers {
	int64_t *v;
	size_t n;
	const char *suffix;
	bool many;                      /* there were more than we look at */
};
bool numbers_see(struct numbers *l, const struct remote_entry *v, size_t n);
int64_t numbers_top(const struct numbers *l);           /* 0: none */
void numbers_fini(struct numbers *l);
char *key_of(const struct mirror *m, const char *kind, int64_t n,
    const char *suffix);                                /* whole addresses */
char *dir_of(const struct mirror *m, const char *kind);
char *record_key(const struct mirror *m, int64_t epoch, const char *id,
    int64_t version);
bool record_name(const char *key, char id[RK_ID], int64_t *version);
struct remote_patience patience(int64_t ms);

/* --- table.c -------------------------------------------------------------- */

struct rec {
	struct rec *next;               /* in the list of those to be written */
	char id[RK_ID];
	int64_t version;                /* that the bucket has; 0: none */
	int64_t object;                 /* version of the object under our
	                                   epoch; 0: none */
	int64_t mark;                   /* since when it waits */
	int64_t again;                  /* changed while being written: then */
	bool dirty;                     /* in the list */
	int64_t putting;                /* version, the last that was tried */
	uint64_t sum, putting_sum;      /* of what it says; 0: not known */
	struct remote_op *op;
	struct mirror *m;
};
struct rec *table_get(struct mirror *m, const char *id);        /* or NULL */
struct rec *table_need(struct mirror *m, const char *id);
void table_fini(struct mirror *m);

/* --- behind.c ------------------------------------------------------------- */

/*
 * Make of the record of a job what is true of what the bucket has of it.
 * RK_OK; or the database could not be read, and the record must not be put.
 */
enum rk_err behind_set(struct mirror *m, json_t *record) RK_MUSTCHECK;

/* --- the whole ------------------------------------------------------------ */

typedef void step_fn(struct mirror *m);
enum look { LOOK_FINE, LOOK_HIGHER, LOOK_UNKNOWN };
typedef void look_fn(void *ctx, enum look found);
struct waiter {
	struct waiter *next;
	look_fn *fn;
	void *ctx;
};
struct question {
	struct question *next;
	struct mirror *m;
	ship_answer_fn *answer;
	void *actx;
	int64_t mark;                   /* records before it are to be there */
	bool looking;
};
struct search;

struct mirror {
	unsigned tag;
	struct loop *loop;
	struct remote *remote;
	struct store *store;
	struct sup *sup;
	struct ship *ship;
	struct mirror_config c;         /* its strings are ours */
	char *dir;                      /* PREFIX/instances/NAME/ */
	mirror_lost_fn *lost;
	void *lost_ctx;
	enum mirror_state state;
	int64_t since_ms;
	char *error;                    /* what holds it up, or NULL */

	/* starting */
	step_fn *step;                  /* the one to be done (again) */
	struct loop_timer *step_timer, *alone_timer;
	int fails, collisions, misses;
	const char *failing;            /* the request that failed last, or
	                                   NULL: it was no request */
	bool began, alone, foreign;     /* foreign: the newest base */
	struct remote_op *op;           /* the step's */
	struct numbers list;
	int64_t epoch, top;             /* ours; the highest seen */
	int64_t asked_n, asked_low;     /* by name */
	step_fn *asked_then;
	char claim[RK_ID], dirname[RK_ID];
	char *claim_text;               /* epochs/N as we put it */
	bool claim_read;                /* back, and it was that */
	enum mirror_absent absent;
	bool by_head;                   /* the probe's second put was */
	char *probe;                    /* its key, as long as it is there */
	bool apart;                     /* ship_apart() */
	json_t *mine;                   /* [[epoch, claim], ...] */
	int64_t b;                      /* the newest base, 0: none */
	int64_t told_base;              /* that cannot be had, and is ours */
	char *text;                     /* of it */
	size_t text_len;
	struct base base;
	int listings;
	bool vanished;
	size_t at;
	int under_way;
	struct fetch *fetches;
	struct search *searches;
	int64_t waits_since_ms;
	int64_t asked_ms;               /* watch_clock() of a look's last
	                                   question */

	/* our base */
	struct strbuf out;
	struct aside *asides;           /* of our base */
	size_t nasides;
	size_t lines, gone;
	char after[RK_ID];

	/* owning */
	struct loop_timer *tick, *batch_timer, *ask_timer;
	int64_t tick_ms, boot_ms, checked_ms;
	struct remote_op *look_op;
	struct numbers look_list;
	bool claim_gone;                /* says the look under way */
	char *look_error;               /* why the last one found nothing out */
	struct waiter *waiting, *looking;
	struct question *questions;
	struct remote_op *who_op;
	int64_t higher;
	char *who;
	struct cleaner *cleaner;

	struct rec **table;
	size_t table_n, table_cap;
	struct rec *first, **last;      /* to be written */
	int64_t marks, batch_mark, waiting_recs;
	struct rec *renewing;           /* whose row we write ourselves */
	int puts, put_fails;
	bool batch_looks, in_batch;

	char *last_word;                /* of a flush */
	bool last_put;
	struct remote_op *last_op;
	mirror_flushed_fn *flushed;
	void *flushed_ctx;
	struct loop_timer *flush_timer;
};

/* mirror.c */
void mirror_move(struct mirror *m, enum mirror_state to, const char *cause);
void go_to(struct mirror *m, step_fn *step);            /* in the next round */
void go_again(struct mirror *m, const char *error);     /* after a while */
/* What was listed is not there: taken away just now, or the store contradicts
 * itself. */
void go_back(struct mirror *m, step_fn *step, const char *error);
void went_well(struct mirror *m);                       /* trouble is over */
/* Our own epoch: the claim is another's by now. */
void mirror_lose(struct mirror *m, int64_t higher);
bool has_jobs(const struct mirror *m);
/* A listing of numbers for the step; fn gets the result. */
void step_list(struct mirror *m, const char *kind, const char *suffix,
    remote_done_fn *fn);
/* Was the step's operation good?  Else it is repeated. */
bool step_good(struct mirror *m, const struct remote_result *r,
    const char *doing);

/* unlisted.c: parts of a step, which is repeated when they fail */
/* m->top becomes the highest claim: those behind it are asked for. */
void ask_claims(struct mirror *m, step_fn *then);
/* m->b becomes the newest base below `above`: those that are newer than m->b,
 * and than `low`, are asked for. */
void ask_bases(struct mirror *m, int64_t above, int64_t low, step_fn *then);
/* probe.c, apart.c */
void step_probe(struct mirror *m);
void apart_stop(struct mirror *m);              /* an empty directory waits */
void step_apart(struct mirror *m);              /* any other goes on alone */
char *apart_part(const struct mirror *m);       /* behind the prefix */

/* claim.c */
void step_claim(struct mirror *m);
bool claim_is_ours(const struct mirror *m, const struct remote_result *r);
enum rk_err name_save(struct mirror *m) RK_MUSTCHECK;   /* the directory's */
bool mine_has(const struct mirror *m, int64_t epoch, const char *claim);
bool mine_made(const struct mirror *m, int64_t epoch);  /* by whatever claim */
/* *other: the name under which the directory has been the same prefix's, if
 * that is another one; the caller frees. */
enum rk_err mine_load(struct mirror *m, char **other) RK_MUSTCHECK;
enum rk_err mine_save(struct mirror *m, bool anew) RK_MUSTCHECK;
int64_t mine_top(const struct mirror *m);
/* It cannot be had, which `fault` says: true: it was ours, and step 3 goes on
 * with what is here. */
bool own_base(struct mirror *m, int64_t epoch, const char *fault);
char *no_base_text(const struct mirror *m, int64_t epoch, const char *fault);

/* read.c, find.c, take.c, begin.c, clean.c: the steps in their order */
void step_read(struct mirror *m);
void read_fini(struct mirror *m);
void step_find(struct mirror *m);
void search_later(struct mirror *m);      /* ended jobs, behind the beginning */
void search_fini(struct mirror *m);
/* What of a job's paths and addresses was said on this machine, as its row has
 * it when it has been taken: struct job_row; the caller frees. */
char *said_here(struct mirror *m, const struct bjob *j);
/* Of a job's remote checkpoints nothing is known any more. */
enum rk_err drop_rows(struct mirror *m, const char *job) RK_MUSTCHECK;
void step_take(struct mirror *m);
void step_begin(struct mirror *m);
void clean_begin(struct mirror *m);
void clean_fini(struct mirror *m);

/* look.c: one that begins now; fn may be called after the mirror was lost. */
void watch_look(struct mirror *m, look_fn *fn, void *ctx);
void look_fini(struct mirror *m);

/* watch.c */
void watch_begin(struct mirror *m);
void watch_guard(void *ctx, ship_answer_fn *answer, void *actx);
void watch_ask(struct mirror *m);       /* questions that may be ripe */
int64_t watch_clock(void);              /* ms; goes on in sleep, too */
void watch_fini(struct mirror *m);

/* records.c */
void records_listen(void *ctx, const char *job, char what);
void records_begin(struct mirror *m);
void records_there(void *ctx, const char *job);         /* ship_there_fn */
void records_known(struct mirror *m, const char *id, const json_t *record);
int64_t records_oldest(const struct mirror *m);         /* mark that waits */
void records_fini(struct mirror *m);

#endif
