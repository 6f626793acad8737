/*
 * A download and its parts: fetch.c the whole, part.c the partial file,
 * model.c the model of a checkpoint that an address names; whole.c that model
 * where it is in shards; version.c the version of a model.
 */
#ifndef SHIP_FETCH_H
#define SHIP_FETCH_H

#include "impl.h"

enum fetch_state { FETCH_HEAD, FETCH_GET, FETCH_PARTS, FETCH_WAIT, FETCH_DONE,
	FETCH_FAILED };

/* A job that asks, at an attempt of its: it gets what a look that began after
 * it had asked found. */
struct asker {
	char job[RK_ID];
	int64_t attempt;
	bool looked;                    /* the look under way is for it, too */
	char hex[RK_SHA256_HEX];        /* what it found, "" until then */
};

struct whole;
struct version;

struct fetch {
	unsigned tag;
	struct ship *h;
	struct fetch *next;
	enum fetch_state state;
	char *bare;                     /* the address, without #sha256= */
	char want[RK_SHA256_HEX];       /* what pins it, or "" */
	bool model;                     /* may be a checkpoint's folder */
	char *from;                     /* what is downloaded: bare, or a file
	                                   of that folder */
	char *folder;                   /* of the checkpoint, ends in '/' */
	struct version *version;        /* of model://, when it was asked for */
	bool asks;                      /* WAIT: for the registry */
	char need[RK_SHA256_HEX];       /* its digest, "" if not known */
	char xxh128[RK_XXH128_HEX];     /* or this, of a model whose
	                                   checkpoint.json has only this */
	char digest[RK_SHA256_HEX];     /* of that checkpoint.json */
	struct whole *whole;            /* of that checkpoint, if its model is
	                                   in shards; else NULL */
	struct sums *sums;              /* holding it against xxh128 */
	char hex[RK_SHA256_HEX];        /* DONE: that of the file */
	uint64_t room;                  /* FAILED for want of it, else 0 */
	uint64_t size, max;             /* 0: not known yet; what it must have,
	                                   0: any */
	bool patient, optional;
	bool begun;                     /* the part was looked into */
	struct asker *jobs;             /* who waits, or has waited */
	size_t njobs;
	struct remote_op *op;
	int fd;
	char part[RK_SHA256_HEX + 8], note[RK_SHA256_HEX + 8];
	char *etag;
	struct remote_range *have;
	size_t nhave;
	int damaged, fails;
	int64_t silent_ms;              /* mono: when nobody answered; 0 */
	int64_t at_ms;                  /* mono: WAIT until, DONE since */
	enum rk_err err;                /* FAILED */
	char *error;                    /* a sentence, also of WAIT */
};

/* fetch.c */
void fetch_failed(struct fetch *f, enum rk_err err, const char *error);
void fetch_trouble(struct fetch *f, const struct remote_result *r);
void fetch_done(struct fetch *f, const char *hex);
void fetch_download(struct fetch *f);
void fetch_keep(struct fetch *f, const char *sha256, const char *etag);
void fetch_damaged(struct fetch *f, const char *error);
void fetch_asks(struct fetch *f, const char *error);    /* the registry */
bool fetch_part_open(struct fetch *f);  /* false: it has failed */

/* part.c */
void part_forget(struct fetch *f);      /* the file, too */
void part_note(struct fetch *f);        /* what is done, on the disk */
void part_read(struct fetch *f);
void part_add(struct fetch *f, uint64_t at, uint64_t n);
uint64_t part_bytes(const struct fetch *f);

/* model.c: does the address name a checkpoint?  Then f->from and f->need become
 * those of its model, and it goes on with fetch_download(). */
bool model_named(const struct fetch *f);
void model_find(struct fetch *f);
void model_find_in(struct fetch *f, const char *folder);

/* version.c: of an address that is spec_is_version().  file NULL: the one that
 * is fetched. */
void version_find(struct fetch *f);
void version_free(struct version **vp);         /* NULL is fine */
/* What the version's record says of a file of it; "": nothing, or f is of no
 * version. */
const char *version_sha256(const struct fetch *f, const char *name);
void version_seen(const struct fetch *f, const char *file, const char *fault);

/*
 * whole.c: shards, each fetched by itself (so that what is shared is fetched
 * once), then joined to the file that they stand for.  whole_new() takes what i
 * owns; whole_part() says where file k is, with its SHA-256, or "".  whole_go()
 * is a step for who asks, each time that he does: RK_EBUSY, or why not.
 */
struct whole *whole_new(struct ckpt_info *i);
void whole_free(struct whole **wp);     /* NULL is fine */
void whole_part(struct whole *w, const char *name, char *uri,
    const char *sha256);
void whole_begin(struct fetch *f);
enum rk_err whole_go(struct fetch *f, const struct fetch_ask *by,
    struct rk_why *why);

#endif
