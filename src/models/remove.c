/*
 * The files of versions that were deleted.  They go behind the entry that says
 * so, one version after the other; what is left to do is in the copy
 * (`removing`), so that it is done also after a kill, and by whoever goes on
 * under this instance's name.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define STEP_MS  60000
#define AGAIN_MS 60000                  /* after a store that said no */
#define KEYS_MAX 1000                   /* of one listing */

struct removal {
	struct models *m;
	struct loop_timer *timer;
	struct remote_op *op;
	char *folder;                   /* its address; NULL: none is removed */
	char name[65];
	int64_t version;
	char **key;                     /* below it */
	size_t n;
	bool more;                      /* than were listed */
};

static void remove_next(struct removal *r);

static void
keys_free(struct removal *r)
{
	while (r->n > 0)
		free(r->key[--r->n]);
	free(r->key);
	r->key = NULL;
}

static void
stop(struct removal *r)
{
	keys_free(r);
	free(r->folder);
	r->folder = NULL;
}

static void
later(struct removal *r, const char *error)
{
	log_warn("models: the files of %s/%lld are still to be removed: %s",
	    r->name, (long long)r->version, error);
	stop(r);
	loop_timer_at(r->timer, mono_ms() + AGAIN_MS);
}

/* Nothing is left of it. */
static void
removed(struct removal *r)
{
	struct version_row row;
	enum rk_err rc = store_version_get(r->m->store, r->name, r->version,
	    &row);

	if (rc == RK_OK) {
		row.removing = false;
		rc = store_version_put(r->m->store, &row);
		store_version_fini(&row);
	}
	if (rc != RK_OK && rc != RK_ENOENT) {
		later(r, rk_strerror(rc));
		return;
	}
	log_info("models: the files of %s/%lld are removed", r->name,
	    (long long)r->version);
	stop(r);
	loop_timer_at(r->timer, mono_ms());
}

static bool
see(void *ctx, const struct remote_entry *v, size_t n)
{
	struct removal *r = ctx;

	if (r->key == NULL)
		r->key = xcalloc(KEYS_MAX, sizeof(*r->key));
	for (size_t i = 0; i < n && r->n < KEYS_MAX; i++)
		r->key[r->n++] = xstrdup(v[i].key);
	r->more = r->n == KEYS_MAX;
	return !r->more;
}

static void
listed(void *ctx, const struct remote_result *res)
{
	struct removal *r = ctx;

	r->op = NULL;
	if (res->end != REMOTE_OK && res->end != REMOTE_MISSING && !r->more)
		later(r, res->error);
	else
		remove_next(r);
}

static void
list(struct removal *r)
{
	struct remote_patience p = models_patience(STEP_MS);

	keys_free(r);
	r->more = false;
	r->op = remote_list(r->m->remote, r->folder, false, see, &p, listed,
	    r);
}

static void
dropped(void *ctx, const struct remote_result *res)
{
	struct removal *r = ctx;

	r->op = NULL;
	if (res->end != REMOTE_OK)
		later(r, res->error);
	else
		remove_next(r);
}

static void
remove_next(struct removal *r)
{
	struct remote_patience p = models_patience(STEP_MS);

	if (r->n == 0) {
		if (r->more)
			list(r);
		else
			removed(r);
		return;
	}
	char *key = r->key[--r->n], *uri = xasprintf("%s%s", r->folder, key);
	r->op = remote_delete(r->m->remote, uri, &p, dropped, r);
	free(uri);
	free(key);
}

static bool
found(void *ctx, const struct version_row *v, double key)
{
	struct removal *r = ctx;

	(void)key;
	snprintf(r->name, sizeof(r->name), "%s", v->model);
	r->version = v->version;
	r->folder = models_folder(r->m, v->model, v->id);
	return false;
}

static void
begin(void *ctx)
{
	const struct store_versions_filter f = { .removing = true };
	struct removal *r = ctx;

	if (r->folder != NULL)
		return;
	enum rk_err rc = store_versions(r->m->store, &f, 1, found, r);
	if (rc != RK_OK)
		loop_timer_at(r->timer, mono_ms() + AGAIN_MS);
	else if (r->folder != NULL)
		list(r);
}

void
remove_open(struct models *m)
{
	m->removal = xcalloc(1, sizeof(*m->removal));
	m->removal->m = m;
	m->removal->timer = loop_timer_add(m->loop, begin, m->removal);
	remove_kick(m);
}

void
remove_kick(struct models *m)
{
	loop_timer_at(m->removal->timer, mono_ms());
}

void
remove_close(struct models *m)
{
	if (m->removal == NULL)
		return;
	remote_cancel(&m->removal->op);
	stop(m->removal);
	loop_timer_del(&m->removal->timer);
	free(m->removal);
	m->removal = NULL;
}
