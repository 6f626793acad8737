/*
 * Routes of the registry that read: they look whether the copy is as new as it
 * has to be, wait for the store where it is not, and answer from the copy, also
 * where the store does not answer: each answer says how old it is.
 */
#include "impl.h"

#include <stdlib.h>
#include <string.h>

#include "models.h"

#define ONE_MS  2000            /* how old the answer about one may be */
#define LIST_MS 60000           /* ... and a list */

/* --- looking first -------------------------------------------------------- */

static void
looked(void *ctx, enum rk_err rc, const json_t *said, const struct rk_why *why)
{
	struct req *q = ctx;

	must_be(q, REQ_TAG);
	(void)said;
	(void)why;
	q->at_models = false;
	q->models_rc = rc;
	q->then(q);
	if (q->status != 0)
		req_wake(q);
}

void
models_first(struct req *q, bool one, int64_t max_age_ms, route_fn *then)
{
	struct rk_why why = { 0 };

	if (one && models_name_ok(q->arg[0], &why) != RK_OK) {
		reply_problem(q, P_NOT_FOUND, "the model %s",
		    rk_why_first(&why));
		rk_why_fini(&why);
		return;
	}
	q->then = then;
	q->at_models = true;
	models_look(q->api->models, one ? q->arg[0] : NULL, max_age_ms,
	    looked, q);
	req_wait(q);
}

/* --- refusals ------------------------------------------------------------- */

void
reply_models_err(struct req *q, enum rk_err rc, const struct rk_why *why,
    const char *what)
{
	const char *text = why != NULL && why->n > 0 ? rk_why_first(why) :
	    rk_strerror(rc);

	switch (rc) {
	case RK_EBUSY:
	case RK_EIO:
	case RK_ETIMEDOUT:
		reply_problem(q, P_STORE, "%s", text);
		break;
	case RK_EROFS:
		reply_problem(q, P_NO_CONDITION, "%s", text);
		break;
	default:
		reply_err(q, rc, why, what);
	}
}

bool
models_lacks(struct req *q, enum rk_err rc, const struct rk_why *why,
    const char *what)
{
	struct models_age age;

	if (rc == RK_OK)
		return false;
	models_age(q->api->models, q->arg[0], &age);
	/* It may be there, and the store does not say so. */
	if (rc == RK_ENOENT && q->models_rc != RK_OK)
		reply_problem(q, P_STORE, "the copy has no such %s, and the "
		    "store does not answer: %s", what, age.error != NULL ?
		    age.error : rk_strerror(q->models_rc));
	else
		reply_models_err(q, rc, why, what);
	return true;
}

/* --- parts of answers ----------------------------------------------------- */

void
put_age(struct req *q, const char *model)
{
	struct strbuf *b = &q->out;
	struct models_age age;

	models_age(q->api->models, model, &age);
	put_key(b, "as_of");
	put_time(b, age.as_of_ms);
	if (age.as_of_ms == 0)
		sb_adds(b, ",\"age_seconds\":null");
	else
		sb_addf(b, ",\"age_seconds\":%.3f", (double)RK_MAX((int64_t)0,
		    now_ms() - age.as_of_ms) / 1000);
	put_key(b, "error");
	put_or_null(b, q->models_rc != RK_OK || age.error != NULL ?
	    age.error != NULL ? age.error : rk_strerror(q->models_rc) : NULL);
}

static bool
put_place(void *ctx, const struct alias_row *r)
{
	struct strbuf *b = ctx;

	if (r->version == 0)
		return true;
	sb_adds(b, b->s[b->len - 1] == '{' ? "" : ",");
	put_str(b, r->alias);
	sb_addf(b, ":%lld", (long long)r->version);
	return true;
}

static bool
put_name(void *ctx, const struct alias_row *r)
{
	struct strbuf *b = ctx;

	sb_adds(b, b->s[b->len - 1] == '[' ? "" : ",");
	put_str(b, r->alias);
	return true;
}

/* Its head, with what is not of its record alone. */
static enum rk_err
put_version(struct req *q, const struct version_row *r)
{
	struct strbuf *b = &q->out;
	const size_t n = strlen(r->head);

	must(n > 2 && r->head[n - 1] == '}');
	sb_add(b, r->head, n - 1);
	sb_adds(b, ",\"aliases\":[");
	enum rk_err rc = store_aliases(q->api->store, r->model, r->version,
	    put_name, b);
	sb_addf(b, "],\"deleted\":%s}", r->deleted_ms != 0 ? "true" : "false");
	return rc;
}

