/* From the configuration and an address to the request that is made. */
#include "t.h"

#include "impl.h"

static struct loop *loop;
static struct http *http;
static struct remote *r;

/* Opened with this list; the environment of the tests says nothing. */
static enum rk_err
open_with(const char *yaml, struct rk_why *why)
{
	static const char *const names[] = { "AWS_ENDPOINT_URL_S3",
		"AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION",
		"AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY" };
	json_t *v = NULL;

	setenv("HOME", "/nowhere", 1);
	setenv("AWS_CONFIG_FILE", "/nowhere", 1);
	setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere", 1);
	for (size_t i = 0; i < RK_ARRAY_LEN(names) && loop == NULL; i++)
		unsetenv(names[i]);
	if (loop == NULL) {
		t_eq_int(loop_open(&loop), RK_OK);
		t_eq_int(http_open(&http, loop, &(struct http_config){0}),
		    RK_OK);
	}
	if (rkj_parse_yaml(yaml, strlen(yaml), &v, why) != RK_OK)
		t_fail("%s", rk_why_first(why));
	struct remote_config c = { .stores = v };
	enum rk_err rc = remote_open(&r, loop, http, &c, why);
	json_decref(v);
	return rc;
}

static void
must_open(const char *yaml)
{
	struct rk_why why = {0};

	if (open_with(yaml, &why) != RK_OK)
		t_fail("%s", rk_why_text(&why));
}

static void
fini(void)
{
	remote_close(&r);
	http_close(&http);
	loop_close(&loop);
}

static void
refused(const char *yaml, const char *path, const char *words)
{
	struct rk_why why = {0};

	t_eq_int(open_with(yaml, &why), RK_EINVAL);
	if (why.n != 1 || strcmp(why.v[0].path, path) != 0)
		t_fail("%s: %s", yaml, rk_why_text(&why));
	t_has(why.v[0].message, words);
	rk_why_fini(&why);
}

/* The URL of an address, with a query of one parameter. */
static void
url(const char *uri, const char *want)
{
	static const struct sign_query q = { "uploads", "" };
	struct rk_why why = {0};
	char *u, *host, *path;
	struct place p;

	if (place_of(r, uri, &p, &why) != RK_OK)
		t_fail("%s: %s", uri, rk_why_first(&why));
	store_url(p.store, p.bucket, p.key, &q, 1, &u, &host, &path);
	t_eq_str(u, want);
	t_has(u, host);
	t_has(u, path);
	free(u);
	free(host);
	free(path);
	place_fini(&p);
}

static void
no_place(const char *uri, const char *words)
{
	struct rk_why why = {0};

	t_eq_int(remote_check(r, uri, &why), RK_EINVAL);
	t_has(rk_why_first(&why), words);
	rk_why_fini(&why);
}

T_CASE(without_a_configuration_s3_is_amazons)
{
	must_open("null");
	url("s3://models/a b/c", "https://models.s3.us-east-1.amazonaws.com/"
	    "a%20b/c?uploads=");
	url("s3://a.b/k", "https://s3.us-east-1.amazonaws.com/a.b/k?uploads=");
	no_place("oss://models/k", "no region");
	fini();
}

T_CASE(the_environment_says_what_the_configuration_does_not)
{
	must_open("null");
	remote_close(&r);
	setenv("AWS_REGION", "cn-north-1", 1);
	must_open("null");
	url("s3://m/k",
	    "https://m.s3.cn-north-1.amazonaws.com.cn/k?uploads=");
	remote_close(&r);
	setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9", 1);
	must_open("null");
	url("s3://m/k", "http://127.0.0.1:9/m/k?uploads=");
	remote_close(&r);
	setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:10/", 1);
	must_open("null");
	url("s3://m/k", "http://127.0.0.1:10/m/k?uploads=");
	fini();
}

