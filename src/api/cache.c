/*
 * Answers kept until something changes.
 *
 * A dashboard asks for the same page again and again, and between two changes
 * the answer is the same bytes: libmicrohttpd can send one response to many.
 * The table is direct-mapped by address; one counter, which grows with every
 * change that a GET could show, makes all of it old at once.  Bounded: an
 * answer over CACHE_MAX is not kept, and more than CACHE_TOTAL empties it.
 */
#include "impl.h"

#include <string.h>

#define CACHE_MAX   ((size_t)128 << 10)
#define CACHE_TOTAL ((size_t)2 << 20)

static struct cache_entry *
cache_slot(struct cache *c, const char *uri)
{
	uint64_t h = 14695981039346656037u;     /* FNV-1a */

	for (const char *s = uri; *s; s++)
		h = (h ^ (unsigned char)*s) * 1099511628211u;
	return &c->slot[(h ^ h >> 32) % CACHE_SLOTS];
}

static void
cache_drop(struct cache *c, struct cache_entry *e)
{
	if (e->resp == NULL)
		return;
	MHD_destroy_response(e->resp);
	free(e->uri);
	c->bytes -= e->size;
	*e = (struct cache_entry){ 0 };
}

void
cache_clear(struct cache *c)
{
	for (size_t i = 0; i < CACHE_SLOTS; i++)
		cache_drop(c, &c->slot[i]);
}

struct cache_entry *
cache_find(struct api *a, const char *uri)
{
	struct cache_entry *e;

	if (a->cache.change != a->change)
		return NULL;
	e = cache_slot(&a->cache, uri);
	return e->resp != NULL && strcmp(e->uri, uri) == 0 ? e : NULL;
}

/* Keep the response of a request whose answer is complete; true: it is ours. */
bool
cache_keep(struct req *q, size_t size)
{
	struct cache *c = &q->api->cache;
	struct cache_entry *e;

	if (size > CACHE_MAX)
		return false;
	if (c->change != q->api->change || c->bytes + size > CACHE_TOTAL) {
		cache_clear(c);
		c->change = q->api->change;
	}
	e = cache_slot(c, q->uri);
	cache_drop(c, e);
	/* libmicrohttpd counts references, but gives us no way to take one but
	 * to queue; so the entry owns it and the request borrows. */
	e->resp = q->resp;
	e->uri = xstrdup(q->uri);
	e->route = q->route;
	e->size = size + strlen(q->uri) + 512;
	memcpy(e->etag, q->etag, sizeof(e->etag));
	c->bytes += e->size;
	return true;
}
