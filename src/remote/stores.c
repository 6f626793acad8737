/*
 * Which endpoint, region and keys belong to an address: the configuration's
 * `stores`, with a default behind it for each scheme, and the way from an
 * address to a URL.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

static const char *const kind_words[] = { "s3", "oss", "https", "file" };

/* --- one entry ------------------------------------------------------------ */

enum { ADDR_AUTO, ADDR_PATH, ADDR_VIRTUAL, ADDR_CNAME };
static const char *const addressing_words[] = { "auto", "path", "virtual",
	"cname", NULL };
static const char *const signature_words[] = { "v4", "v1", NULL };
static const char *const credential_words[] = { "auto", "fixed", "environment",
	"profile", "web_identity", "container", "instance", "anonymous", NULL };
static const char *const checksum_words[] = { "none", "crc32c", "sha256",
	NULL };
static const char *const verify_words[] = { "auto", "true", "false", NULL };

/* What an entry says, before it is a store. */
struct entry {
	char *match, *endpoint, *region, *ca_file, *id, *secret, *token,
	    *profile;
	char *wishes[WISHES];
	int addressing, signature, credentials, checksum, verify;
};

static void
entry_fini(struct entry *e)
{
	char *all[] = { e->match, e->endpoint, e->region, e->ca_file, e->id,
		e->profile };
	char *secrets[] = { e->secret, e->token };

	for (size_t i = 0; i < RK_ARRAY_LEN(all); i++)
		free(all[i]);
	for (size_t i = 0; i < WISHES; i++)
		free(e->wishes[i]);
	for (size_t i = 0; i < RK_ARRAY_LEN(secrets); i++) {
		if (secrets[i] != NULL)
			rk_wipe(secrets[i], strlen(secrets[i]));
		free(secrets[i]);
	}
}

