/*
 * Files into the version's folder of the store, one behind the other, and out
 * of it again where no version comes of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl.h"
#include "register.h"

/* Then it is told, and tried again. */
static const struct remote_patience patience = { .tries = 4 };

static char *
uri_of(const struct reg *g, const char *file)
{
	char *folder = models_folder(g->r->m, g->row.model, g->row.id);
	char *uri = remote_join(folder, file);

	free(folder);
	return uri;
}

static void
forget_upload(struct reg *g)
{
	free(g->upload_file);
	free(g->upload_id);
	g->upload_file = g->upload_id = NULL;
	g->part_size = 0;
}

/* --- uploads that a kill has cut off -------------------------------------- */

static bool
see_cut(void *ctx, const char *key, const char *upload_id, int64_t began_ms)
{
	struct reg *g = ctx;

	(void)began_ms;
	forget_upload(g);
	g->upload_file = xstrdup(key);
	g->upload_id = xstrdup(upload_id);
	return false;
}

static void
cut_aborted(void *ctx, const struct remote_result *r)
{
	struct reg *g = ctx;

	must_be(g, REG_TAG);
	g->op = NULL;
	if (r->end != REMOTE_OK && r->end != REMOTE_MISSING) {
		log_info("registration=%s cannot abort an upload of %s: %s",
		    g->row.id, g->upload_file, r->error);
		g->cut = false;
	}
	forget_upload(g);
	reg_again(g);                   /* perhaps there is another */
}

static void
cut_listed(void *ctx, const struct remote_result *r)
{
	struct reg *g = ctx;

	must_be(g, REG_TAG);
	g->op = NULL;
	if (r->end != REMOTE_OK && r->end != REMOTE_CANCELLED)
		log_info("registration=%s cannot list the uploads of its "
		    "folder: %s", g->row.id, r->error);
	if (g->upload_id == NULL) {
		g->cut = false;
		reg_again(g);
		return;
	}
	char *uri = uri_of(g, g->upload_file);
	g->op = remote_abort(g->r->m->remote, uri, g->upload_id, &patience,
	    cut_aborted, g);
	free(uri);
}

/* All files are there, or none is to be: what a killed daemon has begun in the
 * folder, and had no time to write down, is nobody's. */
static void
abort_cut(struct reg *g)
{
	char *folder = models_folder(g->r->m, g->row.model, g->row.id);

	forget_upload(g);
	g->op = remote_pending(g->r->m->remote, folder, see_cut, &patience,
	    cut_listed, g);
	free(folder);
}

/* --- sending -------------------------------------------------------------- */

static bool
upload_began(void *ctx, const char *upload_id, uint64_t part_size)
{
	struct reg *g = ctx;

	must_be(g, REG_TAG);
	forget_upload(g);
	g->upload_file = xstrdup(g->files.v[g->at].name);
	g->upload_id = xstrdup(upload_id);
	g->part_size = part_size;
	return reg_save(g);
}

static void
sent(void *ctx, const struct remote_result *r)
{
	struct reg *g = ctx;

	must_be(g, REG_TAG);
	g->op = NULL;
	if (r->end == REMOTE_LOCAL && r->err != RK_ENOSPC) {
		/* The folder was taken away, or is damaged: once more. */
		reg_unstage(g);
		reg_jump(g, REG_FETCHING);
		return;
	}
	if (r->end != REMOTE_OK) {
		reg_store_trouble(g, r);
		return;
	}
	g->files.v[g->at].sent = true;
	forget_upload(g);
	if (reg_save(g))
		reg_again(g);
	else
		reg_trouble(g, RK_EIO, "the database cannot be written");
}

void
send_step(struct reg *g)
{
	char *folder = reg_folder(g);
	int k = 0, fd;

	while (k < g->files.n && g->files.v[k].sent)
		k++;
	if (k == g->files.n) {
		free(folder);
		if (g->cut)
			abort_cut(g);
		else
			reg_next(g);
		return;
	}
	const struct staged_file *f = &g->files.v[k];
	char *path = xasprintf("%s/%s", folder, f->name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	free(path);
	if (fd < 0 || !staged_whole(&g->files, folder)) {
		rk_close(&fd);
		free(folder);
		reg_unstage(g);
		reg_jump(g, REG_FETCHING);
		return;
	}
	free(folder);
	g->at = k;
	const bool goes_on = g->upload_id != NULL && strcmp(g->upload_file,
	    f->name) == 0;
	const struct remote_upload a = { .fd = fd, .size = f->size,
		.sha256 = f->sha256, .began = upload_began, .done = sent,
		.upload_id = goes_on ? g->upload_id : NULL,
		.part_size = goes_on ? g->part_size : 0, .ctx = g,
		.patience = patience };
	char *uri = uri_of(g, f->name);
	g->op = remote_upload(g->r->m->remote, uri, &a);
	free(uri);
	rk_close(&fd);
}

/* --- version.json --------------------------------------------------------- */

static void
described(void *ctx, const struct remote_result *r)
{
	struct reg *g = ctx;

	must_be(g, REG_TAG);
	g->op = NULL;
	if (r->end == REMOTE_OK)
		reg_next(g);
	else
		reg_store_trouble(g, r);
}

void
describe_step(struct reg *g)
{
	char *uri = uri_of(g, VERSION_FILE), *text = rkj_pretty(g->record);
	struct strbuf b = { 0 };

	sb_addf(&b, "%s\n", text);
	g->op = remote_put(g->r->m->remote, uri, b.s, b.len, false,
	    &patience, described, g);
	sb_fini(&b);
	free(text);
	free(uri);
}

/* --- clearing ------------------------------------------------------------- */

static void
cleared(void *ctx, const struct remote_result *r)
{
	struct reg *g = ctx;

	must_be(g, REG_TAG);
	g->op = NULL;
	if (r->end != REMOTE_OK && r->end != REMOTE_MISSING) {
		reg_store_trouble(g, r);
		return;
	}
	if (g->upload_id != NULL)
		forget_upload(g);
	else
		g->files.v[g->at].sent = false;
	if (reg_save(g))
		reg_again(g);
	else
		reg_trouble(g, RK_EIO, "the database cannot be written");
}

void
clear_step(struct reg *g)
{
	int k = 0;

	while (k < g->files.n && !g->files.v[k].sent)
		k++;
	if (g->upload_id == NULL && k == g->files.n) {
		if (g->cut)
			abort_cut(g);
		else
			reg_next(g);
		return;
	}
	g->at = k;
	char *uri = uri_of(g, g->upload_id != NULL ? g->upload_file :
	    g->files.v[k].name);
	if (g->upload_id != NULL)
		g->op = remote_abort(g->r->m->remote, uri, g->upload_id,
		    &patience, cleared, g);
	else
		g->op = remote_delete(g->r->m->remote, uri, &patience, cleared,
		    g);
	free(uri);
}
