/*
 * Links of the chains that the environment describes: keys themselves, a token
 * that an identity provider wrote to a file, a container's own service.
 *
 *	AWS      AWS SDKs and Tools Reference Guide, "Standardized credential
 *	         providers"
 *	Alibaba  "Manage access credentials" of the OSS SDK; RRSA
 */
#include <stdlib.h>
#include <string.h>

#include "cred.h"

#define STS_MS       15000
#define CONTAINER_MS 2000
#define TRIES        3
#define SESSION      "rekindle"

/* --- keys ---------------------------------------------------------------- */

/* Half a key is a mistake, and not passed over. */
static void
take_env(struct fetch *f, const char *id_name, const char *secret_name,
    const char *token, const char *expires)
{
	const char *id = cred_env(id_name), *secret = cred_env(secret_name);
	char *why;

	if (id == NULL && secret == NULL) {
		fetch_next(f, "%s is not set", id_name);
		return;
	}
	if (id == NULL || secret == NULL) {
		fetch_fail(f, "environment: %s is set, and %s is not",
		    id != NULL ? id_name : secret_name,
		    id != NULL ? secret_name : id_name);
		return;
	}
	struct cred *c = cred_checked(id, secret, token, expires, &why);
	fetch_take(f, c, "environment", why);
}

void
link_aws_env(struct fetch *f)
{
	const char *token = cred_env("AWS_SESSION_TOKEN");

	take_env(f, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
	    token != NULL ? token : cred_env("AWS_SECURITY_TOKEN"),
	    cred_env("AWS_CREDENTIAL_EXPIRATION"));
}

void
link_oss_env(struct fetch *f)
{
	if (cred_env("OSS_ACCESS_KEY_ID") != NULL)
		take_env(f, "OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET",
		    cred_env("OSS_SESSION_TOKEN"), NULL);
	else
		take_env(f, "ALIBABA_CLOUD_ACCESS_KEY_ID",
		    "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
		    cred_env("ALIBABA_CLOUD_SECURITY_TOKEN"), NULL);
}

/* --- a token for keys ---------------------------------------------------- */

static bool
name_ok(const char *s)
{
	return strlen(s) <= 63 && s[strspn(s, "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")] == '\0';
}

/* The region that is configured, if it can be part of a host's name. */
static const char *
region_of(const struct creds *cs)
{
	const char *r = cs->region != NULL ? cs->region : cs->said_region;

	return r != NULL && name_ok(r) ? r : NULL;
}

