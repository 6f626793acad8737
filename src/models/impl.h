/*
 * models from inside.
 *
 *	models.c   opening, closing, answers, which version is meant
 *	names.c    names of models and aliases; where the log's entries lie
 *	entry.c    an entry's text, held against all that it must be
 *	fold.c     entries into the copy: what each changes
 *	log.c      a model's log is read: entries by name until there is none
 *	all.c      all models are looked at
 *	append.c   an entry of ours behind all others
 *	change.c   aliases moved, versions deleted: what people ask for
 *	better.c   is one version better than another
 *	evaluated.c    what jobs found of versions, into their logs
 *	remove.c   the files of versions that were deleted
 *	which.c    which version is meant, and its record as it is now
 *	tensors.c  the tensors of a version, read from beside its files
 *	settle.c   model://, said by a person; which jobs have one
 *	for_ship.c where a version's files are, and which are missing
 *	register.h what becomes a version, on its way
 *
 * Of each model that somebody asked for there is a `mlog`, for as long as the
 * registry is open: what is under way with its log, one thing at a time.
 */
#ifndef MODELS_IMPL_H
#define MODELS_IMPL_H

#include "rekindle/models.h"
#include "rekindle/store_models.h"

#define MODELS_TAG  0x6d6f6401u
#define MLOG_TAG    0x6d6f6402u
#define ALL_TAG     0x6d6f6403u
#define ENTRY_MAX   (2u << 20)          /* bytes of an entry */
#define SEQ_MAX     9999999999          /* ten digits */
#define VERSION_MAX 999999999
#define WINDOW      16                  /* entries asked for at a time */
#define RING        64                  /* ... and held until they are taken */
#define HELD_MAX    (8u << 20)          /* bytes of those */
#define BUCKETS     256
#define LABELS_MAX  64                  /* of a version */
#define READ_MS     10000               /* an entry, all tries */
#define PUT_MS      30000

/* --- entry.c -------------------------------------------------------------- */

enum entry_event { E_VERSION, E_ALIAS, E_DELETED, E_CHANGED, E_EVALUATED,
	E_EVENTS };
extern const char *const entry_event_words[E_EVENTS + 1];
enum entry_how { HOW_MOVED, HOW_ROLLBACK, HOW_REMOVED };
extern const char *const entry_how_words[];

/* What an entry says; what is not said is "", 0 or NULL. */
struct entry {
	json_t *tree;                   /* owned; what is const lies in it */
	enum entry_event event;
	int64_t seq, at_ms, version;
	char *id, *by, *instance, *alias, *note;
	enum entry_how how;
	const json_t *labels;           /* of changed */
	const json_t *data, *metrics;   /* of evaluated */
	/* of a version: */
	const json_t *record;
	char *folder, *digest, *job;
	uint64_t bytes;
	int64_t created_ms;
	json_t *numbers;                /* its metrics that are numbers */
};
/* RK_EINVAL: none, why says where and what was wanted; e is empty then.  name
 * and seq: of the log and place where it was found. */
enum rk_err entry_parse(struct entry *e, const char *text, size_t len,
    const char *name, int64_t seq, struct rk_why *why) RK_MUSTCHECK;
void entry_fini(struct entry *e);

/* --- names.c -------------------------------------------------------------- */

bool models_word(const char *s);        /* of a name, an id, a folder */
char *entry_key(const struct models *m, const char *name, int64_t seq);
char *model_dir(const struct models *m, const char *name, const char *what);

/* --- the whole ------------------------------------------------------------ */

/* Somebody who waits. */
struct mwait {
	struct mwait *next;
	models_fn *fn;                  /* NULL: has gone */
	void *ctx;
};
/* An answer that is given in the next round. */
struct manswer {
	struct manswer *next;
	models_fn *fn;
	void *ctx;
	enum rk_err rc;
	json_t *said;
	char *why;
};

struct mappend {
	struct mappend *next;
	char *id, *by;
	models_decide_fn *decide;
	models_fn *fn;
	void *ctx;
	char *text;                     /* that is being put */
	int64_t seq;
	int tries;
	bool wants_look, looked;        /* looked: the copy was as new as can be
	                                   when it was asked last */
};

/* What became of entries, for /v1/events, said when they are kept. */
struct mnews {
	struct mnews *next;
	const char *kind;
	char *text;
	json_t *data;
};

/* A look that found nothing out.  Those who may have what is old are told so
 * for a while, and do not wait for a store that is silent. */
struct failure {
	enum rk_err rc;                 /* RK_OK: the last look was good */
	int64_t at_mono;
	char *why;
};
void failure_set(struct failure *f, enum rk_err rc, const char *why);
bool failure_counts(const struct failure *f, int64_t max_age_ms);

struct mlog;
struct slot {
	struct mlog *g;
	struct remote_op *op;
	int64_t seq;
	enum { SLOT_FREE, SLOT_ASKED, SLOT_FOUND, SLOT_MISSING } is;
	char *text;                     /* NULL: it is too long */
	size_t len;
};

struct mlog {
	unsigned tag;
	struct models *m;
	struct mlog *next;              /* of its bucket */
	char name[65];
	int64_t looked_ms, looked_mono; /* 0: not since the opening */
	struct failure failed;          /* of the last look */

