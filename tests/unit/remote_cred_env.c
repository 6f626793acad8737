/* Keys of the configuration and those that the environment describes: keys
 * themselves, a token to be exchanged, a container's service. */
#include "remote_cred.h"

/* --- keys ---------------------------------------------------------------- */

T_CASE(keys_of_the_configuration_are_given_at_once)
{
	open_all();
	struct creds *cs = open_creds(AWS, CRED_FIXED);
	creds_get(cs, on_keys, &g);
	t_eq_int(g.calls, 1);
	t_eq_str(g.id, "FIXED");
	creds_expired(cs, g.c);
	creds_get(cs, on_keys, &g);
	t_eq_int(g.calls, 2);
	t_eq_str(g.secret, "fixed");
	cred_unref(&g.c);
	creds_close(&cs);
	close_all();
}

T_CASE(anonymous_is_no_keys_and_no_complaint)
{
	open_all();
	struct creds *cs = open_creds(AWS, CRED_ANONYMOUS);
	creds_get(cs, on_keys, &g);
	t_eq_int(g.calls, 1);
	t_eq_str(g.id, "-");
	t_eq_str(g.why, "");
	creds_close(&cs);
	close_all();
}

T_CASE(keys_are_taken_from_the_environment)
{
	open_all();
	setenv("AWS_ACCESS_KEY_ID", "AK", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "HUSH", 1);
	gives(AWS, CRED_AUTO, "AK", "HUSH", "");
	setenv("AWS_SECURITY_TOKEN", "OLD", 1);
	gives(AWS, CRED_ENVIRONMENT, "AK", "HUSH", "OLD");
	setenv("AWS_SESSION_TOKEN", "NEW", 1);
	gives(AWS, CRED_ENVIRONMENT, "AK", "HUSH", "NEW");
	gives_none(OSS, CRED_ENVIRONMENT,
	    "ALIBABA_CLOUD_ACCESS_KEY_ID is not set");
	close_all();
}

T_CASE(half_a_key_an_expired_one_and_a_malformed_one_are_mistakes)
{
	open_all();
	setenv("AWS_ACCESS_KEY_ID", "AK", 1);
	gives_none(AWS, CRED_AUTO, "AWS_SECRET_ACCESS_KEY is not");
	setenv("AWS_SECRET_ACCESS_KEY", "HUSH", 1);
	setenv("AWS_CREDENTIAL_EXPIRATION", "2020-01-01T00:00:00Z", 1);
	gives_none(AWS, CRED_AUTO, "the keys have expired");
	setenv("AWS_CREDENTIAL_EXPIRATION", "soon", 1);
	gives_none(AWS, CRED_AUTO, "time of expiry is malformed");
	setenv("AWS_CREDENTIAL_EXPIRATION", "2120-01-01T00:00:00Z", 1);
	gives(AWS, CRED_AUTO, "AK", "HUSH", "");
	setenv("AWS_SESSION_TOKEN", "a\nHost: evil", 1);
	gives_none(AWS, CRED_AUTO, "a key or token has a blank");
	close_all();
}

T_CASE(when_there_is_nothing_each_source_says_why)
{
	open_all();
	snprintf(service, sizeof(service), "http://127.0.0.1:1");
	gives_none(AWS, CRED_AUTO, "no credentials: ");
	t_eq_str(g.why, "no credentials: AWS_ACCESS_KEY_ID is not set; "
	    "AWS_WEB_IDENTITY_TOKEN_FILE is not set; "
	    "there is no profile in ~/.aws; "
	    "AWS_CONTAINER_CREDENTIALS_FULL_URI is not set; "
	    "EC2 metadata: no such service here");
	gives_none(OSS, CRED_AUTO, "no credentials: ");
	t_eq_str(g.why, "no credentials: "
	    "ALIBABA_CLOUD_ACCESS_KEY_ID is not set; "
	    "ALIBABA_CLOUD_OIDC_TOKEN_FILE is not set; "
	    "the aliyun command has no such profile; "
	    "there is no profile in ~/.alibabacloud; "
	    "ECS metadata: no such service here; "
	    "ALIBABA_CLOUD_CREDENTIALS_URI is not set");
	setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
	setenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true", 1);
	gives_none(AWS, CRED_INSTANCE, "AWS_EC2_METADATA_DISABLED is true");
	gives_none(OSS, CRED_INSTANCE,
	    "ALIBABA_CLOUD_ECS_METADATA_DISABLED is true");
	close_all();
}

/* --- a token for keys ---------------------------------------------------- */

T_CASE(a_web_identity_is_exchanged_for_keys)
{
	open_all();
	start_service();
	hurried = true;
	setenv_at("AWS_ENDPOINT_URL_STS", "");
	setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "token", 1);
	setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/a+b", 1);
	write_file("token", "ey.J+/=\n");
	set("want=ey.J%2B/%3D&rotate=1&fail=1");
	struct creds *cs = open_creds(AWS, CRED_AUTO);
	expect(cs, "AKID1", "HUSH", "TOKEN1");
	t_eq_int(count("POST /"), 2);
	/* The token's file is read each time. */
	write_file("token", "other");
	set("want=other");
	refuse(cs);
	expect(cs, "AKID2", "HUSH", "TOKEN2");
	creds_close(&cs);
	set("want=third");
	gives_none(AWS, CRED_WEB_IDENTITY, "web identity: http://");
	t_has(g.why, "answers 400; it says InvalidIdentityToken: No provider");
	unlink("token");
	gives_none(AWS, CRED_AUTO, "no token can be read");
	unsetenv("AWS_ROLE_ARN");
	gives_none(AWS, CRED_AUTO, "AWS_ROLE_ARN is not");
	close_all();
}

/* --- containers ---------------------------------------------------------- */

T_CASE(a_container_s_service_is_asked_with_its_token)
{
	open_all();
	start_service();
	setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/ecs", 1);
	gives(AWS, CRED_CONTAINER, "AKID", "HUSH", "TOKEN");
	unsetenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	setenv_at("AWS_CONTAINER_CREDENTIALS_FULL_URI", "/ecs");
	set("want=Basic%20a");
	gives_none(AWS, CRED_AUTO, "container: the answer is 401");
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic a", 1);
	gives(AWS, CRED_AUTO, "AKID", "HUSH", "TOKEN");
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic a\nX: y", 1);
	gives_none(AWS, CRED_AUTO, "more than one line");
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "token", 1);
	write_file("token", "Basic a\n");
	gives(AWS, CRED_AUTO, "AKID", "HUSH", "TOKEN");
	write_file("token", "Basic a\r\nX: y");
	gives_none(AWS, CRED_AUTO, "no token can be read");
	/* Keys that have expired are not a machine's: they are of no use. */
	write_file("token", "Basic a");
	set("lifetime=-5");
	gives_none(AWS, CRED_AUTO, "container: the keys have expired");
	close_all();
}

/* A name that is too long for any resolver to be asked. */
#define X32     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define NOWHERE X32 X32 ".invalid"

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
	hurried = true;
	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://10.0.0.1/", 1);
	gives_none(AWS, CRED_AUTO,
	    "neither https nor a service of this machine");
	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "https://" NOWHERE "/", 1);
	gives_none(AWS, CRED_AUTO, "container: no answer");
	setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "@evil.example/", 1);
	gives_none(AWS, CRED_AUTO, "does not begin with a slash");
	close_all();
}

T_MAIN
