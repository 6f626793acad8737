/*
 * The libcurl handle of a call.
 *
 * Bodies go straight between libcurl's buffer and the file: pread() fills the
 * one that is sent, pwrite() empties the one that was received.  Buffers are
 * large only where much is to move.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <netinet/in.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "impl.h"

static void
curl_init(void)
{
	must(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
}

void
easy_global(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	must(pthread_once(&once, curl_init) == 0);
}

/* --- what goes out ----------------------------------------------------- */

static uint64_t
body_size(const struct http_call *c)
{
	return c->r.body_fd >= 0 ? c->r.body_size : c->r.body_len;
}

static ssize_t
read_body(struct http_call *c, char *p, size_t n)
{
	ssize_t got;

	if (c->r.body_fd < 0) {
		memcpy(p, (const char *)c->r.body + c->read_at, n);
		return (ssize_t)n;
	}
	do
		got = pread(c->r.body_fd, p, n,
		    (off_t)(c->r.body_at + c->read_at));
	while (got < 0 && errno == EINTR);
	if (got < 0)
		call_fail(c, HTTP_DISK, rk_from_errno(errno),
		    "cannot read what was to be sent: %s", strerror(errno));
	else if (got == 0)
		call_fail(c, HTTP_DISK, RK_EIO,
		    "the file that was to be sent has become shorter");
	return got;
}

static size_t
on_read(char *p, size_t size, size_t items, void *ctx)
{
	struct http_call *c = ctx;
	uint64_t left = body_size(c) - c->read_at;
	size_t n = (size_t)RK_MIN((uint64_t)size * items, left);

	must_be(c, HTTP_CALL_TAG);
	if (n == 0)
		return 0;
	if (c->r.metered && c->h != NULL) {
		n = bucket_some(&c->h->up, n);
		if (n == 0) {
			c->wants_up = true;
			return CURL_READFUNC_PAUSE;
		}
	}
	ssize_t got = read_body(c, p, n);
	if (got <= 0)
		return CURL_READFUNC_ABORT;
	c->read_at += (uint64_t)got;
	if (c->r.metered && c->h != NULL)
		bucket_took(&c->h->up, (size_t)got);
	return (size_t)got;
}

/* libcurl sends a body again from the start when a kept connection turns out to
 * be closed. */
static int
on_seek(void *ctx, curl_off_t at, int whence)
{
	struct http_call *c = ctx;

	must_be(c, HTTP_CALL_TAG);
	if (whence != SEEK_SET || at < 0 || (uint64_t)at > body_size(c))
		return CURL_SEEKFUNC_FAIL;
	c->read_at = (uint64_t)at;
	return CURL_SEEKFUNC_OK;
}

/* --- what comes in ----------------------------------------------------- */

static size_t
on_header(char *p, size_t size, size_t items, void *ctx)
{
	struct http_call *c = ctx;
	size_t n = size * items;
	char *colon;

	must_be(c, HTTP_CALL_TAG);
	if (c->body_begun)
		return n;       /* a trailer */
	if (n >= 5 && memcmp(p, "HTTP/", 5) == 0) {
		long status = 0;
		curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
		c->status = status >= 200 ? (int)status : 0;
		sb_reset(&c->got_headers);
		return n;
	}
	if (c->got_headers.len + n > HEADERS_MAX) {
		call_fail(c, HTTP_BROKEN, RK_OK,
		    "the answer's headers are too long");
		return 0;
	}
	if ((colon = memchr(p, ':', n)) == NULL || memchr(p, '\0', n) != NULL)
		return n;
	const char *v = colon + 1, *end = p + n;
	while (v < end && (*v == ' ' || *v == '\t'))
		v++;
	while (end > v && strchr(" \t\r\n", end[-1]) != NULL)
		end--;
	sb_add(&c->got_headers, p, (size_t)(colon - p));
	sb_addc(&c->got_headers, '\0');
	sb_add(&c->got_headers, v, (size_t)(end - v));
	sb_addc(&c->got_headers, '\0');
	return n;
}

