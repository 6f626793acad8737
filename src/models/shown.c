/* Registrations as people ask for them: begun, shown, waited for, given up. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "impl.h"
#include "register.h"

#define KEY_MS ((int64_t)24 * 3600 * 1000)

/* --- one as JSON ---------------------------------------------------------- */

static void
put(json_t *o, const char *key, json_t *v)
{
	must(json_object_set_new(o, key, v != NULL ? v : json_null()) == 0);
}

static json_t *
text_or_null(const char *s)
{
	return s != NULL && s[0] != '\0' ? json_string(s) : json_null();
}

/* How far the files are; of one under way the bytes on the wire, too. */
static void
put_files(json_t *o, const struct staged *s, const struct reg *g)
{
	json_t *list = json_array();
	uint64_t bytes = 0, sent = 0, done = 0, total = 0;

	for (int k = 0; k < s->n; k++) {
		const struct staged_file *f = &s->v[k];
		must(json_array_append_new(list, json_pack("{s:s, s:I, s:b}",
		    "name", f->name, "size", (json_int_t)f->size, "sent",
		    (int)f->sent)) == 0);
		bytes += f->size;
		sent += f->sent ? f->size : 0;
	}
	if (g != NULL && g->op != NULL && g->state == REG_SENDING)
		remote_moved(g->op, &done, &total);
	put(o, "files", list);
	put(o, "bytes", json_integer((json_int_t)bytes));
	put(o, "sent_bytes", json_integer((json_int_t)(sent + done)));
}

/* row's request and progress are our own words. */
static json_t *
shown(const struct registration_row *row, const struct reg *g)
{
	json_t *request = NULL, *progress = NULL, *o = json_object();
	const json_t *v;
	struct staged files = { 0 };
	char at[RK_TIME];

	if (rkj_parse_json(row->request, strlen(row->request), &request,
	    NULL) != RK_OK)
		request = NULL;
	if (rkj_parse_json(row->progress, strlen(row->progress), &progress,
	    NULL) != RK_OK || staged_read(&files, json_object_get(progress,
	    "files"), NULL) != RK_OK)
		files.n = 0;
	put(o, "id", json_string(row->id));
	put(o, "model", json_string(row->model));
	put(o, "state", json_string(row->state));
	put(o, "job", text_or_null(row->job));
	put(o, "checkpoint", json_incref(json_object_get(progress, "dir")));
	v = json_object_get(request, "address");
	char *address = json_is_string(v) ? lineage_address(
	    json_string_value(v)) : NULL;
	put(o, "address", text_or_null(address));
	free(address);
	put(o, "alias", json_incref(json_object_get(request, "alias")));
	put(o, "author", json_incref(json_object_get(request, "author")));
	put(o, "automatic", json_boolean(json_is_true(json_object_get(
	    progress, "automatic"))));
	put(o, "version", row->version > 0 ? json_integer(row->version) :
	    NULL);
	put_files(o, g != NULL ? &g->files : &files, g);
	put(o, "message", text_or_null(g != NULL ? g->message : NULL));
	put(o, "error", text_or_null(row->error));
	put(o, "created_at", json_string(rk_time_text(at, row->created_ms)));
	put(o, "updated_at", json_string(rk_time_text(at, row->updated_ms)));
	staged_fini(&files);
	json_decref(request);
	json_decref(progress);
	return o;
}

enum rk_err
models_registration(struct models *m, const char *name, const char *id,
    json_t **out, struct rk_why *why)
{
	struct registration_row row;
	enum rk_err rc = rk_id_ok(id) ? store_registration_get(m->store, id,
	    &row) : RK_ENOENT;

	if (rc == RK_OK && strcmp(row.model, name) != 0) {
		store_registration_fini(&row);
		rc = RK_ENOENT;
	}
	if (rc == RK_ENOENT)
		(void)rk_refuse(why, "model %s has no registration \"%.80s\" "
		    "on this machine", name, id);
	if (rc != RK_OK)
		return rc;
	*out = shown(&row, reg_find(m->registrar, id));
	store_registration_fini(&row);
	return RK_OK;
}

struct page {
	struct models *m;
	json_t *list;
};

static bool
add_row(void *ctx, const struct registration_row *row)
{
	struct page *p = ctx;

	must(json_array_append_new(p->list, shown(row, reg_find(
	    p->m->registrar, row->id))) == 0);
	return true;
}

enum rk_err
models_registrations(struct models *m, const char *name, const char *before,
    int limit, json_t **out)
{
	struct page p = { m, json_array() };
	const enum rk_err rc = store_registrations(m->store, name, NULL,
	    before, limit, add_row, &p);

	if (rc == RK_OK)
		*out = p.list;
	else
		json_decref(p.list);
	return rc;
}

/* --- begun ---------------------------------------------------------------- */

/* job://JOB/CHECKPOINT is what `job` and `checkpoint` say. */
static enum rk_err
take_job_address(struct reg_request *q, struct rk_why *why)
{
	struct rk_uri u;

	if (q->address == NULL || strncasecmp(q->address, "job:", 4) != 0)
		return RK_OK;
	struct rk_why own = { 0 };
	if (rk_uri_parse(&u, q->address, &own) != RK_OK) {
		(void)rk_refuse_at(why, "address", "%s", own.v[0].message);
		rk_why_fini(&own);
		return RK_EINVAL;
	}
	q->job = u.host;
	q->checkpoint = u.path;
	u.host = u.path = NULL;
	rk_uri_fini(&u);
	free(q->address);
	q->address = NULL;
	return RK_OK;
}