T_CASE(the_longest_match_wins_and_ends_where_a_name_does)
{
	must_open("- {match: 's3://', endpoint: 'http://10.0.0.1'}\n"
	    "- {match: 's3://b', endpoint: 'http://10.0.0.2'}\n"
	    "- {match: 's3://b/p', endpoint: 'http://10.0.0.3'}\n"
	    "- {match: 's3://b/q/', endpoint: 'http://10.0.0.4'}\n");
	url("s3://a/x", "http://10.0.0.1/a/x?uploads=");
	url("s3://bb/x", "http://10.0.0.1/bb/x?uploads=");
	url("s3://b/x", "http://10.0.0.2/b/x?uploads=");
	url("s3://b/", "http://10.0.0.2/b?uploads=");
	url("s3://b/p", "http://10.0.0.3/b/p?uploads=");
	url("s3://b/p/x", "http://10.0.0.3/b/p/x?uploads=");
	url("s3://b/pp", "http://10.0.0.2/b/pp?uploads=");
	url("s3://b/q/x", "http://10.0.0.4/b/q/x?uploads=");
	fini();
}

T_CASE(a_store_is_named_by_an_entry_that_counts_for_it_or_by_its_bucket)
{
	static const struct {
		const char *uri;
		bool named;
	} v[] = {
		{ "s3://own/x", true }, { "s3://own/x#member=a", true },
		{ "s3://own", true }, { "s3://own-not/x", false },
		{ "s3://part/a/x", true }, { "s3://part/b/x", false },
		{ "s3://part/ab", false }, { "s3://part/a/../b/x", false },
		{ "s3://part/a/./x", false }, { "s3://part/a/..", false },
		{ "s3://part/a/..x", true }, { "s3://part/a/...", true },
		{ "oss://own/x", false }, { "https://host/x", true },
		{ "http://host/x", true }, { "https://host:81/x", false },
		{ "https://host.evil/x", false }, { "https://host/a/../x", false },
		{ "https://host/%2e%2E/x", false }, { "https://host@evil/", false },
		{ "s3://mirror/any", true }, { "s3://mirror-not/any", false },
		{ "s3://mirror/../own", false }, { "file:///x", false },
		{ "/x", false }, { "model:x", false }, { "", false },
	};

	must_open("- {match: \"s3://own\"}\n- {match: \"s3://part/a/\"}\n"
	    "- {match: \"https://host\"}");
	t_check(remote_has_stores(r));
	for (size_t i = 0; i < RK_ARRAY_LEN(v); i++)
		if (remote_named(r, v[i].uri, "s3://mirror/") != v[i].named)
			t_fail("%s is%s named", v[i].uri, v[i].named ? " not" :
			    "");
	t_check(!remote_named(r, "s3://mirror/any", NULL));
	fini();
	must_open("[]");
	t_check(!remote_has_stores(r) && !remote_named(r, "s3://own/x", NULL));
	fini();
}

T_CASE(buckets_are_before_the_host_or_in_the_path)
{
	must_open("- {match: 's3://', endpoint: 'https://minio.example:443/'}\n"
	    "- {match: 's3://v', endpoint: 'http://s3.localhost:8080/base/', "
	    "addressing: virtual}\n"
	    "- {match: 's3://c', endpoint: 'https://models.example.org', "
	    "addressing: cname}\n"
	    "- {match: 's3://o', endpoint: "
	    "'https://s3.oss-cn-beijing.aliyuncs.com'}\n"
	    "- {match: 'oss://', endpoint: "
	    "'https://oss-cn-hangzhou-internal.aliyuncs.com'}\n"
	    "- {match: 'oss://t', endpoint: 'http://[::1]:99', region: x}\n");
	url("s3://b/k", "https://minio.example/b/k?uploads=");
	url("s3://v/k", "http://v.s3.localhost:8080/base/k?uploads=");
	url("s3://c/k", "https://models.example.org/k?uploads=");
	url("s3://o/k",
	    "https://o.s3.oss-cn-beijing.aliyuncs.com/k?uploads=");
	url("oss://b/k+ä",
	    "https://b.oss-cn-hangzhou-internal.aliyuncs.com/k%2B%C3%A4?"
	    "uploads");
	url("oss://t/k", "http://[::1]:99/t/k?uploads");
	struct place p;
	t_eq_int(place_of(r, "oss://b/k", &p, NULL), RK_OK);
	t_eq_str(p.store->region, "cn-hangzhou");
	place_fini(&p);
	t_eq_int(place_of(r, "s3://o/k", &p, NULL), RK_OK);
	t_eq_str(p.store->region, "cn-beijing");
	place_fini(&p);
	fini();
}