	/* a look that is under way: log.c */
	bool looking, first, again;
	int64_t began_ms, began_mono;
	struct remote_op *list_op;
	int64_t known;                  /* entries that the copy had before */
	int64_t top;                    /* the highest entry of a listing */
	int64_t base, asked, window;    /* base: the next to be taken */
	int flying;                     /* that have not been answered */
	size_t held;                    /* bytes */
	struct slot slot[RING];
	struct mwait *waits, *next_waits;
	struct mnews *news, **last_news;
	bool removes;                   /* files are to be removed */

	bool for_ship;                  /* a look is for ship: for_ship.c */

	/* what is to be written: append.c */
	struct mappend *appends;        /* the first is under way */
	struct remote_op *put_op;
};

struct all;
struct change;
struct settling;
struct evaluation;
struct removal;
struct registrar;
struct models {
	unsigned tag;
	struct loop *loop;
	struct remote *remote;
	struct store *store;
	struct sup *sup;
	struct ship *ship;
	struct mirror *mirror;          /* or NULL */
	char *root, *instance;
	int64_t fresh_ms;
	struct mlog *logs[BUCKETS];
	int nlogs;
	struct change *changes;         /* that are not answered */
	models_in_use_fn *in_use;
	void *in_use_ctx;
	struct evaluation *evaluations; /* to be told to a log */
	struct loop_timer *evaluated_timer;
	bool evaluated_looked;          /* all jobs were looked through */
	struct removal *removal;
	struct registrar *registrar;    /* register.h */
	struct all *all;                /* a look at all that is under way */
	struct mtensors *tensors;       /* that are being read */
	int64_t looked_ms, looked_mono; /* when all were; 0: never */
	struct failure failed;          /* of the last look at all */
	struct manswer *answers, **last_answer;
	struct manswer *answering;      /* what is left of those being given */
	struct loop_timer *answer_timer;
	struct settling *settlings;     /* settle.c */
	json_t *missing;                /* {"NAME/N": {FILE: sentence}} */
};

/* models.c */
void answer_later(struct models *m, models_fn *fn, void *ctx, enum rk_err rc,
    const json_t *said, const char *why);
void answer_waits(struct models *m, struct mwait **w, enum rk_err rc,
    const char *why);
void forget_waits(struct mwait *w, const void *ctx);
/* All models were looked at, beginning at. */
void models_looked(struct models *m, int64_t at_ms, int64_t at_mono);
struct mlog *mlog_of(struct models *m, const char *name);
struct remote_patience models_patience(int64_t ms);
/* What the end of an operation means for who asked. */
enum rk_err models_end(const struct remote_result *r);

/* log.c */
void log_look(struct mlog *g, int64_t max_age_ms, models_fn *fn, void *ctx);
bool log_idle(const struct mlog *g);    /* nothing is under way */
void log_fini(struct mlog *g);
/* What comes next, where nothing is under way. */
void log_next(struct mlog *g);
/* Is the copy younger than that? */
bool log_fresh(const struct mlog *g, int64_t max_age_ms);
/* Give the numbers of names like 0000000012.json; 0: it is none. */
int64_t log_number(const char *key);

/* fold.c: in a batch of the store or not; text NULL: it is longer than
 * ENTRY_MAX.  What becomes of it is told to g->news.  Errors are the disk's. */
enum rk_err fold(struct mlog *g, int64_t seq, const char *text, size_t len)
    RK_MUSTCHECK;
/* What an alias remembers of where it was: a list; a new reference. */
json_t *alias_before(const struct alias_row *a);
void alias_remember(json_t *before, enum entry_how how, int64_t was,
    int64_t to);
void news_tell(struct mlog *g);
void news_drop(struct mlog *g);

/* append.c: the first of those that wait is decided, answered, or put, or wants
 * a look. */
void append_step(struct mlog *g);
/* A look has ended. */
void append_looked(struct mlog *g, enum rk_err rc, const char *why);
void append_forget(struct mlog *g, const void *ctx);
void append_fini(struct mlog *g);

/* which.c: RK_ENOENT: it is not there, or was deleted. */
enum rk_err models_there(struct models *m, const char *name, int64_t version,
    struct rk_why *why) RK_MUSTCHECK;

/* better.c: is `version` better than the one where the alias is?  RK_ECONFLICT:
 * no, or it cannot be said; else *better is a new reference. */
enum rk_err models_better(struct models *m, const char *name, int64_t version,
    int64_t current, const char *metric, json_t **better, struct rk_why *why)
    RK_MUSTCHECK;
bool metric_is_cost(const char *metric);        /* less is better */

/* change.c */
void changes_forget(struct models *m, const void *ctx);
void changes_fini(struct models *m);
/* settle.c */
void settle_open(struct models *m);
void settle_forget(struct models *m, const void *ctx);
void settle_fini(struct models *m);

/* for_ship.c */
#define FACT_MISSING "models_missing"
void for_ship_open(struct models *m);
void for_ship_fini(struct models *m);

/* remove.c: files of versions that were deleted; kick: there may be more. */
void remove_open(struct models *m);
void remove_kick(struct models *m);
void remove_close(struct models *m);

/* all.c */
void all_look(struct models *m, models_fn *fn, void *ctx);
void all_forget(struct models *m, const void *ctx);
void all_fini(struct models *m);

/* evaluated.c */
void evaluated_open(struct models *m);
void evaluated_close(struct models *m);

/* tensors.c */
void tensors_forget(struct models *m, const void *ctx);
void tensors_fini(struct models *m);

#endif
