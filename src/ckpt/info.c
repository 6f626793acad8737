/*
 * checkpoint.json.
 *
 * It has a digest or two of each other file, and its own in "check": SHA-256 of
 * its compact text, keys sorted, without "check".  So a flipped bit in a step
 * or a running sum is seen as surely as one in a weight.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "impl.h"

/* What is written: without shards, and with. */
#define PLAIN_VERSION   1
#define PLAIN_FORMAT    3
#define SHARDS_VERSION  2
#define SHARDS_FORMAT   4

#define SIZE_LIMIT ((int64_t)1 << 56)   /* of a file; sums don't overflow */
#define TEXT_LIMIT      128
#define SENTENCE_LIMIT  4096
#define CLASS_LIMIT     1024

void
ckpt_info_fini(struct ckpt_info *i)
{
	json_decref(i->metrics);
	json_decref(i->split);
	json_decref(i->state);
	json_decref(i->arithmetic);
	json_decref(i->inexact);
	json_decref(i->classes);
	json_decref(i->input);
	for (size_t k = 0; i->names != NULL && i->names[k] != NULL; k++)
		free(i->names[k]);
	free(i->names);
	*i = (struct ckpt_info){0};
}

static void
put(json_t *o, const char *key, json_t *v)
{
	must(json_object_set_new(o, key, v) == 0);
}

static void
put_int(json_t *o, const char *key, int64_t v)
{
	put(o, key, json_integer(v));
}

/* Text that is no UTF-8 has no place in JSON; our own always is. */
static void
put_str(json_t *o, const char *key, const char *s)
{
	json_t *v = json_string(s);

	put(o, key, v != NULL ? v : json_string(""));
}

static json_t *
object_or_empty(json_t *v)
{
	return v != NULL ? json_incref(v) : json_object();
}

static json_t *
object_or_null(json_t *v)
{
	return v != NULL ? json_incref(v) : json_null();
}

static json_t *
files_json(const struct ckpt_info *i)
{
	json_t *a = json_array();

	for (int k = 0; k < i->nfiles; k++) {
		json_t *f = json_object();
		put_str(f, "name", i->files[k].name);
		put_int(f, "size", (int64_t)i->files[k].size);
		if (i->files[k].sha256[0] != '\0')
			put_str(f, "sha256", i->files[k].sha256);
		if (i->files[k].xxh128[0] != '\0')
			put_str(f, "xxh128", i->files[k].xxh128);
		must(json_array_append_new(a, f) == 0);
	}
	return a;
}

/* What the file and the API have in common. */
static json_t *
common_json(const struct ckpt_info *i)
{
	json_t *o = json_object();

	must(o != NULL && i->seed <= INT64_MAX);
	put_int(o, "branch", i->branch);
	put_str(o, "parent", i->parent);
	put_str(o, "job", i->job);
	put_int(o, "attempt", i->attempt);
	put_int(o, "step", i->step);
	put_int(o, "epoch", i->epoch);
	put_int(o, "sample", i->sample);
	put_int(o, "seed", (int64_t)i->seed);
	put(o, "learning_rate", isfinite(i->learning_rate) ?
	    json_real(i->learning_rate) : json_null());
	put_str(o, "spec_digest", i->spec_digest);
	put_str(o, "data_digest", i->data_digest);
	put_str(o, "producer", i->producer);
	put_int(o, "created_ms", i->created_ms);
	put(o, "metrics", object_or_empty(i->metrics));
	put(o, "split", i->split != NULL ? json_incref(i->split) :
	    json_null());
	put(o, "arithmetic", object_or_null(i->arithmetic));
	put(o, "inexact", object_or_null(i->inexact));
	put(o, "program", i->program[0] != '\0' ? json_string(i->program) :
	    json_null());
	put(o, "classes", object_or_null(i->classes));
	put(o, "files", files_json(i));
	return o;
}

uint64_t
ckpt_info_frozen(const struct ckpt_info *i)
{
	uint64_t bytes = 0;

	for (int k = 0; k < i->nfiles; k++) {
		if (ckpt_is_shared(&i->files[k]))
			bytes += i->files[k].size;
	}
	return bytes;
}

json_t *
ckpt_info_json(const struct ckpt_info *i)
{
	json_t *o = common_json(i), *names = json_array();

	for (size_t k = 0; i->names != NULL && i->names[k] != NULL; k++)
		must(json_array_append_new(names,
		    json_string(i->names[k])) == 0);
	put(o, "names", names);
	put_str(o, "checkpoint", i->dir);
	put_int(o, "bytes", (int64_t)i->bytes);
	put_int(o, "shared_bytes", (int64_t)i->shared);
	put_str(o, "digest", i->digest);
	return o;
}

