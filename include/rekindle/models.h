/*
 * models - the registry: numbered versions of models, aliases with history.
 *
 * A model is a name and a log.  All there is to know of it are the entries of
 * its log, numbered from 1 without holes, each an object made by put-if-absent
 * below the root (the mirror's prefix + models/, shared by all instances of the
 * prefix; without a mirror a folder of the state directory, in the same layout):
 *
 *	ROOT/NAME/log/0000000001.json      an entry; see below
 *	ROOT/NAME/versions/ID/             the files of a version, put before its
 *	    model.safetensors ...          entry; ID is new for each registration
 *	    version.json                   the version's record, for people who
 *	                                   look with other tools, put behind it
 *
 * Who appends entry M has read all before it, so that what it decides
 * (the next number of a version, where an alias was, whether a version may go)
 * is decided in one order, by whatever machine.  M is taken: read it, decide
 * anew.  Entries are never changed or deleted.  A reader asks for the next
 * entry by name until there is none: lists that are late hide new models for a
 * while and nothing else.
 *
 *	{format: 1, seq, id: of who made it, at: time, by: author, instance,
 *	event:
 *	"version"    version: N, record: {...} (etc/model-version.schema.json)
 *	"alias"      alias, version: N | null (taken away), was: N | null,
 *	             how: "moved" | "rollback" | "removed", note,
 *	             better: {metric, data, was, is} of --if-better
 *	"deleted"    version: N; its files are removed behind it
 *	"changed"    version: N, notes and labels as far as they changed
 *	"evaluated"  version: N, job, data: {digest, source}, metrics: {...}
 *	}
 *
 * What an entry names lies below ROOT/NAME: a record never points outside.  An
 * entry that is none (edited by hand, of a newer rekindled) counts for its
 * number and for nothing else, and is told.
 *
 * The copy in the store answers reads; it says how old it is.  On a store that
 * has no put-if-absent (mirror.h) nothing is written, and reads work.
 *
 * The loop's thread.  Callbacks come once, from the loop, later.
 */
#ifndef REKINDLE_MODELS_H
#define REKINDLE_MODELS_H

#include "rekindle/mirror.h"

struct models;

/* Below a mirror's prefix, or (NULL) in the state directory; the caller's. */
char *models_root(const char *prefix, const char *state_dir);

struct models_config {
	const char *root;               /* models_root() */
	const char *state_dir;          /* for what is being registered; NULL:
	                                   nothing can be */
	uint64_t disk_reserve;          /* bytes to stay free on the disk */
	int64_t retry_ms, retry_max_ms; /* of a registration that waits for the
	                                   store; 0: 5 s, 5 min */
	const char *instance;           /* of entries; "" */
	int64_t fresh_ms;               /* a list may be so old; 60 s */
};
enum rk_err models_open(struct models **mp, struct loop *l, struct remote *r,
    struct store *st, struct sup *su, struct ship *h, struct mirror *m,
    const struct models_config *c, struct rk_why *why) RK_MUSTCHECK;
void models_close(struct models **mp);  /* before mirror, ship, sup */

/* said: borrowed; NULL but on RK_OK.  why: a sentence but on RK_OK. */
typedef void models_fn(void *ctx, enum rk_err rc, const json_t *said,
    const struct rk_why *why);
/* Whoever asked with this ctx has gone.  What was asked for is done, but for an
 * entry that is not decided yet, whose decide() would get this ctx. */
void models_forget(struct models *m, const void *ctx);

/* --- which ------------------------------------------------------------------ */

/* A model's and an alias' name: [A-Za-z0-9][A-Za-z0-9._-]{0,63}; an alias is not
 * all digits, nor `latest`.  Faults have no path. */
enum rk_err models_name_ok(const char *name, struct rk_why *why) RK_MUSTCHECK;
enum rk_err models_alias_ok(const char *alias, struct rk_why *why) RK_MUSTCHECK;
/*
 * "NAME@ALIAS", "NAME/N", "NAME" (the newest version), each with or without
 * model:// before it: by the copy, as it is.  RK_ENOENT with what there is.
 */
struct models_which {
	char name[65];
	int64_t version;
};
enum rk_err models_which(struct models *m, const char *text,
    struct models_which *out, struct rk_why *why) RK_MUSTCHECK;
