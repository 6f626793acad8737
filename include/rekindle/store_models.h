/*
 * store, continued: the copy of the registry (models.h), and registrations.
 *
 * All but the registrations is a copy of what lies in a bucket, and can be read
 * again from there.  Strings of rows that a callback gets are borrowed; those of
 * a row that a call fills are the caller's, to be given back with its _fini().
 * None is NULL but where said.
 */
#ifndef REKINDLE_STORE_MODELS_H
#define REKINDLE_STORE_MODELS_H

#include "rekindle/store.h"

/* A model: how far its log has been read. */
struct model_row {
	char *name;
	int64_t seq;            /* entries 1..seq are here */
	int64_t top;            /* the highest number that a version had */
	int64_t live;           /* versions that are not deleted */
	int64_t bad;            /* entries that count for nothing */
	int64_t created_ms, updated_ms;         /* of the first and newest
	                                           entry */
	int64_t looked_ms;      /* when the store was last asked; 0: never */
	char *fault;            /* a sentence: why its log ends where it ends; ""
	                           of one that is whole */
};
void store_model_fini(struct model_row *r);
enum rk_err store_model_put(struct store *s, const struct model_row *r)
    RK_MUSTCHECK;
enum rk_err store_model_get(struct store *s, const char *name,
    struct model_row *out) RK_MUSTCHECK;                /* RK_ENOENT */
typedef bool store_model_fn(void *ctx, const struct model_row *r);
/* By name, those behind `after` ("": all). */
enum rk_err store_models(struct store *s, const char *after, int limit,
    store_model_fn *fn, void *ctx) RK_MUSTCHECK;
/* A model with entries, versions and aliases; registrations stay. */
enum rk_err store_model_drop(struct store *s, const char *name) RK_MUSTCHECK;

/* An entry of its log. */
struct model_entry_row {
	char *model;
	int64_t seq;
	char *id;
	char *event;            /* "" of one that cannot be read */
	int64_t version;        /* 0: none */
	char *alias;            /* "": none */
	int64_t at_ms;
	char *fault;            /* why it counts for nothing, or "" */
	char *entry;            /* its text as it was put */
};
void store_entry_fini(struct model_entry_row *r);
enum rk_err store_entry_put(struct store *s, const struct model_entry_row *r)
    RK_MUSTCHECK;
enum rk_err store_entry_get(struct store *s, const char *model, int64_t seq,
    struct model_entry_row *out) RK_MUSTCHECK;          /* RK_ENOENT */
/* Of those that count: the newest of this id. */
enum rk_err store_entry_by_id(struct store *s, const char *model,
    const char *id, struct model_entry_row *out) RK_MUSTCHECK;
/* Newest first, those below `before` (0: all).  alias, or version and event:
 * only these (NULL, 0: all). */
struct store_entry_filter {
	const char *alias;
	int64_t version;
	const char *event;
};
typedef bool store_entry_fn(void *ctx, const struct model_entry_row *r);
enum rk_err store_entries(struct store *s, const char *model,
    const struct store_entry_filter *f, int64_t before, int limit,
    store_entry_fn *fn, void *ctx) RK_MUSTCHECK;

/* A version as it is now. */
struct version_row {
	int64_t n;              /* its place in this file */
	char *model;
	int64_t version;
	char *id;               /* its folder */
	int64_t created_ms, deleted_ms;         /* 0: it is there */
	char *author;
	char *job;              /* whose checkpoint it is, or "" */
	char *digest;
	uint64_t bytes;
	bool removing;          /* deleted, and we remove its files */
	char *labels;           /* JSON object of strings */
	char *metrics;          /* JSON object of numbers */
	char *head;             /* JSON object: what lists show */
	char *record;           /* JSON object; NULL in a list */
};
void store_version_fini(struct version_row *r);
/* Insert, or replace by model and version; n is not read. */
enum rk_err store_version_put(struct store *s, const struct version_row *r)
    RK_MUSTCHECK;