static bool
write_out(struct http_call *c, const char *p, size_t n)
{
	uint64_t at = c->sunk;

	while (n > 0) {
		ssize_t put = pwrite(c->r.sink_fd, p, n,
		    (off_t)(c->r.sink_at + at));
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0) {
			enum rk_err err = put < 0 ? rk_from_errno(errno) :
			    RK_EIO;
			call_fail(c, HTTP_DISK, err,
			    "cannot write what was received: %s",
			    rk_strerror(err));
			return false;
		}
		p += put;
		n -= (size_t)put;
		at += (uint64_t)put;
		SET(c->sunk, at);
	}
	return true;
}

/* libcurl hands out 16 KiB at a time; in large pieces a file system takes the
 * same bytes for half the work. */
static bool
to_sink(struct http_call *c, const char *p, size_t n)
{
	if (n > c->r.sink_size - c->sunk - c->gathered) {
		call_fail(c, HTTP_TOO_LONG, RK_OK,
		    "the answer is longer than the %llu bytes asked for",
		    (unsigned long long)c->r.sink_size);
		return false;
	}
	if (c->gather == NULL)
		c->gather = xmalloc(GATHER);
	while (n > 0) {
		size_t some = RK_MIN(n, GATHER - c->gathered);
		memcpy(c->gather + c->gathered, p, some);
		c->gathered += some;
		p += some;
		n -= some;
		if (c->gathered < GATHER)
			break;
		c->gathered = 0;
		if (!write_out(c, c->gather, GATHER))
			return false;
	}
	return true;
}

void
easy_flush(struct http_call *c)
{
	size_t n = c->gathered;

	must(pthread_mutex_lock(&c->io) == 0);
	c->gathered = 0;
	if (n > 0 && !call_cancelled(c))
		(void)write_out(c, c->gather, n);
	must(pthread_mutex_unlock(&c->io) == 0);
}

static bool
to_memory(struct http_call *c, const char *p, size_t n)
{
	if (n > c->r.max - c->body.len) {
		call_fail(c, HTTP_TOO_LONG, RK_OK,
		    "the answer is longer than %zu bytes", c->r.max);
		return false;
	}
	sb_add(&c->body, p, n);
	return true;
}

static bool
keep(struct http_call *c, const char *p, size_t n)
{
	bool ok;

	if (c->chunk != NULL && c->status == 200) {
		ok = c->chunk(c->chunk_ctx, p, n);
		if (!ok)
			call_fail(c, HTTP_CANCELLED, RK_OK, "given up");
		return ok;
	}
	if (c->r.sink_fd < 0 || c->status != c->r.sink_status)
		return to_memory(c, p, n);
	must(pthread_mutex_lock(&c->io) == 0);
	ok = !call_cancelled(c) && to_sink(c, p, n);
	must(pthread_mutex_unlock(&c->io) == 0);
	return ok;
}

static size_t
on_write(char *p, size_t size, size_t items, void *ctx)
{
	struct http_call *c = ctx;
	size_t n = size * items;

	must_be(c, HTTP_CALL_TAG);
	c->body_begun = true;
	if (c->r.metered && c->h != NULL && n > 0) {
		if (bucket_some(&c->h->down, n) == 0) {
			c->wants_down = true;
			return CURL_WRITEFUNC_PAUSE;
		}
		bucket_took(&c->h->down, n);
	}
	/* What is not n is an error to libcurl, 0 of 0 bytes is not. */
	return keep(c, p, n) ? n : CURL_WRITEFUNC_ERROR;
}

static int
on_moved(void *ctx, curl_off_t down_all, curl_off_t down, curl_off_t up_all,
    curl_off_t up)
{
	struct http_call *c = ctx;

	(void)down_all;
	(void)up_all;
	SET(c->sent, (uint64_t)up);
	SET(c->moved, (uint64_t)up + (uint64_t)down);
	return call_cancelled(c) ? 1 : 0;
}

