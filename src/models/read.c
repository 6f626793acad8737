/*
 * What tensors are in the files of a model: a trainer says it of each
 * (--inspect), for no other process of ours looks into bytes that others wrote.
 * Out of it comes tensors.json,
 *
 *	{format: 1, tensors: [{name, dtype, shape, file}, ...]}
 *
 * of the model's tensors; and of a file by address its format and so its name.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl.h"
#include "register.h"

/* By the words of --inspect; the others are no model by themselves. */
static const struct kind {
	const char *word, *format, *file;
} kinds[] = {
	{ "safetensors", "safetensors", "model.safetensors" },
	{ "pytorch-zip", "pytorch", "model.pt" },
	{ "pytorch-legacy", "pytorch", "model.pt" },
	{ "paddle", "paddle", "model.pdparams" },
	{ "npz", "npz", "model.npz" },
};

static const char *
text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

/* --- tensors -------------------------------------------------------------- */

/* Those of the model; where none is said to be, all. */
static int
add_tensors(struct reg *g, const json_t *said, const char *file, bool all)
{
	const json_t *t;
	size_t i;
	int n = 0;

	json_array_foreach(json_object_get(said, "tensors"), i, t) {
		if (!all && strcmp(text(t, "role"), "model") != 0)
			continue;
		json_t *o = json_pack("{s:O?, s:O?, s:O?, s:s}", "name",
		    json_object_get(t, "name"), "dtype", json_object_get(t,
		    "dtype"), "shape", json_object_get(t, "shape"), "file",
		    file);
		must(json_array_append_new(g->tensors, o) == 0);
		n++;
	}
	return n;
}

/* --- the end -------------------------------------------------------------- */

static enum rk_err
write_tensors(struct reg *g, int dirfd)
{
	json_t *o = json_pack("{s:i, s:O}", "format", 1, "tensors",
	    g->tensors);
	char *out = rkj_text(o);
	const size_t n = strlen(out);
	const enum rk_err rc = rk_replace_file(dirfd, TENSORS_FILE, out, n);

	if (rc == RK_OK) {
		struct staged_file *f = staged_add(&g->files, TENSORS_FILE,
		    NULL);
		f->size = n;
		rk_sha256_of(out, n, f->sha256);
	}
	free(out);
	json_decref(o);
	return rc;
}

/* A file by address takes the name of its format. */
static enum rk_err
take_name(struct reg *g, int dirfd)
{
	struct staged_file *f = &g->files.v[0];

	for (size_t i = 0; g->dir == NULL && i < RK_ARRAY_LEN(kinds); i++) {
		if (strcmp(kinds[i].format, g->format) != 0)
			continue;
		if (renameat(dirfd, f->name, dirfd, kinds[i].file) != 0)
			return rk_from_errno(errno);
		snprintf(f->name, sizeof(f->name), "%s", kinds[i].file);
		break;
	}
	return RK_OK;
}

static void
put_sha256(json_t *o, const char *hex)
{
	if (json_is_object(o) && json_is_null(json_object_get(o, "sha256")))
		json_object_set_new(o, "sha256", json_string(hex));
}

static void
finish(struct reg *g)
{
	char *folder = reg_folder(g);
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum rk_err rc = fd < 0 ? rk_from_errno(errno) : take_name(g, fd);

	if (rc == RK_OK)
		rc = write_tensors(g, fd);
	rk_close(&fd);
	free(folder);
	if (rc != RK_OK) {
		reg_unstage(g);
		reg_trouble(g, rc == RK_ENOENT ? RK_EIO : rc,
		    "its folder cannot be written");
		return;
	}
	put_sha256(json_object_get(g->record, "source"), g->digest);
	put_sha256(json_object_get(g->record, "lineage"), g->digest);
	json_t *files = staged_json(&g->files);
	record_put_files(g->record, files, g->digest, g->format);
	json_decref(files);
	json_decref(g->tensors);
	g->tensors = NULL;
	reg_next(g);
}

/* --- a file --------------------------------------------------------------- */

/* The next that holds tensors; -1: there is none. */
static int
next_file(const struct reg *g)
{
	int k = g->at;

	while (k < g->files.n && (!g->files.v[k].model ||
	    strcmp(g->files.v[k].name, CKPT_INDEX_FILE) == 0))
		k++;
	return k < g->files.n ? k : -1;
}

/* Of a file by address: its format. */
static enum rk_err
take_format(struct reg *g, const json_t *said, struct rk_why *why)
{
	const char *word = text(said, "format");

	for (size_t i = 0; i < RK_ARRAY_LEN(kinds); i++) {
		if (strcmp(kinds[i].word, word) != 0)
			continue;
		free(g->format);
		g->format = xstrdup(kinds[i].format);
		return RK_OK;
	}
	return rk_refuse(why, "it is of the format %s, whose tensors or names "
	    "lie in other files: want safetensors, .pdparams, .pt or .npz",
	    word);
}

static void
inspected(void *ctx, enum rk_err rc, const json_t *said,
    const struct rk_why *why)
{
	struct reg *g = ctx;
	struct rk_why own = { 0 };

	must_be(g, REG_TAG);
	g->asked = false;
	if (rc != RK_OK) {
		reg_trouble(g, rc, why != NULL && why->n > 0 ?
		    why->v[0].message : rk_strerror(rc));
		return;
	}
	const char *name = g->files.v[g->at].name;
	if (g->dir == NULL)
		rc = take_format(g, said, &own);
	const bool all = rc == RK_OK && add_tensors(g, said, name, false) == 0;
	if (all && add_tensors(g, said, name, true) == 0 && g->dir == NULL)
		rc = rk_refuse(&own, "there is no tensor in it");
	if (rc != RK_OK) {
		reg_fail(g, rk_why_first(&own));
	} else {
		g->at++;
		reg_again(g);
	}
	rk_why_fini(&own);
}

void
read_step(struct reg *g)
{
	struct rk_why why = { 0 };

	if (g->at == 0 || g->tensors == NULL) {
		json_decref(g->tensors);
		g->tensors = json_array();
		g->at = 0;
	}
	const int k = next_file(g);
	if (k < 0) {
		finish(g);
		return;
	}
	g->at = k;
	char *folder = reg_folder(g);
	char *path = xasprintf("%s/%s", folder, g->files.v[k].name);
	char *called = g->dir != NULL ? xasprintf("%s of %s",
	    g->files.v[k].name, g->dir) : lineage_address(g->request.address);
	const enum rk_err rc = sup_inspect_file(g->r->m->sup, path, called,
	    inspected, g, &why);
	if (rc == RK_OK)
		g->asked = true;
	else
		reg_trouble(g, rc, rk_why_first(&why));
	rk_why_fini(&why);
	free(called);
	free(path);
	free(folder);
}
