/* Credentials: each source of both chains against a stand-in for the services,
 * started as a program of its own (tests/outside/metadata.py). */
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "cred.h"
#include "t.h"

static struct loop *l;
static struct http *h;
static char service[64];        /* http://127.0.0.1:PORT */
static char script[4096];

/* Cases run elsewhere: where the tree is, is known before them. */
__attribute__((constructor)) static void
find_script(void)
{
	char dir[3000] = "";
	if (getcwd(dir, sizeof(dir)) != NULL)
		snprintf(script, sizeof(script),
		    "%s/tests/outside/metadata.py", dir);
}

/* Nothing of the environment that the tests run in counts. */
static void
clean_env(void)
{
	extern char **environ;
	static const char *const ours[] = { "AWS_", "OSS_", "ALIBABA_" };
	for (char **e = environ; *e != NULL;) {
		char name[256];
		bool drop = strcasestr(*e, "proxy") != NULL;
		for (size_t i = 0; i < RK_ARRAY_LEN(ours); i++)
			drop |= strncmp(*e, ours[i], strlen(ours[i])) == 0;
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(*e, "="),
		    *e);
		if (drop)
			unsetenv(name);
		else
			e++;
	}
	char dir[1000];
	t_check(getcwd(dir, sizeof(dir)) != NULL);
	setenv("HOME", dir, 1);
}

static void
open_all(void)
{
	clean_env();
	t_eq_int(loop_open(&l), RK_OK);
	t_eq_int(http_open(&h, l, &(struct http_config){0}), RK_OK);
}

static void
close_all(struct creds **cs)
{
	creds_close(cs);
	http_close(&h);
	loop_close(&l);
}

static void
start_service(void)
{
	int out[2], in[2];
	if (access(script, R_OK) != 0)
		t_skip("no stand-in: run it from the tree's root");
	t_check(pipe(out) == 0 && pipe2(in, O_CLOEXEC) == 0);
	fflush(NULL);
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(in[0], 0);
		dup2(out[1], 1);
		execlp("python3", "python3", script, NULL);
		_exit(77);
	}
	close(out[1]);
	FILE *says = fdopen(out[0], "r");
	if (says == NULL || fgets(service, sizeof(service), says) == NULL)
		t_skip("no python3");
	service[strcspn(service, "\n")] = '\0';
	fclose(says);
}

static char *answer;
static void
keep(void *ctx, const struct http_answer *a)
{
	(void)ctx;
	if (a->status != 200)
		t_fail("control: %d %s", a->status, a->error);
	free(answer);
	answer = xstrndup(a->body, a->len);
}

static void
ask(const char *method, const char *path)
{
	char *url = xasprintf("%s%s", service, path);
	struct http_request r = { .method = method, .url = url, .body_fd = -1,
	    .sink_fd = -1, .no_proxy = true, .done = keep };
	http_now(&r, NULL, NULL);
	free(url);
}

static void
set(const char *knobs)
{
	char *path = xasprintf("/_ctl?%s", knobs);
	ask("POST", path);
	free(path);
}

static int
count(const char *what)
{
	json_t *t, *v;
	ask("GET", "/_ctl");
	t_eq_int(rkj_parse_json(answer, strlen(answer), &t, NULL), RK_OK);
	v = json_object_get(json_object_get(t, "counts"), what);
	int n = (int)json_integer_value(v);
	json_decref(t);
	return n;
}

static struct creds *
open_creds(bool oss, enum cred_kind kind)
{
	struct creds_config c = { .oss = oss, .kind = kind, .id = "FIXED",
	    .secret = "fixed", .metadata_url = *service ? service : NULL };
	return creds_open(l, h, &c);
}

struct got {
	int calls;
	char id[64], secret[64], token[64], why[1024];
	struct cred *c;
};

static void
on_keys(void *ctx, struct cred *c, const char *why)
{
	struct got *g = ctx;
	g->calls++;
	snprintf(g->id, sizeof(g->id), "%s", c != NULL ? c->id : "-");
	snprintf(g->secret, sizeof(g->secret), "%s", c ? c->secret : "-");
	snprintf(g->token, sizeof(g->token), "%s", c ? c->token : "-");
	snprintf(g->why, sizeof(g->why), "%s", why);
	cred_unref(&g->c);
	g->c = c;
	loop_stop(l);
}

static struct got g;

static void
get(struct creds *cs)
{
	int before = g.calls;
	creds_get(cs, on_keys, &g);
	alarm(20);
	loop_run(l);
	alarm(0);
	t_eq_int(g.calls, before + 1);
	/* Whatever went wrong, no key is told. */
	t_check(strstr(g.why, "HUSH") == NULL);
}

static void
nap(void *ctx)
{
	loop_stop(ctx);
}

static void
run_for(int64_t ms)
{
	struct loop_timer *t = loop_timer_add(l, nap, l);
	loop_timer_at(t, mono_ms() + ms);
	loop_run(l);
	loop_timer_del(&t);
}

static void
expect(struct creds *cs, const char *id, const char *secret, const char *token)
{
	get(cs);
	if (strcmp(g.id, id) != 0)
		t_fail("id is %s, want %s: %s", g.id, id, g.why);
	t_eq_str(g.secret, secret);
	t_eq_str(g.token, token);
	t_eq_str(g.why, "");
	cred_unref(&g.c);
}

