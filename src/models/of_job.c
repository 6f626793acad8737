/*
 * A job's checkpoint: which one is meant, what is known of it, and its files.
 *
 * All that the record says of the job is taken when the registration begins,
 * and the files are linked then where they are on this machine, so that
 * neither retention nor the job's deletion takes anything from it.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl.h"
#include "register.h"

#define RECORD_FILE "checkpoint.json"
#define EVALUATIONS ((size_t)16 << 20)  /* bytes of evaluations.jsonl */
#define TRIES       5                   /* retention was quicker than we */

/* --- which job ------------------------------------------------------------ */

struct named {
	char id[RK_ID];
	int n;
};

static bool
see_named(void *ctx, const char *id, int64_t version)
{
	struct named *f = ctx;

	(void)version;
	snprintf(f->id, sizeof(f->id), "%s", id);
	return ++f->n < 2;
}

static enum rk_err
find_row(struct store *st, const char *who, struct job_row *row,
    struct rk_why *why)
{
	struct store_filter f = { .name = who };
	struct named found = { .n = 0 };
	enum rk_err rc = rk_id_ok(who) ? store_job_get(st, who, row) :
	    RK_ENOENT;

	if (rc != RK_ENOENT)
		return rc;
	rc = store_job_ids(st, &f, NULL, 2, see_named, &found);
	if (rc == RK_OK && found.n == 1)
		return store_job_get(st, found.id, row);
	if (rc != RK_OK)
		return rc;
	(void)rk_refuse_at(why, "job", found.n == 0 ? "there is no job \"%s\"" :
	    "more than one job is named \"%s\": want an id", who);
	return found.n == 0 ? RK_ENOENT : RK_EINVAL;
}

enum rk_err
of_job_find(struct registrar *r, const char *who, struct job_row *row,
    struct spec **spec, struct rk_why *why)
{
	json_t *tree = NULL;
	enum rk_err rc = find_row(r->m->store, who, row, why);

	if (rc != RK_OK)
		return rc;
	rc = rkj_parse_json(row->spec, strlen(row->spec), &tree, why);
	if (rc == RK_OK)
		rc = spec_parse(tree, spec, why);
	json_decref(tree);
	if (rc != RK_OK)
		store_job_fini(row);
	return rc;
}

/* --- which checkpoint ----------------------------------------------------- */

static char *
checkpoints_of(struct registrar *r, const char *job)
{
	return xasprintf("%s/checkpoints", sup_job_dir(r->m->sup, job));
}

/* The job's folder, if there is one: ckpt_open() would make it. */
static struct ckpt *
open_of(struct registrar *r, const char *job)
{
	char *path = checkpoints_of(r, job);
	struct ckpt *c = NULL;

	if (access(path, F_OK) != 0 || ckpt_open(&c, path, false) != RK_OK)
		c = NULL;
	free(path);
	return c;
}

/* Of all that are here or in a bucket, one of each folder's name. */
static enum rk_err
choose_of_all(struct registrar *r, struct ckpt *c, const struct job_row *row,
    const struct spec *spec, const char *selector, struct ckpt_info *out,
    struct rk_why *why)
{
	struct ckpt_info *here = NULL, *there = NULL, *all;
	size_t nhere = 0, nthere = 0, n;
	int k;

