/*
 * Routes of the registry that change: aliases, notes and labels, deletions, and
 * what happened.  A change is an entry of the model's log; under an
 * Idempotency-Key it has an id made of that, so that a request that is repeated
 * after a crash, also at another daemon, is the same entry.
 */
#include "models.h"

#include <stdlib.h>
#include <string.h>

#define NOTE_MAX  4096
#define NOTES_MAX 65536
#define BY_MAX    256
#define ONE_MS    2000
#define LIST_MS   60000
#define PAGE_DEFAULT 50
#define PAGE_MAX     500

/* What a body says, until it is done. */
struct wish {
	char id[65];
	char *author, *note, *from, *if_better, *notes;
	json_t *tree;                   /* labels lie in it */
	const json_t *labels;
	int64_t version;
};

void
model_entry_id(const struct req *q, char id[65])
{
	if (q->idem_key == NULL) {
		rk_id_new(id);
		return;
	}
	char *text = xasprintf("%s\n%s", q->idem_digest, q->idem_key);
	char hex[RK_SHA256_HEX];

	rk_sha256_of(text, strlen(text), hex);
	snprintf(id, 65, MODELS_OF_KEY "%.40s", hex);
	free(text);
}

static void
wish_fini(struct wish *w)
{
	free(w->author);
	free(w->note);
	free(w->from);
	free(w->if_better);
	free(w->notes);
	json_decref(w->tree);
}

static struct models_by
by_of(const struct wish *w)
{
	return (struct models_by){ w->id, w->author, w->note };
}

/* The names in the address; false: refused. */
static bool
names_ok(struct req *q, bool alias)
{
	struct rk_why why = { 0 };
	enum rk_err rc = models_name_ok(q->arg[0], &why);

	if (rc != RK_OK)
		reply_problem(q, P_NOT_FOUND, "the model %s",
		    rk_why_first(&why));
	else if (alias && (rc = models_alias_ok(q->arg[1], &why)) != RK_OK)
		reply_problem(q, P_NOT_FOUND, "the alias %s",
		    rk_why_first(&why));
	rk_why_fini(&why);
	return rc == RK_OK;
}

/* --- how an alias is ------------------------------------------------------ */

struct page {
	struct req *q;
	int limit, n;
	bool more;
	int64_t last;
};

/* An entry, without the record of a version. */
static bool
put_entry(void *ctx, const struct model_entry_row *r)
{
	struct page *p = ctx;
	json_t *e = NULL;

	if (p->n == p->limit) {
		p->more = true;
		return false;
	}
	p->last = r->seq;
	if (p->n++ > 0)
		sb_adds(&p->q->out, ",\n");
	if (r->event[0] == '\0' || rkj_parse_json(r->entry, strlen(r->entry),
	    &e, NULL) != RK_OK)
		e = json_pack("{s:n, s:n}", "event", "at");
	json_object_del(e, "record");
	json_object_set_new(e, "seq", json_integer(r->seq));
	json_object_set_new(e, "fault", r->fault[0] != '\0' ?
	    json_string(r->fault) : json_null());
	char *text = rkj_text(e);
	sb_adds(&p->q->out, text);
	free(text);
	json_decref(e);
	return true;
}

static void
put_place(struct strbuf *b, const struct alias_row *r)
{
	put_key(b, "alias");
	put_str(b, r->alias);
	put_key(b, "version");
	if (r->version != 0)
		sb_addf(b, "%lld", (long long)r->version);
	else
		sb_adds(b, "null");
	put_key(b, "moved");
	put_time(b, r->moved_ms);
	put_key(b, "by");
	put_or_null(b, r->author);
	put_key(b, "before");
	put_raw(b, r->before, "[]");
}

static enum rk_err
put_entries(struct page *p, const char *alias, int64_t before)
{
	const struct store_entry_filter f = { .alias = alias };
	struct strbuf *b = &p->q->out;
	enum rk_err rc = store_entries(p->q->api->store, p->q->arg[0], &f,
	    before, p->limit + 1, put_entry, p);

	sb_adds(b, "],\"next\":");
	if (p->more)
		sb_addf(b, "\"%lld\"", (long long)p->last);
	else
		sb_adds(b, "null");
	return rc;
}

