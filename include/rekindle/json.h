/*
 * json - text to tree and tree to struct.
 *
 * jansson is the tree everywhere; this module parses JSON and YAML into it
 * under limits, prints it, and reads it with a path in every complaint.  The
 * prefix is rkj_, because json_ is jansson's own.
 */
#ifndef REKINDLE_JSON_H
#define REKINDLE_JSON_H

#include <jansson.h>

#include "rekindle/base.h"

/* Limits on hostile text: over any of them is RK_EINVAL with a sentence. */
#define RKJ_MAX_DEPTH  160       /* a lineage (models.h) is 64 nodes deep */
#define RKJ_MAX_NODES  200000
#define RKJ_MAX_BYTES  (8u << 20)

/*
 * Parse len bytes of JSON (RFC 8259; duplicate keys, trailing bytes and NUL
 * refused) or YAML 1.1 as libyaml reads it (one document; plain scalars get
 * the JSON types of YAML 1.2's core schema, so `no` and `on` stay strings;
 * anchors and aliases are refused, as are duplicate keys; a tag is refused
 * unless it is the default).  On RK_OK *out is a new reference.  The fault's
 * message has line and column.
 */
enum rk_err rkj_parse_json(const char *s, size_t len, json_t **out,
    struct rk_why *why) RK_MUSTCHECK;
enum rk_err rkj_parse_yaml(const char *s, size_t len, json_t **out,
    struct rk_why *why) RK_MUSTCHECK;

/* A YAML plain scalar to its JSON value. */
json_t *rkj_scalar(const char *text);
/* The VALUE of a `--set PATH=VALUE`: a list or an object where it begins like
 * one and can be read as YAML, else a scalar. */
json_t *rkj_value(const char *text);

/* Compact text, keys sorted, that the caller frees (the form we digest). */
char *rkj_text(const json_t *v);
/* The same with an indent of two, for people. */
char *rkj_pretty(const json_t *v);
/* As YAML, keys in the order in which they were set, for people: objects of the
 * first `levels` levels, and lists of objects in them, have a line for each
 * member.  rkj_parse_yaml() gives an equal tree. */
char *rkj_yaml(const json_t *v, int levels);

/*
 * Reader: a struct's fields out of a tree, all faults collected.
 *
 *	struct rkj_obj o;
 *	rkj_open(&o, tree, "training", why);     // faults unless it is an
 *						 object
 *	rkj_int(&o, "batch_size", &t->batch, 1, 1 << 20, RKJ_REQUIRED);
 *	rkj_close(&o);                           // faults for fields not asked
 *						 for
 *
 * A getter leaves *out alone when the field is absent and optional, or wrong;
 * it returns true when it has set *out.  Messages are of the kind
 * "is \"x\", want an integer 1 to 1048576".  o->bad says whether this object
 * had a fault.  An unknown field's message offers the nearest known one.
 * JSON null counts as absent.
 */
#define RKJ_OPTIONAL 0
#define RKJ_REQUIRED 1
#define RKJ_MAX_FIELDS 64
struct rkj_obj {
	const json_t *v;        /* NULL when it was not an object */
	char *path;
	struct rk_why *why;
	const char *seen[RKJ_MAX_FIELDS];
	size_t nseen;
	bool bad;
};
void rkj_open(struct rkj_obj *o, const json_t *v, const char *path,
    struct rk_why *why);
void rkj_close(struct rkj_obj *o);
/* Frees like rkj_close, but without a fault for unknown fields. */
void rkj_close_lenient(struct rkj_obj *o);

bool rkj_int(struct rkj_obj *o, const char *key, int64_t *out, int64_t min,
    int64_t max, int required);
bool rkj_real(struct rkj_obj *o, const char *key, double *out, double min,
    double max, int required);
bool rkj_bool(struct rkj_obj *o, const char *key, bool *out, int required);
/* *out is a new string (the old one is freed); at most max bytes long. */
bool rkj_str(struct rkj_obj *o, const char *key, char **out, size_t max,
    int required);
/* A word out of a NULL-terminated list; *out is its index. */
bool rkj_enum(struct rkj_obj *o, const char *key, int *out,
    const char *const *words, int required);
/* Bytes: an integer, or text such as "512MiB", "4GB", "1.5GiB". */
bool rkj_bytes(struct rkj_obj *o, const char *key, uint64_t *out, uint64_t min,
    uint64_t max, int required);
/* A field of any type, borrowed; NULL if absent.  Counts as asked for. */
const json_t *rkj_any(struct rkj_obj *o, const char *key);
/* "training.optimizer" for a child: a string that the caller frees. */
char *rkj_child(const struct rkj_obj *o, const char *key);
/* A fault at a field of this object. */
void rkj_fault(struct rkj_obj *o, const char *key, const char *fmt, ...)
    RK_PRINTF(3, 4);

/* Merge b into a as RFC 7396 says (objects merged, null removes). */
void rkj_merge(json_t *a, const json_t *b);

/* Set "a.b.c" in a tree of objects, making them on the way; takes v.
 * RK_EINVAL if the path meets something that is not an object. */
enum rk_err rkj_set_path(json_t *root, const char *path, json_t *v,
    struct rk_why *why) RK_MUSTCHECK;

/* The word of list[0..n-1] that somebody who wrote `word` may have meant, or
 * NULL. */
const char *rkj_nearest(const char *word, const char *const *list, size_t n);
/* How many letters are to be changed, put in or left out to make b of a; of
 * long ones only the ends are looked at. */
size_t rkj_distance(const char *a, const char *b);

/* The relative paths of a job (the files of its data, a text or a list of them,
 * and of its warm start) as seen from a folder, which is absolute.  Addresses,
 * and what is no text, stay as they are. */
void rkj_job_paths(json_t *job, const char *folder);

#endif
