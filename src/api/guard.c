/*
 * Who may come in.  A browser on this machine can reach loopback on behalf of
 * any web page, so each request must show that none is behind it.
 */
#include "impl.h"

#include <string.h>
#include <strings.h>

/* A host without its port, and the port (-1: none said; 0: not a number). */
static size_t
split_host(const char *s, int *port)
{
	const char *end = s + strlen(s), *colon;

	if (*s == '[') {
		const char *close = strchr(s, ']');
		if (close == NULL)
			return 0;
		colon = close + 1;
		if (*colon != ':' && *colon != '\0')
			return 0;
	} else {
		colon = s + strcspn(s, ":");
	}
	*port = -1;
	if (*colon == ':') {
		*port = 0;
		if (end - colon < 2 || end - colon > 6 ||
		    strspn(colon + 1, "0123456789") != strlen(colon + 1))
			return 0;
		*port = atoi(colon + 1);
	}
	return (size_t)(colon - s);
}

static bool
same(const char *s, size_t n, const char *word)
{
	return strlen(word) == n && strncasecmp(s, word, n) == 0;
}

bool
guard_host_ok(const char *host, const char *listen_host, int port)
{
	int p;
	size_t n = split_host(host, &p);

	if (n == 0 || (p == -1 ? port != 80 : p != port))
		return false;
	if (same(host, n, "localhost") || same(host, n, "127.0.0.1") ||
	    same(host, n, "[::1]") || same(host, n, listen_host))
		return true;
	return host[0] == '[' && same(host + 1, n - 2, listen_host);
}

bool
guard_origin_ok(const char *origin, const char *host)
{
	if (strncasecmp(origin, "http://", 7) == 0)
		origin += 7;
	else if (strncasecmp(origin, "https://", 8) == 0)
		origin += 8;
	else
		return false;           /* "null", a file, an extension */
	return host != NULL && *host != '\0' && strcasecmp(origin, host) == 0;
}

bool
guard_cross_site(const char *site)
{
	return strcasecmp(site, "cross-site") == 0 ||
	    strcasecmp(site, "same-site") == 0;
}

enum body_kind
guard_body_kind(const char *type)
{
	static const struct {
		const char *type;
		enum body_kind kind;
	} ours[] = {
		{ "application/json", BODY_JSON },
		{ "application/merge-patch+json", BODY_JSON },
		{ "application/yaml", BODY_YAML },
		{ "application/x-yaml", BODY_YAML },
		{ "text/yaml", BODY_YAML },
		{ "text/x-yaml", BODY_YAML },
	};
	size_t n;

	if (type == NULL)
		return BODY_ABSENT;
	n = strcspn(type, "; \t");
	for (size_t i = 0; i < RK_ARRAY_LEN(ours); i++) {
		if (same(type, n, ours[i].type))
			return ours[i].kind;
	}
	return BODY_OTHER;
}

bool
guard_idem_key_ok(const char *key)
{
	size_t n = strlen(key);

	if (n == 0 || n > 255)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (key[i] < 0x20 || key[i] > 0x7e)
			return false;
	}
	return true;
}