static void
expect_none(struct creds *cs, const char *why)
{
	get(cs);
	t_eq_str(g.id, "-");
	t_has(g.why, why);
}

static void
write_file(const char *name, const char *text)
{
	int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	t_check(fd >= 0 && rk_write_all(fd, text, strlen(text)) == 0);
	close(fd);
}

/* A case of one source: keys of `kind` from a service on its feet. */
static struct creds *
begin(bool oss, enum cred_kind kind)
{
	open_all();
	start_service();
	return open_creds(oss, kind);
}

/* --- what needs no service ----------------------------------------------- */

T_CASE(keys_of_the_configuration_are_given_at_once)
{
	open_all();
	struct creds *cs = open_creds(false, CRED_FIXED);
	creds_get(cs, on_keys, &g);
	t_eq_int(g.calls, 1);
	t_eq_str(g.id, "FIXED");
	creds_expired(cs, g.c);
	creds_get(cs, on_keys, &g);
	t_eq_int(g.calls, 2);
	t_eq_str(g.secret, "fixed");
	cred_unref(&g.c);
	close_all(&cs);
}

T_CASE(anonymous_is_no_keys_and_no_complaint)
{
	open_all();
	struct creds *cs = open_creds(false, CRED_ANONYMOUS);
	creds_get(cs, on_keys, &g);
	t_eq_str(g.id, "-");
	t_eq_str(g.why, "");
	close_all(&cs);
}

T_CASE(keys_are_taken_from_the_environment)
{
	open_all();
	setenv("AWS_ACCESS_KEY_ID", "AK", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "HUSH", 1);
	struct creds *cs = open_creds(false, CRED_AUTO);
	expect(cs, "AK", "HUSH", "");
	creds_close(&cs);
	setenv("AWS_SECURITY_TOKEN", "OLD", 1);
	cs = open_creds(false, CRED_ENVIRONMENT);
	expect(cs, "AK", "HUSH", "OLD");
	creds_close(&cs);
	setenv("AWS_SESSION_TOKEN", "NEW", 1);
	cs = open_creds(false, CRED_ENVIRONMENT);
	expect(cs, "AK", "HUSH", "NEW");
	creds_close(&cs);
	cs = open_creds(true, CRED_ENVIRONMENT);
	expect_none(cs, "ALIBABA_CLOUD_ACCESS_KEY_ID is not set");
	close_all(&cs);
}

T_CASE(both_names_of_alibaba_s_keys_are_known)
{
	open_all();
	setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "AK", 1);
	setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "HUSH", 1);
	setenv("ALIBABA_CLOUD_SECURITY_TOKEN", "T", 1);
	struct creds *cs = open_creds(true, CRED_AUTO);
	expect(cs, "AK", "HUSH", "T");
	creds_close(&cs);
	setenv("OSS_ACCESS_KEY_ID", "AK2", 1);
	setenv("OSS_ACCESS_KEY_SECRET", "HUSH2", 1);
	cs = open_creds(true, CRED_AUTO);
	expect(cs, "AK2", "HUSH2", "");
	close_all(&cs);
}

T_CASE(half_a_key_an_expired_one_and_a_malformed_one_are_mistakes)
{
	open_all();
	setenv("AWS_ACCESS_KEY_ID", "AK", 1);
	struct creds *cs = open_creds(false, CRED_AUTO);
	expect_none(cs, "AWS_SECRET_ACCESS_KEY is not");
	creds_close(&cs);
	setenv("AWS_SECRET_ACCESS_KEY", "HUSH", 1);
	setenv("AWS_CREDENTIAL_EXPIRATION", "2020-01-01T00:00:00Z", 1);
	cs = open_creds(false, CRED_AUTO);
	expect_none(cs, "the keys have expired");
	creds_close(&cs);
	setenv("AWS_CREDENTIAL_EXPIRATION", "soon", 1);
	cs = open_creds(false, CRED_AUTO);
	expect_none(cs, "time of expiry is malformed");
	creds_close(&cs);
	setenv("AWS_CREDENTIAL_EXPIRATION", "2120-01-01T00:00:00Z", 1);
	cs = open_creds(false, CRED_AUTO);
	expect(cs, "AK", "HUSH", "");
	creds_close(&cs);
	setenv("AWS_SESSION_TOKEN", "a\nHost: evil", 1);
	cs = open_creds(false, CRED_AUTO);
	expect_none(cs, "a key or token has a blank");
	close_all(&cs);
}

static const char *const ini =
    "# keys\n"
    "[default]\n"
    "aws_access_key_id=DEF\n"
    "aws_secret_access_key = HUSH-D\r\n"
    "\n"
    "[ team ]\n"
    "; of the team\n"
    "AWS_Access_Key_Id  =  TEAM\n"
    "aws_secret_access_key = SE=CR/ET+\n"
    "aws_session_token = TOK\n"
    "s3 =\n"
    "    aws_session_token = no\n"
    "\taws_access_key_id = no\n";

