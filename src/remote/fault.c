/*
 * What went wrong, by class: the class says what is done about it.
 *
 *	throttle    wait longer, fewer at a time        503, 429, SlowDown
 *	server      wait                                500 502 504 509
 *	transport   wait, and a new connection          cut, silent, refused
 *	conflict    wait                                409 of two at once
 *	integrity   send the bytes again, twice         BadDigest
 *	clock       by the server's Date, once          RequestTimeTooSkewed
 *	token       other credentials, once             ExpiredToken
 *	region      sign for the region named, once     301, 307, 400
 *	the others  are an answer
 *
 * Sources: S3 API Reference, "Error responses"; OSS error codes; what RADOS
 * Gateway and Swift answer.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "impl.h"

/* --- the error's document ------------------------------------------------- */

struct detail {
	char region[64], endpoint[128], ec[64];
};

static void
keep(char *out, size_t n, const char *s)
{
	size_t m = rk_text_fit(s, n - 1);

	memcpy(out, s, m);
	out[m] = '\0';
	rk_text_clean(out);
}

/*
 * <Error> with <Code>, <Message>, ... into q and d.  False if the document's
 * root is something else.  Of a cut document what came first is kept.
 */
static bool
read_error(const char *p, size_t n, struct req_result *q, struct detail *d)
{
	struct {
		const char *name;
		char *out;
		size_t n;
	} v[] = {
		{ "Code", q->code, sizeof(q->code) },
		{ "Message", q->message, sizeof(q->message) },
		{ "RequestId", q->request_id, sizeof(q->request_id) },
		{ "Region", d->region, sizeof(d->region) },
		{ "Endpoint", d->endpoint, sizeof(d->endpoint) },
		{ "EC", d->ec, sizeof(d->ec) },
	};
	bool root = false;
	enum xml_event e;
	struct xml x;

	xml_open(&x, p, n);
	while ((e = xml_next(&x)) != XML_END && e != XML_BAD) {
		if (e == XML_OPEN && !root) {
			root = strcmp(x.name, "Error") == 0 ||
			    strcmp(x.name, "ErrorResponse") == 0;
			if (!root)
				break;
		}
		for (size_t i = 0; e == XML_CLOSE && i < RK_ARRAY_LEN(v); i++) {
			if (strcmp(x.name, v[i].name) == 0)
				keep(v[i].out, v[i].n, sb_str(&x.text));
		}
	}
	xml_fini(&x);
	return root;
}

/* OSS has no body for a HEAD, and says it base64-encoded in a header. */
static void
read_header_error(const struct http_answer *a, struct req_result *q,
    struct detail *d)
{
	const char *s = http_header(a, "x-oss-err");
	void *p = NULL;
	size_t n;

	if (s == NULL || strlen(s) > 16384 ||
	    rk_base64_decode(s, &p, &n) != RK_OK)
		return;
	read_error(p, n, q, d);
	free(p);
}

static void
read_ids(const struct http_answer *a, struct req_result *q,
    const struct detail *d)
{
	const char *id = http_header(a, "x-amz-request-id");
	const char *more = http_header(a, "x-amz-id-2");
	const char *ec = d->ec[0] != '\0' ? d->ec : http_header(a, "x-oss-ec");

	if (id == NULL)
		id = http_header(a, "x-oss-request-id");
	if (id == NULL)
		id = q->request_id;
	struct strbuf b = {0};
	sb_adds(&b, id);
	if (more != NULL && more[0] != '\0')
		sb_addf(&b, ", %s", more);
	if (ec != NULL && ec[0] != '\0')
		sb_addf(&b, ", EC %s", ec);
	keep(q->request_id, sizeof(q->request_id), b.s);
	sb_fini(&b);
}

/* --- the table ------------------------------------------------------------ */

