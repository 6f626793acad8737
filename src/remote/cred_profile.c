/*
 * Profiles: the files that the clouds' own tools keep.
 *
 *	~/.aws/credentials          [name]          keys, credential_process
 *	~/.aws/config               [profile name]  the same; region, endpoint
 *	~/.aliyun/config.json       profiles of the aliyun command
 *	~/.alibabacloud/credentials [name]          INI
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "cred.h"

static void
wipe_free(char *s)
{
	if (s != NULL)
		rk_wipe(s, strlen(s));
	free(s);
}

const char *
profile_name(const struct creds *cs, bool *said)
{
	const char *name = cs->profile;

	if (name == NULL)
		name = cred_env(cs->oss ? "ALIBABA_CLOUD_PROFILE" :
		    "AWS_PROFILE");
	if (name == NULL && !cs->oss)
		name = cred_env("AWS_DEFAULT_PROFILE");
	*said = name != NULL;
	return name != NULL ? name : "default";
}

/* Once is enough. */
static void
warn_open(const struct fetch *f, int i, const char *what)
{
	static bool warned;

	if (f->text_open[i] && !warned) {
		warned = true;
		log_warn("remote: %s with keys can be read by other users of "
		    "this machine", what);
	}
}

/* --- AWS ----------------------------------------------------------------- */

/* The section of a profile in the file `config`. */
static char *
config_section(const char *config, const char *name)
{
	char *section = xasprintf("profile %s", name), *there;

	if (strcmp(name, "default") != 0)
		return section;
	there = config != NULL ? ini_get(config, section, NULL) : NULL;
	if (there == NULL) {
		free(section);
		section = xstrdup("default");
	}
	free(there);
	return section;
}

static char *
get(const char *text, const char *section, const char *key)
{
	char *v = text != NULL ? ini_get(text, section, key) : NULL;

	if (v != NULL && key != NULL && (*v == '\0' || *v == '\n')) {
		wipe_free(v);           /* nothing, or a block */
		v = NULL;
	}
	return v;
}

/* Keys in one of the files; false: there are none. */
static bool
take_static(struct fetch *f, const char *text, const char *section)
{
	char *id = get(text, section, "aws_access_key_id"), *why;
	char *secret = get(text, section, "aws_secret_access_key");
	char *token = get(text, section, "aws_security_token");
	if (token == NULL)
		token = get(text, section, "aws_session_token");
	bool any = id != NULL || secret != NULL;

	if (any) {
		struct cred *c = cred_checked(id, secret, token, NULL, &why);
		f->from_file = true;
		fetch_take(f, c, "profile", why);
	}
	wipe_free(id);
	wipe_free(secret);
	wipe_free(token);
	return any;
}

/* A program that makes keys, or a token that is exchanged for them. */
static bool
take_indirect(struct fetch *f, const char *name, const char *section)
{
	char *run = get(f->text[0], name, "credential_process");
	char *file = get(f->text[1], section, "web_identity_token_file");
	char *role = get(f->text[1], section, "role_arn");
	char *session = get(f->text[1], section, "role_session_name");
	bool any = true;

	if (run == NULL)
		run = get(f->text[1], section, "credential_process");
	if (run != NULL)
		process_run(f, run);
	else if (file != NULL && role != NULL)
		web_ask(f, file, role, session);
	else
		any = false;
	free(run);
	free(file);
	free(role);
	free(session);
	return any;
}

static void
take_none(struct fetch *f, const char *name, const char *section, bool said)
{
	char *a = get(f->text[0], name, NULL), *b = get(f->text[1], section,
	    NULL);
	bool there = a != NULL || b != NULL;

	free(a);
	free(b);
	if (!there && !said)
		fetch_next(f, "there is no profile in ~/.aws");
	else if (!there)
		fetch_fail(f, "profile: there is no \"%s\" in the files of AWS",
		    name);
	else if (!said)
		fetch_next(f, "the default profile has no keys");
	else
		fetch_fail(f, "profile: \"%s\" has neither keys nor "
		    "credential_process nor a web identity; for other ways "
		    "set credential_process = aws configure export-credentials "
		    "--profile NAME --format process", name);
}

