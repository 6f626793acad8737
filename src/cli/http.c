/*
 * The HTTP client: one libcurl handle, to a URL or over a Unix socket.
 */
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

#define DEFAULT_URL     "http://127.0.0.1:7450"
#define DEFAULT_SOCKET  "/run/rekindle/rekindled.sock"
#define REPLY_MAX       (256u << 20)
#define TRIES           4

static CURL *handle;
static char *base_url;          /* "http://127.0.0.1:7450" */
static char *socket_path;       /* or NULL */

void
cli_reply_fini(struct cli_reply *r)
{
	free(r->text);
	json_decref(r->json);
	*r = (struct cli_reply){0};
}

static void
use_socket(const char *path)
{
	free(socket_path);
	free(base_url);
	socket_path = xstrdup(path);
	base_url = xstrdup("http://localhost");
}

static void
use_url(const char *url)
{
	free(socket_path);
	free(base_url);
	socket_path = NULL;
	base_url = strncmp(url, "http://", 7) == 0 ||
	    strncmp(url, "https://", 8) == 0 ? xstrdup(url) :
	    xasprintf("http://%s", url);
	for (size_t n = strlen(base_url); n > 0 && base_url[n - 1] == '/'; n--)
		base_url[n - 1] = '\0';
}

static bool
try_state_dir(const char *dir)
{
	char *path = xasprintf("%s/rekindled.sock", dir);
	bool there = access(path, F_OK) == 0;
	if (there)
		use_socket(path);
	free(path);
	return there;
}

/*
 * --server, then REKINDLE_SERVER, then the socket under REKINDLE_STATE_DIR,
 * then the one that the service makes, then the default port.
 */
void
cli_server_set(const char *server)
{
	const char *dir = getenv("REKINDLE_STATE_DIR");

	if (server == NULL)
		server = getenv("REKINDLE_SERVER");
	if (server != NULL && *server != '\0') {
		if (strncmp(server, "unix:", 5) == 0)
			use_socket(server + 5);
		else if (*server == '/' || *server == '.')
			use_socket(server);
		else
			use_url(server);
		return;
	}
	if (dir != NULL && *dir != '\0' && try_state_dir(dir))
		return;
	if (access(DEFAULT_SOCKET, F_OK) == 0)
		use_socket(DEFAULT_SOCKET);
	else
		use_url(DEFAULT_URL);
}

const char *
cli_server_text(void)
{
	return socket_path != NULL ? socket_path : base_url;
}

static size_t
take(char *p, size_t size, size_t n, void *ctx)
{
	struct strbuf *b = ctx;

	if (b->len + size * n > REPLY_MAX)
		return 0;
	sb_add(b, p, size * n);
	return size * n;
}

static void
prepare(const char *method, const char *path)
{
	char *url = xasprintf("%s%s", base_url, path);

	if (handle == NULL) {
		curl_global_init(CURL_GLOBAL_DEFAULT);
		handle = curl_easy_init();
		must(handle != NULL);
	}
	curl_easy_reset(handle);
	curl_easy_setopt(handle, CURLOPT_URL, url);
	curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT, 10L);
	curl_easy_setopt(handle, CURLOPT_USERAGENT,
	    "rekindle/" REKINDLE_VERSION);
	/* The daemon is on this machine: a proxy would only be in the way. */
	curl_easy_setopt(handle, CURLOPT_NOPROXY, "*");
	if (socket_path != NULL)
		curl_easy_setopt(handle, CURLOPT_UNIX_SOCKET_PATH, socket_path);
	free(url);
}

static bool
worth_another_try(CURLcode rc)
{
	return rc == CURLE_COULDNT_CONNECT || rc == CURLE_GOT_NOTHING ||
	    rc == CURLE_RECV_ERROR || rc == CURLE_SEND_ERROR;
}