static const struct {
	const char *code;       /* a '*' at its end: begins so */
	enum fault fault;
} codes[] = {
	{ "SlowDown", F_THROTTLE },
	{ "ServiceUnavailable", F_THROTTLE },
	{ "Throttling*", F_THROTTLE },
	{ "ThrottledException", F_THROTTLE },
	{ "RequestThrottled*", F_THROTTLE },
	{ "RequestLimitExceeded", F_THROTTLE },
	{ "BandwidthLimitExceeded", F_THROTTLE },
	{ "TooManyRequests*", F_THROTTLE },
	{ "QpsLimitExceeded", F_THROTTLE },
	{ "ServerBusy", F_THROTTLE },
	{ "InternalError*", F_SERVER },
	{ "RequestTimeout", F_TRANSPORT },
	{ "RequestTimeoutException", F_TRANSPORT },
	{ "IncompleteBody", F_TRANSPORT },
	{ "BadDigest", F_INTEGRITY },
	{ "InvalidDigest", F_INTEGRITY },
	{ "XAmzContentSHA256Mismatch", F_INTEGRITY },
	{ "XAmzContentChecksumMismatch", F_INTEGRITY },
	{ "RequestTimeTooSkewed", F_CLOCK },
	{ "ExpiredToken*", F_TOKEN },
	{ "InvalidToken", F_TOKEN },
	{ "TokenRefreshRequired", F_TOKEN },
	{ "SecurityTokenExpired", F_TOKEN },
	{ "InvalidSecurityToken", F_TOKEN },
	{ "OperationAborted", F_CONFLICT },
	{ "ConditionalRequestConflict", F_CONFLICT },
	{ "FileAlreadyExists", F_EXISTS },
	{ "ObjectAlreadyExists", F_EXISTS },
	{ "NoSuchKey", F_MISSING },
	{ "NoSuchBucket", F_MISSING },
	{ "NoSuchUpload", F_MISSING },
	{ "PreconditionFailed", F_CHANGED },
	{ "AccessDenied", F_DENIED },
	{ "SignatureDoesNotMatch", F_DENIED },
	{ "InvalidAccessKeyId", F_DENIED },
	{ "QuotaExceeded", F_DENIED },
	{ "UserSuspended", F_DENIED },
	{ "UserDisable", F_DENIED },
	{ "AuthorizationHeaderMalformed", F_DENIED },
	{ "PublicEndpointForbidden", F_DENIED },
};

static enum fault
of_code(const char *code)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(codes); i++) {
		size_t n = strlen(codes[i].code);
		bool begins = codes[i].code[n - 1] == '*';
		if (begins ? strncmp(code, codes[i].code, n - 1) == 0 :
		    strcmp(code, codes[i].code) == 0)
			return codes[i].fault;
	}
	return F_NONE;
}

static enum fault
of_status(int status)
{
	switch (status) {
	case 401:
	case 403:
	case 407:
		return F_DENIED;
	case 404:
	case 410:
		return F_MISSING;
	case 408:
		return F_TRANSPORT;
	case 412:
		return F_CHANGED;
	case 429:
	case 503:
		return F_THROTTLE;
	case 501:
	case 505:
		return F_PERMANENT;
	case 507:
		return F_DENIED;
	default:
		return status >= 500 ? F_SERVER : F_PERMANENT;
	}
}

static enum fault
of_end(const struct http_answer *a)
{
	switch (a->end) {
	case HTTP_NO_HOST:
	case HTTP_NO_CONNECTION:
	case HTTP_NO_TLS:
	case HTTP_BROKEN:
	case HTTP_STALLED:
	case HTTP_CANCELLED:
		return F_TRANSPORT;
	case HTTP_NO_TRUST:
		return F_DENIED;
	case HTTP_DISK:
		return F_DISK;
	default:
		return F_PERMANENT;
	}
}

/* 400 and 403 have many reasons: there a code that is not about the region
 * counts more than the header. */
