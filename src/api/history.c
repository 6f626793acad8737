/* Routes of what has happened: events, attempts. */
#include "impl.h"

#include <string.h>

#define PAGE_DEFAULT 50
#define PAGE_MAX     500

/* A page of rows that only grow, by a number that only grows. */
struct page {
	struct req *q;
	int limit, n;
	bool more;
	int64_t last;           /* the number behind which the next page is */
};

/* Of which job, how many, from where; false: refused, and answered. */
static bool
page_asked(struct page *p)
{
	struct req *q = p->q;
	struct job_row r;

	if (!req_job(q, &r))
		return false;
	store_job_fini(&r);
	p->last = query_after(&q->query, 0);
	p->limit = (int)query_int(&q->query, "limit", PAGE_DEFAULT, 1, PAGE_MAX);
	return !req_refused(q, P_INVALID_QUERY);
}

/* Room for the row of this number; false: it is the one too many by which we
 * know that there are more. */
static bool
page_row(struct page *p, int64_t number)
{
	if (p->n == p->limit) {
		p->more = true;
		return false;
	}
	if (p->n++ > 0)
		sb_adds(&p->q->out, ",\n");
	p->last = number;
	return true;
}

static void
page_reply(struct page *p, enum rk_err rc)
{
	if (rc != RK_OK) {
		reply_err(p->q, rc, NULL, "page");
		return;
	}
	put_next(&p->q->out, p->last, p->more);
	reply_json(p->q, 200);
}

/* --- attempts ------------------------------------------------------------ */

static bool
page_attempt(void *ctx, const struct attempt_row *t)
{
	struct page *p = ctx;
	struct strbuf *b = &p->q->out;

	if (!page_row(p, t->n))
		return false;
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
	put_key(b, "instance");
	put_or_null(b, t->instance);
	sb_addf(b, ",\"epoch\":%lld}", (long long)t->epoch);
	return true;
}

void
h_attempts(struct req *q)
{
	struct page p = { .q = q };

	if (!page_asked(&p))
		return;
	sb_adds(&q->out, "{\"attempts\":[");
	page_reply(&p, store_attempts(q->api->store, q->arg[0], p.last,
	    p.limit + 1, page_attempt, &p));
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

static bool
page_event(void *ctx, const struct event_row *e)
{
	struct page *p = ctx;

	if (!page_row(p, e->seq))
		return false;
	event_write(&p->q->out, e);
	return true;
}

void
h_events(struct req *q)
{
	struct page p = { .q = q };
	const bool follow = req_follows(q);

	if (!page_asked(&p))
		return;
	if (follow) {
		stream_reply(q, &(struct stream_want){ .kind = STREAM_EVENTS,
		    .job = q->arg[0], .after = stream_after(q, p.last) });
		return;
	}
	sb_adds(&q->out, "{\"events\":[");
	page_reply(&p, store_events(q->api->store, q->arg[0], p.last,
	    p.limit + 1, page_event, &p));
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
