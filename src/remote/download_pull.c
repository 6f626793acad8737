/* The bytes of a download: ranges in parallel, each gone on with where it
 * broke; or, from a server that knows no ranges, all in one answer. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "download.h"

#define WRONG_MAX 2

/* --- what an answer brought --------------------------------------------- */

enum brought {
	BROUGHT_SOME,           /* bytes that belong at p->at */
	BROUGHT_NONE,
	BROUGHT_ALL,            /* it answers with the whole object: 200 */
	BROUGHT_WRONG,          /* another range */
	BROUGHT_OTHER           /* of another object */
};

static enum brought
brought(const struct pull *p, const struct http_answer *a)
{
	const struct download *d = p->d;
	uint64_t first, last, total;
	struct object o;

	if (a == NULL)
		return BROUGHT_NONE;
	if (a->status == 200)
		return BROUGHT_ALL;
	if (a->status != 206)
		return BROUGHT_NONE;
	object_read(&o, a);
	if (d->etag[0] != '\0' && o.etag[0] != '\0' &&
	    strcasecmp(d->etag, o.etag) != 0)
		return BROUGHT_OTHER;
	if (!content_range_read(http_header(a, "Content-Range"), &first, &last,
	    &total) || first != p->at || last >= p->end)
		return BROUGHT_WRONG;
	if (total != UINT64_MAX && total != d->size)
		return BROUGHT_OTHER;
	return a->sunk > 0 ? BROUGHT_SOME : BROUGHT_NONE;
}

static void
advance(struct pull *p, const struct http_answer *a)
{
	p->at += RK_MIN(a->sunk, p->end - p->at);
	p->progress = true;
}

static void
aim(struct pull *p, struct req_spec *s)
{
	snprintf(p->range, sizeof(p->range), "bytes=%llu-%llu",
	    (unsigned long long)p->at, (unsigned long long)p->end - 1);
	s->sink_at = p->at;
	s->sink_size = p->end - p->at;
	for (size_t i = 0; i < s->nheaders; i++)
		if (strcmp(s->headers[i].name, "Range") == 0)
			s->headers[i].value = p->range;
}

/* A request is about to be tried again: only for what is missing yet.  Of a
 * range that is there to its last byte, and broke all the same, that byte. */
static void
again(void *ctx, const struct http_answer *last, struct req_spec *s)
{
	struct pull *p = ctx;

	if (brought(p, last) == BROUGHT_SOME)
		advance(p, last);
	if (p->at == p->end)
		p->at--;
	aim(p, s);
}

/* --- ranges ------------------------------------------------------------- */

static void pull_send(struct pull *p);

/* What came so far is of no use. */
static void
leave(struct download *d)
{
	pulls_drop(d);
	behind_drop(d);
	ranges_fini(&d->done);
	ranges_fini(&d->taken);
	d->pumping = false;
}

/* Some servers answer HEAD themselves, and send who wants the bytes on. */
static bool
sent_on(struct download *d, const struct req_result *q)
{
	if (!redirect_is(&d->op.place, q->a))
		return false;
	leave(d);
	return download_followed(d, q->a);
}

static void
to_stream(struct download *d)
{
	/* Of a plain address the bucket is the host; its key may end in a
	 * secret. */
	log_info("remote: %s answers without ranges",
	    d->op.place.store->host != NULL ? d->op.place.store->host :
	    d->op.place.bucket);
	leave(d);
	stream_begin(d);
}

static void
pull_done(struct pull *p)
{
	struct download *d = p->d;
	uint64_t at = p->begin, n = p->end - p->begin;

	d->pulling--;
	p->begin = p->at = p->end = 0;
	ranges_add(&d->done, at, n);
	pulls_pump(d);
	behind_see(d, at, n);
}

static void
wrong(struct pull *p)
{
	if (++p->wrong <= WRONG_MAX) {
		pull_send(p);
		return;
	}
	download_fail(p->d, REMOTE_REFUSED, RK_OK,
	    "the store answers with another range than was asked for");
}

