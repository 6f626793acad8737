/*
 * Registering, from inside: how a checkpoint or a file becomes a version.
 *
 *	request.c   what was asked for, read from JSON
 *	record.c    the version's record, from what is known of its source
 *	lineage.c   the tree of what a job was begun from
 *	kept.c      that tree, kept in a job's folder as the job begins
 *	of_job.c    a job's checkpoint: which one, and its files
 *	of_file.c   a file by address: fetched or copied, and what it is
 *	staged.c    the folder STATE/models-staging/ID: linked, checked, hashed
 *	read.c      what tensors are in it
 *	put.c       its files, one behind the other, into the version's folder
 *	register.c  the states of a registration, and who moves it on
 *	reg_row.c   its row; registrar.c whose turn it is, beginning and end
 *	shown.c     registrations as the API shows them, and who waits for one
 *	by_job.c    training.register: jobs that have succeeded
 */
#ifndef MODELS_REGISTER_H
#define MODELS_REGISTER_H

#include "rekindle/models.h"
#include "rekindle/store_models.h"

#define REGISTRAR_TAG 0x72677374u
#define REG_TAG       0x72656701u

#define LINEAGE_DEPTH  64
#define RECORD_PART    ((size_t)256 << 10)      /* bytes of a field's text */
#define REQUEST_MAX    ((size_t)2 << 20)
#define STAGED_FILES   (CKPT_MAX_FILES + 2)
#define STAGED_MODEL   "model"          /* until its format is known */
#define TENSORS_FILE   "tensors.json"
#define VERSION_FILE   "version.json"

/* --- request.c ------------------------------------------------------------ */

/* {job, checkpoint} or {address}, with all that goes with it; what was not said
 * is NULL. */
struct reg_request {
	char *job, *checkpoint;
	char *address;
	char *notes, *author, *alias;
	json_t *labels;                 /* an object; owned */
	bool optimizer;
	struct spec *spec;              /* of a file */
};
/* A person's request: job by name too, selectors.  Faults by their field.  r is
 * to be given back whatever comes of it. */
enum rk_err request_read(const json_t *v, struct reg_request *r,
    struct rk_why *why) RK_MUSTCHECK;
/* As it is kept, from which request_read() makes the same; a new reference. */
json_t *request_json(const struct reg_request *r);
void request_fini(struct reg_request *r);

/* --- lineage.c ------------------------------------------------------------ */

/* What is known of what, so that the tree is a pure function of it. */
struct lineage_world {
	void *ctx;
	/* false: there is no such job (any more). */
	bool (*job)(void *ctx, const char *id, struct job_row *out);
	/* checkpoint.json of what a selector means; false: it is gone. */
	bool (*checkpoint)(void *ctx, const struct job_row *r,
	    const struct spec *spec, const char *selector,
	    struct ckpt_info *out);
	/* "job://A/step-000000900" that the job was begun from, once that is
	 * settled; the caller's; NULL: not known. */
	char *(*began)(void *ctx, const char *job);
	/* Parents as they were when the job began; a new reference; NULL. */
	json_t *(*kept)(void *ctx, const char *job);
	/* The record of a version; a new reference; NULL: not known. */
	json_t *(*version)(void *ctx, const char *model, int64_t version);
	/* SHA-256 of the bytes that were fetched from an address; "". */
	void (*digest)(void *ctx, const char *bare, char hex[RK_SHA256_HEX]);
};
/* A node each; new references.  i may be NULL: then `selector` is all that is
 * known of the checkpoint. */
json_t *lineage_of_job(const struct lineage_world *w, const struct job_row *r,
    const struct spec *spec, const struct ckpt_info *i, const char *selector);
json_t *lineage_of_file(const char *address, const char *sha256);
json_t *lineage_of_address(const struct lineage_world *w, const char *address);
/* A list: what the job was begun from; empty: it began cold. */
json_t *lineage_parents(const struct lineage_world *w,
    const struct job_row *r, const struct spec *spec);
/* Not deeper than so many nodes: `cut` where there was more. */
void lineage_cut(json_t *node, int depth);
/* Without user, password and query; the caller frees. */
char *lineage_address(const char *address);
/* The same of each text in the tree that is an address. */
void lineage_scrub(json_t *v);

/* --- record.c ------------------------------------------------------------- */

/* What stands in it whatever the source is; no version yet. */
struct record_head {
	const char *model, *id, *instance;
	int64_t created_ms;
	const struct reg_request *request;
};
json_t *record_of_job(const struct record_head *h, const struct job_row *r,
    const struct spec *spec, const struct ckpt_info *i,
    const char *evaluations, size_t len, json_t *lineage);
