/* What the text of an endpoint says: where, and which region. */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "impl.h"

static bool
ends(const char *s, const char *tail)
{
	size_t n = strlen(s), m = strlen(tail);

	return n >= m && strcasecmp(s + n - m, tail) == 0;
}

/* Of "host:port" the host alone, without brackets; the caller frees. */
static char *
bare_host(const char *host)
{
	if (host[0] == '[')
		return xstrndup(host + 1, strcspn(host + 1, "]"));
	return xstrndup(host, strcspn(host, ":"));
}

bool
endpoint_is_address(const char *host)
{
	char *bare = bare_host(host);
	unsigned char b[16];
	bool yes = inet_pton(AF_INET, bare, b) == 1 ||
	    inet_pton(AF_INET6, bare, b) == 1;

	free(bare);
	return yes;
}

static bool
host_ok(const char *s)
{
	size_t n = strlen(s);

	if (n == 0 || n > 255 || s[0] == ':' || s[0] == '.')
		return false;
	for (; *s != '\0'; s++) {
		if (!isalnum((unsigned char)*s) && strchr("-._:[]", *s) == NULL)
			return false;
	}
	return true;
}

/* "https://HOST[:PORT][/BASE]" into scheme, host and base. */
bool
endpoint_split(struct rstore *s, const char *e)
{
	static const char *const ports[] = { ":80", ":443" };
	size_t n;

	s->tls = strncasecmp(e, "https://", 8) == 0;
	if (!s->tls && strncasecmp(e, "http://", 7) != 0)
		return false;
	e += s->tls ? 8 : 7;
	n = strcspn(e, "/");
	s->scheme = xstrdup(s->tls ? "https" : "http");
	s->host = xstrndup(e, n);
	s->base = xstrdup(e + n);
	for (char *p = s->host; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	/* What libcurl leaves out of Host is not signed. */
	if (ends(s->host, ports[s->tls]))
		s->host[strlen(s->host) - strlen(ports[s->tls])] = '\0';
	n = strlen(s->base);
	while (n > 0 && s->base[n - 1] == '/')
		s->base[--n] = '\0';
	return host_ok(s->host) && strpbrk(s->base, "?#% ") == NULL;
}

/* "s3.eu-west-1.amazonaws.com", "oss-cn-hangzhou-internal.aliyuncs.com" and
 * their like say the region; a new string, or NULL. */
char *
endpoint_region(const char *host)
{
	static const char *const heads[] = { "s3.dualstack.", "s3-fips.",
		"s3.oss-", "s3.", "oss-" };
	char *bare = bare_host(host), *r = NULL;

	if (ends(bare, ".oss.aliyuncs.com")) {
		r = xstrndup(bare, strcspn(bare, "."));
	} else if (ends(bare, ".amazonaws.com") ||
	    ends(bare, ".amazonaws.com.cn") || ends(bare, ".aliyuncs.com")) {
		for (size_t i = 0; i < RK_ARRAY_LEN(heads) && r == NULL; i++) {
			size_t n = strlen(heads[i]);
			if (strncmp(bare, heads[i], n) == 0)
				r = xstrndup(bare + n, strcspn(bare + n, "."));
		}
	}
	if (r != NULL && ends(r, "-internal"))
		r[strlen(r) - strlen("-internal")] = '\0';
	if (r != NULL && (strcmp(r, "amazonaws") == 0 ||
	    strncmp(r, "accelerate", 10) == 0)) {
		free(r);
		r = NULL;
	}
	free(bare);
	return r;
}

bool
endpoint_is_aws(const char *host)
{
	char *bare = bare_host(host);
	bool yes = ends(bare, ".amazonaws.com") ||
	    ends(bare, ".amazonaws.com.cn");

	free(bare);
	return yes;
}

bool
endpoint_is_cloud(const char *host)
{
	char *bare = bare_host(host);
	bool yes = ends(bare, ".aliyuncs.com");

	free(bare);
	return yes || endpoint_is_aws(host);
}

char *
endpoint_default(enum store_kind kind, const char *region)
{
	if (kind == STORE_OSS)
		return xasprintf("https://oss-%s.aliyuncs.com", region);
	return xasprintf("https://s3.%s.amazonaws.com%s", region,
	    strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
}
