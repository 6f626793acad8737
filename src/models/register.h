/*
 * Registering, from inside: how a checkpoint or a file becomes a version.
 *
 *	request.c   what was asked for, read from JSON
 *	record.c    the version's record, from what is known of its source
 *	lineage.c   the tree of what a job was begun from
 *	kept.c      that tree, kept in a job's folder as the job begins
 *	of_job.c    a job's checkpoint: which one, and its files
 *	of_file.c   a file by address: fetched or copied, and what it is
 *	staged.c    the folder <state>/models-staging/ID: linked, checked, hashed
 *	put.c       its files, one behind the other, into the version's folder
 *	register.c  the states of a registration, and who moves it on
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
    const char *sha256);
/* What is known once the files are staged.  files: [{name, size, sha256}]. */
void record_put_files(json_t *record, const json_t *files, const char *digest,
    const char *format);
/* {source, train: {digest, samples}, validation: the same or null}. */
json_t *record_data(const struct spec *spec, const struct ckpt_info *i);

#endif
