/*
 * One request to a store, tried until it is answered.
 *
 *	        timer                 creds_fn              http
 *	 WAIT ─────────▶ KEYS ───────────────────▶ WIRE ─────────▶ answered
 *	  ▲                                                            │
 *	  └──── a fault that passes, and tries and time are left ──────┘
 *
 * Every try begins from the loop's timer, so that nothing is answered from
 * within req_send().  A HEAD that was refused without a word is asked again as
 * a GET of one byte, whose answer has the reason: a "probe".
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "impl.h"

#define NO_PROGRESS_MS (10 * 60 * 1000)
#define TRIES          10
#define STALL_MS       (30 * 1000)
#define STALL_BYTES    256
#define COMPLETE_MS    (15 * 60 * 1000)
#define DAMAGED_MAX    2
#define GROW_AFTER     20
#define OWNED          96

struct req {
	unsigned tag;
	enum { REQ_WAIT, REQ_KEYS, REQ_WIRE } state;
	struct remote *r;
	struct req_spec s;              /* strings are in owned */
	char *owned[OWNED];
	size_t nowned;
	struct loop_timer *timer;
	struct http_call *call;
	struct rate_watch watch;
	struct cred *cred;              /* of the last try */
	char payload[RK_SHA256_HEX];
	int64_t deadline_ms;
	int tries, transport, damaged;
	bool clocked, refreshed, moved, ambiguous;
	bool probe, probed;
};