/* Where an alias of a model is, by the copy.  RK_ENOENT with what there is. */
enum rk_err models_alias(struct models *m, const char *name, const char *alias,
    int64_t *version, struct rk_why *why) RK_MUSTCHECK;

/* --- reading: the copy ------------------------------------------------------ */

/* Bring the copy of a model (NULL: of all, names too) up to date, if it is older
 * than max_age_ms (0: in any case).  RK_ETIMEDOUT, RK_EIO: the store does not
 * answer; the copy is as it was. */
void models_look(struct models *m, const char *name, int64_t max_age_ms,
    models_fn *fn, void *ctx);
/* How old the copy of a model (NULL: of all) is.  as_of_ms 0: nobody has looked
 * yet; error: why the last look found nothing out, NULL where it did, valid
 * until the loop's next round. */
struct models_age {
	int64_t as_of_ms;
	const char *error;
};
void models_age(struct models *m, const char *name, struct models_age *out);
/* Of the copy: models, versions that are not deleted, entries that count for
 * nothing, models whose log has a gap. */
struct models_stats {
	int64_t models, versions, unread, faults;
};
void models_stats(struct models *m, struct models_stats *out);
/* Is there such a version, deleted or not?  RK_ENOENT with what there is. */
enum rk_err models_has(struct models *m, const char *name, int64_t version,
    struct rk_why *why) RK_MUSTCHECK;
/* The record of a version as it is now, with number, aliases, evaluations,
 * deleted; a new reference.  RK_ENOENT. */
enum rk_err models_version(struct models *m, const char *name, int64_t version,
    json_t **out, struct rk_why *why) RK_MUSTCHECK;

/* The tensors.json of a version, {tensors: [{name, dtype, shape}, ...]}, is said,
 * read anew.  RK_ENOENT: it has none, or was deleted. */
void models_tensors(struct models *m, const char *name, int64_t version,
    models_fn *fn, void *ctx);

/* --- addresses -------------------------------------------------------------- */

/*
 * What model://NAME@ALIAS or model://NAME/N, with or without #sha256=, means
 * now: the store is asked.  What is said is {address:
 * "model://NAME/N#sha256=HEX", said: the text, model, version, classes: what
 * the model's rows are called, where no job of ours made it and somebody said,
 * else null}.  RK_EINVAL: no such address, or the digest is another one's.
 * RK_ENOENT, with what there is.  RK_ETIMEDOUT, RK_EIO: the store does not
 * answer; of a number that the copy has it need not.
 */
void models_settle(struct models *m, const char *address, models_fn *fn,
    void *ctx);
/* Which of a version's files the store was found to have no more, or to have
 * other bytes of: {FILE: a sentence}, or null; a new reference. */
json_t *models_missing(struct models *m, const char *name, int64_t version);

/* --- writing ---------------------------------------------------------------- */

/* Has the store put-if-absent?  RK_EROFS: no.  RK_EBUSY: it is not known yet. */
enum rk_err models_may_write(struct models *m, struct rk_why *why)
    RK_MUSTCHECK;
/* The address of a version's folder, which ends in '/'; id: its record's id.  The
 * caller's. */
char *models_folder(struct models *m, const char *name, const char *id);

/*
 * Append an entry.  decide() is called with the copy up to the entry before, as
 * often as somebody else was quicker: it fills `entry` (event and its fields)
 * or refuses, which ends it; left empty, there is nothing to be written, which
 * is RK_OK with nothing said.  Of an event "version" the number is filled in: in
 * version, and in record.model and record.version.  What is said is the entry.
 *
 * id: a word (as a model's name); an entry of this id that is there already is
 * the answer: so a write that is repeated after a crash happens once.  One that
 * begins with MODELS_OF_KEY is made of an Idempotency-Key: after a day it counts
 * anew.
 *
 * RK_EROFS, RK_EBUSY: as of models_may_write().  RK_EINVAL: the entry would be
 * none: longer than 2 MiB, deeper than 160, or a field is not what it must be.
 * RK_ECORRUPT: the log has a gap.  RK_ETIMEDOUT, RK_EIO: the store does not
 * answer; the entry may be there all the same.
 */
#define MODELS_OF_KEY "key-"
typedef enum rk_err models_decide_fn(void *ctx, json_t *entry,
    struct rk_why *why);
void models_append(struct models *m, const char *name, const char *id,
    const char *by, models_decide_fn *decide, models_fn *fn, void *ctx);

/* --- what people do with a model -------------------------------------------- */

