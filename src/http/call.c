/* One call: its own copy of what was asked, and how it ended. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "impl.h"

#define URL_MAX 16384

static int
own_fd(struct http_call *c, int fd)
{
	if (fd < 0)
		return -1;
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0) {
		log_errno("http: cannot duplicate a descriptor");
		call_fail(c, HTTP_DISK, RK_EIO,
		    "no descriptor for the file was to be had");
	}
	return copy;
}

static bool
printable(const char *s, bool blank)
{
	for (; *s != '\0'; s++) {
		unsigned char ch = (unsigned char)*s;
		if (ch < 0x20 || ch == 0x7f || (ch == ' ' && !blank))
			return false;
	}
	return true;
}

static void
copy_headers(struct http_call *c)
{
	const char *const *h = c->r.headers;

	for (; h != NULL && *h != NULL; h++) {
		if (!printable(*h, true) || strchr(*h, ':') == NULL) {
			call_fail(c, HTTP_BAD_REQUEST, RK_OK,
			    "a header of the request is malformed");
			return;
		}
		struct curl_slist *more = curl_slist_append(c->headers, *h);
		must(more != NULL);
		c->headers = more;
	}
}

/* "https://host:port" of the URL, or the socket: they have connections of their
 * own. */
static char *
host_of(const struct http_request *r)
{
	const char *p = strstr(r->url, "://");

	if (r->unix_socket != NULL)
		return xasprintf("unix:%s", r->unix_socket);
	if (p == NULL)
		return xstrdup("");
	size_t n = (size_t)(p + 3 - r->url) + strcspn(p + 3, "/?#");
	return xstrndup(r->url, n);
}

static char *
copy(const char *s)
{
	return s != NULL ? xstrdup(s) : NULL;
}

static void
copy_texts(struct http_call *c, const struct http_request *r)
{
	c->r.method = xstrdup(r->method);
	c->r.url = xstrdup(r->url);
	c->r.ca_file = copy(r->ca_file);
	c->r.unix_socket = copy(r->unix_socket);
	c->r.body = NULL;
	if (r->body_len > 0) {
		must(r->body_fd < 0);
		void *body = xmalloc(r->body_len);
		memcpy(body, r->body, r->body_len);
		c->r.body = body;
	}
	if (r->resolve != NULL) {
		c->resolve = curl_slist_append(NULL, r->resolve);
		must(c->resolve != NULL);
	}
}

struct http_call *
call_new(const struct http_request *r)
{
	struct http_call *c = xcalloc(1, sizeof(*c));

	must(r->method != NULL && r->url != NULL && r->done != NULL);
	c->tag = HTTP_CALL_TAG;
	c->done = r->done;
	c->ctx = r->ctx;
	c->r = *r;
	must(pthread_mutex_init(&c->io, NULL) == 0);
	copy_texts(c, r);
	copy_headers(c);
	c->r.headers = NULL;
	c->r.body_fd = own_fd(c, r->body_fd);
	c->r.sink_fd = own_fd(c, r->sink_fd);
	c->r.max = r->max > 0 ? r->max : BODY_MAX;
	c->host = host_of(r);
	if (!printable(r->url, false) || strlen(r->url) > URL_MAX)
		call_fail(c, HTTP_BAD_REQUEST, RK_OK,
		    "the address is malformed or too long");
	return c;
}

/* Headers, bodies and addresses may hold keys and tokens. */
static void
wipe_text(const char *s)
{
	if (s == NULL)
		return;
	rk_wipe((void *)(uintptr_t)s, strlen(s));
	free((void *)(uintptr_t)s);
}

void
call_free(struct http_call *c)
{
	must_be(c, HTTP_CALL_TAG);
	must(c->easy == NULL);
	for (struct curl_slist *h = c->headers; h != NULL; h = h->next)
		rk_wipe(h->data, strlen(h->data));
	curl_slist_free_all(c->headers);
	curl_slist_free_all(c->resolve);
	wipe_text(c->r.url);
	wipe_text(c->r.method);
	wipe_text(c->r.ca_file);
	wipe_text(c->r.unix_socket);
	if (c->r.body != NULL) {
		rk_wipe((void *)(uintptr_t)c->r.body, c->r.body_len);
		free((void *)(uintptr_t)c->r.body);
	}
	rk_close(&c->r.body_fd);
	rk_close(&c->r.sink_fd);
	free(c->gather);
	free(c->host);
	free(c->sentence);
	rk_wipe(c->body.s, c->body.len);
	sb_fini(&c->body);
	sb_fini(&c->got_headers);
	/* Whoever cancelled it has let go of the lock before it is
	 * destroyed. */
	must(pthread_mutex_lock(&c->io) == 0);
	must(pthread_mutex_unlock(&c->io) == 0);
	pthread_mutex_destroy(&c->io);
	c->tag = 0;
	free(c);
}