/* SHA-256 of the tree's text; "check" is not in it. */
static void
check_of(const json_t *tree, char hex[RK_SHA256_HEX])
{
	char *text = rkj_text(tree);

	rk_sha256_of(text, strlen(text), hex);
	free(text);
}

char *
info_text(struct ckpt_info *i)
{
	char check[RK_SHA256_HEX];
	json_t *o = common_json(i);

	const bool shards = ckpt_in_shards(i);

	put_int(o, "version", shards ? SHARDS_VERSION : PLAIN_VERSION);
	i->format = shards ? SHARDS_FORMAT : PLAIN_FORMAT;
	put_int(o, "format", i->format);
	put(o, "input", object_or_null(i->input));
	put(o, "state", object_or_empty(i->state));
	check_of(o, check);
	put_str(o, "check", check);
	char *pretty = rkj_pretty(o);
	char *text = xasprintf("%s\n", pretty);
	rk_sha256_of(text, strlen(text), i->digest);
	free(pretty);
	json_decref(o);
	return text;
}

/* --- reading -------------------------------------------------------------- */

static bool
is_hex(const char *s, size_t digits)
{
	return strspn(s, "0123456789abcdef") == digits && s[digits] == '\0';
}

static bool
is_sha256(const char *s)
{
	return is_hex(s, RK_SHA256_HEX - 1);
}

/* A string field into an array of `size` bytes. */
static void
get_str(struct rkj_obj *o, const char *key, char *out, size_t size)
{
	char *s = NULL;

	if (rkj_str(o, key, &s, size - 1, RKJ_REQUIRED))
		snprintf(out, size, "%s", s);
	free(s);
}

static void
get_digest(struct rkj_obj *o, const char *key, char out[RK_SHA256_HEX],
    bool may_be_empty)
{
	size_t before = o->bad;

	out[0] = '\0';
	get_str(o, key, out, RK_SHA256_HEX);
	if (!before && !o->bad && !is_sha256(out) &&
	    !(may_be_empty && out[0] == '\0'))
		rkj_fault(o, key, "is no SHA-256 in hex");
}

static json_t *
get_object(struct rkj_obj *o, const char *key)
{
	json_t *v = json_object_get(o->v, key);

	if (v == NULL || !json_is_object(v)) {
		rkj_fault(o, key, "is not an object");
		return NULL;
	}
	return json_incref(v);
}

/* Versions before did not write these two. */
static json_t *
get_object_or_null(struct rkj_obj *o, const char *key)
{
	json_t *v = json_object_get(o->v, key);

	return v == NULL || json_is_null(v) ? NULL : get_object(o, key);
}

static json_t *
get_arithmetic(struct rkj_obj *o)
{
	json_t *a = get_object_or_null(o, "arithmetic"), *v;
	const char *key;

	if (json_object_size(a) > CKPT_ARITHMETIC_MAX)
		rkj_fault(o, "arithmetic", "has more than %d texts",
		    CKPT_ARITHMETIC_MAX);
	json_object_foreach(a, key, v) {
		if (!json_is_string(v) || json_string_length(v) > TEXT_LIMIT ||
		    strlen(key) > TEXT_LIMIT) {
			rkj_fault(o, "arithmetic", "has more than texts of at "
			    "most %d bytes", TEXT_LIMIT);
			break;
		}
	}
	return a;
}

static json_t *
get_inexact(struct rkj_obj *in)
{
	json_t *v = get_object_or_null(in, "inexact");
	int64_t n;
	char *s = NULL;
	struct rkj_obj o;

	if (v == NULL)
		return NULL;
	rkj_open(&o, v, "inexact", in->why);
	if (rkj_str(&o, "reason", &s, TEXT_LIMIT, RKJ_REQUIRED) &&
	    !rk_name_ok(s))
		rkj_fault(&o, "reason", "is no word");
	free(s);
	s = NULL;
	rkj_str(&o, "message", &s, SENTENCE_LIMIT, RKJ_REQUIRED);
	free(s);
	rkj_int(&o, "attempt", &n, 0, INT64_MAX, RKJ_REQUIRED);
	rkj_int(&o, "step", &n, 0, INT64_MAX, RKJ_REQUIRED);
	rkj_close_lenient(&o);
	return v;
}

/* What version 2 added. */
static void
get_classes(struct ckpt_info *i, struct rkj_obj *o)
{
	json_t *a = json_object_get(o->v, "classes"), *v;
	size_t k;

	if (a == NULL || json_is_null(a))
		return;
	i->classes = json_incref(a);
	bool ok = json_is_array(a) && json_array_size(a) <= CKPT_CLASSES_MAX;
	json_array_foreach(a, k, v)
		ok &= json_is_string(v) && json_string_length(v) <= CLASS_LIMIT;
	if (!ok)
		rkj_fault(o, "classes", "is no list of at most %d texts of at "
		    "most %d bytes", CKPT_CLASSES_MAX, CLASS_LIMIT);
}

