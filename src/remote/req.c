/*
 * One request to a store, tried until it is answered.
 *
 *	        timer                 creds_fn              http
 *	 WAIT ─────────▶ KEYS ───────────────────▶ WIRE ─────────▶ answered
 *	  ▲                                                            │
 *	  └──── a fault that passes, and tries and time are left ──────┘
 *
 * Every try begins from the loop's timer, so that nothing is answered from
 * within req_send().
 */
#include <stdlib.h>
#include <string.h>

#include "req.h"

/* --- copying -------------------------------------------------------------- */

static const char *
own(struct req *q, const char *s)
{
	if (s == NULL)
		return NULL;
	must(q->nowned < OWNED);
	return q->owned[q->nowned++] = xstrdup(s);
}

static void
copy_spec(struct req *q, const struct req_spec *s)
{
	q->s = *s;
	q->s.method = own(q, s->method);
	q->s.payload = own(q, s->payload);
	q->s.content_md5 = own(q, s->content_md5);
	for (size_t i = 0; i < s->nquery; i++) {
		q->s.query[i].name = own(q, s->query[i].name);
		q->s.query[i].value = own(q, s->query[i].value);
	}
	for (size_t i = 0; i < s->nheaders; i++) {
		q->s.headers[i].name = own(q, s->headers[i].name);
		q->s.headers[i].value = own(q, s->headers[i].value);
	}
	if (s->body_len > 0) {
		void *p = xmalloc(s->body_len);
		memcpy(p, s->body, s->body_len);
		q->s.body = p;
	} else {
		q->s.body = NULL;
	}
}

/* Bytes in memory are hashed here: for the signature where the line is open to
 * all; and for Content-MD5, which a bucket with object lock wants in any
 * case. */
static void
hash_body(struct req *q)
{
	const struct rstore *st = q->s.place->store;
	bool sha = st->kind == STORE_S3 && !st->tls;
	unsigned char md5[16];

	snprintf(q->payload, sizeof(q->payload), "UNSIGNED-PAYLOAD");
	if (sha && q->s.body_fd >= 0) {
		must(q->s.payload != NULL && strlen(q->s.payload) == 64);
		memcpy(q->payload, q->s.payload, sizeof(q->payload));
	} else if (sha) {
		rk_sha256_of(q->s.body_len > 0 ? q->s.body : "",
		    q->s.body_len, q->payload);
	}
	if (q->s.body_len > 0 && q->s.content_md5 == NULL) {
		struct rk_md5 *d = rk_md5_new();
		rk_md5_add(d, q->s.body, q->s.body_len);
		rk_md5_end(d, md5);
		must(q->nowned < OWNED);
		q->s.content_md5 = q->owned[q->nowned++] =
		    rk_base64(md5, sizeof(md5));
	}
}

static void
req_free(struct req *q)
{
	loop_timer_del(&q->timer);
	cred_unref(&q->cred);
	for (size_t i = 0; i < q->nowned; i++)
		free(q->owned[i]);
	free((void *)(uintptr_t)q->s.body);
	q->tag = 0;
	free(q);
}

/* --- the end -------------------------------------------------------------- */

/* To a role without s3:ListBucket, what is not there is forbidden. */
static bool
req_hidden(const struct req *q, const struct req_result *res)
{
	return res->fault == F_DENIED && q->s.nquery == 0 &&
	    strcmp(res->code, "AccessDenied") == 0 &&
	    (strcmp(q->s.method, "GET") == 0 ||
	    strcmp(q->s.method, "HEAD") == 0);
}

/* A bucket that is not there wants another remedy than a key. */
static void
add_missing(struct strbuf *b, const struct place *p, const char *code)
{
	if (strcmp(code, "NoSuchBucket") == 0)
		sb_addf(b, ", there is no bucket \"%s\" (was it made, at this "
		    "endpoint, in this region?)", p->bucket);
	else if (strcmp(code, "NoSuchKey") == 0)
		sb_addf(b, ", the bucket \"%s\" is there and has no \"%s\"",
		    p->bucket, p->key);
}