/* Of a stranger's URL, where it leads to by its name. */
static bool
is_forbidden(struct http_call *c, const char *ip)
{
	if (!c->r.strange || !http_is_metadata(ip))
		return false;
	call_fail(c, HTTP_BAD_REQUEST, RK_OK, "%s is the address of a "
	    "metadata service, which nobody is sent to", ip);
	return true;
}

/* Before each connection is made. */
static curl_socket_t
on_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *to)
{
	char ip[INET6_ADDRSTRLEN] = "";
	const void *at = to->family == AF_INET6 ? (const void *)
	    &((const struct sockaddr_in6 *)(const void *)&to->addr)->sin6_addr :
	    (const void *)
	    &((const struct sockaddr_in *)(const void *)&to->addr)->sin_addr;

	(void)purpose;
	if ((to->family == AF_INET || to->family == AF_INET6) &&
	    inet_ntop(to->family, at, ip, sizeof(ip)) != NULL &&
	    is_forbidden(ctx, ip))
		return CURL_SOCKET_BAD;
	return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

/* And before each request over one, which may have been made for another. */
static int
on_connected(void *ctx, char *ip, char *own_ip, int port, int own_port)
{
	struct http_call *c = ctx;

	(void)own_ip, (void)port, (void)own_port;
	if (is_forbidden(c, ip))
		return CURL_PREREQFUNC_ABORT;
	/* Before each sending: libcurl repeats some of its own accord. */
	c->answer.resent = c->connected;
	c->connected = true;
	return CURL_PREREQFUNC_OK;
}

/* --- options ----------------------------------------------------------- */

static long
buffer_for(uint64_t n)
{
	return (long)RK_MIN(RK_MAX(n, BUFFER_MIN), BUFFER_MAX);
}

#define OPT(c, o, v) must(curl_easy_setopt((c)->easy, (o), (v)) == CURLE_OK)

/* libcurl asks before each PUT whether it may send the body.  Of a small one
 * that costs more than it saves. */
static void
send_at_once(struct http_call *c)
{
	for (const struct curl_slist *h = c->headers; h != NULL; h = h->next) {
		if (strncasecmp(h->data, "Expect:", 7) == 0)
			return;
	}
	struct curl_slist *more = curl_slist_append(c->headers, "Expect:");
	must(more != NULL);
	c->headers = more;
	OPT(c, CURLOPT_HTTPHEADER, c->headers);
}

static void
set_body(struct http_call *c)
{
	const struct http_request *r = &c->r;
	uint64_t size = body_size(c);
	bool put = strcmp(r->method, "PUT") == 0;

	OPT(c, CURLOPT_READFUNCTION, on_read);
	OPT(c, CURLOPT_READDATA, c);
	OPT(c, CURLOPT_SEEKFUNCTION, on_seek);
	OPT(c, CURLOPT_SEEKDATA, c);
	OPT(c, CURLOPT_UPLOAD_BUFFERSIZE, buffer_for(size));
	if (size <= AT_ONCE)
		send_at_once(c);
	if (put) {
		OPT(c, CURLOPT_UPLOAD, 1L);
		OPT(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)size);
		return;
	}
	OPT(c, CURLOPT_POST, 1L);
	OPT(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
	if (r->body_fd < 0)
		OPT(c, CURLOPT_POSTFIELDS, size > 0 ? r->body : "");
	if (strcmp(r->method, "POST") != 0)
		OPT(c, CURLOPT_CUSTOMREQUEST, r->method);
}

static void
set_method(struct http_call *c)
{
	const char *m = c->r.method;

	if (strcmp(m, "PUT") == 0 || strcmp(m, "POST") == 0 || body_size(c) > 0)
		set_body(c);
	else if (strcmp(m, "HEAD") == 0)
		OPT(c, CURLOPT_NOBODY, 1L);
	else if (strcmp(m, "GET") == 0)
		OPT(c, CURLOPT_HTTPGET, 1L);
	else
		OPT(c, CURLOPT_CUSTOMREQUEST, m);
}

static void
set_callbacks(struct http_call *c)
{
	OPT(c, CURLOPT_HEADERFUNCTION, on_header);
	OPT(c, CURLOPT_HEADERDATA, c);
	OPT(c, CURLOPT_WRITEFUNCTION, on_write);
	OPT(c, CURLOPT_WRITEDATA, c);
	OPT(c, CURLOPT_XFERINFOFUNCTION, on_moved);
	OPT(c, CURLOPT_XFERINFODATA, c);
	OPT(c, CURLOPT_NOPROGRESS, 0L);
	OPT(c, CURLOPT_PREREQFUNCTION, on_connected);
	OPT(c, CURLOPT_PREREQDATA, c);
	if (c->r.strange) {
		OPT(c, CURLOPT_OPENSOCKETFUNCTION, on_socket);
		OPT(c, CURLOPT_OPENSOCKETDATA, c);
	}
	OPT(c, CURLOPT_ERRORBUFFER, c->curl_says);
}

static void
set_connection(struct http_call *c)
{
	const struct http_request *r = &c->r;

	OPT(c, CURLOPT_CONNECTTIMEOUT_MS,
	    (long)(r->connect_ms > 0 ? r->connect_ms : CONNECT_MS));
	OPT(c, CURLOPT_TIMEOUT_MS, (long)r->total_ms);
	OPT(c, CURLOPT_TCP_KEEPALIVE, 1L);
	OPT(c, CURLOPT_MAXAGE_CONN, (long)KEEP_S);
	OPT(c, CURLOPT_MAXLIFETIME_CONN, (long)KEEP_S);
	/* A resolver that hangs is left behind, not waited for. */
	OPT(c, CURLOPT_QUICK_EXIT, 1L);
	if (r->ca_file != NULL)
		OPT(c, CURLOPT_CAINFO, r->ca_file);
	if (c->resolve != NULL)
		OPT(c, CURLOPT_RESOLVE, c->resolve);
	if (r->unix_socket != NULL)
		OPT(c, CURLOPT_UNIX_SOCKET_PATH, r->unix_socket);
	if (r->no_proxy)
		OPT(c, CURLOPT_NOPROXY, "*");
	if (r->fresh || c->again)
		OPT(c, CURLOPT_FRESH_CONNECT, 1L);
	if (r->fresh)
		OPT(c, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
}

bool
easy_open(struct http_call *c, CURL *handle)
{
	if (c->failed)
		return false;
	c->easy = handle != NULL ? handle : curl_easy_init();
	must(c->easy != NULL);
	curl_easy_reset(c->easy);
	c->brisk_ms = c->looked_ms = mono_ms();
	if (!c->again)
		c->begun_ms = c->brisk_ms;
	OPT(c, CURLOPT_PRIVATE, c);
	OPT(c, CURLOPT_NOSIGNAL, 1L);
	OPT(c, CURLOPT_PROTOCOLS_STR, "http,https");
	OPT(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	OPT(c, CURLOPT_PATH_AS_IS, 1L);
	OPT(c, CURLOPT_USERAGENT, "rekindle/" REKINDLE_VERSION);
	OPT(c, CURLOPT_HTTPHEADER, c->headers);
	if (c->r.sink_fd >= 0)
		OPT(c, CURLOPT_BUFFERSIZE, buffer_for(c->r.sink_size));
	set_callbacks(c);
	set_connection(c);
	set_method(c);
	if (c->r.strange && http_leads_to_metadata(c->r.url))
		call_fail(c, HTTP_BAD_REQUEST, RK_OK, "%s is the address of a "
		    "metadata service, which nobody is sent to", c->host);
	if (curl_easy_setopt(c->easy, CURLOPT_URL, c->r.url) != CURLE_OK)
		call_fail(c, HTTP_BAD_REQUEST, RK_OK, "the address is malformed");
	return !c->failed;
}

/* The handle holds pointers into the call: it forgets them either way. */
void
easy_close(struct http_call *c, bool keep_handle)
{
	if (c->easy != NULL && keep_handle)
		curl_easy_reset(c->easy);
	else if (c->easy != NULL)
		curl_easy_cleanup(c->easy);
	c->easy = NULL;
}