T_CASE(a_profile_is_found_in_the_credentials_file)
{
	open_all();
	mkdir(".aws", 0700);
	write_file(".aws/credentials", ini);
	struct creds *cs = open_creds(false, CRED_AUTO);
	expect(cs, "DEF", "HUSH-D", "");
	creds_close(&cs);
	setenv("AWS_PROFILE", "team", 1);
	cs = open_creds(false, CRED_PROFILE);
	expect(cs, "TEAM", "SE=CR/ET+", "TOK");
	creds_close(&cs);
	setenv("AWS_PROFILE", "none", 1);
	cs = open_creds(false, CRED_AUTO);
	expect_none(cs, "there is no \"none\"");
	creds_close(&cs);
	struct creds_config c = { .kind = CRED_PROFILE, .profile = "team" };
	cs = creds_open(l, h, &c);
	expect(cs, "TEAM", "SE=CR/ET+", "TOK");
	creds_close(&cs);
	rename(".aws/credentials", "elsewhere");
	setenv("AWS_SHARED_CREDENTIALS_FILE", "~/elsewhere", 1);
	cs = creds_open(l, h, &c);
	expect(cs, "TEAM", "SE=CR/ET+", "TOK");
	close_all(&cs);
}

T_CASE(the_config_file_has_keys_region_and_endpoint)
{
	open_all();
	mkdir(".aws", 0700);
	write_file(".aws/config", "[default]\nregion = eu-west-1\n"
	    "[profile my team]\nregion=us-gov-east-1\n"
	    "endpoint_url = https://store.example\n"
	    "aws_access_key_id = CFG\naws_secret_access_key = HUSH\n"
	    "[profile sso]\nsso_start_url = https://x\n");
	struct creds *cs = open_creds(false, CRED_AUTO);
	t_eq_str(creds_region(cs), "eu-west-1");
	t_check(creds_endpoint(cs) == NULL);
	creds_close(&cs);
	setenv("AWS_PROFILE", "my team", 1);
	cs = open_creds(false, CRED_AUTO);
	t_eq_str(creds_region(cs), "us-gov-east-1");
	t_eq_str(creds_endpoint(cs), "https://store.example");
	expect(cs, "CFG", "HUSH", "");
	creds_close(&cs);
	setenv("AWS_REGION", "eu-central-1", 1);
	setenv("AWS_ENDPOINT_URL", "https://all.example", 1);
	cs = open_creds(false, CRED_AUTO);
	t_eq_str(creds_region(cs), "eu-central-1");
	t_eq_str(creds_endpoint(cs), "https://all.example");
	creds_close(&cs);
	setenv("AWS_PROFILE", "sso", 1);
	cs = open_creds(false, CRED_PROFILE);
	expect_none(cs, "has neither keys nor credential_process");
	close_all(&cs);
}

T_CASE(keys_that_others_change_in_a_file_are_seen)
{
	open_all();
	mkdir(".aws", 0700);
	write_file(".aws/credentials", "[default]\naws_access_key_id=ONE\n"
	    "aws_secret_access_key=HUSH\n");
	struct creds *cs = open_creds(false, CRED_AUTO);
	expect(cs, "ONE", "HUSH", "");
	write_file(".aws/credentials", "[default]\naws_access_key_id=TWO\n"
	    "aws_secret_access_key=HUSH\n");
	expect(cs, "ONE", "HUSH", "");
	cs->looked_ms -= 11000;         /* as if time had passed */
	expect(cs, "ONE", "HUSH", "");
	run_for(100);
	expect(cs, "TWO", "HUSH", "");
	/* A file that is gone for a moment takes nothing away. */
	unlink(".aws/credentials");
	cs->looked_ms -= 11000;
	expect(cs, "TWO", "HUSH", "");
	run_for(100);
	expect(cs, "TWO", "HUSH", "");
	/* What the store refuses is looked at again at once. */
	write_file(".aws/credentials", "[default]\naws_access_key_id=3\n"
	    "aws_secret_access_key=HUSH\n");
	get(cs);
	creds_expired(cs, g.c);
	expect(cs, "3", "HUSH", "");
	close_all(&cs);
}

T_CASE(hostile_files_are_survived)
{
	open_all();
	mkdir(".aws", 0700);
	mkdir(".aws/credentials", 0700);
	struct creds *cs = open_creds(false, CRED_PROFILE);
	expect_none(cs, "no profile");
	rmdir(".aws/credentials");
	char *big = xmalloc(2 << 20);
	memset(big, '[', 2 << 20);
	big[(2 << 20) - 1] = '\0';
	write_file(".aws/credentials", big);
	creds_close(&cs);
	cs = open_creds(false, CRED_PROFILE);
	expect_none(cs, "no profile");
	big[900000] = '\0';
	write_file(".aws/credentials", big);
	creds_close(&cs);
	cs = open_creds(false, CRED_PROFILE);
	expect_none(cs, "no profile");
	free(big);
	close_all(&cs);
}

static struct creds *
process_creds(const char *line)
{
	char *text = xasprintf("[default]\ncredential_process = %s\n", line);
	write_file(".aws/config", text);
	free(text);
	return open_creds(false, CRED_PROFILE);
}

