/* From an address to its store, bucket and key, and on to a URL. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "impl.h"

#define KEY_MAX_BYTES 1024

/* --- taking an address apart ---------------------------------------------- */

/* A bucket's name becomes part of a host name or of a path. */
static bool
bucket_ok(const char *s)
{
	size_t n = strlen(s);

	if (n == 0 || n > 63 || !isalnum((unsigned char)s[0]) ||
	    strstr(s, "..") != NULL)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!isalnum((unsigned char)s[i]) &&
		    strchr("-._", s[i]) == NULL)
			return false;
	}
	return true;
}

/* A match's end is the end of a bucket's or of a folder's name. */
static bool
matches(const struct rstore *s, const char *uri)
{
	size_t n = strlen(s->match);

	return strncmp(uri, s->match, n) == 0 &&
	    (s->match[n - 1] == '/' || uri[n] == '/' || uri[n] == '\0');
}

static struct rstore *
find_store(struct remote *r, const char *uri)
{
	for (struct rstore *s = r->stores; s != NULL; s = s->next) {
		if (matches(s, uri))
			return s;
	}
	return NULL;
}

/* "." and "..", also percent-encoded: a part that may be taken for another. */
static bool
has_dots(const char *path)
{
	for (const char *p = path; p != NULL; p = strchr(p, '/')) {
		int dots = 0;
		p += *p == '/';
		const char *at = p;
		for (;; dots++) {
			if (*at == '.')
				at++;
			else if (strncasecmp(at, "%2e", 3) == 0)
				at += 3;
			else
				break;
		}
		if ((*at == '/' || *at == '\0' || *at == '?') && dots > 0 &&
		    dots < 3)
			return true;
	}
	return false;
}

bool
remote_named(struct remote *r, const char *uri, const char *bucket)
{
	struct rk_part part;
	struct rk_uri u;
	bool yes = false;

	if (rk_part_parse(&part, uri, NULL) != RK_OK)
		return false;
	if (rk_uri_parse(&u, part.bare, NULL) == RK_OK) {
		const bool web = strcmp(u.scheme, "http") == 0;
		char *plain = u.kind != RK_URI_OTHER ? NULL : xasprintf(
		    "%s://%s/%s", web ? "https" : u.scheme, u.host, u.path);
		const struct rstore *s = plain != NULL ?
		    find_store(r, plain) : NULL;
		yes = plain != NULL && !has_dots(u.path) &&
		    ((s != NULL && s->named) || (bucket != NULL &&
		    strncmp(plain, bucket, strlen(bucket)) == 0));
		free(plain);
		rk_uri_fini(&u);
	}
	rk_part_fini(&part);
	return yes;
}

bool
remote_has_stores(const struct remote *r)
{
	for (const struct rstore *s = r->stores; s != NULL; s = s->next) {
		if (s->named)
			return true;
	}
	return false;
}

static enum rk_err
place_bucket(struct remote *r, const char *uri, struct place *p,
    struct rk_uri *u, struct rk_why *why)
{
	char *plain = xasprintf("%s://%s/%s", u->scheme, u->host, u->path);

	p->store = find_store(r, plain);
	free(plain);
	must(p->store != NULL);
	if (p->store->missing != NULL)
		return rk_refuse(why, "\"%s\" has no store: %s in the "
		    "configuration's `stores` or in the environment", uri,
		    p->store->missing);
	if (!bucket_ok(u->host))
		return rk_refuse(why, "\"%s\": \"%s\" is no bucket's name",
		    uri, u->host);
	if (strlen(u->path) > KEY_MAX_BYTES)
		return rk_refuse(why, "\"%s\" has a key of more than %d bytes",
		    uri, KEY_MAX_BYTES);
	p->bucket = xstrdup(u->host);
	p->key = xstrdup(u->path);
	return RK_OK;
}

/* A plain URL keeps its path and query as they are written. */
static enum rk_err
place_https(struct remote *r, const char *uri, struct place *p,
    const struct rk_uri *u, struct rk_why *why)
{
	char *match = xasprintf("https://%s/%s", u->host, u->path);

	p->store = find_store(r, match);
	free(match);
	must(p->store != NULL);
	if (strchr(u->host, '@') != NULL)
		return rk_refuse(why, "has a name or password before its host; "
		    "such an address would be written into logs");
	for (const char *c = uri; *c != '\0'; c++) {
		if (*c == ' ' || (unsigned char)*c >= 0x80 || *c == '#')
			return rk_refuse(why, "has a blank, a # or a character "
			    "that is not ASCII: percent-encode it");
	}
	p->bucket = xstrndup(u->host, strcspn(u->host, "?"));
	p->key = xstrdup(uri);
	return RK_OK;
}