T_CASE(a_bucket_elsewhere_is_signed_for_its_region_and_asked_there)
{
	struct place p;

	must_open("null");
	t_eq_int(place_of(r, "s3://b/k", &p, NULL), RK_OK);
	store_learn_region(p.store, "b", "eu-west-1");
	store_learn_region(p.store, "b", "eu-west-2");
	t_eq_str(store_region(p.store, "b"), "eu-west-2");
	t_eq_str(store_region(p.store, "c"), "us-east-1");
	url("s3://b/k", "https://b.s3.eu-west-2.amazonaws.com/k?uploads=");
	url("s3://c/k", "https://c.s3.us-east-1.amazonaws.com/k?uploads=");
	place_fini(&p);
	fini();
}

T_CASE(an_address_is_taken_apart_and_keys_are_bytes)
{
	static const char hex[] = "0123456789ABCDEF0123456789abcdef"
	    "0123456789abcdef0123456789abcdef";
	char *uri = xasprintf("s3://b/a%%20?#x y#sha256=%s", hex);
	struct place p;

	must_open("null");
	t_eq_int(place_of(r, uri, &p, NULL), RK_OK);
	t_eq_str(p.bucket, "b");
	t_eq_str(p.key, "a%20?#x y");
	t_check(strncmp(p.sha256, "0123456789abcdef01", 18) == 0);
	place_fini(&p);
	free(uri);
	t_eq_int(place_of(r, "file:///d/a%20b", &p, NULL), RK_OK);
	t_eq_str(p.key, "/d/a b");
	place_fini(&p);
	t_eq_int(place_of(r, "https://h:1/p?q=%20", &p, NULL), RK_OK);
	t_eq_str(p.key, "https://h:1/p?q=%20");
	place_fini(&p);
	char *j = remote_join("s3://b/p", "x/y");
	t_eq_str(j, "s3://b/p/x/y");
	free(j);
	j = remote_join("s3://b/p/", "x");
	t_eq_str(j, "s3://b/p/x");
	free(j);
	fini();
}

T_CASE(an_address_that_is_none_is_refused_with_its_reason)
{
	char *deep = xmalloc(1200);

	must_open("null");
	no_place("", "empty");
	no_place("ftp://h/x", "ftp");
	no_place("s3://", "bucket");
	no_place("s3://-b/x", "bucket");
	no_place("s3://b..c/x", "bucket");
	no_place("s3://b_c@evil.example/x", "bucket");
	no_place("s3://b/x#sha256=12", "64");
	no_place("job://a/b", "not the address of a store");
	no_place("rel/path", "absolute");
	no_place("https://user:pass@h/x", "before its host");
	no_place("https://h/a b", "percent-encode");
	memset(deep, 'x', 1199);
	memcpy(deep, "s3://b/", 7);
	deep[1199] = '\0';
	no_place(deep, "1024");
	free(deep);
	fini();
}