static void
have_aws(struct fetch *f)
{
	bool said;
	char *name = xstrdup(profile_name(f->cs, &said));
	char *section = config_section(f->text[1], name);

	warn_open(f, 0, "the AWS credentials file");
	/* Each of these ends the fetch, or goes on, if it is true. */
	if (!take_static(f, f->text[0], name) &&
	    !take_static(f, f->text[1], section) &&
	    !take_indirect(f, name, section))
		take_none(f, name, section, said);
	free(name);
	free(section);
}

void
link_aws_profile(struct fetch *f)
{
	char *a = cred_path("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials");
	char *b = cred_path("AWS_CONFIG_FILE", ".aws/config");

	fetch_read(f, a, b, have_aws);
	free(a);
	free(b);
}

/* --- Alibaba ------------------------------------------------------------- */

static const char *
text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL && *s != '\0' ? s : NULL;
}

/* The profile of config.json that is asked for, borrowed, or NULL. */
static const json_t *
cli_profile(const json_t *tree, const struct creds *cs, bool *said)
{
	const char *name = profile_name(cs, said), *current;
	const json_t *list = json_object_get(tree, "profiles"), *p;
	size_t i;

	current = text_of(tree, "current");
	if (!*said && current != NULL)
		name = current;
	json_array_foreach(list, i, p) {
		const char *own = text_of(p, "name");
		if (own != NULL && strcmp(own, name) == 0)
			return p;
	}
	return NULL;
}

static void
take_role(struct fetch *f, const char *role)
{
	f->role = role != NULL ? xstrdup(role) : NULL;
	f->bound = true;
	machine_ask(f);
}

static void
take_cli(struct fetch *f, const json_t *p)
{
	const char *mode = text_of(p, "mode");
	bool sts;
	char *why;

	if (mode == NULL)
		mode = "AK";
	if (strcmp(mode, "EcsRamRole") == 0) {
		take_role(f, text_of(p, "ram_role_name"));
		return;
	}
	sts = strcmp(mode, "StsToken") == 0;
	if (!sts && strcmp(mode, "AK") != 0) {
		fetch_fail(f, "profile: its mode is %.32s, want AK, StsToken "
		    "or EcsRamRole", mode);
		return;
	}
	struct cred *c = cred_checked(text_of(p, "access_key_id"),
	    text_of(p, "access_key_secret"), sts ? text_of(p, "sts_token") :
	    NULL, NULL, &why);
	f->from_file = true;
	fetch_take(f, c, "profile", why);
}

static json_t *
cli_tree(const char *text)
{
	json_t *tree = NULL;

	if (text == NULL || rkj_parse_json(text, strlen(text), &tree, NULL) !=
	    RK_OK)
		return NULL;
	return tree;
}

static void
have_cli(struct fetch *f)
{
	bool said = false, read = f->text[0] != NULL;
	json_t *tree = cli_tree(f->text[0]);
	const json_t *p = cli_profile(tree, f->cs, &said);

	warn_open(f, 0, "the configuration of the aliyun command");
	if (p != NULL)
		take_cli(f, p);
	else if (read && tree == NULL)
		fetch_next(f, "the aliyun command's configuration is no JSON");
	else
		fetch_next(f, "the aliyun command has no such profile");
	json_decref(tree);
}

void
link_oss_cli(struct fetch *f)
{
	char *path = cred_path("ALIBABA_CLOUD_CONFIG_FILE",
	    ".aliyun/config.json");

	if (cred_env_true("ALIBABA_CLOUD_CLI_PROFILE_DISABLED"))
		fetch_next(f, "ALIBABA_CLOUD_CLI_PROFILE_DISABLED is true");
	else
		fetch_read(f, path, NULL, have_cli);
	free(path);
}

static void
take_ini(struct fetch *f, const char *type, const char *name)
{
	char *id, *secret, *token, *role, *why;

	if (type != NULL && strcmp(type, "ecs_ram_role") == 0) {
		role = get(f->text[0], name, "role_name");
		take_role(f, role);
		free(role);
		return;
	}
	if (type != NULL && strcmp(type, "access_key") != 0 &&
	    strcmp(type, "sts") != 0) {
		fetch_fail(f, "profile: its type is %.32s, want access_key, "
		    "sts or ecs_ram_role", type);
		return;
	}
	id = get(f->text[0], name, "access_key_id");
	secret = get(f->text[0], name, "access_key_secret");
	token = get(f->text[0], name, "security_token");
	struct cred *c = cred_checked(id, secret, token, NULL, &why);
	f->from_file = true;
	fetch_take(f, c, "profile", why);
	wipe_free(id);
	wipe_free(secret);
	wipe_free(token);
}

