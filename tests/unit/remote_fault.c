/* What is made of an answer: its class, its words, how long to wait. */
#include "t.h"

#include "impl.h"

static struct rstore s3 = { .kind = STORE_S3 }, oss = { .kind = STORE_OSS };
static struct req_result said;

/* headers: "name", "value", ..., NULL. */
static enum fault
answer(const struct rstore *s, int status, const char *body, bool head,
    enum fault_body kind, const char *const *headers)
{
	struct strbuf h = {0};
	struct http_answer a = { .end = HTTP_ANSWERED, .error = "",
		.status = status, .body = body, .len = strlen(body),
		.headers = &h };

	sb_adds(&h, "");
	for (size_t i = 0; headers != NULL && headers[i] != NULL; i++)
		sb_add(&h, headers[i], strlen(headers[i]) + 1);
	enum fault f = fault_of(s, &a, head, kind, &said);
	sb_fini(&h);
	return f;
}

static enum fault
coded(const struct rstore *s, int status, const char *code)
{
	char *body = xasprintf("<Error><Code>%s</Code><Message>m</Message>"
	    "<RequestId>r</RequestId></Error>", code);
	enum fault f = answer(s, status, body, false, BODY_ANSWER, NULL);

	t_eq_str(said.code, code);
	t_eq_str(said.message, "m");
	t_eq_str(said.request_id, "r");
	free(body);
	return f;
}

T_CASE(the_table_of_codes)
{
	static const struct {
		int status;
		const char *code;
		enum fault want;
	} v[] = {
		{ 503, "SlowDown", F_THROTTLE },
		{ 503, "ServiceUnavailable", F_THROTTLE },
		{ 503, "Whatever", F_THROTTLE },
		{ 429, "TooManyRequests", F_THROTTLE },
		{ 400, "Throttling.User", F_THROTTLE },
		{ 400, "ThrottlingException", F_THROTTLE },
		{ 400, "RequestLimitExceeded", F_THROTTLE },
		{ 503, "QpsLimitExceeded", F_THROTTLE },
		{ 503, "ServerBusy", F_THROTTLE },
		{ 500, "InternalError", F_SERVER },
		{ 500, "InternalErrors", F_SERVER },
		{ 502, "X", F_SERVER }, { 504, "X", F_SERVER },
		{ 509, "X", F_SERVER },
		{ 400, "RequestTimeout", F_TRANSPORT },
		{ 400, "IncompleteBody", F_TRANSPORT },
		{ 400, "BadDigest", F_INTEGRITY },
		{ 400, "InvalidDigest", F_INTEGRITY },
		{ 400, "XAmzContentSHA256Mismatch", F_INTEGRITY },
		{ 403, "RequestTimeTooSkewed", F_CLOCK },
		{ 400, "ExpiredToken", F_TOKEN },
		{ 400, "ExpiredTokenException", F_TOKEN },
		{ 400, "InvalidToken", F_TOKEN },
		{ 400, "TokenRefreshRequired", F_TOKEN },
		{ 403, "SecurityTokenExpired", F_TOKEN },
		{ 403, "InvalidSecurityToken", F_TOKEN },
		{ 409, "OperationAborted", F_CONFLICT },
		{ 409, "ConditionalRequestConflict", F_CONFLICT },
		{ 409, "FileAlreadyExists", F_EXISTS },
		{ 412, "PreconditionFailed", F_CHANGED },
		{ 404, "NoSuchKey", F_MISSING },
		{ 404, "NoSuchBucket", F_MISSING },
		{ 404, "NoSuchUpload", F_MISSING },
		{ 403, "AccessDenied", F_DENIED },
		{ 403, "SignatureDoesNotMatch", F_DENIED },
		{ 403, "InvalidAccessKeyId", F_DENIED },
		{ 403, "QuotaExceeded", F_DENIED },
		{ 403, "UserSuspended", F_DENIED },
		{ 401, "X", F_DENIED },
		{ 400, "EntityTooLarge", F_PERMANENT },
		{ 400, "KeyTooLongError", F_PERMANENT },
		{ 405, "MethodNotAllowed", F_PERMANENT },
		{ 411, "MissingContentLength", F_PERMANENT },
		{ 416, "InvalidRange", F_PERMANENT },
		{ 501, "NotImplemented", F_PERMANENT },
		{ 400, "PublicEndpoint", F_PERMANENT },
	};

	for (size_t i = 0; i < RK_ARRAY_LEN(v); i++) {
		if (coded(&s3, v[i].status, v[i].code) != v[i].want ||
		    coded(&oss, v[i].status, v[i].code) != v[i].want)
			t_fail("%d %s", v[i].status, v[i].code);
	}
}