static enum cli_exit
unreachable(CURLcode rc)
{
	fprintf(stderr, "rekindle: cannot reach rekindled at %s: %s\n"
	    "Is it running?  Say where with --server or REKINDLE_SERVER.\n",
	    cli_server_text(), curl_easy_strerror(rc));
	return CLI_NO_SERVER;
}

/* A problem document, as RFC 9457 has it, in words. */
static void
print_problem(const struct cli_reply *r)
{
	const json_t *e, *list = json_object_get(r->json, "errors");
	const char *detail = cli_str(r->json, "detail");
	const char *title = cli_str(r->json, "title");
	size_t i;

	fprintf(stderr, "rekindle: %s\n", *detail ? detail : *title ? title :
	    r->len > 0 && r->len < 500 ? r->text : "the daemon refused");
	json_array_foreach(list, i, e)
		fprintf(stderr, "  %s%s%s\n", cli_str(e, "path"),
		    *cli_str(e, "path") ? ": " : "", cli_str(e, "message"));
}

static enum cli_exit
finish(struct cli_reply *r, struct strbuf *b)
{
	r->len = b->len;
	r->text = b->len > 0 ? sb_detach(b) : xstrdup("");
	sb_fini(b);
	if (r->len > 0 && (*r->text == '{' || *r->text == '[')) {
		/* Our own daemon's words, of any size: no limits of ours. */
		r->json = json_loadb(r->text, r->len, 0, NULL);
	}
	if (r->status >= 200 && r->status < 300)
		return CLI_OK;
	print_problem(r);
	return r->status == 404 ? CLI_NO_JOB : CLI_REFUSED;
}

/* One key for all tries of a POST: it is done once. */
static struct curl_slist *
call_headers(bool post)
{
	char line[64 + RK_ID], key[RK_ID];
	struct curl_slist *h;

	h = curl_slist_append(NULL, "Content-Type: application/json");
	h = curl_slist_append(h, "Expect:");
	if (post) {
		rk_id_new(key);
		snprintf(line, sizeof(line), "Idempotency-Key: %s", key);
		h = curl_slist_append(h, line);
	}
	return h;
}

enum cli_exit
cli_call(const char *method, const char *path, const json_t *body,
    struct cli_reply *r)
{
	const bool post = strcmp(method, "POST") == 0;
	struct curl_slist *h = call_headers(post);
	struct strbuf b = {0};
	char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
	CURLcode rc = CURLE_OK;

	*r = (struct cli_reply){0};
	for (int i = 0; i < TRIES; i++) {
		if (i > 0)
			usleep(150000u << i);
		sb_reset(&b);
		prepare(method, path);
		curl_easy_setopt(handle, CURLOPT_HTTPHEADER, h);
		curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, take);
		curl_easy_setopt(handle, CURLOPT_WRITEDATA, &b);
		curl_easy_setopt(handle, CURLOPT_TIMEOUT, 150L);
		if (text != NULL || post)
			curl_easy_setopt(handle, CURLOPT_POSTFIELDS,
			    text != NULL ? text : "");
		rc = curl_easy_perform(handle);
		if (rc == CURLE_OK || !worth_another_try(rc))
			break;
		/* A daemon that is not there at all is not waited for. */
		if (rc == CURLE_COULDNT_CONNECT && i == 0 &&
		    socket_path != NULL && access(socket_path, F_OK) != 0)
			break;
	}
	curl_slist_free_all(h);
	free(text);
	if (rc != CURLE_OK) {
		sb_fini(&b);
		r->text = xstrdup("");
		return unreachable(rc);
	}
	curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &r->status);
	return finish(r, &b);
}

/* --- server-sent events -------------------------------------------------- */

struct stream {
	struct strbuf in, data, all;
	char id[64];
	cli_event_fn *fn;
	void *ctx;
	bool stopped, got;
	bool end;               /* the daemon has said that this is all */
	long status;
};

