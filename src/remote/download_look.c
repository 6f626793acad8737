/* The length and ETag of an object, before its bytes: HEAD; one byte where a
 * server has no HEAD; over the redirects of plain https servers. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "download.h"

#define REDIRECTS 5

/* "https://host" of a URL. */
static size_t
origin(const char *url)
{
	const char *host = strstr(url, "://");

	if (host == NULL)
		return 0;
	return (size_t)(host - url) + 3 + strcspn(host + 3, "/?#");
}

/* Where an answer sends us, a new string; NULL: nowhere that we would go. */
static char *
target(const char *url, const char *to)
{
	size_t n = origin(url);

	if (to == NULL || strlen(to) > 8192)
		return NULL;
	if (strncasecmp(to, "https://", 8) == 0)
		return xstrdup(to);
	if (strncmp(to, "//", 2) == 0)
		return xasprintf("https:%s", to);
	if (to[0] == '/' && n > 0)
		return xasprintf("%.*s%s", (int)n, url, to);
	return NULL;
}

static bool
is_redirect(const struct download *d, const struct http_answer *a)
{
	if (d->op.place.store->kind != STORE_HTTPS || a == NULL)
		return false;
	return a->status == 301 || a->status == 302 || a->status == 303 ||
	    a->status == 307 || a->status == 308;
}

/* Another host may have another CA.  The digest that was asked for stays. */
static bool
move(struct download *d, char *to)
{
	struct place p;

	to[strcspn(to, "#")] = '\0';
	if (place_of(d->op.r, to, &p, NULL) != RK_OK)
		return false;
	must(p.sha256 == NULL);
	p.sha256 = d->op.place.sha256;
	d->op.place.sha256 = NULL;
	place_fini(&d->op.place);
	d->op.place = p;
	return true;
}

static void
follow(struct download *d, const struct http_answer *a)
{
	char *to = target(d->op.place.key, http_header(a, "Location"));

	if (to == NULL || ++d->redirects > REDIRECTS || !move(d, to))
		download_fail(d, REMOTE_REFUSED, RK_OK, "it answers %d and "
		    "leads nowhere that could be gone to", a->status);
	else
		download_look(d);
	free(to);
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
	if (is_redirect(d, q->a)) {
		follow(d, q->a);
		return;
	}
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
	if (is_redirect(d, q->a)) {
		follow(d, q->a);
		return;
	}
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
