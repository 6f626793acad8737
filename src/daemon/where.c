/*
 * The addresses in the configuration: which of them could never be asked.  Said
 * at the start; else a notice that never came would be the first to tell.
 */
#include "impl.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static bool
port_ok(const char *s)
{
	char *end;
	long port = strtol(s, &end, 10);

	return isdigit((unsigned char)s[0]) && *end == '\0' && port > 0 &&
	    port <= 65535;
}

/* HOST, HOST:PORT, [V6] or [V6]:PORT. */
static bool
host_ok(const char *s, size_t n)
{
	char host[256], *port = host;

	if (n == 0 || n >= sizeof(host))
		return false;
	memcpy(host, s, n);
	host[n] = '\0';
	for (const char *p = host; *p != '\0'; p++) {
		if (!isalnum((unsigned char)*p) && strchr("-._:[]", *p) == NULL)
			return false;
	}
	if (host[0] == '[' && ((port = strchr(host, ']')) == NULL ||
	    port == host + 1))
		return false;
	port = strchr(port, ':');
	return port == NULL || (port != host && port_ok(port + 1));
}

static bool
url_ok(const char *s)
{
	size_t head = strncasecmp(s, "http://", 7) == 0 ? 7 :
	    strncasecmp(s, "https://", 8) == 0 ? 8 : 0, n;

	if (head == 0)
		return false;
	n = strcspn(s + head, "/?#");
	return host_ok(s + head, n) && strpbrk(s + head + n, "?# ") == NULL;
}

static void
check_url(const char *path, const char *url, struct rk_why *why)
{
	if (url == NULL || url_ok(url))
		return;
	/* What stands before an @ may be a password. */
	if (strchr(url, '@') != NULL)
		rk_refuse_at(why, path, "has an @ in it, want "
		    "http://HOST[:PORT] with no user's name");
	else
		rk_refuse_at(why, path, "is \"%s\", want http://HOST[:PORT] or "
		    "https://...", url);
}

static void
check_mirror(const struct config_mirror *m, struct rk_why *why)
{
	struct rk_uri u = { 0 };

	if (m->prefix == NULL || rk_uri_parse(&u, m->prefix, NULL) != RK_OK)
		return;                 /* remote_check() has the sentence */
	/* A bare path may be an address whose scheme was forgotten. */
	bool bare = u.kind == RK_URI_FILE &&
	    strncasecmp(m->prefix, "file:", 5) != 0;
	if (bare || u.kind == RK_URI_JOB || u.kind == RK_URI_MODEL ||
	    (u.kind == RK_URI_OTHER &&
	    strcmp(u.scheme, "s3") != 0 && strcmp(u.scheme, "oss") != 0))
		rk_refuse_at(why, "mirror.prefix", "is \"%s\", want "
		    "s3://BUCKET/PREFIX/, oss://BUCKET/PREFIX/ or "
		    "file:///FOLDER/", strchr(u.host != NULL ? u.host : "",
		    '@') == NULL ? m->prefix : u.scheme);
	rk_uri_fini(&u);
}

void
where_check(const struct config *c, struct rk_why *why)
{
	check_mirror(&c->mirror, why);
	for (int i = 0; i < CLOUD_COUNT; i++) {
		char *path = xasprintf("preempt.url.%s",
		    preempt_cloud_words[i]);
		check_url(path, c->preempt.url[i], why);
		free(path);
	}
	if (c->preempt.azure_name != NULL && c->preempt.azure_name[0] == '\0')
		rk_refuse_at(why, "preempt.azure_name", "is empty, want this "
		    "machine's name, or null");
	check_url("metadata.aws", c->aws_metadata, why);
	check_url("metadata.alibaba", c->alibaba_metadata, why);
}
