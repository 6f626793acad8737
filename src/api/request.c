/*
 * A request's way through: req_uri() when its first line is there,
 * req_handle() when its headers are (checks), for each piece of its body, and
 * when all of it has come (the route's handler); after a wait once more; and
 * req_completed() when the answer has gone out or the client has.
 *
 * A refusal found early is kept until the body has been read and thrown away:
 * many clients read no answer before they have sent all.  For what is too long
 * even for that (SWALLOW times the limit) see linger.c.
 */
#include "impl.h"

#include <string.h>

#define SWALLOW 8

const char *
req_header(struct req *q, const char *name)
{
	return MHD_lookup_connection_value(q->conn, MHD_HEADER_KIND, name);
}

void *
req_uri(void *door, const char *uri, struct MHD_Connection *c)
{
	struct door *d = door;
	struct api *a = d->api;
	struct req *q = xcalloc(1, sizeof(*q));

	q->tag = REQ_TAG;
	q->api = a;
	q->door = d;
	q->conn = c;
	q->uri = xstrdup(uri);
	q->began_ns = mono_ns();
	q->query.why = &q->why;
	q->next = a->reqs;
	if (a->reqs != NULL)
		a->reqs->prev = q;
	a->reqs = q;
	guest_busy(c);
	return q;
}

void
req_completed(void *door, struct MHD_Connection *c, void **ctx,
    enum MHD_RequestTerminationCode code)
{
	struct req *q = *ctx;

	(void)door;
	(void)code;
	if (q != NULL && q->api->last_words_ns != 0 &&
	    q->began_ns > q->api->last_words_ns)
		guest_told(c);
	guest_idle(c);
	if (q == NULL)
		return;
	must_be(q, REQ_TAG);
	*ctx = NULL;
	if (q->asked)
		sup_checkpoint_forget(q->api->sup, q);
	if (q->checked)
		sup_check_forget(q->api->sup, q);
	if (q->bringing)
		ship_results_forget(q->api->ship, q);
	if (q->registers)
		models_forget(q->api->models, q);
	if (q->settling != NULL || (q->suggest != NULL &&
	    q->api->models != NULL))
		models_forget(q->api->models, q);
	settling_free(&q->settling);
	version_file_free(&q->version_file);
	if (q->at_models)
		models_forget(q->api->models, q);
	views_free(&q->views);
	sup_export_end(&q->exporting);
	if (q->prev != NULL)
		q->prev->next = q->next;
	else
		q->api->reqs = q->next;
	if (q->next != NULL)
		q->next->prev = q->prev;
	if (q->resp != NULL && !q->shared)
		MHD_destroy_response(q->resp);
	rk_why_fini(&q->why);
	json_decref(q->resume);
	json_decref(q->suggest);
	sb_fini(&q->out);
	free(q->uri);
	free(q->body);
	free(q->idem_key);
	free(q->location);
	free(q->name);
	free(q->allow);
	q->tag = 0;
	free(q);
}

static enum MHD_Result
one_query(void *ctx, enum MHD_ValueKind kind, const char *key,
    const char *value)
{
	struct req *q = ctx;

	(void)kind;
	query_add(&q->query, key, value);
	return MHD_YES;
}

/* Host, Origin and where a browser says that it comes from. */
static bool
may_come_in(struct req *q)
{
	const char *host = req_header(q, "Host");
	const char *origin = req_header(q, "Origin");
	const char *site = req_header(q, "Sec-Fetch-Site");

	if (!q->door->local && host == NULL) {
		reply_problem(q, P_BAD_REQUEST, "a Host header is needed");
		return false;
	}
	if (!q->door->local && !guard_host_ok(host, q->api->cfg.tcp_host,
	    q->api->cfg.tcp_port)) {
		reply_problem(q, P_WRONG_HOST, "the Host header is \"%.200s\", "
		    "want localhost:%d or the address that the daemon listens "
		    "on", host, q->api->cfg.tcp_port);
		return false;
	}
	if ((origin != NULL && !guard_origin_ok(origin, host)) ||
	    (site != NULL && guard_cross_site(site))) {
		reply_problem(q, P_FORBIDDEN_ORIGIN, "a web page of another "
		    "site (%.200s) may not use this interface",
		    origin != NULL ? origin : site);
		return false;
	}
	return true;
}

