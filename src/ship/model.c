/*
 * The model of a checkpoint that an address names.
 *
 * .../step-000001200/checkpoint.json (or the folder alone) means the model in
 * it: checkpoint.json says its digest and size, remote.json - where there is
 * one - in which folder beside it the file is, and its SHA-256, if
 * checkpoint.json does without.  A folder that somebody copied may have
 * neither: then the file is fetched and held against the digest that there is.
 * One in shards is fetched by whole.c.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fetch.h"

#define RECORD "checkpoint.json"

/* Bytes of the folder's address, the slash included; 0: it names none. */
static size_t
folder_length(const char *uri)
{
	size_t n = strlen(uri), r = strlen(RECORD);

	if (n > 0 && uri[n - 1] == '/')
		return n;
	if (n > r && strcmp(uri + n - r, RECORD) == 0 && uri[n - r - 1] == '/')
		return n - r;
	return 0;
}

bool
model_named(const struct fetch *f)
{
	return folder_length(f->bare) > 0;
}

static void
get(struct fetch *f, const char *name, size_t max, remote_done_fn *fn)
{
	struct remote_patience pt = push_patience();
	char *uri = xasprintf("%s%s", f->folder, name);

	f->op = remote_get(f->h->remote, uri, max, &pt, fn, f);
	free(uri);
}

/* The address of a file in a folder beside this one. */
static char *
beside(const struct fetch *f, const char *folder, const char *name)
{
	size_t n = strlen(f->folder) - 1;

	while (n > 0 && f->folder[n - 1] != '/')
		n--;
	return xasprintf("%.*s%s/%s", (int)n, f->folder, folder, name);
}

/* What remote.json says of the model; false: what it says is not what was
 * asked for. */
static bool
take_note(struct fetch *f, const struct rnote *n)
{
	for (int i = 0; i < n->nfiles; i++) {
		const struct note_file *v = &n->files[i];
		if (f->whole != NULL)
			whole_part(f->whole, v->name, beside(f, v->folder,
			    v->name), strcmp(n->digest, f->digest) == 0 ?
			    v->sha256 : "");
		if (strcmp(v->name, CKPT_MODEL_FILE) != 0)
			continue;
		free(f->from);
		f->from = beside(f, v->folder, v->name);
		if (f->xxh128[0] == '\0' || strcmp(n->digest, f->digest) != 0)
			continue;
		if (f->want[0] != '\0' && strcmp(f->want, v->sha256) != 0) {
			char *text = xasprintf("its model has the digest %s",
			    v->sha256);
			fetch_failed(f, RK_EINVAL, text);
			free(text);
			return false;
		}
		memcpy(f->need, v->sha256, sizeof(f->need));
	}
	return true;
}

static void
note_got(void *ctx, const struct remote_result *r)
{
	struct fetch *f = ctx;
	struct rk_why why = {0};
	struct rnote n = {0};

	must_be(f, FETCH_TAG);
	f->op = NULL;
	if (r->end != REMOTE_OK && r->end != REMOTE_MISSING && !r->hidden) {
		fetch_trouble(f, r);
		return;
	}
	if (r->end == REMOTE_OK && rnote_parse(r->body, r->len, &n, &why) !=
	    RK_OK) {
		fetch_failed(f, RK_EINVAL, rk_why_first(&why));
		rk_why_fini(&why);
		return;
	}
	const bool good = take_note(f, &n);
	rnote_fini(&n);
	if (!good)
		return;
	if (f->whole != NULL)
		whole_begin(f);
	else if (f->need[0] != '\0' && cache_has(f->h, f->need, f->max))
		fetch_done(f, f->need);
	else
		fetch_download(f);
}

/* Where each of them is, if no remote.json says otherwise. */
static void
take_shards(struct fetch *f, struct ckpt_info *i)
{
	struct ckpt_file files[CKPT_MAX_FILES];
	const int n = i->nfiles;

	memcpy(files, i->files, sizeof(files));
	whole_free(&f->whole);
	f->whole = whole_new(i);
	for (int k = 0; k < n; k++)
		whole_part(f->whole, files[k].name, xasprintf("%s%s",
		    f->folder, files[k].name), files[k].sha256[0] != '\0' ?
		    files[k].sha256 : version_sha256(f, files[k].name));
}

