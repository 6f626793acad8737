/*
 * What comes of an answer: an end, another try at once with what was wrong put
 * right, or another try after a while.
 *
 * Each thing is put right once: the clock, the keys, the region, Expect; wrong
 * bytes twice.  A HEAD that was refused without a word is asked again as a GET
 * of one byte, whose answer has the reason: a "probe".
 */
#include <stdlib.h>
#include <string.h>

#include "req.h"

#define TRIES       10
#define DAMAGED_MAX 2
#define GROW_AFTER  20
#define SAME_CLOCK_MS 60000

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
	int64_t at, skew;

	if (q->clocked || date == NULL || !rk_time_parse(date, &at))
		return false;
	q->clocked = true;
	skew = at - now_ms();
	/* Others on the wire may have met the same; it is said once. */
	if (llabs(skew - st->skew_ms) > SAME_CLOCK_MS)
		log_warn("remote: the clock of %s is %+lld s from ours; "
		    "requests are signed for theirs", st->host,
		    (long long)(skew / 1000));
	st->skew_ms = skew;
	return true;
}

static bool
change_keys(struct req *q)
{
	struct rstore *st = q->s.place->store;

	if (q->refreshed || q->cred == NULL)
		return false;
	q->refreshed = true;
	if (st->told != q->cred)
		log_info("remote: %s says that our credentials have expired; "
		    "asking for others", st->host);
	st->told = q->cred;
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

/* A server, or a proxy before it, that knows no Expect: 100-continue. */
static bool
drop_expect(struct req *q, const struct req_result *res)
{
	if (!q->expects || res->a->end != HTTP_ANSWERED ||
	    res->a->status != 417)
		return false;
	q->s.place->store->no_expect = true;
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
	if (change_region(q, res) || drop_expect(q, res))
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
	    (res->a->status == 400 || res->a->status == 403 ||
	    res->a->status == 404);
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
		req_finish(q, res);
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
	    loop_seen_ms(q->r->loop) + wait >= q->deadline_ms) {
		req_finish(q, res);
		return;
	}
	/* A plain address may have a secret behind its question mark. */
	log_debug("remote: %s %.*s: %s %s; again in %lld ms", q->s.method,
	    (int)strcspn(q->s.place->key, "?"), q->s.place->key, res->code,
	    res->message, (long long)wait);
	try_again(q, res->a, wait);
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

void
req_answered(void *ctx, const struct http_answer *a)
{
	struct req *q = ctx;
	const struct rstore *st;
	struct req_result res = { .a = a };
	bool get = strcmp(q->s.method, "GET") == 0 ||
	    strcmp(q->s.method, "HEAD") == 0;

	must_be(q, REQ_TAG);
	st = q->s.place->store;
	req_leave_wire(q, req_sends(q) ? a->sent : a->sunk);
	q->r->totals.sent += a->sent;
	q->r->totals.received += a->sunk + a->len;
	if (q->s.patience.deadline_ms == 0 && a->sent + a->sunk > 0)
		q->deadline_ms = loop_seen_ms(q->r->loop) + NO_PROGRESS_MS;
	res.fault = fault_of(st, a, !q->probe &&
	    strcmp(q->s.method, "HEAD") == 0,
	    st->kind == STORE_HTTPS ? BODY_OBJECT : body_kind(q), &res);
	if (res.fault == F_CHANGED && !get)
		res.fault = F_EXISTS;
	q->ambiguous |= a->resent;
	learn_window(q, res.fault);
	judge(q, &res);
}
