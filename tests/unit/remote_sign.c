/* Signatures: the vectors that AWS and Alibaba publish. */
#include "t.h"

#include "impl.h"

#define AWS_ID "AKIAIOSFODNN7EXAMPLE"
#define AWS_SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define AWS_TIME 1369353600000          /* 20130524T000000Z */

/* The header of that name, joined out of what a signer made. */
static const char *
made(char *const *out, const char *name)
{
	size_t n = strlen(name);

	for (int i = 0; i < SIGN_HEADERS && out[i] != NULL; i++) {
		if (strncmp(out[i], name, n) == 0 && out[i][n] == ':')
			return out[i] + n + 2;
	}
	t_fail("no header %s", name);
	return NULL;
}

static void
release(char **out)
{
	for (int i = 0; i < SIGN_HEADERS; i++)
		free(out[i]);
}

static void
aws(const char *path, const struct sign_query *q, size_t nq,
    const struct sign_header *h, size_t nh, const char *signature)
{
	struct cred *c = cred_new(AWS_ID, AWS_SECRET, NULL, 0);
	char *out[SIGN_HEADERS];
	struct sign_in in = { .method = "GET", .path = path,
		.host = "examplebucket.s3.amazonaws.com",
		.region = "us-east-1", .product = "s3", .query = q,
		.nquery = nq, .headers = h, .nheaders = nh, .payload = EMPTY,
		.at_ms = AWS_TIME };

	sign_s3(&in, c, out);
	t_has(made(out, "Authorization"), signature);
	t_has(made(out, "Authorization"), "Credential=" AWS_ID
	    "/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;");
	t_eq_str(made(out, "x-amz-date"), "20130524T000000Z");
	t_eq_str(made(out, "x-amz-content-sha256"), EMPTY);
	release(out);
	cred_unref(&c);
	t_check(c == NULL);
}

