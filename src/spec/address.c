/* Addresses in a job: what others fetch, and where checkpoints are sent. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "read.h"

#define PREFIX_MAX 800          /* of a store's key, of 1024 in all */
#define PIN        "#sha256="

static const char *const fetched[] = { "https", "http", "s3", "oss" };

bool
spec_is_address(const char *where)
{
	for (size_t i = 0; where != NULL && i < RK_ARRAY_LEN(fetched); i++) {
		size_t n = strlen(fetched[i]);
		if (strncasecmp(where, fetched[i], n) == 0 &&
		    strncmp(where + n, "://", 3) == 0)
			return true;
	}
	return false;
}

/* Where the pinned digest begins, or NULL. */
static const char *
pin_of(const char *uri)
{
	const char *at = strrchr(uri, '#');

	return at != NULL && strncmp(at, PIN, strlen(PIN)) == 0 ? at : NULL;
}

char *
spec_address_bare(const char *uri, char sha256[RK_SHA256_HEX])
{
	const char *at = pin_of(uri);

	sha256[0] = '\0';
	if (at == NULL)
		return xstrdup(uri);
	snprintf(sha256, RK_SHA256_HEX, "%s", at + strlen(PIN));
	for (char *c = sha256; *c != '\0'; c++) {
		if (*c >= 'A' && *c <= 'F')
			*c = (char)(*c - 'A' + 'a');
	}
	return xstrndup(uri, (size_t)(at - uri));
}

static enum rk_err
check_pin(const char *uri, bool web, struct rk_why *why)
{
	const char *at = pin_of(uri);

	if (at == NULL && web && strchr(uri, '#') != NULL)
		return rk_refuse(why, "has a # in it: the only thing that may "
		    "follow one is sha256= and 64 hexadecimal digits");
	if (at == NULL)
		return RK_OK;
	at += strlen(PIN);
	if (strlen(at) != RK_SHA256_HEX - 1 ||
	    strspn(at, "0123456789abcdefABCDEF") != RK_SHA256_HEX - 1)
		return rk_refuse(why, "has \"" PIN "\" at its end and not 64 "
		    "hexadecimal digits behind it");
	return RK_OK;
}

static enum rk_err
check_bucket(const struct rk_uri *u, struct rk_why *why)
{
	static const char set[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

	if (strspn(u->host, set) != strlen(u->host) || strlen(u->host) > 255)
		return rk_refuse(why, "names the bucket \"%.*s\", want at most "
		    "255 of [A-Za-z0-9._-]", (int)rk_text_fit(u->host, 80),
		    u->host);
	return RK_OK;
}

static enum rk_err
check_web(const char *uri, const struct rk_uri *u, struct rk_why *why)
{
	if (strchr(u->host, '@') != NULL)
		return rk_refuse(why, "has a user's name or password in it, "
		    "which would be kept and shown with the job");
	if (u->host[strcspn(u->host, "?#\\")] != '\0')
		return rk_refuse(why, "names the host \"%.*s\", want "
		    "%s://HOST/PATH", (int)rk_text_fit(u->host, 80), u->host,
		    u->scheme);
	if (strchr(uri, ' ') != NULL)
		return rk_refuse(why, "has a space in it, which is written "
		    "%%20");
	return RK_OK;
}

/* The key behind the bucket, without what pins it. */
static enum rk_err
check_key(const struct rk_uri *u, struct rk_why *why)
{
	const char *pin = pin_of(u->path);
	size_t n = pin != NULL ? (size_t)(pin - u->path) : strlen(u->path);

	if (n == 0)
		return rk_refuse(why, "names no object: want %s://BUCKET/KEY",
		    u->scheme);
	if (u->path[n - 1] == '/')
		return rk_refuse(why, "ends in '/', as a folder does: want one "
		    "object, %s://BUCKET/KEY", u->scheme);
	return RK_OK;
}

enum rk_err
sp_check_address(char *text, struct rk_why *why)
{
	struct rk_uri u;
	enum rk_err rc = rk_uri_parse(&u, text, why);

	if (rc != RK_OK)
		return rc;
	const bool web = u.scheme[0] == 'h';
	rc = check_pin(text, web, why);
	if (rc == RK_OK)
		rc = web ? check_web(text, &u, why) : check_bucket(&u, why);
	if (rc == RK_OK && !web)
		rc = check_key(&u, why);
	if (rc == RK_OK)                /* one way to write it */
		memcpy(text, u.scheme, strlen(u.scheme));
	rk_uri_fini(&u);
	return rc;
}

/* --- prefixes ------------------------------------------------------------- */

static enum rk_err
prefix_of_kind(const struct rk_uri *u, const char *text, char **out,
    struct rk_why *why)
{
	const char *rest;

	if (u->kind == RK_URI_FILE && strncasecmp(text, "file:", 5) == 0) {
		rest = text + 5;
		if (strncmp(rest, "//", 2) == 0)
			rest += 2 + strcspn(rest + 2, "/");
		*out = xasprintf("file://%s", rest);
		return RK_OK;
	}
	if (strcmp(u->scheme, "s3") == 0 || strcmp(u->scheme, "oss") == 0) {
		if (strlen(u->path) > PREFIX_MAX)
			return rk_refuse(why, "is longer than %d bytes behind "
			    "the bucket", PREFIX_MAX);
		*out = xasprintf("%s://%s/%s", u->scheme, u->host, u->path);
		return check_bucket(u, why);
	}
	return rk_refuse(why, "is \"%.*s\", %s: want s3://BUCKET/PREFIX/, "
	    "oss://BUCKET/PREFIX/ or file:///FOLDER/",
	    (int)rk_text_fit(text, 80), text, u->scheme[0] == 'h' ? "which can "
	    "only be read" : "where checkpoints cannot be sent");
}

enum rk_err
sp_prefix(char **text, struct rk_why *why)
{
	struct rk_uri u;
	char *out = NULL;
	enum rk_err rc = rk_uri_parse(&u, *text, why);

	if (rc != RK_OK)
		return rc;
	rc = prefix_of_kind(&u, *text, &out, why);
	if (rc == RK_OK && strpbrk(out, "?#") != NULL)
		rc = rk_refuse(why, "has a %c in it, which a prefix cannot "
		    "have", *strpbrk(out, "?#"));
	if (rc == RK_OK) {
		free(*text);
		*text = xasprintf("%s%s", out,
		    out[strlen(out) - 1] == '/' ? "" : "/");
	}
	free(out);
	rk_uri_fini(&u);
	return rc;
}

/* --- all of a job --------------------------------------------------------- */

size_t
spec_addresses(const struct spec *s, struct spec_address v[SPEC_ADDRESSES])
{
	struct spec_data d = s->data;   /* borrows all it points to */
	struct spec_file f[SPEC_FILES];
	const size_t nfiles = spec_files(&d, f);
	size_t n = 0;

	for (size_t i = 0; i < nfiles; i++) {
		if (!spec_is_address(*f[i].name))
			continue;
		memcpy(v[n].field, f[i].field, sizeof(v[n].field));
		v[n++].uri = *f[i].name;
	}
	if (spec_is_address(s->model.checkpoint))
		v[n++] = (struct spec_address){ "model.checkpoint",
		    s->model.checkpoint };
	return n;
}
