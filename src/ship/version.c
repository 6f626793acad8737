/*
 * A version of a model, by its address.
 *
 * model://NAME/N means the version's model, model://NAME/N/FILE one of its
 * files.  The registry (models.h), which is above ship, says in which folder
 * they are and what their digests are; from there on they are fetched like any
 * other object that is pinned, and a model in shards like that of a checkpoint
 * (model.c, whole.c), whose checkpoint.json lies beside it.  So no digest is
 * taken from the store's word, and what is found missing or changed there is
 * told to the registry.
 */
#include <stdlib.h>
#include <string.h>

#include "fetch.h"

struct version {
	char *name, *which;             /* "defects", "3" or "production" */
	char *file;                     /* NULL: its model */
	struct ship_version is;         /* folder NULL: not asked yet */
};

static void
is_fini(struct ship_version *v)
{
	free(v->folder);
	free(v->files);
	*v = (struct ship_version){ 0 };
}

void
version_free(struct version **vp)
{
	struct version *v = *vp;

	*vp = NULL;
	if (v == NULL)
		return;
	is_fini(&v->is);
	free(v->name);
	free(v->which);
	free(v->file);
	free(v);
}

/* "model://defects/3/optimizer.safetensors" taken apart; NULL: it is none. */
static struct version *
version_parse(const char *bare)
{
	char *own = xstrdup(bare);
	struct version *v = xcalloc(1, sizeof(*v));
	const char *behind = strstr(own, "://");
	char *first = behind != NULL ? strpbrk((char *)(uintptr_t)behind + 3,
	    "/@") : NULL;
	char *last = first != NULL ? strchr(first + 1, '/') : NULL;
	struct rk_uri u = { 0 };

	if (last != NULL) {
		*last = '\0';
		v->file = xstrdup(last + 1);
	}
	if (rk_uri_parse(&u, own, NULL) == RK_OK && u.kind == RK_URI_MODEL) {
		v->name = xstrdup(u.host);
		v->which = xstrdup(u.path);
	} else {
		version_free(&v);
	}
	rk_uri_fini(&u);
	free(own);
	return v;
}

static const struct ckpt_file *
file_of(const struct ship_version *v, const char *name)
{
	for (size_t i = 0; i < v->nfiles; i++)
		if (strcmp(v->files[i].name, name) == 0)
			return &v->files[i];
	return NULL;
}

const char *
version_sha256(const struct fetch *f, const char *name)
{
	const struct ckpt_file *v = f->version != NULL ?
	    file_of(&f->version->is, name) : NULL;

	return v != NULL ? v->sha256 : "";
}

void
version_seen(const struct fetch *f, const char *file, const char *fault)
{
	const struct version *v = f->version;
	const struct ship_registry *g = &f->h->registry;

	if (v == NULL || g->seen == NULL)
		return;
	if (file == NULL)
		file = v->file != NULL ? v->file : v->is.model;
	if (file[0] != '\0')
		g->seen(g->ctx, v->name, v->which, file, fault);
}

/* Pinned by what the version's record says. */
static void
fetch_file(struct fetch *f, const char *name)
{
	const struct version *v = f->version;
	const struct ckpt_file *file = file_of(&v->is, name);

	if (file == NULL) {
		char *text = xasprintf("version %s of %s has no %s", v->which,
		    v->name, name);
		fetch_failed(f, RK_ENOENT, text);
		free(text);
		return;
	}
	free(f->from);
	f->from = xasprintf("%s%s", v->is.folder, name);
	memcpy(f->need, file->sha256, sizeof(f->need));
	f->max = f->size = file->size;
	if (cache_has(f->h, f->need, f->max))
		fetch_done(f, f->need);
	else
		fetch_download(f);
}

/* Is it the one that was meant when its address was written? */
static bool
is_pinned(struct fetch *f)
{
	const struct version *v = f->version;

	if (f->want[0] == '\0' || strcmp(f->want, v->is.digest) == 0)
		return true;
	char *text = xasprintf("version %s of %s has the digest %s, and the "
	    "address says another: the registry is not the one that it was "
	    "taken from", v->which, v->name, v->is.digest);
	fetch_failed(f, RK_EINVAL, text);
	free(text);
	return false;
}

void
version_find(struct fetch *f)
{
	const struct ship_registry *g = &f->h->registry;
	struct rk_why why = { 0 };
	struct version *v;
	enum rk_err rc;

	version_free(&f->version);
	v = f->version = version_parse(f->bare);
	if (v == NULL || g->version == NULL)
		rc = rk_refuse(&why, v == NULL ? "it is no version of a model" :
		    "this daemon has no registry of models");
	else
		rc = g->version(g->ctx, v->name, v->which, &v->is, &why);
	if (rc == RK_EBUSY)
		fetch_asks(f, rk_why_first(&why));
	else if (rc != RK_OK)
		fetch_failed(f, rc == RK_ENOENT ? RK_ENOENT : RK_EINVAL,
		    why.n > 0 ? rk_why_first(&why) : rk_strerror(rc));
	else if (v->file != NULL)
		fetch_file(f, v->file);
	else if (is_pinned(f) && v->is.model[0] != '\0')
		fetch_file(f, v->is.model);
	else if (f->state != FETCH_FAILED)
		model_find_in(f, v->is.folder);
	rk_why_fini(&why);
}

void
ship_registry_set(struct ship *h, const struct ship_registry *g)
{
	must_be(h, SHIP_TAG);
	h->registry = *g;
}