static void
stream_line(struct stream *s, const char *p, size_t n)
{
	if (n == 0) {
		if (s->data.len > 0 && !s->stopped) {
			/* The newline behind the last data line is not part. */
			s->stopped = !s->fn(s->ctx, s->data.s, s->data.len - 1);
			s->got = true;
		}
		sb_reset(&s->data);
	} else if (n >= 5 && memcmp(p, "data:", 5) == 0) {
		size_t skip = n > 5 && p[5] == ' ' ? 6 : 5;
		sb_add(&s->data, p + skip, n - skip);
		sb_addc(&s->data, '\n');
	} else if (n >= 3 && memcmp(p, "id:", 3) == 0) {
		size_t skip = n > 3 && p[3] == ' ' ? 4 : 3;
		snprintf(s->id, sizeof(s->id), "%.*s", (int)(n - skip),
		    p + skip);
	} else if (n >= 9 && memcmp(p, ": the end", 9) == 0) {
		s->end = true;
	}
}

static size_t
stream_take(char *p, size_t size, size_t n, void *ctx)
{
	struct stream *s = ctx;
	char *nl;

	curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &s->status);
	if (s->status != 200) {
		sb_add(&s->all, p, size * n);
		return size * n;
	}
	sb_add(&s->in, p, size * n);
	while (!s->stopped && s->in.len > 0 &&
	    (nl = memchr(s->in.s, '\n', s->in.len)) != NULL) {
		size_t len = (size_t)(nl - s->in.s);
		bool cr = len > 0 && s->in.s[len - 1] == '\r';
		stream_line(s, s->in.s, cr ? len - 1 : len);
		sb_cut(&s->in, len + 1);
	}
	return s->stopped ? 0 : size * n;
}

/* Connect, from where we are, and take what comes until it ends. */
static CURLcode
stream_once(struct stream *s, const char *path)
{
	struct curl_slist *h;
	char line[96];
	CURLcode rc;

	h = curl_slist_append(NULL, "Accept: text/event-stream");
	if (*s->id != '\0') {
		snprintf(line, sizeof(line), "Last-Event-ID: %s", s->id);
		h = curl_slist_append(h, line);
	}
	s->got = false;
	s->status = 0;
	sb_reset(&s->in);
	sb_reset(&s->data);
	prepare("GET", path);
	curl_easy_setopt(handle, CURLOPT_HTTPHEADER, h);
	curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, stream_take);
	curl_easy_setopt(handle, CURLOPT_WRITEDATA, s);
	rc = curl_easy_perform(handle);
	curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &s->status);
	curl_slist_free_all(h);
	return rc;
}

enum cli_exit
cli_stream(const char *path, cli_event_fn *fn, void *ctx)
{
	struct stream s = { .fn = fn, .ctx = ctx };
	enum cli_exit ret = CLI_OK;
	int failures = 0;

	for (;;) {
		CURLcode rc = stream_once(&s, path);
		if (s.stopped || s.end || (rc == CURLE_OK && s.status == 204))
			break;
		/* Without those words it was the daemon that ended: the next
		 * one goes on. */
		if (rc == CURLE_OK && s.status != 200) {
			struct cli_reply r = { .status = s.status };
			ret = finish(&r, &s.all);
			cli_reply_fini(&r);
			break;
		}
		failures = s.got ? 1 : failures + 1;
		if (failures > 20) {
			ret = unreachable(rc != CURLE_OK ? rc :
			    CURLE_GOT_NOTHING);
			break;
		}
		usleep(500000);
	}
	sb_fini(&s.in);
	sb_fini(&s.data);
	sb_fini(&s.all);
	return ret;
}

char *
cli_escape(const char *s)
{
	struct strbuf b = {0};

	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;
		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    (c >= '0' && c <= '9') || strchr("-._~", c) != NULL)
			sb_addc(&b, (char)c);
		else
			sb_addf(&b, "%%%02X", c);
	}
	return b.s != NULL ? sb_detach(&b) : xstrdup("");
}