static bool
region_ok(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n <= 63 && strspn(s, "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == n;
}

/* A secret goes out in a header: no line ends in it. */
static bool
key_ok(const char *s)
{
	for (; *s != '\0'; s++) {
		if ((unsigned char)*s <= ' ' || (unsigned char)*s >= 0x7f)
			return false;
	}
	return true;
}

static void
read_verify(struct rkj_obj *o, int *out)
{
	const json_t *v = rkj_any(o, "verify_etag");

	if (json_is_boolean(v))
		*out = json_is_true(v) ? 1 : 2;
	else
		rkj_enum(o, "verify_etag", out, verify_words, RKJ_OPTIONAL);
}

static void
read_keys(struct rkj_obj *o, struct entry *e)
{
	static const char *const names[] = { "access_key_id",
		"secret_access_key", "session_token" };
	char **out[] = { &e->id, &e->secret, &e->token };
	bool said = rkj_enum(o, "credentials", &e->credentials,
	    credential_words, RKJ_OPTIONAL);

	for (size_t i = 0; i < 3; i++) {
		const json_t *v = rkj_any(o, names[i]);

		/* A value that is refused is not shown. */
		if (v != NULL && !json_is_string(v) && !json_is_null(v)) {
			rkj_fault(o, names[i], "is no text: put it in quotes");
			return;
		}
		rkj_str(o, names[i], out[i], 8192, RKJ_OPTIONAL);
		if (*out[i] != NULL && !key_ok(*out[i]))
			rkj_fault(o, names[i], "has a blank or a character "
			    "that is not ASCII");
	}
	rkj_str(o, "profile", &e->profile, 256, RKJ_OPTIONAL);
	if ((e->id != NULL) != (e->secret != NULL))
		rkj_fault(o, e->id != NULL ? names[1] : names[0],
		    "is needed with the other half of the key");
	else if (e->token != NULL && e->id == NULL)
		rkj_fault(o, "session_token", "is of no use without "
		    "access_key_id and secret_access_key");
	else if (e->id != NULL && said && e->credentials != CRED_FIXED)
		rkj_fault(o, "credentials", "is \"%s\", and a key is given: "
		    "leave out one of them",
		    credential_words[e->credentials]);
	else if (e->id == NULL && e->credentials == CRED_FIXED)
		rkj_fault(o, "access_key_id", "is needed for credentials: "
		    "fixed");
	if (e->id != NULL)
		e->credentials = CRED_FIXED;
	if (e->profile != NULL && !said && e->id == NULL)
		e->credentials = CRED_PROFILE;
}

static void
read_entry(struct rkj_obj *o, struct entry *e)
{
	rkj_str(o, "match", &e->match, 2048, RKJ_REQUIRED);
	rkj_str(o, "endpoint", &e->endpoint, 1024, RKJ_OPTIONAL);
	rkj_str(o, "region", &e->region, 64, RKJ_OPTIONAL);
	rkj_str(o, "ca_file", &e->ca_file, 4096, RKJ_OPTIONAL);
	rkj_enum(o, "addressing", &e->addressing, addressing_words,
	    RKJ_OPTIONAL);
	rkj_enum(o, "signature", &e->signature, signature_words, RKJ_OPTIONAL);
	rkj_enum(o, "checksum", &e->checksum, checksum_words, RKJ_OPTIONAL);
	read_verify(o, &e->verify);
	wishes_read(o, e->wishes);
	read_keys(o, e);
	if (e->region != NULL && !region_ok(e->region))
		rkj_fault(o, "region", "is \"%s\", want the name of a region "
		    "as in us-east-1", e->region);
	if (e->ca_file != NULL && e->ca_file[0] != '/')
		rkj_fault(o, "ca_file", "is \"%s\", want an absolute path",
		    e->ca_file);
}

/* --- from entry to store -------------------------------------------------- */

static void
store_free(struct rstore **sp)
{
	struct rstore *s = *sp;
	char *all[] = { s->match, s->missing, s->scheme, s->host, s->base,
		s->region, s->ca_file };

	*sp = NULL;
	for (size_t i = 0; i < RK_ARRAY_LEN(all); i++)
		free(all[i]);
	for (size_t i = 0; i < WISHES; i++)
		free(s->wishes[i]);
	for (struct bucket_region *b = s->regions, *next; b != NULL; b = next) {
		next = b->next;
		free(b->bucket);
		free(b->region);
		free(b);
	}
	if (s->own_creds)
		creds_close(&s->creds);
	free(s);
}

/* "s3://", "s3://bucket", "s3://bucket/prefix", and so for oss;
 * https://HOST. */
static bool
match_kind(const char *match, enum store_kind *kind)
{
	for (enum store_kind k = STORE_S3; k <= STORE_HTTPS; k++) {
		size_t n = strlen(kind_words[k]);
		if (strncmp(match, kind_words[k], n) == 0 &&
		    strncmp(match + n, "://", 3) == 0) {
			*kind = k;
			return k != STORE_HTTPS || match[n + 3] != '\0';
		}
	}
	return false;
}

static struct rstore *
store_new(struct remote *r, enum store_kind kind, const char *match)
{
	struct rstore *s = xcalloc(1, sizeof(*s));

	s->kind = kind;
	s->match = xstrdup(match);
	s->window = r->c.parts;
	s->tls = kind == STORE_HTTPS;
	return s;
}

/* Two entries that ask for the same keys wait for, and refresh, one set. */
static struct creds *
same_creds(struct remote *r, const struct rstore *s, const struct entry *e)
{
	if (e->credentials == CRED_FIXED || e->profile != NULL)
		return NULL;
	for (struct rstore *o = r->stores; o != NULL; o = o->next) {
		if (o->creds != NULL && o->own_creds && o->kind == s->kind &&
		    o->source == (e->credentials | 16))
			return o->creds;
	}
	return NULL;
}

static void
open_creds(struct remote *r, struct rstore *s, const struct entry *e)
{
	struct creds_config c = { .oss = s->kind == STORE_OSS,
		.kind = (enum cred_kind)e->credentials, .id = e->id,
		.secret = e->secret, .token = e->token, .profile = e->profile,
		.region = e->region,
		.metadata_url = s->kind == STORE_OSS ?
		    r->c.alibaba_metadata_url : r->c.aws_metadata_url };

	if ((s->creds = same_creds(r, s, e)) != NULL)
		return;
	s->creds = creds_open(r->loop, r->http, &c);
	s->own_creds = true;
	s->source = e->profile == NULL ? e->credentials | 16 : 0;
}

/* Endpoint and region out of each other and of the environment. */
static void
place_store(struct rstore *s, const struct entry *e, struct rkj_obj *o)
{
	const char *from_env = creds_region(s->creds), *endpoint = e->endpoint;
	char *text;

	if (endpoint == NULL)
		endpoint = creds_endpoint(s->creds);
	if (e->region != NULL)
		s->region = xstrdup(e->region);
	else if (endpoint != NULL &&
	    (text = (endpoint_split(s, endpoint) ? endpoint_region(s->host) :
	    NULL)) != NULL)
		s->region = text;
	else if (from_env != NULL && region_ok(from_env))
		s->region = xstrdup(from_env);
	else if (s->kind == STORE_S3)
		s->region = xstrdup("us-east-1");
	free(s->scheme);
	free(s->host);
	free(s->base);
	s->scheme = s->host = s->base = NULL;
	if (s->region == NULL && !(s->v1 && endpoint != NULL)) {
		s->missing = xstrdup(endpoint != NULL ? "its endpoint does not "
		    "say the region, and there is no region" :
		    "there is no endpoint and no region");
		if (o != NULL)
			rkj_fault(o, "region", "is needed: %s", s->missing);
		return;
	}
	text = endpoint != NULL ? xstrdup(endpoint) :
	    endpoint_default(s->kind, s->region);
	if (!endpoint_split(s, text)) {
		s->missing = xstrdup("its endpoint is no https://HOST[:PORT]");
		if (o != NULL)
			/* What stands before an @ may be a password. */
			rkj_fault(o, "endpoint", "is \"%s\", want "
			    "https://HOST[:PORT][/PATH] or http://...",
			    strchr(text, '@') != NULL ? "...@..." : text);
	}
	free(text);
}

static void
set_style(struct rstore *s, const struct entry *e)
{
	s->aws = endpoint_is_aws(s->host);
	s->cname = e->addressing == ADDR_CNAME;
	if (e->addressing == ADDR_AUTO)
		s->path_style = endpoint_is_address(s->host) ||
		    (s->kind == STORE_S3 && !endpoint_is_cloud(s->host));
	else
		s->path_style = e->addressing == ADDR_PATH;
	s->check_etag = e->verify == 1 ||
	    (e->verify == 0 && s->kind == STORE_S3 && s->aws);
}

/* Put it where the list stays ordered, longest match first. */
static void
insert(struct remote *r, struct rstore *s)
{
	struct rstore **at = &r->stores;

	while (*at != NULL && strlen((*at)->match) >= strlen(s->match))
		at = &(*at)->next;
	s->next = *at;
	*at = s;
}

static bool
known_match(const struct remote *r, const char *match)
{
	for (const struct rstore *s = r->stores; s != NULL; s = s->next) {
		if (strcmp(s->match, match) == 0)
			return true;
	}
	return false;
}

static void
add_store(struct remote *r, enum store_kind kind, const struct entry *e,
    struct rkj_obj *o)
{
	struct rstore *s = store_new(r, kind, e->match);

	s->ca_file = e->ca_file != NULL ? xstrdup(e->ca_file) : NULL;
	s->named = o != NULL;
	s->v1 = e->signature == 1;
	s->checksum = e->checksum;
	for (size_t i = 0; i < WISHES; i++)
		s->wishes[i] = e->wishes[i] != NULL ? xstrdup(e->wishes[i]) :
		    NULL;
	if (kind == STORE_S3 || kind == STORE_OSS) {
		open_creds(r, s, e);
		place_store(s, e, o);
		if (s->host != NULL)
			set_style(s, e);
	}
	insert(r, s);
}

static void
add_entry(struct remote *r, const json_t *v, size_t i, struct rk_why *why)
{
	char *path = xasprintf("stores[%zu]", i);
	enum store_kind kind;
	struct rkj_obj o;
	struct entry e = {0};

	rkj_open(&o, v, path, why);
	read_entry(&o, &e);
	if (e.match != NULL && !match_kind(e.match, &kind)) {
		rkj_fault(&o, "match", "is \"%s\", want s3://, oss:// or "
		    "https://HOST, with a bucket, with a prefix", e.match);
	} else if (e.match != NULL && known_match(r, e.match)) {
		rkj_fault(&o, "match", "is \"%s\", as in another entry",
		    e.match);
	} else if (e.match != NULL) {
		if (e.signature == 1 && kind != STORE_OSS)
			rkj_fault(&o, "signature", "is v1, which only oss:// "
			    "has");
		if (kind == STORE_HTTPS && (e.endpoint != NULL ||
		    e.region != NULL || e.id != NULL))
			rkj_fault(&o, "match", "is an https:// address, for "
			    "which only ca_file can be said");
		wishes_check(&o, kind, e.wishes);
		if (!o.bad)
			add_store(r, kind, &e, &o);
	}
	rkj_close(&o);
	entry_fini(&e);
	free(path);
}

enum rk_err
stores_open(struct remote *r, const json_t *list, struct rk_why *why)
{
	struct rk_why own = {0};
	const json_t *v;
	size_t i;

	if (why == NULL)
		why = &own;
	size_t before = why->n + why->more;
	if (list != NULL && !json_is_null(list) && !json_is_array(list))
		(void)rk_refuse_at(why, "stores", "is no list");
	json_array_foreach(list, i, v)
		add_entry(r, v, i, why);
	for (enum store_kind k = STORE_S3; k <= STORE_FILE; k++) {
		char *match = xasprintf("%s://", kind_words[k]);
		struct entry e = { .match = match };
		if (!known_match(r, match))
			add_store(r, k, &e, NULL);
		free(match);
	}
	bool bad = why->n + why->more > before;
	rk_why_fini(&own);
	if (bad)
		stores_close(r);
	return bad ? RK_EINVAL : RK_OK;
}

void
stores_close(struct remote *r)
{
	struct rstore *s;

	/* Shared keys go last: their owner may be anywhere in the list. */
	for (s = r->stores; s != NULL; s = s->next) {
		if (!s->own_creds)
			s->creds = NULL;
	}
	while ((s = r->stores) != NULL) {
		r->stores = s->next;
		store_free(&s);
	}
}