	enum rk_err rc = c != NULL ? ckpt_list(c, &here, &nhere) : RK_OK;
	if (rc == RK_OK)
		rc = ship_remote_list(r->m->ship, row->id, &there, NULL,
		    &nthere);
	all = xcalloc(nhere + nthere + 1, sizeof(*all));
	for (n = 0; n < nhere; n++)
		all[n] = here[n];
	for (size_t i = 0; i < nthere; i++) {
		bool twin = false;
		for (size_t m = 0; m < nhere && !twin; m++)
			twin = strcmp(here[m].dir, there[i].dir) == 0;
		if (!twin)
			all[n++] = there[i];
	}
	k = rc == RK_OK ? ckpt_info_select(all, n, selector,
	    spec->checkpoint.metric, spec->checkpoint.mode_max, why) : -1;
	for (size_t i = 0; k >= 0 && i < nhere + nthere; i++) {
		struct ckpt_info *v = i < nhere ? &here[i] :
		    &there[i - nhere];
		if (strcmp(v->dir, all[k].dir) != 0)
			continue;
		*out = *v;
		*v = (struct ckpt_info){ 0 };
		break;
	}
	free(all);
	ckpt_list_free(here, nhere);
	ckpt_list_free(there, nthere);
	return rc != RK_OK ? rc : k < 0 ? RK_ENOENT : RK_OK;
}

/* `latest` here is what the folder says, whose branch may be new. */
enum rk_err
of_job_choose(struct registrar *r, const struct job_row *row,
    const struct spec *spec, const char *selector, struct ckpt_info *out,
    struct rk_why *why)
{
	struct ckpt *c = open_of(r, row->id);
	enum rk_err rc = RK_ENOENT;

	*out = (struct ckpt_info){ 0 };
	if (c != NULL && strcmp(selector, "best") != 0)
		rc = ckpt_select(c, selector, spec->checkpoint.metric,
		    spec->checkpoint.mode_max, out, NULL);
	if (rc != RK_OK)
		rc = choose_of_all(r, c, row, spec, selector, out, why);
	ckpt_close(&c);
	return rc;
}

/* --- what is known of its ancestors --------------------------------------- */

static bool
world_job(void *ctx, const char *id, struct job_row *out)
{
	struct registrar *r = ctx;

	return rk_id_ok(id) && store_job_get(r->m->store, id, out) == RK_OK;
}

static bool
world_checkpoint(void *ctx, const struct job_row *row, const struct spec *spec,
    const char *selector, struct ckpt_info *out)
{
	struct rk_why why = { 0 };
	const enum rk_err rc = of_job_choose(ctx, row, spec, selector, out,
	    &why);

	rk_why_fini(&why);
	return rc == RK_OK;
}

#define BEGAN "\"begins_from\""

static bool
see_began(void *ctx, const struct event_row *e)
{
	char **out = ctx;
	json_t *v = NULL;

	if (strstr(e->data, BEGAN) == NULL || rkj_parse_json(e->data,
	    strlen(e->data), &v, NULL) != RK_OK)
		return true;
	const char *s = json_string_value(json_object_get(v, "begins_from"));
	if (s != NULL) {
		free(*out);
		*out = xstrdup(s);
	}
	json_decref(v);
	return true;
}

static char *
world_began(void *ctx, const char *job)
{
	struct registrar *r = ctx;
	char *from = NULL;

	if (store_events(r->m->store, job, 0, 1000, see_began, &from) !=
	    RK_OK)
		log_warn("models: the events of job %s cannot be read", job);
	return from;
}

static json_t *
world_kept(void *ctx, const char *job)
{
	return kept_read(ctx, job);
}

static json_t *
world_version(void *ctx, const char *model, int64_t version)
{
	struct registrar *r = ctx;
	json_t *record = NULL;

	if (models_name_ok(model, NULL) != RK_OK || models_version(r->m, model,
	    version, &record, NULL) != RK_OK)
		return NULL;
	return record;
}

static void
world_digest(void *ctx, const char *bare, char hex[RK_SHA256_HEX])
{
	struct registrar *r = ctx;
	struct cache_row c;

	if (store_cache_get(r->m->store, bare, NULL, &c) != RK_OK)
		return;
	memcpy(hex, c.digest, RK_SHA256_HEX);
	store_cache_fini(&c);
}

const struct lineage_world *
lineage_world_of(struct registrar *r, struct lineage_world *w)
{
	*w = (struct lineage_world){ r, world_job, world_checkpoint,
		world_began, world_kept, world_version, world_digest };
	return w;
}

/* --- its files ------------------------------------------------------------ */

