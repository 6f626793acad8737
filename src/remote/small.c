/*
 * Operations of one object in memory: head, get, put, delete, abort.
 *
 * A put-if-absent that had to be tried again may find its own object: the try
 * that we heard nothing of did it.  So "it is there" is then followed by a
 * look: our bytes are success, others are not.
 */
#include <stdlib.h>
#include <string.h>

#include "large.h"

#define SMALL_TAG  0x736d616cu
#define ANSWER_MAX (64u << 10)

enum what { DO_HEAD, DO_GET, DO_PUT, DO_DELETE, DO_ABORT };

struct small {
	struct remote_op op;
	unsigned tag;
	enum what what;
	struct req *req;
	size_t max;
	void *body;
	size_t len;
	bool if_absent, unsure;
	char *upload_id;
	int tries;
	struct hops hops;
};

static void ask(struct small *s, const char *method, req_fn *fn);

static struct small *
small_of(struct remote_op *op)
{
	struct small *s = (struct small *)(void *)op;

	must_be(s, SMALL_TAG);
	return s;
}

static void
drop(struct remote_op *op)
{
	struct small *s = small_of(op);

	req_cancel(&s->req);
	hops_fini(&s->hops);
	free(s->body);
	free(s->upload_id);
	s->body = s->upload_id = NULL;
}

static struct small *
begin(struct remote *r, const char *uri, enum what what,
    const struct remote_patience *p, remote_done_fn *fn, void *ctx, bool *go)
{
	struct remote_op *op;

	*go = op_begin(r, sizeof(struct small), uri, p, fn, ctx, &op);
	struct small *s = (struct small *)(void *)op;
	s->tag = SMALL_TAG;
	s->what = what;
	op->cancel = drop;
	enum store_kind kind = *go ? op->place.store->kind : STORE_FILE;
	if (*go && kind != STORE_FILE && op->place.key[0] == '\0') {
		op_later(op, REMOTE_REFUSED, "\"%s\" names a bucket, and no "
		    "object in it", uri);
		*go = false;
	} else if (*go && kind == STORE_HTTPS && what > DO_GET) {
		op_later(op, REMOTE_REFUSED, "%s: https:// addresses can only "
		    "be read", op->place.bucket);
		*go = false;
	}
	return s;
}

/* --- the end -------------------------------------------------------------- */

static bool
by_head(const struct small *s)
{
	return s->if_absent && s->op.place.store->no_conditional;
}

static void
end(struct small *s, const struct req_result *q)
{
	struct remote_result res;
	char etag[ETAG_MAX];

	op_result(q, &res, etag);
	res.tries = s->tries;
	if (s->what == DO_PUT && res.end == REMOTE_OK)
		res.size = s->len;
	res.by_head = by_head(s);
	op_end(&s->op, &res);
}

static void
end_as(struct small *s, enum remote_end e, const char *error)
{
	op_end(&s->op, &(struct remote_result){ .end = e, .error = error,
	    .tries = s->tries, .by_head = by_head(s) });
}

static struct small *
answered(void *ctx, const struct req_result *q)
{
	struct small *s = ctx;

	must_be(s, SMALL_TAG);
	s->req = NULL;
	s->tries += q->tries;
	s->unsure |= q->ambiguous;
	return s;
}

/* A plain address may have a secret behind its question mark. */
static const char *
shown(const struct place *p)
{
	return p->store->kind == STORE_HTTPS ? p->bucket : p->key;
}

/* --- head and get --------------------------------------------------------- */

/* True: the answer was a redirect; it is asked for again there, or that was
 * all. */
static bool
followed(struct small *s, const struct req_result *q, const char *method,
    req_fn *fn)
{
	char *why;
	const enum redirect to = redirect_follow(s->op.r, &s->op.place,
	    &s->hops, q->a, &why);

	if (to == REDIRECT_GO)
		ask(s, method, fn);
	else if (to == REDIRECT_NO)
		end_as(s, REMOTE_REFUSED, why);
	free(why);
	return to != REDIRECT_NONE;
}

static void
got(void *ctx, const struct req_result *q)
{
	struct small *s = answered(ctx, q);

	if (followed(s, q, "GET", got))
		return;
	if (q->fault == F_NONE && q->a->len > s->max) {
		char *text = xasprintf("%s has %zu byte%s, want at most %zu",
		    shown(&s->op.place), q->a->len, rk_s((int64_t)q->a->len),
		    s->max);
		op_end(&s->op, &(struct remote_result){
		    .end = REMOTE_REFUSED, .error = text, .tries = s->tries,
		    .too_large = true });
		free(text);
	} else if (q->fault == F_NONE && q->a->status == 206) {
		char *text = xasprintf("all of %s was asked for, and a part "
		    "came", shown(&s->op.place));
		end_as(s, REMOTE_REFUSED, text);
		free(text);
	} else {
		end(s, q);
	}
}