T_CASE(a_program_may_print_the_keys)
{
	open_all();
	mkdir(".aws", 0700);
	mkdir("my tools", 0700);
	write_file("my tools/keys", "#!/bin/sh\ncat; echo whisper HUSH >&2\n"
	    "[ \"$1 $2\" = 'a b $HOME' ] || exit 3\n"
	    "echo '{\"Version\": 1, \"AccessKeyId\": \"PROC\", "
	    "\"SecretAccessKey\": \"HUSH\", \"SessionToken\": \"T\"}'\n");
	chmod("my tools/keys", 0700);
	struct creds *cs = process_creds("\"my tools/keys\" a 'b $HOME'");
	expect(cs, "PROC", "HUSH", "T");
	creds_close(&cs);
	cs = process_creds("'my tools/keys' other");
	expect_none(cs, "credential_process: it ended with status 3");
	creds_close(&cs);
	cs = process_creds("'my tools/keys");
	expect_none(cs, "malformed");
	creds_close(&cs);
	cs = process_creds("/nowhere/keys");
	expect_none(cs, "cannot be started");
	creds_close(&cs);
	cs = process_creds("echo HUSH");
	expect_none(cs, "no JSON object");
	creds_close(&cs);
	cs = process_creds("head -c 99999 /dev/zero");
	expect_none(cs, "more than 64 KiB");
	creds_close(&cs);
	cs = process_creds("sh -c 'kill -9 $$'");
	expect_none(cs, "signal 9");
	close_all(&cs);
}

T_CASE(a_program_that_hangs_is_ended_with_its_source)
{
	open_all();
	mkdir(".aws", 0700);
	struct creds *cs = process_creds("sh -c 'echo $$ > pid; sleep 60; "
	    "exit 0'");
	creds_get(cs, on_keys, &g);
	run_for(300);
	char *text;
	size_t n;
	t_eq_int(rk_read_file(AT_FDCWD, "pid", 100, &text, &n), RK_OK);
	pid_t pid = (pid_t)atoi(text);
	free(text);
	t_eq_int(kill(pid, 0), 0);
	creds_close(&cs);
	for (int i = 0; i < 100 && kill(pid, 0) == 0; i++)
		run_for(20);
	t_check(kill(pid, 0) != 0);
	t_eq_int(g.calls, 0);
	close_all(&cs);
}

T_CASE(a_source_may_be_closed_while_its_files_are_read)
{
	open_all();
	for (int i = 0; i < 20; i++) {
		struct creds *cs = open_creds(false, CRED_PROFILE);
		creds_get(cs, on_keys, &g);
		if (i % 2 == 0)
			run_for(1);
		creds_close(&cs);
	}
	run_for(20);
	t_check(g.calls <= 10);
	struct creds *cs = open_creds(false, CRED_PROFILE);
	creds_get(cs, on_keys, &g);
	run_for(1);
	close_all(&cs);
}

T_CASE(when_there_is_nothing_each_source_says_why)
{
	open_all();
	snprintf(service, sizeof(service), "http://127.0.0.1:1");
	struct creds *cs = open_creds(false, CRED_AUTO);
	expect_none(cs, "no credentials: AWS_ACCESS_KEY_ID is not set; ");
	t_has(g.why, "AWS_WEB_IDENTITY_TOKEN_FILE is not set; ");
	t_has(g.why, "no profile in ~/.aws; ");
	t_has(g.why, "AWS_CONTAINER_CREDENTIALS_FULL_URI is not set; ");
	t_has(g.why, "EC2 metadata: no such service here");
	creds_close(&cs);
	cs = open_creds(true, CRED_AUTO);
	expect_none(cs, "ALIBABA_CLOUD_ACCESS_KEY_ID is not set; ");
	t_has(g.why, "ALIBABA_CLOUD_OIDC_TOKEN_FILE is not set; ");
	t_has(g.why, "ECS metadata: no such service here; ");
	t_has(g.why, "ALIBABA_CLOUD_CREDENTIALS_URI is not set");
	creds_close(&cs);
	setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
	setenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true", 1);
	cs = open_creds(false, CRED_INSTANCE);
	expect_none(cs, "AWS_EC2_METADATA_DISABLED is true");
	creds_close(&cs);
	cs = open_creds(true, CRED_INSTANCE);
	expect_none(cs, "METADATA_DISABLED is true");
	close_all(&cs);
}

/* --- EC2 and ECS --------------------------------------------------------- */

#define AWS_ROLE "/latest/meta-data/iam/security-credentials/"
#define OSS_ROLE "/latest/meta-data/ram/security-credentials/"

T_CASE(the_role_of_an_instance_is_found_at_the_end_of_the_chain)
{
	struct creds *cs = begin(false, CRED_AUTO);
	setenv("http_proxy", "http://127.0.0.1:1", 1);  /* never for this */
	expect(cs, "AKID", "HUSH", "TOKEN");
	expect(cs, "AKID", "HUSH", "TOKEN");
	t_eq_int(count("PUT /latest/api/token"), 1);
	t_eq_int(count("GET " AWS_ROLE), 1);
	t_eq_int(count("GET " AWS_ROLE "test-role"), 1);
	/* Another set with the same session token. */
	set("rotate=1");
	get(cs);
	creds_expired(cs, g.c);
	expect(cs, "AKID2", "HUSH", "TOKEN2");
	t_eq_int(count("PUT /latest/api/token"), 1);
	/* The service has forgotten it: 401, and a new one. */
	set("forget=1");
	get(cs);
	creds_expired(cs, g.c);
	expect(cs, "AKID3", "HUSH", "TOKEN3");
	t_eq_int(count("PUT /latest/api/token"), 2);
	close_all(&cs);
}