/* --- models --------------------------------------------------------------- */

#define PAGE_DEFAULT 50
#define PAGE_MAX     500

struct page {
	struct req *q;
	int limit, n;
	bool more;
	enum rk_err rc;
	char last[80];
};

static bool
put_newest(void *ctx, const struct version_row *r, double key)
{
	struct page *p = ctx;

	(void)key;
	p->rc = put_version(p->q, r);
	p->n++;
	return false;
}

static enum rk_err
put_model(struct req *q, const struct model_row *r)
{
	const struct store_versions_filter f = { .model = r->name };
	struct strbuf *b = &q->out;
	struct page newest = { .q = q };

	sb_adds(b, "{\"model\":");
	put_str(b, r->name);
	sb_addf(b, ",\"versions\":%lld,\"newest\":", (long long)r->live);
	enum rk_err rc = store_versions(q->api->store, &f, 1, put_newest,
	    &newest);
	if (newest.n == 0)
		sb_adds(b, "null");
	put_key(b, "aliases");
	sb_addc(b, '{');
	if (rc == RK_OK && (rc = newest.rc) == RK_OK)
		rc = store_aliases(q->api->store, r->name, -1, put_place, b);
	sb_addc(b, '}');
	put_key(b, "created");
	put_time(b, r->created_ms);
	put_key(b, "updated");
	put_time(b, r->updated_ms);
	sb_addf(b, ",\"entries\":%lld,\"unread\":%lld", (long long)r->seq,
	    (long long)r->bad);
	put_key(b, "fault");
	put_or_null(b, r->fault);
	return rc;
}

static bool
page_model(void *ctx, const struct model_row *r)
{
	struct page *p = ctx;

	if (p->n == p->limit) {
		p->more = true;
		return false;
	}
	if (p->n++ > 0)
		sb_adds(&p->q->out, ",\n");
	p->rc = put_model(p->q, r);
	sb_addc(&p->q->out, '}');
	snprintf(p->last, sizeof(p->last), "%s", r->name);
	return p->rc == RK_OK;
}

static void
models_then(struct req *q)
{
	const char *cursor = query_get(&q->query, "cursor");
	struct page p = { .q = q };

	p.limit = (int)query_int(&q->query, "limit", PAGE_DEFAULT, 1,
	    PAGE_MAX);
	sb_adds(&q->out, "{\"models\":[");
	enum rk_err rc = store_models(q->api->store, cursor != NULL ? cursor :
	    "", p.limit + 1, page_model, &p);
	if (rc != RK_OK || (rc = p.rc) != RK_OK) {
		reply_err(q, rc, NULL, "page");
		return;
	}
	sb_adds(&q->out, "],\"next\":");
	put_or_null(&q->out, p.more ? p.last : NULL);
	put_age(q, NULL);
	sb_adds(&q->out, "}\n");
	reply_json(q, 200);
}

void
h_models(struct req *q)
{
	const char *cursor = query_get(&q->query, "cursor");

	(void)query_int(&q->query, "limit", PAGE_DEFAULT, 1, PAGE_MAX);
	if (cursor != NULL && models_name_ok(cursor, NULL) != RK_OK)
		rk_refuse_at(&q->why, "cursor", "is not one that we gave");
	if (!req_refused(q, P_INVALID_QUERY))
		models_first(q, false, LIST_MS, models_then);
}

bool
req_model(struct req *q, struct model_row *r)
{
	struct rk_why why = { 0 };
	enum rk_err rc = store_model_get(q->api->store, q->arg[0], r);

	if (rc == RK_ENOENT)
		(void)rk_refuse(&why, "there is no model %s", q->arg[0]);
	const bool lacks = models_lacks(q, rc, &why, "model");
	rk_why_fini(&why);
	return !lacks;
}

static void
model_then(struct req *q)
{
	struct model_row r;

	if (!req_model(q, &r))
		return;
	enum rk_err rc = put_model(q, &r);
	put_age(q, r.name);
	sb_adds(&q->out, "}\n");
	store_model_fini(&r);
	if (rc == RK_OK)
		reply_json(q, 200);
	else
		reply_err(q, rc, NULL, "model");
}

