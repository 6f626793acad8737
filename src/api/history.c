/* Routes of what has happened: events, attempts. */
#include "impl.h"

#include <string.h>

#define PAGE_DEFAULT 50
#define PAGE_MAX     500

struct attempt_page {
	struct req *q;
	int limit, n;
	bool more;
	int64_t last;
};

static bool
page_attempt(void *ctx, const struct attempt_row *t)
{
	struct attempt_page *p = ctx;
	struct strbuf *b = &p->q->out;

	if (p->n == p->limit) {
		p->more = true;
		return false;
	}
	if (p->n++ > 0)
		sb_adds(b, ",\n");
	p->last = t->n;
	sb_addf(b, "{\"attempt\":%lld,\"pid\":%lld", (long long)t->n,
	    (long long)t->pid);
	put_key(b, "started");
	put_time(b, t->started_ms);
	put_key(b, "running");
	put_time(b, t->hello_ms);
	put_key(b, "ended");
	put_time(b, t->ended_ms);
	put_key(b, "from");
	put_or_null(b, t->from);
	sb_addf(b, ",\"branch\":%lld,\"start_step\":%lld,\"end_step\":%lld",
	    (long long)t->branch, (long long)t->start_step,
	    (long long)t->end_step);
	put_key(b, "outcome");
	put_or_null(b, t->outcome);
	put_key(b, "message");
	put_or_null(b, t->message);
	sb_addc(b, '}');
	return true;
}

void
h_attempts(struct req *q)
{
	struct attempt_page p = { .q = q };
	struct job_row r;
	int64_t after;
	enum rk_err rc;

	if (!req_job(q, &r))
		return;
	store_job_fini(&r);
	after = query_after(&q->query, 0);
	p.limit = (int)query_int(&q->query, "limit", PAGE_DEFAULT, 1, PAGE_MAX);
	if (req_refused(q, P_INVALID_QUERY))
		return;
	sb_adds(&q->out, "{\"attempts\":[");
	p.last = after;
	rc = store_attempts(q->api->store, q->arg[0], after, p.limit + 1,
	    page_attempt, &p);
	if (rc != RK_OK) {
		reply_err(q, rc, NULL, "page");
		return;
	}
	put_next(&q->out, p.last, p.more);
	reply_json(q, 200);
}

/* --- events -------------------------------------------------------------- */

void
event_write(struct strbuf *b, const struct event_row *e)
{
	sb_addf(b, "{\"seq\":%lld", (long long)e->seq);
	put_key(b, "time");
	put_time(b, e->time_ms);
	put_key(b, "job");
	put_or_null(b, e->job);
	put_key(b, "kind");
	put_str(b, e->kind);
	put_key(b, "message");
	put_str(b, e->message);
	put_key(b, "data");
	put_raw(b, e->data, "null");
	sb_addc(b, '}');
}

struct event_page {
	struct req *q;
	int limit, n;
	bool more;
	int64_t last;
};

static bool
page_event(void *ctx, const struct event_row *e)
{
	struct event_page *p = ctx;

	if (p->n == p->limit) {
		p->more = true;
		return false;
	}
	if (p->n++ > 0)
		sb_adds(&p->q->out, ",\n");
	p->last = e->seq;
	event_write(&p->q->out, e);
	return true;
}

void
h_events(struct req *q)
{
	struct event_page p = { .q = q };
	struct job_row r;
	bool follow;
	int64_t after;
	enum rk_err rc;

	if (!req_job(q, &r))
		return;
	store_job_fini(&r);
	follow = req_follows(q);
	after = query_after(&q->query, 0);
	p.limit = (int)query_int(&q->query, "limit", PAGE_DEFAULT, 1, PAGE_MAX);
	if (req_refused(q, P_INVALID_QUERY))
		return;
	if (follow) {
		stream_reply(q, &(struct stream_want){ .kind = STREAM_EVENTS,
		    .job = q->arg[0], .after = stream_after(q, after) });
		return;
	}
	sb_adds(&q->out, "{\"events\":[");
	p.last = after;
	rc = store_events(q->api->store, q->arg[0], after, p.limit + 1,
	    page_event, &p);
	if (rc != RK_OK) {
		reply_err(q, rc, NULL, "page");
		return;
	}
	put_next(&q->out, p.last, p.more);
	reply_json(q, 200);
}

/* All jobs' events; only what comes from now on, unless the client says where
 * it was. */
void
h_all_events(struct req *q)
{
	int64_t after = query_after(&q->query, store_last_seq(q->api->store));

	if (req_refused(q, P_INVALID_QUERY))
		return;
	stream_reply(q, &(struct stream_want){ .kind = STREAM_EVENTS,
	    .job = "", .after = stream_after(q, after) });
}