T_CASE(the_variable_says_where_ec2_s_metadata_is)
{
	open_all();
	start_service();
	setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service, 1);
	service[0] = '\0';
	struct creds *cs = open_creds(false, CRED_INSTANCE);
	expect(cs, "AKID", "HUSH", "TOKEN");
	close_all(&cs);
}

T_CASE(a_service_without_session_tokens_is_asked_the_old_way)
{
	struct creds *cs = begin(false, CRED_INSTANCE);
	set("token_status=404&v1=1");
	expect(cs, "AKID", "HUSH", "TOKEN");
	creds_close(&cs);
	setenv("AWS_EC2_METADATA_V1_DISABLED", "true", 1);
	cs = open_creds(false, CRED_INSTANCE);
	expect_none(cs, "no token: the answer is 404");
	creds_close(&cs);
	set("token_status=400");
	cs = open_creds(false, CRED_INSTANCE);
	expect_none(cs, "no token: the answer is 400");
	close_all(&cs);
}

/* As in a container that is one hop too far away. */
T_CASE(a_token_that_never_comes_is_waited_for_a_second)
{
	struct creds *cs = begin(false, CRED_INSTANCE);
	set("token_delay=4&v1=1");
	int64_t t0 = mono_ms();
	expect(cs, "AKID", "HUSH", "TOKEN");
	t_check(mono_ms() - t0 >= 900 && mono_ms() - t0 < 3000);
	close_all(&cs);
}

T_CASE(a_service_that_fails_for_a_moment_is_asked_again)
{
	struct creds *cs = begin(false, CRED_INSTANCE);
	set("fail=2&status=500");
	expect(cs, "AKID", "HUSH", "TOKEN");
	creds_close(&cs);
	set("fail=9&status=503");
	cs = open_creds(false, CRED_INSTANCE);
	expect_none(cs, "the answer is 503");
	set("fail=0");
	/* That is believed for two seconds, and not for good. */
	expect_none(cs, "the answer is 503");
	cs->failed_ms -= 2000;
	expect(cs, "AKID", "HUSH", "TOKEN");
	close_all(&cs);
}

T_CASE(strange_answers_of_the_metadata_are_no_keys)
{
	struct creds *cs = begin(false, CRED_INSTANCE);
	set("role=");
	expect_none(cs, "this machine has no role");
	creds_close(&cs);
	set("role=a%20b/../c");
	cs = open_creds(false, CRED_INSTANCE);
	expect_none(cs, "this machine has no role");
	creds_close(&cs);
	set("role=r&code=AssumeRoleUnauthorizedAccess");
	cs = open_creds(false, CRED_INSTANCE);
	expect_none(cs, "it says AssumeRoleUnauthorizedAccess");
	creds_close(&cs);
	static const char *const raw[] = { "%5B%5D", "%7B", "HUSH",
	    "%7B%22AccessKeyId%22:%22A%22%7D", "%7B%22AccessKeyId%22:7%7D" };
	for (size_t i = 0; i < RK_ARRAY_LEN(raw); i++) {
		char knob[128];
		snprintf(knob, sizeof(knob), "code=Success&raw=%s", raw[i]);
		set(knob);
		cs = open_creds(false, CRED_INSTANCE);
		expect_none(cs, "EC2 metadata: ");
		creds_close(&cs);
	}
	close_all(&cs);
}

T_CASE(the_role_of_an_alibaba_machine_is_found)
{
	struct creds *cs = begin(true, CRED_AUTO);
	expect(cs, "AKID", "HUSH", "TOKEN");
	t_eq_int(count("GET " OSS_ROLE), 1);
	creds_close(&cs);
	setenv("ALIBABA_CLOUD_ECS_METADATA", "test-role", 1);
	cs = open_creds(true, CRED_INSTANCE);
	expect(cs, "AKID", "HUSH", "TOKEN");
	t_eq_int(count("GET " OSS_ROLE), 1);
	t_eq_int(count("GET " OSS_ROLE "test-role"), 2);
	creds_close(&cs);
	setenv("ALIBABA_CLOUD_ECS_METADATA", "other", 1);
	cs = open_creds(true, CRED_INSTANCE);
	expect_none(cs, "no role other");
	close_all(&cs);
}

/* --- refresh ------------------------------------------------------------- */

T_CASE(many_who_wait_share_one_fetch)
{
	struct creds *cs = begin(false, CRED_INSTANCE);
	struct got many[50] = {0};
	set("delay=0.1");
	for (int i = 0; i < 50; i++)
		creds_get(cs, on_keys, &many[i]);
	creds_forget(cs, &many[7]);
	t_eq_int(many[0].calls, 0);
	run_for(1000);
	if (many[49].calls == 0)
		run_for(5000);
	for (int i = 0; i < 50; i++) {
		t_eq_int(many[i].calls, i == 7 ? 0 : 1);
		cred_unref(&many[i].c);
	}
	t_eq_int(count("GET " AWS_ROLE "test-role"), 1);
	close_all(&cs);
}

