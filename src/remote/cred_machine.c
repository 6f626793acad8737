/*
 * The role of the machine we run on: EC2's and Alibaba ECS's metadata services,
 * which differ in names alone.
 *
 *	token ──200──► role ──200──► keys        a 401 takes a new token, once
 *	   └─ 403 404 405, or no answer in time: the same without a token
 *
 * A container may be too many hops away for the answer with the token, and then
 * hears nothing: a second is waited for, and no more.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cred.h"

#define ANSWER_MS  1000
#define TOKEN_S    "21600"
#define TOKEN_MS   (21595 * 1000LL)
#define TRIES      3
#define ROLE_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" \
	"0123456789+=,.@_-"

struct service {
	const char *what, *url, *variable, *ttl, *token, *path;
	const char *no_v1;
	enum cred_form form;
};
static const struct service ec2 = {
	"EC2 metadata", "http://169.254.169.254",
	"AWS_EC2_METADATA_SERVICE_ENDPOINT",
	"X-aws-ec2-metadata-token-ttl-seconds", "X-aws-ec2-metadata-token",
	"/latest/meta-data/iam/security-credentials/",
	"AWS_EC2_METADATA_V1_DISABLED", FORM_AWS,
};
static const struct service ecs = {
	"ECS metadata", "http://100.100.100.200", NULL,
	"X-aliyun-ecs-metadata-token-ttl-seconds",
	"X-aliyun-ecs-metadata-token",
	"/latest/meta-data/ram/security-credentials/",
	"ALIBABA_CLOUD_IMDSV1_DISABLED", FORM_ALIBABA,
};

static const struct service *
service_of(const struct fetch *f)
{
	return f->cs->oss ? &ecs : &ec2;
}

/* A profile that names the machine's role ends the chain; on its own the
 * machine is but a link. */
#define none(f, ...) \
	((f)->bound ? fetch_fail : fetch_next)((f), __VA_ARGS__)

static void
ask(struct fetch *f, const char *method, const char *path, const char *more,
    const char *header, const char *value, fetch_http_fn *then)
{
	char *url = xasprintf("%s%s%s", f->url, path, more);
	char *line = value != NULL ? xasprintf("%s: %s", header, value) : NULL;
	const char *headers[] = { line, NULL };
	struct http_request r = { .method = method, .url = url,
	    .headers = headers, .connect_ms = ANSWER_MS,
	    .total_ms = ANSWER_MS, .no_proxy = true };

	fetch_ask(f, &r, then);
	if (line != NULL)
		rk_wipe(line, strlen(line));
	free(line);
	free(url);
}

static const char *
session(const struct fetch *f)
{
	return f->v1 ? NULL : f->cs->session;
}

static void
drop_session(struct creds *cs)
{
	if (cs->session != NULL)
		rk_wipe(cs->session, strlen(cs->session));
	free(cs->session);
	cs->session = NULL;
}

static fetch_link_fn ask_token, ask_role, ask_keys;

/* What ends a step for good; false: the answer is 200 and its owner's. */
static bool
settled(struct fetch *f, const struct http_answer *a)
{
	const struct service *s = service_of(f);

	if (a->end == HTTP_ANSWERED && a->status == 200)
		return false;
	if (a->end == HTTP_ANSWERED && a->status == 401 && !f->renewed &&
	    !f->v1) {
		f->renewed = true;
		drop_session(f->cs);
		ask_token(f);
	} else if (fetch_retry(f, a)) {
		return true;
	} else if (a->end != HTTP_ANSWERED) {
		none(f, "%s: %s", s->what, a->error);
	} else if (a->status == 404) {
		none(f, "%s: this machine has no role%s%s", s->what,
		    f->role != NULL ? " " : "", f->role != NULL ? f->role : "");
	} else {
		fetch_fail(f, "%s: the answer is %d", s->what, a->status);
	}
	return true;
}

static void
on_keys(struct fetch *f, const struct http_answer *a)
{
	const struct service *s = service_of(f);
	char *why;

	if (settled(f, a))
		return;
	struct cred *c = cred_of_json(a->body, a->len, s->form, &why);
	if (c != NULL)
		fetch_got(f, c);
	else
		fetch_fail(f, "%s: %s", s->what, why);
	free(why);
}