/* Into f what checkpoint.json says of the model. */
static enum rk_err
take_record(struct fetch *f, const char *text, size_t len, struct rk_why *why)
{
	char dir[CKPT_DIR_MAX];
	struct ckpt_info i;
	json_t *o = NULL;
	enum rk_err rc = rkj_parse_json(text, len, &o, why);

	if (rc != RK_OK)
		return rc;
	/* The folder may have been copied to another name. */
	int64_t branch = json_integer_value(json_object_get(o, "branch"));
	int n = snprintf(dir, sizeof(dir), "step-%09" PRId64,
	    (int64_t)json_integer_value(json_object_get(o, "step")));
	if (branch > 1)
		snprintf(dir + n, sizeof(dir) - (size_t)n, "-b%" PRId64,
		    branch);
	json_decref(o);
	rc = ckpt_info_parse(text, len, dir, &i, why);
	if (rc != RK_OK)
		return rc;
	for (int k = 0; k < i.nfiles; k++) {
		if (strcmp(i.files[k].name, CKPT_MODEL_FILE) != 0)
			continue;
		memcpy(f->need, i.files[k].sha256, sizeof(f->need));
		f->max = i.files[k].size;
		f->xxh128[0] = '\0';
		if (f->need[0] == '\0') {
			memcpy(f->need, f->want, sizeof(f->need));
			memcpy(f->xxh128, i.files[k].xxh128,
			    sizeof(f->xxh128));
		}
	}
	memcpy(f->digest, i.digest, sizeof(f->digest));
	if (ckpt_in_shards(&i)) {
		take_shards(f, &i);
		return RK_OK;
	}
	ckpt_info_fini(&i);
	if (f->version != NULL)
		return rk_refuse(why, "its " RECORD " names no shards, and it "
		    "was registered as a model in shards");
	if (f->want[0] != '\0' && strcmp(f->want, f->need) != 0)
		return rk_refuse(why, "its model has the digest %s", f->need);
	return RK_OK;
}

/* Of a version: is it the one that was registered? */
static bool
is_registered(struct fetch *f, const struct remote_result *r)
{
	const char *want = version_sha256(f, RECORD);
	char has[RK_SHA256_HEX];

	if (r->end == REMOTE_MISSING)
		version_seen(f, RECORD, r->error);
	if (r->end != REMOTE_OK || want[0] == '\0')
		return true;
	rk_sha256_of(r->body, r->len, has);
	if (strcmp(want, has) == 0)
		return true;
	char *text = xasprintf("%s" RECORD " has the SHA-256 %s, and was "
	    "registered with %s", f->folder, has, want);
	version_seen(f, RECORD, text);
	fetch_damaged(f, text);
	free(text);
	return false;
}

static void
record_got(void *ctx, const struct remote_result *r)
{
	struct fetch *f = ctx;
	struct rk_why why = {0};

	must_be(f, FETCH_TAG);
	f->op = NULL;
	if (!is_registered(f, r))
		return;
	if (r->end != REMOTE_OK) {
		fetch_trouble(f, r);
		return;
	}
	if (take_record(f, r->body, r->len, &why) != RK_OK) {
		fetch_failed(f, RK_EINVAL, rk_why_first(&why));
		rk_why_fini(&why);
		return;
	}
	if (f->version != NULL) {
		whole_begin(f);
		return;
	}
	free(f->from);
	f->from = xasprintf("%s" CKPT_MODEL_FILE, f->folder);
	get(f, "remote.json", NOTE_MAX, note_got);
}

void
model_find(struct fetch *f)
{
	char *folder = xstrndup(f->bare, folder_length(f->bare));

	model_find_in(f, folder);
	free(folder);
}

void
model_find_in(struct fetch *f, const char *folder)
{
	char *own = xstrdup(folder);

	free(f->folder);
	f->folder = own;
	f->state = FETCH_HEAD;
	get(f, RECORD, CKPT_JSON_MAX, record_got);
}
