/* The length and ETag of an object, before its bytes: HEAD; one byte where a
 * server has no HEAD; over the redirects of plain https servers. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "download.h"

bool
download_followed(struct download *d, const struct http_answer *a)
{
	char *why;
	const enum redirect to = redirect_follow(d->op.r, &d->op.place,
	    &d->hops, a, &why);

	if (to == REDIRECT_GO)
		download_look(d);
	else if (to == REDIRECT_NO)
		download_fail(d, REMOTE_REFUSED, RK_OK, "%s", why);
	free(why);
	return to != REDIRECT_NONE;
}

/* --- one byte ----------------------------------------------------------- */

static void
probed(void *ctx, const struct req_result *q)
{
	struct download *d = ctx;
	uint64_t first, last, total;
	struct object o;

	must_be(d, DOWNLOAD_TAG);
	d->req = NULL;
	d->tries += q->tries;
	if (download_followed(d, q->a))
		return;
	if (q->a == NULL || (q->a->status != 200 && q->a->status != 206 &&
	    q->a->status != 416)) {
		download_fault(d, q);
		return;
	}
	object_read(&o, q->a);
	if (q->a->status == 206) {
		o.has_size = content_range_read(http_header(q->a,
		    "Content-Range"), &first, &last, &total) &&
		    total != UINT64_MAX;
		o.size = o.has_size ? total : 0;
	} else if (q->a->status == 416) {
		/* There is no first byte. */
		o.has_size = true;
		o.size = 0;
	}
	download_go(d, &o);
}

static void
probe(struct download *d)
{
	struct req_spec s;

	download_spec(d, &s, "GET", probed);
	s.headers[s.nheaders++] = (struct sign_header){ "Range", "bytes=0-0" };
	d->req = req_send(d->op.r, &s);
}

/* --- HEAD --------------------------------------------------------------- */

static void
looked(void *ctx, const struct req_result *q)
{
	struct download *d = ctx;
	struct object o;

	must_be(d, DOWNLOAD_TAG);
	d->req = NULL;
	d->tries += q->tries;
	if (download_followed(d, q->a))
		return;
	if (q->fault == F_NONE) {
		object_read(&o, q->a);
		if (o.has_size)
			download_go(d, &o);
		else
			probe(d);
		return;
	}
	/* Some servers, and links that are signed for GET, refuse HEAD. */
	if (d->op.place.store->kind == STORE_HTTPS && q->a != NULL &&
	    (q->a->status == 400 || q->a->status == 403 ||
	    q->a->status == 405 || q->a->status == 501))
		probe(d);
	else
		download_fault(d, q);
}

void
download_look(struct download *d)
{
	struct req_spec s;

	download_spec(d, &s, "HEAD", looked);
	d->req = req_send(d->op.r, &s);
}