T_CASE(what_happens_on_the_way_passes_but_for_trust_and_disk)
{
	static const enum fault want[] = {
		[HTTP_NO_HOST] = F_TRANSPORT,
		[HTTP_NO_CONNECTION] = F_TRANSPORT,
		[HTTP_NO_TRUST] = F_DENIED,
		[HTTP_NO_TLS] = F_TRANSPORT,
		[HTTP_BROKEN] = F_TRANSPORT,
		[HTTP_STALLED] = F_TRANSPORT,
		[HTTP_TOO_LONG] = F_PERMANENT,
		[HTTP_DISK] = F_DISK,
		[HTTP_BAD_REQUEST] = F_PERMANENT,
	};

	for (size_t i = HTTP_NO_HOST; i < RK_ARRAY_LEN(want); i++) {
		struct http_answer a = { .end = (enum http_end)i,
			.error = "it broke", .body = "" };
		t_eq_int(fault_of(&s3, &a, false, BODY_ANSWER, &said), want[i]);
		t_eq_str(said.message, "it broke");
	}
}

T_CASE(an_error_whose_page_is_long_is_what_its_status_says)
{
	struct http_answer a = { .end = HTTP_TOO_LONG, .status = 503,
		.error = "the answer is longer than 9 bytes", .body = "" };

	t_eq_int(fault_of(&s3, &a, false, BODY_OBJECT, &said), F_THROTTLE);
	a.status = 404;
	t_eq_int(fault_of(&s3, &a, false, BODY_OBJECT, &said), F_MISSING);
	a.status = 200;
	t_eq_int(fault_of(&s3, &a, false, BODY_OBJECT, &said), F_PERMANENT);
}

T_CASE(a_200_that_holds_an_error_is_one_but_for_an_object)
{
	const char *e = "  \n<Error><Code>InternalError</Code></Error>",
	    *slow = "<Error><Code>SlowDown</Code></Error>",
	    *odd = "<Error><Code>Never heard of</Code></Error>";

	t_eq_int(answer(&s3, 200, e, false, BODY_ANSWER, NULL), F_SERVER);
	t_eq_int(answer(&s3, 200, slow, false, BODY_COMPLETED, NULL),
	    F_THROTTLE);
	t_eq_int(answer(&s3, 200, odd, false, BODY_COMPLETED, NULL), F_SERVER);
	t_eq_int(answer(&s3, 200, e, false, BODY_OBJECT, NULL), F_NONE);
	t_eq_int(answer(&s3, 200, "", false, BODY_ANSWER, NULL), F_NONE);
}

T_CASE(a_completion_that_does_not_say_so_is_none)
{
	static const char *const cut[] = { "", "   ",
		"<CompleteMultipartUploadResult>",
		"<CompleteMultipartUploadResult><ETag>",
		"<html><body>welcome</body></html>" };

	for (size_t i = 0; i < RK_ARRAY_LEN(cut); i++)
		t_eq_int(answer(&s3, 200, cut[i], false, BODY_COMPLETED, NULL),
		    F_SERVER);
	t_eq_int(answer(&s3, 200, " <CompleteMultipartUploadResult xmlns='x'>"
	    "<ETag></ETag></CompleteMultipartUploadResult>", false,
	    BODY_COMPLETED, NULL), F_NONE);
}

T_CASE(oss_says_in_a_header_why_a_head_was_refused)
{
	static const char xml[] = "<Error><Code>SecurityTokenExpired</Code>"
	    "<Message>old</Message><EC>0002-00000040</EC></Error>";
	char *b = rk_base64(xml, sizeof(xml) - 1);
	const char *const h[] = { "x-oss-err", b, "x-oss-request-id", "5F",
		NULL };

	t_eq_int(answer(&oss, 403, "", true, BODY_ANSWER, h), F_TOKEN);
	t_eq_str(said.code, "SecurityTokenExpired");
	t_eq_str(said.request_id, "5F, EC 0002-00000040");
	free(b);
	const char *const bad[] = { "x-oss-err", "not base64!", NULL };
	t_eq_int(answer(&oss, 404, "", true, BODY_ANSWER, bad), F_MISSING);
}