/* Of 2 s, the last 0.4 s less a little are for asking. */
T_CASE(keys_are_renewed_before_they_expire_and_nobody_waits)
{
	struct creds *cs = begin(false, CRED_INSTANCE);
	/* The time of expiry has whole seconds only. */
	set("rotate=1&lifetime=3");
	expect(cs, "AKID1", "HUSH", "TOKEN1");
	run_for(2900);
	creds_get(cs, on_keys, &g);
	t_eq_int(g.calls, 2);
	t_check(strcmp(g.id, "AKID1") != 0);
	cred_unref(&g.c);
	close_all(&cs);
}

T_CASE(old_keys_serve_while_they_are_good_and_no_new_ones_come)
{
	struct creds *cs = begin(false, CRED_CONTAINER);
	char *full = xasprintf("%s/ecs", service);
	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", full, 1);
	free(full);
	set("rotate=1&lifetime=5");
	expect(cs, "AKID1", "HUSH", "TOKEN1");
	set("fail=1000");
	cs->refused = false;
	loop_timer_at(cs->refresh, 0);
	run_for(2500);                  /* three tries, a second between */
	t_eq_int(count("GET /ecs"), 4);
	expect(cs, "AKID1", "HUSH", "TOKEN1");
	run_for(3000);
	cs->failed_ms = 0;
	expect_none(cs, "container: the answer is 503");
	set("fail=0");
	cs->failed_ms = 0;
	expect(cs, "AKID2", "HUSH", "TOKEN2");
	close_all(&cs);
}

T_CASE(expired_keys_of_a_machine_are_used_and_not_asked_for_each_time)
{
	struct creds *cs = begin(false, CRED_INSTANCE);
	set("lifetime=-100");
	for (int i = 0; i < 3; i++)
		expect(cs, "AKID", "HUSH", "TOKEN");
	t_eq_int(count("GET " AWS_ROLE "test-role"), 1);
	close_all(&cs);
}

T_CASE(what_the_store_refuses_is_fetched_anew_once)
{
	struct creds *cs = begin(false, CRED_INSTANCE);
	set("rotate=1");
	get(cs);
	struct cred *old = cred_ref(g.c);
	creds_expired(cs, old);
	expect(cs, "AKID2", "HUSH", "TOKEN2");
	/* A late complaint about the first set changes nothing. */
	creds_expired(cs, old);
	expect(cs, "AKID2", "HUSH", "TOKEN2");
	cred_unref(&old);
	close_all(&cs);
}

static struct creds *to_close;
static void
close_source(void *ctx, struct cred *c, const char *why)
{
	int *n = ctx;
	(void)why;
	++*n;
	cred_unref(&c);
	creds_close(&to_close);
	loop_stop(l);
}

T_CASE(a_source_may_be_closed_at_any_time)
{
	struct creds *cs = begin(false, CRED_INSTANCE);
	int n = 0;
	set("delay=0.05");
	for (int i = 0; i < 8; i++) {
		creds_get(cs, on_keys, &g);
		run_for(25 * i);
		creds_close(&cs);
		cs = open_creds(false, CRED_INSTANCE);
	}
	int calls = g.calls;
	to_close = cs;
	creds_get(cs, close_source, &n);
	creds_get(cs, close_source, &n);
	alarm(10);
	loop_run(l);
	t_eq_int(n, 1);
	t_eq_int(g.calls, calls);
	cs = NULL;
	cred_unref(&g.c);
	close_all(&cs);
}

/* --- tokens for keys ----------------------------------------------------- */

T_CASE(a_web_identity_is_exchanged_for_keys)
{
	open_all();
	start_service();
	setenv("AWS_ENDPOINT_URL_STS", service, 1);
	setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "token", 1);
	setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/a+b", 1);
	write_file("token", "ey.J+/=\n");
	set("want=ey.J%2B/%3D&rotate=1&fail=1");
	struct creds *cs = open_creds(false, CRED_AUTO);
	expect(cs, "AKID1", "HUSH", "TOKEN1");
	/* The token's file is read each time. */
	write_file("token", "other");
	set("want=other");
	get(cs);
	creds_expired(cs, g.c);
	expect(cs, "AKID2", "HUSH", "TOKEN2");
	creds_close(&cs);
	set("want=third");
	cs = open_creds(false, CRED_WEB_IDENTITY);
	expect_none(cs, "web identity: http://");
	t_has(g.why, "answers 400; it says InvalidIdentityToken: No provider");
	creds_close(&cs);
	unlink("token");
	cs = open_creds(false, CRED_AUTO);
	expect_none(cs, "no token can be read");
	creds_close(&cs);
	unsetenv("AWS_ROLE_ARN");
	cs = open_creds(false, CRED_AUTO);
	expect_none(cs, "AWS_ROLE_ARN is not");
	close_all(&cs);
}

