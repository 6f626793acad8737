/*
 * Redirects of plain servers: where an answer sends us, and whether we go.
 *
 * An address may be relative (RFC 3986, section 5.2).  It keeps the scheme, or
 * goes from http to https; never back.  Nothing of ours goes along: a request
 * of a plain server has neither Authorization nor a cookie, and an address with
 * a name or a password in it is not gone to.  That a name does not lead to a
 * metadata service is seen to by http, at each hop, once it is resolved.
 *
 * What stands behind an address's question mark may be a secret: no sentence
 * shows it.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "impl.h"

#define ADDRESS_MAX 8192

/* --- an address that is relative to another ------------------------------- */

/* Bytes of "scheme:" at the beginning of s, or 0. */
static size_t
scheme_length(const char *s)
{
	size_t n = 0;

	if (!isalpha((unsigned char)s[0]))
		return 0;
	while (isalnum((unsigned char)s[n]) || (s[n] != '\0' &&
	    strchr("+-.", s[n]) != NULL))
		n++;
	return s[n] == ':' ? n + 1 : 0;
}

/* Of "https://host/path?query" where the path, and where the query begins. */
static void
split(const char *url, size_t *path, size_t *query)
{
	size_t n = scheme_length(url);

	n += strncmp(url + n, "//", 2) == 0 ? 2 : 0;
	*path = n + strcspn(url + n, "/?#");
	*query = *path + strcspn(url + *path, "?#");
}

/* Append a path without its "." and "..". */
static void
add_path(struct strbuf *b, const char *p, size_t n)
{
	const size_t root = b->len;
	const char *end = p + n;

	while (p < end) {
		const char *next = memchr(p + 1, '/', (size_t)(end - p - 1));
		const size_t len = (size_t)((next != NULL ? next : end) - p);
		const bool up = len == 3 && memcmp(p, "/..", 3) == 0;

		if (up || (len == 2 && memcmp(p, "/.", 2) == 0)) {
			while (up && b->len > root && b->s[--b->len] != '/')
				;
			b->s[b->len] = '\0';
			if (next == NULL)
				sb_addc(b, '/');
		} else {
			sb_add(b, p, len);
		}
		p += len;
	}
	if (b->len == root)
		sb_addc(b, '/');
}

/* What a path that is relative stands behind: the other's last folder, or all
 * of it where there is only a query. */
static void
add_base(struct strbuf *b, const char *path, size_t n, bool folder)
{
	while (folder && n > 0 && path[n - 1] != '/')
		n--;
	if (folder && n == 0)
		sb_addc(b, '/');
	sb_add(b, path, n);
}

/* What a header should not have, and some servers send: blanks, UTF-8. */
static char *
encoded(const char *s, size_t n)
{
	struct strbuf b = {0};

	sb_adds(&b, "");
	for (size_t i = 0; i < n; i++) {
		const unsigned char c = (unsigned char)s[i];
		if (c <= ' ' || c >= 0x7f)
			sb_addf(&b, "%%%02X", c);
		else
			sb_addc(&b, s[i]);
	}
	return sb_detach(&b);
}

char *
redirect_target(const char *from, const char *where)
{
	char *to = encoded(where, strcspn(where, "#"));
	struct strbuf b = {0}, merged = {0};
	size_t path, query, own, own_query, begin = scheme_length(to);

	/* Without a host it is none of ours: "mailto:x", "http:/x". */
	if (begin > 0 && strncmp(to + begin, "//", 2) != 0)
		return to;
	split(from, &path, &query);
	if (begin == 0 && strncmp(to, "//", 2) != 0) {
		sb_add(&b, from, path);
		own = 0;
		own_query = strcspn(to, "?");
	} else {
		sb_add(&b, begin > 0 ? to : from, begin > 0 ? begin :
		    scheme_length(from));
		split(to, &own, &own_query);
		sb_add(&b, to + begin, own - begin);
	}
	for (size_t i = 0; i < b.len && b.s[i] != ':'; i++)
		b.s[i] = (char)tolower((unsigned char)b.s[i]);
	if (own == 0 && to[0] != '/')
		add_base(&merged, from + path, query - path, own_query > 0);
	sb_add(&merged, to + own, own_query - own);
	add_path(&b, sb_str(&merged), merged.len);
	sb_adds(&b, to[0] != '\0' ? to + own_query : from + query);
	sb_fini(&merged);
	free(to);
	return sb_detach(&b);
}

/* --- whether we go ------------------------------------------------------- */

bool
redirect_is(const struct place *p, const struct http_answer *a)
{
	return p->store->kind == STORE_HTTPS && a != NULL &&
	    (a->status == 301 || a->status == 302 ||
	    a->status == 303 || a->status == 307 || a->status == 308);
}

static bool
is_https(const char *url)
{
	return strncmp(url, "https://", 8) == 0;
}

/* NULL, or why nobody goes there. */
static const char *
refusal(struct hops *h, const char *from, const char *to, const char *where)
{
	if (where == NULL || where[0] == '\0')
		return "and does not say where to";
	if (strlen(to) > ADDRESS_MAX)
		return "to an address that is too long";
	if (!is_https(to) && strncmp(to, "http://", 7) != 0)
		return "to something that is no http address";
	if (is_https(from) && !is_https(to))
		return "from https to http, where others could read along";
	for (int i = 0; i < h->n; i++) {
		if (strcmp(h->seen[i], to) == 0)
			return "in a circle";
	}
	if (h->n > REDIRECTS)
		return "on and on: that was the tenth time";
	return NULL;
}

static char *
say(const struct http_answer *a, const char *from, const char *to,
    const char *why)
{
	char *text = xasprintf("%.*s answers %d and leads %s%s%.*s",
	    (int)strcspn(from, "?"), from, a->status, why,
	    to[0] != '\0' ? ": " : "", (int)strcspn(to, "?"), to);

	return rk_text_clean(text);
}

/* The digest that was asked for stays; another host may have another CA. */
static void
move(struct place *p, struct place *to)
{
	to->sha256 = p->sha256;
	p->sha256 = NULL;
	place_fini(p);
	*p = *to;
}

enum redirect
redirect_follow(struct remote *r, struct place *p, struct hops *h,
    const struct http_answer *a, char **why)
{
	struct place next;

	*why = NULL;
	if (!redirect_is(p, a))
		return REDIRECT_NONE;
	const char *where = http_header(a, "location");
	char *to = where != NULL ? redirect_target(p->key, where) : xstrdup("");
	if (h->n == 0)
		h->seen[h->n++] = xstrdup(p->key);
	const char *no = refusal(h, p->key, to, where);
	if (no != NULL) {
		*why = say(a, p->key, to, no);
	} else if (place_of(r, to, &next, NULL) != RK_OK) {
		*why = say(a, p->key, "", "to an address that is malformed, or "
		    "has a name or a password in it");
	} else {
		move(p, &next);
		h->seen[h->n++] = to;
		to = NULL;
	}
	free(to);
	return *why != NULL ? REDIRECT_NO : REDIRECT_GO;
}

void
hops_fini(struct hops *h)
{
	for (int i = 0; i < h->n; i++)
		free(h->seen[i]);
	h->n = 0;
}