static void
get_format(struct ckpt_info *i, struct rkj_obj *o)
{
	int64_t format = 1;

	rkj_int(o, "format", &format, 1, INT32_MAX, RKJ_OPTIONAL);
	i->format = (int)format;
	if (rkj_any(o, "program") != NULL)
		get_digest(o, "program", i->program, false);
	get_classes(i, o);
	i->input = get_object_or_null(o, "input");
}

/* One of a file's digests, in hex of size - 1 digits; "": it is not there. */
static void
get_sum(struct rkj_obj *o, const char *key, char *out, size_t size)
{
	if (rkj_any(o, key) == NULL)
		return;
	get_str(o, key, out, size);
	if (!o->bad && !is_hex(out, size - 1))
		rkj_fault(o, key, "is no digest of %zu digits in hex",
		    size - 1);
}

static void
get_file(struct ckpt_info *i, const json_t *v, struct rk_why *why)
{
	struct ckpt_file *f = &i->files[i->nfiles];
	struct rkj_obj o;
	int64_t size = 0;

	*f = (struct ckpt_file){0};
	rkj_open(&o, v, "files", why);
	get_str(&o, "name", f->name, sizeof(f->name));
	get_sum(&o, "sha256", f->sha256, sizeof(f->sha256));
	get_sum(&o, "xxh128", f->xxh128, sizeof(f->xxh128));
	if (!o.bad && f->sha256[0] == '\0' && f->xxh128[0] == '\0')
		rkj_fault(&o, "xxh128", "is missing, and so is sha256");
	rkj_int(&o, "size", &size, 0, SIZE_LIMIT, RKJ_REQUIRED);
	/* These names are opened and shipped: plain ones, and no twins. */
	if (!o.bad && (!rk_name_ok(f->name) ||
	    strcmp(f->name, CKPT_JSON) == 0 || strcmp(f->name, CKPT_SUMS) == 0))
		rkj_fault(&o, "name", "is no name for a file here");
	for (int k = 0; k < i->nfiles && !o.bad; k++) {
		if (strcmp(i->files[k].name, f->name) == 0)
			rkj_fault(&o, "name", "occurs twice");
	}
	f->size = (uint64_t)size;
	i->bytes += f->size;
	i->nfiles++;
	rkj_close_lenient(&o);
}

bool
has_file(const struct ckpt_info *i, const char *name)
{
	for (int k = 0; k < i->nfiles; k++) {
		if (strcmp(i->files[k].name, name) == 0)
			return true;
	}
	return false;
}

static void
want_file(const struct ckpt_info *i, const char *name, struct rk_why *why)
{
	if (!has_file(i, name))
		rk_refuse_at(why, "files", "has no %s", name);
}

static void
get_files(struct ckpt_info *i, const json_t *a, struct rk_why *why)
{
	if (!json_is_array(a) || json_array_size(a) > CKPT_MAX_FILES) {
		rk_refuse_at(why, "files", "is not a list of at most %d files",
		    CKPT_MAX_FILES);
		return;
	}
	for (size_t k = 0; k < json_array_size(a); k++)
		get_file(i, json_array_get(a, k), why);
	if (!ckpt_in_shards(i))
		want_file(i, CKPT_MODEL_FILE, why);
	else if (has_file(i, CKPT_MODEL_FILE))
		rk_refuse_at(why, "files", "has %s, and shards of it",
		    CKPT_MODEL_FILE);
	else {
		want_file(i, CKPT_INDEX_FILE, why);
		want_file(i, CKPT_TRAINED_FILE, why);
	}
}