/* --- copying ------------------------------------------------------------------- */

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
 * all, else for Content-MD5, so that the store can see that they came whole. */
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
	} else if (q->s.body_len > 0 && q->s.content_md5 == NULL) {
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

/* --- the end ---------------------------------------------------------------------- */

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
	if (res->message[0] != '\0')
		sb_addf(&b, ": %s", res->message);
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

static void
finish(struct req *q, struct req_result *res)
{
	char *error = res->fault != F_NONE ? sentence(q, res) : NULL;

	res->error = error != NULL ? error : "";
	res->tries = q->tries;
	res->ambiguous = q->ambiguous;
	if (res->fault != F_NONE)
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
	finish(q, &res);
}

/* --- after an answer ---------------------------------------------------------------- */

static void
try_again(struct req *q, const struct http_answer *a, int64_t wait_ms)
{
	if (q->s.again != NULL && a != NULL && !q->probe)
		q->s.again(q->s.ctx, a, &q->s);
	q->state = REQ_WAIT;
	loop_timer_at(q->timer, mono_ms() + wait_ms);
}

/* Our clock is wrong by what their Date says.  False: it does not help. */
static bool
set_clock(struct req *q, const struct http_answer *a)
{
	struct rstore *st = q->s.place->store;
	const char *date = http_header(a, "date");
	int64_t at;

	if (q->clocked || date == NULL || !rk_time_parse(date, &at))
		return false;
	q->clocked = true;
	st->skew_ms = at - now_ms();
	log_warn("remote: the clock of %s is %+lld s from ours; requests are "
	    "signed for theirs", st->host, (long long)(st->skew_ms / 1000));
	return true;
}

static bool
change_keys(struct req *q)
{
	struct rstore *st = q->s.place->store;

	if (q->refreshed || q->cred == NULL)
		return false;
	q->refreshed = true;
	log_info("remote: %s says that our credentials have expired; asking "
	    "for others", st->host);
	creds_expired(st->creds, q->cred);
	return true;
}

/* Some stores do not say that temporary keys have expired, only no. */
static bool
keys_are_old(const struct req *q, const struct req_result *res)
{
	const struct cred *c = q->cred;

	if (c == NULL || res->fault != F_DENIED || res->a->status != 403)
		return false;
	if (c->expires_ms != 0 && now_ms() >= c->expires_ms)
		return true;
	return c->token[0] != '\0' &&
	    q->s.place->store->kind == STORE_OSS &&
	    strcmp(res->code, "InvalidAccessKeyId") == 0;
}

static bool
change_region(struct req *q, const struct req_result *res)
{
	const struct place *p = q->s.place;
	char region[64];

	if (q->moved || p->store->kind != STORE_S3 ||
	    !fault_region(res->a, res->code, region, sizeof(region)) ||
	    strcmp(region, store_region(p->store, p->bucket)) == 0)
		return false;
	q->moved = true;
	store_learn_region(p->store, p->bucket, region);
	return true;
}

static bool
send_again(struct req *q)
{
	return q->s.body_fd < 0 && q->damaged++ < DAMAGED_MAX;
}

/* What can be put right at once. */
static bool
put_right(struct req *q, const struct req_result *res)
{
	if (change_region(q, res))
		return true;
	switch (res->fault) {
	case F_CLOCK:
		return set_clock(q, res->a);
	case F_TOKEN:
		return change_keys(q);
	case F_INTEGRITY:
		return send_again(q);
	case F_DENIED:
		return keys_are_old(q, res) && change_keys(q);
	default:
		return false;
	}
}

static bool
passes(enum fault f)
{
	return f == F_THROTTLE || f == F_SERVER || f == F_TRANSPORT ||
	    f == F_CONFLICT;
}

/* May it have had its effect, although we were not told? */
static bool
may_have_done_it(const struct req_result *res)
{
	if (res->fault == F_SERVER)
		return true;
	if (res->fault == F_THROTTLE)
		return strcmp(res->code, "SlowDown") != 0;
	return res->fault == F_TRANSPORT && res->a->end != HTTP_NO_HOST &&
	    res->a->end != HTTP_NO_CONNECTION && res->a->end != HTTP_NO_TLS;
}

static void
learn_window(struct req *q, enum fault f)
{
	struct rstore *st = q->s.place->store;

	if (f == F_THROTTLE) {
		q->r->totals.throttled++;
		st->window = RK_MAX(st->window / 2, 1);
		st->good = 0;
	} else if (f == F_NONE && ++st->good >= GROW_AFTER) {
		st->window = RK_MIN(st->window + 1, WINDOW_MAX);
		st->good = 0;
	}
}

static bool
wants_probe(const struct req *q, const struct req_result *res)
{
	return !q->probed && strcmp(q->s.method, "HEAD") == 0 &&
	    q->s.place->store->kind != STORE_HTTPS && res->code[0] == '\0' &&
	    res->a->end == HTTP_ANSWERED &&
	    (res->a->status == 400 || res->a->status == 403);
}

static int
most_tries(const struct req *q)
{
	return q->s.patience.tries > 0 ? q->s.patience.tries : TRIES;
}

static void
judge(struct req *q, struct req_result *res)
{
	bool probe = q->probe;
	int64_t wait;

	q->probe = false;
	if (wants_probe(q, res)) {
		q->probe = q->probed = true;
		try_again(q, res->a, 0);
		return;
	}
	if (probe && (res->fault == F_NONE || res->a->status == 416))
		res->fault = F_SERVER;          /* then HEAD was wrong */
	if (res->fault == F_NONE) {
		finish(q, res);
		return;
	}
	q->ambiguous |= may_have_done_it(res);
	if (put_right(q, res)) {
		try_again(q, res->a, 0);
		return;
	}
	if (res->fault == F_TRANSPORT)
		q->transport++;
	wait = fault_wait_ms(res->fault, q->tries, res->a);
	if (!passes(res->fault) || q->tries >= most_tries(q) ||
	    mono_ms() + wait >= q->deadline_ms) {
		finish(q, res);
		return;
	}
	log_debug("remote: %s %s: %s %s; again in %lld ms", q->s.method,
	    q->s.place->key, res->code, res->message, (long long)wait);
	try_again(q, res->a, wait);
}

static bool
sends(const struct req *q)
{
	return q->s.body_len > 0 || q->s.body_fd >= 0;
}

static void
leave_wire(struct req *q, uint64_t bytes)
{
	q->call = NULL;
	if (!q->s.metered)
		return;
	rate_end(&q->watch, bytes);
	q->s.place->store->inflight--;
}

/* What the body of a good answer may be: objects are anything. */
static enum fault_body
body_kind(const struct req *q)
{
	if (q->s.complete)
		return BODY_COMPLETED;
	return q->s.nquery == 0 && strcmp(q->s.method, "GET") == 0 ?
	    BODY_OBJECT : BODY_ANSWER;
}

static void
on_answer(void *ctx, const struct http_answer *a)
{
	struct req *q = ctx;
	const struct rstore *st;
	struct req_result res = { .a = a };
	bool get = strcmp(q->s.method, "GET") == 0 ||
	    strcmp(q->s.method, "HEAD") == 0;

	must_be(q, REQ_TAG);
	st = q->s.place->store;
	leave_wire(q, sends(q) ? a->sent : a->sunk);
	q->r->totals.sent += a->sent;
	q->r->totals.received += a->sunk + a->len;
	if (q->s.patience.deadline_ms == 0 && a->sent + a->sunk > 0)
		q->deadline_ms = mono_ms() + NO_PROGRESS_MS;
	res.fault = fault_of(st, a, !q->probe &&
	    strcmp(q->s.method, "HEAD") == 0,
	    st->kind == STORE_HTTPS ? BODY_OBJECT : body_kind(q), &res);
	if (res.fault == F_CHANGED && !get)
		res.fault = F_EXISTS;
	learn_window(q, res.fault);
	judge(q, &res);
}

/* --- a try --------------------------------------------------------------------------- */

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
	int64_t left = RK_MAX(q->deadline_ms - mono_ms(), 1);
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
		.done = on_answer, .ctx = q };

	set_times(q, &h);
	q->r->totals.requests++;
	if (q->tries++ > 0)
		q->r->totals.retries++;
	q->state = REQ_WIRE;
	q->call = http_send(q->r->http, &h);
	if (q->s.metered) {
		q->s.place->store->inflight++;
		rate_begin(q->r->rate, &q->watch, q->call, sends(q));
	}
}

static void
send_try(struct req *q)
{
	const struct place *p = q->s.place;
	char *url, *host, *path, *signature[SIGN_HEADERS] = { NULL };
	const char *lines[RK_ARRAY_LEN(((struct headers *)0)->v) +
	    SIGN_HEADERS + 2];
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

/* --- keys ------------------------------------------------------------------------------ */

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
		char *text = xasprintf("no credentials: %s", why);
		finish_bare(q, F_DENIED, text);
		free(text);
		return;
	}
	send_try(q);
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
	if (mono_ms() >= q->deadline_ms) {
		finish_bare(q, F_TRANSPORT, "the deadline has passed");
		return;
	}
	if (creds == NULL) {
		send_try(q);
		return;
	}
	q->state = REQ_KEYS;
	loop_timer_at(q->timer, q->deadline_ms);
	creds_get(creds, on_keys, q);
}

/* --- the face ---------------------------------------------------------------------------- */

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
	q->deadline_ms = s->patience.deadline_ms != 0 ?
	    s->patience.deadline_ms : mono_ms() + NO_PROGRESS_MS;
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
		leave_wire(q, sends(q) ? sent : sunk);
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