static char *
sentence(const struct req *q, const struct req_result *res)
{
	struct strbuf b = {0};
	char *url, *host, *path;

	store_url(q->s.place->store, q->s.place->bucket, q->s.place->key, NULL,
	    0, &url, &host, &path);
	sb_adds(&b, host);
	if (res->a != NULL && res->a->end == HTTP_ANSWERED) {
		sb_addf(&b, " answered %d", res->a->status);
		if (res->code[0] != '\0')
			sb_addf(&b, " %s", res->code);
	}
	add_missing(&b, q->s.place, res->code);
	if (res->message[0] != '\0')
		sb_addf(&b, ": %s", res->message);
	if (res->hidden)
		sb_adds(&b, " (or it is not there: without the right to list "
		    "its bucket, s3:ListBucket, the two look alike)");
	if (res->request_id[0] != '\0')
		sb_addf(&b, " (request %s)", res->request_id);
	if (q->tries > 1)
		sb_addf(&b, "; tried %d times", q->tries);
	free(url);
	free(host);
	free(path);
	rk_text_clean(b.s);
	return sb_detach(&b);
}

void
req_finish(struct req *q, struct req_result *res)
{
	res->hidden = req_hidden(q, res);
	char *error = res->fault != F_NONE ? sentence(q, res) : NULL;

	res->error = error != NULL ? error : "";
	res->tries = q->tries;
	res->ambiguous = q->ambiguous;
	if (res->fault != F_NONE && res->fault != F_MISSING &&
	    res->fault != F_EXISTS && res->fault != F_CHANGED)
		q->r->totals.failures++;
	q->tag = 0;             /* the owner must not cancel it any more */
	q->s.fn(q->s.ctx, res);
	free(error);
	req_free(q);
}

/* Without an answer: out of time, or without keys. */
static void
finish_bare(struct req *q, enum fault f, const char *message)
{
	struct req_result res = { .fault = f };

	snprintf(res.message, sizeof(res.message), "%s", message);
	req_finish(q, &res);
}

/* --- keys ----------------------------------------------------------------- */

static void
on_keys(void *ctx, struct cred *c, const char *why)
{
	struct req *q = ctx;

	must_be(q, REQ_TAG);
	must(q->state == REQ_KEYS);
	loop_timer_off(q->timer);
	cred_unref(&q->cred);
	q->cred = c;
	if (c == NULL && why[0] != '\0') {
		finish_bare(q, F_DENIED, why);
		return;
	}
	req_try(q);
}

static void
on_timer(void *ctx)
{
	struct req *q = ctx;
	struct creds *creds;

	must_be(q, REQ_TAG);
	creds = q->s.place->store->creds;
	if (q->state == REQ_KEYS) {
		creds_forget(creds, q);
		finish_bare(q, F_TRANSPORT, "no credentials in time");
		return;
	}
	must(q->state == REQ_WAIT);
	if (loop_seen_ms(q->r->loop) >= q->deadline_ms) {
		finish_bare(q, F_TRANSPORT, "the deadline has passed");
		return;
	}
	if (creds == NULL) {
		req_try(q);
		return;
	}
	q->state = REQ_KEYS;
	loop_timer_seen(q->timer, q->deadline_ms);
	creds_get(creds, on_keys, q);
}

/* --- the face ------------------------------------------------------------- */

struct req *
req_send(struct remote *r, const struct req_spec *s)
{
	struct req *q = xcalloc(1, sizeof(*q));

	must(s->nquery <= RK_ARRAY_LEN(s->query) &&
	    s->nheaders <= RK_ARRAY_LEN(s->headers));
	q->tag = REQ_TAG;
	q->r = r;
	copy_spec(q, s);
	hash_body(q);
	q->deadline_ms = loop_seen_ms(r->loop) +
	    (s->patience.deadline_ms != 0 ?
	    s->patience.deadline_ms - mono_ms() : NO_PROGRESS_MS);
	q->timer = loop_timer_add(r->loop, on_timer, q);
	loop_timer_at(q->timer, 0);
	return q;
}

void
req_cancel(struct req **qp)
{
	struct req *q = *qp;

	*qp = NULL;
	if (q == NULL)
		return;
	must_be(q, REQ_TAG);
	if (q->state == REQ_WIRE) {
		uint64_t sent, sunk;
		http_moved(q->call, &sent, &sunk);
		q->r->totals.sent += sent;
		q->r->totals.received += sunk;
		struct http_call *call = q->call;
		req_leave_wire(q, req_sends(q) ? sent : sunk);
		http_cancel(&call);
	} else if (q->state == REQ_KEYS) {
		creds_forget(q->s.place->store->creds, q);
	}
	req_free(q);
}

void
req_moved(const struct req *q, uint64_t *sent, uint64_t *sunk)
{
	*sent = *sunk = 0;
	if (q != NULL && q->state == REQ_WIRE)
		http_moved(q->call, sent, sunk);
}