json_t *record_of_file(const struct record_head *h, const char *address,
    const char *sha256, json_t *lineage);
/* What is known once the files are staged.  files: [{name, size, sha256}]. */
void record_put_files(json_t *record, const json_t *files, const char *digest,
    const char *format);
/* {source, train: {digest, samples}, validation: the same or null}. */
json_t *record_data(const struct spec *spec, const struct ckpt_info *i);

/* --- staged.c ------------------------------------------------------------- */

/* A file on its way. */
struct staged_file {
	char name[64];
	char *from;                     /* where it comes from; NULL: it is in
	                                   the folder */
	bool copy;                      /* who has it may change it: no link */
	bool model;                     /* the model, or a part of it */
	bool sent;                      /* into the version's folder */
	uint64_t size;                  /* 0: not known */
	char sha256[RK_SHA256_HEX], xxh128[RK_XXH128_HEX];     /* or "" */
};
struct staged {
	struct staged_file v[STAGED_FILES];
	int n;
};
void staged_fini(struct staged *s);
/* Add one; takes from (may be NULL). */
struct staged_file *staged_add(struct staged *s, const char *name, char *from);
/* As `files` of a registration keeps it, a new reference; and read back.
 * RK_EINVAL. */
json_t *staged_json(const struct staged *s);
enum rk_err staged_read(struct staged *s, const json_t *v, struct rk_why *why)
    RK_MUSTCHECK;
/* Is all of it in the folder, with the sizes that are known? */
bool staged_whole(const struct staged *s, const char *dir);
/* Remove the folders of `folder` that are not needed. */
typedef bool staged_needed_fn(void *ctx, const char *name);
void staged_sweep(const char *folder, staged_needed_fn *needed, void *ctx);
/* Links now what can be linked: from becomes NULL.  RK_ENOENT: a file has gone;
 * what cannot be linked stays for staging_start(). */
enum rk_err staged_link(struct staged *s, const char *dir) RK_MUSTCHECK;

/*
 * A worker brings what is not in the folder, and reads all: each file has what
 * is known of it, or it is RK_ECORRUPT; then all are known.  digest: of the
 * model, of one in shards that of the one file that they stand for.  RK_ENOSPC,
 * RK_ENOENT (a file has gone), RK_EIO.
 */
struct staging;
typedef void staging_fn(void *ctx, enum rk_err rc, const struct staged *s,
    const char *digest, const char *why);
struct staging *staging_start(struct loop *l, const char *dir,
    const struct staged *s, uint64_t reserve, staging_fn *fn, void *ctx);
void staging_drop(struct staging **s);  /* fn is not called */

/* --- register.c ----------------------------------------------------------- */

enum reg_state {                /* the picture is in register.c */
	REG_LOOKING, REG_FETCHING, REG_STAGING, REG_READING, REG_SENDING,
	REG_ENTERING, REG_DESCRIBING, REG_NAMING, REG_CLEARING,
	/* ended: */
	REG_REGISTERED, REG_UNMET, REG_FAILED, REG_CANCELLED,
	REG_STATES
};
extern const char *const reg_state_words[REG_STATES + 1];
bool reg_ended(enum reg_state s);

struct registrar;
/* A registration that has not ended. */
struct reg {
	unsigned tag;
	struct registrar *r;
	struct reg *next;
	struct registration_row row;
	enum reg_state state;
	struct reg_request request;
	bool automatic;                 /* of training.register */
	char *dir;                      /* the checkpoint's folder, or NULL */
	json_t *record;                 /* as far as it is known */
	struct staged files;
	char digest[RK_SHA256_HEX];
	char *format;                   /* model_format, or NULL */
	/* A multipart upload that was begun. */
	char *upload_file, *upload_id;
	uint64_t part_size;
	bool cut;                       /* an earlier daemon may have begun one
	                                   that it did not write down */
	enum reg_state then;            /* of REG_CLEARING: where it ends */

	/* under way; at most one of them */
	struct staging *staging;
	struct remote_op *op;
	bool asked;                     /* a trainer, or the log */
	bool pinned;                    /* the checkpoint, for what could not be
	                                   linked */
	int at;                         /* the file that it is about */
	json_t *tensors;                /* that were read so far */
	int64_t due_ms;                 /* mono: not before */
	int fails;
	char *message;                  /* what it waits for, or NULL */
};

struct reg_wait {
	struct reg_wait *next;
	char id[RK_ID];
	int64_t until_ms;
	models_fn *fn;
	void *ctx;
};