enum rk_err
models_register(struct models *m, const char *name, const json_t *body,
    const struct store_note *idem, char id[RK_ID], struct rk_why *why)
{
	struct reg *g = xcalloc(1, sizeof(*g));
	enum rk_err rc = models_may_write(m, why);

	must_be(m, MODELS_TAG);
	g->tag = REG_TAG;
	g->r = m->registrar;
	rk_id_new(g->row.id);
	g->row.model = xstrdup(name);
	/* Whether it may is told by the entry, where that is not known. */
	if (rc == RK_EBUSY) {
		rk_why_fini(why);
		rc = RK_OK;
	}
	if (rc == RK_OK)
		rc = request_read(body, &g->request, why);
	if (rc == RK_OK)
		rc = take_job_address(&g->request, why);
	if (rc == RK_OK)
		rc = g->request.job != NULL ? of_job(m->registrar, g, why) :
		    of_file(m->registrar, g, why);
	snprintf(id, RK_ID, "%s", g->row.id);
	if (rc == RK_OK)
		rc = reg_add(m->registrar, g, REG_FETCHING, idem);
	if (rc != RK_OK) {
		char *folder = reg_folder(g);
		(void)!rk_remove_tree(AT_FDCWD, folder);
		free(folder);
		of_job_staged(g);
		reg_free(g);
	}
	return rc;
}

enum rk_err
models_registered_by(struct models *m, const char *key, const char *digest,
    char id[RK_ID])
{
	struct registration_row row;
	enum rk_err rc = store_registration_by_key(m->store, key, &row);

	if (rc != RK_OK)
		return rc;
	snprintf(id, RK_ID, "%s", row.id);
	/* A refusal has no effect, and the key may be used again. */
	const bool none = strcmp(row.state, reg_state_words[REG_FAILED]) == 0 ||
	    strcmp(row.state, reg_state_words[REG_CANCELLED]) == 0;
	rc = none || row.created_ms < now_ms() - KEY_MS ? RK_ENOENT :
	    strcmp(row.idem_digest, digest) != 0 ? RK_ECONFLICT : RK_OK;
	store_registration_fini(&row);
	return rc;
}

/* --- waited for ----------------------------------------------------------- */

static void
tell(struct registrar *r, struct reg_wait *w)
{
	struct rk_why why = { 0 };
	struct registration_row row;
	json_t *v = NULL;
	enum rk_err rc = store_registration_get(r->m->store, w->id, &row);

	if (rc == RK_OK) {
		v = shown(&row, reg_find(r, w->id));
		store_registration_fini(&row);
	} else {
		(void)rk_refuse(&why, "the registration has gone");
	}
	answer_later(r->m, w->fn, w->ctx, rc, v, why.n > 0 ?
	    rk_why_first(&why) : NULL);
	rk_why_fini(&why);
	json_decref(v);
	free(w);
}

void
shown_ended(struct reg *g)
{
	struct registrar *r = g->r;
	struct reg_wait **at = &r->waits, *w;

	while ((w = *at) != NULL) {
		if (strcmp(w->id, g->row.id) != 0) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		tell(r, w);
	}
}

int64_t
shown_late(struct registrar *r)
{
	const int64_t now = mono_ms();
	struct reg_wait **at = &r->waits, *w;
	int64_t next = INT64_MAX;

	while ((w = *at) != NULL) {
		if (w->until_ms > now) {
			next = RK_MIN(next, w->until_ms);
			at = &w->next;
			continue;
		}
		*at = w->next;
		tell(r, w);
	}
	return next;
}

void
models_registration_wait(struct models *m, const char *id, int64_t within_ms,
    models_fn *fn, void *ctx)
{
	struct registrar *r = m->registrar;
	struct reg_wait *w = xcalloc(1, sizeof(*w));

	must_be(m, MODELS_TAG);
	snprintf(w->id, sizeof(w->id), "%s", id);
	w->fn = fn;
	w->ctx = ctx;
	w->until_ms = mono_ms() + (reg_find(r, id) != NULL ? within_ms : 0);
	w->next = r->waits;
	r->waits = w;
	loop_timer_at(r->timer, mono_ms());
}

void
registrar_forget(struct models *m, const void *ctx)
{
	struct reg_wait **at = m->registrar != NULL ? &m->registrar->waits :
	    NULL, *w;

	while (at != NULL && (w = *at) != NULL) {
		if (w->ctx == ctx) {
			*at = w->next;
			free(w);
		} else {
			at = &w->next;
		}
	}
}

/* --- given up ------------------------------------------------------------- */

enum rk_err
models_registration_drop(struct models *m, const char *name, const char *id,
    struct rk_why *why)
{
	json_t *v = NULL;
	enum rk_err rc = models_registration(m, name, id, &v, why);
	struct reg *g = reg_find(m->registrar, id);

	json_decref(v);
	if (rc != RK_OK)
		return rc;
	if (g == NULL)
		return store_registration_drop(m->store, id);
	if (g->state == REG_CLEARING)
		return RK_OK;
	if (g->state >= REG_ENTERING) {
		(void)rk_refuse(why, "the version is being entered (%s) and "
		    "cannot be held back any more: delete the version when it "
		    "is there", reg_state_words[g->state]);
		return RK_ECONFLICT;
	}
	reg_cancel(g);
	return RK_OK;
}