static enum rk_err
place_apart(struct remote *r, const char *uri, struct place *p,
    struct rk_uri *u, struct rk_why *why)
{
	if (u->kind == RK_URI_FILE) {
		if (u->path[0] != '/')
			return rk_refuse(why, "\"%s\" is not an absolute path",
			    uri);
		p->store = find_store(r, "file://");
		p->bucket = xstrdup("");
		p->key = xstrdup(u->path);
		return RK_OK;
	}
	if (u->kind == RK_URI_OTHER && (strcmp(u->scheme, "s3") == 0 ||
	    strcmp(u->scheme, "oss") == 0))
		return place_bucket(r, uri, p, u, why);
	if (u->kind == RK_URI_OTHER && (strcmp(u->scheme, "https") == 0 ||
	    strcmp(u->scheme, "http") == 0))
		return place_https(r, uri, p, u, why);
	return rk_refuse(why, "\"%s\" is not the address of a store: want "
	    "s3://, oss://, https:// or file:///", uri);
}

enum rk_err
place_of(struct remote *r, const char *uri, struct place *p, struct rk_why *why)
{
	struct rk_uri u = {0};
	struct rk_part part;

	*p = (struct place){0};
	enum rk_err rc = rk_part_parse(&part, uri, why);
	if (rc != RK_OK)
		return rc;
	/* An archive comes as a whole: the digest of a file in it is for who
	 * takes it out. */
	if (part.member == NULL && part.sha256[0] != '\0')
		p->sha256 = xstrdup(part.sha256);
	rc = rk_uri_parse(&u, part.bare, why);
	if (rc == RK_OK)
		rc = place_apart(r, part.bare, p, &u, why);
	if (rc != RK_OK)
		place_fini(p);
	rk_uri_fini(&u);
	rk_part_fini(&part);
	return rc;
}

void
place_fini(struct place *p)
{
	free(p->bucket);
	free(p->key);
	free(p->sha256);
	*p = (struct place){0};
}

/* --- regions that are learnt ---------------------------------------------- */

const char *
store_region(const struct rstore *s, const char *bucket)
{
	for (const struct bucket_region *b = s->regions; b != NULL;
	    b = b->next) {
		if (strcmp(b->bucket, bucket) == 0)
			return b->region;
	}
	return s->region != NULL ? s->region : "";
}

void
store_learn_region(struct rstore *s, const char *bucket, const char *region)
{
	struct bucket_region *b;

	for (b = s->regions; b != NULL && strcmp(b->bucket, bucket) != 0;)
		b = b->next;
	if (b == NULL) {
		b = xcalloc(1, sizeof(*b));
		b->bucket = xstrdup(bucket);
		b->next = s->regions;
		s->regions = b;
	}
	free(b->region);
	b->region = xstrdup(region);
	log_info("remote: bucket %s is in region %s, not %s", bucket, region,
	    s->region != NULL ? s->region : "");
}

/* The endpoint's host; AWS's own have the region in their name. */
static char *
host_of(const struct rstore *s, const char *bucket)
{
	const char *region = store_region(s, bucket), *at;

	if (s->aws && s->region != NULL && strcmp(region, s->region) != 0 &&
	    (at = strstr(s->host, s->region)) != NULL)
		return xasprintf("%.*s%s%s", (int)(at - s->host), s->host,
		    region, at + strlen(s->region));
	return xstrdup(s->host);
}

/* --- the URL -------------------------------------------------------------- */

static void
plain_url(const char *key, char **url, char **host, char **path)
{
	const char *at = strstr(key, "://");

	must(at != NULL);
	at += 3;
	*url = xstrdup(key);
	*host = xstrndup(at, strcspn(at, "/?"));
	*path = xstrdup(at + strcspn(at, "/?"));
}

void
store_url(const struct rstore *s, const char *bucket, const char *key,
    const struct sign_query *q, size_t nq, char **url, char **host,
    char **path)
{
	struct strbuf b = {0};

	if (s->kind == STORE_HTTPS) {
		plain_url(key, url, host, path);
		return;
	}
	char *endpoint = host_of(s, bucket);
	/* A certificate's *.s3... covers no bucket with a dot in its name. */
	bool in_path = s->path_style ||
	    (!s->cname && s->aws && s->tls && strchr(bucket, '.') != NULL);
	if (in_path || s->cname)
		*host = xstrdup(endpoint);
	else
		*host = xasprintf("%s.%s", bucket, endpoint);
	sb_adds(&b, s->base);
	sb_addc(&b, '/');
	if (in_path) {
		sign_encode(&b, bucket, false);
		if (key[0] != '\0')
			sb_addc(&b, '/');
	}
	sign_encode(&b, key, true);
	*path = xstrdup(b.s);
	if (nq > 0) {
		sb_addc(&b, '?');
		sign_query_text(&b, q, nq, s->kind == STORE_S3);
	}
	*url = xasprintf("%s://%s%s", s->scheme, *host, sb_str(&b));
	free(endpoint);
	sb_fini(&b);
}