static bool
changes_something(const struct req *q)
{
	return strcmp(q->method, "POST") == 0 ||
	    strcmp(q->method, "PATCH") == 0;
}

/* The body's type and its length, as far as the headers say. */
static bool
body_may_come(struct req *q)
{
	const char *type = req_header(q, "Content-Type");
	const char *len = req_header(q, "Content-Length");

	q->kind = guard_body_kind(type);
	if (changes_something(q) &&
	    (q->kind == BODY_ABSENT || q->kind == BODY_OTHER)) {
		reply_problem(q, P_MEDIA_TYPE, "%s%.100s%s needs a "
		    "Content-Type of ours, also when its body is empty; with "
		    "curl: -H 'Content-Type: application/json' (or "
		    "application/yaml)", q->method,
		    type != NULL ? " with " : "", type != NULL ? type : "");
		return false;
	}
	if (len != NULL && strtoull(len, NULL, 10) > q->api->cfg.body_limit) {
		reply_too_long(q, "the body", q->api->cfg.body_limit);
		return false;
	}
	return true;
}

static void
find_route(struct req *q, const char *url)
{
	q->route = route_find(q->method, url, q->arg, &q->allow);
	if (q->route != NULL)
		return;
	if (q->allow != NULL)
		reply_problem(q, P_METHOD, "%s does not take %s; it takes %s",
		    url, q->method, q->allow);
	else
		reply_problem(q, P_NOT_FOUND, "there is nothing at %s; "
		    "/openapi.json lists what there is", url);
}

/*
 * The headers are there.  An answer set here is sent when the body has been
 * read; at once only where that would take too long, or where the client
 * waits for a word before it sends its body.
 */
static enum MHD_Result
req_begin(struct req *q, const char *url, const char *method)
{
	const char *len;

	snprintf(q->method, sizeof(q->method), "%s", method);
	if (!may_come_in(q))
		return MHD_YES;
	if (req_header(q, "Rekindle-Watch") != NULL)
		guest_watches(q->conn);
	find_route(q, url);
	if (q->status == 0 && body_may_come(q))
		return MHD_YES;
	len = req_header(q, "Content-Length");
	if (req_header(q, "Expect") != NULL || (len != NULL &&
	    strtoull(len, NULL, 10) / SWALLOW > q->api->cfg.body_limit))
		return reply_send(q);
	return MHD_YES;
}

static enum MHD_Result
req_piece(struct req *q, const char *data, size_t n)
{
	size_t limit = q->api->cfg.body_limit;

	q->seen += n;
	if (q->seen / SWALLOW > limit)
		return MHD_NO;
	if (q->status != 0)
		return MHD_YES;
	if (q->seen > limit) {
		reply_too_long(q, "the body", limit);
		return MHD_YES;
	}
	if (q->len + n + 1 > q->cap) {
		size_t cap = RK_MAX((q->len + n + 1) * 2, (size_t)1024);
		char *p = realloc(q->body, cap);
		if (p == NULL)
			return MHD_NO;
		q->body = p;
		q->cap = cap;
	}
	memcpy(q->body + q->len, data, n);
	q->len += n;
	q->body[q->len] = '\0';
	return MHD_YES;
}

/* From the cache, if it is there: the answer, or that it is unchanged. */
static bool
from_cache(struct req *q, enum MHD_Result *ok)
{
	struct cache_entry *e;
	const char *m;

	if ((q->route->flags & ROUTE_CACHE) == 0 || q->seen > 0)
		return false;
	e = cache_find(q->api, q->uri);
	if (e == NULL)
		return false;
	m = e->etag[0] ? req_header(q, "If-None-Match") : NULL;
	if (m != NULL && strstr(m, e->etag) != NULL) {
		memcpy(q->etag, e->etag, sizeof(q->etag));
		reply_empty(q, 304);
		*ok = reply_send(q);
		return true;
	}
	*ok = MHD_queue_response(q->conn, 200, e->resp);
	stats_count(&q->api->stats, q->route, 200, mono_ns() - q->began_ns);
	return true;
}