/* Those that a version has: the model, what the checkpoint says, and the
 * optimizer's state if it is wanted. */
static void
list_files(struct reg *g, const struct ckpt_info *i, const char *folder)
{
	struct staged_file *f;

	staged_fini(&g->files);
	for (int k = 0; k < i->nfiles; k++) {
		const struct ckpt_file *v = &i->files[k];
		if (!ckpt_is_of_model(v) && (!g->request.optimizer ||
		    strcmp(v->name, CKPT_OPTIM_FILE) != 0))
			continue;
		f = staged_add(&g->files, v->name, folder != NULL ?
		    xasprintf("%s/%s", folder, v->name) : NULL);
		f->model = ckpt_is_of_model(v);
		f->size = v->size;
		memcpy(f->sha256, v->sha256, sizeof(f->sha256));
		memcpy(f->xxh128, v->xxh128, sizeof(f->xxh128));
	}
	f = staged_add(&g->files, RECORD_FILE, folder != NULL ?
	    xasprintf("%s/" RECORD_FILE, folder) : NULL);
	memcpy(f->sha256, i->digest, sizeof(f->sha256));
}

static char *
folder_here(struct registrar *r, const char *job, const char *dir)
{
	char *base = checkpoints_of(r, job);
	char *path = xasprintf("%s/%s", base, dir);

	free(base);
	if (access(path, F_OK) == 0)
		return path;
	free(path);
	return NULL;
}

/* What cannot be linked is copied, and must stay until that is done. */
static enum rk_err
pin(struct reg *g)
{
	bool left = false;
	enum rk_err rc = RK_OK;

	for (int k = 0; k < g->files.n; k++)
		left = left || g->files.v[k].from != NULL;
	if (!left)
		return RK_OK;
	struct ckpt *c = open_of(g->r, g->row.job);
	rc = c != NULL ? ckpt_pin(c, g->dir, g->row.id) : RK_ENOENT;
	ckpt_close(&c);
	g->pinned = rc == RK_OK;
	return rc;
}

static enum rk_err
take_here(struct reg *g, const struct ckpt_info *i)
{
	char *from = folder_here(g->r, g->row.job, i->dir);
	char *folder = reg_folder(g);
	enum rk_err rc = RK_OK;

	list_files(g, i, from);
	if (from != NULL)
		rc = staged_link(&g->files, folder);
	if (from != NULL && rc == RK_OK)
		rc = pin(g);
	free(folder);
	free(from);
	return rc;
}

void
of_job_staged(struct reg *g)
{
	if (g->dir == NULL)
		return;
	struct ckpt *c = open_of(g->r, g->row.job);
	if (c != NULL)
		ckpt_unpin(c, g->row.id);
	ckpt_close(&c);
	g->pinned = false;
}

/* checkpoint.json as the bucket has it: the store keeps its text. */
static enum rk_err
record_there(struct reg *g, const char *folder, struct rk_why *why)
{
	char *text = ship_record_there(g->r->m->ship, g->row.job, g->dir);
	enum rk_err rc = text != NULL ? rk_mkdirs(folder, 0750) : RK_ENOENT;

	if (rc == RK_OK) {
		char *path = xasprintf("%s/" RECORD_FILE, folder);
		rc = rk_replace_path(path, text, strlen(text), why);
		free(path);
	}
	free(text);
	return rc;
}