/* Who asks.  id: of models_append(), the same for the same request again.
 * author, note: NULL or "": none. */
struct models_by {
	const char *id, *author, *note;
};

/*
 * Each is one entry; what is said is the entry, NULL where nothing had to be
 * written.  RK_ENOENT: there is no such model, version or alias.  RK_ECONFLICT:
 * not as things are; why says how they are.
 *
 * A move goes to a version, or to where the alias `from` is.  if_better: only if
 * this metric is better than that of the version where the alias is, on the
 * same data; more is better but of *loss, *error and the like.
 */
struct models_move {
	int64_t version;
	const char *from, *if_better;           /* NULL: not said */
};
void models_move(struct models *m, const char *name, const char *alias,
    const struct models_move *v, const struct models_by *by, models_fn *fn,
    void *ctx);
/* To the newest version where it was before and that is not deleted; of an alias
 * that was taken away, to where it was. */
void models_rollback(struct models *m, const char *name, const char *alias,
    const struct models_by *by, models_fn *fn, void *ctx);
void models_alias_away(struct models *m, const char *name, const char *alias,
    const struct models_by *by, models_fn *fn, void *ctx);
/* RK_ECONFLICT: an alias is at it, or in_use() says who needs it.  Its files are
 * removed behind the entry, also after a kill. */
void models_delete(struct models *m, const char *name, int64_t version,
    const struct models_by *by, models_fn *fn, void *ctx);
/* notes NULL: as they are; labels NULL: as they are, else merged (RFC 7396). */
void models_change(struct models *m, const char *name, int64_t version,
    const char *notes, const json_t *labels, const struct models_by *by,
    models_fn *fn, void *ctx);
/* data: {digest, source}; metrics: {macro_f1: ...}; the names may have val_
 * before them, or not. */
void models_evaluated(struct models *m, const char *name, int64_t version,
    const char *job, const json_t *data, const json_t *metrics,
    const struct models_by *by, models_fn *fn, void *ctx);

/* RK_ECONFLICT, with a sentence: a job of this instance names the version and
 * has not ended. */
typedef enum rk_err models_in_use_fn(void *ctx, const char *name,
    int64_t version, struct rk_why *why);
void models_in_use(struct models *m, models_in_use_fn *fn, void *ctx);

/* --- registering ------------------------------------------------------------ */

/*
 * A checkpoint of a job, or a file by its address, on its way to become a
 * version: durable work of this machine.  Its files are put first, then the
 * entry, then version.json; a daemon that was killed goes on where it was, and
 * a store that does not answer is waited for.  Nothing of a request is lost but
 * by a refusal, which stays to be read.
 *
 * body: of POST /v1/models/{model}/versions.  What the request itself can be
 * refused for is said here: RK_EINVAL by its fields, RK_ENOENT (no such job),
 * RK_EROFS (models_may_write()).  idem (may be NULL): its idem_key and
 * idem_digest are kept with it.  On RK_OK the files of a checkpoint that is
 * here are safe from retention, and it goes on by itself.
 */
enum rk_err models_register(struct models *m, const char *name,
    const json_t *body, const struct store_note *idem, char id[RK_ID],
    struct rk_why *why) RK_MUSTCHECK;
/* The registration that this Idempotency-Key began, in the last 24 h.
 * RK_ENOENT; RK_ECONFLICT: by another request. */
enum rk_err models_registered_by(struct models *m, const char *key,
    const char *digest, char id[RK_ID]) RK_MUSTCHECK;
/* As the API shows it; a new reference.  RK_ENOENT. */
enum rk_err models_registration(struct models *m, const char *name,
    const char *id, json_t **out, struct rk_why *why) RK_MUSTCHECK;
/* A list of them, newest first, those below `before` (NULL: all). */
enum rk_err models_registrations(struct models *m, const char *name,
    const char *before, int limit, json_t **out) RK_MUSTCHECK;
/* fn is called with it when it has ended, or after so long. */
void models_registration_wait(struct models *m, const char *id,
    int64_t within_ms, models_fn *fn, void *ctx);
/* Give up one that is under way (what was put is taken away again), or forget
 * one that has ended.  RK_ENOENT; RK_ECONFLICT: it is being entered. */
enum rk_err models_registration_drop(struct models *m, const char *name,
    const char *id, struct rk_why *why) RK_MUSTCHECK;

#endif