static char *
aws_sts_url(const struct creds *cs)
{
	const char *said = cred_env("AWS_ENDPOINT_URL_STS");
	const char *region = region_of(cs);

	if (said == NULL)
		said = cred_env("AWS_ENDPOINT_URL");
	if (said != NULL)
		return xstrdup(said);
	if (region == NULL)
		return xstrdup("https://sts.amazonaws.com/");
	return xasprintf("https://sts.%s.amazonaws.com%s/", region,
	    strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
}

static char *
oss_sts_url(const struct creds *cs)
{
	const char *said = cred_env("ALIBABA_CLOUD_STS_ENDPOINT");
	const char *region = cred_env("ALIBABA_CLOUD_STS_REGION");
	bool vpc = cred_env_true("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED");

	if (region == NULL && vpc)
		region = region_of(cs);
	if (said != NULL)
		return xstrdup(said);
	if (region == NULL || !name_ok(region))
		return xstrdup("https://sts.aliyuncs.com/");
	return xasprintf("https://sts%s.%s.aliyuncs.com/", vpc ? "-vpc" : "",
	    region);
}

static void
add_field(struct strbuf *b, const char *name, const char *value)
{
	sb_addf(b, "%s%s=", b->len > 0 ? "&" : "", name);
	sign_encode(b, value, false);
}

static void
on_sts(struct fetch *f, const struct http_answer *a)
{
	bool oss = f->cs->oss;
	const char *what = oss ? "OIDC" : "web identity";
	char *why;

	if (fetch_retry(f, a))
		return;
	if (a->end != HTTP_ANSWERED) {
		fetch_fail(f, "%s: cannot ask %s: %s", what, f->url, a->error);
		return;
	}
	struct cred *c = oss ?
	    cred_of_json(a->body, a->len, FORM_ALIBABA_STS, &why) :
	    cred_of_xml(a->body, a->len, &why);
	if (a->status != 200) {
		char *said = xasprintf("%s answers %d; %s", f->url, a->status,
		    why != NULL ? why : "");
		cred_unref(&c);
		free(why);
		why = said;
	}
	fetch_take(f, c, what, why);
}

static void
post_token(struct fetch *f)
{
	static const char *const headers[] = {
	    "Content-Type: application/x-www-form-urlencoded", NULL };
	bool oss = f->cs->oss;
	char *token = fetch_line(f, 0), when[RK_TIME];
	struct strbuf b = {0};

	if (token == NULL) {
		fetch_fail(f, "%s: no token can be read from its file",
		    oss ? "OIDC" : "web identity");
		return;
	}
	free(f->url);
	f->url = oss ? oss_sts_url(f->cs) : aws_sts_url(f->cs);
	char *url = xstrdup(f->url);
	if (oss) {
		/* "2026-11-23T12:00:00Z": without the fraction */
		rk_time_text(when, now_ms());
		free(url);
		url = xasprintf("%s?Action=AssumeRoleWithOIDC&Version="
		    "2015-04-01&Format=JSON&Timestamp=%.19sZ", f->url, when);
		add_field(&b, "OIDCProviderArn", f->auth);
		add_field(&b, "DurationSeconds", "3600");
	} else {
		add_field(&b, "Action", "AssumeRoleWithWebIdentity");
		add_field(&b, "Version", "2011-06-15");
	}
	add_field(&b, "RoleArn", f->arn);
	add_field(&b, "RoleSessionName", f->session_name);
	add_field(&b, oss ? "OIDCToken" : "WebIdentityToken", token);
	struct http_request r = { .method = "POST", .url = url,
	    .headers = headers, .body = b.s, .body_len = b.len,
	    .ca_file = cred_env("AWS_CA_BUNDLE"), .total_ms = STS_MS };
	fetch_ask(f, &r, on_sts);
	rk_wipe(b.s, b.len);
	sb_fini(&b);
	rk_wipe(token, strlen(token));
	free(token);
	free(url);
}

void
web_ask(struct fetch *f, const char *file, const char *role,
    const char *session_name)
{
	f->arn = xstrdup(role);
	f->session_name = xstrdup(session_name != NULL ? session_name :
	    SESSION);
	f->again = post_token;
	f->tries = TRIES;
	fetch_read(f, file, NULL, post_token);
}

void
link_aws_web(struct fetch *f)
{
	const char *file = cred_env("AWS_WEB_IDENTITY_TOKEN_FILE");
	const char *role = cred_env("AWS_ROLE_ARN");

	if (file == NULL)
		fetch_next(f, "AWS_WEB_IDENTITY_TOKEN_FILE is not set");
	else if (role == NULL)
		fetch_fail(f, "web identity: AWS_WEB_IDENTITY_TOKEN_FILE is "
		    "set, and AWS_ROLE_ARN is not");
	else
		web_ask(f, file, role, cred_env("AWS_ROLE_SESSION_NAME"));
}

void
link_oss_oidc(struct fetch *f)
{
	const char *file = cred_env("ALIBABA_CLOUD_OIDC_TOKEN_FILE");
	const char *role = cred_env("ALIBABA_CLOUD_ROLE_ARN");
	const char *from = cred_env("ALIBABA_CLOUD_OIDC_PROVIDER_ARN");

	if (file == NULL) {
		fetch_next(f, "ALIBABA_CLOUD_OIDC_TOKEN_FILE is not set");
		return;
	}
	if (role == NULL || from == NULL) {
		fetch_fail(f, "OIDC: ALIBABA_CLOUD_OIDC_TOKEN_FILE is set, and "
		    "%s is not", role == NULL ? "ALIBABA_CLOUD_ROLE_ARN" :
		    "ALIBABA_CLOUD_OIDC_PROVIDER_ARN");
		return;
	}
	f->auth = xstrdup(from);
	web_ask(f, file, role, cred_env("ALIBABA_CLOUD_ROLE_SESSION_NAME"));
}

/* --- a container's service ----------------------------------------------- */

static void
on_container(struct fetch *f, const struct http_answer *a)
{
	bool oss = f->cs->oss;
	const char *what = oss ? "credentials URI" : "container";
	char *why;

	if (fetch_retry(f, a))
		return;
	if (a->end != HTTP_ANSWERED) {
		fetch_fail(f, "%s: no answer: %s", what, a->error);
		return;
	}
	if (a->status != 200) {
		fetch_fail(f, "%s: the answer is %d", what, a->status);
		return;
	}
	struct cred *c = cred_of_json(a->body, a->len, oss ? FORM_ALIBABA :
	    FORM_AWS, &why);
	fetch_take(f, c, what, why);
}

static void
get_container(struct fetch *f)
{
	char *line = f->auth != NULL ? xasprintf("Authorization: %s", f->auth) :
	    NULL;
	const char *headers[] = { line, NULL };
	struct http_request r = { .method = "GET", .url = f->url,
	    .headers = headers, .connect_ms = CONTAINER_MS,
	    .total_ms = CONTAINER_MS, .no_proxy = true };

	fetch_ask(f, &r, on_container);
	if (line != NULL)
		rk_wipe(line, strlen(line));
	free(line);
}

static void
have_container_token(struct fetch *f)
{
	if ((f->auth = fetch_line(f, 0)) == NULL) {
		fetch_fail(f, "container: no token can be read from "
		    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
		return;
	}
	get_container(f);
}

static void
begin_container(struct fetch *f)
{
	const char *file = cred_env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	const char *token = cred_env("AWS_CONTAINER_AUTHORIZATION_TOKEN");

	f->again = get_container;
	f->tries = TRIES;
	if (file != NULL) {
		fetch_read(f, file, NULL, have_container_token);
		return;
	}
	if (token != NULL && strpbrk(token, "\r\n") != NULL) {
		fetch_fail(f, "container: AWS_CONTAINER_AUTHORIZATION_TOKEN "
		    "has more than one line");
		return;
	}
	f->auth = token != NULL ? xstrdup(token) : NULL;
	get_container(f);
}

void
link_aws_container(struct fetch *f)
{
	const char *rest = cred_env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	const char *full = cred_env("AWS_CONTAINER_CREDENTIALS_FULL_URI");
	const char *base = f->cs->metadata;

	if (rest == NULL && full == NULL) {
		fetch_next(f, "AWS_CONTAINER_CREDENTIALS_FULL_URI is not set");
		return;
	}
	if (rest != NULL && *rest != '/') {
		fetch_fail(f, "container: AWS_CONTAINER_CREDENTIALS_"
		    "RELATIVE_URI does not begin with a slash");
		return;
	}
	if (rest != NULL)
		f->url = xasprintf("%s%s", base != NULL ? base :
		    "http://169.254.170.2", rest);
	else
		f->url = xstrdup(full);
	if (rest == NULL && strncmp(full, "https://", 8) != 0 &&
	    !(strncmp(full, "http://", 7) == 0 && cred_host_near(full))) {
		fetch_fail(f, "container: AWS_CONTAINER_CREDENTIALS_FULL_URI "
		    "is neither https nor a service of this machine");
		return;
	}
	begin_container(f);
}

void
link_oss_uri(struct fetch *f)
{
	const char *uri = cred_env("ALIBABA_CLOUD_CREDENTIALS_URI");

	if (uri == NULL) {
		fetch_next(f, "ALIBABA_CLOUD_CREDENTIALS_URI is not set");
		return;
	}
	f->url = xstrdup(uri);
	f->again = get_container;
	f->tries = TRIES;
	get_container(f);
}
