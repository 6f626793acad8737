/* Keys of the machine's role: the metadata services of EC2 and of Alibaba's
 * ECS. */
#include "remote_cred.h"

T_CASE(the_role_of_an_instance_is_found_at_the_end_of_the_chain)
{
	open_all();
	start_service();
	struct creds *cs = open_creds(AWS, CRED_AUTO);
	setenv("http_proxy", "http://127.0.0.1:1", 1);  /* never for this */
	expect(cs, "AKID", "HUSH", "TOKEN");
	expect(cs, "AKID", "HUSH", "TOKEN");
	t_eq_int(count("PUT /latest/api/token"), 1);
	t_eq_int(count("GET " AWS_ROLE), 1);
	t_eq_int(count("GET " AWS_ROLE "test-role"), 1);
	/* Another set with the same session token. */
	set("rotate=1");
	refuse(cs);
	expect(cs, "AKID2", "HUSH", "TOKEN2");
	t_eq_int(count("PUT /latest/api/token"), 1);
	/* The service has forgotten it: 401, and a new one. */
	set("forget=1");
	refuse(cs);
	expect(cs, "AKID3", "HUSH", "TOKEN3");
	t_eq_int(count("PUT /latest/api/token"), 2);
	creds_close(&cs);
	close_all();
}

T_CASE(the_variable_says_where_ec2_s_metadata_is)
{
	open_all();
	start_service();
	setenv_at("AWS_EC2_METADATA_SERVICE_ENDPOINT", "/");
	service[0] = '\0';              /* not in the configuration */
	gives(AWS, CRED_INSTANCE, "AKID", "HUSH", "TOKEN");
	close_all();
}

T_CASE(a_service_without_session_tokens_is_asked_the_old_way)
{
	open_all();
	start_service();
	set("token_status=404&v1=1");
	gives(AWS, CRED_INSTANCE, "AKID", "HUSH", "TOKEN");
	setenv("AWS_EC2_METADATA_V1_DISABLED", "true", 1);
	gives_none(AWS, CRED_INSTANCE, "no token: the answer is 404");
	/* One that has them, and did not understand, is not. */
	unsetenv("AWS_EC2_METADATA_V1_DISABLED");
	set("token_status=400");
	gives_none(AWS, CRED_INSTANCE, "no token: the answer is 400");
	close_all();
}

/* As in a container that is one hop too far away. */
T_CASE(a_token_that_never_comes_is_waited_for_a_second)
{
	open_all();
	start_service();
	set("token_delay=9&v1=1");
	int64_t t0 = mono_ms();
	gives(AWS, CRED_INSTANCE, "AKID", "HUSH", "TOKEN");
	t_check(mono_ms() - t0 >= 900 && mono_ms() - t0 < 5000);
	close_all();
}

T_CASE(a_service_that_fails_for_a_moment_is_asked_again)
{
	open_all();
	start_service();
	set("fail=1&status=500");
	int64_t t0 = mono_ms();
	gives(AWS, CRED_INSTANCE, "AKID", "HUSH", "TOKEN");
	t_check(mono_ms() - t0 >= 900); /* a second later, and not before */
	hurried = true;
	set("fail=2");
	gives(AWS, CRED_INSTANCE, "AKID", "HUSH", "TOKEN");
	set("fail=9&status=503");
	struct creds *cs = open_creds(AWS, CRED_INSTANCE);
	expect_none(cs, "the answer is 503");
	set("fail=0");
	/* That is believed for two seconds, and not for good. */
	expect_none(cs, "the answer is 503");
	cs->failed_ms -= 2000;
	expect(cs, "AKID", "HUSH", "TOKEN");
	creds_close(&cs);
	close_all();
}

T_CASE(strange_answers_of_the_metadata_are_no_keys)
{
	static const struct {
		const char *raw, *why;
	} odd[] = {
		{ "%5B%5D", "the answer is no JSON object" },
		{ "%7B", "the answer is no JSON object" },
		{ "HUSH", "the answer is no JSON object" },
		{ "%7B%22AccessKeyId%22:%22A%22%7D", "no secret key" },
		{ "%7B%22AccessKeyId%22:7%7D", "no access key id" },
	};
	open_all();
	start_service();
	set("role=");
	gives_none(AWS, CRED_INSTANCE, "this machine has no role");
	set("role=a%20b/../c");
	gives_none(AWS, CRED_INSTANCE, "this machine has no role");
	set("role=r&code=AssumeRoleUnauthorizedAccess");
	gives_none(AWS, CRED_INSTANCE, "it says AssumeRoleUnauthorizedAccess");
	for (size_t i = 0; i < RK_ARRAY_LEN(odd); i++) {
		char knob[128];
		snprintf(knob, sizeof(knob), "code=Success&raw=%s",
		    odd[i].raw);
		set(knob);
		gives_none(AWS, CRED_INSTANCE, odd[i].why);
		t_has(g.why, "EC2 metadata: ");
	}
	close_all();
}

T_CASE(the_role_of_an_alibaba_machine_is_found)
{
	open_all();
	start_service();
	gives(OSS, CRED_AUTO, "AKID", "HUSH", "TOKEN");
	t_eq_int(count("GET " OSS_ROLE), 1);
	setenv("ALIBABA_CLOUD_ECS_METADATA", "test-role", 1);
	gives(OSS, CRED_INSTANCE, "AKID", "HUSH", "TOKEN");
	t_eq_int(count("GET " OSS_ROLE), 1);
	t_eq_int(count("GET " OSS_ROLE "test-role"), 2);
	setenv("ALIBABA_CLOUD_ECS_METADATA", "other", 1);
	gives_none(OSS, CRED_INSTANCE, "no role other");
	close_all();
}

T_MAIN
