/*
 * The signatures of Alibaba OSS.
 *
 * V4 is made like AWS's, with these differences: the path is always
 * /bucket/key, whatever the style of the address; a query parameter without a
 * value has no '='; content-type, content-md5 and x-oss-* are signed, host is
 * not; header names are listed only when they are additional; the payload is
 * UNSIGNED-PAYLOAD.
 *
 * V1, for old private clouds, is a HMAC-SHA1 over the verb, three headers, the
 * x-oss-* headers and the resource, nothing of it encoded.
 *
 * Source: Alibaba Cloud, OSS API reference, "Include signatures in the
 * Authorization header", V4 and V1.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sign.h"

static bool
is_default(const char *name)
{
	return strncasecmp(name, "x-oss-", 6) == 0 ||
	    strcasecmp(name, "content-type") == 0 ||
	    strcasecmp(name, "content-md5") == 0;
}

static bool
is_additional(const struct sign_in *in, const char *name)
{
	for (size_t i = 0; in->additional != NULL &&
	    in->additional[i] != NULL; i++) {
		if (strcasecmp(name, in->additional[i]) == 0)
			return !is_default(name);
	}
	return false;
}

/* "/", "/bucket/" or "/bucket/key". */
static void
resource(const struct sign_in *in, struct strbuf *b, bool encode)
{
	const char *parts[] = { in->bucket, in->key };

	sb_addc(b, '/');
	if (in->bucket == NULL || in->bucket[0] == '\0')
		return;
	for (int i = 0; i < 2; i++) {
		const char *s = parts[i] != NULL ? parts[i] : "";
		if (encode)
			sign_encode(b, s, true);
		else
			sb_adds(b, s);
		if (i == 0)
			sb_addc(b, '/');
	}
}

/* --- V4 ------------------------------------------------------------------- */

static void
collect4(const struct sign_in *in, const struct cred *c, const char *stamp,
    struct canon *h, struct strbuf *names)
{
	struct canon more = { .n = 0 };

	canon_add(h, "x-oss-content-sha256", in->payload);
	canon_add(h, "x-oss-date", stamp);
	if (c->token[0] != '\0')
		canon_add(h, "x-oss-security-token", c->token);
	if (is_additional(in, "host")) {
		canon_add(h, "host", in->host);
		canon_add(&more, "host", "");
	}
	for (size_t i = 0; i < in->nheaders; i++) {
		const struct sign_header *s = &in->headers[i];
		bool add = is_additional(in, s->name);
		if (add)
			canon_add(&more, s->name, "");
		if (add || is_default(s->name))
			canon_add(h, s->name, s->value);
	}
	canon_sort(h);
	canon_sort(&more);
	for (size_t i = 0; i < more.n; i++)
		sb_addf(names, "%s%s", i > 0 ? ";" : "", more.v[i].name);
	canon_fini(&more);
}

void
sign_oss4(const struct sign_in *in, const struct cred *c,
    char *out[SIGN_HEADERS])
{
	char stamp[SIGN_STAMP], date[SIGN_DATE], hex[RK_SHA256_HEX];
	struct strbuf b = {0}, names = {0};
	struct canon h = { .n = 0 };
	size_t n = 0;

	memset(out, 0, SIGN_HEADERS * sizeof(*out));
	if (c == NULL)
		return;
	sign_stamp(in->at_ms, stamp);
	sign_date(in->at_ms, date);
	collect4(in, c, stamp, &h, &names);
	sb_addf(&b, "%s\n", in->method);
	resource(in, &b, true);
	sb_addc(&b, '\n');
	sign_query_text(&b, in->query, in->nquery, false);
	sb_addc(&b, '\n');
	canon_text(&h, &b);
	sb_addf(&b, "\n%s\n%s", sb_str(&names), in->payload);

	char *scope = xasprintf("%.8s/%s/%s/aliyun_v4_request", stamp,
	    in->region, in->product);
	sign_v4(&(struct sign_v4){ "OSS4-HMAC-SHA256", "aliyun_v4",
	    "aliyun_v4_request", stamp, in->region, in->product, scope,
	    c->secret }, b.s, hex);
	out[n++] = xasprintf("Date: %s", date);
	out[n++] = xasprintf("x-oss-date: %s", stamp);
	out[n++] = xasprintf("x-oss-content-sha256: %s", in->payload);
	if (c->token[0] != '\0')
		out[n++] = xasprintf("x-oss-security-token: %s", c->token);
	out[n++] = xasprintf("Authorization: OSS4-HMAC-SHA256 "
	    "Credential=%s/%s%s%s,Signature=%s", c->id, scope,
	    names.len > 0 ? ",AdditionalHeaders=" : "", sb_str(&names), hex);
	free(scope);
	sb_fini(&b);
	sb_fini(&names);
	canon_fini(&h);
}