T_CASE(s3_v4_get_of_a_range_as_published)
{
	const struct sign_header h = { "Range", "bytes=0-9" };

	aws("/test.txt", NULL, 0, &h, 1,
	    "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

T_CASE(s3_v4_get_of_a_sub_resource_as_published)
{
	const struct sign_query q = { "lifecycle", "" };

	aws("/", &q, 1, NULL, 0,
	    "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
}

T_CASE(s3_v4_list_as_published_whatever_the_order_of_its_query)
{
	const struct sign_query a[] = { { "max-keys", "2" },
		{ "prefix", "J" } }, b[] = { a[1], a[0] };
	const char *want =
	    "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7";

	aws("/", a, 2, NULL, 0, want);
	aws("/", b, 2, NULL, 0, want);
}

T_CASE(nobody_signs_for_an_anonymous_request)
{
	struct sign_in in = { .method = "GET", .path = "/", .host = "h",
		.payload = "UNSIGNED-PAYLOAD" };
	char *out[SIGN_HEADERS];

	sign_s3(&in, NULL, out);
	t_eq_str(out[0], "x-amz-content-sha256: UNSIGNED-PAYLOAD");
	t_check(out[1] == NULL);
	release(out);
	sign_oss4(&in, NULL, out);
	t_check(out[0] == NULL);
	sign_oss1(&in, NULL, out);
	t_check(out[0] == NULL);
}

/* --- OSS V4 --------------------------------------------------------------- */

static const struct sign_query oss_query[] = {
	{ "param1", "value1" }, { "+param1", "value3" },
	{ "|param1", "value4" }, { "+param2", "" }, { "|param2", NULL },
	{ "param2", "" },
};
static const struct sign_header oss_headers[] = {
	{ "x-oss-head1", "value" }, { "abc", "value" }, { "ZAbc", "value" },
	{ "XYZ", "value" }, { "content-type", "text/plain" },
};

static void
oss4(const char *token, const char *const *more, const char *region,
    const char *product, int64_t at, const char *authorization)
{
	struct cred *c = cred_new("ak", "sk", token, 0);
	char *out[SIGN_HEADERS];
	struct sign_in in = { .method = "PUT", .bucket = "bucket",
		.key = "1234+-/123/1.txt", .region = region,
		.product = product, .query = oss_query,
		.nquery = RK_ARRAY_LEN(oss_query), .headers = oss_headers,
		.nheaders = RK_ARRAY_LEN(oss_headers), .additional = more,
		.payload = "UNSIGNED-PAYLOAD", .at_ms = at * 1000 };

	sign_oss4(&in, c, out);
	t_eq_str(made(out, "Authorization"), authorization);
	release(out);
	cred_unref(&c);
}

T_CASE(oss_v4_as_in_the_sdks)
{
	oss4("", NULL, "cn-hangzhou", "oss", 1702743657, "OSS4-HMAC-SHA256 "
	    "Credential=ak/20231216/cn-hangzhou/oss/aliyun_v4_request,Signature"
	    "=e21d18daa82167720f9b1047ae7e7f1ce7cb77a31e8203a7d5f4624fa0284afe");
}

T_CASE(oss_v4_with_a_token_as_in_the_sdks)
{
	oss4("token", NULL, "cn-hangzhou", "oss", 1702784856,
	    "OSS4-HMAC-SHA256 "
	    "Credential=ak/20231217/cn-hangzhou/oss/aliyun_v4_request,Signature"
	    "=b94a3f999cf85bcdc00d332fbd3734ba03e48382c36fa4d5af5df817395bd9ea");
}

T_CASE(oss_v4_with_additional_headers_as_in_the_sdks)
{
	/* Those signed anyway, and those not sent, are left out of the list. */
	static const char *const more[] = { "ZAbc", "abc", "not-sent",
		"content-type", NULL };

	oss4("", more, "cn-hangzhou", "oss", 1702747512, "OSS4-HMAC-SHA256 "
	    "Credential=ak/20231216/cn-hangzhou/oss/aliyun_v4_request,"
	    "AdditionalHeaders=abc;zabc,Signature"
	    "=4a4183c187c07c8947db7620deb0a6b38d9fbdd34187b6dbaccb316fa251212f");
}

T_CASE(oss_v4_of_a_cloud_box_as_in_the_sdks)
{
	oss4("", NULL, "cb-123", "oss-cloudbox", 1702743657,
	    "OSS4-HMAC-SHA256 "
	    "Credential=ak/20231216/cb-123/oss-cloudbox/aliyun_v4_request,"
	    "Signature"
	    "=94ce1f12c17d148ea681030275a94449d3357f5b5b21133996eec80af3e08a43");
}

/* --- OSS V1 --------------------------------------------------------------- */

#define V1_TIME 1672223261000           /* Wed, 28 Dec 2022 10:27:41 GMT */

static void
oss1(const struct sign_in *what, const char *authorization)
{
	struct cred *c = cred_new("ak", "sk", NULL, 0);
	struct sign_in in = *what;
	char *out[SIGN_HEADERS];

	in.at_ms = V1_TIME;
	sign_oss1(&in, c, out);
	t_eq_str(made(out, "Date"), "Wed, 28 Dec 2022 10:27:41 GMT");
	t_eq_str(made(out, "Authorization"), authorization);
	release(out);
	cred_unref(&c);
}

T_CASE(oss_v1_put_as_published_with_and_without_a_sub_resource)
{
	static const struct sign_header h[] = {
		{ "Content-MD5", "eB5eJF1ptWaXm4bijSPyxw==" },
		{ "Content-Type", "text/html" },
		{ "x-oss-meta-magic", "abracadabra" },
		{ "x-oss-meta-author", "alice" },
	};
	static const struct sign_query q[] = { { "acl", NULL },
		{ "prefix", "not-signed" } };
	struct sign_in in = { .method = "PUT", .bucket = "examplebucket",
		.key = "nelson", .headers = h, .nheaders = 4 };

	oss1(&in, "OSS ak:kSHKmLxlyEAKtZPkJhG9bZb5k7M=");
	in.query = q;
	in.nquery = 2;
	oss1(&in, "OSS ak:/afkugFbmWDQ967j1vr6zygBLQk=");
}

T_CASE(oss_v1_get_of_a_bucket_as_published)
{
	static const struct sign_query q[] = { { "resourceGroup", "" },
		{ "acl", "" } };
	static const char *const more[] = { "resourceGroup", NULL };
	struct sign_in in = { .method = "GET", .bucket = "examplebucket",
		.key = "", .query = q, .nquery = 1, .additional = more };

	oss1(&in, "OSS ak:vkQmfuUDyi1uDi3bKt67oemssIs=");
	in.nquery = 2;
	oss1(&in, "OSS ak:x3E5TgOvl/i7PN618s5mEvpJDYk=");
}

/* --- how tests/outside/signing.py asks ------------------------------------ */

static const char *
text(const json_t *v, const char *name)
{
	return json_string_value(json_object_get(v, name));
}

/* One request as a JSON line on stdin, the headers that carry its signature as
 * a JSON line on stdout. */
static void
answer(const json_t *v)
{
	struct sign_query q[32];
	struct sign_header h[40];
	struct strbuf b = {0};
	char *out[SIGN_HEADERS];
	const json_t *list = json_object_get(v, "query"), *e;
	size_t i;
	struct cred *c = cred_new(text(v, "id"), text(v, "secret"),
	    text(v, "token"), 0);
	struct sign_in in = { .method = text(v, "method"),
		.host = text(v, "host"), .bucket = text(v, "bucket"),
		.key = text(v, "key"), .region = text(v, "region"),
		.product = text(v, "product"), .payload = text(v, "payload"),
		.query = q, .headers = h,
		.at_ms = json_integer_value(json_object_get(v, "at_ms")) };
	const char *how = text(v, "how");

	json_array_foreach(list, i, e)
		q[in.nquery++] = (struct sign_query){
			json_string_value(json_array_get(e, 0)),
			json_string_value(json_array_get(e, 1)) };
	list = json_object_get(v, "headers");
	json_array_foreach(list, i, e)
		h[in.nheaders++] = (struct sign_header){
			json_string_value(json_array_get(e, 0)),
			json_string_value(json_array_get(e, 1)) };
	sb_addf(&b, "/%s/", in.bucket);
	sign_encode(&b, in.key, true);
	in.path = sb_str(&b);
	(strcmp(how, "s3") == 0 ? sign_s3 : strcmp(how, "oss4") == 0 ?
	    sign_oss4 : sign_oss1)(&in, c, out);
	json_t *r = json_array();
	for (i = 0; i < SIGN_HEADERS && out[i] != NULL; i++)
		json_array_append_new(r, json_string(out[i]));
	struct strbuf wire = {0};
	sign_query_text(&wire, q, in.nquery, how[0] == 's');
	json_t *o = json_pack("{s:o, s:s, s:s}", "headers", r, "path", in.path,
	    "query", sb_str(&wire));
	char *s = rkj_text(o);
	puts(s);
	free(s);
	json_decref(o);
	sb_fini(&wire);
	sb_fini(&b);
	release(out);
	cred_unref(&c);
}

__attribute__((constructor)) static void
serve(int argc, char **argv)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	if (argc < 2 || strcmp(argv[1], "--serve") != 0)
		return;
	while ((n = getline(&line, &cap, stdin)) > 0) {
		json_t *v = NULL;
		if (rkj_parse_json(line, (size_t)n, &v, NULL) != RK_OK)
			exit(2);
		answer(v);
		json_decref(v);
	}
	free(line);
	exit(0);
}

T_MAIN
