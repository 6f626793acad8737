/*
 * remote.json: where the files of a remote checkpoint are.
 *
 *	{"version": 1, "job": ID, "checkpoint": "step-000001200",
 *	 "digest": SHA-256 of checkpoint.json, "epoch": 3, "instance": "gpu-a",
 *	 "files": [{"name", "size", "sha256", "folder": "step-000000800"}],
 *	 "names": ["before-lr-drop"]}
 *
 * A folder is a name beside the checkpoint's own, so that a copy of the whole
 * prefix elsewhere still hangs together, and so that nothing in it can lead a
 * reader to another place.  names.json, {"names": [...]}, has those that were
 * given later, all of them.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define NOTE_VERSION 1
#define SIZE_LIMIT ((int64_t)1 << 56)

void
rnote_fini(struct rnote *n)
{
	names_free(n->names);
	*n = (struct rnote){0};
}

static bool
digest_ok(const char *s)
{
	return strspn(s, "0123456789abcdef") == RK_SHA256_HEX - 1 &&
	    s[RK_SHA256_HEX - 1] == '\0';
}

static void
get_text(struct rkj_obj *o, const char *key, char *out, size_t size,
    bool (*ok)(const char *))
{
	char *s = NULL;

	if (rkj_str(o, key, &s, size - 1, RKJ_REQUIRED)) {
		snprintf(out, size, "%s", s);
		if (ok != NULL && !ok(s))
			rkj_fault(o, key, "is not of the right form");
	}
	free(s);
}

static bool
folder_ok(const char *s)
{
	char dir[CKPT_DIR_MAX];
	int64_t epoch;

	return folder_parse(s, dir, &epoch);
}

static bool
dir_ok(const char *s)
{
	char dir[CKPT_DIR_MAX];
	int64_t epoch;

	return folder_parse(s, dir, &epoch) && strcmp(dir, s) == 0;
}

static bool
instance_ok(const char *s)
{
	return s[0] == '\0' || rk_name_ok(s);
}

static void
get_file(struct rnote *n, const json_t *v, struct rk_why *why)
{
	struct note_file *f = &n->files[n->nfiles];
	struct rkj_obj o;
	int64_t size = 0;

	rkj_open(&o, v, "files", why);
	get_text(&o, "name", f->name, sizeof(f->name), rk_name_ok);
	get_text(&o, "sha256", f->sha256, sizeof(f->sha256), digest_ok);
	get_text(&o, "folder", f->folder, sizeof(f->folder), folder_ok);
	rkj_int(&o, "size", &size, 0, SIZE_LIMIT, RKJ_REQUIRED);
	f->size = (uint64_t)size;
	for (int k = 0; k < n->nfiles && !o.bad; k++) {
		if (strcmp(n->files[k].name, f->name) == 0)
			rkj_fault(&o, "name", "occurs twice");
	}
	n->nfiles++;
	rkj_close_lenient(&o);
}

/* Those that a person may give; the others are left out. */
static char **
take_names(const json_t *a)
{
	char **to = xcalloc(NAMES_MAX + 1, sizeof(*to));
	size_t k = 0;

	for (size_t i = 0; i < json_array_size(a) && k < NAMES_MAX; i++) {
		const char *s = json_string_value(json_array_get(a, i));
		if (s != NULL && spec_checkpoint_name_ok(s, NULL) == RK_OK)
			to[k++] = xstrdup(s);
	}
	if (k > 0)
		return to;
	free(to);
	return NULL;
}

static void
get_fields(struct rnote *n, const json_t *tree, struct rk_why *why)
{
	struct rkj_obj o;
	int64_t version = 0;

	rkj_open(&o, tree, "", why);
	rkj_int(&o, "version", &version, NOTE_VERSION, NOTE_VERSION,
	    RKJ_REQUIRED);
	get_text(&o, "job", n->job, sizeof(n->job), rk_id_ok);
	get_text(&o, "checkpoint", n->checkpoint, sizeof(n->checkpoint),
	    dir_ok);
	get_text(&o, "digest", n->digest, sizeof(n->digest), digest_ok);
	get_text(&o, "instance", n->instance, sizeof(n->instance),
	    instance_ok);
	rkj_int(&o, "epoch", &n->epoch, 0, INT64_MAX, RKJ_REQUIRED);
	const json_t *files = rkj_any(&o, "files");
	if (!json_is_array(files) || json_array_size(files) > CKPT_MAX_FILES)
		rkj_fault(&o, "files", "is not a list of at most %d files",
		    CKPT_MAX_FILES);
	else
		for (size_t k = 0; k < json_array_size(files); k++)
			get_file(n, json_array_get(files, k), why);
	n->names = take_names(rkj_any(&o, "names"));
	rkj_close_lenient(&o);
}

