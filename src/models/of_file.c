/*
 * A file by its address: of this machine, which is copied, for who has it may
 * write into it; or of a store or server, or a version of another model, which
 * comes through the cache.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "impl.h"
#include "register.h"

/* Can it be read, and is it a file? */
static enum rk_err
check_path(struct registrar *r, const char *path, struct rk_why *why)
{
	struct stat st;

	if (path[0] != '/')
		return rk_refuse_at(why, "address", "is \"%s\", want an "
		    "absolute path", path);
	if (ship_path_ok(r->m->ship, "address", path, why) != RK_OK)
		return RK_EINVAL;
	if (stat(path, &st) != 0 || access(path, R_OK) != 0) {
		char *text = rk_why_unreadable(path, errno);
		(void)rk_refuse_at(why, "address", "is \"%s\", which cannot be "
		    "read: %s", path, text);
		free(text);
		return RK_EINVAL;
	}
	if (!S_ISREG(st.st_mode))
		return rk_refuse_at(why, "address", "is \"%s\", which is no "
		    "file: want a file of weights", path);
	return RK_OK;
}

/* An alias is settled now. */
static enum rk_err
settle(struct registrar *r, struct reg *g, const struct rk_part *p,
    struct rk_why *why)
{
	struct models_which w;
	struct rk_why own = { 0 };
	enum rk_err rc = models_which(r->m, p->bare, &w, &own);

	if (rc == RK_OK) {
		free(g->request.address);
		g->request.address = xasprintf("model://%s/%lld%s%s", w.name,
		    (long long)w.version, p->sha256[0] != '\0' ? "#sha256=" :
		    "", p->sha256);
	} else {
		rc = rk_refuse_at(why, "address", "%s", own.n > 0 ?
		    own.v[0].message : rk_strerror(rc));
	}
	rk_why_fini(&own);
	return rc;
}

static enum rk_err
check(struct registrar *r, struct reg *g, const struct rk_part *p,
    struct rk_why *why)
{
	struct rk_why own = { 0 };
	struct rk_uri u = { 0 };
	enum rk_err rc = rk_uri_parse(&u, p->bare, &own);

	if (rc == RK_OK && p->member != NULL)
		rc = rk_refuse(&own, "is of a file in an archive: want the "
		    "file itself, unpacked");
	if (own.n > 0)
		(void)rk_refuse_at(why, "address", "%s", own.v[0].message);
	rk_why_fini(&own);
	if (rc != RK_OK) {
		rk_uri_fini(&u);
		return rc;
	}
	if (u.kind == RK_URI_FILE) {
		rc = check_path(r, u.path, why);
		if (rc == RK_OK)
			staged_add(&g->files, STAGED_MODEL, xstrdup(
			    u.path))->copy = true;
	} else {
		rc = u.kind == RK_URI_MODEL ? settle(r, g, p, why) :
		    spec_check_address(g->request.address, why);
		if (rc == RK_OK)
			(void)staged_add(&g->files, STAGED_MODEL, NULL);
	}
	rk_uri_fini(&u);
	if (rc == RK_OK) {
		g->files.v[0].model = true;
		memcpy(g->files.v[0].sha256, p->sha256, sizeof(p->sha256));
	}
	return rc;
}

/* What is known of a version's bytes is known of their copy. */
static void
take_known(struct registrar *r, json_t *record, const char *bare)
{
	static const char *const keys[] = { "arch", "spec", "classes", "input",
		"metrics", "per_class", "data" };
	struct models_which w;
	json_t *from = NULL;

	if (!spec_is_version(bare) || models_which(r->m, bare, &w, NULL) !=
	    RK_OK || models_version(r->m, w.name, w.version, &from, NULL) !=
	    RK_OK)
		return;
	for (size_t i = 0; i < RK_ARRAY_LEN(keys); i++) {
		const json_t *v = json_object_get(from, keys[i]);
		const bool said = i < 2 && json_is_string(json_object_get(
		    record, "arch"));
		if (v != NULL && !said)
			json_object_set_new(record, keys[i],
			    json_deep_copy(v));
	}
	json_decref(from);
}

enum rk_err
of_file(struct registrar *r, struct reg *g, struct rk_why *why)
{
	const struct record_head h = { .model = g->row.model,
		.id = g->row.id, .instance = r->m->instance,
		.created_ms = now_ms(), .request = &g->request };
	struct rk_part p = { 0 }, now = { 0 };
	struct rk_why own = { 0 };
	enum rk_err rc = rk_part_parse(&p, g->request.address, &own);

	if (rc != RK_OK)
		(void)rk_refuse_at(why, "address", "%s", rk_why_first(&own));
	rk_why_fini(&own);
	if (rc == RK_OK)
		rc = check(r, g, &p, why);
	if (rc == RK_OK)                /* of a version it is settled by now */
		rc = rk_part_parse(&now, g->request.address, why);
	if (rc == RK_OK) {
		struct lineage_world w;
		g->record = record_of_file(&h, now.bare, p.sha256,
		    lineage_of_address(lineage_world_of(r, &w),
		    g->request.address));
		take_known(r, g->record, now.bare);
	}
	rk_part_fini(&now);
	rk_part_fini(&p);
	return rc;
}

enum rk_err
of_file_fetch(struct reg *g, struct rk_why *why)
{
	struct staged_file *f = &g->files.v[0];
	char *folder = reg_folder(g);
	char *here = xasprintf("%s/%s", folder, f->name);
	const bool is = access(here, F_OK) == 0;
	struct rk_uri u;
	enum rk_err rc = RK_OK;

	free(here);
	free(folder);
	if (is || f->from != NULL)
		return RK_OK;
	if (f->copy) {
		struct rk_part p = { 0 };
		rc = rk_part_parse(&p, g->request.address, why);
		if (rc == RK_OK)
			rc = rk_uri_parse(&u, p.bare, why);
		if (rc == RK_OK) {
			f->from = xstrdup(u.path);
			rk_uri_fini(&u);
		}
		rk_part_fini(&p);
		return rc;
	}
	return ship_bring(g->r->m->ship, g->row.id, g->request.address,
	    &f->from, why);
}