T_CASE(a_profile_may_name_a_web_identity)
{
	open_all();
	start_service();
	setenv("AWS_ENDPOINT_URL", service, 1);
	write_file("token", "t");
	mkdir(".aws", 0700);
	write_file(".aws/config", "[default]\nrole_arn = arn:x\n"
	    "web_identity_token_file = token\n");
	set("want=t");
	struct creds *cs = open_creds(false, CRED_PROFILE);
	expect(cs, "AKID", "HUSH", "TOKEN");
	close_all(&cs);
}

T_CASE(an_oidc_token_is_exchanged_for_keys)
{
	open_all();
	start_service();
	char *url = xasprintf("%s/", service);
	setenv("ALIBABA_CLOUD_STS_ENDPOINT", url, 1);
	free(url);
	setenv("ALIBABA_CLOUD_OIDC_TOKEN_FILE", "token", 1);
	setenv("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::1:role/x", 1);
	struct creds *cs = open_creds(true, CRED_AUTO);
	expect_none(cs, "ALIBABA_CLOUD_OIDC_PROVIDER_ARN is not");
	creds_close(&cs);
	setenv("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "acs:ram::1:p/x", 1);
	write_file("token", "a b");
	set("want=a%20b");
	cs = open_creds(true, CRED_AUTO);
	expect(cs, "AKID", "HUSH", "TOKEN");
	creds_close(&cs);
	set("want=c");
	cs = open_creds(true, CRED_WEB_IDENTITY);
	expect_none(cs, "it says AuthenticationFail.OIDCToken.Invalid: This");
	close_all(&cs);
}

/* --- containers ---------------------------------------------------------- */

T_CASE(a_container_s_service_is_asked_with_its_token)
{
	struct creds *cs = begin(false, CRED_CONTAINER);
	setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/ecs", 1);
	expect(cs, "AKID", "HUSH", "TOKEN");
	creds_close(&cs);
	unsetenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	char *full = xasprintf("%s/ecs", service);
	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", full, 1);
	free(full);
	set("want=Basic%20a");
	cs = open_creds(false, CRED_AUTO);
	expect_none(cs, "container: the answer is 401");
	creds_close(&cs);
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic a", 1);
	cs = open_creds(false, CRED_AUTO);
	expect(cs, "AKID", "HUSH", "TOKEN");
	creds_close(&cs);
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic a\nX: y", 1);
	cs = open_creds(false, CRED_AUTO);
	expect_none(cs, "more than one line");
	creds_close(&cs);
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "token", 1);
	write_file("token", "Basic a\n");
	cs = open_creds(false, CRED_AUTO);
	expect(cs, "AKID", "HUSH", "TOKEN");
	creds_close(&cs);
	write_file("token", "Basic a\r\nX: y");
	cs = open_creds(false, CRED_AUTO);
	expect_none(cs, "no token can be read");
	creds_close(&cs);
	/* Keys that have expired are not a machine's: they are of no use. */
	write_file("token", "Basic a");
	set("lifetime=-5");
	cs = open_creds(false, CRED_AUTO);
	expect_none(cs, "container: the keys have expired");
	close_all(&cs);
}

T_CASE(a_container_s_service_must_be_near_or_https)
{
	static const char *const near[] = { "http://127.0.0.1/",
	    "http://[::1]:80", "http://localhost:8080/x", "http://127.8.9.1?x",
	    "http://169.254.170.2/v2", "http://169.254.170.23",
	    "http://[fd00:ec2::23]/v1", "http://LOCALHOST" };
	static const char *const far[] = { "http://10.0.0.1/",
	    "http://127.0.0.1@evil.example/", "http://evil.example#@127.0.0.1",
	    "http://127.0.0.1.evil.example", "http://localhost.evil.example/",
	    "http://169.254.169.254/", "http://[::1", "http://[::1]x/", "x",
	    "http://", "http://localhost:80@evil.example/" };
	for (size_t i = 0; i < RK_ARRAY_LEN(near); i++) {
		if (!cred_host_near(near[i]))
			t_fail("%s is near", near[i]);
	}
	for (size_t i = 0; i < RK_ARRAY_LEN(far); i++) {
		if (cred_host_near(far[i]))
			t_fail("%s is far", far[i]);
	}
	open_all();
	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://10.0.0.1/", 1);
	struct creds *cs = open_creds(false, CRED_AUTO);
	expect_none(cs, "neither https nor a service of this machine");
	creds_close(&cs);
	setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "@evil.example/", 1);
	cs = open_creds(false, CRED_AUTO);
	expect_none(cs, "does not begin with a slash");
	close_all(&cs);
}

/* --- Alibaba's files ----------------------------------------------------- */