enum rk_err store_version_get(struct store *s, const char *model,
    int64_t version, struct version_row *out) RK_MUSTCHECK;     /* RK_ENOENT */

/* What versions are looked for; all of it must hold. */
#define STORE_CONDITIONS 8
enum store_cmp { CMP_LT, CMP_LE, CMP_EQ, CMP_NE, CMP_GE, CMP_GT, CMP_COUNT };
extern const char *const store_cmp_words[CMP_COUNT + 1];        /* "<" ... */
struct store_versions_filter {
	const char *model, *author, *job, *digest, *id; /* NULL: any */
	bool deleted;                   /* those that were deleted, too */
	bool removing;                  /* and only those */
	struct {
		const char *key, *value;        /* value NULL: any */
	} label[STORE_CONDITIONS];
	size_t nlabels;
	struct {
		const char *name;
		enum store_cmp cmp;
		double value;
	} metric[STORE_CONDITIONS];
	size_t nmetrics;
	/* NULL: by time (of one model: by number); else by this metric, and
	 * only those that have it. */
	const char *by;
	bool ascending;
	/* Only those behind this place, as a callback said it. */
	bool after;
	double after_key;
	int64_t after_n;
};
/* key: of the order, for after_key. */
typedef bool store_version_fn(void *ctx, const struct version_row *r,
    double key);
enum rk_err store_versions(struct store *s,
    const struct store_versions_filter *f, int limit, store_version_fn *fn,
    void *ctx) RK_MUSTCHECK;

/* Where an alias is. */
struct alias_row {
	char *model, *alias;
	int64_t version;        /* 0: it was taken away */
	char *before;           /* JSON list: where it was before, oldest first */
	int64_t moved_ms;
	char *author;           /* who moved it */
};
void store_alias_fini(struct alias_row *r);
enum rk_err store_alias_put(struct store *s, const struct alias_row *r)
    RK_MUSTCHECK;
enum rk_err store_alias_get(struct store *s, const char *model,
    const char *alias, struct alias_row *out) RK_MUSTCHECK;     /* RK_ENOENT */
/* By name; version: only those at it, -1: all, those taken away too. */
typedef bool store_alias_fn(void *ctx, const struct alias_row *r);
enum rk_err store_aliases(struct store *s, const char *model, int64_t version,
    store_alias_fn *fn, void *ctx) RK_MUSTCHECK;

/* A registration: work of this machine that goes on after a kill. */
struct registration_row {
	char id[RK_ID];
	char *model;
	char *job;              /* whose checkpoint, or "" */
	char *state;            /* a word */
	char *request;          /* JSON: what was asked for */
	char *progress;         /* JSON: what has been done, or "" */
	int64_t version;        /* what came of it; 0: nothing yet */
	char *error;            /* a sentence, or "" */
	char *idem_key, *idem_digest;           /* or "" */
	int64_t created_ms, updated_ms;
};
void store_registration_fini(struct registration_row *r);
/* Insert, or replace by id. */
enum rk_err store_registration_put(struct store *s,
    const struct registration_row *r) RK_MUSTCHECK;
enum rk_err store_registration_get(struct store *s, const char *id,
    struct registration_row *out) RK_MUSTCHECK;         /* RK_ENOENT */
/* The newest one of this Idempotency-Key.  RK_ENOENT. */
enum rk_err store_registration_by_key(struct store *s, const char *key,
    struct registration_row *out) RK_MUSTCHECK;
enum rk_err store_registration_drop(struct store *s, const char *id)
    RK_MUSTCHECK;
/* Newest first, those below `before` (NULL: all); model, state: NULL: any. */
typedef bool store_registration_fn(void *ctx,
    const struct registration_row *r);
enum rk_err store_registrations(struct store *s, const char *model,
    const char *state, const char *before, int limit,
    store_registration_fn *fn, void *ctx) RK_MUSTCHECK;

#endif