/* changed: 0 and 1: of a move; -1: nobody moved it. */
static void
reply_alias(struct req *q, int changed)
{
	struct page p = { .q = q };
	struct rk_why why = { 0 };
	struct alias_row r;
	struct strbuf *b = &q->out;
	int64_t version;
	enum rk_err rc = store_alias_get(q->api->store, q->arg[0], q->arg[1],
	    &r);

	if (rc == RK_ENOENT)
		rc = models_alias(q->api->models, q->arg[0], q->arg[1],
		    &version, &why);
	const bool lacks = models_lacks(q, rc, &why, "alias");
	rk_why_fini(&why);
	if (lacks)
		return;
	p.limit = (int)query_int(&q->query, "limit", PAGE_DEFAULT, 1,
	    PAGE_MAX);
	sb_adds(b, "{\"model\":");
	put_str(b, r.model);
	put_place(b, &r);
	if (changed >= 0)
		sb_addf(b, ",\"changed\":%s", changed ? "true" : "false");
	sb_adds(b, ",\"history\":[");
	rc = put_entries(&p, r.alias, query_int(&q->query, "cursor", 0, 1,
	    INT64_MAX));
	put_age(q, r.model);
	sb_adds(b, "}\n");
	store_alias_fini(&r);
	if (rc == RK_OK)
		reply_json(q, 200);
	else
		reply_err(q, rc, NULL, "alias");
}

static void
alias_then(struct req *q)
{
	struct model_row r;

	if (!req_model(q, &r))
		return;
	store_model_fini(&r);
	reply_alias(q, -1);
}

static bool
page_ok(struct req *q)
{
	(void)query_int(&q->query, "limit", PAGE_DEFAULT, 1, PAGE_MAX);
	(void)query_int(&q->query, "cursor", 0, 1, INT64_MAX);
	return !req_refused(q, P_INVALID_QUERY);
}

void
h_alias(struct req *q)
{
	if (page_ok(q) && names_ok(q, true))
		models_first(q, true, ONE_MS, alias_then);
}

static bool
page_place(void *ctx, const struct alias_row *r)
{
	struct strbuf *b = ctx;

	if (r->version == 0)
		return true;
	const size_t at = b->len;
	put_place(b, r);                /* ,"alias": ... */
	b->s[at] = '{';
	sb_adds(b, "},\n");
	return true;
}

static void
aliases_then(struct req *q)
{
	struct strbuf *b = &q->out;
	struct model_row r;

	if (!req_model(q, &r))
		return;
	sb_adds(b, "{\"aliases\":[");
	enum rk_err rc = store_aliases(q->api->store, r.name, -1, page_place,
	    b);
	if (b->s[b->len - 1] == '\n') {
		b->len -= 2;
		b->s[b->len] = '\0';
	}
	sb_addc(b, ']');
	put_age(q, r.name);
	sb_adds(b, "}\n");
	store_model_fini(&r);
	if (rc == RK_OK)
		reply_json(q, 200);
	else
		reply_err(q, rc, NULL, "page");
}

void
h_aliases(struct req *q)
{
	models_first(q, true, LIST_MS, aliases_then);
}

static void
history_then(struct req *q)
{
	struct page p = { .q = q };
	struct model_row r;

	if (!req_model(q, &r))
		return;
	p.limit = (int)query_int(&q->query, "limit", PAGE_DEFAULT, 1,
	    PAGE_MAX);
	sb_adds(&q->out, "{\"entries\":[");
	enum rk_err rc = put_entries(&p, NULL, query_int(&q->query, "cursor",
	    0, 1, INT64_MAX));
	put_age(q, r.name);
	sb_adds(&q->out, "}\n");
	store_model_fini(&r);
	if (rc == RK_OK)
		reply_json(q, 200);
	else
		reply_err(q, rc, NULL, "page");
}

void
h_model_history(struct req *q)
{
	if (page_ok(q))
		models_first(q, true, LIST_MS, history_then);
}

/* --- aliases are moved ---------------------------------------------------- */

/* The body's fields into w; false: refused. */
static bool
read_wish(struct req *q, struct wish *w, bool move)
{
	struct rkj_obj o;

	model_entry_id(q, w->id);
	w->tree = req_tree(q, true);
	if (w->tree == NULL)
		return false;
	rkj_open(&o, w->tree, "", &q->why);
	(void)rkj_str(&o, "note", &w->note, NOTE_MAX, RKJ_OPTIONAL);
	(void)rkj_str(&o, "author", &w->author, BY_MAX, RKJ_OPTIONAL);
	if (move) {
		(void)rkj_int(&o, "version", &w->version, 1, 999999999,
		    RKJ_OPTIONAL);
		(void)rkj_str(&o, "from", &w->from, 64, RKJ_OPTIONAL);
		(void)rkj_str(&o, "if_better", &w->if_better, 128,
		    RKJ_OPTIONAL);
		if ((w->version != 0) == (w->from != NULL) && !o.bad)
			rkj_fault(&o, "version", "want either a version or "
			    "`from`, another alias");
		if (w->if_better != NULL && w->if_better[0] == '\0')
			rkj_fault(&o, "if_better", "is empty, want a metric");
	}
	rkj_close(&o);
	return !req_refused(q, P_INVALID_FIELDS);
}

