/* Profiles of the AWS tools: keys in their files, and those that a program or a
 * token makes. */
#include "remote_cred.h"

/* --- files --------------------------------------------------------------- */

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
	gives(AWS, CRED_AUTO, "DEF", "HUSH-D", "");
	setenv("AWS_PROFILE", "team", 1);
	gives(AWS, CRED_PROFILE, "TEAM", "SE=CR/ET+", "TOK");
	setenv("AWS_PROFILE", "none", 1);
	gives_none(AWS, CRED_AUTO, "there is no \"none\"");
	/* What the configuration names counts more than the variable. */
	struct creds_config c = { .kind = CRED_PROFILE, .profile = "team" };
	struct creds *cs = creds_open(l, h, &c);
	expect(cs, "TEAM", "SE=CR/ET+", "TOK");
	creds_close(&cs);
	rename(".aws/credentials", "elsewhere");
	setenv("AWS_SHARED_CREDENTIALS_FILE", "~/elsewhere", 1);
	cs = creds_open(l, h, &c);
	expect(cs, "TEAM", "SE=CR/ET+", "TOK");
	creds_close(&cs);
	close_all();
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
	struct creds *cs = open_creds(AWS, CRED_AUTO);
	t_eq_str(creds_region(cs), "eu-west-1");
	t_check(creds_endpoint(cs) == NULL);
	creds_close(&cs);
	setenv("AWS_PROFILE", "my team", 1);
	cs = open_creds(AWS, CRED_AUTO);
	t_eq_str(creds_region(cs), "us-gov-east-1");
	t_eq_str(creds_endpoint(cs), "https://store.example");
	expect(cs, "CFG", "HUSH", "");
	creds_close(&cs);
	setenv("AWS_REGION", "eu-central-1", 1);
	setenv("AWS_ENDPOINT_URL", "https://all.example", 1);
	cs = open_creds(AWS, CRED_AUTO);
	t_eq_str(creds_region(cs), "eu-central-1");
	t_eq_str(creds_endpoint(cs), "https://all.example");
	creds_close(&cs);
	setenv("AWS_PROFILE", "sso", 1);
	gives_none(AWS, CRED_PROFILE,
	    "has neither keys nor credential_process");
	close_all();
}

static void
write_keys(const char *id)
{
	char *text = xasprintf("[default]\naws_access_key_id=%s\n"
	    "aws_secret_access_key=HUSH\n", id);

	write_file(".aws/credentials", text);
	free(text);
}

/* As if more time had passed than a look at the files is good for: it gives
 * what it has, and looks. */
static void
look_again(struct creds *cs, const char *has)
{
	cs->looked_ms -= 11000;
	expect(cs, has, "HUSH", "");
	t_check(cs->fetch != NULL);
	run_until(l, cs->fetch == NULL);
}

T_CASE(keys_that_others_change_in_a_file_are_seen)
{
	open_all();
	mkdir(".aws", 0700);
	write_keys("ONE");
	struct creds *cs = open_creds(AWS, CRED_AUTO);
	expect(cs, "ONE", "HUSH", "");
	write_keys("TWO");
	expect(cs, "ONE", "HUSH", "");
	t_check(cs->fetch == NULL);
	look_again(cs, "ONE");
	expect(cs, "TWO", "HUSH", "");
	/* A file that is gone for a moment takes nothing away. */
	unlink(".aws/credentials");
	look_again(cs, "TWO");
	expect(cs, "TWO", "HUSH", "");
	/* What the store refuses is looked at again at once. */
	write_keys("3");
	refuse(cs);
	expect(cs, "3", "HUSH", "");
	creds_close(&cs);
	close_all();
}

T_CASE(hostile_files_are_survived)
{
	open_all();
	mkdir(".aws", 0700);
	mkdir(".aws/credentials", 0700);
	gives_none(AWS, CRED_PROFILE, "no profile");
	rmdir(".aws/credentials");
	/* Longer than is read, and as long as is. */
	char *big = xmalloc(2 << 20);
	memset(big, '[', 2 << 20);
	big[(2 << 20) - 1] = '\0';
	write_file(".aws/credentials", big);
	gives_none(AWS, CRED_PROFILE, "no profile");
	big[900000] = '\0';
	write_file(".aws/credentials", big);
	gives_none(AWS, CRED_PROFILE, "no profile");
	free(big);
	close_all();
}

