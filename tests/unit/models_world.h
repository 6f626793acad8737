/*
 * Registries in one process: each a node with a database of its own, and one
 * folder ./bucket/models/ as their store.
 */
#ifndef MODELS_WORLD_H
#define MODELS_WORLD_H

#include <fcntl.h>

#include "impl.h"
#include "t.h"
#include "u_loop.h"

#define M_SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct node {
	struct loop *loop;
	struct http *http;
	struct remote *remote;
	struct store *store;
	struct models *models;
};

static inline void
m_open(struct node *n, const char *db)
{
	struct rk_why why = { 0 };
	char cwd[400], *prefix, *root;

	t_check(getcwd(cwd, sizeof(cwd)) != NULL);
	prefix = xasprintf("file://%s/bucket/", cwd);
	root = models_root(prefix, NULL);
	const struct models_config c = { .root = root, .instance = db };
	if (loop_open(&n->loop) != RK_OK ||
	    http_open(&n->http, n->loop, &(struct http_config){ 0 }) != RK_OK ||
	    remote_open(&n->remote, n->loop, n->http,
	    &(struct remote_config){ 0 }, &why) != RK_OK ||
	    store_open(&n->store, db, &why) != RK_OK ||
	    models_open(&n->models, n->loop, n->remote, n->store, NULL, NULL,
	    NULL, &c, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	free(prefix);
	free(root);
}

static inline void
m_close(struct node *n)
{
	models_close(&n->models);
	store_close(&n->store);
	remote_close(&n->remote);
	http_close(&n->http);
	loop_close(&n->loop);
}

/* --- what comes back ------------------------------------------------------ */

struct told {
	bool is;
	enum rk_err rc;
	json_t *said;
	char why[4096];
	const char *text;               /* of an entry: for m_decide() */
};

static inline void
m_told(void *ctx, enum rk_err rc, const json_t *said, const struct rk_why *why)
{
	struct told *t = ctx;

	t_check(!t->is);
	t->is = true;
	t->rc = rc;
	t->said = said != NULL ? json_deep_copy(said) : NULL;
	snprintf(t->why, sizeof(t->why), "%s", rk_why_first(why));
}

static inline struct told
m_look(struct node *n, const char *name)
{
	struct told t = { 0 };

	models_look(n->models, name, 0, m_told, &t);
	run_until(n->loop, t.is);
	return t;
}

static inline void
m_read(struct node *n, const char *name)
{
	struct told t = m_look(n, name);

	if (t.rc != RK_OK)
		t_fail("cannot look at %s: %s", name, t.why);
}

/* An entry as it is written here: its event and fields, as JSON. */
static inline enum rk_err
m_decide(void *ctx, json_t *entry, struct rk_why *why)
{
	struct told *t = ctx;
	json_t *v = NULL;

	t_eq_int(rkj_parse_json(t->text, strlen(t->text), &v, why), RK_OK);
	json_object_update(entry, v);
	json_decref(v);
	return RK_OK;
}

static inline struct told
m_append(struct node *n, const char *name, const char *id, const char *text)
{
	struct told t = { .text = text };

	models_append(n->models, name, id, "ana", m_decide, m_told, &t);
	run_until(n->loop, t.is);
	return t;
}

/* A version; what came of it is its number. */
static inline int64_t
m_version(struct node *n, const char *name, const char *folder, double accuracy)
{
	char *text = xasprintf("{\"event\": \"version\", \"record\": "
	    "{\"format\": 1, \"id\": \"%s\", \"created_at\": "
	    "\"2026-11-30T12:00:00.000Z\", \"author\": \"ana\", \"labels\": "
	    "{\"line\": \"7\"}, \"source\": {\"kind\": \"file\", \"address\": "
	    "\"s3://b/x\"}, \"metrics\": {\"val_accuracy\": %g, \"val_loss\": "
	    "null}, \"files\": [{\"name\": \"model.safetensors\", \"size\": 3, "
	    "\"sha256\": \"" M_SHA "\"}], \"digest\": \"" M_SHA "\", "
	    "\"bytes\": 3, \"data\": {\"validation\": {\"digest\": \"d1\"}}}}",
	    folder, accuracy);
	struct told t = m_append(n, name, folder, text);

	if (t.rc != RK_OK)
		t_fail("%s", t.why);
	free(text);
	int64_t v = json_integer_value(json_object_get(t.said, "version"));
	json_decref(t.said);
	return v;
}

/* The alias is moved; an error is the case's. */
static inline void
m_move(struct node *n, const char *name, const char *alias, int64_t version,
    const char *how)
{
	static int id;
	char *text = xasprintf("{\"event\": \"alias\", \"alias\": \"%s\", "
	    "\"version\": %lld, \"how\": \"%s\"}", alias, (long long)version,
	    how), name_id[32];

	snprintf(name_id, sizeof(name_id), "move-%d", id++);
	struct told t = m_append(n, name, name_id, text);
	if (t.rc != RK_OK)
		t_fail("%s", t.why);
	json_decref(t.said);
	free(text);
}

/* An object, as somebody else puts it. */
static inline void
m_put(const char *path, const char *text)
{
	char *p = xasprintf("bucket/models/%s", path), *slash = strrchr(p, '/');

	*slash = '\0';
	t_eq_int(rk_mkdirs(p, 0755), RK_OK);
	*slash = '/';
	FILE *f = fopen(p, "w");
	t_check(f != NULL);
	fputs(text, f);
	fclose(f);
	free(p);
}

static inline struct model_row
m_row(struct node *n, const char *name)
{
	struct model_row r;

	t_eq_int(store_model_get(n->store, name, &r), RK_OK);
	return r;
}

/* Which version a text names. */
static inline int64_t
m_which(struct node *n, const char *text)
{
	struct rk_why why = { 0 };
	struct models_which w;

	if (models_which(n->models, text, &w, &why) != RK_OK)
		t_fail("%s: %s", text, rk_why_first(&why));
	return w.version;
}

#endif