T_CASE(profiles_of_the_aliyun_command_are_read)
{
	open_all();
	start_service();
	mkdir(".aliyun", 0700);
	write_file(".aliyun/config.json", "{\"current\": \"b\", \"profiles\": ["
	    "{\"name\": \"a\", \"mode\": \"AK\", \"access_key_id\": \"A\","
	    " \"access_key_secret\": \"HUSH\", \"sts_token\": \"no\"},"
	    "{\"name\": \"b\", \"mode\": \"StsToken\", \"access_key_id\": "
	    "\"B\", \"access_key_secret\": \"HUSH\", \"sts_token\": \"T\","
	    " \"region_id\": \"cn-beijing\"},"
	    "{\"name\": \"c\", \"mode\": \"EcsRamRole\", \"ram_role_name\": "
	    "\"test-role\"},"
	    "{\"name\": \"d\", \"mode\": \"ChainableRamRoleArn\"}]}");
	struct creds *cs = open_creds(true, CRED_AUTO);
	t_eq_str(creds_region(cs), "cn-beijing");
	expect(cs, "B", "HUSH", "T");
	creds_close(&cs);
	setenv("ALIBABA_CLOUD_PROFILE", "a", 1);
	cs = open_creds(true, CRED_PROFILE);
	expect(cs, "A", "HUSH", "");
	creds_close(&cs);
	setenv("ALIBABA_CLOUD_PROFILE", "c", 1);
	cs = open_creds(true, CRED_PROFILE);
	expect(cs, "AKID", "HUSH", "TOKEN");
	creds_close(&cs);
	setenv("ALIBABA_CLOUD_PROFILE", "d", 1);
	cs = open_creds(true, CRED_PROFILE);
	expect_none(cs, "its mode is ChainableRamRoleArn");
	creds_close(&cs);
	setenv("ALIBABA_CLOUD_PROFILE", "e", 1);
	cs = open_creds(true, CRED_PROFILE);
	expect_none(cs, "there is no \"e\"");
	close_all(&cs);
}

T_CASE(the_ini_file_of_alibaba_is_read)
{
	open_all();
	start_service();
	mkdir(".alibabacloud", 0700);
	write_file(".alibabacloud/credentials", "[default]\n"
	    "type = access_key\naccess_key_id = I\n"
	    "access_key_secret = HUSH\n"
	    "[role]\ntype = ecs_ram_role\nrole_name = test-role\n"
	    "[arn]\ntype = ram_role_arn\n");
	struct creds *cs = open_creds(true, CRED_AUTO);
	expect(cs, "I", "HUSH", "");
	creds_close(&cs);
	setenv("ALIBABA_CLOUD_PROFILE", "role", 1);
	cs = open_creds(true, CRED_AUTO);
	expect(cs, "AKID", "HUSH", "TOKEN");
	creds_close(&cs);
	setenv("ALIBABA_CLOUD_PROFILE", "arn", 1);
	cs = open_creds(true, CRED_AUTO);
	expect_none(cs, "its type is ram_role_arn");
	close_all(&cs);
}

T_CASE(a_credentials_uri_is_the_last_of_alibaba_s_chain)
{
	struct creds *cs = begin(true, CRED_AUTO);
	char *uri = xasprintf("%s/uri", service);
	setenv("ALIBABA_CLOUD_CREDENTIALS_URI", uri, 1);
	free(uri);
	set("role=");
	expect(cs, "AKID", "HUSH", "TOKEN");
	t_eq_int(count("GET /uri"), 1);
	close_all(&cs);
}

/* --- parsers ------------------------------------------------------------- */

static void
check_ini(const char *section, const char *key, const char *want)
{
	char *v = ini_get("a=0\n[ a ]\nk = 1\nK=2\n[profile  \"b c\" ]\nx=\n"
	    " k=3\n#k=4\nk : 5\n[profile d]\nk=6=7 # no comment\n[e\nk=8\n[]\n"
	    "k=9\n[f]", section, key);
	if (want == NULL ? v != NULL : v == NULL || strcmp(v, want) != 0)
		t_fail("[%s] %s is %s", section, key != NULL ? key : "",
		    v != NULL ? v : "not there");
	free(v);
}

T_CASE(ini_files_are_read_as_the_tools_read_them)
{
	check_ini("a", "k", "2");
	check_ini("a", "a", NULL);
	check_ini("profile b c", "x", "");
	check_ini("profile b c", "k", NULL);
	check_ini("profile d", "k", "6=7 # no comment");
	check_ini("profile", "k", NULL);
	check_ini("profile d x", "k", NULL);
	check_ini("profiled", "k", NULL);
	check_ini("e", "k", NULL);
	check_ini("f", NULL, "");
	check_ini("g", NULL, NULL);
}

static void
check_words(const char *line, const char *want)
{
	char **w = words_of(line);
	struct strbuf b = {0};
	for (char **p = w; p != NULL && *p != NULL; p++)
		sb_addf(&b, "<%s>", *p);
	t_eq_str(w != NULL ? sb_str(&b) : "none", want);
	sb_fini(&b);
	words_free(w);
}

T_CASE(command_lines_are_taken_apart_without_a_shell)
{
	check_words(" a  b\tc ", "<a><b><c>");
	check_words("a 'b c' \"d e\" f\\ g", "<a><b c><d e><f g>");
	check_words("a '' \"\"x", "<a><><x>");
	check_words("a \"b\\\"c\\d\" 'e\\f'", "<a><b\"c\\d><e\\f>");
	check_words("a $HOME `b` ;c|d", "<a><$HOME><`b`><;c|d>");
	check_words("", "none");
	check_words("  ", "none");
	check_words("''", "none");
	check_words("a 'b", "none");
	check_words("a \"b", "none");
	check_words("a \\", "none");
}

T_MAIN