void
call_fail(struct http_call *c, enum http_end end, enum rk_err err,
    const char *fmt, ...)
{
	va_list ap;

	if (c->failed)
		return;
	c->failed = true;
	c->answer.end = end;
	c->answer.err = err;
	struct strbuf b = {0};
	va_start(ap, fmt);
	sb_vaddf(&b, fmt, ap);
	va_end(ap);
	c->sentence = rk_text_clean(sb_detach(&b));
}

bool
call_cancelled(const struct http_call *c)
{
	return __atomic_load_n(&c->cancel, __ATOMIC_ACQUIRE);
}

static enum http_end
end_of(const struct http_call *c, CURLcode rc)
{
	switch (rc) {
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return HTTP_NO_HOST;
	case CURLE_COULDNT_CONNECT:
	case CURLE_INTERFACE_FAILED:
	case CURLE_PROXY:
		return HTTP_NO_CONNECTION;
	case CURLE_OPERATION_TIMEDOUT:
		return c->connected ? HTTP_STALLED : HTTP_NO_CONNECTION;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_CERTPROBLEM:
		return HTTP_NO_TRUST;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_USE_SSL_FAILED:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_ENGINE_INITFAILED:
		return HTTP_NO_TLS;
	case CURLE_URL_MALFORMAT:
	case CURLE_BAD_FUNCTION_ARGUMENT:
		return HTTP_BAD_REQUEST;
	case CURLE_UNSUPPORTED_PROTOCOL:
		/* Also what it calls an answer that is not HTTP/1. */
		return c->connected ? HTTP_BROKEN : HTTP_BAD_REQUEST;
	case CURLE_ABORTED_BY_CALLBACK:
		return HTTP_CANCELLED;
	default:
		return HTTP_BROKEN;
	}
}

bool
call_again(struct http_call *c, CURLcode rc)
{
	long fresh = 1, got = 1;

	if ((rc != CURLE_SEND_ERROR && rc != CURLE_RECV_ERROR) || c->again ||
	    c->failed || call_cancelled(c))
		return false;
	curl_easy_getinfo(c->easy, CURLINFO_NUM_CONNECTS, &fresh);
	curl_easy_getinfo(c->easy, CURLINFO_HEADER_SIZE, &got);
	if (fresh > 0 || got > 0)
		return false;
	c->again = true;
	c->read_at = 0;
	c->status = 0;
	c->wants_up = c->wants_down = false;
	c->curl_says[0] = '\0';
	return true;
}

void
call_end(struct http_call *c, CURLcode rc)
{
	curl_off_t up = 0;

	easy_flush(c);
	if (c->easy != NULL &&
	    curl_easy_getinfo(c->easy, CURLINFO_SIZE_UPLOAD_T, &up) == CURLE_OK)
		c->answer.sent = (uint64_t)up;
	if (!c->failed && rc != CURLE_OK)
		call_fail(c, end_of(c, rc), RK_OK, "%s",
		    c->curl_says[0] != '\0' ? c->curl_says :
		    curl_easy_strerror(rc));
	if (!c->failed && c->status == 0)
		call_fail(c, HTTP_BROKEN, RK_OK, "there was no answer");
	c->answer.error = c->failed ? c->sentence : "";
	c->answer.status = c->status;
	c->answer.body = sb_str(&c->body);
	c->answer.len = c->body.len;
	c->answer.sunk = GET(c->sunk);
	c->answer.ms = c->begun_ms > 0 ? mono_ms() - c->begun_ms : 0;
	c->answer.headers = &c->got_headers;
}

const char *
http_header(const struct http_answer *a, const char *name)
{
	const struct strbuf *b = a->headers;

	for (size_t at = 0; b != NULL && at < b->len;) {
		const char *key = b->s + at, *value = key + strlen(key) + 1;
		if (strcasecmp(key, name) == 0)
			return value;
		at = (size_t)(value - b->s) + strlen(value) + 1;
	}
	return NULL;
}