struct registrar {
	unsigned tag;
	struct models *m;
	char *folder;                   /* STATE/models-staging */
	uint64_t reserve;
	int64_t retry_ms, retry_max_ms;
	struct reg *regs;
	struct reg_wait *waits;
	struct loop_timer *timer, *job_timer;
	/* by_job.c: jobs to look at; all have been, once. */
	char (*dirty)[RK_ID];
	size_t ndirty;
	bool scanned;
};
enum rk_err registrar_open(struct models *m, const struct models_config *c,
    struct rk_why *why) RK_MUSTCHECK;
void registrar_close(struct models *m);
void registrar_forget(struct models *m, const void *ctx);

/* registrar.c.  Its row is written, then it is one of r->regs, and begins in
 * state; takes the row's and all other fields.  idem (may be NULL): for the row. */
enum rk_err reg_add(struct registrar *r, struct reg *g, enum reg_state state,
    const struct store_note *idem) RK_MUSTCHECK;
struct reg *reg_find(struct registrar *r, const char *id);
void reg_free(struct reg *g);           /* in no list */
/* <folder>/ID; the caller's. */
char *reg_folder(const struct reg *g);
void reg_set(char **field, const char *text);   /* NULL: "" */
bool reg_take_row(void *ctx, const struct registration_row *row);
/* Among the others: the oldest has the first turn. */
void reg_link(struct registrar *r, struct reg *g);
void reg_due(struct reg *g, int64_t at_ms);
void reg_leave(struct reg *g);          /* it has ended; g is freed */
void reg_begin(struct reg *g);          /* its state's step */
/* How a step has ended, from a callback of its. */
void reg_next(struct reg *g);           /* the next state */
void reg_again(struct reg *g);          /* the same state: there is more */
void reg_jump(struct reg *g, enum reg_state to);
/* Will waiting do?  Then the same state, later, with what it waits for; else it
 * has failed. */
void reg_trouble(struct reg *g, enum rk_err rc, const char *sentence);
void reg_store_trouble(struct reg *g, const struct remote_result *r);
void reg_busy(struct reg *g, const char *sentence);     /* asked again soon */
void reg_fail(struct reg *g, const char *sentence);
void reg_cancel(struct reg *g);
void reg_unstage(struct reg *g);        /* before REG_FETCHING, once more */
bool reg_save(struct reg *g);           /* the row; false: logged */

/* --- the steps ------------------------------------------------------------ */

/* of_job.c, of_file.c: what a person asked for becomes a registration that can
 * begin.  RK_EINVAL at "job", "checkpoint" or "address"; RK_ENOENT at "job". */
enum rk_err of_job(struct registrar *r, struct reg *g, struct rk_why *why)
    RK_MUSTCHECK;
enum rk_err of_file(struct registrar *r, struct reg *g, struct rk_why *why)
    RK_MUSTCHECK;
/* Paths of what is not in the folder yet; RK_EBUSY: on the way. */
enum rk_err of_job_fetch(struct reg *g, struct rk_why *why) RK_MUSTCHECK;
enum rk_err of_file_fetch(struct reg *g, struct rk_why *why) RK_MUSTCHECK;
void of_job_staged(struct reg *g);      /* pins are taken away */
/* read.c: one file of the model after the other is inspected, then tensors.json
 * is there, and record has its files. */
void read_step(struct reg *g);
/* put.c */
void send_step(struct reg *g);
void describe_step(struct reg *g);
void clear_step(struct reg *g);

/* --- of_job.c, for others ------------------------------------------------- */

extern const struct lineage_world *lineage_world_of(struct registrar *r,
    struct lineage_world *w);
/* A job by id, or by a name that only one has, and its specification. */
enum rk_err of_job_find(struct registrar *r, const char *who,
    struct job_row *row, struct spec **spec, struct rk_why *why)
    RK_MUSTCHECK;
/* What a selector means of all that is here and in buckets. */
enum rk_err of_job_choose(struct registrar *r, const struct job_row *row,
    const struct spec *spec, const char *selector, struct ckpt_info *out,
    struct rk_why *why) RK_MUSTCHECK;

/* --- kept.c, by_job.c, shown.c -------------------------------------------- */

void kept_look(struct registrar *r, const struct job_row *row);
json_t *kept_read(struct registrar *r, const char *job);
void kept_fini(struct registrar *r);
void by_job_open(struct registrar *r);
void by_job_close(struct registrar *r);
/* An ended one of training.register: its job's event. */
void by_job_ended(struct reg *g);
void shown_ended(struct reg *g);        /* who waits for it is told */
int64_t shown_late(struct registrar *r);        /* ... whose time is up; when
                                                   the next one's is */

#endif