static void
have_ini(struct fetch *f)
{
	bool said;
	char *name = xstrdup(profile_name(f->cs, &said));
	char *there = get(f->text[0], name, NULL);
	char *type = get(f->text[0], name, "type");

	warn_open(f, 0, "the Alibaba Cloud credentials file");
	if (there != NULL)
		take_ini(f, type, name);
	else if (said)
		fetch_fail(f, "profile: there is no \"%s\" in the files of "
		    "Alibaba Cloud", name);
	else
		fetch_next(f, "there is no profile in ~/.alibabacloud");
	free(name);
	free(there);
	free(type);
}

void
link_oss_ini(struct fetch *f)
{
	char *path = cred_path("ALIBABA_CLOUD_CREDENTIALS_FILE",
	    ".alibabacloud/credentials");

	fetch_read(f, path, NULL, have_ini);
	free(path);
}

/* --- region and endpoint ------------------------------------------------- */

static char *
read_text(const char *variable, const char *rest)
{
	char *path = cred_path(variable, rest), *text = NULL;
	size_t n;

	if (path == NULL || rk_read_file(AT_FDCWD, path, CRED_FILE_MAX, &text,
	    &n) != RK_OK)
		text = NULL;
	free(path);
	return text;
}

static char *
first_env(const char *a, const char *b)
{
	const char *s = cred_env(a);

	if (s == NULL)
		s = cred_env(b);
	return s != NULL ? xstrdup(s) : NULL;
}

/* [profile x] services = NAME; [services NAME] s3 = endpoint_url = URL */
static char *
service_endpoint(const char *config, const char *section)
{
	char *name = get(config, section, "services"), *of, *url;

	if (name == NULL)
		return NULL;
	of = xasprintf("services %s", name);
	url = ini_nested(config, of, "s3", "endpoint_url");
	free(of);
	free(name);
	return url;
}

static void
aws_file_places(struct creds *cs)
{
	bool said;
	const char *name = profile_name(cs, &said);
	char *text[2] = { read_text("AWS_SHARED_CREDENTIALS_FILE",
	    ".aws/credentials"), read_text("AWS_CONFIG_FILE", ".aws/config") };
	char *section[2] = { xstrdup(name), config_section(text[1], name) };

	if (cs->said_endpoint == NULL)
		cs->said_endpoint = service_endpoint(text[1], section[1]);
	/* What the credentials file says goes over the other. */
	for (int i = 0; i < 2; i++) {
		if (cs->said_region == NULL)
			cs->said_region = get(text[i], section[i], "region");
		if (cs->said_endpoint == NULL)
			cs->said_endpoint = get(text[i], section[i],
			    "endpoint_url");
	}
	for (int i = 0; i < 2; i++) {
		wipe_free(text[i]);
		free(section[i]);
	}
}

static void
oss_file_places(struct creds *cs)
{
	bool said;
	char *text = read_text("ALIBABA_CLOUD_CONFIG_FILE",
	    ".aliyun/config.json");
	json_t *tree = cli_tree(text);
	const char *region = text_of(cli_profile(tree, cs, &said),
	    "region_id");

	if (cs->said_region == NULL && region != NULL)
		cs->said_region = xstrdup(region);
	json_decref(tree);
	wipe_free(text);
}

void
profile_places(struct creds *cs)
{
	bool files = cs->kind == CRED_AUTO || cs->kind == CRED_PROFILE;

	cs->said_region = cs->oss ?
	    first_env("OSS_REGION", "ALIBABA_CLOUD_REGION_ID") :
	    first_env("AWS_REGION", "AWS_DEFAULT_REGION");
	cs->said_endpoint = cs->oss ?
	    first_env("OSS_ENDPOINT", "OSS_ENDPOINT") :
	    first_env("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL");
	if (files && cs->oss)
		oss_file_places(cs);
	else if (files)
		aws_file_places(cs);
}