T_CASE(a_forbidden_public_endpoint_comes_with_what_to_do)
{
	t_eq_int(answer(&oss, 400, "<Error><Code>PublicEndpointForbidden</Code>"
	    "<Message>no</Message></Error>", false, BODY_ANSWER, NULL),
	    F_DENIED);
	t_has(said.message, "oss-REGION-internal.aliyuncs.com");
	answer(&oss, 403, "<Error><Code>AccessDenied</Code><Message>must be "
	    "addressed using the specified endpoint</Message><Endpoint>"
	    "oss-cn-x.aliyuncs.com</Endpoint></Error>", false, BODY_ANSWER,
	    NULL);
	t_has(said.message, "oss-cn-x.aliyuncs.com");
}

static bool
region(int status, const char *code, const char *body,
    const char *const *headers, char out[64])
{
	struct strbuf h = {0};
	struct http_answer a = { .end = HTTP_ANSWERED, .status = status,
		.body = body, .len = strlen(body), .headers = &h };

	sb_adds(&h, "");
	for (size_t i = 0; headers != NULL && headers[i] != NULL; i++)
		sb_add(&h, headers[i], strlen(headers[i]) + 1);
	bool yes = fault_region(&a, code, out, 64);
	sb_fini(&h);
	return yes;
}

T_CASE(the_region_is_read_where_it_may_be_said_and_nowhere_else)
{
	static const char *const h[] = { "x-amz-bucket-region", "eu-west-1",
		NULL }, *const evil[] = { "x-amz-bucket-region", "a/b@c",
		NULL };
	char out[64];

	t_check(region(301, "PermanentRedirect", "", h, out));
	t_eq_str(out, "eu-west-1");
	t_check(region(400, "AuthorizationHeaderMalformed",
	    "<Error><Region>eu-west-2</Region></Error>", NULL, out));
	t_eq_str(out, "eu-west-2");
	t_check(region(400, "", "", h, out));           /* of a HEAD */
	t_check(!region(403, "AccessDenied", "", h, out));
	t_check(!region(404, "", "", h, out));
	t_check(!region(301, "", "", evil, out));
}

T_CASE(waits_are_random_double_and_end)
{
	struct strbuf h = {0};
	struct http_answer a = { .headers = &h };
	int64_t most[2] = { 0, 0 };

	for (int i = 0; i < 2000; i++) {
		int64_t w = fault_wait_ms(F_SERVER, 1, NULL);
		t_check(w >= 0 && w <= 200);
		w = fault_wait_ms(F_THROTTLE, 3, NULL);
		t_check(w >= 0 && w <= 4000);
		most[0] = RK_MAX(most[0], w);
		w = fault_wait_ms(F_TRANSPORT, 500, NULL);
		t_check(w >= 0 && w <= 20000);
		most[1] = RK_MAX(most[1], w);
	}
	/* 2000 draws all below 9 tenths: probability 0.9^2000 < 1e-91. */
	t_check(most[0] > 3600 && most[1] > 18000);
	sb_add(&h, "Retry-After\0007", 14);
	t_eq_int(fault_wait_ms(F_THROTTLE, 1, &a), 7000);
	sb_reset(&h);
	sb_add(&h, "Retry-After\000999999999999999999999", 34);
	t_eq_int(fault_wait_ms(F_THROTTLE, 1, &a), 600000);
	sb_reset(&h);
	sb_add(&h, "Retry-After\000Mon, 19 Sep 2016 18:29:47 GMT", 42);
	t_eq_int(fault_wait_ms(F_THROTTLE, 1, &a), 0);
	sb_fini(&h);
}

T_CASE(an_etag_is_compared_without_its_quotes_and_case)
{
	char e[ETAG_MAX];

	etag_clean("\"ABCDEF-3\"", e);
	t_eq_str(e, "abcdef-3");
	etag_clean("&quot;ab&quot;", e);
	t_eq_str(e, "ab");
	etag_clean("\"CAFÉ of Z\"", e);
	t_eq_str(e, "CAFÉ of Z");
	etag_clean(NULL, e);
	t_eq_str(e, "");
}

T_MAIN
