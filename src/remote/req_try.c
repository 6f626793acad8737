/* A try: headers, signature, wire. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "req.h"

#define STALL_MS    (30 * 1000)
#define STALL_BYTES 256
#define COMPLETE_MS (15 * 60 * 1000)

bool
req_sends(const struct req *q)
{
	return q->s.body_len > 0 || q->s.body_fd >= 0;
}

void
req_leave_wire(struct req *q, uint64_t bytes)
{
	q->call = NULL;
	if (!q->s.metered)
		return;
	rate_end(&q->watch, bytes);
	q->s.place->store->inflight--;
}

struct headers {
	struct sign_header v[24];
	size_t n;
};

static void
put_header(struct headers *h, const char *name, const char *value)
{
	must(h->n < RK_ARRAY_LEN(h->v));
	h->v[h->n++] = (struct sign_header){ name, value };
}

static bool
has_header(const struct headers *h, const char *name)
{
	for (size_t i = 0; i < h->n; i++) {
		if (strcasecmp(h->v[i].name, name) == 0)
			return true;
	}
	return false;
}

static void
collect_headers(const struct req *q, struct headers *h)
{
	for (size_t i = 0; i < q->s.nheaders; i++)
		put_header(h, q->s.headers[i].name, q->s.headers[i].value);
	if (q->s.content_md5 != NULL)
		put_header(h, "Content-MD5", q->s.content_md5);
	struct sign_header wishes[WISHES];
	const size_t n = wishes_headers(q->s.place->store, q->s.method,
	    q->s.query, q->s.nquery, wishes);
	for (size_t i = 0; i < n; i++)
		put_header(h, wishes[i].name, wishes[i].value);
	if (q->probe)
		put_header(h, "Range", "bytes=0-0");
	/* Else a start behind the end is answered with the whole object. */
	if (q->s.place->store->kind == STORE_OSS && has_header(h, "Range"))
		put_header(h, "x-oss-range-behavior", "standard");
}

static void
sign(const struct req *q, const char *host, const char *path,
    const struct headers *h, char *out[SIGN_HEADERS])
{
	const struct place *p = q->s.place;
	const struct rstore *st = p->store;
	struct sign_in in = { .method = q->probe ? "GET" : q->s.method,
		.host = host, .path = path, .bucket = p->bucket, .key = p->key,
		.region = store_region(st, p->bucket),
		.product = st->kind == STORE_OSS ? "oss" : "s3",
		.query = q->s.query, .nquery = q->s.nquery, .headers = h->v,
		.nheaders = h->n, .payload = q->payload,
		.at_ms = now_ms() + st->skew_ms };

	if (st->kind == STORE_S3)
		sign_s3(&in, q->cred, out);
	else if (st->kind == STORE_OSS)
		(st->v1 ? sign_oss1 : sign_oss4)(&in, q->cred, out);
}

static void
set_times(const struct req *q, struct http_request *h)
{
	int64_t left = RK_MAX(q->deadline_ms - loop_seen_ms(q->r->loop),
	    1);
	int64_t stall = q->r->c.stall_ms > 0 ? q->r->c.stall_ms : STALL_MS;

	h->total_ms = q->s.complete ? RK_MIN(left, COMPLETE_MS) : left;
	/* Without a deadline of the caller's a body may take as long as it
	 * moves. */
	if (q->s.patience.deadline_ms == 0 && !q->s.complete)
		h->total_ms = 0;
	h->slow_ms = q->s.complete ? 0 : stall;
	h->slow = STALL_BYTES;
	h->connect_ms = RK_MIN(left, RK_MIN(stall, 10000));
}

static void
put_on_wire(struct req *q, const char *url, const char *const *lines)
{
	struct http_request h = { .method = q->probe ? "GET" : q->s.method,
		.url = url, .headers = lines, .body = q->s.body,
		.body_len = q->s.body_len, .body_fd = q->s.body_fd,
		.body_at = q->s.body_at, .body_size = q->s.body_size,
		.sink_fd = q->probe ? -1 : q->s.sink_fd,
		.sink_status = q->s.sink_status, .sink_at = q->s.sink_at,
		.sink_size = q->s.sink_size, .max = q->probe ? 0 : q->s.max,
		.ca_file = q->s.place->store->ca_file,
		.fresh = q->transport >= 2, .metered = q->s.metered,
		.strange = q->s.place->store->kind == STORE_HTTPS,
		.done = req_answered, .ctx = q };

	set_times(q, &h);
	q->r->totals.requests++;
	if (q->tries++ > 0)
		q->r->totals.retries++;
	q->state = REQ_WIRE;
	q->call = http_send(q->r->http, &h);
	if (q->s.metered) {
		q->s.place->store->inflight++;
		rate_begin(q->r->rate, &q->watch, q->call, req_sends(q));
	}
}

void
req_try(struct req *q)
{
	const struct place *p = q->s.place;
	char *url, *host, *path, *signature[SIGN_HEADERS] = { NULL };
	const char *lines[RK_ARRAY_LEN(((struct headers *)0)->v) +
	    SIGN_HEADERS + 3];
	struct headers h = { .n = 0 };
	size_t n = 0, own_lines;

	store_url(p->store, p->bucket, p->key, q->s.query, q->s.nquery, &url,
	    &host, &path);
	collect_headers(q, &h);
	sign(q, host, path, &h, signature);
	for (size_t i = 0; i < h.n; i++)
		lines[n++] = xasprintf("%s: %s", h.v[i].name, h.v[i].value);
	own_lines = n;
	for (size_t i = 0; i < SIGN_HEADERS && signature[i] != NULL; i++)
		lines[n++] = signature[i];
	/* What libcurl says of its own accord would not be signed. */
	if (!has_header(&h, "Content-Type"))
		lines[n++] = "Content-Type:";
	q->expects = !p->store->no_expect;
	if (!q->expects)
		lines[n++] = "Expect:";
	lines[n] = NULL;
	put_on_wire(q, url, lines);
	for (size_t i = 0; i < own_lines; i++)
		free((void *)(uintptr_t)lines[i]);
	for (size_t i = 0; i < SIGN_HEADERS; i++) {
		if (signature[i] != NULL)
			rk_wipe(signature[i], strlen(signature[i]));
		free(signature[i]);
	}
	free(url);
	free(host);
	free(path);
}