/* Would a good answer promise that something is written down? */
static bool
is_kept(const struct req *q)
{
	return q->route->fn != h_drain && (changes_something(q) ||
	    strcmp(q->method, "DELETE") == 0);
}

static void
req_run(struct req *q)
{
	bool post = strcmp(q->method, "POST") == 0;

	MHD_get_connection_values(q->conn, MHD_GET_ARGUMENT_KIND, one_query, q);
	query_check(&q->query, q->route->query);
	if (q->why.n > 0) {
		reply_faults(q, P_INVALID_QUERY, &q->why);
		return;
	}
	if (q->len > 0 && q->route->body == NULL) {
		reply_problem(q, P_BAD_REQUEST, "%s %s takes no body",
		    q->route->method, q->route->path);
		return;
	}
	if (is_kept(q) && store_here(q->api->store, &q->why) != RK_OK) {
		reply_faults(q, P_DATABASE_GONE, &q->why);
		return;
	}
	if (post && !idem_begin(q))
		return;
	q->route->fn(q);
	if (post && !q->waiting && q->status != 0)
		idem_end(q);
}

enum MHD_Result
req_handle(void *door, struct MHD_Connection *c, const char *url,
    const char *method, const char *version, const char *data, size_t *size,
    void **ctx)
{
	struct req *q = *ctx;
	enum MHD_Result ok;
	size_t n = *size;

	(void)door;
	(void)c;
	(void)version;
	must_be(q, REQ_TAG);
	if (!q->begun) {
		q->begun = true;
		return req_begin(q, url, method);
	}
	if (n > 0) {
		*size = 0;
		return req_piece(q, data, n);
	}
	if (q->status == 0) {
		if (from_cache(q, &ok))
			return ok;
		req_run(q);
	}
	if (q->waiting)
		return MHD_YES;
	return reply_send(q);
}

void
req_wait(struct req *q)
{
	if (q->waiting)
		return;                 /* for one after the other */
	q->waiting = true;
	MHD_suspend_connection(q->conn);
}

void
req_wake(struct req *q)
{
	must(q->waiting && q->status != 0);
	q->waiting = false;
	q->asked = false;
	if (strcmp(q->method, "POST") == 0 && !q->api->closing)
		idem_end(q);
	MHD_resume_connection(q->conn);
}

struct store_note
req_note(const struct req *q)
{
	struct store_note note = { 0 };

	if (q->idem_key != NULL) {
		note.idem_key = q->idem_key;
		note.idem_digest = q->idem_digest;
	}
	return note;
}

bool
req_follows(struct req *q)
{
	const char *accept = req_header(q, "Accept");

	return query_flag(&q->query, "follow") ||
	    (accept != NULL && strstr(accept, "text/event-stream") != NULL);
}

json_t *
req_tree(struct req *q, bool may_be_empty)
{
	json_t *v = NULL;
	enum rk_err rc;

	if (q->len == 0 && may_be_empty)
		return json_object();
	if (q->len == 0) {
		reply_problem(q, P_MALFORMED_BODY, "the body is empty");
		return NULL;
	}
	rc = q->kind == BODY_YAML ?
	    rkj_parse_yaml(q->body, q->len, &v, &q->why) :
	    rkj_parse_json(q->body, q->len, &v, &q->why);
	if (rc == RK_OK)
		return v;
	if (rc == RK_EINVAL)
		reply_faults(q, P_MALFORMED_BODY, &q->why);
	else
		reply_err(q, rc, &q->why, "body");
	return NULL;
}

bool
req_refused(struct req *q, enum problem p)
{
	if (q->why.n == 0)
		return false;
	reply_faults(q, p, &q->why);
	return true;
}