enum rk_err
of_job_fetch(struct reg *g, struct rk_why *why)
{
	char *from = folder_here(g->r, g->row.job, g->dir);
	char *folder = reg_folder(g);
	enum rk_err rc = RK_OK;

	for (int k = 0; k < g->files.n && rc == RK_OK; k++) {
		struct staged_file *f = &g->files.v[k];
		char *here = xasprintf("%s/%s", folder, f->name);
		const bool is = access(here, F_OK) == 0;
		free(here);
		if (is || f->from != NULL)
			continue;
		if (from != NULL)
			f->from = xasprintf("%s/%s", from, f->name);
		else if (strcmp(f->name, RECORD_FILE) == 0)
			rc = record_there(g, folder, why);
		else
			rc = ship_bring_file(g->r->m->ship, g->row.id,
			    g->row.job, g->dir, f->name, &f->from, why);
	}
	if (rc == RK_OK && from != NULL)
		rc = staged_link(&g->files, folder);
	if (rc == RK_ENOENT && why->n == 0)
		(void)rk_refuse(why, "%s of job %s is gone, here and in the "
		    "bucket", g->dir, g->row.job);
	free(from);
	free(folder);
	return rc;
}

/* --- the whole ------------------------------------------------------------ */

/* evaluations.jsonl, the caller's; NULL: there is none that can be read. */
static char *
evaluations_of(struct registrar *r, const char *job, size_t *len)
{
	char *path = xasprintf("%s/evaluations.jsonl", sup_job_dir(r->m->sup,
	    job)), *text = NULL;

	*len = 0;
	if (rk_read_file(AT_FDCWD, path, EVALUATIONS, &text, len) != RK_OK)
		text = NULL;
	free(path);
	return text;
}

static void
make_record(struct reg *g, const struct job_row *row, const struct spec *spec,
    const struct ckpt_info *i)
{
	const struct record_head h = { .model = g->row.model,
		.id = g->row.id, .instance = g->r->m->instance,
		.created_ms = now_ms(), .request = &g->request };
	struct lineage_world w;
	size_t len;
	char *text = evaluations_of(g->r, row->id, &len);

	json_decref(g->record);
	g->record = record_of_job(&h, row, spec, i, text, len,
	    lineage_of_job(lineage_world_of(g->r, &w), row, spec, i, i->dir));
	g->format = xstrdup(ckpt_in_shards(i) ? "safetensors-shards" :
	    "safetensors");
	free(text);
}

static enum rk_err
choose_and_take(struct reg *g, const struct job_row *row,
    const struct spec *spec, struct ckpt_info *i, struct rk_why *why)
{
	const char *selector = g->request.checkpoint != NULL ?
	    g->request.checkpoint : spec->checkpoint.keep_best > 0 ? "best" :
	    "latest";
	enum rk_err rc = RK_ENOENT;

	for (int k = 0; k < TRIES && rc == RK_ENOENT; k++) {
		struct rk_why own = { 0 };
		rc = of_job_choose(g->r, row, spec, selector, i, &own);
		if (rc != RK_OK) {
			(void)rk_refuse_at(why, "checkpoint", "%s of job %s: "
			    "%s", selector, row->id, own.n > 0 ?
			    own.v[0].message : rk_strerror(rc));
			rk_why_fini(&own);
			return rc == RK_ENOENT || rc == RK_ECORRUPT ?
			    RK_EINVAL : rc;
		}
		rk_why_fini(&own);
		free(g->dir);
		g->dir = xstrdup(i->dir);
		rc = take_here(g, i);
		if (rc == RK_ENOENT)
			ckpt_info_fini(i);
	}
	if (rc == RK_ENOENT)
		rc = rk_refuse_at(why, "checkpoint", "%s of job %s goes as "
		    "soon as it is there", selector, row->id);
	return rc;
}

enum rk_err
of_job(struct registrar *r, struct reg *g, struct rk_why *why)
{
	struct ckpt_info i = { 0 };
	struct spec *spec = NULL;
	struct job_row row;
	enum rk_err rc = of_job_find(r, g->request.job, &row, &spec, why);

	if (rc != RK_OK)
		return rc;
	free(g->request.job);
	g->request.job = xstrdup(row.id);
	g->row.job = xstrdup(row.id);
	rc = choose_and_take(g, &row, spec, &i, why);
	if (rc == RK_OK)
		make_record(g, &row, spec, &i);
	ckpt_info_fini(&i);
	spec_free(spec);
	store_job_fini(&row);
	return rc;
}