static void
ask_keys(struct fetch *f)
{
	const struct service *s = service_of(f);

	f->again = ask_keys;
	ask(f, "GET", s->path, f->role, s->token, session(f), on_keys);
}

static void
on_role(struct fetch *f, const struct http_answer *a)
{
	if (settled(f, a))
		return;
	size_t n = strspn(a->body, ROLE_CHARS);
	if (n == 0 || n > 128 || strchr("\r\n", a->body[n]) == NULL) {
		none(f, "%s: this machine has no role",
		    service_of(f)->what);
		return;
	}
	free(f->role);
	f->role = xstrndup(a->body, n);
	f->tries = TRIES;
	ask_keys(f);
}

static void
ask_role(struct fetch *f)
{
	const struct service *s = service_of(f);

	if (f->role != NULL) {
		ask_keys(f);
		return;
	}
	f->again = ask_role;
	ask(f, "GET", s->path, "", s->token, session(f), on_role);
}

static void
on_token(struct fetch *f, const struct http_answer *a)
{
	const struct service *s = service_of(f);
	size_t n = a->end == HTTP_ANSWERED && a->status == 200 ?
	    strcspn(a->body, "\r\n") : 0;

	if (n > 0 && n <= CRED_TOKEN_MAX && memchr(a->body, ' ', n) == NULL) {
		drop_session(f->cs);
		f->cs->session = xstrndup(a->body, n);
		f->cs->session_ms = mono_ms() + TOKEN_MS;
		ask_role(f);
		return;
	}
	bool silent = a->end == HTTP_STALLED;
	bool old = a->end == HTTP_ANSWERED && (a->status == 403 ||
	    a->status == 404 || a->status == 405);
	if ((silent || old) && !cred_env_true(s->no_v1)) {
		f->v1 = true;
		ask_role(f);
	} else if (a->end == HTTP_NO_CONNECTION) {
		none(f, "%s: no such service here", s->what);
	} else if (!fetch_retry(f, a)) {
		if (a->end != HTTP_ANSWERED)
			none(f, "%s: no token: %s", s->what, a->error);
		else
			none(f, "%s: no token: the answer is %d",
			    s->what, a->status);
	}
}

static void
ask_token(struct fetch *f)
{
	const struct service *s = service_of(f);

	f->again = ask_token;
	ask(f, "PUT", "/latest/api/token", "", s->ttl, TOKEN_S, on_token);
}

static char *
base_url(const struct fetch *f)
{
	const struct service *s = service_of(f);
	const char *said = f->cs->metadata, *mode;

	if (said == NULL && s->variable != NULL)
		said = cred_env(s->variable);
	mode = cred_env("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
	if (said == NULL && !f->cs->oss && mode != NULL &&
	    strcasecmp(mode, "ipv6") == 0)
		said = "http://[fd00:ec2::254]";
	if (said == NULL)
		said = s->url;
	size_t n = strlen(said);
	while (n > 0 && said[n - 1] == '/')
		n--;
	return xstrndup(said, n);
}

void
machine_ask(struct fetch *f)
{
	free(f->url);
	f->url = base_url(f);
	f->tries = TRIES;
	if (f->cs->session != NULL && mono_ms() < f->cs->session_ms)
		ask_role(f);
	else
		ask_token(f);
}

void
link_aws_machine(struct fetch *f)
{
	if (cred_env_true("AWS_EC2_METADATA_DISABLED"))
		fetch_next(f, "AWS_EC2_METADATA_DISABLED is true");
	else
		machine_ask(f);
}

void
link_oss_machine(struct fetch *f)
{
	const char *role = cred_env("ALIBABA_CLOUD_ECS_METADATA");

	if (cred_env_true("ALIBABA_CLOUD_ECS_METADATA_DISABLED")) {
		fetch_next(f, "ALIBABA_CLOUD_ECS_METADATA_DISABLED is true");
		return;
	}
	if (role != NULL && strspn(role, ROLE_CHARS) == strlen(role))
		f->role = xstrdup(role);
	machine_ask(f);
}