/* --- V1 ------------------------------------------------------------------- */

/* The parameters that name a part of the resource, and are signed. */
static bool
is_sub_resource(const struct sign_in *in, const char *name)
{
	static const char *const names[] = { "acl", "bucketInfo", "location",
		"stat", "delete", "append", "tagging", "objectMeta", "uploads",
		"uploadId", "partNumber", "security-token", "position",
		"response-content-type", "response-content-language",
		"response-expires", "response-cache-control",
		"response-content-disposition", "response-content-encoding",
		"restore", "callback", "callback-var", "versions",
		"versioning", "versionId", "sequential", "continuation-token",
		"regionList", "cloudboxes", "symlink" };

	if (strncmp(name, "x-oss-", 6) == 0)
		return true;
	for (size_t i = 0; i < RK_ARRAY_LEN(names); i++) {
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	for (size_t i = 0; in->additional != NULL &&
	    in->additional[i] != NULL; i++) {
		if (strcmp(name, in->additional[i]) == 0)
			return true;
	}
	return false;
}

static int
by_name(const void *a, const void *b)
{
	const struct sign_query *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static void
sub_resources(const struct sign_in *in, struct strbuf *b)
{
	struct sign_query *v = xcalloc(in->nquery + 1, sizeof(*v));
	size_t n = 0;

	for (size_t i = 0; i < in->nquery; i++) {
		if (is_sub_resource(in, in->query[i].name))
			v[n++] = in->query[i];
	}
	qsort(v, n, sizeof(*v), by_name);
	for (size_t i = 0; i < n; i++) {
		sb_addf(b, "%c%s", i == 0 ? '?' : '&', v[i].name);
		if (v[i].value != NULL && v[i].value[0] != '\0')
			sb_addf(b, "=%s", v[i].value);
	}
	free(v);
}

/* A header's value and a newline; the newline alone if there is none. */
static void
add_header(struct strbuf *b, const struct sign_in *in, const char *name)
{
	struct canon h = { .n = 0 };

	for (size_t i = 0; i < in->nheaders && h.n == 0; i++) {
		if (strcasecmp(in->headers[i].name, name) == 0)
			canon_add(&h, name, in->headers[i].value);
	}
	sb_addf(b, "%s\n", h.n > 0 ? h.v[0].value : "");
	canon_fini(&h);
}

void
sign_oss1(const struct sign_in *in, const struct cred *c,
    char *out[SIGN_HEADERS])
{
	unsigned char mac[20];
	struct strbuf b = {0};
	struct canon h = { .n = 0 };
	char date[SIGN_DATE];
	size_t n = 0;

	memset(out, 0, SIGN_HEADERS * sizeof(*out));
	if (c == NULL)
		return;
	sign_date(in->at_ms, date);
	canon_add(&h, "x-oss-date", date);
	if (c->token[0] != '\0')
		canon_add(&h, "x-oss-security-token", c->token);
	for (size_t i = 0; i < in->nheaders; i++) {
		if (strncasecmp(in->headers[i].name, "x-oss-", 6) == 0)
			canon_add(&h, in->headers[i].name,
			    in->headers[i].value);
	}
	canon_sort(&h);
	sb_addf(&b, "%s\n", in->method);
	add_header(&b, in, "content-md5");
	add_header(&b, in, "content-type");
	sb_addf(&b, "%s\n", date);
	canon_text(&h, &b);
	resource(in, &b, false);
	sub_resources(in, &b);

	rk_hmac_sha1(c->secret, strlen(c->secret), b.s, b.len, mac);
	char *base64 = rk_base64(mac, sizeof(mac));
	out[n++] = xasprintf("Date: %s", date);
	out[n++] = xasprintf("x-oss-date: %s", date);
	if (c->token[0] != '\0')
		out[n++] = xasprintf("x-oss-security-token: %s", c->token);
	out[n++] = xasprintf("Authorization: OSS %s:%s", c->id, base64);
	free(base64);
	sb_fini(&b);
	canon_fini(&h);
}
