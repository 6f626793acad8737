/* Alibaba's chain but for the machine's role: its names, files and services. */
#include "remote_cred.h"

T_CASE(both_names_of_alibaba_s_keys_are_known)
{
	open_all();
	setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "AK", 1);
	setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "HUSH", 1);
	setenv("ALIBABA_CLOUD_SECURITY_TOKEN", "T", 1);
	gives(OSS, CRED_AUTO, "AK", "HUSH", "T");
	setenv("OSS_ACCESS_KEY_ID", "AK2", 1);
	setenv("OSS_ACCESS_KEY_SECRET", "HUSH2", 1);
	gives(OSS, CRED_AUTO, "AK2", "HUSH2", "");
	setenv("OSS_SESSION_TOKEN", "T2", 1);
	gives(OSS, CRED_AUTO, "AK2", "HUSH2", "T2");
	close_all();
}

T_CASE(an_oidc_token_is_exchanged_for_keys)
{
	open_all();
	start_service();
	setenv_at("ALIBABA_CLOUD_STS_ENDPOINT", "/");
	setenv("ALIBABA_CLOUD_OIDC_TOKEN_FILE", "token", 1);
	setenv("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::1:role/x", 1);
	gives_none(OSS, CRED_AUTO, "ALIBABA_CLOUD_OIDC_PROVIDER_ARN is not");
	setenv("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "acs:ram::1:p/x", 1);
	write_file("token", "a b");
	set("want=a%20b");
	gives(OSS, CRED_AUTO, "AKID", "HUSH", "TOKEN");
	set("want=c");
	gives_none(OSS, CRED_WEB_IDENTITY,
	    "it says AuthenticationFail.OIDCToken.Invalid: This");
	close_all();
}

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
	struct creds *cs = open_creds(OSS, CRED_AUTO);
	t_eq_str(creds_region(cs), "cn-beijing");
	expect(cs, "B", "HUSH", "T");
	creds_close(&cs);
	setenv("ALIBABA_CLOUD_PROFILE", "a", 1);
	gives(OSS, CRED_PROFILE, "A", "HUSH", "");
	setenv("ALIBABA_CLOUD_PROFILE", "c", 1);
	gives(OSS, CRED_PROFILE, "AKID", "HUSH", "TOKEN");
	t_eq_int(count("GET " OSS_ROLE), 0);    /* its name is known */
	setenv("ALIBABA_CLOUD_PROFILE", "d", 1);
	gives_none(OSS, CRED_PROFILE, "its mode is ChainableRamRoleArn");
	setenv("ALIBABA_CLOUD_PROFILE", "e", 1);
	gives_none(OSS, CRED_PROFILE, "there is no \"e\"");
	close_all();
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
	gives(OSS, CRED_AUTO, "I", "HUSH", "");
	setenv("ALIBABA_CLOUD_PROFILE", "role", 1);
	gives(OSS, CRED_AUTO, "AKID", "HUSH", "TOKEN");
	t_eq_int(count("GET " OSS_ROLE), 0);    /* its name is known */
	setenv("ALIBABA_CLOUD_PROFILE", "arn", 1);
	gives_none(OSS, CRED_AUTO, "its type is ram_role_arn");
	close_all();
}

T_CASE(a_credentials_uri_is_the_last_of_alibaba_s_chain)
{
	open_all();
	start_service();
	setenv_at("ALIBABA_CLOUD_CREDENTIALS_URI", "/uri");
	gives(OSS, CRED_AUTO, "AKID", "HUSH", "TOKEN");
	t_eq_int(count("GET /uri"), 0);         /* the machine's role is */
	set("role=");
	gives(OSS, CRED_AUTO, "AKID", "HUSH", "TOKEN");
	t_eq_int(count("GET /uri"), 1);
	close_all();
}

T_MAIN