static void
get_fields(struct ckpt_info *i, const json_t *tree, struct rk_why *why)
{
	struct rkj_obj o;
	int64_t branch = 1, seed = 0;

	rkj_open(&o, tree, "", why);
	rkj_int(&o, "branch", &branch, 1, MAX_BRANCHES, RKJ_REQUIRED);
	i->branch = (int)branch;
	get_str(&o, "parent", i->parent, sizeof(i->parent));
	get_str(&o, "job", i->job, sizeof(i->job));
	rkj_int(&o, "attempt", &i->attempt, 0, INT64_MAX, RKJ_REQUIRED);
	rkj_int(&o, "step", &i->step, 0, INT64_MAX, RKJ_REQUIRED);
	rkj_int(&o, "epoch", &i->epoch, 0, INT64_MAX, RKJ_REQUIRED);
	rkj_int(&o, "sample", &i->sample, 0, INT64_MAX, RKJ_REQUIRED);
	rkj_int(&o, "seed", &seed, 0, INT64_MAX, RKJ_REQUIRED);
	i->seed = (uint64_t)seed;
	i->learning_rate = NAN;
	rkj_real(&o, "learning_rate", &i->learning_rate, -DBL_MAX, DBL_MAX,
	    RKJ_OPTIONAL);
	get_digest(&o, "spec_digest", i->spec_digest, true);
	get_digest(&o, "data_digest", i->data_digest, true);
	get_str(&o, "producer", i->producer, sizeof(i->producer));
	rkj_int(&o, "created_ms", &i->created_ms, 0, INT64_MAX, RKJ_REQUIRED);
	i->metrics = get_object(&o, "metrics");
	i->state = get_object(&o, "state");
	if (rkj_any(&o, "split") != NULL)
		i->split = get_object(&o, "split");
	i->arithmetic = get_arithmetic(&o);
	i->inexact = get_inexact(&o);
	get_format(i, &o);
	get_files(i, json_object_get(tree, "files"), why);
	rkj_close_lenient(&o);
}

/* Is a version that we do not know one of ours with a flipped bit? */
static bool
is_flipped(const json_t *tree)
{
	const char *said = json_string_value(json_object_get(tree, "check"));
	char check[RK_SHA256_HEX];
	json_t *ours = json_copy((json_t *)(uintptr_t)tree);

	bool same = false;

	json_object_del(ours, "check");
	for (int v = PLAIN_VERSION; v <= CKPT_VERSION && !same; v++) {
		put_int(ours, "version", v);
		check_of(ours, check);
		same = said != NULL && strcmp(check, said) == 0;
	}
	json_decref(ours);
	return same;
}

/* Is it one that this reader knows?  *newer: it is whole, perhaps, and of a
 * rekindle that came later. */
static bool
check_version(const json_t *tree, bool *newer, struct rk_why *why)
{
	const json_t *version = json_object_get(tree, "version");
	const json_int_t n = json_integer_value(version);

	if (!json_is_integer(version)) {
		rk_refuse(why, "has no version");
		return false;
	}
	*newer = n > CKPT_VERSION && !is_flipped(tree);
	if (*newer)
		rk_refuse(why, "is of version %lld, and this rekindle ("
		    REKINDLE_VERSION ") reads versions up to %d: a newer one "
		    "wrote it and can read it", (long long)n, CKPT_VERSION);
	else if (n < PLAIN_VERSION || n > CKPT_VERSION)
		rk_refuse(why, "is of version %lld, which there is not",
		    (long long)n);
	return n >= PLAIN_VERSION && n <= CKPT_VERSION;
}

/* Its own digest; takes "check" out of the tree. */
static bool
check_tree(json_t *tree, struct rk_why *why)
{
	const char *said = json_string_value(json_object_get(tree, "check"));
	char check[RK_SHA256_HEX];

	if (said == NULL || !is_sha256(said)) {
		rk_refuse(why, "has no digest of itself");
		return false;
	}
	json_t *held = json_incref(json_object_get(tree, "check"));
	json_object_del(tree, "check");
	check_of(tree, check);
	bool same = strcmp(check, said) == 0;
	json_decref(held);
	if (!same)
		rk_refuse(why, "is not what was written: its digest is "
		    "another");
	return same;
}

/* Text to i, but for dir and names. */
static enum rk_err
info_parse(struct ckpt_info *i, const char *s, size_t len, struct rk_why *why)
{
	struct rk_why own = {0};
	json_t *tree = NULL;
	bool newer = false;

	*i = (struct ckpt_info){0};
	rk_sha256_of(s, len, i->digest);
	if (rkj_parse_json(s, len, &tree, &own) == RK_OK) {
		if (!json_is_object(tree))
			rk_refuse(&own, "is no object");
		else if (check_version(tree, &newer, &own) &&
		    check_tree(tree, &own))
			get_fields(i, tree, &own);
	}
	json_decref(tree);
	if (own.n == 0)
		return RK_OK;
	rk_refuse(why, CKPT_JSON ": %s", rk_why_first(&own));
	rk_why_fini(&own);
	ckpt_info_fini(i);
	return newer ? RK_EINVAL : RK_ECORRUPT;
}

enum rk_err
ckpt_info_parse(const char *text, size_t len, const char *dir,
    struct ckpt_info *out, struct rk_why *why)
{
	enum rk_err rc = info_parse(out, text, len, why);

	if (rc != RK_OK)
		return rc;
	dir_text(out->dir, out->step, out->branch);
	if (dir == NULL || strcmp(out->dir, dir) == 0)
		return RK_OK;
	rk_refuse(why, CKPT_JSON ": it is of %s", out->dir);
	ckpt_info_fini(out);
	return RK_ECORRUPT;
}