/* Of a plain URL that was asked for by GET of a byte. */
static void
got_byte(void *ctx, const struct req_result *q)
{
	struct small *s = answered(ctx, q);

	if (followed(s, q, "GET 0-0", got_byte))
		return;
	struct remote_result res;
	char etag[ETAG_MAX];
	op_result(q, &res, etag);
	res.tries = s->tries;
	res.body = "";
	res.len = 0;
	op_end(&s->op, &res);
}

static void
headed(void *ctx, const struct req_result *q)
{
	struct small *s = answered(ctx, q);

	if (followed(s, q, "HEAD", headed))
		return;
	if (s->op.place.store->kind == STORE_HTTPS && q->a != NULL &&
	    (q->a->status == 403 || q->a->status == 405 ||
	    q->a->status == 501))
		/* Presigned for GET alone, or a server that has no HEAD. */
		ask(s, "GET 0-0", got_byte);
	else
		end(s, q);
}

/* --- put ------------------------------------------------------------------ */

static void
put_done(void *ctx, const struct req_result *q);

static void
compared(void *ctx, const struct req_result *q)
{
	struct small *s = answered(ctx, q);

	if (q->fault == F_NONE) {
		bool ours = q->a->len == s->len &&
		    memcmp(q->a->body, s->len > 0 ? s->body : "",
		    s->len) == 0;
		if (ours)
			end(s, q);
		else
			end_as(s, REMOTE_EXISTS, "it is there, with other "
			    "bytes");
	} else if (q->fault == F_PERMANENT && q->a != NULL &&
	    q->a->end == HTTP_TOO_LONG && q->a->status == 200) {
		end_as(s, REMOTE_EXISTS, "it is there, with more bytes");
	} else {
		end(s, q);
	}
}

/* A store without conditions: look, then put.  Two may do so at once. */
static void
looked(void *ctx, const struct req_result *q)
{
	struct small *s = answered(ctx, q);

	if (q->fault == F_NONE && s->unsure)
		ask(s, "GET", compared);
	else if (q->fault == F_NONE)
		end_as(s, REMOTE_EXISTS, "it is there");
	else if ((q->fault == F_MISSING && strcmp(q->code, "NoSuchBucket") !=
	    0) || q->hidden)
		ask(s, "PUT", put_done);
	else
		end(s, q);
}

static void
put_done(void *ctx, const struct req_result *q)
{
	struct small *s = answered(ctx, q);
	struct rstore *st = s->op.place.store;

	/* 409 has a code of its own in each store; what is there tells. */
	bool maybe = q->fault == F_PERMANENT && q->a != NULL &&
	    q->a->end == HTTP_ANSWERED && q->a->status == 409;
	s->unsure |= maybe;
	if (s->if_absent && (q->fault == F_EXISTS || maybe) && s->unsure) {
		ask(s, "GET", compared);
	} else if (s->if_absent && !st->no_conditional &&
	    fault_not_implemented(q)) {
		log_warn("remote: %s has no conditional PUT; it is asked with "
		    "HEAD first, and of two that write at once the later one "
		    "stays", st->host);
		st->no_conditional = true;
		ask(s, "HEAD", looked);
	} else {
		end(s, q);
	}
}

/* --- delete and abort ----------------------------------------------------- */

static void
deleted(void *ctx, const struct req_result *q)
{
	struct small *s = answered(ctx, q);

	if (q->fault == F_MISSING && strcmp(q->code, "NoSuchBucket") != 0)
		end_as(s, REMOTE_OK, "");
	else
		end(s, q);
}

/* --- requests ------------------------------------------------------------- */

/* What `checksum` of the store asks for; a new string, or NULL. */
static char *
sum_of(const struct small *s, const char *hex)
{
	const struct rstore *st = s->op.place.store;
	unsigned char raw[32];
	size_t n = 0;

	if (st->kind != STORE_S3 || st->checksum == SUM_NONE)
		return NULL;
	if (st->checksum == SUM_CRC32C) {
		uint32_t c = crc32c(0, s->len > 0 ? s->body : "", s->len);
		for (; n < 4; n++)
			raw[n] = (unsigned char)(c >> (24 - 8 * n));
		return rk_base64(raw, n);
	}
	for (unsigned v; n < sizeof(raw); n++) {
		must(sscanf(hex + 2 * n, "%2x", &v) == 1);
		raw[n] = (unsigned char)v;
	}
	return rk_base64(raw, n);
}

static void
add(struct req_spec *q, const char *name, const char *value)
{
	if (value != NULL)
		q->headers[q->nheaders++] = (struct sign_header){ name, value };
}