T_CASE(a_configuration_that_is_wrong_is_refused_by_path)
{
	refused("{}", "stores", "list");
	refused("- 7", "stores[0]", "");
	refused("- {}", "stores[0].match", "");
	refused("- {match: 'gs://b'}", "stores[0].match", "s3://");
	refused("- {match: 's3://'}\n- {match: 's3://'}", "stores[1].match",
	    "another entry");
	refused("- {match: 's3://', endpoint: 's3.example.org'}",
	    "stores[0].endpoint", "https://HOST");
	refused("- {match: 's3://', endpoint: 'https://u:p@h'}",
	    "stores[0].endpoint", "https://HOST");
	refused("- {match: 's3://', endpoint: 'https://h/?x'}",
	    "stores[0].endpoint", "https://HOST");
	refused("- {match: 's3://', region: 'a b'}", "stores[0].region", "");
	refused("- {match: 'oss://', endpoint: 'http://127.0.0.1:1'}",
	    "stores[0].region", "needed");
	refused("- {match: 's3://', access_key_id: a}",
	    "stores[0].secret_access_key", "needed");
	refused("- {match: 's3://', access_key_id: a, secret_access_key: "
	    "\"b\\nc\"}", "stores[0].secret_access_key", "");
	refused("- {match: 's3://', session_token: a}",
	    "stores[0].session_token", "");
	refused("- {match: 's3://', access_key_id: a, secret_access_key: b, "
	    "credentials: instance}", "stores[0].credentials", "leave out");
	refused("- {match: 's3://', signature: v1}", "stores[0].signature",
	    "oss");
	refused("- {match: 's3://', addressing: host}", "stores[0].addressing",
	    "virtual");
	refused("- {match: 's3://', ca_file: ca.pem}", "stores[0].ca_file",
	    "absolute");
	refused("- {match: 's3://', endpiont: x}", "stores[0].endpiont",
	    "endpoint");
	refused("- {match: 'https://h/', region: x}", "stores[0].match",
	    "ca_file");
	refused("- {match: 's3://', encryption: kms}", "stores[0].encryption",
	    "AES256, aws:kms or aws:kms:dsse");
	refused("- {match: 'oss://b', region: r, encryption: 'aws:kms'}",
	    "stores[0].encryption", "AES256, KMS or SM4");
	refused("- {match: 's3://', encryption: AES256, kms_key_id: k}",
	    "stores[0].kms_key_id", "of no use");
	refused("- {match: 's3://', kms_key_id: 'a b'}", "stores[0].kms_key_id",
	    "cannot be");
	refused("- {match: 's3://', storage_class: GLACIER}",
	    "stores[0].storage_class", "cannot be read at once");
	refused("- {match: 's3://', storage_class: \"a\\nb\"}",
	    "stores[0].storage_class", "");
	refused("- {match: 's3://', acl: mine}", "stores[0].acl",
	    "bucket-owner-full-control");
	refused("- {match: 's3://', expected_owner: '12'}",
	    "stores[0].expected_owner", "12 digits");
	refused("- {match: 's3://', expected_owner: 123456789012}",
	    "stores[0].expected_owner", "");
	refused("- {match: 'oss://b', region: r, expected_owner: "
	    "'123456789012'}", "stores[0].expected_owner", "s3:// only");
	refused("- {match: 'https://h/', acl: private}", "stores[0].acl",
	    "only be read");
	http_close(&http);
	loop_close(&loop);
}

T_CASE(a_refused_secret_is_not_repeated)
{
	static const char *const yaml[] = {
		"access_key_id: a, secret_access_key: 'top secret'",
		"access_key_id: a, secret_access_key: 7777",
		"access_key_id: a, secret_access_key: [7777]",
		"endpoint: 'http://user:top@host'",
	};

	for (size_t i = 0; i < RK_ARRAY_LEN(yaml); i++) {
		struct rk_why why = {0};
		char *text = xasprintf("- {match: 's3://', %s}", yaml[i]);
		t_eq_int(open_with(text, &why), RK_EINVAL);
		char *all = rk_why_text(&why);
		t_check(strstr(all, "top") == NULL &&
		    strstr(all, "7777") == NULL);
		free(all);
		free(text);
		rk_why_fini(&why);
		http_close(&http);
		loop_close(&loop);
	}
}

T_MAIN