enum rk_err
rnote_parse(const char *text, size_t len, struct rnote *out,
    struct rk_why *why)
{
	struct rk_why own = {0};
	json_t *tree = NULL;

	*out = (struct rnote){0};
	if (len > NOTE_MAX)
		rk_refuse(&own, "is longer than %u bytes", NOTE_MAX);
	else if (rkj_parse_json(text, len, &tree, &own) == RK_OK)
		get_fields(out, tree, &own);
	json_decref(tree);
	if (own.n == 0)
		return RK_OK;
	rk_refuse(why, "remote.json: %s", rk_why_first(&own));
	rk_why_fini(&own);
	rnote_fini(out);
	return RK_ECORRUPT;
}

static json_t *
names_json(char *const *names)
{
	json_t *a = json_array();

	for (size_t i = 0; names != NULL && names[i] != NULL; i++)
		must(json_array_append_new(a, json_string(names[i])) == 0);
	return a;
}

/* "BASE<folder>/<file>" to its folder. */
static json_t *
folder_of(const char *uri, const char *base)
{
	const char *rest = uri + strlen(base);

	must(starts_with(uri, base));
	return json_stringn(rest, strcspn(rest, "/"));
}

char *
rnote_text(const struct ship *h, const struct remote_row *r,
    const struct rfiles *f, const char *base)
{
	char digest[RK_SHA256_HEX];
	json_t *files = json_array(), *o;

	rk_sha256_of(r->info, strlen(r->info), digest);
	for (int i = 0; i < f->n; i++) {
		json_t *v = json_pack("{s:s, s:I, s:s, s:o}", "name",
		    f->v[i].name, "size", (json_int_t)f->v[i].size, "sha256",
		    f->v[i].sha256, "folder", folder_of(f->v[i].uri, base));
		must(v != NULL && json_array_append_new(files, v) == 0);
	}
	o = json_pack("{s:i, s:s, s:s, s:s, s:I, s:s, s:o, s:o}", "version",
	    NOTE_VERSION, "job", r->job, "checkpoint", r->dir, "digest",
	    digest, "epoch", (json_int_t)r->epoch, "instance", h->c.instance,
	    "files", files, "names", names_json(f->names));
	must(o != NULL);
	char *pretty = rkj_pretty(o);
	char *text = xasprintf("%s\n", pretty);
	free(pretty);
	json_decref(o);
	return text;
}

bool
rnote_is_of(const struct rnote *n, const struct ckpt_info *i, const char *job,
    const char *info)
{
	char digest[RK_SHA256_HEX];

	rk_sha256_of(info, strlen(info), digest);
	if (strcmp(n->digest, digest) != 0 || strcmp(n->job, job) != 0 ||
	    strcmp(n->checkpoint, i->dir) != 0 || n->nfiles != i->nfiles)
		return false;
	for (int k = 0; k < n->nfiles; k++) {
		if (strcmp(n->files[k].name, i->files[k].name) != 0 ||
		    (i->files[k].sha256[0] != '\0' &&
		    strcmp(n->files[k].sha256, i->files[k].sha256) != 0) ||
		    n->files[k].size != i->files[k].size)
			return false;
	}
	return true;
}

void
rnote_files(const struct rnote *n, const char *base, struct rfiles *f)
{
	*f = (struct rfiles){0};
	for (int k = 0; k < n->nfiles; k++) {
		const struct note_file *v = &n->files[k];
		char *uri = xasprintf("%s%s/%s", base, v->folder, v->name);
		rfiles_add(f, v->name, v->size, v->sha256, uri);
		free(uri);
	}
	f->names = names_copy(n->names);
}

bool
rnote_same(const char *a, size_t alen, const char *b)
{
	json_t *x = NULL, *y = NULL;
	bool same = false;

	if (alen <= NOTE_MAX && rkj_parse_json(a, alen, &x, NULL) == RK_OK &&
	    rkj_parse_json(b, strlen(b), &y, NULL) == RK_OK) {
		json_object_del(x, "names");
		json_object_del(y, "names");
		same = json_equal(x, y);
	}
	json_decref(x);
	json_decref(y);
	return same;
}

char *
names_text(char *const *names)
{
	json_t *o = json_pack("{s:o}", "names", names_json(names));
	char *text = rkj_text(o);

	json_decref(o);
	return text;
}

char **
names_parse(const char *text, size_t len)
{
	json_t *o = NULL;
	char **names = NULL;

	if (len <= NOTE_MAX && rkj_parse_json(text, len, &o, NULL) == RK_OK)
		names = take_names(json_object_get(o, "names"));
	json_decref(o);
	return names;
}
