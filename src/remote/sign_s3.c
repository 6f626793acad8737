/*
 * AWS Signature Version 4 for S3.
 *
 *	request   = METHOD \n path \n query \n headers \n \n names \n payload
 *	to sign   = AWS4-HMAC-SHA256 \n stamp \n scope \n hex(SHA256(request))
 *	scope     = YYYYMMDD/region/s3/aws4_request
 *	key       = HMAC chain of "AWS4"+secret over the parts of scope
 *
 * S3 encodes a path once, so that the path signed is the path on the wire.
 * Signed are host, x-amz-*, content-type, content-md5, range and the
 * conditions: nothing that a proxy may change.
 *
 * Source: AWS, "Signature Calculations for the Authorization Header:
 * Transferring Payload in a Single Chunk", S3 API Reference.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sign.h"

static bool
is_signed(const char *name)
{
	static const char *const names[] = { "content-type", "content-md5",
		"range", "if-match", "if-none-match" };

	if (strncasecmp(name, "x-amz-", 6) == 0)
		return true;
	for (size_t i = 0; i < RK_ARRAY_LEN(names); i++) {
		if (strcasecmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

static void
collect(const struct sign_in *in, const struct cred *c, const char *stamp,
    struct canon *h)
{
	canon_add(h, "host", in->host);
	canon_add(h, "x-amz-content-sha256", in->payload);
	canon_add(h, "x-amz-date", stamp);
	if (c->token[0] != '\0')
		canon_add(h, "x-amz-security-token", c->token);
	for (size_t i = 0; i < in->nheaders; i++) {
		if (is_signed(in->headers[i].name))
			canon_add(h, in->headers[i].name,
			    in->headers[i].value);
	}
	canon_squeeze(h);
	canon_sort(h);
}

static void
names_of(const struct canon *h, struct strbuf *b)
{
	for (size_t i = 0; i < h->n; i++)
		sb_addf(b, "%s%s", i > 0 ? ";" : "", h->v[i].name);
}

void
sign_s3(const struct sign_in *in, const struct cred *c, char *out[SIGN_HEADERS])
{
	char stamp[SIGN_STAMP], hex[RK_SHA256_HEX];
	struct strbuf b = {0}, names = {0};
	struct canon h = { .n = 0 };
	size_t n = 0;

	memset(out, 0, SIGN_HEADERS * sizeof(*out));
	out[n++] = xasprintf("x-amz-content-sha256: %s", in->payload);
	if (c == NULL)
		return;
	sign_stamp(in->at_ms, stamp);
	collect(in, c, stamp, &h);
	names_of(&h, &names);
	sb_addf(&b, "%s\n%s\n", in->method, in->path);
	sign_query_text(&b, in->query, in->nquery, true);
	sb_addc(&b, '\n');
	canon_text(&h, &b);
	sb_addf(&b, "\n%s\n%s", sb_str(&names), in->payload);

	char *scope = xasprintf("%.8s/%s/%s/aws4_request", stamp, in->region,
	    in->product);
	sign_v4(&(struct sign_v4){ "AWS4-HMAC-SHA256", "AWS4", "aws4_request",
	    stamp, in->region, in->product, scope, c->secret }, b.s, hex);
	out[n++] = xasprintf("x-amz-date: %s", stamp);
	if (c->token[0] != '\0')
		out[n++] = xasprintf("x-amz-security-token: %s", c->token);
	out[n++] = xasprintf("Authorization: AWS4-HMAC-SHA256 "
	    "Credential=%s/%s,SignedHeaders=%s,Signature=%s", c->id, scope,
	    sb_str(&names), hex);
	free(scope);
	sb_fini(&b);
	sb_fini(&names);
	canon_fini(&h);
}