static void
alias_moved(void *ctx, enum rk_err rc, const json_t *said,
    const struct rk_why *why)
{
	struct req *q = ctx;

	must_be(q, REQ_TAG);
	q->at_models = false;
	q->models_rc = RK_OK;
	if (rc != RK_OK)
		reply_models_err(q, rc, why, "model");
	else
		reply_alias(q, said != NULL);
	req_wake(q);
}

void
h_alias_move(struct req *q)
{
	struct wish w = { .version = 0 };

	if (names_ok(q, true) && read_wish(q, &w, true)) {
		const struct models_move v = { w.version, w.from,
		    w.if_better };
		const struct models_by by = by_of(&w);
		q->at_models = true;
		models_move(q->api->models, q->arg[0], q->arg[1], &v, &by,
		    alias_moved, q);
		req_wait(q);
	}
	wish_fini(&w);
}

void
h_alias_rollback(struct req *q)
{
	struct wish w = { .version = 0 };

	if (names_ok(q, true) && read_wish(q, &w, false)) {
		const struct models_by by = by_of(&w);
		q->at_models = true;
		models_rollback(q->api->models, q->arg[0], q->arg[1], &by,
		    alias_moved, q);
		req_wait(q);
	}
	wish_fini(&w);
}

/* --- what is taken away --------------------------------------------------- */

static void
is_gone(void *ctx, enum rk_err rc, const json_t *said,
    const struct rk_why *why)
{
	struct req *q = ctx;

	must_be(q, REQ_TAG);
	(void)said;
	q->at_models = false;
	if (rc != RK_OK)
		reply_models_err(q, rc, why, "model");
	else
		reply_empty(q, 204);
	req_wake(q);
}

/* ?by=, of a request that has no body. */
static bool
read_by(struct req *q, struct models_by *by, char id[65])
{
	model_entry_id(q, id);
	*by = (struct models_by){ id, query_get(&q->query, "by"), NULL };
	if (by->author != NULL && strlen(by->author) > BY_MAX)
		rk_refuse_at(&q->why, "by", "is longer than %d bytes", BY_MAX);
	return !req_refused(q, P_INVALID_QUERY);
}

void
h_alias_delete(struct req *q)
{
	struct models_by by;
	char id[65];

	if (!names_ok(q, true) || !read_by(q, &by, id))
		return;
	q->at_models = true;
	models_alias_away(q->api->models, q->arg[0], q->arg[1], &by, is_gone,
	    q);
	req_wait(q);
}

static void
delete_then(struct req *q)
{
	struct models_by by;
	int64_t version;
	char id[65];

	if (!read_by(q, &by, id) || !req_version(q, &version))
		return;
	q->at_models = true;
	models_delete(q->api->models, q->arg[0], version, &by, is_gone, q);
}

void
h_version_delete(struct req *q)
{
	struct models_by by;
	char id[65];

	if (read_by(q, &by, id))
		models_first(q, true, 0, delete_then);
}

/* --- a version is changed ------------------------------------------------- */

static bool
read_change(struct req *q, struct wish *w)
{
	struct rkj_obj o;

	model_entry_id(q, w->id);
	w->tree = req_tree(q, false);
	if (w->tree == NULL)
		return false;
	rkj_open(&o, w->tree, "", &q->why);
	(void)rkj_str(&o, "notes", &w->notes, NOTES_MAX, RKJ_OPTIONAL);
	(void)rkj_str(&o, "author", &w->author, BY_MAX, RKJ_OPTIONAL);
	w->labels = rkj_any(&o, "labels");
	if (w->labels != NULL && !json_is_object(w->labels))
		rkj_fault(&o, "labels", "want an object of texts, or null to "
		    "take a label away");
	else if (w->notes == NULL && w->labels == NULL && !o.bad)
		rkj_fault(&o, "notes", "want notes or labels");
	rkj_close(&o);
	return !req_refused(q, P_INVALID_FIELDS);
}

static void
version_changed(void *ctx, enum rk_err rc, const json_t *said,
    const struct rk_why *why)
{
	struct req *q = ctx;
	int64_t version;

	must_be(q, REQ_TAG);
	(void)said;
	q->at_models = false;
	q->models_rc = RK_OK;
	if (rc != RK_OK)
		reply_models_err(q, rc, why, "version");
	else if (req_version(q, &version))
		reply_version(q, version);
	req_wake(q);
}

static void
patch_then(struct req *q)
{
	struct wish w = { .version = 0 };

	if (req_version(q, &w.version) && read_change(q, &w)) {
		const struct models_by by = by_of(&w);
		q->at_models = true;
		models_change(q->api->models, q->arg[0], w.version, w.notes,
		    w.labels, &by, version_changed, q);
	}
	wish_fini(&w);
}

void
h_version_patch(struct req *q)
{
	struct wish w = { .version = 0 };

	if (read_change(q, &w))
		models_first(q, true, 0, patch_then);
	wish_fini(&w);
}