static void
pulled(void *ctx, const struct req_result *q)
{
	struct pull *p = ctx;
	struct download *d = p->d;
	enum brought b = brought(p, q->a);

	must_be(d, DOWNLOAD_TAG);
	p->req = NULL;
	d->tries += q->tries;
	if (b == BROUGHT_SOME)
		advance(p, q->a);
	if (sent_on(d, q))
		return;
	if (b == BROUGHT_ALL)
		to_stream(d);
	else if (b == BROUGHT_OTHER || q->fault == F_CHANGED ||
	    (q->a != NULL && q->a->status == 416))
		download_fail(d, REMOTE_CHANGED, RK_OK,
		    "the object was replaced while it was fetched");
	else if (p->at == p->end && (q->fault == F_NONE ||
	    q->fault == F_TRANSPORT))
		pull_done(p);   /* an answer that breaks behind it is whole */
	else if (q->fault == F_NONE && b == BROUGHT_WRONG)
		wrong(p);
	else if (p->progress && (q->fault == F_NONE ||
	    q->fault == F_TRANSPORT))
		pull_send(p);
	else if (q->fault == F_NONE)
		wrong(p);
	else
		download_fault(d, q);
}

static void
pull_send(struct pull *p)
{
	struct download *d = p->d;
	struct req_spec s;

	p->progress = false;
	download_spec(d, &s, "GET", pulled);
	s.ctx = p;
	s.again = again;
	s.metered = true;
	s.sink_fd = d->fd;
	s.sink_status = 206;
	s.headers[s.nheaders++] = (struct sign_header){ "Range", p->range };
	if (d->quoted[0] != '\0')
		s.headers[s.nheaders++] = (struct sign_header){ "If-Match",
		    d->quoted };
	aim(p, &s);
	p->req = req_send(d->op.r, &s);
}

static size_t
room(const struct download *d)
{
	int most = RK_MIN((int)d->npulls, d->op.place.store->window);

	return (size_t)RK_MAX(most, 1);
}

void
pulls_pump(struct download *d)
{
	struct remote_range gap;

	if (!d->pumping || d->held)
		return;
	if (d->pulls == NULL) {
		d->npulls = (size_t)RK_MAX(d->op.r->c.parts, 1);
		d->pulls = xcalloc(d->npulls, sizeof(*d->pulls));
	}
	for (size_t i = 0; i < d->npulls && d->pulling < room(d); i++) {
		struct pull *p = &d->pulls[i];

		if (p->end != 0)
			continue;
		if (!ranges_gap(&d->taken, 0, d->size, d->range_size, &gap))
			return;
		*p = (struct pull){ .d = d, .begin = gap.at, .at = gap.at,
		    .end = gap.at + gap.n };
		ranges_add(&d->taken, gap.at, gap.n);
		d->pulling++;
		pull_send(p);
	}
}

void
pulls_drop(struct download *d)
{
	for (size_t i = 0; i < d->npulls; i++)
		req_cancel(&d->pulls[i].req);
	free(d->pulls);
	d->pulls = NULL;
	d->npulls = d->pulling = 0;
}

uint64_t
pulls_moving(const struct download *d)
{
	uint64_t sum = d->streamed, sent, sunk;

	for (size_t i = 0; i < d->npulls; i++) {
		const struct pull *p = &d->pulls[i];

		sum += p->at - p->begin;
		if (p->req == NULL)
			continue;
		req_moved(p->req, &sent, &sunk);
		sum += RK_MIN(sunk, p->end - p->at);
	}
	if (d->req == NULL)
		return sum;
	req_moved(d->req, &sent, &sunk);
	return sum + sunk;
}

/* --- all in one --------------------------------------------------------- */

#define STREAM_MAX (1ull << 40)         /* of a length that nobody says */

static void
streamed(void *ctx, const struct req_result *q)
{
	struct download *d = ctx;

	must_be(d, DOWNLOAD_TAG);
	d->req = NULL;
	d->tries += q->tries;
	if (sent_on(d, q))
		return;
	if (q->fault != F_NONE) {
		download_fault(d, q);
		return;
	}
	if (q->a->status != 200 ||
	    (d->sized_known && q->a->sunk != d->size)) {
		download_fail(d, REMOTE_REFUSED, RK_OK,
		    "the store answered with %llu bytes and status %d, "
		    "not with all", (unsigned long long)q->a->sunk,
		    q->a->status);
		return;
	}
	d->size = q->a->sunk;
	ranges_add(&d->done, 0, d->size);
	behind_begin(d);
	behind_see(d, 0, d->size);
}

void
stream_begin(struct download *d)
{
	struct req_spec s;
	uint64_t most = d->max > 0 ? d->max : STREAM_MAX;

	download_spec(d, &s, "GET", streamed);
	s.metered = true;
	s.sink_fd = d->fd;
	s.sink_status = 200;
	s.sink_size = d->sized_known ? d->size : most;
	if (d->quoted[0] != '\0')
		s.headers[s.nheaders++] = (struct sign_header){ "If-Match",
		    d->quoted };
	d->req = req_send(d->op.r, &s);
}