void
h_model(struct req *q)
{
	models_first(q, true, ONE_MS, model_then);
}

/* --- one version ---------------------------------------------------------- */

bool
req_version(struct req *q, int64_t *version)
{
	const char *text = q->arg[1];
	struct rk_why why = { 0 };
	struct model_row r;
	enum rk_err rc;

	if (!req_model(q, &r))
		return false;
	store_model_fini(&r);
	if (strspn(text, "0123456789") == strlen(text)) {
		*version = strlen(text) < 10 ? strtoll(text, NULL, 10) : 0;
		rc = models_has(q->api->models, q->arg[0], *version, &why);
	} else {
		struct models_which w;
		char *name = xasprintf("%s@%s", q->arg[0], text);
		rc = models_which(q->api->models, name, &w, &why);
		*version = w.version;
		free(name);
	}
	/* A word that cannot be one names nothing. */
	const bool lacks = models_lacks(q, rc == RK_EINVAL ? RK_ENOENT : rc,
	    &why, "version");
	rk_why_fini(&why);
	return !lacks;
}

void
reply_version(struct req *q, int64_t version)
{
	struct rk_why why = { 0 };
	json_t *v;
	enum rk_err rc = models_version(q->api->models, q->arg[0], version, &v,
	    &why);

	if (!models_lacks(q, rc, &why, "version")) {
		char *text = rkj_text(v);
		sb_add(&q->out, text, strlen(text) - 1);
		put_age(q, q->arg[0]);
		sb_adds(&q->out, "}\n");
		reply_json(q, 200);
		free(text);
		json_decref(v);
	}
	rk_why_fini(&why);
}

static void
version_then(struct req *q)
{
	int64_t version;

	if (req_version(q, &version))
		reply_version(q, version);
}

void
h_version(struct req *q)
{
	models_first(q, true, ONE_MS, version_then);
}

/* --- versions that are looked for ----------------------------------------- */

static bool
page_version(void *ctx, const struct version_row *r, double key)
{
	struct page *p = ctx;

	if (p->n == p->limit) {
		p->more = true;
		return false;
	}
	if (p->n++ > 0)
		sb_adds(&p->q->out, ",\n");
	snprintf(p->last, sizeof(p->last), "%.17g,%lld", key, (long long)r->n);
	p->rc = put_version(p->q, r);
	return p->rc == RK_OK;
}

static void
versions_then(struct req *q)
{
	struct version_query *v = version_query_new(&q->query);
	struct page p = { .q = q };
	struct model_row r;
	const bool one = strcmp(q->route->op, "listVersions") == 0;
	enum rk_err rc;

	p.limit = (int)query_int(&q->query, "limit", PAGE_DEFAULT, 1,
	    PAGE_MAX);
	must(q->why.n == 0);
	if (one && !req_model(q, &r)) {
		version_query_free(v);
		return;
	}
	if (one)
		store_model_fini(&r);
	v->filter.model = one ? q->arg[0] : NULL;
	sb_adds(&q->out, "{\"versions\":[");
	rc = store_versions(q->api->store, &v->filter, p.limit + 1,
	    page_version, &p);
	version_query_free(v);
	if (rc != RK_OK || (rc = p.rc) != RK_OK) {
		reply_err(q, rc, NULL, "page");
		return;
	}
	sb_adds(&q->out, "],\"next\":");
	put_or_null(&q->out, p.more ? p.last : NULL);
	put_age(q, one ? q->arg[0] : NULL);
	sb_adds(&q->out, "}\n");
	reply_json(q, 200);
}

static void
versions(struct req *q, bool one)
{
	/* What is wrong is said before anybody waits for a store. */
	(void)query_int(&q->query, "limit", PAGE_DEFAULT, 1, PAGE_MAX);
	version_query_free(version_query_new(&q->query));
	if (!req_refused(q, P_INVALID_QUERY))
		models_first(q, one, LIST_MS, versions_then);
}

void
h_versions(struct req *q)
{
	versions(q, true);
}

void
h_all_versions(struct req *q)
{
	versions(q, false);
}