static void
ask_put(struct small *s, req_fn *fn, struct req_spec *q)
{
	const struct rstore *st = s->op.place.store;
	bool oss = st->kind == STORE_OSS;
	bool condition = s->if_absent && !st->no_conditional;
	char hex[RK_SHA256_HEX];

	rk_sha256_of(s->len > 0 ? s->body : "", s->len, hex);
	char *sum = sum_of(s, hex);
	q->body = s->body;
	q->body_len = s->len;
	q->fn = fn;
	add(q, "Content-Type", "application/octet-stream");
	add(q, oss ? "x-oss-meta-sha256" : "x-amz-meta-sha256", hex);
	add(q, st->checksum == SUM_SHA256 ? "x-amz-checksum-sha256" :
	    "x-amz-checksum-crc32c", sum);
	if (condition)
		add(q, oss ? "x-oss-forbid-overwrite" : "If-None-Match",
		    oss ? "true" : "*");
	s->req = req_send(s->op.r, q);
	free(sum);
}

/* method "GET 0-0": one byte of it. */
static void
ask(struct small *s, const char *method, req_fn *fn)
{
	struct req_spec q = { .place = &s->op.place, .method = method,
	    .body_fd = -1, .sink_fd = -1, .patience = s->op.patience,
	    .max = ANSWER_MAX, .fn = fn, .ctx = s };

	if (strcmp(method, "GET 0-0") == 0) {
		q.method = "GET";
		add(&q, "Range", "bytes=0-0");
	} else if (strcmp(method, "GET") == 0) {
		q.max = RK_MAX(s->what == DO_PUT ? s->len : s->max, q.max);
	} else if (strcmp(method, "PUT") == 0) {
		ask_put(s, fn, &q);
		return;
	}
	if (s->upload_id != NULL)
		q.query[q.nquery++] = (struct sign_query){ "uploadId",
		    s->upload_id };
	s->req = req_send(s->op.r, &q);
}

struct remote_op *
remote_head(struct remote *r, const char *uri, const struct remote_patience *p,
    remote_done_fn *fn, void *ctx)
{
	bool go;
	struct small *s = begin(r, uri, DO_HEAD, p, fn, ctx, &go);

	if (go && s->op.place.store->kind == STORE_FILE)
		file_head(&s->op);
	else if (go)
		ask(s, "HEAD", headed);
	return &s->op;
}

struct remote_op *
remote_get(struct remote *r, const char *uri, size_t max,
    const struct remote_patience *p, remote_done_fn *fn, void *ctx)
{
	bool go;
	struct small *s = begin(r, uri, DO_GET, p, fn, ctx, &go);

	s->max = RK_MIN(max, REMOTE_SMALL);
	if (go && s->op.place.store->kind == STORE_FILE)
		file_get(&s->op, s->max);
	else if (go)
		ask(s, "GET", got);
	return &s->op;
}

struct remote_op *
remote_put(struct remote *r, const char *uri, const void *p, size_t n,
    bool if_absent, const struct remote_patience *pt, remote_done_fn *fn,
    void *ctx)
{
	bool go;
	struct small *s = begin(r, uri, DO_PUT, pt, fn, ctx, &go);

	if (go && n > REMOTE_SMALL) {
		op_later(&s->op, REMOTE_REFUSED, "%zu bytes are too many for "
		    "one put, want at most %u", n, REMOTE_SMALL);
		return &s->op;
	}
	s->if_absent = if_absent;
	s->len = n;
	s->body = xmalloc(n + 1);
	if (n > 0)
		memcpy(s->body, p, n);
	if (go && s->op.place.store->kind == STORE_FILE)
		file_put(&s->op, s->body, n, if_absent);
	else if (go && if_absent && s->op.place.store->no_conditional)
		ask(s, "HEAD", looked);
	else if (go)
		ask(s, "PUT", put_done);
	return &s->op;
}

struct remote_op *
remote_delete(struct remote *r, const char *uri,
    const struct remote_patience *p, remote_done_fn *fn, void *ctx)
{
	bool go;
	struct small *s = begin(r, uri, DO_DELETE, p, fn, ctx, &go);

	if (go && s->op.place.store->kind == STORE_FILE)
		file_delete(&s->op);
	else if (go)
		ask(s, "DELETE", deleted);
	return &s->op;
}

struct remote_op *
remote_abort(struct remote *r, const char *uri, const char *upload_id,
    const struct remote_patience *p, remote_done_fn *fn, void *ctx)
{
	bool go;
	struct small *s = begin(r, uri, DO_ABORT, p, fn, ctx, &go);

	s->upload_id = xstrdup(upload_id);
	if (go && s->op.place.store->kind == STORE_FILE)
		op_later(&s->op, REMOTE_OK, "%s", "");
	else if (go)
		ask(s, "DELETE", deleted);
	return &s->op;
}