T_CASE(a_source_may_be_closed_while_its_files_are_read)
{
	open_all();
	for (int i = 0; i < 20; i++) {
		struct creds *cs = open_creds(AWS, CRED_PROFILE);
		creds_get(cs, on_keys, &g);
		if (i % 2 == 0)
			run_for(l, 1);
		creds_close(&cs);
	}
	/* One that came behind them all is answered behind them all. */
	gives_none(AWS, CRED_PROFILE, "no profile");
	t_check(g.calls <= 11);
	/* Nor need the loop wait for a worker. */
	struct creds *cs = open_creds(AWS, CRED_PROFILE);
	creds_get(cs, on_keys, &g);
	run_for(l, 1);
	creds_close(&cs);
	close_all();
}

/* --- what makes keys ----------------------------------------------------- */

static void
write_process(const char *line)
{
	char *text = xasprintf("[default]\ncredential_process = %s\n", line);

	mkdir(".aws", 0700);
	write_file(".aws/config", text);
	free(text);
}

static void
process_fails(const char *line, const char *why)
{
	write_process(line);
	gives_none(AWS, CRED_PROFILE, why);
}

T_CASE(a_program_may_print_the_keys)
{
	open_all();
	mkdir("my tools", 0700);
	/* It has nothing to read, and nobody hears it whisper. */
	write_file("my tools/keys", "#!/bin/sh\ncat; echo whisper HUSH >&2\n"
	    "[ /proc/self/fd/2 -ef /dev/null ] || exit 4\n"
	    "[ \"$1 $2\" = 'a b $HOME' ] || exit 3\n"
	    "echo '{\"Version\": 1, \"AccessKeyId\": \"PROC\", "
	    "\"SecretAccessKey\": \"HUSH\", \"SessionToken\": \"T\"}'\n");
	chmod("my tools/keys", 0700);
	write_process("\"my tools/keys\" a 'b $HOME'");
	gives(AWS, CRED_PROFILE, "PROC", "HUSH", "T");
	process_fails("'my tools/keys' other",
	    "credential_process: it ended with status 3");
	process_fails("'my tools/keys", "malformed");
	process_fails("/nowhere/keys", "cannot be started");
	process_fails("echo HUSH", "no JSON object");
	process_fails("head -c 99999 /dev/zero", "more than 64 KiB");
	process_fails("sh -c 'kill -9 $$'", "signal 9");
	close_all();
}

static pid_t
pid_in(const char *name)
{
	pid_t pid = 0;
	char *text;
	size_t n;

	if (rk_read_file(AT_FDCWD, name, 100, &text, &n) == RK_OK) {
		pid = (pid_t)atoi(text);
		free(text);
	}
	return pid;
}

T_CASE(a_program_that_hangs_is_ended_with_its_source)
{
	open_all();
	write_process("sh -c 'echo $$ > pid; sleep 60; exit 0'");
	struct creds *cs = open_creds(AWS, CRED_PROFILE);
	creds_get(cs, on_keys, &g);
	pid_t pid = 0;
	run_until(l, (pid = pid_in("pid")) > 0);
	t_eq_int(kill(pid, 0), 0);
	creds_close(&cs);
	run_until(l, kill(pid, 0) != 0);
	t_eq_int(g.calls, 0);
	close_all();
}

T_CASE(a_profile_may_name_a_web_identity)
{
	open_all();
	start_service();
	setenv_at("AWS_ENDPOINT_URL", "");
	write_file("token", "t");
	mkdir(".aws", 0700);
	write_file(".aws/config", "[default]\nrole_arn = arn:x\n"
	    "web_identity_token_file = token\n");
	set("want=t");
	gives(AWS, CRED_PROFILE, "AKID", "HUSH", "TOKEN");
	close_all();
}

T_MAIN
