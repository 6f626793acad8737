/* Addresses in a job: what others fetch, and where checkpoints are sent. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "read.h"

#define PREFIX_MAX 800          /* of a store's key, of 1024 in all */
#define PARAMETERS ".pdparams"
#define STATE      ".pdopt"     /* beside it */
#define JOB        "job://"
#define VERSION    "model://"
#define JOB_STATE  "optimizer.safetensors"
#define JOB_RECORD "checkpoint.json"

static const char *const fetched[] = { "https", "http", "s3", "oss", "model" };

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

bool
spec_is_version(const char *where)
{
	return where != NULL && strncasecmp(where, VERSION, strlen(VERSION)) ==
	    0;
}

char *
spec_address_bare(const char *uri, char sha256[RK_SHA256_HEX])
{
	struct rk_part p;

	must(rk_part_parse(&p, uri, NULL) == RK_OK);
	memcpy(sha256, p.sha256, RK_SHA256_HEX);
	if (p.member != NULL)           /* the digest is the member's */
		sha256[0] = '\0';
	char *bare = xstrdup(p.bare);
	rk_part_fini(&p);
	return bare;
}

/* Paddle's optimizer has its state in a file beside the parameters, and each
 * checkpoint of a job, and each version of a model that came from one. */
void
sp_find_beside(struct spec *s)
{
	const char *uri = s->model.checkpoint;
	const size_t m = strlen(PARAMETERS);
	struct rk_part p;

	if (uri == NULL || s->training.warm_start.optimizer ==
	    SPEC_CARRY_NONE || rk_part_parse(&p, uri, NULL) != RK_OK)
		return;
	const size_t n = strlen(p.bare);
	if (strncmp(uri, JOB, strlen(JOB)) == 0 || spec_is_version(uri)) {
		s->training.warm_start.beside = xasprintf("%s/" JOB_STATE,
		    p.bare);
		s->training.warm_start.record = xasprintf("%s/" JOB_RECORD,
		    p.bare);
	} else if (spec_is_address(uri) && p.member == NULL && n > m &&
	    strcmp(p.bare + n - m, PARAMETERS) == 0) {
		s->training.warm_start.beside = xasprintf("%.*s" STATE,
		    (int)(n - m), p.bare);
	}
	rk_part_fini(&p);
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
	if (strchr(uri, '#') != NULL)
		return rk_refuse(why, "has a # in it: the only things that may "
		    "follow one are member= and the path of a file in the "
		    "archive, and sha256= and 64 hexadecimal digits");
	return RK_OK;
}

static enum rk_err
check_key(const struct rk_uri *u, struct rk_why *why)
{
	const size_t n = strlen(u->path);

	if (n == 0)
		return rk_refuse(why, "names no object: want %s://BUCKET/KEY",
		    u->scheme);
	if (u->path[n - 1] == '/')
		return rk_refuse(why, "ends in '/', as a folder does: want one "
		    "object, %s://BUCKET/KEY", u->scheme);
	return RK_OK;
}

static enum rk_err
check_bare(const char *bare, char *text, struct rk_why *why)
{
	struct rk_uri u;
	enum rk_err rc = rk_uri_parse(&u, bare, why);

	if (rc != RK_OK)
		return rc;
	if (u.kind == RK_URI_MODEL) {
		rk_uri_fini(&u);
		return rk_refuse(why, "is a version of a model, which is the "
		    "place of no file: want an address of s3:, oss:, https: or "
		    "http:");
	}
	const bool web = u.scheme[0] == 'h';
	rc = web ? check_web(bare, &u, why) : check_bucket(&u, why);
	if (rc == RK_OK && !web)
		rc = check_key(&u, why);
	if (rc == RK_OK)                /* one way to write it */
		memcpy(text, u.scheme, strlen(u.scheme));
	rk_uri_fini(&u);
	return rc;
}

enum rk_err
sp_check_address(char *text, struct rk_why *why)
{
	struct rk_part p;
	enum rk_err rc = rk_part_parse(&p, text, why);

	if (rc != RK_OK)
		return rc;
	rc = check_bare(p.bare, text, why);
	rk_part_fini(&p);
	return rc;
}

enum rk_err
sp_check_version(char *text, struct rk_why *why)
{
	struct rk_part p;
	struct rk_uri u;
	enum rk_err rc = rk_part_parse(&p, text, why);

	if (rc != RK_OK)
		return rc;
	if (p.member != NULL)
		rc = rk_refuse(why, "has \"%.16s...\" behind a version of a "
		    "model, which is no archive", rk_part_of(text));
	if (rc == RK_OK)
		rc = rk_uri_parse(&u, p.bare, why);
	if (rc == RK_OK) {              /* one way to write it */
		memcpy(text, u.scheme, strlen(u.scheme));
		rk_uri_fini(&u);
	}
	rk_part_fini(&p);
	return rc;
}

enum rk_err
spec_check_address(char *address, struct rk_why *why)
{
	struct rk_why own = {0};
	enum rk_err rc;

	if (spec_is_version(address))
		rc = sp_check_version(address, &own);
	else if (spec_is_address(address))
		rc = sp_check_address(address, &own);
	else
		rc = rk_refuse(&own, "is \"%.*s\", want an address of s3:, "
		    "oss:, https: or http:, or model://NAME@ALIAS",
		    (int)rk_text_fit(address, 80), address);
	if (rc != RK_OK)
		rk_refuse_at(why, "address", "%s", rk_why_first(&own));
	rk_why_fini(&own);
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
		v[n].of = SPEC_ADDRESS_DATA;
		v[n++].uri = *f[i].name;
	}
	if (spec_is_address(s->model.checkpoint))
		v[n++] = (struct spec_address){ "model.checkpoint",
		    SPEC_ADDRESS_MODEL, s->model.checkpoint };
	if (spec_is_address(s->model.warm.classes.file))
		v[n++] = (struct spec_address){ "model.checkpoint_classes",
		    SPEC_ADDRESS_NAMES, s->model.warm.classes.file };
	if (spec_is_address(s->model.warm.vocabulary))
		v[n++] = (struct spec_address){ "model.checkpoint_vocabulary",
		    SPEC_ADDRESS_NAMES, s->model.warm.vocabulary };
	if (spec_is_address(s->training.warm_start.beside))
		v[n++] = (struct spec_address){ "training.warm_start."
		    "optimizer", SPEC_ADDRESS_STATE,
		    s->training.warm_start.beside };
	if (spec_is_address(s->training.warm_start.record))
		v[n++] = (struct spec_address){ "training.warm_start."
		    "optimizer", SPEC_ADDRESS_STATE,
		    s->training.warm_start.record };
	return n;
}