bool
fault_region(const struct http_answer *a, const char *code, char *out, size_t n)
{
	const char *h = http_header(a, "x-amz-bucket-region");
	struct req_result q = {0};
	struct detail d = {0};

	if (a->end != HTTP_ANSWERED || (a->status != 301 && a->status != 307 &&
	    a->status != 400 && a->status != 403))
		return false;
	if (a->status >= 400 && code[0] != '\0' &&
	    strcmp(code, "AuthorizationHeaderMalformed") != 0)
		return false;
	if (h == NULL && read_error(a->body, a->len, &q, &d))
		h = d.region;
	if (h == NULL || h[0] == '\0' || strlen(h) >= n ||
	    strspn(h, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(h))
		return false;
	snprintf(out, n, "%s", h);
	return true;
}

/* --- hints that people need ----------------------------------------------- */

static void
add_hint(struct req_result *q, const struct detail *d)
{
	static const char public[] = ": new accounts may not use OSS's public "
	    "endpoints of mainland regions; set `endpoint` to "
	    "https://oss-REGION-internal.aliyuncs.com, or to a domain of the "
	    "bucket's own with addressing: cname";
	size_t n = strlen(q->message);

	if (strcmp(q->code, "PublicEndpointForbidden") == 0)
		snprintf(q->message + n, sizeof(q->message) - n, "%s", public);
	else if (d->endpoint[0] != '\0')
		snprintf(q->message + n, sizeof(q->message) - n,
		    " (its endpoint: %s)", d->endpoint);
}

/* A request that is signed for one host is not sent to another. */
static void
add_redirect(struct req_result *q, const struct http_answer *a)
{
	const char *to = http_header(a, "location"), *host;
	size_t n = strlen(q->message);

	if (a->status < 301 || a->status > 308 || to == NULL ||
	    (host = strstr(to, "://")) == NULL)
		return;
	host += 3 + strcspn(host + 3, "/?#");
	snprintf(q->message + n, sizeof(q->message) - n, " (it leads to %.*s; "
	    "signed requests are not sent on: is that the `endpoint`?)",
	    (int)RK_MIN(host - to, 200), to);
	rk_text_clean(q->message);
}

/* Did an answer of 2xx say that it failed all the same? */
static enum fault
of_success(const struct http_answer *a, enum fault_body body,
    struct req_result *q, struct detail *d)
{
	char *root = NULL;

	if (body == BODY_OBJECT || (body == BODY_ANSWER && a->len == 0))
		return F_NONE;
	if (read_error(a->body, a->len, q, d)) {
		enum fault f = of_code(q->code);
		return f != F_NONE ? f : F_SERVER;
	}
	if (body != BODY_COMPLETED)
		return F_NONE;
	root = xml_find(a->body, a->len, "CompleteMultipartUploadResult");
	if (root != NULL) {
		free(root);
		return F_NONE;
	}
	keep(q->message, sizeof(q->message), "the answer to the completion is "
	    "cut off");
	return F_SERVER;
}

enum fault
fault_of(const struct rstore *s, const struct http_answer *a, bool head,
    enum fault_body body, struct req_result *q)
{
	struct detail d = {0};
	enum fault f;

	q->code[0] = q->message[0] = q->request_id[0] = '\0';
	if (a->end != HTTP_ANSWERED) {
		keep(q->message, sizeof(q->message), a->error);
		/* An error's page may be long. */
		return a->end == HTTP_TOO_LONG && a->status >= 300 ?
		    of_status(a->status) : of_end(a);
	}
	if (a->status >= 200 && a->status < 300) {
		f = of_success(a, body, q, &d);
	} else {
		if (head)
			read_header_error(a, q, &d);
		else if (s->kind != STORE_HTTPS)
			read_error(a->body, a->len, q, &d);
		f = of_code(q->code);
		if (f == F_NONE)
			f = of_status(a->status);
	}
	if (f != F_NONE) {
		read_ids(a, q, &d);
		add_hint(q, &d);
		if (s->kind != STORE_HTTPS)
			add_redirect(q, a);
		/* A redirect while a new bucket's name spreads. */
		if (a->status == 307 && s->kind != STORE_HTTPS)
			f = F_SERVER;
	}
	return f;
}

bool
fault_not_implemented(const struct req_result *q)
{
	return q->a != NULL && q->a->end == HTTP_ANSWERED &&
	    (q->a->status == 501 || (q->a->status == 400 &&
	    strcmp(q->code, "NotImplemented") == 0));
}

bool
fault_wants_md5(const struct req_result *q)
{
	return q->a != NULL && q->a->end == HTTP_ANSWERED &&
	    q->a->status == 400 && (strcmp(q->code, "MissingContentMD5") == 0 ||
	    strcasestr(q->message, "Content-MD5") != NULL);
}

enum remote_end
end_of(enum fault f)
{
	static const enum remote_end ends[] = {
		[F_NONE] = REMOTE_OK,
		[F_THROTTLE] = REMOTE_UNAVAILABLE,
		[F_SERVER] = REMOTE_UNAVAILABLE,
		[F_TRANSPORT] = REMOTE_UNAVAILABLE,
		[F_CONFLICT] = REMOTE_UNAVAILABLE,
		[F_INTEGRITY] = REMOTE_DAMAGED,
		[F_CLOCK] = REMOTE_DENIED,
		[F_TOKEN] = REMOTE_DENIED,
		[F_REGION] = REMOTE_REFUSED,
		[F_MISSING] = REMOTE_MISSING,
		[F_EXISTS] = REMOTE_EXISTS,
		[F_CHANGED] = REMOTE_CHANGED,
		[F_DENIED] = REMOTE_DENIED,
		[F_PERMANENT] = REMOTE_REFUSED,
		[F_DISK] = REMOTE_LOCAL,
	};
	return ends[f];
}

#define WAIT_MS          200
#define WAIT_THROTTLE_MS 1000
#define WAIT_MOST_MS     20000
#define RETRY_AFTER_MOST 600

/* Retry-After: seconds, or a date; -1 if there is none. */
static int64_t
retry_after_ms(const struct http_answer *a)
{
	const char *s = a != NULL ? http_header(a, "retry-after") : NULL;
	int64_t at;

	if (s == NULL || s[0] == '\0')
		return -1;
	if (strspn(s, "0123456789") == strlen(s))
		return (int64_t)RK_MIN(strtoul(s, NULL, 10),
		    RETRY_AFTER_MOST) * 1000;
	if (!rk_time_parse(s, &at))
		return -1;
	return RK_MIN(RK_MAX(at - now_ms(), 0), RETRY_AFTER_MOST * 1000);
}

int64_t
fault_wait_ms(enum fault f, int tries, const struct http_answer *a)
{
	int64_t base = f == F_THROTTLE ? WAIT_THROTTLE_MS : WAIT_MS;
	int64_t most = RK_MIN(base << RK_MIN(RK_MAX(tries - 1, 0), 10),
	    WAIT_MOST_MS), told = retry_after_ms(a);
	uint32_t r;

	if (told >= 0)
		return told;
	rk_random_bytes(&r, sizeof(r));
	return (int64_t)(r % (uint32_t)(most + 1));
}
